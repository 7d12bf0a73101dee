//! The graph itself: configured tasks, numbered so that every edge leads upwards.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::ops::{Index, IndexMut};

use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::EdgeRef;
use petgraph::{Incoming, Outgoing};

use crate::diag::Span;
use crate::model::{Gate, NodeRef};

use super::{ConfiguredTask, NodeIx};

/// Configured tasks and what comes before what.
///
/// Edges lead from what comes first to what comes later: from a need to what needs it.
#[derive(Debug, Clone, Default)]
pub struct TaskGraph {
    graph: DiGraph<ConfiguredTask, Edge>,
}

/// Why one node comes after another, and where that is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edge {
    /// Why.
    pub kind: EdgeKind,
    /// Where it is written.
    pub span: Span,
}

/// Why one node comes after another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EdgeKind {
    /// `needs`: begins only when the first is over and good.
    Needs,
    /// `after`: begins when the first is over, however it ended. Never leads from a follow-up.
    After,
    /// `on-fail`, `on-success`: called by how the first ended. From an ordinary node it is an order too; from a
    /// follow-up it leads only to another one, and is none.
    FollowUp(Occasion),
}

/// What calls a follow-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Occasion {
    /// `on-fail`: it was executed and failed, or was interrupted.
    Failure,
    /// `on-success`: it ended well, up to date and restored included.
    Success,
}

/// Edges that lead in a ring, each beginning where the one before ends: the labels of the two nodes, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ring(pub Vec<(String, String, Edge)>);

/// An edge between two places of a list of nodes.
type Between = (usize, usize, Edge);

impl TaskGraph {
    /// The same graph with more nodes behind its own, which no edge leads to or from.
    #[must_use]
    pub fn with_beside(&self, nodes: impl IntoIterator<Item = ConfiguredTask>) -> Self {
        let mut graph = self.graph.clone();
        nodes.into_iter().for_each(|node| _ = graph.add_node(node));
        Self { graph }
    }

    /// Numbers `nodes` topologically, as near to the given order as the edges allow, or finds a ring. Edges lead between
    /// places of `nodes`.
    ///
    /// Of `needs` and `after` between the same two nodes only `needs` is kept. Nothing waits for what may never come:
    /// `after` a follow-up is dropped, and so is a follow-up's call of an ordinary node.
    pub fn new(nodes: Vec<ConfiguredTask>, mut edges: Vec<Between>) -> Result<Self, Ring> {
        edges.retain(|&(from, to, edge)| match edge.kind {
            EdgeKind::Needs => true,
            EdgeKind::After => !nodes[from].follow_up,
            EdgeKind::FollowUp(_) => !nodes[from].follow_up || nodes[to].follow_up,
        });
        // Stable, and nearly nothing to do: edges come in by the node they lead to.
        edges.sort_by_key(|&(_, to, _)| to);
        let edges = distinct(nodes.len(), edges);
        let mut graph = DiGraph::with_capacity(nodes.len(), edges.len());
        // petgraph lists a node's edges newest first: added backwards, they come out as written.
        let backwards = edges.iter().rev();
        if edges.iter().all(|&(from, to, _)| from < to) {
            nodes.into_iter().for_each(|node| _ = graph.add_node(node));
            backwards.for_each(|&(from, to, edge)| _ = graph.add_edge(at(from), at(to), edge));
            return Ok(Self { graph });
        }
        let place = number(&nodes, &edges)?;
        let mut order: Vec<usize> = (0..nodes.len()).collect();
        order.sort_unstable_by_key(|&at| place[at]);
        let mut slots: Vec<Option<ConfiguredTask>> = nodes.into_iter().map(Some).collect();
        for at in order {
            graph.add_node(slots[at].take().expect("an order names each node once"));
        }
        backwards.for_each(|&(from, to, edge)| _ = graph.add_edge(at(place[from]), at(place[to]), edge));
        Ok(Self { graph })
    }

    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.graph.node_count()
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many edges there are.
    pub fn edge_count(&self) -> usize {
        self.graph.edge_count()
    }

    /// How many of these nodes are services, behind how many are anything else that does something.
    pub fn tasks_and_services(&self, nodes: impl IntoIterator<Item = NodeIx>) -> (usize, usize) {
        let mut counts = (0, 0);
        for node in nodes.into_iter().map(|node| &self[node]).filter(|node| !node.is_group()) {
            match node.kind() {
                "service" => counts.1 += 1,
                _ => counts.0 += 1,
            }
        }
        counts
    }

    /// Every node's place, in topological order.
    pub fn indices(&self) -> impl DoubleEndedIterator<Item = NodeIx> + ExactSizeIterator + use<> {
        // The number of nodes fits: petgraph's own indices are 32 bits wide.
        (0..self.len() as u32).map(NodeIx)
    }

