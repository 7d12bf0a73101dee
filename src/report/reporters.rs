//! The funnel that every event of a run goes through.

use super::Reporter;
use crate::base::Clock;
use crate::event::{Event, Notice, RunState, Sequenced, Sequencer};
use crate::record::{RecordError, Recorded, Recorder};
use crate::secret::Redactor;

/// Everyone who listens to a run: the fold, the record, the reporters.
pub struct Reporters {
    sequencer: Sequencer,
    state: RunState,
    recorder: Option<Recorder>,
    reporters: Vec<(&'static str, Box<dyn Reporter>)>,
    redactor: Redactor,
    held: Option<Held>,
}

/// Events that nobody has heard of yet, and what makes them worth telling.
struct Held {
    events: Vec<Event>,
    is_news: Box<dyn FnMut(&Event) -> bool>,
}

impl Reporters {
    /// Nobody listens yet but the fold.
    pub fn new(clock: Clock) -> Self {
        Self {
            sequencer: Sequencer::new(clock),
            state: RunState::new(),
            recorder: None,
            reporters: Vec::new(),
            held: None,
            redactor: Redactor::default(),
        }
    }

    /// From now on everything that is told passes this filter first. What commands print has passed it on its way in.
    pub fn redact(&mut self, redactor: &Redactor) {
        self.redactor = redactor.clone();
    }

    /// Writes the run down.
    pub fn record(&mut self, recorder: Recorder) {
        self.recorder = Some(recorder);
    }

    /// Whether the run is written down, as far as it has come.
    pub fn is_recorded(&self) -> bool {
        self.recorder.is_some()
    }

    /// Keeps what is told from now on back until something comes that is news.
    pub fn hold(&mut self, is_news: impl FnMut(&Event) -> bool + 'static) {
        self.held = Some(Held { events: Vec::new(), is_news: Box::new(is_news) });
    }

    /// Ends a run: its record is closed, and what was kept back until now is forgotten. Whether it was told.
    pub fn end(&mut self) -> bool {
        self.recorder = None;
        self.held.take().is_none()
    }

    /// What services printed or became while everything was kept back: it is of no run, and told all the same.
    pub fn kept_back_of_services(&mut self) -> Vec<Event> {
        let is_theirs = |event: &Event| matches!(event, Event::Output { .. } | Event::ServiceChanged { .. });
        let held = self.held.as_mut().map(|held| std::mem::take(&mut held.events));
        held.into_iter().flatten().filter(is_theirs).collect()
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
    pub fn tell(&mut self, mut event: Event) {
        event.redact(&self.redactor);
        if let Some(held) = &mut self.held {
            let news = (held.is_news)(&event);
            held.events.push(event);
            if news {
                self.held.take().into_iter().flat_map(|held| held.events).for_each(|event| self.tell(event));
            }
            return;
        }
        let told = self.sequencer.stamp(event);
        let retired = self.pass(&told);
        for message in retired {
            self.tell(Event::Notice(Notice { node: None, message, hint: None }));
        }
    }

    /// Hands on an event as it was told before, by another process or in another time.
    pub fn pass_on(&mut self, told: &Sequenced) {
        let retired = self.pass(told);
        // What was recorded stays as it is: the fold does not hear of this.
        for message in retired {
            let event = Event::Notice(Notice { node: None, message, hint: None });
            self.pass(&Sequenced { event, ..*told });
        }
    }

    /// Folds and hands on; says who failed.
    fn pass(&mut self, told: &Sequenced) -> Vec<String> {
        self.state.apply(told);
        let mut retired = Vec::new();
        if let Some(recorder) = &mut self.recorder
            && let Err(error) = recorder.on(told, &self.state)
        {
            retired.push(match self.state.finished() {
                None => format!("this run is not recorded any further: {error}"),
                Some(_) => format!("the records of runs cannot be put in order: {error}"),
            });
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

/// Tells a recorded run again: the reporters say what they said, or would have said, then.
pub fn replay(run: &Recorded, to: &mut Reporters) -> Result<(), RecordError> {
    let mut last = None;
    for told in run.events()? {
        let told = told?;
        to.pass_on(&told);
        last = Some((told.seq, told.time));
    }
    if to.state().finished().is_none() {
        let how = if run.is_live() { "it still goes on" } else { "the run was ended before its time" };
        let message = format!("the record ends here: {how}");
        let (seq, time) = last.map_or((0, to.state().now()), |(seq, time)| (seq + 1, time));
        to.pass_on(&Sequenced {
            seq,
            time,
            event: Event::Notice(Notice { node: None, message, hint: None }),
        });
    }
    Ok(())
}
