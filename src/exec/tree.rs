//! Looks at every process of the machine: who is whose child, and who bears which mark.
//!
//! A look costs about ten microseconds per process, so it is only taken when something has to be ended.

use rustix::process::Pid;

use super::mark::{Mark, Number, RunId};

/// A process, as seen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    pub(super) pid: Pid,
    pub(super) parent: i32,
    pub(super) group: i32,
    /// It has ended and only waits to be asked how.
    pub(super) zombie: bool,
    pub(super) mark: Option<Mark>,
}

/// Tells of every process but the calling one and the kernel's own. Never allocates: the guardian calls it in a forked
/// child.
#[cfg(target_os = "linux")]
pub(super) fn each(tell: &mut dyn FnMut(Seen)) {
    use rustix::fs::{Mode, OFlags, RawDir, open};

    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let Ok(proc) = open(c"/proc", flags, Mode::empty()) else { return };
    let myself = rustix::process::getpid();
    let mut buffer = [std::mem::MaybeUninit::uninit(); 8192];
    let mut dir = RawDir::new(&proc, &mut buffer);
    while let Some(Ok(entry)) = dir.next() {
        let name = entry.file_name().to_bytes();
        let Some(pid) = number(name).and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?)) else {
            continue;
        };
        if pid == myself {
            continue;
        }
        let mut text = [0; 4096];
        // The name stands in brackets and may hold anything; what follows the last bracket is numbers.
        let Some(stat) = read(&proc, name, b"/stat\0", &mut text) else { continue };
        let Some(after) = stat.iter().rposition(|byte| *byte == b')') else { continue };
        let mut fields = stat[after + 1..].split(|byte| *byte == b' ').skip(1);
        let Some(state) = fields.next() else { continue };
        let mut next = || fields.next().and_then(number).and_then(|field| i32::try_from(field).ok());
        let (Some(parent), Some(group)) = (next(), next()) else { continue };
        // Process 2 and its children are the kernel's.
        if parent == 2 || pid.as_raw_nonzero().get() == 2 {
            continue;
        }
        let zombie = matches!(state, b"Z" | b"X" | b"x");
        let mark = read(&proc, name, b"/limits\0", &mut text).and_then(super::mark::in_limits);
        tell(Seen { pid, parent, group, zombie, mark });
    }
}

/// There is no `/proc` to look at.
#[cfg(not(target_os = "linux"))]
pub(super) fn each(_tell: &mut dyn FnMut(Seen)) {}

#[cfg(target_os = "linux")]
fn read<'b>(
    proc: &rustix::fd::OwnedFd,
    pid: &[u8],
    file: &[u8],
    buffer: &'b mut [u8; 4096],
) -> Option<&'b [u8]> {
    use rustix::fs::{Mode, OFlags, openat};

    let mut path = [0; 32];
    path.get_mut(..pid.len())?.copy_from_slice(pid);
    path.get_mut(pid.len()..pid.len() + file.len())?.copy_from_slice(file);
    let path = std::ffi::CStr::from_bytes_until_nul(&path).ok()?;
    let fd = openat(proc, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let length = rustix::io::read(&fd, &mut buffer[..]).ok()?;
    Some(&buffer[..length])
}

