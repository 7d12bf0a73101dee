mod model;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use expect_test::{Expect, expect};

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

#[test]
fn a_task_is_executed_then_up_to_date_then_executed_for_a_reason() {
    let here = Checkout::new(&[("src/a.c", "a"), ("src/b.c", "b")]);
    let build = task(&["src/*.c"], &["out"]);
    here.check(&build, cat, expect!["executed because it never ran here"]);
    here.check(&build, never, expect!["up to date"]);
    here.write("src/a.c", "A");
    here.check(&build, cat, expect!["executed because src/a.c changed"]);
    here.write("src/c.c", "c");
    fs::remove_file(here.path("src/b.c")).unwrap();
    here.check(&build, cat, expect!["executed because src/b.c was removed, src/c.c was added"]);
    fs::set_permissions(here.path("src/c.c"), fs::Permissions::from_mode(0o755)).unwrap();
    here.check(&build, cat, expect!["executed because src/c.c changed its executable bit"]);
    here.check(&build, never, expect!["up to date"]);
    here.write("src/ignored.h", "not an input");
    here.check(&build, never, expect!["up to date"]);
    here.check(&build, never, expect!["up to date"]);
    assert_eq!(here.read("out"), "Ac");
}

#[test]
fn going_back_restores() {
    let here = Checkout::new(&[("src/a.c", "a")]);
    let build = task(&["src/*.c"], &["out"]);
    here.check(&build, cat, expect!["executed because it never ran here"]);
    here.write("src/a.c", "A");
    here.check(&build, cat, expect!["executed because src/a.c changed"]);
    here.write("src/a.c", "a");
    here.check(&build, never, expect!["restored because src/a.c changed"]);
    assert_eq!(here.read("out"), "a");
    here.check(&build, never, expect!["up to date"]);
}

#[test]
fn another_checkout_gets_the_same_bytes() {
    let here = Checkout::new(&[("src/a.c", "a")]);
    let build = task(&["src/*.c"], &["out"]);
    here.check(&build, cat, expect!["executed because it never ran here"]);
    let there = here.sibling("elsewhere", &[("src/a.c", "a")]);
    there.check(&build, never, expect!["restored because it never ran here"]);
    assert_eq!(there.read("out"), "a");
    there.check(&build, never, expect!["up to date"]);
}

#[test]
fn outputs_that_were_touched_are_put_right() {
    let here = Checkout::new(&[("src/a.c", "a")]);
    let build = task(&["src/*.c"], &["out"]);
    here.run(&build, cat);
    here.write("out", "b");
    here.check(&build, never, expect!["restored because its output out is not what it made"]);
    fs::remove_file(here.path("out")).unwrap();
    here.check(&build, never, expect!["restored because its output out is missing"]);
    fs::set_permissions(here.path("out"), fs::Permissions::from_mode(0o755)).unwrap();
    here.check(&build, never, expect!["restored because its output out is not what it made"]);
    assert_eq!(fs::metadata(here.path("out")).unwrap().permissions().mode() & 0o100, 0);
    fs::remove_file(here.path("out")).unwrap();
    fs::create_dir(here.path("out")).unwrap();
    here.check(&build, never, expect!["restored because its output out is not what it made"]);
    assert_eq!(here.read("out"), "a");
}

