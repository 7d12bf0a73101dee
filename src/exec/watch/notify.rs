//! The filter on a command's system calls, and the thread that answers for those that were stopped.
//!
//! The child puts the [`Filter`] on itself just before it becomes the program, and writes its own number and that of the
//! descriptor it got to a pipe. The thread takes the descriptor out of the child ([`Session::serve`]) and answers from
//! then on, beginning with the call by which the child becomes the program: the thread that started the child waits for
//! just that.

use std::ffi::c_int;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use libc::{sock_filter, sock_fprog};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, Signal};

use super::super::pipe::pipe;
use super::call::{self, Touch, Use};
use super::place::{self, Place, Plain};
use super::{Kind, Uses, Watch};
use crate::base::RelPath;

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xC000_003E;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xC000_00B7;

/// Numbers from here on belong to another way of calling the same kernel (x32).
const FOREIGN: u32 = 0x4000_0000;

/// Where the parts of a call are that a filter is shown: `seccomp_data`.
const NUMBER_AT: u32 = 0;
const ARCHITECTURE_AT: u32 = 4;

/// The longest path the system takes.
const LONGEST: usize = 4096;

/// What a child puts on itself.
#[derive(Debug)]
pub(in crate::exec) struct Filter {
    program: Vec<sock_filter>,
    report: OwnedFd,
}

/// A command that will be watched, from before it is started.
#[derive(Debug)]
pub(in crate::exec) struct Session {
    report: OwnedFd,
}

/// How a stopped call goes on.
enum Answer {
    Continue,
    Refuse(c_int),
}

impl Session {
    /// What watches, and what is to be watched.
    pub(in crate::exec) fn begin(watch: &Watch) -> io::Result<(Self, Filter)> {
        let (report, end) = pipe()?;
        Ok((Self { report }, Filter { program: program(watch.allows.is_some()), report: end }))
    }

    /// Watches a command until its last process has ended, and those that are started in its place if it could not be.
    /// Returns when the [`Filter`] is dropped and nobody bears it any longer.
    pub(in crate::exec) fn serve(&self, watch: &Watch) {
        while let Some((pid, fd)) = self.child() {
            if fd < 0 {
                watch.record().refused = Some(io::Error::from_raw_os_error(-fd));
            } else {
                self.answer_for(pid, fd, watch);
            }
        }
    }

    fn answer_for(&self, pid: Pid, fd: c_int, watch: &Watch) {
        let taken = rustix::process::pidfd_open(pid, PidfdFlags::empty())
            .and_then(|child| rustix::process::pidfd_getfd(child, fd, PidfdGetfdFlags::empty()));
        match taken {
            Ok(listener) => {
                wake_in_step(listener.as_fd());
                answer_all(&listener, watch);
            }
            Err(error) => {
                // It waits for an answer that nobody can give.
                watch.record().refused = Some(error.into());
                let _ = rustix::process::kill_process(pid, Signal::KILL);
            }
        }
    }

    /// The number of the child, and of its descriptor; nothing if there is none.
    fn child(&self) -> Option<(Pid, c_int)> {
        let mut bytes = [0; 8];
        let mut read = 0;
        while read < bytes.len() {
            match rustix::io::read(&self.report, &mut bytes[read..]) {
                Ok(0) => return None,
                Ok(more) => read += more,
                Err(Errno::INTR) => {}
                Err(_) => return None,
            }
        }
        let (pid, fd) = bytes.split_at(4);
        let int = |bytes: &[u8]| c_int::from_ne_bytes(bytes.try_into().expect("it is cut into fours"));
        Some((Pid::from_raw(int(pid))?, int(fd)))
    }
}

