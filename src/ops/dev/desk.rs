//! The desk where everything arrives that a session has to do with: changed files, signals, keys. What concerns the run
//! that goes on is handed to it, the rest waits until the session has time.

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use signal_hook::consts::SIGINT;

use crate::base::{Clock, RelPath, Timestamp, fs};
use crate::engine::dispatcher::{Credit, Message, OutputRoom};
use crate::event::{Notice, Sequenced, Stream, first_of};
use crate::graph::NodeIx;
use crate::service::{Status, Told};
use crate::watch::{Area, Batch, Hint, Quiet};

use super::activity::Activity;
use super::circling::{Blame, Circling};

/// How long it has to be quiet before changes count as one; and how long the first of them waits at most.
const WINDOW: Duration = Duration::from_millis(8);
const CAP: Duration = Duration::from_millis(60);

/// With more files than these at once it is not asked of each what it means: everything is looked at.
const MANY: usize = 400;
/// So many are looked at one by one.
pub(super) const FEW: usize = 64;
/// What is said where nobody knows which files changed.
pub(super) const MANY_FILES: &str = "many files";
/// From so many files on they may be a checkout, whose end is waited for; so long at the most, for the work of git may also
/// be a hook that takes its time.
const CHECKOUT: usize = 16;
const CHECKOUT_CAP: Duration = Duration::from_secs(2);
/// What git did not take away in this time, it never will.
const CHECKOUT_DEAD: Duration = Duration::from_mins(1);
/// How often it is looked whether a checkout is over.
const CHECKOUT_LOOK: Duration = Duration::from_millis(5);

/// What a session hears.
#[derive(Debug)]
pub(super) enum Wake {
    /// Files changed, or may have.
    Changed(Changes),
    /// The system does not tell of changes any longer.
    Failed(String),
    /// A signal came while nothing ran: the desk has it, unless a run has begun meanwhile and was told.
    Signal,
    /// Something about a service has changed while nothing ran.
    Service(Box<Status>),
    /// A service printed something while nothing ran.
    Output {
        /// Its name in the supervisor.
        label: Arc<str>,
        /// On which stream.
        stream: Stream,
        /// What.
        bytes: Vec<u8>,
        /// The room it takes on its way.
        credit: Credit,
    },
    /// What keeps the services has ended.
    Unserved,
    /// Everything was let go: the session is over.
    Left,
    /// Of a session that was joined: what it tells.
    Told(Box<Sequenced>),
    /// The user wants the targets to be executed.
    Rerun,
    /// The user wants to leave.
    Quit,
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
    /// So many files changed that nobody says which.
    pub many: bool,
    /// Folders that are not watched any more.
    pub gone: Vec<PathBuf>,
}

impl Changes {
    /// Whether it is known which files changed.
    pub fn is_known(&self) -> bool {
        !self.text && !self.head && !self.folders && self.readers.len() <= FEW
    }

    /// Whether it is known that no file but those among the readers changed, if any did: a folder came or went, as outputs
    /// of the session's own tasks do.
    pub fn are_only_places(&self) -> bool {
        !self.text && !self.head && !self.many && self.readers.len() <= FEW
    }

    /// Adds what changed later.
    pub fn add(&mut self, later: Self) {
        self.readers.extend(later.readers);
        self.text |= later.text;
        self.head |= later.head;
        self.folders |= later.folders;
        self.many |= later.many;
        self.gone.extend(later.gone);
    }
}

/// The desk.
#[derive(Debug)]
pub(super) struct Desk {
    wake: Sender<Wake>,
    clock: Clock,
    stage: Mutex<Stage>,
    /// Bounds the output of services that is on its way.
    room: Arc<OutputRoom>,
    area: Mutex<Option<Arc<Area>>>,
    /// There as long as git writes to the work tree.
    git_lock: Mutex<Option<PathBuf>>,
    pub activity: Activity,
    circle: Mutex<Circling>,
}

