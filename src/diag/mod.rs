//! What is wrong with a text, where, and what to do about it.
//!
//! A [`SourceMap`] holds every text that was read; a [`Span`] points into it; a [`Diagnostic`] carries a code, a
//! message, labelled spans and a help line. How they are shown is a matter for [`render`].
//!
//! Invariant: making a diagnostic never fails and never prints.

pub mod render;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// Which text of the [`SourceMap`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct FileId(pub u32);

/// A stretch of one text, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct Span {
    /// The text it lies in.
    pub file: FileId,
    /// Where it begins, in bytes.
    pub start: u32,
    /// How long it is, in bytes.
    pub len: u32,
}

impl Span {
    /// One past its last byte.
    pub fn end(self) -> u32 {
        self.start + self.len
    }
}

/// A value and where it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Spanned<T> {
    /// What was written.
    pub value: T,
    /// Where.
    pub span: Span,
}

impl<T> Spanned<T> {
    /// Puts `value` and `span` together.
    pub fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }

    /// Changes the value and keeps the place.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Spanned<U> {
        Spanned { value: f(self.value), span: self.span }
    }
}

/// One text that was read.
#[derive(Debug, Clone)]
pub struct SourceFile {
    /// Where it lies, as shown to people: relative to the project's root where that is possible.
    pub name: String,
    /// Where it lies.
    pub path: PathBuf,
    /// What it says; read when somebody asks, if what it means is known without.
    text: OnceLock<Arc<str>>,
    /// Where its lines begin but for the first, found when somebody asks.
    line_starts: OnceLock<Box<[u32]>>,
}

impl SourceFile {
    /// What it says.
    pub fn text(&self) -> &str {
        let read = || std::fs::read(&self.path).map(|bytes| String::from_utf8_lossy(&bytes).into());
        // A file that is gone by then is shown without its lines.
        self.text.get_or_init(|| read().unwrap_or_default())
    }

    /// The line that holds the byte at `offset`, from 0, and where it begins.
    fn line_at(&self, offset: usize) -> (usize, usize) {
        let starts = self.line_starts.get_or_init(|| {
            let newlines = self.text().bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
            newlines.map(|(at, _)| u32::try_from(at + 1).expect("a text is shorter than 4 GiB")).collect()
        });
        let line = starts.partition_point(|&start| start as usize <= offset);
        (line, line.checked_sub(1).map_or(0, |before| starts[before] as usize))
    }
}

/// Every text that was read, in the order of reading; the root Envfile is the first.
#[derive(Debug, Clone, Default)]
pub struct SourceMap {
    files: Vec<SourceFile>,
}

impl SourceMap {
    /// Adds a text.
    pub fn add(&mut self, name: impl Into<String>, path: &Path, text: impl Into<Arc<str>>) -> FileId {
        self.push(name.into(), path, OnceLock::from(text.into()))
    }

    /// Adds a text of which it is known what it means: it is read only if somebody wants to see it.
    pub fn add_unread(&mut self, name: impl Into<String>, path: &Path) -> FileId {
        self.push(name.into(), path, OnceLock::new())
    }

    fn push(&mut self, name: String, path: &Path, text: OnceLock<Arc<str>>) -> FileId {
        let id = FileId(u32::try_from(self.files.len()).expect("fewer than four billion files"));
        self.files.push(SourceFile { name, path: path.to_path_buf(), text, line_starts: OnceLock::new() });
        id
    }

    /// The text behind an id.
    pub fn file(&self, id: FileId) -> &SourceFile {
        &self.files[id.0 as usize]
    }

    /// Every text.
    pub fn files(&self) -> &[SourceFile] {
        &self.files
    }

    /// Line and column of a span's start, both from 1; the column counts characters.
    pub fn line_col(&self, span: Span) -> (usize, usize) {
        let file = self.file(span.file);
        let at = (span.start as usize).min(file.text().len());
        let (line, start) = file.line_at(at);
        let before = file.text().get(start..at).map_or(at - start, |before| before.chars().count());
        (line + 1, before + 1)
    }

    /// `file:line` of a span's start.
    pub fn place(&self, span: Span) -> String {
        format!("{}:{}", self.file(span.file).name, self.line_col(span).0)
    }

    /// What stands at a span.
    pub fn snippet(&self, span: Span) -> &str {
        self.file(span.file).text().get(span.start as usize..span.end() as usize).unwrap_or_default()
    }
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth saying; the run goes on.
    Warning,
    /// The run cannot begin.
    Error,
}

/// A span with a word on it. The first label of a diagnostic is its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// Where.
    pub span: Span,
    /// What is to be said of it; may be empty.
    pub text: String,
}

/// Something wrong with a text, or with how a text and a request fit together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Its stable name, in kebab-case with the area before a slash: `syntax/unknown-word`.
    pub code: &'static str,
    /// How bad.
    pub severity: Severity,
    /// One line: lower case, no full stop, names in backticks.
    pub message: String,
    /// The places; the first is the main one.
    pub labels: Vec<Label>,
    /// What to do now.
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error without a place yet.
    pub fn error(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, severity: Severity::Error, message: message.into(), labels: Vec::new(), help: None }
    }

    /// A warning without a place yet.
    pub fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, message) }
    }

    /// Adds a place.
    pub fn at(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push(Label { span, text: text.into() });
        self
    }

    /// Says what to do.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Says what to do, if there is anything to say.
    pub fn maybe_help(mut self, help: Option<String>) -> Self {
        self.help = help;
        self
    }
}

/// The name among `known` nearest to `word`, if one is near enough to have been meant: a third of it may differ, and
/// something must be the same.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let distance = |name: &str| strsim::damerau_levenshtein(&word, &name.to_lowercase());
    known
        .into_iter()
        .map(|name| (distance(name), name))
        .filter(|(distance, name)| {
            let longest = word.chars().count().max(name.chars().count());
            *distance <= longest.div_ceil(3) && *distance < longest
        })
        .min()
        .map(|(_, name)| name)
}

/// `did you mean `x`?`, if there is something that may have been meant.
pub fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(word, known).map(|name| format!("did you mean `{name}`?"))
}
