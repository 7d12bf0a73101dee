use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;
#[cfg(target_os = "linux")]
use std::time::Instant;

use rustix::process::Pid;
#[cfg(target_os = "linux")]
use rustix::process::{PidfdFlags, pidfd_open};

use super::*;

/// A folder of its own, and the tester's PATH.
struct Place {
    dir: tempfile::TempDir,
    env: Environ,
    processes: std::sync::Arc<Processes>,
}

#[derive(Debug)]
struct Ran {
    exit: Exit,
    left_behind: bool,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Place {
    fn new() -> Self {
        let path = std::env::var_os("PATH").expect("tests are run with a PATH");
        Self {
            dir: tempfile::tempdir().unwrap(),
            env: Environ::new([("PATH", path)]),
            processes: Processes::new(Duration::from_secs(10)),
        }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().canonicalize().unwrap()
    }

    fn file(&self, name: &str, mode: u32, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    fn spec<'a>(&'a self, invocation: Invocation<'a>) -> CommandSpec<'a> {
        CommandSpec {
            invocation,
            dir: self.dir.path(),
            env: &self.env,
            io: Io::Captured,
            timeout: None,
            grace: Duration::from_secs(5),
            cleanup: false,
            owner: None,
            watch: None,
        }
    }

    fn ran(&self, spec: &CommandSpec<'_>) -> Result<Ran, StartError> {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let ended = run(spec, &self.processes, &mut |stream, bytes| match stream {
            Stream::Stdout => stdout.extend_from_slice(bytes),
            Stream::Stderr => stderr.extend_from_slice(bytes),
        })?;
        Ok(Ran { exit: ended.exit, left_behind: ended.left_behind, stdout, stderr })
    }

    fn shell(&self, text: &str) -> Ran {
        let shell = Shell::default();
        self.ran(&self.spec(Invocation::Shell { text, shell: &shell })).unwrap()
    }

    fn argv(&self, words: &[&str]) -> Result<Ran, StartError> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        self.ran(&self.spec(Invocation::Argv(&words)))
    }

    #[track_caller]
    fn refused(&self, words: &[&str]) -> String {
        let error = self.argv(words).expect_err("it should not start");
        let place = self.path().display().to_string();
        let hint = error.hint().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
        format!("{error}{hint}")
            .replace(&place, "$PLACE")
            .replace(&self.dir.path().display().to_string(), "$PLACE")
    }
}

fn pid(text: &[u8]) -> Pid {
    let text = std::str::from_utf8(text).unwrap().trim();
    Pid::from_raw(text.parse().unwrap_or_else(|_| panic!("no process number: {text:?}"))).unwrap()
}

/// Whether a process has ended; whoever has to be told of it may not have asked yet.
#[cfg(target_os = "linux")]
fn is_over(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    stat.rsplit(") ").next().is_none_or(|state| state.is_empty() || state.starts_with(['Z', 'X']))
}

#[test]
fn output_arrives_in_order_on_each_stream() {
    let place = Place::new();
    let ran =
        place.shell("i=0; while [ $i -lt 1000 ]; do echo out $i; echo err $i >&2; i=$((i+1)); done; exit 3");
    assert_eq!(ran.exit, Exit::Status(3));
    let lines = |word: &str| (0..1000).map(|i| format!("{word} {i}\n")).collect::<String>();
    assert_eq!(String::from_utf8(ran.stdout).unwrap(), lines("out"));
    assert_eq!(String::from_utf8(ran.stderr).unwrap(), lines("err"));
    assert!(!ran.left_behind);
}

#[test]
fn no_byte_is_lost_or_changed() {
    let place = Place::new();
    // NULs, every byte, bytes that are no UTF-8, no newline at the end.
    let bytes: Vec<u8> = (0..=255).cycle().take(1_000_003).collect();
    place.file("bytes", 0o644, &bytes);
    let ran = place.shell("cat bytes; cat bytes bytes >&2");
    assert_eq!(ran.exit, Exit::Status(0));
    assert!(ran.stdout == bytes);
    assert!(ran.stderr == [&bytes[..], &bytes[..]].concat());
}

