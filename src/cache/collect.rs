//! What is in the store, and what goes when it grows too large or too old.
//!
//! The least recently used goes first; the time of use is the file's modification time, noted at most once an hour. What
//! a living envrun may have found stays: every process that uses the store holds a lock on a file of its own in `runs/`,
//! and nothing goes that was used after the oldest of them began. Removing is safe at any moment all the same: whoever
//! has a file open reads it to its end, and whoever comes later has a miss.

use std::fs::{File, Metadata};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use rustix::fs::FlockOperation;

use crate::base::Digest;
use crate::base::fs::FsError;

use super::entry::{Entry, MAX_ENTRY, PathSets};
use super::store::{NOTED, read_limited};
use super::{CacheKey, LocalStore};

/// A collection is due this long after the last one.
const EVERY: Duration = Duration::from_secs(24 * 60 * 60);
/// A temporary file that is older than this belongs to nobody any more.
const ABANDONED: Duration = Duration::from_secs(24 * 60 * 60);

const ROOMS: [&str; 3] = ["results", "paths", "blobs"];

/// How much is in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Results.
    pub results: u64,
    /// Bytes of results, with the small files in them.
    pub result_bytes: u64,
    /// Large files and packs of small ones.
    pub blobs: u64,
    /// Bytes of these.
    pub blob_bytes: u64,
}

/// What a collection did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Collected {
    /// Files that went.
    pub files: u64,
    /// Bytes that went.
    pub bytes: u64,
    /// Bytes that stayed.
    pub left: u64,
}

/// A result as `cache ls` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// What it is found by.
    pub key: CacheKey,
    /// Bytes, blobs included.
    pub size: u64,
    /// When it was last used.
    pub used: SystemTime,
    /// The run that made it.
    pub run: String,
    /// The outputs, as shown to people.
    pub outputs: Vec<String>,
}

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verified {
    /// Files that are what they should be.
    pub good: u64,
    /// Files that were not, and were thrown away.
    pub bad: Vec<PathBuf>,
}

struct Item {
    path: PathBuf,
    size: u64,
    used: SystemTime,
}

impl LocalStore {
    /// Every file in a room.
    fn items(&self, room: &str) -> Vec<Item> {
        let folder = self.dir.join(room);
        let shards = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let files = shards.flat_map(|shard| std::fs::read_dir(shard.path()).into_iter().flatten().flatten());
        files
            .filter_map(|file| {
                // Gone in the meantime: somebody else collects too.
                let meta: Metadata = file.metadata().ok().filter(Metadata::is_file)?;
                Some(Item { path: file.path(), size: meta.len(), used: meta.modified().ok()? })
            })
            .collect()
    }

