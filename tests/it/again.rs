//! Services that are started again, waited for, or whose session sleeps: with the real program and real servers.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::sandbox::{Sandbox, need};
use crate::screen::Person;
use crate::service::{Project, free_port, pid_of};

/// Long enough for the slowest machine; nobody waits so long but a test that fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until it holds.
#[track_caller]
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < until, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// What `ps` says of one service.
fn known(project: &Project, name: &str) -> serde_json::Value {
    let ps = project.ps();
    let services = ps[0]["services"].as_array().unwrap();
    services.iter().find(|service| service["name"] == name).cloned().unwrap_or_default()
}

fn pid(project: &Project, name: &str) -> u32 {
    u32::try_from(known(project, name)["process"]["pid"].as_u64().expect("it runs")).unwrap()
}

fn forget_order(project: &Project) {
    std::fs::remove_file(project.sandbox.root().join("order")).unwrap();
}

const IN_ORDER: [&str; 4] = ["stop api", "stop db", "start db", "start api"];

#[test]
fn a_stranger_at_its_port_is_not_taken_for_a_service_that_is_started_again() {
    let Some(project) = Project::new("") else { return };
    project.sandbox.ok(&["up"]);
    kill_process(pid_of(pid(&project, "api")), Signal::KILL).unwrap();
    until("the api has failed", || known(&project, "api")["state"] == "failed");
    let port = u16::try_from(known(&project, "api")["ports"][0].as_u64().unwrap()).unwrap();
    let stranger = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    let ran = project.sandbox.run(&["restart", "api"]);
    assert_eq!(ran.exit, 1, "{}", ran.text());
    let reason = format!("port {port} is taken by pid {}: ", std::process::id());
    let hint = format!("hint: end it (`kill {}`), or give the service another port", std::process::id());
    assert!(ran.stderr.contains(&reason) && ran.stderr.contains(&hint), "{}", ran.text());
    drop(stranger);
    project.sandbox.ok(&["restart", "api"]);
    assert_eq!((known(&project, "api")["state"].as_str(), &*project.get()), (Some("ready"), "hello"));
}

#[test]
fn restart_goes_down_and_up_in_order_and_brings_back_what_failed() {
    let Some(project) = Project::new("") else { return };
    project.sandbox.ok(&["up"]);
    forget_order(&project);
    let said = project.sandbox.ok(&["restart"]).stderr;
    assert_eq!(project.order(), IN_ORDER);
    assert!(said.find("dev.db ready").unwrap() < said.find("dev.api ready").unwrap(), "{said}");

    kill_process(pid_of(pid(&project, "api")), Signal::KILL).unwrap();
    until("the api has failed", || known(&project, "api")["state"] == "failed");
    project.sandbox.ok(&["restart"]);
    assert_eq!((known(&project, "api")["state"].as_str(), &*project.get()), (Some("ready"), "hello"));
    // One that nobody wants is not started behind everybody's back.
    project.sandbox.ok(&["down", "api"]);
    let ran = project.sandbox.run(&["restart", "api"]);
    assert_eq!(ran.exit, 2, "{}", ran.text());
    assert!(ran.stderr.contains("`envrun up dev api` starts it"), "{}", ran.stderr);
    project.sandbox.ok(&["down"]);
    project.is_clean("restarts");
}

