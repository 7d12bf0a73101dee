//! Secrets: how they are made, kept in a file, hidden in what is printed, and how old they are.
//!
//! | file | what |
//! |---|---|
//! | `generate` | a new value, from the system's randomness |
//! | `file` | the store `file`: one dotenv file for each environment, for its owner's eyes alone |
//! | `made` | when each secret was made, so that it is known when it is due; no values |
//! | `redact` | the filter that everything printed, logged, cached or reported passes |
//!
//! Who asks stores, and when, is the business of `ops::secret`; how values reach a task that of [`crate::vars`].
//!
//! Invariant: a value is never in an error, a `Debug` text, an argument of a process or a file that others can read.
//! Invariant: nothing here replaces a value that is there but what is asked to by name.

pub mod file;
pub mod generate;
pub mod made;
pub mod redact;

#[cfg(test)]
mod tests;

pub use file::{FileStore, StoreError};
pub use generate::generate;
pub use made::Made;
pub use redact::{Redacted, Redactor};
