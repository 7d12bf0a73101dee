//! Data that is saved, proved, and put back: what the commands of a snapshot node do, and in which order.
//!
//! ```text
//! save:     draft ─▶ `save` ─▶ digest ─▶ `verify` ─▶ a copy ─▶ what the policy lets go is removed
//! put back: `restore`, with a copy in $SNAPSHOT
//! load:     `save` of another environment into a private folder ─▶ `verify` ─▶ the task that rewrites it ─▶ what is here
//!           is saved ─▶ `restore` here ─▶ the private folder is removed, whatever happened. With `at=` a copy that was saved
//!           earlier is read whole and goes into the private folder; no command of the other environment runs
//! ```

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::tz::TimeZone;

use crate::base::fs::FsError;
use crate::base::unit::show_duration;
use crate::event::Failure;
use crate::exec::Fleeting;
use crate::graph::{ConfiguredTask, Loaded, NodeIx};
use crate::ledger::{self, History, Kind, Release};
use crate::model::{Command, Load, Node, Snapshot};
use crate::preflight::{Verdict, person};
use crate::record::STATE_DIR;
use crate::snapshot::{
    Archive, Copy, Draft, Meta, SnapshotError, clone_tree, contents, create_private, remove_folder,
};
use crate::vars::{Form, TaskValues};

use super::command::{Attempt, Carry};
use super::surroundings::{Surroundings, scope_conditions};

/// How often it is asked whether another envrun that saves the same is done.
const BETWEEN: Duration = Duration::from_millis(100);

/// Why data was not saved or not put back.
#[derive(Debug)]
pub enum Unsaved {
    /// Something failed.
    Failed(Failure),
    /// The run was stopped.
    Cancelled,
}

impl From<SnapshotError> for Unsaved {
    fn from(error: SnapshotError) -> Self {
        Self::Failed(Failure::Io { reason: error.to_string() })
    }
}

impl Unsaved {
    fn new(attempt: Attempt) -> Result<(), Self> {
        match attempt {
            Attempt::Good => Ok(()),
            Attempt::Failed(failure) => Err(Self::Failed(failure)),
            Attempt::Cancelled => Err(Self::Cancelled),
        }
    }
}

/// Runs the commands of one snapshot node.
pub struct Saver<'a, 'c> {
    /// What all share.
    pub around: &'a Surroundings<'a>,
    /// The node.
    pub node: &'a ConfiguredTask,
    /// Its definition.
    pub snapshot: &'a Snapshot,
    /// Sets up whatever carries a command out: who listens to it.
    pub prepare: &'c dyn Fn(&mut Carry<'_>),
    /// The number of the node in the run, for its files.
    pub ix: NodeIx,
}

impl Saver<'_, '_> {
    /// Saves the data: a new copy, and whatever the policy lets go is removed. `why` stands in its description.
    ///
    /// The second value is what could not be tidied up; the copy is good all the same.
    pub fn save(&self, why: &str) -> Result<(Copy, Option<String>), Unsaved> {
        let save = self.snapshot.save.as_ref().ok_or_else(|| self.missing("save", "saved"))?;
        let archive = self.archive();
        let draft = self.draft(&archive)?;
        self.carry(&save.value, &draft.data())?;
        let meta = Meta {
            revision: self.around.git.revision().ok(),
            why: why.to_owned(),
            run: self.around.run.to_string(),
            user: person(self.around.root, &|name| self.caller(name)),
            host: self.around.host.to_owned(),
        };
        let copy = draft.finish(self.around.clock, meta, |data| match &self.snapshot.verify {
            Some(verify) => self.carry(&verify.value, data).map(|()| true),
            None => Ok(false),
        })?;
        let untidy =
            self.prune(&archive).err().map(|reason| format!("old copies were not removed: {reason}"));
        Ok((copy, untidy))
    }

    /// Begins a copy. Where another envrun is saving the same, that is waited for: a deploy that saves its data does not fail
    /// because the nightly copy is made just then.
    fn draft(&self, archive: &Archive) -> Result<Draft, Unsaved> {
        let mut is_told = false;
        loop {
            let busy = match archive.draft() {
                Err(busy @ SnapshotError::Busy { .. }) => busy,
                other => return Ok(other?),
            };
            let scene = self
                .around
                .scene(self.node)
                .map_err(|diagnostic| Unsaved::Failed(Failure::Io { reason: diagnostic.message.clone() }))?;
            let mut carry = Carry::new(self.around, self.node, &scene, self.ix);
            (self.prepare)(&mut carry);
            if !is_told {
                carry.say(&format!("{busy}, which is waited for\n"));
                is_told = true;
            }
            if !carry.pause(BETWEEN) {
                return Err(Unsaved::Cancelled);
            }
        }
    }

