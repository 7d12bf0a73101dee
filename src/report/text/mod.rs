//! Text for people: one line when a node begins and one when it ends, its output between them, failures last.
//!
//! [`weave`] arranges what nodes print; here is what envrun itself says, in a column of verbs:
//!
//! ```text
//!        run build because src/api.rs changed (+1 more)
//!   restored lib from the local cache in 3ms
//!       done build in 1.2s
//! ```
//!
//! What is up to date is counted, not listed. At the end stand the failures, each with everything there is to know, and
//! one line that counts.

mod held;
#[cfg(test)]
mod tests;
mod weave;

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use super::ansi::{Filter, settle};
use super::live::PATIENCE;
use super::page::{Channel, Page};
use super::style::Ink;
use super::{Options, Output, Reporter, Screen, Style, words};
use crate::base::unit::show_duration;
use crate::event::{Event, Failed, Failure, GlassBroken, Notice, Outcome, RunState, Sequenced};
use crate::graph::NodeIx;
use crate::service::{Begun, State};
use weave::{Left, Weave};

/// How much output of failed nodes is held for the end, all together.
const ALL_FAILURES: usize = 32 << 20;

/// How many lines of a service that fails while nobody waits for it are shown.
const LAST_LINES: usize = 10;

/// Tells a run in words.
pub(super) struct Text {
    page: Page,
    weave: Weave,
    /// As asked for; [`Output::Auto`] until the run begins.
    output: Output,
    /// Of standard error, where all goes that is said here.
    style: Style,
    verbose: bool,
    ci: bool,
    github: bool,
    /// Given if a live view would be welcome.
    screen: Option<Screen>,
    /// It goes on when a run is over.
    stays: bool,
    /// Who has the terminal to itself.
    lent: Option<NodeIx>,
    /// How long a run has to take before the live view appears.
    pub(super) patience: Duration,
    failed: HashMap<NodeIx, Left>,
    failed_bytes: usize,
}

impl Text {
    pub(super) fn new(options: Options) -> Self {
        let Options { output, verbose, ci, github, out, err, joined, screen, stays } = options;
        let screen = screen.filter(|_| err.terminal && !ci);
        Self {
            style: err.style,
            page: Page::new(out, err, joined),
            weave: Weave::new(output, github, std::iter::empty()),
            output,
            verbose,
            ci,
            github,
            screen,
            stays,
            lent: None,
            patience: PATIENCE,
            failed: HashMap::new(),
            failed_bytes: 0,
        }
    }

