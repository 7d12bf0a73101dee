//! One command that is running: what can be asked of it, and done to it.

use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitIdStatus, WaitOptions};

use super::mark::{Number, RunId};
use super::{Io, Processes, tree};

/// A command that is running; no longer one of the [`Processes`] when dropped.
#[derive(Debug)]
pub(super) struct Running<'a> {
    pub(super) processes: &'a Processes,
    pub(super) number: Number,
    pub(super) pid: Pid,
    pub(super) io: Io,
}

impl Running<'_> {
    /// How its first process has ended, once; `None` while it runs.
    pub(super) fn reap(&self) -> Option<Result<WaitIdStatus, Errno>> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        self.processes
            .reap(self.number, || rustix::process::waitid(WaitId::Pid(self.pid), options).transpose())
    }

    /// Whether it was told to end.
    pub(super) fn is_cancelled(&self) -> bool {
        self.processes.is_cancelled(self.number)
    }

    /// The time, on a clock that stands still while the run does.
    pub(super) fn now(&self) -> Instant {
        self.processes.now()
    }

    /// Asks it to end: its group, or its first process if it shares envrun's. Before it is reaped.
    pub(super) fn terminate(&self) {
        match self.io {
            Io::Captured => end_group(self.pid, Signal::TERM),
            Io::Inherited => {
                end(self.pid, Signal::TERM);
            }
        }
    }

    /// Kills it and all that descends from it. Before it is reaped.
    pub(super) fn kill(&self) {
        if self.io == Io::Captured {
            end_group(self.pid, Signal::KILL);
        }
        end(self.pid, Signal::KILL);
        for seen in tree::belonging_to(self.processes.run(), &[(self.number, Some(self.pid))]) {
            end(seen.pid, Signal::KILL);
        }
    }

    /// Whether something is left in its group after its first process was reaped. Reaps what has ended.
    pub(super) fn group_is_alive(&self) -> bool {
        if self.io == Io::Inherited {
            return false;
        }
        // Orphans of the group became children of envrun.
        while let Ok(Some(_)) = rustix::process::waitpgid(self.pid, WaitOptions::NOHANG) {}
        rustix::process::test_kill_process_group(self.pid) != Err(Errno::SRCH)
    }

    /// Sends a signal to what is left of its group; whether there was something.
    pub(super) fn signal_group(&self, signal: Signal) -> bool {
        self.io == Io::Captured && rustix::process::kill_process_group(self.pid, signal).is_ok()
    }

    /// Whether everything that is left in its group has ended, and waits for a parent outside to ask how.
    pub(super) fn group_is_dead(&self) -> bool {
        let mut alive = false;
        let group = self.pid.as_raw_nonzero().get();
        tree::each(&mut |seen| alive |= seen.group == group && !seen.zombie);
        !alive
    }

    /// Whether what left its group may stay if it ended well.
    pub(super) fn spares(&self) -> bool {
        self.processes.spares()
    }

    /// It ended well: what left its group may stay.
    pub(super) fn release(&self) {
        self.processes.release(self.number);
    }

    /// It did not end well: ends what left its group.
    pub(super) fn end_strays(&self, patience: Duration) {
        if tree::any_bears(self.processes.run(), self.number, self.pid) {
            end_strays(self.processes.run(), self.number, patience);
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.processes.leave(self.number);
    }
}

/// Ends everything that bears this number: SIGTERM, and SIGKILL after `patience`, until nothing is left.
fn end_strays(run: RunId, number: Number, patience: Duration) {
    let since = Instant::now();
    let mut told = false;
    // What is stuck in the kernel cannot be ended; a few seconds are enough to tell.
    while since.elapsed() < patience + Duration::from_secs(5) {
        let mut strays = tree::belonging_to(run, &[(number, None)]);
        for ended in strays.extract_if(.., |stray| stray.zombie) {
            let _ = rustix::process::waitpid(Some(ended.pid), WaitOptions::NOHANG);
        }
        let kill = since.elapsed() >= patience;
        if kill || !told {
            let signal = if kill { Signal::KILL } else { Signal::TERM };
            strays.retain(|stray| end(stray.pid, signal));
        }
        told = true;
        if strays.is_empty() {
            return;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Signals a process that is to end; whether that may be done: what became somebody else's (`sudo`) is his affair. One
/// that is stopped is continued, or it would not notice.
pub(super) fn end(pid: Pid, signal: Signal) -> bool {
    let sent = rustix::process::kill_process(pid, signal);
    if signal != Signal::KILL {
        let _ = rustix::process::kill_process(pid, Signal::CONT);
    }
    sent != Err(Errno::PERM)
}

/// Signals a process group that is to end.
pub(super) fn end_group(group: Pid, signal: Signal) {
    let _ = rustix::process::kill_process_group(group, signal);
    if signal != Signal::KILL {
        let _ = rustix::process::kill_process_group(group, Signal::CONT);
    }
}
