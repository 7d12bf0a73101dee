//! Names of nodes, as written, to the nodes they stand for.

use crate::diag::{Diagnostic, Spanned};
use crate::model::address::{self, AddressError, Directory, Scene};
use crate::model::{EnvName, NodeRef};
use crate::syntax::ast::Node;

use super::super::patch::Word;
use super::{Lower, first_text, texts};

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
        let reference = NodeRef { path: address.path, env: address.env, span: text.span };
        if reference.env.is_none() {
            self.reachable(&reference, env, text);
        }
        Some(reference)
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

    /// References outside of nodes: schedules, hooks of environments, rotation of secrets. They are checked, and nothing
    /// carries them out yet.
    pub(super) fn loose_references(&self) {
        for project in &self.declared.units.projects {
            for &item in &project.items {
                let node = self.declared.units.node(item);
                let word = Word { node, unit: item.unit, env: None };
                match node.name.value.as_str() {
                    "schedule" => {
                        self.references(&word);
                        self.reference_prop(&word, "on-fail");
                    }
                    "secrets" => self.secrets(&word),
                    "env" => {
                        let env = first_text(node)
                            .and_then(|name| self.declared.environments.get_key_value(name.value));
                        for child in node.children() {
                            let word = Word { node: child, unit: item.unit, env: env.map(|(name, _)| name) };
                            match child.name.value.as_str() {
                                "on-create" | "on-destroy" => drop(self.references(&word)),
                                "secrets" => self.secrets(&word),
                                _ => {}
                            }
                        }
                    }
                    _ => {}
                }
            }
        }
    }

    fn secrets(&self, word: &Word<'_>) {
        for node in word.node.children() {
            self.reference_prop(&Word { node, ..*word }, "on-rotate");
        }
        self.store(word);
    }

    /// The node that a property names.
    pub(super) fn reference_prop(&self, word: &Word<'_>, key: &str) -> Option<NodeRef> {
        let prop = word.node.prop(key)?;
        self.reference(word, word.env, Spanned::new(prop.value.value.as_str()?, prop.value.span))
    }

    /// `store=` names a declared store, or one that is built in.
    fn store(&self, word: &Word<'_>) {
        let Some(prop) = word.node.prop("store") else { return };
        let Some(text) = prop.value.value.as_str() else { return };
        let unit = &self.declared.units.units[word.unit];
        let stores: Vec<String> = self.declared.units.projects[unit.project]
            .items
            .iter()
            .map(|item| (self.declared.units.node(*item), &self.declared.units.units[item.unit].namespace))
            .filter(|(node, _)| node.name.value == "store")
            .filter_map(|(node, namespace)| Some(dotted(namespace, first_text(node)?.value)))
            .collect();
        let mut namespace = unit.namespace.as_str();
        loop {
            if stores.contains(&dotted(namespace, text)) {
                return;
            }
            if namespace.is_empty() {
                break;
            }
            namespace = namespace.rsplit_once('.').map_or("", |(outer, _)| outer);
        }
        if matches!(text, "env" | "file") || self.declared.units.incomplete {
            return;
        }
        let known = stores.iter().map(String::as_str).chain(["env", "file"]);
        self.say(
            Diagnostic::error("load/unknown-store", format!("there is no store `{text}`"))
                .at(prop.value.span, "")
                .maybe_help(crate::diag::did_you_mean(text, known)),
        );
    }

    /// The environment that a word names: `from "uat"`, `deployed "uat"`.
    pub(super) fn environment_name(&self, node: &Node) -> Option<Spanned<EnvName>> {
        let name = texts(node).next()?.map(|name| EnvName::from(name.as_str()));
        self.declared.require_env(&name, &mut self.diagnostics.borrow_mut()).then_some(name)
    }
}

fn dotted(namespace: &str, name: &str) -> String {
    if namespace.is_empty() { name.to_owned() } else { format!("{namespace}.{name}") }
}
