//! A task's key, and whether it has to do something.

use std::ffi::OsString;

use crate::base::codec::Put;
use crate::base::fs::{FsError, Stat};
use crate::base::glob::Pattern;
use crate::base::{Digest, RelPath, Timestamp};
use crate::cache::CacheKey;

use super::definition::from_root;
use super::expand::{Expansion, PatternSet};
use super::look::never_counts;
use super::manifest::{FilePart, Manifest, Part, declared_key, definition_digest, discovered_key, parts_of};
use super::record::{List, Record, Row};
use super::stamp::Moment;
use super::state::State;
use super::table::{FileKind, PathId, Table};
use super::unchanged::asked;
use super::{Definition, Difference, Need, Workspace};

/// A [`Definition`] whose patterns are understood and whose own part of the key is computed.
#[derive(Debug, Clone)]
pub struct Prepared {
    pub(super) label: String,
    /// Of the definition as it was given; see [`super::unchanged`].
    pub(super) text: Digest,
    pub(super) dir: RelPath,
    pub(super) parts: Vec<Part>,
    pub(super) definition: Digest,
    pub(super) inputs: PatternSet,
    /// Of the input patterns as written; see [`Workspace::patterns_of`].
    pub(super) input_texts: Digest,
    pub(super) outputs: PatternSet,
    pub(super) output_texts: Vec<String>,
    pub(super) depfiles: Vec<RelPath>,
    pub(super) tools: Vec<String>,
    pub(super) search_path: OsString,
}

/// A task's key, and all that went into it.
#[derive(Debug, Clone)]
pub struct Fingerprint {
    pub(super) key: Digest,
    /// The key of the declared inputs alone; the same as `key` without a depfile.
    pub(super) declared: Digest,
    pub(super) tools: Vec<(String, Digest)>,
    /// Sorted by label.
    pub(super) needs: Vec<Need>,
    /// Sorted by path.
    pub(super) files: Vec<Seen>,
    /// What depfiles named, if that is known. Sorted by path.
    pub(super) discovered: Option<Vec<Seen>>,
    pub(super) walked: Vec<Row>,
    pub(super) patterns: Digest,
    /// The file system's time before the first look; only a task with a depfile needs it.
    pub(super) moment: Option<Moment>,
    /// How often the table had taken something in by then.
    pub(super) began: u32,
}

/// A file as it was when the key was made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    pub(super) row: Row,
    pub(super) stat: Stat,
}

/// Whether a task has to do something.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one at a time, on its way to the one who asked")]
pub enum Freshness {
    /// The key is that of the last good run, and its outputs are in place.
    UpToDate {
        /// Of its result, for those who need it.
        outputs: Digest,
    },
    /// Something differs.
    Stale {
        /// The key of today, to look for in the cache.
        fingerprint: Fingerprint,
        /// What differs; never empty, the most telling first.
        reasons: Vec<Difference>,
    },
}

/// What is known of a task's last good run in this checkout.
#[derive(Debug, Clone)]
pub struct LastGood {
    /// Everything that went into its key.
    pub manifest: Manifest,
    /// When its result was made.
    pub made: Timestamp,
    /// The run that made it.
    pub run: String,
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum FingerprintError {
    /// An input or a folder could not be read.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// A pattern cannot be understood, or leaves the project.
    #[error("the pattern `{pattern}` cannot be used: {reason}")]
    Pattern {
        /// As written.
        pattern: String,
        /// Why.
        reason: String,
    },
    /// A tool is not in the search path.
    #[error("the tool `{name}` is not in {path}")]
    Tool {
        /// Its name.
        name: String,
        /// The PATH looked in.
        path: String,
    },
}

impl Prepared {
    /// The name its state is kept under.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// What tells its definition from any other.
    pub fn text(&self) -> Digest {
        self.text
    }

    /// Where its outputs go.
    pub fn place(&self) -> Digest {
        place_of(self.output_texts.iter().map(|text| from_root(&self.dir, text)))
    }
}

/// The place that declared outputs name, relative to the root: equal for two tasks exactly if they declare the same ones.
pub fn place_of(declared: impl IntoIterator<Item = String>) -> Digest {
    let mut texts: Vec<String> = declared.into_iter().collect();
    texts.sort_unstable();
    let mut place = Vec::new();
    texts.iter().for_each(|text| place.put_bytes(text.trim_end_matches('/').as_bytes()));
    Digest::of(&place)
}

impl Fingerprint {
    /// What its result is found by.
    pub fn key(&self) -> CacheKey {
        CacheKey(self.key)
    }

