//! Whatever happens to envrun, its processes end with it.

use std::io::{BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::process::{Child, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

use crate::sandbox::{Sandbox, need};

/// Processes of every kind that are hard to catch; each writes its number before `ready` is printed.
const TREE: &str = r##"
    task "daemon" {
        run "sh" "daemon.sh"
    }
    task "tree" {
        run "sh" "tree.sh"
    }
    task "stubborn" {
        run "trap '' INT TERM HUP; sh tree.sh stubborn; sleep 1000"
    }
    task "after-daemon" {
        needs "daemon"
        run "sh" "tree.sh"
    }
    task "forks" {
        run "sh" "forks.sh"
    }
    task "nested" {
        run "ENVRUN" "-o" "stream" "tree"
    }
"##;

/// A process in a session of its own, with no parent, no variable and nothing open; says when it is there.
const DAEMON: &str = "
    rm -f hidden
    (setsid env -i sh -c 'echo $$ > hidden.new; mv hidden.new hidden; exec sleep 1000' 0<&- >/dev/null 2>&1 3<&- 4<&- 5<&- &)
    until test -e hidden; do :; done
    cat hidden >> $1
";

const TREE_SH: &str = "
    sh daemon.sh pids
    sleep 1000 & echo $! >> pids
    if test \"${1:-}\" = stubborn; then
        (sh -c 'trap \"\" INT TERM HUP; while :; do sleep 1000; done' & echo $! >> pids)
    fi
    setsid sleep 1000 & echo $! >> pids
    sleep 1000 & kill -STOP $!; echo $! >> pids
    echo $$ >> pids
    echo ready
    sleep 1000
";

/// Never the same process for long.
const FORKS: &str = "
    if test \"${1:-first}\" = first; then echo $$ >> pids; sh forks.sh next & echo ready; wait; sleep 1000; fi
    setsid sh forks.sh next >/dev/null 2>&1 &
";

struct Run {
    sandbox: Sandbox,
    envrun: Child,
    output: BufReader<std::process::ChildStdout>,
}

impl Run {
    /// Starts a task and waits until everything it starts is there.
    fn of(task: &str) -> Self {
        let sandbox = Sandbox::with(&[
            ("Envfile.kdl", &TREE.replace("ENVRUN", env!("CARGO_BIN_EXE_envrun"))),
            ("daemon.sh", &DAEMON.replace("$1", "${1:-spared}")),
            ("tree.sh", TREE_SH),
            ("forks.sh", FORKS),
        ]);
        let mut envrun =
            sandbox.command(&[task]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut output = BufReader::new(envrun.stdout.take().unwrap());
        let mut line = String::new();
        while !line.contains("ready") {
            line.clear();
            if output.read_line(&mut line).unwrap() == 0 {
                let mut told = String::new();
                envrun.stderr.take().unwrap().read_to_string(&mut told).unwrap();
                panic!("envrun ended before the processes were there:\n{told}");
            }
        }
        Self { sandbox, envrun, output }
    }

    /// The processes of the task that are still there. To be asked for before they are to end.
    fn processes(&self) -> Vec<(Pid, OwnedFd)> {
        pids(&self.sandbox.read("pids"))
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.envrun), signal).unwrap();
    }

    /// Waits until envrun has ended; its exit status, or the signal's number below zero.
    fn end(&mut self) -> i32 {
        use std::os::unix::process::ExitStatusExt;
        // Nobody else may hold the output open: this is where `envrun … | cat` would wait.
        std::io::copy(&mut self.output, &mut std::io::sink()).unwrap();
        let status = self.envrun.wait().unwrap();
        status.code().unwrap_or_else(|| -status.signal().unwrap())
    }
}

fn pids(text: &str) -> Vec<(Pid, OwnedFd)> {
    let open = |line: &str| {
        let pid = Pid::from_raw(line.parse().unwrap()).unwrap();
        (pid, pidfd_open(pid, PidfdFlags::empty()).unwrap_or_else(|error| panic!("{line} is gone: {error}")))
    };
    text.lines().map(open).collect()
}

/// Waits until these have ended, but not for ever.
#[track_caller]
fn all_end(processes: Vec<(Pid, OwnedFd)>) {
    for (pid, ending) in processes {
        let mut fds = [PollFd::new(&ending, PollFlags::IN)];
        let ended = poll(&mut fds, Some(&Timespec { tv_sec: 20, tv_nsec: 0 })).unwrap() == 1;
        if !ended {
            let status = std::fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero()));
            kill_process(pid, Signal::KILL).unwrap();
            panic!("a process survived:\n{}", status.unwrap_or_default());
        }
    }
}

#[test]
fn killed_envrun_leaves_nothing_behind() {
    for _ in 0..5 {
        let mut run = Run::of("stubborn");
        let processes = run.processes();
        run.signal(Signal::KILL);
        all_end(processes);
        assert_eq!(run.end(), -9);
    }
}

