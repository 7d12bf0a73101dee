use std::num::NonZero;
use std::sync::atomic::{AtomicU32, Ordering};

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;
use crate::base::Clock;
use crate::event::tests::sensible_sequence;
use crate::event::{
    Because, Event, FORMAT, Failure, NodeInfo, Outcome, RunFinished, RunStarted, Sequenced, Sequencer,
};
use crate::graph::NodeIx;
use crate::report::text::Text;
use crate::report::words;
use crate::report::{Options, Output, Reporter, Sink};
use crate::service::State;
use crate::service::spec::Link;
use unicode_width::UnicodeWidthStr;

const UNICODE: Style = Style { colour: false, unicode: true };

fn run_started(labels: &[&str]) -> Event {
    let info = |label: &&str| NodeInfo {
        label: (*label).into(),
        desc: None,
        group: false,
        target: false,
        service: false,
    };
    Event::RunStarted(RunStarted {
        format: FORMAT,
        run: String::new(),
        envrun: String::new(),
        root: String::new(),
        targets: Vec::new(),
        jobs: 4,
        dry_run: false,
        chosen: None,
        nodes: labels.iter().map(info).collect(),
    })
}

/// A run of these nodes, of which the first `running` have begun a second apart.
fn state(labels: &[&str], running: u32, more: &[Event]) -> RunState {
    let clock = Clock::manual(Timestamp(1_000_000));
    let mut sequencer = Sequencer::new(clock.clone());
    let mut state = RunState::new();
    let mut tell = |event| {
        state.apply(&sequencer.stamp(event));
        clock.advance(Duration::from_secs(1));
    };
    tell(run_started(labels));
    for node in 0..running {
        tell(Event::NodeStarted {
            node: NodeIx(node),
            because: Because { reason: String::new(), more: 0 },
            commands: vec![format!("cc -O2 -c part-{node}.c\nand more")],
            dir: String::new(),
            interactive: false,
        });
    }
    more.iter().cloned().for_each(tell);
    state
}

/// Nothing that no event tells.
fn nothing() -> Extras<'static> {
    static NO_TAILS: std::sync::LazyLock<HashMap<NodeIx, String>> = std::sync::LazyLock::new(HashMap::new);
    Extras { statuses: &[], asked: Timestamp(0), tails: &NO_TAILS, idle: None, keys: &[] }
}

fn check(state: &RunState, size: (u16, u16), style: Style, expected: Expect) {
    let now = Timestamp(state.now().0 + 300);
    let lines = View::of(state).lines(now, size, style, &nothing()).join("\n");
    expected.assert_eq(&format!("{}x{}\n{lines}", size.0, size.1));
}

