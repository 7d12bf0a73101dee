//! The compiled snapshot: what an Envfile says, kept so that the next start reads no KDL.
//!
//! It is keyed by content: it holds for as long as every file that was read has the same digest, every folder that was
//! listed the same names, and everything that was looked for and not there is still not there. Only an Envfile about which
//! there is nothing to say is kept: a warning has to be said again, with the text under it.
//!
//! Its *basis* is the digest of all these answers. Who knows it, and that nothing gives another answer since, by the stat
//! of every file, need not have the files read again.
//!
//! The nodes, which are most of it, are not decoded when it is read: they stay packed behind the rest
//! ([`Nodes`](crate::model::Nodes)), each to be decoded when somebody asks for it.
//!
//! Invariant: a snapshot that is torn, foreign or of another version is none; the texts are then read as if for the first
//! time.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::base::codec::{Put, Reader};
use crate::base::fs::{self, FsError};
use crate::base::{Digest, checksum};
use crate::diag::SourceMap;
use crate::model::{Envfile, Nodes, Project};

use super::{Loaded, Texts};

/// The first bytes of a snapshot, the build's own name among them: another build may have other types, or other rules.
pub(super) const MAGIC: &str = concat!("envrun snapshot ", env!("ENVRUN_BUILD"), "\n");

/// Something that was asked for while loading, and what the answer was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Answer {
    Text([u8; 32]),
    Names([u8; 32]),
    Missing,
}

/// A text that was read, in the order of reading: its name for people, and where it lies.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Source {
    name: String,
    path: PathBuf,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Snapshot {
    pub(super) basis: [u8; 32],
    pub(super) asked: Vec<(PathBuf, Answer)>,
    pub(super) sources: Vec<Source>,
    /// Its nodes are written apart.
    pub(super) envfile: Envfile,
}

impl Snapshot {
    /// The body of a file: how long the head is, the head, and the nodes of each scope.
    pub(super) fn encode(&self) -> Result<Vec<u8>, postcard::Error> {
        let head = postcard::to_stdvec(self)?;
        let mut body = Vec::new();
        body.put_u32(u32::try_from(head.len()).map_err(|_| postcard::Error::SerializeBufferFull)?);
        body.put(&head);
        for scope in self.envfile.projects.values().flat_map(Project::scopes) {
            scope.nodes.pack(&mut body)?;
        }
        Ok(body)
    }

    /// What the bytes of a file say whose body begins at `at`.
    pub(super) fn decode(bytes: Vec<u8>, mut at: usize) -> Option<Self> {
        let bytes = Arc::new(bytes);
        let mut reader = Reader::new(bytes.get(at..)?);
        let head = usize::try_from(reader.u32()?).ok().and_then(|length| reader.take(length))?;
        let mut snapshot: Self = postcard::from_bytes(head).ok()?;
        at = bytes.len() - reader.len();
        for project in snapshot.envfile.projects.values_mut() {
            for scope in std::iter::once(&mut project.base).chain(project.overlays.values_mut()) {
                scope.nodes = Nodes::unpacked(&bytes, &mut at)?;
            }
        }
        (at == bytes.len()).then_some(snapshot)
    }
}

/// What a path answers now, and the text if it is a file.
fn ask(path: &Path, texts: &Texts) -> io::Result<(Answer, Option<String>)> {
    if texts.is_dir(path) {
        let mut names = Vec::new();
        for listed in texts.list(path)? {
            names.put_bytes(listed.name.as_bytes());
            names.put(&[u8::from(listed.is_dir)]);
        }
        return Ok((Answer::Names(Digest::of(&names).0), None));
    }
    match texts.read(path) {
        Ok(text) => Ok((Answer::Text(Digest::of(text.as_bytes()).0), Some(text))),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok((Answer::Missing, None))
        }
        Err(error) => Err(error),
    }
}

