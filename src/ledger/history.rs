//! The fold over a ledger: every release, what is live, and what can be gone back to.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use crate::base::{Digest, Timestamp};

use super::{Artefact, Began, Entry, Holder, Kind, Outcome, Phase, Saved, What, Who};

/// One deploy or rollback.
#[derive(Debug, Clone, PartialEq)]
pub struct Release {
    /// How it began.
    pub began: Began,
    /// When.
    pub at: Timestamp,
    /// Who took it up after it was cut short; the last one.
    pub taken_up: Option<TakenUp>,
    /// How far it came.
    pub phase: Phase,
    /// When it came there.
    pub since: Timestamp,
    /// Guards that held, in words.
    pub evidence: Vec<String>,
    /// What it ships.
    pub artefacts: Vec<Artefact>,
    /// Data that was saved before it.
    pub snapshots: Vec<Saved>,
    /// One digest over all values of the environment.
    pub values: Option<String>,
    /// Why it goes back, if it does: known before it is over.
    pub why: Option<String>,
    /// How it ended; not there as long as it goes on, or if it was cut short.
    pub end: Option<End>,
    /// Its bytes need not be kept any longer.
    pub pruned: bool,
}

/// In whose hands a release came after it was cut short.
#[derive(Debug, Clone, PartialEq)]
pub struct TakenUp {
    /// Whose.
    pub who: Who,
    /// When.
    pub at: Timestamp,
    /// Doing what: `deploy resume prod`.
    pub doing: String,
    /// The run in whose records the output is.
    pub run: String,
}

/// How a release ended.
#[derive(Debug, Clone, PartialEq)]
pub struct End {
    /// How.
    pub outcome: Outcome,
    /// When.
    pub at: Timestamp,
    /// Why, if it is not live.
    pub reason: Option<String>,
    /// Where the output of its commands is.
    pub logs: Vec<String>,
}

impl Release {
    /// Its number in the environment.
    pub fn id(&self) -> u64 {
        self.began.release
    }

    /// How it ended.
    pub fn outcome(&self) -> Option<Outcome> {
        self.end.as_ref().map(|end| end.outcome)
    }

    /// Whether it was proved.
    pub fn reached_live(&self) -> bool {
        self.outcome() == Some(Outcome::Live)
    }

    /// How long it took.
    pub fn took(&self) -> Option<Duration> {
        self.end.as_ref().map(|end| end.at.since(self.at))
    }

    /// Who is at work on it, or was last, by what its ledger says.
    pub fn hands(&self, env: &str) -> Holder {
        let Began { who, run, node, .. } = &self.began;
        match &self.taken_up {
            Some(TakenUp { who, at, doing, run }) => Holder {
                who: who.clone(),
                since: *at,
                doing: doing.clone(),
                run: run.clone(),
                ..Holder::default()
            },
            None => Holder {
                who: who.clone(),
                since: self.at,
                doing: format!("{env}.{node}"),
                run: run.clone(),
                ..Holder::default()
            },
        }
    }

    /// Whether it puts the same live as another one.
    pub fn ships_the_same_as(&self, other: &Self) -> bool {
        self.content() == other.content()
    }

    /// What it puts live.
    fn content(&self) -> Content<'_> {
        Content { revision: &self.began.revision, bytes: bytes(&self.artefacts) }
    }

    /// Whether these are the bytes that it ships.
    pub fn has_bytes_of(&self, artefacts: &[Artefact]) -> bool {
        bytes(&self.artefacts) == bytes(artefacts)
    }
}

/// What a release puts live: two with the same are as good as one.
#[derive(PartialEq, Eq, Hash)]
struct Content<'a> {
    revision: &'a str,
    bytes: Vec<(&'a str, Digest)>,
}

/// Which bytes these are, in whatever order they are told.
fn bytes(artefacts: &[Artefact]) -> Vec<(&str, Digest)> {
    let mut bytes: Vec<_> = artefacts.iter().map(|one| (one.task.as_str(), one.digest)).collect();
    bytes.sort_unstable();
    bytes
}