#[cfg(target_os = "linux")]
fn number(text: &[u8]) -> Option<u32> {
    (!text.is_empty()).then_some(())?;
    text.iter().try_fold(0_u32, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| u32::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

/// Every process that belongs to one of these commands: it descends from the command's first process (`None`
/// once that was asked how it ended), or bears its number. Guardians of other runs are spared: each ends what is left of its own run, and then itself.
pub(super) fn belonging_to(run: RunId, commands: &[(Number, Option<Pid>)]) -> Vec<Seen> {
    let mut all = Vec::new();
    each(&mut |seen| all.push(seen));
    let own = |seen: &Seen| {
        let number = seen.mark.and_then(|mark| mark.of(run));
        commands.iter().any(|(other, pid)| number == Some(*other) || *pid == Some(seen.pid))
    };
    let (mut found, mut rest): (Vec<Seen>, Vec<Seen>) = all.into_iter().partition(own);
    // Children of those found, theirs, and so on: a generation in each round.
    let mut from = 0;
    while from < found.len() {
        let until = found.len();
        rest.retain(|seen| {
            let child =
                found[from..until].iter().any(|parent| parent.pid.as_raw_nonzero().get() == seen.parent);
            if child {
                found.push(*seen);
            }
            !child
        });
        from = until;
    }
    found.retain(|seen| !seen.mark.is_some_and(Mark::is_guardian));
    found
}

/// A process, what descends from it, what is in its group if it leads one, and what bears the same mark.
pub(super) fn family(pid: Pid) -> Vec<super::Identity> {
    families(&[pid]).pop().unwrap_or_default()
}

/// The family of each of these, seen at one moment.
pub(super) fn families(pids: &[Pid]) -> Vec<Vec<super::Identity>> {
    let mut all = Vec::new();
    each(&mut |seen| all.push(seen));
    pids.iter().map(|pid| family_among(&all, *pid)).collect()
}

fn family_among(all: &[Seen], pid: Pid) -> Vec<super::Identity> {
    let pid = pid.as_raw_nonzero().get();
    let number = |seen: &Seen| seen.pid.as_raw_nonzero().get();
    let mark = all.iter().find(|seen| number(seen) == pid).and_then(|seen| seen.mark);
    let mut found = vec![pid];
    loop {
        let before = found.len();
        for seen in all {
            let own =
                found.contains(&seen.parent) || seen.group == pid || (mark.is_some() && seen.mark == mark);
            if own && !found.contains(&number(seen)) {
                found.push(number(seen));
            }
        }
        if found.len() == before {
            break;
        }
    }
    found.into_iter().filter_map(|pid| super::Identity::of(pid.unsigned_abs())).collect()
}

/// Whether anything is alive that bears this number and was started after `first`, the command's first process. Process
/// numbers are handed out in turn: if only a few were since, these are looked at, and no others.
#[cfg(target_os = "linux")]
pub(super) fn any_bears(run: RunId, command: Number, first: Pid) -> bool {
    use rustix::fs::{Mode, OFlags, open};

    let bears = |mark: Option<Mark>| mark.and_then(|mark| mark.of(run)) == Some(command);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let Ok(proc) = open(c"/proc", flags, Mode::empty()) else { return false };
    let mut text = [0; 4096];
    // Its last field is the number that was handed out last.
    let last = read(&proc, b"loadavg", b"\0", &mut text)
        .and_then(|text| number(text.trim_ascii_end().rsplit(|byte| *byte == b' ').next()?));
    let first = first.as_raw_nonzero().get().cast_unsigned();
    match last {
        Some(last) if last >= first && last - first <= 64 => (first + 1..=last).any(|pid| {
            let pid = pid.to_string();
            bears(read(&proc, pid.as_bytes(), b"/limits\0", &mut text).and_then(super::mark::in_limits))
        }),
        _ => {
            let mut any = false;
            each(&mut |seen| any |= bears(seen.mark));
            any
        }
    }
}

/// Nothing bears anything here.
#[cfg(not(target_os = "linux"))]
pub(super) fn any_bears(_run: RunId, _command: Number, _first: Pid) -> bool {
    false
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    #[test]
    fn a_child_is_seen_with_its_parent() {
        let mut child =
            std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let mut found = None;
        each(&mut |seen| {
            if seen.pid.as_raw_nonzero().get() == child.id().cast_signed() {
                found = Some(seen);
            }
        });
        drop(child.stdin.take());
        child.wait().unwrap();
        let found = found.expect("the child was alive");
        assert_eq!(found.parent, std::process::id().cast_signed());
        assert_eq!(found.group, rustix::process::getpgrp().as_raw_nonzero().get());
        assert!(!found.zombie);
    }

    #[test]
    fn numbers() {
        assert_eq!(number(b"12"), Some(12));
        assert_eq!(number(b""), None);
        assert_eq!(number(b"self"), None);
        assert_eq!(number(b"99999999999"), None);
    }
}
