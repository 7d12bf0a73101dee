//! An environment's guard, asked before something of it is given away.

use crate::exec::Environ;
use crate::model::{EnvName, Project as ModelProject, ProjectName};
use crate::preflight::{Git, Surroundings, Verdict, check, remedy};
use crate::record::STATE_DIR;
use crate::vars::Values;

use super::super::guard::live;
use super::super::probe::succeeds;
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
    let envfile = project.envfile();
    let chain = env.and_then(|env| envfile.environments.get(env)).map_or(&[][..], |env| &env.chain);
    let mut lineage: Vec<&ModelProject> = Vec::new();
    let mut next = envfile.projects.get(owner);
    while let Some(found) = next {
        lineage.push(found);
        next = found.outer.as_ref().and_then(|outer| envfile.projects.get(outer));
    }
    let conditions: Vec<_> = lineage
        .into_iter()
        .flat_map(|project| chain.iter().filter_map(|env| project.overlays.get(env)))
        .flat_map(|scope| &scope.guard)
        .collect();
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
        // Whoever only looks changes nothing that would have to be confirmed.
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
