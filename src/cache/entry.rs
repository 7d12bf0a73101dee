//! One result as one file: what was made, the small files themselves, and the log.
//!
//! ```text
//! magic (16) | key (32) | length of the list (u32) | the list | small files | log | blake3 of all before (32)
//! ```
//! The list names every output with its digest and where its bytes are: in this file, in a pack (many small files as one
//! blob), or in a blob of its own. Nothing in it is believed before the digest at the end fits, and nothing after that
//! beyond what a result of this task could hold: an entry may come from somewhere else.

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;

use crate::base::codec::{Put, Reader};
use crate::base::{Digest, RelPath, Timestamp};

use super::{ActionResult, CacheKey, Discovered, Output, OutputKind};

const MAGIC: &[u8; 16] = b"envrun result 01";
const HEAD: usize = 16 + 32 + 4;
const CHECK: usize = 32;

/// The largest entry that is written or read; what does not fit lies in packs and blobs.
pub(super) const MAX_ENTRY: u64 = 64 << 20;

/// The size of a pack: it is read as a whole.
pub(super) const PACK: u64 = 32 << 20;

/// Where an output file's bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In the entry, from here on.
    Inline(u64),
    /// In the pack with this number, from here on.
    Pack(u32, u64),
    /// In a blob of its own.
    Loose,
    /// It has none.
    None,
}

/// A result with the places of its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) result: ActionResult,
    /// One for each output.
    pub(super) places: Vec<Place>,
    /// Blobs that hold many small files, and how long each is.
    pub(super) packs: Vec<(Digest, u64)>,
    /// The bytes of the files in the entry itself.
    pub(super) inline: Vec<u8>,
}

impl Entry {
    /// The file for `key`.
    pub(super) fn encode(&self, key: &CacheKey) -> Vec<u8> {
        let mut list = Vec::new();
        let result = &self.result;
        list.put_int(u64::try_from(result.took.as_millis()).unwrap_or(u64::MAX));
        list.put_int(result.made.0);
        list.put_bytes(result.run.as_bytes());
        list.put_int(self.inline.len() as u64);
        list.put_int(result.log.len() as u64);
        list.put_int(self.packs.len() as u64);
        for (digest, len) in &self.packs {
            list.put_digest(digest);
            list.put_int(*len);
        }
        list.put_int(result.outputs.len() as u64);
        for (output, place) in result.outputs.iter().zip(&self.places) {
            list.put_bytes(output.path.as_bytes());
            match &output.kind {
                OutputKind::File { digest, size, mode } => {
                    list.put(&[1]);
                    list.put_digest(digest);
                    list.put_int(*size);
                    list.put_int(u64::from(*mode));
                    match place {
                        Place::Inline(at) => {
                            list.put(&[0]);
                            list.put_int(*at);
                        }
                        Place::Pack(pack, at) => {
                            list.put(&[1]);
                            list.put_int(u64::from(*pack));
                            list.put_int(*at);
                        }
                        Place::Loose | Place::None => list.put(&[2]),
                    }
                }
                OutputKind::Link(target) => {
                    list.put(&[2]);
                    list.put_bytes(target);
                }
                OutputKind::Dir => list.put(&[3]),
            }
        }
        list.put_int(result.discovered.len() as u64);
        for discovered in &result.discovered {
            list.put_bytes(discovered.path.as_os_str().as_encoded_bytes());
            match &discovered.digest {
                None => list.put(&[0]),
                Some(digest) => {
                    list.put(&[1]);
                    list.put_digest(digest);
                }
            }
        }
        let mut bytes = Vec::with_capacity(HEAD + list.len() + self.inline.len() + result.log.len() + CHECK);
        bytes.put(MAGIC);
        bytes.put_digest(&key.0);
        bytes.put_u32(u32::try_from(list.len()).unwrap_or(u32::MAX));
        bytes.put(&list);
        bytes.put(&self.inline);
        bytes.put(&result.log);
        let check = Digest::of(&bytes);
        bytes.put_digest(&check);
        bytes
    }

