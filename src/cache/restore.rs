//! A result put in place, file by file.
//!
//! Every blob is copied beside its place and its digest checked before the first file of the result is renamed over an
//! old one; a file that is there stays until the new one takes its name. Folders are opened component by component without
//! following a link, so that nothing is written outside the root; nothing that was not declared is written at all.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::base::fs::{self, FsError, Root, Stat};
use crate::base::{Digest, RelPath};

use super::entry::Place;
use super::store::{note_use, open_file, read_limited};
use super::{Hit, LocalStore, Output, OutputKind};

/// Why a result could not be put in place. What was there before is whole; the task has to be executed.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The stored bytes are not what was stored, or no longer there.
    #[error("{0}")]
    Damaged(String),
    /// The result has a file that the task did not declare.
    #[error("it holds {0}, which the task does not declare")]
    Undeclared(String),
    /// Something in the way is not the task's to replace.
    #[error("{0} is in the way")]
    InTheWay(String),
    /// A file could not be written.
    #[error(transparent)]
    Fs(#[from] FsError),
}

impl LocalStore {
    /// Puts the outputs of a result in place but for those in `skip`, which are right already. `may_write` says whether
    /// the task declares a path. Gives the stat of each file that was written.
    pub fn restore(
        &self,
        hit: &Hit,
        root: &Root,
        skip: &[bool],
        may_write: &dyn Fn(&RelPath) -> bool,
    ) -> Result<Vec<Option<Stat>>, RestoreError> {
        if let Some(output) = hit.result.outputs.iter().find(|output| !may_write(&output.path)) {
            return Err(RestoreError::Undeclared(output.path.display().into_owned()));
        }
        let mut restore = Restore { store: self, hit, root, may_write, folder: None, staged: Vec::new() };
        let wanted = |at: &usize| !skip.get(*at).copied().unwrap_or(false);
        let result = restore.run(&(0..hit.result.outputs.len()).filter(wanted).collect::<Vec<_>>());
        if result.is_err() {
            restore.withdraw();
        }
        result
    }
}

struct Restore<'a> {
    store: &'a LocalStore,
    hit: &'a Hit,
    root: &'a Root,
    may_write: &'a dyn Fn(&RelPath) -> bool,
    /// The folder that was opened last.
    folder: Option<(RelPath, OwnedFd)>,
    /// Large files that lie beside their places: which output, and under which name.
    staged: Vec<(usize, PathBuf)>,
}

