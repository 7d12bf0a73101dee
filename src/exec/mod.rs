//! One command to one process group, and its end.
//!
//! [`run`] starts a command and follows it to its end: what it prints goes to a callback as it comes, and when it is
//! over, what it left in its process group is over too. [`Processes`] knows every command that is running, and ends them
//! all when the run is interrupted; a small process, the guardian, ends them when envrun itself is killed. Both find
//! what hides from them (in another session, without parents, variables or open files) by a mark that every command is
//! born with. Programs are found by [`Programs`], once; shell text without shell syntax ([`simple`]) starts without a
//! shell. What a command reads and
//! writes can be taken down, or kept from it, by a [`Watch`]. A [`Jobserver`] shares the places of `-j` with every make, ninja and cargo further down, or further up.
//!
//! Invariant: knows no graph, no task, no cache.
//! Invariant: every command of a run is started here; `unsafe` is in `spawn`, `guard.rs`,
//! `memory.rs`, `terminal.rs` and `watch/notify.rs`, nowhere else.
//! Invariant: nothing is done to the system, and nothing made, before the first command is started.

mod command;
mod detach;
mod environ;
mod files;
mod fleeting;
mod follow;
mod guard;
mod jobserver;
mod leftover;
mod mark;
mod memory;
mod pipe;
mod processes;
mod program;
mod replace;
mod running;
mod shell;
mod signal;
mod spawn;
mod tenant;
mod terminal;
mod tree;
mod usage;
mod watch;

pub use crate::base::Identity;
pub use command::{CommandSpec, Ended, Exit, Invocation, Io, StartError, Stream, keep, run, run_fed};
pub use detach::{detach, leave_session};
pub use environ::Environ;
pub use files::open_many;
pub use fleeting::Fleeting;
pub use jobserver::{Jobserver, Token};
pub use leftover::usages;
pub use memory::give_back_freed;
pub use processes::{Interrupt, Processes};
pub use program::{ProgramError, Programs};
pub use replace::replace;
pub use shell::{Shell, simple};
pub use signal::Signals;
pub use tenant::Tenant;
pub use terminal::TerminalGuard;
pub use usage::Usage;
pub use watch::{Access, Kind, Seen, Uses, Watch};

#[cfg(test)]
mod tests;
