//! Targets resolved against environments: the graph of tasks that an invocation is about.
//!
//! A [`Target`] names a node and an environment. [`build`](build::build) follows what the targets need and gives a
//! [`TaskGraph`] of [`ConfiguredTask`]s, or every [`Diagnostic`](crate::diag::Diagnostic) there is to give; [`sketch`]
//! gives one to look at, with what cannot be run yet. [`query`] asks a graph for ancestors and dependants, [`render`]
//! draws it.
//!
//! The environment propagates: from a target along `needs`, into `call`, `on-fail`, `on-success` and `after`. A pin
//! (`needs "dev.e2e"`) overrides it. Where a definition reads nothing of its environment, one node stands for all of
//! them, so that `uat.deploy` and `prod.deploy` meet in the same `build`: `share.rs` says exactly when.
//!
//! Invariant: does no IO and reads no clock.
//! Invariant: every edge leads from a lower to a higher [`NodeIx`], so a graph is acyclic by construction and a plain
//! loop over the indices is a walk in topological order.

pub mod address;
mod build;
mod call;
#[cfg(test)]
pub(crate) mod fixture;
mod loads;
mod meet;
mod prune;
pub mod query;
pub mod render;
mod say;
mod secret_path;
mod share;
mod task_graph;
#[cfg(test)]
mod tests;
mod visits;

pub use address::{lost, resolve_environment, resolve_target};
pub use build::{ValuesOf, build, cycles, sketch};
pub use meet::meetings;
pub use task_graph::{Edge, EdgeKind, Occasion, Ring, TaskGraph};

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::diag::Span;
use crate::model::{Action, Command, EnvName, Load, Node, NodeName, NodePath, Render, Task, VarName};
use crate::vars::Values;

/// What was asked for: `prod.api:deploy` with its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The node.
    pub path: NodePath,
    /// The environment named, or chosen for it.
    pub env: Option<EnvName>,
    /// The stage that it was named by, or runs in.
    pub stage: Option<NodeName>,
    /// The values of its arguments that were given, by name, already checked.
    pub args: Vec<(String, String)>,
}

/// Where a node stands in the graph, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct NodeIx(pub u32);

impl NodeIx {
    /// As an index into a list with one entry per node.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A task as one environment has it.
#[derive(Debug, Clone)]
pub struct ConfiguredTask {
    /// `prod.api:deploy`: unique in the graph; without the environment for a node that all share.
    pub label: String,
    /// The node, whatever the environment.
    pub path: NodePath,
    /// The environment; `None` for one node that all environments share.
    pub env: Option<EnvName>,
    /// Its definition in that environment.
    pub task: Arc<Task>,
    /// What its `call` actions call, in the order of those actions; read it through [`ConfiguredTask::steps`].
    pub calls: Arc<[Called]>,
    /// What its `load` actions need to know, those of called tasks included; read it through
    /// [`ConfiguredTask::loaded`].
    pub loads: Arc<[Loaded]>,
    /// The values of its project in that environment.
    pub values: Arc<Values>,
    /// Every variable that its definition names, those of called tasks included.
    pub reads: Arc<BTreeSet<VarName>>,
    /// The values of its arguments that were given, by name.
    pub args: Vec<(String, String)>,
    /// What envrun gives it beside: `ENVRUN_REVISION` of a deploy, by name.
    pub given: Vec<(String, String)>,
    /// It was asked for by name.
    pub target: bool,
    /// What it is, if it is not a task: a service, a deploy, a snapshot, whose core is `task`.
    pub special: Option<Node>,
    /// It is in the graph only as an `on-fail` or `on-success` of another node, or because such a node needs it: it
    /// runs only when its occasion comes, and its failure is reported but is not the run's.
    pub follow_up: bool,
}

/// A task whose actions another one carries out in place, with the caller's folder, environment and values.
#[derive(Debug, Clone)]
pub struct Called {
    /// What is called.
    pub path: NodePath,
    /// Its definition: its `when` and `done` are asked first and concern its own steps only.
    pub task: Arc<Task>,
    /// What its own `call` actions call.
    pub calls: Arc<[Called]>,
    /// Where the `call` is written.
    pub span: Span,
}

/// What a `load` action comes to.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// Where the action is written.
    pub span: Span,
    /// The snapshot whose data it is.
    pub from: ConfiguredTask,
    /// The snapshot that puts it back.
    pub to: ConfiguredTask,
    /// The task that rewrites a private copy first.
    pub through: Option<ConfiguredTask>,
    /// The data are those of a copy that was saved earlier.
    pub is_stored: bool,
}