    fn tell(&mut self, event: &Event, state: &RunState) {
        match event {
            Event::RunStarted(started) => {
                if self.output == Output::Auto {
                    self.output = match state.tasks() {
                        _ if self.stays && self.screen.is_some() => Output::Prefix,
                        0 | 1 => Output::Stream,
                        _ if self.ci => Output::Group,
                        _ => Output::Prefix,
                    };
                }
                let tasks = started.nodes.iter().filter(|node| !node.group);
                let labels = tasks.map(|node| &*node.label);
                self.weave = Weave::new(self.output, self.github, labels);
                if let Some(chosen) = &started.chosen {
                    let because = self.faint(&format!(" because {}", chosen.because));
                    self.status(None, (Ink::Begin, "using"), &chosen.env, &because);
                }
            }
            Event::NodeStarted { node, because, commands, dir, .. } => {
                let because = format!(" because {}", words::because(because));
                self.status(Some(*node), (Ink::Begin, "run"), state.label(*node), &self.faint(&because));
                if self.verbose {
                    self.commands(*node, commands, dir);
                }
                self.weave.begin(*node, &self.page);
            }
            Event::Output { node, stream, bytes } => {
                self.weave.output(*node, state.label(*node), *stream, bytes, &mut self.page);
            }
            Event::NodeRetrying { node, attempt, of, failure, pause } => {
                let (failure, pause) = (words::failure(failure), show_duration(*pause));
                let rest = format!(" after try {attempt} of {of}: {failure}; the next one in {pause}");
                self.weave.end_lines(*node, state.label(*node), &mut self.page);
                self.status(Some(*node), (Ink::Warn, "retry"), state.label(*node), &rest);
            }
            Event::NodePhase { node, phase, about } => {
                self.weave.end_lines(*node, state.label(*node), &mut self.page);
                let ink = if phase == "going-back" { Ink::Warn } else { Ink::Begin };
                let space = if about.is_empty() { "" } else { " " };
                let about = self.faint(&format!("{space}{about}"));
                self.status(Some(*node), (ink, phase), state.label(*node), &about);
            }
            Event::NodeFinished { node, outcome, took } => self.finished(*node, outcome, *took, state),
            Event::NodesFinished { nodes, outcome } => {
                let end = state.node_count();
                let listed = self.verbose || is_news(outcome);
                // What was going to print has to be brought to its end, whether or not it is listed.
                let begun = self.weave.unfinished();
                for node in nodes.iter_below(end).filter(|node| listed || begun.contains(node)) {
                    self.finished(node, outcome, Duration::ZERO, state);
                }
            }
            Event::Changed { files, more, tasks, services } => {
                let text = words::changed(files, *more, (*tasks, *services), self.style);
                self.say(None, &text);
            }
            Event::Watching { files, folders, polling } => {
                let text = words::watching(*files, *folders, polling.as_deref());
                match self.screen.as_ref().filter(|screen| self.stays && screen.is_live()) {
                    Some(screen) => screen.idle(words::watching_shortly(*files, *folders, polling.is_some())),
                    None => self.say(None, &self.faint(&text)),
                }
            }
            Event::ServiceChanged { node, state: service, failure, log, hint } => {
                // How many of its last lines stand right above: no need to read them twice.
                let seen = self.weave.last_lines(*node);
                self.weave.end_lines(*node, state.label(*node), &mut self.page);
                if let Some((ink, verb, mut rest)) = words::service(service) {
                    if *service == State::Stopped {
                        rest = words::stopped(state.served(*node).and_then(|served| served.stopped));
                    }
                    self.status(Some(*node), (ink, verb), state.label(*node), &rest);
                }
                if let Some(failure) = failure {
                    self.service_failure((*node, seen), failure, log.as_deref(), hint.as_deref());
                }
            }
            Event::Notice(notice) => self.notice(notice, state),
            Event::GlassBroken(broken) => self.glass(broken),
            Event::Interrupted { signal, level } => {
                let words = words::interrupted(*level, state);
                let text = format!("{} {words}", self.style.paint(Ink::Warn, &format!("{signal}:")));
                self.say(None, &text);
            }
            Event::Reread { files, more, values, state } => {
                let text = words::reread(files, *more, values, *state);
                self.say(None, &text);
            }
            Event::SessionEnding => {
                // Whoever asked by a signal has been told.
                if let Some(text) = words::ending(state).filter(|_| state.interrupted() == 0) {
                    self.say(None, &text);
                }
            }
            Event::SessionEnded { took, .. } => {
                if let Some(text) = words::ended(state, *took) {
                    let text = self.style.paint(Ink::Strong, &text);
                    self.say(None, &text);
                }
            }
            Event::RunFinished(_) => self.run_finished(state),
            Event::Expected { .. } | Event::NodesReopened { .. } => {}
        }
    }

    fn finished(&mut self, node: NodeIx, outcome: &Outcome, took: Duration, state: &RunState) {
        let label = state.label(node);
        let group = state.node(node).is_some_and(|info| info.group);
        let took = show_duration(took);
        if let Outcome::Restored { log, .. } = outcome {
            self.weave.replay(node, label, log, &mut self.page);
        }
        let left = self.weave.end(node, label, &mut self.page);
        let (verb, rest) = match outcome {
            Outcome::Succeeded { .. } => ((Ink::Good, "done"), format!(" in {took}")),
            Outcome::Restored { from, .. } => ((Ink::Good, "restored"), format!(" from {from} in {took}")),
            Outcome::WouldRun { because, commands } => {
                let because = format!(" because {}", words::because(because));
                self.status(Some(node), (Ink::Begin, "would run"), label, &self.faint(&because));
                return self.commands(node, commands, ".");
            }
            Outcome::Failed { failure, .. } => {
                let executed = state.failures().last().is_some_and(|failed| failed.executed.is_some());
                let took = if executed { format!(" after {took}: ") } else { ": ".to_owned() };
                let rest = format!("{took}{}", words::failure(failure));
                self.status(Some(node), (Ink::Bad, "failed"), label, &rest);
                self.keep(node, left);
                return self.annotate(label, &rest, failure);
            }
            Outcome::Skipped { reason } => ((Ink::Warn, "skipped"), format!(" because {reason}")),
            Outcome::Up { begun, gate, urls } => {
                let rest = words::up(*begun, *gate, urls, &took);
                let ink = if *begun == Begun::Already { Ink::Faint } else { Ink::Good };
                return self.status(Some(node), (ink, words::gate(*gate)), label, &rest);
            }
            Outcome::Cancelled if left.is_some() => ((Ink::Warn, "cancelled"), String::new()),
            _ if !self.verbose || group => return,
            Outcome::UpToDate => ((Ink::Faint, "up to date"), String::new()),
            Outcome::AlreadyDone => ((Ink::Faint, "done"), " already".to_owned()),
            Outcome::Blocked { by } => ((Ink::Warn, "blocked"), format!(" by `{}`", state.label(*by))),
            Outcome::Cancelled => ((Ink::Warn, "cancelled"), String::new()),
            Outcome::Grouped => return,
        };
        self.status(Some(node), verb, label, &self.faint(&rest));
    }

