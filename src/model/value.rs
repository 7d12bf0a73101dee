//! Values of variables: types, constraints, where they come from.

use std::fmt;

use crate::diag::{Span, Spanned};

use super::VarName;

/// A value as the Envfile gives it.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub enum Value {
    /// Text, still with its `${NAME}`.
    String(String),
    /// A whole number.
    Int(i128),
    /// Any other number.
    Float(f64),
    /// `#true` or `#false`.
    Bool(bool),
    /// Takes an inherited name away.
    Null,
}

impl fmt::Display for Value {
    /// The text a command sees in its environment.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::String(text) => f.write_str(text),
            Self::Int(number) => write!(f, "{number}"),
            Self::Float(number) => write!(f, "{number:?}"),
            Self::Bool(yes) => write!(f, "{yes}"),
            Self::Null => Ok(()),
        }
    }
}

/// What a variable may hold: the KDL type of its value, or the annotation on its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum VarType {
    /// Any text.
    String,
    /// A whole number.
    Int,
    /// Any number.
    Float,
    /// `true` or `false`.
    Bool,
    /// A TCP port, 1 to 65535.
    Port,
    /// An absolute URL.
    Url,
    /// A path.
    Path,
    /// A duration such as `30s`.
    Duration,
    /// A size such as `8GiB`.
    Size,
    /// One of the words of `one-of`.
    Enum,
}

impl VarType {
    /// The type that an annotation on a name asks for.
    pub fn from_annotation(text: &str) -> Option<Self> {
        Some(match text {
            "port" => Self::Port,
            "url" => Self::Url,
            "path" => Self::Path,
            "duration" => Self::Duration,
            "size" => Self::Size,
            "enum" => Self::Enum,
            _ => return None,
        })
    }

    /// The type that a value has by itself; none for `#null`.
    pub fn of(value: &Value) -> Option<Self> {
        Some(match value {
            Value::String(_) => Self::String,
            Value::Int(_) => Self::Int,
            Value::Float(_) => Self::Float,
            Value::Bool(_) => Self::Bool,
            Value::Null => return None,
        })
    }

    /// Its name: the annotation, or that of the plain KDL type.
    pub fn word(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Int => "int",
            Self::Float => "float",
            Self::Bool => "bool",
            Self::Port => "port",
            Self::Url => "url",
            Self::Path => "path",
            Self::Duration => "duration",
            Self::Size => "size",
            Self::Enum => "enum",
        }
    }

    /// What it allows, in words that stand after "is": `a port, 1 to 65535`.
    pub fn allows(self) -> &'static str {
        match self {
            Self::String => "a text",
            Self::Int => "a whole number",
            Self::Float => "a number",
            Self::Bool => "`#true` or `#false`",
            Self::Port => "a port, 1 to 65535",
            Self::Url => "an absolute URL such as `https://example.org/path`",
            Self::Path => "a path",
            Self::Duration => "a duration such as `30s`, `5m` or `1h30m`",
            Self::Size => "a size such as `512MiB` or `8GiB`",
            Self::Enum => "one of its words",
        }
    }

    /// Whether `min` and `max` mean something for it.
    pub fn is_measured(self) -> bool {
        matches!(self, Self::Int | Self::Float | Self::Port | Self::Duration | Self::Size)
    }
}

/// What else is asked of a value.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Constraints {
    /// The least number (for a duration seconds, for a size bytes).
    pub min: Option<Spanned<f64>>,
    /// The greatest.
    pub max: Option<Spanned<f64>>,
    /// The allowed texts.
    pub one_of: Option<Spanned<Vec<String>>>,
    /// A regular expression the whole text must match.
    pub pattern: Option<Spanned<String>>,
}

/// One line of a `vars` block.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Var {
    /// The name.
    pub name: VarName,
    /// Where the name is written.
    pub span: Span,
    /// The type; `None` in an overlay that gives only a value and inherits the type.
    pub ty: Option<VarType>,
    /// The value; `None` for a name without one, which an environment, a dotenv file or `--set` must give.
    pub value: Option<Spanned<Value>>,
    /// What else is asked of the value.
    pub constraints: Constraints,
    /// `required=#false`: may stay without a value.
    pub optional: bool,
    /// What it is for.
    pub desc: Option<String>,
}

impl Var {
    /// This declaration laid over the one that it patches: what it does not say is inherited.
    pub fn over(&self, below: &Self) -> Self {
        let (mine, under) = (&self.constraints, &below.constraints);
        Self {
            name: self.name.clone(),
            span: self.span,
            ty: below.ty.or(self.ty),
            value: self.value.clone().or_else(|| below.value.clone()),
            constraints: Constraints {
                min: mine.min.or(under.min),
                max: mine.max.or(under.max),
                one_of: mine.one_of.clone().or_else(|| under.one_of.clone()),
                pattern: mine.pattern.clone().or_else(|| under.pattern.clone()),
            },
            optional: self.optional || below.optional,
            desc: self.desc.clone().or_else(|| below.desc.clone()),
        }
    }
}

/// A dotenv file to load.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Dotenv {
    /// The path as written, relative to the project's folder, with its `${NAME}`.
    pub path: Spanned<String>,
    /// It may be absent.
    pub optional: bool,
}
