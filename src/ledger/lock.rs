//! One writer per environment: a lock that the kernel frees, however its holder ends.

use std::fmt;
use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::fs::{self, FsError};
use crate::base::unit::show_duration;
use crate::base::{Clock, Timestamp};

use super::file::{self, LedgerError, Writer};
use super::shared::Shared;
use super::{Entry, History, What, Who, folder};

/// How often a lock that is taken is tried again.
const TRIES: u32 = 10;
/// How often at most, while whoever took it has not yet written who he is.
const TRIES_UNNAMED: u32 = 400;
/// And how long after.
const BETWEEN: Duration = Duration::from_millis(5);

/// Who holds a lock.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Who.
    pub who: Who,
    /// Since when.
    pub since: Timestamp,
    /// Doing what: `prod.deploy`, `rollback prod`.
    pub doing: String,
    /// The run.
    pub run: String,
    /// How that is known.
    #[serde(default)]
    pub hold: Hold,
    /// When this was read; not kept.
    #[serde(skip)]
    pub read: Timestamp,
}

/// How it is known that somebody has an environment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hold {
    /// He has the lock of this checkout.
    #[default]
    Lock,
    /// The ledger says so, and his process lives.
    Lives,
    /// The ledger says so, and whether he is still at it cannot be told from here.
    Unknown,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Who { user, host, process } = &self.who;
        if user.is_empty() {
            return f.write_str("another envrun");
        }
        let pid = process.pid;
        write!(f, "{user}@{host} (process {pid}, `{}`) since {}", self.doing, moment(self.since))?;
        if self.read > self.since {
            write!(f, ", {} ago", show_duration(self.read.since(self.since)))?;
        }
        if self.hold == Hold::Unknown {
            f.write_str("; whether that still goes on cannot be told from here")?;
        }
        Ok(())
    }
}

/// Date and time in UTC, to the second.
fn moment(time: Timestamp) -> String {
    let millis = i64::try_from(time.0).unwrap_or(i64::MAX);
    let moment = jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX);
    moment.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// An environment that is ours to change, and its ledger, open to be written.
#[derive(Debug)]
pub struct Locked {
    env: String,
    clock: Clock,
    history: History,
    writer: Writer,
    shared: Option<Shared>,
    /// Why the last lines are not shared, if they are not.
    unshared: Option<String>,
    /// Locked as long as it is open.
    lock: File,
}

impl Drop for Locked {
    fn drop(&mut self) {
        // Whoever comes upon the next holder before he has written his name shall not read this one's.
        let _ = self.lock.set_len(0);
        // Now, also if a child that is about to become another program still shares it.
        let _ = self.lock.unlock();
    }
}

impl Locked {
    /// Locks an environment, or says who has it. With a `remote` its ledger is shared: what others wrote is taken over first.
    pub fn take(
        root: &Path,
        env: &str,
        holder: &Holder,
        clock: &Clock,
        remote: Option<&str>,
    ) -> Result<Self, LedgerError> {
        let folder = folder(root, env);
        fs::create_folder(&folder)?;
        ignore(root)?;
        let path = folder.join("lock");
        let error = |error| FsError::new("lock", &path, error);
        let open = File::options().read(true).write(true).create(true).truncate(false).open(&path);
        let mut lock = open.map_err(error)?;
        let mut tries = 0;
        while let Err(reason) = lock.try_lock() {
            match reason {
                TryLockError::Error(reason) => return Err(error(reason).into()),
                // Whoever only asks who has it, has it for a moment himself.
                TryLockError::WouldBlock if tries < TRIES => {
                    tries += 1;
                    std::thread::sleep(BETWEEN);
                }
                TryLockError::WouldBlock => {
                    let held = read_holder(&mut lock);
                    if held.is_none() && tries < TRIES_UNNAMED {
                        tries += 1;
                        std::thread::sleep(BETWEEN);
                        continue;
                    }
                    let mut holder = held.unwrap_or_default();
                    holder.read = clock.now();
                    return Err(LedgerError::Held { env: env.to_owned(), holder: Box::new(holder) });
                }
            }
        }
        // In one write: whoever reads meanwhile sees the old holder or the new one, or text that is none.
        let text = serde_json::to_vec(holder).expect("a holder has only text for keys");
        let written = lock.set_len(0).and_then(|()| lock.rewind()).and_then(|()| lock.write_all(&text));
        written.map_err(error)?;
        let path = folder.join(file::NAME);
        let shared = remote.map(|remote| Shared::new(root, remote, env));
        if let Some(shared) = &shared {
            shared.pull(&path)?;
        }
        let (entries, tail) = file::read(&path)?;
        let writer = Writer::open(&path, tail)?;
        let history = History::of(entries);
        let mut locked =
            Self { env: env.to_owned(), clock: clock.clone(), history, writer, shared, unshared: None, lock };
        locked.share(None)?;
        Ok(locked)
    }

    /// The environment.
    pub fn env(&self) -> &str {
        &self.env
    }

    /// Everything that is written so far.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Why the last lines are not shared with others, if they are not: the next who locks the environment here shares them.
    pub fn unshared(&self) -> Option<&str> {
        self.unshared.as_deref()
    }

    /// Of one that was locked without its remote: why that is so. The next who locks the environment here shares what is written.
    pub fn alone(mut self, error: &LedgerError) -> Self {
        self.unshared = Some(error.to_string());
        self
    }

    /// Shares what is written, and an entry that is not yet.
    fn share(&mut self, entry: Option<&Entry>) -> Result<(), LedgerError> {
        if let Some(shared) = &self.shared {
            shared.push(&self.env, &self.writer.whole(entry)?)?;
            self.unshared = None;
        }
        Ok(())
    }

    /// Writes a line; it is on the disk when this returns.
    pub fn write(&mut self, what: What) -> Result<(), LedgerError> {
        let entry = Entry { seq: self.writer.next(), time: self.clock.now(), what };
        match &entry.what {
            // Nothing begins that others do not know of.
            What::Began(_) => self.share(Some(&entry))?,
            What::Reached(reached) if !reached.phase.touched() => {}
            // What has begun is brought to its end, whether or not the remote can be reached meanwhile.
            _ => match self.share(Some(&entry)) {
                Err(LedgerError::Ref(error)) => self.unshared = Some(error.to_string()),
                other => other?,
            },
        }
        self.writer.append(&entry)?;
        self.history.take(entry);
        Ok(())
    }
}

/// Who holds the lock in this folder, if anybody does.
pub(super) fn holder(folder: &Path) -> Option<Holder> {
    let mut lock = File::options().read(true).open(folder.join("lock")).ok()?;
    match lock.try_lock_shared() {
        Err(TryLockError::WouldBlock) => Some(read_holder(&mut lock).unwrap_or_default()),
        Ok(()) | Err(TryLockError::Error(_)) => None,
    }
}

fn read_holder(lock: &mut File) -> Option<Holder> {
    let mut text = String::new();
    lock.rewind().ok()?;
    lock.take(1 << 16).read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

/// What envrun keeps below a project is nothing for git.
fn ignore(root: &Path) -> Result<(), FsError> {
    let ignore = root.join(crate::record::STATE_DIR).join(".gitignore");
    if ignore.exists() { Ok(()) } else { fs::write_atomic(&ignore, b"*\n") }
}
