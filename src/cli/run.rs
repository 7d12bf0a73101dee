//! `envrun run`, which is what `envrun TARGET` means.

use std::ffi::OsString;
use std::sync::Arc;

use crate::engine::service::Hold;
use crate::model::EnvName;
use crate::ops::plan::of_deploys;
use crate::ops::run::{Request, run as run_request};
use crate::ops::seal::{Broken, sealed, tell};
use crate::ops::target::{Asked, declared};
use crate::ops::{Problem, Project};
use crate::plan::{Force, OnFailure};
use crate::report::Reporters;

use super::args::{CacheUse, OutputStyle, RunOptions};
use super::console::Console;
use super::notify::Notify;
use super::terminal::Stay;
use super::words::{TargetWords, WordsError, split};
use super::{Invocation, dev, help, list};

/// Nothing was up to date that was asked about (`-q`).
const EXIT_NOT_UP_TO_DATE: u8 = 4;

/// Runs what `words` name.
pub fn run(invocation: &Invocation<'_>, words: Vec<OsString>) -> Result<u8, Problem> {
    let words: Vec<String> = words
        .into_iter()
        .map(|word| {
            word.into_string().map_err(|word| {
                Problem::usage(
                    format!("`{}` is not UTF-8, and names of targets and arguments are", word.display()),
                    None,
                )
            })
        })
        .collect::<Result<_, _>>()?;
    let mut broken = None;
    if let Some(sealed) = sealed(invocation.context, invocation.place.file.as_deref(), &words, &mut broken)
        && let Ok(options) = super::words::options(&sealed.options)
    {
        tell(invocation.context, sealed, reporters(invocation, &options, Stay::Run)?);
        return Ok(0);
    }
    let basis = broken.as_ref().and_then(Broken::basis);
    let mut project = Project::open_known(invocation.context, invocation.place.file.as_deref(), basis)?;
    let default = default_env(&project, &words);
    let all = words;
    let words = split(&all, |name| declared(project.envfile(), name, default.as_ref()))
        .map_err(|error| words_problem(&error))?;
    let options = super::words::options(&words.options).map_err(|error| {
        Problem::usage(error.render().to_string().trim_start_matches("error: ").trim_end().to_owned(), None)
    })?;
    if let Some(target) = words.targets.iter().find(|target| target.help) {
        return help::print(invocation, &project, target, default.as_ref());
    }
    if options.watch {
        return dev::run(invocation, project, &options, words.targets);
    }
    if words.targets.is_empty() {
        return list::without_target(invocation, &project);
    }
    warn(invocation, &project, &options);
    let quiet = options.question;
    let mut request = request(&options, words.targets)?;
    request.prompt = invocation.terminal.prompt();
    request.words = Some((all, words.options));
    request.broken = broken.map(Arc::new);
    if options.dry_run
        && !options.json
        && options.screen.shown.output == OutputStyle::Auto
        && let Some(checklist) = of_deploys(invocation.context, &mut project, &request)?
    {
        let text = super::plan::text(&checklist);
        super::terminal::print(&invocation.context.redactor.text(&text))
            .map_err(|source| Problem::System { doing: "write to standard output", source })?;
        return Ok(0);
    }
    let mut reporters = reporters(invocation, &options, Stay::Run)?;
    if super::console::keys(invocation, options.screen.shown.output) && !quiet && !options.dry_run {
        let (terminal, clock) = (&invocation.terminal, &invocation.context.clock);
        let console = Console::new(terminal, clock, project.root(), true);
        terminal.watch_services(project.root());
        request.tenant = terminal.tenant();
        reporters.add("console", console.listener());
        console.run();
    }
    let (ending, _rest) = run_request(invocation.context, &mut project, &request, reporters)?;
    let exit =
        if quiet && ending.exit == 0 && ending.changed > 0 { EXIT_NOT_UP_TO_DATE } else { ending.exit };
    invocation.terminal.close();
    // The program ends here, before the project and the rest of the run are dropped: taking large ones apart piece by
    // piece is work for nobody.
    std::process::exit(i32::from(exit))
}

