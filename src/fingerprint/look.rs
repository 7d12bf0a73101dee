//! Looking at files: stat first, content only where the stat does not vouch for it.

use std::io::Read;
use std::sync::Arc;

use rayon::prelude::*;

use crate::base::Digest;
use crate::base::codec::Put;
use crate::base::fs::{self, FsError, Root};

use super::Workspace;
use super::seal::Seen;
use super::stamp::StampClock;
use super::table::{Entry, FileKind, NOTHING, PathId, Table};

/// The names in a folder, sorted, without those that never count.
pub(super) type Listing = Vec<fs::Entry>;

/// So many files are looked at by one thread before it pays to ask the others.
const ALONE: usize = 48;
/// Files up to this size are read in one piece.
const PIECE: u64 = 1 << 20;

impl Workspace {
    /// Makes sure that what the table says of these paths is what the file system says now, or has said since the last
    /// command ended.
    pub(super) fn look(&self, ids: &[PathId]) -> Result<(), FsError> {
        self.look_all(ids).into_iter().next().map_or(Ok(()), |(_, error)| Err(error))
    }

    /// Like [`Workspace::look`], and tells of every path that could not be looked at, which then stays unknown.
    pub(super) fn look_all(&self, ids: &[PathId]) -> Vec<(PathId, FsError)> {
        let epoch = self.epoch();
        let todo: Vec<(PathId, Box<[u8]>, Entry)> = {
            let state = self.state();
            let table = &state.table;
            ids.iter()
                .filter(|id| !table.entry(**id).is_fresh(epoch))
                .map(|id| (*id, table.path(*id).into(), *table.entry(*id)))
                .collect()
        };
        if todo.is_empty() {
            return Vec::new();
        }
        let look = |(id, path, old): &(PathId, Box<[u8]>, Entry)| (*id, self.look_at(path, old));
        let looked: Vec<(PathId, Result<Entry, FsError>)> = if todo.len() > ALONE {
            todo.par_iter().with_min_len(ALONE / 2).map(look).collect()
        } else {
            todo.iter().map(look).collect()
        };
        let mut errors = Vec::new();
        let mut learned = false;
        let mut state = self.state_mut();
        for (id, result) in looked {
            match result {
                Ok(entry) => {
                    learned |= entry.changed;
                    state.table.put(id, Entry { epoch, ..entry });
                }
                Err(error) => {
                    let entry = &mut state.table.entries[id as usize];
                    (entry.known, entry.epoch) = (false, epoch);
                    errors.push((id, error));
                }
            }
        }
        drop(state);
        if learned {
            self.learned();
        }
        errors
    }

    /// Looks at the stat of many paths at once, on several threads, and takes in what needs no reading.
    pub(super) fn glance(&self, ids: &[PathId]) {
        let epoch = self.epoch();
        let glanced: Vec<(PathId, Option<fs::Stat>)> = {
            let state = self.state();
            let table = &state.table;
            let glance = |ids: &[PathId]| -> Vec<(PathId, Option<fs::Stat>)> {
                let stat = |id: &PathId| Some((*id, self.root.stat(table.path(*id)).ok()?));
                ids.iter().filter_map(stat).collect()
            };
            // Not as many as there are cores: asking for their number costs as much as fifty files, and on a cold disk
            // more threads than cores are faster anyway.
            let threads = match ids.len() {
                0..512 => 1,
                512..4096 => 2,
                _ => 4,
            };
            let share = ids.len().div_ceil(threads).max(1);
            std::thread::scope(|scope| {
                let mut shares = ids.chunks(share);
                let mine = shares.next().unwrap_or_default();
                let others: Vec<_> = shares.map(|share| scope.spawn(move || glance(share))).collect();
                let mut all = glance(mine);
                for other in others {
                    // A thread that could not look leaves its share to those who need it.
                    all.extend(other.join().unwrap_or_default());
                }
                all
            })
        };
        let mut state = self.state_mut();
        for (id, stat) in glanced {
            take_in(&mut state.table, id, stat, epoch);
        }
    }

    /// Takes in what was seen a moment ago, before the checkout was opened: nobody has to look at it again.
    pub fn believe(&self, seen: &Seen) {
        let epoch = self.epoch();
        let mut state = self.state_mut();
        state.table.index();
        for (path, stat) in seen.iter() {
            if let Some(id) = state.table.find(path) {
                take_in(&mut state.table, id, stat, epoch);
            }
        }
    }

    /// What a path is now. The epoch is left to the caller.
    fn look_at(&self, path: &[u8], old: &Entry) -> Result<Entry, FsError> {
        let Some(stat) = self.root.stat(path)? else { return Ok(missing(old)) };
        if old.vouches(&stat) {
            return Ok(*old);
        }
        let clock = self.clock();
        // Between the stat and the reading: whatever changes from here on has a later stamp, or one that is not believed.
        let read_ns = clock.now_ns();
        let kind = FileKind::of(&stat);
        let digest = match kind {
            FileKind::File | FileKind::Executable => hash_file(&self.root, path, stat.size),
            FileKind::Link => self.root.read_link(path).map(|target| Digest::of(&target)),
            FileKind::Dir => {
                self.root.list(path).map(|names| names.map_or(NOTHING, |names| digest_of(&countable(names))))
            }
            FileKind::Special | FileKind::Missing => Ok(NOTHING),
        };
        let digest = match digest {
            Err(error) if error.is_missing() => return Ok(missing(old)),
            other => other?,
        };
        Ok(entry(stat, kind, digest, clock, read_ns, old))
    }