#[test]
fn what_runs_and_how_far_it_is() {
    let labels = ["build", "api:test", "lint", "deploy"];
    check(
        &state(&labels, 2, &[]),
        (80, 24),
        UNICODE,
        expect![[r#"
            80x24
              build        1.3s  cc -O2 -c part-0.c
              api:test     0.3s  cc -O2 -c part-1.c
              0/4 ──────────────────────── 2.3s"#]],
    );
    let expected = Event::Expected { took_ms: (0..4).map(|node| (NodeIx(node), 30_000)).collect() };
    let failure = Failure::Exit { status: 1, command: String::new() };
    let failed = Outcome::Failed { failure: failure.clone(), log: None, hint: None };
    let more = [
        expected,
        Event::NodeFinished { node: NodeIx(0), outcome: failed, took: Duration::ZERO },
        Event::NodeRetrying { node: NodeIx(1), attempt: 1, of: 2, failure, pause: Duration::ZERO },
    ];
    check(
        &state(&labels, 2, &more),
        (80, 24),
        UNICODE,
        expect![[r#"
            80x24
              api:test     3.3s  11%  try 2: cc -O2 -c part-1.c
              1/4 ━━━━━━────────────────── 5.3s, about 26s left, 1 failed"#]],
    );
    check(
        &state(&labels, 2, &more),
        (80, 24),
        Style::default(),
        expect![[r#"
            80x24
              api:test     3.3s  11%  try 2: cc -O2 -c part-1.c
              1/4 ======------------------ 5.3s, about 26s left, 1 failed"#]],
    );
    let phase = |phase: &str, about: &str| Event::NodePhase {
        node: NodeIx(1),
        phase: phase.to_owned(),
        about: about.to_owned(),
    };
    check(
        &state(&labels, 2, &[phase("applying", "revision 3f2a1b"), phase("verifying", "for 1m")]),
        (80, 24),
        UNICODE,
        expect![[r#"
            80x24
              build        3.3s  cc -O2 -c part-0.c
              api:test     2.3s  verifying (0.3s) for 1m
              0/4 ──────────────────────── 4.3s"#]],
    );
    let stop = Event::Interrupted { signal: "SIGINT".to_owned(), level: 1 };
    check(
        &state(&labels, 2, &[stop]),
        (80, 24),
        UNICODE,
        expect![[r#"
            80x24
              build        2.3s  cc -O2 -c part-0.c
              api:test     1.3s  cc -O2 -c part-1.c
              0/4 ──────────────────────── 3.3s, stopping"#]],
    );
}

#[test]
fn small_windows_and_wide_names() {
    let labels = ["build", "a-very-long-name-of-a-task", "\u{7de8}\u{8b6f}", "tab\tand\x1b[2J", "e", "f"];
    check(
        &state(&labels, 5, &[]),
        (40, 24),
        UNICODE,
        expect![[r#"
            40x24
              build                   4.3s  cc -O2…
              a-very-long-name-o…     3.3s  cc -O2…
              編譯                    2.3s  cc -O2…
              tab and [2J             1.3s  cc -O2…
              e                       0.3s  cc -O2…
              0/6 ──────────────────────── 5.3s"#]],
    );
    check(
        &state(&labels, 5, &[]),
        (40, 6),
        UNICODE,
        expect![[r#"
            40x6
              build     4.3s  cc -O2 -c part-0.c
              … and 4 more
              0/6 ──────────────────────── 5.3s"#]],
    );
    check(
        &state(&labels, 5, &[]),
        (20, 3),
        UNICODE,
        expect![[r#"
            20x3
              … and 5 more
              0/6 5.3s"#]],
    );
    check(
        &state(&labels, 5, &[]),
        (3, 1),
        UNICODE,
        expect![[r#"
            3x1
             …"#]],
    );
}

proptest! {
    /// Never wider than the window, never so high that the text above has no room.
    #[test]
    fn the_view_fits(told in sensible_sequence(), width in 12u16..200, height in 1u16..60, unicode in any::<bool>()) {
        let mut state = RunState::new();
        for event in &told {
            state.apply(event);
            let style = Style { colour: false, unicode };
            let lines = View::of(&state).lines(event.time, (width, height), style, &nothing());
            prop_assert!(lines.iter().all(|line| line.width() < usize::from(width)), "{:?}", lines);
            prop_assert!(lines.len() <= usize::from(height) / 3 + 2);
        }
    }
}

/// A reporter on a terminal, with a view that appears at once or never.
fn text_on(screen: &Terminal, output: Output, live: bool) -> Text {
    let sink = |to| Sink { to, terminal: true, style: UNICODE };
    let on = on(screen);
    let mut text = Text::new(Options {
        output,
        verbose: false,
        ci: false,
        github: false,
        out: sink(Box::new(io::sink())),
        err: sink(on.stream()),
        joined: true,
        screen: live.then_some(on),
        stays: false,
    });
    text.patience = Duration::ZERO;
    text
}

/// The view on a terminal.
fn on(screen: &Terminal) -> Screen {
    Screen::new(Box::new(screen.clone()), screen.size(), UNICODE, Arc::new(|| true))
}

/// What is on the screen when all is told.
fn screen_of(told: &[Sequenced], output: Output, live: bool) -> String {
    let screen = Terminal::new(60, 400);
    let mut text = text_on(&screen, output, live);
    let mut state = RunState::new();
    for event in told {
        state.apply(event);
        text.on(event, &state).unwrap();
    }
    screen.text()
}

#[test]
fn an_interactive_task_has_the_terminal_to_itself() {
    let mut screen = Terminal::new(60, 20);
    screen.write_all(b"$ envrun test\n").unwrap();
    let mut text = text_on(&screen, Output::Auto, true);
    let (mut state, mut sequencer) = (RunState::new(), Sequencer::new(Clock::manual(Timestamp(1_000_000))));
    let mut tell = |event| {
        let told = sequencer.stamp(event);
        state.apply(&told);
        text.on(&told, &state).unwrap();
    };
    // Drawn a moment later, by a thread of its own.
    let seen = |expected: Expect| {
        let until = Instant::now() + Duration::from_secs(60);
        let wanted =
            expected.data().trim_start_matches('\n').lines().map(str::trim_start).collect::<Vec<_>>();
        while without_times(&screen.text()).lines().map(str::trim_start).ne(wanted.iter().copied()) {
            if Instant::now() > until {
                return expected.assert_eq(&without_times(&screen.text()));
            }
            std::thread::yield_now();
        }
    };
    let start = |node, interactive| Event::NodeStarted {
        node: NodeIx(node),
        because: Because { reason: "it always runs".to_owned(), more: 0 },
        commands: vec!["psql".to_owned()],
        dir: String::new(),
        interactive,
    };
    let done = |node| Event::NodeFinished {
        node: NodeIx(node),
        outcome: Outcome::Succeeded { stored: false },
        took: Duration::ZERO,
    };
    tell(run_started(&["build", "shell", "test"]));
    tell(start(0, false));
    tell(done(0));
    seen(expect![[r#"
        $ envrun test
               run build because it always runs
              done build in 0.0s
          1/3 ━━━━━━━━──────────────── 0.0s"#]]);
    tell(start(1, true));
    seen(expect![[r#"
        $ envrun test
               run build because it always runs
              done build in 0.0s
               run shell because it always runs"#]]);
    tell(done(1));
    tell(start(2, false));
    seen(expect![[r#"
        $ envrun test
               run build because it always runs
              done build in 0.0s
               run shell because it always runs
              done shell in 0.0s
               run test because it always runs
          test     0.0s  psql
          2/3 ━━━━━━━━━━━━━━━━──────── 0.0s"#]]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// When all is over, nothing of the view is left, and nothing of the text is lost.
    #[test]
    fn the_view_leaves_no_trace(mut told in sensible_sequence(), output in prop_oneof![Just(Output::Prefix), Just(Output::Group), Just(Output::Errors)]) {
        let last = told.last().unwrap();
        if !matches!(last.event, Event::RunFinished(_)) {
            let event = Event::RunFinished(RunFinished { exit: 0, took: Duration::ZERO });
            told.push(Sequenced { seq: last.seq + 1, event, ..*last });
        }
        prop_assert_eq!(screen_of(&told, output, true), screen_of(&told, output, false));
    }
}

/// A terminal of which the test sees the screen.
#[derive(Clone)]
struct Terminal(Arc<Mutex<vt100::Parser>>, Arc<AtomicU32>);

fn vt100(columns: u16, rows: u16) -> vt100::Parser {
    let size = |size| NonZero::new(size).unwrap();
    vt100::Parser::new(size(rows), size(columns), 0)
}

impl Terminal {
    fn new(columns: u16, rows: u16) -> Self {
        Self(Arc::new(Mutex::new(vt100(columns, rows))), Arc::default())
    }

    fn text(&self) -> String {
        self.0.lock().unwrap().screen().contents()
    }

    fn size(&self) -> Size {
        let screen = self.clone();
        Arc::new(move || {
            let (rows, columns) = screen.0.lock().unwrap().screen().size();
            (columns.get(), rows.get())
        })
    }

    fn writes(&self) -> u32 {
        self.1.load(Ordering::SeqCst)
    }
}

impl Write for Terminal {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.1.fetch_add(1, Ordering::SeqCst);
        // All of it at once: a screen that is looked at meanwhile shows what was before.
        let mut screen = self.0.lock().unwrap();
        // As a terminal's driver does with line ends.
        let mut last = 0;
        for byte in bytes {
            if *byte == b'\n' && last != b'\r' {
                screen.process(b"\r");
            }
            screen.process(&[*byte]);
            last = *byte;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn text_stays_above_what_is_drawn_over() {
    let mut terminal = Terminal::new(60, 12);
    terminal.write_all(b"$ envrun deploy\n").unwrap();
    let labels = ["build", "test", "deploy"];
    let screen = on(&terminal);
    screen.begin(&state(&labels, 2, &[]), Duration::ZERO);
    let seen = |lines: &str| {
        let until = Instant::now() + Duration::from_secs(60);
        while without_times(&terminal.text()) != lines {
            assert!(Instant::now() < until, "{}\ninstead of\n{lines}", without_times(&terminal.text()));
            std::thread::yield_now();
        }
    };
    seen(
        "$ envrun deploy\n  build     0.0s  cc -O2 -c part-0.c\n  test      0.0s  cc -O2 -c part-1.c\n  0/3 ──────────────────────── 0.0s",
    );
    screen.text(b"build | one\nbuild | two\n").unwrap();
    seen(
        "$ envrun deploy\nbuild | one\nbuild | two\n  build     0.0s  cc -O2 -c part-0.c\n  test      0.0s  cc -O2 -c part-1.c\n  0/3 ──────────────────────── 0.0s",
    );
    // Fewer lines than before: nothing of them is left.
    let done = Outcome::Succeeded { stored: true };
    let done = Event::NodeFinished { node: NodeIx(0), outcome: done, took: Duration::ZERO };
    screen.update(&state(&labels, 2, &[done]), false);
    screen.text(b"done build\n").unwrap();
    seen(
        "$ envrun deploy\nbuild | one\nbuild | two\ndone build\n  test    0.0s  cc -O2 -c part-1.c\n  1/3 ━━━━━━━━──────────────── 0.0s",
    );
    // Somebody else has the terminal: nothing is drawn, and what is said is text.
    screen.leave();
    screen.text(b"meanwhile\n").unwrap();
    seen("$ envrun deploy\nbuild | one\nbuild | two\ndone build\nmeanwhile");
    screen.come_back();
    seen(
        "$ envrun deploy\nbuild | one\nbuild | two\ndone build\nmeanwhile\n  test    0.0s  cc -O2 -c part-1.c\n  1/3 ━━━━━━━━──────────────── 0.0s",
    );
    screen.close();
    screen.text(b"that was all\n").unwrap();
    seen("$ envrun deploy\nbuild | one\nbuild | two\ndone build\nmeanwhile\nthat was all");
}

/// However much is printed, it is drawn a few times a second, in whole pieces, and nothing of it is lost.
#[test]
fn a_flood_is_drawn_now_and_then() {
    let terminal = Terminal::new(60, 400);
    let screen = on(&terminal);
    screen.begin(&state(&["build"], 1, &[]), Duration::ZERO);
    let begun = Instant::now();
    for line in 0..2_000 {
        screen.text(format!("line {line} of a flood\n").as_bytes()).unwrap();
    }
    screen.close();
    let frames = u32::try_from(begun.elapsed().as_millis() / FRAME.as_millis()).unwrap();
    // The threads that draw, and a write for each time that too much waits.
    assert!(terminal.writes() <= frames + 8, "{} writes in {:?}", terminal.writes(), begun.elapsed());
    let text = terminal.text();
    assert!(text.ends_with("line 1998 of a flood\nline 1999 of a flood"), "{text}");
    assert_eq!(screen.lock().text.capacity(), 0);
}

#[test]
fn what_is_up_and_what_it_takes() {
    let status = |label: &str, state, load: Option<u32>, memory, url: &str| Status {
        label: label.into(),
        name: label.into(),
        state,
        process: None,
        started: None,
        ready: None,
        restarts: 0,
        last_exit: None,
        failure: None,
        found: false,
        urls: if url.is_empty() { Vec::new() } else { vec![Link { name: None, url: url.into() }] },
        ports: Vec::new(),
        identity: crate::base::Digest::of(b""),
        content: None,
        kept: false,
        daemon: false,
        usage: load.map(|_| crate::exec::Usage { processes: 1, cpu: Duration::ZERO, memory }),
        load,
    };
    let trouble = crate::service::Trouble::NotReady { within: Duration::from_secs(9) };
    let statuses = [
        status("worker", State::Failed(trouble), None, 0, ""),
        status("api", State::Ready, Some(23), 89_128_960, "http://localhost:3000"),
        status("database", State::Starting, Some(1_000), 1 << 30, ""),
        status("of-another-run", State::Ready, None, 0, ""),
    ];
    let events = run_of(&["api", "database", "worker", "test"], &["api", "database", "worker"], 1);
    let shown = |size, idle: Option<&str>, keys: &[String]| {
        let extras = Extras { statuses: &statuses, idle, keys, ..nothing() };
        let now = Timestamp(events.now().0 + 300);
        format!("seen\n{}", View::of(&events).lines(now, size, UNICODE, &extras).join("\n"))
    };
    let keys = ["r rerun  s services  ? help".to_owned(), "? help".to_owned()];
    expect![[r#"
        seen
          api       ready       2.3%  85.0 MiB  http://localhost:3000
          database  starting  100.0%   1.0 GiB
          worker    failed
          test     1.3s  cc -O2 -c part-3.c
          0/4 ──────────────────────── 1.3s   r rerun  s services  ? help"#]]
    .assert_eq(&shown((80, 24), None, &keys));
    expect![[r#"
        seen
          api       ready       2.3%  85.0 MiB  http:…
          database  starting  100.0%   1.0 GiB
          worker    failed
          test     1.3s  cc -O2 -c part-3.c
          watching 3 files in 1 folder   ? help"#]]
    .assert_eq(&shown((47, 24), Some("watching 3 files in 1 folder"), &keys));
    expect![[r#"
        seen
          worker  fail…
          … and 2 serv…
          test     1.3s
          0/4 1.3s"#]]
    .assert_eq(&shown((16, 6), None, &keys));
    // What is not as it should be comes first.
    expect![[r#"
        seen
          worker  failed
          … and 2 services more
          test     1.3s  cc -O2 -c part-3.c
          0/4 ──────────────────────── 1.3s   r rerun  s services  ? help"#]]
    .assert_eq(&shown((80, 6), None, &keys));
}

/// No line is ever wider than the window, and there are never more than it has rows.
#[test]
fn windows_of_any_size() {
    let labels = ["a-name-that-is-longer-than-it-should-be", "\u{7de8}\u{8b6f}", "c"];
    let state = run_of(&labels, &labels[..1], 2);
    let keys = ["r rerun  q quit  ? help".to_owned(), "? help".to_owned()];
    for idle in [None, Some("watching 10000 files in 400 folders, polling")] {
        for (width, height) in (1..70).flat_map(|width| (1..10).map(move |height| (width, height))) {
            let extras = Extras { idle, keys: &keys, ..nothing() };
            let lines = View::of(&state).lines(state.now(), (width, height), UNICODE, &extras);
            let room = usize::from(height).saturating_sub(1).max(1);
            assert!(lines.len() <= room, "{width}x{height}: {lines:#?}");
            let widest = lines.iter().map(|line| line.width()).max().unwrap();
            assert!(widest < usize::from(width).max(2), "{width}x{height}: {lines:#?}");
            let foot = lines.last().unwrap();
            assert!(foot.ends_with("? help") || width < 30, "{width}x{height}: {foot}");
        }
    }
}

/// What is being stopped is said instead of everything that nobody can ask for any more.
#[test]
fn while_it_is_left() {
    let mut state = run_of(&["api", "db", "test"], &["api", "db"], 3);
    let mut told = |event: Event, ms: u64| {
        let time = Timestamp(state.now().0 + ms);
        state.apply(&Sequenced { seq: 0, time, event });
        state.clone()
    };
    let keys = ["r rerun  q quit  ? help".to_owned()];
    let foot = |state: &RunState, idle| {
        let extras = Extras { keys: &keys, idle, ..nothing() };
        View::of(state).lines(state.now(), (80, 24), UNICODE, &extras).pop().unwrap()
    };
    let up = Outcome::Up {
        begun: crate::service::Begun::Started,
        gate: crate::model::Gate::Ready,
        urls: Vec::new(),
    };
    for node in [0, 1] {
        told(Event::NodeFinished { node: NodeIx(node), outcome: up.clone(), took: Duration::ZERO }, 0);
    }
    told(
        Event::NodeFinished {
            node: NodeIx(2),
            outcome: Outcome::Succeeded { stored: true },
            took: Duration::ZERO,
        },
        0,
    );
    let state = told(Event::RunFinished(RunFinished { exit: 0, took: Duration::ZERO }), 0);
    assert_eq!(foot(&state, Some("watching")), "  watching   r rerun  q quit  ? help");
    let state = told(Event::SessionEnding, 0);
    assert_eq!(foot(&state, Some("watching")), "  stopping");
    let service = |node, state| Event::ServiceChanged {
        node: NodeIx(node),
        state,
        failure: None,
        log: None,
        hint: None,
    };
    told(service(0, State::Stopping { kill: Some(Duration::from_secs(3)) }), 0);
    let state = told(Event::Expected { took_ms: Vec::new() }, 1_500);
    assert_eq!(foot(&state, Some("watching")), "  stopping api (SIGKILL in 2s)");
    told(service(0, State::Stopped), 2_000);
    assert_eq!(state.served(NodeIx(0)).unwrap().stopped, None);
    let left = told(service(1, State::Ready), 0);
    assert_eq!(
        words::ended(&left, Duration::from_secs(4)).unwrap(),
        "api stopped in 4.0s; db stays up: not only this session needs it"
    );
    let state = told(service(1, State::Stopping { kill: None }), 0);
    assert_eq!(state.served(NodeIx(0)).unwrap().stopped, Some((Duration::from_millis(3_500), true)));
    assert_eq!(foot(&state, None), "  stopping db");
    let state = told(service(1, State::Stopped), 100);
    assert_eq!(words::ended(&state, Duration::from_secs(4)).unwrap(), "api, db stopped in 4.0s");
}

/// A run in which these nodes are services, and the last task has begun.
fn run_of(labels: &[&str], services: &[&str], running: u32) -> RunState {
    let Event::RunStarted(mut started) = run_started(labels) else { unreachable!("it is one") };
    let nodes = started.nodes.iter().cloned();
    let nodes = nodes.map(|info| NodeInfo { service: services.contains(&&*info.label), ..info });
    started.nodes = nodes.collect();
    let clock = Clock::manual(Timestamp(1_000_000));
    let mut sequencer = Sequencer::new(clock.clone());
    let mut state = RunState::new();
    state.apply(&sequencer.stamp(Event::RunStarted(started)));
    for node in (0..labels.len() as u32).rev().take(running as usize) {
        state.apply(&sequencer.stamp(Event::NodeStarted {
            node: NodeIx(node),
            because: Because { reason: String::new(), more: 0 },
            commands: vec![format!("cc -O2 -c part-{node}.c")],
            dir: String::new(),
            interactive: false,
        }));
    }
    clock.advance(Duration::from_secs(1));
    state.apply(&sequencer.stamp(Event::Expected { took_ms: Vec::new() }));
    state
}

/// A task whose time is known shows how far it is, one that tells of its progress what it tells.
#[test]
fn how_far_a_task_is() {
    let expected = Event::Expected { took_ms: vec![(NodeIx(0), 10_000), (NodeIx(1), 100)] };
    let state = state(&["build", "test", "lint"], 3, &[expected]);
    let tails = HashMap::from([(NodeIx(2), "[####    ] 50%".to_owned())]);
    let now = Timestamp(state.now().0 + 300);
    let lines = View::of(&state).lines(now, (60, 24), UNICODE, &Extras { tails: &tails, ..nothing() });
    expect![[r#"
        seen
          build     3.3s  33%  cc -O2 -c part-0.c
          test      2.3s  99%  cc -O2 -c part-1.c
          lint      1.3s       [####    ] 50%
          0/3 ──────────────────────── 4.3s, about 6s left"#]]
    .assert_eq(&format!("seen\n{}", lines.join("\n")));
}

/// A window that becomes narrower wraps what is drawn; it is found again all the same.
#[test]
fn a_window_made_narrower() {
    let mut terminal = Terminal::new(60, 12);
    let mut canvas = Canvas::default();
    let lines = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
    let long = "a line of which there is quite a lot";
    canvas.draw(&mut terminal, b"text\n", lines(&[long, "short"]), (60, 12)).unwrap();
    expect![[r#"
        text
        a line of which there is quite a lot
        short"#]]
    .assert_eq(&terminal.text());
    // What a terminal does with it at half the width.
    let mut narrow = vt100(20, 12);
    narrow.process(format!("text\r\n{long}\r\nshort").as_bytes());
    *terminal.0.lock().unwrap() = narrow;
    canvas.draw(&mut terminal, b"", lines(&["another"]), (20, 12)).unwrap();
    expect![[r#"
        text
        another"#]]
    .assert_eq(&terminal.text());
    // Nothing new: nothing is written.
    let writes = terminal.writes();
    canvas.draw(&mut terminal, b"", lines(&["another"]), (20, 12)).unwrap();
    assert_eq!(terminal.writes(), writes);
}

/// Digits of times replaced: they are of the moment.
fn without_times(text: &str) -> String {
    let seconds = |word: &str| word.ends_with('s') && word.starts_with(|c: char| c.is_ascii_digit());
    let line = |line: &str| {
        line.split(' ').map(|word| if seconds(word) { "0.0s" } else { word }).collect::<Vec<_>>().join(" ")
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}
