//! Files, with errors that name the path and the operation.

use std::ffi::{OsStr, OsString};
use std::fs::{File, TryLockError};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::fs::{AtFlags, FileType, Mode, OFlags};

use super::process::{Identity, Life};

/// Something that could not be done with a file.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing} `{}`: {source}", path.display())]
pub struct FsError {
    /// What was tried, as it follows "cannot": `read`, `create the folder`.
    pub doing: &'static str,
    /// With which file.
    pub path: PathBuf,
    /// Why it failed.
    pub source: io::Error,
}

impl FsError {
    /// Puts what is known of a failure together.
    pub fn new(doing: &'static str, path: impl Into<PathBuf>, source: impl Into<io::Error>) -> Self {
        Self { doing, path: path.into(), source: source.into() }
    }

    /// Whether the file, or a folder on the way to it, is not there.
    pub fn is_missing(&self) -> bool {
        matches!(self.source.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
    }
}

/// Reads a whole file.
pub fn read(path: &Path) -> Result<Vec<u8>, FsError> {
    std::fs::read(path).map_err(|error| FsError::new("read", path, error))
}

/// Reads a whole file; `None` if it is not there.
pub fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, FsError> {
    match read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.is_missing() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads a whole text.
pub fn read_text(path: &Path) -> Result<String, FsError> {
    std::fs::read_to_string(path).map_err(|error| FsError::new("read", path, error))
}

/// Moves a file or a link to another name, on another file system too.
pub fn move_file(from: &Path, to: &Path) -> io::Result<()> {
    match std::fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            if from.is_symlink() {
                std::os::unix::fs::symlink(std::fs::read_link(from)?, to)?;
            } else {
                std::fs::copy(from, to)?;
            }
            std::fs::remove_file(from)
        }
        other => other,
    }
}

/// Makes a folder and those above it.
pub fn create_folder(path: &Path) -> Result<(), FsError> {
    std::fs::create_dir_all(path).map_err(|error| FsError::new("create the folder", path, error))
}

/// Removes a file or link; it is no error if it is already gone.
pub fn remove_file(path: &Path) -> Result<(), FsError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(FsError::new("remove", path, error)),
        _ => Ok(()),
    }
}

/// A name for a temporary file that no other thread or process uses: beside `name`, so that a rename is atomic.
///
/// It begins with a dot, says which process gave it, and ends in `.envrun-tmp`: what a crash leaves can be told and swept.
pub fn temporary_name(name: &OsStr) -> OsString {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let own = Identity::own().word();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    // A name may be 255 bytes long; the beginning is enough for a person to see whose it was.
    let kept = &name.as_bytes()[..name.len().min(KEPT)];
    let mut temporary = vec![b'.'];
    temporary.extend_from_slice(kept);
    temporary.extend_from_slice(format!(".{own}-{count}{TEMPORARY}").as_bytes());
    OsString::from_vec(temporary)
}

/// When a file was changed last, contents or not: nobody can set that. `None` for what lies before 1970.
pub fn changed_at(meta: &std::fs::Metadata) -> Option<SystemTime> {
    let (seconds, nanos) = (u64::try_from(meta.ctime()).ok()?, u32::try_from(meta.ctime_nsec()).ok()?);
    Some(UNIX_EPOCH + Duration::new(seconds, nanos))
}

/// How much of a name stands in a [`temporary_name`], in bytes.
const KEPT: usize = 64;
/// The end of every [`temporary_name`].
const TEMPORARY: &str = ".envrun-tmp";
/// Nobody writes one file for that long: what is older and not of a process that lives here is nobody's.
const WRITTEN: Duration = Duration::from_secs(60 * 60);

/// Which process gave a [`temporary_name`]; `None` for every other name.
fn writer(name: &[u8]) -> Option<Identity> {
    let rest = name.strip_prefix(b".")?.strip_suffix(TEMPORARY.as_bytes())?;
    let rest = &rest[rest.iter().rposition(|byte| *byte == b'.')? + 1..];
    let (process, count) = std::str::from_utf8(rest).ok()?.rsplit_once('-')?;
    count.parse::<u64>().ok()?;
    Identity::from_word(process)
}

/// Whether what lies somewhere is left of a process that is no more. Of one that cannot be seen from here, on another
/// machine or in another container, it is once nobody has written to it for longer than writing takes.
pub fn is_left(process: &Identity, path: &Path) -> bool {
    match process.life() {
        Life::Lives => false,
        Life::Gone => true,
        Life::Unknown => {
            let written = path.symlink_metadata().and_then(|meta| meta.modified());
            written.is_ok_and(|written| written.elapsed().is_ok_and(|age| age > WRITTEN))
        }
    }
}

