//! The one writer of events: turns the scheduler's steps into work, and what comes of it into facts and events.
//!
//! Everything that happens arrives as a [`Message`] on one channel and is told in the order of arrival. Checks that need
//! no waiting are done here, by the dispatcher itself: ten thousand nodes that are up to date never cross a thread.
//! What waits for a process or a disk is done by threads that are started when there is something for them to do.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::Scope;
use std::time::{Duration, Instant};

use crate::base::RelPath;
use crate::event::{
    Because, Event, Failure, NodeSet, NodeState, Notice, Outcome, OutcomeKind, RunFinished, Stream, first_of,
};
use crate::exec::{Interrupt, Processes};
use crate::graph::{EdgeKind, NodeIx};
use crate::model::Gate;
use crate::plan::Plan;
use crate::report::Reporters;
use crate::service::{State, Status};

use super::action::{Actions, Checked};
use super::inbox::Inbox;
use super::scheduler::{End, Fact, Scheduler, Step, Verdict};
use super::service::{Hold, LOOK};

/// What the threads and the signals tell the dispatcher.
#[derive(Debug)]
pub enum Message {
    /// A node begins to be executed.
    Started {
        /// Which.
        node: NodeIx,
        /// Why.
        because: Because,
        /// Its commands.
        commands: Vec<String>,
        /// Where it runs.
        dir: String,
    },
    /// It printed something. The credit is given back when the message has been told.
    Output {
        /// Which.
        node: NodeIx,
        /// On which stream.
        stream: Stream,
        /// What.
        bytes: Vec<u8>,
        /// The room it takes on its way.
        credit: Credit,
    },
    /// A deploy came into its next phase.
    Phase {
        /// Which.
        node: NodeIx,
        /// The phase.
        phase: String,
        /// What it is about.
        about: String,
    },
    /// Dropped when everything that was sent before was told.
    Caught(Sender<()>),
    /// A try failed, another one follows.
    Retrying {
        /// Which.
        node: NodeIx,
        /// The try that failed, from 1.
        attempt: u32,
        /// How many there are.
        of: u32,
        /// How it failed.
        failure: Failure,
        /// The pause before the next.
        pause: Duration,
    },
    /// A service has come that far, and goes on.
    Reached(NodeIx, Gate),
    /// Something about a service has changed.
    Service(NodeIx, Box<Status>),
    /// A supervisor of services has ended.
    Unserved,
    /// What the run asked for is let go; these services stay up.
    LetGo(Vec<NodeIx>),
    /// A check that had to wait has its answer.
    Checked(NodeIx, Checked, Duration),
    /// An execution is over.
    Finished(NodeIx, Outcome, Duration),
    /// Something worth saying.
    Notice(Notice),
    /// A signal came.
    Signal(i32),
    /// In a session: files changed while the run goes on.
    Changed {
        /// What is told of them: the first few, and how many others there are.
        files: (Vec<String>, usize),
        /// The nodes that may read them, as their names go; each with such a file.
        readers: Vec<(NodeIx, RelPath)>,
    },
}

/// How many bytes of output may be on their way to the reporters. A slow terminal slows the commands that print, not
/// the memory; and what is on its way is shown, behind labels four times as long, before whoever asked to stop has his
/// terminal back.
const OUTPUT_ROOM: usize = 256 << 10;

/// Bounds the output that is on its way.
#[derive(Debug, Default)]
pub struct OutputRoom {
    taken: Mutex<usize>,
    freed: Condvar,
}

impl OutputRoom {
    /// Waits for room. A piece larger than all the room there is passes when it is alone.
    pub fn take(self: &Arc<Self>, bytes: usize) -> Credit {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        while *taken > 0 && *taken + bytes > OUTPUT_ROOM {
            taken = self.freed.wait(taken).unwrap_or_else(PoisonError::into_inner);
        }
        *taken += bytes;
        Credit { room: Arc::clone(self), bytes }
    }
}

/// Room taken; given back when dropped.
#[derive(Debug)]
pub struct Credit {
    room: Arc<OutputRoom>,
    bytes: usize,
}

impl Drop for Credit {
    fn drop(&mut self) {
        *self.room.taken.lock().unwrap_or_else(PoisonError::into_inner) -= self.bytes;
        self.room.freed.notify_all();
    }
}

