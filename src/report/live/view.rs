//! What the live view shows, as lines: what is up, what runs now, how far it is, how much longer.

use std::collections::HashMap;
use std::time::Duration;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::base::Timestamp;
use crate::base::unit::show_size;
use crate::event::{OutcomeKind, RunState};
use crate::graph::NodeIx;
use crate::report::style::Ink;
use crate::report::{Style, words};
use crate::service::{State, Status};

/// The most nodes that are shown, however high the window is.
const MOST: usize = 12;

/// Columns of the progress bar.
const BAR: usize = 24;

/// What there is to show, as of one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct View {
    began: Timestamp,
    /// The labels of what stays up.
    services: Vec<String>,
    /// What was told of them, and when.
    told: Vec<(String, State, Timestamp)>,
    /// What is being stopped, and when it is killed.
    stopped: Vec<(String, Option<Timestamp>)>,
    /// The ones that have run longest: those that one wants to know of.
    rows: Vec<Row>,
    running: usize,
    done: usize,
    tasks: usize,
    failed: usize,
    /// It comes to its end: nobody can ask for anything any more.
    ending: bool,
    /// As of `seen`.
    left: Option<Duration>,
    seen: Timestamp,
    finished: bool,
}

/// A task that is executed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    node: NodeIx,
    label: String,
    command: String,
    /// The phase that a deploy is in, since when, and what that is about.
    phase: Option<(String, Timestamp, String)>,
    since: Timestamp,
    attempt: u32,
    /// How long it took last time.
    expected: Option<Duration>,
}

/// Where there is no room for all services, those with less are shown.
fn urgency(state: &State) -> u8 {
    match state {
        State::Failed(_) => 0,
        State::Pausing { .. } => 1,
        State::Starting | State::Started | State::Stopping { .. } | State::Waiting => 2,
        State::Ready => 3,
        State::Stopped | State::Completed => 4,
    }
}

/// What no event tells.
pub(super) struct Extras<'a> {
    /// What services are, and what they take; and when that was asked.
    pub(super) statuses: &'a [Status],
    pub(super) asked: Timestamp,
    /// What tasks show of their own progress.
    pub(super) tails: &'a HashMap<NodeIx, String>,
    /// What is waited for, when nothing runs.
    pub(super) idle: Option<&'a str>,
    /// What may be said about keys, from the most to the least.
    pub(super) keys: &'a [String],
}

impl View {
    pub(super) fn of(state: &RunState) -> Self {
        let is_service = |node: NodeIx| state.node(node).is_some_and(|info| info.service);
        let tasks = || state.running().iter().filter(|running| !is_service(running.node));
        let rows = tasks().take(MOST).map(|running| {
            let command = running.executed.commands.first().and_then(|command| command.lines().next());
            let phase = running.phase.as_ref();
            Row {
                node: running.node,
                label: printable(state.label(running.node)),
                command: command.map(printable).unwrap_or_default(),
                phase: phase.map(|at| (printable(&at.phase), at.since, printable(&at.about))),
                since: running.since,
                attempt: running.attempt,
                expected: state.expected_of(running.node),
            }
        });
        let nodes = state.started().map(|started| &started.nodes[..]).unwrap_or_default();
        let services = nodes.iter().filter(|info| info.service).map(|info| info.label.to_string());
        let told = state.services().iter();
        let told = told.map(|served| (served.label.to_string(), served.state.clone(), served.since));
        Self {
            began: state.began(),
            services: services.collect(),
            told: told.collect(),
            stopped: stopping(state),
            rows: rows.collect(),
            running: tasks().count(),
            done: state.done(),
            tasks: state.tasks(),
            failed: state.counts().of(OutcomeKind::Failed),
            ending: state.is_ending(),
            left: state.expected_left(state.now()),
            seen: state.now(),
            finished: state.finished().is_some(),
        }
    }

    /// Whether there is anything that stays up.
    pub(super) fn has_services(&self) -> bool {
        !self.services.is_empty()
    }

    /// Whether it looks otherwise when time passes.
    pub(super) fn moves(&self) -> bool {
        !self.stopped.is_empty() || !self.finished && (self.running > 0 || self.done < self.tasks)
    }

