//! Everything that goes into a key, by name: one walk makes the key, compares two runs and tells the difference.

use crate::base::Digest;
use crate::base::codec::{Put, Reader};
use crate::cache::CacheKey;

use super::difference::{Change, Difference};
use super::table::FileKind;
use super::{Definition, Need, SecretKey};

/// The version of what this file writes into a key. Raise it with every change of what a key is made of.
pub(super) const FORMAT: u8 = 1;

/// What a part of a definition is about. Part of the key: never give a number a new meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub(super) enum Tag {
    Format = 0,
    Platform = 1,
    Commands = 2,
    Shell = 3,
    Dir = 4,
    Variable = 5,
    Outputs = 6,
    Depfiles = 7,
    Sandbox = 8,
}

impl Tag {
    pub(super) fn from_byte(byte: u8) -> Option<Self> {
        use Tag::*;
        [Format, Platform, Commands, Shell, Dir, Variable, Outputs, Depfiles, Sandbox]
            .get(usize::from(byte))
            .copied()
    }
}

/// One part of a definition: only its digest is kept, so that no value, and no secret in a command line, is written down.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Part {
    pub(super) tag: Tag,
    /// The variable's name; empty for all others.
    pub(super) name: Box<str>,
    pub(super) digest: Digest,
}

/// A file in a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FilePart {
    pub(super) path: Box<[u8]>,
    pub(super) kind: FileKind,
    pub(super) digest: Digest,
}

/// Everything that goes into a task's key, by name, as digests.
///
/// Two manifests have no [`difference`](Manifest::diff) exactly when they have the same [`key`](Manifest::key).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Sorted by tag and name.
    pub(super) parts: Vec<Part>,
    /// Sorted by name.
    pub(super) tools: Vec<(String, Digest)>,
    /// Sorted by label.
    pub(super) needs: Vec<Need>,
    /// Sorted by path.
    pub(super) files: Vec<FilePart>,
    /// Sorted by path; `None` without a depfile.
    pub(super) discovered: Option<Vec<FilePart>>,
}

/// Digests of parts that most tasks have in common: made once, not once per task.
#[derive(Debug)]
pub(super) struct Usual {
    format: Digest,
    pub(super) platform: Digest,
    shell: Digest,
    nothing: Digest,
}

impl Usual {
    pub(super) fn new() -> Self {
        let mut platform = Vec::new();
        platform.put_bytes(std::env::consts::OS.as_bytes());
        platform.put_bytes(std::env::consts::ARCH.as_bytes());
        Self {
            format: Digest::of(&[FORMAT]),
            platform: Digest::of(&platform),
            shell: Digest::of(b"sh"),
            nothing: Digest::of(b""),
        }
    }
}

/// The parts of a definition, sorted.
pub(super) fn parts_of(definition: &Definition, secrets: &SecretKey, usual: &Usual) -> Vec<Part> {
    let mut parts = Vec::with_capacity(8 + definition.variables.len());
    let unnamed = |tag, digest| Part { tag, name: "".into(), digest };
    parts.push(unnamed(Tag::Format, usual.format));
    parts.push(unnamed(Tag::Platform, usual.platform));
    let mut buffer = Vec::with_capacity(256);
    let mut part = |tag: Tag, name: &str, write: &mut dyn FnMut(&mut Vec<u8>)| {
        buffer.clear();
        write(&mut buffer);
        let digest = match &buffer[..] {
            b"" => usual.nothing,
            b"sh" => usual.shell,
            bytes => Digest::of(bytes),
        };
        parts.push(Part { tag, name: name.into(), digest });
    };
    part(Tag::Commands, "", &mut |to| {
        use crate::model::Command;
        for command in &definition.commands {
            match command {
                Command::Shell(text) => {
                    to.put(&[0]);
                    to.put_bytes(text.as_bytes());
                }
                Command::Argv(words) => {
                    to.put(&[1]);
                    to.put_int(words.len() as u64);
                    words.iter().for_each(|word| to.put_bytes(word.as_bytes()));
                }
            }
        }
    });
    part(Tag::Shell, "", &mut |to| to.put(definition.shell.as_deref().unwrap_or("sh").as_bytes()));
    part(Tag::Dir, "", &mut |to| to.put(definition.dir.as_bytes()));
    let list = |texts: &[String], to: &mut Vec<u8>| {
        let mut sorted: Vec<&str> = texts.iter().map(String::as_str).collect();
        sorted.sort_unstable();
        sorted.dedup();
        sorted.iter().for_each(|text| to.put_bytes(text.as_bytes()));
    };
    part(Tag::Outputs, "", &mut |to| list(&definition.outputs, to));
    part(Tag::Depfiles, "", &mut |to| list(&definition.depfiles, to));
    if definition.strict {
        part(Tag::Sandbox, "", &mut |to| to.put(b"strict"));
    }
    for variable in &definition.variables {
        // One that is not set is not in the key: a command cannot tell it from one that nobody ever spoke of.
        let Some(value) = &variable.value else { continue };
        part(Tag::Variable, &variable.name, &mut |to| {
            if variable.secret {
                to.put(&[2]);
                to.put(blake3::keyed_hash(&secrets.0, value).as_bytes());
            } else {
                to.put(&[1]);
                to.put(value);
            }
        });
    }
    parts.sort_unstable_by(|a, b| (a.tag, &a.name).cmp(&(b.tag, &b.name)));
    // A name given twice is a mistake of the caller; the first in order counts, so that the walk stays a walk of a set.
    parts.dedup_by(|a, b| a.tag == b.tag && a.name == b.name);
    parts
}