/// Work for a thread.
#[derive(Debug, Clone, Copy)]
enum Work {
    Check(NodeIx),
    Execute(NodeIx),
}

/// Work that waits for a thread, and the threads that wait for work.
#[derive(Debug, Default)]
struct Queue {
    state: Mutex<QueueState>,
    more: Condvar,
}

#[derive(Debug, Default)]
struct QueueState {
    work: VecDeque<Work>,
    idle: usize,
    threads: usize,
    closed: bool,
}

impl Queue {
    fn next(&self) -> Option<Work> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(work) = state.work.pop_front() {
                return Some(work);
            }
            if state.closed {
                return None;
            }
            state.idle += 1;
            state = self.more.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
        }
    }

    fn close(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.more.notify_all();
    }
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// The exit status it comes to.
    pub exit: u8,
    /// How many nodes were not up to date.
    pub changed: usize,
    /// How long each node took that was executed and succeeded.
    pub times: Vec<(NodeIx, Duration)>,
}

/// Carries `plan` out and tells everything to `reporters`, the first and the last event excepted from neither. Messages
/// that come after the end stay in the channel.
pub fn run(
    plan: &Plan,
    actions: &Actions<'_>,
    processes: &Arc<Processes>,
    (send, receive): (Sender<Message>, &Receiver<Message>),
    reporters: &mut Reporters,
) -> Ending {
    let begun = Instant::now();
    let queue = Queue::default();
    // Each waits on a thread of its own, and takes no place.
    let services = plan.graph.iter().filter(|(_, node)| node.kind() == "service").count();
    let ending = std::thread::scope(|scope| {
        let mut dispatcher = Dispatcher {
            plan,
            actions,
            processes,
            scheduler: Scheduler::new(plan),
            steps: Vec::new(),
            up_to_date: NodeSet::default(),
            cancelled: NodeSet::default(),
            reporters,
            interrupted: false,
            level: 0,
            worst: 0,
            changed: 0,
            times: Vec::new(),
            expected_told: false,
            unguarded_told: false,
            service_failed: false,
            unserved: false,
            let_go: false,
            threads: Threads {
                scope,
                queue: &queue,
                actions,
                send,
                most: plan.limits.jobs.get() + 8 + services,
            },
        };
        dispatcher.go(&mut Inbox::new(receive));
        queue.close();
        Ending { exit: dispatcher.exit(), changed: dispatcher.changed, times: dispatcher.times }
    });
    reporters.tell(Event::RunFinished(RunFinished { exit: ending.exit, took: begun.elapsed() }));
    ending
}

/// The threads, and what a new one is started with.
struct Threads<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    queue: &'env Queue,
    actions: &'env Actions<'env>,
    send: Sender<Message>,
    most: usize,
}

impl Threads<'_, '_> {
    fn give(&self, work: Work) {
        let mut state = self.queue.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.work.push_back(work);
        let needs_thread = state.work.len() > state.idle && state.threads < self.most;
        if needs_thread {
            state.threads += 1;
            let (queue, actions, send) = (self.queue, self.actions, self.send.clone());
            self.scope.spawn(move || {
                while let Some(work) = queue.next() {
                    carry_out(work, actions, &send);
                }
            });
        }
        drop(state);
        self.queue.more.notify_one();
    }
}

fn carry_out(work: Work, actions: &Actions<'_>, send: &Sender<Message>) {
    let begun = Instant::now();
    let message = match work {
        Work::Check(node) => {
            let checked = actions.check(node, send);
            Message::Checked(node, checked, begun.elapsed())
        }
        Work::Execute(node) => {
            let outcome = actions.execute(node, send);
            Message::Finished(node, outcome, begun.elapsed())
        }
    };
    // The dispatcher listens until every node is over, so nobody is gone yet.
    let _ = send.send(message);
}

struct Dispatcher<'a, 'scope, 'env> {
    plan: &'a Plan,
    actions: &'a Actions<'a>,
    processes: &'a Arc<Processes>,
    scheduler: Scheduler,
    steps: Vec<Step>,
    /// Ends of which nothing more is to be said, told together.
    up_to_date: NodeSet,
    cancelled: NodeSet,
    reporters: &'a mut Reporters,
    interrupted: bool,
    /// How often it was asked to stop, up to three times.
    level: u32,
    /// The exit status that the failures so far come to.
    worst: u8,
    changed: usize,
    times: Vec<(NodeIx, Duration)>,
    expected_told: bool,
    unguarded_told: bool,
    /// A service that was up is not any longer, and nobody told it to end.
    service_failed: bool,
    /// There is no supervisor any longer.
    unserved: bool,
    /// Everything was let go that the run asked for.
    let_go: bool,
    threads: Threads<'scope, 'env>,
}

