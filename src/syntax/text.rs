//! What a string or a number token stands for.

use std::borrow::Cow;
use std::ops::Range;

use super::ast::Value;
use super::token::{Form, is_newline, is_space};

/// Why the inside of a closed string is not as KDL wants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// A backslash before something that is not an escape.
    Escape,
    /// `\u` without a character's number between braces.
    Unicode,
    /// Text before the closing quotes of a string of several lines.
    ClosingLine,
    /// A line that does not begin like the closing quotes' line.
    Indent,
}

/// The text that a string token stands for, and what is wrong with it, where in the token.
///
/// What is wrong leaves a text that is as near as can be.
pub fn decode(token: &str, form: Form) -> (Cow<'_, str>, Vec<(Range<usize>, Trouble)>) {
    let hashes = token.bytes().take_while(|&byte| byte == b'#').count();
    let mut troubles = Vec::new();
    let text = match form {
        Form::Bare => Cow::Borrowed(token),
        Form::Raw => Cow::Borrowed(&token[hashes + 1..token.len() - hashes - 1]),
        Form::Quoted => unescape(&token[1..token.len() - 1], 1, &mut troubles),
        Form::RawLines => dedent(lines_body(token), &mut troubles),
        Form::Lines => {
            let (offset, body) = lines_body(token);
            unescape(body, offset, &mut troubles);
            let joined = join_lines(body);
            let joined_any = matches!(joined, Cow::Owned(_));
            let mut uneven = Vec::new();
            let dedented = dedent((offset, &joined), &mut uneven).into_owned();
            if joined_any && !uneven.is_empty() {
                // The offsets are those of the joined lines.
                uneven = vec![(token.len() - 3..token.len(), uneven[0].1)];
            }
            troubles.append(&mut uneven);
            Cow::Owned(unescape(&dedented, 0, &mut Vec::new()).into_owned())
        }
    };
    (text, troubles)
}

/// What stands between the line break after the opening `"""` and the closing ones, and where it begins.
pub fn lines_body(token: &str) -> (usize, &str) {
    let open = token.bytes().take_while(|&byte| byte == b'#').count() + 3;
    let newline = match &token[open..] {
        rest if rest.starts_with("\r\n") => 2,
        rest => rest.chars().next().map_or(0, char::len_utf8),
    };
    (open + newline, &token[open + newline..token.len() - open])
}

/// The lines of `text` with their offsets, without their line breaks.
pub fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut start = Some(0);
    std::iter::from_fn(move || {
        let from = start?;
        let rest = &text[from..];
        let Some((len, newline)) = rest.char_indices().find(|&(_, c)| is_newline(c)) else {
            start = None;
            return Some((from, rest));
        };
        let crlf = rest[len..].starts_with("\r\n");
        start = Some(from + len + if crlf { 2 } else { newline.len_utf8() });
        Some((from, &rest[..len]))
    })
}

/// Takes the last line's indentation from every line.
fn dedent<'a>((offset, body): (usize, &'a str), troubles: &mut Vec<(Range<usize>, Trouble)>) -> Cow<'a, str> {
    let lines: Vec<(usize, &str)> = lines(body).collect();
    let (&(last_at, last), content) = lines.split_last().expect("a text has at least one line");
    let prefix_len = last.find(|c| !is_space(c)).unwrap_or(last.len());
    let prefix = &last[..prefix_len];
    if prefix_len < last.len() {
        troubles.push((offset + last_at + prefix_len..offset + last_at + last.len(), Trouble::ClosingLine));
    }
    let mut out = String::with_capacity(body.len());
    for (index, &(at, line)) in content.iter().enumerate() {
        if index > 0 {
            out.push('\n');
        }
        if line.chars().all(is_space) {
            continue;
        }
        match line.strip_prefix(prefix) {
            Some(rest) => out.push_str(rest),
            None => {
                let indent = line.find(|c| !is_space(c)).unwrap_or(0);
                troubles.push((offset + at..offset + at + indent, Trouble::Indent));
                out.push_str(line);
            }
        }
    }
    Cow::Owned(out)
}

