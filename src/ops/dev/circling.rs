//! Who is suspected of running in a circle, tried, and stopped.
//!
//! Whoever answers each result at once with another change of the same file, while the task is just ending, looks like a
//! task that writes what makes it run. So a suspect is tried: it runs once more when all was quiet for a while, and again
//! after a longer while. Nothing that was changed is missed by that; it is only late.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use crate::base::RelPath;
use crate::graph::NodeIx;
use crate::watch::{Circle, Wrote};

use super::activity::Execution;

/// So often a suspect is tried.
const TRIALS: u32 = 3;
/// What is waited for before the first trial; before each further one it is twice as much.
const PAUSE: Duration = Duration::from_millis(250);

/// What is known of circles.
#[derive(Debug, Default)]
pub(super) struct Circling {
    circle: Circle<RelPath, NodeIx>,
    /// Those that are on trial.
    tried: HashMap<(RelPath, NodeIx), Trial>,
    /// What is to be told as changed when its time has come.
    waiting: Vec<Waiting>,
    /// Changes of these files by these nodes make nothing run any more.
    stopped: HashSet<(RelPath, NodeIx)>,
}

#[derive(Debug, Clone, Copy)]
struct Trial {
    /// The execution during which the file changed.
    execution: u64,
    /// The how-manyth it is.
    number: u32,
}

#[derive(Debug)]
struct Waiting {
    due: Duration,
    file: RelPath,
    readers: Vec<NodeIx>,
}

/// Who changed a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Blame {
    /// No task that it concerns.
    Nobody,
    /// Such a task, perhaps.
    Somebody,
    /// Such a task, again and again: that makes it run when its trial is due.
    Waits,
    /// A task that does so ever again; it makes nothing run any more.
    Stopped,
    /// The same, found right now: these.
    Found(Vec<NodeIx>),
}

impl Circling {
    /// Somebody is at work.
    pub fn reset(&mut self) {
        self.circle.reset();
        self.tried.clear();
    }

    /// A file, which these nodes read, changed while the suspects ran, which it makes run again.
    pub fn on(
        &mut self,
        now: Duration,
        file: &RelPath,
        readers: &[NodeIx],
        suspects: &[(NodeIx, Execution)],
    ) -> Blame {
        if suspects.is_empty() {
            // It is written by others, too.
            self.stopped.retain(|(stopped, _)| stopped != file);
            return Blame::Nobody;
        }
        let (mut found, mut waits) = (Vec::new(), false);
        for (node, execution) in suspects {
            let key = (file.clone(), *node);
            if self.stopped.contains(&key) {
                return Blame::Stopped;
            }
            let before = self.tried.get(&key).copied();
            let number = match before {
                Some(trial) if trial.execution == execution.number => {
                    waits = true;
                    continue;
                }
                Some(trial) if trial.execution + 1 == execution.number => trial.number + 1,
                _ => {
                    // One that left the file alone has acquitted it.
                    self.tried.remove(&key);
                    let (file, disturbed) = (file.clone(), execution.disturbed);
                    let wrote = Wrote { file, task: *node, execution: execution.number, disturbed };
                    match self.circle.on(now, wrote) {
                        Some(_) => 1,
                        None => continue,
                    }
                }
            };
            if number > TRIALS {
                self.tried.remove(&key);
                self.stopped.insert(key);
                found.push(*node);
                continue;
            }
            self.tried.insert(key, Trial { execution: execution.number, number });
            let due = now + PAUSE * (1 << (number - 1));
            self.waiting.push(Waiting { due, file: file.clone(), readers: readers.to_vec() });
            waits = true;
        }
        match (found.is_empty(), waits) {
            (false, _) => Blame::Found(found),
            (true, true) => Blame::Waits,
            (true, false) => Blame::Somebody,
        }
    }

    /// When the next trial is due.
    pub fn due(&self) -> Option<Duration> {
        self.waiting.iter().map(|waiting| waiting.due).min()
    }

    /// What is due: the files, and who reads them.
    pub fn take(&mut self, now: Duration) -> Vec<(NodeIx, RelPath)> {
        let due = self.waiting.extract_if(.., |waiting| waiting.due <= now);
        due.flat_map(|Waiting { file, readers, .. }| {
            readers.into_iter().map(move |node| (node, file.clone()))
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Blame, Circling};
    use crate::base::{RelPath, Timestamp};
    use crate::graph::NodeIx;
    use crate::ops::dev::activity::Execution;
    use std::time::Duration;

    /// What is said of a file that changes in each execution of a task, one after the other without a pause but for trials.
    fn always(circling: &mut Circling, executions: std::ops::Range<u64>) -> Vec<Blame> {
        let file = RelPath::root();
        let mut now = Duration::ZERO;
        let mut said = Vec::new();
        for number in executions {
            now += Duration::from_millis(20);
            let blame =
                circling.on(now, &file, &[NodeIx(0)], &[(NodeIx(0), Execution::begin(number, Timestamp(0)))]);
            if blame == Blame::Waits {
                let due = circling.due().unwrap();
                assert!(due > now && circling.take(now).is_empty(), "it waits");
                now = due;
                assert_eq!(circling.take(now), [(NodeIx(0), file.clone())]);
            }
            said.push(blame);
        }
        said
    }

    #[test]
    fn who_goes_on_in_every_trial_is_stopped() {
        use Blame::{Found, Somebody, Stopped, Waits};
        let said = always(&mut Circling::default(), 1..10);
        let found = Found(vec![NodeIx(0)]);
        assert_eq!(said, [Somebody, Somebody, Somebody, Somebody, Waits, Waits, Waits, found, Stopped]);
    }

    #[test]
    fn who_leaves_the_file_alone_once_is_acquitted_and_who_is_told_of_twice_is_tried_once() {
        let mut circling = Circling::default();
        assert_eq!(always(&mut circling, 1..6).last(), Some(&Blame::Waits));
        let file = RelPath::root();
        let mut on = |number| {
            circling.on(
                Duration::from_secs(9),
                &file,
                &[NodeIx(0)],
                &[(NodeIx(0), Execution::begin(number, Timestamp(0)))],
            )
        };
        assert_eq!(on(5), Blame::Waits, "the same execution, heard once more");
        assert_eq!(on(7), Blame::Somebody, "the sixth was its trial");
        assert_eq!(circling.due(), None);
    }

    #[test]
    fn what_somebody_else_writes_counts_again() {
        let mut circling = Circling::default();
        always(&mut circling, 1..10);
        let file = RelPath::root();
        assert_eq!(circling.on(Duration::from_secs(9), &file, &[NodeIx(0)], &[]), Blame::Nobody);
        let again = [(NodeIx(0), Execution::begin(10, Timestamp(0)))];
        assert_eq!(circling.on(Duration::from_secs(9), &file, &[NodeIx(0)], &again), Blame::Somebody);
    }
}
