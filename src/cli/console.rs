//! The person in front of a session: keys that steer it, and what no event says. Nothing of it where there is no terminal.

use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios};

use crate::event::{Event, RunState, Sequenced};
use crate::ops::Problem;
use crate::ops::dev::{self, Steer};
use crate::report::Reporter;

use super::Invocation;

const HELP: &str = "  r  run the targets again, up to date or not
  s  what stays up, and where it answers
  l  what a task printed last
  q  leave
  ?  this help";

/// So many tasks are offered, each by one key.
const OFFERED: usize = 9;

/// A terminal with a session on it.
pub struct Console<'a> {
    invocation: &'a Invocation<'a>,
    /// There is somebody who may press keys.
    keys: bool,
    modes: Option<Modes>,
    printed: Printed,
    /// The tasks that were offered by `l`, until one is chosen.
    offered: Option<Vec<(String, PathBuf)>>,
}

impl<'a> Console<'a> {
    /// `keys`: the output is for a person.
    pub fn new(invocation: &'a Invocation<'a>, keys: bool) -> Self {
        let printed = Printed::default();
        Self { invocation, keys, modes: None, printed, offered: None }
    }

    /// Who listens to what tasks print.
    pub fn listener(&self) -> Box<dyn Reporter> {
        Box::new(self.printed.clone())
    }

    fn say(&self, text: &str) {
        self.invocation.terminal.say(text);
    }

    /// Offers the logs of the tasks that were executed last.
    fn offer(&mut self) {
        let logs = self.printed.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let newest: Vec<(String, PathBuf)> = logs.into_iter().rev().take(OFFERED).collect();
        if newest.is_empty() {
            return self.say("nothing was executed yet");
        }
        let line = |(at, (label, _)): (usize, &(String, PathBuf))| format!("  {}  {label}", at + 1);
        let lines: Vec<String> = newest.iter().enumerate().map(line).collect();
        self.say(&format!("the log of\n{}", lines.join("\n")));
        self.offered = Some(newest);
    }

    fn show_log(&self, (label, path): &(String, PathBuf)) {
        match std::fs::read(path) {
            Ok(text) if text.is_empty() => self.say(&format!("`{label}` printed nothing")),
            Ok(text) => self.say(String::from_utf8_lossy(&text).trim_end()),
            Err(_) => self.say(&format!("`{label}` printed nothing that was kept")),
        }
    }
}

impl dev::Console for Console<'_> {
    fn begin(&mut self, steer: Steer) {
        if !self.keys {
            return;
        }
        self.modes = Modes::keys();
        if self.modes.is_some() && std::thread::Builder::new().spawn(move || listen(&steer)).is_ok() {
            self.say("press r to run again, l for logs, q to leave, ? for help");
        }
    }

    fn say(&mut self, text: &str) {
        self.invocation.terminal.say(text);
    }

    fn problem(&mut self, problem: &Problem) {
        self.invocation.terminal.problem(problem);
    }

    fn key(&mut self, key: char, services: &dyn Fn() -> String) {
        let offered = self.offered.take().unwrap_or_default();
        if let Some(chosen) = key.to_digit(10).and_then(|digit| offered.get((digit as usize).checked_sub(1)?))
        {
            return self.show_log(chosen);
        }
        match key {
            '?' | 'h' => self.say(HELP),
            'l' => self.offer(),
            's' => self.say(services().trim_end()),
            _ => {}
        }
    }
}

/// Hands keys on until there are none any more.
fn listen(steer: &Steer) {
    for byte in io::BufReader::new(io::stdin()).bytes().map_while(Result::ok) {
        match byte {
            b'r' => steer.rerun(),
            // Ctrl-D, too, says that nothing more will come.
            b'q' | 4 => steer.quit(),
            key => steer.key(char::from(key)),
        }
    }
}

/// The modes of the terminal as they were: keys arrive one by one and are not shown until this is dropped.
struct Modes(Termios);

impl Modes {
    fn keys() -> Option<Self> {
        let stdin = rustix::stdio::stdin();
        // Who is not in the foreground is stopped for trying.
        let group = rustix::termios::tcgetpgrp(stdin).ok()?;
        let before =
            rustix::termios::tcgetattr(stdin).ok().filter(|_| group == rustix::process::getpgrp())?;
        let mut modes = before.clone();
        // Ctrl-C and Ctrl-Z go on meaning what they mean.
        modes.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
        modes.special_codes[SpecialCodeIndex::VMIN] = 1;
        modes.special_codes[SpecialCodeIndex::VTIME] = 0;
        rustix::termios::tcsetattr(stdin, OptionalActions::Now, &modes).ok()?;
        Some(Self(before))
    }
}

impl Drop for Modes {
    fn drop(&mut self) {
        let _ = rustix::termios::tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, &self.0);
    }
}

/// Which tasks were executed, and where what they printed lies; the last one at the end.
#[derive(Debug, Clone, Default)]
struct Printed(Arc<Mutex<Vec<(String, PathBuf)>>>);

impl Reporter for Printed {
    fn on(&mut self, event: &Sequenced, state: &RunState) -> io::Result<()> {
        if let (Event::NodeStarted { node, .. }, Some(started)) = (&event.event, state.started()) {
            let label = state.label(*node).to_owned();
            let log = PathBuf::from(&started.root).join(dev::log_path(&started.run, &label));
            let mut logs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            logs.retain(|(known, _)| *known != label);
            logs.push((label, log));
        }
        Ok(())
    }
}
