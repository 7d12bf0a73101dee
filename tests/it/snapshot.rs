//! Data that is saved and put back, with real files.

use expect_test::expect;

use super::sandbox::{Sandbox, mkfifo};

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
    // Of one whose description is damaged nobody knows how old it is: a person lets it go.
    sandbox.write(".envrun/env/prod/snapshots/db/3/copy.json", "{");
    sandbox.ok(&["prod.db"]);
    let pruned = sandbox.ok(&["snapshot", "prune", "prod"]).stdout;
    let folder = sandbox.root().join(".envrun/env/prod/snapshots/db/3");
    let wanted = format!("whose description is damaged: `rm -r {}`", folder.display());
    assert!(pruned.contains(&wanted) && folder.is_dir(), "{pruned}");
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

const LOAD: &str = r##"
vars { (path)DB "data/${ENVRUN_ENV}.txt" }
env "prod"
env "laptop" {
    task "sync" { load "prod.db" through="sanitise" }
    task "sanitise" {
        needs "rules"
        run #"sed "$(cat rules)" "$SNAPSHOT/db.txt" > "$SNAPSHOT/new" && mv "$SNAPSHOT/new" "$SNAPSHOT/db.txt""#
        run #"! grep -n "secret" "$SNAPSHOT/db.txt""#
    }
}
env "staging" {
    guard { unset "CLOSED" }
    task "sync" { load "prod.db" }
}
task "rules" { outputs "rules"; run "echo s/secret/gone/ > rules" }
snapshot "db" {
    save #"cp "$DB" "$SNAPSHOT/db.txt""#
    restore #"cp "$SNAPSHOT/db.txt" "$DB""#
}
"##;

fn with_data(text: &str) -> Sandbox {
    let sandbox = Sandbox::new(text);
    sandbox.write("data/prod.txt", "name secret\n");
    sandbox.write("data/laptop.txt", "mine\n");
    sandbox
}

#[test]
fn data_are_rewritten_before_they_arrive() {
    let sandbox = with_data(LOAD);
    sandbox.check(
        &["laptop.sync"],
        expect![[r#"
        exit: 0
        --- stdout
        laptop.sync | the copy of `prod.db` went through `laptop.sanitise`
        laptop.sync | what `laptop.db` had is copy 1: 1 file, 5 B
        --- stderr
               run rules because it never ran here
              done rules in [time]
               run laptop.sync because it changes something outside
              done laptop.sync in [time]
        2 executed in [time]
    "#]],
    );
    assert_eq!(sandbox.read("data/laptop.txt"), "name gone\n");
    assert_eq!(sandbox.read("data/prod.txt"), "name secret\n");
    // What was here can be had again, and nothing of production's raw data is left anywhere below the project's state.
    assert_eq!(sandbox.read(".envrun/env/laptop/snapshots/db/1/data/db.txt"), "mine\n");
    let found = std::process::Command::new("grep")
        .args(["-r", "name secret", ".envrun"])
        .current_dir(sandbox.root())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(found.stdout).unwrap(), "");
}

#[test]
fn what_is_not_proved_does_not_arrive() {
    // The rule misses: the assertion behind it finds the row, and nothing is touched here.
    let sandbox = with_data(&LOAD.replace("s/secret/gone/", "s/sceret/gone/"));
    sandbox.check(
        &["laptop.sync"],
        expect![[r#"
        exit: 1
        --- stdout
        laptop.sync | 1:name secret
        --- stderr
               run rules because it never ran here
              done rules in [time]
               run laptop.sync because it changes something outside
            failed laptop.sync after [time]: exit status 1

        error: `laptop.sync` failed after [time]: exit status 1
          command: ! grep -n "secret" "$SNAPSHOT/db.txt"
          directory: .
          because: it changes something outside
          log: .envrun/runs/[run]/logs/laptop.sync.log

        1 executed, 1 failed in [time]
    "#]],
    );
    assert_eq!(sandbox.read("data/laptop.txt"), "mine\n");
    assert!(!sandbox.exists(".envrun/env/laptop"));
    // The folder of a load that was killed is swept by the next.
    let killed = ".envrun/tmp/load/20261120-000000-0000-1";
    sandbox.write(&format!("{killed}/data/db.txt"), "name secret\n");
    sandbox.write(&format!("{killed}/lock"), "");
    assert_eq!(sandbox.run(&["laptop.sync"]).exit, 1);
    assert!(!sandbox.exists(killed));
}

/// What is still there of private copies.
fn private(sandbox: &Sandbox) -> Vec<String> {
    let entries = std::fs::read_dir(sandbox.root().join(".envrun/tmp/load")).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().into_string().unwrap());
    names.filter(|name| name != "lock").collect()
}

#[test]
#[cfg(target_os = "linux")]
fn the_raw_copy_of_a_load_that_was_killed_does_not_wait_for_anybody() {
    let kills = "run #\"chmod 500 \"$SNAPSHOT\"; cp \"$SNAPSHOT/db.txt\" seen; kill -9 $PPID; sleep 60\"#\n        run #\"sed";
    let sandbox = with_data(&LOAD.replace("run #\"sed", kills));
    let killed = sandbox.command(&["laptop.sync"]).output().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&killed.status), Some(9));
    assert_eq!(sandbox.read("seen"), "name secret\n");
    // No other envrun is started: whoever watched over that one tidies up.
    let began = std::time::Instant::now();
    while private(&sandbox) != [""; 0] {
        assert!(began.elapsed().as_secs() < 60, "{:?} is still there", private(&sandbox));
        std::thread::yield_now();
    }
    assert_eq!(sandbox.read("data/laptop.txt"), "mine\n");
    assert_eq!(sandbox.read("data/prod.txt"), "name secret\n");
}

