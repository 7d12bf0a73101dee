//! How a written name finds its node: `[<env>.][<project>:]<name>`.
//!
//! A name is looked up where it is written and then outward: in the namespace, in the project, in the project that
//! includes it. The part before the first dot may be an environment, or a stage that stands for its environment; a node's
//! own name may hold dots too (`greet.o`, `notify.slack`), so both readings are tried, and where both find something the
//! text is ambiguous. `:name` begins at the root project.

use indexmap::IndexMap;

use super::{EnvName, Envfile, Environment, NodeName, NodePath, ProjectName};

/// Where a name is written.
#[derive(Debug, Clone, Copy)]
pub struct Scene<'a> {
    /// In which project.
    pub project: &'a ProjectName,
    /// Under which namespace, as `include … as=` gave it: `k8s`, or empty.
    pub namespace: &'a str,
}

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The node.
    pub path: NodePath,
    /// The environment it is pinned to.
    pub env: Option<EnvName>,
    /// The stage that the prefix names, if it names one.
    pub stage: Option<NodeName>,
}

/// Why a name stands for nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// There is no such node anywhere.
    #[error("there is no node `{text}`")]
    Unknown {
        /// The text.
        text: String,
        /// What may have been meant.
        nearest: Option<String>,
    },
    /// The node exists, but not in the environment it is pinned to.
    #[error("environment `{env}` has no node `{path}`")]
    NotIn {
        /// The node.
        path: NodePath,
        /// The environment.
        env: EnvName,
        /// Where it is.
        has: Vec<EnvName>,
    },
    /// The environment is only a pattern: abstract, or ephemeral and not made.
    #[error("environment `{env}` is {what}")]
    NotConcrete {
        /// The environment.
        env: EnvName,
        /// `abstract` or `ephemeral`.
        what: &'static str,
        /// Those that extend it, or else all that a run can be in.
        concrete: Vec<EnvName>,
    },
    /// It can be read in two ways.
    #[error("`{text}` may be node `{whole}`, or node `{rest}` in environment `{env}`")]
    Ambiguous {
        /// The text.
        text: String,
        /// The node if the dot is part of the name.
        whole: NodePath,
        /// The node if the dot is not.
        rest: NodePath,
        /// The environment then.
        env: EnvName,
    },
    /// It has a form that no name has.
    #[error("`{text}` is not a name: {reason}")]
    Malformed {
        /// The text.
        text: String,
        /// Why not.
        reason: &'static str,
    },
}

impl AddressError {
    /// What to do about it.
    pub fn help(&self) -> Option<String> {
        let list =
            |names: &[EnvName]| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        match self {
            Self::Unknown { nearest, .. } => nearest.as_ref().map(|name| format!("did you mean `{name}`?")),
            Self::NotIn { has, .. } if has.is_empty() => None,
            Self::NotIn { path, has, .. } => Some(format!("`{path}` is in {}", list(has))),
            Self::NotConcrete { env, what, concrete } => {
                let make = what
                    .starts_with("ephemeral")
                    .then(|| format!("`envrun env create {env}` makes one that a run can be in"));
                let name = (!concrete.is_empty())
                    .then(|| format!("name one that a run can be in: {}", list(concrete)));
                match (make, name) {
                    (Some(make), Some(_)) => Some(format!("{make}; there is {}", list(concrete))),
                    (make, name) => make.or(name),
                }
            }
            Self::Ambiguous { whole, .. } => {
                Some(format!("rename one of them, or write `:{whole}` for the first"))
            }
            Self::Malformed { .. } => Some("write `[env.][project:]name`".into()),
        }
    }
}

/// What can be looked up by name: the Envfile, or what `load` knows of it before it is whole.
pub trait Directory {
    /// Every environment.
    fn environments(&self) -> &IndexMap<EnvName, Environment>;
    /// The stage of that name in a project, and the environment it is bound to.
    fn stage(&self, project: &ProjectName, name: &str) -> Option<(NodeName, Option<EnvName>)>;
    /// The project that `project` includes under that name.
    fn included(&self, project: &ProjectName, name: &str) -> Option<ProjectName>;
    /// The project that includes `project`.
    fn outer(&self, project: &ProjectName) -> Option<ProjectName>;
    /// The node of that name or alias in a project, in whatever environment.
    fn node(&self, project: &ProjectName, name: &str) -> Option<NodeName>;
    /// Whether an environment has a node.
    fn is_in(&self, path: &NodePath, env: &EnvName) -> bool;
    /// Every node and alias, for a "did you mean".
    fn every_name(&self) -> Vec<String>;
}

