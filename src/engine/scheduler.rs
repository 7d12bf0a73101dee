//! The scheduler: a pure state machine from facts to steps.
//!
//! A node goes through two doors. When everything before it is over it is handed out with [`Step::Check`]: find out
//! whether it has to be executed at all. Checks take no job slot, so a thousand nodes that are up to date never wait
//! behind one that compiles. A check ends the node at once ([`Fact::Finished`]) or asks for its execution
//! ([`Fact::MustRun`]); then it waits for its places and is handed out with [`Step::Execute`], most urgent first. A node
//! that is not to run is ended by the scheduler itself, with [`Step::Finish`] and the reason.
//!
//! ```text
//! dormant ─▶ waiting ─▶ checking ─▶ queued ─▶ running ─▶ over
//! (follow-ups until called)  └────────────┴──────────────▶ over
//! ```
//!
//! * What depends on a failed node is blocked, what depends on a skipped one is skipped, at once and all the way down.
//! * After the first failure nothing new begins, unless the plan says to keep going. After a cancel neither.
//! * A follow-up is dormant until its occasion comes. Called by a failure (or an interrupted execution) it begins even
//!   when nothing new does, and so does what it needs, unless that was already over. Called by a success it is ordinary
//!   new work, which a stop sends back to sleep. Its own failure blocks what needs it and is not the run's. A follow-up
//!   runs once, when every ordinary node that may call it is over.
//! * The second cancel ends follow-ups too.
//! * A node can be [reopened](Scheduler::reopen): what was known of it does not hold any longer, because a file changed
//!   while the run went on. It waits again and goes through both doors again; one that is checked or executed at that
//!   moment is first brought to its end, which then counts for nothing.
//!
//! Invariant: no clock and no IO; O((V + E) log V) for a whole run, whatever the order of facts.
//! Invariant: every node is ended exactly once, by `Finished` or by `Finish`, and once more each time that it is reopened;
//! then comes one `AllDone`.

#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::VecDeque;

use crate::graph::{EdgeKind, NodeIx, Occasion};
use crate::model::Gate;
use crate::plan::{OnFailure, Plan};

use super::pool::Admission;

/// What the world tells the scheduler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fact {
    /// The check of a node says that it has to be executed.
    MustRun(NodeIx),
    /// A service has come this far, and goes on: whoever wants it no further may begin.
    Reached(NodeIx, Gate),
    /// A node's check or execution ended it.
    Finished(NodeIx, End),
    /// The user or the system asked to stop, for the first, second or third time.
    Cancel {
        /// From 1.
        level: u32,
    },
}

/// How a check or an execution ended its node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum End {
    /// What needs it may go on.
    Good,
    /// Not to be run now, and neither is what needs it.
    Skipped,
    /// What needs it may not go on.
    Failed,
    /// Ended before its time.
    Cancelled,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Find out whether the node has to be executed; answer with `MustRun` or `Finished`.
    Check(NodeIx),
    /// Execute it; answer with `Finished`.
    Execute(NodeIx),
    /// It is over without having been executed.
    Finish(NodeIx, Verdict),
    /// Every node is over.
    AllDone,
}

/// Why a node is over without having been executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// This node failed, and it was needed (perhaps by way of others).
    Blocked {
        /// The one that failed.
        by: NodeIx,
    },
    /// This need was skipped.
    Skipped {
        /// The need.
        because: NodeIx,
    },
    /// Nothing new begins any more.
    Cancelled,
    /// A follow-up whose occasion did not come. There is nothing to tell about it.
    NotCalled,
}

/// Where a node stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Dormant,
    Waiting,
    Checking,
    Queued,
    Running,
    Over,
}

/// What stops new work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stop {
    No,
    Failure,
    Cancel,
    Hard,
}

