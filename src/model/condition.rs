//! Conditions, written once and used by `when`, `guard`, `match` and `requires`.

use crate::diag::Span;

use super::{Command, Word};

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
    /// A condition whose check is not built yet: `approval`, `confirm`, `deployed`.
    Unbuilt(#[serde(deserialize_with = "super::word::deserialize")] Word),
}