#[test]
fn every_part_of_a_definition_counts() {
    let here = Checkout::new(&[("src/a.c", "a"), ("bin/cc", "#!/bin/sh\n"), ("src/x", "")]);
    fs::set_permissions(here.path("bin/cc"), fs::Permissions::from_mode(0o755)).unwrap();
    let mut build = task(&["src/*.c"], &["out"]);
    build.search_path = here.path("bin").into();
    here.run(&build, cat);
    let variable = |value: Option<&str>, secret| Variable {
        name: "CFLAGS".to_owned(),
        value: value.map(|value| value.as_bytes().to_vec()),
        secret,
    };
    let mut steps = String::new();
    let mut step = |change: &mut dyn FnMut(&mut Definition)| {
        change(&mut build);
        steps += &here.run(&build, cat);
        steps += "\n";
    };
    step(&mut |build| build.commands = vec![Command::Argv(vec!["make".into(), "it".into()])]);
    step(&mut |build| build.commands = vec![Command::Argv(vec!["make it".into()])]);
    step(&mut |build| build.shell = Some("sh".into()));
    step(&mut |build| build.shell = Some("bash".into()));
    step(&mut |build| build.variables = vec![variable(None, false)]);
    step(&mut |build| build.variables = vec![variable(Some("-O1"), false)]);
    step(&mut |build| build.variables = vec![variable(Some("-O2"), false)]);
    step(&mut |build| build.variables = vec![variable(Some("-O2"), true)]);
    step(&mut |build| build.variables = vec![]);
    step(&mut |build| build.tools = vec!["cc".into()]);
    fs::write(here.path("bin/cc"), "#!/bin/bash\n").unwrap();
    step(&mut |_| {});
    step(&mut |build| build.tools = vec!["ld".into()]);
    step(&mut |build| build.tools = vec![]);
    step(&mut |build| build.outputs = vec!["out".into(), "src/x".into()]);
    step(&mut |build| build.inputs = vec!["src/a.c".into()]);
    let path = here.path("bin").display().to_string();
    expect![[r#"
        executed because the command changed
        executed because the command changed
        up to date
        executed because the shell changed
        up to date
        executed because CFLAGS was set
        executed because CFLAGS changed
        executed because CFLAGS changed
        restored because CFLAGS was unset
        executed because the tool `cc` was added
        executed because the tool `cc` changed
        error: the tool `ld` is not in PATH
        restored because the tool `cc` was removed
        executed because its declared outputs changed
        up to date
    "#]]
    .assert_eq(&steps.replace(&path, "PATH"));
}

#[test]
fn an_unchanged_output_stops_a_rebuild() {
    let here = Checkout::new(&[("src/a.c", "a"), ("main.c", "m")]);
    let lib = task(&["src/*.c"], &["out"]);
    let mut app = task(&["main.c"], &["app"]);
    app.label = "app".to_owned();
    let link = |root: &Path| fs::write(root.join("app"), "linked").unwrap();
    let both = |link: &dyn Fn(&Path)| {
        let (first, outputs) = here.run_with(&lib, &[], cat);
        let needs = [Need { label: "lib".to_owned(), outputs: outputs.unwrap() }];
        format!("lib: {first}\napp: {}\n", here.run_with(&app, &needs, link).0)
    };
    let mut said = both(&link);
    here.write("src/a.c", "b");
    said += &both(&link);
    here.write("src/empty.c", "");
    said += &both(&never);
    expect![[r#"
        lib: executed because it never ran here
        app: executed because it never ran here
        lib: executed because src/a.c changed
        app: executed because the output of `lib` changed
        lib: executed because src/empty.c was added
        app: up to date
    "#]]
    .assert_eq(&said);
}

/// Sets the modification time, as `touch -d` does.
fn set_mtime(path: &Path, time: SystemTime) {
    fs::File::options().append(true).open(path).unwrap().set_modified(time).unwrap();
}

#[test]
fn an_edit_to_the_same_size_and_time_is_seen() {
    let here = Checkout::new(&[("src/a.c", "one")]);
    let build = task(&["src/*.c"], &["out"]);
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    set_mtime(&here.path("src/a.c"), long_ago);
    here.run(&build, cat);
    here.write("src/a.c", "two");
    set_mtime(&here.path("src/a.c"), long_ago);
    here.check(&build, cat, expect!["executed because src/a.c changed"]);
    // As `cp -p`, `rsync -t` or `tar` put a file back.
    here.write("src/a.c", "one");
    set_mtime(&here.path("src/a.c"), long_ago - Duration::from_secs(1));
    here.check(&build, never, expect!["restored because src/a.c changed"]);
    // A file from tomorrow.
    here.write("src/a.c", "new");
    set_mtime(&here.path("src/a.c"), SystemTime::now() + Duration::from_secs(86_400));
    here.check(&build, cat, expect!["executed because src/a.c changed"]);
    here.check(&build, never, expect!["up to date"]);
    // Touched, and the bytes are the same.
    set_mtime(&here.path("src/a.c"), long_ago);
    here.check(&build, never, expect!["up to date"]);
}

#[test]
fn edits_right_after_each_other_are_seen() {
    let here = Checkout::new(&[("src/a.c", "0000")]);
    let build = task(&["src/*.c"], &["out"]);
    here.run(&build, cat);
    for count in 1..40 {
        here.write("src/a.c", &format!("{count:04}"));
        assert_eq!(here.run(&build, cat), "executed because src/a.c changed");
        assert_eq!(here.read("out"), format!("{count:04}"));
    }
}

#[test]
fn an_input_that_changes_while_the_task_runs_is_named_and_nothing_is_kept() {
    let here = Checkout::new(&[("src/a.c", "a"), ("src/b.c", "b")]);
    let build = task(&["src/*.c"], &["out"]);
    let a = here.path("src/a.c");
    here.check(
        &build,
        |root| {
            cat(root);
            fs::write(&a, "A").unwrap();
        },
        expect!["executed, but src/a.c moved"],
    );
    here.check(&build, cat, expect!["executed because it never ran here"]);
    assert_eq!(here.read("out"), "Ab");

    // Edited before the task read it, and put back after: the bytes are the same at the end, and the output is wrong.
    here.write("src/b.c", "x");
    here.check(
        &build,
        |root| {
            fs::write(&a, "wrong").unwrap();
            cat(root);
            let before = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
            fs::write(&a, "A").unwrap();
            set_mtime(&a, before);
        },
        expect!["executed, but src/a.c moved"],
    );
    here.check(&build, cat, expect!["executed because src/b.c changed"]);
    assert_eq!(here.read("out"), "Ax");

    here.write("src/b.c", "y");
    here.check(
        &build,
        |root| {
            cat(root);
            fs::remove_file(root.join("src/a.c")).unwrap();
            fs::write(root.join("src/new.c"), "n").unwrap();
        },
        expect!["executed, but src/a.c, src/new.c moved"],
    );
    here.check(
        &build,
        cat,
        expect!["executed because src/a.c was removed, src/b.c changed, src/new.c was added"],
    );
}

#[test]
fn a_task_that_changes_its_own_input_is_named() {
    let here = Checkout::new(&[("src/a.c", "a")]);
    let format = task(&["src/**"], &["src/a.c"]);
    let shout = |root: &Path| fs::write(root.join("src/a.c"), "A").unwrap();
    here.check(&format, shout, expect!["executed, but src/a.c (own) moved"]);
    let inside = task(&["**"], &["dist"]);
    let pack = |root: &Path| {
        fs::create_dir_all(root.join("dist")).unwrap();
        fs::write(root.join("dist/x"), "x").unwrap();
    };
    here.check(&inside, pack, expect!["executed, but dist/x (own) moved"]);
    let outside = task(&["**", "!dist"], &["dist"]);
    here.check(&outside, pack, expect!["executed because it never ran here"]);
    here.check(&outside, never, expect!["up to date"]);
}

#[test]
fn outputs_of_every_kind_come_back() {
    let here = Checkout::new(&[("in", "1")]);
    let build = task(&["in"], &["out", "gen/*.txt"]);
    let make = |root: &Path| {
        fs::create_dir_all(root.join("out/empty")).unwrap();
        fs::create_dir_all(root.join("out/deep/er")).unwrap();
        fs::create_dir_all(root.join("gen")).unwrap();
        fs::write(root.join("out/deep/er/tool"), "#!/bin/sh\n").unwrap();
        fs::set_permissions(root.join("out/deep/er/tool"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(root.join("out/large"), vec![b'x'; 3 << 20]).unwrap();
        let _ = fs::remove_file(root.join("out/link"));
        symlink("deep/er/tool", root.join("out/link")).unwrap();
        let _ = fs::remove_file(root.join("out/dangling"));
        symlink("nowhere", root.join("out/dangling")).unwrap();
        fs::write(root.join("gen/a.txt"), "a").unwrap();
        fs::write(root.join("gen/a.log"), "not declared").unwrap();
        use std::os::unix::ffi::OsStrExt;
        fs::write(root.join("out").join(std::ffi::OsStr::from_bytes(b"n\xffme")), "odd").unwrap();
    };
    here.check(&build, make, expect!["executed because it never ran here"]);
    let before = tree(&here.root);
    fs::remove_dir_all(here.path("out")).unwrap();
    fs::remove_dir_all(here.path("gen")).unwrap();
    here.check(
        &build,
        never,
        expect!["restored because its output gen/a.txt is missing, its output out is missing, its output out/dangling is missing, its output out/deep/er/tool is missing, its output out/empty is missing, its output out/large is missing, its output out/link is missing, its output out/n�me is missing"],
    );
    assert_eq!(tree(&here.root), before.replace("file -rw- gen/a.log not declared\n", ""));
    here.check(&build, never, expect!["up to date"]);
    expect![[r#"
        dir gen
        file -rw- gen/a.log not declared
        file -rw- gen/a.txt a
        file -rw- in 1
        dir out
        link out/dangling nowhere
        dir out/deep
        dir out/deep/er
        file -rwx out/deep/er/tool #!/bin/sh
        dir out/empty
        file -rw- out/large 3145728 bytes
        link out/link deep/er/tool
        file -rw- out/n\xffme odd
    "#]]
    .assert_eq(&before);
}

/// Everything below a folder, in words.
fn tree(root: &Path) -> String {
    fn walk(root: &Path, folder: &Path, into: &mut String) {
        use std::fmt::Write;
        let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        for path in entries {
            let name =
                path.strip_prefix(root).unwrap().as_os_str().as_encoded_bytes().escape_ascii().to_string();
            if name == ".envrun" {
                continue;
            }
            let meta = fs::symlink_metadata(&path).unwrap();
            if meta.is_symlink() {
                writeln!(into, "link {name} {}", fs::read_link(&path).unwrap().display()).unwrap();
            } else if meta.is_dir() {
                writeln!(into, "dir {name}").unwrap();
                walk(root, &path, into);
            } else {
                let x = if meta.permissions().mode() & 0o100 != 0 { 'x' } else { '-' };
                let text = fs::read(&path).unwrap();
                let text = if text.len() < 100 {
                    String::from_utf8_lossy(&text).trim().to_owned()
                } else {
                    format!("{} bytes", text.len())
                };
                writeln!(into, "file -rw{x} {name} {text}").unwrap();
            }
        }
    }
    let mut text = String::new();
    walk(root, root, &mut text);
    text
}

#[test]
fn missing_outputs_fail() {
    let here = Checkout::new(&[("in", "1")]);
    let nothing = |_: &Path| {};
    here.check(&task(&["in"], &["out"]), nothing, expect!["failed: its output `out` is missing"]);
    here.check(&task(&["in"], &["gen/*.c"]), nothing, expect!["failed: its outputs `gen/*.c` match nothing"]);
    let pipe = |root: &Path| {
        rustix::fs::mknodat(
            rustix::fs::CWD,
            root.join("out"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
    };
    here.check(
        &task(&["in"], &["out"]),
        pipe,
        expect!["failed: its output `out` is neither a file, a link nor a folder"],
    );
    here.check(
        &task(&["in"], &["."]),
        nothing,
        expect!["error: the pattern `.` cannot be used: neither the whole project nor what is in `.git` or `.envrun` can be an output"],
    );
    here.check(
        &task(&["in"], &["../out"]),
        nothing,
        expect!["error: the pattern `../out` cannot be used: `../out` leaves the project"],
    );
}

#[test]
fn leftovers_of_the_tasks_own_earlier_run_go() {
    let here = Checkout::new(&[("in", "2")]);
    let build = task(&["in"], &["out"]);
    let make = |root: &Path| {
        let count: usize = fs::read_to_string(root.join("in")).unwrap().parse().unwrap();
        let _ = fs::remove_dir_all(root.join("out"));
        for at in 0..count {
            fs::create_dir_all(root.join(format!("out/{at}"))).unwrap();
            fs::write(root.join(format!("out/{at}/x")), "x").unwrap();
        }
    };
    here.run(&build, make);
    here.write("in", "3");
    here.run(&build, make);
    here.write("out/mine", "a person's");
    here.write("in", "2");
    here.check(&build, never, expect!["restored because in changed"]);
    expect![[r#"
        file -rw- in 2
        dir out
        dir out/0
        file -rw- out/0/x x
        dir out/1
        file -rw- out/1/x x
        file -rw- out/mine a person's
    "#]]
    .assert_eq(&tree(&here.root));

    // Declared elsewhere now: what it made before goes, but not what another task has claimed, nor what was edited.
    here.check(
        &task(&["in"], &["new"]),
        |root| fs::write(root.join("new"), "").unwrap(),
        expect!["executed because its declared outputs changed"],
    );
    expect![[r#"
        file -rw- in 2
        file -rw- new 
        dir out
        file -rw- out/mine a person's
    "#]]
    .assert_eq(&tree(&here.root));
}

#[test]
fn what_an_earlier_run_made_is_not_credited_to_this_one() {
    let here = Checkout::new(&[("in", "a b")]);
    let build = task(&["in"], &["out", "gen/*.c", "name"]);
    let make = |root: &Path| {
        fs::create_dir_all(root.join("gen")).unwrap();
        for name in fs::read_to_string(root.join("in")).unwrap().split(' ') {
            fs::create_dir_all(root.join("out").join(name)).unwrap();
            fs::write(root.join("out").join(name).join("x"), name).unwrap();
            fs::write(root.join("gen").join(name).with_extension("c"), name).unwrap();
        }
        if !root.join("name").exists() {
            fs::write(root.join("name"), "").unwrap();
        }
    };
    here.check(&build, make, expect!["executed because it never ran here"]);
    here.write("out/mine", "a person's, which nobody can tell from an output");
    here.write("in", "b c");
    here.check(&build, make, expect!["executed because in changed"]);
    expect![[r#"
        dir gen
        file -rw- gen/b.c b
        file -rw- gen/c.c c
        file -rw- in b c
        file -rw- name 
        dir out
        dir out/b
        file -rw- out/b/x b
        dir out/c
        file -rw- out/c/x c
        file -rw- out/mine a person's, which nobody can tell from an output
    "#]]
    .assert_eq(&tree(&here.root));
    // A task that fails leaves what it had made before.
    here.write("in", "d");
    let before = tree(&here.root);
    here.check(
        &build,
        |root| fs::remove_file(root.join("name")).unwrap(),
        expect!["failed: its outputs `gen/*.c` match nothing"],
    );
    assert_eq!(tree(&here.root), before.replace("file -rw- name \n", ""));
    assert_eq!(fs::read_dir(here.path(".envrun/state/aside")).unwrap().count(), 0);
}

#[test]
fn what_came_with_the_checkout_is_never_taken_away() {
    let here =
        Checkout::new(&[("in", "1"), ("lock", "pinned"), ("migrations/0001", "first"), ("other", "source")]);
    // Brings a lock file up to date in place, and adds to a folder of sources.
    let update = |root: &Path| {
        let text = fs::read_to_string(root.join("lock")).unwrap()
            + "+"
            + &fs::read_to_string(root.join("in")).unwrap();
        fs::write(root.join("lock"), text).unwrap();
        fs::write(root.join("migrations/0002"), fs::read_to_string(root.join("in")).unwrap()).unwrap();
    };
    let build = task(&["in"], &["lock", "migrations", "oth*"]);
    here.check(&build, update, expect!["executed because it never ran here"]);
    here.write("in", "2");
    here.check(&build, update, expect!["executed because in changed"]);
    assert_eq!(here.read("lock"), "pinned+1+2");
    // A merge brings another lock file.
    here.write("lock", "merged");
    here.write("in", "3");
    here.check(&build, update, expect!["executed because in changed"]);
    assert_eq!(here.read("lock"), "merged+3");
    // No longer declared, all of it is left alone but for what the task made where nothing was.
    let build = task(&["in"], &["new"]);
    let make = |root: &Path| fs::write(root.join("new"), "").unwrap();
    here.check(&build, make, expect!["executed because its declared outputs changed"]);
    expect![[r#"
        file -rw- in 3
        file -rw- lock merged+3
        dir migrations
        file -rw- migrations/0001 first
        file -rw- new 
        file -rw- other source
    "#]]
    .assert_eq(&tree(&here.root));
}

#[test]
fn what_another_task_claims_is_no_leftover() {
    let here = Checkout::new(&[("in", "1")]);
    let make = |root: &Path| fs::write(root.join("out"), "same").unwrap();
    here.run(&task(&["in"], &["out"]), make);
    let mut other = task(&["in"], &["out"]);
    other.label = "other".to_owned();
    here.check(&other, never, expect!["restored because it never ran here"]);
    here.check(
        &task(&["in"], &["elsewhere"]),
        |root| fs::write(root.join("elsewhere"), "").unwrap(),
        expect!["executed because its declared outputs changed"],
    );
    assert_eq!(here.read("out"), "same");
}

#[test]
fn a_link_in_the_way_is_not_followed() {
    let here = Checkout::new(&[("in", "1")]);
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("result"), "precious").unwrap();
    let build = task(&["in"], &["out"]);
    let make = |root: &Path| {
        fs::create_dir_all(root.join("out")).unwrap();
        fs::write(root.join("out/result"), "made").unwrap();
    };
    here.run(&build, make);
    fs::remove_dir_all(here.path("out")).unwrap();
    symlink(outside.path(), here.path("out")).unwrap();
    here.check(
        &build,
        never,
        expect![
            "restored because its output out is not what it made, its output out/result is not what it made"
        ],
    );
    assert_eq!(here.read("out/result"), "made");
    assert!(!fs::symlink_metadata(here.path("out")).unwrap().is_symlink());
    assert_eq!(fs::read_to_string(outside.path().join("result")).unwrap(), "precious");

    // Above what is declared it is not the task's to replace.
    let build = task(&["in"], &["up/out"]);
    let make = |root: &Path| {
        fs::create_dir_all(root.join("up")).unwrap();
        fs::write(root.join("up/out"), "made").unwrap();
    };
    here.run(&build, make);
    fs::remove_dir_all(here.path("up")).unwrap();
    symlink(outside.path(), here.path("up")).unwrap();
    let said = here.run(&build, |_| {});
    assert_eq!(said, "failed: its output `up/out` is missing");
    assert!(!outside.path().join("out").exists());
}

#[test]
fn globs_respect_gitignore_and_names_written_out_do_not() {
    let here = Checkout::new(&[
        (".gitignore", "*.log\n/dist\nnode_modules/\n"),
        ("src/.gitignore", "gen/\n!keep.log\n"),
        ("src/a.c", ""),
        ("src/x.log", ""),
        ("src/keep.log", ""),
        ("src/gen/g.c", ""),
        ("dist/app.js", ""),
        ("dist/x.log", ""),
        ("sub/dist/ok", ""),
        ("node_modules/m/index.js", ""),
        (".git/config", ""),
        (".git/info/exclude", "secret*\n"),
        ("secret.txt", ""),
        (".envrun/x", ""),
        (".hidden", ""),
    ]);
    let files = |inputs: &[&str]| {
        let workspace = here.workspace();
        let prepared = workspace.prepare(&task(inputs, &[])).unwrap();
        let fingerprint = workspace.fingerprint(&prepared, &[]).unwrap();
        let manifest = workspace.manifest(&prepared, &fingerprint);
        let paths: Vec<_> =
            manifest.files.iter().map(|file| String::from_utf8_lossy(&file.path).into_owned()).collect();
        paths.join(" ")
    };
    let said = [
        files(&["**"]),
        files(&["."]),
        files(&["src"]),
        files(&["dist"]),
        files(&["dist/**"]),
        files(&["dist/app.js", "secret.txt", "src/x.log"]),
        files(&["**/*.c", "!src/gen"]),
        files(&["src/**", "!**/*.log", "!**/.gitignore"]),
        files(&["src/gen"]),
        files(&[".git/config", ".envrun/**", "nothing/here"]),
    ];
    expect![[r#"
        .gitignore .hidden src/.gitignore src/a.c src/keep.log sub/dist/ok
        .gitignore .hidden src/.gitignore src/a.c src/keep.log sub/dist/ok
        src/.gitignore src/a.c src/keep.log
        dist/app.js dist/x.log

        dist/app.js secret.txt src/x.log
        src/a.c
        src/a.c
        src/gen/g.c
    "#]]
    .assert_eq(&(said.join("\n") + ""));
}

#[test]
fn a_changed_ignore_file_changes_what_is_found() {
    let here = Checkout::new(&[("src/a.c", "a"), ("src/b.c", "b")]);
    let build = task(&["src/*.c"], &["out"]);
    here.run(&build, cat);
    here.write("src/.gitignore", "b.c");
    here.check(&build, cat, expect!["executed because src/b.c was removed"]);
    here.write("src/.gitignore", "a.c");
    here.check(&build, cat, expect!["executed because src/a.c was removed, src/b.c was added"]);
    here.write(".gitignore", "src");
    here.check(&build, cat, expect!["executed because src/b.c was removed"]);
    fs::remove_file(here.path(".gitignore")).unwrap();
    here.check(&build, never, expect!["restored because src/b.c was added"]);
    // A repository that comes to be around it brings its own rules.
    fs::create_dir_all(here.root.parent().unwrap().join(".git/info")).unwrap();
    fs::write(here.root.parent().unwrap().join(".gitignore"), "project/src/b.c\n").unwrap();
    here.check(&build, never, expect!["restored because src/b.c was removed"]);
    // One that ignores the whole project does not.
    fs::write(here.root.parent().unwrap().join(".gitignore"), "project\n").unwrap();
    here.check(&build, never, expect!["restored because src/b.c was added"]);
}

#[test]
fn names_written_out_that_come_and_go() {
    let here = Checkout::new(&[("in", "1")]);
    let build = task(&["in", "maybe"], &["out"]);
    let make = |root: &Path| {
        let text = ["in", "maybe"].map(|name| fs::read_to_string(root.join(name)).unwrap_or_default());
        fs::write(root.join("out"), text.concat()).unwrap();
    };
    here.check(&build, make, expect!["executed because it never ran here"]);
    here.check(&build, never, expect!["up to date"]);
    here.write("maybe", "2");
    here.check(&build, make, expect!["executed because maybe was added"]);
    fs::remove_file(here.path("maybe")).unwrap();
    here.check(&build, never, expect!["restored because maybe was removed"]);
    here.check(&build, never, expect!["up to date"]);
    here.write("maybe", "2");
    here.check(&build, never, expect!["restored because maybe was added"]);
    fs::remove_file(here.path("maybe")).unwrap();
    here.write("maybe/x", "3");
    here.write("maybe/y", "3");
    here.check(
        &build,
        make,
        expect!["executed because maybe was removed, maybe/x was added, maybe/y was added"],
    );
    here.write("maybe/z", "3");
    here.check(&build, make, expect!["executed because maybe/z was added"]);
}

#[test]
fn a_link_counts_with_what_it_leads_to() {
    let here = Checkout::new(&[("src/real", "1"), ("other/x", "2"), ("in/plain", "")]);
    symlink("../src/real", here.path("in/link")).unwrap();
    symlink("../other", here.path("in/folder")).unwrap();
    let build = task(&["in/**"], &[]);
    let nothing = |_: &Path| {};
    here.check(&build, nothing, expect!["executed because it never ran here"]);
    here.check(&build, never, expect!["up to date"]);
    here.write("src/real", "2");
    here.check(&build, nothing, expect!["executed because src/real changed"]);
    here.write("other/x", "3");
    here.check(&build, never, expect!["up to date"]);
    fs::remove_file(here.path("in/link")).unwrap();
    symlink("../src/nowhere", here.path("in/link")).unwrap();
    here.check(&build, nothing, expect!["executed because in/link changed, src/real was removed"]);
    here.write("src/nowhere", "x");
    here.check(&build, nothing, expect!["executed because src/nowhere was added"]);
}

/// Writes `obj` and says in a depfile what `src/a.c` includes.
fn compile(root: &Path) {
    let mut text = fs::read_to_string(root.join("src/a.c")).unwrap();
    let mut deps = vec!["src/a.c".to_owned()];
    let outside = root.parent().unwrap().join("system.h");
    for line in text.clone().lines() {
        if let Some(name) = line.strip_prefix("#include ") {
            let path = if name == "system.h" { outside.clone() } else { root.join("src").join(name) };
            text += &fs::read_to_string(&path).unwrap();
            deps.push(if name == "system.h" {
                outside.display().to_string()
            } else {
                format!("./src/{name}")
            });
        }
    }
    fs::write(root.join("obj"), text).unwrap();
    fs::write(root.join("obj.d"), format!("obj: {}\n", deps.join(" \\\n "))).unwrap();
}

#[test]
fn discovered_inputs_are_the_second_level() {
    let here = Checkout::new(&[("src/a.c", "#include b.h\n#include system.h\n"), ("src/b.h", "1")]);
    here.write("../system.h", "s");
    let mut build = task(&["src/a.c"], &["obj"]);
    build.depfiles = vec!["obj.d".to_owned()];
    here.check(&build, compile, expect!["executed because it never ran here"]);
    here.check(&build, never, expect!["up to date"]);
    here.write("src/b.h", "2");
    here.check(&build, compile, expect!["executed because src/b.h changed"]);
    here.write("src/b.h", "1");
    here.check(&build, never, expect!["restored because src/b.h changed"]);
    here.check(&build, never, expect!["up to date"]);
    here.write("../system.h", "S");
    let said = here.run(&build, compile);
    assert!(said.starts_with("executed because /") && said.ends_with("/system.h changed"), "{said}");
    // Other includes are another set of paths under another first key; back again, both are found.
    here.write("src/c.h", "3");
    here.write("src/a.c", "#include c.h\n");
    here.check(&build, compile, expect!["executed because src/a.c changed"]);
    here.check(&build, never, expect!["up to date"]);
    here.write("src/a.c", "#include b.h\n#include system.h\n");
    let said = here.run(&build, never);
    assert!(said.starts_with("restored because src/a.c changed"), "{said}");
    // An unrelated header does not count.
    here.write("src/unused.h", "");
    here.check(&build, never, expect!["up to date"]);
    // A header that is edited while the compiler reads it.
    here.write("src/b.h", "9");
    let header = here.path("src/b.h");
    here.check(
        &build,
        |root| {
            compile(root);
            fs::write(&header, "8").unwrap();
        },
        expect!["executed, but src/b.h moved"],
    );
    here.check(&build, |_| {}, expect!["executed because src/b.h changed"]);
    // A new checkout finds it by the paths that were named here.
    let there = here.sibling("project", &[("src/a.c", "#include b.h\n"), ("src/b.h", "1")]);
    there.check(&build, compile, expect!["executed because it never ran here"]);
    let third = here.sibling("project", &[("src/a.c", "#include b.h\n"), ("src/b.h", "1")]);
    third.check(&build, never, expect!["restored because it never ran here"]);
    assert_eq!(third.read("obj"), "#include b.h\n1");
}

#[test]
fn a_header_that_is_first_named_while_it_changes_is_found() {
    let here = Checkout::new(&[("src/a.c", "#include b.h\n"), ("src/b.h", "1")]);
    let mut build = task(&["src/a.c"], &["obj"]);
    build.depfiles = vec!["obj.d".to_owned()];
    let header = here.path("src/b.h");
    here.check(
        &build,
        |root| {
            compile(root);
            fs::write(&header, "2").unwrap();
        },
        expect!["executed, but src/b.h moved"],
    );
}

#[test]
fn a_depfile_that_is_not_there_or_is_none_fails() {
    let here = Checkout::new(&[("src/a.c", "")]);
    let mut build = task(&["src/a.c"], &["obj"]);
    build.depfiles = vec!["obj.d".to_owned()];
    let object = |root: &Path| fs::write(root.join("obj"), "").unwrap();
    here.check(&build, object, expect!["failed: its depfile `obj.d` is missing"]);
    let bad = |root: &Path| {
        object(root);
        fs::write(root.join("obj.d"), "no rule\n").unwrap();
    };
    here.check(&build, bad, expect!["failed: its depfile `obj.d` cannot be read: a rule without `:`"]);
}

#[test]
fn an_input_that_cannot_be_read_is_an_error_that_names_it() {
    if rustix::process::geteuid().is_root() {
        // Root reads everything; a folder where a file was written out is no error either.
        return;
    }
    let here = Checkout::new(&[("in", "1")]);
    fs::set_permissions(here.path("in"), fs::Permissions::from_mode(0o000)).unwrap();
    let said = here.run(&task(&["in"], &[]), never);
    assert!(said.starts_with("error: cannot open `") && said.contains("/in`"), "{said}");
}

#[test]
fn a_damaged_state_file_only_costs_a_look() {
    let here = Checkout::new(&[("src/a.c", "a"), ("src/b.c", "b")]);
    let build = task(&["src/*.c"], &["out"]);
    here.run(&build, cat);
    let file = here.path(".envrun/state/files");
    let whole = fs::read(&file).unwrap();
    for end in (0..whole.len()).step_by(11) {
        fs::write(&file, &whole[..end]).unwrap();
        let said = here.run(&build, never);
        assert!(
            ["up to date", "restored because it never ran here"].contains(&said.as_str()),
            "cut at {end}: {said}"
        );
        assert_eq!(here.run(&build, never), "up to date");
    }
    for at in (0..whole.len()).step_by(13) {
        let mut bad = whole.clone();
        bad[at] ^= 0x10;
        fs::write(&file, &bad).unwrap();
        let said = here.run(&build, never);
        assert!(
            ["up to date", "restored because it never ran here"].contains(&said.as_str()),
            "flipped at {at}: {said}"
        );
    }
}

#[test]
fn state_is_compacted_and_keeps_what_counts() {
    let here = Checkout::new(&[("src/a.c", "0")]);
    let build = task(&["src/*.c"], &["out"]);
    let wide = |root: &Path| {
        cat(root);
        let _ = fs::remove_dir_all(root.join("wide"));
        fs::create_dir_all(root.join("wide")).unwrap();
        for at in 0..600 {
            fs::write(root.join(format!("wide/{at}")), "x").unwrap();
        }
    };
    let mut broad = task(&["src/*.c"], &["out", "wide"]);
    broad.label = "broad".to_owned();
    let mut largest = 0;
    for count in 0..12 {
        here.write("src/a.c", &count.to_string());
        here.run(&broad, wide);
        here.run(&build, cat);
        largest = largest.max(fs::metadata(here.path(".envrun/state/files")).unwrap().len());
        assert_eq!(here.run(&broad, never), "up to date");
        assert_eq!(here.run(&build, never), "up to date");
    }
    assert!(largest < 1_200_000, "{largest}");
}

#[test]
fn two_processes_at_once_keep_each_others_state() {
    let here = Checkout::new(&[("a", "1"), ("b", "1"), ("c", "1")]);
    let one = here.workspace();
    let two = here.workspace();
    let store = here.store();
    let named = |name: &str| {
        let mut task = task(&[name], &[]);
        task.label = name.to_owned();
        task
    };
    let nothing = |_: &Path| {};
    live(&one, &store, &named("a"), &[], nothing);
    live(&two, &store, &named("b"), &[], nothing);
    one.save().unwrap();
    two.save().unwrap();
    live(&one, &store, &named("c"), &[], nothing);
    one.save().unwrap();
    for name in ["a", "b", "c"] {
        assert_eq!(here.run(&named(name), never), "up to date", "{name}");
    }
}

#[test]
fn a_prefetch_changes_no_answer() {
    let here = Checkout::new(&[("src/a.c", "a"), ("src/b.c", "b")]);
    let build = task(&["src/*.c"], &["out"]);
    here.run(&build, cat);
    let ask = || {
        let workspace = here.workspace();
        workspace.prefetch(["build", "unknown"]);
        live(&workspace, &here.store(), &build, &[], cat).0
    };
    assert_eq!(ask(), "up to date");
    here.write("src/a.c", "x");
    assert_eq!(ask(), "executed because src/a.c changed");
    let workspace = here.workspace();
    workspace.prefetch(["build"]);
    // Another command of the same run writes an input after the prefetch.
    here.write("src/a.c", "y");
    workspace.touched();
    assert_eq!(live(&workspace, &here.store(), &build, &[], cat).0, "executed because src/a.c changed");
}

#[test]
fn secrets_count_and_are_written_nowhere() {
    let here = Checkout::new(&[("src/a.c", "a")]);
    let mut build = task(&["src/*.c"], &["out"]);
    let secret = |value: &str| {
        vec![Variable { name: "TOKEN".into(), value: Some(value.as_bytes().to_vec()), secret: true }]
    };
    build.variables = secret("hunter2-hunter2");
    build.commands = vec![Command::Argv(vec!["curl".into(), "hunter2-hunter2".into()])];
    here.run(&build, cat);
    here.check(&build, never, expect!["up to date"]);
    for folder in [&here.root, &here.store] {
        for file in ignore::WalkBuilder::new(folder).standard_filters(false).build().flatten() {
            if let Ok(bytes) = fs::read(file.path()) {
                assert!(!bytes.windows(7).any(|window| window == b"hunter2"), "{}", file.path().display());
            }
        }
    }
    build.variables = secret("other");
    here.check(&build, cat, expect!["executed because TOKEN changed"]);
    // Another user's key gives another key: nobody can try values against a shared one.
    let keys = [7, 8].map(|byte| {
        let workspace = Workspace::open(&here.root, &here.root.join(".s"), SecretKey([byte; 32])).unwrap();
        let prepared = workspace.prepare(&build).unwrap();
        workspace.fingerprint(&prepared, &[]).unwrap().key()
    });
    assert_ne!(keys[0], keys[1]);
}

#[test]
fn a_large_set_of_files_is_found_and_checked() {
    let here = Checkout::new(&[]);
    for at in 0..3000 {
        here.write(&format!("src/{}/{at}.c", at % 30), &at.to_string());
    }
    let build = task(&["src/**/*.c"], &["out"]);
    let count = |root: &Path| fs::write(root.join("out"), "x").unwrap();
    here.check(&build, count, expect!["executed because it never ran here"]);
    here.check(&build, never, expect!["up to date"]);
    here.write("src/7/1987.c", "other");
    here.check(&build, count, expect!["executed because src/7/1987.c changed"]);
}

#[test]
fn case_counts() {
    let here = Checkout::new(&[("src/a.c", "a")]);
    let build = task(&["src/*.c"], &["out"]);
    here.run(&build, cat);
    fs::rename(here.path("src/a.c"), here.path("src/A.c")).unwrap();
    here.check(&build, cat, expect!["executed because src/A.c was added, src/a.c was removed"]);
    fs::rename(here.path("src/A.c"), here.path("src/A.C")).unwrap();
    here.check(&build, cat, expect!["executed because src/A.c was removed"]);
}

mod laws {
    use proptest::prelude::*;

    use super::super::manifest::{FilePart, Part, Tag};
    use super::super::table::FileKind;
    use super::super::*;
    use crate::base::Digest;

    fn digest() -> impl Strategy<Value = Digest> {
        (0u8..4).prop_map(|byte| Digest([byte; 32]))
    }

    fn files() -> impl Strategy<Value = Vec<FilePart>> {
        let kind = prop_oneof![Just(FileKind::File), Just(FileKind::Executable), Just(FileKind::Link)];
        proptest::collection::btree_map("[ab]{1,2}", (kind, digest()), 0..4).prop_map(|files| {
            files
                .into_iter()
                .map(|(path, (kind, digest))| FilePart { path: path.as_bytes().into(), kind, digest })
                .collect()
        })
    }

    prop_compose! {
        fn manifest()(
            fixed in proptest::collection::vec(digest(), 7),
            variables in proptest::collection::btree_map("[AB]", digest(), 0..3),
            tools in proptest::collection::btree_map("[cd]", digest(), 0..3),
            needs in proptest::collection::btree_map("[xyz]", digest(), 0..4),
            files in files(),
            discovered in proptest::option::of(files()),
        ) -> Manifest {
            let tags = [Tag::Format, Tag::Platform, Tag::Commands, Tag::Shell, Tag::Dir, Tag::Outputs, Tag::Depfiles];
            let mut parts: Vec<Part> =
                tags.into_iter().zip(fixed).map(|(tag, digest)| Part { tag, name: "".into(), digest }).collect();
            parts.extend(variables.into_iter().map(|(name, digest)| Part { tag: Tag::Variable, name: name.into(), digest }));
            parts.sort();
            let needs = needs.into_iter().map(|(label, outputs)| Need { label, outputs }).collect();
            Manifest { parts, tools: tools.into_iter().collect(), needs, files, discovered }
        }
    }

    /// Two manifests that differ in few things, so that equal keys come up.
    fn pair() -> impl Strategy<Value = (Manifest, Manifest)> {
        (manifest(), manifest(), proptest::collection::vec(any::<bool>(), 5)).prop_map(
            |(one, other, take)| {
                let mut two = one.clone();
                if take[0] {
                    two.parts = other.parts
                }
                if take[1] {
                    two.tools = other.tools
                }
                if take[2] {
                    two.needs = other.needs
                }
                if take[3] {
                    two.files = other.files
                }
                if take[4] {
                    two.discovered = other.discovered
                }
                (one, two)
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        #[test]
        fn no_difference_exactly_if_the_keys_are_equal((one, two) in pair()) {
            prop_assert_eq!(Manifest::diff(&one, &two).is_empty(), one.key() == two.key());
        }

        #[test]
        fn a_manifest_comes_back_and_no_other_bytes_do(one in manifest(), cut in 0usize..600) {
            let bytes = one.encode();
            let back = Manifest::decode(&bytes).unwrap();
            prop_assert_eq!(&back, &one);
            if cut < bytes.len() {
                prop_assert!(Manifest::decode(&bytes[..cut]).is_none());
            }
        }

        #[test]
        fn any_bytes_are_a_manifest_or_none(mut bytes: Vec<u8>, format: bool) {
            if format && !bytes.is_empty() { bytes[0] = 1; }
            let _ = Manifest::decode(&bytes);
        }
    }
}

#[test]
fn labels_of_needs_are_not_in_the_key() {
    let here = Checkout::new(&[("a", "1")]);
    let workspace = here.workspace();
    let prepared = workspace.prepare(&task(&["a"], &[])).unwrap();
    let key = |needs: &[(&str, u8)]| {
        let needs: Vec<Need> = needs
            .iter()
            .map(|(label, byte)| Need { label: (*label).into(), outputs: Digest([*byte; 32]) })
            .collect();
        workspace.fingerprint(&prepared, &needs).unwrap().key()
    };
    assert_eq!(key(&[("uat.lib", 1), ("uat.gen", 2)]), key(&[("prod.gen", 2), ("prod.lib", 1)]));
    assert_ne!(key(&[("lib", 1)]), key(&[("lib", 2)]));
    assert_ne!(key(&[("lib", 1)]), key(&[("lib", 1), ("gen", 1)]));
}

#[test]
fn relative_folders() {
    let here = Checkout::new(&[("pkg/src/a.c", "a"), ("shared/x.h", "x")]);
    let mut build = task(&["src/*.c", "../shared/*.h"], &["out/app"]);
    build.dir = RelPath::root().resolve("pkg").unwrap();
    let make = |root: &Path| {
        fs::create_dir_all(root.join("pkg/out")).unwrap();
        fs::write(root.join("pkg/out/app"), "app").unwrap();
    };
    here.check(&build, make, expect!["executed because it never ran here"]);
    here.write("shared/x.h", "y");
    here.check(&build, make, expect!["executed because shared/x.h changed"]);
    fs::remove_dir_all(here.path("pkg/out")).unwrap();
    here.check(&build, never, expect!["restored because its output pkg/out/app is missing"]);
}

#[test]
fn a_link_that_a_depfile_names_counts_with_what_it_leads_to() {
    let here = Checkout::new(&[("src/a.c", "a"), ("real/v1/x.h", "1"), ("src/dir/keep", "")]);
    symlink("../real/v1/x.h", here.path("src/x.h")).unwrap();
    symlink("../../real/v2/y.h", here.path("src/dir/y.h")).unwrap();
    let mut build = task(&["src/a.c"], &["out"]);
    build.depfiles = vec!["out.d".to_owned()];
    let make = |root: &Path| {
        let read = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
        fs::write(root.join("out"), format!("{}{}", read("src/x.h"), read("src/dir/y.h"))).unwrap();
        fs::write(root.join("out.d"), "out: src/a.c src/x.h src/dir/y.h\n").unwrap();
    };
    here.check(&build, make, expect!["executed because it never ran here"]);
    here.check(&build, never, expect!["up to date"]);
    here.write("real/v1/x.h", "2");
    here.check(&build, make, expect![[r#"executed because real/v1/x.h changed"#]]);
    here.write("real/v2/y.h", "new");
    here.check(&build, make, expect![[r#"executed because real/v2/y.h was added"#]]);
    assert_eq!(here.read("out"), "2new");
    here.write("real/v1/x.h", "1");
    fs::remove_file(here.path("real/v2/y.h")).unwrap();
    here.check(&build, never, expect![[r#"restored because real/v1/x.h changed, real/v2/y.h was removed"#]]);
    assert_eq!(here.read("out"), "1");
}
