//! `call` actions: another task's actions, carried out in place.
//!
//! What a called task needs is needed by the caller: its actions count on it. Everything else that says how the called
//! task runs (its folder, its variables, its limits) gives way to the caller's.

use std::collections::HashMap;
use std::sync::Arc;

use crate::diag::{Diagnostic, Span};
use crate::model::{Action, EnvName, Envfile, Load, Node, NodePath, Task};

use super::build::{Key, aim, label};
use super::{Called, say, share};

/// How deep calls may nest: what carries them out does so by recursion.
const DEEPEST: usize = 64;

/// What the `call` actions of a task come to.
#[derive(Debug, Clone, Default)]
pub(super) struct Expansion {
    /// The called tasks, in the order of the actions.
    pub calls: Arc<[Called]>,
    /// What they and those that they call need, each once.
    pub needs: Vec<CalledNeed>,
    /// The environment patches one of them.
    pub patched: bool,
    /// The `load` actions of the called tasks: what is loaded, where that is written, and the environment that counts
    /// there.
    pub loads: Vec<(Load, Span, Option<EnvName>)>,
}

/// A need that comes with a call.
#[derive(Debug, Clone)]
pub(super) struct CalledNeed {
    /// What is needed.
    pub path: NodePath,
    /// In which environment.
    pub env: Option<EnvName>,
    /// The need or a call on the way to it names that environment.
    pub pinned: bool,
    /// Where the need is written.
    pub span: Span,
    /// The called task that needs it.
    pub of: NodePath,
    /// Where that one, or the one that calls it, is called.
    pub call: Span,
}

/// Expansions that are known already.
#[derive(Default)]
pub(super) struct Calls {
    known: HashMap<Key, Arc<Expansion>>,
    none: Arc<Expansion>,
}

impl Calls {
    /// Whether a task calls anything.
    pub fn has_any(task: &Task) -> bool {
        task.actions.iter().any(|action| matches!(action.value, Action::Call(_)))
    }

    /// The expansion of a task that calls nothing.
    pub fn none(&self) -> Arc<Expansion> {
        Arc::clone(&self.none)
    }

    /// Expands the calls of `task`, which is the node at `path` in `env`. What is wrong is added to `wrong`, once.
    pub fn expand(
        &mut self,
        envfile: &Envfile,
        path: &NodePath,
        env: Option<&EnvName>,
        task: &Task,
        wrong: &mut Vec<Diagnostic>,
    ) -> Arc<Expansion> {
        self.inner(envfile, (path, env, task), &mut Vec::new(), wrong)
    }

    /// `ring` holds the nodes on the way here, and where each calls the next one.
    fn inner(
        &mut self,
        envfile: &Envfile,
        (path, env, task): (&NodePath, Option<&EnvName>, &Task),
        ring: &mut Vec<(Key, Span)>,
        wrong: &mut Vec<Diagnostic>,
    ) -> Arc<Expansion> {
        if !Self::has_any(task) {
            return self.none();
        }
        let key: Key = (path.clone(), env.cloned());
        if let Some(known) = self.known.get(&key) {
            return Arc::clone(known);
        }
        let (mut calls, mut needs, mut patched) = (Vec::new(), Vec::<CalledNeed>::new(), false);
        let mut loads = Vec::new();
        for action in &task.actions {
            let Action::Call(called) = &action.value else { continue };
            let inner_key = aim(called, env);
            ring.push((key.clone(), called.span));
            if let Some(begin) = ring.iter().position(|(key, _)| *key == inner_key) {
                wrong.push(cycle(&ring[begin..]));
            } else if ring.len() > DEEPEST {
                wrong.push(say::calls_too_deep(&label(path, env), called.span, DEEPEST));
            } else {
                let asked = Some((label(path, env), called.span));
                match envfile.node(inner_key.1.as_ref(), &inner_key.0) {
                    Some(Node::Task(inner)) => {
                        let (inner_path, inner_env) = (&inner_key.0, inner_key.1.as_ref());
                        let inner_label = label(inner_path, inner_env);
                        let words = say::words_not_built(inner);
                        wrong.extend(
                            words.iter().map(|(word, span)| say::word_not_built(word, *span, &inner_label)),
                        );
                        let nested = self.inner(envfile, (inner_path, inner_env, inner), ring, wrong);
                        let pinned = called.env.is_some();
                        patched |= !pinned
                            && (nested.patched
                                || env.is_some_and(|env| share::is_patched(envfile, inner_path, env)));
                        let own = inner.needs.iter().map(|need| CalledNeed {
                            path: need.path.clone(),
                            env: need.env.as_ref().or(inner_env).cloned(),
                            pinned: pinned || need.env.is_some(),
                            span: need.span,
                            of: inner_path.clone(),
                            call: called.span,
                        });
                        let deeper = nested.needs.iter().map(|need| CalledNeed {
                            pinned: pinned || need.pinned,
                            call: called.span,
                            ..need.clone()
                        });
                        needs.extend(own.chain(deeper));
                        loads.extend(nested.loads.iter().cloned());
                        loads.extend(
                            loads_of(inner).map(|(load, span)| (load.clone(), span, inner_key.1.clone())),
                        );
                        calls.push(Called {
                            path: inner_path.clone(),
                            task: Arc::clone(inner),
                            calls: Arc::clone(&nested.calls),
                            span: called.span,
                        });
                    }
                    Some(node) => {
                        wrong.push(say::kind_not_built(&inner_key.0, inner_key.1.as_ref(), node, asked));
                    }
                    None => {
                        wrong.push(say::not_in_environment(
                            envfile,
                            &inner_key.0,
                            inner_key.1.as_ref(),
                            asked,
                        ));
                    }
                }
            }
            ring.pop();
        }
        // A task that is called in many ways is needed once.
        let mut seen = std::collections::HashSet::new();
        needs.retain(|need| seen.insert((need.path.clone(), need.env.clone())));
        let expansion = Arc::new(Expansion { calls: calls.into(), needs, patched, loads });
        self.known.insert(key, Arc::clone(&expansion));
        expansion
    }
}

/// The `load` actions of a task itself, and where each is written.
pub(super) fn loads_of(task: &Task) -> impl Iterator<Item = (&Load, Span)> {
    task.actions.iter().filter_map(|action| match &action.value {
        Action::Load(load) => Some((load, action.span)),
        _ => None,
    })
}

fn cycle(ring: &[(Key, Span)]) -> Diagnostic {
    let name = |at: usize| {
        let (path, env) = &ring[at % ring.len()].0;
        label(path, env.as_ref())
    };
    let steps: Vec<_> = (0..ring.len()).map(|at| (name(at), "calls", name(at + 1), ring[at].1)).collect();
    say::cycle(&steps)
}
