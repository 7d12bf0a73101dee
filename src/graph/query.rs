//! Questions to a graph: what a node depends on, what depends on it, which nodes match.

use globset::GlobBuilder;

use super::{EdgeKind, NodeIx, TaskGraph};

/// A set of nodes of one graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    selected: Vec<bool>,
}

impl Selection {
    /// Nothing of a graph.
    pub fn none(graph: &TaskGraph) -> Self {
        Self { selected: vec![false; graph.len()] }
    }

    /// Exactly these nodes of a graph.
    pub fn of(graph: &TaskGraph, nodes: impl IntoIterator<Item = NodeIx>) -> Self {
        let mut selection = Self::none(graph);
        for node in nodes {
            selection.selected[node.index()] = true;
        }
        selection
    }

    /// Whether a node is in it.
    pub fn contains(&self, node: NodeIx) -> bool {
        self.selected[node.index()]
    }

    /// Its nodes, in topological order.
    pub fn iter(&self) -> impl Iterator<Item = NodeIx> {
        self.selected.iter().enumerate().filter(|(_, selected)| **selected).map(|(at, _)| NodeIx(at as u32))
    }

    /// What is in both.
    pub fn and(mut self, other: &Self) -> Self {
        self.selected.iter_mut().zip(&other.selected).for_each(|(mine, theirs)| *mine &= theirs);
        self
    }
}

/// `of` and everything that they need, directly or not. Follow-ups are not needed.
pub fn ancestors(graph: &TaskGraph, of: &Selection) -> Selection {
    let mut found = of.clone();
    // Needs stand lower: what is reached from above is known when its turn comes.
    for node in graph.indices().rev() {
        if found.contains(node) {
            graph.needs(node).for_each(|need| found.selected[need.index()] = true);
        }
    }
    found
}

/// `of` and everything that needs them, directly or not.
pub fn dependants(graph: &TaskGraph, of: &Selection) -> Selection {
    let mut found = of.clone();
    for node in graph.indices() {
        if found.contains(node) {
            graph.needed_by(node).for_each(|later| found.selected[later.index()] = true);
        }
    }
    found
}

/// The nodes whose label matches a glob such as `prod.*` or `api:*`, or, without the environment, is the text itself.
///
/// # Errors
/// The text is not a glob.
pub fn select(graph: &TaskGraph, pattern: &str) -> Result<Selection, globset::Error> {
    let glob = GlobBuilder::new(pattern).literal_separator(false).build()?.compile_matcher();
    let matches =
        |node: &super::ConfiguredTask| glob.is_match(&node.label) || node.path.to_string() == pattern;
    Ok(Selection::of(graph, graph.iter().filter(|(_, node)| matches(node)).map(|(ix, _)| ix)))
}

/// The shortest way by which `later` needs `earlier`: from `later` down to `earlier`, both included.
pub fn path(graph: &TaskGraph, later: NodeIx, earlier: NodeIx) -> Option<Vec<NodeIx>> {
    let mut came_from: Vec<Option<NodeIx>> = vec![None; graph.len()];
    let mut queue = std::collections::VecDeque::from([later]);
    while let Some(node) = queue.pop_front() {
        if node == earlier {
            let mut way = vec![earlier];
            while let Some(from) = came_from[way[way.len() - 1].index()] {
                way.push(from);
            }
            way.reverse();
            return Some(way);
        }
        for (need, edge) in graph.before(node) {
            if edge.kind == EdgeKind::Needs && need != later && came_from[need.index()].is_none() {
                came_from[need.index()] = Some(node);
                queue.push_back(need);
            }
        }
    }
    None
}
