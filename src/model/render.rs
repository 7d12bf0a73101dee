//! Files that other programs read, written whole from the values of an environment.

use crate::diag::Spanned;

/// `render "path" format="dotenv"`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Render {
    /// Where it is written, relative to the task's folder. May hold `${NAME}`.
    pub path: Spanned<String>,
    /// What is written.
    pub content: Content,
    /// Which of the variables; all without the word. A template may mention any.
    pub only: Option<Only>,
}

/// What a rendered file holds.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Content {
    /// `NAME=value` lines, read alike by `sh`, docker compose and dotenv libraries.
    Dotenv,
    /// One JSON object; numbers and `true` are themselves.
    Json,
    /// `export NAME='value'` lines for a POSIX shell.
    Shell,
    /// A Kubernetes `Secret`.
    KubernetesSecret {
        /// Its name; may hold `${NAME}`.
        name: Spanned<String>,
        /// Its namespace; may hold `${NAME}`.
        namespace: Option<Spanned<String>>,
    },
    /// A template to fill in: its path, relative to the task's folder. May hold `${NAME}`.
    Template(Spanned<String>),
}

/// Which variables are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Only {
    /// Those that are neither secrets nor made from one.
    Vars,
    /// Secrets, and what is made from one.
    Secrets,
}

impl Content {
    /// How it is called where it is written: `dotenv`, `template`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Dotenv => "dotenv",
            Self::Json => "json",
            Self::Shell => "shell",
            Self::KubernetesSecret { .. } => "k8s-secret",
            Self::Template(_) => "template",
        }
    }
}
