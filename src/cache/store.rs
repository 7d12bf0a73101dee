//! The store in the user's cache folder.
//!
//! ```text
//! results/ab/cdef…   one entry per key        blobs/ab/cdef…   one file per digest
//! paths/ab/cdef…     sets of discovered paths tmp/             files being written
//! runs/              one locked file per running envrun
//! ```

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use crate::base::Digest;
use crate::base::fs::{self, FsError, Root};

use super::entry::{Entry, MAX_ENTRY, PACK, PathSets, Place};
use super::{ActionResult, CacheKey, OutputKind};

/// Files from this size on are blobs of their own.
pub(super) const LARGE: u64 = 1 << 20;
/// So many bytes of small files lie in the entry itself.
const INLINE: u64 = 8 << 20;
/// How old the time of last use may be before a use is noted.
pub(super) const NOTED: Duration = Duration::from_secs(60 * 60);

/// The same, for what only lies in a checkout that is up to date.
const USES: Duration = Duration::from_secs(12 * 60 * 60);

/// How much the store may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes.
    pub max_size: u64,
    /// How long a result may lie unused.
    pub max_age: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_size: 20 << 30, max_age: Duration::from_secs(30 * 24 * 60 * 60) }
    }
}

/// The store of one user on one machine. Any number of threads and processes may use it at once.
#[derive(Debug)]
pub struct LocalStore {
    pub(super) dir: PathBuf,
    pub(super) limits: Limits,
    /// Held as long as this process may use what it found.
    run: Mutex<Option<Run>>,
    /// How many bytes this process added.
    pub(super) added: AtomicU64,
    /// It could not be written once, so nothing more is kept: what is wrong with it is wrong for the next result too.
    gave_up: AtomicBool,
    /// It could not be read once, and a person has heard of it.
    unreadable: AtomicBool,
}

/// A file in `runs/` that is locked as long as its process lives.
#[derive(Debug)]
struct Run {
    path: PathBuf,
    _locked: File,
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// A result that was found, and where its bytes are.
#[derive(Debug)]
pub struct Hit {
    /// What it was found by.
    pub key: CacheKey,
    /// What the task left behind.
    pub result: ActionResult,
    pub(super) places: Vec<Place>,
    pub(super) packs: Vec<(Digest, u64)>,
    pub(super) inline: Vec<u8>,
}

impl Hit {
    /// Whether it takes so little memory that thousands may be kept until their turn comes.
    pub fn is_small(&self) -> bool {
        self.inline.len() + self.result.log.len() <= 16 << 10 && self.places.len() <= 64
    }

    /// Whether every file that its bytes lie in is there in full length.
    pub fn is_whole(&self, store: &LocalStore) -> bool {
        let loose =
            self.result.outputs.iter().zip(&self.places).filter_map(|(output, place)| match &output.kind {
                OutputKind::File { digest, size, .. } if *place == Place::Loose => Some((*digest, *size)),
                _ => None,
            });
        self.packs.iter().copied().chain(loose).all(|(digest, len)| is_there(&store.blob(&digest), len))
    }
}

/// What the cache has.
#[derive(Debug)]
pub enum Lookup {
    /// A result.
    Hit(Box<Hit>),
    /// Nothing, and perhaps a word on why.
    Miss {
        /// An entry was there and could not be used; a person should hear of it once.
        warning: Option<String>,
    },
}

impl LocalStore {
    /// The store at `dir`, which is made when something is first kept in it.
    pub fn open(dir: &Path, limits: Limits) -> Self {
        Self {
            dir: dir.to_path_buf(),
            limits,
            run: Mutex::new(None),
            added: AtomicU64::new(0),
            gave_up: AtomicBool::new(false),
            unreadable: AtomicBool::new(false),
        }
    }

    /// Where it lies.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// How much it may hold.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Where the file of a digest lies.
    pub(super) fn place(&self, room: &str, digest: &Digest) -> PathBuf {
        let hex = digest.to_hex();
        let mut path = self.dir.join(room);
        path.push(&hex[..2]);
        path.push(&hex[2..]);
        path
    }

