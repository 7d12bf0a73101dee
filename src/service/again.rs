//! Starting services again that are there: down in reverse order, then up, each when what it needs has come far enough.
//!
//! Each of them is marked with the number of the turn that it is part of. Whoever stops it meanwhile, or starts it, or
//! begins a turn of his own, takes the mark away, and this turn leaves it alone from then on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::model::Gate;

use super::life::Fact;
use super::state::State;
use super::supervisor::{Entry, Supervisor};

/// How often it is looked whether a mark was taken away: nobody tells of that.
const LOOK: Duration = Duration::from_millis(50);

impl Supervisor {
    /// Starts services again, those that need them not. Returns when each has been started, or will not be because what
    /// it needs did not come up. Their labels, in the order in which they start.
    pub fn restart(&self, labels: &[String]) -> Vec<String> {
        self.take_turn(self.begin_turn(labels))
    }

    /// Carries a turn out.
    pub(super) fn take_turn(&self, Marked { turn, waves }: Marked) -> Vec<String> {
        for wave in waves.iter().rev() {
            let held: Vec<&String> =
                wave.iter().filter(|label| self.ask_in_turn(label, turn, Fact::Hold)).collect();
            let is_down = |entry: &Entry| {
                entry.is_settled() && (entry.status.state == State::Waiting || entry.status.state.is_over())
            };
            let mut entries = self.board().entries();
            while !held.iter().all(|label| entries.get(*label).is_none_or(is_down)) {
                entries = self.board().changed.wait(entries).unwrap_or_else(PoisonError::into_inner);
            }
        }
        let order: Vec<String> = waves.into_iter().flatten().collect();
        let mut left = order.clone();
        while !left.is_empty() {
            let waiting = left.clone();
            left.retain(|label| match self.turn_of(label, turn, &order) {
                Turn::Wait => true,
                Turn::Over => false,
                Turn::Start => {
                    self.ask_in_turn(label, turn, Fact::Start);
                    self.end_turn(label, turn);
                    false
                }
                Turn::Blocked(need) => {
                    self.ask_in_turn(label, turn, Fact::Blocked(need));
                    self.end_turn(label, turn);
                    false
                }
            });
            if left.len() == waiting.len() {
                let entries = self.board().entries();
                drop(self.board().changed.wait_timeout(entries, LOOK));
            }
        }
        order
    }

    /// Marks those that there are; in waves, none of which needs anything of its own or of a later one.
    pub(super) fn begin_turn(&self, labels: &[String]) -> Marked {
        let mut kept = self.kept();
        let turn = self.turns.fetch_add(1, Ordering::Relaxed);
        let mut left: BTreeSet<String> =
            labels.iter().filter(|label| kept.contains_key(*label)).cloned().collect();
        let needs: BTreeMap<String, BTreeSet<String>> = left
            .iter()
            .map(|label| (label.clone(), kept[label].spec.needs.keys().cloned().collect()))
            .collect();
        for label in &left {
            if let Some(service) = kept.get_mut(label) {
                service.turn = Some(turn);
            }
        }
        let mut waves = Vec::new();
        while !left.is_empty() {
            let free = |label: &&String| needs[*label].is_disjoint(&left);
            let mut wave: Vec<String> = left.iter().filter(free).cloned().collect();
            if wave.is_empty() {
                // A ring of needs cannot be, but must not keep us here.
                wave = left.iter().cloned().collect();
            }
            left.retain(|label| !wave.contains(label));
            waves.push(wave);
        }
        Marked { turn, waves }
    }

    /// Asks for something, if the service is still part of this turn.
    fn ask_in_turn(&self, label: &str, turn: u64, fact: Fact) -> bool {
        let kept = self.kept();
        let is_ours = kept.get(label).is_some_and(|service| service.turn == Some(turn));
        if is_ours {
            self.ask(&kept, label, fact);
        }
        is_ours
    }

    fn end_turn(&self, label: &str, turn: u64) {
        if let Some(service) = self.kept().get_mut(label)
            && service.turn == Some(turn)
        {
            service.turn = None;
        }
        self.board().changed.notify_all();
    }

    /// Whether it may start now, as far as it depends on the others of its turn.
    fn turn_of(&self, label: &str, turn: u64, others: &[String]) -> Turn {
        let kept = self.kept();
        let Some(service) = kept.get(label).filter(|service| service.turn == Some(turn)) else {
            return Turn::Over;
        };
        let entries = self.board().entries();
        let mut may = Turn::Start;
        for (need, gate) in service.spec.needs.iter().filter(|(need, _)| others.contains(need)) {
            // Whoever has not had his turn yet is down, and comes.
            let comes = kept.get(need).is_some_and(|need| need.turn == Some(turn));
            match entries.get(need).map(|entry| entry.come(*gate)) {
                _ if comes => may = Turn::Wait,
                Some(Some(true)) => {}
                Some(None) => may = Turn::Wait,
                Some(Some(false)) | None => return Turn::Blocked(need.clone()),
            }
        }
        may
    }
}

/// Services that are marked to be started again.
pub(super) struct Marked {
    turn: u64,
    waves: Vec<Vec<String>>,
}

/// What a service may do that waits for its turn.
enum Turn {
    Wait,
    Start,
    /// This one did not come up.
    Blocked(String),
    /// Somebody else has decided.
    Over,
}

impl Entry {
    /// Whether its keeper has taken in all that it was asked for.
    pub(super) fn is_settled(&self) -> bool {
        self.asked == self.handled
    }

    /// Whether it has come as far as `gate`; nothing as long as it may still come.
    pub(super) fn come(&self, gate: Gate) -> Option<bool> {
        if !self.is_settled() {
            return None;
        }
        match (&self.status.state, gate) {
            (State::Ready, Gate::Started | Gate::Ready)
            | (State::Started, Gate::Started)
            | (State::Completed, Gate::Started | Gate::Completed) => Some(true),
            (state, _) if state.is_over() => Some(false),
            _ => None,
        }
    }
}
