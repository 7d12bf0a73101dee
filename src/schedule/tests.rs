//! The agenda led through days, jumps and restarts, without a clock.

use std::time::Duration;

use expect_test::expect;
use proptest::prelude::*;

use super::*;
use crate::base::Timestamp;
use crate::diag::{FileId, Span};
use crate::model::{NodeName, NodePath, NodeRef, Overlap, Schedule, Times};

/// Midnight of 21 November 2026, UTC.
const DAY: u64 = 1_795_219_200_000;
const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

fn schedule(name: &str, times: Times) -> Schedule {
    let span = Span { file: FileId(0), start: 0, len: 0 };
    let path = NodePath { project: "".into(), name: NodeName::from(name) };
    Schedule {
        node: NodeRef { path, env: None, state: None, span },
        stage: None,
        times,
        catch_up: false,
        jitter: None,
        overlap: Overlap::Skip,
        on_fail: None,
        span,
    }
}

fn every(name: &str, millis: u64) -> Schedule {
    schedule(name, Times::Every { every: Duration::from_millis(millis), text: format!("{millis}ms") })
}

fn cron(name: &str, cron: &str, tz: &str) -> Schedule {
    schedule(name, Times::Cron { cron: cron.into(), tz: tz.into() })
}

/// An agenda of these, and the day's beginning.
fn agenda(schedules: &[Schedule]) -> Agenda {
    let mut agenda = Agenda::default();
    agenda.take(schedules, &Book::default(), Timestamp(DAY));
    agenda
}

fn clock(at: Timestamp) -> String {
    let moment = jiff::Timestamp::from_millisecond(i64::try_from(at.0).unwrap()).unwrap();
    moment.to_zoned(jiff::tz::TimeZone::UTC).strftime("%d %H:%M:%S").to_string()
}

