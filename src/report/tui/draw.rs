//! The board as cells, and cells as bytes for the terminal.

use ratatui_core::buffer::{Buffer, Cell};
use ratatui_core::layout::Rect;
use ratatui_core::style::{Color, Modifier, Style as Look};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::board::{Board, Mark, Pane};
use crate::base::unit::{show_duration, show_size};
use crate::report::live::cut;
use crate::report::{Style, words};

const HELP: &[&str] = &[
    "up down, j k, tab     choose a node",
    "page up, page down    scroll its log; also b and space",
    "home, end, g G        its beginning, its end",
    "/ text, enter         search; n older, N newer",
    "r                     run the targets again",
    "q                     leave",
    "?                     this help",
];

/// The widest the list gets.
const LIST: u16 = 32;

/// Narrower than this there is no room for two panes: only the log of the chosen node is shown.
const NARROW: u16 = 48;

/// How many rows of the log are seen in a window of that size.
pub(super) fn log_rows((_, height): (u16, u16)) -> usize {
    usize::from(height.saturating_sub(2)).max(1)
}

/// How many columns of it.
pub(super) fn log_columns((width, _): (u16, u16)) -> usize {
    let list = if width < NARROW { 0 } else { (width / 3).min(LIST) + 2 };
    usize::from(width - list)
}

/// Puts the board into the buffer.
pub(super) fn draw(board: &mut Board, into: &mut Buffer, style: Style) {
    let area = into.area;
    let list = match log_columns((area.width, area.height)) {
        all if all == usize::from(area.width) => 0,
        _ => (area.width / 3).min(LIST),
    };
    let body = area.height.saturating_sub(1);
    if body == 0 || area.width == 0 {
        return;
    }
    if list > 0 {
        rows(board, into, Rect::new(0, 0, list, body), style);
        let bar = if style.unicode { "│" } else { "|" };
        for y in 0..body {
            into.set_stringn(list, y, bar, 1, faint(style));
        }
    }
    let left = if list > 0 { list + 2 } else { 0 };
    log(board, into, Rect::new(left, 0, area.width - left, body), style);
    into.set_stringn(
        0,
        body,
        foot(board, usize::from(area.width), style),
        usize::from(area.width),
        faint(style),
    );
}

/// The last line: what goes on, and which keys there are, as far as there is room.
fn foot(board: &Board, width: usize, style: Style) -> String {
    let words = format!(" {}", board.foot());
    let all = "j/k choose  pgup/pgdn scroll  / search  r rerun  q quit  ? help";
    let keys: &[&str] = match board.search.prompt.as_deref() {
        _ if board.ending => &[],
        Some(prompt) => &[prompt],
        None => &[all, "/ search  r rerun  q quit  ? help", "? help"],
    };
    let fits = keys.iter().find(|keys| words.width() + keys.width() + 3 <= width);
    let keys = match fits.or(keys.last()).filter(|keys| keys.width() + 3 < width) {
        Some(keys) => format!("   {keys}"),
        None => String::new(),
    };
    format!("{}{keys}", cut(&words, width - keys.width(), style))
}

fn rows(board: &mut Board, into: &mut Buffer, area: Rect, style: Style) {
    let height = usize::from(area.height);
    // The chosen one stays in sight.
    board.first = board.first.min(board.chosen).max((board.chosen + 1).saturating_sub(height));
    board.first = board.first.min(board.panes.len().saturating_sub(height));
    let now = board.now();
    for (y, (at, pane)) in (0u16..).zip(board.panes.iter().enumerate().skip(board.first).take(height)) {
        let right = match (&pane.status, pane.since, pane.took) {
            (Some(status), ..) if pane.service => {
                status.usage.map_or_else(|| status.state.word().to_owned(), |usage| show_size(usage.memory))
            }
            (_, Some(since), _) => words::clock(now.since(since)),
            (_, None, Some(took)) => show_duration(took),
            _ => String::new(),
        };
        let room = usize::from(area.width).saturating_sub(4 + right.width());
        let (sign, look) = sign(pane.mark, style);
        into.set_stringn(1, y, sign, 1, look);
        into.set_stringn(3, y, cut(&pane.label, room, style), room, Look::new());
        let x = area.width.saturating_sub(right.width() as u16 + 1);
        into.set_stringn(x, y, &right, right.width(), faint(style));
        if at == board.chosen {
            into.set_style(Rect::new(0, y, area.width, 1), Look::new().add_modifier(Modifier::REVERSED));
        }
    }
}

