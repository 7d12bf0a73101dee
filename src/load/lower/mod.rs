//! From words to the model: one function for each kind of thing.
//!
//! The shape of every word (its arguments, its properties, where it may stand) has been held against the table of words
//! before; what is not of its shape is skipped here, because it has been said. What is said here needs more than one
//! word: references, values and their types, paths.
//!
//! Invariant: an effective definition that is the same in several environments is lowered once.

mod condition;
mod deploy;
mod node;
mod pattern;
mod reference;
mod render;
mod requirement;
mod schedule;
mod scope;
mod secret;
mod service;
mod task;
mod var;

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeSet, HashMap};

use indexmap::IndexMap;

use crate::base::unit::{parse_duration, parse_size};
use crate::base::{Version, VersionRange};
use crate::diag::{Diagnostic, SourceMap, Span, Spanned};
use crate::model::{
    CacheSettings, Command, EnvName, Envfile, Node, NodeName, Pool, Project, ProjectName, Stage, Unbuilt,
    Value, Var, VarName,
};
use crate::syntax::ast;
use crate::syntax::words::{self, Block};

use super::declared::{Decl, Declared, first_text};
use super::patch::Word;
use super::ring;

/// What lowering looks at, and where it says what is wrong.
pub(super) struct Lower<'d> {
    declared: &'d Declared,
    sources: &'d SourceMap,
    diagnostics: RefCell<Vec<Diagnostic>>,
    /// By project: the variables as each environment has them, `None` first; types and constraints are inherited.
    vars: Vec<HashMap<Option<&'d EnvName>, IndexMap<VarName, Var>>>,
    /// By project: every name that a text may mention.
    known: Vec<OnceCell<Known>>,
    /// The last parts of all names that some `call` names.
    called: OnceCell<BTreeSet<String>>,
}

/// The names that texts of a project may mention.
#[derive(Debug, Default)]
struct Known {
    names: BTreeSet<String>,
    /// There is a dotenv file, which may hold any name.
    any: bool,
}

/// Lowers everything that is declared.
pub(super) fn lower(declared: &Declared, sources: &SourceMap) -> (Envfile, Vec<Diagnostic>) {
    let count = declared.units.projects.len();
    let mut lower = Lower {
        declared,
        sources,
        diagnostics: RefCell::default(),
        vars: Vec::new(),
        known: (0..count).map(|_| OnceCell::new()).collect(),
        called: OnceCell::new(),
    };
    let mut envfile = Envfile { environments: declared.environments.clone(), ..Envfile::default() };
    lower.root(&mut envfile);
    // Variables first: a task's own are laid over its project's.
    let mut scopes = Vec::new();
    for project in 0..count {
        scopes.push(lower.scopes(project));
    }
    for (project, (base, overlays)) in scopes.into_iter().enumerate() {
        lower.secret_values(project, &base, &overlays);
        let lowered = lower.project(project, base, overlays);
        envfile.projects.insert(lowered.name.clone(), lowered);
    }
    lower.environments(&mut envfile);
    lower.stages(&mut envfile);
    lower.schedules(&mut envfile);
    (envfile, lower.diagnostics.into_inner())
}

impl<'d> Lower<'d> {
    fn say(&self, diagnostic: Diagnostic) {
        self.diagnostics.borrow_mut().push(diagnostic);
    }

    /// What only the root's `project`, `cache` and `pool` say.
    fn root(&self, envfile: &mut Envfile) {
        for &item in self.declared.units.projects.iter().flat_map(|project| &project.items) {
            let node = self.declared.units.node(item);
            // The first unit is the root file. What is included serves the run that begins there.
            let is_root = item.unit == 0;
            match node.name.value.as_str() {
                "project" => self.project_line(is_root, node, envfile),
                "cache" if is_root => cache(node, &mut envfile.cache),
                "state" if is_root => {
                    let remote = node.prop("git").map(|prop| &prop.value);
                    envfile.state =
                        remote.and_then(|git| Some(Spanned::new(git.value.as_str()?.to_owned(), git.span)));
                }
                _ => {}
            }
        }
        for (name, &item) in &self.declared.pools {
            let node = self.declared.units.node(item);
            let depth = node.args.get(1).map(|arg| &arg.value).or(node.prop("depth").map(|prop| &prop.value));
            let Some(ast::Value::Int(depth)) = depth.map(|depth| &depth.value) else { continue };
            let depth = usize::try_from(*depth).unwrap_or(usize::MAX);
            envfile.pools.insert(name.clone(), Pool { name: name.clone(), depth, span: node.span });
        }
    }

