//! The environment that `match` chooses when nobody names one, and why.

use std::ffi::OsStr;

use crate::event;
use crate::exec::Environ;
use crate::model::{Command, ConditionKind, EnvName, ProjectName};
use crate::preflight::{Git, Surroundings, Verdict, check};

use super::deploy::words;
use super::probe::succeeds;
use super::run::Request;
use super::target::environment;
use super::{Context, Problem, Project};

/// An environment that is meant although the targets do not name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// Which.
    pub env: EnvName,
    /// Why its `match` chose it, in words that stand after "because"; `None` if somebody named it, in the Envfile or beside
    /// the targets.
    pub because: Option<String>,
}

impl Choice {
    /// What is told of it, if nobody named it.
    pub fn told(&self) -> Option<event::Chosen> {
        let because = self.because.clone()?;
        Some(event::Chosen { env: self.env.to_string(), because })
    }
}

/// The environment of targets that name none: `-e`, the project's default, or the first whose `match` holds.
pub fn choice(context: &Context, project: &Project, named: Option<&str>) -> Result<Option<Choice>, Problem> {
    let envfile = project.envfile();
    if let Some(name) = named {
        return Ok(Some(Choice { env: environment(envfile, name)?, because: None }));
    }
    if let Some(default) = &envfile.default_env {
        return Ok(Some(Choice { env: default.value.clone(), because: None }));
    }
    Ok(matching(context, project))
}

/// The same without the reason.
pub fn chosen_environment(
    context: &Context,
    project: &Project,
    request: &Request,
) -> Result<Option<EnvName>, Problem> {
    Ok(choice(context, project, request.env.as_deref())?.map(|choice| choice.env))
}

/// The first environment, in the order written, all of whose `match` conditions hold.
fn matching(context: &Context, project: &Project) -> Option<Choice> {
    let envfile = project.envfile();
    let root = envfile.projects.get(&ProjectName::default())?;
    let git = Git::new(project.root());
    let caller = |name: &str| context.caller.get(OsStr::new(name))?.to_str().map(str::to_owned);
    // Before an environment is chosen there are no values: the command sees what the caller sees.
    let environ = Environ::new(&context.caller);
    let exec = |command: &Command| succeeds(command, project.root(), &environ);
    let around = Surroundings {
        git: &git,
        variable: &caller,
        caller: &caller,
        exists: &|path| project.root().join(path).exists(),
        exec: &exec,
        host: &context.host,
        now: context.clock.now(),
        env: None,
        revision: &|| None,
        plan: None,
        artefacts: None,
        live: &|_| Vec::new(),
        confirmed: &|_| false,
        scratch: project.root(),
    };
    for env in envfile.concrete_environments() {
        let Some(scope) = root.overlays.get(&env.name) else { continue };
        let holds = |condition| check(condition, &around) == Verdict::Holds;
        if !scope.matches.is_empty() && scope.matches.iter().all(holds) {
            let reasons: Vec<String> =
                scope.matches.iter().map(|condition| reason(&condition.kind, context)).collect();
            let place = project.sources().place(scope.matches[0].span);
            let because = format!("{} ({place})", reasons.join(", "));
            return Some(Choice { env: env.name.clone(), because: Some(because) });
        }
    }
    None
}

/// Why a condition of `match` holds.
fn reason(kind: &ConditionKind, context: &Context) -> String {
    let are = |names: &[String]| if names.len() == 1 { "is" } else { "are" };
    match kind {
        ConditionKind::Set(names) => format!("{} {} set", names.join(" and "), are(names)),
        ConditionKind::Unset(names) => format!("{} {} not set", names.join(" and "), are(names)),
        ConditionKind::Os(_) => format!("the system is {}", std::env::consts::OS),
        ConditionKind::Host(_) => format!("the host is {}", context.host),
        ConditionKind::Ci(true) => "this is CI".into(),
        ConditionKind::Ci(false) => "this is not CI".into(),
        ConditionKind::Exec { command, name } => {
            let what = name.clone().unwrap_or_else(|| format!("`{}`", command.display()));
            format!("{what} succeeds")
        }
        other => format!("`{}` holds", words::condition(other)),
    }
}
