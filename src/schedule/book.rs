//! What must outlive the runner.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::base::Timestamp;
use crate::base::fs::{FsError, read_if_there, write_atomic};
use crate::record::STATE_DIR;

/// The version of what is written.
const FORMAT: u32 = 1;

/// How a run came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Went {
    /// Well.
    Succeeded,
    /// Something failed.
    Failed,
    /// It was not begun: a guard or a requirement refused, or somebody else is at it.
    Refused,
    /// Somebody stopped it.
    Interrupted,
    /// Nothing was to be done: its `when` did not hold.
    Skipped,
}

impl Went {
    /// What an exit status of envrun means.
    pub fn of(exit: i32) -> Self {
        match exit {
            0 => Self::Succeeded,
            2 | 3 | 7 => Self::Refused,
            130 => Self::Interrupted,
            _ => Self::Failed,
        }
    }

    /// As one word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::Interrupted => "interrupted",
            Self::Skipped => "skipped",
        }
    }
}

/// The last run of a schedule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Last {
    /// The time that it was due.
    pub due: Timestamp,
    /// When it began.
    pub began: Timestamp,
    /// How it came out; nothing while it goes on, or if the runner was killed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub went: Option<Went>,
    /// How long it took, in milliseconds.
    #[serde(default)]
    pub took_ms: u64,
    /// The run's id, if it has a record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Why it did not come out well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// What is kept of one schedule.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Every time up to this one was seen to.
    pub until: Timestamp,
    /// Its last run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Last>,
}

/// What is kept of every schedule of a project, by [`crate::model::Schedule::key`].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Book {
    path: PathBuf,
    entries: BTreeMap<String, Entry>,
}

#[derive(Serialize, Deserialize)]
struct Written {
    format: u32,
    schedules: BTreeMap<String, Entry>,
}

impl Book {
    /// The folder of what belongs to the schedules of the project at `root`.
    pub fn folder(root: &Path) -> PathBuf {
        root.join(STATE_DIR).join("schedule")
    }

    /// Reads the book of the project at `root`; and whether what lay there is no book any more, so that it begins anew.
    pub fn read(root: &Path) -> Result<(Self, bool), FsError> {
        let path = Self::folder(root).join("book.json");
        let bytes = read_if_there(&path)?;
        let written = bytes.as_ref().map(|bytes| serde_json::from_slice::<Written>(bytes).ok());
        let written = written.map(|written| written.filter(|written| written.format <= FORMAT));
        let is_damaged = matches!(written, Some(None));
        let entries = written.flatten().map(|written| written.schedules).unwrap_or_default();
        Ok((Self { path, entries }, is_damaged))
    }

    /// Writes it back, as a whole.
    pub fn save(&self) -> Result<(), FsError> {
        let written = Written { format: FORMAT, schedules: self.entries.clone() };
        let mut json = serde_json::to_vec_pretty(&written).expect("plain data has a JSON form");
        json.push(b'\n');
        write_atomic(&self.path, &json)
    }

    /// What is kept of a schedule.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// Up to which time a schedule was seen to.
    pub fn until(&self, key: &str) -> Option<Timestamp> {
        self.entries.get(key).map(|entry| entry.until)
    }

    /// Notes up to which time each of these was seen to, and forgets every other: one that is taken out of the Envfile and
    /// put back later begins anew. Says whether anything is new.
    pub fn note<'k>(&mut self, seen: impl Iterator<Item = (&'k str, Timestamp)>) -> bool {
        let before = self.entries.clone();
        let mut known = Vec::new();
        for (key, until) in seen {
            self.entries.entry(key.to_owned()).or_default().until = until;
            known.push(key);
        }
        self.entries.retain(|key, _| known.contains(&key.as_str()));
        before != self.entries
    }

    /// Notes the last run of a schedule.
    pub fn set_last(&mut self, key: &str, last: Last) {
        self.entries.entry(key.to_owned()).or_default().last = Some(last);
    }
}
