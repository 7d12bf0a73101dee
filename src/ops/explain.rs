//! Why a node would run: every difference from its last good run, found by the walk that decides.

use std::sync::mpsc;

use crate::engine::action::Actions;
use crate::engine::dispatcher;
use crate::event::{NodeState, OutcomeKind};
use crate::report::Reporters;

use super::run::{Ready, Request};
use super::{Context, Problem, Project};

/// Why nodes would run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The node that was asked about.
    pub label: String,
    /// What would become of it.
    pub outcome: Option<OutcomeKind>,
    /// Every difference, in words that stand after "because"; empty if there is none.
    pub reasons: Vec<String>,
    /// The nodes above it that would run too, with their first reason: the causes of the causes, nearest last.
    pub upstream: Vec<(String, String)>,
}

/// Explains what a run of `request` would do with its first target. Executes nothing but `when` and `done`.
pub fn explain(context: &Context, project: &mut Project, request: &Request) -> Result<Explanation, Problem> {
    let request = Request { dry_run: true, ..request.clone() };
    let mut ready = Ready::new(context, project, &request)?;
    let mut reporters = Reporters::new(context.clock.clone());
    ready.begin(project, &request, &mut reporters);
    let around = ready.surroundings(context, project, &request);
    let actions = Actions::new(&ready.plan, &around);
    let processes = around.processes;
    dispatcher::run(&ready.plan, &actions, processes, mpsc::channel(), &mut reporters);
    let graph = &ready.plan.graph;
    let target = graph.targets().next().expect("a request for an explanation has a target");
    let state = reporters.state();
    let would_run = |kind| matches!(kind, OutcomeKind::WouldRun | OutcomeKind::Restored);
    let outcome = match state.state(target) {
        Some(NodeState::Over(kind)) => Some(kind),
        _ => None,
    };
    let upstream = graph
        .indices()
        .filter(|node| *node != target && !graph[*node].task.is_group())
        .filter(|node| matches!(state.state(*node), Some(NodeState::Over(kind)) if would_run(kind)))
        .map(|node| (graph[node].label.clone(), actions.reasons(node).into_iter().next().unwrap_or_default()))
        .collect();
    let reasons = if outcome.is_some_and(would_run) { actions.reasons(target) } else { Vec::new() };
    Ok(Explanation { label: graph[target].label.clone(), outcome, reasons, upstream })
}
