//! A ledger that several checkouts share through a git ref, which is their lock too.
//!
//! `refs/envrun/deploys` of the remote holds the ledger of every environment. A line is pushed before it is written here, on the
//! condition that the remote has nothing that is not here: of two checkouts that begin at once, one finds the line of the
//! other. What the remote has more is taken over when the environment is locked.

use std::path::Path;
use std::time::Duration;

use crate::base::Timestamp;
use crate::base::fs::{self, FileLock};
use crate::gitref::{RefError, RefStore, Tip, Write};
use crate::record::STATE_DIR;

use super::difference::{Difference, release_of, told};
use super::file::{self, LedgerError};
use super::{History, Hold, Holder, What, folder, lock};

/// The part of the ref's name behind `refs/envrun/`.
const NAME: &str = "deploys";

/// How long an emergency waits for one answer of the remote: production is down meanwhile.
const HURRY: Duration = Duration::from_secs(5);

/// The remote's copy of one environment's ledger.
#[derive(Debug)]
pub(super) struct Shared {
    store: RefStore,
    env: String,
    path: String,
    /// What the remote had when it was last seen: the next push is tried on that, and refused by the remote if it moved.
    known: Option<(Tip, Vec<u8>)>,
}

impl Shared {
    pub(super) fn new(root: &Path, remote: &str, env: &str) -> Self {
        let store = RefStore::new(root, remote, NAME);
        Self { store, env: env.to_owned(), path: format!("{env}.jsonl"), known: None }
    }

    /// Waits no longer for the remote than an emergency can.
    pub(super) fn in_a_hurry(self) -> Self {
        Self { store: self.store.within(HURRY), ..self }
    }

    /// What the remote has.
    pub(super) fn there(&mut self) -> Result<Vec<u8>, LedgerError> {
        let tip = self.store.fetch()?;
        let there = self.store.read(&tip, [self.path.as_str()])?;
        let there = there.into_iter().next().map_or_else(Vec::new, |(_, bytes)| bytes);
        self.known = Some((tip, there.clone()));
        Ok(there)
    }

    /// Takes over what the remote has more. The caller holds the lock.
    pub(super) fn pull(&mut self, path: &Path) -> Result<(), LedgerError> {
        let there = self.there()?;
        adopt(path, &there, (&self.env, self.store.remote())).map(drop)
    }

    /// Makes `whole` what the remote has; refused if the remote has anything that is not in it. Of `whole` everything but
    /// the line that begins at `new` was written here before.
    pub(super) fn push(&mut self, whole: &[u8], new: usize) -> Result<(), LedgerError> {
        let Self { store, env, path, known } = self;
        let (seen, bytes) = known.take().map_or((None, Vec::new()), |(tip, bytes)| (Some(tip), bytes));
        if seen.is_some() && bytes == whole {
            *known = seen.map(|tip| (tip, bytes));
            return Ok(());
        }
        let commit = seen.as_ref().map(|tip| tip.commit().map(str::to_owned));
        let tip = store.update_on(seen, &format!("ledger of {env}"), |tip| {
            let there = match &commit {
                Some(commit) if commit.as_deref() == tip.commit() => bytes.clone(),
                _ => store
                    .read(tip, [path.as_str()])?
                    .into_iter()
                    .next()
                    .map_or_else(Vec::new, |(_, bytes)| bytes),
            };
            if !whole.starts_with(&there) {
                return Err(refusal((env, store.remote()), whole, new, &there));
            }
            Ok(if whole == there { Vec::new() } else { vec![Write::put(path.clone(), whole)] })
        })?;
        *known = Some((tip, whole.to_vec()));
        Ok(())
    }

    /// Makes `whole` what the remote has, if it still has `there`; whether that changed anything.
    pub(super) fn put(&mut self, there: &[u8], whole: &[u8]) -> Result<bool, LedgerError> {
        let (store, env, path) = (&self.store, &self.env, &self.path);
        self.known = None;
        store.update(&format!("ledger of {env}, mended"), |tip| {
            let now = store
                .read(tip, [path.as_str()])?
                .into_iter()
                .next()
                .map_or_else(Vec::new, |(_, bytes)| bytes);
            if now != there {
                return Err(refusal((env, store.remote()), whole, whole.len(), &now));
            }
            Ok(if whole == there { Vec::new() } else { vec![Write::put(path.clone(), whole)] })
        })?;
        Ok(whole != there)
    }
}

