use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use expect_test::expect;
use proptest::prelude::*;

use super::*;
use crate::base::{Clock, Timestamp};
use crate::event::tests::sensible_sequence;
use crate::event::{
    Because, Counts, Event, FORMAT, NodeInfo, Outcome, OutcomeKind, RunFinished, RunStarted, RunState,
    Sequenced, Sequencer, Stream,
};
use crate::graph::NodeIx;

/// 2026-11-20 21:33:01.250 UTC.
const NOW: Timestamp = Timestamp(1_795_210_381_250);

fn info(label: &str) -> NodeInfo {
    NodeInfo { label: label.into(), desc: None, group: false, target: false, service: false }
}

fn started(labels: &[&str]) -> Event {
    Event::RunStarted(RunStarted {
        format: FORMAT,
        run: "20261120-213301-0fa0".to_owned(),
        envrun: "0.1.0".to_owned(),
        root: "/project".to_owned(),
        targets: vec!["build".to_owned()],
        jobs: 2,
        dry_run: false,
        chosen: None,
        nodes: labels.iter().map(|label| info(label)).collect(),
    })
}

fn node_started(node: u32) -> Event {
    let because = Because { reason: "it never ran here".to_owned(), more: 0 };
    Event::NodeStarted {
        node: NodeIx(node),
        because,
        commands: vec!["cc -c a.c".to_owned()],
        dir: ".".to_owned(),
        interactive: false,
    }
}

fn output(node: u32, bytes: &[u8]) -> Event {
    Event::Output { node: NodeIx(node), stream: Stream::Stdout, bytes: bytes.to_vec() }
}

fn succeeded(node: u32, ms: u64) -> Event {
    let outcome = Outcome::Succeeded { stored: true };
    Event::NodeFinished { node: NodeIx(node), outcome, took: Duration::from_millis(ms) }
}

fn finished() -> Event {
    Event::RunFinished(RunFinished { exit: 0, took: Duration::from_millis(8) })
}

/// Records a whole run in the project at `root`; says what was told.
fn record(root: &Path, clock: &Clock, limits: Limits, events: &[Event]) -> (RunId, Vec<Sequenced>) {
    let mut recorder = Recorder::create(root, clock, limits).unwrap();
    let told = stamp(clock, events);
    write(&mut recorder, &told);
    (recorder.id().clone(), told)
}

fn stamp(clock: &Clock, events: &[Event]) -> Vec<Sequenced> {
    let mut sequencer = Sequencer::new(clock.clone());
    events.iter().map(|event| sequencer.stamp(event.clone())).collect()
}

fn write(recorder: &mut Recorder, told: &[Sequenced]) {
    let mut state = RunState::new();
    for event in told {
        state.apply(event);
        recorder.on(event, &state).unwrap();
    }
}

fn read_back(root: &Path, id: &RunId) -> Vec<Sequenced> {
    let run = Recorded::open(root, id.as_str()).unwrap();
    run.events().unwrap().collect::<Result<_, _>>().unwrap()
}

/// Every file of the state folder with its size, for looking at.
fn tree(root: &Path) -> String {
    fn walk(dir: &Path, root: &Path, into: &mut Vec<String>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let shown = path.strip_prefix(root).unwrap().display().to_string();
            if path.is_symlink() {
                into.push(format!("{shown} -> {}", fs::read_link(&path).unwrap().display()));
            } else if path.is_dir() {
                walk(&path, root, into);
            } else {
                into.push(shown);
            }
        }
    }
    let mut lines = Vec::new();
    walk(&root.join(STATE_DIR), root, &mut lines);
    lines.sort();
    lines.join("\n")
}

/// The folder with its random ids made plain.
fn tree_with(root: &Path, ids: &[(&RunId, &str)]) -> String {
    ids.iter().fold(tree(root), |text, (id, name)| text.replace(id.as_str(), name))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_was_told_is_read_back(told in sensible_sequence()) {
        let root = tempfile::tempdir().unwrap();
        let clock = Clock::manual(NOW);
        let mut recorder = Recorder::create(root.path(), &clock, Limits::default()).unwrap();
        write(&mut recorder, &told);
        let id = recorder.id().clone();
        drop(recorder);
        prop_assert_eq!(read_back(root.path(), &id), told);
    }

    #[test]
    fn log_names_are_safe_and_apart(one in "\\PC{0,40}|[a-zA-Z0-9._:@=,/-]{0,300}", other in "[a-z:A-Z~%.]{0,4}") {
        for label in [&one, &other] {
            let name = log_name(label);
            prop_assert!(name.len() <= 255 && name.ends_with(".log") && !name.starts_with(['.', '-']));
            prop_assert!(name.bytes().all(|byte| byte.is_ascii_graphic() && !b"/\\:*?\"<>|".contains(&byte)));
            prop_assert!(!name.bytes().any(|byte| byte.is_ascii_uppercase()));
        }
        prop_assert_eq!(one == other, log_name(&one) == log_name(&other));
    }

    #[test]
    fn ids_are_sorted_by_time(one in 0u64..4_000_000_000_000, other in 0u64..4_000_000_000_000) {
        let (first, second) = (RunId::draw(Timestamp(one)), RunId::draw(Timestamp(other)));
        prop_assert_eq!(first.time(), Some(Timestamp(one)));
        prop_assert_eq!(RunId::parse(first.as_str()), Some(first.clone()));
        if one != other {
            prop_assert_eq!(one < other, first < second);
        }
    }
}

