//! The nodes of a scope by name: as they were lowered, or packed in a compiled snapshot and unpacked when looked at.
//!
//! A run of one task among ten thousand looks at a handful of them, so a packed scope is read in place: a table of
//! names that is searched where it lies, and for each node the bytes that it is decoded from the first time somebody
//! asks.
//!
//! Invariant: bytes of a packed scope are never trusted: what does not fit is a node that is not there, and
//! [`Nodes::is_torn`] says so. Whoever rests on the nodes asks that before anything is done with them.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use crate::base::codec::{Put, Reader};
use crate::base::{checksum, map};

use super::{Node, NodeName};

/// Nodes by name, in the order written.
#[derive(Clone)]
pub struct Nodes {
    kind: Kind,
    /// It was packed, and not all of it could be unpacked.
    was_torn: bool,
}

#[derive(Clone)]
enum Kind {
    Written(map::IndexMap<NodeName, Node>),
    Packed(Arc<Packed>),
}

/// Nodes that lie in a compiled snapshot.
struct Packed {
    /// The whole snapshot.
    bytes: Arc<Vec<u8>>,
    /// Where each name ends among the names, four bytes each; then the same of the nodes.
    name_ends: usize,
    node_ends: usize,
    /// The places of the nodes by the hash of their name, one more than each is: 0 is a free one. Four bytes each.
    table: usize,
    mask: usize,
    names: Range<usize>,
    nodes: Range<usize>,
    len: usize,
    /// What was looked at, [`TOGETHER`] places at a time.
    seen: Box<[OnceLock<Box<[Seen; TOGETHER]>>]>,
    torn: AtomicBool,
}

/// How many places of [`Packed::seen`] are made at once.
const TOGETHER: usize = 32;

#[derive(Default)]
struct Seen {
    name: OnceLock<Option<NodeName>>,
    node: OnceLock<Option<Node>>,
}

impl Default for Nodes {
    fn default() -> Self {
        Self { kind: Kind::Written(map::IndexMap::default()), was_torn: false }
    }
}

impl Nodes {
    /// How many there are.
    pub fn len(&self) -> usize {
        match &self.kind {
            Kind::Written(nodes) => nodes.len(),
            Kind::Packed(packed) => packed.len,
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The node of that name.
    pub fn get<Q: Borrow<str> + ?Sized>(&self, name: &Q) -> Option<&Node> {
        match &self.kind {
            Kind::Written(nodes) => nodes.get(name.borrow()),
            Kind::Packed(packed) => packed.node(packed.find(name.borrow())?),
        }
    }

    /// The place of the node of that name.
    pub fn get_index_of<Q: Borrow<str> + ?Sized>(&self, name: &Q) -> Option<usize> {
        match &self.kind {
            Kind::Written(nodes) => nodes.get_index_of(name.borrow()),
            Kind::Packed(packed) => packed.find(name.borrow()),
        }
    }

    /// Whether there is one of that name.
    pub fn contains_key<Q: Borrow<str> + ?Sized>(&self, name: &Q) -> bool {
        self.get_index_of(name).is_some()
    }

    /// The node at a place.
    pub fn at(&self, place: usize) -> Option<&Node> {
        match &self.kind {
            Kind::Written(nodes) => nodes.get_index(place).map(|(_, node)| node),
            Kind::Packed(packed) => packed.node(place),
        }
    }

    /// The name of the node at a place.
    pub fn name_at(&self, place: usize) -> Option<&NodeName> {
        match &self.kind {
            Kind::Written(nodes) => nodes.get_index(place).map(|(name, _)| name),
            Kind::Packed(packed) => packed.name(place),
        }
    }

    /// Every name, in order.
    pub fn keys(&self) -> impl Iterator<Item = &NodeName> {
        (0..self.len()).filter_map(|place| self.name_at(place))
    }

    /// Every node, in order.
    pub fn values(&self) -> impl Iterator<Item = &Node> {
        (0..self.len()).filter_map(|place| self.at(place))
    }

    /// Every name and its node, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&NodeName, &Node)> {
        (0..self.len()).filter_map(|place| Some((self.name_at(place)?, self.at(place)?)))
    }

    /// Makes room for more.
    pub fn reserve(&mut self, more: usize) {
        self.written().reserve(more);
    }

    /// Puts a node in; one of that name is replaced.
    pub fn insert(&mut self, name: NodeName, node: Node) {
        self.written().insert(name, node);
    }

    /// The map, which packed nodes are put into first.
    fn written(&mut self) -> &mut map::IndexMap<NodeName, Node> {
        if let Kind::Packed(_) = &self.kind {
            let nodes = self.iter().map(|(name, node)| (name.clone(), node.clone())).collect();
            *self = Self { was_torn: self.is_torn(), kind: Kind::Written(nodes) };
        }
        match &mut self.kind {
            Kind::Written(nodes) => nodes,
            Kind::Packed(_) => unreachable!("it was unpacked above"),
        }
    }

    /// Whether something of it that was looked at is not what was once packed.
    pub fn is_torn(&self) -> bool {
        self.was_torn || matches!(&self.kind, Kind::Packed(packed) if packed.torn.load(Ordering::Relaxed))
    }

    /// Packs the nodes for [`unpacked`](Self::unpacked).
    ///
    /// # Errors
    /// There is more than four bytes can tell the place of.
    pub fn pack(&self, out: &mut Vec<u8>) -> Result<(), postcard::Error> {
        let four = |number: usize| u32::try_from(number).map_err(|_| postcard::Error::SerializeBufferFull);
        let (mut names, mut nodes) = (Vec::new(), Vec::new());
        let (mut name_ends, mut node_ends) = (Vec::new(), Vec::new());
        let slots = if self.is_empty() { 0 } else { (2 * self.len()).next_power_of_two() };
        let mut table = vec![0_u32; slots];
        for (place, (name, node)) in self.iter().enumerate() {
            names.put(name.as_str().as_bytes());
            name_ends.put_u32(four(names.len())?);
            nodes = postcard::to_extend(node, nodes)?;
            node_ends.put_u32(four(nodes.len())?);
            let mut at = hash(name.as_str()) & (slots - 1);
            while table[at] != 0 {
                at = (at + 1) & (slots - 1);
            }
            table[at] = four(place + 1)?;
        }
        for number in [self.len(), slots, names.len(), nodes.len()] {
            out.put_u32(four(number)?);
        }
        out.put(&name_ends);
        out.put(&node_ends);
        table.iter().for_each(|slot| out.put_u32(*slot));
        out.put(&names);
        out.put(&nodes);
        Ok(())
    }

    /// The nodes that were packed at `at`, which is moved behind them.
    pub fn unpacked(bytes: &Arc<Vec<u8>>, at: &mut usize) -> Option<Self> {
        let mut reader = Reader::new(bytes.get(*at..)?);
        let mut number = || usize::try_from(reader.u32()?).ok();
        let (len, slots) = (number()?, number()?);
        let (names_len, nodes_len) = (number()?, number()?);
        if slots < len || !(slots == 0 || slots.is_power_of_two()) {
            return None;
        }
        let behind = |from: usize, len: usize| from.checked_add(len).filter(|end| *end <= bytes.len());
        let name_ends = behind(*at, 16)?;
        let node_ends = behind(name_ends, len.checked_mul(4)?)?;
        let table = behind(node_ends, len.checked_mul(4)?)?;
        let names = behind(table, slots.checked_mul(4)?)?;
        let nodes = behind(names, names_len)?;
        *at = behind(nodes, nodes_len)?;
        if len == 0 {
            return Some(Self::default());
        }
        let packed = Packed {
            bytes: Arc::clone(bytes),
            name_ends,
            node_ends,
            table,
            mask: slots.checked_sub(1)?,
            names: names..nodes,
            nodes: nodes..*at,
            len,
            seen: (0..len.div_ceil(TOGETHER)).map(|_| OnceLock::new()).collect(),
            torn: AtomicBool::new(false),
        };
        Some(Self { kind: Kind::Packed(Arc::new(packed)), was_torn: false })
    }
}

fn hash(name: &str) -> usize {
    checksum(name.as_bytes()) as usize
}

impl Packed {
    fn four(&self, list: usize, place: usize) -> Option<usize> {
        let at = list.checked_add(place.checked_mul(4)?)?;
        let bytes = self.bytes.get(at..at.checked_add(4)?)?;
        usize::try_from(u32::from_le_bytes(bytes.try_into().ok()?)).ok()
    }

