//! Laws of the graph, for any needs and any environments; and graphs as large as they come.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;

use super::values;
use crate::diag::Spanned;
use crate::graph::fixture::{node, nowhere, task};
use crate::graph::{ConfiguredTask, Edge, EdgeKind, NodeIx, Ring, Target, TaskGraph, build};
use crate::model::{
    Action, Command, Constraints, EnvName, Envfile, Environment, Node, NodeName, NodePath, NodeRef, Project,
    ProjectName, Value, Var, VarType,
};

/// An Envfile of one project, made without a text: needs by number, and a variable per task that some environments set.
fn made(needs: &[Vec<usize>]) -> Envfile {
    let name = |at: usize| NodeName::from(format!("t{at}").as_str());
    let mut project = Project::default();
    for (at, needs) in needs.iter().enumerate() {
        let mut task = task(name(at).as_str());
        task.outputs = Some(vec![Spanned::new(format!("o{at}"), nowhere())]);
        task.actions = vec![Spanned::new(Action::Run(Command::Shell(format!("echo $V{at}"))), nowhere())];
        let reference = |need: &usize| NodeRef {
            path: NodePath { project: ProjectName::default(), name: name(*need) },
            env: None,
            state: None,
            span: nowhere(),
        };
        task.needs = needs.iter().map(reference).collect();
        project.base.nodes.insert(name(at), Node::Task(Arc::new(task)));
    }
    let mut envfile = Envfile::default();
    envfile.projects.insert(ProjectName::default(), project);
    envfile
}

fn add_environment(envfile: &mut Envfile, env: &str, sets: &[usize]) {
    let environment = Environment {
        name: env.into(),
        span: nowhere(),
        desc: None,
        is_abstract: false,
        ephemeral: false,
        chain: vec![env.into()],
        pattern: crate::model::Pattern::default(),
        made_from: None,
    };
    envfile.environments.insert(env.into(), environment);
    let project = &mut envfile.projects[""];
    for at in 0..project.base.nodes.len() {
        project.base.vars.entry(format!("V{at}").as_str().into()).or_insert_with(|| var(at, "base"));
    }
    let scope = project.overlays.entry(env.into()).or_default();
    for &at in sets {
        scope.vars.insert(format!("V{at}").as_str().into(), var(at, env));
    }
}

fn var(at: usize, value: &str) -> Var {
    Var {
        name: format!("V{at}").as_str().into(),
        span: nowhere(),
        ty: Some(VarType::String),
        value: Some(Spanned::new(Value::String(value.into()), nowhere())),
        constraints: Constraints::default(),
        optional: false,
        desc: None,
    }
}

fn target(at: usize, env: Option<&str>) -> Target {
    let path = NodePath { project: ProjectName::default(), name: format!("t{at}").as_str().into() };
    Target { path, env: env.map(EnvName::from), stage: None, args: Vec::new() }
}

proptest! {
    /// In any graph, a node is its environment's own exactly when it or something it needs reads what the environment
    /// sets; every node is there once; and edges lead upwards.
    #[test]
    fn sharing_is_decided_by_what_is_read(
        needs in prop::collection::vec(prop::collection::vec(any::<prop::sample::Index>(), 0..4), 1..20),
        sets in prop::collection::vec(prop::collection::vec(any::<prop::sample::Index>(), 0..3), 2),
    ) {
        let count = needs.len();
        let needs: Vec<Vec<usize>> = needs
            .iter()
            .enumerate()
            .map(|(at, needs)| if at == 0 { Vec::new() } else { needs.iter().map(|need| need.index(at)).collect() })
            .collect();
        let sets: Vec<Vec<usize>> =
            sets.iter().map(|sets| sets.iter().map(|at| at.index(count)).collect()).collect();
        let mut envfile = made(&needs);
        add_environment(&mut envfile, "x", &sets[0]);
        add_environment(&mut envfile, "y", &sets[1]);
        let targets: Vec<Target> =
            (0..count).flat_map(|at| [target(at, Some("x")), target(at, Some("y"))]).collect();
        let graph = build(&envfile, &targets, &mut values(&envfile)).unwrap();

        let mut expected = BTreeSet::new();
        for (env, sets) in ["x", "y"].iter().zip(&sets) {
            let mut own = vec![false; count];
            for at in 0..count {
                own[at] = sets.contains(&at) || needs[at].iter().any(|&need| own[need]);
                expected.insert(if own[at] { format!("{env}.t{at}") } else { format!("t{at}") });
            }
        }
        let labels: Vec<String> = graph.iter().map(|(_, node)| node.label.clone()).collect();
        prop_assert_eq!(labels.len(), expected.len());
        prop_assert_eq!(labels.into_iter().collect::<BTreeSet<_>>(), expected);
        prop_assert!(graph.edges().all(|(from, to, _)| from < to));
    }

    /// Whatever the edges are, they are numbered upwards or a true ring is shown.
    #[test]
    fn any_edges_make_a_graph_or_a_ring(
        edges in prop::collection::vec((0..12_usize, 0..12_usize), 0..30),
    ) {
        let nodes: Vec<ConfiguredTask> = (0..12).map(|at| node(task(&format!("t{at}")))).collect();
        let edge = Edge { kind: EdgeKind::Needs, span: nowhere() };
        let given: Vec<_> = edges.iter().map(|&(from, to)| (from, to, edge)).collect();
        match TaskGraph::new(nodes, given) {
            Ok(graph) => {
                let at = |ix: NodeIx| graph[ix].label[1..].parse::<usize>().unwrap();
                let mut found: Vec<_> = graph.edges().map(|(from, to, _)| (at(from), at(to))).collect();
                prop_assert!(graph.edges().all(|(from, to, _)| from < to));
                let mut wanted = edges;
                wanted.sort_unstable();
                wanted.dedup();
                found.sort_unstable();
                prop_assert_eq!(found, wanted);
            }
            Err(Ring(ring)) => {
                prop_assert!(!ring.is_empty());
                let at = |label: &str| label[1..].parse::<usize>().unwrap();
                for (step, next) in ring.iter().zip(ring.iter().cycle().skip(1)) {
                    prop_assert!(edges.contains(&(at(&step.0), at(&step.1))));
                    prop_assert_eq!(&step.1, &next.0);
                }
            }
        }
    }
}

/// A chain of 100,000 tasks, on the small stack that a test's thread has.
#[test]
fn a_long_chain_does_not_overflow_the_stack() {
    const COUNT: usize = 100_000;
    let needs: Vec<Vec<usize>> = (0..COUNT).map(|at| at.checked_sub(1).into_iter().collect()).collect();
    let mut envfile = made(&needs);
    let graph = build(&envfile, &[target(COUNT - 1, None)], &mut values(&envfile)).unwrap();
    assert_eq!((graph.len(), graph.edge_count()), (COUNT, COUNT - 1));
    assert_eq!(graph[NodeIx(0)].label, "t0");
    // Closed to a ring.
    let first: NodeName = "t0".into();
    let nodes = &mut envfile.projects[""].base.nodes;
    let Some(Node::Task(mut task)) = nodes.get(&first).cloned() else { unreachable!() };
    let last = NodeRef { path: target(COUNT - 1, None).path, env: None, state: None, span: nowhere() };
    Arc::make_mut(&mut task).needs.push(last);
    nodes.insert(first, Node::Task(task));
    let wrong = build(&envfile, &[target(7, None)], &mut values(&envfile)).unwrap_err();
    assert_eq!(wrong.len(), 1);
    assert!(wrong[0].message.contains("… 99960 more …"), "{}", wrong[0].message);
}
