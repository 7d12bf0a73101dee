//! The terminal's modes while single keys steer: taken, lent to commands and to the shell, and always given back.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::exec::TerminalGuard;
use rustix::event::{PollFd, PollFlags};
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios};

/// Whether keys arrive one by one and are not shown. Every clone speaks of the same terminal: standard input.
#[derive(Debug, Clone, Default)]
pub struct Keys(Arc<(Mutex<Hold>, Condvar)>);

#[derive(Debug, Default)]
struct Hold {
    /// The modes as they were, while they are ours.
    before: Option<Termios>,
    /// Somebody else has the terminal for a while.
    away: bool,
    /// There are panes on a screen of their own.
    panes: bool,
    /// Puts all in order if envrun is killed meanwhile.
    guard: Option<TerminalGuard>,
}

impl Keys {
    /// From now on keys arrive one by one; whether that could be done.
    pub fn take(&self) -> bool {
        let mut hold = self.hold();
        if hold.before.is_none() && is_ours() {
            hold.before = rustix::termios::tcgetattr(rustix::stdio::stdin()).ok();
            hold.guard = hold.before.as_ref().and_then(|before| {
                let words = if hold.panes { crate::report::EMERGENCY } else { crate::report::ABANDONED };
                // Without it only a `kill -9` is not put in order.
                TerminalGuard::start(before, &ours(before), words).ok()
            });
            hold.set();
        }
        hold.before.is_some()
    }

    /// The modes are as they were before, for good.
    pub fn give_back(&self) {
        let mut hold = self.hold();
        hold.reset();
        (hold.before, hold.guard) = (None, None);
        self.0.1.notify_all();
    }

    /// There are panes on a screen of their own.
    pub fn note_panes(&self) {
        self.hold().panes = true;
    }

    /// Everything is as it was before, for there is a bug and no time: also if whoever has it is in the middle of something.
    pub fn emergency(&self) {
        let Ok(hold) = self.0.0.try_lock() else { return };
        hold.reset();
        if hold.panes {
            let _ = std::io::Write::write_all(&mut std::io::stderr(), crate::report::EMERGENCY);
        }
    }

    /// The modes are as they were before, until [`Self::come_back`].
    pub fn leave(&self) {
        let mut hold = self.hold();
        hold.reset();
        hold.away = true;
    }

    /// The terminal is ours again, if envrun is in the foreground.
    pub fn come_back(&self) {
        let mut hold = self.hold();
        hold.away = false;
        hold.set();
        self.0.1.notify_all();
    }

    /// Somebody may have set other modes while envrun was stopped.
    pub fn renew(&self) {
        self.hold().set();
        self.0.1.notify_all();
    }

    /// The next keys; `None` when there will be none any more.
    pub fn next(&self) -> Option<Vec<u8>> {
        loop {
            let stdin = rustix::stdio::stdin();
            let mut waited = [PollFd::new(&stdin, PollFlags::IN)];
            match rustix::event::poll(&mut waited, None) {
                Err(rustix::io::Errno::INTR) => continue,
                Err(_) => return None,
                Ok(_) => {}
            }
            let is_gone = waited[0].revents().intersects(PollFlags::HUP | PollFlags::ERR);
            let hold = self.hold();
            hold.before.as_ref()?;
            if hold.away || !is_ours() {
                if is_gone {
                    return None;
                }
                // They are meant for somebody else, who will read them.
                const AGAIN: Duration = Duration::from_millis(100);
                drop(self.0.1.wait_timeout(hold, AGAIN));
                continue;
            }
            let mut keys = vec![0; 64];
            // Nobody can lend the terminal meanwhile. A key that came before a Ctrl-Z was dropped with it, perhaps in this
            // very moment: VMIN says that nothing is waited for.
            let count = rustix::io::read(stdin, &mut keys);
            drop(hold);
            match count {
                Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
                Ok(0) if !is_gone => {}
                Err(_) | Ok(0) => return None,
                Ok(count) => {
                    keys.truncate(count);
                    return Some(keys);
                }
            }
        }
    }

    fn hold(&self) -> MutexGuard<'_, Hold> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hold {
    fn set(&self) {
        let Some(before) = self.before.as_ref().filter(|_| !self.away && is_ours()) else { return };
        // Told first: it is a mistake to miss the moment, and none to look for nothing.
        self.guard.iter().for_each(|guard| guard.set(true));
        // A terminal that is gone has no modes.
        let _ = rustix::termios::tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, &ours(before));
    }

    fn reset(&self) {
        if let Some(before) = self.before.as_ref().filter(|_| !self.away && is_ours()) {
            let _ = rustix::termios::tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, before);
        }
        self.guard.iter().for_each(|guard| guard.set(false));
    }
}

/// The modes while keys arrive one by one, and who reads where there is none waits for none. Ctrl-C and Ctrl-Z go on
/// meaning what they mean.
fn ours(before: &Termios) -> Termios {
    let mut modes = before.clone();
    modes.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
    modes.special_codes[SpecialCodeIndex::VMIN] = 0;
    modes.special_codes[SpecialCodeIndex::VTIME] = 0;
    modes
}

/// Whether envrun is in the foreground of the terminal: whoever is not is stopped for reading or setting modes.
fn is_ours() -> bool {
    rustix::termios::tcgetpgrp(rustix::stdio::stdin()).is_ok_and(|group| group == rustix::process::getpgrp())
}
