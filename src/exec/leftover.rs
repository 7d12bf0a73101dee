//! Processes of an earlier envrun that are still there: known by number and moment of birth, so that a number that was
//! handed out again never costs a stranger its life.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use super::Usage;
use crate::base::Identity;

impl Identity {
    fn number(&self) -> Option<Pid> {
        i32::try_from(self.pid).ok().and_then(Pid::from_raw)
    }

    /// Ends it, its process group, and everything that bears the same mark: SIGTERM, and SIGKILL after `patience`.
    /// Whether it was there.
    pub fn end(&self, patience: Duration) -> bool {
        let Some(pid) = self.number() else { return false };
        if !self.is_alive() {
            return false;
        }
        let family = super::tree::family(pid);
        for (signal, patience) in [(Signal::TERM, patience), (Signal::KILL, Duration::from_secs(5))] {
            for member in &family {
                if member.is_alive()
                    && let Some(pid) = member.number()
                {
                    let _ = rustix::process::kill_process(pid, signal);
                }
            }
            let until = Instant::now() + patience;
            while family.iter().any(Self::is_alive) && Instant::now() < until {
                std::thread::sleep(Duration::from_millis(5));
            }
            if !family.iter().any(Self::is_alive) {
                break;
            }
        }
        true
    }
}

/// What each of these and everything that belongs to it take at this moment, process by process; nothing if it is gone.
pub fn usages(processes: &[Identity]) -> Vec<Vec<(Identity, Usage)>> {
    let alive = |process: &Identity| process.number().filter(|_| process.is_alive());
    let pids: Vec<Option<Pid>> = processes.iter().map(alive).collect();
    let mut families = super::tree::families(&pids.iter().flatten().copied().collect::<Vec<_>>()).into_iter();
    let usage = |member: Identity| Some((member, super::usage::of(member.number()?)));
    let family = |pid: &Option<Pid>| pid.and_then(|_| families.next()).unwrap_or_default();
    pids.iter().map(family).map(|family| family.into_iter().filter_map(usage).collect()).collect()
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_was_handed_out_again_is_a_stranger() {
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let identity = Identity::of(child.id()).unwrap();
        let stranger = Identity { born: identity.born + 1, ..identity };
        assert!(!stranger.is_alive());
        assert!(!stranger.end(Duration::ZERO));
        assert!(identity.is_alive());
        let waits = std::thread::spawn(move || child.wait().unwrap());
        assert!(identity.end(Duration::from_secs(5)));
        assert!(!waits.join().unwrap().success());
        assert!(!identity.is_alive());
    }
}
