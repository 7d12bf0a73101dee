//! Which file a path of a process leads to, at this moment.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::process::Pid;

use super::Kind;

/// More links than that on one way are a ring.
const MOST_LINKS: usize = 40;

/// Where a path leads.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The file, named without links and dots.
    pub(super) path: PathBuf,
    /// What is there; `None` if nothing is.
    pub(super) kind: Option<Kind>,
    /// The links on the way, each named without links and dots.
    pub(super) links: Vec<PathBuf>,
}

/// Folders outside of the project that are known to be no links, so that nobody asks a hundred times what `/usr` is.
#[derive(Debug, Default)]
pub(super) struct Plain(HashSet<PathBuf>);

/// What a process means by a folder number: its own working folder, or one that it has open.
pub(super) fn base(pid: Pid, dir: i32) -> Option<PathBuf> {
    let pid = pid.as_raw_nonzero();
    let link = match dir {
        libc::AT_FDCWD => format!("/proc/{pid}/cwd"),
        dir => format!("/proc/{pid}/fd/{dir}"),
    };
    std::fs::read_link(link).ok().filter(|path| path.is_absolute())
}

/// Walks along `path`, as `pid` would, from `base`; `follow` is for a link at the end.
pub(super) fn find(
    pid: Pid,
    base: &Path,
    path: &[u8],
    follow: bool,
    root: &Path,
    plain: &mut Plain,
) -> Place {
    let mut at = if path.starts_with(b"/") { PathBuf::from("/") } else { base.to_path_buf() };
    let follow = follow || path.ends_with(b"/");
    let mut links = Vec::new();
    let mut todo: Vec<Vec<u8>> = components(path);
    let mut kind = Some(Kind::Dir);
    while let Some(name) = todo.pop() {
        match &name[..] {
            b".." => {
                at.pop();
                kind = Some(Kind::Dir);
                continue;
            }
            // What these two mean depends on who asks.
            b"self" | b"thread-self" if at == Path::new("/proc") => {
                at.push(pid.as_raw_nonzero().to_string());
                continue;
            }
            name => at.push(OsStr::from_bytes(name)),
        }
        if !todo.is_empty() && plain.0.contains(&at) {
            continue;
        }
        kind = look(&at);
        match kind {
            None => {
                at.extend(todo.iter().rev().map(|name| OsStr::from_bytes(name)));
                return Place { path: at, kind: None, links };
            }
            Some(Kind::Link) if !todo.is_empty() || follow => {
                let Ok(target) = std::fs::read_link(&at) else { break };
                // The links of an open pipe or a deleted file have a text that leads nowhere.
                let is_magic = at.starts_with("/proc") && !target.is_absolute();
                if links.len() == MOST_LINKS || is_magic {
                    kind = Some(Kind::Special);
                    break;
                }
                links.push(at.clone());
                at = if target.is_absolute() { "/".into() } else { at.parent().unwrap_or(&at).to_path_buf() };
                todo.extend(components(target.as_os_str().as_bytes()));
                kind = Some(Kind::Dir);
            }
            Some(Kind::Dir) if !at.starts_with(root) && !at.starts_with("/proc") => {
                plain.0.insert(at.clone());
            }
            Some(_) => {}
        }
    }
    Place { path: at, kind, links }
}

/// The components of a path, the last first.
fn components(path: &[u8]) -> Vec<Vec<u8>> {
    let parts = path.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".");
    parts.rev().map(<[u8]>::to_vec).collect()
}

/// What is there.
pub(super) fn look(path: &Path) -> Option<Kind> {
    let stat = rustix::fs::statat(rustix::fs::CWD, path, AtFlags::SYMLINK_NOFOLLOW).ok()?;
    Some(match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Dir,
        FileType::Symlink => Kind::Link,
        _ => Kind::Special,
    })
}

/// The program that a script names in its first line.
pub(super) fn interpreter(script: &Path) -> Option<PathBuf> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = rustix::fs::open(script, flags, Mode::empty()).ok()?;
    let mut start = [0; 256];
    let length = rustix::io::read(&file, &mut start).ok()?;
    let line = start[..length].strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    Some(PathBuf::from(OsStr::from_bytes(words.next()?)))
}

/// The command line of a process, as far as it helps to know it again.
pub(super) fn command_line(pid: Pid) -> String {
    const LONGEST: usize = 80;
    let bytes = std::fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).unwrap_or_default();
    let words = bytes.split(|byte| *byte == 0).filter(|word| !word.is_empty());
    let words: Vec<_> = words.map(String::from_utf8_lossy).collect();
    let line = words.join(" ").replace(char::is_control, " ");
    match line.char_indices().nth(LONGEST) {
        Some((cut, _)) => format!("{}…", &line[..cut]),
        None => line,
    }
}