#[test]
fn a_run_that_does_something() {
    let root = tempfile::tempdir().unwrap();
    let clock = Clock::manual(NOW);
    let restored = Outcome::Restored { from: "the local cache".to_owned(), log: b"made\n".to_vec() };
    let events = [
        started(&["build", "api:lib"]),
        Event::NodeFinished { node: NodeIx(1), outcome: restored, took: Duration::from_millis(3) },
        node_started(0),
        output(0, b"warning: \xff\n"),
        output(0, b"done"),
        succeeded(0, 1200),
        finished(),
    ];
    let (id, told) = record(root.path(), &clock, Limits::default(), &events);
    expect![[r#"
        .envrun/.gitignore
        .envrun/runs/<run>/events.jsonl
        .envrun/runs/<run>/logs/api~lib.log
        .envrun/runs/<run>/logs/build.log
        .envrun/runs/<run>/nodes.json
        .envrun/runs/graphs/59253284a9074204343985b73428cce0.json
        .envrun/runs/latest -> <run>"#]]
    .assert_eq(&tree_with(root.path(), &[(&id, "<run>")]));
    let text = fs::read_to_string(root.path().join(".envrun/runs/latest/events.jsonl")).unwrap();
    expect![[r#"
        {"seq":0,"time":1795210381250,"event":"run-started","format":1,"run":"20261120-213301-0fa0","envrun":"0.1.0","root":"/project","targets":["build"],"jobs":2,"dry_run":false,"nodes":[],"kept":{"count":2}}
        {"seq":1,"time":1795210381250,"event":"node-finished","node":1,"outcome":{"kind":"restored","from":"the local cache","log":""},"took_ms":3,"kept":{"at":0,"len":5}}
        {"seq":2,"time":1795210381250,"event":"node-started","node":0,"because":{"reason":"it never ran here","more":0},"commands":["cc -c a.c"],"dir":"."}
        {"seq":3,"time":1795210381250,"event":"output","node":0,"stream":"stdout","bytes":"","kept":{"at":0,"len":11}}
        {"seq":4,"time":1795210381250,"event":"output","node":0,"stream":"stdout","bytes":"","kept":{"at":11,"len":4}}
        {"seq":5,"time":1795210381250,"event":"node-finished","node":0,"outcome":{"kind":"succeeded","stored":true},"took_ms":1200}
        {"seq":6,"time":1795210381250,"event":"run-finished","exit":0,"took_ms":8}
    "#]]
    .assert_eq(&text);
    assert_eq!(read_back(root.path(), &id), told);
    let run = Recorded::open(root.path(), "latest").unwrap();
    let log = run.log("build").unwrap();
    assert_eq!(fs::read(&log).unwrap(), b"warning: \xff\ndone");
    assert_eq!(log, root.path().join(log_path(&id, "build")).canonicalize().unwrap_or(log.clone()));
    assert_eq!(run.log("nothing"), None);
    let mut summary = run.summary().unwrap();
    assert_eq!(std::mem::take(&mut summary.counts).of(OutcomeKind::Restored), 1);
    let (counts, took) = (Counts::default(), Duration::from_millis(8));
    let targets = vec!["build".to_owned()];
    assert_eq!(
        summary,
        RunSummary { id: id.clone(), began: NOW, targets, counts, exit: Some(0), took, live: false }
    );
    // Of one that was killed before it told anything, the name says when it began.
    fs::write(root.path().join(format!(".envrun/runs/{id}/events.jsonl")), "").unwrap();
    let cut = Recorded::open(root.path(), "latest").unwrap().summary().unwrap();
    assert_eq!((cut.began, cut.exit, cut.targets.len()), (NOW, None, 0));
}

/// Nothing is written before the end of a run that does nothing, and the list of nodes is shared with the run before.
#[test]
fn a_run_that_does_nothing() {
    let root = tempfile::tempdir().unwrap();
    let clock = Clock::manual(NOW);
    let labels: Vec<String> = (0..1000).map(|at| format!("task-{at}")).collect();
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    let nodes = (0..1000).map(NodeIx).collect();
    let events = [started(&labels), Event::NodesFinished { nodes, outcome: Outcome::UpToDate }, finished()];
    let (first, _) = record(root.path(), &clock, Limits::default(), &events);
    clock.advance(Duration::from_secs(1));
    let (second, told) = record(root.path(), &clock, Limits::default(), &events);
    expect![[r#"
        .envrun/.gitignore
        .envrun/runs/<first>/events.jsonl
        .envrun/runs/<first>/nodes.json
        .envrun/runs/<second>/events.jsonl
        .envrun/runs/<second>/nodes.json
        .envrun/runs/graphs/740d0cd8d66a7060a95a9e35246dad73.json
        .envrun/runs/latest -> <second>"#]]
    .assert_eq(&tree_with(root.path(), &[(&first, "<first>"), (&second, "<second>")]));
    let events = fs::metadata(runs_dir(root.path()).join(second.as_str()).join("events.jsonl")).unwrap();
    assert!(events.len() < 600, "{} bytes", events.len());
    assert_eq!(read_back(root.path(), &second), told);
    assert_eq!(runs(root.path()).unwrap(), [second.clone(), first]);
    assert_eq!(latest(root.path()).unwrap(), Some(second));
}

#[test]
fn a_crash_anywhere_leaves_a_readable_beginning() {
    let root = tempfile::tempdir().unwrap();
    let clock = Clock::manual(NOW);
    let events = [
        started(&["a", "b"]),
        node_started(0),
        output(0, b"hello\n"),
        succeeded(0, 5),
        node_started(1),
        finished(),
    ];
    let (id, told) = record(root.path(), &clock, Limits::default(), &events);
    let path = runs_dir(root.path()).join(id.as_str()).join("events.jsonl");
    let whole = fs::read(&path).unwrap();
    for len in 0..whole.len() {
        fs::write(&path, &whole[..len]).unwrap();
        let read = read_back(root.path(), &id);
        let lines = whole[..len].iter().filter(|byte| **byte == b'\n').count();
        assert_eq!(read, told[..lines], "cut after {len} bytes");
    }
    fs::write(&path, &whole).unwrap();
    // The log itself may be shorter than the line says, or gone.
    let log = Recorded::open(root.path(), id.as_str()).unwrap().log("a").unwrap();
    File::options().write(true).open(&log).unwrap().set_len(2).unwrap();
    assert_eq!(read_back(root.path(), &id)[2].event, output(0, b"he"));
    fs::remove_file(log).unwrap();
    assert_eq!(read_back(root.path(), &id)[2].event, output(0, b""));
}

#[test]
fn what_cannot_be_read_is_named() {
    let root = tempfile::tempdir().unwrap();
    let clock = Clock::manual(NOW);
    let (id, _) =
        record(root.path(), &clock, Limits::default(), &[started(&["a"]), node_started(0), finished()]);
    let run = Recorded::open(root.path(), id.as_str()).unwrap();
    let path = run.dir().join("events.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    let error = || {
        let error = run.events().unwrap().find_map(Result::err).unwrap().to_string();
        error.replace(&*run.dir().to_string_lossy(), "<run>")
    };
    fs::write(&path, text.replace("node-started", "node-begun")).unwrap();
    expect!["`<run>/events.jsonl` line 2 is not an event: unknown variant `node-begun`, expected one of `run-started`, `expected`, `node-started`, `output`, `node-retrying`, `node-phase`, `node-finished`, `nodes-finished`, `changed`, `nodes-reopened`, `watching`, `reread`, `session-ending`, `session-ended`, `service-changed`, `notice`, `glass-broken`, `interrupted`, `run-finished` at line 1 column 145"]
        .assert_eq(&error());
    fs::write(&path, text.replace("\"format\":1", "\"format\":9")).unwrap();
    expect!["`<run>/events.jsonl` was recorded in format 9; this envrun reads up to 1"].assert_eq(&error());
    fs::write(&path, text).unwrap();
    fs::remove_file(run.dir().join("nodes.json")).unwrap();
    expect!["cannot read `<run>/nodes.json`: No such file or directory (os error 2)"].assert_eq(&error());
}

#[test]
fn runs_of_the_same_millisecond_have_their_own_folders() {
    let root = tempfile::tempdir().unwrap();
    let clock = Clock::manual(NOW);
    let recorders: Vec<Recorder> =
        (0..4).map(|_| Recorder::create(root.path(), &clock, Limits::default()).unwrap()).collect();
    let mut ids: Vec<&RunId> = recorders.iter().map(Recorder::id).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 4);
    let name = "20261120-213301-0fa";
    assert!(ids.iter().all(|id| id.as_str().starts_with(name)), "{ids:?}");
    let several = Recorded::open(root.path(), name).unwrap_err();
    assert_eq!(several.to_string(), "`20261120-213301-0fa` may be any of 4 runs");
    let unknown = Recorded::open(root.path(), "2025").unwrap_err();
    assert_eq!(unknown.to_string(), "there is no run `2025` in this project");
    let ending = &ids[2].as_str()[9..];
    assert_eq!(Recorded::open(root.path(), ending).unwrap().id(), ids[2]);
}

#[test]
fn old_runs_go_and_running_ones_stay() {
    let root = tempfile::tempdir().unwrap();
    let clock = Clock::manual(NOW);
    let all = Limits::default();
    let events = [started(&["a"]), node_started(0), output(0, &[b'x'; 100_000]), succeeded(0, 5), finished()];
    let long_ago = record(root.path(), &clock, all, &events).0;
    let mut live = Recorder::create(root.path(), &clock, all).unwrap();
    write(&mut live, &stamp(&clock, &events[..2]));
    clock.advance(Duration::from_secs(3 * 24 * 3600));
    let day = Duration::from_secs(24 * 3600);
    let mut other = events.clone();
    other[0] = started(&["a", "b"]);
    let [one, two, three] = std::array::from_fn(|at| {
        clock.advance(Duration::from_secs(60));
        record(root.path(), &clock, all, if at == 0 { &other } else { &events }).0
    });
    let graphs = || fs::read_dir(runs_dir(root.path()).join("graphs")).unwrap().count();
    assert_eq!(runs(root.path()).unwrap().len(), 5);
    assert_eq!(graphs(), 2);

    // By age: the old one goes, the one that is still going on does not.
    assert_eq!(prune(root.path(), &Limits { keep: day, ..all }, clock.now()).unwrap(), 1);
    assert_eq!(runs(root.path()).unwrap(), [&three, &two, &one, live.id()].map(Clone::clone));
    assert!(!runs_dir(root.path()).join(long_ago.as_str()).exists());
    // By size: each has a log of 100,000 bytes.
    let small = Limits { bytes: 250_000, ..all };
    assert_eq!(prune(root.path(), &small, clock.now()).unwrap(), 1);
    assert_eq!(runs(root.path()).unwrap(), [&three, &two, live.id()].map(Clone::clone));
    // The graph that only that run had goes with it.
    assert_eq!(graphs(), 1);
    // By count; the newest stays in any case.
    assert_eq!(prune(root.path(), &Limits { count: 0, ..all }, clock.now()).unwrap(), 1);
    assert_eq!(runs(root.path()).unwrap(), [&three, live.id()].map(Clone::clone));
    assert!(Recorded::open(root.path(), live.id().as_str()).unwrap().is_live());
    let id = live.id().clone();
    drop(live);
    assert!(!Recorded::open(root.path(), id.as_str()).unwrap().is_live());
    assert_eq!(prune(root.path(), &Limits { keep: day, ..all }, clock.now()).unwrap(), 1);
    assert_eq!(runs(root.path()).unwrap(), [three]);
}

#[test]
fn a_run_that_never_began_leaves_nothing() {
    let root = tempfile::tempdir().unwrap();
    let clock = Clock::manual(NOW);
    let (id, _) = record(root.path(), &clock, Limits::default(), &[started(&["a"]), finished()]);
    drop(Recorder::create(root.path(), &clock, Limits::default()).unwrap());
    assert_eq!(runs(root.path()).unwrap(), std::slice::from_ref(&id));
    assert_eq!(fs::read_link(runs_dir(root.path()).join("latest")).unwrap(), Path::new(id.as_str()));
}

#[test]
fn a_task_that_prints_without_end_does_not_fill_the_disk() {
    let root = tempfile::tempdir().unwrap();
    let clock = Clock::manual(NOW);
    let limits = Limits { bytes: 10, ..Limits::default() };
    let events = [
        started(&["yes", "no"]),
        node_started(0),
        output(0, b"y\ny\ny\n"),
        output(0, b"y\ny\ny\n"),
        output(0, b"y\ny\n"),
        output(1, b"n\n"),
        finished(),
    ];
    let (id, mut told) = record(root.path(), &clock, limits, &events);
    told[3].event = output(0, b"y\ny\n");
    told.drain(4..6);
    assert_eq!(read_back(root.path(), &id), told);
    let log = Recorded::open(root.path(), id.as_str()).unwrap().log("yes").unwrap();
    expect![[r#"
        y
        y
        y
        y
        y

        [envrun: the logs of this run have reached their limit; nothing more is kept]
    "#]]
    .assert_eq(&fs::read_to_string(log).unwrap());
}

#[test]
fn a_record_that_cannot_be_written_says_which_file() {
    let root = tempfile::tempdir().unwrap();
    let clock = Clock::manual(NOW);
    let mut recorder = Recorder::create(root.path(), &clock, Limits::default()).unwrap();
    fs::write(recorder.dir().join("logs"), "in the way").unwrap();
    let told = stamp(&clock, &[started(&["a"]), output(0, b"x")]);
    write(&mut recorder, &told[..1]);
    let mut state = RunState::new();
    state.apply(&told[0]);
    let error = recorder.on(&told[1], &state).unwrap_err().to_string();
    assert_eq!(
        error.replace(&*recorder.dir().to_string_lossy(), "<run>"),
        "cannot write `<run>/logs/a.log`: Not a directory (os error 20)"
    );
    fs::write(root.path().join("file"), "").unwrap();
    let error = Recorder::create(&root.path().join("file"), &clock, Limits::default()).unwrap_err();
    assert!(error.to_string().contains("cannot create the folder `"), "{error}");
}

#[test]
fn durations_are_remembered() {
    let root = tempfile::tempdir().unwrap();
    let mut durations = Durations::load(root.path());
    assert!(durations.is_empty());
    let mut observe = |label, ms| durations.observe(label, Duration::from_millis(ms), NOW);
    observe("a", 1000);
    observe("b c", 7);
    observe("a", 2001);
    durations.save(NOW).unwrap();
    let durations = Durations::load(root.path());
    assert_eq!(durations.of("a"), Some(Duration::from_millis(1500)));
    assert_eq!(durations.of("b c"), Some(Duration::from_millis(7)));
    assert_eq!(durations.of("c"), None);
    let path = root.path().join(".envrun/state/durations");
    expect![[r#"
        1500 20777 a
        7 20777 b c
    "#]]
    .assert_eq(&fs::read_to_string(&path).unwrap());
    // Each of many is found, whatever lies about it, and what is observed later takes its place.
    let mut many = Durations::load(root.path());
    let names: Vec<String> = (0..200).map(|at| format!("{}:n{at}", ["ä", "b", "b c", "z"][at % 4])).collect();
    (0..).zip(&names).for_each(|(ms, name)| many.observe(name, Duration::from_millis(ms), NOW));
    many.save(NOW).unwrap();
    let mut many = Durations::load(root.path());
    for (ms, name) in (0..).zip(&names) {
        assert_eq!(many.of(name), Some(Duration::from_millis(ms)), "{name}");
        assert_eq!(many.of(&format!("{name}x")), None);
    }
    // Who asks for many gets the same answers, around lines that mean nothing too.
    let text = fs::read_to_string(&path).unwrap();
    for text in [text.clone(), format!("\n5\n{text}1 2\nx 3 ü"), String::new()] {
        fs::write(&path, text).unwrap();
        let (one, all) = (Durations::load(root.path()), Durations::load(root.path()).for_many(1000));
        for name in names.iter().map(String::as_str).chain(["a", "b c", "", "b:n", "ü", "üü"]) {
            assert_eq!(all.of(name), one.of(name), "{name}");
        }
    }
    fs::write(&path, text).unwrap();
    many.observe("b:n1", Duration::from_millis(3), NOW);
    many.observe("0", Duration::from_millis(1), NOW);
    many.save(NOW).unwrap();
    let many = Durations::load(root.path());
    let known = ["0", "a", "b:n1", "z:n199"].map(|name| many.of(name).map(|known| known.as_millis()));
    assert_eq!(known, [Some(1), Some(1500), Some(2), Some(199)]);
    let text = fs::read_to_string(&path).unwrap();
    assert!(
        text.lines().is_sorted_by_key(|line| line.splitn(3, ' ').nth(2).unwrap())
            && text.lines().count() == 203
    );
    // Lines that mean nothing are passed over; what nobody executed for a season is forgotten.
    fs::write(&path, "\n5\nx 3 a\n9 20000 old\n4 20777 new\n").unwrap();
    let durations = Durations::load(root.path());
    assert_eq!(durations.of("old"), Some(Duration::from_millis(9)));
    durations.save(NOW).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "4 20777 new\n");
}
