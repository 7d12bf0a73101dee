//! An environment's values, in a form that another program reads.

use crate::model::{EnvName, ProjectName, VarType};
use crate::vars::write::{dotenv_line, heredoc, shell_line};
use crate::vars::{Lookup, Values};

use super::super::{Context, Problem, Project, secret};
use super::{EnvValues, guard, typed};

/// A form that another program reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `NAME=value` lines.
    Dotenv,
    /// `export NAME='value'` lines, for any POSIX shell.
    Shell,
    /// One object; numbers and booleans are such.
    Json,
    /// What GitHub reads from the file `$GITHUB_ENV`.
    Github,
}

/// A name that has a value.
#[derive(Debug, Clone)]
pub struct Exported {
    /// The name.
    pub name: String,
    /// The value, a secret's too.
    pub text: String,
    /// Its type.
    pub ty: VarType,
    /// It is a secret, or built from one.
    pub secret: bool,
}

/// Every name of an environment that has a value. A name without one is an error unless it may stay without. If there is a
/// secret among them, the environment's guard is asked first.
pub fn export(
    context: &Context,
    project: &mut Project,
    owner: &ProjectName,
    env: Option<&EnvName>,
    set: &[(String, String)],
) -> Result<Vec<Exported>, Problem> {
    let values = EnvValues::read(context, project, env.cloned(), set)?;
    let values = values.of(owner).expect("the project was looked up");
    if !values.secrets().is_empty() || holds_secret(values) {
        let what = env.map_or_else(|| "env export".to_owned(), |env| format!("env export {env}"));
        let known = guard::ask(context, project, owner, env, values, &what)?;
        secret::open_all(context, project, values, secret::Missing::Make, known)?;
    }
    let (mut exported, mut wrong) = (Vec::new(), Vec::new());
    for (name, lookup) in values.iter() {
        match lookup {
            Lookup::Value { text, secret, .. } => exported.push(Exported {
                name: name.to_string(),
                text: text.to_string(),
                ty: values
                    .declared(name.as_str())
                    .and_then(|declared| declared.asked.ty)
                    .unwrap_or(VarType::String),
                secret: *secret,
            }),
            Lookup::Missing(diagnostic) => {
                // Several names may miss the same one.
                if !wrong.contains(&**diagnostic) {
                    wrong.push((**diagnostic).clone());
                }
            }
            Lookup::Undeclared => {}
        }
    }
    if wrong.is_empty() { Ok(exported) } else { Err(project.problem(wrong)) }
}

fn holds_secret(values: &Values) -> bool {
    values.iter().any(|(name, lookup)| {
        matches!(lookup, Lookup::Value { secret: true, .. })
            || values.declared(name.as_str()).is_some_and(|declared| declared.secret)
    })
}

/// The values as one text.
pub fn text(exported: &[Exported], form: Form) -> String {
    let lines = |line: fn(&str, &str) -> String| {
        exported.iter().map(|value| line(&value.name, &value.text)).collect::<String>()
    };
    match form {
        Form::Dotenv => lines(dotenv_line),
        Form::Shell => lines(shell_line),
        Form::Github => lines(heredoc),
        Form::Json => {
            let object: serde_json::Map<String, serde_json::Value> =
                exported.iter().map(|value| (value.name.clone(), typed(value.ty, &value.text))).collect();
            format!("{:#}\n", serde_json::Value::Object(object))
        }
    }
}

/// GitHub's commands that keep the secrets among the values out of a job's log: one for each line, since the log is read line by
/// line.
pub fn masks(exported: &[Exported]) -> String {
    let secrets = exported.iter().filter(|value| value.secret);
    let lines = secrets.flat_map(|value| value.text.lines()).filter(|line| !line.trim().is_empty());
    lines.map(|line| format!("::add-mask::{}\n", line.replace('%', "%25").replace('\r', "%0D"))).collect()
}
