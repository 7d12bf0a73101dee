//! One place, several makers: a task in two environments, with other arguments, under another name, or in two runs at
//! once. Nothing that one of them made is credited to another.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::sandbox::Sandbox;

/// Long enough for the slowest machine; nobody waits so long but a test that fails.
const PATIENCE: Duration = Duration::from_secs(60);

const ENVFILE: &str = r##"
vars { MODE "none" }
env "dev" { vars { MODE "dev" } }
env "prod" { vars { MODE "prod" } }
task "build" {
    inputs "src"
    outputs "dist"
    run "mkdir -p dist; cp src dist/$MODE; test ! -e dist/last || exit 9; ln -s $MODE dist/last; ! grep -q fail src"
}
task "unit" {
    arg "part"
    outputs "report"
    run "mkdir -p report; echo $ARG_PART > report/$ARG_PART"
}
"##;

fn made(sandbox: &Sandbox, folder: &str) -> Vec<String> {
    let entries = std::fs::read_dir(sandbox.root().join(folder)).into_iter().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A fresh checkout beside the same cache.
fn forget(sandbox: &Sandbox) {
    for folder in ["dist", "report", ".envrun"] {
        let _ = std::fs::remove_dir_all(sandbox.root().join(folder));
    }
}

#[test]
fn what_one_environment_made_is_not_credited_to_another() {
    let sandbox = Sandbox::with(&[("Envfile.kdl", ENVFILE), ("src", "one")]);
    sandbox.ok(&["dev.build"]);
    assert_eq!(made(&sandbox, "dist"), ["dev", "last"]);
    sandbox.ok(&["prod.build"]);
    assert_eq!(made(&sandbox, "dist"), ["last", "prod"]);
    let again = sandbox.ok(&["dev.build"]);
    assert!(again.stderr.contains("restored dev.build"), "{}", again.text());
    assert_eq!(made(&sandbox, "dist"), ["dev", "last"]);
    forget(&sandbox);
    let fresh = sandbox.ok(&["prod.build"]);
    assert!(fresh.stderr.contains("restored prod.build"), "{}", fresh.text());
    assert_eq!(made(&sandbox, "dist"), ["last", "prod"]);
}

#[test]
fn what_other_arguments_made_is_not_credited_to_these() {
    let sandbox = Sandbox::with(&[("Envfile.kdl", ENVFILE), ("src", "one")]);
    sandbox.ok(&["unit", "a"]);
    sandbox.ok(&["unit", "b"]);
    assert_eq!(made(&sandbox, "report"), ["b"]);
    forget(&sandbox);
    assert!(sandbox.ok(&["unit", "b"]).stderr.contains("restored"));
    assert_eq!(made(&sandbox, "report"), ["b"]);
}

#[test]
fn what_another_environment_made_beside_the_same_files_is_seen() {
    let sandbox = Sandbox::new(
        r##"
env "dev" { vars { MORE "yes" } }
env "prod" { vars { MORE "" } }
vars { MORE "" }
task "build" { outputs "dist"; run "mkdir -p dist; echo same > dist/index; if test -n \"$MORE\"; then echo > dist/devtools; fi" }
task "ship" { needs "build"; outputs "shipped"; run "ls dist > shipped" }
"##,
    );
    sandbox.ok(&["prod.ship"]);
    sandbox.ok(&["dev.build"]);
    assert_eq!(made(&sandbox, "dist"), ["devtools", "index"]);
    // Also where nothing had to be written: what is in place already is not made anew.
    for _ in 0..2 {
        sandbox.ok(&["prod.ship"]);
        assert_eq!(made(&sandbox, "dist"), ["index"]);
        assert_eq!(sandbox.read("shipped"), "index\n");
        sandbox.ok(&["prod.ship"]);
        let why = sandbox.ok(&["why", "dev.build"]).stdout;
        assert!(
            why.contains("its output dist/devtools is missing") || why.contains("made its outputs anew"),
            "{why}"
        );
        let dev = sandbox.ok(&["dev.build"]).stderr;
        assert!(dev.contains("restored dev.build"), "{dev}");
        assert_eq!(made(&sandbox, "dist"), ["devtools", "index"]);
    }
    let why = sandbox.ok(&["why", "build"]).stdout;
    assert_eq!(
        why,
        "`build` would be restored from the cache, because\n  another environment or other arguments made its outputs anew since\n"
    );
}

#[test]
fn what_it_made_under_another_name_is_not_credited_to_it() {
    let sandbox = Sandbox::new("task \"old\" { outputs \"out\"; run \"mkdir -p out; touch out/old\" }");
    sandbox.ok(&["old"]);
    sandbox.write("Envfile.kdl", "task \"new\" { outputs \"out\"; run \"mkdir -p out; touch out/new\" }");
    sandbox.ok(&["new"]);
    assert_eq!(made(&sandbox, "out"), ["new"]);
}

#[test]
fn what_a_failed_run_left_is_not_credited_to_another_environment() {
    let sandbox = Sandbox::with(&[("Envfile.kdl", ENVFILE), ("src", "fail")]);
    assert_eq!(sandbox.run(&["dev.build"]).exit, 1);
    assert_eq!(made(&sandbox, "dist"), ["dev", "last"]);
    sandbox.write("src", "good");
    sandbox.ok(&["prod.build"]);
    assert_eq!(made(&sandbox, "dist"), ["last", "prod"]);
}

#[test]
fn what_was_cut_short_or_failed_leaves_nothing_for_another_environment() {
    let sandbox = Sandbox::new(
        r##"
env "dev" { vars { MORE "yes" } }
env "prod" { vars { MORE "" } }
task "build" {
    outputs "dist"
    run "mkdir -p dist; echo same > dist/index; test -z \"$MORE\" || { echo > dist/devtools; sh ./more; }"
}
"##,
    );
    sandbox.ok(&["prod.build"]);
    sandbox.write("more", "exit 3");
    assert_eq!(sandbox.run(&["dev.build"]).exit, 1);
    sandbox.ok(&["prod.build"]);
    assert_eq!(made(&sandbox, "dist"), ["index"]);

    sandbox.write("more", "touch begun; while :; do sleep 0.02; done");
    let mut killed = sandbox.command(&["dev.build"]).stderr(Stdio::null()).spawn().unwrap();
    until("it has begun", || sandbox.exists("begun"));
    killed.kill().unwrap();
    killed.wait().unwrap();
    let ran = sandbox.ok(&["prod.build"]);
    assert!(ran.stderr.contains("restored prod.build"), "{}", ran.text());
    assert_eq!(made(&sandbox, "dist"), ["index"]);
}

#[test]
fn what_another_environment_had_put_in_place_goes_when_it_is_no_more() {
    let text = r##"
env "dev"
task "stamp" { cache #false; outputs "stamp"; run "echo > stamp" }
task "make" { needs "stamp"; inputs "src/**"; outputs "out"; run "mkdir -p out; cp src/* out" }
"##;
    let sandbox = Sandbox::with(&[("Envfile.kdl", text), ("src/one", "1"), ("src/two", "2")]);
    sandbox.ok(&["dev.make"]);
    let ran = sandbox.ok(&["make"]);
    assert!(ran.stderr.contains("restored make"), "{}", ran.text());
    std::fs::remove_file(sandbox.root().join("src/two")).unwrap();
    sandbox.ok(&["make"]);
    assert_eq!(made(&sandbox, "out"), ["one"]);
}

#[test]
fn what_somebody_put_there_stays() {
    let sandbox =
        Sandbox::with(&[("Envfile.kdl", ENVFILE), ("src", "one"), ("dist/.keep", ""), ("dist/dev", "mine")]);
    sandbox.ok(&["dev.build"]);
    sandbox.ok(&["prod.build"]);
    assert_eq!(made(&sandbox, "dist"), [".keep", "dev", "last", "prod"]);
    // What an environment made, and somebody wrote anew since, is somebody's.
    sandbox.ok(&["unit", "a"]);
    sandbox.write("report/a", "my own");
    sandbox.ok(&["unit", "b"]);
    assert_eq!(made(&sandbox, "report"), ["a", "b"]);
}

/// `make` sees what is in its folder. With `first` before it, a run knows what was there when it began, and no more.
const BESIDE: &str = r##"
task "first" { run "touch waiting; while test ! -e go; do sleep 0.02; done" }
task "make" {
    after "first"
    inputs "src"
    outputs "out"
    run "mkdir -p out; ls -A out > seen; echo x >> runs; touch out/from-$(wc -l < runs); touch begun; while test -e hold; do sleep 0.02; done"
}
"##;

#[track_caller]
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < until, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Starts a run that has read the state by the time this returns, and goes on when there is a file `go`.
fn waiting(sandbox: &Sandbox, args: &[&str]) -> Child {
    let child = sandbox.command(args).stderr(Stdio::null()).spawn().unwrap();
    until("it waits", || sandbox.exists("waiting"));
    child
}

#[test]
fn a_forced_run_is_not_credited_with_what_a_run_beside_it_made() {
    let sandbox = Sandbox::with(&[("Envfile.kdl", BESIDE), ("src", "one")]);
    let mut forced = waiting(&sandbox, &["-B", "first", "make"]);
    sandbox.ok(&["make"]);
    assert_eq!(made(&sandbox, "out"), ["from-1"]);
    sandbox.write("go", "");
    assert!(forced.wait().unwrap().success());
    assert_eq!(sandbox.read("runs"), "x\nx\n");
    assert_eq!(sandbox.read("seen"), "", "it began with an empty folder");
    assert_eq!(made(&sandbox, "out"), ["from-2"]);
}

#[test]
fn a_run_is_not_credited_with_what_a_killed_one_beside_it_left() {
    let sandbox = Sandbox::with(&[("Envfile.kdl", BESIDE), ("src", "one"), ("hold", "")]);
    let mut second = waiting(&sandbox, &["first", "make"]);
    let mut first = sandbox.command(&["make"]).stderr(Stdio::null()).spawn().unwrap();
    until("the first one begins", || sandbox.exists("begun"));
    first.kill().unwrap();
    first.wait().unwrap();
    std::fs::remove_file(sandbox.root().join("hold")).unwrap();
    sandbox.write("go", "");
    assert!(second.wait().unwrap().success());
    assert_eq!(sandbox.read("runs"), "x\nx\n");
    assert_eq!(sandbox.read("seen"), "", "it began with an empty folder");
    assert_eq!(made(&sandbox, "out"), ["from-2"]);
}

#[test]
fn a_run_beside_another_does_not_make_again_what_that_one_made() {
    let sandbox = Sandbox::with(&[("Envfile.kdl", BESIDE), ("src", "one")]);
    let mut second = waiting(&sandbox, &["first", "make"]);
    sandbox.ok(&["make"]);
    sandbox.write("go", "");
    assert!(second.wait().unwrap().success());
    assert_eq!(sandbox.read("runs"), "x\n");
    assert_eq!(made(&sandbox, "out"), ["from-1"]);
}

/// Both environments make `out`; each waits for a file before it is done.
const SHARED: &str = r##"
vars { WHO "none" }
env "dev" { vars { WHO "dev" } }
env "prod" { vars { WHO "prod" } }
task "make" {
    inputs "src"
    outputs "out"
    run "mkdir -p out; touch out/$WHO begun-$WHO; while test ! -e go-$WHO; do sleep 0.02; done"
}
"##;

/// A run that is in the middle of its task, and one of the other environment that has said that it waits for it.
fn two_environments(sandbox: &Sandbox) -> (Child, Child, Screened) {
    let first = sandbox.command(&["dev.make"]).stderr(Stdio::null()).spawn().unwrap();
    until("the first one begins", || sandbox.exists("begun-dev"));
    let mut second = sandbox.command(&["prod.make"]).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(second.stderr.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    let waits = format!(
        "warning: `prod.make`: waits for `dev.make` of another envrun, process {}, that writes into the same place\n",
        first.id()
    );
    assert_eq!(line, waits);
    (first, second, said)
}

type Screened = BufReader<std::process::ChildStderr>;

#[test]
fn runs_of_two_environments_that_make_the_same_wait_for_each_other() {
    let sandbox = Sandbox::with(&[("Envfile.kdl", SHARED), ("src", "one"), ("go-prod", "")]);
    let (mut first, mut second, _said) = two_environments(&sandbox);
    assert!(!sandbox.exists("begun-prod"));
    sandbox.write("go-dev", "");
    assert!(first.wait().unwrap().success());
    assert!(second.wait().unwrap().success());
    assert_eq!(made(&sandbox, "out"), ["prod"]);
    let dev = sandbox.ok(&["dev.make"]);
    assert!(dev.stderr.contains("restored dev.make"), "{}", dev.text());
    assert_eq!(made(&sandbox, "out"), ["dev"]);
}

#[test]
fn whoever_waits_for_another_run_can_be_interrupted() {
    let sandbox = Sandbox::with(&[("Envfile.kdl", SHARED), ("src", "one"), ("go-prod", "")]);
    let (mut first, mut second, mut said) = two_environments(&sandbox);
    kill_process(Pid::from_child(&second), Signal::INT).unwrap();
    assert_eq!(second.wait().unwrap().code(), Some(130));
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("interrupted: 1 cancelled"), "{rest}");
    assert!(!sandbox.exists("begun-prod"));
    sandbox.write("go-dev", "");
    assert!(first.wait().unwrap().success());
    assert_eq!(made(&sandbox, "out"), ["dev"]);
}

#[test]
fn a_task_that_runs_itself_is_refused_and_one_that_runs_it_elsewhere_is_not() {
    let text = r##"
vars { WHO "none" }
env "dev" { vars { WHO "dev" } }
env "prod" { vars { WHO "prod" } }
task "round" { outputs "round"; run "mkdir -p round; 'PROGRAM' round" }
task "both" {
    outputs "both"
    run "mkdir -p both; touch both/$WHO; if test $WHO = dev; then 'PROGRAM' prod.both; fi"
}
"##;
    let sandbox = Sandbox::new(&text.replace("PROGRAM", env!("CARGO_BIN_EXE_envrun")));
    let ran = sandbox.run(&["round"]);
    assert_eq!(ran.exit, 1, "{}", ran.text());
    assert!(
        ran.stderr.contains("a command of it runs it again: it would wait for itself for ever"),
        "{}",
        ran.text()
    );
    sandbox.ok(&["dev.both"]);
}
