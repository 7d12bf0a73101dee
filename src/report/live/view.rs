//! What the live view shows, as lines: what runs now, how far it is, how much longer.

use std::time::Duration;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::base::Timestamp;
use crate::event::{OutcomeKind, RunState};
use crate::report::style::Ink;
use crate::report::{Style, words};

/// The most nodes that are shown, however high the window is.
const MOST: usize = 12;

/// Columns of the progress bar.
const BAR: usize = 24;

/// What there is to show, as of one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct View {
    began: Timestamp,
    /// The ones that have run longest: those that one wants to know of.
    rows: Vec<Row>,
    running: usize,
    done: usize,
    tasks: usize,
    failed: usize,
    stopping: bool,
    /// As of `seen`.
    left: Option<Duration>,
    seen: Timestamp,
}

/// A node that is executed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    label: String,
    command: String,
    since: Timestamp,
    attempt: u32,
}

impl View {
    pub(super) fn of(state: &RunState) -> Self {
        let rows = state.running().iter().take(MOST).map(|running| {
            let command = running.executed.commands.first().and_then(|command| command.lines().next());
            Row {
                label: printable(state.label(running.node)),
                command: command.map(printable).unwrap_or_default(),
                since: running.since,
                attempt: running.attempt,
            }
        });
        Self {
            began: state.began(),
            rows: rows.collect(),
            running: state.running().len(),
            done: state.done(),
            tasks: state.tasks(),
            failed: state.counts().of(OutcomeKind::Failed),
            stopping: state.interrupted() > 0,
            left: state.expected_left(state.now()),
            seen: state.now(),
        }
    }

    /// The lines at a moment, for a window of that size. None is wider than the window, and there are never so many
    /// that the text above has no room.
    pub(super) fn lines(&self, now: Timestamp, (width, height): (u16, u16), style: Style) -> Vec<String> {
        // The last column stays empty: some terminals wrap when it is written to.
        let width = usize::from(width).saturating_sub(1).max(10);
        let room = (usize::from(height) / 3).max(1);
        let shown = if self.running <= room { self.running } else { room - 1 }.min(self.rows.len());
        let rows = &self.rows[..shown];
        let labels = rows.iter().map(|row| row.label.width()).max().unwrap_or(0).min(width / 2);
        let mut lines: Vec<String> = rows.iter().map(|row| row.line(now, labels, width, style)).collect();
        if self.running > shown {
            let more = format!("  {} and {} more", style.ellipsis(), self.running - shown);
            lines.push(style.paint(Ink::Faint, &cut(&more, width, style)));
        }
        lines.push(self.progress(now, width, style));
        lines
    }

    fn progress(&self, now: Timestamp, width: usize, style: Style) -> String {
        let count = format!("{}/{}", self.done, self.tasks);
        let mut tail = words::clock(now.since(self.began));
        if self.stopping {
            tail.push_str(", stopping");
        } else if let Some(left) = self.left {
            let left = left.saturating_sub(now.since(self.seen));
            tail.push_str(&format!(", about {} left", words::roughly(left)));
        }
        let failed = if self.failed > 0 { format!(", {} failed", self.failed) } else { String::new() };
        let words = format!("  {count} {tail}{failed}");
        if words.width() + BAR + 1 > width {
            return cut(&words, width, style);
        }
        let full = (BAR * self.done).checked_div(self.tasks).unwrap_or(0).min(BAR);
        let (done, rest) = if style.unicode { ("━", "─") } else { ("=", "-") };
        let bar =
            style.paint(Ink::Good, &done.repeat(full)) + &style.paint(Ink::Faint, &rest.repeat(BAR - full));
        format!("  {count} {bar} {tail}{}", style.paint(Ink::Bad, &failed))
    }
}

impl Row {
    fn line(&self, now: Timestamp, labels: usize, width: usize, style: Style) -> String {
        let label = cut(&self.label, labels, style);
        let pad = " ".repeat(labels - label.width());
        let time = format!("{:>7}", words::clock(now.since(self.since)));
        let attempt = if self.attempt > 1 { format!("try {}: ", self.attempt) } else { String::new() };
        let rest = cut(
            &format!("  {attempt}{}", self.command),
            width.saturating_sub(4 + labels + time.len()),
            style,
        );
        let plain = format!("  {label}{pad}  {time}");
        if plain.width() > width {
            return cut(&plain, width, style);
        }
        let painted = style.paint(Ink::of(&self.label), &label);
        format!("  {painted}{pad}  {time}{}", style.paint(Ink::Faint, rest.trim_end()))
    }
}

/// Without what would move the cursor.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// No wider than `width`.
fn cut(text: &str, width: usize, style: Style) -> String {
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
