//! Reading dotenv files: data, never programs.
//!
//! | line | value |
//! |---|---|
//! | `NAME=text` | the rest of the line without the blanks around it; ` #` begins a comment; everything else is literal: `$`, quotes inside, backslashes |
//! | `NAME={…}`, `NAME=[…]` | the same, but JSON has no comments: the whole line |
//! | `NAME='text'` | literally what stands between the quotes, over several lines if need be |
//! | `NAME="text"` | the same, with `\n` `\r` `\t` `\"` `\\` `\$` `` \` `` meaning what they mean in a shell's `$'…'`; any other backslash is literal |
//! | `NAME=` | the empty text |
//! | `export NAME=…` | as without `export` |
//! | `# …`, blank | nothing |
//!
//! Nothing is expanded, executed or looked up, so every text survives: a bcrypt hash needs no quotes. A name given twice
//! has its last value, as in a shell. Lines end in LF or CR LF, between quotes too: there either is one LF of the value.

use std::ops::Range;

use crate::diag::{Diagnostic, FileId, Span};

/// One `NAME=value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name.
    pub name: String,
    /// The value.
    pub value: String,
    /// The name's place.
    pub span: Span,
    /// The bytes of its lines, with the end of the last.
    pub lines: Range<usize>,
}

/// Reads a text. What cannot be read is told, with its line; the rest is read all the same.
pub fn parse(file: FileId, text: &str) -> (Vec<Entry>, Vec<Diagnostic>) {
    let mut reader = Reader { file, text, at: 0, entries: Vec::new(), diagnostics: Vec::new() };
    // Editors on Windows put a byte order mark first.
    reader.at = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    while reader.at < text.len() {
        reader.line();
    }
    (reader.entries, reader.diagnostics)
}

struct Reader<'t> {
    file: FileId,
    text: &'t str,
    at: usize,
    entries: Vec<Entry>,
    diagnostics: Vec<Diagnostic>,
}

impl<'t> Reader<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn span(&self, from: usize, to: usize) -> Span {
        let place = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Span { file: self.file, start: place(from), len: place(to.saturating_sub(from)) }
    }

    fn skip_blanks(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t']).len();
    }

    /// To the beginning of the next line.
    fn skip_line(&mut self) {
        self.at += self.rest().find('\n').map_or(self.rest().len(), |end| end + 1);
    }

    /// Tells what is wrong from `from` to the end of the line, and goes to the next.
    fn wrong(&mut self, from: usize, message: String, help: &str) {
        let end = from + self.text[from..].lines().next().unwrap_or_default().trim_end().len();
        let span = self.span(from, end.max(from));
        self.diagnostics.push(Diagnostic::error("vars/dotenv", message).at(span, "").help(help));
        self.skip_line();
    }

    fn line(&mut self) {
        let begin = self.at;
        self.skip_blanks();
        if self.rest().is_empty() || self.rest().starts_with(['#', '\n', '\r']) {
            return self.skip_line();
        }
        if let Some(after) = self.rest().strip_prefix("export").filter(|after| after.starts_with([' ', '\t']))
        {
            self.at = self.text.len() - after.len();
            self.skip_blanks();
        }
        let name_at = self.at;
        let line = self.rest().lines().next().unwrap_or_default();
        let Some(equals) = line.find('=') else {
            return self.wrong(
                name_at,
                "a line without `=`".into(),
                "write `NAME=value`, or `#` before a comment",
            );
        };
        let name = line[..equals].trim_end_matches([' ', '\t']);
        if !is_name(name) {
            let help = "a name has letters, digits and `_`, and does not begin with a digit";
            return self.wrong(name_at, format!("`{name}` is not a variable's name"), help);
        }
        if name.starts_with("ENVRUN_") {
            let help = "names that begin with `ENVRUN_` are envrun's own: take the line out, or give it another name";
            return self.wrong(name_at, format!("`{name}` is given by envrun itself"), help);
        }
        self.at += equals + 1;
        self.skip_blanks();
        let span = self.span(name_at, name_at + name.len());
        let value = match self.rest().as_bytes().first() {
            Some(&quote @ (b'"' | b'\'')) => self.quoted(quote),
            _ => Some(self.unquoted()),
        };
        if let Some(value) = value {
            self.entries.push(Entry { name: name.to_owned(), value, span, lines: begin..self.at });
        }
    }

    fn unquoted(&mut self) -> String {
        let line = self.rest().lines().next().unwrap_or_default();
        let begins_comment =
            |&(at, c): &(usize, char)| c == '#' && (at == 0 || line[..at].ends_with([' ', '\t']));
        let comment =
            if line.starts_with(['{', '[']) { None } else { line.char_indices().find(begins_comment) };
        let comment = comment.map_or(line.len(), |(at, _)| at);
        let value = line[..comment].trim_end().to_owned();
        self.skip_line();
        value
    }

    fn quoted(&mut self, quote: u8) -> Option<String> {
        let open = self.at;
        let mut value = String::new();
        let mut chars = self.rest()[1..].char_indices();
        let close = loop {
            let Some((at, c)) = chars.next() else {
                let quote = char::from(quote);
                self.wrong(
                    open,
                    format!("the closing `{quote}` is missing"),
                    "close the quotes, or write the value without",
                );
                return None;
            };
            match c {
                _ if c == char::from(quote) => break open + 1 + at,
                '\\' if quote == b'"' => match chars.next() {
                    Some((_, 'n')) => value.push('\n'),
                    Some((_, 'r')) => value.push('\r'),
                    Some((_, 't')) => value.push('\t'),
                    Some((_, escaped @ ('"' | '\\' | '$' | '`'))) => value.push(escaped),
                    Some((_, other)) => value.extend(['\\', other]),
                    None => value.push('\\'),
                },
                // How an editor ends lines is nothing that the value says: others read no CR there either. One that is meant
                // is written `\r`.
                '\r' if chars.as_str().starts_with('\n') => {}
                c => value.push(c),
            }
        };
        self.at = close + 1;
        self.skip_blanks();
        if self.rest().is_empty() || self.rest().starts_with(['#', '\n', '\r']) {
            self.skip_line();
            return Some(value);
        }
        self.wrong(
            self.at,
            "text after the closing quote".into(),
            "put the whole value in one pair of quotes",
        );
        None
    }
}

/// Whether a variable may be called that.
pub fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
