//! An environment's guard, asked before something of it is given away.

use crate::exec::Environ;
use crate::model::{Condition, ConditionKind, EnvName, Project as ModelProject, ProjectName};
use crate::preflight::{Git, Surroundings, Verdict, check, remedy};
use crate::record::STATE_DIR;
use crate::vars::Values;

use super::super::guard::{Asked, live};
use super::super::probe::succeeds;
use super::super::run::Request;
use super::super::{Context, Problem, Project, Refusal};

/// Asks every condition of the environment and of those it extends, in the project and those around it. All that do not
/// hold are told.
pub(in crate::ops) fn ask(
    context: &Context,
    project: &Project,
    owner: &ProjectName,
    env: Option<&EnvName>,
    values: &Values,
    what: &str,
) -> Result<(), Problem> {
    let conditions = conditions(project, owner, env);
    if conditions.is_empty() {
        return Ok(());
    }
    let git = Git::new(project.root());
    // Until the guard has passed, no command sees a secret.
    let mut environ = Environ::new(&context.caller);
    for (name, lookup) in values.iter() {
        if let crate::vars::Lookup::Value { text, secret: false, .. } = lookup {
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
        .into_iter()
        .filter_map(|condition| match check(condition, &around) {
            Verdict::Holds => None,
            Verdict::Fails(reason) | Verdict::NoRepository(reason) => Some(Refusal {
                label: what.to_owned(),
                reason,
                place: project.sources().place(condition.span),
                hint: remedy(condition, &around),
            }),
        })
        .collect();
    if refusals.is_empty() { Ok(()) } else { Err(Problem::Refused(refusals)) }
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
