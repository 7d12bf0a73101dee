//! Data that is saved and put back, with real files.

use expect_test::expect;

use super::sandbox::Sandbox;

const TEXT: &str = r##"
vars { (path)DB "data/${ENVRUN_ENV}.txt" }
env "prod" { snapshot "db" { keep last=2 } }
env "dev"
snapshot "db" {
    desc "the text"
    save #"cp "$DB" "$SNAPSHOT/db.txt""#
    restore #"cp "$SNAPSHOT/db.txt" "$DB""#
    verify #"grep -q . "$SNAPSHOT/db.txt""#
}
task "build" { run "true" }
"##;

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new(TEXT);
    sandbox.write("data/prod.txt", "real\n");
    sandbox
}

#[test]
fn a_copy_is_saved_proved_and_listed() {
    let sandbox = sandbox();
    sandbox.check(
        &["prod.db"],
        expect![[r#"
            exit: 0
            --- stdout
            copy 1: 1 file, 5 B, verified
            --- stderr
                   run prod.db because a copy is made whenever it is asked for
                  done prod.db in [time]
            1 executed in [time]
        "#]],
    );
    let listed = sandbox.ok(&["snapshot", "list"]).stdout;
    assert!(listed.contains("verified, asked for"), "{listed}");
    assert!(sandbox.exists(".envrun/env/prod/snapshots/db/1/data/db.txt"));
    sandbox.check(
        &["snapshot", "verify"],
        expect![[r#"
        exit: 0
        --- stdout
        prod.db: 1 copy good, 0 damaged
        dev.db: 0 copies good, 0 damaged
    "#]],
    );
    sandbox.write(".envrun/env/prod/snapshots/db/1/data/db.txt", "rael\n");
    sandbox.check(
        &["snapshot", "verify", "prod"],
        expect![[r#"
        exit: 1
        --- stdout
        damaged: copy 1 of `prod.db` is damaged: its bytes have changed
        prod.db: 0 copies good, 1 damaged
    "#]],
    );
}

#[test]
fn old_copies_go_and_numbers_stay() {
    let sandbox = sandbox();
    for _ in 0..4 {
        sandbox.ok(&["prod.db"]);
    }
    let json = sandbox.ok(&["snapshot", "list", "prod.db", "--format", "json"]).stdout;
    let rows: serde_json::Value = serde_json::from_str(&json).unwrap();
    let numbers: Vec<u64> =
        rows.as_array().unwrap().iter().map(|row| row["number"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [4, 3]);
    assert_eq!(rows[0]["verified"], true);
}

#[test]
fn a_save_that_fails_leaves_nothing() {
    let sandbox = sandbox();
    sandbox.check(
        &["dev.db"],
        expect![[r#"
        exit: 1
        --- stderr
               run dev.db because a copy is made whenever it is asked for
        cp: cannot stat 'data/dev.txt': No such file or directory
            failed dev.db after [time]: exit status 1

        error: `dev.db` failed after [time]: exit status 1
          command: cp "$DB" "$SNAPSHOT/db.txt"
          directory: .
          because: a copy is made whenever it is asked for
          log: .envrun/runs/[run]/logs/dev.db.log

        1 failed in [time]
    "#]],
    );
    sandbox.write("data/dev.txt", "");
    sandbox.check(
        &["dev.db"],
        expect![[r#"
        exit: 1
        --- stderr
               run dev.db because a copy is made whenever it is asked for
            failed dev.db after [time]: exit status 1

        error: `dev.db` failed after [time]: exit status 1
          command: grep -q . "$SNAPSHOT/db.txt"
          directory: .
          because: a copy is made whenever it is asked for
          output: none

        1 failed in [time]
    "#]],
    );
    sandbox.check(
        &["snapshot", "list"],
        expect![[r#"
        exit: 0
        --- stdout
        no copies
    "#]],
    );
    let sandbox = Sandbox::new("snapshot \"db\" { save \"true\" }");
    sandbox.check(
        &["db"],
        expect![[r#"
        exit: 1
        --- stderr
               run db because a copy is made whenever it is asked for
            failed db after [time]: the `save` of `db` wrote nothing into $SNAPSHOT

        error: `db` failed after [time]: the `save` of `db` wrote nothing into $SNAPSHOT
          command: true
          directory: .
          because: a copy is made whenever it is asked for
          output: none

        1 failed in [time]
    "#]],
    );
}

#[test]
fn a_dry_run_saves_nothing() {
    let sandbox = sandbox();
    sandbox.check(
        &["-n", "prod.db"],
        expect![[r#"
        exit: 0
        --- stderr
         would run prod.db because a copy is made whenever it is asked for
                   $ cp "$DB" "$SNAPSHOT/db.txt"
                   $ grep -q . "$SNAPSHOT/db.txt"
        1 to execute in [time]
    "#]],
    );
    assert!(!sandbox.exists(".envrun/env"));
}

#[test]
fn what_is_no_snapshot_is_said() {
    let sandbox = sandbox();
    sandbox.check(
        &["snapshot", "list", "build"],
        expect![[r#"
        exit: 2
        --- stderr
        error: `build` is a task, not a snapshot
        hint: snapshots are `db`
    "#]],
    );
    sandbox.check(
        &["snapshot", "list", "prd"],
        expect![[r#"
        exit: 2
        --- stderr
        error: there is no node `prd`
        hint: `envrun list` shows what there is
    "#]],
    );
}