    /// Whether what is in the store can be told: a folder that may not be read is not an empty one.
    pub fn check_readable(&self) -> Result<(), FsError> {
        for folder in [self.dir.clone()].into_iter().chain(ROOMS.iter().map(|room| self.dir.join(room))) {
            match std::fs::read_dir(&folder) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(FsError::new("list", folder, error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// How much is in the store.
    pub fn stats(&self) -> Stats {
        let (results, blobs) = (self.items("results"), self.items("blobs"));
        Stats {
            results: results.len() as u64,
            result_bytes: results.iter().map(|item| item.size).sum(),
            blobs: blobs.len() as u64,
            blob_bytes: blobs.iter().map(|item| item.size).sum(),
        }
    }

    /// Every result, the last used first. One that cannot be read is left out.
    pub fn list(&self) -> Vec<Listed> {
        let mut listed: Vec<Listed> = self
            .items("results")
            .into_iter()
            .filter_map(|item| {
                let key = CacheKey(digest_of_place(&item.path)?);
                let bytes = read_limited(&item.path, MAX_ENTRY).ok()??;
                let entry = Entry::decode(&key, bytes)?;
                Some(Listed {
                    key,
                    size: item.size + entry.blobs().map(|(_, len)| len).sum::<u64>(),
                    used: item.used,
                    run: entry.result.run.clone(),
                    outputs: entry
                        .result
                        .outputs
                        .iter()
                        .map(|output| output.path.display().into_owned())
                        .collect(),
                })
            })
            .collect();
        listed.sort_by(|a, b| b.used.cmp(&a.used).then(a.key.cmp(&b.key)));
        listed
    }

    /// Whether it is time to look for what can go: once a day, or when this process added a tenth of what may be there.
    pub fn is_collection_due(&self) -> bool {
        if self.added.load(Ordering::Relaxed) > self.limits.max_size / 10 {
            return true;
        }
        match std::fs::metadata(self.dir.join("collected")).and_then(|meta| meta.modified()) {
            Ok(last) => SystemTime::now().duration_since(last).map_or(true, |age| age > EVERY),
            Err(_) => self.added.load(Ordering::Relaxed) > 0,
        }
    }

    /// Removes what was not used for longer than the limits allow, then the least recently used until the rest fits.
    /// Does nothing while another process collects.
    pub fn collect(&self) -> Result<Collected, FsError> {
        self.make_folder(&self.dir)?;
        let stamp = self.dir.join("collected");
        let error = |error: std::io::Error| FsError::new("write", &stamp, error);
        let lock = File::options().write(true).create(true).truncate(false).open(&stamp).map_err(error)?;
        if rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Ok(Collected::default());
        }
        let now = SystemTime::now();
        lock.set_modified(now).map_err(error)?;
        self.added.store(0, Ordering::Relaxed);
        self.sweep(now);

        let pinned = self.pinned();
        let spared = self.oldest_run().and_then(|began| began.checked_sub(NOTED));
        let mut items: Vec<Item> = ROOMS.iter().flat_map(|room| self.items(room)).collect();
        // Blobs after the results that were used with them: a result without its blobs is of no use, and in the way.
        let blobs = self.dir.join("blobs");
        items.sort_by_cached_key(|item| {
            (
                item.used + if item.path.starts_with(&blobs) { NOTED } else { Duration::ZERO },
                item.path.clone(),
            )
        });
        let mut collected =
            Collected { left: items.iter().map(|item| item.size).sum(), ..Collected::default() };
        let too_large = collected.left > self.limits.max_size;
        // Some room below the limit, so that the next result does not ask for the next collection.
        let goal = self.limits.max_size - self.limits.max_size / 10;
        for item in items {
            let old = now.duration_since(item.used).is_ok_and(|age| age > self.limits.max_age);
            let may_be_in_use = spared.is_some_and(|spared| item.used >= spared);
            if may_be_in_use || pinned.contains(&item.path) || !(old || too_large && collected.left > goal) {
                continue;
            }
            if std::fs::remove_file(&item.path).is_ok() {
                collected.files += 1;
                collected.bytes += item.size;
                collected.left -= item.size;
            }
        }
        Ok(collected)
    }

    /// Removes what killed processes left half-written.
    fn sweep(&self, now: SystemTime) {
        for file in std::fs::read_dir(self.dir.join("tmp")).into_iter().flatten().flatten() {
            let written = file.metadata().and_then(|meta| meta.modified());
            let abandoned =
                written.is_ok_and(|written| now.duration_since(written).is_ok_and(|age| age > ABANDONED));
            if abandoned {
                let _ = std::fs::remove_file(file.path());
            }
        }
    }

    /// When the oldest process that uses the store began; the files of those that are no more are removed.
    fn oldest_run(&self) -> Option<SystemTime> {
        let mut oldest = None;
        for file in std::fs::read_dir(self.dir.join("runs")).into_iter().flatten().flatten() {
            let path = file.path();
            let Ok(locked) = File::options().write(true).open(&path) else { continue };
            if rustix::fs::flock(&locked, FlockOperation::NonBlockingLockExclusive).is_ok() {
                let _ = std::fs::remove_file(&path);
                continue;
            }
            if let Ok(began) = locked.metadata().and_then(|meta| meta.modified()) {
                oldest = Some(oldest.map_or(began, |oldest: SystemTime| oldest.min(began)));
            }
        }
        oldest
    }

    /// Reads every file of the store and throws away what is not what it should be.
    pub fn verify(&self) -> Verified {
        let mut verified = Verified::default();
        for room in ROOMS {
            for item in self.items(room) {
                if self.is_good(room, &item.path) {
                    verified.good += 1;
                } else {
                    let _ = std::fs::remove_file(&item.path);
                    verified.bad.push(item.path);
                }
            }
        }
        verified.bad.sort();
        verified
    }

    fn is_good(&self, room: &str, path: &Path) -> bool {
        let Some(digest) = digest_of_place(path) else { return false };
        if room == "blobs" {
            return File::open(path)
                .and_then(|mut file| Digest::read(&mut file))
                .is_ok_and(|found| found == digest);
        }
        let Ok(Some(bytes)) = read_limited(path, MAX_ENTRY) else { return false };
        let key = CacheKey(digest);
        if room == "paths" {
            PathSets::decode(&key, &bytes).is_some()
        } else {
            Entry::decode(&key, bytes).is_some()
        }
    }

    /// Removes everything.
    pub fn clear(&self) -> Result<(), FsError> {
        for room in ROOMS.into_iter().chain(["tmp"]) {
            let path = self.dir.join(room);
            match std::fs::remove_dir_all(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(FsError::new("remove", path, error));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// The digest that a place in the store is named after.
fn digest_of_place(path: &Path) -> Option<Digest> {
    let rest = path.file_name()?.to_str()?;
    let shard = path.parent()?.file_name()?.to_str()?;
    Digest::from_hex(&format!("{shard}{rest}"))
}
