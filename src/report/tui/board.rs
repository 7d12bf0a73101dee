//! What the panes show: nodes, their logs, which one is chosen, how far it is scrolled.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::draw::wrapped;
use crate::base::Timestamp;
use crate::event::{Event, OutcomeKind, RunState, Sequenced};
use crate::report::ansi::{Filter, Keep, settle};
use crate::report::live::stopping;
use crate::report::words;
use crate::service::{State, Status};

/// How much of the log of one node is kept, and of all of them together.
const ONE: usize = 1 << 20;
pub(super) const ALL: usize = 24 << 20;

/// A line longer than this is cut in two.
const LINE: usize = 16 << 10;

/// What is wished for by a key, beyond the panes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// To run the targets again.
    Again,
    /// To leave.
    Quit,
}

/// What there is to see.
#[derive(Default)]
pub(super) struct Board {
    /// The first one is envrun's own.
    pub(super) panes: Vec<Pane>,
    /// The place in the list of each node of the run; groups have none.
    places: Vec<Option<usize>>,
    pub(super) chosen: usize,
    /// How many rows the log is scrolled back.
    pub(super) back: usize,
    pub(super) help: bool,
    /// The first row of the list that is seen.
    pub(super) first: usize,
    /// What is looked for in the log.
    pub(super) search: Search,
    /// How many columns of the log are seen.
    pub(super) columns: usize,
    /// How many lines the chosen log had when it was drawn last, those before included; and how many rows the last one that
    /// had not ended.
    pub(super) drawn: (u64, usize),
    pub(super) foot: String,
    /// What is being stopped, and when it is killed; while everything is, nobody can ask for anything.
    stopping: Vec<(String, Option<Timestamp>)>,
    pub(super) ending: bool,
    now: Timestamp,
    at: Option<Instant>,
    moving: bool,
    /// Where in envrun's own log the last run begins, counted in lines since the beginning.
    last_run: u64,
    closed: bool,
}

/// What is looked for in a log.
#[derive(Default)]
pub(super) struct Search {
    /// What has been typed of it, while it is.
    typed: Option<Vec<u8>>,
    text: String,
    /// The line where it was found last, counted from the beginning.
    pub(super) found: Option<u64>,
    /// What is shown of it in the last line.
    pub(super) prompt: Option<String>,
}

/// One row of the list, and its log.
#[derive(Default)]
pub(super) struct Pane {
    pub(super) label: String,
    pub(super) service: bool,
    pub(super) mark: Mark,
    pub(super) since: Option<Timestamp>,
    pub(super) took: Option<Duration>,
    pub(super) status: Option<Status>,
    pub(super) log: Log,
}

/// How a node stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Mark {
    /// It is envrun itself.
    #[default]
    None,
    Waiting,
    Running,
    Good,
    Up,
    Trouble,
    Failed,
    Skipped,
}

/// The newest lines that were printed.
#[derive(Default)]
pub(super) struct Log {
    pub(super) lines: VecDeque<String>,
    bytes: usize,
    /// How many lines there were before these.
    pub(super) earlier: u64,
    /// The beginning of a line that has not ended.
    open: Vec<u8>,
    filter: Option<Filter>,
}

impl Log {
    fn push(&mut self, bytes: &[u8]) {
        let filter = self.filter.get_or_insert_with(|| Filter::new(Keep::Text));
        filter.pass(bytes, &mut self.open);
        while let Some(end) = self.open.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.open.drain(..=end).collect();
            self.line(&line);
        }
        while self.open.len() > LINE {
            let line: Vec<u8> = self.open.drain(..LINE).collect();
            self.line(&line);
        }
    }

    fn line(&mut self, line: &[u8]) {
        let line = String::from_utf8_lossy(settle(line)).replace('\t', "    ");
        self.bytes += line.len() + 24;
        self.lines.push_back(line);
        if self.bytes > ONE {
            self.shrink(ONE / 2);
        }
    }

    fn shrink(&mut self, to: usize) {
        while self.bytes > to {
            let Some(line) = self.lines.pop_front() else { return };
            self.bytes -= line.len() + 24;
            self.earlier += 1;
        }
        self.lines.shrink_to_fit();
    }

    /// What has been begun, as it would look if it ended now.
    pub(super) fn open(&self) -> Option<String> {
        (!self.open.is_empty()).then(|| String::from_utf8_lossy(settle(&self.open)).replace('\t', "    "))
    }
}

