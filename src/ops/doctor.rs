//! Everything that can be known to be wrong with the machine and the values before anything runs.
//!
//! What stands in `requires` is asked: of the root, of an environment and those it extends, of the nodes there. What needs
//! no asking is looked at too: that variables have values, that no value is a placeholder, that ports are free and
//! distinct, git, the cache.

use std::cell::LazyCell;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use serde::Serialize;

use crate::diag::{Diagnostic, FileId, SourceMap, Span};
use crate::event;
use crate::exec::{Environ, Processes};
use crate::model::{
    EnvName, Envfile, Node, NodeName, Project as ModelProject, ProjectName, Requirement, Task, Value,
    VarName, VarType, merge_requirements,
};
use crate::preflight::{Finding, Git, Machine, Question, Sight, Status, World, ask_all, is_placeholder};
use crate::record::STATE_DIR;
use crate::secret::redact::SHORTEST;
use crate::vars::{Layer, Lookup, TaskValues, Values};

use super::env::guard;
use super::env::made::Made;
use super::matching::choice;
use super::resident::Residents;
use super::run;
use super::secret::{Missing, Refused, Secrets, State, Wanted, cut_short, show_age};
use super::target::environment;
use super::values::{AllValues, NO_DOTENV};
use super::{Context, Problem, Project};

/// Everything that was looked at.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The worst of all.
    pub status: Status,
    /// The environment that is looked at, where its `match` chose it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chosen: Option<event::Chosen>,
    /// The project and the machine first, then each environment.
    pub groups: Vec<Group>,
}

/// What was looked at for one environment, or for the project as a whole.
#[derive(Debug, Serialize)]
pub struct Group {
    /// The environment; `None` for the project as a whole.
    pub environment: Option<String>,
    /// Each check, in the order in which it is written.
    pub checks: Vec<Check>,
}

/// One check.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// What kind of thing: `tool`, `port`, `value`, `git`.
    pub kind: &'static str,
    /// What it is called.
    pub name: String,
    /// The node that alone asks for it.
    pub node: Option<String>,
    /// Whether it is well.
    pub status: Status,
    /// What there is.
    pub found: String,
    /// What was asked for, where that is more than that it be there.
    pub wanted: Option<String>,
    /// What to do.
    pub hint: Option<String>,
    /// `file:line` of what asks for it.
    pub place: Option<String>,
    /// The same, to point at.
    #[serde(skip)]
    pub span: Option<Span>,
}

/// A check that is not asked yet.
struct Draft {
    kind: &'static str,
    name: String,
    node: Option<String>,
    span: Option<Span>,
    hint: Option<String>,
    question: Question,
}

/// A port that a variable of an environment names.
struct PortUse {
    env: Option<EnvName>,
    name: VarName,
    port: u16,
    /// Where its check stands: group and place in the group.
    at: (usize, usize),
}

/// What is written nowhere.
const NOWHERE: Span = Span { file: FileId(0), start: 0, len: 0 };

/// The least number of files to watch that serves a project of ordinary size.
const WATCHES: u64 = 65_536;

/// Looks at everything: for the environments named, or for the one that would be chosen, or for all.
pub fn doctor(context: &Context, project: &mut Project, names: &[String]) -> Result<Report, Problem> {
    doctor_with(context, project, names, &[])
}

