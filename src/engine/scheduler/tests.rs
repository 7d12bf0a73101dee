//! Laws of the scheduler, for any graph, limits and order of facts.

use std::num::NonZeroUsize;
use std::time::Duration;

use indexmap::IndexMap;
use proptest::prelude::*;

use super::*;
use crate::diag::Spanned;
use crate::graph::TaskGraph;
use crate::graph::fixture::{graph, node, nowhere, task};
use crate::model::Pool;
use crate::plan::{Force, Limits};

mod stories;

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
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

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

    /// After the failure of an ordinary node its follow-ups are not left out, if what they need could be had.
    #[test]
    fn a_failure_calls_its_follow_ups(world in world()) {
        let world = World { cancels: Vec::new(), ..world };
        let run = carry_out(&world);
        for &(from, to, kind) in &world.edges {
            let failed = matches!(run.endings[from], Ending::Own { end: End::Failed, .. });
            let is_follow_up = world.follow_up[to] && !world.follow_up[from];
            if kind != EdgeKind::FollowUp(Occasion::Failure) || !failed || !is_follow_up {
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

/// Carries a world out in which nodes are reopened now and then, with all that needs them; how each ended at last.
fn run_reopening(world: &World, reopened: &[(usize, usize)]) -> Vec<Option<End>> {
    #[derive(Clone, Copy, PartialEq, Debug)]
    enum At {
        Waits,
        InHand { runs: bool, again: bool },
        Over(Option<End>),
    }
    let plan = world.plan();
    let mut scheduler = Scheduler::new(&plan);
    let mut nodes = vec![At::Waits; world.scripts.len()];
    let mut steps = Vec::new();
    let (mut turn, mut done) = (0, false);
    scheduler.begin(&mut steps);
    loop {
        for step in steps.drain(..) {
            assert!(!done, "{step:?} after everything is done");
            match step {
                Step::Check(ix) => {
                    assert_eq!(nodes[ix.index()], At::Waits, "{ix:?} is checked");
                    for need in world.before(ix.index(), EdgeKind::Needs) {
                        assert_eq!(nodes[need], At::Over(Some(End::Good)), "{ix:?} begins before {need}");
                    }
                    nodes[ix.index()] = At::InHand { runs: false, again: false };
                }
                Step::Execute(ix) => {
                    let At::InHand { runs: false, .. } = nodes[ix.index()] else {
                        panic!("{ix:?} is executed")
                    };
                    nodes[ix.index()] = At::InHand { runs: true, again: false };
                }
                Step::Finish(ix, _) => nodes[ix.index()] = At::Over(None),
                Step::AllDone => done = true,
            }
        }
        turn += 1;
        let now = |(at, node): &(usize, usize)| (*at == turn && !done).then_some(*node % nodes.len());
        if let Some(node) = reopened.iter().find_map(now) {
            let mut behind = vec![false; nodes.len()];
            behind[node] = true;
            for &(from, to, kind) in &world.edges {
                behind[to] |= behind[from] && kind == EdgeKind::Needs;
            }
            let set: Vec<NodeIx> =
                (0..nodes.len()).filter(|at| behind[*at]).map(|at| NodeIx(at as u32)).collect();
            for ix in scheduler.reopen(&set, &mut steps) {
                let at = &mut nodes[ix.index()];
                *at = match *at {
                    At::InHand { runs, .. } if scheduler.is_again(ix) => At::InHand { runs, again: true },
                    _ => At::Waits,
                };
            }
            continue;
        }
        let in_hand: Vec<usize> = (0..nodes.len())
            .filter(|at| match nodes[*at] {
                // Queued for its place: nothing comes of it by itself.
                At::InHand { runs: false, .. } => scheduler.is_checked(NodeIx(*at as u32)),
                At::InHand { .. } => true,
                _ => false,
            })
            .collect();
        let Some(&node) = in_hand.get(world.order.get(turn).copied().unwrap_or(turn) % in_hand.len().max(1))
        else {
            break;
        };
        let ix = NodeIx(node as u32);
        let At::InHand { runs, again } = nodes[node] else { unreachable!("it was just looked up") };
        let script = world.scripts[node];
        if again {
            nodes[node] = At::Waits;
        }
        match (script, runs) {
            (Script::Run(_), false) => scheduler.on(Fact::MustRun(ix), &mut steps),
            _ => {
                if !again {
                    nodes[node] = At::Over(Some(script.end()));
                }
                scheduler.on(Fact::Finished(ix, script.end()), &mut steps);
            }
        }
    }
    assert!(done, "it hangs: {nodes:?}");
    assert_eq!(scheduler.running(), 0);
    let ended = |at: At| if let At::Over(end) = at { end } else { panic!("{at:?} at the end") };
    nodes.into_iter().map(ended).collect()
}

proptest! {
    /// Whatever is reopened, and whenever: in the end every node is over as it would be without.
    #[test]
    fn reopened_nodes_end_as_all_do(
        mut world in world(),
        reopened in prop::collection::vec((0..60_usize, 0..24_usize), 0..6),
    ) {
        world.keep_going = true;
        world.follow_up.fill(false);
        world.edges.retain(|(_, _, kind)| matches!(kind, EdgeKind::Needs | EdgeKind::After));
        let good = world.good();
        for (node, end) in run_reopening(&world, &reopened).into_iter().enumerate() {
            prop_assert_eq!(end == Some(End::Good), good[node], "{}", node);
            if world.reached(node, &good) {
                prop_assert_eq!(end, Some(world.scripts[node].end()), "{}", node);
            }
        }
    }
}
