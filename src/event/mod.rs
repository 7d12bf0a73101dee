//! What can happen in a run: the closed list of events, and the fold over them that every reporter shares.
//!
//! Events belong to neither speaker nor listener: the engine tells them in one gapless sequence, reporters find the
//! words, `record` writes them down, and a recorded run replays to the same text.
//!
//! Invariant: plain data; everything a reporter may want to say is in an event.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::Timestamp;
pub use crate::exec::Stream;
use crate::graph::NodeIx;

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
    /// A node is executed (not told for one that is up to date, restored or skipped).
    NodeStarted {
        /// Which.
        node: NodeIx,
        /// Why it is not enough to do nothing.
        because: Because,
        /// Its commands, as a person would type them.
        commands: Vec<String>,
        /// Where it runs, relative to the root.
        dir: String,
    },
    /// A node's process printed something. Not told for a restored node: its log is in `NodeFinished`.
    Output {
        /// Which.
        node: NodeIx,
        /// On which stream.
        stream: Stream,
        /// What, as it came: not cut into lines, not necessarily UTF-8.
        #[serde(with = "crate::event::bytes")]
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
        #[serde(with = "crate::event::millis")]
        pause: Duration,
    },
    /// A node is over.
    NodeFinished {
        /// Which.
        node: NodeIx,
        /// How.
        outcome: Outcome,
        /// How long it took, hashing and storing included.
        #[serde(with = "crate::event::millis")]
        took: Duration,
    },
    /// Something worth saying that ends nothing: a cache entry that could not be read, a glob that matches nothing.
    Notice(Notice),
    /// The user or the system asked to stop.
    Interrupted {
        /// `SIGINT`, `SIGTERM`, `SIGHUP`.
        signal: String,
        /// 1: no new work, children are told; 2: SIGTERM to all; 3: SIGKILL to all.
        level: u32,
    },
    /// The last event.
    RunFinished(RunFinished),
}

/// What is known when a run begins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunStarted {
    /// The version of this format: 1.
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
    /// Every node of the graph; `NodeIx` is the place in this list.
    pub nodes: Vec<NodeInfo>,
}

/// A node as reporters know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeInfo {
    /// `prod.api:deploy`, as addressed; without the environment for a node that all share.
    pub label: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desc: Option<String>,
    /// It has no actions: it only stands for its needs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub group: bool,
    /// It was named on the command line.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub target: bool,
    /// How long it took last time, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_ms: Option<u64>,
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

/// How a node ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// Its outputs are in place and nothing it reads changed.
    UpToDate,
    /// Its outputs were put in place from the cache.
    Restored {
        /// Where from: `the local cache`, `an equal task in this run`.
        from: String,
        /// What it printed when it was executed.
        #[serde(with = "crate::event::bytes")]
        log: Vec<u8>,
    },
    /// Executed, and it succeeded.
    Succeeded {
        /// Its result was kept.
        stored: bool,
    },
    /// `done` was true: already there.
    AlreadyDone,
    /// A group whose needs are all over and good.
    Grouped,
    /// Not executed in a dry run; it would have been.
    WouldRun,
    /// Executed, and it failed.
    Failed {
        /// How.
        failure: Failure,
        /// Where its whole output is, relative to the root.
        log: Option<String>,
        /// What to look at.
        hint: Option<String>,
    },
    /// Not executed: a `when` did not hold, or a need was skipped.
    Skipped {
        /// In words: `branch is feature/x, not main`, `` `verify` was skipped ``.
        reason: String,
    },
    /// Not executed because a need failed.
    Blocked {
        /// The node that failed.
        by: NodeIx,
    },
    /// Not executed, or ended before its time, because the run was stopped.
    Cancelled,
}

/// How a node that was executed failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Failure {
    /// A command ended with a status other than 0.
    Exit {
        /// The status.
        status: i32,
        /// The command, as a person would type it.
        command: String,
    },
    /// A command was ended by a signal.
    Signal {
        /// Its number.
        signal: i32,
        /// The command.
        command: String,
    },
    /// A command could not be started.
    Start {
        /// The command.
        command: String,
        /// Why, with the PATH looked in.
        reason: String,
        /// What to do.
        hint: Option<String>,
    },
    /// It took longer than its `timeout`.
    Timeout {
        /// The limit.
        #[serde(with = "crate::event::millis")]
        limit: Duration,
        /// The command that was running.
        command: String,
    },
    /// A declared output is not there, or may not be there.
    Outputs {
        /// In words.
        reason: String,
    },
    /// A file could not be read or written.
    Io {
        /// In words: the path and the operation.
        reason: String,
    },
    /// A guard refused it (exit status 3).
    Refused {
        /// Every guard that failed, in words.
        reasons: Vec<String>,
    },
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

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunFinished {
    /// The exit status of the program: 0, 1, 3, 4 or 130.
    pub exit: u8,
    /// How long it took.
    #[serde(with = "crate::event::millis")]
    pub took: Duration,
}

/// Durations as whole milliseconds.
pub(crate) mod millis {
    use super::Duration;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_millis)
    }
}

/// Bytes as text where they are UTF-8, and as `{"hex": "…"}` where they are not.
pub(crate) mod bytes {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Text<'a> {
        Utf8(std::borrow::Cow<'a, str>),
        Hex { hex: String },
    }

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Text::Utf8(text.into()),
            Err(_) => Text::Hex { hex: bytes.iter().map(|byte| format!("{byte:02x}")).collect() },
        }
        .serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        match Text::deserialize(from)? {
            Text::Utf8(text) => Ok(text.into_owned().into_bytes()),
            Text::Hex { hex } => (0..hex.len() / 2)
                .map(|at| hex.get(at * 2..at * 2 + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok()))
                .collect::<Option<Vec<u8>>>()
                .ok_or_else(|| serde::de::Error::custom("not hexadecimal")),
        }
    }
}
