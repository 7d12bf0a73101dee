//! Two checkouts that share a cache, and the law that every run is held to.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::step::{
    Damage, Edit, Force, Run, Tamper, clear, set_exec, set_time, tree_at, try_place, write_out,
};
use super::world::{Around, Kind, Made, Node, Project, label};

/// What a machine says of a finished run.
#[derive(Debug, Default, Clone)]
pub struct Told {
    pub exit: i32,
    /// Tasks that were executed, each as often as it was.
    pub executed: Vec<usize>,
    /// Those whose results were kept in the cache.
    pub stored: BTreeSet<usize>,
    /// Those that were restored.
    pub restored: BTreeSet<usize>,
    /// All that it printed, for the message of a failing test.
    pub text: String,
}

/// One checkout.
pub struct Side {
    pub root: PathBuf,
    pub project: Project,
    /// The keys of the last good runs that are surely recorded.
    last: BTreeMap<usize, String>,
}

/// What the model knows of everything.
pub struct Lab {
    pub sides: [Side; 2],
    pub cache: PathBuf,
    pub caller: Option<u8>,
    /// Keys whose results are surely in the cache.
    known: HashSet<String>,
    /// What was done, for the message of a failing test.
    pub told: Vec<String>,
}

/// What is to be expected of a run, worked out before it begins.
pub struct Expected {
    targets: Vec<usize>,
    closure: BTreeSet<usize>,
    made: Vec<Made>,
    /// Tasks that must not be executed.
    kept: BTreeSet<usize>,
}

impl Lab {
    pub fn new(dir: &Path, project: &Project) -> Self {
        let side = |name: &str| {
            let root = dir.join(name);
            write_out(project, &root);
            Side { root, project: project.clone(), last: BTreeMap::new() }
        };
        Self {
            sides: [side("one"), side("two")],
            cache: dir.join("cache"),
            caller: None,
            known: HashSet::new(),
            told: Vec::new(),
        }
    }

    pub fn side(&mut self, at: u8) -> &mut Side {
        &mut self.sides[at as usize % 2]
    }

    pub fn around(&self, run: &Run) -> Around {
        Around { caller: self.caller, env: run.env }
    }

    /// The tasks that a run names.
    pub fn targets(&self, run: &Run) -> Vec<usize> {
        let count = self.sides[run.side as usize % 2].project.tasks.len();
        let named: Vec<usize> = (0..count).filter(|at| run.targets & (1 << at) != 0).collect();
        if named.is_empty() { (0..count).collect() } else { named }
    }

    /// What a run that begins now has to come to.
    pub fn expected(&self, run: &Run) -> Expected {
        let side = &self.sides[run.side as usize % 2];
        let targets = self.targets(run);
        let closure = side.project.closure(&targets);
        let made = side.project.interpret(self.around(run));
        let stood_for = side.project.stood_for(&targets);
        let forced = |at: &usize| match run.force {
            Force::No => false,
            Force::Named => stood_for.contains(at),
            Force::All => true,
        };
        let kept = closure
            .iter()
            .filter(|at| {
                let task = &side.project.tasks[**at];
                let made = &made[**at];
                let in_place = || tree_at(&side.root, &format!("out/{}", label(**at))) == made.tree;
                task.kind.is_kept()
                    && task.cached
                    && made.good == Some(true)
                    && !forced(at)
                    && (self.known.contains(&made.key)
                        || side.last.get(*at) == Some(&made.key) && (!task.kind.has_outputs() || in_place()))
            })
            .copied()
            .collect();
        Expected { targets, closure, made, kept }
    }

    /// Whether one of two runs in one checkout may make outputs again that are right already.
    pub fn rewrites(&self, one: &Run, other: &Run) -> bool {
        let project = &self.sides[one.side as usize % 2].project;
        let shared = &project.closure(&self.targets(one)) & &project.closure(&self.targets(other));
        let forced = one.force != Force::No || other.force != Force::No;
        let differ = self.around(one).prefix() != self.around(other).prefix();
        shared.iter().any(|at| {
            let task = &project.tasks[*at];
            task.kind.has_outputs() && (forced || !task.cached || differ && project.is_bound(*at))
        })
    }

    /// Holds a run that came to its end to what was expected of it, and learns from it.
    pub fn judge(&mut self, run: &Run, expected: &Expected, told: &Told) {
        self.check(run, expected, told);
        let side = &mut self.sides[run.side as usize % 2];
        for at in &expected.closure {
            let task = &side.project.tasks[*at];
            let made = &expected.made[*at];
            if made.good != Some(true) || !task.kind.is_kept() || !task.cached {
                continue;
            }
            side.last.insert(*at, made.key.clone());
            if told.stored.contains(at) || told.restored.contains(at) {
                self.known.insert(made.key.clone());
            }
        }
    }

    fn check(&self, run: &Run, expected: &Expected, told: &Told) {
        let side = &self.sides[run.side as usize % 2];
        let text = || format!("{run:?} of {:?}\n{}", expected.targets, self.told.join("\n"));
        let all_good = expected.closure.iter().all(|at| expected.made[*at].good == Some(true));
        assert_eq!(told.exit, i32::from(!all_good), "the exit status of {}", text());
        for at in &expected.closure {
            let made = &expected.made[*at];
            if made.good != Some(true) || !side.project.tasks[*at].kind.has_outputs() {
                continue;
            }
            let found = tree_at(&side.root, &format!("out/{}", label(*at)));
            assert_eq!(found, made.tree, "the outputs of {} after {}", label(*at), text());
        }
        for at in &told.executed {
            assert!(!expected.kept.contains(at), "{} was executed by {}", label(*at), text());
            let failed = expected.made[*at].good == Some(false);
            assert!(
                told.executed.iter().filter(|other| *other == at).count() == 1 || failed,
                "{} was executed twice by {}",
                label(*at),
                text()
            );
        }
        for at in &told.executed {
            let task = &side.project.tasks[*at];
            let kept = task.kind.is_kept() && task.cached && expected.made[*at].good == Some(true);
            assert!(!kept || told.stored.contains(at), "{} was not stored by {}", label(*at), text());
        }
    }

