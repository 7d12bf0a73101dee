//! `envrun env create`, `destroy` and `gc`: environments that come from a pattern and go again.

use std::fmt::Write as _;

use crate::model::{ArgSpec, EnvName};
use crate::ops::env::end::{self, Collected, Destroyed};
use crate::ops::env::life::{self, Asked};
use crate::ops::env::made::Made;
use crate::ops::run::{Request, run as run_request};
use crate::ops::target::Asked as Target;
use crate::ops::{Problem, Project};
use crate::report::Reporters;

use super::super::Invocation;
use super::super::args::{EnvCreateArgs, EnvDestroyArgs, EnvGcArgs, OutputStyle};
use super::print;

/// Something is not as it was asked for, and stays listed.
const EXIT_FAILED: u8 = 1;

/// `envrun env create`.
pub fn create(
    invocation: &Invocation<'_>,
    project: &mut Project,
    args: &EnvCreateArgs,
) -> Result<u8, Problem> {
    let pattern = life::pattern(project.envfile(), &args.pattern)?;
    let specs = project.envfile().environments[&pattern].pattern.args.clone();
    let (name, given) = words(&args.words, &specs, &pattern)?;
    let asked = Asked { pattern: pattern.to_string(), name: name.or_else(|| args.name.clone()), args: given };
    let (made, exit) = life::create(invocation.context, project, &asked, &mut |project, targets| {
        run(invocation, project, targets)
    })?;
    if exit == 0 {
        // Data: what a script goes on with.
        print(&format!("{made}\n"))?;
    } else {
        invocation
            .terminal
            .say(&format!("`{made}` is listed as not finished; `envrun env destroy {made}` takes it down"));
    }
    Ok(exit)
}

/// `envrun env destroy`. One that fails keeps none of the others.
pub fn destroy(
    invocation: &Invocation<'_>,
    project: &mut Project,
    args: &EnvDestroyArgs,
) -> Result<u8, Problem> {
    let mut worst = 0;
    for name in &args.environments {
        let ended = end::destroy(invocation.context, project, name, args.force, &mut |project, targets| {
            run(invocation, project, targets)
        });
        worst = worst.max(ended.as_ref().map_or_else(Problem::exit, |ended| ended.exit));
        let say = |text: String| invocation.terminal.say(&text);
        match ended {
            Ok(Destroyed { exit: 0, left, undone }) => {
                say(format!("`{name}` is gone"));
                undone.iter().for_each(|reason| {
                    say(format!("notice: what its `on-destroy` should have done may be left: {reason}"));
                });
                left.iter().for_each(|file| say(changed(name, file)));
            }
            Ok(_) => say(format!(
                "`{name}` stays listed; `envrun env destroy {name}` tries again; with `--force` it goes without its \
                 `on-destroy`"
            )),
            Err(problem) => invocation.terminal.problem(&problem),
        }
    }
    Ok(worst)
}

fn changed(env: &str, file: &str) -> String {
    format!("notice: `{file}` was rendered in `{env}` and changed by hand since; it was left")
}

/// `envrun env gc`.
pub fn gc(invocation: &Invocation<'_>, project: &mut Project, args: &EnvGcArgs) -> Result<u8, Problem> {
    let mut out = String::new();
    if args.dry_run {
        let list = Made::read(project.root())?;
        let due = end::due(project, &list, invocation.context.clock.now());
        out.extend(due.iter().map(|(name, why)| format!("{name}: {why}\n")));
        if due.is_empty() {
            out.push_str("nothing is due\n");
        }
        tell_unfinished(invocation, project, &list);
        return print(&out);
    }
    let collected =
        end::collect(invocation.context, project, &mut |project, targets| run(invocation, project, targets))?;
    for one in &collected {
        let name = &one.name;
        if let Err(problem) = &one.destroyed {
            invocation.terminal.problem(problem);
        }
        let what = if one.is_gone() {
            "is gone"
        } else {
            "stays listed, and is tried again by the next `envrun env gc`"
        };
        let _ = writeln!(out, "{name}: {}; it {what}", one.why);
        if let Ok(ended) = &one.destroyed {
            ended.left.iter().for_each(|file| invocation.terminal.say(&changed(name, file)));
        }
    }
    if collected.is_empty() {
        out.push_str("nothing is due\n");
    }
    print(&out)?;
    tell_unfinished(invocation, project, &Made::read(project.root())?);
    Ok(if collected.iter().all(Collected::is_gone) { 0 } else { EXIT_FAILED })
}

/// What `gc` leaves, and nobody would miss: the rest of what was not made to the end.
fn tell_unfinished(invocation: &Invocation<'_>, project: &Project, list: &Made) {
    for (name, reason, remedy) in end::unfinished(project, list, invocation.context.clock.now()) {
        invocation.terminal.say(&format!("notice: `{name}` is not finished: {reason}"));
        invocation.terminal.say(&format!("hint: {remedy}"));
    }
}

/// Runs nodes of the environment, as `envrun` would.
fn run(invocation: &Invocation<'_>, project: &mut Project, targets: Vec<Target>) -> Result<u8, Problem> {
    let mut reporters = Reporters::new(invocation.context.clock.clone());
    reporters.add("output", invocation.terminal.reporter(invocation.context, OutputStyle::Auto, false));
    let request = Request { targets, read_cache: true, write_cache: true, ..Request::default() };
    let (ending, _rest) = run_request(invocation.context, project, &request, reporters)?;
    Ok(ending.exit)
}

/// A name for the environment, and its arguments.
type Words = (Option<String>, Vec<(String, String)>);

/// The words behind a pattern.
fn words(words: &[String], specs: &[ArgSpec], pattern: &EnvName) -> Result<Words, Problem> {
    let hint = || Some(life::usage(pattern, specs));
    let known = |name: &str| specs.iter().any(|spec| spec.name.value == name);
    let (mut name, mut given) = (None, Vec::new());
    let mut words = words.iter();
    let mut options = true;
    while let Some(word) = words.next() {
        let Some(long) = word.strip_prefix("--").filter(|_| options) else {
            let free = specs.iter().find(|spec| !given.iter().any(|(known, _)| *known == spec.name.value));
            let Some(spec) = free else {
                return Err(Problem::usage(
                    format!("`{pattern}` takes no further argument `{word}`"),
                    hint(),
                ));
            };
            given.push((spec.name.value.clone(), word.clone()));
            continue;
        };
        if long.is_empty() {
            options = false;
            continue;
        }
        let (option, value) = match long.split_once('=') {
            Some((option, value)) => (option, Some(value.to_owned())),
            None => (long, words.next().cloned()),
        };
        let Some(value) = value else {
            return Err(Problem::usage(format!("`--{option}` wants a value"), hint()));
        };
        // An argument of the pattern's own wins over the option of that name.
        match option {
            option if known(option) => given.push((option.to_owned(), value)),
            "arg" => match value.split_once('=') {
                Some((option, value)) if known(option) => given.push((option.to_owned(), value.to_owned())),
                _ => {
                    return Err(Problem::usage(
                        format!("`{pattern}` has no argument as in `--arg {value}`"),
                        hint(),
                    ));
                }
            },
            "name" => name = Some(value),
            _ => {
                let nearest =
                    crate::diag::did_you_mean(option, specs.iter().map(|spec| spec.name.value.as_str()));
                return Err(Problem::usage(
                    format!("`{pattern}` has no argument `{option}`"),
                    nearest.or_else(hint),
                ));
            }
        }
    }
    Ok((name, given))
}
