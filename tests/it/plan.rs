//! Plans: frozen, carried out as they are, and refused when anything moved, naming it; with a real git repository.

use crate::sandbox::{Ran, Sandbox, git, share};

const ENVFILE: &str = r##"
project "lab"
vars { (path)ROOT "live/${ENVRUN_ENV}"; GREETING "hello"; STAMP "${ENVRUN_TIME}" }
secrets { TOKEN }
env "uat" { }
env "prod" {
    guard { branch "main" }
    deploy "deploy" { from "uat" }
}
task "package" {
    inputs "app.txt" "parts/*"
    outputs "build/app.txt"
    tools "./tools/mark"
    uses "GREETING"
    run "cat app.txt parts/* > build/app.txt"
}
task "log" { when { file "wanted" }; run "echo $STAMP >> log.txt" }
task "health" { run #"test -s "$ROOT/app.txt""# }
deploy "deploy" {
    needs "package"
    run #"mkdir -p "$ROOT" && cp build/app.txt "$ROOT/app.txt" && echo "$TOKEN" > "$ROOT/token""#
    verify "health"
}
"##;

struct Lab {
    sandbox: Sandbox,
}

impl Lab {
    fn new() -> Self {
        let sandbox = Sandbox::with(&[
            ("Envfile.kdl", ENVFILE),
            ("app.txt", "one\n"),
            (".gitignore", ".envrun\nbuild\nlive\nlog.txt\napp.txt\ntools\nwanted\n*.json\n"),
            ("README", "lab\n"),
        ]);
        sandbox.script("tools/mark", "#!/bin/sh\n");
        let lab = Self { sandbox };
        lab.git(&["init", "--quiet", "-b", "main"]);
        lab.git(&["add", "--all"]);
        lab.git(&["commit", "--quiet", "-m", "first"]);
        // Not under version control, and not ignored: a glob finds it.
        lab.sandbox.write("parts/a", "a\n");
        lab.secret("uat", "uat-s3cr3t-value");
        lab.secret("prod", "prod-s3cr3t-value");
        lab
    }

    #[track_caller]
    fn git(&self, args: &[&str]) -> String {
        git(&self.sandbox.root(), "ada", args)
    }

    #[track_caller]
    fn secret(&self, env: &str, value: &str) {
        use std::io::Write as _;
        let mut command = self.sandbox.command(&["secret", "set", env, "TOKEN"]);
        let mut child = command.stdin(std::process::Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(value.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
    }

    #[track_caller]
    fn plan(&self, target: &str) -> Ran {
        self.sandbox.ok(&["plan", target, "-o", "plan.json"])
    }

    fn apply(&self) -> Ran {
        self.sandbox.run(&["apply", "plan.json"])
    }

    /// Refused because of exactly these.
    #[track_caller]
    fn refused(&self, moved: &[&str]) {
        let ran = self.apply();
        assert_eq!(ran.exit, 3, "{}", ran.text());
        let told: Vec<&str> = ran.stderr.lines().filter_map(|line| line.strip_prefix("  ")).collect();
        assert_eq!(told.len(), moved.len(), "wanted {moved:?}\n{}", ran.text());
        for (told, moved) in told.iter().zip(moved) {
            assert!(told.contains(moved), "wanted `{moved}`\n{}", ran.text());
        }
    }

    fn live(&self, env: &str) -> String {
        self.sandbox.read(&format!("live/{env}/app.txt"))
    }
}

/// What moves, and what is told of it.
type Move = (fn(&Lab), &'static [&'static str]);

#[test]
fn a_plan_is_carried_out_as_it_is_and_refused_when_something_moved() {
    let lab = Lab::new();
    lab.plan("uat.deploy");
    let ran = lab.apply();
    assert_eq!(ran.exit, 0, "{}", ran.text());
    assert_eq!(lab.live("uat"), "one\na\n");
    // The release tells which plan it came of.
    let plan: serde_json::Value = serde_json::from_str(&lab.sandbox.read("plan.json")).unwrap();
    let digest = plan["digest"].as_str().unwrap();
    assert!(lab.sandbox.read(".envrun/env/uat/ledger.jsonl").contains(&format!("plan {digest}")));
    // What it would do is done: another release is live than the one that it was made for.
    lab.refused(&["release 1"]);

    let moves: &[Move] = &[
        (|lab| lab.sandbox.write("app.txt", "two\n"), &["app.txt changed (`package`)"]),
        (|lab| lab.sandbox.write("parts/b", "b\n"), &["parts/b was added (`package`)"]),
        (|lab| std::fs::remove_file(lab.sandbox.root().join("parts/b")).unwrap(), &["parts/b was removed"]),
        (|lab| lab.sandbox.script("tools/mark", "#!/bin/sh\ntrue\n"), &["the tool `./tools/mark` changed"]),
        (|lab| lab.secret("uat", "uat-other-s3cr3t"), &["the secret TOKEN changed in `uat`"]),
        (|lab| lab.sandbox.write("README", "changed\n"), &["changed since, and not committed: README"]),
        (
            |lab| {
                lab.git(&["commit", "--quiet", "-a", "-m", "second"]);
            },
            &["is checked out, and not", "`uat.deploy` would put "],
        ),
        (
            |lab| lab.sandbox.write("Envfile.kdl", ENVFILE.replace("hello", "good day")),
            &["Envfile.kdl says something else", "changed since, and not committed", "GREETING changed"],
        ),
        (
            |lab| {
                lab.sandbox
                    .write("Envfile.kdl", ENVFILE.replace("cat app.txt parts/*", "cat parts/* app.txt"));
            },
            &[
                "Envfile.kdl says something else",
                "once more",
                "GREETING changed",
                "the command changed (`package`)",
            ],
        ),
    ];
    for (change, told) in moves {
        lab.plan("uat.deploy");
        change(&lab);
        lab.refused(told);
    }
    // Nothing of all that went live, and a new plan does.
    assert_eq!(lab.live("uat"), "one\na\n");
    lab.plan("uat.deploy");
    assert_eq!(lab.apply().exit, 0);
    assert_eq!(lab.live("uat"), "a\ntwo\n");
}

#[test]
fn the_file_of_a_plan_is_no_change_of_the_work_tree_that_it_lies_in() {
    let envfile = r##"
project "lab"
env "prod" {
    guard { clean }
}
task "package" { inputs "app.txt"; outputs "build/app.txt"; run "mkdir -p build; cp app.txt build" }
deploy "deploy" {
    needs "package"
    run "mkdir -p live && cp build/app.txt live"
}
"##;
    let sandbox = Sandbox::with(&[
        ("Envfile.kdl", envfile),
        ("app.txt", "one\n"),
        (".gitignore", ".envrun\nbuild\nlive\n"),
    ]);
    let lab = Lab { sandbox };
    lab.git(&["init", "--quiet", "-b", "main"]);
    lab.git(&["add", "--all"]);
    lab.git(&["commit", "--quiet", "-m", "first"]);
    std::fs::create_dir(lab.sandbox.root().join("plans")).unwrap();
    let plan = || lab.sandbox.ok(&["plan", "prod.deploy", "-o", "plans/plan.json"]);
    for _ in 0..2 {
        // The second time the file is there already.
        assert!(plan().stdout.contains("[x] guard clean"));
    }
    lab.sandbox.write("plans/notes", "something else\n");
    let ran = lab.sandbox.run(&["apply", "plans/plan.json"]);
    assert_eq!(ran.exit, 3, "{}", ran.text());
    assert!(ran.stderr.contains("the work tree is not clean: plans/notes"), "{}", ran.text());
    std::fs::remove_file(lab.sandbox.root().join("plans/notes")).unwrap();
    let ran = lab.sandbox.run(&["apply", "plans/plan.json"]);
    assert_eq!(ran.exit, 0, "{}", ran.text());
    // Without a repository all files together are the revision, and this one is none of them.
    std::fs::remove_dir_all(lab.sandbox.root().join(".git")).unwrap();
    lab.sandbox.write("Envfile.kdl", envfile.replace("guard { clean }", "guard { set \"HOME\" }"));
    plan();
    let ran = lab.sandbox.run(&["apply", "plans/plan.json"]);
    assert_eq!(ran.exit, 0, "{}", ran.text());
}

#[test]
fn a_plan_of_a_promotion_ships_the_release_that_it_names() {
    let lab = Lab::new();
    let ran = lab.sandbox.ok(&["plan", "prod.deploy"]);
    assert!(ran.stdout.contains("[x] guard branch main (Envfile.kdl:7)"), "{}", ran.text());
    assert!(ran.stdout.contains("nothing ever went live in `uat`"), "{}", ran.text());
    lab.sandbox.ok(&["uat.deploy"]);
    let ran = lab.plan("prod.deploy");
    for line in ["ships: package ", "(release 1 of uat)", "verifies: prod.health", "live now: nothing"] {
        assert!(ran.stdout.contains(line), "wanted `{line}`\n{}", ran.text());
    }
    lab.sandbox.write("app.txt", "two\n");
    lab.sandbox.ok(&["uat.deploy"]);
    lab.refused(&["`prod.deploy` would ship package"]);
    lab.plan("prod.deploy");
    // What is not in it may move: nothing is made for it.
    lab.sandbox.write("app.txt", "three\n");
    assert_eq!(lab.apply().exit, 0);
    assert_eq!(lab.live("prod"), "two\na\n");
}

#[test]
fn the_guards_of_a_promotion_are_asked_about_what_it_ships() {
    let lab = Lab::new();
    let guard = r#"guard { branch "main"; deployed "uat" within="7d"; confirm "PROD" }"#;
    lab.sandbox.write("Envfile.kdl", ENVFILE.replace("guard { branch \"main\" }", guard));
    lab.git(&["commit", "--quiet", "--all", "-m", "guarded"]);
    let ran = lab.sandbox.ok(&["plan", "prod.deploy"]);
    assert!(ran.stdout.contains("nothing was deployed to uat yet"), "{}", ran.text());
    lab.sandbox.ok(&["uat.deploy"]);
    lab.git(&["commit", "--quiet", "--allow-empty", "-m", "a later one"]);
    for args in [&["plan", "prod.deploy"][..], &["-n", "prod.deploy"]] {
        let ran = lab.sandbox.ok(args);
        let told = ran.text();
        assert!(told.contains("[x] guard deployed uat within 7d (Envfile.kdl:7)"), "{told}");
    }
    let ran = lab.sandbox.run(&["prod.deploy", "--confirm", "prod"]);
    assert_eq!(ran.exit, 3, "{}", ran.text());
    assert!(ran.stderr.contains("`--confirm` gave `prod`, and the word is `PROD`"), "{}", ran.text());
    lab.sandbox.ok(&["prod.deploy", "--confirm", "PROD"]);
    lab.sandbox.ok(&["prod.deploy", "--break-glass", "fire"]);
    // What was passed by hand is no evidence.
    let told = lab.sandbox.ok(&["history", "prod"]).stdout;
    let lines: Vec<&str> = told.lines().filter(|line| line.contains(" live ")).collect();
    assert_eq!(lines.len(), 2, "{told}");
    assert!(lines[0].contains("fire") && !lines[0].contains("confirm PROD"), "{told}");
    assert!(lines[1].contains("deployed uat within 7d, confirm PROD"), "{told}");
    let none = lab.sandbox.ok(&["history", "prod", "-n", "0"]);
    assert_eq!(none.text().matches("nothing was ever deployed").count(), 0, "{}", none.text());
}

#[test]
fn a_guard_that_refuses_is_told_and_not_the_secrets_behind_it() {
    let lab = Lab::new();
    lab.sandbox.ok(&["uat.deploy"]);
    lab.plan("prod.deploy");
    lab.git(&["checkout", "--quiet", "-b", "other"]);
    for args in [&["apply", "plan.json"][..], &["prod.deploy"]] {
        let ran = lab.sandbox.run(args);
        assert_eq!(ran.exit, 3, "{}", ran.text());
        assert!(ran.stderr.contains("the branch is other, not main"), "{}", ran.text());
        assert!(!ran.stderr.contains("TOKEN"), "{}", ran.text());
    }
    assert!(!lab.sandbox.exists("live/prod"));
}

#[test]
fn what_moves_between_the_first_look_and_the_lock_is_seen_by_the_second() {
    let lab = Lab::new();
    let hooked = ENVFILE.replace(
        "env \"uat\" { }",
        "env \"uat\" { guard { exec #\"test ! -e build/hook || sh build/hook\"# name=\"the hook\" } }",
    );
    lab.sandbox.write("Envfile.kdl", hooked);
    lab.git(&["commit", "--quiet", "-a", "-m", "hooked"]);
    lab.sandbox.ok(&["uat.deploy"]);
    lab.sandbox.write("app.txt", "two\n");
    // A guard's command is executed only when the plan is carried out: when all was compared once, and is locked.
    let moves: [(&str, &str); 3] = [
        ("echo changed > README", "changed since, and not committed: README"),
        ("echo three > app.txt", "app.txt changed (`package`)"),
        (
            "git checkout -q -b other && git -c user.name=a -c user.email=a@b commit -q --allow-empty -m x",
            "is checked out, and not",
        ),
    ];
    for (hook, told) in moves {
        lab.plan("uat.deploy");
        lab.sandbox.write("build/hook", hook);
        let ran = lab.apply();
        assert_eq!(ran.exit, 3, "{}", ran.text());
        assert!(ran.stderr.contains(told), "wanted `{told}`\n{}", ran.text());
        assert_eq!(lab.live("uat"), "one\na\n");
        std::fs::remove_file(lab.sandbox.root().join("build/hook")).unwrap();
        lab.git(&["checkout", "--quiet", "README"]);
        lab.sandbox.write("app.txt", "two\n");
    }
    let history = lab.sandbox.ok(&["history", "uat"]).stdout;
    assert_eq!(history.matches("refused").count(), 3, "{history}");
    lab.plan("uat.deploy");
    assert_eq!(lab.apply().exit, 0);
    assert_eq!(lab.live("uat"), "two\na\n");
}

#[test]
fn glass_that_was_broken_for_a_plan_that_moved_changes_nothing_and_is_kept() {
    let lab = Lab::new();
    let hooked = ENVFILE.replace(
        "env \"uat\" { }",
        "env \"uat\" { guard { deployed \"prod\"; exec #\"test ! -e build/hook || sh build/hook\"# } }",
    );
    lab.sandbox.write("Envfile.kdl", hooked);
    lab.git(&["commit", "--quiet", "-a", "-m", "hooked"]);
    lab.plan("uat.deploy");
    assert_eq!(lab.apply().exit, 3, "nothing was live in prod");
    let broken = || lab.sandbox.run(&["apply", "plan.json", "--break-glass", "it burns"]);
    lab.sandbox.write("build/hook", "echo two > app.txt");
    let ran = broken();
    assert_eq!(ran.exit, 3, "{}", ran.text());
    assert!(ran.stderr.contains("app.txt changed (`package`)"), "{}", ran.text());
    assert!(!lab.sandbox.exists("live/uat"));
    let history = lab.sandbox.ok(&["history", "uat"]).stdout;
    assert_eq!(history.matches("refused").count(), 2, "{history}");
    assert!(history.contains("it burns"), "{history}");
    // Secrets behind the guard may have been read by then: that it was passed is kept.
    assert_eq!(lab.sandbox.read(".envrun/break-glass.jsonl").lines().count(), 1);
    std::fs::remove_file(lab.sandbox.root().join("build/hook")).unwrap();
    lab.sandbox.write("app.txt", "one\n");
    let ran = broken();
    assert_eq!(ran.exit, 0, "{}", ran.text());
    assert_eq!(lab.live("uat"), "one\na\n");
}

#[test]
fn a_release_of_another_checkout_moves_a_plan() {
    let lab = Lab::new();
    lab.sandbox.write("Envfile.kdl", format!("{ENVFILE}state git=\"origin\"\n"));
    lab.git(&["commit", "--quiet", "-a", "-m", "shared"]);
    let (_, other) = share(&lab.sandbox.root(), "ada");
    for path in ["app.txt", "parts/a", "tools/mark", ".envrun/secrets/uat.env"] {
        let (from, to) = (lab.sandbox.root().join(path), other.join(path));
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(from, to).unwrap();
    }
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(other.join(".envrun/secrets"), private).unwrap();
    lab.plan("uat.deploy");
    let ran = lab.sandbox.ran(lab.sandbox.command_in(&other, &["uat.deploy"]).output().unwrap());
    assert_eq!(ran.exit, 0, "{}", ran.text());
    lab.refused(&["release 1"]);
    lab.plan("uat.deploy");
    assert_eq!(lab.apply().exit, 0);
    let history = lab.sandbox.ran(lab.sandbox.command_in(&other, &["history", "uat"]).output().unwrap());
    assert_eq!(history.stdout.matches(" live").count(), 2, "{}", history.text());
}

#[test]
fn what_is_skipped_stays_skipped_and_what_other_runs_made_is_welcome() {
    let lab = Lab::new();
    lab.plan("log");
    lab.sandbox.write("wanted", "");
    lab.refused(&["`log` would have been skipped, and would run now"]);
    // The time is another one in every run, and no reason.
    lab.plan("log");
    assert_eq!(lab.apply().exit, 0);
    lab.plan("uat.package");
    lab.sandbox.ok(&["uat.package"]);
    let ran = lab.apply();
    assert_eq!(ran.exit, 0, "{}", ran.text());
    // Made meanwhile by somebody else, and broken then: the planned bytes come back.
    lab.plan("uat.package");
    lab.sandbox.write("build/app.txt", "broken\n");
    assert_eq!(lab.apply().exit, 0);
    assert_eq!(lab.sandbox.read("build/app.txt"), "one\na\n");
}

#[test]
fn no_secret_is_in_a_plan_and_nobody_else_may_read_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let lab = Lab::new();
    let ran = lab.plan("uat.deploy");
    let text = lab.sandbox.read("plan.json");
    assert!(text.contains("\"TOKEN\""), "{text}");
    for shown in [&text, &ran.stdout, &ran.stderr] {
        assert!(!shown.contains("s3cr3t"), "{shown}");
    }
    let mode = std::fs::metadata(lab.sandbox.root().join("plan.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // Where another key hashes secrets they cannot be compared, and nobody pretends that they could.
    let elsewhere = lab.sandbox.root().parent().unwrap().join("elsewhere");
    let mut command = lab.sandbox.command(&["apply", "plan.json"]);
    let ran = lab.sandbox.ran(command.env("XDG_CACHE_HOME", elsewhere).output().unwrap());
    assert_eq!(ran.exit, 3, "{}", ran.text());
    assert!(ran.stderr.contains("its secrets cannot be compared"), "{}", ran.text());
    assert!(!ran.stderr.contains("TOKEN") && !lab.sandbox.exists("live"), "{}", ran.text());
    // One that would hold it is not written.
    let ran =
        lab.sandbox.run(&["plan", "uat.deploy", "--set", "GREETING=uat-s3cr3t-value", "-o", "bad.json"]);
    assert_eq!(ran.exit, 2, "{}", ran.text());
    assert!(!lab.sandbox.exists("bad.json") && !ran.text().contains("s3cr3t"), "{}", ran.text());
}

#[test]
fn a_plan_that_is_not_as_it_was_written_is_refused() {
    let lab = Lab::new();
    lab.plan("uat.deploy");
    let text = lab.sandbox.read("plan.json");
    let cases: [(String, i32, &str); 6] = [
        (text.replace("uat.deploy", "prod.deploy"), 3, "it was changed after it was made"),
        (
            text.replace("\"set\": []", "\"set\": [[\"GREETING\", \"x\"]]"),
            3,
            "it was changed after it was made",
        ),
        (text[..text.len() / 2].to_owned(), 2, "plan.json is not a plan"),
        (String::new(), 2, "plan.json is not a plan"),
        (text.replacen("\"format\": 1", "\"format\": 99", 1), 2, "format 99"),
        (text.replacen("\"project\"", "\"extra\": 1,\n  \"project\"", 1), 2, "not a whole plan"),
    ];
    for (text, exit, told) in cases {
        lab.sandbox.write("plan.json", text);
        let ran = lab.apply();
        assert_eq!(ran.exit, exit, "{}", ran.text());
        assert!(ran.stderr.contains(told), "wanted `{told}`\n{}", ran.text());
    }
    let ran = lab.sandbox.run(&["apply", "none.json"]);
    assert_eq!(ran.exit, 2, "{}", ran.text());
    lab.sandbox.write("plan.json", &text);
    lab.sandbox.write("Envfile.kdl", ENVFILE.replace("project \"lab\"", "project \"other\""));
    let ran = lab.apply();
    assert_eq!(ran.exit, 2, "{}", ran.text());
    assert!(ran.stderr.contains("is a plan of the project `lab`, and this is `other`"), "{}", ran.text());
    assert!(!lab.sandbox.exists("live"));
}

#[test]
fn a_plan_of_nothing_known_is_a_mistake() {
    let lab = Lab::new();
    let ran = lab.sandbox.run(&["plan", "uat.depoy", "-o", "plan.json"]);
    assert_eq!(ran.exit, 2, "{}", ran.text());
    assert!(ran.stderr.contains("`deploy`") || ran.stderr.contains("deploy`?"), "{}", ran.text());
    assert_eq!(lab.sandbox.run(&["plan"]).exit, 2);
    let ran = lab.sandbox.run(&["plan", "deploy"]);
    assert_eq!(ran.exit, 2, "{}", ran.text());
    assert!(!lab.sandbox.exists("plan.json"));
}
