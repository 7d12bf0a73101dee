//! What every action of a run shares, and what reaches a command.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::base::{Clock, Digest, RelPath, glob};
use crate::cache::LocalStore;
use crate::diag::{Diagnostic, Span, Spanned};
use crate::exec::{Environ, Interrupt, Jobserver, Processes};
use crate::fingerprint::{Definition, Variable, Workspace};
use crate::graph::{ConfiguredTask, Step};
use crate::model::{Action, Command, Condition, Content, EnvName, Envfile, Sandbox, Service, Task, VarName};
use crate::preflight::{self, Git, Ignored, Live, Verdict};
use crate::record::{ManifestLog, RunId};
use crate::secret::Redactor;
use crate::vars::{Form, Lookup, TaskValues, reads};

use super::audit::Audit;
use super::deploy::Deployments;
use super::lock::{Holder, NodeLock, Taken};
use super::memory::Memory;
use super::pin::Pins;
use super::service::Services;

/// What every action of a run shares.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// The project's root.
    pub root: &'a Path,
    /// What the Envfile says.
    pub envfile: &'a Envfile,
    /// The variables of the caller.
    pub caller: &'a BTreeMap<OsString, OsString>,
    /// The checkout.
    pub workspace: &'a Workspace,
    /// Where results are looked for.
    pub read_cache: Option<&'a LocalStore>,
    /// Where results are kept.
    pub write_cache: Option<&'a LocalStore>,
    /// Every running command.
    pub processes: &'a Arc<Processes>,
    /// The places of `-j`.
    pub jobserver: &'a Jobserver,
    /// The repository around the project.
    pub git: &'a Git,
    /// Which files it leaves out.
    pub ignored: &'a Ignored,
    /// Every time that something was live in an environment, the last one first.
    pub live: &'a (dyn Fn(&EnvName) -> Vec<Live> + Sync),
    /// The host's name.
    pub host: &'a str,
    /// The digest of the frozen plan that is carried out: an approval may name it.
    pub planned: Option<&'a str>,
    /// Why what is forced is, in words that stand after "because".
    pub forced: &'a str,
    /// The time of day.
    pub clock: &'a Clock,
    /// What hides secrets in everything that is told.
    pub redactor: &'a Redactor,
    /// The run's id.
    pub run: &'a RunId,
    /// Where what went into the keys is taken down.
    pub manifests: &'a ManifestLog,
    /// The services of its environments.
    pub services: &'a Services,
    /// Where it is left what the commands of the targets touched, if anybody wants to know.
    pub audit: Option<&'a Audit>,
    /// What is remembered from run to run, in a session.
    pub memory: Option<&'a Memory>,
    /// The bytes that nodes must have, where somebody proved them.
    pub pins: Option<&'a Pins>,
    /// The deploys of the run.
    pub deploys: Option<&'a Deployments>,
    /// Commands may run although the run was interrupted once: something is put back.
    pub cleanup: bool,
    /// By node: what tells its definition from any other ([`Workspace::text_of`]), where an earlier run worked it out and
    /// nothing that it is made of has changed since.
    pub texts: Option<&'a [Option<Digest>]>,
}

/// Variables that reach every command as the caller has them. They say where things are on this machine, not what is to be
/// made, so they are part of a key only where a task mentions one or lists it in `uses`.
const ALWAYS: &[&str] = &["PATH", "HOME", "USER", "SHELL", "TMPDIR", "LANG", "TERM"];

/// What stands for a rendered file among the commands of a key: no program can be called so.
const RENDER: &str = "\0render";

/// Variables that envrun gives to a command and that say nothing of what it makes.
const OUTSIDE_KEY: &[&str] = &["ENVRUN_EXPORT"];

/// What is known of a node when its turn has come, files apart.
pub struct Scene {
    /// The values as its commands see them.
    pub values: TaskValues,
    /// Every variable it may read, its own included.
    pub names: BTreeSet<VarName>,
    /// Where it runs.
    pub dir: RelPath,
    /// Its shell, interpolated.
    pub shell: Option<String>,
}

/// How long somebody waits for another envrun before a word is said of it.
const QUIET: Duration = Duration::from_millis(300);

