//! What differs between a file and what would be written in its place, without the values of secrets.
//!
//! Whoever changed a file by hand may have put a secret into it that envrun does not know. So in a file that holds a
//! secret a line is shown whole only if it is the same when all secrets are replaced by stars, or gives a value to a
//! variable that is none; of any other line no more than the name it begins with.

use std::collections::{BTreeMap, BTreeSet};

use similar::{ChangeTag, TextDiff};

use super::{Rendered, Variable};

/// What may be shown of a file.
#[derive(Debug)]
pub struct Shown<'a> {
    /// Lines that hold no secret for sure.
    open: BTreeSet<&'a str>,
    /// The variables by name, and whether each is a secret.
    names: BTreeMap<&'a str, bool>,
    all: bool,
}

/// How many lines of a difference are shown.
const MOST: usize = 60;

impl<'a> Shown<'a> {
    /// `masked` is what the file would be if every secret were stars; `None` if that cannot be made.
    pub fn new(rendered: &Rendered, masked: Option<&'a Rendered>, variables: &'a [Variable]) -> Self {
        Self {
            open: masked.iter().flat_map(|masked| masked.text.lines()).collect(),
            names: variables.iter().map(|variable| (variable.name.as_str(), variable.secret)).collect(),
            all: !rendered.secret,
        }
    }

    /// The same variables with stars in place of secrets.
    pub fn masked(variables: &[Variable]) -> Vec<Variable> {
        variables.iter().map(Variable::masked).collect()
    }

    /// The lines that differ and those around them: `-` for what is there, `+` for what would be written.
    pub fn difference(&self, there: &str, new: &str) -> Vec<String> {
        let diff = TextDiff::from_lines(there, new);
        let mut lines = Vec::new();
        for (at, group) in diff.grouped_ops(1).iter().enumerate() {
            if at > 0 {
                lines.push("  …".to_owned());
            }
            for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
                let sign = match change.tag() {
                    ChangeTag::Delete => '-',
                    ChangeTag::Insert => '+',
                    ChangeTag::Equal => ' ',
                };
                let line = change.value().trim_end_matches(['\r', '\n']);
                lines.push(format!("{sign} {}", self.line(line)).trim_end().to_owned());
            }
        }
        if lines.len() > MOST {
            let more = lines.len() - MOST;
            lines.truncate(MOST);
            lines.push(format!("  … and {more} lines more"));
        }
        lines
    }

    fn line(&self, line: &str) -> String {
        if self.all || line.trim().is_empty() || self.open.contains(line) {
            return line.to_owned();
        }
        let Some((head, name, is_yaml, value)) = begins(line) else { return "***".into() };
        match self.names.get(name) {
            Some(false) => line.to_owned(),
            Some(true) => format!("{head}***"),
            // The last line of a key may look like a name with an equals sign behind it.
            None if is_yaml && value.is_empty() => line.to_owned(),
            None if is_yaml || !value.is_empty() => format!("{head}***"),
            None => "***".into(),
        }
    }
}

/// What a line begins with: all up to the value, the name in it, whether a colon follows, and the value.
fn begins(line: &str) -> Option<(&str, &str, bool, &str)> {
    let at = line.find(['=', ':'])?;
    let is_colon = line[at..].starts_with(':');
    let before = line[..at].trim_start_matches([' ', '\t', '-']);
    let name = before.strip_prefix("export ").unwrap_or(before).trim().trim_matches(['"', '\'']);
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
    let rest = &line[at + 1..];
    let is_separate = !is_colon || rest.is_empty() || rest.starts_with([' ', '\t']);
    let head = line.len() - rest.trim_start().len();
    (is_name && is_separate).then(|| (&line[..head], name, is_colon, rest.trim()))
}
