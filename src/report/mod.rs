//! Listeners that find the words.
//!
//! A [`Reporter`] sees every event of a run in order, with the fold over them so far. [`Reporters`] is the funnel: it
//! stamps an event, folds it, hands it to the record and to every reporter, and retires a listener that fails.
//! [`open`] makes the one that fits: text for people, or the wire format for machines.
//!
//! Text has three layers: `words` says things, `text` decides which of them to say and how the nodes' own output is
//! woven in ([`Output`]), `page` puts it where it belongs: on two streams, or above the `live` view, which is the only
//! thing that ever moves a cursor. What nodes print passes `ansi` first.
//!
//! Invariant: reporters see events only. Times in text are the events' own, so replaying a record prints the same text.
//! Invariant: knows no terminal: streams, size and colour are handed in.

mod ansi;
mod json;
mod live;
mod page;
mod reporters;
#[cfg(test)]
mod script;
mod style;
#[cfg(test)]
mod tests;
mod text;
mod tui;
mod words;

use std::io::{self, Write};
use std::sync::Arc;

use crate::event::{RunState, Sequenced};

pub use live::{ABANDONED, Foreground, Meter, Screen};
pub use reporters::{Reporters, replay};
pub use style::Style;
pub use tui::{EMERGENCY, Panes, Wish};

/// What a node printed, as it may be shown between other text: without what moves a cursor, and what a carriage return went
/// back over is gone.
pub fn shown(bytes: &[u8], colour: bool) -> String {
    let mut passed = Vec::with_capacity(bytes.len());
    let keep = if colour { ansi::Keep::Colours } else { ansi::Keep::Text };
    ansi::Filter::new(keep).pass(bytes, &mut passed);
    let lines = passed.split_inclusive(|byte| *byte == b'\n').map(ansi::settle);
    let mut text = String::new();
    for line in lines {
        text.push_str(&String::from_utf8_lossy(line));
        text.push_str(if line.contains(&0x1b) { "\x1b[0m\n" } else { "\n" });
    }
    text
}

/// How something failed, as the words after the colon in `test failed:`.
pub fn failure_words(failure: &crate::event::Failure) -> String {
    words::failure(failure)
}

/// Someone who listens to a run.
pub trait Reporter: Send {
    /// Takes one event; `state` has taken it in already. After an error it is not called again.
    fn on(&mut self, event: &Sequenced, state: &RunState) -> io::Result<()>;
}

/// How the output of nodes is shown (`-o`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Output {
    /// A single task: stream. In CI: group. Otherwise: prefix.
    #[default]
    Auto,
    /// As it comes, each stream on its own.
    Stream,
    /// Line by line, each behind its node's label.
    Prefix,
    /// In one piece when the node is over.
    Group,
    /// Only of nodes that failed, at the end.
    Errors,
    /// Nothing is said but failures.
    Quiet,
    /// No text: one JSON object per event on standard output.
    Json,
}

/// Where one stream of text goes.
pub struct Sink {
    /// The stream itself.
    pub to: Box<dyn Write + Send>,
    /// It is a terminal.
    pub terminal: bool,
    /// How text on it is dressed.
    pub style: Style,
}

/// Width and height of the terminal, asked anew for each drawing because windows are resized.
pub type Size = Arc<dyn Fn() -> (u16, u16) + Send + Sync>;

/// Everything a reporter has to know of its surroundings.
pub struct Options {
    /// What `-o` said.
    pub output: Output,
    /// Nodes that are up to date are listed too, and commands are shown (`-v`).
    pub verbose: bool,
    /// Nobody watches: in CI.
    pub ci: bool,
    /// In a GitHub workflow: groups fold, failures become annotations.
    pub github: bool,
    /// Standard output: what nodes print there, and JSON.
    pub out: Sink,
    /// Standard error: everything else.
    pub err: Sink,
    /// Both go to the same place, so that a line begun on one is in the way of the other.
    pub joined: bool,
    /// The terminal, if standard error is one and goes there: a live view is shown where it helps.
    pub screen: Option<Screen>,
    /// It goes on when a run is over: a session that watches, or services that one is attached to.
    pub stays: bool,
}

/// The reporter that `options` ask for.
pub fn open(options: Options) -> Box<dyn Reporter> {
    match options.output {
        Output::Json => Box::new(json::Json::new(options.out.to)),
        _ => Box::new(text::Text::new(options)),
    }
}
