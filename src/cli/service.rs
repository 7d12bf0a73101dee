//! `envrun up`, `down`, `restart`, `ps`, `logs`, `wait`: the services of an environment.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Instant;

use crate::base::Timestamp;
use crate::base::unit::{parse_duration, show_duration, show_size};
use crate::model::EnvName;
use crate::ops::run::{Request, run as run_request};
use crate::ops::service::{self, Chosen, Listing, choose_each};
use crate::ops::target::environment;
use crate::ops::{Problem, Project};
use crate::plan::OnFailure;
use crate::report::Reporters;
use crate::service::log::LogReader;
use crate::service::{Exit, Place, Served, Status, serve};

use super::args::{DownArgs, LogsArgs, PsArgs, RestartArgs, ServeArgs, TextOrJson, UpArgs, WaitArgs};
use super::console::{Console, keys};
use super::run::pairs;
use super::terminal::Stay;
use super::{Invocation, terminal};

/// The services that are meant, by environment; if `match` chose that, it is told.
fn meant(invocation: &Invocation<'_>, project: &Project, words: &[String]) -> Result<Vec<Chosen>, Problem> {
    let each = choose_each(invocation.context, project, words)?;
    each.iter().flat_map(|one| &one.chosen).for_each(|chosen| invocation.terminal.using(chosen));
    Ok(each)
}

/// `envrun up`.
pub fn up(invocation: &Invocation<'_>, args: &UpArgs) -> Result<u8, Problem> {
    let context = invocation.context;
    let mut project = Project::open(context, invocation.place.file.as_deref())?;
    let chosen = meant(invocation, &project, &args.words)?;
    let request = Request {
        env: chosen.iter().find_map(|chosen| chosen.env.as_ref()).map(ToString::to_string),
        set: pairs(&args.set)?,
        on_failure: OnFailure::KeepGoing,
        dry_run: args.dry_run,
        read_cache: true,
        write_cache: true,
        hold: service::hold(args.attach),
        ..Request::default()
    };
    let request = service::up(context, &mut project, &chosen, request)?;
    let mut reporters = Reporters::new(context.clock.clone());
    let stay = if args.attach { Stay::Session } else { Stay::Run };
    let output = invocation.terminal.reporter_for(
        context,
        (args.screen.shown.output, args.screen.ui),
        args.screen.shown.verbose,
        stay,
    )?;
    reporters.add("output", output);
    let console = Console::new(
        invocation.terminal,
        &context.clock,
        project.root(),
        keys(invocation, args.screen.shown.output),
    );
    invocation.terminal.watch_services(project.root());
    reporters.add("console", console.listener());
    console.services(chosen.iter().flat_map(Chosen::labels).collect());
    let request = Request { tenant: invocation.terminal.tenant(), ..request };
    let (ending, _rest) = run_request(context, &mut project, &request, reporters)?;
    Ok(ending.exit)
}

/// `envrun down`.
pub fn down(invocation: &Invocation<'_>, args: &DownArgs) -> Result<u8, Problem> {
    let mut project = Project::open(invocation.context, invocation.place.file.as_deref())?;
    let chosen = meant(invocation, &project, &args.words)?;
    // In reverse order: an environment is named behind those that it rests on.
    for chosen in chosen.iter().rev() {
        let stopped = service::down(invocation.context, &mut project, chosen)?;
        if stopped.is_empty() {
            let elsewhere = service::up_elsewhere(&project, chosen.env.as_ref());
            let hint = |env: &EnvName| format!("\nhint: in `{env}` there is: `envrun down {env}`");
            let hint: String = elsewhere.iter().map(hint).collect();
            let whose = chosen.env.as_ref().map(|env| format!(" in `{env}`")).unwrap_or_default();
            invocation.terminal.say(&format!("no service is up{whose}{hint}"));
        }
        for label in stopped {
            invocation.terminal.say(&format!("{label} stopped"));
        }
    }
    Ok(0)
}

/// `envrun restart`.
pub fn restart(invocation: &Invocation<'_>, args: &RestartArgs) -> Result<u8, Problem> {
    let project = Project::open(invocation.context, invocation.place.file.as_deref())?;
    let chosen = meant(invocation, &project, &args.words)?;
    for chosen in &chosen {
        service::restart(&project, chosen, &mut |status| {
            invocation.terminal.say(&format!("{} {}{}", status.label, status.state.word(), urls(status)));
        })?;
    }
    Ok(0)
}

