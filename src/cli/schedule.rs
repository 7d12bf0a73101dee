//! `envrun schedule`: what comes when, the runner, and texts for other schedulers.

use std::fmt::Write as _;
use std::time::Duration;

use crate::base::unit::show_duration;
use crate::base::{Timestamp, fs};
use crate::ops::schedule::{LastRun, Listing, Ran, Told, Wanted, export, list, none, run as run_schedules};
use crate::ops::{Problem, Project};
use crate::schedule::Went;
use crate::schedule::export::{File, Platform};

use super::args::{
    ScheduleArgs, ScheduleCommand, ScheduleExportArgs, ScheduleListArgs, SchedulePlatform, ScheduleRunArgs,
};
use super::log::local;
use super::{Invocation, terminal};

pub fn run(invocation: &Invocation<'_>, args: &ScheduleArgs) -> Result<u8, Problem> {
    match &args.command {
        None => show(invocation, &ScheduleListArgs::default()),
        Some(ScheduleCommand::List(args)) => show(invocation, args),
        Some(ScheduleCommand::Run(args)) => keep_running(invocation, args),
        Some(ScheduleCommand::Export(args)) => write(invocation, args),
    }
}

fn show(invocation: &Invocation<'_>, args: &ScheduleListArgs) -> Result<u8, Problem> {
    let project = Project::open(invocation.context, invocation.place.file.as_deref())?;
    let listing = list(invocation.context, &project)?;
    let text = if args.json {
        let json = serde_json::to_string_pretty(&listing).expect("plain data has a JSON form");
        format!("{json}\n")
    } else if listing.schedules.is_empty() {
        let none = none(&project);
        let hint = none.hint().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
        invocation.terminal.say(&format!("{none}{hint}"));
        return Ok(0);
    } else {
        let now = invocation.context.clock.now();
        text(&listing, now, |text| invocation.terminal.bold_out(text))
    };
    print(&text)?;
    Ok(0)
}

fn print(text: &str) -> Result<(), Problem> {
    terminal::print(text).map_err(|source| Problem::System { doing: "write to standard output", source })
}

fn text(listing: &Listing, now: Timestamp, bold: impl Fn(&str) -> String) -> String {
    let rows: Vec<Vec<String>> = listing
        .schedules
        .iter()
        .map(|listed| {
            let show = if listed.by_the_second { moment } else { local };
            let next = listed
                .next
                .map(|next| format!("{} (in {})", show(next), in_words(next.since(now))))
                .unwrap_or_else(|| "never".to_owned());
            let last = listed.last.as_ref().map_or_else(|| "never".to_owned(), |last| last_words(last, show));
            vec![listed.node.clone(), listed.times.clone(), next, last]
        })
        .collect();
    let mut out = super::env::table(&["NODE", "TIMES", "NEXT", "LAST"], &rows, bold);
    out.push('\n');
    match &listing.runner {
        Some(who) => {
            let _ = writeln!(out, "a runner is there: {who}");
        }
        None => out.push_str(
            "no runner is there: `envrun schedule run` runs them here, `envrun schedule export` writes them for another scheduler\n",
        ),
    }
    out
}

fn last_words(last: &LastRun, show: fn(Timestamp) -> String) -> String {
    let took = last.took_ms.map(|took| format!(" in {}", show_duration(Duration::from_millis(took))));
    let mut words = format!("{} {}{}", show(last.began), last.result, took.unwrap_or_default());
    let is_good = [Went::Succeeded.word(), Went::Skipped.word()].contains(&last.result);
    match (&last.why, &last.run) {
        (Some(why), _) => {
            let _ = write!(words, ": {why}");
        }
        (None, Some(run)) if !is_good => {
            let _ = write!(words, ": `envrun log {run}`");
        }
        _ => {}
    }
    words
}

/// How long it is until then: the two greatest units are enough.
fn in_words(left: Duration) -> String {
    let seconds = left.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, minutes) => format!("{minutes}m"),
        (0, hours, minutes) => format!("{hours}h{minutes:02}m"),
        (days, hours, _) => format!("{days}d{hours:02}h"),
    }
}

fn keep_running(invocation: &Invocation<'_>, args: &ScheduleRunArgs) -> Result<u8, Problem> {
    let clock = &invocation.context.clock;
    let mut tell = |told: Told| {
        if let Told::Unreadable(problem) = &told {
            invocation.terminal.problem(problem);
        }
        let line = format!("{}  {}\n", moment(clock.now()), words(&told));
        // Whoever reads it may be gone; what is due runs all the same.
        let _ = terminal::print(&line);
    };
    let jobs = args.jobs.map(|jobs| jobs as usize);
    run_schedules(invocation.context, invocation.place.file.as_deref(), jobs, &mut tell)
}

/// Day and time where the user is, to the second.
fn moment(time: Timestamp) -> String {
    crate::ops::deploy::words::moment(time)
}

