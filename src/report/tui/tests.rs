use std::num::NonZero;

use proptest::prelude::*;

use super::*;
use crate::base::Timestamp;
use crate::event::tests::sensible_sequence;
use crate::event::{Because, FORMAT, NodeInfo, Outcome, RunFinished, RunStarted, Sequencer, Stream};
use crate::graph::NodeIx;
use expect_test::expect;

const PLAIN: Style = Style { colour: false, unicode: true };

/// A board that was told all this.
struct Told(Board, RunState, Sequencer);

impl Told {
    fn of(labels: &[&str]) -> Self {
        let clock = crate::base::Clock::manual(Timestamp(1_000_000));
        let mut told = Self(Board::default(), RunState::new(), Sequencer::new(clock));
        told.begin(labels);
        told
    }

    fn begin(&mut self, labels: &[&str]) {
        let info = |label: &&str| NodeInfo {
            label: (*label).into(),
            desc: None,
            group: false,
            target: false,
            service: label.starts_with("web"),
        };
        self.tell(Event::RunStarted(RunStarted {
            format: FORMAT,
            run: String::new(),
            envrun: String::new(),
            root: String::new(),
            targets: Vec::new(),
            jobs: 4,
            dry_run: false,
            chosen: None,
            nodes: labels.iter().map(info).collect(),
        }));
    }

    fn tell(&mut self, event: Event) {
        let told = self.2.stamp(event);
        self.1.apply(&told);
        self.0.on(&told, &self.1);
    }

    fn start(&mut self, node: u32) {
        self.tell(Event::NodeStarted {
            node: NodeIx(node),
            because: Because { reason: String::new(), more: 0 },
            commands: Vec::new(),
            dir: String::new(),
            interactive: false,
        });
    }

    fn print(&mut self, node: u32, text: &str) {
        self.tell(Event::Output { node: NodeIx(node), stream: Stream::Stdout, bytes: text.into() });
    }

    fn finish(&mut self, node: u32, outcome: Outcome) {
        self.tell(Event::NodeFinished { node: NodeIx(node), outcome, took: Duration::from_millis(1_200) });
    }

    /// The screen as text.
    fn seen(&mut self, width: u16, height: u16) -> String {
        let mut buffer = Buffer::empty(Rect::new(0, 0, width, height));
        draw::draw(&mut self.0, &mut buffer, PLAIN);
        let mut bytes = Vec::new();
        draw::cells(&Buffer::empty(buffer.area), &buffer, &mut bytes);
        let size = |size| NonZero::new(size).unwrap();
        let mut terminal = vt100::Parser::new(size(height), size(width), 0);
        terminal.process(&bytes);
        terminal.screen().contents()
    }
}

