//! The lines of a ledger.

use serde::{Deserialize, Serialize};

use crate::base::text::{read_lines, read_one_line};
use crate::base::{Digest, Identity, Timestamp};
use crate::cache::CacheKey;

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Origin 0, without a gap.
    pub seq: u64,
    /// When it was written.
    pub time: Timestamp,
    /// What it says.
    #[serde(flatten)]
    pub what: What,
}

/// What a line says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "kebab-case")]
#[expect(
    clippy::large_enum_variant,
    reason = "a ledger has few lines, and every release begins with the large one"
)]
pub enum What {
    /// The environment is locked for a release.
    Began(Began),
    /// A release that was cut short is in other hands: it is brought to its end, or taken back.
    TakenUp {
        /// Which.
        release: u64,
        /// By whom.
        who: Who,
        /// Doing what: `deploy resume prod`.
        doing: String,
        /// The run in whose records the output is.
        run: String,
    },
    /// A release came into its next phase.
    Reached(Reached),
    /// A release is over.
    Ended {
        /// Which.
        release: u64,
        /// How.
        outcome: Outcome,
        /// Why, if it is not live: in words that stand after "because".
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "read_lines")]
        reason: Option<String>,
        /// Where the output of its commands is, relative to the root.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        logs: Vec<String>,
    },
    /// The bytes of these releases need not be kept any longer.
    Pruned {
        /// Which.
        releases: Vec<u64>,
    },
    /// The ledger was damaged, or had other lines than the shared one: this is what could be brought together.
    Mended {
        /// Who did it.
        who: Who,
        /// The file that keeps what was there before, in the environment's folder.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        kept: Option<String>,
        /// How many lines could not be read.
        #[serde(default)]
        lost: usize,
    },
}

/// How a release began.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Began {
    /// Its number in the environment, from 1.
    pub release: u64,
    /// What kind of release.
    pub kind: Kind,
    /// The deploy, without the environment: `deploy`, `api:deploy`.
    pub node: String,
    /// The revision that goes live: a full commit id, or whatever the deploy's `revision` says.
    pub revision: String,
    /// The release that was live before, to which it can go back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<u64>,
    /// The revision of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_revision: Option<String>,
    /// The proved release of another environment whose bytes it ships.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Origin>,
    /// The earlier release that a rollback puts back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<u64>,
    /// The git tag that marks what it replaces, when it is live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<Tag>,
    /// Data that a rollback puts back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub data: Vec<Saved>,
    /// A restore replaces data that are beyond saving: nothing of them is saved, and there is no way back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unsaved: bool,
    /// The variables that it was given by hand (`-s`). Their values are known where it began, and not told to others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub given: Vec<String>,
    /// Who began it.
    pub who: Who,
    /// The run in whose records the output is.
    pub run: String,
    /// The number that it had in the checkout that began it, if that was not the shared one at the time: its line stands
    /// behind others that are younger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub was: Option<u64>,
    /// Why gates were passed without being asked, if they were: it is recorded for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub break_glass: Option<String>,
}

/// A name for a revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tag {
    /// The name.
    pub name: String,
    /// The full id of the commit that it is for.
    pub revision: String,
}

/// A release of another environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The environment.
    pub env: String,
    /// Its number there.
    pub release: u64,
}

/// Somebody, somewhere.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Who {
    /// The user's name.
    #[serde(deserialize_with = "read_one_line")]
    pub user: String,
    /// The machine's.
    #[serde(deserialize_with = "read_one_line")]
    pub host: String,
    /// The process: its number, and what tells it from others of that number.
    #[serde(flatten)]
    pub process: Identity,
}

/// A release came into its next phase, and what was found out on the way there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reached {
    /// Which.
    pub release: u64,
    /// The phase it is in from now on.
    pub phase: Phase,
    /// Guards that held, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<String>,
    /// What it ships.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artefacts: Vec<Artefact>,
    /// Data that was saved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub snapshots: Vec<Saved>,
    /// One digest over all values of the environment, secrets hashed with a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub values: Option<String>,
    /// Why it goes back, in words that stand after "because".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl Reached {
    /// Nothing was found out but that it is there.
    pub fn new(release: u64, phase: Phase) -> Self {
        Self {
            release,
            phase,
            evidence: Vec::new(),
            artefacts: Vec::new(),
            snapshots: Vec::new(),
            values: None,
            why: None,
        }
    }
}

/// What one needed task made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artefact {
    /// The task.
    pub task: String,
    /// One digest over all its outputs: equal digests are equal bytes at equal paths.
    #[serde(with = "hex")]
    pub digest: Digest,
    /// Paths and globs of what it declares, relative to the root.
    pub declared: Vec<String>,
    /// How many bytes it is.
    pub size: u64,
}

impl Artefact {
    /// What its bytes are found by in the cache: the same wherever, and by whomever, they were made.
    pub fn key(&self) -> CacheKey {
        CacheKey::of_outputs(self.digest)
    }
}

/// Data that was saved before something was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    /// The snapshot node.
    pub snapshot: String,
    /// What it is found by.
    pub id: String,
    /// The digest of its bytes: every checkout counts its own copies. Empty in ledgers that were written without it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub digest: String,
}

/// What kind of release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A deploy.
    Deploy,
    /// An earlier release is put back because somebody asked for it.
    Rollback,
    /// Saved data are put back because somebody asked for it: the node is the snapshot's.
    Restore,
}

/// How far a release is. Each phase is in the ledger before what it stands for begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Nobody else can change the environment; guards are asked.
    Locked,
    /// All guards hold; what it needs is made.
    Guarded,
    /// What it needs is there; data is saved.
    Prepared,
    /// Data is saved; nothing is changed yet.
    Snapshotted,
    /// Its actions are carried out.
    Applying,
    /// Its actions are over; it is proved.
    Verifying,
    /// The release before it is put back.
    GoingBack,
}

impl Phase {
    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            Self::Locked => "locked",
            Self::Guarded => "guarded",
            Self::Prepared => "prepared",
            Self::Snapshotted => "snapshotted",
            Self::Applying => "applying",
            Self::Verifying => "verifying",
            Self::GoingBack => "going-back",
        }
    }

    /// Whether the environment may have been changed.
    pub fn touched(self) -> bool {
        self >= Self::Applying
    }
}

/// How a release ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It was proved.
    Live,
    /// It failed, and the release before it is live again.
    Back,
    /// It failed, and so did going back; or there was nothing to go back to.
    Broken,
    /// A guard refused it: nothing was changed.
    Refused,
    /// It ended before anything was changed.
    Abandoned,
}

impl Outcome {
    /// All there are.
    pub const ALL: [Self; 5] = [Self::Live, Self::Back, Self::Broken, Self::Refused, Self::Abandoned];

    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Back => "back",
            Self::Broken => "broken",
            Self::Refused => "refused",
            Self::Abandoned => "abandoned",
        }
    }
}

/// Digests as hexadecimal text.
mod hex {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::base::Digest;

    pub(super) fn serialize<S: Serializer>(digest: &Digest, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&digest.to_hex())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Digest, D::Error> {
        let text = std::borrow::Cow::<'_, str>::deserialize(from)?;
        Digest::from_hex(&text).ok_or_else(|| serde::de::Error::custom("a digest is 64 hexadecimal digits"))
    }
}
