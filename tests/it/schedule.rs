//! Nodes that run at given times: the runner with real runs, the list, and what other schedulers are told.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use expect_test::expect;
use rustix::process::{Pid, Signal, kill_process};

use crate::sandbox::Sandbox;

/// Long enough for a machine that does ten things at once.
const PATIENCE: Duration = Duration::from_secs(60);

/// A runner in the background, and what it says.
struct Runner {
    child: Child,
    lines: Receiver<String>,
    said: Vec<String>,
}

impl Runner {
    fn start(sandbox: &Sandbox) -> Self {
        Self::start_with(sandbox, &[])
    }

    fn start_with(sandbox: &Sandbox, options: &[&str]) -> Self {
        let mut command = sandbox.command(&["schedule", "run"]);
        command.args(options);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (send, lines) = mpsc::channel();
        let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let to = send.clone();
        std::thread::spawn(move || {
            BufReader::new(stdout).lines().map_while(Result::ok).all(|line| to.send(line).is_ok())
        });
        std::thread::spawn(move || {
            BufReader::new(stderr).lines().map_while(Result::ok).all(|line| send.send(line).is_ok())
        });
        let mut runner = Self { child, lines, said: Vec::new() };
        runner.wait_for("schedule");
        runner
    }

    /// The next line that has this in it.
    #[track_caller]
    fn wait_for(&mut self, text: &str) -> String {
        self.wait_for_any(&[text])
    }

    #[track_caller]
    fn wait_for_any(&mut self, texts: &[&str]) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    self.said.push(line.clone());
                    if texts.iter().any(|text| line.contains(text)) {
                        return line;
                    }
                }
                Err(error) => panic!("no line with {texts:?} ({error}); it said:\n{}", self.said.join("\n")),
            }
        }
    }

    /// Waits until there was a line with each of these, in whatever order: two streams keep none.
    #[track_caller]
    fn wait_for_both(&mut self, texts: [&str; 2]) {
        let before = self.said.len();
        let first = self.wait_for_any(&texts);
        let left = if first.contains(texts[0]) { texts[1] } else { texts[0] };
        if !self.said[before..].iter().any(|line| line.contains(left)) {
            self.wait_for(left);
        }
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Its status, after everything that it still had to say.
    #[track_caller]
    fn end(mut self) -> i32 {
        let deadline = Instant::now() + PATIENCE;
        while let Ok(line) = self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            self.said.push(line);
        }
        assert!(Instant::now() < deadline, "it does not end; it said:\n{}", self.said.join("\n"));
        self.child.wait().unwrap().code().unwrap_or(-1)
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        // A test that failed leaves nothing behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_stage_before_a_node_is_its_stage_at_its_time_too() {
    let sandbox = Sandbox::new(
        "env \"prod\"\nstage \"nightly\" env=\"prod\" { run \"say\" }\n\
         task \"say\" { run \"echo ${ENVRUN_STAGE:-none} $ENVRUN_ENV >> said\" }\n\
         schedule \"nightly.say\" every=\"1s\"\nschedule \"prod.say\" every=\"1s\"\n",
    );
    let mut runner = Runner::start(&sandbox);
    runner.wait_for_both(["`nightly.say` succeeded", "`prod.say` succeeded"]);
    let said = sandbox.read("said");
    assert!(said.contains("nightly prod\n") && said.contains("none prod\n"), "{said}");
    runner.signal(Signal::INT);
    runner.end();
}

/// Never due while a test runs.
const NEVER: &str = "cron=\"0 0 29 2 *\" tz=\"UTC\"";

