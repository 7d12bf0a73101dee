use std::path::Path;
use std::process::Command as Process;

use expect_test::{Expect, expect};

use super::*;
use crate::base::{Timestamp, Window};
use crate::diag::{FileId, Span};
use crate::exec::{Environ, Processes};
use crate::model::{Amount, Command, Condition, ConditionKind, Requirement, RequirementKind};

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
        env: None,
        revision: &|| None,
        plan: None,
        artefacts: None,
        live: &|_| Vec::new(),
        confirmed: &|_| false,
        scratch: dir,
    };
    let condition = Condition { kind, span: Span { file: FileId(0), start: 0, len: 0 }, hint: None };
    match check(&condition, &around) {
        Verdict::Holds => "holds".into(),
        Verdict::Fails(reason) | Verdict::NoRepository(reason) => reason,
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
    ask(ConditionKind::Clean, expect!["`clean` needs a git repository, and this is none"]);
    ask(
        ConditionKind::Branch(words(&["main"])),
        expect!["`branch` needs a git repository, and this is none"],
    );

    git(dir, &["init", "-q"]);
    ask(ConditionKind::Branch(words(&["main"])), expect!["holds"]);
    ask(ConditionKind::Tag(words(&["v*"])), expect!["the repository has no commit yet"]);
    ask(ConditionKind::Pushed, expect!["the repository has no commit yet"]);
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
    // What CI systems check out is a commit.
    git(dir, &["checkout", "-q", "--detach"]);
    ask(
        ConditionKind::Pushed,
        expect!["no branch is checked out, and no branch of a remote has this commit"],
    );
    git(dir, &["checkout", "-q", "--detach", "HEAD~1"]);
    ask(ConditionKind::Pushed, expect!["holds"]);
}

#[test]
fn a_detached_head_in_ci_has_the_branch_that_ci_names() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    git(dir, &["init", "-q"]);
    git(dir, &["commit", "-q", "--allow-empty", "-m", "first"]);
    git(dir, &["checkout", "-q", "--detach"]);
    let main = || ConditionKind::Branch(words(&["main"]));
    expect!["no branch is checked out, and it has to be main"].assert_eq(&verdict(dir, main(), &[]));
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
    let outside = ConditionKind::Window { spans: words(&["sat 08:00-09:00"]), tz: Some("Asia/Tokyo".into()) };
    assert_eq!(
        verdict(Path::new("/"), outside, &[]),
        "the time is outside sat 08:00-09:00 (Asia/Tokyo, where it is Fri 21:00)"
    );
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

/// What is found when requirements are asked of a machine that a test makes up.
fn findings(questions: &[Question], dir: &Path) -> String {
    let machine = Machine {
        cpus: 4,
        memory: Ok(16 << 30),
        disk: Err("it is not mounted".into()),
        watches: None,
        ports: Ports::default(),
    };
    let processes = Processes::new(std::time::Duration::from_secs(1));
    let caller = Environ::new(std::env::vars_os());
    let world = World { machine: &machine, processes: &processes, caller: &caller, root: dir };
    let lines = ask_all(questions, &world).into_iter().map(|finding| {
        let hint = finding.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
        format!("{:?}: {}{hint}\n", finding.status, finding.reason())
    });
    lines.collect::<String>().replace(&dir.display().to_string(), "$DIR")
}

#[test]
fn amounts_are_those_of_the_machine_handed_in() {
    let gib = |min: Option<u64>, want: Option<u64>| Amount {
        min: min.map(|gib| gib << 30),
        want: want.map(|gib| gib << 30),
    };
    let number = |min, want| Amount { min, want };
    let questions = [
        Question::Memory(gib(Some(20), None)),
        Question::Memory(gib(Some(8), Some(24))),
        Question::Memory(gib(Some(8), Some(16))),
        Question::Memory(gib(None, Some(12))),
        // Sold as 16 and a half.
        Question::Memory(number(Some((16 << 30) + (1 << 29)), None)),
        Question::Memory(gib(Some(17), None)),
        Question::Cpu(number(Some(4), None)),
        Question::Cpu(number(Some(5), Some(8))),
        Question::Disk(gib(Some(1), None)),
        Question::Os(vec!["plan9".into()]),
    ];
    let here = std::env::consts::OS;
    expect![[r#"
        Fail: 16.0 GiB, wanted at least 20.0 GiB (use a machine with more memory)
        Warn: 16.0 GiB, wanted at least 24.0 GiB (use a machine with more memory)
        Pass: 16.0 GiB, wanted at least 16.0 GiB
        Pass: 16.0 GiB, wanted at least 12.0 GiB
        Pass: 16.0 GiB (enough: the system keeps some for itself), wanted at least 16.5 GiB
        Fail: 16.0 GiB, wanted at least 17.0 GiB (use a machine with more memory)
        Pass: 4, wanted at least 4
        Fail: 4, wanted at least 5 (use a machine with more processors)
        Warn: it cannot be told: it is not mounted (look for yourself whether there is enough)
        Fail: $OS, wanted plan9 (run it on a machine of that kind)
    "#]]
    .assert_eq(&findings(&questions, Path::new("/")).replace(here, "$OS"));
}

#[test]
fn questions_are_answered_in_order_and_equal_ones_asked_once() {
    let dir = tempfile::tempdir().unwrap();
    let environ = std::sync::Arc::new(Environ::new(std::env::vars_os()));
    let exec = |text: &str| Question::Exec {
        command: Command::Shell(text.into()),
        dir: dir.path().to_path_buf(),
        environ: std::sync::Arc::clone(&environ),
        shell: None,
    };
    let questions = [
        exec("echo asked >> asked; cat asked | wc -l | grep -qx '[ ]*1'"),
        Question::File(dir.path().join("none")),
        exec("echo asked >> asked; cat asked | wc -l | grep -qx '[ ]*1'"),
        exec("echo one; echo two; exit 7"),
        exec("./none"),
        Question::Known(Finding::warn("known")),
    ];
    expect![[r#"
        Pass: succeeds
        Fail: it does not exist (make it, or correct the path)
        Pass: succeeds
        Fail: exit status 7: two (see what is wrong by hand: echo one; echo two; exit 7)
        Fail: it could not be started: there is no `$DIR/none` (see what is wrong by hand: ./none)
        Warn: known
    "#]]
    .assert_eq(&findings(&questions, dir.path()));
    assert_eq!(std::fs::read_to_string(dir.path().join("asked")).unwrap(), "asked\n");
}

#[test]
fn a_dry_run_asks_nothing_that_starts_a_program_or_the_network() {
    let requirement = |kind| Requirement {
        kind,
        key: String::new(),
        name: None,
        hint: None,
        span: Span { file: FileId(0), start: 0, len: 0 },
    };
    let tool = requirement(RequirementKind::Tool { program: "git".into(), version: Some(">=2".into()) });
    let dry = tool.without_effort().unwrap();
    assert_eq!(dry.kind, RequirementKind::Tool { program: "git".into(), version: None });
    let exec = requirement(RequirementKind::Exec(Command::Shell("true".into())));
    assert_eq!(exec.without_effort(), None);
    assert_eq!(requirement(RequirementKind::Reach("a:1".into())).without_effort(), None);
}
