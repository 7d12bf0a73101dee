//! The file index in memory: every path that was ever looked at, its stat and its digest.
//!
//! A path is an id, given once; ids are what task records and checks speak of, so that a check of a task that is up to
//! date touches no path and allocates nothing.

use std::hash::BuildHasher;

use crate::base::fs::{Kind, Stat};
use crate::base::{Digest, map};

/// A path's number in the table.
pub(super) type PathId = u32;

/// What a path holds, as far as keys are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum FileKind {
    /// Nothing.
    Missing = 0,
    /// A file.
    File = 1,
    /// A file that its owner may execute.
    Executable = 2,
    /// A symbolic link; its digest is that of its text.
    Link = 3,
    /// A folder; its digest is that of the names in it.
    Dir = 4,
    /// A pipe, a socket, a device: never read.
    Special = 5,
}

impl FileKind {
    pub(super) fn of(stat: &Stat) -> Self {
        match stat.kind() {
            Kind::File if stat.is_executable() => Self::Executable,
            Kind::File => Self::File,
            Kind::Link => Self::Link,
            Kind::Dir => Self::Dir,
            Kind::Special => Self::Special,
        }
    }

    pub(super) fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0 => Self::Missing,
            1 => Self::File,
            2 => Self::Executable,
            3 => Self::Link,
            4 => Self::Dir,
            5 => Self::Special,
            _ => return None,
        })
    }

    pub(super) fn is_file(self) -> bool {
        matches!(self, Self::File | Self::Executable)
    }
}

/// What is known of a path.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    /// What the file system said when `digest` was computed; meaningless if `kind` is `Missing`.
    pub(super) stat: Stat,
    /// Of the content, the link's text or the folder's names; zeros for what has none of these.
    pub(super) digest: Digest,
    pub(super) kind: FileKind,
    /// `stat` and `digest` belong together.
    pub(super) known: bool,
    /// The same stat seen again means the same content: it was old enough when the content was read.
    pub(super) trusted: bool,
    /// It has to be written to the journal.
    pub(super) changed: bool,
    /// The epoch in which it was last found to be so.
    pub(super) epoch: u32,
    /// How many times the table had taken something in when this stat was first seen; zero if another process saw it.
    pub(super) observed: u32,
}

const UNKNOWN: Entry = Entry {
    stat: Stat { size: 0, mtime_ns: 0, ctime_ns: 0, inode: 0, dev: 0, mode: 0 },
    digest: NOTHING,
    kind: FileKind::Missing,
    known: false,
    trusted: false,
    changed: false,
    epoch: 0,
    observed: 0,
};

/// The digest of what has no content.
pub(super) const NOTHING: Digest = Digest([0; 32]);

impl Entry {
    /// Whether it is known and was looked at in `epoch` or later.
    pub(super) fn is_fresh(&self, epoch: u32) -> bool {
        self.known && self.epoch >= epoch
    }

    /// Whether a file with this stat has the content that is known.
    pub(super) fn vouches(&self, stat: &Stat) -> bool {
        self.known && self.trusted && self.kind != FileKind::Missing && self.stat == *stat
    }
}

/// Every known path.
#[derive(Debug, Default)]
pub(super) struct Table {
    names: Names,
    pub(super) entries: Vec<Entry>,
    /// How many times it took something in.
    pub(super) taken: u32,
}

impl Table {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The bytes of a path: relative to the root, or absolute.
    pub(super) fn path(&self, id: PathId) -> &[u8] {
        self.names.bytes(id)
    }

    pub(super) fn entry(&self, id: PathId) -> &Entry {
        &self.entries[id as usize]
    }

    /// From here on [`Table::find`] knows every path.
    pub(super) fn index(&mut self) {
        if self.names.slots.is_empty() {
            self.names.build();
        }
    }

    /// The id of a path that was seen before. `None` too while nobody has interned yet.
    pub(super) fn find(&self, path: &[u8]) -> Option<PathId> {
        self.names.find(path)
    }

    /// The id of a path.
    pub(super) fn intern(&mut self, path: &[u8]) -> PathId {
        let id = self.names.intern(path);
        if id as usize == self.entries.len() {
            self.entries.push(UNKNOWN);
        }
        id
    }

    /// Takes in what was seen, unless somebody saw it later.
    pub(super) fn put(&mut self, id: PathId, entry: Entry) {
        let old = &mut self.entries[id as usize];
        if entry.epoch < old.epoch && old.known {
            return;
        }
        let same = old.known && old.stat == entry.stat && old.kind == entry.kind;
        let observed = if same {
            old.observed
        } else {
            self.taken = self.taken.saturating_add(1);
            self.taken
        };
        *old = Entry { observed, ..entry };
    }

    /// Adds a path that is known to be new, as a loaded file's are.
    pub(super) fn push(&mut self, path: &[u8]) {
        self.names.push(path);
        self.entries.push(UNKNOWN);
    }

    /// Makes room.
    pub(super) fn reserve(&mut self, paths: usize, bytes: usize) {
        self.names.ends.reserve(paths);
        self.names.bytes.reserve(bytes);
        self.entries.reserve(paths);
    }
}

/// Paths in one buffer, and a hash table of their ids that is built when somebody first asks for a path by name: a run
/// in which nothing changed never does.
#[derive(Debug, Default)]
struct Names {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    /// Ids plus one; zero is free. A power of two long, at most half full.
    slots: Vec<u32>,
    hasher: map::State,
}

impl Names {
    fn bytes(&self, id: PathId) -> &[u8] {
        let id = id as usize;
        let start = if id == 0 { 0 } else { self.ends[id - 1] };
        &self.bytes[start..self.ends[id]]
    }

    fn push(&mut self, path: &[u8]) {
        self.bytes.extend_from_slice(path);
        self.ends.push(self.bytes.len());
        self.slots.clear();
    }

    /// The slot that holds `path`, or the free one where it would be.
    fn slot(&self, path: &[u8]) -> usize {
        let mask = self.slots.len() - 1;
        let mut slot = self.hasher.hash_one(path) as usize & mask;
        while self.slots[slot] != 0 && self.bytes(self.slots[slot] - 1) != path {
            slot = (slot + 1) & mask;
        }
        slot
    }

    fn find(&self, path: &[u8]) -> Option<PathId> {
        if self.slots.is_empty() {
            return None;
        }
        self.slots[self.slot(path)].checked_sub(1)
    }

    fn build(&mut self) {
        let size = ((self.ends.len() + 1) * 2).next_power_of_two().max(64);
        self.slots = vec![0; size];
        for id in 0..self.ends.len() {
            let slot = self.slot(self.bytes(id as PathId));
            self.slots[slot] = id as PathId + 1;
        }
    }

    fn intern(&mut self, path: &[u8]) -> PathId {
        if (self.ends.len() + 1) * 2 > self.slots.len() {
            self.build();
        }
        let slot = self.slot(path);
        if let Some(id) = self.slots[slot].checked_sub(1) {
            return id;
        }
        let id = PathId::try_from(self.ends.len()).expect("fewer than four billion paths");
        self.bytes.extend_from_slice(path);
        self.ends.push(self.bytes.len());
        self.slots[slot] = id + 1;
        id
    }
}
