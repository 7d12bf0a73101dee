//! The graph of what is asked for, with the values that the caller gives.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::graph::{self, Target, TaskGraph};
use crate::model::{EnvName, NodeName};
use crate::ops::seal::Asked;
use crate::ops::values::{AskedNames, ValueReader, caller_source};
use crate::ops::{Context, Problem, Project, has_errors};
use crate::record::RunId;
use crate::vars::Source;

/// The graph of targets: for a run, or, without one, to look at.
pub fn graph_of(
    context: &Context,
    project: &mut Project,
    targets: &[Target],
    set: &[(String, String)],
    run: Option<&RunId>,
) -> Result<(TaskGraph, Asked), Problem> {
    let graph = graph_as_read(context, project, targets, set, run);
    if !project.envfile().is_torn() {
        return graph;
    }
    project.read_texts()?;
    graph_as_read(context, project, targets, set, run)
}

/// The graph as far as what was read of the Envfile tells.
fn graph_as_read(
    context: &Context,
    project: &mut Project,
    targets: &[Target],
    set: &[(String, String)],
    run: Option<&RunId>,
) -> Result<(TaskGraph, Asked), Problem> {
    let given = project.given(run, context.clock.now());
    let was_asked = Arc::new(AtomicBool::new(false));
    let given: Source = {
        let was_asked = Arc::clone(&was_asked);
        Arc::new(move |name: &str| {
            was_asked.store(true, Ordering::Relaxed);
            given(name)
        })
    };
    let names = AskedNames::default();
    let stages = stages_of(targets)?;
    let loaded = &mut project.loaded;
    let mut values = ValueReader {
        envfile: &loaded.envfile,
        root: &loaded.root,
        sources: &mut loaded.sources,
        set,
        given,
        stages,
        caller: caller_source(&context.caller, &names),
        wrong: Vec::new(),
        unread: Vec::new(),
        asked: Vec::new(),
    };
    let build = if run.is_some() { graph::build } else { graph::sketch };
    let graph = build(&loaded.envfile, targets, &mut |project, env| values.values(project, env));
    if let Some(error) = values.unread.into_iter().next() {
        return Err(error.into());
    }
    let mut wrong = values.wrong;
    let files = values.asked;
    if let (Ok(graph), true) = (&graph, run.is_some()) {
        wrong.extend(graph::meetings(graph));
    }
    match graph {
        Ok(graph) if !has_errors(&wrong) => Ok((graph, Asked { names, files, given: was_asked })),
        Ok(_) => Err(project.problem(wrong)),
        Err(diagnostics) => {
            wrong.extend(diagnostics);
            Err(project.problem(wrong))
        }
    }
}

/// The stage that each environment's nodes run in, as the targets name it.
fn stages_of(targets: &[Target]) -> Result<BTreeMap<Option<EnvName>, NodeName>, Problem> {
    let mut stages: BTreeMap<Option<EnvName>, NodeName> = BTreeMap::new();
    for target in targets {
        let Some(stage) = &target.stage else { continue };
        match stages.insert(target.env.clone(), stage.clone()) {
            Some(other) if other != *stage => {
                return Err(Problem::usage(
                    format!("`{other}.…` and `{stage}.…` are nodes of two stages in one environment"),
                    Some("run one stage after the other".into()),
                ));
            }
            _ => {}
        }
    }
    Ok(stages)
}

/// `--set` gives values to names that are declared; another name is a mistake.
pub(in crate::ops) fn declared_sets(project: &Project, set: &[(String, String)]) -> Result<(), Problem> {
    if set.is_empty() {
        return Ok(());
    }
    let envfile = project.envfile();
    let (mut known, mut secrets) = (BTreeSet::new(), BTreeSet::new());
    for project in envfile.projects.values() {
        for scope in std::iter::once(&project.base).chain(project.overlays.values()) {
            known.extend(scope.vars.keys().map(ToString::to_string));
            secrets.extend(scope.secrets.keys().map(ToString::to_string));
            for node in scope.nodes.values() {
                known.extend(node.task().vars.keys().map(ToString::to_string));
            }
        }
    }
    for (name, _) in set {
        if !known.contains(name) && secrets.contains(name) {
            return Err(Problem::usage(
                format!(
                    "`{name}` is a secret: its value is never an argument, where everybody could read it"
                ),
                Some(format!("`envrun secret set ENV {name}` asks for it, or reads it from standard input")),
            ));
        }
        if !known.contains(name) {
            let hint = crate::diag::did_you_mean(name, known.iter().map(String::as_str));
            return Err(Problem::usage(
                format!("`--set {name}=…`: there is no variable `{name}` in the Envfile"),
                hint.or_else(|| Some("declare it in `vars`".into())),
            ));
        }
    }
    Ok(())
}
