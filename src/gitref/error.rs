//! What can go wrong with a shared ref.

use std::time::Duration;

/// Why a shared ref could not be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RefError {
    /// There is no repository here.
    #[error("records are shared through git, and this is no git repository")]
    NoRepository,
    /// The repository does not know the remote.
    #[error(
        "records are shared through the git remote `{remote}`, and this repository has none of that name"
    )]
    NoRemote {
        /// Its name.
        remote: String,
    },
    /// The remote does not answer, or lets nobody in.
    #[error("the git remote `{remote}` cannot be reached: {reason}")]
    Unreachable {
        /// Its name.
        remote: String,
        /// What git said.
        reason: String,
    },
    /// The remote answers and does not take the record.
    #[error("the git remote `{remote}` does not take `{reference}`: {reason}")]
    Refused {
        /// Its name.
        remote: String,
        /// The ref.
        reference: String,
        /// What git said.
        reason: String,
    },
    /// Others wrote all the time.
    #[error(
        "`{reference}` of the git remote `{remote}` was written by others {tries} times while this was tried"
    )]
    Contended {
        /// Its name.
        remote: String,
        /// The ref.
        reference: String,
        /// How often it was tried.
        tries: u32,
    },
    /// `git` took too long.
    #[error("`git {command}` did not end within {} seconds", limit.as_secs())]
    Timeout {
        /// Its arguments.
        command: String,
        /// The limit.
        limit: Duration,
    },
    /// `git` could not be started, or failed where it should not.
    #[error("`git {command}` failed: {reason}")]
    Git {
        /// Its arguments.
        command: String,
        /// What it said.
        reason: String,
    },
}

impl RefError {
    /// What to do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoRepository => Some("run it inside a clone, or take `state git=…` out".into()),
            Self::NoRemote { remote } => {
                Some(format!("`git remote add {remote} URL`, or name another remote in `state git=\"…\"`"))
            }
            Self::Unreachable { remote, .. } => Some(format!("try `git ls-remote {remote}`")),
            Self::Refused { .. } => Some(
                "whoever runs envrun needs leave to push to `refs/envrun/*` (on GitHub: `permissions: contents: write`)"
                    .into(),
            ),
            Self::Contended { .. } => Some("run it again".into()),
            Self::Timeout { .. } | Self::Git { .. } => None,
        }
    }
}
