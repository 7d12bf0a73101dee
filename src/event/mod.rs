//! What can happen in a run: the closed list of events, and the fold over them that every reporter shares.
//!
//! Events belong to neither speaker nor listener: the engine tells them in one gapless sequence, reporters find the
//! words, `record` writes them down, and a recorded run replays to the same text. [`RunState`] is the fold: what a
//! listener may want to know of everything told so far. [`Sequencer`] numbers and dates.
//!
//! What nothing more is to be said of is told in bulk: 10,000 tasks that are up to date are one
//! [`Event::NodesFinished`] with one range in it, so that a run that does nothing costs nothing to tell.
//!
//! The wire format is JSON, one object per line, described in `docs/events.md` (a test holds that page to these
//! types); `format` in [`RunStarted`] is its version.
//!
//! Invariant: plain data; everything a reporter may want to say is in an event.
//! Invariant: a fold over any sequence, even a damaged one, does not fail.

mod nodes;
mod outcome;
mod redact;
mod state;
#[cfg(test)]
pub(crate) mod tests;
mod wire;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::{Clock, Timestamp};
pub use crate::exec::Stream;
use crate::graph::NodeIx;

pub use nodes::NodeSet;
pub use outcome::{Failure, Outcome, OutcomeKind};
pub use state::{Counts, Executed, Failed, InPhase, NodeState, RunState, Running, Served};

/// The version of the wire format.
pub const FORMAT: u32 = 1;

/// One event with its place in the sequence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sequenced {
    /// From 0, without a gap.
    pub seq: u64,
    /// When it was told.
    pub time: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// What can happen in a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The first event.
    RunStarted(RunStarted),
    /// How long nodes took last time. Told at most once, before anything is executed, by a run that had a reason to
    /// look it up.
    Expected {
        /// Pairs of a node and milliseconds; only those that are known.
        took_ms: Vec<(NodeIx, u64)>,
    },
    /// A node is executed (not told for one that is up to date, restored or skipped).
    NodeStarted {
        /// Which.
        node: NodeIx,
        /// Why it is not enough to do nothing.
        because: Because,
        /// Its commands, as a person would type them.
        commands: Vec<String>,
        /// Where it runs, relative to the root; `.` for the root.
        dir: String,
        /// It has the terminal to itself: what it prints is not told, and nothing else is shown meanwhile.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        interactive: bool,
    },
    /// A node's process printed something. Not told for a restored node: its log is in `NodeFinished`.
    Output {
        /// Which.
        node: NodeIx,
        /// On which stream.
        stream: Stream,
        /// What, as it came: not cut into lines, not necessarily UTF-8.
        #[serde(with = "wire::bytes")]
        bytes: Vec<u8>,
    },
    /// A try failed and another one follows.
    NodeRetrying {
        /// Which.
        node: NodeIx,
        /// The try that failed, from 1.
        attempt: u32,
        /// How many tries there are.
        of: u32,
        /// How it failed.
        failure: Failure,
        /// The pause before the next try.
        #[serde(rename = "pause_ms", with = "wire::millis")]
        pause: Duration,
    },
    /// A deploy came into its next phase.
    NodePhase {
        /// Which.
        node: NodeIx,
        /// `applying`, `verifying`, `going-back`, …: the phases of a deploy's journal.
        phase: String,
        /// What that is about, in words that stand behind the node: `revision 3f2a1b`, `for 1m`.
        about: String,
    },
    /// A node is over.
    NodeFinished {
        /// Which.
        node: NodeIx,
        /// How.
        outcome: Outcome,
        /// How long it took, hashing and storing included.
        #[serde(rename = "took_ms", with = "wire::millis")]
        took: Duration,
    },
    /// Many nodes are over in the same way, and there is nothing more to say of each: the ones that are up to date, or
    /// that a stop left undone.
    NodesFinished {
        /// Which.
        nodes: NodeSet,
        /// How, each of them.
        outcome: Outcome,
    },
    /// In a session that watches: files changed. Told when something is going to be done about it, before that.
    Changed {
        /// Which, relative to the root; of many only the first.
        files: Vec<String>,
        /// How many others.
        #[serde(default)]
        more: usize,
        /// How many tasks read them, or need one that does.
        tasks: usize,
        /// How many services watch them, or need one of these tasks.
        #[serde(default)]
        services: usize,
    },
    /// Files changed while the run went on: what was told of these nodes does not hold any more, and they wait again. A
    /// node that was being executed is told to be over before.
    NodesReopened {
        /// Which.
        nodes: NodeSet,
    },
    /// The run is over, and the session waits for changes. It stands behind `run-finished`.
    Watching {
        /// How many files it waits for.
        files: usize,
        /// How many folders they lie in.
        folders: usize,
        /// It looks again and again, because the system does not tell: why that is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        polling: Option<String>,
    },
    /// In a session: texts that the graph was made of changed, and were read again.
    Reread {
        /// Which, relative to the root; of many only the first.
        files: Vec<String>,
        /// How many others.
        #[serde(default)]
        more: usize,
        /// The variables that have other values now, by name.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        values: Vec<String>,
        /// How they can be used.
        state: Texts,
    },
    /// A session is being left: what it has up, and nobody else needs, is stopped.
    SessionEnding,
    /// A session is over: the last event of all.
    SessionEnded {
        /// The exit status of the program: 0, 130, or what the run came to that could not begin.
        exit: u8,
        /// How long it took to let everything go.
        #[serde(rename = "took_ms", with = "wire::millis")]
        took: Duration,
    },
    /// A service changed by itself, or was changed: it ended and is started again, is ready again, failed, is being
    /// stopped, was stopped. Not told of what its own node tells: that it begins, and is ready for the first time.
    ServiceChanged {
        /// Which.
        node: NodeIx,
        /// Where it stands now.
        #[serde(flatten)]
        state: crate::service::State,
        /// Of one that failed: what is known of that.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failure: Option<Failure>,
        /// Of one that failed: where its whole output is, relative to the root.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        log: Option<String>,
        /// Of one that failed: what to look at.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
    },
    /// Something worth saying that ends nothing: a cache entry that could not be read, a glob that matches nothing.
    Notice(Notice),
    /// Somebody passes guards by hand. Told behind the first event.
    GlassBroken(GlassBroken),
    /// The user or the system asked to stop.
    Interrupted {
        /// `SIGINT`, `SIGTERM`, `SIGHUP`.
        signal: String,
        /// 1: no new work, children are told; 2: SIGTERM to all; 3: SIGKILL to all.
        level: u32,
    },
    /// The last event of a run; a session that watches tells more.
    RunFinished(RunFinished),
}

