//! What must hold before something runs: the conditions that `when`, `guard` and `match` share, and what `requires` asks of
//! the machine.
//!
//! A [`Condition`](crate::model::Condition) is asked of the [`Surroundings`]: the git repository, the variables, the host, the time. The answer
//! is a [`Verdict`]: it holds, or it does not and why, in words that stand after "because". Git is asked through the
//! `git` command, which knows every form a repository can have.
//!
//! A [`Requirement`](crate::model::Requirement) becomes a [`Question`] when its variables are filled in; [`ask_all`] asks
//! the [`World`] (the [`Machine`], its programs and addresses) all questions at the same time, equal ones once, and gives
//! a [`Finding`] for each: pass, warn or fail, with what there is and what to do.
//!
//! Invariant: asking changes nothing; a condition that cannot be asked (no git repository) does not hold.
//! Invariant: no question stops at another's answer.

mod approval;
mod condition;
mod finding;
mod git;
mod machine;
mod person;
mod placeholder;
mod port;
mod question;
mod reach;
mod requirement;

#[cfg(test)]
mod tests;

pub use condition::{Live, Surroundings, Verdict, check, remedy};
pub use finding::{Finding, Status};
pub use git::{Changed, Git, Ignored};
pub use machine::Machine;
pub use person::person;
pub use placeholder::is_placeholder;
pub use port::{Owner, Ports};
pub use question::{Question, World, ask_all};
pub use reach::connect;
pub use requirement::Sight;
