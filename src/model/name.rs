//! Names, and how one node refers to another.

use std::fmt;
use std::sync::Arc;

use crate::diag::Span;

/// Most names of projects are empty: these share one allocation.
fn shared(text: &str) -> Arc<str> {
    if text.is_empty() { Arc::default() } else { text.into() }
}

/// Reads a name in one allocation; what serde has for an `Arc<str>` makes a `String` first, and a snapshot is mostly names.
struct NameVisitor;

impl serde::de::Visitor<'_> for NameVisitor {
    type Value = Arc<str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(shared(text))
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(shared(text))
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                from.deserialize_str(NameVisitor).map(Self)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }
    };
}

name!(
    /// An environment's name: `prod`.
    EnvName
);
name!(
    /// A project's name, as `include … as=` or its folder gave it; empty for the root.
    ProjectName
);
name!(
    /// A node's name inside its project. One from a file included `as="ns"` is called `ns.name`.
    NodeName
);
name!(
    /// A variable's name: letters, digits and `_`, not beginning with a digit.
    VarName
);

/// A node, whatever the environment.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct NodePath {
    /// The project it is in.
    pub project: ProjectName,
    /// Its name there.
    pub name: NodeName,
}

impl fmt::Display for NodePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.project.as_str().is_empty() {
            self.name.fmt(f)
        } else {
            write!(f, "{}:{}", self.project, self.name)
        }
    }
}

impl fmt::Debug for NodePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// How far a service has to be for somebody to go on.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Gate {
    /// Its process is there.
    Started,
    /// It can be used.
    #[default]
    Ready,
    /// It has ended by itself, and well.
    Completed,
}

/// One node named by another, already looked up: the path exists in at least one environment.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct NodeRef {
    /// What it refers to.
    pub path: NodePath,
    /// The environment it is pinned to; the referring node's own otherwise.
    pub env: Option<EnvName>,
    /// How far it has to be, if it is a service and the reference says so.
    pub state: Option<Gate>,
    /// Where it is written.
    pub span: Span,
}