    /// The files that went into it, those that depfiles named included.
    pub(super) fn rows(&self) -> impl Iterator<Item = Row> {
        self.files.iter().chain(self.discovered.iter().flatten()).map(|seen| seen.row)
    }

    /// How many files went into it.
    pub fn files(&self) -> usize {
        self.files.len() + self.discovered.as_ref().map_or(0, Vec::len)
    }
}

impl Workspace {
    /// Understands a definition. Cheap: touches no file.
    pub fn prepare(&self, definition: &Definition) -> Result<Prepared, FingerprintError> {
        let patterns = |texts: &[String]| {
            PatternSet::parse(&definition.dir, texts)
                .map_err(|(pattern, error)| FingerprintError::Pattern { pattern, reason: error.to_string() })
        };
        let depfile = |text: &String| {
            definition.dir.resolve(text).map_err(|error| FingerprintError::Pattern {
                pattern: text.clone(),
                reason: error.to_string(),
            })
        };
        let outputs = patterns(&definition.outputs)?;
        for (pattern, text) in
            outputs.includes.iter().zip(definition.outputs.iter().filter(|text| !text.starts_with('!')))
        {
            let root = match pattern {
                Pattern::Literal(path) => path.is_root() || path.components().any(never_counts),
                Pattern::Glob(glob) => {
                    glob.alternatives().iter().any(|one| one.prefix.components().any(never_counts))
                }
            };
            if root {
                let reason = "neither the whole project nor what is in `.git` or `.envrun` can be an output"
                    .to_owned();
                return Err(FingerprintError::Pattern { pattern: text.clone(), reason });
            }
        }
        let parts = parts_of(definition, &self.secrets, &self.usual);
        let mut input_texts = Vec::new();
        input_texts.put_bytes(definition.dir.as_bytes());
        definition.inputs.iter().for_each(|text| input_texts.put_bytes(text.as_bytes()));
        Ok(Prepared {
            label: definition.label.clone(),
            text: self.text_of(definition),
            dir: definition.dir.clone(),
            definition: definition_digest(&parts),
            parts,
            inputs: patterns(&definition.inputs)?,
            input_texts: Digest::of(&input_texts),
            outputs,
            output_texts: definition.outputs.clone(),
            depfiles: definition.depfiles.iter().map(depfile).collect::<Result<_, _>>()?,
            tools: definition.tools.clone(),
            search_path: definition.search_path.clone(),
        })
    }

    /// Computes a task's key, whatever its last good run says.
    pub fn fingerprint(&self, task: &Prepared, needs: &[Need]) -> Result<Fingerprint, FingerprintError> {
        let tools = self.tool_digests(&task.tools, &task.search_path, &task.dir)?;
        let moment = (!task.depfiles.is_empty()).then(|| self.clock().moment());
        let began = self.state().table.taken;
        let patterns = self.patterns_of(task);
        let Expansion { files, mut walked } = match self.remembered(task, patterns)? {
            Some(expansion) => expansion,
            None => self.expand(&task.inputs)?,
        };
        self.look(&files)?;
        // What the depfiles of the last good run named is the best guess at what they will name again.
        let discovered: Option<Vec<PathId>> = (!task.depfiles.is_empty())
            .then(|| {
                let state = self.state();
                let record = state.record(&task.label).filter(Record::has_discovered)?;
                Some(record.rows(List::Discovered).map(|row| row.id).collect())
            })
            .flatten();
        if let Some(ids) = &discovered {
            self.look(ids)?;
        }
        let mut needs = needs.to_vec();
        needs.sort_unstable_by(|a, b| a.label.cmp(&b.label));
        let state = self.state();
        let mut files = seen(&state.table, &files);
        // Gone since it was found: then it is not an input, but if it comes back it is one.
        walked.extend(files.iter().map(|file| file.row).filter(|row| row.kind == FileKind::Missing));
        files.retain(|file| file.row.kind != FileKind::Missing);
        let declared = declared_key(&task.definition, &tools, &needs, walk(&state.table, &files));
        let mut fingerprint = Fingerprint {
            key: declared,
            declared,
            tools,
            needs,
            files,
            discovered: None,
            walked,
            patterns,
            moment,
            began,
        };
        if let Some(ids) = discovered {
            fingerprint.set_discovered(&state.table, &ids);
        }
        Ok(fingerprint)
    }

