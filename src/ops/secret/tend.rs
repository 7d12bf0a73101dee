//! What a person does with the secrets of an environment: look, set, get, make what is missing, edit.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::exec::Processes;
use crate::model::{EnvName, ProjectName, Rotate, StoreRef};
use crate::secret::StoreError;
use crate::vars::Values;
use crate::vars::write::dotenv_line;

use super::super::env::{EnvValues, guard};
use super::super::sweep::sweep;
use super::super::{Context, Problem, Project};
use super::rotate::cut_short;
use super::{Kept, Missing, PATIENCE, Secrets, State, Wanted, show_age};

/// A secret of an environment, as `secret list` tells it: never its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// The included project that declares it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// It is there; nothing where that may not be looked at, or cannot.
    pub present: Option<bool>,
    /// Who has it, or why nobody has.
    pub from: String,
    /// Where it is kept.
    pub store: String,
    /// How it is made when it is missing.
    pub generate: Option<&'static str>,
    /// It may be missing.
    pub optional: bool,
    /// How many seconds ago it was made, if that is known.
    pub age_seconds: Option<u64>,
    /// In how many seconds it is to be replaced; below zero when it is overdue.
    pub due_in_seconds: Option<i64>,
    /// What is wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Its store is not used: the commands that put that right, where they are known.
    #[serde(skip)]
    pub unread: Option<Option<String>>,
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub desc: Option<String>,
    /// How old it may get, as it is told.
    #[serde(skip)]
    pub rotate: Option<Rotate>,
}

/// The secrets of an environment: one for each place and name, however many projects declare it.
pub(super) fn all_kept(
    secrets: &Secrets<'_>,
    values: &EnvValues,
) -> Result<Vec<(ProjectName, Arc<Values>, Kept)>, Problem> {
    let mut found: Vec<(ProjectName, Arc<Values>, Kept)> = Vec::new();
    for (project, values) in &values.projects {
        for kept in secrets.kept(values).map_err(Problem::Store)? {
            let is_same =
                |other: &Kept| other.place == kept.place && other.spec.secret.name == kept.spec.secret.name;
            if kept.spec.project == *project && !found.iter().any(|(_, _, other)| is_same(other)) {
                found.push((project.clone(), Arc::clone(values), kept));
            }
        }
    }
    Ok(found)
}

/// The secret of that name.
pub(super) fn named(secrets: &Secrets<'_>, values: &EnvValues, name: &str) -> Result<Kept, Problem> {
    let all = all_kept(secrets, values)?;
    // One of an included project may be named with its project.
    let is_it = |project: &ProjectName, kept: &Kept| {
        let own = kept.spec.secret.name.as_str();
        own == name || name.split_once(':') == Some((project.as_str(), own))
    };
    if let Some((_, _, kept)) = all.iter().find(|(project, _, kept)| is_it(project, kept)) {
        return Ok(kept.clone());
    }
    let place = values.env.as_ref().map_or(String::new(), |env| format!(" in environment `{env}`"));
    let known = all.iter().map(|(_, _, kept)| kept.spec.secret.name.as_str());
    let hint = crate::diag::did_you_mean(name, known)
        .unwrap_or_else(|| "declare it in `secrets`; `envrun secret list` shows those there are".into());
    Err(Problem::usage(format!("there is no secret `{name}`{place}"), Some(hint)))
}