#[test]
fn it_runs_what_is_due_and_goes_on_after_failures() {
    let sandbox = Sandbox::new(
        "env \"dev\"\ntask \"good\" { run \"echo fine\" }\ntask \"bad\" { run \"echo oops; exit 3\" }\n\
         task \"notify\" { run \"echo $ENVRUN_FAILED: $ENVRUN_REASON >> told\" }\n\
         schedule \"dev.good\" every=\"1s\"\nschedule \"dev.bad\" every=\"1s\" on-fail=\"notify\"\n",
    );
    let mut runner = Runner::start(&sandbox);
    runner.wait_for("`dev.good` succeeded");
    for _ in 0..2 {
        let line = runner.wait_for("`dev.bad` failed");
        assert!(
            line.contains("`dev.bad`: exit status 3; `envrun log ")
                && line.ends_with("`dev.notify` succeeded"),
            "{line}"
        );
    }
    let told = "dev.bad: `dev.bad`: exit status 3\n";
    assert!(sandbox.read("told").starts_with(&told.repeat(2)), "{}", sandbox.read("told"));
    // Each is a run of its own, with a record.
    let line = runner.wait_for("`dev.bad` failed");
    let run = line.split("envrun log ").nth(1).unwrap().split('`').next().unwrap();
    assert!(sandbox.ok(&["log", run]).text().contains("oops"));

    let second = sandbox.run(&["schedule", "run"]);
    assert_eq!(second.exit, 7, "{}", second.text());
    let says = format!("a runner of this project is there already: process {} on ", runner.child.id());
    assert!(second.stderr.contains(&says), "{}", second.text());
    let list = sandbox.ok(&["schedule", "list"]).stdout;
    assert!(list.contains("a runner is there: process"), "{list}");

    // A run may be cut by this, or not.
    runner.signal(Signal::TERM);
    runner.wait_for("stop");
    let exit = runner.end();
    assert!([0, 130].contains(&exit), "{exit}");
    assert!(sandbox.ok(&["schedule"]).stdout.contains("no runner is there"));
}

#[test]
fn a_run_that_goes_on_is_told_of_once_and_what_is_skipped_is_no_success() {
    let sandbox = Sandbox::new(
        "task \"slow\" { run \"until test -e go; do sleep 0.05; done\" }\ntask \"never\" { when { set \"NOPE\" }; run \"true\" }\n\
         schedule \"slow\" every=\"1s\"\nschedule \"never\" every=\"1s\"\n",
    );
    let mut runner = Runner::start(&sandbox);
    runner.wait_for("`slow` left out");
    for _ in 0..2 {
        runner.wait_for("`never` skipped");
    }
    sandbox.write("go", "");
    let over = runner.wait_for("`slow` succeeded");
    assert!(over.contains(" left out meanwhile"), "{over}");
    assert_eq!(
        runner.said.iter().filter(|line| line.contains("`slow` left out")).count(),
        1,
        "{:?}",
        runner.said
    );
    runner.signal(Signal::TERM);
    assert!([0, 130].contains(&runner.end()));
    sandbox.ok(&["never"]);
    let list = sandbox.ok(&["schedule"]).stdout;
    assert!(list.lines().any(|line| line.starts_with("never ") && line.contains(" skipped in ")), "{list}");
}

#[test]
fn a_runner_that_has_nothing_to_do_stops_well() {
    let sandbox = Sandbox::new(&format!("task \"a\" {{ run \"true\" }}\nschedule \"a\" {NEVER}\n"));
    for signal in [Signal::TERM, Signal::INT] {
        let runner = Runner::start(&sandbox);
        runner.signal(signal);
        assert_eq!(runner.end(), 0);
    }
}

#[test]
fn a_run_that_is_stopped_with_the_runner_has_ended_before_it() {
    let sandbox = Sandbox::new(
        "task \"long\" { run \"trap 'echo ended > ended; exit 1' INT TERM; echo begun > begun; while :; do sleep 0.05; done\" }\n\
         schedule \"long\" every=\"1s\"\n",
    );
    let mut runner = Runner::start(&sandbox);
    // The next time comes while it goes on.
    runner.wait_for("`long` left out");
    assert!(sandbox.exists("begun"));
    runner.signal(Signal::INT);
    runner.wait_for("told to end: `long`");
    runner.wait_for("`long` interrupted");
    assert_eq!(runner.end(), 130);
    assert!(sandbox.exists("ended"));
    let list = sandbox.ok(&["schedule"]).stdout;
    assert!(list.contains(" interrupted in "), "{list}");
}