/// Everything that a ledger says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct History {
    releases: Vec<Release>,
}

impl History {
    /// Folds entries, oldest first.
    pub fn of(entries: impl IntoIterator<Item = Entry>) -> Self {
        let mut history = Self::default();
        entries.into_iter().for_each(|entry| history.take(entry));
        history
    }

    /// Takes the next entry in. One that speaks of a release that never began says nothing.
    pub fn take(&mut self, Entry { time, what, .. }: Entry) {
        match what {
            What::Began(began) => {
                let release = Release {
                    began,
                    at: time,
                    taken_up: None,
                    phase: Phase::Locked,
                    since: time,
                    evidence: Vec::new(),
                    artefacts: Vec::new(),
                    snapshots: Vec::new(),
                    values: None,
                    why: None,
                    end: None,
                    pruned: false,
                };
                // One that was brought in later stands where it belongs by its time.
                let is_joined = release.began.was.is_some();
                let younger = || self.releases.iter().position(|other| other.at > time);
                let place = is_joined.then(younger).flatten().unwrap_or(self.releases.len());
                self.releases.insert(place, release);
            }
            What::TakenUp { release, who, doing, run } => {
                if let Some(release) = self.find_mut(release) {
                    release.taken_up = Some(TakenUp { who, at: time, doing, run });
                }
            }
            What::Reached(reached) => {
                if let Some(release) = self.find_mut(reached.release) {
                    release.phase = reached.phase;
                    release.since = time;
                    release.evidence.extend(reached.evidence);
                    release.artefacts.extend(reached.artefacts);
                    release.snapshots.extend(reached.snapshots);
                    release.values = reached.values.or(release.values.take());
                    release.why = reached.why.or(release.why.take());
                }
            }
            What::Ended { release, outcome, reason, logs } => {
                if let Some(release) = self.find_mut(release) {
                    release.end = Some(End { outcome, at: time, reason, logs });
                }
            }
            What::Mended { .. } => {}
            What::Pruned { releases } => {
                for id in releases {
                    if let Some(release) = self.find_mut(id) {
                        release.pruned = true;
                    }
                }
            }
        }
    }

    fn find_mut(&mut self, id: u64) -> Option<&mut Release> {
        self.releases.iter_mut().rev().find(|release| release.id() == id)
    }

    /// Every release, oldest first.
    pub fn releases(&self) -> &[Release] {
        &self.releases
    }

    /// The same, for who wants to keep them.
    pub fn into_releases(self) -> Vec<Release> {
        self.releases
    }

    /// The release of that number.
    pub fn release(&self, id: u64) -> Option<&Release> {
        self.releases.iter().rev().find(|release| release.id() == id)
    }

    /// The number of the next release.
    pub fn next_id(&self) -> u64 {
        self.releases.iter().map(Release::id).max().unwrap_or(0) + 1
    }

    /// Releases that were cut short, or go on at this moment, oldest first.
    pub fn open(&self) -> impl Iterator<Item = &Release> {
        self.releases.iter().filter(|release| release.end.is_none())
    }

    /// The deploys that are in it, in the order of their first release.
    pub fn nodes(&self) -> Vec<&str> {
        let mut nodes: Vec<&str> = Vec::new();
        for release in self.releases.iter().filter(|release| release.began.kind != Kind::Restore) {
            if !nodes.contains(&release.began.node.as_str()) {
                nodes.push(&release.began.node);
            }
        }
        nodes
    }

    /// The releases of one deploy, newest first.
    pub fn of_node(&self, node: &str) -> Vec<&Release> {
        self.releases.iter().rev().filter(|release| release.began.node == node).collect()
    }

    /// The release that is live, as far as is known; none if nothing is, or if nobody can say.
    pub fn live(&self, node: &str) -> Option<&Release> {
        for release in self.of_node(node) {
            match release.outcome() {
                Some(Outcome::Live) => return Some(release),
                Some(Outcome::Back) => return self.release(release.began.previous?),
                Some(Outcome::Broken) => return None,
                None if release.phase.touched() => return None,
                Some(Outcome::Refused | Outcome::Abandoned) | None => {}
            }
        }
        None
    }