/// Runs `work` with secrets, and ends what it started. What killed ones left of secrets is removed first.
pub(super) fn with_secrets<T>(
    context: &Context,
    project: &Project,
    work: impl FnOnce(&mut Secrets<'_>) -> Result<T, Problem>,
) -> Result<T, Problem> {
    sweep(project.root());
    let processes = Processes::new(PATIENCE);
    let done = work(&mut Secrets::new(context, project, &processes));
    processes.wait();
    processes.finish();
    done
}

/// How it is said that a secret should have been replaced by now.
pub const OVERDUE: &str = "overdue for";

/// Every secret of an environment. Where the environment's guard refuses, its stores are not read.
pub fn list(context: &Context, project: &mut Project, env: Option<EnvName>) -> Result<Vec<Listed>, Problem> {
    let values = EnvValues::read(context, project, env, &[])?;
    with_secrets(context, project, |secrets| {
        let mut rows = Vec::new();
        let cut_short = cut_short(project.root(), values.env.as_ref());
        for (owner, values) in &values.projects {
            if values.secrets().is_empty() {
                continue;
            }
            let refused = match guard::ask(context, project, owner, values.env(), values, "its secrets") {
                Ok(known) => {
                    secrets.know(known);
                    None
                }
                Err(problem) => Some(problem.reason()),
            };
            let row = |kept: &Kept| Listed {
                name: kept.spec.secret.name.to_string(),
                project: Some(kept.spec.project.to_string()).filter(|project| !project.is_empty()),
                present: None,
                from: String::new(),
                store: kept.place.shown(secrets_root(project)),
                generate: kept.spec.secret.generate.map(word),
                optional: kept.spec.secret.is_optional(),
                age_seconds: None,
                due_in_seconds: None,
                problem: None,
                unread: None,
                desc: kept.spec.secret.desc.clone(),
                rotate: kept.spec.secret.rotate,
            };
            if let Some(reason) = refused {
                for kept in secrets.kept(values).map_err(Problem::Store)? {
                    if kept.spec.project == *owner {
                        let from = format!("not read: {reason}");
                        rows.push(Listed { from, ..row(&kept) });
                    }
                }
                continue;
            }
            for one in secrets.examine(values).map_err(Problem::Store)? {
                if one.kept.spec.project != *owner {
                    continue;
                }
                let mut row = row(&one.kept);
                row.present = (!matches!(one.state, State::Unread(_))).then_some(false);
                row.age_seconds = one.age.map(|age| age.as_secs());
                let seconds = |time: Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
                // One that is overdue for less than a second is overdue.
                row.due_in_seconds =
                    one.left.map(|left| left.map_or_else(|over| -seconds(over).max(1), seconds));
                match one.state {
                    State::Present { from, placeholder, short } => {
                        row.present = Some(true);
                        row.from = from;
                        row.problem = match (placeholder, short, one.left) {
                            (true, _, _) => Some("a placeholder".into()),
                            (_, true, _) => Some("too short to be hidden in what is printed".into()),
                            (_, _, Some(Err(over))) => Some(format!("{OVERDUE} {}", show_age(over))),
                            _ => None,
                        };
                        if cut_short.contains(&row.name) {
                            row.problem = Some(
                                "a rotation was cut short: its owner may have the old value or the new one"
                                    .into(),
                            );
                        }
                    }
                    State::Generated => row.from = "not made yet".into(),
                    State::Optional => row.from = "not set".into(),
                    State::Missing => {
                        row.from = "not set".into();
                        row.problem = Some("missing".into());
                    }
                    State::Unread(refused) => {
                        row.from = "not read".into();
                        row.problem = Some(refused.reason);
                        row.unread = Some(refused.hint);
                    }
                }
                rows.push(row);
            }
        }
        Ok(rows)
    })
}

fn secrets_root(project: &Project) -> &std::path::Path {
    project.root()
}

fn word(how: crate::model::Generate) -> &'static str {
    use crate::model::Generate;
    match how {
        Generate::Password => "password",
        Generate::Hex => "hex",
        Generate::Base64 => "base64",
        Generate::Uuid => "uuid",
    }
}

/// Stores a value, whatever was there before. Gives where.
pub fn set(
    context: &Context,
    project: &mut Project,
    env: Option<EnvName>,
    name: &str,
    value: &str,
) -> Result<String, Problem> {
    context.redactor.learn([value]);
    let values = EnvValues::read(context, project, env, &[])?;
    with_secrets(context, project, |secrets| {
        let kept = named(secrets, &values, name)?;
        let wrong = if value.is_empty() {
            Some(("the value is empty", "one that may be missing says `required=#false`"))
        } else if value.contains('\0') {
            Some((
                "the value holds a NUL character, which no variable can",
                "encode it, for instance with `base64`",
            ))
        } else {
            None
        };
        if let Some((what, hint)) = wrong {
            return Err(Problem::usage(format!("`{name}` is not set: {what}"), Some(hint.into())));
        }
        secrets.write(&kept.place, kept.spec.secret.name.as_str(), value).map_err(Problem::Store)?;
        secrets.note_made(&kept.place, [kept.spec.secret.name.as_str()]);
        Ok(kept.place.shown(project.root()))
    })
}

/// The value of a secret. The guard of its environment is asked first: it gives the value away.
pub fn get(
    context: &Context,
    project: &mut Project,
    env: Option<EnvName>,
    name: &str,
) -> Result<String, Problem> {
    let values = EnvValues::read(context, project, env, &[])?;
    with_secrets(context, project, |secrets| {
        let kept = named(secrets, &values, name)?;
        let owner = &kept.spec.project;
        if let Some(values) = values.of(owner) {
            let what = values.env().map_or_else(|| "secret get".into(), |env| format!("secret get {env}"));
            secrets.know(guard::ask(context, project, owner, values.env(), values, &what)?);
        }
        match secrets.value(&kept).map_err(Problem::Store)? {
            Some(value) => Ok(value),
            None => Err(Problem::Store(super::Refused {
                store: kept.place.store.to_string(),
                reason: format!("it has no `{}`", kept.spec.secret.name),
                hint: Some(match kept.spec.secret.generate {
                    Some(_) => kept.generate_hint(),
                    None => kept.hint(),
                }),
                place: String::new(),
            })),
        }
    })
}

