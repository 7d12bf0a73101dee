//! The services of an environment: up, down, again, what is known of them, what they print.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::diag::did_you_mean;
use crate::engine::service::{Hold, service_of, spec};
use crate::engine::surroundings::Surroundings;
use crate::event;
use crate::graph::{ConfiguredTask, NodeIx, lost};
use crate::model::{EnvName, Envfile, Node};
use crate::plan::Plan;
use crate::preflight::{Owner, Ports, Status as Check};
use crate::record::{STATE_DIR, log_name};
use crate::service::probe::would_pass;
use crate::service::spec::How;
use crate::service::{Failure, Place, Session, SessionError, Spec, State, Status, Trouble};

use super::matching::{Choice, choice};
use super::resident::Residents;
use super::run::{Ready, Request};
use super::target::{Asked, environment};
use super::{Context, Problem, Project, Refusal};

/// The services that words on a command line name: an environment first, if the first word is one, then services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// The environment.
    pub env: Option<EnvName>,
    /// The services' names in it, as addressed from the root (`api`, `shop:db`); all of them if none was named.
    pub names: Vec<String>,
    /// They were named one by one.
    pub named: bool,
    /// The environment, if nobody named it and its `match` chose it.
    pub chosen: Option<event::Chosen>,
}

impl Chosen {
    /// Their names in the supervisor.
    pub fn labels(&self) -> Vec<String> {
        self.names.iter().map(|name| label(self.env.as_ref(), name)).collect()
    }
}

fn label(env: Option<&EnvName>, name: &str) -> String {
    env.map_or_else(|| name.to_owned(), |env| format!("{env}.{name}"))
}

/// Looks up what the words name.
pub fn choose(context: &Context, project: &Project, words: &[String]) -> Result<Chosen, Problem> {
    let envfile = project.envfile();
    let mut rest = words;
    let mut chosen = None;
    let named_env =
        words.first().filter(|word| envfile.environments.contains_key(&EnvName::from(word.as_str())));
    let env = match named_env {
        Some(word) => {
            rest = &words[1..];
            Some(environment(envfile, word)?)
        }
        None => {
            let choice = choice(context, project, None)?;
            chosen = choice.as_ref().and_then(Choice::told);
            choice.map(|choice| choice.env)
        }
    };
    let mut env = env;
    let mut names = Vec::new();
    for word in rest {
        // `dev.api` names the environment too.
        let (target, _) = super::target::target(envfile, word, env.as_ref())
            .map_err(|problem| neither(envfile, env.as_ref(), problem))?;
        match envfile.node(target.env.as_ref(), &target.path) {
            Some(Node::Service(_)) => {}
            Some(other) => {
                let message = format!("`{word}` is a {}, not a service", other.kind());
                let hint = format!("`envrun {word}` runs it");
                return Err(Problem::usage(message, Some(hint)));
            }
            None => {
                return Err(Problem::usage(
                    format!("there is no service `{word}`"),
                    Some("`envrun list` shows what there is".into()),
                ));
            }
        }
        if !names.is_empty() && target.env != env {
            return Err(Problem::usage(
                "these services are in two environments",
                Some("one at a time".into()),
            ));
        }
        env = target.env;
        names.push(target.path.to_string());
    }
    let named = !names.is_empty();
    if !named {
        names = services(project, env.as_ref());
    }
    let chosen = chosen.filter(|chosen| env.as_ref().is_some_and(|env| env.as_str() == chosen.env));
    Ok(Chosen { env, names, named, chosen })
}

/// A word that is no node may be meant for an environment.
fn neither(envfile: &Envfile, env: Option<&EnvName>, problem: Problem) -> Problem {
    let Problem::NoNode { text } = &problem else { return problem };
    if let Some(lost) = lost(envfile, text) {
        return super::target::asked_wrongly(lost);
    }
    let environments: Vec<&str> = envfile.concrete_environments().map(|env| env.name.as_str()).collect();
    let services = services_of(envfile, env);
    let known = environments.iter().copied().chain(services.iter().map(String::as_str));
    let hint = did_you_mean(text, known).unwrap_or_else(|| "`envrun list` shows what there is".into());
    Problem::usage(format!("there is no environment and no service `{text}`"), Some(hint))
}