    /// Keeps what a failed node printed, as far as there is room.
    fn keep(&mut self, node: NodeIx, left: Option<Left>) {
        let Some(mut left) = left else { return };
        if self.failed_bytes + left.held.bytes().len() > ALL_FAILURES {
            left.held.forget();
        }
        self.failed_bytes += left.held.bytes().len();
        self.failed.insert(node, left);
    }

    fn run_finished(&mut self, state: &RunState) {
        for node in self.weave.unfinished() {
            self.weave.end(node, state.label(node), &mut self.page);
        }
        let kept = std::mem::take(&mut self.failed);
        for failed in state.failures() {
            let left = kept.get(&failed.node);
            // Nothing came after its output: no need to read it twice.
            let seen = state.failures().len() == 1 && left.is_some_and(|left| self.weave.is_last(left));
            self.failure(failed, left.filter(|_| !seen), seen, state);
        }
        let exit = state.finished().map_or(0, |finished| finished.exit);
        if self.output == Output::Quiet && exit == 0 {
            return;
        }
        if !state.failures().is_empty() {
            self.page.line(Channel::Err, b"");
        }
        let ink = if exit == 0 { Ink::Strong } else { Ink::Bad };
        let summary = self.style.paint(ink, &words::summary(state));
        self.page.line(Channel::Err, summary.as_bytes());
    }

    /// Everything there is to know of a failure. `seen`: its output stands right above.
    fn failure(&mut self, failed: &Failed, left: Option<&Left>, seen: bool, state: &RunState) {
        let label = state.label(failed.node);
        let error = self.style.paint(Ink::Bad, "error:");
        let name = self.style.paint(Ink::Strong, &format!("`{label}`"));
        let after = failed.executed.as_ref().map(|_| format!(" after {}", show_duration(failed.took)));
        let how = match &failed.failure {
            Failure::Refused { .. } => "refused".to_owned(),
            failure => words::failure(failure),
        };
        let mut text =
            vec![String::new(), format!("{error} {name} failed{}: {how}", after.unwrap_or_default())];
        let mut fact = |name: &str, what: &str| {
            let mut lines = what.trim_end().lines();
            text.push(format!("  {name}: {}", lines.next().unwrap_or_default()));
            text.extend(lines.map(|line| format!("    {line}")));
        };
        if let Failure::Refused { reasons } = &failed.failure {
            reasons.iter().for_each(|reason| fact("reason", reason));
        }
        if let Failure::Service { lines, probe, .. } = &failed.failure {
            probe.iter().flat_map(|probes| probes.lines()).for_each(|probe| fact("probe", probe));
            match lines.len() {
                0 => fact("output", "none"),
                1 => fact("output", &format!("its last line\n{}", lines.join("\n"))),
                count => fact("output", &format!("its last {count} lines\n{}", lines.join("\n"))),
            }
        }
        if let Some(command) = failed.failure.command() {
            fact("command", &words::script(command, label));
        }
        if let Some(executed) = &failed.executed {
            if failed.failure.command().is_none() {
                executed.commands.iter().for_each(|command| fact("command", &words::script(command, label)));
            }
            fact("directory", &executed.dir);
            fact("because", &words::because(&executed.because));
        }
        if let Failure::WentBack { logs, .. } | Failure::Broken { logs, .. } = &failed.failure {
            logs.iter().for_each(|log| fact("log", log));
        }
        if let Failure::Unfinished { env, .. } = &failed.failure {
            fact("go on", &format!("`envrun deploy resume {env}`"));
            fact("go back", &format!("`envrun deploy back {env}`"));
        }
        let silent = left.is_none_or(|left| left.held.bytes().is_empty() && left.held.earlier() == 0);
        if let Some(log) = failed
            .log
            .as_ref()
            .filter(|_| seen || !silent || matches!(failed.failure, Failure::Service { .. }))
        {
            fact("log", log);
        }
        match silent {
            _ if seen || matches!(failed.failure, Failure::Service { .. }) => {}
            false => fact("output", ""),
            true if failed.executed.is_some() => fact("output", "none"),
            true => {}
        }
        for line in text {
            self.page.line(Channel::Err, line.trim_end().as_bytes());
        }
        let bar = self.style.paint(Ink::Faint, self.style.bar());
        for line in left.map_or_else(Vec::new, |left| weave::lines(&left.held, Channel::Err, &self.page)) {
            let space = if line.is_empty() { "" } else { " " };
            self.page.line(Channel::Err, &[b"  ", bar.as_bytes(), space.as_bytes(), &line].concat());
        }
        let hints = [failed.failure.hint(), failed.hint.as_deref()];
        hints.into_iter().flatten().for_each(|hint| self.hint(hint));
    }

