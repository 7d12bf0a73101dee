//! Diagnostics as text: graphical for a terminal, one line otherwise, JSON and GitHub annotations for machines.

use std::fmt::{self, Write};

use miette::{
    GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteSpanContents, SourceSpan, SpanContents,
};

use super::{Diagnostic, FileId, Label, Severity, SourceFile, SourceMap, Span};

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
    /// `path:line:col: error: message [code]`, then a line `path:line:col: note: text` for each further place, then
    /// `  help: text`.
    Short,
    /// One JSON object per line: `severity` (`error` or `warning`), `code`, `message`, `labels` and, if there is any,
    /// `help`. A label has `file`, `line` and `column` of its start and `end_line` and `end_column` just after its end
    /// (all from 1, columns in characters), `offset` and `length` in bytes, and `text`; the first label is the place.
    Json,
    /// GitHub's workflow commands, one per line: annotations on the changed lines of a pull request.
    Github,
}

/// The text of `diagnostics`, each ending with a newline; empty for none.
pub fn render(diagnostics: &[Diagnostic], sources: &SourceMap, style: Style) -> String {
    let mut out = String::new();
    for diagnostic in diagnostics {
        match style {
            Style::Fancy { color, width } => fancy(diagnostic, sources, color, width, &mut out),
            Style::Short => short(diagnostic, sources, &mut out),
            Style::Json => json(diagnostic, sources, &mut out),
            Style::Github => github(diagnostic, sources, &mut out),
        }
        .expect("writing to a string does not fail");
    }
    out
}