/// What is to be done, a line for each step.
fn told(steps: &[Step]) -> String {
    let line = |step: &Step| match step {
        Step::Run { schedule, due, missed, late } => {
            let late = if *late { " late" } else { "" };
            format!("run {} of {}{late}, {missed} before it", schedule.label(), clock(*due))
        }
        Step::Skip { schedule, due } => format!("skip {} of {}", schedule.label(), clock(*due)),
        Step::Wait { schedule, due } => format!("wait {} of {}", schedule.label(), clock(*due)),
        Step::Missed { schedule, first, count } => {
            format!("missed {count} of {} since {}", schedule.label(), clock(*first))
        }
        Step::Again { schedule, until } => {
            format!("again {}, seen to until {}", schedule.label(), clock(*until))
        }
    };
    steps.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn at(agenda: &mut Agenda, millis: u64) -> String {
    told(&agenda.at(Timestamp(DAY + millis)))
}

#[test]
fn a_day_with_a_backup_and_a_health_check() {
    let mut agenda = agenda(&[cron("backup", "30 2 * * *", "Europe/Berlin"), every("health", 12 * HOUR)]);
    let next = agenda.next().map(|(schedule, begins)| (schedule.label(), clock(begins)));
    assert_eq!(next, Some(("backup".into(), "21 01:30:00".into())));
    let mut lines = String::new();
    for minute in 0..=24 * 60 {
        let steps = agenda.at(Timestamp(DAY + minute * MINUTE + 250));
        for step in &steps {
            let label = if let Step::Run { schedule, .. } = step { schedule.label() } else { String::new() };
            lines += &format!("{}\n", told(std::slice::from_ref(step)));
            assert_eq!(agenda.over(&label), None);
        }
    }
    expect![[r#"
        run backup of 21 01:30:00, 0 before it
        run health of 21 12:00:00, 0 before it
        run health of 22 00:00:00, 0 before it
    "#]]
    .assert_eq(&lines);
}

#[test]
fn after_a_long_sleep_it_catches_up_once_or_not_at_all() {
    let catching = Schedule { catch_up: true, ..cron("backup", "0 * * * *", "UTC") };
    let mut agenda = agenda(&[catching, cron("report", "0 * * * *", "UTC")]);
    expect![[r#"
        run backup of 21 07:00:00 late, 6 before it
        missed 7 of report since 21 01:00:00"#]]
    .assert_eq(&at(&mut agenda, 7 * HOUR + 20 * MINUTE));
    agenda.over("backup");
    assert_eq!(at(&mut agenda, 7 * HOUR + 20 * MINUTE), "");
    expect![[r#"
        run backup of 21 08:00:00, 0 before it
        run report of 21 08:00:00, 0 before it"#]]
    .assert_eq(&at(&mut agenda, 8 * HOUR));
}

#[test]
fn a_time_that_has_just_come_is_run_whatever_was_missed_before() {
    let mut agenda = agenda(&[every("health", 30 * SECOND)]);
    expect!["run health of 21 05:00:00, 599 before it"].assert_eq(&at(&mut agenda, 5 * HOUR + 2 * SECOND));
}

#[test]
fn a_year_of_seconds_is_one_run() {
    let mut agenda = agenda(&[Schedule { catch_up: true, ..every("tick", SECOND) }]);
    let steps = agenda.at(Timestamp(DAY + 365 * 24 * HOUR));
    expect!["run tick of 21 00:00:00, 999 before it"].assert_eq(&told(&steps));
}

#[test]
fn while_a_run_goes_on() {
    let with = |name: &str, overlap| Schedule { overlap, ..every(name, MINUTE) };
    let mut agenda =
        agenda(&[with("skip", Overlap::Skip), with("queue", Overlap::Queue), with("allow", Overlap::Allow)]);
    let mut lines = String::new();
    for minute in 1..=3 {
        lines += &format!("{}\n", at(&mut agenda, minute * MINUTE));
    }
    expect![[r#"
        run skip of 21 00:01:00, 0 before it
        run queue of 21 00:01:00, 0 before it
        run allow of 21 00:01:00, 0 before it
        skip skip of 21 00:02:00
        wait queue of 21 00:02:00
        run allow of 21 00:02:00, 0 before it
        skip skip of 21 00:03:00
        run allow of 21 00:03:00, 0 before it
    "#]]
    .assert_eq(&lines);
    assert_eq!(agenda.over("skip"), None);
    // The newest of what waited, once.
    let waited: Vec<Step> = agenda.over("queue").into_iter().collect();
    expect!["run queue of 21 00:03:00, 0 before it"].assert_eq(&told(&waited));
    assert_eq!(agenda.over("queue"), None);
}

#[test]
fn two_schedules_of_one_node_do_not_run_it_twice_at_once() {
    let mut agenda = agenda(&[every("db", HOUR), cron("db", "0 3 * * *", "UTC")]);
    expect![[r#"
        run db of 21 03:00:00, 2 before it
        skip db of 21 03:00:00"#]]
    .assert_eq(&at(&mut agenda, 3 * HOUR));
}

#[test]
fn a_clock_that_is_put_back() {
    let nightly = cron("backup", "0 3 * * *", "UTC");
    let mut agenda = agenda(&[nightly, every("health", MINUTE)]);
    at(&mut agenda, 3 * HOUR);
    agenda.over("backup");
    agenda.over("health");
    // By an hour: the backup is not made again, and the health check does not wait an hour.
    expect!["again health, seen to until 21 03:00:00"].assert_eq(&at(&mut agenda, 2 * HOUR));
    expect!["run health of 21 02:01:00, 0 before it"].assert_eq(&at(&mut agenda, 2 * HOUR + MINUTE));
    agenda.over("health");
    assert_eq!(at(&mut agenda, 3 * HOUR), "run health of 21 03:00:00, 58 before it");
    agenda.over("health");
    // From another year: nothing waits for that.
    at(&mut agenda, 800 * 24 * HOUR);
    agenda.over("backup");
    agenda.over("health");
    let steps = at(&mut agenda, 24 * HOUR);
    assert!(steps.contains("again backup") && steps.contains("again health"), "{steps}");
    expect![[r#"
        run backup of 22 03:00:00, 0 before it
        run health of 22 03:00:00, 179 before it"#]]
    .assert_eq(&at(&mut agenda, 27 * HOUR));
}

#[test]
fn what_the_book_knows_is_caught_up_on_by_the_next_runner() {
    let dir = tempfile::tempdir().unwrap();
    let schedules = [Schedule { catch_up: true, ..cron("backup", "0 3 * * *", "UTC") }];
    let (mut book, is_damaged) = Book::read(dir.path()).unwrap();
    assert!(!is_damaged);
    let first = agenda(&schedules);
    assert!(book.note(first.seen()));
    assert!(!book.note(first.seen()));
    let last = Last {
        due: Timestamp(DAY),
        began: Timestamp(DAY),
        went: Some(Went::Failed),
        took_ms: 5,
        run: None,
        why: Some("x".into()),
    };
    book.set_last(&schedules[0].key(), last.clone());
    book.save().unwrap();

    let (book, _) = Book::read(dir.path()).unwrap();
    assert_eq!(book.entry(&schedules[0].key()).and_then(|entry| entry.last.clone()), Some(last));
    let mut second = Agenda::default();
    second.take(&schedules, &book, Timestamp(DAY + 50 * HOUR));
    expect!["run backup of 22 03:00:00 late, 1 before it"]
        .assert_eq(&told(&second.at(Timestamp(DAY + 50 * HOUR))));
    // One that nobody knows begins with the moment that it is seen.
    let mut fresh = Agenda::default();
    fresh.take(&schedules, &Book::default(), Timestamp(DAY + 50 * HOUR));
    assert_eq!(fresh.at(Timestamp(DAY + 50 * HOUR)), []);

    std::fs::write(Book::folder(dir.path()).join("book.json"), b"{\"format\":1,").unwrap();
    let (book, is_damaged) = Book::read(dir.path()).unwrap();
    assert!(is_damaged && book.entry(&schedules[0].key()).is_none());
}

#[test]
fn another_envfile_keeps_what_it_still_has() {
    let mut agenda = agenda(&[every("a", HOUR), every("b", HOUR)]);
    at(&mut agenda, HOUR);
    agenda.take(&[every("b", HOUR), every("c", HOUR)], &Book::default(), Timestamp(DAY + HOUR + MINUTE));
    // `b` still runs; that `a` is over wakes nobody.
    assert_eq!(agenda.over("a"), None);
    expect![[r#"
        skip b of 21 02:00:00
        run c of 21 02:00:00, 0 before it"#]]
    .assert_eq(&at(&mut agenda, 2 * HOUR));
}

/// A schedule with any of its traits.
fn any_schedule() -> impl Strategy<Value = Schedule> {
    let times = prop_oneof![
        (1..100_000_u64).prop_map(|seconds| every("n", seconds * SECOND).times),
        proptest::sample::select(
            &["*/5 * * * *", "30 2 * * *", "0 0 L * *", "*/7 * * * * *", "0 12 * * mon"][..]
        )
        .prop_flat_map(|text| {
            proptest::sample::select(&["UTC", "Europe/Berlin", "America/New_York"][..])
                .prop_map(move |tz| cron("n", text, tz).times)
        }),
    ];
    let overlap = proptest::sample::select(&[Overlap::Skip, Overlap::Queue, Overlap::Allow][..]);
    (times, any::<bool>(), 0..1000_u64, overlap).prop_map(|(times, catch_up, jitter, overlap)| Schedule {
        catch_up,
        jitter: (jitter > 0).then(|| Duration::from_millis(jitter)),
        overlap,
        ..schedule("n", times)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// The next time is later; its jitter keeps within bounds and is the same whoever asks.
    #[test]
    fn times_go_on_and_jitter_holds_still(schedule in any_schedule(), now in 0..10_000_u64) {
        let (due, again) = (Due::of(&schedule).unwrap(), Due::of(&schedule).unwrap());
        let mut now = Timestamp(DAY + now * MINUTE + 123);
        for _ in 0..5 {
            let next = due.next_after(now).unwrap();
            prop_assert!(next > now);
            prop_assert_eq!(due.next_after(Timestamp(next.0 - 1)), Some(next));
            let begins = due.begins(next);
            prop_assert!(begins >= next && begins.since(next) <= schedule.jitter.unwrap_or_default());
            prop_assert_eq!(again.begins(next), begins);
            now = next;
        }
    }

    /// However the clock goes forward, a look runs a schedule once at most, never a time twice, and none before its time;
    /// what does not catch up is never late, and what may not overlap never does.
    #[test]
    fn no_storm(
        schedule in any_schedule(),
        looks in proptest::collection::vec((1..200_000_000_u64, any::<bool>()), 1..30),
    ) {
        let due = Due::of(&schedule).unwrap();
        let mut agenda = agenda(std::slice::from_ref(&schedule));
        let (mut now, mut last, mut running) = (Timestamp(DAY), Timestamp(0), 0_u32);
        for (millis, is_over) in looks {
            now = Timestamp(now.0 + millis);
            let steps = agenda.at(now);
            prop_assert!(steps.len() <= 1, "{}", told(&steps));
            for step in &steps {
                if let Step::Run { due: time, late, .. } = step {
                    running += 1;
                    prop_assert!(*time > last, "a time came twice");
                    prop_assert!(due.begins(*time) <= now, "before its time");
                    prop_assert!(!*late || schedule.catch_up);
                    prop_assert!(*late || now.since(due.begins(*time)) <= LATE);
                    prop_assert!(running == 1 || schedule.overlap == Overlap::Allow);
                    last = *time;
                }
            }
            if is_over && running > 0 {
                running -= 1;
                if let Some(Step::Run { .. }) = agenda.over("n") {
                    prop_assert!(schedule.overlap == Overlap::Queue && running == 0);
                    running += 1;
                }
            }
        }
    }
}