/// Looks up what the words name, which may begin with several environments: the services in each of them.
pub fn choose_each(context: &Context, project: &Project, words: &[String]) -> Result<Vec<Chosen>, Problem> {
    let envfile = project.envfile();
    let is_env = |word: &String| envfile.environments.contains_key(&EnvName::from(word.as_str()));
    // A service that is called as an environment is meant as one behind the first.
    let is_node = |word: &String| envfile.node_paths().iter().any(|path| path.to_string() == *word);
    let further = words.iter().skip(1).take_while(|word| is_env(word) && !is_node(word)).count();
    if further == 0 || !is_env(&words[0]) {
        return Ok(vec![choose(context, project, words)?]);
    }
    let (envs, names) = words.split_at(1 + further);
    let one = |env: &String| {
        let words: Vec<String> = std::iter::once(env).chain(names).cloned().collect();
        choose(context, project, &words)
    };
    let envs: indexmap::IndexSet<&String> = envs.iter().collect();
    envs.into_iter().map(one).collect()
}

/// The environments in which services are up, other than the chosen one.
pub fn up_elsewhere(project: &Project, chosen: Option<&EnvName>) -> Vec<EnvName> {
    let places = Place::all(&project.root().join(STATE_DIR)).into_iter();
    places
        .filter_map(|(env, place)| Some((env.as_deref().map(EnvName::from)?, place)))
        .filter(|(env, place)| Some(env) != chosen && !leftovers(place).is_empty())
        .map(|(env, _)| env)
        .collect()
}

/// The services that an environment has.
fn services(project: &Project, env: Option<&EnvName>) -> Vec<String> {
    services_of(project.envfile(), env)
}

fn services_of(envfile: &Envfile, env: Option<&EnvName>) -> Vec<String> {
    let is_service =
        |path: &&crate::model::NodePath| matches!(envfile.node(env, path), Some(Node::Service(_)));
    let paths = envfile.node_paths();
    paths.iter().filter(is_service).map(ToString::to_string).collect()
}

/// The run that has services up.
pub fn up(
    context: &Context,
    project: &mut Project,
    chosen: &[Chosen],
    request: Request,
) -> Result<Request, Problem> {
    if let Some(chosen) = chosen.iter().find(|chosen| chosen.names.is_empty()) {
        let whose = chosen.env.as_ref().map_or("the Envfile".to_owned(), |env| format!("`{env}`"));
        return Err(Problem::usage(
            format!("{whose} declares no service"),
            Some("`service \"name\" { run \"…\" }` declares one".into()),
        ));
    }
    let mut refusals = Vec::new();
    for chosen in chosen {
        refusals.extend(unmet(context, project, chosen, &request.set)?);
    }
    if !refusals.is_empty() && !request.dry_run {
        return Err(Problem::Refused(refusals));
    }
    let labels = chosen.iter().flat_map(Chosen::labels);
    Ok(Request { targets: labels.map(|name| Asked { name, args: Vec::new() }).collect(), ..request })
}

/// What the environment requires of the machine and is not there: the part of `doctor` that is asked without being asked
/// for. Ports are looked at for each service by itself; so is what a service alone requires. Where only some services are
/// meant, values are too: others may be declared in another project.
fn unmet(
    context: &Context,
    project: &mut Project,
    chosen: &Chosen,
    set: &[(String, String)],
) -> Result<Vec<Refusal>, Problem> {
    let env = chosen.env.as_ref();
    let names: Vec<String> = env.iter().map(ToString::to_string).collect();
    let report = super::doctor::doctor_with(context, project, &names, set)?;
    let whose = env.map_or_else(|| "services".to_owned(), ToString::to_string);
    let unmet = report.groups.iter().flat_map(|group| &group.checks).filter(|check| {
        let clash = check.kind == "port" && check.found.contains("is also the port of");
        check.status == Check::Fail
            && check.node.is_none()
            && match check.kind {
                "port" => clash,
                "value" | "secret" => !chosen.named,
                "git" => false,
                _ => true,
            }
    });
    let refusal = |check: &super::doctor::Check| Refusal {
        label: whose.clone(),
        reason: match check.kind {
            "value" => check.reason(),
            "dotenv" => format!("{}: {}", check.name, check.reason()),
            "secret" => format!("the secret `{}` is {}", check.name, check.reason()),
            // `memory` is called what it is.
            kind if kind == check.name => format!("it requires {kind}: {}", check.reason()),
            kind => format!("it requires {kind} {}: {}", check.name, check.reason()),
        },
        place: check.place.clone().unwrap_or_else(|| "the Envfile".into()),
        hint: check.hint.clone(),
    };
    Ok(unmet.map(refusal).collect())
}

