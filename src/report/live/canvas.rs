//! A stretch of terminal that is drawn over and over, below text that stays.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard};

use indicatif::TermLike;
use unicode_width::UnicodeWidthStr;

use crate::report::Size;

/// What indicatif draws on.
///
/// It tells us when to draw and what; how is done here. Everything between two flushes is written in one piece, so that
/// nothing flickers. Lines are ended instead of filled up with spaces to the edge: a window made narrower would wrap
/// the spaces too, and what is copied out of it would be full of them. For the same reason the way back up is counted
/// from the lines' own widths and the window's width of now.
#[derive(Clone)]
pub(super) struct Canvas {
    inner: Arc<Mutex<Inner>>,
    size: Size,
}

struct Inner {
    to: Box<dyn Write + Send>,
    gathered: Vec<u8>,
    /// Widths of the lines that are drawn.
    drawn: Vec<usize>,
    /// The next thing written is what fills up the line before.
    filler: bool,
    /// More follows that belongs to this drawing.
    held: bool,
    /// The first thing that went wrong: indicatif has no use for it.
    error: Option<io::Error>,
}

impl Canvas {
    pub(super) fn new(to: Box<dyn Write + Send>, size: Size) -> Self {
        let inner =
            Inner { to, gathered: Vec::new(), drawn: Vec::new(), filler: false, held: false, error: None };
        Self { inner: Arc::new(Mutex::new(inner)), size }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Until it is released, nothing is written.
    pub(super) fn hold(&self) {
        self.inner().held = true;
    }

    /// Writes what was gathered since.
    pub(super) fn release(&self) -> io::Result<()> {
        let mut inner = self.inner();
        inner.held = false;
        inner.write();
        inner.error.take().map_or(Ok(()), Err)
    }

    /// Gives the terminal back, cleared.
    pub(super) fn close(&self) -> Box<dyn Write + Send> {
        let mut inner = self.inner();
        inner.erase((self.size)().0);
        inner.held = false;
        inner.write();
        std::mem::replace(&mut inner.to, Box::new(io::sink()))
    }

    /// Text that stays, in place of what was drawn.
    pub(super) fn text(&self, text: &[u8]) {
        let mut inner = self.inner();
        inner.erase((self.size)().0);
        inner.gathered.extend_from_slice(text);
    }
}

impl Inner {
    fn write(&mut self) {
        if self.held || self.gathered.is_empty() {
            return;
        }
        let written = self.to.write_all(&self.gathered).and_then(|()| self.to.flush());
        self.gathered.clear();
        if let Err(error) = written {
            self.error.get_or_insert(error);
        }
    }

    /// Goes up to the first drawn line and clears all below.
    fn erase(&mut self, width: u16) {
        self.filler = false;
        if self.drawn.is_empty() {
            return;
        }
        let width = usize::from(width).max(1);
        let rows: usize = self.drawn.drain(..).map(|line| line.div_ceil(width).max(1)).sum();
        let up = if rows > 1 { format!("\x1b[{}A", rows - 1) } else { String::new() };
        self.gathered.extend_from_slice(format!("\r{up}\x1b[J").as_bytes());
    }
}

impl TermLike for Canvas {
    fn width(&self) -> u16 {
        (self.size)().0
    }

    fn height(&self) -> u16 {
        (self.size)().1
    }

    // Called only to get back to the first line.
    fn move_cursor_up(&self, _: usize) -> io::Result<()> {
        self.clear_line()
    }

    fn move_cursor_down(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_right(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_left(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.write_str(text)
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        let mut inner = self.inner();
        // A line and its filler, in turn.
        if !std::mem::take(&mut inner.filler) {
            if !inner.drawn.is_empty() {
                inner.gathered.extend_from_slice(b"\r\n");
            }
            inner.gathered.extend_from_slice(text.as_bytes());
            inner.drawn.push(visible_width(text));
            inner.filler = true;
        }
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        self.inner().erase((self.size)().0);
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        self.inner().write();
        Ok(())
    }
}

impl std::fmt::Debug for Canvas {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Canvas").finish_non_exhaustive()
    }
}

/// Columns of a line of ours, whose only sequences are colours.
fn visible_width(text: &str) -> usize {
    let mut parts = text.split('\x1b');
    let plain = parts.next().map_or(0, UnicodeWidthStr::width);
    plain + parts.map(|part| part.split_once('m').map_or(0, |(_, text)| text.width())).sum::<usize>()
}
