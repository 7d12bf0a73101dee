//! The state file: what the journal's records say, and how they are written.
//!
//! A record of the journal is what was written at one time, in sections (kind, length, payload). So many are checked at
//! once that the check costs little more than reading.
//!
//! | section | payload |
//! |---|---|
//! | `1` paths | a count, then each path; ids are given in the order of the file |
//! | `2` entries | path id, kind, stat, digest: 81 bytes each; a later one counts |
//! | `3` task | the label, then the record of its last good run; a later one counts |
//! | `5` attempt | the label, where its outputs go (32 bytes), 1 if another task made its own there, then the ids of what lay there before; over with the next record of the task |
//!
//! Ids on disk and in memory are the same for what was loaded; two processes that write at once give the same numbers to
//! different paths, so whoever appends translates.

use std::ops::Range;
use std::sync::Arc;

use crate::base::Digest;
use crate::base::codec::{Put, Reader};
use crate::base::fs::Stat;
use crate::base::map::HashMap;

use super::journal::{News, Records, push_record};
use super::record::{Record, renumber};
use super::table::{Entry, FileKind, PathId, Table};

/// The first bytes of the state file. The number at the end is the format's version.
pub(super) const MAGIC: &[u8; 16] = b"envrun state  03";

const PATHS: u8 = 1;
const ENTRIES: u8 = 2;
const TASK: u8 = 3;
/// 4 was an attempt that did not say where.
const ATTEMPT: u8 = 5;

/// Kind and length of a section.
const SECTION: usize = 5;

const ENTRY: usize = 4 + 1 + 44 + 32;

/// The record of a task's last good run: in the bytes that were loaded, or made since.
#[derive(Debug, Clone)]
pub(super) enum Kept {
    Loaded(Range<usize>),
    New(Arc<[u8]>),
}

/// A run that began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Attempt {
    /// Where its outputs go: equal for two tasks exactly if they declare the same ones.
    pub(super) place: Digest,
    /// It was no run of this task: another one has made its own in the same place since.
    pub(super) overtaken: bool,
    /// What lay there when it began; nothing if it was overtaken.
    pub(super) before: Vec<PathId>,
}

/// What was loaded.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) table: Table,
    /// Last good runs by label.
    pub(super) tasks: HashMap<Box<str>, Kept>,
    /// Runs that began and did not end well, by label.
    pub(super) attempts: HashMap<Box<str>, Attempt>,
    /// What `Kept::Loaded` points into.
    pub(super) loaded: Vec<u8>,
}

impl State {
    /// Reads good records.
    pub(super) fn parse(loaded: Records) -> Self {
        let mut state = Self::default();
        state.read(&loaded, Kept::Loaded);
        state.loaded = loaded.bytes;
        state
    }

    /// Takes in records that stand behind those that were read, in the same file.
    pub(super) fn take_in(&mut self, news: &Records) {
        self.read(news, |range| Kept::New(news.bytes[range].into()));
    }

    fn read(&mut self, records: &Records, kept: impl Fn(Range<usize>) -> Kept) {
        let all = || records.payloads.iter().flat_map(|range| sections(&records.bytes, range.clone()));
        self.tasks.reserve(all().filter(|(kind, _)| *kind == TASK).count());
        for (kind, range) in all() {
            let payload = &records.bytes[range.clone()];
            match kind {
                PATHS => read_paths(payload, &mut self.table),
                ENTRIES => read_entries(payload, &mut self.table),
                TASK => {
                    let mut from = Reader::new(payload);
                    let Some(label) = from.text() else { continue };
                    if !self.attempts.is_empty() {
                        self.attempts.remove(label);
                    }
                    self.tasks.insert(label.into(), kept(range.end - from.len()..range.end));
                }
                ATTEMPT => {
                    let mut from = Reader::new(payload);
                    let Some(label) = from.text() else { continue };
                    let Some(place) = from.digest() else { continue };
                    let Some(overtaken) = from.byte() else { continue };
                    let ids =
                        std::iter::from_fn(|| from.u32()).filter(|id| (*id as usize) < self.table.len());
                    let before = ids.collect();
                    self.attempts.insert(label.into(), Attempt { place, overtaken: overtaken == 1, before });
                }
                // Of a later version that thought it could add to this format.
                _ => {}
            }
        }
    }

    /// A copy of a task's record, with other ids in the place of those of this table.
    pub(super) fn record_with_ids(&self, label: &str, id: impl Fn(&[u8]) -> PathId) -> Option<Vec<u8>> {
        self.record(label)?;
        let mut bytes = match self.tasks.get(label)? {
            Kept::Loaded(range) => self.loaded[range.clone()].to_vec(),
            Kept::New(bytes) => bytes.to_vec(),
        };
        renumber(&mut bytes, |old| Some(id(self.table.path(old)))).then_some(bytes)
    }

