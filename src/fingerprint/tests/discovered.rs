//! Inputs that a depfile names: the second level of a lookup.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use expect_test::expect;

use super::*;

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
