//! The secrets of a run: which of its nodes want which, asked of stores when every guard has passed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::engine::surroundings::{Surroundings, scope_conditions};
use crate::graph::{ConfiguredTask, NodeIx, Step, TaskGraph};
use crate::model::{Condition, ConditionKind, Content, EnvName, Envfile, Only, Secret, VarName};
use crate::plan::Plan;
use crate::vars::{SecretId, Values, condition_names};

use super::super::guard::changes_something;
use super::super::{Context, Project, Refusal};
use super::rotate::cut_short;
use super::{Missing, Secrets, Wanted};

/// Which secrets the nodes of a graph want.
#[derive(Debug, Default)]
pub struct Wants {
    /// By node; only those that want any.
    by_node: BTreeMap<NodeIx, BTreeSet<SecretId>>,
}

/// What came of asking for the secrets of a run.
#[derive(Debug, Default)]
pub struct Unsealed {
    /// Nodes that cannot have what they want.
    pub refusals: Vec<Refusal>,
    /// Worth saying.
    pub notices: Vec<(String, Option<String>)>,
    /// Something was read: the answer of the run rests on a store.
    pub read_any: bool,
    /// Secrets of an environment that were made up, because a dry run makes none.
    pub pretended: BTreeSet<(Option<EnvName>, SecretId)>,
}

impl Wants {
    /// Finds them: what a node's texts, its `uses` and its variables mention, itself or by way of other variables; of a
    /// service and a deploy also what lies at hand; and what the guards mention, if they are asked.
    pub fn of(graph: &TaskGraph, around: &Surroundings<'_>, guards_are_asked: bool) -> Self {
        let mut by_node = BTreeMap::new();
        // Most projects have no secrets at all: asked once for all nodes that share their values.
        let mut has_any: BTreeMap<*const Values, bool> = BTreeMap::new();
        for (ix, node) in graph.iter() {
            let has =
                has_any.entry(Arc::as_ptr(&node.values)).or_insert_with(|| !node.values.secrets().is_empty());
            if !*has {
                continue;
            }
            let names = node.reads.iter().chain(node.task.vars.keys()).map(VarName::as_str);
            let mut wanted = around.task_values(node, &node.task).secrets(names);
            if matches!(node.kind(), "deploy" | "service") {
                wanted.extend(at_hand(around.envfile, node));
            }
            if guards_are_asked && (changes_something(node) || !wanted.is_empty()) {
                let guards = scope_conditions(around.envfile, node, |scope| &scope.guard);
                let guards = guards.chain(&node.task.guard).filter(|guard| wants_values(guard));
                let names: Vec<_> = guards.map(|guard| condition_names(around.envfile, guard)).collect();
                let names = names.iter().flatten().map(VarName::as_str);
                wanted.extend(around.task_values(node, &node.task).secrets(names));
            }
            if node.actions().iter().any(writes_all) {
                wanted.extend(node.values.secrets());
            }
            if !wanted.is_empty() {
                by_node.insert(ix, wanted);
            }
        }
        Self { by_node }
    }

    /// Whether a node wants any.
    pub fn has(&self, node: NodeIx) -> bool {
        self.by_node.contains_key(&node)
    }
}

/// The secrets that a node can see and that cost nothing to read: not those of a store that the Envfile declares. A service
/// and a deploy want them all, since what they start may look for any.
fn at_hand(envfile: &Envfile, node: &ConfiguredTask) -> impl Iterator<Item = SecretId> {
    let visible = node.values.secrets();
    let costs = |secret: &Secret| secret.kept.as_ref().is_some_and(|kept| kept.store.is_declared());
    let specs = envfile.secrets(node.env.as_ref()).into_iter().filter(move |spec| !costs(&spec.secret));
    specs.map(|spec| (spec.project, spec.secret.name)).filter(move |id| visible.contains(id))
}

/// Whether a guard is to see what it mentions, and not only whether that is there by chance.
fn wants_values(guard: &Condition) -> bool {
    matches!(guard.kind, ConditionKind::Set(_) | ConditionKind::Exec { .. })
}

/// Whether a file is written that holds every secret.
fn writes_all(step: &Step<'_>) -> bool {
    matches!(step, Step::Render(render, _)
        if render.only != Some(Only::Vars) && !matches!(render.content, Content::Template(_)))
}

