//! Lines that somebody has aligned: they stay so.
//!
//! ```kdl
//! stage "test"  env="test"              { run "unit" }
//! stage "build" env="prod" after="test" { run "package" }
//! ```
//!
//! A group of lines, each a node or more with nothing between them, is a table if it has wider spaces than one, and what
//! follows each of those begins in the same column as something in another line. Apart from those spaces its lines must
//! be in standard form.

use std::ops::Range;

use crate::syntax::token::{Token, TokenKind, is_newline};

/// Lines of nodes without an empty line or a line of another kind between them.
pub struct Group<'a> {
    /// One past its last token: the line break or what else ends its last line.
    pub end: usize,
    /// Its lines, if it is a table.
    pub lines: Option<Vec<&'a str>>,
}

/// The group that begins with the token `at`, the first of its line; the standard form of a line is asked of `form`.
pub fn group<'a>(text: &'a str, tokens: &[Token], at: usize, form: impl Fn(&str) -> String) -> Group<'a> {
    let mut ranges = Vec::new();
    let mut next = at;
    while let Some(line) = line(text, tokens, next) {
        next = line.end;
        ranges.push(line);
        // One line break, and what follows it begins a line of the group, or the group is over.
        match tokens[next..].iter().position(|token| token.kind != TokenKind::Space) {
            Some(0) if tokens[next].kind == TokenKind::Newline => {}
            _ => break,
        }
        let first = next + 1 + usize::from(tokens[next + 1].kind == TokenKind::Space);
        let begins_node = !tokens[first].kind.is_line_space()
            && !matches!(tokens[first].kind, TokenKind::CloseBrace | TokenKind::End);
        if !begins_node {
            break;
        }
        next = first;
    }
    let end = ranges.last().map_or(at + 1, |range| range.end);
    let gaps: Vec<Vec<Gap>> = ranges.iter().map(|range| gaps(text, &tokens[range.clone()])).collect();
    let has_wide = gaps.iter().flatten().any(|gap| gap.wide);
    let is_aligned = |(index, line): (usize, &Vec<Gap>)| {
        line.iter().filter(|gap| gap.wide).all(|gap| {
            gaps.iter()
                .enumerate()
                .any(|(other, gaps)| other != index && gaps.iter().any(|start| start.column == gap.column))
        })
    };
    let is_table = has_wide
        && gaps.iter().enumerate().all(is_aligned)
        && ranges
            .iter()
            .all(|range| form(source(text, tokens, range)) == collapsed(text, &tokens[range.clone()]));
    Group { end, lines: is_table.then(|| ranges.iter().map(|range| source(text, tokens, range)).collect()) }
}

/// The tokens from `at` to the end of its line, if the line holds whole nodes and nothing that reaches further.
fn line(text: &str, tokens: &[Token], at: usize) -> Option<Range<usize>> {
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate().skip(at) {
        match token.kind {
            TokenKind::OpenBrace => depth += 1,
            TokenKind::CloseBrace => depth = depth.checked_sub(1)?,
            TokenKind::Newline | TokenKind::End => return (depth == 0 && index > at).then_some(at..index),
            _ if text[token.start..token.end].contains(is_newline) => return None,
            _ => {}
        }
    }
    None
}

fn source<'a>(text: &'a str, tokens: &[Token], line: &Range<usize>) -> &'a str {
    text[tokens[line.start].start..tokens[line.end].start].trim_end()
}

/// A space between two tokens, and the column of the second.
struct Gap {
    wide: bool,
    column: usize,
}

fn gaps(text: &str, line: &[Token]) -> Vec<Gap> {
    let mut column = 0;
    let mut gaps = Vec::new();
    for (index, token) in line.iter().enumerate() {
        let width = text[token.start..token.end].chars().count();
        column += width;
        if token.kind == TokenKind::Space && index + 1 < line.len() {
            gaps.push(Gap { wide: width > 1, column });
        }
    }
    gaps
}

/// The line with single spaces.
fn collapsed(text: &str, line: &[Token]) -> String {
    let part = |token: &Token| match token.kind {
        TokenKind::Space => " ",
        _ => &text[token.start..token.end],
    };
    let line: String = line.iter().map(part).collect();
    line.trim_end().to_owned()
}
