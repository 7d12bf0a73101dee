//! Conditions, written once and used by `when`, `guard`, `match` and `requires`.

use std::time::Duration;

use crate::diag::Span;

use super::{Command, EnvName};

/// One condition and where it is written.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Condition {
    /// What must hold.
    pub kind: ConditionKind,
    /// Where it is written.
    pub span: Span,
    /// What to do when it does not hold.
    pub hint: Option<String>,
}

/// What must hold.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub enum ConditionKind {
    /// The checked-out branch matches one of these globs.
    Branch(Vec<String>),
    /// A tag at HEAD matches one of these globs; without any, HEAD has a tag at all.
    Tag(Vec<String>),
    /// The work tree has no uncommitted change.
    Clean,
    /// HEAD is on its upstream branch.
    Pushed,
    /// Whether `CI` is set to something other than `false`, `0` or nothing: it must be, or must not.
    Ci(bool),
    /// The time is inside one of the windows, such as `mon-thu 08:00-16:00`.
    Window {
        /// The windows as written.
        spans: Vec<String>,
        /// The time zone's IANA name.
        tz: Option<String>,
    },
    /// The command succeeds.
    Exec {
        /// The command.
        command: Command,
        /// What to call it in a message.
        name: Option<String>,
    },
    /// Each of these variables is set and not empty.
    Set(Vec<String>),
    /// None of these variables is set to something.
    Unset(Vec<String>),
    /// The system is one of `linux`, `macos`, `windows`, …
    Os(Vec<String>),
    /// The host's name matches one of these globs.
    Host(Vec<String>),
    /// Each of these files exists.
    File(Vec<String>),
    /// Others than its author have approved the revision, each with a signed tag.
    Approval {
        /// The file of allowed signers, relative to the root.
        signers: String,
        /// How many.
        count: u32,
    },
    /// This word is typed.
    Confirm(String),
    /// The same is live in another environment.
    Deployed {
        /// Which.
        env: EnvName,
        /// It went live no longer ago than this.
        within: Option<Duration>,
        /// It has been live at least this long.
        hold: Option<Duration>,
    },
}

impl ConditionKind {
    /// Whether `--break-glass` passes it: what stands for the judgement of a person or a clock, never what says which
    /// bytes go out.
    pub fn is_glass(&self) -> bool {
        matches!(self, Self::Approval { .. } | Self::Window { .. } | Self::Deployed { .. } | Self::Confirm(_))
    }

    /// The word it is written with.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Branch(_) => "branch",
            Self::Tag(_) => "tag",
            Self::Clean => "clean",
            Self::Pushed => "pushed",
            Self::Ci(_) => "ci",
            Self::Window { .. } => "window",
            Self::Exec { .. } => "exec",
            Self::Set(_) => "set",
            Self::Unset(_) => "unset",
            Self::Os(_) => "os",
            Self::Host(_) => "host",
            Self::File(_) => "file",
            Self::Approval { .. } => "approval",
            Self::Confirm(_) => "confirm",
            Self::Deployed { .. } => "deployed",
        }
    }
}
