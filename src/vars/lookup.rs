//! What a name stands for, and who says so.

use std::fmt;
use std::sync::Arc;

use crate::diag::{Diagnostic, Span};
use crate::model::EnvName;

/// Who gave a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layer {
    /// What stands at the root of an Envfile.
    Root,
    /// A dotenv file.
    Dotenv(String),
    /// An environment: the one asked for, or one that it extends.
    Env(EnvName),
    /// The task's own `vars`.
    Task,
    /// `--set`.
    Set,
    /// An argument of the task, or something that envrun gives to it.
    Given,
    /// A store of secrets.
    Store(String),
    /// The caller's shell.
    Caller,
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("every environment"),
            Self::Dotenv(path) => f.write_str(path),
            Self::Env(env) => write!(f, "environment {env}"),
            Self::Task => f.write_str("the task"),
            Self::Set => f.write_str("--set"),
            Self::Given => f.write_str("envrun"),
            Self::Store(store) => write!(f, "the store `{store}`"),
            Self::Caller => f.write_str("the caller's shell"),
        }
    }
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Who gave it.
    pub layer: Layer,
    /// Where it is written, if it is written in a text that was read.
    pub span: Option<Span>,
}

/// What a name stands for.
#[derive(Debug, Clone, PartialEq)]
pub enum Lookup {
    /// A value.
    Value {
        /// The text that a command sees.
        text: Arc<str>,
        /// Where it comes from.
        origin: Origin,
        /// It is a secret, or mentions one.
        secret: bool,
    },
    /// It is declared, and has no value: why, ready to be shown.
    Missing(Arc<Diagnostic>),
    /// Nobody declares it, and the caller does not have it.
    Undeclared,
}

impl Lookup {
    /// The text, if there is one.
    pub fn text(&self) -> Option<&Arc<str>> {
        if let Self::Value { text, .. } = self { Some(text) } else { None }
    }
}