impl<'a> Surroundings<'a> {
    /// Waits for the lock of a place, unless the run is interrupted or the node `unwanted`, and tells for whom.
    pub(super) fn lock_of_place(
        &self,
        place: &Digest,
        label: &str,
        looked: SystemTime,
        tell: &dyn Fn(String),
        unwanted: &dyn Fn() -> bool,
    ) -> Taken {
        let mut told = false;
        NodeLock::take(self.root, place, label, looked, |waited, holder| {
            if waited >= QUIET && !std::mem::replace(&mut told, true) {
                tell(match holder {
                    Some(Holder { process, label }) => {
                        format!(
                            "waits for `{label}` of another envrun, process {}, that writes into the same place",
                            process.pid
                        )
                    }
                    None => "waits for another envrun that writes into the same place".to_owned(),
                });
            }
            // What is put back goes on after a first Ctrl-C.
            let ends = |how| !self.cleanup || !matches!(how, Interrupt::Told { .. });
            !unwanted() && !self.processes.interrupted().is_some_and(ends)
        })
    }

    /// Works out what a node sees. The error is a variable without a value, ready to be shown.
    pub fn scene(&self, node: &ConfiguredTask) -> Result<Scene, Arc<Diagnostic>> {
        let task = &node.task;
        let values = self.task_values(node, task);
        let names = names(node);
        // A rendered file may do without some of the variables that it could hold: who renders it knows.
        let mentioned = node.renders().then(|| reads(self.envfile, node.env.as_ref(), task));
        for name in mentioned.as_ref().unwrap_or(&names) {
            if let Lookup::Missing(diagnostic) = values.lookup(name.as_str()) {
                return Err(diagnostic);
            }
        }
        let text = values.interpolate(&task.dir.value, Form::Text, task.dir.span)?;
        let dir = RelPath::root().resolve(&text).map_err(|error| {
            Arc::new(Diagnostic::error("run/dir", error.to_string()).at(task.dir.span, "given here"))
        })?;
        let shell = match &task.shell {
            Some(shell) => Some(values.interpolate(&shell.value, Form::Text, shell.span)?),
            None => None,
        };
        Ok(Scene { values, names, dir, shell })
    }

    /// What the guards of a node see: the same, without the values that are missing, as secrets are before guards have
    /// passed.
    pub fn scene_of_guards(&self, node: &ConfiguredTask) -> Scene {
        let task = &node.task;
        let values = self.task_values(node, task);
        let text = |text: &str, span| values.interpolate(text, Form::Text, span).ok();
        let dir = text(&task.dir.value, task.dir.span).and_then(|dir| RelPath::root().resolve(&dir).ok());
        Scene {
            names: names(node),
            dir: dir.unwrap_or_else(|| task.project_dir.clone()),
            shell: task.shell.as_ref().and_then(|shell| text(&shell.value, shell.span)),
            values,
        }
    }

    /// The values as `task` sees them with the arguments of `node`: its own, or one that it calls.
    pub fn task_values(&self, node: &ConfiguredTask, task: &Task) -> TaskValues {
        let mut extra = node.given.clone();
        for arg in &node.task.args {
            let given =
                node.args.iter().find(|(name, _)| *name == arg.name.value).map(|(_, value)| value.clone());
            if let Some(value) = given.or_else(|| arg.default.as_ref().map(ToString::to_string)) {
                extra.push((arg.variable(), value));
            }
        }
        TaskValues::new(&node.values, task, extra)
    }

    /// Every variable that a node's commands see.
    pub fn environ(&self, node: &ConfiguredTask, scene: &Scene, export: &Path) -> Environ {
        let mut environ = Environ::default();
        if node.task.is_cacheable() {
            for (name, value) in self.caller {
                let always =
                    name.to_str().is_some_and(|name| ALWAYS.contains(&name) || name.starts_with("LC_"));
                if always {
                    environ.set(name, value);
                }
            }
            for name in &scene.names {
                match scene.values.lookup(name.as_str()) {
                    Lookup::Value { text, .. } => environ.set(name.as_str(), &*text),
                    // A name that envrun does not know may still be one of the caller's that is not UTF-8.
                    _ => {
                        if let Some(value) = self.caller.get(OsStr::new(name.as_str())) {
                            environ.set(name.as_str(), value);
                        }
                    }
                }
            }
            if scene.names.contains("ENVRUN_EXPORT") {
                environ.set("ENVRUN_EXPORT", export);
            }
        } else {
            for (name, value) in self.caller {
                environ.set(name, value);
            }
            let given = ["ENVRUN_ENV", "ENVRUN_STAGE", "ENVRUN_RUN", "ENVRUN_TIME"]
                .into_iter()
                .map(|name| (name.to_owned(), scene.values.lookup(name)));
            let read = scene.names.iter().map(|name| (name.to_string(), scene.values.lookup(name.as_str())));
            for (name, lookup) in given.chain(scene.values.iter()).chain(read) {
                if let Some(text) = lookup.text() {
                    environ.set(name, &**text);
                }
            }
            environ.set("ENVRUN_EXPORT", export);
        }
        // The caller's other flags for make (`-k`, `-n`) are none of a cacheable task's business: they are not in its key.
        let inherited = self.caller.get(OsStr::new("MAKEFLAGS")).filter(|_| !node.task.is_cacheable());
        environ.set("MAKEFLAGS", self.jobserver.makeflags(inherited.map(OsString::as_os_str)));
        environ
    }

