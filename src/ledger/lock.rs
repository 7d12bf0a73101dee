//! One writer per environment: a lock that the kernel frees, however its holder ends.

use std::fmt;
use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::fs::{self, FileLock, FsError};
use crate::base::unit::show_duration;
use crate::base::{Clock, Timestamp};

use super::file::{self, LedgerError, Writer};
use super::shared::Shared;
use super::{Entry, History, What, Who, folder, mend};

/// The file's name in the environment's folder.
pub(super) const NAME: &str = "lock";

/// For how long a lock that is taken is tried again: whoever only asks who has it, has it for a moment himself.
const PATIENCE: Duration = Duration::from_millis(50);
/// For how long, if whoever took it has not yet written who he is.
const UNNAMED: Duration = Duration::from_secs(2);

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

impl Holder {
    /// Who, doing what, since when.
    pub fn name(&self) -> String {
        let Who { user, host, process } = &self.who;
        if user.is_empty() {
            return "another envrun".to_owned();
        }
        format!("{user}@{host} (process {}, `{}`) since {}", process.pid, self.doing, moment(self.since))
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())?;
        if self.who.user.is_empty() {
            return Ok(());
        }
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
pub(super) fn moment(time: Timestamp) -> String {
    let millis = i64::try_from(time.0).unwrap_or(i64::MAX);
    let moment = jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX);
    moment.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// How the ledger of an environment is shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing<'r> {
    /// It is not.
    Alone,
    /// Through a git ref of this remote: nothing begins that others do not know of.
    Through(&'r str),
    /// The same, told when all is over: an emergency does not wait for a remote, and does not stop for a ledger that is
    /// damaged.
    Afterwards(&'r str),
    /// The emergency of one who shares it with nobody.
    AloneInAHurry,
}

/// An environment that is ours to change, and its ledger, open to be written.
#[derive(Debug)]
pub struct Locked {
    env: String,
    clock: Clock,
    history: History,
    writer: Writer,
    shared: Option<Shared>,
    /// Lines are shared when all is over, not one by one.
    is_afterwards: bool,
    /// Why the last lines are not shared, if they are not.
    unshared: Option<LedgerError>,
    /// What was found to be wrong, and does not stop an emergency.
    warnings: Vec<String>,
    /// As long as it is there, nobody else changes the environment.
    _lock: Acquired,
}

/// The lock of an environment, with the name of its holder in it.
#[derive(Debug)]
pub(super) struct Acquired(FileLock);

impl Drop for Acquired {
    fn drop(&mut self) {
        // Whoever comes upon the next holder before he has written his name shall not read this one's.
        let _ = self.0.file().set_len(0);
    }
}

/// Locks an environment, or says who has it.
pub(super) fn acquire(
    root: &Path,
    env: &str,
    holder: &Holder,
    clock: &Clock,
) -> Result<Acquired, LedgerError> {
    let folder = folder(root, env);
    fs::create_folder(&folder)?;
    ignore(root)?;
    let path = folder.join(NAME);
    let mut patience = PATIENCE;
    loop {
        if let Some(lock) = FileLock::take_within(&path, patience)? {
            let lock = Acquired(lock);
            // In one write: whoever reads meanwhile sees the old holder or the new one, or text that is none.
            let text = serde_json::to_vec(holder).expect("a holder has only text for keys");
            let mut file = lock.0.file();
            let written = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(&text));
            written.map_err(|error| FsError::new("lock", &path, error))?;
            return Ok(lock);
        }
        let held = File::open(&path).ok().and_then(|mut lock| read_holder(&mut lock));
        if held.is_none() && patience < UNNAMED {
            patience = UNNAMED;
            continue;
        }
        let holder = Holder { read: clock.now(), ..held.unwrap_or_default() };
        return Err(LedgerError::Held { env: env.to_owned(), holder: Box::new(holder) });
    }
}

impl Locked {
    /// Locks an environment, or says who has it. Of a shared ledger, what others wrote is taken over first.
    pub fn take(
        root: &Path,
        env: &str,
        holder: &Holder,
        clock: &Clock,
        sharing: Sharing<'_>,
    ) -> Result<Self, LedgerError> {
        let lock = acquire(root, env, holder, clock)?;
        let path = folder(root, env).join(file::NAME);
        let mut shared = match sharing {
            Sharing::Alone | Sharing::AloneInAHurry => None,
            Sharing::Through(remote) => Some(Shared::new(root, remote, env)),
            Sharing::Afterwards(remote) => Some(Shared::new(root, remote, env).in_a_hurry()),
        };
        let is_urgent = matches!(sharing, Sharing::Afterwards(_) | Sharing::AloneInAHurry);
        let mut warnings = Vec::new();
        if !is_urgent && let Some(shared) = &mut shared {
            shared.pull(&path)?;
        }
        let (entries, tail) = match file::read(&path) {
            Err(error @ LedgerError::Damaged { .. }) if is_urgent => {
                let (mended, _) = mend::mended(&path, &[], holder, clock)?;
                let kept = mended.kept.as_deref().unwrap_or(&path).display();
                warnings.push(format!(
                    "{error}; the emergency goes on with what could be read, and {kept} keeps what was there"
                ));
                file::read(&path)?
            }
            other => other?,
        };
        let writer = Writer::open(&path, tail)?;
        let mut locked = Self {
            env: env.to_owned(),
            clock: clock.clone(),
            history: History::of(entries),
            writer,
            shared,
            is_afterwards: is_urgent,
            unshared: None,
            warnings,
            _lock: lock,
        };
        if !is_urgent {
            locked.share(None)?;
        }
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

    /// What is wrong and did not stop an emergency; each once.
    pub fn warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }

