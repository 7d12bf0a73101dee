//! `envrun plan` and `envrun apply`: a run as a checklist, frozen, and carried out as it was planned.

use std::fmt::Write as _;

use crate::ops::deploy::{Foreseen, words};
use crate::ops::guard::{Check, CheckState};
use crate::ops::plan::{Checklist, Fate, Frozen, Node, apply as apply_plan, freeze, plan, short, thaw};
use crate::ops::run::Request;
use crate::ops::target::{Asked, declared};
use crate::ops::{Problem, Project};
use crate::report::Reporters;
use crate::vars::write::shell_word;

use super::args::{ApplyArgs, PlanArgs, ReleaseFormat};
use super::run::{glass_reason, pairs, words_problem};
use super::words::split;
use super::{Invocation, terminal};

pub fn run(invocation: &Invocation<'_>, args: &PlanArgs) -> Result<u8, Problem> {
    let mut project = Project::open_to_run(invocation.context, invocation.place.file.as_deref())?;
    let named = args.env.as_deref().map(crate::model::EnvName::from);
    let default = named.or_else(|| project.envfile().default_env.as_ref().map(|env| env.value.clone()));
    let mut all = args.words.clone();
    if !args.args.is_empty() {
        all.push("--".to_owned());
        all.extend(args.args.iter().cloned());
    }
    let words = split(&all, |name| declared(project.envfile(), name, default.as_ref()))
        .map_err(|error| words_problem(&error))?;
    let targets = words.targets.into_iter();
    let request = Request {
        targets: targets.map(|target| Asked { name: target.name, args: target.args }).collect(),
        env: args.env.clone(),
        set: pairs(&args.set)?,
        dry_run: true,
        read_cache: true,
        ..Request::default()
    };
    let checklist = plan(invocation.context, &mut project, &request, args.out.as_deref())?;
    if let Some(path) = &args.out {
        freeze(invocation.context, &checklist.plan, path)?;
    }
    let text = match args.format {
        ReleaseFormat::Json => {
            let mut json = serde_json::to_string_pretty(&checklist).expect("only text for keys");
            json.push('\n');
            json
        }
        ReleaseFormat::Text => text(&checklist),
    };
    terminal::print(&invocation.context.redactor.text(&text))
        .map_err(|source| Problem::System { doing: "write to standard output", source })?;
    if let Some(path) = &args.out {
        let (word, digest) = (shell_word(&path.to_string_lossy()), short(&checklist.plan.digest));
        let path = path.display();
        invocation.terminal.say(&format!("plan {digest} is in {path}; `envrun apply {word}` carries it out"));
    }
    Ok(0)
}

pub fn apply(invocation: &Invocation<'_>, args: &ApplyArgs) -> Result<u8, Problem> {
    let mut project = Project::open_to_run(invocation.context, invocation.place.file.as_deref())?;
    let frozen = thaw(invocation.context, &mut project, &args.plan)?;
    let request = Request {
        jobs: args.jobs,
        read_cache: true,
        write_cache: true,
        confirm: args.glass.confirm.clone(),
        prompt: invocation.terminal.prompt(),
        break_glass: glass_reason(args.glass.break_glass.as_deref())?,
        ..Request::default()
    };
    let mut reporters = Reporters::new(invocation.context.clock.clone());
    let reporter = invocation.terminal.reporter(invocation.context, args.shown.output, args.shown.verbose);
    reporters.add("output", reporter);
    let (ending, _rest) = apply_plan(invocation.context, &mut project, frozen, &request, reporters)?;
    // The program ends here: nothing of the run has to be taken apart.
    std::process::exit(i32::from(ending.exit))
}

