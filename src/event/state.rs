//! The fold over events that every reporter shares.

use std::time::Duration;

use std::sync::Arc;

use super::{Because, Event, NodeInfo, Outcome, OutcomeKind, RunFinished, RunStarted, Sequenced};
use crate::base::Timestamp;
use crate::event::Failure;
use crate::graph::NodeIx;
use crate::model::Gate;
use crate::service::{Begun, State};

/// Where a node stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeState {
    /// Nothing was told of it yet.
    Waiting,
    /// It is executed.
    Running,
    /// It is over.
    Over(OutcomeKind),
}

/// What was told when a node began to be executed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Executed {
    /// Why.
    pub because: Because,
    /// Its commands, as a person would type them.
    pub commands: Vec<String>,
    /// Where it runs, relative to the root.
    pub dir: String,
}

/// A node that is executed now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// Which.
    pub node: NodeIx,
    /// Since when.
    pub since: Timestamp,
    /// Which try it is, from 1.
    pub attempt: u32,
    /// What was told at its start.
    pub executed: Executed,
    /// Of a deploy: the phase that it is in.
    pub phase: Option<InPhase>,
}

/// The phase of a deploy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InPhase {
    /// `verifying`.
    pub phase: String,
    /// What that is about: `for 1m`.
    pub about: String,
    /// Since when.
    pub since: Timestamp,
}

/// A node that failed.
#[derive(Debug, Clone, PartialEq)]
pub struct Failed {
    /// Which.
    pub node: NodeIx,
    /// How.
    pub failure: Failure,
    /// Where its whole output is, relative to the root.
    pub log: Option<String>,
    /// What to look at.
    pub hint: Option<String>,
    /// How long it took.
    pub took: Duration,
    /// What was told at its start; nothing for a node that failed before it could be executed.
    pub executed: Option<Executed>,
}

/// A service of which something was told.
#[derive(Debug, Clone, PartialEq)]
pub struct Served {
    /// Which.
    pub node: NodeIx,
    /// Its label: from run to run of a session it is known by that.
    pub label: Arc<str>,
    /// Where it stood when it was heard of last.
    pub state: State,
    /// Since when.
    pub since: Timestamp,
    /// How long it took to stop, if it was seen being stopped, and whether that was longer than it had.
    pub stopped: Option<(Duration, bool)>,
    /// It was up when it was asked for, and was never started since: others may need it, too.
    pub joined: bool,
}

impl Served {
    /// When SIGKILL follows, of one that is being stopped by signals.
    pub fn killed_at(&self) -> Option<Timestamp> {
        match self.state {
            State::Stopping { kill } => {
                let kill = u64::try_from(kill?.as_millis()).unwrap_or(u64::MAX);
                Some(Timestamp(self.since.0.saturating_add(kill)))
            }
            _ => None,
        }
    }

    /// Whether it is being stopped.
    pub fn is_stopping(&self) -> bool {
        matches!(self.state, State::Stopping { .. })
    }

    fn becomes(&mut self, state: State, now: Timestamp) {
        if state == self.state {
            return;
        }
        self.stopped = self.is_stopping().then(|| {
            let took = now.since(self.since);
            (took, matches!(self.state, State::Stopping { kill: Some(kill) } if took >= kill))
        });
        (self.state, self.since) = (state, now);
    }
}

/// How many nodes ended how. A group is counted only where something is wrong with it: otherwise it only stands for
/// nodes that are counted themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts([usize; OutcomeKind::COUNT]);

impl Counts {
    /// How many ended like this.
    pub fn of(&self, kind: OutcomeKind) -> usize {
        self.0[kind as usize]
    }

    /// How many were executed, whether or not they failed.
    pub fn executed(&self) -> usize {
        self.of(OutcomeKind::Succeeded) + self.of(OutcomeKind::Failed)
    }
}