/// The digest of a definition's parts.
pub(super) fn definition_digest(parts: &[Part]) -> Digest {
    let mut buffer = Vec::with_capacity(parts.len() * 48);
    for part in parts {
        buffer.put(&[part.tag as u8]);
        buffer.put_bytes(part.name.as_bytes());
        buffer.put_digest(&part.digest);
    }
    Digest::of(&buffer)
}

/// The key of the declared inputs. `files` come sorted by path; labels of needs are not in it, nor is their order.
pub(super) fn declared_key<'a>(
    definition: &Digest,
    tools: &[(String, Digest)],
    needs: &[Need],
    files: impl ExactSizeIterator<Item = (&'a [u8], FileKind, Digest)>,
) -> Digest {
    let mut buffer = Vec::with_capacity(96 + needs.len() * 32 + files.len() * 80);
    buffer.put(b"envrun key");
    buffer.put_digest(definition);
    buffer.put_int(tools.len() as u64);
    for (name, digest) in tools {
        buffer.put_bytes(name.as_bytes());
        buffer.put_digest(digest);
    }
    buffer.put_int(needs.len() as u64);
    let start = buffer.len();
    needs.iter().for_each(|need| buffer.put_digest(&need.outputs));
    // What the needs made counts, not what they are called: an equal task under another name has the same key.
    buffer[start..].as_chunks_mut::<32>().0.sort_unstable();
    put_files(&mut buffer, files);
    Digest::of(&buffer)
}

/// The key of the declared inputs and of those that depfiles named.
pub(super) fn discovered_key<'a>(
    declared: &Digest,
    files: impl ExactSizeIterator<Item = (&'a [u8], FileKind, Digest)>,
) -> Digest {
    let mut buffer = Vec::with_capacity(64 + files.len() * 80);
    buffer.put(b"envrun discovered key");
    buffer.put_digest(declared);
    put_files(&mut buffer, files);
    Digest::of(&buffer)
}

fn put_files<'a>(buffer: &mut Vec<u8>, files: impl ExactSizeIterator<Item = (&'a [u8], FileKind, Digest)>) {
    buffer.put_int(files.len() as u64);
    for (path, kind, digest) in files {
        buffer.put_bytes(path);
        buffer.put(&[kind as u8]);
        buffer.put_digest(&digest);
    }
}

impl Manifest {
    fn walk(files: &[FilePart]) -> impl ExactSizeIterator<Item = (&[u8], FileKind, Digest)> {
        files.iter().map(|file| (&*file.path, file.kind, file.digest))
    }

    /// The key that all of it makes.
    pub fn key(&self) -> CacheKey {
        let definition = definition_digest(&self.parts);
        let declared = declared_key(&definition, &self.tools, &self.needs, Self::walk(&self.files));
        CacheKey(match &self.discovered {
            None => declared,
            Some(files) => discovered_key(&declared, Self::walk(files)),
        })
    }

    /// What differs from `old` to `new`, the most telling first; empty exactly if their keys are equal.
    pub fn diff(old: &Self, new: &Self) -> Vec<Difference> {
        let mut found = Vec::new();
        merge(
            &old.parts,
            &new.parts,
            |part| (part.tag, &part.name),
            |old, new| old.digest == new.digest,
            |part, _, _, change| {
                found.push(match part.tag {
                    Tag::Format => Difference::Format,
                    Tag::Platform => Difference::Platform,
                    Tag::Commands => Difference::Commands,
                    Tag::Shell => Difference::Shell,
                    Tag::Dir => Difference::Dir,
                    Tag::Variable => Difference::Variable(part.name.to_string(), change),
                    Tag::Outputs => Difference::OutputDeclaration,
                    Tag::Depfiles => Difference::DepfileDeclaration,
                    Tag::Sandbox => Difference::Sandbox,
                });
            },
        );
        merge(
            &old.tools,
            &new.tools,
            |tool| &tool.0,
            |old, new| old.1 == new.1,
            |tool, _, _, change| found.push(Difference::Tool(tool.0.clone(), change)),
        );
        files(&old.files, &new.files, Difference::Input, &mut found);
        if digests(&old.needs) != digests(&new.needs) {
            merge(
                &old.needs,
                &new.needs,
                |need| &need.label,
                |old, new| old.outputs == new.outputs,
                |need, _, _, change| found.push(Difference::Need(need.label.clone(), change)),
            );
        }
        if old.discovered.is_some() != new.discovered.is_some() {
            found.push(Difference::DepfileDeclaration);
        }
        let none = Vec::new();
        files(
            old.discovered.as_ref().unwrap_or(&none),
            new.discovered.as_ref().unwrap_or(&none),
            Difference::Discovered,
            &mut found,
        );
        found
    }

