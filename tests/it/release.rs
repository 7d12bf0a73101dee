//! `tasks/release.kdl`, in a project of its own with a bare origin that sometimes does not want the push.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::sandbox::{Ran, Sandbox};

struct World {
    sandbox: Sandbox,
}

impl World {
    fn new(envfile: &str, files: &[(&str, &str)]) -> Self {
        let tasks =
            std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tasks/release.kdl")).unwrap();
        let mut sandbox = Sandbox::with(&[("Envfile.kdl", envfile), ("tasks/release.kdl", &tasks)]);
        files.iter().for_each(|(path, text)| sandbox.write(path, text));
        for who in ["AUTHOR", "COMMITTER"] {
            sandbox.set(&format!("GIT_{who}_NAME"), "Ann");
            sandbox.set(&format!("GIT_{who}_EMAIL"), "ann@example.org");
        }
        // The tasks call `envrun`, as it is found in the search path.
        let here = Path::new(env!("CARGO_BIN_EXE_envrun")).parent().unwrap().display().to_string();
        sandbox.set("PATH", &format!("{here}:{}", std::env::var("PATH").unwrap()));
        let world = Self { sandbox };
        let root = world.root();
        git(root.parent().unwrap(), &["init", "-q", "--bare", "-b", "main", "origin.git"]);
        git(&root, &["init", "-q", "-b", "main"]);
        git(&root, &["remote", "add", "origin", "../origin.git"]);
        std::fs::write(root.join(".git/info/exclude"), ".envrun\n").unwrap();
        git(&root, &["add", "."]);
        git(&root, &["commit", "-q", "-m", "first"]);
        git(&root, &["push", "-q", "-u", "origin", "main"]);
        world
    }

    fn root(&self) -> PathBuf {
        self.sandbox.root()
    }

    fn origin(&self) -> PathBuf {
        self.root().parent().unwrap().join("origin.git")
    }

    fn run(&self, args: &[&str]) -> Ran {
        self.sandbox.run(args)
    }

    #[track_caller]
    fn ok(&self, args: &[&str]) {
        let ran = self.run(args);
        assert_eq!(ran.exit, 0, "{}", ran.text());
    }

    /// What the origin has: its commits on main, newest first, and its tags with the commits that they are at.
    fn published(&self) -> (String, String) {
        let log = git(&self.origin(), &["log", "--format=%s", "main"]).replace('\n', ", ");
        let tags =
            git(&self.origin(), &["tag", "--format=%(refname:strip=2) %(*subject)"]).replace('\n', ", ");
        (log, tags)
    }

    fn close(&self) -> PathBuf {
        let hook = self.origin().join("hooks/pre-receive");
        std::fs::write(&hook, "#!/bin/sh\necho closed >&2\nexit 1\n").unwrap();
        std::fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        hook
    }
}

fn git(dir: &Path, args: &[&str]) -> String {
    crate::sandbox::git(dir, "Ann", args)
}

const PROJECT: &str = "include \"tasks/release.kdl\" as=\"version\"\n";