/// The checklist: `[x]` holds or is there, `[ ]` is still missing, `[?]` is found out when the plan is carried out.
pub(super) fn text(checklist: &Checklist) -> String {
    let Checklist { plan, checks, against, notes } = checklist;
    let mut out = String::new();
    let targets: Vec<&str> = plan.targets.iter().map(|target| target.name.as_str()).collect();
    let _ = write!(out, "plan {}: {}", short(&plan.digest), targets.join(", "));
    let _ = match &plan.revision {
        Some(revision) => writeln!(out, " at revision {}", words::short(revision)),
        None => writeln!(out),
    };
    let deploys: Vec<&Node> = plan.nodes.iter().filter(|node| node.deploy.is_some()).collect();
    let (before, of_deploys): (Vec<&Check>, Vec<&Check>) =
        checks.iter().partition(|check| !deploys.iter().any(|deploy| deploy.label == check.node));
    let nodes = plan.nodes.iter().filter(|node| node.deploy.is_none() && node.fate != Fate::Group);
    if nodes.clone().next().is_some() {
        out.push_str(if deploys.is_empty() { "\n" } else { "\nneeds\n" });
    }
    for node in nodes {
        node_text(&mut out, node);
        before.iter().filter(|check| check.node == node.label).for_each(|check| check_text(&mut out, check));
    }
    for node in &deploys {
        let _ = writeln!(out, "\n{}", node.label);
        of_deploys
            .iter()
            .filter(|check| check.node == node.label)
            .for_each(|check| check_text(&mut out, check));
        deploy_text(&mut out, plan, node);
    }
    let orphans = before.iter().filter(|check| !plan.nodes.iter().any(|node| node.label == check.node));
    for check in orphans {
        let _ = writeln!(out, "{}", check.node);
        check_text(&mut out, check);
    }
    for note in notes {
        let _ = writeln!(out, "\nnote: {note}");
    }
    if !against.is_empty() {
        out.push_str("\nagainst it\n");
        for line in against {
            let _ = writeln!(out, "  [ ] {}", line.replace('\n', "\n      "));
        }
    }
    if out.contains("\n  [") {
        out.push_str("\n[x] holds  [ ] does not  [?] is found out when it is carried out\n");
    }
    out
}

fn node_text(out: &mut String, node: &Node) {
    let Node { label, fate, because, commands, .. } = node;
    let what = match fate {
        Fate::Group => "stands for what it needs".to_owned(),
        Fate::UpToDate => "is up to date".to_owned(),
        Fate::Restored => "would be restored from the cache".to_owned(),
        Fate::Done => "is done already".to_owned(),
        Fate::Skipped => "would be skipped".to_owned(),
        Fate::Run if because.is_empty() => "would run".to_owned(),
        Fate::Run => format!("would run, because {}", because.join("; ")),
        Fate::Unknown => "cannot be told before the run".to_owned(),
    };
    let _ = writeln!(out, "  {label} {what}");
    commands_text(out, commands);
    if node.manifest.is_none() && *fate != Fate::Group {
        out.push_str("    [?] what it is made of is not known yet, so the plan does not hold it\n");
    }
}

fn commands_text(out: &mut String, commands: &[String]) {
    for command in commands {
        let _ = writeln!(out, "    $ {}", command.trim().replace('\n', "\n      "));
    }
}

fn check_text(out: &mut String, check: &Check) {
    let Check { kind, what, state, place, .. } = check;
    let _ = match state {
        CheckState::Holds => writeln!(out, "  [x] {kind} {what} ({place})"),
        CheckState::Asked => writeln!(out, "  [?] {kind} {what}: asked when it is carried out ({place})"),
        CheckState::Later => writeln!(out, "  [?] {kind} {what}: looked at when it is carried out ({place})"),
        CheckState::Refuses { reason, hint } => {
            let hint = hint.as_ref().map(|hint| format!("\n      hint: {}", hint.replace('\n', "\n      ")));
            writeln!(out, "  [ ] {kind} {what}: {reason} ({place}){}", hint.unwrap_or_default())
        }
    };
}

fn deploy_text(out: &mut String, plan: &Frozen, node: &Node) {
    let Some(deploy) = &node.deploy else { return };
    let live = plan.live.get(&node.label).and_then(Option::as_ref);
    let _ = writeln!(out, "  live now: {}", Foreseen::live_words(live));
    if node.fate != Fate::Run {
        node_text(out, node);
    }
    if let Some(revision) = &deploy.revision {
        let _ = writeln!(out, "  puts live: revision {}", words::short(revision));
    }
    if let Some(ships) = deploy.ships.as_ref().filter(|ships| !ships.is_empty()) {
        let from = deploy.from.as_ref().map(|from| format!(" ({from})")).unwrap_or_default();
        let _ = writeln!(out, "  ships: {ships}{from}");
    }
    if !deploy.snapshots.is_empty() {
        let _ = writeln!(out, "  saves first: {}", deploy.snapshots.join(", "));
    }
    if !node.commands.is_empty() {
        out.push_str("  runs\n");
        commands_text(out, &node.commands);
    }
    for verify in &deploy.verify {
        let _ = writeln!(out, "  verifies: {verify}");
    }
    let _ = match &deploy.back_to {
        Some(back) => writeln!(out, "  goes back to: {back}"),
        None => writeln!(out, "  goes back to: nothing, as nothing was ever live there"),
    };
    if node.manifest.is_none() {
        out.push_str("  [?] what it is made of is not known yet, so the plan does not hold it\n");
    }
}
