//! Everything that a run looked at, so that the next one can see at a glance that nothing moved.
//!
//! A check rests on nothing but what was looked at: files, links, folders, what was not there, and which file each tool
//! is. If every one of these has the stat it had, and that stat can be believed (see `stamp`), the same walk would
//! come to the same answers, so it need not be walked. This is the walk's own record, not a second opinion: the list is
//! the table that the walk filled.
//!
//! Some of the files are Envfiles and what they take in. As long as those are what they were, every task is defined as it
//! was, whatever else moved.

use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::sync::PoisonError;
use std::time::SystemTime;

use crate::base::codec::{Put, Reader};
use crate::base::fs::{Root, Stat};
use crate::base::{Digest, RelPath};

use super::Workspace;
use super::ignored::Outside;
use super::table::{FileKind, PathId};

/// How many paths one thread looks at before it pays to start another.
const SHARE: usize = 256;
/// Beside the kind of what tasks are defined by.
const DEFINES: u8 = 0x80;

impl Workspace {
    /// What everything was like that was looked at since the last command ended, and the files that tasks are `defined`
    /// by, in bytes for [`holds`]. `None` if something cannot be believed the next time: it changed too recently, or it
    /// is what tasks are defined by and changed after `since`, the moment from before any of that was read.
    pub fn seal(&self, defined: &[std::path::PathBuf], since: SystemTime) -> Option<Vec<u8>> {
        let defined = self.intern_all(defined.iter().map(|path| path.as_os_str().as_bytes()));
        self.look(&defined).ok()?;
        // They were read first and are looked at last: what is there now need not be what was read.
        if defined.iter().any(|id| self.may_have_changed(*id, since)) {
            return None;
        }
        let epoch = self.epoch();
        let mut bytes = Vec::new();
        bytes.put_digest(&self.outside_digest());
        {
            let tools = self.tools.lock().unwrap_or_else(PoisonError::into_inner);
            let state = self.state();
            let found: Vec<_> = tools.known(epoch).collect();
            bytes.put_int(found.len() as u64);
            for ((name, search_path, dir), id) in found {
                bytes.put_bytes(name.as_bytes());
                bytes.put_digest(&Digest::of(search_path.as_bytes()));
                bytes.put_bytes(dir.as_bytes());
                bytes.put_bytes(state.table.path(id));
            }
        }
        let state = self.state();
        let table = &state.table;
        for (id, entry) in table.entries.iter().enumerate().filter(|(_, entry)| entry.epoch >= epoch) {
            // What changed while it was looked at is not known any more; the answer rests on it all the same.
            if !entry.known || !entry.trusted {
                return None;
            }
            let defines = if defined.contains(&(id as u32)) { DEFINES } else { 0 };
            bytes.put_bytes(table.path(id as u32));
            bytes.put(&[entry.kind as u8 | defines]);
            if entry.kind != FileKind::Missing {
                put_stat(&mut bytes, &entry.stat);
            }
        }
        Some(bytes)
    }

    /// Whether a path that was looked at may have been another one after `since`.
    fn may_have_changed(&self, id: PathId, since: SystemTime) -> bool {
        let (path, entry) = {
            let state = self.state();
            (state.table.path(id).to_vec(), *state.table.entry(id))
        };
        let clock = self.clock();
        let since = clock.moment_of(since);
        if entry.kind != FileKind::Missing {
            return clock.changed_since(&entry.stat, since);
        }
        // What went away left its trace in the folder where it was.
        let folders = Path::new(OsStr::from_bytes(&path)).ancestors().skip(1);
        let there = folders.map(|folder| self.root.stat(folder.as_os_str().as_bytes()));
        let nearest = there.filter_map(Result::ok).flatten().next();
        nearest.is_none_or(|stat| clock.changed_since(&stat, since))
    }
}

/// What was seen when something had moved: a walk that follows at once need not look at all of it again.
#[derive(Debug, Default)]
pub struct Seen {
    paths: Vec<u8>,
    /// Where each path ends, and what was there.
    stats: Vec<(usize, Option<Stat>)>,
    /// What tasks are defined by, as it was when it was sealed.
    defined: Vec<(Box<[u8]>, Option<Stat>)>,
}

impl Seen {
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], Option<Stat>)> {
        let starts = std::iter::once(0).chain(self.stats.iter().map(|(end, _)| *end));
        starts.zip(&self.stats).map(|(start, (end, stat))| (&self.paths[start..*end], *stat))
    }

    /// Whether everything that tasks are defined by still is as it was when it was sealed. Asked when it has been read
    /// again: so what was read is what was read then.
    pub fn is_defined_alike(&self, root: &Path) -> bool {
        let Ok(root) = Root::open(root) else { return false };
        let alike = |(path, stat): &(Box<[u8]>, Option<Stat>)| root.stat(path).is_ok_and(|now| now == *stat);
        !self.defined.is_empty() && self.defined.iter().all(alike)
    }
}

/// What the file system says of a path: a stat, nothing there, or that it cannot be looked at.
type Answer = Result<Option<Stat>, ()>;

/// Whether everything is as [`Workspace::seal`] saw it; tools are looked for in `search_path`. If not, the error is what
/// was seen instead. Bytes that are not whole do not hold.
pub fn holds(root: &Path, search_path: &OsStr, sealed: &[u8]) -> Result<(), Seen> {
    compare(root, search_path, sealed).unwrap_or_else(|| Err(Seen::default()))
}

