//! `examples/ade-platform`: releases of a real server with a real database, through testing to production and back.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::mpsc;
use std::time::Duration;

use crate::example::Example;
use crate::sandbox::{Ran, need};

struct Platform {
    example: Example,
    /// Asked for by `ENVRUN_TEST_ROUNDS`.
    long: bool,
    ports: [(&'static str, u16); 3],
    /// Where alerts arrive.
    alerts: TcpListener,
}

impl Platform {
    fn new() -> Option<Self> {
        if !(need("python3", "python3") && need("sqlite3", "sqlite3")) {
            return None;
        }
        let example = Example::of("ade-platform");
        let ports = [("development", "18100"), ("testing", "18110"), ("production", "18120")];
        let ports = ports.map(|(env, named)| (env, example.port(named)));
        // Minutes are the example's; seconds do here.
        let long = std::env::var_os("ENVRUN_TEST_ROUNDS").is_some();
        let held = format!("    verify \"health\" for=\"{}\"\n", if long { "25s" } else { "2s" });
        let texts = [
            ("for=\"1m\"", "for=\"1ms\""),
            ("for=\"60s\"", "for=\"1s\""),
            ("    verify \"health\"\n", &held),
        ];
        example.replace("Envfile.kdl", &texts);
        // How quick this machine is says nothing of the example.
        example.replace("app/slo.py", &[("P95 = 0.01, 0.2", "P95 = 0.01, 60")]);
        example.init();
        let alerts = TcpListener::bind("127.0.0.1:0").unwrap();
        Some(Self { example, long, ports, alerts })
    }

    /// Tells production where alerts go.
    fn alerted(&self) {
        let url = format!("http://{}/", self.alerts.local_addr().unwrap());
        let mut command = self.sandbox.command(&["secret", "set", "production", "ALERT_URL"]);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(url.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
    }

    /// The next alert.
    fn alert(&self) -> mpsc::Receiver<String> {
        let (send, receive) = mpsc::channel();
        let alerts = self.alerts.try_clone().unwrap();
        std::thread::spawn(move || {
            let mut reader = BufReader::new(alerts.accept().unwrap().0);
            let (mut line, mut length) = (String::new(), 0);
            while reader.read_line(&mut line).unwrap() > 2 {
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                line.clear();
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            reader.get_mut().write_all(b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
            let _ = send.send(String::from_utf8(body).unwrap());
        });
        receive
    }

    fn ask(&self, env: &str, method: &str, path: &str, body: &str) -> String {
        let port = self.ports.iter().find(|(name, _)| *name == env).unwrap().1;
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let token = if method == "POST" {
            self.sandbox.ok(&["secret", "get", env, "API_TOKEN"]).stdout.trim().to_owned()
        } else {
            String::new()
        };
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.0\r\nAuthorization: Bearer {token}\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split_once("\r\n\r\n").expect("an answer has a head and a body").1.trim().to_owned()
    }

    fn revision(&self, env: &str) -> String {
        self.ask(env, "GET", "/revision", "")
    }
}

impl std::ops::Deref for Platform {
    type Target = Example;

    fn deref(&self) -> &Example {
        &self.example
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        for (env, _) in self.ports {
            self.end(&format!("environments/{env}/shared/pid"));
        }
    }
}

#[track_caller]
fn says(ran: &Ran, texts: &[&str]) {
    for text in texts {
        assert!(ran.stdout.contains(text) || ran.stderr.contains(text), "no `{text}`: {}", ran.text());
    }
}

#[test]
fn from_testing_to_production_and_back_with_its_data() {
    let Some(platform) = Platform::new() else { return };
    let run = |args: &[&str], exit| platform.run(args, exit);
    platform.alerted();
    let first = platform.git(&["rev-parse", "HEAD"]);
    run(&["production.deploy"], 3);
    run(&["testing.deploy"], 0);
    run(&["testing.integration"], 0);
    run(&["production.deploy"], 0);
    assert_eq!(platform.revision("production"), first);
    assert_eq!(platform.ask("production", "POST", "/notes", "one"), "noted");

    // The tree moves on; production gets what testing proved.
    platform.sandbox.write("app/more.py", "\"\"\"More.\"\"\"\n");
    let second = platform.commit("more");
    run(&["production.deploy"], 0);
    assert_eq!(platform.revision("production"), first);
    run(&["testing.deploy"], 0);
    run(&["production.deploy"], 0);
    assert_eq!(platform.revision("production"), second);
    assert_eq!(platform.ask("production", "POST", "/notes", "two"), "noted");

    // A release that turns bad only after the switch, in the long form after 20 seconds: the one before it answers again.
    let turns_bad = if platform.long { 20.0 } else { 1.2 };
    let health = format!("def is_well(uptime):\n    return uptime < {turns_bad}\n");
    platform.sandbox.write("app/health.py", health);
    let third = platform.commit("turns bad");
    let began = std::time::Instant::now();
    let ran = run(&["testing.deploy"], 5);
    assert!(began.elapsed().as_secs_f64() >= turns_bad, "it was well until then");
    assert_eq!(platform.revision("testing"), second);
    assert_eq!(platform.ask("testing", "GET", "/health", ""), "well");
    assert!(ran.stderr.contains("not well"), "{}", ran.stderr);
    assert_ne!(third, second);

    let ran = run(&["status", "production", "--check", "-o", "quiet"], 0);
    says(&ran, &["healthy", "1 commit ahead"]);
    assert_eq!(platform.ask("production", "GET", "/notes", ""), "one,two");
    run(&["rollback", "production", "--with-data"], 0);
    assert_eq!(platform.revision("production"), first);
    assert_eq!(platform.ask("production", "GET", "/notes", ""), "one");
    run(&["rollback", "production", "--to", &second, "--emergency"], 0);

    // Whether the newest backup is one: restored beside production, and asked. Its table is part of it.
    run(&["production.db"], 0);
    let drill = run(&["drill.drill"], 0);
    says(&drill, &["`production.db` is taken from copy ", "1 notes"]);
    assert!(!platform.sandbox.exists("environments/drill/shared/ade.sqlite"), "it is gone afterwards");
    std::fs::remove_file(platform.sandbox.root().join("environments/production/shared/ade.sqlite")).unwrap();
    run(&["production.db"], 0);
    says(&run(&["drill.drill"], 1), &["no such table: notes"]);
    assert_eq!(platform.revision("production"), second);

    // What became of all of it, for a program that collects figures.
    run(&["production.metrics"], 0);
    let figures = platform.sandbox.read("metrics/production.prom");
    assert!(figures.contains("envrun_deploys_total{env=\"production\",outcome=\"live\"} 3\n"), "{figures}");
}

#[test]
fn what_breaks_its_promises_does_not_stay_in_production_and_somebody_hears_of_it() {
    let Some(platform) = Platform::new() else { return };
    // What production must have is missing: nothing is asked of anybody else, and nothing runs.
    platform.run(&["testing.deploy"], 0);
    let refused = platform.run(&["production.deploy"], 3);
    says(&refused, &["ALERT_URL", "envrun secret set production ALERT_URL"]);
    platform.alerted();
    platform.run(&["production.deploy"], 0);
    let first = platform.revision("production");

    // It says that it is well. Its figures say otherwise.
    let counted = ("self.server.errors += status >= 500", "self.server.errors += 1");
    platform.replace("app/server.py", &[counted]);
    let second = platform.commit("fails");
    platform.run(&["testing.deploy"], 0);
    let alert = platform.alert();
    let ran = platform.run(&["production.deploy"], 5);
    says(&ran, &["100.0% of the requests failed", "promised are less than 1%"]);
    assert_eq!(platform.revision("production"), first);
    let alert = alert.recv_timeout(Duration::from_secs(60)).expect("somebody hears of it");
    let alert: serde_json::Value = serde_json::from_str(&alert).expect("it is one line of JSON");
    assert_eq!(alert["failed"], "production.deploy");
    let why = alert["why"].as_str().unwrap();
    assert!(why.contains("slo") && why.contains(&first[..10]), "{why}");
    platform.run(&["log", alert["run"].as_str().unwrap()], 0);
    assert_ne!(first, second);
}

#[test]
fn a_service_is_tested_as_it_is_here_and_what_one_environment_lacks_is_added() {
    let Some(platform) = Platform::new() else { return };
    platform
        .sandbox
        .write("environments/development/.env", "CONTACT=ada@example.org\nAPI_TOKEN=of-development\n");
    // What is tested is started for it, and stopped.
    let ran = platform.run(&["integration"], 0);
    says(&ran, &["ready development.api", "stopped development.api", "Ran 2 tests"]);
    TcpStream::connect(("127.0.0.1", platform.ports[0].1)).expect_err("nothing is left behind");

    let differ = platform.run(&["env", "diff", "development", "production", "--strict"], 1);
    says(&differ, &["CONTACT    ada@example.org", "1 of them not explained"]);
    let synced = platform.run(&["env", "sync", "development", "testing"], 0);
    says(&synced, &["+ CONTACT = ada@example.org", "API_TOKEN is not added: a secret"]);
    let testing = platform.sandbox.read("environments/testing/.env");
    assert!(testing.ends_with("CONTACT=ada@example.org\n") && !testing.contains("TOKEN"), "{testing}");
    platform.run(&["testing.deploy"], 0);
    assert_eq!(platform.ask("testing", "GET", "/contact", ""), "ada@example.org");
    // Whoever has development's token writes nothing here.
    assert_ne!(platform.run(&["secret", "get", "testing", "API_TOKEN"], 0).stdout.trim(), "of-development");
}

#[test]
fn a_version_is_released_shipped_and_gone_back_to_by_its_name() {
    let Some(platform) = Platform::new() else { return };
    platform.alerted();
    let origin = platform.sandbox.root().with_file_name("origin");
    platform.git(&["init", "--quiet", "--bare", origin.to_str().unwrap()]);
    platform.git(&["remote", "add", "origin", origin.to_str().unwrap()]);
    platform.git(&["push", "--quiet", "--set-upstream", "origin", "main"]);
    let ship = || {
        platform.run(&["testing.deploy"], 0);
        platform.run(&["production.deploy"], 0);
    };
    let wrong = platform.run(&["release", "huge"], 2);
    says(&wrong, &["huge", "major"]);
    platform.sandbox.write("app/more.py", "");
    platform.commit("more");
    platform.run(&["release", "minor", "more of it"], 0);
    assert_eq!(platform.sandbox.read("VERSION"), "0.2.0\n");
    ship();
    let released = platform.revision("production");
    platform.sandbox.write("app/more.py", "# much\n");
    platform.commit("much");
    // The push fails: the next run finishes the same version.
    let away = origin.with_file_name("away");
    std::fs::rename(&origin, &away).unwrap();
    platform.run(&["release", "patch", "much of it"], 1);
    assert_eq!(platform.sandbox.read("VERSION"), "0.2.1\n");
    std::fs::rename(&away, &origin).unwrap();
    platform.run(&["release", "patch", "much of it"], 0);
    assert_eq!(platform.sandbox.read("VERSION"), "0.2.1\n");
    assert_eq!(platform.git(&["ls-remote", "--tags", "--refs", "origin"]).lines().count(), 2);
    ship();
    assert_ne!(platform.revision("production"), released);
    platform.run(&["rollback", "production", "--to", "v0.2.0"], 0);
    assert_eq!(platform.revision("production"), released);
}
