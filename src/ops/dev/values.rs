//! Which variables have other values than before: what an edit of a dotenv file or of the Envfile comes to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::base::Digest;
use crate::graph::TaskGraph;
use crate::vars::Values;

/// The value of each variable by project and environment, as a digest: it may be a secret.
pub(super) type Known = BTreeMap<(String, Option<String>, String), Option<Digest>>;

/// What the nodes of a graph see.
pub(super) fn of(graph: &TaskGraph) -> Known {
    let mut seen: BTreeSet<*const Values> = BTreeSet::new();
    let mut known = Known::new();
    for (_, node) in graph.iter().filter(|(_, node)| seen.insert(Arc::as_ptr(&node.values))) {
        let values = &node.values;
        let env = values.env().map(ToString::to_string);
        for (name, lookup) in values.iter() {
            let value = lookup.text().map(|text| Digest::of(text.as_bytes()));
            known.insert((values.project().to_string(), env.clone(), name.to_string()), value);
        }
    }
    known
}

/// The names of those that have another value in this graph than before, came, or went; in the environments that both know.
pub(super) fn changed(before: &Known, graph: &TaskGraph) -> Vec<String> {
    let now = of(graph);
    let places = |known: &Known| -> BTreeSet<(String, Option<String>)> {
        known.keys().map(|(project, env, _)| (project.clone(), env.clone())).collect()
    };
    let common: BTreeSet<_> = places(before).intersection(&places(&now)).cloned().collect();
    let keys: BTreeSet<_> = before.keys().chain(now.keys()).collect();
    let differs = keys.into_iter().filter(|(project, env, name)| {
        let key = (project.clone(), env.clone(), name.clone());
        common.contains(&(project.clone(), env.clone())) && before.get(&key) != now.get(&key)
    });
    let names: BTreeSet<String> = differs.map(|(.., name)| name.clone()).collect();
    names.into_iter().collect()
}
