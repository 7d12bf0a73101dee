//! The standard form of a text: `envrun fmt`.
//!
//! The printer walks the tokens, not the tree, and changes only what stands between them: four spaces per block, one node
//! per line, one space between entries, at most one blank line between groups. A block that is written on one line and
//! fits there stays on it (`when { branch "main" }`), and lines that are aligned stay aligned (`table`). Strings, numbers and comments stay as they are written; a string of
//! several lines moves as a whole, so that it stands one step further in than its word.
//!
//! Invariant: the tree of the text, and its comments, are the same before and after; the form of a form is itself.

use crate::diag::{Diagnostic, FileId};

use super::parse;
use super::text;
use super::token::{Form, Lexer, Token, TokenKind, is_newline, is_space};

mod table;
#[cfg(test)]
mod tests;

/// One step of indentation.
const STEP: &str = "    ";

/// How long a line with a block on it may become.
const WIDTH: usize = 120;

/// The standard form of `text`; on failure, everything that is wrong with it.
pub fn format(file: FileId, text: &str) -> Result<String, Vec<Diagnostic>> {
    parse(file, text)?;
    let mut out = Printer::new(text).print();
    if !out.is_empty() {
        out.push('\n');
    }
    Ok(out)
}

struct Printer<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    /// For an opening brace, the index of its closing one.
    closes: Vec<usize>,
    at: usize,
    out: String,
    /// Line breaks in the text since the last thing that was printed.
    breaks: usize,
    /// Inside of a block that is tried on one line.
    inline: bool,
    /// Up to here the lines were looked at, and are no table.
    no_table_before: usize,
}

/// What was printed last, as far as the next thing must know.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    Nothing,
    Node,
    Comment,
}

impl<'a> Printer<'a> {
    fn new(text: &'a str) -> Self {
        let mut lexer = Lexer::new(text);
        let mut tokens: Vec<Token> = Vec::new();
        let mut open = Vec::new();
        let mut closes = Vec::new();
        loop {
            let token = lexer.cut();
            closes.push(0);
            match token.kind {
                TokenKind::OpenBrace => open.push(tokens.len()),
                TokenKind::CloseBrace => {
                    if let Some(brace) = open.pop() {
                        closes[brace] = tokens.len();
                    }
                }
                _ => {}
            }
            tokens.push(token);
            if token.kind == TokenKind::End {
                return Self {
                    text,
                    tokens,
                    closes,
                    at: 0,
                    out: String::new(),
                    breaks: 0,
                    inline: false,
                    no_table_before: 0,
                };
            }
        }
    }

    fn print(mut self) -> String {
        self.items(0);
        self.out
    }

    fn kind(&self) -> TokenKind {
        self.tokens[self.at].kind
    }