/// What is known of the nodes that are still waiting, kept up to date so that asking costs nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Ahead {
    /// How many of them have an expected time.
    known: u64,
    /// The sum of those times, in milliseconds.
    work: u64,
    /// How many do something, nobody knows how long.
    unknown: u64,
}

/// Everything told so far, folded.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunState {
    started: Option<RunStarted>,
    began: Timestamp,
    now: Timestamp,
    nodes: Vec<NodeState>,
    running: Vec<Running>,
    counts: Counts,
    tasks: usize,
    done: usize,
    failures: Vec<Failed>,
    /// Milliseconds by node; empty if nothing was told.
    expected: Vec<Option<u64>>,
    ahead: Ahead,
    interrupted: u32,
    finished: Option<RunFinished>,
    /// In the order in which they were heard of first.
    services: Vec<Served>,
    ending: Option<Timestamp>,
}

impl RunState {
    /// Before the first event.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes one more event in. An event that speaks of a node that does not exist (a damaged record) changes nothing.
    pub fn apply(&mut self, told: &Sequenced) {
        self.now = self.now.max(told.time);
        match &told.event {
            Event::RunStarted(started) => {
                // In a session they stay up from run to run.
                let mut services = std::mem::take(&mut self.services);
                services.retain_mut(|served| {
                    let at = started.nodes.iter().position(|info| info.label == served.label);
                    let node = at.and_then(|at| u32::try_from(at).ok()).map(NodeIx);
                    served.node = node.unwrap_or(served.node);
                    node.is_some() && !served.state.is_over()
                });
                *self = Self {
                    services,
                    started: Some(started.clone()),
                    began: told.time,
                    now: told.time,
                    nodes: vec![NodeState::Waiting; started.nodes.len()],
                    tasks: started.nodes.iter().filter(|node| !node.group).count(),
                    ..Self::default()
                };
            }
            Event::Expected { took_ms } => {
                self.expected = vec![None; self.nodes.len()];
                for (node, ms) in took_ms {
                    if let Some(expected) = self.expected.get_mut(node.0 as usize) {
                        *expected = Some(*ms);
                    }
                }
                self.ahead = Ahead::default();
                for at in 0..self.nodes.len() {
                    if self.nodes[at] == NodeState::Waiting {
                        self.look_ahead(at, 1);
                    }
                }
            }
            Event::NodeStarted { node, because, commands, dir, .. } => {
                let at = node.0 as usize;
                if self.nodes.get(at) != Some(&NodeState::Waiting) {
                    return;
                }
                self.serve(*node, State::Starting);
                self.nodes[at] = NodeState::Running;
                self.look_ahead(at, -1);
                let executed =
                    Executed { because: because.clone(), commands: commands.clone(), dir: dir.clone() };
                let (node, since) = (*node, told.time);
                self.running.push(Running { node, since, attempt: 1, executed, phase: None });
            }
            Event::NodePhase { node, phase, about } => {
                if let Some(running) = self.running.iter_mut().find(|running| running.node == *node) {
                    let (phase, about) = (phase.clone(), about.clone());
                    running.phase = Some(InPhase { phase, about, since: told.time });
                }
            }
            Event::NodeRetrying { node, attempt, .. } => {
                if let Some(running) = self.running.iter_mut().find(|running| running.node == *node) {
                    running.attempt = attempt.saturating_add(1);
                }
            }
            Event::NodeFinished { node, outcome, took } => {
                match outcome {
                    Outcome::Up { gate: Gate::Completed, .. } => self.serve(*node, State::Completed),
                    Outcome::Up { begun, .. } => {
                        let known = self.services.iter().any(|served| served.node == *node);
                        self.serve(*node, State::Ready);
                        if let Some(served) = self.services.iter_mut().find(|served| served.node == *node) {
                            served.joined = *begun == Begun::Already && (!known || served.joined);
                        }
                    }
                    // It is not up, and nothing is left to be stopped.
                    Outcome::Failed { .. } => self.services.retain(|served| served.node != *node),
                    _ => {}
                }
                self.finish(*node, outcome, *took);
            }
            Event::ServiceChanged { node, state, .. } => self.serve(*node, state.clone()),
            Event::SessionEnding => self.ending = Some(self.now),
            Event::NodesFinished { nodes, outcome } => {
                nodes
                    .iter_below(self.node_count())
                    .for_each(|node| self.finish(node, outcome, Duration::ZERO));
            }
            Event::Interrupted { level, .. } => self.interrupted = *level,
            Event::RunFinished(finished) => self.finished = Some(finished.clone()),
            Event::NodesReopened { nodes } => {
                nodes.iter_below(self.node_count()).for_each(|node| self.reopen(node));
            }
            Event::Output { .. }
            | Event::Reread { .. }
            | Event::SessionEnded { .. }
            | Event::Notice(_)
            | Event::GlassBroken(_)
            | Event::Changed { .. }
            | Event::Watching { .. } => {}
        }
    }

