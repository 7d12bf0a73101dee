//! The scheduler, one action's life, the one writer of events.
