//! Secrets and the stores that hold them.

use indexmap::IndexMap;

use crate::base::unit::parse_duration;
use crate::diag::{Diagnostic, Span, Spanned, did_you_mean};
use crate::model::address::Directory;
use crate::model::{
    EnvName, Generate, Kept, ProjectName, Rotate, Scope, Secret, Store, StoreFormat, StoreRef, Value,
    VarName, lay_secrets,
};
use crate::syntax::ast;

use super::super::patch::Word;
use super::{Lower, bool_prop, command, first_text, text_prop};

/// The names of the stores that are built in.
const BUILT_IN: [&str; 2] = ["env", "file"];

/// The longest secret that is made: longer ones are files, and no environment takes them.
const LONGEST: i128 = 4096;

impl<'d> Lower<'d> {
    /// One `secrets` block.
    pub(super) fn secrets(&self, project: usize, word: &Word<'d>, scope: &mut Scope) {
        let kept = self.kept(project, word);
        for node in word.node.children() {
            let row = Secret { kept: kept.clone(), ..self.secret(&Word { node, ..*word }) };
            let row = scope.secrets.get(&row.name).map_or_else(|| row.clone(), |below| row.over(below));
            scope.secrets.insert(row.name.clone(), row);
        }
        let Some(kept) = kept else { return };
        if !word.node.children().is_empty() {
            if !scope.kept_some.contains(&kept) {
                scope.kept_some.push(kept);
            }
            return;
        }
        let span = word.node.prop("store").map_or(word.node.name.span, |prop| prop.value.span);
        match &scope.kept {
            Some(first) => self.say(
                Diagnostic::error("load/duplicate", "two stores are to keep all other secrets")
                    .at(span, "the second")
                    .at(first.span, "the first")
                    .help("say which secrets are kept there: `secrets store=… { NAME }`"),
            ),
            None => scope.kept = Some(Spanned::new(kept, span)),
        }
    }

    fn secret(&self, word: &Word<'d>) -> Secret {
        let node = word.node;
        let generate = text_prop(node, "generate").and_then(|text| generator(&text));
        let length = node.prop("length").and_then(|prop| match prop.value.value {
            ast::Value::Int(length @ 1..=LONGEST) => usize::try_from(length).ok(),
            ast::Value::Int(length) if length > LONGEST => {
                let message = format!("`{}` would be {length} long", node.name.value);
                let help = format!("a secret that is made may be up to {LONGEST} long");
                self.say(Diagnostic::error("load/secret", message).at(prop.value.span, "").help(help));
                None
            }
            _ => None,
        });
        if let (Some(Generate::Uuid), Some(prop)) = (generate, node.prop("length")) {
            let message = "a UUID has the length that it has";
            self.say(Diagnostic::error("load/secret", message).at(prop.key.span, "").help("leave it out"));
        }
        Secret {
            generate,
            length,
            rotate: self.rotate(node),
            on_rotate: self.reference_prop(word, "on-rotate"),
            verify: self.reference_prop(word, "verify"),
            required: bool_prop(node, "required"),
            desc: text_prop(node, "desc"),
            removed: node.args.first().is_some_and(|arg| arg.value.value == ast::Value::Null),
            ..Secret::new(VarName::from(node.name.value.as_str()), node.name.span)
        }
    }

    fn rotate(&self, node: &ast::Node) -> Option<Rotate> {
        let prop = node.prop("rotate")?;
        let text = prop.value.value.as_str()?;
        if text == "never" {
            return Some(Rotate::Never);
        }
        let age = parse_duration(text)?;
        if age.is_zero() {
            self.nonsense(
                "a secret cannot be too old at once",
                prop.value.span,
                "leave `rotate=` out where it is changed by hand, or `rotate=\"never\"` where it never is",
            );
            return None;
        }
        Some(Rotate::After(age))
    }

    /// `store=` and `path=` of a `secrets` block.
    fn kept(&self, project: usize, word: &Word<'d>) -> Option<Kept> {
        let path = word
            .node
            .prop("path")
            .and_then(|prop| Some(Spanned::new(prop.value.value.as_str()?.to_owned(), prop.value.span)));
        if let Some(path) = &path {
            self.mentioned(project, path, None);
        }
        let store = match word.node.prop("store") {
            Some(_) => self.store_ref(project, word)?,
            None => {
                if let Some(path) = &path {
                    let message = "`path=` says where in a store, and no store is named";
                    let help = "add `store=`; `store=\"file\"` for a file of your own choice";
                    self.say(Diagnostic::error("load/secret", message).at(path.span, "").help(help));
                }
                return None;
            }
        };
        if let (StoreRef::Env, Some(path)) = (&store, &path) {
            let message = "the store `env` is the process environment, which has no paths";
            self.say(Diagnostic::error("load/secret", message).at(path.span, "").help("leave it out"));
        }
        Some(Kept { store, path })
    }

    /// `store=` names a declared store, or one that is built in. A name that is not declared in the project is looked up
    /// in those around it; `api:vault` is the store of an included project.
    fn store_ref(&self, project: usize, word: &Word<'d>) -> Option<StoreRef> {
        let prop = word.node.prop("store")?;
        let text = prop.value.value.as_str()?;
        let here = self.project_name(project);
        let (mut next, name) = match text.split_once(':') {
            Some((included, name)) => (self.declared.included(here, included), name),
            None => (Some(here.clone()), text),
        };
        let unit = &self.declared.units.units[word.unit];
        let mut known: Vec<String> = Vec::new();
        while let Some(project) = next {
            let stores = self.store_names(&project);
            let mut namespace = if project == *here { unit.namespace.as_str() } else { "" };
            loop {
                let full = dotted(namespace, name);
                if stores.contains(&full) {
                    return Some(StoreRef::Declared(project, full));
                }
                if namespace.is_empty() {
                    break;
                }
                namespace = namespace.rsplit_once('.').map_or("", |(outer, _)| outer);
            }
            known.extend(stores);
            next = if text.contains(':') { None } else { self.declared.outer(&project) };
        }
        match text {
            "env" => return Some(StoreRef::Env),
            "file" => return Some(StoreRef::File),
            _ => {}
        }
        if !self.declared.units.incomplete {
            let known = known.iter().map(String::as_str).chain(BUILT_IN);
            self.say(
                Diagnostic::error("load/unknown-store", format!("there is no store `{text}`"))
                    .at(prop.value.span, "")
                    .maybe_help(did_you_mean(text, known)),
            );
        }
        None
    }

