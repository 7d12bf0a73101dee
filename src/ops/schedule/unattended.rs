//! Schedules of nodes that want a person.

use std::collections::BTreeSet;

use crate::diag::Diagnostic;
use crate::engine::surroundings::scope_conditions;
use crate::model::{Condition, ConditionKind};
use crate::ops::guard::changes_something;
use crate::ops::run::{Ready, Request};
use crate::ops::secret::Wants;
use crate::ops::target::Asked;
use crate::ops::{Context, Project};

/// Warns of every schedule whose run would ask for a word to be typed, or wants a terminal: nobody is there then. Nothing is
/// executed, and no secret read.
pub fn unattended(context: &Context, project: &mut Project) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    for schedule in project.envfile().schedules.clone() {
        let targets = vec![Asked { name: schedule.label(), args: Vec::new() }];
        let request = Request { targets, dry_run: true, ..Request::default() };
        // What keeps it from being looked at is said by whoever runs it.
        let Ok(ready) = Ready::to_look_at(context, project, &request) else { continue };
        let around = ready.surroundings(context, project, &request);
        let wants = Wants::of(&ready.plan.graph, &around, true);
        for (ix, node) in ready.plan.graph.iter() {
            let mut guards: Vec<&Condition> = node.task.guard.iter().collect();
            if changes_something(node) || wants.has(ix) {
                guards.extend(scope_conditions(project.envfile(), node, |scope| &scope.guard));
            }
            for guard in guards {
                let ConditionKind::Confirm(word) = &guard.kind else { continue };
                if seen.insert((schedule.node.span, guard.span)) {
                    found.push(
                        Diagnostic::warning(
                            "check/unattended",
                            format!(
                                "every run of this schedule is refused: nobody is there to type `{word}`, which `{}` wants",
                                node.label
                            ),
                        )
                        .at(schedule.node.span, "")
                        .at(guard.span, "wanted here")
                        .help("schedule what stands behind no `confirm`, or put that guard on what a person does"),
                    );
                }
            }
            if node.task.interactive && seen.insert((schedule.node.span, node.task.span)) {
                found.push(
                    Diagnostic::warning(
                        "check/unattended",
                        format!(
                            "`{}` is interactive, and no terminal is there when this schedule runs it",
                            node.label
                        ),
                    )
                    .at(schedule.node.span, "")
                    .help("schedule something that asks nobody"),
                );
            }
        }
    }
    found
}
