//! Eyes on folders: told by the system where it tells, looking by themselves where it does not.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use notify::event::{AccessKind, AccessMode, ModifyKind, RenameMode};
use notify::{Config, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};

use super::poll::Poll;
use super::quiet::Hint;

/// What the eyes tell, from whatever thread.
type Tell = Arc<dyn Fn(Hint) + Send + Sync>;

/// How changes are seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Looks {
    /// By being told, if the system does that.
    #[default]
    Told,
    /// By looking again and again.
    Again,
}

/// Folders that are watched, without what lies deeper.
pub struct Eyes {
    tell: Tell,
    how: How,
    folders: HashMap<PathBuf, Identity>,
    polling: Option<String>,
}

enum How {
    Told(RecommendedWatcher),
    Again(Poll),
    /// Neither can be had; the reason is in `polling`.
    Blind,
}

/// Which folder it was that is watched under a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    dev: u64,
    inode: u64,
}

impl Eyes {
    /// Watches nothing yet.
    pub fn open(looks: Looks, root: &Path, tell: impl Fn(Hint) + Send + Sync + 'static) -> Self {
        let tell: Tell = Arc::new(tell);
        let mut eyes = Self { tell, how: How::Blind, folders: HashMap::new(), polling: None };
        let reason = match (looks, remote(root)) {
            (Looks::Again, _) => Some("that was asked for (--poll)".to_owned()),
            (Looks::Told, Some(kind)) => Some(format!("{kind} does not tell of changes made elsewhere")),
            (Looks::Told, None) => match eyes.told() {
                Ok(watcher) => {
                    eyes.how = How::Told(watcher);
                    None
                }
                Err(error) => Some(words(&error)),
            },
        };
        if let Some(reason) = reason {
            eyes.poll(reason);
        }
        eyes
    }

    /// Why the eyes look again and again instead of being told, if they do.
    pub fn polling(&self) -> Option<&str> {
        self.polling.as_deref()
    }

    /// How many folders are watched.
    pub fn folders(&self) -> usize {
        self.folders.len()
    }

    /// A folder that was watched is gone, or is another one: it is not watched any more.
    pub fn forget(&mut self, folder: &Path) {
        if self.folders.remove(folder).is_some() {
            self.end(folder);
        }
    }

    /// The system failed for good: from now on the eyes look by themselves, at the same folders.
    pub fn fall_back(&mut self, reason: String) {
        if matches!(self.how, How::Told(_)) {
            self.poll(reason);
        }
    }

    /// Watches these folders and no others; of one that is not there the nearest above it, and of each all folders above
    /// it up to `root`, for it may be moved away and another one put in its place. Whether one is watched now that was not
    /// before: what changed in it until now has been told by nobody.
    pub fn watch(&mut self, wanted: &BTreeSet<PathBuf>, root: &Path) -> bool {
        let mut all: BTreeSet<&Path> = BTreeSet::new();
        for folder in wanted {
            let mut at = Some(folder.as_path());
            while let Some(folder) = at.filter(|folder| all.insert(folder)) {
                // Outside of the project only the folder itself counts.
                at = folder
                    .parent()
                    .filter(|_| folder != root && (folder.starts_with(root) || !folder.is_dir()));
            }
        }
        let there: HashMap<&Path, Identity> =
            all.into_iter().filter_map(|folder| Some((folder, identity(folder)?))).collect();
        let others: Vec<PathBuf> = self
            .folders
            .iter()
            .filter(|(folder, identity)| there.get(folder.as_path()) != Some(identity))
            .map(|(folder, _)| folder.clone())
            .collect();
        others.iter().for_each(|folder| self.forget(folder));
        let mut added = false;
        let mut new: Vec<(&Path, Identity)> =
            there.into_iter().filter(|(folder, _)| !self.folders.contains_key(*folder)).collect();
        new.sort_unstable_by_key(|(folder, _)| *folder);
        for (folder, identity) in new {
            added |= self.begin(folder);
            self.folders.insert(folder.to_path_buf(), identity);
        }
        added
    }

