//! The terminal: what it can show, and how things are said on it.

use std::io::{BufRead, IsTerminal, Write};
use std::sync::Arc;

use crate::diag::render::{self, Style as DiagnosticStyle};
use crate::diag::{Diagnostic, SourceMap};
use crate::event::Chosen;
use crate::ops::guard::Prompt;
use crate::ops::{Context, Problem};
use crate::report::{self, Panes, Screen, Sink, Style};
use crate::secret::Redactor;

use super::args::{DiagnosticFormat, OutputStyle, Ui, When};
use super::keys::Keys;

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
    /// The terminal, if there is one: everything that is said goes there.
    pub screen: Option<Screen>,
    /// Its modes.
    pub keys: Keys,
}

/// For how long somebody stays in front of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stay {
    /// Until it is over.
    Run,
    /// As long as he likes.
    Session,
}

impl Terminal {
    /// Looks at the standard streams, and at what the caller's variables say of them.
    pub fn new(context: &Context, when: When, keys: Keys) -> Self {
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
        let interactive = std::io::stderr().is_terminal() && !dumb;
        let unicode = locale.is_some_and(|locale| locale.to_lowercase().contains("utf"));
        let style = Style { colour: colour(std::io::stderr().is_terminal()), unicode };
        // What reads our output may well write to the same terminal, over the view.
        let mode = rustix::fs::fstat(std::io::stdout())
            .map(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode));
        let piped = matches!(mode, Ok(rustix::fs::FileType::Fifo | rustix::fs::FileType::Socket));
        let screen = (interactive && !piped).then(|| {
            Screen::new(Box::new(std::io::stderr()), Arc::new(size), style, Arc::new(is_in_foreground))
        });
        Self {
            colour: style.colour,
            colour_out: colour(std::io::stdout().is_terminal()),
            interactive,
            redactor: context.redactor.clone(),
            unicode,
            screen,
            keys,
        }
    }

    /// Gives the terminal back as it was.
    pub fn close(&self) {
        if let Some(screen) = &self.screen {
            screen.close();
        }
        self.keys.give_back();
    }

    /// From now on services are shown with what they take.
    pub fn watch_services(&self, root: &std::path::Path) {
        let gauge = crate::ops::service::Gauge::new(root);
        if let Some(screen) = &self.screen {
            screen.set_meter(Arc::new(move || gauge.look()));
        }
    }

    /// Whoever lends the terminal, and takes it again: for [`crate::exec::Processes`]. Listens from now on to changes of the
    /// window's size.
    pub fn tenant(&self) -> Option<crate::exec::Tenant> {
        let screen = self.screen.clone()?;
        let heard = [signal_hook::consts::SIGWINCH, signal_hook::consts::SIGCONT];
        if let Ok(mut signals) = signal_hook::iterator::Signals::new(heard) {
            let (screen, keys) = (screen.clone(), self.keys.clone());
            let listen = move || {
                for signal in signals.forever() {
                    if signal == signal_hook::consts::SIGCONT {
                        // The shell may have set other modes meanwhile.
                        keys.renew();
                    }
                    screen.refresh();
                }
            };
            // Without a thread a window that changes its size is seen with the next drawing.
            let _ = std::thread::Builder::new().name("window".to_owned()).spawn(listen);
        }
        let keys = self.keys.clone();
        Some(crate::exec::Tenant::new(move |has_it| {
            if has_it {
                keys.come_back();
                screen.come_back();
            } else {
                screen.leave();
                keys.leave();
            }
        }))
    }

    /// The reporter of a run.
    pub fn reporter(
        &self,
        context: &Context,
        output: OutputStyle,
        verbose: bool,
    ) -> Box<dyn report::Reporter> {
        self.text(context, (output, Ui::Auto), verbose, Stay::Run)
    }

    /// The reporter of a run or a session, as somebody in front of it wants it.
    pub fn reporter_for(
        &self,
        context: &Context,
        (output, ui): (OutputStyle, Ui),
        verbose: bool,
        stay: Stay,
    ) -> Result<Box<dyn report::Reporter>, Problem> {
        if ui != Ui::Tui {
            return Ok(self.text(context, (output, ui), verbose, stay));
        }
        let screen = self.screen.as_ref().filter(|_| std::io::stdin().is_terminal());
        let Some(screen) = screen.filter(|_| output != OutputStyle::Json) else {
            return Err(Problem::usage(
                "`--ui=tui` needs a terminal to draw on and to read keys from",
                Some("leave it out: without one the output is plain text".into()),
            ));
        };
        let style = Style { colour: self.colour, unicode: self.unicode };
        let panes =
            Panes::new(Box::new(std::io::stderr()), Arc::new(size), style, Arc::new(is_in_foreground));
        self.keys.note_panes();
        screen.set_panes(panes.clone());
        Ok(panes.reporter(verbose))
    }

    fn text(
        &self,
        context: &Context,
        (output, ui): (OutputStyle, Ui),
        verbose: bool,
        stay: Stay,
    ) -> Box<dyn report::Reporter> {
        let set = |name: &str| {
            context.caller_text(name).is_some_and(|value| !matches!(value.as_str(), "" | "0" | "false"))
        };
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
                to: match &self.screen {
                    Some(screen) => screen.stream(),
                    None => Box::new(std::io::stderr()),
                },
                terminal: self.interactive,
                style: Style { colour: self.colour, unicode: self.unicode },
            },
            joined: joined(),
            screen: self.screen.clone().filter(|_| ui == Ui::Auto),
            stays: stay == Stay::Session,
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
                // Not held while somebody thinks: others have something to say when he is interrupted.
                let mut err = std::io::stderr();
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

    /// Which environment is meant although nobody named one, and why.
    pub fn using(&self, chosen: &Chosen) {
        self.say(&format!("using {} because {}", chosen.env, chosen.because));
    }

    /// One line or more on standard error. If nobody listens there is nobody to tell.
    pub fn say(&self, text: &str) {
        let text = format!("{}\n", self.redactor.text(text));
        let _ = match &self.screen {
            Some(screen) => screen.text(text.as_bytes()),
            None => std::io::stderr().lock().write_all(text.as_bytes()),
        };
    }

    /// Text in bold on standard output.
    pub fn bold_out(&self, text: &str) -> String {
        if self.colour_out { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Text that stands back on standard output.
    pub fn dim_out(&self, text: &str) -> String {
        if self.colour_out { format!("\x1b[2m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Text that stands back on standard error.
    pub fn dim(&self, text: &str) -> String {
        if self.colour { format!("\x1b[2m{text}\x1b[0m") } else { text.to_owned() }
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

/// Whether envrun has the terminal at this moment. One that is not its own terminal is nobody else's either.
fn is_in_foreground() -> bool {
    rustix::termios::tcgetpgrp(std::io::stderr()).map_or(true, |group| group == rustix::process::getpgrp())
}

/// Columns and lines.
fn size() -> (u16, u16) {
    rustix::termios::tcgetwinsize(std::io::stderr())
        .map(|size| (size.ws_col, size.ws_row))
        .ok()
        .filter(|(columns, lines)| *columns > 0 && *lines > 0)
        .unwrap_or((80, 24))
}
