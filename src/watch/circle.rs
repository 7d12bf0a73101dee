//! Finds tasks that write what makes them run.
//!
//! A task that rewrites one of its own inputs, or one of a task that it needs, is run again by its own doing, and again. If
//! what it writes is the same each time nothing happens, for content decides. If not (a time, a number that counts up)
//! the session would never come to rest. A person who saves a file while a task runs looks much the same, so it takes more
//! than one time: a file that changed in five executions of the same task, one after the other, within seconds; or, of
//! slower tasks, in as many that were not even disturbed by it.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

/// So often it may be chance.
const TIMES: u32 = 5;
/// In so short a time nobody saves a file so often.
const SOON: Duration = Duration::from_secs(3);

/// A file changed while a task ran that the change makes run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wrote<F, T> {
    /// The file.
    pub file: F,
    /// The task.
    pub task: T,
    /// Which of its executions it was.
    pub execution: u64,
    /// That execution was cancelled because of it, or still runs and will be.
    pub disturbed: bool,
}

/// Whoever runs in a circle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Culprit<F, T> {
    /// The file.
    pub file: F,
    /// The task that wrote it.
    pub task: T,
}

/// What changed in which executions.
#[derive(Debug)]
pub struct Circle<F, T> {
    seen: HashMap<(F, T), Seen>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    execution: u64,
    times: u32,
    undisturbed: u32,
    since: Duration,
}

impl<F: Clone + Eq + Hash, T: Clone + Eq + Hash> Circle<F, T> {
    /// Nothing has been seen.
    pub fn new() -> Self {
        Self { seen: HashMap::new() }
    }

    /// A file changed that no running task is to blame for: somebody is at work.
    pub fn reset(&mut self) {
        self.seen.clear();
    }

    /// A file changed while a task ran. Tells if that was once too often.
    pub fn on(&mut self, now: Duration, wrote: Wrote<F, T>) -> Option<Culprit<F, T>> {
        let Wrote { file, task, execution, disturbed } = wrote;
        let fresh = Seen { execution, times: 0, undisturbed: 0, since: now };
        let seen = self.seen.entry((file.clone(), task.clone())).or_insert(fresh);
        if seen.times > 0 && execution == seen.execution {
            return None;
        }
        // One that left the file alone has broken the circle.
        if seen.times > 0 && execution != seen.execution + 1 {
            *seen = fresh;
        }
        seen.execution = execution;
        seen.times += 1;
        seen.undisturbed = if disturbed { 0 } else { seen.undisturbed + 1 };
        let soon = seen.times >= TIMES && now.saturating_sub(seen.since) <= SOON;
        if seen.times >= TIMES && !soon {
            // The first of them was long ago: the window moves on.
            seen.since = now;
            seen.times = 1;
        }
        if soon || seen.undisturbed >= TIMES {
            self.seen.clear();
            return Some(Culprit { file, task });
        }
        None
    }
}

impl<F: Clone + Eq + Hash, T: Clone + Eq + Hash> Default for Circle<F, T> {
    fn default() -> Self {
        Self::new()
    }
}
