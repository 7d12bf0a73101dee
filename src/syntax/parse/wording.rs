//! What is wrong with a text, in words that say what to write instead.

use std::ops::Range;

use crate::diag::{Diagnostic, Span, nearest};
use crate::syntax::ast::Value;
use crate::syntax::text::{Trouble, decode, keyword as read_keyword, number as read_number};
use crate::syntax::token::{Flaw, Form, Lexer, TokenKind};

/// The value that a flawed token was meant for, where that is plain.
pub fn meant(flaw: Flaw, text: &str) -> Option<Value> {
    let inner = |text: &str, quote: char| {
        let open = text.strip_prefix(quote).unwrap_or(text);
        open.strip_suffix(quote).unwrap_or(open).to_owned()
    };
    match flaw {
        Flaw::BareKeyword => Some(read_keyword(&format!("#{text}"))),
        Flaw::UnknownKeyword => keyword(text).map(read_keyword),
        Flaw::NeedsQuotes => Some(Value::String(text.to_owned())),
        Flaw::SingleQuotes => Some(Value::String(inner(text, '\''))),
        Flaw::OldRaw => Some(Value::String(inner(text.trim_start_matches('r').trim_matches('#'), '"'))),
        _ => None,
    }
}

/// The value that a number was meant for, malformed or not; text otherwise.
pub fn meant_number(text: &str) -> Value {
    if let Some(number) = read_number(text) {
        return number;
    }
    let completed = [text.replacen('.', "0.", 1), format!("{text}0")];
    let is_half = text.trim_start_matches(['+', '-']).starts_with('.') || text.ends_with('.');
    let number = completed.iter().filter(|_| is_half).find_map(|number| read_number(number));
    number.unwrap_or_else(|| Value::String(text.to_owned()))
}

/// `value` as KDL.
pub fn written(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Int(number) => number.to_string(),
        Value::Float(number) if number.is_nan() => "#nan".to_owned(),
        Value::Float(number) if number.is_infinite() => {
            if *number > 0.0 { "#inf" } else { "#-inf" }.to_owned()
        }
        Value::Float(number) => format!("{number:?}"),
        Value::Bool(yes) => format!("#{yes}"),
        Value::Null => "#null".to_owned(),
    }
}

/// The values that a list in brackets was meant for and where they stand in it, if it is a plain one.
pub fn meant_list(list: &str) -> Option<Vec<(Value, Range<usize>)>> {
    let inner = list.strip_prefix('[')?.strip_suffix(']')?;
    let mut lexer = Lexer::new(inner);
    let mut values = Vec::new();
    loop {
        let token = lexer.cut();
        let text = &inner[token.start..token.end];
        let mut take = |value| values.push((value, token.start + 1..token.end + 1));
        match token.kind {
            TokenKind::End => return (!values.is_empty()).then_some(values),
            TokenKind::Space | TokenKind::Newline => {}
            TokenKind::String(Form::Bare) | TokenKind::Number => {
                text.split(',').filter(|item| !item.is_empty()).map(meant_number).for_each(take);
            }
            TokenKind::String(form) => take(Value::String(decode(text, form).0.into_owned())),
            TokenKind::Keyword => take(read_keyword(text)),
            TokenKind::Flawed(flaw) => take(meant(flaw, text.trim_end_matches(','))?),
            _ => return None,
        }
    }
}

/// What to write instead of a flawed token, where that is plain.
fn correction(flaw: Flaw, text: &str) -> Option<String> {
    if flaw != Flaw::Brackets {
        return meant(flaw, text).as_ref().map(written);
    }
    let values: Vec<String> = meant_list(text)?.iter().map(|(value, _)| written(value)).collect();
    Some(values.join(" "))
}

/// `text` as a string of KDL.
fn quoted(text: &str) -> String {
    if text.contains(['"', '\\']) {
        let mut hashes = String::from("#");
        while text.contains(&format!("\"{hashes}")) {
            hashes.push('#');
        }
        format!("{hashes}\"{text}\"{hashes}")
    } else {
        format!("\"{text}\"")
    }
}

/// The keyword that `text` stands for in other languages.
fn keyword(text: &str) -> Option<&'static str> {
    match text.trim_start_matches('#').to_lowercase().as_str() {
        "true" | "yes" | "on" | "t" | "y" => Some("#true"),
        "false" | "no" | "off" | "f" | "n" => Some("#false"),
        "null" | "nil" | "none" | "undefined" => Some("#null"),
        _ => nearest(text, ["#true", "#false", "#null", "#inf", "#nan"]),
    }
}

