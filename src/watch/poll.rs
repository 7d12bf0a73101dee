//! Looks at folders again and again, where the system does not tell that something changed in them.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::base::fs::{Root, Stat};

use super::quiet::Hint;

/// How long nobody looks, at least; and how many times as long as a look takes, so that looking is never the main thing
/// that the machine does.
const PAUSE: Duration = Duration::from_millis(500);
const TIMES: u32 = 50;

/// The stats of what lies in a folder, by name.
type Names = BTreeMap<OsString, Option<Stat>>;

/// From now on a folder is looked at, and this is what was seen in it; or it is not any longer.
type Order = (PathBuf, Option<Names>);

/// Looks at folders again and again, on a thread of its own, until it is dropped.
#[derive(Debug)]
pub(super) struct Poll {
    send: Option<Sender<Order>>,
    thread: Option<JoinHandle<()>>,
}

impl Poll {
    /// Looks at nothing yet. What differs from the look before is told.
    pub(super) fn start(tell: impl Fn(Hint) + Send + 'static) -> std::io::Result<Self> {
        let (send, receive) = channel();
        let thread =
            std::thread::Builder::new().name("poll".to_owned()).spawn(move || run(&receive, &tell))?;
        Ok(Self { send: Some(send), thread: Some(thread) })
    }

    /// From now on (or, without `on`, no longer) a folder is looked at. Changes from this call on are told.
    pub(super) fn look_at(&self, folder: &Path, on: bool) {
        if let Some(send) = &self.send {
            // The thread ends only when this is dropped.
            // Looked at now, not when the thread comes to it: what changes from here on differs from this.
            let _ = send.send((folder.to_path_buf(), on.then(|| look(folder))));
        }
    }
}

impl Drop for Poll {
    fn drop(&mut self) {
        self.send = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(receive: &Receiver<Order>, tell: &dyn Fn(Hint)) {
    let mut folders: HashMap<PathBuf, Names> = HashMap::new();
    let mut pause = PAUSE;
    loop {
        match receive.recv_timeout(pause) {
            Ok((folder, Some(names))) => {
                folders.insert(folder, names);
                continue;
            }
            Ok((folder, None)) => {
                folders.remove(&folder);
                continue;
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        let begun = Instant::now();
        for (folder, before) in &mut folders {
            let now = look(folder);
            for (name, stat) in &now {
                if before.get(name) != Some(stat) {
                    tell(Hint::At(folder.join(name)));
                }
            }
            before
                .keys()
                .filter(|name| !now.contains_key(*name))
                .for_each(|name| tell(Hint::At(folder.join(name))));
            *before = now;
        }
        pause = PAUSE.max(begun.elapsed() * TIMES);
    }
}

/// What lies in a folder; nothing in one that cannot be read.
fn look(folder: &Path) -> Names {
    let Ok(root) = Root::open(folder) else { return Names::new() };
    let entries = root.list(b"").ok().flatten().unwrap_or_default();
    let stat = |entry: crate::base::fs::Entry| {
        use std::os::unix::ffi::OsStringExt;
        let stat = root.stat(&entry.name).ok().flatten();
        (OsString::from_vec(entry.name.to_vec()), stat)
    };
    entries.into_iter().map(stat).collect()
}
