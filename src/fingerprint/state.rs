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

/// The record of a task's last good run.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    bytes: Bytes,
    /// Counts records as they were written, by whomever.
    turn: u32,
    /// It is in the file.
    pub(super) is_saved: bool,
}

/// Where a record is: in the bytes that were loaded, or made since.
#[derive(Debug, Clone)]
enum Bytes {
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
    /// What records that were loaded lie in.
    pub(super) loaded: Vec<u8>,
    /// The turn of the next record.
    turn: u32,
}

impl State {
    /// Reads good records.
    pub(super) fn parse(loaded: Records) -> Self {
        let mut state = Self::default();
        let all = || loaded.payloads.iter().flat_map(|range| sections(&loaded.bytes, range.clone()));
        state.tasks.reserve(all().filter(|(kind, _)| *kind == TASK).count());
        for (kind, range) in all() {
            let payload = &loaded.bytes[range.clone()];
            match kind {
                PATHS => read_paths(payload, &mut state.table),
                ENTRIES => read_entries(payload, &mut state.table),
                TASK => {
                    let Some((label, len)) = read_task(payload) else { continue };
                    if !state.attempts.is_empty() {
                        state.attempts.remove(label);
                    }
                    let bytes = Bytes::Loaded(range.end - len..range.end);
                    let turn = state.next_turn();
                    state.tasks.insert(label.into(), Kept { bytes, turn, is_saved: true });
                }
                ATTEMPT => {
                    let count = state.table.len();
                    let known = |id: PathId| ((id as usize) < count).then_some(id);
                    let Some((label, attempt)) = read_attempt(payload, known) else { continue };
                    state.attempts.insert(label.into(), attempt);
                }
                // Of a later version that thought it could add to this format.
                _ => {}
            }
        }
        state.loaded = loaded.bytes;
        state
    }

    fn next_turn(&mut self) -> u32 {
        self.turn += 1;
        self.turn
    }

    /// Takes the record of a run that ended well.
    pub(super) fn keep(&mut self, label: &str, bytes: Vec<u8>) {
        let kept = Kept { bytes: Bytes::New(bytes.into()), turn: self.next_turn(), is_saved: false };
        self.tasks.insert(label.into(), kept);
    }

    /// Takes the record that another process wrote.
    fn learn(&mut self, label: &str, bytes: Vec<u8>) {
        let turn = self.next_turn();
        match self.tasks.get_mut(label) {
            // The same once more takes no memory.
            Some(kept) if *kept.bytes.of(&self.loaded) == *bytes => (kept.turn, kept.is_saved) = (turn, true),
            _ => {
                let kept = Kept { bytes: Bytes::New(bytes.into()), turn, is_saved: true };
                self.tasks.insert(label.into(), kept);
            }
        }
    }