    /// The bytes of a task's record.
    pub(super) fn record(&self, label: &str) -> Option<Record<'_>> {
        let bytes = match self.tasks.get(label)? {
            Kept::Loaded(range) => &self.loaded[range.clone()],
            Kept::New(bytes) => bytes,
        };
        Record::new(bytes, self.table.len())
    }

    /// Labels in the order in which their records were written; those that are not written yet come last.
    pub(super) fn labels(&self) -> Vec<&str> {
        let mut labels: Vec<(usize, &str)> = self
            .tasks
            .iter()
            .map(|(label, kept)| match kept {
                Kept::Loaded(range) => (range.start, &**label),
                Kept::New(_) => (usize::MAX, &**label),
            })
            .collect();
        labels.sort_unstable();
        labels.into_iter().map(|(_, label)| label).collect()
    }

    /// How long the file would be if it held nothing twice, and no path that nobody speaks of any more.
    pub(super) fn live_size(&self) -> u64 {
        let tasks: usize = self
            .tasks
            .iter()
            .map(|(label, kept)| {
                label.len()
                    + 20
                    + match kept {
                        Kept::Loaded(range) => range.len(),
                        Kept::New(bytes) => bytes.len(),
                    }
            })
            .sum();
        let used = self.spoken_of();
        let of = |id: usize| self.table.path(id as PathId).len() + 2 + ENTRY;
        let paths: usize = (0..self.table.len()).filter(|id| used[*id]).map(of).sum();
        (tasks + paths) as u64
    }

    /// Which paths a task's record or attempt speaks of. The others are of files that came and went.
    fn spoken_of(&self) -> Vec<bool> {
        let mut used = vec![false; self.table.len()];
        let records = self.tasks.keys().filter_map(|label| self.record(label));
        records.flat_map(|record| record.ids()).for_each(|id| used[id as usize] = true);
        self.attempts.values().flat_map(|attempt| &attempt.before).for_each(|id| used[*id as usize] = true);
        used
    }
}

/// The sections of a record: kind, and where the payload lies in `bytes`.
fn sections(bytes: &[u8], record: Range<usize>) -> impl Iterator<Item = (u8, Range<usize>)> {
    let mut at = record.start;
    std::iter::from_fn(move || {
        let head = bytes[at..record.end].first_chunk::<SECTION>()?;
        let len = u32::from_le_bytes([head[1], head[2], head[3], head[4]]) as usize;
        let start = at + SECTION;
        at = start.checked_add(len).filter(|end| *end <= record.end)?;
        Some((head[0], start..at))
    })
}

/// Adds a section to `to`, made by `write`.
fn put_section(to: &mut Vec<u8>, kind: u8, write: impl FnOnce(&mut Vec<u8>)) {
    let start = to.len();
    to.put(&[kind, 0, 0, 0, 0]);
    write(to);
    let len = u32::try_from(to.len() - start - SECTION).expect("a section is cut long before four gigabytes");
    to[start + 1..start + SECTION].copy_from_slice(&len.to_le_bytes());
}

fn read_paths(bytes: &[u8], table: &mut Table) {
    let mut from = Reader::new(bytes);
    let Some(count) = from.count(1) else { return };
    table.reserve(count, bytes.len());
    for _ in 0..count {
        let Some(path) = from.bytes() else { return };
        table.push(path);
    }
}

fn read_entries(bytes: &[u8], table: &mut Table) {
    // Three thousand of these are read at the beginning of a run: places that are known need no asking.
    for one in bytes.as_chunks::<ENTRY>().0 {
        let u32_at = |at: usize| u32::from_le_bytes(one[at..at + 4].try_into().expect("4 bytes"));
        let u64_at = |at: usize| u64::from_le_bytes(one[at..at + 8].try_into().expect("8 bytes"));
        let Some(kind) = FileKind::from_byte(one[4]) else { continue };
        let Some(slot) = table.entries.get_mut(u32_at(0) as usize) else { continue };
        let stat = Stat {
            size: u64_at(5),
            mtime_ns: u64_at(13).cast_signed(),
            ctime_ns: u64_at(21).cast_signed(),
            inode: u64_at(29),
            dev: u64_at(37),
            mode: u32_at(45),
        };
        let digest = Digest(one[49..].try_into().expect("32 bytes"));
        let (known, trusted) = (true, true);
        *slot = Entry { stat, digest, kind, known, trusted, changed: false, epoch: 0, observed: 0 };
    }
}

fn put_entry(to: &mut Vec<u8>, id: PathId, entry: &Entry) {
    to.put_u32(id);
    to.put(&[entry.kind as u8]);
    let stat = &entry.stat;
    to.put_u64(stat.size);
    to.put_u64(stat.mtime_ns as u64);
    to.put_u64(stat.ctime_ns as u64);
    to.put_u64(stat.inode);
    to.put_u64(stat.dev);
    to.put_u32(stat.mode);
    to.put_digest(&entry.digest);
}

/// Which id a path of this process has in the file.
#[derive(Debug, Default)]
pub(super) struct Translation {
    /// By id in memory; `None` for a path that is not in the file yet.
    disk: Vec<Option<PathId>>,
    /// How many paths the file has.
    count: u32,
}

