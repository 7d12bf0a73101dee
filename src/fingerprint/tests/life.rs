//! One task's life from run to run: executed, up to date, restored, and why.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use expect_test::expect;

use super::*;

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
