//! The words of the command line: which are options of envrun, which are targets, which belong to a target.
//!
//! `envrun -j4 unit tests/a.py --coverage build -k` names two targets: `unit` with an argument and a flag of its own, and
//! `build`. Options of a run may stand anywhere; a word behind a target belongs to the target as long as it declares
//! positional arguments that are not yet given; what follows `--` belongs to the last target whatever it looks like.

use std::cell::LazyCell;
use std::ffi::OsString;

use clap::{Args, Command, FromArgMatches, Subcommand};

use crate::diag::did_you_mean;
use crate::model::{ArgKind, ArgSpec};

use super::args::{Place, RunOptions};

/// The words of a run, `run` itself left out: `envrun build` is `envrun run build`. `None` for every other command, and
/// where help or the version is asked for before a target is named.
pub fn of_run(args: &[OsString]) -> Option<Vec<OsString>> {
    // Most runs have no options, and nobody has to know which there are.
    let options = LazyCell::new(run_options);
    let mut at = 0;
    while let Some(word) = args.get(at) {
        let Some(word) = word.to_str().filter(|word| word.starts_with('-') && *word != "-" && *word != "--")
        else {
            break;
        };
        if ["-h", "--help", "-V", "--version"].contains(&word) {
            return None;
        }
        at += 1 + usize::from(takes_next(&options, word));
    }
    let first = args.get(at).and_then(|word| word.to_str());
    if first == Some("run") || first == Some("dev") {
        // `envrun dev build` is `envrun run --watch build`.
        let watch = (first == Some("dev")).then(|| OsString::from("--watch"));
        let after: Vec<OsString> =
            args[..at].iter().cloned().chain(watch).chain(args[at + 1..].iter().cloned()).collect();
        // `envrun run --help` is clap's to answer, `envrun run build --help` is the task's.
        return if args[at + 1..].is_empty() {
            Some(after)
        } else {
            of_run_after(&args[at + 1..], &options).then_some(after)
        };
    }
    // The value that the last option asks for may not be there.
    let at = at.min(args.len());
    // To put all commands together, only to ask for a name, would cost more than a run in which nothing changed.
    let known = first.is_some_and(super::args::Command::has_subcommand);
    let place = Place::augment_args(Command::new("place"));
    let of_a_run = |word: &OsString| {
        word.to_str().is_some_and(|word| word.starts_with('-') && option(&place, word).is_none())
    };
    // `envrun deploy` runs the node of that name; only with one of its own words it is the command.
    let own = ["resume", "back", "mend", "-h", "--help"];
    let next = args.get(at + 1).and_then(|word| word.to_str());
    let known = known && (first != Some("deploy") || next.is_some_and(|next| own.contains(&next)));
    (!known && (first.is_some() || args[..at].iter().any(of_a_run))).then(|| args.to_vec())
}

/// Behind `logs`, `-f` is `--follow`, as everywhere where logs are read; before it, it names the Envfile.
pub fn follow(args: &mut [OsString]) {
    if !args.iter().any(|word| word == "logs") {
        return;
    }
    let options = run_options();
    let mut at = 1;
    while let Some(word) = args.get(at).and_then(|word| word.to_str()).filter(|word| word.starts_with('-')) {
        at += 1 + usize::from(takes_next(&options, word));
    }
    if args.get(at).is_some_and(|word| word == "logs") {
        args[at..].iter_mut().filter(|word| *word == "-f").for_each(|word| *word = "--follow".into());
    }
}

/// Whether a target is named before help is asked for.
fn of_run_after(args: &[OsString], options: &Command) -> bool {
    let mut at = 0;
    while let Some(word) = args.get(at).and_then(|word| word.to_str()).filter(|word| word.starts_with('-')) {
        if ["-h", "--help"].contains(&word) {
            return false;
        }
        at += 1 + usize::from(takes_next(options, word));
    }
    true
}

/// Everything that may stand among the words of a run.
fn run_options() -> Command {
    Place::augment_args(RunOptions::augment_args(Command::new("envrun run")))
}

