//! Run logs, history, durations, locks.