impl Board {
    pub(super) fn on(&mut self, told: &Sequenced, state: &RunState) {
        (self.now, self.at) = (told.time, Some(Instant::now()));
        match &told.event {
            Event::RunStarted(started) => self.begin(state, started.nodes.len()),
            Event::Output { node, bytes, .. } => {
                if let Some(pane) = self.pane(node.0 as usize) {
                    pane.log.push(bytes);
                    self.limit();
                }
                return;
            }
            Event::NodeStarted { node, .. } => {
                if let Some(pane) = self.pane(node.0 as usize) {
                    (pane.mark, pane.since, pane.took) = (Mark::Running, Some(told.time), None);
                }
            }
            Event::NodeFinished { node, outcome, took } => {
                if let Some(pane) = self.pane(node.0 as usize) {
                    if let crate::event::Outcome::Restored { log, .. } = outcome {
                        pane.log.push(log);
                    }
                    pane.mark = mark(outcome.kind());
                    pane.took = Some(*took).filter(|_| pane.since.is_some());
                    pane.since = None;
                }
            }
            Event::ServiceChanged { node, state, .. } => {
                if let Some(pane) = self.pane(node.0 as usize) {
                    pane.mark = mark_of_service(state);
                }
            }
            Event::NodesFinished { nodes, outcome } => {
                for node in nodes.iter_below(state.node_count()) {
                    if let Some(pane) = self.pane(node.0 as usize) {
                        pane.mark = mark(outcome.kind());
                    }
                }
            }
            Event::NodesReopened { nodes } => {
                for node in nodes.iter_below(state.node_count()) {
                    if let Some(pane) = self.pane(node.0 as usize) {
                        pane.mark = Mark::Waiting;
                    }
                }
            }
            _ => {}
        }
        (self.stopping, self.ending) = (stopping(state), state.is_ending());
        self.moving = !self.stopping.is_empty() || state.finished().is_none() && !state.running().is_empty();
        self.foot = match &told.event {
            Event::Watching { files, folders, polling } => {
                words::watching(*files, *folders, polling.as_deref())
            }
            _ if state.finished().is_some() => words::summary(state),
            _ => {
                let failed = state.counts().of(OutcomeKind::Failed);
                let failed = if failed > 0 { format!(", {failed} failed") } else { String::new() };
                let stopping = if state.interrupted() > 0 { ", stopping" } else { "" };
                format!("{}/{}{failed}{stopping}", state.done(), state.tasks())
            }
        };
    }

    /// What stands in the last line.
    pub(super) fn foot(&self) -> String {
        let still = self.stopping.is_empty() && !self.ending;
        if still { self.foot.clone() } else { words::stopping(&self.stopping, self.now()) }
    }

    /// A run begins: nodes that were there before keep their logs.
    fn begin(&mut self, state: &RunState, nodes: usize) {
        let mut before = std::mem::take(&mut self.panes);
        let chosen = before.get(self.chosen).map(|pane| pane.label.clone());
        let own = if before.is_empty() {
            Pane { label: "envrun".to_owned(), ..Pane::default() }
        } else {
            before.remove(0)
        };
        self.last_run = own.log.earlier + own.log.lines.len() as u64;
        self.panes.push(own);
        self.places = vec![None; nodes];
        let infos = state.started().map(|started| &started.nodes[..]).unwrap_or_default();
        for (at, info) in infos.iter().enumerate().filter(|(_, info)| !info.group) {
            let known = before.iter().position(|pane| *pane.label == *info.label);
            let mut pane = known.map(|at| before.swap_remove(at)).unwrap_or_default();
            pane.label = info.label.to_string();
            pane.service = info.service;
            if !info.service || pane.mark == Mark::None {
                pane.mark = Mark::Waiting;
            }
            (pane.since, pane.took) = (None, None);
            self.places[at] = Some(self.panes.len());
            self.panes.push(pane);
        }
        let again = chosen.and_then(|label| self.panes.iter().position(|pane| pane.label == label));
        if again != Some(self.chosen) {
            (self.back, self.search.found) = (0, None);
        }
        self.chosen = again.unwrap_or(0);
    }

