//! How a node ended.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Because, wire};
use crate::graph::NodeIx;
use crate::model::Gate;
use crate::service::Begun;
use crate::service::spec::Link;

/// How a node ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Outcome {
    /// Its outputs are in place and nothing it reads changed.
    UpToDate,
    /// Its outputs were put in place from the cache.
    Restored {
        /// Where from: `the local cache`, `an equal task in this run`.
        from: String,
        /// What it printed when it was executed.
        #[serde(with = "wire::bytes")]
        log: Vec<u8>,
    },
    /// Executed, and it succeeded.
    Succeeded {
        /// Its result was kept.
        stored: bool,
    },
    /// `done` was true: already there.
    AlreadyDone,
    /// A service has come as far as those who need it want it.
    Up {
        /// What was done for it.
        begun: Begun,
        /// How far it has come.
        gate: Gate,
        /// Where to find it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        urls: Vec<Link>,
    },
    /// A group whose needs are all over and good.
    Grouped,
    /// Not executed in a dry run; it would have been.
    WouldRun {
        /// Why.
        because: Because,
        /// Its commands, as a person would type them.
        commands: Vec<String>,
    },
    /// Executed, and it failed.
    Failed {
        /// How.
        failure: Failure,
        /// Where its whole output is, relative to the root.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        log: Option<String>,
        /// What to look at.
        #[serde(default, skip_serializing_if = "Option::is_none")]
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

/// An [`Outcome`] without its details: what is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each is the outcome of the same name")]
pub enum OutcomeKind {
    UpToDate,
    Restored,
    Succeeded,
    AlreadyDone,
    Up,
    AlreadyUp,
    Grouped,
    WouldRun,
    Failed,
    Skipped,
    Blocked,
    Cancelled,
}

impl OutcomeKind {
    /// How many kinds there are.
    pub(super) const COUNT: usize = Self::Cancelled as usize + 1;
}

impl Outcome {
    /// Without its details.
    pub fn kind(&self) -> OutcomeKind {
        match self {
            Self::UpToDate => OutcomeKind::UpToDate,
            Self::Restored { .. } => OutcomeKind::Restored,
            Self::Succeeded { .. } => OutcomeKind::Succeeded,
            Self::AlreadyDone => OutcomeKind::AlreadyDone,
            Self::Up { begun: Begun::Already, .. } => OutcomeKind::AlreadyUp,
            Self::Up { .. } => OutcomeKind::Up,
            Self::Grouped => OutcomeKind::Grouped,
            Self::WouldRun { .. } => OutcomeKind::WouldRun,
            Self::Failed { .. } => OutcomeKind::Failed,
            Self::Skipped { .. } => OutcomeKind::Skipped,
            Self::Blocked { .. } => OutcomeKind::Blocked,
            Self::Cancelled => OutcomeKind::Cancelled,
        }
    }
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
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
    },
    /// It took longer than its `timeout`.
    Timeout {
        /// The limit.
        #[serde(rename = "limit_ms", with = "wire::millis")]
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
    /// A service ended early, or was never ready.
    Service {
        /// In words.
        reason: String,
        /// The last lines of its output.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        lines: Vec<String>,
        /// The probes that did not pass, and what each was answered last: a line for each.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        probe: Option<String>,
    },
    /// A guard refused it (exit status 3).
    Refused {
        /// Every guard that failed, in words.
        reasons: Vec<String>,
    },
    /// A deploy failed, and what was live before is live again (exit status 5).
    WentBack {
        /// What failed, in words.
        reason: String,
        /// The revision that is live again; empty where data were put back.
        revision: String,
        /// The output of the deploy and that of going back, relative to the root.
        logs: Vec<String>,
    },
    /// A deploy failed and nothing was put back, or what was is not sound (exit status 6).
    Broken {
        /// What failed, in words.
        reason: String,
        /// Why it did not go back, and what is live now, in words.
        back: String,
        /// The output of the deploy and that of going back, relative to the root. For a rollback its own, and that of what
        /// it was to replace.
        logs: Vec<String>,
        /// How it becomes sound again.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        way_out: Option<String>,
    },
    /// A deploy was stopped half way: its journal is open, and says how far it is (exit status 7, or 130 if a person
    /// stopped it).
    Unfinished {
        /// The environment.
        env: String,
        /// The phase it is in.
        phase: String,
        /// Why it does not go on, in words.
        reason: String,
    },
    /// A deploy was stopped half way, because somebody else has it by now: what becomes of it is not for this run to say
    /// (exit status 7).
    Lost {
        /// The environment.
        env: String,
        /// The phase it was in here.
        phase: String,
        /// Who has it, in words.
        reason: String,
    },
}

impl Failure {
    /// The command that failed, if it was one.
    pub fn command(&self) -> Option<&str> {
        match self {
            Self::Exit { command, .. }
            | Self::Signal { command, .. }
            | Self::Start { command, .. }
            | Self::Timeout { command, .. } => Some(command),
            Self::Outputs { .. }
            | Self::Io { .. }
            | Self::Service { .. }
            | Self::Refused { .. }
            | Self::WentBack { .. }
            | Self::Broken { .. }
            | Self::Unfinished { .. }
            | Self::Lost { .. } => None,
        }
    }

    /// What to do, where the failure itself knows it.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Start { hint, .. } => hint.as_deref(),
            Self::Broken { way_out, .. } => way_out.as_deref(),
            _ => None,
        }
    }
}
