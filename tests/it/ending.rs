//! However a run ends, its processes end with it: Ctrl-C once and twice, SIGTERM, SIGHUP, `kill -9` of envrun.

#![cfg(target_os = "linux")]

use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::sandbox::{Sandbox, mkfifo};

/// A tree of processes that do not want to end: a child, one that ignores SIGTERM and SIGINT, one in a session of its own,
/// one whose parent is gone. Each has `$MARK` on its command line, so that it is found whoever its parent is.
const TREE: &str = r##"
task "tree" {
    arg "mark"
    run #"""
        sleep "1000.$ARG_MARK" &
        (trap '' TERM INT HUP; sleep "2000.$ARG_MARK") &
        setsid sleep "3000.$ARG_MARK" &
        (sleep "4000.$ARG_MARK" &)
        (setsid sh -c "sleep 5000.$ARG_MARK & sleep 6000.$ARG_MARK" &)
        # Every one of them is there before the test goes on.
        until test "$(grep -alE "[0-9]000\.$ARG_MARK" /proc/[0-9]*/cmdline 2> /dev/null | wc -l)" -ge 7; do :; done
        echo ready > started
        wait
        """#
}
task "follows" { needs "tree"; run "touch followed" }
"##;

struct Running {
    sandbox: Sandbox,
    child: Child,
    mark: String,
}

impl Running {
    fn start(mark: &str, targets: &[&str]) -> Self {
        let sandbox = Sandbox::new(TREE);
        // Every test has its own mark, and so has every run of the tests.
        let mark = format!("{}{mark}", std::process::id());
        let fifo = sandbox.root().join("started");
        mkfifo(&fifo);
        let args: Vec<&str> = [&["-k", "tree", &mark], targets].concat();
        let child = sandbox.command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // Opening a fifo to read waits for the one who writes: the tree is up.
        let mut word = String::new();
        std::fs::File::open(fifo).unwrap().read_to_string(&mut word).unwrap();
        assert_eq!(word, "ready\n");
        let running = Self { sandbox, child, mark };
        assert!(running.left().len() >= 7, "{:?}", running.left());
        running
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// The command lines of processes of the tree that are alive.
    fn left(&self) -> Vec<String> {
        let ending = format!("000.{}", self.mark);
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            // Whoever ends between the listing and the reading is not left.
            let Ok(bytes) = std::fs::read(entry.path().join("cmdline")) else { continue };
            let line = String::from_utf8_lossy(&bytes).replace('\0', " ");
            if line.trim_end().ends_with(&ending) {
                found.push(line);
            }
        }
        found
    }

    /// Waits for envrun's end and then for that of the tree; what is left after five seconds stays.
    #[track_caller]
    fn ends(&mut self, within: Duration) -> std::process::ExitStatus {
        let status = self.child.wait().unwrap();
        let until = Instant::now() + within;
        while !self.left().is_empty() && Instant::now() < until {
            std::thread::yield_now();
        }
        assert_eq!(self.left(), [""; 0], "left behind");
        assert!(!self.sandbox.exists("followed"), "no dependant of an interrupted task runs");
        status
    }
}

#[test]
fn ctrl_c_twice_ends_everything() {
    let mut running = Running::start("1", &["follows"]);
    running.signal(Signal::INT);
    running.signal(Signal::TERM);
    running.signal(Signal::INT);
    assert_eq!(running.ends(Duration::ZERO).code(), Some(130));
}

#[test]
fn ctrl_c_once_ends_what_does_not_resist() {
    let mut running = Running::start("2", &["follows"]);
    running.signal(Signal::INT);
    // What ignores the signal is ended by envrun itself after its patience, so that one Ctrl-C is enough.
    assert_eq!(running.ends(Duration::ZERO).code(), Some(130));
}

#[test]
fn sigterm_and_sighup_end_everything() {
    for (mark, signal) in [("3", Signal::TERM), ("4", Signal::HUP)] {
        let mut running = Running::start(mark, &[]);
        running.signal(signal);
        running.signal(signal);
        running.signal(signal);
        assert_eq!(running.ends(Duration::ZERO).code(), Some(130), "{signal:?}");
    }
}

#[test]
fn kill_9_leaves_nothing_behind() {
    let mut running = Running::start("5", &["follows"]);
    running.signal(Signal::KILL);
    assert_eq!(running.ends(Duration::from_secs(5)).signal(), Some(9));
    // The next run knows nothing of the one that was killed.
    let ran = running.sandbox.run(&["list"]);
    assert_eq!(ran.exit, 0, "{}", ran.text());
}

#[test]
fn a_background_process_that_holds_the_pipe_does_not_hang_the_run() {
    let mark = format!("{}6", std::process::id());
    let sandbox = Sandbox::new(&format!(r#"task "holds" {{ run "sleep 7000.{mark} & echo done" }}"#));
    let begun = Instant::now();
    let ran = sandbox.ok(&["holds"]);
    assert!(begun.elapsed() < Duration::from_secs(60), "it waited for the sleeper");
    assert!(format!("{}{}", ran.stdout, ran.stderr).contains("done"), "{}", ran.text());
    let running =
        Running { mark, child: sandbox.command(&["list"]).stdout(Stdio::null()).spawn().unwrap(), sandbox };
    assert_eq!(running.left(), [""; 0]);
}

#[test]
fn a_run_is_clean_under_valgrind() {
    if !crate::sandbox::need("valgrind", "valgrind") {
        return;
    }
    let sandbox = Sandbox::new(
        r#"
        task "made" { inputs "Envfile.kdl"; outputs "made"; run "sleep 0.01 & cat Envfile.kdl > made" }
        task "bad" { needs "made"; run "exit 3" }
        "#,
    );
    // A miss, a failure, then a hit, then nothing to do.
    for (targets, exit) in [(&["made", "bad"][..], 1), (&["-B", "made"], 0), (&["made"], 0), (&["made"], 0)] {
        let plain = sandbox.command(targets);
        let mut command = std::process::Command::new("valgrind");
        command
            .args(["-q", "--error-exitcode=99", "--leak-check=full", "--errors-for-leak-kinds=definite"])
            .args(["--show-leak-kinds=definite", "--child-silent-after-fork=yes"])
            .arg(plain.get_program())
            .args(plain.get_args())
            .current_dir(sandbox.root())
            .env_clear()
            .envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))))
            .stdin(Stdio::null());
        let ran = sandbox.ran(command.output().unwrap());
        assert_eq!(ran.exit, exit, "{targets:?}\n{}", ran.text());
    }
}
