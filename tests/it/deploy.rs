//! Deploys in release folders, with a real git repository: live, back, rolled back, cut short at every phase.

use std::process::Command;

use expect_test::expect;

use crate::dying::{Moment, dies};
use crate::sandbox::{Ran, Sandbox, git, mkfifo, share};

/// A release is a folder, `current` a link that is switched by a rename. A file `kill` names the phase at which envrun is
/// killed; a release whose text says `bad` is not healthy.
const ENVFILE: &str = r##"
project "lab"
vars { (path)ROOT "live/${ENVRUN_ENV}" }
env "uat" { }
env "prod" {
    deploy "deploy" { from "uat" }
}
task "package" {
    inputs "app.txt"
    outputs "build/app.txt"
    run "sh tools/kill.sh guarded $PPID"
    run "cp app.txt build/app.txt"
}
task "health" {
    run #"sh tools/kill.sh verifying $PPID"#
    run #"grep -q good "$ROOT/current/app.txt" || { echo "not healthy"; exit 1; }"#
}
deploy "deploy" {
    needs "package"
    run #"sh tools/kill.sh applying $PPID"#
    run #"""
        mkdir -p "$ROOT/releases/$ENVRUN_REVISION"
        cp build/app.txt "$ROOT/releases/$ENVRUN_REVISION/app.txt"
        echo "$ENVRUN_PREVIOUS -> $ENVRUN_REVISION" >> "$ROOT/log"
        """#
    run #"ln -sfn "releases/$ENVRUN_REVISION" "$ROOT/next" && mv -T "$ROOT/next" "$ROOT/current""#
    run #"sh tools/kill.sh applied $PPID"#
    verify "health"
    tag "before-${ENVRUN_RUN}"
    keep 3
}
"##;

/// Kills envrun if the file `kill` names this moment; while the live release is a good one, `going-back` is the moment.
const KILL: &str = r#"
test -e kill || exit 0
wanted="$(cat kill)"
at="$1"
if test "$at" = applying && grep -q '"going-back"' .envrun/env/*/ledger.jsonl 2>/dev/null; then at=going-back; fi
test "$wanted" = "$at" || exit 0
rm kill
kill -9 "$2"
sleep 60
"#;

pub struct Lab {
    pub sandbox: Sandbox,
}

impl Lab {
    fn new() -> Self {
        Self::of(ENVFILE)
    }

    pub fn of(envfile: &str) -> Self {
        let sandbox = Sandbox::with(&[
            ("Envfile.kdl", envfile),
            ("tools/kill.sh", KILL),
            ("app.txt", "good 1\n"),
            (".gitignore", ".envrun\nbuild\nlive\nkill\n"),
        ]);
        let lab = Self { sandbox };
        lab.git(&["init", "--quiet", "-b", "main"]);
        lab.commit("app.txt", "good 1\n");
        lab
    }

    #[track_caller]
    pub fn git(&self, args: &[&str]) -> String {
        git(&self.sandbox.root(), "ada", args)
    }

    /// Commits a text and gives the revision.
    #[track_caller]
    pub fn commit(&self, path: &str, text: &str) -> String {
        self.sandbox.write(path, text);
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "-m", text.trim()]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// What is live: the text of the release that `current` leads to.
    pub fn live(&self, env: &str) -> String {
        self.sandbox.read(&format!("live/{env}/current/app.txt")).trim().to_owned()
    }

    pub fn run(&self, args: &[&str]) -> Ran {
        self.sandbox.run(args)
    }

    /// The outcomes of an environment's releases, oldest first: `1 live, 2 back`.
    pub fn outcomes(&self, env: &str) -> String {
        let ran = self.sandbox.ok(&["history", env, "--json"]);
        let mut lines: Vec<String> = ran
            .stdout
            .lines()
            .map(|line| {
                let line: serde_json::Value = serde_json::from_str(line).unwrap();
                let how = line.get("outcome").unwrap_or(&line["phase"]).as_str().unwrap();
                format!("{} {how}", line["release"])
            })
            .collect();
        lines.reverse();
        lines.join(", ")
    }
}

#[track_caller]
pub fn exits(ran: &Ran, status: i32) {
    assert_eq!(ran.exit, status, "{}", ran.text());
}

#[test]
fn a_deploy_a_bad_one_and_the_way_back() {
    let lab = Lab::new();
    exits(&lab.run(&["uat.deploy"]), 0);
    assert_eq!(lab.live("uat"), "good 1");
    let first = lab.git(&["rev-parse", "HEAD"]);
    let second = lab.commit("app.txt", "good 2\n");
    exits(&lab.run(&["uat.deploy"]), 0);
    assert_eq!(lab.live("uat"), "good 2");
    let third = lab.commit("app.txt", "bad 3\n");
    let ran = lab.run(&["uat.deploy"]);
    exits(&ran, 5);
    assert_eq!(lab.live("uat"), "good 2");
    assert!(ran.stderr.contains(&format!("revision {} is live again", &second[..10])), "{}", ran.stderr);
    for log in [".envrun/env/uat/logs/3.log", ".envrun/env/uat/logs/3-back.log"] {
        assert!(ran.stderr.contains(log) && lab.sandbox.exists(log), "{log}: {}", ran.stderr);
    }
    assert!(lab.sandbox.read(".envrun/env/uat/logs/3.log").contains("not healthy"));
    assert_eq!(lab.outcomes("uat"), "1 live, 2 live, 3 back");
    // Every command was told where it comes from and where it goes.
    assert_eq!(
        lab.sandbox.read("live/uat/log"),
        format!(" -> {first}\n{first} -> {second}\n{second} -> {third}\n{third} -> {second}\n")
    );
    // The tag marks what was replaced, not what is new.
    let tags = lab.git(&["tag", "--list", "before-*", "--format=%(objectname)"]);
    assert_eq!(tags, first);
}

#[test]
fn a_first_deploy_that_fails_has_nothing_to_go_back_to() {
    let lab = Lab::new();
    lab.commit("app.txt", "bad\n");
    let ran = lab.run(&["uat.deploy"]);
    exits(&ran, 6);
    assert!(ran.stderr.contains("there is no earlier release to go back to"), "{}", ran.stderr);
    assert_eq!(lab.outcomes("uat"), "1 broken");
    exits(&lab.run(&["status", "uat"]), 1);
    lab.commit("app.txt", "good\n");
    exits(&lab.run(&["uat.deploy"]), 0);
    exits(&lab.run(&["status", "uat"]), 0);
}

#[test]
fn production_gets_the_bytes_that_were_proved_although_the_tree_moved_on() {
    let lab = Lab::new();
    exits(&lab.run(&["uat.deploy"]), 0);
    let proved = lab.git(&["rev-parse", "HEAD"]);
    lab.commit("app.txt", "good 2, not proved\n");
    lab.sandbox.ok(&["package"]);
    assert_eq!(lab.sandbox.read("build/app.txt"), "good 2, not proved\n");
    let ran = lab.run(&["prod.deploy"]);
    exits(&ran, 0);
    assert!(!ran.stderr.contains("run package"), "nothing is made again: {}", ran.stderr);
    assert_eq!(lab.live("prod"), "good 1");
    let digest = |env: &str| {
        let ran = lab.sandbox.ok(&["history", env, "--json", "-n", "1"]);
        let line: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
        (line["artefacts"][0]["digest"].clone(), line["revision"].clone(), line.get("from").cloned())
    };
    assert_eq!(digest("prod").0, digest("uat").0);
    assert_eq!(digest("prod").1, proved.as_str());
    assert_eq!(digest("prod").2, Some("uat/1".into()));
    // What the tree makes is made again from the tree.
    lab.sandbox.ok(&["package"]);
    assert_eq!(lab.sandbox.read("build/app.txt"), "good 2, not proved\n");
}

#[test]
fn what_was_never_proved_or_is_not_there_any_more_does_not_go_live() {
    let lab = Lab::new();
    let ran = lab.run(&["prod.deploy"]);
    exits(&ran, 3);
    expect![[r#"
        exit: 3
        --- stderr
        error: `prod.deploy` is refused: nothing ever went live in `uat` (Envfile.kdl:6)
          hint: deploy there first: `envrun uat.deploy`
    "#]]
    .assert_eq(&ran.text());
    lab.sandbox.ok(&["uat.deploy"]);
    // The limits of the cache do not matter to what is kept, but somebody may throw all of it away.
    std::fs::remove_dir_all(lab.sandbox.cache()).unwrap();
    let ran = lab.run(&["prod.deploy"]);
    exits(&ran, 3);
    assert!(
        ran.stderr.contains("are not in this cache: they were collected, or made elsewhere"),
        "{}",
        ran.stderr
    );
    assert!(
        ran.stderr.contains("`ENVRUN_CACHE_DIR`), or make new ones here: `envrun uat.deploy`"),
        "{}",
        ran.stderr
    );
    lab.sandbox.ok(&["uat.deploy"]);
    exits(&lab.run(&["prod.deploy"]), 0);
}

#[test]
fn a_rollback_leaves_the_tree_alone() {
    let lab = Lab::new();
    let first = lab.git(&["rev-parse", "HEAD"]);
    lab.git(&["tag", "v1"]);
    lab.sandbox.ok(&["uat.deploy"]);
    for text in ["good 2\n", "good 3\n"] {
        lab.commit("app.txt", text);
        lab.sandbox.ok(&["uat.deploy"]);
    }
    lab.sandbox.write("app.txt", "not yet committed\n");
    let head = lab.git(&["rev-parse", "HEAD"]);
    lab.sandbox.ok(&["rollback", "uat"]);
    assert_eq!(lab.live("uat"), "good 2");
    // The one that was left is not what a second one goes back to.
    lab.sandbox.ok(&["rollback", "uat"]);
    assert_eq!(lab.live("uat"), "good 1");
    let ran = lab.run(&["rollback", "uat"]);
    exits(&ran, 3);
    assert!(
        ran.stderr
            .contains("every other release of `uat.deploy` whose bytes are kept was left by a rollback")
            && ran.stderr.contains("hint: `envrun rollback uat.deploy --to 4` puts the newest of them back"),
        "{}",
        ran.stderr
    );
    lab.sandbox.ok(&["rollback", "uat", "--to", "3"]);
    assert_eq!(lab.live("uat"), "good 3");
    lab.sandbox.ok(&["rollback", "uat", "--to", "v1"]);
    assert_eq!(lab.live("uat"), "good 1");
    lab.sandbox.ok(&["rollback", "uat", "--to", "3", "--emergency"]);
    lab.sandbox.ok(&["rollback", "uat", "--to", &first[..8]]);
    assert_eq!(lab.live("uat"), "good 1");
    assert_eq!(lab.sandbox.read("app.txt"), "not yet committed\n");
    assert_eq!(lab.git(&["rev-parse", "HEAD"]), head);
    let history = lab.sandbox.ok(&["history", "uat"]).stdout;
    assert!(history.contains("rollback to 3") && history.contains("break-glass"), "{history}");
    let listed = lab.sandbox.ok(&["rollback", "uat", "--list"]).stdout;
    assert_eq!(listed.lines().count(), 2, "the live one is not in the list: {listed}");
    let ran = lab.run(&["rollback", "uat", "--to", "v9"]);
    exits(&ran, 2);
    assert!(ran.stderr.contains("no release of `uat.deploy` is called `v9`"), "{}", ran.stderr);
    assert!(ran.stderr.contains("hint: there are "), "{}", ran.stderr);
    assert!(ran.stderr.contains("`envrun rollback uat.deploy --list` tells more of each"), "{}", ran.stderr);
    // One letter of a revision that is in the list is another one.
    let there = listed.split_whitespace().find(|word| word.len() == 10 && !word.contains('-')).unwrap();
    let wrong = format!("{}z", &there[..9]);
    let ran = lab.run(&["rollback", "uat", "--to", &wrong]);
    exits(&ran, 2);
    assert!(ran.stderr.contains(&format!("did you mean `{there}`?")), "{}", ran.stderr);
}

#[test]
fn a_rollback_that_fails_says_so_with_both_logs() {
    let lab = Lab::new();
    lab.sandbox.ok(&["uat.deploy"]);
    lab.commit("app.txt", "good 2\n");
    lab.sandbox.ok(&["uat.deploy"]);
    // Whatever is live, nothing is healthy any more.
    lab.commit("Envfile.kdl", &ENVFILE.replace("grep -q good", "grep -q splendid"));
    let ran = lab.run(&["rollback", "uat"]);
    exits(&ran, 6);
    let first = &lab.git(&["rev-parse", "HEAD~2"])[..10];
    for told in [
        // Its own, and that of what it was to replace.
        "  log: .envrun/env/uat/logs/3.log\n  log: .envrun/env/uat/logs/2.log\n",
        &format!("a rollback does not go back by itself: revision {first} is live now, unproved"),
        "hint: `envrun rollback uat.deploy --to 2` puts deploy 2 of revision",
    ] {
        assert!(ran.stderr.contains(told), "{told}: {}", ran.stderr);
    }
    assert_eq!(lab.live("uat"), "good 1");
    let log = lab.sandbox.read(".envrun/env/uat/logs/3.log");
    assert!(
        log.starts_with(&format!("== applying revision {first}\n")) && log.contains("not healthy"),
        "{log}"
    );
    let ran = lab.run(&["status", "uat"]);
    exits(&ran, 1);
    assert!(ran.stdout.contains("is live now, unproved"), "{}", ran.stdout);

    lab.commit("app.txt", "good 3\n");
    let ran = lab.run(&["uat.deploy"]);
    exits(&ran, 6);
    for told in [
        "logs/4.log",
        "logs/4-back.log",
        "failed too: `uat.health` failed",
        "hint: `envrun rollback uat.deploy` tries",
    ] {
        assert!(ran.stderr.contains(told), "{told}: {}", ran.stderr);
    }
    // The way out that the first one named.
    lab.commit("Envfile.kdl", ENVFILE);
    exits(&lab.run(&["rollback", "uat.deploy", "--to", "2"]), 0);
    assert_eq!(lab.live("uat"), "good 2");
    assert_eq!(lab.outcomes("uat"), "1 live, 2 live, 3 broken, 4 broken, 5 live");
}

#[test]
fn a_tag_that_cannot_be_made_refuses_before_anything_begins() {
    let lab = Lab::new();
    lab.sandbox.ok(&["uat.deploy"]);
    let first = lab.git(&["rev-parse", "HEAD"]);
    let tagged = |tag: &str| {
        let revision = lab.commit("Envfile.kdl", &ENVFILE.replace("before-${ENVRUN_RUN}", tag));
        (revision, lab.run(&["uat.deploy"]))
    };
    for wrong in ["two words", "up..down", "-f", "HEAD", "a~1", "${NOBODY}"] {
        let (_, ran) = tagged(wrong);
        assert!([2, 3].contains(&ran.exit), "{wrong}: {}", ran.text());
        assert!(ran.stderr.contains("tag") || ran.stderr.contains("NOBODY"), "{wrong}: {}", ran.stderr);
    }
    lab.git(&["tag", "mine", "HEAD"]);
    let (_, ran) = tagged("mine");
    exits(&ran, 3);
    assert!(ran.stderr.contains("the tag `mine` is there already, on revision "), "{}", ran.stderr);
    assert_eq!(lab.live("uat"), "good 1");
    assert_eq!(lab.outcomes("uat"), "1 live");
    // One that is there and means the same commit is the one that is meant.
    lab.git(&["tag", "--force", "mine", &first]);
    let (revision, ran) = tagged("mine");
    exits(&ran, 0);
    assert_eq!(lab.git(&["rev-parse", "mine"]), first);

    // Killed before it is over, the one who goes on makes the tag that was meant then.
    let (other, _) = (lab.commit("Envfile.kdl", ENVFILE), lab.sandbox.write("kill", "verifying"));
    assert_ne!(lab.run(&["uat.deploy"]).exit, 0);
    assert_eq!(lab.git(&["tag", "--points-at", &revision]), "");
    exits(&lab.run(&["deploy", "resume", "uat"]), 0);
    let tag = lab.git(&["tag", "--points-at", &revision]);
    assert!(tag.starts_with("before-"), "{tag}");
    assert_eq!(lab.git(&["rev-parse", "HEAD"]), other);
}

#[test]
fn why_it_failed_is_known_after_somebody_took_it_back() {
    let lab = Lab::new();
    lab.sandbox.ok(&["uat.deploy"]);
    lab.commit("app.txt", "bad\n");
    lab.sandbox.write("kill", "going-back");
    assert_ne!(lab.run(&["uat.deploy"]).exit, 5);
    exits(&lab.run(&["deploy", "back", "uat"]), 0);
    let history = lab.sandbox.ok(&["history", "uat"]).stdout;
    assert!(history.contains("`uat.health` failed: exit status 1"), "{history}");
    lab.commit("app.txt", "good 2\n");
    lab.sandbox.write("kill", "applied");
    assert_ne!(lab.run(&["uat.deploy"]).exit, 0);
    exits(&lab.run(&["deploy", "back", "uat"]), 0);
    let history = lab.sandbox.ok(&["history", "uat"]).stdout;
    assert!(history.contains("it was cut short while applying"), "{history}");
}

#[test]
fn nothing_is_promoted_from_itself() {
    let lab = Lab::new();
    lab.commit("Envfile.kdl", &ENVFILE.replace("from \"uat\"", "from \"prod\""));
    for args in [&["prod.deploy"][..], &["check"]] {
        let ran = lab.run(args);
        exits(&ran, 2);
        assert!(
            ran.text().contains("`deploy` of `prod` would ship what `prod` has itself"),
            "{}",
            ran.text()
        );
    }
    // The same where it is written for every environment.
    let text = ENVFILE.replace("    needs \"package\"\n", "    from \"uat\"\n");
    lab.commit("Envfile.kdl", &text);
    let ran = lab.run(&["uat.deploy"]);
    exits(&ran, 2);
    assert!(ran.stderr.contains("`uat.deploy` would ship what `uat` has itself"), "{}", ran.stderr);
}

#[test]
fn ctrl_c_before_anything_began_leaves_nothing_open() {
    let lab = Lab::new();
    let text =
        ENVFILE.replace("env \"uat\" { }", "env \"uat\" { guard { exec \"touch asked; exec sleep 100\" } }");
    lab.commit("Envfile.kdl", &text);
    let piped = std::process::Stdio::piped;
    let child = lab.sandbox.command(&["uat.deploy"]).stderr(piped()).stdout(piped()).spawn().unwrap();
    let began = std::time::Instant::now();
    while !lab.sandbox.exists("asked") {
        assert!(began.elapsed().as_secs() < 60, "the guard was never asked");
        std::thread::yield_now();
    }
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::INT)
        .unwrap();
    let ran = lab.sandbox.ran(child.wait_with_output().unwrap());
    exits(&ran, 130);
    assert!(ran.stderr.contains("interrupted before anything was changed"), "{}", ran.stderr);
    assert_eq!(lab.outcomes("uat"), "1 abandoned");
    lab.commit("Envfile.kdl", ENVFILE);
    lab.sandbox.ok(&["uat.deploy"]);
}

#[test]
fn ctrl_c_at_a_question_ends_it() {
    if !crate::sandbox::need("script", "bsdutils") {
        return;
    }
    let lab = Lab::new();
    lab.commit(
        "Envfile.kdl",
        &ENVFILE.replace("env \"uat\" { }", "env \"uat\" { guard { confirm \"uat\" } }"),
    );
    let mut command = Command::new("script");
    let template = lab.sandbox.command(&[]);
    let inner = format!("{} uat.deploy", env!("CARGO_BIN_EXE_envrun"));
    command.args(["-qec", &inner, "/dev/null"]).current_dir(lab.sandbox.root()).env_clear();
    command.envs(template.get_envs().filter_map(|(name, value)| Some((name, value?)))).env("TERM", "dumb");
    command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    let (mut keys, mut screen) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let (send, heard) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut part = [0; 256];
        while let Ok(count @ 1..) = std::io::Read::read(&mut screen, &mut part) {
            let _ = send.send(String::from_utf8_lossy(&part[..count]).into_owned());
        }
    });
    let mut said = String::new();
    let hears = |said: &mut String, wanted: &str| {
        while !said.contains(wanted) {
            match heard.recv_timeout(std::time::Duration::from_secs(60)) {
                Ok(part) => said.push_str(&part),
                Err(_) => panic!("wanted `{wanted}`: {said}"),
            }
        }
    };
    hears(&mut said, "to go on: ");
    std::io::Write::write_all(&mut keys, b"\x03").unwrap();
    hears(&mut said, "interrupted before anything was changed");
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(130), "{said}");
    assert_eq!(lab.outcomes("uat"), "1 abandoned");
    assert!(!lab.sandbox.exists("live"));
}

#[test]
fn killed_in_any_phase_it_says_so_and_goes_on_or_back() {
    // What is live when it was killed, and after it was gone on with.
    for (phase, killed, resumed) in [
        ("guarded", "good 1", "good 2"),
        ("applying", "good 1", "good 2"),
        ("applied", "good 2", "good 2"),
        ("verifying", "good 2", "good 2"),
    ] {
        for how in ["resume", "back"] {
            let lab = Lab::new();
            lab.sandbox.ok(&["uat.deploy"]);
            lab.commit("app.txt", "good 2\n");
            lab.sandbox.write("kill", phase);
            let ran = lab.run(&["uat.deploy"]);
            assert_eq!(ran.exit, -1, "{phase}: {}", ran.text());
            assert_eq!(lab.live("uat"), killed, "{phase}");
            // Nothing else changes that environment before.
            let named = if phase == "applied" { "applying" } else { phase };
            for args in [&["uat.deploy"][..], &["rollback", "uat"]] {
                let ran = lab.run(args);
                exits(&ran, 7);
                assert!(ran.stderr.contains(&format!("cut short while {named}")), "{phase}: {}", ran.stderr);
                assert!(ran.stderr.contains("`envrun deploy resume uat`"), "{}", ran.stderr);
                assert!(ran.stderr.contains("`envrun deploy back uat`"), "{}", ran.stderr);
            }
            let status = lab.run(&["status", "uat"]);
            exits(&status, 1);
            assert!(status.stdout.contains(named), "{}", status.stdout);
            exits(&lab.run(&["deploy", how, "uat"]), 0);
            let wanted = if how == "resume" { resumed } else { "good 1" };
            assert_eq!(lab.live("uat"), wanted, "{phase}, {how}");
            exits(&lab.run(&["status", "uat"]), 0);
            exits(&lab.run(&["uat.deploy"]), 0);
            assert_eq!(lab.live("uat"), "good 2");
        }
    }
}

#[test]
fn killed_while_going_back_it_goes_back_all_the_same() {
    // What it calls when it fails may change the environment too: that is part of it, and in nobody's way.
    let crying = r#"on-fail "cry"
}
task "cry" { mutates #true; run "echo cried >> live/cried" }"#;
    let envfile = ENVFILE.trim_end().strip_suffix('}').unwrap().to_owned() + crying;
    for how in ["resume", "back"] {
        let lab = Lab::of(&envfile);
        lab.sandbox.ok(&["uat.deploy"]);
        lab.commit("app.txt", "bad 2\n");
        lab.sandbox.write("kill", "going-back");
        let ran = lab.run(&["uat.deploy"]);
        assert_eq!(ran.exit, -1, "{}", ran.text());
        let ran = lab.run(&["uat.deploy"]);
        exits(&ran, 7);
        assert!(ran.stderr.contains("cut short while going-back"), "{}", ran.stderr);
        let ran = lab.run(&["deploy", how, "uat"]);
        exits(&ran, if how == "resume" { 5 } else { 0 });
        assert_eq!(lab.live("uat"), "good 1");
        assert_eq!(lab.outcomes("uat"), "1 live, 2 back");
    }
}

#[test]
fn killed_in_a_rollback_it_is_gone_on_with() {
    let lab = Lab::new();
    lab.sandbox.ok(&["uat.deploy"]);
    lab.commit("app.txt", "good 2\n");
    lab.sandbox.ok(&["uat.deploy"]);
    for phase in ["applying", "applied", "verifying"] {
        lab.sandbox.write("kill", phase);
        assert_eq!(lab.run(&["rollback", "uat"]).exit, -1, "{phase}");
        exits(&lab.run(&["uat.deploy"]), 7);
        exits(&lab.run(&["deploy", "resume", "uat"]), 0);
        assert_eq!(lab.live("uat"), "good 1", "{phase}");
        lab.sandbox.ok(&["rollback", "uat", "--to", "2"]);
    }
    // An emergency does not wait for anybody to clear up.
    lab.sandbox.write("kill", "applied");
    assert_eq!(lab.run(&["rollback", "uat"]).exit, -1);
    lab.sandbox.ok(&["rollback", "uat", "--to", "2", "--emergency"]);
    assert_eq!(lab.live("uat"), "good 2");
}

#[test]
fn who_goes_on_with_a_deploy_gets_that_one_or_hears_that_it_is_another_by_now() {
    let lab = Lab::new();
    lab.sandbox.ok(&["uat.deploy"]);
    lab.commit("app.txt", "good 2\n");
    lab.sandbox.write("kill", "guarded");
    assert_eq!(lab.run(&["uat.deploy"]).exit, -1);
    let begun = lab.git(&["rev-parse", "HEAD"]);
    let meant = lab.commit("app.txt", "good 3\n");
    let ran = lab.run(&["deploy", "resume", "uat"]);
    exits(&ran, 3);
    let said =
        format!("deploy 2 of revision {} had changed nothing yet, and by now {}", &begun[..10], &meant[..10]);
    assert!(ran.stderr.contains(&said), "{}", ran.stderr);
    assert_eq!(lab.outcomes("uat"), "1 live, 2 guarded");
    lab.git(&["checkout", "--quiet", &begun]);
    exits(&lab.run(&["deploy", "resume", "uat"]), 0);
    assert_eq!(lab.live("uat"), "good 2");
    assert_eq!(lab.outcomes("uat"), "1 live, 2 abandoned, 3 live");
}

#[test]
fn who_goes_on_with_a_deploy_types_its_word_again() {
    let lab = Lab::new();
    lab.commit(
        "Envfile.kdl",
        &ENVFILE.replace("env \"uat\" { }", "env \"uat\" { guard { confirm \"live\" } }"),
    );
    lab.sandbox.write("kill", "guarded");
    assert_eq!(lab.run(&["uat.deploy", "--confirm", "live"]).exit, -1);
    let refused = lab.run(&["deploy", "resume", "uat", "--confirm", "life"]);
    exits(&refused, 3);
    assert!(refused.stderr.contains("give `--confirm live`"), "{}", refused.stderr);
    assert_eq!(lab.outcomes("uat"), "1 abandoned, 2 refused");

    lab.sandbox.write("kill", "guarded");
    assert_eq!(lab.run(&["uat.deploy", "--confirm", "live"]).exit, -1);
    exits(&lab.run(&["deploy", "resume", "uat", "--confirm", "live"]), 0);
    assert_eq!(lab.live("uat"), "good 1");
    // What was guarded before is not asked again.
    lab.commit("app.txt", "good 2\n");
    lab.sandbox.write("kill", "applying");
    assert_eq!(lab.run(&["uat.deploy", "--confirm", "live"]).exit, -1);
    exits(&lab.run(&["deploy", "resume", "uat"]), 0);
    assert_eq!(lab.live("uat"), "good 2");
}

#[test]
fn what_speaks_against_a_deploy_is_told_all_at_once_and_nothing_is_changed() {
    let lab = Lab::new();
    let guarded = ENVFILE.replace(
        "env \"uat\" { }",
        "env \"uat\" {\n    guard {\n        branch \"release/*\"\n        exec \"false\" name=\"the moon\"\n    }\n    vars { TOKEN \"changeme\" }\n    requires { tool \"no-such-tool\" }\n}",
    );
    lab.commit("Envfile.kdl", &guarded);
    let ran = lab.run(&["uat.deploy"]);
    exits(&ran, 3);
    for reason in
        ["the branch is main", "the moon failed", "TOKEN is `changeme`, a placeholder", "no-such-tool"]
    {
        assert!(ran.stderr.contains(reason), "{reason}: {}", ran.stderr);
    }
    assert!(!lab.sandbox.exists("live") && !lab.sandbox.exists("build/app.txt"));
    assert_eq!(lab.outcomes("uat"), "1 refused");
}

#[test]
fn a_dry_run_of_a_deploy_executes_nothing_that_is_not_declared_safe() {
    let lab = lab_with_data();
    lab.sandbox.ok(&["uat.deploy"]);
    lab.commit("app.txt", "good 2\n");
    // Whatever is executed from here on leaves a trace.
    let wired = lab
        .sandbox
        .read("Envfile.kdl")
        .replace("env \"uat\" { }", "env \"uat\" { guard { exec \"echo guard >> trip\" }; requires { exec \"echo required >> trip\" } }")
        .replace("run \"cp app.txt", "run \"echo package >> trip; cp app.txt")
        .replace("run #\"ln", "run #\"echo run >> trip; ln")
        .replace("run #\"grep", "run #\"echo health >> trip; grep")
        .replace("save #\"", "save #\"echo save >> trip; ")
        .replace(
            "    needs \"package\"\n",
            "    needs \"package\" \"idle\"\n",
        )
        + "task \"idle\" { done \"echo done >> safe; false\"; run \"echo idle >> trip\" }\n";
    lab.commit("Envfile.kdl", &wired);
    let before = lab.sandbox.read(".envrun/env/uat/ledger.jsonl");
    for args in [&["uat.deploy", "-n"][..], &["uat.deploy", "-n", "-o", "json"], &["plan", "uat.deploy"]] {
        let ran = lab.run(args);
        exits(&ran, 0);
        // For people it is a list of everything that has to hold and would be done.
        for line in [
            "  [?] guard exec",
            "  live now: release 1",
            "  saves first: uat.",
            "  verifies: uat.health",
            "  goes back to: deploy 1",
        ] {
            assert!(args.contains(&"json") || ran.stdout.contains(line), "{line}: {}", ran.text());
        }
        assert!(!lab.sandbox.exists("trip"), "{args:?}: {} {}", lab.sandbox.read("trip"), ran.text());
    }
    // What tells whether there is something to do is there to be asked.
    assert!(lab.sandbox.read("safe").contains("done"));
    assert_eq!(lab.sandbox.read(".envrun/env/uat/ledger.jsonl"), before);
    assert_eq!(lab.live("uat"), "good 1");
    // The wire holds: carried out, all of it is there.
    exits(&lab.run(&["uat.deploy"]), 0);
    let trip = lab.sandbox.read("trip");
    for one in ["guard", "required", "package", "idle", "save", "run", "health"] {
        assert!(trip.lines().any(|line| line == one), "{one}: {trip}");
    }
}

#[test]
fn what_fails_before_anything_is_changed_is_no_release() {
    let lab = Lab::new();
    lab.commit("Envfile.kdl", &ENVFILE.replace("cp app.txt build/app.txt", "false"));
    exits(&lab.run(&["uat.deploy"]), 1);
    assert_eq!(lab.outcomes("uat"), "1 abandoned");
    assert!(!lab.sandbox.exists("live"));
}

#[test]
fn a_check_asks_every_proof_and_names_those_that_fail() {
    let lab = Lab::new();
    // Up to date is no answer to whether it is well now.
    let more = "task \"smoke\" { inputs \"app.txt\"; run \"test ! -e kill\" }\ntask \"late\" { run \"echo asked\" }\n";
    let text = ENVFILE.replace("verify \"health\"", "verify \"smoke\" \"health\" \"late\"");
    lab.commit("Envfile.kdl", &format!("{text}{more}"));
    lab.sandbox.ok(&["uat.deploy"]);
    let well = lab.run(&["status", "uat", "--check"]);
    exits(&well, 0);
    assert!(well.stdout.contains("; healthy"), "{}", well.text());
    lab.sandbox.write("kill", "nothing");
    let revision = lab.git(&["rev-parse", "HEAD"]);
    lab.sandbox.write(&format!("live/uat/releases/{revision}/app.txt"), "worse\n");
    let ran = lab.run(&["status", "uat", "--check"]);
    exits(&ran, 1);
    for part in ["NOT healthy: ", "uat.health", "smoke", "asked"] {
        assert!(ran.stdout.contains(part), "{part}: {}", ran.text());
    }
    assert!(!ran.stdout.contains("uat.late failed"), "{}", ran.text());
}

#[test]
fn figures_for_people_and_for_prometheus() {
    let lab = Lab::new();
    lab.sandbox.ok(&["uat.deploy"]);
    lab.commit("app.txt", "bad 2\n");
    exits(&lab.run(&["uat.deploy"]), 5);
    lab.commit("app.txt", "good 3\n");
    lab.sandbox.ok(&["uat.deploy"]);
    lab.sandbox.ok(&["rollback", "uat"]);
    let text = lab.sandbox.ok(&["report", "uat"]).stdout;
    assert!(text.contains("deploys    1 back, 2 live") && text.contains("success    67 %"), "{text}");
    let text = lab.sandbox.ok(&["report", "uat", "--format", "prometheus"]).stdout;
    for line in [
        "envrun_deploys_total{env=\"uat\",outcome=\"live\"} 2",
        "envrun_deploys_total{env=\"uat\",outcome=\"back\"} 1",
        "envrun_rollbacks_total{env=\"uat\",outcome=\"live\"} 1",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    // As Prometheus reads it: comments, or a name with labels and a number.
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(name.ends_with('}') && value.parse::<f64>().is_ok(), "{line}");
    }
    let json = lab.sandbox.ok(&["report", "--format", "json", "--since", "1d"]).stdout;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json[0]["deploys"]["live"], 2);
    let since = lab.sandbox.ok(&["report", "--format", "prometheus", "--since", "1d"]).stdout;
    assert!(since.contains("# TYPE envrun_deploys gauge"), "{since}");
    exits(&lab.run(&["report", "--since", "soon"]), 2);
}

#[test]
fn keep_lets_go_of_bytes_and_never_of_what_is_live_or_gone_back_to() {
    let lab = Lab::new();
    for number in 1..=5 {
        lab.commit("app.txt", &format!("good {number}\n"));
        lab.sandbox.ok(&["uat.deploy"]);
    }
    let kept = |lab: &Lab| {
        let ran = lab.sandbox.ok(&["history", "uat", "--json"]);
        let lines = ran.stdout.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let kept = lines.filter(|line| line["kept"] == true).map(|line| line["release"].to_string());
        kept.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(kept(&lab), "5 4 3");
    let ran = lab.run(&["rollback", "uat", "--to", "1"]);
    exits(&ran, 3);
    assert!(ran.stderr.contains("was let go by `keep`; there are 4"), "{}", ran.stderr);
    // What is kept survives a collection that everything else does not.
    lab.sandbox.write(
        "Envfile.kdl",
        lab.sandbox.read("Envfile.kdl") + "cache { local max-size=\"1KiB\" max-age=\"1s\" }\n",
    );
    lab.sandbox.ok(&["cache", "gc"]);
    lab.sandbox.ok(&["rollback", "uat", "--to", "3"]);
    assert_eq!(lab.live("uat"), "good 3");
}

#[test]
fn bytes_that_are_not_here_refuse_a_rollback_and_nothing_is_broken() {
    let lab = Lab::new();
    for number in 1..=3 {
        lab.commit("app.txt", &format!("good {number}\n"));
        lab.sandbox.ok(&["uat.deploy"]);
    }
    std::fs::remove_dir_all(lab.sandbox.cache()).unwrap();
    for words in [&["rollback", "uat"][..], &["rollback", "uat", "--emergency"]] {
        let ran = lab.run(words);
        exits(&ran, 3);
        let told = ran.stderr.contains("`rollback uat` is refused: the bytes of deploy 2 of revision")
            && ran.stderr.contains("are not in this cache")
            && ran.stderr.contains("git switch --detach");
        assert!(told, "{}", ran.stderr);
    }
    let list = lab.sandbox.ok(&["rollback", "uat", "--list"]).stdout;
    assert!(list.lines().next().unwrap().ends_with("next; its bytes are not in this cache"), "{list}");
    exits(&lab.run(&["status", "uat"]), 0);
    assert_eq!(lab.live("uat"), "good 3");
    // Whoever deploys hears that there is no way back before it is needed.
    lab.commit("app.txt", "good 4\n");
    let ran = lab.run(&["uat.deploy"]);
    exits(&ran, 0);
    assert!(
        ran.stderr.contains("could not go back if it failed: the bytes of deploy 3 of"),
        "{}",
        ran.stderr
    );
}

#[test]
fn what_a_deploy_needs_knows_the_revision_without_a_repository() {
    let sandbox = Sandbox::with(&[(
        "Envfile.kdl",
        r##"
project "lab"
env "uat" { }
task "package" { outputs "build/revision"; run "mkdir -p build; echo $ENVRUN_REVISION > build/revision" }
deploy "deploy" {
    needs "package"
    run #"test "$(cat build/revision)" = "$ENVRUN_REVISION""#
}
"##,
    )]);
    sandbox.ok(&["uat.deploy"]);
    let history = sandbox.ok(&["history", "uat", "--json"]).stdout;
    assert!(history.contains(sandbox.read("build/revision").trim()), "{history}");
}

#[test]
fn what_is_to_be_shipped_and_is_not_here_is_asked_about_all_the_same() {
    let lab = Lab::new();
    let text = ENVFILE.replace(
        "    deploy \"deploy\" { from \"uat\" }\n",
        "    guard { deployed \"uat\" within=\"1d\" }\n    deploy \"deploy\" { from \"uat\" }\n",
    );
    lab.commit("Envfile.kdl", &text);
    lab.sandbox.ok(&["uat.deploy"]);
    // What is checked out is another one by now.
    lab.commit("app.txt", "good 2\n");
    std::fs::remove_dir_all(lab.sandbox.cache()).unwrap();
    for words in [&["prod.deploy"][..], &["prod.deploy", "-n"]] {
        let ran = lab.run(words);
        let all = ran.stdout.clone() + &ran.stderr;
        assert!(all.contains("are not in this cache"), "{}", ran.text());
        assert!(!all.contains("was not live in uat"), "{}", ran.text());
    }
}

/// The lab with data: each deploy writes what it is into a file that stands for a database.
fn lab_with_data() -> Lab {
    let lab = Lab::new();
    let snapshot = "snapshot \"db\" {\n    save #\"cp live/data \"$SNAPSHOT/data\"\"#\n    restore #\"cp \"$SNAPSHOT/data\" live/data\"#\n}\n";
    let migrate = "    run #\"cp build/app.txt live/data\"#\n    verify \"health\"";
    let text = ENVFILE.replace("    verify \"health\"", migrate);
    let text = text.replacen("    needs \"package\"\n", "    needs \"package\"\n    snapshot \"db\"\n", 1);
    lab.commit("Envfile.kdl", &format!("{text}{snapshot}"));
    lab.sandbox.write("live/data", "nothing yet\n");
    lab
}

#[test]
fn data_is_saved_first_and_goes_back_only_when_asked() {
    let lab = lab_with_data();
    lab.sandbox.ok(&["uat.deploy"]);
    lab.commit("app.txt", "bad 2\n");
    let ran = lab.run(&["uat.deploy"]);
    exits(&ran, 5);
    assert!(ran.stderr.contains("the data of `uat.db` was not put back"), "{}", ran.stderr);
    assert!(ran.stderr.contains("copy 2"), "{}", ran.stderr);
    // Going back carries the same actions out, with the old release.
    assert_eq!(lab.sandbox.read("live/data"), "good 1\n");
    lab.sandbox.write("live/data", "orders of the day\n");
    lab.commit("app.txt", "good 3\n");
    lab.sandbox.ok(&["uat.deploy"]);
    assert_eq!(lab.sandbox.read("live/data"), "good 3\n");
    let listed = lab.sandbox.ok(&["rollback", "uat", "--list"]).stdout;
    assert!(listed.contains("data: uat.db"), "{listed}");
    // The actions of the release come after its data: here they write over it, as a migration would.
    let text =
        lab.sandbox.read("Envfile.kdl").replace("run #\"cp build/app.txt live/data\"#", "run \"true\"");
    lab.sandbox.write("Envfile.kdl", text);
    // Data that are not what was saved do not go back, and then nothing does.
    let copy = ".envrun/env/uat/snapshots/db/3/data/data";
    lab.sandbox.write(copy, "orders of the dye\n");
    let ran = lab.run(&["rollback", "uat", "--with-data"]);
    exits(&ran, 3);
    assert!(ran.stderr.contains("copy 3 of `uat.db` is damaged: its bytes have changed"), "{}", ran.stderr);
    assert_eq!(lab.live("uat"), "good 3");
    lab.sandbox.write(copy, "orders of the day\n");
    lab.sandbox.ok(&["rollback", "uat", "--with-data"]);
    assert_eq!(lab.live("uat"), "good 1");
    assert_eq!(lab.sandbox.read("live/data"), "orders of the day\n");
}

#[test]
fn a_deploy_that_goes_on_with_other_values_says_so() {
    let lab = Lab::new();
    let cut_short = || {
        let mut command = lab.sandbox.command(&["uat.deploy", "-s", "COLOUR=blue"]);
        dies(&mut command, "/env/uat/ledger.jsonl", 5, Moment::Written);
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&command.output().unwrap().status), Some(9));
    };
    let text = ENVFILE.replacen("vars {", "vars { COLOUR \"red\"; ", 1);
    assert!(text.contains("COLOUR"));
    lab.commit("Envfile.kdl", &text);
    // What it was given is remembered here, and nowhere else.
    for (args, is_here, is_told) in [
        (&["-s", "COLOUR=blue"][..], false, false),
        (&[], true, false),
        (&["-s", "COLOUR=green"], true, true),
        (&["-s", "COLOUR=green"], false, true),
    ] {
        let _ = std::fs::remove_file(lab.sandbox.root().join(".envrun/env/uat/ledger.jsonl"));
        cut_short();
        let given = lab.sandbox.root().join(".envrun/env/uat/given.json");
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&given).unwrap().permissions());
        assert_eq!(mode & 0o077, 0);
        if !is_here {
            std::fs::remove_file(given).unwrap();
            let ran = lab.run(&["deploy", "resume", "uat"]);
            exits(&ran, 2);
            assert!(ran.stderr.contains("`envrun deploy resume uat -s COLOUR=…`"), "{}", ran.stderr);
        }
        let ran = lab.sandbox.ok(&[&["deploy", "resume", "uat"][..], args].concat());
        assert_eq!(
            ran.stderr.contains("goes on with other values than it began with"),
            is_told,
            "{}",
            ran.text()
        );
    }
}

#[test]
fn a_deploy_whose_data_cannot_be_saved_never_starts() {
    let lab = lab_with_data();
    lab.sandbox.ok(&["uat.deploy"]);
    lab.commit("app.txt", "good 2\n");
    std::fs::remove_file(lab.sandbox.root().join("live/data")).unwrap();
    let ran = lab.run(&["uat.deploy"]);
    exits(&ran, 1);
    assert!(ran.stderr.contains("`uat.db` was not saved"), "{}", ran.stderr);
    assert_eq!(lab.live("uat"), "good 1");
    assert_eq!(lab.outcomes("uat"), "1 live, 2 abandoned");
}

#[test]
fn two_deploys_at_once_one_wins_and_the_other_hears_who() {
    let lab = Lab::new();
    lab.sandbox.ok(&["uat.deploy"]);
    let rounds = if std::env::var_os("ENVRUN_TEST_ROUNDS").is_some() { 50 } else { 4 };
    for round in 0..rounds {
        lab.commit("app.txt", &format!("good {round}\n"));
        let start = || {
            lab.sandbox
                .command(&["uat.deploy"])
                .stderr(std::process::Stdio::piped())
                .stdout(std::process::Stdio::piped())
                .spawn()
                .unwrap()
        };
        let ran: Vec<Ran> = [start(), start()]
            .into_iter()
            .map(|child| lab.sandbox.ran(child.wait_with_output().unwrap()))
            .collect();
        let won = ran.iter().filter(|ran| ran.exit == 0).count();
        let lost: Vec<&Ran> = ran.iter().filter(|ran| ran.exit == 7).collect();
        assert_eq!(won + lost.len(), 2, "{}\n{}", ran[0].text(), ran[1].text());
        assert!(won >= 1);
        for ran in lost {
            assert!(
                ran.stderr.contains("environment `uat` is locked by") && ran.stderr.contains("since"),
                "{}",
                ran.stderr
            );
            assert!(ran.stderr.contains("or have it stop with Ctrl-C or `kill -INT "), "{}", ran.stderr);
        }
        assert_eq!(lab.live("uat"), format!("good {round}"));
    }
    // Each that began was alone: none is open, and each went live.
    assert!(!lab.outcomes("uat").split(", ").any(|outcome| !outcome.ends_with(" live")));
}

/// A deploy of a second release that was told to stop after its switch, by one Ctrl-C; how it ended.
fn interrupted_after_the_switch(lab: &Lab, hangs: &str) -> Ran {
    lab.sandbox.ok(&["uat.deploy"]);
    // It hangs after the switch until it is told to stop. Who has the pipe open is there to hear it.
    let text = ENVFILE
        .replace("run #\"sh tools/kill.sh applied $PPID\"#", &format!("run #\"test ! -e hang || {hangs}\"#"));
    lab.commit("Envfile.kdl", &text);
    lab.commit("app.txt", "good 2\n");
    lab.sandbox.write("hang", "");
    let pipe = lab.sandbox.root().join("live/pipe");
    mkfifo(&pipe);
    let piped = std::process::Stdio::piped;
    let child = lab.sandbox.command(&["uat.deploy"]).stderr(piped()).stdout(piped()).spawn().unwrap();
    let began = std::time::Instant::now();
    let held = loop {
        use std::os::unix::fs::OpenOptionsExt;
        let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        match std::fs::File::options().write(true).custom_flags(nonblocking).open(&pipe) {
            Ok(held) => break held,
            Err(_) => assert!(began.elapsed().as_secs() < 60, "it never came so far"),
        }
        std::thread::yield_now();
    };
    assert_eq!(lab.live("uat"), "good 2");
    std::fs::remove_file(lab.sandbox.root().join("hang")).unwrap();
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let ran = lab.sandbox.ran(child.wait_with_output().unwrap());
    drop(held);
    ran
}

#[test]
fn ctrl_c_goes_back() {
    let lab = Lab::new();
    let ran = interrupted_after_the_switch(&lab, "cat live/pipe");
    exits(&ran, 130);
    assert_eq!(lab.live("uat"), "good 1", "{}", ran.text());
    assert_eq!(lab.outcomes("uat"), "1 live, 2 back");
}

/// `ENVRUN_TEST_ROUNDS` takes one that does not hear of it at all: it has ten seconds to end.
#[test]
fn ctrl_c_goes_back_although_the_command_is_slow_to_end() {
    let lab = Lab::new();
    let long = std::env::var_os("ENVRUN_TEST_ROUNDS").is_some();
    let trap = if long { "" } else { "sleep 1; exit 0" };
    let ran = interrupted_after_the_switch(&lab, &format!("{{ trap '{trap}' INT; cat live/pipe; }}"));
    exits(&ran, 130);
    assert_eq!(lab.live("uat"), "good 1", "{}", ran.text());
    assert_eq!(lab.outcomes("uat"), "1 live, 2 back");
}

#[test]
fn what_somebody_else_changed_is_told_as_drift() {
    let lab = Lab::new();
    for text in ["good 1\n", "good 2\n"] {
        lab.commit("app.txt", text);
        lab.sandbox.ok(&["uat.deploy"]);
    }
    let drift = || {
        let ran = lab.run(&["status", "uat", "--json"]);
        let json: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
        let drift = json[0]["deploys"][0]["drift"].as_array().unwrap();
        let drift: Vec<&str> = drift.iter().map(|line| line.as_str().unwrap()).collect();
        assert_eq!(ran.exit, i32::from(!drift.is_empty()), "{}", ran.text());
        drift.join("; ")
    };
    assert_eq!(drift(), "");
    let live = lab.sandbox.root().join("live/uat");
    let first = lab.git(&["rev-parse", "HEAD~1"]);
    let second = lab.git(&["rev-parse", "HEAD"]);
    // What came to it, and data beside it, are nobody's drift.
    std::fs::write(live.join("current/app.pid"), "7").unwrap();
    std::fs::write(live.join("log"), "and so on").unwrap();
    assert_eq!(drift(), "");
    // The same bytes, written again, are the same.
    std::fs::write(live.join("current/app.txt"), "good 2\n").unwrap();
    assert_eq!(drift(), "");
    std::fs::write(live.join("current/app.txt"), "evil 2\n").unwrap();
    assert_eq!(drift(), format!("live/uat/releases/{second}/app.txt was changed"));
    std::fs::remove_file(live.join("current/app.txt")).unwrap();
    assert_eq!(drift(), format!("live/uat/releases/{second}/app.txt is gone"));
    std::fs::remove_file(live.join("current")).unwrap();
    std::os::unix::fs::symlink(format!("releases/{first}"), live.join("current")).unwrap();
    let repointed = format!("live/uat/current leads to releases/{first}, not to releases/{second}");
    assert!(drift().starts_with(&repointed), "{}", drift());
    let ran = lab.run(&["status", "uat"]);
    exits(&ran, 1);
    assert!(ran.stdout.contains(&format!("    drift: {repointed}\n")), "{}", ran.stdout);
    // The next release puts it right, and so does going back.
    lab.sandbox.ok(&["uat.deploy"]);
    assert_eq!(drift(), "");
    lab.commit("app.txt", "bad\n");
    exits(&lab.run(&["uat.deploy"]), 5);
    assert_eq!(drift(), "");
}

#[test]
fn what_is_broken_after_ctrl_c_is_told() {
    let lab = Lab::new();
    let ran = interrupted_after_the_switch(&lab, "{ trap 'rm tools/kill.sh' INT; cat live/pipe; }");
    exits(&ran, 6);
    assert!(ran.stderr.contains(".envrun/env/uat/logs/2-back.log"), "{}", ran.stderr);
    assert_eq!(lab.outcomes("uat"), "1 live, 2 broken");
}

#[test]
fn other_bytes_than_those_that_were_proved_are_refused() {
    let lab = Lab::new();
    let text = ENVFILE.replace(
        "    deploy \"deploy\" { from \"uat\" }\n",
        "    guard { deployed \"uat\" within=\"1d\" }\n",
    );
    lab.commit("Envfile.kdl", &text);
    let ran = lab.run(&["prod.deploy"]);
    exits(&ran, 3);
    assert!(ran.stderr.contains("nothing was deployed to uat yet"), "{}", ran.stderr);
    lab.sandbox.ok(&["uat.deploy"]);
    lab.sandbox.ok(&["prod.deploy"]);
    // The same revision, made again with other bytes: a file that is not committed is enough.
    lab.sandbox.write("app.txt", "good, but not what was proved\n");
    let ran = lab.run(&["prod.deploy"]);
    exits(&ran, 3);
    assert!(ran.stderr.contains("other bytes were live in uat: proved is package "), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("(release 1 of revision ") && ran.stderr.contains("found is package "),
        "{}",
        ran.stderr
    );
    assert_eq!(lab.live("prod"), "good 1");
    assert_eq!(lab.outcomes("prod"), "1 refused, 2 live, 3 refused");
    // Live, but not for long enough.
    lab.sandbox.write("Envfile.kdl", text.replace("within=\"1d\"", "for=\"1d\""));
    let ran = lab.run(&["prod.deploy"]);
    exits(&ran, 3);
    assert!(
        ran.stderr.contains("not for 1d yet") && ran.stderr.contains("wait for another "),
        "{}",
        ran.stderr
    );
    lab.sandbox.write("Envfile.kdl", &text);
    let ran = lab.run(&["prod.deploy", "--break-glass", "the sky is falling"]);
    exits(&ran, 0);
    let history = lab.sandbox.ok(&["history", "prod", "-n", "1"]).stdout;
    assert!(history.contains("break-glass: the sky is falling"), "{history}");
}

#[test]
fn data_that_another_checkout_saved_are_not_mistaken_for_those_saved_here() {
    let lab = lab_with_data();
    let text = lab
        .sandbox
        .read("Envfile.kdl")
        .replace("restore #\"cp ", "restore #\"sh tools/kill.sh restoring $PPID; cp ");
    let text = text.replace("keep 3", "keep 9");
    lab.commit("Envfile.kdl", &format!("{text}state git=\"origin\"\n"));
    let (_, other) = share(&lab.sandbox.root(), "ada");
    std::os::unix::fs::symlink(lab.sandbox.root().join("live"), other.join("live")).unwrap();
    let there = |args: &[&str]| lab.sandbox.ran(lab.sandbox.command_in(&other, args).output().unwrap());
    let data = || lab.sandbox.read("live/data").trim().to_owned();
    let next = |text: &str| {
        lab.commit("app.txt", text);
        lab.git(&["push", "--quiet", "origin", "main"]);
        lab.git(&["-C", other.to_str().unwrap(), "pull", "--quiet", "origin", "main"]);
    };
    // Two copies here, and two of the same numbers there.
    lab.sandbox.ok(&["uat.deploy"]);
    next("good 2\n");
    lab.sandbox.ok(&["uat.deploy"]);
    for text in ["good 3\n", "good 4\n"] {
        next(text);
        exits(&there(&["uat.deploy"]), 0);
    }
    assert_eq!(data(), "good 4");
    for args in [
        &["rollback", "uat", "--to", "1", "--with-data"][..],
        &["rollback", "uat", "--to", "1", "--with-data", "--emergency"],
    ] {
        let refused = there(args);
        exits(&refused, 3);
        let reason = "copy 2 of `uat.db` is not in this checkout: deploy 2 of revision ";
        assert!(refused.stderr.contains(reason), "{}", refused.stderr);
    }
    assert_eq!((lab.live("uat"), data()), ("good 4".into(), "good 4".into()));
    let refused = lab.run(&["rollback", "uat", "--with-data"]);
    exits(&refused, 3);
    assert!(
        refused.stderr.contains("copy 2 of `uat.db` is not in this checkout: deploy 4"),
        "{}",
        refused.stderr
    );
    exits(&there(&["rollback", "uat", "--with-data"]), 0);
    assert_eq!(lab.live("uat"), "good 3");

    // Taken back elsewhere, a deploy names the copy as one of another checkout.
    next("good 5\n");
    lab.sandbox.write("kill", "applied");
    assert_eq!(lab.run(&["uat.deploy"]).exit, -1);
    let back = there(&["deploy", "back", "uat"]);
    exits(&back, 0);
    assert!(back.stderr.contains("it was copy 3 of another checkout"), "{}", back.stderr);

    // A restore that was cut short is gone on with where its copy is, and nowhere else.
    lab.sandbox.write("kill", "restoring");
    assert_eq!(lab.run(&["restore", "uat.db", "--at", "1", "-y"]).exit, -1);
    let was = data();
    for way in ["resume", "back"] {
        let refused = there(&["deploy", way, "uat"]);
        exits(&refused, 3);
        assert!(refused.stderr.contains("of `uat.db` is not in this checkout"), "{}", refused.stderr);
    }
    assert_eq!(data(), was);
    exits(&lab.run(&["deploy", "resume", "uat"]), 0);
    assert_eq!(data(), "nothing yet");
}

#[test]
fn an_emergency_says_that_the_ledger_is_damaged_where_that_is_why_nothing_is_known() {
    let lab = Lab::new();
    lab.sandbox.ok(&["uat.deploy"]);
    lab.commit("app.txt", "good 2\n");
    lab.sandbox.ok(&["uat.deploy"]);
    let ledger = ".envrun/env/uat/ledger.jsonl";
    let whole = lab.sandbox.read(ledger);
    // Nothing can be read: it is not said that nothing was ever deployed.
    lab.sandbox.write(ledger, "nonsense\n".repeat(whole.lines().count()));
    for what in ["uat", "uat.deploy"] {
        let ran = lab.run(&["rollback", what, "--emergency"]);
        exits(&ran, 3);
        assert!(ran.stderr.contains("line 1 is not what envrun wrote"), "{}", ran.stderr);
        assert!(ran.stderr.contains("`envrun deploy mend uat`"), "{}", ran.stderr);
    }
    // What can be read is enough where it tells what to go back to.
    lab.sandbox.write(ledger, format!("{whole}nonsense\n"));
    lab.sandbox.ok(&["rollback", "uat", "--emergency"]);
    assert_eq!(lab.live("uat"), "good 1");
}

#[test]
fn two_checkouts_share_one_lock_and_one_history_through_git() {
    let lab = Lab::new();
    let hang = "deploy \"hang\" { run \"touch hangs; while test -e hang; do sleep 0.05; done\" }\n";
    let text = format!("{ENVFILE}{hang}state git=\"origin\"\n");
    lab.commit("Envfile.kdl", &text);
    let (origin, other) = share(&lab.sandbox.root(), "ada");
    // What is live is one place, whoever deploys there.
    std::fs::create_dir_all(lab.sandbox.root().join("live")).unwrap();
    std::os::unix::fs::symlink(lab.sandbox.root().join("live"), other.join("live")).unwrap();
    let here = lab.sandbox.root();
    let rounds = if std::env::var_os("ENVRUN_TEST_ROUNDS").is_some() { 50 } else { 3 };
    for _ in 0..rounds {
        let start = |dir: &std::path::Path| {
            let mut command = lab.sandbox.command_in(dir, &["uat.deploy"]);
            let piped = std::process::Stdio::piped;
            command.stdout(piped()).stderr(piped()).spawn().unwrap()
        };
        let children = [start(&here), start(&other)];
        let ran = children.map(|child| lab.sandbox.ran(child.wait_with_output().unwrap()));
        assert!(ran.iter().any(|ran| ran.exit == 0), "{}\n{}", ran[0].text(), ran[1].text());
        for ran in ran.iter().filter(|ran| ran.exit != 0) {
            exits(ran, 7);
            assert!(
                ran.stderr.contains("is locked by") || ran.stderr.contains("began to change `uat`"),
                "{}",
                ran.stderr
            );
        }
    }
    // One history, without a gap and without two that were at it at once.
    let read = |dir: &std::path::Path| {
        let ran =
            lab.sandbox.ran(lab.sandbox.command_in(dir, &["history", "uat", "--json"]).output().unwrap());
        exits(&ran, 0);
        ran.stdout
    };
    let history = read(&here);
    assert_eq!(history, read(&other));
    let mut last_end = 0;
    for (at, line) in history.lines().rev().enumerate() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["release"], at as u64 + 1);
        assert_eq!(line["outcome"], "live");
        assert!(line["began"].as_u64().unwrap() >= last_end, "{history}");
        last_end = line["ended"].as_u64().unwrap();
    }
    // What goes on there is told here, and nobody here takes it out of its hands.
    std::fs::write(other.join("hang"), "").unwrap();
    let mut going =
        lab.sandbox.command_in(&other, &["uat.hang"]).stdin(std::process::Stdio::piped()).spawn().unwrap();
    let began = std::time::Instant::now();
    while !other.join("hangs").exists() {
        assert!(began.elapsed().as_secs() < 60, "it never came so far");
        std::thread::yield_now();
    }
    let told = lab.run(&["status", "uat"]).stdout;
    assert!(told.contains("is locked by") || told.contains("locked by"), "{told}");
    assert!(!told.contains("was cut short"), "{told}");
    exits(&lab.run(&["deploy", "back", "uat"]), 7);
    std::fs::remove_file(other.join("hang")).unwrap();
    assert!(going.wait().unwrap().success());
    // The remote is away: nothing new begins, but an emergency does, and is told when the remote is back.
    lab.commit("app.txt", "good 2\n");
    exits(&lab.run(&["uat.deploy"]), 0);
    let away = origin.with_file_name("away.git");
    std::fs::rename(&origin, &away).unwrap();
    let ran = lab.run(&["rollback", "uat.deploy"]);
    assert_ne!(ran.exit, 0, "{}", ran.text());
    // What an emergency could go back to can be looked at.
    let listed = lab.sandbox.ok(&["rollback", "uat.deploy", "--list"]);
    assert!(listed.stdout.contains("next"), "{}", listed.text());
    assert!(listed.stderr.contains("what is shown is"), "{}", listed.stderr);
    let ran = lab.sandbox.ok(&["rollback", "uat.deploy", "--emergency"]);
    assert!(ran.stderr.contains("other checkouts do not know of this yet"), "{}", ran.stderr);
    assert!(ran.stderr.contains("`envrun status uat` in this checkout tells them"), "{}", ran.stderr);
    std::fs::rename(&away, &origin).unwrap();
    // Whoever looks from here tells them, and there nobody goes on from what is not so any more.
    lab.sandbox.ok(&["status", "uat"]);
    assert_eq!(read(&other), read(&here));
    exits(&lab.run(&["uat.deploy"]), 0);
    assert_eq!(read(&here), read(&other));
    // What was cut short there is told here, and can be brought to its end here.
    std::fs::write(other.join("kill"), "verifying").unwrap();
    let killed = lab.sandbox.command_in(&other, &["uat.deploy"]).output().unwrap();
    assert_eq!(killed.status.code(), None);
    let ran = lab.run(&["uat.deploy"]);
    exits(&ran, 7);
    assert!(ran.stderr.contains("cut short while verifying"), "{}", ran.stderr);
    assert!(ran.stderr.contains("in the checkout that began it"), "{}", ran.stderr);
    exits(&lab.run(&["deploy", "back", "uat"]), 0);
    exits(&lab.sandbox.ran(lab.sandbox.command_in(&other, &["uat.deploy"]).output().unwrap()), 0);
    // What cannot be written down here is not passed over in silence.
    let lock = here.join(".envrun/env/uat/lock");
    std::fs::remove_file(&lock).unwrap();
    std::fs::create_dir(&lock).unwrap();
    for words in [&["status", "uat"][..], &["history", "uat"]] {
        let ran = lab.run(words);
        assert!(ran.stderr.contains("what others did in `uat` since is not shown"), "{}", ran.text());
    }
}

#[test]
fn a_deploy_renders_what_it_ships_and_goes_back_to_what_it_was() {
    let sandbox = Sandbox::with(&[
        (
            "Envfile.kdl",
            r#"
env "prod" {
    vars { COLOUR "blue" }
    requires { set "READY"; file "ready" }
}
secrets { TOKEN generate="hex" }
deploy "deploy" {
    render ".env.${ENVRUN_ENV}" format="dotenv"
    render "live.conf" template="live.j2"
    run "cp live.conf shipped; grep -q TOKEN= .env.prod"
    verify "good"
}
task "good" { run "! grep -q red shipped" }
"#,
        ),
        ("live.j2", "{{ ENVRUN_REVISION[:7] }} {{ COLOUR }}\n"),
        (".gitignore", "/.envrun/\n/.env.*\n/live.conf\n/shipped\n/ready\n"),
    ]);
    let lab = Lab { sandbox };
    lab.git(&["init", "--quiet", "-b", "main"]);
    let first = lab.commit("colour", "blue");
    // What it requires is asked before anything begins, all of it.
    let ran = lab.run(&["prod.deploy"]);
    exits(&ran, 3);
    assert!(
        ran.stderr.contains("READY") && ran.stderr.contains("requires ready: it does not exist"),
        "{}",
        ran.stderr
    );
    assert!(!lab.sandbox.exists(".env.prod"));
    let mut lab = lab;
    lab.sandbox.set("READY", "yes");
    lab.sandbox.write("ready", "");
    lab.sandbox.ok(&["prod.deploy"]);
    assert_eq!(lab.sandbox.read("shipped"), format!("{} blue\n", &first[..7]));
    let text = lab.sandbox.read("Envfile.kdl").replace("blue", "red");
    lab.commit("Envfile.kdl", &text);
    let ran = lab.run(&["prod.deploy"]);
    // The values are those of the Envfile as it is; the revision is the one that was live.
    assert!(ran.exit == 5 || ran.exit == 6, "{}", ran.text());
    assert!(lab.sandbox.read("live.conf").starts_with(&first[..7]), "{}", ran.text());
}

#[test]
fn two_ports_that_are_one_refuse_a_deploy() {
    let sandbox = Sandbox::with(&[
        (
            "Envfile.kdl",
            "vars { (port)A 18080; (port)B 18080; (port)SAME \"${A}\" }\nenv \"prod\"\ndeploy \"deploy\" { run \"echo went\" }\n",
        ),
        (".gitignore", ".envrun\n"),
    ]);
    let lab = Lab { sandbox };
    lab.git(&["init", "--quiet", "-b", "main"]);
    lab.commit("a", "a");
    let ran = lab.run(&["prod.deploy"]);
    exits(&ran, 3);
    assert!(
        ran.stderr.contains("B is 18080, and that is also the port of A (Envfile.kdl:1)"),
        "{}",
        ran.text()
    );
    assert!(!ran.stderr.contains("SAME"), "{}", ran.text());
    // What is live has its ports: that one is taken refuses nothing.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = format!("B={}", taken.local_addr().unwrap().port());
    exits(&lab.run(&["prod.deploy", "-s", &port]), 0);
}