    /// Whether a task is up to date: its key is that of its last good run, and its outputs are as that run left them.
    pub fn check(&self, task: &Prepared, needs: &[Need]) -> Result<Freshness, FingerprintError> {
        let asked = asked(&task.text, needs.iter().map(|need| need.outputs));
        if let Some(outputs) = self.check_quickly(task, needs)? {
            self.keep_asked(task, asked);
            return Ok(Freshness::UpToDate { outputs });
        }
        let fingerprint = self.fingerprint(task, needs)?;
        let reasons = self.reasons(task, &fingerprint);
        if !reasons.is_empty() {
            return Ok(Freshness::Stale { fingerprint, reasons });
        }
        // The same files, found on another way: a file that does not count came into a folder. Remember the way.
        let state = self.state();
        let Some(record) = state.record(&task.label) else {
            return Ok(Freshness::Stale { fingerprint, reasons: vec![Difference::NeverRan] });
        };
        let outputs = record.outputs_digest();
        let bytes = record.with_walked(asked, fingerprint.patterns, &fingerprint.walked);
        drop(state);
        self.keep(&task.label, bytes);
        Ok(Freshness::UpToDate { outputs })
    }

    /// The same key of other words: with these it is [unchanged](Workspace::unchanged) next time.
    fn keep_asked(&self, task: &Prepared, asked: Digest) {
        let state = self.state();
        let record = state.record(&task.label).filter(|record| record.asked() != asked);
        let Some(bytes) = record.map(|record| record.with_asked(asked)) else { return };
        drop(state);
        self.keep(&task.label, bytes);
    }

    /// The check as it goes when no file changed: no path, no allocation but the one for the key, no system call if the
    /// files were looked at before.
    fn check_quickly(&self, task: &Prepared, needs: &[Need]) -> Result<Option<Digest>, FingerprintError> {
        let patterns = self.patterns_of(task);
        let tools = self.tool_digests(&task.tools, &task.search_path, &task.dir)?;
        let epoch = self.epoch();
        let mut stale = Vec::new();
        {
            let state = self.state();
            let Some(record) = state.record(&task.label).filter(|record| record.patterns() == patterns)
            else {
                return Ok(None);
            };
            if state.attempts.contains_key(task.label.as_str()) {
                return Ok(None);
            }
            stale.extend(record.ids().filter(|id| !state.table.entry(*id).is_fresh(epoch)));
            if stale.is_empty() {
                return Ok(up_to_date(&state, &record, task, &tools, needs));
            }
        }
        if !self.look_all(&stale).is_empty() {
            // Something cannot be read; the long way tells what, if it matters.
            return Ok(None);
        }
        let state = self.state();
        let record = state.record(&task.label).filter(|record| record.patterns() == patterns);
        Ok(record.and_then(|record| up_to_date(&state, &record, task, &tools, needs)))
    }