/// Where the words of a run say that the Envfile is. Behind a target only the short letters count: a task may have a flag
/// `--file` of its own.
pub fn place(words: &[OsString]) -> Result<Place, clap::Error> {
    let options = LazyCell::new(run_options);
    let place = Place::augment_args(Command::new("envrun run"));
    let mut found: Vec<OsString> = Vec::new();
    let mut behind_target = false;
    let mut words = words.iter().take_while(|word| *word != "--");
    while let Some(word) = words.next() {
        let Some(text) = word.to_str().filter(|text| text.starts_with('-') && text.len() > 1) else {
            behind_target = true;
            continue;
        };
        let ours = option(&place, text).is_some() && !(behind_target && text.starts_with("--"));
        if ours {
            found.push(word.clone());
        }
        if takes_next(&options, text)
            && let Some(value) = words.next()
            && ours
        {
            found.push(value.clone());
        }
    }
    Place::from_arg_matches(&place.no_binary_name(true).try_get_matches_from(found)?)
}

/// The option that a word such as `-j4`, `--jobs=4` or `-k` names, and its value if the word holds it.
fn option<'c, 'w>(options: &'c Command, word: &'w str) -> Option<(&'c clap::Arg, Option<&'w str>)> {
    if let Some(long) = word.strip_prefix("--") {
        let (name, value) = long.split_once('=').map_or((long, None), |(name, value)| (name, Some(value)));
        return options.get_arguments().find(|arg| arg.get_long() == Some(name)).map(|arg| (arg, value));
    }
    let mut letters = word.strip_prefix('-')?.chars();
    let letter = letters.next()?;
    let rest = letters.as_str();
    let arg = options.get_arguments().find(|arg| arg.get_short() == Some(letter))?;
    Some((arg, Some(rest).filter(|rest| !rest.is_empty())))
}

/// Whether an option takes the next word as its value. Of letters written together (`-kj4`) the last one may.
fn takes_next(options: &Command, word: &str) -> bool {
    match option(options, word) {
        Some((arg, None)) => arg.get_action().takes_values(),
        Some((arg, Some(rest))) if !word.starts_with("--") && !arg.get_action().takes_values() => {
            takes_next(options, &format!("-{rest}"))
        }
        _ => false,
    }
}

/// What the words behind the options come to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Words {
    /// The targets with their own words, in order.
    pub targets: Vec<TargetWords>,
    /// Words that are options of the run.
    pub options: Vec<String>,
}

/// A target and what was given to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetWords {
    /// As written: `prod.deploy`.
    pub name: String,
    /// Its arguments by name, as written.
    pub args: Vec<(String, String)>,
    /// `--help` stood behind it.
    pub help: bool,
}

/// Why the words cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct WordsError {
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

/// Sorts the words. `specs` tells the arguments that a target declares; an unknown target has none, and is found out
/// later with its nearest names.
pub fn split(words: &[String], specs: impl Fn(&str) -> Vec<ArgSpec>) -> Result<Words, WordsError> {
    let options = run_options();
    let mut out = Words::default();
    let mut declared: Vec<ArgSpec> = Vec::new();
    let mut words = words.iter();
    let mut only_args = false;
    while let Some(word) = words.next() {
        if word == "--" && !only_args {
            if out.targets.is_empty() {
                return Err(WordsError {
                    message: "`--` gives words to a target, and no target stands before it".into(),
                    hint: Some("`envrun TARGET -- ARGS`".into()),
                });
            }
            only_args = true;
            continue;
        }
        if word.starts_with('-') && word.len() > 1 {
            if let Some(target) = out.targets.last_mut() {
                if word == "--help" || word == "-h" {
                    target.help = true;
                    continue;
                }
                if let Some(taken) = flag(word, &declared, &mut words)? {
                    target.args.push(taken);
                    continue;
                }
            }
            if !only_args {
                if option(&options, word).is_none() {
                    return Err(unknown_option(word, out.targets.last(), &declared, &options));
                }
                out.options.push(word.clone());
                if takes_next(&options, word)
                    && let Some(value) = words.next()
                {
                    out.options.push(value.clone());
                }
                continue;
            }
        }
        let place = out.targets.last().and_then(|target| free_place(target, &declared));
        match (place, out.targets.last_mut()) {
            (Some((name, repeat)), Some(target)) => give(target, name, word, repeat),
            (None, Some(target)) if only_args => {
                return Err(WordsError {
                    message: match declared.is_empty() {
                        true => format!("`{}` takes no arguments, and `{word}` was given", target.name),
                        false => {
                            format!("`{}` does not take so many arguments: `{word}` is too many", target.name)
                        }
                    },
                    hint: Some(format!("`envrun {} --help`", target.name)),
                });
            }
            _ => {
                declared = specs(word);
                out.targets.push(TargetWords { name: word.clone(), args: Vec::new(), help: false });
            }
        }
    }
    Ok(out)
}

