//! KDL text to a tree with a place on every part, and back.
//!
//! [`ast`] is our own tree; [`parse()`] makes it of a text, with the exact place of every part, or says everything that is
//! wrong with the text; [`format()`] writes it in its standard form. [`token`] cuts the text for both; [`edit`] adds to a text. [`words`] is the one table of what may
//! be said, and feeds the checks, "did you mean", the reference in `docs/envfile.md` and completion.
//!
//! Invariant: nothing in here knows what a task means.

pub mod ast;
pub mod edit;
pub mod format;
pub mod parse;
#[cfg(test)]
mod specimen;
mod text;
pub mod token;
pub mod words;

pub use format::format;
pub use parse::parse;