    /// The names in a folder as they are now, and their digest; `None` if it is none.
    pub(super) fn listing(&self, id: PathId) -> Result<Option<(Arc<Listing>, Digest)>, FsError> {
        self.look(&[id])?;
        let (digest, path): (Digest, Box<[u8]>) = {
            let state = self.state();
            let entry = state.table.entry(id);
            if entry.kind != FileKind::Dir {
                return Ok(None);
            }
            if let Some((listing, digest)) = self.listings().get(&id)
                && *digest == entry.digest
            {
                return Ok(Some((listing.clone(), *digest)));
            }
            (entry.digest, state.table.path(id).into())
        };
        let Some(names) = self.root.list(&path)? else { return Ok(None) };
        let names = Arc::new(countable(names));
        let found = digest_of(&names);
        if found != digest {
            // It changed since it was looked at: whoever asks next shall look again.
            self.state_mut().table.entries[id as usize].known = false;
        }
        self.listings().insert(id, (names.clone(), found));
        Ok(Some((names, found)))
    }
}

/// Takes in a stat, if it says enough: that nothing is there, or what is known already.
fn take_in(table: &mut Table, id: PathId, stat: Option<fs::Stat>, epoch: u32) {
    let old = *table.entry(id);
    match stat {
        None => table.put(id, Entry { epoch, ..missing(&old) }),
        Some(stat) if old.vouches(&stat) => table.put(id, Entry { epoch, ..old }),
        Some(_) => {}
    }
}

/// An entry for what is not there.
fn missing(old: &Entry) -> Entry {
    Entry { known: true, trusted: true, changed: false, kind: FileKind::Missing, digest: NOTHING, ..*old }
}

/// An entry made of what was just seen.
pub(super) fn entry(
    stat: fs::Stat,
    kind: FileKind,
    digest: Digest,
    clock: &StampClock,
    read_ns: i64,
    old: &Entry,
) -> Entry {
    let trusted = clock.trusts(&stat, read_ns);
    let same = old.known && old.trusted && old.stat == stat && old.digest == digest && old.kind == kind;
    Entry {
        stat,
        digest,
        kind,
        known: true,
        trusted,
        changed: old.changed || (trusted && !same),
        epoch: 0,
        observed: 0,
    }
}

/// Leaves out what never counts: git's and our own folder, and files of ours that are being written.
fn countable(mut names: Listing) -> Listing {
    names.retain(|entry| !never_counts(&entry.name));
    names
}

/// Whether a name is never an input, and never a reason to look again.
pub(super) fn never_counts(name: &[u8]) -> bool {
    name == b".git" || name == b".envrun" || name.ends_with(b".envrun-tmp")
}

/// Whether a name is one that an editor gives to a file of its own while somebody works: vim's swap files and its probe,
/// backups, emacs's locks and autosaves, those of JetBrains and of LibreOffice.
pub fn is_of_an_editor(name: &[u8]) -> bool {
    let swap = |end: &[u8]| matches!(end, [b'.', b's', b'w', b'a'..=b'z'] | [b'.', b's', b'w', b'p', b'x']);
    let ends = |end: &[u8]| name.len() > end.len() && name.ends_with(end);
    (name.first() == Some(&b'.')
        && name.len() > 5
        && (swap(&name[name.len() - 4..]) || swap(&name[name.len() - 5..])))
        || name == b"4913"
        || ends(b"~")
        || name.starts_with(b".#")
        || (name.len() > 2 && name.starts_with(b"#") && name.ends_with(b"#"))
        || name.starts_with(b".~lock.")
        || ends(b"___jb_tmp___")
        || ends(b"___jb_old___")
}

/// The digest of a folder's names.
pub(super) fn digest_of(names: &Listing) -> Digest {
    let mut buffer = Vec::with_capacity(names.len() * 24);
    for entry in names {
        buffer.put_bytes(&entry.name);
        buffer.put(&[entry.kind as u8]);
    }
    Digest::of(&buffer)
}

/// The digest of a file's content; `size` is what it is expected to have.
pub(super) fn hash_file(root: &Root, path: &[u8], size: u64) -> Result<Digest, FsError> {
    let mut file = root.open_file(path)?;
    let error = |error| FsError::new("read", root.join(path), error);
    if size < PIECE {
        let mut bytes = Vec::with_capacity(size as usize + 1);
        file.read_to_end(&mut bytes).map_err(error)?;
        return Ok(Digest::of(&bytes));
    }
    Digest::read(&mut file).map_err(error)
}
