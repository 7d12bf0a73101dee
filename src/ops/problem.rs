//! What keeps an operation from being done, ready to be shown, and the exit status it comes to.

use std::fmt;
use std::path::PathBuf;

use crate::base::fs::FsError;
use crate::diag::{Diagnostic, Severity, SourceMap};
use crate::exec::StartError;
use crate::ledger::{LedgerError, Release};
use crate::load::LoadError;
use crate::record::{RecordError, StageBookError};
use crate::service::{Failure, SessionError};
use crate::snapshot::SnapshotError;

/// Why an operation was not done.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// No Envfile here or above.
    #[error("there is no `Envfile.kdl` in {} or in a folder above it", dir.display())]
    NoEnvfile {
        /// Where the search began.
        dir: PathBuf,
    },
    /// Texts, or the request and the texts, do not fit together.
    #[error("the Envfile has errors")]
    Diagnostics {
        /// What is wrong.
        diagnostics: Vec<Diagnostic>,
        /// Where to find it.
        sources: Box<SourceMap>,
    },
    /// The request itself cannot be understood.
    #[error("{message}")]
    Usage {
        /// What is wrong.
        message: String,
        /// What to do.
        hint: Option<String>,
    },
    /// A target that is no node, and is not like one.
    #[error("there is no node `{text}`")]
    NoNode {
        /// As it was given.
        text: String,
    },
    /// Guards refuse. All of them are named.
    #[error("{}", refusals(.0))]
    Refused(Vec<Refusal>),
    /// What a frozen plan rests on is not as it was.
    #[error("{}", not_as_planned(plan, moved))]
    Moved {
        /// The plan, as a person calls it.
        plan: String,
        /// Everything that moved, in words.
        moved: Vec<String>,
    },
    /// The Envfile cannot be read.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A file cannot be read or written.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// A record cannot be read or written.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The ledger of an environment cannot be used, or somebody else changes the environment.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A copy of a snapshot cannot be used.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// A deploy or rollback of the environment was cut short.
    #[error("{}", unfinished(env, release))]
    Unfinished {
        /// The environment.
        env: String,
        /// What was cut short.
        release: Box<Release>,
        /// It was begun in another checkout, whose last lines may not have come here.
        is_elsewhere: bool,
    },
    /// A service is not up.
    #[error("{}", not_up(label, failure))]
    Service {
        /// Which.
        label: String,
        /// Why.
        failure: Box<Failure>,
    },
    /// What keeps the services cannot be spoken to.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// A command cannot be started.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Records of stages cannot be read.
    #[error(transparent)]
    Stages(#[from] StageBookError),
    /// A stage is over, and its record cannot be shared.
    #[error("stage `{stage}` is {outcome}, but that could not be shared: {source}")]
    Unshared {
        /// The stage.
        stage: String,
        /// What came of it.
        outcome: &'static str,
        /// Why it could not be shared.
        source: StageBookError,
    },
    /// Somebody else is at it.
    #[error("{message}")]
    Busy {
        /// Who is at what.
        message: String,
        /// What to do.
        hint: String,
    },
    /// Somebody asked to stop before anything began.
    #[error("interrupted before anything was changed")]
    Interrupted,
    /// A store of secrets cannot be used as it is.
    #[error(transparent)]
    Store(super::secret::Refused),
    /// The system refuses something a run cannot be without.
    #[error("cannot {doing}: {source}")]
    System {
        /// What was tried.
        doing: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
}

/// A guard that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The node it guards, or several, as they stand between backticks: `` a` and `b ``.
    pub label: String,
    /// Why it refuses.
    pub reason: String,
    /// `file:line` of the guard.
    pub place: String,
    /// What would satisfy it.
    pub hint: Option<String>,
}

/// What was cut short, by whom, when and in which phase.
fn unfinished(env: &str, release: &Release) -> String {
    let (began, what) = (&release.began, super::deploy::words::title(release));
    let (user, host) = (&began.who.user, &began.who.host);
    format!(
        "{what} in `{env}` was cut short while {}: begun by {user}@{host} at {}",
        release.phase.word(),
        super::deploy::words::moment(release.at)
    )
}

/// Everything that is not as it was when a plan was made.
fn not_as_planned(plan: &str, moved: &[String]) -> String {
    let mut lines = vec![format!("{plan} does not hold any more; nothing was done")];
    lines.extend(moved.iter().map(|moved| format!("  {moved}")));
    lines.join("\n")
}

