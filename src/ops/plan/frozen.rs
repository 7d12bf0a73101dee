//! A plan as it is kept: what it was made of, as digests, with one digest over all of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::base::{Digest, Timestamp, fs};
use crate::engine::pin::{Pin, Pins};
use crate::fingerprint::{Difference, Manifest};

use super::super::Problem;
use super::super::deploy::{Foreseen, words};

/// The version of the form. Raise it with every change of what is in it.
pub const FORMAT: u32 = 1;

/// What a run would do, and everything that this rests on. No value is in it, only digests: those of secrets with the key
/// of the user who made it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Frozen {
    /// [`FORMAT`].
    pub format: u32,
    /// The version of envrun that made it.
    pub envrun: String,
    /// When.
    pub made: Timestamp,
    /// Who, and where: `ada@laptop`.
    pub who: String,
    /// The project's name.
    pub project: String,
    /// What was asked for.
    pub targets: Vec<Target>,
    /// The environment of targets that name none.
    pub env: Option<String>,
    /// `--set`.
    pub set: Vec<(String, String)>,
    /// What tells the key that secrets are hashed with from others.
    pub key: String,
    /// The commit that is checked out.
    pub revision: Option<String>,
    /// What differs from it, if a node of the plan may read any file.
    pub changes: Option<Changes>,
    /// The digest of every text of the Envfile, by path.
    pub texts: BTreeMap<String, String>,
    /// The digest of every declared value that is known, by environment and name.
    pub values: BTreeMap<String, BTreeMap<String, Value>>,
    /// What is live where something is deployed, by deploy.
    pub live: BTreeMap<String, Option<(u64, String)>>,
    /// What would be done, in an order in which it could be.
    pub nodes: Vec<Node>,
    /// The digest of all of that.
    pub digest: String,
}

/// A target as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// As written: `prod.deploy`.
    pub name: String,
    /// Its arguments by name, as written.
    pub args: Vec<(String, String)>,
}

/// Files under version control that differ from the commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Changes {
    /// Of their content; nothing if there are none.
    pub digest: Option<String>,
    /// Their paths.
    pub paths: Vec<String>,
}

/// A value, as far as a plan tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Value {
    /// It is a secret, and its digest is made with the user's key.
    pub secret: bool,
    /// Of its text.
    pub digest: String,
}

/// What would become of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// It stands for its needs.
    Group,
    /// There is nothing to do.
    UpToDate,
    /// Its result comes out of the cache.
    Restored,
    /// Its `done` is true.
    Done,
    /// Its `when` is false, or that of something it needs.
    Skipped,
    /// It is carried out.
    Run,
    /// It cannot be told before the run: what it needs is not known yet.
    Unknown,
}

impl Fate {
    /// Whether its turn comes at all.
    fn is_off(self) -> bool {
        matches!(self, Self::Done | Self::Skipped)
    }
}

/// A node of the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Node {
    /// The node, and its arguments.
    pub label: String,
    /// `task`, `service`, `deploy` or `snapshot`.
    pub kind: String,
    /// What would become of it.
    pub fate: Fate,
    /// Why, in words that stand after "because".
    pub because: Vec<String>,
    /// Its commands, with secrets hidden.
    pub commands: Vec<String>,
    /// The digest of its outputs, where it is known: no others will do.
    pub outputs: Option<String>,
    /// Everything that goes into its key, as digests; not there where it cannot be known before the run.
    pub manifest: Option<String>,
    /// For a deploy.
    pub deploy: Option<Deploy>,
}

/// What a deploy would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Deploy {
    /// The revision that goes live; not there if nobody can say.
    pub revision: Option<String>,
    /// What it ships, where that is known before.
    pub ships: Option<String>,
    /// Whose bytes these are.
    pub from: Option<String>,
    /// What it goes back to if its proof fails.
    pub back_to: Option<String>,
    /// The data that it saves first.
    pub snapshots: Vec<String>,
    /// What has to succeed, and for how long.
    pub verify: Vec<String>,
}

impl Frozen {
    /// The digest of everything in it but the digest itself.
    pub fn sum(&self) -> String {
        let bare = Self { digest: String::new(), ..self.clone() };
        Digest::of(&serde_json::to_vec(&bare).expect("only text for keys")).to_hex()
    }

    /// As it is written to a file.
    pub fn text(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("only text for keys");
        text.push('\n');
        text
    }

    /// Writes it whole or not at all, for nobody but the user to read.
    pub fn write(&self, path: &Path) -> Result<(), Problem> {
        use std::io::Write as _;
        Ok(fs::write_atomic_with(path, 0o600, |file| file.write_all(self.text().as_bytes()))?)
    }

