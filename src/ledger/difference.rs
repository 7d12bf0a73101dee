//! What two copies of one ledger do not have in common, in words.

use std::collections::BTreeSet;

use super::{Entry, History, Kind, Release, What, file, moment};

/// Where the ledger of an environment here and the shared one part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The environment.
    pub env: String,
    /// The remote that shares it.
    pub remote: String,
    /// How many lines they have in common.
    pub common: usize,
    /// What only the lines here tell, a line of words for each release.
    pub here: Vec<String>,
    /// What only the shared lines tell.
    pub there: Vec<String>,
}

impl Difference {
    /// Compares two copies, of which neither is the beginning of the other. What cannot be read is told as that.
    pub(super) fn of(env: &str, remote: &str, here: &[u8], there: &[u8]) -> Self {
        let lines = |bytes: &[u8]| bytes.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect::<Vec<_>>();
        let both = lines(here).into_iter().zip(lines(there));
        let common = both.take_while(|(one, other)| one == other).count();
        let told = |bytes: &[u8]| {
            let (entries, lost) = file::salvage(bytes);
            let mut told = since(&entries, common);
            told.extend(
                (lost > 0)
                    .then(|| format!("{lost} line{} that cannot be read", if lost == 1 { "" } else { "s" })),
            );
            told
        };
        let (here, there) = (told(here), told(there));
        Self { env: env.to_owned(), remote: remote.to_owned(), common, here, there }
    }

    /// What it comes to.
    pub(super) fn in_words(&self) -> String {
        let Self { env, remote, common, here, there } = self;
        let after = match common {
            0 => "from their first line on".to_owned(),
            common => format!("after their first {common} lines"),
        };
        let mut text = format!(
            "the ledger of `{env}` in this checkout and the one that `{remote}` shares differ {after}"
        );
        for (what, list) in [("only here", here), ("only there", there)] {
            for line in list {
                text.push_str(&format!("\n  {what}: {line}"));
            }
            if list.is_empty() {
                text.push_str(&format!("\n  {what}: nothing of a release"));
            }
        }
        text
    }
}

/// The releases that the entries behind the first `common` ones speak of, in words.
fn since(entries: &[Entry], common: usize) -> Vec<String> {
    let history = History::of(entries.iter().cloned());
    let new = entries.get(common.min(entries.len())..).unwrap_or_default();
    let ids: BTreeSet<u64> = new.iter().filter_map(|entry| release_of(&entry.what)).collect();
    ids.into_iter().filter_map(|id| history.release(id)).map(told).collect()
}

/// The release that an entry speaks of.
pub(super) fn release_of(what: &What) -> Option<u64> {
    match what {
        What::Began(began) => Some(began.release),
        What::Reached(reached) => Some(reached.release),
        What::TakenUp { release, .. } | What::Ended { release, .. } => Some(*release),
        What::Pruned { .. } | What::Mended { .. } => None,
    }
}

/// A release in a line of words: `deploy 7 of revision 2f22761532 by ada@box, 2026-11-21 09:53:37 UTC, live`.
pub(super) fn told(release: &Release) -> String {
    let began = &release.began;
    let kind = match began.kind {
        Kind::Deploy => "deploy",
        Kind::Rollback => "rollback",
        Kind::Restore => "restore",
    };
    let of = match began.kind {
        Kind::Restore => began.revision.clone(),
        _ => format!("revision {}", began.revision.get(..10).unwrap_or(&began.revision)),
    };
    let how = match release.outcome() {
        Some(outcome) => outcome.word().to_owned(),
        None => format!("{} and no end", release.phase.word()),
    };
    let (user, host) = (&began.who.user, &began.who.host);
    format!("{kind} {} of {of} by {user}@{host}, {}, {how}", release.id(), moment(release.at))
}