    pub(super) fn blob(&self, digest: &Digest) -> PathBuf {
        self.place("blobs", digest)
    }

    /// Looks for the result of a key. Whatever is wrong with an entry makes it a miss.
    pub fn lookup(&self, key: &CacheKey) -> Lookup {
        let path = self.place("results", &key.0);
        let bytes = match read_limited(&path, MAX_ENTRY) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Lookup::Miss { warning: None },
            Err(error) => {
                // A folder in the place of an entry, an entry that another user may read: told once, like a whole cache
                // that cannot be read.
                let first = !self.unreadable.swap(true, Ordering::Relaxed);
                return Lookup::Miss { warning: first.then(|| format!("the cache was not read: {error}")) };
            }
        };
        self.begin();
        let Some(entry) = Entry::decode(key, bytes) else {
            // Out of the way, so that the next result of this key takes its place and this is said once.
            let gone = std::fs::remove_file(&path).or_else(|_| std::fs::remove_dir(&path));
            let what = if gone.is_ok() { "was thrown away" } else { "cannot be removed" };
            let warning = format!("the cache entry {} is damaged and {what}", path.display());
            return Lookup::Miss { warning: Some(warning) };
        };
        note_use(&path);
        let Entry { result, places, packs, inline } = entry;
        Lookup::Hit(Box::new(Hit { key: *key, result, places, packs, inline }))
    }

    /// Throws the result of a key away, which turned out to be of no use: the next one takes its place.
    pub fn forget(&self, key: &CacheKey) {
        let _ = std::fs::remove_file(self.place("results", &key.0));
    }

    /// Sets of paths that depfiles of earlier runs named, the last used first.
    pub fn path_sets(&self, key: &CacheKey) -> Vec<Vec<Vec<u8>>> {
        self.read_sets(key).0
    }

    fn read_sets(&self, key: &CacheKey) -> PathSets {
        let path = self.place("paths", &key.0);
        let Ok(Some(bytes)) = read_limited(&path, MAX_ENTRY) else { return PathSets::default() };
        note_use(&path);
        // What is damaged says nothing: the task runs again and writes it anew.
        PathSets::decode(key, &bytes).unwrap_or_default()
    }

    /// Adds a set of paths under a key.
    pub fn add_path_set(&self, key: &CacheKey, set: Vec<Vec<u8>>) -> Result<(), FsError> {
        let mut sets = self.read_sets(key);
        if sets.0.first() == Some(&set) {
            return Ok(());
        }
        sets.add(set);
        self.put(&self.place("paths", &key.0), &sets.encode(key))
    }

    /// Keeps a result, whose files lie in `root`. An error means that nothing is kept; it never matters to the run.
    pub fn store(&self, key: &CacheKey, result: &ActionResult, root: &Root) -> Result<(), StoreError> {
        if self.gave_up.load(Ordering::Relaxed) {
            return Err(StoreError::GaveUp);
        }
        self.keep(key, result, root).map_err(|error| match error {
            StoreError::Fs(error) if error.path.starts_with(&self.dir) => {
                if self.gave_up.swap(true, Ordering::Relaxed) {
                    StoreError::GaveUp
                } else {
                    StoreError::Unwritable(error)
                }
            }
            other => other,
        })
    }

