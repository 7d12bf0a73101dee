//! One task in several environments that would write over its own outputs.
//!
//! Tasks of one environment are compared when the Envfile is loaded. Here the nodes of one graph are: `uat.build` and
//! `prod.build` are two nodes if they read something of their environment, and if both make `dist`, each would find the
//! other's bytes there, and keep them as its own.

use std::collections::HashMap;

use crate::base::RelPath;
use crate::base::glob::Pattern;
use crate::diag::{Diagnostic, Span};
use crate::model::NodePath;
use crate::vars::{Form, TaskValues};

use super::{ConfiguredTask, TaskGraph};

/// Every task of which two nodes would make the same place: a graph to look at may have some, one to run may not.
pub fn meetings(graph: &TaskGraph) -> Vec<Diagnostic> {
    let mut nodes: HashMap<&NodePath, Vec<&ConfiguredTask>> = HashMap::new();
    for (_, node) in graph.iter().filter(|(_, node)| node.task.outputs.is_some()) {
        nodes.entry(&node.path).or_default().push(node);
    }
    let mut several: Vec<_> = nodes.into_values().filter(|nodes| nodes.len() > 1).collect();
    several.sort_unstable_by_key(|nodes| nodes[0].task.span);
    several.iter().filter_map(|nodes| meeting(nodes)).collect()
}

/// The first two of the nodes that meet.
fn meeting(nodes: &[&ConfiguredTask]) -> Option<Diagnostic> {
    let outputs: Vec<_> = nodes.iter().map(|node| outputs(node)).collect();
    for (later, theirs) in outputs.iter().enumerate() {
        for (earlier, ours) in outputs[..later].iter().enumerate() {
            for (span, _, pattern) in theirs {
                let Some((first, text, _)) = ours.iter().find(|(_, _, other)| other.overlaps(pattern)) else {
                    continue;
                };
                let (a, b) = (&nodes[earlier].label, &nodes[later].label);
                let message = format!("`{a}` and `{b}` would write over each other's output `{text}`");
                let mut diagnostic = Diagnostic::error("graph/outputs", message).at(*span, "");
                if first != span {
                    diagnostic = diagnostic.at(*first, format!("`{a}` makes this"));
                }
                return Some(diagnostic.help(
                    "give each environment its own place, with `${ENVRUN_ENV}` in it, or run one after the other",
                ));
            }
        }
    }
    None
}

/// The outputs of a node as they are known before it runs. What is not known, or makes no sense, is left out here: it is
/// said when the node's turn comes.
fn outputs(node: &ConfiguredTask) -> Vec<(Span, String, Pattern)> {
    let given = |name: &str| node.args.iter().find(|(arg, _)| arg == name).map(|(_, value)| value.clone());
    let args = node.task.args.iter().filter_map(|arg| {
        let value = given(&arg.name.value).or_else(|| Some(arg.default.as_ref()?.to_string()))?;
        Some((arg.variable(), value))
    });
    let values = TaskValues::new(&node.values, &node.task, args.collect());
    let fill = |text: &str, span| values.interpolate(text, Form::Text, span).ok();
    let dir = fill(&node.task.dir.value, node.task.dir.span);
    let Some(dir) = dir.and_then(|dir| RelPath::root().resolve(&dir).ok()) else { return Vec::new() };
    let texts = node.task.outputs.iter().flatten().filter(|text| !text.value.starts_with('!'));
    texts
        .filter_map(|text| {
            let filled = fill(&text.value, text.span)?;
            let pattern = Pattern::parse(&dir, &filled).ok()?;
            Some((text.span, filled, pattern))
        })
        .collect()
}
