//! What came of each stage: records that later stages, other checkouts and other machines rest on.
//!
//! A record is one small file, written whole and never changed. It lies under the revision that it speaks of, as
//! `<revision>/<stage>/<run id>-<digest>.json`, in `.envrun/stages/` or, where they are shared, in the tree of the git ref
//! `refs/envrun/stages`. Its first line is the record, its second line the digest of the first.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{RunId, STATE_DIR};
use crate::base::fs::{self, FsError};
use crate::base::text::{read_lines, read_one_line};
use crate::base::{Digest, Timestamp};
use crate::gitref::{RefError, RefStore, Tip, Write};

/// The version of what is written.
const FORMAT: u32 = 1;

/// How long the records of a revision are kept after the last of them.
const KEPT: Duration = Duration::from_secs(180 * 24 * 3600);

/// How a stage ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StageOutcome {
    /// Everything it runs is over and good.
    Green,
    /// Something failed.
    Red,
    /// Its `when` did not hold, so nothing was run.
    Skipped,
}

impl StageOutcome {
    /// As one word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Green => "green",
            Self::Red => "red",
            Self::Skipped => "skipped",
        }
    }
}

/// What went into a node of a stage, as far as it is the same on every machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageInputs {
    /// Of the paths and contents of the files that it declares as inputs and that no task makes.
    pub files: String,
    /// Of the declared values and the arguments that it reads. Secrets and the caller's own variables do not count.
    pub values: String,
}

/// What came of a stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageRecord {
    /// The version of this form.
    pub format: u32,
    /// Its name.
    pub stage: String,
    /// The environment it ran in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<String>,
    /// The commit that was checked out.
    pub revision: String,
    /// The digest of what differed from that commit; nothing if nothing did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changes: Option<String>,
    /// How it ended.
    pub outcome: StageOutcome,
    /// Why it was red or skipped.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "read_lines")]
    pub reason: Option<String>,
    /// When it began.
    pub began: Timestamp,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// Who ran it.
    #[serde(deserialize_with = "read_one_line")]
    pub who: String,
    /// On which machine.
    #[serde(deserialize_with = "read_one_line")]
    pub host: String,
    /// The run whose record has the output.
    pub run: String,
    /// envrun's version.
    pub envrun: String,
    /// What went into its nodes, by label.
    pub inputs: BTreeMap<String, StageInputs>,
    /// The digests of what its nodes made, or took from an earlier stage, by label.
    pub outputs: BTreeMap<String, String>,
}

impl StageRecord {
    /// A record of today's form, still without a result.
    pub fn new(stage: &str, revision: &str, changes: Option<String>) -> Self {
        Self {
            format: FORMAT,
            stage: stage.to_owned(),
            env: None,
            revision: revision.to_owned(),
            changes,
            outcome: StageOutcome::Skipped,
            reason: None,
            began: Timestamp(0),
            took_ms: 0,
            who: String::new(),
            host: String::new(),
            run: String::new(),
            envrun: env!("CARGO_PKG_VERSION").to_owned(),
            inputs: BTreeMap::new(),
            outputs: BTreeMap::new(),
        }
    }

    /// How long it took.
    pub fn took(&self) -> Duration {
        Duration::from_millis(self.took_ms)
    }

    fn encode(&self) -> String {
        let line = serde_json::to_string(self).expect("plain data has a JSON form");
        let digest = Digest::of(line.as_bytes());
        format!("{line}\n{digest}\n")
    }

    /// Reads a record; `None` if it is not whole, was changed, or is of a later form.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let (line, digest) = text.split_once('\n')?;
        if Digest::of(line.as_bytes()).to_hex() != digest.trim_end() {
            return None;
        }
        serde_json::from_str(line).ok().filter(|record: &Self| record.format <= FORMAT)
    }

    /// The file that it is written to: no two records share one, wherever they are written.
    fn path(&self, text: &str) -> String {
        let stage = self.stage.replace(':', "~");
        let digest = Digest::of(text.as_bytes()).short();
        format!("{}/{stage}/{}-{digest}.json", self.revision, self.run)
    }
}

/// The records of one revision.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StageRecords {
    /// Oldest first.
    pub records: Vec<StageRecord>,
    /// Files that are no records any more: cut short, changed by somebody, or written by a later envrun.
    pub damaged: Vec<String>,
}