    fn pane(&mut self, node: usize) -> Option<&mut Pane> {
        let at = (*self.places.get(node)?)?;
        self.panes.get_mut(at)
    }

    /// Lets go of the oldest lines of the longest logs.
    fn limit(&mut self) {
        while self.panes.iter().map(|pane| pane.log.bytes).sum::<usize>() > ALL {
            let Some(longest) = self.panes.iter_mut().max_by_key(|pane| pane.log.bytes) else { return };
            let half = longest.log.bytes / 2;
            longest.log.shrink(half);
        }
    }

    pub(super) fn say(&mut self, text: &[u8]) {
        if self.panes.is_empty() {
            self.panes.push(Pane { label: "envrun".to_owned(), ..Pane::default() });
        }
        self.panes[0].log.push(text);
    }

    pub(super) fn statuses(&mut self, statuses: Vec<Status>) {
        for status in statuses {
            let pane = self.panes.iter_mut().find(|pane| pane.service && pane.label == status.label);
            if let Some(pane) = pane {
                pane.mark = mark_of_service(&status.state);
                pane.status = Some(status);
            }
        }
    }

    pub(super) fn has_services(&self) -> bool {
        self.panes.iter().any(|pane| pane.service)
    }

    /// Whether it looks otherwise when time passes.
    pub(super) fn is_moving(&self) -> bool {
        self.moving
    }

    /// The time, as events have it.
    pub(super) fn now(&self) -> Timestamp {
        let passed = self.at.map_or(0, |at| u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX));
        Timestamp(self.now.0.saturating_add(passed))
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Nothing is shown any more; what was said of the last run.
    pub(super) fn close(&mut self) -> String {
        self.closed = true;
        let Some(own) = self.panes.first() else { return String::new() };
        let skipped = usize::try_from(self.last_run.saturating_sub(own.log.earlier)).unwrap_or(usize::MAX);
        own.log.lines.iter().skip(skipped).map(|line| format!("{line}\n")).collect()
    }

    /// Keys were pressed. `rows`: how many rows of the log are seen.
    pub(super) fn pressed(&mut self, keys: &[u8], rows: usize) -> Option<Wish> {
        let page = rows.saturating_sub(1).max(1);
        let last = self.panes.len().saturating_sub(1);
        let mut rest = keys;
        while !rest.is_empty() {
            if self.search.typed.is_some() {
                rest = self.typed(rest, rows);
                continue;
            }
            self.search.prompt = None;
            let known: &[(&[u8], Key)] = &[
                (b"\x1b[A", Key::Up),
                (b"\x1bOA", Key::Up),
                (b"\x1b[B", Key::Down),
                (b"\x1bOB", Key::Down),
                (b"\x1b[5~", Key::PageUp),
                (b"\x1b[6~", Key::PageDown),
                (b"\x1b[H", Key::Home),
                (b"\x1b[1~", Key::Home),
                (b"\x1bOH", Key::Home),
                (b"\x1b[F", Key::End),
                (b"\x1b[4~", Key::End),
                (b"\x1bOF", Key::End),
                (b"k", Key::Up),
                (b"j", Key::Down),
                (b"\t", Key::Down),
                (b"b", Key::PageUp),
                (b" ", Key::PageDown),
                (b"u", Key::PageUp),
                (b"d", Key::PageDown),
                (b"g", Key::Home),
                (b"G", Key::End),
                (b"\x1b", Key::Escape),
            ];
            // Whoever goes on has read the help.
            let helped = std::mem::take(&mut self.help);
            let Some((text, key)) = known.iter().find(|(text, _)| rest.starts_with(text)) else {
                match rest[0] {
                    b'r' => return Some(Wish::Again),
                    b'q' | 4 => return Some(Wish::Quit),
                    b'?' | b'h' => self.help = !helped,
                    b'/' => {
                        self.search.typed = Some(Vec::new());
                        self.search.prompt = Some("/".to_owned());
                    }
                    b'n' => self.find(true, rows),
                    b'N' => self.find(false, rows),
                    _ => {}
                }
                rest = &rest[1..];
                continue;
            };
            rest = &rest[text.len()..];
            match key {
                Key::Up => self.choose(self.chosen.saturating_sub(1)),
                Key::Down => self.choose((self.chosen + 1).min(last)),
                // How far back there is something is known when it is drawn.
                Key::PageUp => self.back = self.back.saturating_add(page),
                Key::PageDown => self.back = self.back.saturating_sub(page),
                Key::Home => self.back = usize::MAX,
                Key::End => self.back = 0,
                Key::Escape => {}
            }
        }
        None
    }