/// Makes every secret that is missing and says how; what was done, in words.
pub fn generate_missing(
    context: &Context,
    project: &mut Project,
    env: Option<EnvName>,
) -> Result<Vec<String>, Problem> {
    let values = EnvValues::read(context, project, env, &[])?;
    with_secrets(context, project, |secrets| {
        let mut said = Vec::new();
        for (_, values) in &values.projects {
            let opened = secrets.open(values, &Wanted::Everything, Missing::Make);
            if let Some(refused) = opened.refused.into_iter().next() {
                return Err(Problem::Store(refused));
            }
            said.extend(opened.notices.into_iter().map(|(message, _)| message));
        }
        Ok(said)
    })
}

/// All secrets of an environment as one text, for an editor.
#[derive(Debug)]
pub struct Edit {
    values: EnvValues,
    /// What the editor is given: `NAME=value` lines.
    pub text: String,
    before: Vec<(Kept, Option<String>)>,
}

impl Edit {
    /// Reads them.
    pub fn begin(context: &Context, project: &mut Project, env: Option<EnvName>) -> Result<Self, Problem> {
        let values = EnvValues::read(context, project, env, &[])?;
        let (text, before) = with_secrets(context, project, |secrets| {
            let mut text =
                String::from("# One secret on a line. A line that is taken out changes nothing.\n");
            let mut before = Vec::new();
            for (_, _, kept) in all_kept(secrets, &values)? {
                if kept.place.store == StoreRef::Env {
                    continue;
                }
                let name = kept.spec.secret.name.as_str();
                let all =
                    secrets.read(&kept.place).as_ref().map_err(|refused| Problem::Store(refused.clone()))?;
                let value = all.get(name).cloned();
                context.redactor.learn(value.as_deref());
                if let Some(desc) = &kept.spec.secret.desc {
                    text.push_str(&format!("# {}\n", desc.replace('\n', " ")));
                }
                match &value {
                    Some(value) => text.push_str(&dotenv_line(name, value)),
                    None => text.push_str(&format!("# {name}=\n")),
                }
                before.push((kept, value));
            }
            Ok((text, before))
        })?;
        Ok(Self { values, text, before })
    }

    /// Stores what was changed; the names.
    pub fn finish(self, context: &Context, project: &Project, text: &str) -> Result<Vec<String>, Problem> {
        let (entries, wrong) = crate::vars::dotenv::parse(crate::diag::FileId(0), text);
        if let Some(wrong) = wrong.first() {
            let at = wrong.labels.first().map_or(0, |label| label.span.start as usize);
            let line = text[..at.min(text.len())].matches('\n').count() + 1;
            return Err(Problem::usage(
                format!("line {line} is no `NAME=value`: nothing was changed"),
                Some("`envrun secret edit` again, with quotes around a value of several lines".into()),
            ));
        }
        let known = |name: &str| self.before.iter().find(|(kept, _)| kept.spec.secret.name.as_str() == name);
        if let Some(stranger) = entries.iter().find(|entry| known(&entry.name).is_none()) {
            let names = self.before.iter().map(|(kept, _)| kept.spec.secret.name.as_str());
            return Err(Problem::usage(
                format!("there is no secret `{}`: nothing was changed", stranger.name),
                crate::diag::did_you_mean(&stranger.name, names).or(Some("declare it in `secrets`".into())),
            ));
        }
        let mut changed: Vec<(&Kept, String)> = Vec::new();
        for entry in entries {
            if let Some((kept, before)) = known(&entry.name)
                && before.as_ref() != Some(&entry.value)
                && !entry.value.is_empty()
            {
                changed.retain(|(other, _)| other.spec.secret.name != kept.spec.secret.name);
                changed.push((kept, entry.value));
            }
        }
        context.redactor.learn(changed.iter().map(|(_, value)| value.as_str()));
        with_secrets(context, project, |secrets| {
            for (kept, value) in &changed {
                let name = kept.spec.secret.name.as_str();
                secrets.write(&kept.place, name, value).map_err(Problem::Store)?;
                secrets.note_made(&kept.place, [name]);
            }
            Ok(())
        })?;
        drop(self.values);
        Ok(changed.iter().map(|(kept, _)| kept.spec.secret.name.to_string()).collect())
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let (reason, hint) = (error.to_string(), error.hint());
        Self::Store(super::Refused { store: "file".into(), reason, hint, place: String::new() })
    }
}
