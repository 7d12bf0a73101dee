//! Services, with real servers: started, waited for, shared, restarted, stopped; and nothing left, however it ends.

#![cfg(target_os = "linux")]

use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::sandbox::{Sandbox, need};
use crate::watch::Session;

/// A port that nobody has at this moment.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A server that says what it was told, ends by SIGTERM, and takes note of both.
const SERVER: &str = r#"
import os, signal, sys, http.server
name, port = sys.argv[1], int(sys.argv[2])
def note(what):
    with open("order", "a") as f: f.write(what + " " + name + "\n")
def end(*_):
    note("stop"); os._exit(0)
signal.signal(signal.SIGTERM, end)
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(os.environ.get("WORD", "").encode())
server = http.server.HTTPServer(("127.0.0.1", port), Answer)
note("start")
print("listening", flush=True)
server.serve_forever()
"#;

/// A project of its own with its own ports; whatever its supervisor keeps ends with it.
pub struct Project {
    pub sandbox: Sandbox,
    db: u16,
    api: u16,
}

impl Project {
    pub fn new(more: &str) -> Option<Self> {
        if !need("python3", "python3") {
            return None;
        }
        let (db, api) = (free_port(), free_port());
        let sandbox = Sandbox::with(&[("server.py", SERVER)]);
        let project = Self { sandbox, db, api };
        project.declare("hello", more);
        Some(project)
    }

    pub fn declare(&self, word: &str, more: &str) {
        let (db, api) = (self.db, self.api);
        self.sandbox.write(
            "Envfile.kdl",
            format!(
                r#"
project default-env="dev"
env "dev"
env "live" {{ guard {{ branch "main" }} }}
vars {{ (port)DB_PORT {db}; (port)API_PORT {api}; WORD "{word}" }}
service "db" {{ run "exec python3 server.py db $DB_PORT"; vars {{ WORD "db" }} }}
service "api" {{
    needs "db"
    run "exec python3 server.py api $API_PORT"
    ready {{ http "http://127.0.0.1:${{API_PORT}}/"; log "^listening$" }}
    url "http://127.0.0.1:${{API_PORT}}"
}}
task "test" {{ needs "api"; run "echo tested >> order" }}
{more}
"#
            ),
        );
    }

    pub fn order(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.sandbox.root().join("order")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    pub fn get(&self) -> String {
        use std::io::{Read, Write};
        let mut stream = TcpStream::connect(("127.0.0.1", self.api)).unwrap();
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text.rsplit("\r\n").next().unwrap().to_owned()
    }

    pub fn pids(&self) -> Vec<u32> {
        processes_in(&self.sandbox.root())
    }

    pub fn ps(&self) -> serde_json::Value {
        serde_json::from_str(&self.sandbox.ok(&["ps", "--format", "json"]).stdout).unwrap()
    }

    fn supervisor(&self) -> u32 {
        let state = self.sandbox.read(".envrun/env/dev/services/state.json");
        let state: serde_json::Value = serde_json::from_str(&state).unwrap();
        u32::try_from(state["supervisor"]["pid"].as_u64().unwrap()).unwrap()
    }

    /// Nothing of the project runs, nothing listens, and the lock is free.
    #[track_caller]
    pub fn is_clean(&self, why: &str) {
        let until = Instant::now() + Duration::from_secs(20);
        while !self.pids().is_empty() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
        let left: Vec<String> = self.pids().iter().map(|pid| command_line(*pid)).collect();
        assert_eq!(left, [""; 0], "left behind: {why}");
        for port in [self.db, self.api] {
            assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "{port} is still answered: {why}");
        }
        let state = self.sandbox.root().join(".envrun");
        let sessions = std::fs::read_dir(state.join("dev")).into_iter().flatten().flatten();
        let folders = sessions.map(|entry| entry.path()).chain([state.join("env/dev/services")]);
        for lock in folders.map(|folder| folder.join("lock")) {
            if let Ok(file) = std::fs::File::options().write(true).open(&lock) {
                // One that is ending has no folder any more, and its files for a moment longer.
                while file.try_lock().is_err() {
                    assert!(Instant::now() < until, "a stale lock: {lock:?}: {why}");
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
        }
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        let _ = self.sandbox.run(&["down"]);
        for pid in self.pids() {
            let _ = kill_process(pid_of(pid), Signal::KILL);
        }
    }
}

pub fn pid_of(pid: u32) -> Pid {
    Pid::from_raw(pid.cast_signed()).unwrap()
}

fn command_line(pid: u32) -> String {
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    format!("{pid}: {}", String::from_utf8_lossy(&bytes).replace('\0', " "))
}

/// The processes that work in a folder, or name it on their command line; dead ones that nobody asked about do not count.
fn processes_in(folder: &Path) -> Vec<u32> {
    let name = folder.to_str().unwrap().to_owned();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let works =
            std::fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd: PathBuf| cwd.starts_with(folder));
        let names = std::fs::read(entry.path().join("cmdline"))
            .is_ok_and(|line| String::from_utf8_lossy(&line).contains(&name));
        if works || names {
            found.push(pid);
        }
    }
    found
}

