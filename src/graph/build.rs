//! From targets to the graph: environments propagate, pins override, equal nodes are shared.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use indexmap::IndexMap;

use crate::base::RelPath;
use crate::diag::{Diagnostic, Span};
use crate::model::{
    EnvName, Envfile, Node, NodePath, NodeRef, Placeholder, Project, ProjectName, Task, VarName,
};
use crate::vars::{EnvironmentNames, Values, reads};

use super::call::{Calls, Expansion};
use super::task_graph::{Edge, EdgeKind, Occasion, TaskGraph};
use super::{ConfiguredTask, Target, say, share};

/// Where the values of a project in an environment come from. Asked once for each.
pub type ValuesOf<'a> = dyn FnMut(&ProjectName, Option<&EnvName>) -> Arc<Values> + 'a;

/// A node in the environment in which it is reached. Several of them may come to one shared node.
pub(super) type Key = (NodePath, Option<EnvName>);

/// Builds the graph of everything that `targets` need, or says all that is in the way.
///
/// # Errors
/// A need that the environment does not have, a word or a kind of node that is not built yet, a ring, arguments that
/// contradict each other or are missing: each as a diagnostic with its place.
pub fn build(
    envfile: &Envfile,
    targets: &[Target],
    values: &mut ValuesOf<'_>,
) -> Result<TaskGraph, Vec<Diagnostic>> {
    Builder::new(envfile).graph(targets, values)
}

/// Builds a graph to look at, not to run: nodes and words that are not built yet are in it, and nobody has to give
/// arguments.
///
/// # Errors
/// As [`build`], for what is no graph at all: a need that the environment does not have, a ring.
pub fn sketch(
    envfile: &Envfile,
    targets: &[Target],
    values: &mut ValuesOf<'_>,
) -> Result<TaskGraph, Vec<Diagnostic>> {
    Builder { sketch: true, ..Builder::new(envfile) }.graph(targets, values)
}

/// Every ring there is among the needs and calls of an Envfile, whatever the target: what `check` says of them.
pub fn cycles(envfile: &Envfile) -> Vec<Diagnostic> {
    let mut builder = Builder::new(envfile);
    let start = |builder: &mut Builder<'_>, project: &Project, names: Vec<_>, env: Option<&EnvName>| {
        for name in names {
            let path = NodePath { project: project.name.clone(), name };
            let visit = builder.entry((path, env.cloned()));
            builder.visit(visit, None, None);
        }
    };
    for project in envfile.projects.values() {
        start(&mut builder, project, project.base.nodes.keys().cloned().collect(), None);
        // A ring that is not in the base leads through a node that an environment patches or adds.
        for (env, scope) in &project.overlays {
            start(&mut builder, project, scope.nodes.keys().cloned().collect(), Some(env));
        }
    }
    builder.diagnostics.retain(|diagnostic| diagnostic.code == say::CYCLE);
    builder.diagnostics
}

/// The values of every project and environment that was asked for.
struct Table<'a, 'b> {
    of: &'a mut ValuesOf<'b>,
    known: HashMap<(ProjectName, Option<EnvName>), Arc<Values>>,
}

impl Table<'_, '_> {
    fn of(&mut self, project: &ProjectName, env: Option<&EnvName>) -> Arc<Values> {
        let key = (project.clone(), env.cloned());
        Arc::clone(self.known.entry(key).or_insert_with(|| (self.of)(project, env)))
    }
}

/// How far a visit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nobody looked at it yet.
    New,
    /// What it needs is being visited: to meet it again is a ring.
    Open,
    /// Its node; none if there is something wrong with it, which was said.
    Closed(Option<usize>),
}

/// One node whose needs are being visited.
struct Frame {
    visit: usize,
    task: Arc<Task>,
    kind: &'static str,
    expansion: Arc<Expansion>,
    needs: Vec<Link>,
    /// The need that is visited now.
    next: usize,
}

/// The visit that leads to another one, and where that is written.
type Asked = (usize, Span);

/// One need of a node: its own, or one of a task that it calls.
struct Link {
    visit: usize,
    span: Span,
    /// It names its environment.
    pinned: bool,
    /// Whose need it is, if it is that of a called task: the task, and where it is called.
    through: Option<(NodePath, Span)>,
}

