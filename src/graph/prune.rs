//! A smaller graph: what is there already needs nothing, and neither does what will be skipped.

use std::collections::BTreeSet;

use super::{ConfiguredTask, EdgeKind, NodeIx, TaskGraph};

impl TaskGraph {
    /// The graph in which the nodes that are `there` need nothing, and in which only what is still needed is left.
    pub fn without_needs_of(&self, there: impl Fn(&ConfiguredTask) -> bool) -> Self {
        self.cut(|_, node| there(&self[node]))
    }

    /// The graph in which these nodes, which will be `skipped`, need nothing, and what is skipped with them needs only
    /// what it is skipped for: nothing is made for what does not run.
    pub fn without_needs_of_skipped(&self, skipped: &BTreeSet<NodeIx>) -> Self {
        let mut idle = skipped.clone();
        let mut todo: Vec<NodeIx> = skipped.iter().copied().collect();
        while let Some(node) = todo.pop() {
            todo.extend(self.needed_by(node).filter(|&behind| idle.insert(behind)));
        }
        self.cut(|need, node| skipped.contains(&node) || idle.contains(&node) && !idle.contains(&need))
    }

    /// The graph without these needs, of which each is a needed node and the one that needs it, and without what nobody
    /// needs then.
    fn cut(&self, is_cut: impl Fn(NodeIx, NodeIx) -> bool) -> Self {
        let mut kept: BTreeSet<NodeIx> = BTreeSet::new();
        let mut todo: Vec<NodeIx> = self.targets().collect();
        while let Some(node) = todo.pop() {
            if !kept.insert(node) {
                continue;
            }
            todo.extend(self.needs(node).filter(|&need| !is_cut(need, node)));
            let calls = self.behind(node).filter(|(_, edge)| matches!(edge.kind, EdgeKind::FollowUp(_)));
            todo.extend(calls.map(|(called, _)| called));
        }
        let place: Vec<NodeIx> = kept.into_iter().collect();
        let at = |node: NodeIx| place.binary_search(&node).ok();
        let nodes: Vec<ConfiguredTask> = place.iter().map(|&node| self[node].clone()).collect();
        let edges = self.edges().filter_map(|(from, to, edge)| {
            let goes = edge.kind == EdgeKind::Needs && is_cut(from, to);
            Some((at(from)?, at(to)?, *edge)).filter(|_| !goes)
        });
        let mut edges: Vec<_> = edges.collect();
        // As the build lists them: by the node that they lead to.
        edges.sort_by_key(|&(_, to, _)| to);
        Self::new(nodes, edges).expect("a part of a graph without rings has none")
    }
}