/// What the bytes of [`Workspace::seal`] say.
pub(super) struct Parts<'a> {
    outside: Digest,
    tools: Vec<Tool<'a>>,
    seen: Vec<(&'a [u8], Option<Stat>)>,
    /// The places in `seen` of what tasks are defined by.
    defined: Vec<usize>,
}

struct Tool<'a> {
    name: &'a str,
    search_path: Digest,
    dir: RelPath,
    file: &'a [u8],
}

impl<'a> Parts<'a> {
    pub(super) fn read(sealed: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(sealed);
        let outside = reader.digest()?;
        let tools = reader.list(35, |reader| {
            Some(Tool {
                name: reader.text()?,
                search_path: reader.digest()?,
                dir: RelPath::from_bytes(reader.bytes()?)?,
                file: reader.bytes()?,
            })
        })?;
        // A path, its kind and its stat take 60 bytes and more, as most of them are there.
        let mut seen = Vec::with_capacity(reader.len() / 60);
        let mut defined = Vec::new();
        while !reader.is_empty() {
            let path = reader.bytes()?;
            let byte = reader.byte()?;
            if byte & DEFINES != 0 {
                defined.push(seen.len());
            }
            let kind = FileKind::from_byte(byte & !DEFINES)?;
            let stat = if kind == FileKind::Missing { None } else { Some(stat(&mut reader)?) };
            seen.push((path, stat));
        }
        Some(Self { outside, tools, seen, defined })
    }
}

fn compare(root: &Path, search_path: &OsStr, sealed: &[u8]) -> Option<Result<(), Seen>> {
    let root = Root::open(root).ok()?;
    let Parts { outside, tools, seen, defined } = Parts::read(sealed)?;
    if outside != Outside::find(&root).digest() {
        return None;
    }
    for tool in tools {
        if tool.search_path != Digest::of(search_path.as_bytes()) {
            return None;
        }
        let found = which::which_in(tool.name, Some(search_path), tool.dir.below(root.path())).ok()?;
        if std::fs::canonicalize(found).ok()?.into_os_string().into_vec() != tool.file {
            return None;
        }
    }
    // What is not as it was, with its place in the share.
    let moved = |share: &[(&[u8], Option<Stat>)]| -> Vec<(usize, Answer)> {
        let look = |(at, (path, stat)): (usize, &(&[u8], Option<Stat>))| {
            let now = root.stat(path).map_err(drop);
            (now != Ok(*stat)).then_some((at, now))
        };
        share.iter().enumerate().filter_map(look).collect()
    };
    // On a cold disk more threads than cores are faster, and asking for the cores costs as much as fifty files.
    let threads = (seen.len() / SHARE).clamp(1, 4);
    let share = seen.len().div_ceil(threads).max(1);
    let moved: Vec<(usize, Answer)> = std::thread::scope(|scope| {
        let mut shares = seen.chunks(share).enumerate();
        let mine = shares.next().map(|(_, mine)| mine).unwrap_or_default();
        let others: Vec<_> =
            shares.map(|(at, theirs)| (at * share, scope.spawn(move || moved(theirs)))).collect();
        let mut all = moved(mine);
        for (start, other) in others {
            // A thread that could not look has seen nothing.
            let found = other.join().ok()?;
            all.extend(found.into_iter().map(|(at, now)| (start + at, now)));
        }
        Some(all)
    })?;
    if moved.is_empty() {
        return Some(Ok(()));
    }
    let defined = defined.into_iter().map(|at| (seen[at].0.into(), seen[at].1)).collect();
    Some(Err(Seen { defined, ..what_was_seen(&seen, &moved) }))
}

/// Everything as it was, but for what `moved`, which comes in the order of the places.
fn what_was_seen(sealed: &[(&[u8], Option<Stat>)], moved: &[(usize, Answer)]) -> Seen {
    let mut seen = Seen { stats: Vec::with_capacity(sealed.len()), ..Seen::default() };
    let mut moved = moved.iter().peekable();
    for (at, (path, stat)) in sealed.iter().enumerate() {
        let now = moved.next_if(|(place, _)| *place == at).map_or(Ok(*stat), |(_, now)| *now);
        if let Ok(stat) = now {
            seen.paths.extend_from_slice(path);
            seen.stats.push((seen.paths.len(), stat));
        }
    }
    seen
}

fn put_stat(bytes: &mut Vec<u8>, stat: &Stat) {
    bytes.put_u64(stat.size);
    bytes.put_u64(stat.mtime_ns.cast_unsigned());
    bytes.put_u64(stat.ctime_ns.cast_unsigned());
    bytes.put_u64(stat.inode);
    bytes.put_u64(stat.dev);
    bytes.put_u32(stat.mode);
}

fn stat(reader: &mut Reader<'_>) -> Option<Stat> {
    Some(Stat {
        size: reader.u64()?,
        mtime_ns: reader.u64()?.cast_signed(),
        ctime_ns: reader.u64()?.cast_signed(),
        inode: reader.u64()?,
        dev: reader.u64()?,
        mode: reader.u32()?,
    })
}