    fn keep(&self, key: &CacheKey, result: &ActionResult, root: &Root) -> Result<(), StoreError> {
        self.begin();
        let mut entry =
            Entry { result: result.clone(), places: Vec::new(), packs: Vec::new(), inline: Vec::new() };
        let mut pack = Vec::new();
        let mut bytes = Vec::new();
        for output in &result.outputs {
            let OutputKind::File { digest, size, .. } = &output.kind else {
                entry.places.push(Place::None);
                continue;
            };
            if *size >= LARGE {
                self.keep_blob(digest, root, output.path.as_bytes())?;
                entry.places.push(Place::Loose);
                continue;
            }
            root.read(output.path.as_bytes(), &mut bytes)?;
            if Digest::of(&bytes) != *digest || bytes.len() as u64 != *size {
                return Err(StoreError::Changed(output.path.display().into_owned()));
            }
            if entry.inline.len() as u64 + size <= INLINE {
                entry.places.push(Place::Inline(entry.inline.len() as u64));
                entry.inline.extend_from_slice(&bytes);
                continue;
            }
            if pack.len() as u64 + size > PACK {
                entry.packs.push(self.keep_pack(&mut pack)?);
            }
            entry.places.push(Place::Pack(entry.packs.len() as u32, pack.len() as u64));
            pack.extend_from_slice(&bytes);
        }
        if !pack.is_empty() {
            entry.packs.push(self.keep_pack(&mut pack)?);
        }
        let bytes = entry.encode(key);
        if bytes.len() as u64 > MAX_ENTRY {
            return Err(StoreError::TooLarge);
        }
        self.put(&self.place("results", &key.0), &bytes)?;
        Ok(())
    }

    /// Notes that results, or sets of paths, are still of use although nobody read them: a checkout in which they lie is
    /// up to date, and would otherwise find them gone when it is cleaned.
    pub fn note_uses(&self, keys: impl IntoIterator<Item = CacheKey>) {
        let is_old = |path: &Path| age(path).is_some_and(|age| age > USES);
        for key in keys {
            let sets = self.place("paths", &key.0);
            if is_old(&sets) {
                note_use(&sets);
            }
            let path = self.place("results", &key.0);
            if !is_old(&path) {
                continue;
            }
            let entry =
                read_limited(&path, MAX_ENTRY).ok().flatten().and_then(|bytes| Entry::decode(&key, bytes));
            // What is damaged is told when somebody wants it.
            let Some(entry) = entry else { continue };
            note_use(&path);
            entry.blobs().for_each(|(digest, _)| note_use(&self.blob(&digest)));
        }
    }

    fn keep_pack(&self, pack: &mut Vec<u8>) -> Result<(Digest, u64), FsError> {
        let digest = Digest::of(pack);
        let path = self.blob(&digest);
        if !is_there(&path, pack.len() as u64) {
            self.put(&path, pack)?;
        }
        let len = pack.len() as u64;
        pack.clear();
        Ok((digest, len))
    }

    /// Copies a large file into the store, reflinked where the file system can.
    fn keep_blob(&self, digest: &Digest, root: &Root, path: &[u8]) -> Result<(), StoreError> {
        let mut from = root.open_file(path)?;
        let error = |error: io::Error| FsError::new("read", root.join(path), error);
        let size = from.metadata().map_err(error)?.len();
        let place = self.blob(digest);
        if is_there(&place, size) {
            return Ok(());
        }
        let temporary = self.temporary(&place)?;
        let copied = (|| {
            let mut to = self.create(&temporary)?;
            let wrote = |error: io::Error| FsError::new("write", &temporary, error);
            io::copy(&mut from, &mut to).map_err(wrote)?;
            drop(to);
            // Our own copy is hashed, not the task's file: that one may still change.
            let mut copy = File::open(&temporary).map_err(wrote)?;
            if Digest::read(&mut copy).map_err(wrote)? != *digest {
                return Err(StoreError::Changed(String::from_utf8_lossy(path).into_owned()));
            }
            self.install(&temporary, &place)?;
            self.added.fetch_add(size, Ordering::Relaxed);
            Ok(())
        })();
        if copied.is_err() {
            let _ = std::fs::remove_file(&temporary);
        }
        copied
    }

    /// Writes a file as a whole.
    fn put(&self, place: &Path, bytes: &[u8]) -> Result<(), FsError> {
        let temporary = self.temporary(place)?;
        let written = self
            .create(&temporary)
            .and_then(|mut file| {
                file.write_all(bytes).map_err(|error| FsError::new("write", &temporary, error))
            })
            .and_then(|()| self.install(&temporary, place));
        if written.is_err() {
            let _ = std::fs::remove_file(&temporary);
        } else {
            self.added.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        }
        written
    }