#[test]
fn one_signal_ends_what_listens() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let mut run = Run::of("tree");
        let processes = run.processes();
        run.signal(signal);
        assert_eq!(run.end(), 130);
        all_end(processes);
    }
}

#[test]
fn three_signals_end_what_does_not() {
    let mut run = Run::of("stubborn");
    let processes = run.processes();
    // Two that come close together may be one to the system.
    let (done, ended) = std::sync::mpsc::channel();
    let envrun = Pid::from_child(&run.envrun);
    let presses = std::thread::spawn(move || {
        while ended.recv_timeout(std::time::Duration::from_millis(50)).is_err() {
            kill_process(envrun, Signal::INT).unwrap();
        }
    });
    std::io::copy(&mut run.output, &mut std::io::sink()).unwrap();
    done.send(()).unwrap();
    presses.join().unwrap();
    // One that comes when the run is over does what it does by default.
    let exit = run.end();
    assert!([130, -2].contains(&exit), "{exit}");
    all_end(processes);
}

#[test]
fn a_process_that_is_never_the_same_is_caught() {
    let marked = |sandbox: &Sandbox| {
        // Whoever runs the script holds no name in common but that of the folder it runs in.
        let root = sandbox.root();
        std::fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .any(|entry| std::fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd == root))
    };
    for signal in [Signal::KILL, Signal::INT] {
        let mut run = Run::of("forks");
        run.signal(signal);
        run.end();
        let patience = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while marked(&run.sandbox) {
            assert!(std::time::Instant::now() < patience, "it still forks");
            std::thread::yield_now();
        }
    }
}

#[test]
fn a_run_inside_a_run_ends_with_it() {
    for (signal, exit) in [(Signal::KILL, -9), (Signal::INT, 130)] {
        let mut run = Run::of("nested");
        let processes = run.processes();
        run.signal(signal);
        assert_eq!(run.end(), exit);
        all_end(processes);
    }
}

#[test]
fn a_daemon_that_was_left_on_purpose_survives() {
    for signal in [Signal::KILL, Signal::INT] {
        let mut run = Run::of("after-daemon");
        let processes = run.processes();
        let [(daemon, ending)] = &pids(&run.sandbox.read("spared"))[..] else {
            panic!("there is one daemon")
        };
        run.signal(signal);
        run.end();
        all_end(processes);
        let mut fds = [PollFd::new(ending, PollFlags::IN)];
        assert_eq!(poll(&mut fds, Some(&Timespec::default())), Ok(0), "the daemon has ended");
        kill_process(*daemon, Signal::KILL).unwrap();
    }
}

#[test]
fn ctrl_z_stops_everything_and_goes_on_later() {
    let sandbox =
        Sandbox::new(r#"task "a" { run "mkfifo go; echo $$; read -r line < go; echo $line"; timeout "1h" }"#);
    let mut envrun = sandbox.command(&["a"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut output = BufReader::new(envrun.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    let stopped = |pid: &str| std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap().contains(") T ");
    let wait = |pid: &str| {
        while !stopped(pid) {
            std::thread::yield_now()
        }
    };
    kill_process(Pid::from_child(&envrun), Signal::TSTP).unwrap();
    wait(&envrun.id().to_string());
    wait(line.trim());
    kill_process(Pid::from_child(&envrun), Signal::CONT).unwrap();
    sandbox.write("go", "over\n");
    let mut rest = String::new();
    output.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "over\n");
    assert!(envrun.wait().unwrap().success());
}

#[test]
fn a_killed_interactive_command_leaves_the_terminal_as_it_was() {
    if !need("script", "bsdutils") {
        return;
    }
    let sandbox = Sandbox::new(r#"task "a" { interactive; run "stty -echo raw; kill -9 $$" }"#);
    let text = format!("stty echo cooked; {} a; stty -a", env!("CARGO_BIN_EXE_envrun"));
    let envrun = sandbox.command(&[]);
    let mut script = std::process::Command::new("script");
    script.args(["-qec", &text, "/dev/null"]).current_dir(sandbox.root()).env_clear().stdin(Stdio::null());
    script.envs(envrun.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = String::from_utf8_lossy(&script.output().unwrap().stdout).into_owned();
    assert!(output.contains("SIGKILL"), "it was not killed: {output}");
    let modes: Vec<_> = output.split_whitespace().map(|mode| mode.trim_end_matches(';')).collect();
    assert!(modes.contains(&"echo") && modes.contains(&"icanon"), "{output}");
}

#[test]
fn a_task_that_runs_itself_comes_to_an_end() {
    let text = format!("task \"a\" {{ run \"'{}' a\" }}", env!("CARGO_BIN_EXE_envrun"));
    let ran = Sandbox::new(&text).run(&["a"]);
    assert_eq!(ran.exit, 1);
    assert!(ran.stderr.contains("15 times over: a task runs itself"), "{}", ran.text());
}
