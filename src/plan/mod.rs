//! What this invocation will do, in which order, within which limits.
//!
//! A [`Plan`] is a [`TaskGraph`] and the [`Limits`] of the run, with two things worked out for every node: its priority
//! (the longest way, by recorded durations, from its beginning to the end of everything that waits for it) and its
//! pool. The scheduler carries a plan out; it decides nothing that a plan could have said.
//!
//! Invariant: pure; the same graph, limits and durations give the same plan.

#[cfg(test)]
mod tests;

use std::num::NonZeroUsize;
use std::time::Duration;

use indexmap::IndexMap;

use crate::graph::{EdgeKind, NodeIx, TaskGraph};
use crate::model::Pool;

/// What this invocation will do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The nodes and what comes before what.
    pub graph: TaskGraph,
    /// Per node: the milliseconds from its beginning to the end of the longest chain that waits for it. Higher goes
    /// first; of equals the one with the lower index.
    pub priority: Vec<u64>,
    /// Per node: how long it took when it was last executed.
    pub expected: Vec<Option<Duration>>,
    /// Per node: its place in `pools`.
    pub pool: Vec<Option<u32>>,
    /// Every pool that a node of the graph is in: name and depth.
    pub pools: Vec<(String, NonZeroUsize)>,
    /// Within which limits.
    pub limits: Limits,
}

/// Within which limits a run goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// How many commands may run at once.
    pub jobs: NonZeroUsize,
    /// What a failure means for the rest.
    pub on_failure: OnFailure,
    /// What is executed although it is up to date.
    pub force: Force,
    /// Nothing is executed; what would be is told.
    pub dry_run: bool,
}

/// What a failure means for the nodes that do not depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnFailure {
    /// What runs is finished, nothing new is started.
    #[default]
    Finish,
    /// They go on (`-k`).
    KeepGoing,
}

/// What is executed although it is up to date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Force {
    /// Nothing.
    #[default]
    Nothing,
    /// The nodes that were asked for by name (`-B`).
    Targets,
    /// Every node (`--force-all`).
    All,
}

impl Plan {
    /// Plans a run of `graph`. `expected` tells how long a node took when it was last executed; a node of which
    /// nothing is known counts as one millisecond, a group as nothing.
    ///
    /// A pool that `pools` does not declare limits nothing: the Envfile was checked before.
    pub fn new(
        graph: TaskGraph,
        pools: &IndexMap<String, Pool>,
        limits: Limits,
        expected: impl Fn(&str) -> Option<Duration>,
    ) -> Self {
        let expected: Vec<Option<Duration>> = graph.iter().map(|(_, node)| expected(&node.label)).collect();
        let priority = priorities(&graph, &expected);
        let mut used: IndexMap<String, NonZeroUsize> = IndexMap::new();
        let mut pool = Vec::with_capacity(graph.len());
        for (_, node) in graph.iter() {
            let declared = node.task.pool.as_ref().and_then(|name| pools.get(&name.value));
            pool.push(declared.map(|declared| {
                let depth = NonZeroUsize::new(declared.depth).unwrap_or(NonZeroUsize::MIN);
                let at = used.get_index_of(&declared.name);
                at.unwrap_or_else(|| used.insert_full(declared.name.clone(), depth).0) as u32
            }));
        }
        Self { graph, priority, expected, pool, pools: used.into_iter().collect(), limits }
    }

    /// Whether `node` is executed although it is up to date.
    pub fn is_forced(&self, node: NodeIx) -> bool {
        match self.limits.force {
            Force::Nothing => false,
            // A group stands for what it needs.
            Force::Targets => {
                self.graph[node].target
                    || self.graph.behind(node).any(|(later, edge)| {
                        edge.kind == EdgeKind::Needs && self.graph[later].is_group() && self.is_forced(later)
                    })
            }
            Force::All => true,
        }
    }
}

/// The longest way from each node's beginning to the end of what waits for it. A follow-up is not waited for.
fn priorities(graph: &TaskGraph, expected: &[Option<Duration>]) -> Vec<u64> {
    let mut priority = vec![0_u64; graph.len()];
    for node in graph.indices().rev() {
        let longest = graph
            .behind(node)
            .filter(|(_, edge)| matches!(edge.kind, EdgeKind::Needs | EdgeKind::After))
            .map(|(later, _)| priority[later.index()])
            .max()
            .unwrap_or(0);
        let own = match expected[node.index()] {
            _ if graph[node].is_group() => 0,
            Some(took) => u64::try_from(took.as_millis()).unwrap_or(u64::MAX).max(1),
            None => 1,
        };
        priority[node.index()] = longest.saturating_add(own);
    }
    priority
}
