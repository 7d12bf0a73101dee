//! The system calls that have a path in them, and what each does to it.

use libc::{c_int, c_long};

/// What a call does to the file that a path of its leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::exec) enum Use {
    /// Reads its bytes; if it is a folder, its names.
    Read,
    /// Executes it.
    Run,
    /// Asks what it is.
    Ask,
    /// Reads where a link leads; of anything else only that it is none.
    ReadLink,
    /// Opens it to be written; makes it, if `makes`; empties it first, if `empties`; reads it too, if `reads`.
    Write { makes: bool, empties: bool, reads: bool },
    /// Puts something new in its place, whatever was there.
    Replace,
    /// Changes its times, rights or owner.
    Mark,
    /// Takes it away.
    Remove,
    /// Takes it away, and it lives on under another name.
    MoveAway,
    /// Makes a folder.
    MakeDir,
}

/// One path of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::exec) struct Touch {
    /// What the path is relative to: an open folder of the process, or its working folder.
    pub(in crate::exec) dir: c_int,
    /// Where the path begins in the memory of the process.
    pub(in crate::exec) path: u64,
    /// A link at its end is followed.
    pub(in crate::exec) follow: bool,
    pub(in crate::exec) does: Use,
}

/// How a call is to be understood: where its arguments are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// path, flags.
    Open,
    /// folder, path, flags.
    OpenAt,
    /// folder, path, structure that begins with flags.
    OpenAt2,
    /// path: made and emptied.
    Creat,
    /// path, done with it, whether a link is followed.
    Path(Use, bool),
    /// folder, path, done with it, whether a link is followed.
    At(Use, bool),
    /// folder, path, done with it, the argument with the flags, among which may be "do not follow".
    AtFlags(Use, usize),
    /// old path, new path.
    Rename,
    /// folder, old path, folder, new path, perhaps flags.
    RenameAt,
    /// old path, new path: another name.
    Link,
    /// folder, old path, folder, new path, flags.
    LinkAt,
    /// text, path.
    Symlink,
    /// text, folder, path.
    SymlinkAt,
    /// path, length.
    Truncate,
}

use self::Shape::{
    At, AtFlags, Creat, Link, LinkAt, Open, OpenAt, OpenAt2, Path, Rename, RenameAt, Symlink, SymlinkAt,
    Truncate,
};

/// Calls of every processor.
const CALLS: &[(c_long, Shape)] = &[
    (libc::SYS_openat, OpenAt),
    (libc::SYS_openat2, OpenAt2),
    (libc::SYS_execve, Path(Use::Run, true)),
    (libc::SYS_execveat, AtFlags(Use::Run, 4)),
    (libc::SYS_newfstatat, AtFlags(Use::Ask, 3)),
    (libc::SYS_statx, AtFlags(Use::Ask, 2)),
    (libc::SYS_faccessat, At(Use::Ask, true)),
    (libc::SYS_faccessat2, AtFlags(Use::Ask, 3)),
    (libc::SYS_readlinkat, At(Use::ReadLink, false)),
    (libc::SYS_renameat2, RenameAt),
    (libc::SYS_linkat, LinkAt),
    (libc::SYS_symlinkat, SymlinkAt),
    (libc::SYS_unlinkat, At(Use::Remove, false)),
    (libc::SYS_mkdirat, At(Use::MakeDir, false)),
    (libc::SYS_mknodat, At(Use::Replace, false)),
    (libc::SYS_truncate, Truncate),
    (libc::SYS_fchmodat, At(Use::Mark, true)),
    (FCHMODAT2, AtFlags(Use::Mark, 3)),
    (libc::SYS_fchownat, AtFlags(Use::Mark, 4)),
    (libc::SYS_utimensat, AtFlags(Use::Mark, 3)),
];

/// The same on every processor; not every C library's headers have it.
const FCHMODAT2: c_long = 452;

/// Calls that newer processors were never given.
#[cfg(target_arch = "x86_64")]
const OLD_CALLS: &[(c_long, Shape)] = &[
    (libc::SYS_open, Open),
    (libc::SYS_creat, Creat),
    (libc::SYS_stat, Path(Use::Ask, true)),
    (libc::SYS_lstat, Path(Use::Ask, false)),
    (libc::SYS_access, Path(Use::Ask, true)),
    (libc::SYS_readlink, Path(Use::ReadLink, false)),
    (libc::SYS_rename, Rename),
    (libc::SYS_renameat, RenameAt),
    (libc::SYS_link, Link),
    (libc::SYS_symlink, Symlink),
    (libc::SYS_unlink, Path(Use::Remove, false)),
    (libc::SYS_rmdir, Path(Use::Remove, false)),
    (libc::SYS_mkdir, Path(Use::MakeDir, false)),
    (libc::SYS_mknod, Path(Use::Replace, false)),
    (libc::SYS_chmod, Path(Use::Mark, true)),
    (libc::SYS_chown, Path(Use::Mark, true)),
    (libc::SYS_lchown, Path(Use::Mark, false)),
    (libc::SYS_utime, Path(Use::Mark, true)),
    (libc::SYS_utimes, Path(Use::Mark, true)),
    (libc::SYS_futimesat, At(Use::Mark, true)),
];
#[cfg(target_arch = "aarch64")]
const OLD_CALLS: &[(c_long, Shape)] = &[(libc::SYS_renameat, RenameAt)];

/// Calls that reach files without a path: whoever is told that the system has none falls back to those that are seen.
pub(in crate::exec) const REFUSED: &[c_long] = &[libc::SYS_io_uring_setup, libc::SYS_open_by_handle_at];

