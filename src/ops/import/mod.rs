//! Envfiles from what other tools have.
//!
//! Invariant: an import never runs anything, and never leaves out silently what it does not understand: that stands in the
//! Envfile as a comment.

pub mod ninja;

#[cfg(test)]
mod tests;
