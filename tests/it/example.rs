//! An example of the repository in a folder of its own, with a repository around it where it wants one.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::sandbox::{Ran, Sandbox, git};

/// What runs of an example leave in the checkout: no part of it.
const MADE: [&str; 6] = ["build", "deployed", ".envrun", "environments", "metrics", "__pycache__"];

/// An example, and where it runs.
pub struct Example {
    pub sandbox: Sandbox,
}

impl Example {
    /// A copy of `examples/<name>`.
    pub fn of(name: &str) -> Self {
        let mut sandbox = Sandbox::with(&[]);
        // What an example's commands call by its name is the program that is tested.
        let ours = Path::new(env!("CARGO_BIN_EXE_envrun")).parent().expect("a program lies in a folder");
        let theirs = std::env::var("PATH").unwrap_or_default();
        sandbox.set("PATH", &format!("{}:{theirs}", ours.display()));
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name), &sandbox.root());
        Self { sandbox }
    }

    /// Puts other texts into a file in place of these, each of which must be there.
    #[track_caller]
    pub fn replace(&self, path: &str, texts: &[(&str, &str)]) {
        let mut text = self.sandbox.read(path);
        for (old, new) in texts {
            assert!(text.contains(old), "{path} has no {old}");
            text = text.replace(old, new);
        }
        self.sandbox.write(path, text);
    }

    /// A port that is free, in place of one that the Envfile names.
    #[track_caller]
    pub fn port(&self, named: &str) -> u16 {
        let port = free_port();
        self.replace("Envfile.kdl", &[(named, &port.to_string())]);
        port
    }

    /// Makes it a repository on `main`, with one commit.
    pub fn init(&self) -> String {
        self.git(&["init", "--quiet", "-b", "main"]);
        // Of the repository, so that the example's own commands can commit too.
        self.git(&["config", "user.name", "ada"]);
        self.git(&["config", "user.email", "ada@example.org"]);
        self.commit("first")
    }

    pub fn git(&self, args: &[&str]) -> String {
        git(&self.sandbox.root(), "ada", args)
    }

    /// Commits whatever there is, and gives the revision.
    pub fn commit(&self, message: &str) -> String {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "-m", message]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// Runs a command of the program and wants this status.
    #[track_caller]
    pub fn run(&self, args: &[&str], exit: i32) -> Ran {
        let ran = self.sandbox.run(args);
        assert_eq!(ran.exit, exit, "envrun {args:?}\n{}", ran.text());
        ran
    }

    /// Ends the process whose number is in a file, if it is there. Not by the example's own `stop`: a guard may be right to
    /// refuse that.
    pub fn end(&self, pid: &str) {
        if let Ok(pid) = std::fs::read_to_string(self.sandbox.root().join(pid)) {
            let _ = Command::new("kill").arg(pid.trim()).stderr(std::process::Stdio::null()).status();
        }
    }
}

/// A free port that the system gives to nobody who does not ask for it by number: the servers here are started again. None that
/// an Envfile names: it would be replaced in its turn.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed) + std::process::id() * 64;
        let port = 10_000 + u16::try_from(number % 5_000).expect("it is below 5,000");
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        if MADE.iter().any(|made| name == *made) {
            continue;
        }
        if entry.path().is_dir() {
            copy(&entry.path(), &to.join(name));
        } else {
            // A link to what it shares with others becomes a file.
            std::fs::copy(entry.path(), to.join(name)).unwrap();
        }
    }
}