    /// What the key of a node is made of, files apart.
    pub fn definition(&self, node: &ConfiguredTask, scene: &Scene) -> Result<Definition, Arc<Diagnostic>> {
        let task = &node.task;
        let mut commands = Vec::new();
        let (mut read, mut written) = (Vec::new(), Vec::new());
        let fill = |text: &Spanned<String>| scene.values.interpolate(&text.value, Form::Text, text.span);
        for action in node.actions() {
            match action {
                Step::Run(command, _) => commands.push(self.keyed(command, &scene.values, task)?),
                Step::Render(render, _) => {
                    let path = fill(&render.path)?;
                    written.push(glob::escape(&path));
                    let mut words = vec![RENDER.to_owned(), path, format!("{:?}", render.only)];
                    words.push(render.content.word().to_owned());
                    match &render.content {
                        Content::Template(template) => {
                            let template = fill(template)?;
                            read.push(glob::escape(&template));
                            words.push(template);
                        }
                        Content::KubernetesSecret { name, namespace } => {
                            words.push(fill(name)?);
                            words.extend(namespace.as_ref().map(fill).transpose()?);
                        }
                        Content::Dotenv | Content::Json | Content::Shell => {}
                    }
                    commands.push(Command::Argv(words));
                }
                Step::Called(_) | Step::Load(..) => {}
            }
        }
        let variable = |name: &VarName| {
            let lookup = scene.values.lookup(name.as_str());
            let secret = matches!(lookup, Lookup::Value { secret: true, .. });
            let value = match lookup.text() {
                Some(text) => Some(text.as_bytes().to_vec()),
                None => {
                    self.caller.get(OsStr::new(name.as_str())).map(|value| value.as_encoded_bytes().to_vec())
                }
            };
            Variable { name: name.to_string(), value, secret }
        };
        let keyed = |name: &&VarName| !OUTSIDE_KEY.contains(&name.as_str());
        let texts = |list: &[Spanned<String>]| list.iter().map(fill).collect::<Result<Vec<_>, _>>();
        Ok(Definition {
            label: state_label(node),
            commands,
            shell: scene.shell.clone(),
            dir: scene.dir.clone(),
            variables: scene.names.iter().filter(keyed).map(variable).collect(),
            inputs: [texts(task.inputs.as_deref().unwrap_or_default())?, read].concat(),
            outputs: [texts(task.outputs.as_deref().unwrap_or_default())?, written].concat(),
            depfiles: texts(&task.depfile)?,
            strict: task.sandbox == Sandbox::Strict,
            tools: texts(&task.tools)?,
            search_path: match &task.tools[..] {
                [] => OsString::new(),
                _ => self.caller.get(OsStr::new("PATH")).cloned().unwrap_or_default(),
            },
        })
    }

    /// A command as it is in the key: a secret in its words is named, not told. Its value is in the key by itself.
    /// What a service watches, as a definition with nothing else in it; nothing for one that watches no files.
    pub fn watched(
        &self,
        node: &ConfiguredTask,
        service: &Service,
        scene: &Scene,
    ) -> Result<Option<Definition>, Arc<Diagnostic>> {
        if service.watch.is_empty() {
            return Ok(None);
        }
        let fill = |text: &Spanned<String>| scene.values.interpolate(&text.value, Form::Text, text.span);
        let inputs = service.watch.iter().map(fill).collect::<Result<_, _>>()?;
        let (label, dir) = (state_label(node), scene.dir.clone());
        Ok(Some(Definition { label, dir, inputs, ..Definition::default() }))
    }

    fn keyed(&self, command: &Command, values: &TaskValues, task: &Task) -> Result<Command, Arc<Diagnostic>> {
        self.with_words(command, task, |word, span| values.interpolate_named(word, Form::Word, span))
    }

