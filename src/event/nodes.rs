//! A set of nodes that is cheap to tell when the nodes lie side by side.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::graph::NodeIx;

/// A set of nodes, held and written as ranges: `[[0, 9998], [10000, 10000]]`, both ends included.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodeSet {
    /// Ascending, neither touching nor overlapping.
    ranges: Vec<(u32, u32)>,
}

impl NodeSet {
    /// Adds a node; cheapest in ascending order.
    pub fn insert(&mut self, node: NodeIx) {
        let node = node.0;
        match self.ranges.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(node) => *last = node,
            Some((_, last)) if *last >= node => self.insert_between(node),
            _ => self.ranges.push((node, node)),
        }
    }

    /// Adds a node that is not past the end: finds its place, and joins what then touches.
    fn insert_between(&mut self, node: u32) {
        // The first range that ends at or after the node's left neighbour: the only one it can touch from the left.
        let at = self.ranges.partition_point(|&(_, last)| last.saturating_add(1) < node);
        let (first, last) = self.ranges[at];
        if first <= node && node <= last {
            return;
        }
        if last.saturating_add(1) == node {
            self.ranges[at].1 = node;
            if self.ranges.get(at + 1).is_some_and(|&(next, _)| next == node + 1) {
                self.ranges[at].1 = self.ranges.remove(at + 1).1;
            }
        } else if first == node + 1 {
            self.ranges[at].0 = node;
        } else {
            self.ranges.insert(at, (node, node));
        }
    }

    /// How many nodes.
    pub fn len(&self) -> usize {
        self.ranges.iter().map(|&(first, last)| (last - first) as usize + 1).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The nodes, ascending.
    pub fn iter(&self) -> impl Iterator<Item = NodeIx> + '_ {
        self.iter_below(u32::MAX)
            .chain(self.ranges.last().filter(|last| last.1 == u32::MAX).map(|_| NodeIx(u32::MAX)))
    }

    /// The nodes before `end`, ascending: a range read from a file may reach further than there are nodes.
    pub fn iter_below(&self, end: u32) -> impl Iterator<Item = NodeIx> + '_ {
        self.ranges
            .iter()
            .flat_map(move |&(first, last)| (first..end.min(last.saturating_add(1))).map(NodeIx))
    }
}

impl FromIterator<NodeIx> for NodeSet {
    fn from_iter<I: IntoIterator<Item = NodeIx>>(nodes: I) -> Self {
        let mut nodes: Vec<NodeIx> = nodes.into_iter().collect();
        // Sorted first: a set gathered in the order of finishing would otherwise be inserted into in the middle.
        nodes.sort_unstable();
        let mut set = Self::default();
        nodes.into_iter().for_each(|node| set.insert(node));
        set
    }
}

impl Serialize for NodeSet {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.ranges.serialize(to)
    }
}

impl<'de> Deserialize<'de> for NodeSet {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let ranges = Vec::<(u32, u32)>::deserialize(from)?;
        let apart = ranges.windows(2).all(|pair| pair[0].1.saturating_add(1) < pair[1].0);
        if apart && ranges.iter().all(|(first, last)| first <= last) {
            Ok(Self { ranges })
        } else {
            Err(serde::de::Error::custom("ranges of nodes have to ascend without touching"))
        }
    }
}
