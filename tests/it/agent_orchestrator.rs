//! `examples/agent-orchestrator`, walked as its comments say, with stand-ins for uv and Docker that write down what they
//! were asked for. The virtualenvs, the tests, the server and the file watching are real.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;

use crate::example::Example;
use crate::sandbox::{Sandbox, need};

/// Makes real virtualenvs; what it would fetch or pack it only writes down.
const UV: &str = r#"#!/bin/sh
set -eu
echo "uv $*" >> asked.log
case "$1" in
    venv) for last; do :; done; rm -rf "$last"; exec python3 -m venv --without-pip "$last" ;;
    pip) case "$2" in compile) echo '# nothing to pin' > requirements.lock ;; esac ;;
    build)
        while [ "$1" != --out-dir ]; do shift; done
        mkdir -p "$2"; touch "$2/agentorchestrator-0.1.0-py3-none-any.whl" ;;
    --version) echo 'uv 0.9.0' ;;
esac
"#;

/// Keeps the server of a profile up, as Docker's daemon would: in a session of its own.
const DOCKER: &str = r#"#!/bin/sh
set -eu
case "$*" in
    --version) echo 'Docker version 24.0.5'; exit ;;
    *logs*|info) exit ;;
esac
echo "docker $*" >> asked.log
case "$*" in
    *' up -d')
        rm -f "up.$ENVRUN_ENV"
        # It has left the group of this command when it has said who it is.
        setsid sh -c 'echo $$ > "up.$ENVRUN_ENV"; exec python3 -B -m agentorchestrator.server' > /dev/null 2>&1 < /dev/null &
        while [ ! -s "up.$ENVRUN_ENV" ]; do sleep 0.01; done ;;
    push*) echo x >> pushes; test "$(wc -l < pushes)" -ge 3 || { echo 'registry: try again' >&2; exit 1; } ;;
    *' down') kill "$(cat "up.$ENVRUN_ENV")" ;;
esac
"#;