#[test]
fn what_is_due_at_once_does_not_run_all_at_once() {
    let mut text = String::new();
    for number in 0..12 {
        text += &format!(
            "task \"t{number}\" {{ run \"echo x >> begun; until test -e go; do sleep 0.05; done\" }}\n\
             schedule \"t{number}\" cron=\"0 0 1 1 *\" tz=\"UTC\" catch-up=#true\n"
        );
    }
    let sandbox = Sandbox::new(&text);
    let seen: Vec<String> =
        (0..12).map(|number| format!("\"t{number} 0 0 1 1 * UTC\":{{\"until\":1600000000000}}")).collect();
    let book = format!("{{\"format\":1,\"schedules\":{{{}}}}}", seen.join(","));
    sandbox.write(".envrun/schedule/book.json", book);
    let mut runner = Runner::start_with(&sandbox, &["-j", "3"]);
    let waits = runner.wait_for("9 runs wait for a place");
    assert!(waits.contains("3 at once"), "{waits}");
    sandbox.write("go", "");
    for _ in 0..12 {
        runner.wait_for(" succeeded in ");
    }
    runner.signal(Signal::TERM);
    assert_eq!(runner.end(), 0);
    assert_eq!(sandbox.read("begun").lines().count(), 12);
}

#[cfg(target_os = "linux")]
#[test]
fn a_killed_runner_takes_its_runs_along_and_makes_room_for_the_next() {
    let sandbox = Sandbox::new(
        "task \"long\" { run \"echo $$ > pid.new; mv pid.new pid; exec sleep 1000\" }\nschedule \"long\" every=\"1s\"\n",
    );
    let mut runner = Runner::start(&sandbox);
    runner.wait_for("`long` left out");
    let pid = Pid::from_raw(sandbox.read("pid").trim().parse().unwrap()).unwrap();
    let process = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).unwrap();
    runner.signal(Signal::KILL);
    assert_eq!(runner.end(), -1);
    let mut ended = [rustix::event::PollFd::new(&process, rustix::event::PollFlags::IN)];
    let limit = rustix::event::Timespec { tv_sec: 60, tv_nsec: 0 };
    assert_eq!(rustix::event::poll(&mut ended, Some(&limit)).unwrap(), 1, "the run goes on");
    let list = sandbox.ok(&["schedule"]).stdout;
    assert!(list.contains("no runner is there"), "{list}");
    let next = Runner::start(&sandbox);
    next.signal(Signal::TERM);
    let exit = next.end();
    assert!([0, 130].contains(&exit), "{exit}");
}

#[test]
fn missed_times_are_one_run() {
    let sandbox = Sandbox::new(
        "task \"backup\" { run \"echo made >> made\" }\ntask \"report\" { run \"echo made >> reported\" }\n\
         schedule \"backup\" cron=\"0 0 1 1 *\" tz=\"UTC\" catch-up=#true\nschedule \"broken\" cron=\"0 0 1 1 *\" tz=\"UTC\" catch-up=#true\ntask \"broken\" { run \"exit 3\" }\nschedule \"report\" cron=\"0 0 1 1 *\" tz=\"UTC\"\n",
    );
    // Both were seen to last in the autumn of 2020.
    sandbox.write(
        ".envrun/schedule/book.json",
        r#"{"format":1,"schedules":{"backup 0 0 1 1 * UTC":{"until":1600000000000},"report 0 0 1 1 * UTC":{"until":1600000000000},"broken 0 0 1 1 * UTC":{"until":1600000000000}}}"#,
    );
    let mut runner = Runner::start(&sandbox);
    let missed = runner.wait_for("`report` missed");
    assert!(missed.contains("times since 2021-01-01 00:00:00, and does not catch up"), "{missed}");
    runner.wait_for_both(["`backup` succeeded", "`broken` failed"]);
    let made = runner.said.iter().find(|line| line.contains("`backup` succeeded")).unwrap();
    assert!(made.contains("; it caught up on ") && made.ends_with(" times"), "{made}");
    runner.signal(Signal::TERM);
    assert_eq!(runner.end(), 0);
    // Once, whoever starts again.
    let runner = Runner::start(&sandbox);
    runner.signal(Signal::TERM);
    assert_eq!(runner.end(), 0);
    assert_eq!(sandbox.read("made"), "made\n");
    let list = sandbox.ok(&["schedule"]).stdout;
    assert!(list.contains(" failed in ") && list.contains(": `broken`: exit status 3\n"), "{list}");
    assert!(!sandbox.exists("reported"));
}

