//! `envrun env create`, `destroy` and `gc`: environments that are made from a pattern and go again.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::mpsc;
use std::time::Duration;

use expect_test::expect;

use crate::sandbox::{Sandbox, mkfifo};

const PR: &str = r#"
project "shop"
vars { (port)PORT 8080; (port)ADMIN 8081; (url)URL "http://localhost:${PORT}" }
env "dev"
env "cluster" abstract=#true { vars { REPLICAS 3 } }
env "pr" extends="cluster" ephemeral=#true {
    desc "one for every pull request"
    arg "number" min=1 desc="of the pull request"
    ttl "3d"
    vars { NAMESPACE "pr-${ARG_NUMBER}"; REPLICAS 1 }
    task "where" { run "echo $NAMESPACE in $ENVRUN_ENV has $REPLICAS at $URL" }
    on-create "up"
    on-destroy "down"
}
task "up" { run "echo up $ENVRUN_ENV $PORT >> log"; run "test ! -e break-up" }
task "down" { run "echo down $ENVRUN_ENV $PORT >> log"; run "test ! -e break-down" }
"#;

fn listed(sandbox: &Sandbox) -> BTreeMap<String, serde_json::Value> {
    let json = sandbox.ok(&["env", "list", "--format", "json"]).stdout;
    let rows: Vec<serde_json::Value> = serde_json::from_str(&json).unwrap();
    let made = rows.into_iter().filter(|row| row.get("made").is_some());
    made.map(|row| (row["name"].as_str().unwrap().to_owned(), row["made"].clone())).collect()
}

