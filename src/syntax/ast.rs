//! The tree of an Envfile's text: nodes, arguments, properties, children, each with its span.

use crate::diag::{Span, Spanned};

/// A whole text.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Document {
    /// Its nodes, in order; those switched off with `/-` are not in it.
    pub nodes: Vec<Node>,
}

/// `(type)name arg arg key=value { children }`.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The name.
    pub name: Spanned<String>,
    /// The annotation before the name.
    pub ty: Option<Spanned<String>>,
    /// The arguments, in order.
    pub args: Vec<Arg>,
    /// The properties, in the order written. Duplicates are kept: the check names both.
    pub props: Vec<Prop>,
    /// The children; `None` without a block, empty for `{}`.
    pub children: Option<Vec<Node>>,
    /// From the annotation or name to the end of the last entry or the closing brace.
    pub span: Span,
}

/// An argument.
#[derive(Debug, Clone, PartialEq)]
pub struct Arg {
    /// Its annotation.
    pub ty: Option<Spanned<String>>,
    /// Its value.
    pub value: Spanned<Value>,
}

/// `key=value`.
#[derive(Debug, Clone, PartialEq)]
pub struct Prop {
    /// The key.
    pub key: Spanned<String>,
    /// The value's annotation.
    pub ty: Option<Spanned<String>>,
    /// The value.
    pub value: Spanned<Value>,
}

/// A KDL value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A string of any form: quoted, raw, multi-line or bare.
    String(String),
    /// A whole number.
    Int(i128),
    /// Any other number, and `#inf`, `#-inf`, `#nan`.
    Float(f64),
    /// `#true`, `#false`.
    Bool(bool),
    /// `#null`.
    Null,
}

impl Value {
    /// The text of a string.
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self { Some(text) } else { None }
    }

    /// What kind it is, for a message.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::String(_) => "a string",
            Self::Int(_) => "a whole number",
            Self::Float(_) => "a number",
            Self::Bool(_) => "a boolean",
            Self::Null => "#null",
        }
    }
}

impl Node {
    /// The children, none without a block.
    pub fn children(&self) -> &[Node] {
        self.children.as_deref().unwrap_or_default()
    }

    /// The first property of that name.
    pub fn prop(&self, key: &str) -> Option<&Prop> {
        self.props.iter().find(|prop| prop.key.value == key)
    }

    /// The first child of that name.
    pub fn child(&self, name: &str) -> Option<&Node> {
        self.children().iter().find(|node| node.name.value == name)
    }
}