    /// Reads it back. One that is not whole, or not as it was written, is refused.
    pub fn read(path: &Path) -> Result<Self, Problem> {
        let name = path.display();
        let again = || Some("make it anew with `envrun plan … -o FILE`".to_owned());
        let Some(bytes) = fs::read_if_there(path)? else {
            let hint = Some("`envrun plan TARGET -o FILE` writes one".to_owned());
            return Err(Problem::usage(format!("there is no plan {name}"), hint));
        };
        let known: Result<Version, _> = serde_json::from_slice(&bytes);
        match known {
            Ok(known) if known.format != FORMAT => {
                let message = format!(
                    "{name} is a plan of envrun {} (format {}), and this is envrun {} (format {FORMAT})",
                    known.envrun,
                    known.format,
                    env!("CARGO_PKG_VERSION")
                );
                return Err(Problem::usage(message, again()));
            }
            Ok(_) => {}
            Err(error) => return Err(Problem::usage(format!("{name} is not a plan: {error}"), again())),
        }
        let frozen: Self = serde_json::from_slice(&bytes)
            .map_err(|error| Problem::usage(format!("{name} is not a whole plan: {error}"), again()))?;
        let sum = frozen.sum();
        if sum != frozen.digest {
            let moved = vec![format!(
                "its digest is {} and says {}: it was changed after it was made",
                short(&sum),
                short(&frozen.digest)
            )];
            return Err(Problem::Moved { plan: format!("the plan {name}"), moved });
        }
        Ok(frozen)
    }

    /// As a person calls it.
    pub fn name(&self) -> String {
        format!("plan {} of {}", short(&self.digest), words::moment(self.made))
    }

