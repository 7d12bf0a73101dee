//! KDL text to a tree with a place on every part, and back.
//!
//! [`ast`] is our own tree: both parsers make it. The fast one ([`parse`]) reads every good file; the official one
//! reads a file only when something in it is wrong, because it finds every error and words it. [`words`] is the one
//! table of what may be said, and feeds the checks, "did you mean", the reference in `docs/envfile.md` and completion.
//!
//! Invariant: nothing in here knows what a task means.

pub mod ast;