/// What keeps the services of a plan from being started: a port that somebody else has, or a guarded environment that
/// nobody named.
pub(super) fn refusals(plan: &Plan, around: &Surroundings<'_>, project: &Project) -> Vec<Refusal> {
    let nodes: Vec<(NodeIx, &ConfiguredTask)> =
        plan.graph.iter().filter(|(_, node)| node.kind() == "service").collect();
    if nodes.is_empty() {
        return Vec::new();
    }
    let mut refusals = Vec::new();
    let envs: BTreeSet<Option<&EnvName>> = nodes.iter().map(|(_, node)| node.env.as_ref()).collect();
    // By port, the first service that is going to have it.
    let mut planned: BTreeMap<u16, &ConfiguredTask> = BTreeMap::new();
    for env in envs {
        let place = around.services.place(env);
        // Whoever cannot be asked is asked again, and told of, when the service's turn comes.
        let running: Vec<Status> = Session::attach(&place)
            .ok()
            .flatten()
            .and_then(|session| session.statuses(false).ok())
            .unwrap_or_default()
            .into_iter()
            .filter(|status| !status.state.is_over())
            .collect();
        // Left by an earlier envrun that was killed: the next supervisor ends them before it starts anything.
        let left: BTreeSet<u32> = match running.is_empty() {
            true => leftovers(&place).iter().filter_map(|status| status.process).map(|it| it.pid).collect(),
            false => BTreeSet::new(),
        };
        // Looked at when it is known what runs: what ends meanwhile had its port to its end.
        let taken = Ports::look();
        let saved = place.saved().ok().flatten().map(|saved| saved.services).unwrap_or_default();
        let ending: BTreeSet<u16> = saved
            .iter()
            .filter(|status| status.state.may_be_up())
            .flat_map(|status| status.ports.clone())
            .collect();
        for (ix, node) in nodes.iter().filter(|(_, node)| node.env.as_ref() == env) {
            let is_up = running.iter().find(|status| status.label == node.label);
            if is_up.is_none()
                && let Some(refusal) = implicit(plan, around, project, *ix)
            {
                refusals.push(refusal);
                continue;
            }
            let Some(Ok(spec)) = service_of(node).map(|service| spec(around, &plan.graph, *ix, service))
            else {
                // Told as the failure of the node, when its turn comes.
                continue;
            };
            for port in &spec.ports {
                let other = *planned.entry(*port).or_insert(node);
                if other.env != node.env {
                    refusals.push(Refusal {
                        label: node.label.clone(),
                        reason: format!("port {port} is also the port of `{}`", other.label),
                        place: project.sources().place(node.task.span),
                        hint: Some("give one of them another port, or start them one at a time".into()),
                    });
                    continue;
                }
                let ours = running.iter().any(|status| status.ports.contains(port));
                let Some(owner) = taken.owner(*port).filter(|_| !ours) else { continue };
                let is_left = owner.pid.is_some_and(|pid| is_of(pid, &left));
                // Somebody else's daemon may be up already.
                if is_left || (matches!(spec.how, How::Daemon { .. }) && would_pass(&spec, around.processes))
                {
                    continue;
                }
                // One that is ending has its port a moment longer than it has an owner, or a supervisor.
                let is_ending = owner.pid.is_none() || ending.contains(port);
                let Some(owner) = (if is_ending { still_taken(*port) } else { Some(owner) }) else {
                    continue;
                };
                let residents = Residents::look(project);
                // Another environment's service would be started again by whoever keeps it up.
                let (reason, hint) = match (residents.elsewhere(env, *port, &owner), owner.pid) {
                    (Some((label, down)), _) => (
                        format!("port {port} is that of `{label}`, which is up ({owner})"),
                        format!("`{down}` ends it, or give the service another port"),
                    ),
                    (None, Some(pid)) => (
                        format!("port {port} is taken by {owner}"),
                        format!("end it (`kill {pid}`), or give the service another port"),
                    ),
                    (None, None) => {
                        (format!("port {port} is taken by {owner}"), "give the service another port".into())
                    }
                };
                refusals.push(Refusal {
                    label: node.label.clone(),
                    reason,
                    place: project.sources().place(node.task.span),
                    hint: Some(hint),
                });
            }
        }
    }
    refusals
}

