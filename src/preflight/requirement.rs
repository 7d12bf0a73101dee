//! A row of `requires`, with its variables filled in: a question to the machine.

use std::path::Path;
use std::sync::Arc;

use crate::diag::Span;
use crate::exec::Environ;
use crate::model::{Command, Requirement, RequirementKind};
use crate::vars::{Form, Lookup, TaskValues};

use super::{Finding, Question};

/// What a requirement sees: that of a node, or of all that runs in an environment.
pub struct Sight<'a> {
    /// The values.
    pub values: &'a TaskValues,
    /// What paths are relative to, and where commands run.
    pub dir: &'a Path,
    /// What commands see.
    pub environ: &'a Arc<Environ>,
    /// The shell of its commands; `sh` without one.
    pub shell: Option<&'a str>,
}

impl Question {
    /// What a requirement asks. If a variable that it mentions has no value, that is the answer.
    pub fn of(requirement: &Requirement, sight: &Sight<'_>) -> Self {
        Self::filled(requirement, sight).unwrap_or_else(Self::Known)
    }

    /// What a requirement is called in a report: its name, or what it asks for with every variable filled in. A path is
    /// shown as it is from `root`.
    pub fn title(requirement: &Requirement, sight: &Sight<'_>, root: &Path) -> String {
        let text = match &requirement.kind {
            RequirementKind::File(text) | RequirementKind::Reach(text) => text,
            RequirementKind::Tool { program, .. } => program,
            _ => return requirement.title(),
        };
        let filled = sight.values.interpolate_named(text, Form::Text, requirement.span);
        match (&requirement.name, &requirement.kind, filled) {
            (None, RequirementKind::File(_), Ok(path)) => {
                let path = sight.dir.join(path);
                path.strip_prefix(root).unwrap_or(&path).display().to_string()
            }
            (None, _, Ok(text)) => text,
            _ => requirement.title(),
        }
    }

    fn filled(requirement: &Requirement, sight: &Sight<'_>) -> Result<Self, Finding> {
        let fill = |text: &str, form| fill(sight.values, text, form, requirement.span);
        let search_path = || sight.environ.get("PATH").map(ToOwned::to_owned);
        Ok(match &requirement.kind {
            RequirementKind::Tool { program, version } => Self::Tool {
                program: fill(program, Form::Text)?,
                version: version.clone(),
                path: search_path(),
                dir: sight.dir.to_path_buf(),
            },
            RequirementKind::Cpu(amount) => Self::Cpu(*amount),
            RequirementKind::Memory(amount) => Self::Memory(*amount),
            RequirementKind::Disk(amount) => Self::Disk(*amount),
            RequirementKind::Gpu(amount) => Self::Gpu(*amount, search_path()),
            RequirementKind::File(path) => Self::File(sight.dir.join(fill(path, Form::Text)?)),
            RequirementKind::Reach(address) => Self::Reach(fill(address, Form::Text)?),
            RequirementKind::Exec(command) => Self::Exec {
                command: match command {
                    Command::Shell(text) => Command::Shell(text.clone()),
                    Command::Argv(words) => {
                        let words = words.iter().map(|word| fill(word, Form::Word));
                        Command::Argv(words.collect::<Result<_, _>>()?)
                    }
                },
                dir: sight.dir.to_path_buf(),
                environ: Arc::clone(sight.environ),
                shell: sight.shell.map(str::to_owned),
            },
            RequirementKind::Os(names) => Self::Os(names.clone()),
            RequirementKind::Set(name) => Self::Known(match sight.values.lookup(name) {
                Lookup::Value { text, .. } if !text.is_empty() => Finding::pass("set"),
                Lookup::Missing(diagnostic) => unknown(&diagnostic.message, diagnostic.help.as_deref()),
                _ => Finding::fail("not set")
                    .hint(format!("give {name} a value: in `vars`, in a dotenv file, or in the shell")),
            }),
        })
    }
}

fn fill(values: &TaskValues, text: &str, form: Form, span: Span) -> Result<String, Finding> {
    values.interpolate(text, form, span).map_err(|wrong| unknown(&wrong.message, wrong.help.as_deref()))
}

fn unknown(message: &str, help: Option<&str>) -> Finding {
    let finding = Finding::fail(message);
    finding.hint(help.unwrap_or("give the variable a value that is allowed"))
}
