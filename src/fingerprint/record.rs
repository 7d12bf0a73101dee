//! What is kept of a task's last good run, as bytes that are read where they lie.
//!
//! ```text
//! key | asked | patterns | outputs digest           32 bytes each
//! made (u64) | counts of the four lists (u32 each) | flags (u32)
//! rows: files, discovered, walked, outputs          path id (u32), kind and `prior` (u8), digest (32)
//! tail: run, parts, tools, needs                    only read to explain
//! ```
//! A check of a task that is up to date compares digests in place; nothing is decoded, nothing is allocated.

use crate::base::codec::{Put, Reader};
use crate::base::{Digest, Timestamp};

use super::Need;
use super::manifest::{Part, Tag};
use super::table::{FileKind, PathId};

/// The digest of a row that only asks for the kind.
pub(super) const ANY: Digest = Digest([0xff; 32]);

const HEAD: usize = 4 * 32 + 8 + 5 * 4;
const ROW: usize = 4 + 1 + 32;
/// In a row's second field, beside the kind.
const PRIOR: u8 = 0x80;
/// The key has a second level: the files that depfiles named.
const DISCOVERS: u32 = 1;

/// A path and what it held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) id: PathId,
    pub(super) kind: FileKind,
    pub(super) digest: Digest,
    /// Of an output: it was there before the task first ran, so it is not the task's to take away.
    pub(super) prior: bool,
}

/// What goes into a record.
#[derive(Debug)]
pub(super) struct NewRecord<'a> {
    pub(super) key: Digest,
    /// Of the definition as written and of what the needs made: with the same one, and the same rows, the key is the same.
    pub(super) asked: Digest,
    /// Of the input patterns and of where rules of what to ignore come from: with the same ones, `walked` tells whether
    /// the list of files is still right.
    pub(super) patterns: Digest,
    pub(super) outputs_digest: Digest,
    pub(super) made: Timestamp,
    pub(super) run: &'a str,
    /// Inputs, by path.
    pub(super) files: &'a [Row],
    /// What depfiles named; `None` without a depfile.
    pub(super) discovered: Option<&'a [Row]>,
    /// Folders and ignore files that were looked at to find the inputs.
    pub(super) walked: &'a [Row],
    pub(super) outputs: &'a [Row],
    pub(super) parts: &'a [Part],
    pub(super) tools: &'a [(String, Digest)],
    pub(super) needs: &'a [Need],
}

impl NewRecord<'_> {
    pub(super) fn encode(&self) -> Vec<u8> {
        let discovered = self.discovered.unwrap_or_default();
        let lists = [self.files, discovered, self.walked, self.outputs];
        let rows: usize = lists.iter().map(|list| list.len()).sum();
        let mut to = Vec::with_capacity(HEAD + rows * ROW + 256);
        for digest in [&self.key, &self.asked, &self.patterns, &self.outputs_digest] {
            to.put_digest(digest);
        }
        to.put_u64(self.made.0);
        for list in lists {
            to.put_u32(u32::try_from(list.len()).expect("fewer than four billion paths"));
        }
        to.put_u32(if self.discovered.is_some() { DISCOVERS } else { 0 });
        lists.into_iter().flatten().for_each(|row| put_row(&mut to, row));
        to.put_bytes(self.run.as_bytes());
        to.put_int(self.parts.len() as u64);
        for part in self.parts {
            to.put(&[part.tag as u8]);
            to.put_bytes(part.name.as_bytes());
            to.put_digest(&part.digest);
        }
        to.put_int(self.tools.len() as u64);
        for (name, digest) in self.tools {
            to.put_bytes(name.as_bytes());
            to.put_digest(digest);
        }
        to.put_int(self.needs.len() as u64);
        for need in self.needs {
            to.put_bytes(need.label.as_bytes());
            to.put_digest(&need.outputs);
        }
        to
    }
}

/// A record, read where it lies.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record<'a> {
    bytes: &'a [u8],
}

/// The four lists of a record.
#[derive(Debug, Clone, Copy)]
pub(super) enum List {
    Files = 0,
    Discovered = 1,
    Walked = 2,
    Outputs = 3,
}

/// What only an explanation needs.
#[derive(Debug)]
pub(super) struct Tail<'a> {
    pub(super) run: &'a str,
    pub(super) parts: Vec<Part>,
    pub(super) tools: Vec<(String, Digest)>,
    pub(super) needs: Vec<Need>,
}

impl<'a> Record<'a> {
    /// A record, if the bytes are long enough for what they say and speak of no path beyond `paths`.
    pub(super) fn new(bytes: &'a [u8], paths: usize) -> Option<Self> {
        let record = Self { bytes };
        (bytes.len() >= HEAD && record.end_of_rows() <= bytes.len() as u64).then_some(())?;
        let good =
            |row: &[u8]| (id_of(row) as usize) < paths && FileKind::from_byte(row[4] & !PRIOR).is_some();
        record.row_bytes().chunks_exact(ROW).all(good).then_some(record)
    }

    fn digest(&self, at: usize) -> Digest {
        Digest(self.bytes[at * 32..(at + 1) * 32].try_into().expect("32 bytes"))
    }