fn shortened(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let cut: String = line.chars().take(40).collect();
    if cut.len() < text.len() { format!("{cut}…") } else { cut }
}

fn write_instead(right: Option<String>) -> Option<String> {
    right.map(|right| format!("write `{right}`"))
}

/// A token that is none.
pub fn flaw(flaw: Flaw, text: &str, span: Span) -> Diagnostic {
    let first = |len: u32| Span { len: len.min(span.len), ..span };
    let shown = shortened(text);
    let right = write_instead(correction(flaw, text));
    match flaw {
        Flaw::BareKeyword => Diagnostic::error(
            "syntax/bare-keyword",
            format!("`{text}` is a keyword, and keywords begin with `#`"),
        )
        .at(span, "a keyword without `#`")
        .maybe_help(right.map(|right| format!("{right}, or `\"{text}\"` for the text"))),
        Flaw::UnknownKeyword => {
            Diagnostic::error("syntax/unknown-keyword", format!("`{shown}` is not a keyword"))
                .at(span, "`#` begins a keyword or a raw string")
                .help(right.unwrap_or_else(|| "the keywords are `#true`, `#false` and `#null`".to_owned()))
        }
        Flaw::HashComment => {
            Diagnostic::error("syntax/hash-comment", "a comment begins with `//`, not with `#`")
                .at(first(1), "")
                .help("write `//` instead of `#`")
        }
        Flaw::NeedsQuotes => Diagnostic::error("syntax/needs-quotes", format!("`{shown}` needs quotes"))
            .at(span, "a word without quotes cannot hold all of these characters")
            .maybe_help(right),
        Flaw::SingleQuotes => {
            Diagnostic::error("syntax/single-quotes", "a string stands in double quotes, not in single ones")
                .at(span, "")
                .maybe_help(right)
        }
        Flaw::Brackets => Diagnostic::error("syntax/brackets", "a list has no brackets and no commas here")
            .at(span, "")
            .help(right.unwrap_or_else(|| "write the values one after the other: `\"a\" \"b\"`".to_owned())),
        Flaw::OldRaw => Diagnostic::error("syntax/old-raw-string", "`r\"…\"` is the raw string of KDL 1")
            .at(span, "")
            .maybe_help(right),
        Flaw::UnclosedQuote => Diagnostic::error(
            "syntax/unclosed-string",
            "this string is not closed on its line",
        )
        .at(first(opening_len(text)), "opened here")
        .help(match text.contains('\n') {
            true => format!(
                "a text of several lines begins behind a line break and ends on a line of its own: `{}`, the text, `{}`",
                lines_opening(text),
                closing(&lines_opening(text))
            ),
            false => {
                "close it with the same quotes, or put a text of several lines between two lines of `\"\"\"`".to_owned()
            }
        }),
        Flaw::UnclosedLines => {
            Diagnostic::error("syntax/unclosed-string", "this string of several lines is never closed")
                .at(first(opening_len(text)), "opened here")
                .help(format!("close it with `{}` on a line of its own", closing(text)))
        }
        Flaw::TextAfterQuotes => Diagnostic::error(
            "syntax/text-after-quotes",
            "the text of a `\"\"\"` string begins on the next line",
        )
        .at(first(opening_len(text)), "a line break must follow")
        .help("put the text on lines of their own, or take one quote on each side"),
        Flaw::UnclosedComment => Diagnostic::error("syntax/unclosed-comment", "this comment is never closed")
            .at(first(2), "opened here")
            .help("close it with `*/`"),
        Flaw::Backslash => {
            Diagnostic::error("syntax/backslash", "a backslash outside of a string goes on to the next line")
                .at(span, "something follows it on this line")
                .help("put it last on its line, or put quotes around the text")
        }
        Flaw::StrayBracket => stray(text, span),
        Flaw::Forbidden => {
            Diagnostic::error("syntax/forbidden-character", "this character must not stand here").at(span, "")
        }
    }
}

/// How long the opening quotes of a string are.
pub fn opening_len(text: &str) -> u32 {
    let hashes = text.bytes().take_while(|&byte| byte == b'#').count();
    let quotes = if text[hashes..].starts_with("\"\"\"") { 3 } else { 1 };
    u32::try_from(hashes + quotes).unwrap_or(1)
}