/// The same with values for some variables, as `--set` gives them.
pub(super) fn doctor_with(
    context: &Context,
    project: &mut Project,
    names: &[String],
    set: &[(String, String)],
) -> Result<Report, Problem> {
    let (environments, chosen) = environments(context, project, names)?;
    let root = project.root().to_path_buf();
    let machine = Machine::look(&root, (context.cores)());
    let caller = Environ::new(&context.caller);
    let mut groups = vec![(None, about_the_project(context, project, &machine))];
    let mut uses = Vec::new();
    let processes = Processes::new(Duration::from_secs(10));
    // That it cannot be read is told with the project.
    let list = Made::read(&root).ok();
    for env in environments {
        // Without environments there is one group for all.
        let mut drafts = if env.is_none() { std::mem::take(&mut groups[0].1) } else { Vec::new() };
        let group = if env.is_none() { 0 } else { groups.len() };
        let all = AllValues::read(context, project, env.as_ref(), set);
        let project = &*project;
        drafts.extend(half_made(project, list.as_ref(), env.as_ref()));
        drafts.extend(dotenv(project, &all));
        let mut secrets = Secrets::new(context, project, &processes);
        for (name, values) in all.projects {
            let (envfile, sources) = (project.envfile(), project.sources());
            let around = Around { context, envfile, sources, root: &root, env: env.as_ref() };
            let Some(model) = project.envfile().projects.get(&name) else { continue };
            let mut about_secrets = Vec::new();
            around.secrets(project, model, &values, &mut secrets, &mut about_secrets);
            around.requirements(model, &values, &mut drafts);
            around.values(model, &values, group, &mut drafts, &mut uses);
            // A guard that keeps the secrets of several projects is told once.
            let is_told = |told: &Draft| {
                let same = |known: &&Draft| known.span.is_none() && told.span.is_none();
                drafts
                    .iter()
                    .filter(same)
                    .any(|known| (known.kind, &known.question) == (told.kind, &told.question))
            };
            about_secrets.retain(|draft| !is_told(draft));
            drafts.append(&mut about_secrets);
            drafts.extend(unsaved(project, env.as_ref(), &name));
            let hidden = values.iter().filter_map(|(_, lookup)| match lookup {
                Lookup::Value { text, secret: true, .. } => Some(&**text),
                _ => None,
            });
            context.redactor.learn(hidden);
        }
        match env {
            None => groups[0].1 = drafts,
            Some(env) => groups.push((Some(env), drafts)),
        }
    }
    clashes(&mut groups, &uses, !names.is_empty());
    let world = World { machine: &machine, processes: &processes, caller: &caller, root: &root };
    let questions: Vec<Question> =
        groups.iter().flat_map(|(_, drafts)| drafts.iter().map(|draft| draft.question.clone())).collect();
    let mut findings = ask_all(&questions, &world);
    processes.wait();
    processes.finish();
    let residents = LazyCell::new(|| Residents::look(project));
    let asked = groups.iter().flat_map(|(env, drafts)| drafts.iter().map(move |draft| (env, draft)));
    for ((env, draft), finding) in asked.zip(&mut findings) {
        if let Question::Port(port, name) = &draft.question
            && let Some(owner) = machine.ports.owner(*port)
        {
            *finding = residents.finding(env.as_ref(), name, *port, &owner);
        }
    }
    let mut findings = findings.into_iter();
    let groups: Vec<Group> = groups
        .into_iter()
        .map(|(env, drafts)| Group {
            environment: env.map(|env| env.to_string()),
            checks: drafts
                .into_iter()
                .zip(&mut findings)
                .map(|(draft, finding)| check(context, project, draft, finding))
                .collect(),
        })
        .collect();
    let checks = groups.iter().flat_map(|group| &group.checks);
    let status = checks.map(|check| check.status).max().unwrap_or(Status::Pass);
    Ok(Report { status, chosen, groups })
}

/// The environments that are looked at.
fn environments(
    context: &Context,
    project: &Project,
    names: &[String],
) -> Result<(Vec<Option<EnvName>>, Option<event::Chosen>), Problem> {
    let envfile = project.envfile();
    if !names.is_empty() {
        let mut found: Vec<Option<EnvName>> = Vec::new();
        for name in names {
            let env = Some(environment(envfile, name)?);
            if !found.contains(&env) {
                found.push(env);
            }
        }
        return Ok((found, None));
    }
    if let Some(choice) = choice(context, project, None)? {
        let told = choice.told();
        return Ok((vec![Some(choice.env)], told));
    }
    let all: Vec<_> = envfile.concrete_environments().map(|env| Some(env.name.clone())).collect();
    Ok((if all.is_empty() { vec![None] } else { all }, None))
}

