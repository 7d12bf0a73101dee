//! Sees that files change: folders are watched, what the system tells is gathered until it is quiet, and each path is held
//! against what the graph's tasks read.
//!
//! [`Eyes`] watches exactly the folders that the walks of the tasks' inputs looked through ([`Interest`]), and no others: a
//! `node_modules` that git ignores costs nothing. Where the system does not tell (a limit is reached, a network file
//! system) they look again and again. [`Quiet`] is the window in which events gather: an editor's atomic save is five of
//! them. [`Area`] knows what a path means: an input of which tasks, a text of the Envfile, a change of HEAD, or nothing.
//! [`Circle`] finds tasks that write what makes them run.
//!
//! Invariant: events are hints. Whether something changed is decided by content, in `fingerprint`; an event too many costs
//! a look, and where events may have got lost ([`Hint::Lost`]) everything is looked at.
//! Invariant: [`Quiet`], [`Area`] and [`Circle`] read no clock and no file.
//!
//! [`Interest`]: crate::fingerprint::Interest

mod area;
mod circle;
mod eyes;
mod poll;
mod quiet;
#[cfg(test)]
mod tests;

pub use area::{Area, Meaning};
pub use circle::{Circle, Culprit, Wrote};
pub use eyes::{Eyes, Looks};
pub use quiet::{Batch, Hint, Quiet};
