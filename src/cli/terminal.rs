//! The terminal: what it can show, and how things are said on it.

use std::io::{BufRead, IsTerminal, Write};
use std::sync::Arc;

use crate::diag::render::{self, Style as DiagnosticStyle};
use crate::diag::{Diagnostic, SourceMap};
use crate::ops::guard::Prompt;
use crate::ops::{Context, Problem};
use crate::report::{self, Sink, Style};
use crate::secret::Redactor;

use super::args::{DiagnosticFormat, OutputStyle, When};

/// What is known of the terminal.
#[derive(Debug, Clone, Default)]
pub struct Terminal {
    /// Standard error may be coloured.
    pub colour: bool,
    /// Standard output may be coloured.
    pub colour_out: bool,
    /// Standard error is a terminal.
    pub interactive: bool,
    /// Characters beyond ASCII can be shown.
    pub unicode: bool,
    /// What hides secrets in what is said.
    pub redactor: Redactor,
}

impl Terminal {
    /// Looks at the standard streams, and at what the caller's variables say of them.
    pub fn new(context: &Context, when: When) -> Self {
        let set = |name: &str| context.caller_text(name).is_some_and(|value| !value.is_empty());
        let dumb = context.caller_text("TERM").is_none_or(|term| term == "dumb");
        let colour = |terminal: bool| match when {
            When::Always => true,
            When::Never => false,
            When::Auto => !set("NO_COLOR") && (set("CLICOLOR_FORCE") || (terminal && !dumb)),
        };
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
            .iter()
            .find_map(|name| context.caller_text(name).filter(|value| !value.is_empty()));
        Self {
            colour: colour(std::io::stderr().is_terminal()),
            colour_out: colour(std::io::stdout().is_terminal()),
            interactive: std::io::stderr().is_terminal() && !dumb,
            redactor: context.redactor.clone(),
            unicode: locale.is_some_and(|locale| locale.to_lowercase().contains("utf")),
        }
    }

    /// The reporter of a run.
    pub fn reporter(
        &self,
        context: &Context,
        output: OutputStyle,
        verbose: bool,
    ) -> Box<dyn report::Reporter> {
        let set = |name: &str| {
            context.caller_text(name).is_some_and(|value| !matches!(value.as_str(), "" | "0" | "false"))
        };
        let size: Option<report::Size> = self.interactive.then(|| Arc::new(size) as report::Size);
        report::open(report::Options {
            output: match output {
                OutputStyle::Auto => report::Output::Auto,
                OutputStyle::Stream => report::Output::Stream,
                OutputStyle::Prefix => report::Output::Prefix,
                OutputStyle::Group => report::Output::Group,
                OutputStyle::Errors => report::Output::Errors,
                OutputStyle::Quiet => report::Output::Quiet,
                OutputStyle::Json => report::Output::Json,
            },
            verbose,
            ci: set("CI"),
            github: set("GITHUB_ACTIONS"),
            out: Sink {
                to: Box::new(std::io::stdout()),
                terminal: std::io::stdout().is_terminal(),
                style: Style { colour: self.colour_out, unicode: self.unicode },
            },
            err: Sink {
                to: Box::new(std::io::stderr()),
                terminal: self.interactive,
                style: Style { colour: self.colour, unicode: self.unicode },
            },
            joined: joined(),
            size,
        })
    }

    /// Diagnostics as text.
    pub fn diagnostics(
        &self,
        diagnostics: &[Diagnostic],
        sources: &SourceMap,
        format: DiagnosticFormat,
    ) -> String {
        let style = match format {
            DiagnosticFormat::Auto if self.interactive => {
                DiagnosticStyle::Fancy { color: self.colour, width: usize::from(size().0) }
            }
            DiagnosticFormat::Auto | DiagnosticFormat::Short => DiagnosticStyle::Short,
            DiagnosticFormat::Json => DiagnosticStyle::Json,
            DiagnosticFormat::Github => DiagnosticStyle::Github,
        };
        render::render(diagnostics, sources, style)
    }

    /// Says why something was not done.
    pub fn problem(&self, problem: &Problem) {
        if let Problem::Diagnostics { diagnostics, sources } = problem {
            self.say(self.diagnostics(diagnostics, sources, DiagnosticFormat::Auto).trim_end());
            return;
        }
        if let Problem::Refused(refusals) = problem {
            for refusal in refusals {
                self.say(&format!("{} {refusal}", self.red("error:")));
                if let Some(hint) = &refusal.hint {
                    self.say(&format!("  hint: {}", hint.replace('\n', "\n    ")));
                }
            }
            return;
        }
        self.say(&format!("{} {problem}", self.red("error:")));
        if let Some(hint) = problem.hint() {
            self.say(&format!("hint: {hint}"));
        }
    }

    /// Asks on standard error and reads a line from standard input, if both are a terminal.
    pub fn prompt(&self) -> Option<Prompt> {
        let is_asked = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
        is_asked.then(|| {
            Prompt(Arc::new(|question: &str| {
                let mut err = std::io::stderr().lock();
                write!(err, "{question}").and_then(|()| err.flush()).ok()?;
                let mut line = String::new();
                let read = std::io::stdin().lock().read_line(&mut line).ok()?;
                if read == 0 {
                    // Ctrl-D leaves the cursor behind the question.
                    let _ = writeln!(err);
                    return None;
                }
                Some(line.trim_end_matches(['\r', '\n']).to_owned())
            }))
        })
    }

    /// One line or more on standard error. If nobody listens there is nobody to tell.
    pub fn say(&self, text: &str) {
        let _ = writeln!(std::io::stderr().lock(), "{}", self.redactor.text(text));
    }

    /// Text in bold on standard output.
    pub fn bold_out(&self, text: &str) -> String {
        if self.colour_out { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Text that stands back on standard output.
    pub fn dim_out(&self, text: &str) -> String {
        if self.colour_out { format!("\x1b[2m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn red(&self, text: &str) -> String {
        if self.colour { format!("\x1b[1;31m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Data on standard output. A closed pipe (`envrun list | head -1`) is no mistake of anybody's.
pub fn print(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Whether both streams end in the same place: a terminal, or one file (`> log 2>&1`).
fn joined() -> bool {
    let place = |stat: rustix::fs::Stat| (stat.st_dev, stat.st_ino);
    let out = rustix::fs::fstat(std::io::stdout()).map(place);
    out.is_ok() && out == rustix::fs::fstat(std::io::stderr()).map(place)
}

/// Columns and lines.
fn size() -> (u16, u16) {
    rustix::termios::tcgetwinsize(std::io::stderr())
        .map(|size| (size.ws_col, size.ws_row))
        .ok()
        .filter(|(columns, lines)| *columns > 0 && *lines > 0)
        .unwrap_or((80, 24))
}
