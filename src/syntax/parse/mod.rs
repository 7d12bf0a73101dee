//! KDL text to our tree, and everything that is wrong with the text.
//!
//! One pass over the tokens, which recovers from every error it meets: whatever is wrong with a file is said at once, at
//! the place where it is wrong, in the words of `wording`. Speed matters (a cold start reads every file), and so do exact
//! places (`show`, every later error). The official `kdl` crate needs 400 ms for a megabyte, points to whole nodes and
//! overflows the stack on deep nesting; the fast crates give no places and stop at the first error. So the reading is
//! ours (6 ms for a megabyte), and the crates are its judges: the tests hold it to the same trees and the same verdicts, on
//! texts made up by the thousand.
//!
//! It is stricter than KDL where KDL reads something that nobody means: `https://…`, `src/**` and `${…}` without quotes
//! (words with a comment or a block that touches them), and `'…'` (a word that begins with an apostrophe).
//!
//! Invariant: nesting costs stack only down to [`MAX_DEPTH`]; every span lies in the text, on character boundaries.

mod entry;
#[cfg(test)]
pub(in crate::syntax) mod judges;
#[cfg(test)]
mod tests;
mod wording;

use crate::diag::{Diagnostic, FileId, Span, Spanned};

use self::entry::Entry;
use super::ast::{Document, Node};
use super::token::{Flaw, Lexer, Token, TokenKind, next_forbidden};

/// How deep blocks may stand in one another.
pub const MAX_DEPTH: usize = 128;

/// How many errors of one text are told: a file that is no Envfile has thousands.
const MAX_ERRORS: usize = 100;

/// Reads `text`. On failure: everything that is wrong with it, in the order of the text.
pub fn parse(file: FileId, text: &str) -> Result<Document, Vec<Diagnostic>> {
    let read = recover(file, text);
    if read.errors.is_empty() { Ok(read.document) } else { Err(read.errors) }
}

/// What was read of a text that may have errors.
#[derive(Debug)]
pub struct Recovered {
    /// What it says; where something was plainly meant (`30s` without quotes), what was meant.
    pub document: Document,
    /// Everything that is wrong with it, in the order of the text.
    pub errors: Vec<Diagnostic>,
    /// Whether the document is all that the text says, so that it is worth being looked at further. Nothing may be
    /// concluded from what is not in it otherwise.
    pub is_whole: bool,
}

/// Reads `text`, and goes on where something is wrong.
pub fn recover(file: FileId, text: &str) -> Recovered {
    let mut lexer = Lexer::new(text);
    let current = lexer.cut();
    let mut parser = Parser {
        file,
        text,
        lexer,
        current,
        last_end: 0,
        open: Vec::new(),
        suspects: Vec::new(),
        errors: Vec::new(),
        is_whole: true,
        swallowed: false,
    };
    if u32::try_from(text.len()).is_err() {
        let errors = vec![wording::too_long(parser.span(0, 0))];
        return Recovered { document: Document::default(), errors, is_whole: false };
    }
    parser.forbidden_characters();
    let nodes = parser.nodes();
    parser.unclosed_blocks();
    parser.errors.sort_by_key(|error| error.labels[0].span.start);
    if let Some(more) = parser.errors.len().checked_sub(MAX_ERRORS + 1) {
        let place = parser.errors[MAX_ERRORS].labels[0].span;
        parser.errors.truncate(MAX_ERRORS);
        parser.errors.push(wording::too_many(more + 1, place));
        parser.is_whole = false;
    }
    Recovered { document: Document { nodes }, errors: parser.errors, is_whole: parser.is_whole }
}

struct Parser<'a> {
    file: FileId,
    text: &'a str,
    lexer: Lexer<'a>,
    current: Token,
    /// Where the last token that was not space ended.
    last_end: usize,
    /// The braces around the current place.
    open: Vec<Token>,
    /// Braces whose closing one stands further left than their line: probably another block's.
    suspects: Vec<Token>,
    errors: Vec<Diagnostic>,
    /// Nothing was left out.
    is_whole: bool,
    /// Something that is not closed where it was to be has the ends of blocks in it.
    swallowed: bool,
}

impl<'a> Parser<'a> {
    /// Tells an error after which the reading goes on with what was meant.
    fn mended(&mut self, error: Diagnostic) {
        self.errors.push(error);
    }

    /// Tells an error after which something of the text is missing in the tree, or stands in another place.
    fn broken(&mut self, error: Diagnostic) {
        self.errors.push(error);
        self.is_whole = false;
    }

    fn span(&self, start: usize, end: usize) -> Span {
        let narrow = |at: usize| u32::try_from(at).expect("the length was checked");
        Span { file: self.file, start: narrow(start), len: narrow(end - start) }
    }

