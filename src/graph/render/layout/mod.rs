//! Where everything stands in a picture.
//!
//! Nodes with the same neighbours (the four hundred object files of one library) are drawn as one *block*, a grid in a
//! frame with one edge for all, so that a large graph shows its shape. What is not connected is laid out apart and
//! packed on shelves.

mod layered;

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use crate::graph::{EdgeKind, NodeIx, TaskGraph};

/// A box: its upper left corner and its size.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Rect {
    pub x: f64,
    pub y: f64,
    pub width: f64,
    pub height: f64,
}

/// One or more nodes that are drawn as one, and where.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Item {
    pub rect: Rect,
    /// More than one: a block.
    pub members: Vec<NodeIx>,
}

/// A line between two items: the edges of one kind between their members.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Wire {
    pub from: usize,
    pub to: usize,
    pub kind: EdgeKind,
    pub points: Vec<(f64, f64)>,
}

/// A whole picture.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Layout {
    pub width: f64,
    pub height: f64,
    /// Per node.
    pub nodes: Vec<Rect>,
    pub items: Vec<Item>,
    pub wires: Vec<Wire>,
}

/// The height of a node.
pub(super) const HEIGHT: f64 = 30.0;
/// The width of a character of a label.
const CHAR: f64 = 7.3;
/// Around the members of a block, and between them.
const PAD: f64 = 12.0;
const CELL_GAP: f64 = 7.0;
/// So many equals make a block.
const BLOCK: usize = 6;
/// Longer labels are cut in the middle.
pub(super) const LONGEST: usize = 42;
/// Between parts that are not connected.
const PART_GAP: f64 = 64.0;

/// The label as it is drawn: at most [`LONGEST`] characters, cut in the middle.
pub(super) fn shown(label: &str) -> String {
    let chars: Vec<char> = label.chars().collect();
    if chars.len() <= LONGEST {
        return label.to_owned();
    }
    let (head, tail) = (LONGEST / 2, LONGEST - LONGEST / 2 - 1);
    chars[..head].iter().chain(&['…']).chain(&chars[chars.len() - tail..]).collect()
}

/// How wide a label is drawn; characters of East Asian scripts take two places.
fn width(label: &str) -> f64 {
    let places: usize =
        shown(label).chars().map(|c| if u32::from(c) >= 0x1100 && c != '…' { 2 } else { 1 }).sum();
    (places as f64 * CHAR + 30.0).max(60.0)
}

/// Lays a graph out. Blocks are made wider where the whole would be a tower.
pub(super) fn layout(graph: &TaskGraph) -> Layout {
    let (groups, item_of) = group(graph);
    let shapes: &[f64] =
        if groups.iter().any(|members| members.len() > 1) { &[0.9, 2.5, 6.0] } else { &[0.9] };
    let layouts = shapes.iter().map(|&shape| shaped(graph, groups.clone(), &item_of, shape));
    let far = |layout: &Layout| (layout.width.max(1.0) / layout.height.max(1.0) / 1.7).ln().abs();
    layouts.min_by(|a, b| far(a).total_cmp(&far(b))).expect("there is at least one shape")
}

/// Lays a graph out with blocks that are about `shape` times as wide as high.
fn shaped(graph: &TaskGraph, groups: Vec<Vec<NodeIx>>, item_of: &[usize], shape: f64) -> Layout {
    let widths: Vec<f64> = graph.iter().map(|(_, node)| width(&node.label)).collect();
    let grids: Vec<Grid> = groups.iter().map(|members| Grid::new(members, &widths, shape)).collect();
    let mut wires: Vec<(usize, usize, EdgeKind)> = graph
        .edges()
        .map(|(from, to, edge)| (item_of[from.index()], item_of[to.index()], edge.kind))
        .collect();
    wires.sort_unstable();
    wires.dedup();

    let parts = parts(groups.len(), &wires);
    let mut part_of = vec![(0, 0); groups.len()];
    for (part, items) in parts.iter().enumerate() {
        items.iter().enumerate().for_each(|(place, &item)| part_of[item] = (part, place));
    }
    let mut part_edges = vec![Vec::new(); parts.len()];
    let mut places = Vec::with_capacity(wires.len());
    for &(from, to, _) in &wires {
        let (part, from) = part_of[from];
        places.push(part_edges[part].len());
        part_edges[part].push((from, part_of[to].1));
    }
    let drawings: Vec<layered::Drawing> = parts
        .iter()
        .zip(&part_edges)
        .map(|(items, edges)| {
            let sizes: Vec<(f64, f64)> =
                items.iter().map(|&item| (grids[item].width, grids[item].height)).collect();
            layered::layered(&sizes, edges)
        })
        .collect();
    let sizes: Vec<(f64, f64)> = drawings.iter().map(|drawing| (drawing.width, drawing.height)).collect();
    let alone: Vec<bool> = part_edges.iter().map(Vec::is_empty).collect();
    let (corners, width, height) = shelve(&sizes, &alone);

    let mut nodes = vec![Rect::default(); graph.len()];
    let mut items = Vec::with_capacity(groups.len());
    for (item, members) in groups.into_iter().enumerate() {
        let (part, place) = part_of[item];
        let (centre, grid) = (drawings[part].centres[place], &grids[item]);
        let rect = Rect {
            x: corners[part].0 + centre.0 - grid.width / 2.0,
            y: corners[part].1 + centre.1 - grid.height / 2.0,
            width: grid.width,
            height: grid.height,
        };
        for (at, member) in members.iter().enumerate() {
            nodes[member.index()] = grid.cell(&rect, at);
        }
        items.push(Item { rect, members });
    }
    let wires = wires
        .into_iter()
        .zip(places)
        .map(|((from, to, kind), place)| {
            let part = part_of[from].0;
            let shift = |point: &(f64, f64)| (point.0 + corners[part].0, point.1 + corners[part].1);
            Wire { from, to, kind, points: drawings[part].routes[place].iter().map(shift).collect() }
        })
        .collect();
    Layout { width, height, nodes, items, wires }
}

