//! A file of records that grows at its end, shared by every process that works in the checkout.
//!
//! ```text
//! magic (16 bytes) | record | record | …          record = length (u32) | check (8 bytes of blake3) | payload
//! ```
//! Whoever appends holds an exclusive lock on the file. A record that is cut short or does not fit its check ends the
//! file: what stands behind it is forgotten, and the next one who appends cuts it off. A file with another magic counts
//! as empty. Compaction writes a new file and renames it over the old one; whoever then finds that the file it has open
//! is no longer the one with the name reads the new one.
//!
//! Nothing is synced: all of it can be learned again by looking.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

use crate::base::checksum;
use crate::base::fs::{FsError, write_atomic_with};

const HEAD: usize = 12;

/// Where a process stands in the file.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    magic: &'static [u8; 16],
    /// The file as it was last seen: device, inode, and the end of its last good record. `None` before it was there.
    known: Option<Known>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Known {
    dev: u64,
    inode: u64,
    end: u64,
}

/// What others wrote since the last look.
#[derive(Debug, Default)]
pub(super) struct News {
    /// The file is another one: forget what was known of the old one, and read all of `records`.
    pub(super) replaced: bool,
    pub(super) records: Records,
}

/// Good records as they were read.
#[derive(Debug, Default)]
pub(super) struct Records {
    pub(super) bytes: Vec<u8>,
    /// Where in `bytes` the payload of each lies.
    pub(super) payloads: Vec<Range<usize>>,
}

impl Records {
    /// The good records from `start` on.
    pub(super) fn check(bytes: Vec<u8>, start: usize) -> Self {
        let mut payloads = Vec::new();
        let mut at = start;
        while let Some(head) = bytes.get(at..).and_then(|rest| rest.first_chunk::<HEAD>()) {
            let len = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
            let Some(payload) = bytes[at + HEAD..].get(..len) else { break };
            if check(payload) != head[4..] {
                break;
            }
            payloads.push(at + HEAD..at + HEAD + len);
            at += HEAD + len;
        }
        Self { bytes, payloads }
    }

    /// Where the last of them ends.
    fn end(&self, start: usize) -> usize {
        self.payloads.last().map_or(start, |payload| payload.end)
    }
}

/// Adds a record to `buffer`, made by `write`.
pub(super) fn push_record(buffer: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = buffer.len();
    buffer.extend_from_slice(&[0; HEAD]);
    write(buffer);
    let (head, payload) = buffer[start..].split_at_mut(HEAD);
    let len = u32::try_from(payload.len()).expect("a record is cut long before four gigabytes");
    head[..4].copy_from_slice(&len.to_le_bytes());
    head[4..].copy_from_slice(&check(payload));
}

fn check(payload: &[u8]) -> [u8; 8] {
    checksum(payload).to_le_bytes()
}

impl Journal {
    pub(super) fn new(path: PathBuf, magic: &'static [u8; 16]) -> Self {
        Self { path, magic, known: None }
    }

    /// Reads the file for the first time. What cannot be read counts as empty.
    pub(super) fn load(&mut self) -> Records {
        let Ok(mut file) = File::open(&self.path) else { return Records::default() };
        self.read_from(&mut file, 0).map(|(records, _)| records).unwrap_or_default()
    }

    /// Reads from `start` on (0: the magic too) and remembers where the good records end; whether the file has the magic.
    fn read_from(&mut self, file: &mut File, start: u64) -> io::Result<(Records, bool)> {
        let meta = file.metadata()?;
        let mut bytes = Vec::with_capacity(usize::try_from(meta.len().saturating_sub(start)).unwrap_or(0));
        file.seek(SeekFrom::Start(start))?;
        file.read_to_end(&mut bytes)?;
        let magic = if start == 0 { self.magic.len() } else { 0 };
        if start == 0 && !bytes.starts_with(self.magic) {
            self.known = None;
            return Ok((Records::default(), false));
        }
        let records = Records::check(bytes, magic);
        self.known =
            Some(Known { dev: meta.dev(), inode: meta.ino(), end: start + records.end(magic) as u64 });
        Ok((records, true))
    }

