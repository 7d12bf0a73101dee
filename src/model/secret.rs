//! Secrets: what is declared of them, and the stores that hold their values.

use std::time::Duration;

use indexmap::{IndexMap, IndexSet};

use crate::diag::{Span, Spanned};

use super::{Command, EnvName, Envfile, NodeRef, Project, ProjectName, Requirement, Scope, Value, VarName};

/// A row of `secrets`. What one scope leaves open is as the scope below it says.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Secret {
    /// Its name.
    pub name: VarName,
    /// Where it is declared.
    pub span: Span,
    /// How to make one when it is missing.
    pub generate: Option<Generate>,
    /// How long a generated one is.
    pub length: Option<usize>,
    /// How old it may get.
    pub rotate: Option<Rotate>,
    /// The task that tells its owner `$NEW_SECRET`.
    pub on_rotate: Option<NodeRef>,
    /// The task that proves that a new one works.
    pub verify: Option<NodeRef>,
    /// `false`: it may be missing.
    pub required: Option<bool>,
    /// What it is for.
    pub desc: Option<String>,
    /// Where it is kept, if its own block says so.
    pub kept: Option<Kept>,
    /// `#null`: it is taken away here.
    pub removed: bool,
}

/// How a secret is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Generate {
    /// Letters and digits: `length` of them.
    Password,
    /// Hexadecimal digits: `length` of them.
    Hex,
    /// The base64 text of `length` random bytes.
    Base64,
    /// A random UUID (version 4).
    Uuid,
}

/// How old a secret may get.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Rotate {
    /// As old as it likes.
    Never,
    /// This old.
    After(Duration),
}

/// What a `secrets` block says of where its values are.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Kept {
    /// In which store.
    pub store: StoreRef,
    /// Where in the store; may hold `${NAME}`.
    pub path: Option<Spanned<String>>,
}

/// Which store.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub enum StoreRef {
    /// The process environment.
    Env,
    /// A file below `.envrun/secrets`.
    File,
    /// One that the Envfile declares, by its project and its name there.
    Declared(ProjectName, String),
}

/// A store that the Envfile declares.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Store {
    /// Its name in its project: `vault`, or `stores.vault` from a file included under a name.
    pub name: String,
    /// Where it is declared.
    pub span: Span,
    /// What the machine must have for it.
    pub requires: Vec<Requirement>,
    /// Prints every secret of `$STORE_PATH`.
    pub read: Option<Command>,
    /// What `read` prints.
    pub format: StoreFormat,
    /// Stores standard input as the secret `$KEY`; a store without it can only be read.
    pub write: Option<Command>,
}

/// What the `read` of a store prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub enum StoreFormat {
    /// Lines of `NAME=value`.
    #[default]
    Dotenv,
    /// One JSON object; a value that is not a text counts as its JSON.
    Json,
}

/// A secret as an environment has it, with everything that is inherited.
#[derive(Debug, Clone, PartialEq)]
pub struct SecretSpec {
    /// The project that declares it.
    pub project: ProjectName,
    /// Everything that is declared of it.
    pub secret: Secret,
}

impl Secret {
    /// A row that says nothing but a name.
    pub fn new(name: VarName, span: Span) -> Self {
        Self {
            name,
            span,
            generate: None,
            length: None,
            rotate: None,
            on_rotate: None,
            verify: None,
            required: None,
            desc: None,
            kept: None,
            removed: false,
        }
    }

    /// This row over the one below it: what it leaves open is as below.
    #[must_use]
    pub fn over(&self, below: &Self) -> Self {
        Self {
            name: self.name.clone(),
            span: self.span,
            generate: self.generate.or(below.generate),
            length: self.length.or(below.length),
            rotate: self.rotate.or(below.rotate),
            on_rotate: self.on_rotate.clone().or_else(|| below.on_rotate.clone()),
            verify: self.verify.clone().or_else(|| below.verify.clone()),
            required: self.required.or(below.required),
            desc: self.desc.clone().or_else(|| below.desc.clone()),
            kept: self.kept.clone().or_else(|| below.kept.clone()),
            removed: self.removed,
        }
    }

    /// Whether something that reads it can do without.
    pub fn is_optional(&self) -> bool {
        self.required == Some(false)
    }
}

impl StoreRef {
    /// Whether reading it starts a command.
    pub fn is_declared(&self) -> bool {
        matches!(self, Self::Declared(..))
    }
}

impl std::fmt::Display for StoreRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Env => f.write_str("env"),
            Self::File => f.write_str("file"),
            Self::Declared(project, name) if project.as_str().is_empty() => f.write_str(name),
            Self::Declared(project, name) => write!(f, "{project}:{name}"),
        }
    }
}

/// Lays the secrets of one scope over those below it. Where a block of the scope says where secrets are kept, that holds for
/// its own names and for inherited secrets; only one without names also holds for the names of other blocks.
pub fn lay_secrets(below: &mut IndexMap<VarName, Secret>, scope: &Scope) {
    let all = scope.kept.as_ref().map(|kept| &kept.value);
    let some = match scope.kept_some.as_slice() {
        [one] => Some(one),
        _ => None,
    };
    if let Some(kept) = all.or(some) {
        below.values_mut().for_each(|secret| secret.kept = Some(kept.clone()));
    }
    for (name, row) in &scope.secrets {
        if row.removed {
            below.shift_remove(name);
            continue;
        }
        let mut merged = below.get(name).map_or_else(|| row.clone(), |under| row.over(under));
        if let (None, Some(kept)) = (&row.kept, all) {
            merged.kept = Some(kept.clone());
        }
        below.insert(name.clone(), merged);
    }
}

impl Project {
    /// The secrets that this project declares itself, as an environment has them.
    pub fn secrets(&self, envfile: &Envfile, env: Option<&EnvName>) -> IndexMap<VarName, Secret> {
        let chain = env.and_then(|env| envfile.environments.get(env)).map_or(&[][..], |env| &env.chain);
        let mut found = IndexMap::new();
        for scope in std::iter::once(&self.base).chain(chain.iter().filter_map(|env| self.overlays.get(env)))
        {
            lay_secrets(&mut found, scope);
        }
        found
    }
}

impl Scope {
    /// Lays the names that a scope declares over those below it.
    pub fn lay_names<'s>(&'s self, below: &mut IndexSet<&'s VarName>) {
        let vars = self
            .vars
            .values()
            .map(|var| (&var.name, matches!(&var.value, Some(value) if value.value == Value::Null)));
        for (name, removed) in vars.chain(self.secrets.values().map(|row| (&row.name, row.removed))) {
            if removed {
                below.shift_remove(name)
            } else {
                below.insert(name)
            };
        }
    }
}

impl Envfile {
    /// Every secret of every project, as an environment has it: the root's first.
    pub fn secrets(&self, env: Option<&EnvName>) -> Vec<SecretSpec> {
        let of = |project: &Project| {
            let name = project.name.clone();
            let secrets = project.secrets(self, env).into_values();
            secrets.map(move |secret| SecretSpec { project: name.clone(), secret }).collect::<Vec<_>>()
        };
        self.projects.values().flat_map(of).collect()
    }

    /// A store that the Envfile declares.
    pub fn store(&self, project: &ProjectName, name: &str) -> Option<&Store> {
        self.projects.get(project)?.stores.get(name)
    }
}
