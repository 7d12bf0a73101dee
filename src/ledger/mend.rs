//! A ledger that is damaged, or that has other lines than the shared one, is put in order again; nothing of it is lost.
//!
//! The shared lines stand first, as they are. What only this checkout has comes behind them: its releases get new numbers
//! where those are given away, and stand in the history where they belong by their time. What was in the file before is
//! kept beside it, and a line says that it was mended, by whom, and how many lines could not be read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::base::{Clock, fs};

use super::difference::release_of;
use super::file::{self, LedgerError, Tail};
use super::shared::Shared;
use super::{Began, Entry, Holder, What, folder, lock};

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mended {
    /// The file that keeps what was there before, if anything had to be changed.
    pub kept: Option<std::path::PathBuf>,
    /// Releases of this checkout that have another number now: the old one, and the new one.
    pub numbers: Vec<(u64, u64)>,
    /// How many lines were taken over from here behind the shared ones.
    pub added: usize,
    /// How many lines of here speak of releases that the shared ledger tells otherwise: they are only in the kept file.
    pub left: usize,
    /// How many lines could not be read.
    pub lost: usize,
    /// Whether the shared ledger was changed.
    pub shared: bool,
}

/// Puts the ledger of an environment in order. Nothing is done to one that is in order, but that it is shared.
pub fn mend(
    root: &Path,
    env: &str,
    holder: &Holder,
    clock: &Clock,
    remote: Option<&str>,
) -> Result<Mended, LedgerError> {
    let _lock = lock::acquire(root, env, holder, clock)?;
    let path = folder(root, env).join(file::NAME);
    let mut shared = remote.map(|remote| Shared::new(root, remote, env));
    let there = match &mut shared {
        Some(shared) => shared.there()?,
        None => Vec::new(),
    };
    let (mended, whole) = mended(&path, &there, holder, clock)?;
    let Some(shared) = &mut shared else { return Ok(mended) };
    let is_shared = shared.put(&there, &whole)?;
    Ok(Mended { shared: is_shared, ..mended })
}

/// Writes the file anew if that has to be, and gives what it is then. The caller holds the lock.
pub(super) fn mended(
    path: &Path,
    there: &[u8],
    holder: &Holder,
    clock: &Clock,
) -> Result<(Mended, Vec<u8>), LedgerError> {
    let here = fs::read_if_there(path)?.unwrap_or_default();
    if let Ok((_, tail)) = file::chain(&here) {
        let whole = &here[..usize::try_from(tail.len).unwrap_or(here.len())];
        if whole.starts_with(there) {
            return Ok((Mended::default(), whole.to_vec()));
        }
        if there.starts_with(whole) && file::chain(there).is_ok() {
            write(path, there)?;
            return Ok((Mended::default(), there.to_vec()));
        }
    }
    // What is shared is kept as it is, if it is whole; else it is mended like what is here.
    let (base, lost_there) = match file::chain(there) {
        Ok((entries, _)) => (entries, 0),
        Err(_) => file::salvage(there),
    };
    let (tail, mut whole) = match file::chain(there) {
        Ok((_, tail)) => (tail.clone(), there[..usize::try_from(tail.len).unwrap_or(there.len())].to_vec()),
        Err(_) => (Tail::default(), Vec::new()),
    };
    let (ours, lost_here) = file::salvage(&here);
    let (extra, numbers, left) = join(&base, ours);
    let mut mended =
        Mended { kept: None, numbers, added: extra.len(), left, lost: lost_here + lost_there, shared: false };
    let name = format!("ledger-{}.jsonl", clock.now().0);
    let mut kept = here;
    if whole.is_empty() && !there.is_empty() {
        kept.extend_from_slice(there);
    }
    let aside = path.with_file_name(&name);
    write(&aside, &kept)?;
    mended.kept = Some(aside);
    let from_base = if whole.is_empty() { base } else { Vec::new() };
    let note = What::Mended { who: holder.who.clone(), kept: Some(name), lost: mended.lost };
    let note = Entry { seq: 0, time: clock.now(), what: note };
    whole.extend(file::lines(&tail, from_base.into_iter().chain(extra).chain([note])));
    write(path, &whole)?;
    Ok((mended, whole))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), LedgerError> {
    fs::write_atomic_with(path, 0o666, |file| {
        std::io::Write::write_all(file, bytes)?;
        file.sync_all()
    })?;
    Ok(())
}

/// The entries of `ours` that `base` has not, to stand behind it; which numbers were changed for that; how many entries
/// are left out, because `base` tells another end of their release.
fn join(base: &[Entry], ours: Vec<Entry>) -> (Vec<Entry>, Vec<(u64, u64)>, usize) {
    if base.is_empty() {
        return (ours, Vec::new(), 0);
    }
    let text = |entry: &Entry| serde_json::to_string(&(entry.time, &entry.what)).expect("only text for keys");
    let known: BTreeSet<String> = base.iter().map(text).collect();
    let ended: BTreeSet<u64> = base
        .iter()
        .filter(|entry| matches!(entry.what, What::Ended { .. }))
        .filter_map(|entry| release_of(&entry.what))
        .collect();
    let mut last = base.iter().filter_map(|entry| release_of(&entry.what)).max().unwrap_or(0);
    let mut numbers: BTreeMap<u64, u64> = BTreeMap::new();
    let (mut extra, mut left) = (Vec::new(), 0);
    for entry in ours.into_iter().filter(|entry| !known.contains(&text(entry))) {
        if let What::Began(Began { release, .. }) = &entry.what {
            let free = (last + 1).max(*release);
            numbers.insert(*release, free);
            last = free;
        }
        match renumbered(entry.what, &numbers) {
            What::Mended { .. } => {}
            what if release_of(&what).is_some_and(|release| ended.contains(&release)) => left += 1,
            what => extra.push(Entry { what, ..entry }),
        }
    }
    (extra, numbers.into_iter().filter(|(old, new)| old != new).collect(), left)
}

/// An entry with the numbers that its releases have now.
fn renumbered(what: What, numbers: &BTreeMap<u64, u64>) -> What {
    let new = |old: u64| numbers.get(&old).copied().unwrap_or(old);
    match what {
        What::Began(began) => What::Began(Began {
            was: began.was.or(Some(began.release)),
            release: new(began.release),
            previous: began.previous.map(new),
            of: match began.kind {
                // That is the number of a copy.
                super::Kind::Restore => began.of,
                _ => began.of.map(new),
            },
            ..began
        }),
        What::Reached(reached) => What::Reached(super::Reached { release: new(reached.release), ..reached }),
        What::TakenUp { release, who, doing, run } => {
            What::TakenUp { release: new(release), who, doing, run }
        }
        What::Ended { release, outcome, reason, logs } => {
            What::Ended { release: new(release), outcome, reason, logs }
        }
        What::Pruned { releases } => What::Pruned { releases: releases.into_iter().map(new).collect() },
        What::Mended { .. } => what,
    }
}