impl Loaded {
    /// The nodes whose commands are carried out.
    pub fn carried_out(&self) -> impl Iterator<Item = &ConfiguredTask> {
        let from = (!self.is_stored).then_some(&self.from);
        from.into_iter().chain(&self.through).chain([&self.to])
    }
}

/// One step of a task.
#[derive(Debug, Clone, Copy)]
pub enum Step<'a> {
    /// A command, and where it is written.
    Run(&'a Command, Span),
    /// A file that is written whole, and where that is said.
    Render(&'a Render, Span),
    /// Another task's steps.
    Called(&'a Called),
    /// Another environment's data, and where that is written.
    Load(&'a Load, Span),
}

impl ConfiguredTask {
    /// `task`, `service`, `deploy` or `snapshot`.
    pub fn kind(&self) -> &'static str {
        self.special.as_ref().map_or("task", Node::kind)
    }

    /// Whether it only stands for its needs.
    pub fn is_group(&self) -> bool {
        self.special.is_none() && self.task.is_group()
    }

    /// What it does, in order.
    pub fn steps(&self) -> impl Iterator<Item = Step<'_>> {
        steps(&self.task, &self.calls)
    }

    /// What the `load` action that is written there comes to.
    pub fn loaded(&self, span: Span) -> Option<&Loaded> {
        self.loads.iter().find(|loaded| loaded.span == span)
    }

    /// Every command it may carry out and every file it may render, those of called tasks in place.
    pub fn actions(&self) -> Vec<Step<'_>> {
        let mut actions = Vec::new();
        if let Some(Node::Snapshot(snapshot)) = &self.special {
            let commands = snapshot.save.iter().chain(&snapshot.verify);
            actions.extend(commands.map(|command| Step::Run(&command.value, command.span)));
        }
        add_actions(self.steps(), &mut actions);
        actions
    }

    /// Every command it may carry out, those of called tasks in place.
    pub fn commands(&self) -> Vec<&Command> {
        let command = |step| if let Step::Run(command, _) = step { Some(command) } else { None };
        self.actions().into_iter().filter_map(command).collect()
    }

    /// Whether it, or a task that it calls, renders a file.
    pub fn renders(&self) -> bool {
        !rendered(&self.task, &self.calls).is_empty()
    }
}

impl Called {
    /// What it does, in order.
    pub fn steps(&self) -> impl Iterator<Item = Step<'_>> {
        steps(&self.task, &self.calls)
    }
}

fn steps<'a>(task: &'a Task, calls: &'a [Called]) -> impl Iterator<Item = Step<'a>> {
    let mut calls = calls.iter();
    task.actions.iter().filter_map(move |action| match &action.value {
        Action::Run(command) => Some(Step::Run(command, action.span)),
        Action::Call(_) => calls.next().map(Step::Called),
        Action::Load(load) => Some(Step::Load(load, action.span)),
        Action::Render(render) => Some(Step::Render(render, action.span)),
        // A graph with such an action is refused when it is built.
        Action::Unbuilt(_) => None,
    })
}

/// Every file that a task with these calls may render.
fn rendered<'a>(task: &'a Task, calls: &'a [Called]) -> Vec<&'a Render> {
    let called = calls.iter().flat_map(|called| rendered(&called.task, &called.calls));
    task.renders().chain(called).collect()
}

/// Recursion ends: calls nest no deeper than the build allows.
fn add_actions<'a>(steps: impl Iterator<Item = Step<'a>>, into: &mut Vec<Step<'a>>) {
    for step in steps {
        match step {
            Step::Called(called) => {
                add_actions(Box::new(called.steps()) as Box<dyn Iterator<Item = _>>, into)
            }
            step => into.push(step),
        }
    }
}
