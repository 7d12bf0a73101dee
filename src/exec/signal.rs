//! SIGINT, SIGTERM and SIGHUP, counted; and Ctrl-Z.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGTSTP};
use signal_hook::iterator::Handle;

use super::{Processes, spawn};

/// Listens for the signals that stop a run.
#[derive(Debug)]
pub struct Signals {
    handle: Handle,
    thread: Option<JoinHandle<()>>,
    /// From now on the signals do what they do by default.
    over: Arc<AtomicBool>,
}

impl Signals {
    /// From now on each SIGINT, SIGTERM and SIGHUP is told to `on`, on a thread of its own, as the signal's number and
    /// how many came before it; SIGTSTP suspends `processes`. A signal that was ignored when envrun was started
    /// (`nohup`) stays ignored. Dropped, the signals do again what they do by default.
    pub fn listen(
        processes: Arc<Processes>,
        mut on: impl FnMut(i32, u32) + Send + 'static,
    ) -> io::Result<Self> {
        let heard: Vec<i32> = [SIGINT, SIGTERM, SIGHUP, SIGTSTP]
            .into_iter()
            .filter(|signal| !spawn::ignores(*signal))
            .collect();
        let over = Arc::new(AtomicBool::new(false));
        for signal in &heard {
            // First in line: a handler that was put in once is never taken out again, and would swallow the signal.
            signal_hook::flag::register_conditional_default(*signal, Arc::clone(&over))?;
        }
        let mut signals = signal_hook::iterator::Signals::new(heard)?;
        let handle = signals.handle();
        let thread = std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            let mut before = 0;
            for signal in signals.forever() {
                if signal == SIGTSTP {
                    processes.suspend();
                } else {
                    on(signal, before);
                    before += 1;
                }
            }
        })?;
        Ok(Self { handle, thread: Some(thread), over })
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        self.handle.close();
        if let Some(thread) = self.thread.take() {
            // A panic in `on` has been told already.
            let _ = thread.join();
        }
    }
}
