//! From targets to the graph: environments propagate, pins override, equal nodes are shared.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use crate::diag::{Diagnostic, Span};
use crate::model::{EnvName, Envfile, Node, NodePath, NodeRef, Only, ProjectName, Task, VarName};
use crate::syntax::words;
use crate::vars::{Values, reads, reads_of_service, reads_of_snapshot};

use super::call::{Calls, Expansion, loads_of};
use super::task_graph::{Edge, EdgeKind, Occasion, TaskGraph};
use super::visits::{State, Visits};
use super::{Called, ConfiguredTask, Target, rendered, say, secret_path, share};

/// Where the values of a project in an environment come from. Asked once for each.
pub type ValuesOf<'a> = dyn FnMut(&ProjectName, Option<&EnvName>) -> Arc<Values> + 'a;

/// A node in an environment.
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
    let mut builder = Builder { sketch: true, ..Builder::new(envfile) };
    for project in envfile.projects.values() {
        // A ring that is not in the base leads through a node that an environment patches or adds.
        let patched = project.overlays.iter().map(|(env, scope)| (Some(env), scope));
        for (env, scope) in std::iter::once((None, &project.base)).chain(patched) {
            let slot = builder.visits.slot(env);
            for name in scope.nodes.keys() {
                let path = NodePath { project: project.name.clone(), name: name.clone() };
                if let Some(visit) = builder.visits.entry(&path, slot) {
                    builder.visit(visit, None, None);
                }
            }
        }
    }
    builder.diagnostics.retain(|diagnostic| diagnostic.code == say::CYCLE);
    builder.diagnostics
}

/// One node whose needs are being visited.
struct Frame<'a> {
    visit: usize,
    definition: &'a Node,
    expansion: Arc<Expansion>,
    needs: Vec<Link>,
    /// The need that is visited now.
    next: usize,
}

/// The visit that leads to another one, and where that is written.
type Asked = (usize, Span);

/// One need of a node: its own, or one of a task that it calls.
pub(super) struct Link {
    pub(super) visit: usize,
    pub(super) span: Span,
    /// It names its environment.
    pub(super) pinned: bool,
    /// Whose need it is, if it is that of a called task: its place among the needs that come with calls.
    pub(super) through: Option<usize>,
}

pub(super) struct Builder<'a> {
    pub(super) envfile: &'a Envfile,
    pub(super) visits: Visits<'a>,
    nodes: Vec<ConfiguredTask>,
    edges: Vec<(usize, usize, Edge)>,
    calls: Calls,
    diagnostics: Vec<Diagnostic>,
    said: HashSet<(String, Vec<Span>)>,
    /// What is found now is found only as a follow-up.
    pub(super) follow_up: bool,
    /// The graph is only looked at.
    sketch: bool,
}

impl<'a> Builder<'a> {
    fn new(envfile: &'a Envfile) -> Self {
        Self {
            envfile,
            visits: Visits::new(envfile),
            nodes: Vec::new(),
            edges: Vec::new(),
            calls: Calls::default(),
            diagnostics: Vec::new(),
            said: HashSet::new(),
            follow_up: false,
            sketch: false,
        }
    }

    fn graph(mut self, targets: &[Target], values: &mut ValuesOf<'_>) -> Result<TaskGraph, Vec<Diagnostic>> {
        for target in targets {
            let slot = self.visits.slot(target.env.as_ref());
            let Some(visit) = self.entry(&target.path, slot, None) else { continue };
            self.visit(visit, None, Some(values));
            if let Some(node) = self.visits.node(visit) {
                self.mark(node, target);
            }
        }
        self.follow_up = true;
        let mut at = 0;
        while at < self.visits.len() {
            self.follow(at, values);
            at += 1;
        }
        self.order();
        if !self.diagnostics.is_empty() {
            return Err(self.diagnostics);
        }
        TaskGraph::new(self.nodes, self.edges).map_err(|ring| vec![say::ring(&ring)])
    }