#[test]
fn a_release_whose_push_fails_is_finished_by_the_next_run_with_the_same_version() {
    let world = World::new(PROJECT, &[("VERSION", "0.1.9\n")]);
    let hook = world.close();
    let failed = world.run(&["version.release", "minor", "it rolls back", "and \"forth\" \\n"]);
    assert_eq!(failed.exit, 1, "{}", failed.text());
    assert!(failed.stderr.contains("nothing is lost: the same command goes on"), "{}", failed.text());
    assert_eq!(world.sandbox.read("VERSION"), "0.2.0\n");
    assert_eq!(world.published(), ("first".into(), String::new()), "neither the commit nor the tag arrived");

    // Again in vain: nothing is raised twice.
    assert_eq!(world.run(&["version.release", "minor"]).exit, 1);
    assert_eq!(world.sandbox.read("VERSION"), "0.2.0\n");
    std::fs::remove_file(hook).unwrap();
    world.ok(&["version.release", "minor"]);
    assert_eq!(world.sandbox.read("VERSION"), "0.2.0\n");
    assert_eq!(world.published(), ("Release v0.2.0, first".into(), "v0.2.0 Release v0.2.0".into()));
    let log = world.sandbox.read("CHANGELOG.md");
    let log = log.replace(|c: char| c.is_ascii_digit(), "0");
    assert_eq!(
        log,
        "# Changelog\n\n## Unreleased\n\n## [0.0.0] - 0000-00-00\n\n- it rolls back\n- and \"forth\" \\n\n"
    );

    // That one is out, which the next run does not take for a reason to make another: a kill may have hidden it.
    let again = world.run(&["version.release", "minor", "it rolls back", "another change"]);
    assert!(again.stderr.contains("not in CHANGELOG.md: another change"), "{}", again.text());
    assert!(!again.stderr.contains("not in CHANGELOG.md: it rolls back"), "{}", again.text());
    assert_eq!(world.sandbox.read("VERSION"), "0.2.0\n");
    // The next commit begins the next one.
    git(&world.root(), &["commit", "-q", "--allow-empty", "-m", "more"]);
    world.ok(&["version.release", "patch"]);
    assert_eq!(world.sandbox.read("VERSION"), "0.2.1\n");
    assert_eq!(
        world.published(),
        (
            "Release v0.2.1, more, Release v0.2.0, first".into(),
            "v0.2.0 Release v0.2.0, v0.2.1 Release v0.2.1".into()
        )
    );
}

#[test]
fn a_release_goes_on_from_wherever_it_stopped() {
    // What a run leaves that was killed after each step.
    for steps in [
        &["version.bump"][..],
        &["version.bump", "version.changelog"],
        &["version.bump", "version.changelog", "version.commit"],
    ] {
        let world = World::new(
            PROJECT,
            &[("VERSION", "0.1.9\n"), ("CHANGELOG.md", "# Log\n\n## [0.1.9] - then\n\n- old\n")],
        );
        for step in steps {
            let args = if *step == "version.bump" { vec![*step, "minor"] } else { vec![*step] };
            world.ok(&args);
        }
        world.ok(&["version.release", "minor"]);
        assert_eq!(
            world.published(),
            ("Release v0.2.0, first".into(), "v0.2.0 Release v0.2.0".into()),
            "after {steps:?}"
        );
        let log = world.sandbox.read("CHANGELOG.md");
        assert_eq!(log.matches("## [0.2.0]").count(), 1, "{log}");
        assert!(log.find("## [0.2.0]") < log.find("## [0.1.9]"), "{log}");
    }
}

#[test]
fn a_release_that_somebody_was_quicker_than_takes_its_tag_along() {
    let world = World::new(PROJECT, &[("VERSION", "0.1.9\n")]);
    let other = world.root().parent().unwrap().join("other");
    git(world.root().parent().unwrap(), &["clone", "-q", "origin.git", "other"]);
    git(&other, &["commit", "-q", "--allow-empty", "-m", "theirs"]);
    git(&other, &["push", "-q"]);
    let failed = world.run(&["version.release", "patch"]);
    assert_eq!(failed.exit, 1);
    assert_eq!(world.published(), ("theirs, first".into(), String::new()));
    git(&world.root(), &["pull", "-q", "--rebase"]);
    world.ok(&["version.release", "patch"]);
    assert_eq!(
        world.published(),
        ("Release v0.1.10, theirs, first".into(), "v0.1.10 Release v0.1.10".into())
    );
}

