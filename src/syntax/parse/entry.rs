//! What stands behind a word: values, properties, annotations.

use std::ops::Range;

use crate::diag::Spanned;
use crate::syntax::ast::{Arg, Prop, Value};
use crate::syntax::text;
use crate::syntax::token::{Flaw, TokenKind};

use super::{Parser, wording};

/// Something is wrong, and has been said.
pub(super) struct Told;

pub(super) enum Entry {
    Arg(Arg),
    Prop(Prop),
}

impl Parser<'_> {
    /// `word = value`, as other languages have it: the value, which was meant to follow the word.
    pub(super) fn assigned(&mut self, name: &Spanned<String>) -> Option<Arg> {
        self.node_space();
        if self.current.kind != TokenKind::Equals {
            return None;
        }
        self.bump();
        self.node_space();
        let token = self.current;
        let told = self.errors.len();
        let value = matches!(
            token.kind,
            TokenKind::String(_) | TokenKind::Number | TokenKind::Keyword | TokenKind::Flawed(_)
        )
        .then(|| self.value(false))
        .flatten();
        let written = match &value {
            Some(_) if matches!(token.kind, TokenKind::String(_)) => self.token_text(token).to_owned(),
            Some(value) => {
                // What is wrong with the value is put right by the same remedy.
                self.errors.truncate(told);
                wording::written(&value.value)
            }
            None => "…".to_owned(),
        };
        let name_text = &self.text[name.span.start as usize..name.span.end() as usize];
        let error =
            wording::assignment(name_text, &written, self.span(name.span.start as usize, self.last_end));
        if value.is_some() {
            self.mended(error)
        } else {
            self.broken(error)
        }
        value.map(|value| Arg { ty: None, value })
    }

    /// An annotation with nothing after it, unless something was told of it already.
    pub(super) fn nothing_annotated(&mut self, told: bool) {
        if !told {
            self.broken(wording::annotation_alone(self.span(self.last_end, self.last_end)));
        }
    }

    /// `(type)`, with the space after it. An error if there is one and it is malformed, which has then been told.
    pub(super) fn annotation(&mut self) -> Result<Option<Spanned<String>>, Told> {
        if self.current.kind != TokenKind::OpenParen {
            return Ok(None);
        }
        let open = self.bump();
        self.node_space();
        let token = self.current;
        let mut ty = None;
        let mut told = false;
        match token.kind {
            TokenKind::String(_) => ty = Some(self.string()),
            TokenKind::Flawed(flaw) => {
                self.broken(wording::flaw(flaw, self.token_text(token), self.token_span(token)));
                self.bump();
                told = true;
            }
            _ => {}
        }
        self.node_space();
        let good = ty.is_some() && self.current.kind == TokenKind::CloseParen;
        if !(good || told && self.current.kind == TokenKind::CloseParen) {
            let ends = |kind| {
                matches!(
                    kind,
                    TokenKind::Newline | TokenKind::OpenBrace | TokenKind::CloseBrace | TokenKind::End
                )
            };
            while self.current.kind != TokenKind::CloseParen && !ends(self.current.kind) {
                self.bump();
            }
            let closed = self.current.kind == TokenKind::CloseParen;
            self.broken(wording::annotation(self.span(open.start, self.last_end.max(open.end)), closed));
        }
        if self.current.kind == TokenKind::CloseParen {
            self.bump();
        }
        self.node_space();
        if good { Ok(ty) } else { Err(Told) }
    }

    /// `["a", "b"]`, as other languages have it: the values, which were meant to stand one after the other.
    pub(super) fn list(&mut self) -> Vec<Arg> {
        let token = self.bump();
        let (text, span) = (self.token_text(token), self.token_span(token));
        let meant = wording::meant_list(text);
        let error = wording::flaw(Flaw::Brackets, text, span);
        if meant.is_some() {
            self.mended(error)
        } else {
            self.broken(error)
        }
        let place = |at: Range<usize>| self.span(token.start + at.start, token.start + at.end);
        let arg = |(value, at)| Arg { ty: None, value: Spanned::new(value, place(at)) };
        meant.into_iter().flatten().map(arg).collect()
    }

    pub(super) fn entry(&mut self) -> Option<Entry> {
        let annotation = self.annotation();
        let told = annotation.is_err();
        let ty = annotation.unwrap_or(None);
        if told || ty.is_some() || !matches!(self.current.kind, TokenKind::String(_)) {
            let value = self.value(told)?;
            return Some(Entry::Arg(Arg { ty, value }));
        }
        let key = self.string();
        self.node_space();
        if self.current.kind != TokenKind::Equals {
            return Some(Entry::Arg(Arg { ty: None, value: key.map(Value::String) }));
        }
        let equals = self.bump();
        self.node_space();
        let annotation = self.annotation();
        if matches!(
            self.current.kind,
            TokenKind::Newline
                | TokenKind::LineComment
                | TokenKind::End
                | TokenKind::Semicolon
                | TokenKind::OpenBrace
                | TokenKind::CloseBrace
        ) {
            self.broken(wording::property_without_value(
                &key.value,
                self.span(key.span.start as usize, equals.end),
            ));
            return None;
        }
        let value = self.value(annotation.is_err())?;
        let ty = annotation.unwrap_or(None);
        Some(Entry::Prop(Prop { key, ty, value }))
    }

    /// A value; `None`, with an error told, if there is none. `told`: one was told of the annotation before it.
    fn value(&mut self, told: bool) -> Option<Spanned<Value>> {
        let token = self.current;
        let (text, span) = (self.token_text(token), self.token_span(token));
        let value = match token.kind {
            TokenKind::String(_) => return Some(self.string().map(Value::String)),
            TokenKind::Keyword => Some(text::keyword(text)),
            TokenKind::Number => Some(text::number(text).unwrap_or_else(|| {
                self.mended(wording::number(text, span));
                wording::meant_number(text)
            })),
            TokenKind::Flawed(flaw) => {
                let meant = wording::meant(flaw, text);
                let error = wording::flaw(flaw, text, span);
                if meant.is_some() {
                    self.mended(error)
                } else {
                    self.broken(error)
                }
                meant
            }
            // After an annotation; what stands here has a meaning of its own.
            kind if kind.is_line_space() || matches!(kind, TokenKind::End | TokenKind::CloseBrace) => {
                self.nothing_annotated(told);
                return None;
            }
            _ => {
                self.broken(wording::stray(text, span));
                None
            }
        };
        self.bump();
        value.map(|value| Spanned::new(value, span))
    }

    /// The current token, which is a string.
    pub(super) fn string(&mut self) -> Spanned<String> {
        let token = self.bump();
        let TokenKind::String(form) = token.kind else { unreachable!("called on strings only") };
        let written = self.token_text(token);
        let (value, troubles) = text::decode(written, form);
        let is_indent = |(_, trouble): &&(Range<usize>, text::Trouble)| *trouble == text::Trouble::Indent;
        let short = troubles.iter().filter(is_indent).count();
        if let Some(early) = wording::closed_without_hashes(written).filter(|_| short > 0) {
            // It went on to the end of another string: every line in between is wrong for one reason.
            let place = |at: &Range<usize>| self.span(token.start + at.start, token.start + at.end);
            let opening = self.span(token.start, token.start + wording::opening_len(written) as usize);
            let error = wording::not_closed_here(written, place(&early), opening);
            self.broken(error);
            self.swallowed = true;
            return Spanned::new(value.into_owned(), self.token_span(token));
        }
        let mut told = false;
        for (at, trouble) in troubles {
            // One line that is not indented enough stands for all of them.
            if trouble == text::Trouble::Indent && std::mem::replace(&mut told, true) {
                continue;
            }
            let span = self.span(token.start + at.start, token.start + at.end);
            let closing = self.span(token.end - 1, token.end);
            self.mended(wording::in_string(trouble, self.token_text(token), &at, span, closing));
        }
        Spanned::new(value.into_owned(), self.token_span(token))
    }
}