    /// Whether the folder could be watched; one that just vanished could not.
    fn begin(&mut self, folder: &Path) -> bool {
        match &mut self.how {
            How::Told(watcher) => match watcher.watch(folder, RecursiveMode::NonRecursive) {
                Ok(()) => true,
                Err(error) if is_limit(&error) => {
                    self.poll(words(&error));
                    self.begin(folder)
                }
                Err(_) => false,
            },
            How::Again(poll) => {
                poll.look_at(folder, true);
                true
            }
            How::Blind => false,
        }
    }

    fn end(&mut self, folder: &Path) {
        match &mut self.how {
            // The system has often let go of it by itself.
            How::Told(watcher) => _ = watcher.unwatch(folder),
            How::Again(poll) => poll.look_at(folder, false),
            How::Blind => {}
        }
    }

    fn told(&self) -> notify::Result<RecommendedWatcher> {
        let tell = Arc::clone(&self.tell);
        RecommendedWatcher::new(
            move |event| hints(event, &*tell),
            Config::default().with_follow_symlinks(false),
        )
    }

    fn poll(&mut self, reason: String) {
        let tell = Arc::clone(&self.tell);
        self.how = match Poll::start(move |hint| tell(hint)) {
            Ok(poll) => {
                self.folders.keys().for_each(|folder| poll.look_at(folder, true));
                How::Again(poll)
            }
            Err(_) => How::Blind,
        };
        self.polling = Some(reason);
    }
}

/// What an event of the system says, without what nobody wants to know: that something was read.
fn hints(event: notify::Result<Event>, tell: &dyn Fn(Hint)) {
    let event = match event {
        Ok(event) => event,
        Err(error) if is_limit(&error) => return tell(Hint::Failed(words(&error))),
        Err(_) => return tell(Hint::Lost),
    };
    if event.need_rescan() {
        return tell(Hint::Lost);
    }
    match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => {}
        EventKind::Access(_) => return,
        EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(RenameMode::From)) => {
            return event.paths.into_iter().for_each(|path| tell(Hint::Gone(path)));
        }
        _ => {}
    }
    event.paths.into_iter().for_each(|path| tell(Hint::At(path)));
}

/// Whether there are as many watches as there may be.
fn is_limit(error: &notify::Error) -> bool {
    match &error.kind {
        notify::ErrorKind::MaxFilesWatch => true,
        notify::ErrorKind::Io(error) => is_limit_of(error),
        _ => false,
    }
}

fn is_limit_of(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let errno = error.raw_os_error();
    [Errno::NOSPC, Errno::MFILE, Errno::NFILE].iter().any(|limit| errno == Some(limit.raw_os_error()))
}

fn words(error: &notify::Error) -> String {
    match &error.kind {
        notify::ErrorKind::MaxFilesWatch => "the system watches no more folders".to_owned(),
        notify::ErrorKind::Io(error)
            if error.raw_os_error() == Some(rustix::io::Errno::NOSPC.raw_os_error()) =>
        {
            "the system watches no more folders".to_owned()
        }
        notify::ErrorKind::Io(error) if is_limit_of(error) => "the system has no more watchers".to_owned(),
        _ => error.to_string(),
    }
}

fn identity(folder: &Path) -> Option<Identity> {
    use std::os::unix::fs::MetadataExt;
    let stat = folder.metadata().ok().filter(std::fs::Metadata::is_dir)?;
    Some(Identity { dev: stat.dev(), inode: stat.ino() })
}

/// The name of a file system whose changes another machine may make.
#[cfg(target_os = "linux")]
fn remote(path: &Path) -> Option<&'static str> {
    let stat = rustix::fs::statfs(path).ok()?;
    // From statfs(2). FUSE is what sshfs and the shared folders of virtual machines are made of.
    let kinds = [
        (0x6969, "NFS"),
        (0x517b, "SMB"),
        (0xff53_4d42, "CIFS"),
        (0xfe53_4d42, "SMB"),
        (0x6573_5546, "FUSE"),
        (0x0102_1997, "9P"),
        (0x00c3_6400, "Ceph"),
        (0x786f_4256, "vboxsf"),
    ];
    let found = i128::from(stat.f_type) & 0xffff_ffff;
    kinds.iter().find(|(kind, _)| *kind == found).map(|(_, name)| *name)
}

#[cfg(not(target_os = "linux"))]
fn remote(_: &Path) -> Option<&'static str> {
    None
}
