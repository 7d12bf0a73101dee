//! Laws of the scheduler, for any graph, limits and order of facts; and a few stories, told step by step.

use std::fmt::Write as _;
use std::num::NonZeroUsize;
use std::time::Duration;

use expect_test::{Expect, expect};
use indexmap::IndexMap;
use proptest::prelude::*;

use super::*;
use crate::diag::Spanned;
use crate::graph::TaskGraph;
use crate::graph::fixture::{graph, node, nowhere, task};
use crate::model::Pool;
use crate::plan::{Force, Limits};

/// What one node does when it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Script {
    /// The check ends it.
    Check(End),
    /// The check asks for its execution, which ends like this.
    Run(End),
}

impl Script {
    fn end(self) -> End {
        match self {
            Self::Check(end) | Self::Run(end) => end,
        }
    }
}

/// A graph, limits, and everything that will happen.
#[derive(Debug, Clone)]
struct World {
    scripts: Vec<Script>,
    /// `from < to` always.
    edges: Vec<(usize, usize, EdgeKind)>,
    /// Drawn for each node; only those that no ordinary node needs keep it.
    follow_up: Vec<bool>,
    interactive: Vec<bool>,
    pool: Vec<Option<usize>>,
    depths: Vec<usize>,
    took: Vec<u64>,
    jobs: usize,
    keep_going: bool,
    /// Which of the outstanding nodes answers next, modulo their number.
    order: Vec<usize>,
    /// Before which answers a cancel comes.
    cancels: Vec<usize>,
}

impl World {
    /// Makes follow-ups consistent, as the graph does: what an ordinary node needs is ordinary.
    fn settle(mut self) -> Self {
        // Edges are sorted by `to`: going backwards, every node is decided before its needs are.
        for &(from, to, kind) in self.edges.iter().rev() {
            if kind == EdgeKind::Needs && !self.follow_up[to] {
                self.follow_up[from] = false;
            }
        }
        self.edges.retain(|&(from, to, kind)| match kind {
            EdgeKind::Needs => true,
            EdgeKind::After => !self.follow_up[from],
            EdgeKind::FollowUp(_) => !self.follow_up[from] || self.follow_up[to],
        });
        self
    }

    fn plan(&self) -> Plan {
        let name = |at: usize| format!("p{at}");
        let pools: IndexMap<String, Pool> = (0..self.depths.len())
            .map(|at| (name(at), Pool { name: name(at), depth: self.depths[at], span: nowhere() }))
            .collect();
        let nodes = (0..self.scripts.len()).map(|at| {
            let mut task = task(&format!("n{at}"));
            task.interactive = self.interactive[at];
            task.pool = self.pool[at].map(|pool| Spanned::new(name(pool), nowhere()));
            let mut node = node(task);
            node.follow_up = self.follow_up[at];
            node
        });
        let limits = Limits {
            jobs: NonZeroUsize::new(self.jobs).unwrap(),
            on_failure: if self.keep_going { OnFailure::KeepGoing } else { OnFailure::Finish },
            force: Force::Nothing,
            dry_run: false,
        };
        let graph: TaskGraph = graph(nodes.collect(), &self.edges);
        let took = |label: &str| Some(Duration::from_millis(self.took[label[1..].parse::<usize>().unwrap()]));
        Plan::new(graph, &pools, limits, took)
    }

    fn before(&self, node: usize, kind: EdgeKind) -> impl Iterator<Item = usize> {
        self.edges.iter().filter(move |edge| edge.1 == node && edge.2 == kind).map(|edge| edge.0)
    }

    /// What each node comes to if it is reached at all, failures and skips of needs considered: good, or not.
    fn good(&self) -> Vec<bool> {
        let mut good = vec![true; self.scripts.len()];
        for node in 0..good.len() {
            good[node] = self.scripts[node].end() == End::Good && self.reached(node, &good);
        }
        good
    }

    /// Whether all that `node` needs is good.
    fn reached(&self, node: usize, good: &[bool]) -> bool {
        self.before(node, EdgeKind::Needs).all(|need| good[need])
    }