    /// Something was told of a service.
    fn serve(&mut self, node: NodeIx, state: State) {
        let now = self.now;
        let Some(info) = self.node(node).filter(|info| info.service) else { return };
        let label = Arc::clone(&info.label);
        match self.services.iter_mut().find(|served| served.node == node) {
            Some(served) => served.becomes(state, now),
            None => {
                self.services.push(Served { node, label, state, since: now, stopped: None, joined: false })
            }
        }
    }

    fn finish(&mut self, node: NodeIx, outcome: &Outcome, took: Duration) {
        let at = node.0 as usize;
        let kind = outcome.kind();
        let was_running = match self.nodes.get(at) {
            None | Some(NodeState::Over(_)) => return,
            Some(state) => *state == NodeState::Running,
        };
        self.nodes[at] = NodeState::Over(kind);
        if !was_running {
            self.look_ahead(at, -1);
        }
        let group = self.node(node).is_some_and(|info| info.group);
        self.done += usize::from(!group);
        if !group || matches!(kind, OutcomeKind::Failed | OutcomeKind::Skipped) {
            self.counts.0[kind as usize] += 1;
        }
        let executed = was_running
            .then(|| self.running.iter().position(|running| running.node == node))
            .flatten()
            .map(|at| self.running.remove(at).executed);
        if let Outcome::Failed { failure, log, hint } = outcome {
            let (failure, log, hint) = (failure.clone(), log.clone(), hint.clone());
            self.failures.push(Failed { node, failure, log, hint, took, executed });
        }
    }

    fn reopen(&mut self, node: NodeIx) {
        let at = node.0 as usize;
        let Some(NodeState::Over(kind)) = self.nodes.get(at).copied() else { return };
        self.nodes[at] = NodeState::Waiting;
        self.look_ahead(at, 1);
        let group = self.node(node).is_some_and(|info| info.group);
        self.done -= usize::from(!group);
        if !group || matches!(kind, OutcomeKind::Failed | OutcomeKind::Skipped) {
            self.counts.0[kind as usize] -= 1;
        }
        self.failures.retain(|failed| failed.node != node);
    }

    /// The first event, once it was told.
    pub fn started(&self) -> Option<&RunStarted> {
        self.started.as_ref()
    }

    /// The last event, once it was told.
    pub fn finished(&self) -> Option<&RunFinished> {
        self.finished.as_ref()
    }

    /// When the run began.
    pub fn began(&self) -> Timestamp {
        self.began
    }

    /// When the newest event was told.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// From the first event to the newest.
    pub fn elapsed(&self) -> Duration {
        self.now.since(self.began)
    }

    /// How many nodes there are.
    pub fn node_count(&self) -> u32 {
        u32::try_from(self.nodes.len()).unwrap_or(u32::MAX)
    }

    /// A node as told at the beginning.
    pub fn node(&self, node: NodeIx) -> Option<&NodeInfo> {
        self.started.as_ref()?.nodes.get(node.0 as usize)
    }

