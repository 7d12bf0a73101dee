//! What an `on-fail` task is told of what failed.

use std::sync::PoisonError;

use crate::event::Failure;
use crate::graph::{Edge, EdgeKind, NodeIx, Occasion};
use crate::report::failure_words;

use super::action::Actions;

impl Actions<'_> {
    /// Keeps why a node failed, for those that are called because of it.
    pub fn note_failure(&self, node: NodeIx, failure: &Failure) {
        let is_called = |edge: &Edge| edge.kind == EdgeKind::FollowUp(Occasion::Failure);
        if self.plan.graph.behind(node).any(|(_, edge)| is_called(edge)) {
            let why = failure_words(failure);
            self.failed.lock().unwrap_or_else(PoisonError::into_inner).push((node, why));
        }
    }

    /// What the commands of an `on-fail` task are told of what failed.
    pub(super) fn told(&self, node: NodeIx) -> Vec<(&'static str, String)> {
        // What goes into a key cannot be anything that is known only now.
        if !self.plan.graph[node].follow_up || self.plan.graph[node].task.is_cacheable() {
            return Vec::new();
        }
        let callers: Vec<NodeIx> = self.plan.graph.before(node).map(|(caller, _)| caller).collect();
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = failed.iter().filter(|(failed, _)| callers.contains(failed));
        let (mut labels, mut reasons) = (Vec::new(), Vec::new());
        for (failed, why) in failed {
            let label = &self.plan.graph[*failed].label;
            labels.push(label.clone());
            reasons.push(self.around.redactor.text(&format!("`{label}`: {why}")).into_owned());
        }
        match labels.is_empty() {
            true => Vec::new(),
            false => vec![
                ("ENVRUN_FAILED", labels.join(" ")),
                ("ENVRUN_REASON", reasons.join("; ")),
                ("ENVRUN_FAILED_RUN", self.around.run.to_string()),
            ],
        }
    }
}
