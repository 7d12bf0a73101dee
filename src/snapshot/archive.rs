//! The copies of one snapshot node in one environment.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::base::fs::{self, FileLock, FsError};
use crate::base::{Clock, Digest, Timestamp};
use crate::ledger::{self, Saved};
use crate::model::Keep;
use crate::record::log_name;

use super::keep::kept;
use super::tree::{Contents, contents, create_private, remove_folder, stamp, sync_folder};

const COPY: &str = "copy.json";
const DATA: &str = "data";
const NEXT: &str = "next";
const LOCK: &str = "lock";
/// The end of the name of everything that is not whole yet, or not any longer.
const TEMPORARY: &str = ".envrun-tmp";

/// A copy could not be saved, read or found.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// A file or folder could not be used.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// Another envrun saves or removes copies of the same node.
    #[error("another envrun is saving `{node}`{}", process.map(|process| format!(" (process {process})")).unwrap_or_default())]
    Busy {
        /// The node.
        node: String,
        /// Which process has the lock, as far as it said so.
        process: Option<u32>,
    },
    /// The `save` left nothing.
    #[error("the `save` of `{0}` wrote nothing into $SNAPSHOT")]
    Empty(String),
    /// What proved a copy changed it.
    #[error("the `verify` of `{0}` changed the copy that it should only have looked at")]
    Changed(String),
    /// The bytes are not those that were saved.
    #[error("copy {number} of `{node}` is damaged: {reason}")]
    Damaged {
        /// The node.
        node: String,
        /// Which of its copies.
        number: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// Nothing that could be a copy is named.
    #[error("`{0}` names no copy: it is no number, no day and no moment")]
    Unnamed(String),
    /// There is no such copy.
    #[error("`{node}` has no copy `{at}`")]
    None {
        /// The node.
        node: String,
        /// What was asked for.
        at: String,
        /// What there is, newest first, in words.
        there: Vec<String>,
    },
}

impl SnapshotError {
    /// What to do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::None { there, .. } if there.is_empty() => {
                Some("nothing was saved yet: run the snapshot first".into())
            }
            Self::None { there, .. } => Some(format!("there is {}", there.join(", "))),
            Self::Damaged { .. } => Some("`envrun snapshot list` shows what else there is".into()),
            Self::Unnamed(_) => Some(
                "`latest`, a number (`12`), a day (`2026-11-20`) or a moment (`2026-11-20T21:30`, in UTC with a `Z` behind)"
                    .into(),
            ),
            Self::Busy { .. } => Some("wait until it is done".into()),
            Self::Fs(_) | Self::Empty(_) | Self::Changed(_) => None,
        }
    }
}

/// What is written down about a copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copy {
    /// Its number, from 1; never given twice.
    pub number: u64,
    /// When it was saved.
    pub time: Timestamp,
    /// The node with its environment: `prod.db`.
    pub node: String,
    /// Its digest, as hexadecimal text.
    pub digest: String,
    /// How many files.
    pub files: u64,
    /// How many bytes.
    pub bytes: u64,
    /// Whether its `verify` proved it; `false` if there is none.
    pub verified: bool,
    /// What else is known.
    #[serde(flatten)]
    pub meta: Meta,
}

/// What whoever saves knows of a copy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// The revision of the project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// Why it was saved, in words that stand behind the time: `by hand`, `before release 7`, `before a restore`.
    pub why: String,
    /// The run.
    pub run: String,
    /// The user's name.
    pub user: String,
    /// The machine's.
    pub host: String,
}

impl Copy {
    /// When it was saved, in UTC, as it can be asked for.
    pub fn moment(&self) -> String {
        let millis = i64::try_from(self.time.0).unwrap_or(i64::MAX);
        let moment = jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX);
        moment.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }

    /// What there is of it, in words: `copy 12: 3 files, 1.2 MiB, verified`.
    pub fn summary(&self) -> String {
        let files = if self.files == 1 { "file" } else { "files" };
        let size = crate::base::unit::show_size(self.bytes);
        let proof = if self.verified { ", verified" } else { "" };
        format!("copy {}: {} {files}, {size}{proof}", self.number, self.files)
    }
}

