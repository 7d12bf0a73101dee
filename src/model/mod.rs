//! What an Envfile says, as plain data: projects, environments, tasks, values, conditions.
//!
//! Everything here is already looked up and patched: `extends` chains are flattened, references are canonical, globs
//! are still text. A word whose behaviour is not built yet is kept in [`Task::unbuilt`], so that a run that needs it can
//! say so.
//!
//! Invariant: knows nothing of KDL; does no IO.

pub mod address;
mod condition;
mod constraint;
mod deploy;
mod name;
mod node;
mod nodes;
mod render;
mod requirement;
mod schedule;
mod secret;
mod service;
mod value;
mod word;

pub use condition::{Condition, ConditionKind};
pub use constraint::{Violation, check_value};
pub use deploy::{Deploy, Keep, Snapshot, Verify};
pub use name::{EnvName, Gate, NodeName, NodePath, NodeRef, ProjectName, VarName};
pub use node::{
    Action, ArgKind, ArgSpec, CacheMode, Command, Load, Node, Pool, Retry, RetryOn, Sandbox, Task, Unbuilt,
};
pub use nodes::Nodes;
pub use render::{Content, Only, Render};
pub use requirement::{Amount, Requirement, RequirementKind, merge_requirements};
pub use schedule::{Overlap, Schedule, Times};
pub use secret::{Generate, Kept, Rotate, Secret, SecretSpec, Store, StoreFormat, StoreRef, lay_secrets};
pub use service::{Probe, ProbeKind, Ready, Restart, Service, Url};
pub use value::{Constraints, Dotenv, Value, Var, VarType};
pub use word::Word;

use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;

use crate::base::RelPath;
use crate::diag::{Span, Spanned};

/// Everything that the root Envfile and its includes say.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Envfile {
    /// The project's name; the folder's if it has none.
    pub name: Option<Spanned<String>>,
    /// The environment of a target that names none.
    pub default_env: Option<Spanned<EnvName>>,
    /// How long run logs are kept.
    pub keep_logs: Option<Duration>,
    /// Every environment, in the order written. An environment of an included project is one of these too.
    pub environments: IndexMap<EnvName, Environment>,
    /// The root project (with the empty name, first) and every included one.
    pub projects: IndexMap<ProjectName, Project>,
    /// Stages, in the order written; one of an included project is called `project:stage`.
    pub stages: IndexMap<NodeName, Stage>,
    /// Nodes that run at given times, in the order written.
    pub schedules: Vec<Schedule>,
    /// Pools: how many tasks of each may run at once.
    pub pools: IndexMap<String, Pool>,
    /// Limits and place of the local cache.
    pub cache: CacheSettings,
    /// The git remote that records are shared through (`state git="origin"`).
    pub state: Option<Spanned<String>>,
    /// Environments that were made and that no target can name any more, each with its pattern, which is gone.
    #[serde(skip)]
    pub orphans: IndexMap<EnvName, EnvName>,
    /// Why nobody knows which environments were made, and what to do.
    #[serde(skip)]
    pub made_unread: Option<String>,
}

/// One environment.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Environment {
    /// Its name.
    pub name: EnvName,
    /// Where it is declared.
    pub span: Span,
    /// What it is for.
    pub desc: Option<String>,
    /// It is only there to be extended.
    pub is_abstract: bool,
    /// It is a pattern from which environments are made.
    pub ephemeral: bool,
    /// What it extends, furthest first, itself last.
    pub chain: Vec<EnvName>,
    /// How environments are made from it; for a pattern, and for what one may extend.
    pub pattern: Pattern,
    /// The pattern that it was made from (`envrun env create`): then it stands in no Envfile.
    pub made_from: Option<EnvName>,
}

/// How environments are made from a pattern, and taken down.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Pattern {
    /// What has to be given to make one; each arrives in it as `ARG_NAME`.
    pub args: Vec<ArgSpec>,
    /// How long one may lie idle.
    pub ttl: Option<Duration>,
    /// What runs when one was made.
    pub on_create: Vec<NodeRef>,
    /// What runs before one is taken down.
    pub on_destroy: Vec<NodeRef>,
}

impl Environment {
    /// Whether a run can be in it: it is neither abstract nor a pattern.
    pub fn is_concrete(&self) -> bool {
        !self.is_abstract && !self.ephemeral
    }
}

/// A folder with an Envfile: the root, or one that was included.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Project {
    /// Empty for the root.
    pub name: ProjectName,
    /// Its folder.
    pub dir: RelPath,
    /// The project that includes it; `None` for the root. Names that are not found here are looked up there.
    pub outer: Option<ProjectName>,
    /// The projects it includes: how they are called here, and which they are. A folder included from two places is one
    /// project, so the name it has here may not be the end of its own.
    pub included: IndexMap<String, ProjectName>,
    /// Other names of its nodes.
    pub aliases: IndexMap<String, NodeName>,
    /// The stores that it declares.
    pub stores: IndexMap<String, Store>,
    /// What every environment starts from.
    pub base: Scope,
    /// What each environment says of this project, on its own: `nodes` already patched through the whole `extends`
    /// chain, everything else as written in that one `env` block (walk [`Environment::chain`] for the rest).
    pub overlays: IndexMap<EnvName, Scope>,
}

