//! Whether a text may be the value of a variable or an argument.

use crate::base::unit::{parse_duration, parse_size};
use crate::diag::Span;

use super::{Constraints, VarType};

/// Why a text may not be the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// What is allowed, in words that stand after the value: `is not a port, 1 to 65535`, `is below the least, 1`.
    pub message: String,
    /// Where the constraint is written; `None` if the type itself says it.
    pub span: Option<Span>,
}

/// Checks the text of a value against a type and constraints. Also right for `--set`, dotenv files and arguments, whose
/// values are texts.
///
/// A `pattern` that is no regular expression says nothing here: it is refused where it is written.
pub fn check_value(ty: VarType, constraints: &Constraints, text: &str) -> Result<(), Violation> {
    let wrong = |message: String, span| Err(Violation { message, span });
    if text.contains('\0') {
        return wrong("holds a NUL character, which no variable can".into(), None);
    }
    // The number itself is not repeated: it may be a secret's.
    if matches!(ty, VarType::Int | VarType::Port) && begins_with_zero(text) {
        let octal = "begins with a zero, which makes it another number to whoever reads that as octal: write it without";
        return wrong(octal.into(), None);
    }
    if !is_of(ty, text) {
        return wrong(format!("is not {}", ty.allows()), None);
    }
    if let Some(number) = measure(ty, text) {
        if let Some(min) = constraints.min
            && number < min.value
        {
            return wrong(format!("is below the least, {}", show(ty, min.value)), Some(min.span));
        }
        if let Some(max) = constraints.max
            && number > max.value
        {
            return wrong(format!("is above the greatest, {}", show(ty, max.value)), Some(max.span));
        }
    }
    if let Some(one_of) = &constraints.one_of
        && !one_of.value.iter().any(|word| word == text)
    {
        let words: Vec<_> = one_of.value.iter().map(|word| format!("`{word}`")).collect();
        return wrong(format!("is not one of {}", words.join(", ")), Some(one_of.span));
    }
    if let Some(pattern) = &constraints.pattern
        && regex::Regex::new(&format!("^(?:{})$", pattern.value)).is_ok_and(|regex| !regex.is_match(text))
    {
        return wrong(format!("does not match `{}`", pattern.value), Some(pattern.span));
    }
    Ok(())
}

fn is_of(ty: VarType, text: &str) -> bool {
    match ty {
        VarType::String | VarType::Enum => true,
        VarType::Int => text.parse::<i128>().is_ok(),
        // Neither JSON nor KDL nor most programs know an infinite number, or one that is none.
        VarType::Float => text.parse::<f64>().is_ok_and(f64::is_finite),
        VarType::Bool => matches!(text, "true" | "false"),
        VarType::Port => is_port(text),
        VarType::Url => is_url(text),
        VarType::Path => !text.is_empty() && !text.contains('\0'),
        VarType::Duration => parse_duration(text).is_some(),
        VarType::Size => parse_size(text).is_some(),
    }
}

/// Whether a whole number has a zero in front of its digits.
fn begins_with_zero(text: &str) -> bool {
    let digits = text.trim_start_matches(['-', '+']);
    digits.len() > 1 && digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_port(text: &str) -> bool {
    // To some who read it, `010` is eight.
    !text.starts_with('0')
        && text.bytes().all(|byte| byte.is_ascii_digit())
        && text.parse::<u16>().is_ok_and(|port| port > 0)
}

/// A scheme, `://`, and something after it; a host where the scheme is one of the web's; a port that is one.
fn is_url(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    let good_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    if !good_scheme || rest.is_empty() || text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return false;
    }
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    let host_port = authority.rsplit('@').next().unwrap_or(authority);
    // `[::1]:80`: the colons inside the brackets are the address's own.
    let after_host = host_port.rfind(']').map_or(host_port, |at| &host_port[at + 1..]);
    let (host, port) = match after_host.rsplit_once(':') {
        Some((_, port)) => (&host_port[..host_port.len() - port.len() - 1], Some(port)),
        None => (host_port, None),
    };
    let needs_host = matches!(scheme, "http" | "https" | "ws" | "wss" | "ftp");
    port.is_none_or(is_port) && !(needs_host && host.is_empty())
}

