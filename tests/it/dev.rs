//! Services in a session: when one is started again, when it is not, and what is heard of it while nothing runs.

#![cfg(target_os = "linux")]

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::mpsc::channel;

use rustix::process::{Pid, Signal, kill_process};

use crate::sandbox::{Sandbox, mkfifo};
use crate::watch::{PATIENCE, Session, without_groups};

/// Three services: one rests on what a task makes, one on files, one on nothing. Each notes that it begins.
const THREE: &str = r#"
dotenv ".env" optional=#true
vars { COLOUR "red"; SIZE "big" }
task "build" { inputs "src/*.txt"; outputs "app.txt"; run "grep -v '^#' src/a.txt > app.txt" }
service "api" { needs "build"; run "echo api >> starts; echo up; exec sleep 1000"; ready { log "^up$" } }
service "web" { watch "site" "!**/*.md"; uses "COLOUR"; run "echo web $COLOUR >> starts; echo up; exec sleep 1000"; ready { log "^up$" } }
service "db" { uses "SIZE"; run "echo db $SIZE >> starts; echo up; exec sleep 1000"; ready { log "^up$" } }
task "look" { needs "api"; run "echo looked" }
"#;

fn three() -> Sandbox {
    Sandbox::with(&[
        ("Envfile.kdl", THREE),
        ("src/a.txt", "a\n"),
        ("site/index.html", "<p>\n"),
        ("starts", ""),
    ])
}

/// The services that were started since this was asked last.
fn started(sandbox: &Sandbox) -> Vec<String> {
    let mut started: Vec<String> = sandbox.read("starts").lines().map(str::to_owned).collect();
    started.sort();
    sandbox.write("starts", "");
    started
}

