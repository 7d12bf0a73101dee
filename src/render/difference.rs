//! What differs between a file and what would be written in its place, without the values of secrets.
//!
//! Whoever changed a file by hand may have put a secret into it that envrun does not know. So in a file that holds a
//! secret a line is shown whole only if it is the same when all secrets are replaced by stars, or if somebody gave a value
//! to a declared variable that is none; of another line that begins with a declared name no more than that name; of any
//! other, which may be in the middle of a secret, nothing.

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
                let line = self.line(line, change.tag() == ChangeTag::Delete);
                lines.push(format!("{sign} {line}").trim_end().to_owned());
            }
        }
        if lines.len() > MOST {
            let more = lines.len() - MOST;
            lines.truncate(MOST);
            lines.push(format!("  … and {more} lines more"));
        }
        lines
    }

    fn line(&self, line: &str, by_hand: bool) -> String {
        if self.all || line.trim().is_empty() || self.open.contains(line) {
            return line.to_owned();
        }
        let begun = begins(line).and_then(|(head, name)| Some((head, *self.names.get(name)?)));
        match begun {
            Some((_, false)) if by_hand => line.to_owned(),
            Some((head, _)) => format!("{head}***"),
            None => "***".into(),
        }
    }
}

/// What a line begins with: all up to the value, and the name in it.
fn begins(line: &str) -> Option<(&str, &str)> {
    let at = line.find(['=', ':'])?;
    let before = line[..at].trim_start_matches([' ', '\t', '-']);
    let name = before.strip_prefix("export ").unwrap_or(before).trim().trim_matches(['"', '\'']);
    let rest = &line[at + 1..];
    Some((&line[..line.len() - rest.trim_start().len()], name))
}