#[test]
fn a_list_of_nodes_and_the_log_of_one() {
    let mut told = Told::of(&["build", "web", "test"]);
    told.start(0);
    told.print(0, "one\ntwo\nthree\n\x1b[31mfour\x1b[0m\x1b[2J\n10%\r50%");
    told.finish(
        1,
        Outcome::Up {
            begun: crate::service::Begun::Started,
            gate: crate::model::Gate::Ready,
            urls: Vec::new(),
        },
    );
    told.0.say(b"       run build because it never ran here\n");
    told.finish(0, Outcome::Succeeded { stored: true });
    expect![[r#"
        seen
           envrun              │ envrun
         ✓ build          1.2s │        run build because it never ran here
         ▲ web                 │
         · test                │
                               │
         2/3   j/k choose  pgup/pgdn scroll  / search  r rerun  q quit  ? help"#]]
    .assert_eq(&format!("seen\n{}", told.seen(70, 6)));
    assert_eq!(told.0.pressed(b"j", 4), None);
    expect![[r#"
        seen
           envrun              │ build
         ✓ build          1.2s │ two
         ▲ web                 │ three
         · test                │ four
                               │ 50%
         2/3   j/k choose  pgup/pgdn scroll  / search  r rerun  q quit  ? help"#]]
    .assert_eq(&format!("seen\n{}", told.seen(70, 6)));
    // Back to its beginning, and no further.
    assert_eq!(told.0.pressed(b"\x1b[5~\x1b[5~\x1b[5~", 4), None);
    expect![[r#"
        seen
           envrun              │ build
         ✓ build          1.2s │ one
         ▲ web                 │ two
         · test                │ three
                               │ four                             1 row below 
         2/3   j/k choose  pgup/pgdn scroll  / search  r rerun  q quit  ? help"#]]
    .assert_eq(&format!("seen\n{}", told.seen(70, 6)));
    assert_eq!(told.0.pressed(b"?", 4), None);
    assert!(told.seen(70, 9).contains("this help"));
    for closes in ["\x1b", "j", "?", "k", "\x1b[5~", "n"] {
        assert_eq!(told.0.pressed(closes.as_bytes(), 4), None);
        assert!(!told.seen(70, 9).contains("this help"), "{closes:?}");
        assert_eq!(told.0.pressed(b"?", 4), None);
        assert!(told.seen(70, 9).contains("this help"));
    }
    assert_eq!(told.0.pressed(b"r", 4), Some(Wish::Again));
    assert_eq!(told.0.pressed(b"kq", 4), Some(Wish::Quit));
    // Another run: the logs stay, and what was said of it is what is left.
    told.begin(&["build", "web", "test"]);
    told.0.say(b"nothing to do\n");
    told.tell(Event::RunFinished(RunFinished { exit: 0, took: Duration::ZERO }));
    assert_eq!(told.0.pressed(b"j", 4), None);
    assert!(told.seen(70, 9).contains("four"));
    assert_eq!(told.0.close(), "nothing to do\n");
}

/// A log is searched, and whoever reads above is left there while more is printed.
#[test]
fn search_and_scroll() {
    let mut told = Told::of(&["build"]);
    told.start(0);
    for line in 0..100 {
        told.print(0, &format!("line {line}{}\n", if line % 30 == 0 { " Error" } else { "" }));
    }
    told.0.pressed(b"j", 6);
    let mut press = |keys: &[u8]| {
        told.seen(70, 8);
        told.0.pressed(keys, 6);
        told.print(0, "more\nand an endless");
        let seen = told.seen(70, 8);
        let errors =
            seen.lines().filter(|line| line.contains("Error")).map(str::to_owned).collect::<Vec<_>>();
        (
            errors.join("|").split("│ ").nth(1).unwrap_or_default().to_owned(),
            seen.lines().last().unwrap().to_owned(),
        )
    };
    assert!(press(b"/erro").1.contains("/erro"));
    let (found, foot) = press(b"x\x7fr\r");
    assert_eq!(found, "line 90 Error");
    assert!(foot.contains("/error  n up  N down"), "{foot}");
    assert_eq!(press(b"nn").0, "line 30 Error");
    assert_eq!(press(b"").0, "line 30 Error");
    assert_eq!(press(b"N").0, "line 60 Error");
    assert!(press(b"NNN").1.contains("no line below"));
    assert_eq!(press(b"G").0, "");
    // Escape leaves the search; the keys mean again what they meant.
    assert!(press(b"/qq").1.contains("/qq"));
    assert_eq!(told.0.pressed(b"\x1b", 6), None);
    assert_eq!(told.0.pressed(b"q", 6), Some(Wish::Quit));
}

/// Windows of any size, names and lines of any width: nothing is drawn outside, nothing breaks.
#[test]
fn small_windows_and_wide_characters() {
    let mut told = Told::of(&["\u{7de8}\u{8b6f}", "a-name-that-is-longer-than-any-list-would-like-it-to-be"]);
    told.start(0);
    told.print(0, &"\u{7de8}\u{8b6f}\u{1f980}x".repeat(40));
    told.0.pressed(b"j", 4);
    for width in 1..90 {
        for height in 1..12 {
            told.seen(width, height);
        }
    }
    expect![[r#"
        編譯
        🦀x編譯🦀x
        編譯🦀x"#]]
    .assert_eq(
        &told
            .seen(11, 4)
            .lines()
            .enumerate()
            .filter(|(at, _)| *at != 3)
            .map(|(_, line)| line)
            .collect::<Vec<_>>()
            .join("\n"),
    );
}

/// However much is printed, only so much is kept.
#[test]
fn memory_is_bounded() {
    let labels: Vec<String> = (0..60).map(|at| format!("task-{at}")).collect();
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    let mut told = Told::of(&labels);
    let piece = "a line of a flood that does not end\n".repeat(20_000);
    for node in 0..60 {
        told.print(node, &piece);
        told.print(node, &"no end".repeat(10_000));
    }
    let kept: usize = told.0.panes.iter().flat_map(|pane| &pane.log.lines).map(|line| line.len() + 24).sum();
    assert!(kept <= board::ALL, "{kept}");
    let last = told.0.panes.last().unwrap();
    assert!(last.log.earlier > 0 && last.log.lines.len() > 1_000);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is told in whatever order: what is drawn step by step is what would be drawn at once.
    #[test]
    fn differences_add_up(told in sensible_sequence(), width in 1u16..80, height in 1u16..20) {
        // The terminal of this test leaves these out where others draw something.
        prop_assume!(!format!("{told:?}").contains(['\u{fffd}', '\u{feff}']));
        let area = Rect::new(0, 0, width, height);
        let size = |size| NonZero::new(size).unwrap();
        let (mut terminal, mut before) = (vt100::Parser::new(size(height), size(width), 0), Buffer::empty(area));
        let (mut board, mut state) = (Board::default(), RunState::new());
        for event in &told {
            state.apply(event);
            board.on(event, &state);
            board.pressed(b"j", 3);
            let mut next = Buffer::empty(area);
            draw::draw(&mut board, &mut next, PLAIN);
            let mut bytes = Vec::new();
            draw::cells(&before, &next, &mut bytes);
            terminal.process(&bytes);
            let mut whole = vt100::Parser::new(size(height), size(width), 0);
            let mut bytes = Vec::new();
            draw::cells(&Buffer::empty(area), &next, &mut bytes);
            whole.process(&bytes);
            let text = |screen: &vt100::Screen| {
                screen.contents().lines().map(|line| format!("{}\n", line.trim_end())).collect::<String>()
            };
            prop_assert_eq!(text(terminal.screen()), text(whole.screen()));
            before = next;
        }
    }
}