/// That an environment was made from a pattern and is not whole.
fn half_made(project: &Project, list: Option<&Made>, env: Option<&EnvName>) -> Option<Draft> {
    let (env, list) = (env?, list?);
    let known = list.environments.get(env.as_str())?;
    project.envfile().environments.get(env)?.made_from.as_ref()?;
    let reason = known.broken_off(project.root(), env.as_str())?;
    let finding = Finding::warn(format!("{}: {reason}", known.state.word()))
        .hint(known.remedy(project.envfile(), env.as_str()));
    Some(Draft::known("environments", env.to_string(), None, finding))
}

/// Dotenv files that cannot be read, or of which some lines cannot.
fn dotenv(project: &Project, all: &AllValues) -> Vec<Draft> {
    let unread = all.unread.iter().map(|error| {
        let name = error.path.strip_prefix(project.root()).unwrap_or(&error.path).display().to_string();
        let finding =
            Finding::fail(error.to_string()).hint("put a file there that you may read, or name another one");
        Draft::known("dotenv", name, None, finding)
    });
    let wrong = all.wrong.iter().map(|wrong| {
        let span = wrong.labels.first().map(|label| label.span);
        let place = span.filter(|_| wrong.code != NO_DOTENV).map(|span| project.sources().place(span));
        let mut finding = Finding::fail(wrong.message.clone());
        finding.hint = wrong.help.clone();
        Draft::known("dotenv", place.unwrap_or_else(|| "dotenv".into()), span, finding)
    });
    unread.chain(wrong).collect()
}

/// What is asked for, for one environment.
struct Around<'a> {
    context: &'a Context,
    envfile: &'a Envfile,
    sources: &'a SourceMap,
    root: &'a Path,
    env: Option<&'a EnvName>,
}

