//! The window in which events gather.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// What the system tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hint {
    /// Something may have happened to this path.
    At(PathBuf),
    /// A folder that was watched is gone, or is another one now.
    Gone(PathBuf),
    /// Events got lost: anything may have happened.
    Lost,
    /// Watching failed for a reason that will not pass: from now on somebody has to look.
    Failed(String),
}

/// What gathered in one window.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// The paths, each with the moment of its first hint.
    pub paths: BTreeMap<PathBuf, Duration>,
    /// Folders that are gone, or others now.
    pub gone: Vec<PathBuf>,
    /// Anything may have happened.
    pub lost: bool,
}

/// Gathers hints until nothing came for a while, or the first one has waited long enough. Time is what the caller says it
/// is, counted from any moment.
#[derive(Debug)]
pub struct Quiet {
    window: Duration,
    cap: Duration,
    first: Option<Duration>,
    last: Duration,
    batch: Batch,
}

impl Quiet {
    /// Nothing has happened yet. `window`: how long nothing must come; `cap`: how long the first hint waits at most.
    pub fn new(window: Duration, cap: Duration) -> Self {
        Self { window, cap, first: None, last: Duration::ZERO, batch: Batch::default() }
    }

    /// Something may have happened.
    pub fn on(&mut self, now: Duration, hint: Hint) {
        self.first.get_or_insert(now);
        self.last = self.last.max(now);
        match hint {
            Hint::At(path) => _ = self.batch.paths.entry(path).or_insert(now),
            Hint::Gone(path) => {
                self.batch.gone.push(path.clone());
                self.batch.paths.entry(path).or_insert(now);
            }
            Hint::Lost | Hint::Failed(_) => self.batch.lost = true,
        }
    }

    /// When there will be something to take, if nothing else comes.
    pub fn due(&self) -> Option<Duration> {
        let first = self.first?;
        Some((self.last + self.window).min(first + self.cap))
    }

    /// How many paths have gathered.
    pub fn gathered(&self) -> usize {
        self.batch.paths.len()
    }

    /// When the first hint came that nobody has taken.
    pub fn first(&self) -> Option<Duration> {
        self.first
    }

    /// What gathered, if it is time.
    pub fn take(&mut self, now: Duration) -> Option<Batch> {
        if self.due()? > now {
            return None;
        }
        self.first = None;
        Some(std::mem::take(&mut self.batch))
    }
}