/// Who is to be told.
#[derive(Debug, Default)]
struct Stage {
    run: Option<Run>,
    /// Signals that came while nothing ran, and that nobody has taken yet.
    signals: VecDeque<i32>,
}

/// The run that goes on.
#[derive(Debug)]
struct Run {
    send: Sender<Message>,
    /// By name, the nodes of services.
    services: HashMap<String, NodeIx>,
}

impl Desk {
    pub fn new(wake: Sender<Wake>, clock: Clock) -> Arc<Self> {
        Arc::new(Self {
            wake,
            clock,
            stage: Mutex::default(),
            room: Arc::default(),
            area: Mutex::default(),
            git_lock: Mutex::default(),
            activity: Activity::default(),
            circle: Mutex::default(),
        })
    }

    /// From now on this is what paths mean.
    pub fn set_area(&self, area: Arc<Area>) {
        *lock(&self.area) = Some(area);
    }

    /// From now on this is the folder that git keeps what is checked out in.
    pub fn set_git(&self, git: Option<&Path>) {
        *lock(&self.git_lock) = git.map(|git| git.join("index.lock"));
    }

    /// The nodes are others now: nobody of them has done anything yet.
    pub fn forget(&self) {
        self.activity.forget();
        *lock(&self.circle) = Circling::default();
    }

    /// A run begins, with these services. Whoever asked to stop while it was made ready is heard by it.
    pub fn begin_run(&self, send: Sender<Message>, services: HashMap<String, NodeIx>) {
        let mut stage = lock(&self.stage);
        for signal in std::mem::take(&mut stage.signals) {
            // The run holds the other end.
            let _ = send.send(Message::Signal(signal));
        }
        stage.run = Some(Run { send, services });
    }

    /// No run goes on any longer. What it was told and did not hear any more is told to the session: so each signal is
    /// heard exactly once, by whoever it was meant for.
    pub fn end_run(&self, unheard: &Receiver<Message>) {
        let mut stage = lock(&self.stage);
        let ended = stage.run.take();
        let label = |node: NodeIx| {
            let mut services = ended.iter().flat_map(|run| &run.services);
            services.find(|(_, ix)| **ix == node).map(|(label, _)| Arc::from(label.as_str()))
        };
        for message in unheard.try_iter() {
            self.wake(match message {
                Message::Signal(signal) => {
                    stage.signals.push_back(signal);
                    Wake::Signal
                }
                Message::Service(_, status) => Wake::Service(status),
                Message::Unserved => Wake::Unserved,
                Message::Notice(notice) => Wake::Notice(notice),
                Message::Output { node, stream, bytes, credit } => match label(node) {
                    Some(label) => Wake::Output { label, stream, bytes, credit },
                    None => continue,
                },
                _ => continue,
            });
        }
    }

    /// A signal came, the first or a later one.
    pub fn signal(&self, signal: i32) {
        // Held until it is told: a run cannot end between the look and the telling.
        let mut stage = lock(&self.stage);
        match &stage.run {
            Some(run) => _ = run.send.send(Message::Signal(signal)),
            None => {
                stage.signals.push_back(signal);
                self.wake(Wake::Signal);
            }
        }
    }

    /// A signal that came while nothing ran, once; whoever is woken by [`Wake::Signal`] asks.
    pub fn take_signal(&self) -> Option<i32> {
        lock(&self.stage).signals.pop_front()
    }

    /// Whether somebody asked to stop, and nobody has taken that in yet.
    pub fn is_signalled(&self) -> bool {
        !lock(&self.stage).signals.is_empty()
    }

