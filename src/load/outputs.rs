//! Tasks that would write over each other's outputs.
//!
//! What is written out plainly is compared once for all environments. What mentions a variable, and what an environment
//! declares for itself, is compared in each environment that a run can be in, with the values it has there. A variable
//! without a value yet (an argument, a revision) stands for itself, so that the same text still is the same place.
//!
//! A name written out covers everything below it, so `dist` and `dist/app.js` are one place too.

use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::base::RelPath;
use crate::base::glob::Pattern;
use crate::diag::{Diagnostic, Span};
use crate::model::{EnvName, Envfile, Node, NodePath, ProjectName, Task};
use crate::vars::{Form, Request, TaskValues, Values, interpolate};

/// An output, and whose it is.
#[derive(Debug, Clone)]
struct Output {
    /// By its place in the list of owners.
    owner: u32,
    span: Span,
    pattern: Pattern,
    /// What the same task excludes with `!`.
    except: Arc<[Pattern]>,
}

/// Every pair of outputs of two tasks that can be the same place.
pub(super) fn overlaps(envfile: &Envfile) -> Vec<Diagnostic> {
    let mut check = Check::default();
    let mut plain = Index::default();
    let mut varying: Vec<(u32, &Arc<Task>)> = Vec::new();
    let mut by_path: HashMap<NodePath, u32> = HashMap::new();
    for project in envfile.projects.values() {
        for (name, node) in &project.base.nodes {
            let Node::Task(task) = node else { continue };
            if !task.writes() {
                continue;
            }
            let path = NodePath { project: project.name.clone(), name: name.clone() };
            let owner = check.owner(&path);
            by_path.insert(path, owner);
            if mentions_variables(task) {
                varying.push((owner, task));
                continue;
            }
            for output in outputs(owner, task, &mut |text| text.to_owned()) {
                check.add(&mut plain, output);
            }
        }
    }
    for output in plain.all() {
        check.above(&plain, output, None);
    }
    let environments: Vec<Option<&EnvName>> = if envfile.environments.is_empty() {
        vec![None]
    } else {
        envfile.concrete_environments().map(|env| Some(&env.name)).collect()
    };
    for env in environments {
        let overlays = envfile
            .projects
            .values()
            .filter_map(|project| Some((&project.name, &project.overlays.get(env?)?.nodes)));
        let patched: Vec<(NodePath, &Node)> = overlays
            .flat_map(|(project, nodes)| {
                nodes
                    .iter()
                    .map(|(name, node)| (NodePath { project: project.clone(), name: name.clone() }, node))
            })
            .collect();
        if patched.is_empty() && varying.is_empty() {
            continue;
        }
        // Here the patched definition counts, not the one it patches.
        let mut hidden: HashSet<u32> = HashSet::new();
        let mut here: Vec<(u32, &Arc<Task>)> = Vec::new();
        for (path, node) in patched {
            hidden.extend(by_path.get(&path));
            if let Node::Task(task) = node {
                let owner = by_path.get(&path).copied().unwrap_or_else(|| check.owner(&path));
                here.push((owner, task));
            }
        }
        here.extend(varying.iter().filter(|(owner, _)| !hidden.contains(owner)));
        let mut values: HashMap<ProjectName, Arc<Values>> = HashMap::new();
        let mut index = Index::default();
        for (owner, task) in here {
            let project = check.owners[owner as usize].project.clone();
            let values =
                values.entry(project).or_insert_with_key(|project| known_values(envfile, project, env));
            let values = TaskValues::new(values, task, defaults(task));
            let mut fill = |text: &str| {
                let mut lookup = |name: &str| {
                    let value = values.lookup(name).text().map(|text| text.to_string());
                    Some(value.unwrap_or_else(|| format!("\u{1}{name}\u{1}")))
                };
                interpolate(text, Form::Text, &mut lookup)
                    .map_or_else(|_| text.to_owned(), std::borrow::Cow::into_owned)
            };
            for output in outputs(owner, task, &mut fill) {
                check.above(&plain, &output, Some(&hidden));
                check.below(&plain, &output, &hidden);
                check.add(&mut index, output);
            }
        }
        for output in index.all() {
            check.above(&index, output, None);
        }
    }
    check.diagnostics
}

/// The values as far as they are known without a run.
fn known_values(envfile: &Envfile, project: &ProjectName, env: Option<&EnvName>) -> Arc<Values> {
    let nothing: crate::vars::Source = Arc::new(|_: &str| None);
    let request = Request {
        envfile,
        project,
        env,
        dotenv: &[],
        set: &[],
        given: Arc::clone(&nothing),
        caller: nothing,
    };
    Arc::new(Values::resolve(&request).0)
}

fn defaults(task: &Task) -> Vec<(String, String)> {
    let with_default =
        task.args.iter().filter_map(|arg| Some((arg.variable(), arg.default.as_ref()?.to_string())));
    with_default.collect()
}

fn mentions_variables(task: &Task) -> bool {
    let rendered = task.renders().map(|render| &render.path);
    task.dir.value.contains('$')
        || task.outputs.iter().flatten().chain(rendered).any(|output| output.value.contains('$'))
}