/// Takes out every backslash that is followed by white space, with the white space.
fn join_lines(body: &str) -> Cow<'_, str> {
    let joins = |c: char| is_space(c) || is_newline(c);
    let mut out = String::new();
    let mut kept = 0;
    let mut at = 0;
    while let Some(found) = body[at..].find('\\') {
        let backslash = at + found;
        let rest = &body[backslash + 1..];
        let after = rest.trim_start_matches(joins);
        if after.len() == rest.len() {
            at = backslash + 1 + rest.chars().next().map_or(0, char::len_utf8);
        } else {
            out.push_str(&body[kept..backslash]);
            at = body.len() - after.len();
            kept = at;
        }
    }
    if kept == 0 {
        return Cow::Borrowed(body);
    }
    out.push_str(&body[kept..]);
    Cow::Owned(out)
}

/// Resolves the escapes of `body`, which begins `offset` bytes into its token.
fn unescape<'a>(body: &'a str, offset: usize, troubles: &mut Vec<(Range<usize>, Trouble)>) -> Cow<'a, str> {
    if !body.contains('\\') {
        return Cow::Borrowed(body);
    }
    let mut out = String::with_capacity(body.len());
    let mut rest = body;
    while let Some(backslash) = rest.find('\\') {
        out.push_str(&rest[..backslash]);
        let at = offset + body.len() - rest.len() + backslash;
        let escape = &rest[backslash + 1..];
        let c = escape.chars().next().unwrap_or('\\');
        rest = escape.strip_prefix(c).unwrap_or_default();
        match c {
            'n' => out.push('\n'),
            'r' => out.push('\r'),
            't' => out.push('\t'),
            'b' => out.push('\u{8}'),
            'f' => out.push('\u{c}'),
            's' => out.push(' '),
            '\\' | '"' => out.push(c),
            'u' => match unicode(rest) {
                Some((c, len)) => {
                    out.push(c);
                    rest = &rest[len..];
                }
                None => {
                    let len = rest.find('}').map_or(0, |close| close + 1);
                    troubles
                        .push((at..at + 2 + if rest.starts_with('{') { len } else { 0 }, Trouble::Unicode));
                }
            },
            c if is_space(c) || is_newline(c) => {
                rest = rest.trim_start_matches(|c| is_space(c) || is_newline(c));
            }
            _ => {
                troubles.push((at..at + 1 + c.len_utf8(), Trouble::Escape));
                out.push(c);
            }
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// The character of `{1F600}…` and how long its number with its braces is.
fn unicode(rest: &str) -> Option<(char, usize)> {
    let (digits, _) = rest.strip_prefix('{')?.split_once('}')?;
    let hex = (1..=6).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = u32::from_str_radix(digits, 16).ok().filter(|_| hex)?;
    Some((char::from_u32(number)?, digits.len() + 2))
}

/// The value of a number token; `None` if it is malformed or too large.
pub fn number(token: &str) -> Option<Value> {
    let (negative, unsigned) = match token.as_bytes().first()? {
        b'-' => (true, &token[1..]),
        b'+' => (false, &token[1..]),
        _ => (false, token),
    };
    let radix = match unsigned.get(..2) {
        Some("0x") => 16,
        Some("0o") => 8,
        Some("0b") => 2,
        _ => 10,
    };
    let plain = unsigned.replace('_', "");
    if radix != 10 {
        let digits = &unsigned[2..];
        digits.chars().next().filter(|c| c.is_digit(radix))?;
        let magnitude = u128::from_str_radix(&plain[2..], radix).ok()?;
        return whole(negative, magnitude).map(Value::Int);
    }
    // Each part begins with a digit, and goes on with digits and `_`.
    let is_part = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_digit())
            && part.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_')
    };
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole_part, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let exponent_digits = exponent.map(|text| text.strip_prefix(['+', '-']).unwrap_or(text));
    if ![Some(whole_part), fraction, exponent_digits].into_iter().flatten().all(is_part) {
        return None;
    }
    if fraction.is_none() && exponent.is_none() {
        return whole(negative, plain.parse().ok()?).map(Value::Int);
    }
    let magnitude: f64 = plain.parse().ok()?;
    Some(Value::Float(if negative { -magnitude } else { magnitude }))
}

fn whole(negative: bool, magnitude: u128) -> Option<i128> {
    if negative { 0_i128.checked_sub_unsigned(magnitude) } else { i128::try_from(magnitude).ok() }
}

/// The value of a keyword token.
pub fn keyword(token: &str) -> Value {
    match token {
        "#true" => Value::Bool(true),
        "#false" => Value::Bool(false),
        "#inf" => Value::Float(f64::INFINITY),
        "#-inf" => Value::Float(f64::NEG_INFINITY),
        "#nan" => Value::Float(f64::NAN),
        _ => Value::Null,
    }
}
