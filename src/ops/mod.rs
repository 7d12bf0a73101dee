//! What the program can do, with no terminal: load, run, explain, check, list, draw, begin.
//!
//! Invariant: touches neither the terminal, the process environment, the current directory nor HOME: all that is
//! ambient arrives in a [`Context`].

mod context;
mod problem;
mod project;
pub mod run;
pub mod target;
pub mod init;
pub mod list;
mod matching;

pub use context::Context;
pub use problem::{Problem, Refusal};
pub use project::Project;
