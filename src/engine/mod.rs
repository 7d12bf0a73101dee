//! The run itself: who begins when, what one action does in its life, and the one writer of events.
//!
//! The [`scheduler`] is a pure state machine from facts to steps. The [`dispatcher`] carries the steps out and tells what
//! comes of them, first to the scheduler as facts, then to everybody as events. [`action`] is one node's life between
//! "its turn has come" and "it is over"; [`command`] is the part of it that starts processes, [`render`] the part that
//! writes files; [`surroundings`] is what all share, and decides what reaches a command; [`memory`] is what a session
//! knows from run to run; [`pin`] names bytes that a run must use; [`snapshot`] saves data and puts them back; [`service`]
//! is what stays up, `content` what it rests on; [`audit`] holds what commands touched against what is declared.
//!
//! Invariant: events are told by the dispatcher's thread alone, in one gapless sequence.
//! Invariant: only the scheduler decides what begins; only `fingerprint` decides what is up to date.

pub mod action;
pub mod audit;
mod calling;
pub mod command;
mod content;
pub mod deploy;
pub mod dispatcher;
mod inbox;
pub mod lock;
pub mod memory;
pub mod pin;
pub mod pool;
pub mod render;
pub mod scheduler;
pub mod service;
pub mod snapshot;
pub mod surroundings;