/// The first positional argument of a target that has no value yet, and whether it takes more than one.
fn free_place(target: &TargetWords, declared: &[ArgSpec]) -> Option<(String, bool)> {
    declared.iter().find_map(|spec| match spec.kind {
        ArgKind::Positional { repeat } => {
            let given = target.args.iter().any(|(name, _)| *name == spec.name.value);
            (!given || repeat).then(|| (spec.name.value.clone(), repeat))
        }
        _ => None,
    })
}

/// Gives a word to an argument; those that repeat are joined by newlines.
fn give(target: &mut TargetWords, name: String, word: &str, repeat: bool) {
    match target.args.iter_mut().find(|(known, _)| *known == name) {
        Some((_, value)) if repeat => {
            value.push('\n');
            value.push_str(word);
        }
        _ => target.args.push((name, word.to_owned())),
    }
}

/// A flag of the target's own.
fn flag<'a>(
    word: &str,
    declared: &[ArgSpec],
    words: &mut impl Iterator<Item = &'a String>,
) -> Result<Option<(String, String)>, WordsError> {
    let Some(long) = word.strip_prefix("--") else { return Ok(None) };
    let (name, value) =
        long.split_once('=').map_or((long, None), |(name, value)| (name, Some(value.to_owned())));
    let Some(spec) = declared.iter().find(|spec| spec.name.value == name) else { return Ok(None) };
    let value = match (spec.kind, value) {
        (ArgKind::Switch, None) => "true".to_owned(),
        (ArgKind::Switch, Some(value)) => match value.as_str() {
            "true" | "false" => value,
            _ => {
                return Err(WordsError {
                    message: format!("`--{name}` is a switch, and takes no value but `true` or `false`"),
                    hint: None,
                });
            }
        },
        (_, Some(value)) => value,
        (_, None) => words.next().cloned().ok_or_else(|| WordsError {
            message: format!("`--{name}` wants a value"),
            hint: Some(format!("`--{name}=VALUE`")),
        })?,
    };
    Ok(Some((name.to_owned(), value)))
}

fn unknown_option(
    word: &str,
    target: Option<&TargetWords>,
    declared: &[ArgSpec],
    options: &Command,
) -> WordsError {
    let name = word.trim_start_matches('-').split('=').next().unwrap_or_default();
    let known = options
        .get_arguments()
        .filter_map(clap::Arg::get_long)
        .chain(declared.iter().map(|spec| spec.name.value.as_str()));
    let message = match target {
        Some(target) => format!("neither `{}` nor envrun has an option `{word}`", target.name),
        None => format!("envrun has no option `{word}`"),
    };
    let nearest = did_you_mean(name, known).map(|meant| meant.replacen('`', "`--", 1));
    let hint = nearest.or_else(|| target.map(|target| format!("`envrun {} --help`", target.name)));
    WordsError { message, hint }
}

/// Reads the options of a run, wherever they stood.
pub fn options(words: &[String]) -> Result<RunOptions, clap::Error> {
    RunOptions::from_arg_matches(&run_options().no_binary_name(true).try_get_matches_from(words)?)
}