/// What forbids a run in an environment, if anything: what it is, and which to take in its place.
pub fn not_concrete(
    environments: &IndexMap<EnvName, Environment>,
    env: &EnvName,
) -> Option<(&'static str, Vec<EnvName>)> {
    let found = environments.get(env)?;
    let was_made = || environments.values().any(|other| other.made_from.as_ref() == Some(env));
    let what = match (found.is_abstract, found.ephemeral) {
        (true, _) => "abstract",
        (_, true) if was_made() => "ephemeral: a pattern that environments are made from",
        (_, true) => "ephemeral, and none of it was made",
        _ => return None,
    };
    let concrete = || environments.values().filter(|other| other.is_concrete());
    let mut instead: Vec<EnvName> =
        concrete().filter(|other| other.chain.contains(env)).map(|other| other.name.clone()).collect();
    if instead.is_empty() {
        instead = concrete().map(|other| other.name.clone()).collect();
    }
    Some((what, instead))
}

/// Finds what `text` stands for when it is written at `scene`.
pub fn resolve(directory: &impl Directory, scene: Scene<'_>, text: &str) -> Result<Address, AddressError> {
    let malformed = |reason| Err(AddressError::Malformed { text: text.to_owned(), reason });
    if text.is_empty() {
        return malformed("it is empty");
    }
    if text.contains(char::is_whitespace) {
        return malformed("it holds a space");
    }
    if text.contains('@') {
        return malformed("instances of a matrix (`@key=value`) are not built yet");
    }
    let whole = find(directory, scene, text);
    // Only a dot before any colon ends an environment: `prod.api:deploy`.
    let prefixed = text
        .split_once('.')
        .filter(|(first, rest)| !first.contains(':') && !rest.is_empty())
        .and_then(|(first, rest)| Some((environment_of(directory, scene, first)?, rest)));
    let Some(((env, stage), rest)) = prefixed else {
        return match whole {
            Some(path) => Ok(Address { path, env: None, stage: None }),
            None => Err(unknown(directory, scene, text)),
        };
    };
    match (whole, find(directory, scene, rest), env) {
        (Some(whole), Some(rest), Some(env)) if directory.is_in(&rest, &env) => {
            Err(AddressError::Ambiguous { text: text.to_owned(), whole, rest, env })
        }
        (Some(path), ..) => Ok(Address { path, env: None, stage: None }),
        (None, None, _) => Err(unknown(directory, scene, text)),
        (None, Some(path), None) => Ok(Address { path, env: None, stage }),
        (None, Some(path), Some(env)) => {
            if let Some((what, concrete)) = not_concrete(directory.environments(), &env) {
                return Err(AddressError::NotConcrete { env, what, concrete });
            }
            if !directory.is_in(&path, &env) {
                return Err(AddressError::NotIn { has: having(directory, &path), path, env });
            }
            Ok(Address { path, env: Some(env), stage })
        }
    }
}

/// The environments a run can be in that have a node.
pub fn having(directory: &impl Directory, path: &NodePath) -> Vec<EnvName> {
    let concrete = directory.environments().values().filter(|env| env.is_concrete());
    concrete.map(|env| &env.name).filter(|env| directory.is_in(path, env)).cloned().collect()
}

/// The environment that a prefix names, itself or through a stage, which may be bound to none.
fn environment_of(
    directory: &impl Directory,
    scene: Scene<'_>,
    name: &str,
) -> Option<(Option<EnvName>, Option<NodeName>)> {
    if let Some((env, _)) = directory.environments().get_key_value(name) {
        // A stage of the same name is bound to it.
        let stage = directory.stage(&ProjectName::default(), name).map(|(stage, _)| stage);
        return Some((Some(env.clone()), stage));
    }
    let mut project = Some(scene.project.clone());
    while let Some(here) = project {
        if let Some((stage, env)) = directory.stage(&here, name) {
            return Some((env, Some(stage)));
        }
        project = directory.outer(&here);
    }
    None
}