/// `envrun wait`.
pub fn wait(invocation: &Invocation<'_>, args: &WaitArgs) -> Result<u8, Problem> {
    let project = Project::open(invocation.context, invocation.place.file.as_deref())?;
    let chosen = meant(invocation, &project, &args.words)?;
    let timeout = match &args.timeout {
        None => None,
        Some(text) => Some(parse_duration(text).ok_or_else(|| {
            Problem::usage(format!("`{text}` is not a duration"), Some("write `30s`, `5m`, `1h`".into()))
        })?),
    };
    let until = timeout.map(|timeout| Instant::now() + timeout);
    for chosen in &chosen {
        for status in service::wait(&project, chosen, until)? {
            invocation.terminal.say(&format!("{} {}{}", status.label, status.state.word(), urls(&status)));
        }
    }
    Ok(0)
}

/// `envrun ps`.
pub fn ps(invocation: &Invocation<'_>, args: &PsArgs) -> Result<u8, Problem> {
    let project = Project::open(invocation.context, invocation.place.file.as_deref())?;
    let named = args.environments.iter().map(|env| environment(project.envfile(), env));
    let envs: Vec<EnvName> = named.collect::<Result<_, _>>()?;
    let listings = service::list(&project, &envs)?;
    match args.format {
        TextOrJson::Json => {
            let text = serde_json::to_string_pretty(&listings).expect("a listing has only string keys");
            print(&format!("{text}\n"))
        }
        TextOrJson::Text if listings.iter().all(|listing| listing.services.is_empty()) => {
            invocation.terminal.say("no service was started here yet");
            Ok(0)
        }
        TextOrJson::Text => {
            let text = table(&listings, invocation.context.clock.now());
            for listing in listings.iter().filter(|listing| !listing.kept) {
                let left = listing.services.iter().filter(|status| !status.state.is_over());
                let left: Vec<&str> = left.map(|status| status.label.as_str()).collect();
                if !left.is_empty() {
                    let env = listing.env.as_ref().map(|env| format!(" {env}")).unwrap_or_default();
                    invocation.terminal.say(&format!(
                        "left by an earlier envrun that was killed: {}\nhint: `envrun down{env}` ends it, `envrun up{env}` starts it anew",
                        left.join(", ")
                    ));
                }
            }
            print(&text)
        }
    }
}

fn print(text: &str) -> Result<u8, Problem> {
    terminal::print(text).map_err(|source| Problem::System { doing: "write to standard output", source })?;
    Ok(0)
}

fn table(listings: &[Listing], now: Timestamp) -> String {
    rows(listings.iter().flat_map(|listing| &listing.services), now)
}

/// Services as a table, as `envrun ps` has it.
pub fn statuses_table(statuses: &[Status], now: Timestamp) -> String {
    rows(statuses.iter(), now)
}