    fn temporary(&self, place: &Path) -> Result<PathBuf, FsError> {
        let name =
            place.file_name().ok_or_else(|| FsError::new("write", place, io::ErrorKind::InvalidInput))?;
        Ok(self.dir.join("tmp").join(fs::temporary_name(name)))
    }

    fn create(&self, temporary: &Path) -> Result<File, FsError> {
        let open = || File::options().write(true).create_new(true).mode(0o600).open(temporary);
        match open() {
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => {
                self.make_folder(temporary.parent().unwrap_or(&self.dir))?;
                open()
            }
            other => other,
        }
        .map_err(|error| FsError::new("write", temporary, error))
    }

    fn install(&self, temporary: &Path, place: &Path) -> Result<(), FsError> {
        match std::fs::rename(temporary, place) {
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => {
                self.make_folder(place.parent().unwrap_or(&self.dir))?;
                std::fs::rename(temporary, place)
            }
            other => other,
        }
        .map_err(|error| FsError::new("write", place, error))
    }

    /// Only for their owner: results hold what the tasks read.
    pub(super) fn make_folder(&self, path: &Path) -> Result<(), FsError> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(|error| FsError::new("create the folder", path, error))
    }

    /// Says, once, that a process uses the store: what it finds from now on is not collected before it ends.
    fn begin(&self) {
        let mut run = self.run.lock().unwrap_or_else(PoisonError::into_inner);
        if run.is_some() {
            return;
        }
        let path = self.dir.join("runs").join(fs::temporary_name("run".as_ref()));
        // Without it everything works but for collection, which then has one run less to spare.
        let Ok(file) = self.create(&path) else { return };
        if rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_ok() {
            *run = Some(Run { path, _locked: file });
        } else {
            let _ = std::fs::remove_file(&path);
        }
    }
}

/// Why a result was not kept.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// An output could not be read.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// The store could not be written.
    #[error(transparent)]
    Unwritable(FsError),
    /// The store could not be written before, which was told.
    #[error("the cache could not be written before")]
    GaveUp,
    /// An output is not what it was when the task ended.
    #[error("{0} changed after the task ended")]
    Changed(String),
    /// The list of what was made does not fit into an entry.
    #[error("there are too many outputs, or too long a log")]
    TooLarge,
}

/// Opens a file of the store; `None` if something else has its place: a link may lead anywhere, a pipe never ends.
pub(super) fn open_file(path: &Path) -> io::Result<Option<File>> {
    use rustix::fs::{Mode, OFlags};

    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(rustix::io::Errno::LOOP | rustix::io::Errno::NXIO) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let is_file = file.metadata()?.is_file();
    Ok(is_file.then_some(file))
}

/// Reads a file that nobody vouches for; `None` if it is not there.
pub(super) fn read_limited(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, FsError> {
    let error = |error| FsError::new("read", path, error);
    let file = match open_file(path) {
        Ok(Some(file)) => file,
        // Whatever it is, it is no entry.
        Ok(None) => return Ok(Some(Vec::new())),
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(other) => return Err(error(other)),
    };
    // Most entries are smaller: they are read at once.
    let mut bytes = Vec::with_capacity(4096);
    // One byte more than the limit, so that what is too long does not look whole.
    file.take(limit + 1).read_to_end(&mut bytes).map_err(error)?;
    Ok(Some(bytes))
}

/// Whether a blob is there in full length; its use is noted.
fn is_there(path: &Path, len: u64) -> bool {
    let there = std::fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file() && meta.len() == len);
    if there {
        note_use(path);
    }
    there
}

/// How long ago a file was last used; a use in the future, where the clock was set back, is long ago.
fn age(path: &Path) -> Option<Duration> {
    let used = std::fs::symlink_metadata(path).and_then(|meta| meta.modified()).ok()?;
    Some(SystemTime::now().duration_since(used).unwrap_or(Duration::MAX))
}

/// Sets the time of last use, if the one that is there is old.
pub(super) fn note_use(path: &Path) {
    if age(path).is_some_and(|age| age > NOTED)
        && let Ok(file) = File::options().append(true).open(path)
    {
        let _ = file.set_modified(SystemTime::now());
    }
}
