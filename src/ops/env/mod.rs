//! Environments: listed, shown, lent to a command, exported, compared.
//!
//! Everything here begins with the [`Values`] of every project in an environment, as a run would see them: [`EnvValues`].
//! A value is typed by its declaration, knows where it comes from, and is masked when it is a secret or is built from
//! one. What gives values away ([`exec`], [`export`]) asks the environment's guard first.
//!
//! Invariant: what is only shown or compared never holds a secret's text, only `***` or a keyed fingerprint.

pub mod diff;
pub mod end;
pub mod exec;
pub mod export;
pub(super) mod guard;
pub mod life;
pub mod list;
pub mod made;
pub mod ports;
pub mod show;
pub mod sync;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::diag::Diagnostic;
use crate::model::{EnvName, ProjectName, VarType};
use crate::vars::{INVALID, Layer, Lookup, Values};

use super::matching::{Choice, choice};
use super::run;
use super::secret;
use super::values::AllValues;
use super::{Context, Problem, Project};

/// What a secret looks like wherever it is shown.
pub const MASK: &str = "***";

/// The values of an environment.
#[derive(Debug)]
pub struct EnvValues {
    /// The environment; `None` where none is declared.
    pub env: Option<EnvName>,
    /// Those of every project, the root's first.
    pub projects: Vec<(ProjectName, Arc<Values>)>,
}

/// What keeps secrets from being known.
#[derive(Debug, Default)]
pub struct Unopened {
    /// Stores that cannot be read.
    pub problems: Vec<Problem>,
    /// The projects whose secrets a guard keeps, and in words why it does.
    pub guarded: BTreeMap<ProjectName, String>,
}

impl EnvValues {
    /// Reads them. A dotenv file that is missing or wrong is an error; a value that is not what its variable may hold is
    /// found where it is looked at.
    pub fn read(
        context: &Context,
        project: &mut Project,
        env: Option<EnvName>,
        set: &[(String, String)],
    ) -> Result<Self, Problem> {
        let (values, problems) = Self::look(context, project, env, set)?;
        match problems.into_iter().next() {
            None => Ok(values),
            Some(problem) => Err(problem),
        }
    }

    /// The same, as far as they can be read, and what keeps them from being whole: for who only looks.
    ///
    /// # Errors
    /// A name in `set` that nobody declares.
    pub fn look(
        context: &Context,
        project: &mut Project,
        env: Option<EnvName>,
        set: &[(String, String)],
    ) -> Result<(Self, Vec<Problem>), Problem> {
        run::declared_sets(project, set)?;
        let AllValues { projects, unread, wrong } = AllValues::read(context, project, env.as_ref(), set);
        let mut problems: Vec<Problem> = unread.into_iter().map(Problem::from).collect();
        if !wrong.is_empty() {
            problems.push(project.problem(wrong));
        }
        Ok((Self { env, projects }, problems))
    }

    /// Asks stores, as far as the guards of the environment let everybody know what is in them. Nothing is made.
    pub fn open(&self, context: &Context, project: &Project) -> Unopened {
        let mut unopened = Unopened::default();
        for (owner, values) in &self.projects {
            if values.secrets().is_empty() {
                continue;
            }
            let known = match guard::ask(context, project, owner, self.env.as_ref(), values, "its secrets") {
                Ok(known) => known,
                Err(problem) => {
                    unopened.guarded.insert(owner.clone(), problem.reason());
                    continue;
                }
            };
            let opened = secret::open_readable(context, project, values, secret::Missing::Leave, known);
            for refused in opened.refused {
                let is_told = |known: &Problem| matches!(known, Problem::Store(known) if *known == refused);
                if !unopened.problems.iter().any(is_told) {
                    unopened.problems.push(Problem::Store(refused));
                }
            }
        }
        unopened
    }

    /// Values that are not what their variables may hold.
    pub fn invalid(&self, project: &Project) -> Option<Problem> {
        let mut wrong: Vec<Diagnostic> = Vec::new();
        for (_, _, _, lookup) in self.iter() {
            if let Lookup::Missing(told) = lookup
                && told.code == INVALID
                && !wrong.contains(told)
            {
                wrong.push(Diagnostic::clone(told));
            }
        }
        (!wrong.is_empty()).then(|| project.problem(wrong))
    }

    /// Those of one project.
    pub fn of(&self, project: &ProjectName) -> Option<&Arc<Values>> {
        self.projects.iter().find(|(name, _)| name == project).map(|(_, values)| values)
    }

    /// Every declared name with what it stands for, project by project: those of the root, then what each included
    /// project declares itself.
    pub fn iter(&self) -> impl Iterator<Item = (&ProjectName, &Values, &str, &Lookup)> {
        self.projects.iter().flat_map(|(project, values)| {
            values.own().map(move |(name, lookup)| (project, &**values, name.as_str(), lookup))
        })
    }
}

/// The environment that was named; without a name the one that a run would choose, or none where none is declared.
pub fn chosen(context: &Context, project: &Project, name: Option<&str>) -> Result<Option<Choice>, Problem> {
    if let Some(choice) = choice(context, project, name)? {
        return Ok(Some(choice));
    }
    let known: Vec<String> =
        project.envfile().concrete_environments().map(|env| format!("`{}`", env.name)).collect();
    if known.is_empty() {
        return Ok(None);
    }
    Err(Problem::usage("which environment?", Some(format!("there is {}", known.join(", ")))))
}

/// The project that was named; without a name the root.
pub fn chosen_project(project: &Project, name: Option<&str>) -> Result<ProjectName, Problem> {
    let Some(name) = name else { return Ok(ProjectName::default()) };
    let projects = &project.envfile().projects;
    if projects.contains_key(name) {
        return Ok(name.into());
    }
    let known = projects.keys().map(ProjectName::as_str).filter(|known| !known.is_empty());
    Err(Problem::usage(
        format!("there is no project `{name}`"),
        crate::diag::did_you_mean(name, known).or_else(|| Some("`envrun list` shows what there is".into())),
    ))
}

/// `project:NAME`, or `NAME` of the root project.
pub(super) fn label(project: &ProjectName, name: &str) -> String {
    if project.as_str().is_empty() { name.to_owned() } else { format!("{project}:{name}") }
}

/// The text of a value as JSON of its type.
pub fn typed(ty: VarType, text: &str) -> serde_json::Value {
    let number = || -> Option<serde_json::Value> {
        Some(match ty {
            VarType::Int => {
                text.parse::<i64>().map(Into::into).or_else(|_| text.parse::<u64>().map(Into::into)).ok()?
            }
            VarType::Port => text.parse::<u16>().ok()?.into(),
            VarType::Float => serde_json::Number::from_f64(text.parse().ok()?)?.into(),
            VarType::Bool => text.parse::<bool>().ok()?.into(),
            _ => return None,
        })
    };
    // A number that JSON cannot hold stays the text that it is.
    number().unwrap_or_else(|| text.into())
}

/// The kind of a layer, in one word.
pub(super) fn layer_word(layer: &Layer) -> &'static str {
    match layer {
        Layer::Root => "root",
        Layer::Dotenv(_) => "dotenv",
        Layer::Env(_) => "env",
        Layer::Task => "task",
        Layer::Set => "set",
        Layer::Given => "envrun",
        Layer::Store(_) => "store",
        Layer::Caller => "caller",
    }
}
