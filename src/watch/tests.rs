//! The window and the circle, by laws and by stories.

use std::path::PathBuf;
use std::time::Duration;

use proptest::prelude::*;

use super::{Batch, Circle, Culprit, Hint, Quiet, Wrote};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

proptest! {
    /// Nothing is lost, nothing is told early, and nothing waits longer than the cap.
    #[test]
    fn every_hint_comes_out_once_and_in_time(pauses in prop::collection::vec((0..30_u64, 0..5_u8), 1..60)) {
        let mut quiet = Quiet::new(ms(8), ms(60));
        let mut now = Duration::ZERO;
        let mut waiting: Vec<(Duration, PathBuf)> = Vec::new();
        let mut last = Duration::ZERO;
        for (pause, name) in pauses {
            let next = now + ms(pause);
            // Whoever waits for it takes it when it is due.
            if let Some(due) = quiet.due().filter(|due| *due <= next) {
                let due = due.max(now);
                prop_assert_eq!(quiet.take(due - ms(1).min(due)).is_some(), false, "early");
                let batch = quiet.take(due).expect("it is due");
                let first = waiting.iter().map(|(when, _)| *when).min().expect("something gathered");
                prop_assert!(due <= first + ms(60), "late");
                prop_assert!(due >= last + ms(8) || due == first + ms(60), "in the middle of it");
                for (_, path) in waiting.drain(..) {
                    prop_assert!(batch.paths.contains_key(&path));
                }
            }
            now = next;
            let path = PathBuf::from(format!("/f{name}"));
            quiet.on(now, Hint::At(path.clone()));
            waiting.push((now, path));
            last = now;
        }
        let batch = quiet.take(quiet.due().expect("the last one waits")).expect("it is due");
        prop_assert!(waiting.iter().all(|(_, path)| batch.paths.contains_key(path)));
        prop_assert_eq!(quiet.due(), None);
    }
}

#[test]
fn lost_events_are_lost_paths_and_gone_folders_are_paths_too() {
    let mut quiet = Quiet::new(ms(8), ms(60));
    quiet.on(ms(1), Hint::Lost);
    quiet.on(ms(2), Hint::Gone("/a".into()));
    let batch = quiet.take(ms(10)).unwrap();
    let paths = [(PathBuf::from("/a"), ms(2))].into();
    assert_eq!(batch, Batch { paths, gone: vec!["/a".into()], lost: true });
}

/// Tells a circle of one file and task: the moment, the execution, whether that was disturbed.
fn found(told: &[(u64, u64, bool)]) -> Option<usize> {
    let mut circle = Circle::new();
    told.iter().position(|&(now, execution, disturbed)| {
        let found = circle.on(ms(now), Wrote { file: "f", task: "t", execution, disturbed });
        assert!(found.iter().all(|found| *found == Culprit { file: "f", task: "t" }));
        found.is_some()
    })
}

#[test]
fn a_task_that_always_wrote_what_makes_it_run_is_found() {
    // Quickly, each execution cancelled by what it wrote.
    assert_eq!(
        found(&[(0, 1, true), (50, 2, true), (100, 3, true), (150, 4, true), (200, 5, true)]),
        Some(4)
    );
    // Slowly, each at its end.
    let slow: Vec<_> = (1..=5).map(|at| (at * 60_000, at, false)).collect();
    assert_eq!(found(&slow), Some(4));
}

#[test]
fn a_person_who_saves_while_a_task_runs_is_no_circle() {
    // Every few seconds, each time into an execution that is then cancelled.
    let saves: Vec<_> = (1..40).map(|at| (at * 2_000, at, true)).collect();
    assert_eq!(found(&saves), None);
    // Many files of one execution, or one that was left alone in between.
    assert_eq!(found(&[(0, 1, true); 20]), None);
    let others: Vec<_> = (1..20).map(|at| (at * 10, at * 2, false)).collect();
    assert_eq!(found(&others), None);
}
