//! The life of one service: a pure state machine from facts to steps.
//!
//! ```text
//!          start            up            all probes passed
//! resting ──────▶ starting ────▶ probing ─────────────────▶ ready
//!    ▲               │              │                         │
//!    │               └──── ended ───┴───────── ended ─────────┤
//!    │                        │                               │
//!    │ stop      ┌────────────┴───────────┐                   │ stop
//!    │           ▼ policy says again      ▼ policy says no    ▼
//!    └──────  pausing                  resting ◀──────── stopping
//! ```
//!
//! * The time a service has to become ready runs from the moment it was asked for, across restarts; when it is over the
//!   service is stopped and has failed.
//! * A service that was ready for a minute has shown that it can: its restarts are counted anew.
//! * What is started again together with others waits, when it is down, for its turn to come up.
//! * A daemon's end is not seen: it is what its `stop` command makes of it.
//!
//! Invariant: no clock and no IO: the time comes with every fact.

use std::time::{Duration, Instant};

use super::spec::{How, Policy, STOP_TIMEOUT, Spec, When};
use super::state::{Exit, State, Trouble};

/// The pause before the first restart; each further one doubles it.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest pause between two restarts.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Whoever was ready for that long begins counting restarts anew.
const PROVED: Duration = Duration::from_secs(60);

/// What the world tells of a service.
#[derive(Debug, Clone, PartialEq)]
pub enum Fact {
    /// Somebody wants it up.
    Start,
    /// Somebody wants it down.
    Stop,
    /// Somebody wants it down and then up again.
    Restart,
    /// Somebody wants it down, and up again when what it needs is: he says when.
    Hold,
    /// What it needs did not come up again: this service.
    Blocked(String),
    /// It is up already: somebody started it before us.
    Adopt,
    /// Its first process is there; a daemon's `start` command succeeded.
    Up,
    /// All its probes passed.
    Passed,
    /// Its process has ended (of a daemon: its `start` command failed).
    Ended(Exit),
    /// What was begun with [`Step::End`] is over.
    Gone,
    /// So it is, but for a daemon whose `stop` command ended like this.
    Stuck(Exit),
    /// The time has come that [`Life::wakes`] named.
    Time,
}

/// What is to be done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Start its command.
    Launch,
    /// Begin to ask its probes.
    Probe,
    /// Bring it to its end, and answer with [`Fact::Gone`].
    End,
    /// Its state has changed: tell everybody.
    Tell,
}

/// Where it stands; what others see of it is a [`State`].
#[derive(Debug, Clone, Copy, PartialEq)]
enum Phase {
    Resting,
    Starting,
    Probing,
    Ready {
        since: Instant,
    },
    Pausing {
        until: Instant,
    },
    Stopping,
    /// Down, until its turn comes.
    Waiting,
}

/// What follows when it is down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    Rest,
    Start,
    Wait,
    Fail,
}

/// The life of one service.
#[derive(Debug, Clone)]
pub struct Life {
    policy: Policy,
    timeout: Duration,
    is_daemon: bool,
    /// After how long SIGKILL ends it, if no command does.
    kill: Option<Duration>,
    phase: Phase,
    then: Then,
    /// When it must be ready.
    deadline: Option<Instant>,
    /// Restarts in a row.
    row: u32,
    /// Restarts since somebody wanted it up.
    restarts: u32,
    state: State,
}

impl Life {
    /// It was never started.
    pub fn new(spec: &Spec) -> Self {
        Self {
            policy: spec.restart,
            timeout: spec.ready.timeout,
            is_daemon: matches!(spec.how, How::Daemon { .. }),
            kill: kill_of(spec),
            phase: Phase::Resting,
            then: Then::Rest,
            deadline: None,
            row: 0,
            restarts: 0,
            state: State::Stopped,
        }
    }

    /// It has another definition from its next start on.
    pub fn becomes(&mut self, spec: &Spec) {
        self.policy = spec.restart;
        self.timeout = spec.ready.timeout;
        self.is_daemon = matches!(spec.how, How::Daemon { .. });
        self.kill = kill_of(spec);
    }

    /// What others see of it.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// How often it was started again by itself since somebody wanted it up.
    pub fn restarts(&self) -> u32 {
        self.restarts
    }

    /// How many of these restarts followed each other without it being ready for a minute.
    pub fn in_a_row(&self) -> u32 {
        self.row
    }

    /// Whether nothing of it runs and nothing is going to.
    pub fn is_resting(&self) -> bool {
        self.phase == Phase::Resting
    }

    /// When it wants to be told the time.
    pub fn wakes(&self) -> Option<Instant> {
        match self.phase {
            Phase::Pausing { until } => Some(self.deadline.map_or(until, |deadline| deadline.min(until))),
            Phase::Starting | Phase::Probing => self.deadline,
            Phase::Resting | Phase::Ready { .. } | Phase::Stopping | Phase::Waiting => None,
        }
    }

