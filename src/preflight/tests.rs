use std::path::Path;
use std::process::Command as Process;

use expect_test::{Expect, expect};

use super::*;
use crate::base::{Timestamp, Window};
use crate::diag::{FileId, Span};
use crate::model::{Command, Condition, ConditionKind};

fn git(dir: &Path, args: &[&str]) {
    let output = Process::new("git")
        .args(["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main"])
        .args(args)
        .current_dir(dir)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn verdict(dir: &Path, kind: ConditionKind, variables: &[(&str, &str)]) -> String {
    let variable =
        |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
    let around = Surroundings {
        git: &Git::new(dir),
        variable: &variable,
        caller: &variable,
        exists: &|path| dir.join(path).exists(),
        exec: &|command| match command {
            Command::Shell(text) if text == "missing" => Err("command not found".into()),
            Command::Shell(text) => Ok(text == "true"),
            Command::Argv(_) => Ok(false),
        },
        host: "web-1",
        // Friday, 20 November 2026, 12:00 UTC.
        now: Timestamp(1_795_176_000_000),
    };
    let condition = Condition { kind, span: Span { file: FileId(0), start: 0, len: 0 }, hint: None };
    match check(&condition, &around) {
        Verdict::Holds => "holds".into(),
        Verdict::Fails(reason) => reason,
    }
}

fn words(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

#[test]
fn git_conditions_say_what_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let ask = |kind, expected: Expect| expected.assert_eq(&verdict(dir, kind, &[]));
    ask(ConditionKind::Clean, expect!["it needs a git repository, and this is none"]);
    ask(ConditionKind::Branch(words(&["main"])), expect!["it needs a git repository, and this is none"]);

    git(dir, &["init", "-q"]);
    ask(ConditionKind::Branch(words(&["main"])), expect!["holds"]);
    std::fs::write(dir.join("a"), "a").unwrap();
    std::fs::write(dir.join("b"), "b").unwrap();
    ask(ConditionKind::Clean, expect!["the work tree is not clean: a (+1 more)"]);
    git(dir, &["add", "."]);
    git(dir, &["commit", "-qm", "first"]);
    ask(ConditionKind::Clean, expect!["holds"]);
    ask(ConditionKind::Tag(words(&["v*"])), expect!["HEAD has no tag, not v*"]);
    ask(ConditionKind::Tag(Vec::new()), expect!["HEAD has no tag"]);
    git(dir, &["tag", "w1"]);
    ask(ConditionKind::Tag(words(&["v*"])), expect!["HEAD's tag is w1, not v*"]);
    ask(ConditionKind::Tag(Vec::new()), expect!["holds"]);
    git(dir, &["tag", "v1"]);
    ask(ConditionKind::Tag(words(&["v*"])), expect!["holds"]);
    git(dir, &["checkout", "-qb", "release/1"]);
    ask(ConditionKind::Branch(words(&["main", "release/*"])), expect!["holds"]);
    ask(ConditionKind::Branch(words(&["main", "*"])), expect!["the branch is release/1, not main or *"]);
    ask(ConditionKind::Pushed, expect!["the branch has no upstream branch"]);

    let origin = tempfile::tempdir().unwrap();
    git(origin.path(), &["init", "-q", "--bare"]);
    git(dir, &["remote", "add", "origin", origin.path().to_str().unwrap()]);
    git(dir, &["push", "-qu", "origin", "release/1"]);
    ask(ConditionKind::Pushed, expect!["holds"]);
    std::fs::write(dir.join("a"), "aa").unwrap();
    git(dir, &["commit", "-qam", "second"]);
    ask(ConditionKind::Pushed, expect!["1 commit is not pushed"]);
}

#[test]
fn a_detached_head_in_ci_has_the_branch_that_ci_names() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    git(dir, &["init", "-q"]);
    git(dir, &["commit", "-q", "--allow-empty", "-m", "first"]);
    git(dir, &["checkout", "-q", "--detach"]);
    let main = || ConditionKind::Branch(words(&["main"]));
    expect!["the branch is HEAD, not main"].assert_eq(&verdict(dir, main(), &[]));
    expect!["holds"].assert_eq(&verdict(dir, main(), &[("GITHUB_REF_NAME", "main")]));
}

#[test]
fn the_other_conditions() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    std::fs::write(dir.join("here"), "").unwrap();
    let variables = [("A", "1"), ("EMPTY", ""), ("CI", "true")];
    let ask = |kind, expected: Expect| expected.assert_eq(&verdict(dir, kind, &variables));
    ask(ConditionKind::Set(words(&["A"])), expect!["holds"]);
    ask(ConditionKind::Set(words(&["A", "EMPTY"])), expect!["EMPTY is not set"]);
    ask(ConditionKind::Unset(words(&["EMPTY", "B"])), expect!["holds"]);
    ask(ConditionKind::Unset(words(&["A"])), expect!["A is set"]);
    ask(ConditionKind::Ci(true), expect!["holds"]);
    ask(ConditionKind::Ci(false), expect!["this is CI (CI is `true`)"]);
    ask(ConditionKind::Host(words(&["web-*"])), expect!["holds"]);
    ask(ConditionKind::Host(words(&["db-*"])), expect!["the host is web-1, not db-*"]);
    ask(ConditionKind::File(words(&["here", "there"])), expect!["there does not exist"]);
    let here = std::env::consts::OS;
    assert_eq!(
        verdict(dir, ConditionKind::Os(words(&["plan9"])), &[]),
        format!("the system is {here}, not plan9")
    );
    let exec = |text: &str| ConditionKind::Exec { command: Command::Shell(text.into()), name: None };
    ask(exec("true"), expect!["holds"]);
    ask(exec("false"), expect!["`false` failed"]);
    ask(exec("missing"), expect!["`missing` could not be run: command not found"]);
}

#[test]
fn windows() {
    let inside = |text: &str, tz: &str| {
        let kind = ConditionKind::Window { spans: words(&[text]), tz: Some(tz.to_owned()) };
        verdict(Path::new("/"), kind, &[]) == "holds"
    };
    assert!(inside("fri 12:00-12:01", "UTC"));
    assert!(!inside("fri 11:00-12:00", "UTC"));
    assert!(!inside("mon-thu 08:00-16:00", "UTC"));
    assert!(inside("thu-mon 08:00-16:00", "UTC"));
    assert!(inside("friday 00:00-24:00", "UTC"));
    assert!(inside("22:00-13:00", "UTC"), "the part after midnight");
    assert!(inside("thu 22:00-13:00", "UTC"), "it began on Thursday");
    assert!(!inside("fri 22:00-13:00", "UTC"));
    assert!(inside("fri 21:00-22:00", "Asia/Tokyo"));
    for bad in ["", "fri", "fri 8-16", "fry 08:00-16:00", "mon 25:00-26:00", "a b c"] {
        assert!(Window::parse(bad).is_err(), "{bad}");
    }
    assert_eq!(
        verdict(
            Path::new("/"),
            ConditionKind::Window { spans: words(&["mon 08:00-09:00"]), tz: Some("Mars/X".into()) },
            &[]
        ),
        "there is no time zone `Mars/X`"
    );
}