#[test]
fn r_in_an_attached_up_goes_in_order_and_brings_back_what_failed() {
    let Some(project) = Project::new("") else { return };
    if !need("script", "bsdutils") {
        return;
    }
    let mut person = Person::sits_down(&project.sandbox, "xterm");
    person.types("envrun up --attach\r");
    person.sees("q quit");
    project.sandbox.ok(&["wait", "db", "api", "--timeout", "60s"]);
    forget_order(&project);
    person.types("r");
    until("they are started again", || project.order().len() == 4);
    assert_eq!(project.order(), IN_ORDER);
    person.sees("again");
    person.sees("again");
    kill_process(pid_of(pid(&project, "api")), Signal::KILL).unwrap();
    person.sees("SIGKILL");
    forget_order(&project);
    person.types("r");
    // It needs no end: it has one.
    until("they are started again", || project.order().len() == 3);
    assert_eq!(project.order(), IN_ORDER[1..]);
    person.sees("again");
    person.sees("again");
    // Whoever was stopped from elsewhere comes back, and ends with this session all the same.
    project.sandbox.ok(&["down", "api"]);
    forget_order(&project);
    person.types("r");
    until("they are started again", || project.order().len() == 3);
    until("the api is ready", || known(&project, "api")["state"] == "ready");
    person.types("q");
    person.sees("sh> ");
    person.has_a_usable_shell();
    drop(person);
    project.is_clean("an attached up with restarts");
}

