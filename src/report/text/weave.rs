//! How the output of nodes that run side by side becomes one text.

use std::collections::HashMap;

use unicode_width::UnicodeWidthStr;

use super::held::Held;
use crate::event::Stream;
use crate::graph::NodeIx;
use crate::report::Output;
use crate::report::ansi::{Filter, Keep, settle};
use crate::report::page::{Channel, Page};
use crate::report::style::Ink;

/// How much of a node's output is held for the end, in case it fails.
const FOR_FAILURE: usize = 256 << 10;

/// How much is held where it is shown when the node is over.
const FOR_GROUP: usize = 8 << 20;

/// A line longer than this is not waited for.
const LINE: usize = 64 << 10;

/// The widest label that others are lined up with.
const WIDEST: usize = 24;

/// Weaves the output of nodes into a page.
pub(super) struct Weave {
    how: Output,
    github: bool,
    /// Columns of the labels before lines.
    width: usize,
    strands: HashMap<NodeIx, Strand>,
    /// Counts the stretches of text that are of one node: two looks at it tell whether anyone else spoke between.
    stretch: u64,
    speaker: Option<NodeIx>,
    /// Whose last line, on which stream, was shown before its end came: the end alone is no line of its own.
    cut: Vec<(NodeIx, Stream)>,
}

/// The output of one node.
struct Strand {
    filters: [Filter; 2],
    /// Lines of each stream that lack their end.
    open: [Vec<u8>; 2],
    held: Held,
    /// The stretch in which it was shown first.
    shown: Option<u64>,
    /// The stretch in which it was shown last, and how many lines of it that was.
    latest: (u64, usize),
}

/// What is left of a node's output when it is over.
pub(super) struct Left {
    pub(super) held: Held,
    /// The stretch in which it was shown first, if it was shown at all where it can be seen.
    shown: Option<u64>,
}