    /// Saves the data into a folder of the caller's, which does not become a copy.
    fn take(&self, data: &Path) -> Result<(), Unsaved> {
        let save = self.snapshot.save.as_ref().ok_or_else(|| self.missing("save", "saved"))?;
        self.carry(&save.value, data)?;
        match contents(data, false) {
            Ok(found) if found.files == 0 => return Err(SnapshotError::Empty(self.node.label.clone()).into()),
            Ok(_) => {}
            Err(error) => return Err(SnapshotError::from(error).into()),
        }
        self.snapshot.verify.as_ref().map_or(Ok(()), |verify| self.carry(&verify.value, data))
    }

    /// Brings the data of a copy into a folder of the caller's, after every byte of it was read. Says which copy it is.
    fn fetch(&self, at: &str, within: Option<Duration>, data: &Path) -> Result<String, Unsaved> {
        let archive = self.archive();
        let copy = archive.find(at, &TimeZone::system()).map_err(|error| match error.hint() {
            Some(hint) => Unsaved::Failed(Failure::Io { reason: format!("{error}: {hint}") }),
            None => error.into(),
        })?;
        let (name, age) = (&self.node.label, self.around.clock.now().since(copy.time));
        if let Some(within) = within.filter(|within| age > *within) {
            let (age, within) = (show_duration(age), show_duration(within));
            let reason = format!(
                "copy {} of `{name}` is of {}, {age} ago, and may be no older than {within}: is nothing saved any more?",
                copy.number,
                copy.moment()
            );
            return Err(Unsaved::Failed(Failure::Io { reason }));
        }
        archive.check(&copy)?;
        clone_tree(&archive.data(copy.number), data).map_err(SnapshotError::from)?;
        let (summary, moment, age) = (copy.summary(), copy.moment(), show_duration(age));
        Ok(format!("`{name}` is taken from {summary}; of {moment}, {age} ago\n"))
    }

    fn missing(&self, word: &str, done: &str) -> Unsaved {
        let reason = format!("`{}` does not say how it is {done}: it has no `{word}`", self.node.label);
        Unsaved::Failed(Failure::Io { reason })
    }

    /// Puts data back: those in the folder `data`.
    pub fn put_back(&self, data: &Path) -> Result<(), Unsaved> {
        let restore = self.snapshot.restore.as_ref().ok_or_else(|| self.missing("restore", "put back"))?;
        self.carry(&restore.value, data)
    }

    /// Puts back what was there before something that was `unsaved` replaced a part of it; how that comes out.
    fn put_again(&self, copy: &Copy, unsaved: Unsaved, say: &dyn Fn(&str)) -> Unsaved {
        let label = &self.node.label;
        let (archive, number) = (self.archive(), copy.number);
        let why = match archive
            .check(copy)
            .map_err(Unsaved::from)
            .and_then(|()| self.put_back(&archive.data(number)))
        {
            Ok(()) => {
                say(&format!("`{label}` has again what it had: {}\n", copy.summary()));
                return unsaved;
            }
            Err(Unsaved::Failed(failure)) => crate::report::failure_words(&failure),
            Err(Unsaved::Cancelled) => "it was interrupted".to_owned(),
        };
        let reason = match &unsaved {
            Unsaved::Failed(failure) => crate::report::failure_words(failure),
            Unsaved::Cancelled => "it was interrupted".to_owned(),
        };
        Unsaved::Failed(Failure::Broken {
            reason,
            back: format!("what `{label}` had was not put back either: {why}; it is kept as copy {number}"),
            logs: Vec::new(),
            way_out: Some(format!("`envrun restore {label} --at {number}` puts back what was there before")),
        })
    }

    /// Where its copies are.
    pub fn archive(&self) -> Archive {
        archive(self.around.root, self.node)
    }