/// Who has a port, if it does not become free within a moment.
fn still_taken(port: u16) -> Option<Owner> {
    const MOMENT: Duration = Duration::from_secs(2);
    let until = Instant::now() + MOMENT;
    loop {
        let owner = Ports::look().owner(port)?;
        if Instant::now() > until {
            return Some(owner);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whether a process is that of a service, or descends from it.
pub(super) fn is_within(pid: u32, status: &Status) -> bool {
    status.process.is_some_and(|process| is_of(pid, &BTreeSet::from([process.pid])))
}

/// Whether a process is one of these, or descends from one.
fn is_of(pid: u32, roots: &BTreeSet<u32>) -> bool {
    let mut pid = pid;
    for _ in 0..64 {
        if roots.contains(&pid) {
            return true;
        }
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse().ok());
        match parent {
            Some(parent) if parent > 1 => pid = parent,
            _ => return false,
        }
    }
    false
}

/// A service of a guarded environment is not started because something in another environment needs it.
fn implicit(plan: &Plan, around: &Surroundings<'_>, project: &Project, ix: NodeIx) -> Option<Refusal> {
    let node = &plan.graph[ix];
    let env = node.env.as_ref()?;
    let guard =
        crate::engine::surroundings::scope_conditions(around.envfile, node, |scope| &scope.guard).next()?;
    if node.target || plan.graph.targets().any(|target| plan.graph[target].env.as_ref() == Some(env)) {
        return None;
    }
    Some(Refusal {
        label: node.label.clone(),
        reason: format!("`{env}` is guarded, and its services are not started from another environment"),
        place: project.sources().place(guard.span),
        hint: Some(format!("start it by name: `envrun up {env} {}`", node.path)),
    })
}

/// What an earlier supervisor left behind, as it was written down: processes that are alive, and daemons.
pub(super) fn leftovers(place: &Place) -> Vec<Status> {
    let saved = place.saved().ok().flatten().map(|saved| saved.services).unwrap_or_default();
    saved
        .into_iter()
        .filter(|status| status.state.may_be_up())
        .filter(|status| status.daemon || status.process.is_some_and(|process| process.is_alive()))
        .collect()
}

/// Stops services, in reverse order; what needs them goes first. Gives the labels of those that were up.
pub fn down(context: &Context, project: &mut Project, chosen: &Chosen) -> Result<Vec<String>, Problem> {
    let place = place(project, chosen.env.as_ref());
    let left = leftovers(&place);
    let session = match Session::attach(&place).map_err(problem)? {
        Some(session) => session,
        None if left.is_empty() => return Ok(Vec::new()),
        None => Session::open(&place, &context.program).map_err(problem)?,
    };
    let is_meant = |status: &Status| !chosen.named || chosen.labels().contains(&status.label);
    let mut stopped: Vec<String> = session
        .statuses(false)
        .map_err(problem)?
        .iter()
        .filter(|status| status.state.may_be_up() && is_meant(status))
        .map(|status| status.label.clone())
        .collect();
    // A daemon that an earlier supervisor started is stopped by what the Envfile says today.
    let daemons: Vec<&Status> = left.iter().filter(|status| status.daemon && is_meant(status)).collect();
    let specs =
        if daemons.is_empty() { Vec::new() } else { specs(context, project, chosen).unwrap_or_default() };
    stopped.extend(session.ended.iter().cloned());
    session.stop(chosen.named.then(|| chosen.labels()), specs).map_err(problem)?;
    let is_stuck = |status: &Status| matches!(status.state, State::Failed(Trouble::NotStopped { .. }));
    let mut stuck = session.statuses(false).map_err(problem)?.into_iter();
    if let Some(status) = stuck.find(|status| is_stuck(status) && stopped.contains(&status.label)) {
        let mut failure = status.failure.unwrap_or_else(|| Box::new(Failure::plain(String::new())));
        let again = || format!("mend its `stop`, and `{}` tries again", spoken("down", &status.label));
        failure.hint.get_or_insert_with(again);
        return Err(Problem::Service { label: status.label, failure });
    }
    stopped.sort();
    stopped.dedup();
    Ok(stopped)
}

/// Stops everything that is up in an environment of which the Envfile says nothing any more. Gives the daemons that an
/// earlier supervisor left: nobody knows how they are stopped.
pub fn down_undeclared(context: &Context, project: &Project, env: &EnvName) -> Result<Vec<String>, Problem> {
    let place = place(project, Some(env));
    let left = leftovers(&place);
    let (session, is_new) = match Session::attach(&place).map_err(problem)? {
        Some(session) => (session, false),
        None if left.is_empty() => return Ok(Vec::new()),
        None => (Session::open(&place, &context.program).map_err(problem)?, true),
    };
    session.stop(None, Vec::new()).map_err(problem)?;
    Ok(left.into_iter().filter(|status| is_new && status.daemon).map(|status| status.label).collect())
}

/// The services with every value filled in.
fn specs(context: &Context, project: &mut Project, chosen: &Chosen) -> Result<Vec<Spec>, Problem> {
    let target = |name: &String| Asked { name: label(chosen.env.as_ref(), name), args: Vec::new() };
    let request =
        Request { targets: chosen.names.iter().map(target).collect(), dry_run: true, ..Request::default() };
    let ready = Ready::new(context, project, &request)?;
    let around = ready.surroundings(context, project, &request);
    let nodes = ready.plan.graph.iter().filter_map(|(ix, node)| Some((ix, service_of(node)?)));
    Ok(nodes.filter_map(|(ix, service)| spec(&around, &ready.plan.graph, ix, service).ok()).collect())
}

/// Starts services again that are up, or were and have ended by themselves, and waits until they are ready: down in reverse order, then
/// up, each when what it needs is there. With the values they have: others come with `up`. `came` is told of each.
pub fn restart(project: &Project, chosen: &Chosen, came: &mut dyn FnMut(&Status)) -> Result<(), Problem> {
    let place = place(project, chosen.env.as_ref());
    let Some(session) = Session::attach(&place).map_err(problem)? else {
        let known = place.saved().ok().flatten().map(|saved| saved.services);
        return Err(not_there(chosen, known.unwrap_or_default()));
    };
    let known = session.statuses(false).map_err(problem)?;
    let is_there = |status: &&Status| status.state != State::Stopped;
    let labels: Vec<String> = match chosen.named {
        true => chosen.labels(),
        false => known.iter().filter(is_there).map(|status| status.label.clone()).collect(),
    };
    let order = session.restart(labels.clone(), chosen.named).map_err(problem)?;
    if chosen.named
        && let Some(label) = labels.iter().find(|label| !order.contains(label))
    {
        return Err(Problem::usage(
            format!("`{label}` is not up"),
            Some(format!("`{}` starts it", spoken("up", label))),
        ));
    }
    if order.is_empty() {
        // Who has just heard of an end may be here before it is written down.
        return Err(not_there(chosen, known));
    }
    let mut failed = None;
    for label in &order {
        match session.watch(label, &|| false).map_err(problem)? {
            Some(Ok(status)) => came(&status),
            Some(Err(failure)) => {
                let failure = Box::new(failure);
                // The first that did not come up is the reason of the others.
                failed.get_or_insert(Problem::Service { label: label.to_owned(), failure });
            }
            None => {}
        }
    }
    failed.map_or(Ok(()), Err)
}

/// A command about one service, as it is typed.
fn spoken(command: &str, label: &str) -> String {
    format!("envrun {command} {}", label.replacen('.', " ", 1))
}

/// Why there is nothing to start again: what is known of the services that were up last, and what to do.
fn not_there(chosen: &Chosen, known: Vec<Status>) -> Problem {
    let labels = chosen.labels();
    let failed: Vec<(String, String)> = known
        .into_iter()
        .filter(|status| !chosen.named || labels.contains(&status.label))
        .filter_map(|status| Some((status.label, status.failure?.reason)))
        .collect();
    let env = chosen.env.as_ref().map(|env| format!(" {env}")).unwrap_or_default();
    let (what, start) = match (chosen.named, &labels[..]) {
        (true, [label]) => (format!("`{label}` is not up"), format!("`{}` starts it", spoken("up", label))),
        (true, _) => {
            let up = format!("`envrun up{env} {}` starts them", chosen.names.join(" "));
            ("none of these services is up".to_owned(), up)
        }
        (false, _) => ("no service is up".to_owned(), format!("`envrun up{env}` starts them")),
    };
    let told: Vec<String> =
        failed.iter().map(|(label, reason)| format!("`{label}` has failed: {reason}")).collect();
    let what = if told.is_empty() { what } else { format!("{what}: {}", told.join(", ")) };
    let logs =
        failed.first().map(|(label, _)| format!("; `{}` shows what it printed", spoken("logs", label)));
    Problem::usage(what, Some(format!("{start}{}", logs.unwrap_or_default())))
}

/// A service that was not ready in time.
fn late(status: Option<&Status>, label: &str) -> Failure {
    let state = status.map(|status| format!("; it is {}", status.state.word())).unwrap_or_default();
    let hint = Some(format!("`{}` shows what it printed", spoken("logs", label)));
    Failure { hint, ..Failure::plain(format!("not ready in time{state}")) }
}

/// Why a service that nobody keeps is not there: how it failed, if that is how it ended.
fn absent(place: &Place, label: &str) -> Failure {
    let known = place.saved().ok().flatten().map(|saved| saved.services).unwrap_or_default();
    let failed = known.into_iter().find(|status| status.label == label).and_then(|status| status.failure);
    let mut failure = failed.map_or_else(|| Failure::plain("it is not up".into()), |failure| *failure);
    let start = format!("`{}` starts it; `--timeout 30s` waits for whoever does", spoken("up", label));
    failure.hint.get_or_insert(start);
    failure
}

/// Waits until services are ready. Nothing is started.
pub fn wait(project: &Project, chosen: &Chosen, until: Option<Instant>) -> Result<Vec<Status>, Problem> {
    let place = place(project, chosen.env.as_ref());
    let is_late = || until.is_some_and(|until| Instant::now() >= until);
    let mut ready = Vec::new();
    for label in chosen.labels() {
        // Whoever is not there yet may come: somebody else starts it.
        let status = loop {
            let session = Session::attach(&place).map_err(problem)?;
            let known = session.as_ref().and_then(|session| session.statuses(false).ok()).unwrap_or_default();
            if let Some(session) = session.filter(|_| known.iter().any(|status| status.label == label)) {
                break session.watch(&label, &is_late).map_err(problem)?;
            }
            if is_late() || until.is_none() {
                break Some(Err(absent(&place, &label)));
            }
            std::thread::sleep(Duration::from_millis(50));
        };
        match status {
            Some(Ok(status)) => ready.push(status),
            Some(Err(failure)) => return Err(Problem::Service { label, failure: Box::new(failure) }),
            None => {
                let session = Session::attach(&place).map_err(problem)?;
                let known = session.and_then(|session| session.statuses(false).ok()).unwrap_or_default();
                let status = known.iter().find(|status| status.label == label);
                let failure = Box::new(late(status, &label));
                return Err(Problem::Service { label, failure });
            }
        }
    }
    Ok(ready)
}

/// The services of an environment, as they are, or as they were last.
#[derive(Debug, serde::Serialize)]
pub struct Listing {
    /// The environment.
    pub env: Option<String>,
    /// Somebody keeps them.
    pub kept: bool,
    /// The services.
    pub services: Vec<Status>,
}

/// What is known of the services of these environments, or of all.
pub fn list(project: &Project, envs: &[EnvName]) -> Result<Vec<Listing>, Problem> {
    let envs: indexmap::IndexSet<&EnvName> = envs.iter().collect();
    let places = match envs.is_empty() {
        false => envs.into_iter().map(|env| (Some(env.to_string()), place(project, Some(env)))).collect(),
        true => Place::all(&project.root().join(STATE_DIR)),
    };
    let mut listings = Vec::new();
    for (env, place) in places {
        let session = Session::attach(&place).map_err(problem)?;
        let (kept, services) = match session {
            Some(session) => (true, session.statuses(true).map_err(problem)?),
            None => {
                let mut services = place.saved()?.map(|saved| saved.services).unwrap_or_default();
                let left = leftovers(&place);
                for status in &mut services {
                    let is_left = left.iter().any(|left| left.label == status.label);
                    if !status.state.is_over() && !is_left {
                        // Nobody saw its end.
                        status.state = State::Stopped;
                        (status.process, status.ready) = (None, None);
                    }
                }
                (false, services)
            }
        };
        listings.push(Listing { env, kept, services });
    }
    Ok(listings)
}

/// The environments that have a service which is up, or on its way.
pub fn environments(project: &Project) -> Vec<String> {
    let places = Place::all(&project.root().join(STATE_DIR)).into_iter();
    let is_up = |place: &Place| {
        let saved = place.saved().ok().flatten();
        saved.is_some_and(|saved| saved.services.iter().any(|status| !status.state.is_over()))
    };
    places.filter_map(|(env, place)| env.filter(|_| is_up(&place))).collect()
}

/// Where the logs of services are: label, name and folder of each.
pub fn logs(project: &Project, chosen: &Chosen) -> Vec<(String, String, PathBuf)> {
    let env = chosen.env.as_ref().map_or("-", EnvName::as_str);
    let folder = project.root().join(STATE_DIR).join("logs").join(env);
    let folder = |name: &String| folder.join(log_name(name).trim_end_matches(".log"));
    let one = |name: &String| (label(chosen.env.as_ref(), name), name.clone(), folder(name));
    chosen.names.iter().map(one).collect()
}

/// Where what a service prints lies, by its label.
pub fn log_folder(root: &Path, label: &str) -> PathBuf {
    let (env, name) = label.split_once('.').unwrap_or(("-", label));
    root.join(STATE_DIR).join("logs").join(env).join(log_name(name).trim_end_matches(".log"))
}

/// Looks at the services of a project now and then, and keeps none of them up.
#[derive(Debug, Clone)]
pub struct Gauge {
    state: PathBuf,
}

impl Gauge {
    /// Of the project with this root.
    pub fn new(root: &Path) -> Self {
        Self { state: root.join(STATE_DIR) }
    }

    /// What the services are that anybody keeps, and what they take.
    pub fn look(&self) -> Vec<Status> {
        self.sessions().flat_map(|session| session.statuses(true).unwrap_or_default()).collect()
    }

    /// Starts these again, down in reverse order and then up in order, also those that failed, or that somebody else
    /// stopped; not those that are done. Returns when each has been started; their labels.
    pub fn restart(&self, labels: &[String]) -> Vec<String> {
        let mut again = Vec::new();
        for session in self.sessions() {
            let known = session.statuses(false).unwrap_or_default().into_iter();
            let meant = known.map(|status| status.label).filter(|label| labels.contains(label));
            again.extend(session.restart(meant.collect(), false).unwrap_or_default());
        }
        again
    }

    /// With whoever answers.
    fn sessions(&self) -> impl Iterator<Item = Session> {
        Place::all(&self.state).into_iter().filter_map(|(_, place)| Session::attach(&place).ok().flatten())
    }
}

fn place(project: &Project, env: Option<&EnvName>) -> Place {
    Place::new(&project.root().join(STATE_DIR), env.map(EnvName::as_str))
}

fn problem(error: SessionError) -> Problem {
    Problem::Session(error)
}

/// What becomes of the services of `up`.
pub fn hold(attach: bool) -> Hold {
    if attach { Hold::Attach } else { Hold::Keep }
}
