//! `kill -9` after every line of an environment's journal, of whatever writes it: the next command tells the phase and
//! goes on or back, and what is live is the old release or the new one, whole.
//!
//! Short, every line of every kind of release is met once, and one way out of it; `ENVRUN_JOURNAL=all` tries every way
//! out after every line, killed in its turn after every line that it writes.

use std::collections::HashMap;

use serde_json::Value;

use crate::deploy::{Lab, exits};
use crate::dying::{Moment, dies};
use crate::sandbox::Ran;

/// A release is two files in a folder, and data beside it.
const ENVFILE: &str = r##"
project "lab"
vars { (path)ROOT "live/${ENVRUN_ENV}" }
env "uat" { }
task "package" { inputs "app.txt"; outputs "build/app.txt"; run "cp app.txt build/app.txt" }
task "health" { run #"grep -q good "$ROOT/current/app.txt""# }
task "migrate" { mutates; run "touch migrated" }
snapshot "db" {
    save #"cp live/data "$SNAPSHOT/data""#
    restore #"cp "$SNAPSHOT/data" live/data"#
}
deploy "deploy" {
    needs "package"
    snapshot "db"
    run #"""
        mkdir -p "$ROOT/releases/$ENVRUN_REVISION"
        cp build/app.txt "$ROOT/releases/$ENVRUN_REVISION/app.txt"
        cp build/app.txt "$ROOT/releases/$ENVRUN_REVISION/copy.txt"
        """#
    run #"ln -sfn "releases/$ENVRUN_REVISION" "$ROOT/next" && mv -T "$ROOT/next" "$ROOT/current""#
    verify "health"
    keep 3
}
"##;

const JOURNAL: &str = "/env/uat/ledger.jsonl";

/// What is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Release {
    Good,
    /// It is not healthy and goes back.
    Bad,
    Rollback,
    WithData,
    Emergency,
}

/// The way out of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WayOut {
    Resume,
    Back,
    Emergency,
}

const WAYS_OUT: [WayOut; 3] = [WayOut::Resume, WayOut::Back, WayOut::Emergency];

impl WayOut {
    fn words(self) -> &'static [&'static str] {
        match self {
            Self::Resume => &["deploy", "resume", "uat"],
            Self::Back => &["deploy", "back", "uat"],
            Self::Emergency => &["rollback", "uat", "--emergency"],
        }
    }
}

/// Where what is killed.
#[derive(Debug, Clone, Copy)]
struct Point {
    release: Release,
    at: usize,
    moment: Moment,
    out: WayOut,
    /// The way out is killed too, after this line of it.
    again: Option<usize>,
}

fn is_long() -> bool {
    std::env::var_os("ENVRUN_JOURNAL").is_some()
}

struct Journal {
    lab: Lab,
    /// What the revisions are.
    texts: HashMap<String, String>,
    /// The phases in which something was killed.
    phases: Vec<String>,
}

impl Journal {
    fn new() -> Self {
        let mut journal = Self { lab: Lab::of(ENVFILE), texts: HashMap::new(), phases: Vec::new() };
        journal.lab.sandbox.write("live/data", "orders of the day\n");
        for _ in 0..2 {
            journal.commit("good");
            journal.lab.sandbox.ok(&["uat.deploy"]);
        }
        journal
    }

    fn commit(&mut self, word: &str) {
        let text = format!("{word} {}", self.texts.len());
        let revision = self.lab.commit("app.txt", &format!("{text}\n"));
        self.texts.insert(revision, text);
    }

    /// What is live, which is whole.
    #[track_caller]
    fn live(&self) -> String {
        let [one, other] =
            ["app", "copy"].map(|name| self.lab.sandbox.read(&format!("live/uat/current/{name}.txt")));
        assert_eq!(one, other, "half a release is live");
        one.trim().to_owned()
    }

    fn newest(&self) -> Value {
        let ran = self.lab.sandbox.ok(&["history", "uat", "--json", "-n", "1"]);
        serde_json::from_str(&ran.stdout).unwrap()
    }

    fn text(&self, revision: &Value) -> &str {
        &self.texts[revision.as_str().unwrap()]
    }

    /// Runs a command that is killed there; `None` if it came to its end before.
    fn killed(&self, words: &[&str], at: usize, moment: Moment) -> Option<Ran> {
        let mut command = self.lab.sandbox.command(words);
        dies(&mut command, JOURNAL, at, moment);
        let output = command.output().unwrap();
        let killed = std::os::unix::process::ExitStatusExt::signal(&output.status) == Some(9);
        let ran = self.lab.sandbox.ran(output);
        // What came to its end did so in order.
        assert!(killed || [0, 5].contains(&ran.exit), "{}", ran.text());
        killed.then_some(ran)
    }

    /// What is there after a kill; the phase, if a release is open.
    #[track_caller]
    fn look(&mut self, before: &str, known: u64) -> Option<String> {
        let live = self.live();
        let newest = self.newest();
        if newest["release"] == known {
            assert_eq!(live, before, "nothing began");
            return None;
        }
        let new = self.text(&newest["revision"]).to_owned();
        match newest["outcome"].as_str() {
            Some("live") => assert_eq!(live, new),
            Some(_) => assert_eq!(live, before),
            None => {
                let phase = newest["phase"].as_str().unwrap().to_owned();
                let touched = ["applying", "verifying", "going-back"].contains(&phase.as_str());
                assert!(live == before || (touched && live == new), "{live} while {phase}");
                // Nothing else changes that environment, and whoever tries is told what to do.
                let others = [&["uat.deploy"][..], &["rollback", "uat"], &["uat.migrate"]];
                // In the short form each hears it now and then.
                let one = self.phases.len() % others.len();
                let all = if is_long() { &others[..] } else { &others[one..=one] };
                for words in all.iter().copied() {
                    let ran = self.lab.run(words);
                    exits(&ran, 7);
                    for part in [
                        &format!("cut short while {phase}"),
                        "`envrun deploy resume uat`",
                        "`envrun deploy back uat`",
                    ] {
                        assert!(ran.stderr.contains(part), "{words:?}: {part}: {}", ran.stderr);
                    }
                }
                let status = self.lab.run(&["status", "uat"]);
                exits(&status, 1);
                assert!(status.stdout.contains(&format!("was cut short, {phase}")), "{}", status.stdout);
                assert_eq!(self.live(), live, "nothing was changed");
                self.phases.push(phase.clone());
                return Some(phase);
            }
        }
        // It is over: there is nothing to be gone on with.
        exits(&self.lab.run(&["deploy", "resume", "uat"]), 2);
        None
    }

    /// One kill and the way out of it; whether both commands came as far as to be killed.
    fn round(&mut self, point: Point) -> (bool, bool) {
        let Point { release, at, moment, out, again } = point;
        if out == WayOut::Emergency {
            // What an emergency leaves is not gone back to again: there must be enough before it.
            self.commit("good");
            self.lab.sandbox.ok(&["uat.deploy"]);
        }
        self.commit(if release == Release::Bad { "bad" } else { "good" });
        let words: &[&str] = match release {
            Release::Good | Release::Bad => &["uat.deploy"],
            Release::Rollback => &["rollback", "uat"],
            Release::WithData => &["rollback", "uat", "--with-data"],
            Release::Emergency => &["rollback", "uat", "--emergency"],
        };
        if words[0] == "rollback" {
            self.lab.sandbox.ok(&["uat.deploy"]);
        }
        let before = self.live();
        let known = self.newest()["release"].as_u64().unwrap();
        if self.killed(words, at, moment).is_none() {
            return (false, false);
        }
        let Some(mut phase) = self.look(&before, known) else { return (true, false) };
        let new = self.text(&self.newest()["revision"]).to_owned();
        if let Some(again) = again {
            if self.killed(out.words(), again, Moment::Written).is_none() {
                return (true, false);
            }
            let newest = self.newest();
            // Begun anew, by an emergency or from before anything was changed, it is another release.
            let (before, known) = match newest["outcome"].is_null() && out != WayOut::Emergency {
                true => (before.as_str(), known),
                false => (&*self.live(), newest["release"].as_u64().unwrap()),
            };
            if newest["outcome"].is_null() && out == WayOut::Emergency {
                // What it puts live is what it says.
                assert!([before, self.text(&newest["revision"])].contains(&&*self.live()));
            } else if newest["outcome"].is_null() {
                phase = self.look(before, known).expect("it is open");
            } else {
                return (true, true);
            }
        }
        let ran = self.lab.run(out.words());
        let newest = self.newest();
        let (live, outcome) = (self.live(), newest["outcome"].as_str().unwrap().to_owned());
        let wanted = match (out, release) {
            (WayOut::Resume, Release::Bad) => (5, before, "back"),
            // What goes back goes on going back.
            (WayOut::Resume, _) if phase == "going-back" => (5, before, "back"),
            (WayOut::Resume, _) => (0, new, "live"),
            (WayOut::Back, _) => {
                let touched = ["applying", "verifying", "going-back"].contains(&phase.as_str());
                (0, before, if touched { "back" } else { "abandoned" })
            }
            (WayOut::Emergency, _) => (0, self.text(&newest["revision"]).to_owned(), "live"),
        };
        assert_eq!((ran.exit, live, &*outcome), (wanted.0, wanted.1, wanted.2), "{}", ran.text());
        // Where the data are is told to whoever took it up, too.
        let is_told = ran.stderr.contains("hint: `envrun restore uat.db --at ");
        assert!(is_told || outcome != "back" || words[0] != "uat.deploy", "{}", ran.text());
        assert!(!ran.stderr.contains("of another checkout"), "{}", ran.text());
        exits(&self.lab.run(&["status", "uat"]), 0);
        (true, true)
    }

    /// Every line of one kind of release.
    fn rounds(release: Release, phases: &[&str]) {
        let mut journal = Self::new();
        let all = is_long();
        let mut round = |point| {
            let round = std::panic::AssertUnwindSafe(|| journal.round(point));
            // What failed is told by the panic itself; here it is said where.
            std::panic::catch_unwind(round).unwrap_or_else(|_| panic!("at {point:?}"))
        };
        for at in 1.. {
            let mut there = false;
            let ways = WAYS_OUT.into_iter().enumerate();
            for (number, out) in ways.filter(|(number, _)| all || at % WAYS_OUT.len() == *number) {
                let point = Point { release, at, moment: Moment::Written, out, again: None };
                if all {
                    there |= round(point).0;
                    there |= round(Point { moment: Moment::Torn, ..point }).0;
                    for again in 1.. {
                        if !round(Point { again: Some(again), ..point }).1 {
                            break;
                        }
                    }
                } else {
                    let again = (at + number) % 4;
                    there |= round(Point { again: (again > 0).then_some(again), ..point }).0;
                }
            }
            if !there {
                assert!(at > phases.len(), "only {} lines were written", at - 1);
                break;
            }
        }
        for phase in phases {
            assert!(journal.phases.iter().any(|met| met == phase), "{phase}: {:?}", journal.phases);
        }
        // After all of that the next one goes live as if nothing had been.
        journal.commit("good");
        exits(&journal.lab.run(&["uat.deploy"]), 0);
        assert_eq!(journal.live(), format!("good {}", journal.texts.len() - 1));
    }
}

const TO_LIVE: [&str; 6] = ["locked", "guarded", "prepared", "snapshotted", "applying", "verifying"];

#[test]
fn of_a_deploy() {
    Journal::rounds(Release::Good, &TO_LIVE);
}

#[test]
fn of_a_deploy_that_goes_back() {
    Journal::rounds(Release::Bad, &[&TO_LIVE[..], &["going-back"]].concat());
}

#[test]
fn of_a_rollback() {
    Journal::rounds(Release::Rollback, &TO_LIVE);
}

#[test]
fn of_a_rollback_with_data() {
    Journal::rounds(Release::WithData, &TO_LIVE);
}

#[test]
fn of_an_emergency() {
    Journal::rounds(Release::Emergency, &TO_LIVE[..5]);
}
