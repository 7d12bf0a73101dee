//! The one table of words: what may be said in which block, and how.
//!
//! A [`Block`] lists the [`Word`]s allowed between its braces; a word says its arguments, its properties, what may stand
//! between its own braces, how often it may be given, what it does, and whether its behaviour is built. The table is
//! plain data, a file per family of blocks, beginning at [`ROOT`]: [`check`] holds a document against it,
//! [`reference()`] prints it as `docs/envfile.md`, whoever lowers a tree asks it with [`Block::find`].
//!
//! Invariant: one word of one block stands here once, and nowhere else is a word's spelling decided.

mod check;
mod condition;
mod deploy;
mod env;
mod kind;
mod reference;
mod root;
mod rule;
mod service;
mod task;
#[cfg(test)]
mod tests;
mod variable;

pub use check::check;
pub use condition::{GUARD, MATCH, REQUIRES, WHEN};
pub use deploy::{DEPLOY, SNAPSHOT};
pub use env::ENV;
pub use kind::Kind;
pub use reference::reference;
pub use root::{CACHE, PROJECT, ROOT, STAGE, STORE};
pub use service::{READY, SERVICE};
pub use task::TASK;
pub use variable::{MATRIX, SECRETS, VARS};

use crate::diag::Diagnostic;

use super::ast::Node;

/// What may stand at the root of a file or between a word's braces.
#[derive(Debug)]
pub struct Block {
    /// The word that opens it; `root` for a file.
    pub name: &'static str,
    /// What it is for, in one line.
    pub doc: &'static str,
    /// The words allowed in it.
    pub words: &'static [Word],
    /// What a name that is none of the words stands for, where names are free: in `vars`, `secrets`, `matrix`.
    pub row: Option<&'static Word>,
    /// Whether it can stand in an `env` and patch an inherited one there, so that `word #null` takes a word away.
    pub patches: bool,
}

/// A word of a block.
#[derive(Debug, Clone, Copy)]
pub struct Word {
    /// How it is written.
    pub name: &'static str,
    /// What it does, in one line.
    pub doc: &'static str,
    /// More on it, in Markdown; may be empty.
    pub more: &'static str,
    /// An example, as KDL; may be empty.
    pub example: &'static str,
    /// Its arguments in order; only the last may take several values.
    pub args: &'static [Arg],
    /// Its properties.
    pub props: &'static [Prop],
    /// What may stand between its braces; `None` if it takes none.
    pub body: Option<&'static Block>,
    /// How often it may be given in one block.
    pub times: Times,
    /// Annotations allowed before it.
    pub types: &'static [&'static str],
    /// What no list of arguments and properties can say.
    pub rule: Option<Rule>,
    /// Whether what it asks for is carried out yet.
    pub built: bool,
}

/// Looks at one use of a word that is right as far as the table goes.
pub type Rule = fn(&Node, &mut Vec<Diagnostic>);

/// How often a word may be given in one block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// At most once.
    Once,
    /// Any number of times; what is given adds up.
    Many,
    /// Any number of times, each under another name (its first argument), which is unique among the words that share
    /// this kind of name: `task` and `service` both declare a `node`.
    Named(&'static str),
}

/// An argument of a word.
#[derive(Debug, Clone, Copy)]
pub struct Arg {
    /// What to call it in usage.
    pub name: &'static str,
    /// What it may be.
    pub kind: Kind,
    /// How many values it takes.
    pub count: Count,
}

/// How many values an argument takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// Exactly one.
    One,
    /// None or one.
    Optional,
    /// One or more.
    Some,
    /// Any number.
    Any,
}

/// A property of a word.
#[derive(Debug, Clone, Copy)]
pub struct Prop {
    /// How it is written.
    pub name: &'static str,
    /// What its value may be.
    pub kind: Kind,
    /// Whether it must be given.
    pub required: bool,
    /// What it does, in one line.
    pub doc: &'static str,
    /// Whether what it asks for is carried out yet.
    pub built: bool,
}

/// The name of a property that may have any name.
pub const ANY_NAME: &str = "*";

/// Every block, in the order of the reference.
pub static BLOCKS: &[&Block] = &[
    &ROOT, &PROJECT, &ENV, &VARS, &SECRETS, &TASK, &MATRIX, &WHEN, &GUARD, &MATCH, &REQUIRES, &SERVICE,
    &READY, &DEPLOY, &SNAPSHOT, &STAGE, &CACHE, &STORE,
];

impl Block {
    /// The word of that name.
    pub fn find(&self, name: &str) -> Option<&'static Word> {
        self.words.iter().find(|word| word.name == name)
    }
}

