//! The state machine of a release: facts in, steps out.
//!
//! ```text
//! locked → guarded → prepared → snapshotted → applying → verifying → live
//!    └─ refused          └─ abandoned             └── any failure → going-back → back | broken
//! ```

use super::{Outcome, Phase};

/// What is known of a release when it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Course {
    /// There is an earlier release to go back to, and this one may.
    pub can_go_back: bool,
    /// It is not proved: an emergency.
    pub unproved: bool,
}

/// What became of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fact {
    /// It went well.
    Done,
    /// A guard does not hold.
    Refused,
    /// It failed.
    Failed,
    /// Somebody asked to stop.
    Interrupted,
    /// Somebody asked again, harder: nothing more may be begun.
    Halted,
}

/// What is to be done next. All but [`Step::Leave`] are written down before they begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Ask the guards.
    Guard,
    /// Make what is needed.
    Prepare,
    /// Save data.
    Snapshot,
    /// Nothing but to write down that data is saved.
    Begin,
    /// Carry the actions out.
    Apply,
    /// Prove it.
    Verify,
    /// Carry the actions out with the release before, and prove that.
    GoBack,
    /// It is over.
    End(Outcome),
    /// Nothing more: it stays open, to be resumed or taken back.
    Leave,
}

/// A release on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    course: Course,
    phase: Phase,
    over: bool,
}

impl Transaction {
    /// A new release: the environment is locked.
    pub fn new(course: Course) -> Self {
        Self { course, phase: Phase::Locked, over: false }
    }

    /// One that was cut short in a phase, and is taken up again.
    pub fn at(course: Course, phase: Phase) -> Self {
        Self { course, phase, over: false }
    }

    /// The phase it is in.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// The step that belongs to the phase it is in: what is done first when it is taken up again.
    pub fn step(&self) -> Step {
        match self.phase {
            Phase::Locked => Step::Guard,
            Phase::Guarded => Step::Prepare,
            Phase::Prepared => Step::Snapshot,
            Phase::Snapshotted => Step::Begin,
            Phase::Applying => Step::Apply,
            Phase::Verifying => Step::Verify,
            Phase::GoingBack => Step::GoBack,
        }
    }

    /// Takes it back, from wherever it is.
    pub fn back(&mut self) -> Step {
        if !self.phase.touched() {
            return self.end(Outcome::Abandoned);
        }
        self.turn_back()
    }

    /// The step that follows when the one before came to `fact`.
    pub fn on(&mut self, fact: Fact) -> Step {
        if self.over {
            return Step::Leave;
        }
        match (self.phase, fact) {
            (Phase::Locked, Fact::Done) => self.go(Phase::Guarded),
            (Phase::Guarded, Fact::Done) => self.go(Phase::Prepared),
            (Phase::Prepared, Fact::Done) => self.go(Phase::Snapshotted),
            (Phase::Snapshotted, Fact::Done) => self.go(Phase::Applying),
            (Phase::Applying, Fact::Done) if self.course.unproved => self.end(Outcome::Live),
            (Phase::Applying, Fact::Done) => self.go(Phase::Verifying),
            (Phase::Verifying, Fact::Done) => self.end(Outcome::Live),
            (Phase::GoingBack, Fact::Done) => self.end(Outcome::Back),
            (Phase::GoingBack, Fact::Failed | Fact::Refused) => self.end(Outcome::Broken),
            // Half a way back is no place to stop at: whoever comes next goes on from here.
            (Phase::GoingBack, Fact::Interrupted) => self.leave(),
            (phase, Fact::Halted) if phase.touched() => self.leave(),
            (phase, _) if phase.touched() => self.turn_back(),
            (_, Fact::Refused) => self.end(Outcome::Refused),
            (_, _) => self.end(Outcome::Abandoned),
        }
    }

    fn go(&mut self, phase: Phase) -> Step {
        self.phase = phase;
        self.step()
    }

    fn turn_back(&mut self) -> Step {
        if self.course.can_go_back { self.go(Phase::GoingBack) } else { self.end(Outcome::Broken) }
    }

    fn end(&mut self, outcome: Outcome) -> Step {
        self.over = true;
        Step::End(outcome)
    }

    fn leave(&mut self) -> Step {
        self.over = true;
        Step::Leave
    }
}