    /// Shares what is not shared yet. Why that cannot be done, if it cannot: the next who locks the environment here shares
    /// it.
    pub fn settle(&mut self) -> Option<LedgerError> {
        if self.is_afterwards
            && let Err(error) = self.share(None)
        {
            self.unshared = Some(error);
        }
        self.unshared.take()
    }

    /// Shares what is written, and an entry that is not yet.
    fn share(&mut self, entry: Option<&Entry>) -> Result<(), LedgerError> {
        if let Some(shared) = &mut self.shared {
            let whole = self.writer.whole(entry)?;
            // What is written already is known to be ours only; a new line is what others may forestall.
            let new = if entry.is_some() { self.writer.len() } else { whole.len() };
            shared.push(&whole, new)?;
            self.unshared = None;
        }
        Ok(())
    }

    /// Writes a line; it is on the disk when this returns.
    pub fn write(&mut self, what: What) -> Result<(), LedgerError> {
        let entry = Entry { seq: self.writer.next(), time: self.clock.now(), what };
        match &entry.what {
            _ if self.is_afterwards => {}
            // Nothing begins that others do not know of.
            What::Began(_) | What::TakenUp { .. } => self.share(Some(&entry))?,
            What::Reached(reached) if !reached.phase.touched() => {}
            // Behind its end a release is nobody's: whoever writes something there that others do not know is soon alone.
            What::Pruned { .. } | What::Mended { .. } => self.share(Some(&entry))?,
            // What has begun is brought to its end, whether or not the remote can be reached meanwhile.
            What::Reached(_) | What::Ended { .. } => match self.share(Some(&entry)) {
                Err(error @ LedgerError::Ref(_)) => self.unshared = Some(error),
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
    let mut lock = File::options().read(true).open(folder.join(NAME)).ok()?;
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
pub(super) fn ignore(root: &Path) -> Result<(), FsError> {
    let ignore = root.join(crate::record::STATE_DIR).join(".gitignore");
    if ignore.exists() { Ok(()) } else { fs::write_atomic(&ignore, b"*\n") }
}
