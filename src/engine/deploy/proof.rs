//! A proof: tasks that must succeed, and go on succeeding for a while.

use std::io;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::event::{Event, Outcome, RunState, Sequenced, Stream};
use crate::graph::NodeIx;
use crate::model::Task;
use crate::plan::Plan;
use crate::record::RunId;
use crate::report::{Reporter, Reporters};

use super::super::action::Actions;
use super::super::dispatcher::{self, Message, OutputRoom};
use super::super::surroundings::Surroundings;

/// Tasks that must succeed, with all they need.
#[derive(Debug, Clone)]
pub struct Proof {
    /// Their graph; its targets are carried out in each round, whatever is up to date.
    pub plan: Plan,
    /// How long they must go on succeeding.
    pub hold: Duration,
}

/// How a proof came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Proved {
    Yes,
    No(String),
    Interrupted,
}

/// Between two rounds.
const BETWEEN: Duration = Duration::from_secs(1);

/// Who hears what a proof prints.
#[derive(Clone)]
pub(super) struct Ear {
    pub(super) node: NodeIx,
    pub(super) send: Sender<Message>,
    pub(super) room: Arc<OutputRoom>,
    pub(super) log: Arc<Mutex<Vec<u8>>>,
}

impl Ear {
    pub(super) fn hear(&self, stream: Stream, bytes: &[u8]) {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        let credit = self.room.take(bytes.len());
        let message = Message::Output { node: self.node, stream, bytes: bytes.to_vec(), credit };
        // The dispatcher listens until the deploy is over.
        let _ = self.send.send(message);
    }
}

impl Proof {
    /// Carries it out, round by round, until its time is over or one fails. `deadline` ends it in any case.
    pub(super) fn carry_out(
        &self,
        around: &Surroundings<'_>,
        ear: &Ear,
        deadline: Option<Instant>,
    ) -> Proved {
        let begun = Instant::now();
        loop {
            match self.round(around, ear, deadline) {
                Proved::Yes => {}
                other => return other,
            }
            let left = self.hold.saturating_sub(begun.elapsed());
            if left.is_zero() {
                return Proved::Yes;
            }
            if !around.processes.pause(BETWEEN.min(left), around.cleanup, None) {
                return Proved::Interrupted;
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Proved::No("the time for the whole deploy is over".into());
            }
        }
    }

    fn round(&self, around: &Surroundings<'_>, ear: &Ear, deadline: Option<Instant>) -> Proved {
        let mut plan = self.plan.clone();
        if let Some(deadline) = deadline {
            let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            for node in plan.graph.indices() {
                limit(&mut plan.graph[node].task, left);
            }
        }
        // Its own name, so that its files are not mistaken for those of the run around it.
        let run = RunId::draw(around.clock.now());
        let around = Surroundings { run: &run, audit: None, deploys: None, ..*around };
        let actions = Actions::new(&plan, &around);
        let mut reporters = Reporters::new(around.clock.clone());
        let failed: Arc<Mutex<Option<String>>> = Arc::default();
        let labels = plan.graph.iter().map(|(_, node)| node.label.clone()).collect();
        reporters.add("proof", Box::new(Listener { ear: ear.clone(), labels, failed: Arc::clone(&failed) }));
        let (send, receive) = mpsc::channel();
        let ending = dispatcher::run(&plan, &actions, around.processes, (send, &receive), &mut reporters);
        let failed = failed.lock().unwrap_or_else(PoisonError::into_inner).take();
        match (ending.exit, failed) {
            (0, _) => Proved::Yes,
            (130, _) => Proved::Interrupted,
            (_, Some(reason)) => Proved::No(reason),
            (exit, None) => Proved::No(format!("the proof failed with status {exit}")),
        }
    }
}

fn limit(task: &mut Arc<Task>, left: Duration) {
    if task.timeout.as_ref().is_none_or(|timeout| timeout.value > left) {
        let span = task.timeout.as_ref().map_or(task.span, |timeout| timeout.span);
        Arc::make_mut(task).timeout = Some(crate::diag::Spanned::new(left, span));
    }
}

/// Hands what a proof's nodes print to the deploy, and remembers what failed.
struct Listener {
    ear: Ear,
    labels: Vec<String>,
    failed: Arc<Mutex<Option<String>>>,
}

impl Reporter for Listener {
    fn on(&mut self, event: &Sequenced, _: &RunState) -> io::Result<()> {
        match &event.event {
            Event::Output { stream, bytes, .. } => self.ear.hear(*stream, bytes),
            Event::NodeFinished { node, outcome: Outcome::Failed { failure, .. }, .. } => {
                let label = self.labels.get(node.index()).map_or("?", String::as_str);
                let words = crate::report::failure_words(failure);
                let said = format!("`{label}` failed: {words}");
                self.ear.hear(Stream::Stderr, format!("{said}\n").as_bytes());
                let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
                failed.get_or_insert(said);
            }
            Event::NodeFinished { node, outcome: Outcome::Skipped { reason }, .. } => {
                let label = self.labels.get(node.index()).map_or("?", String::as_str);
                self.ear.hear(Stream::Stderr, format!("`{label}` was skipped: {reason}\n").as_bytes());
            }
            _ => {}
        }
        Ok(())
    }
}
