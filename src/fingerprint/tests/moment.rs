//! Edits that hide: of the same size and time, right after each other, or while the task runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use expect_test::expect;

use super::*;

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
fn nothing_is_sealed_over_what_tasks_are_defined_by_and_changed_since_it_was_read() {
    let here = Checkout::new(&[("Envfile.kdl", "one"), ("parts/a", "a"), ("parts/b", "b")]);
    let files = ["Envfile.kdl", "parts", "parts/a", "parts/b", "none/at/all"].map(|path| here.path(path));
    let (envfile, gone) = (&files[..1], &files[3..4]);
    // What is done, and whether the Envfile and `parts/b`, asked for alone, may be sealed after it.
    type Edit = (&'static str, fn(&Checkout), bool, bool);
    let edits: [Edit; 5] = [
        ("an edit to the same size", |here| here.write("Envfile.kdl", "two"), false, true),
        ("a file that goes", |here| fs::remove_file(here.path("parts/b")).unwrap(), true, false),
        ("a file that comes beside the one that went", |here| here.write("parts/c", "c"), true, false),
        (
            "an older file in its place",
            |here| {
                set_mtime(&here.path("parts/a"), SystemTime::UNIX_EPOCH);
                fs::rename(here.path("parts/a"), here.path("Envfile.kdl")).unwrap();
            },
            false,
            false,
        ),
        ("nothing", |_| {}, true, true),
    ];
    for (what, edit, is_defined_alike, is_gone_alike) in edits {
        // Until what was done before is older than a tick of any clock here.
        let mut read = SystemTime::now();
        while here.workspace().seal(&files, read).is_none() {
            read = SystemTime::now();
        }
        edit(&here);
        let is_sealed = |files: &[PathBuf]| here.workspace().seal(files, read).is_some();
        assert_eq!(is_sealed(envfile), is_defined_alike, "{what}");
        assert_eq!(is_sealed(gone), is_gone_alike, "{what}");
        assert_eq!(is_sealed(&files), is_defined_alike && is_gone_alike, "{what}");
    }
}
