//! What a person in front of a terminal sees, and what the keys do.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::sandbox::{Sandbox, need};

/// Long enough for the slowest machine; nobody waits so long but a test that fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// A shell on a terminal, and somebody in front of it.
pub struct Person {
    script: Child,
    keys: ChildStdin,
    screen: Receiver<Vec<u8>>,
    /// What came and was not looked at yet.
    seen: String,
    until: Instant,
}

impl Person {
    /// In front of a shell of 80 columns and 24 lines, in the sandbox.
    pub fn sits_down(sandbox: &Sandbox, term: &str) -> Self {
        let mut script = Command::new("script");
        let shell = "exec bash --norc --noprofile -i";
        script.args(["-qec", shell, "/dev/null"]).current_dir(sandbox.root()).env_clear();
        let envrun = sandbox.command(&[]);
        script.envs(envrun.get_envs().filter_map(|(name, value)| Some((name, value?))));
        script.env("TERM", term).env("PS1", "sh> ").env("LANG", "C.UTF-8");
        let mut script = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (keys, mut out) = (script.stdin.take().unwrap(), script.stdout.take().unwrap());
        let (send, screen) = channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = out.read(&mut bytes) {
                if send.send(bytes[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        let mut person = Self { script, keys, screen, seen: String::new(), until: Instant::now() + PATIENCE };
        person.sees("sh> ");
        person.types(&format!("stty cols 80 rows 24; alias envrun={}\r", env!("CARGO_BIN_EXE_envrun")));
        person.sees("sh> ");
        person
    }

    pub fn types(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits for a text; what came before it.
    #[track_caller]
    pub fn sees(&mut self, text: &str) -> String {
        loop {
            if let Some(at) = self.seen.find(text) {
                let rest = self.seen.split_off(at + text.len());
                return std::mem::replace(&mut self.seen, rest);
            }
            let left = self.until.saturating_duration_since(Instant::now());
            match self.screen.recv_timeout(left) {
                Ok(bytes) => self.seen.push_str(&String::from_utf8_lossy(&bytes)),
                Err(_) => panic!("`{text}` does not come:\n{:?}", self.seen),
            }
        }
    }

    /// The shell has the terminal, with a line that is edited and echoed.
    #[track_caller]
    pub fn has_a_usable_shell(&mut self) {
        self.types("stty -a | tr ' ;' '\\n\\n' | grep -x -e icanon -e echo | sort | tr '\\n' +; echo end\r");
        self.sees("echo+icanon+end");
        self.sees("sh> ");
    }
}

impl Drop for Person {
    fn drop(&mut self) {
        // The terminal is gone with it, and everybody on it hears of that.
        let _ = self.script.kill();
        let _ = self.script.wait();
    }
}

fn stage() -> Sandbox {
    Sandbox::with(&[(
        "Envfile.kdl",
        r#"
        service "web" { run "echo words of web; exec sleep 1000"; ready { log "words" } }
        task "slow" { needs "web"; run "echo at work; while [ ! -e go ]; do sleep 0.02; done" }
        task "quick" { run "printf '\\033[2Jcleared\\033]0;title\\007\\n'" }
        "#,
    )])
}

/// Keys are heard while something runs; Ctrl-Z gives the shell its terminal, and `fg` takes it again.
#[test]
fn keys_work_during_a_run_and_the_shell_gets_its_terminal_back() {
    if !need("script", "bsdutils") {
        return;
    }
    let sandbox = stage();
    let mut person = Person::sits_down(&sandbox, "xterm");
    person.types("envrun dev slow quick\r");
    let before = person.sees("at work");
    // What moves cursors or sets titles never gets through from a task.
    assert!(!before.contains("\x1b[2J") && !before.contains("\x1b]0;"), "{before:?}");
    person.sees("r rerun");
    person.types("s");
    person.sees("LAST EXIT");
    person.sees("ready");
    person.types("l");
    person.sees("the log of");
    let offer = person.sees("  web");
    person.types(if offer.contains("1  ") && !offer.contains("2  ") { "1" } else { "?" });
    person.types("?");
    person.sees("this help");
    person.types("\x1a");
    person.sees("Stopped");
    person.has_a_usable_shell();
    person.types("fg\r");
    person.sees("q quit");
    person.types("s");
    person.sees("LAST EXIT");
    sandbox.write("go", "");
    person.sees("watching");
    person.types("q");
    person.sees("sh> ");
    person.types("echo status $?\r");
    person.sees("status 0");
    person.sees("sh> ");
    person.has_a_usable_shell();
}

/// A run that ends by itself: `q` stops it, a word that is typed ahead for the shell does not.
#[test]
fn a_run_is_steered_too() {
    if !need("script", "bsdutils") {
        return;
    }
    let sandbox = stage();
    let mut person = Person::sits_down(&sandbox, "xterm");
    person.types("envrun slow quick\r");
    person.sees("l logs");
    person.types("cq");
    person.types("\r");
    person.types("?");
    person.sees("this help");
    person.types("q");
    person.sees("SIGINT");
    person.sees("sh> ");
    person.types("echo status $?\r");
    person.sees("status 130");
    person.sees("sh> ");
    person.has_a_usable_shell();
}

/// Panes have a screen of their own, and give the ordinary one back with what was said of the last run.
#[test]
fn panes_come_and_go() {
    if !need("script", "bsdutils") {
        return;
    }
    let sandbox = stage();
    let mut person = Person::sits_down(&sandbox, "xterm");
    person.types("envrun dev --ui=tui slow quick\r");
    person.sees("\x1b[?1049h");
    person.sees("quick");
    person.types("j");
    // Only cells that differ are written: a space over a space is none.
    person.sees("words");
    person.types("?");
    person.sees("page");
    person.types("?");
    person.types("\x1a");
    person.sees("\x1b[?1049l");
    person.sees("Stopped");
    person.has_a_usable_shell();
    person.types("fg\r");
    person.sees("\x1b[?1049h");
    person.types("q");
    person.sees("\x1b[?1049l");
    person.sees("run slow");
    person.sees("sh> ");
    person.has_a_usable_shell();
}

/// Killed in the middle of it, envrun leaves a terminal that can be used, with nobody's help: dash puts nothing in order.
#[test]
fn a_killed_session_gives_the_terminal_back() {
    if !need("script", "bsdutils") || !need("dash", "dash") {
        return;
    }
    for (ui, last) in [("tui", "\x1b[?1049l"), ("auto", "\x1b[?25h")] {
        let sandbox = stage();
        sandbox.write("go", "");
        let mut person = Person::sits_down(&sandbox, "xterm");
        // Whoever looks at once may be faster than what puts things in order.
        let look = "until stty -a | grep -q ' icanon' && stty -a | grep -q ' echo '; do sleep 0.05; done; echo in order";
        let envrun = env!("CARGO_BIN_EXE_envrun");
        let run = format!("sh -c 'echo $$ > pid; exec {envrun} dev --ui={ui} slow quick'\n{look}\n");
        sandbox.write("killed.sh", &run);
        person.types("dash killed.sh\r");
        person.sees("quick");
        person.sees(if ui == "tui" { "watching" } else { "? help" });
        let pid: i32 = sandbox.read("pid").trim().parse().unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
        person.sees(last);
        person.sees("in order\r\n");
        person.has_a_usable_shell();
    }
}

/// No view, no keys, no sequence at all where the terminal cannot do more than print.
#[test]
fn a_dumb_terminal_gets_text_only() {
    if !need("script", "bsdutils") {
        return;
    }
    let sandbox = stage();
    sandbox.write("go", "");
    let mut person = Person::sits_down(&sandbox, "dumb");
    person.types("envrun slow quick; echo status $?\r");
    let all = person.sees("status 0");
    let own = all.split_once("status $?").map_or(&*all, |(_, own)| own);
    assert!(own.contains("done slow") && !own.contains('\x1b'), "{own:?}");
}

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

/// What a command that has the terminal asks stands below what is said of it, and Ctrl-C there is its own.
#[test]
fn a_session_goes_on_when_ctrl_c_ends_a_command_that_has_the_terminal() {
    if !need("script", "bsdutils") {
        return;
    }
    let sandbox = Sandbox::new(
        r#"task "ask" { interactive; retry 3; run "printf 'your name'; printf '? '; read name; echo got $name" }"#,
    );
    let mut person = Person::sits_down(&sandbox, "xterm");
    person.types("envrun dev ask\r");
    for _ in 0..2 {
        let before = person.sees("your name? ");
        assert!(before.contains("because"), "{before:?}");
        person.types("\x03");
        person.sees("ended by SIGINT");
        assert!(!person.sees("watching").contains("your name? "), "nobody asked for another try");
        person.types("r");
    }
    person.sees("your name? ");
    person.types("Ada\r");
    person.sees("got Ada");
    person.sees("watching");
    person.types("q");
    person.sees("sh> ");
    person.has_a_usable_shell();
}

/// Keys are heard also where everything was up before, and in panes too.
#[test]
fn whoever_attaches_to_what_is_up_has_keys() {
    if !need("script", "bsdutils") {
        return;
    }
    let sandbox =
        Sandbox::new(r#"service "web" { run "echo words; exec sleep 1000"; ready { log "words" } }"#);
    let mut person = Person::sits_down(&sandbox, "xterm");
    person.types("envrun up\r");
    person.sees("sh> ");
    person.types("envrun up --attach\r");
    person.sees("r restart");
    person.types("s");
    person.sees("LAST EXIT");
    person.types("q");
    person.sees("sh> ");
    person.types("envrun up --attach --ui=tui\r");
    person.sees("? help");
    person.types("?");
    person.sees("page down");
    person.types("?q");
    person.sees("sh> ");
    person.has_a_usable_shell();
    person.types("envrun down\r");
    person.sees("web stopped");
}

/// Ctrl-S, or a connection that is dead: nothing can be written any more, and so nothing is said. Whoever insists is obeyed.
#[test]
fn a_terminal_that_takes_nothing_keeps_nobody() {
    if !need("script", "bsdutils") {
        return;
    }
    let sandbox =
        Sandbox::new(r#"task "loud" { run "echo $$ > loud; exec yes" }; task "more" { run "exec yes" }"#);
    let envrun = sandbox.command(&[]);
    let mut script = Command::new("script");
    let run =
        format!("sh -c 'echo $$ > pid; exec {} run loud more'; echo $? > exit", env!("CARGO_BIN_EXE_envrun"));
    script.args(["-qec", &run, "/dev/null"]).current_dir(sandbox.root()).env_clear();
    script.envs(envrun.get_envs().filter_map(|(name, value)| Some((name, value?)))).env("TERM", "xterm");
    let mut script = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    // Nobody reads it.
    let out = script.stdout.take().unwrap();
    let until = Instant::now() + PATIENCE;
    let wait = |what: &str, is_so: &dyn Fn() -> bool| {
        while !is_so() {
            assert!(Instant::now() < until, "{what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    let number = |name: &str| {
        let text = std::fs::read_to_string(sandbox.root().join(name)).unwrap_or_default();
        text.ends_with('\n').then(|| Pid::from_raw(text.trim().parse().unwrap()).unwrap())
    };
    wait("the pipe is full", &|| rustix::io::ioctl_fionread(&out).unwrap() > 32_000);
    wait("it runs", &|| number("loud").is_some());
    let (pid, loud) = (number("pid").unwrap(), number("loud").unwrap());
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        kill_process(pid, signal).unwrap();
    }
    wait("it ends", &|| sandbox.root().join("exit").metadata().is_ok_and(|exit| exit.len() > 0));
    assert_eq!(sandbox.read("exit"), "130\n");
    wait("nothing is left", &|| rustix::process::test_kill_process(loud).is_err());
    drop(out);
    script.kill().unwrap();
    script.wait().unwrap();
}

/// Whoever asks to stop is not shown for a minute what was printed meanwhile: it is in the log.
#[test]
fn little_is_on_its_way_to_a_slow_terminal() {
    if !need("script", "bsdutils") {
        return;
    }
    let line = "x".repeat(80);
    let sandbox = Sandbox::new(&format!(
        r#"task "loud" {{ run "echo $$ > loud; exec yes {line}" }}; task "more" {{ run "exec sleep 1000" }}"#
    ));
    let envrun = sandbox.command(&[]);
    let mut script = Command::new("script");
    let run = format!("sh -c 'echo $$ > pid; exec {} run loud more'", env!("CARGO_BIN_EXE_envrun"));
    script.args(["-qec", &run, "/dev/null"]).current_dir(sandbox.root()).env_clear();
    script.envs(envrun.get_envs().filter_map(|(name, value)| Some((name, value?)))).env("TERM", "xterm");
    let mut script = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = script.stdout.take().unwrap();
    let until = Instant::now() + PATIENCE;
    let number = |name: &str| {
        let text = std::fs::read_to_string(sandbox.root().join(name)).unwrap_or_default();
        text.ends_with('\n').then(|| text.trim().to_owned())
    };
    // Nobody reads it, until the command cannot go on: it has written no more for ten looks.
    let (mut written, mut same) = (String::new(), 0);
    while same < 10 {
        assert!(Instant::now() < until, "it goes on");
        std::thread::sleep(Duration::from_millis(20));
        let Some(loud) = number("loud") else { continue };
        let io = std::fs::read_to_string(format!("/proc/{loud}/io")).unwrap_or_default();
        let now = io.lines().find(|line| line.starts_with("wchar")).unwrap_or_default().to_owned();
        same =
            if now == written && rustix::io::ioctl_fionread(&out).unwrap() > 32_000 { same + 1 } else { 0 };
        written = now;
    }
    let pid = Pid::from_raw(number("pid").unwrap().parse().unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    let (send, all) = channel();
    std::thread::spawn(move || {
        let mut shown = Vec::new();
        let _ = out.read_to_end(&mut shown);
        send.send(shown)
    });
    let shown = all.recv_timeout(PATIENCE).expect("it ends");
    assert!(shown.len() < 2 << 20, "{} bytes", shown.len());
    assert!(String::from_utf8_lossy(&shown).contains("interrupted"));
    script.wait().unwrap();
}