    /// A supervisor tells of its services: to the run that goes on, or to the session.
    pub fn hear(&self, told: Option<Told>) {
        // Waited for with nothing locked: a slow terminal must not keep a signal waiting.
        let credit = match &told {
            Some(Told::Output { bytes, .. }) => Some(self.room.take(bytes.len())),
            _ => None,
        };
        let stage = lock(&self.stage);
        let run = &stage.run;
        let node = |label: &str| run.as_ref().and_then(|run| Some((run, *run.services.get(label)?)));
        match told {
            Some(Told::Changed(status)) => match node(&status.label) {
                Some((run, node)) => _ = run.send.send(Message::Service(node, status)),
                None => self.wake(Wake::Service(status)),
            },
            Some(Told::Output { label, stream, bytes }) => {
                let Some(credit) = credit else { return };
                match node(&label) {
                    Some((run, node)) => {
                        _ = run.send.send(Message::Output { node, stream, bytes, credit });
                    }
                    None => self.wake(Wake::Output { label, stream, bytes, credit }),
                }
            }
            None => match run.as_ref() {
                Some(run) => _ = run.send.send(Message::Unserved),
                None => self.wake(Wake::Unserved),
            },
        }
    }

    /// The user wants to leave: what runs is stopped as by Ctrl-C.
    pub fn quit(&self) {
        self.wake(Wake::Quit);
        let mut stage = lock(&self.stage);
        match &stage.run {
            Some(run) => _ = run.send.send(Message::Signal(SIGINT)),
            // A run that is made ready at this moment hears of it when it begins.
            None => stage.signals.push_back(SIGINT),
        }
    }

    pub fn wake(&self, wake: Wake) {
        // A session that has ended hears nothing.
        let _ = self.wake.send(wake);
    }

    fn tell_run(&self, message: Message) -> bool {
        lock(&self.stage).run.as_ref().is_some_and(|run| run.send.send(message).is_ok())
    }

    /// Something worth saying: when the run that goes on is over, for one that is about to end may not listen any more.
    fn notice(&self, notice: Notice) {
        self.wake(Wake::Notice(notice));
    }