    /// What [`Entry::encode`] wrote for `key`; `None` for anything else.
    pub(super) fn decode(key: &CacheKey, mut bytes: Vec<u8>) -> Option<Self> {
        let body = bytes.len().checked_sub(CHECK)?;
        let check: [u8; CHECK] = bytes[body..].try_into().ok()?;
        (Digest::of(&bytes[..body]).as_bytes() == &check).then_some(())?;
        bytes.truncate(body);

        let mut from = Reader::new(&bytes);
        (from.array::<16>()? == *MAGIC && from.digest()? == key.0).then_some(())?;
        let list_len = from.u32()? as usize;
        let mut list = Reader::new(from.take(list_len)?);
        let took = Duration::from_millis(list.int()?);
        let made = Timestamp(list.int()?);
        let run = list.text()?.to_owned();
        let inline_len = usize::try_from(list.int()?).ok()?;
        let log_len = usize::try_from(list.int()?).ok()?;
        let pack = |list: &mut Reader<'_>| Some((list.digest()?, list.int().filter(|len| *len <= PACK)?));
        let packs = list.list(33, pack)?;
        let mut places = Vec::new();
        let outputs = list.list(3, |list| {
            let (output, place) = read_output(list, inline_len as u64, &packs)?;
            places.push(place);
            Some(output)
        })?;
        let discovered = list.list(2, |list| {
            let path = path_from(list.bytes()?);
            let digest = match list.byte()? {
                0 => None,
                1 => Some(list.digest()?),
                _ => return None,
            };
            Some(Discovered { path, digest })
        })?;
        (list.is_empty() && from.len() == inline_len.checked_add(log_len)?).then_some(())?;
        (is_a_tree(&outputs) && have_room(&outputs, &places, inline_len as u64, &packs)).then_some(())?;
        let log = bytes[body - log_len..].to_vec();
        bytes.truncate(body - log_len);
        bytes.drain(..HEAD + list_len);
        let result = ActionResult { outputs, log, took, made, run, discovered };
        Some(Self { result, places, packs, inline: bytes })
    }
}

impl Entry {
    /// The blobs it rests on, and how long they are.
    pub(super) fn blobs(&self) -> impl Iterator<Item = (Digest, u64)> {
        let loose =
            self.result.outputs.iter().zip(&self.places).filter_map(|(output, place)| match &output.kind {
                OutputKind::File { digest, size, .. } if *place == Place::Loose => Some((*digest, *size)),
                _ => None,
            });
        self.packs.iter().copied().chain(loose)
    }
}

fn read_output(list: &mut Reader<'_>, inline: u64, packs: &[(Digest, u64)]) -> Option<(Output, Place)> {
    let path = RelPath::from_bytes(list.bytes()?).filter(|path| !path.is_root())?;
    let (kind, place) = match list.byte()? {
        1 => {
            let digest = list.digest()?;
            let size = list.int()?;
            let mode = u32::try_from(list.int()?).ok().filter(|mode| mode & !0o777 == 0)?;
            let within = |at: u64, len: u64| at.checked_add(size).is_some_and(|end| end <= len);
            let place = match list.byte()? {
                0 => Place::Inline(Some(list.int()?).filter(|at| within(*at, inline))?),
                1 => {
                    let pack = u32::try_from(list.int()?).ok()?;
                    let len = packs.get(pack as usize)?.1;
                    Place::Pack(pack, Some(list.int()?).filter(|at| within(*at, len))?)
                }
                2 => Place::Loose,
                _ => return None,
            };
            (OutputKind::File { digest, size, mode }, place)
        }
        2 => {
            let target = list.bytes()?;
            (!target.is_empty() && !target.contains(&0)).then_some(())?;
            (OutputKind::Link(target.to_vec()), Place::None)
        }
        3 => (OutputKind::Dir, Place::None),
        _ => return None,
    };
    Some((Output { path, kind }, place))
}

