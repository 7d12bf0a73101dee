//! Which variables a task's definition reads, and which of them the environment decides.

use std::collections::{BTreeSet, HashSet};

use crate::model::{
    Action, Command, Condition, ConditionKind, Content, EnvName, Envfile, ProbeKind, ProjectName, Render,
    Requirement, RequirementKind, Service, Snapshot, Task, Value, Var, VarName,
};

use super::interpolate::{Form, mentions};
use super::request::lineage;

/// Every variable that `task`, as `env` has it, names: in its commands and those of the tasks it calls, its paths, its
/// own variables' values, `uses`, `done`, `when` and `guard`. A name too many is possible, a name too few is not (a shell
/// can build a name at run time: that is what `uses` is for).
pub fn reads(envfile: &Envfile, env: Option<&EnvName>, task: &Task) -> BTreeSet<VarName> {
    let mut found = Found { envfile, names: BTreeSet::new(), called: HashSet::new() };
    found.task(env, task);
    found.names
}

/// Every variable that a condition names.
pub fn condition_names(envfile: &Envfile, condition: &Condition) -> BTreeSet<VarName> {
    let mut found = Found { envfile, names: BTreeSet::new(), called: HashSet::new() };
    found.conditions(std::slice::from_ref(condition));
    found.names
}

/// Every variable that a row of `requires` names.
pub fn requirement_names(envfile: &Envfile, requirement: &Requirement) -> BTreeSet<VarName> {
    let mut found = Found { envfile, names: BTreeSet::new(), called: HashSet::new() };
    match &requirement.kind {
        RequirementKind::Exec(command) => found.command(command),
        RequirementKind::Set(name) => {
            found.names.insert(name.as_str().into());
        }
        RequirementKind::Tool { program: text, .. }
        | RequirementKind::File(text)
        | RequirementKind::Reach(text) => found.text(text, Form::Text),
        _ => {}
    }
    found.names
}

/// Every variable that a service names beside what its core does: in its other commands, its probes and its addresses.
pub fn reads_of_service(envfile: &Envfile, service: &Service) -> BTreeSet<VarName> {
    let mut found = Found { envfile, names: BTreeSet::new(), called: HashSet::new() };
    for command in [&service.start, &service.stop, &service.log].into_iter().flatten() {
        found.command(&command.value);
    }
    for probe in service.ready.iter().flat_map(|ready| &ready.probes) {
        match &probe.kind {
            ProbeKind::Http { url: text, .. } | ProbeKind::Tcp(text) | ProbeKind::Log(text) => {
                found.text(text, Form::Text);
            }
            ProbeKind::Exec(command) => found.command(command),
            ProbeKind::Notify => {}
        }
    }
    for glob in &service.watch {
        found.text(&glob.value, Form::Text);
    }
    for url in &service.urls {
        found.text(&url.url.value, Form::Text);
    }
    found.names
}

/// Every variable that a snapshot names in the commands that save, prove and put back.
pub fn reads_of_snapshot(envfile: &Envfile, snapshot: &Snapshot) -> BTreeSet<VarName> {
    let mut found = Found { envfile, names: BTreeSet::new(), called: HashSet::new() };
    for command in [&snapshot.save, &snapshot.restore, &snapshot.verify].into_iter().flatten() {
        found.command(&command.value);
    }
    found.names
}

struct Found<'a> {
    envfile: &'a Envfile,
    names: BTreeSet<VarName>,
    called: HashSet<*const Task>,
}

