//! The crates that judge our reading: the official `kdl`, and `club-kdl`, which passes all of KDL's own test suite.

use kdl::{KdlDocument, KdlEntry, KdlIdentifier, KdlNode, KdlValue};

use crate::diag::{FileId, Span, Spanned};
use crate::syntax::ast::{Arg, Document, Node, Prop, Value};

const FILE: FileId = FileId(0);

fn span(start: usize, end: usize) -> Span {
    Span { file: FILE, start: start as u32, len: (end - start) as u32 }
}

/// The official parser's tree, with the places it gives (a node's ends are not among them).
pub fn official(text: &str) -> Option<Document> {
    let document = KdlDocument::parse_v2(text).ok()?;
    Some(Document { nodes: document.nodes().iter().map(official_node).collect() })
}

fn official_name(name: &KdlIdentifier) -> Spanned<String> {
    let at = name.span();
    Spanned::new(name.value().to_owned(), span(at.offset(), at.offset() + at.len()))
}

fn official_node(node: &KdlNode) -> Node {
    let (mut args, mut props) = (Vec::new(), Vec::new());
    for entry in node.entries() {
        let ty = entry.ty().map(official_name);
        let value = Spanned::new(official_value(entry.value()), value_span(entry));
        match entry.name() {
            Some(key) => props.push(Prop { key: official_name(key), ty, value }),
            None => args.push(Arg { ty, value }),
        }
    }
    Node {
        ty: node.ty().map(official_name),
        name: official_name(node.name()),
        args,
        props,
        children: node.children().map(|block| block.nodes().iter().map(official_node).collect()),
        span: span(node.span().offset(), node.span().offset()),
    }
}

/// An entry's span is the whole of it; its value is the last thing in it.
fn value_span(entry: &KdlEntry) -> Span {
    let end = entry.span().offset() + entry.span().len();
    span(end - entry.format().map_or(entry.span().len(), |format| format.value_repr.len()), end)
}

fn official_value(value: &KdlValue) -> Value {
    match value {
        KdlValue::String(text) => Value::String(text.clone()),
        KdlValue::Integer(number) => Value::Int(*number),
        KdlValue::Float(number) => Value::Float(*number),
        KdlValue::Bool(yes) => Value::Bool(*yes),
        KdlValue::Null => Value::Null,
    }
}

/// `club-kdl`'s tree, which has no places and does not tell an empty block from none.
pub fn club(text: &str) -> Option<Document> {
    let document = club_kdl::Document::parse(text).ok()?;
    Some(Document { nodes: document.nodes().iter().map(club_node).collect() })
}

fn nowhere<T>(value: T) -> Spanned<T> {
    Spanned::new(value, span(0, 0))
}

fn club_node(node: &club_kdl::Node<'_>) -> Node {
    let ty = |ty: Option<&str>| ty.map(|ty| nowhere(ty.to_owned()));
    let (mut args, mut props) = (Vec::new(), Vec::new());
    for entry in node.entries() {
        let value = nowhere(match entry.value() {
            club_kdl::Value::String(text) => Value::String(text.to_string()),
            club_kdl::Value::Integer(number) => Value::Int(*number),
            club_kdl::Value::Float(number) => Value::Float(*number),
            club_kdl::Value::Bool(yes) => Value::Bool(*yes),
            club_kdl::Value::Null => Value::Null,
        });
        match entry.name() {
            Some(key) => props.push(Prop { key: nowhere(key.to_owned()), ty: ty(entry.ty()), value }),
            None => args.push(Arg { ty: ty(entry.ty()), value }),
        }
    }
    Node {
        ty: ty(node.ty()),
        name: nowhere(node.name().to_owned()),
        args,
        props,
        children: Some(node.children().iter().map(club_node).collect::<Vec<_>>())
            .filter(|children| !children.is_empty()),
        span: span(0, 0),
    }
}

/// The same tree with every node's end, and if asked every place and every empty block, taken away.
pub fn without(document: &Document, places: bool) -> Document {
    Document { nodes: document.nodes.iter().map(|node| node_without(node, places)).collect() }
}

fn node_without(node: &Node, places: bool) -> Node {
    let name = |name: &Spanned<String>| if places { nowhere(name.value.clone()) } else { name.clone() };
    // A NaN is not equal to itself.
    let value = |value: &Spanned<Value>| {
        let plain = match &value.value {
            Value::Float(number) if number.is_nan() => Value::String("nan".into()),
            other => other.clone(),
        };
        Spanned::new(plain, if places { span(0, 0) } else { value.span })
    };
    Node {
        name: name(&node.name),
        ty: node.ty.as_ref().map(name),
        args: node
            .args
            .iter()
            .map(|arg| Arg { ty: arg.ty.as_ref().map(name), value: value(&arg.value) })
            .collect(),
        props: node
            .props
            .iter()
            .map(|prop| Prop {
                key: name(&prop.key),
                ty: prop.ty.as_ref().map(name),
                value: value(&prop.value),
            })
            .collect(),
        children: node
            .children
            .as_ref()
            .map(|children| children.iter().map(|node| node_without(node, places)).collect::<Vec<_>>())
            .filter(|children| !(places && children.is_empty())),
        span: if places { span(0, 0) } else { span(node.span.start as usize, node.span.start as usize) },
    }
}