impl Around<'_> {
    /// `file:line` of a span.
    fn place(&self, span: Span) -> String {
        self.sources.place(span)
    }

    /// The rows of `requires` of a project, and those of its nodes.
    fn requirements(&self, project: &ModelProject, values: &Arc<Values>, drafts: &mut Vec<Draft>) {
        let chain = self
            .env
            .and_then(|env| self.envfile.environments.get(env))
            .map_or(&[][..], |environment| &environment.chain);
        let scopes =
            std::iter::once(&project.base).chain(chain.iter().filter_map(|env| project.overlays.get(env)));
        let rows = merge_requirements(scopes.flat_map(|scope| &scope.requires));
        let nobody = Task::new(NodeName::from(""), NOWHERE, project.dir.clone());
        self.ask(rows.into_iter(), values, &nobody, None, drafts);
        let overlay = self.env.and_then(|env| project.overlays.get(env));
        let mut nodes: IndexMap<&NodeName, _> = project.base.nodes.iter().collect();
        nodes.extend(overlay.into_iter().flat_map(|overlay| &overlay.nodes));
        for (name, node) in nodes.iter().filter(|(_, node)| !node.requires().is_empty()) {
            let label = if project.name.as_str().is_empty() {
                name.to_string()
            } else {
                format!("{}:{name}", project.name)
            };
            self.ask(node.requires().iter(), values, node.task(), Some(&label), drafts);
        }
    }

    fn ask<'r>(
        &self,
        rows: impl Iterator<Item = &'r Requirement>,
        values: &Arc<Values>,
        task: &Task,
        node: Option<&str>,
        drafts: &mut Vec<Draft>,
    ) {
        let mut rows = rows.peekable();
        if rows.peek().is_none() {
            return;
        }
        let values = TaskValues::new(values, task, Vec::new());
        let mut environ = Environ::new(&self.context.caller);
        for (name, lookup) in values.iter() {
            if let Some(text) = lookup.text() {
                environ.set(name, &**text);
            }
        }
        if let Some(env) = self.env {
            environ.set("ENVRUN_ENV", env.as_str());
        }
        let dir = values
            .interpolate(&task.dir.value, crate::vars::Form::Text, task.dir.span)
            .map_or_else(|_| self.root.to_path_buf(), |dir| self.root.join(dir));
        let shell = task.shell.as_ref().map(|shell| shell.value.as_str());
        let environ = Arc::new(environ);
        let sight = Sight { values: &values, dir: &dir, environ: &environ, shell };
        for row in rows {
            drafts.push(Draft {
                kind: row.word(),
                name: Question::title(row, &sight, self.root),
                node: node.map(str::to_owned),
                span: Some(row.span),
                hint: row.hint.clone(),
                question: Question::of(row, &sight),
            });
        }
    }

    /// The secrets of a project: there, readable, long enough, not overdue. The values are open after that, unless the
    /// environment's guard refuses.
    fn secrets(
        &self,
        project: &Project,
        model: &ModelProject,
        values: &Arc<Values>,
        secrets: &mut Secrets<'_>,
        drafts: &mut Vec<Draft>,
    ) {
        if values.secrets().is_empty() {
            return;
        }
        let mut tell =
            |kind, name: String, span, finding| drafts.push(Draft::known(kind, name, span, finding));
        let asked = guard::ask(self.context, project, &model.name, self.env, values, "its secrets");
        let refused = asked.map(|known| secrets.know(known)).err();
        if let Some(refused) = refused {
            let reason = refused.reason();
            let hint = match &refused {
                Problem::Refused(refusals) => refusals.first().and_then(|one| one.hint.clone()),
                other => other.hint(),
            };
            let why = "the guard of an environment stands before its secrets too";
            let hint = hint.map_or_else(|| why.to_owned(), |hint| format!("{why}: {hint}"));
            let finding = Finding::warn(format!("not looked at: {reason}")).hint(hint);
            return tell("secret", "secrets".into(), None, finding);
        }
        let examined = match secrets.examine(values) {
            Ok(examined) => examined,
            Err(refused) => {
                return tell("store", refused.store.clone(), None, unreadable(&refused));
            }
        };
        let cut_short = cut_short(self.root, self.env);
        let mut unread = Vec::new();
        for one in examined.iter().filter(|one| one.kept.spec.project == model.name) {
            let secret = &one.kept.spec.secret;
            let env = self.env.map_or(String::new(), |env| format!(" {env}"));
            let is_cut_short = cut_short.iter().any(|name| name == secret.name.as_str());
            let finding = match &one.state {
                State::Present { .. } if is_cut_short => Finding::warn(
                    "a rotation of it was cut short: its owner may have the old value or the new one",
                )
                .hint(format!("`envrun secret rotate{env} --due` brings it to an end")),
                State::Unread(refused) => {
                    if !unread.contains(refused) {
                        unread.push(refused.clone());
                        tell("store", refused.store.clone(), Some(secret.span), unreadable(refused));
                    }
                    continue;
                }
                State::Missing => Finding::fail("not set").hint(one.kept.hint()),
                State::Optional => Finding::pass("not set, and it may be missing"),
                State::Generated => Finding::pass("not made yet: the first run that wants it makes it"),
                State::Present { placeholder: true, .. } => {
                    Finding::warn("a placeholder").hint(one.kept.hint())
                }
                State::Present { short: true, .. } => Finding::warn(format!(
                    "shorter than {SHORTEST} bytes: too short to be hidden in what is printed"
                ))
                .hint(format!("take a longer one: {}", one.kept.hint())),
                State::Present { from, .. } => match one.left {
                    Some(Err(over)) => Finding::warn(format!("overdue for {}", show_age(over)))
                        .hint(format!("`envrun secret rotate{env} {}`", secret.name)),
                    _ => Finding::pass(from.clone()),
                },
            };
            tell("secret", secret.name.to_string(), Some(secret.span), finding);
        }
        secrets.open(values, &Wanted::Everything, Missing::Leave);
    }

    /// The variables of a project: those without a value, placeholders, and every port.
    fn values(
        &self,
        project: &ModelProject,
        values: &Values,
        group: usize,
        drafts: &mut Vec<Draft>,
        uses: &mut Vec<PortUse>,
    ) {
        let declared = declared(self.envfile, project, self.env);
        for (name, lookup) in values.iter() {
            let Some(declared) = declared.get(name) else { continue };
            let mut tell = |span: Span, finding: Finding| {
                drafts.push(Draft::known("value", name.to_string(), Some(span), finding));
            };
            match lookup {
                Lookup::Missing(wrong) => {
                    let span = wrong.labels.first().map_or(declared.span, |label| label.span);
                    // A secret is a check of its own, and what rests on one that is missing says nothing new.
                    if declared.is_secret || declared.derived && !values.secrets_of(name.as_str()).is_empty()
                    {
                        continue;
                    }
                    let otherwise = || format!("give {name} another value: {}", self.place(span));
                    let hint = wrong.help.clone().unwrap_or_else(otherwise);
                    tell(span, Finding::fail(wrong.message.clone()).hint(hint));
                }
                Lookup::Value { text, secret, origin } => {
                    let span = origin.span.unwrap_or(declared.span);
                    if declared.is_secret && matches!(origin.layer, Layer::Store(_) | Layer::Caller) {
                        continue;
                    }
                    if is_placeholder(text) {
                        let shown = if *secret {
                            "a placeholder".to_owned()
                        } else {
                            format!("`{text}`, a placeholder")
                        };
                        tell(span, Finding::warn(shown).hint(format!("give {name} the value that is meant")));
                    } else if *secret && text.len() < SHORTEST && !text.is_empty() {
                        let found = format!(
                            "shorter than {SHORTEST} bytes: too short to be hidden in what is printed"
                        );
                        tell(span, Finding::warn(found).hint("take a longer one"));
                    }
                    if declared.is_port
                        && let Ok(port) = text.parse::<u16>()
                        && port > 0
                    {
                        if !declared.derived {
                            let at = (group, drafts.len());
                            uses.push(PortUse { env: self.env.cloned(), name: name.clone(), port, at });
                        }
                        drafts.push(Draft {
                            kind: "port",
                            name: name.to_string(),
                            node: None,
                            span: Some(span),
                            hint: None,
                            question: Question::Port(port, name.to_string()),
                        });
                    }
                }
                Lookup::Undeclared => {}
            }
        }
    }
}

