//! Environments made from a pattern.
//!
//! `create` checks the arguments, draws a free port for every `(port)` variable of the pattern, puts the environment on the
//! [list](super::made), and runs the pattern's `on-create` in it. What fails stays on the list with the reason; an
//! environment that is half made is [taken down](super::end) like one that is whole.
//!
//! Its name is the pattern's and the arguments' values, with `-` between: `pr-7`. Without arguments it is the pattern's and
//! the first number that is free.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
use std::path::Path;
use std::sync::Arc;

use crate::base::Digest;
use crate::base::fs::FileLock;
use crate::model::{ArgSpec, EnvName, Envfile, NodeRef, VarType};
use crate::vars::{Lookup, Request, Values};

use super::super::target::{self, arguments};
use super::super::{Context, Problem, Project};
use super::label;
use super::made::{Made, MadeEnvironment, State, lock_path, taken};

/// How one is made: `envrun env create pr <number>`.
pub fn usage(pattern: &EnvName, specs: &[ArgSpec]) -> String {
    let args = specs.iter().map(|spec| match spec.default {
        Some(_) => format!(" [{}]", spec.name.value),
        None => format!(" <{}>", spec.name.value),
    });
    format!("`envrun env create {pattern}{}`", args.collect::<String>())
}

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// The pattern.
    pub pattern: String,
    /// What it is to be called, if not by the rule.
    pub name: Option<String>,
    /// Its arguments.
    pub args: Vec<(String, String)>,
}

/// Runs nodes of a project, and gives the exit status.
pub type Run<'r> = &'r mut dyn FnMut(&mut Project, Vec<target::Asked>) -> Result<u8, Problem>;

/// How long a name may be: as long as a label in the name of a host.
const LONGEST: usize = 63;

/// Ports are drawn from these: above the well-known ones, below those that systems give to clients.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// Makes an environment. Its name, and the exit status of `on-create`: other than 0, it is listed as not finished.
pub fn create(
    context: &Context,
    project: &mut Project,
    asked: &Asked,
    run: Run<'_>,
) -> Result<(EnvName, u8), Problem> {
    let pattern = pattern(project.envfile(), &asked.pattern)?;
    let specs = project.envfile().environments[&pattern].pattern.args.clone();
    let wanted = target::Asked { name: format!("env create {pattern}"), args: asked.args.clone() };
    let args: BTreeMap<String, String> = arguments(context, &specs, &wanted, &usage(&pattern, &specs))?
        .into_iter()
        .chain(
            specs
                .iter()
                .filter(|spec| !asked.args.iter().any(|(name, _)| *name == spec.name.value))
                .filter_map(|spec| Some((spec.name.value.clone(), spec.default.as_ref()?.to_string()))),
        )
        .collect();
    if let Some((name, value)) =
        args.iter().find(|(_, value)| value.contains('$') || value.contains(char::is_control))
    {
        return Err(Problem::usage(
            format!("`{value}` for `{name}` holds a character that no environment's argument may have"),
            Some("take letters, digits and punctuation without `$`".into()),
        ));
    }
    let root = project.root().to_path_buf();
    let names = port_names(context, project, &pattern);
    let avoid = declared_ports(context, project);
    let envfile = project.envfile();
    let made = Made::edit(&root, |made| -> Result<EnvName, Problem> {
        let values: Vec<&str> =
            specs.iter().filter_map(|spec| args.get(&spec.name.value)).map(String::as_str).collect();
        let name = name(envfile, made, &pattern, asked.name.as_deref(), &values)?;
        let pattern_of = &envfile.environments[&pattern].pattern;
        let ports = draw(&root, name.as_str(), &names, &avoid, &taken(made))?;
        made.environments.insert(
            name.to_string(),
            MadeEnvironment {
                pattern: pattern.to_string(),
                args: args.clone(),
                ports,
                created: context.clock.now(),
                state: State::Creating,
                failure: None,
                ttl: pattern_of.ttl.map(|ttl| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)),
                on_destroy: targets(&name, &pattern_of.on_destroy).into_iter().map(|it| it.name).collect(),
            },
        );
        Ok(name)
    })??;
    let _lock = lock(&root, &made)?;
    project.join_made();
    let there = project.envfile().environments.get(&made);
    let hooks = there.map(|there| targets(&made, &there.pattern.on_create)).unwrap_or_default();
    let exit = hook(project, hooks, run, "on-create");
    let (exit, failure) = outcome(exit);
    Made::edit(&root, |list| {
        if let Some(made) = list.environments.get_mut(made.as_str()) {
            made.state = if failure.is_none() { State::Ready } else { State::Creating };
            made.failure = failure.as_ref().map(|(reason, _)| reason.clone());
        }
    })?;
    match failure {
        Some((_, Some(problem))) => Err(problem),
        _ => Ok((made, exit)),
    }
}

