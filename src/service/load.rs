//! What the processes of services take, and how much of a processor they had in the last second or so.
//!
//! Whoever asks is compared with what was seen about a second ago, by him or by anybody else; if nobody has looked lately,
//! with what is seen a moment earlier. So a number is never older than the time between two looks, and never the average
//! of a time in which nobody looked.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::exec::{Identity, Usage, usages};

/// What was seen this long ago is compared with, if there is nothing older that is [`LATELY`].
const ENOUGH: Duration = Duration::from_millis(500);
/// What was seen longer ago says nothing of now.
const LATELY: Duration = Duration::from_secs(3);
/// How long one who has nothing to compare with waits for it.
const SAMPLE: Duration = Duration::from_millis(100);

/// What was seen lately.
#[derive(Debug, Default)]
pub(super) struct Loads(Mutex<VecDeque<Sample>>);

#[derive(Debug)]
struct Sample {
    at: Instant,
    /// The time on processors of each process since it began.
    cpu: HashMap<Identity, Duration>,
}

impl Loads {
    /// What these take, and the part of one processor that they had lately, in thousandths. Waits for a tenth of a second
    /// if nobody has looked lately.
    pub(super) fn look(&self, roots: &BTreeMap<String, Identity>) -> BTreeMap<String, (Usage, u32)> {
        if roots.is_empty() {
            return BTreeMap::new();
        }
        if !self.covers(roots) {
            self.note(Instant::now(), &seen(roots));
            std::thread::sleep(SAMPLE);
        }
        let (now, seen) = (Instant::now(), seen(roots));
        let looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let part = |(label, family): (&String, &Vec<(Identity, Usage)>)| {
            let usage = family.iter().map(|(_, usage)| *usage).sum();
            let root = roots.get(label)?;
            let before = looks.iter().rev().filter(|look| look.cpu.contains_key(root));
            let old_enough = |look: &&Sample| now.saturating_duration_since(look.at) >= ENOUGH;
            let before = before.clone().find(old_enough).or_else(|| before.clone().next_back());
            let load = before.map_or(0, |before| load(before, now, family));
            Some((label.clone(), (usage, load)))
        };
        let parts = seen.iter().filter_map(part).collect();
        drop(looks);
        self.note(now, &seen);
        parts
    }

    /// Whether there is something to compare each of these with.
    fn covers(&self, roots: &BTreeMap<String, Identity>) -> bool {
        let now = Instant::now();
        let looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |look: &Sample| (SAMPLE..=LATELY).contains(&now.saturating_duration_since(look.at));
        roots.values().all(|root| looks.iter().any(|look| fits(look) && look.cpu.contains_key(root)))
    }

    fn note(&self, at: Instant, seen: &BTreeMap<String, Vec<(Identity, Usage)>>) {
        let cpu = seen.values().flatten().map(|(process, usage)| (*process, usage.cpu)).collect();
        let mut looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        looks.push_back(Sample { at, cpu });
        while looks.front().is_some_and(|look| at.saturating_duration_since(look.at) > LATELY) {
            looks.pop_front();
        }
    }
}

fn seen(roots: &BTreeMap<String, Identity>) -> BTreeMap<String, Vec<(Identity, Usage)>> {
    let families = usages(&roots.values().copied().collect::<Vec<_>>());
    roots.keys().cloned().zip(families).collect()
}

/// In thousandths of one processor. What has ended since does not count; what began since counts with all that it had.
fn load(before: &Sample, now: Instant, family: &[(Identity, Usage)]) -> u32 {
    let youngest = before.cpu.keys().map(|process| process.born).max().unwrap_or(0);
    let had = |(process, usage): &(Identity, Usage)| match before.cpu.get(process) {
        Some(then) => usage.cpu.saturating_sub(*then),
        None if process.born >= youngest => usage.cpu,
        // It was there, and was not seen.
        None => Duration::ZERO,
    };
    let cpu: Duration = family.iter().map(had).sum();
    let wall = now.saturating_duration_since(before.at).as_secs_f64().max(0.001);
    (cpu.as_secs_f64() / wall * 1000.0).round() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: u32, born: u64) -> Identity {
        Identity { pid, born, ..Identity::own() }
    }

    fn took(millis: u64) -> Usage {
        Usage { processes: 1, cpu: Duration::from_millis(millis), memory: 0 }
    }

    #[test]
    fn what_ended_and_what_began_meanwhile() {
        let at = Instant::now();
        let (root, gone, fresh) = (process(10, 5), process(11, 6), process(12, 9));
        let cpu = [(root, 1000), (gone, 90_000)].map(|(one, millis)| (one, Duration::from_millis(millis)));
        let before = Sample { at, cpu: cpu.into() };
        let now = at + Duration::from_secs(1);
        assert_eq!(load(&before, now, &[(root, took(1250)), (fresh, took(500))]), 750);
        // One that was there all the time and is seen for the first time.
        assert_eq!(load(&before, now, &[(root, took(1000)), (process(3, 2), took(80_000))]), 0);
    }

    #[test]
    fn nobody_is_compared_with_what_was_long_ago() {
        let loads = Loads::default();
        let roots = BTreeMap::from([("api".to_owned(), Identity::own())]);
        let ago = Instant::now().checked_sub(Duration::from_secs(10)).expect("the machine is up");
        let all = BTreeMap::from([("api".to_owned(), vec![(Identity::own(), took(0))])]);
        loads.note(ago, &all);
        assert!(!loads.covers(&roots));
        loads.note(Instant::now() - Duration::from_secs(1), &all);
        assert!(loads.covers(&roots));
        assert_eq!(loads.0.lock().unwrap().len(), 1, "what is old is forgotten");
    }
}
