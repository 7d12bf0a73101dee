//! The environments that were made from a pattern: the list of them, and how they join what the Envfile says.
//!
//! The list is `.envrun/env/made.json`, replaced as a whole under the lock `made.lock`. An environment of the list is one
//! like those of the Envfile: it extends its pattern, and says in its own block what was given (`ARG_…`) and which ports
//! were drawn for it.
//!
//! Invariant: a port is in the list before anybody is told of it, so no two environments are given the same.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::Timestamp;
use crate::base::fs::{self, FileLock, FsError};
use crate::diag::{Span, Spanned};
use crate::ledger;
use crate::model::{
    Constraints, EnvName, Envfile, Environment, Pattern, Scope, Value, Var, VarName, VarType,
};
use crate::record::STATE_DIR;

/// The list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// The number of the list's form.
    format: u32,
    /// Each by name.
    pub environments: BTreeMap<String, MadeEnvironment>,
}

/// An environment that was made from a pattern.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeEnvironment {
    /// The pattern.
    pub pattern: String,
    /// What was given.
    pub args: BTreeMap<String, String>,
    /// The ports that were drawn: `PORT`, or `project:PORT`.
    pub ports: BTreeMap<String, u16>,
    /// When it was made.
    pub created: Timestamp,
    /// How far it is.
    pub state: State,
    /// Why it was not made, or not taken down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// How long it may lie idle, in milliseconds, and what is to run before it is taken down, as the pattern had it when it
    /// was made: all that is known of that once the pattern is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u64>,
    /// The nodes, with their environment.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub on_destroy: Vec<String>,
}

/// How far an environment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It is being made; if nobody is at it, whoever was did not come to an end.
    Creating,
    /// It is there.
    Ready,
    /// It is being taken down, or could not be.
    Destroying,
}

impl State {
    /// In words that stand behind a name.
    pub fn word(self) -> &'static str {
        match self {
            Self::Creating => "not finished",
            Self::Ready => "ready",
            Self::Destroying => "not taken down",
        }
    }
}

/// The form that this program reads and writes.
const FORMAT: u32 = 1;
/// The file in an environment's folder whose time says when it was used last.
const USED: &str = "used";

/// Where the list is.
pub fn path(root: &Path) -> PathBuf {
    root.join(STATE_DIR).join("env").join("made.json")
}

impl Made {
    /// Reads the list; nothing is on it if there is none.
    pub fn read(root: &Path) -> Result<Self, FsError> {
        let path = path(root);
        let Some(bytes) = fs::read_if_there(&path)? else { return Ok(Self::default()) };
        let wrong = |reason: String| {
            FsError::new("read", &path, std::io::Error::new(std::io::ErrorKind::InvalidData, reason))
        };
        let made: Self = serde_json::from_slice(&bytes).map_err(|error| {
            wrong(format!(
                "{error}; it lists the environments that `envrun env create` made: mend it by hand, or move it away, and \
                 envrun knows none of them any more (what they left lies in `{STATE_DIR}/env/`)"
            ))
        })?;
        if made.format > FORMAT {
            return Err(wrong("a later envrun wrote it".into()));
        }
        Ok(made)
    }

    /// Changes the list. Nobody else changes it meanwhile.
    pub fn edit<T>(root: &Path, edit: impl FnOnce(&mut Self) -> T) -> Result<T, FsError> {
        let path = path(root);
        let folder = path.parent().unwrap_or(root);
        fs::create_folder(folder)?;
        let _lock = FileLock::wait(&folder.join("made.lock"))?;
        let mut made = Self::read(root)?;
        let result = edit(&mut made);
        made.format = FORMAT;
        let mut text = serde_json::to_vec_pretty(&made).expect("a list has only text for keys");
        text.push(b'\n');
        // Nothing else knows of them: after a loss of power it has to be there, and whole.
        fs::write_atomic_with(&path, 0o666, |file| {
            std::io::Write::write_all(file, &text)?;
            file.sync_all()
        })?;
        Ok(result)
    }

    /// Adds the environments of the list to what the Envfile says. One whose pattern is gone is one of its orphans; one whose
    /// name the Envfile now has itself is left out.
    pub fn join(&self, envfile: &mut Envfile) {
        for (name, made) in &self.environments {
            made.join(&EnvName::from(name.as_str()), envfile);
        }
    }
}

impl MadeEnvironment {
    /// How long it may lie idle: as its pattern says, or said when it was made, if the pattern is gone.
    pub fn ttl(&self, envfile: &Envfile) -> Option<Duration> {
        match envfile.environments.get(self.pattern.as_str()).filter(|pattern| pattern.ephemeral) {
            Some(pattern) => pattern.pattern.ttl,
            None => self.ttl.map(Duration::from_millis),
        }
    }

