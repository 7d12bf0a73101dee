//! Nodes: tasks go on to be lowered whole, the other kinds as far as they are built.

use std::sync::Arc;

use indexmap::IndexMap;

use crate::diag::{Diagnostic, Spanned};
use crate::model::{EnvName, Node, NodeName, Placeholder, Var, VarName, merge_requirements};
use crate::syntax::words;

use super::super::declared::Decl;
use super::super::patch::{self, Patched, Word};
use super::{Lower, texts};

impl<'d> Lower<'d> {
    /// A node from all that declares it, weakest first.
    pub(super) fn node(
        &self,
        project: usize,
        env: Option<&'d EnvName>,
        name: &NodeName,
        layers: impl IntoIterator<Item = (Option<&'d EnvName>, Decl)>,
    ) -> Option<Node> {
        let patched = patch::apply(self.declared, layers)?;
        for &(span, first) in &patched.kind_changes {
            self.say(
                Diagnostic::error(
                    "load/kind",
                    format!("`{name}` is a {}, and a patch cannot change that", patched.kind),
                )
                .at(span, "the patch")
                .at(first, "declared here")
                .help("give one of them another name"),
            );
        }
        Some(match patched.kind {
            "service" => self.placeholder(project, env, "service", name, &patched),
            "deploy" => self.placeholder(project, env, "deploy", name, &patched),
            "snapshot" => self.placeholder(project, env, "snapshot", name, &patched),
            _ => Node::Task(Arc::new(self.task(project, env, name, &patched))),
        })
    }

    /// Whether a run can meet the definition of `name` that is lowered for `env`: not if it is there only for environments
    /// to fill in.
    pub(super) fn is_used(&self, project: usize, env: Option<&EnvName>, name: &NodeName) -> bool {
        let environments = &self.declared.environments;
        if let Some(env) = env {
            return environments.get(env).is_none_or(|env| env.is_concrete());
        }
        let patches = &self.declared.projects[project].patches;
        let patched = |env: &EnvName| patches.get(env).is_some_and(|nodes| nodes.contains_key(name));
        let mut concrete = environments.values().filter(|env| env.is_concrete()).peekable();
        concrete.peek().is_none() || concrete.any(|env| !patched(&env.name))
    }

    fn placeholder(
        &self,
        project: usize,
        env: Option<&'d EnvName>,
        kind: &'static str,
        name: &NodeName,
        patched: &Patched<'_>,
    ) -> Node {
        let mut node = Placeholder {
            kind,
            name: name.clone(),
            span: patched.span,
            desc: None,
            requires: Vec::new(),
            needs: Vec::new(),
        };
        let mut conditions = Vec::new();
        let mut has_action = false;
        let rows = patched.words.iter().filter(|word| word.node.name.value == "vars");
        let rows = rows.flat_map(|word| word.node.children()).filter_map(|row| self.var(row)).collect();
        let own = self.lay(self.vars_of(project, env), rows).1;
        for word in &patched.words {
            match word.node.name.value.as_str() {
                "desc" => node.desc = texts(word.node).next().map(|text| text.value),
                "requires" => self.requirements(project, word, Some(&own), &mut node.requires),
                "needs" => node.needs.extend(self.references(word)),
                "call" => {
                    has_action = true;
                    self.references(word);
                }
                "from" => {
                    has_action = true;
                    self.environment_name(word.node);
                }
                "run" | "render" => {
                    has_action = true;
                    self.texts_are_known(project, word, &own);
                }
                // The `verify` of a snapshot is a command.
                "verify" if kind == "snapshot" => {}
                "verify" | "snapshot" | "on-fail" | "on-success" => drop(self.references(word)),
                "when" => self.conditions(project, word, &words::WHEN, &mut conditions),
                "guard" => self.conditions(project, word, &words::GUARD, &mut conditions),
                "url" | "tag" | "dir" => self.texts_are_known(project, word, &own),
                "ready" => {
                    for probe in word.node.children().iter().filter(|probe| probe.name.value != "exec") {
                        self.texts_are_known(project, &Word { node: probe, ..*word }, &own);
                    }
                }
                _ => {}
            }
        }
        node.requires = merge_requirements(&node.requires).into_iter().cloned().collect();
        if kind == "deploy" && !has_action && self.is_used(project, env, name) {
            self.say(
                Diagnostic::error("load/empty-deploy", format!("a deploy does something: `{name}` has no `run`, `call`, `render` or `from`"))
                    .at(patched.span, "")
                    .help("say how it goes live: `run \"…\"`, `call \"task\"`, or `from \"uat\"` for what is proved there"),
            );
        }
        Node::Placeholder(Arc::new(node))
    }

    /// Every text of a word, its properties included, mentions only what is declared. A single text of `run` is the
    /// shell's.
    pub(super) fn texts_are_known(&self, project: usize, word: &Word<'_>, own: &IndexMap<VarName, Var>) {
        let is_shell = word.node.name.value == "run" && word.node.args.len() == 1;
        if !is_shell {
            for text in texts(word.node) {
                self.mentioned(project, &text, Some(own));
            }
        }
        for prop in &word.node.props {
            if let Some(text) = prop.value.value.as_str() {
                self.mentioned(project, &Spanned::new(text.to_owned(), prop.value.span), Some(own));
            }
        }
    }
}