fn rows<'a>(statuses: impl Iterator<Item = &'a Status>, now: Timestamp) -> String {
    let mut rows = vec![
        ["SERVICE", "STATE", "SINCE", "PID", "CPU", "MEMORY", "RESTARTS", "LAST EXIT", "URL"]
            .map(str::to_owned),
    ];
    rows.extend(statuses.map(|status| row(status, now)));
    let widths: Vec<usize> = (0..rows[0].len())
        .map(|at| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        let _ = writeln!(text, "{}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
    text
}

fn row(status: &Status, now: Timestamp) -> [String; 9] {
    let dash = || "-".to_owned();
    let since = status.ready.or(status.started).filter(|_| !status.state.is_over());
    let exit = |exit: &Exit| match exit {
        Exit::Status { status } => status.to_string(),
        Exit::Signal { signal } => signal_hook::low_level::signal_name(*signal)
            .map_or_else(|| format!("signal {signal}"), str::to_owned),
        Exit::Told => dash(),
        Exit::TimedOut { .. } => "timeout".to_owned(),
        Exit::NotStarted { .. } => "not started".to_owned(),
    };
    let url = status.urls.iter().map(|link| link.url.as_str()).collect::<Vec<_>>().join(" ");
    [
        status.label.clone(),
        status.state.word().to_owned(),
        since.map_or_else(dash, |since| show_duration(now.since(since))),
        status.process.map_or_else(dash, |process| process.pid.to_string()),
        status.load.map_or_else(dash, |load| format!("{}.{}%", load / 10, load % 10)),
        status.usage.map_or_else(dash, |usage| show_size(usage.memory)),
        status.restarts.to_string(),
        status.last_exit.as_ref().map_or_else(dash, exit),
        if url.is_empty() { dash() } else { url },
    ]
}

fn urls(status: &Status) -> String {
    status.urls.iter().map(|link| format!("  {}", link.url)).collect()
}

/// `envrun logs`.
pub fn logs(invocation: &Invocation<'_>, args: &LogsArgs) -> Result<u8, Problem> {
    let project = Project::open(invocation.context, invocation.place.file.as_deref())?;
    let chosen = meant(invocation, &project, &args.words)?;
    let system = |source| Problem::System { doing: "read the logs", source };
    let mut readers = Vec::new();
    let named = chosen.iter().all(|chosen| chosen.named);
    for (label, name, folder) in chosen.iter().flat_map(|chosen| service::logs(&project, chosen)) {
        let name = if chosen.len() > 1 { label } else { name };
        let reader = match args.all {
            true => LogReader::all(&folder),
            false => LogReader::new(&folder, args.lines.or((!named).then_some(20))),
        };
        let reader = reader.map_err(system)?;
        if named && !reader.is_there() && !args.follow {
            invocation.terminal.say(&format!("`{name}` has printed nothing yet"));
        }
        readers.push((name, reader));
    }
    let width = readers.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let alone = readers.len() == 1;
    let mut out = std::io::stdout().lock();
    let mut open: Vec<Vec<u8>> = vec![Vec::new(); readers.len()];
    let mut ends_open = vec![false; readers.len()];
    loop {
        let mut any = false;
        for (at, (name, reader)) in readers.iter_mut().enumerate() {
            let mut text = Vec::new();
            let start = reader.read(&mut text).map_err(system)?;
            if text.is_empty() && start.is_none() {
                continue;
            }
            any = true;
            // As `tail` has it: what follows is of another start.
            let head = start.map_or_else(String::new, |start| format!("==> {name}, started {start} <==\n"));
            let head = match ends_open[at] && !head.is_empty() {
                true => format!("\n{head}"),
                false => head,
            };
            let text = if alone { text } else { prefixed(name, width, &mut open[at], &text) };
            let text = [head.into_bytes(), text].concat();
            ends_open[at] = alone && text.last().is_some_and(|byte| *byte != b'\n');
            if let Err(error) = out.write_all(&text).and_then(|()| out.flush()) {
                // A closed pipe (`| head`) is no mistake of anybody's.
                let broken = error.kind() == std::io::ErrorKind::BrokenPipe;
                return if broken {
                    Ok(0)
                } else {
                    Err(Problem::System { doing: "write to standard output", source: error })
                };
            }
        }
        if !any && !args.follow {
            break;
        }
        if !any {
            LogReader::pause();
        }
    }
    for (at, (name, _)) in readers.iter().enumerate().filter(|(at, _)| !open[*at].is_empty()) {
        let rest = [format!("{name:width$} | ").as_bytes(), &open[at], b"\n"].concat();
        let _ = out.write_all(&rest);
    }
    Ok(0)
}

/// Whole lines, each with the name of its service; the beginning of one that has not ended is kept.
fn prefixed(name: &str, width: usize, open: &mut Vec<u8>, text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    open.extend_from_slice(text);
    while let Some(end) = open.iter().position(|byte| *byte == b'\n') {
        let line: Vec<u8> = open.drain(..=end).collect();
        out.extend_from_slice(format!("{name:width$} | ").as_bytes());
        out.extend_from_slice(&line);
    }
    out
}

/// The supervisor of an environment's services: started by envrun itself.
pub fn supervise(invocation: &Invocation<'_>, args: &ServeArgs) -> Result<u8, Problem> {
    crate::exec::leave_session().map_err(|source| Problem::System { doing: "leave the terminal", source })?;
    crate::exec::open_many();
    let place = Place::at(args.folder.clone());
    let said = || {
        let mut out = std::io::stdout();
        // Whoever started us may be gone; nobody else waits for this.
        let _ = out.write_all(b".").and_then(|()| out.flush());
        let _ = rustix::fs::open("/dev/null", rustix::fs::OFlags::WRONLY, rustix::fs::Mode::empty())
            .map(rustix::stdio::dup2_stdout);
    };
    match serve(&place, &invocation.context.clock, said)? {
        Served::Done | Served::Taken => Ok(0),
    }
}
