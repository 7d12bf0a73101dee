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
use crate::report::{Options, Output, Reporter, Sink};
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

fn check(state: &RunState, size: (u16, u16), style: Style, expected: Expect) {
    let now = Timestamp(state.now().0 + 300);
    let lines = View::of(state).lines(now, size, style).join("\n");
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
              api:test     3.3s  try 2: cc -O2 -c part-1.c
              1/4 ━━━━━━────────────────── 5.3s, about 26s left, 1 failed"#]],
    );
    check(
        &state(&labels, 2, &more),
        (80, 24),
        Style::default(),
        expect![[r#"
            80x24
              api:test     3.3s  try 2: cc -O2 -c part-1.c
              1/4 ======------------------ 5.3s, about 26s left, 1 failed"#]],
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
              … and 5…
              0/6 5.3s"#]],
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
            let lines = View::of(&state).lines(event.time, (width, height), style);
            prop_assert!(lines.iter().all(|line| line.width() < usize::from(width)), "{:?}", lines);
            prop_assert!(lines.len() <= usize::from(height) / 3 + 2);
        }
    }
}

/// A reporter on a terminal, with a view that appears at once or never.
fn text_on(screen: &Screen, output: Output, live: bool) -> Text {
    let sink = |to| Sink { to, terminal: true, style: UNICODE };
    let mut text = Text::new(Options {
        output,
        verbose: false,
        ci: false,
        github: false,
        out: sink(Box::new(io::sink())),
        err: sink(Box::new(screen.clone())),
        joined: true,
        size: live.then(|| screen.size()),
    });
    text.patience = Duration::ZERO;
    text
}

/// What is on the screen when all is told.
fn screen_of(told: &[Sequenced], output: Output, live: bool) -> String {
    let screen = Screen::new(60, 400);
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
    let mut screen = Screen::new(60, 20);
    screen.write_all(b"$ envrun test\n").unwrap();
    let mut text = text_on(&screen, Output::Auto, true);
    let (mut state, mut sequencer) = (RunState::new(), Sequencer::new(Clock::manual(Timestamp(1_000_000))));
    let mut tell = |event| {
        let told = sequencer.stamp(event);
        state.apply(&told);
        text.on(&told, &state).unwrap();
        without_times(&screen.text())
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
    expect![[r#"
        $ envrun test
               run build because it always runs
              done build in 0.0s
          1/3 ━━━━━━━━──────────────── 0.0s"#]]
    .assert_eq(&tell(done(0)));
    expect![[r#"
        $ envrun test
               run build because it always runs
              done build in 0.0s
               run shell because it always runs"#]]
    .assert_eq(&tell(start(1, true)));
    tell(done(1));
    expect![[r#"
        $ envrun test
               run build because it always runs
              done build in 0.0s
               run shell because it always runs
              done shell in 0.0s
               run test because it always runs
          test     0.0s  psql
          2/3 ━━━━━━━━━━━━━━━━──────── 0.0s"#]]
    .assert_eq(&tell(start(2, false)));
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
struct Screen(Arc<Mutex<vt100::Parser>>, Arc<AtomicU32>);

fn terminal(columns: u16, rows: u16) -> vt100::Parser {
    let size = |size| NonZero::new(size).unwrap();
    vt100::Parser::new(size(rows), size(columns), 0)
}

impl Screen {
    fn new(columns: u16, rows: u16) -> Self {
        Self(Arc::new(Mutex::new(terminal(columns, rows))), Arc::default())
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

impl Write for Screen {
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
    let mut screen = Screen::new(60, 12);
    screen.write_all(b"$ envrun deploy\n").unwrap();
    let labels = ["build", "test", "deploy"];
    let begun = state(&labels, 2, &[]);
    let live = Live::still(Box::new(screen.clone()), screen.size(), UNICODE, &begun);
    live.show_after(Duration::ZERO);
    live.bar.tick();
    expect![[r#"
        $ envrun deploy
          build     0.0s  cc -O2 -c part-0.c
          test      0.0s  cc -O2 -c part-1.c
          0/3 ──────────────────────── 0.0s"#]]
    .assert_eq(&without_times(&screen.text()));

    let writes = screen.writes();
    live.above(b"build | one\nbuild | two\n").unwrap();
    assert_eq!(screen.writes(), writes + 1, "cleared, written and drawn in one piece");
    expect![[r#"
        $ envrun deploy
        build | one
        build | two
          build     0.0s  cc -O2 -c part-0.c
          test      0.0s  cc -O2 -c part-1.c
          0/3 ──────────────────────── 0.0s"#]]
    .assert_eq(&without_times(&screen.text()));

    // Fewer lines than before: nothing of them is left.
    let done = Outcome::Succeeded { stored: true };
    let done = Event::NodeFinished { node: NodeIx(0), outcome: done, took: Duration::ZERO };
    live.update(&state(&labels, 2, &[done]));
    live.above(b"done build\n").unwrap();
    expect![[r#"
        $ envrun deploy
        build | one
        build | two
        done build
          test     0.0s  cc -O2 -c part-1.c
          1/3 ━━━━━━━━──────────────── 0.0s"#]]
    .assert_eq(&without_times(&screen.text()));

    live.end().write_all(b"that was all\n").unwrap();
    expect![[r#"
        $ envrun deploy
        build | one
        build | two
        done build
        that was all"#]]
    .assert_eq(&screen.text());
}

/// A window that becomes narrower wraps what is drawn; it is found again all the same.
#[test]
fn a_window_made_narrower() {
    let wide = Screen::new(60, 12);
    let canvas = Canvas::new(Box::new(wide.clone()), wide.size());
    let draw = |lines: &[&str]| {
        use indicatif::TermLike;
        canvas.move_cursor_up(0).unwrap();
        for line in lines {
            canvas.write_str(line).unwrap();
            canvas.write_str("   ").unwrap();
        }
        canvas.flush().unwrap();
    };
    canvas.text(b"text\n");
    draw(&["a line of which there is quite a lot", "short"]);
    expect![[r#"
        text
        a line of which there is quite a lot
        short"#]]
    .assert_eq(&wide.text());
    // What a terminal does with it at half the width.
    let mut narrow = terminal(20, 12);
    narrow.process(b"text\r\na line of which there is quite a lot\r\nshort");
    *wide.0.lock().unwrap() = narrow;
    draw(&["another"]);
    expect![[r#"
        text
        another"#]]
    .assert_eq(&wide.text());
}

/// Digits of times replaced: they are of the moment.
fn without_times(text: &str) -> String {
    let seconds = |word: &str| word.ends_with('s') && word.starts_with(|c: char| c.is_ascii_digit());
    let line = |line: &str| {
        line.split(' ').map(|word| if seconds(word) { "0.0s" } else { word }).collect::<Vec<_>>().join(" ")
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}
