//! Listeners that find the words.
//!
//! A [`Reporter`] sees every event of a run in order, with the fold over them so far. [`Reporters`] is the funnel: it
//! stamps an event, folds it, hands it to the record and to every reporter, and retires a listener that fails.
//! [`open`] makes the one that fits: text for people ([`Output`] says how the nodes' own output is woven in, with the
//! live view on a terminal), or the wire format for machines.
//!
//! Invariant: reporters see events only. Times shown are the events' own, so replaying a record prints the same text.
//! Invariant: knows no terminal: streams, width and colour are handed in.

mod json;
mod reporters;
mod text;

use std::io::{self, Write};
use std::sync::Arc;

use crate::event::{RunState, Sequenced};

pub use reporters::Reporters;

/// Someone who listens to a run.
pub trait Reporter: Send {
    /// Takes one event; `state` has taken it in already. After an error it is not called again.
    fn on(&mut self, event: &Sequenced, state: &RunState) -> io::Result<()>;
}

/// How the output of nodes is shown (`-o`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Output {
    /// On a terminal with several tasks: prefix, under a live view. In CI: group. For a single task: stream.
    /// Otherwise: prefix.
    #[default]
    Auto,
    /// As it comes.
    Stream,
    /// Line by line, each behind its node's label.
    Prefix,
    /// In one piece when the node is over.
    Group,
    /// Only of nodes that failed.
    Errors,
    /// Nothing but failures.
    Quiet,
    /// No text: one JSON object per event on standard output.
    Json,
}

/// How text is dressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Style {
    /// Colours may be used, and those of the nodes' output are kept.
    pub colour: bool,
    /// Characters beyond ASCII may be used.
    pub unicode: bool,
}

/// Where one stream of text goes.
pub struct Sink {
    /// The stream itself.
    pub to: Box<dyn Write + Send>,
    /// It is a terminal.
    pub terminal: bool,
}

/// Width and height of the terminal, asked anew for each drawing because windows are resized.
pub type Size = Arc<dyn Fn() -> (u16, u16) + Send + Sync>;

/// Everything a reporter has to know of its surroundings.
pub struct Options {
    /// What `-o` said.
    pub output: Output,
    /// How text is dressed.
    pub style: Style,
    /// Nodes that are up to date are listed too (`-v`).
    pub verbose: bool,
    /// Nobody watches: in CI.
    pub ci: bool,
    /// In a GitHub workflow: groups fold, failures become annotations.
    pub github: bool,
    /// Standard output: what nodes print there, and JSON.
    pub out: Sink,
    /// Standard error: everything else.
    pub err: Sink,
    /// The terminal's size, where there is a terminal.
    pub size: Option<Size>,
}

/// The reporter that `options` ask for.
pub fn open(options: Options) -> Box<dyn Reporter> {
    match options.output {
        Output::Json => Box::new(json::Json::new(options.out.to)),
        _ => Box::new(text::Text::new(options)),
    }
}
