//! The places of `-j` are shared with every make further down and further up.

use crate::sandbox::{Sandbox, need};

/// Notes how many are at work at once, and stays until as many are as its argument says: who is alone for too long fails.
const WORK: &str = "#!/bin/sh -eu
    mkdir -p running
    : > running/$$
    ls running | wc -l >> counts
    tries=0
    until test $(ls running | wc -l) -ge $1 || test -e met; do
        tries=$((tries + 1))
        test $tries -lt 2000 || { echo 'nobody else came' >&2; exit 1; }
        sleep 0.01
    done
    : > met
    ls running | wc -l >> counts
    rm running/$$
";

fn most_at_once(sandbox: &Sandbox) -> usize {
    sandbox.read("counts").lines().map(|count| count.trim().parse().unwrap()).max().unwrap()
}

/// Eight pieces of work, which wait until `meet` of them are at work at once.
fn makefile(meet: usize) -> String {
    let targets: Vec<String> = (0..8).map(|at| format!("t{at}")).collect();
    format!("all: {0}\n{0}:\n\t@./work {meet}\n", targets.join(" "))
}

#[test]
fn a_make_below_uses_the_places_and_no_more() {
    if !need("make", "make") {
        return;
    }
    let envfile = r#"
        task "one" { run "make" "-s" }
        task "two" { run "make -s -f Makefile" }
        task "both" { needs "one" "two" }
    "#;
    let sandbox = Sandbox::with(&[("Envfile.kdl", envfile), ("Makefile", &makefile(3))]);
    sandbox.script("work", WORK);
    let ran = sandbox.ok(&["-j3", "both"]);
    assert_eq!(most_at_once(&sandbox), 3);
    assert!(!ran.stderr.contains("jobserver"), "{}", ran.stderr);
}

#[test]
fn under_a_make_above_it_takes_places_and_gives_them_back() {
    if !need("make", "make") {
        return;
    }
    let envfile = r#"
        task "a" { run "./work" "3" }
        task "b" { run "./work" "3" }
        task "c" { run "./work" "3" }
        task "d" { run "./work" "3" }
        task "bad" { needs "a"; run "exit 1" }
        task "all" { needs "a" "b" "c" "d" }
    "#;
    let sandbox = Sandbox::with(&[("Envfile.kdl", envfile), ("Makefile", &makefile(3))]);
    sandbox.script("work", WORK);
    let envrun = env!("CARGO_BIN_EXE_envrun");
    // What is made above goes on beside it; all of them together keep to three places.
    sandbox.write(
        "above.mk",
        format!("all: below t0 t1 t2\nt0 t1 t2:\n\t@./work 3\nbelow:\n\t+@{envrun} -k all bad || :\n"),
    );
    let envrun = sandbox.command(&[]);
    let mut above = std::process::Command::new("make");
    above.args(["-s", "-j3", "-f", "above.mk"]).current_dir(sandbox.root()).env_clear();
    above.envs(envrun.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let ran = sandbox.ran(above.output().unwrap());
    assert_eq!(ran.exit, 0, "{}", ran.stderr);
    assert_eq!(most_at_once(&sandbox), 3);
    // make counts its places at the end, and says so if one is missing.
    assert!(!ran.stderr.contains("INTERNAL"), "{}", ran.stderr);
}
