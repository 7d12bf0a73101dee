//! What processes take: time on the processors and memory.

use std::iter::Sum;
use std::time::Duration;

use rustix::process::Pid;

/// What some processes take together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Usage {
    /// How many there are.
    pub processes: u32,
    /// The time they had on a processor since they began.
    pub cpu: Duration,
    /// The bytes of memory that are resident. What several share counts for each.
    pub memory: u64,
}

impl Sum for Usage {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, one| Self {
            processes: sum.processes + one.processes,
            cpu: sum.cpu + one.cpu,
            memory: sum.memory + one.memory,
        })
    }
}

/// What one process takes; nothing if it has ended, or where the system does not say.
pub(super) fn of(pid: Pid) -> Usage {
    let pid = pid.as_raw_nonzero();
    let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).ok();
    // The name stands in brackets and may hold anything; what follows the last bracket is numbers.
    let Some(stat) = read("stat") else { return Usage::default() };
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let field = |at: usize| fields.split_whitespace().nth(at).and_then(|field| field.parse::<u64>().ok());
    let ticks = field(11).unwrap_or(0) + field(12).unwrap_or(0);
    let pages = read("statm").and_then(|text| text.split_whitespace().nth(1)?.parse::<u64>().ok());
    Usage {
        processes: 1,
        cpu: clock(pid.get()).unwrap_or_else(|| {
            Duration::from_millis(ticks.saturating_mul(1000) / rustix::param::clock_ticks_per_second())
        }),
        memory: pages.unwrap_or(0).saturating_mul(rustix::param::page_size() as u64),
    }
}

/// The time that a process had on a processor, to the nanosecond: `stat` counts in hundredths of a second, which is a
/// tenth of what a look a moment later is to see.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "no library asks for the clock of another process")]
fn clock(pid: i32) -> Option<Duration> {
    let (mut clock, mut time) = (0, libc::timespec { tv_sec: 0, tv_nsec: 0 });
    // SAFETY: both are written to places of our own that outlive the calls, and read only if the calls succeeded.
    let asked = unsafe {
        libc::clock_getcpuclockid(pid, &raw mut clock) == 0 && libc::clock_gettime(clock, &raw mut time) == 0
    };
    let seconds = u64::try_from(time.tv_sec).ok().filter(|_| asked)?;
    Some(Duration::new(seconds, u32::try_from(time.tv_nsec).ok()?))
}

#[cfg(not(target_os = "linux"))]
fn clock(_pid: i32) -> Option<Duration> {
    None
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    #[test]
    fn this_process_takes_something() {
        let usage = of(rustix::process::getpid());
        assert_eq!(usage.processes, 1);
        assert!(usage.memory > 1 << 20, "{usage:?}");
        assert!(usage.cpu > Duration::ZERO && of(rustix::process::getpid()).cpu > usage.cpu, "{usage:?}");
    }
}