    /// What differs from the last good run; empty if nothing does.
    pub(super) fn reasons(&self, task: &Prepared, fingerprint: &Fingerprint) -> Vec<Difference> {
        let outputs: Vec<PathId> = {
            let state = self.state();
            let Some(record) = state.record(&task.label) else {
                let today = || fingerprint.manifest(&state.table, task);
                return with_other_arguments(&state, &task.label, today)
                    .unwrap_or_else(|| vec![Difference::NeverRan]);
            };
            if record.key() != fingerprint.key {
                let Some(old) = manifest_of(&state.table, &record) else { return vec![Difference::NeverRan] };
                let differences = Manifest::diff(&old, &fingerprint.manifest(&state.table, task));
                // Keys that differ without a difference: a record that is not what it says.
                return if differences.is_empty() { vec![Difference::NeverRan] } else { differences };
            }
            if let Some(attempt) = state.attempts.get(task.label.as_str()) {
                return vec![if attempt.overtaken { Difference::Overtaken } else { Difference::Interrupted }];
            }
            record.rows(List::Outputs).map(|row| row.id).collect()
        };
        let unreadable = self.look_all(&outputs);
        let state = self.state();
        let Some(record) = state.record(&task.label) else { return vec![Difference::NeverRan] };
        let bad = |row: &Row| !holds(&state.table, row) || unreadable.iter().any(|(id, _)| *id == row.id);
        record
            .rows(List::Outputs)
            .filter(bad)
            .map(|row| {
                let path = String::from_utf8_lossy(state.table.path(row.id)).into_owned();
                match state.table.entry(row.id).kind {
                    FileKind::Missing => Difference::OutputMissing(path),
                    _ => Difference::OutputChanged(path),
                }
            })
            .collect()
    }

    /// What is known of a task's last good run here; if there is none with these arguments, of that with others.
    pub fn last_good(&self, label: &str) -> Option<LastGood> {
        let state = self.state();
        let record = state.record(label).or_else(|| last_with_other_arguments(&state, label))?;
        let run = record.tail()?.run.to_owned();
        Some(LastGood { manifest: manifest_of(&state.table, &record)?, made: record.made(), run })
    }

    /// Everything that went into a key, by name.
    pub fn manifest(&self, task: &Prepared, fingerprint: &Fingerprint) -> Manifest {
        fingerprint.manifest(&self.state().table, task)
    }

    /// The files that went into a key, each with a digest of what it is: its content, and whether it is executable or a link.
    pub fn contents(&self, fingerprint: &Fingerprint) -> Vec<(String, Digest)> {
        let state = self.state();
        let content = |seen: &Seen| {
            let path = String::from_utf8_lossy(state.table.path(seen.row.id)).into_owned();
            let mut bytes = vec![seen.row.kind as u8];
            bytes.put_digest(&seen.row.digest);
            (path, Digest::of(&bytes))
        };
        fingerprint.files.iter().map(content).collect()
    }

    /// The files found last time, if nothing that this rests on changed.
    pub(super) fn remembered(&self, task: &Prepared, patterns: Digest) -> Result<Option<Expansion>, FsError> {
        let (files, walked): (Vec<PathId>, Vec<Row>) = {
            let state = self.state();
            let Some(record) = state.record(&task.label).filter(|record| record.patterns() == patterns)
            else {
                return Ok(None);
            };
            (record.rows(List::Files).map(|row| row.id).collect(), record.rows(List::Walked).collect())
        };
        if !self.still_holds(&walked) {
            return Ok(None);
        }
        self.look(&files)?;
        let state = self.state();
        // A name written out that is now a folder or a link stands for other files.
        let settled = files.iter().all(|id| match state.table.entry(*id).kind {
            FileKind::File | FileKind::Executable | FileKind::Missing => true,
            FileKind::Link => walked.iter().any(|row| row.id == *id),
            FileKind::Dir | FileKind::Special => false,
        });
        Ok(settled.then_some(Expansion { files, walked }))
    }

    /// Whether everything that a walk looked at is as it was.
    pub(super) fn still_holds(&self, walked: &[Row]) -> bool {
        let ids: Vec<PathId> = walked.iter().map(|row| row.id).collect();
        self.look_all(&ids).is_empty() && {
            let state = self.state();
            walked.iter().all(|row| holds(&state.table, row))
        }
    }