impl Found<'_> {
    fn text(&mut self, text: &str, form: Form) {
        for mention in mentions(text, form) {
            if !self.names.contains(mention.name) {
                self.names.insert(mention.name.into());
            }
        }
    }

    fn command(&mut self, command: &Command) {
        match command {
            Command::Shell(text) => self.text(text, Form::Shell),
            Command::Argv(words) => words.iter().for_each(|word| {
                // The program may be a shell after all: `run "bash" "-c" "echo $NAME"`.
                self.text(word, Form::Shell);
            }),
        }
    }

    fn conditions(&mut self, conditions: &[Condition]) {
        for condition in conditions {
            match &condition.kind {
                ConditionKind::Exec { command, .. } => self.command(command),
                ConditionKind::Set(names) | ConditionKind::Unset(names) => {
                    self.names.extend(names.iter().map(|name| VarName::from(name.as_str())));
                }
                ConditionKind::Branch(texts)
                | ConditionKind::Tag(texts)
                | ConditionKind::Host(texts)
                | ConditionKind::File(texts) => texts.iter().for_each(|text| self.text(text, Form::Text)),
                _ => {}
            }
        }
    }

    fn task(&mut self, env: Option<&EnvName>, task: &Task) {
        let lists = [task.inputs.as_ref(), task.outputs.as_ref(), Some(&task.depfile), Some(&task.tools)];
        for text in lists.into_iter().flatten().flatten() {
            self.text(&text.value, Form::Text);
        }
        self.text(&task.dir.value, Form::Text);
        if let Some(shell) = &task.shell {
            self.text(&shell.value, Form::Text);
        }
        self.names.extend(task.uses.iter().map(|name| VarName::from(name.value.as_str())));
        for var in task.vars.values() {
            self.value(var);
        }
        self.conditions(&task.when);
        self.conditions(&task.guard);
        if let Some(done) = &task.done {
            self.command(&done.value);
        }
        for action in &task.actions {
            match &action.value {
                Action::Run(command) => self.command(command),
                Action::Call(called) => {
                    let env = called.env.as_ref().or(env);
                    if let Some(crate::model::Node::Task(task)) = self.envfile.node(env, &called.path)
                        && self.called.insert(std::ptr::from_ref::<Task>(task))
                    {
                        self.task(env, task);
                    }
                }
                Action::Render(render) => self.render(render),
                Action::Load(load) => load.at.iter().for_each(|at| self.text(&at.value, Form::Text)),
                Action::Unbuilt(_) => {}
            }
        }
    }

    /// Only what its own texts name: that it reads every variable there is, those know who know which there are.
    fn render(&mut self, render: &Render) {
        self.text(&render.path.value, Form::Text);
        match &render.content {
            Content::KubernetesSecret { name, namespace } => {
                self.text(&name.value, Form::Text);
                namespace.iter().for_each(|namespace| self.text(&namespace.value, Form::Text));
            }
            Content::Template(path) => self.text(&path.value, Form::Text),
            Content::Dotenv | Content::Json | Content::Shell => {}
        }
    }

    fn value(&mut self, var: &Var) {
        if let Some(Value::String(text)) = var.value.as_ref().map(|value| &value.value) {
            self.text(text, Form::Text);
        }
    }
}

/// The names of a project whose values may differ from one environment to another.
#[derive(Debug, Clone)]
pub struct EnvironmentNames {
    names: HashSet<VarName>,
    /// A dotenv file depends on the environment, and a dotenv file may hold any name.
    any: bool,
}

impl EnvironmentNames {
    /// Finds them for a project: what an `env` block gives, what envrun itself gives by environment, secrets, and
    /// whatever mentions one of these.
    pub fn of(envfile: &Envfile, project: &ProjectName) -> Self {
        let mut names: HashSet<VarName> =
            ["ENVRUN_ENV", "ENVRUN_STAGE", "ENVRUN_PREVIOUS"].into_iter().map(VarName::from).collect();
        let lineage = lineage(envfile, project);
        for project in &lineage {
            names.extend(project.base.secrets.keys().cloned());
            for scope in project.overlays.values() {
                names.extend(scope.vars.keys().chain(scope.secrets.keys()).cloned());
            }
        }
        let vars = || lineage.iter().flat_map(|project| project.base.vars.values());
        loop {
            let more: Vec<VarName> = vars()
                .filter(|var| !names.contains(&var.name))
                .filter(|var| {
                    matches!(var.value.as_ref().map(|value| &value.value), Some(Value::String(text))
                        if mentions(text, Form::Text).iter().any(|mention| names.contains(mention.name)))
                })
                .map(|var| var.name.clone())
                .collect();
            if more.is_empty() {
                break;
            }
            names.extend(more);
        }
        let any = lineage.iter().any(|project| {
            project.overlays.values().any(|scope| !scope.dotenv.is_empty())
                || project.base.dotenv.iter().any(|file| {
                    mentions(&file.path.value, Form::Text).iter().any(|mention| names.contains(mention.name))
                })
        });
        Self { names, any }
    }

    /// Whether the environment may decide what `name` stands for. No dotenv file gives what envrun itself gives.
    pub fn contains(&self, name: &str) -> bool {
        self.names.contains(name) || self.any && !name.starts_with("ENVRUN_")
    }

    /// Whether the environment may decide anything at all but `ENVRUN_*`: then a command that sees every variable
    /// sees the environment.
    pub fn is_any_declared(&self) -> bool {
        self.any || self.names.iter().any(|name| !name.as_str().starts_with("ENVRUN_"))
    }
}