    pub(super) fn key(&self) -> Digest {
        self.digest(0)
    }

    pub(super) fn asked(&self) -> Digest {
        self.digest(1)
    }

    pub(super) fn patterns(&self) -> Digest {
        self.digest(2)
    }

    pub(super) fn outputs_digest(&self) -> Digest {
        self.digest(3)
    }

    pub(super) fn made(&self) -> Timestamp {
        Timestamp(u64::from_le_bytes(self.bytes[128..136].try_into().expect("8 bytes")))
    }

    fn number(&self, at: usize) -> u32 {
        let at = 136 + at * 4;
        u32::from_le_bytes(self.bytes[at..at + 4].try_into().expect("4 bytes"))
    }

    pub(super) fn has_discovered(&self) -> bool {
        self.number(4) & DISCOVERS != 0
    }

    fn end_of_rows(&self) -> u64 {
        HEAD as u64 + (0..4).map(|list| u64::from(self.number(list)) * ROW as u64).sum::<u64>()
    }

    fn row_bytes(&self) -> &'a [u8] {
        &self.bytes[HEAD..self.end_of_rows() as usize]
    }

    /// The rows of one list.
    pub(super) fn rows(&self, list: List) -> impl ExactSizeIterator<Item = Row> + Clone + use<'a> {
        let before: usize = (0..list as usize).map(|at| self.number(at) as usize).sum();
        let count = self.number(list as usize) as usize;
        self.row_bytes()[before * ROW..(before + count) * ROW].chunks_exact(ROW).map(row_of)
    }

    /// The rows of all lists.
    pub(super) fn all_rows(&self) -> impl Iterator<Item = Row> + use<'a> {
        self.row_bytes().chunks_exact(ROW).map(row_of)
    }

    /// The same record, found on another way to the same key.
    pub(super) fn with_asked(&self, asked: Digest) -> Vec<u8> {
        let mut to = self.bytes.to_vec();
        to[32..64].copy_from_slice(asked.as_bytes());
        to
    }

    /// The same record with another list of what was looked at to find the files.
    pub(super) fn with_walked(&self, asked: Digest, patterns: Digest, walked: &[Row]) -> Vec<u8> {
        let mut to = self.bytes[..HEAD].to_vec();
        to[32..64].copy_from_slice(asked.as_bytes());
        to[64..96].copy_from_slice(patterns.as_bytes());
        let at = 136 + List::Walked as usize * 4;
        to[at..at + 4]
            .copy_from_slice(&u32::try_from(walked.len()).expect("fewer than four billion").to_le_bytes());
        for list in [List::Files, List::Discovered] {
            self.rows(list).for_each(|row| put_row(&mut to, &row));
        }
        walked.iter().for_each(|row| put_row(&mut to, row));
        self.rows(List::Outputs).for_each(|row| put_row(&mut to, &row));
        to.put(&self.bytes[self.end_of_rows() as usize..]);
        to
    }

    /// Every path id in it.
    pub(super) fn ids(&self) -> impl Iterator<Item = PathId> + use<'a> {
        self.row_bytes().chunks_exact(ROW).map(id_of)
    }

    /// What only an explanation needs; `None` if the bytes do not have it.
    pub(super) fn tail(&self) -> Option<Tail<'a>> {
        let mut from = Reader::new(&self.bytes[self.end_of_rows() as usize..]);
        let run = from.text()?;
        let parts = from.list(34, |from| {
            let tag = Tag::from_byte(from.byte()?)?;
            Some(Part { tag, name: from.text()?.into(), digest: from.digest()? })
        })?;
        let tools = from.list(33, |from| Some((from.text()?.to_owned(), from.digest()?)))?;
        let needs =
            from.list(33, |from| Some(Need { label: from.text()?.to_owned(), outputs: from.digest()? }))?;
        Some(Tail { run, parts, tools, needs })
    }
}

fn put_row(to: &mut Vec<u8>, row: &Row) {
    to.put_u32(row.id);
    to.put(&[row.kind as u8 | if row.prior { PRIOR } else { 0 }]);
    to.put_digest(&row.digest);
}

fn row_of(row: &[u8]) -> Row {
    Row {
        id: id_of(row),
        kind: FileKind::from_byte(row[4] & !PRIOR).expect("checked by `new`"),
        prior: row[4] & PRIOR != 0,
        digest: Digest(row[5..].try_into().expect("32 bytes")),
    }
}

fn id_of(row: &[u8]) -> PathId {
    u32::from_le_bytes(row[..4].try_into().expect("4 bytes"))
}

/// Puts other ids in the place of those in a record. Gives `false`, and a record that is of no use, if one has no other.
pub(super) fn renumber(bytes: &mut [u8], id: impl Fn(PathId) -> Option<PathId>) -> bool {
    let Some(record) = Record::new(bytes, usize::MAX) else { return false };
    let end = record.end_of_rows() as usize;
    bytes[HEAD..end].chunks_exact_mut(ROW).all(|row| match id(id_of(row)) {
        Some(new) => {
            row[..4].copy_from_slice(&new.to_le_bytes());
            true
        }
        None => false,
    })
}