    fn store_names(&self, project: &ProjectName) -> Vec<String> {
        let Some(project) = self.declared.project(project) else { return Vec::new() };
        let items = self.declared.units.projects[project].items.iter();
        items
            .map(|item| (self.declared.units.node(*item), &self.declared.units.units[item.unit].namespace))
            .filter(|(node, _)| node.name.value == "store")
            .filter_map(|(node, namespace)| Some(dotted(namespace, first_text(node)?.value)))
            .collect()
    }

    /// The stores that a project declares.
    pub(super) fn stores(&self, project: usize) -> IndexMap<String, Store> {
        let mut stores: IndexMap<String, Store> = IndexMap::new();
        for &item in &self.declared.units.projects[project].items {
            let node = self.declared.units.node(item);
            let Some(name) = first_text(node).filter(|_| node.name.value == "store") else { continue };
            let unit = &self.declared.units.units[item.unit];
            let full = dotted(&unit.namespace, name.value);
            if BUILT_IN.contains(&full.as_str()) {
                let message = format!("`{full}` is a store that is built in");
                self.say(Diagnostic::error("load/duplicate", message).at(name.span, "").help("rename it"));
                continue;
            }
            if let Some(first) = stores.get(&full) {
                // Twice in one text is said by the check of words.
                if first.span.file != name.span.file {
                    self.say(
                        Diagnostic::error("load/duplicate", format!("store `{full}` is declared twice"))
                            .at(name.span, "the second")
                            .at(first.span, "the first"),
                    );
                }
                continue;
            }
            let mut store = Store {
                name: full.clone(),
                span: name.span,
                requires: Vec::new(),
                read: None,
                format: StoreFormat::Dotenv,
                write: None,
            };
            for child in node.children() {
                let word = Word { node: child, unit: item.unit, env: None };
                match child.name.value.as_str() {
                    "requires" => self.requirements(project, &word, None, &mut store.requires),
                    "read" => {
                        store.read = command(child);
                        if text_prop(child, "format").as_deref() == Some("json") {
                            store.format = StoreFormat::Json;
                        }
                    }
                    "write" => store.write = command(child),
                    _ => {}
                }
            }
            if store.read.is_none() {
                self.say(
                    Diagnostic::error("load/store", format!("the store `{full}` cannot be read"))
                        .at(name.span, "")
                        .help("add `read`, with a command that prints every secret of `$STORE_PATH`"),
                );
            }
            stores.insert(full, store);
        }
        stores
    }

    /// A name is a variable or a secret: a value for a secret does not stand in the Envfile, not even as a variable's.
    pub(super) fn secret_values(&self, project: usize, base: &Scope, overlays: &IndexMap<EnvName, Scope>) {
        let mut told = Vec::new();
        for env in std::iter::once(None).chain(self.declared.environments.keys().map(Some)) {
            let chain =
                env.and_then(|env| self.declared.environments.get(env)).map_or(&[][..], |env| &env.chain);
            let mut secrets = IndexMap::new();
            for scope in std::iter::once(base).chain(chain.iter().filter_map(|env| overlays.get(env))) {
                self.removed_secrets(&secrets, scope, &mut told);
                lay_secrets(&mut secrets, scope);
            }
            for (name, secret) in &secrets {
                let Some(var) = self.vars_of(project, env).get(name) else { continue };
                let Some(value) = var.value.as_ref().filter(|value| value.value != Value::Null) else {
                    continue;
                };
                if told.contains(&value.span) {
                    continue;
                }
                told.push(value.span);
                self.say(
                    Diagnostic::error(
                        "load/secret",
                        format!("`{name}` is a secret, and here it has a value"),
                    )
                    .at(value.span, "")
                    .at(secret.span, "declared here")
                    .help("take the value out, and store it with `envrun secret set`"),
                );
            }
        }
    }
}

impl Lower<'_> {
    /// Says which rows take away what is not there.
    fn removed_secrets(&self, below: &IndexMap<VarName, Secret>, scope: &Scope, told: &mut Vec<Span>) {
        for row in scope.secrets.values().filter(|row| row.removed && !below.contains_key(&row.name)) {
            if told.contains(&row.span) {
                continue;
            }
            told.push(row.span);
            let message = format!("there is no inherited secret `{}` to take away", row.name);
            let known = below.keys().map(VarName::as_str);
            let help = did_you_mean(row.name.as_str(), known);
            self.say(Diagnostic::error("load/null", message).at(row.span, "").maybe_help(help));
        }
    }
}

fn generator(text: &str) -> Option<Generate> {
    Some(match text {
        "password" => Generate::Password,
        "hex" => Generate::Hex,
        "base64" => Generate::Base64,
        "uuid" => Generate::Uuid,
        _ => return None,
    })
}

fn dotted(namespace: &str, name: &str) -> String {
    if namespace.is_empty() { name.to_owned() } else { format!("{namespace}.{name}") }
}
