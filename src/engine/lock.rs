//! Two envruns in one checkout do not write into one place at the same time: neither the same node twice, nor what an
//! environment and another one both make there.

use std::fs::{File, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use crate::base::{Digest, Identity};
use crate::record::STATE_DIR;

/// The right to write a node's outputs, freed by the kernel when envrun ends, however it ends.
#[derive(Debug)]
pub struct NodeLock {
    file: File,
    /// Somebody else had it after the moment that was asked about: what was found out by then may be out of date.
    pub was_taken: bool,
    waited: bool,
    /// What is left in the file for those who wait.
    line: String,
}

/// How it was come by.
#[derive(Debug)]
pub enum Taken {
    /// It is ours.
    Ours(NodeLock),
    /// There is none to be had (a read-only tree, a file system without locks), or the one who has it runs what asks for
    /// it, and waits for it. Work goes on: the lock saves work that is done twice, it is not what makes results right.
    Without,
    /// The node itself runs what asks for it: they would wait for each other for ever.
    WithinItself,
    /// Nobody wants it any more.
    GivenUp,
}

/// Who has a lock that somebody waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The envrun that has it.
    pub process: Identity,
    /// The node that it makes.
    pub label: String,
}

/// By how much the file system's clock may be behind ours: its tick, and a margin.
const TICK: Duration = Duration::from_millis(50);

/// How long between two looks whether the lock is free, at most: the kernel can be waited for, but not given up.
const PAUSE: Duration = Duration::from_millis(20);

impl NodeLock {
    /// Waits for the lock of a place, for the node `label`, which was looked at in the moment `since`. As long as somebody
    /// else has it, `waits` is asked whether to go on, with how long it is by now, and who that is if he has said so.
    pub fn take(
        root: &Path,
        place: &Digest,
        label: &str,
        since: SystemTime,
        mut waits: impl FnMut(Duration, Option<&Holder>) -> bool,
    ) -> Taken {
        let Ok((file, is_new)) = open(root, place) else { return Taken::Without };
        let began = Instant::now();
        let mut pause = Duration::from_millis(1);
        let mut ancestor = None;
        let mut waited = false;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(_)) => return Taken::Without,
                Err(TryLockError::WouldBlock) => waited = true,
            }
            let holder = Holder::of(&file);
            if let Some(holder) = &holder
                && holder.process.is_ancestor()
            {
                // Who had it before stands there for a moment, until the one who has it now has written his own.
                if ancestor.as_ref() == Some(holder) {
                    return if holder.label == label { Taken::WithinItself } else { Taken::Without };
                }
                ancestor = Some(holder.clone());
            }
            if !waits(began.elapsed(), holder.as_ref()) {
                return Taken::GivenUp;
            }
            std::thread::sleep(pause);
            pause = PAUSE.min(pause * 2);
        }
        // Whoever had it and gave it back before we came left a stamp.
        let stamped = || -> io::Result<SystemTime> { file.metadata()?.modified() };
        let was_taken = waited || !is_new && stamped().ok().is_some_and(|stamp| stamp + TICK >= since);
        let line = format!("{} {label}\n", Identity::own().word());
        Taken::Ours(Self { file, was_taken, waited, line })
    }

    /// The last one who had it was this run.
    pub fn forget_stamp(&mut self) {
        self.was_taken = self.waited;
    }

    /// Tells those who looked at the node while we had it that there is something new, and those who wait who we are. Once
    /// before anything is written, for whoever comes when we were killed, and once when all is.
    pub fn stamp(&self) {
        let _ = self.file.write_all_at(self.line.as_bytes(), 0);
    }
}

/// Opens the file of a place's lock; whether nobody had made it before.
fn open(root: &Path, place: &Digest) -> io::Result<(File, bool)> {
    let folder = root.join(STATE_DIR).join("locks");
    let path = folder.join(place.short());
    let make = || File::options().create_new(true).read(true).write(true).open(&path);
    let made = match make() {
        Err(missing) if missing.kind() == ErrorKind::NotFound => {
            std::fs::create_dir_all(&folder).and_then(|()| make())
        }
        other => other,
    };
    match made {
        Ok(file) => Ok((file, true)),
        Err(there) if there.kind() == ErrorKind::AlreadyExists => {
            Ok((File::options().read(true).write(true).open(&path)?, false))
        }
        Err(error) => Err(error),
    }
}

impl Holder {
    /// Who last wrote into a lock's file.
    fn of(file: &File) -> Option<Self> {
        let mut bytes = [0; 1024];
        let len = file.read_at(&mut bytes, 0).ok()?;
        // What stands behind the line is of a longer one.
        let (line, _) = std::str::from_utf8(&bytes[..len]).ok()?.split_once('\n')?;
        let (process, label) = line.split_once(' ')?;
        Some(Self { process: Identity::from_word(process)?, label: label.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours(taken: Taken) -> NodeLock {
        match taken {
            Taken::Ours(lock) => lock,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn whoever_looked_before_another_was_done_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let long_ago = SystemTime::UNIX_EPOCH;
        let place = Digest::of(b"a");
        let take = |since| ours(NodeLock::take(dir.path(), &place, "a", since, |_, _| true));
        let first = take(long_ago);
        assert!(!first.was_taken, "nobody was there");
        first.stamp();
        drop(first);
        assert!(take(long_ago).was_taken);
        assert!(!take(SystemTime::now() + 2 * TICK).was_taken, "that was before we looked");
    }

    #[test]
    fn whoever_waits_knows_for_whom_and_may_give_up() {
        let dir = tempfile::tempdir().unwrap();
        let place = Digest::of(b"a");
        let take = |label: &str, waits: &mut dyn FnMut(Option<&Holder>) -> bool| {
            NodeLock::take(dir.path(), &place, label, SystemTime::now(), |_, holder| waits(holder))
        };
        let first = ours(take("first, with a long name", &mut |_| true));
        first.stamp();
        drop(first);
        let lock = ours(take("dev.a", &mut |_| true));
        lock.stamp();
        let mut seen = None;
        let given_up = take("prod.a", &mut |holder| {
            seen = holder.cloned();
            false
        });
        assert!(matches!(given_up, Taken::GivenUp), "{given_up:?}");
        assert_eq!(seen, Some(Holder { process: Identity::own(), label: "dev.a".into() }));
        let mut lock = Some(lock);
        let freed = ours(take("prod.a", &mut |_| {
            lock = None;
            true
        }));
        assert!(freed.was_taken);
    }
}
