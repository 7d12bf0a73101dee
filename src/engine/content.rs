//! What a service rests on beside its values: what the tasks made that it needs, and the files that it watches.
//!
//! A service runs with what it read when it was started. So the digest of all that travels with its definition, and one
//! that runs with another content is started again, in a session and by any command that needs it. Content decides: a
//! build that makes the same again, or a file that is only touched, restarts nothing.

use std::sync::mpsc::Sender;

use crate::base::Digest;
use crate::event::{Failure, Outcome};
use crate::graph::NodeIx;
use crate::model::{Gate, Service};
use crate::service::Begun;
use crate::service::part::{FILES, Part};

use super::action::{Actions, no_outputs, unfingerprinted};
use super::dispatcher::Message;
use super::memory::at_rest;
use super::service::Serve;
use super::surroundings::state_label;

/// What a service rests on.
struct Content {
    /// What makes it start again; `None` if a dry run cannot know.
    own: Option<Digest>,
    /// What flows on to the keys of those who need it: its own, and that of the services it needs.
    outputs: Digest,
    /// What its own is made of.
    parts: Vec<(Part, Digest)>,
}

impl Actions<'_> {
    /// Has a service up, with what it depends on as it is now.
    pub(super) fn serve(&self, node: NodeIx, service: &Service, send: &Sender<Message>) -> Outcome {
        let configured = &self.plan.graph[node];
        let mut content = match self.content(node) {
            Ok(content) => content,
            Err(failure) => return self.failed(configured, failure, false),
        };
        let serve = Serve {
            around: self.around,
            graph: &self.plan.graph,
            room: &self.room,
            dry_run: self.plan.limits.dry_run,
            forced: self.plan.is_forced(node),
        };
        let spec = match serve.spec(node, service, content.own, std::mem::take(&mut content.parts)) {
            Ok(spec) => spec,
            Err(outcome) => return outcome,
        };
        let label = state_label(configured);
        let with = mixed([spec.identity, content.own.unwrap_or_else(no_outputs)]);
        // With the same it would fail the same, and every saved file would start it again; who presses `r` forces it.
        if let Some(memory) = self.around.memory
            && let Some(Some(failed)) = memory.ended(&label, &with)
            && !serve.is_up(configured, &spec)
        {
            return failed;
        }
        // What was to come to its end has done so, for the same: a saved file that it does not read is no reason to begin anew.
        let gate = self.plan.graph.gates(node).last().copied().unwrap_or_default();
        if let Some(memory) = self.around.memory.filter(|_| !serve.forced && gate == Gate::Completed)
            && memory.ended(&label, &with) == Some(None)
            && serve.is_completed(configured, &spec)
        {
            self.set_outputs(node, content.outputs);
            return Outcome::Up { begun: Begun::Already, gate, urls: spec.urls };
        }
        if self
            .around
            .memory
            .is_some_and(|memory| memory.rests() && memory.ended(&label, &with) == Some(None))
            && !serve.is_up(configured, &spec)
        {
            return at_rest();
        }
        let outcome = serve.serve(node, spec, send);
        if let Outcome::Up { .. } = outcome {
            self.set_outputs(node, content.outputs);
        }
        if let Some(memory) = self.around.memory {
            match &outcome {
                // Whoever needs it and always runs has a reason to.
                Outcome::Up { begun, .. } if *begun != Begun::Already => memory.remember(&label, with, None),
                Outcome::Failed { .. } => memory.remember(&label, with, Some(outcome.clone())),
                _ => {}
            }
        }
        outcome
    }

    fn content(&self, node: NodeIx) -> Result<Content, Failure> {
        let Ok(needs) = self.needs(node) else {
            return Ok(Content { own: None, outputs: no_outputs(), parts: Vec::new() });
        };
        let of_services: Vec<bool> =
            self.plan.graph.needs(node).map(|need| self.plan.graph[need].kind() == "service").collect();
        let made = |of_service: bool| {
            let needs = needs.iter().zip(&of_services).filter(move |(_, is)| **is == of_service);
            needs.map(|(need, _)| need).filter(|need| need.outputs != no_outputs())
        };
        let mut own: Vec<Digest> = made(false).map(|need| need.outputs).collect();
        let mut parts: Vec<(Part, Digest)> =
            made(false).map(|need| (Part::Need(need.label.clone()), need.outputs)).collect();
        if let Some(prepared) = self.prepared(node)? {
            let fingerprint = self.around.workspace.fingerprint(prepared, &[]).map_err(unfingerprinted)?;
            own.push(fingerprint.identity());
            if fingerprint.files() > FILES {
                parts.push((Part::Files, fingerprint.identity()));
            } else {
                let files = self.around.workspace.contents(&fingerprint).into_iter();
                parts.extend(files.map(|(path, digest)| (Part::File(path), digest)));
            }
            if let Some(memory) = self.around.memory {
                memory.set_read(&state_label(&self.plan.graph[node]), fingerprint.clone());
                self.set_read(node, fingerprint);
            }
        }
        let own = mixed(own);
        let outputs = mixed(
            [own].into_iter().filter(|own| *own != no_outputs()).chain(made(true).map(|need| need.outputs)),
        );
        Ok(Content { own: Some(own), outputs, parts })
    }
}

/// One digest of several; of none that of no outputs.
fn mixed(digests: impl IntoIterator<Item = Digest>) -> Digest {
    let mut digests = digests.into_iter().peekable();
    if digests.peek().is_none() {
        return no_outputs();
    }
    let mut hasher = blake3::Hasher::new();
    digests.for_each(|digest| _ = hasher.update(digest.as_bytes()));
    hasher.finalize().into()
}
