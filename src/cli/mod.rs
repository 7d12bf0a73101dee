//! The only room that knows clap, the terminal and process exit: one short file per command.
//!
//! Invariant: what a command does stands in `ops`; here it is asked for and shown.

pub mod args;
mod audit;
mod check;
mod ci;
mod complete;
mod console;
mod deploy;
mod dev;
mod doctor;
mod env;
mod fmt;
mod graph;
mod help;
mod history;
mod import;
mod init;
mod keys;
mod list;
mod log;
mod notify;
mod plan;
mod report;
mod restore;
mod rollback;
mod run;
mod schedule;
mod secret;
mod semver;
mod service;
mod show;
mod snapshot;
mod stage;
mod status;
mod store;
mod terminal;
mod why;
pub mod words;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use crate::base::Clock;
use crate::ops::{Context, Problem, outer};
use crate::secret::Redactor;

use args::{Cli, Command, Place};
use terminal::Terminal;

/// What was asked for, or an Envfile, is wrong.
const EXIT_WRONG: u8 = 2;
/// A bug in envrun.
const EXIT_BUG: u8 = 70;

/// The program.
pub fn main() -> ExitCode {
    let keys = keys::Keys::default();
    let of_a_panic = keys.clone();
    std::panic::set_hook(Box::new(move |panic| {
        of_a_panic.emergency();
        Terminal::default().say(&format!(
            "envrun has a bug: {panic}\nhint: please report it, with the command line and the Envfile; nothing half-written counts as done"
        ));
        std::process::exit(i32::from(EXIT_BUG));
    }));
    keep_memory();
    let mut args: Vec<OsString> = std::env::args_os().collect();
    words::follow(&mut args);
    // A run's words cannot all be told apart before its Envfile is read, so clap sees them only then.
    let (place, asked) = match words::of_run(args.get(1..).unwrap_or_default()) {
        Some(run) => match words::place(&run) {
            Ok(place) => (place, Asked::Run(run)),
            Err(error) => return clap_exit(&error),
        },
        None => match Cli::try_parse_from(args) {
            Ok(cli) => (cli.place, Asked::Command(cli.command)),
            Err(error) => return clap_exit(&error),
        },
    };
    let context = match context(&place) {
        Ok(context) => context,
        Err(error) => {
            Terminal::default().say(&format!("error: {error}"));
            return ExitCode::from(2);
        }
    };
    let terminal = Terminal::new(&context, place.color, keys);
    let is_nearest = place.file.is_none();
    let done = command(&context, &terminal, place, asked);
    terminal.close();
    match done {
        Ok(exit) => ExitCode::from(exit),
        Err(problem) => {
            let problem = help::or_command(problem);
            if matches!(problem, Problem::Interrupted) && terminal.interactive {
                // Behind a question and what the terminal makes of Ctrl-C.
                terminal.say("");
            }
            terminal.problem(&problem);
            // What is not there may be in what includes it.
            if is_nearest
                && problem.exit() == EXIT_WRONG
                && let Some((folder, name)) = outer(&context)
            {
                terminal.say(&format!(
                    "hint: {folder}/Envfile.kdl includes this project as `{name}`: `envrun -C {folder}` begins there"
                ));
            }
            ExitCode::from(problem.exit())
        }
    }
}

/// Has the C library of Linux give what is freed to whoever asks next, instead of to the system, which would have to
/// clear it again page by page: it does so with everything up to the largest piece that was ever freed. Nothing of this
/// piece is ever touched.
fn keep_memory() {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(16 << 20)));
}

/// What every command gets.
struct Invocation<'a> {
    context: &'a Context,
    terminal: &'a Terminal,
    place: Place,
}

/// What was asked for.
enum Asked {
    /// A run, by words that are not sorted yet.
    Run(Vec<OsString>),
    /// Another command, or nothing.
    Command(Option<Command>),
}

