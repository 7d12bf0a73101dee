//! Nodes: the core that all kinds have, and then what is special to each.

use std::sync::Arc;

use indexmap::IndexMap;

use crate::diag::{Diagnostic, Spanned};
use crate::model::{EnvName, Node, NodeName, Var, VarName};
use crate::syntax::words;

use super::super::declared::Decl;
use super::super::patch::{self, Word};
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
        let core = |block| Arc::new(self.task(project, env, name, &patched, block));
        Some(match patched.kind {
            "service" => Node::Service(Arc::new(self.service(project, &patched, core(&words::SERVICE)))),
            "deploy" => Node::Deploy(Arc::new(self.deploy(project, env, &patched, core(&words::DEPLOY)))),
            "snapshot" => Node::Snapshot(Arc::new(self.snapshot(&patched, core(&words::SNAPSHOT)))),
            _ => Node::Task(core(&words::TASK)),
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
