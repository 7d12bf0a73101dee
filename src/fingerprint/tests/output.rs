//! What a task makes: all of it comes back, what is left over goes, and nothing else is touched.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use expect_test::expect;

use super::*;

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
        assert!(std::process::Command::new("mkfifo").arg(root.join("out")).status().unwrap().success());
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
