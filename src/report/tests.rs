use std::time::Duration;

use expect_test::expect;
use proptest::prelude::*;

use super::script::{Broken, Pipe, clock, options, several_failures, successful, told_with};
use super::*;
use crate::base::Clock;
use crate::event::tests::sensible_sequence;
use crate::event::{Event, RunFinished};
use crate::record::{Limits, Recorded, Recorder};

const STYLES: [Output; 5] = [Output::Stream, Output::Prefix, Output::Group, Output::Errors, Output::Quiet];

/// Every style at once: what they say of what is told, which is recorded below `root`.
fn told_and_recorded(
    root: &std::path::Path,
    verbose: bool,
    tell: impl FnOnce(&mut Reporters, &Clock),
) -> Vec<Pipe> {
    let clock = clock();
    let mut reporters = Reporters::new(clock.clone());
    reporters.record(Recorder::create(root, &clock, Limits::default()).unwrap());
    let pipes = listen_in(&mut reporters, verbose);
    tell(&mut reporters, &clock);
    pipes
}

fn listen_in(reporters: &mut Reporters, verbose: bool) -> Vec<Pipe> {
    let pipes: Vec<Pipe> = STYLES.iter().map(|_| Pipe::default()).collect();
    for (output, pipe) in STYLES.into_iter().zip(&pipes) {
        let mut options = options(output, pipe, pipe);
        (options.verbose, options.err.style.colour) = (verbose, verbose);
        reporters.add("text", open(options));
    }
    pipes
}

fn replayed(root: &std::path::Path, verbose: bool) -> Vec<Pipe> {
    let mut reporters = Reporters::new(clock());
    let pipes = listen_in(&mut reporters, verbose);
    replay(&Recorded::open(root, "latest").unwrap(), &mut reporters).unwrap();
    pipes
}

#[test]
fn a_recorded_run_replays_to_the_same_text() {
    for script in [successful(), several_failures()] {
        for verbose in [false, true] {
            let root = tempfile::tempdir().unwrap();
            let then = told_and_recorded(root.path(), verbose, |to, clock| script.tell(to, clock));
            let now = replayed(root.path(), verbose);
            for (then, now) in then.iter().zip(&now) {
                assert_eq!(then.text(), now.text());
            }
            assert!(then[0].bytes().len() > 100);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever is told, no reporter fails, and what was recorded of it is told again in the same words.
    #[test]
    fn anything_told_replays_to_the_same_text(events in sensible_sequence(), verbose in any::<bool>()) {
        let root = tempfile::tempdir().unwrap();
        let then = told_and_recorded(root.path(), verbose, |to, clock| {
            for told in &events {
                clock.advance(told.time.since(clock.now()));
                to.tell(told.event.clone());
            }
            if to.state().finished().is_none() {
                to.tell(Event::RunFinished(RunFinished { exit: 0, took: Duration::ZERO }));
            }
        });
        let now = replayed(root.path(), verbose);
        for (then, now) in then.iter().zip(&now) {
            prop_assert_eq!(then.text(), now.text());
        }
    }
}

#[test]
fn a_run_that_was_killed_replays_as_far_as_it_came() {
    let root = tempfile::tempdir().unwrap();
    let mut script = successful();
    script.0.truncate(6);
    drop(told_and_recorded(root.path(), false, |to, clock| script.tell(to, clock)));
    expect![[r#"
        lib      │ lib made
          restored lib from the local cache in 3ms
               run build because `src/api.rs` changed (+1 more)
               run api:test because it never ran here
        build    │ compiling
        api:test │ warning: unused
        warning: the record ends here: the run was ended before its time
    "#]]
    .assert_eq(&replayed(root.path(), false)[1].text());
}

/// A pipe that is closed ends the reporter that writes to it; the run, the record and the others go on.
#[test]
fn a_reporter_that_fails_is_retired() {
    let (root, pipe, clock) = (tempfile::tempdir().unwrap(), Pipe::default(), clock());
    let mut reporters = Reporters::new(clock.clone());
    reporters.record(Recorder::create(root.path(), &clock, Limits::default()).unwrap());
    let mut broken = options(Output::Json, &pipe, &pipe);
    broken.out.to = Box::new(Broken(2));
    reporters.add("json", open(broken));
    reporters.add("text", open(options(Output::Auto, &pipe, &pipe)));
    successful().tell(&mut reporters, &clock);
    let text = pipe.text();
    expect![[r#"
        lib      │ lib made
          restored lib from the local cache in 3ms
               run build because `src/api.rs` changed (+1 more)
        warning: the json reporter cannot go on: broken pipe"#]]
    .assert_eq(&text.lines().take(4).collect::<Vec<_>>().join("\n"));
    assert_eq!(text.matches("warning: the").count(), 1);
    assert!(text.contains("2 executed, 1 restored"));
    assert_eq!(replayed(root.path(), false)[1].text(), text);
}

#[test]
fn a_record_that_fails_is_given_up() {
    let (root, pipe, clock) = (tempfile::tempdir().unwrap(), Pipe::default(), clock());
    let recorder = Recorder::create(root.path(), &clock, Limits::default()).unwrap();
    std::fs::write(recorder.dir().join("logs"), "in the way").unwrap();
    let mut reporters = Reporters::new(clock.clone());
    reporters.record(recorder);
    reporters.add("text", open(options(Output::Auto, &pipe, &pipe)));
    successful().tell(&mut reporters, &clock);
    let text = pipe.text();
    assert_eq!(
        text.matches("warning: this run is not recorded any further: cannot write `").count(),
        1,
        "{text}"
    );
    assert!(text.contains("2 executed, 1 restored"));
}

#[test]
fn json_is_the_wire_format() {
    let pipe = told_with(Output::Json, &several_failures(), |_| {});
    let lines: Vec<Sequenced> = pipe
        .bytes()
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect();
    let script: Vec<Event> = several_failures().0.into_iter().map(|(_, event)| event).collect();
    assert!(lines.iter().map(|told| &told.event).eq(&script));
    assert!(lines.iter().enumerate().all(|(at, told)| told.seq == at as u64));
    let last = pipe.text().lines().last().unwrap().to_owned();
    expect![[r#"{"seq":11,"time":1795210381309,"event":"run-finished","exit":1,"took_ms":400}"#]]
        .assert_eq(&last);
}
