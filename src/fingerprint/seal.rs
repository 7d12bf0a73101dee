//! Everything that a run looked at, so that the next one can see at a glance that nothing moved.
//!
//! A check rests on nothing but what was looked at: files, links, folders, what was not there, and which file each tool
//! is. If every one of these has the stat it had, and that stat can be believed (see `stamp`), the same walk would
//! come to the same answers, so it need not be walked. This is the walk's own record, not a second opinion: the list is
//! the table that the walk filled.

use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::sync::PoisonError;

use crate::base::codec::{Put, Reader};
use crate::base::fs::{Root, Stat};
use crate::base::{Digest, RelPath};

use super::Workspace;
use super::ignored::Outside;
use super::table::FileKind;

/// How many paths one thread looks at before it pays to start another.
const SHARE: usize = 256;

impl Workspace {
    /// What everything was like that was looked at since the last command ended, and the files `also`, in bytes for
    /// [`holds`]. `None` if something cannot be believed the next time: it changed too recently.
    pub fn seal(&self, also: &[std::path::PathBuf]) -> Option<Vec<u8>> {
        let also = self.intern_all(also.iter().map(|path| path.as_os_str().as_bytes()));
        self.look(&also).ok()?;
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
        for (id, entry) in table.entries.iter().enumerate().filter(|(_, entry)| entry.is_fresh(epoch)) {
            if !entry.trusted {
                return None;
            }
            bytes.put_bytes(table.path(id as u32));
            bytes.put(&[entry.kind as u8]);
            if entry.kind != FileKind::Missing {
                put_stat(&mut bytes, &entry.stat);
            }
        }
        Some(bytes)
    }
}

/// Whether everything is as [`Workspace::seal`] saw it; tools are looked for in `search_path`. Bytes that are not whole do
/// not hold.
pub fn holds(root: &Path, search_path: &OsStr, sealed: &[u8]) -> bool {
    compare(root, search_path, sealed).unwrap_or(false)
}

fn compare(root: &Path, search_path: &OsStr, sealed: &[u8]) -> Option<bool> {
    let root = Root::open(root).ok()?;
    let mut reader = Reader::new(sealed);
    if reader.digest()? != Outside::find(&root).digest() {
        return Some(false);
    }
    for _ in 0..reader.int()? {
        let name = std::str::from_utf8(reader.bytes()?).ok()?;
        if reader.digest()? != Digest::of(search_path.as_bytes()) {
            return Some(false);
        }
        let dir = RelPath::from_bytes(reader.bytes()?)?;
        let known = reader.bytes()?;
        let found = which::which_in(name, Some(search_path), dir.below(root.path())).ok()?;
        if std::fs::canonicalize(found).ok()?.into_os_string().into_vec() != known {
            return Some(false);
        }
    }
    let mut seen: Vec<(&[u8], Option<Stat>)> = Vec::new();
    while !reader.is_empty() {
        let path = reader.bytes()?;
        let kind = FileKind::from_byte(reader.byte()?)?;
        let stat = if kind == FileKind::Missing { None } else { Some(stat(&mut reader)?) };
        seen.push((path, stat));
    }
    let same = |seen: &[(&[u8], Option<Stat>)]| {
        seen.iter().all(|(path, stat)| root.stat(path).is_ok_and(|now| now == *stat))
    };
    // On a cold disk more threads than cores are faster, and asking for the cores costs as much as fifty files.
    let threads = (seen.len() / SHARE).clamp(1, 4);
    let share = seen.len().div_ceil(threads).max(1);
    Some(std::thread::scope(|scope| {
        let mut shares = seen.chunks(share);
        let mine = shares.next().unwrap_or_default();
        let others: Vec<_> = shares.map(|share| scope.spawn(move || same(share))).collect();
        let mine = same(mine);
        others.into_iter().fold(mine, |all, other| other.join().unwrap_or(false) && all)
    }))
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
