//! What others see of a service: where it stands, since when, and how it ended last.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::unit::show_duration;
use crate::base::{Digest, Timestamp};
use crate::exec::{Identity, Usage};

use super::spec::Link;

/// Where a service stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum State {
    /// Its command is being started.
    Starting,
    /// It runs, and its probes are asked.
    Started,
    /// It can be used.
    Ready,
    /// It ended, and is started again after a pause.
    #[serde(rename = "restarting")]
    Pausing {
        /// How it ended.
        exit: Exit,
        /// How long the pause is.
        #[serde(rename = "pause_ms", with = "millis")]
        pause: Duration,
        /// Which restart it is going to be, counted since somebody wanted it up.
        attempt: u32,
    },
    /// It is being brought to its end.
    Stopping {
        /// After how long SIGKILL follows; not of one that a command of its own ends.
        #[serde(rename = "kill_ms", with = "some_millis", default, skip_serializing_if = "Option::is_none")]
        kill: Option<Duration>,
    },
    /// It is down, and is started again when what it needs is there.
    Waiting,
    /// It was stopped, or never started.
    Stopped,
    /// It ended by itself, and well.
    Completed,
    /// It ended badly, or was never ready.
    Failed(Trouble),
}

impl State {
    /// Whether nothing of it runs and nothing is going to.
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Stopped | Self::Completed | Self::Failed(_))
    }

    /// Whether something of it may be there: it runs, or is going to, or its `stop` command failed.
    pub fn may_be_up(&self) -> bool {
        !self.is_over() || matches!(self, Self::Failed(Trouble::NotStopped { .. }))
    }

    /// The word for it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Started => "started",
            Self::Ready => "ready",
            Self::Pausing { .. } => "restarting",
            Self::Stopping { .. } => "stopping",
            Self::Waiting => "waiting",
            Self::Stopped => "stopped",
            Self::Completed => "completed",
            Self::Failed(_) => "failed",
        }
    }
}

/// What went wrong with a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "trouble", rename_all = "kebab-case")]
pub enum Trouble {
    /// It ended.
    Ended {
        /// How.
        exit: Exit,
    },
    /// It ended again and again.
    Loop {
        /// How often it was started again.
        times: u32,
        /// How it ended last.
        exit: Exit,
    },
    /// It was not ready in time.
    NotReady {
        /// The time it had.
        #[serde(rename = "within_ms", with = "millis")]
        within: Duration,
    },
    /// It is somebody else's daemon, and its `stop` command did not succeed: it may still be up.
    NotStopped {
        /// How that ended.
        exit: Exit,
    },
    /// It was to be started again, and what it needs did not come up.
    Blocked {
        /// What it needs.
        need: String,
    },
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended { exit: exit @ Exit::TimedOut { .. } } => write!(f, "its `start` command {exit}"),
            Self::Ended { exit } => write!(f, "{exit}"),
            Self::Loop { times: 1, exit } => write!(f, "{exit}, again after 1 restart"),
            Self::Loop { times, exit } => write!(f, "{exit}, again after {times} restarts"),
            Self::NotStopped { exit } => write!(f, "its `stop` command {exit}, so it may still be up"),
            Self::Blocked { need } => {
                write!(f, "not started again, because `{need}`, which it needs, is not up")
            }
            Self::NotReady { within } => write!(f, "not ready within {}", show_duration(*within)),
        }
    }
}

/// How a service's process ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "exit", rename_all = "kebab-case")]
pub enum Exit {
    /// By itself.
    Status {
        /// Its status; 0 is success.
        status: i32,
    },
    /// By a signal that was not ours.
    Signal {
        /// Its number.
        signal: i32,
    },
    /// By us.
    Told,
    /// By us, because its time was over: a command that starts or stops a daemon.
    TimedOut {
        /// The time it had.
        #[serde(rename = "limit_ms", with = "millis")]
        limit: Duration,
    },
    /// It could not be started.
    NotStarted {
        /// Why.
        reason: String,
        /// What to do.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
    },
}

impl Exit {
    /// Whether it ended by itself, and well.
    pub fn is_success(&self) -> bool {
        *self == Self::Status { status: 0 }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status { status } => write!(f, "ended with exit status {status}"),
            Self::Signal { signal } => match signal_hook::low_level::signal_name(*signal) {
                Some(name) => write!(f, "ended by {name}"),
                None => write!(f, "ended by signal {signal}"),
            },
            Self::Told => f.write_str("stopped"),
            Self::TimedOut { limit } => write!(f, "took longer than {}", show_duration(*limit)),
            Self::NotStarted { reason, .. } => write!(f, "could not be started: {reason}"),
        }
    }
}

/// What is known of a service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// `dev.api`.
    pub label: String,
    /// `api`.
    pub name: String,
    /// Where it stands.
    #[serde(flatten)]
    pub state: State,
    /// Its first process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<Identity>,
    /// When it was started last; since when it waits for that, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
    /// Since when it can be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<Timestamp>,
    /// How often it was started again by itself since somebody wanted it up.
    pub restarts: u32,
    /// How its process ended last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_exit: Option<Exit>,
    /// Of one that failed, or is started again because it did: what is known of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Box<Failure>>,
    /// Where to find it.
    pub urls: Vec<Link>,
    /// The ports it is told to use.
    pub ports: Vec<u16>,
    /// What it is: one with other values is not the same.
    pub identity: Digest,
    /// What it depends on, as it was when it was started last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Digest>,
    /// It stays up when nobody needs it any longer.
    pub kept: bool,
    /// It is somebody else's daemon: its processes are not ours.
    pub daemon: bool,
    /// Of such a daemon: it was up before, and was not started.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub found: bool,
    /// What its processes take, if that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// The part of one processor that they had lately, in thousandths, if that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load: Option<u32>,
}

/// Why a service that was wanted is not up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What went wrong.
    pub reason: String,
    /// The last lines of its output.
    pub lines: Vec<String>,
    /// The probes that did not pass, and what each was answered last: a line for each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<String>,
    /// What to look at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Where its whole output is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<std::path::PathBuf>,
}

pub(super) mod millis {
    //! Durations as whole milliseconds.

    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}

mod some_millis {
    //! Durations that may be missing, as whole milliseconds.

    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[expect(clippy::ref_option, reason = "serde hands it over like this")]
    pub(super) fn serialize<S: Serializer>(
        time: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        time.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(deserializer)?.map(Duration::from_millis))
    }
}
