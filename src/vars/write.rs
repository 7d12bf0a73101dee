//! Writes values so that other programs read them back as they are.
//!
//! | form | read by | a value |
//! |---|---|---|
//! | [`dotenv_line`] | `sh`, docker compose, dotenv libraries, [`dotenv::parse`](super::dotenv::parse) | bare if nothing in it means anything to any of them; else in single quotes; else in double quotes with `\` before `"`, `\`, `$` and `` ` `` |
//! | [`shell_line`] | any POSIX shell | `export NAME='…'` |
//! | [`heredoc`] | GitHub's `$GITHUB_ENV` | between two lines that the value does not hold |
//!
//! There are texts that no dotenv line means to all readers alike; [`misread`] names them. `sh` needs `\$` and `` \` `` between
//! double quotes, where python-dotenv (docker-compose 1) keeps the backslash, and it fills in `${NAME}` between any quotes.
//! Nobody but envrun and the shell reads `` \` `` as a backtick; a shell knows no escape for a carriage return, and others cut
//! it off. node and npm's dotenv undo no escape but `\n` and `\r`, so they misread whatever needs one. All are written so
//! that the shell never executes anything, and so that whatever is misread is that value alone: the lines behind it are
//! read as they are, except by node, which ends the value at the first quote in it.

use std::fmt::Write as _;

/// One line of a dotenv file, with its newline.
pub fn dotenv_line(name: &str, value: &str) -> String {
    let mut out = String::with_capacity(name.len() + value.len() + 4);
    let _ = write!(out, "{name}=");
    let in_single_quotes = !value.contains(['\'', '\r']) && !value.contains("\\\\") && !value.ends_with('\\');
    if is_plain(value) {
        out.push_str(value);
    } else if in_single_quotes {
        let _ = write!(out, "'{value}'");
    } else {
        out.push('"');
        for c in value.chars() {
            match c {
                '"' | '\\' | '$' | '`' => out.extend(['\\', c]),
                '\r' => out.push_str("\\r"),
                c => out.push(c),
            }
        }
        out.push('"');
        // python-dotenv takes a backslash before a closing quote for an escape, and reads on to the next quote. This one
        // stands in a comment.
        if value.ends_with('\\') {
            out.push_str("\n#\"");
        }
    }
    out.push('\n');
    out
}

/// Who reads another value from [`dotenv_line`] than the one that was written.
pub fn misread(value: &str) -> Option<&'static str> {
    let quoted = value.contains('\'') || value.contains("\\\\") || value.ends_with('\\');
    if value.contains('\r') || quoted && value.contains('`') {
        Some("most programs")
    } else if quoted && value.contains('$') || value.ends_with('\\') {
        Some("docker-compose 1 (python-dotenv), node and npm's dotenv")
    } else if mentions_a_name(value) {
        Some("docker-compose 1 (python-dotenv)")
    } else if quoted && value.contains(['"', '\\']) {
        Some("node and npm's dotenv")
    } else {
        None
    }
}

/// The same in words.
pub fn misread_by(name: &str, who: &str) -> String {
    format!("{who} will read another value of `{name}` from a dotenv line; a JSON file says it to everybody")
}

/// Whether `${NAME}` or `${NAME:-text}` is in it, with anything for a name.
fn mentions_a_name(value: &str) -> bool {
    value.match_indices("${").any(|(at, _)| {
        let rest = &value[at + 2..];
        rest.find(['}', ':']).is_some_and(|end| match rest[end..].strip_prefix(":-") {
            Some(default) => default.contains('}'),
            None => rest[end..].starts_with('}'),
        })
    })
}

/// One line of a script for any POSIX shell, with its newline.
pub fn shell_line(name: &str, value: &str) -> String {
    format!("export {name}={}\n", shell_word(value))
}

/// A text as one word of a POSIX shell.
pub fn shell_word(value: &str) -> String {
    if is_plain(value) && !value.is_empty() {
        return value.to_owned();
    }
    format!("'{}'", value.replace('\'', r"'\''"))
}

/// `NAME<<DELIMITER`, the value, `DELIMITER`: what GitHub reads from `$GITHUB_ENV`. The delimiter is one that the value does
/// not hold.
pub fn heredoc(name: &str, value: &str) -> String {
    let mut delimiter = "ENVRUN_VALUE".to_owned();
    let mut number = 0;
    while value.contains(&delimiter) {
        number += 1;
        delimiter = format!("ENVRUN_VALUE_{number}");
    }
    format!("{name}<<{delimiter}\n{value}\n{delimiter}\n")
}

/// Whether a value means nothing but itself to every reader. `~` and what a shell expands, splits or ends a word at are
/// not among these.
fn is_plain(value: &str) -> bool {
    value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-./:@%+,".contains(&byte))
}
