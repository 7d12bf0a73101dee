//! What the machine must have: the rows of `requires`.

use crate::diag::Span;

use super::Command;

/// One row of a `requires` block.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Requirement {
    /// What is asked for.
    pub kind: RequirementKind,
    /// What tells it from the others: of two rows with the same key the stronger one counts.
    pub key: String,
    /// What to call it in a report, where it is given a name.
    pub name: Option<String>,
    /// What to do when it is not there.
    pub hint: Option<String>,
    /// Where it is written.
    pub span: Span,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub enum RequirementKind {
    /// A program is found, in a version that fits.
    Tool {
        /// Its name, still with its `${NAME}`.
        program: String,
        /// The versions that fit.
        version: Option<String>,
    },
    /// Processors.
    Cpu(Amount),
    /// Bytes of memory.
    Memory(Amount),
    /// Free bytes where the project lies.
    Disk(Amount),
    /// Graphics processors.
    Gpu(Amount),
    /// A path, still with its `${NAME}`, relative to the project's folder.
    File(String),
    /// `host:port` or a URL that accepts a connection, still with its `${NAME}`.
    Reach(String),
    /// A command that succeeds.
    Exec(Command),
    /// The system is one of these.
    Os(Vec<String>),
    /// A variable that is set to something.
    Set(String),
}

impl Requirement {
    /// What kind of thing is required: `tool`, `memory`.
    pub fn word(&self) -> &'static str {
        match &self.kind {
            RequirementKind::Tool { .. } => "tool",
            RequirementKind::Cpu(_) => "cpu",
            RequirementKind::Memory(_) => "memory",
            RequirementKind::Disk(_) => "disk",
            RequirementKind::Gpu(_) => "gpu",
            RequirementKind::File(_) => "file",
            RequirementKind::Reach(_) => "reach",
            RequirementKind::Exec(_) => "exec",
            RequirementKind::Os(_) => "os",
            RequirementKind::Set(_) => "set",
        }
    }

    /// What it is called in a report: its name, or what it asks for.
    pub fn title(&self) -> String {
        let what = match &self.kind {
            RequirementKind::Tool { program: text, .. }
            | RequirementKind::File(text)
            | RequirementKind::Reach(text)
            | RequirementKind::Set(text) => text.clone(),
            RequirementKind::Exec(command) => command.display(),
            _ => self.word().to_owned(),
        };
        self.name.clone().unwrap_or(what)
    }

    /// Whether variables have a say in it.
    pub fn asks_variables(&self) -> bool {
        match &self.kind {
            RequirementKind::Exec(_) | RequirementKind::Set(_) => true,
            RequirementKind::Tool { program: text, .. }
            | RequirementKind::File(text)
            | RequirementKind::Reach(text) => text.contains('$'),
            _ => false,
        }
    }

    /// The same, as far as that can be told without starting a program or asking the network: for a dry run.
    pub fn without_effort(&self) -> Option<Self> {
        let kind = match &self.kind {
            RequirementKind::Exec(_) | RequirementKind::Gpu(_) | RequirementKind::Reach(_) => return None,
            RequirementKind::Tool { program, .. } => {
                RequirementKind::Tool { program: program.clone(), version: None }
            }
            other => other.clone(),
        };
        Some(Self { kind, ..self.clone() })
    }
}

/// How much of something: less than `min` fails, less than `want` warns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Amount {
    /// What is required.
    pub min: Option<u64>,
    /// What is recommended.
    pub want: Option<u64>,
}

/// Lays rows over those below them, key by key: a row that is given again keeps its place.
pub fn merge_requirements<'r>(rows: impl IntoIterator<Item = &'r Requirement>) -> Vec<&'r Requirement> {
    let mut merged: indexmap::IndexMap<&str, &Requirement> = indexmap::IndexMap::new();
    for row in rows {
        merged.insert(&row.key, row);
    }
    merged.into_values().collect()
}
