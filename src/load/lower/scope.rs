//! What stands in a scope beside its nodes: variables, secrets, dotenv files, conditions.

use indexmap::IndexMap;

use crate::diag::{Span, Spanned};
use crate::model::{Dotenv, EnvName, Scope, Value, Var, VarName};
use crate::syntax::words::{self, Block};
use crate::vars::{Form, Otherwise, mentions};

use super::super::declared::NODES;
use super::super::patch::Word;
use super::super::ring;
use super::{Lower, bool_prop, texts, unbuilt};

impl<'d> Lower<'d> {
    /// The scopes of a project without their nodes: the base, and each environment that says something here.
    pub(super) fn scopes(&mut self, project: usize) -> (Scope, IndexMap<EnvName, Scope>) {
        let units = &self.declared.units.projects[project];
        let words = units.items.iter().filter_map(|item| {
            let node = self.declared.units.node(*item);
            let is_scope = !NODES.contains(&node.name.value.as_str());
            is_scope.then_some(Word { node, unit: item.unit, env: None })
        });
        let mut words: Vec<Word<'d>> = words.collect();
        // Weakest first: what a file includes is below what it says itself, wherever the `include` stands.
        let ranks = units.ranks();
        words.sort_by_key(|word| ranks.get(&word.unit));
        let (base, vars) = self.scope(project, &IndexMap::new(), &words, &words::ROOT);
        self.vars.push([(None, vars)].into());

        let mut overlays: IndexMap<EnvName, Scope> = IndexMap::new();
        // Parents before children, whatever the order they are written in.
        let mut environments: Vec<_> = self.declared.environments.values().collect();
        environments.sort_by_key(|env| env.chain.len());
        for env in environments {
            let parent = env.chain.len().checked_sub(2).map(|at| &env.chain[at]);
            let blocks = self.declared.blocks(project, &env.name);
            let words: Vec<Word<'d>> = blocks
                .iter()
                .flat_map(|&item| {
                    let children = self.declared.units.node(item).children().iter();
                    children.map(move |node| Word { node, unit: item.unit, env: Some(&env.name) })
                })
                .filter(|word| !NODES.contains(&word.node.name.value.as_str()))
                .collect();
            let below = self.vars_of(project, parent);
            if blocks.is_empty() {
                let inherited = below.clone();
                self.vars[project].insert(Some(&env.name), inherited);
                continue;
            }
            let (scope, vars) = self.scope(project, below, &words, &words::ENV);
            self.vars[project].insert(Some(&env.name), vars);
            overlays.insert(env.name.clone(), scope);
        }
        overlays.sort_by_cached_key(|env, _| self.declared.environments.get_index_of(env));
        self.cycles(project);
        (base, overlays)
    }

    fn scope(
        &self,
        project: usize,
        below: &IndexMap<VarName, Var>,
        words: &[Word<'d>],
        block: &'static Block,
    ) -> (Scope, IndexMap<VarName, Var>) {
        let mut scope = Scope::default();
        let mut rows = Vec::new();
        for word in words {
            let node = word.node;
            match node.name.value.as_str() {
                "vars" => rows.extend(node.children().iter().filter_map(|row| self.var(row))),
                "secrets" => self.secrets(project, word, &mut scope),
                "dotenv" => {
                    let optional = bool_prop(node, "optional") == Some(true);
                    for path in texts(node) {
                        self.mentioned(project, &path, None);
                        scope.dotenv.push(Dotenv { path, optional });
                    }
                }
                "requires" => self.requirements(project, word, None, &mut scope.requires),
                "when" => self.conditions(project, word, &words::WHEN, &mut scope.when),
                "guard" => self.conditions(project, word, &words::GUARD, &mut scope.guard),
                "match" => self.conditions(project, word, &words::MATCH, &mut scope.matches),
                _ => {}
            }
            if !matches!(node.name.value.as_str(), "stage" | "env") {
                unbuilt(block, node, &mut scope.unbuilt);
            }
        }
        let (whole, own) = self.lay(below, rows);
        for var in own.values() {
            if let Some(Spanned { value: Value::String(text), span }) = &var.value {
                let text = Spanned::new(text.clone(), *span);
                self.mentioned(project, &text, None);
            }
        }
        scope.vars = own;
        (scope, whole)
    }

    /// Variables that mention each other in a circle, in any environment.
    fn cycles(&self, project: usize) {
        let dotenv = self.declared.units.projects[project].items.iter().any(|&item| {
            let node = self.declared.units.node(item);
            node.name.value == "dotenv" || node.child("dotenv").is_some()
        });
        let mut told: Vec<Vec<Span>> = Vec::new();
        let environments = std::iter::once(None).chain(self.declared.environments.keys().map(Some));
        for env in environments {
            let vars = self.vars_of(project, env);
            let edges = |at: usize| {
                let (name, var) = vars.get_index(at).expect("the graph has a node for each variable");
                let Some(Spanned { value: Value::String(text), span }) = &var.value else {
                    return Vec::new();
                };
                mentions(text, Form::Text)
                    .iter()
                    .filter(|mention| {
                        // Its own name stands for what the layer below gives; lowest of all is the caller, who is sure to
                        // have a value only for the likes of `PATH`.
                        let is_below = || {
                            dotenv
                                || mention.otherwise != Otherwise::Nothing
                                || self.has_below(project, env, name, *span)
                                || name.as_str().ends_with("PATH")
                        };
                        mention.name != name.as_str() || !is_below()
                    })
                    .filter_map(|mention| {
                        Some((vars.get_index_of(mention.name)?, self.inside(*span, mention.name)))
                    })
                    .collect()
            };
            for ring in ring::rings(vars.len(), edges) {
                let mut spans: Vec<Span> = ring.iter().map(|&(_, span)| span).collect();
                let names: Vec<String> = ring.iter().map(|&(at, _)| vars.keys()[at].to_string()).collect();
                let diagnostic = ring::diagnostic(
                    "load/cycle",
                    "variables mention each other",
                    "mentions",
                    &names,
                    &spans,
                );
                let itself = match &names[..] {
                    [one] => Some(format!(
                        "no layer below gives it a value; `${{{one}:-}}` takes the caller's, or nothing if he has none"
                    )),
                    _ => None,
                };
                let diagnostic = diagnostic.maybe_help(itself);
                spans.sort();
                if !told.contains(&spans) {
                    told.push(spans);
                    self.say(diagnostic);
                }
            }
        }
    }

    /// Whether a layer below the one that gives the value at `span` gives `name` one too.
    fn has_below(&self, project: usize, env: Option<&'d EnvName>, name: &VarName, span: Span) -> bool {
        let chain = env.and_then(|env| self.declared.environments.get(env)).map_or(&[][..], |env| &env.chain);
        let layers = std::iter::once(None).chain(chain.iter().map(Some));
        let values = layers
            .filter_map(|env| self.vars_of(project, env).get(name)?.value.as_ref().map(|value| value.span));
        values.into_iter().any(|value| value != span)
    }
}
