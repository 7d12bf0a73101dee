//! The live view: what runs now, below the text that scrolls, on a terminal. Never the alternate screen.
//!
//! [`view`] says which lines there are to see, [`canvas`] how they come onto the terminal; indicatif decides when they
//! are drawn anew.

mod canvas;
#[cfg(test)]
mod tests;
mod view;

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::{Size, Style};
use crate::base::Timestamp;
use crate::event::RunState;
use canvas::Canvas;
use view::View;

/// How often the times shown move on while nothing happens.
const TICK: Duration = Duration::from_millis(100);

/// Drawn at most so often, whatever happens.
const PER_SECOND: u8 = 20;

/// A run shorter than this shows nothing that would be gone before it is read.
pub(super) const PATIENCE: Duration = Duration::from_millis(150);

/// A live view on a terminal.
pub(super) struct Live {
    canvas: Canvas,
    bar: ProgressBar,
    seen: Arc<Mutex<Seen>>,
    size: Size,
    style: Style,
}

/// The newest view, and when it came: events bring the time, our own clock only what passes between them.
struct Seen {
    view: View,
    time: Timestamp,
    at: Instant,
}

impl Live {
    /// Begins a view that shows itself after `patience`.
    pub(super) fn begin(
        to: Box<dyn Write + Send>,
        size: Size,
        style: Style,
        patience: Duration,
        state: &RunState,
    ) -> Self {
        let live = Self::still(to, size, style, state);
        live.show_after(patience);
        live.bar.enable_steady_tick(TICK);
        live
    }

    /// A view that nothing draws yet.
    fn still(to: Box<dyn Write + Send>, size: Size, style: Style, state: &RunState) -> Self {
        let at = Instant::now();
        let seen = Arc::new(Mutex::new(Seen { view: View::of(state), time: state.now(), at }));
        let canvas = Canvas::new(to, size.clone());
        let target = ProgressDrawTarget::term_like_with_hz(Box::new(canvas.clone()), PER_SECOND);
        let bar = ProgressBar::with_draw_target(None, target);
        Self { canvas, bar, seen, size, style }
    }

    /// Says what is drawn, from that time on.
    fn show_after(&self, patience: Duration) {
        let (begun, seen, size, style) = (Instant::now(), self.seen.clone(), self.size.clone(), self.style);
        let write = move |_: &ProgressState, to: &mut dyn std::fmt::Write| {
            if begun.elapsed() >= patience {
                let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                let passed = u64::try_from(seen.at.elapsed().as_millis()).unwrap_or(u64::MAX);
                let now = Timestamp(seen.time.0.saturating_add(passed));
                let _ = to.write_str(&seen.view.lines(now, size(), style).join("\n"));
            }
        };
        let template = ProgressStyle::with_template("{view}").expect("one key makes a template");
        self.bar.set_style(template.with_key("view", write));
    }

    /// Something happened; it shows with the next text or tick.
    pub(super) fn update(&self, state: &RunState) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        (seen.view, seen.time, seen.at) = (View::of(state), state.now(), Instant::now());
    }

    /// Puts whole lines of text above the view.
    pub(super) fn above(&self, text: &[u8]) -> io::Result<()> {
        self.canvas.hold();
        self.bar.suspend(|| self.canvas.text(text));
        self.canvas.release()
    }

    /// Takes the view away and gives the terminal back.
    pub(super) fn end(self) -> Box<dyn Write + Send> {
        self.bar.disable_steady_tick();
        self.bar.finish_and_clear();
        self.canvas.close()
    }
}