    /// Takes a fact; the steps that follow from it.
    pub fn on(&mut self, fact: Fact, now: Instant) -> Vec<Step> {
        match (fact, self.phase) {
            (Fact::Start, Phase::Resting) | (Fact::Start | Fact::Restart, Phase::Waiting) => self.begin(now),
            // It is to come up again when it is down.
            (Fact::Start | Fact::Restart, Phase::Stopping) => {
                self.then = Then::Start;
                Vec::new()
            }
            (Fact::Restart, Phase::Resting) => self.begin(now),
            (Fact::Adopt, Phase::Resting) => {
                self.phase = Phase::Ready { since: now };
                self.state = State::Ready;
                vec![Step::Tell]
            }
            (Fact::Hold, Phase::Stopping) => {
                self.then = Then::Wait;
                Vec::new()
            }
            (Fact::Hold, Phase::Resting | Phase::Pausing { .. }) => self.hold(),
            (Fact::Hold, Phase::Waiting) => Vec::new(),
            (Fact::Hold, _) => self.end(Then::Wait),
            (Fact::Blocked(need), Phase::Waiting) => self.rest(State::Failed(Trouble::Blocked { need })),
            (Fact::Start | Fact::Adopt, _) => Vec::new(),
            (Fact::Stop, Phase::Resting) => Vec::new(),
            (Fact::Stop, Phase::Stopping) => {
                self.then = Then::Rest;
                Vec::new()
            }
            (Fact::Stop, Phase::Pausing { .. } | Phase::Waiting) => self.rest(State::Stopped),
            (Fact::Restart, Phase::Pausing { .. }) => self.begin(now),
            (Fact::Stop, _) => self.end(Then::Rest),
            (Fact::Restart, _) => self.end(Then::Start),
            (Fact::Up, Phase::Starting) => {
                self.phase = Phase::Probing;
                self.state = State::Started;
                vec![Step::Tell, Step::Probe]
            }
            (Fact::Passed, Phase::Probing) => {
                self.phase = Phase::Ready { since: now };
                self.deadline = None;
                self.state = State::Ready;
                vec![Step::Tell]
            }
            (Fact::Ended(exit), Phase::Starting | Phase::Probing | Phase::Ready { .. }) => {
                self.ended(exit, now)
            }
            (Fact::Gone, Phase::Stopping) => self.gone(now),
            (Fact::Stuck(exit), Phase::Stopping) if self.then == Then::Rest => {
                self.rest(State::Failed(Trouble::NotStopped { exit }))
            }
            (Fact::Stuck(_), Phase::Stopping) => self.gone(now),
            (Fact::Time, Phase::Pausing { .. } | Phase::Starting | Phase::Probing)
                if self.deadline.is_some_and(|deadline| deadline <= now) =>
            {
                self.late()
            }
            (Fact::Time, Phase::Pausing { until }) if until <= now => {
                self.phase = Phase::Starting;
                self.state = State::Starting;
                vec![Step::Tell, Step::Launch]
            }
            // News of a life that is over, or time that has not come.
            (
                Fact::Up
                | Fact::Passed
                | Fact::Ended(_)
                | Fact::Gone
                | Fact::Stuck(_)
                | Fact::Time
                | Fact::Blocked(_),
                _,
            ) => Vec::new(),
        }
    }

    fn begin(&mut self, now: Instant) -> Vec<Step> {
        self.phase = Phase::Starting;
        self.state = State::Starting;
        self.then = Then::Rest;
        (self.row, self.restarts) = (0, 0);
        self.deadline = now.checked_add(self.timeout);
        vec![Step::Tell, Step::Launch]
    }

    fn end(&mut self, then: Then) -> Vec<Step> {
        self.phase = Phase::Stopping;
        self.then = then;
        self.deadline = None;
        self.state = State::Stopping { kill: self.kill };
        vec![Step::Tell, Step::End]
    }

    /// It did not become ready in time.
    fn late(&mut self) -> Vec<Step> {
        if let Phase::Pausing { .. } = self.phase {
            return self.rest(State::Failed(Trouble::NotReady { within: self.timeout }));
        }
        self.end(Then::Fail)
    }

    fn ended(&mut self, exit: Exit, now: Instant) -> Vec<Step> {
        if let Phase::Ready { since } = self.phase {
            if exit == Exit::Told {
                // Everything is being stopped in a hurry: that is no failure of its own.
                return self.rest(State::Stopped);
            }
            self.deadline = now.checked_add(self.timeout);
            if now.saturating_duration_since(since) >= PROVED {
                self.row = 0;
            }
        }
        let again = match self.policy.when {
            When::Never => false,
            When::OnFailure => !exit.is_success(),
            When::Always => true,
        };
        if !again || self.is_daemon {
            return self.rest(if exit.is_success() {
                State::Completed
            } else {
                State::Failed(Trouble::Ended { exit })
            });
        }
        if self.row >= self.policy.max {
            return self.rest(State::Failed(Trouble::Loop { times: self.row, exit }));
        }
        let pause = FIRST_PAUSE.saturating_mul(1 << self.row.min(16)).min(LONGEST_PAUSE);
        self.row += 1;
        self.restarts += 1;
        self.phase = Phase::Pausing { until: now + pause };
        self.state = State::Pausing { exit, pause, attempt: self.restarts };
        vec![Step::Tell]
    }

    fn gone(&mut self, now: Instant) -> Vec<Step> {
        match self.then {
            Then::Rest => self.rest(State::Stopped),
            Then::Fail => self.rest(State::Failed(Trouble::NotReady { within: self.timeout })),
            Then::Start => self.begin(now),
            Then::Wait => self.hold(),
        }
    }

    /// It is down, and comes up again when it is told.
    fn hold(&mut self) -> Vec<Step> {
        self.phase = Phase::Waiting;
        self.deadline = None;
        self.state = State::Waiting;
        vec![Step::Tell]
    }

    fn rest(&mut self, state: State) -> Vec<Step> {
        self.phase = Phase::Resting;
        self.deadline = None;
        self.state = state;
        vec![Step::Tell]
    }
}

/// After how long SIGKILL follows SIGTERM; nothing follows a command that ends it.
fn kill_of(spec: &Spec) -> Option<Duration> {
    let by_signal = matches!(spec.how, How::Child { stop: None, .. });
    by_signal.then(|| spec.timeout.unwrap_or(STOP_TIMEOUT))
}