#[test]
fn large_output_passes_through_a_slow_listener() {
    let place = Place::new();
    let words = ["seq".to_owned(), "1".to_owned(), "3000000".to_owned()];
    let mut hash = blake3::Hasher::new();
    let (mut size, mut pieces) = (0, 0_u32);
    run(&place.spec(Invocation::Argv(&words)), &place.processes, &mut |_, bytes| {
        size += bytes.len();
        hash.update(bytes);
        pieces += 1;
        if pieces.is_multiple_of(16) {
            std::thread::yield_now();
        }
    })
    .unwrap();
    let whole = std::process::Command::new("seq").args(["1", "3000000"]).output().unwrap().stdout;
    assert_eq!(size, whole.len());
    assert_eq!(hash.finalize(), blake3::hash(&whole));
}

#[test]
fn it_sees_its_variables_and_no_others() {
    let mut place = Place::new();
    place.env.set("A", "1");
    place.env.set("PWD", "/somewhere/else");
    let ran = place.argv(&["env"]).unwrap();
    let mut lines: Vec<_> = std::str::from_utf8(&ran.stdout).unwrap().lines().collect();
    lines.retain(|line| !line.starts_with("PATH="));
    assert_eq!(lines, ["A=1", &format!("PWD={}", place.dir.path().display())]);
    // As under a shell.
    let ran = place.shell("echo $PWD $A; pwd");
    let dir = place.dir.path().display();
    assert_eq!(String::from_utf8(ran.stdout).unwrap(), format!("{dir} 1\n{dir}\n"));
}

#[test]
fn it_reads_nothing_and_dies_of_a_closed_pipe() {
    let place = Place::new();
    assert_eq!(place.argv(&["cat"]).unwrap().exit, Exit::Status(0));
    assert_eq!(place.shell("kill -PIPE $$").exit, Exit::Signal(13));
    assert_eq!(place.shell("kill -KILL $$").exit, Exit::Signal(9));
}

#[test]
fn shell_text_without_syntax_starts_without_a_shell() {
    let place = Place::new();
    place.file("parent", 0o755, "#!/bin/sh\nset -- $(cat /proc/$PPID/stat)\necho $1\n");
    let parent = |text| String::from_utf8(place.shell(text).stdout).unwrap().trim().parse::<u32>().unwrap();
    assert_eq!(parent("./parent"), std::process::id());
    assert_ne!(parent("./parent; :"), std::process::id());
}

#[test]
fn a_shell_stops_at_a_failure_and_at_an_unset_variable() {
    let place = Place::new();
    assert_eq!(place.shell("false; echo on").stdout, b"");
    assert_ne!(place.shell("echo $NOT_SET; true").exit, Exit::Status(0));
}

#[test]
fn text_too_long_for_one_word_runs_all_the_same() {
    let place = Place::new();
    let text = format!("x='{}'\necho ${{#x}}", "x".repeat(300_000));
    assert_eq!(place.shell(&text).stdout, b"300000\n");
}

#[test]
fn a_script_without_a_first_line_is_the_shells() {
    let place = Place::new();
    place.file("script", 0o755, "echo \"$0\" \"$1\"\n");
    let ran = place.argv(&["./script", "a b"]).unwrap();
    let expected = format!("{} a b\n", place.dir.path().join("script").display());
    assert_eq!(String::from_utf8(ran.stdout).unwrap(), expected);
}