#[test]
fn an_edited_envfile_is_noticed() {
    let text = |rest: &str| format!("task \"a\" {{ run \"true\" }}\nschedule \"a\" {NEVER}\n{rest}");
    let sandbox = Sandbox::new(&text(""));
    let mut runner = Runner::start(&sandbox);
    sandbox.save("Envfile.kdl", text("schedule \"b\" every=\"1s\"\n"));
    runner.wait_for_both(["there is no node `b`", "it goes on with what it was before"]);
    sandbox
        .save("Envfile.kdl", text("task \"b\" { run \"echo ran >> ran\" }\nschedule \"b\" every=\"1s\"\n"));
    runner.wait_for("the Envfile has changed: 2 schedules; next is `b` at ");
    runner.wait_for("`b` succeeded");
    sandbox.save("Envfile.kdl", text(""));
    runner.wait_for("the Envfile has changed: 1 schedule; next is `a` at ");
    runner.signal(Signal::TERM);
    assert!([0, 130].contains(&runner.end()));
}

#[test]
fn the_list_knows_runs_that_others_began() {
    let sandbox = Sandbox::new(&format!(
        "env \"prod\"\nenv \"dev\"\ntask \"db\" {{ run \"true\" }}\nschedule \"prod.db\" {NEVER}\nschedule \"dev.db\" cron=\"0 12 29 2 *\" tz=\"europe/berlin\" jitter=\"10m\"\n"
    ));
    sandbox.ok(&["prod.db"]);
    let list = sandbox.ok(&["schedule", "list", "--json"]).stdout;
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    let of = |node: &str| {
        list["schedules"].as_array().unwrap().iter().find(|one| one["node"] == node).unwrap().clone()
    };
    assert_eq!(of("prod.db")["last"]["result"], "succeeded");
    assert_eq!(of("dev.db")["last"], serde_json::Value::Null);
    assert_eq!(of("dev.db")["times"], "0 12 29 2 * Europe/Berlin");
    let (prod, dev) = (of("prod.db")["next"].as_u64().unwrap(), of("dev.db")["next"].as_u64().unwrap());
    let between = dev - prod;
    assert!((11 * 3_600_000..=11 * 3_600_000 + 600_000).contains(&between), "{between}");
}