    /// What is known of a service that failed by itself: the last it printed, and what to look at.
    fn service_failure(
        &mut self,
        (node, seen): (NodeIx, usize),
        failure: &Failure,
        log: Option<&str>,
        hint: Option<&str>,
    ) {
        let Failure::Service { lines, probe, .. } = failure else { return };
        let bar = self.style.paint(Ink::Faint, self.style.bar());
        let last = &lines[lines.len().saturating_sub(LAST_LINES)..];
        let shown = if seen >= last.len() { &[] } else { last };
        for line in shown {
            let mut text = Vec::new();
            Filter::new(self.page.keep(Channel::Err)).pass(line.as_bytes(), &mut text);
            let line = String::from_utf8_lossy(settle(&text)).into_owned();
            self.say(Some(node), format!("{:11}{bar} {line}", "").trim_end());
        }
        for probe in probe.iter().flat_map(|probes| probes.lines()) {
            self.say(Some(node), &format!("{:11}probe: {probe}", ""));
        }
        if let Some(log) = log {
            self.say(Some(node), &self.faint(&format!("{:11}log: {log}", "")));
        }
        if let Some(hint) = hint {
            let head = self.style.paint(Ink::Begin, "hint:");
            self.say(Some(node), &format!("{:11}{head} {hint}", ""));
        }
    }

    fn notice(&mut self, notice: &Notice, state: &RunState) {
        if self.output == Output::Quiet {
            return;
        }
        let about = notice.node.map(|node| format!("`{}`: ", state.label(node))).unwrap_or_default();
        let text = format!("{} {about}{}", self.style.paint(Ink::Warn, "warning:"), notice.message);
        self.say(None, &text);
        notice.hint.iter().for_each(|hint| self.hint(hint));
    }

    /// Said in every style: nobody passes a guard in silence.
    fn glass(&mut self, broken: &GlassBroken) {
        let GlassBroken { reason, who, passed } = broken;
        let head = self.style.paint(Ink::Warn, "break-glass:");
        if passed.is_empty() {
            self.say(None, &format!("{head} every guard holds, so there was nothing to break"));
            return;
        }
        self.say(None, &format!("{head} {reason} ({who})"));
        for guard in passed {
            self.say(None, &format!("{head} passed {guard}"));
        }
    }

    fn hint(&mut self, hint: &str) {
        let text = format!("{} {hint}", self.style.paint(Ink::Begin, "hint:"));
        self.page.line(Channel::Err, text.as_bytes());
    }

