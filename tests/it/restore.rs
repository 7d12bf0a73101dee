//! `kill -9` in the middle of a restore: after every line of the journal, and within each command that saves, proves and
//! puts back. The next command tells the phase; going on or back makes the data whole.

use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;

use crate::dying::{Moment, dies};
use crate::sandbox::{Ran, Sandbox};

/// The data are two files, whole if they are the same. Where `die` says so a command ends envrun, half way.
const ENVFILE: &str = r##"
env "prod"
task "migrate" { mutates; run "touch migrated" }
snapshot "db" {
    save #". ./die.sh; die saving; cp one "$SNAPSHOT/one"; die saved; cp two "$SNAPSHOT/two""#
    verify #". ./die.sh; die proving; cmp "$SNAPSHOT/one" "$SNAPSHOT/two""#
    restore #"""
        . ./die.sh
        die restoring
        cp "$SNAPSHOT/one" one
        if test -e fails; then rm fails; echo back > die; exit 1; fi
        die back; die half
        cp "$SNAPSHOT/two" two
        die restored
        """#
}
"##;

const DIE: &str =
    "die() { if [ \"$(cat die 2> /dev/null)\" = \"$1\" ]; then rm die; kill -9 $PPID; sleep 60; fi; }\n";

const JOURNAL: &str = "/env/prod/ledger.jsonl";

/// Where it dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Point {
    /// After this line of the journal.
    Line(usize),
    /// In the command that comes by this name.
    Command(&'static str),
}

struct Place {
    sandbox: Sandbox,
    round: usize,
    phases: Vec<String>,
}

impl Place {
    fn new() -> Self {
        let place = Self { sandbox: Sandbox::new(ENVFILE), round: 0, phases: Vec::new() };
        place.sandbox.write("die.sh", DIE);
        place.put("saved long ago\n");
        place.sandbox.ok(&["prod.db"]);
        place
    }

    fn put(&self, text: &str) {
        self.sandbox.write("one", text);
        self.sandbox.write("two", text);
    }

    #[track_caller]
    fn data(&self) -> String {
        let [one, two] = ["one", "two"].map(|name| self.sandbox.read(name));
        assert_eq!(one, two, "half of the data is old and half is new");
        one
    }

    /// A restore that dies there; whether it did.
    fn dies(&self, point: Point) -> bool {
        let mut command = self.sandbox.command(&["restore", "prod.db", "--at", "1", "-y"]);
        match point {
            Point::Line(at) => dies(&mut command, JOURNAL, at, Moment::Written),
            Point::Command("back") => self.sandbox.write("fails", ""),
            Point::Command(name) => self.sandbox.write("die", format!("{name}\n")),
        }
        let output = command.stdin(Stdio::null()).output().unwrap();
        let died = output.status.signal() == Some(9);
        let ran = self.sandbox.ran(output);
        assert!(died || ran.exit == 0, "{point:?}: {}", ran.text());
        died
    }

    /// One kill and the way out of it; whether there was one.
    fn round(&mut self, point: Point, out: &str) -> bool {
        self.round += 1;
        let before = format!("of round {}\n", self.round);
        self.put(&before);
        if !self.dies(point) {
            return false;
        }
        let run = |args: &[&str]| self.sandbox.run(args);
        let status = run(&["status", "prod"]);
        let what = |ran: &Ran| format!("{point:?}, {out}: {}", ran.text());
        if status.exit == 0 {
            // The last line was written: all is over.
            assert_eq!(self.data(), "saved long ago\n", "{}", what(&status));
            return true;
        }
        assert!(status.stdout.contains("was cut short, "), "{}", what(&status));
        // Nothing else changes that environment, and whoever tries is told what to do.
        let words = [&["restore", "prod.db", "-y"][..], &["prod.migrate"]][self.round % 2];
        let refused = run(words);
        assert_eq!(refused.exit, 7, "{}", what(&refused));
        for part in ["cut short while ", "`envrun deploy resume prod`", "`envrun deploy back prod`"] {
            assert!(refused.stderr.contains(part), "{part}: {}", what(&refused));
        }
        let phase = refused.stderr.split("cut short while ").nth(1).unwrap();
        let phase = phase.split(|c: char| !(c.is_alphanumeric() || c == '-')).next().unwrap().to_owned();
        let ran = run(&["deploy", out, "prod"]);
        let (exit, data) = match (out, &*phase) {
            ("resume", "going-back") => (5, before),
            ("resume", _) => (0, "saved long ago\n".to_owned()),
            _ => (0, before),
        };
        assert_eq!(ran.exit, exit, "{}", what(&ran));
        assert_eq!(self.data(), data, "{}", what(&ran));
        assert_eq!(run(&["status", "prod"]).exit, 0);
        self.phases.push(phase);
        true
    }
}

#[test]
fn a_restore_that_was_killed_goes_on_or_back_and_the_data_are_whole() {
    let mut place = Place::new();
    let ways = ["resume", "back"];
    for at in 1.. {
        if !ways.map(|out| place.round(Point::Line(at), out))[0] {
            assert!(at > 5, "only {} lines were written", at - 1);
            break;
        }
    }
    for name in ["saving", "saved", "proving", "restoring", "half", "restored", "back"] {
        for out in ways {
            assert!(place.round(Point::Command(name), out), "{name}");
        }
    }
    for phase in ["locked", "guarded", "prepared", "snapshotted", "applying", "going-back"] {
        assert!(place.phases.iter().any(|met| met == phase), "{phase}: {:?}", place.phases);
    }
    // Nothing is left of what was cut short, and every copy is one.
    place.sandbox.ok(&["prod.db"]);
    let folder = place.sandbox.root().join(".envrun/env/prod/snapshots/db");
    let names =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let left: Vec<String> = names.filter(|name| name.starts_with('.')).collect();
    assert_eq!(left, [""; 0]);
    let verified = place.sandbox.ok(&["snapshot", "verify"]);
    assert!(verified.stdout.contains(" 0 damaged"), "{}", verified.text());
}

#[test]
fn what_is_beyond_saving_is_still_so_when_the_restore_goes_on() {
    let place = Place::new();
    let run = |args: &[&str]| place.sandbox.run(args);
    let mut phases = Vec::new();
    for at in 1.. {
        for out in ["resume", "back"] {
            // Half of it is gone, so it cannot be saved any more.
            place.put("of today\n");
            std::fs::remove_file(place.sandbox.root().join("one")).unwrap();
            assert_eq!(run(&["restore", "prod.db", "--at", "1", "-y"]).exit, 1);
            let mut command = place.sandbox.command(&["restore", "prod.db", "--at", "1", "-y", "--unsaved"]);
            dies(&mut command, JOURNAL, at, Moment::Written);
            let output = command.stdin(Stdio::null()).output().unwrap();
            let died = output.status.signal() == Some(9);
            assert!(died || output.status.success(), "{}", place.sandbox.ran(output).text());
            if run(&["status", "prod"]).exit == 0 {
                assert_eq!(place.data(), "saved long ago\n");
                if died {
                    continue;
                }
                assert_eq!(phases, ["locked", "guarded", "prepared", "snapshotted", "applying"]);
                let listed = place.sandbox.ok(&["snapshot", "list", "prod.db"]).stdout;
                assert_eq!(listed.lines().count(), 1, "there was nothing that could be saved: {listed}");
                let history = place.sandbox.ok(&["history", "prod", "-n", "1", "--json"]).stdout;
                assert!(history.contains(r#""unsaved":true"#), "{history}");
                return;
            }
            let ran = run(&["deploy", out, "prod"]);
            if out == "resume" {
                assert_eq!(ran.exit, 0, "line {at}: {}", ran.text());
                assert_eq!(place.data(), "saved long ago\n");
                continue;
            }
            // There is nothing to go back to once the first byte may be replaced.
            let newest = run(&["history", "prod", "-n", "1", "--json"]).stdout;
            let newest: serde_json::Value = serde_json::from_str(&newest).unwrap();
            let phase = newest["phase"].as_str().unwrap().to_owned();
            assert_eq!(ran.exit, if phase == "applying" { 6 } else { 0 }, "line {at}: {}", ran.text());
            phases.push(phase);
            if ran.exit == 6 {
                let hint = "`envrun restore prod.db --at 1 --unsaved` tries it again";
                assert!(ran.stderr.contains(hint), "{}", ran.text());
            }
        }
    }
}

#[test]
fn the_copy_that_is_put_back_is_not_let_go_by_the_one_that_is_saved_before() {
    let place = Place::new();
    place.sandbox.write("Envfile.kdl", ENVFILE.replace("    save #", "    keep last=1\n    save #"));
    place.put("of today\n");
    // While it is under way others save, and tidy up.
    assert!(place.dies(Point::Line(1)));
    place.sandbox.ok(&["prod.db"]);
    place.sandbox.ok(&["snapshot", "prune"]);
    // It saves what it replaces, and tidies up.
    place.sandbox.ok(&["deploy", "resume", "prod"]);
    assert_eq!(place.data(), "saved long ago\n");
    // What the last restore replaced stays; the one before that does not.
    let numbers = || {
        let listed = place.sandbox.ok(&["snapshot", "list", "prod.db", "--format", "json"]).stdout;
        let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
        listed.as_array().unwrap().iter().map(|copy| copy["number"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    place.sandbox.ok(&["prod.db"]);
    assert_eq!(numbers(), [4, 3]);
    place.sandbox.ok(&["restore", "prod.db", "-y"]);
    place.sandbox.ok(&["prod.db"]);
    assert_eq!(numbers(), [6, 5]);
}
