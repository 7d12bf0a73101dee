//! Nodes that run at given times.

use std::fmt;
use std::time::Duration;

use super::{NodeName, NodeRef};
use crate::diag::Span;

/// A node that runs at given times.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Schedule {
    /// What runs.
    pub node: NodeRef,
    /// The stage that stands before it and is not called like its environment: it runs in that.
    pub stage: Option<NodeName>,
    /// At which times.
    pub times: Times,
    /// Runs once when times were missed.
    pub catch_up: bool,
    /// Begins up to this much later.
    pub jitter: Option<Duration>,
    /// What happens while the last run goes on.
    pub overlap: Overlap,
    /// What runs when it failed.
    pub on_fail: Option<NodeRef>,
    /// Where it is declared.
    pub span: Span,
}

/// The times of a schedule.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Times {
    /// Those of a cron expression on the clocks of a zone.
    Cron {
        /// The expression, with one space between its fields.
        cron: String,
        /// The zone's IANA name.
        tz: String,
    },
    /// Again and again, counted from the beginning of 1970 (UTC).
    Every {
        /// How long from one to the next.
        every: Duration,
        /// The same, as written.
        text: String,
    },
}

/// What happens at a time of a schedule while an earlier run of its node goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Overlap {
    /// That time is left out.
    #[default]
    Skip,
    /// It runs once more when that one is over.
    Queue,
    /// It runs beside it.
    Allow,
}

impl Overlap {
    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Queue => "queue",
            Self::Allow => "allow",
        }
    }
}

impl Schedule {
    /// What runs, as a person would type it: `prod.api:deploy`.
    pub fn label(&self) -> String {
        match &self.stage {
            Some(stage) => format!("{stage}.{}", self.node.path),
            None => label(&self.node),
        }
    }

    /// What runs when it failed. Without an environment of its own it runs in that of the node.
    pub fn on_fail_label(&self) -> Option<String> {
        let on_fail = self.on_fail.as_ref()?;
        let env = on_fail.env.as_ref().or(self.node.env.as_ref());
        Some(label(&NodeRef { env: env.cloned(), ..on_fail.clone() }))
    }

    /// What tells it from every other schedule of a project: its node and its times.
    pub fn key(&self) -> String {
        format!("{} {}", self.label(), self.times)
    }
}

fn label(node: &NodeRef) -> String {
    match &node.env {
        Some(env) => format!("{env}.{}", node.path),
        None => node.path.to_string(),
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cron { cron, tz } => write!(f, "{cron} {tz}"),
            Self::Every { text, .. } => write!(f, "every {text}"),
        }
    }
}