    /// Visits a node and everything it needs, depth first, on a stack of its own. `asked` is the node and the place that
    /// lead to it. Without values, only rings are looked for and no node is made.
    fn visit(&mut self, start: usize, asked: Option<Asked>, mut values: Option<&mut ValuesOf<'_>>) {
        if self.visits.state(start) != State::New {
            return;
        }
        let mut stack: Vec<Frame<'a>> = Vec::new();
        stack.extend(self.open(start, asked));
        while let Some(frame) = stack.last_mut() {
            let Some(link) = frame.needs.get(frame.next) else {
                let frame = stack.pop().expect("there is a last one");
                let node = values.as_deref_mut().map(|values| self.close(&frame, values));
                self.visits.set(frame.visit, State::Closed(node));
                continue;
            };
            frame.next += 1;
            match self.visits.state(link.visit) {
                State::New => {
                    let (inner, asked) = (link.visit, (frame.visit, link.span));
                    stack.extend(self.open(inner, Some(asked)));
                }
                State::Open => {
                    let inner = link.visit;
                    let begin = stack.iter().position(|frame| frame.visit == inner);
                    let ring = self.ring(&stack[begin.expect("what is open is on the stack")..]);
                    self.say(ring);
                }
                State::Closed(_) => {}
            }
        }
    }

    /// The visit of a node; that there is no such node is said.
    pub(super) fn entry(&mut self, path: &NodePath, slot: u32, asked: Option<Asked>) -> Option<usize> {
        let visit = self.visits.entry(path, slot);
        if visit.is_none() {
            let asked = asked.map(|(visit, span)| (self.visits.label(visit), span));
            self.say(say::not_in_environment(self.envfile, path, None, asked));
        }
        visit
    }

    /// Where a reference written in the environment of `slot` leads.
    pub(super) fn aim(&mut self, reference: &NodeRef, slot: u32, from: usize) -> Option<usize> {
        let slot = if reference.env.is_some() { self.visits.slot(reference.env.as_ref()) } else { slot };
        self.entry(&reference.path, slot, Some((from, reference.span)))
    }

