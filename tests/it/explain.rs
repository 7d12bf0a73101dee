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