    /// What a list of found files rests on beside folders: the patterns, and where ignore files outside lie.
    pub(super) fn patterns_of(&self, task: &Prepared) -> Digest {
        // Two digests of different things: no need for a third one.
        let (texts, outside) = (task.input_texts.as_bytes(), self.outside_digest());
        Digest(std::array::from_fn(|at| texts[at] ^ outside.as_bytes()[at]))
    }
}

/// The digest of the outputs, if the record is of today's key and its outputs are in place. Everything it speaks of was
/// looked at.
fn up_to_date(
    state: &State,
    record: &Record<'_>,
    task: &Prepared,
    tools: &[(String, Digest)],
    needs: &[Need],
) -> Option<Digest> {
    let table = &state.table;
    let walked = record.rows(List::Walked).all(|row| holds(table, &row));
    let now = |row: Row| {
        let entry = table.entry(row.id);
        (table.path(row.id), entry.kind, entry.digest)
    };
    let right = walked
        && {
            let declared = declared_key(&task.definition, tools, needs, record.rows(List::Files).map(now));
            let key = if record.has_discovered() {
                discovered_key(&declared, record.rows(List::Discovered).map(now))
            } else {
                declared
            };
            key == record.key()
        }
        && record.rows(List::Outputs).all(|row| holds(table, &row));
    right.then(|| record.outputs_digest())
}

/// Whether a path holds what a row says. Of an output folder only that it is one: what is in it has rows of its own.
pub(super) fn holds(table: &Table, row: &Row) -> bool {
    let entry = table.entry(row.id);
    entry.known && entry.kind == row.kind && (entry.digest == row.digest || row.digest == super::record::ANY)
}

/// What the table says of these paths.
pub(super) fn seen(table: &Table, ids: &[PathId]) -> Vec<Seen> {
    ids.iter()
        .map(|id| {
            let entry = table.entry(*id);
            Seen {
                row: Row { id: *id, kind: entry.kind, digest: entry.digest, prior: false },
                stat: entry.stat,
            }
        })
        .collect()
}

fn walk<'a>(
    table: &'a Table,
    files: &'a [Seen],
) -> impl ExactSizeIterator<Item = (&'a [u8], FileKind, Digest)> {
    files.iter().map(|file| (table.path(file.row.id), file.row.kind, file.row.digest))
}

impl Fingerprint {
    /// What tells it from every other fingerprint.
    pub fn identity(&self) -> Digest {
        self.key
    }

    /// Takes in what depfiles named, as the table knows it.
    pub(super) fn set_discovered(&mut self, table: &Table, ids: &[PathId]) {
        let mut ids = ids.to_vec();
        ids.sort_unstable_by(|a, b| table.path(*a).cmp(table.path(*b)));
        ids.dedup();
        let files = seen(table, &ids);
        self.key = discovered_key(&self.declared, walk(table, &files));
        self.discovered = Some(files);
    }

    pub(super) fn manifest(&self, table: &Table, task: &Prepared) -> Manifest {
        let part = |seen: &Seen| file_part(table, &seen.row);
        Manifest {
            parts: task.parts.clone(),
            tools: self.tools.clone(),
            needs: self.needs.clone(),
            files: self.files.iter().map(part).collect(),
            discovered: self.discovered.as_ref().map(|files| files.iter().map(part).collect()),
        }
    }
}

fn file_part(table: &Table, row: &Row) -> FilePart {
    FilePart { path: table.path(row.id).into(), kind: row.kind, digest: row.digest }
}

pub(super) fn manifest_of(table: &Table, record: &Record<'_>) -> Option<Manifest> {
    let tail = record.tail()?;
    let files = |list| record.rows(list).map(|row| file_part(table, &row)).collect();
    Some(Manifest {
        parts: tail.parts,
        tools: tail.tools,
        needs: tail.needs,
        files: files(List::Files),
        discovered: record.has_discovered().then(|| files(List::Discovered)),
    })
}

/// What differs from the last good run of the same task with other arguments. `None` if there is none, or if it had the
/// same key, since nobody reads them.
fn with_other_arguments(
    state: &State,
    label: &str,
    today: impl FnOnce() -> Manifest,
) -> Option<Vec<Difference>> {
    let old = manifest_of(&state.table, &last_with_other_arguments(state, label)?)?;
    Some(Manifest::diff(&old, &today())).filter(|differences| !differences.is_empty())
}

/// The latest of the last good runs of a task with other arguments than those that `label` ends with.
fn last_with_other_arguments<'a>(state: &'a State, label: &str) -> Option<Record<'a>> {
    let task = label.split_once(' ')?.0;
    let is_same = |other: &&str| other.split(' ').next() == Some(task) && *other != label;
    let records =
        state.tasks.keys().map(|other| &**other).filter(is_same).filter_map(|other| state.record(other));
    records.max_by_key(Record::made)
}
