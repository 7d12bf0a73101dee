//! How long each node took when it was executed: for the critical path and for expected times.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{RecordError, STATE_DIR};
use crate::base::Timestamp;
use crate::base::fs::{read, write_atomic};
use crate::base::map::IndexMap;

/// A node that was not executed for so long is forgotten.
const FORGET: Duration = Duration::from_secs(90 * 24 * 3600);

/// Durations by label: a line `<milliseconds> <day> <label>` each. Only a hint: what cannot be read is not known, and of
/// two runs that end at once the later one's word stands.
#[derive(Debug, Clone, Default)]
pub struct Durations {
    path: PathBuf,
    /// In the order of the file, which is sorted: nearly nothing is left to sort when it is written.
    known: IndexMap<String, Known>,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    ms: u64,
    /// Days since the epoch.
    day: u64,
}

impl Durations {
    /// Reads those of the project at `root`.
    pub fn load(root: &Path) -> Self {
        let path = root.join(STATE_DIR).join("state/durations");
        let bytes = read(&path).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        Self { known: text.lines().filter_map(parse).collect(), path }
    }

    /// How long a node is expected to take.
    pub fn of(&self, label: &str) -> Option<Duration> {
        self.known.get(label).map(|known| Duration::from_millis(known.ms))
    }

    /// Whether nothing is known of any node.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Notes how long it took now. The newest time counts as much as all before it together: a machine that was busy
    /// once does not mislead for long, and neither does a task that has become quicker.
    pub fn observe(&mut self, label: &str, took: Duration, now: Timestamp) {
        let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let known = Known { ms, day: day(now) };
        self.known
            .entry(label.to_owned())
            .and_modify(|old| *old = Known { ms: old.ms / 2 + ms / 2 + (old.ms & ms & 1), ..known })
            .or_insert(known);
    }

    /// Writes them back, atomically, without what nobody executed for a season.
    pub fn save(&self, now: Timestamp) -> Result<(), RecordError> {
        let oldest = day(now).saturating_sub(FORGET.as_secs() / 86_400);
        let mut lines: Vec<_> = self.known.iter().filter(|(_, known)| known.day >= oldest).collect();
        lines.sort_by_key(|(label, _)| *label);
        let mut text = String::with_capacity(lines.len() * 32);
        for (label, known) in lines.into_iter().filter(|(label, _)| !label.contains('\n')) {
            let _ = writeln!(text, "{} {} {label}", known.ms, known.day);
        }
        Ok(write_atomic(&self.path, text.as_bytes())?)
    }
}

fn parse(line: &str) -> Option<(String, Known)> {
    let mut parts = line.splitn(3, ' ');
    let ms = parts.next()?.parse().ok()?;
    let day = parts.next()?.parse().ok()?;
    Some((parts.next()?.to_owned(), Known { ms, day }))
}

fn day(now: Timestamp) -> u64 {
    now.0 / 86_400_000
}