/// What `min` and `max` are compared with: the number, seconds, or bytes.
fn measure(ty: VarType, text: &str) -> Option<f64> {
    match ty {
        VarType::Duration => parse_duration(text).map(|duration| duration.as_secs_f64()),
        VarType::Size => parse_size(text).map(|bytes| bytes as f64),
        _ => text.parse().ok(),
    }
}

fn show(ty: VarType, number: f64) -> String {
    match ty {
        VarType::Duration => std::time::Duration::try_from_secs_f64(number)
            .map_or_else(|_| number.to_string(), crate::base::unit::show_duration),
        VarType::Size => crate::base::unit::show_size(number as u64),
        _ => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::{FileId, Spanned};

    fn check(ty: VarType, good: &[&str], bad: &[&str]) {
        for text in good {
            assert_eq!(check_value(ty, &Constraints::default(), text), Ok(()), "{ty:?} {text}");
        }
        for text in bad {
            assert!(check_value(ty, &Constraints::default(), text).is_err(), "{ty:?} {text}");
        }
    }

    #[test]
    fn types() {
        check(VarType::Port, &["1", "8080", "65535"], &["0", "65536", "abc", "", "-1", "+80", "80.0", "080"]);
        check(
            VarType::Int,
            &["0", "7", "-7", "-0", "+7", "100"],
            &["007", "-07", "+07", "00", "", "-", "7.0", "0x7"],
        );
        check(VarType::String, &["", "a b"], &["a\0b"]);
        check(
            VarType::Url,
            &[
                "http://localhost:8080",
                "https://example.org/a?b#c",
                "sqlite:///.envrun/dev.sqlite",
                "postgres://app:p:w@db.internal:5432/app",
                "http://[::1]:80/",
                "redis://h",
            ],
            &[
                "localhost:8080",
                "http://",
                "http:///x",
                "http://h:0",
                "http://h:99999/",
                "http://a b",
                "://x",
                "1x://h",
                "http://:80",
                "",
            ],
        );
        check(VarType::Int, &["0", "-5"], &["1.5", "x", ""]);
        check(VarType::Float, &["0", "1.5", "-1e3"], &["x", "", "NaN", "inf", "-infinity", "1e400"]);
        check(VarType::Bool, &["true", "false"], &["1", "yes", "#true"]);
        check(VarType::Path, &["a/b", "/x", "."], &["", "a\0b"]);
        check(VarType::Duration, &["30s"], &["30", "s"]);
        check(VarType::Size, &["8GiB", "512"], &["8 gigs"]);
    }

    #[test]
    fn constraints_say_what_is_allowed() {
        let span = Span { file: FileId(0), start: 0, len: 0 };
        let constraints = Constraints {
            min: Some(Spanned::new(60.0, span)),
            max: Some(Spanned::new(3600.0, span)),
            one_of: None,
            pattern: Some(Spanned::new("[0-9]+(s|m)".into(), span)),
        };
        let say =
            |text| check_value(VarType::Duration, &constraints, text).map_err(|violation| violation.message);
        assert_eq!(say("5m"), Ok(()));
        assert_eq!(say("30s"), Err("is below the least, 1m00s".into()));
        assert_eq!(say("120m"), Err("is above the greatest, 1h00m".into()));
        assert_eq!(say("1m30s"), Err("does not match `[0-9]+(s|m)`".into()));
        let one_of = Constraints {
            one_of: Some(Spanned::new(vec!["a".into(), "b".into()], span)),
            ..Constraints::default()
        };
        let violation = check_value(VarType::Enum, &one_of, "c").unwrap_err();
        assert_eq!((violation.message.as_str(), violation.span), ("is not one of `a`, `b`", Some(span)));
    }
}
