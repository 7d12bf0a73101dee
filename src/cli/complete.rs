//! Completion: the scripts of the shells, and the answer they ask for.
//!
//! A script knows nothing but how to ask: `envrun __complete WORDS…` answers with one `word<TAB>description` per line. So
//! environments, tasks and their arguments are always those of the Envfile as it is now.

use std::fmt::Write as _;

use clap::CommandFactory;

use crate::ops::complete::{self, Candidate};
use crate::ops::target::declared;
use crate::ops::{Problem, Project};

use super::args::{Cli, CompleteArgs, CompletionsArgs, Shell};
use super::{Invocation, terminal};

const BASH: &str = r#"_envrun() {
    local line word cur="${COMP_WORDS[COMP_CWORD]}" prefix=""
    local -a words=("${COMP_WORDS[@]:1:COMP_CWORD}")
    # bash cuts words at `:` and `=`; envrun wants them whole, and bash wants only what is behind the last cut.
    local whole="${COMP_LINE:0:COMP_POINT}"
    whole="${whole##*[[:space:]]}"
    if [[ "$whole" != "$cur" ]]; then
        read -ra words <<< "${COMP_LINE:0:COMP_POINT}"
        words=("${words[@]:1}")
        prefix="${whole%"${whole##*[:=]}"}"
    fi
    COMPREPLY=()
    while IFS= read -r line; do
        word="${line%%$'\t'*}"
        COMPREPLY+=("${word#"$prefix"}")
    done < <(envrun __complete -- "${words[@]}" 2>/dev/null)
    if [[ ${#COMPREPLY[@]} -eq 1 && "${COMPREPLY[0]}" == *[.=:] ]]; then compopt -o nospace; fi
}
complete -o bashdefault -o default -F _envrun envrun
"#;

const ZSH: &str = r#"#compdef envrun
_envrun() {
    local line
    local -a found nospace
    while IFS= read -r line; do
        local word="${line%%$'\t'*}" desc="${line#*$'\t'}"
        if [[ "$word" == *[.=] ]]; then
            nospace+=("${word//:/\\:}:$desc")
        else
            found+=("${word//:/\\:}:$desc")
        fi
    done < <(envrun __complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)
    _describe -t targets target found
    _describe -t environments environment nospace -S ''
    (( ${#found} + ${#nospace} )) || _files
}
if [ "$funcstack[1]" = "_envrun" ]; then _envrun "$@"; else compdef _envrun envrun; fi
"#;

const FISH: &str = r#"function __envrun_complete
    set -l words (commandline -opc) (commandline -ct)
    envrun __complete -- $words[2..-1] 2>/dev/null
end
complete -c envrun -f -a '(__envrun_complete)'
"#;

/// `envrun completions SHELL`.
pub fn script(args: &CompletionsArgs) -> Result<u8, Problem> {
    let text = match args.shell {
        Shell::Bash => BASH,
        Shell::Zsh => ZSH,
        Shell::Fish => FISH,
    };
    show(text)
}

/// `envrun __complete`.
pub fn answer(invocation: &Invocation<'_>, args: &CompleteArgs) -> Result<u8, Problem> {
    let words: Vec<String> = args.words.iter().skip_while(|word| *word == "--").cloned().collect();
    let mut text = String::new();
    for Candidate { word, desc } in candidates(invocation, &words) {
        let _ = writeln!(text, "{word}\t{}", desc.lines().next().unwrap_or_default());
    }
    show(&text)
}

fn show(text: &str) -> Result<u8, Problem> {
    terminal::print(text).map_err(|source| Problem::System { doing: "write to standard output", source })?;
    Ok(0)
}

/// Commands that name services, or an environment and services in it.
const SERVICES: &[&str] = &["up", "down", "restart", "ps", "logs", "wait"];

fn candidates(invocation: &Invocation<'_>, words: &[String]) -> Vec<Candidate> {
    let (current, before) =
        words.split_last().map_or(("", &[][..]), |(last, before)| (last.as_str(), before));
    let cli = Cli::command();
    let (place, rest) = place_of(before);
    let context = match &place.directory {
        Some(dir) => {
            crate::ops::Context { cwd: invocation.context.cwd.join(dir), ..invocation.context.clone() }
        }
        None => invocation.context.clone(),
    };
    let file = place.file.or_else(|| invocation.place.file.clone());
    // An Envfile with errors still has names.
    let project = Project::open_with_errors(&context, file.as_deref()).ok();
    let envfile = project.as_ref().map(Project::envfile);
    let previous = before.last().map(String::as_str).unwrap_or_default();

    if let "-o" | "--output" | "--ui" = previous {
        let long = if previous == "--ui" { "ui" } else { "output" };
        let run = cli.find_subcommand("run").into_iter().flat_map(clap::Command::get_arguments);
        let values =
            run.filter(|option| option.get_long() == Some(long)).flat_map(clap::Arg::get_possible_values);
        let mut values: Vec<Candidate> = values
            .map(|value| {
                let desc = value.get_help().map(ToString::to_string).unwrap_or_default();
                Candidate::new(value.get_name().to_owned(), desc)
            })
            .collect();
        values.retain(|value| value.word.starts_with(current));
        return values;
    }
    if let Some(envfile) = envfile {
        match previous {
            "-e" | "--env" => return complete::environments(envfile, current),
            "-s" | "--set" => {
                return match current.split_once('=') {
                    Some((name, _)) => {
                        let mut values = complete::values(envfile, name);
                        values.retain(|value| value.word.starts_with(current));
                        values
                    }
                    None => complete::variables(envfile, current),
                };
            }
            _ => {}
        }
    }
    let subcommand = rest.first().and_then(|first| cli.find_subcommand(first));
    let is_dev = subcommand.is_some_and(|command| command.get_name() == "dev");
    let is_run = is_dev || subcommand.is_none_or(|command| command.get_name() == "run");
    let mut found = Vec::new();
    if current.starts_with('-') {
        let inner = subcommand.and_then(|command| command.find_subcommand(rest.get(1)?));
        let command = if is_run { cli.find_subcommand("run") } else { inner.or(subcommand) };
        let options = command.into_iter().chain([&cli]).flat_map(|command| command.get_arguments());
        for option in options {
            let Some(long) = option.get_long() else { continue };
            let desc = option.get_help().map(ToString::to_string).unwrap_or_default();
            found.push(Candidate::new(format!("--{long}"), desc));
        }
        found.retain(|candidate| candidate.word.starts_with(current));
    }
    let outer = if rest.is_empty() { Some(&cli) } else { subcommand.filter(|_| rest.len() == 1) };
    if let Some(outer) = outer.filter(|_| !current.starts_with('-')) {
        for command in outer.get_subcommands().filter(|command| !command.is_hide_set()) {
            if command.get_name().starts_with(current) {
                found.push(Candidate::new(
                    command.get_name(),
                    command.get_about().map(ToString::to_string).unwrap_or_default(),
                ));
            }
        }
    }
    if subcommand.is_some_and(|command| command.get_name() == "completions") {
        found.extend(["bash", "zsh", "fish"].map(|shell| Candidate::new(shell, "")));
        found.retain(|candidate| candidate.word.starts_with(current));
    }
    let Some(envfile) = envfile else { return found };
    if subcommand.is_some_and(|command| command.get_name() == "secret") {
        match rest.len() {
            1 => {
                for verb in subcommand.into_iter().flat_map(clap::Command::get_subcommands) {
                    let about = verb.get_about().map(ToString::to_string).unwrap_or_default();
                    found.push(Candidate::new(verb.get_name(), about));
                }
                found.retain(|candidate| candidate.word.starts_with(current));
            }
            2 if !envfile.environments.is_empty() => found.extend(complete::environments(envfile, current)),
            _ => found.extend(complete::secrets(envfile, rest.get(2).map(String::as_str), current)),
        }
        return found;
    }
    let of_environment = |name: &str| ["doctor", "rollback", "status", "history", "report"].contains(&name);
    if subcommand.is_some_and(|command| of_environment(command.get_name())) {
        if !current.starts_with('-') {
            found.extend(complete::environments(envfile, current));
        }
        return found;
    }
    if subcommand.is_some_and(|command| command.get_name() == "env") {
        found.extend(complete::environment_words(envfile, &rest[1..], current));
        return found;
    }
    if let Some(command) = subcommand.filter(|command| SERVICES.contains(&command.get_name())) {
        if current.starts_with('-') {
            return found;
        }
        found.extend(match command.get_name() {
            "ps" => complete::environments(envfile, current),
            _ => complete::services(envfile, rest.get(1).map(String::as_str), current),
        });
        return found;
    }
    if subcommand.is_some_and(|command| command.get_name() == "schedule") {
        let platforms = || {
            let export = subcommand.and_then(|command| command.find_subcommand("export"));
            let platform = export.into_iter().flat_map(clap::Command::get_positionals).next();
            platform.map(clap::Arg::get_possible_values).unwrap_or_default()
        };
        let about = |value: &clap::builder::PossibleValue| {
            value.get_help().map(ToString::to_string).unwrap_or_default()
        };
        let words: Vec<Candidate> = match rest.get(1).map(String::as_str) {
            _ if current.starts_with('-') => Vec::new(),
            None => {
                let verbs = subcommand.into_iter().flat_map(clap::Command::get_subcommands);
                verbs
                    .map(|verb| {
                        let about = verb.get_about().map(ToString::to_string).unwrap_or_default();
                        Candidate::new(verb.get_name(), about)
                    })
                    .collect()
            }
            Some("export") if rest.len() == 2 => {
                platforms().iter().map(|value| Candidate::new(value.get_name(), about(value))).collect()
            }
            Some("export") => complete::schedules(envfile),
            Some(_) => Vec::new(),
        };
        for word in words.into_iter().filter(|word| word.word.starts_with(current)) {
            if !found.contains(&word) {
                found.push(word);
            }
        }
        return found;
    }
    if subcommand.is_some_and(|command| command.get_name() == "stage") {
        if !current.starts_with('-') {
            found.extend(complete::stages(envfile, current));
        }
        return found;
    }
    if subcommand.is_some_and(|command| command.get_name() == "deploy") && !current.starts_with('-') {
        // `envrun deploy` is a target too; only behind one of its words an environment follows.
        if rest.len() > 1 {
            found.extend(complete::environments(envfile, current));
        } else {
            found.push(Candidate::new("resume", "go on with a deploy that was cut short"));
            found.push(Candidate::new("back", "take a deploy back that was cut short"));
            found.push(Candidate::new("mend", "put a ledger in order that is damaged or differs"));
            found.retain(|candidate| candidate.word.starts_with(current));
        }
        return found;
    }
    let takes_targets = is_run
        || subcommand
            .is_some_and(|command| ["show", "why", "graph", "audit", "plan"].contains(&command.get_name()));
    if !takes_targets {
        return found;
    }
    let default = envfile.default_env.as_ref().map(|env| env.value.clone());
    let target_words: Vec<String> = rest.iter().skip(usize::from(subcommand.is_some())).cloned().collect();
    // The last word that is a target with arguments owns what follows it.
    let owner = target_words.iter().rposition(|word| !declared(envfile, word, default.as_ref()).is_empty());
    if let Some(at) = owner {
        let specs = declared(envfile, &target_words[at], default.as_ref());
        found.extend(complete::arguments(&specs, &target_words[at + 1..], current));
    }
    if !current.starts_with('-') {
        if is_dev && target_words.is_empty() {
            found.extend(complete::environments(envfile, current));
        }
        found.extend(complete::targets(envfile, current));
    }
    found
}

/// The `-C` and `-f` among the words, and the words without options.
fn place_of(words: &[String]) -> (super::args::Place, Vec<String>) {
    let mut place = super::args::Place::default();
    let mut rest = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "-C" | "--directory" => place.directory = words.next().map(Into::into),
            "-f" | "--file" => place.file = words.next().map(Into::into),
            "-e" | "--env" | "-s" | "--set" | "-j" | "--jobs" | "-o" | "--output" | "--ui" => {
                words.next();
            }
            word if word.starts_with('-') && rest.is_empty() => {}
            word => rest.push(word.to_owned()),
        }
    }
    (place, rest)
}
