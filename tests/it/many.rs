//! Many services at once, and no more files to be had.

use std::process::Command;

use crate::sandbox::{Ran, Sandbox};

const SERVICES: usize = 24;

fn project() -> Sandbox {
    let service =
        |at| format!("service \"s{at}\" {{ run \"ulimit -Sn; exec sleep 1000\"; ready {{ log \".\" }} }}\n");
    Sandbox::new(&(0..SERVICES).map(service).collect::<String>())
}

/// Runs envrun in a shell that has said this first.
fn after(first: &str, sandbox: &Sandbox, args: &[&str]) -> Ran {
    let envrun = sandbox.command(args);
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &format!("{first}; exec \"$@\""), "sh"])
        .arg(envrun.get_program())
        .args(envrun.get_args());
    shell.current_dir(envrun.get_current_dir().unwrap()).env_clear();
    shell.envs(envrun.get_envs().filter_map(|(name, value)| Some((name, value?))));
    sandbox.ran(shell.output().unwrap())
}

fn down(sandbox: &Sandbox) -> usize {
    let said = sandbox.ok(&["down"]).text();
    said.lines().filter(|line| line.ends_with("stopped")).count()
}

#[test]
fn services_may_be_more_than_the_callers_soft_limit_on_open_files_which_they_have() {
    let sandbox = project();
    let ran = after("ulimit -Sn 64", &sandbox, &["up"]);
    assert_eq!(ran.exit, 0, "{}", ran.text());
    let logs = sandbox.ok(&["logs"]).text();
    assert_eq!(logs.lines().filter(|line| line.ends_with("| 64")).count(), SERVICES, "{logs}");
    assert_eq!(down(&sandbox), SERVICES);
}

#[test]
fn without_files_services_fail_and_the_rest_can_be_asked_for_and_stopped() {
    let sandbox = project();
    let ran = after("ulimit -n 64", &sandbox, &["up"]);
    assert_eq!(ran.exit, 1, "{}", ran.text());
    let hint = "hint: raise `ulimit -n`: no more than 64 files may be open at once";
    assert!(ran.stderr.contains("Too many open files") && ran.stderr.contains(hint), "{}", ran.text());
    let ps: serde_json::Value =
        serde_json::from_str(&sandbox.ok(&["ps", "--format", "json"]).stdout).unwrap();
    let services = ps[0]["services"].as_array().unwrap();
    let are = |state: &str| services.iter().filter(|service| service["state"] == state).count();
    assert_eq!((are("ready") + are("failed"), ps[0]["kept"].as_bool()), (SERVICES, Some(true)), "{ps}");
    assert!(are("ready") > 0 && are("failed") > 0, "{ps}");
    assert_eq!(down(&sandbox), are("ready"));
}
