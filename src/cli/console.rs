//! The person in front of a run or a session: keys that steer it, and what no event says. Nothing of it where there is no
//! terminal.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Signal, getpid, kill_process};

use crate::base::Clock;
use crate::event::{Event, RunState, Sequenced};
use crate::ops::Problem;
use crate::ops::dev::{self, Steer};
use crate::ops::service::Gauge;
use crate::report::{Reporter, Screen, Wish};
use crate::service::log::LogReader;

use super::Invocation;
use super::args::OutputStyle;
use super::service::statuses_table;
use super::terminal::Terminal;

/// What keys there are to choose a node by.
const CHOICES: &str = "123456789abcdefghijklmnopqrstuvwxyz";

/// So many lines of a log are shown.
const LINES: usize = 200;

/// A run that is over before this is steered by nobody.
const PATIENCE: Duration = Duration::from_millis(300);

/// A word that is typed ahead for the shell has ended when nothing came for so long.
const WORD: Duration = Duration::from_secs(1);

/// What the keys steer.
enum Steering {
    /// A session.
    Session(Steer),
    /// A run, which ends by itself.
    Run,
    /// Services that one is attached to, by label.
    Services(Vec<String>),
}

/// A terminal with a run or a session on it. Every clone is the same.
#[derive(Clone)]
pub struct Console(Arc<Pad>);

struct Pad {
    terminal: Terminal,
    /// There is somebody who may press keys.
    keys: bool,
    clock: Clock,
    gauge: Gauge,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    steering: Option<Steering>,
    /// What was executed, or is up, and where its log is; the newest at the end.
    logs: Vec<(String, Log)>,
    /// Keys are listened to, or whatever came first wanted none.
    listens: bool,
    /// What was offered by `l`, until one is chosen.
    offered: Option<Vec<(String, Log)>>,
    over: bool,
}

/// Where what a node printed lies.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Log {
    File(PathBuf),
    /// Files of a service in a folder.
    Folder(PathBuf),
}

/// Whether somebody may press keys: the output is for a person, on a terminal that is also the input.
pub fn keys(invocation: &Invocation<'_>, output: OutputStyle) -> bool {
    let for_a_person = !matches!(output, OutputStyle::Json | OutputStyle::Quiet);
    for_a_person && invocation.terminal.interactive && io::stdin().is_terminal()
}

impl Console {
    /// `keys`: the output is for a person, who may press some. `root`: the project's.
    pub fn new(terminal: &Terminal, clock: &Clock, root: &Path, keys: bool) -> Self {
        let (terminal, clock, gauge) = (terminal.clone(), clock.clone(), Gauge::new(root));
        Self(Arc::new(Pad { terminal, keys, clock, gauge, state: Mutex::default() }))
    }

    /// Who listens to what is executed.
    pub fn listener(&self) -> Box<dyn Reporter> {
        Box::new(self.clone())
    }

    /// Steers a run from its first command on.
    pub fn run(&self) {
        self.steer(Steering::Run);
    }

    /// Steers services, by their labels.
    pub fn services(&self, labels: Vec<String>) {
        self.steer(Steering::Services(labels));
    }

