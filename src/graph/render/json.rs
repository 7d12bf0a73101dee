//! The graph as data.

use serde::Serialize;

use crate::diag::{Span, Spanned};
use crate::graph::{ConfiguredTask, Edge, NodeIx, TaskGraph};
use crate::model::Command;

use super::word;

/// The whole graph. Absent optional fields and empty lists are left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JsonGraph {
    /// The version of this format: 1. Fields may be added without a new one.
    pub format: u32,
    /// Every node; its `id` is its place in this list. Every edge leads from a lower to a higher place.
    pub nodes: Vec<JsonNode>,
    /// What comes before what.
    pub edges: Vec<JsonEdge>,
}

/// One node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JsonNode {
    /// Its place in the list.
    pub id: u32,
    /// Its address: `prod.api:deploy`.
    pub label: String,
    /// The environment; absent for a node that all environments share.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env: Option<String>,
    /// The project; absent for the root.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// Its name in the project.
    pub name: String,
    /// `task`, `service`, `deploy` or `snapshot`.
    pub kind: &'static str,
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub desc: Option<String>,
    /// The heading it is listed under.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heading: Option<String>,
    /// It was asked for by name.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub target: bool,
    /// It has no actions: it stands for its needs.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub group: bool,
    /// It runs only when an `on-fail` or `on-success` calls it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub follow_up: bool,
    /// Its result may be kept and used again.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cacheable: bool,
    /// It changes something outside.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub mutates: bool,
    /// It talks to the terminal.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub interactive: bool,
    /// Its pool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// Where its commands run, relative to the root; as written.
    pub dir: String,
    /// Its commands as a person would type them, those of called tasks in place; variables as written.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<String>,
    /// Its input globs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<String>,
    /// Its outputs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<String>,
    /// Every variable that its definition names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reads: Vec<String>,
    /// The programs that are part of its key.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<String>,
    /// `file:line` of its declaration.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub place: String,
}

/// One edge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JsonEdge {
    /// What comes first: a node's `id`.
    pub from: u32,
    /// What comes later.
    pub to: u32,
    /// `needs`, `after`, `on-fail` or `on-success`. The word stands at `to` in the Envfile for the first two, at `from`
    /// for the others.
    pub kind: &'static str,
}

impl JsonGraph {
    /// Describes `graph`. `place` tells where a span is, as `file:line`.
    pub fn new(graph: &TaskGraph, place: &dyn Fn(Span) -> String) -> Self {
        let edge = |(from, to, edge): (NodeIx, NodeIx, &Edge)| JsonEdge {
            from: from.0,
            to: to.0,
            kind: word(edge.kind),
        };
        let mut edges: Vec<JsonEdge> = graph.edges().map(edge).collect();
        edges.sort_by_key(|edge| (edge.to, edge.from, edge.kind));
        Self { format: 1, nodes: graph.iter().map(|(ix, node)| describe(ix.0, node, place)).collect(), edges }
    }
}

/// The graph as indented JSON: one [`JsonGraph`].
pub fn json(graph: &TaskGraph, place: &dyn Fn(Span) -> String) -> String {
    let mut text = serde_json::to_string_pretty(&JsonGraph::new(graph, place))
        .expect("strings, numbers and lists are always JSON");
    text.push('\n');
    text
}

fn describe(id: u32, node: &ConfiguredTask, place: &dyn Fn(Span) -> String) -> JsonNode {
    let task = &node.task;
    let texts = |list: &[Spanned<String>]| list.iter().map(|text| text.value.clone()).collect();
    let project = node.path.project.as_str();
    JsonNode {
        id,
        label: node.label.clone(),
        env: node.env.as_ref().map(ToString::to_string),
        project: (!project.is_empty()).then(|| project.to_owned()),
        name: node.path.name.to_string(),
        kind: node.kind(),
        desc: task.desc.clone(),
        heading: task.group.clone(),
        target: node.target,
        group: node.kind() == "task" && task.is_group(),
        follow_up: node.follow_up,
        cacheable: task.is_cacheable(),
        mutates: task.mutates,
        interactive: task.interactive,
        pool: task.pool.as_ref().map(|pool| pool.value.clone()),
        dir: task.dir.value.clone(),
        commands: node.commands().into_iter().map(Command::display).collect(),
        inputs: texts(task.inputs.as_deref().unwrap_or_default()),
        outputs: texts(task.outputs.as_deref().unwrap_or_default()),
        reads: node.reads.iter().map(ToString::to_string).collect(),
        tools: texts(&task.tools),
        place: place(task.span),
    }
}
