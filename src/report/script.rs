//! A run told by a script, for the tests of reporters.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{Options, Output, Reporters, Sink, Style, open};
use crate::base::{Clock, Timestamp};
use crate::event::{
    Because, Event, FORMAT, Failure, NodeInfo, NodeSet, Outcome, RunFinished, RunStarted, Stream,
};
use crate::graph::NodeIx;

/// A stream that a test reads.
#[derive(Clone, Default)]
pub(super) struct Pipe(pub(super) Arc<Mutex<Vec<u8>>>);

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Pipe {
    pub(super) fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }

    /// As text, with every byte to be seen that a terminal would not show as it is.
    pub(super) fn text(&self) -> String {
        let show = |chunk: std::str::Utf8Chunk<'_>| {
            let valid = chunk.valid().chars().map(|c| match c {
                '\n' | ' '..='~' => c.to_string(),
                c if c.is_control() => c.escape_default().to_string(),
                c => c.to_string(),
            });
            let invalid = chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}"));
            valid.chain(invalid).collect::<String>()
        };
        self.bytes().utf8_chunks().map(show).collect()
    }
}

/// A stream that nobody reads any more, after so many writes.
pub(super) struct Broken(pub(super) usize);

impl Write for Broken {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.checked_sub(1) {
            Some(left) => self.0 = left,
            None => return Err(io::ErrorKind::BrokenPipe.into()),
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a run tells, and how much time passes before each of it.
#[derive(Clone)]
pub(super) struct Script(pub(super) Vec<(u64, Event)>);

impl Script {
    /// A run of these nodes; one whose label ends in `/` is a group.
    pub(super) fn of(labels: &[&str]) -> Self {
        let info = |label: &&str| NodeInfo {
            label: label.trim_end_matches('/').into(),
            desc: None,
            group: label.ends_with('/'),
            target: false,
            service: false,
        };
        let started = RunStarted {
            format: FORMAT,
            run: "20261120-213301-0fa0".to_owned(),
            envrun: "0.1.0".to_owned(),
            root: "/project".to_owned(),
            targets: vec!["check".to_owned()],
            jobs: 2,
            dry_run: false,
            chosen: None,
            nodes: labels.iter().map(info).collect(),
        };
        Self(vec![(0, Event::RunStarted(started))])
    }

    pub(super) fn and(mut self, after: u64, event: Event) -> Self {
        self.0.push((after, event));
        self
    }

    pub(super) fn start(self, node: u32, reason: &str, more: usize) -> Self {
        let because = Because { reason: reason.to_owned(), more };
        let commands = vec![format!("make part-{node}")];
        let dir = if node == 0 { ".".to_owned() } else { "api".to_owned() };
        self.and(5, Event::NodeStarted { node: NodeIx(node), because, commands, dir, interactive: false })
    }

    pub(super) fn prints(self, node: u32, stream: Stream, bytes: &[u8]) -> Self {
        self.and(1, Event::Output { node: NodeIx(node), stream, bytes: bytes.to_vec() })
    }

    pub(super) fn out(self, node: u32, text: &str) -> Self {
        self.prints(node, Stream::Stdout, text.as_bytes())
    }

    pub(super) fn err(self, node: u32, text: &str) -> Self {
        self.prints(node, Stream::Stderr, text.as_bytes())
    }

    pub(super) fn end(self, node: u32, outcome: Outcome, ms: u64) -> Self {
        self.and(10, Event::NodeFinished { node: NodeIx(node), outcome, took: Duration::from_millis(ms) })
    }

    pub(super) fn done(self, node: u32, ms: u64) -> Self {
        self.end(node, Outcome::Succeeded { stored: true }, ms)
    }

    pub(super) fn fails(self, node: u32, failure: Failure, ms: u64) -> Self {
        let log = Some(format!(".envrun/runs/20261120-213301-0fa0/logs/{node}.log"));
        self.end(node, Outcome::Failed { failure, log, hint: None }, ms)
    }