impl Filter {
    /// Puts it on the calling process, and says so.
    ///
    /// # Safety
    /// In a child that is not yet a program. Allocates nothing and takes no lock.
    #[expect(unsafe_code, reason = "seccomp")]
    pub(in crate::exec) unsafe fn put_on_myself(&self) -> bool {
        #[expect(clippy::cast_possible_truncation, reason = "a few dozen")]
        let program = sock_fprog { len: self.program.len() as u16, filter: self.program.as_ptr().cast_mut() };
        // SAFETY: `program` and what it points to live until the calls return; the kernel copies the filter and writes
        // nothing through the pointer.
        unsafe {
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
            let seccomp = |flags: libc::c_ulong| {
                let mode = libc::SECCOMP_SET_MODE_FILTER;
                libc::syscall(libc::SYS_seccomp, mode, flags, &raw const program)
            };
            // A signal does not interrupt a call that was looked at, or it would be begun, and looked at, again and again.
            let patient = libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
            let mut fd = seccomp(libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | patient);
            if fd < 0 && *libc::__errno_location() == libc::EINVAL {
                fd = seccomp(libc::SECCOMP_FILTER_FLAG_NEW_LISTENER);
            }
            let error = *libc::__errno_location();
            #[expect(clippy::cast_possible_truncation, reason = "descriptors are of this size")]
            let fd = if fd < 0 { -error } else { fd as c_int };
            let says = [libc::getpid(), fd];
            let written = libc::write(self.report.as_raw_fd(), says.as_ptr().cast(), size_of_val(&says));
            fd >= 0 && written == size_of_val(&says).cast_signed()
        }
    }
}

/// The filter: what has a path in it is stopped, what reaches files without one does not exist, all else passes; if it
/// is `strict`, without what gives paths another meaning.
fn program(strict: bool) -> Vec<sock_filter> {
    let statement = |code: u32, k: u32| jump(code, k, 0, 0);
    let is = |k: u32, then: u8, otherwise: u8| {
        jump(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, k, then, otherwise)
    };
    let load = |at: u32| statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, at);
    let answer = |with: u32| statement(libc::BPF_RET | libc::BPF_K, with);
    let number = |number: libc::c_long| u32::try_from(number).expect("numbers of calls are small");
    let mut program = vec![
        load(ARCHITECTURE_AT),
        // Whoever calls the kernel in another way is stopped at every call, and it is told that nobody understood them.
        is(ARCHITECTURE, 1, 0),
        answer(libc::SECCOMP_RET_USER_NOTIF),
        load(NUMBER_AT),
        jump(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K, FOREIGN, 0, 1),
        answer(libc::SECCOMP_RET_USER_NOTIF),
    ];
    for call in call::REFUSED {
        program.push(is(number(*call), 0, 1));
        program.push(answer(libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32));
    }
    for call in call::TURNING.iter().filter(|_| strict) {
        program.push(is(number(*call), 0, 1));
        program.push(answer(libc::SECCOMP_RET_ERRNO | libc::EPERM as u32));
    }
    for call in call::numbers() {
        program.push(is(number(call), 0, 1));
        program.push(answer(libc::SECCOMP_RET_USER_NOTIF));
    }
    program.push(answer(libc::SECCOMP_RET_ALLOW));
    program
}

fn jump(code: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code: u16::try_from(code).expect("codes of filters are small"), jt, jf, k }
}

/// Answers until the last process that bears the filter has ended.
fn answer_all(listener: &OwnedFd, watch: &Watch) {
    let mut plain = Plain::default();
    loop {
        let mut fds = [PollFd::new(listener, PollFlags::IN)];
        match poll(&mut fds, None) {
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(_) => return,
        }
        let events = fds[0].revents();
        if !events.contains(PollFlags::IN) {
            return;
        }
        // Gone since: it was killed.
        let Some(stopped) = receive(listener.as_fd()) else { continue };
        let answer = decide(listener.as_fd(), &stopped, watch, &mut plain);
        send(listener.as_fd(), stopped.id, &answer);
    }
}