struct Builder<'a> {
    envfile: &'a Envfile,
    visits: IndexMap<Key, State>,
    nodes: Vec<ConfiguredTask>,
    edges: Vec<(usize, usize, Edge)>,
    /// The nodes without an environment.
    shared: HashMap<NodePath, usize>,
    names: HashMap<ProjectName, EnvironmentNames>,
    calls: Calls,
    diagnostics: Vec<Diagnostic>,
    said: HashSet<(String, Vec<Span>)>,
    /// What is found now is found only as a follow-up.
    follow_up: bool,
    /// The graph is only looked at.
    sketch: bool,
}

impl<'a> Builder<'a> {
    fn new(envfile: &'a Envfile) -> Self {
        Self {
            envfile,
            visits: IndexMap::new(),
            nodes: Vec::new(),
            edges: Vec::new(),
            shared: HashMap::new(),
            names: HashMap::new(),
            calls: Calls::default(),
            diagnostics: Vec::new(),
            said: HashSet::new(),
            follow_up: false,
            sketch: false,
        }
    }

    fn graph(mut self, targets: &[Target], values: &mut ValuesOf<'_>) -> Result<TaskGraph, Vec<Diagnostic>> {
        let mut values = Table { of: values, known: HashMap::new() };
        for target in targets {
            let visit = self.entry((target.path.clone(), target.env.clone()));
            self.visit(visit, None, Some(&mut values));
            if let Some(node) = self.node(visit) {
                self.mark(node, target);
            }
        }
        self.follow_up = true;
        let mut at = 0;
        while at < self.visits.len() {
            self.follow(at, &mut values);
            at += 1;
        }
        self.order();
        if !self.diagnostics.is_empty() {
            return Err(self.diagnostics);
        }
        let labels: Vec<String> = self.nodes.iter().map(|node| node.label.clone()).collect();
        TaskGraph::new(self.nodes, self.edges).map_err(|ring| vec![say::ring(&ring, &labels)])
    }

    /// Visits a node and everything it needs, depth first, on a stack of its own. `asked` is the node and the place that
    /// lead to it. Without values, only rings are looked for and no node is made.
    fn visit(&mut self, start: usize, asked: Option<Asked>, mut values: Option<&mut Table<'_, '_>>) {
        if self.visits[start] != State::New {
            return;
        }
        let mut stack: Vec<Frame> = Vec::new();
        stack.extend(self.open(start, asked));
        while let Some(frame) = stack.last_mut() {
            let Some(link) = frame.needs.get(frame.next) else {
                let frame = stack.pop().expect("there is a last one");
                let node = values.as_deref_mut().map(|values| self.close(&frame, values));
                self.visits[frame.visit] = State::Closed(node);
                if let Some(outer) = stack.last_mut() {
                    outer.next += 1;
                }
                continue;
            };
            let (inner, asked) = (link.visit, (frame.visit, link.span));
            match self.visits[inner] {
                State::New => match self.open(inner, Some(asked)) {
                    Some(inner) => stack.push(inner),
                    None => stack.last_mut().expect("it was just looked at").next += 1,
                },
                State::Open => {
                    let begin = stack.iter().position(|frame| frame.visit == inner);
                    let begin = begin.expect("what is open is on the stack");
                    let ring = self.ring(&stack[begin..]);
                    self.say(ring);
                    stack.last_mut().expect("it was just looked at").next += 1;
                }
                State::Closed(_) => frame.next += 1,
            }
        }
    }

    fn entry(&mut self, key: Key) -> usize {
        let entry = self.visits.entry(key);
        let at = entry.index();
        entry.or_insert(State::New);
        at
    }

    fn node(&self, visit: usize) -> Option<usize> {
        if let State::Closed(node) = self.visits[visit] { node } else { None }
    }