/// Whether the files are no more than there are bytes for: each has its own. Otherwise a few bytes that ten thousand files
/// point at would fill a disk.
fn have_room(outputs: &[Output], places: &[Place], inline: u64, packs: &[(Digest, u64)]) -> bool {
    let mut left = inline;
    let mut left_in_packs: Vec<u64> = packs.iter().map(|(_, len)| *len).collect();
    outputs.iter().zip(places).all(|(output, place)| {
        let OutputKind::File { size, .. } = output.kind else { return true };
        let left = match place {
            Place::Inline(_) => &mut left,
            Place::Pack(pack, _) => &mut left_in_packs[*pack as usize],
            Place::Loose | Place::None => return true,
        };
        let rest = left.checked_sub(size);
        *left = rest.unwrap_or(0);
        rest.is_some()
    })
}

/// Whether the outputs can all lie in one tree: sorted, each once, nothing below a file or a link.
fn is_a_tree(outputs: &[Output]) -> bool {
    if !outputs.windows(2).all(|pair| pair[0].path < pair[1].path) {
        return false;
    }
    let leaves: HashSet<&[u8]> = outputs
        .iter()
        .filter(|output| output.kind != OutputKind::Dir)
        .map(|output| output.path.as_bytes())
        .collect();
    outputs.iter().all(|output| {
        let path = output.path.as_bytes();
        let folders = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        folders.map(|(end, _)| &path[..end]).all(|folder| !leaves.contains(folder))
    })
}

#[cfg(unix)]
fn path_from(bytes: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    PathBuf::from(std::ffi::OsStr::from_bytes(bytes))
}

/// Sets of paths that depfiles named under one key, the last used first: what to look at for the second key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct PathSets(pub(super) Vec<Vec<Vec<u8>>>);

const SETS_MAGIC: &[u8; 16] = b"envrun paths  01";

/// How many sets are kept under one key.
const MAX_SETS: usize = 16;

impl PathSets {
    pub(super) fn encode(&self, key: &CacheKey) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.put(SETS_MAGIC);
        bytes.put_digest(&key.0);
        bytes.put_int(self.0.len() as u64);
        for set in &self.0 {
            bytes.put_int(set.len() as u64);
            set.iter().for_each(|path| bytes.put_bytes(path));
        }
        let check = Digest::of(&bytes);
        bytes.put_digest(&check);
        bytes
    }

    pub(super) fn decode(key: &CacheKey, bytes: &[u8]) -> Option<Self> {
        let (body, check) = bytes.split_at_checked(bytes.len().checked_sub(CHECK)?)?;
        (Digest::of(body).as_bytes() == check).then_some(())?;
        let mut from = Reader::new(body);
        (from.array::<16>()? == *SETS_MAGIC && from.digest()? == key.0).then_some(())?;
        let path = |from: &mut Reader<'_>| Some(from.bytes().filter(|path| is_readable(path))?.to_vec());
        let sets = from.list(1, |from| from.list(1, path))?;
        from.is_empty().then_some(Self(sets))
    }

    /// Puts a set at the front.
    pub(super) fn add(&mut self, set: Vec<Vec<u8>>) {
        self.0.retain(|other| *other != set);
        self.0.insert(0, set);
        self.0.truncate(MAX_SETS);
    }
}

/// Whether it is safe to look at a path that somebody else wrote down: what the kernel makes up may never end.
fn is_readable(path: &[u8]) -> bool {
    let made_up: [&[u8]; 3] = [b"/proc", b"/sys", b"/dev"];
    let below = |root: &[u8]| path.starts_with(root) && matches!(path.get(root.len()), None | Some(b'/'));
    !path.is_empty() && !path.contains(&0) && !made_up.into_iter().any(below)
}
