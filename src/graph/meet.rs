//! Nodes of one run that would write over each other's outputs.
//!
//! Tasks of one environment are compared when the Envfile is loaded. Here the nodes of one graph are, where they are of
//! several environments or one task in several ways: `uat.build` and `prod.build` are two nodes if they read something of
//! their environment, and if both make `dist`, each would find the other's bytes there, and keep them as its own. So would
//! `uat.build` and `prod.pack`.

use std::collections::HashMap;

use crate::base::RelPath;
use crate::base::glob::Pattern;
use crate::diag::{Diagnostic, Span};
use crate::model::NodePath;
use crate::vars::{Form, TaskValues};

use super::{ConfiguredTask, TaskGraph};

/// Every two nodes that would make the same place, each node once: a graph to look at may have some, one to run may not.
pub fn meetings(graph: &TaskGraph) -> Vec<Diagnostic> {
    let makers = || graph.iter().map(|(_, node)| node).filter(|node| node.task.writes());
    let first = makers().find_map(|node| node.env.as_ref());
    let nodes: Vec<&ConfiguredTask> = if makers().any(|node| node.env.is_some() && node.env.as_ref() != first)
    {
        makers().collect()
    } else if first.is_none() {
        // Without an environment a path is one node.
        return Vec::new();
    } else {
        let mut count: HashMap<&NodePath, usize> = HashMap::new();
        makers().for_each(|node| *count.entry(&node.path).or_default() += 1);
        makers().filter(|node| count[&node.path] > 1).collect()
    };
    if nodes.is_empty() {
        return Vec::new();
    }
    let made: Vec<Made> = (0..).zip(&nodes).flat_map(|(owner, node)| made(owner, node)).collect();
    // By the path, or the folder below which a pattern can match.
    let mut by_place: HashMap<&[u8], Vec<usize>> = HashMap::new();
    for (at, one) in made.iter().enumerate() {
        let mut places = places(&one.pattern);
        places.sort_unstable();
        places.dedup();
        places.into_iter().for_each(|place| by_place.entry(place).or_default().push(at));
    }
    let mut pairs: Vec<(usize, usize)> = Vec::new();
    for (at, one) in made.iter().enumerate() {
        // Of two that meet, one lies at the other's place or below it.
        for place in places(&one.pattern) {
            let ends = place.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(end, _)| end);
            for other in ends.chain([0, place.len()]).filter_map(|end| by_place.get(&place[..end])).flatten()
            {
                if meet(&nodes, one, &made[*other]) {
                    pairs.push((at.min(*other), at.max(*other)));
                }
            }
        }
    }
    pairs.sort_unstable();
    let mut told = vec![false; nodes.len()];
    let mut diagnostics = Vec::new();
    for (earlier, later) in pairs {
        let (ours, theirs) = (&made[earlier], &made[later]);
        if !std::mem::replace(&mut told[theirs.owner], true) {
            diagnostics.push(say(&nodes, ours, theirs));
        }
    }
    diagnostics.sort_by_key(|diagnostic| diagnostic.labels.first().map(|label| label.span));
    diagnostics
}

/// An output as it is known before its node runs.
struct Made {
    /// The node's place in the list.
    owner: usize,
    span: Span,
    text: String,
    pattern: Pattern,
    /// What the same node excludes with `!`.
    except: std::rc::Rc<[Pattern]>,
}

fn meet(nodes: &[&ConfiguredTask], one: &Made, other: &Made) -> bool {
    let (a, b) = (nodes[one.owner], nodes[other.owner]);
    // Two tasks of one environment were compared when the Envfile was loaded, and every environment has the shared ones.
    let compared = a.path != b.path && (a.env == b.env || a.env.is_none() || b.env.is_none());
    let excluded = |output: &Made, from: &Made| matches!(&output.pattern, Pattern::Literal(path) if from.except.iter().any(|except| except.covers(path)));
    one.owner != other.owner
        && !compared
        && one.pattern.overlaps(&other.pattern)
        && !excluded(one, other)
        && !excluded(other, one)
}

fn say(nodes: &[&ConfiguredTask], ours: &Made, theirs: &Made) -> Diagnostic {
    let (a, b) = (nodes[ours.owner], nodes[theirs.owner]);
    let message =
        format!("`{}` and `{}` would write over each other's output `{}`", a.label, b.label, ours.text);
    let mut diagnostic = Diagnostic::error("graph/outputs", message).at(theirs.span, "");
    if ours.span != theirs.span {
        diagnostic = diagnostic.at(ours.span, format!("`{}` makes this", a.label));
    }
    diagnostic
        .help("give each environment its own place, with `${ENVRUN_ENV}` in it, or run one after the other")
}

fn places(pattern: &Pattern) -> Vec<&[u8]> {
    match pattern {
        Pattern::Literal(path) => vec![path.as_bytes()],
        Pattern::Glob(glob) => glob.alternatives().iter().map(|one| one.prefix.as_bytes()).collect(),
    }
}

/// The outputs of a node as they are known before it runs. What is not known, or makes no sense, is left out here: it is
/// said when the node's turn comes.
fn made(owner: usize, node: &ConfiguredTask) -> Vec<Made> {
    let given = |name: &str| node.args.iter().find(|(arg, _)| arg == name).map(|(_, value)| value.clone());
    let args = node.task.args.iter().filter_map(|arg| {
        let value = given(&arg.name.value).or_else(|| Some(arg.default.as_ref()?.to_string()))?;
        Some((arg.variable(), value))
    });
    let values = TaskValues::new(&node.values, &node.task, args.collect());
    let fill = |text: &str, span| values.interpolate(text, Form::Text, span).ok();
    let dir = fill(&node.task.dir.value, node.task.dir.span);
    let Some(dir) = dir.and_then(|dir| RelPath::root().resolve(&dir).ok()) else { return Vec::new() };
    let texts = || node.task.outputs.iter().flatten();
    let except: std::rc::Rc<[Pattern]> = texts()
        .filter_map(|text| Pattern::parse(&dir, &fill(text.value.strip_prefix('!')?, text.span)?).ok())
        .collect();
    let rendered: Vec<Made> = (node.task.renders())
        .filter_map(|render| {
            let text = fill(&render.path.value, render.path.span)?;
            let pattern = Pattern::Literal(dir.resolve(&text).ok()?);
            Some(Made { owner, span: render.path.span, text, pattern, except: std::rc::Rc::default() })
        })
        .collect();
    texts()
        .filter(|text| !text.value.starts_with('!'))
        .filter_map(|text| {
            let filled = fill(&text.value, text.span)?;
            let pattern = Pattern::parse(&dir, &filled).ok()?;
            Some(Made { owner, span: text.span, text: filled, pattern, except: except.clone() })
        })
        .chain(rendered)
        .collect()
}
