//! What goes into every stage of the pipeline, as it is the same on every machine.
//!
//! A key is made for one machine: it holds its tools and what its caller set. What a gate compares is less: the declared
//! input files that no task makes, and the declared values. Where a node's values cannot be worked out here (a variable
//! of another environment has no value on this machine), the node is not compared.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use crate::base::codec::Put;
use crate::base::{Digest, RelPath};
use crate::engine::surroundings::{Scene, Surroundings, state_label};
use crate::fingerprint::Prepared;
use crate::graph::{ConfiguredTask, NodeIx, TaskGraph};
use crate::model::{EnvName, NodeName, ProjectName, Stage};
use crate::record::StageInputs;
use crate::vars::{Layer, Lookup, Values};

use super::super::run::{Ready, Request};
use super::super::target::Asked;
use super::super::values::{AskedNames, ValueReader, caller_source};
use super::super::{Context, Problem, Project};

/// What goes into the stages of a project.
pub(super) struct Survey {
    /// Of each stage, by the label of its nodes.
    pub(super) inputs: BTreeMap<NodeName, BTreeMap<String, StageInputs>>,
    /// Whether a path is made by a task of the pipeline.
    pub(super) makes: Box<dyn Fn(&RelPath) -> bool>,
}

impl Survey {
    pub(super) fn make(
        context: &Context,
        project: &mut Project,
        set: &[(String, String)],
    ) -> Result<Self, Problem> {
        let stages: Vec<Stage> = project.envfile().stages.values().cloned().collect();
        let every: Vec<(NodeName, Vec<Asked>)> =
            stages.iter().map(|stage| (stage.name.clone(), targets(stage))).collect();
        let request = Request {
            targets: every.iter().flat_map(|(_, targets)| targets.iter().cloned()).collect(),
            set: set.to_vec(),
            ..Request::default()
        };
        if request.targets.is_empty() {
            let inputs = stages.into_iter().map(|stage| (stage.name, BTreeMap::new())).collect();
            return Ok(Self { inputs, makes: Box::new(|_| false) });
        }
        let ready = Ready::to_look_at(context, project, &request)?;
        let around = ready.surroundings(context, project, &request);
        let graph = &ready.plan.graph;
        let known: Vec<Option<(Scene, Option<Prepared>)>> =
            graph.iter().map(|(_, node)| understood(&around, node)).collect();
        let prepared = || known.iter().flatten().filter_map(|(_, prepared)| prepared.as_ref());
        let made = |path: &RelPath| prepared().any(|task| task.makes(path));
        let inputs_of: Vec<Option<(String, StageInputs)>> = graph
            .iter()
            .zip(&known)
            .map(|((_, node), known)| {
                let (scene, prepared) = known.as_ref()?;
                let files = match prepared {
                    Some(task) => around.workspace.digest_of_inputs(task, made).ok()?.to_hex(),
                    None => String::new(),
                };
                Some((state_label(node), StageInputs { files, values: values_of(node, scene) }))
            })
            .collect();
        let default = super::super::matching::chosen_environment(context, project, &Request::default())?;
        let mut inputs = BTreeMap::new();
        for stage in &stages {
            let env = stage.env.as_ref().map(|env| &env.value).or(default.as_ref());
            let nodes = nodes_of(graph, stage, env);
            let of = nodes.into_iter().filter_map(|node| inputs_of[node.index()].clone()).collect();
            inputs.insert(stage.name.clone(), of);
        }
        let prepared: Vec<Prepared> = prepared().cloned().collect();
        let makes = Box::new(move |path: &RelPath| prepared.iter().any(|task| task.makes(path)));
        // What was learned of files on the way serves the run that follows.
        let _ = around.workspace.save();
        Ok(Self { inputs, makes })
    }
}

/// What a stage runs, as it would be asked for on the command line.
pub(super) fn targets(stage: &Stage) -> Vec<Asked> {
    let name = |node: &crate::model::NodeRef| {
        let env = node.env.as_ref().or(stage.env.as_ref().map(|env| &env.value));
        match env {
            Some(env) => format!("{env}.{}", node.path),
            None => node.path.to_string(),
        }
    };
    stage.run.iter().map(|node| Asked { name: name(node), args: Vec::new() }).collect()
}

/// Every node that a stage runs or needs.
fn nodes_of(graph: &TaskGraph, stage: &Stage, env: Option<&EnvName>) -> BTreeSet<NodeIx> {
    let is_run = |node: &ConfiguredTask| {
        stage.run.iter().any(|one| {
            one.path == node.path && (node.env.is_none() || node.env.as_ref() == one.env.as_ref().or(env))
        })
    };
    let mut found = BTreeSet::new();
    let mut todo: Vec<NodeIx> = graph.targets().filter(|node| is_run(&graph[*node])).collect();
    while let Some(node) = todo.pop() {
        if found.insert(node) {
            todo.extend(graph.needs(node));
        }
    }
    found
}

/// A node's scene and, if it declares files, its patterns; nothing if its values cannot be worked out here.
fn understood(around: &Surroundings<'_>, node: &ConfiguredTask) -> Option<(Scene, Option<Prepared>)> {
    let scene = around.scene(node).ok()?;
    if node.task.inputs.is_none() && node.task.outputs.is_none() {
        return Some((scene, None));
    }
    let definition = around.definition(node, &scene).ok()?;
    let prepared = around.workspace.prepare(&definition).ok()?;
    Some((scene, Some(prepared)))
}

/// The digest of the declared values that a node reads. Of a secret only that it is one counts: what hashes it is drawn
/// for each user, and says nothing elsewhere.
fn values_of(node: &ConfiguredTask, scene: &Scene) -> String {
    let mut text = Vec::new();
    for name in &scene.names {
        let Lookup::Value { text: value, origin, secret } = scene.values.lookup(name.as_str()) else {
            continue;
        };
        if matches!(origin.layer, Layer::Caller | Layer::Given) {
            continue;
        }
        text.put_bytes(name.as_str().as_bytes());
        text.put(&[u8::from(secret)]);
        if !secret {
            text.put_bytes(value.as_bytes());
        }
    }
    for (name, value) in &node.args {
        text.put_bytes(name.as_bytes());
        text.put_bytes(value.as_bytes());
    }
    Digest::of(&text).to_hex()
}

/// The values of a stage's project in an environment, and the project's folder.
pub(super) fn values(
    context: &Context,
    project: &mut Project,
    stage: &Stage,
    env: Option<&EnvName>,
    set: &[(String, String)],
) -> Result<(Arc<Values>, PathBuf), Problem> {
    let owner = stage.name.as_str().rsplit_once(':').map_or("", |(owner, _)| owner);
    let owner = ProjectName::from(owner);
    let given = project.given(None, context.clock.now());
    let loaded = &mut project.loaded;
    let mut reader = ValueReader {
        envfile: &loaded.envfile,
        root: &loaded.root,
        sources: &mut loaded.sources,
        set,
        given,
        stages: [(env.cloned(), stage.name.clone())].into(),
        caller: caller_source(&context.caller, &AskedNames::default()),
        wrong: Vec::new(),
        unread: Vec::new(),
        asked: Vec::new(),
    };
    let values = reader.values(&owner, env);
    let (unread, wrong) = (reader.unread, reader.wrong);
    if let Some(error) = unread.into_iter().next() {
        return Err(error.into());
    }
    if super::super::has_errors(&wrong) {
        return Err(project.problem(wrong));
    }
    let folder = project.envfile().projects.get(&owner).map(|owner| owner.dir.below(project.root()));
    Ok((values, folder.unwrap_or_else(|| project.root().to_path_buf())))
}