/// The outputs of a task, their texts filled in. One that lies outside the project has been refused already.
fn outputs(owner: u32, task: &Task, fill: &mut dyn FnMut(&str) -> String) -> Vec<Output> {
    let Ok(dir) = RelPath::root().resolve(&fill(&task.dir.value)) else { return Vec::new() };
    let texts = || task.outputs.iter().flatten();
    let except: Arc<[Pattern]> = texts()
        .filter_map(|output| Pattern::parse(&dir, &fill(output.value.strip_prefix('!')?)).ok())
        .collect::<Vec<_>>()
        .into();
    let rendered: Vec<Output> = task
        .renders()
        .filter_map(|render| {
            let pattern = Pattern::Literal(dir.resolve(&fill(&render.path.value)).ok()?);
            Some(Output { owner, span: render.path.span, pattern, except: Arc::default() })
        })
        .collect();
    texts()
        .filter(|output| !output.value.starts_with('!'))
        .filter_map(|output| {
            let pattern = Pattern::parse(&dir, &fill(&output.value)).ok()?;
            Some(Output { owner, span: output.span, pattern, except: Arc::clone(&except) })
        })
        .chain(rendered)
        .collect()
}

/// Outputs by place.
#[derive(Default)]
struct Index {
    /// Those written out, by path.
    literal: HashMap<RelPath, Output>,
    /// Those with wildcards, by the folders below which they can match.
    globs: HashMap<RelPath, Vec<Output>>,
    /// The paths and folders of both, sorted; only where something asks what lies below a folder.
    sorted: OnceCell<Vec<RelPath>>,
}

impl Index {
    fn all(&self) -> impl Iterator<Item = &Output> {
        self.literal.values().chain(self.globs.values().flatten())
    }

    /// What is written out as `path`, and what can match below it.
    fn at(&self, path: &[u8]) -> impl Iterator<Item = &Output> {
        self.literal.get(path).into_iter().chain(self.globs.get(path).into_iter().flatten())
    }
}

/// The path or folders that an output is found by.
fn places(output: &Output) -> Vec<&RelPath> {
    match &output.pattern {
        Pattern::Literal(path) => vec![path],
        Pattern::Glob(glob) => glob.alternatives().iter().map(|alternative| &alternative.prefix).collect(),
    }
}

#[derive(Default)]
struct Check {
    owners: Vec<NodePath>,
    told: HashSet<[Span; 2]>,
    diagnostics: Vec<Diagnostic>,
}

impl Check {
    fn owner(&mut self, path: &NodePath) -> u32 {
        self.owners.push(path.clone());
        u32::try_from(self.owners.len() - 1).expect("fewer than four billion tasks")
    }

    fn add(&mut self, index: &mut Index, output: Output) {
        match &output.pattern {
            Pattern::Literal(path) => match index.literal.entry(path.clone()) {
                // The first stands for all that are the same.
                std::collections::hash_map::Entry::Occupied(first) => self.compare(first.get(), &output),
                std::collections::hash_map::Entry::Vacant(free) => drop(free.insert(output)),
            },
            Pattern::Glob(glob) => {
                let mut prefixes: Vec<RelPath> =
                    glob.alternatives().iter().map(|alternative| alternative.prefix.clone()).collect();
                prefixes.sort();
                prefixes.dedup();
                for prefix in prefixes {
                    index.globs.entry(prefix).or_default().push(output.clone());
                }
            }
        }
    }

    /// Compares an output with what is at its place or above it.
    fn above(&mut self, index: &Index, output: &Output, hidden: Option<&HashSet<u32>>) {
        for place in places(output) {
            let bytes = place.as_bytes();
            let ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
            for end in ends.chain([0, bytes.len()]) {
                for other in index.at(&bytes[..end]) {
                    if hidden.is_none_or(|hidden| !hidden.contains(&other.owner)) {
                        self.compare(other, output);
                    }
                }
            }
        }
    }

    /// Compares an output with what is below its place.
    fn below(&mut self, index: &Index, output: &Output, hidden: &HashSet<u32>) {
        let sorted = index.sorted.get_or_init(|| {
            let mut sorted: Vec<RelPath> = index.literal.keys().chain(index.globs.keys()).cloned().collect();
            sorted.sort();
            sorted.dedup();
            sorted
        });
        for place in places(output) {
            let from = sorted.partition_point(|path| path <= place);
            // Bytewise `a-b` stands between `a` and `a/b`.
            let below =
                sorted[from..].iter().take_while(|path| path.as_bytes().starts_with(place.as_bytes()));
            for path in below.filter(|path| path.starts_with(place)) {
                for other in index.at(path.as_bytes()).filter(|other| !hidden.contains(&other.owner)) {
                    self.compare(other, output);
                }
            }
        }
    }

    fn compare(&mut self, one: &Output, other: &Output) {
        let (first, second) = if one.span <= other.span { (one, other) } else { (other, one) };
        let excluded = |output: &Output, from: &Output| matches!(&output.pattern, Pattern::Literal(path) if from.except.iter().any(|except| except.covers(path)));
        if first.owner == second.owner
            || !first.pattern.overlaps(&second.pattern)
            || excluded(first, second)
            || excluded(second, first)
            || !self.told.insert([first.span, second.span])
        {
            return;
        }
        let (a, b) = (&self.owners[first.owner as usize], &self.owners[second.owner as usize]);
        self.diagnostics.push(
            Diagnostic::error(
                "load/outputs",
                format!("`{b}` and `{a}` would write over each other's outputs"),
            )
            .at(second.span, format!("`{b}` makes this"))
            .at(first.span, format!("`{a}` makes this"))
            .help("give each its own place, or make one task of them"),
        );
    }
}
