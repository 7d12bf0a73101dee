//! What the doctor, `secret list` and `secret rotate --due` want to know of secrets: there or not, since when, until when.

use std::sync::Arc;
use std::time::Duration;

use crate::model::StoreRef;
use crate::preflight::is_placeholder;
use crate::secret::redact::SHORTEST;
use crate::vars::{Layer, Values};

use super::{Kept, Refused, Secrets};

/// What is known of a secret; never its value.
#[derive(Debug, Clone)]
pub struct Examined {
    /// What is declared of it, and where it is kept.
    pub kept: Kept,
    /// What there is.
    pub state: State,
    /// How long ago it was made, if that is known.
    pub age: Option<Duration>,
    /// How long it may still be used; `Some(Err(_))` is how long it has been overdue.
    pub left: Option<Result<Duration, Duration>>,
}

/// What there is of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It is there: who has it, and what is wrong with it.
    Present {
        /// Who has it, as layers are called.
        from: String,
        /// Only a placeholder stands where it should.
        placeholder: bool,
        /// It is too short to be hidden in what is printed.
        short: bool,
    },
    /// It is missing, and will be made when something wants it.
    Generated,
    /// It is missing, and may be.
    Optional,
    /// It is missing.
    Missing,
    /// Its store cannot be read.
    Unread(Refused),
}

/// How long something took or will take, as people count it: in days from the first one on.
pub fn show_age(age: Duration) -> String {
    match age.as_secs() / 86_400 {
        0 => crate::base::unit::show_duration(age),
        days => format!("{days}d"),
    }
}

impl Secrets<'_> {
    /// Looks at every secret that `values` can see. Values that other layers give (a dotenv file) count as they are.
    pub fn examine(&mut self, values: &Arc<Values>) -> Result<Vec<Examined>, Refused> {
        let now = self.context.clock.now();
        let made = self.made(values.env()).unwrap_or_default();
        let mut found = Vec::new();
        for kept in self.kept(values)? {
            let name = kept.spec.secret.name.clone();
            let state = match self.value(&kept) {
                Ok(Some(text)) => {
                    let in_place =
                        self.read(&kept.place).as_ref().is_ok_and(|all| all.contains_key(name.as_str()));
                    let layer =
                        if in_place { Layer::Store(kept.place.store.to_string()) } else { Layer::Caller };
                    State::Present {
                        from: layer.to_string(),
                        placeholder: is_placeholder(&text),
                        short: text.trim().len() < SHORTEST,
                    }
                }
                Ok(None) if kept.spec.secret.generate.is_some() && self.can_write(&kept) => State::Generated,
                Ok(None) if kept.spec.secret.is_optional() => State::Optional,
                Ok(None) => State::Missing,
                Err(refused) => State::Unread(refused),
            };
            let is_there = matches!(state, State::Present { .. });
            let due = made.due(name.as_str(), kept.spec.secret.rotate).filter(|_| is_there);
            found.push(Examined {
                age: made.age(name.as_str(), now).filter(|_| is_there),
                left: due.map(|due| if due > now { Ok(due.since(now)) } else { Err(now.since(due)) }),
                state,
                kept,
            });
        }
        Ok(found)
    }

    /// Whether the place of a secret can be written to.
    pub fn can_write(&self, kept: &Kept) -> bool {
        match &kept.place.store {
            StoreRef::Env => false,
            StoreRef::File => true,
            StoreRef::Declared(project, name) => {
                self.envfile.store(project, name).is_some_and(|store| store.write.is_some())
            }
        }
    }
}
