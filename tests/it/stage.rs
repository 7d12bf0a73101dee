//! Stages: with a real git, a bare origin, and checkouts that share a cache.

use std::path::{Path, PathBuf};
use std::process::Command;

use expect_test::expect;

use crate::sandbox::{Ran, Sandbox, need};

/// Makes other bytes whenever it is executed, and says so in `made`.
const SHOP: &str = r#"
project "shop" default-env="test"
state git="origin"
env "test"
env "uat"
env "prod"
stage "test"  env="test"               { run "unit" }
stage "uat"   env="uat"  after="test"  { when { branch "main" "release/*" }; run "verify" }
stage "build" env="prod" after="uat"   { when { branch "main" }; run "package" }
stage "prod"  env="prod" after="build" { run "ship" }
task "unit" { inputs "src/**"; run "echo unit" }
task "verify" { needs "unit"; run "echo verify in $ENVRUN_STAGE" }
task "package" { inputs "src/**"; outputs "dist"; run "mkdir -p dist; cp src/* dist; od -An -N8 -tx1 /dev/urandom > dist/made" }
task "ship" { needs "package"; mutates #true; run "mkdir -p live; cp dist/* live; echo $ENVRUN_STAGE > live/stage" }
"#;

/// A project in a clone of a bare origin, and more clones of it.
struct World {
    sandbox: Sandbox,
}

impl World {
    fn new(envfile: &str) -> Self {
        let sandbox =
            Sandbox::with(&[("Envfile.kdl", envfile), ("src/a", "a"), (".gitignore", ".env\nlive\n")]);
        let world = Self { sandbox };
        world.git(&world.base(), &["init", "-q", "--bare", "-b", "main", "origin.git"]);
        let root = world.root();
        world.git(&root, &["init", "-q", "-b", "main"]);
        world.git(&root, &["remote", "add", "origin", &world.url()]);
        world.commit("first");
        world.git(&root, &["push", "-q", "-u", "origin", "main"]);
        world
    }

    fn root(&self) -> PathBuf {
        self.sandbox.root()
    }

    fn base(&self) -> PathBuf {
        self.root().parent().unwrap().to_path_buf()
    }

    fn url(&self) -> String {
        // A path would be copied by links, which no real remote does.
        format!("file://{}", self.base().join("origin.git").display())
    }

    fn git(&self, dir: &Path, args: &[&str]) -> String {
        git(dir, args)
    }

    fn commit(&self, message: &str) {
        self.git(&self.root(), &["add", "-A", "--", ".", ":!dist"]);
        self.git(&self.root(), &["commit", "-q", "-m", message]);
    }

    fn clone(&self, name: &str, options: &[&str]) -> PathBuf {
        let url = self.url();
        let args = [&["clone", "-q"], options, &[&url, name]].concat();
        self.git(&self.base(), &args);
        self.base().join(name)
    }

    /// `envrun stage` with these arguments, in a checkout.
    fn stage_in(&self, dir: &Path, args: &[&str]) -> Ran {
        let args = [&["stage"], args].concat();
        self.sandbox.ran(self.command(dir, &args).output().unwrap())
    }

    fn command(&self, dir: &Path, args: &[&str]) -> Command {
        let mut command = self.sandbox.command_in(dir, args);
        command.env("GITHUB_ACTOR", "ann");
        command
    }

    fn stage(&self, args: &[&str]) -> Ran {
        self.stage_in(&self.root(), args)
    }

    #[track_caller]
    fn green(&self, dir: &Path, stages: &[&str]) {
        for stage in stages {
            let ran = self.stage_in(dir, &[stage]);
            assert_eq!(ran.exit, 0, "{}", ran.text());
            assert!(ran.stderr.contains(&format!("stage `{stage}` is green")), "{}", ran.text());
        }
    }

    /// What `envrun stage --format json` says of each stage.
    fn results(&self, dir: &Path) -> Vec<String> {
        let ran = self.stage_in(dir, &["--format", "json"]);
        let shown: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
        let stages = shown["stages"].as_array().unwrap().iter();
        stages.map(|stage| stage["result"].as_str().unwrap().to_owned()).collect()
    }
}

fn git(dir: &Path, args: &[&str]) -> String {
    crate::sandbox::git(dir, "Ann", args)
}

fn hook(origin: &Path, name: &str, text: &str) {
    let hook = origin.join("hooks").join(name);
    std::fs::write(&hook, text).unwrap();
    std::fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
}

fn read(path: PathBuf) -> String {
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn a_stage_waits_for_those_before_it_and_ships_the_bytes_that_they_made() {
    let world = World::new(SHOP);
    let refused = world.stage(&["prod"]);
    assert_eq!(refused.exit, 3);
    assert!(!world.sandbox.exists("dist"), "nothing was run");
    let revision = git(&world.root(), &["rev-parse", "--short=12", "HEAD"]);
    expect![[r#"
        exit: 3
        --- stderr
        error: `stage prod` is refused: `test` has no result for $REVISION (Envfile.kdl:10)
          hint: `envrun stage test`
        error: `stage prod` is refused: `uat` has no result for $REVISION (Envfile.kdl:10)
          hint: `envrun stage uat`
        error: `stage prod` is refused: `build` has no result for $REVISION (Envfile.kdl:10)
          hint: `envrun stage build`
    "#]]
    .assert_eq(&refused.text().replace(&revision, "$REVISION"));

    world.green(&world.root(), &["test", "uat", "build"]);
    let made = world.sandbox.read("dist/made");
    // Another checkout, of a branch that moved on, back at the commit.
    let two = world.clone("two", &["--depth=1"]);
    assert_eq!(world.results(&two), ["green", "green", "green", "never"]);
    world.green(&two, &["prod"]);
    assert_eq!(read(two.join("live/made")), made);
    assert_eq!(read(two.join("live/stage")), "prod\n");
    assert_eq!(world.results(&world.root()), ["green"; 4]);
    let all = world.stage(&["--all"]);
    assert_eq!(all.exit, 0);
    assert!(all.stderr.contains("stage `prod` is green already"), "{}", all.text());
    let reference = git(&world.base().join("origin.git"), &["for-each-ref", "--format=%(refname)"]);
    assert_eq!(reference, "refs/envrun/stages\nrefs/heads/main");
}

#[test]
fn the_pipeline_is_shown_with_its_last_results() {
    let world = World::new(SHOP);
    world.sandbox.write("src/a", "b");
    world.commit("second");
    let shown = |ran: Ran| {
        let revision = git(&world.root(), &["rev-parse", "--short=12", "HEAD"]);
        let text = ran.text().replace(&revision, "$REVISION");
        // Day, time and machine.
        let lines = text.lines().map(|line| match line.split_once("  20") {
            Some((before, _)) => format!("{before}  [when]"),
            None => line.to_owned(),
        });
        lines.collect::<Vec<_>>().join("\n")
    };
    world.green(&world.root(), &["test"]);
    expect![[r#"
        exit: 0
        --- stdout
        $REVISION
          test   test  green  [when]
          uat    uat   never
          build  prod  never
          prod   prod  never"#]]
    .assert_eq(&shown(world.stage(&[])));
    world.sandbox.write("src/a", "c");
    expect![[r#"
        exit: 0
        --- stdout
        $REVISION with uncommitted changes
          test   test  never
                 green for the same commit without the changes
          uat    uat   never
          build  prod  never
          prod   prod  never"#]]
    .assert_eq(&shown(world.stage(&[])));
    let listed = world.sandbox.ok(&["list", "u"]).stdout;
    assert!(
        listed.contains(
            "stages\n  uat    (verify in uat, after test)\n  build  (package in prod, after uat)\n"
        ),
        "{listed}"
    );
    let words = world.sandbox.ok(&["__complete", "--", "stage", "u"]).stdout;
    assert_eq!(words, "uat\t\n");
    expect![[r#"
        exit: 2
        --- stderr
        error: there is no stage `biuld`
        hint: did you mean `build`?
    "#]]
    .assert_eq(&world.stage(&["biuld"]).text());
}

#[test]
fn a_stage_without_an_environment_is_of_the_one_that_was_chosen_and_no_other() {
    let mut world = World::new(
        r#"
        env "server" { match { set "SSH_CONNECTION" } }
        env "laptop" { match { unset "SSH_CONNECTION" } }
        stage "test" { run "unit" "same" }
        stage "same" { run "same" }
        stage "ship" env="server" after="test" { run "unit" }
        stage "next" env="server" after="same" { run "unit" }
        task "unit" { run "echo in $ENVRUN_ENV" }
        task "same" { inputs "src/**"; run "echo same" }
        "#,
    );
    let using =
        "stages without an environment use `laptop` because SSH_CONNECTION is not set (Envfile.kdl:3)";
    let ran = world.stage(&[]);
    assert!(ran.stderr.contains(using) && ran.stdout.contains("test  laptop  never"), "{}", ran.text());
    let json = world.stage(&["--format", "json"]);
    let shown: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!((&shown["chosen"]["env"], &shown["stages"][0]["env"]), (&"laptop".into(), &"laptop".into()));
    world.green(&world.root(), &["test", "same"]);

    // Elsewhere another one is chosen: what was green of the first says nothing of it, but of what is the same in both.
    world.sandbox.set("SSH_CONNECTION", "1.2.3.4");
    let ran = world.stage(&[]);
    let using = "stages without an environment use `server` because SSH_CONNECTION is set (Envfile.kdl:2)";
    assert!(ran.stderr.contains(using), "{}", ran.text());
    assert!(ran.stdout.contains("with another environment, `laptop`\n"), "{}", ran.text());
    let refused = world.stage(&["ship"]);
    assert_eq!(refused.exit, 3, "{}", refused.text());
    let reason = "`test` is green with another environment, `laptop`";
    assert!(
        refused.stderr.contains(reason) && refused.stderr.contains("`envrun stage test`"),
        "{}",
        refused.text()
    );
    world.green(&world.root(), &["next"]);
    let all = world.stage(&["--all"]);
    assert!(all.stdout.contains("in server"), "{}", all.text());
    assert!(all.stderr.contains("stage `same` is green already"), "{}", all.text());
    assert!(world.stage(&["--all"]).stderr.contains("stage `test` is green already"));

    // Where each names its own there is nothing to tell.
    let world = World::new(SHOP);
    assert!(!world.stage(&[]).stderr.contains("stages without"));
}

#[test]
fn when_skips_a_stage_and_everything_behind_it() {
    let world = World::new(SHOP);
    git(&world.root(), &["checkout", "-q", "-b", "feature/x"]);
    world.green(&world.root(), &["test"]);
    for stage in ["uat", "build", "prod"] {
        let ran = world.stage(&[stage]);
        assert_eq!(ran.exit, 0, "{}", ran.text());
        assert!(ran.stderr.contains(&format!("stage `{stage}` is skipped: ")), "{}", ran.text());
        assert!(ran.stderr.contains("branch is feature/x"), "{}", ran.text());
    }
    assert_eq!(world.stage(&["--all"]).exit, 0);
    assert!(!world.sandbox.exists("live"));
    assert_eq!(world.results(&world.root()), ["green", "skipped", "skipped", "skipped"]);

    git(&world.root(), &["checkout", "-q", "-b", "release/1"]);
    world.green(&world.root(), &["uat"]);
    assert!(world.stage(&["build"]).stderr.contains("stage `build` is skipped"));
    // To be skipped on one branch takes nothing away from what was green on another.
    git(&world.root(), &["checkout", "-q", "feature/x"]);
    assert_eq!(world.stage(&["uat"]).exit, 0);
    assert_eq!(world.results(&world.root())[1], "green");
}

#[test]
fn an_environments_when_skips_its_stages_and_a_guard_refuses() {
    let world = World::new(
        r#"
        env "build" { when { branch "main" } }
        env "prod"
        stage "build" env="build" { run "make" }
        stage "prod" env="prod" after="build" {
            guard { set "TICKET" hint="export TICKET=…"; exec "test -f allowed" }
            run "ship"
        }
        task "make" { run "echo make" }
        task "ship" { run "echo shipped" }
        "#,
    );
    world.green(&world.root(), &["build"]);
    let refused = world.stage(&["prod"]);
    assert_eq!(refused.exit, 3);
    assert_eq!(refused.stderr.matches("`stage prod` is refused: ").count(), 2, "{}", refused.text());
    assert!(refused.stderr.contains("TICKET"), "{}", refused.text());
    assert!(
        refused.stderr.contains("hint: see what is wrong by hand: test -f allowed"),
        "what says no hint of its own has one\n{}",
        refused.text()
    );
    world.sandbox.write("allowed", "");
    std::fs::write(world.root().join(".git/info/exclude"), "allowed\n").unwrap();
    let passed = world.command(&world.root(), &["stage", "prod"]).env("TICKET", "7").output().unwrap();
    assert_eq!(passed.status.code(), Some(0), "{}", world.sandbox.ran(passed).text());

    git(&world.root(), &["checkout", "-q", "-b", "feature/x"]);
    for stage in ["build", "prod"] {
        let ran = world.stage(&[stage]);
        assert_eq!(ran.exit, 0);
        assert!(ran.stderr.contains("is skipped"), "{}", ran.text());
    }
}

#[test]
fn a_result_speaks_of_one_work_tree() {
    let world = World::new(SHOP);
    world.sandbox.write("src/a", "not committed");
    world.sandbox.write("src/new", "untracked");
    world.green(&world.root(), &["test", "uat"]);
    // The same changes elsewhere are the same work tree; `dist` is made, and counts for nothing.
    let two = world.clone("two", &[]);
    std::fs::write(two.join("src/a"), "not committed").unwrap();
    std::fs::write(two.join("src/new"), "untracked").unwrap();
    world.green(&two, &["build", "prod"]);
    std::fs::write(two.join("src/new"), "other").unwrap();
    let refused = world.stage_in(&two, &["prod"]);
    assert_eq!(refused.exit, 3);
    assert!(
        refused.stderr.contains("`build` has a result only for other uncommitted changes"),
        "{}",
        refused.text()
    );
    // The commit itself was never tested.
    git(&two, &["checkout", "-q", "."]);
    std::fs::remove_file(two.join("src/new")).unwrap();
    assert_eq!(world.stage_in(&two, &["prod"]).exit, 3);
}

#[test]
fn what_changes_while_a_stage_runs_makes_no_green_record() {
    let world = World::new(
        r#"
        stage "test" { run "unit" }
        task "unit" { run "echo more >> src/a" }
        "#,
    );
    let ran = world.stage(&["test"]);
    assert_eq!(ran.exit, 1, "{}", ran.text());
    assert!(
        ran.stderr.contains("stage `test` is red: src/a changed or came up while it ran"),
        "{}",
        ran.text()
    );
}

#[test]
fn a_gate_wants_the_same_inputs_and_names_what_is_not() {
    let world = World::new(
        r#"
        env "test" { dotenv ".env" optional=#true }
        env "prod"
        vars { LEVEL "1" }
        stage "test" env="test" { run "unit" }
        stage "prod" env="prod" after="test" { run "ship" }
        task "unit" { inputs "src/**" ".env"; run "echo $LEVEL" }
        task "ship" { run "echo shipped" }
        "#,
    );
    world.sandbox.write(".env", "LEVEL=2\n");
    world.green(&world.root(), &["test", "prod"]);
    world.sandbox.write(".env", "LEVEL=3\n");
    let refused = world.stage(&["prod"]);
    assert_eq!(refused.exit, 3);
    expect![[r#"
        exit: 3
        --- stderr
        error: `stage prod` is refused: `test` is green with other input files of `test.unit` (Envfile.kdl:6)
          hint: `envrun stage test`
    "#]]
    .assert_eq(&refused.text());
    world.green(&world.root(), &["test", "prod"]);
}

#[test]
fn a_value_that_is_set_goes_into_the_result() {
    let world = World::new(
        r##"
        env "test"
        vars { LEVEL "1" }
        stage "test" env="test" { run "unit" }
        stage "ship" env="test" after="test" { guard { exec #"test "$LEVEL" = 2"# name="the level" }; run "tell" }
        task "unit" { inputs "src/**"; run "echo $LEVEL" }
        task "tell" { run "echo shipped $LEVEL" }
        "##,
    );
    assert_eq!(world.stage(&["test", "--set", "LEVEL=2"]).exit, 0);
    let refused = world.stage(&["ship"]);
    assert_eq!(refused.exit, 3);
    for reason in ["green with other values of `unit`", "the level failed"] {
        assert!(refused.stderr.contains(reason), "{}", refused.text());
    }
    let ran = world.stage(&["ship", "-s", "LEVEL=2"]);
    assert_eq!(ran.exit, 0, "{}", ran.text());
    assert!(ran.text().contains("shipped 2"), "{}", ran.text());
    assert_eq!(world.stage(&["--all", "--set", "LEVEL"]).exit, 2);
}

#[test]
fn a_stage_is_shown_as_it_is_written() {
    let sandbox = Sandbox::new(
        "env \"prod\"\nstage \"test\" { run \"test\" }\nstage \"ship\" env=\"prod\" after=\"test\" {\n    when { branch \"main\" \"release/*\" }\n    run \"unit\"\n}\ntask \"test\" { run \"true\" }\ntask \"unit\" { run \"true\" }\n",
    );
    sandbox.check(
        &["show", "ship"],
        expect![[r#"
            exit: 0
            --- stdout
            stage "ship" env="prod" after="test" {  // Envfile.kdl:3
                when {                              // Envfile.kdl:4
                    branch "main" "release/*"       // Envfile.kdl:4
                }
                run "unit"                          // Envfile.kdl:5
            }
        "#]],
    );
    let shown = |args: &[&str]| sandbox.ok(args).stdout.split_once(' ').unwrap().0.to_owned();
    assert_eq!([shown(&["show", "test"]), shown(&["show", "test", "--stage"])], ["task", "stage"]);
    assert_eq!(sandbox.run(&["show", "shipp"]).exit, 2);
}

#[test]
fn a_red_stage_and_a_forged_record_open_nothing() {
    let world = World::new(
        r#"
        stage "test" { run "unit" }
        stage "prod" after="test" { run "ship" }
        task "unit" { run "test -f .git/good" }
        task "ship" { run "echo shipped" }
        "#,
    );
    let red = world.stage(&["test"]);
    assert_eq!(red.exit, 1);
    assert!(red.stderr.contains("stage `test` is red: `unit` failed"), "{}", red.text());
    let refused = world.stage(&["prod"]);
    assert!(refused.stderr.contains("`test` is red: `unit` failed (run 20"), "{}", refused.text());
    // By hand, as somebody would who is in a hurry.
    let folder =
        world.root().join(".envrun/stages").join(git(&world.root(), &["rev-parse", "HEAD"])).join("test");
    let file = std::fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    std::fs::write(&file, read(file.clone()).replace("\"red\"", "\"green\"")).unwrap();
    let refused = world.stage(&["prod"]);
    assert_eq!(refused.exit, 3);
    assert!(refused.stderr.contains("`test` has no result"), "{}", refused.text());
    assert!(world.stage(&[]).stderr.contains("is damaged, and counts as none"));

    std::fs::write(world.root().join(".git/good"), "").unwrap();
    world.green(&world.root(), &["test", "prod"]);
}

#[test]
fn other_bytes_than_those_that_were_proved_are_refused() {
    let world = World::new(SHOP);
    world.green(&world.root(), &["test", "uat", "build"]);
    let made = world.sandbox.read("dist/made");
    // The key is the same, and its result in the cache is another one by now: the proved bytes are still there.
    let two = world.clone("two", &[]);
    let forced = world.command(&two, &["package", "-B"]).output().unwrap();
    assert_eq!(forced.status.code(), Some(0));
    assert_ne!(read(two.join("dist/made")), made);
    std::fs::write(two.join("dist/stale"), "not of this release").unwrap();
    world.green(&two, &["prod"]);
    assert_eq!(read(two.join("live/made")), made);

    // Without the cache they can only be made again, and come out otherwise.
    let three = world.clone("three", &[]);
    let elsewhere = world.base().join("other-cache");
    let mut command = world.command(&three, &["stage", "prod"]);
    let refused = world.sandbox.ran(command.env("XDG_CACHE_HOME", elsewhere).output().unwrap());
    assert_eq!(refused.exit, 3, "{}", refused.text());
    assert!(refused.stderr.contains("stage `build` made other bytes of it"), "{}", refused.text());
    assert!(refused.stderr.contains("hint: share the cache folder"), "{}", refused.text());
    assert!(refused.stderr.contains("stage `prod` is refused; nothing is recorded"), "{}", refused.text());
    assert!(refused.stderr.contains("prove new ones: `envrun stage build -B`"), "{}", refused.text());
    assert!(!world.stage(&[]).stdout.contains("red"), "{}", world.stage(&[]).text());
    assert!(!three.join("live").exists());

    // A stage that is made again puts those in doubt that rest on what it made before.
    world.green(&world.root(), &["prod"]);
    let again = world.stage(&["build", "-B"]);
    assert_eq!(again.exit, 0, "{}", again.text());
    assert!(world.stage(&["--all"]).stderr.contains("stage `prod` is green\n"));
    assert_ne!(world.sandbox.read("live/made"), made);
}

#[test]
fn what_an_earlier_release_left_behind_does_not_ship() {
    let world = World::new(SHOP);
    world.sandbox.write("src/old", "old");
    world.commit("with old");
    git(&world.root(), &["push", "-q"]);
    let two = world.clone("two", &[]);
    world.green(&world.root(), &["test", "uat", "build"]);
    world.green(&two, &["prod"]);
    assert!(two.join("dist/old").exists());
    std::fs::remove_file(world.root().join("src/old")).unwrap();
    world.commit("without old");
    git(&world.root(), &["push", "-q"]);
    world.green(&world.root(), &["test", "uat", "build"]);
    git(&two, &["pull", "-q"]);
    world.green(&two, &["prod"]);
    assert!(two.join("dist/a").exists() && !two.join("dist/old").exists());
    assert_eq!(read(two.join("dist/made")), world.sandbox.read("dist/made"));
    // To a run without a proof that is no last good run: its own key decides, and has the same result here.
    let plain = world.sandbox.ran(world.command(&two, &["package", "-v"]).output().unwrap());
    assert!(plain.stderr.contains("restored package"), "{}", plain.text());
}

#[test]
fn a_remote_that_does_not_answer_opens_no_gate_and_loses_no_record() {
    let world = World::new(SHOP);
    let (origin, away) = (world.base().join("origin.git"), world.base().join("away.git"));
    world.green(&world.root(), &["test"]);
    std::fs::rename(&origin, &away).unwrap();
    let refused = world.stage(&["uat"]);
    assert_eq!(refused.exit, 3);
    assert!(refused.stderr.contains("the git remote `origin` cannot be reached: "), "{}", refused.text());
    assert!(!refused.stdout.contains("verify"), "nothing was run");
    let shown = world.stage(&[]);
    assert_eq!(shown.exit, 0);
    assert!(shown.stderr.contains("this is what was known here before"), "{}", shown.text());
    assert!(shown.stdout.contains("test   test  green"), "{}", shown.text());

    // It answers, and takes nothing.
    std::fs::rename(&away, &origin).unwrap();
    hook(&origin, "pre-receive", "#!/bin/sh\nexit 1\n");
    let unshared = world.stage(&["uat"]);
    assert_eq!(unshared.exit, 1);
    assert!(
        unshared.stderr.contains(
            "stage `uat` is green, but that could not be shared: the git remote `origin` does not take"
        ),
        "{}",
        unshared.text()
    );
    std::fs::remove_file(origin.join("hooks/pre-receive")).unwrap();
    assert_eq!(world.results(&world.root())[..2], ["green", "green"]);
    let two = world.clone("two", &[]);
    assert_eq!(world.results(&two)[..2], ["green", "green"]);

    git(&world.root(), &["remote", "rename", "origin", "upstream"]);
    let lost = world.stage(&["test"]);
    assert_eq!(lost.exit, 3);
    assert!(lost.stderr.contains("this repository has none of that name"), "{}", lost.text());
}

#[test]
fn a_shallow_clone_with_a_detached_head_takes_part() {
    let world = World::new(&SHOP.replace("when { branch \"main\" };", ""));
    world.sandbox.write("src/a", "b");
    world.commit("second");
    git(&world.root(), &["push", "-q"]);
    world.green(&world.root(), &["test"]);
    let two = world.clone("ci", &["--depth=1"]);
    git(&two, &["checkout", "-q", "--detach"]);
    let ran = world
        .command(&two, &["stage", "uat"])
        .env("GITHUB_REF_NAME", "main")
        .env("CI", "true")
        .output()
        .unwrap();
    let ran = world.sandbox.ran(ran);
    assert!(ran.exit == 0 && ran.stderr.contains("stage `uat` is green"), "{}", ran.text());
    assert_eq!(world.results(&world.root())[..2], ["green", "green"]);
    assert_eq!(git(&two, &["rev-parse", "--is-shallow-repository"]), "true");
}

#[test]
fn no_record_is_lost_when_checkouts_write_at_once() {
    let stages: String =
        (0..6).map(|at| format!("stage \"s{at}\" {{ run \"unit\" }}\n")).collect::<Vec<_>>().concat();
    let world = World::new(&format!("state git=\"origin\"\n{stages}task \"unit\" {{ run \"true\" }}\n"));
    let dirs = [world.root(), world.clone("two", &[])];
    let started: Vec<_> = (0..6)
        .map(|at| {
            let mut command = world.command(&dirs[at % 2], &["stage", &format!("s{at}")]);
            command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
            command.spawn().unwrap()
        })
        .collect();
    for child in started {
        let ran = world.sandbox.ran(child.wait_with_output().unwrap());
        assert_eq!(ran.exit, 0, "{}", ran.text());
    }
    for dir in &dirs {
        assert_eq!(world.results(dir), ["green"; 6]);
    }
}

#[test]
fn a_stages_name_is_a_variable_and_in_the_key_only_where_it_is_mentioned() {
    let world = World::new(
        r#"
        env "prod"
        stage "build" env="prod" { run "image" }
        stage "prod" env="prod" after="build" { run "plain" "named" }
        task "image" { inputs "src/**"; outputs "image"; run "cp src/a image" }
        task "plain" { inputs "src/**"; run "echo plain" }
        task "named" { inputs "src/**"; run "echo named in ${ENVRUN_STAGE:-none}" }
        task "all" { run "printenv ENVRUN_STAGE || echo none" }
        "#,
    );
    let run = |target: &str| world.sandbox.ok(&[target]);
    assert!(run("build.all").stdout.contains("build"));
    assert!(run("prod.all").stdout.contains("prod"));
    assert!(run("all").stdout.contains("none"));
    assert!(run("build.named").stdout.contains("named in build"));
    assert!(run("prod.named").stdout.contains("named in prod"));
    assert!(run("build.plain").stdout.contains("plain"));
    assert!(run("prod.plain").stderr.contains("nothing to do"), "{}", run("prod.plain").text());
    let both = world.sandbox.run(&["build.named", "prod.plain"]);
    assert_eq!(both.exit, 2);
    assert!(both.stderr.contains("are nodes of two stages in one environment"), "{}", both.text());
}

#[test]
fn without_a_repository_or_a_commit_there_is_nothing_to_speak_of() {
    let sandbox = Sandbox::new("stage \"test\" { run \"unit\" }\ntask \"unit\" { run \"true\" }\n");
    sandbox.check(
        &["stage", "test"],
        expect![[r#"
            exit: 3
            --- stderr
            error: `stage` is refused: it needs a git repository, and this is none (Envfile.kdl:1)
              hint: results of stages are kept for a commit: `git init`, and commit
        "#]],
    );
    git(&sandbox.root(), &["init", "-q"]);
    let ran = sandbox.run(&["stage", "test"]);
    assert_eq!(ran.exit, 3);
    assert!(ran.stderr.contains("the repository has no commit yet"), "{}", ran.text());
    let none = Sandbox::new("task \"unit\" { run \"true\" }\n");
    assert!(none.ok(&["stage"]).stderr.contains("declares no stage"));
}

#[test]
fn stages_that_disagree_about_the_bytes_open_nothing() {
    let world = World::new(
        r#"
        stage "build" { run "package" }
        stage "check" after="build" { run "check" }
        stage "prod" after="check" { run "ship" }
        task "package" { inputs "src/**"; outputs "dist"; run "mkdir -p dist; od -An -N8 -tx1 /dev/urandom > dist/made" }
        task "check" { needs "package"; run "test -s dist/made" }
        task "ship" { needs "package"; run "cp dist/made .git/live" }
        "#,
    );
    world.green(&world.root(), &["build", "check", "prod"]);
    assert_eq!(world.stage(&["build", "-B"]).exit, 0);
    let refused = world.stage(&["prod"]);
    assert_eq!(refused.exit, 3);
    assert!(refused.stderr.contains("`check` was green with "), "{}", refused.text());
    assert!(refused.stderr.contains("of `package`, and `build` has "), "{}", refused.text());
    assert!(refused.stderr.contains("hint: `envrun stage check`"), "{}", refused.text());
    world.green(&world.root(), &["check", "prod"]);
    assert_eq!(read(world.root().join(".git/live")), world.sandbox.read("dist/made"));
}

#[test]
fn a_workflow_is_yaml_and_is_not_written_over() {
    let world = World::new(SHOP);
    let workflow = ".github/workflows/envrun.yml";
    let export = |more: &[&str]| {
        let args = [&["ci", "export", "github", "-o", workflow], more].concat();
        world.sandbox.run(&args)
    };
    assert_eq!(export(&[]).exit, 0);
    let text = world.sandbox.read(workflow);
    assert!(text.starts_with("# Made by `envrun ci export github` from the Envfile"), "{text}");
    assert!(export(&[]).stderr.contains("is as it should be"));
    world.sandbox.write(workflow, "mine");
    let kept = export(&[]);
    assert_eq!((kept.exit, world.sandbox.read(workflow).as_str()), (2, "mine"), "{}", kept.text());
    assert_eq!(export(&["--force"]).exit, 0);
    assert_eq!(world.sandbox.read(workflow), text);

    if !need("python3", "python3") || !need_yaml() {
        return;
    }
    let parsed = |system: &str| -> serde_json::Value {
        let text = world.sandbox.ok(&["ci", "export", system, "--install", "a: \"b\" # c\nd"]).stdout;
        world.sandbox.write("workflow", text);
        let code = "import json, yaml; print(json.dumps(yaml.safe_load(open('workflow')), default=str))";
        let ran = Command::new("python3").args(["-c", code]).current_dir(world.root()).output().unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        // YAML 1.1 reads the word `on` as true.
        serde_json::from_slice(&ran.stdout).unwrap()
    };
    let github = parsed("github");
    let prod = &github["jobs"]["prod"];
    assert_eq!(prod["needs"], serde_json::json!(["build"]));
    assert_eq!(prod["steps"][0]["with"]["fetch-depth"], 0);
    let steps = prod["steps"].as_array().unwrap();
    assert_eq!(steps[steps.len() - 1]["run"], "envrun stage prod");
    assert_eq!(steps[steps.len() - 2]["run"], "a: \"b\" # c\nd");
    assert_eq!(
        prod["if"],
        "(github.ref_name == 'main' || startsWith(github.ref_name, 'release/')) && (github.ref_name == 'main')"
    );
    assert_eq!(github["permissions"]["contents"], "write");
    let gitlab = parsed("gitlab");
    assert_eq!(gitlab["stages"], serde_json::json!(["test", "uat", "build", "prod"]));
    assert_eq!(gitlab["stage-prod"]["script"], serde_json::json!(["envrun stage prod"]));
    assert_eq!(gitlab["default"]["before_script"], serde_json::json!(["a: \"b\" # c\nd"]));
}

/// Whether Python reads YAML here.
fn need_yaml() -> bool {
    let there = || Command::new("python3").args(["-c", "import yaml"]).output().unwrap().status.success();
    let is_there = there() || {
        let _ = Command::new("apt-get").args(["install", "-y", "-q", "python3-yaml"]).output();
        there()
    };
    assert!(
        is_there || std::env::var_os("CI").is_none(),
        "python3-yaml is missing and could not be installed"
    );
    if !is_there {
        #[expect(clippy::print_stderr, reason = "whoever runs the tests has to hear of it")]
        let () = eprintln!("SKIPPED: python3-yaml is missing");
    }
    is_there
}
