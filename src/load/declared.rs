//! What is declared where, by name, before any of it is understood.

use std::collections::HashMap;

use indexmap::IndexMap;

use crate::diag::{Diagnostic, Span, Spanned, did_you_mean};
use crate::model::address::Directory;
use crate::model::{EnvName, Environment, NodeName, NodePath, Pattern, ProjectName};
use crate::syntax::ast::Node;

use super::include::{Item, Units};
use super::ring;

/// The words that declare a node.
pub(super) const NODES: [&str; 4] = ["task", "service", "deploy", "snapshot"];

/// Where a node is declared: at the root of a text, or in an `env` block there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Decl {
    /// The node at the root of the text: itself, or the `env` block it stands in.
    pub item: Item,
    /// Its place in the block.
    pub inner: Option<usize>,
}

/// The declarations of one project.
#[derive(Debug, Default)]
pub(super) struct ProjectDecls {
    pub nodes: IndexMap<NodeName, Decl>,
    /// The `env` blocks of each environment, weakest first.
    pub blocks: IndexMap<EnvName, Vec<Item>>,
    /// What the blocks of an environment, and of those it extends, declare: weakest first.
    pub patches: IndexMap<EnvName, IndexMap<NodeName, Vec<(EnvName, Decl)>>>,
    pub aliases: IndexMap<String, NodeName>,
}

/// Everything that is declared.
#[derive(Debug, Default)]
pub(super) struct Declared {
    pub units: Units,
    /// Beside [`Units::projects`].
    pub projects: Vec<ProjectDecls>,
    pub environments: IndexMap<EnvName, Environment>,
    /// What each environment extends by itself.
    extends: HashMap<EnvName, Spanned<EnvName>>,
    /// Stages by their full name, with their project and the environment they are bound to.
    pub stages: IndexMap<NodeName, (Item, usize, Option<Spanned<EnvName>>)>,
    pub pools: IndexMap<String, Item>,
    by_name: HashMap<ProjectName, usize>,
}

impl Declared {
    /// The node that `decl` stands for.
    pub(super) fn node(&self, decl: Decl) -> &Node {
        let node = self.units.node(decl.item);
        decl.inner.map_or(node, |at| &node.children()[at])
    }

    /// The environment of that name, or an error that names the nearest.
    pub(super) fn require_env(&self, name: &Spanned<EnvName>, diagnostics: &mut Vec<Diagnostic>) -> bool {
        if self.environments.contains_key(&name.value) {
            return true;
        }
        if !self.units.incomplete {
            diagnostics.push(
                Diagnostic::error("load/unknown-env", format!("there is no environment `{}`", name.value))
                    .at(name.span, "")
                    .maybe_help(did_you_mean(
                        name.value.as_str(),
                        self.environments.keys().map(EnvName::as_str),
                    )),
            );
        }
        false
    }

    /// The `env` blocks of an environment in a project, weakest first.
    pub(super) fn blocks(&self, project: usize, env: &EnvName) -> &[Item] {
        self.projects[project].blocks.get(env).map_or(&[], Vec::as_slice)
    }

    /// The place of a project in [`Units::projects`].
    pub(super) fn project(&self, name: &ProjectName) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// Whether a node stands at the root of its project, and so is in every environment.
    pub(super) fn is_everywhere(&self, path: &NodePath) -> bool {
        self.project(&path.project)
            .is_some_and(|project| self.projects[project].nodes.contains_key(&path.name))
    }

    /// All that declares a node as an environment has it, weakest first, each with the environment it is written for.
    pub(super) fn layers<'d>(
        &'d self,
        project: usize,
        env: Option<&EnvName>,
        name: &NodeName,
    ) -> Vec<(Option<&'d EnvName>, Decl)> {
        let decls = &self.projects[project];
        let patches = env.and_then(|env| decls.patches.get(env)?.get(name)).into_iter().flatten();
        let base = decls.nodes.get(name).map(|&base| (None, base));
        base.into_iter().chain(patches.map(|(env, decl)| (Some(env), *decl))).collect()
    }

    /// Its full name, with the project it is in.
    fn full(&self, project: usize, name: &str) -> String {
        match self.units.projects[project].name.as_str() {
            "" => name.to_owned(),
            project => format!("{project}:{name}"),
        }
    }
}

/// The first argument, if it is a string.
pub(super) fn first_text(node: &Node) -> Option<Spanned<&str>> {
    let value = &node.args.first()?.value;
    Some(Spanned::new(value.value.as_str()?, value.span))
}

