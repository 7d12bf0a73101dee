//! `envrun secret`: look at the secrets of an environment, set, get, make, replace and edit them.

use std::collections::BTreeSet;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{BufRead, IsTerminal, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Command as Process;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use rustix::termios::{LocalModes, OptionalActions, Termios};

use crate::base::fs::{FsError, temporary_name};
use crate::exec::{Processes, Signals};
use crate::model::{EnvName, Rotate};
use crate::ops::secret::{
    Edit, Listed, OVERDUE, Rotated, Rotation, generate_missing, get, list, rotate, set, show_age,
};
use crate::ops::target::environment;
use crate::ops::{Problem, Project};
use crate::record::STATE_DIR;
use crate::report::Reporters;
use crate::secret::redact::SHORTEST;

use super::args::{OutputStyle, SecretArgs, SecretCommand, TextOrJson};
use super::env::chosen;
use super::{Invocation, terminal};

/// A store is not used as it is.
const EXIT_REFUSED: u8 = 3;
/// A secret could not be replaced, and has the value that it had.
const EXIT_BACK: u8 = 5;
/// Nobody knows which value its owner has.
const EXIT_BROKEN: u8 = 6;
/// Ctrl-C while a value was typed.
const EXIT_INTERRUPTED: i32 = 130;

/// `envrun secret`.
pub fn run(invocation: &Invocation<'_>, args: &SecretArgs) -> Result<u8, Problem> {
    let context = invocation.context;
    let mut project = Project::open(context, invocation.place.file.as_deref())?;
    let project = &mut project;
    match &args.command {
        SecretCommand::List(args) => {
            let env = chosen(invocation, project, args.environment.as_deref())?;
            let rows = list(context, project, env)?;
            match args.format {
                TextOrJson::Json => print(&super::env::json(&rows))?,
                TextOrJson::Text if rows.is_empty() => {
                    invocation.terminal.say("the Envfile declares no secret");
                    0
                }
                TextOrJson::Text => print(&text(&rows, |text| invocation.terminal.bold_out(text)))?,
            };
            let hints: BTreeSet<&String> =
                rows.iter().filter_map(|row| row.unread.as_ref()?.as_ref()).collect();
            hints.iter().for_each(|hint| invocation.terminal.say(&format!("hint: {hint}")));
            Ok(if rows.iter().any(|row| row.unread.is_some()) { EXIT_REFUSED } else { 0 })
        }
        SecretCommand::Set(args) => {
            let (env, name) = one(invocation, project, &args.words, "set")?;
            let value = asked(invocation, env.as_ref(), name)?;
            let place = set(context, project, env, name, &value)?;
            invocation.terminal.say(&format!("`{name}` is stored in {place}"));
            if value.trim().len() < SHORTEST {
                invocation.terminal.say(&format!(
                    "notice: it is shorter than {SHORTEST} bytes, and too short to be hidden in what is printed"
                ));
            }
            Ok(0)
        }
        SecretCommand::Get(args) => {
            let (env, name) = one(invocation, project, &args.words, "get")?;
            let value = get(context, project, env, name)?;
            print(&format!("{value}\n"))
        }
        SecretCommand::Generate(args) => {
            let env = chosen(invocation, project, args.environment.as_deref())?;
            let said = generate_missing(context, project, env)?;
            if said.is_empty() {
                invocation.terminal.say("nothing is missing that could be made");
            }
            said.iter().for_each(|message| invocation.terminal.say(message));
            Ok(0)
        }
        SecretCommand::Rotate(args) => {
            let (env, names) = words(invocation, project, &args.words)?;
            rotated(invocation, project, env.as_ref(), names, args.due)
        }
        SecretCommand::Edit(args) => {
            let env = chosen(invocation, project, args.environment.as_deref())?;
            edit(invocation, project, env)
        }
    }
}

fn print(text: &str) -> Result<u8, Problem> {
    terminal::print(text).map_err(|source| Problem::System { doing: "write to standard output", source })?;
    Ok(0)
}

/// The environment that the first word names, and the words behind it. Where no environment is declared, all are names.
fn words<'w>(
    invocation: &Invocation<'_>,
    project: &Project,
    words: &'w [String],
) -> Result<(Option<EnvName>, &'w [String]), Problem> {
    let envfile = project.envfile();
    if envfile.environments.is_empty() {
        return Ok((None, words));
    }
    match words {
        [first, rest @ ..] if envfile.environments.contains_key(first.as_str()) || !rest.is_empty() => {
            Ok((Some(environment(envfile, first)?), rest))
        }
        _ => Ok((chosen(invocation, project, None)?, words)),
    }
}