/// The members of a block in rows and columns. A node alone is a grid of one without a frame.
struct Grid {
    columns: usize,
    cell: f64,
    width: f64,
    height: f64,
    pad: f64,
}

impl Grid {
    fn new(members: &[NodeIx], widths: &[f64], shape: f64) -> Self {
        let cell = members.iter().map(|member| widths[member.index()]).fold(0.0, f64::max);
        if let [_] = members {
            return Self { columns: 1, cell, width: cell, height: HEIGHT, pad: 0.0 };
        }
        let count = members.len() as f64;
        let columns =
            (count * (HEIGHT + CELL_GAP) / (cell + CELL_GAP) * shape).sqrt().round().clamp(1.0, count);
        let rows = (count / columns).ceil();
        Self {
            columns: columns as usize,
            cell,
            width: columns * (cell + CELL_GAP) - CELL_GAP + 2.0 * PAD,
            height: rows * (HEIGHT + CELL_GAP) - CELL_GAP + 2.0 * PAD,
            pad: PAD,
        }
    }

    fn cell(&self, rect: &Rect, at: usize) -> Rect {
        let (row, column) = (at / self.columns, at % self.columns);
        Rect {
            x: rect.x + self.pad + column as f64 * (self.cell + CELL_GAP),
            y: rect.y + self.pad + row as f64 * (HEIGHT + CELL_GAP),
            width: self.cell,
            height: HEIGHT,
        }
    }
}

/// The neighbours of a node: before it and behind it, with the kinds of the edges.
type Neighbours = (Vec<(NodeIx, EdgeKind)>, Vec<(NodeIx, EdgeKind)>);

/// Nodes that are drawn as one, numbered by their first members, and the number of each node. Members of a block are
/// never before one another, so items are in topological order like nodes.
fn group(graph: &TaskGraph) -> (Vec<Vec<NodeIx>>, Vec<usize>) {
    let mut alike: HashMap<Neighbours, Vec<NodeIx>> = HashMap::new();
    for ix in graph.indices() {
        let mut before: Vec<_> = graph.before(ix).map(|(other, edge)| (other, edge.kind)).collect();
        let mut behind: Vec<_> = graph.behind(ix).map(|(other, edge)| (other, edge.kind)).collect();
        before.sort_unstable();
        behind.sort_unstable();
        alike.entry((before, behind)).or_default().push(ix);
    }
    let mut groups: Vec<Vec<NodeIx>> = Vec::new();
    for members in alike.into_values() {
        if members.len() >= BLOCK {
            groups.push(members);
        } else {
            groups.extend(members.into_iter().map(|member| vec![member]));
        }
    }
    groups.sort_unstable();
    let mut item_of = vec![0; graph.len()];
    for (item, members) in groups.iter().enumerate() {
        members.iter().for_each(|member| item_of[member.index()] = item);
    }
    (groups, item_of)
}

/// Items that are connected, in order.
fn parts(count: usize, wires: &[(usize, usize, EdgeKind)]) -> Vec<Vec<usize>> {
    let mut sets = petgraph::unionfind::UnionFind::<usize>::new(count);
    for &(from, to, _) in wires {
        sets.union(from, to);
    }
    let mut parts: indexmap::IndexMap<usize, Vec<usize>> = indexmap::IndexMap::new();
    for item in 0..count {
        parts.entry(sets.find(item)).or_default().push(item);
    }
    parts.into_values().collect()
}

/// Puts parts on shelves, those without edges last, high ones first, about as wide as a screen is for its height. Gives
/// their upper left corners, and the room that all take.
fn shelve(sizes: &[(f64, f64)], alone: &[bool]) -> (Vec<(f64, f64)>, f64, f64) {
    let area: f64 = sizes.iter().map(|(width, height)| (width + PART_GAP) * (height + PART_GAP)).sum();
    let widest = sizes.iter().map(|size| size.0).fold(0.0, f64::max);
    let limit = widest.max((area * 1.7).sqrt());
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by(|&a, &b| alone[a].cmp(&alone[b]).then(sizes[b].1.total_cmp(&sizes[a].1)).then(a.cmp(&b)));
    let mut corners = vec![(0.0, 0.0); sizes.len()];
    let (mut x, mut y, mut shelf, mut width) = (0.0_f64, 0.0_f64, 0.0_f64, 0.0_f64);
    for part in order {
        let size = sizes[part];
        if x > 0.0 && x + size.0 > limit {
            (x, y, shelf) = (0.0, y + shelf + PART_GAP, 0.0);
        }
        corners[part] = (x, y);
        width = width.max(x + size.0);
        shelf = shelf.max(size.1);
        x += size.0 + PART_GAP;
    }
    (corners, width, y + shelf)
}
