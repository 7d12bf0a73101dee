//! Pictures of a graph: for graphviz, for mermaid, for programs, for a browser.
//!
//! [`dot`] and [`mermaid`] are for documents; [`json`] is the graph as data, documented and versioned; [`html`] is one
//! page that needs no network: an SVG laid out here, in layers from left (first) to right (last), with a script that
//! lets one move about in it. In all of them an arrow leads from what comes first to what comes later.
//!
//! Invariant: the same graph gives the same bytes. Whatever a name, a text or a command holds, it is shown as text.

mod dot;
mod html;
mod json;
mod layout;
mod mermaid;

#[cfg(test)]
mod tests;

pub use dot::dot;
pub use html::html;
pub use json::{JsonEdge, JsonGraph, JsonNode, json};
pub use mermaid::mermaid;

use super::{EdgeKind, Occasion};

/// The word of the Envfile that makes an edge.
fn word(kind: EdgeKind) -> &'static str {
    match kind {
        EdgeKind::Needs => "needs",
        EdgeKind::After => "after",
        EdgeKind::FollowUp(Occasion::Failure) => "on-fail",
        EdgeKind::FollowUp(Occasion::Success) => "on-success",
    }
}