    /// Every node with its place, in topological order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (NodeIx, &ConfiguredTask)> {
        self.indices().zip(self.graph.raw_nodes()).map(|(ix, node)| (ix, &node.weight))
    }

    /// Every edge: from, to, why; those that lead to one node in the order written.
    pub fn edges(&self) -> impl Iterator<Item = (NodeIx, NodeIx, &Edge)> {
        self.graph
            .raw_edges()
            .iter()
            .rev()
            .map(|edge| (ours(edge.source()), ours(edge.target()), &edge.weight))
    }

    /// What comes before `node` and why, in the order written.
    pub fn before(&self, node: NodeIx) -> impl Iterator<Item = (NodeIx, &Edge)> {
        self.graph.edges_directed(theirs(node), Incoming).map(|edge| (ours(edge.source()), edge.weight()))
    }

    /// What comes later than `node` and why.
    pub fn behind(&self, node: NodeIx) -> impl Iterator<Item = (NodeIx, &Edge)> {
        self.graph.edges_directed(theirs(node), Outgoing).map(|edge| (ours(edge.target()), edge.weight()))
    }

    /// What `node` needs, in the order written.
    pub fn needs(&self, node: NodeIx) -> impl Iterator<Item = NodeIx> {
        self.before(node).filter(|(_, edge)| edge.kind == EdgeKind::Needs).map(|(ix, _)| ix)
    }

    /// How far the service `need` has to be for `node` to begin.
    pub fn gate(&self, need: NodeIx, node: NodeIx) -> Gate {
        let (need, node) = (&self[need], &self[node]);
        let names = |reference: &&NodeRef| {
            reference.path == need.path && (reference.env.is_none() || reference.env == need.env)
        };
        // Of two references to one service the one that asks for more counts.
        let asked = node.task.needs.iter().filter(names).map(|reference| reference.state.unwrap_or_default());
        asked.max().unwrap_or_default()
    }

    /// How far a service has to be for somebody to go on, each once, the least first. Whoever asked for it by name, and a
    /// service that nothing needs, wants it ready.
    pub fn gates(&self, service: NodeIx) -> BTreeSet<Gate> {
        let mut gates: BTreeSet<Gate> =
            self.needed_by(service).map(|node| self.gate(service, node)).collect();
        if self[service].target || gates.is_empty() {
            gates.insert(Gate::Ready);
        }
        gates
    }

    /// What needs `node`.
    pub fn needed_by(&self, node: NodeIx) -> impl Iterator<Item = NodeIx> {
        self.behind(node).filter(|(_, edge)| edge.kind == EdgeKind::Needs).map(|(ix, _)| ix)
    }

    /// The nodes that were asked for by name.
    pub fn targets(&self) -> impl Iterator<Item = NodeIx> {
        self.iter().filter(|(_, node)| node.target).map(|(ix, _)| ix)
    }
}

impl IndexMut<NodeIx> for TaskGraph {
    fn index_mut(&mut self, node: NodeIx) -> &mut ConfiguredTask {
        &mut self.graph[theirs(node)]
    }
}

impl Index<NodeIx> for TaskGraph {
    type Output = ConfiguredTask;

    fn index(&self, node: NodeIx) -> &ConfiguredTask {
        &self.graph[theirs(node)]
    }
}

fn at(place: usize) -> NodeIndex {
    NodeIndex::new(place)
}

fn ours(index: NodeIndex) -> NodeIx {
    NodeIx(index.index() as u32)
}

fn theirs(node: NodeIx) -> NodeIndex {
    NodeIndex::new(node.index())
}

/// Edges that are sorted by the node they lead to, each once per pair of nodes: of `needs` and `after` the stronger, and
/// a follow-up once for each occasion.
fn distinct(count: usize, edges: Vec<Between>) -> Vec<Between> {
    let sort = |kind: EdgeKind| match kind {
        EdgeKind::Needs | EdgeKind::After => 0,
        EdgeKind::FollowUp(Occasion::Failure) => 1,
        EdgeKind::FollowUp(Occasion::Success) => 2,
    };
    // For each node and sort: where the last edge from it is kept.
    let mut last = vec![[usize::MAX; 3]; count];
    let mut kept: Vec<Between> = Vec::with_capacity(edges.len());
    for (from, to, edge) in edges {
        let last = &mut last[from][sort(edge.kind)];
        match kept.get_mut(*last).filter(|known| known.1 == to) {
            Some(known) => {
                if edge.kind < known.2.kind {
                    known.2 = edge;
                }
            }
            None => {
                *last = kept.len();
                kept.push((from, to, edge));
            }
        }
    }
    kept
}

/// The new place of each node: the topological order that is smallest by old places (Kahn's algorithm over a heap), or a
/// ring.
fn number(nodes: &[ConfiguredTask], edges: &[Between]) -> Result<Vec<usize>, Ring> {
    let count = nodes.len();
    let mut behind: Vec<Vec<usize>> = vec![Vec::new(); count];
    let mut waits = vec![0_usize; count];
    for &(from, to, _) in edges {
        behind[from].push(to);
        waits[to] += 1;
    }
    let mut free: BinaryHeap<Reverse<usize>> = (0..count).filter(|&at| waits[at] == 0).map(Reverse).collect();
    let mut place = vec![0; count];
    let mut placed = 0;
    while let Some(Reverse(at)) = free.pop() {
        place[at] = placed;
        placed += 1;
        for &to in &behind[at] {
            waits[to] -= 1;
            if waits[to] == 0 {
                free.push(Reverse(to));
            }
        }
    }
    if placed == count { Ok(place) } else { Err(ring(nodes, &waits, edges)) }
}

/// A ring among the nodes that still wait: each of them waits for another one of them, so going back must come round.
fn ring(nodes: &[ConfiguredTask], waits: &[usize], edges: &[Between]) -> Ring {
    let mut back: Vec<Option<(usize, Edge)>> = vec![None; waits.len()];
    for &(from, to, edge) in edges {
        if waits[from] > 0 && waits[to] > 0 {
            back[to].get_or_insert((from, edge));
        }
    }
    let mut at = waits.iter().position(|&count| count > 0).expect("not all nodes were placed");
    let mut seen = vec![false; waits.len()];
    while !std::mem::replace(&mut seen[at], true) {
        at = back[at].expect("what waits, waits for another that waits").0;
    }
    let mut edges = Vec::new();
    let end = at;
    loop {
        let (from, edge) = back[at].expect("what waits, waits for another that waits");
        edges.push((nodes[from].label.clone(), nodes[at].label.clone(), edge));
        at = from;
        if at == end {
            break;
        }
    }
    edges.reverse();
    Ring(edges)
}