impl Severity {
    fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

fn place(span: Span, sources: &SourceMap) -> String {
    let (line, column) = sources.line_col(span);
    format!("{}:{line}:{column}", sources.file(span.file).name)
}

fn short(diagnostic: &Diagnostic, sources: &SourceMap, out: &mut String) -> fmt::Result {
    if let Some(label) = diagnostic.labels.first() {
        write!(out, "{}: ", place(label.span, sources))?;
    }
    writeln!(out, "{}: {} [{}]", diagnostic.severity.as_str(), diagnostic.message, diagnostic.code)?;
    for label in diagnostic.labels.iter().skip(1) {
        let text = if label.text.is_empty() { "here too" } else { &label.text };
        writeln!(out, "{}: note: {text}", place(label.span, sources))?;
    }
    diagnostic.help.iter().flat_map(|help| help.lines()).try_for_each(|line| writeln!(out, "  help: {line}"))
}

fn json(diagnostic: &Diagnostic, sources: &SourceMap, out: &mut String) -> fmt::Result {
    let labels: Vec<_> = diagnostic
        .labels
        .iter()
        .map(|label| {
            let (line, column) = sources.line_col(label.span);
            let (end_line, end_column) = sources.line_col(end(label.span));
            serde_json::json!({
                "file": sources.file(label.span.file).name,
                "line": line,
                "column": column,
                "end_line": end_line,
                "end_column": end_column,
                "offset": label.span.start,
                "length": label.span.len,
                "text": label.text,
            })
        })
        .collect();
    let mut object = serde_json::json!({
        "severity": diagnostic.severity.as_str(),
        "code": diagnostic.code,
        "message": diagnostic.message,
        "labels": labels,
    });
    if let Some(help) = &diagnostic.help {
        object["help"] = serde_json::json!(help);
    }
    writeln!(out, "{object}")
}

/// The empty span at the end of `span`.
fn end(span: Span) -> Span {
    Span { start: span.end(), len: 0, ..span }
}

fn github(diagnostic: &Diagnostic, sources: &SourceMap, out: &mut String) -> fmt::Result {
    let data = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    let property = |text: &str| data(text).replace(':', "%3A").replace(',', "%2C");
    write!(out, "::{} ", diagnostic.severity.as_str())?;
    if let Some(label) = diagnostic.labels.first() {
        let (line, column) = sources.line_col(label.span);
        let (end_line, end_column) = sources.line_col(end(label.span));
        let file = property(&sources.file(label.span.file).name);
        write!(out, "file={file},line={line},endLine={end_line},col={column}")?;
        // GitHub takes columns only for an annotation within one line.
        if end_line == line {
            write!(out, ",endColumn={end_column}")?;
        }
        write!(out, ",")?;
    }
    let mut message = diagnostic.message.clone();
    for label in diagnostic.labels.iter().skip(1) {
        write!(message, "\n{}: {}", place(label.span, sources), label.text)?;
    }
    if let Some(help) = &diagnostic.help {
        write!(message, "\nhelp: {help}")?;
    }
    writeln!(out, "title={}::{}", property(diagnostic.code), data(&message))
}

fn fancy(
    diagnostic: &Diagnostic,
    sources: &SourceMap,
    color: bool,
    width: usize,
    out: &mut String,
) -> fmt::Result {
    let theme = if color { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
    let handler = GraphicalReportHandler::new_themed(theme).with_width(width).with_links(false);
    let mut files: Vec<FileId> = Vec::new();
    for label in &diagnostic.labels {
        if !files.contains(&label.span.file) {
            files.push(label.span.file);
        }
    }
    handler.render_report(out, &Shown::new(diagnostic, files.first().copied(), true, sources))?;
    for &file in files.iter().skip(1) {
        handler.render_report(out, &Shown::new(diagnostic, Some(file), false, sources))?;
    }
    writeln!(out)
}

/// A diagnostic as miette wants it, with the labels that lie in one text.
#[derive(Debug)]
struct Shown<'a> {
    diagnostic: &'a Diagnostic,
    /// Whether this is the text of the main place, under which everything is said.
    main: bool,
    source: Option<Source<'a>>,
    labels: Vec<&'a Label>,
}

impl<'a> Shown<'a> {
    fn new(diagnostic: &'a Diagnostic, file: Option<FileId>, main: bool, sources: &'a SourceMap) -> Self {
        let labels = diagnostic.labels.iter().filter(|label| Some(label.span.file) == file).collect();
        Self { diagnostic, main, source: file.map(|file| Source(sources.file(file))), labels }
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.main {
            let Diagnostic { severity, code, message, .. } = self.diagnostic;
            write!(f, "{}[{code}]: {message}", severity.as_str())
        } else {
            let text = self.labels.iter().map(|label| label.text.as_str()).find(|text| !text.is_empty());
            f.write_str(text.unwrap_or("here too"))
        }
    }
}

impl std::error::Error for Shown<'_> {}

impl miette::Diagnostic for Shown<'_> {
    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.diagnostic.severity {
            _ if !self.main => miette::Severity::Advice,
            Severity::Warning => miette::Severity::Warning,
            Severity::Error => miette::Severity::Error,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        let help = self.diagnostic.help.as_ref().filter(|_| self.main);
        help.map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        self.source.as_ref().map(|source| source as &dyn miette::SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let labels = self.labels.iter().enumerate().map(|(index, label)| {
            let text = Some(label.text.clone()).filter(|text| !text.is_empty());
            // miette panics on a place outside of the text.
            let file_len = self.source.as_ref().map_or(0, |source| source.0.text().len());
            let start = (label.span.start as usize).min(file_len);
            let span = SourceSpan::new(start.into(), (label.span.len as usize).min(file_len - start));
            if index == 0 {
                LabeledSpan::new_primary_with_span(text, span)
            } else {
                LabeledSpan::new_with_span(text, span)
            }
        });
        Some(Box::new(labels))
    }
}

#[derive(Debug)]
struct Source<'a>(&'a SourceFile);

impl miette::SourceCode for Source<'_> {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        lines_before: usize,
        lines_after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, miette::MietteError> {
        let text = self.0.text();
        // miette reads from the beginning of the text to the span, for every span: it is given only the lines it needs.
        let mut from = self.0.line_at(span.offset()).1;
        for _ in 0..lines_before {
            from = self.0.line_at(from.saturating_sub(1)).1;
        }
        let near = (span.offset() - from, span.len()).into();
        let contents = text[from..].read_span(&near, lines_before, lines_after)?;
        // It counts bytes where people count characters.
        let start = from + contents.span().offset();
        let column = text.get(start - contents.column()..start).map_or(0, |before| before.chars().count());
        Ok(Box::new(MietteSpanContents::new_named(
            self.0.name.clone(),
            contents.data(),
            (start, contents.span().len()).into(),
            self.0.line_at(from).0 + contents.line(),
            column,
            contents.line_count(),
        )))
    }
}