#[test]
fn what_cannot_be() {
    let sandbox = Sandbox::new(
        r#"
env "prod" { guard { confirm "prod" } }
task "ok" { run "true" }
task "ship" { mutates; run "true" }
task "edit" { interactive; run "true" }
task "one" { arg "path"; run "true" }
service "web" { run "sleep" "1000" }
stage "test" env="prod" { run "ok" }
schedule "prod.ok" every="500ms"
schedule "prod.ok" cron="0 0 * * *" tz="Europa/Berlin"
schedule "prod.ok" every="1h"
schedule "prod.ok" every="1h" overlap="skip"
schedule "prod.ok" cron="*/5 * * * *" tz="UTC" jitter="5m"
schedule "prod.web" every="1h"
schedule "prod.one" every="1h" on-fail="web"
schedule "prod.ok" cron="0 0 * * *" tz="UTC" overlap="never"
schedule "test" every="1h"
"#,
    );
    sandbox.check(&["check"], expect![[r#"
        exit: 2
        --- stderr
        Envfile.kdl:9:26: error: `every="[time]"` is less than a second [load/schedule]
          help: a schedule runs once a second at most: `every="[time]"`
        Envfile.kdl:10:40: error: there is no time zone `Europa/Berlin` [load/schedule]
          help: did you mean `Europe/Berlin`?
        Envfile.kdl:12:1: error: `prod.ok` is scheduled twice for the same times [load/schedule]
        Envfile.kdl:11:1: note: scheduled here first
          help: take one away, or give it other times
        Envfile.kdl:13:55: error: the jitter is not shorter than the time from one run to the next (5m00s) [load/schedule]
          help: a run would begin after the one that follows it: take a shorter one
        Envfile.kdl:14:10: error: `web` is a service, which stays up and has no times [load/schedule]
          help: `envrun up web` starts it; schedule a task that needs it
        Envfile.kdl:15:10: error: `one` wants a value for `path`, and a schedule gives none [load/schedule]
        Envfile.kdl:6:18: note: declared here
          help: give it a default: `arg "path" default=…`
        Envfile.kdl:15:40: error: `web` is a service, which stays up and has no times [load/schedule]
          help: `envrun up web` starts it; schedule a task that needs it
        Envfile.kdl:16:54: error: `"never"` is not one of `skip`, `queue`, `allow` [syntax/value]
        Envfile.kdl:17:10: error: `test` is a stage, and a schedule runs a node [load/schedule]
          help: schedule what it runs, or a task with `run "envrun stage test"`
    "#]]);
    // What is right, and refused each time, is said by `check`.
    sandbox.write(
        "Envfile.kdl",
        r#"
env "prod" { guard { confirm "prod" } }
task "ok" { run "true" }
task "ship" { mutates; run "true" }
task "edit" { interactive; run "true" }
schedule "prod.ok" every="1h"
schedule "prod.ship" every="1h"
schedule "prod.edit" every="1h"
"#,
    );
    sandbox.check(&["check"], expect![[r#"
        exit: 0
        --- stderr
        Envfile.kdl:7:10: warning: every run of this schedule is refused: nobody is there to type `prod`, which `prod.ship` wants [check/unattended]
        Envfile.kdl:2:22: note: wanted here
          help: schedule what stands behind no `confirm`, or put that guard on what a person does
        Envfile.kdl:8:10: warning: `prod.edit` is interactive, and no terminal is there when this schedule runs it [check/unattended]
          help: schedule something that asks nobody
        3 nodes in 1 file: good
    "#]]);
    sandbox.write("Envfile.kdl", "task \"a\"\n");
    sandbox.check(
        &["schedule"],
        expect![[r#"
        exit: 0
        --- stderr
        Envfile.kdl has no schedule
        hint: `schedule "prod.backup" cron="30 2 * * *" tz="Europe/Berlin"`, at the root of the file
    "#]],
    );
    sandbox.check(
        &["schedule", "run"],
        expect![[r#"
        exit: 2
        --- stderr
        error: Envfile.kdl has no schedule
        hint: `schedule "prod.backup" cron="30 2 * * *" tz="Europe/Berlin"`, at the root of the file
    "#]],
    );
}

#[test]
fn what_is_written_for_others() {
    let sandbox = Sandbox::new(
        "project \"shop\"\ntask \"db\" { run \"echo made >> made\" }\ntask \"bad\" { run \"false\" }\ntask \"notify\" { run \"echo told >> told\" }\n\
         schedule \"db\" cron=\"30 2 * * *\" tz=\"UTC\"\nschedule \"bad\" every=\"1h\" on-fail=\"notify\"\n",
    );
    // What stands in a crontab does what it says, as cron would run it.
    let text = sandbox.ok(&["schedule", "export", "cron"]).stdout;
    let commands: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("30 2 * * * ").or_else(|| line.strip_prefix("0 * * * * ")))
        .collect();
    assert_eq!(commands.len(), 2, "{text}");
    for command in commands {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let output = Command::new("/bin/sh")
            .args(["-c", &command.replace(r"\%", "%")])
            .env_clear()
            .env("PATH", path)
            .env("HOME", sandbox.root())
            .current_dir("/")
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8(said).unwrap();
        assert!(output.status.success(), "{command}: {said}");
        // Cron mails whatever is said: nothing is, where all is well.
        assert_eq!(said.contains("error: `bad` failed"), command.contains("run -o quiet bad"), "{said}");
        assert!(said.is_empty() || said.contains("error: "), "{said}");
    }
    assert_eq!((sandbox.read("made"), sandbox.read("told")), ("made\n".into(), "told\n".into()));

    sandbox.ok(&["schedule", "export", "systemd", "-o", "units"]);
    assert!(sandbox.read("units/shop-db.timer").contains("OnCalendar=*-*-* 02:30:00 UTC\n"));
    assert!(sandbox.exists("units/shop-bad-on-fail.service"));
    sandbox.ok(&["schedule", "export", "systemd", "-o", "units"]);
    sandbox.write("units/shop-db.timer", "mine\n");
    let refused = sandbox.run(&["schedule", "export", "systemd", "-o", "units"]);
    assert_eq!(
        (refused.exit, sandbox.read("units/shop-db.timer")),
        (2, "mine\n".to_owned()),
        "{}",
        refused.text()
    );
    sandbox.ok(&["schedule", "export", "systemd", "db", "-o", "units", "--force"]);
    assert!(sandbox.read("units/shop-db.timer").contains("OnCalendar="));

    sandbox.check(
        &["schedule", "export", "kubernetes"],
        expect![[r#"
        exit: 2
        --- stderr
        error: a CronJob runs a container, and nobody said which
        hint: `--image registry/shop:1.2` names one with envrun, the project and its tools in it
    "#]],
    );
    sandbox.check(
        &["schedule", "export", "cron", "dbb"],
        expect![[r#"
        exit: 2
        --- stderr
        error: there is no schedule of `dbb`
        hint: did you mean `db`?
    "#]],
    );
    sandbox.write("Envfile.kdl", "task \"db\" { run \"true\" }\nschedule \"db\" every=\"30s\"\n");
    sandbox.check(
        &["schedule", "export", "cron"],
        expect![[r#"
        exit: 2
        --- stderr
        error: not everything can be said for cron; nothing was written
          `db`: cron knows no seconds: a minute is the shortest time of `every [time]`
            take whole minutes, or `export systemd`, or `envrun schedule run`
        hint: `--partial` writes what can be said, with a comment for each thing that is left out
    "#]],
    );
}

#[test]
fn a_shell_completes_it() {
    let sandbox = Sandbox::new(&format!(
        "env \"prod\"\ntask \"db\" {{ run \"true\" }}\nschedule \"prod.db\" {NEVER}\n"
    ));
    sandbox.check(
        &["__complete", "--", "schedule", ""],
        expect![[r#"
        exit: 0
        --- stdout
        list	Show what comes when, and what came of it last
        run	Run what is due, until Ctrl-C: one runner for this project, on one machine
        export	Write the schedules for systemd, cron, GitHub Actions or Kubernetes
    "#]],
    );
    sandbox.check(
        &["__complete", "--", "schedule", "export", ""],
        expect![[r#"
        exit: 0
        --- stdout
        systemd	Timers and services of systemd
        cron	A crontab
        github	A workflow of GitHub Actions
        kubernetes	CronJobs of Kubernetes
    "#]],
    );
    sandbox.check(
        &["__complete", "--", "schedule", "export", "cron", "p"],
        expect![[r#"
        exit: 0
        --- stdout
        prod.db	0 0 29 2 * UTC
    "#]],
    );
}
