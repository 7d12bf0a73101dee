//! An environment's guard, asked before something of it is given away.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::exec::Environ;
use crate::model::{Condition, ConditionKind, EnvName, Project as ModelProject, ProjectName};
use crate::preflight::{Git, Surroundings, Verdict, check, remedy};
use crate::record::STATE_DIR;
use crate::vars::{Lookup, SecretId, Values, condition_names};

use super::super::guard::{Asked, live};
use super::super::probe::succeeds;
use super::super::run::Request;
use super::super::secret::{self, Known};
use super::super::{Context, Problem, Project, Refusal};

/// Asks every condition of the environment and of those it extends, in the project and those around it. All that do not
/// hold are told. One that mentions secrets is asked when all others hold, and of secrets it alone sees those. Gives what
/// was read of stores for it.
pub(in crate::ops) fn ask(
    context: &Context,
    project: &Project,
    owner: &ProjectName,
    env: Option<&EnvName>,
    values: &Values,
    what: &str,
) -> Result<Known, Problem> {
    let conditions = conditions(project, owner, env);
    if conditions.is_empty() {
        return Ok(Known::default());
    }
    let mentioned = |condition: &Condition| -> BTreeSet<SecretId> {
        let names = condition_names(project.envfile(), condition);
        names.iter().flat_map(|name| values.secrets_of(name.as_str())).collect()
    };
    let (later, now): (Vec<&Condition>, Vec<&Condition>) =
        conditions.into_iter().partition(|condition| !mentioned(condition).is_empty());
    let asking = Asking { context, project, env, what };
    asking.conditions(&now, values, &BTreeSet::new())?;
    let secrets: BTreeSet<SecretId> = later.iter().flat_map(|condition| mentioned(condition)).collect();
    if secrets.is_empty() {
        return Ok(Known::default());
    }
    let seen = Arc::new(values.closed());
    let known = secret::open_these(context, project, &seen, secrets.clone())?;
    asking.conditions(&later, &seen, &secrets)?;
    Ok(known)
}

/// Who asks, and for what.
struct Asking<'a> {
    context: &'a Context,
    project: &'a Project,
    env: Option<&'a EnvName>,
    what: &'a str,
}

impl Asking<'_> {
    fn conditions(
        &self,
        conditions: &[&Condition],
        values: &Values,
        secrets: &BTreeSet<SecretId>,
    ) -> Result<(), Problem> {
        let Self { context, project, env, what } = *self;
        let git = Git::new(project.root());
        // Until the guard has passed, no command sees a secret but those that it mentions.
        let mut environ = Environ::new(&context.caller);
        for (name, lookup) in values.iter() {
            if let Lookup::Value { text, secret, .. } = lookup
                && (!secret || values.secrets_of(name.as_str()).is_subset(secrets))
            {
                environ.set(name.as_str(), &**text);
            }
        }
        if let Some(env) = env {
            environ.set("ENVRUN_ENV", env.as_str());
        }
        let around = Surroundings {
            git: &git,
            variable: &|name| {
                values.lookup(name).text().map(|text| text.to_string()).or_else(|| context.caller_text(name))
            },
            caller: &|name| context.caller_text(name),
            exists: &|path| project.root().join(path).exists(),
            exec: &|command| succeeds(command, project.root(), &environ),
            host: &context.host,
            now: context.clock.now(),
            env,
            revision: &|| None,
            plan: None,
            artefacts: None,
            live: &live(project.root()),
            // Asked for last, and only by what may change something.
            confirmed: &|_| true,
            scratch: &project.root().join(STATE_DIR).join("tmp"),
        };
        let refusals: Vec<Refusal> = conditions
            .iter()
            .filter_map(|condition| match check(condition, &around) {
                Verdict::Holds => None,
                Verdict::Fails(reason) | Verdict::NoRepository(reason) => Some(Refusal {
                    label: what.to_owned(),
                    reason,
                    place: project.sources().place(condition.span),
                    hint: giving(condition, values).or_else(|| remedy(condition, &around)),
                }),
            })
            .collect();
        if refusals.is_empty() { Ok(()) } else { Err(Problem::Refused(refusals)) }
    }
}

/// The commands that give the secrets a value that a condition wants to be set, and that are not.
pub(in crate::ops) fn giving(condition: &Condition, values: &Values) -> Option<String> {
    let ConditionKind::Set(names) = &condition.kind else { return None };
    if condition.hint.is_some() {
        return None;
    }
    let commands = names.iter().filter(|name| !values.secrets_of(name).is_empty()).filter_map(|name| {
        match values.lookup(name) {
            Lookup::Missing(told) => told.help.clone(),
            Lookup::Value { .. } => None,
            Lookup::Undeclared => {
                let env = values.env().map_or_else(String::new, |env| format!(" {env}"));
                Some(format!("`envrun secret set{env} {name}`"))
            }
        }
    });
    let commands: BTreeSet<String> = commands.collect();
    (!commands.is_empty()).then(|| commands.into_iter().collect::<Vec<_>>().join("; "))
}

/// Asks for every word that the guard of the environment wants to be typed, when all else holds. Whether there was one.
pub(in crate::ops) fn confirm(
    project: &Project,
    owner: &ProjectName,
    env: Option<&EnvName>,
    what: &str,
    request: &Request,
) -> Result<bool, Problem> {
    let mut typed: Vec<&str> = Vec::new();
    for condition in conditions(project, owner, env) {
        let ConditionKind::Confirm(word) = &condition.kind else { continue };
        if typed.contains(&word.as_str()) {
            continue;
        }
        let asked = Asked {
            word: word.clone(),
            labels: vec![what.to_owned()],
            place: project.sources().place(condition.span),
            hint: condition.hint.clone(),
        };
        asked.ask(request, None).map_err(|refusal| Problem::Refused(vec![refusal]))?;
        typed.push(word);
    }
    Ok(!typed.is_empty())
}

/// The conditions of an environment and of those it extends, in a project and those around it.
fn conditions<'p>(project: &'p Project, owner: &ProjectName, env: Option<&EnvName>) -> Vec<&'p Condition> {
    let envfile = project.envfile();
    let chain = env.and_then(|env| envfile.environments.get(env)).map_or(&[][..], |env| &env.chain);
    let mut lineage: Vec<&ModelProject> = Vec::new();
    let mut next = envfile.projects.get(owner);
    while let Some(found) = next {
        lineage.push(found);
        next = found.outer.as_ref().and_then(|outer| envfile.projects.get(outer));
    }
    let overlays =
        lineage.into_iter().flat_map(|project| chain.iter().filter_map(|env| project.overlays.get(env)));
    overlays.flat_map(|scope| &scope.guard).collect()
}
