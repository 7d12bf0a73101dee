//! When a schedule is due.

use std::time::Duration;

use jiff::tz::TimeZone;

use crate::base::{Cron, Digest, Timestamp};
use crate::model::{Schedule, Times};

/// The times of one schedule.
#[derive(Debug, Clone)]
pub struct Due {
    times: Kind,
    jitter: Duration,
    /// What its jitter is drawn from.
    key: String,
}

#[derive(Debug, Clone)]
enum Kind {
    Cron { cron: Box<Cron>, zone: TimeZone },
    Every(u64),
}

impl Due {
    /// The times of a schedule; `None` if its expression or its zone is not known, which loading would have said.
    pub fn of(schedule: &Schedule) -> Option<Self> {
        let times = match &schedule.times {
            Times::Cron { cron, tz } => {
                Kind::Cron { cron: Box::new(Cron::parse(cron).ok()?), zone: TimeZone::get(tz).ok()? }
            }
            Times::Every { every, .. } => Kind::Every(u64::try_from(every.as_millis()).ok()?.max(1)),
        };
        Some(Self { times, jitter: schedule.jitter.unwrap_or_default(), key: schedule.key() })
    }

    /// The first time after `now`.
    pub fn next_after(&self, now: Timestamp) -> Option<Timestamp> {
        match &self.times {
            Kind::Cron { cron, zone } => cron.next_after(now, zone),
            Kind::Every(every) => (now.0 / every).checked_add(1)?.checked_mul(*every).map(Timestamp),
        }
    }

    /// When the run of that time begins: its jitter later, which is the same whoever asks.
    pub fn begins(&self, due: Timestamp) -> Timestamp {
        Timestamp(due.0.saturating_add(self.put_off(due)))
    }

    /// The longest that a run is put off.
    pub fn jitter(&self) -> Duration {
        self.jitter
    }

    fn put_off(&self, due: Timestamp) -> u64 {
        let most = u64::try_from(self.jitter.as_millis()).unwrap_or(u64::MAX);
        if most == 0 {
            return 0;
        }
        let digest = Digest::of(format!("{}\n{}", self.key, due.0).as_bytes());
        let mut drawn = [0; 8];
        drawn.copy_from_slice(&digest.0[..8]);
        u64::from_le_bytes(drawn) % most.saturating_add(1)
    }
}
