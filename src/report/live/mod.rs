//! The live view: what runs and what is up now, below the text that scrolls, on a terminal. Never the alternate screen.
//!
//! [`Screen`] is the terminal: whoever has something to say there says it through it, and it stands above the view.
//! [`view`] says which lines there are to see, [`canvas`] how they come onto the terminal. A thread draws them anew, at
//! most thirty times a second: while tasks run every tenth of a second, for their times move on; else only when there is
//! something else to see. Another one asks now and then what services take, while they are shown.
//!
//! Invariant: text that comes in between two drawings waits for the next, in bounded memory; whoever brings more writes it
//! himself, and waits for the terminal.

mod canvas;
#[cfg(test)]
mod tests;
mod view;

use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{Panes, Size, Style};
use crate::base::Timestamp;
use crate::event::RunState;
use crate::graph::NodeIx;
use crate::service::Status;
use canvas::Canvas;
use view::{Extras, View};
pub(super) use view::{cut, stopping};

/// Written when nobody is there any more who could take the view away: what comes next begins a line of its own.
pub const ABANDONED: &[u8] = b"\x1b[?2026l\x1b[?25h\x1b[0m\r\n";

/// How often the times shown move on while nothing happens.
const TICK: Duration = Duration::from_millis(100);

/// Drawn at most so often, whatever happens.
const FRAME: Duration = Duration::from_millis(33);

/// A run shorter than this shows nothing that would be gone before it is read.
pub(super) const PATIENCE: Duration = Duration::from_millis(150);

/// So much text may wait for the next drawing.
const WAITING: usize = 64 << 10;

/// How often it is asked what services take; so many times rarer than what asking costs, if that is more.
const SAMPLE: Duration = Duration::from_secs(1);
const SAMPLE_COST: u32 = 1000;

/// What the services of the project are, and what they take; asked now and then while they are shown.
pub type Meter = Arc<dyn Fn() -> Vec<Status> + Send + Sync>;

/// Whether envrun has the terminal: what another job's shell shows is not drawn over.
pub type Foreground = Arc<dyn Fn() -> bool + Send + Sync>;

/// A terminal with text on it, and below the text, at times, a live view.
#[derive(Clone)]
pub struct Screen(Arc<Shared>);

struct Shared {
    inner: Mutex<Inner>,
    changed: Condvar,
    size: Size,
    style: Style,
    foreground: Foreground,
}

struct Inner {
    to: Box<dyn Write + Send>,
    canvas: Canvas,
    /// Whole lines that wait to be written.
    text: Vec<u8>,
    scene: Option<Scene>,
    meter: Option<Meter>,
    /// What is shown instead, on a screen of its own.
    panes: Option<Panes>,
    /// What may be said about keys, from the most to the least.
    keys: Vec<String>,
    /// Somebody else has the terminal.
    away: bool,
    /// There is something new to draw.
    dirty: bool,
    /// What services take is to be asked now.
    asked: bool,
    drawn_at: Option<Instant>,
    drawing: bool,
    metering: bool,
}

/// What there is to show, and when that came: events bring the time, our own clock only what passes between them.
struct Scene {
    view: View,
    time: Timestamp,
    at: Instant,
    began: Instant,
    /// From when on it is visible.
    begins: Instant,
    statuses: Vec<Status>,
    /// When these were asked, as events have the time.
    asked: Timestamp,
    tails: HashMap<NodeIx, String>,
    idle: Option<String>,
}

impl Scene {
    /// The time, as events have it.
    fn now(&self) -> Timestamp {
        let passed = u64::try_from(self.at.elapsed().as_millis()).unwrap_or(u64::MAX);
        Timestamp(self.time.0.saturating_add(passed))
    }
}

impl Screen {
    /// A terminal. `foreground` is asked before each drawing.
    pub fn new(to: Box<dyn Write + Send>, size: Size, style: Style, foreground: Foreground) -> Self {
        let inner = Inner {
            to,
            canvas: Canvas::default(),
            text: Vec::new(),
            scene: None,
            meter: None,
            panes: None,
            keys: Vec::new(),
            away: false,
            dirty: false,
            asked: false,
            drawn_at: None,
            drawing: false,
            metering: false,
        };
        let (inner, changed) = (Mutex::new(inner), Condvar::new());
        Self(Arc::new(Shared { inner, changed, size, style, foreground }))
    }

    /// Columns and lines.
    pub fn size(&self) -> (u16, u16) {
        (self.0.size)()
    }

    /// From now on services are shown with what this tells of them.
    pub fn set_meter(&self, meter: Meter) {
        match self.panes() {
            Some(panes) => panes.watch(meter),
            None => self.lock().meter = Some(meter),
        }
    }