/// Whether a path may have changed after a moment, by clocks that tick every few milliseconds.
fn changed_since(path: &Path, moment: SystemTime) -> bool {
    let tick = Duration::from_millis(40);
    let changed = std::fs::metadata(path).ok().and_then(|meta| fs::changed_at(&meta));
    changed.is_none_or(|changed| changed + tick >= moment)
}

impl Loaded {
    /// Writes a snapshot to `file`. `asked` is every path that was asked for to load this, there or not, and `since` a
    /// moment from before that. Nothing is written where something changed meanwhile.
    pub fn save_snapshot(&self, file: &Path, asked: &[PathBuf], since: SystemTime) -> Result<(), FsError> {
        if !self.diagnostics.is_empty() {
            return Ok(());
        }
        let error = |error: io::Error| FsError::new("write", file, error);
        let mut answers = Vec::new();
        for path in asked {
            answers.push((path.clone(), ask(path, &Texts::Disk).map_err(error)?.0));
        }
        let texts = self.sources.files();
        // A text that changed since it was read is not what was compiled.
        let is_old = |(path, answer): &(PathBuf, Answer)| {
            let read = texts.iter().find(|source| source.path == *path);
            read.is_some_and(|read| *answer != Answer::Text(Digest::of(read.text().as_bytes()).0))
        };
        // Of a folder nobody kept the names that were read.
        let is_young = |(path, answer): &(PathBuf, Answer)| {
            matches!(answer, Answer::Names(_)) && changed_since(path, since)
        };
        if answers.iter().any(|asked| is_old(asked) || is_young(asked)) {
            return Ok(());
        }
        let sources =
            texts.iter().map(|source| Source { name: source.name.clone(), path: source.path.clone() });
        let unwritable = |error| FsError::new("write", file, io::Error::other(error));
        let basis = Digest::of(&postcard::to_stdvec(&answers).map_err(unwritable)?).0;
        let (sources, envfile) = (sources.collect(), self.envfile.clone());
        let snapshot = Snapshot { basis, asked: answers, sources, envfile };
        let body = snapshot.encode().map_err(unwritable)?;
        let mut bytes = MAGIC.as_bytes().to_vec();
        bytes.put_u64(checksum(&body));
        bytes.put(&body);
        fs::write_atomic(file, &bytes)
    }

    /// Reads the snapshot in `file`, if it is one of `root_file` and holds. Every path it rests on is asked of `texts`,
    /// but for a snapshot with the basis `known`, whose paths are only noted there.
    pub fn from_snapshot(
        file: &Path,
        root_file: &Path,
        texts: &Texts,
        known: Option<Digest>,
    ) -> Option<Self> {
        let bytes = std::fs::read(file).ok()?;
        let mut reader = Reader::new(&bytes);
        if reader.take(MAGIC.len())? != MAGIC.as_bytes() {
            return None;
        }
        let sum = reader.u64()?;
        let body = reader.take(reader.len())?;
        if checksum(body) != sum {
            return None;
        }
        let at = bytes.len() - body.len();
        let snapshot = Snapshot::decode(bytes, at)?;
        let basis = Digest(snapshot.basis);
        let is_known = known == Some(basis);
        let mut read: Vec<(&Path, Arc<str>)> = Vec::new();
        for (path, answer) in &snapshot.asked {
            if is_known {
                texts.note(path);
                continue;
            }
            let (now, text) = ask(path, texts).ok()?;
            if now != *answer {
                return None;
            }
            read.extend(text.map(|text| (path.as_path(), text.into())));
        }
        if snapshot.sources.first()?.path != root_file {
            return None;
        }
        let mut sources = SourceMap::default();
        for source in &snapshot.sources {
            if is_known {
                sources.add_unread(source.name.as_str(), &source.path);
                continue;
            }
            let (_, text) = read.iter().find(|(path, _)| *path == source.path)?;
            sources.add(source.name.as_str(), &source.path, Arc::clone(text));
        }
        Some(Self {
            root: root_file.parent()?.to_path_buf(),
            envfile: snapshot.envfile,
            sources,
            diagnostics: Vec::new(),
            declared: None,
            basis: Some(basis),
        })
    }
}