/// Where a raw string of several lines has a line of quotes that would close it if they had its `#`.
pub fn closed_without_hashes(text: &str) -> Option<Range<usize>> {
    if !text.starts_with('#') {
        return None;
    }
    let mut at = 0;
    let line = text.split_inclusive('\n').find(|line| {
        at += line.len();
        line.trim() == "\"\"\""
    })?;
    let start = at - line.len() + (line.len() - line.trim_start().len());
    Some(start..start + 3)
}

/// A raw string that went on behind the quotes that were to close it.
pub fn not_closed_here(text: &str, here: Span, opening: Span) -> Diagnostic {
    Diagnostic::error("syntax/unclosed-string", "these quotes do not close the string")
        .at(here, "without its `#`")
        .at(opening, "opened here")
        .help(format!("write `{}`", closing(text)))
}

/// The quotes that begin a text of several lines, in place of those that `text` begins with.
fn lines_opening(text: &str) -> String {
    let hashes = text.bytes().take_while(|&byte| byte == b'#').count();
    format!("{}\"\"\"", "#".repeat(hashes))
}

/// The quotes that close what `text` opens.
fn closing(text: &str) -> String {
    let hashes = text.bytes().take_while(|&byte| byte == b'#').count();
    format!("\"\"\"{}", "#".repeat(hashes))
}

/// A number that is malformed or too large.
pub fn number(text: &str, span: Span) -> Diagnostic {
    let digits = text.trim_start_matches(['+', '-']);
    let error = |message: &str, help: String| {
        Diagnostic::error("syntax/number", format!("`{}` {message}", shortened(text))).at(span, "").help(help)
    };
    if digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_') {
        return error("is too large for a number", format!("write `\"{text}\"` for the text"));
    }
    match meant_number(text) {
        Value::String(_) => {
            error("begins like a number and is none, so it needs quotes", format!("write `{}`", quoted(text)))
        }
        number => error("has no digit on one side of its point", format!("write `{}`", written(&number))),
    }
}

/// Something wrong inside of a closed string.
pub fn in_string(trouble: Trouble, token: &str, at: &Range<usize>, span: Span, closing: Span) -> Diagnostic {
    let text = &token[at.clone()];
    match trouble {
        Trouble::Escape => {
            let bare = &text[1..];
            let help = match bare {
                "$" | "/" | "'" | "`" | "{" | "}" | "(" | ")" | "#" | "!" | "&" | ":" | "-" | "@" | "%" => {
                    format!(
                        "write `{bare}`, which needs no backslash; for the backslash itself `\\{text}` or a raw string `#\"…\"#`"
                    )
                }
                "e" | "x" | "0" | "033" => {
                    format!("write `\\u{{1b}}` for escape, `\\{text}` for the backslash itself")
                }
                _ => format!("write `\\{text}` for the backslash itself, or a raw string `#\"…\"#`"),
            };
            Diagnostic::error("syntax/escape", format!("`{text}` is not an escape"))
                .at(span, "the escapes are \\n \\r \\t \\b \\f \\s \\\\ \\\" and \\u{…}")
                .help(help)
        }
        Trouble::Unicode => {
            Diagnostic::error("syntax/escape", "`\\u` needs the number of a character between braces")
                .at(span, "")
                .help("write 1 to 6 hexadecimal digits: `\\u{1F600}`; `\\\\u` for the backslash itself")
        }
        Trouble::ClosingLine => {
            Diagnostic::error("syntax/closing-quotes", "the closing `\"\"\"` must stand on a line of its own")
                .at(span, "text before the closing quotes")
        }
        Trouble::Indent => Diagnostic::error(
            "syntax/indentation",
            "a line of this string is indented less than its closing quotes",
        )
        .at(span, "this line")
        .at(closing, "its closing quotes: what stands before them is taken from every line")
        .help("begin every line with exactly the space that the closing quotes have"),
    }
}

/// Something that belongs to nothing.
pub fn stray(text: &str, span: Span) -> Diagnostic {
    let help = match text {
        "}" => "take it away, or look above for a `}` too many",
        ";" => "take it away: `;` only ends a node, as a new line does",
        "=" => "a property is `key=value`; a word's values follow it without `=`",
        _ => "put quotes around the text it belongs to, or take it away",
    };
    Diagnostic::error("syntax/stray", format!("`{text}` has nothing to belong to here"))
        .at(span, "")
        .help(help)
}