/// What the Envfile says of a variable or a secret.
struct Declared {
    span: Span,
    is_port: bool,
    is_secret: bool,
    /// Its value is made from others, so that it may well be equal to one of them.
    derived: bool,
}

/// The ports that two variables of an environment both name: the second of them and the first, with the port. That they are
/// free is another question: what is live now has them.
pub(super) fn shared_ports(
    envfile: &Envfile,
    project: &ModelProject,
    env: Option<&EnvName>,
    values: &TaskValues,
) -> Vec<(VarName, VarName, u16)> {
    let mut first: IndexMap<u16, &VarName> = IndexMap::new();
    let mut shared = Vec::new();
    let all = declared(envfile, project, env);
    for (name, _) in all.iter().filter(|(_, known)| known.is_port && !known.derived) {
        let Some(port) = values.lookup(name.as_str()).text().and_then(|text| text.parse().ok()) else {
            continue;
        };
        match first.get(&port) {
            Some(other) => shared.push(((*name).clone(), (*other).clone(), port)),
            None => drop(first.insert(port, name)),
        }
    }
    shared
}

/// What a project itself declares, as an environment has it.
fn declared<'e>(
    envfile: &'e Envfile,
    project: &'e ModelProject,
    env: Option<&EnvName>,
) -> IndexMap<&'e VarName, Declared> {
    let chain = env.and_then(|env| envfile.environments.get(env)).map_or(&[][..], |env| &env.chain);
    let mut found: IndexMap<&VarName, Declared> = IndexMap::new();
    for scope in
        std::iter::once(&project.base).chain(chain.iter().filter_map(|env| project.overlays.get(env)))
    {
        for (name, row) in &scope.secrets {
            if row.removed {
                found.shift_remove(name);
                continue;
            }
            found.insert(name, Declared { span: row.span, is_port: false, is_secret: true, derived: false });
        }
        for (name, var) in &scope.vars {
            let is_port = found.get(name).is_some_and(|below| below.is_port) || var.ty == Some(VarType::Port);
            let derived = match &var.value {
                Some(value) => matches!(&value.value, Value::String(text) if text.contains('$')),
                None => found.get(name).is_some_and(|below| below.derived),
            };
            found.insert(name, Declared { span: var.span, is_port, is_secret: false, derived });
        }
    }
    found
}