    /// The bytes of a task's record.
    pub(super) fn record(&self, label: &str) -> Option<Record<'_>> {
        Record::new(self.tasks.get(label)?.bytes.of(&self.loaded), self.table.len())
    }

    /// Labels in the order in which their records were written.
    pub(super) fn labels(&self) -> Vec<&str> {
        let mut labels: Vec<(u32, &str)> =
            self.tasks.iter().map(|(label, kept)| (kept.turn, &**label)).collect();
        labels.sort_unstable();
        labels.into_iter().map(|(_, label)| label).collect()
    }

    /// How long the file would be if it held nothing twice, and no path that nobody speaks of any more.
    pub(super) fn live_size(&self) -> u64 {
        let tasks: usize =
            self.tasks.iter().map(|(label, kept)| label.len() + 20 + kept.bytes.of(&self.loaded).len()).sum();
        let attempts: usize =
            self.attempts.iter().map(|(label, attempt)| label.len() + 48 + 4 * attempt.before.len()).sum();
        let used = self.spoken_of();
        let of = |id: usize| self.table.path(id as PathId).len() + 2 + ENTRY;
        let paths: usize = (0..self.table.len()).filter(|id| used[*id]).map(of).sum();
        (tasks + attempts + paths) as u64
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

impl Bytes {
    fn of<'a>(&'a self, loaded: &'a [u8]) -> &'a [u8] {
        match self {
            Self::Loaded(range) => &loaded[range.clone()],
            Self::New(bytes) => bytes,
        }
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

/// The label of a task, and how long its record is, which stands behind it.
fn read_task(bytes: &[u8]) -> Option<(&str, usize)> {
    let mut from = Reader::new(bytes);
    Some((from.text()?, from.len()))
}

fn read_attempt(bytes: &[u8], id: impl Fn(PathId) -> Option<PathId>) -> Option<(&str, Attempt)> {
    let mut from = Reader::new(bytes);
    let (label, place, overtaken) = (from.text()?, from.digest()?, from.byte()? == 1);
    let before = std::iter::from_fn(|| from.u32()).filter_map(id).collect();
    Some((label, Attempt { place, overtaken, before }))
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

/// Which id a path of this process has in the file, and the other way round.
#[derive(Debug, Default)]
pub(super) struct Translation {
    /// By id in memory; `None` for a path that is not in the file yet.
    disk: Vec<Option<PathId>>,
    /// By id in the file.
    memory: Vec<PathId>,
}

impl Translation {
    /// For a table that was just loaded.
    pub(super) fn loaded(table: &Table) -> Self {
        let count = table.len() as PathId;
        Self { disk: (0..count).map(Some).collect(), memory: (0..count).collect() }
    }

    /// Takes in what other processes wrote, and gives the tasks whose record is another one now, in the order in which
    /// they were written. What is `unsaved` here was found out before that, and without the task's lock, or it would
    /// have been written: theirs counts. In a file that was read anew as a whole theirs may be older.
    pub(super) fn learn<'a>(
        &mut self,
        news: &'a News,
        state: &mut State,
        unsaved: &mut Vec<Box<str>>,
    ) -> Vec<&'a str> {
        if news.replaced {
            *self = Self::default();
        }
        let Records { bytes, payloads } = &news.records;
        let mut learned = Vec::new();
        for (kind, range) in payloads.iter().flat_map(|range| sections(bytes, range.clone())) {
            let payload = &bytes[range];
            let mut counts = |label: &str| {
                if news.replaced {
                    return !unsaved.iter().any(|own| **own == *label);
                }
                unsaved.retain(|own| **own != *label);
                true
            };
            match kind {
                PATHS => {
                    let mut theirs = Table::default();
                    read_paths(payload, &mut theirs);
                    for at in 0..theirs.len() {
                        let id = state.table.intern(theirs.path(at as PathId));
                        self.put(id);
                    }
                }
                TASK => {
                    let Some((label, len)) = read_task(payload) else { continue };
                    let mut record = payload[payload.len() - len..].to_vec();
                    if counts(label) && renumber(&mut record, |id| self.memory.get(id as usize).copied()) {
                        state.attempts.remove(label);
                        state.learn(label, record);
                        learned.push(label);
                    }
                }
                ATTEMPT => {
                    let known = |id: PathId| self.memory.get(id as usize).copied();
                    let Some((label, attempt)) = read_attempt(payload, known) else { continue };
                    if counts(label) {
                        state.attempts.insert(label.into(), attempt);
                    }
                }
                // What they saw of files is looked at here, as that of all files.
                _ => {}
            }
        }
        learned
    }

    /// Notes that a path is the next one in the file.
    fn put(&mut self, id: PathId) {
        let at = id as usize;
        if self.disk.len() <= at {
            self.disk.resize(at + 1, None);
        }
        self.disk[at] = Some(self.memory.len() as PathId);
        self.memory.push(id);
    }

    fn disk(&self, id: PathId) -> Option<PathId> {
        self.disk.get(id as usize).copied().flatten()
    }

    /// The records that tell of everything that changed in `state`, and of these tasks.
    pub(super) fn write(&mut self, state: &mut State, tasks: &[Box<str>]) -> Vec<u8> {
        let State { table, tasks: kept, attempts, loaded, .. } = state;
        self.disk.resize(table.len().max(self.disk.len()), None);
        let new: Vec<PathId> = (0..table.len() as PathId).filter(|id| self.disk(*id).is_none()).collect();
        let mut sections = Vec::new();
        if !new.is_empty() {
            put_section(&mut sections, PATHS, |to| {
                to.put_int(new.len() as u64);
                for id in &new {
                    to.put_bytes(table.path(*id));
                    self.put(*id);
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
            if let Some(kept) = kept.get(label).filter(|kept| !kept.is_saved) {
                let mut bytes = kept.bytes.of(loaded).to_vec();
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
        let mut bytes = kept.bytes.of(&state.loaded).to_vec();
        renumber(&mut bytes, |id| new_ids.get(id as usize).copied().flatten());
        *kept = Kept { bytes: Bytes::New(bytes.into()), is_saved: false, ..*kept };
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
