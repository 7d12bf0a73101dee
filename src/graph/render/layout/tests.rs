//! Laws of the picture, for any graph.

use proptest::prelude::*;

use super::*;
use crate::graph::Occasion;
use crate::graph::fixture::{graph, node, task};

fn any_graph() -> impl Strategy<Value = TaskGraph> {
    (1..40_usize).prop_flat_map(|count| {
        let kind = prop_oneof![
            6 => Just(EdgeKind::Needs),
            1 => Just(EdgeKind::After),
            1 => Just(EdgeKind::FollowUp(Occasion::Failure)),
        ];
        let names = prop::collection::vec("[a-z.:]{1,60}", count);
        let edges = prop::collection::vec((0..count, 0..count, kind), 0..count * 2);
        (names, edges).prop_map(|(names, mut edges)| {
            edges.retain(|edge| edge.0 != edge.1);
            edges.iter_mut().for_each(|edge| *edge = (edge.0.min(edge.1), edge.0.max(edge.1), edge.2));
            graph(names.iter().map(|name| node(task(name))).collect(), &edges)
        })
    })
}

fn overlap(a: &Rect, b: &Rect) -> bool {
    let apart = |a: f64, a_size: f64, b: f64, b_size: f64| a + a_size <= b + 0.01 || b + b_size <= a + 0.01;
    !apart(a.x, a.width, b.x, b.width) && !apart(a.y, a.height, b.y, b.height)
}

proptest! {
    #[test]
    fn nothing_overlaps_and_everything_flows_to_the_right(graph in any_graph()) {
        let layout = layout(&graph);
        for (at, a) in layout.nodes.iter().enumerate() {
            prop_assert!(a.x >= -0.01 && a.y >= -0.01);
            prop_assert!(a.x + a.width <= layout.width + 0.01 && a.y + a.height <= layout.height + 0.01);
            for b in &layout.nodes[at + 1..] {
                prop_assert!(!overlap(a, b), "{:?} {:?}", a, b);
            }
        }
        for (at, a) in layout.items.iter().enumerate() {
            for b in &layout.items[at + 1..] {
                prop_assert!(!overlap(&a.rect, &b.rect), "{:?} {:?}", a, b);
            }
        }
        for wire in &layout.wires {
            let (from, to) = (layout.items[wire.from].rect, layout.items[wire.to].rect);
            let (first, last) = (wire.points[0], wire.points[wire.points.len() - 1]);
            prop_assert!((first.0 - from.x - from.width).abs() < 0.01 && (last.0 - to.x).abs() < 0.01);
            prop_assert!(wire.points.windows(2).all(|pair| pair[0].0 <= pair[1].0 + 0.01), "{:?}", wire.points);
        }
        let edges: usize = graph.edges().count();
        let wired: usize = layout
            .wires
            .iter()
            .map(|wire| layout.items[wire.from].members.len() * layout.items[wire.to].members.len())
            .sum();
        prop_assert_eq!(edges, wired, "every edge is in exactly one wire");
    }
}

#[test]
fn equals_make_a_block_with_one_wire() {
    let mut nodes: Vec<_> = (0..100).map(|at| node(task(&format!("obj/file{at}.o")))).collect();
    nodes.push(node(task("library")));
    let edges: Vec<_> = (0..100).map(|at| (at, 100, EdgeKind::Needs)).collect();
    let layout = layout(&graph(nodes, &edges));
    assert_eq!(layout.items.len(), 2);
    assert_eq!(layout.wires.len(), 1);
    let block = layout.items[0].rect;
    assert!(block.width / block.height < 8.0 && block.height / block.width < 2.0, "{block:?}");
}

#[test]
fn a_long_label_is_cut_in_the_middle() {
    let cut = shown("production.frontend:a-task-with-a-name-that-goes-on-and-on-for-ever");
    assert_eq!(cut.chars().count(), LONGEST);
    assert!(cut.starts_with("production.") && cut.ends_with("ever"), "{cut}");
}
