//! `envrun why` and `envrun cache`: what differs, why, since when; what is kept.

use expect_test::expect;

use crate::sandbox::Sandbox;

const ENVFILE: &str = r##"
vars { MODE "fast" }
task "low" { inputs "src/**"; outputs "low.out"; run "cat src/a > low.out" }
task "middle" { needs "low"; outputs "middle.out"; uses "MODE"; run #"cp low.out middle.out; echo "$MODE" >> middle.out"# }
task "group" { needs "middle" }
task "high" { needs "group"; inputs "one"; outputs "high.out"; run "cat one > high.out" }
"##;

#[test]
fn why_names_every_difference_and_the_first_cause() {
    let sandbox = Sandbox::with(&[("Envfile.kdl", ENVFILE), ("src/a", "a"), ("one", "1")]);
    sandbox.check(
        &["why", "low"],
        expect![[r#"
        exit: 0
        --- stdout
        `low` would run, because
          it never ran here
    "#]],
    );
    sandbox.ok(&["high"]);
    sandbox.check(
        &["why", "high"],
        expect![[r#"
        exit: 0
        --- stdout
        `high` is up to date
    "#]],
    );
    sandbox.write("src/a", "A");
    sandbox.write("src/b", "b");
    sandbox.write("one", "2");
    sandbox.check(
        &["why", "low"],
        expect![[r#"
        exit: 0
        --- stdout
        `low` would run, because
          src/a changed
          src/b was added
    "#]],
    );
    sandbox.check(
        &["why", "high"],
        expect![[r#"
            exit: 0
            --- stdout
            `high` would run, because
              one changed
              the output of `group` changed
            before it would run
              `low` because src/a changed
              `middle` because the output of `low` changed
        "#]],
    );
    sandbox.check(
        &["why", "--first", "high"],
        expect![[r#"
        exit: 0
        --- stdout
        `low` because src/a changed
          and so `middle`
          and so `high`
    "#]],
    );
    sandbox.check(
        &["why", "group"],
        expect![[r#"
        exit: 0
        --- stdout
        `group` only stands for what it needs
        before it would run
          `low` because src/a changed
          `middle` because the output of `low` changed
    "#]],
    );
    // Asking changes nothing.
    sandbox.check(
        &["-o", "errors", "-j1", "high"],
        expect![[r#"
        exit: 0
        --- stderr
               run low because src/a changed (+1 more)
              done low in [time]
               run middle because the output of `low` changed
              done middle in [time]
               run high because one changed (+1 more)
              done high in [time]
        3 executed in [time]
    "#]],
    );
    sandbox.write("Envfile.kdl", ENVFILE.replace("\"fast\"", "\"slow\"").replace("cat one >", "cat < one >"));
    sandbox.check(
        &["why", "middle"],
        expect![[r#"
        exit: 0
        --- stdout
        `middle` would run, because
          MODE changed
    "#]],
    );
    sandbox.ok(&["high"]);
    std::fs::remove_file(sandbox.root().join("middle.out")).unwrap();
    sandbox.check(
        &["why", "middle"],
        expect![[r#"
        exit: 0
        --- stdout
        `middle` would be restored from the cache, because
          its output middle.out is missing
    "#]],
    );
    sandbox.write("src/a", "a");
    std::fs::remove_file(sandbox.root().join("src/b")).unwrap();
    sandbox.check(
        &["why", "low"],
        expect![[r#"
        exit: 0
        --- stdout
        `low` would be restored from the cache, because
          src/a changed
          src/b was removed
    "#]],
    );
    sandbox.check(
        &["why", "hgih"],
        expect![[r#"
        exit: 2
        --- stderr
        error: there is no node `hgih`
        hint: did you mean `high`?
    "#]],
    );
}

#[test]
fn why_compares_with_any_recorded_run() {
    let sandbox = Sandbox::with(&[("Envfile.kdl", ENVFILE), ("src/a", "a"), ("one", "1")]);
    sandbox.check(
        &["why", "low", "--vs", "latest"],
        expect![[r#"
            exit: 2
            --- stderr
            error: there is no run `latest` in this project
            hint: `envrun log` lists the runs
        "#]],
    );
    sandbox.ok(&["high"]);
    let log = sandbox.ok(&["log"]).stdout;
    let first = log.split_whitespace().next().unwrap().to_owned();
    sandbox.write("src/a", "A");
    sandbox.ok(&["high"]);
    sandbox.write("src/a", "AA");
    sandbox.write("src/c", "c");
    sandbox.ok(&["low"]);
    // Up to date compared with the last good run, different from the first one.
    sandbox.check(
        &["why", "low", "--vs", "latest"],
        expect![[r#"
        exit: 0
        --- stdout
        `low` is as run [run] had it
    "#]],
    );
    sandbox.check(
        &["why", "low", "--vs", &first],
        expect![[r#"
        exit: 0
        --- stdout
        `low` differs from run [run]:
          src/a changed
          src/c was added
    "#]],
    );
    sandbox.check(
        &["why", "high", "--vs", &first],
        expect![[r#"
        exit: 0
        --- stdout
        `high` cannot be compared with run [run] before what it needs has run
        `high` would run, because
          the output of `group` changed
        before it would run
          `middle` because the output of `low` changed
    "#]],
    );
    sandbox.check(
        &["why", "low", "--vs", "19990101-000000-0000"],
        expect![[r#"
            exit: 2
            --- stderr
            error: there is no run `[run]` in this project
            hint: `envrun log` lists the runs
        "#]],
    );
}

#[test]
fn other_arguments_are_a_difference_like_any_other() {
    let sandbox =
        Sandbox::new(r#"task "unit" { arg "part" default="a"; outputs "r"; run "echo $ARG_PART > r" }"#);
    sandbox.ok(&["unit"]);
    sandbox.check(
        &["why", "unit", "b"],
        expect![[r#"
            exit: 0
            --- stdout
            `unit` would run, because
              its argument ARG_PART changed
        "#]],
    );
    sandbox.check(
        &["why", "unit", "b", "--first"],
        expect![[r#"
            exit: 2
            --- stderr
            error: neither `unit` nor envrun has an option `--first`
            hint: options of `envrun why` stand before the target's own arguments
        "#]],
    );
    sandbox.check(
        &["why", "unit", "b", "unit"],
        expect![[r#"
            exit: 2
            --- stderr
            error: `envrun why` explains one target: `unit` is a second one
            hint: `envrun why unit`
        "#]],
    );
}

#[test]
fn why_walks_to_the_first_cause_since_any_recorded_run() {
    let sandbox = Sandbox::with(&[
        (
            "Envfile.kdl",
            r#"
task "gen" { inputs "src"; outputs "gen.o"; run "cp src gen.o" }
task "lib" { needs "gen"; outputs "lib.o"; run "cp gen.o lib.o" }
task "all" { needs "lib" }
task "app" { needs "all"; outputs "app.o"; run "cp lib.o app.o" }
"#,
        ),
        ("src", "one"),
    ]);
    sandbox.ok(&["app"]);
    let log = sandbox.ok(&["log"]).stdout;
    let run = log.split(' ').next().unwrap();
    let first =
        |sandbox: &Sandbox| sandbox.ok(&["why", "app", "--first", "--vs", run]).stdout.replace(run, "RUN");
    expect![[r#"
        `app` is as run RUN had it
    "#]]
    .assert_eq(&first(&sandbox));
    sandbox.write("src", "two");
    let way = expect![[r#"
        since run RUN:
        `gen` because src changed
          and so `lib`
          and so `app`
    "#]];
    way.assert_eq(&first(&sandbox));
    sandbox.ok(&["app"]);
    way.assert_eq(&first(&sandbox));
}

#[test]
fn why_says_what_cannot_be_looked_at() {
    let sandbox =
        Sandbox::with(&[("Envfile.kdl", "task \"a\" { inputs \"f/g\"; outputs \"o\"; run \"true > o\" }")]);
    std::os::unix::fs::symlink("f", sandbox.root().join("f")).unwrap();
    let why = sandbox.ok(&["why", "a"]);
    assert!(why.stdout.starts_with("`a` would not run\n  `a`: cannot look at"), "{}", why.text());
}

#[test]
fn the_cache_can_be_looked_after() {
    let sandbox = Sandbox::with(&[("Envfile.kdl", ENVFILE), ("src/a", "a"), ("one", "1")]);
    let folder = sandbox.cache().display().to_string();
    let run = |args: &[&str]| {
        let ran = sandbox.run(args);
        format!("exit: {}\n{}{}", ran.exit, ran.stdout, ran.stderr).replace(&folder, "$CACHE")
    };
    expect![[r#"
        exit: 0
        folder   $CACHE/envrun
        results         0         0 B
        blobs           0         0 B
        limits   20.0 GiB and 30 days without use
    "#]]
    .assert_eq(&run(&["cache", "stats"]));
    sandbox.ok(&["high"]);
    assert!(run(&["cache", "stats"]).contains("results         3"), "{}", run(&["cache", "stats"]));
    assert_eq!(run(&["cache", "ls"]).lines().count(), 4, "{}", run(&["cache", "ls"]));
    expect![[r#"
        exit: 0
        3 files good, 0 damaged
    "#]]
    .assert_eq(&run(&["cache", "verify"]));
    expect![[r#"
        exit: 0
        removed 0 files (0 B)"#]]
    .assert_eq(run(&["cache", "gc"]).split(',').next().unwrap_or_default());
    assert!(run(&["cache", "clear"]).starts_with("exit: 0\nremoved everything: "));
    assert!(run(&["cache", "stats"]).contains("results         0"));
    std::fs::remove_file(sandbox.root().join("low.out")).unwrap();
    sandbox.ok(&["high"]);
    assert!(sandbox.exists("low.out"));
}