/// Who listens to a run with these options.
pub(super) fn reporters(
    invocation: &Invocation<'_>,
    options: &RunOptions,
    stay: Stay,
) -> Result<Reporters, Problem> {
    let mut reporters = Reporters::new(invocation.context.clock.clone());
    if !options.question {
        let output = if options.json { OutputStyle::Json } else { options.screen.shown.output };
        let shown = (output, options.screen.ui);
        let output = invocation.terminal.reporter_for(
            invocation.context,
            shown,
            options.screen.shown.verbose,
            stay,
        )?;
        reporters.add("output", output);
    }
    if options.notify {
        let bell = invocation.terminal.interactive.then(|| Box::new(std::io::stderr()) as Box<_>);
        reporters.add("notify", Box::new(Notify::new(bell)));
    }
    Ok(reporters)
}

/// The environment in which targets are looked up to know their arguments: the one of `-e`, wherever it stands.
fn default_env(project: &Project, words: &[String]) -> Option<EnvName> {
    let mut words = words.iter();
    let mut named = None;
    while let Some(word) = words.next() {
        named = match word.as_str() {
            "-e" | "--env" => words.next().cloned(),
            word => word.strip_prefix("--env=").or_else(|| word.strip_prefix("-e")).map(str::to_owned),
        }
        .or(named);
    }
    let named = named.as_deref().map(EnvName::from);
    named.or_else(|| project.envfile().default_env.as_ref().map(|env| env.value.clone()))
}

/// Why guards are passed by hand: a reason, not only a flag.
pub(super) fn glass_reason(given: Option<&str>) -> Result<Option<String>, Problem> {
    match given.map(str::trim) {
        Some("") => Err(Problem::usage(
            "`--break-glass` wants a reason",
            Some("say why in a few words: it is kept for ever".into()),
        )),
        reason => Ok(reason.map(str::to_owned)),
    }
}

pub(super) fn request(options: &RunOptions, targets: Vec<TargetWords>) -> Result<Request, Problem> {
    let set = pairs(&options.set)?;
    let force = match (options.force_all, options.force) {
        (true, _) => Force::All,
        (false, true) => Force::Targets,
        (false, false) => Force::Nothing,
    };
    Ok(Request {
        targets: targets.into_iter().map(|target| Asked { name: target.name, args: target.args }).collect(),
        env: options.env.clone(),
        stage: None,
        set,
        jobs: options.jobs,
        on_failure: if options.keep_going { OnFailure::KeepGoing } else { OnFailure::Finish },
        force,
        dry_run: options.dry_run || options.question,
        read_cache: matches!(options.cache, CacheUse::Rw | CacheUse::R),
        write_cache: matches!(options.cache, CacheUse::Rw | CacheUse::W),
        hold: Hold::Run,
        strict: options.strict,
        confirm: options.glass.confirm.clone(),
        prompt: None,
        tenant: None,
        break_glass: glass_reason(options.glass.break_glass.as_deref())?,
        words: None,
        held: Vec::new(),
        forced: None,
        broken: None,
        job: Default::default(),
        plan: None,
    })
}

/// The names and values of `--set`.
pub fn pairs(set: &[String]) -> Result<Vec<(String, String)>, Problem> {
    let pair = |pair: &String| match pair.split_once('=') {
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => Err(Problem::usage(
            format!("`--set {pair}` gives no value"),
            Some(format!("`--set {pair}=VALUE`")),
        )),
    };
    set.iter().map(pair).collect()
}

/// Warnings about the Envfile come before the run; with `-q` and `-o quiet` nobody wants them.
pub(super) fn warn(invocation: &Invocation<'_>, project: &Project, options: &RunOptions) {
    let quiet = options.question
        || options.strict
        || options.json
        || matches!(options.screen.shown.output, OutputStyle::Quiet | OutputStyle::Json);
    let warnings = &project.loaded.diagnostics;
    if !quiet && !warnings.is_empty() {
        let text =
            invocation.terminal.diagnostics(warnings, project.sources(), super::args::DiagnosticFormat::Auto);
        invocation.terminal.say(text.trim_end());
    }
}

pub fn words_problem(error: &WordsError) -> Problem {
    Problem::usage(error.message.clone(), error.hint.clone())
}
