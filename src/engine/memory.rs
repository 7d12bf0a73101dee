//! What a session that watches remembers of a node from one run to the next.
//!
//! A run knows of a task that is never cached (it has no inputs, or `cache #false`, or it changes something outside) only
//! that it always runs, and of one that failed only that it has no good result. In a session that would execute both
//! after every change of any file. So the session remembers what each was executed with, and how that ended: with the
//! same it would end the same.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::base::Digest;
use crate::event::{Failure, Outcome};
use crate::fingerprint::Fingerprint;

/// What is remembered of every node.
#[derive(Debug, Default)]
pub struct Memory {
    nodes: Mutex<HashMap<String, Remembered>>,
    rest: AtomicBool,
}

/// How a service ends its node that rests: it ended by itself, and nobody asked for a run.
pub fn at_rest() -> Outcome {
    let reason = "it has ended, and begins again with the next run".to_owned();
    Outcome::Failed {
        failure: Failure::Service { reason, lines: Vec::new(), probe: None },
        log: None,
        hint: None,
    }
}

/// One node's last execution.
#[derive(Debug, Clone, Default)]
struct Remembered {
    /// What it was executed with, and how it failed if it did.
    last: Option<(Digest, Option<Outcome>)>,
    /// How often it was executed well: for whoever needs it, that is what it made.
    times: u64,
    /// An input that changed while it was executed, so that nothing was kept of that.
    moved: Option<String>,
    /// Of a service: the files that it watches, as they were when that was looked at last.
    read: Option<Fingerprint>,
}

impl Memory {
    /// How a node ended that was executed with this; `Some(None)` if it went well.
    pub fn ended(&self, label: &str, with: &Digest) -> Option<Option<Outcome>> {
        let (last, failed) = self.nodes().get(label)?.last.clone()?;
        (last == *with).then_some(failed)
    }

    /// How those failed that failed last, by label.
    pub fn failures(&self) -> HashMap<String, Outcome> {
        let nodes = self.nodes();
        let failed = nodes.iter().filter_map(|(label, node)| Some((label.clone(), node.last.clone()?.1?)));
        failed.collect()
    }

    /// How often a node was executed well.
    pub fn times(&self, label: &str) -> u64 {
        self.nodes().get(label).map_or(0, |node| node.times)
    }

    /// Whether it is known how a node ended last.
    pub fn has_run(&self, label: &str) -> bool {
        self.nodes().get(label).is_some_and(|node| node.last.is_some())
    }

    /// A node was executed, well or not.
    pub fn remember(&self, label: &str, with: Digest, failed: Option<Outcome>) {
        let mut nodes = self.nodes();
        let node = nodes.entry(label.to_owned()).or_default();
        node.times += u64::from(failed.is_none());
        node.last = Some((with, failed));
    }

    /// Nothing was kept of an execution, because this file changed meanwhile.
    pub fn note_moved(&self, label: &str, path: String) {
        self.nodes().entry(label.to_owned()).or_default().moved = Some(path);
    }

    /// Why there is no result of a node that was executed here, as the words after "because".
    pub fn why_no_result(&self, label: &str) -> Option<String> {
        let nodes = self.nodes();
        let node = nodes.get(label)?;
        match (&node.last, &node.moved) {
            (Some((_, Some(_))), _) => Some("it failed last time".to_owned()),
            (_, Some(path)) => Some(format!("{path} changed while it ran")),
            _ => None,
        }
    }

    /// What a service watches, as it is now.
    pub fn set_read(&self, label: &str, read: Fingerprint) {
        self.nodes().entry(label.to_owned()).or_default().read = Some(read);
    }

    /// What a service watches, as it was when that was looked at last.
    pub fn read(&self, label: &str) -> Option<Fingerprint> {
        self.nodes().get(label)?.read.clone()
    }

    /// From now on what was up and has ended by itself rests, or begins again with the next run that needs it: a run that
    /// nobody asked for has no business to start anything.
    pub fn set_rest(&self, rest: bool) {
        self.rest.store(rest, Ordering::Relaxed);
    }

    /// Whether what has ended by itself rests.
    pub fn rests(&self) -> bool {
        self.rest.load(Ordering::Relaxed)
    }

    /// Forgets how those ended that failed.
    pub fn forget_failures(&self) {
        let failed = |node: &&mut Remembered| matches!(node.last, Some((_, Some(_))));
        self.nodes().values_mut().filter(failed).for_each(|node| node.last = None);
    }

    fn nodes(&self) -> MutexGuard<'_, HashMap<String, Remembered>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