/// One node.
#[derive(Debug, Clone, Copy)]
struct Node {
    phase: Phase,
    /// How many nodes before it are not over, whatever its own phase is.
    waits: u32,
    /// It is checked or executed, and reopened: how that ends counts for nothing.
    again: bool,
    /// It is over and failed, and is no follow-up.
    bad: bool,
    /// It is over, and what needs it may go on.
    good: bool,
    /// A follow-up of something that failed, or needed by one: begins although nothing new does.
    exempt: bool,
    follow_up: bool,
    /// It was called, or needed by one that was: its end is to be told even if it went back to sleep.
    called: bool,
    /// What was decided about a dormant node; told if it is called.
    fate: Option<Verdict>,
}

/// A node's end, as what lies behind it sees it.
#[derive(Debug, Clone, Copy)]
enum Over {
    Ended { end: End, executed: bool },
    Unrun(Verdict),
}

/// A need of a service that may be met before the service's node is over.
#[derive(Debug, Clone, Copy)]
struct Early {
    service: NodeIx,
    later: NodeIx,
    gate: Gate,
    /// It was met.
    passed: bool,
}

/// The state of a run.
#[derive(Debug)]
pub struct Scheduler {
    nodes: Vec<Node>,
    behind: Adjacency<EdgeKind>,
    /// The needs of every node; empty in a graph without follow-ups, where nobody asks.
    needs: Adjacency<()>,
    /// What may begin before the node it needs is over: services, who needs them, how far.
    early: Vec<Early>,
    admission: Admission,
    keep_going: bool,
    stop: Stop,
    /// How many nodes failed that are no follow-ups.
    bad: usize,
    /// Nodes that are neither over nor dormant.
    left: usize,
    done: bool,
    /// Nodes to hand out for a check.
    checks: Vec<NodeIx>,
    priority: Vec<u64>,
    /// Ends that were not yet told to what lies behind.
    news: VecDeque<(NodeIx, Over)>,
    /// Room for walks, kept between facts.
    stack: Vec<NodeIx>,
}

impl Scheduler {
    /// Nothing has begun.
    pub fn new(plan: &Plan) -> Self {
        let graph = &plan.graph;
        let mut nodes: Vec<Node> = graph
            .iter()
            .map(|(_, node)| Node {
                phase: if node.follow_up { Phase::Dormant } else { Phase::Waiting },
                waits: 0,
                again: false,
                bad: false,
                good: false,
                exempt: false,
                follow_up: node.follow_up,
                called: false,
                fate: None,
            })
            .collect();
        for (from, to, edge) in graph.edges() {
            if is_order(edge.kind, nodes[from.index()].follow_up) {
                nodes[to.index()].waits += 1;
            }
        }
        let behind: Vec<_> = graph.edges().map(|(from, to, edge)| (from, to, edge.kind)).collect();
        let calls = behind.iter().any(|(_, _, kind)| matches!(kind, EdgeKind::FollowUp(_)));
        let needs: Vec<_> = behind
            .iter()
            .filter(|(_, _, kind)| calls && *kind == EdgeKind::Needs)
            .map(|&(from, to, _)| (to, from, ()))
            .collect();
        Self {
            behind: Adjacency::new(graph.len(), &behind),
            needs: Adjacency::new(graph.len(), &needs),
            early: early(plan),
            checks: Vec::new(),
            priority: plan.priority.clone(),
            admission: Admission::new(plan),
            keep_going: plan.limits.on_failure == OnFailure::KeepGoing,
            stop: Stop::No,
            bad: 0,
            left: nodes.iter().filter(|node| node.phase == Phase::Waiting).count(),
            done: false,
            news: VecDeque::new(),
            stack: Vec::new(),
            nodes,
        }
    }

    /// The first steps.
    pub fn begin(&mut self, steps: &mut Vec<Step>) {
        for at in 0..self.nodes.len() {
            if self.nodes[at].waits == 0 {
                self.check(NodeIx(at as u32));
            }
        }
        self.go_on(steps);
    }

    /// Takes a fact and adds what is to be done about it to `steps`.
    ///
    /// # Panics
    /// If a fact is told of a node to which it cannot happen: one that was not handed out, or is over.
    pub fn on(&mut self, fact: Fact, steps: &mut Vec<Step>) {
        self.on_all([fact], steps);
    }

