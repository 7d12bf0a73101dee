//! `envrun restore`: saved data, put back.

use std::io::{BufRead, IsTerminal};

use crate::base::unit::{show_duration, show_size};
use crate::ops::matching::chosen_environment;
use crate::ops::run::Request;
use crate::ops::snapshot::{choose, restore};
use crate::ops::{Problem, Project, Refusal};

use super::Invocation;
use super::args::RestoreArgs;
use super::deploy::{reporters, request};

pub fn run(invocation: &Invocation<'_>, args: &RestoreArgs) -> Result<u8, Problem> {
    let mut project = Project::open_to_run(invocation.context, invocation.place.file.as_deref())?;
    let request = Request { env: args.env.clone(), ..request(&args.how)? };
    let env = chosen_environment(invocation.context, &project, &request)?;
    let chosen = choose(&project, &args.snapshot, env.as_ref(), &args.at)?;
    let (label, copy) = (&chosen.place.label, &chosen.copy);
    let age = show_duration(invocation.context.clock.now().since(copy.time));
    let what = format!(
        "copy {} of {} ({age} ago, {}) replaces what `{label}` has now; that is {}",
        copy.number,
        copy.moment(),
        show_size(copy.bytes),
        if args.unsaved { "lost" } else { "saved first" }
    );
    if !args.yes {
        if !std::io::stdin().is_terminal() {
            return Err(Problem::Refused(vec![Refusal {
                label: format!("restore {label}"),
                reason: format!("nobody is there to be asked: {what}"),
                place: "on the command line".into(),
                hint: Some("`-y` says yes".into()),
            }]));
        }
        invocation.terminal.say(&format!("{what}\ngo on? [y/N]"));
        let mut answer = String::new();
        let read = std::io::stdin().lock().read_line(&mut answer);
        if read.is_err() || !matches!(answer.trim().to_lowercase().as_str(), "y" | "yes") {
            invocation.terminal.say("nothing was changed");
            return Ok(EXIT_NO);
        }
    }
    let reporters = reporters(invocation, &args.how);
    let (ending, _rest) =
        restore(invocation.context, &mut project, &chosen, (&request, args.unsaved), reporters)?;
    Ok(ending.exit)
}

/// Somebody said no.
const EXIT_NO: u8 = 3;