    fn choose(&mut self, at: usize) {
        if at != self.chosen {
            (self.chosen, self.back, self.search.found) = (at, 0, None);
        }
    }

    /// A text to look for is being typed; what is left of the keys.
    fn typed<'k>(&mut self, keys: &'k [u8], rows: usize) -> &'k [u8] {
        let typed = self.search.typed.get_or_insert_default();
        match keys[0] {
            b'\r' | b'\n' => {
                let text = String::from_utf8_lossy(&std::mem::take(typed)).into_owned();
                (self.search.typed, self.search.prompt, self.search.found) = (None, None, None);
                if !text.is_empty() {
                    self.search.text = text;
                }
                self.find(true, rows);
                return &keys[1..];
            }
            0x1b => {
                (self.search.typed, self.search.prompt) = (None, None);
                // An arrow or the like is no text either.
                return &[];
            }
            0x7f | 8 => {
                let mut text = String::from_utf8_lossy(typed).into_owned();
                text.pop();
                *typed = text.into_bytes();
            }
            key if key >= b' ' => typed.push(key),
            _ => {}
        }
        self.search.prompt = Some(format!("/{}", String::from_utf8_lossy(typed)));
        &keys[1..]
    }

    /// Goes to the next line above, or below, that holds what is looked for.
    fn find(&mut self, up: bool, rows: usize) {
        let Some(pane) = self.panes.get(self.chosen).filter(|_| !self.search.text.is_empty()) else { return };
        let (text, log) = (self.search.text.to_lowercase(), &pane.log);
        let lines = log.lines.iter().enumerate().map(|(at, line)| (log.earlier + at as u64, line));
        let from = self.search.found.unwrap_or(u64::MAX);
        let mut hits = lines.filter(|(at, line)| {
            let is_ahead = if up { *at < from } else { *at > from };
            is_ahead && line.to_lowercase().contains(&text)
        });
        let found = if up { hits.next_back() } else { hits.next() };
        let Some((at, _)) = found else {
            self.search.prompt =
                Some(format!("/{}: no line {}", self.search.text, if up { "above" } else { "below" }));
            return;
        };
        self.search.found = Some(at);
        self.search.prompt = Some(format!("/{}  n up  N down", self.search.text));
        // In the middle of what is seen, where there is enough below.
        let later = log.lines.iter().skip(usize::try_from(at - log.earlier).unwrap_or(usize::MAX) + 1);
        let columns = self.columns;
        let below: usize = later.map(|line| wrapped(line, columns).len()).sum();
        let open = log.open().map_or(0, |open| wrapped(&open, columns).len());
        self.back = (below + open).saturating_sub(rows / 2);
    }
}

#[derive(Clone, Copy)]
enum Key {
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
    Escape,
}

fn mark(kind: OutcomeKind) -> Mark {
    match kind {
        OutcomeKind::Failed => Mark::Failed,
        OutcomeKind::Up | OutcomeKind::AlreadyUp => Mark::Up,
        OutcomeKind::Skipped | OutcomeKind::Blocked | OutcomeKind::Cancelled | OutcomeKind::WouldRun => {
            Mark::Skipped
        }
        _ => Mark::Good,
    }
}

fn mark_of_service(state: &State) -> Mark {
    match state {
        State::Ready => Mark::Up,
        State::Completed => Mark::Good,
        State::Failed(_) => Mark::Failed,
        State::Pausing { .. } => Mark::Trouble,
        State::Stopped => Mark::Skipped,
        State::Starting | State::Started | State::Stopping { .. } | State::Waiting => Mark::Running,
    }
}