/// Why a line cannot be shared: who wrote another one first, where the remote has all that was here before it; else what is
/// different.
fn refusal((env, remote): (&str, &str), whole: &[u8], new: usize, there: &[u8]) -> LedgerError {
    let before = &whole[..new.min(whole.len())];
    let difference = || LedgerError::Diverged(Box::new(Difference::of(env, remote, before, there)));
    let (true, Ok((entries, _))) = (there.starts_with(before), file::chain(there)) else {
        return difference();
    };
    let Ok((ours, _)) = file::chain(before) else { return difference() };
    let is_beginning = matches!(file::chain(whole), Ok((mine, _)) if mine.len() > ours.len()
        && matches!(mine[ours.len()].what, What::Began(_) | What::TakenUp { .. }));
    let Some(release) =
        entries.get(ours.len()..).and_then(|new| new.iter().rev().find_map(|entry| release_of(&entry.what)))
    else {
        return difference();
    };
    let history = History::of(entries);
    let Some(release) = history.release(release) else { return difference() };
    let holder = Holder { hold: Hold::Lives, ..release.hands(env) };
    match (is_beginning, &release.end) {
        (true, None) => LedgerError::Held { env: env.to_owned(), holder: Box::new(holder) },
        (true, Some(_)) => LedgerError::Overtaken { env: env.to_owned(), what: told(release) },
        (false, end) => {
            let by = match end {
                Some(end) => format!("{}; it is {} by now", holder.name(), end.outcome.word()),
                None => format!("{}; it is {} by now", holder.name(), release.phase.word()),
            };
            LedgerError::TakenOver { env: env.to_owned(), release: release.id(), by }
        }
    }
}

/// Takes over what the remote has more of any environment that nobody changes from here at this moment, and shares what
/// could not be shared when it was written, because the remote was away then: others would take a release that is over for
/// one that was cut short. Who is in a hurry only takes over. Gives what is wrong with single environments: it is no matter
/// of the others.
pub fn refresh(
    root: &Path,
    remote: &str,
    now: Timestamp,
    is_urgent: bool,
) -> Result<Vec<(String, LedgerError)>, LedgerError> {
    let store = RefStore::new(root, remote, NAME);
    let store = if is_urgent { store.within(HURRY) } else { store };
    let tip = store.fetch()?;
    let paths: Vec<&str> = tip.paths().filter(|path| path.ends_with(".jsonl")).collect();
    let mut troubles = Vec::new();
    for (name, bytes) in store.read(&tip, paths)? {
        let Some(env) = name.strip_suffix(".jsonl").filter(|env| !env.contains(['/', '\\'])) else {
            continue;
        };
        let done = refreshed(root, remote, env, &bytes).and_then(|unshared| match unshared {
            Some(whole) if !is_urgent => share(root, remote, env, &whole),
            _ => Ok(()),
        });
        if let Err(error) = done {
            troubles.push((env.to_owned(), error));
        }
    }
    // Whoever cannot write here only does not know later how old it is.
    let _ = fs::write_atomic(&asked_file(root), now.0.to_string().as_bytes());
    Ok(troubles)
}

/// Takes over what the remote has more of one environment. If it is this checkout that has more, gives all that is here.
fn refreshed(root: &Path, remote: &str, env: &str, there: &[u8]) -> Result<Option<Vec<u8>>, LedgerError> {
    let folder = folder(root, env);
    let path = folder.join(file::NAME);
    if fs::read_if_there(&path)?.is_some_and(|here| here == there) {
        return Ok(None);
    }
    fs::create_folder(&folder)?;
    lock::ignore(root)?;
    // Whoever holds it reads what the remote has by himself, and tells it what it has not.
    match FileLock::try_take(&folder.join(lock::NAME))? {
        Some(_lock) => adopt(&path, there, (env, remote)),
        None => Ok(None),
    }
}

/// Tells the remote all lines of one environment. The lock is not held: whoever began meanwhile tells them with his own.
fn share(root: &Path, remote: &str, env: &str, whole: &[u8]) -> Result<(), LedgerError> {
    match Shared::new(root, remote, env).push(whole, whole.len()) {
        Err(LedgerError::Ref(error)) => Err(LedgerError::Unshared { env: env.to_owned(), error }),
        // Somebody wrote at this very moment: what differs now is told to who asks next.
        _ => Ok(()),
    }
}

/// When the remote that shares the ledgers last answered in this checkout.
pub fn last_asked(root: &Path) -> Option<Timestamp> {
    let text = fs::read_if_there(&asked_file(root)).ok()??;
    std::str::from_utf8(&text).ok()?.trim().parse().ok().map(Timestamp)
}

fn asked_file(root: &Path) -> std::path::PathBuf {
    root.join(STATE_DIR).join("state").join("deploys-asked")
}

/// Puts the remote's lines here, if they are those that are here and more. If there are more here, gives all of them.
fn adopt(path: &Path, there: &[u8], (env, remote): (&str, &str)) -> Result<Option<Vec<u8>>, LedgerError> {
    let (_, tail) = file::read(path)?;
    let mut here = fs::read_if_there(path)?.unwrap_or_default();
    here.truncate(usize::try_from(tail.len).unwrap_or(usize::MAX));
    if here.starts_with(there) {
        return Ok(Some(here).filter(|here| here.len() > there.len()));
    }
    // What is damaged there is not taken over.
    if !there.starts_with(&here) || file::chain(there).is_err() {
        return Err(LedgerError::Diverged(Box::new(Difference::of(env, remote, &here, there))));
    }
    fs::write_atomic_with(path, 0o666, |file| {
        std::io::Write::write_all(file, there)?;
        file.sync_all()
    })?;
    Ok(None)
}

impl std::convert::From<RefError> for LedgerError {
    fn from(error: RefError) -> Self {
        Self::Ref(error)
    }
}