    /// What lies at a place of a list, if it lies in `all` of it.
    fn part(&self, ends: usize, all: &Range<usize>, place: usize) -> Option<&[u8]> {
        let start = place.checked_sub(1).map_or(Some(0), |before| self.four(ends, before))?;
        self.bytes.get(all.clone())?.get(start..self.four(ends, place)?)
    }

    fn find(&self, name: &str) -> Option<usize> {
        let mut at = hash(name) & self.mask;
        for _ in 0..=self.mask {
            let place = self.four(self.table, at)?.checked_sub(1)?;
            if place < self.len && self.part(self.name_ends, &self.names, place)? == name.as_bytes() {
                return Some(place);
            }
            at = (at + 1) & self.mask;
        }
        None
    }

    fn seen(&self, place: usize) -> Option<&Seen> {
        let group = self.seen.get(place / TOGETHER)?;
        Some(&group.get_or_init(Box::default)[place % TOGETHER])
    }

    fn name(&self, place: usize) -> Option<&NodeName> {
        let read = || std::str::from_utf8(self.part(self.name_ends, &self.names, place)?).ok();
        self.kept(
            self.seen(place).filter(|_| place < self.len)?.name.get_or_init(|| read().map(NodeName::from)),
        )
    }

    fn node(&self, place: usize) -> Option<&Node> {
        let read = || {
            let node: Node = postcard::from_bytes(self.part(self.node_ends, &self.nodes, place)?).ok()?;
            // It is found by that name.
            (self.part(self.name_ends, &self.names, place)? == node.name().as_str().as_bytes())
                .then_some(node)
        };
        self.kept(self.seen(place).filter(|_| place < self.len)?.node.get_or_init(read))
    }

    fn kept<'a, T>(&self, found: &'a Option<T>) -> Option<&'a T> {
        if found.is_none() {
            self.torn.store(true, Ordering::Relaxed);
        }
        found.as_ref()
    }
}

impl<'a> IntoIterator for &'a Nodes {
    type Item = (&'a NodeName, &'a Node);
    type IntoIter = Box<dyn Iterator<Item = Self::Item> + 'a>;

    fn into_iter(self) -> Self::IntoIter {
        Box::new(self.iter())
    }
}

impl PartialEq for Nodes {
    fn eq(&self, other: &Self) -> bool {
        let is_there = |place| {
            let (name, node) = (self.name_at(place)?, self.at(place)?);
            Some(other.get(name) == Some(node))
        };
        // What is torn is equal to nothing.
        self.len() == other.len() && (0..self.len()).all(|place| is_there(place) == Some(true))
    }
}

impl fmt::Debug for Nodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}