/// The copies there are.
#[derive(Debug, Default)]
pub struct Copies {
    /// The whole ones, oldest first.
    pub good: Vec<Copy>,
    /// Those whose description cannot be read, and why.
    pub damaged: Vec<(u64, String)>,
}

/// The copies of one snapshot node in one environment.
#[derive(Debug, Clone)]
pub struct Archive {
    /// The node with its environment: `prod.db`.
    node: String,
    folder: PathBuf,
}

impl Archive {
    /// The archive of a node, `db` or `api:db`, in an environment; `label` is how the two are called together.
    pub fn of(root: &Path, env: Option<&str>, node: &str, label: &str) -> Self {
        // A name of an environment has no dot in front, so this is nobody's.
        let folder = ledger::folder(root, env.unwrap_or(".none")).join("snapshots").join(folder_name(node));
        Self { node: label.to_owned(), folder }
    }

    /// The archive of the node that a ledger calls by its label.
    pub fn of_label(root: &Path, label: &str) -> Self {
        match label.split_once('.') {
            Some((env, node)) => Self::of(root, Some(env), node, label),
            None => Self::of(root, None, label, label),
        }
    }

    /// Removes what killed processes left half saved or half removed, in every environment. Where somebody is at work,
    /// nothing is: whoever holds the lock is not a dead process.
    pub fn sweep_all(root: &Path) {
        let entries = |folder: PathBuf| std::fs::read_dir(folder).into_iter().flatten().flatten();
        for env in entries(ledger::folder(root, "")) {
            for node in entries(env.path().join("snapshots")) {
                let node =
                    Self { node: node.file_name().to_string_lossy().into_owned(), folder: node.path() };
                if entries(node.folder.clone()).any(|entry| is_temporary(&entry)) {
                    let _ = node.lock();
                }
            }
        }
    }

    /// Where a copy lies, with its description.
    pub fn folder_of(&self, number: u64) -> PathBuf {
        self.folder.join(number.to_string())
    }

    /// Where the data of a copy lies.
    pub fn data(&self, number: u64) -> PathBuf {
        self.folder_of(number).join(DATA)
    }

    /// Every copy.
    pub fn copies(&self) -> Result<Copies, SnapshotError> {
        let mut copies = Copies::default();
        for number in self.numbers()? {
            let path = self.folder.join(number.to_string()).join(COPY);
            let parsed = fs::read(&path).map_err(|error| error.to_string()).and_then(|bytes| {
                serde_json::from_slice::<Copy>(&bytes)
                    .map_err(|error| format!("{} cannot be read: {error}", path.display()))
            });
            match parsed {
                Ok(copy) if copy.number == number => copies.good.push(copy),
                Ok(copy) => copies.damaged.push((number, format!("it says that it is copy {}", copy.number))),
                Err(reason) => copies.damaged.push((number, reason)),
            }
        }
        Ok(copies)
    }