/// Why a node was started, each time.
fn because(session: &Session, node: &str) -> Vec<String> {
    let started = session.heard.iter().filter(|event| event["event"] == "node-started");
    let started = started.filter(|event| session.name(event) == node);
    started.map(|event| event["because"]["reason"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_service_is_started_again_exactly_if_what_it_depends_on_changed() {
    let sandbox = three();
    let mut session = Session::start(&sandbox, &["look", "web", "db"]);
    assert_eq!(started(&sandbox), ["api", "db big", "web red"]);
    // Another text, the same result: the task runs, and nobody else has anything to do.
    sandbox.save("src/a.txt", "# a comment\na\n");
    let said = without_groups(session.idle());
    assert!(said.contains(&"=build succeeded".to_owned()) && !said.contains(&"+look".to_owned()), "{said:?}");
    assert_eq!(started(&sandbox), [""; 0]);
    // Another result: what runs with it begins anew, and whatever asks that.
    sandbox.save("src/a.txt", "b\n");
    let said = without_groups(session.idle());
    for line in ["+build", "+api", "=api up", "+look", "=look succeeded"] {
        assert!(said.contains(&line.to_owned()), "{line}: {said:?}");
    }
    assert_eq!(started(&sandbox), ["api"]);
    assert_eq!(because(&session, "api"), ["it is not up", "the output of `build` changed"]);
    // Files that it watches: changed, new in a new folder, gone. What is only touched or not meant is none.
    sandbox.save("site/index.html", "<h1>\n");
    assert!(without_groups(session.idle()).contains(&"+web".to_owned()));
    assert_eq!(started(&sandbox), ["web red"]);
    sandbox.save("site/index.html", "<h1>\n");
    sandbox.write("site/notes.md", "no\n");
    sandbox.write("site/deep/new.html", "<h2>\n");
    assert!(without_groups(session.idle()).contains(&"+web".to_owned()));
    assert_eq!(started(&sandbox), ["web red"]);
    std::fs::remove_dir_all(sandbox.root().join("site/deep")).unwrap();
    assert!(without_groups(session.idle()).contains(&"+web".to_owned()));
    assert_eq!(started(&sandbox), ["web red"]);
    let files = ["site/index.html changed", "site/deep/new.html was added", "site/deep/new.html was removed"];
    assert_eq!(because(&session, "web")[1..], files);
    let (exit, told) = session.end(Signal::INT);
    assert_eq!((exit, &*told), (130, ""));
}

#[test]
fn exactly_the_services_whose_values_changed_are_started_again() {
    let sandbox = three();
    let mut session = Session::start(&sandbox, &["look", "web", "db"]);
    assert_eq!(started(&sandbox), ["api", "db big", "web red"]);
    sandbox.save(".env", "COLOUR=blue\n");
    session.idle();
    assert_eq!(started(&sandbox), ["web blue"]);
    sandbox.save("Envfile.kdl", THREE.replace("SIZE \"big\"", "SIZE \"small\""));
    session.idle();
    assert_eq!(started(&sandbox), ["db small"]);
    assert_eq!(because(&session, "web")[1..], ["COLOUR changed"]);
    assert_eq!(because(&session, "db")[1..], ["SIZE changed"]);
    // The same values on another way; and a service that nothing says any more is not kept.
    sandbox.save(".env", "COLOUR=blue\nSIZE=small\n");
    sandbox.save("Envfile.kdl", THREE);
    sandbox.save("src/a.txt", "b\n");
    session.idle();
    assert_eq!(started(&sandbox), ["api"]);
}

#[test]
fn a_service_that_cannot_be_started_is_tried_again_when_that_may_help() {
    let sandbox = Sandbox::with(&[
        (
            "Envfile.kdl",
            r#"
            service "web" { watch "web.sh"; run "sh web.sh"; ready { log "^up$" } }
            task "other" { inputs "other.txt"; run "cat other.txt" }
            task "uses" { needs "web"; run "echo used" }
        "#,
        ),
        ("web.sh", "echo web >> starts; echo up; exec sleep 1000\n"),
        ("other.txt", "1\n"),
        ("starts", ""),
    ]);
    let mut session = Session::start(&sandbox, &["uses", "other"]);
    assert_eq!(started(&sandbox), ["web"]);
    sandbox.save("web.sh", "echo bad >> starts; exit 3\n");
    let said = session.idle();
    assert!(
        said.contains(&"=web failed".to_owned()) && said.contains(&"=uses blocked".to_owned()),
        "{said:?}"
    );
    assert_eq!(started(&sandbox), ["bad"]);
    sandbox.save("other.txt", "2\n");
    let said = session.idle();
    assert!(said.contains(&"=other succeeded".to_owned()), "{said:?}");
    assert_eq!(started(&sandbox), [""; 0], "another file is no reason to try again");
    sandbox.save("web.sh", "echo web >> starts; echo up; exec sleep 1001\n");
    let said = session.idle();
    assert!(said.contains(&"=uses succeeded".to_owned()), "{said:?}");
    assert_eq!(started(&sandbox), ["web"]);
}

#[test]
fn what_a_service_says_or_does_while_nothing_runs_is_told() {
    let sandbox = Sandbox::with(&[
        (
            "Envfile.kdl",
            r#"
            service "web" { run "echo web >> starts; echo up; read -r word < fifo; echo heard $word; exit 4"; ready { log "^up$" }; hint "look at the mirror" }
            task "other" { inputs "other.txt"; run "cat other.txt" }
        "#,
        ),
        ("other.txt", "1\n"),
        ("starts", ""),
    ]);
    let fifo = sandbox.root().join("fifo");
    mkfifo(&fifo);
    let mut session = Session::start(&sandbox, &["web", "other"]);
    std::fs::write(&fifo, "this\n").unwrap();
    session.output("web", "heard this");
    let failed = session.wait(|event, _| event["event"] == "service-changed");
    assert_eq!((&failed["state"], &failed["exit"]["status"]), (&"failed".into(), &4.into()), "{failed}");
    assert_eq!(failed["hint"], "look at the mirror");
    session.wait(|event, _| event["event"] == "notice");
    // It is needed, so the next run has it up again.
    sandbox.save("other.txt", "2\n");
    session.idle();
    assert_eq!(started(&sandbox), ["web", "web"]);
    let (exit, told) = session.end(Signal::TERM);
    assert_eq!((exit, &*told), (130, ""));
}

#[test]
fn a_second_dev_joins_the_first_instead_of_starting_a_twin() {
    let sandbox = three();
    let targets = ["look", "web", "db"];
    let join = || Session::begin(sandbox.command(&["dev", "-o", "json", "db", "look", "web"]));
    let mut first = Session::start(&sandbox, &targets);
    assert_eq!(started(&sandbox), ["api", "db big", "web red"]);
    // In another order, it asks for the same; it is told what was told last, and from now on the same.
    let mut second = join();
    assert!(second.idle().contains(&"=look succeeded".to_owned()), "{}", second.story());
    sandbox.save("src/a.txt", "b\n");
    let (said, heard) = (first.idle(), second.idle());
    assert!(said.contains(&"+look".to_owned()), "{said:?}");
    assert_eq!(said, heard);
    assert_eq!(started(&sandbox), ["api"], "one session, one restart");
    // Ctrl-C leaves; the session goes on.
    let (exit, told) = second.end(Signal::INT);
    assert_eq!(exit, 130);
    assert!(told.contains("joins the session that goes on already"), "{told}");
    sandbox.save("src/a.txt", "c\n");
    assert!(first.idle().contains(&"=look succeeded".to_owned()));
    assert_eq!(started(&sandbox), ["api"]);
    // Who asks for something else has a session of its own, and shares the services.
    let mut other = Session::start(&sandbox, &["look"]);
    assert!(
        other.story().contains("=api already-up") || other.story().contains("=api up"),
        "{}",
        other.story()
    );
    assert_eq!(started(&sandbox), [""; 0]);
    // The end of the session is the end of those who joined it; what others need stays up.
    let mut third = join();
    third.idle();
    assert_eq!(first.end(Signal::INT).0, 130);
    let status = third.envrun.wait().unwrap();
    assert_eq!(status.code(), Some(130));
    sandbox.save("src/a.txt", "d\n");
    other.idle();
    assert_eq!(started(&sandbox), ["api"]);
    assert_eq!(other.end(Signal::INT).0, 130);
    // And the next one is the first again.
    let first = Session::start(&sandbox, &targets);
    assert_eq!(started(&sandbox), ["api", "db big", "web red"]);
    assert!(!first.end(Signal::INT).1.contains("joins"));
}

#[test]
fn ctrl_c_again_and_again_hurries_a_session_that_lets_go_of_its_services() {
    let sandbox = Sandbox::new(
        r#"service "deaf" { run "trap '' TERM INT; echo up; while :; do sleep 1000; done"; ready { log "^up$" }; timeout "10m" }"#,
    );
    let mut session = Session::start(&sandbox, &["deaf"]);
    for level in 1..=3 {
        session.signal(Signal::INT);
        let told = session.wait(|event, _| event["event"] == "interrupted");
        assert_eq!(told["level"], level, "{told}");
        if level == 1 {
            // What it is given, and that everybody waits for it, is told at once.
            let stopping = session.wait(|event, _| event["event"] == "service-changed");
            assert_eq!((&stopping["state"], &stopping["kill_ms"]), (&"stopping".into(), &600_000.into()));
        }
    }
    let stopped = session.wait(|event, _| event["event"] == "service-changed" && event["state"] == "stopped");
    assert_eq!(session.name(&stopped), "deaf");
    let ended = session.wait(|event, _| event["event"] == "session-ended");
    assert_eq!(ended["exit"], 130, "{ended}");
    assert_eq!(session.envrun.wait().unwrap().code(), Some(130));
    let at = |name: &str| session.heard.iter().position(|event| event["event"] == name).unwrap();
    assert!(at("session-ending") < at("service-changed"));
}

/// How a session that is left says so, in words.
#[test]
fn what_is_stopped_is_said() {
    let sandbox = three();
    let mut command = sandbox.command(&["dev", "-o", "prefix", "look", "web"]);
    let mut envrun = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let err = BufReader::new(envrun.stderr.take().unwrap());
    let (send, lines) = channel();
    std::thread::spawn(move || err.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
    let mut told = Vec::new();
    let mut until = |text: &str| {
        loop {
            let line = lines.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no `{text}`: {told:#?}"));
            let found = line.contains(text);
            told.push(line.clone());
            if found {
                return line;
            }
        }
    };
    until("watching");
    kill_process(Pid::from_child(&envrun), Signal::INT).unwrap();
    let asked = until("SIGINT");
    assert!(asked.starts_with("SIGINT: stopping ") && asked.ends_with("; once more for SIGTERM"), "{asked}");
    let last = until("stopped in ");
    assert!(last.starts_with("api, web ") || last.starts_with("web, api "), "{last}");
    assert_eq!(envrun.wait().unwrap().code(), Some(130));
    let stopped = told.iter().filter(|line| line.trim_start().starts_with("stopped ")).count();
    assert_eq!(stopped, 2, "{told:#?}");
}

/// The second look, at folders that came with the first run, is nobody's wish: what ended meanwhile rests, and what has done
/// its work does not begin anew.
#[test]
fn a_second_look_starts_nothing() {
    let sandbox = Sandbox::with(&[
        (
            "Envfile.kdl",
            r#"
            service "dies" { run "echo dies >> starts; echo up; while [ ! -e end ]; do sleep 0.02; done; exit 3"; ready { log "^up$" } }
            service "once" { run "echo once >> starts" }
            task "gen" { needs "dies"; needs "once" state="completed"; inputs "in.txt"; outputs "gen"; run "mkdir -p gen/deep; cp in.txt gen/deep; touch end; while [ ! -e gone ]; do sleep 0.02; done" }
            task "use" { needs "gen"; inputs "gen/**"; outputs "o.txt"; run "cp gen/deep/in.txt o.txt" }
            "#,
        ),
        ("in.txt", "1\n"),
        ("starts", ""),
    ]);
    let mut session = Session::begin(sandbox.command(&["dev", "-o", "json", "use"]));
    session.wait(|event, _| event["state"] == "failed");
    sandbox.write("gone", "");
    session.idle();
    assert_eq!(started(&sandbox), ["dies", "once"], "{}", session.story());
    // A change is somebody's wish: what ended is needed again. What has done its work, for the same, has done it.
    std::fs::remove_file(sandbox.root().join("end")).unwrap();
    sandbox.save("in.txt", "2\n");
    let said = session.idle();
    assert_eq!(started(&sandbox), ["dies"], "{said:?}");
    assert_eq!(sandbox.read("o.txt"), "2\n", "{said:?}");
}

/// Who joins is shown what a node printed that failed before.
#[test]
fn who_joins_sees_why_something_failed() {
    let sandbox = Sandbox::new(r#"task "bad" { run "echo the reason; exit 3" }; task "good" { run "true" }"#);
    let _first = Session::start(&sandbox, &["bad", "good"]);
    let mut command = sandbox.command(&["dev", "-o", "prefix", "bad", "good"]);
    let mut second = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(second.stderr.take().unwrap()).lines();
    let told: Vec<String> =
        lines.map_while(Result::ok).take_while(|line| !line.contains("watching")).collect();
    kill_process(Pid::from_child(&second), Signal::INT).unwrap();
    second.wait().unwrap();
    let out = std::io::read_to_string(second.stdout.take().unwrap()).unwrap();
    assert!(out.contains("the reason") || told.iter().any(|line| line.contains("the reason")), "{told:#?}");
    assert!(!told.iter().any(|line| line.contains("output: none")), "{told:#?}");
}