/// What went wrong with a service: the reason first, then everything there is to know.
fn not_up(label: &str, failure: &Failure) -> String {
    let mut lines = vec![format!("`{label}`: {}", failure.reason)];
    let probes = failure.probe.iter().flat_map(|probes| probes.lines());
    lines.extend(probes.map(|probe| format!("  probe: {probe}")));
    if !failure.lines.is_empty() {
        lines.push("  output:".into());
        lines.extend(failure.lines.iter().map(|line| format!("    {line}")));
    }
    lines.extend(failure.log.iter().map(|log| format!("  log: {}", log.display())));
    lines.join("\n")
}

impl Refusal {
    /// What a dry run says of it.
    pub fn would(&self) -> String {
        format!("`{}` would be refused: {} ({})", self.label, self.reason, self.place)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is = if self.label.contains("` and `") { "are" } else { "is" };
        write!(f, "`{}` {is} refused: {} ({})", self.label, self.reason, self.place)
    }
}

fn refusals(refusals: &[Refusal]) -> String {
    refusals.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

impl Problem {
    /// A request that cannot be understood.
    pub fn usage(message: impl Into<String>, hint: Option<String>) -> Self {
        Self::Usage { message: message.into(), hint }
    }

    /// Why something was refused, without what was: of several guards the first one's.
    pub fn reason(&self) -> String {
        match self {
            Self::Refused(refusals) => {
                refusals.first().map_or_else(String::new, |refusal| refusal.reason.clone())
            }
            other => other.to_string(),
        }
    }

    /// The exit status it comes to.
    pub fn exit(&self) -> u8 {
        match self {
            Self::NoEnvfile { .. } | Self::Diagnostics { .. } | Self::Load(_) => 2,
            Self::Usage { .. } | Self::NoNode { .. } => 2,
            Self::Record(RecordError::Unknown(_) | RecordError::Ambiguous(..)) => 2,
            // Nothing was run: whether it may be, nobody can say.
            Self::Busy { .. } => 7,
            Self::Refused(_) | Self::Moved { .. } | Self::Store(_) | Self::Stages(StageBookError::Ref(_)) => {
                3
            }
            Self::Stages(StageBookError::Fs(_)) | Self::Unshared { .. } => 1,
            Self::Unfinished { .. }
            | Self::Ledger(
                LedgerError::Held { .. } | LedgerError::Overtaken { .. } | LedgerError::TakenOver { .. },
            ) => 7,
            // Whether anything may begin, nobody can say.
            Self::Ledger(LedgerError::Ref(_) | LedgerError::Diverged(_) | LedgerError::Damaged { .. }) => 3,
            Self::Snapshot(SnapshotError::None { .. } | SnapshotError::Unnamed(_)) => 2,
            Self::Snapshot(SnapshotError::Busy { .. }) => 7,
            Self::Ledger(_) | Self::Snapshot(_) => 1,
            Self::Interrupted => 130,
            Self::Fs(_) | Self::Record(_) | Self::Start(_) | Self::System { .. } => 1,
            Self::Service { .. } | Self::Session(_) => 1,
        }
    }

    /// What to do, where that is not in the diagnostics.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoEnvfile { .. } => {
                Some("`envrun init` writes a first one for the project in this folder".into())
            }
            Self::Usage { hint, .. } => hint.clone(),
            Self::NoNode { .. } => Some("`envrun list` shows what there is".into()),
            Self::Moved { .. } => Some("look at what moved, and make a new plan with `envrun plan`".into()),
            Self::Store(refused) => refused.hint.clone(),
            Self::Record(RecordError::Unknown(_) | RecordError::Ambiguous(..)) => {
                Some("`envrun log` lists the runs".into())
            }
            Self::Busy { hint, .. } => Some(hint.clone()),
            Self::Start(error) => error.hint(),
            Self::Stages(StageBookError::Ref(error)) => error.hint(),
            Self::Unshared { .. } => {
                Some("the record is kept here, and the next `envrun stage` in this checkout shares it".into())
            }
            Self::Snapshot(error) => error.hint(),
            Self::Unfinished { env, is_elsewhere, .. } => {
                let ways = format!(
                    "`envrun deploy resume {env}` brings it to its end, `envrun deploy back {env}` takes it back"
                );
                Some(match is_elsewhere {
                    true => format!(
                        "{ways}; if it came to its end while the remote was away, `envrun status {env}` in the checkout that \
                         began it tells so"
                    ),
                    false => ways,
                })
            }
            Self::Ledger(error) => error.hint(),
            Self::Service { failure, .. } => failure.hint.clone(),
            Self::Session(error) => error.hint(),
            _ => None,
        }
    }
}

/// Whether anything in there is an error.
pub fn has_errors(diagnostics: &[Diagnostic]) -> bool {
    diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
}
