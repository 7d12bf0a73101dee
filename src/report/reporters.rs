//! The funnel that every event of a run goes through.

use super::Reporter;
use crate::base::Clock;
use crate::event::{Event, Notice, RunState, Sequenced, Sequencer};
use crate::record::Recorder;

/// Everyone who listens to a run: the fold, the record, the reporters.
pub struct Reporters {
    sequencer: Sequencer,
    state: RunState,
    recorder: Option<Recorder>,
    reporters: Vec<(&'static str, Box<dyn Reporter>)>,
}

impl Reporters {
    /// Nobody listens yet but the fold.
    pub fn new(clock: Clock) -> Self {
        Self {
            sequencer: Sequencer::new(clock),
            state: RunState::new(),
            recorder: None,
            reporters: Vec::new(),
        }
    }

    /// Writes the run down.
    pub fn record(&mut self, recorder: Recorder) {
        self.recorder = Some(recorder);
    }

    /// Adds a listener; `name` is what a warning calls it.
    pub fn add(&mut self, name: &'static str, reporter: Box<dyn Reporter>) {
        self.reporters.push((name, reporter));
    }

    /// Everything told so far, folded.
    pub fn state(&self) -> &RunState {
        &self.state
    }

    /// Tells an event: the one writer of events calls this. A listener that fails is retired, and the others are told.
    pub fn tell(&mut self, event: Event) {
        let told = self.sequencer.stamp(event);
        let retired = self.pass(&told);
        for message in retired {
            self.tell(Event::Notice(Notice { node: None, message, hint: None }));
        }
    }

    /// Hands on an event that was recorded before, as it was told then.
    pub fn replay(&mut self, told: &Sequenced) {
        self.pass(told);
    }

    /// Folds and hands on; says who failed.
    fn pass(&mut self, told: &Sequenced) -> Vec<String> {
        self.state.apply(told);
        let mut retired = Vec::new();
        if let Some(recorder) = &mut self.recorder
            && let Err(error) = recorder.on(told, &self.state)
        {
            retired.push(format!("this run is not recorded any further: {error}"));
            self.recorder = None;
        }
        let state = &self.state;
        self.reporters.retain_mut(|(name, reporter)| match reporter.on(told, state) {
            Ok(()) => true,
            Err(error) => {
                retired.push(format!("the {name} reporter cannot go on: {error}"));
                false
            }
        });
        retired
    }
}