    fn steer(&self, steering: Steering) {
        self.state().steering = Some(steering);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn say(&self, text: &str) {
        self.0.terminal.say(text);
    }

    /// Begins to listen to keys, after a while; on a thread of its own.
    fn listen(&self, patience: Duration) {
        if !self.0.keys {
            return;
        }
        let console = self.clone();
        let begin = move || {
            std::thread::sleep(patience);
            // A run that is over by now has given the terminal back.
            let is_over = console.state().over;
            if is_over || !console.0.terminal.keys.take() {
                return;
            }
            if console.state().over {
                return console.0.terminal.keys.give_back();
            }
            if let Some(screen) = &console.0.terminal.screen {
                screen.set_keys(console.hints());
            }
            let mut word: Option<Instant> = None;
            let panes = console.0.terminal.screen.as_ref().and_then(Screen::panes);
            while let Some(keys) = console.0.terminal.keys.next() {
                if let Some(panes) = &panes {
                    match panes.pressed(&keys) {
                        Some(Wish::Again) => console.again(),
                        Some(Wish::Quit) => console.quit(),
                        None => {}
                    }
                    continue;
                }
                for key in keys {
                    console.pressed(key, &mut word);
                }
            }
        };
        if patience.is_zero() && !self.0.terminal.keys.take() {
            return;
        }
        // Without a thread nobody listens, and nothing else is missing.
        let _ = std::thread::Builder::new().name("keys".to_owned()).spawn(begin);
    }

    fn hints(&self) -> Vec<String> {
        let all = match &self.state().steering {
            Some(Steering::Session(_)) => "r rerun  s services  l logs  q quit  ? help",
            Some(Steering::Services(_)) => "r restart  s services  l logs  q quit  ? help",
            _ => "l logs  q quit  ? help",
        };
        let some = all.replace("s services  ", "");
        vec![all.to_owned(), some, "? help".to_owned()]
    }

    fn pressed(&self, key: u8, word: &mut Option<Instant>) {
        let offered = self.state().offered.take().unwrap_or_default();
        let chosen = CHOICES.find(char::from(key)).and_then(|at| offered.get(at));
        if let Some(chosen) = chosen {
            return self.show_log(chosen);
        }
        let is_bound = b"rslq?h\x04\x1b\n\r".contains(&key);
        // In front of a run that ends by itself people type ahead what the shell is to do next: that must not stop it.
        let is_run = matches!(self.state().steering, Some(Steering::Run));
        let in_word = word.is_some_and(|last| last.elapsed() < WORD);
        *word = (is_run && !matches!(key, b'\n' | b'\r') && (in_word || !is_bound)).then(Instant::now);
        if word.is_some() {
            return;
        }
        match key {
            b'?' | b'h' => self.help(),
            b'l' => self.offer(),
            b's' => self.show_services(),
            b'r' => self.again(),
            // Ctrl-D, too, says that nothing more will come.
            b'q' | 4 => self.quit(),
            _ => {}
        }
    }

    fn help(&self) {
        let (again, quit) = match &self.state().steering {
            Some(Steering::Session(_)) => ("run the targets again, up to date or not", "leave"),
            Some(Steering::Services(_)) => ("start the services again", "stop, as Ctrl-C does"),
            _ => ("(a run ends by itself: `envrun dev` stays, and runs again)", "stop, as Ctrl-C does"),
        };
        self.say(&format!(
            "  r  {again}\n  s  what stays up: state, cpu, memory, and where it answers\n  l  what one node printed\n  q  {quit}\n  ?  this help"
        ));
    }

    fn again(&self) {
        let labels = match &self.state().steering {
            Some(Steering::Session(steer)) => return steer.rerun(),
            Some(Steering::Services(labels)) => labels.clone(),
            _ => return self.say("a run ends by itself: `envrun dev` stays, and runs again"),
        };
        // It takes as long as they take to end, and to begin: keys are heard meanwhile.
        let console = self.clone();
        let again = move || {
            if console.0.gauge.restart(&labels).is_empty() {
                console.say("nothing stays up");
            }
        };
        self.say("the services are stopped, and started again");
        if std::thread::Builder::new().name("again".to_owned()).spawn(again).is_err() {
            self.say("no thread for that");
        }
    }

    fn quit(&self) {
        match &self.state().steering {
            Some(Steering::Session(steer)) => steer.quit(),
            _ => _ = kill_process(getpid(), Signal::INT),
        }
    }

    fn show_services(&self) {
        let statuses = self.0.gauge.look();
        if statuses.is_empty() {
            return self.say("nothing stays up");
        }
        self.say(statuses_table(&statuses, self.0.clock.now()).trim_end());
    }

    /// Offers the logs of what was executed last, and of what is up.
    fn offer(&self) {
        let mut state = self.state();
        let newest: Vec<(String, Log)> = state.logs.iter().rev().take(CHOICES.len()).cloned().collect();
        if newest.is_empty() {
            drop(state);
            return self.say("nothing was executed yet");
        }
        let line = |(key, (label, _)): (char, &(String, Log))| format!("  {key}  {label}");
        let lines: Vec<String> = CHOICES.chars().zip(&newest).map(line).collect();
        state.offered = Some(newest);
        drop(state);
        self.say(&format!("the log of\n{}", lines.join("\n")));
    }

    fn show_log(&self, (label, log): &(String, Log)) {
        let text = match log {
            Log::File(path) => std::fs::read(path),
            Log::Folder(folder) => LogReader::new(folder, Some(LINES)).and_then(|mut reader| {
                let mut text = Vec::new();
                reader.read(&mut text).map(|_| text)
            }),
        };
        let text = match text {
            Ok(text) if text.is_empty() => return self.say(&format!("`{label}` printed nothing")),
            Ok(text) => crate::report::shown(&text, self.0.terminal.colour),
            Err(_) => return self.say(&format!("`{label}` printed nothing that was kept")),
        };
        let lines: Vec<&str> = text.trim_end().lines().collect();
        let from = lines.len().saturating_sub(LINES);
        let (Log::File(path) | Log::Folder(path)) = log;
        let cut = if from > 0 { format!(", the last {LINES} lines") } else { String::new() };
        self.say(&format!(
            "{}\n{}",
            self.0.terminal.dim(&format!("--- {label}{cut}: {}", path.display())),
            lines[from..].join("\n")
        ));
    }
}

impl dev::Console for Console {
    fn begin(&mut self, steer: Steer) {
        self.steer(Steering::Session(steer));
        self.listen(Duration::ZERO);
    }