    /// Looks a node up and lists its needs. What is wrong with it is said, with the place that leads to it.
    fn open(&mut self, visit: usize, asked: Option<Asked>) -> Option<Frame> {
        let (path, env) = self.visits.get_index(visit).expect("visits are never removed").0.clone();
        let asked = asked.map(|(visit, span)| (self.label(visit), span));
        let (task, kind) = match self.envfile.node(env.as_ref(), &path) {
            Some(Node::Task(task)) => (Arc::clone(task), "task"),
            Some(Node::Placeholder(node)) if self.sketch => (Arc::new(stand_in(node)), node.kind),
            Some(Node::Placeholder(node)) => {
                self.say(say::kind_not_built(&path, env.as_ref(), node, asked));
                self.visits[visit] = State::Closed(None);
                return None;
            }
            None => {
                self.say(say::not_in_environment(self.envfile, &path, env.as_ref(), asked));
                self.visits[visit] = State::Closed(None);
                return None;
            }
        };
        if !self.sketch {
            let label = label(&path, env.as_ref());
            for diagnostic in say::words_not_built(self.envfile, &label, &path, env.as_ref(), &task) {
                self.say(diagnostic);
            }
            if let Some((label, span)) = &asked
                && let Some(diagnostic) = say::argument_missing(&path, &task, label, *span)
            {
                self.say(diagnostic);
            }
        }
        let mut wrong = Vec::new();
        let expansion = self.calls.expand(self.envfile, &path, env.as_ref(), &task, &mut wrong);
        wrong.retain(|diagnostic| !self.sketch || diagnostic.code != say::NOT_BUILT);
        wrong.into_iter().for_each(|diagnostic| self.say(diagnostic));
        let mut needs: Vec<Link> = Vec::with_capacity(task.needs.len());
        for need in &task.needs {
            let visit = self.entry(aim(need, env.as_ref()));
            needs.push(Link { visit, span: need.span, pinned: need.env.is_some(), through: None });
        }
        for need in &expansion.needs {
            let visit = self.entry((need.path.clone(), need.env.clone()));
            let through = Some((need.of.clone(), need.call));
            needs.push(Link { visit, span: need.span, pinned: need.pinned, through });
        }
        self.visits[visit] = State::Open;
        Some(Frame { visit, task, kind, expansion, needs, next: 0 })
    }

    /// Makes the node, or finds the one that is shared already.
    fn close(&mut self, frame: &Frame, values: &mut Table<'_, '_>) -> usize {
        let (path, env) = self.visits.get_index(frame.visit).expect("visits are never removed").0.clone();
        let needs_shared = frame.needs.iter().all(|link| {
            link.pinned || self.node(link.visit).is_none_or(|node| self.nodes[node].env.is_none())
        });
        let mut names = None;
        let env = env.filter(|env| {
            let may = needs_shared
                && frame.kind == "task"
                && share::may_be(self.envfile, &path, env, &frame.task, &frame.expansion);
            if may && let Some(&known) = self.shared.get(&path) {
                names = Some(Arc::clone(&self.nodes[known].reads));
            }
            !may || {
                let reads =
                    names.get_or_insert_with(|| Arc::new(reads(self.envfile, Some(env), &frame.task)));
                let project = &path.project;
                let of = self.names.entry(project.clone());
                let decided = of.or_insert_with(|| EnvironmentNames::of(self.envfile, project));
                let (here, root) = (values.of(project, Some(env)), values.of(project, None));
                !share::same_values(reads, decided, &here, &root)
            }
        });
        if env.is_none()
            && let Some(&node) = self.shared.get(&path)
        {
            return node;
        }
        let at = self.nodes.len();
        if env.is_none() {
            self.shared.insert(path.clone(), at);
        }
        let names: Arc<BTreeSet<VarName>> =
            names.unwrap_or_else(|| Arc::new(reads(self.envfile, env.as_ref(), &frame.task)));
        self.nodes.push(ConfiguredTask {
            label: label(&path, env.as_ref()),
            values: values.of(&path.project, env.as_ref()),
            path,
            env,
            task: Arc::clone(&frame.task),
            calls: Arc::clone(&frame.expansion.calls),
            reads: names,
            args: Vec::new(),
            target: false,
            kind: frame.kind,
            follow_up: self.follow_up,
        });
        for link in &frame.needs {
            if let Some(need) = self.node(link.visit) {
                self.edges.push((need, at, Edge { kind: EdgeKind::Needs, span: link.span }));
            }
        }
        at
    }