#[test]
fn a_test_starts_what_it_needs_and_stops_it_in_reverse_order() {
    let Some(project) = Project::new("") else { return };
    let ran = project.sandbox.ok(&["test"]);
    assert!(ran.stderr.contains("ready dev.api in"), "{}", ran.stderr);
    assert!(ran.stderr.contains(&format!("http://127.0.0.1:{}", project.api)), "{}", ran.stderr);
    assert_eq!(project.order(), ["start db", "start api", "tested", "stop api", "stop db"]);
    project.is_clean("after a test");
    // Nothing is known of what is up: the next run starts it again.
    project.sandbox.ok(&["test"]);
    assert_eq!(project.order().len(), 10);
}

#[test]
fn what_was_up_stays_up() {
    let Some(project) = Project::new("") else { return };
    project.sandbox.ok(&["up", "db"]);
    project.sandbox.ok(&["test"]);
    assert_eq!(project.order(), ["start db", "start api", "tested", "stop api"]);
    assert!(TcpStream::connect(("127.0.0.1", project.db)).is_ok());
    // A second `up` joins the first.
    let ran = project.sandbox.ok(&["up"]);
    assert!(ran.stderr.contains("ready dev.db already"), "{}", ran.stderr);
    let ps = project.ps();
    let states: Vec<&str> = ps[0]["services"]
        .as_array()
        .unwrap()
        .iter()
        .map(|service| service["state"].as_str().unwrap())
        .collect();
    assert_eq!(states, ["ready", "ready"]);
    assert!(ps[0]["services"][0]["usage"]["memory"].as_u64().unwrap() > 1 << 20, "{ps}");
    assert!(project.sandbox.ok(&["logs", "api"]).stdout.starts_with("listening\n"));
    assert_eq!(project.sandbox.ok(&["logs", "api", "-n", "1"]).stdout.lines().count(), 1);
    project.sandbox.ok(&["down"]);
    assert_eq!(project.order()[4..], ["start api", "stop api", "stop db"]);
    project.is_clean("after down");
}

#[test]
fn a_changed_value_restarts_exactly_what_sees_it() {
    let Some(project) = Project::new("") else { return };
    project.sandbox.ok(&["up"]);
    assert_eq!(project.get(), "hello");
    project.declare("goodbye", "");
    let ran = project.sandbox.ok(&["up"]);
    assert_eq!(project.get(), "goodbye");
    assert!(ran.stderr.contains("ready dev.db already"), "{}", ran.stderr);
    assert!(ran.stderr.contains("run dev.api because WORD changed"), "{}", ran.stderr);
    assert_eq!(project.order(), ["start db", "start api", "stop api", "start api"]);
    let before = project.ps()[0]["services"][0]["process"]["pid"].as_u64();
    project.sandbox.ok(&["restart", "api"]);
    project.sandbox.ok(&["wait", "--timeout", "20s"]);
    assert_ne!(project.ps()[0]["services"][0]["process"]["pid"].as_u64(), before);
}