    fn prune(&self, archive: &Archive) -> Result<(), String> {
        let Some(keep) = self.snapshot.keep else { return Ok(()) };
        let env = self.node.env.as_ref().map_or("", |env| env.as_str());
        let history = ledger::history(self.around.root, env).map_err(|error| error.to_string())?;
        let pinned = pins(&history, &self.node.label).into_keys().collect();
        match archive.prune(keep, &pinned, &TimeZone::system()) {
            // Whoever saves next tidies up when he is done.
            Ok(_) | Err(SnapshotError::Busy { .. }) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Runs one command with `data` as its `$SNAPSHOT`.
    fn carry(&self, command: &Command, data: &Path) -> Result<(), Unsaved> {
        let text = text(data)?;
        let mut node = self.node.clone();
        node.given.push(("SNAPSHOT".into(), text.to_owned()));
        let failed = |reason: &str| Unsaved::Failed(Failure::Io { reason: reason.to_owned() });
        let scene = self.around.scene(&node).map_err(|diagnostic| failed(&diagnostic.message))?;
        let mut carry = Carry::new(self.around, &node, &scene, self.ix);
        (self.prepare)(&mut carry);
        Unsaved::new(carry.one(command))
    }

    fn caller(&self, name: &str) -> Option<String> {
        self.around.caller.get(std::ffi::OsStr::new(name))?.to_str().map(str::to_owned)
    }
}

/// Which data of another environment are loaded.
pub(super) enum Source {
    /// Those that it has now.
    Now,
    /// Those of a copy that was saved earlier.
    Stored {
        /// Which: `latest`, a number, a moment.
        at: String,
        /// How old it may be.
        within: Option<Duration>,
    },
}

/// A `load` action, as it is shown.
pub(super) fn shown(load: &Load, values: Option<&TaskValues>) -> String {
    let mut load = load.clone();
    if let (Some(at), Some(values)) = (&mut load.at, values)
        && let Ok(filled) = values.interpolate(&at.value, Form::Text, at.span)
    {
        at.value = filled;
    }
    load.display()
}

/// Loads another environment's data into this one. Nothing here is touched before the private copy is proved and rewritten.
pub(super) fn load(
    around: &Surroundings<'_>,
    (loaded, source): (&Loaded, &Source),
    ix: NodeIx,
    prepare: &dyn Fn(&mut Carry<'_>),
    say: &dyn Fn(&str),
) -> Result<(), Unsaved> {
    fn saver<'a, 'c>(
        around: &'a Surroundings<'a>,
        node: &'a ConfiguredTask,
        prepare: &'c dyn Fn(&mut Carry<'_>),
        ix: NodeIx,
    ) -> Saver<'a, 'c> {
        let snapshot = definition(node).expect("the graph took only snapshots for the ends of a load");
        Saver { around, node, snapshot, prepare, ix }
    }
    let (from, to) = (saver(around, &loaded.from, prepare, ix), saver(around, &loaded.to, prepare, ix));
    if to.snapshot.restore.is_none() {
        return Err(to.missing("restore", "put back"));
    }
    let private = Private::new(around, &format!("{}-{}", around.run, ix.0))?;
    match source {
        Source::Now => from.take(&private.data)?,
        Source::Stored { at, within } => say(&from.fetch(at, *within, &private.data)?),
    }
    if let Some(through) = &loaded.through {
        let mut node = through.clone();
        node.given.push(("SNAPSHOT".into(), text(&private.data)?.to_owned()));
        let failed = |reason: &str| Unsaved::Failed(Failure::Io { reason: reason.to_owned() });
        let scene = around.scene(&node).map_err(|diagnostic| failed(&diagnostic.message))?;
        let mut carry = Carry::new(around, &node, &scene, ix);
        for condition in around.when(&node) {
            let verdict = around.ask(condition, &scene, &|command| carry.probe(command));
            if let Verdict::Fails(reason) | Verdict::NoRepository(reason) = verdict {
                return Err(failed(&format!("`{}` would be skipped: {reason}", node.label)));
            }
        }
        prepare(&mut carry);
        Unsaved::new(carry.run())?;
        say(&format!("the copy of `{}` went through `{}`\n", loaded.from.label, node.label));
    }
    let why = format!("before `{}` was loaded", loaded.from.label);
    // Without a word on how to save it and without a guard, it is there to be written over: a scratch database.
    if to.snapshot.save.is_none() && !is_guarded(around, &loaded.to) {
        return to.put_back(&private.data);
    }
    let kept = match to.save(&why) {
        Ok((copy, _)) => {
            say(&format!("what `{}` had is {}\n", loaded.to.label, copy.summary()));
            Some(copy)
        }
        Err(Unsaved::Failed(_)) if !is_guarded(around, &loaded.to) => {
            say(&format!(
                "what `{}` had could not be saved; nothing guards `{}`, so it is replaced all the same\n",
                loaded.to.label,
                environment(&loaded.to)
            ));
            None
        }
        Err(unsaved) => return Err(unsaved),
    };
    match (to.put_back(&private.data), kept) {
        (Err(unsaved), Some(copy)) => {
            // What failed half way, or was stopped there, is neither the one nor the other.
            let around = Surroundings { cleanup: true, ..*around };
            Err(saver(&around, &loaded.to, prepare, ix).put_again(&copy, unsaved, say))
        }
        (put_back, _) => put_back,
    }
}

fn environment(node: &ConfiguredTask) -> &str {
    node.env.as_ref().map_or("", |env| env.as_str())
}

/// Whether the environment of a node says under which conditions it may be changed.
fn is_guarded(around: &Surroundings<'_>, node: &ConfiguredTask) -> bool {
    scope_conditions(around.envfile, node, |scope| &scope.guard).next().is_some()
}

fn text(path: &Path) -> Result<&str, Unsaved> {
    path.to_str().ok_or_else(|| {
        let reason = format!("`{}` is not UTF-8, and $SNAPSHOT must be", path.display());
        Unsaved::Failed(Failure::Io { reason })
    })
}

/// A folder for data that must not stay: gone when this is.
struct Private<'a> {
    folder: PathBuf,
    data: PathBuf,
    /// Has it removed if envrun is killed.
    _fleeting: Option<Fleeting<'a>>,
    /// Says that it is in use.
    _lock: File,
}

impl<'a> Private<'a> {
    fn new(around: &Surroundings<'a>, name: &str) -> Result<Self, SnapshotError> {
        let loads = around.root.join(STATE_DIR).join("tmp/load");
        let folder = loads.join(name);
        let data = folder.join("data");
        create_private(&loads)?;
        // Nobody sweeps a folder away between its making and its lock.
        let _all = locked(&loads.join("lock"))?;
        sweep(&loads);
        let fleeting = around.processes.fleeting(&folder);
        create_private(&data)?;
        let lock = locked(&folder.join("lock"))?;
        Ok(Self { folder, data, _fleeting: fleeting, _lock: lock })
    }
}

impl Drop for Private<'_> {
    fn drop(&mut self) {
        // Who loads next sweeps what is left.
        let _ = remove_folder(&self.folder);
    }
}

