//! What makes a service what it is, part by part: so that it can be said which of them is another one than before.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::base::checksum;
use crate::fingerprint::{Change, Difference};

/// More files than these are not told apart: a service that watches more is said to watch other files.
pub const FILES: usize = 512;

/// One part.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// A variable that it sees.
    Variable(String),
    /// Its commands, as written.
    Commands,
    /// The shell for them.
    Shell,
    /// Where they run.
    Dir,
    /// What it is asked, as written.
    Probes,
    /// What a task made that it needs.
    Need(String),
    /// A file that it watches.
    File(String),
    /// All files that it watches, where they are too many.
    Files,
}

impl Part {
    /// Whether it is something that the service depends on, and not of its definition.
    fn is_content(&self) -> bool {
        matches!(self, Self::Need(_) | Self::File(_) | Self::Files)
    }

    fn words(&self, change: Change) -> String {
        let difference = match self {
            Self::Variable(name) => Difference::Variable(name.clone(), change),
            Self::Commands => Difference::Commands,
            Self::Shell => Difference::Shell,
            Self::Dir => Difference::Dir,
            Self::Probes => return "what it is asked by `ready` changed".to_owned(),
            Self::Need(label) => Difference::Need(label.clone(), change),
            Self::File(path) => Difference::Input(path.clone(), change),
            Self::Files => return "files that it watches changed".to_owned(),
        };
        difference.words()
    }
}

/// All parts of a service, each as a checksum. It travels to the supervisor, as the values themselves do, and is never
/// written down.
///
/// Only words are made of it. What a service is decide its [identity](super::Spec::identity) and its
/// [content](super::Spec::content).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<(Part, u64)>", into = "Vec<(Part, u64)>")]
pub struct Parts(BTreeMap<Part, u64>);

impl From<Vec<(Part, u64)>> for Parts {
    fn from(parts: Vec<(Part, u64)>) -> Self {
        Self(parts.into_iter().collect())
    }
}

impl From<Parts> for Vec<(Part, u64)> {
    fn from(parts: Parts) -> Self {
        parts.0.into_iter().collect()
    }
}

impl Parts {
    /// Takes a part in.
    pub fn add(&mut self, part: Part, bytes: &[u8]) {
        self.0.insert(part, checksum(bytes));
    }

    /// Every part that is another one in `now`, in words that stand after "because"; variables that changed are told
    /// together. What a service depends on is compared only where `content` says that both know it.
    pub fn differences(&self, now: &Self, content: bool) -> Vec<String> {
        let parts: BTreeSet<&Part> = self.0.keys().chain(now.0.keys()).collect();
        let mut variables: Vec<&str> = Vec::new();
        let mut words = Vec::new();
        for part in parts.into_iter().filter(|part| content || !part.is_content()) {
            match (part, self.0.get(part), now.0.get(part)) {
                (_, Some(before), Some(now)) if before == now => {}
                (Part::Variable(name), Some(_), Some(_)) => variables.push(name),
                (_, Some(_), Some(_)) => words.push(part.words(Change::Changed)),
                (_, None, _) => words.push(part.words(Change::Added)),
                (_, Some(_), None) => words.push(part.words(Change::Removed)),
            }
        }
        if !variables.is_empty() {
            words.insert(0, format!("{} changed", variables.join(", ")));
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(parts: &[(Part, &str)]) -> Parts {
        let mut all = Parts::default();
        parts.iter().for_each(|(part, text)| all.add(part.clone(), text.as_bytes()));
        all
    }

    #[test]
    fn every_part_that_differs_is_named_and_no_value() {
        let variable = |name: &str| Part::Variable(name.into());
        let before = parts(&[
            (variable("GONE"), "1"),
            (variable("MODE"), "fast"),
            (variable("PORT"), "8000"),
            (variable("SAME"), "s3cret"),
            (Part::Commands, "serve"),
            (Part::Need("build".into()), "a"),
            (Part::File("site/a.html".into()), "a"),
        ]);
        let now = parts(&[
            (variable("NEW"), "1"),
            (variable("MODE"), "slow"),
            (variable("PORT"), "8001"),
            (variable("SAME"), "s3cret"),
            (Part::Commands, "serve --fast"),
            (Part::Need("build".into()), "b"),
        ]);
        let text = serde_json::to_string(&now).unwrap();
        assert!(!text.contains("s3cret"), "{text}");
        let travelled: Parts = serde_json::from_str(&text).unwrap();
        let of_its_own = ["MODE, PORT changed", "GONE was unset", "NEW was set", "the command changed"];
        assert_eq!(before.differences(&travelled, false), of_its_own);
        let all = [&of_its_own[..], &["the output of `build` changed", "site/a.html was removed"]].concat();
        assert_eq!(before.differences(&travelled, true), all);
        assert_eq!(now.differences(&travelled, true), [""; 0]);
    }
}