    /// Appends what `write` makes of the news, under the lock. Gives the length of the file.
    pub(super) fn append(&mut self, write: impl FnOnce(&News) -> Vec<u8>) -> Result<u64, FsError> {
        let mut file = self.locked()?;
        self.append_locked(&mut file, write).map_err(|error| {
            // What of it is in the file now is not worth guessing: whoever appends next reads it all.
            self.known = None;
            FsError::new("write", &self.path, error)
        })
    }

    fn append_locked(&mut self, file: &mut File, write: impl FnOnce(&News) -> Vec<u8>) -> io::Result<u64> {
        let (news, magic) = self.news(file)?;
        if !magic {
            file.set_len(0)?;
            file.seek(SeekFrom::Start(0))?;
            file.write_all(self.magic)?;
            let meta = file.metadata()?;
            self.known = Some(Known { dev: meta.dev(), inode: meta.ino(), end: self.magic.len() as u64 });
        }
        let bytes = write(&news);
        let known = self.known.as_mut().expect("set above");
        if bytes.is_empty() {
            return Ok(known.end);
        }
        // A torn tail, of somebody who was killed while he wrote.
        file.set_len(known.end)?;
        file.seek(SeekFrom::Start(known.end))?;
        if let Err(error) = file.write_all(&bytes) {
            // A full disk: the half that was written must not stay in the way. If this fails too, the check tells.
            let _ = file.set_len(known.end);
            return Err(error);
        }
        known.end += bytes.len() as u64;
        Ok(known.end)
    }

    /// What stands in the file since the last look, without a lock: a record that somebody is writing just now is not there
    /// yet. What cannot be read is no news.
    pub(super) fn listen(&mut self) -> News {
        let is_known = |meta: &std::fs::Metadata| {
            self.known == Some(Known { dev: meta.dev(), inode: meta.ino(), end: meta.len() })
        };
        // Mostly there are none, and whoever asks has a command to run.
        if std::fs::metadata(&self.path).is_ok_and(|meta| is_known(&meta)) {
            return News::default();
        }
        let Ok(mut file) = File::open(&self.path) else { return News::default() };
        self.news(&mut file).map(|(news, _)| news).unwrap_or_default()
    }

    /// What others wrote; whether the file has the magic.
    fn news(&mut self, file: &mut File) -> io::Result<(News, bool)> {
        let meta = file.metadata()?;
        let mut news = News::default();
        match self.known.filter(|known| known.dev == meta.dev() && known.inode == meta.ino()) {
            // Shorter than it was: somebody emptied it by hand.
            Some(known) if known.end > meta.len() => self.known = None,
            Some(known) if known.end < meta.len() => news.records = self.read_from(file, known.end)?.0,
            Some(_) => {}
            None => self.known = None,
        }
        let mut magic = true;
        if self.known.is_none() {
            news.replaced = true;
            (news.records, magic) = self.read_from(file, 0)?;
        }
        Ok((news, magic))
    }

    /// Replaces the whole file by what `write` makes of its records, under the lock.
    pub(super) fn rewrite(&mut self, write: impl FnOnce(Records) -> Vec<u8>) -> Result<(), FsError> {
        let mut file = self.locked()?;
        let (records, _) =
            self.read_from(&mut file, 0).map_err(|error| FsError::new("read", &self.path, error))?;
        let new = write(records);
        let magic = self.magic;
        write_atomic_with(&self.path, 0o666, |file| {
            file.write_all(magic)?;
            file.write_all(&new)
        })?;
        // Whoever appends next finds another file and reads it.
        self.known = None;
        Ok(())
    }