    /// From now on everything is shown in panes, on a screen of their own.
    pub fn set_panes(&self, panes: Panes) {
        self.lock().panes = Some(panes);
    }

    /// The panes, if there are any.
    pub fn panes(&self) -> Option<Panes> {
        self.lock().panes.clone()
    }

    /// What the view says about keys where there is room: the first of these that fits.
    pub fn set_keys(&self, keys: Vec<String>) {
        self.lock().keys = keys;
    }

    /// Text that stays. While there is a view these must be whole lines.
    pub fn text(&self, text: &[u8]) -> io::Result<()> {
        if let Some(panes) = self.panes() {
            return panes.say(text);
        }
        let mut inner = self.lock();
        if inner.scene.is_none() || inner.away {
            inner.flush(&self.0)?;
            return inner.to.write_all(text).and_then(|()| inner.to.flush());
        }
        inner.text.extend_from_slice(text);
        if inner.text.len() > WAITING || inner.is_due() {
            return inner.draw(&self.0);
        }
        drop(inner);
        self.0.changed.notify_all();
        Ok(())
    }

    /// A stream that puts text there.
    pub fn stream(&self) -> Box<dyn Write + Send> {
        Box::new(Stream(self.clone()))
    }

    /// Leaves the terminal to somebody else, with nothing drawn on it.
    pub fn leave(&self) {
        if let Some(panes) = self.panes() {
            return panes.leave();
        }
        let mut inner = self.lock();
        // A terminal that is gone needs no cleaning.
        let _ = inner.clear(&self.0);
        inner.away = true;
    }

    /// Has it again.
    pub fn come_back(&self) {
        if let Some(panes) = self.panes() {
            return panes.come_back();
        }
        let mut inner = self.lock();
        if !std::mem::replace(&mut inner.away, false) {
            return;
        }
        inner.canvas.forget();
        inner.dirty = true;
        drop(inner);
        self.0.changed.notify_all();
    }

    /// The window has another size, or envrun is in the foreground again.
    pub fn refresh(&self) {
        if let Some(panes) = self.panes() {
            return panes.refresh();
        }
        self.lock().dirty = true;
        self.0.changed.notify_all();
    }

    /// Takes the view away, for good: what is said from now on is only text.
    pub fn close(&self) {
        if let Some(panes) = self.panes() {
            return panes.close();
        }
        let mut inner = self.lock();
        let _ = inner.clear(&self.0);
        inner.scene = None;
        drop(inner);
        self.0.changed.notify_all();
    }

    /// Whether there is a view, visible already or not.
    pub(super) fn is_live(&self) -> bool {
        self.lock().scene.is_some()
    }

    /// Begins a view that shows itself after `patience`.
    pub(super) fn begin(&self, state: &RunState, patience: Duration) {
        let mut inner = self.lock();
        let now = Instant::now();
        inner.scene = Some(Scene {
            view: View::of(state),
            time: state.now(),
            at: now,
            began: now,
            begins: now + patience,
            statuses: Vec::new(),
            asked: Timestamp(0),
            tails: HashMap::new(),
            idle: None,
        });
        inner.dirty = true;
        if !std::mem::replace(&mut inner.drawing, true) {
            let screen = self.clone();
            let thread = std::thread::Builder::new().name("screen".to_owned());
            // Without a thread the view is drawn when text comes.
            inner.drawing = thread.spawn(move || screen.keep_drawing()).is_ok();
        }
        drop(inner);
        self.meter();
        self.0.changed.notify_all();
    }

    /// Something happened; it shows with the next drawing. `news`: it may be about a service.
    pub(super) fn update(&self, state: &RunState, news: bool) {
        let mut inner = self.lock();
        let Some(scene) = &mut inner.scene else { return };
        (scene.view, scene.time, scene.at) = (View::of(state), state.now(), Instant::now());
        if state.finished().is_none() {
            scene.idle = None;
        }
        let running: Vec<NodeIx> = state.running().iter().map(|running| running.node).collect();
        scene.tails.retain(|node, _| running.contains(node));
        inner.dirty = true;
        inner.asked |= news;
        drop(inner);
        if news {
            self.meter();
        }
        self.0.changed.notify_all();
    }

    /// Nothing runs; this is waited for.
    pub(super) fn idle(&self, words: String) {
        let mut inner = self.lock();
        if let Some(scene) = &mut inner.scene {
            scene.idle = Some(words);
            inner.dirty = true;
        }
        drop(inner);
        self.0.changed.notify_all();
    }

