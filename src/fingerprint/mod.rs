//! What a task's key is made of, and what changed since the last good run.