    fn project_line(&self, is_root: bool, node: &ast::Node, envfile: &mut Envfile) {
        if let Some(prop) = node.prop("envrun")
            && let Some(wanted) = prop.value.value.as_str()
        {
            self.version(wanted, prop.value.span);
        }
        if !is_root {
            return;
        }
        envfile.name = first_text(node).map(|name| name.map(str::to_owned));
        if let Some(prop) = node.prop("default-env")
            && let Some(name) = prop.value.value.as_str()
        {
            let env = Spanned::new(EnvName::from(name), prop.value.span);
            if self.declared.require_env(&env, &mut self.diagnostics.borrow_mut()) {
                if let Some((what, instead)) =
                    crate::model::address::not_concrete(&self.declared.environments, &env.value)
                {
                    let instead: Vec<_> = instead.iter().map(|env| format!("`{env}`")).collect();
                    self.say(
                        Diagnostic::error(
                            "load/not-concrete",
                            format!("the default environment `{name}` is {what}"),
                        )
                        .at(env.span, "")
                        .maybe_help(
                            (!instead.is_empty()).then(|| format!("a run can be in {}", instead.join(", "))),
                        ),
                    );
                }
                envfile.default_env = Some(env);
            }
        }
        envfile.keep_logs =
            node.child("logs").and_then(|logs| parse_duration(logs.prop("keep")?.value.value.as_str()?));
    }

    fn version(&self, wanted: &str, span: Span) {
        // A text that is no range has been said.
        let Some(range) = VersionRange::parse(wanted) else { return };
        let here = env!("CARGO_PKG_VERSION");
        // A version before the first release of its kind still is that kind: `0.2.0-beta` serves `>=0.2`.
        if !Version::find(here).is_some_and(|here| range.matches(&here)) {
            self.say(
                Diagnostic::error(
                    "load/version",
                    format!("this Envfile wants envrun {wanted}, and this is {here}"),
                )
                .at(span, "")
                .help("install a version that fits, or change the requirement"),
            );
        }
    }

    fn project(
        &self,
        project: usize,
        base: crate::model::Scope,
        overlays: IndexMap<EnvName, crate::model::Scope>,
    ) -> Project {
        let units = &self.declared.units.projects[project];
        let decls = &self.declared.projects[project];
        let mut lowered = Project {
            name: units.name.clone(),
            dir: units.dir.clone(),
            outer: units.outer.map(|outer| self.declared.units.projects[outer].name.clone()),
            included: units
                .included
                .iter()
                .map(|(name, &(at, _))| (name.clone(), self.declared.units.projects[at].name.clone()))
                .collect(),
            aliases: decls.aliases.clone(),
            stores: self.stores(project),
            base,
            overlays,
        };
        lowered.base.nodes.reserve(decls.nodes.len());
        for (name, &decl) in &decls.nodes {
            if let Some(node) = self.node(project, None, name, [(None, decl)]) {
                lowered.base.nodes.insert(name.clone(), node);
            }
        }
        // By name: the declarations it was lowered from, and what came out.
        let mut known: HashMap<&NodeName, Vec<(Vec<Decl>, Node)>> = HashMap::new();
        // Environments that a run can be in come first: what they share with their parents is lowered for them.
        let mut patches: Vec<_> = decls.patches.iter().collect();
        patches.sort_by_key(|(env, _)| !self.declared.environments[*env].is_concrete());
        for (env, nodes) in patches {
            for name in nodes.keys() {
                let layers = self.declared.layers(project, Some(env), name);
                let key: Vec<Decl> = layers.iter().map(|&(_, decl)| decl).collect();
                let found = known.entry(name).or_default();
                let node = match found.iter().find(|(layers, _)| *layers == key) {
                    Some((_, node)) => Some(node.clone()),
                    None => {
                        let node = self.node(project, Some(env), name, layers);
                        found.extend(node.clone().map(|node| (key, node)));
                        node
                    }
                };
                if let Some(node) = node {
                    lowered.overlays.entry(env.clone()).or_default().nodes.insert(name.clone(), node);
                }
            }
        }
        lowered.overlays.sort_by_cached_key(|env, _| self.declared.environments.get_index_of(env));
        lowered
    }

    fn stages(&self, envfile: &mut Envfile) {
        for (full, (item, project, env)) in &self.declared.stages {
            let node = self.declared.units.node(*item);
            let words: Vec<Word<'_>> =
                node.children().iter().map(|node| Word { node, unit: item.unit, env: None }).collect();
            let mut stage = Stage {
                name: full.clone(),
                span: first_text(node).map_or(node.span, |name| name.span),
                desc: node.child("desc").and_then(first_text).map(|desc| desc.value.to_owned()),
                env: env.clone(),
                after: Vec::new(),
                when: Vec::new(),
                guard: Vec::new(),
                run: Vec::new(),
            };
            for word in words {
                match word.node.name.value.as_str() {
                    "when" => self.conditions(*project, &word, &words::WHEN, &mut stage.when),
                    "guard" => self.conditions(*project, &word, &words::GUARD, &mut stage.guard),
                    "run" => stage.run.extend(self.references_in(&word, env.as_ref().map(|env| &env.value))),
                    _ => {}
                }
            }
            if let Some(prop) = node.prop("after")
                && let Some(names) = prop.value.value.as_str()
            {
                let namespace = |name: &str| match self.declared.units.projects[*project].name.as_str() {
                    "" => name.to_owned(),
                    project => format!("{project}:{name}"),
                };
                for name in names.split('|').map(str::trim) {
                    let full = namespace(name);
                    if self.declared.stages.contains_key(full.as_str()) {
                        stage.after.push(Spanned::new(full, prop.value.span));
                    } else {
                        let known = self.declared.stages.keys().map(NodeName::as_str);
                        self.say(
                            Diagnostic::error("load/unknown-stage", format!("there is no stage `{name}`"))
                                .at(prop.value.span, "")
                                .maybe_help(crate::diag::did_you_mean(name, known)),
                        );
                    }
                }
            }
            envfile.stages.insert(full.clone(), stage);
        }
        let stages = &envfile.stages;
        let edges = |at: usize| {
            let after = stages[at].after.iter();
            after.filter_map(|name| Some((stages.get_index_of(name.value.as_str())?, name.span))).collect()
        };
        for ring in ring::rings(stages.len(), edges) {
            let names: Vec<String> = ring.iter().map(|&(at, _)| stages.keys()[at].to_string()).collect();
            let spans: Vec<Span> = ring.iter().map(|&(_, span)| span).collect();
            self.say(ring::diagnostic(
                "load/cycle",
                "stages stand after each other",
                "is after",
                &names,
                &spans,
            ));
        }
    }