    /// Which nodes a run without stop is about: the ordinary ones, and follow-ups that are called or needed by one; with
    /// `surely`, needed by one that can begin (of one that cannot it depends on the order whether that was known).
    fn awake(&self, surely: bool) -> Vec<bool> {
        let good = self.good();
        let mut awake: Vec<bool> = self.follow_up.iter().map(|follow_up| !follow_up).collect();
        loop {
            let before = awake.clone();
            for &(from, to, kind) in &self.edges {
                let ended = if self.reached(from, &good) { Some(self.scripts[from].end()) } else { None };
                match kind {
                    EdgeKind::FollowUp(Occasion::Success) => {
                        awake[to] |= awake[from] && ended == Some(End::Good)
                    }
                    EdgeKind::FollowUp(Occasion::Failure) => {
                        awake[to] |= awake[from] && ended == Some(End::Failed)
                    }
                    EdgeKind::Needs => awake[from] |= awake[to] && (!surely || self.reached(to, &good)),
                    EdgeKind::After => {}
                }
            }
            if before == awake {
                return awake;
            }
        }
    }

    /// Every node that may begin although nothing new does: those called by a failure, and what they need.
    fn exempt(&self) -> Vec<bool> {
        let mut exempt = vec![false; self.scripts.len()];
        for &(_, to, kind) in &self.edges {
            exempt[to] |= kind == EdgeKind::FollowUp(Occasion::Failure);
        }
        for node in (0..exempt.len()).rev() {
            if exempt[node] {
                for need in self.before(node, EdgeKind::Needs).collect::<Vec<_>>() {
                    exempt[need] = true;
                }
            }
        }
        exempt
    }
}

/// How a node ended, and whether it was executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Own { end: End, executed: bool },
    Unrun(Verdict),
}

/// What a run did.
struct Run {
    endings: Vec<Ending>,
    failed: bool,
}

/// Carries a world out, and holds the scheduler to everything that holds at every moment.
fn carry_out(world: &World) -> Run {
    let plan = world.plan();
    // The fixture's edges lead upwards, so that the graph keeps the places.
    assert!(plan.graph.iter().all(|(ix, node)| node.label == format!("n{}", ix.0)));
    let count = world.scripts.len();
    let mut scheduler = Scheduler::new(&plan);
    let mut endings: Vec<Option<Ending>> = vec![None; count];
    let (mut checked, mut executed) = (vec![false; count], vec![false; count]);
    let mut outstanding: Vec<(usize, bool)> = Vec::new();
    let mut steps = Vec::new();
    let (mut turn, mut level, mut stopped, mut all_done) = (0, 0, false, false);
    let exempt = world.exempt();
    scheduler.begin(&mut steps);
    loop {
        let was_stopped = stopped;
        for step in steps.drain(..) {
            assert!(!all_done, "{step:?} after everything is done");
            match step {
                Step::Check(ix) => {
                    let node = ix.index();
                    assert!(!std::mem::replace(&mut checked[node], true), "{node} is checked twice");
                    for need in world.before(node, EdgeKind::Needs) {
                        let good = matches!(endings[need], Some(Ending::Own { end: End::Good, .. }));
                        assert!(good, "{node} begins, but its need {need} is {:?}", endings[need]);
                    }
                    for earlier in world.before(node, EdgeKind::After) {
                        assert!(endings[earlier].is_some(), "{node} begins before {earlier} is over");
                    }
                    assert!(!was_stopped || exempt[node], "{node} is checked although nothing new begins");
                    assert!(level < 2, "{node} is checked after the second cancel");
                    outstanding.push((node, false));
                }
                Step::Execute(ix) => {
                    let node = ix.index();
                    assert!(checked[node], "{node} is executed without a check");
                    assert!(!std::mem::replace(&mut executed[node], true), "{node} is executed twice");
                    assert!(!was_stopped || exempt[node], "{node} is executed although nothing new begins");
                    assert!(level < 2, "{node} is executed after the second cancel");
                    outstanding.push((node, true));
                }
                Step::Finish(ix, verdict) => {
                    let known = endings[ix.index()].replace(Ending::Unrun(verdict));
                    assert_eq!(known, None, "{ix:?} ends twice");
                    assert!(
                        outstanding.iter().all(|&(node, _)| node != ix.index()),
                        "{ix:?} ended while it ran"
                    );
                }
                Step::AllDone => all_done = true,
            }
        }
        let running: Vec<usize> =
            outstanding.iter().filter(|(_, runs)| *runs).map(|&(node, _)| node).collect();
        assert_eq!(running.len(), scheduler.running());
        assert!(running.len() <= world.jobs, "{} jobs of {}", running.len(), world.jobs);
        for (pool, depth) in world.depths.iter().enumerate() {
            let taken = running.iter().filter(|&&node| world.pool[node] == Some(pool)).count();
            assert!(taken <= *depth, "{taken} in a pool of depth {depth}");
        }
        let alone = running.iter().any(|&node| world.interactive[node]);
        assert!(!alone || running.len() == 1, "an interactive task does not run alone");

        if world.cancels.contains(&turn) && !all_done {
            level += 1;
            stopped = true;
            scheduler.on(Fact::Cancel { level }, &mut steps);
            turn += 1;
            continue;
        }
        if outstanding.is_empty() {
            break;
        }
        let at = world.order.get(turn).copied().unwrap_or(turn) % outstanding.len();
        turn += 1;
        let (node, runs) = outstanding.swap_remove(at);
        let ix = NodeIx(node as u32);
        let end = match (world.scripts[node], runs) {
            (Script::Run(_), false) => {
                scheduler.on(Fact::MustRun(ix), &mut steps);
                // Asked to begin when nothing new does, it may have been refused already.
                continue;
            }
            (Script::Run(_), true) if level > 0 => End::Cancelled,
            (script, _) => script.end(),
        };
        let known = endings[node].replace(Ending::Own { end, executed: runs });
        assert_eq!(known, None, "{node} ends twice");
        stopped |= end == End::Failed && !world.keep_going && !world.follow_up[node];
        scheduler.on(Fact::Finished(ix, end), &mut steps);
    }
    assert!(all_done, "it hangs: nothing runs, and not everything is over");
    let endings = endings.into_iter().map(|ending| ending.expect("every node ends")).collect();
    Run { endings, failed: scheduler.failed() }
}

