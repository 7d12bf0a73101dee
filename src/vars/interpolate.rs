//! Finding and replacing `${NAME}` in texts.
//!
//! There are three forms of text:
//!
//! | form | where | what is replaced |
//! |---|---|---|
//! | [`Form::Shell`] | `run "text"`, `done`, `exec` | nothing: the shell does it; only [`mentions`] reads it |
//! | [`Form::Text`] | paths, globs, URLs, values of variables | `${NAME}`, `${NAME:-default}`, `${NAME:+other}`, `$NAME` |
//! | [`Form::Word`] | the words of `run "a" "b"` | the same, in braces only: `$NAME` stays, as awk and make want it |
//!
//! `$${` stands for `${`, and in a [`Form::Text`] `$$NAME` for `$NAME`. Any other `$` stands for itself.

use std::borrow::Cow;

/// How a text is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A script for a shell.
    Shell,
    /// A path, a glob, a URL, a value.
    Text,
    /// A word of a command without a shell.
    Word,
}

/// A variable that a text names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mention<'t> {
    /// Its name.
    pub name: &'t str,
    /// Where its `$` stands, in bytes.
    pub at: usize,
    /// What is to happen when it is not set.
    pub otherwise: Otherwise<'t>,
}

/// What a mention asks for beside the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Otherwise<'t> {
    /// Nothing: `$NAME`, `${NAME}`, and in shell text everything that a shell would fail or go on with by itself.
    Nothing,
    /// `${NAME:-default}`: the default, if it is not set or empty.
    Default(&'t str),
    /// `${NAME:+other}`: the other text if it is set and not empty, nothing if not.
    Other(&'t str),
}

/// A name that is not set, and that a text cannot be without.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not set")]
pub struct Unset(pub String);

/// A `${` that is none of the forms that are replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed {
    /// Where its `$` stands, in bytes.
    pub at: usize,
    /// What is wrong with it.
    pub reason: &'static str,
}

enum Part<'t> {
    Literal(&'t str),
    Mention(Mention<'t>),
    Malformed(Malformed, &'t str),
}

/// Every variable that `text` names, in order, those inside defaults included.
///
/// In shell text a name in single quotes counts too: an inner shell may be given the quoted text, and a name too many
/// in a key does no harm. `\$NAME`, `$1`, `$?` and `$$` are no mentions; what stands inside `$(…)` is read like the rest.
pub fn mentions(text: &str, form: Form) -> Vec<Mention<'_>> {
    let mut found = Vec::new();
    if !text.contains('$') {
        return found;
    }
    match form {
        Form::Shell => shell_mentions(text, &mut found),
        Form::Text | Form::Word => text_mentions(text, form, 0, &mut found),
    }
    found
}

fn text_mentions<'t>(text: &'t str, form: Form, offset: usize, found: &mut Vec<Mention<'t>>) {
    if !text.contains('$') {
        return;
    }
    for part in parts(text, form) {
        if let Part::Mention(mention) = part {
            found.push(Mention { at: mention.at + offset, ..mention });
            if let Otherwise::Default(inner) | Otherwise::Other(inner) = mention.otherwise {
                let inner_at = inner.as_ptr() as usize - text.as_ptr() as usize;
                text_mentions(inner, form, offset + inner_at, found);
            }
        }
    }
}

fn shell_mentions<'t>(text: &'t str, found: &mut Vec<Mention<'t>>) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match (byte, bytes.get(at + 1)) {
            (b'\\', _) | (b'$', Some(b'$')) => at += 2,
            (b'$', Some(b'{')) => {
                // `${#NAME}` is its length, `${!NAME}` what it names.
                let sigil = usize::from(matches!(bytes.get(at + 2), Some(b'#' | b'!')));
                let begin = at + 2 + sigil;
                let name = name_at(text, begin);
                if name.is_empty() {
                    at += 2;
                    continue;
                }
                let rest = &text[begin + name.len()..];
                let until_brace = |from: usize| {
                    let rest = &rest[from..];
                    &rest[..closing_brace(rest).unwrap_or(rest.len())]
                };
                let otherwise = if rest.starts_with(":-") {
                    Otherwise::Default(until_brace(2))
                } else if rest.starts_with(":+") {
                    Otherwise::Other(until_brace(2))
                } else if rest.starts_with('-') {
                    Otherwise::Default(until_brace(1))
                } else if rest.starts_with('+') {
                    Otherwise::Other(until_brace(1))
                } else {
                    Otherwise::Nothing
                };
                found.push(Mention { name, at, otherwise });
                at = begin + name.len();
            }
            (b'$', _) => {
                let name = name_at(text, at + 1);
                if !name.is_empty() {
                    found.push(Mention { name, at, otherwise: Otherwise::Nothing });
                }
                at += 1 + name.len();
            }
            _ => at += 1,
        }
    }
}