fn command(context: &Context, terminal: &Terminal, place: Place, asked: Asked) -> Result<u8, Problem> {
    let invocation = Invocation { context, terminal, place };
    let command = match asked {
        Asked::Run(words) => return run::run(&invocation, words),
        Asked::Command(command) => command,
    };
    match command {
        None => list::no_target(&invocation),
        Some(Command::Run(args)) => run::run(&invocation, args.words.into_iter().map(Into::into).collect()),
        Some(Command::Dev(args)) => {
            let words = std::iter::once("--watch".to_owned()).chain(args.words);
            run::run(&invocation, words.map(Into::into).collect())
        }
        Some(Command::List(args)) => list::run(&invocation, &args),
        Some(Command::Show(args)) => show::run(&invocation, &args),
        Some(Command::Schedule(args)) => schedule::run(&invocation, &args),
        Some(Command::Ci(args)) => ci::run(&invocation, &args),
        Some(Command::Semver(args)) => semver::run(&invocation, &args),
        Some(Command::Stage(args)) => stage::run(&invocation, &args),
        Some(Command::Graph(args)) => graph::run(&invocation, &args),
        Some(Command::Restore(args)) => restore::run(&invocation, &args),
        Some(Command::Snapshot(args)) => snapshot::run(&invocation, &args),
        Some(Command::Fmt(args)) => fmt::run(&invocation, &args),
        Some(Command::Why(args)) => why::run(&invocation, &args),
        Some(Command::Audit(args)) => audit::run(&invocation, &args),
        Some(Command::Doctor(args)) => doctor::run(&invocation, &args),
        Some(Command::Env(args)) => env::run(&invocation, args),
        Some(Command::Secret(args)) => secret::run(&invocation, &args),
        Some(Command::Check(args)) => check::run(&invocation, &args),
        Some(Command::Init(args)) => init::run(&invocation, &args),
        Some(Command::Import(args)) => import::run(&invocation, &args),
        Some(Command::Cache(args)) => store::run(&invocation, &args),
        Some(Command::Plan(args)) => plan::run(&invocation, &args),
        Some(Command::Apply(args)) => plan::apply(&invocation, &args),
        Some(Command::Deploy(args)) => deploy::run(&invocation, &args),
        Some(Command::Rollback(args)) => rollback::run(&invocation, &args),
        Some(Command::Status(args)) => status::run(&invocation, &args),
        Some(Command::History(args)) => history::run(&invocation, &args),
        Some(Command::Report(args)) => report::run(&invocation, &args),
        Some(Command::Log(args)) => log::run(&invocation, &args),
        Some(Command::Up(args)) => service::up(&invocation, &args),
        Some(Command::Down(args)) => service::down(&invocation, &args),
        Some(Command::Restart(args)) => service::restart(&invocation, &args),
        Some(Command::Ps(args)) => service::ps(&invocation, &args),
        Some(Command::Logs(args)) => service::logs(&invocation, &args),
        Some(Command::Wait(args)) => service::wait(&invocation, &args),
        Some(Command::Serve(args)) => service::supervise(&invocation, &args),
        Some(Command::Completions(args)) => complete::script(&args),
        Some(Command::Complete(args)) => complete::answer(&invocation, &args),
    }
}

/// Prints what clap has to say: help and version on standard output, mistakes on standard error with status 2.
fn clap_exit(error: &clap::Error) -> ExitCode {
    // A closed pipe is nobody's mistake.
    let _ = error.print();
    ExitCode::from(if error.use_stderr() { 2 } else { 0 })
}

/// Gathers what surrounds the program: the one place that reads the process environment.
fn context(place: &Place) -> std::io::Result<Context> {
    let started_in = std::env::current_dir()?;
    let cwd = match &place.directory {
        Some(dir) => {
            let cwd = started_in.join(dir);
            cwd.canonicalize().map_err(|error| {
                std::io::Error::new(
                    error.kind(),
                    format!("cannot work in the folder {}: {error}", dir.display()),
                )
            })?
        }
        None => started_in,
    };
    let caller: std::collections::BTreeMap<OsString, OsString> = std::env::vars_os().collect();
    let folder =
        |name: &str| caller.get(&OsString::from(name)).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache_dir = folder("ENVRUN_CACHE_DIR")
        .or_else(|| folder("XDG_CACHE_HOME").map(|dir| dir.join("envrun")))
        .or_else(|| folder("HOME").map(|dir| dir.join(".cache/envrun")))
        // Without a home results are still good for this project.
        .unwrap_or_else(|| cwd.join(".envrun/cache"));
    Ok(Context {
        // Asked of the system only by who starts a supervisor: where it does not say, the name is looked up.
        program: std::env::current_exe().unwrap_or_else(|_| PathBuf::from("envrun")),
        cwd,
        cache_dir,
        redactor: Redactor::default(),
        clock: Clock::System,
        host: host(),
        cores: || std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get),
        caller,
    })
}

#[cfg(unix)]
fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(not(unix))]
fn host() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_default()
}
