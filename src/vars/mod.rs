//! Values of variables: who wins, what a text mentions, and what a definition reads.
//!
//! The layers of a project in an environment, weakest first: what stands at the root of its Envfile, its dotenv files,
//! the environments that it extends, furthest first, and the environment itself. Over them come the task's own `vars`
//! and `--set`. An included project sees the values of the project that includes it; a name that it declares itself is
//! its own. The caller's variables come last of all: for names that nobody declares, and for declared ones that nobody
//! gave a value.
//!
//! [`Values`] are resolved once for each (project, environment) and shared; [`TaskValues`] lay a task's own variables
//! and arguments over them. A value that mentions others (`BASE_URL "http://localhost:${PORT}"`) takes what they have in
//! the end, not what they had in its layer; one that mentions itself (`PATH "bin:${PATH}"`) takes what the layer below
//! gave.
//!
//! A secret has no value until its store was asked: [`Values::open`] hands in what stores have, once, and everything that
//! depends on a secret is missing before. So guards can be asked before a store is.
//!
//! Invariant: no IO, no process environment: dotenv texts, `--set` and the caller's variables are handed in.
//! Invariant: a missing value is an error only for what reads it.

pub mod dotenv;
mod interpolate;
mod lookup;
mod reads;
mod request;
mod resolver;
mod sealed;
mod slot;
mod task_values;
mod values;
pub mod write;

#[cfg(test)]
mod tests;

pub use interpolate::{Form, Malformed, Mention, Otherwise, Unset, interpolate, malformed, mentions};
pub use lookup::{Layer, Lookup, Origin};
pub use reads::{
    EnvironmentNames, condition_names, reads, reads_of_service, reads_of_snapshot, requirement_names,
};
pub use request::{DotenvFile, Request, Source, dotenv_files};
pub use resolver::INVALID;
pub use sealed::{Answer, SEALED, SecretId};
pub use task_values::{Declared, TaskValues};
pub use values::{Declaration, Values};
