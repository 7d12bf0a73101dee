//! When a stat can be believed: git's racy rule, with the file system's own clock.
//!
//! A file system stamps changes with a clock that may tick only every few milliseconds (Linux before 6.13), or every two
//! seconds (FAT). A file that is read in the tick in which it was changed can be changed again in the same tick, to the
//! same size, and keep its stat. So an entry whose change time is not older than the moment of reading by more than one
//! tick is not believed the next time: the content is read again.
//!
//! Newer file systems give every change that follows a look its own stamp. Where a probe shows that, every entry is
//! believed, because a file is always looked at before it is read.

use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::base::fs::Stat;

/// The longest tick of a file system that stamps with nanoseconds: ten milliseconds, and a margin.
const TICK_NS: i64 = 40_000_000;
/// The longest tick of one that stamps with whole seconds.
const COARSE_TICK_NS: i64 = 2_000_000_000;

/// The clock that stamps the files of a checkout.
#[derive(Debug, Clone, Copy)]
pub(super) struct StampClock {
    /// What the file system's clock is ahead of ours (a network file system has its server's).
    offset_ns: i64,
    /// The device on which every change that follows a look gets a stamp of its own.
    distinct: Option<u64>,
}

impl StampClock {
    /// Finds out by changing a file of our own in `folder`; if that is not possible, believes our own clock.
    pub(super) fn probe(folder: &Path) -> Self {
        probe(&folder.join("clock")).unwrap_or(Self { offset_ns: 0, distinct: None })
    }

    /// The file system's time now.
    pub(super) fn now_ns(&self) -> i64 {
        system_ns().saturating_add(self.offset_ns)
    }

    /// Whether the content read at `read_ns` (a [`Self::now_ns`] from before the reading, after the stat) is the content
    /// of every file with this stat.
    pub(super) fn trusts(&self, stat: &Stat, read_ns: i64) -> bool {
        self.distinct == Some(stat.dev) || stat.ctime_ns < read_ns.saturating_sub(tick_ns(stat))
    }

    /// Whether a file may have changed at `moment_ns` or later. It was not looked at before, so its stamp may be a tick old
    /// on any file system.
    pub(super) fn changed_since(&self, stat: &Stat, moment_ns: i64) -> bool {
        stat.ctime_ns >= moment_ns.saturating_sub(tick_ns(stat))
    }
}

fn tick_ns(stat: &Stat) -> i64 {
    if stat.ctime_ns % 1_000_000_000 == 0 { COARSE_TICK_NS } else { TICK_NS }
}

fn system_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

fn probe(path: &Path) -> Option<StampClock> {
    let file = std::fs::File::options().write(true).create(true).truncate(false).open(path).ok()?;
    let began = Instant::now();
    let mut stamps = [0; 5];
    let mut dev = 0;
    for stamp in &mut stamps {
        file.write_all_at(b"envrun\n", 0).ok()?;
        let stat = Stat::from(rustix::fs::fstat(&file).ok()?);
        *stamp = stat.ctime_ns;
        dev = stat.dev;
    }
    let offset_ns = stamps[4].saturating_sub(system_ns());
    // Four ticks cannot pass in two milliseconds, so four different stamps are stamps of their own.
    let quick = began.elapsed() < Duration::from_millis(2);
    let distinct = (quick && stamps.windows(2).all(|pair| pair[0] < pair[1])).then_some(dev);
    // A clock that is off by less than a tick is ours, seen at another moment.
    let offset_ns = if offset_ns.abs() < TICK_NS { 0 } else { offset_ns };
    Some(StampClock { offset_ns, distinct })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(ctime_ns: i64, dev: u64) -> Stat {
        Stat { ctime_ns, dev, ..Stat::default() }
    }

    #[test]
    fn a_stamp_in_the_tick_of_the_reading_is_not_believed() {
        let clock = StampClock { offset_ns: 0, distinct: None };
        let read = 10_000_000_001;
        assert!(clock.trusts(&stat(read - TICK_NS - 1, 1), read));
        assert!(!clock.trusts(&stat(read - TICK_NS, 1), read));
        assert!(!clock.trusts(&stat(read, 1), read));
        assert!(!clock.trusts(&stat(read + 1_000_000_000_000, 1), read), "from the future");
        assert!(!clock.trusts(&stat(9_000_000_000, 1), read), "whole seconds");
        assert!(clock.trusts(&stat(7_000_000_000, 1), read), "whole seconds, long ago");
    }

    #[test]
    fn distinct_stamps_are_believed_on_their_own_device() {
        let clock = StampClock { offset_ns: 0, distinct: Some(1) };
        assert!(clock.trusts(&stat(100, 1), 100));
        assert!(!clock.trusts(&stat(101, 2), 101));
        assert!(clock.changed_since(&stat(TICK_NS + 1, 1), TICK_NS + 2));
        assert!(!clock.changed_since(&stat(1, 1), TICK_NS + 2));
    }

    #[test]
    fn the_probe_tells_a_real_file_systems_clock() {
        let dir = tempfile::tempdir().unwrap();
        let clock = StampClock::probe(dir.path());
        std::fs::write(dir.path().join("x"), "x").unwrap();
        let root = crate::base::fs::Root::open(dir.path()).unwrap();
        let stat = root.stat(b"x").unwrap().unwrap();
        assert!((clock.now_ns() - stat.ctime_ns).abs() < 1_000_000_000);
    }
}