    /// Takes facts that came together. Free places are given away after the last one, so that the most urgent of
    /// several nodes that must run goes first, not the one whose check was answered first.
    ///
    /// # Panics
    /// As [`Scheduler::on`].
    pub fn on_all(&mut self, facts: impl IntoIterator<Item = Fact>, steps: &mut Vec<Step>) {
        for fact in facts {
            let stop = self.stop;
            self.take(fact, steps);
            self.tell_all(steps);
            if self.stop > stop {
                // Only now: what a failure blocks or calls is decided, so that the rest can be told from it.
                self.sweep(steps);
                self.tell_all(steps);
            }
        }
        self.go_on(steps);
    }

    /// Reopens nodes: whoever knows what changed names them, and everything that needs one of them. Those that are over
    /// wait again; those that are [in hand](Self::is_again) do when they are told to be over. What needs something else
    /// that is over and not good stays what it is. Gives those that were reopened.
    ///
    /// # Panics
    /// If nothing [may be reopened](Self::may_reopen).
    pub fn reopen(&mut self, reopened: &[NodeIx], steps: &mut Vec<Step>) -> Vec<NodeIx> {
        assert!(self.may_reopen(), "nothing new begins, and nothing begins again");
        let reopened = self.without_blocked(reopened);
        for &at in &reopened {
            self.early.iter_mut().filter(|early| early.service == at).for_each(|early| early.passed = false);
            let node = &mut self.nodes[at.index()];
            node.good = false;
            match node.phase {
                Phase::Over if node.follow_up => {
                    node.phase = Phase::Dormant;
                    (node.called, node.exempt, node.fate) = (false, false, None);
                }
                // Whoever called it did so for something that happened.
                _ if node.follow_up => {}
                Phase::Dormant | Phase::Waiting => {}
                Phase::Queued => node.phase = Phase::Waiting,
                Phase::Checking | Phase::Running => node.again = true,
                Phase::Over => {
                    node.phase = Phase::Waiting;
                    self.left += 1;
                    self.bad -= usize::from(std::mem::take(&mut node.bad));
                }
            }
        }
        self.count_waits();
        for &at in &reopened {
            self.check(at);
        }
        self.go_on(steps);
        reopened
    }

    /// Those of these nodes that do not need, by whatever way, something that is over, not good, and not among them.
    fn without_blocked(&self, reopened: &[NodeIx]) -> Vec<NodeIx> {
        let mut among = vec![false; self.nodes.len()];
        reopened.iter().for_each(|node| among[node.index()] = true);
        // Nodes are numbered in an order in which whatever is needed comes first.
        for at in 0..self.nodes.len() {
            let node = &self.nodes[at];
            if among[at] || node.phase != Phase::Over || node.good {
                continue;
            }
            for behind in self.behind.range(NodeIx(at as u32)) {
                let (later, kind) = self.behind.items[behind];
                if kind == EdgeKind::Needs && self.nodes[later.index()].phase == Phase::Over {
                    among[later.index()] = false;
                }
            }
        }
        (0..among.len()).filter(|at| among[*at]).map(|at| NodeIx(at as u32)).collect()
    }

    /// Whether nodes may be reopened: not when the run is being stopped or is over. Whatever changed is then left to the
    /// next one.
    pub fn may_reopen(&self) -> bool {
        self.stop == Stop::No && !self.done
    }

    /// Whether a node was reopened while it was in hand: how it ends counts for nothing.
    pub fn is_again(&self, node: NodeIx) -> bool {
        self.nodes[node.index()].again
    }

    /// Whether a node is checked or executed at this moment, or waits for its place.
    pub fn is_in_hand(&self, node: NodeIx) -> bool {
        matches!(self.nodes[node.index()].phase, Phase::Checking | Phase::Queued | Phase::Running)
    }

    #[cfg(test)]
    fn is_checked(&self, node: NodeIx) -> bool {
        self.nodes[node.index()].phase == Phase::Checking
    }

    /// Whether a node is executed at this moment.
    pub fn is_running(&self, node: NodeIx) -> bool {
        self.nodes[node.index()].phase == Phase::Running
    }