#[test]
fn a_load_that_fails_half_way_puts_back_what_was_there() {
    // It writes a half and fails, unless it is told not to.
    let half = LOAD.replace(
        "restore #\"cp \"$SNAPSHOT/db.txt\" \"$DB\"\"#",
        "restore #\"test ! -e torn || { echo half > \"$DB\"; cat torn; . ./torn; }; cp \"$SNAPSHOT/db.txt\" \"$DB\"\"#",
    );
    let sandbox = with_data(&half);
    sandbox.write("torn", "rm torn; exit 7\n");
    let ran = sandbox.run(&["laptop.sync"]);
    assert_eq!(ran.exit, 1, "{}", ran.text());
    assert!(ran.stdout.contains("`laptop.db` has again what it had: copy 1"), "{}", ran.text());
    assert_eq!(sandbox.read("data/laptop.txt"), "mine\n");
    // Where that fails too, the copy is named, and so is the way to it.
    sandbox.write("torn", "exit 7\n");
    let ran = sandbox.run(&["laptop.sync"]);
    assert_eq!(ran.exit, 6, "{}", ran.text());
    for told in
        ["it is kept as copy 2", "hint: `envrun restore laptop.db --at 2` puts back what was there before"]
    {
        assert!(ran.stderr.contains(told), "{told}: {}", ran.text());
    }
    std::fs::remove_file(sandbox.root().join("torn")).unwrap();
    sandbox.ok(&["restore", "laptop.db", "--at", "2", "-y"]);
    assert_eq!(sandbox.read("data/laptop.txt"), "mine\n");
}