impl Restore<'_> {
    fn run(&mut self, wanted: &[usize]) -> Result<Vec<Option<Stat>>, RestoreError> {
        for at in wanted {
            if self.hit.places[*at] == Place::Loose {
                let name = self.stage(*at)?;
                self.staged.push((*at, name));
            }
        }
        let mut packs_needed: Vec<u32> = wanted
            .iter()
            .filter_map(|at| if let Place::Pack(pack, _) = self.hit.places[*at] { Some(pack) } else { None })
            .collect();
        packs_needed.dedup();
        // All are checked before the first rename. Only one is kept in memory: the others are read again below.
        let mut pack: Option<(u32, Vec<u8>)> = None;
        for needed in packs_needed {
            drop(pack.take());
            pack = Some((needed, self.read_pack(needed)?));
        }
        for at in wanted {
            self.inline(*at)?;
        }
        let mut stats = vec![None; self.hit.result.outputs.len()];
        for at in wanted {
            if let Place::Pack(needed, _) = self.hit.places[*at]
                && pack.as_ref().is_none_or(|(have, _)| *have != needed)
            {
                pack = Some((needed, self.read_pack(needed)?));
            }
            stats[*at] = Some(self.put(*at, pack.as_ref().map(|(_, bytes)| &bytes[..]))?);
        }
        Ok(stats)
    }

    /// Removes what lies beside its place.
    fn withdraw(&mut self) {
        for (at, name) in std::mem::take(&mut self.staged) {
            let path = self.hit.result.outputs[at].path.clone();
            if let Ok(folder) = self.folder_of(&path) {
                let _ = rustix::fs::unlinkat(folder, &name, AtFlags::empty());
            }
        }
    }

    fn damaged(&self, blob: &Path) -> RestoreError {
        RestoreError::Damaged(format!("the cached file {} is damaged and was thrown away", blob.display()))
    }

    fn read_pack(&self, pack: u32) -> Result<Vec<u8>, RestoreError> {
        let (digest, len) = self.hit.packs[pack as usize];
        let path = self.store.blob(&digest);
        let gone = |error| RestoreError::Damaged(FsError::new("read", &path, error).to_string());
        let size = std::fs::symlink_metadata(&path).map_err(gone)?.len();
        if size != len {
            let _ = std::fs::remove_file(&path);
            return Err(self.damaged(&path));
        }
        let bytes = read_limited(&path, len).map_err(|error| RestoreError::Damaged(error.to_string()))?;
        let bytes = bytes.unwrap_or_default();
        if Digest::of(&bytes) != digest {
            let _ = std::fs::remove_file(&path);
            return Err(self.damaged(&path));
        }
        note_use(&path);
        Ok(bytes)
    }

    /// The bytes of a file that lies in the entry.
    fn inline(&self, at: usize) -> Result<&[u8], RestoreError> {
        let (Place::Inline(start), OutputKind::File { digest, size, .. }) =
            (self.hit.places[at], &self.hit.result.outputs[at].kind)
        else {
            return Ok(&[]);
        };
        let bytes = slice(&self.hit.inline, start, *size);
        bytes
            .filter(|bytes| Digest::of(bytes) == *digest)
            .ok_or_else(|| RestoreError::Damaged("the cache entry does not hold what it says".to_owned()))
    }

    /// Copies a large file beside its place and checks the copy.
    fn stage(&mut self, at: usize) -> Result<PathBuf, RestoreError> {
        let Output { path, kind } = &self.hit.result.outputs[at];
        let OutputKind::File { digest, size, mode } = kind else { unreachable!("only files have places") };
        let blob = self.store.blob(digest);
        let gone = |error| RestoreError::Damaged(FsError::new("read", &blob, error).to_string());
        let open = || -> Result<File, RestoreError> {
            let file = open_file(&blob).map_err(gone)?;
            match file {
                Some(file) if file.metadata().map_err(gone)?.len() == *size => Ok(file),
                _ => {
                    let _ = std::fs::remove_file(&blob);
                    Err(self.damaged(&blob))
                }
            }
        };
        let mut from = open()?;
        let mut again = open()?;
        let name = temporary(path);
        let root = self.root;
        let mut to = self.create(path, &name, *mode)?;
        let (copied, hashed) = rayon::join(|| io::copy(&mut from, &mut to), || Digest::read(&mut again));
        let checked = match (copied, hashed) {
            (Err(error), _) => Err(FsError::new("write", root.join(path.as_bytes()), error).into()),
            (_, Err(error)) => Err(gone(error)),
            (Ok(copied), Ok(hashed)) if copied != *size || hashed != *digest => {
                // Out of the way, so that the next result takes its place.
                let _ = std::fs::remove_file(&blob);
                Err(self.damaged(&blob))
            }
            _ => Ok(()),
        };
        if let Err(error) = checked {
            if let Ok(folder) = self.folder_of(path) {
                let _ = rustix::fs::unlinkat(folder, &name, AtFlags::empty());
            }
            return Err(error);
        }
        note_use(&blob);
        Ok(name)
    }

    /// Puts one output in its place.
    fn put(&mut self, at: usize, pack: Option<&[u8]>) -> Result<Stat, RestoreError> {
        let hit = self.hit;
        let Output { path, kind } = &hit.result.outputs[at];
        let name = file_name(path);
        match kind {
            OutputKind::Dir => {
                // Opening it makes it, and what stands in its place has to go.
                self.open_folder(path)?;
            }
            OutputKind::Link(target) => {
                let temporary = temporary(path);
                let root = self.root;
                let folder = self.folder_of(path)?;
                rustix::fs::symlinkat(target.as_slice(), folder, &temporary)
                    .map_err(|error| write_error(root, path, error))?;
                self.install(path, &temporary, name)?;
            }
            OutputKind::File { digest, size, mode } => {
                let temporary = match hit.places[at] {
                    Place::Loose => {
                        // They were staged in order.
                        let staged = self.staged.binary_search_by_key(&at, |(staged, _)| *staged);
                        self.staged[staged.expect("every loose file was staged")].1.clone()
                    }
                    Place::Inline(start) => {
                        let bytes = slice(&hit.inline, start, *size);
                        self.write(path, bytes, digest, *mode)?
                    }
                    Place::Pack(_, start) => {
                        let bytes = pack.and_then(|pack| slice(pack, start, *size));
                        self.write(path, bytes, digest, *mode)?
                    }
                    Place::None => unreachable!("every file has a place"),
                };
                self.install(path, &temporary, name)?;
            }
        }
        let stat = self.root.stat(path.as_bytes())?;
        stat.ok_or_else(|| write_error(self.root, path, Errno::NOENT))
    }

    /// Writes a small file beside its place.
    fn write(
        &mut self,
        path: &RelPath,
        bytes: Option<&[u8]>,
        digest: &Digest,
        mode: u32,
    ) -> Result<PathBuf, RestoreError> {
        let Some(bytes) = bytes.filter(|bytes| Digest::of(bytes) == *digest) else {
            return Err(RestoreError::Damaged("the cache entry does not hold what it says".to_owned()));
        };
        let name = temporary(path);
        let mut file = self.create(path, &name, mode)?;
        if let Err(error) = file.write_all(bytes) {
            if let Ok(folder) = self.folder_of(path) {
                let _ = rustix::fs::unlinkat(folder, &name, AtFlags::empty());
            }
            return Err(FsError::new("write", self.root.join(path.as_bytes()), error).into());
        }
        Ok(name)
    }

    fn create(&mut self, path: &RelPath, name: &Path, mode: u32) -> Result<File, RestoreError> {
        let root = self.root;
        let folder = self.folder_of(path)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        // The umask takes its share. Never setuid, whatever an entry says.
        let mode = Mode::from_raw_mode((mode & 0o777) as _);
        let fd =
            rustix::fs::openat(folder, name, flags, mode).map_err(|error| write_error(root, path, error))?;
        Ok(File::from(fd))
    }

    /// Renames what lies beside its place over what is there.
    fn install(&mut self, path: &RelPath, temporary: &Path, name: &[u8]) -> Result<(), RestoreError> {
        let root = self.root;
        let folder = self.folder_of(path)?;
        let renamed = match rustix::fs::renameat(folder, temporary, folder, name) {
            // A folder stands where a file belongs. If it is empty, nobody misses it.
            Err(Errno::ISDIR | Errno::NOTEMPTY | Errno::EXIST) => {
                match rustix::fs::unlinkat(folder, name, AtFlags::REMOVEDIR) {
                    Ok(()) => rustix::fs::renameat(folder, temporary, folder, name),
                    Err(Errno::NOTEMPTY | Errno::EXIST) => {
                        let _ = rustix::fs::unlinkat(folder, temporary, AtFlags::empty());
                        return Err(RestoreError::InTheWay(format!("the folder {}", path.display())));
                    }
                    Err(error) => Err(error),
                }
            }
            other => other,
        };
        renamed.map_err(|error| {
            let _ = rustix::fs::unlinkat(folder, temporary, AtFlags::empty());
            write_error(root, path, error)
        })
    }

    fn folder_of(&mut self, path: &RelPath) -> Result<&OwnedFd, RestoreError> {
        self.open_folder(&path.parent().unwrap_or_default())
    }

    /// Opens a folder below the root, component by component, and makes what is missing. A link or a file in the way is
    /// replaced if the task declares its place, else refused.
    fn open_folder(&mut self, wanted: &RelPath) -> Result<&OwnedFd, RestoreError> {
        if self.folder.as_ref().is_none_or(|(path, _)| path != wanted) {
            let fd = self.walk_to(wanted)?;
            self.folder = Some((wanted.clone(), fd));
        }
        Ok(&self.folder.as_ref().expect("set above").1)
    }

    fn walk_to(&self, wanted: &RelPath) -> Result<OwnedFd, RestoreError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        // Most folders are there, and no link leads to them: then one call says so.
        #[cfg(any(target_os = "linux", target_os = "android"))]
        {
            use rustix::fs::ResolveFlags;

            let whole = if wanted.is_root() { b"." } else { wanted.as_bytes() };
            let strictly = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
            if let Ok(fd) = rustix::fs::openat2(self.root.fd(), whole, flags, Mode::empty(), strictly) {
                return Ok(fd);
            }
        }
        let mut at = RelPath::root();
        let mut fd = rustix::fs::openat(self.root.fd(), ".", flags, Mode::empty())
            .map_err(|error| write_error(self.root, &at, error))?;
        for name in wanted.components() {
            at = RelPath::from_bytes(&fs::join(at.as_bytes(), name)).expect("components of a path");
            let error = |error| write_error(self.root, &at, error);
            let mut tries = 0;
            fd = loop {
                match rustix::fs::openat(&fd, name, flags, Mode::empty()) {
                    Ok(next) => break next,
                    Err(Errno::NOENT) => {}
                    Err(Errno::NOTDIR | Errno::LOOP) => {
                        let stat = rustix::fs::statat(&fd, name, AtFlags::SYMLINK_NOFOLLOW).map_err(error)?;
                        let is_link = FileType::from_raw_mode(stat.st_mode) == FileType::Symlink;
                        if !(self.may_write)(&at) {
                            let what = if is_link { "the link" } else { "the file" };
                            return Err(RestoreError::InTheWay(format!("{what} {}", at.display())));
                        }
                        rustix::fs::unlinkat(&fd, name, AtFlags::empty()).map_err(error)?;
                    }
                    Err(other) => return Err(error(other)),
                }
                tries += 1;
                if tries > 8 {
                    // Somebody takes it away as often as we make it.
                    return Err(error(Errno::NOENT));
                }
                match rustix::fs::mkdirat(&fd, name, Mode::from_raw_mode(0o777)) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(other) => return Err(error(other)),
                }
            };
        }
        Ok(fd)
    }
}

fn slice(bytes: &[u8], start: u64, len: u64) -> Option<&[u8]> {
    let start = usize::try_from(start).ok()?;
    bytes.get(start..)?.get(..usize::try_from(len).ok()?)
}

fn file_name(path: &RelPath) -> &[u8] {
    path.components().next_back().unwrap_or_default()
}

fn temporary(path: &RelPath) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    PathBuf::from(fs::temporary_name(std::ffi::OsStr::from_bytes(file_name(path))))
}

fn write_error(root: &Root, path: &RelPath, error: Errno) -> RestoreError {
    FsError::new("write", root.join(path.as_bytes()), error).into()
}