    pub(super) fn exits(self, node: u32, status: i32, ms: u64) -> Self {
        self.fails(node, Failure::Exit { status, command: format!("make part-{node}") }, ms)
    }

    pub(super) fn restored(self, node: u32, log: &str) -> Self {
        let (from, log) = ("the local cache".to_owned(), log.as_bytes().to_vec());
        self.end(node, Outcome::Restored { from, log }, 3)
    }

    pub(super) fn all(self, nodes: impl IntoIterator<Item = u32>, outcome: Outcome) -> Self {
        let nodes: NodeSet = nodes.into_iter().map(NodeIx).collect();
        self.and(1, Event::NodesFinished { nodes, outcome })
    }

    pub(super) fn finish(self, exit: u8, ms: u64) -> Self {
        self.and(1, Event::RunFinished(RunFinished { exit, took: Duration::from_millis(ms) }))
    }

    pub(super) fn tell(&self, to: &mut Reporters, clock: &Clock) {
        for (after, event) in &self.0 {
            clock.advance(Duration::from_millis(*after));
            to.tell(event.clone());
        }
    }
}

pub(super) fn clock() -> Clock {
    Clock::manual(Timestamp(1_795_210_381_250))
}

pub(super) fn options(output: Output, out: &Pipe, err: &Pipe) -> Options {
    let style = Style { colour: false, unicode: true };
    let sink = |pipe: &Pipe| Sink { to: Box::new(pipe.clone()), terminal: false, style };
    Options {
        output,
        verbose: false,
        ci: false,
        github: false,
        out: sink(out),
        err: sink(err),
        joined: Arc::ptr_eq(&out.0, &err.0),
        screen: None,
        stays: false,
    }
}

/// What a script looks like where both streams go to the same place.
pub(super) fn told_with(output: Output, script: &Script, change: impl FnOnce(&mut Options)) -> Pipe {
    let pipe = Pipe::default();
    let mut options = options(output, &pipe, &pipe);
    change(&mut options);
    let clock = clock();
    let mut reporters = Reporters::new(clock.clone());
    reporters.add("text", open(options));
    script.tell(&mut reporters, &clock);
    pipe
}

pub(super) fn told(output: Output, script: &Script) -> String {
    told_with(output, script, |_| {}).text()
}

/// Three tasks, of which two run side by side; one was restored; the rest had nothing to do.
pub(super) fn successful() -> Script {
    Script::of(&["build", "api:test", "lib", "fmt", "check/"])
        .restored(2, "lib made\n")
        .start(0, "`src/api.rs` changed", 1)
        .start(1, "it never ran here", 0)
        .out(0, "compiling\nlin")
        .err(1, "warning: unused\n")
        .out(0, "king\n")
        .done(0, 1240)
        .all([3], Outcome::UpToDate)
        .out(1, "ok")
        .done(1, 65_000)
        .all([4], Outcome::Grouped)
        .finish(0, 66_500)
}

/// With `-k`: two failures of different kinds, and what cannot run because of them.
pub(super) fn several_failures() -> Script {
    Script::of(&["a", "b", "c", "d", "deploy"])
        .start(0, "it never ran here", 0)
        .out(0, "one\n\x1b[31mtwo\x1b[0m\n")
        .start(1, "`b.c` changed", 0)
        .exits(0, 2, 310)
        .err(1, "no newline at the end")
        .fails(1, Failure::Signal { signal: 9, command: "make part-1".to_owned() }, 12)
        .start(2, "it never ran here", 0)
        .done(2, 40)
        .all([3], Outcome::Blocked { by: NodeIx(0) })
        .fails(
            4,
            Failure::Refused {
                reasons: vec!["branch is x, not main".to_owned(), "there are changes".to_owned()],
            },
            0,
        )
        .finish(1, 400)
}