    fn token_text(&self) -> &'a str {
        let token = self.tokens[self.at];
        &self.text[token.start..token.end]
    }

    fn line_break(&mut self, depth: usize) {
        self.out.truncate(self.out.trim_end_matches(' ').len());
        self.out.push('\n');
        for _ in 0..depth {
            self.out.push_str(STEP);
        }
    }

    /// The nodes and comments of a block or of the whole text.
    fn items(&mut self, depth: usize) {
        let mut last = Last::Nothing;
        self.breaks = 0;
        loop {
            match self.kind() {
                TokenKind::End | TokenKind::CloseBrace => return,
                TokenKind::Newline => self.breaks += 1,
                TokenKind::LineComment | TokenKind::BlockComment => {
                    self.place(last, Last::Comment, depth);
                    self.out.push_str(self.token_text().trim_end());
                    last = Last::Comment;
                }
                TokenKind::Continuation => {
                    for comment in comments(self.token_text()) {
                        self.place(last, Last::Comment, depth);
                        self.out.push_str(comment.trim_end());
                        last = Last::Comment;
                    }
                    self.breaks += 1;
                }
                kind if kind.is_line_space() => {}
                _ => {
                    self.place(last, Last::Node, depth);
                    if !self.table(depth) {
                        self.node(depth);
                    }
                    last = Last::Node;
                    continue;
                }
            }
            self.at += 1;
        }
    }

    /// Prints the lines that begin here as they are, if they are a table.
    fn table(&mut self, depth: usize) -> bool {
        if self.inline || self.at < self.no_table_before || !self.begins_line() {
            return false;
        }
        let form = |line: &str| Printer::new(line).print();
        let group = table::group(self.text, &self.tokens, self.at, form);
        let indent = depth * STEP.len();
        let fits = |line: &&str| !line.contains('{') || indent + line.chars().count() <= WIDTH;
        let Some(lines) = group.lines.filter(|lines| lines.iter().all(fits)) else {
            self.no_table_before = group.end;
            return false;
        };
        for (index, line) in lines.iter().enumerate() {
            if index > 0 {
                self.line_break(depth);
            }
            self.out.push_str(line);
        }
        self.at = group.end;
        true
    }

    /// Whether the current token is the first of its line in the text.
    fn begins_line(&self) -> bool {
        let before = self.tokens[..self.at].iter().rev().find(|token| token.kind != TokenKind::Space);
        before.is_none_or(|token| token.kind == TokenKind::Newline)
    }

    /// Prints what comes between the last thing of a block and the next.
    fn place(&mut self, last: Last, next: Last, depth: usize) {
        let same_line = self.breaks == 0;
        match (last, next) {
            (Last::Nothing, _) if self.out.is_empty() => {}
            (Last::Node, Last::Node) if self.inline => self.out.push_str("; "),
            _ if self.inline => self.out.push(' '),
            // A comment stays behind what it is written behind, and a node behind a comment.
            (Last::Nothing | Last::Node, Last::Comment) | (Last::Comment, _) if same_line => {
                self.out.push(' ')
            }
            _ => {
                if self.breaks > 1 && last != Last::Nothing {
                    self.line_break(0);
                }
                self.line_break(depth);
            }
        }
        self.breaks = 0;
    }

    /// A node, up to what ends it; a semicolon is taken, a line break is not.
    fn node(&mut self, depth: usize) {
        self.slashdash(depth);
        self.annotation(depth);
        self.value(depth);
        loop {
            let from = self.at;
            self.skip_node_space();
            match self.kind() {
                TokenKind::Newline | TokenKind::LineComment | TokenKind::CloseBrace | TokenKind::End => {
                    return self.gap_at_end(from);
                }
                TokenKind::Semicolon => {
                    self.gap_at_end(from);
                    self.at += 1;
                    return;
                }
                _ => self.gap(from, true, depth),
            }
            self.slashdash(depth);
            if self.kind() == TokenKind::OpenBrace {
                self.block(depth);
            } else {
                self.entry(depth);
            }
        }
    }

    /// `/-` with the comments behind it.
    fn slashdash(&mut self, depth: usize) {
        if self.kind() != TokenKind::Slashdash {
            return;
        }
        self.out.push_str("/-");
        self.at += 1;
        while self.kind().is_line_space() {
            for comment in comments(self.token_text()) {
                self.out.push(' ');
                self.out.push_str(comment.trim_end());
                if comment.starts_with("//") {
                    self.line_break(depth + 1);
                } else {
                    self.out.push(' ');
                }
            }
            self.at += 1;
        }
    }

    fn annotation(&mut self, depth: usize) {
        if self.kind() != TokenKind::OpenParen {
            return;
        }
        self.out.push('(');
        self.at += 1;
        self.tight(depth);
        self.value(depth);
        self.tight(depth);
        self.out.push(')');
        self.at += 1;
        self.tight(depth);
    }

    /// An argument or a property.
    fn entry(&mut self, depth: usize) {
        self.annotation(depth);
        self.value(depth);
        let after_value = self.at;
        self.skip_node_space();
        if self.kind() != TokenKind::Equals {
            self.at = after_value;
            return;
        }
        self.gap(after_value, false, depth);
        self.out.push('=');
        self.at += 1;
        self.tight(depth);
        self.annotation(depth);
        self.value(depth);
    }

    /// A string, number or keyword.
    fn value(&mut self, depth: usize) {
        let token = self.token_text();
        match self.kind() {
            TokenKind::String(Form::Lines | Form::RawLines) => {
                match indented(token, &STEP.repeat(depth + 1)) {
                    Some(moved) => self.out.push_str(&moved),
                    None => self.out.push_str(token),
                }
            }
            _ => self.out.push_str(token),
        }
        self.at += 1;
    }

    /// `{ … }`: on one line if it is written so and fits.
    fn block(&mut self, depth: usize) {
        let (open, close) = (self.at, self.closes[self.at]);
        let inside = &self.text[self.tokens[open].end..self.tokens[close].start];
        if inside.trim_matches(|c| is_space(c) || is_newline(c)).is_empty() {
            self.out.push_str("{}");
            self.at = close + 1;
            return;
        }
        // What is far too long need not be tried.
        let is_line = inside.len() < 4 * WIDTH && !inside.contains(is_newline);
        if !(self.inline || is_line) || !self.block_on_the_line(depth) {
            self.out.push('{');
            self.at = open + 1;
            self.items(depth + 1);
            self.line_break(depth);
            self.out.push('}');
        }
        self.at = close + 1;
    }

    /// Prints a block without a line break in it; takes it back if the line becomes too long, unless it is part of
    /// another one that is tried.
    fn block_on_the_line(&mut self, depth: usize) -> bool {
        let before = self.out.len();
        self.out.push('{');
        self.at += 1;
        let outer = std::mem::replace(&mut self.inline, true);
        self.items(depth + 1);
        self.inline = outer;
        self.out.push_str(" }");
        let line = &self.out[self.out.rfind('\n').map_or(0, |at| at + 1)..];
        let fits = outer || line.chars().count() <= WIDTH;
        if !fits {
            self.out.truncate(before);
        }
        fits
    }

    fn skip_node_space(&mut self) {
        while self.kind().is_node_space() {
            self.at += 1;
        }
    }

    /// Takes and prints space where none is needed.
    fn tight(&mut self, depth: usize) {
        let from = self.at;
        self.skip_node_space();
        self.gap(from, false, depth);
    }

    /// Prints the space from the token `from` up to the current one: its comments and its continued lines, and a single
    /// space if one is `wanted` or there was something else.
    fn gap(&mut self, from: usize, wanted: bool, depth: usize) {
        let mut wanted = wanted;
        for index in from..self.at {
            let token = self.tokens[index];
            let text = &self.text[token.start..token.end];
            match token.kind {
                TokenKind::Space => continue,
                TokenKind::Continuation => {
                    self.separate();
                    self.out.push('\\');
                    for comment in comments(text) {
                        self.out.push(' ');
                        self.out.push_str(comment.trim_end());
                    }
                    self.line_break(depth + 1);
                }
                _ => {
                    self.separate();
                    self.out.push_str(text);
                }
            }
            wanted = true;
        }
        if wanted {
            self.separate();
        }
    }

    /// Prints the comments of the space that ends a node; a line that goes on to nothing ends there.
    fn gap_at_end(&mut self, from: usize) {
        self.breaks = 0;
        for index in from..self.at {
            let token = self.tokens[index];
            for comment in comments(&self.text[token.start..token.end]) {
                if self.breaks > 0 {
                    self.line_break(0);
                }
                self.separate();
                self.out.push_str(comment.trim_end());
                self.breaks = 0;
            }
            self.breaks += usize::from(token.kind == TokenKind::Continuation);
        }
    }

    fn separate(&mut self) {
        if !self.out.ends_with([' ', '\n', '(']) {
            self.out.push(' ');
        }
    }
}