    fn numbers(&self) -> Result<BTreeSet<u64>, SnapshotError> {
        let entries = match std::fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
            Err(error) => return Err(FsError::new("read the folder", &self.folder, error).into()),
        };
        let name = |entry: std::fs::DirEntry| entry.file_name().to_str()?.parse::<u64>().ok();
        Ok(entries.flatten().filter_map(name).collect())
    }

    /// The copy that `at` names: `latest`, a number, or a moment (`2026-11-20`, `2026-11-20T21:30`; UTC with a `Z`), which is
    /// the newest copy that was saved before it was over.
    pub fn find(&self, at: &str, zone: &TimeZone) -> Result<Copy, SnapshotError> {
        let copies = self.copies()?;
        let number = at.strip_prefix('#').unwrap_or(at).parse::<u64>().ok();
        if let Some((number, reason)) = copies.damaged.iter().find(|(damaged, _)| Some(*damaged) == number) {
            return Err(self.damaged(*number, reason.clone()));
        }
        let found = match (at, number) {
            ("latest", _) => copies.good.last(),
            (_, Some(number)) => copies.good.iter().find(|copy| copy.number == number),
            _ => {
                let end = end_of(at, zone).ok_or_else(|| SnapshotError::Unnamed(at.to_owned()))?;
                copies.good.iter().rev().find(|copy| copy.time < end)
            }
        };
        found.cloned().ok_or_else(|| {
            let say = |copy: &Copy| format!("{} of {}", copy.number, copy.moment());
            let there = copies.good.iter().rev().take(5).map(say).collect();
            SnapshotError::None { node: self.node.clone(), at: at.to_owned(), there }
        })
    }

    /// The copy that a ledger speaks of, if it is here: another checkout's has a number of another's counting.
    pub fn of_ledger(&self, saved: &Saved) -> Option<Copy> {
        let copy = self.numbered(saved.id.parse().ok()?)?;
        (saved.digest.is_empty() || copy.digest == saved.digest).then_some(copy)
    }

    /// The copy of a number, if it is here and undamaged.
    pub fn numbered(&self, number: u64) -> Option<Copy> {
        self.copies().ok()?.good.into_iter().find(|copy| copy.number == number)
    }

    /// Reads all of a copy: whether it is what was saved.
    pub fn check(&self, copy: &Copy) -> Result<(), SnapshotError> {
        let found = contents(&self.data(copy.number), false);
        let found = found.map_err(|error| self.damaged(copy.number, error.to_string()))?;
        if found.digest.to_hex() == copy.digest {
            return Ok(());
        }
        let reason = match (found.files, found.bytes) {
            counts if counts == (copy.files, copy.bytes) => "its bytes have changed".to_owned(),
            (files, bytes) => {
                format!("it has {files} files of {bytes} bytes, and had {} of {}", copy.files, copy.bytes)
            }
        };
        Err(self.damaged(copy.number, reason))
    }

    fn damaged(&self, number: u64, reason: String) -> SnapshotError {
        SnapshotError::Damaged { node: self.node.clone(), number, reason }
    }

    /// Begins a copy. What killed ones left is swept away.
    pub fn draft(&self) -> Result<Draft, SnapshotError> {
        let lock = self.lock()?;
        let next = self.folder.join(NEXT);
        let noted =
            fs::read_if_there(&next)?.and_then(|bytes| String::from_utf8(bytes).ok()?.trim().parse().ok());
        let highest = self.numbers()?.last().map_or(1, |last| last + 1);
        let number = noted.map_or(highest, |noted: u64| noted.max(highest));
        fs::write_atomic(&next, format!("{}\n", number + 1).as_bytes())?;
        let folder = self.folder.join(format!(".{number}.{}{TEMPORARY}", std::process::id()));
        create_private(&folder.join(DATA))?;
        Ok(Draft { archive: self.clone(), number, folder, _lock: lock, done: false })
    }

    /// Removes every copy that `keep` does not keep and that nobody has `pinned`. Gives those that were removed.
    pub fn prune(
        &self,
        keep: Keep,
        pinned: &BTreeSet<u64>,
        zone: &TimeZone,
    ) -> Result<Vec<Copy>, SnapshotError> {
        let _lock = self.lock()?;
        let copies = self.copies()?.good;
        let times: Vec<_> = copies.iter().map(|copy| (copy.number, copy.time)).collect();
        let kept = kept(&times, keep, zone);
        let mut removed = Vec::new();
        for copy in
            copies.into_iter().filter(|copy| !kept.contains(&copy.number) && !pinned.contains(&copy.number))
        {
            self.remove_locked(copy.number)?;
            removed.push(copy);
        }
        Ok(removed)
    }

    fn remove_locked(&self, number: u64) -> Result<(), SnapshotError> {
        let path = self.folder.join(number.to_string());
        let gone = self.folder.join(format!(".{number}.{}{TEMPORARY}", std::process::id()));
        // Under another name first: half a copy is none.
        std::fs::rename(&path, &gone).map_err(|error| FsError::new("remove", &path, error))?;
        Ok(remove_folder(&gone)?)
    }

    /// Locks the archive, and sweeps away what was left half done.
    fn lock(&self) -> Result<FileLock, SnapshotError> {
        create_private(&self.folder)?;
        let path = self.folder.join(LOCK);
        let Some(lock) = FileLock::take(&path)? else {
            // A process that ends leaves its number behind, and the next one writes its own over it a moment later.
            let process = std::fs::read_to_string(&path).ok().and_then(|text| text.trim().parse().ok());
            return Err(SnapshotError::Busy { node: self.node.clone(), process });
        };
        // Only to say who has it: a full disk is told where it matters.
        let number = format!("{:<10}\n", std::process::id());
        let _ = lock.file().write_all_at(number.as_bytes(), 0);
        for entry in std::fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            if is_temporary(&entry) {
                if entry.path().is_dir() {
                    remove_folder(&entry.path())?;
                } else {
                    fs::remove_file(&entry.path())?;
                }
            }
        }
        Ok(lock)
    }
}