/// Whether a file or folder bears a [`temporary_name`] of a process that is no more.
pub fn is_abandoned(path: &Path) -> bool {
    let process = path.file_name().and_then(|name| writer(name.as_bytes()));
    process.is_some_and(|process| is_left(&process, path))
}

/// Removes what processes that are no more were writing in a folder.
pub fn sweep(folder: &Path) {
    sweep_named(folder, b".");
}

/// Removes what processes that are no more were writing in place of one file.
pub fn sweep_beside(file: &Path) {
    if let (Some(folder), Some(name)) = (file.parent(), file.file_name()) {
        let name = name.as_bytes();
        let beginning = [b".", &name[..name.len().min(KEPT)], b"."].concat();
        sweep_named(folder, &beginning);
    }
}

fn sweep_named(folder: &Path, beginning: &[u8]) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().as_bytes().starts_with(beginning) && is_abandoned(&entry.path()) {
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            // Nobody is worse off than before if it cannot be removed.
            let _ = if is_folder {
                std::fs::remove_dir_all(entry.path())
            } else {
                std::fs::remove_file(entry.path())
            };
        }
    }
}

/// Replaces a file as a whole: whoever reads it sees the old bytes or the new ones. Makes the folder if it is missing.
///
/// Not synced to the disk: what needs more than that carries a digest.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), FsError> {
    write_atomic_with(path, 0o666, |file| file.write_all(bytes))
}

/// Like [`write_atomic`], with the permissions of the new file (the umask takes its share) and a function that writes.
pub fn write_atomic_with(
    path: &Path,
    mode: u32,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> Result<(), FsError> {
    use std::os::unix::fs::OpenOptionsExt;

    let error = |error| FsError::new("write", path, error);
    let name = path.file_name().ok_or_else(|| error(io::ErrorKind::InvalidInput.into()))?;
    let temporary = path.with_file_name(temporary_name(name));
    let mut options = File::options();
    options.write(true).create_new(true).mode(mode);
    let mut file = match options.open(&temporary) {
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => {
            create_folder(path.parent().unwrap_or(Path::new(".")))?;
            options.open(&temporary)
        }
        other => other,
    }
    .map_err(error)?;
    let written = write(&mut file).and_then(|()| std::fs::rename(&temporary, path));
    written.map_err(|cause| {
        // Best effort: the first failure is the one to tell.
        let _ = std::fs::remove_file(&temporary);
        error(cause)
    })
}

/// What the file system says of a file without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Stat {
    /// Bytes.
    pub size: u64,
    /// When its content changed, in nanoseconds since the epoch. Anyone can set it.
    pub mtime_ns: i64,
    /// When its content or its attributes changed. Nobody can set it.
    pub ctime_ns: i64,
    /// The file's number on its device.
    pub inode: u64,
    /// The device.
    pub dev: u64,
    /// Type and permissions.
    pub mode: u32,
}

/// What kind of thing a path names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Dir,
    /// A symbolic link.
    Link,
    /// A pipe, a socket, a device.
    Special,
}

impl Kind {
    fn of(kind: FileType) -> Self {
        match kind {
            FileType::RegularFile => Self::File,
            FileType::Directory => Self::Dir,
            FileType::Symlink => Self::Link,
            _ => Self::Special,
        }
    }
}

impl Stat {
    /// What kind of thing it is.
    pub fn kind(&self) -> Kind {
        Kind::of(FileType::from_raw_mode(self.mode as _))
    }

    /// Whether its owner may execute it.
    pub fn is_executable(&self) -> bool {
        self.mode & 0o100 != 0
    }
}

#[expect(clippy::unnecessary_cast, reason = "the widths differ between systems")]
impl From<rustix::fs::Stat> for Stat {
    fn from(stat: rustix::fs::Stat) -> Self {
        let ns = |seconds: i64, nanos: i64| seconds.saturating_mul(1_000_000_000).saturating_add(nanos);
        Self {
            size: u64::try_from(stat.st_size).unwrap_or(0),
            mtime_ns: ns(stat.st_mtime as i64, stat.st_mtime_nsec as i64),
            ctime_ns: ns(stat.st_ctime as i64, stat.st_ctime_nsec as i64),
            inode: stat.st_ino as u64,
            dev: stat.st_dev as u64,
            mode: stat.st_mode as u32,
        }
    }
}

/// One name in a folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The name's bytes.
    pub name: Box<[u8]>,
    /// What it names; a link is a link, whatever it points to.
    pub kind: Kind,
}

/// An open folder that paths are relative to: one lookup less per file, and no absolute path to build.
///
/// Every path argument is bytes with `/` between components; one that begins with `/` is taken as absolute.
#[derive(Debug)]
pub struct Root {
    path: PathBuf,
    fd: OwnedFd,
}

