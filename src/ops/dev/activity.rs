//! Who was executed when: a listener that a session asks who may have written a file.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use crate::base::Timestamp;
use crate::event::{Event, Outcome, RunState, Sequenced};
use crate::graph::NodeIx;
use crate::report::Reporter;

/// How much earlier than it was told of a change may have been.
const LATE_MS: u64 = 60;

/// What was executed, and when.
#[derive(Debug, Clone, Default)]
pub(super) struct Activity {
    nodes: Arc<Mutex<HashMap<NodeIx, Execution>>>,
}

/// The last execution of a node.
#[derive(Debug, Clone, Copy)]
pub(super) struct Execution {
    /// The how-manyth it is.
    pub number: u64,
    began: Timestamp,
    ended: Option<Timestamp>,
    /// It did not come to its own end.
    pub disturbed: bool,
    /// What it reads was at its end what it was at its beginning.
    pub left_inputs_alone: bool,
}

impl Execution {
    /// One that has just begun.
    pub fn begin(number: u64, began: Timestamp) -> Self {
        Self { number, began, ended: None, disturbed: true, left_inputs_alone: false }
    }

    /// Whether it was over before a moment.
    pub fn is_over_at(&self, when: Timestamp) -> bool {
        self.ended.is_some_and(|ended| ended < when)
    }
}

impl Activity {
    /// The nodes that were executed at a moment, or shortly before.
    pub fn at(&self, when: Timestamp) -> Vec<(NodeIx, Execution)> {
        let nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found: Vec<_> = nodes
            .iter()
            .filter(|(_, execution)| {
                execution.began <= when
                    && execution.ended.is_none_or(|ended| when.0 <= ended.0.saturating_add(LATE_MS))
            })
            .map(|(node, execution)| (*node, *execution))
            .collect();
        found.sort_unstable_by_key(|(node, _)| *node);
        found
    }

    /// Forgets everything: the nodes are others now.
    pub fn forget(&self) {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Reporter for Activity {
    fn on(&mut self, event: &Sequenced, _: &RunState) -> io::Result<()> {
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        match &event.event {
            Event::NodeStarted { node, .. } => {
                let number = nodes.get(node).map_or(0, |before| before.number) + 1;
                nodes.insert(*node, Execution::begin(number, event.time));
            }
            Event::NodeFinished { node, outcome, .. } => {
                if let Some(execution) = nodes.get_mut(node).filter(|execution| execution.ended.is_none()) {
                    execution.ended = Some(event.time);
                    execution.disturbed = *outcome == Outcome::Cancelled;
                    // Otherwise nothing would have been kept.
                    execution.left_inputs_alone = matches!(outcome, Outcome::Succeeded { stored: true });
                }
            }
            _ => {}
        }
        Ok(())
    }
}
