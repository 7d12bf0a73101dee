//! Any bytes as the record of a run.

use super::line::{self, Kept, Line};
use crate::base::Timestamp;
use crate::event::{Event, RunState};
use crate::graph::NodeIx;

/// Lines of `events.jsonl`, read and folded as `log` and every replay do.
pub(crate) fn events(bytes: &[u8]) {
    let mut state = RunState::new();
    for text in bytes.split(|byte| *byte == b'\n') {
        let Ok(Line { event: mut told, kept }) = serde_json::from_slice(text) else { continue };
        match kept {
            Some(Kept::Log { .. }) => line::put_log(&mut told.event, b"said".to_vec()),
            Some(Kept::Nodes { .. }) | None => {}
        }
        state.apply(&told);
        let again = serde_json::to_string(&told).expect("what was read can be written");
        assert_eq!(serde_json::from_str::<crate::event::Sequenced>(&again).ok().as_ref(), Some(&told));
        if let Event::NodesFinished { nodes, .. } = &told.event {
            assert_eq!(nodes.is_empty(), nodes.iter().next().is_none());
        }
        let _ = state.expected_left(Timestamp(state.now().0.saturating_add(1)));
        assert!(state.done() <= state.tasks());
        assert!(state.label(NodeIx(u32::MAX)) == "?");
    }
}
