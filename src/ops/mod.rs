//! What the program can do, with no terminal: load, run, explain, check, examine, list, draw, begin.
//!
//! Invariant: touches neither the terminal, the process environment, the current directory nor HOME: all that is
//! ambient arrives in a [`Context`].

pub mod audit;
pub mod check;
pub mod ci;
pub mod complete;
mod context;
pub mod deploy;
pub mod dev;
pub mod doctor;
pub mod env;
pub mod explain;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
pub mod guard;
pub mod import;
pub mod init;
pub mod list;
pub mod matching;
pub mod plan;
mod probe;
mod problem;
mod project;
mod rendered;
mod resident;
pub mod run;
pub mod schedule;
pub mod seal;
pub mod secret;
pub mod semver;
pub mod service;
pub mod snapshot;
pub mod stage;
mod sweep;
pub mod target;
pub mod values;

pub use context::Context;
pub use problem::{Problem, Refusal, has_errors};
pub use project::{Project, outer};
