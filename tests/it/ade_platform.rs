//! `examples/ade-platform`: releases of a real server with a real database, through testing to production and back.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;

use crate::sandbox::{Ran, Sandbox, need};

struct Platform {
    sandbox: Sandbox,
    /// Asked for by `ENVRUN_TEST_ROUNDS`.
    long: bool,
    ports: [(&'static str, u16); 2],
}

impl Platform {
    fn new() -> Option<Self> {
        if !(need("python3", "python3") && need("sqlite3", "sqlite3")) {
            return None;
        }
        let sandbox = Sandbox::with(&[]);
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/ade-platform");
        for path in [
            "Envfile.kdl",
            ".gitignore",
            "app/server.py",
            "app/health.py",
            "tasks/releases.kdl",
            "tests/test_health.py",
        ] {
            sandbox.write(path, std::fs::read(from.join(path)).unwrap());
        }
        // A minute is the example's; seconds do here. Ports are whatever is free.
        let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let ports = [("testing", free()), ("production", free())];
        let text = sandbox.read("Envfile.kdl").replace("for=\"60s\"", "for=\"1s\"");
        let text = text.replace("18110", &ports[0].1.to_string()).replace("18120", &ports[1].1.to_string());
        let long = std::env::var_os("ENVRUN_TEST_ROUNDS").is_some();
        let held = format!("    verify \"health\" for=\"{}\"\n", if long { "25s" } else { "2s" });
        sandbox.write("Envfile.kdl", text.replace("    verify \"health\"\n", &held));
        let platform = Self { sandbox, long, ports };
        platform.git(&["init", "--quiet", "-b", "main"]);
        platform.commit();
        Some(platform)
    }

    fn git(&self, args: &[&str]) -> String {
        let output = Command::new("git")
            .args(["-c", "user.name=ada", "-c", "user.email=ada@example.org"])
            .args(args)
            .current_dir(self.sandbox.root())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .output()
            .unwrap();
        assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn commit(&self) -> String {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "-m", "a change"]);
        self.git(&["rev-parse", "HEAD"])
    }

    fn ask(&self, env: &str, method: &str, path: &str, body: &str) -> String {
        let port = self.ports.iter().find(|(name, _)| *name == env).unwrap().1;
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let length = body.len();
        let request = format!("{method} {path} HTTP/1.0\r\nContent-Length: {length}\r\n\r\n{body}");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split_once("\r\n\r\n").expect("an answer has a head and a body").1.trim().to_owned()
    }

    fn revision(&self, env: &str) -> String {
        self.ask(env, "GET", "/revision", "")
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        // Not by `envrun production.stop`: its guard is right to refuse that from a tree that testing never saw.
        for (env, _) in self.ports {
            let pid = self.sandbox.root().join(format!("environments/{env}/shared/pid"));
            if let Ok(pid) = std::fs::read_to_string(pid) {
                let _ = Command::new("kill").arg(pid.trim()).status();
            }
        }
    }
}

#[track_caller]
fn exits(ran: &Ran, status: i32) {
    assert_eq!(ran.exit, status, "{}", ran.text());
}

#[test]
fn from_testing_to_production_and_back_with_its_data() {
    let Some(platform) = Platform::new() else { return };
    let run = |args: &[&str]| platform.sandbox.run(args);
    let first = platform.git(&["rev-parse", "HEAD"]);
    exits(&run(&["production.deploy"]), 3);
    exits(&run(&["testing.deploy"]), 0);
    exits(&run(&["production.deploy"]), 0);
    assert_eq!(platform.revision("production"), first);
    assert_eq!(platform.ask("production", "POST", "/notes", "one"), "noted");

    // The tree moves on; production gets what testing proved.
    platform.sandbox.write("app/more.py", "\"\"\"More.\"\"\"\n");
    let second = platform.commit();
    exits(&run(&["production.deploy"]), 0);
    assert_eq!(platform.revision("production"), first);
    exits(&run(&["testing.deploy"]), 0);
    exits(&run(&["production.deploy"]), 0);
    assert_eq!(platform.revision("production"), second);
    assert_eq!(platform.ask("production", "POST", "/notes", "two"), "noted");

    // A release that turns bad only after the switch, in the long form after 20 seconds: the one before it answers again.
    let turns_bad = if platform.long { 20.0 } else { 1.2 };
    let health = format!("def is_well(uptime):\n    return uptime < {turns_bad}\n");
    platform.sandbox.write("app/health.py", health);
    let third = platform.commit();
    let began = std::time::Instant::now();
    let ran = run(&["testing.deploy"]);
    exits(&ran, 5);
    assert!(began.elapsed().as_secs_f64() >= turns_bad, "it was well until then");
    assert_eq!(platform.revision("testing"), second);
    assert_eq!(platform.ask("testing", "GET", "/health", ""), "well");
    assert!(ran.stderr.contains("not well"), "{}", ran.stderr);
    assert_ne!(third, second);

    let ran = run(&["status", "production", "--check", "-o", "quiet"]);
    exits(&ran, 0);
    assert!(ran.stdout.contains("healthy") && ran.stdout.contains("1 commit ahead"), "{}", ran.stdout);
    assert_eq!(platform.ask("production", "GET", "/notes", ""), "one,two");
    exits(&run(&["rollback", "production", "--with-data"]), 0);
    assert_eq!(platform.revision("production"), first);
    assert_eq!(platform.ask("production", "GET", "/notes", ""), "one");
    exits(&run(&["rollback", "production", "--to", &second, "--emergency"]), 0);

    // Whether the newest backup is one: restored beside production, and asked. Its table is part of it.
    exits(&run(&["production.db"]), 0);
    let drill = run(&["drill.drill"]);
    exits(&drill, 0);
    assert!(drill.stdout.contains("`production.db` is taken from copy "), "{}", drill.text());
    assert!(drill.stdout.contains("1 notes"), "{}", drill.text());
    assert!(!platform.sandbox.exists("environments/drill/shared/ade.sqlite"), "it is gone afterwards");
    std::fs::remove_file(platform.sandbox.root().join("environments/production/shared/ade.sqlite")).unwrap();
    exits(&run(&["production.db"]), 0);
    let drill = run(&["drill.drill"]);
    exits(&drill, 1);
    assert!(drill.stderr.contains("no such table: notes"), "{}", drill.text());
    assert_eq!(platform.revision("production"), second);
}
