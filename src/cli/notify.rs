//! Tells a person who does something else that a long run is over: `--notify`.

use std::io::{self, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::event::{Event, OutcomeKind, RunState, Sequenced};
use crate::report::Reporter;

/// A run that took less is watched by whoever started it.
const LONG: Duration = Duration::from_secs(10);

/// Shows a notification: its title and its text.
type Show = Box<dyn Fn(&str, &str) + Send>;

/// Rings the bell of the terminal, and shows a notification where the desktop has `notify-send`.
pub struct Notify {
    bell: Option<Box<dyn Write + Send>>,
    show: Show,
}

impl Notify {
    /// With the terminal's bell, if there is one.
    pub fn new(bell: Option<Box<dyn Write + Send>>) -> Self {
        Self { bell, show: Box::new(show) }
    }
}

impl Reporter for Notify {
    fn on(&mut self, event: &Sequenced, state: &RunState) -> io::Result<()> {
        let Event::RunFinished(finished) = &event.event else { return Ok(()) };
        if finished.took < LONG || state.interrupted() > 0 {
            return Ok(());
        }
        let targets = state.started().map(|started| started.targets.join(" ")).unwrap_or_default();
        let failed = state.counts().of(OutcomeKind::Failed);
        let title = match failed {
            0 => format!("{targets} is done"),
            1 => format!("{targets} failed"),
            several => format!("{targets}: {several} failed"),
        };
        (self.show)(&title, &format!("envrun, after {}", crate::base::unit::show_duration(finished.took)));
        match &mut self.bell {
            Some(bell) => bell.write_all(b"\x07").and_then(|()| bell.flush()),
            None => Ok(()),
        }
    }
}

/// Asks the desktop. One that cannot, or does not answer, is no matter: nobody waits for it.
fn show(title: &str, text: &str) {
    let mut command = Command::new("notify-send");
    command.args(["--app-name=envrun", "--", title, text]);
    let nothing = [Stdio::null(), Stdio::null(), Stdio::null()];
    let [stdin, stdout, stderr] = nothing;
    if let Ok(mut child) = command.stdin(stdin).stdout(stdout).stderr(stderr).spawn() {
        std::thread::spawn(move || child.wait());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::base::{Clock, Timestamp};
    use crate::event::{RunFinished, RunStarted};
    use crate::report::Reporters;

    /// The notifications and the bells of a run that took so long.
    fn notified(seconds: u64) -> (Vec<String>, Vec<u8>) {
        #[derive(Clone, Default)]
        struct Bell(Arc<Mutex<Vec<u8>>>);
        impl Write for Bell {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.lock().unwrap().extend_from_slice(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (bell, shown) = (Bell::default(), Arc::new(Mutex::new(Vec::new())));
        let show = {
            let shown = Arc::clone(&shown);
            move |title: &str, text: &str| shown.lock().unwrap().push(format!("{title} | {text}"))
        };
        let mut reporters = Reporters::new(Clock::manual(Timestamp(0)));
        reporters
            .add("notify", Box::new(Notify { bell: Some(Box::new(bell.clone())), show: Box::new(show) }));
        reporters.tell(Event::RunStarted(RunStarted {
            format: 1,
            run: String::new(),
            envrun: String::new(),
            root: String::new(),
            targets: vec!["build".into(), "test".into()],
            jobs: 1,
            dry_run: false,
            chosen: None,
            nodes: Vec::new().into(),
        }));
        reporters.tell(Event::RunFinished(RunFinished { exit: 0, took: Duration::from_secs(seconds) }));
        let shown = shown.lock().unwrap().clone();
        let rung = bell.0.lock().unwrap().clone();
        (shown, rung)
    }

    #[test]
    fn only_a_long_run_is_worth_a_notification() {
        assert_eq!(notified(9), (Vec::new(), Vec::new()));
        assert_eq!(
            notified(83),
            (vec!["build test is done | envrun, after 1m23s".to_owned()], b"\x07".to_vec())
        );
    }
}