    /// A command with the `${NAME}` of its words replaced; shell text is left to the shell.
    pub fn interpolated(
        &self,
        command: &Command,
        values: &TaskValues,
        task: &Task,
    ) -> Result<Command, Arc<Diagnostic>> {
        self.with_words(command, task, |word, span| values.interpolate(word, Form::Word, span))
    }

    fn with_words(
        &self,
        command: &Command,
        task: &Task,
        of: impl Fn(&str, Span) -> Result<String, Arc<Diagnostic>>,
    ) -> Result<Command, Arc<Diagnostic>> {
        match command {
            Command::Shell(text) => Ok(Command::Shell(text.clone())),
            Command::Argv(words) => {
                let span = || {
                    let is_this = |action: &&crate::diag::Spanned<Action>| matches!(&action.value, Action::Run(run) if run == command);
                    task.actions.iter().find(is_this).map_or(task.span, |action| action.span)
                };
                let words = words.iter().map(|word| of(word, span()));
                Ok(Command::Argv(words.collect::<Result<_, _>>()?))
            }
        }
    }

    /// The conditions that skip a node: its own, and those of its environment.
    pub fn when<'n>(&'n self, node: &'n ConfiguredTask) -> impl Iterator<Item = &'n Condition> {
        scope_conditions(self.envfile, node, |scope| &scope.when).chain(&node.task.when)
    }

    /// Asks a condition for a node.
    pub fn ask(
        &self,
        condition: &Condition,
        scene: &Scene,
        exec: &dyn Fn(&Command) -> Result<bool, String>,
    ) -> Verdict {
        self.with_sight(scene, exec, |around| preflight::check(condition, around))
    }

    /// What would satisfy a condition that does not hold.
    pub fn remedy(&self, condition: &Condition, scene: &Scene) -> Option<String> {
        let nothing = |_: &Command| Err("it is not asked again".to_owned());
        self.with_sight(scene, &nothing, |around| preflight::remedy(condition, around))
    }

    fn with_sight<T>(
        &self,
        scene: &Scene,
        exec: &dyn Fn(&Command) -> Result<bool, String>,
        ask: impl FnOnce(&preflight::Surroundings<'_>) -> T,
    ) -> T {
        let caller = |name: &str| self.caller.get(OsStr::new(name))?.to_str().map(str::to_owned);
        ask(&preflight::Surroundings {
            git: self.git,
            variable: &|name| scene.values.lookup(name).text().map(|text| text.to_string()),
            caller: &caller,
            exists: &|path| scene.dir.below(self.root).join(path).exists(),
            exec,
            host: self.host,
            now: self.clock.now(),
            env: scene.values.values().env(),
            revision: &|| scene.values.lookup("ENVRUN_REVISION").text().map(|text| text.to_string()),
            plan: self.planned,
            artefacts: None,
            live: self.live,
            // Asked for when everything else that is guarded holds, before the run begins.
            confirmed: &|_| false,
            scratch: &self.root.join(crate::record::STATE_DIR).join("tmp"),
        })
    }
}

/// Every variable that a node may read, its own included.
fn names(node: &ConfiguredTask) -> BTreeSet<VarName> {
    let mut names = BTreeSet::clone(&node.reads);
    names.extend(node.task.vars.keys().cloned());
    names.extend(node.task.args.iter().map(|arg| VarName::from(arg.variable().as_str())));
    names
}

/// What the environment of a node, and those it extends, say in one of their blocks: in the node's project and in those
/// around it.
pub fn scope_conditions<'n>(
    envfile: &'n Envfile,
    node: &'n ConfiguredTask,
    of: impl Fn(&'n crate::model::Scope) -> &'n Vec<Condition> + Copy + 'n,
) -> impl Iterator<Item = &'n Condition> {
    let chain =
        node.env.as_ref().and_then(|env| envfile.environments.get(env)).map_or(&[][..], |env| &env.chain);
    let mut projects = Vec::new();
    let mut next = envfile.projects.get(&node.path.project);
    while let Some(project) = next {
        projects.push(project);
        next = project.outer.as_ref().and_then(|outer| envfile.projects.get(outer));
    }
    projects
        .into_iter()
        .flat_map(move |project| chain.iter().filter_map(move |env| project.overlays.get(env)))
        .flat_map(move |scope| of(scope).iter())
}

/// The name that a node's state is kept under: two runs with other arguments do not push each other out.
pub fn state_label(node: &ConfiguredTask) -> String {
    let mut label = node.label.clone();
    for (name, value) in &node.args {
        label.push_str(&format!(" {name}={value}"));
    }
    label
}