#[test]
fn branch_and_tag_arrive_together_or_not_at_all() {
    let world = World::new(PROJECT, &[("VERSION", "0.1.9\n")]);
    // It takes whatever is no tag: only the one half of the push would arrive.
    let hook = world.origin().join("hooks/update");
    std::fs::write(&hook, "#!/bin/sh\ncase \"$1\" in refs/tags/*) exit 1 ;; esac\n").unwrap();
    std::fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let failed = world.run(&["version.release", "minor"]);
    assert_eq!(failed.exit, 1, "{}", failed.text());
    assert_eq!(world.published(), ("first".into(), String::new()), "{}", failed.text());
    std::fs::remove_file(hook).unwrap();
    world.ok(&["version.release", "minor"]);
    assert_eq!(world.published(), ("Release v0.2.0, first".into(), "v0.2.0 Release v0.2.0".into()));
}

#[test]
fn what_cannot_be_a_release_is_none() {
    let world = World::new(PROJECT, &[("VERSION", "0.1.9\n"), ("a", "a")]);
    let usage = world.run(&["version.bump", "huge"]);
    assert_eq!(usage.exit, 2);
    assert!(usage.stderr.contains("major"), "{}", usage.text());
    let usage = world.run(&["semver", "bump", "huge", "VERSION"]);
    assert_eq!(usage.exit, 2);
    world.sandbox.write("a", "b");
    let dirty = world.run(&["version.release", "minor"]);
    assert_eq!(dirty.exit, 1);
    assert!(dirty.text().contains("there are uncommitted changes"), "{}", dirty.text());
    assert_eq!(world.sandbox.read("VERSION"), "0.1.9\n");
    assert_eq!(world.sandbox.ok(&["semver", "show", "VERSION"]).stdout, "0.1.9\n");
}

#[test]
fn another_step_than_the_one_under_way_is_refused() {
    let world = World::new(PROJECT, &[("VERSION", "0.1.9\n")]);
    let refused = |level: &str, told: &str| {
        let before = (world.sandbox.read("VERSION"), world.published());
        let ran = world.run(&["version.release", level]);
        assert_eq!(ran.exit, 1, "{}", ran.text());
        assert!(ran.stdout.contains(told) || ran.stderr.contains(told), "{told}: {}", ran.text());
        assert_eq!((world.sandbox.read("VERSION"), world.published()), before);
    };
    world.ok(&["version.bump", "minor"]);
    refused("major", "a release of v0.2.0 is under way, which is no major one");
    let hook = world.close();
    assert_eq!(world.run(&["version.release", "minor"]).exit, 1);
    refused("patch", "v0.2.0 is not on origin yet, and no patch one");
    std::fs::remove_file(hook).unwrap();
    world.ok(&["version.release", "minor"]);
    assert_eq!(world.published(), ("Release v0.2.0, first".into(), "v0.2.0 Release v0.2.0".into()));
    refused("major", "nothing was committed since v0.2.0");
}

#[test]
fn what_is_missing_is_said_in_one_line_and_nothing_is_raised() {
    let mut world = World::new(PROJECT, &[("VERSION", "0.1.9\n")]);
    let root = world.root();
    let refused = |world: &World, told: &str| {
        let ran = world.run(&["version.release", "minor"]);
        assert_eq!(ran.exit, 1, "{}", ran.text());
        assert!(ran.stderr.contains(told), "{told}: {}", ran.text());
        assert!(!ran.stderr.contains("fatal:"), "git's own words tell nobody what to do: {}", ran.text());
    };
    git(&root, &["remote", "rename", "origin", "elsewhere"]);
    refused(&world, "there is no remote `origin` to push to: `git remote add origin URL`");
    git(&root, &["remote", "rename", "elsewhere", "origin"]);
    git(&root, &["rm", "-q", "VERSION"]);
    git(&root, &["commit", "-q", "-m", "none"]);
    refused(&world, "there is no VERSION that says the version\nbegin with `echo 0.1.0 > VERSION`");
    world.sandbox.write("VERSION", "0.1.9\n");
    refused(&world, "VERSION is not committed: that comes before its version is raised (`git add VERSION");
    world.sandbox.write("VERSION", "soon\n");
    refused(&world, "is no version: unexpected character 's'");
    world.sandbox.write("VERSION", "0.1.9\n");
    git(&root, &["add", "VERSION"]);
    git(&root, &["commit", "-q", "-m", "there"]);
    // Nobody is told to git, and nobody may be guessed.
    for who in ["AUTHOR", "COMMITTER"] {
        world.sandbox.set(&format!("GIT_{who}_NAME"), "");
    }
    refused(&world, "git does not know who commits: `git config user.name …`");
    assert_eq!(world.sandbox.read("VERSION"), "0.1.9\n");
    for who in ["AUTHOR", "COMMITTER"] {
        world.sandbox.set(&format!("GIT_{who}_NAME"), "Ann");
    }
    world.ok(&["version.release", "minor"]);
    assert_eq!(world.published().1, "v0.2.0 Release v0.2.0");
    std::fs::rename(root.join(".git"), root.join("../gone")).unwrap();
    refused(
        &world,
        "this is no git repository: `git init`, a first commit and a remote come before a release",
    );
}