fn words(told: &Told) -> String {
    match told {
        Told::Takes { again, count, next } => {
            let first = if *again { "the Envfile has changed: " } else { "" };
            let schedules = if *count == 1 { "1 schedule".to_owned() } else { format!("{count} schedules") };
            let next = next.as_ref().map(|(label, at)| format!("; next is `{label}` at {}", moment(*at)));
            format!("{first}{schedules}{}", next.unwrap_or_default())
        }
        Told::Unreadable(_) => {
            "the Envfile has changed and cannot be used; it goes on with what it was before".into()
        }
        Told::Ran(ran) => ran_words(ran),
        Told::Skipped { label, due } => {
            format!("`{label}` left out: due at {}, and its last run goes on", moment(*due))
        }
        Told::Waits { label, due } => {
            format!("`{label}` waits: due at {}, and its last run goes on", moment(*due))
        }
        Told::Full { waiting, jobs } => {
            let (runs, wait) =
                if *waiting == 1 { ("1 run".into(), "waits") } else { (format!("{waiting} runs"), "wait") };
            format!("{runs} {wait} for a place: {jobs} at once is the most (`-j`)")
        }
        Told::Missed { label, first, count } => {
            format!("`{label}` missed {} since {}, and does not catch up", times(*count), moment(*first))
        }
        Told::Again { label, until } => {
            format!(
                "`{label}`: the clock was put back from {} or later; it goes by the time as it is now",
                moment(*until)
            )
        }
        Told::Stopping { running } if running.is_empty() => "stopped".into(),
        Told::Stopping { running } => {
            let running: Vec<String> = running.iter().map(|label| format!("`{label}`")).collect();
            format!("stopping; told to end: {} (Ctrl-C again ends it harder)", running.join(", "))
        }
        Told::Notice(text) => format!("warning: {text}"),
    }
}

fn ran_words(ran: &Ran) -> String {
    let mut line = format!("`{}` {} in {}", ran.label, ran.went.word(), show_duration(ran.took));
    match (&ran.why, &ran.run) {
        (Some(why), Some(run)) => {
            let _ = write!(line, ": {why}; `envrun log {run}`");
        }
        (Some(why), None) => {
            let _ = write!(line, ": {why}");
        }
        (None, Some(run)) => {
            let _ = write!(line, "  {run}");
        }
        (None, None) => {}
    }
    if ran.late {
        let _ = write!(line, "; it caught up on {}", times(ran.missed + 1));
    } else if ran.missed > 0 {
        let _ = write!(line, "; {} before it missed", times(ran.missed));
    }
    if ran.left_out > 0 {
        let _ = write!(line, "; {} left out meanwhile", times(ran.left_out));
    }
    if let Some((label, went, why)) = &ran.on_fail {
        let why = why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        let _ = write!(line, "; `{label}` {}{why}", went.word());
    }
    line
}

fn times(count: u32) -> String {
    match count {
        1 => "1 time".into(),
        1000.. => "1000 times or more".into(),
        count => format!("{count} times"),
    }
}

fn write(invocation: &Invocation<'_>, args: &ScheduleExportArgs) -> Result<u8, Problem> {
    let file = invocation.place.file.as_deref();
    let project = Project::open(invocation.context, file)?;
    let platform = match args.platform {
        SchedulePlatform::Systemd => Platform::Systemd,
        SchedulePlatform::Cron => Platform::Cron,
        SchedulePlatform::Github => Platform::Github,
        SchedulePlatform::Kubernetes => Platform::Kubernetes,
    };
    let wanted = Wanted {
        only: args.nodes.clone(),
        partial: args.partial,
        cron_tz: args.cron_tz,
        image: args.image.clone(),
        install: args.install.clone(),
        command: command(args, platform),
    };
    let files = export(invocation.context, &project, file, platform, &wanted)?;
    let Some(out) = &args.out else {
        print(&printed(&files))?;
        return Ok(0);
    };
    let out = invocation.context.cwd.join(out);
    let into = |file: &File| if platform == Platform::Systemd { out.join(&file.name) } else { out.clone() };
    let differs = |file: &&File| {
        let there = fs::read_if_there(&into(file)).ok().flatten();
        there.is_some_and(|there| there != file.text.as_bytes())
    };
    if let Some(file) = files.iter().find(differs).filter(|_| !args.force) {
        return Err(Problem::usage(
            format!("{} is there already, and is not what would be written", into(file).display()),
            Some("`--force` replaces it; without `-o` it is printed".into()),
        ));
    }
    for file in &files {
        fs::write_atomic(&into(file), file.text.as_bytes())?;
        invocation.terminal.say(&format!("wrote {}", into(file).display()));
    }
    if platform == Platform::Systemd {
        let timers: Vec<&str> =
            files.iter().map(|file| file.name.as_str()).filter(|name| name.ends_with(".timer")).collect();
        invocation.terminal.say(&format!(
            "hint: in ~/.config/systemd/user they are yours: `systemctl --user daemon-reload && systemctl --user enable --now {}`",
            timers.join(" ")
        ));
    }
    Ok(0)
}

/// One file as it is; several with their names before them.
fn printed(files: &[File]) -> String {
    match files {
        [file] => file.text.clone(),
        files => {
            let named = files.iter().map(|file| format!("# --- {} ---\n{}", file.name, file.text));
            named.collect::<Vec<_>>().join("\n")
        }
    }
}

/// The command that makes the text again.
fn command(args: &ScheduleExportArgs, platform: Platform) -> String {
    let word = crate::vars::write::shell_word;
    let mut text = format!("envrun schedule export {}", platform.word());
    for node in &args.nodes {
        let _ = write!(text, " {}", word(node));
    }
    for (flag, is_on) in [("--partial", args.partial), ("--cron-tz", args.cron_tz)] {
        if is_on {
            let _ = write!(text, " {flag}");
        }
    }
    for (flag, value) in [("--image", &args.image), ("--install", &args.install)] {
        if let Some(value) = value {
            let _ = write!(text, " {flag} {}", word(value));
        }
    }
    text
}