    /// GitHub shows it at the head of the workflow's page.
    fn annotate(&mut self, label: &str, rest: &str, failure: &Failure) {
        if !self.github {
            return;
        }
        let escape = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
        let title = escape(label).replace(':', "%3A").replace(',', "%2C");
        let command = failure.command().map(|command| format!("\ncommand: {command}")).unwrap_or_default();
        let text = format!(
            "::error title={title} failed::{}",
            escape(&format!("{}{command}", rest.trim_start_matches([':', ' '])))
        );
        self.page.line(Channel::Err, text.as_bytes());
    }

    /// A line of the column of verbs.
    fn status(&mut self, node: Option<NodeIx>, (ink, verb): (Ink, &str), label: &str, rest: &str) {
        if self.output == Output::Quiet {
            return;
        }
        let name = if self.output == Output::Prefix { Ink::of(label) } else { Ink::Strong };
        let verb = self.style.paint(ink, &format!("{verb:>10}"));
        let text = format!("{verb} {}{rest}", self.style.paint(name, label));
        self.say(node, &text);
    }

    /// A node's commands below its status.
    fn commands(&mut self, node: NodeIx, commands: &[String], dir: &str) {
        if dir != "." {
            self.say(Some(node), &self.faint(&format!("{:11}in {dir}", "")));
        }
        for line in commands.iter().flat_map(|command| {
            let signs = std::iter::once("$ ").chain(std::iter::repeat("  "));
            signs.zip(command.trim_end().lines())
        }) {
            self.say(Some(node), &self.faint(&format!("{:11}{}{}", "", line.0, line.1)));
        }
    }

    fn say(&mut self, node: Option<NodeIx>, text: &str) {
        if self.output == Output::Quiet {
            return;
        }
        self.weave.speak(node);
        self.page.line(Channel::Err, text.as_bytes());
    }

    fn faint(&self, text: &str) -> String {
        self.style.paint(Ink::Faint, text)
    }

    /// Brings the live view up to date, or begins or ends it.
    fn show_live(&mut self, event: &Event, state: &RunState) {
        let Some(screen) = &self.screen else { return };
        let welcome = matches!(self.output, Output::Prefix | Output::Group | Output::Errors);
        let is_service = |node: &NodeIx| state.node(*node).is_some_and(|info| info.service);
        match event {
            // Someone else has the terminal now.
            Event::NodeStarted { interactive: true, node, .. } => {
                self.lent = Some(*node);
                screen.leave();
            }
            Event::NodeStarted { .. } | Event::RunStarted(_)
                if welcome && !screen.is_live() && (self.stays || !matches!(event, Event::RunStarted(_))) =>
            {
                screen.begin(state, self.patience);
            }
            Event::RunFinished(_) if !self.stays => screen.close(),
            Event::Output { node, bytes, .. } => {
                if welcome && let Some(tail) = weave::tail(bytes) {
                    screen.tail(*node, tail);
                }
            }
            Event::Notice(_) | Event::GlassBroken(_) | Event::Watching { .. } => {}
            Event::NodeFinished { node, .. } => {
                screen.update(state, is_service(node));
                if self.lent == Some(*node) {
                    self.lent = None;
                    screen.come_back();
                }
            }
            Event::NodeStarted { node, .. } => screen.update(state, is_service(node)),
            _ => screen.update(state, matches!(event, Event::ServiceChanged { .. })),
        }
    }
}

impl Drop for Text {
    fn drop(&mut self) {
        if let Some(screen) = &self.screen {
            screen.close();
        }
    }
}

impl Reporter for Text {
    fn on(&mut self, event: &Sequenced, state: &RunState) -> io::Result<()> {
        if !matches!(event.event, Event::RunStarted(_)) {
            self.show_live(&event.event, state);
        }
        self.tell(&event.event, state);
        if matches!(event.event, Event::RunStarted(_)) {
            // How output is shown is known only now.
            self.show_live(&event.event, state);
        }
        self.page.flush()
    }
}

/// Whether an outcome that many nodes share is worth a line for each of them.
fn is_news(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::UpToDate
        | Outcome::AlreadyDone
        | Outcome::Grouped
        | Outcome::Blocked { .. }
        | Outcome::Cancelled => false,
        Outcome::Restored { .. }
        | Outcome::Succeeded { .. }
        | Outcome::WouldRun { .. }
        | Outcome::Up { .. }
        | Outcome::Failed { .. }
        | Outcome::Skipped { .. } => true,
    }
}