fn one<'w>(
    invocation: &Invocation<'_>,
    project: &Project,
    given: &'w [String],
    verb: &str,
) -> Result<(Option<EnvName>, &'w str), Problem> {
    let (env, names) = words(invocation, project, given)?;
    let usage = if project.envfile().environments.is_empty() {
        format!("`envrun secret {verb} NAME`")
    } else {
        format!("`envrun secret {verb} ENV NAME`")
    };
    match names {
        [name] => Ok((env, name)),
        [] => Err(Problem::usage("which secret?", Some(usage))),
        // The words themselves may be a secret by now, and are not repeated.
        _ => Err(Problem::usage(
            "too many words: a value is never an argument, where everybody on this machine could read it",
            Some(format!("{usage} asks for it, or reads it from standard input")),
        )),
    }
}

/// The value: typed without being shown, or all of standard input without its last newline.
pub fn asked(invocation: &Invocation<'_>, env: Option<&EnvName>, name: &str) -> Result<String, Problem> {
    let system = |source| Problem::System { doing: "read standard input", source };
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        let mut bytes = Vec::new();
        stdin.lock().read_to_end(&mut bytes).map_err(system)?;
        let text = String::from_utf8(bytes).map_err(|_| {
            Problem::usage(
                format!("the value of `{name}` is not UTF-8"),
                Some("encode it, for instance with `base64`".into()),
            )
        })?;
        let text = text.strip_suffix('\n').unwrap_or(&text);
        return Ok(text.strip_suffix('\r').unwrap_or(text).to_owned());
    }
    let place = env.map_or_else(String::new, |env| format!(" in {env}"));
    let hidden = Hidden::begin();
    // Only now: whoever types at once must not see it.
    let _ = write!(std::io::stderr(), "{name}{place} (not shown): ");
    let mut line = String::new();
    let read = stdin.lock().read_line(&mut line);
    drop(hidden);
    invocation.terminal.say("");
    read.map_err(system)?;
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}

/// As long as it lives, keys are not shown; nor is the terminal left like that by a signal.
struct Hidden {
    before: Option<Termios>,
    _signals: Option<Signals>,
}

impl Hidden {
    fn begin() -> Self {
        let stdin = rustix::stdio::stdin();
        let before = rustix::termios::tcgetattr(stdin).ok();
        let mut signals = None;
        if let Some(before) = before.clone() {
            let mut silent = before.clone();
            silent.local_modes.remove(LocalModes::ECHO);
            signals = Signals::listen(Processes::new(Duration::ZERO), move |_, _| {
                show(&before);
                let _ = writeln!(std::io::stderr());
                std::process::exit(EXIT_INTERRUPTED);
            })
            .ok();
            let _ = rustix::termios::tcsetattr(stdin, OptionalActions::Flush, &silent);
        }
        Self { before, _signals: signals }
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            show(before);
        }
    }
}

/// The terminal as it was.
fn show(before: &Termios) {
    let _ = rustix::termios::tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, before);
}

fn rotated(
    invocation: &Invocation<'_>,
    project: &mut Project,
    env: Option<&EnvName>,
    names: &[String],
    due: bool,
) -> Result<u8, Problem> {
    let mut reporters = || {
        let mut reporters = Reporters::new(invocation.context.clock.clone());
        reporters.add("output", invocation.terminal.reporter(invocation.context, OutputStyle::Auto, false));
        reporters
    };
    let mut rotation =
        Rotation { reporters: &mut reporters, say: &mut |message| invocation.terminal.say(message) };
    let done = rotate(invocation.context, project, env, names, due, &mut rotation)?;
    if done.is_empty() {
        invocation.terminal.say("nothing is due");
    }
    let mut exit = 0;
    for (name, rotated) in done {
        let message = match rotated {
            Rotated::Done => format!("`{name}` has a new value"),
            Rotated::Back(failed) => {
                exit = exit.max(EXIT_BACK);
                format!("`{name}` has the value that it had: {failed}")
            }
            Rotated::Broken(failed) => {
                exit = exit.max(EXIT_BROKEN);
                format!("`{name}`: {failed}")
            }
        };
        invocation.terminal.say(&message);
    }
    Ok(exit)
}

