//! What this invocation will do, in which order, within which limits.
