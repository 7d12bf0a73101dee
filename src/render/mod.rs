//! The content of files that other programs read, made from the values of an environment.
//!
//! [`format()`] writes all of them, in the order declared, in one of the formats that programs agree on; [`template`] fills
//! in a template that mentions those it wants. Both say whether a secret is in what they made: whoever writes the file
//! then keeps it from others. [`Shown`] compares a file with what would be written in its place, for a person to read.
//!
//! | format | read back by |
//! |---|---|
//! | dotenv | `sh`, docker compose, dotenv libraries, [`crate::vars::dotenv`] |
//! | shell | any POSIX shell |
//! | JSON | anything; numbers and `true` are themselves |
//! | Kubernetes Secret | `kubectl apply`; every value in base64 |
//!
//! Invariant: no IO; the same values make the same bytes.
//! Invariant: what is shown of a difference holds no value of a secret, neither an old nor a new one.

mod difference;
mod format;
mod template;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::model::VarType;

pub use difference::Shown;
pub use format::{Form, format};
pub use template::template;

/// A variable as it is rendered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// What it may hold; `None` for any text.
    pub ty: Option<VarType>,
    /// What it holds.
    pub value: Content,
    /// It is a secret, or made from one.
    pub secret: bool,
}

/// What a variable holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A text.
    Text(Arc<str>),
    /// Nothing, and that may be.
    Nothing,
    /// Nothing, and that may not be: why, in words.
    Missing(String),
}

/// A file's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The whole file.
    pub text: String,
    /// A secret is in it.
    pub secret: bool,
    /// How many variables it was made from.
    pub variables: usize,
}

/// Why a file cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// A variable that has to have a value has none: why.
    #[error("{0}")]
    Missing(String),
    /// A template is wrong.
    #[error("{place}: {message}")]
    Template {
        /// `file:line`.
        place: String,
        /// What is wrong.
        message: String,
        /// What to do.
        help: Option<String>,
    },
    /// Kubernetes does not take this name.
    #[error("`{name}` is not a name that Kubernetes takes for a {what}")]
    Name {
        /// `secret` or `namespace`.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// A format cannot hold this value.
    #[error("`{name}` holds a NUL character, which no {form} file can")]
    Nul {
        /// The variable.
        name: String,
        /// The format.
        form: &'static str,
    },
}

impl RenderError {
    /// What to do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Missing(_) | Self::Nul { .. } => None,
            Self::Template { help, .. } => help.clone(),
            Self::Name { what, .. } => Some(match *what {
                "namespace" => "a namespace has small letters, digits and `-`, at most 63 of them".into(),
                _ => "a name has small letters, digits, `-` and `.`, and begins and ends with a letter or digit".into(),
            }),
        }
    }
}

impl Variable {
    /// With stars in place of a secret.
    fn masked(&self) -> Self {
        let mut masked = self.clone();
        if masked.secret && matches!(masked.value, Content::Text(_)) {
            masked.value = Content::Text("***".into());
        }
        masked
    }
}