impl StageRecords {
    fn of(files: Vec<(String, Vec<u8>)>) -> Self {
        let mut all = Self::default();
        for (path, bytes) in files {
            match StageRecord::decode(&bytes) {
                Some(record) => all.records.push(record),
                None => all.damaged.push(path),
            }
        }
        all.records.sort_by(|one, other| (one.began, &one.run).cmp(&(other.began, &other.run)));
        all
    }
}

/// Why records could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StageBookError {
    /// A file.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// The shared ref.
    #[error(transparent)]
    Ref(#[from] RefError),
}

/// Where the records of stages are.
#[derive(Debug, Clone)]
pub struct StageBook {
    /// `.envrun/stages`: all records of this checkout, or those that could not be shared yet.
    folder: PathBuf,
    shared: Option<RefStore>,
}

impl StageBook {
    /// The records of the project at `root`; shared through `remote`, if it names one.
    pub fn open(root: &Path, remote: Option<&str>) -> Self {
        Self {
            folder: root.join(STATE_DIR).join("stages"),
            shared: remote.map(|remote| RefStore::new(root, remote, "stages")),
        }
    }

    /// The remote that they are shared through.
    pub fn remote(&self) -> Option<&str> {
        self.shared.as_ref().map(RefStore::remote)
    }

    /// What is recorded of a revision. What could not be shared before is sent first.
    pub fn read(&self, revision: &str) -> Result<StageRecords, StageBookError> {
        match &self.shared {
            None => Ok(StageRecords::of(self.files(revision)?)),
            Some(store) => {
                self.send_unsent(store)?;
                Self::read_tip(store, &store.fetch()?, revision)
            }
        }
    }

    /// What was recorded of a revision when the remote was last asked, and what is not sent yet: to be shown, not to be
    /// rested on.
    pub fn last_known(&self, revision: &str) -> Result<StageRecords, StageBookError> {
        let mut files = self.files(revision)?;
        if let Some(store) = &self.shared {
            let tip = store.last_known()?;
            let prefix = format!("{revision}/");
            files.extend(store.read(&tip, tip.below(&prefix))?);
        }
        Ok(StageRecords::of(files))
    }

    /// Adds a record. If it cannot be shared now, it is kept here and sent by the next [`StageBook::read`].
    pub fn add(&self, record: &StageRecord) -> Result<(), StageBookError> {
        let text = record.encode();
        let path = record.path(&text);
        let place = self.folder.join(&path);
        // Here first: whatever happens on the way to the remote, the record is not lost.
        fs::write_atomic(&place, text.as_bytes())?;
        match &self.shared {
            None => self.forget_old(record.began),
            Some(store) => self.send(store, &[(path, text.into_bytes())], record.began)?,
        }
        Ok(())
    }

    fn read_tip(store: &RefStore, tip: &Tip, revision: &str) -> Result<StageRecords, StageBookError> {
        let prefix = format!("{revision}/");
        Ok(StageRecords::of(store.read(tip, tip.below(&prefix))?))
    }

    /// Shares files, and takes them out of the folder once they are.
    fn send(
        &self,
        store: &RefStore,
        files: &[(String, Vec<u8>)],
        now: Timestamp,
    ) -> Result<(), StageBookError> {
        let message = match files {
            [(path, _)] => format!("stage {path}"),
            files => format!("{} stage records", files.len()),
        };
        store.update::<RefError>(&message, |tip| {
            let mut writes: Vec<Write> = files
                .iter()
                .filter(|(path, _)| !tip.contains(path))
                .map(|(path, bytes)| Write::put(path, bytes.clone()))
                .collect();
            if !writes.is_empty() {
                let old = old_revisions(tip.paths(), now);
                let is_old = |path: &&str| path.split_once('/').is_some_and(|(one, _)| old.contains(&one));
                writes.extend(tip.paths().filter(is_old).map(Write::remove));
            }
            Ok(writes)
        })?;
        for (path, _) in files {
            // One that stays is sent again, and found to be there.
            let _ = fs::remove_file(&self.folder.join(path));
        }
        Ok(())
    }

    fn send_unsent(&self, store: &RefStore) -> Result<(), StageBookError> {
        let mut files = Vec::new();
        for revision in names(&self.folder)? {
            files.extend(self.files(&revision)?);
        }
        files.retain(|(_, bytes)| StageRecord::decode(bytes).is_some());
        let Some(newest) =
            files.iter().filter_map(|(_, bytes)| StageRecord::decode(bytes)).map(|one| one.began).max()
        else {
            return Ok(());
        };
        self.send(store, &files, newest)
    }