fn script() -> impl Strategy<Value = Script> {
    prop_oneof![
        6 => Just(Script::Run(End::Good)),
        3 => Just(Script::Check(End::Good)),
        2 => Just(Script::Run(End::Failed)),
        1 => Just(Script::Check(End::Failed)),
        1 => Just(Script::Check(End::Skipped)),
    ]
}

fn kind() -> impl Strategy<Value = EdgeKind> {
    prop_oneof![
        6 => Just(EdgeKind::Needs),
        1 => Just(EdgeKind::After),
        1 => Just(EdgeKind::FollowUp(Occasion::Failure)),
        1 => Just(EdgeKind::FollowUp(Occasion::Success)),
    ]
}

fn world() -> impl Strategy<Value = World> {
    (1..24_usize, 1..4_usize).prop_flat_map(|(count, pools)| {
        let edge = (0..count, 0..count, kind()).prop_map(|(a, b, kind)| (a.min(b), a.max(b), kind));
        let per_node = (
            prop::collection::vec(script(), count),
            prop::collection::vec(prop::bool::weighted(0.3), count),
            prop::collection::vec(prop::bool::weighted(0.1), count),
            prop::collection::vec(prop::option::weighted(0.4, 0..pools), count),
            prop::collection::vec(1..1000_u64, count),
        );
        let run = (
            prop::collection::vec(1..3_usize, pools),
            1..6_usize,
            any::<bool>(),
            prop::collection::vec(0..1000_usize, count * 3),
            prop_oneof![2 => Just(Vec::new()), 1 => prop::collection::vec(0..count * 2, 1..4)],
        );
        (prop::collection::vec(edge, 0..count * 3), per_node, run).prop_map(|(mut edges, per_node, run)| {
            let (scripts, follow_up, interactive, pool, took) = per_node;
            let (depths, jobs, keep_going, order, cancels) = run;
            edges.retain(|(from, to, _)| from != to);
            // One kind of order between two nodes, as the graph itself keeps it.
            edges.sort_by_key(|&(from, to, kind)| (to, from, kind));
            edges.dedup_by_key(|&mut (from, to, kind)| {
                let occasion = if let EdgeKind::FollowUp(occasion) = kind { Some(occasion) } else { None };
                (to, from, occasion)
            });
            World {
                scripts,
                edges,
                follow_up,
                interactive,
                pool,
                depths,
                took,
                jobs,
                keep_going,
                order,
                cancels,
            }
            .settle()
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    /// No task starts before its needs, limits hold, everything ends once, a cancel drains: all in `carry_out`.
    #[test]
    fn whatever_happens_the_laws_hold(world in world()) {
        carry_out(&world);
    }

    /// `-k` runs exactly what is not downstream of a failure or a skip, and exactly the follow-ups that are called.
    #[test]
    fn keep_going_runs_exactly_what_does_not_depend_on_a_failure(world in world()) {
        let world = World { keep_going: true, cancels: Vec::new(), ..world };
        let (good, awake, surely) = (world.good(), world.awake(false), world.awake(true));
        let run = carry_out(&world);
        for (node, ending) in run.endings.iter().enumerate() {
            let script = world.scripts[node];
            if *ending == Ending::Unrun(Verdict::NotCalled) {
                prop_assert!(!surely[node], "{} is not called", node);
                continue;
            }
            prop_assert!(awake[node], "{} is {:?}, but nobody called it", node, ending);
            if world.reached(node, &good) {
                let executed = matches!(script, Script::Run(_));
                prop_assert_eq!(*ending, Ending::Own { end: script.end(), executed }, "{}", node);
            } else {
                let right = match *ending {
                    Ending::Unrun(Verdict::Blocked { by }) => {
                        matches!(run.endings[by.index()], Ending::Own { end: End::Failed, .. })
                    }
                    Ending::Unrun(Verdict::Skipped { because }) => matches!(
                        run.endings[because.index()],
                        Ending::Own { end: End::Skipped, .. } | Ending::Unrun(Verdict::Skipped { .. })
                    ),
                    _ => false,
                };
                prop_assert!(right, "{} is {:?}", node, ending);
            }
        }
        let failed = |node: usize| matches!(run.endings[node], Ending::Own { end: End::Failed, .. });
        prop_assert_eq!(run.failed, (0..good.len()).any(|node| !world.follow_up[node] && failed(node)));
    }

    /// Without a failure, a skip or a cancel every ordinary node is good, with and without `-k`.
    #[test]
    fn without_failures_everything_runs(world in world()) {
        let good = |script: Script| match script {
            Script::Run(_) => Script::Run(End::Good),
            Script::Check(_) => Script::Check(End::Good),
        };
        let scripts = world.scripts.iter().copied().map(good).collect();
        let world = World { scripts, cancels: Vec::new(), ..world };
        let run = carry_out(&world);
        for (node, ending) in run.endings.iter().enumerate() {
            let own = matches!(ending, Ending::Own { end: End::Good, .. });
            prop_assert!(own || world.follow_up[node], "{} is {:?}", node, ending);
        }
        prop_assert!(!run.failed);
    }

    /// After a failure a node that was called because of it is not left out, if what it needs could be had.
    #[test]
    fn a_failure_calls_its_follow_ups(world in world()) {
        let world = World { cancels: Vec::new(), ..world };
        let run = carry_out(&world);
        for &(from, to, kind) in &world.edges {
            let failed = matches!(run.endings[from], Ending::Own { end: End::Failed, .. });
            if kind != EdgeKind::FollowUp(Occasion::Failure) || !failed || !world.follow_up[to] {
                continue;
            }
            let needs_good = world
                .before(to, EdgeKind::Needs)
                .all(|need| matches!(run.endings[need], Ending::Own { end: End::Good, .. }));
            let own = matches!(run.endings[to], Ending::Own { .. });
            prop_assert!(own == needs_good, "{} was called by {} and is {:?}", to, from, run.endings[to]);
        }
    }
}

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
    let shared = std::sync::Arc::new(task("x"));
    for edges in [chain, fan] {
        for fails in [false, true] {
            let blank = node(task("x"));
            let nodes = (0..COUNT)
                .map(|_| crate::graph::ConfiguredTask { task: shared.clone(), ..blank.clone() })
                .collect();
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
