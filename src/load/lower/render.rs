//! `render`: files that other programs read.

use crate::diag::Spanned;
use crate::model::{Content, Only, Render};
use crate::syntax::ast::Node;

use super::texts;

/// What a `render` says. One that says too little or too much has been told of.
pub(super) fn render(node: &Node) -> Option<Render> {
    let text = |key: &str| {
        let prop = node.prop(key)?;
        Some(Spanned::new(prop.value.value.as_str()?.to_owned(), prop.value.span))
    };
    let content = match text("format") {
        Some(format) => match format.value.as_str() {
            "dotenv" => Content::Dotenv,
            "json" => Content::Json,
            "shell" => Content::Shell,
            "k8s-secret" => Content::KubernetesSecret { name: text("name")?, namespace: text("namespace") },
            _ => return None,
        },
        None => Content::Template(text("template")?),
    };
    let only = match text("only").as_ref().map(|only| only.value.as_str()) {
        Some("vars") => Some(Only::Vars),
        Some("secrets") => Some(Only::Secrets),
        _ => None,
    };
    Some(Render { path: texts(node).next()?, content, only })
}