/// The comments of a token that stands for nothing.
fn comments(token: &str) -> Vec<&str> {
    let is_comment = |kind| matches!(kind, TokenKind::LineComment | TokenKind::BlockComment);
    let text = token.strip_prefix('\\').unwrap_or(token);
    let mut lexer = Lexer::new(text);
    let mut found = Vec::new();
    loop {
        let token = lexer.cut();
        match token.kind {
            TokenKind::End => return found,
            kind if is_comment(kind) => found.push(&text[token.start..token.end]),
            _ => {}
        }
    }
}

/// A string of several lines with `indent` before each of its lines instead of what its closing quotes have.
///
/// `None` if a line does not begin like the closing quotes' line, which continued lines need not.
fn indented(token: &str, indent: &str) -> Option<String> {
    let (offset, body) = text::lines_body(token);
    let lines: Vec<&str> = text::lines(body).map(|(_, line)| line).collect();
    let (prefix, content) = lines.split_last()?;
    if !prefix.chars().all(is_space) {
        return None;
    }
    let mut out = String::with_capacity(token.len());
    out.push_str(token[..offset].trim_end_matches(is_newline));
    for line in content {
        out.push('\n');
        if !line.chars().all(is_space) {
            out.push_str(indent);
            out.push_str(line.strip_prefix(prefix)?);
        }
    }
    out.push('\n');
    out.push_str(indent);
    out.push_str(&token[offset + body.len()..]);
    Some(out)
}
