//! The desk where everything arrives that a session has to do with: changed files, signals, keys. What concerns the run
//! that goes on is handed to it, the rest waits until the session has time.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::base::{Clock, RelPath, Timestamp};
use crate::engine::dispatcher::Message;
use crate::event::Notice;
use crate::graph::NodeIx;
use crate::watch::{Area, Batch, Circle, Culprit, Hint, Quiet, Wrote};

use super::activity::Activity;

/// How long it has to be quiet before changes count as one; and how long the first of them waits at most.
const WINDOW: Duration = Duration::from_millis(8);
const CAP: Duration = Duration::from_millis(60);

/// With more files than these at once it is not asked of each what it means: everything is looked at.
const MANY: usize = 400;
/// So many are looked at one by one.
const FEW: usize = 64;
/// So many files are told by name.
const NAMED: usize = 2;

/// What a session hears.
#[derive(Debug)]
pub(super) enum Wake {
    /// Files changed, or may have.
    Changed(Changes),
    /// The system does not tell of changes any longer.
    Failed(String),
    /// A signal came.
    Signal,
    /// The user wants the targets to be executed.
    Rerun,
    /// The user wants to leave.
    Quit,
    /// The user pressed a key that only the console knows.
    Key(char),
    /// Something worth saying.
    Notice(Notice),
}

/// What changed, or may have.
#[derive(Debug, Clone, Default)]
pub(super) struct Changes {
    /// Files that nodes may read, each with those.
    pub readers: Vec<(NodeIx, RelPath)>,
    /// A text that the graph was made of.
    pub text: bool,
    /// What is checked out.
    pub head: bool,
    /// Folders came, went or moved, or nobody knows: what is watched has to be looked at again.
    pub folders: bool,
    /// Folders that are not watched any more.
    pub gone: Vec<PathBuf>,
}

impl Changes {
    /// Whether it is known which files changed.
    pub fn is_known(&self) -> bool {
        !self.text && !self.head && !self.folders && self.readers.len() <= FEW
    }

    /// Adds what changed later.
    pub fn add(&mut self, later: Self) {
        self.readers.extend(later.readers);
        self.text |= later.text;
        self.head |= later.head;
        self.folders |= later.folders;
        self.gone.extend(later.gone);
    }

    /// The changed files by name, each once, and how many others there are.
    pub fn named(files: impl IntoIterator<Item = RelPath>) -> (Vec<String>, usize) {
        let mut seen = HashSet::new();
        let mut named = Vec::new();
        for file in files {
            if seen.insert(file.clone()) && named.len() < NAMED {
                named.push(file.display().into_owned());
            }
        }
        let more = seen.len() - named.len();
        (named, more)
    }
}

/// The desk.
#[derive(Debug)]
pub(super) struct Desk {
    wake: Sender<Wake>,
    clock: Clock,
    run: Mutex<Option<Sender<Message>>>,
    area: Mutex<Option<Arc<Area>>>,
    pub activity: Activity,
    circle: Mutex<Circling>,
}

/// Who runs in a circle.
#[derive(Debug, Default)]
struct Circling {
    circle: Circle<RelPath, NodeIx>,
    /// Changes of these files by these nodes make nothing run any more.
    stopped: HashSet<(RelPath, NodeIx)>,
}

impl Desk {
    pub fn new(wake: Sender<Wake>, clock: Clock) -> Arc<Self> {
        Arc::new(Self {
            wake,
            clock,
            run: Mutex::default(),
            area: Mutex::default(),
            activity: Activity::default(),
            circle: Mutex::default(),
        })
    }

    /// From now on this is what paths mean.
    pub fn set_area(&self, area: Arc<Area>) {
        *lock(&self.area) = Some(area);
    }

    /// The nodes are others now: nobody of them has done anything yet.
    pub fn forget(&self) {
        self.activity.forget();
        *lock(&self.circle) = Circling::default();
    }

    /// A run begins, or none goes on any longer.
    pub fn set_run(&self, run: Option<Sender<Message>>) {
        *lock(&self.run) = run;
    }

    /// A signal came, the first or a later one.
    pub fn signal(&self, signal: i32, before: u32) {
        self.tell_run(Message::Signal(signal, before));
        // A run that is about to end may not listen any more: then whoever waits next hears it.
        self.wake(Wake::Signal);
    }

    /// The user wants to leave: what runs is stopped as by Ctrl-C.
    pub fn quit(&self) {
        self.wake(Wake::Quit);
        self.tell_run(Message::Signal(signal_hook::consts::SIGINT, 0));
    }

    pub fn wake(&self, wake: Wake) {
        // A session that has ended hears nothing.
        let _ = self.wake.send(wake);
    }

    fn tell_run(&self, message: Message) -> bool {
        lock(&self.run).as_ref().is_some_and(|run| run.send(message).is_ok())
    }

    /// Something worth saying: when the run that goes on is over, for one that is about to end may not listen any more.
    fn notice(&self, notice: Notice) {
        self.wake(Wake::Notice(notice));
    }