#[test]
fn a_service_that_ends_early_or_is_never_ready_fails_what_needs_it() {
    let Some(project) = Project::new(
        r#"
service "early" { run "seq 30; echo cannot bind >&2; exit 7"; hint "look at the port" }
service "never" {
    run "echo waiting; exec sleep 1000"
    ready { exec "echo not yet; exit 9"; tcp "127.0.0.1:1"; log "^listening"; log "^waiting"; timeout "1s" }
}
task "a" { needs "early"; run "touch ran" }
task "b" { needs "never"; run "touch ran" }
"#,
    ) else {
        return;
    };
    let ran = project.sandbox.run(&["a"]);
    assert_eq!(ran.exit, 1, "{}", ran.text());
    for text in [
        "ended with exit status 7",
        "its last 20 lines",
        "    cannot bind",
        "hint: look at the port",
        "    12",
    ] {
        assert!(ran.stderr.contains(text), "{text}\n{}", ran.stderr);
    }
    assert!(!ran.stderr.contains("    11\n"), "no more than 20 lines\n{}", ran.stderr);
    let ran = project.sandbox.run(&["b"]);
    assert_eq!(ran.exit, 1, "{}", ran.text());
    // Every probe that did not pass is named, and none that did.
    for text in [
        "not ready within 1.0s",
        "  probe: exec echo not yet; exit 9: exit status 9: not yet\n",
        "  probe: tcp 127.0.0.1:1: ",
        "  probe: log ^listening: no line of its output matches `^listening`\n",
        "    waiting",
    ] {
        assert!(ran.stderr.contains(text), "{text}\n{}", ran.stderr);
    }
    assert!(!ran.stderr.contains("log ^waiting"), "{}", ran.stderr);
    assert!(!project.sandbox.exists("ran"));
    project.is_clean("after failures");
    // Whoever asks for it now hears what became of it.
    let ran = project.sandbox.run(&["up", "early"]);
    assert_eq!(ran.exit, 1, "{}", ran.text());
    let ran = project.sandbox.run(&["restart"]);
    let told = "no service is up: `dev.early` has failed: ended with exit status 7\nhint: `envrun up dev` starts them; \
                `envrun logs dev early` shows what it printed";
    assert!(ran.exit == 2 && ran.stderr.contains(told), "{}", ran.text());
    let ran = project.sandbox.run(&["wait", "early"]);
    let told = "`dev.early`: ended with exit status 7";
    assert!(
        ran.exit == 1 && ran.stderr.contains(told) && ran.stderr.contains("    cannot bind"),
        "{}",
        ran.text()
    );
    let ran = project.sandbox.run(&["wait", "db"]);
    let told = "`dev.db`: it is not up\nhint: `envrun up dev db` starts it";
    assert!(ran.exit == 1 && ran.stderr.contains(told), "{}", ran.text());
    let ps = project.sandbox.ok(&["ps", "live", "dev"]).stdout;
    assert!(ps.contains("dev.early  failed"), "{ps}");
}

#[test]
fn a_taken_port_refuses_before_anything_starts() {
    let Some(project) = Project::new("") else { return };
    let _owner = TcpListener::bind(("127.0.0.1", project.api)).unwrap();
    let ran = project.sandbox.run(&["test"]);
    assert_eq!(ran.exit, 3, "{}", ran.text());
    let owner = format!("port {} is taken by pid {}", project.api, std::process::id());
    assert!(ran.stderr.contains(&owner), "{}", ran.stderr);
    assert_eq!(project.order(), [""; 0], "nothing was started");
}

#[test]
fn a_guarded_environments_service_is_not_started_from_elsewhere() {
    let Some(project) = Project::new("task \"reach\" { needs \"live.db\"; run \"touch ran\" }") else {
        return;
    };
    let git = |args: &[&str]| {
        let done = std::process::Command::new("git").args(args).current_dir(project.sandbox.root()).output();
        assert!(done.unwrap().status.success(), "git {args:?}");
    };
    git(&["init", "-q", "-b", "main"]);
    git(&["-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-q", "--allow-empty", "-m", "x"]);
    let ran = project.sandbox.run(&["dev.reach"]);
    assert_eq!(ran.exit, 3, "{}", ran.text());
    assert!(ran.stderr.contains("its services are not started from another environment"), "{}", ran.stderr);
    // Named by itself it is.
    project.sandbox.ok(&["up", "live", "db"]);
    project.sandbox.ok(&["dev.reach"]);
    project.sandbox.ok(&["down", "live"]);
}

#[test]
fn a_need_may_want_less_or_more_than_ready() {
    let Some(project) = Project::new(
        r#"
service "slow" { run "until test -e go; do sleep 0.01; done; touch up; exec sleep 1000"; ready { exec "test -e up" } }
service "seed" { run "sleep 0.1; echo seeded >> order" }
task "go" { needs "slow" state="started"; run "touch go" }
task "all" { needs "go" "slow"; needs "seed" state="completed"; run "echo all >> order" }
"#,
    ) else {
        return;
    };
    // `slow` becomes ready only by what runs when it is started.
    project.sandbox.ok(&["all"]);
    assert_eq!(project.order(), ["seeded", "all"]);
}