    /// Whether a node is over.
    pub fn is_over(&self, node: NodeIx) -> bool {
        self.nodes[node.index()].phase == Phase::Over
    }

    fn count_waits(&mut self) {
        self.nodes.iter_mut().for_each(|node| node.waits = 0);
        for at in 0..self.nodes.len() {
            let Node { phase, follow_up, .. } = self.nodes[at];
            if phase == Phase::Over {
                continue;
            }
            for behind in self.behind.range(NodeIx(at as u32)) {
                let (later, kind) = self.behind.items[behind];
                let waits = is_order(kind, follow_up)
                    && !(kind == EdgeKind::Needs && self.has_passed(NodeIx(at as u32), later));
                self.nodes[later.index()].waits += u32::from(waits);
            }
        }
    }

    fn take(&mut self, fact: Fact, steps: &mut Vec<Step>) {
        match fact {
            Fact::MustRun(node) if self.nodes[node.index()].again => self.begin_again(node, steps),
            Fact::MustRun(node) => {
                assert_eq!(
                    self.nodes[node.index()].phase,
                    Phase::Checking,
                    "{node:?} must run, but is not checked"
                );
                if self.may_begin(node) {
                    self.nodes[node.index()].phase = Phase::Queued;
                    self.admission.queue(node);
                } else {
                    self.finish(node, Verdict::Cancelled, steps);
                }
            }
            Fact::Reached(node, gate) => self.reached(node, gate),
            Fact::Finished(node, end) => {
                let phase = self.nodes[node.index()].phase;
                assert!(
                    matches!(phase, Phase::Checking | Phase::Running),
                    "{node:?} ended, but is {phase:?}"
                );
                let executed = phase == Phase::Running;
                if executed {
                    self.admission.release(node);
                }
                if self.nodes[node.index()].again {
                    self.begin_again(node, steps);
                } else {
                    self.over(node, Over::Ended { end, executed });
                }
            }
            Fact::Cancel { level } => {
                self.stop = self.stop.max(if level >= 2 { Stop::Hard } else { Stop::Cancel });
            }
        }
    }

    /// A service has come that far.
    fn reached(&mut self, service: NodeIx, gate: Gate) {
        if self.nodes[service.index()].again {
            return;
        }
        for at in 0..self.early.len() {
            let early = self.early[at];
            if early.service == service && early.gate <= gate && !early.passed {
                self.early[at].passed = true;
                self.nodes[early.later.index()].waits -= 1;
                self.check(early.later);
            }
        }
    }

    /// Whether a need was met before the node needed is over.
    fn has_passed(&self, service: NodeIx, later: NodeIx) -> bool {
        self.early.iter().any(|early| early.passed && early.service == service && early.later == later)
    }

    /// A reopened node is not in hand any more: it waits again, if anything may still begin.
    fn begin_again(&mut self, node: NodeIx, steps: &mut Vec<Step>) {
        self.nodes[node.index()].again = false;
        self.nodes[node.index()].phase = Phase::Waiting;
        if self.may_begin(node) {
            self.check(node);
        } else {
            self.finish(node, Verdict::Cancelled, steps);
        }
    }

    /// Whether a node failed that is not a follow-up.
    pub fn failed(&self) -> bool {
        self.bad > 0
    }

    /// How many nodes are executed at this moment.
    pub fn running(&self) -> usize {
        self.admission.running()
    }

    /// Hands out checks, most urgent first, gives the free places away, and says so when everything is over.
    fn go_on(&mut self, steps: &mut Vec<Step>) {
        let Self { admission, nodes, checks, priority, .. } = self;
        checks.sort_unstable_by_key(|&node| (Reverse(priority[node.index()]), node));
        steps.extend(checks.drain(..).map(Step::Check));
        while let Some(node) = admission.next(|node| nodes[node.index()].phase == Phase::Queued) {
            nodes[node.index()].phase = Phase::Running;
            steps.push(Step::Execute(node));
        }
        if self.left == 0 && !self.done {
            self.done = true;
            for (at, node) in self.nodes.iter_mut().enumerate() {
                if node.phase == Phase::Dormant {
                    node.phase = Phase::Over;
                    let verdict = if node.called { Verdict::Cancelled } else { Verdict::NotCalled };
                    steps.push(Step::Finish(NodeIx(at as u32), verdict));
                }
            }
            steps.push(Step::AllDone);
        }
    }

