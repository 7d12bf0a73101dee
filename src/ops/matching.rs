//! The environment that `match` chooses when nobody names one.

use std::ffi::OsStr;

use crate::model::{Command, EnvName, ProjectName};
use crate::preflight::{Git, Surroundings, Verdict, check};

use super::{Context, Problem, Project};

/// The first environment, in the order written, all of whose `match` conditions hold.
pub fn matching_environment(context: &Context, project: &Project) -> Result<Option<EnvName>, Problem> {
    let envfile = project.envfile();
    let Some(root) = envfile.projects.get(&ProjectName::default()) else { return Ok(None) };
    let git = Git::new(project.root());
    let caller = |name: &str| context.caller.get(OsStr::new(name))?.to_str().map(str::to_owned);
    let exec = |command: &Command| {
        // Before an environment is chosen there are no values: the command sees what the caller sees.
        let words = match command {
            Command::Shell(text) => vec!["sh".to_owned(), "-eu".into(), "-c".into(), text.clone()],
            Command::Argv(words) => words.clone(),
        };
        let (program, args) = words.split_first().ok_or("it is empty")?;
        let status = std::process::Command::new(program)
            .args(args)
            .current_dir(project.root())
            .env_clear()
            .envs(&context.caller)
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .status();
        status.map(|status| status.success()).map_err(|error| error.to_string())
    };
    let around = Surroundings {
        git: &git,
        variable: &caller,
        caller: &caller,
        exists: &|path| project.root().join(path).exists(),
        exec: &exec,
        host: &context.host,
        now: context.clock.now(),
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
