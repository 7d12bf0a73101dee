//! Which files are inputs: patterns, ignore files, names written out, links.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use expect_test::expect;

use super::*;

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