    fn tell_all(&mut self, steps: &mut Vec<Step>) {
        while let Some((node, over)) = self.news.pop_front() {
            self.tell(node, over, steps);
        }
    }

    /// Tells what lies behind `node` how it ended.
    fn tell(&mut self, node: NodeIx, over: Over, steps: &mut Vec<Step>) {
        let own = self.nodes[node.index()];
        let failed = matches!(over, Over::Ended { end: End::Failed, .. });
        if failed && !own.follow_up {
            self.nodes[node.index()].bad = true;
            self.bad += 1;
            if !self.keep_going {
                self.stop = self.stop.max(Stop::Failure);
            }
        }
        let occasion = match over {
            Over::Ended { end: End::Good, .. } => Some(Occasion::Success),
            Over::Ended { end: End::Failed, .. } | Over::Ended { end: End::Cancelled, executed: true } => {
                Some(Occasion::Failure)
            }
            _ => None,
        };
        for at in self.behind.range(node) {
            let (later, kind) = self.behind.items[at];
            if kind == EdgeKind::Needs && self.has_passed(node, later) {
                // It went on long ago.
                continue;
            }
            if is_order(kind, own.follow_up) {
                self.nodes[later.index()].waits -= 1;
            }
            match kind {
                EdgeKind::Needs => {
                    if let Some(verdict) = verdict(node, over) {
                        self.decide(later, verdict, steps);
                    }
                }
                EdgeKind::FollowUp(wanted) if occasion == Some(wanted) => self.call(later, wanted, steps),
                EdgeKind::After | EdgeKind::FollowUp(_) => {}
            }
            self.check(later);
        }
    }

    /// Hands a node out if everything before it is over.
    fn check(&mut self, node: NodeIx) {
        let state = self.nodes[node.index()];
        if state.phase == Phase::Waiting && state.waits == 0 && self.may_begin(node) {
            self.nodes[node.index()].phase = Phase::Checking;
            self.checks.push(node);
        }
    }

    /// Whether a node that did not begin may still do so.
    fn may_begin(&self, node: NodeIx) -> bool {
        match self.stop {
            Stop::No => true,
            Stop::Failure | Stop::Cancel => self.nodes[node.index()].exempt,
            Stop::Hard => false,
        }
    }

    /// A need of `node` ended in a way that decides about it.
    fn decide(&mut self, node: NodeIx, verdict: Verdict, steps: &mut Vec<Step>) {
        match self.nodes[node.index()].phase {
            Phase::Waiting => self.finish(node, verdict, steps),
            Phase::Dormant => _ = self.nodes[node.index()].fate.get_or_insert(verdict),
            Phase::Over => {}
            phase => unreachable!("{node:?} is {phase:?} although a need of it was not over"),
        }
    }

    /// Calls a follow-up, and wakes with it whatever it needs.
    fn call(&mut self, follow_up: NodeIx, occasion: Occasion, steps: &mut Vec<Step>) {
        let exempt = match (occasion, self.stop) {
            (_, Stop::Hard) | (Occasion::Success, Stop::Failure | Stop::Cancel) => return,
            (Occasion::Success, Stop::No) => false,
            (Occasion::Failure, _) => true,
        };
        self.stack.push(follow_up);
        while let Some(node) = self.stack.pop() {
            let state = &mut self.nodes[node.index()];
            let is_news = state.phase == Phase::Dormant || (exempt && !state.exempt);
            if state.phase == Phase::Over || !is_news {
                continue;
            }
            state.exempt |= exempt;
            if state.phase == Phase::Dormant {
                state.phase = Phase::Waiting;
                state.called = true;
                self.left += 1;
                if let Some(fate) = state.fate {
                    self.finish(node, fate, steps);
                    continue;
                }
            }
            self.stack.extend(self.needs.of(node).iter().map(|&(need, ())| need));
            self.check(node);
        }
    }