    /// Opens the file, makes it if it is missing, and locks it until it is dropped.
    fn locked(&self) -> Result<File, FsError> {
        let error = |error: io::Error| FsError::new("write", &self.path, error);
        loop {
            let open =
                || File::options().read(true).write(true).create(true).truncate(false).open(&self.path);
            let file = match open() {
                Err(missing) if missing.kind() == io::ErrorKind::NotFound => {
                    crate::base::fs::create_folder(self.path.parent().unwrap_or(Path::new(".")))?;
                    open()
                }
                other => other,
            }
            .map_err(error)?;
            match rustix::fs::flock(&file, FlockOperation::LockExclusive) {
                Ok(()) => {}
                Err(rustix::io::Errno::INTR) => continue,
                // A file system without locks: the checks still keep torn records out.
                Err(_) => return Ok(file),
            }
            // Renamed over while we waited: the lock is on a file that nobody will read again.
            let here = std::fs::metadata(&self.path);
            let same = here.is_ok_and(|here| {
                file.metadata().is_ok_and(|ours| ours.ino() == here.ino() && ours.dev() == here.dev())
            });
            if same {
                return Ok(file);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAGIC: &[u8; 16] = b"a test's journal";

    fn record(text: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        push_record(&mut bytes, |to| to.extend_from_slice(text.as_bytes()));
        bytes
    }

    fn texts(records: &Records) -> Vec<String> {
        let text =
            |payload: &Range<usize>| String::from_utf8(records.bytes[payload.clone()].to_vec()).unwrap();
        records.payloads.iter().map(text).collect()
    }

    fn copy(records: Records) -> Vec<u8> {
        texts(&records).iter().flat_map(|text| record(text)).collect()
    }

    fn journal(dir: &Path) -> Journal {
        Journal::new(dir.join("state/journal"), MAGIC)
    }

    #[test]
    fn what_is_appended_is_loaded() {
        let dir = tempfile::tempdir().unwrap();
        let mut one = journal(dir.path());
        assert!(one.load().payloads.is_empty());
        one.append(|_| record("a")).unwrap();
        one.append(|news| {
            assert!(!news.replaced && news.records.payloads.is_empty());
            record("b")
        })
        .unwrap();
        assert_eq!(texts(&journal(dir.path()).load()), ["a", "b"]);
    }

    #[test]
    fn two_processes_see_each_others_records() {
        let dir = tempfile::tempdir().unwrap();
        let (mut one, mut two) = (journal(dir.path()), journal(dir.path()));
        one.append(|_| record("a")).unwrap();
        two.load();
        one.append(|_| record("b")).unwrap();
        two.append(|news| {
            assert_eq!(texts(&news.records), ["b"]);
            record("c")
        })
        .unwrap();
        one.rewrite(|records| {
            assert_eq!(texts(&records), ["a", "b", "c"]);
            record("abc")
        })
        .unwrap();
        two.append(|news| {
            assert!(news.replaced);
            assert_eq!(texts(&news.records), ["abc"]);
            record("d")
        })
        .unwrap();
        assert_eq!(texts(&one.load()), ["abc", "d"]);
    }

    #[test]
    fn cut_anywhere_it_keeps_the_records_before_and_heals() {
        let dir = tempfile::tempdir().unwrap();
        let mut one = journal(dir.path());
        one.append(|_| [record("a"), record("bb"), record("ccc")].concat()).unwrap();
        let whole = std::fs::read(&one.path).unwrap();
        for end in 0..=whole.len() {
            std::fs::write(&one.path, &whole[..end]).unwrap();
            let mut cut = journal(dir.path());
            let found = texts(&cut.load());
            assert!(["a", "bb", "ccc"].starts_with(&found.iter().map(String::as_str).collect::<Vec<_>>()));
            cut.append(|_| record("new")).unwrap();
            let healed = texts(&journal(dir.path()).load());
            assert_eq!(healed, [found, vec!["new".to_owned()]].concat(), "cut at {end}");
        }
    }

    #[test]
    fn flipped_anywhere_it_never_gives_another_record() {
        let dir = tempfile::tempdir().unwrap();
        let mut one = journal(dir.path());
        one.append(|_| [record("a"), record("bb"), record("ccc")].concat()).unwrap();
        let whole = std::fs::read(&one.path).unwrap();
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut bad = whole.clone();
                bad[at] ^= 1 << bit;
                std::fs::write(&one.path, &bad).unwrap();
                let found = texts(&journal(dir.path()).load());
                assert!(
                    ["a", "bb", "ccc"].starts_with(&found.iter().map(String::as_str).collect::<Vec<_>>()),
                    "flipped at {at}: {found:?}"
                );
                assert!(found.len() < 3);
            }
        }
    }

    #[test]
    fn threads_that_append_at_once_lose_nothing() {
        let dir = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let dir = dir.path();
                scope.spawn(move || {
                    let mut mine = journal(dir);
                    for count in 0..25 {
                        mine.append(|_| record(&format!("{thread}-{count}"))).unwrap();
                        if count % 10 == 9 {
                            mine.rewrite(copy).unwrap();
                        }
                    }
                });
            }
        });
        let mut found = texts(&journal(dir.path()).load());
        found.sort();
        found.dedup();
        assert_eq!(found.len(), 100);
    }
}
