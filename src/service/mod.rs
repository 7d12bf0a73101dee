//! What stays up: services, from their start to the end of their last process.
//!
//! A [`Spec`] is one service with every value filled in. [`Life`](life::Life) is its life as a pure state machine, from
//! facts to steps; a keeper, a thread of its own, carries the steps out: starts its command in a process group of its
//! own, asks its probes ([`probe`]), starts it again as its policy says, and brings it to its end. A [`Supervisor`] keeps
//! a set of them, in the order of what needs what.
//!
//! The services of an environment are kept by a process of their own, which [`serve`]s at the socket of a [`Place`]; every
//! command that needs services has a [`Session`] with it, and starts it if there is none. Whatever a session asked for
//! ends with it, however it ends, unless it is to stay (`up`) or others need it. So a second `up` joins the first, and
//! restarts go on when nobody watches. A supervisor that is killed takes its services along; what it wrote down tells the
//! next one what to look for.
//!
//! Invariant: knows no graph and no Envfile: everything that a service is stands in its [`Spec`].
//! Invariant: whatever a service started ends with it; a daemon of somebody else ends by its `stop` command.
//! Invariant: values, which may be secret, are in memory and on a socket that only their owner may open, never in a file.

mod again;
mod keeper;
pub mod life;
mod load;
pub mod log;
pub mod part;
mod place;
pub mod probe;
mod server;
mod session;
pub mod spec;
pub mod state;
mod supervisor;
mod wire;

#[cfg(test)]
mod tests;

pub use crate::model::Gate;
pub use place::{Place, Saved};
pub use server::{Served, serve};
pub use session::{SERVE, Session, SessionError};
pub use spec::Spec;
pub use state::{Exit, Failure, State, Status, Trouble};
pub use supervisor::{Begun, Subscription, Supervisor, Told};
