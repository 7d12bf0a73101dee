//! Nodes, and the task, which is the core of every kind of them.

use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;

use crate::base::RelPath;
use crate::diag::{Span, Spanned};

use super::{
    Condition, Constraints, Deploy, NodeName, NodeRef, Render, Requirement, Service, Snapshot, Value, Var,
    VarName, Word,
};

/// Something with a name that can be needed.
///
/// What every kind has (needs, variables, conditions, requirements, actions, folder) is its core, [`Node::task`]; what is
/// special to a kind stands beside it.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub enum Node {
    /// Runs once.
    Task(Arc<Task>),
    /// Stays up.
    Service(Arc<Service>),
    /// Changes a live environment, and can go back.
    Deploy(Arc<Deploy>),
    /// Saves data that can be put back.
    Snapshot(Arc<Snapshot>),
}

impl Node {
    /// What every kind has. For a task that is the task; of another kind it is the part that is the same for all: its
    /// `timeout`, for instance, is the one written in the service.
    pub fn task(&self) -> &Arc<Task> {
        match self {
            Self::Task(task) => task,
            Self::Service(service) => &service.task,
            Self::Deploy(deploy) => &deploy.task,
            Self::Snapshot(snapshot) => &snapshot.task,
        }
    }

    /// Its name.
    pub fn name(&self) -> &NodeName {
        &self.task().name
    }

    /// Where it is declared; for a patched node, where the innermost patch stands.
    pub fn span(&self) -> Span {
        self.task().span
    }

    /// What it is for.
    pub fn desc(&self) -> Option<&str> {
        self.task().desc.as_deref()
    }

    /// `task`, `service`, `deploy` or `snapshot`.
    pub fn kind(&self) -> Word {
        match self {
            Self::Task(_) => "task",
            Self::Service(_) => "service",
            Self::Deploy(_) => "deploy",
            Self::Snapshot(_) => "snapshot",
        }
    }

    /// What the machine must have for it.
    pub fn requires(&self) -> &[Requirement] {
        &self.task().requires
    }

    /// What must be over before it begins.
    pub fn needs(&self) -> &[NodeRef] {
        &self.task().needs
    }
}

/// A word that was read and checked, and that no code carries out yet.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Unbuilt {
    /// The word.
    #[serde(deserialize_with = "super::word::deserialize")]
    pub word: Word,
    /// Where it stands.
    pub span: Span,
}

/// Something that runs once.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Task {
    /// Its name inside the project.
    pub name: NodeName,
    /// Where it is declared.
    pub span: Span,
    /// One line on what it is for.
    pub desc: Option<String>,
    /// Other names.
    pub alias: Vec<Spanned<String>>,
    /// The heading it is listed under.
    pub group: Option<String>,
    /// Not listed.
    pub hidden: bool,
    /// Positional arguments and flags, in order.
    pub args: Vec<ArgSpec>,
    /// Skips it.
    pub when: Vec<Condition>,
    /// Refuses it.
    pub guard: Vec<Condition>,
    /// Changes something outside: never cached, never retried unless asked, covered by the environment's guard.
    pub mutates: bool,
    /// What the machine must have for it; a row that is given again has replaced the one below it.
    pub requires: Vec<Requirement>,
    /// What must have succeeded before it begins.
    pub needs: Vec<NodeRef>,
    /// What must be over before it begins, if it runs at all in this invocation.
    pub after: Vec<NodeRef>,
    /// Variables that reach it beside those its text mentions.
    pub uses: Vec<Spanned<String>>,
    /// Input globs relative to `dir`; `None` without the word.
    pub inputs: Option<Vec<Spanned<String>>>,
    /// Output paths and globs relative to `dir`; `None` without the word.
    pub outputs: Option<Vec<Spanned<String>>>,
    /// Files in make's format that name what was read, relative to `dir`.
    pub depfile: Vec<Spanned<String>>,
    /// Programs whose content or version is part of the key.
    pub tools: Vec<Spanned<String>>,
    /// Already there if this succeeds.
    pub done: Option<Spanned<Command>>,
    /// What it does, in order.
    pub actions: Vec<Spanned<Action>>,
    /// Where it runs, relative to the root: already joined with the folder of the declaring file. May hold `${NAME}`.
    pub dir: Spanned<String>,
    /// The folder of the project it belongs to: where it runs without a `dir`.
    pub project_dir: RelPath,
    /// The shell for shell text, such as `bash`; `sh` without the word.
    pub shell: Option<Spanned<String>>,
    /// Its own variables.
    pub vars: IndexMap<VarName, Var>,
    /// How long it may take.
    pub timeout: Option<Spanned<Duration>>,
    /// How often it is tried again.
    pub retry: Option<Retry>,
    /// The pool it takes a place in.
    pub pool: Option<Spanned<String>>,
    /// It talks to the terminal: runs alone, with standard input.
    pub interactive: bool,
    /// Runs when it failed.
    pub on_fail: Vec<NodeRef>,
    /// Runs when it succeeded.
    pub on_success: Vec<NodeRef>,
    /// What to look at when it fails.
    pub hint: Option<String>,
    /// What is kept from its commands.
    pub sandbox: Sandbox,
    /// Whether its result may be kept.
    pub cache: CacheMode,
    /// Words that no code carries out yet.
    pub unbuilt: Vec<Unbuilt>,
}

