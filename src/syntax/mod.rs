//! KDL text to a tree with a place on every part, and back.
//!
//! [`ast`] is our own tree. [`parse`] makes it of any text, with exact places, or says everything that is wrong with the
//! text. [`words`] is the one table of what may be said, and feeds the checks, "did you mean", the reference in
//! `docs/envfile.md` and completion.
//!
//! Invariant: nothing in here knows what a task means.

pub mod ast;
mod exact;
pub mod words;

pub use exact::parse_exact;

use crate::diag::{Diagnostic, FileId};

/// Reads `text`. Every span of the tree is exact. On failure: everything that is wrong with the text, in its order.
pub fn parse(file: FileId, text: &str) -> Result<ast::Document, Vec<Diagnostic>> {
    parse_exact(file, text)
}
