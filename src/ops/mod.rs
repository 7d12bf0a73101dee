//! What the program can do, with no terminal: load, run, explain, check, list, draw, begin.
//!
//! Invariant: touches neither the terminal, the process environment, the current directory nor HOME: all that is
//! ambient arrives in a [`Context`].

mod context;
pub mod init;
pub mod list;

pub use context::Context;
