//! Random edits, damage, crashes and runs over real files, held against what a fresh checkout would have.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use proptest::prelude::*;

use super::super::*;
use crate::base::Timestamp;
use crate::cache::{ActionResult, Limits, LocalStore};
use crate::model::Command;

/// The files that are edited, and what may be in them: few of both, so that states come back.
const SOURCES: [&str; 4] = ["src/a", "src/b", "src/sub/c", "src/sub/d"];
const TEXTS: [&str; 3] = ["one", "two", "six"];

#[derive(Debug, Clone)]
enum Step {
    Write(usize, usize),
    /// Writes, and sets the time that the file had before.
    WriteQuietly(usize, usize),
    Delete(usize),
    Chmod(usize, bool),
    Rename(usize, usize),
    Link(usize, usize),
    Variable(bool),
    Command(bool),
    /// Damages something in the outputs.
    Tamper(usize, u8),
    /// Throws the state or the cache away, or damages it.
    Forget(u8),
    Run {
        /// The process ends after so many of its steps.
        crash: Option<u8>,
        /// An edit while the first task runs: which file, what, and before or after it was read.
        edit: Option<(usize, usize, bool)>,
        /// In the other checkout, which shares the cache.
        elsewhere: bool,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let (file, text) = (0..SOURCES.len(), 0..TEXTS.len());
    prop_oneof![
        4 => (file.clone(), text.clone()).prop_map(|(file, text)| Step::Write(file, text)),
        2 => (file.clone(), text.clone()).prop_map(|(file, text)| Step::WriteQuietly(file, text)),
        2 => file.clone().prop_map(Step::Delete),
        1 => (file.clone(), any::<bool>()).prop_map(|(file, x)| Step::Chmod(file, x)),
        1 => (file.clone(), file.clone()).prop_map(|(from, to)| Step::Rename(from, to)),
        1 => (file.clone(), file.clone()).prop_map(|(at, to)| Step::Link(at, to)),
        1 => any::<bool>().prop_map(Step::Variable),
        1 => any::<bool>().prop_map(Step::Command),
        3 => (0..4usize, 0..5u8).prop_map(|(which, how)| Step::Tamper(which, how)),
        1 => (0..4u8).prop_map(Step::Forget),
        8 => (
            proptest::option::weighted(0.3, 0..12u8),
            proptest::option::weighted(0.3, (file, text, any::<bool>())),
            proptest::bool::weighted(0.2),
        )
            .prop_map(|(crash, edit, elsewhere)| Step::Run { crash, edit, elsewhere }),
    ]
}

/// What the commands read, as a fresh look finds it: the content that a link leads to, and the executable bit.
fn sources(root: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for path in SOURCES {
        let whole = root.join(path);
        if let Ok(text) = fs::read_to_string(&whole) {
            let x = fs::metadata(&whole).unwrap().permissions().mode() & 0o100 != 0;
            let link = fs::read_link(&whole).map(|to| to.display().to_string()).unwrap_or_default();
            found.insert(path.to_owned(), format!("{text}{}{link}", if x { "*" } else { "" }));
        } else if let Ok(to) = fs::read_link(&whole) {
            found.insert(path.to_owned(), format!("dangling {}", to.display()));
        }
    }
    found
}

/// One file per source in `parts`, and `index`: the outputs of the first task.
fn parts_of(sources: &BTreeMap<String, String>, flag: bool, upper: bool) -> BTreeMap<String, String> {
    let mut made = BTreeMap::new();
    for (path, text) in sources {
        let text = if upper { text.to_uppercase() } else { text.clone() };
        made.insert(format!("parts/{}", path.replace('/', "-")), text);
    }
    made.insert("index".to_owned(), format!("{} {flag}", sources.len()));
    made
}

/// The output of the second task: it reads `parts` alone.
fn whole_of(parts: &BTreeMap<String, String>) -> String {
    parts
        .iter()
        .filter(|(path, _)| path.starts_with("parts/"))
        .map(|(path, text)| format!("{path}={text}\n"))
        .collect()
}

/// The files in `parts`; one that can be executed says so.
fn parts_in(root: &Path) -> BTreeMap<String, String> {
    let mut parts = BTreeMap::new();
    for entry in fs::read_dir(root.join("parts")).into_iter().flatten().flatten() {
        let x = if entry.metadata().unwrap().permissions().mode() & 0o100 != 0 { "*" } else { "" };
        let name = format!("parts/{}{x}", entry.file_name().to_str().unwrap());
        parts.insert(name, fs::read_to_string(entry.path()).unwrap());
    }
    parts
}

struct World {
    dir: tempfile::TempDir,
    flag: bool,
    upper: bool,
    /// Input states for which a good result must be in the cache, per task.
    kept: [BTreeSet<String>; 2],
}

/// What a simulated process died of.
struct Crash;

impl World {
    fn root(&self, elsewhere: bool) -> PathBuf {
        self.dir.path().join(if elsewhere { "there" } else { "here" })
    }