#[test]
fn two_releases_at_once_are_one() {
    let log = "# Log\n\n## Unreleased\n\n- new\n";
    let world = World::new(PROJECT, &[("VERSION", "0.1.9\n"), ("CHANGELOG.md", log)]);
    let start = || {
        let mut command = world.sandbox.command(&["version.release", "minor"]);
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap()
    };
    let both = [start(), start()].map(|child| world.sandbox.ran(child.wait_with_output().unwrap()).text());
    // One that was in the other's way has stopped; the same command goes on.
    world.ok(&["version.release", "minor"]);
    let published = ("Release v0.2.0, first".to_owned(), "v0.2.0 Release v0.2.0".to_owned());
    assert_eq!(world.published(), published, "{both:#?}");
    let log = world.sandbox.read("CHANGELOG.md");
    assert!(log.matches("## [0.2.0]").count() == 1 && log.ends_with("- new\n"), "{log}");
    assert_eq!(git(&world.root(), &["status", "--porcelain"]), "", "{both:#?}");
}

#[test]
fn a_tag_that_is_out_already_on_that_commit_is_taken_as_it_is() {
    let world = World::new(PROJECT, &[("VERSION", "0.1.9\n")]);
    let root = world.root();
    world.ok(&["version.release", "minor"]);
    let theirs = git(&world.origin(), &["rev-parse", "v0.2.0"]);
    // Whoever lost the tag, or made another one of the same name: the commit decides.
    git(&root, &["tag", "--delete", "v0.2.0"]);
    git(&root, &["tag", "-a", "v0.2.0", "-m", "another"]);
    world.ok(&["version.release", "minor"]);
    assert_eq!(git(&world.origin(), &["rev-parse", "v0.2.0"]), theirs);
    assert_eq!(git(&root, &["rev-parse", "v0.2.0"]), theirs);
}

#[test]
fn a_tag_of_somebody_else_is_never_overwritten() {
    let world = World::new(PROJECT, &[("VERSION", "0.1.9\n")]);
    let root = world.root();
    let refused = |told: &str| {
        let ran = world.run(&["version.release", "minor"]);
        assert_eq!(ran.exit, 1, "{}", ran.text());
        assert!(ran.stdout.contains(told) || ran.stderr.contains(told), "{told}: {}", ran.text());
    };
    // Before it began: nothing is raised.
    git(&root, &["tag", "v0.2.0"]);
    refused("the tag v0.2.0 is there already, on ");
    assert_eq!(world.sandbox.read("VERSION"), "0.1.9\n");
    // Made while it is under way: it stays as it is.
    git(&root, &["tag", "--delete", "v0.2.0"]);
    world.ok(&["version.bump", "minor"]);
    git(&root, &["tag", "v0.2.0"]);
    let theirs = git(&root, &["rev-parse", "v0.2.0"]);
    refused("the tag v0.2.0 is there already, on ");
    assert_eq!(git(&root, &["rev-parse", "v0.2.0"]), theirs);
    // On the remote: somebody was quicker, and the same command would never come to an end.
    git(&root, &["push", "-q", "origin", "v0.2.0"]);
    git(&root, &["tag", "--delete", "v0.2.0"]);
    refused("this release cannot have that version");
    assert_eq!(git(&world.origin(), &["rev-parse", "v0.2.0"]), theirs);
    // The way out that it names.
    git(&root, &["tag", "--delete", "v0.2.0"]);
    git(&root, &["reset", "-q", "--keep", "HEAD~1"]);
    refused("v0.2.0 is on origin already, so somebody released it");
    world.ok(&["version.release", "major"]);
    assert_eq!(world.published().0, "Release v1.0.0, first");
}