    /// Gathers hints until nobody gives any more.
    pub fn gather(&self, hints: &Receiver<Hint>) {
        let begun = Instant::now();
        let mut quiet = Quiet::new(WINDOW, CAP);
        loop {
            let hint = match quiet.due() {
                None => hints.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(due) => hints.recv_timeout(due.saturating_sub(begun.elapsed())),
            };
            match hint {
                Ok(Hint::Failed(reason)) => {
                    self.wake(Wake::Failed(reason));
                    quiet.on(begun.elapsed(), Hint::Lost);
                }
                // What git and envrun write for themselves must not even delay what somebody waits for.
                Ok(Hint::At(path)) if self.is_noise(&path) => {}
                Ok(hint) => quiet.on(begun.elapsed(), hint),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if let Some(batch) = quiet.take(begun.elapsed()) {
                self.changed(batch, begun.elapsed());
            }
        }
    }

    fn is_noise(&self, path: &std::path::Path) -> bool {
        lock(&self.area).as_ref().is_some_and(|area| area.is_noise(path))
    }

    /// Files changed: tells the run that goes on which of its nodes that may concern, and the session.
    fn changed(&self, batch: Batch, now: Duration) {
        let Some(area) = lock(&self.area).clone() else { return };
        let wall = self.clock.now();
        let mut changes = Changes { folders: batch.lost, gone: batch.gone, ..Changes::default() };
        changes.folders |= !changes.gone.is_empty();
        let mut somebody = false;
        if batch.paths.len() > MANY {
            changes.folders = true;
        } else {
            let mut paths: Vec<(PathBuf, Duration)> = batch.paths.into_iter().collect();
            let mut at = 0;
            while let Some((path, when)) = paths.get(at).cloned() {
                at += 1;
                if path.symlink_metadata().is_ok_and(|stat| stat.is_dir()) && area.reaches(&path) {
                    changes.folders = true;
                    // What was put into a new folder before it was watched, nobody told of.
                    let inside = std::fs::read_dir(&path).into_iter().flatten().flatten();
                    paths.extend(inside.take(MANY).map(|entry| (entry.path(), when)));
                    if paths.len() > MANY {
                        break;
                    }
                }
                let meaning = area.meaning(&path);
                changes.text |= meaning.text;
                changes.head |= meaning.head;
                changes.folders |= meaning.look;
                let (Some(file), false) = (area.inside(&path), meaning.readers.is_empty()) else {
                    somebody |= meaning.is_some();
                    continue;
                };
                let ago = now.saturating_sub(when);
                let written = Timestamp(wall.0.saturating_sub(u64::try_from(ago.as_millis()).unwrap_or(0)));
                match self.culprit(&area, &file, &meaning.readers, written, now) {
                    Blame::Nobody => somebody = true,
                    Blame::Somebody => {}
                    Blame::Stopped => continue,
                }
                changes.readers.extend(meaning.readers.into_iter().map(|node| (node, file.clone())));
            }
        }
        if somebody {
            lock(&self.circle).circle.reset();
        }
        if changes.readers.is_empty() && !changes.text && !changes.head && !changes.folders {
            return;
        }
        if changes.folders && changes.readers.is_empty() {
            // Nobody knows which: every node that runs is asked for all of its files.
            let readers = area.readers().map(|node| (node, RelPath::root())).collect();
            self.tell_run(Message::Changed { files: (vec!["many files".to_owned()], 0), readers });
        }
        if !changes.readers.is_empty() {
            let files = Changes::named(changes.readers.iter().map(|(_, file)| file.clone()));
            self.tell_run(Message::Changed { files, readers: changes.readers.clone() });
        }
        self.wake(Wake::Changed(changes));
    }

    /// Whether a node that the change makes run again has written the file, and runs in a circle.
    fn culprit(
        &self,
        area: &Area,
        file: &RelPath,
        readers: &[NodeIx],
        written: Timestamp,
        now: Duration,
    ) -> Blame {
        let affected = area.affected(readers.iter().copied());
        let suspects: Vec<_> = self
            .activity
            .at(written)
            .into_iter()
            .filter(|(node, _)| affected.get(node.index()).is_some_and(|affected| *affected))
            .collect();
        if suspects.is_empty() {
            return Blame::Nobody;
        }
        let mut circling = lock(&self.circle);
        if suspects.iter().any(|(node, _)| circling.stopped.contains(&(file.clone(), *node))) {
            return Blame::Stopped;
        }
        let culprits: Vec<NodeIx> = suspects
            .iter()
            .filter_map(|(node, execution)| {
                let (number, disturbed) = (execution.number, execution.disturbed);
                let wrote = Wrote { file: file.clone(), task: *node, execution: number, disturbed };
                circling.circle.on(now, wrote).map(|Culprit { task, .. }| task)
            })
            .collect();
        if culprits.is_empty() {
            return Blame::Somebody;
        }
        circling.stopped.extend(culprits.iter().map(|node| (file.clone(), *node)));
        drop(circling);
        self.notice(circle_notice(area, file, readers, &culprits));
        Blame::Stopped
    }
}

/// Who changed a file.
enum Blame {
    /// No task that it concerns.
    Nobody,
    /// Such a task, perhaps.
    Somebody,
    /// A task that does so again and again; it makes nothing run any more.
    Stopped,
}

fn circle_notice(area: &Area, file: &RelPath, readers: &[NodeIx], culprits: &[NodeIx]) -> Notice {
    let names = |nodes: &[NodeIx], word: &str| {
        let names: Vec<String> = nodes.iter().map(|node| format!("`{}`", area.label(*node))).collect();
        names.join(word)
    };
    let (writers, readers_named) = (names(culprits, " or "), names(readers, ", "));
    let reader = if readers == culprits { "itself".to_owned() } else { readers_named.clone() };
    Notice {
        node: None,
        message: format!(
            "{writers} runs in a circle: it writes {0}, which is an input of {reader}; what it writes there makes \
             nothing run any more",
            file.display()
        ),
        hint: Some(format!(
            "take {0} out of the `inputs` of {readers_named} (`!{0}`), or declare it in the `outputs` of {writers}",
            file.display()
        )),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