impl Translation {
    /// For a table that was just loaded.
    pub(super) fn loaded(table: &Table) -> Self {
        let count = table.len() as u32;
        Self { disk: (0..count).map(Some).collect(), count }
    }

    /// Takes in what another process wrote.
    pub(super) fn learn(&mut self, news: &News, table: &mut Table) {
        if news.replaced {
            *self = Self::default();
        }
        let Records { bytes, payloads } = &news.records;
        let sections = payloads.iter().flat_map(|range| sections(bytes, range.clone()));
        for (_, range) in sections.filter(|(kind, _)| *kind == PATHS) {
            let mut theirs = Table::default();
            read_paths(&bytes[range], &mut theirs);
            for at in 0..theirs.len() {
                let id = table.intern(theirs.path(at as PathId)) as usize;
                if self.disk.len() <= id {
                    self.disk.resize(id + 1, None);
                }
                self.disk[id] = Some(self.count);
                self.count += 1;
            }
        }
    }

    fn disk(&self, id: PathId) -> Option<PathId> {
        self.disk.get(id as usize).copied().flatten()
    }

    /// The records that tell of everything that changed in `state`, and of these tasks.
    pub(super) fn write(&mut self, state: &mut State, tasks: &[Box<str>]) -> Vec<u8> {
        let State { table, tasks: kept, attempts, .. } = state;
        self.disk.resize(table.len().max(self.disk.len()), None);
        let new: Vec<PathId> = (0..table.len() as PathId).filter(|id| self.disk(*id).is_none()).collect();
        let mut sections = Vec::new();
        if !new.is_empty() {
            put_section(&mut sections, PATHS, |to| {
                to.put_int(new.len() as u64);
                for id in &new {
                    to.put_bytes(table.path(*id));
                    self.disk[*id as usize] = Some(self.count);
                    self.count += 1;
                }
            });
        }
        if table.entries.iter().any(|entry| entry.changed) {
            put_section(&mut sections, ENTRIES, |to| {
                for (id, entry) in table.entries.iter_mut().enumerate().filter(|(_, entry)| entry.changed) {
                    entry.changed = false;
                    if entry.known && entry.trusted && entry.kind != FileKind::Missing {
                        let disk = self.disk(id as PathId).expect("every path has its number by now");
                        put_entry(to, disk, entry);
                    }
                }
            });
        }
        for label in tasks {
            // One that was loaded is in the file already.
            if let Some(Kept::New(bytes)) = kept.get(label) {
                let mut bytes = bytes.to_vec();
                if renumber(&mut bytes, |id| self.disk(id)) {
                    put_section(&mut sections, TASK, |to| {
                        to.put_bytes(label.as_bytes());
                        to.put(&bytes);
                    });
                }
            }
            // After the record, which would end it.
            if let Some(attempt) = attempts.get(label) {
                put_section(&mut sections, ATTEMPT, |to| {
                    to.put_bytes(label.as_bytes());
                    to.put_digest(&attempt.place);
                    to.put(&[u8::from(attempt.overtaken)]);
                    attempt.before.iter().filter_map(|id| self.disk(*id)).for_each(|id| to.put_u32(id));
                });
            }
        }
        let mut record = Vec::new();
        if !sections.is_empty() {
            push_record(&mut record, |to| to.append(&mut sections));
        }
        record
    }
}

/// The same state with nothing twice, and without paths that no task speaks of.
pub(super) fn compact(records: Records) -> Vec<u8> {
    let mut state = State::parse(records);
    let used = state.spoken_of();
    let labels: Vec<Box<str>> = state.labels().into_iter().map(Box::from).collect();
    let mut table = Table::default();
    let mut new_ids = vec![None; used.len()];
    for id in (0..used.len()).filter(|id| used[*id]) {
        new_ids[id] = Some(table.len() as PathId);
        table.push(state.table.path(id as PathId));
        *table.entries.last_mut().expect("just pushed") =
            Entry { changed: true, ..*state.table.entry(id as PathId) };
    }
    for kept in state.tasks.values_mut() {
        if let Kept::Loaded(range) = kept {
            let mut bytes = state.loaded[range.clone()].to_vec();
            renumber(&mut bytes, |id| new_ids.get(id as usize).copied().flatten());
            *kept = Kept::New(bytes.into());
        }
    }
    state.table = table;
    for Attempt { before, .. } in state.attempts.values_mut() {
        *before = before.iter().filter_map(|id| new_ids[*id as usize]).collect();
    }
    // A task that has not ended well yet may have no record at all.
    let mut begun: Vec<Box<str>> =
        state.attempts.keys().filter(|label| !state.tasks.contains_key(*label)).cloned().collect();
    begun.sort_unstable();
    let all: Vec<Box<str>> = labels.into_iter().chain(begun).collect();
    Translation::default().write(&mut state, &all)
}