#[test]
fn without_a_commit_or_a_branch_there_is_no_release() {
    let world = World::new(PROJECT, &[("VERSION", "1.0.0-rc.1\n")]);
    let refused = |told: &str| {
        let ran = world.run(&["version.release", "major"]);
        assert_eq!(ran.exit, 1, "{}", ran.text());
        assert!(ran.stdout.contains(told) || ran.stderr.contains(told), "{told}: {}", ran.text());
        assert_eq!(world.sandbox.read("VERSION"), "1.0.0-rc.1\n");
    };
    git(&world.root(), &["checkout", "-q", "--detach"]);
    refused("no branch is checked out");
    git(&world.root(), &["checkout", "-q", "--orphan", "empty"]);
    refused("VERSION is not committed");
    git(&world.root(), &["checkout", "-q", "--force", "main"]);
    // What is only on the way to a version becomes that version.
    world.ok(&["version.release", "major"]);
    assert_eq!(world.published(), ("Release v1.0.0, first".into(), "v1.0.0 Release v1.0.0".into()));
}

/// A `git` that kills envrun (whose number is in a file) as the n-th call ends.
const KILLER: &str = r#"#!/bin/sh
rest="${PATH#*:}"
echo >> "$KILLER.calls"
PATH="$rest" git "$@"
status=$?
if [ "$(wc -l < "$KILLER.calls")" = "$KILLER_AT" ]; then
    kill -9 "$(cat "$KILLER.pid")"
    sleep 60
fi
exit $status
"#;