    /// A run that did not come to its end, or in whose course something changed: what is surely known after it.
    pub fn doubt(&mut self, run: &Run, before: &Expected) {
        let now = self.expected(run);
        let side = &mut self.sides[run.side as usize % 2];
        for at in before.closure.union(&now.closure) {
            let key = |expected: &Expected| expected.made.get(*at).map(|made| made.key.clone());
            let last = side.last.get(at).cloned();
            if last.is_none() || last != key(before) || last != key(&now) {
                side.last.remove(at);
            }
        }
    }

    /// Makes an edit.
    pub fn edit(&mut self, at: u8, edit: &Edit) {
        if let Edit::Tamper { task, pick, how } = edit {
            self.tamper(at, *task, *pick, *how);
            return;
        }
        let side = self.side(at);
        let root = side.root.clone();
        edit.apply(&mut side.project, &root);
    }

    /// Changes something that a run left in place.
    fn tamper(&mut self, at: u8, task: u8, pick: u8, how: Tamper) {
        let side = self.side(at);
        let task = task as usize % side.project.tasks.len();
        let found: Vec<(String, Node)> =
            tree_at(&side.root, &format!("out/{}", label(task))).into_iter().collect();
        if found.is_empty() {
            return;
        }
        let (path, node) = &found[pick as usize % found.len()];
        let place_of = side.root.join(path);
        let in_folder = side.project.tasks[task].kind == Kind::Folder;
        // What a person puts into a folder of outputs is his, and stays: see `cache.rs` for that.
        if how == Tamper::Delete || in_folder {
            clear(&place_of);
            return;
        }
        // A run may be at work on the same file: then it is the quicker who counts.
        let _ = match (how, node) {
            (Tamper::Write, _) => {
                try_place(&place_of, &Node::File { text: "tampered\n".to_owned(), exec: false })
            }
            (Tamper::Sneak, Node::File { text, .. }) => {
                let time = fs::symlink_metadata(&place_of).and_then(|meta| meta.modified()).ok();
                fs::write(&place_of, "#".repeat(text.len())).map(|()| set_time(&place_of, time))
            }
            (Tamper::Exec, Node::File { exec, .. }) => set_exec(&place_of, !exec),
            (Tamper::Link, _) => try_place(&place_of, &Node::Link("../src/a/0.x".to_owned())),
            (Tamper::Folder, _) => try_place(&place_of, &Node::Dir),
            _ => Ok(()),
        };
    }

    /// Whatever is in the place of a task's outputs when its command ends, the command made: nobody can tell that somebody
    /// else had a hand in it meanwhile. So what may be kept of that is taken away.
    pub fn pardon(&mut self, at: u8, edit: &Edit, told: &Told) {
        let Edit::Tamper { task, .. } = edit else { return };
        let task = *task as usize % self.side(at).project.tasks.len();
        if told.executed.contains(&task) {
            self.wipe_cache();
            self.fresh(at);
        }
    }

    pub fn wipe_cache(&mut self) {
        clear(&self.cache);
        self.known.clear();
    }

    /// Everything of a checkout that is not a source goes.
    pub fn fresh(&mut self, at: u8) {
        let side = self.side(at);
        clear(&side.root.join(".envrun"));
        clear(&side.root.join("out"));
        side.last.clear();
    }

    pub fn damage_cache(&mut self, file: u16, at: u16, how: Damage) {
        damage(&self.cache, file, at, how);
        self.known.clear();
    }

    pub fn damage_state(&mut self, side: u8, file: u16, at: u16, how: Damage) {
        let side = self.side(side);
        damage(&side.root.join(".envrun"), file, at, how);
        side.last.clear();
        // Nobody can say any more whose these are.
        for (at, task) in side.project.tasks.iter().enumerate() {
            if task.kind == Kind::Folder {
                clear(&side.root.join(format!("out/{}", label(at))));
            }
        }
    }
}

fn files(folder: &Path, into: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = fs::read_dir(folder).into_iter().flatten().flatten().collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => files(&entry.path(), into),
            Ok(kind) if kind.is_file() => into.push(entry.path()),
            _ => {}
        }
    }
}

/// Damages a file below a folder.
pub fn damage(folder: &Path, file: u16, at: u16, how: Damage) {
    let mut all = Vec::new();
    files(folder, &mut all);
    if all.is_empty() {
        return;
    }
    let path = &all[file as usize % all.len()];
    let mut bytes = fs::read(path).unwrap();
    let place = if bytes.is_empty() { 0 } else { at as usize % bytes.len() };
    match how {
        Damage::Flip(_) | Damage::Zero if bytes.is_empty() => bytes.push(1),
        Damage::Flip(bit) => bytes[place] ^= 1 << (bit % 8),
        Damage::Zero => bytes[place..].fill(0),
        Damage::Cut => bytes.truncate(place),
        Damage::Swap => bytes = fs::read(&all[(file as usize + 1 + at as usize) % all.len()]).unwrap(),
    }
    fs::write(path, bytes).unwrap();
}
