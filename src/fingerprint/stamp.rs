//! When a stat can be believed: git's racy rule, with the file system's own clock.
//!
//! A file system stamps changes with a clock that may tick only every few milliseconds (Linux before 6.13), or every two
//! seconds (FAT). A file that is read in the tick in which it was changed can be changed again in the same tick, to the
//! same size, and keep its stat. So an entry whose change time is not older than the moment of reading by more than one
//! tick is not believed the next time: the content is read again.
//!
//! Newer file systems give every change that follows a look its own stamp. Where a probe shows that, every entry is
//! believed, because a file is always looked at before it is read.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::base::fs::Stat;

/// The longest tick of a file system that stamps with nanoseconds: ten milliseconds, and a margin.
const TICK_NS: i64 = 40_000_000;
/// The longest tick of one that stamps with whole seconds.
const COARSE_TICK_NS: i64 = 2_000_000_000;

/// The clock that stamps the files of a checkout.
#[derive(Debug)]
pub(super) struct StampClock {
    /// What the file system's clock is ahead of ours (a network file system has its server's).
    offset_ns: i64,
    /// The device on which every change that follows a look gets a stamp of its own.
    distinct: Option<u64>,
    /// The file that is changed to see what stamp it gets, and its device.
    probe: Option<(File, u64)>,
}

/// A moment that every later change is stamped with or after.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    ns: i64,
    /// The device whose clock it is; elsewhere it may be off by a tick.
    dev: Option<u64>,
}

impl StampClock {
    /// Finds out by changing a file of our own in `folder`; if that is not possible, believes our own clock.
    pub(super) fn probe(folder: &Path) -> Self {
        probe(&folder.join("clock")).unwrap_or(Self { offset_ns: 0, distinct: None, probe: None })
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

    /// The stamp that a change gets now.
    pub(super) fn moment(&self) -> Moment {
        let stamp = self.probe.as_ref().and_then(|(file, dev)| Some((stamp(file)?.ctime_ns, *dev)));
        match stamp {
            Some((ns, dev)) => Moment { ns, dev: Some(dev) },
            None => Moment { ns: self.now_ns(), dev: None },
        }
    }

    /// The stamp that a change got at a time of our own clock.
    pub(super) fn moment_of(&self, time: SystemTime) -> Moment {
        Moment { ns: ns_of(time).saturating_add(self.offset_ns), dev: None }
    }

    /// Whether a file may have changed after a moment. One that changed in the same tick before it may have, too.
    pub(super) fn changed_since(&self, stat: &Stat, moment: Moment) -> bool {
        let slack = if moment.dev == Some(stat.dev) { 0 } else { tick_ns(stat) };
        stat.ctime_ns >= moment.ns.saturating_sub(slack)
    }
}

/// Changes the probe and looks at its stamp.
fn stamp(file: &File) -> Option<Stat> {
    file.write_all_at(b"envrun\n", 0).ok()?;
    Some(Stat::from(rustix::fs::fstat(file).ok()?))
}

fn tick_ns(stat: &Stat) -> i64 {
    if stat.ctime_ns % 1_000_000_000 == 0 { COARSE_TICK_NS } else { TICK_NS }
}

fn system_ns() -> i64 {
    ns_of(SystemTime::now())
}

fn ns_of(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

fn probe(path: &Path) -> Option<StampClock> {
    let file = File::options().write(true).create(true).truncate(false).open(path).ok()?;
    let began = Instant::now();
    let mut stamps = [0; 5];
    let mut dev = 0;
    for one in &mut stamps {
        let stat = stamp(&file)?;
        *one = stat.ctime_ns;
        dev = stat.dev;
    }
    let offset_ns = stamps[4].saturating_sub(system_ns());
    // Four ticks cannot pass in two milliseconds, so four different stamps are stamps of their own.
    let quick = began.elapsed() < Duration::from_millis(2);
    let distinct = (quick && stamps.windows(2).all(|pair| pair[0] < pair[1])).then_some(dev);
    // A clock that is off by less than a tick is ours, seen at another moment.
    let offset_ns = if offset_ns.abs() < TICK_NS { 0 } else { offset_ns };
    Some(StampClock { offset_ns, distinct, probe: Some((file, dev)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(ctime_ns: i64, dev: u64) -> Stat {
        Stat { ctime_ns, dev, ..Stat::default() }
    }

    #[test]
    fn a_stamp_in_the_tick_of_the_reading_is_not_believed() {
        let clock = StampClock { offset_ns: 0, distinct: None, probe: None };
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
        let clock = StampClock { offset_ns: 0, distinct: Some(1), probe: None };
        assert!(clock.trusts(&stat(100, 1), 100));
        assert!(!clock.trusts(&stat(101, 2), 101));
        let moment = Moment { ns: 10 * TICK_NS, dev: Some(1) };
        assert!(clock.changed_since(&stat(10 * TICK_NS, 1), moment));
        assert!(!clock.changed_since(&stat(10 * TICK_NS - 1, 1), moment));
        assert!(clock.changed_since(&stat(10 * TICK_NS - 1, 2), moment), "another device's clock");
    }

    #[test]
    fn the_probe_tells_a_real_file_systems_clock() {
        let dir = tempfile::tempdir().unwrap();
        let clock = StampClock::probe(dir.path());
        std::fs::write(dir.path().join("x"), "x").unwrap();
        let root = crate::base::fs::Root::open(dir.path()).unwrap();
        let stat = root.stat(b"x").unwrap().unwrap();
        assert!((clock.now_ns() - stat.ctime_ns).abs() < 1_000_000_000);
        let before = clock.moment();
        std::fs::write(dir.path().join("y"), "y").unwrap();
        let stat = root.stat(b"y").unwrap().unwrap();
        assert!(clock.changed_since(&stat, before));
    }
}
