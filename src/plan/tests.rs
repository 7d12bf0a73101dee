//! Priorities, pools and force.

use std::num::NonZeroUsize;
use std::time::Duration;

use indexmap::IndexMap;
use proptest::prelude::*;

use super::*;
use crate::diag::Spanned;
use crate::graph::fixture::{graph, node, nowhere, task};
use crate::graph::{ConfiguredTask, Occasion};

fn limits(force: Force) -> Limits {
    Limits { jobs: NonZeroUsize::MIN, on_failure: OnFailure::default(), force, dry_run: false }
}

fn named(names: &[&str]) -> Vec<ConfiguredTask> {
    names.iter().map(|name| node(task(name))).collect()
}

#[test]
fn priority_is_the_longest_way_to_the_end() {
    let mut nodes = named(&["gen", "lib", "app", "doc", "all", "tell"]);
    let mut group = task("all");
    group.actions.clear();
    nodes[4] = node(group);
    nodes[5].follow_up = true;
    let edges = [
        (0, 1, EdgeKind::Needs),
        (1, 2, EdgeKind::Needs),
        (0, 3, EdgeKind::After),
        (2, 4, EdgeKind::Needs),
        (3, 4, EdgeKind::Needs),
        (2, 5, EdgeKind::FollowUp(Occasion::Failure)),
    ];
    let took = |label: &str| match label {
        "gen" => Some(Duration::from_millis(10)),
        "lib" => Some(Duration::from_micros(3)),
        "doc" => Some(Duration::from_millis(500)),
        "tell" | "all" => Some(Duration::from_secs(3600)),
        _ => None,
    };
    let plan = Plan::new(graph(nodes, &edges), &IndexMap::new(), limits(Force::Nothing), took);
    let of = |label: &str| {
        plan.graph.iter().find(|(_, node)| node.label == label).map(|(ix, _)| plan.priority[ix.index()])
    };
    // A group takes no time, the unknown one millisecond, and nobody waits for a follow-up.
    assert_eq!(of("all"), Some(0));
    assert_eq!(of("app"), Some(1));
    assert_eq!(of("lib"), Some(2));
    assert_eq!(of("doc"), Some(500));
    assert_eq!(of("gen"), Some(510));
    assert_eq!(of("tell"), Some(3_600_000));
}

#[test]
fn pools_that_are_used_and_declared_limit() {
    let mut nodes = named(&["a", "b", "c", "d"]);
    for (node, pool) in nodes.iter_mut().zip([Some("heavy"), None, Some("undeclared"), Some("heavy")]) {
        let task = std::sync::Arc::make_mut(&mut node.task);
        task.pool = pool.map(|pool| Spanned::new(pool.into(), nowhere()));
    }
    let pool = |name: &str, depth| (name.to_owned(), Pool { name: name.into(), depth, span: nowhere() });
    let pools = IndexMap::from([pool("idle", 7), pool("heavy", 2)]);
    let plan = Plan::new(graph(nodes, &[]), &pools, limits(Force::Nothing), |_| None);
    assert_eq!(plan.pools, [("heavy".to_owned(), NonZeroUsize::new(2).unwrap())]);
    assert_eq!(plan.pool, [Some(0), None, None, Some(0)]);
}

#[test]
fn force_is_for_nothing_for_targets_or_for_all() {
    let forced = |force| {
        let mut nodes = named(&["a", "b"]);
        nodes[1].target = true;
        let plan =
            Plan::new(graph(nodes, &[(0, 1, EdgeKind::Needs)]), &IndexMap::new(), limits(force), |_| None);
        plan.graph.indices().map(|ix| plan.is_forced(ix)).collect::<Vec<_>>()
    };
    assert_eq!(forced(Force::Nothing), [false, false]);
    assert_eq!(forced(Force::Targets), [false, true]);
    assert_eq!(forced(Force::All), [true, true]);
}

proptest! {
    /// What comes before is at least as urgent as what waits for it, and by its own time more.
    #[test]
    fn a_need_is_more_urgent_than_what_needs_it(
        edges in prop::collection::vec((0..15_usize, 0..15_usize), 0..40),
        took in prop::collection::vec(1..1000_u64, 15),
    ) {
        let names: Vec<String> = (0..15).map(|at| format!("{at}")).collect();
        let nodes = named(&names.iter().map(String::as_str).collect::<Vec<_>>());
        let edges: Vec<_> = edges
            .iter()
            .filter(|(a, b)| a != b)
            .map(|&(a, b)| (a.min(b), a.max(b), EdgeKind::Needs))
            .collect();
        let expected = |label: &str| Some(Duration::from_millis(took[label.parse::<usize>().unwrap()]));
        let plan = Plan::new(graph(nodes, &edges), &IndexMap::new(), limits(Force::Nothing), expected);
        for (from, to, _) in plan.graph.edges() {
            prop_assert!(plan.priority[from.index()] >= plan.priority[to.index()] + took[from.index()]);
        }
        for ix in plan.graph.indices() {
            let longest = plan.graph.needed_by(ix).map(|later| plan.priority[later.index()]).max().unwrap_or(0);
            prop_assert_eq!(plan.priority[ix.index()], longest + took[ix.index()]);
        }
    }
}
