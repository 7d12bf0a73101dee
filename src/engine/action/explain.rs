//! Why a node is executed, in words.

use crate::event::Because;
use crate::fingerprint::{Difference, Manifest};
use crate::graph::{NodeIx, Step};
use crate::model::CacheMode;

use super::super::deploy::Deployment;
use super::super::memory::Memory;
use super::super::surroundings::state_label;
use super::Actions;

impl Actions<'_> {
    pub(super) fn because(&self, node: NodeIx) -> Because {
        let reasons = self.reasons(node);
        Because {
            more: reasons.len().saturating_sub(1),
            reason: reasons.into_iter().next().unwrap_or_default(),
        }
    }

    /// Why a node is executed: everything that differs, in words that stand after "because". Never empty.
    pub fn reasons(&self, node: NodeIx) -> Vec<String> {
        let task = &self.plan.graph[node].task;
        if let Some(stale) = &*self.slot_stale(node)
            && !stale.reasons.is_empty()
        {
            // Executed before in this session, and nothing was kept of that.
            if stale.reasons == [Difference::NeverRan]
                && let Some(memory) = self.around.memory
                && let Some(reason) = memory.why_no_result(&state_label(&self.plan.graph[node]))
            {
                return vec![reason];
            }
            let words = |difference: &Difference| match difference {
                Difference::Forced => self.around.forced.to_owned(),
                other => other.words(),
            };
            return stale.reasons.iter().map(words).collect();
        }
        let known = |memory: &Memory| memory.has_run(&state_label(&self.plan.graph[node]));
        let reason = if self.plan.graph[node].kind() == "snapshot" {
            "a copy is made whenever it is asked for"
        } else if self.around.memory.is_some_and(known) && !self.plan.is_forced(node) {
            "what it needs is not what it was"
        } else if self.plan.is_forced(node) {
            self.around.forced
        } else if task.done.is_some() {
            "its `done` is not true yet"
        } else if task.mutates {
            "it changes something outside"
        } else if task.cache == CacheMode::Never {
            "its `cache` is #false"
        } else {
            "it has no inputs or outputs, so it always runs"
        };
        vec![reason.to_owned()]
    }

    /// Everything that differs from an earlier manifest of the node, in words; `None` if a dry run cannot know, because
    /// something that it needs would run first.
    pub fn differences(&self, node: NodeIx, earlier: &Manifest) -> Option<Vec<Difference>> {
        let prepared = self.prepared(node).ok()??;
        let needs = self.needs(node).ok()?;
        let fingerprint = self.around.workspace.fingerprint(prepared, &needs).ok()?;
        let today = self.around.workspace.manifest(prepared, &fingerprint);
        Some(Manifest::diff(earlier, &today))
    }

    /// Its commands, as they are shown.
    pub fn commands(&self, node: NodeIx) -> Vec<String> {
        let configured = &self.plan.graph[node];
        let scene = self.known(node).ok().map(|known| &known.scene);
        let show = |step| match step {
            Step::Run(command, _) => {
                let values = scene.map(|scene| &scene.values);
                let shown = values
                    .and_then(|values| self.around.interpolated(command, values, &configured.task).ok());
                shown.as_ref().unwrap_or(command).display()
            }
            Step::Render(render, _) => {
                let path = scene
                    .and_then(|scene| crate::engine::render::path(render, &scene.dir, &scene.values).ok());
                format!(
                    "render {}",
                    path.map_or_else(|| render.path.value.clone(), |path| path.display().into_owned())
                )
            }
            Step::Called(called) => format!("call {}", called.path),
            Step::Load(load, _) => crate::engine::snapshot::shown(load, scene.map(|scene| &scene.values)),
        };
        let deployment = self.around.deploys.and_then(|deploys| deploys.list.get(&node));
        // Data are put back: what saves them stands behind that.
        if deployment.is_some_and(Deployment::is_restore)
            && let Some(restore) =
                crate::engine::snapshot::definition(configured).and_then(|it| it.restore.as_ref())
        {
            return vec![show(Step::Run(&restore.value, restore.span))];
        }
        configured.actions().into_iter().map(show).collect()
    }
}