    /// Notes that a node was asked for by name.
    fn mark(&mut self, node: usize, target: &Target) {
        let node = &mut self.nodes[node];
        if node.target && node.args != target.args {
            let diagnostic = say::arguments_differ(&node.label);
            self.say(diagnostic);
            return;
        }
        node.target = true;
        node.args.clone_from(&target.args);
    }

    /// Visits what a node calls when it failed or succeeded. A shared node calls that of each environment in which it
    /// is reached.
    fn follow(&mut self, visit: usize, values: &mut Table<'_, '_>) {
        let Some(node) = self.node(visit) else { return };
        let task = Arc::clone(&self.nodes[node].task);
        let env = self.visits.get_index(visit).expect("visits are never removed").0.1.clone();
        let lists = [(&task.on_fail, Occasion::Failure), (&task.on_success, Occasion::Success)];
        for (list, occasion) in lists {
            for called in list {
                let inner = self.entry(aim(called, env.as_ref()));
                self.visit(inner, Some((visit, called.span)), Some(values));
                if let Some(later) = self.node(inner) {
                    let edge = Edge { kind: EdgeKind::FollowUp(occasion), span: called.span };
                    self.edges.push((node, later, edge));
                }
            }
        }
    }

    /// Adds the edges of `after`: only to what is in the graph anyway.
    fn order(&mut self) {
        for visit in 0..self.visits.len() {
            let Some(node) = self.node(visit) else { continue };
            let env = self.visits.get_index(visit).expect("visits are never removed").0.1.as_ref();
            for earlier in &self.nodes[node].task.after {
                let key = aim(earlier, env);
                let known = match self.visits.get(&key) {
                    Some(State::Closed(node)) => *node,
                    _ => None,
                };
                // Another environment may have brought the shared node in.
                let found = known.or_else(|| self.shared.get(&key.0).copied());
                if let Some(found) = found.filter(|found| *found != node) {
                    self.edges.push((found, node, Edge { kind: EdgeKind::After, span: earlier.span }));
                }
            }
        }
    }

    /// The ring that the frames make: each needs the next one, and the last one the first.
    fn ring(&self, frames: &[Frame]) -> Diagnostic {
        let name = |frame: &Frame| self.label(frame.visit);
        let mut steps = Vec::new();
        for (at, frame) in frames.iter().enumerate() {
            let link = &frame.needs[frame.next];
            let next = name(&frames[(at + 1) % frames.len()]);
            match &link.through {
                None => steps.push((name(frame), "needs", next, link.span)),
                Some((called, call)) => {
                    let env = self.visits.get_index(frame.visit).and_then(|(key, _)| key.1.as_ref());
                    let called = label(called, env);
                    steps.push((name(frame), "calls", called.clone(), *call));
                    steps.push((called, "needs", next, link.span));
                }
            }
        }
        say::cycle(&steps)
    }

    fn label(&self, visit: usize) -> String {
        let (path, env) = self.visits.get_index(visit).expect("visits are never removed").0;
        label(path, env.as_ref())
    }

    /// Adds a diagnostic, unless the same was said of the same place.
    fn say(&mut self, diagnostic: Diagnostic) {
        let mut places: Vec<Span> = diagnostic.labels.iter().map(|label| label.span).collect();
        places.sort_unstable();
        // A ring is the same ring wherever it was entered, and in whatever environment.
        let what = if diagnostic.code == say::CYCLE { String::new() } else { diagnostic.message.clone() };
        if self.said.insert((what, places)) {
            self.diagnostics.push(diagnostic);
        }
    }
}

/// What is known of a node that is not built yet, for a graph that is only looked at.
fn stand_in(node: &Placeholder) -> Task {
    Task {
        desc: node.desc.clone(),
        needs: node.needs.clone(),
        ..Task::new(node.name.clone(), node.span, RelPath::root())
    }
}

/// What a reference written in `env` stands for.
pub(super) fn aim(reference: &NodeRef, env: Option<&EnvName>) -> Key {
    (reference.path.clone(), reference.env.as_ref().or(env).cloned())
}

/// `prod.api:deploy`.
pub(super) fn label(path: &NodePath, env: Option<&EnvName>) -> String {
    env.map_or_else(|| path.to_string(), |env| format!("{env}.{path}"))
}
