//! What must hold before something runs: the conditions that `when`, `guard` and `match` share.
//!
//! A [`Condition`](crate::model::Condition) is asked of the [`Surroundings`]: the git repository, the variables, the host, the time. The answer
//! is a [`Verdict`]: it holds, or it does not and why, in words that stand after "because". Git is asked through the
//! `git` command, which knows every form a repository can have.
//!
//! Invariant: asking changes nothing; a condition that cannot be asked (no git repository) does not hold.

mod condition;
mod git;

#[cfg(test)]
mod tests;

pub use condition::{Surroundings, Verdict, check};
pub use git::Git;
