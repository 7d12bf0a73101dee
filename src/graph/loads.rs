//! `load` actions: the snapshots at both ends, and the task between them.
//!
//! The snapshots are no nodes of the graph: the data never become a copy, and nothing else may see them. What the task
//! between them needs is needed by the node that loads.

use std::sync::Arc;

use crate::diag::{Diagnostic, Span};
use crate::model::{EnvName, Load, Node, NodeRef, Task};

use super::build::{Builder, Link, ValuesOf, label, with_rendered};
use super::call::{Expansion, loads_of};
use super::{ConfiguredTask, Loaded};

/// A `load` action, where it is written, and the environment that counts there.
type Written<'l> = (&'l Load, Span, Option<EnvName>);

impl<'a> Builder<'a> {
    /// The `load` actions of a node, those of called tasks included.
    fn written<'l>(&self, visit: usize, task: &'l Task, expansion: &'l Expansion) -> Vec<Written<'l>> {
        let env = self.visits.env(visit);
        let own = loads_of(task).map(|(load, span)| (load, span, env.cloned()));
        own.chain(expansion.loads.iter().map(|(load, span, env)| (load, *span, env.clone()))).collect()
    }

    /// What the tasks need through which data are loaded.
    pub(super) fn needs_of_loads(&mut self, visit: usize, task: &Task, expansion: &Expansion) -> Vec<Link> {
        let mut links = Vec::new();
        for (load, _, env) in self.written(visit, task, expansion) {
            let Some(through) = &load.through else { continue };
            let Some((inner, Node::Task(task))) = self.aimed(through, env.as_ref(), visit) else { continue };
            let slot = self.visits.env_slot(inner);
            for need in &task.needs {
                if let Some(need_visit) = self.aim(need, slot, inner) {
                    let pinned = need.env.is_some();
                    links.push(Link { visit: need_visit, span: need.span, pinned, through: None });
                }
            }
            for need in &self.expand(inner, task).needs {
                let slot = self.visits.slot(need.env.as_ref());
                if let Some(need_visit) = self.entry(&need.path, slot, Some((inner, need.span))) {
                    links.push(Link {
                        visit: need_visit,
                        span: need.span,
                        pinned: need.pinned,
                        through: None,
                    });
                }
            }
        }
        links
    }

    /// What the `load` actions of a node come to.
    pub(super) fn loads(
        &mut self,
        visit: usize,
        task: &Task,
        expansion: &Expansion,
        values: &mut ValuesOf<'_>,
    ) -> Arc<[Loaded]> {
        let mut loads: Vec<Loaded> = Vec::new();
        let written = self.written(visit, task, expansion);
        if let (Some((load, span, _)), false) = (expansion.loads.first(), task.mutates) {
            let message = format!(
                "`{}` calls what loads `{}`, so it changes its environment",
                self.visits.label(visit),
                load.snapshot.path
            );
            self.say(
                Diagnostic::error("graph/load", message)
                    .at(task.span, "declared here")
                    .at(*span, "the load")
                    .help("say so: `mutates #true`"),
            );
        }
        for (load, span, env) in written {
            // Of the environment: the one of the snapshot that is loaded must be another one's.
            let here = NodeRef { env: env.clone(), ..load.snapshot.clone() };
            let from = self.snapshot(&load.snapshot, env.as_ref(), visit, span, values);
            let to = from.as_ref().and_then(|_| self.snapshot(&here, env.as_ref(), visit, span, values));
            let through = load.through.as_ref().map(|task| self.through(task, env.as_ref(), visit, values));
            let (Some(from), Some(to)) = (from, to) else { continue };
            if from.env == to.env {
                let message =
                    format!("`load \"{}\"` would put data back where they come from", load.snapshot.path);
                self.say(
                    Diagnostic::error("graph/load", message)
                        .at(span, "")
                        .help("name the environment whose data it is: `load \"prod.db\"`"),
                );
                continue;
            }
            let through = match through {
                Some(None) => continue,
                Some(through) => through,
                None => None,
            };
            if let Some(other) = loads.iter().find(|other| other.span == span) {
                if other.to.env != to.env {
                    let message = "one `load` is called for two environments".to_owned();
                    self.say(
                        Diagnostic::error("graph/load", message)
                            .at(span, "")
                            .help("call it once for each, in tasks of their own"),
                    );
                }
                continue;
            }
            loads.push(Loaded { span, from, to, through, is_stored: load.at.is_some() });
        }
        loads.into()
    }

    fn aimed(
        &mut self,
        reference: &NodeRef,
        env: Option<&EnvName>,
        from: usize,
    ) -> Option<(usize, &'a Node)> {
        let slot = self.visits.slot(env);
        let visit = self.aim(reference, slot, from)?;
        Some((visit, self.visits.definition(visit)?))
    }

    fn snapshot(
        &mut self,
        reference: &NodeRef,
        env: Option<&EnvName>,
        from: usize,
        span: Span,
        values: &mut ValuesOf<'_>,
    ) -> Option<ConfiguredTask> {
        let (visit, definition) = self.aimed(reference, env, from)?;
        if let Node::Snapshot(_) = definition {
            return Some(self.configured(visit, definition, values));
        }
        let message = format!(
            "`{}` is a {}, and only a snapshot can be loaded",
            self.visits.label(visit),
            definition.kind()
        );
        self.say(
            Diagnostic::error("graph/load", message).at(span, "").at(definition.span(), "declared here"),
        );
        None
    }

    fn through(
        &mut self,
        reference: &NodeRef,
        env: Option<&EnvName>,
        from: usize,
        values: &mut ValuesOf<'_>,
    ) -> Option<ConfiguredTask> {
        let (visit, definition) = self.aimed(reference, env, from)?;
        match definition {
            Node::Task(task) if !task.is_group() => Some(self.configured(visit, definition, values)),
            _ => {
                let message =
                    format!("`{}` rewrites nothing: it is no task with commands", self.visits.label(visit));
                self.say(
                    Diagnostic::error("graph/load", message)
                        .at(reference.span, "")
                        .help("`through=` names the task that rewrites the data in `$SNAPSHOT`"),
                );
                None
            }
        }
    }

    /// A node as it is in its environment, which does not become one of the graph.
    fn configured(
        &mut self,
        visit: usize,
        definition: &'a Node,
        values: &mut ValuesOf<'_>,
    ) -> ConfiguredTask {
        let task = definition.task();
        let expansion = self.expand(visit, task);
        let (path, env) = (self.visits.path(visit), self.visits.env(visit).cloned());
        let values = self.visits.values(visit, false, values);
        let names = self.reads(env.as_ref(), definition);
        ConfiguredTask {
            label: label(&path, env.as_ref()),
            reads: Arc::new(with_rendered(names, task, &expansion.calls, &values)),
            values,
            path,
            env,
            task: Arc::clone(task),
            calls: Arc::clone(&expansion.calls),
            loads: Arc::default(),
            args: Vec::new(),
            given: Vec::new(),
            target: false,
            special: (definition.kind() != "task").then(|| definition.clone()),
            follow_up: self.follow_up,
        }
    }
}