    fn problem(&mut self, problem: &Problem) {
        self.0.terminal.problem(problem);
    }

    fn say(&mut self, text: &str) {
        self.0.terminal.say(text);
    }
}

impl Reporter for Console {
    fn on(&mut self, event: &Sequenced, state: &RunState) -> io::Result<()> {
        match &event.event {
            Event::NodeStarted { node, interactive, .. } => {
                let Some(started) = state.started() else { return Ok(()) };
                let label = state.label(*node).to_owned();
                let root = Path::new(&started.root);
                let is_service = state.node(*node).is_some_and(|info| info.service);
                let log = match is_service {
                    true => Log::Folder(crate::ops::service::log_folder(root, &label)),
                    false => Log::File(root.join(dev::log_path(&started.run, &label))),
                };
                let mut own = self.state();
                own.logs.retain(|(known, _)| *known != label);
                own.logs.push((label, log));
                let steers = matches!(own.steering, Some(Steering::Run | Steering::Services(_)));
                let first = !std::mem::replace(&mut own.listens, true) && !interactive && steers;
                drop(own);
                if first {
                    let panes = self.0.terminal.screen.as_ref().and_then(Screen::panes);
                    self.listen(if panes.is_some() { Duration::from_millis(1) } else { PATIENCE });
                }
            }
            Event::NodeFinished { node, outcome: crate::event::Outcome::Up { .. }, .. } => {
                let label = state.label(*node).to_owned();
                let root = state.started().map(|started| PathBuf::from(&started.root)).unwrap_or_default();
                let mut own = self.state();
                if !own.logs.iter().any(|(known, _)| *known == label) {
                    let folder = crate::ops::service::log_folder(&root, &label);
                    own.logs.push((label, Log::Folder(folder)));
                }
                // Services that were up before are all there is to watch.
                let steers = matches!(own.steering, Some(Steering::Services(_)));
                if steers && !std::mem::replace(&mut own.listens, true) {
                    drop(own);
                    self.listen(Duration::from_millis(1));
                }
            }
            Event::RunFinished(_) => {
                let mut own = self.state();
                own.over = !matches!(own.steering, Some(Steering::Session(_)));
                if own.over {
                    self.0.terminal.keys.give_back();
                }
            }
            _ => {}
        }
        Ok(())
    }
}