/// Sorts everything that was read by name.
pub(super) fn declare(units: Units, diagnostics: &mut Vec<Diagnostic>) -> Declared {
    let by_name = units.projects.iter().enumerate().map(|(at, project)| (project.name.clone(), at)).collect();
    let mut declared = Declared { units, by_name, ..Declared::default() };
    for project in 0..declared.units.projects.len() {
        let mut decls = ProjectDecls::default();
        for at in 0..declared.units.projects[project].items.len() {
            let item = declared.units.projects[project].items[at];
            declared.item(project, item, &mut decls, diagnostics);
        }
        // What a file includes is weaker than what it says itself, wherever the `include` stands.
        let ranks = declared.units.projects[project].ranks();
        for blocks in decls.blocks.values_mut() {
            blocks.sort_by_key(|item| (ranks.get(&item.unit), item.at));
        }
        declared.projects.push(decls);
    }
    declared.extend(diagnostics);
    declared.clashes(diagnostics);
    for project in 0..declared.projects.len() {
        declared.patch(project);
        declared.alias(project, diagnostics);
    }
    declared
}

impl Declared {
    fn item(
        &mut self,
        project: usize,
        item: Item,
        decls: &mut ProjectDecls,
        diagnostics: &mut Vec<Diagnostic>,
    ) {
        let node = self.units.node(item);
        let word = node.name.value.as_str();
        let Some(name) = first_text(node) else { return };
        let namespace = &self.units.units[item.unit].namespace;
        match word {
            _ if NODES.contains(&word) => {
                let full = namespaced(namespace, name.value);
                let decl = Decl { item, inner: None };
                if let Some(&first) = decls.nodes.get(&full) {
                    // Twice in one text is said by the check of words.
                    if first.item.unit != item.unit {
                        let first =
                            first_text(self.units.node(first.item)).map_or(name.span, |name| name.span);
                        diagnostics.push(
                            Diagnostic::error("load/duplicate", format!("`{full}` is declared twice"))
                                .at(name.span, "the second")
                                .at(first, "the first")
                                .help("rename one, or include its file with `as=`"),
                        );
                    }
                } else {
                    decls.nodes.insert(full, decl);
                }
            }
            "env" => {
                let env = EnvName::from(name.value);
                self.environment(&env, item, diagnostics);
                decls.blocks.entry(env).or_default().push(item);
            }
            "stage" => {
                let env = node.prop("env").and_then(|prop| {
                    Some(Spanned::new(EnvName::from(prop.value.value.as_str()?), prop.value.span))
                });
                let full =
                    NodeName::from(self.full(project, &namespaced_text(namespace, name.value)).as_str());
                let span = name.span;
                if let Some((first, ..)) = self.stages.get(&full) {
                    if first.unit != item.unit {
                        let first = first_text(self.units.node(*first)).map_or(span, |name| name.span);
                        diagnostics.push(
                            Diagnostic::error("load/duplicate", format!("stage `{full}` is declared twice"))
                                .at(span, "the second")
                                .at(first, "the first"),
                        );
                    }
                } else {
                    self.stages.insert(full, (item, project, env));
                }
            }
            "pool" => {
                let (text, span) = (name.value.to_owned(), name.span);
                match self.pools.get(&text).copied() {
                    // The one read first is the one nearest to the root.
                    Some(first)
                        if first.unit != item.unit && project == self.units.units[first.unit].project =>
                    {
                        let first = first_text(self.units.node(first)).map_or(span, |name| name.span);
                        diagnostics.push(
                            Diagnostic::error("load/duplicate", format!("pool `{text}` is declared twice"))
                                .at(span, "the second")
                                .at(first, "the first"),
                        );
                    }
                    Some(_) => {}
                    None => {
                        self.pools.insert(text, item);
                    }
                }
            }
            _ => {}
        }
    }

    fn environment(&mut self, env: &EnvName, item: Item, diagnostics: &mut Vec<Diagnostic>) {
        let node = self.units.node(item);
        let span = first_text(node).map_or(node.span, |name| name.span);
        let desc = node.child("desc").and_then(first_text).map(|desc| desc.value.to_owned());
        let extends = node
            .prop("extends")
            .and_then(|prop| Some(Spanned::new(EnvName::from(prop.value.value.as_str()?), prop.value.span)));
        let flag = |key: &str| {
            node.prop(key).is_some_and(|prop| prop.value.value == crate::syntax::ast::Value::Bool(true))
        };
        let (is_abstract, ephemeral) = (flag("abstract"), flag("ephemeral"));
        let found = self.environments.entry(env.clone()).or_insert_with(|| Environment {
            name: env.clone(),
            span,
            desc: None,
            is_abstract: false,
            ephemeral: false,
            chain: Vec::new(),
            pattern: Pattern::default(),
            made_from: None,
        });
        found.desc = found.desc.take().or(desc);
        found.is_abstract |= is_abstract;
        found.ephemeral |= ephemeral;
        let Some(extends) = extends else { return };
        match self.extends.get(env) {
            Some(first) if first.value != extends.value => diagnostics.push(
                Diagnostic::error("load/extends", format!("`{env}` extends two environments"))
                    .at(extends.span, "here")
                    .at(first.span, "and here")
                    .help("it may extend one, which may extend another"),
            ),
            Some(_) => {}
            None => {
                self.extends.insert(env.clone(), extends);
            }
        }
    }