#[test]
fn an_environment_is_made_from_a_pattern_used_and_taken_down() {
    let sandbox = Sandbox::new(PR);
    sandbox.check(
        &["pr.where"],
        expect![[r#"
        exit: 2
        --- stderr
        error: environment `pr` is ephemeral, and none of it was made
        hint: `envrun env create pr` makes one that a run can be in; there is `dev`
    "#]],
    );
    let made = sandbox.ok(&["env", "create", "pr", "--number", "7"]);
    assert!(made.stdout.ends_with("pr-7\n"), "{}", made.text());
    let ports = listed(&sandbox)["pr-7"]["ports"].clone();
    let (port, admin) = (ports["PORT"].as_u64().unwrap(), ports["ADMIN"].as_u64().unwrap());
    assert_ne!(port, admin);
    assert_eq!(sandbox.read("log"), format!("up pr-7 {port}\n"));
    // It is an environment like any other, with the ports that were drawn for it.
    let ran = sandbox.ok(&["pr-7.where", "-o", "stream"]);
    let said = format!("pr-7 in pr-7 has 1 at http://localhost:{port}");
    assert!(format!("{}{}", ran.stdout, ran.stderr).contains(&said), "{}", ran.text());
    assert_eq!(sandbox.ok(&["env", "exec", "pr-7", "--", "printenv", "ARG_NUMBER"]).stdout, "7\n");
    assert_eq!(sandbox.ok(&["run", "-e", "pr-7", "where", "-n", "--json"]).exit, 0);
    assert!(sandbox.ok(&["show", "pr-7.where"]).stdout.contains("echo $NAMESPACE"));
    sandbox.ok(&["doctor", "pr-7"]);
    // The pattern itself still is none, and the one that was made is named in its place.
    sandbox.check(
        &["pr.where"],
        expect![[r#"
        exit: 2
        --- stderr
        error: environment `pr` is ephemeral: a pattern that environments are made from
        hint: `envrun env create pr` makes one that a run can be in; there is `pr-7`
    "#]],
    );
    sandbox.check(
        &["env", "create", "pr", "7"],
        expect![[r#"
        exit: 2
        --- stderr
        error: there is an environment `pr-7` already
        hint: `envrun env destroy pr-7` takes it down; `--name` gives another one another name
    "#]],
    );
    sandbox.check(
        &["env", "destroy", "dev"],
        expect![[r#"
        exit: 2
        --- stderr
        error: `dev` stands in the Envfile; only what `envrun env create` made is taken down
        hint: there is `pr-7`
    "#]],
    );
    sandbox.check(
        &["env", "destroy", "pr-8"],
        expect![[r#"
        exit: 2
        --- stderr
        error: no environment `pr-8` was made
        hint: did you mean `pr-7`?
    "#]],
    );
    let gone = sandbox.ok(&["env", "destroy", "pr-7"]);
    assert!(gone.stderr.contains("`pr-7` is gone"), "{}", gone.text());
    assert_eq!(sandbox.read("log"), format!("up pr-7 {port}\ndown pr-7 {port}\n"));
    assert!(!sandbox.exists(".envrun/env/pr-7"));
    assert!(listed(&sandbox).is_empty());
    assert_eq!(sandbox.run(&["pr-7.where"]).exit, 2);
}

#[test]
fn a_patterns_arguments_are_checked() {
    let sandbox = Sandbox::new(PR);
    sandbox.check(
        &["env", "create", "pr"],
        expect![[r#"
        exit: 2
        --- stderr
        error: `env create pr` wants a value for `number`
        hint: `envrun env create pr <number>`
    "#]],
    );
    sandbox.check(
        &["env", "create", "pr", "0"],
        expect![[r#"
        exit: 2
        --- stderr
        error: `0` for `number` of `env create pr` is below the least, 1
        hint: `envrun env create pr <number>`
    "#]],
    );
    sandbox.check(
        &["env", "create", "pr", "--nubmer", "7"],
        expect![[r#"
        exit: 2
        --- stderr
        error: `pr` has no argument `nubmer`
        hint: did you mean `number`?
    "#]],
    );
    sandbox.check(
        &["env", "create", "pr", "7", "8"],
        expect![[r#"
        exit: 2
        --- stderr
        error: `pr` takes no further argument `8`
        hint: `envrun env create pr <number>`
    "#]],
    );
    sandbox.check(
        &["env", "create", "dev"],
        expect![[r#"
        exit: 2
        --- stderr
        error: there is no pattern `dev` to make an environment from
        hint: there is `pr`
    "#]],
    );
    sandbox.check(
        &["env", "create", "pr", "--help"],
        expect![[r#"
        exit: 0
        --- stdout
        Make an environment from a pattern, an `env` with ephemeral=#true

        Usage: envrun env create [OPTIONS] PATTERN [ARGS]…

        Arguments:
          <PATTERN>  The pattern
          [ARGS]...  Its arguments: values in order, `--NAME VALUE`, or `--arg NAME=VALUE`

        Options:
          -C, --directory <DIR>  Work as if started in this folder
              --name <NAME>      What to call it [default: the pattern and the arguments' values, with `-`
                                 between]
          -f, --file <FILE>      The Envfile to read [default: Envfile.kdl here or in a folder above]
              --color <WHEN>     When to use colour
          -h, --help             Print help

        Arguments are the pattern's own: `envrun env create pr 7` and `envrun env create pr --number 7` make
        `pr-7`, whose nodes are `pr-7.deploy` and so on. It has free ports of its own, and its state lies
        below .envrun/env/pr-7.
    "#]],
    );
    sandbox.check(
        &["env", "create", "pr", "7", "--name", "dev"],
        expect![[r#"
            exit: 2
            --- stderr
            error: there is an environment `dev` already
            hint: `dev` stands in the Envfile; `--name` gives another one another name
        "#]],
    );
    assert!(listed(&sandbox).is_empty());
    sandbox.check(
        &["env", "create", "pr-12"],
        expect![[r#"
        exit: 2
        --- stderr
        error: there is no pattern `pr-12` to make an environment from
        hint: `envrun env create pr 12` makes `pr-12`
    "#]],
    );
    // What was said in so many words is not turned into something else.
    for (name, better) in [("../x", "x"), ("Review/7", "review-7")] {
        let ran = sandbox.run(&["env", "create", "pr", "7", "--name", name]);
        assert_eq!(ran.exit, 2, "{}", ran.text());
        assert!(
            ran.stderr.contains(&format!("error: `{name}` is no name of an environment")),
            "{}",
            ran.text()
        );
        assert!(ran.stderr.contains(&format!("hint: `--name {better}` would be one")), "{}", ran.text());
    }
    assert!(listed(&sandbox).is_empty());
    assert!(
        sandbox
            .ok(&["env", "create", "--name", "review-7", "pr", "--arg", "number=7"])
            .stdout
            .ends_with("review-7\n")
    );
    assert!(
        sandbox.ok(&["env", "create", "pr", "--number=12", "--name", "twelve"]).stdout.ends_with("twelve\n")
    );
}

#[test]
fn an_argument_that_makes_no_name_is_refused() {
    let pattern =
        "env \"Feature\" ephemeral=#true { arg \"branch\" }\ntask \"a\" { run \"echo $ARG_BRANCH\" }\n";
    let sandbox = Sandbox::new(pattern);
    for (branch, better) in [("x/../y", "feature-x-y"), ("main ", "feature-main"), ("é", "feature")] {
        let ran = sandbox.run(&["env", "create", "Feature", branch]);
        assert_eq!(ran.exit, 2, "{}", ran.text());
        assert!(ran.stderr.contains(&format!("hint: `--name {better}` would be one")), "{}", ran.text());
    }
    assert!(listed(&sandbox).is_empty() && !sandbox.exists(".envrun/env/feature-x-y"));
    // The argument itself may be anything, under a name of its own.
    sandbox.ok(&["env", "create", "Feature", "x/y", "--name", "x-y"]);
    assert_eq!(listed(&sandbox)["x-y"]["args"]["branch"], "x/y");
    assert!(sandbox.ok(&["env", "create", "Feature", "Login"]).stdout.ends_with("feature-login\n"));
}

#[test]
fn an_environment_has_a_name_that_a_folder_may_have() {
    let sandbox = Sandbox::new(
        "env \"pr-*\" ephemeral=#true { arg \"name\" }\nenv \"a/b\"\nenv \"..\"\nenv \"größe_1-x\"\nenv \"-x\"\n",
    );
    let ran = sandbox.run(&["check"]);
    assert_eq!(ran.exit, 2, "{}", ran.text());
    for wrong in [
        "`\"pr-*\"` is not a name",
        "`\"a/b\"` is not a name",
        "`\"..\"` is not a name",
        "`\"-x\"` is not a name",
    ] {
        assert!(ran.text().contains(wrong), "{wrong}: {}", ran.text());
    }
    assert!(
        ran.text().contains("a pattern is called `pr`: `envrun env create pr 7` makes `pr-7`"),
        "{}",
        ran.text()
    );
    assert!(!ran.text().contains("größe"), "{}", ran.text());
}

#[test]
fn two_that_are_made_at_once_get_ports_of_their_own() {
    let sandbox = Sandbox::new(PR);
    let children: Vec<_> = (1..=6)
        .map(|number| {
            let mut command = sandbox.command(&["env", "create", "pr", &number.to_string()]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for child in children {
        let ran = sandbox.ran(child.wait_with_output().unwrap());
        assert_eq!(ran.exit, 0, "{}", ran.text());
    }
    let listed = listed(&sandbox);
    let ports: Vec<u64> = listed
        .values()
        .flat_map(|made| made["ports"].as_object().unwrap().values().map(|port| port.as_u64().unwrap()))
        .collect();
    assert_eq!((listed.len(), ports.len()), (6, 12));
    assert_eq!(ports.iter().collect::<std::collections::BTreeSet<_>>().len(), 12, "{ports:?}");
    let table = sandbox.ok(&["env", "show", "--ports", "--format", "json"]).stdout;
    let table: serde_json::Value = serde_json::from_str(&table).unwrap();
    assert_eq!(table["clashes"], serde_json::json!([]));
}

#[test]
fn nothing_else_runs_where_somebody_takes_down() {
    let mut sandbox = Sandbox::new(
        r##"
        env "pr" ephemeral=#true { arg "number"; on-destroy "down" }
        task "mk" { run "echo made > made-$ENVRUN_ENV" }
        task "down" {
            run #""$ENVRUN" "$ENVRUN_ENV.mk""#
            run "echo begun > begun; read -r word < go"
        }
        "##,
    );
    sandbox.set("ENVRUN", env!("CARGO_BIN_EXE_envrun"));
    sandbox.ok(&["env", "create", "pr", "2"]);
    sandbox.ok(&["env", "create", "pr", "3"]);
    let (begun, go) = (sandbox.root().join("begun"), sandbox.root().join("go"));
    mkfifo(&begun);
    mkfifo(&go);
    // Open for both, so that nobody waits for anybody to open it.
    let mut go = std::fs::File::options().read(true).write(true).open(go).unwrap();
    let destroy =
        sandbox.command(&["env", "destroy", "pr-2"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let destroy = destroy.unwrap();
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || send.send(std::fs::read_to_string(begun)));
    let word = receive.recv_timeout(Duration::from_secs(90)).expect("`on-destroy` begins").unwrap();
    assert_eq!(word, "begun\n");
    // What it starts itself runs.
    assert_eq!(sandbox.read("made-pr-2"), "made\n");
    for args in [&["pr-2.mk"][..], &["env", "exec", "pr-2", "--", "true"], &["env", "destroy", "pr-2"]] {
        let refused = sandbox.run(args);
        assert_eq!(refused.exit, 7, "{args:?} {}", refused.text());
    }
    let refused = sandbox.run(&["pr-2.mk"]);
    assert!(refused.stderr.contains("another envrun is taking `pr-2` down"), "{}", refused.text());
    // Nobody else has to wait, and who only looks neither.
    sandbox.ok(&["pr-3.mk"]);
    sandbox.ok(&["pr-2.mk", "-n"]);
    std::io::Write::write_all(&mut go, b"go\n").unwrap();
    let ended = sandbox.ran(destroy.wait_with_output().unwrap());
    assert_eq!(ended.exit, 0, "{}", ended.text());
    assert_eq!(sandbox.run(&["pr-2.mk"]).exit, 2, "it is an environment no more");
}

#[test]
fn what_could_not_be_taken_down_stays_listed_and_is_tried_again() {
    let sandbox = Sandbox::new(PR);
    sandbox.ok(&["env", "create", "pr", "7"]);
    sandbox.write("break-down", "");
    let failed = sandbox.run(&["env", "destroy", "pr-7"]);
    assert_eq!(failed.exit, 1, "{}", failed.text());
    let again = "`pr-7` stays listed; `envrun env destroy pr-7` tries again; with `--force` it goes without its `on-destroy`";
    assert!(failed.stderr.contains(again), "{}", failed.text());
    let made = &listed(&sandbox)["pr-7"];
    assert_eq!(made["state"], "destroying");
    assert_eq!(made["failure"], "on-destroy failed: `pr-7.down` (exit status 1)");
    let list = sandbox.ok(&["env", "list"]).stdout;
    assert!(list.contains("on-destroy failed: `pr-7.down`"), "{list}");
    // Not idle for long, but due because it should be gone.
    assert_eq!(sandbox.run(&["env", "gc"]).exit, 1);
    std::fs::remove_file(sandbox.root().join("break-down")).unwrap();
    let collected = sandbox.ok(&["env", "gc"]);
    assert!(
        collected.stdout.ends_with("pr-7: it could not be taken down before; it is gone\n"),
        "{}",
        collected.text()
    );
    assert!(listed(&sandbox).is_empty());
    assert_eq!(sandbox.ok(&["env", "gc"]).stdout, "nothing is due\n");
}

#[test]
fn what_could_not_be_made_is_listed_as_not_finished() {
    let sandbox = Sandbox::new(PR);
    sandbox.write("break-up", "");
    let failed = sandbox.run(&["env", "create", "pr", "7"]);
    assert_eq!(failed.exit, 1, "{}", failed.text());
    assert!(!failed.stdout.ends_with("pr-7\n"));
    assert_eq!(listed(&sandbox)["pr-7"]["state"], "creating");
    assert_eq!(sandbox.run(&["env", "create", "pr", "7"]).exit, 2);
    sandbox.ok(&["env", "destroy", "pr-7"]);
    std::fs::remove_file(sandbox.root().join("break-up")).unwrap();
    sandbox.ok(&["env", "create", "pr", "7"]);
}

#[test]
fn what_on_destroy_cannot_do_is_done_without_by_whoever_says_so() {
    let sandbox = Sandbox::new(PR);
    for number in ["7", "8"] {
        sandbox.ok(&["env", "create", "pr", number]);
    }
    sandbox.write("break-down", "");
    assert_eq!(sandbox.run(&["env", "destroy", "pr-7"]).exit, 1);
    let doctor = sandbox.run(&["doctor", "pr-7"]).stdout;
    assert!(doctor.contains("not taken down: on-destroy failed: `pr-7.down` (exit status 1)"), "{doctor}");
    let forced = sandbox.ok(&["env", "destroy", "--force", "pr-7"]);
    let said = "`pr-7` is gone\nnotice: what its `on-destroy` should have done may be left: on-destroy failed: `pr-7.down` \
                (exit status 1)\n";
    assert!(forced.stderr.ends_with(said), "{}", forced.text());
    assert_eq!(sandbox.read("log").matches("down pr-7").count(), 2, "it was tried all the same");
    assert!(!sandbox.exists(".envrun/env/pr-7"));
    // What a guard refuses did not fail: it has to be satisfied.
    let guarded = PR.replace("task \"down\" {", "task \"down\" { guard { set \"NOBODY_HAS_IT\" };");
    sandbox.write("Envfile.kdl", guarded);
    let refused = sandbox.run(&["env", "destroy", "--force", "pr-8"]);
    assert_eq!(refused.exit, 3, "{}", refused.text());
    assert!(listed(&sandbox).contains_key("pr-8"));
    sandbox.write("Envfile.kdl", PR);
    // One that can be done is done, and nothing is said of it.
    std::fs::remove_file(sandbox.root().join("break-down")).unwrap();
    let forced = sandbox.ok(&["env", "destroy", "--force", "pr-8"]);
    assert!(forced.stderr.ends_with("`pr-8` is gone\n"), "{}", forced.text());
    assert!(listed(&sandbox).is_empty());
}

#[test]
fn what_was_never_finished_is_told_where_nothing_would_take_it_down() {
    let sandbox = Sandbox::new(
        r##"
        env "bare" ephemeral=#true { on-create "up" }
        env "short" ephemeral=#true { ttl "3d"; on-create "fail" }
        task "up" { run "echo begun > begun; read -r word < go" }
        task "fail" { run "false" }
        "##,
    );
    let (begun, go) = (sandbox.root().join("begun"), sandbox.root().join("go"));
    mkfifo(&begun);
    mkfifo(&go);
    // Open for both, so that whoever reads it waits.
    let _open = std::fs::File::options().read(true).write(true).open(go).unwrap();
    let kind = |name: &str| {
        let list = sandbox.ok(&["env", "list"]).stdout;
        list.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{list}")).to_owned()
    };
    let mut create = sandbox.command(&["env", "create", "bare"]).stderr(Stdio::null()).spawn().unwrap();
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || send.send(std::fs::read_to_string(begun)));
    receive.recv_timeout(Duration::from_secs(90)).expect("`on-create` begins").unwrap();
    // While somebody is at it, it is nothing to worry about.
    assert!(kind("bare-1").contains("being made"), "{}", kind("bare-1"));
    let gc = sandbox.ok(&["env", "gc"]);
    assert_eq!(gc.text(), "exit: 0\n--- stdout\nnothing is due\n", "{}", gc.text());
    create.kill().unwrap();
    create.wait().unwrap();
    // Cut short in the middle, or failed: it is there, and who looks is told what to do.
    // Whatever it had forked a moment before lets go of its lock when it comes to run.
    let until = std::time::Instant::now() + Duration::from_secs(90);
    while !kind("bare-1").ends_with("`envrun env create` did not come to an end") {
        assert!(std::time::Instant::now() < until, "{}", kind("bare-1"));
    }
    assert_eq!(sandbox.run(&["env", "create", "short"]).exit, 1);
    for args in [&["env", "gc"][..], &["env", "gc", "-n"]] {
        let gc = sandbox.run(args).text();
        expect![[r#"
            exit: 0
            --- stdout
            nothing is due
            --- stderr
            notice: `bare-1` is not finished: `envrun env create` did not come to an end
            hint: `envrun env destroy bare-1` takes it down; its pattern has no `ttl`, so `envrun env gc` never does
            notice: `short-1` is not finished: on-create failed: `short-1.fail` (exit status 1)
            hint: `envrun env destroy short-1` takes it down now, `envrun env gc` when its `ttl` is over
        "#]]
        .assert_eq(&gc);
    }
    let doctor = sandbox.run(&["doctor", "bare-1"]).stdout;
    assert!(
        doctor.contains("warn bare-1  not finished: `envrun env create` did not come to an end"),
        "{doctor}"
    );
    assert!(doctor.contains("hint: `envrun env destroy bare-1` takes it down; "), "{doctor}");
    sandbox.ok(&["env", "destroy", "bare-1", "short-1"]);
    assert_eq!(sandbox.ok(&["env", "gc"]).text(), gc.text());
}

#[test]
fn gc_takes_down_what_lay_idle_for_longer_than_its_ttl() {
    let sandbox = Sandbox::new(&PR.replace("\"3d\"", "\"1ms\""));
    sandbox.ok(&["env", "create", "pr", "7"]);
    let due = sandbox.ok(&["env", "gc", "--dry-run"]).stdout;
    assert!(due.starts_with("pr-7: nobody used it for "), "{due}");
    sandbox.ok(&["env", "gc"]);
    assert!(listed(&sandbox).is_empty());
    // One that is used is not due.
    let sandbox = Sandbox::new(PR);
    sandbox.ok(&["env", "create", "pr", "7"]);
    assert_eq!(sandbox.ok(&["env", "gc"]).stdout, "nothing is due\n");
    let used = sandbox.root().join(".envrun/env/pr-7/used");
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(4 * 24 * 3600);
    // As if the list and the last use were four days old.
    let list = sandbox.read(".envrun/env/made.json");
    let mut json: serde_json::Value = serde_json::from_str(&list).unwrap();
    json["environments"]["pr-7"]["created"] = 0.into();
    sandbox.write(".envrun/env/made.json", json.to_string());
    std::fs::File::options().write(true).open(&used).unwrap().set_modified(old).unwrap();
    assert!(sandbox.ok(&["env", "list"]).stdout.contains("due"));
    sandbox.ok(&["pr-7.where"]);
    assert_eq!(sandbox.ok(&["env", "gc"]).stdout, "nothing is due\n");
    std::fs::File::options().write(true).open(&used).unwrap().set_modified(old).unwrap();
    sandbox.ok(&["env", "gc"]);
    assert!(listed(&sandbox).is_empty());
}

#[test]
fn a_sealed_answer_does_not_outlive_its_environment() {
    let sandbox = Sandbox::new(&format!(
        "{PR}\ntask \"keep\" {{ inputs \"Envfile.kdl\"; outputs \"kept\"; run \"echo $PORT > kept\" }}\n"
    ));
    sandbox.ok(&["env", "create", "pr", "7"]);
    sandbox.ok(&["pr-7.keep"]);
    sandbox.ok(&["pr-7.keep"]);
    sandbox.ok(&["pr-7.keep"]);
    sandbox.ok(&["env", "destroy", "pr-7"]);
    assert_eq!(sandbox.run(&["pr-7.keep"]).exit, 2);
}

/// What is left of the project when the pattern and its nodes are taken out.
const WITHOUT: &str = "project \"shop\"\nenv \"dev\"\ntask \"a\" { run \"true\" }\n";

#[test]
fn what_on_destroy_would_do_is_not_forgotten_with_the_pattern() {
    let sandbox = Sandbox::new(PR);
    sandbox.ok(&["env", "create", "pr", "7"]);
    sandbox.write("Envfile.kdl", WITHOUT);
    assert!(sandbox.ok(&["env", "list"]).stdout.contains("pr (gone)"));
    sandbox.check(
        &["env", "show", "pr-7"],
        expect![[r#"
            exit: 2
            --- stderr
            error: `pr-7` was made from the pattern `pr`, which is no longer in the Envfile
            hint: write `env "pr" ephemeral=#true` back as it was; or take it down: `envrun env destroy pr-7`
        "#]],
    );
    let refused = expect![[r#"
        exit: 2
        --- stderr
        error: on-destroy cannot run: `pr-7.down`; the Envfile has no pattern `pr` any more
        hint: write `env "pr" ephemeral=#true` back as it was, then `envrun env destroy pr-7`; or take it down without it: `envrun env destroy --force pr-7`
    "#]];
    sandbox.check(&["env", "destroy", "pr-7"], refused);
    assert_eq!(listed(&sandbox)["pr-7"]["state"], "destroying");
    assert!(sandbox.exists(".envrun/env/pr-7"));
    let collected = sandbox.run(&["env", "gc"]);
    assert_eq!(collected.exit, 1, "{}", collected.text());
    assert!(
        collected.stdout.contains("pr-7: it could not be taken down before; it stays listed"),
        "{}",
        collected.text()
    );
    assert!(collected.stderr.contains("on-destroy cannot run: `pr-7.down`"), "{}", collected.text());
    // With the pattern back it is run.
    sandbox.write("Envfile.kdl", PR);
    sandbox.ok(&["env", "gc"]);
    assert!(sandbox.read("log").contains("down pr-7"));
    assert!(listed(&sandbox).is_empty());
    // Or somebody says that it is not needed.
    sandbox.ok(&["env", "create", "pr", "8"]);
    sandbox.write("Envfile.kdl", WITHOUT);
    sandbox.ok(&["env", "destroy", "--force", "pr-8"]);
    assert!(listed(&sandbox).is_empty());
    assert!(!sandbox.exists(".envrun/env/pr-8"));
    assert!(!sandbox.read("log").contains("down pr-8"));
}

#[test]
fn a_ttl_outlives_its_pattern_and_services_do_not() {
    let service = "service \"sleeper\" { run #\"echo $$ > pid; exec sleep 600\"#; ready { exec \"test -s pid\"; every \"50ms\" } }";
    let pattern = PR.replace("\"3d\"", "\"1ms\"").replace("    on-destroy \"down\"\n", "");
    let sandbox = Sandbox::new(&format!("{pattern}\n{service}\n"));
    sandbox.ok(&["env", "create", "pr", "7"]);
    sandbox.ok(&["up", "pr-7"]);
    let pid = sandbox.read("pid").trim().to_owned();
    assert!(is_alive(&pid));
    sandbox.write("Envfile.kdl", WITHOUT);
    let due = sandbox.ok(&["env", "gc", "-n"]).stdout;
    assert!(due.starts_with("pr-7: nobody used it for "), "{due}");
    let gone = sandbox.ok(&["env", "gc"]);
    assert!(gone.stdout.starts_with("pr-7: nobody used it for "), "{}", gone.text());
    assert!(!is_alive(&pid));
    assert!(listed(&sandbox).is_empty());
    assert!(!sandbox.exists(".envrun/env/pr-7"));
    assert_eq!(sandbox.ok(&["env", "gc", "-n"]).stdout, "nothing is due\n");
}

#[test]
fn an_environment_of_the_envfile_keeps_its_state_whatever_was_made() {
    let sandbox = Sandbox::new(PR);
    sandbox.ok(&["env", "create", "pr", "7"]);
    sandbox.write("Envfile.kdl", format!("{PR}env \"pr-7\"\n"));
    sandbox.check(
        &["env", "destroy", "pr-7"],
        expect![[r#"
        exit: 2
        --- stderr
        error: `pr-7` was made from `pr`, and now an environment of the Envfile has its name and its state
        hint: rename the one in the Envfile, then take this one down
    "#]],
    );
    assert!(sandbox.exists(".envrun/env/pr-7"));
}

#[test]
fn nothing_of_an_environment_is_left() {
    let files = "secrets { PW generate=\"hex\" }\ntask \"files\" {\n render \".env.${ENVRUN_ENV}\" format=\"dotenv\"\n render \"conf/${ENVRUN_ENV}.json\" format=\"json\" only=\"vars\"\n render \"mine-${ENVRUN_ENV}.json\" format=\"json\" only=\"vars\"\n}";
    let sandbox = Sandbox::with(&[("Envfile.kdl", &format!("{PR}\n{files}\n")), (".gitignore", ".env.*\n")]);
    let git = |args: &[&str]| {
        let done = std::process::Command::new("git").args(args).current_dir(sandbox.root()).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    git(&["init", "-q"]);
    for number in ["7", "8"] {
        sandbox.ok(&["env", "create", "pr", number]);
        sandbox.ok(&[&format!("pr-{number}.files")]);
    }
    let mine = sandbox.read("mine-pr-7.json") + "\n";
    sandbox.write("mine-pr-7.json", &mine);
    let gone = sandbox.ok(&["env", "destroy", "pr-7", "pr-8"]);
    expect![[r#"
        `pr-7` is gone
        notice: `mine-pr-7.json` was rendered in `pr-7` and changed by hand since; it was left
        `pr-8` is gone
    "#]]
    .assert_eq(
        &gone
            .stderr
            .lines()
            .filter(|line| line.contains('`'))
            .map(|line| format!("{line}\n"))
            .collect::<String>(),
    );
    assert_eq!(sandbox.read("mine-pr-7.json"), mine);
    for number in ["7", "8"] {
        for file in [
            ".env.pr-N",
            "conf/pr-N.json",
            ".envrun/env/pr-N",
            ".envrun/logs/pr-N",
            ".envrun/secrets/pr-N.env",
            ".envrun/env/pr-N.life.lock",
        ] {
            assert!(!sandbox.exists(&file.replace('N', number)), "{file} {number}");
        }
    }
    assert!(!sandbox.exists("mine-pr-8.json"));
    assert_eq!(std::fs::read_dir(sandbox.root().join(".envrun/rendered")).unwrap().count(), 0);
}

#[test]
fn one_that_cannot_be_taken_down_keeps_none_of_the_others() {
    let sandbox = Sandbox::new(PR);
    sandbox.ok(&["env", "create", "pr", "7"]);
    let ran = sandbox.run(&["env", "destroy", "nobody", "pr-7"]);
    assert_eq!(ran.exit, 2, "{}", ran.text());
    assert!(ran.stderr.contains("no environment `nobody` was made"), "{}", ran.text());
    assert!(ran.stderr.contains("`pr-7` is gone"), "{}", ran.text());
}

fn is_alive(pid: &str) -> bool {
    std::process::Command::new("kill").args(["-0", pid]).stderr(Stdio::null()).status().unwrap().success()
}

#[test]
fn words_of_env_are_completed() {
    let sandbox = Sandbox::new(PR);
    let complete = |words: &[&str]| {
        let mut args = vec!["__complete", "--"];
        args.extend(words);
        let out = sandbox.ok(&args).stdout;
        out.lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect::<Vec<_>>().join(" ")
    };
    expect!["list show diff sync create destroy gc exec export"].assert_eq(&complete(&["env", ""]));
    expect!["dev"].assert_eq(&complete(&["env", "show", ""]));
    expect!["dev"].assert_eq(&complete(&["env", "diff", "d"]));
    expect!["pr"].assert_eq(&complete(&["env", "create", ""]));
    expect!["--number"].assert_eq(&complete(&["env", "create", "pr", "--num"]));
    expect!["--origin"].assert_eq(&complete(&["env", "show", "--or"]));
    sandbox.ok(&["env", "create", "pr", "7"]);
    expect!["pr-7"].assert_eq(&complete(&["env", "destroy", ""]));
    expect!["dev pr-7"].assert_eq(&complete(&["env", "exec", ""]));
    expect!["pr-7.up pr-7.down pr-7.where"].assert_eq(&complete(&["pr-7."]));
}

#[test]
fn what_is_up_in_an_environment_goes_down_with_it() {
    let service = "service \"sleeper\" { run #\"echo $$ > pid; exec sleep 600\"#; ready { exec \"test -s pid\"; every \"50ms\" } }";
    let sandbox = Sandbox::new(&format!("{PR}\n{service}\n"));
    sandbox.ok(&["env", "create", "pr", "7"]);
    sandbox.ok(&["up", "pr-7"]);
    let pid = sandbox.read("pid").trim().to_owned();
    assert!(is_alive(&pid));
    sandbox.ok(&["env", "destroy", "pr-7"]);
    assert!(!is_alive(&pid));
    assert!(!sandbox.exists(".envrun/env/pr-7"));
}

#[test]
fn a_damaged_list_says_what_it_is_and_what_to_do() {
    let sandbox = Sandbox::new(PR);
    sandbox.ok(&["env", "create", "pr", "7"]);
    let list = sandbox.read(".envrun/env/made.json");
    sandbox.write(".envrun/env/made.json", &list[..list.len() / 2]);
    let refused = sandbox.run(&["env", "list"]);
    assert_eq!(refused.exit, 1, "{}", refused.text());
    for said in
        [".envrun/env/made.json", "it lists the environments that `envrun env create` made: mend it by hand"]
    {
        assert!(refused.stderr.contains(said), "{}", refused.text());
    }
    // What has nothing to do with them goes on.
    for args in [&["dev.down"][..], &["list"], &["env", "show", "dev"], &["doctor", "dev"], &["check"]] {
        sandbox.ok(args);
    }
    // What has is refused, and nothing is lost.
    let wanted: [(&[&str], i32); 6] = [
        (&["pr-7.up"], 2),
        (&["env", "show", "pr-7"], 2),
        (&["doctor", "pr-7"], 2),
        (&["env", "create", "pr", "8"], 1),
        (&["env", "destroy", "pr-7"], 1),
        (&["env", "gc"], 1),
    ];
    for (args, exit) in wanted {
        let refused = sandbox.run(args);
        assert_eq!(refused.exit, exit, "{args:?} {}", refused.text());
        assert!(refused.stderr.contains("mend it by hand"), "{args:?} {}", refused.text());
    }
    assert_eq!(sandbox.read(".envrun/env/made.json"), list[..list.len() / 2]);
    sandbox.write(".envrun/env/made.json", list);
    sandbox.ok(&["pr-7.up", "--dry-run"]);
}

#[test]
fn a_name_that_means_something_already_is_refused() {
    let sandbox = Sandbox::with(&[
        (
            "Envfile.kdl",
            "env \"dev\"\nenv \"pr\" ephemeral=#true { arg \"number\" }\nstage \"test\" env=\"dev\" { run \"a\" }\n\
             include \"n.kdl\" as=\"note\"\ntask \"a\" { run \"true\" }\n",
        ),
        ("n.kdl", "task \"x\" { run \"true\" }\n"),
    ]);
    for (args, said) in [
        (&["7", "--name", "test"][..], "`test` is a stage, so it cannot be an environment too"),
        (
            &["7", "--name", "note"],
            "`note` is the front of names of nodes, so it cannot be an environment too",
        ),
        (&[""], "`pr-` is no name of an environment"),
        (&["7", "--name", "7-"], "hint: `--name 7` would be one"),
    ] {
        let ran = sandbox.run(&[&["env", "create", "pr"], args].concat());
        assert_eq!(ran.exit, 2, "{}", ran.text());
        assert!(ran.stderr.contains(said), "{args:?}: {}", ran.text());
    }
    let ran = sandbox.run(&["env", "create", "pr-*"]);
    assert!(ran.stderr.contains("did you mean `pr`?"), "{}", ran.text());
    assert!(listed(&sandbox).is_empty());
}