fn log(board: &mut Board, into: &mut Buffer, area: Rect, style: Style) {
    let Some(pane) = board.panes.get(board.chosen) else { return };
    let width = usize::from(area.width);
    // Where there is room for one line only, that is the newest.
    let top = u16::from(area.height > 1);
    if top > 0 {
        into.set_stringn(area.x, 0, title(pane), width, bold(style));
    }
    let rows = usize::from(area.height - top);
    if board.help {
        for (y, line) in (top..).zip(HELP.iter().take(rows)) {
            into.set_stringn(area.x, y, line, width, Look::new());
        }
        return;
    }
    let open = pane.log.open();
    let total = pane.log.earlier + pane.log.lines.len() as u64;
    let open_rows = open.as_deref().map_or(0, |open| wrapped(open, width).len());
    if board.back > 0 && board.columns == width {
        // Whoever reads above is left there, whatever comes below.
        let fresh = usize::try_from(total.saturating_sub(board.drawn.0)).unwrap_or(usize::MAX);
        let rows: usize =
            pane.log.lines.iter().rev().take(fresh).map(|line| wrapped(line, width).len()).sum();
        board.back = board.back.saturating_add(rows + open_rows).saturating_sub(board.drawn.1).max(1);
    }
    (board.drawn, board.columns) = ((total, open_rows), width);
    // From the end, as far as is needed: a long log is never looked through for one screen of it.
    let mut shown: Vec<(u64, &str)> = Vec::new();
    let wanted = board.back.saturating_add(rows);
    let lines = pane.log.lines.iter().map(String::as_str).chain(open.as_deref());
    let numbers = pane.log.earlier..total + u64::from(open.is_some());
    for (number, line) in numbers.rev().zip(lines.rev()) {
        let from = shown.len();
        shown.extend(wrapped(line, width).into_iter().map(|piece| (number, piece)));
        shown[from..].reverse();
        if shown.len() >= wanted {
            break;
        }
    }
    board.back = board.back.min(shown.len().saturating_sub(rows));
    let visible = shown.iter().skip(board.back).take(rows).rev();
    for (y, (number, line)) in (top..).zip(visible) {
        let is_found = board.search.found == Some(*number);
        let look = if is_found { Look::new().add_modifier(Modifier::REVERSED) } else { Look::new() };
        into.set_stringn(area.x, y, line, width, look);
    }
    if board.back > 0 {
        let rows = if board.back == 1 { "row" } else { "rows" };
        let back = format!(" {} {rows} below ", board.back);
        let x = area.right().saturating_sub(back.width() as u16);
        into.set_stringn(x, area.bottom() - 1, &back, width, Look::new().add_modifier(Modifier::REVERSED));
    }
}

fn title(pane: &Pane) -> String {
    let Some(status) = &pane.status else { return pane.label.clone() };
    let load = status.load.map_or_else(String::new, |load| format!("  {}.{}%", load / 10, load % 10));
    let memory = status.usage.map_or_else(String::new, |usage| format!("  {}", show_size(usage.memory)));
    let urls: String = status.urls.iter().map(|link| format!("  {}", link.url)).collect();
    format!("{}  {}{load}{memory}{urls}", pane.label, status.state.word())
}

/// A line in pieces that fit.
pub(super) fn wrapped(line: &str, width: usize) -> Vec<&str> {
    let mut pieces = Vec::new();
    let (mut from, mut used) = (0, 0);
    for (at, c) in line.char_indices() {
        let columns = c.width().unwrap_or(0);
        if used + columns > width.max(2) {
            pieces.push(&line[from..at]);
            (from, used) = (at, 0);
        }
        used += columns;
    }
    pieces.push(&line[from..]);
    pieces
}

fn sign(mark: Mark, style: Style) -> (&'static str, Look) {
    let colour = |colour| if style.colour { Look::new().fg(colour) } else { Look::new() };
    let (unicode, ascii, look) = match mark {
        Mark::None => (" ", " ", Look::new()),
        Mark::Waiting => ("·", ".", faint(style)),
        Mark::Running => ("●", "*", colour(Color::Cyan)),
        Mark::Good => ("✓", "+", colour(Color::Green)),
        Mark::Up => ("▲", "^", colour(Color::Green)),
        Mark::Trouble => ("↻", "~", colour(Color::Yellow)),
        Mark::Failed => ("✗", "x", colour(Color::Red)),
        Mark::Skipped => ("-", "-", colour(Color::Yellow)),
    };
    (if style.unicode { unicode } else { ascii }, look)
}

fn faint(style: Style) -> Look {
    if style.colour { Look::new().add_modifier(Modifier::DIM) } else { Look::new() }
}

fn bold(style: Style) -> Look {
    if style.colour { Look::new().add_modifier(Modifier::BOLD) } else { Look::new() }
}

/// What has to be written so that a screen with the one shows the other. Rows that differ are written whole: how many
/// columns a terminal gives to an unusual sign, and what it leaves of it, is its own affair.
pub(super) fn cells(before: &Buffer, next: &Buffer, into: &mut Vec<u8>) {
    let mut look = String::new();
    let width = usize::from(next.area.width).max(1);
    for (y, (old, new)) in before.content.chunks(width).zip(next.content.chunks(width)).enumerate() {
        if old == new {
            continue;
        }
        let end = new.iter().rposition(|cell| *cell != Cell::EMPTY).map_or(0, |last| last + 1);
        let (mut x, mut at) = (0, None);
        while let Some(cell) = new[..end].get(x) {
            let sign = cell.symbol();
            if at != Some(x) {
                into.extend_from_slice(format!("\x1b[{};{}H", y + 1, x + 1).as_bytes());
            }
            let wanted = codes(cell);
            if wanted != look {
                into.extend_from_slice(wanted.as_bytes());
                look = wanted;
            }
            into.extend_from_slice(sign.as_bytes());
            x += sign.width().max(1);
            at = sign.is_ascii().then_some(x);
        }
        if x < width {
            if !look.is_empty() {
                into.extend_from_slice(b"\x1b[0m");
                look.clear();
            }
            into.extend_from_slice(format!("\x1b[{};{}H\x1b[K", y + 1, x + 1).as_bytes());
        }
    }
    if !look.is_empty() {
        into.extend_from_slice(b"\x1b[0m");
    }
}

/// The sequence for a cell's look.
fn codes(cell: &Cell) -> String {
    let mut codes = "\x1b[0".to_owned();
    for (modifier, code) in [(Modifier::BOLD, ";1"), (Modifier::DIM, ";2"), (Modifier::REVERSED, ";7")] {
        if cell.modifier.contains(modifier) {
            codes.push_str(code);
        }
    }
    codes.push_str(match cell.fg {
        Color::Red => ";31",
        Color::Green => ";32",
        Color::Yellow => ";33",
        Color::Cyan => ";36",
        _ => "",
    });
    codes.push('m');
    codes
}