/// Finds `[project:]name`, from the innermost place outward.
fn find(directory: &impl Directory, scene: Scene<'_>, text: &str) -> Option<NodePath> {
    if let Some((projects, name)) = text.rsplit_once(':') {
        let project = find_project(directory, scene.project, projects)?;
        let name = directory.node(&project, name)?;
        return Some(NodePath { project, name });
    }
    let mut namespace = scene.namespace;
    while !namespace.is_empty() {
        if let Some(name) = directory.node(scene.project, &format!("{namespace}.{text}")) {
            return Some(NodePath { project: scene.project.clone(), name });
        }
        namespace = namespace.rsplit_once('.').map_or("", |(outer, _)| outer);
    }
    let mut project = scene.project.clone();
    loop {
        if let Some(name) = directory.node(&project, text) {
            return Some(NodePath { project, name });
        }
        project = directory.outer(&project)?;
    }
}

/// Finds the project that `a:b` names, from `from` outward; nothing before the colon is the root.
fn find_project(directory: &impl Directory, from: &ProjectName, text: &str) -> Option<ProjectName> {
    let mut parts = text.split(':');
    let first = parts.next().unwrap_or_default();
    let mut found = if first.is_empty() {
        ProjectName::default()
    } else {
        let mut here = from.clone();
        loop {
            if let Some(project) = directory.included(&here, first) {
                break project;
            }
            here = directory.outer(&here)?;
        }
    };
    for part in parts {
        found = directory.included(&found, part)?;
    }
    Some(found)
}

#[cold]
fn unknown(directory: &impl Directory, scene: Scene<'_>, text: &str) -> AddressError {
    let names = directory.every_name();
    let mut candidates: Vec<String> = names.clone();
    // From inside a project its own nodes are called by their short names.
    let own = format!("{}:", scene.project);
    candidates.extend(names.iter().filter_map(|name| name.strip_prefix(&own)).map(str::to_owned));
    let spaced = format!("{}.", scene.namespace);
    candidates.extend(names.iter().filter_map(|name| name.strip_prefix(&spaced)).map(str::to_owned));
    if let Some((first, rest)) = text.split_once('.') {
        let concrete = directory.environments().values().filter(|env| env.is_concrete());
        let env = crate::diag::nearest(first, concrete.map(|env| env.name.as_str()));
        if let Some(env) = env {
            candidates.extend(
                crate::diag::nearest(rest, names.iter().map(String::as_str))
                    .map(|name| format!("{env}.{name}")),
            );
        }
    }
    let nearest = crate::diag::nearest(text, candidates.iter().map(String::as_str)).map(str::to_owned);
    AddressError::Unknown { text: text.to_owned(), nearest }
}

impl Directory for Envfile {
    fn environments(&self) -> &IndexMap<EnvName, Environment> {
        &self.environments
    }

    fn stage(&self, project: &ProjectName, name: &str) -> Option<(NodeName, Option<EnvName>)> {
        let found = if project.as_str().is_empty() {
            self.stages.get(name)
        } else {
            self.stages.get(format!("{project}:{name}").as_str())
        }?;
        Some((found.name.clone(), found.env.as_ref().map(|env| env.value.clone())))
    }

    fn included(&self, project: &ProjectName, name: &str) -> Option<ProjectName> {
        self.projects.get(project)?.included.get(name).cloned()
    }

    fn outer(&self, project: &ProjectName) -> Option<ProjectName> {
        self.projects.get(project)?.outer.clone()
    }

    fn node(&self, project: &ProjectName, name: &str) -> Option<NodeName> {
        let project = self.projects.get(project)?;
        let scopes = || std::iter::once(&project.base).chain(project.overlays.values());
        scopes()
            .find_map(|scope| scope.nodes.name_at(scope.nodes.get_index_of(name)?).cloned())
            .or_else(|| project.aliases.get(name).cloned())
    }

    fn is_in(&self, path: &NodePath, env: &EnvName) -> bool {
        self.node(Some(env), path).is_some()
    }

    fn every_name(&self) -> Vec<String> {
        let aliases = self.projects.values().flat_map(|project| {
            project.aliases.keys().map(|alias| match project.name.as_str() {
                "" => alias.clone(),
                name => format!("{name}:{alias}"),
            })
        });
        self.node_paths().iter().map(ToString::to_string).chain(aliases).collect()
    }
}
