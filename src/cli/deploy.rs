//! `envrun deploy resume|back`: a deploy that was cut short, brought to an end.

use crate::ops::deploy::{Finish, Finished, finish, mend};
use crate::ops::run::Request;
use crate::ops::{Problem, Project};
use crate::report::Reporters;

use super::Invocation;
use super::args::{DeployArgs, DeployCommand, HowArgs};
use super::run::pairs;

pub fn run(invocation: &Invocation<'_>, args: &DeployArgs) -> Result<u8, Problem> {
    let (how, args, confirm) = match &args.command {
        DeployCommand::Resume(args) => (Finish::Resume, &args.finish, &args.confirm[..]),
        DeployCommand::Back(args) => (Finish::Back, args, &[][..]),
        DeployCommand::Mend(args) => {
            let project = Project::open_to_run(invocation.context, invocation.place.file.as_deref())?;
            let told = mend(invocation.context, &project, &args.env)?;
            told.iter().for_each(|line| invocation.terminal.say(line));
            return Ok(0);
        }
    };
    let mut project = Project::open_to_run(invocation.context, invocation.place.file.as_deref())?;
    let mut request = request(&args.how)?;
    // What had changed nothing yet is begun anew: its guards may ask for a word.
    request.prompt = invocation.terminal.prompt();
    request.confirm = confirm.to_vec();
    let reporters = reporters(invocation, &args.how);
    match finish(invocation.context, &mut project, &args.env, how, &request, reporters)? {
        Finished::Ran(ending, _rest) => Ok(ending.exit),
        Finished::Closed(text) => {
            invocation.terminal.say(&text);
            Ok(0)
        }
    }
}

/// What a command that goes back or on asks of a run.
pub fn request(how: &HowArgs) -> Result<Request, Problem> {
    Ok(Request { set: pairs(&how.set)?, read_cache: true, write_cache: true, ..Request::default() })
}

/// Who listens to it.
pub fn reporters(invocation: &Invocation<'_>, how: &HowArgs) -> Reporters {
    let mut reporters = Reporters::new(invocation.context.clock.clone());
    reporters
        .add("output", invocation.terminal.reporter(invocation.context, how.shown.output, how.shown.verbose));
    reporters
}