    fn definitions(&self) -> [Definition; 2] {
        let task = |label: &str, inputs: &[&str], outputs: &[&str]| Definition {
            label: label.to_owned(),
            inputs: inputs.iter().map(|text| (*text).to_owned()).collect(),
            outputs: outputs.iter().map(|text| (*text).to_owned()).collect(),
            ..Definition::default()
        };
        let mut first = task("parts", &["src/**"], &["parts", "index"]);
        first.commands = vec![Command::Shell(format!("upper {}", self.upper))];
        first.variables = vec![Variable {
            name: "FLAG".to_owned(),
            value: self.flag.then(|| b"set".to_vec()),
            secret: false,
        }];
        [first, task("whole", &["parts/*"], &["whole"])]
    }

    fn apply(&mut self, step: &Step) {
        let path = |at: usize| self.root(false).join(SOURCES[at]);
        let mtime = |path: &Path| fs::symlink_metadata(path).and_then(|meta| meta.modified()).ok();
        match step {
            Step::Write(at, text) | Step::WriteQuietly(at, text) => {
                let path = path(*at);
                let time = mtime(&path);
                // Not through a link: that would be an edit of another file.
                if path.is_symlink() {
                    fs::remove_file(&path).unwrap();
                }
                fs::write(&path, TEXTS[*text]).unwrap();
                if let (Step::WriteQuietly(..), Some(time)) = (step, time) {
                    fs::File::options().append(true).open(&path).unwrap().set_modified(time).unwrap();
                }
            }
            Step::Delete(at) => {
                let _ = fs::remove_file(path(*at));
            }
            Step::Chmod(at, x) => {
                if fs::metadata(path(*at)).is_ok() {
                    fs::set_permissions(
                        path(*at),
                        fs::Permissions::from_mode(if *x { 0o755 } else { 0o644 }),
                    )
                    .unwrap();
                }
            }
            Step::Rename(from, to) => {
                let _ = fs::rename(path(*from), path(*to));
            }
            Step::Link(at, to) if at != to && !path(*to).is_symlink() => {
                let _ = fs::remove_file(path(*at));
                symlink(
                    path(*to)
                        .strip_prefix(self.root(false))
                        .map(|to| Path::new(if at < &2 { "../" } else { "../../" }).join(to))
                        .unwrap(),
                    path(*at),
                )
                .unwrap();
            }
            Step::Link(..) => {}
            Step::Variable(set) => self.flag = *set,
            Step::Command(upper) => self.upper = *upper,
            Step::Tamper(which, how) => {
                let names = ["index", "whole", "parts/src-a", "parts/src-sub-c"];
                let path = self.root(false).join(names[*which]);
                let there = fs::symlink_metadata(&path).is_ok();
                match how {
                    0 if there => fs::write(&path, "xxx").unwrap(),
                    1 => {
                        let _ = fs::remove_file(&path);
                    }
                    2 if there => fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap(),
                    3 => {
                        let _ = fs::remove_dir_all(self.root(false).join("parts"));
                    }
                    4 if there => {
                        // The same length, the same time.
                        let time = mtime(&path).unwrap();
                        let mut text = fs::read(&path).unwrap();
                        if let Some(byte) = text.first_mut() {
                            *byte ^= 1;
                        }
                        fs::write(&path, text).unwrap();
                        fs::File::options().append(true).open(&path).unwrap().set_modified(time).unwrap();
                    }
                    _ => {}
                }
            }
            Step::Forget(what) => self.forget(*what),
            Step::Run { crash, edit, elsewhere } => self.run(*crash, *edit, *elsewhere),
        }
    }

    fn forget(&mut self, what: u8) {
        let state = self.root(false).join(".envrun/state/files");
        if what == 0 || what == 2 {
            // Without state, what lies in the output folders could be anybody's: as in a fresh checkout, nothing does.
            let _ = fs::remove_dir_all(self.root(false).join("parts"));
            for path in ["index", "whole"] {
                let _ = fs::remove_file(self.root(false).join(path));
            }
        }
        match what {
            0 => {
                let _ = fs::remove_file(state);
            }
            1 => {
                let _ = fs::remove_dir_all(self.dir.path().join("cache"));
                self.kept = Default::default();
            }
            2 => {
                if let Ok(bytes) = fs::read(&state) {
                    fs::write(&state, &bytes[..bytes.len() / 2]).unwrap();
                }
            }
            _ => {
                for shard in
                    fs::read_dir(self.dir.path().join("cache/results")).into_iter().flatten().flatten()
                {
                    for entry in fs::read_dir(shard.path()).unwrap().flatten() {
                        let mut bytes = fs::read(entry.path()).unwrap();
                        let middle = bytes.len() / 2;
                        bytes[middle] ^= 1;
                        fs::write(entry.path(), bytes).unwrap();
                    }
                }
                self.kept = Default::default();
            }
        }
    }

