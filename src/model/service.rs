//! Services: what stays up.

use std::sync::Arc;
use std::time::Duration;

use crate::diag::{Span, Spanned};

use super::{Command, Task, Word};

/// Something that stays up.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Service {
    /// What every node has. Its one `run` action, if it has one, is the child that stays up.
    pub task: Arc<Task>,
    /// Starts somebody else's daemon.
    pub start: Option<Spanned<Command>>,
    /// Stops that daemon.
    pub stop: Option<Spanned<Command>>,
    /// Follows that daemon's log.
    pub log: Option<Spanned<Command>>,
    /// When it can be used; `None` without the word.
    pub ready: Option<Ready>,
    /// Globs of files whose change restarts it, relative to its folder.
    pub watch: Vec<Spanned<String>>,
    /// When it is started again by itself.
    pub restart: Option<Restart>,
    /// Where to find it.
    pub urls: Vec<Url>,
}

/// Says when a service can be used.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Ready {
    /// All of them must pass.
    pub probes: Vec<Probe>,
    /// The pause between two tries.
    pub every: Option<Duration>,
    /// How long it may take.
    pub timeout: Option<Duration>,
    /// Where it is written.
    pub span: Span,
}

/// One question to a service.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Probe {
    /// What is asked.
    pub kind: ProbeKind,
    /// What to call it in messages.
    pub name: Option<String>,
    /// Where it is written.
    pub span: Span,
}

/// What is asked of a service. Texts may hold `${NAME}`.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub enum ProbeKind {
    /// This address answers with a good status.
    Http {
        /// The address.
        url: String,
        /// The status wanted; any below 400 without it.
        status: Option<u16>,
    },
    /// This address, `host:port`, accepts a connection.
    Tcp(String),
    /// This command succeeds.
    Exec(Command),
    /// A line of its output matches this expression.
    Log(String),
    /// It says so itself, as `sd_notify` has it.
    Notify,
}

/// When a service is started again by itself.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Restart {
    /// `never`, `on-failure` or `always`.
    #[serde(deserialize_with = "super::word::deserialize")]
    pub when: Word,
    /// How often at the most.
    pub max: Option<u32>,
    /// Where it is written.
    pub span: Span,
}

/// Where to find a service.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Url {
    /// The address; may hold `${NAME}`.
    pub url: Spanned<String>,
    /// What to call it.
    pub name: Option<String>,
}
