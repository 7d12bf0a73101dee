//! What is to be done now: a machine that is told the time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Book, Due};
use crate::base::Timestamp;
use crate::model::{Overlap, Schedule};

/// How late a run may begin and still be the run of its time; whatever is later was missed.
pub const LATE: Duration = Duration::from_secs(60);

/// How far the clock may be put back without times that were seen to coming again.
const PUT_BACK: Duration = Duration::from_secs(3 * 3600);

/// So many missed times are counted one by one; more are just many.
const COUNTED: u32 = 1000;

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Its node is to be run, now.
    Run {
        /// Which.
        schedule: Arc<Schedule>,
        /// The time that it was due.
        due: Timestamp,
        /// How many times before that one were missed, and are seen to with it.
        missed: u32,
        /// It is run late, because it catches up.
        late: bool,
    },
    /// It is due while an earlier run of its node goes on, and so left out.
    Skip {
        /// Which.
        schedule: Arc<Schedule>,
        /// The time that it was due.
        due: Timestamp,
    },
    /// It is due while an earlier run of its node goes on, and will be run after that.
    Wait {
        /// Which.
        schedule: Arc<Schedule>,
        /// The time that it was due.
        due: Timestamp,
    },
    /// Its times passed while nobody looked, and it does not catch up.
    Missed {
        /// Which.
        schedule: Arc<Schedule>,
        /// The first of them.
        first: Timestamp,
        /// How many they were; a thousand stands for more.
        count: u32,
    },
    /// The clock was put back so far that times which were seen to come again.
    Again {
        /// Which.
        schedule: Arc<Schedule>,
        /// Up to which time it was seen to before.
        until: Timestamp,
    },
}

/// Every schedule of a project, and where it stands.
#[derive(Debug, Default)]
pub struct Agenda {
    entries: Vec<Entry>,
    /// How many runs of each node go on.
    running: BTreeMap<String, usize>,
}

#[derive(Debug)]
struct Entry {
    schedule: Arc<Schedule>,
    due: Due,
    label: String,
    key: String,
    /// Every time up to this one was seen to.
    until: Timestamp,
    /// A time that waits for a run to be over.
    waiting: Option<Timestamp>,
}

impl Agenda {
    /// Takes up these schedules in place of those it had. One that it knows goes on where it stands, one that the book
    /// knows where that says, and a new one begins now.
    pub fn take(&mut self, schedules: &[Schedule], book: &Book, now: Timestamp) {
        let mut before: BTreeMap<String, Entry> =
            self.entries.drain(..).map(|entry| (entry.key.clone(), entry)).collect();
        self.entries = schedules
            .iter()
            .filter_map(|schedule| {
                let (key, label) = (schedule.key(), schedule.label());
                let known = before.remove(&key);
                let until = known.as_ref().map(|entry| entry.until).or_else(|| book.until(&key));
                let waiting = known.and_then(|entry| entry.waiting);
                let due = Due::of(schedule)?;
                let until = until.unwrap_or(now);
                Some(Entry { schedule: Arc::new(schedule.clone()), due, label, key, until, waiting })
            })
            .collect();
    }

    /// Up to which time each schedule was seen to.
    pub fn seen(&self) -> impl Iterator<Item = (&str, Timestamp)> {
        self.entries.iter().map(|entry| (entry.key.as_str(), entry.until))
    }

    /// How many schedules there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Which schedule begins next, and when.
    pub fn next(&self) -> Option<(&Schedule, Timestamp)> {
        let begins = |entry: &Entry| Some(entry.due.begins(entry.due.next_after(entry.until)?));
        let next = self.entries.iter().filter_map(|entry| Some((&*entry.schedule, begins(entry)?)));
        next.min_by_key(|(_, begins)| *begins)
    }

    /// What is to be done at this moment. Each [`Step::Run`] has to be told [`over`](Self::over) one day.
    pub fn at(&mut self, now: Timestamp) -> Vec<Step> {
        let mut steps = Vec::new();
        for at in 0..self.entries.len() {
            self.look(at, now, &mut steps);
        }
        steps
    }

    /// A run of that node is over. What waited for it is to be done now.
    pub fn over(&mut self, label: &str) -> Option<Step> {
        let left = self.running.get_mut(label)?;
        *left -= 1;
        if *left > 0 {
            return None;
        }
        self.running.remove(label);
        let entry = self.entries.iter_mut().find(|entry| entry.label == label && entry.waiting.is_some())?;
        let due = entry.waiting.take()?;
        self.running.insert(label.to_owned(), 1);
        Some(Step::Run { schedule: Arc::clone(&entry.schedule), due, missed: 0, late: false })
    }

    fn look(&mut self, at: usize, now: Timestamp, steps: &mut Vec<Step>) {
        let entry = &mut self.entries[at];
        let schedule = Arc::clone(&entry.schedule);
        if let Some(until) = entry.put_back(now) {
            steps.push(Step::Again { schedule: Arc::clone(&schedule), until });
        }
        let Some(passed) = entry.passed(now) else { return };
        entry.until = passed.last;
        let (due, missed) = (passed.last, passed.count - 1);
        if passed.late && !entry.schedule.catch_up {
            return steps.push(Step::Missed { schedule, first: passed.first, count: passed.count });
        }
        let running = self.running.entry(entry.label.clone()).or_default();
        match entry.schedule.overlap {
            Overlap::Skip if *running > 0 => steps.push(Step::Skip { schedule, due }),
            Overlap::Queue if *running > 0 => {
                // However many times pass meanwhile, one run comes of them.
                if entry.waiting.replace(due).is_none() {
                    steps.push(Step::Wait { schedule, due });
                }
            }
            Overlap::Skip | Overlap::Queue | Overlap::Allow => {
                *running += 1;
                steps.push(Step::Run { schedule, due, missed, late: passed.late });
            }
        }
    }
}

/// Times that have come.
struct Passed {
    first: Timestamp,
    last: Timestamp,
    count: u32,
    /// Even the last is too long ago.
    late: bool,
}

impl Entry {
    /// Begins anew where the clock stands, if it was put back further than times may be waited for; and says up to where
    /// it was before. A clock that is set right by some minutes lets nothing run twice; one that stood in another year,
    /// or is behind by more than the time between two runs, must not keep a schedule from running.
    fn put_back(&mut self, now: Timestamp) -> Option<Timestamp> {
        let ahead = self.until.since(now);
        if ahead.is_zero() {
            return None;
        }
        let between = self.due.next_after(self.until).map(|next| next.since(self.until));
        if ahead <= PUT_BACK.min(between.unwrap_or(PUT_BACK)) {
            return None;
        }
        Some(std::mem::replace(&mut self.until, now))
    }

    /// Every time since it was last seen to whose run should have begun by now.
    fn passed(&self, now: Timestamp) -> Option<Passed> {
        let next = |after| self.due.next_after(after).filter(|due| self.due.begins(*due) <= now);
        let first = next(self.until)?;
        let (mut last, mut count) = (first, 1);
        while let Some(due) = next(last) {
            last = due;
            count += 1;
            if count == COUNTED {
                // Those between are as good as counted.
                let recent = LATE + self.due.jitter();
                let recent = Timestamp(now.0.saturating_sub(u64::try_from(recent.as_millis()).unwrap_or(0)));
                last = last.max(recent);
                while let Some(due) = next(last) {
                    last = due;
                }
                break;
            }
        }
        Some(Passed { first, last, count, late: now.since(self.due.begins(last)) > LATE })
    }
}