impl Task {
    /// A task that says nothing but its name, in the folder of its project.
    pub fn new(name: NodeName, span: Span, project_dir: RelPath) -> Self {
        Self {
            name,
            span,
            desc: None,
            alias: Vec::new(),
            group: None,
            hidden: false,
            args: Vec::new(),
            when: Vec::new(),
            guard: Vec::new(),
            mutates: false,
            requires: Vec::new(),
            needs: Vec::new(),
            after: Vec::new(),
            uses: Vec::new(),
            inputs: None,
            outputs: None,
            depfile: Vec::new(),
            tools: Vec::new(),
            done: None,
            actions: Vec::new(),
            dir: Spanned::new(project_dir.display().into_owned(), span),
            project_dir,
            shell: None,
            vars: IndexMap::new(),
            timeout: None,
            retry: None,
            pool: None,
            interactive: false,
            on_fail: Vec::new(),
            on_success: Vec::new(),
            hint: None,
            sandbox: Sandbox::None,
            cache: CacheMode::Auto,
            unbuilt: Vec::new(),
        }
    }

    /// Whether it sees only declared variables and its result is kept.
    pub fn is_cacheable(&self) -> bool {
        (self.inputs.is_some() || self.outputs.is_some()) && self.cache == CacheMode::Auto && !self.mutates
    }

    /// Whether it says what files it writes.
    pub fn writes(&self) -> bool {
        self.outputs.is_some() || self.renders().next().is_some()
    }

    /// The files that it writes by itself.
    pub fn renders(&self) -> impl Iterator<Item = &Render> {
        self.actions.iter().filter_map(|action| match &action.value {
            Action::Render(render) => Some(render),
            _ => None,
        })
    }

    /// Whether it only stands for its needs.
    pub fn is_group(&self) -> bool {
        self.actions.is_empty()
    }
}

/// One step of a task.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub enum Action {
    /// A command.
    Run(Command),
    /// Another task's actions, in place, with the caller's context.
    Call(NodeRef),
    /// Another environment's data, put into this one.
    Load(Load),
    /// A file that is written whole.
    Render(Render),
    /// A step whose behaviour is not built yet.
    Unbuilt(#[serde(deserialize_with = "super::word::deserialize")] Word),
}

/// `load "production.db" at="latest" through="sanitise"`.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Load {
    /// The snapshot node whose data it is. The one of the same name here puts it back.
    pub snapshot: NodeRef,
    /// The task that rewrites a private copy first, and must succeed.
    pub through: Option<NodeRef>,
    /// Which of the copies that were saved earlier; nothing is saved then. May mention variables.
    pub at: Option<Spanned<String>>,
    /// How old that copy may be.
    pub within: Option<Duration>,
}

impl Load {
    /// As it is written, in short: `load prod.db at latest through sanitise`.
    pub fn display(&self) -> String {
        let named = |node: &NodeRef| match &node.env {
            Some(env) => format!("{env}.{}", node.path),
            None => node.path.to_string(),
        };
        let mut text = format!("load {}", named(&self.snapshot));
        if let Some(at) = &self.at {
            text += &format!(" at {}", at.value);
        }
        if let Some(through) = &self.through {
            text += &format!(" through {}", named(through));
        }
        text
    }
}

/// A command as written.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Command {
    /// Text for a shell.
    Shell(String),
    /// Words, no shell; each may hold `${NAME}`.
    Argv(Vec<String>),
}

impl Command {
    /// As a person would type it.
    pub fn display(&self) -> String {
        match self {
            Self::Shell(text) => text.trim().to_owned(),
            Self::Argv(words) => words
                .iter()
                .map(|word| {
                    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
                    if !word.is_empty() && word.chars().all(plain) {
                        word.clone()
                    } else {
                        format!("'{}'", word.replace('\'', r"'\''"))
                    }
                })
                .collect::<Vec<_>>()
                .join(" "),
        }
    }
}

/// Whether a task's result may be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub enum CacheMode {
    /// As its inputs and outputs say.
    #[default]
    Auto,
    /// `cache #false`: it always runs.
    Never,
}

/// What is kept from a task's commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub enum Sandbox {
    /// Nothing.
    #[default]
    None,
    /// `sandbox "strict"`: the files of the project that the task does not declare.
    Strict,
}

/// An `arg` or `flag` of a task.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct ArgSpec {
    /// The name; it arrives as `ARG_NAME`, upper case, `-` as `_`.
    pub name: Spanned<String>,
    /// Positional, or a flag.
    pub kind: ArgKind,
    /// The value without one given; a positional argument without default is required.
    pub default: Option<Value>,
    /// What is asked of the value.
    pub constraints: Constraints,
    /// What it is for.
    pub desc: Option<String>,
    /// The variable of the caller that gives a value when the command line does not.
    pub env: Option<String>,
}

impl ArgSpec {
    /// The name of the variable it arrives as.
    pub fn variable(&self) -> String {
        format!("ARG_{}", self.name.value.to_uppercase().replace('-', "_"))
    }
}

/// The form of an argument on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum ArgKind {
    /// `envrun unit tests/a.py`.
    Positional {
        /// It takes all that is left (`repeat=#true`), joined by newlines.
        repeat: bool,
    },
    /// `--coverage`: arrives as `true`, or not at all.
    Switch,
}

/// `retry 3 every="2s" backoff=2.0 on="exit:75|timeout"`.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Retry {
    /// How many times more it is tried.
    pub times: u32,
    /// The pause before the second try.
    pub every: Duration,
    /// What the pause is multiplied with each time.
    pub backoff: f64,
    /// Which failures are tried again; all without the word.
    pub on: Vec<RetryOn>,
    /// Where it is written.
    pub span: Span,
}

/// A failure that is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum RetryOn {
    /// This exit status.
    Exit(i32),
    /// It took too long.
    Timeout,
}

/// How many tasks of a kind may run at once.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Pool {
    /// Its name.
    pub name: String,
    /// How many.
    pub depth: usize,
    /// Where it is declared.
    pub span: Span,
}