impl Root {
    /// Opens a folder.
    pub fn open(path: &Path) -> Result<Self, FsError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty())
            .map_err(|error| FsError::new("open the folder", path, error))?;
        Ok(Self { path: path.to_path_buf(), fd })
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The open folder itself.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// The whole path of something in it, for messages and for those who need one.
    pub fn join(&self, path: &[u8]) -> PathBuf {
        if path.is_empty() { self.path.clone() } else { self.path.join(OsStr::from_bytes(path)) }
    }

    fn error(&self, doing: &'static str, path: &[u8], error: rustix::io::Errno) -> FsError {
        FsError::new(doing, self.join(path), error)
    }

    /// Looks at `path` without following a link; `None` if there is nothing.
    pub fn stat(&self, path: &[u8]) -> Result<Option<Stat>, FsError> {
        let at = if path.is_empty() { b"." } else { path };
        match rustix::fs::statat(&self.fd, at, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat.into())),
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => Ok(None),
            Err(error) => Err(self.error("look at", path, error)),
        }
    }

    /// Opens a file for reading, without following a link in the last component.
    pub fn open_file(&self, path: &[u8]) -> Result<File, FsError> {
        // Non-blocking, so that a pipe which has taken the file's place cannot hang us.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        rustix::fs::openat(&self.fd, path, flags, Mode::empty())
            .map(File::from)
            .map_err(|error| self.error("open", path, error))
    }

    /// Reads a whole file into `buffer`, which is cleared first.
    pub fn read(&self, path: &[u8], buffer: &mut Vec<u8>) -> Result<(), FsError> {
        buffer.clear();
        let mut file = self.open_file(path)?;
        file.read_to_end(buffer).map_err(|error| FsError::new("read", self.join(path), error))?;
        Ok(())
    }

    /// What a link says.
    pub fn read_link(&self, path: &[u8]) -> Result<Vec<u8>, FsError> {
        rustix::fs::readlinkat(&self.fd, path, Vec::new())
            .map(std::ffi::CString::into_bytes)
            .map_err(|error| self.error("read the link", path, error))
    }

    /// The names in a folder, sorted bytewise; `None` if it is not there or no folder.
    pub fn list(&self, path: &[u8]) -> Result<Option<Vec<Entry>>, FsError> {
        let at = if path.is_empty() { b"." } else { path };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let fd = match rustix::fs::openat(&self.fd, at, flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR | rustix::io::Errno::LOOP) => {
                return Ok(None);
            }
            Err(error) => return Err(self.error("list", path, error)),
        };
        let dir = rustix::fs::Dir::new(fd).map_err(|error| self.error("list", path, error))?;
        let mut entries = Vec::new();
        for entry in dir {
            let entry = entry.map_err(|error| self.error("list", path, error))?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            let kind = match entry.file_type() {
                // Some file systems do not say; then each name has to be asked.
                FileType::Unknown => match self.stat(&join(path, name))? {
                    Some(stat) => stat.kind(),
                    None => continue,
                },
                known => Kind::of(known),
            };
            entries.push(Entry { name: name.into(), kind });
        }
        entries.sort_unstable();
        Ok(Some(entries))
    }
}