/// A folder for nobody else's eyes, gone when it is dropped with all that an editor may have left in it.
struct Private(PathBuf);

impl Private {
    fn new(folder: &Path) -> Result<Self, FsError> {
        let fail = |error| FsError::new("create the folder", folder, error);
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(fail)?;
        let inner = folder.join(temporary_name("edit".as_ref()));
        DirBuilder::new().mode(0o700).create(&inner).map_err(fail)?;
        Ok(Self(inner))
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        // Nobody can do more about a folder that cannot be removed.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn edit(invocation: &Invocation<'_>, project: &mut Project, env: Option<EnvName>) -> Result<u8, Problem> {
    let context = invocation.context;
    let set = |name: &str| context.caller_text(name).filter(|value| !value.trim().is_empty());
    let editor = set("VISUAL").or_else(|| set("EDITOR")).unwrap_or_else(|| "vi".into());
    let edit = Edit::begin(context, project, env)?;
    let folder = project.root().join(STATE_DIR).join("secrets");
    let private = Private::new(&folder)?;
    let file = private.0.join("secrets.env");
    let mut options = OpenOptions::new();
    let created = options.write(true).create_new(true).mode(0o600).open(&file);
    created
        .and_then(|mut out| out.write_all(edit.text.as_bytes()))
        .map_err(|error| FsError::new("write", &file, error))?;
    // Ctrl-C is the editor's: envrun has to live to clean up behind it.
    let held = [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP]
        .map(|signal| signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false))));
    let status = Process::new("sh").args(["-c", &format!("{editor} \"$1\""), "sh"]).arg(&file).status();
    for id in held.into_iter().flatten() {
        signal_hook::low_level::unregister(id);
    }
    let status = status.map_err(|source| Problem::System { doing: "start the editor", source })?;
    if !status.success() {
        return Err(Problem::usage(
            format!("the editor `{editor}` failed ({status}): nothing was changed"),
            Some("name another in `EDITOR`".into()),
        ));
    }
    let text = std::fs::read_to_string(&file).map_err(|error| FsError::new("read", &file, error))?;
    drop(private);
    let unchanged = text == edit.text;
    let changed = if unchanged { Vec::new() } else { edit.finish(context, project, &text)? };
    invocation.terminal.say(&match changed.as_slice() {
        [] => "nothing was changed".to_owned(),
        names => format!("changed: {}", names.join(", ")),
    });
    Ok(0)
}

/// A day, in seconds.
const DAY: u64 = 86_400;

fn text(rows: &[Listed], bold: impl Fn(&str) -> String) -> String {
    let cells = |row: &Listed| {
        let name = match &row.project {
            Some(project) => format!("{project}:{}", row.name),
            None => row.name.clone(),
        };
        let duration = |seconds: u64| show_age(std::time::Duration::from_secs(seconds));
        // A day that has begun is a day that is left: what was made a moment ago is due in all of its `rotate=`.
        let left = |seconds: u64| {
            if seconds > DAY { duration(seconds.div_ceil(DAY) * DAY) } else { duration(seconds) }
        };
        let age = |seconds: u64| if seconds == 0 { "now".to_owned() } else { duration(seconds) };
        let due = match row.due_in_seconds {
            Some(seconds) if seconds >= 0 => format!("in {}", left(seconds.unsigned_abs())),
            Some(over) => format!("overdue {}", duration(over.unsigned_abs())),
            None if row.present == Some(true) && matches!(row.rotate, Some(Rotate::After(_))) => {
                "unknown".into()
            }
            None => "-".into(),
        };
        // What stands under DUE is not said twice.
        let is_due = row.due_in_seconds.is_some_and(|left| left < 0);
        let problem = row.problem.clone().filter(|problem| !is_due || !problem.starts_with(OVERDUE));
        vec![
            name,
            match row.present {
                Some(true) => "yes",
                Some(false) if row.optional => "optional",
                Some(false) => "no",
                None => "?",
            }
            .to_owned(),
            row.from.clone(),
            row.age_seconds.map_or_else(|| "-".into(), age),
            due,
            problem.unwrap_or_default(),
        ]
    };
    let rows: Vec<_> = rows.iter().map(cells).collect();
    super::env::table(&["SECRET", "PRESENT", "FROM", "AGE", "DUE", ""], &rows, bold)
}