    /// Ends every node that has not begun and may not any more. A follow-up goes back to sleep instead: something that
    /// still runs may fail and call it.
    fn sweep(&mut self, steps: &mut Vec<Step>) {
        for at in 0..self.nodes.len() {
            let node = NodeIx(at as u32);
            let Node { phase, follow_up, .. } = self.nodes[at];
            if !matches!(phase, Phase::Waiting | Phase::Queued) || self.may_begin(node) {
                continue;
            }
            if follow_up && phase == Phase::Waiting && self.stop < Stop::Hard {
                self.nodes[at].phase = Phase::Dormant;
                self.left -= 1;
            } else {
                self.finish(node, Verdict::Cancelled, steps);
            }
        }
    }

    fn finish(&mut self, node: NodeIx, verdict: Verdict, steps: &mut Vec<Step>) {
        steps.push(Step::Finish(node, verdict));
        self.over(node, Over::Unrun(verdict));
    }

    fn over(&mut self, node: NodeIx, over: Over) {
        self.nodes[node.index()].phase = Phase::Over;
        self.nodes[node.index()].good = matches!(over, Over::Ended { end: End::Good, .. });
        self.left -= 1;
        self.news.push_back((node, over));
    }
}

/// Whether the later node waits for the earlier one. It does not wait for a follow-up that might call it: whether that
/// one will run is not known before everything is over.
fn is_order(kind: EdgeKind, from_follow_up: bool) -> bool {
    !(from_follow_up && matches!(kind, EdgeKind::FollowUp(_)))
}

/// What the end of `need` means for a node that needs it; nothing if it may go on.
fn verdict(need: NodeIx, over: Over) -> Option<Verdict> {
    match over {
        Over::Ended { end: End::Good, .. } => None,
        Over::Ended { end: End::Failed, .. } => Some(Verdict::Blocked { by: need }),
        Over::Ended { end: End::Skipped, .. } | Over::Unrun(Verdict::Skipped { .. }) => {
            Some(Verdict::Skipped { because: need })
        }
        Over::Ended { end: End::Cancelled, .. } => Some(Verdict::Cancelled),
        Over::Unrun(verdict) => Some(verdict),
    }
}

/// The needs of services that are met by less than what ends the service's node.
fn early(plan: &Plan) -> Vec<Early> {
    let graph = &plan.graph;
    let mut found = Vec::new();
    for (service, _) in graph.iter().filter(|(_, node)| node.kind() == "service") {
        let end = graph.gates(service).last().copied().unwrap_or_default();
        for later in graph.needed_by(service) {
            let gate = graph.gate(service, later);
            if gate < end {
                found.push(Early { service, later, gate, passed: false });
            }
        }
    }
    found
}

/// Neighbours of every node, in two flat lists.
#[derive(Debug)]
struct Adjacency<T> {
    starts: Vec<u32>,
    items: Vec<(NodeIx, T)>,
}

impl<T: Copy> Adjacency<T> {
    fn new(count: usize, edges: &[(NodeIx, NodeIx, T)]) -> Self {
        let mut starts = vec![0_u32; count + 1];
        for (from, ..) in edges {
            starts[from.index() + 1] += 1;
        }
        for at in 0..count {
            starts[at + 1] += starts[at];
        }
        let mut next = starts.clone();
        // Any edge will do to fill the room: each place is written below.
        let mut items: Vec<(NodeIx, T)> = edges.iter().map(|&(_, to, what)| (to, what)).collect();
        for &(from, to, what) in edges {
            items[next[from.index()] as usize] = (to, what);
            next[from.index()] += 1;
        }
        Self { starts, items }
    }

    fn range(&self, node: NodeIx) -> std::ops::Range<usize> {
        self.starts[node.index()] as usize..self.starts[node.index() + 1] as usize
    }

    fn of(&self, node: NodeIx) -> &[(NodeIx, T)] {
        &self.items[self.range(node)]
    }
}