impl Draft {
    fn known(kind: &'static str, name: impl Into<String>, span: Option<Span>, finding: Finding) -> Self {
        Self { kind, name: name.into(), node: None, span, hint: None, question: Question::Known(finding) }
    }
}

/// What concerns every environment: git, the cache, the limits of the system.
fn about_the_project(context: &Context, project: &Project, machine: &Machine) -> Vec<Draft> {
    let git = Git::new(project.root());
    let caller = |name: &str| context.caller_text(name);
    let state = match (git.branch(&caller), git.changes()) {
        (Ok(branch), Ok(changes)) => Finding::pass(match changes.len() {
            0 => format!("branch {branch}, clean"),
            1 => format!("branch {branch}, 1 file is not committed"),
            count => format!("branch {branch}, {count} files are not committed"),
        }),
        (Err(reason), _) | (_, Err(reason)) => {
            Finding::warn(reason.replace("it needs a git repository, and this is none", "no repository"))
                .hint("`git init`: branches, `clean`, approvals and `.gitignore` rest on it")
        }
    };
    let mut drafts = vec![Draft::known("git", "git", None, state)];
    let folder = run::cache_folder(context, Some(project));
    drafts.push(Draft::known(
        "cache",
        "cache",
        None,
        writable(&folder, "or name another folder in `ENVRUN_CACHE_DIR`"),
    ));
    // Without it nothing is recorded, no secret made and no service kept. That it is as it should be goes without saying.
    let state = writable(&project.root().join(STATE_DIR), "or work in a copy of the project");
    if state.status != Status::Pass {
        drafts.push(Draft::known("state", STATE_DIR, None, state));
    }
    if let Some(watches) = machine.watches {
        let finding = if watches < WATCHES {
            Finding::warn(watches.to_string())
        } else {
            Finding::pass(watches.to_string())
        };
        let finding = finding
            .wanted(format!("at least {WATCHES}"))
            .hint(format!("`sysctl fs.inotify.max_user_watches={}`", 8 * WATCHES));
        drafts.push(Draft::known("inotify", "files to watch", None, finding));
    }
    if let Some(reason) = &project.envfile().made_unread {
        let finding = Finding::warn("which were made is not known").hint(reason.clone());
        drafts.push(Draft::known("environments", "environments", None, finding));
    }
    let rendered = super::rendered::findings(project).into_iter();
    drafts
        .extend(rendered.map(|(file, span, finding)| Draft::known("render", file.path, Some(span), finding)));
    drafts
}

/// Deploys of an environment before which no data are saved: a rollback of one brings the code back and nothing else.
fn unsaved(project: &Project, env: Option<&EnvName>, of: &ProjectName) -> Vec<Draft> {
    let envfile = project.envfile();
    let paths = envfile.node_paths().into_iter().filter(|path| path.project == *of);
    let unsaved = paths.filter_map(|path| match (env, envfile.node(env, &path)) {
        (Some(_), Some(Node::Deploy(deploy))) if deploy.snapshots.is_empty() => {
            let finding = Finding::warn("no data are saved before it")
                .hint("declare a `snapshot` and name it in the deploy, if there are data that it could harm");
            Some(Draft::known("snapshot", path.to_string(), Some(deploy.task.span), finding))
        }
        _ => None,
    });
    unsaved.collect()
}

/// A store that cannot be read.
fn unreadable(refused: &Refused) -> Finding {
    let hint = refused.hint.clone();
    Finding::fail(refused.reason.clone()).hint(hint.unwrap_or_else(|| match refused.place.as_str() {
        "" => "correct what it says, or keep the secret elsewhere".to_owned(),
        place => format!("correct it: {place}"),
    }))
}