    fn token_span(&self, token: Token) -> Span {
        self.span(token.start, token.end)
    }

    fn token_text(&self, token: Token) -> &'a str {
        &self.text[token.start..token.end]
    }

    /// Takes the current token.
    fn bump(&mut self) -> Token {
        let token = self.current;
        if !token.kind.is_line_space() {
            self.last_end = token.end;
        }
        self.current = self.lexer.cut();
        self.swallowed |=
            matches!(self.current.kind, TokenKind::Flawed(Flaw::UnclosedLines | Flaw::UnclosedComment));
        token
    }

    /// Goes past space between entries; whether there is any since the last token.
    fn node_space(&mut self) -> bool {
        self.skip(TokenKind::is_node_space)
    }

    /// Goes past space between nodes.
    fn line_space(&mut self) -> bool {
        self.skip(TokenKind::is_line_space)
    }

    /// Goes past tokens that stand for nothing, and past comments that are none.
    fn skip(&mut self, is_space: fn(TokenKind) -> bool) -> bool {
        loop {
            match self.current.kind {
                kind if is_space(kind) => {}
                // The characters were told by `forbidden_characters`.
                TokenKind::Flawed(Flaw::Forbidden) => {}
                TokenKind::Flawed(flaw @ (Flaw::HashComment | Flaw::UnclosedComment | Flaw::Backslash)) => {
                    let error =
                        wording::flaw(flaw, self.token_text(self.current), self.token_span(self.current));
                    if flaw == Flaw::HashComment { self.mended(error) } else { self.broken(error) }
                }
                _ => return self.current.start > self.last_end,
            }
            self.bump();
        }
    }

    /// The nodes up to a closing brace that belongs to an open one, or the end.
    fn nodes(&mut self) -> Vec<Node> {
        let mut nodes = Vec::new();
        loop {
            self.line_space();
            match self.current.kind {
                TokenKind::End => return nodes,
                TokenKind::CloseBrace if !self.open.is_empty() => return nodes,
                TokenKind::CloseBrace | TokenKind::Semicolon | TokenKind::CloseParen => {
                    let token = self.bump();
                    self.broken(wording::stray(self.token_text(token), self.token_span(token)));
                }
                TokenKind::Slashdash => {
                    let slashdash = self.bump();
                    self.line_space();
                    if matches!(self.current.kind, TokenKind::End | TokenKind::CloseBrace) {
                        self.mended(wording::nothing_switched_off(self.token_span(slashdash)));
                    } else {
                        self.node();
                    }
                }
                _ => nodes.extend(self.node()),
            }
        }
    }

    /// A node with its entries and blocks, up to what ends it. `None` if it has no name.
    fn node(&mut self) -> Option<Node> {
        let start = self.current.start;
        let annotation = self.annotation();
        let name = self.name(annotation.is_err());
        let ty = annotation.unwrap_or(None);
        let mut end = self.last_end;
        let (mut args, mut props) = (Vec::new(), Vec::new());
        let mut children = None;
        if let Some(arg) = name.as_ref().and_then(|name| self.assigned(name)) {
            args.push(arg);
            end = self.last_end;
        }
        let mut after_block = false;
        loop {
            let spaced = self.node_space();
            let token = self.current;
            match token.kind {
                TokenKind::End | TokenKind::CloseBrace | TokenKind::Newline | TokenKind::LineComment => break,
                TokenKind::Semicolon => {
                    self.bump();
                    break;
                }
                TokenKind::OpenBrace => {
                    if children.is_some() {
                        self.broken(wording::second_block(self.token_span(token)));
                    }
                    children = Some(self.block());
                    after_block = true;
                    end = self.last_end;
                }
                TokenKind::Slashdash => {
                    self.bump();
                    self.line_space();
                    let kind = self.current.kind;
                    match kind {
                        TokenKind::OpenBrace => {
                            self.block();
                            after_block = true;
                        }
                        TokenKind::End | TokenKind::CloseBrace | TokenKind::Semicolon => {
                            self.mended(wording::nothing_switched_off(self.token_span(token)));
                        }
                        _ if !self.may_begin_entry(spaced, after_block, token) => break,
                        _ => {
                            self.entry();
                        }
                    }
                }
                _ if !self.may_begin_entry(spaced, after_block, token) => break,
                _ if !spaced && self.token_text(token) == "," => {
                    self.bump();
                }
                TokenKind::Flawed(Flaw::Brackets) => {
                    args.extend(self.list());
                    end = self.last_end;
                }
                _ => {
                    match self.entry() {
                        Some(Entry::Arg(arg)) => args.push(arg),
                        Some(Entry::Prop(prop)) => props.push(prop),
                        None => {}
                    }
                    end = self.last_end;
                }
            }
        }
        Some(Node { name: name?, ty, args, props, children, span: self.span(start, end) })
    }

    /// Says so if an entry beginning with `token` has no space before it or comes after a block; in the second case what
    /// follows is read as a node of its own.
    fn may_begin_entry(&mut self, spaced: bool, after_block: bool, token: Token) -> bool {
        if after_block {
            self.mended(wording::after_block(self.token_span(token)));
        } else if !spaced && !matches!(token.kind, TokenKind::Equals | TokenKind::CloseParen) {
            let text = self.token_text(token);
            let error = wording::missing_space(text, self.token_span(token));
            // What else begins with a comma is read as a value of its own.
            if text.starts_with(',') && text != "," { self.broken(error) } else { self.mended(error) }
        }
        !after_block
    }

    fn name(&mut self, told: bool) -> Option<Spanned<String>> {
        let token = self.current;
        let (text, span) = (self.token_text(token), self.token_span(token));
        match token.kind {
            TokenKind::String(_) => return Some(self.string()),
            TokenKind::OpenBrace => {
                self.broken(wording::block_alone(span));
                return None;
            }
            TokenKind::Number | TokenKind::Keyword => self.broken(wording::value_as_name(text, span)),
            TokenKind::Flawed(Flaw::UnknownKeyword) => {
                while !matches!(self.current.kind, TokenKind::Newline | TokenKind::End) {
                    self.bump();
                }
                let comment = self.span(token.start, self.current.start);
                self.mended(wording::flaw(Flaw::HashComment, text, comment));
                return None;
            }
            TokenKind::Flawed(flaw) => self.broken(wording::flaw(flaw, text, span)),
            TokenKind::Newline | TokenKind::LineComment | TokenKind::End => {
                self.nothing_annotated(told);
                return None;
            }
            _ => self.broken(wording::stray(text, span)),
        }
        self.bump();
        None
    }

    /// `{ … }`, whose opening brace is the current token.
    fn block(&mut self) -> Vec<Node> {
        let brace = self.current;
        if self.open.len() == MAX_DEPTH {
            self.broken(wording::too_deep(self.token_span(brace)));
            self.skip_block();
            return Vec::new();
        }
        self.open.push(brace);
        self.bump();
        let nodes = self.nodes();
        // At the end of the text the brace stays open, for `unclosed_blocks` to tell.
        if self.current.kind == TokenKind::CloseBrace {
            self.open.pop();
            if let Some(indent) = self.indent(self.current.start)
                && indent < self.line_indent(brace.start)
            {
                self.suspects.push(brace);
            }
            self.bump();
        }
        nodes
    }

    /// Goes past a block without looking into it.
    fn skip_block(&mut self) {
        let mut depth = 0_usize;
        loop {
            match self.bump().kind {
                TokenKind::OpenBrace => depth += 1,
                TokenKind::CloseBrace => depth -= 1,
                TokenKind::End => return,
                _ => {}
            }
            if depth == 0 {
                return;
            }
        }
    }

    /// How much space stands before `at`, if that is all there is on its line.
    fn indent(&self, at: usize) -> Option<usize> {
        let before = self.text[..at].trim_end_matches([' ', '\t']);
        (before.is_empty() || before.ends_with('\n')).then_some(at - before.len())
    }

    /// How much space the line of `at` begins with.
    fn line_indent(&self, at: usize) -> usize {
        let line = self.text[..at].rsplit('\n').next().unwrap_or_default();
        line.len() - line.trim_start_matches([' ', '\t']).len()
    }

    /// Tells which blocks are not closed: first those whose closing brace seems to have closed another one.
    fn unclosed_blocks(&mut self) {
        // Where a string or a comment has the closing braces in it, nobody knows which block is closed.
        if self.swallowed {
            return;
        }
        let count = self.open.len();
        let mut blamed: Vec<Token> = Vec::new();
        for &brace in self.suspects.iter().chain(self.open.iter().rev()) {
            if !blamed.contains(&brace) && blamed.len() < count {
                blamed.push(brace);
            }
        }
        let text = self.text.trim_end();
        let last = self.span(text.char_indices().next_back().map_or(0, |(at, _)| at), text.len());
        for brace in blamed {
            self.broken(wording::unclosed_block(self.token_span(brace), last));
        }
    }

    fn forbidden_characters(&mut self) {
        // A file that is no text has thousands of them.
        const ENOUGH: usize = 10;
        let mut from = 0;
        while let Some((at, c)) = next_forbidden(self.text, from).filter(|_| self.errors.len() < ENOUGH) {
            from = at + c.len_utf8();
            self.mended(wording::forbidden(c, self.span(at, from)));
        }
    }
}
