//! Stories about the scheduler, told step by step; and runs as large as they come.

use std::fmt::Write as _;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use expect_test::{Expect, expect};
use indexmap::IndexMap;

use crate::diag::Spanned;
use crate::engine::scheduler::{End, Fact, Scheduler, Step, Verdict};
use crate::graph::fixture::{graph, node, nowhere, task};
use crate::graph::{ConfiguredTask, EdgeKind, NodeIx, Occasion, TaskGraph};
use crate::model::Pool;
use crate::plan::{Force, Limits, OnFailure, Plan};

/// Tells a story: `a, b <a, c <b ~a` are nodes with needs (`<`), after (`~`), on-fail (`!`) and on-success (`+`) of
/// earlier nodes; a node with `!` or `+` is a follow-up. `facts` are told one by one; a line is what each brings about.
fn story(limits: (usize, OnFailure), nodes: &str, facts: &str, expected: Expect) {
    let mut names = Vec::new();
    let (mut list, mut edges) = (Vec::new(), Vec::new());
    for text in nodes.split(',') {
        let mut words = text.split_whitespace();
        let name = words.next().unwrap();
        let mut node = node(task(name));
        for word in words {
            let kind = match &word[..1] {
                "<" => EdgeKind::Needs,
                "~" => EdgeKind::After,
                "!" => EdgeKind::FollowUp(Occasion::Failure),
                "+" => EdgeKind::FollowUp(Occasion::Success),
                other => panic!("unknown edge {other}"),
            };
            node.follow_up |= matches!(kind, EdgeKind::FollowUp(_));
            edges.push((names.iter().position(|known| *known == &word[1..]).unwrap(), names.len(), kind));
        }
        names.push(name);
        list.push(node);
    }
    let (jobs, on_failure) = limits;
    let limits =
        Limits { jobs: NonZeroUsize::new(jobs).unwrap(), on_failure, force: Force::Nothing, dry_run: false };
    let plan = Plan::new(graph(list, &edges), &IndexMap::new(), limits, |_| None);
    let mut scheduler = Scheduler::new(&plan);
    let (mut steps, mut told) = (Vec::new(), String::new());
    let name = |ix: NodeIx| plan.graph[ix].label.clone();
    scheduler.begin(&mut steps);
    let mut say = |fact: &str, steps: &mut Vec<Step>| {
        let words: Vec<String> = steps
            .drain(..)
            .map(|step| match step {
                Step::Check(ix) => format!("check {}", name(ix)),
                Step::Execute(ix) => format!("execute {}", name(ix)),
                Step::Finish(ix, Verdict::Blocked { by }) => format!("{} blocked by {}", name(ix), name(by)),
                Step::Finish(ix, Verdict::Skipped { because }) => {
                    format!("{} skipped because of {}", name(ix), name(because))
                }
                Step::Finish(ix, Verdict::Cancelled) => format!("{} cancelled", name(ix)),
                Step::Finish(ix, Verdict::NotCalled) => format!("{} not called", name(ix)),
                Step::AllDone => "all done".into(),
            })
            .collect();
        writeln!(told, "{fact}: {}", words.join(", ")).unwrap();
    };
    say("begin", &mut steps);
    for fact in facts.split(',').map(str::trim) {
        let (word, who) = fact.split_once(' ').unwrap();
        let node = || plan.graph.iter().find(|(_, node)| node.label == who).unwrap().0;
        let fact_told = match word {
            "run" => Fact::MustRun(node()),
            "good" => Fact::Finished(node(), End::Good),
            "fail" => Fact::Finished(node(), End::Failed),
            "skip" => Fact::Finished(node(), End::Skipped),
            "end" => Fact::Finished(node(), End::Cancelled),
            "cancel" => Fact::Cancel { level: who.parse().unwrap() },
            other => panic!("unknown fact {other}"),
        };
        scheduler.on(fact_told, &mut steps);
        say(fact, &mut steps);
    }
    expected.assert_eq(&told);
}

