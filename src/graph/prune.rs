//! A smaller graph: what is there already needs nothing.

use std::collections::BTreeSet;

use super::{ConfiguredTask, EdgeKind, NodeIx, TaskGraph};

impl TaskGraph {
    /// The graph in which the nodes that are `there` need nothing, and in which only what is still needed is left.
    pub fn without_needs_of(&self, there: impl Fn(&ConfiguredTask) -> bool) -> Self {
        let mut kept: BTreeSet<NodeIx> = BTreeSet::new();
        let mut todo: Vec<NodeIx> = self.targets().collect();
        while let Some(node) = todo.pop() {
            if !kept.insert(node) {
                continue;
            }
            if !there(&self[node]) {
                todo.extend(self.needs(node));
            }
            let calls = self.behind(node).filter(|(_, edge)| matches!(edge.kind, EdgeKind::FollowUp(_)));
            todo.extend(calls.map(|(called, _)| called));
        }
        let place: Vec<NodeIx> = kept.into_iter().collect();
        let at = |node: NodeIx| place.binary_search(&node).ok();
        let nodes: Vec<ConfiguredTask> = place.iter().map(|&node| self[node].clone()).collect();
        let edges = self.edges().filter_map(|(from, to, edge)| {
            let is_cut = edge.kind == EdgeKind::Needs && there(&self[to]);
            Some((at(from)?, at(to)?, *edge)).filter(|_| !is_cut)
        });
        let mut edges: Vec<_> = edges.collect();
        // As the build lists them: by the node that they lead to.
        edges.sort_by_key(|&(_, to, _)| to);
        Self::new(nodes, edges).expect("a part of a graph without rings has none")
    }
}