impl Word {
    /// How it is used: `retry <times> every= backoff= on=`.
    pub fn usage(&self) -> String {
        let mut usage = self.name.to_owned();
        for arg in self.args.iter().filter(|arg| !matches!(arg.kind, Kind::Refused(_))) {
            usage.push_str(&match arg.count {
                Count::One => format!(" <{}>", arg.name),
                Count::Optional => format!(" [<{}>]", arg.name),
                Count::Some => format!(" <{}>…", arg.name),
                Count::Any => format!(" [<{}>…]", arg.name),
            });
        }
        for prop in self.props {
            usage.push_str(&if prop.required {
                format!(" {}=", prop.name)
            } else {
                format!(" [{}=]", prop.name)
            });
        }
        if self.body.is_some() {
            usage.push_str(" { … }");
        }
        usage
    }

    /// The fewest and the most values it takes.
    fn arity(&self) -> (usize, Option<usize>) {
        let least = self.args.iter().filter(|arg| matches!(arg.count, Count::One | Count::Some)).count();
        let open = self.args.iter().any(|arg| matches!(arg.count, Count::Some | Count::Any));
        (least, (!open).then_some(self.args.len()))
    }

    /// The property of that name.
    pub fn prop(&self, name: &str) -> Option<&'static Prop> {
        self.props.iter().find(|prop| prop.name == name || prop.name == ANY_NAME)
    }

    /// The argument that the value at `index` belongs to.
    fn arg(&self, index: usize) -> Option<&'static Arg> {
        self.args
            .get(index)
            .or_else(|| self.args.last().filter(|arg| matches!(arg.count, Count::Some | Count::Any)))
    }
}

/// The rows of the table, written as sentences: `word("retry", "…").args(&[one("times", Kind::Count)])`.
mod row {
    use super::{Arg, Block, Count, Kind, Prop, Rule, Times, Word};

    /// A word given at most once, without arguments, that is built.
    pub const fn word(name: &'static str, doc: &'static str) -> Word {
        Word {
            name,
            doc,
            more: "",
            example: "",
            args: &[],
            props: &[],
            body: None,
            times: Times::Once,
            types: &[],
            rule: None,
            built: true,
        }
    }

    impl Word {
        pub(super) const fn more(self, more: &'static str) -> Self {
            Self { more, ..self }
        }

        pub(super) const fn example(self, example: &'static str) -> Self {
            Self { example, ..self }
        }

        pub(super) const fn args(self, args: &'static [Arg]) -> Self {
            Self { args, ..self }
        }

        pub(super) const fn props(self, props: &'static [Prop]) -> Self {
            Self { props, ..self }
        }

        pub(super) const fn body(self, body: &'static Block) -> Self {
            Self { body: Some(body), ..self }
        }

        pub(super) const fn many(self) -> Self {
            Self { times: Times::Many, ..self }
        }

        pub(super) const fn named(self, kind: &'static str) -> Self {
            Self { times: Times::Named(kind), ..self }
        }

        pub(super) const fn types(self, types: &'static [&'static str]) -> Self {
            Self { types, ..self }
        }

        pub(super) const fn rule(self, rule: Rule) -> Self {
            Self { rule: Some(rule), ..self }
        }

        pub(super) const fn unbuilt(self) -> Self {
            Self { built: false, ..self }
        }
    }

    /// An argument that takes exactly one value.
    pub const fn one(name: &'static str, kind: Kind) -> Arg {
        Arg { name, kind, count: Count::One }
    }

    /// An argument that may be left out.
    pub const fn optional(name: &'static str, kind: Kind) -> Arg {
        Arg { name, kind, count: Count::Optional }
    }

    /// An argument that takes one value or more.
    pub const fn some(name: &'static str, kind: Kind) -> Arg {
        Arg { name, kind, count: Count::Some }
    }

    /// An argument that takes any number of values.
    pub const fn any(name: &'static str, kind: Kind) -> Arg {
        Arg { name, kind, count: Count::Any }
    }

    /// A property that may be left out.
    pub const fn prop(name: &'static str, kind: Kind, doc: &'static str) -> Prop {
        Prop { name, kind, required: false, doc, built: true }
    }

    impl Prop {
        pub(super) const fn required(self) -> Self {
            Self { required: true, ..self }
        }
    }

    /// A block with fixed words.
    pub const fn block(name: &'static str, doc: &'static str, words: &'static [Word]) -> Block {
        Block { name, doc, words, row: None, patches: false }
    }

    impl Block {
        pub(super) const fn row(self, row: &'static Word) -> Self {
            Self { row: Some(row), ..self }
        }

        pub(super) const fn patches(self) -> Self {
            Self { patches: true, ..self }
        }
    }
}