/// A copy that is being made. Dropped before it is finished, it is gone.
#[derive(Debug)]
pub struct Draft {
    archive: Archive,
    number: u64,
    folder: PathBuf,
    done: bool,
    _lock: FileLock,
}

impl Draft {
    /// Its number.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The folder that the `save` fills: `$SNAPSHOT`.
    pub fn data(&self) -> PathBuf {
        self.folder.join(DATA)
    }

    /// Reads and syncs what was saved, lets `verify` prove it, and makes it a copy. `verify` says whether it did so: `None`
    /// if there is nothing that could prove it.
    pub fn finish<E: From<SnapshotError>>(
        mut self,
        clock: &Clock,
        meta: Meta,
        verify: impl FnOnce(&Path) -> Result<bool, E>,
    ) -> Result<Copy, E> {
        let node = self.archive.node.clone();
        let data = self.data();
        let Contents { digest, files, bytes } = contents(&data, true).map_err(SnapshotError::from)?;
        if files == 0 {
            return Err(SnapshotError::Empty(node).into());
        }
        let before: Digest = stamp(&data).map_err(SnapshotError::from)?;
        let verified = verify(&data)?;
        if verified && stamp(&data).map_err(SnapshotError::from)? != before {
            return Err(SnapshotError::Changed(node).into());
        }
        let (number, digest) = (self.number, digest.to_hex());
        let copy = Copy { number, time: clock.now(), node, digest, files, bytes, verified, meta };
        self.place(&copy).map_err(|error| E::from(error.into()))?;
        Ok(copy)
    }

    fn place(&mut self, copy: &Copy) -> Result<(), FsError> {
        let description = self.folder.join(COPY);
        let json = serde_json::to_vec_pretty(copy).expect("a copy has only text for keys");
        fs::write_atomic(&description, &json)?;
        let synced = File::open(&description).and_then(|file| file.sync_all());
        synced.map_err(|error| FsError::new("sync", &description, error))?;
        sync_folder(&self.folder)?;
        let path = self.archive.folder.join(self.number.to_string());
        std::fs::rename(&self.folder, &path).map_err(|error| FsError::new("write", &path, error))?;
        self.done = true;
        sync_folder(&self.archive.folder)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.done {
            // Whoever locks next sweeps what is left.
            let _ = remove_folder(&self.folder);
        }
    }
}

/// Whether something in an archive's folder is not whole yet, or not any longer.
fn is_temporary(entry: &std::fs::DirEntry) -> bool {
    entry.file_name().to_string_lossy().ends_with(TEMPORARY)
}

/// A name that is safe on every file system, and no other node's.
fn folder_name(node: &str) -> String {
    let name = log_name(node);
    name.strip_suffix(".log").unwrap_or(&name).to_owned()
}

/// The first moment that is no longer part of what `text` names.
fn end_of(text: &str, zone: &TimeZone) -> Option<Timestamp> {
    use jiff::ToSpan;

    let (text, zone) = match text.strip_suffix('Z') {
        Some(text) => (text, TimeZone::UTC),
        None => (text, zone.clone()),
    };
    let forms = [("%Y-%m-%dT%H:%M:%S", 1.second()), ("%Y-%m-%dT%H:%M", 1.minute())];
    let exact = forms
        .iter()
        .find_map(|(form, span)| jiff::civil::DateTime::strptime(form, text).ok()?.checked_add(*span).ok());
    let end = exact.or_else(|| {
        let day = jiff::civil::Date::strptime("%Y-%m-%d", text).ok()?;
        Some(day.tomorrow().ok()?.at(0, 0, 0, 0))
    })?;
    let millis = zone.to_timestamp(end).ok()?.as_millisecond();
    Some(Timestamp(u64::try_from(millis).ok()?))
}