    /// Why it is not whole, if it is not and nobody is at it.
    pub fn broken_off(&self, root: &Path, name: &str) -> Option<String> {
        let interrupted = match self.state {
            State::Ready => return None,
            State::Creating => "`envrun env create` did not come to an end",
            State::Destroying => "`envrun env destroy` did not come to an end",
        };
        (!self.is_busy(root, name)).then(|| self.failure.clone().unwrap_or_else(|| interrupted.to_owned()))
    }

    /// Whether somebody is making it or taking it down.
    pub fn is_busy(&self, root: &Path, name: &str) -> bool {
        self.state != State::Ready && is_locked(root, &EnvName::from(name))
    }

    /// What to do about one that is not whole.
    pub fn remedy(&self, envfile: &Envfile, name: &str) -> String {
        let destroy = format!("`envrun env destroy {name}`");
        match (self.state, self.ttl(envfile)) {
            (State::Destroying, _) => format!(
                "{destroy} or `envrun env gc` tries again; `--force` of the first does without its `on-destroy`"
            ),
            (_, Some(_)) => format!("{destroy} takes it down now, `envrun env gc` when its `ttl` is over"),
            (_, None) => {
                format!("{destroy} takes it down; its pattern has no `ttl`, so `envrun env gc` never does")
            }
        }
    }

    fn join(&self, name: &EnvName, envfile: &mut Envfile) {
        let Some(pattern) =
            envfile.environments.get(self.pattern.as_str()).filter(|pattern| pattern.ephemeral)
        else {
            envfile.orphans.insert(name.clone(), self.pattern.as_str().into());
            return;
        };
        if envfile.environments.contains_key(name) {
            return;
        }
        let span = pattern.span;
        let environment = Environment {
            name: name.clone(),
            span,
            desc: pattern.desc.clone(),
            is_abstract: false,
            ephemeral: false,
            chain: pattern.chain.iter().cloned().chain([name.clone()]).collect(),
            pattern: Pattern { args: Vec::new(), ..pattern.pattern.clone() },
            made_from: Some(pattern.name.clone()),
        };
        let arguments: Vec<Var> = pattern
            .pattern
            .args
            .iter()
            .filter_map(|spec| {
                let value = self.args.get(&spec.name.value)?;
                Some(var(&spec.variable(), VarType::String, Value::String(value.clone()), spec.name.span))
            })
            .collect();
        let pattern = pattern.name.clone();
        for project in envfile.projects.values_mut() {
            let nodes = project.overlays.get(&pattern).map(|scope| scope.nodes.clone()).unwrap_or_default();
            let mut scope = Scope { nodes, ..Scope::default() };
            if project.name.as_str().is_empty() {
                scope.vars.extend(arguments.iter().map(|var| (var.name.clone(), var.clone())));
            }
            for (label, port) in &self.ports {
                let (owner, name) = label.rsplit_once(':').unwrap_or(("", label));
                if owner == project.name.as_str() {
                    let var = var(name, VarType::Port, Value::Int(i128::from(*port)), span);
                    scope.vars.insert(var.name.clone(), var);
                }
            }
            project.overlays.insert(name.clone(), scope);
        }
        envfile.environments.insert(name.clone(), environment);
    }

    /// When it was used last.
    pub fn used(&self, root: &Path, name: &str) -> Timestamp {
        let modified =
            std::fs::metadata(ledger::folder(root, name).join(USED)).and_then(|meta| meta.modified());
        let used = modified.ok().and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
        used.map_or(self.created, |used| {
            Timestamp(u64::try_from(used.as_millis()).unwrap_or(u64::MAX)).max(self.created)
        })
    }

    /// How long it may still lie idle; zero if it is due.
    pub fn left(&self, root: &Path, name: &str, ttl: Duration, now: Timestamp) -> Duration {
        let idle = Duration::from_millis(now.0.saturating_sub(self.used(root, name).0));
        ttl.saturating_sub(idle)
    }
}

/// Whether somebody is at it.
pub(super) fn is_locked(root: &Path, env: &EnvName) -> bool {
    FileLock::is_taken(&lock_path(root, env))
}

/// Beside its folder, which is removed in the end.
pub(super) fn lock_path(root: &Path, env: &EnvName) -> PathBuf {
    root.join(STATE_DIR).join("env").join(format!("{env}.life.lock"))
}

/// Takes down that an environment is used now. Whoever cannot is no worse off than one that was idle.
pub fn note_use(root: &Path, name: &str, now: Timestamp) {
    let _ = fs::write_atomic(&ledger::folder(root, name).join(USED), format!("{}\n", now.0).as_bytes());
}

/// The ports that the list has given away.
pub(super) fn taken(made: &Made) -> BTreeSet<u16> {
    made.environments.values().flat_map(|made| made.ports.values().copied()).collect()
}

fn var(name: &str, ty: VarType, value: Value, span: Span) -> Var {
    Var {
        name: VarName::from(name),
        span,
        ty: Some(ty),
        value: Some(Spanned::new(value, span)),
        constraints: Constraints::default(),
        optional: false,
        desc: None,
    }
}