/// What stands in one scope: the root of a file, or an `env` block.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Scope {
    /// Tasks, services, deploys, snapshots. In an overlay: only those that differ from the base.
    #[serde(skip)]
    pub nodes: Nodes,
    /// Variables; `Var::value` is `None` for a required name, `Some(Value::Null)` takes an inherited name away.
    pub vars: IndexMap<VarName, Var>,
    /// Secrets by name, as written in this one block.
    pub secrets: IndexMap<VarName, Secret>,
    /// Where all secrets are kept whose own block does not say so, the inherited ones too: a `secrets store=…` without names.
    pub kept: Option<Spanned<Kept>>,
    /// What blocks with `store=` and names of their own say, each once. If there is but one, inherited secrets are kept there
    /// too; which of several would hold for them nobody could say.
    pub kept_some: Vec<Kept>,
    /// dotenv files, in order.
    pub dotenv: Vec<Dotenv>,
    /// Conditions that refuse.
    pub guard: Vec<Condition>,
    /// Conditions that skip.
    pub when: Vec<Condition>,
    /// Conditions under which this environment is chosen when none is named.
    pub matches: Vec<Condition>,
    /// What the machine must have, as written in this one block.
    pub requires: Vec<Requirement>,
    /// Words of the scope itself that no code carries out yet, such as `state`.
    pub unbuilt: Vec<Unbuilt>,
}

impl Project {
    /// Every scope: the base, then each overlay.
    pub fn scopes(&self) -> impl Iterator<Item = &Scope> {
        std::iter::once(&self.base).chain(self.overlays.values())
    }

    /// The node of that name as `env` has it.
    pub fn node(&self, env: Option<&EnvName>, name: &NodeName) -> Option<&Node> {
        env.and_then(|env| self.overlays.get(env)?.nodes.get(name)).or_else(|| self.base.nodes.get(name))
    }
}

impl Envfile {
    /// Whether it was read from a compiled snapshot, and a node that somebody asked for was not whole there. Then there
    /// seemed to be none, and what was made of that is worth nothing.
    pub fn is_torn(&self) -> bool {
        self.projects.values().flat_map(Project::scopes).any(|scope| scope.nodes.is_torn())
    }

    /// The node at `path` as `env` has it.
    pub fn node(&self, env: Option<&EnvName>, path: &NodePath) -> Option<&Node> {
        self.projects.get(&path.project)?.node(env, &path.name)
    }

    /// Every node path, of every project and environment, each once, in the order written.
    pub fn node_paths(&self) -> Vec<NodePath> {
        let mut paths = indexmap::IndexSet::new();
        for project in self.projects.values() {
            for name in project.scopes().flat_map(|scope| scope.nodes.keys()) {
                paths.insert(NodePath { project: project.name.clone(), name: name.clone() });
            }
        }
        paths.into_iter().collect()
    }

    /// The environments that have `path`; empty if it stands at the root and so is in all of them.
    pub fn environments_of(&self, path: &NodePath) -> Vec<EnvName> {
        let Some(project) = self.projects.get(&path.project) else { return Vec::new() };
        if project.base.nodes.contains_key(&path.name) {
            return Vec::new();
        }
        let has = |env: &&EnvName| {
            project.overlays.get(*env).is_some_and(|scope| scope.nodes.contains_key(&path.name))
        };
        self.environments.keys().filter(has).cloned().collect()
    }

    /// Environments that a run can be in: neither abstract nor a pattern.
    pub fn concrete_environments(&self) -> impl Iterator<Item = &Environment> {
        self.environments.values().filter(|env| env.is_concrete())
    }
}

/// A step of the pipeline.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Stage {
    /// Its name.
    pub name: NodeName,
    /// Where it is declared.
    pub span: Span,
    /// What it is for.
    pub desc: Option<String>,
    /// The environment it runs in.
    pub env: Option<Spanned<EnvName>>,
    /// The stages before it.
    pub after: Vec<Spanned<String>>,
    /// Skips it.
    pub when: Vec<Condition>,
    /// Refuses it.
    pub guard: Vec<Condition>,
    /// What it runs.
    pub run: Vec<NodeRef>,
}

/// What the `cache` block says.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct CacheSettings {
    /// The most bytes the local cache may hold.
    pub max_size: Option<u64>,
    /// The longest a result may lie unused.
    pub max_age: Option<Duration>,
    /// Where it lies, if not in the user's cache folder.
    pub dir: Option<Arc<str>>,
}
