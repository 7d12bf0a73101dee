//! One checkout: its files as they are now, and what each task's last good run saw.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use crate::base::fs::{FsError, Root};
use crate::base::{Digest, RelPath};

use super::ignored::{Outside, Rules};
use super::journal::{Journal, News};
use super::look::Listing;
use super::made::Unrecorded;
use super::manifest::Usual;
use super::record::{List, Record};
use super::stamp::StampClock;
use super::state::{Attempt, MAGIC, State, Translation, compact};
use super::table::{Entry, PathId};
use super::tool::Tools;

/// What hashes secrets: random, made once per user and never leaving the machine.
#[derive(Clone)]
pub struct SecretKey(pub [u8; 32]);

impl std::fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretKey(***)")
    }
}

/// A checkout. Every method may be called from any number of threads at once.
#[derive(Debug)]
pub struct Workspace {
    pub(super) root: Root,
    pub(super) secrets: SecretKey,
    pub(super) usual: Usual,
    pub(super) folder: PathBuf,
    state: RwLock<State>,
    /// Counts the commands that ended: what was looked at before may have changed since.
    epoch: AtomicU32,
    clock: OnceLock<StampClock>,
    outside: OnceLock<Outside>,
    outside_digest: OnceLock<Digest>,
    listings: Mutex<Listings>,
    rules: Mutex<HashMap<PathId, (Digest, Rules)>>,
    pub(super) tools: Mutex<Tools>,
    claims: Mutex<Option<Claims>>,
    befores: Mutex<HashMap<Box<str>, HashSet<PathId>>>,
    unsaved: Mutex<Unsaved>,
    learned: AtomicBool,
    pub(super) unrecorded: Mutex<Unrecorded>,
    /// Folders in which nothing is left any more of restores that were killed.
    pub(super) swept: Mutex<HashSet<RelPath>>,
}

/// The names in folders, with their digests.
pub(super) type Listings = HashMap<PathId, (Arc<Listing>, Digest)>;

/// The task that made each output last.
pub(super) type Claims = HashMap<PathId, Box<str>>;

/// What is not in the state file yet, and who writes it there.
#[derive(Debug)]
struct Unsaved {
    journal: Journal,
    translation: Translation,
    tasks: Vec<Box<str>>,
    last: Instant,
    /// How long the state file was after the last write.
    length: u64,
}

/// How often what was learned goes to the state file while commands run: a run that is killed loses no more than that.
/// Unit tests write at once, the harder case.
const SAVE_EVERY: Duration = Duration::from_millis(if cfg!(test) { 0 } else { 250 });

/// A state file is written anew when more than half of it, and more than this, says nothing any more.
const SLACK: u64 = 256 << 10;

impl Workspace {
    /// Opens the checkout at `root`, whose state lies in `state` (the `.envrun/state` folder).
    ///
    /// State that cannot be read counts as none.
    pub fn open(root: &Path, state: &Path, secrets: SecretKey) -> Result<Self, FsError> {
        let root = Root::open(root)?;
        let mut journal = Journal::new(state.join("files"), MAGIC);
        let state_now = State::parse(journal.load());
        let translation = Translation::loaded(&state_now.table);
        let unsaved = Unsaved { journal, translation, tasks: Vec::new(), last: Instant::now(), length: 0 };
        Ok(Self {
            root,
            secrets,
            usual: Usual::new(),
            folder: state.to_path_buf(),
            state: RwLock::new(state_now),
            epoch: AtomicU32::new(1),
            clock: OnceLock::new(),
            outside: OnceLock::new(),
            outside_digest: OnceLock::new(),
            listings: Mutex::default(),
            rules: Mutex::default(),
            tools: Mutex::default(),
            claims: Mutex::default(),
            befores: Mutex::default(),
            unsaved: Mutex::new(unsaved),
            learned: AtomicBool::new(false),
            unrecorded: Mutex::default(),
            swept: Mutex::default(),
        })
    }