/// Replaces what `text` mentions by what `lookup` knows; `None` is a name that is not set.
pub fn interpolate<'t>(
    text: &'t str,
    form: Form,
    lookup: &mut dyn FnMut(&str) -> Option<String>,
) -> Result<Cow<'t, str>, Unset> {
    if form == Form::Shell || !text.contains('$') {
        return Ok(Cow::Borrowed(text));
    }
    let mut out = String::with_capacity(text.len());
    for part in parts(text, form) {
        match part {
            Part::Literal(literal) | Part::Malformed(_, literal) => out.push_str(literal),
            Part::Mention(mention) => match (lookup(mention.name), mention.otherwise) {
                (Some(value), Otherwise::Nothing) => out.push_str(&value),
                (None, Otherwise::Nothing) => return Err(Unset(mention.name.to_owned())),
                (Some(value), Otherwise::Default(_)) if !value.is_empty() => out.push_str(&value),
                (_, Otherwise::Default(default)) => out.push_str(&interpolate(default, form, lookup)?),
                (Some(value), Otherwise::Other(other)) if !value.is_empty() => {
                    out.push_str(&interpolate(other, form, lookup)?);
                }
                (_, Otherwise::Other(_)) => {}
            },
        }
    }
    Ok(Cow::Owned(out))
}

/// Every `${` of `text` that is not replaced because it is none of the known forms.
pub fn malformed(text: &str, form: Form) -> Vec<Malformed> {
    if form == Form::Shell || !text.contains("${") {
        return Vec::new();
    }
    let only = |part| if let Part::Malformed(malformed, _) = part { Some(malformed) } else { None };
    parts(text, form).into_iter().filter_map(only).collect()
}

fn parts(text: &str, form: Form) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let (mut rest, mut base) = (text, 0);
    while let Some(dollar) = rest.find('$') {
        if dollar > 0 {
            parts.push(Part::Literal(&rest[..dollar]));
        }
        let here = &rest[dollar..];
        let at = base + dollar;
        let (part, len) = part_at(here, at, form);
        parts.push(part);
        rest = &here[len..];
        base = at + len;
    }
    if !rest.is_empty() {
        parts.push(Part::Literal(rest));
    }
    parts
}

/// What the `$` that `here` begins with stands for, and how long it is.
fn part_at(here: &str, at: usize, form: Form) -> (Part<'_>, usize) {
    let bare = |from: usize| if form == Form::Text { name_at(here, from) } else { "" };
    if here.starts_with("$${") || (here.starts_with("$$") && !bare(2).is_empty()) {
        // The second dollar and what follows it stand for themselves; a name after it is literal text.
        let len = if here.starts_with("$${") { 3 } else { 2 + bare(2).len() };
        return (Part::Literal(&here[1..len]), len);
    }
    if let Some(inside) = here.strip_prefix("${") {
        return braced(here, inside, at);
    }
    let name = bare(1);
    if name.is_empty() {
        return (Part::Literal(&here[..1]), 1);
    }
    (Part::Mention(Mention { name, at, otherwise: Otherwise::Nothing }), 1 + name.len())
}

fn braced<'t>(here: &'t str, inside: &'t str, at: usize) -> (Part<'t>, usize) {
    let wrong = |reason, len| (Part::Malformed(Malformed { at, reason }, &here[..len]), len);
    let Some(end) = closing_brace(inside) else {
        return wrong("its `}` is missing, or it stands too deep in others", 2);
    };
    let len = 2 + end + 1;
    let inside = &inside[..end];
    let name = name_at(inside, 0);
    if name.is_empty() {
        return wrong("there is no name in it", len);
    }
    let rest = &inside[name.len()..];
    let otherwise = if rest.is_empty() {
        Otherwise::Nothing
    } else if let Some(default) = rest.strip_prefix(":-") {
        Otherwise::Default(default)
    } else if let Some(other) = rest.strip_prefix(":+") {
        Otherwise::Other(other)
    } else {
        return wrong(
            "outside a shell there are only `${NAME}`, `${NAME:-default}` and `${NAME:+other}`",
            len,
        );
    };
    (Part::Mention(Mention { name, at, otherwise }), len)
}

/// How deep defaults may stand in one another: nobody writes more, and every level costs stack.
const MAX_DEPTH: usize = 32;

/// Where the brace closes that was opened before `text`.
fn closing_brace(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut depth = 0_usize;
    for (at, &byte) in bytes.iter().enumerate() {
        match byte {
            _ if depth > MAX_DEPTH => return None,
            b'{' if at > 0 && bytes[at - 1] == b'$' => depth += 1,
            b'}' if depth == 0 => return Some(at),
            b'}' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// The variable's name that begins at byte `from`; empty if none does.
fn name_at(text: &str, from: usize) -> &str {
    let Some(rest) = text.get(from..) else { return "" };
    if !rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        return "";
    }
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
    &rest[..end]
}