fn locked(path: &Path) -> Result<File, FsError> {
    let file = File::create(path).and_then(|file| file.lock().map(|()| file));
    file.map_err(|error| FsError::new("lock", path, error))
}

/// Removes what killed loads left of other environments' data, unless somebody begins one right now.
pub fn sweep_loads(root: &Path) {
    let loads = root.join(STATE_DIR).join("tmp/load");
    if let Ok(all) = File::open(loads.join("lock"))
        && all.try_lock().is_ok()
    {
        sweep(&loads);
    }
}

/// Removes what killed loads left of other environments' data.
fn sweep(loads: &Path) {
    for entry in std::fs::read_dir(loads).into_iter().flatten().flatten() {
        let is_free = File::open(entry.path().join("lock")).is_ok_and(|lock| lock.try_lock().is_ok());
        if is_free {
            let _ = remove_folder(&entry.path());
        }
    }
}

/// Where the copies of a snapshot node are.
pub fn archive(root: &Path, node: &ConfiguredTask) -> Archive {
    let env = node.env.as_ref().map(|env| env.as_str());
    Archive::of(root, env, &node.path.to_string(), &node.label)
}

/// The definition of a snapshot node; `None` for another kind.
pub fn definition(node: &ConfiguredTask) -> Option<&Snapshot> {
    match node.special.as_ref()? {
        Node::Snapshot(snapshot) => Some(snapshot),
        _ => None,
    }
}

/// The copies of a node that are not let go, each with the releases that point to it: what was saved before a release whose
/// bytes are kept, what the last restore replaced, and whatever a release that is under way is to put back.
pub fn pins(history: &History, label: &str) -> BTreeMap<u64, Vec<u64>> {
    let mut pins: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    let is_restore = |release: &&Release| {
        let node = label.split_once('.').map(|(_, node)| node);
        release.began.kind == Kind::Restore && node == Some(&release.began.node)
    };
    let replaced = |release: &&Release| is_restore(release) && !release.snapshots.is_empty();
    let newest = history.releases().iter().filter(replaced).map(Release::id).max();
    for release in history.releases() {
        let (id, is_open) = (release.id(), release.end.is_none());
        let keeps = match release.began.kind {
            Kind::Restore => is_open || Some(id) == newest,
            Kind::Deploy | Kind::Rollback => !release.pruned,
        };
        let saved = release.snapshots.iter().filter(|_| keeps);
        let wanted = release.began.data.iter().filter(|_| is_open);
        let named = saved.chain(wanted).filter(|saved| saved.snapshot == label);
        let numbers = named.filter_map(|saved| saved.id.parse().ok());
        let restored = release.began.of.filter(|_| is_open && is_restore(&release));
        for number in numbers.chain(restored) {
            pins.entry(number).or_default().push(id);
        }
    }
    pins
}