    /// Flattens every `extends`.
    fn extend(&mut self, diagnostics: &mut Vec<Diagnostic>) {
        for parent in self.environments.keys().filter_map(|env| self.extends.get(env)) {
            self.require_env(parent, diagnostics);
        }
        let parent = |at: usize| {
            let parent = self.extends.get(&self.environments.keys()[at])?;
            Some((self.environments.get_index_of(&parent.value)?, parent.span))
        };
        let rings = ring::rings(self.environments.len(), |at| parent(at).into_iter().collect());
        for ring in &rings {
            let names: Vec<String> =
                ring.iter().map(|&(at, _)| self.environments.keys()[at].to_string()).collect();
            let spans: Vec<Span> = ring.iter().map(|&(_, span)| span).collect();
            diagnostics.push(ring::diagnostic(
                "load/cycle",
                "environments extend each other",
                "extends",
                &names,
                &spans,
            ));
        }
        let chains: Vec<Vec<EnvName>> = (0..self.environments.len())
            .map(|start| {
                let mut chain = vec![start];
                let mut at = start;
                while let Some((next, _)) = parent(at)
                    && !chain.contains(&next)
                {
                    chain.push(next);
                    at = next;
                }
                chain.iter().rev().map(|&at| self.environments.keys()[at].clone()).collect()
            })
            .collect();
        for (env, chain) in self.environments.values_mut().zip(chains) {
            env.chain = chain;
        }
    }

    /// Names that would make a reference ambiguous.
    fn clashes(&self, diagnostics: &mut Vec<Diagnostic>) {
        let clash = |what: &str, name: &str, span: Span, other: &str, first: Span| {
            Diagnostic::error("load/ambiguous", format!("`{name}` is a {what} and an {other}"))
                .at(span, format!("the {what}"))
                .at(first, format!("the {other}"))
                .help(format!("`{name}.x` could mean either: rename one"))
        };
        for project in &self.units.projects {
            for (namespace, &span) in &project.namespaces {
                if let Some(env) = self.environments.get(namespace.as_str()) {
                    diagnostics.push(clash("namespace", namespace, span, "environment", env.span));
                }
            }
            for (name, &(_, span)) in &project.included {
                if let Some(env) = self.environments.get(name.as_str()) {
                    diagnostics.push(clash("project", name, span, "environment", env.span));
                }
            }
        }
        for (name, (item, _, env)) in &self.stages {
            let span =
                first_text(self.units.node(*item)).map_or(self.units.node(*item).span, |name| name.span);
            if let Some(env) = env {
                self.require_env(env, diagnostics);
            }
            let Some(declared) = self.environments.get(name.as_str()) else { continue };
            if env.as_ref().is_none_or(|env| env.value.as_str() != name.as_str()) {
                let at = env.as_ref().map_or(span, |env| env.span);
                diagnostics.push(
                    Diagnostic::error(
                        "load/ambiguous",
                        format!("stage `{name}` is called like an environment"),
                    )
                    .at(at, "and is not bound to it")
                    .at(declared.span, "the environment")
                    .help(format!("write `stage \"{name}\" env=\"{name}\"`, or rename the stage")),
                );
            }
        }
    }

    /// Collects what the `env` blocks of a project declare, along every chain.
    fn patch(&mut self, project: usize) {
        let mut own: IndexMap<EnvName, Vec<(NodeName, Decl)>> = IndexMap::new();
        for (env, blocks) in &self.projects[project].blocks {
            for &item in blocks {
                let namespace = &self.units.units[item.unit].namespace;
                for (at, node) in self.units.node(item).children().iter().enumerate() {
                    if !NODES.contains(&node.name.value.as_str()) {
                        continue;
                    }
                    let Some(name) = first_text(node) else { continue };
                    let decl = Decl { item, inner: Some(at) };
                    own.entry(env.clone()).or_default().push((namespaced(namespace, name.value), decl));
                }
            }
        }
        let mut patches = IndexMap::new();
        for (env, declared) in &self.environments {
            let mut found: IndexMap<NodeName, Vec<(EnvName, Decl)>> = IndexMap::new();
            for from in &declared.chain {
                for (name, decl) in own.get(from).into_iter().flatten() {
                    found.entry(name.clone()).or_default().push((from.clone(), *decl));
                }
            }
            if !found.is_empty() {
                patches.insert(env.clone(), found);
            }
        }
        self.projects[project].patches = patches;
    }