#[test]
fn a_crash_loop_stops_at_max_and_its_status_is_kept() {
    let Some(project) = Project::new(
        "service \"loop\" { run \"echo x >> tries; exit 4\"; restart \"on-failure\" max=2; ready { log \"never\" } }",
    ) else {
        return;
    };
    let ran = project.sandbox.run(&["up", "loop"]);
    assert_eq!(ran.exit, 1, "{}", ran.text());
    assert!(ran.stderr.contains("ended with exit status 4, again after 2 restarts"), "{}", ran.stderr);
    assert_eq!(project.sandbox.read("tries").lines().count(), 3);
    let ps = project.sandbox.ok(&["ps"]).stdout;
    let line = ps.lines().find(|line| line.starts_with("dev.loop")).unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!((words[1], words[6], words[7]), ("failed", "2", "4"), "{ps}");
}

/// An attached `up`, after its services are ready.
pub fn attached(project: &Project) -> Child {
    let mut command = project.sandbox.command(&["up", "--attach"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let is_ready = |line: &String| line.contains("ready dev.api");
    assert!(lines.by_ref().map_while(Result::ok).any(|line| is_ready(&line)), "the services become ready");
    // Somebody reads to the end, or envrun would wait for it.
    std::thread::spawn(move || lines.for_each(drop));
    child
}

#[test]
fn ctrl_c_hangup_and_sigterm_end_an_attached_up_in_order() {
    let Some(project) = Project::new("") else { return };
    for signal in [Signal::INT, Signal::HUP, Signal::TERM] {
        std::fs::remove_file(project.sandbox.root().join("order")).unwrap_or_default();
        let mut child = attached(&project);
        kill_process(Pid::from_child(&child), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(130), "{signal:?}");
        assert_eq!(project.order(), ["start db", "start api", "stop api", "stop db"], "{signal:?}");
        project.is_clean(&format!("{signal:?}"));
    }
}

/// What was started is told as stopped, all of it, before the run says that it is over; what would not stop is a failure.
#[test]
fn a_run_tells_what_becomes_of_what_it_started() {
    let sandbox = Sandbox::new(
        r#"
        service "db" { run "echo up; exec sleep 1000"; ready { log "up" } }
        service "stuck" { start "touch on"; stop "echo cannot; exit 5"; ready { exec "test" "-f" "on" } }
        task "one" { needs "db"; run "true" }
        task "two" { needs "stuck"; run "true" }
        "#,
    );
    for _ in 0..5 {
        let ran = sandbox.ok(&["one"]);
        assert!(ran.stderr.contains("stopped db"), "{}", ran.stderr);
    }
    let ran = sandbox.run(&["two"]);
    assert_eq!(ran.exit, 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("its `stop` command ended with exit status 5"), "{}", ran.stderr);
    // Somebody else keeps it: whoever joined says so when he leaves.
    sandbox.ok(&["up", "db"]);
    let says = |command: &mut Child, lines: &[&str]| {
        let told: Vec<String> =
            BufReader::new(command.stderr.take().unwrap()).lines().map_while(Result::ok).collect();
        for line in lines {
            assert!(told.iter().any(|told| told.contains(line)), "{line}: {told:#?}");
        }
        (told, command.wait().unwrap().code())
    };
    let mut child = told_until(&mut sandbox.command(&["up", "--attach", "db"]), "ready db already");
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let lines = [
        "SIGINT: leaving db; once more for SIGTERM",
        "`db` stays up: not only this `up` needs it",
        "interrupted: 1 already up",
    ];
    assert_eq!(says(&mut child, &lines).1, Some(130));
    // Somebody else takes it down.
    let mut child = told_until(&mut sandbox.command(&["up", "--attach", "db"]), "ready db already");
    sandbox.ok(&["down", "db"]);
    let lines = ["stopped db", "somebody else stopped the services", "1 stopped in "];
    let (told, exit) = says(&mut child, &lines);
    assert_eq!(exit, Some(0), "{told:#?}");
    // What has failed is neither stopped nor up when a session is left.
    sandbox.write(
        "Envfile.kdl",
        r#"
        service "db" { run "echo up; exec sleep 1000"; ready { log "up" } }
        service "early" { run "exit 3"; ready { log "never" } }
        "#,
    );
    let mut child = told_until(&mut sandbox.command(&["dev", "db", "early"]), "watching ");
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let (told, _) = says(&mut child, &["SIGINT: stopping db; once more for SIGTERM", "db stopped in "]);
    assert!(!told.iter().any(|line| line.contains("stay")), "{told:#?}");
}

/// A command that has said this. What it says from then on is still to be read.
fn told_until(command: &mut std::process::Command, word: &str) -> Child {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut errors = child.stderr.take().unwrap();
    let (mut said, mut byte) = (Vec::new(), [0]);
    // By the byte, so that nothing is read ahead.
    while !(said.ends_with(b"\n") && String::from_utf8_lossy(&said).contains(word)) {
        let read = errors.read(&mut byte).unwrap();
        assert!(read > 0, "{word}: {}", String::from_utf8_lossy(&said));
        said.push(byte[0]);
    }
    child.stderr = Some(errors);
    child
}

/// A tree of processes that do not want to end, below a wrapper.
const STUBBORN: &str = r##"
service "stubborn" {
    run #"""
        trap '' TERM INT HUP
        setsid sh -c 'trap "" TERM; while :; do sleep 1000; done' &
        (sh -c 'trap "" TERM; sleep 2000 & wait; sleep 3000' &)
        echo up
        while :; do sleep 4000; done
        """#
    ready { log "^up$" }
    timeout "200ms"
}
"##;

#[test]
fn who_does_not_want_to_end_is_ended() {
    let Some(project) = Project::new(STUBBORN) else { return };
    project.sandbox.ok(&["up", "stubborn"]);
    project.sandbox.ok(&["down"]);
    project.is_clean("after down of a stubborn service");
}

#[test]
fn a_second_attached_up_shares_what_is_up_and_each_ctrl_c_ends_only_its_own() {
    let Some(project) = Project::new("") else { return };
    let end = |mut child: Child| {
        kill_process(Pid::from_child(&child), Signal::INT).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(130));
    };
    let (one, two) = (attached(&project), attached(&project));
    assert_eq!(project.order(), ["start db", "start api"]);
    end(one);
    assert_eq!((project.order().len(), &*project.get()), (2, "hello"), "the other one needs them");
    end(two);
    project.is_clean("both attached ups are over");
    // What was started detached stays when somebody who joined it leaves.
    project.sandbox.ok(&["up"]);
    end(attached(&project));
    assert_eq!(project.get(), "hello");
    // And what somebody joins to keep stays, whoever started it.
    project.sandbox.ok(&["down"]);
    let first = attached(&project);
    project.sandbox.ok(&["up"]);
    end(first);
    assert_eq!(project.get(), "hello");
    project.sandbox.ok(&["down"]);
    project.is_clean("down");
}

#[test]
fn who_is_in_a_hurry_ends_only_what_nobody_else_needs() {
    let slow = r#"
service "slow" {
    run "trap 'touch ending; while :; do sleep 0.01; done' TERM; touch up; while :; do sleep 0.01; done"
    ready { exec "test" "-e" "up" }
    timeout "10m"
}
"#;
    let Some(project) = Project::new(slow) else { return };
    let begin = |words: &[&str]| told_until(&mut project.sandbox.command(words), "ready dev.api");
    let mut other = begin(&["up", "--attach", "api"]);
    let mut child = told_until(&mut project.sandbox.command(&["up", "--attach"]), "ready dev.slow");
    let interrupt = || kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    interrupt();
    let until = Instant::now() + Duration::from_secs(60);
    while !project.sandbox.exists("ending") {
        assert!(Instant::now() < until, "the first Ctrl-C is passed on");
        std::thread::sleep(Duration::from_millis(5));
    }
    interrupt();
    let mut errors = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    assert!(errors.any(|line| line.contains("once more for SIGKILL")));
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let told: Vec<String> = errors.collect();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{told:#?}");
    assert!(told.iter().any(|line| line.contains("stopped dev.slow")), "{told:#?}");
    assert_eq!(
        (project.order(), &*project.get()),
        (vec!["start db".to_owned(), "start api".to_owned()], "hello")
    );
    kill_process(Pid::from_child(&other), Signal::INT).unwrap();
    BufReader::new(other.stderr.take().unwrap()).lines().for_each(drop);
    assert_eq!(other.wait().unwrap().code(), Some(130));
    project.is_clean("both are over");
}

#[test]
fn a_probe_of_https_is_refused_before_anything_starts() {
    let sandbox = Sandbox::new(
        "service \"web\" { run \"touch ran\"; ready { http \"https://localhost:8443/health\" } }",
    );
    let ran = sandbox.run(&["up"]);
    assert_eq!(ran.exit, 2, "{}", ran.text());
    for text in ["a probe asks plain HTTP", "`exec \"curl\" \"-fsS\" \"https://localhost:8443/health\"`"] {
        assert!(ran.stderr.contains(text), "{}", ran.stderr);
    }
    assert!(!sandbox.exists("ran"));
}

/// Wrappers that stand between envrun and what really runs, with what they need.
fn wrapped(project: &Project) -> Vec<&'static str> {
    project.sandbox.write("Makefile", "serve:\n\t@echo up; sleep 5000\n");
    project.sandbox.write("package.json", r#"{"scripts": {"serve": "sh -c 'echo up; sleep 6000'"}}"#);
    let there = |program: &str| {
        let found = std::process::Command::new(program).arg("--version").output();
        let found = found.is_ok_and(|output| output.status.success());
        if !found {
            skipped(&format!("`{program}` is not here to be a wrapper"));
        }
        found
    };
    let wrappers = [("make", "viamake"), ("npm", "vianpm")];
    wrappers.into_iter().filter(|(program, _)| there(program)).map(|(_, service)| service).collect()
}

const WRAPPED: &str = r#"
service "viamake" { run "make serve"; ready { log "^up$" } }
service "vianpm" { run "npm run serve"; ready { log "^up$" } }
service "viash" { run "sh -c 'sh -c \"echo up; sleep 7000\" & wait'"; ready { log "^up$" } }
"#;

#[test]
fn a_session_leaves_nothing_however_it_ends() {
    let Some(mut project) = Project::new(&format!("{STUBBORN}{WRAPPED}")) else { return };
    project.sandbox.set("npm_config_update_notifier", "false");
    let mut services = wrapped(&project);
    services.extend(["stubborn", "viash"]);
    let begin = |words: &[&str]| {
        let mut session = Session::begin(project.sandbox.command(&[&["dev", "-o", "json"], words].concat()));
        session.idle();
        session
    };
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        assert_eq!(begin(&["stubborn", "viash"]).end(signal).0, 130, "{signal:?}");
        project.is_clean(&format!("{signal:?}"));
    }
    let mut session = begin(&services);
    session.signal(Signal::KILL);
    session.envrun.wait().unwrap();
    project.is_clean("kill -9 of envrun, wrappers and all");

    let mut session = begin(&["stubborn", "viash"]);
    kill_process(pid_of(project.supervisor()), Signal::KILL).unwrap();
    session.wait(|event, _| event["message"].as_str().is_some_and(|text| text.contains("has ended")));
    assert_eq!(session.end(Signal::INT).0, 130);
    project.is_clean("kill -9 of the supervisor, then Ctrl-C");

    let mut session = begin(&["stubborn", "viash"]);
    kill_process(pid_of(project.supervisor()), Signal::KILL).unwrap();
    session.signal(Signal::KILL);
    session.envrun.wait().unwrap();
    project.is_clean("kill -9 of both");
}

#[test]
fn a_closed_terminal_ends_a_session_and_its_services() {
    if !need("script", "bsdutils") {
        return;
    }
    let Some(project) = Project::new(&format!("{STUBBORN}{WRAPPED}")) else { return };
    // With a shell between the terminal and envrun, and without.
    for end in ["; true", ""] {
        let envrun = project.sandbox.command(&[]);
        let line = format!("{} dev stubborn viash{end}", env!("CARGO_BIN_EXE_envrun"));
        let mut script = std::process::Command::new("script");
        script.args(["-qec", &line, "/dev/null"]).current_dir(project.sandbox.root());
        script.env_clear().env("TERM", "xterm");
        script.envs(envrun.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let mut terminal = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut screen = terminal.stdout.take().unwrap();
        // By the byte: the last row of a view has no end of line.
        let (mut bytes, mut seen) = ([0; 4096], String::new());
        while !seen.contains("watching ") {
            let read = screen.read(&mut bytes).unwrap();
            assert!(read > 0, "the session is over: {seen}");
            seen.push_str(&String::from_utf8_lossy(&bytes[..read]));
        }
        // Whoever holds the other end of the terminal is gone, as when its window is closed.
        terminal.kill().unwrap();
        terminal.wait().unwrap();
        project.is_clean(&format!("the terminal was closed (`dev stubborn viash{end}`)"));
    }
}

#[test]
fn kill_9_of_a_run_or_of_the_supervisor_leaves_nothing() {
    let Some(project) = Project::new(STUBBORN) else { return };
    let mut child = attached(&project);
    kill_process(Pid::from_child(&child), Signal::KILL).unwrap();
    child.wait().unwrap();
    project.is_clean("kill -9 of an attached up");
    // Whoever comes while the end of the one before still goes on has what he wants, ports and all.
    for at_supervisor in [false, true] {
        let mut child = attached(&project);
        if at_supervisor {
            kill_process(pid_of(project.supervisor()), Signal::KILL).unwrap();
        }
        kill_process(Pid::from_child(&child), Signal::KILL).unwrap();
        child.wait().unwrap();
        project.sandbox.ok(&["test"]);
    }
    project.is_clean("kill -9, and a run at once");

    project.sandbox.ok(&["up"]);
    kill_process(pid_of(project.supervisor()), Signal::KILL).unwrap();
    project.is_clean("kill -9 of the supervisor");
    // The next command knows, and begins anew.
    let ps = project.ps();
    assert!(
        ps[0]["services"].as_array().unwrap().iter().all(|service| service["state"] == "stopped"),
        "{ps}"
    );
    project.sandbox.ok(&["up", "api"]);
    project.sandbox.ok(&["down"]);
    project.is_clean("after all");
}

/// Kills at random moments over the life of a session with services: envrun, its supervisor, or both, with any signal.
/// `ENVRUN_LEAKS` says how often; 40 times without.
#[test]
fn nothing_survives_a_kill_at_any_moment() {
    let times: u32 = std::env::var("ENVRUN_LEAKS").ok().and_then(|times| times.parse().ok()).unwrap_or(40);
    let Some(project) = Project::new(STUBBORN) else { return };
    // A sequence that is the same in every run of the tests: xorshift.
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    for round in 0..times {
        let how = [&["up", "--attach"][..], &["test"], &["up"]][random(3) as usize];
        let signal = [Signal::KILL, Signal::KILL, Signal::TERM, Signal::INT, Signal::HUP][random(5) as usize];
        let at_supervisor = random(3) == 0;
        let pause = Duration::from_millis(random(1500));
        let mut child =
            project.sandbox.command(how).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // The moment itself is what is tested: there is no event to wait for.
        std::thread::sleep(pause);
        if at_supervisor && project.sandbox.exists(".envrun/env/dev/services/state.json") {
            // One that has ended meanwhile has a number that is nobody's, or somebody else's: it is looked at first.
            let pid = project.supervisor();
            if command_line(pid).contains("__services") {
                let _ = kill_process(pid_of(pid), signal);
            }
        }
        let _ = kill_process(Pid::from_child(&child), signal);
        child.wait().unwrap();
        // What was detached before the kill is up by right; it goes down now, and with it everything.
        if how == ["up"] {
            project.sandbox.ok(&["down"]);
        }
        project.is_clean(&format!(
            "round {round}: {how:?}, {signal:?} after {pause:?}, at the supervisor: {at_supervisor}"
        ));
    }
}

/// A Docker engine of its own, with nothing of the machine's.
struct Engine {
    daemon: Child,
    dir: tempfile::TempDir,
}

impl Engine {
    /// `None`, and a loud word, where none can be had: it takes root, and a kernel that lets it.
    fn start() -> Option<Self> {
        let tools =
            [("dockerd", "docker.io"), ("docker-compose", "docker-compose"), ("busybox", "busybox-static")];
        if !rustix::process::getuid().is_root() {
            skipped("a Docker engine can only be started by root");
            return None;
        }
        if !tools.iter().all(|(program, package)| need(program, package)) {
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        let log = std::fs::File::create(dir.path().join("log")).unwrap();
        let daemon = std::process::Command::new("dockerd")
            .args(["--iptables=false", "--ip6tables=false", "--bridge=none"])
            .args(["--data-root", &path("data"), "--exec-root", &path("exec"), "--pidfile", &path("pid")])
            .args(["-H", &format!("unix://{}", path("socket"))])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut engine = Self { daemon, dir };
        let until = Instant::now() + Duration::from_secs(30);
        while !engine.docker(&["version"]).status.success() {
            if engine.daemon.try_wait().unwrap().is_some() || Instant::now() > until {
                let said = std::fs::read_to_string(engine.dir.path().join("log")).unwrap_or_default();
                skipped(&format!("no Docker engine here: {}", said.lines().last().unwrap_or_default()));
                return None;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Some(engine)
    }

    fn host(&self) -> String {
        format!("unix://{}", self.dir.path().join("socket").display())
    }

    fn docker(&self, args: &[&str]) -> std::process::Output {
        std::process::Command::new("docker").args(args).env("DOCKER_HOST", self.host()).output().unwrap()
    }

    fn containers(&self) -> usize {
        let listed = self.docker(&["ps", "-q"]);
        String::from_utf8_lossy(&listed.stdout).lines().count()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.daemon), Signal::TERM);
        let _ = self.daemon.wait();
    }
}

#[expect(clippy::print_stderr, reason = "whoever runs the tests has to hear of it")]
fn skipped(why: &str) {
    eprintln!("SKIPPED: {why}");
}

#[test]
fn a_compose_project_on_a_real_engine_is_a_service() {
    let Some(engine) = Engine::start() else { return };
    let port = free_port();
    let mut sandbox = Sandbox::new(&format!(
        r#"
vars {{ (port)WEB_PORT {port} }}
service "web" {{
    start "docker-compose -p web up -d"
    stop "docker-compose -p web down -t 1"
    log "docker-compose -p web logs -f --no-color"
    ready {{ http "http://127.0.0.1:${{WEB_PORT}}/"; timeout "60s" }}
}}
task "test" {{ needs "web"; run "busybox wget -q -O got http://127.0.0.1:$WEB_PORT/" }}
"#
    ));
    sandbox.set("DOCKER_HOST", &engine.host());
    sandbox.write(
        "docker-compose.yml",
        "version: '2.4'\nservices:\n  httpd:\n    image: tiny\n    network_mode: host\n    command: [\"/busybox\", \"httpd\", \"-f\", \"-v\", \"-p\", \"127.0.0.1:${WEB_PORT}\", \"-h\", \"/www\"]\n",
    );
    // An image of one file: a busybox that needs nothing else.
    let image = sandbox.root().join("image");
    sandbox.write("image/www/index.html", "from a container\n");
    let busybox =
        ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|path| Path::new(path).exists()).unwrap();
    std::fs::copy(busybox, image.join("busybox")).unwrap();
    let tar = sandbox.root().join("image.tar");
    let packed =
        std::process::Command::new("tar").arg("-cf").arg(&tar).arg("-C").arg(&image).arg(".").status();
    assert!(packed.unwrap().success());
    let imported = engine.docker(&["import", tar.to_str().unwrap(), "tiny"]);
    assert!(imported.status.success(), "{}", String::from_utf8_lossy(&imported.stderr));

    sandbox.ok(&["test"]);
    assert_eq!(sandbox.read("got"), "from a container\n");
    assert_eq!(engine.containers(), 0, "what was started is stopped");
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());

    // Up, and its supervisor killed: the daemon is somebody else's and goes on. The next `down` knows whose it is.
    sandbox.ok(&["up"]);
    assert_eq!(engine.containers(), 1);
    let state: serde_json::Value =
        serde_json::from_str(&sandbox.read(".envrun/env/-/services/state.json")).unwrap();
    let supervisor = u32::try_from(state["supervisor"]["pid"].as_u64().unwrap()).unwrap();
    kill_process(pid_of(supervisor), Signal::KILL).unwrap();
    let until = Instant::now() + Duration::from_secs(10);
    while command_line(supervisor).contains("__services") && Instant::now() < until {
        std::thread::yield_now();
    }
    assert_eq!(engine.containers(), 1);
    let ran = sandbox.ok(&["down"]);
    assert!(ran.stderr.contains("web stopped"), "{}", ran.stderr);
    assert_eq!(engine.containers(), 0);
}

/// Where no environment was named and none is the default, nothing is guessed; where something is up is told.
#[test]
fn down_says_where_something_is_up() {
    let sandbox = Sandbox::new(
        "env \"dev\"\nenv \"staging\"\nservice \"sleeper\" { run \"sleep 600\"; ready { exec \"true\"; every \"50ms\" } }\n",
    );
    sandbox.ok(&["up", "dev"]);
    let nothing = sandbox.ok(&["down"]).stderr;
    assert_eq!(nothing, "no service is up\nhint: in `dev` there is: `envrun down dev`\n");
    let nothing = sandbox.ok(&["down", "staging"]).stderr;
    assert_eq!(nothing, "no service is up in `staging`\nhint: in `dev` there is: `envrun down dev`\n");
    let unknown = sandbox.run(&["down", "stagin"]);
    assert_eq!(unknown.exit, 2);
    assert_eq!(
        unknown.stderr,
        "error: there is no environment and no service `stagin`\nhint: did you mean `staging`?\n"
    );
    assert_eq!(sandbox.ok(&["down", "dev"]).stderr, "dev.sleeper stopped\n");
    assert_eq!(sandbox.ok(&["down", "dev"]).stderr, "no service is up in `dev`\n");
}