    /// A node's label; `?` for one that does not exist.
    pub fn label(&self, node: NodeIx) -> &str {
        self.node(node).map_or("?", |info| &info.label)
    }

    /// Where a node stands.
    pub fn state(&self, node: NodeIx) -> Option<NodeState> {
        self.nodes.get(node.0 as usize).copied()
    }

    /// What is executed now, in the order of starting.
    pub fn running(&self) -> &[Running] {
        &self.running
    }

    /// How many ended how.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// How many nodes there are that do something themselves.
    pub fn tasks(&self) -> usize {
        self.tasks
    }

    /// How many of [`Self::tasks`] are over.
    pub fn done(&self) -> usize {
        self.done
    }

    /// What failed, in the order of failing.
    pub fn failures(&self) -> &[Failed] {
        &self.failures
    }

    /// How often the run was asked to stop: 0 if it was not.
    pub fn interrupted(&self) -> u32 {
        self.interrupted
    }

    /// Whether a session is being left, or a run that was asked to stop.
    pub fn is_ending(&self) -> bool {
        self.ending.is_some() || (self.interrupted > 0 && self.finished.is_none())
    }

    /// Since when a session is being left.
    pub fn ending_since(&self) -> Option<Timestamp> {
        self.ending
    }

    /// Every service of which something was told; in a session also in an earlier run, if it is still there.
    pub fn services(&self) -> &[Served] {
        &self.services
    }

    /// What was told of one service.
    pub fn served(&self, node: NodeIx) -> Option<&Served> {
        self.services.iter().find(|served| served.node == node)
    }

    /// How much longer it will take, seen at `now`, if enough nodes have been executed before to say: what is left to
    /// do over the number of jobs, and no less than what runs longest.
    ///
    /// An upper guess: a node that turns out to be up to date takes no time.
    pub fn expected_left(&self, now: Timestamp) -> Option<Duration> {
        let ran = |running: &Running| now.0.saturating_sub(running.since.0);
        let left = |running: &Running| Some(self.expected_ms(running.node)?.saturating_sub(ran(running)));
        let running: Vec<u64> = self.running.iter().filter_map(left).collect();
        let known = self.ahead.known + running.len() as u64;
        let unknown = self.ahead.unknown + (self.running.len() - running.len()) as u64;
        if known == 0 || unknown > known {
            return None;
        }
        let work = running.iter().fold(self.ahead.work, |sum, left| sum.saturating_add(*left));
        let work = work.saturating_add((work / known).saturating_mul(unknown));
        let jobs = self.started.as_ref().map_or(1, |started| started.jobs.max(1)) as u64;
        let longest = running.iter().copied().max().unwrap_or(0);
        Some(Duration::from_millis((work / jobs).max(longest)))
    }

    /// How long a node took last time, if that was told.
    pub fn expected_of(&self, node: NodeIx) -> Option<Duration> {
        self.expected_ms(node).map(Duration::from_millis)
    }

    fn expected_ms(&self, node: NodeIx) -> Option<u64> {
        *self.expected.get(node.0 as usize)?
    }

    /// Adds the node at `at` to what is ahead (1) or takes it away (-1). Nothing is kept before times were told.
    fn look_ahead(&mut self, at: usize, sign: i64) {
        let Some(expected) = self.expected.get(at) else { return };
        match expected {
            Some(ms) => {
                self.ahead.known = self.ahead.known.saturating_add_signed(sign);
                self.ahead.work = if sign < 0 {
                    self.ahead.work.saturating_sub(*ms)
                } else {
                    self.ahead.work.saturating_add(*ms)
                };
            }
            None if self.started.as_ref().is_some_and(|started| started.nodes[at].group) => {}
            None => self.ahead.unknown = self.ahead.unknown.saturating_add_signed(sign),
        }
    }
}