#[test]
fn a_load_that_is_interrupted_half_way_puts_back_what_was_there() {
    use std::os::unix::fs::OpenOptionsExt;
    use std::process::Stdio;
    // It writes a half and hangs, the first time: who has the pipe open is there to hear that it is told to stop.
    let half = LOAD.replace(
        "restore #\"cp \"$SNAPSHOT/db.txt\" \"$DB\"\"#",
        "restore #\"test ! -e hang || { rm hang; echo half > \"$DB\"; cat pipe; }; cp \"$SNAPSHOT/db.txt\" \"$DB\"\"#",
    );
    assert!(half.contains("cat pipe"));
    let sandbox = with_data(&half);
    sandbox.write("hang", "");
    let pipe = sandbox.root().join("pipe");
    mkfifo(&pipe);
    let mut command = sandbox.command(&["laptop.sync"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let began = std::time::Instant::now();
    let held = loop {
        let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        match std::fs::File::options().write(true).custom_flags(nonblocking).open(&pipe) {
            Ok(held) => break held,
            Err(_) if began.elapsed().as_secs() < 60 && child.try_wait().unwrap().is_none() => {}
            Err(_) => {
                let _ = child.kill();
                panic!("it never came so far: {}", sandbox.ran(child.wait_with_output().unwrap()).text());
            }
        }
        std::thread::yield_now();
    };
    assert_eq!(sandbox.read("data/laptop.txt"), "half\n");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let ran = sandbox.ran(child.wait_with_output().unwrap());
    drop(held);
    assert_eq!(ran.exit, 130, "{}", ran.text());
    assert!(ran.stdout.contains("`laptop.db` has again what it had: copy 1"), "{}", ran.text());
    assert_eq!(sandbox.read("data/laptop.txt"), "mine\n");
    assert_eq!(sandbox.read("data/prod.txt"), "name secret\n");
    // The next one is as good as the first.
    sandbox.ok(&["laptop.sync"]);
    assert_eq!(sandbox.read("data/laptop.txt"), "name gone\n");
}

#[test]
fn what_cannot_be_saved_is_replaced_only_where_nothing_guards_it() {
    let sandbox = with_data(LOAD);
    std::fs::remove_file(sandbox.root().join("data/laptop.txt")).unwrap();
    let ran = sandbox.ok(&["laptop.sync"]);
    assert!(ran.stdout.contains("nothing guards `laptop`, so it is replaced all the same"), "{}", ran.text());
    assert_eq!(sandbox.read("data/laptop.txt"), "name gone\n");
    assert_eq!(sandbox.run(&["staging.sync"]).exit, 1);
    assert!(!sandbox.exists("data/staging.txt"));
    sandbox.write("data/staging.txt", "old\n");
    let mut sandbox = sandbox;
    sandbox.ok(&["staging.sync"]);
    assert_eq!(sandbox.read("data/staging.txt"), "name secret\n");
    // The environment's guard stands before what loads, whether the task says that it mutates or not.
    sandbox.set("CLOSED", "1");
    assert_eq!(sandbox.run(&["staging.sync"]).exit, 3);
}

#[test]
fn who_saves_the_same_at_once_waits_and_says_for_whom() {
    use std::io::{BufRead, BufReader};
    use std::process::{Child, Stdio};
    let slow = TEXT
        .replace("save #\"cp", "save #\": > begun; while test -e hold; do sleep 0.02; done; cp")
        .replace("task \"build\"", "deploy \"deploy\" { snapshot \"db\"; run \"true\" }\ntask \"build\"");
    assert!(slow.contains("test -e hold") && slow.contains("deploy \"deploy\""));
    let sandbox = Sandbox::new(&slow);
    sandbox.write("data/prod.txt", "real\n");
    sandbox.write("hold", "");
    let mut first =
        sandbox.command(&["prod.db"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let began = std::time::Instant::now();
    while !sandbox.exists("begun") {
        assert!(began.elapsed().as_secs() < 60, "it never came so far");
        std::thread::yield_now();
    }
    // A deploy, and somebody who does not want to wait after all.
    let waits = |words: &[&str]| -> Child {
        let mut command = sandbox.command(words);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let out = child.stdout.take().unwrap();
        let (send, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            BufReader::new(out).lines().map_while(Result::ok).for_each(|line| _ = send.send(line));
        });
        let mut heard = Vec::new();
        let wanted =
            format!("another envrun is saving `prod.db` (process {}), which is waited for", first.id());
        while !heard.iter().any(|line: &String| line.contains(&wanted)) {
            match told.recv_timeout(std::time::Duration::from_secs(60)) {
                Ok(line) => heard.push(line),
                Err(error) => {
                    let _ = child.kill();
                    panic!("no `{wanted}` ({error}): {heard:?}");
                }
            }
        }
        child
    };
    let (mut deploy, mut hasty) = (waits(&["prod.deploy"]), waits(&["prod.db"]));
    let pid = rustix::process::Pid::from_child(&hasty);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(hasty.wait().unwrap().code(), Some(130));
    std::fs::remove_file(sandbox.root().join("hold")).unwrap();
    assert!(first.wait().unwrap().success());
    assert!(deploy.wait().unwrap().success());
    let listed = sandbox.ok(&["snapshot", "list", "prod"]).stdout;
    assert!(listed.contains("asked for") && listed.contains("before release 1 of `prod`"), "{listed}");
}

#[test]
fn a_load_that_cannot_be_is_said_before_anything_runs() {
    let snapshot = "env \"a\"; env \"b\"; snapshot \"db\" { save \"true\"; restore \"true\" }; task \"t\" { run \"true\" }\n";
    let check = |task: &str, expected: expect_test::Expect| {
        Sandbox::new(&format!("{snapshot}{task}")).check(&["a.x"], expected);
    };
    check(
        "task \"x\" { load \"db\" }",
        expect![[r#"
        exit: 2
        --- stderr
        Envfile.kdl:2:12: error: `load "db"` would put data back where they come from [graph/load]
          help: name the environment whose data it is: `load "prod.db"`
    "#]],
    );
    check(
        "task \"x\" { load \"b.t\" }",
        expect![[r#"
            exit: 2
            --- stderr
            Envfile.kdl:2:12: error: `b.t` is a task, and only a snapshot can be loaded [graph/load]
            Envfile.kdl:1:71: note: declared here
        "#]],
    );
    check(
        "task \"x\" { load \"b.db\" through=\"db\" }",
        expect![[r#"
        exit: 2
        --- stderr
        Envfile.kdl:2:32: error: `a.db` rewrites nothing: it is no task with commands [graph/load]
          help: `through=` names the task that rewrites the data in `$SNAPSHOT`
    "#]],
    );
    check(
        "task \"x\" { call \"y\" }\ntask \"y\" { load \"b.db\" }",
        expect![[r#"
        exit: 2
        --- stderr
        Envfile.kdl:2:6: error: `a.x` calls what loads `db`, so it changes its environment [graph/load]
        Envfile.kdl:3:12: note: the load
          help: say so: `mutates #true`
    "#]],
    );
}

/// A "database" that can be told to fail, and a release that is a file.
const RESTORE: &str = r##"
vars { (path)DB "data/${ENVRUN_ENV}.txt" }
env "prod" {
    deploy "deploy" {
        snapshot "db"
        run #"echo "$ENVRUN_REVISION" > live; test ! -e migrates || echo migrated > "$DB""#
        verify "health"
    }
}
task "health" { run "test ! -e sick" }
snapshot "db" {
    save #"cp "$DB" "$SNAPSHOT/db.txt""#
    restore #"cat "$SNAPSHOT/db.txt" > "$DB"; test ! -e restore-fails"#
    verify #"grep -q . "$SNAPSHOT/db.txt""#
}
"##;

fn commit(sandbox: &Sandbox, text: &str) {
    let git = |args: &[&str]| {
        let mut command = std::process::Command::new("git");
        command.args(["-c", "user.name=a", "-c", "user.email=a@b"]).args(args).current_dir(sandbox.root());
        assert!(command.output().unwrap().status.success(), "{args:?}");
    };
    sandbox.write(".gitignore", ".envrun/\ndata/\nlive\nsick\nmigrates\n");
    sandbox.write("version", text);
    git(&["init", "-q"]);
    git(&["add", "."]);
    git(&["commit", "-q", "-m", text]);
}

#[test]
fn a_restore_saves_what_it_replaces() {
    let sandbox = Sandbox::new(RESTORE);
    sandbox.write("data/prod.txt", "one\n");
    sandbox.ok(&["prod.db"]);
    sandbox.write("data/prod.txt", "two\n");
    let refused = sandbox.run(&["restore", "prod.db"]);
    assert_eq!(refused.exit, 3, "{}", refused.text());
    assert!(refused.stderr.contains("`-y` says yes"), "{}", refused.text());
    sandbox.check(
        &["restore", "prod.db", "-y"],
        expect![[r#"
            exit: 0
            --- stderr
                   run prod.db because copy 1 is put back in `prod`
            `prod.db` is saved: copy 2: 1 file, 4 B, verified
            snapshotted prod.db
              applying prod.db copy 1
            `prod.db` is put back: copy 1: 1 file, 4 B, verified
                  done prod.db in [time]
            1 executed in [time]
        "#]],
    );
    assert_eq!(sandbox.read("data/prod.txt"), "one\n");
    sandbox.ok(&["restore", "db", "-e", "prod", "--at", "2", "-y"]);
    assert_eq!(sandbox.read("data/prod.txt"), "two\n");
    let history = sandbox.ok(&["history", "prod"]).stdout;
    assert!(history.contains("restore of db"), "{history}");
}

#[test]
fn a_restore_that_fails_goes_back() {
    let sandbox = Sandbox::new(RESTORE);
    sandbox.write("data/prod.txt", "one\n");
    sandbox.ok(&["prod.db"]);
    sandbox.write("data/prod.txt", "two\n");
    // It fails both ways here: the state is said to be broken, and both attempts are in the logs.
    sandbox.write("restore-fails", "");
    let ran = sandbox.run(&["restore", "prod.db", "-y"]);
    assert_eq!(ran.exit, 6, "{}", ran.text());
    for told in ["what `prod.db` had is kept as copy 2", "hint: `envrun restore prod.db --at 2` puts back"] {
        assert!(ran.stderr.contains(told), "{told}: {}", ran.text());
    }
    std::fs::remove_file(sandbox.root().join("restore-fails")).unwrap();
    // Once: the command itself removes what makes it fail.
    sandbox.write("restore-fails", "");
    let envfile = RESTORE
        .replace("test ! -e restore-fails", "if test -e restore-fails; then rm restore-fails; exit 1; fi");
    sandbox.write("Envfile.kdl", envfile);
    let ran = sandbox.run(&["restore", "prod.db", "--at", "1", "-y"]);
    assert_eq!(ran.exit, 5, "{}", ran.text());
    assert_eq!(sandbox.read("data/prod.txt"), "two\n");
}

#[test]
fn what_is_beyond_saving_is_replaced_all_the_same() {
    let sandbox = Sandbox::new(RESTORE);
    sandbox.write("data/prod.txt", "one\n");
    sandbox.ok(&["prod.db"]);
    sandbox.write("data/prod.txt", "");
    let ran = sandbox.run(&["restore", "prod.db", "-y"]);
    assert_eq!(ran.exit, 1, "{}", ran.text());
    assert!(ran.stderr.contains("`envrun restore prod.db --unsaved` does without"), "{}", ran.text());
    assert_eq!(sandbox.read("data/prod.txt"), "");
    sandbox.ok(&["restore", "prod.db", "--unsaved", "-y"]);
    assert_eq!(sandbox.read("data/prod.txt"), "one\n");
    // There is no way back from there, and that is said.
    sandbox.write("data/prod.txt", "");
    sandbox.write("restore-fails", "");
    let ran = sandbox.run(&["restore", "prod.db", "--unsaved", "-y"]);
    assert_eq!(ran.exit, 6, "{}", ran.text());
}

#[test]
fn a_damaged_copy_is_not_put_back() {
    let sandbox = Sandbox::new(RESTORE);
    sandbox.write("data/prod.txt", "one\n");
    sandbox.ok(&["prod.db"]);
    sandbox.write(".envrun/env/prod/snapshots/db/1/data/db.txt", "eno\n");
    sandbox.write("data/prod.txt", "two\n");
    sandbox.check(
        &["restore", "prod.db", "-y"],
        expect![[r#"
        exit: 1
        --- stderr
        error: copy 1 of `prod.db` is damaged: its bytes have changed
        hint: `envrun snapshot list` shows what else there is
    "#]],
    );
    let none = sandbox.run(&["restore", "prod.db", "--at", "7", "-y"]);
    assert_eq!(none.exit, 2);
    assert!(none.stderr.contains("`prod.db` has no copy `7`\nhint: there is 1 of 20"), "{}", none.text());
    for at in ["yesterday", "", "2026-13-01", "1.5"] {
        let none = sandbox.run(&["restore", "prod.db", "--at", at, "-y"]);
        let told =
            format!("`{at}` names no copy: it is no number, no day and no moment\nhint: `latest`, a number");
        assert!(none.exit == 2 && none.stderr.contains(&told), "{}", none.text());
    }
    sandbox.check(
        &["restore", "prod.deploy", "-y"],
        expect![[r#"
        exit: 2
        --- stderr
        error: `prod.deploy` is a deploy, not a snapshot
        hint: snapshots are `db`
    "#]],
    );
    assert_eq!(sandbox.read("data/prod.txt"), "two\n");
}

#[test]
fn a_deploy_saves_data_first_and_a_rollback_can_put_them_back() {
    if !super::sandbox::need("git", "git") {
        return;
    }
    let sandbox = Sandbox::new(RESTORE);
    sandbox.write("data/prod.txt", "first\n");
    commit(&sandbox, "first");
    sandbox.write("migrates", "");
    sandbox.ok(&["prod.deploy"]);
    assert_eq!(sandbox.read(".envrun/env/prod/snapshots/db/1/data/db.txt"), "first\n");
    sandbox.write("data/prod.txt", "second\n");
    commit(&sandbox, "second");
    sandbox.ok(&["prod.deploy"]);
    assert_eq!(sandbox.read("data/prod.txt"), "migrated\n");
    std::fs::remove_file(sandbox.root().join("migrates")).unwrap();
    sandbox.ok(&["rollback", "prod", "--with-data"]);
    assert_eq!(sandbox.read("data/prod.txt"), "second\n");
    // A deploy whose data cannot be saved changes nothing.
    std::fs::remove_file(sandbox.root().join("data/prod.txt")).unwrap();
    std::fs::remove_file(sandbox.root().join("live")).unwrap();
    let ran = sandbox.run(&["prod.deploy"]);
    assert_eq!(ran.exit, 1, "{}", ran.text());
    assert!(!sandbox.exists("live"));
    // One that is proved bad goes back, leaves the data, and says where the old ones are.
    sandbox.write("data/prod.txt", "third\n");
    sandbox.write("sick", "");
    let ran = sandbox.run(&["prod.deploy"]);
    assert!(ran.stderr.contains("`envrun restore prod.db --at 5`"), "{}", ran.text());
    assert_eq!(sandbox.read("data/prod.txt"), "third\n");
}