impl Dispatcher<'_, '_, '_> {
    fn go(&mut self, inbox: &mut Inbox<'_>) {
        let mut steps = std::mem::take(&mut self.steps);
        self.scheduler.begin(&mut steps);
        self.steps = steps;
        if self.carry_out_steps() {
            return;
        }
        loop {
            // What can be told together is told when there is nothing else to do.
            let message = inbox.next_there().or_else(|| {
                self.tell_bulk();
                inbox.next(Duration::from_millis(200))
            });
            let Some(message) = message else { continue };
            self.take(message);
            if self.carry_out_steps() {
                self.drain(inbox);
                return self.end_services(inbox);
            }
        }
    }

    /// Every node is over. Stays with the services if that was asked for, and lets go of them.
    fn end_services(&mut self, inbox: &mut Inbox<'_>) {
        let services = self.actions.services();
        if !services.are_there() || services.hold == Hold::Session {
            return;
        }
        while services.hold == Hold::Attach && !self.interrupted && !self.scheduler.failed() && !self.unserved
        {
            match inbox.next(LOOK) {
                Some(message) => self.take(message),
                None if services.are_over() => {
                    self.tell_stopped();
                    break;
                }
                None => {}
            }
        }
        let (send, services) = (self.threads.send.clone(), self.threads.actions.services());
        let graph = &self.plan.graph;
        let nodes: BTreeMap<String, NodeIx> = graph
            .iter()
            .filter(|(_, node)| node.kind() == "service")
            .map(|(ix, node)| (node.label.clone(), ix))
            .collect();
        self.threads.scope.spawn(move || {
            services.let_go();
            let mut left = Vec::new();
            // That all of it is down may be known here before the last change is told on its own way.
            for status in services.asked_for() {
                let Some(node) = nodes.get(&status.label).copied() else { continue };
                match status.state.is_over() {
                    true => _ = send.send(Message::Service(node, Box::new(status))),
                    false => left.push(node),
                }
            }
            let _ = send.send(Message::LetGo(left));
        });
        while !self.let_go {
            if let Some(message) = inbox.next(LOOK) {
                self.take(message);
            }
        }
        self.drain(inbox);
    }

    /// Everything is down that this run was to stay with. Whoever did not do it himself wonders why.
    fn tell_stopped(&mut self) {
        let services = self.reporters.state().services();
        if services.iter().any(|served| served.state == State::Stopped) {
            let message =
                "somebody else stopped the services, so there is nothing left to stay with".to_owned();
            let hint = Some("`envrun up` starts them again".to_owned());
            self.tell(Event::Notice(Notice { node: None, message, hint }));
        }
    }

    /// What this run let go, and stays up all the same. Of what it only used that is said if it is there for nothing else.
    fn tell_left(&mut self, mut left: Vec<NodeIx>) {
        let attached = match self.actions.services().hold {
            Hold::Attach => true,
            Hold::Run => false,
            // Said only where it may come as a surprise.
            Hold::Keep if !self.interrupted => return,
            Hold::Keep => false,
            Hold::Session => return,
        };
        let keeps = self.actions.services().hold == Hold::Keep;
        let state = self.reporters.state();
        left.retain(|node| attached || state.state(*node) == Some(NodeState::Over(OutcomeKind::Up)));
        let labels: Vec<String> =
            left.iter().map(|node| format!("`{}`", self.plan.graph[*node].label)).collect();
        let (stay, them) = match labels.len() {
            0 => return,
            1 => ("stays", "it"),
            _ => ("stay", "them"),
        };
        let this = if attached { "`up`" } else { "run" };
        let why = if keeps { String::new() } else { format!(": not only this {this} needs {them}") };
        let message = format!("{} {stay} up{why}", labels.join(", "));
        let envs: BTreeSet<_> = left.iter().map(|node| &self.plan.graph[*node].env).collect();
        let env = envs.into_iter().flatten().map(|env| format!(" {env}")).collect::<String>();
        let hint = Some(format!("`envrun down{env}` stops {them}, whoever needs {them}"));
        self.tell(Event::Notice(Notice { node: None, message, hint }));
    }

    /// Tells what is still on its way when the last node is over: notices and late output.
    fn drain(&mut self, inbox: &mut Inbox<'_>) {
        // No more than what is there: of a service that never stops to print it would never come to an end.
        let level = self.level;
        for _ in 0..inbox.there() {
            match inbox.next_there() {
                // Who asks to stop does not wait until a slow terminal has shown what a service has in its log.
                Some(Message::Output { node, .. })
                    if self.level > level && self.plan.graph[node].kind() == "service" => {}
                Some(message) => self.take(message),
                None => break,
            }
        }
        while let Some(message) = inbox.next_taken() {
            self.take(message);
        }
        self.tell_bulk();
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Started { node, because, commands, dir } => {
                let interactive = self.plan.graph[node].task.interactive;
                self.tell(Event::NodeStarted { node, because, commands, dir, interactive });
            }
            Message::Caught(up) => drop(up),
            Message::Output { node, stream, bytes, credit } => {
                self.tell(Event::Output { node, stream, bytes });
                drop(credit);
            }
            Message::Retrying { node, attempt, of, failure, pause } => {
                self.tell(Event::NodeRetrying { node, attempt, of, failure, pause });
            }
            Message::Phase { node, phase, about } => self.tell(Event::NodePhase { node, phase, about }),
            Message::Reached(node, gate) => self.scheduler.on(Fact::Reached(node, gate), &mut self.steps),
            Message::Service(node, status) => {
                let is_over = self.scheduler.is_over(node);
                let services = self.actions.services();
                if services.is_news(&status, is_over) {
                    self.service_failed |= matches!(status.state, State::Failed(_));
                    self.tell(services.changed(node, *status));
                }
            }
            Message::Unserved if !self.interrupted && !self.let_go => {
                let message = "what keeps the services has ended, and they with it".to_owned();
                let hint = Some("`envrun up` starts them again".to_owned());
                self.service_failed = true;
                self.unserved = true;
                self.tell(Event::Notice(Notice { node: None, message, hint }));
            }
            Message::Unserved => self.unserved = true,
            Message::LetGo(left) => {
                self.tell_left(left);
                self.let_go = true;
            }
            Message::Checked(node, checked, took) => self.checked(node, checked, took),
            Message::Finished(node, outcome, took) => {
                self.tell_unguarded();
                self.finished(node, outcome, took);
            }
            Message::Notice(notice) => self.tell(Event::Notice(notice)),
            Message::Signal(signal) => self.interrupt(signal),
            Message::Changed { files, readers } => self.changed(files, &readers),
        }
    }

    /// Files changed: what is useless now is cancelled, what was found out does not count any longer, and nothing else is
    /// touched. What did not begin yet will see the files as they are.
    fn changed(&mut self, (mut files, mut more): (Vec<String>, usize), readers: &[(NodeIx, RelPath)]) {
        self.actions.touched();
        let is_hit = |(node, path): &&(NodeIx, RelPath)| {
            let running = self.scheduler.is_running(*node);
            let checked = self.scheduler.is_in_hand(*node) && !running;
            // Of everything at once only what it costs to go on is asked.
            let known = running || (self.scheduler.is_over(*node) && !path.is_root());
            !self.scheduler.is_again(*node)
                && (checked || (known && self.actions.has_read_otherwise(*node, path)))
        };
        let hit: Vec<NodeIx> = readers.iter().filter(is_hit).map(|(node, _)| *node).collect();
        let known: Vec<RelPath> = match readers.iter().any(|(_, path)| path.is_root()) {
            true => hit.iter().filter_map(|node| self.actions.all_read_otherwise(*node)).flatten().collect(),
            false => Vec::new(),
        };
        let nodes = self.with_all_behind(hit);
        if nodes.is_empty() || !self.scheduler.may_reopen() {
            return;
        }
        if !known.is_empty() {
            (files, more) = first_of(known.iter().map(|file| file.display().into_owned()));
        }
        self.tell_bulk();
        let over: HashSet<NodeIx> =
            nodes.iter().copied().filter(|node| self.scheduler.is_over(*node)).collect();
        let running: Vec<NodeIx> =
            nodes.iter().copied().filter(|node| self.scheduler.is_running(*node)).collect();
        for node in &running {
            self.actions.give_up(*node);
        }
        let nodes = self.scheduler.reopen(&nodes, &mut self.steps);
        let over: NodeSet = nodes.iter().copied().filter(|node| over.contains(node)).collect();
        let (tasks, services) = self.plan.graph.tasks_and_services(nodes.iter().copied());
        // After it was given up: one that still runs does not keep what it finds out from now on.
        for node in nodes.iter().filter(|node| !self.scheduler.is_again(**node)) {
            self.actions.reset(*node);
        }
        self.tell(Event::Changed { files, more, tasks, services });
        if !over.is_empty() {
            self.tell(Event::NodesReopened { nodes: over });
        }
        for node in running {
            self.processes.cancel(node.0);
        }
    }

    /// These nodes, whatever needs them, and what they call.
    fn with_all_behind(&self, mut todo: Vec<NodeIx>) -> Vec<NodeIx> {
        let mut found = vec![false; self.plan.graph.len()];
        while let Some(node) = todo.pop() {
            if std::mem::replace(&mut found[node.index()], true) {
                continue;
            }
            let behind = self.plan.graph.behind(node).filter(|(_, edge)| edge.kind != EdgeKind::After);
            todo.extend(behind.map(|(later, _)| later));
        }
        self.plan.graph.indices().filter(|node| found[node.index()]).collect()
    }

    /// A node that was reopened while it was in hand is not in hand any more: it begins anew.
    fn begin_again(&mut self, node: NodeIx) {
        self.actions.reset(node);
        self.processes.admit(node.0);
    }

    /// Carries out all steps there are, and those that follow from them; whether every node is over.
    fn carry_out_steps(&mut self) -> bool {
        let mut done = false;
        let mut at = 0;
        while at < self.steps.len() {
            let step = self.steps[at];
            at += 1;
            match step {
                Step::Check(node) => {
                    let begun = Instant::now();
                    match self.actions.check_at_once(node) {
                        Some(checked) => self.checked(node, checked, begun.elapsed()),
                        None => self.threads.give(Work::Check(node)),
                    }
                }
                Step::Execute(node) => {
                    self.tell_expected();
                    self.threads.give(Work::Execute(node));
                }
                Step::Finish(node, verdict) => self.unrun(node, verdict),
                Step::AllDone => done = true,
            }
            // A long run's steps are a queue: what was carried out is let go now and then.
            if at > 1024 && at * 2 > self.steps.len() {
                self.steps.drain(..at);
                at = 0;
            }
        }
        self.steps.clear();
        if done {
            self.tell_bulk();
        }
        done
    }

    fn checked(&mut self, node: NodeIx, checked: Checked, took: Duration) {
        if self.scheduler.is_again(node) {
            self.begin_again(node);
            return self.scheduler.on(Fact::MustRun(node), &mut self.steps);
        }
        match checked {
            Checked::MustRun => self.scheduler.on(Fact::MustRun(node), &mut self.steps),
            Checked::Over(outcome) => self.finished(node, outcome, took),
        }
    }

    /// Children that nothing would end if envrun were killed are worth a word, once.
    fn tell_unguarded(&mut self) {
        if self.unguarded_told {
            return;
        }
        if let Some(reason) = self.processes.unguarded() {
            self.unguarded_told = true;
            let message = format!("if envrun is killed with SIGKILL, its commands go on: {reason}");
            self.tell(Event::Notice(Notice { node: None, message, hint: None }));
        }
    }

    fn finished(&mut self, node: NodeIx, outcome: Outcome, took: Duration) {
        if self.scheduler.is_again(node) {
            self.begin_again(node);
            self.tell(Event::NodeFinished { node, outcome, took });
            self.tell(Event::NodesReopened { nodes: std::iter::once(node).collect() });
            return self.scheduler.on(Fact::Finished(node, End::Cancelled), &mut self.steps);
        }
        let end = match &outcome {
            Outcome::Failed { failure, .. } => {
                self.actions.note_failure(node, failure);
                if !self.plan.graph[node].follow_up {
                    self.worst = self.worst.max(exit_of(failure));
                }
                End::Failed
            }
            Outcome::Skipped { .. } => End::Skipped,
            Outcome::Cancelled => {
                // Nothing is cancelled but by an interrupt, be it one that only an interactive command heard.
                self.interrupted = true;
                End::Cancelled
            }
            _ => End::Good,
        };
        match &outcome {
            Outcome::Succeeded { .. } => {
                self.changed += 1;
                self.times.push((node, took));
            }
            // Whether a service is up is never known without looking.
            Outcome::Up { .. }
            | Outcome::Restored { .. }
            | Outcome::WouldRun { .. }
            | Outcome::Failed { .. } => self.changed += 1,
            _ => {}
        }
        if outcome == Outcome::UpToDate {
            self.up_to_date.insert(node);
        } else {
            self.tell_bulk();
            self.tell(Event::NodeFinished { node, outcome, took });
        }
        self.scheduler.on(Fact::Finished(node, end), &mut self.steps);
    }

    fn unrun(&mut self, node: NodeIx, verdict: Verdict) {
        let outcome = match verdict {
            Verdict::Blocked { by } => Outcome::Blocked { by },
            Verdict::Skipped { because } => {
                Outcome::Skipped { reason: format!("`{}` was skipped", self.plan.graph[because].label) }
            }
            Verdict::Cancelled => {
                self.cancelled.insert(node);
                return;
            }
            Verdict::NotCalled => return,
        };
        self.tell(Event::NodeFinished { node, outcome, took: Duration::ZERO });
    }

    fn interrupt(&mut self, signal: i32) {
        self.level = (self.level + 1).min(3);
        let level = self.level;
        self.interrupted = true;
        self.tell_bulk();
        self.tell(Event::Interrupted { signal: signal_name(signal), level });
        self.processes.interrupt(match level {
            1 => Interrupt::Told { signal },
            2 => Interrupt::Terminate,
            _ => Interrupt::Kill,
        });
        self.actions.stop_waiting();
        if level > 1 {
            self.actions.services().hurry(level);
        }
        self.scheduler.on(Fact::Cancel { level }, &mut self.steps);
    }

    /// How long nodes took last time: told once, by a run that executes something.
    fn tell_expected(&mut self) {
        if std::mem::replace(&mut self.expected_told, true) {
            return;
        }
        let known = self.plan.expected.iter().zip(self.plan.graph.indices());
        let took_ms: Vec<_> = known
            .filter_map(|(took, node)| Some((node, u64::try_from((*took)?.as_millis()).unwrap_or(u64::MAX))))
            .collect();
        if !took_ms.is_empty() {
            self.tell(Event::Expected { took_ms });
        }
    }

    fn tell_bulk(&mut self) {
        for (nodes, outcome) in
            [(&mut self.up_to_date, Outcome::UpToDate), (&mut self.cancelled, Outcome::Cancelled)]
        {
            let nodes = std::mem::take(nodes);
            if !nodes.is_empty() {
                self.reporters.tell(Event::NodesFinished { nodes, outcome });
            }
        }
    }

    fn tell(&mut self, event: Event) {
        self.reporters.tell(event);
    }

    fn exit(&self) -> u8 {
        // An environment that is broken is worse news than that somebody pressed a key.
        if self.interrupted && self.worst != EXIT_BROKEN {
            130
        } else if self.scheduler.failed() {
            self.worst.max(1)
        } else {
            // Also one that died while what needed it went on, or that would not be stopped: it was told as failed.
            u8::from(self.service_failed)
        }
    }
}

/// Going back failed too.
const EXIT_BROKEN: u8 = 6;

/// The exit status that a failure comes to. Of several the greatest counts: the environment that is in the worst state.
fn exit_of(failure: &Failure) -> u8 {
    match failure {
        Failure::Refused { .. } => 3,
        Failure::WentBack { .. } => 5,
        Failure::Broken { .. } => EXIT_BROKEN,
        Failure::Unfinished { .. } | Failure::Lost { .. } => 7,
        _ => 1,
    }
}

/// How a signal is told.
pub fn signal_name(signal: i32) -> String {
    match signal {
        1 => "SIGHUP".into(),
        2 => "SIGINT".into(),
        15 => "SIGTERM".into(),
        other => format!("signal {other}"),
    }
}
