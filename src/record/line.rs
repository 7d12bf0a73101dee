//! One line of `events.jsonl`: an event of the wire format whose long part is empty, and where that part is kept.

use serde::{Deserialize, Serialize};

use crate::event::{Event, NodeInfo, Outcome, Sequenced};
use crate::graph::NodeIx;

/// What is written: a reader that does not know `kept` still reads an event.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Line {
    #[serde(flatten)]
    pub(super) event: Sequenced,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) kept: Option<Kept>,
}

/// Where the long part of an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Kept {
    /// The bytes of `output`, or the log of a restored node: in the node's log.
    Log {
        /// From which byte.
        at: u64,
        /// How many bytes.
        len: u64,
    },
    /// The nodes of `run-started`: in `nodes.json`.
    Nodes {
        /// How many nodes.
        count: usize,
    },
}

/// Bytes that an event carries for a node's log.
pub(super) fn log_bytes(event: &Event) -> Option<(NodeIx, &[u8])> {
    match event {
        Event::Output { node, bytes, .. } => Some((*node, bytes)),
        Event::NodeFinished { node, outcome: Outcome::Restored { log, .. }, .. } if !log.is_empty() => {
            Some((*node, log))
        }
        _ => None,
    }
}

/// The node whose log holds the long part of a shortened event.
pub(super) fn node(event: &Event) -> Option<NodeIx> {
    match event {
        Event::Output { node, .. } | Event::NodeFinished { node, .. } => Some(*node),
        _ => None,
    }
}

/// The event without its long part.
pub(super) fn shortened(told: &Sequenced) -> Sequenced {
    let event = match &told.event {
        Event::Output { node, stream, .. } => {
            Event::Output { node: *node, stream: *stream, bytes: Vec::new() }
        }
        Event::NodeFinished { node, outcome: Outcome::Restored { from, .. }, took } => Event::NodeFinished {
            node: *node,
            outcome: Outcome::Restored { from: from.clone(), log: Vec::new() },
            took: *took,
        },
        Event::RunStarted(started) => {
            let mut started = started.clone();
            started.nodes = [].into();
            Event::RunStarted(started)
        }
        other => other.clone(),
    };
    Sequenced { event, ..*told }
}

/// Puts bytes of a log back into a shortened event.
pub(super) fn put_log(event: &mut Event, kept: Vec<u8>) {
    if let Event::Output { bytes: log, .. }
    | Event::NodeFinished { outcome: Outcome::Restored { log, .. }, .. } = event
    {
        *log = kept;
    }
}

/// Puts the nodes back into a shortened event.
pub(super) fn put_nodes(event: &mut Event, nodes: Vec<NodeInfo>) {
    if let Event::RunStarted(started) = event {
        started.nodes = nodes.into();
    }
}
