//! What rules of words have to say.

use crate::diag::{Diagnostic, Span};
use crate::syntax::ast::Node;

/// Something that one use of a word cannot do without.
pub fn missing(node: &Node, message: impl Into<String>, help: &str) -> Diagnostic {
    Diagnostic::error("syntax/missing-property", message).at(node.name.span, "").help(help)
}

/// Two things of which only one can be said.
pub fn contradiction(message: &str, second: Span, first: Span) -> Diagnostic {
    Diagnostic::error("syntax/contradiction", message)
        .at(second, "")
        .at(first, "given here already")
        .help("take one away")
}
