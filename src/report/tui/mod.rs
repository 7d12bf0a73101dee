//! Panes on a screen of their own (`--ui=tui`): the list of nodes, and the log of the chosen one, which scrolls.
//!
//! [`Board`] is what there is to see, fed by events; [`draw`] puts it into a buffer of cells, and ratatui says which cells
//! differ from those on the screen. A thread draws at most twenty times a second, and only when something is new. What is
//! said beside the nodes' output has a log of its own at the top of the list; what was said of the last run is printed on
//! the ordinary screen when the panes are closed, for the alternate screen keeps nothing.
//!
//! Invariant: memory is bounded: of a long log the newest part is kept, of all logs together no more than [`board::ALL`].

mod board;
mod draw;
#[cfg(test)]
mod tests;

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ratatui_core::buffer::Buffer;
use ratatui_core::layout::Rect;

use super::text::Text;
use super::{Foreground, Meter, Options, Output, Reporter, Sink, Size, Style};
use crate::event::{Event, RunState, Sequenced};
use board::Board;

pub use board::Wish;

/// Drawn at most so often.
const FRAME: Duration = Duration::from_millis(50);

/// How often times move on while something runs.
const TICK: Duration = Duration::from_millis(200);

/// How often it is asked what services take.
const SAMPLE: Duration = Duration::from_secs(2);

/// Begins and ends the panes: the alternate screen, without a cursor, where lines do not wrap.
const OPEN: &[u8] = b"\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J";
const CLOSE: &[u8] = b"\x1b[?7h\x1b[?25h\x1b[0m\x1b[?1049l";

/// Written by whoever has no time to close them: what was being drawn is over, too.
pub const EMERGENCY: &[u8] = b"\x1b[?2026l\x1b[?7h\x1b[?25h\x1b[0m\x1b[?1049l";

/// The panes. Every clone is the same.
#[derive(Clone)]
pub struct Panes(Arc<Shared>);

struct Shared {
    inner: Mutex<Inner>,
    changed: Condvar,
    size: Size,
    style: Style,
    foreground: Foreground,
}

struct Inner {
    to: Box<dyn Write + Send>,
    board: Board,
    /// The cells on the screen; none if nobody knows them.
    drawn: Option<Buffer>,
    open: bool,
    /// Somebody else has the terminal.
    away: bool,
    dirty: bool,
    drawn_at: Option<Instant>,
    threads: bool,
}

impl Panes {
    /// Panes that are not open yet.
    pub fn new(to: Box<dyn Write + Send>, size: Size, style: Style, foreground: Foreground) -> Self {
        let inner = Inner {
            to,
            board: Board::default(),
            drawn: None,
            open: false,
            away: false,
            dirty: true,
            drawn_at: None,
            threads: false,
        };
        let (inner, changed) = (Mutex::new(inner), Condvar::new());
        Self(Arc::new(Shared { inner, changed, size, style, foreground }))
    }

    /// The reporter that fills them.
    pub fn reporter(&self, verbose: bool) -> Box<dyn Reporter> {
        let sink = || Sink { to: Box::new(Messages(self.clone())), terminal: false, style: self.0.style };
        let text = Text::new(Options {
            output: Output::Errors,
            verbose,
            ci: false,
            github: false,
            out: sink(),
            err: sink(),
            joined: true,
            screen: None,
            stays: true,
        });
        Box::new(Filling { panes: self.clone(), text })
    }

    /// Begins to show services with what this tells of them.
    pub fn watch(&self, meter: Meter) {
        let panes = self.clone();
        let ask = move || {
            loop {
                std::thread::sleep(SAMPLE);
                let inner = panes.lock();
                if inner.board.is_closed() {
                    return;
                }
                let wanted = inner.open && inner.board.has_services();
                drop(inner);
                if wanted {
                    let statuses = meter();
                    panes.change(|board| board.statuses(statuses));
                }
            }
        };
        // Without a thread nobody knows what services take.
        let _ = std::thread::Builder::new().name("meter".to_owned()).spawn(ask);
    }

    /// Text that is of no node.
    pub fn say(&self, text: &[u8]) -> io::Result<()> {
        let mut inner = self.lock();
        if !inner.open {
            return inner.to.write_all(text).and_then(|()| inner.to.flush());
        }
        drop(inner);
        self.change(|board| board.say(text));
        Ok(())
    }

    /// Keys were pressed: what is wished for beyond the panes.
    pub fn pressed(&self, keys: &[u8]) -> Option<Wish> {
        let size = (self.0.size)();
        let mut wish = None;
        self.change(|board| wish = board.pressed(keys, draw::log_rows(size)));
        wish
    }

