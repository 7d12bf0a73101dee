//! Folders with what must not outlive a run: removed when whoever made them lets go, by the guardian when envrun is killed.

use std::ffi::CStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicU8, Ordering};

use super::guard::Ledger;
use super::processes::Processes;

/// How long a path may be. A longer one is not noted.
const LONGEST: usize = 2048;

const FREE: u8 = 0;
const TAKEN: u8 = 1;
const NOTED: u8 = 2;

/// A place for a folder, in the memory that envrun shares with its guardian.
#[repr(C)]
pub(super) struct Place {
    state: AtomicU8,
    /// Ends with a zero.
    path: [AtomicU8; LONGEST],
}

impl Place {
    /// Notes a folder, if this place is free.
    pub(super) fn note(&self, path: &[u8]) -> bool {
        let fits = path.first() == Some(&b'/') && path.len() < LONGEST && !path.contains(&0);
        if !fits || self.state.compare_exchange(FREE, TAKEN, Ordering::SeqCst, Ordering::Relaxed).is_err() {
            return false;
        }
        for (to, byte) in self.path.iter().zip(path.iter().chain([&0])) {
            to.store(*byte, Ordering::Relaxed);
        }
        self.state.store(NOTED, Ordering::SeqCst);
        true
    }

    /// The folder is gone, or may stay.
    pub(super) fn forget(&self) {
        self.state.store(FREE, Ordering::SeqCst);
    }

    /// Removes the folder that is noted here. Never allocates: the guardian calls it in a forked child.
    pub(super) fn remove(&self) {
        if self.state.load(Ordering::SeqCst) != NOTED {
            return;
        }
        let mut path = [0; LONGEST];
        path.iter_mut().zip(&self.path).for_each(|(to, byte)| *to = byte.load(Ordering::Relaxed));
        if let Ok(path) = CStr::from_bytes_until_nul(&path) {
            raze(path);
        }
    }
}

/// As long as it is there, the guardian removes a folder if envrun is killed.
#[derive(Debug)]
pub struct Fleeting<'a> {
    ledger: &'a Ledger,
    place: usize,
}

impl Processes {
    /// Has the guardian remove a folder if envrun is killed while the answer is held; `None` if it cannot. Nothing but
    /// that is promised: who is not killed removes it himself.
    pub fn fleeting(&self, folder: &Path) -> Option<Fleeting<'_>> {
        let ledger = self.ground().ok()?.ledger()?;
        let place = ledger.folders().iter().position(|place| place.note(folder.as_os_str().as_bytes()))?;
        Some(Fleeting { ledger, place })
    }
}

impl Drop for Fleeting<'_> {
    fn drop(&mut self) {
        self.ledger.folders()[self.place].forget();
    }
}

/// So many folders within each other are removed.
#[cfg(target_os = "linux")]
const DEEPEST: usize = 64;

/// Removes a folder with all that is in it, and follows no link.
#[cfg(target_os = "linux")]
fn raze(path: &CStr) {
    use rustix::fs::{AtFlags, CWD, unlinkat};

    clear(CWD, path, DEEPEST);
    let _ = unlinkat(CWD, path, AtFlags::REMOVEDIR);
}

/// The next run removes it.
#[cfg(not(target_os = "linux"))]
fn raze(_path: &CStr) {}

/// Removes what is in a folder.
#[cfg(target_os = "linux")]
fn clear(above: rustix::fd::BorrowedFd<'_>, name: &CStr, deepest: usize) {
    use rustix::fd::AsFd;
    use rustix::fs::{AtFlags, Mode, OFlags, RawDir, SeekFrom, fchmod, openat, seek, unlinkat};

    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let Ok(folder) = openat(above, name, flags, Mode::empty()) else { return };
    // Nothing can be taken out of one that may not be written to.
    let _ = fchmod(&folder, Mode::RWXU);
    // What is removed while it is read may hide what stands behind it: it is read again until nothing more goes.
    let mut goes_on = true;
    while goes_on {
        goes_on = false;
        let _ = seek(&folder, SeekFrom::Start(0));
        let mut buffer = [std::mem::MaybeUninit::uninit(); 2048];
        let mut entries = RawDir::new(&folder, &mut buffer);
        while let Some(Ok(entry)) = entries.next() {
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            if unlinkat(&folder, name, AtFlags::empty()).is_ok() {
                goes_on = true;
                continue;
            }
            if deepest > 0 {
                clear(folder.as_fd(), name, deepest - 1);
                goes_on |= unlinkat(&folder, name, AtFlags::REMOVEDIR).is_ok();
            }
        }
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::ffi::CString;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::{LONGEST, Ledger, raze};

    #[test]
    fn a_folder_goes_with_all_that_is_in_it_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let (folder, other) = (dir.path().join("folder"), dir.path().join("other"));
        std::fs::create_dir_all(folder.join("a/b/c")).unwrap();
        std::fs::create_dir(&other).unwrap();
        std::fs::write(other.join("kept"), "").unwrap();
        symlink(&other, folder.join("a/link")).unwrap();
        for number in 0..300 {
            std::fs::write(folder.join(format!("a/b/a file with a rather long name {number}")), "").unwrap();
        }
        std::fs::set_permissions(folder.join("a/b"), std::fs::Permissions::from_mode(0o500)).unwrap();
        raze(&CString::new(folder.as_os_str().as_bytes()).unwrap());
        assert!(!folder.exists() && other.join("kept").exists());
        // Neither what is no folder, nor what is not there.
        let link = dir.path().join("link");
        symlink(&other, &link).unwrap();
        raze(&CString::new(link.as_os_str().as_bytes()).unwrap());
        raze(c"/nowhere/at/all");
        assert!(link.exists() && other.join("kept").exists());
    }

    #[test]
    fn a_folder_is_noted_as_long_as_somebody_holds_on_to_it() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::new().unwrap();
        let place = &ledger.folders()[0];
        for unfit in [&b"relative"[..], b"", b"/with\0zero", &[b'/'; LONGEST]] {
            assert!(!place.note(unfit));
        }
        let [one, two] = ["a longer name", "short"].map(|name| dir.path().join(name));
        for folder in [&one, &two] {
            std::fs::create_dir(folder).unwrap();
        }
        assert!(place.note(one.as_os_str().as_bytes()) && !place.note(two.as_os_str().as_bytes()));
        place.forget();
        place.remove();
        assert!(one.exists());
        assert!(place.note(two.as_os_str().as_bytes()));
        place.remove();
        assert!(one.exists() && !two.exists());
    }
}
