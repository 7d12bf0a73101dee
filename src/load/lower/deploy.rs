//! What is special to a deploy and to a snapshot.

use std::sync::Arc;

use crate::base::unit::parse_duration;
use crate::diag::{Diagnostic, Spanned};
use crate::model::{Deploy, EnvName, Keep, Snapshot, Task, Verify};

use super::super::patch::Patched;
use super::{Lower, command, count, count_prop, texts};

impl<'d> Lower<'d> {
    pub(super) fn deploy(
        &self,
        project: usize,
        env: Option<&'d EnvName>,
        patched: &Patched<'d>,
        task: Arc<Task>,
    ) -> Deploy {
        // Never cached, and covered by the guard of the environment.
        let mut task = task;
        Arc::make_mut(&mut task).mutates = true;
        let mut deploy = Deploy {
            revision: None,
            from: None,
            snapshots: Vec::new(),
            verify: Vec::new(),
            tag: None,
            keep: None,
            task,
        };
        for word in &patched.words {
            let node = word.node;
            match node.name.value.as_str() {
                "revision" => {
                    self.texts_are_known(project, word, &deploy.task.vars);
                    deploy.revision = texts(node).next();
                }
                "from" => {
                    deploy.from = self.environment_name(node);
                    if let Some(from) = deploy.from.as_ref().filter(|from| Some(&from.value) == env) {
                        let (name, env) = (&deploy.task.name, &from.value);
                        self.say(
                            Diagnostic::error("load/from-itself", format!("`{name}` of `{env}` would ship what `{env}` has itself"))
                                .at(from.span, "")
                                .help("name the environment where it is proved first; `envrun rollback` puts an earlier release back"),
                        );
                    }
                }
                "snapshot" => deploy.snapshots.extend(self.references(word)),
                "verify" => deploy.verify.push(Verify {
                    tasks: self.references(word),
                    hold: node.prop("for").and_then(|prop| parse_duration(prop.value.value.as_str()?)),
                    span: node.span,
                }),
                "tag" => {
                    self.texts_are_known(project, word, &deploy.task.vars);
                    deploy.tag = texts(node).next();
                }
                "keep" => deploy.keep = count(node),
                _ => {}
            }
        }
        if deploy.task.actions.is_empty()
            // One of an unknown environment has been said.
            && !patched.words.iter().any(|word| word.node.name.value == "from")
            && self.is_used(project, env, &deploy.task.name)
        {
            let name = &deploy.task.name;
            self.say(
                Diagnostic::error("load/empty-deploy", format!("a deploy does something: `{name}` has no `run`, `call`, `render` or `from`"))
                    .at(patched.span, "")
                    .help("say how it goes live: `run \"…\"`, `call \"task\"`, or `from \"uat\"` for what is proved there"),
            );
        }
        deploy
    }

    pub(super) fn snapshot(&self, patched: &Patched<'d>, task: Arc<Task>) -> Snapshot {
        let mut snapshot = Snapshot { save: None, restore: None, verify: None, keep: None, task };
        for word in &patched.words {
            let node = word.node;
            let run = || command(node).map(|command| Spanned::new(command, node.span));
            match node.name.value.as_str() {
                "save" => snapshot.save = run(),
                "restore" => snapshot.restore = run(),
                "verify" => snapshot.verify = run(),
                "keep" => {
                    let count = |key| count_prop(node, key).unwrap_or(0);
                    snapshot.keep = Some(Keep {
                        last: count("last"),
                        daily: count("daily"),
                        weekly: count("weekly"),
                        monthly: count("monthly"),
                    });
                }
                _ => {}
            }
        }
        snapshot
    }
}
