//! The checkout that these tests work in, and one task's life in it as the engine leads it.

mod discovered;
mod forged;
mod input;
mod kept;
mod laws;
mod life;
mod model;
mod moment;
mod output;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use expect_test::Expect;

use super::*;
use crate::base::{Digest, RelPath, Timestamp};
use crate::cache::{ActionResult, Limits, LocalStore};
use crate::model::Command;

/// A checkout and a cache; every run is a process of its own.
struct Checkout {
    root: PathBuf,
    store: PathBuf,
    _dir: tempfile::TempDir,
}

impl Checkout {
    fn new(files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let checkout = Self { root: dir.path().join("project"), store: dir.path().join("cache"), _dir: dir };
        fs::create_dir_all(&checkout.root).unwrap();
        for (path, text) in files {
            checkout.write(path, text);
        }
        checkout
    }

    /// Another checkout that shares the cache.
    fn sibling(&self, name: &str, files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let checkout = Self { root: dir.path().join(name), store: self.store.clone(), _dir: dir };
        fs::create_dir_all(&checkout.root).unwrap();
        for (path, text) in files {
            checkout.write(path, text);
        }
        checkout
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_else(|error| error.kind().to_string())
    }

    fn workspace(&self) -> Workspace {
        Workspace::open(&self.root, &self.root.join(".envrun/state"), SecretKey([7; 32])).unwrap()
    }

    fn store(&self) -> LocalStore {
        LocalStore::open(&self.store, Limits::default())
    }

    fn run(&self, task: &Definition, command: impl FnOnce(&Path)) -> String {
        self.run_with(task, &[], command).0
    }

    /// One task's life, as the engine leads it: what happened, and the digest for those who need it.
    fn run_with(
        &self,
        task: &Definition,
        needs: &[Need],
        command: impl FnOnce(&Path),
    ) -> (String, Option<Digest>) {
        let workspace = self.workspace();
        let store = self.store();
        let said = live(&workspace, &store, task, needs, command);
        workspace.save().unwrap();
        said
    }

    fn check(&self, task: &Definition, command: impl FnOnce(&Path), expected: Expect) {
        expected.assert_eq(&self.run(task, command));
    }
}

fn live(
    workspace: &Workspace,
    store: &LocalStore,
    task: &Definition,
    needs: &[Need],
    command: impl FnOnce(&Path),
) -> (String, Option<Digest>) {
    let task = match workspace.prepare(task) {
        Ok(task) => task,
        Err(error) => return (format!("error: {error}"), None),
    };
    let (fingerprint, reasons) = match workspace.check(&task, needs) {
        Ok(Freshness::UpToDate { outputs }) => return ("up to date".to_owned(), Some(outputs)),
        Ok(Freshness::Stale { fingerprint, reasons }) => (fingerprint, reasons),
        Err(error) => return (format!("error: {error}"), None),
    };
    assert!(!reasons.is_empty());
    let because = reasons.iter().map(Difference::words).collect::<Vec<_>>().join(", ");
    let mut said = String::new();
    match workspace.lookup(store, &task, &fingerprint) {
        Lookup::Hit(hit) => match workspace.restore(store, &task, &fingerprint, &hit) {
            Ok(outputs) => return (format!("restored because {because}"), Some(outputs)),
            Err(error) => said = format!(" [{error}]"),
        },
        Lookup::Miss { warning: Some(warning) } => said = format!(" [{warning}]"),
        Lookup::Miss { warning: None } => {}
    }
    let aside = workspace.set_aside(&task);
    command(workspace.root());
    let finished = match workspace.finish(&task, fingerprint) {
        Ok(finished) => finished,
        Err(error) => {
            aside.put_back();
            return (format!("failed: {error}"), None);
        }
    };
    drop(aside);
    let result = ActionResult {
        outputs: finished.outputs,
        log: b"a log\n".to_vec(),
        took: Duration::from_millis(5),
        made: Timestamp(1),
        run: "r1".to_owned(),
        discovered: finished.discovered,
    };
    if !finished.moved.is_empty() {
        let moved: Vec<String> = finished
            .moved
            .iter()
            .map(|moved| format!("{}{}", moved.path, if moved.own { " (own)" } else { "" }))
            .collect();
        return (format!("executed, but {} moved", moved.join(", ")), Some(result.outputs_digest()));
    }
    if let Err(warning) = workspace.store(store, &finished.fingerprint, &result) {
        said.push_str(&format!(" [{warning}]"));
    }
    workspace.commit(&task, &finished.fingerprint, &result);
    (format!("executed because {because}{said}"), Some(result.outputs_digest()))
}

fn task(inputs: &[&str], outputs: &[&str]) -> Definition {
    let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
    Definition {
        label: "build".to_owned(),
        commands: vec![Command::Shell("make it".to_owned())],
        inputs: texts(inputs),
        outputs: texts(outputs),
        ..Definition::default()
    }
}

/// Puts all `.c` files of `src` one after the other into `out`.
fn cat(root: &Path) {
    let mut names: Vec<_> =
        fs::read_dir(root.join("src")).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    let text: String = names
        .iter()
        .filter(|path| path.extension().is_some_and(|ext| ext == "c"))
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    fs::write(root.join("out"), text).unwrap();
}

fn never(_: &Path) {
    panic!("it should not run");
}
