//! Every text of an event, passed through the filter that hides secrets.

use crate::secret::Redactor;

use super::{Event, Failure, Outcome};

impl Event {
    /// Replaces every secret in it. What commands printed has passed the filter as a stream, on its way in; a piece of it
    /// is looked through again, which costs nothing where there are no secrets.
    pub fn redact(&mut self, redactor: &Redactor) {
        if redactor.is_empty() {
            return;
        }
        let bytes = |bytes: &mut Vec<u8>| {
            if let std::borrow::Cow::Owned(cleaned) = redactor.bytes(bytes) {
                *bytes = cleaned;
            }
        };
        match self {
            Self::NodeStarted { because, commands, dir, .. } => {
                redactor.clean(&mut because.reason);
                commands.iter_mut().for_each(|command| redactor.clean(command));
                redactor.clean(dir);
            }
            Self::Output { bytes: printed, .. } => bytes(printed),
            Self::NodeRetrying { failure, .. } => failure.redact(redactor),
            Self::NodeFinished { outcome, .. } => match outcome {
                Outcome::Restored { log, .. } => bytes(log),
                Outcome::WouldRun { because, commands } => {
                    redactor.clean(&mut because.reason);
                    commands.iter_mut().for_each(|command| redactor.clean(command));
                }
                Outcome::Failed { failure, hint, .. } => {
                    failure.redact(redactor);
                    hint.iter_mut().for_each(|hint| redactor.clean(hint));
                }
                Outcome::Skipped { reason } => redactor.clean(reason),
                Outcome::Up { urls, .. } => urls.iter_mut().for_each(|link| redactor.clean(&mut link.url)),
                _ => {}
            },
            Self::Notice(notice) => {
                redactor.clean(&mut notice.message);
                notice.hint.iter_mut().for_each(|hint| redactor.clean(hint));
            }
            Self::RunStarted(started) => {
                started.chosen.iter_mut().for_each(|chosen| redactor.clean(&mut chosen.because));
            }
            Self::NodePhase { about, .. } => redactor.clean(about),
            Self::ServiceChanged { failure, hint, .. } => {
                failure.iter_mut().for_each(|failure| failure.redact(redactor));
                hint.iter_mut().for_each(|hint| redactor.clean(hint));
            }
            // Names, numbers and paths that are written in the Envfile or on the command line.
            _ => {}
        }
    }
}

impl Failure {
    fn redact(&mut self, redactor: &Redactor) {
        match self {
            Self::Exit { command, .. } | Self::Signal { command, .. } | Self::Timeout { command, .. } => {
                redactor.clean(command);
            }
            Self::Start { command, reason, hint } => {
                redactor.clean(command);
                redactor.clean(reason);
                hint.iter_mut().for_each(|hint| redactor.clean(hint));
            }
            Self::Outputs { reason }
            | Self::Io { reason }
            | Self::WentBack { reason, .. }
            | Self::Unfinished { reason, .. }
            | Self::Lost { reason, .. } => redactor.clean(reason),
            Self::Broken { reason, back, .. } => {
                redactor.clean(reason);
                redactor.clean(back);
            }
            Self::Service { reason, lines, probe } => {
                redactor.clean(reason);
                lines.iter_mut().chain(probe).for_each(|text| redactor.clean(text));
            }
            Self::Refused { reasons } => reasons.iter_mut().for_each(|reason| redactor.clean(reason)),
        }
    }
}
