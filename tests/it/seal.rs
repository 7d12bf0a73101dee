//! The answer "nothing to do" is given at a glance only as long as everything it rests on is as it was.

use std::process::Stdio;

use crate::sandbox::{Ran, Sandbox};

const ENVFILE: &str = r##"
vars { LEVEL "${CALLER:-none}" }
dotenv ".env" optional=#true
include "parts/*"
task "all" { needs "gather" "listed" "tool" "linked" }
task "gather" { inputs "src/**/*.txt"; outputs "all.txt"; run "cat src/*.txt > all.txt" }
task "listed" { inputs "one.txt"; outputs "out"; uses "LEVEL" "PASSED"; run #"mkdir -p out; cat one.txt > out/a; echo "$LEVEL ${PASSED:-}" > out/b"# }
task "tool" { inputs "one.txt"; outputs "tool.out"; tools "mytool"; run "mytool > tool.out" }
task "linked" { inputs "link.txt"; outputs "linked.out"; run "cat link.txt > linked.out" }
"##;

fn sandbox() -> Sandbox {
    let mut sandbox = Sandbox::with(&[
        ("Envfile.kdl", ENVFILE),
        ("src/a.txt", "a\n"),
        ("src/deep/b.txt", "b\n"),
        ("one.txt", "one\n"),
        ("target.txt", "target\n"),
        ("parts/first/Envfile.kdl", "task \"x\" { run \"true\" }\n"),
    ]);
    std::fs::create_dir(sandbox.root().join("bin")).unwrap();
    std::fs::create_dir(sandbox.root().join("bin2")).unwrap();
    sandbox.script("bin2/mytool", "#!/bin/sh\necho version 1\n");
    std::os::unix::fs::symlink("target.txt", sandbox.root().join("link.txt")).unwrap();
    let path = format!(
        "{0}/bin:{0}/bin2:{1}",
        sandbox.root().display(),
        std::env::var("PATH").expect("the tests run with a PATH")
    );
    sandbox.set("PATH", &path);
    sandbox
}

fn executed(ran: &Ran) -> Vec<String> {
    let mut labels: Vec<String> = ran
        .stderr
        .lines()
        .filter_map(|line| {
            Some(line.trim_start().strip_prefix("run ")?.split_once(" because ")?.0.to_owned())
        })
        .collect();
    labels.sort();
    labels
}

/// Runs until the answer is sealed, and sees that it is.
#[track_caller]
fn settle(sandbox: &Sandbox) {
    sandbox.ok(&["all"]);
    for _ in 0..200 {
        sandbox.ok(&["all"]);
        if sandbox.exists(".envrun/state/seals")
            && std::fs::read_dir(sandbox.root().join(".envrun/state/seals")).unwrap().count() > 0
        {
            return;
        }
    }
    panic!("nothing was sealed");
}

#[track_caller]
fn check(sandbox: &Sandbox, expected: &[&str]) {
    let ran = sandbox.ok(&["all"]);
    assert_eq!(executed(&ran), expected, "{}", ran.text());
    settle(sandbox);
}

#[test]
fn a_sealed_answer_says_what_the_walk_says() {
    let sandbox = sandbox();
    settle(&sandbox);
    let told = sandbox.ok(&["all"]);
    std::fs::remove_dir_all(sandbox.root().join(".envrun/state/seals")).unwrap();
    let walked = sandbox.ok(&["all"]);
    assert_eq!(told.text(), walked.text());
    assert!(told.stderr.contains("nothing to do: 4 up to date"), "{}", told.text());
}

#[test]
fn whatever_moves_is_seen() {
    let mut sandbox = sandbox();
    settle(&sandbox);
    sandbox.write("src/a.txt", "A\n");
    check(&sandbox, &["gather"]);
    sandbox.write("src/deep/new.txt", "new\n");
    check(&sandbox, &["gather"]);
    std::fs::remove_file(sandbox.root().join("src/deep/new.txt")).unwrap();
    // What was made before is in the cache.
    check(&sandbox, &[]);
    sandbox.write("src/.gitignore", "deep\n");
    check(&sandbox, &["gather"]);
    sandbox.write("target.txt", "changed behind the link\n");
    check(&sandbox, &["linked"]);
    std::fs::remove_file(sandbox.root().join("link.txt")).unwrap();
    std::os::unix::fs::symlink("one.txt", sandbox.root().join("link.txt")).unwrap();
    check(&sandbox, &["linked"]);
    sandbox.script("bin/mytool", "#!/bin/sh\necho version 2\n");
    check(&sandbox, &["tool"]);
    assert_eq!(
        sandbox.read("tool.out"),
        "version 2\n",
        "a program that comes earlier on the PATH is another tool"
    );
    sandbox.set("PASSED", "yes");
    check(&sandbox, &["listed"]);
    sandbox.set("CALLER", "loud");
    check(&sandbox, &["listed"]);
    assert_eq!(sandbox.read("out/b"), "loud yes\n");
    sandbox.write(".env", "LEVEL=file\n");
    check(&sandbox, &["listed"]);
    sandbox.write("Envfile.kdl", ENVFILE.replace("cat one.txt > out/a", "cp one.txt out/a"));
    check(&sandbox, &["listed"]);
}

/// A seal that files broke still says how tasks are defined, as long as they are.
#[test]
fn a_broken_seal_hides_no_other_change() {
    let mut sandbox = sandbox();
    let touch = |sandbox: &Sandbox, path: &str| {
        let file = std::fs::File::options().append(true).open(sandbox.root().join(path)).unwrap();
        file.set_modified(std::time::SystemTime::now()).unwrap();
    };
    settle(&sandbox);
    // What is sealed after a walk that worked no definition out rests on the same variables.
    for _ in 0..2 {
        touch(&sandbox, "target.txt");
        check(&sandbox, &[]);
    }
    sandbox.set("PASSED", "yes");
    check(&sandbox, &["listed"]);
    touch(&sandbox, "src/a.txt");
    check(&sandbox, &[]);
    sandbox.set("CALLER", "loud");
    sandbox.write("src/a.txt", "other\n");
    check(&sandbox, &["gather", "listed"]);
    assert_eq!(sandbox.read("out/b"), "loud yes\n");
    sandbox.write("src/a.txt", "another\n");
    sandbox.write(".env", "LEVEL=file\n");
    check(&sandbox, &["gather", "listed"]);
    assert_eq!(sandbox.read("out/b"), "file yes\n");
    sandbox.write("src/a.txt", "a third\n");
    sandbox.write("Envfile.kdl", ENVFILE.replace("cat one.txt > out/a", "cp one.txt out/a"));
    check(&sandbox, &["gather", "listed"]);
    touch(&sandbox, "src/a.txt");
    sandbox.write("parts/first/Envfile.kdl", "task \"x\" { run \"false\" }\n");
    check(&sandbox, &[]);
    // Somebody else's run leaves a record of another definition behind.
    sandbox.ok(&["all", "-s", "LEVEL=given"]);
    assert_eq!(sandbox.read("out/b"), "given yes\n");
    touch(&sandbox, "src/a.txt");
    sandbox.ok(&["all"]);
    assert_eq!(sandbox.read("out/b"), "file yes\n");
    touch(&sandbox, "src/a.txt");
    sandbox.script("bin/mytool", "#!/bin/sh\necho version 3\n");
    check(&sandbox, &["tool"]);
    assert_eq!(sandbox.read("tool.out"), "version 3\n");
}

#[test]
fn outputs_that_were_touched_are_put_right() {
    let sandbox = sandbox();
    settle(&sandbox);
    std::fs::remove_file(sandbox.root().join("out/b")).unwrap();
    sandbox.ok(&["all"]);
    assert_eq!(sandbox.read("out/b"), "none \n");
    settle(&sandbox);
    sandbox.write("out/a", "ONE\n");
    sandbox.ok(&["all"]);
    assert_eq!(sandbox.read("out/a"), "one\n");
}

#[test]
fn an_envfile_that_appears_is_seen() {
    let sandbox = sandbox();
    settle(&sandbox);
    sandbox.write("parts/second/Envfile.kdl", "task \"y\" { run \"true\"; nonsense }\n");
    let ran = sandbox.run(&["all"]);
    assert_eq!(ran.exit, 2, "{}", ran.text());
    std::fs::remove_dir_all(sandbox.root().join("parts/second")).unwrap();
    settle(&sandbox);
    let below = sandbox.root().join("src");
    let inside = |sandbox: &Sandbox| sandbox.ran(sandbox.command_in(&below, &["all"]).output().unwrap());
    assert_eq!(inside(&sandbox).exit, 0);
    assert_eq!(inside(&sandbox).exit, 0);
    sandbox.write("src/Envfile.kdl", "task \"all\" { run \"echo nearer\" }\n");
    assert_eq!(inside(&sandbox).stdout, "nearer\n");
}

#[test]
fn a_damaged_seal_is_no_seal() {
    let sandbox = sandbox();
    settle(&sandbox);
    let folder = sandbox.root().join(".envrun/state/seals");
    let seal = std::fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    let good = std::fs::read(&seal).unwrap();
    for at in (0..good.len()).step_by(97) {
        let mut bad = good.clone();
        bad[at] ^= 0x41;
        std::fs::write(&seal, &bad).unwrap();
        std::fs::remove_file(sandbox.root().join("all.txt")).unwrap();
        let ran = sandbox.ok(&["all"]);
        assert!(sandbox.exists("all.txt"), "byte {at}\n{}", ran.text());
    }
}

#[test]
fn what_rests_on_more_than_files_is_not_sealed() {
    for more in [
        r#"when { set "HOME" }"#,
        r#"done "false""#,
        r#"cache #false"#,
        r#"mutates #true"#,
        r#"uses "ENVRUN_TIME""#,
        r#"uses "ENVRUN_REVISION""#,
    ] {
        let sandbox = Sandbox::new(&format!(
            "task \"t\" {{ inputs \"Envfile.kdl\"; outputs \"t\"; {more}; run \"touch t\" }}\n"
        ));
        for _ in 0..3 {
            sandbox.ok(&["t"]);
        }
        let folder = sandbox.root().join(".envrun/state/seals");
        let count = std::fs::read_dir(folder).map_or(0, Iterator::count);
        assert_eq!(count, 0, "{more}");
    }
}

#[test]
fn an_envfile_that_changes_during_the_run_is_seen_by_the_next() {
    let envfile = |word: &str| format!("task \"all\" {{ outputs \"out\"; run \"echo {word} > out\" }}\n");
    let sandbox = Sandbox::new(&envfile("one"));
    sandbox.ok(&["all"]);
    sandbox.write("Envfile.kdl", envfile("two"));
    sandbox.ok(&["all"]);
    let begun = std::time::Instant::now();
    sandbox.ok(&["all"]);
    let took = begun.elapsed();
    for at in 0..24 {
        // Both results are in the cache and the one in place is right: the run has nothing to do, and seals that.
        let (now, then) = if at % 2 == 0 { ("one", "two") } else { ("two", "one") };
        sandbox.write("Envfile.kdl", envfile(now));
        sandbox.ok(&["all"]);
        std::fs::remove_dir_all(sandbox.root().join(".envrun/state/seals")).ok();
        let mut run = sandbox.command(&["all"]);
        let mut child = run.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(took * at / 24);
        sandbox.save("Envfile.kdl", envfile(then));
        assert!(child.wait().unwrap().success());
        sandbox.ok(&["all"]);
        assert_eq!(sandbox.read("out"), format!("{then}\n"), "round {at}");
    }
}
