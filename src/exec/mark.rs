//! The birthmark: a number that every process of a run inherits, and does not lose by accident.
//!
//! A process can leave its group, its session and its parents, close what it inherited and empty its environment, and
//! it still belongs to the command that started it. What it cannot help keeping is its resource limits. One of
//! them, the soft limit on the time a real-time process may run without a pause (`RLIMIT_RTTIME`, microseconds), means
//! nothing to ordinary processes and nothing to anybody above a few seconds; so envrun writes a number of a hundred
//! thousand years there: 33 bits that tell the run, 4 how many runs it is one of a command of which is the next, and 24 that tell
//! the command. Everybody may read it in `/proc/PID/limits`, and everybody may take it off again.
//!
//! Linux alone; elsewhere there are only process groups to go by.

/// Set in every mark: makes the limit so high that it limits nothing, and tells it from "unlimited".
const PRESENT: u64 = 1 << 62;
/// Set in the mark of a guardian, which nobody ends but its own run.
const GUARDIAN: u64 = 1 << 61;
const COMMAND_BITS: u32 = 24;
const COMMANDS: u64 = (1 << COMMAND_BITS) - 1;
const RUN_BITS: u32 = 33;
const RUNS: u64 = (1 << RUN_BITS) - 1;

/// So many runs may each be started by a command of the one before.
pub(super) const MOST_RUNS: u64 = 15;

/// Which command of a run: from 1.
pub(super) type Number = u32;

/// The part of a mark that tells the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RunId {
    number: u64,
    /// From 1: how many runs there are from the outermost one to this.
    depth: u64,
}

/// What a process bears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark(u64);

impl RunId {
    /// A new one, unlike all others by chance alone.
    pub(super) fn random() -> Self {
        use std::hash::{BuildHasher, Hasher};
        let number = std::hash::RandomState::new().build_hasher().finish() & RUNS;
        Self { number, depth: Mark::of_myself().map_or(0, Mark::depth) + 1 }
    }

    /// Whether there are so many that it is no accident any more.
    pub(super) fn is_too_deep(self) -> bool {
        self.depth > MOST_RUNS
    }

    /// The mark of a command of this run.
    pub(super) fn mark(self, number: Number) -> Mark {
        let run = (self.depth.min(MOST_RUNS) << RUN_BITS) | self.number;
        Mark(PRESENT | (run << COMMAND_BITS) | (u64::from(number) & COMMANDS))
    }

    /// The mark of this run's guardian.
    pub(super) fn guardian(self) -> Mark {
        Mark(self.mark(0).0 | GUARDIAN)
    }

    /// The number of the `count`th command, counted from 0.
    pub(super) fn number(count: u64) -> Number {
        u32::try_from(count % COMMANDS).expect("24 bits are fewer than 32") + 1
    }
}

impl Mark {
    /// The mark that this limit is, if it is one.
    #[cfg(any(target_os = "linux", test))]
    pub(super) fn from_limit(limit: u64) -> Option<Self> {
        (limit & PRESENT != 0 && limit >> 63 == 0).then_some(Self(limit))
    }

    /// Which command of `run` bears it; `None` on a stranger, and on any guardian.
    pub(super) fn of(self, run: RunId) -> Option<Number> {
        let own = self.0 & GUARDIAN == 0 && (self.0 >> COMMAND_BITS) & RUNS == run.number;
        own.then(|| u32::try_from(self.0 & COMMANDS).expect("24 bits are fewer than 32"))
    }

    /// How many runs there are from the outermost one to that whose command bears it.
    fn depth(self) -> u64 {
        (self.0 >> (COMMAND_BITS + RUN_BITS)) & MOST_RUNS
    }

    /// That of the calling process.
    #[cfg(target_os = "linux")]
    fn of_myself() -> Option<Self> {
        Self::from_limit(rustix::process::getrlimit(rustix::process::Resource::Rttime).current?)
    }

    /// There is no such thing here.
    #[cfg(not(target_os = "linux"))]
    fn of_myself() -> Option<Self> {
        None
    }

    /// Whether a guardian, of this run or another, bears it.
    pub(super) fn is_guardian(self) -> bool {
        self.0 & GUARDIAN != 0
    }

    /// The calling process bears it from now on, and all that it starts. Never allocates.
    ///
    /// Nobody limits this in earnest; where somebody does, it fails, and there are only process groups to go by.
    #[cfg(target_os = "linux")]
    pub(super) fn put_on_myself(self) {
        use rustix::process::{Resource, Rlimit, setrlimit};
        let _ = setrlimit(Resource::Rttime, Rlimit { current: Some(self.0), maximum: None });
    }

    /// There is no such thing here.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn put_on_myself(self) {}
}

/// The mark in the text of `/proc/PID/limits`. Never allocates.
#[cfg(any(target_os = "linux", test))]
pub(super) fn in_limits(text: &[u8]) -> Option<Mark> {
    const LINE: &[u8] = b"Max realtime timeout";
    let at = text.windows(LINE.len()).position(|window| window == LINE)?;
    let mut limit: u64 = 0;
    let digits = text[at + LINE.len()..].iter().skip_while(|byte| **byte == b' ');
    for digit in digits.take_while(|byte| byte.is_ascii_digit()) {
        limit = limit.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
    }
    Mark::from_limit(limit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_mark_tells_its_run_and_command(
            count: u64,
            run in 0..=RUNS,
            other in 0..=RUNS,
            depth in 1..=MOST_RUNS,
        ) {
            let (run, other) = (RunId { number: run, depth }, RunId { number: other, depth });
            let number = RunId::number(count);
            let Mark(limit) = run.mark(number);
            let text = format!(
                "Limit                     Soft Limit           Hard Limit           Units     \n\
                 Max realtime priority     0                    0                    \n\
                 Max realtime timeout      {limit:<20} unlimited            us        \n"
            );
            let mark = in_limits(text.as_bytes()).unwrap();
            prop_assert_eq!(mark.of(run), Some(number));
            prop_assert_eq!(mark.of(other).is_some(), run == other);
            prop_assert_eq!(mark.depth(), depth);
            prop_assert!(!mark.is_guardian());
            let guardian = run.guardian();
            prop_assert!(guardian.is_guardian());
            prop_assert_eq!(guardian.of(run), None);
        }
    }

    #[test]
    fn what_is_no_mark_is_none() {
        let line = |limit| format!("Max realtime timeout      {limit:<20} unlimited            us\n");
        assert_eq!(in_limits(line("unlimited").as_bytes()), None);
        assert_eq!(in_limits(line("200000").as_bytes()), None);
        assert_eq!(in_limits(line("18446744073709551615").as_bytes()), None);
        assert_eq!(in_limits(b""), None);
    }
}
