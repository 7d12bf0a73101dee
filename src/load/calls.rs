//! Tasks that call each other in a circle.

use std::collections::HashMap;

use crate::diag::{Diagnostic, Span};
use crate::model::{Action, EnvName, Envfile, Node, NodePath};

use super::ring;

type Place<'e> = (Option<&'e EnvName>, NodePath);

/// Every ring of `call`s, in whatever environment it closes.
pub(super) fn rings(envfile: &Envfile) -> Vec<Diagnostic> {
    let mut places: Vec<Place<'_>> = Vec::new();
    for project in envfile.projects.values() {
        let overlays = project.overlays.iter().map(|(env, scope)| (Some(env), scope));
        for (env, scope) in std::iter::once((None, &project.base)).chain(overlays) {
            let calling = scope.nodes.values().filter(|node| calls(node).next().is_some());
            let paths =
                calling.map(|node| NodePath { project: project.name.clone(), name: node.name().clone() });
            places.extend(paths.map(|path| (env, path)));
        }
        // What an environment patches may be called by what it does not.
        for env in project.overlays.iter().filter(|(_, scope)| !scope.nodes.is_empty()).map(|(env, _)| env) {
            let calling = project.base.nodes.values().filter(|node| calls(node).next().is_some());
            let paths =
                calling.map(|node| NodePath { project: project.name.clone(), name: node.name().clone() });
            places.extend(paths.map(|path| (Some(env), path)));
        }
    }
    let mut known: HashMap<Place<'_>, usize> = HashMap::new();
    let mut edges: Vec<Vec<(usize, Span)>> = Vec::new();
    let mut at = 0;
    places.retain(|place| {
        let next = known.len();
        *known.entry(place.clone()).or_insert(next) == next
    });
    while let Some((env, path)) = places.get(at).cloned() {
        let mut out = Vec::new();
        if let Some(node) = envfile.node(env, &path) {
            for called in calls(node) {
                let to = (called.env.as_ref().or(env), called.path.clone());
                let next = known.len();
                let to_at = *known.entry(to.clone()).or_insert(next);
                if to_at == next {
                    places.push(to);
                }
                out.push((to_at, called.span));
            }
        }
        edges.push(out);
        at += 1;
    }
    let rings = ring::rings(edges.len(), |at| edges[at].clone());
    let told = rings.into_iter().map(|ring| {
        let names: Vec<String> = ring.iter().map(|&(at, _)| places[at].1.to_string()).collect();
        let spans: Vec<Span> = ring.iter().map(|&(_, span)| span).collect();
        ring::diagnostic("load/cycle", "tasks call each other", "calls", &names, &spans)
    });
    told.collect()
}

fn calls(node: &Node) -> impl Iterator<Item = &crate::model::NodeRef> {
    let actions = if let Node::Task(task) = node { &task.actions[..] } else { &[] };
    actions
        .iter()
        .filter_map(|action| if let Action::Call(called) = &action.value { Some(called) } else { None })
}