    /// One process: both tasks, then the state is saved. Checks what is there afterwards, unless it crashed.
    fn run(&mut self, crash: Option<u8>, edit: Option<(usize, usize, bool)>, elsewhere: bool) {
        let root = self.root(elsewhere);
        if elsewhere {
            let _ = fs::remove_dir_all(root.join("src"));
            copy(&self.root(false).join("src"), &root.join("src"));
        }
        let mut steps_left = crash.unwrap_or(u8::MAX);
        let mut dirty = false;
        let result = self.process(&root, &mut steps_left, edit, &mut dirty);
        if result.is_err() || dirty {
            return;
        }
        // Everything is as a fresh checkout would make it.
        let sources = sources(&root);
        let expected = parts_of(&sources, self.flag, self.upper);
        let mut found = parts_in(&root);
        found.insert("index".to_owned(), fs::read_to_string(root.join("index")).unwrap());
        assert_eq!(found, expected);
        assert_eq!(fs::read_to_string(root.join("whole")).unwrap(), whole_of(&expected));
    }

    fn process(
        &mut self,
        root: &Path,
        steps_left: &mut u8,
        mut edit: Option<(usize, usize, bool)>,
        dirty: &mut bool,
    ) -> Result<(), Crash> {
        let mut breath = || {
            *steps_left = steps_left.checked_sub(1).ok_or(Crash)?;
            Ok(())
        };
        let workspace = Workspace::open(root, &root.join(".envrun/state"), SecretKey([1; 32])).unwrap();
        let store = LocalStore::open(&self.dir.path().join("cache"), Limits::default());
        let mut needs = Vec::new();
        for (at, definition) in self.definitions().iter().enumerate() {
            let task = workspace.prepare(definition).unwrap();
            breath()?;
            let fingerprint = match workspace.check(&task, &needs).unwrap() {
                Freshness::UpToDate { outputs } => {
                    needs = vec![Need { label: definition.label.clone(), outputs }];
                    continue;
                }
                Freshness::Stale { fingerprint, reasons } => {
                    assert!(!reasons.is_empty());
                    fingerprint
                }
            };
            breath()?;
            if let Lookup::Hit(hit) = workspace.lookup(&store, &task, &fingerprint) {
                match workspace.restore(&store, &task, &fingerprint, &hit) {
                    Ok(outputs) => {
                        needs = vec![Need { label: definition.label.clone(), outputs }];
                        breath()?;
                        continue;
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            let state = if at == 0 {
                format!("{:?} {} {}", sources(root), self.flag, self.upper)
            } else {
                // The whole output of the task that it needs is in the key, read or not. Declared by name, `index` keeps
                // an executable bit that somebody gave it.
                let mode = fs::metadata(root.join("index")).unwrap().permissions().mode();
                format!("{:?} {} {mode:o}", parts_in(root), fs::read_to_string(root.join("index")).unwrap())
            };
            assert!(!self.kept[at].contains(&state), "executed again: {state}");
            let aside = workspace.set_aside(&task);
            // A crash in here leaves half of the outputs.
            if breath().is_err() {
                std::mem::forget(aside);
                return Err(Crash);
            }
            let edits = |when: bool| match edit {
                Some((file, text, before)) if before == when => {
                    let path = root.join(SOURCES[file]);
                    if !path.is_symlink() {
                        fs::write(path, TEXTS[text]).unwrap();
                    }
                    true
                }
                _ => false,
            };
            let edited = edits(true);
            let made = parts_of(&sources(root), self.flag, self.upper);
            if at == 0 {
                fs::create_dir_all(root.join("parts")).unwrap();
                for (path, text) in &made {
                    if fs::write(root.join(path), text).is_err() || breath().is_err() {
                        std::mem::forget(aside);
                        return Err(Crash);
                    }
                }
            } else {
                fs::write(root.join("whole"), whole_of(&parts_in(root))).unwrap();
            }
            let edited = edits(false) || edited;
            // What was checked before it is of the old files; the next run puts it right.
            *dirty |= edited;
            edit = None;
            if breath().is_err() {
                std::mem::forget(aside);
                return Err(Crash);
            }
            let finished = workspace.finish(&task, fingerprint).unwrap();
            drop(aside);
            breath()?;
            let result = ActionResult {
                outputs: finished.outputs,
                log: Vec::new(),
                took: Duration::ZERO,
                made: Timestamp(0),
                run: String::new(),
                discovered: Vec::new(),
            };
            needs = vec![Need { label: definition.label.clone(), outputs: result.outputs_digest() }];
            if !finished.moved.is_empty() {
                assert!(edited, "nobody edited {:?}", finished.moved);
                continue;
            }
            workspace.store(&store, &finished.fingerprint, &result).unwrap();
            self.kept[at].insert(state);
            breath()?;
            workspace.commit(&task, &finished.fingerprint, &result);
            breath()?;
        }
        workspace.save().unwrap();
        Ok(())
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            copy(&entry.path(), &target);
        } else if kind.is_symlink() {
            symlink(fs::read_link(entry.path()).unwrap(), target).unwrap();
        } else {
            fs::copy(entry.path(), &target).unwrap();
            fs::File::options()
                .append(true)
                .open(&target)
                .unwrap()
                .set_modified(SystemTime::UNIX_EPOCH)
                .unwrap();
        }
    }
}

fn play(steps: &[Step]) {
    let dir = tempfile::tempdir().unwrap();
    for root in ["here", "there"] {
        for folder in ["src/sub", ".envrun/state"] {
            fs::create_dir_all(dir.path().join(root).join(folder)).unwrap();
        }
    }
    let mut world = World { dir, flag: false, upper: false, kept: Default::default() };
    for step in steps {
        world.apply(step);
    }
    world.run(None, None, false);
    world.run(None, None, true);
}

/// Each case is a dozen processes over real files: 64 of them, or a quarter of `PROPTEST_CASES`.
fn few() -> ProptestConfig {
    let usual = ProptestConfig::default();
    ProptestConfig { cases: usual.cases / 4, max_shrink_iters: 400, ..usual }
}

proptest! {
    #![proptest_config(few())]

    #[test]
    fn outputs_are_those_of_a_fresh_checkout_and_nothing_is_done_twice(steps in proptest::collection::vec(step(), 1..25)) {
        play(&steps);
    }
}

/// What the test above found, each once.
mod found {
    use super::{Step, play};

    const RUN: Step = Step::Run { crash: None, edit: None, elsewhere: false };
    const ELSEWHERE: Step = Step::Run { crash: None, edit: None, elsewhere: true };
    const EXECUTABLE: u8 = 2;
    const INDEX: usize = 0;
    const WHOLE: usize = 1;

    fn crash(after: u8) -> Step {
        Step::Run { crash: Some(after), edit: None, elsewhere: false }
    }

    fn edited(before: bool) -> Step {
        Step::Run { crash: None, edit: Some((0, 0, before)), elsewhere: false }
    }

    #[test]
    fn a_run_whose_input_moved_leaves_nothing_to_be_credited() {
        play(&[Step::Run { crash: None, edit: Some((0, 0, true)), elsewhere: true }]);
        play(&[edited(true), Step::Delete(0)]);
    }

    #[test]
    fn an_output_that_was_made_executable_is_made_anew() {
        play(&[Step::Write(0, 0), RUN, Step::WriteQuietly(0, 1), Step::Tamper(2, EXECUTABLE)]);
        play(&[edited(false), Step::Forget(0), Step::Tamper(INDEX, EXECUTABLE)]);
    }

    #[test]
    fn a_crash_after_the_outputs_and_before_the_result_is_told_of() {
        for after in 0..14 {
            play(&[crash(after), Step::Tamper(WHOLE, EXECUTABLE)]);
            play(&[RUN, Step::Write(1, 0), crash(after), Step::Delete(1), Step::Tamper(INDEX, 4)]);
        }
    }

    #[test]
    fn a_leftover_that_was_edited_is_a_leftover_all_the_same() {
        play(&[Step::Link(2, 0), RUN, Step::Delete(2), Step::Tamper(3, EXECUTABLE), ELSEWHERE]);
    }

    #[test]
    fn a_crash_while_a_result_is_put_in_place_leaves_nothing() {
        let crashed = |after| Step::Run { crash: Some(after), edit: None, elsewhere: true };
        for after in 0..8 {
            play(&[Step::Write(3, 0), RUN, crashed(after), Step::Delete(3)]);
            play(&[ELSEWHERE, crash(after), Step::Write(0, 0), Step::Tamper(INDEX, EXECUTABLE)]);
        }
    }
}
