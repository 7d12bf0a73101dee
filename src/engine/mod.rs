//! The scheduler, one action's life, the one writer of events.

pub mod pool;
pub mod scheduler;
