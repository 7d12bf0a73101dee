//! Where the services of an environment have their lock, their socket and their state: `.envrun/env/<env>/services/`.

use std::fs::File;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::fs::{self, FileLock, FsError};
use crate::exec::Identity;

use super::state::Status;

/// The version of the state file and of the wire.
pub const FORMAT: u32 = 3;

/// What stands for the environment in a project that has none.
const NO_ENVIRONMENT: &str = "-";

/// The folder of one environment's services. Only its owner may look into it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    folder: PathBuf,
}

/// What is written down of an environment's services. No values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Saved {
    /// `FORMAT`.
    pub format: u32,
    /// The supervisor that wrote it.
    pub supervisor: Identity,
    /// Its services, as they were last.
    pub services: Vec<Status>,
}

impl Place {
    /// The place of an environment; `state` is the project's `.envrun`.
    pub fn new(state: &Path, env: Option<&str>) -> Self {
        Self { folder: state.join("env").join(env.unwrap_or(NO_ENVIRONMENT)).join("services") }
    }

    /// The place that this folder is.
    pub fn at(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Every environment of a project that has, or had, services: its name, and its place.
    pub fn all(state: &Path) -> Vec<(Option<String>, Self)> {
        let mut found: Vec<_> = std::fs::read_dir(state.join("env"))
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .map(|name| {
                (Some(name.clone()).filter(|name| name != NO_ENVIRONMENT), Self::new(state, Some(&name)))
            })
            .filter(|(_, place)| place.state_file().exists())
            .collect();
        found.sort_by(|a, b| a.0.cmp(&b.0));
        found
    }

    /// Makes the folder.
    pub fn make(&self) -> Result<(), FsError> {
        let fail = |error| FsError::new("create", &self.folder, error);
        std::fs::DirBuilder::new()
            .recursive(true)
            .create(self.folder.parent().unwrap_or(&self.folder))
            .map_err(fail)?;
        match std::fs::DirBuilder::new().mode(0o700).create(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                std::fs::set_permissions(&self.folder, std::fs::Permissions::from_mode(0o700)).map_err(fail)
            }
            made => made.map_err(fail),
        }
    }

    /// Takes the lock, which is freed by the kernel when whoever has it ends; `None` if it is not free within that time.
    pub fn lock(&self, within: Duration) -> Result<Option<FileLock>, FsError> {
        FileLock::take_within(&self.folder.join("lock"), within)
    }

    /// Where the supervisor says what goes wrong with itself.
    pub fn errors(&self) -> PathBuf {
        self.folder.join("supervisor.log")
    }

    fn state_file(&self) -> PathBuf {
        self.folder.join("state.json")
    }

    fn socket(&self) -> PathBuf {
        self.folder.join("socket")
    }

    /// What was written down last; nothing of another format, or if it is torn.
    pub fn saved(&self) -> Result<Option<Saved>, FsError> {
        let bytes = fs::read_if_there(&self.state_file())?;
        let saved = bytes.and_then(|bytes| serde_json::from_slice::<Saved>(&bytes).ok());
        Ok(saved.filter(|saved| saved.format == FORMAT))
    }

    /// Writes it down.
    pub fn save(&self, saved: &Saved) -> Result<(), FsError> {
        let mut text = serde_json::to_vec_pretty(saved).expect("a state has no keys but texts");
        text.push(b'\n');
        fs::write_atomic(&self.state_file(), &text)
    }

    /// Listens at the socket. Only for who has the lock: what lies there is nobody's.
    pub fn listen(&self) -> Result<UnixListener, FsError> {
        let path = self.socket();
        fs::remove_file(&path)?;
        short(&path, |short| UnixListener::bind(short))
            .map_err(|error| FsError::new("listen at", &path, error))
    }

    /// Takes the socket away.
    pub fn close(&self) {
        let _ = fs::remove_file(&self.socket());
    }

    /// Connects to whoever listens; `None` if nobody does.
    pub fn connect(&self) -> Result<Option<UnixStream>, FsError> {
        let path = self.socket();
        match short(&path, |short| UnixStream::connect(short)) {
            Ok(stream) => Ok(Some(stream)),
            Err(error)
                if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) =>
            {
                Ok(None)
            }
            Err(error) => Err(FsError::new("connect to", &path, error)),
        }
    }
}

/// Gives a path to a socket that is short enough for one: the system takes 107 bytes.
fn short<T>(path: &Path, socket: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    const LONGEST: usize = 100;
    if path.as_os_str().len() <= LONGEST || !cfg!(target_os = "linux") {
        return socket(path);
    }
    use std::os::fd::AsRawFd;
    // The folder under a name of its own, which is always short.
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return socket(path) };
    let folder = File::open(folder)?;
    socket(&Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_may_lie_deep() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::new(&dir.path().join("a-very-long-name-of-a-folder".repeat(6)), Some("dev"));
        place.make().unwrap();
        assert!(place.connect().unwrap().is_none());
        let listener = place.listen().unwrap();
        assert!(place.connect().unwrap().is_some());
        drop(listener);
        assert!(place.connect().unwrap().is_none());
        let mode = place.folder().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }

    #[test]
    fn the_lock_is_one_for_all() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::new(dir.path(), None);
        place.make().unwrap();
        let lock = place.lock(Duration::ZERO).unwrap().expect("nobody has it");
        assert!(place.lock(Duration::ZERO).unwrap().is_none());
        drop(lock);
        assert!(place.lock(Duration::ZERO).unwrap().is_some());
    }
}