    /// Looks a node up and lists its needs. What is wrong with it is said, with the place that leads to it.
    fn open(&mut self, visit: usize, asked: Option<Asked>) -> Option<Frame<'a>> {
        let definition = match self.visits.definition(visit) {
            Some(node) if self.sketch || is_built(node) => node,
            found => {
                let (path, env) = (self.visits.path(visit), self.visits.env(visit));
                let asked = asked.map(|(visit, span)| (self.visits.label(visit), span));
                let diagnostic = match found {
                    Some(node) => say::kind_not_built(&path, env, node, asked),
                    None => say::not_in_environment(self.envfile, &path, env, asked),
                };
                self.say(diagnostic);
                self.visits.set(visit, State::Closed(None));
                return None;
            }
        };
        let task = definition.task();
        if !self.sketch {
            self.refuse(visit, task, asked);
        }
        if let Node::Deploy(deploy) = definition
            && let Some(from) =
                deploy.from.as_ref().filter(|from| Some(&from.value) == self.visits.env(visit))
        {
            let diagnostic = say::from_itself(&self.visits.path(visit), from);
            self.say(diagnostic);
        }
        let expansion = self.expand(visit, task);
        let slot = self.visits.env_slot(visit);
        let mut needs: Vec<Link> = Vec::with_capacity(task.needs.len());
        // What is proved elsewhere is shipped as it is: making it again could only make something else.
        let is_proved = matches!(definition, Node::Deploy(deploy) if deploy.from.is_some());
        for need in task.needs.iter().filter(|_| !is_proved) {
            if let Some(inner) = self.aim(need, slot, visit) {
                needs.push(Link { visit: inner, span: need.span, pinned: need.env.is_some(), through: None });
            }
        }
        for (at, need) in expansion.needs.iter().enumerate().filter(|_| !is_proved) {
            let slot = self.visits.slot(need.env.as_ref());
            if let Some(inner) = self.entry(&need.path, slot, Some((visit, need.span))) {
                needs.push(Link { visit: inner, span: need.span, pinned: need.pinned, through: Some(at) });
            }
        }
        if !self.sketch && (loads_of(task).next().is_some() || !expansion.loads.is_empty()) {
            needs.extend(self.needs_of_loads(visit, task, &expansion));
        }
        self.visits.set(visit, State::Open);
        Some(Frame { visit, definition, expansion, needs, next: 0 })
    }

    /// Says which words of a task no code carries out yet, and which argument nobody gives.
    fn refuse(&mut self, visit: usize, task: &Task, asked: Option<Asked>) {
        for (word, span) in say::words_not_built(task) {
            let diagnostic = say::word_not_built(word, span, &self.visits.label(visit));
            self.say(diagnostic);
        }
        if let Some((from, span)) = asked
            && let Some(argument) = say::argument_missing(task)
        {
            let (path, from) = (self.visits.path(visit), self.visits.label(from));
            self.say(say::no_argument(&path, argument, &from, span));
        }
    }

    pub(super) fn expand(&mut self, visit: usize, task: &Task) -> Arc<Expansion> {
        if !Calls::has_any(task) {
            return self.calls.none();
        }
        let (path, env) = (self.visits.path(visit), self.visits.env(visit));
        let mut wrong = Vec::new();
        let expansion = self.calls.expand(self.envfile, &path, env, task, &mut wrong);
        wrong.retain(|diagnostic| !self.sketch || diagnostic.code != say::NOT_BUILT);
        wrong.into_iter().for_each(|diagnostic| self.say(diagnostic));
        expansion
    }

    /// Makes the node, or finds the one that is shared already.
    fn close(&mut self, frame: &Frame<'_>, values: &mut ValuesOf<'_>) -> usize {
        let (visit, task) = (frame.visit, frame.definition.task());
        let is_root = self.visits.env(visit).is_none();
        let mut names = None;
        let is_shared = is_root || {
            let may = self.may_share(frame);
            if may && let Some(known) = self.visits.shared(visit) {
                names = Some(Arc::clone(&self.nodes[known].reads));
            }
            may && {
                let env = self.visits.env(visit);
                let reads = reads(self.envfile, env, task);
                let here = self.visits.values(visit, false, values);
                let root = self.visits.values(visit, true, values);
                let reads = names.get_or_insert_with(|| {
                    Arc::new(with_rendered(reads, task, &frame.expansion.calls, &here))
                });
                share::same_values(reads, self.visits.decided(visit), &here, &root)
            }
        };
        if is_shared && let Some(node) = self.visits.shared(visit) {
            return node;
        }
        let at = self.nodes.len();
        if is_shared {
            self.visits.share(visit, at);
        }
        let env = if is_shared { None } else { self.visits.env(visit).cloned() };
        let path = self.visits.path(visit);
        let here = self.visits.values(visit, is_shared, values);
        let names: Arc<BTreeSet<VarName>> = names.unwrap_or_else(|| {
            let reads = self.reads(env.as_ref(), frame.definition);
            Arc::new(with_rendered(reads, task, &frame.expansion.calls, &here))
        });
        let has_loads =
            !self.sketch && (loads_of(task).next().is_some() || !frame.expansion.loads.is_empty());
        let loads =
            if has_loads { self.loads(visit, task, &frame.expansion, values) } else { Arc::default() };
        self.nodes.push(ConfiguredTask {
            label: label(&path, env.as_ref()),
            values: here,
            path,
            env,
            task: Arc::clone(task),
            calls: Arc::clone(&frame.expansion.calls),
            loads,
            reads: names,
            args: Vec::new(),
            given: Vec::new(),
            target: false,
            special: (frame.definition.kind() != "task").then(|| frame.definition.clone()),
            follow_up: self.follow_up,
        });
        if !self.sketch {
            let node = &self.nodes[at];
            let wrong = secret_path::secret_paths(&node.task, &node.calls, &node.values);
            wrong.into_iter().for_each(|diagnostic| self.say(diagnostic));
        }
        for link in &frame.needs {
            if let Some(need) = self.visits.node(link.visit) {
                self.edges.push((need, at, Edge { kind: EdgeKind::Needs, span: link.span }));
            }
        }
        at
    }

    /// Every variable that a definition names.
    pub(super) fn reads(&self, env: Option<&EnvName>, definition: &Node) -> BTreeSet<VarName> {
        let mut names = reads(self.envfile, env, definition.task());
        match definition {
            Node::Service(service) => names.extend(reads_of_service(self.envfile, service)),
            Node::Snapshot(snapshot) => names.extend(reads_of_snapshot(self.envfile, snapshot)),
            Node::Task(_) | Node::Deploy(_) => {}
        }
        names
    }

    /// Whether a node may be shared, values apart.
    fn may_share(&self, frame: &Frame<'_>) -> bool {
        let is_shared = |link: &Link| {
            link.pinned || self.visits.node(link.visit).is_none_or(|node| self.nodes[node].env.is_none())
        };
        frame.definition.kind() == "task"
            && frame.needs.iter().all(is_shared)
            && !self.visits.is_patched(frame.visit)
            && share::may_be(frame.definition.task(), &frame.expansion)
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
    fn follow(&mut self, visit: usize, values: &mut ValuesOf<'_>) {
        let Some(node) = self.visits.node(visit) else { return };
        let task = Arc::clone(&self.nodes[node].task);
        let slot = self.visits.env_slot(visit);
        let lists = [(&task.on_fail, Occasion::Failure), (&task.on_success, Occasion::Success)];
        for (list, occasion) in lists {
            for called in list {
                let Some(inner) = self.aim(called, slot, visit) else { continue };
                self.visit(inner, Some((visit, called.span)), Some(values));
                if let Some(later) = self.visits.node(inner) {
                    let edge = Edge { kind: EdgeKind::FollowUp(occasion), span: called.span };
                    self.edges.push((node, later, edge));
                }
            }
        }
    }

    /// Adds the edges of `after`: only to what is in the graph anyway, be it that another environment has brought the
    /// shared node in.
    fn order(&mut self) {
        for visit in 0..self.visits.len() {
            let Some(node) = self.visits.node(visit) else { continue };
            for earlier in &self.nodes[node].task.after {
                let slot = match &earlier.env {
                    None => self.visits.env_slot(visit),
                    env => self.visits.slot(env.as_ref()),
                };
                if let Some(found) = self.visits.find(&earlier.path, slot).filter(|found| *found != node) {
                    self.edges.push((found, node, Edge { kind: EdgeKind::After, span: earlier.span }));
                }
            }
        }
    }

    /// The ring that the frames make: each needs the next one, and the last one the first.
    fn ring(&self, frames: &[Frame<'_>]) -> Diagnostic {
        let name = |frame: &Frame<'_>| self.visits.label(frame.visit);
        let mut steps = Vec::new();
        for (at, frame) in frames.iter().enumerate() {
            let link = &frame.needs[frame.next - 1];
            let next = name(&frames[(at + 1) % frames.len()]);
            match link.through.map(|at| &frame.expansion.needs[at]) {
                None => steps.push((name(frame), "needs", next, link.span)),
                Some(need) => {
                    let called = label(&need.of, self.visits.env(frame.visit));
                    steps.push((name(frame), "calls", called.clone(), need.call));
                    steps.push((called, "needs", next, link.span));
                }
            }
        }
        say::cycle(&steps)
    }

    /// Adds a diagnostic, unless the same was said of the same place.
    pub(super) fn say(&mut self, diagnostic: Diagnostic) {
        let mut places: Vec<Span> = diagnostic.labels.iter().map(|label| label.span).collect();
        places.sort_unstable();
        // A ring is the same ring wherever it was entered, and in whatever environment.
        let what = if diagnostic.code == say::CYCLE { String::new() } else { diagnostic.message.clone() };
        if self.said.insert((what, places)) {
            self.diagnostics.push(diagnostic);
        }
    }
}

/// Whether code carries that kind of node out.
pub(super) fn is_built(node: &Node) -> bool {
    matches!(node, Node::Task(_)) || words::ROOT.find(node.kind()).is_some_and(|word| word.built)
}

/// With every variable there is, if a file is rendered: it may hold any of them. Secrets only if it may hold one.
pub(super) fn with_rendered(
    mut reads: BTreeSet<VarName>,
    task: &Task,
    calls: &[Called],
    values: &Values,
) -> BTreeSet<VarName> {
    let rendered = rendered(task, calls);
    if rendered.is_empty() {
        return reads;
    }
    let open = rendered.iter().all(|render| render.only == Some(Only::Vars));
    let names = values.iter().map(|(name, _)| name);
    reads.extend(names.filter(|name| !open || values.secrets_of(name.as_str()).is_empty()).cloned());
    reads
}

/// What a reference written in `env` stands for.
pub(super) fn aim(reference: &NodeRef, env: Option<&EnvName>) -> Key {
    (reference.path.clone(), reference.env.as_ref().or(env).cloned())
}

/// `prod.api:deploy`.
pub(super) fn label(path: &NodePath, env: Option<&EnvName>) -> String {
    let (env, project, name) = (env.map_or("", EnvName::as_str), path.project.as_str(), path.name.as_str());
    let mut label = String::with_capacity(env.len() + project.len() + name.len() + 2);
    for (part, end) in [(env, "."), (project, ":")] {
        if !part.is_empty() {
            label.push_str(part);
            label.push_str(end);
        }
    }
    label.push_str(name);
    label
}
