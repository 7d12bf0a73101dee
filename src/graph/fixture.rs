//! Tasks and graphs made by hand, for tests.

use std::sync::Arc;

use crate::base::RelPath;
use crate::diag::{FileId, Span, Spanned};
use crate::model::{Action, Command, Envfile, NodeName, NodePath, ProjectName, Task};
use crate::vars::{Request, Source, Values};

use super::{ConfiguredTask, Edge, EdgeKind, TaskGraph};

/// A place that no text has.
pub fn nowhere() -> Span {
    Span { file: FileId(0), start: 0, len: 0 }
}

/// A task of the root project that runs `true` and says nothing else.
pub fn task(name: &str) -> Task {
    Task {
        actions: vec![Spanned::new(Action::Run(Command::Shell("true".into())), nowhere())],
        ..Task::new(name.into(), nowhere(), RelPath::root())
    }
}

/// No values at all.
pub fn values() -> Arc<Values> {
    let nothing: Source = Arc::new(|_| None);
    let request = Request {
        envfile: &Envfile::default(),
        project: &ProjectName::default(),
        env: None,
        dotenv: &[],
        set: &[],
        given: Arc::clone(&nothing),
        caller: nothing,
    };
    Arc::new(Values::resolve(&request).0)
}

/// A node for `task`, shared by all environments.
pub fn node(task: Task) -> ConfiguredTask {
    let path = NodePath { project: ProjectName::default(), name: NodeName::from(task.name.as_str()) };
    ConfiguredTask {
        label: task.name.to_string(),
        path,
        env: None,
        task: Arc::new(task),
        calls: Arc::default(),
        loads: Arc::default(),
        values: values(),
        reads: Arc::default(),
        args: Vec::new(),
        given: Vec::new(),
        target: false,
        follow_up: false,
        special: None,
    }
}

/// A graph of `nodes` with `edges` between their places.
pub fn graph(nodes: Vec<ConfiguredTask>, edges: &[(usize, usize, EdgeKind)]) -> TaskGraph {
    let edge = |&(from, to, kind): &(usize, usize, EdgeKind)| (from, to, Edge { kind, span: nowhere() });
    TaskGraph::new(nodes, edges.iter().map(edge).collect()).expect("the edges of a fixture make no ring")
}