    /// The lines at a moment, for a window of that size. None is wider than the window, and there are never so many
    /// that the text above has no room.
    pub(super) fn lines(
        &self,
        now: Timestamp,
        (width, height): (u16, u16),
        style: Style,
        extras: &Extras<'_>,
    ) -> Vec<String> {
        // The last column stays empty: some terminals wrap when it is written to.
        let width = usize::from(width).saturating_sub(1).max(1);
        let room = (usize::from(height) / 3).max(1);
        let mut lines = self.up(room, width, style, extras);
        let room = room.saturating_sub(lines.len()).max(1);
        let shown = if self.running <= room { self.running } else { room - 1 }.min(self.rows.len());
        let rows = &self.rows[..shown];
        let labels = rows.iter().map(|row| row.label.width()).max().unwrap_or(0).min(width / 2);
        let parts: Vec<String> = rows.iter().map(|row| row.progress(now)).collect();
        let column = parts.iter().map(String::len).max().unwrap_or(0);
        lines.extend(rows.iter().zip(&parts).map(|(row, part)| {
            let tail = extras.tails.get(&row.node).map(String::as_str);
            row.line(now, labels, width, style, &format!("{part:column$}"), tail)
        }));
        if self.running > shown {
            let more = format!("  {} and {} more", style.ellipsis(), self.running - shown);
            lines.push(style.paint(Ink::Faint, &cut(&more, width, style)));
        }
        lines.push(self.foot(now, width, style, extras));
        // One row at least is left to the text above, where there is more than one.
        let most = usize::from(height).saturating_sub(1).max(1);
        lines.drain(..lines.len().saturating_sub(most));
        lines
    }

    /// What is up.
    fn up(&self, room: usize, width: usize, style: Style, extras: &Extras<'_>) -> Vec<String> {
        let mut known: Vec<Status> =
            extras.statuses.iter().filter(|status| self.services.contains(&status.label)).cloned().collect();
        for status in &mut known {
            // What was told since then is newer.
            let told = self.told.iter().find(|(label, ..)| *label == status.label);
            if let Some((_, state, _)) = told.filter(|(.., since)| *since >= extras.asked) {
                status.state = state.clone();
            }
            if status.state.is_over() {
                (status.load, status.usage) = (None, None);
            }
        }
        known.sort_by_key(|status| self.services.iter().position(|label| *label == status.label));
        let shown = if known.len() <= room { known.len() } else { room.saturating_sub(1) };
        let shown = shown.min(MOST);
        if shown < known.len() {
            known.sort_by_key(|status| urgency(&status.state));
        }
        let cells: Vec<[String; 4]> = known[..shown].iter().map(cells).collect();
        let wide = |at: usize| cells.iter().map(|cells| cells[at].width()).max().unwrap_or(0);
        let (labels, state) = (wide(0).min(width / 2), wide(1));
        let (cpu, memory) = (wide(2), wide(3));
        let mut lines = Vec::new();
        for (status, cells) in known[..shown].iter().zip(&cells) {
            let label = cut(&cells[0], labels, style);
            let pad = " ".repeat(labels - label.width());
            let plain = format!("  {label}{pad}  {:state$}", cells[1]);
            if plain.width() > width {
                lines.push(cut(&plain, width, style));
                continue;
            }
            let ink = match &status.state {
                State::Ready | State::Completed => Ink::Good,
                State::Failed(_) => Ink::Bad,
                State::Pausing { .. } => Ink::Warn,
                _ => Ink::Faint,
            };
            let mut line = format!(
                "  {}{pad}  {}{}",
                style.paint(Ink::of(&status.label), &label),
                style.paint(ink, &cells[1]),
                " ".repeat(state - cells[1].width())
            );
            let mut used = plain.width();
            let load = format!("  {:>cpu$}  {:>memory$}", cells[2], cells[3]);
            if cpu + memory > 0 && used + load.width() <= width {
                line.push_str(&load);
                used += load.width();
            }
            let links: Vec<String> = status.urls.iter().map(|link| printable(&link.url)).collect();
            let links = cut(&format!("  {}", links.join("  ")), width - used, style);
            line.push_str(links.trim_end());
            lines.push(line.trim_end().to_owned());
        }
        if known.len() > shown {
            let more = format!("  {} and {} services more", style.ellipsis(), known.len() - shown);
            lines.push(style.paint(Ink::Faint, &cut(&more, width, style)));
        }
        lines
    }

    /// The last line.
    fn foot(&self, now: Timestamp, width: usize, style: Style, extras: &Extras<'_>) -> String {
        let is_over = self.running == 0 && self.done >= self.tasks;
        let keys = if self.ending { &[] } else { extras.keys };
        let words = match extras.idle {
            _ if (self.ending || !self.stopped.is_empty()) && (self.finished || is_over) => {
                format!("  {}", words::stopping(&self.stopped, now))
            }
            Some(words) => format!("  {words}"),
            None if is_over && self.has_services() => match self.services.len() {
                1 => "  1 service".to_owned(),
                several => format!("  {several} services"),
            },
            None => return self.progress(now, width, style, keys),
        };
        let keys = match fitting(keys, width.saturating_sub(words.width())) {
            // How to learn of the keys is worth more than the end of what is waited for.
            none if none.is_empty() => fitting(keys.last().map_or(&[], std::slice::from_ref), width / 2),
            keys => keys,
        };
        let words = cut(&words, width - keys.width(), style);
        style.paint(Ink::Faint, &format!("{words}{keys}"))
    }