/// `/-` with nothing after it.
pub fn nothing_switched_off(span: Span) -> Diagnostic {
    Diagnostic::error("syntax/slashdash", "`/-` switches off what follows it, and nothing does").at(span, "")
}

/// `word = value`.
pub fn assignment(name: &str, value: &str, span: Span) -> Diagnostic {
    Diagnostic::error("syntax/assignment", format!("the values of `{name}` follow it without `=`"))
        .at(span, "")
        .help(format!("write `{name} {value}`"))
}

/// A `{` where a word should be.
pub fn block_alone(span: Span) -> Diagnostic {
    Diagnostic::error("syntax/block-alone", "this block belongs to no word")
        .at(span, "")
        .help("write `{` on the line of the word it belongs to")
}

/// A second block on one word.
pub fn second_block(span: Span) -> Diagnostic {
    Diagnostic::error("syntax/second-block", "a word has one block").at(span, "a second one begins here")
}

/// Something after a closing brace.
pub fn after_block(span: Span) -> Diagnostic {
    Diagnostic::error("syntax/after-block", "what follows a block stands on a line of its own")
        .at(span, "a line break or `;` is missing before this")
        .help("properties and arguments stand before the `{`")
}

/// Two things that touch.
pub fn missing_space(text: &str, span: Span) -> Diagnostic {
    let first = text.chars().next().map_or(0, char::len_utf8);
    let at = Span { len: span.len.min(u32::try_from(first).unwrap_or(1)), ..span };
    match text {
        _ if text.starts_with(',') => {
            Diagnostic::error("syntax/comma", "values stand one after the other, without a comma")
                .at(at, "")
                .help("write a space instead of the comma")
        }
        _ => Diagnostic::error("syntax/missing-space", "a space is missing here").at(at, "before this"),
    }
}

/// A value at the beginning of a node.
pub fn value_as_name(text: &str, span: Span) -> Diagnostic {
    Diagnostic::error(
        "syntax/value-as-word",
        format!("a line begins with a word, and `{}` is a value", shortened(text)),
    )
    .at(span, "")
    .help("values follow their word on the same line; end a line with `\\` to go on with it on the next")
}

/// An annotation with nothing after it.
pub fn annotation_alone(span: Span) -> Diagnostic {
    Diagnostic::error("syntax/annotation", "an annotation stands before what it says the type of")
        .at(span, "nothing follows")
}

/// An annotation that is not a word in parentheses.
pub fn annotation(span: Span, closed: bool) -> Diagnostic {
    let message =
        if closed { "an annotation is one word in parentheses" } else { "this annotation is not closed" };
    Diagnostic::error("syntax/annotation", message)
        .at(span, "")
        .help("write `(port)NAME`; text with parentheses needs quotes")
}

/// `key=` and nothing.
pub fn property_without_value(key: &str, span: Span) -> Diagnostic {
    Diagnostic::error("syntax/property", format!("`{key}=` has no value"))
        .at(span, "")
        .help("write the value on the same line; `\"\"` for none")
}

/// Blocks in blocks in blocks.
pub fn too_deep(span: Span) -> Diagnostic {
    Diagnostic::error("syntax/too-deep", format!("blocks are nested deeper than {}", super::MAX_DEPTH))
        .at(span, "")
}

/// A block without its end.
pub fn unclosed_block(brace: Span, end: Span) -> Diagnostic {
    let error = Diagnostic::error("syntax/unclosed-block", "this block is never closed")
        .at(brace, "opened here")
        .help("add the missing `}`");
    if end == brace { error } else { error.at(end, "the file ends here") }
}

/// A character that no text may hold.
pub fn forbidden(c: char, span: Span) -> Diagnostic {
    let number = u32::from(c);
    Diagnostic::error(
        "syntax/forbidden-character",
        format!("the character U+{number:04X} must not stand in a file"),
    )
    .at(span, "it cannot be seen")
    .help(format!("take it away; inside of a string write `\\u{{{number:x}}}`"))
}

/// More errors than anybody wants to read.
pub fn too_many(more: usize, place: Span) -> Diagnostic {
    let errors = if more == 1 { "1 more error".to_owned() } else { format!("{more} more errors") };
    Diagnostic::error("syntax/too-many", format!("and {errors} in this file"))
        .at(place, "the next one")
        .help("is this an Envfile?")
}

/// A text whose places do not fit.
pub fn too_long(span: Span) -> Diagnostic {
    Diagnostic::error("syntax/too-long", "the file is longer than 4 GiB").at(span, "")
}