#[test]
fn a_release_that_is_killed_anywhere_is_finished_with_the_same_version() {
    let mut killed = 0;
    for at in (1..).step_by(3) {
        let log = "# Log\n\n## Unreleased\n\n- new\n\n## [0.1.9] - then\n\n- old\n";
        let world = World::new(PROJECT, &[("VERSION", "0.1.9\n"), ("CHANGELOG.md", log)]);
        let bin = world.root().parent().unwrap().join("bin");
        world.sandbox.script("../bin/git", KILLER);
        let path = world
            .sandbox
            .command(&[])
            .get_envs()
            .find(|(name, _)| *name == "PATH")
            .unwrap()
            .1
            .unwrap()
            .to_owned();
        // A shell that tells its number, and becomes envrun.
        let mut command = Command::new("sh");
        command.args([
            "-c",
            "echo $$ > \"$KILLER.pid\"; exec \"$0\" version.release minor",
            env!("CARGO_BIN_EXE_envrun"),
        ]);
        let envrun = world.sandbox.command(&[]);
        command.env_clear().envs(envrun.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.env("PATH", format!("{}:{}", bin.display(), path.to_str().unwrap()));
        command.env("KILLER", bin.join("git")).env("KILLER_AT", at.to_string()).current_dir(world.root());
        let output = command.stdin(std::process::Stdio::null()).output().unwrap();
        let signal = std::os::unix::process::ExitStatusExt::signal(&output.status);
        world.ok(&["version.release", "minor"]);
        let ran = world.sandbox.ran(output);
        assert_eq!(world.sandbox.read("VERSION"), "0.2.0\n", "{at}: {}", ran.text());
        let published = ("Release v0.2.0, first".to_owned(), "v0.2.0 Release v0.2.0".to_owned());
        assert_eq!(world.published(), published, "{at}: {}", ran.text());
        let log = world.sandbox.read("CHANGELOG.md");
        assert!(log.matches("## [0.2.0]").count() == 1 && log.ends_with("- old\n"), "{at}: {log}");
        assert_eq!(git(&world.root(), &["status", "--porcelain"]), "", "{at}");
        if signal.is_none() {
            assert_eq!(ran.exit, 0, "{}", ran.text());
            break;
        }
        killed += 1;
    }
    assert!(killed > 3, "only {killed} kills");
}

#[test]
fn a_project_of_its_own_kind_adds_its_own_steps() {
    let world = World::new(
        r#"
        include "tasks/release.kdl" as="version"
        vars { VERSION_FILE "Cargo.toml"; RELEASE_FILES "Cargo.lock" }
        task "unit" { run "echo tested" }
        task "lock" { run "echo \"lock of $(envrun semver show Cargo.toml)\" > Cargo.lock" }
        task "ship" {
            arg "level" one-of="major|minor|patch"
            mutates #true
            guard { branch "main" }
            needs "unit"
            call "version.bump"
            call "lock"
            call "version.changelog"
            call "version.commit"
            call "version.tag"
            call "version.push"
        }
        "#,
        &[
            ("Cargo.toml", "[package]\nname = \"x\"\nversion = \"1.0.0\" # ours\n"),
            ("Cargo.lock", "lock of 1.0.0\n"),
            ("CHANGELOG.md", "# Changelog\n\n## [Unreleased]\n\n### Added\n- new\n"),
        ],
    );
    world.ok(&["ship", "major"]);
    assert_eq!(world.sandbox.read("Cargo.toml"), "[package]\nname = \"x\"\nversion = \"2.0.0\" # ours\n");
    assert_eq!(git(&world.origin(), &["show", "main:Cargo.lock"]), "lock of 2.0.0");
    let log = world.sandbox.read("CHANGELOG.md");
    assert!(log.starts_with("# Changelog\n\n## [Unreleased]\n\n## [2.0.0] - "), "{log}");
    assert!(log.ends_with("\n\n### Added\n- new\n"), "{log}");
    git(&world.root(), &["checkout", "-q", "-b", "feature"]);
    assert_eq!(world.run(&["ship", "major"]).exit, 3);
}

#[test]
fn a_git_hook_lets_no_commit_pass_whose_tests_fail() {
    let world = World::new(
        "task \"unit\" { guard { branch \"main\" }; inputs \"src/**\"; run \"grep -q good src/a\" }\n",
        &[("src/a", "good\n")],
    );
    let hook = world.root().join(".git/hooks/pre-commit");
    std::fs::write(&hook, "#!/bin/sh\ncd src && exec envrun unit -o errors\n").unwrap();
    std::fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let commit = |text: &str| {
        world.sandbox.write("src/a", text);
        // git with what envrun would see: the search path above all.
        let envrun = world.sandbox.command(&[]);
        let mut commit = Command::new("git");
        commit.args(["commit", "-q", "-a", "-m", "next"]).current_dir(world.root());
        commit.envs(envrun.get_envs().filter_map(|(name, value)| Some((name, value?))));
        world.sandbox.ran(commit.output().unwrap())
    };
    let refused = commit("bad\n");
    assert_eq!(refused.exit, 1, "{}", refused.text());
    assert!(refused.stderr.contains("unit"), "{}", refused.text());
    assert_eq!(git(&world.root(), &["log", "--format=%s"]), "first");
    let passed = commit("good again\n");
    assert_eq!(passed.exit, 0, "{}", passed.text());
    assert_eq!(git(&world.root(), &["log", "--format=%s"]), "next\nfirst");
}