#[test]
fn what_cannot_start_says_why() {
    let mut place = Place::new();
    place.file("bin/deploy", 0o755, "#!/bin/sh\n");
    place.file("bin/notes", 0o644, "");
    place.file("plain", 0o644, "#!/bin/sh\n");
    place.file("windows", 0o755, "#!/bin/sh\r\necho\r\n");
    place.file("perl6", 0o755, "#! /opt/perl6 -w\n");
    place.file("elf", 0o755, b"\x7fELF\0\0\0\0");
    let bin = place.path().join("bin");
    place.env.set("PATH", &bin);
    let check = |words: &[&str], expected: expect_test::Expect| expected.assert_eq(&place.refused(words));
    check(
        &["deplyo"],
        expect_test::expect![[r"
        `deplyo` was not found; looked in PATH=$PLACE/bin
        hint: did you mean `deploy`?"]],
    );
    check(&["xyz"], expect_test::expect!["`xyz` was not found; looked in PATH=$PLACE/bin"]);
    check(&[""], expect_test::expect!["`` was not found; looked in PATH=$PLACE/bin"]);
    check(
        &["notes"],
        expect_test::expect![[r#"
            `$PLACE/bin/notes` is not executable
            hint: `chmod +x $PLACE/bin/notes`"#]],
    );
    check(&["./gone"], expect_test::expect!["there is no `$PLACE/gone`"]);
    check(&["./bin"], expect_test::expect!["`$PLACE/bin` is a folder"]);
    check(
        &["./plain"],
        expect_test::expect![[r"
        `$PLACE/plain` is not executable
        hint: `chmod +x $PLACE/plain`"]],
    );
    check(
        &["./perl6"],
        expect_test::expect!["`$PLACE/perl6` begins with `#!/opt/perl6`, which is not there"],
    );
    assert!(place.refused(&["./windows"]).ends_with("hint: its lines end in CR LF; save it with LF alone"));
    check(&["./elf"], expect_test::expect!["`$PLACE/elf` is not a program for this system"]);
    check(&["deploy", "a\0b"], expect_test::expect!["`a␀b` holds a NUL character"]);
    let long = "x".repeat(200_000);
    assert!(
        place
            .refused(&["deploy", &long])
            .starts_with("its words and variables are longer than the system takes")
    );
    place.env.set("BIG", &long);
    let said = place.refused(&["deploy"]);
    assert!(said.ends_with("hint: `BIG` alone has 200000 bytes: hand it over in a file"), "{said}");
}

#[test]
fn a_missing_folder_is_named() {
    let place = Place::new();
    let dir = place.dir.path().join("gone");
    let words = ["true".to_owned()];
    let spec = CommandSpec { dir: &dir, ..place.spec(Invocation::Argv(&words)) };
    let error = place.ran(&spec).expect_err("it should not start");
    assert!(matches!(&error, StartError::Dir { dir: named, .. } if *named == dir), "{error}");
}

#[test]
fn a_tool_that_moves_during_the_run_is_found_again() {
    let mut place = Place::new();
    let (first, second) = (place.path().join("first"), place.path().join("second"));
    place.env.set("PATH", format!("{}:{}", first.display(), second.display()));
    place.file("first/tool", 0o755, "#!/bin/sh\necho first\n");
    place.file("second/tool", 0o755, "#!/bin/sh\necho second\n");
    assert_eq!(place.argv(&["tool"]).unwrap().stdout, b"first\n");
    std::fs::remove_file(first.join("tool")).unwrap();
    assert_eq!(place.argv(&["tool"]).unwrap().stdout, b"second\n");
    assert!(place.argv(&["made"]).is_err());
    place.file("first/made", 0o755, "#!/bin/sh\necho made\n");
    assert_eq!(place.argv(&["made"]).unwrap().stdout, b"made\n");
}

#[test]
fn a_relative_folder_on_the_path_is_each_commands_own() {
    let mut place = Place::new();
    place.env.set("PATH", "bin");
    place.file("a/bin/tool", 0o755, "#!/bin/sh\necho a\n");
    place.file("b/bin/tool", 0o755, "#!/bin/sh\necho b\n");
    let words = ["tool".to_owned()];
    for name in ["a", "b"] {
        let dir = place.path().join(name);
        let ran = place.ran(&CommandSpec { dir: &dir, ..place.spec(Invocation::Argv(&words)) }).unwrap();
        assert_eq!(String::from_utf8(ran.stdout).unwrap().trim(), name);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_background_process_neither_holds_the_command_nor_outlives_it() {
    let place = Place::new();
    let begun = Instant::now();
    let ran = place.shell("sleep 1000 & echo $!");
    assert!(begun.elapsed() < Duration::from_secs(100), "it waited for the pipe");
    assert_eq!(ran.exit, Exit::Status(0));
    assert!(ran.left_behind);
    assert!(is_over(pid(&ran.stdout)));
    // One that does not hold the output is ended all the same.
    let ran = place.shell("sleep 1000 >/dev/null 2>&1 & echo $!");
    assert!(ran.left_behind);
    assert!(is_over(pid(&ran.stdout)));
}

#[cfg(target_os = "linux")]
#[test]
fn a_background_process_that_writes_for_ever_does_not_hold_the_command() {
    let place = Place::new();
    let ran = place.shell("echo first; yes & echo $! >&2");
    assert_eq!(ran.exit, Exit::Status(0));
    assert!(ran.stdout.starts_with(b"first\n"));
    assert!(is_over(pid(&ran.stderr)));
}

/// Starts a daemon: a process in a session of its own, whose parent ends; goes on when it has written its number.
const DAEMON: &str = "(setsid sh -c 'echo $$ > pid.new; mv pid.new pid; exec sleep 1000' >/dev/null 2>&1 &)
    until test -e pid; do :; done\n";

#[test]
#[cfg(target_os = "linux")]
fn a_daemon_of_a_command_that_ended_well_survives() {
    let place = Place::new();
    let ran = place.shell(DAEMON);
    assert_eq!(ran.exit, Exit::Status(0));
    assert!(!ran.left_behind);
    let daemon = pid(&std::fs::read(place.path().join("pid")).unwrap());
    drop(place);
    assert!(!is_over(daemon));
    rustix::process::kill_process(daemon, rustix::process::Signal::KILL).unwrap();
}

#[test]
#[cfg(target_os = "linux")]
fn a_daemon_of_a_command_that_failed_does_not() {
    let place = Place::new();
    let ran = place.shell(&format!("{DAEMON} exit 7"));
    assert_eq!(ran.exit, Exit::Status(7));
    assert!(is_over(pid(&std::fs::read(place.path().join("pid")).unwrap())));
    // It may hide as well as it likes.
    let place = Place::new();
    let ran = place.shell(&format!(
        "exec env -i PATH=\"$PATH\" sh -c '{} exit 7' 3<&- 4<&-",
        DAEMON.replace('\'', "\"")
    ));
    assert_eq!(ran.exit, Exit::Status(7));
    assert!(is_over(pid(&std::fs::read(place.path().join("pid")).unwrap())));
}

#[test]
fn a_command_that_takes_too_long_is_asked_to_end() {
    let place = Place::new();
    let shell = Shell::default();
    let text = "trap 'echo bye; exit 0' TERM; echo hello; while :; do sleep 0.01; done";
    let mut spec = place.spec(Invocation::Shell { text, shell: &shell });
    spec.timeout = Some(Duration::from_millis(300));
    let ran = place.ran(&spec).unwrap();
    assert_eq!(ran.exit, Exit::TimedOut);
    assert_eq!(ran.stdout, b"hello\nbye\n");
}

#[test]
#[cfg(target_os = "linux")]
fn a_command_that_does_not_end_when_asked_is_killed_with_all_that_descends_from_it() {
    let place = Place::new();
    let shell = Shell::default();
    // It ignores SIGTERM, and so does what it starts; one of these is stopped, one is in a session of its own.
    let text =
        format!("trap '' TERM; sleep 1000 & echo $!; kill -STOP $!; {DAEMON} sleep 1000 & echo $!; wait");
    let mut spec = place.spec(Invocation::Shell { text: &text, shell: &shell });
    spec.timeout = Some(Duration::from_millis(1000));
    spec.grace = Duration::from_millis(10);
    let ran = place.ran(&spec).unwrap();
    assert_eq!(ran.exit, Exit::TimedOut);
    let mut pids: Vec<Pid> =
        ran.stdout.split(|byte| *byte == b'\n').filter(|l| !l.is_empty()).map(pid).collect();
    pids.push(pid(&std::fs::read(place.path().join("pid")).unwrap()));
    assert_eq!(pids.len(), 3);
    pids.into_iter().for_each(|pid| assert!(is_over(pid)));
}

#[test]
fn many_commands_at_once() {
    let place = Place::new();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let place = &place;
            scope.spawn(move || {
                for round in 0..25 {
                    let text = format!("echo {thread} {round}; exit {}", round % 3);
                    let ran = place.shell(&text);
                    assert_eq!(ran.exit, Exit::Status(round % 3));
                    assert_eq!(String::from_utf8(ran.stdout).unwrap(), format!("{thread} {round}\n"));
                }
            });
        }
    });
    place.processes.wait();
}

#[test]
#[cfg(target_os = "linux")]
fn descriptors_are_given_back() {
    let place = Place::new();
    place.shell("true");
    let shell = Shell::default();
    let spec = place.spec(Invocation::Shell { text: "true; sleep 1000 &", shell: &shell });
    // A child of its own that shows what it was given.
    let ran = place.shell("ls -l /proc/self/fd");
    let fds = String::from_utf8(ran.stdout).unwrap();
    // What else is open there was open in the tester as well.
    let given = |fd: &str| fds.lines().find_map(|line| Some(line.split_once(&format!(" {fd} -> "))?.1));
    assert_eq!(given("0"), Some("/dev/null"));
    let (out, err) = (given("1").unwrap(), given("2").unwrap());
    assert!(out.starts_with("pipe:") && err.starts_with("pipe:") && out != err, "{fds}");
    let ran = place.ran(&spec).unwrap();
    assert!(ran.left_behind);
}

#[test]
#[cfg(target_os = "linux")]
fn the_guardian_is_there_while_it_is_needed() {
    let place = Place::new();
    assert_eq!(place.processes.guardian(), None, "nothing was started yet");
    place.shell("true");
    assert_eq!(place.processes.unguarded(), None);
    let pid = place.processes.guardian().expect("a command was started");
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).unwrap();
    let comm = format!("/proc/{}/comm", pid.as_raw_nonzero());
    while std::fs::read_to_string(&comm).unwrap() != "run-guardian\n" {
        std::thread::yield_now();
    }
    let open: Vec<_> = std::fs::read_dir(format!("/proc/{}/fd", pid.as_raw_nonzero()))
        .unwrap()
        .map(|entry| std::fs::read_link(entry.unwrap().path()).unwrap())
        .collect();
    assert_eq!(open.len(), 1, "{open:?}");
    assert!(open[0].to_string_lossy().starts_with("pipe:"), "{open:?}");
    let session = rustix::process::getsid(Some(pid)).unwrap();
    assert_eq!(session, pid);
    // Signals that end others do not end it.
    for signal in [rustix::process::Signal::INT, rustix::process::Signal::TERM, rustix::process::Signal::HUP]
    {
        rustix::process::kill_process(pid, signal).unwrap();
    }
    assert!(!is_over(pid));
    place.processes.finish();
    drop(place);
    let mut fds = [rustix::event::PollFd::new(&pidfd, rustix::event::PollFlags::IN)];
    assert_eq!(rustix::event::poll(&mut fds, Some(&rustix::event::Timespec::default())), Ok(1), "it is over");
    assert!(rustix::process::test_kill_process(pid).is_err(), "and nobody has to ask how");
}

/// Runs shell text on a thread of its own, and calls `then` with the first line it prints, as soon as it has.
fn while_running<R>(place: &Place, text: &str, then: impl FnOnce(&str) -> R) -> (Ran, R) {
    let (send, receive) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let command = scope.spawn(move || {
            let shell = Shell::default();
            let (mut stdout, mut told) = (Vec::new(), false);
            let mut spec = place.spec(Invocation::Shell { text, shell: &shell });
            spec.grace = Duration::from_millis(100);
            let ended = run(&spec, &place.processes, &mut |_, bytes| {
                stdout.extend_from_slice(bytes);
                if let (false, Some(end)) = (told, stdout.iter().position(|byte| *byte == b'\n')) {
                    told = true;
                    send.send(String::from_utf8(stdout[..end].to_vec()).unwrap()).unwrap();
                }
            });
            let ended = ended.unwrap();
            Ran { exit: ended.exit, left_behind: ended.left_behind, stdout, stderr: Vec::new() }
        });
        let result = then(&receive.recv().expect("the command prints a line"));
        (command.join().unwrap(), result)
    })
}

const SIGINT: i32 = signal_hook::consts::SIGINT;

#[test]
fn an_interrupt_is_passed_on_and_cancels() {
    let place = Place::new();
    let (ran, ()) = while_running(
        &place,
        "trap 'echo bye; exit 0' INT; echo ready; while :; do sleep 0.01; done",
        |_| {
            place.processes.interrupt(Interrupt::Told { signal: SIGINT });
        },
    );
    assert_eq!(ran.exit, Exit::Cancelled, "whatever it says, it did not do what it was there for");
    assert_eq!(ran.stdout, b"ready\nbye\n");
}

#[test]
fn after_an_interrupt_only_cleanup_starts() {
    let place = Place::new();
    let words = ["echo".to_owned(), "clean".to_owned()];
    let cleanup = CommandSpec { cleanup: true, ..place.spec(Invocation::Argv(&words)) };
    place.processes.interrupt(Interrupt::Told { signal: SIGINT });
    assert_eq!(place.shell("echo on").exit, Exit::Cancelled);
    let ran = place.ran(&cleanup).unwrap();
    assert_eq!((ran.exit, &ran.stdout[..]), (Exit::Status(0), &b"clean\n"[..]));
    place.processes.interrupt(Interrupt::Terminate);
    assert_eq!(place.ran(&cleanup).unwrap().exit, Exit::Cancelled);
    assert_eq!(place.processes.interrupted(), Some(Interrupt::Terminate));
    // What is weaker changes nothing.
    place.processes.interrupt(Interrupt::Told { signal: SIGINT });
    assert_eq!(place.processes.interrupted(), Some(Interrupt::Terminate));
    assert!(!place.processes.pause(Duration::from_secs(1000), false, None));
}

#[test]
#[cfg(target_os = "linux")]
fn what_does_not_end_is_ended_harder_by_itself() {
    let mut place = Place::new();
    place.processes = Processes::new(Duration::from_millis(50));
    let text = format!("trap '' INT TERM; {DAEMON} sh -c 'echo $$; exec sleep 1000' & wait; sleep 1000");
    let (ran, sleeps) = while_running(&place, &text, |line| {
        place.processes.interrupt(Interrupt::Told { signal: SIGINT });
        pid(line.as_bytes())
    });
    assert_eq!(ran.exit, Exit::Cancelled);
    assert!(is_over(sleeps));
    assert!(is_over(pid(&std::fs::read(place.path().join("pid")).unwrap())));
}

#[test]
#[cfg(target_os = "linux")]
fn a_stubborn_command_does_not_keep_others_from_cleaning_up() {
    let mut place = Place::new();
    place.processes = Processes::new(Duration::from_millis(50));
    let shell = Shell::default();
    let text = "echo ready; until test -e go; do sleep 0.01; done; echo clean";
    let cleanup = CommandSpec { cleanup: true, ..place.spec(Invocation::Shell { text, shell: &shell }) };
    std::thread::scope(|scope| {
        let ran = scope.spawn(|| place.ran(&cleanup).unwrap());
        let (stubborn, ()) =
            while_running(&place, "trap '' INT TERM; echo ready; sleep 1000; sleep 1000", |_| {
                place.processes.interrupt(Interrupt::Told { signal: SIGINT });
            });
        assert_eq!(stubborn.exit, Exit::Cancelled);
        assert_eq!(place.processes.interrupted(), Some(Interrupt::Told { signal: SIGINT }));
        std::fs::write(place.path().join("go"), "").unwrap();
        let ran = ran.join().unwrap();
        assert_eq!((ran.exit, &ran.stdout[..]), (Exit::Status(0), &b"ready\nclean\n"[..]));
    });
    assert_eq!(place.ran(&cleanup).unwrap().exit, Exit::Status(0), "what cleans up may start even now");
}

#[test]
#[cfg(target_os = "linux")]
fn an_interrupt_spares_what_a_finished_command_left_on_purpose() {
    let place = Place::new();
    assert_eq!(place.shell(DAEMON).exit, Exit::Status(0));
    let daemon = pid(&std::fs::read(place.path().join("pid")).unwrap());
    let (ran, ()) = while_running(&place, "trap '' INT TERM; echo ready; sleep 1000; sleep 1000", |_| {
        place.processes.interrupt(Interrupt::Kill);
    });
    assert_eq!(ran.exit, Exit::Cancelled);
    assert!(!is_over(daemon));
    rustix::process::kill_process(daemon, rustix::process::Signal::KILL).unwrap();
}

#[test]
fn the_commands_of_one_owner_are_ended_and_no_others() {
    let mut place = Place::new();
    place.processes = Processes::new(Duration::from_millis(50));
    let shell = Shell::default();
    let text = "trap '' TERM; echo ready; while :; do sleep 1000; done";
    let spec = CommandSpec { owner: Some(1), ..place.spec(Invocation::Shell { text, shell: &shell }) };
    std::thread::scope(|scope| {
        let (told, hear) = mpsc::channel();
        let place = &place;
        let owned = scope.spawn(move || {
            run(&spec, &place.processes, &mut |_, _| _ = told.send(())).map(|ended| ended.exit).unwrap()
        });
        hear.recv().unwrap();
        let (other, exit) =
            while_running(place, "echo ready; until test -e go; do sleep 0.01; done; exit 5", |_| {
                place.processes.cancel(1);
                let exit = owned.join().unwrap();
                place.file("go", 0o644, "");
                exit
            });
        assert_eq!((exit, other.exit), (Exit::Cancelled, Exit::Status(5)));
    });
    let words = ["echo".to_owned()];
    let owned = CommandSpec { owner: Some(1), ..place.spec(Invocation::Argv(&words)) };
    assert_eq!(place.ran(&owned).unwrap().exit, Exit::Cancelled, "nothing of theirs is started");
    assert!(!place.processes.pause(Duration::from_secs(1000), false, Some(1)));
    place.processes.admit(1);
    assert_eq!(place.ran(&owned).unwrap().exit, Exit::Status(0));
}

#[test]
fn one_run_does_not_touch_another() {
    let (one, other) = (Place::new(), Place::new());
    let (ran, ()) =
        while_running(&other, "echo ready; until test -e go; do sleep 0.01; done; exit 5", |_| {
            let (ran, ()) =
                while_running(&one, "trap '' INT TERM; echo ready; sleep 1000; sleep 1000", |_| {
                    one.processes.interrupt(Interrupt::Kill);
                });
            assert_eq!(ran.exit, Exit::Cancelled);
            other.file("go", 0o644, "");
        });
    assert_eq!(ran.exit, Exit::Status(5));
}