    fn find_called(&self) -> BTreeSet<String> {
        let mut called = BTreeSet::new();
        let mut look = |node: &ast::Node| {
            for call in node.children().iter().filter(|word| word.name.value == "call") {
                for text in texts(call) {
                    let last = text.value.rsplit(['.', ':']).next().unwrap_or_default();
                    called.insert(last.to_owned());
                }
            }
        };
        for document in &self.declared.units.documents {
            for node in &document.nodes {
                look(node);
                if node.name.value == "env" {
                    node.children().iter().for_each(&mut look);
                }
            }
        }
        called
    }

    /// The project's name, for messages and lookups.
    fn project_name(&self, project: usize) -> &'d ProjectName {
        &self.declared.units.projects[project].name
    }
}

fn cache(node: &ast::Node, settings: &mut CacheSettings) {
    let Some(local) = node.child("local") else { return };
    let text = |key: &str| local.prop(key).and_then(|prop| prop.value.value.as_str());
    settings.max_size = text("max-size").and_then(parse_size);
    settings.max_age = text("max-age").and_then(parse_duration);
    settings.dir = text("dir").map(Into::into);
}

/// The strings among the arguments, each with its place.
fn texts(node: &ast::Node) -> impl Iterator<Item = Spanned<String>> + '_ {
    node.args
        .iter()
        .filter_map(|arg| Some(Spanned::new(arg.value.value.as_str()?.to_owned(), arg.value.span)))
}

fn text_prop(node: &ast::Node, key: &str) -> Option<String> {
    Some(node.prop(key)?.value.value.as_str()?.to_owned())
}

fn bool_prop(node: &ast::Node, key: &str) -> Option<bool> {
    if let ast::Value::Bool(yes) = node.prop(key)?.value.value { Some(yes) } else { None }
}

/// `hidden`, `hidden #true`, `hidden #false`.
fn is_on(node: &ast::Node) -> bool {
    node.args.first().is_none_or(|arg| arg.value.value != ast::Value::Bool(false))
}

/// One string is text for a shell, several are a program and its arguments.
fn command(node: &ast::Node) -> Option<Command> {
    let mut words: Vec<String> = texts(node).map(|text| text.value).collect();
    match words.len() {
        0 => None,
        1 => words.pop().map(Command::Shell),
        _ => Some(Command::Argv(words)),
    }
}

fn value(value: &ast::Value) -> Value {
    match value {
        ast::Value::String(text) => Value::String(text.clone()),
        ast::Value::Int(number) => Value::Int(*number),
        ast::Value::Float(number) => Value::Float(*number),
        ast::Value::Bool(yes) => Value::Bool(*yes),
        ast::Value::Null => Value::Null,
    }
}

/// The whole number that a word is given.
fn count<T: TryFrom<i128>>(node: &ast::Node) -> Option<T> {
    whole(&node.args.first()?.value.value)
}

/// The whole number that a property is given.
fn count_prop<T: TryFrom<i128>>(node: &ast::Node, key: &str) -> Option<T> {
    whole(&node.prop(key)?.value.value)
}

fn whole<T: TryFrom<i128>>(value: &ast::Value) -> Option<T> {
    let ast::Value::Int(number) = *value else { return None };
    T::try_from(number).ok()
}

/// The word and its properties, where the table says that no code carries them out yet.
fn unbuilt(block: &'static Block, node: &ast::Node, into: &mut Vec<Unbuilt>) {
    let Some(word) = block.find(&node.name.value) else { return };
    if !word.built {
        into.push(Unbuilt { word: word.name, span: node.name.span });
        return;
    }
    for prop in &node.props {
        if let Some(row) = word.prop(&prop.key.value).filter(|row| !row.built) {
            into.push(Unbuilt { word: row.name, span: prop.key.span });
        }
    }
}
