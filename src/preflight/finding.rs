//! What a check finds: whether it is well, what there is, what was wanted, what to do.

use serde::Serialize;

/// Whether something is well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It is.
    Pass,
    /// It will do.
    Warn,
    /// It is not.
    Fail,
}

/// The answer of one check.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Finding {
    /// Whether it is well.
    pub status: Status,
    /// What there is.
    pub found: String,
    /// What was asked for, where that is more than that it be there.
    pub wanted: Option<String>,
    /// What to do.
    pub hint: Option<String>,
}

impl Finding {
    /// It is well.
    pub fn pass(found: impl Into<String>) -> Self {
        Self { status: Status::Pass, found: found.into(), wanted: None, hint: None }
    }

    /// It will do.
    pub fn warn(found: impl Into<String>) -> Self {
        Self { status: Status::Warn, ..Self::pass(found) }
    }

    /// It is not well.
    pub fn fail(found: impl Into<String>) -> Self {
        Self { status: Status::Fail, ..Self::pass(found) }
    }

    /// What was asked for.
    pub fn wanted(self, wanted: impl Into<String>) -> Self {
        Self { wanted: Some(wanted.into()), ..self }
    }

    /// What to do, unless it is well.
    pub fn hint(self, hint: impl Into<String>) -> Self {
        let hint = (self.status != Status::Pass).then(|| hint.into());
        Self { hint, ..self }
    }

    /// Why it is not well, in words that stand after "because".
    pub fn reason(&self) -> String {
        match &self.wanted {
            Some(wanted) => format!("{}, wanted {wanted}", self.found),
            None => self.found.clone(),
        }
    }
}