/// The pattern of that name.
pub fn pattern(envfile: &Envfile, name: &str) -> Result<EnvName, Problem> {
    let patterns = || envfile.environments.values().filter(|env| env.ephemeral && !env.is_abstract);
    if let Some(pattern) = patterns().find(|env| env.name.as_str() == name) {
        return Ok(pattern.name.clone());
    }
    let known: Vec<&str> = patterns().map(|env| env.name.as_str()).collect();
    let made = known.iter().find_map(|known| Some((known, name.strip_prefix(*known)?.strip_prefix('-')?)));
    if let Some((pattern, rest)) = made.filter(|(_, rest)| !rest.is_empty() && rest.chars().all(is_name)) {
        return Err(Problem::usage(
            format!("there is no pattern `{name}` to make an environment from"),
            Some(format!("`envrun env create {pattern} {rest}` makes `{name}`")),
        ));
    }
    let hint = crate::diag::did_you_mean(name, known.iter().copied()).unwrap_or_else(|| match &known[..] {
        [] => "the Envfile declares none: `env \"pr\" ephemeral=#true { arg \"number\" }`".to_owned(),
        known => format!(
            "there is {}",
            known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
        ),
    });
    Err(Problem::usage(format!("there is no pattern `{name}` to make an environment from"), Some(hint)))
}

/// Whether a made environment's name may have it.
fn is_name(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_')
}

/// What a new environment is called.
fn name(
    envfile: &Envfile,
    list: &Made,
    pattern: &EnvName,
    asked: Option<&str>,
    values: &[&str],
) -> Result<EnvName, Problem> {
    let is_taken =
        |name: &str| list.environments.contains_key(name) || envfile.environments.contains_key(name);
    let name = match (asked, values) {
        (Some(name), _) => name.to_owned(),
        (None, []) => {
            let free =
                (1..).map(|number| format!("{pattern}-{number}").to_lowercase()).find(|name| !is_taken(name));
            free.expect("there are more numbers than environments")
        }
        (None, values) => format!("{pattern}-{}", values.join("-")).to_lowercase(),
    };
    // It is part of addresses, paths, host names and labels, so what is given is not silently turned into something else.
    let fits = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' };
    let words: String = name.to_lowercase().chars().map(fits).collect();
    let slug = words.split('-').filter(|word| !word.is_empty()).collect::<Vec<_>>().join("-");
    let has_edge = name.starts_with('-') || name.ends_with('-');
    if name.is_empty() || name.len() > LONGEST || has_edge || !name.chars().all(is_name) {
        let better = !slug.is_empty() && slug.len() <= LONGEST && !is_taken(&slug);
        return Err(Problem::usage(
            format!(
                "`{name}` is no name of an environment: small letters, digits, `_` and between them `-`, {LONGEST} at \
                 most"
            ),
            Some(if better {
                format!("`--name {slug}` would be one")
            } else {
                "`--name` gives it one".into()
            }),
        ));
    }
    let slug = name.as_str();
    if is_taken(slug) {
        let other = "`--name` gives another one another name";
        let hint = match list.environments.contains_key(slug) {
            true => format!("`envrun env destroy {slug}` takes it down; {other}"),
            false => format!("`{slug}` stands in the Envfile; {other}"),
        };
        return Err(Problem::usage(format!("there is an environment `{slug}` already"), Some(hint)));
    }
    // What stands in front of a dot in `slug.node` already is something else.
    let stands = format!("{slug}.");
    let is_stage = envfile.stages.keys().any(|stage| stage.as_str() == slug);
    let is_front = || envfile.node_paths().iter().any(|path| path.name.as_str().starts_with(&stands));
    if is_stage || is_front() {
        let what = if is_stage { "a stage" } else { "the front of names of nodes" };
        let message = format!("`{slug}` is {what}, so it cannot be an environment too");
        return Err(Problem::usage(message, Some("`--name` gives it another name".into())));
    }
    Ok(EnvName::from(slug))
}

/// The `(port)` variables of a pattern: those with a value of their own, or without one.
fn port_names(context: &Context, project: &Project, pattern: &EnvName) -> Vec<String> {
    let mut names = Vec::new();
    for owner in project.envfile().projects.keys() {
        let request = Request {
            envfile: project.envfile(),
            project: owner,
            env: Some(pattern),
            dotenv: &[],
            set: &[],
            given: project.given(None, context.clock.now()),
            caller: Arc::new(|_| None),
        };
        let (values, _) = Values::resolve(&request);
        for (name, _) in values.own() {
            let declared = values.declared(name.as_str());
            if declared
                .is_some_and(|declared| declared.asked.ty == Some(VarType::Port) && declared.built.is_none())
            {
                names.push(label(owner, name.as_str()));
            }
        }
    }
    names
}