/// So many files are told by name.
const NAMED: usize = 2;

/// The first of some files, each once, and how many others there are.
pub fn first_of(files: impl IntoIterator<Item = String>) -> (Vec<String>, usize) {
    let mut seen = HashSet::new();
    let mut named = Vec::new();
    for file in files {
        if seen.insert(file.clone()) && named.len() < NAMED {
            named.push(file);
        }
    }
    let more = seen.len() - named.len();
    (named, more)
}

/// How the texts that the graph is made of can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Texts {
    /// They are used from now on.
    Used,
    /// They are used from now on, and could not be before.
    Repaired,
    /// There are mistakes in them: what they were before is used on.
    Broken,
}

/// What is known when a run begins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunStarted {
    /// The version of this format: [`FORMAT`].
    pub format: u32,
    /// The run's id, unique in the project and sorted by time.
    pub run: String,
    /// envrun's version.
    pub envrun: String,
    /// The project's root.
    pub root: String,
    /// What was asked for, as on the command line.
    pub targets: Vec<String>,
    /// How many commands may run at once.
    pub jobs: usize,
    /// Nothing is executed; reasons are told.
    pub dry_run: bool,
    /// The environment of targets that name none, where its `match` chose it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chosen: Option<Chosen>,
    /// Every node of the graph; `NodeIx` is the place in this list. Shared, because every listener keeps it.
    pub nodes: Arc<[NodeInfo]>,
}

/// An environment that nobody named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chosen {
    /// Which.
    pub env: String,
    /// Why, in words that stand after "because".
    pub because: String,
}

/// A node as reporters know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeInfo {
    /// `prod.api:deploy`, as addressed; without the environment for a node that all share.
    pub label: Arc<str>,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desc: Option<Arc<str>>,
    /// It has no actions: it only stands for its needs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub group: bool,
    /// It was named on the command line.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub target: bool,
    /// It stays up.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub service: bool,
}

/// Why a node is executed. The first reason is the one to say; `more` counts the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Because {
    /// The first difference, as the words after "because": `src/api.rs changed`, `it never ran here`.
    pub reason: String,
    /// How many other differences there are.
    #[serde(default)]
    pub more: usize,
}

/// Something worth saying.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// The node it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeIx>,
    /// One line.
    pub message: String,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// Guards that somebody passed by hand: `--break-glass "reason"`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GlassBroken {
    /// Why, in that person's words.
    pub reason: String,
    /// Who: user and host.
    pub who: String,
    /// Every guard that would have refused, in words; none if all of them held.
    pub passed: Vec<String>,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunFinished {
    /// The exit status of the program: 0, 1, 3, 4, 5, 6 or 130.
    pub exit: u8,
    /// How long it took.
    #[serde(rename = "took_ms", with = "wire::millis")]
    pub took: Duration,
}

/// Numbers events without a gap and dates them, never earlier than the one before, even if the clock goes back.
#[derive(Debug, Default)]
pub struct Sequencer {
    clock: Clock,
    next: u64,
    last: Timestamp,
}

impl Sequencer {
    /// Begins at 0.
    pub fn new(clock: Clock) -> Self {
        Self { clock, next: 0, last: Timestamp(0) }
    }

    /// Gives an event its place.
    pub fn stamp(&mut self, event: Event) -> Sequenced {
        let seq = self.next;
        self.next += 1;
        self.last = self.last.max(self.clock.now());
        Sequenced { seq, time: self.last, event }
    }
}
