//! Nodes that run at given times: which times these are, what is to be done at each, and how other programs say it.
//!
//! [`Due`] knows the times of one schedule and how far each is put off ([`Due::begins`]). The [`Agenda`] is told what time it
//! is and which runs are over, and answers with what to do: a pure machine, without a clock, that a test can lead through a
//! year. The [`Book`] keeps what must outlive the runner: up to which time each schedule was seen to, and what came of its last
//! run. [`export`] writes the same schedules for systemd, cron, GitHub and Kubernetes.
//!
//! Invariant: for any number of times that passed unseen, a schedule runs once at most.
//! Invariant: reads no clock and starts nothing.

mod agenda;
mod book;
mod due;
pub mod export;
#[cfg(test)]
mod tests;

pub use agenda::{Agenda, LATE, Step};
pub use book::{Book, Entry, Last, Went};
pub use due::Due;
