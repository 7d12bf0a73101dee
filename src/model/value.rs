//! Values of variables: types, constraints, where they come from.

use std::fmt;

use crate::diag::{Span, Spanned};

use super::VarName;

/// A value as the Envfile gives it.
#[derive(Debug, Clone, PartialEq)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// What else is asked of a value.
#[derive(Debug, Clone, Default, PartialEq)]
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
#[derive(Debug, Clone, PartialEq)]
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

/// A dotenv file to load.
#[derive(Debug, Clone, PartialEq)]
pub struct Dotenv {
    /// The path as written, relative to the project's folder, with its `${NAME}`.
    pub path: Spanned<String>,
    /// It may be absent.
    pub optional: bool,
}
