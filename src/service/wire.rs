//! What a session and its supervisor say to each other: JSON, one object per line.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::exec::{Identity, Stream};

use super::Gate;
use super::spec::Spec;
use super::state::{Failure, Status};
use super::supervisor::{Begun, Told};

/// What a session asks for, under a number of its own.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Asked {
    pub(super) id: u64,
    #[serde(flatten)]
    pub(super) request: Request,
}

/// What can be asked for.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub(super) enum Request {
    /// The first: who is there?
    Hello { format: u32 },
    /// Have this service up, as long as this session is there.
    Up { spec: Box<Spec> },
    /// Say what this service would have otherwise than it has; nothing is done.
    Compare { spec: Box<Spec> },
    /// Say when a service has come that far, or why it has not; as far as it is to come, to whoever only watches.
    Wait { label: String, gate: Option<Gate> },
    /// These stay up when the session ends.
    Keep { labels: Vec<String> },
    /// This session does not need these any longer; say when they are down, unless others need them.
    Release { labels: Vec<String> },
    /// Stop these, whoever needs them; all of them without a list. `specs` are of daemons that an earlier supervisor left.
    Stop { labels: Option<Vec<String>>, specs: Vec<Spec> },
    /// Start these again, those that somebody wants, in the order of what they need; say when each has been started.
    /// `named`: also what has done what it is there for.
    Restart { labels: Vec<String>, named: bool },
    /// What is known of all; with what their processes take.
    Status { usage: bool },
    /// From now on, tell what changes and what is printed.
    Subscribe,
    /// Hurry the stopping: 2 for SIGTERM, 3 for SIGKILL.
    Hurry { level: u32 },
}

/// What a supervisor says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Said {
    /// The answer to a request.
    Reply { id: u64, reply: Box<Reply> },
    /// A service changed.
    Changed(Box<Status>),
    /// A service printed something.
    Output {
        label: String,
        stream: Stream,
        #[serde(serialize_with = "write_bytes", deserialize_with = "read_bytes")]
        bytes: Vec<u8>,
    },
}

/// An answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Reply {
    /// Who is there, and the services of an earlier supervisor whose processes it found and ended.
    Hello {
        format: u32,
        supervisor: Identity,
        ended: Vec<String>,
    },
    /// What was done, and what the service had otherwise before.
    Begun {
        begun: Begun,
        differences: Vec<String>,
    },
    Differences(Vec<String>),
    Come(Box<Status>),
    Failed(Box<Failure>),
    /// These were started again, in this order.
    Again(Vec<String>),
    Statuses(Vec<Status>),
    Done,
    /// It was not understood.
    Wrong(String),
}

impl From<Told> for Said {
    fn from(told: Told) -> Self {
        match told {
            Told::Changed(status) => Self::Changed(status),
            Told::Output { label, stream, bytes } => Self::Output { label: label.to_string(), stream, bytes },
        }
    }
}

/// A line of the wire.
pub(super) fn line(said: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(said).expect("everything said has texts for keys");
    line.push(b'\n');
    line
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Bytes<'a> {
    Text(std::borrow::Cow<'a, str>),
    Bytes(std::borrow::Cow<'a, [u8]>),
}

fn write_bytes<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Bytes::Text(text.into()).serialize(serializer),
        Err(_) => Bytes::Bytes(bytes.into()).serialize(serializer),
    }
}

fn read_bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    Ok(match Bytes::deserialize(deserializer)? {
        Bytes::Text(text) => text.into_owned().into_bytes(),
        Bytes::Bytes(bytes) => bytes.into_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_travel_whatever_they_are() {
        for bytes in [&b"text \"\n\x1b[1m"[..], b"\xff\x00\n", b""] {
            let said = Said::Output { label: "a".into(), stream: Stream::Stderr, bytes: bytes.to_vec() };
            let line = line(&said);
            assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
            match serde_json::from_slice(&line).unwrap() {
                Said::Output { bytes: back, .. } => assert_eq!(back, bytes),
                other => panic!("{other:?}"),
            }
        }
    }
}