fn decide(
    listener: BorrowedFd<'_>,
    stopped: &libc::seccomp_notif,
    watch: &Watch,
    plain: &mut Plain,
) -> Answer {
    let Some(pid) = Pid::from_raw(stopped.pid.cast_signed()) else { return Answer::Continue };
    let data = &stopped.data;
    if data.arch != ARCHITECTURE || data.nr.cast_unsigned() >= FOREIGN {
        let gap = format!("`{}` is a program of another architecture", place::command_line(pid));
        watch.record().add_gap(&gap);
        return Answer::Continue;
    }
    let flags_at = |address| {
        let mut flags = [0; 8];
        (read_memory(pid, address, &mut flags) == flags.len()).then(|| u64::from_ne_bytes(flags))
    };
    for touch in call::touches(data.nr.into(), &data.args, flags_at) {
        let Some(path) = read_path(pid, touch.path) else { continue };
        // An empty path means the open file itself, which was opened before.
        if path.is_empty() {
            continue;
        }
        let base = if path.starts_with(b"/") { Some("/".into()) } else { place::base(pid, touch.dir) };
        let Some(base) = base else { continue };
        // The number may be somebody else's by now, if the process was killed meanwhile.
        if !is_valid(listener, stopped.id) {
            return Answer::Continue;
        }
        let place = place::find(pid, &base, &path, touch.follow, &watch.root, plain);
        if !watch.touched(pid, &touch, place) {
            return Answer::Refuse(libc::EACCES);
        }
    }
    Answer::Continue
}

impl Watch {
    /// Takes down what is about to be done; whether it may be done.
    fn touched(&self, pid: Pid, touch: &Touch, place: Place) -> bool {
        let mut may = true;
        let by = || place::command_line(pid);
        for link in &place.links {
            if let Some(link) = RelPath::strip(&self.root, link) {
                may &= self.reads(&link, Some(Kind::Link), Uses { read: true, ..Uses::default() }, by);
            }
        }
        if touch.does == Use::Run
            && place.kind == Some(Kind::File)
            && let Some(interpreter) = place::interpreter(&place.path)
            && let Some(interpreter) = RelPath::strip(&self.root, &interpreter)
        {
            may &= self.reads(&interpreter, Some(Kind::File), Uses { run: true, ..Uses::default() }, by);
        }
        let Some(path) = RelPath::strip(&self.root, &place.path) else {
            if place.kind.is_some() {
                self.record().add_outside(&place.path);
            }
            return may;
        };
        let kind = place.kind;
        let none = Uses::default();
        let read = Uses { read: true, ..none };
        let absent = Uses { absent: true, ..none };
        let written = Uses { written: true, ..none };
        let removed = Uses { removed: true, ..none };
        may & match (touch.does, kind) {
            (Use::Read | Use::Run | Use::Ask | Use::ReadLink, None) => self.reads(&path, kind, absent, by),
            (Use::Read, Some(Kind::Dir)) => self.reads(&path, kind, Uses { listed: true, ..none }, by),
            // Everybody asks for the folders on the way.
            (Use::Run | Use::Ask | Use::ReadLink, Some(Kind::Dir)) => true,
            (Use::Read, Some(_)) | (Use::ReadLink, Some(Kind::Link)) => self.reads(&path, kind, read, by),
            (Use::Run, Some(_)) => self.reads(&path, kind, Uses { run: true, ..none }, by),
            (Use::Ask | Use::ReadLink, Some(_)) => self.reads(&path, kind, Uses { asked: true, ..none }, by),
            (Use::Write { makes: false, .. }, None) => self.reads(&path, kind, absent, by),
            (Use::Write { .. }, Some(Kind::Dir)) => true,
            (Use::Write { empties, reads, .. }, _) => {
                let own = empties || kind.is_none();
                let may = own || !reads || self.reads(&path, kind, read, by);
                may && self.writes(&path, kind, written, own, by)
            }
            (Use::Replace, _) => self.writes(&path, kind, written, true, by),
            (Use::Mark | Use::Remove, None) => self.reads(&path, kind, absent, by),
            (Use::MoveAway, None) => self.reads(&path, kind, absent, by),
            (Use::Mark, Some(Kind::Dir)) | (Use::MakeDir, Some(_)) => true,
            (Use::Mark, Some(_)) => self.writes(&path, kind, written, false, by),
            (Use::Remove, Some(_)) => self.writes(&path, kind, removed, false, by),
            (Use::MoveAway, Some(_)) => {
                self.reads(&path, kind, read, by) && self.writes(&path, kind, removed, false, by)
            }
            (Use::MakeDir, None) => self.writes(&path, kind, written, true, by),
        }
    }