/// The ports that the environments of the Envfile use.
fn declared_ports(context: &Context, project: &Project) -> BTreeSet<u16> {
    let mut ports = BTreeSet::new();
    let envfile = project.envfile();
    for env in envfile.concrete_environments() {
        for owner in envfile.projects.keys() {
            let request = Request {
                envfile,
                project: owner,
                env: Some(&env.name),
                dotenv: &[],
                set: &[],
                given: project.given(None, context.clock.now()),
                caller: Arc::new(|_| None),
            };
            let (values, _) = Values::resolve(&request);
            for (name, lookup) in values.own() {
                let is_port = values.declared(name.as_str()).and_then(|declared| declared.asked.ty)
                    == Some(VarType::Port);
                if let (true, Lookup::Value { text, .. }) = (is_port, lookup) {
                    ports.extend(text.parse::<u16>());
                }
            }
        }
    }
    ports
}

/// A free port for each name. The first that is tried depends on the project and the name, so that two checkouts begin in
/// different places.
fn draw(
    root: &Path,
    name: &str,
    names: &[String],
    avoid: &BTreeSet<u16>,
    taken: &BTreeSet<u16>,
) -> Result<BTreeMap<String, u16>, Problem> {
    let count = PORTS.end - PORTS.start;
    let digest = Digest::of(format!("{}\0{name}", root.display()).as_bytes());
    let start = u16::from_le_bytes([digest.0[0], digest.0[1]]) % count;
    let mut candidates = (0..count).map(|step| PORTS.start + (start + step) % count);
    let mut ports = BTreeMap::new();
    for name in names {
        let free = candidates.find(|port| !avoid.contains(port) && !taken.contains(port) && is_free(*port));
        let Some(port) = free else {
            return Err(Problem::usage(
                format!("no port between {} and {} is free for `{name}`", PORTS.start, PORTS.end),
                Some("`envrun env gc` takes down what is due; `envrun env list` shows what there is".into()),
            ));
        };
        ports.insert(name.clone(), port);
    }
    Ok(ports)
}

fn is_free(port: u16) -> bool {
    let v4 = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port));
    // A machine without IPv6 has nobody there.
    let v6 = TcpListener::bind((Ipv6Addr::LOCALHOST, port));
    v4.is_ok() && v6.map_or_else(|error| error.kind() != std::io::ErrorKind::AddrInUse, |_| true)
}

pub(super) fn targets(env: &EnvName, nodes: &[NodeRef]) -> Vec<target::Asked> {
    let name = |node: &NodeRef| format!("{}.{}", node.env.as_ref().unwrap_or(env), node.path);
    nodes.iter().map(|node| target::Asked { name: name(node), args: Vec::new() }).collect()
}

pub(super) fn hook(
    project: &mut Project,
    targets: Vec<target::Asked>,
    run: Run<'_>,
    what: &str,
) -> Result<(), Failed> {
    if targets.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = targets.iter().map(|target| format!("`{}`", target.name)).collect();
    match run(project, targets) {
        Ok(0) => Ok(()),
        Ok(exit) => {
            Err(Failed::new(exit, format!("{what} failed: {} (exit status {exit})", names.join(", ")), None))
        }
        Err(problem) => Err(Failed::new(problem.exit(), format!("{what} failed: {problem}"), Some(problem))),
    }
}

/// What did not succeed at the beginning or the end of an environment.
pub(super) struct Failed {
    pub(super) exit: u8,
    pub(super) reason: String,
    /// What kept it from being tried at all.
    pub(super) problem: Option<Box<Problem>>,
}

impl Failed {
    pub(super) fn new(exit: u8, reason: String, problem: Option<Problem>) -> Self {
        Self { exit, reason, problem: problem.map(Box::new) }
    }
}

pub(super) type Failure = (String, Option<Problem>);

pub(super) fn outcome(hook: Result<(), Failed>) -> (u8, Option<Failure>) {
    match hook {
        Ok(()) => (0, None),
        Err(Failed { exit, reason, problem }) => (exit, Some((reason, problem.map(|problem| *problem)))),
    }
}

/// One at a time makes or takes down an environment.
pub(super) fn lock(root: &Path, env: &EnvName) -> Result<FileLock, Problem> {
    FileLock::take(&lock_path(root, env))?.ok_or_else(|| Problem::Busy {
        message: format!("another envrun is making `{env}` or taking it down"),
        hint: "wait for it, then try again".into(),
    })
}
