//! Where text goes: standard output and standard error, one of them perhaps above a live view.

use std::io::{self, Write};

use super::ansi::Keep;
use super::style::Ink;
use super::{Sink, Style};

/// One of the two streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Channel {
    Out,
    Err,
}

/// Both streams. What one event puts on them is gathered and written in one piece.
pub(super) struct Page {
    out: Sink,
    err: Sink,
    /// Both go to the same place.
    joined: bool,
    gathered: [Vec<u8>; 2],
    /// The last thing put there did not end its line.
    open: [bool; 2],
    /// Writing to standard output failed; standard error goes on.
    out_lost: bool,
}

impl Page {
    pub(super) fn new(out: Sink, err: Sink, joined: bool) -> Self {
        let joined = joined || (out.terminal && err.terminal);
        Self { out, err, joined, gathered: Default::default(), open: [false; 2], out_lost: false }
    }

    /// How text on a stream is dressed.
    pub(super) fn style(&self, channel: Channel) -> Style {
        self.sink(channel).style
    }

    /// What of a node's control sequences may pass when its output is shown line by line.
    pub(super) fn keep(&self, channel: Channel) -> Keep {
        if self.style(channel).colour { Keep::Colours } else { Keep::Text }
    }

    /// The same for output that is shown as it comes: what is no terminal gets it untouched, for it may be data.
    pub(super) fn keep_as_it_comes(&self, channel: Channel) -> Keep {
        let sink = self.sink(channel);
        if sink.style.colour || !sink.terminal { Keep::All } else { Keep::Text }
    }

    fn sink(&self, channel: Channel) -> &Sink {
        if self.place(channel) == Channel::Out as usize { &self.out } else { &self.err }
    }

    /// Bytes as they are; they may leave a line open.
    pub(super) fn put(&mut self, channel: Channel, bytes: &[u8]) {
        let at = self.place(channel);
        self.gathered[at].extend_from_slice(bytes);
        if let Some(last) = bytes.last() {
            self.open[at] = *last != b'\n';
        }
    }

    /// A whole line, on a line of its own.
    pub(super) fn line(&mut self, channel: Channel, text: &[u8]) {
        let at = self.place(channel);
        if std::mem::take(&mut self.open[at]) {
            self.gathered[at].push(b'\n');
        }
        self.gathered[at].extend_from_slice(text);
        self.gathered[at].push(b'\n');
    }

    fn place(&self, channel: Channel) -> usize {
        if self.joined { Channel::Err as usize } else { channel as usize }
    }

    /// Writes what was gathered.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        let [mut out, mut err] = std::mem::take(&mut self.gathered);
        if !self.out_lost
            && !out.is_empty()
            && let Err(error) = self.out.to.write_all(&out).and_then(|()| self.out.to.flush())
        {
            // `envrun build | head`: the run and its other stream go on.
            self.out_lost = true;
            let warning = self.err.style.paint(Ink::Warn, "warning:");
            err.extend_from_slice(
                format!("{warning} cannot write to standard output any more: {error}\n").as_bytes(),
            );
        }
        if !err.is_empty() {
            self.err.to.write_all(&err).and_then(|()| self.err.to.flush())?;
        }
        out.clear();
        err.clear();
        self.gathered = [out, err];
        Ok(())
    }
}