    /// Where the checkout lies.
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// Looks at every file that the last good runs of these tasks knew, on all cores at once: a hint that makes the
    /// checks which follow free of system calls.
    pub fn prefetch<'a>(&self, labels: impl IntoIterator<Item = &'a str>) {
        let ids: Vec<PathId> = {
            let state = self.state();
            let mut wanted = vec![false; state.table.len()];
            let records = labels.into_iter().filter_map(|label| state.record(label));
            records.flat_map(|record: Record<'_>| record.ids()).for_each(|id| wanted[id as usize] = true);
            let epoch = self.epoch();
            let unseen = |id: &PathId| wanted[*id as usize] && !state.table.entry(*id).is_fresh(epoch);
            (0..wanted.len() as PathId).filter(unseen).collect()
        };
        self.glance(&ids);
    }

    /// Says that a command is over or that files were written in another way: whatever was seen before may have changed.
    /// [`Workspace::finish`] and [`Workspace::restore`] say it by themselves; a task that is never cached needs it.
    pub fn touched(&self) {
        self.epoch.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn epoch(&self) -> u32 {
        self.epoch.load(Ordering::SeqCst)
    }

    pub(super) fn state(&self) -> RwLockReadGuard<'_, State> {
        // A thread that panicked left facts behind, each of them whole.
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn state_mut(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn listings(&self) -> MutexGuard<'_, Listings> {
        self.listings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn rules_memo(&self) -> MutexGuard<'_, HashMap<PathId, (Digest, Rules)>> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file system's clock; found out when a file first has to be read.
    pub(super) fn clock(&self) -> &StampClock {
        self.clock.get_or_init(|| {
            let _ = crate::base::fs::create_folder(&self.folder);
            StampClock::probe(&self.folder)
        })
    }

    /// Ignore files that no walk comes to.
    pub(super) fn outside(&self) -> &Outside {
        self.outside.get_or_init(|| Outside::find(&self.root))
    }

    /// Which files these are.
    pub(super) fn outside_digest(&self) -> Digest {
        *self.outside_digest.get_or_init(|| self.outside().digest())
    }

    pub(super) fn intern(&self, path: &[u8]) -> PathId {
        if let Some(id) = self.state().table.find(path) {
            return id;
        }
        self.state_mut().table.intern(path)
    }

    pub(super) fn intern_all<'a>(&self, paths: impl Iterator<Item = &'a [u8]>) -> Vec<PathId> {
        let mut state = self.state_mut();
        paths.map(|path| state.table.intern(path)).collect()
    }

    /// Notes that there is something to save.
    pub(super) fn learned(&self) {
        self.learned.store(true, Ordering::Relaxed);
    }

    /// Takes in what is known of a file without looking: it was just written.
    pub(super) fn know(&self, id: PathId, entry: Entry) {
        let epoch = self.epoch();
        self.state_mut().table.put(id, Entry { epoch, ..entry });
        self.learned();
    }

    /// Keeps a task's record, and writes it to the disk soon; at once if the disk says that a run of it has begun, so
    /// that whoever has the task's lock next knows how it ended, and who was there last.
    pub(super) fn keep(&self, label: &str, record: Vec<u8>) {
        let begun = {
            let mut state = self.state_mut();
            state.keep(label, record);
            self.claim(&state, label);
            state.attempts.remove(label).is_some()
        };
        self.learned();
        let mut unsaved = self.unsaved();
        unsaved.tasks.push(label.into());
        if begun || unsaved.last.elapsed() >= SAVE_EVERY {
            // A full disk is told once, at the end of the run.
            let _ = self.write(&mut unsaved);
        }
    }

    /// What lay where a task's outputs go when its run began.
    pub(super) fn befores(&self) -> MutexGuard<'_, HashMap<Box<str>, HashSet<PathId>>> {
        self.befores.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes, on the disk too, that a run of a task begins, and what lies in its output folders.
    pub(super) fn attempt(&self, label: &str, attempt: Attempt) {
        self.state_mut().attempts.insert(label.into(), attempt);
        self.learned();
        let mut unsaved = self.unsaved();
        unsaved.tasks.push(label.into());
        // On a full disk the run goes on; only a crash of it would go unnoticed.
        let _ = self.write(&mut unsaved);
    }

    /// Notes that another task has made its own where these had theirs: it is not as they left it, even if every file of
    /// theirs is.
    pub(super) fn overtake(&self, labels: Vec<Box<str>>, place: Digest) {
        for label in &labels {
            // One that did not end well knows more.
            let overtaken = || Attempt { place, overtaken: true, before: Vec::new() };
            self.state_mut().attempts.entry(label.clone()).or_insert_with(overtaken);
        }
        self.unsaved().tasks.extend(labels);
        self.learned();
        // Sealed answers rest on those files alone.
        let _ = std::fs::remove_dir_all(self.folder.join("seals"));
    }

    /// Learns what other processes wrote of tasks since: good runs, and such as they began. For whoever holds a task's
    /// lock: nobody writes of that one meanwhile.
    pub fn catch_up(&self) {
        let Unsaved { journal, translation, tasks, .. } = &mut *self.unsaved();
        self.take_in(&journal.listen(), translation, tasks, &mut self.state_mut());
    }

    fn take_in(
        &self,
        news: &News,
        translation: &mut Translation,
        unsaved: &mut Vec<Box<str>>,
        state: &mut State,
    ) {
        for label in translation.learn(news, state, unsaved) {
            self.claim(state, label);
        }
    }

    /// Notes whose the outputs of a task's record are from now on.
    fn claim(&self, state: &State, label: &str) {
        if let Some(claims) = &mut *self.claims.lock().unwrap_or_else(PoisonError::into_inner)
            && let Some(record) = state.record(label)
        {
            claims.extend(record.rows(List::Outputs).map(|row| (row.id, Box::from(label))));
        }
    }

    /// Who made each of these outputs last. Worked out when it first matters, because it takes a look at every record.
    pub(super) fn claimed_by(&self, state: &State, ids: &[PathId]) -> Claims {
        let mut claims = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        let claims = claims.get_or_insert_with(|| {
            let mut claims = Claims::new();
            for label in state.labels() {
                let outputs = state.record(label).into_iter().flat_map(|record| record.rows(List::Outputs));
                claims.extend(outputs.map(|row| (row.id, Box::from(label))));
            }
            claims
        });
        ids.iter().filter_map(|id| Some((*id, claims.get(id)?.clone()))).collect()
    }

    fn unsaved(&self) -> MutexGuard<'_, Unsaved> {
        self.unsaved.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what was learned to the state folder. Whoever is killed before only has to look again.
    pub fn save(&self) -> Result<(), FsError> {
        let mut unsaved = self.unsaved();
        if self.learned.load(Ordering::Relaxed) {
            self.write(&mut unsaved)?;
        }
        // Also what was written while commands ran: a session does little else, and would let the file grow for ever.
        let length = std::mem::take(&mut unsaved.length);
        if length > SLACK && length > 2 * self.state().live_size() + SLACK {
            unsaved.journal.rewrite(compact)?;
        }
        Ok(())
    }

    fn write(&self, unsaved: &mut Unsaved) -> Result<(), FsError> {
        self.learned.store(false, Ordering::Relaxed);
        let Unsaved { journal, translation, tasks, last, length } = unsaved;
        let result = journal.append(|news| {
            let mut state = self.state_mut();
            self.take_in(news, translation, tasks, &mut state);
            translation.write(&mut state, tasks)
        });
        *last = Instant::now();
        match result {
            Ok(now) => {
                let mut state = self.state_mut();
                for label in tasks.drain(..) {
                    if let Some(kept) = state.tasks.get_mut(&label) {
                        kept.is_saved = true;
                    }
                }
                *length = now;
                Ok(())
            }
            Err(error) => {
                self.learned();
                Err(error)
            }
        }
    }
}
