//! What differs between two manifests, and the words for it.

use std::fmt;

/// How something that is in one of two lists, or in both, differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Change {
    /// It was not there before.
    Added,
    /// It is no longer there.
    Removed,
    /// It is not the same.
    Changed,
}

/// One reason why a task is not up to date.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Difference {
    /// There is no last good run in this checkout to compare with.
    NeverRan,
    /// The key's format is another one than that of the last good run.
    Format,
    /// It was asked to run in any case.
    Forced,
    /// Its last run did not end well, and may have left something in its output folders.
    Interrupted,
    /// The same task in another environment or with other arguments made its outputs in the same place since.
    Overtaken,
    /// The commands.
    Commands,
    /// The shell.
    Shell,
    /// The folder it runs in.
    Dir,
    /// The operating system or the architecture.
    Platform,
    /// A variable: set, unset or changed.
    Variable(String, Change),
    /// A tool.
    Tool(String, Change),
    /// The declared outputs.
    OutputDeclaration,
    /// The declared depfiles.
    DepfileDeclaration,
    /// What is kept from it.
    Sandbox,
    /// The output of a needed task.
    Need(String, Change),
    /// An input's content.
    Input(String, Change),
    /// An input's executable bit.
    InputMode(String),
    /// An input that its depfile named.
    Discovered(String, Change),
    /// An output is not there any more.
    OutputMissing(String),
    /// An output is not what the task made.
    OutputChanged(String),
}

impl Difference {
    /// The words after "because": `src/api.rs changed`, `it never ran here`.
    pub fn words(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use Change::{Added, Changed, Removed};

        // A name may hold anything; nothing of it shall move the cursor.
        let shown = |path: &str| -> String {
            let plain = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
            path.chars().map(plain).collect()
        };
        let file = |f: &mut fmt::Formatter<'_>, path: &str, change| match change {
            Added => write!(f, "{path} was added"),
            Removed => write!(f, "{path} was removed"),
            Changed => write!(f, "{path} changed"),
        };
        match self {
            Self::NeverRan => write!(f, "it never ran here"),
            Self::Format => write!(f, "envrun keeps its keys in a new format"),
            Self::Forced => write!(f, "it was forced"),
            Self::Interrupted => write!(f, "its last run did not end well"),
            Self::Overtaken => {
                write!(f, "another environment or other arguments made its outputs anew since")
            }
            Self::Commands => write!(f, "the command changed"),
            Self::Shell => write!(f, "the shell changed"),
            Self::Dir => write!(f, "the folder it runs in changed"),
            Self::Platform => write!(f, "it ran on another platform"),
            Self::Variable(name, change) if name.starts_with("ARG_") => write!(
                f,
                "its argument {name} {}",
                match change {
                    Added => "was set",
                    Removed => "was unset",
                    Changed => "changed",
                }
            ),
            Self::Variable(name, Added) => write!(f, "{name} was set"),
            Self::Variable(name, Removed) => write!(f, "{name} was unset"),
            Self::Variable(name, Changed) => write!(f, "{name} changed"),
            Self::Tool(name, Added) => write!(f, "the tool `{name}` was added"),
            Self::Tool(name, Removed) => write!(f, "the tool `{name}` was removed"),
            Self::Tool(name, Changed) => write!(f, "the tool `{name}` changed"),
            Self::OutputDeclaration => write!(f, "its declared outputs changed"),
            Self::DepfileDeclaration => write!(f, "its declared depfile changed"),
            Self::Sandbox => write!(f, "its sandbox changed"),
            Self::Need(label, Added) => write!(f, "it now needs `{label}`"),
            Self::Need(label, Removed) => write!(f, "it no longer needs `{label}`"),
            Self::Need(label, Changed) => write!(f, "the output of `{label}` changed"),
            Self::Input(path, change) | Self::Discovered(path, change) => file(f, &shown(path), *change),
            Self::InputMode(path) => write!(f, "{} changed its executable bit", shown(path)),
            Self::OutputMissing(path) => write!(f, "its output {} is missing", shown(path)),
            Self::OutputChanged(path) => write!(f, "its output {} is not what it made", shown(path)),
        }
    }
}