    fn alias(&mut self, project: usize, diagnostics: &mut Vec<Diagnostic>) {
        let decls = &self.projects[project];
        let patched = decls
            .patches
            .values()
            .flatten()
            .flat_map(|(name, patches)| patches.iter().map(move |(_, decl)| (name, *decl)));
        let mut found: IndexMap<String, (NodeName, Span)> = IndexMap::new();
        let mut clashes = Vec::new();
        for (name, decl) in decls.nodes.iter().map(|(name, decl)| (name, *decl)).chain(patched) {
            let namespace = &self.units.units[decl.item.unit].namespace;
            for word in self.node(decl).children().iter().filter(|word| word.name.value == "alias") {
                for arg in &word.args {
                    let Some(text) = arg.value.value.as_str() else { continue };
                    let alias = namespaced_text(namespace, text);
                    let span = arg.value.span;
                    let in_blocks =
                        || decls.patches.values().find_map(|nodes| nodes.get(alias.as_str())?.first());
                    let other = decls.nodes.get(alias.as_str()).copied();
                    if let Some(other) = other.or_else(|| in_blocks().map(|(_, decl)| *decl)) {
                        let first = first_text(self.node(other)).map_or(span, |name| name.span);
                        clashes.push((alias, span, first, "a node"));
                        continue;
                    }
                    match found.get(&alias) {
                        Some((other, first)) if other != name => {
                            clashes.push((alias, span, *first, "another node's alias"));
                        }
                        Some(_) => {}
                        None => {
                            found.insert(alias, (name.clone(), span));
                        }
                    }
                }
            }
        }
        for (alias, span, first, what) in clashes {
            let diagnostic =
                Diagnostic::error("load/duplicate", format!("the alias `{alias}` is already {what}"))
                    .at(span, "the alias")
                    .at(first, "the first");
            // A node that several environments inherit is met several times.
            if !diagnostics.contains(&diagnostic) {
                diagnostics.push(diagnostic);
            }
        }
        self.projects[project].aliases = found.into_iter().map(|(alias, (name, _))| (alias, name)).collect();
    }
}

fn namespaced(namespace: &str, name: &str) -> NodeName {
    if namespace.is_empty() { name.into() } else { namespaced_text(namespace, name).as_str().into() }
}

fn namespaced_text(namespace: &str, name: &str) -> String {
    if namespace.is_empty() { name.to_owned() } else { format!("{namespace}.{name}") }
}

impl Directory for Declared {
    fn environments(&self) -> &IndexMap<EnvName, Environment> {
        &self.environments
    }

    fn stage(&self, project: &ProjectName, name: &str) -> Option<(NodeName, Option<EnvName>)> {
        let project = *self.by_name.get(project)?;
        let (full, (_, _, env)) = self.stages.get_key_value(self.full(project, name).as_str())?;
        Some((full.clone(), env.as_ref().map(|env| env.value.clone())))
    }

    fn included(&self, project: &ProjectName, name: &str) -> Option<ProjectName> {
        let project = *self.by_name.get(project)?;
        let (found, _) = self.units.projects[project].included.get(name)?;
        Some(self.units.projects[*found].name.clone())
    }

    fn outer(&self, project: &ProjectName) -> Option<ProjectName> {
        let outer = self.units.projects[*self.by_name.get(project)?].outer?;
        Some(self.units.projects[outer].name.clone())
    }

    fn node(&self, project: &ProjectName, name: &str) -> Option<NodeName> {
        let decls = &self.projects[*self.by_name.get(project)?];
        decls
            .nodes
            .get_key_value(name)
            .map(|(name, _)| name.clone())
            .or_else(|| {
                decls
                    .patches
                    .values()
                    .find_map(|nodes| nodes.get_key_value(name).map(|(name, _)| name.clone()))
            })
            .or_else(|| decls.aliases.get(name).cloned())
    }

    fn is_in(&self, path: &NodePath, env: &EnvName) -> bool {
        let Some(&project) = self.by_name.get(&path.project) else { return false };
        let decls = &self.projects[project];
        decls.nodes.contains_key(&path.name)
            || decls.patches.get(env).is_some_and(|nodes| nodes.contains_key(&path.name))
    }

    fn every_name(&self) -> Vec<String> {
        let mut names = Vec::new();
        for (at, decls) in self.projects.iter().enumerate() {
            let patched = decls.patches.values().flat_map(IndexMap::keys);
            let nodes = decls.nodes.keys().chain(patched).map(NodeName::as_str);
            names.extend(
                nodes.chain(decls.aliases.keys().map(String::as_str)).map(|name| self.full(at, name)),
            );
        }
        names.sort();
        names.dedup();
        names
    }
}
