//! The environment that `match` chooses when nobody names one.

use std::ffi::OsStr;

use crate::exec::Environ;
use crate::model::{Command, EnvName, ProjectName};
use crate::preflight::{Git, Surroundings, Verdict, check};

use super::probe::succeeds;
use super::{Context, Problem, Project};

/// The first environment, in the order written, all of whose `match` conditions hold.
pub fn matching_environment(context: &Context, project: &Project) -> Result<Option<EnvName>, Problem> {
    let envfile = project.envfile();
    let Some(root) = envfile.projects.get(&ProjectName::default()) else { return Ok(None) };
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
            return Ok(Some(env.name.clone()));
        }
    }
    Ok(None)
}
