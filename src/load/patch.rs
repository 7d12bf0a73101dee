//! Patching: what a node of an environment says, word by word, and where each word is written.
//!
//! Each child word that a patch gives replaces all inherited children of that word, in their place; the others stay.
//! What a patch does (`run`, `call`, `render`, `load`) it does in the order in which it says it.
//! `word #null` takes a word away, `run` and `start` displace each other, and `vars`, `secrets` and `requires` are merged
//! row by row, which here means that their blocks are kept one after the other and the last row of a name counts.

use crate::diag::Span;
use crate::model::EnvName;
use crate::syntax::ast::{Node, Value};

use super::declared::{Decl, Declared};

/// A child word of a node, and where it counts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Word<'d> {
    /// The word.
    pub node: &'d Node,
    /// The unit it is written in: what paths and names in it are relative to.
    pub unit: usize,
    /// The environment whose block it is written in.
    pub env: Option<&'d EnvName>,
}

/// A node with every patch applied.
#[derive(Debug)]
pub(super) struct Patched<'d> {
    /// The word that declares it: `task`.
    pub kind: &'d str,
    /// Where its innermost declaration gives its name.
    pub span: Span,
    /// The innermost declaration's line.
    pub head: &'d Node,
    /// Its words, in order.
    pub words: Vec<Word<'d>>,
    /// Declarations of another kind than the first: where, and where the first is.
    pub kind_changes: Vec<(Span, Span)>,
}

/// What a node does: their order counts, across these words too.
const ACTIONS: [&str; 4] = ["run", "call", "render", "load"];

/// Blocks whose rows are merged.
pub(super) const MERGED: [&str; 3] = ["vars", "secrets", "requires"];

/// What a row of `requires` is called: its word, and its `name=` or else what it is about: `tool git`, `memory`.
pub(super) fn row_name(row: &Node) -> String {
    let given = row.prop("name").and_then(|name| name.value.value.as_str());
    let about = given.or_else(|| row.args.first().and_then(|arg| arg.value.value.as_str()));
    match about {
        Some(about) if row.name.value != "os" => format!("{} {about}", row.name.value),
        _ => row.name.value.clone(),
    }
}

/// Whether a word only takes away what it names: `watch #null`.
pub(super) fn is_removal(node: &Node) -> bool {
    matches!(&node.args[..], [arg] if arg.value.value == Value::Null) && node.children.is_none()
}

/// Applies the declarations of one node, weakest first, to each other.
pub(super) fn apply<'d>(
    declared: &'d Declared,
    declarations: impl IntoIterator<Item = (Option<&'d EnvName>, Decl)>,
) -> Option<Patched<'d>> {
    let mut patched: Option<Patched<'d>> = None;
    for (env, decl) in declarations {
        let node = declared.node(decl);
        let span = node.args.first().map_or(node.span, |name| name.value.span);
        let words = node.children().iter().map(|node| Word { node, unit: decl.item.unit, env });
        match &mut patched {
            None => {
                // Even the first may say `word #null`, of something that there is not: it means nothing then.
                let words = words.filter(|word| !is_removal(word.node)).collect();
                let kind = node.name.value.as_str();
                patched = Some(Patched { kind, span, head: node, words, kind_changes: Vec::new() });
            }
            Some(patched) => {
                if patched.kind != node.name.value {
                    patched.kind_changes.push((span, patched.span));
                    continue;
                }
                patched.span = span;
                patched.head = node;
                lay(&mut patched.words, words.collect());
            }
        }
    }
    patched
}

/// Lays the words of one patch over those below it.
fn lay<'d>(below: &mut Vec<Word<'d>>, patch: Vec<Word<'d>>) {
    let mut seen: Vec<&str> = Vec::new();
    for word in &patch {
        let name = word.node.name.value.as_str();
        if seen.contains(&name) {
            continue;
        }
        let given_names: Vec<&str> = match ACTIONS.contains(&name) && !is_removal(word.node) {
            true => patch
                .iter()
                .filter(|other| !is_removal(other.node))
                .map(|other| other.node.name.value.as_str())
                .filter(|name| ACTIONS.contains(name))
                .collect(),
            false => vec![name],
        };
        seen.extend(&given_names);
        let is_given = |other: &Word<'_>| given_names.contains(&other.node.name.value.as_str());
        let given = || patch.iter().filter(|other| is_given(other) && !is_removal(other.node)).copied();
        if MERGED.contains(&name) && !is_removal(word.node) {
            below.extend(given());
            continue;
        }
        let replaces = |other: &Word<'_>| {
            is_given(other)
                || match other.node.name.value.as_str() {
                    "start" => given_names.contains(&"run"),
                    "run" => given_names.contains(&"start"),
                    _ => false,
                }
        };
        let at = below.iter().position(replaces).unwrap_or(below.len());
        below.retain(|other| !replaces(other));
        // The place of the first that went; what went all lay behind it.
        below.splice(at..at, given());
    }
}