/// Whether a folder, or the nearest one above it that is there, can be written to; `or` what else may be done. Nothing is
/// made to find out.
fn writable(folder: &Path, or: &str) -> Finding {
    let shown = folder.display();
    let Some(nearest) = folder.ancestors().find(|folder| folder.exists()) else {
        return Finding::fail(format!("{shown} cannot be made")).hint(format!("make it, {or}"));
    };
    if !nearest.is_dir() {
        let what = if nearest == folder { String::new() } else { format!("{shown}: ") };
        return Finding::fail(format!("{what}{} is not a folder", nearest.display()))
            .hint(format!("move that file away, {or}"));
    }
    match rustix::fs::access(nearest, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK) {
        Ok(()) => Finding::pass(shown.to_string()),
        Err(error) => Finding::fail(format!("{} cannot be written to: {error}", nearest.display()))
            .hint(format!("give yourself the right to, {or}")),
    }
}

/// Two variables with one port: in one environment always a mistake, between environments if both were named.
fn clashes(groups: &mut [(Option<EnvName>, Vec<Draft>)], uses: &[PortUse], across: bool) {
    let mut first: IndexMap<u16, Vec<&PortUse>> = IndexMap::new();
    for used in uses {
        let others = first.entry(used.port).or_default();
        let other = others.iter().find(|other| across || other.env == used.env);
        if let Some(other) = other {
            let named = |used: &PortUse, with_env: bool| match &used.env {
                Some(env) if with_env => format!("{} of {env}", used.name),
                _ => used.name.to_string(),
            };
            let apart = other.env != used.env;
            let finding = Finding::fail(format!("{} is also the port of {}", used.port, named(other, apart)))
                .hint(format!(
                    "give one of them another port: {} or {}",
                    named(other, apart),
                    named(used, apart)
                ));
            let (group, at) = used.at;
            groups[group].1[at].question = Question::Known(finding);
        }
        others.push(used);
    }
}

fn check(context: &Context, project: &Project, draft: Draft, finding: Finding) -> Check {
    let hide = |text: String| context.redactor.text(&text).into_owned();
    let own_hint = draft.hint.filter(|_| finding.status != Status::Pass);
    Check {
        kind: draft.kind,
        name: hide(draft.name),
        node: draft.node,
        status: finding.status,
        found: hide(finding.found),
        wanted: finding.wanted,
        hint: own_hint.or(finding.hint).map(hide),
        place: draft.span.map(|span| project.sources().place(span)),
        span: draft.span,
    }
}

impl Report {
    /// How many checks there are of a status.
    pub fn count(&self, status: Status) -> usize {
        self.groups.iter().flat_map(|group| &group.checks).filter(|check| check.status == status).count()
    }

    /// What is not well, as diagnostics: each at the place that asks for it.
    pub fn diagnostics(&self) -> Vec<Diagnostic> {
        let mut diagnostics: Vec<Diagnostic> = Vec::new();
        for group in &self.groups {
            for check in &group.checks {
                let environment = group.environment.as_ref().map_or(String::new(), |env| format!("{env}: "));
                let message = format!("{environment}{}: {}", check.name, check.reason());
                let diagnostic = match check.status {
                    Status::Pass => continue,
                    Status::Warn => Diagnostic::warning("doctor", message),
                    Status::Fail => Diagnostic::error("doctor", message),
                };
                let diagnostic = diagnostic.maybe_help(check.hint.clone());
                diagnostics.push(match check.span {
                    Some(span) => diagnostic.at(span, ""),
                    None => diagnostic,
                });
            }
        }
        diagnostics
    }
}

impl Check {
    /// What there is, and what was wanted.
    pub fn reason(&self) -> String {
        match &self.wanted {
            Some(wanted) => format!("{}, wanted {wanted}", self.found),
            None => self.found.clone(),
        }
    }
}
