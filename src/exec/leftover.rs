//! Processes of an earlier envrun that are still there: known by number and moment of birth, so that a number that was
//! handed out again never costs a stranger its life.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use super::Usage;

/// Which process: its number, and when it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Identity {
    /// Its number.
    pub pid: u32,
    /// When it began, in ticks since the machine was started; 0 where the system does not say.
    pub born: u64,
    /// When the machine was started, in seconds since the epoch; 0 where the system does not say.
    pub boot: u64,
}

impl Identity {
    /// The process that has this number now.
    pub fn of(pid: u32) -> Option<Self> {
        look(pid).map(|(born, _)| Self { pid, born, boot: boot() })
    }

    /// The calling process.
    pub fn own() -> Self {
        let pid = std::process::id();
        Self::of(pid).unwrap_or(Self { pid, born: 0, boot: 0 })
    }

    /// Whether this very process is alive.
    pub fn is_alive(&self) -> bool {
        // The second of the boot is worked out from the clock, which may be set meanwhile.
        look(self.pid).is_some_and(|(born, zombie)| {
            !zombie && born == self.born && self.boot.abs_diff(boot()) <= 2 * 24 * 60 * 60
        })
    }

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

/// When the process began, and whether it has ended and only waits to be asked how.
#[cfg(target_os = "linux")]
fn look(pid: u32) -> Option<(u64, bool)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    Some((fields.nth(18)?.parse().ok()?, matches!(state, "Z" | "X" | "x")))
}

/// All that can be asked everywhere is whether there is one.
#[cfg(not(target_os = "linux"))]
fn look(pid: u32) -> Option<(u64, bool)> {
    let pid = Pid::from_raw(i32::try_from(pid).ok()?)?;
    rustix::process::test_kill_process(pid).is_ok().then_some((0, false))
}

/// When the machine was started.
#[cfg(target_os = "linux")]
fn boot() -> u64 {
    let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("btime "));
    line.and_then(|seconds| seconds.trim().parse().ok()).unwrap_or(0)
}

#[cfg(not(target_os = "linux"))]
fn boot() -> u64 {
    0
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
