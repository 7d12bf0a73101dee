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
        cpu: Duration::from_millis(ticks.saturating_mul(1000) / rustix::param::clock_ticks_per_second()),
        memory: pages.unwrap_or(0).saturating_mul(rustix::param::page_size() as u64),
    }
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
    }
}
