//! One service with every value filled in: all that is needed to run it, and nothing of the Envfile.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::Digest;
use crate::exec::Environ;
use crate::model::{Command, Gate};

use super::part::Parts;

/// How long a service may take to become ready unless it says otherwise.
pub const READY_TIMEOUT: Duration = Duration::from_secs(60);
/// The pause between two tries of its probes unless it says otherwise.
pub const READY_EVERY: Duration = Duration::from_millis(100);
/// How long a child has between SIGTERM and SIGKILL unless it says otherwise.
pub const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a `stop` command has unless the service says otherwise.
pub const STOP_COMMAND_TIMEOUT: Duration = Duration::from_secs(60);
/// How often a service is started again by itself unless it says otherwise.
pub const RESTARTS: u32 = 10;

/// A service, ready to be started. Holds values that may be secret: it travels over a socket that only its owner may open,
/// and is never written to a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spec {
    /// `dev.api`: its name in the supervisor.
    pub label: String,
    /// `api`: its name in its environment.
    pub name: String,
    /// What runs.
    pub how: How,
    /// Where: an absolute path.
    pub dir: PathBuf,
    /// Every variable that its commands see.
    pub environ: Variables,
    /// The shell for shell text; `sh` without one.
    pub shell: Option<String>,
    /// When it can be used.
    pub ready: Readiness,
    /// How it is brought to its end; the default of its kind without one.
    pub timeout: Option<Duration>,
    /// When it is started again by itself.
    pub restart: Policy,
    /// Where to find it.
    pub urls: Vec<Link>,
    /// The ports it is told to use.
    pub ports: Vec<u16>,
    /// The labels of the services it needs, and how far each has to be before it starts: they are stopped after it.
    pub needs: BTreeMap<String, Gate>,
    /// Of everything that makes it what it is: one that runs with another identity is not this one.
    pub identity: Digest,
    /// Of what it depends on: what the tasks made that it needs, and the files that it watches. Nothing where nobody knows.
    #[serde(default)]
    pub content: Option<Digest>,
    /// All that both are made of, to say what differs.
    #[serde(default)]
    pub parts: Parts,
    /// What to look at when it fails.
    pub hint: Option<String>,
    /// Values that its log must not show.
    pub secrets: Vec<String>,
    /// Where its logs go.
    pub logs: PathBuf,
}

impl Spec {
    /// Whether another one, with the same values, depends on something else than this one did. Where nobody knows, it is
    /// left alone.
    pub fn is_outdated_by(&self, other: &Self) -> bool {
        matches!((self.content, other.content), (Some(before), Some(now)) if before != now)
    }

    /// What another one with the same name has otherwise than this one, in words that stand after "because".
    pub fn differences(&self, other: &Self) -> Vec<String> {
        self.parts.differences(&other.parts, self.content.is_some() && other.content.is_some())
    }
}

/// What a service runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// A child.
    Child {
        /// The command that stays up.
        run: Command,
        /// What asks it to end, before SIGTERM does.
        stop: Option<Command>,
    },
    /// Somebody else's daemon.
    Daemon {
        /// Starts it.
        start: Command,
        /// Stops it.
        stop: Option<Command>,
        /// Follows its log.
        log: Option<Command>,
    },
}

impl How {
    /// The command that starts it.
    pub fn command(&self) -> &Command {
        match self {
            Self::Child { run, .. } => run,
            Self::Daemon { start, .. } => start,
        }
    }
}

/// When a service can be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    /// All of them must pass.
    pub probes: Vec<Probe>,
    /// The pause between two tries.
    pub every: Duration,
    /// How long it may take.
    pub timeout: Duration,
}

/// One question to a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// What to call it in messages.
    pub name: String,
    /// What is asked.
    pub asks: Asks,
}

/// What is asked of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Asks {
    /// This address answers with a good status.
    Http {
        /// The address.
        url: String,
        /// The status wanted; any below 400 without it.
        status: Option<u16>,
    },
    /// This address accepts a connection.
    Tcp(String),
    /// This command succeeds.
    Exec(Command),
    /// A line of its output matches.
    Log(String),
    /// It says so itself.
    Notify,
}

/// When a service is started again by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// On which occasion.
    pub when: When,
    /// How often at the most, in a row.
    pub max: u32,
}

/// On which occasion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum When {
    /// On none.
    #[default]
    Never,
    /// When it ended badly.
    OnFailure,
    /// Whenever it ended.
    Always,
}

impl Default for Policy {
    fn default() -> Self {
        Self { when: When::Never, max: RESTARTS }
    }
}

/// Where to find a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// What to call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The address.
    pub url: String,
}

/// Variables in a form that can travel. Names and values that are not UTF-8 travel as their bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variables {
    texts: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    bytes: Vec<(Vec<u8>, Vec<u8>)>,
}

impl From<&Environ> for Variables {
    fn from(environ: &Environ) -> Self {
        let mut variables = Self::default();
        for (name, value) in environ.iter() {
            match (name.to_str(), value.to_str()) {
                (Some(name), Some(value)) => {
                    variables.texts.insert(name.to_owned(), value.to_owned());
                }
                _ => variables.bytes.push((name.as_bytes().to_vec(), value.as_bytes().to_vec())),
            }
        }
        variables
    }
}

impl Variables {
    /// As commands take them.
    pub fn environ(&self) -> Environ {
        let mut environ = Environ::new(&self.texts);
        for (name, value) in &self.bytes {
            environ.set(OsStr::from_bytes(name), OsStr::from_bytes(value));
        }
        environ
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_travel_whatever_they_hold() {
        let environ = Environ::new([
            (OsStr::new("A"), OsStr::new("ä\n\"")),
            (OsStr::new("B"), OsStr::from_bytes(b"\xff")),
        ]);
        let text = serde_json::to_string(&Variables::from(&environ)).unwrap();
        let back: Variables = serde_json::from_str(&text).unwrap();
        assert_eq!(back.environ(), environ);
    }
}