impl Weave {
    /// `labels` are those that may stand before lines.
    pub(super) fn new<'a>(how: Output, github: bool, labels: impl Iterator<Item = &'a str>) -> Self {
        let width = match how {
            Output::Prefix => labels.map(UnicodeWidthStr::width).filter(|width| *width <= WIDEST).max(),
            _ => None,
        };
        Self {
            how,
            github,
            width: width.unwrap_or(0),
            strands: HashMap::new(),
            stretch: 0,
            speaker: None,
            cut: Vec::new(),
        }
    }

    /// Notes whose text comes next on the page.
    pub(super) fn speak(&mut self, who: Option<NodeIx>) {
        if self.speaker != who || who.is_none() {
            self.stretch += 1;
            self.speaker = who;
        }
    }

    /// How many lines that this node printed stand at the very end of the page, with nothing of anybody else between.
    pub(super) fn last_lines(&self, node: NodeIx) -> usize {
        let latest = self.strands.get(&node).map(|strand| strand.latest);
        latest.filter(|(stretch, _)| *stretch == self.stretch).map_or(0, |(_, lines)| lines)
    }

    /// Whether all that a node printed stands in one piece at the very end of the page.
    pub(super) fn is_last(&self, left: &Left) -> bool {
        left.shown == Some(self.stretch) && left.held.earlier() == 0
    }

    /// A node is going to print.
    pub(super) fn begin(&mut self, node: NodeIx, page: &Page) {
        self.cut.retain(|(cut, _)| *cut != node);
        self.strands.insert(node, self.strand(page));
    }

    fn strand(&self, page: &Page) -> Strand {
        let filters = match self.how {
            Output::Stream => [Channel::Out, Channel::Err].map(|channel| page.keep_as_it_comes(channel)),
            _ => [Channel::Out, Channel::Err].map(|channel| page.keep(channel)),
        };
        let room = if self.how == Output::Group { FOR_GROUP } else { FOR_FAILURE };
        Strand {
            filters: filters.map(Filter::new),
            open: Default::default(),
            held: Held::with_room(room),
            shown: None,
            latest: (0, 0),
        }
    }

    /// A node printed something.
    pub(super) fn output(
        &mut self,
        node: NodeIx,
        label: &str,
        stream: Stream,
        bytes: &[u8],
        page: &mut Page,
    ) {
        let mut bytes = bytes;
        if let Some(at) = self.cut.iter().position(|cut| *cut == (node, stream)).filter(|_| !bytes.is_empty())
        {
            self.cut.swap_remove(at);
            bytes = bytes.strip_prefix(b"\r\n").or_else(|| bytes.strip_prefix(b"\n")).unwrap_or(bytes);
        }
        if bytes.is_empty() {
            return;
        }
        let mut strand = self.strands.remove(&node).unwrap_or_else(|| self.strand(page));
        strand.held.push(bytes);
        let channel = channel_of(stream);
        match self.how {
            Output::Stream => {
                let mut passed = Vec::with_capacity(bytes.len());
                strand.filters[channel as usize].pass(bytes, &mut passed);
                self.show(node, &mut strand, passed.iter().filter(|byte| **byte == b'\n').count());
                page.put(channel, &passed);
            }
            Output::Prefix => {
                let open = &mut strand.open[channel as usize];
                strand.filters[channel as usize].pass(bytes, open);
                let whole = match open.iter().rposition(|byte| *byte == b'\n') {
                    Some(end) => end + 1,
                    None if open.len() > LINE => open.len(),
                    None => 0,
                };
                let lines: Vec<u8> = open.drain(..whole).collect();
                self.prefixed(node, label, channel, &lines, &mut strand, page);
            }
            _ => {}
        }
        self.strands.insert(node, strand);
    }

    /// A try of a node is over: the next one begins on a new line.
    pub(super) fn end_lines(&mut self, node: NodeIx, label: &str, page: &mut Page) {
        let Some(mut strand) = self.strands.remove(&node) else { return };
        if self.how == Output::Prefix {
            for (channel, stream) in [(Channel::Out, Stream::Stdout), (Channel::Err, Stream::Stderr)] {
                let rest = std::mem::take(&mut strand.open[channel as usize]);
                if !rest.is_empty() {
                    self.cut.push((node, stream));
                }
                self.prefixed(node, label, channel, &rest, &mut strand, page);
            }
        }
        if strand.held.bytes().last().is_some_and(|last| *last != b'\n') {
            strand.held.push(b"\n");
        }
        self.strands.insert(node, strand);
    }

    /// A node is over: shows what was waiting for that.
    pub(super) fn end(&mut self, node: NodeIx, label: &str, page: &mut Page) -> Option<Left> {
        self.end_lines(node, label, page);
        let mut strand = self.strands.remove(&node)?;
        if self.how == Output::Group {
            self.group(node, label, &mut strand, page);
        }
        strand.held.close();
        // A fold hides what is in it, so it has not been shown.
        let shown = strand.shown.filter(|_| !(self.github && self.how == Output::Group));
        Some(Left { held: strand.held, shown })
    }

    /// What a node printed long ago.
    pub(super) fn replay(&mut self, node: NodeIx, label: &str, log: &[u8], page: &mut Page) {
        self.begin(node, page);
        self.output(node, label, Stream::Stdout, log, page);
        self.end(node, label, page);
    }

    /// Every node that printed and is not over.
    pub(super) fn unfinished(&self) -> Vec<NodeIx> {
        let mut nodes: Vec<NodeIx> = self.strands.keys().copied().collect();
        nodes.sort_unstable();
        nodes
    }

    fn show(&mut self, node: NodeIx, strand: &mut Strand, lines: usize) {
        self.speak(Some(node));
        strand.shown.get_or_insert(self.stretch);
        let before = if strand.latest.0 == self.stretch { strand.latest.1 } else { 0 };
        strand.latest = (self.stretch, before + lines);
    }

    fn prefixed(
        &mut self,
        node: NodeIx,
        label: &str,
        channel: Channel,
        lines: &[u8],
        strand: &mut Strand,
        page: &mut Page,
    ) {
        if lines.is_empty() {
            return;
        }
        self.show(node, strand, lines.split_inclusive(|byte| *byte == b'\n').count());
        let style = page.style(channel);
        let pad = self.width.saturating_sub(label.width());
        let prefix = format!("{label}{:pad$} {}", "", style.bar());
        let prefix = style.paint(Ink::of(label), &prefix);
        let mut text = Vec::new();
        for line in lines.split_inclusive(|byte| *byte == b'\n').map(settle) {
            text.clear();
            text.extend_from_slice(prefix.as_bytes());
            if !line.is_empty() {
                text.push(b' ');
                text.extend_from_slice(line);
            }
            // A colour that a line leaves on would colour the next line's label.
            if line.contains(&0x1b) {
                text.extend_from_slice(b"\x1b[0m");
            }
            page.line(channel, &text);
        }
    }

    fn group(&mut self, node: NodeIx, label: &str, strand: &mut Strand, page: &mut Page) {
        if strand.held.bytes().is_empty() {
            return;
        }
        self.show(node, strand, 0);
        if self.github {
            page.line(Channel::Out, format!("::group::output of {label}").as_bytes());
        } else {
            let style = page.style(Channel::Out);
            let verb = style.paint(Ink::Begin, "    output");
            page.line(Channel::Out, format!("{verb} {}", style.paint(Ink::Strong, label)).as_bytes());
        }
        for line in lines(&strand.held, Channel::Out, page) {
            page.line(Channel::Out, &line);
        }
        if self.github {
            page.line(Channel::Out, b"::endgroup::");
        }
    }
}

/// What a node shows of its own progress: the last thing that it wrote over what it had written before on the same line.
pub(super) fn tail(bytes: &[u8]) -> Option<String> {
    /// Columns beyond which nobody reads.
    const MOST: usize = 200;
    let line = bytes.rsplit(|byte| *byte == b'\n').next()?;
    let (mut text, mut filter) = (Vec::new(), Filter::new(Keep::Text));
    filter.pass(line.contains(&b'\r').then_some(line)?, &mut text);
    let shown = String::from_utf8_lossy(settle(&text)).trim().chars().take(MOST).collect::<String>();
    (!shown.is_empty()).then_some(shown)
}

fn channel_of(stream: Stream) -> Channel {
    match stream {
        Stream::Stdout => Channel::Out,
        Stream::Stderr => Channel::Err,
    }
}

/// Held output, line by line, as it may be shown.
pub(super) fn lines(held: &Held, channel: Channel, page: &Page) -> Vec<Vec<u8>> {
    let mut passed = Vec::with_capacity(held.bytes().len());
    Filter::new(page.keep(channel)).pass(held.bytes(), &mut passed);
    let mut lines = Vec::new();
    if held.earlier() > 0 {
        let dots = page.style(channel).ellipsis();
        lines.push(format!("{dots} {} earlier lines are in the log", held.earlier()).into_bytes());
    }
    for line in passed.split_inclusive(|byte| *byte == b'\n') {
        let mut line = settle(line).to_vec();
        if line.contains(&0x1b) {
            line.extend_from_slice(b"\x1b[0m");
        }
        lines.push(line);
    }
    lines
}
