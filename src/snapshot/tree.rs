//! A folder as a whole: its digest, and a second one like it.

use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::base::Digest;
use crate::base::codec::Put;
use crate::base::fs::FsError;

/// What is in a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contents {
    /// One digest over every name, type, content, link target and executable bit.
    pub digest: Digest,
    /// How many files and links.
    pub files: u64,
    /// How many bytes.
    pub bytes: u64,
}

/// One thing in a folder, its path relative to it.
struct Found {
    path: PathBuf,
    meta: std::fs::Metadata,
}

/// Reads everything in a folder. With `sync`, all of it is on the disk afterwards.
pub fn contents(folder: &Path, sync: bool) -> Result<Contents, FsError> {
    let mut text = Vec::new();
    let (mut files, mut bytes) = (0, 0);
    for found in walk(folder)? {
        let path = folder.join(&found.path);
        text.put_bytes(found.path.as_os_str().as_bytes());
        if found.meta.is_dir() {
            text.put(b"d");
        } else if found.meta.is_symlink() {
            let target = std::fs::read_link(&path).map_err(|error| FsError::new("read", &path, error))?;
            text.put(b"l");
            text.put_bytes(target.as_os_str().as_bytes());
            files += 1;
        } else {
            let error = |error| FsError::new("read", &path, error);
            let mut file = File::open(&path).map_err(error)?;
            text.put(if found.meta.mode() & 0o100 == 0 { b"f" } else { b"x" });
            text.put_digest(&Digest::read(&mut file).map_err(error)?);
            if sync {
                file.sync_all().map_err(|error| FsError::new("sync", &path, error))?;
            }
            files += 1;
            bytes += found.meta.len();
        }
        if sync && found.meta.is_dir() {
            sync_folder(&path)?;
        }
    }
    if sync {
        sync_folder(folder)?;
    }
    Ok(Contents { digest: Digest::of(&text), files, bytes })
}

/// What can be told of a folder without reading a file: changed contents change it too, unless somebody takes pains.
pub(super) fn stamp(folder: &Path) -> Result<Digest, FsError> {
    let mut text = Vec::new();
    for Found { path, meta } in walk(folder)? {
        text.put_bytes(path.as_os_str().as_bytes());
        // Of a folder only that it is there: whoever opens a data base may make and remove a file beside it.
        if !meta.is_dir() {
            text.put_u64(meta.ino());
            text.put_u64(meta.len());
            text.put(&meta.mtime().to_le_bytes());
            text.put(&meta.mtime_nsec().to_le_bytes());
        }
    }
    Ok(Digest::of(&text))
}

/// Makes `to`, with everything that is in `from`: a second copy that may be changed without harm. Nobody but its owner can
/// look into it.
pub fn clone_tree(from: &Path, to: &Path) -> Result<(), FsError> {
    create_private(to)?;
    for Found { path, meta } in walk(from)? {
        let (source, target) = (from.join(&path), to.join(&path));
        let error = |error| FsError::new("write", &target, error);
        if meta.is_dir() {
            std::fs::create_dir(&target).map_err(error)?;
        } else if meta.is_symlink() {
            let link = std::fs::read_link(&source).map_err(|error| FsError::new("read", &source, error))?;
            std::os::unix::fs::symlink(link, &target).map_err(error)?;
        } else {
            // Shares the blocks where the file system can, and takes the permissions along.
            std::fs::copy(&source, &target).map_err(error)?;
        }
    }
    // Folders last: one that may not be written to had to be filled first.
    for Found { path, meta } in walk(from)?.iter().filter(|found| found.meta.is_dir()) {
        let target = to.join(path);
        let mode = std::fs::Permissions::from_mode(meta.mode() & 0o7777);
        std::fs::set_permissions(&target, mode).map_err(|error| FsError::new("write", &target, error))?;
    }
    Ok(())
}

/// Makes a folder, and those above it, that only its owner can look into.
pub fn create_private(path: &Path) -> Result<(), FsError> {
    let mut builder = std::fs::DirBuilder::new();
    builder
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| FsError::new("create the folder", path, error))
}

/// Removes a folder with all that is in it; it is no error if it is gone.
pub fn remove_folder(path: &Path) -> Result<(), FsError> {
    let mut removed = std::fs::remove_dir_all(path);
    if removed.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied) {
        // What was saved may hold folders that nothing can be taken out of, not even by their owner.
        open_up(path);
        removed = std::fs::remove_dir_all(path);
    }
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(FsError::new("remove", path, error)),
        _ => Ok(()),
    }
}

/// Lets the owner into a folder and all below it.
fn open_up(folder: &Path) {
    // Whoever removes it tells what this could not do.
    let _ = std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700));
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            open_up(&entry.path());
        }
    }
}

pub(super) fn sync_folder(path: &Path) -> Result<(), FsError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(|error| FsError::new("sync", path, error))
}

/// Everything below a folder, a folder before what is in it, sorted by name.
fn walk(folder: &Path) -> Result<Vec<Found>, FsError> {
    let mut found = Vec::new();
    let mut todo = vec![PathBuf::new()];
    while let Some(inner) = todo.pop() {
        let path = folder.join(&inner);
        let error = |error| FsError::new("read the folder", &path, error);
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&path).map_err(error)? {
            names.push(entry.map_err(error)?.file_name());
        }
        names.sort();
        let mut folders = Vec::new();
        for name in names {
            let path = inner.join(name);
            let whole = folder.join(&path);
            let meta = whole.symlink_metadata().map_err(|error| FsError::new("look at", &whole, error))?;
            let kind = meta.file_type();
            if kind.is_fifo() || kind.is_socket() || kind.is_block_device() || kind.is_char_device() {
                let reason = io::Error::other("a pipe, socket or device cannot be kept");
                return Err(FsError::new("read", &whole, reason));
            }
            if kind.is_dir() {
                folders.push(path.clone());
            }
            found.push(Found { path, meta });
        }
        todo.extend(folders.into_iter().rev());
    }
    Ok(found)
}