    /// The release that failed and could not be taken back, if that is how things are.
    pub fn broken(&self, node: &str) -> Option<&Release> {
        let mut touched = self.of_node(node).into_iter().filter(|release| {
            !matches!(release.outcome(), None | Some(Outcome::Refused | Outcome::Abandoned))
        });
        touched.next().filter(|release| release.outcome() == Some(Outcome::Broken))
    }

    /// The last release that reached live: what a failing one goes back to.
    pub fn last_good(&self, node: &str) -> Option<&Release> {
        self.live(node).or_else(|| self.of_node(node).into_iter().find(|release| release.reached_live()))
    }

    /// What can be gone back to, newest first: releases that were proved and whose bytes are kept, each content once, the
    /// one that is live left out.
    pub fn candidates(&self, node: &str) -> Vec<&Release> {
        let mut seen: HashSet<Content<'_>> = self.live(node).map(Release::content).into_iter().collect();
        let proved = self.of_node(node).into_iter().filter(|release| release.reached_live());
        proved.filter(|release| !release.pruned && seen.insert(release.content())).collect()
    }

    /// What `rollback` goes back to: the last release that reached live before the present one, and that nobody left for
    /// an older one since. If the environment is broken, the last good one.
    pub fn rollback_target(&self, node: &str) -> Option<&Release> {
        let left = self.left(node);
        self.candidates(node).into_iter().find(|release| !left.contains(&release.content()))
    }

    /// Everything that somebody rolled back from to something older, and that was never put live again.
    fn left(&self, node: &str) -> HashSet<Content<'_>> {
        let releases = self.of_node(node);
        let known: HashMap<u64, &Release> =
            self.releases.iter().map(|release| (release.id(), release)).collect();
        let mut first: HashMap<Content<'_>, u64> = HashMap::new();
        for release in &releases {
            let id = first.entry(release.content()).or_insert(release.id());
            *id = release.id().min(*id);
        }
        let (mut again, mut left) = (HashSet::new(), HashSet::new());
        // Newest first: of each content, the last thing that happened to it counts.
        for later in releases.into_iter().filter(|later| later.reached_live()) {
            let content = later.content();
            let to = first[&content];
            again.insert(content);
            let from = later.began.previous.filter(|_| later.began.kind == Kind::Rollback);
            let Some(from) = from.and_then(|id| known.get(&id)) else { continue };
            let content = from.content();
            if !again.contains(&content) && first.get(&content).is_some_and(|first| to < *first) {
                left.insert(content);
            }
        }
        left
    }

    /// The releases whose bytes are kept for one deploy: what is live, what `rollback` goes back to, and the newest others,
    /// `keep` contents together. What somebody left for something older takes the place of none of these: it is kept beside
    /// them as long as it is among the newest.
    pub fn kept(&self, node: &str, keep: u32) -> Vec<&Release> {
        let last_good = self.last_good(node);
        let left = self.left(node);
        let keep = usize::try_from(keep).unwrap_or(usize::MAX);
        let is_other = |release: &&Release| last_good.is_none_or(|good| !good.ships_the_same_as(release));
        let others = self.candidates(node).into_iter().filter(is_other);
        let (mut newer, mut good) = (0, 0);
        let is_kept = |release: &&Release| {
            let is_good = !left.contains(&release.content());
            newer += 1;
            good += usize::from(is_good);
            newer < keep || is_good && good < keep.max(2)
        };
        last_good.into_iter().chain(others.filter(is_kept)).collect()
    }

    /// The releases that `keep` lets go now.
    pub fn prunable(&self, node: &str, keep: u32) -> Vec<u64> {
        let kept: HashSet<Content<'_>> = self.kept(node, keep).into_iter().map(Release::content).collect();
        let going = self.of_node(node).into_iter().filter(|release| release.end.is_some() && !release.pruned);
        let gone = going.filter(|release| !kept.contains(&release.content()));
        let mut ids: Vec<u64> = gone.map(Release::id).collect();
        ids.sort_unstable();
        ids
    }
}
