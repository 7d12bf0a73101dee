//! Deploys and snapshots: what changes a live environment, and what is saved of its data.

use std::sync::Arc;
use std::time::Duration;

use crate::diag::{Span, Spanned};

use super::{Command, EnvName, NodeRef, Task};

/// Something that changes a live environment, and can go back when its proof fails.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Deploy {
    /// What every node has; its actions are what makes a revision live.
    pub task: Arc<Task>,
    /// The revision that goes live; HEAD without it. May hold `${NAME}`.
    pub revision: Option<Spanned<String>>,
    /// The environment whose last good revision and bytes go live.
    pub from: Option<Spanned<EnvName>>,
    /// Data that is saved first.
    pub snapshots: Vec<NodeRef>,
    /// What must succeed before it counts as live, in order.
    pub verify: Vec<Verify>,
    /// The git tag that marks the revision it replaces; may hold `${NAME}`.
    pub tag: Option<Spanned<String>>,
    /// How many revisions stay ready to go back to.
    pub keep: Option<u32>,
}

/// One `verify` line.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Verify {
    /// The tasks that must succeed.
    pub tasks: Vec<NodeRef>,
    /// How long they must go on succeeding.
    pub hold: Option<Duration>,
    /// Where it is written.
    pub span: Span,
}

/// Data that is saved, and can be put back.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Snapshot {
    /// What every node has.
    pub task: Arc<Task>,
    /// Writes the data into `$SNAPSHOT`.
    pub save: Option<Spanned<Command>>,
    /// Puts the data of `$SNAPSHOT` back.
    pub restore: Option<Spanned<Command>>,
    /// Proves a stored copy.
    pub verify: Option<Spanned<Command>>,
    /// How many are kept; all of them without the word.
    pub keep: Option<Keep>,
}

/// How many snapshots are kept: one that any of the counts keeps is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Keep {
    /// The newest ones.
    pub last: u32,
    /// One for each of so many days.
    pub daily: u32,
    /// One for each of so many weeks.
    pub weekly: u32,
    /// One for each of so many months.
    pub monthly: u32,
}
