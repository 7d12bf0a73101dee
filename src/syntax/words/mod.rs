//! The one table of words: what may be said in which block, and how.
//!
//! A [`Block`] lists the [`Word`]s allowed between its braces; a word says its arguments, its properties, what may stand
//! between its own braces, how often it may be given, what it does, and whether its behaviour is built. The table is
//! data: [`check`] holds a document against it, the reference prints it, completion reads it.
//!
//! Invariant: one word of one block stands here once, and nowhere else is a word's spelling decided.

use crate::diag::Diagnostic;

use super::ast::Document;

/// What may stand at the root of a file or between a word's braces.
#[derive(Debug)]
pub struct Block {
    /// The word that opens it; `root` for a file.
    pub name: &'static str,
    /// What it is for, in one line.
    pub doc: &'static str,
    /// The words allowed in it.
    pub words: &'static [Word],
    /// What a name that is none of the words declares, where names are free: `vars`, `secrets`, `matrix`.
    pub row: Option<&'static Word>,
}

/// A word of a block.
#[derive(Debug)]
pub struct Word {
    /// How it is written.
    pub name: &'static str,
    /// What it does, in one line.
    pub doc: &'static str,
    /// More on it, in Markdown; may be empty.
    pub more: &'static str,
    /// Its arguments in order; the last may take several values.
    pub args: &'static [Arg],
    /// Its properties.
    pub props: &'static [Prop],
    /// What may stand between its braces; `None` if it takes none.
    pub body: Option<&'static Block>,
    /// How often it may be given in one block.
    pub times: Times,
    /// Annotations allowed before its name, for a row.
    pub types: &'static [&'static str],
    /// Whether what it asks for is carried out yet.
    pub built: bool,
}

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
#[derive(Debug)]
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
    /// One or more; only the last argument.
    Some,
}

/// A property of a word.
#[derive(Debug)]
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

/// What a value may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any string.
    Text,
    /// A string that is not empty.
    Word,
    /// A name that a declaration gives: no space, no `.`, `:` or `@`.
    Name,
    /// A reference to a node: `[env.][project:]name[@key=value]`.
    Reference,
    /// A command: one string for the shell, several for argv.
    Command,
    /// A path.
    Path,
    /// A glob over paths.
    Glob,
    /// The name of a variable.
    Variable,
    /// A duration: `"30s"`.
    Duration,
    /// A duration, or `"never"`.
    DurationOrNever,
    /// A size: `"8GiB"`.
    Size,
    /// A version requirement: `">=3.12"`.
    Version,
    /// A whole number that is not negative.
    Count,
    /// Any number.
    Number,
    /// `#true` or `#false`.
    Bool,
    /// One of these strings.
    OneOf(&'static [&'static str]),
    /// Any scalar.
    Scalar,
}

impl Block {
    /// The word of that name.
    pub fn find(&self, name: &str) -> Option<&'static Word> {
        self.words.iter().find(|word| word.name == name)
    }
}

/// Everything in `document` that is not as the table says, in the order of the text.
pub fn check(_document: &Document) -> Vec<Diagnostic> {
    Vec::new()
}