    /// Every file of a revision in the folder.
    fn files(&self, revision: &str) -> Result<Vec<(String, Vec<u8>)>, FsError> {
        let mut files = Vec::new();
        for stage in names(&self.folder.join(revision))? {
            for name in names(&self.folder.join(revision).join(&stage))? {
                if name.ends_with(".json") && !name.starts_with('.') {
                    let path = format!("{revision}/{stage}/{name}");
                    if let Some(bytes) = fs::read_if_there(&self.folder.join(&path))? {
                        files.push((path, bytes));
                    }
                }
            }
        }
        Ok(files)
    }

    /// Removes the records of revisions that nobody comes back to. What cannot be removed stays.
    fn forget_old(&self, now: Timestamp) {
        let Ok(revisions) = names(&self.folder) else { return };
        for revision in revisions {
            let Ok(files) = self.files(&revision) else { continue };
            if !old_revisions(files.iter().map(|(path, _)| path.as_str()), now).is_empty() {
                let _ = std::fs::remove_dir_all(self.folder.join(&revision));
            }
        }
    }
}

/// The revisions among these paths whose last record is too old. Names that are none of ours are not touched.
fn old_revisions<'p>(paths: impl Iterator<Item = &'p str>, now: Timestamp) -> Vec<&'p str> {
    let mut newest: BTreeMap<&str, Option<Timestamp>> = BTreeMap::new();
    for path in paths {
        let mut parts = path.split('/');
        let (Some(revision), Some(name)) = (parts.next(), parts.nth(1)) else { continue };
        let time = name.get(..20).and_then(RunId::parse).and_then(|run| run.time());
        let entry = newest.entry(revision).or_insert(time);
        // A name without a time keeps the whole revision.
        *entry = entry.zip(time).map(|(one, other)| one.max(other));
    }
    let is_old = |time: Option<Timestamp>| time.is_some_and(|time| now.since(time) > KEPT);
    newest.into_iter().filter(|(_, time)| is_old(*time)).map(|(revision, _)| revision).collect()
}

/// The names in a folder, sorted; none if it is not there.
fn names(folder: &Path) -> Result<Vec<String>, FsError> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error)
            if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) =>
        {
            return Ok(Vec::new());
        }
        Err(error) => return Err(FsError::new("list", folder, error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| FsError::new("list", folder, error))?;
        names.extend(entry.file_name().into_string().ok());
    }
    names.sort_unstable();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(stage: &str, run: &str, began: u64) -> StageRecord {
        let mut record = StageRecord::new(stage, "abc", None);
        (record.run, record.began) = (run.into(), Timestamp(began));
        record
    }

    #[test]
    fn what_is_added_is_read_back_and_what_was_changed_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let book = StageBook::open(dir.path(), None);
        assert_eq!(book.read("abc").unwrap(), StageRecords::default());
        let (one, two) = (record("t", "20261120-213301-4f2a", 1), record("api:t", "20261120-213302-4f2a", 2));
        book.add(&two).unwrap();
        book.add(&one).unwrap();
        assert_eq!(book.read("abc").unwrap().records, [one.clone(), two]);
        assert_eq!(book.read("abd").unwrap(), StageRecords::default());
        let path = book.folder.join(one.path(&one.encode()));
        let forged = std::fs::read_to_string(&path).unwrap().replace("skipped", "green");
        std::fs::write(&path, forged).unwrap();
        let read = book.read("abc").unwrap();
        assert_eq!((read.records.len(), read.damaged.len()), (1, 1));
    }

    #[test]
    fn revisions_are_forgotten_half_a_year_after_their_last_record() {
        let paths = [
            "a/t/20260101-000000-0000-x.json",
            "a/t/20261101-000000-0000-x.json",
            "b/t/20260101-000000-0000-x.json",
            "c/t/mine",
        ];
        let now = RunId::parse("20261120-000000-0000").unwrap().time().unwrap();
        assert_eq!(old_revisions(paths.into_iter(), now), ["b"]);
        assert_eq!(record("t", "20261120-213301-4f2a", 1).path("").get(6..26), Some("20261120-213301-4f2a"));
    }
}