    /// Takes down a read; whether it may be done.
    fn reads(&self, path: &RelPath, kind: Option<Kind>, uses: Uses, by: impl FnOnce() -> String) -> bool {
        let mut record = self.record();
        if record.is_own(path) {
            return true;
        }
        let content = uses.read || uses.run;
        let denied = content && self.allows.as_ref().is_some_and(|allows| !allows(path));
        record.add(path, kind, Uses { denied, ..uses }, false, by);
        !denied
    }

    fn writes(
        &self,
        path: &RelPath,
        kind: Option<Kind>,
        uses: Uses,
        own: bool,
        by: impl FnOnce() -> String,
    ) -> bool {
        self.record().add(path, kind, uses, own, by);
        true
    }
}

/// A path in the memory of a process; `None` if there is none.
fn read_path(pid: Pid, address: u64) -> Option<Vec<u8>> {
    const PAGE: u64 = 4096;
    if address == 0 {
        return None;
    }
    let mut path = Vec::new();
    let mut at = address;
    // Page by page: what follows the text may not be there.
    while path.len() <= LONGEST {
        let mut piece = [0; PAGE as usize];
        let piece = &mut piece[..usize::try_from(PAGE - at % PAGE).expect("a page is small")];
        let read = read_memory(pid, at, piece);
        let piece = &piece[..read];
        if let Some(end) = piece.iter().position(|byte| *byte == 0) {
            path.extend_from_slice(&piece[..end]);
            return Some(path);
        }
        if read == 0 {
            return None;
        }
        path.extend_from_slice(piece);
        at += read as u64;
    }
    None
}

/// Copies from the memory of a process; how many bytes it were.
#[expect(unsafe_code, reason = "process_vm_readv")]
fn read_memory(pid: Pid, address: u64, into: &mut [u8]) -> usize {
    let Ok(there) = usize::try_from(address) else { return 0 };
    let local = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    let remote = libc::iovec { iov_base: std::ptr::without_provenance_mut(there), iov_len: into.len() };
    // SAFETY: the kernel writes at most `into.len()` bytes to `into`; the other address is only used in the other process.
    let read = unsafe {
        libc::process_vm_readv(pid.as_raw_nonzero().get(), &raw const local, 1, &raw const remote, 1, 0)
    };
    usize::try_from(read).unwrap_or(0)
}

/// Asks the kernel to run the thread that answers on the core of the process that waits for it: they take turns anyway. An
/// older one (before 6.6) does not know how.
#[expect(unsafe_code, reason = "seccomp's ioctls")]
fn wake_in_step(listener: BorrowedFd<'_>) {
    const SYNC_WAKE_UP: libc::c_ulong = 1;
    // SAFETY: the kernel takes the number itself, and no pointer.
    unsafe {
        libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SET_FLAGS, SYNC_WAKE_UP);
    }
}

/// The next call that was stopped.
#[expect(unsafe_code, reason = "seccomp's ioctls")]
fn receive(listener: BorrowedFd<'_>) -> Option<libc::seccomp_notif> {
    let mut stopped = MaybeUninit::<libc::seccomp_notif>::zeroed();
    // SAFETY: the kernel wants zeroes there, and writes a whole structure; all zeroes is a valid value of it.
    unsafe {
        let result = libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV, stopped.as_mut_ptr());
        (result == 0).then(|| stopped.assume_init())
    }
}

/// Whether the process still waits for its answer.
#[expect(unsafe_code, reason = "seccomp's ioctls")]
fn is_valid(listener: BorrowedFd<'_>, id: u64) -> bool {
    // SAFETY: the kernel reads the number.
    unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_ID_VALID, &raw const id) == 0 }
}

/// Lets a call go on, or not. A process that was killed meanwhile wants no answer.
#[expect(unsafe_code, reason = "seccomp's ioctls")]
fn send(listener: BorrowedFd<'_>, id: u64, answer: &Answer) {
    let (error, flags) = match answer {
        #[expect(clippy::cast_possible_truncation, reason = "it is 1")]
        Answer::Continue => (0, libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32),
        Answer::Refuse(error) => (-error, 0),
    };
    let mut response = libc::seccomp_notif_resp { id, val: 0, error, flags };
    // SAFETY: the kernel reads the structure, and may write it.
    unsafe {
        libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, &raw mut response);
    }
}