#[test]
fn the_log_of_a_start_is_its_own_and_all_are_kept() {
    let Some(project) = Project::new("") else { return };
    project.sandbox.ok(&["up"]);
    project.sandbox.ok(&["restart"]);
    // It also tells of each request, which is nothing to us.
    let log = |args: &[&str]| {
        let text = project.sandbox.ok(args).stdout;
        let lines = text.lines().filter(|line| !line.contains("GET"));
        lines.map(|line| line.split_inclusive("started ").next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(log(&["logs", "api"]), ["listening"]);
    let head = "==> api, started ";
    assert_eq!(log(&["logs", "api", "--all"]), [head, "listening", head, "listening"]);
    let both = log(&["logs", "--all"]);
    let count = |text: &str| both.iter().filter(|line| *line == text).count();
    assert_eq!(
        [head, "==> db, started ", "api | listening", "db  | listening"].map(count),
        [2; 4],
        "{both:?}"
    );
}

/// A service that is ready when somebody says so.
const SLOW: &str = r#"
service "slow" { run "touch begun; exec sleep 1000"; ready { exec "test -e go"; timeout "1h" } }
service "mig" { run "touch migrated" }
service "app" { needs "mig" state="completed"; run "exec sleep 1000" }
"#;

fn begin(project: &Project, args: &[&str]) -> Child {
    let child = project.sandbox.command(args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    until("it begins", || project.sandbox.exists("begun"));
    child
}

fn is_stopped(child: &Child) -> bool {
    std::fs::read_to_string(format!("/proc/{}/stat", child.id())).is_ok_and(|stat| stat.contains(") T "))
}

#[test]
fn services_do_not_notice_that_their_session_sleeps() {
    let Some(project) = Project::new(SLOW) else { return };
    let mut child = begin(&project, &["up", "--attach", "slow", "api"]);
    project.sandbox.ok(&["wait", "api", "--timeout", "60s"]);
    kill_process(Pid::from_child(&child), Signal::TSTP).unwrap();
    until("envrun is suspended", || is_stopped(&child));
    // It goes on to become ready, and answers.
    project.sandbox.write("go", "");
    project.sandbox.ok(&["wait", "slow", "--timeout", "60s"]);
    let before = (pid(&project, "slow"), pid(&project, "api"));
    assert_eq!(project.get(), "hello");
    kill_process(Pid::from_child(&child), Signal::CONT).unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("ready dev.slow")), "it is told when envrun goes on");
    std::thread::spawn(move || lines.for_each(drop));
    for name in ["slow", "api"] {
        assert_eq!(
            (&known(&project, name)["state"], &known(&project, name)["restarts"]),
            (&"ready".into(), &0.into())
        );
    }
    assert_eq!((pid(&project, "slow"), pid(&project, "api")), before);
    // Suspended again, and told to end: it ends.
    kill_process(Pid::from_child(&child), Signal::TSTP).unwrap();
    until("envrun is suspended", || is_stopped(&child));
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    kill_process(Pid::from_child(&child), Signal::CONT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    project.is_clean("a session that was suspended");
}

#[test]
fn wait_waits_for_what_is_to_come_and_no_longer_than_it_is_told() {
    let Some(project) = Project::new(SLOW) else { return };
    let ran = project.sandbox.run(&["wait", "slow"]);
    assert_eq!(ran.exit, 1, "{}", ran.text());
    assert!(ran.stderr.contains("`dev.slow`: it is not up"), "{}", ran.stderr);
    let ran = project.sandbox.run(&["wait", "slow", "--timeout", "50ms"]);
    assert!(ran.exit == 1 && ran.stderr.contains("it is not up"), "{}", ran.text());
    let ran = project.sandbox.run(&["wait", "slow", "--timeout", "soon"]);
    assert!(ran.exit == 2 && ran.stderr.contains("`soon` is not a duration"), "{}", ran.text());

    // Begun before anybody starts it.
    let waits =
        project.sandbox.command(&["wait", "slow", "--timeout", "1h"]).stderr(Stdio::piped()).spawn().unwrap();
    let mut up = begin(&project, &["up", "slow"]);
    let ran = project.sandbox.run(&["wait", "slow", "--timeout", "50ms"]);
    assert!(ran.exit == 1 && ran.stderr.contains("not ready in time"), "{}", ran.text());
    project.sandbox.write("go", "");
    let waited = waits.wait_with_output().unwrap();
    assert!(waited.status.success() && waited.stderr.starts_with(b"dev.slow ready"), "{waited:?}");
    assert!(up.wait().unwrap().success());
    // Whoever waits for one that somebody else takes down hears that.
    project.sandbox.ok(&["down"]);
    std::fs::remove_file(project.sandbox.root().join("go")).unwrap();
    let command = project.sandbox.command(&["up", "slow"]).stderr(Stdio::piped()).spawn().unwrap();
    until("it is started", || known(&project, "slow")["state"] == "started");
    project.sandbox.ok(&["down"]);
    let ran = command.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(
        ran.status.code() == Some(1) && said.contains("somebody else stopped it before it was ready"),
        "{said}"
    );
    project.sandbox.write("go", "");

    // One that is there to be done is waited for until it is done, and not done again.
    project.sandbox.ok(&["up", "app"]);
    let said = project.sandbox.ok(&["wait", "mig", "app"]).stderr;
    assert_eq!(said, "dev.mig completed\ndev.app ready\n");
    std::fs::remove_file(project.sandbox.root().join("migrated")).unwrap();
    project.sandbox.ok(&["restart"]);
    assert!(!project.sandbox.exists("migrated"));
    let said = project.sandbox.ok(&["restart", "mig"]).stderr;
    assert!(project.sandbox.exists("migrated") && said == "dev.mig completed\n", "{said}");
    project.sandbox.ok(&["down"]);
    project.is_clean("waits");
}

#[test]
fn a_service_says_by_its_socket_that_it_is_ready() {
    let Some(project) = Project::new(
        r##"
        service "told" {
            run "python3" "-c" #"""
                import os, pathlib, socket, time
                name = os.environ["NOTIFY_SOCKET"]
                name = "\0" + name[1:] if name[0] == "@" else name
                with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to:
                    to.sendto(b"STATUS=loading", name)
                    pathlib.Path("sent").touch()
                    to.sendto(b"READY=1\nMAINPID=1", name)
                time.sleep(1000)
                """#
            ready { notify; timeout "1h" }
        }
        service "mute" { run "exec sleep 1000"; ready { notify; timeout "200ms" } }
        "##,
    ) else {
        return;
    };
    project.sandbox.ok(&["up", "told"]);
    assert!(project.sandbox.exists("sent"));
    let ran = project.sandbox.run(&["up", "mute"]);
    assert_eq!(ran.exit, 1, "{}", ran.text());
    assert!(ran.stderr.contains("it did not say READY=1 to $NOTIFY_SOCKET"), "{}", ran.stderr);
    project.sandbox.ok(&["down"]);
    project.is_clean("sd_notify");
}

/// Its own process ends, and what it left behind holds its output open.
#[test]
fn who_holds_the_pipe_open_keeps_nobody_alive() {
    let sandbox = Sandbox::new(
        r#"service "a" { run "setsid sleep 4321 & echo $! > left; echo last words; exit 3"; ready { exec "false" } }"#,
    );
    let ran = sandbox.run(&["up"]);
    assert_eq!(ran.exit, 1, "{}", ran.text());
    for text in ["ended with exit status 3", "last words"] {
        assert!(ran.stderr.contains(text), "{}", ran.stderr);
    }
    let left: u32 = sandbox.read("left").trim().parse().unwrap();
    until("what it left behind has ended", || {
        let line = std::fs::read_to_string(format!("/proc/{left}/cmdline")).unwrap_or_default();
        !line.contains("4321")
    });
}

#[test]
fn status_tells_what_services_take() {
    let Some(project) = Project::new("") else { return };
    assert_eq!(project.sandbox.ok(&["status", "--json"]).stdout, "[]\n");
    project.sandbox.ok(&["up"]);
    let status = project.sandbox.ok(&["status", "--json"]).stdout;
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status[0]["env"], "dev", "{status}");
    for service in status[0]["services"].as_array().unwrap() {
        assert_eq!(
            (&service["state"], &service["usage"]["processes"]),
            (&"ready".into(), &1.into()),
            "{status}"
        );
        assert!(service["usage"]["memory"].as_u64() > Some(1 << 20) && service["load"].is_u64(), "{status}");
    }
    let text = project.sandbox.ok(&["status"]).stdout;
    assert!(text.contains("  db  ready for ") && text.contains("% cpu, ") && text.contains(" MiB"), "{text}");
    project.sandbox.ok(&["down"]);
    project.is_clean("status");
}

#[test]
fn several_environments_go_up_at_once_unless_their_ports_clash() {
    let Some(project) = Project::new("env \"uat\"") else { return };
    let ran = project.sandbox.run(&["up", "dev", "uat"]);
    assert_eq!(ran.exit, 3, "{}", ran.text());
    for text in
        ["`uat.db` is refused: port ", " is also the port of `dev.db`", " is also the port of `dev.api`"]
    {
        assert!(ran.stderr.contains(text), "{}", ran.stderr);
    }
    assert_eq!(project.order(), [""; 0], "nothing was started");
    let (db, api) = (free_port(), free_port());
    project
        .declare("hello", &format!("env \"uat\" {{ vars {{ (port)DB_PORT {db}; (port)API_PORT {api} }} }}"));
    project.sandbox.ok(&["up", "dev", "uat"]);
    let states = |ps: &serde_json::Value| {
        let services = ps.as_array().unwrap().iter().flat_map(|env| env["services"].as_array().unwrap());
        services.map(|one| format!("{} {}", one["label"], one["state"]).replace('"', "")).collect::<Vec<_>>()
    };
    assert_eq!(states(&project.ps()), ["dev.api ready", "dev.db ready", "uat.api ready", "uat.db ready"]);
    assert_eq!(project.sandbox.ok(&["wait", "dev", "uat", "api"]).stderr.matches(" ready").count(), 2);
    let logs = project.sandbox.ok(&["logs", "dev", "uat", "db", "-n", "1"]).stdout;
    assert!(logs.contains("dev.db | ") && logs.contains("uat.db | "), "{logs}");
    project.sandbox.ok(&["restart", "uat", "dev"]);
    project.sandbox.ok(&["down", "dev", "uat"]);
    assert!(states(&project.ps()).iter().all(|state| state.ends_with(" stopped")), "{}", project.ps());
    let order = project.order();
    assert_eq!(order[order.len() - 4..], ["stop api", "stop db", "stop api", "stop db"]);
    project.is_clean("two environments");
}