    /// Gathers hints until nobody gives any more.
    pub fn gather(&self, hints: &Receiver<Hint>) {
        let begun = Instant::now();
        let mut quiet = Quiet::new(WINDOW, CAP);
        let mut checkout = false;
        loop {
            let due = [quiet.due(), lock(&self.circle).due()].into_iter().flatten().min();
            let hint = match due {
                None => hints.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(_) if checkout => hints.recv_timeout(CHECKOUT_LOOK),
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
            let now = begun.elapsed();
            checkout = quiet.gathered() >= CHECKOUT
                && quiet.due().is_some_and(|due| due <= now)
                && quiet.first().is_some_and(|first| now < first + CHECKOUT_CAP)
                && self.is_checking_out();
            if !checkout && let Some(batch) = quiet.take(now) {
                self.changed(batch, begun.elapsed());
            }
            self.try_suspects(begun.elapsed());
        }
    }

    /// Whether git is about to write other files: half of them is what nobody wants to build.
    fn is_checking_out(&self) -> bool {
        let since =
            lock(&self.git_lock).as_ref().and_then(|lock| lock.symlink_metadata().ok()?.modified().ok());
        since.is_some_and(|since| since.elapsed().is_ok_and(|age| age < CHECKOUT_DEAD))
    }

    fn is_noise(&self, path: &Path) -> bool {
        lock(&self.area).as_ref().is_some_and(|area| area.is_noise(path))
    }

    /// Runs again whoever is suspected of running in a circle, when that is due.
    fn try_suspects(&self, now: Duration) {
        let readers = lock(&self.circle).take(now);
        if !readers.is_empty() {
            self.tell_readers(&readers, &HashSet::new());
            self.wake(Wake::Changed(Changes { readers, ..Changes::default() }));
        }
    }

    /// Tells the run that goes on which of its nodes read what changed; not by name of what are `places`.
    fn tell_readers(&self, readers: &[(NodeIx, RelPath)], places: &HashSet<RelPath>) {
        let files = readers.iter().map(|(_, file)| file).filter(|file| !places.contains(*file));
        let files = first_of(files.map(|file| file.display().into_owned()));
        self.tell_run(Message::Changed { files, readers: readers.to_vec() });
    }

    /// Files changed: tells the run that goes on which of its nodes that may concern, and the session.
    fn changed(&self, batch: Batch, now: Duration) {
        let Some(area) = lock(&self.area).clone() else { return };
        let wall = self.clock.now();
        // A file that is gone, as after every save by way of another name, says nothing of what is to be watched.
        let gone = batch.gone.into_iter().filter(|path| area.is_watched(path)).collect();
        let mut changes = Changes { folders: batch.lost, many: batch.lost, gone, ..Changes::default() };
        changes.folders |= !changes.gone.is_empty();
        let mut somebody = false;
        // A folder came, or went; which files lie in it, is told for themselves, or asked by content.
        let mut places = HashSet::new();
        if batch.paths.len() > MANY {
            (changes.folders, changes.many) = (true, true);
        } else {
            let mut paths: Vec<(PathBuf, Duration)> = batch.paths.into_iter().collect();
            let mut at = 0;
            while let Some((path, when)) = paths.get(at).cloned() {
                at += 1;
                let is_folder = path.symlink_metadata().is_ok_and(|stat| stat.is_dir());
                if is_folder && area.reaches(&path) {
                    changes.folders = true;
                    // What was put into a new folder before it was watched, nobody told of.
                    let inside = std::fs::read_dir(&path).into_iter().flatten().flatten();
                    paths.extend(inside.take(MANY).map(|entry| (entry.path(), when)));
                    if paths.len() > MANY {
                        changes.many = true;
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
                if is_folder {
                    places.insert(file.clone());
                }
                let ago = now.saturating_sub(when);
                let written = Timestamp(wall.0.saturating_sub(u64::try_from(ago.as_millis()).unwrap_or(0)));
                match self.culprit(&area, (&file, &path), &meaning.readers, written, now) {
                    Blame::Nobody => somebody = true,
                    Blame::Somebody => {}
                    Blame::Waits | Blame::Stopped | Blame::Found(_) => continue,
                }
                changes.readers.extend(meaning.readers.into_iter().map(|node| (node, file.clone())));
            }
        }
        if somebody {
            lock(&self.circle).reset();
        }
        if changes.readers.is_empty() && !changes.text && !changes.head && !changes.folders {
            return;
        }
        if changes.folders && changes.readers.is_empty() {
            // Nobody knows which: every node that runs is asked for all of its files.
            let readers = area.readers().map(|node| (node, RelPath::root())).collect();
            self.tell_run(Message::Changed { files: (vec![MANY_FILES.to_owned()], 0), readers });
        }
        if !changes.readers.is_empty() {
            self.tell_readers(&changes.readers, &places);
        }
        self.wake(Wake::Changed(changes));
    }

    /// Whether a node that the change makes run again has written the file, and runs in a circle.
    fn culprit(
        &self,
        area: &Area,
        (file, path): (&RelPath, &Path),
        readers: &[NodeIx],
        told: Timestamp,
        now: Duration,
    ) -> Blame {
        let affected = area.affected(readers.iter().copied());
        let changed = changed_at(path);
        let suspects: Vec<_> = self
            .activity
            .at(told)
            .into_iter()
            .filter(|(node, _)| affected.get(node.index()).is_some_and(|affected| *affected))
            // Who saves a file as soon as the task is done is no part of it. The clock of files may be a tick behind.
            .filter(|(node, execution)| {
                let is_after = changed.is_some_and(|changed| execution.is_over_at(changed));
                !(is_after || execution.left_inputs_alone && readers.contains(node))
            })
            .collect();
        let blame = lock(&self.circle).on(now, file, readers, &suspects);
        if let Blame::Found(culprits) = &blame {
            self.notice(circle_notice(area, file, readers, culprits));
        }
        blame
    }
}

/// When a file was changed last: what is gone was taken out of its folder then, or out of the one that held that.
fn changed_at(path: &Path) -> Option<Timestamp> {
    let there = path.ancestors().find_map(|path| path.symlink_metadata().ok())?;
    Some(Timestamp::from(fs::changed_at(&there)?))
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