/// Whether the environment of a node, or one that it extends, has a guard.
fn is_guarded(around: &Surroundings<'_>, node: &ConfiguredTask) -> bool {
    scope_conditions(around.envfile, node, |scope| &scope.guard).next().is_some()
}

/// Asks stores for what the nodes of a run want, and opens their values. Nothing is asked for a node in `refused`
/// environments. A node that sees every variable is given what lies in the process environment and in files even if it
/// mentions nothing of it; but what a guard protects only if the guard was asked in any case, because something in the
/// environment is changed.
pub fn unseal(
    context: &Context,
    project: &Project,
    plan: &Plan,
    around: &Surroundings<'_>,
    (wants, held): (&Wants, &[(SecretId, String)]),
    refused: &BTreeSet<Option<EnvName>>,
) -> Unsealed {
    struct Group<'g> {
        values: &'g Arc<Values>,
        wanted: BTreeMap<SecretId, &'g str>,
        /// A node that sees every variable, and no guard that was not asked.
        all: bool,
    }
    let mut unsealed = Unsealed::default();
    let changing = plan.graph.iter().filter(|(_, node)| changes_something(node));
    let changed: BTreeSet<Option<EnvName>> = changing.map(|(_, node)| node.env.clone()).collect();
    let mut groups: Vec<Group<'_>> = Vec::new();
    for (ix, node) in plan.graph.iter() {
        if node.values.secrets().is_empty() || refused.contains(&node.env) {
            continue;
        }
        let at =
            groups.iter().position(|group| Arc::ptr_eq(group.values, &node.values)).unwrap_or_else(|| {
                groups.push(Group { values: &node.values, wanted: BTreeMap::new(), all: false });
                groups.len() - 1
            });
        for id in wants.by_node.get(&ix).into_iter().flatten() {
            groups[at].wanted.entry(id.clone()).or_insert(&node.label);
        }
        groups[at].all |= !node.task.is_cacheable()
            && !node.is_group()
            && (changed.contains(&node.env) || !is_guarded(around, node));
    }
    let mut secrets = Secrets::new(context, project, around.processes);
    secrets.held = held.to_vec();
    let missing = if plan.limits.dry_run { Missing::Pretend } else { Missing::Make };
    for group in groups {
        if group.wanted.is_empty() && !group.all && held.is_empty() {
            continue;
        }
        let held = held.iter().map(|(id, _)| id.clone());
        let wanted = Wanted::Only(group.wanted.keys().cloned().chain(held).collect());
        // Whoever wants one whose rotation was cut short may be given what its owner does not take.
        let env = group.values.env();
        for name in cut_short(project.root(), env) {
            if group.wanted.keys().any(|id| id.1.as_str() == name) {
                let place = env.map_or_else(String::new, |env| format!(" of `{env}`"));
                let ends = env.map_or_else(String::new, |env| format!(" {env}"));
                unsealed.notices.push((
                    format!("a rotation of `{name}`{place} was cut short: its owner may have the old value or the new one"),
                    Some(format!("`envrun secret rotate{ends} --due` brings it to an end")),
                ));
            }
        }
        let opened = secrets.open(group.values, &wanted, missing);
        unsealed.read_any |= opened.read_any;
        unsealed.pretended.extend(opened.pretended.into_iter().map(|id| (env.cloned(), id)));
        for notice in opened.notices {
            if !unsealed.notices.contains(&notice) {
                unsealed.notices.push(notice);
            }
        }
        let any = group.wanted.values().next().copied().unwrap_or_default();
        for absent in opened.absent {
            unsealed.refusals.push(Refusal {
                label: group.wanted.get(&absent.id).copied().unwrap_or(any).to_owned(),
                reason: format!("the secret `{}` is not set", absent.id.1),
                place: project.sources().place(absent.span),
                hint: Some(absent.hint),
            });
        }
        for refused in opened.refused {
            let place = if refused.place.is_empty() {
                let spec = project.envfile().secrets(group.values.env());
                spec.first().map_or_else(String::new, |spec| project.sources().place(spec.secret.span))
            } else {
                refused.place.clone()
            };
            unsealed.refusals.push(Refusal {
                label: any.to_owned(),
                reason: refused.to_string(),
                place,
                hint: refused.hint,
            });
        }
    }
    unsealed
}
