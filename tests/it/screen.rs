//! What a person in front of a terminal sees, and what the keys do.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::sandbox::Sandbox;

/// Long enough for the slowest machine; nobody waits so long but a test that fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// Nothing runs in the session: what a service does is told all the same.
#[test]
fn a_service_that_fails_between_runs_is_told_with_its_last_lines() {
    let sandbox = Sandbox::with(&[(
        "Envfile.kdl",
        r#"
        service "web" {
            run "echo first words; while [ ! -e end ]; do sleep 0.02; done; echo last words; exit 3"
            ready { log "first words" }
            hint "look at the settings"
        }
        "#,
    )]);
    let mut command = sandbox.command(&["dev", "-o", "json", "web"]);
    let mut envrun = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let out = BufReader::new(envrun.stdout.take().unwrap());
    let (send, events) = channel();
    std::thread::spawn(move || {
        for line in out.lines() {
            let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
            if send.send(event).is_err() {
                return;
            }
        }
    });
    let mut told = Vec::new();
    let until = Instant::now() + PATIENCE;
    let mut wait = |is_it: &dyn Fn(&Value) -> bool| loop {
        let left = until.saturating_duration_since(Instant::now());
        let event = events.recv_timeout(left).unwrap_or_else(|_| panic!("nothing more: {told:#?}"));
        told.push(event.clone());
        if is_it(&event) {
            return event;
        }
    };
    wait(&|event| event["event"] == "watching");
    sandbox.write("end", "");
    wait(&|event| event["event"] == "output" && event["bytes"] == "last words\n");
    let failed = wait(&|event| event["event"] == "service-changed");
    assert_eq!(failed["state"], "failed");
    assert_eq!(failed["failure"]["lines"], serde_json::json!(["first words", "last words"]));
    assert_eq!(failed["hint"], "look at the settings");
    assert!(failed["log"].as_str().unwrap().starts_with(".envrun/logs/"), "{failed}");
    kill_process(Pid::from_child(&envrun), Signal::INT).unwrap();
    assert_eq!(envrun.wait().unwrap().code(), Some(130));
}