    /// The node of that name.
    pub fn node(&self, label: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.label == label)
    }

    /// The outputs that nodes must have.
    pub fn pins(&self) -> Pins {
        let pin = |node: &Node| {
            let outputs = Digest::from_hex(node.outputs.as_deref()?)?;
            let is_made = matches!(node.fate, Fate::UpToDate | Fate::Restored);
            (is_made && node.kind == "task")
                .then(|| (node.label.clone(), Pin { outputs, by: "the plan".into() }))
        };
        self.nodes.iter().filter_map(pin).collect()
    }

    /// Everything that is not in `now` as it is here, in words. Where a guard still refuses, `sealed`, no secret was read
    /// now, and none is missed.
    pub fn moved(&self, now: &Self, sealed: bool) -> Vec<String> {
        let mut moved = Vec::new();
        moved.extend(self.moved_texts(now));
        moved.extend(self.moved_tree(now));
        let same_key = self.key == now.key;
        let mut named = BTreeSet::new();
        moved.extend(self.moved_values(now, (same_key, sealed), &mut named));
        for (deploy, was) in &self.live {
            let is = now.live.get(deploy).unwrap_or(&None);
            if is != was {
                moved.push(format!(
                    "`{deploy}`: {} is live now, and when the plan was made {} was",
                    Foreseen::live_words(is.as_ref()),
                    Foreseen::live_words(was.as_ref())
                ));
            }
        }
        moved.extend(self.moved_nodes(now, &named));
        moved
    }

    fn moved_texts(&self, now: &Self) -> Vec<String> {
        let mut moved = Vec::new();
        let paths: BTreeSet<&String> = self.texts.keys().chain(now.texts.keys()).collect();
        for path in paths {
            match (self.texts.get(path), now.texts.get(path)) {
                (Some(was), Some(is)) if was == is => {}
                (Some(_), Some(_)) => {
                    moved.push(format!("{path} says something else (a text of the Envfile)"))
                }
                (None, _) => moved.push(format!("{path} was added to the Envfile")),
                (_, None) => moved.push(format!("{path} is no longer part of the Envfile")),
            }
        }
        moved
    }

    fn moved_tree(&self, now: &Self) -> Vec<String> {
        let mut moved = Vec::new();
        if self.revision != now.revision {
            let name = |revision: &Option<String>| match revision {
                Some(revision) => words::short(revision).to_owned(),
                None => "no commit".to_owned(),
            };
            moved.push(format!("{} is checked out, and not {}", name(&now.revision), name(&self.revision)));
        } else if let (Some(was), Some(is)) = (&self.changes, &now.changes)
            && was.digest != is.digest
        {
            let fresh: Vec<&str> =
                is.paths.iter().filter(|path| !was.paths.contains(path)).map(String::as_str).collect();
            let gone: Vec<&str> =
                was.paths.iter().filter(|path| !is.paths.contains(path)).map(String::as_str).collect();
            if !fresh.is_empty() {
                moved.push(format!("changed since, and not committed: {}", fresh.join(", ")));
            }
            if !gone.is_empty() {
                moved.push(format!(
                    "changed when the plan was made, and as committed now: {}",
                    gone.join(", ")
                ));
            }
            if fresh.is_empty() && gone.is_empty() {
                moved.push(format!("among {} something was changed once more", is.paths.join(", ")));
            }
        }
        moved
    }

    /// Names that are told here are left out of what is told of nodes.
    fn moved_values(
        &self,
        now: &Self,
        (same_key, sealed): (bool, bool),
        named: &mut BTreeSet<String>,
    ) -> Vec<String> {
        let mut moved = Vec::new();
        let none = BTreeMap::new();
        let mut other_key = false;
        // The scope without a name is the first.
        let mut everywhere = BTreeSet::new();
        let scopes: BTreeSet<&String> = self.values.keys().chain(now.values.keys()).collect();
        for scope in scopes {
            let was = self.values.get(scope).unwrap_or(&none);
            let is = now.values.get(scope).unwrap_or(&none);
            let names: BTreeSet<&String> = was.keys().chain(is.keys()).collect();
            for name in names {
                let in_scope = if scope.is_empty() { String::new() } else { format!(" in `{scope}`") };
                let said = match (was.get(name), is.get(name)) {
                    (Some(was), Some(is)) if was.secret && is.secret && !same_key => {
                        other_key = true;
                        continue;
                    }
                    (Some(was), Some(is)) if was == is => continue,
                    // Before the guards of its environment hold, a secret is read by nobody: the plan knew nothing of it.
                    (None, Some(is)) if is.secret => continue,
                    (Some(was), None) if was.secret && sealed => continue,
                    (None, Some(_)) => format!("{name} was set{in_scope}"),
                    (Some(_), None) => format!("{name} was unset{in_scope}"),
                    (Some(_), Some(is)) if is.secret => format!("the secret {name} changed{in_scope}"),
                    (Some(_), Some(_)) => format!("{name} changed{in_scope}"),
                    (None, None) => continue,
                };
                named.insert(name.clone());
                if scope.is_empty() {
                    everywhere.insert(name);
                } else if everywhere.contains(name) {
                    // What changed for all is told once.
                    continue;
                }
                moved.push(said);
            }
        }
        if other_key {
            moved.push(
                "its secrets cannot be compared: it was made with another `secret.key` (by another user, or on another machine)"
                    .to_owned(),
            );
        }
        moved
    }

    fn moved_nodes(&self, now: &Self, named: &BTreeSet<String>) -> Vec<String> {
        // The same file may be read by many: it is told once.
        let mut moved: Vec<(String, Vec<&str>)> = Vec::new();
        let mut say = |what: String, label| match moved.iter_mut().find(|(said, _)| *said == what) {
            Some((_, labels)) => labels.push(label),
            None => moved.push((what, vec![label])),
        };
        let mut alone = Vec::new();
        for was in &self.nodes {
            let label = was.label.as_str();
            let Some(is) = now.node(label) else {
                alone.push(format!("`{label}` is no longer part of the run"));
                continue;
            };
            if was.fate.is_off() && !is.fate.is_off() {
                let how = if was.fate == Fate::Done { "was done already" } else { "would have been skipped" };
                alone.push(format!("`{label}` {how}, and would run now"));
            } else if is.fate == Fate::Skipped && was.fate != Fate::Skipped {
                alone.push(format!("`{label}` would be skipped now"));
            }
            if let (Some(old), Some(new)) = (&was.deploy, &is.deploy) {
                if old.revision != new.revision {
                    let name = |revision: &Option<String>| match revision {
                        Some(revision) => words::short(revision).to_owned(),
                        None => "nothing".to_owned(),
                    };
                    let (old, new) = (name(&old.revision), name(&new.revision));
                    alone.push(format!("`{label}` would put {new} live, and not {old}"));
                }
                if (&old.ships, &old.from) != (&new.ships, &new.from) {
                    let name = |one: &Deploy| match (&one.ships, &one.from) {
                        (Some(ships), Some(from)) => format!("{ships} ({from})"),
                        (Some(ships), None) => ships.clone(),
                        _ => "what it needs".to_owned(),
                    };
                    alone.push(format!("`{label}` would ship {}, and not {}", name(new), name(old)));
                }
            }
            match (manifest(was), manifest(is)) {
                (Some(old), Some(new)) => {
                    for difference in Manifest::diff(&old, &new) {
                        if !matches!(&difference, Difference::Variable(name, _) if named.contains(name)) {
                            say(difference.words(), label);
                        }
                    }
                }
                (Some(_), None) => say("what it is made of cannot be worked out any more".to_owned(), label),
                (None, _) => {}
            }
        }
        for is in &now.nodes {
            if self.node(&is.label).is_none() {
                alone.push(format!("`{}` is part of the run now", is.label));
            }
        }
        let said = moved.into_iter().map(|(what, labels)| format!("{what} (`{}`)", labels.join("`, `")));
        said.chain(alone).collect()
    }
}

/// What is read of any plan, whatever its format.
#[derive(Deserialize)]
struct Version {
    format: u32,
    envrun: String,
}

fn manifest(node: &Node) -> Option<Manifest> {
    let text = node.manifest.as_ref()?;
    let pairs = text.as_bytes().chunks_exact(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    Manifest::decode(&pairs.map(byte).collect::<Option<Vec<u8>>>()?)
}

/// As much of a digest as a person reads.
pub fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}