#[test]
fn the_first_failure_lets_run_what_runs() {
    story(
        (2, OnFailure::Finish),
        "a, b, c <a, d <b, e <c",
        "run a, run b, fail a, good b",
        expect![[r#"
            begin: check a, check b
            run a: execute a
            run b: execute b
            fail a: c blocked by a, e blocked by a, d cancelled
            good b: all done
        "#]],
    );
}

#[test]
fn keep_going_goes_on_with_the_rest() {
    story(
        (1, OnFailure::KeepGoing),
        "a, b, c <a, d <b, e <c <d",
        "run a, run b, fail a, good b, good d",
        expect![[r#"
            begin: check a, check b
            run a: execute a
            run b: 
            fail a: c blocked by a, e blocked by a, execute b
            good b: check d
            good d: all done
        "#]],
    );
}

#[test]
fn after_waits_for_any_end_and_a_skip_is_handed_on() {
    story(
        (1, OnFailure::Finish),
        "a, b <a, c ~a, d ~b",
        "skip a, good c, good d",
        expect![[r#"
            begin: check a
            skip a: b skipped because of a, check c, check d
            good c: 
            good d: all done
        "#]],
    );
}

#[test]
fn a_follow_up_of_a_failure_begins_although_nothing_new_does() {
    story(
        (2, OnFailure::Finish),
        "tool, a, b <a, notify !a <tool, party +a",
        "run a, fail a, run tool, good tool, run notify, fail notify",
        expect![[r#"
            begin: check tool, check a
            run a: execute a
            fail a: b blocked by a
            run tool: execute tool
            good tool: check notify
            run notify: execute notify
            fail notify: party not called, all done
        "#]],
    );
}

#[test]
fn a_cancel_ends_what_waits_and_calls_on_fail_of_what_is_interrupted() {
    story(
        (1, OnFailure::Finish),
        "a, b, c <a, undo !a, never !b",
        "run a, run b, cancel 1, end a, run undo, good undo",
        expect![[r#"
            begin: check a, check b
            run a: execute a
            run b: 
            cancel 1: b cancelled, c cancelled
            end a: check undo
            run undo: execute undo
            good undo: never not called, all done
        "#]],
    );
    story(
        (1, OnFailure::Finish),
        "a, c <a, undo !a",
        "run a, cancel 1, cancel 2, end a",
        expect![[r#"
            begin: check a
            run a: execute a
            cancel 1: c cancelled
            cancel 2: 
            end a: undo not called, all done
        "#]],
    );
}

/// Found by the laws: the stop ended what a success had called, and the failure that came later called in vain.
#[test]
fn what_a_success_called_before_the_stop_can_still_be_called_by_a_failure() {
    let nodes = "a, b, c, tell +a !b, party +a ~b";
    story(
        (3, OnFailure::Finish),
        nodes,
        "run a, run b, run c, good a, fail c, fail b, good tell",
        expect![[r#"
            begin: check b, check a, check c
            run a: execute a
            run b: execute b
            run c: execute c
            good a: 
            fail c: 
            fail b: check tell
            good tell: party cancelled, all done
        "#]],
    );
    story(
        (3, OnFailure::Finish),
        nodes,
        "run a, run b, run c, good a, fail c, good b",
        expect![[r#"
        begin: check b, check a, check c
        run a: execute a
        run b: execute b
        run c: execute c
        good a: 
        fail c: 
        good b: tell cancelled, party cancelled, all done
    "#]],
    );
}

/// Found by the laws: a free place of a pool was offered to a node that had been cancelled, and to nobody after it.
#[test]
fn a_place_of_a_pool_goes_to_one_that_may_still_begin() {
    let mut nodes: Vec<_> = ["a", "b", "c", "tell"].map(|name| node(task(name))).into();
    for node in &mut nodes[..3] {
        Arc::make_mut(&mut node.task).pool = Some(Spanned::new("one".into(), nowhere()));
    }
    nodes[3].follow_up = true;
    // Only `c` may still begin once `a` failed, and `b` is before it.
    let edges = [(0, 3, EdgeKind::FollowUp(Occasion::Failure)), (2, 3, EdgeKind::Needs)];
    let limits = Limits {
        jobs: NonZeroUsize::new(4).unwrap(),
        on_failure: OnFailure::Finish,
        force: Force::Nothing,
        dry_run: false,
    };
    let pool = Pool { name: "one".into(), depth: 1, span: nowhere() };
    let took = |label: &str| Some(Duration::from_secs(if label == "b" { 90 } else { 9 }));
    let plan = Plan::new(graph(nodes, &edges), &IndexMap::from([("one".into(), pool)]), limits, took);
    let (mut scheduler, mut steps) = (Scheduler::new(&plan), Vec::new());
    scheduler.begin(&mut steps);
    [0, 1, 2].iter().for_each(|&at| scheduler.on(Fact::MustRun(NodeIx(at)), &mut steps));
    steps.clear();
    scheduler.on(Fact::Finished(NodeIx(0), End::Failed), &mut steps);
    assert_eq!(steps, [Step::Finish(NodeIx(1), Verdict::Cancelled), Step::Execute(NodeIx(2))]);
}

#[test]
fn nothing_to_do_is_done_at_once() {
    let limits = Limits {
        jobs: NonZeroUsize::MIN,
        on_failure: OnFailure::Finish,
        force: Force::Nothing,
        dry_run: false,
    };
    let plan = Plan::new(TaskGraph::default(), &IndexMap::new(), limits, |_| None);
    let mut steps = Vec::new();
    Scheduler::new(&plan).begin(&mut steps);
    assert_eq!(steps, [Step::AllDone]);
}

#[test]
fn the_critical_path_goes_first() {
    let took = |label: &str| Some(Duration::from_secs(if label == "long" { 100 } else { 1 }));
    let names = ["a", "b", "c", "long"];
    let nodes = names.iter().map(|name| node(task(name))).collect();
    let limits = Limits {
        jobs: NonZeroUsize::MIN,
        on_failure: OnFailure::Finish,
        force: Force::Nothing,
        dry_run: false,
    };
    let plan = Plan::new(graph(nodes, &[(1, 3, EdgeKind::Needs)]), &IndexMap::new(), limits, took);
    let (mut scheduler, mut steps) = (Scheduler::new(&plan), Vec::new());
    scheduler.begin(&mut steps);
    assert_eq!(steps, [Step::Check(NodeIx(1)), Step::Check(NodeIx(0)), Step::Check(NodeIx(2))]);
    steps.clear();
    // Answered in the wrong order, but together.
    scheduler.on_all([0, 2, 1].map(|at| Fact::MustRun(NodeIx(at))), &mut steps);
    assert_eq!(steps, [Step::Execute(NodeIx(1))]);
}

/// A chain and a fan of 100,000 nodes each, driven to the end: a scan per event would take minutes.
#[test]
fn a_hundred_thousand_nodes_are_no_matter() {
    const COUNT: usize = 100_000;
    let chain: Vec<_> = (1..COUNT).map(|at| (at - 1, at, EdgeKind::Needs)).collect();
    let fan: Vec<_> = (1..COUNT).map(|at| (0, at, EdgeKind::Needs)).collect();
    let shared = Arc::new(task("x"));
    for edges in [chain, fan] {
        for fails in [false, true] {
            let blank = node(task("x"));
            let nodes =
                (0..COUNT).map(|_| ConfiguredTask { task: shared.clone(), ..blank.clone() }).collect();
            let limits = Limits {
                jobs: NonZeroUsize::new(8).unwrap(),
                on_failure: OnFailure::Finish,
                force: Force::Nothing,
                dry_run: false,
            };
            let plan = Plan::new(graph(nodes, &edges), &IndexMap::new(), limits, |_| None);
            let mut scheduler = Scheduler::new(&plan);
            let mut steps = Vec::new();
            scheduler.begin(&mut steps);
            let (mut ended, mut done) = (0, false);
            while let Some(step) = steps.pop() {
                match step {
                    Step::Check(node) => scheduler.on(Fact::MustRun(node), &mut steps),
                    Step::Execute(node) => {
                        ended += 1;
                        let end = if fails { End::Failed } else { End::Good };
                        scheduler.on(Fact::Finished(node, end), &mut steps);
                    }
                    Step::Finish(..) => ended += 1,
                    Step::AllDone => done = true,
                }
            }
            assert!(done);
            assert_eq!(ended, COUNT);
        }
    }
}