    /// What a node shows of its own progress.
    pub(super) fn tail(&self, node: NodeIx, text: String) {
        let mut inner = self.lock();
        if let Some(scene) = &mut inner.scene {
            scene.tails.insert(node, text);
            inner.dirty = true;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Draws when it is time, as long as there is a view.
    fn keep_drawing(&self) {
        let mut inner = self.lock();
        loop {
            let now = Instant::now();
            let Some(due) = inner.due() else {
                if inner.scene.is_none() {
                    inner.drawing = false;
                    return;
                }
                inner = self.0.changed.wait(inner).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            if due > now {
                let wait = self.0.changed.wait_timeout(inner, due - now);
                inner = wait.unwrap_or_else(PoisonError::into_inner).0;
                continue;
            }
            // Whoever writes text hears of it.
            let _ = inner.draw(&self.0);
        }
    }

    /// Begins to ask what services take, if there are any and nobody does.
    fn meter(&self) {
        let mut inner = self.lock();
        let wanted = inner.scene.as_ref().is_some_and(|scene| scene.view.has_services());
        let Some(meter) = inner.meter.clone().filter(|_| wanted && !inner.metering) else { return };
        let screen = self.clone();
        let thread = std::thread::Builder::new().name("meter".to_owned());
        inner.metering = thread.spawn(move || screen.keep_asking(&meter)).is_ok();
    }

    fn keep_asking(&self, meter: &Meter) {
        loop {
            let asked = Instant::now();
            let time = self.lock().scene.as_ref().map_or(Timestamp(0), Scene::now);
            let statuses = meter();
            let cost = asked.elapsed();
            // The first look takes a tenth of a second longer, to see what has moved meanwhile: no work.
            let cost = if cost > TICK { Duration::ZERO } else { cost };
            let until = Instant::now() + (cost * SAMPLE_COST).clamp(SAMPLE, SAMPLE * 10);
            let mut inner = self.lock();
            if let Some(scene) = &mut inner.scene {
                (scene.statuses, scene.asked) = (statuses, time);
                inner.dirty = true;
            }
            inner.asked = false;
            self.0.changed.notify_all();
            loop {
                let left = until.saturating_duration_since(Instant::now());
                if inner.scene.as_ref().is_none_or(|scene| !scene.view.has_services()) {
                    inner.metering = false;
                    return;
                }
                if left.is_zero() || inner.asked {
                    break;
                }
                let wait = self.0.changed.wait_timeout(inner, left);
                inner = wait.unwrap_or_else(PoisonError::into_inner).0;
            }
        }
    }
}

impl Inner {
    /// When to draw next.
    fn due(&self) -> Option<Instant> {
        let scene = self.scene.as_ref().filter(|_| !self.away)?;
        let soon = self.drawn_at.map_or(scene.began, |at| at + FRAME);
        let soon = if self.text.is_empty() { soon.max(scene.begins) } else { soon };
        if self.dirty || !self.text.is_empty() {
            return Some(soon);
        }
        scene.view.moves().then(|| self.drawn_at.map_or(soon, |at| at + TICK))
    }

    fn is_due(&self) -> bool {
        self.due().is_some_and(|due| due <= Instant::now())
    }

    /// Writes the text that waits, and draws the view below it.
    fn draw(&mut self, shared: &Shared) -> io::Result<()> {
        let now = Instant::now();
        let size = (shared.size)();
        let visible = self.scene.as_ref().filter(|scene| scene.begins <= now && (shared.foreground)());
        let lines = visible.map_or_else(Vec::new, |scene| {
            let time = scene.now();
            let extras = Extras {
                statuses: &scene.statuses,
                asked: scene.asked,
                tails: &scene.tails,
                idle: scene.idle.as_deref(),
                keys: &self.keys,
            };
            scene.view.lines(time, size, shared.style, &extras)
        });
        // What is not visible yet has to be drawn when it is.
        self.dirty = self.scene.as_ref().is_some_and(|scene| scene.begins > now);
        self.drawn_at = Some(now);
        let text = std::mem::take(&mut self.text);
        self.canvas.draw(&mut *self.to, &text, lines, size)
    }

    /// Writes the text that waits, without a view below.
    fn clear(&mut self, shared: &Shared) -> io::Result<()> {
        let text = std::mem::take(&mut self.text);
        self.canvas.draw(&mut *self.to, &text, Vec::new(), (shared.size)())
    }

    fn flush(&mut self, shared: &Shared) -> io::Result<()> {
        if self.text.is_empty() { Ok(()) } else { self.clear(shared) }
    }
}

/// Text on a screen, as a stream.
struct Stream(Screen);

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.text(bytes).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl std::fmt::Debug for Screen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Screen").finish_non_exhaustive()
    }
}