/// Calls after which a path leads elsewhere than it did: of a file that is kept from a command they would make one that
/// nobody knows.
pub(in crate::exec) const TURNING: &[c_long] = &[
    libc::SYS_chroot,
    libc::SYS_mount,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_pivot_root,
    libc::SYS_setns,
];

/// The numbers of all calls that are looked at.
pub(in crate::exec) fn numbers() -> impl Iterator<Item = c_long> {
    CALLS.iter().chain(OLD_CALLS).map(|(number, _)| *number)
}

/// What a call does to which paths. `flags_at` reads the flags that `openat2` takes from memory.
pub(in crate::exec) fn touches(
    number: c_long,
    args: &[u64; 6],
    flags_at: impl FnOnce(u64) -> Option<u64>,
) -> Vec<Touch> {
    let Some((_, shape)) = CALLS.iter().chain(OLD_CALLS).find(|(known, _)| *known == number) else {
        return Vec::new();
    };
    let here = libc::AT_FDCWD;
    let one = |dir, path, follow, does| vec![Touch { dir, path, follow, does }];
    let two = |(dir, path, follow, does), (to_dir, to)| {
        vec![
            Touch { dir, path, follow, does },
            Touch { dir: to_dir, path: to, follow: false, does: Use::Replace },
        ]
    };
    let is_set = |at: usize, flag: c_int| int(args[at]) & flag != 0;
    match *shape {
        Open => opened(here, args[0], int(args[1])).into_iter().collect(),
        OpenAt => opened(int(args[0]), args[1], int(args[2])).into_iter().collect(),
        OpenAt2 => {
            let flags = flags_at(args[2]).map_or(0, int);
            opened(int(args[0]), args[1], flags).into_iter().collect()
        }
        Creat => opened(here, args[0], libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC).into_iter().collect(),
        Path(does, follow) => one(here, args[0], follow, does),
        At(does, follow) => one(int(args[0]), args[1], follow, does),
        AtFlags(does, flags) => one(int(args[0]), args[1], !is_set(flags, libc::AT_SYMLINK_NOFOLLOW), does),
        Rename => two((here, args[0], false, Use::MoveAway), (here, args[1])),
        RenameAt => two((int(args[0]), args[1], false, Use::MoveAway), (int(args[2]), args[3])),
        Link => two((here, args[0], false, Use::Read), (here, args[1])),
        LinkAt => {
            let follow = is_set(4, libc::AT_SYMLINK_FOLLOW);
            two((int(args[0]), args[1], follow, Use::Read), (int(args[2]), args[3]))
        }
        Symlink => one(here, args[1], false, Use::Replace),
        SymlinkAt => one(int(args[1]), args[2], false, Use::Replace),
        Truncate => {
            one(here, args[0], true, Use::Write { makes: false, empties: args[1] == 0, reads: false })
        }
    }
}

/// The kernel takes the lower half of a register for an `int`.
#[expect(clippy::cast_possible_truncation, reason = "that is what the kernel does")]
fn int(register: u64) -> c_int {
    register as c_int
}

/// What `open` does with these flags; nothing, if the file will have no name.
fn opened(dir: c_int, path: u64, flags: c_int) -> Option<Touch> {
    let is_set = |flag: c_int| flags & flag == flag;
    if is_set(libc::O_TMPFILE) {
        return None;
    }
    let exclusive = is_set(libc::O_CREAT | libc::O_EXCL);
    let (makes, empties) = (is_set(libc::O_CREAT), is_set(libc::O_TRUNC));
    let does = match flags & libc::O_ACCMODE {
        _ if is_set(libc::O_PATH) => Use::Ask,
        libc::O_RDONLY if !makes && !empties => Use::Read,
        libc::O_WRONLY => Use::Write { makes, empties, reads: false },
        _ => Use::Write { makes, empties, reads: true },
    };
    Some(Touch { dir, path, follow: !is_set(libc::O_NOFOLLOW) && !exclusive, does })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(flags: c_int) -> Vec<Touch> {
        #[expect(clippy::cast_sign_loss, reason = "as a register holds it")]
        touches(libc::SYS_openat, &[libc::AT_FDCWD as u64, 7, flags as u64, 0, 0, 0], |_| None)
    }

    #[test]
    fn an_open_says_by_its_flags_what_it_does() {
        let does = |flags| open(flags).first().map(|touch| touch.does);
        assert_eq!(does(libc::O_RDONLY | libc::O_CLOEXEC), Some(Use::Read));
        assert_eq!(does(libc::O_PATH), Some(Use::Ask));
        let write = |makes, empties, reads| Some(Use::Write { makes, empties, reads });
        assert_eq!(does(libc::O_WRONLY | libc::O_APPEND), write(false, false, false));
        assert_eq!(does(libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC), write(true, true, false));
        assert_eq!(does(libc::O_RDWR | libc::O_CREAT), write(true, false, true));
        assert_eq!(does(libc::O_RDONLY | libc::O_CREAT), write(true, false, true));
        assert_eq!(does(libc::O_TMPFILE | libc::O_RDWR), None);
        assert!(!open(libc::O_RDONLY | libc::O_NOFOLLOW)[0].follow);
    }

    #[test]
    fn no_number_stands_in_the_table_twice() {
        let mut all: Vec<_> = numbers().chain(REFUSED.iter().chain(TURNING).copied()).collect();
        all.sort_unstable();
        let count = all.len();
        all.dedup();
        assert_eq!(all.len(), count);
    }
}
