//! Writes values so that other programs read them back as they are.
//!
//! | form | read by | a value |
//! |---|---|---|
//! | [`dotenv_line`] | `sh`, docker compose, dotenv libraries, [`dotenv::parse`](super::dotenv::parse) | bare if nothing in it means anything to any of them; else in single quotes; else in double quotes with `\` before `"`, `\`, `$` and `` ` `` |
//! | [`shell_line`] | any POSIX shell | `export NAME='…'` |
//! | [`heredoc`] | GitHub's `$GITHUB_ENV` | between two lines that the value does not hold |
//!
//! There are texts that no dotenv line means to all readers alike: those with a carriage return (a shell knows no escape for
//! it, the others cut it off), and those with both a backtick and something that single quotes cannot hold (`'`, two
//! backslashes, one at the end): only a shell and envrun itself read `` \` `` as a backtick. They are written so that the
//! shell never executes anything.

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
    }
    out.push('\n');
    out
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