/// The example, committed on `main`, with ports of its own; `None` where there is no Python.
fn orchestrator() -> Option<Sandbox> {
    if !need("python3", "python3") {
        return None;
    }
    let mut example = Example::of("agent-orchestrator");
    for (port, there) in [(free_port(), "PORT 8000"), (free_port(), "PORT 8001"), (free_port(), "PORT 8002")]
    {
        example.replace("Envfile.kdl", &[(there, &format!("PORT {port}"))]);
    }
    let sandbox = &mut example.sandbox;
    sandbox.write(
        ".gitignore",
        sandbox.read(".gitignore") + "/bin/\n/asked.log\n/up.*\n/pushes\n/requirements.lock\n",
    );
    sandbox.script("bin/uv", UV);
    sandbox.script("bin/docker", DOCKER);
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{path}", sandbox.root().join("bin").display());
    sandbox.set("PATH", &path);
    example.init();
    Some(example.sandbox)
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn port(sandbox: &Sandbox, env: &str) -> u16 {
    sandbox.ok(&["env", "exec", env, "--", "printenv", "PORT"]).stdout.trim().parse().unwrap()
}

/// What the API answers to a question.
fn get(port: u16, path: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(stream, "GET /api/v1/{path} HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// What the stand-ins were asked since this was last called.
fn asked(sandbox: &Sandbox) -> Vec<String> {
    let text = if sandbox.exists("asked.log") { sandbox.read("asked.log") } else { String::new() };
    sandbox.write("asked.log", "");
    text.lines().map(str::to_owned).collect()
}

#[test]
fn tests_are_the_same_here_and_in_ci_and_fail_when_they_fail() {
    let Some(mut sandbox) = orchestrator() else { return };
    // 000-24: every environment is set up with its own extras, once.
    sandbox.ok(&["dev.setup", "test.setup", "uat.setup"]);
    let mut installs = asked(&sandbox);
    installs.retain(|line| line.contains("install"));
    installs.sort();
    assert_eq!(
        installs,
        [
            "uv pip install --quiet -e .",
            "uv pip install --quiet -e .[dev]",
            "uv pip install --quiet -e .[test]"
        ]
    );
    // 000-06: what is wrong is the environment.
    let unknown = sandbox.run(&["qa.setup"]);
    assert_eq!(unknown.exit, 2);
    assert!(unknown.stderr.contains("there is no environment `qa`"), "{}", unknown.text());
    // 000-02: what CI runs is what was run here, by its key.
    let first = sandbox.ok(&["test.check"]);
    assert!(first.stderr.contains("2 executed, 1 already done"), "{}", first.text());
    sandbox.set("CI", "true");
    let again = sandbox.ok(&["test.check"]);
    assert!(again.stderr.contains("nothing to do"), "{}", again.text());
    assert_eq!(asked(&sandbox), Vec::<String>::new());
    // 000-09, D1: the tests' own status, with and without `--coverage`.
    let covered = sandbox.ok(&["test.unit", "--coverage"]);
    assert!(covered.stdout.contains("100%   agentorchestrator.agents"), "{}", covered.text());
    assert!(sandbox.exists(".envrun/coverage-test/agentorchestrator.agents.cover"));
    let tests = sandbox.read("tests/test_main.py");
    sandbox.write("tests/test_main.py", tests.replace("\"writer is ready\"", "\"writer is gone\""));
    for args in [&["test.unit"][..], &["test.unit", "--coverage"], &["test.check"]] {
        let failed = sandbox.run(args);
        assert_eq!(failed.exit, 1, "{args:?} {}", failed.text());
        assert!(failed.stdout.contains("AssertionError"), "{}", failed.text());
    }
    let unknown = sandbox.run(&["test.unit", "--coverge"]);
    assert_eq!(unknown.exit, 2);
    assert!(unknown.stderr.contains("did you mean `--coverage`?"), "{}", unknown.text());
    // 000-19: the options of a build, word for word.
    asked(&sandbox);
    sandbox.ok(&["package"]);
    sandbox.ok(&["package", "--wheel", "--no-sdist", "out/wheels"]);
    assert_eq!(
        asked(&sandbox),
        ["uv build --quiet --clear --out-dir dist", "uv build --quiet --clear --out-dir out/wheels --wheel"]
    );
    let unknown = sandbox.run(&["package", "--no-sdst"]);
    assert_eq!(unknown.exit, 2);
    assert!(unknown.stderr.contains("did you mean `--no-sdist`?"), "{}", unknown.text());
    assert!(sandbox.ok(&["package", "--help"]).stdout.contains("--no-sdist"));
    assert_eq!(asked(&sandbox), Vec::<String>::new());
}

#[test]
fn the_api_of_dev_is_up_and_gone_again() {
    let Some(sandbox) = orchestrator() else { return };
    sandbox.ok(&["up", "dev"]);
    let port = port(&sandbox, "dev");
    // 000-01, 000-13: it is up when `up` says so, as this environment's, and changes with its code.
    let before = get(port, "health");
    assert!(before.contains("\"debug\": true"), "{before}");
    assert!(get(port, "agents/writer").contains("writer is ready (2 of 3)"));
    let code = sandbox.read("agentorchestrator/agents.py");
    sandbox.save("agentorchestrator/agents.py", code.replace("is ready", "is up"));
    sandbox.ok(&["up", "dev"]);
    assert!(get(port, "agents/writer").contains("writer is up (2 of 3)"));
    assert_ne!(before, get(port, "health"), "the same process answers");
    // 000-15
    sandbox.ok(&["down", "dev"]);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[test]
fn the_way_to_production_is_for_main_and_asks_another_person() {
    let Some(sandbox) = orchestrator() else { return };
    let git = |args: &[&str]| {
        let ran = Command::new("git").args(args).current_dir(sandbox.root()).output().unwrap();
        assert!(ran.status.success(), "git {args:?}");
    };
    // 000-27, 000-28: on another branch there is nothing to do, and nothing is begun.
    git(&["checkout", "-q", "-b", "feature/x"]);
    let skipped = sandbox.ok(&["build.all"]);
    assert!(skipped.stderr.contains("the branch is feature/x, not main"), "{}", skipped.text());
    assert_eq!(asked(&sandbox), Vec::<String>::new(), "{}", skipped.text());
    // A release branch is proved in `uat`, and no more.
    git(&["checkout", "-q", "-b", "release/1"]);
    let proved = sandbox.ok(&["build.all"]);
    assert!(proved.stderr.contains("skipped build.all"), "{}", proved.text());
    assert_eq!(asked(&sandbox), Vec::<String>::new(), "{}", proved.text());
    let proved = sandbox.ok(&["uat.verify"]);
    assert!(proved.stderr.contains("done uat.verify"), "{}", proved.text());
    // 000-17, 000-22: the wheel and the lock, then the image, then the containers of this profile, which end again.
    let mut lines = asked(&sandbox);
    lines.retain(|line| !line.starts_with("uv venv") && !line.starts_with("uv pip install"));
    let (made, ran): (Vec<_>, Vec<_>) = lines.into_iter().partition(|line| line.starts_with("uv "));
    assert_eq!(made.len(), 2, "{made:?}");
    let shown: Vec<&str> = ran.iter().map(|line| line.split(':').next().unwrap()).collect();
    assert_eq!(
        shown,
        [
            "docker build -t ameenalam/agentorchestrator-uat",
            "docker compose --profile uat up -d",
            "docker compose --profile uat down"
        ]
    );
    // 000-29: on main all of it is made; production waits for somebody else.
    git(&["checkout", "-q", "main"]);
    sandbox.ok(&["build.all"]);
    asked(&sandbox);
    let refused = sandbox.run(&["prod.deploy"]);
    assert_eq!(refused.exit, 3, "{}", refused.text());
    assert!(refused.stderr.contains("nobody has approved"), "{}", refused.text());
    assert_eq!(asked(&sandbox), Vec::<String>::new());
}

#[test]
fn the_lock_follows_what_it_is_made_from_and_an_image_is_pushed_by_who_is_logged_in() {
    let Some(sandbox) = orchestrator() else { return };
    let git = |args: &[&str]| {
        let ran = Command::new("git").args(args).current_dir(sandbox.root()).output().unwrap();
        assert!(ran.status.success(), "git {args:?}");
    };
    // 000-04, 000-25
    sandbox.ok(&["lock"]);
    assert_eq!(asked(&sandbox).len(), 1);
    assert!(sandbox.ok(&["prod.lock"]).stderr.contains("nothing to do"));
    assert_eq!(asked(&sandbox), Vec::<String>::new());
    let project = sandbox.read("pyproject.toml");
    sandbox.write("pyproject.toml", project + "\n# more\n");
    sandbox.ok(&["lock"]);
    assert_eq!(asked(&sandbox).len(), 1);
    // 000-21: nobody is logged in; then the registry has two bad moments.
    let envfile = sandbox.read("Envfile.kdl");
    assert!(envfile.contains("retry 3 every=\"5s\""));
    sandbox.write("Envfile.kdl", envfile.replace("retry 3 every=\"5s\"", "retry 3 every=\"10ms\""));
    git(&["commit", "-qam", "more"]);
    let doctor = sandbox.run(&["doctor", "prod"]);
    assert_eq!(doctor.exit, 3, "{}", doctor.text());
    let missing = doctor.stdout.split("FAIL docker login (push)").nth(1);
    assert!(missing.is_some_and(|rest| rest.contains("hint: docker login")), "{}", doctor.text());
    let refused = sandbox.run(&["prod.push"]);
    assert_eq!(refused.exit, 3, "{}", refused.text());
    assert!(refused.stderr.contains("docker login"), "{}", refused.text());
    assert!(!sandbox.exists("pushes"));
    let home = sandbox.ok(&["env", "exec", "dev", "--", "printenv", "HOME"]).stdout;
    let docker = std::path::Path::new(home.trim()).join(".docker");
    std::fs::create_dir_all(&docker).unwrap();
    std::fs::write(docker.join("config.json"), "{\"auths\": {}}\n").unwrap();
    let pushed = sandbox.ok(&["prod.push"]);
    assert_eq!(sandbox.read("pushes").lines().count(), 3, "{}", pushed.text());
}