    fn progress(&self, now: Timestamp, width: usize, style: Style, keys: &[String]) -> String {
        let count = format!("{}/{}", self.done, self.tasks);
        let mut tail = words::clock(now.since(self.began));
        if self.ending {
            tail.push_str(", stopping");
        } else if let Some(left) = self.left {
            let left = left.saturating_sub(now.since(self.seen));
            tail.push_str(&format!(", about {} left", words::roughly(left)));
        }
        let failed = if self.failed > 0 { format!(", {} failed", self.failed) } else { String::new() };
        let words = format!("  {count} {tail}{failed}");
        let least = keys.last().map_or(0, |keys| keys.width() + 3);
        if words.width() + BAR + 1 + least > width {
            let keys = fitting(keys, width.saturating_sub(words.width()));
            return format!("{}{}", cut(&words, width, style), style.paint(Ink::Faint, &keys));
        }
        let full = (BAR * self.done).checked_div(self.tasks).unwrap_or(0).min(BAR);
        let (done, rest) = if style.unicode { ("━", "─") } else { ("=", "-") };
        let bar =
            style.paint(Ink::Good, &done.repeat(full)) + &style.paint(Ink::Faint, &rest.repeat(BAR - full));
        let keys = fitting(keys, width - words.width() - BAR - 1);
        format!("  {count} {bar} {tail}{}{}", style.paint(Ink::Bad, &failed), style.paint(Ink::Faint, &keys))
    }
}

impl Row {
    /// How far it is, if it is known how long it takes.
    fn progress(&self, now: Timestamp) -> String {
        let Some(expected) = self.expected.filter(|expected| !expected.is_zero()) else {
            return String::new();
        };
        // One that takes longer than ever is not done for that.
        let part = now.since(self.since).as_millis() * 100 / expected.as_millis().max(1);
        format!("  {:>2}%", part.min(99))
    }

    fn line(
        &self,
        now: Timestamp,
        labels: usize,
        width: usize,
        style: Style,
        part: &str,
        tail: Option<&str>,
    ) -> String {
        let label = cut(&self.label, labels, style);
        let pad = " ".repeat(labels - label.width());
        let time = format!("{:>7}{part}", words::clock(now.since(self.since)));
        let attempt = if self.attempt > 1 { format!("try {}: ", self.attempt) } else { String::new() };
        let does = match (tail, &self.phase) {
            (Some(tail), _) => tail.to_owned(),
            (None, Some((phase, since, about))) => {
                let since = words::clock(now.since(*since));
                format!("{phase} ({since}) {about}").trim_end().to_owned()
            }
            (None, None) => self.command.clone(),
        };
        let rest = cut(&format!("  {attempt}{does}"), width.saturating_sub(4 + labels + time.len()), style);
        let plain = format!("  {label}{pad}  {time}");
        if plain.width() > width {
            return cut(&plain, width, style);
        }
        let painted = style.paint(Ink::of(&self.label), &label);
        format!("  {painted}{pad}  {time}{}", style.paint(Ink::Faint, rest.trim_end()))
    }
}

/// What is being stopped, and when it is killed.
pub(in crate::report) fn stopping(state: &RunState) -> Vec<(String, Option<Timestamp>)> {
    let stopping = state.services().iter().filter(|served| served.is_stopping());
    stopping.map(|served| (printable(&served.label), served.killed_at())).collect()
}

/// Label, state, part of a processor, memory.
fn cells(status: &Status) -> [String; 4] {
    let state = match &status.state {
        State::Pausing { attempt, .. } => format!("restart {attempt}"),
        state => state.word().to_owned(),
    };
    [
        printable(&status.label),
        state,
        status.load.map_or_else(String::new, |load| format!("{}.{}%", load / 10, load % 10)),
        status.usage.map_or_else(String::new, |usage| show_size(usage.memory)),
    ]
}

/// The first of these that fits, with a space before.
fn fitting(texts: &[String], room: usize) -> String {
    let fits = texts.iter().find(|text| text.width() + 3 <= room);
    fits.map_or_else(String::new, |text| format!("   {text}"))
}

/// Without what would move the cursor.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// No wider than `width`.
pub(in crate::report) fn cut(text: &str, width: usize, style: Style) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let dots = style.ellipsis();
    let room = width.saturating_sub(dots.width());
    let mut used = 0;
    let kept = text.chars().take_while(|c| {
        used += c.width().unwrap_or(0);
        used <= room
    });
    let kept: String = kept.collect();
    if width < dots.width() { kept } else { kept + dots }
}
