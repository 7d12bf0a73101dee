//! The last look over everything that was said: each thing once, in the order of the texts.

use std::collections::HashSet;

use crate::diag::Diagnostic;

/// Sorts diagnostics by their first place, and keeps one of those that say the same: what a node inherits is looked at
/// for every environment that patches it.
pub(super) fn finish(mut diagnostics: Vec<Diagnostic>) -> Vec<Diagnostic> {
    if diagnostics.len() < 2 {
        return diagnostics;
    }
    let mut seen = HashSet::new();
    diagnostics.retain(|diagnostic| {
        let mut places: Vec<_> = diagnostic.labels.iter().map(|label| label.span).collect();
        // A ring may be met at any of its nodes.
        places.sort();
        // The check of words sees the same name twice as well, and words it for itself.
        let what = if diagnostic.code.ends_with("/duplicate") { "" } else { diagnostic.message.as_str() };
        let what = if diagnostic.code == "load/cycle" { "" } else { what };
        seen.insert((places, what.to_owned()))
    });
    diagnostics.sort_by_key(|diagnostic| diagnostic.labels.first().map(|label| label.span));
    diagnostics
}
