//! What stays up: services, from their start to the end of their last process.
//!
//! A [`Spec`] is one service with every value filled in. [`Life`](life::Life) is its life as a pure state machine, from
//! facts to steps; a keeper, a thread of its own, carries the steps out: starts its command in a process group of its
//! own, asks its probes ([`probe`]), starts it again as its policy says, and brings it to its end. A [`Supervisor`] keeps
//! a set of them, in the order of what needs what.
//!
//! Invariant: knows no graph and no Envfile: everything that a service is stands in its [`Spec`].
//! Invariant: whatever a service started ends with it; a daemon of somebody else ends by its `stop` command.
//! Invariant: values, which may be secret, are in memory and on a socket that only their owner may open, never in a file.

mod keeper;
pub mod life;
pub mod log;
pub mod probe;
pub mod spec;
pub mod state;
mod supervisor;

#[cfg(test)]
mod tests;

pub use spec::Spec;
pub use state::{Exit, Failure, State, Status, Trouble};
pub use supervisor::{Begun, Gate, Supervisor, Told};