    /// Leaves the terminal to somebody else.
    pub fn leave(&self) {
        let mut inner = self.lock();
        inner.away = true;
        inner.shut();
    }

    /// Has it again.
    pub fn come_back(&self) {
        self.lock().away = false;
        self.refresh();
    }

    /// Everything is drawn anew.
    pub fn refresh(&self) {
        let mut inner = self.lock();
        (inner.drawn, inner.dirty) = (None, true);
        drop(inner);
        self.0.changed.notify_all();
    }

    /// Closes them for good, and says on the ordinary screen what was said of the last run.
    pub fn close(&self) {
        let mut inner = self.lock();
        let was_open = inner.open;
        inner.shut();
        if !inner.board.is_closed() {
            let last = inner.board.close();
            if was_open {
                // A terminal that is gone wants to hear nothing.
                let _ = inner.to.write_all(last.as_bytes()).and_then(|()| inner.to.flush());
            }
        }
        drop(inner);
        self.0.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Board)) {
        let mut inner = self.lock();
        change(&mut inner.board);
        inner.dirty = true;
        let begin = !std::mem::replace(&mut inner.threads, true);
        drop(inner);
        if begin {
            let panes = self.clone();
            // Without a thread nothing is seen until the end, and all is said then.
            let _ = std::thread::Builder::new().name("panes".to_owned()).spawn(move || panes.keep_drawing());
        }
        self.0.changed.notify_all();
    }

    fn keep_drawing(&self) {
        let mut inner = self.lock();
        loop {
            if inner.board.is_closed() {
                return;
            }
            let moving = inner.board.is_moving();
            let due = match inner.drawn_at {
                None => Some(Instant::now()),
                Some(at) if inner.dirty => Some(at + FRAME),
                Some(at) if moving => Some(at + TICK),
                Some(_) => None,
            };
            let now = Instant::now();
            match due.filter(|_| !inner.away) {
                None => inner = self.0.changed.wait(inner).unwrap_or_else(PoisonError::into_inner),
                Some(due) if due > now => {
                    let wait = self.0.changed.wait_timeout(inner, due - now);
                    inner = wait.unwrap_or_else(PoisonError::into_inner).0;
                }
                Some(_) => {
                    // What cannot be written now may be later; nothing else depends on it.
                    let _ = inner.draw(&self.0);
                }
            }
        }
    }
}

impl Inner {
    fn draw(&mut self, shared: &Shared) -> io::Result<()> {
        (self.dirty, self.drawn_at) = (false, Some(Instant::now()));
        if !(shared.foreground)() {
            return Ok(());
        }
        let (width, height) = (shared.size)();
        let area = Rect::new(0, 0, width, height);
        let mut next = Buffer::empty(area);
        draw::draw(&mut self.board, &mut next, shared.style);
        let mut bytes = Vec::new();
        if !std::mem::replace(&mut self.open, true) {
            bytes.extend_from_slice(OPEN);
            self.drawn = None;
        }
        let before = match self.drawn.take() {
            Some(before) if before.area == area => before,
            _ => {
                bytes.extend_from_slice(b"\x1b[0m\x1b[2J");
                Buffer::empty(area)
            }
        };
        draw::cells(&before, &next, &mut bytes);
        self.drawn = Some(next);
        if bytes.is_empty() {
            return Ok(());
        }
        let all = [b"\x1b[?2026h".as_slice(), &bytes, b"\x1b[?2026l"].concat();
        self.to.write_all(&all).and_then(|()| self.to.flush())
    }

    fn shut(&mut self) {
        if std::mem::replace(&mut self.open, false) {
            self.drawn = None;
            let _ = self.to.write_all(CLOSE).and_then(|()| self.to.flush());
        }
    }
}

/// What is said beside the nodes' output, as a stream.
struct Messages(Panes);

impl Write for Messages {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.change(|board| board.say(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Fills the panes with what is told.
struct Filling {
    panes: Panes,
    /// Says what is said beside the nodes' output.
    text: Text,
}

impl Reporter for Filling {
    fn on(&mut self, event: &Sequenced, state: &RunState) -> io::Result<()> {
        if let Event::NodeStarted { interactive: true, .. } = event.event {
            // Whoever runs it has been told to leave; where nobody was, this does.
            self.panes.leave();
        }
        self.panes.change(|board| board.on(event, state));
        if matches!(event.event, Event::NodeFinished { .. }) && self.panes.lock().away {
            self.panes.come_back();
        }
        self.text.on(event, state)
    }
}

impl Drop for Filling {
    fn drop(&mut self) {
        self.panes.close();
    }
}

impl std::fmt::Debug for Panes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Panes").finish_non_exhaustive()
    }
}
