//! How long each node took when it was executed: for the critical path and for expected times.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{RecordError, STATE_DIR};
use crate::base::Timestamp;
use crate::base::fs::{read, write_atomic};

/// A node that was not executed for so long is forgotten.
const FORGET: Duration = Duration::from_secs(90 * 24 * 3600);

/// Durations by label: a line `<milliseconds> <day> <label>` each, sorted by label. They are looked for in the text, which
/// is not taken apart: a run of one task among ten thousand asks for one. Only a hint: what cannot be read is not known,
/// and of two runs that end at once the later one's word stands.
#[derive(Debug, Clone, Default)]
pub struct Durations {
    path: PathBuf,
    text: String,
    /// Where the lines with a label begin, their labels, and where they end; empty as long as few are asked for.
    lines: Vec<[u32; 3]>,
    /// What was observed since.
    new: BTreeMap<String, Known>,
}

/// So many labels make it worth finding every line.
const MANY: usize = 64;

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
        let text =
            String::from_utf8(bytes).unwrap_or_else(|bad| String::from_utf8_lossy(bad.as_bytes()).into());
        Self { text, path, ..Self::default() }
    }

    /// The same, for somebody who asks for so many: to halve the text for each costs more than to find its lines once.
    #[must_use]
    pub fn for_many(mut self, count: usize) -> Self {
        if count < MANY || self.text.len() > u32::MAX as usize {
            return self;
        }
        let bytes = self.text.as_bytes();
        let ends = memchr::memchr_iter(b'\n', bytes).chain(std::iter::once(bytes.len()));
        let mut start = 0;
        self.lines = ends
            .filter_map(|end| {
                let begun = std::mem::replace(&mut start, end + 1);
                let mut gaps = bytes.get(begun..end)?.iter().enumerate().filter(|(_, byte)| **byte == b' ');
                let label = begun + gaps.nth(1)?.0 + 1;
                Some([begun as u32, label as u32, end as u32])
            })
            .collect();
        self
    }

    /// How long a node is expected to take.
    pub fn of(&self, label: &str) -> Option<Duration> {
        self.known(label).map(|known| Duration::from_millis(known.ms))
    }

    fn known(&self, label: &str) -> Option<Known> {
        self.new.get(label).copied().or_else(|| self.written(label))
    }

    /// What the text says of a label: halved until one line is left. Numbers are read of that one line only.
    fn written(&self, label: &str) -> Option<Known> {
        let bytes = self.text.as_bytes();
        if !self.lines.is_empty() {
            let label_of = |[_, label, end]: &[u32; 3]| &bytes[*label as usize..*end as usize];
            let at = self.lines.binary_search_by(|line| label_of(line).cmp(label.as_bytes())).ok()?;
            let [start, _, end] = self.lines[at];
            return parse(self.text.get(start as usize..end as usize)?)?.1;
        }
        let (mut low, mut high) = (0, bytes.len());
        while low < high {
            let middle = low + (high - low) / 2;
            let before = bytes[low..middle].iter().rposition(|byte| *byte == b'\n');
            let start = before.map_or(low, |at| low + at + 1);
            let end =
                bytes[middle..high].iter().position(|byte| *byte == b'\n').map_or(high, |at| middle + at);
            let line = &bytes[start..end];
            // A line that says nothing is as good a place to go on from as any.
            let found = line.splitn(3, |byte| *byte == b' ').nth(2).unwrap_or_default();
            match found.cmp(label.as_bytes()) {
                Ordering::Equal => return parse(self.text.get(start..end)?)?.1,
                Ordering::Less => low = end + 1,
                Ordering::Greater => high = start,
            }
        }
        None
    }

    /// Whether nothing is known of any node.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty() && self.new.is_empty()
    }

    /// Notes how long it took now. The newest time counts as much as all before it together: a machine that was busy
    /// once does not mislead for long, and neither does a task that has become quicker.
    pub fn observe(&mut self, label: &str, took: Duration, now: Timestamp) {
        let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let old = self.known(label).map_or(ms, |old| old.ms);
        let known = Known { ms: old / 2 + ms / 2 + (old & ms & 1), day: day(now) };
        self.new.insert(label.to_owned(), known);
    }

    /// Writes them back, atomically, without what nobody executed for a season.
    pub fn save(&self, now: Timestamp) -> Result<(), RecordError> {
        let oldest = day(now).saturating_sub(FORGET.as_secs() / 86_400);
        let mut text = String::with_capacity(self.text.len() + 32 * self.new.len());
        let mut new = self.new.iter().filter(|(label, _)| !label.contains('\n')).peekable();
        let put = |text: &mut String, label: &str, known: &Known| {
            let _ = writeln!(text, "{} {} {label}", known.ms, known.day);
        };
        let mut before = "";
        for line in self.text.split_inclusive('\n') {
            let Some((label, Some(known))) = parse(line.trim_end_matches('\n')) else { continue };
            // Out of order it would not be found.
            if known.day < oldest || !before.is_empty() && label <= before {
                continue;
            }
            before = label;
            while let Some((label, known)) = new.next_if(|(name, _)| name.as_str() < label) {
                put(&mut text, label, known);
            }
            match new.next_if(|(name, _)| name.as_str() == label) {
                Some((label, known)) => put(&mut text, label, known),
                None => text += line,
            }
        }
        new.for_each(|(label, known)| put(&mut text, label, known));
        Ok(write_atomic(&self.path, text.as_bytes())?)
    }
}

fn parse(line: &str) -> Option<(&str, Option<Known>)> {
    let mut parts = line.splitn(3, ' ');
    let ms = parts.next()?.parse().ok()?;
    let day = parts.next()?.parse().ok()?;
    Some((parts.next()?, Some(Known { ms, day })))
}

fn day(now: Timestamp) -> u64 {
    now.0 / 86_400_000
}
