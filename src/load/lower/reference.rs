//! Names of nodes, as written, to the nodes they stand for.

use crate::diag::{Diagnostic, Spanned};
use crate::model::address::{self, AddressError, Directory, Scene};
use crate::model::{EnvName, Gate, NodeName, NodeRef};
use crate::syntax::ast::Node;

use super::super::patch::Word;
use super::{Lower, texts};

impl Lower<'_> {
    /// Every node that the arguments of a word name.
    pub(super) fn references(&self, word: &Word<'_>) -> Vec<NodeRef> {
        self.references_in(word, word.env)
    }

    /// The same, for a word that counts in `env` alone.
    pub(super) fn references_in(&self, word: &Word<'_>, env: Option<&EnvName>) -> Vec<NodeRef> {
        let mut found = Vec::with_capacity(word.node.args.len());
        for arg in &word.node.args {
            if let Some(text) = arg.value.value.as_str() {
                found.extend(self.reference(word, env, Spanned::new(text, arg.value.span)));
            }
        }
        found
    }

    /// The node that `text` stands for where `word` is written.
    pub(super) fn reference(
        &self,
        word: &Word<'_>,
        env: Option<&EnvName>,
        text: Spanned<&str>,
    ) -> Option<NodeRef> {
        let unit = &self.declared.units.units[word.unit];
        let scene = Scene { project: self.project_name(unit.project), namespace: &unit.namespace };
        let address = match address::resolve(self.declared, scene, text.value) {
            Ok(address) => address,
            Err(error) => {
                self.refuse(error, text);
                return None;
            }
        };
        let reference =
            NodeRef { path: address.path, env: address.env, state: gate(word.node), span: text.span };
        if reference.env.is_none() {
            self.reachable(&reference, env, text);
        }
        Some(reference)
    }

    /// The stage of the root project that stands before the first name of `word`, if its environment is called otherwise.
    pub(super) fn stage_before(&self, word: &Word<'_>) -> Option<NodeName> {
        let text = word.node.args.first()?.value.value.as_str()?;
        let unit = &self.declared.units.units[word.unit];
        let scene = Scene { project: self.project_name(unit.project), namespace: &unit.namespace };
        let address = address::resolve(self.declared, scene, text).ok()?;
        let is_env =
            |stage: &NodeName| address.env.as_ref().is_some_and(|env| env.as_str() == stage.as_str());
        address.stage.as_ref().filter(|stage| !is_env(stage) && !stage.as_str().contains(':')).cloned()
    }

    fn refuse(&self, error: AddressError, text: Spanned<&str>) {
        // What a file that cannot be read would have declared is not known.
        if self.declared.units.incomplete && matches!(error, AddressError::Unknown { .. }) {
            return;
        }
        let code = match error {
            AddressError::Unknown { .. } => "load/unknown-node",
            AddressError::NotIn { .. } => "load/not-in-environment",
            AddressError::NotConcrete { .. } => "load/not-concrete",
            AddressError::Ambiguous { .. } => "load/ambiguous",
            AddressError::Malformed { .. } => "load/reference",
        };
        self.say(Diagnostic::error(code, error.to_string()).at(text.span, "").maybe_help(error.help()));
    }

    /// A name without an environment takes that of the node it is written for: it must be somewhere at all, and if it is
    /// written in an environment's own block, there.
    fn reachable(&self, reference: &NodeRef, env: Option<&EnvName>, text: Spanned<&str>) {
        let path = &reference.path;
        if self.declared.is_everywhere(path) {
            return;
        }
        let concrete =
            |env: &&EnvName| self.declared.environments.get(*env).is_some_and(|env| env.is_concrete());
        if let Some(env) = env.filter(concrete)
            && !self.declared.is_in(path, env)
        {
            let has = address::having(self.declared, path);
            return self.refuse(AddressError::NotIn { path: path.clone(), env: env.clone(), has }, text);
        }
        let of = |env: &EnvName| self.declared.is_in(path, env);
        if self.declared.environments.iter().any(|(name, env)| !env.is_abstract && of(name)) {
            return;
        }
        if let Some(only) = self.declared.environments.keys().find(|env| of(env)) {
            self.say(
                Diagnostic::error(
                    "load/not-in-environment",
                    format!("no environment that a run can be in has `{path}`"),
                )
                .at(text.span, "")
                .help(format!("it stands in `{only}`, which is abstract, and nothing extends it")),
            );
        }
    }

    /// The node that a property names.
    pub(super) fn reference_prop(&self, word: &Word<'_>, key: &str) -> Option<NodeRef> {
        let prop = word.node.prop(key)?;
        self.reference(word, word.env, Spanned::new(prop.value.value.as_str()?, prop.value.span))
    }

    /// The environment that a word names: `from "uat"`, `deployed "uat"`.
    pub(super) fn environment_name(&self, node: &Node) -> Option<Spanned<EnvName>> {
        let name = texts(node).next()?.map(|name| EnvName::from(name.as_str()));
        self.declared.require_env(&name, &mut self.diagnostics.borrow_mut()).then_some(name)
    }
}

/// How far what a word names has to be.
fn gate(node: &Node) -> Option<Gate> {
    match node.prop("state")?.value.value.as_str()? {
        "started" => Some(Gate::Started),
        "completed" => Some(Gate::Completed),
        _ => None,
    }
}
