//! The official parser's reading of a text: slow, and the yardstick of the fast one.

use kdl::{KdlDocument, KdlEntry, KdlIdentifier, KdlNode, KdlValue};

use crate::diag::{Diagnostic, FileId, Span, Spanned};

use super::ast::{Arg, Document, Node, Prop, Value};

/// Reads `text` with the official parser.
pub fn parse_exact(file: FileId, text: &str) -> Result<Document, Vec<Diagnostic>> {
    let lower = Lower { file, text };
    match KdlDocument::parse_v2(text) {
        Ok(document) => {
            Ok(Document { nodes: document.nodes().iter().map(|node| lower.node(node)).collect() })
        }
        Err(error) => Err(error.diagnostics.into_iter().map(|one| lower.error(one)).collect()),
    }
}

struct Lower<'a> {
    file: FileId,
    text: &'a str,
}

impl Lower<'_> {
    fn span(&self, start: usize, end: usize) -> Span {
        let narrow = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Span { file: self.file, start: narrow(start), len: narrow(end.saturating_sub(start)) }
    }

    fn identifier(&self, name: &KdlIdentifier) -> Spanned<String> {
        let span = name.span();
        Spanned::new(name.value().to_owned(), self.span(span.offset(), span.offset() + span.len()))
    }

    fn node(&self, node: &KdlNode) -> Node {
        let (mut args, mut props) = (Vec::new(), Vec::new());
        for entry in node.entries() {
            let ty = entry.ty().map(|ty| self.identifier(ty));
            let value = Spanned::new(value(entry.value()), self.value_span(entry));
            match entry.name() {
                Some(key) => props.push(Prop { key: self.identifier(key), ty, value }),
                None => args.push(Arg { ty, value }),
            }
        }
        let name = self.identifier(node.name());
        let whole = node.span();
        let children =
            node.children().map(|block| block.nodes().iter().map(|node| self.node(node)).collect());
        let end = match node.entries().last() {
            _ if children.is_some() => {
                let text = &self.text[..whole.offset() + whole.len()];
                text.rfind('}').map_or(text.len(), |at| at + 1)
            }
            Some(entry) => entry.span().offset() + entry.span().len(),
            None => name.span.end() as usize,
        };
        Node {
            ty: node.ty().map(|ty| self.identifier(ty)),
            span: self.span(whole.offset(), end),
            name,
            args,
            props,
            children,
        }
    }

    /// An entry's span is the whole of it; its value is the last thing in it.
    fn value_span(&self, entry: &KdlEntry) -> Span {
        let whole = entry.span();
        let end = whole.offset() + whole.len();
        let len = entry.format().map_or(whole.len(), |format| format.value_repr.len());
        self.span(end.saturating_sub(len), end)
    }

    fn error(&self, error: kdl::KdlDiagnostic) -> Diagnostic {
        let message = error.message.unwrap_or_else(|| "this is not KDL".to_owned());
        Diagnostic::error("syntax/kdl", message.to_lowercase())
            .at(
                self.span(error.span.offset(), error.span.offset() + error.span.len()),
                error.label.unwrap_or_default(),
            )
            .maybe_help(error.help)
    }
}

fn value(value: &KdlValue) -> Value {
    match value {
        KdlValue::String(text) => Value::String(text.clone()),
        KdlValue::Integer(number) => Value::Int(*number),
        KdlValue::Float(number) => Value::Float(*number),
        KdlValue::Bool(yes) => Value::Bool(*yes),
        KdlValue::Null => Value::Null,
    }
}
