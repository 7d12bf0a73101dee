//! SIGINT, SIGTERM and SIGHUP, counted; and Ctrl-Z.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use signal_hook::SigId;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGTSTP};
use signal_hook::iterator::Handle;

use super::{Interrupt, Processes, spawn};

/// Whether a SIGINT was sent to this process that none of its threads has taken yet.
pub(super) fn is_coming() -> bool {
    let mut sets = [const { std::mem::MaybeUninit::<libc::sigset_t>::uninit() }; 3];
    let [only, before, coming] = sets.each_mut().map(std::mem::MaybeUninit::as_mut_ptr);
    #[expect(unsafe_code, reason = "what is pending is asked of the C library only")]
    // SAFETY: the sets outlive the calls, and each is written before it is read. This thread's mask is put back: only what is
    // blocked counts as pending, and whichever other thread may take it does.
    unsafe {
        libc::sigemptyset(only);
        libc::sigaddset(only, SIGINT);
        if libc::pthread_sigmask(libc::SIG_BLOCK, only, before) != 0 {
            return false;
        }
        let is_coming = libc::sigpending(coming) == 0 && libc::sigismember(coming, SIGINT) == 1;
        libc::pthread_sigmask(libc::SIG_SETMASK, before, std::ptr::null_mut());
        is_coming
    }
}

/// Listens for the signals that stop a run.
#[derive(Debug)]
pub struct Signals {
    handle: Handle,
    thread: Option<JoinHandle<()>>,
    /// From now on the signals do what they do by default.
    over: Arc<AtomicBool>,
    /// What tells `processes` of a SIGINT before it is told.
    raised: Option<SigId>,
}

/// What was told three times to end, and is still there after so long, hangs: its terminal takes nothing any more (Ctrl-S, a
/// connection that is dead), or a file system does not answer.
const HANGS: Duration = Duration::from_secs(3);

/// How such an end is told to whoever started envrun.
const INTERRUPTED: i32 = 130;

impl Signals {
    /// [Listens](Self::listen), and sees to it that the third signal is the last: if envrun has not come to its end some
    /// seconds later it ends there and then, and the guardians of its processes end those.
    pub fn listen_to_the_last(
        processes: Arc<Processes>,
        mut on: impl FnMut(i32, u32) + Send + 'static,
    ) -> io::Result<Self> {
        let over = Arc::new(AtomicBool::new(false));
        let (told, ended) = (Arc::clone(&processes), Arc::clone(&over));
        let on = move |signal, before| {
            if before == 2 {
                let (told, ended) = (Arc::clone(&told), Arc::clone(&ended));
                let last = move || {
                    std::thread::sleep(HANGS);
                    if !ended.load(Ordering::SeqCst) {
                        told.interrupt(Interrupt::Kill);
                        signal_hook::low_level::exit(INTERRUPTED);
                    }
                };
                // No thread to be had: SIGKILL is left.
                let _ = std::thread::Builder::new().name("last".to_owned()).spawn(last);
            }
            on(signal, before);
        };
        Self::begin(processes, over, on)
    }

    /// From now on each SIGINT, SIGTERM and SIGHUP is told to `on`, on a thread of its own, as the signal's number and
    /// how many came before it; SIGTSTP suspends `processes`. Ctrl-C while a command has the terminal is that command's
    /// alone, and no signal of ours. A signal that was ignored when envrun was started
    /// (`nohup`) stays ignored. Dropped, the signals do again what they do by default.
    pub fn listen(processes: Arc<Processes>, on: impl FnMut(i32, u32) + Send + 'static) -> io::Result<Self> {
        Self::begin(processes, Arc::default(), on)
    }

    fn begin(
        processes: Arc<Processes>,
        over: Arc<AtomicBool>,
        mut on: impl FnMut(i32, u32) + Send + 'static,
    ) -> io::Result<Self> {
        let heard: Vec<i32> = [SIGINT, SIGTERM, SIGHUP, SIGTSTP]
            .into_iter()
            .filter(|signal| !spawn::ignores(*signal))
            .collect();
        for signal in &heard {
            // First in line: a handler that was put in once is never taken out again, and would swallow the signal.
            signal_hook::flag::register_conditional_default(*signal, Arc::clone(&over))?;
        }
        // Before it is told: whoever sees neither this nor that it is pending knows that it was.
        let raised = match heard.contains(&SIGINT) {
            true => Some(signal_hook::flag::register(SIGINT, processes.raised())?),
            false => None,
        };
        let mut signals = signal_hook::iterator::Signals::new(heard)?;
        let handle = signals.handle();
        let thread = std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            let mut before = 0;
            for signal in signals.forever() {
                if signal == SIGTSTP {
                    processes.suspend();
                } else if signal != SIGINT || !processes.terminal_is_lent() {
                    on(signal, before);
                    before += 1;
                }
                if signal == SIGINT {
                    processes.was_heard();
                }
            }
        })?;
        Ok(Self { handle, thread: Some(thread), over, raised })
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        self.handle.close();
        self.raised.map(signal_hook::low_level::unregister);
        if let Some(thread) = self.thread.take() {
            // A panic in `on` has been told already.
            let _ = thread.join();
        }
    }
}
