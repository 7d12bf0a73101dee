//! Why a node would run: every difference from its last good run, found by the walk that decides.

use std::path::Path;
use std::sync::mpsc;

use crate::engine::action::Actions;
use crate::engine::dispatcher;
use crate::event::{Chosen, Failure, NodeState, OutcomeKind};
use crate::fingerprint::{Change, Difference};
use crate::graph::query::{self, Selection};
use crate::graph::{NodeIx, TaskGraph};
use crate::record::{Recorded, RunId, manifest_at};
use crate::report::Reporters;

use super::guard::admit;
use super::run::{Ready, Request};
use super::{Context, Problem, Project};

/// Why a node would run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The node that was asked about.
    pub label: String,
    /// The environment that it is asked about in, where `match` chose it.
    pub chosen: Option<Chosen>,
    /// What would become of it.
    pub outcome: Option<OutcomeKind>,
    /// Every difference, in words that stand after "because"; empty if there is none.
    pub reasons: Vec<String>,
    /// The nodes before it that would run too, with their first reason, in the order in which they would.
    pub upstream: Vec<(String, String)>,
    /// From the node to the first cause: each step is a node and why it would run; the last one has a cause of its own.
    pub first: Vec<(String, String)>,
    /// The nodes that cannot even be looked at, and why: an input that cannot be read.
    pub failures: Vec<(String, String)>,
    /// What differs from an earlier run that was named.
    pub versus: Option<Versus>,
}

/// A comparison with an earlier run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versus {
    /// The run that made what is compared with: the one that was named, or the last before it in which the node was made.
    pub run: String,
    /// Every difference; `None` if something that the node needs would run first, so that nobody can know yet.
    pub differences: Option<Vec<String>>,
    /// From the node to the first cause: each step is a node and its first difference from that run; the last one has a
    /// cause of its own.
    pub first: Vec<(String, String)>,
}

/// Explains what a run of `request` would do with its first target. Executes nothing but `when` and `done`. `versus` names
/// a recorded run to compare with.
pub fn explain(
    context: &Context,
    project: &mut Project,
    request: &Request,
    versus: Option<&str>,
) -> Result<Explanation, Problem> {
    let request = Request { dry_run: true, ..request.clone() };
    let mut ready = Ready::new(context, project, &request)?;
    let mut reporters = Reporters::new(context.clock.clone());
    reporters.redact(&context.redactor);
    ready.begin(project, &request, &mut reporters);
    // Keys hold secrets too; where a guard refuses, a node that wants one says so.
    admit(context, project, &ready, &request)?;
    let around = ready.surroundings(context, project, &request);
    let actions = Actions::new(&ready.plan, &around);
    let (send, receive) = mpsc::channel();
    dispatcher::run(&ready.plan, &actions, around.processes, (send, &receive), &mut reporters);

    let graph = &ready.plan.graph;
    let target = graph.targets().next().expect("a request for an explanation has a target");
    let state = reporters.state();
    let outcome = |node| match state.state(node) {
        Some(NodeState::Over(kind)) => Some(kind),
        _ => None,
    };
    let would_run = |node| matches!(outcome(node), Some(OutcomeKind::WouldRun | OutcomeKind::Restored));
    let first_reason = |node| actions.reasons(node).into_iter().next().unwrap_or_default();
    let before = query::ancestors(graph, &Selection::of(graph, [target]));
    let upstream: Vec<NodeIx> = before
        .iter()
        .filter(|node| *node != target && !graph[*node].is_group() && would_run(*node))
        .collect();

    // Up from the node to whatever it needs that would run, until nothing does: that one has a cause of its own.
    let mut first = Vec::new();
    let mut at = Some(target).filter(|target| would_run(*target) || graph[*target].is_group());
    while let Some(node) = at {
        if would_run(node) {
            first.push((graph[node].label.clone(), first_reason(node)));
        }
        at = graph
            .needs(node)
            .find(|need| would_run(*need) || upstream.iter().any(|one| is_below(graph, *need, *one)));
    }
    let versus = match versus {
        None => None,
        Some(name) => {
            let label = &graph[target].label;
            let run = Recorded::open(project.root(), name)?.id().clone();
            let Some((run, manifest)) = manifest_at(project.root(), &run, label) else {
                return Err(Problem::usage(
                    format!("neither run {run} nor one before it made or restored `{label}`"),
                    Some("`envrun log` lists the runs that are recorded".into()),
                ));
            };
            let differences = actions.differences(target, &manifest);
            let words = |differences: Vec<Difference>| differences.iter().map(Difference::words).collect();
            Some(Versus {
                first: first_since(&actions, graph, project.root(), &run, target),
                run: run.to_string(),
                differences: differences.map(words),
            })
        }
    };
    Ok(Explanation {
        label: graph[target].label.clone(),
        chosen: ready.chosen.clone(),
        outcome: outcome(target),
        reasons: if would_run(target) { actions.reasons(target) } else { Vec::new() },
        upstream: upstream.into_iter().map(|node| (graph[node].label.clone(), first_reason(node))).collect(),
        first,
        failures: state
            .failures()
            .iter()
            .filter_map(|failed| Some((graph[failed.node].label.clone(), reason_of(&failed.failure)?)))
            .collect(),
        versus,
    })
}

/// The way from a node up to the first one that differs from what it was in a run by a cause of its own.
fn first_since(
    actions: &Actions<'_>,
    graph: &TaskGraph,
    root: &Path,
    run: &RunId,
    target: NodeIx,
) -> Vec<(String, String)> {
    // `None` for what was not recorded, or is not known before something else has run.
    let since = |node: NodeIx| {
        let (_, manifest) = manifest_at(root, run, &graph[node].label)?;
        actions.differences(node, &manifest)
    };
    let is_from_above = |difference: &Difference| matches!(difference, Difference::Need(_, Change::Changed));
    let mut way = Vec::new();
    let mut at = Some(target);
    while let Some(node) = at {
        let differences = since(node);
        let reason = match differences.as_deref() {
            Some([]) => break,
            Some([first, ..]) => first.words(),
            None => "what it needs is not what it was".to_owned(),
        };
        if !graph[node].is_group() {
            way.push((graph[node].label.clone(), reason));
        }
        if differences.is_some_and(|differences| !differences.iter().any(is_from_above)) {
            break;
        }
        let differs = |need: &NodeIx| since(*need).is_none_or(|differences| !differences.is_empty());
        at = graph.needs(node).find(differs);
    }
    way
}

/// Why a node failed before anything was executed.
fn reason_of(failure: &Failure) -> Option<String> {
    match failure {
        Failure::Io { reason } | Failure::Outputs { reason } | Failure::Start { reason, .. } => {
            Some(reason.clone())
        }
        Failure::Refused { reasons } => Some(reasons.join("; ")),
        _ => None,
    }
}

/// Whether `group` is a group that needs `node`, itself or by way of other groups: a cause shines through it.
fn is_below(graph: &TaskGraph, group: NodeIx, node: NodeIx) -> bool {
    graph[group].is_group()
        && graph.needs(group).any(|need| need == node || (need < group && is_below(graph, need, node)))
}