/// `folder/name`, or `name` in the root.
pub fn join(folder: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(folder.len() + 1 + name.len());
    path.extend_from_slice(folder);
    if !folder.is_empty() && !folder.ends_with(b"/") {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}

/// A lock on a file, which the kernel frees however its holder ends.
#[derive(Debug)]
pub struct FileLock(File);

impl FileLock {
    /// For how long a lock that is taken is tried again: whoever only asks whether somebody has it, has it for a moment
    /// himself.
    const MOMENT: Duration = Duration::from_millis(50);
    const BETWEEN: Duration = Duration::from_millis(5);

    /// Locks a file, which is made if it is not there; `None` if somebody else has it.
    pub fn take(path: &Path) -> Result<Option<Self>, FsError> {
        Self::take_within(path, Self::MOMENT)
    }

    /// Locks a file, which is made if it is not there; `None` if somebody else has it at this very moment.
    pub fn try_take(path: &Path) -> Result<Option<Self>, FsError> {
        Self::take_within(path, Duration::ZERO)
    }

    /// The file, for who wants to write down who has it.
    pub fn file(&self) -> &File {
        &self.0
    }

    /// Locks a file that may become free within that time: whoever has it is about to end. `None` if it does not.
    pub fn take_within(path: &Path, patience: Duration) -> Result<Option<Self>, FsError> {
        let error = |error| FsError::new("lock", path, error);
        let file = File::options().write(true).create(true).truncate(false).open(path).map_err(error)?;
        let until = Instant::now() + patience;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Some(Self(file))),
                Err(TryLockError::WouldBlock) if Instant::now() >= until => return Ok(None),
                // There is nothing to wait for that would tell.
                Err(TryLockError::WouldBlock) => std::thread::sleep(Self::BETWEEN),
                Err(TryLockError::Error(reason)) => return Err(error(reason)),
            }
        }
    }

    /// Locks a file, which is made if it is not there; waits as long as somebody else has it. For what takes but a moment.
    pub fn wait(path: &Path) -> Result<Self, FsError> {
        let error = |error| FsError::new("lock", path, error);
        let file = File::options().write(true).create(true).truncate(false).open(path).map_err(error)?;
        file.lock().map_err(error)?;
        Ok(Self(file))
    }

    /// Whether somebody has it.
    pub fn is_taken(path: &Path) -> bool {
        File::open(path).is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // A child that is about to become another program shares what is open; it shall not hold the lock meanwhile.
        let _ = self.0.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_links_move_to_another_file_system() {
        let here = tempfile::tempdir().unwrap();
        let Ok(there) = tempfile::tempdir_in("/dev/shm") else {
            #[expect(clippy::print_stderr, reason = "whoever runs the tests has to hear of it")]
            let () = eprintln!("SKIPPED: there is no second file system");
            return;
        };
        let (file, link) = (here.path().join("file"), here.path().join("link"));
        std::fs::write(&file, "text").unwrap();
        let mode = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o755);
        std::fs::set_permissions(&file, mode.clone()).unwrap();
        std::os::unix::fs::symlink("nowhere", &link).unwrap();
        for name in ["file", "link"] {
            let (from, to) = (here.path().join(name), there.path().join(name));
            move_file(&from, &to).unwrap();
            assert!(from.symlink_metadata().is_err() && to.symlink_metadata().is_ok());
            move_file(&to, &from).unwrap();
            assert!(to.symlink_metadata().is_err());
        }
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "text");
        let moved = std::fs::metadata(&file).unwrap().permissions();
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&moved) & 0o777, 0o755);
        assert_eq!(std::fs::read_link(&link).unwrap(), std::path::Path::new("nowhere"));
        assert!(move_file(&here.path().join("none"), &there.path().join("none")).is_err());
    }

    #[test]
    fn what_nobody_writes_any_more_is_told_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let ours = folder.path().join(temporary_name("a.b-c".as_ref()));
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let other = Identity::of(child.id()).unwrap();
        let of = |name: &str, process: &Identity| {
            let path = folder.path().join(format!(".{name}.{}-7.envrun-tmp", process.word()));
            std::fs::write(&path, "half").unwrap();
            path
        };
        std::fs::write(&ours, "half").unwrap();
        let theirs = of("a.b-c", &other);
        assert!(!is_abandoned(&ours) && !is_abandoned(&theirs), "they are still there");
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(is_abandoned(&theirs));
        let elsewhere = of("a.b-c", &Identity { space: other.space + 1, ..other });
        let by_number = of("a.b-c", &Identity { pid: other.pid, ..Identity::default() });
        let folder_of = folder.path().join(format!(".edit.{}-1.envrun-tmp", other.word()));
        std::fs::create_dir(&folder_of).unwrap();
        std::fs::write(folder_of.join("secrets.env"), "A=1").unwrap();
        if cfg!(target_os = "linux") {
            let again = of("a.b-c", &Identity { born: Identity::own().born + 1, ..Identity::own() });
            assert!(is_abandoned(&again), "the number was given again");
            for unseen in [&elsewhere, &by_number] {
                assert!(!is_abandoned(unseen), "it may be at work in another container");
                let before = std::time::SystemTime::now() - WRITTEN * 2;
                File::options().write(true).open(unseen).unwrap().set_modified(before).unwrap();
                assert!(is_abandoned(unseen), "nobody writes for so long");
            }
        }
        for other in ["a", ".a.envrun-tmp", ".a.x-1.envrun-tmp", ".a.0-1.envrun-tmp", ".a.-1-1.envrun-tmp"] {
            std::fs::write(folder.path().join(other), "").unwrap();
            assert!(!is_abandoned(&folder.path().join(other)), "{other}");
        }
        sweep_beside(&folder.path().join("b"));
        assert!(theirs.exists(), "it is another file's");
        sweep_beside(&folder.path().join("a.b-c"));
        assert!(ours.exists() && !theirs.exists() && folder_of.exists());
        sweep(folder.path());
        assert!(ours.exists() && !folder_of.exists());
    }
}