    /// As bytes, to be kept with a run's record.
    pub fn encode(&self) -> Vec<u8> {
        let mut to = vec![FORMAT];
        to.put_int(self.parts.len() as u64);
        for part in &self.parts {
            to.put(&[part.tag as u8]);
            to.put_bytes(part.name.as_bytes());
            to.put_digest(&part.digest);
        }
        to.put_int(self.tools.len() as u64);
        for (name, digest) in &self.tools {
            to.put_bytes(name.as_bytes());
            to.put_digest(digest);
        }
        to.put_int(self.needs.len() as u64);
        for need in &self.needs {
            to.put_bytes(need.label.as_bytes());
            to.put_digest(&need.outputs);
        }
        put_files(&mut to, Self::walk(&self.files));
        match &self.discovered {
            None => to.put(&[0]),
            Some(files) => {
                to.put(&[1]);
                put_files(&mut to, Self::walk(files));
            }
        }
        to
    }

    /// What [`Manifest::encode`] wrote; `None` for anything else.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut from = Reader::new(bytes);
        (from.byte()? == FORMAT).then_some(())?;
        let parts = from.list(34, |from| {
            let tag = Tag::from_byte(from.byte()?)?;
            Some(Part { tag, name: from.text()?.into(), digest: from.digest()? })
        })?;
        let tools = from.list(33, |from| Some((from.text()?.to_owned(), from.digest()?)))?;
        let needs =
            from.list(33, |from| Some(Need { label: from.text()?.to_owned(), outputs: from.digest()? }))?;
        let read_files = |from: &mut Reader<'_>| {
            from.list(34, |from| {
                let path = from.bytes()?.into();
                let kind = FileKind::from_byte(from.byte()?)?;
                Some(FilePart { path, kind, digest: from.digest()? })
            })
        };
        let files = read_files(&mut from)?;
        let discovered = match from.byte()? {
            0 => None,
            1 => Some(read_files(&mut from)?),
            _ => return None,
        };
        from.is_empty().then_some(Self { parts, tools, needs, files, discovered })
    }
}

fn digests(needs: &[Need]) -> Vec<Digest> {
    let mut digests: Vec<Digest> = needs.iter().map(|need| need.outputs).collect();
    digests.sort_unstable();
    digests
}

fn files(
    old: &[FilePart],
    new: &[FilePart],
    word: fn(String, Change) -> Difference,
    found: &mut Vec<Difference>,
) {
    merge(
        old,
        new,
        |file| &file.path,
        |old, new| (old.kind, old.digest) == (new.kind, new.digest),
        |file, old, new, change| {
            let path = String::from_utf8_lossy(&file.path).into_owned();
            let there = |file: Option<&FilePart>| file.is_some_and(|file| file.kind != FileKind::Missing);
            found.push(match (old, new) {
                (Some(old), Some(new))
                    if old.digest == new.digest && old.kind.is_file() && new.kind.is_file() =>
                {
                    Difference::InputMode(path)
                }
                // A name written out is in the key even when there is no such file.
                (old, new) if there(old) == there(new) => word(path, change),
                (_, new) => word(path, if there(new) { Change::Added } else { Change::Removed }),
            });
        },
    );
}

/// Walks two sorted lists side by side.
fn merge<'a, T, K: Ord>(
    mut old: &'a [T],
    mut new: &'a [T],
    key: impl Fn(&'a T) -> K,
    same: impl Fn(&T, &T) -> bool,
    mut found: impl FnMut(&'a T, Option<&'a T>, Option<&'a T>, Change),
) {
    use std::cmp::Ordering;
    loop {
        let order = match (old.first(), new.first()) {
            (None, None) => return,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(old), Some(new)) => key(old).cmp(&key(new)),
        };
        match order {
            Ordering::Less => {
                found(&old[0], Some(&old[0]), None, Change::Removed);
                old = &old[1..];
            }
            Ordering::Greater => {
                found(&new[0], None, Some(&new[0]), Change::Added);
                new = &new[1..];
            }
            Ordering::Equal => {
                if !same(&old[0], &new[0]) {
                    found(&new[0], Some(&old[0]), Some(&new[0]), Change::Changed);
                }
                (old, new) = (&old[1..], &new[1..]);
            }
        }
    }
}
