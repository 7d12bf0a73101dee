//! Sessions that watch: what a change makes run, what it does not, and that none is missed.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::sandbox::{Sandbox, mkfifo, need};

/// Long enough for the slowest machine; nobody waits so long but a test that fails.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A session, and what it tells.
pub struct Session {
    pub envrun: Child,
    events: Receiver<Value>,
    /// Everything heard so far.
    pub heard: Vec<Value>,
    /// The names of the nodes of the run.
    nodes: Vec<String>,
    stderr: Option<std::thread::JoinHandle<String>>,
}

impl Session {
    /// Starts a session, and waits until it waits.
    pub fn start(sandbox: &Sandbox, words: &[&str]) -> Self {
        let mut session = Self::begin(sandbox.command(&[&["dev", "-o", "json"], words].concat()));
        session.idle();
        session
    }

    pub fn begin(mut command: std::process::Command) -> Self {
        let mut envrun = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(envrun.stdout.take().unwrap());
        let (send, events) = channel();
        std::thread::spawn(move || {
            for line in out.lines() {
                let event = serde_json::from_str(&line.unwrap()).unwrap();
                if send.send(event).is_err() {
                    return;
                }
            }
        });
        let err = envrun.stderr.take().unwrap();
        let stderr = Some(std::thread::spawn(move || std::io::read_to_string(err).unwrap()));
        Self { envrun, events, heard: Vec::new(), nodes: Vec::new(), stderr }
    }

    /// The next event.
    #[track_caller]
    pub fn next(&mut self) -> Value {
        let event = match self.events.recv_timeout(PATIENCE) {
            Ok(event) => event,
            Err(RecvTimeoutError::Timeout) => panic!("nothing more is told: {}", self.story()),
            Err(RecvTimeoutError::Disconnected) => {
                let told = self.stderr.take().unwrap().join().unwrap();
                panic!("the session is over: {}\n{told}", self.story());
            }
        };
        if event["event"] == "run-started" {
            let nodes = event["nodes"].as_array().unwrap();
            self.nodes = nodes.iter().map(|node| node["label"].as_str().unwrap().to_owned()).collect();
        }
        self.heard.push(event.clone());
        event
    }

    /// Waits for an event.
    #[track_caller]
    pub fn wait(&mut self, is_it: impl Fn(&Value, &Self) -> bool) -> Value {
        loop {
            let event = self.next();
            if is_it(&event, self) {
                return event;
            }
        }
    }

    /// Waits until the session waits; what it did meanwhile: `+name` for a node that began, `=name` with how it ended.
    #[track_caller]
    pub fn idle(&mut self) -> Vec<String> {
        let from = self.heard.len();
        self.wait(|event, _| event["event"] == "watching");
        self.heard[from..].iter().filter_map(|event| self.said(event)).collect()
    }

    /// Waits until a node printed this.
    #[track_caller]
    pub fn output(&mut self, node: &str, text: &str) {
        self.wait(|event, session| {
            event["event"] == "output"
                && session.name(event) == node
                && event["bytes"].as_str().is_some_and(|bytes| bytes.contains(text))
        });
    }

    pub fn name(&self, event: &Value) -> &str {
        event["node"].as_u64().map_or("", |node| &self.nodes[node as usize])
    }

    pub fn said(&self, event: &Value) -> Option<String> {
        match event["event"].as_str()? {
            "node-started" => Some(format!("+{}", self.name(event))),
            "node-finished" => {
                Some(format!("={} {}", self.name(event), event["outcome"]["kind"].as_str().unwrap()))
            }
            "changed" => {
                let files = event["files"].as_array().unwrap().iter().map(|file| file.as_str().unwrap());
                let files = files.collect::<Vec<_>>().join(" ");
                Some(format!("{files} -> {}", event["tasks"]))
            }
            "notice" => Some(format!("! {}", event["message"].as_str().unwrap())),
            _ => None,
        }
    }

    pub fn story(&self) -> String {
        let said: Vec<String> = self.heard.iter().filter_map(|event| self.said(event)).collect();
        format!("{said:#?}")
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.envrun), signal).unwrap();
    }

    /// Sends a signal, waits for the end; the exit status and what was said on standard error.
    pub fn end(mut self, signal: Signal) -> (i32, String) {
        self.signal(signal);
        let status = self.envrun.wait().unwrap();
        (status.code().unwrap_or(-1), self.stderr.take().unwrap().join().unwrap())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.envrun.kill();
        let _ = self.envrun.wait();
    }
}

const TWO: &str = r#"
    task "build" { inputs "src/**"; outputs "out.txt"; run "cat $(find src -name '*.txt' | sort) > out.txt" }
    task "show" { needs "build"; run "cat out.txt" }
    task "other" { inputs "other/*.txt"; run "cat other/*.txt" }
    task "all" { needs "show" "other" }
"#;

fn two() -> Sandbox {
    Sandbox::with(&[("Envfile.kdl", TWO), ("src/a.txt", "a\n"), ("other/o.txt", "o\n")])
}

#[test]
fn only_what_a_change_affects_runs() {
    let sandbox = two();
    let mut session = Session::start(&sandbox, &["all"]);
    sandbox.save("src/a.txt", "b\n");
    let expected = ["src/a.txt -> 2", "+build", "=build succeeded", "+show", "=show succeeded"];
    assert_eq!(without_groups(session.idle()), expected);
    // Written, and yet the same: nothing is even told.
    sandbox.save("src/a.txt", "b\n");
    sandbox.write("src/.a.txt.swp", "vim");
    sandbox.save("other/o.txt", "p\n");
    assert_eq!(without_groups(session.idle()), ["other/o.txt -> 1", "+other", "=other succeeded"]);
    // Another file, the same output: what needs it has nothing to do.
    sandbox.write("src/empty.txt", "");
    assert_eq!(without_groups(session.idle()), ["src/empty.txt -> 2", "+build", "=build succeeded"]);
    // Back to what it was: from the cache.
    std::fs::remove_file(sandbox.root().join("src/empty.txt")).unwrap();
    assert_eq!(without_groups(session.idle()), ["src/empty.txt -> 2", "=build restored"]);
    let (exit, told) = session.end(Signal::INT);
    assert_eq!((exit, &*told), (130, ""));
}

pub fn without_groups(said: Vec<String>) -> Vec<String> {
    said.into_iter().filter(|line| !line.ends_with(" grouped") && !line.ends_with(" up-to-date")).collect()
}

#[test]
fn folders_come_move_and_go() {
    let sandbox = two();
    let root = sandbox.root();
    let mut session = Session::start(&sandbox, &["build"]);
    let mut expect = |change: &dyn Fn(), content: &str| {
        change();
        while sandbox.read("out.txt") != content {
            session.idle();
        }
    };
    expect(&|| sandbox.write("src/deep/down/b.txt", "b\n"), "a\nb\n");
    expect(&|| sandbox.save("src/deep/down/b.txt", "B\n"), "a\nB\n");
    // A folder full of files that was made elsewhere.
    sandbox.write("aside/c/c.txt", "c\n");
    expect(&|| std::fs::rename(root.join("aside"), root.join("src/z")).unwrap(), "a\nB\nc\n");
    expect(&|| sandbox.save("src/z/c/c.txt", "C\n"), "a\nB\nC\n");
    // An atomic save.
    sandbox.save("new", "A\n");
    expect(&|| std::fs::rename(root.join("new"), root.join("src/a.txt")).unwrap(), "A\nB\nC\n");
    expect(&|| std::fs::remove_dir_all(root.join("src/deep")).unwrap(), "A\nC\n");
    // The folder that the glob begins in goes, and another one takes its place.
    sandbox.write("next/n.txt", "n\n");
    let swap = || {
        std::fs::rename(root.join("src"), root.join("old")).unwrap();
        std::fs::rename(root.join("next"), root.join("src")).unwrap();
    };
    expect(&swap, "n\n");
    expect(&|| sandbox.save("src/n.txt", "N\n"), "N\n");
    expect(&|| sandbox.save("src/m/m.txt", "m\n"), "m\nN\n");
}

#[test]
fn a_change_cancels_what_it_makes_useless_and_nothing_else() {
    let slow = "cat A.txt; test -e go-NAME || { echo waits; read -r line < fifo-NAME; }; echo NAME is done; echo NAME > NAME.out";
    let task = |name: &str| {
        let run = slow.replace("NAME", name).replace("A.txt", &format!("{name}.txt"));
        format!("task \"{name}\" {{ inputs \"{name}.txt\"; outputs \"{name}.out\"; run \"{run}\" }}\n")
    };
    let envfile = task("a")
        + &task("b")
        + "task \"quick\" { inputs \"q.txt\"; run \"cat q.txt\" }\n task \"all\" { needs \"a\" \"b\" \"quick\" }";
    let sandbox =
        Sandbox::with(&[("Envfile.kdl", &envfile), ("a.txt", "1\n"), ("b.txt", "1\n"), ("q.txt", "1\n")]);
    for name in ["a", "b"] {
        mkfifo(&sandbox.root().join(format!("fifo-{name}")));
    }
    let mut session = Session::begin(sandbox.command(&["dev", "-o", "json", "-j", "3", "all"]));
    let waits = |session: &mut Session, names: &[&str]| {
        let mut left: Vec<&str> = names.to_vec();
        while !left.is_empty() {
            let event = session.wait(|event, _| {
                event["event"] == "output"
                    && event["bytes"].as_str().is_some_and(|bytes| bytes.contains("waits"))
            });
            let name = session.name(&event).to_owned();
            left.retain(|left| *left != name);
        }
    };
    waits(&mut session, &["a", "b"]);
    let from = session.heard.len();
    // Both are in the middle of it. The quick one runs at once, for neither is in its way; `a` is given up, `b` is not.
    sandbox.save("q.txt", "2\n");
    session.output("quick", "2");
    sandbox.save("a.txt", "2\n");
    waits(&mut session, &["a"]);
    // The same content again is no reason to give anything up.
    sandbox.save("a.txt", "2\n");
    sandbox.save("q.txt", "3\n");
    session.output("quick", "3");
    sandbox.write("go-a", "");
    sandbox.write("go-b", "");
    for name in ["a", "b"] {
        std::fs::write(sandbox.root().join(format!("fifo-{name}")), "go\n").unwrap();
    }
    session.idle();
    let said: Vec<String> = session.heard[from..].iter().filter_map(|event| session.said(event)).collect();
    let of = |name: &str| -> Vec<&str> {
        let is_it = |line: &&String| line[1..].split(' ').next() == Some(name);
        said.iter().filter(is_it).map(String::as_str).collect()
    };
    // What it read was written anew under its hands, and nobody knows what that held in between: once more, to the end.
    assert_eq!(of("a"), ["=a cancelled", "+a", "=a succeeded", "+a", "=a succeeded"], "{said:#?}");
    assert_eq!(of("b"), ["=b succeeded"], "{said:#?}");
    assert_eq!(session.heard.iter().filter(|event| event["event"] == "run-started").count(), 2);
    // What was cancelled has left nothing: the result is that of the new file, and it is kept.
    assert_eq!(session.end(Signal::INT).0, 130);
    let restarted = Session::start(&sandbox, &["all"]);
    assert!(!restarted.story().contains("+a") && !restarted.story().contains("+b"), "{}", restarted.story());
}

#[test]
fn the_envfile_is_read_again_and_a_broken_one_changes_nothing() {
    let sandbox = Sandbox::with(&[
        (
            "Envfile.kdl",
            "include \"more.kdl\"\ndotenv \".env\" optional=#true\nvars { GREETING \"hello\" }\ntask \"a\" { inputs \"in.txt\"; uses \"GREETING\"; run \"echo $GREETING\" }",
        ),
        ("more.kdl", "task \"b\" { inputs \"in.txt\"; run \"echo b\" }"),
        ("in.txt", "1\n"),
    ]);
    let mut session = Session::start(&sandbox, &["a", "b"]);
    sandbox.save(".env", "GREETING=hi\n");
    // Which variables have another value is told, and not what it is.
    let told = session.wait(|event, _| event["event"] == "reread");
    assert_eq!(told["files"], serde_json::json!([".env"]), "{told}");
    assert_eq!(told["values"], serde_json::json!(["GREETING"]), "{told}");
    assert_eq!(told["state"], "used", "{told}");
    session.output("a", "hi");
    session.idle();
    sandbox.save("more.kdl", "task \"b\" { inputs \"in.txt\"; run \"echo other\" ");
    let told = session.wait(|event, _| event["event"] == "reread");
    assert_eq!(
        (&told["state"], &told["files"]),
        (&"broken".into(), &serde_json::json!(["more.kdl"])),
        "{told}"
    );
    sandbox.save("in.txt", "2\n");
    assert!(without_groups(session.idle()).contains(&"+b".to_owned()));
    sandbox.save("more.kdl", "task \"b\" { inputs \"in.txt\"; run \"echo other\" }");
    let told = session.wait(|event, _| event["event"] == "reread");
    assert_eq!(told["state"], "repaired", "{told}");
    session.output("b", "other");
    session.idle();
    // Among so many files that nobody says which, it is seen all the same.
    for at in 0..600 {
        sandbox.write(&format!("many-{at}"), "");
    }
    sandbox.write("more.kdl", "task \"b\" { inputs \"in.txt\"; run \"echo third\" }");
    session.output("b", "third");
    session.idle();
    let (exit, told) = session.end(Signal::TERM);
    assert_eq!(exit, 130);
    assert!(told.contains("more.kdl:1"), "the mistake is shown: {told}");
}

#[test]
fn a_circle_is_found_named_and_ended() {
    let sandbox = Sandbox::with(&[
        (
            "Envfile.kdl",
            r#"
            task "gen" { inputs "src/**"; outputs "out.txt"; run "cat src/a.txt > out.txt; date +%s.%N > src/stamp.txt" }
            task "other" { inputs "other.txt"; run "cat other.txt" }
        "#,
        ),
        ("src/a.txt", "a\n"),
        ("other.txt", "1\n"),
    ]);
    let mut session = Session::begin(sandbox.command(&["dev", "-o", "json", "gen", "other"]));
    let notice =
        session.wait(|event, _| event["message"].as_str().is_some_and(|text| text.contains("circle")));
    let others = session.heard.iter().filter(|event| event["event"] == "notice").count();
    assert_eq!(others, 1, "it is said once, and nothing before: {}", session.story());
    let message = notice["message"].as_str().unwrap();
    assert!(
        message.contains("`gen` runs in a circle: it writes src/stamp.txt, which is an input of itself"),
        "{message}"
    );
    assert!(notice["hint"].as_str().unwrap().contains("`!src/stamp.txt`"));
    // It has come to rest, and still does what a person asks for.
    sandbox.save("other.txt", "2\n");
    session.output("other", "2");
    sandbox.save("src/a.txt", "b\n");
    while sandbox.read("out.txt") != "b\n" {
        session.next();
    }
}

/// A formatter, an agent: whoever answers each result with another change, at once, makes no circle.
#[test]
fn who_saves_as_soon_as_a_task_is_done_is_no_circle() {
    let sandbox = Sandbox::with(&[
        ("Envfile.kdl", r#"task "all" { inputs "src/**"; outputs "all.txt"; run "cp src/a.txt all.txt" }"#),
        ("src/a.txt", "0\n"),
    ]);
    let mut session = Session::start(&sandbox, &["all"]);
    for round in 1..=12 {
        sandbox.write("src/a.txt", format!("{round}\n"));
        session.wait(|event, _| event["event"] == "node-finished");
        assert_eq!(sandbox.read("all.txt"), format!("{round}\n"));
    }
    let told = session.heard.iter().any(|event| event["event"] == "notice");
    assert!(!told, "{}", session.story());
}

#[test]
fn outputs_are_no_circle() {
    let sandbox = Sandbox::with(&[
        (
            "Envfile.kdl",
            r#"
            task "gen" { inputs "src/*.txt"; outputs "src/gen/stamp.txt"; run "date +%s.%N > src/gen/stamp.txt" }
            task "use" { needs "gen"; inputs "src/**"; outputs "use.txt"; run "cat src/gen/stamp.txt src/a.txt > use.txt" }
        "#,
        ),
        ("src/a.txt", "a\n"),
    ]);
    let mut session = Session::start(&sandbox, &["use"]);
    for round in ["b\n", "c\n", "d\n"] {
        sandbox.save("src/a.txt", round);
        let mut said = without_groups(session.idle());
        // The folder that came with the first run may be looked at in this moment; then the change is just found.
        said.retain(|line| line != "src/a.txt -> 2");
        let expected = ["+gen", "=gen succeeded", "+use", "=use succeeded"];
        assert_eq!(said, expected, "{:#?}", session.heard);
    }
}

#[test]
fn what_failed_runs_again_when_it_may_end_otherwise() {
    let sandbox = Sandbox::with(&[
        (
            "Envfile.kdl",
            r#"
            task "test" { inputs "src.txt"; run "grep good src.txt" }
            task "after" { needs "test"; run "echo after" }
            task "other" { inputs "other.txt"; run "cat other.txt" }
        "#,
        ),
        ("src.txt", "bad\n"),
        ("other.txt", "1\n"),
    ]);
    let mut session = Session::start(&sandbox, &["after", "other"]);
    sandbox.save("other.txt", "2\n");
    let said = session.idle();
    assert!(said.contains(&"+other".to_owned()) && !said.contains(&"+test".to_owned()), "{said:?}");
    sandbox.save("src.txt", "good\n");
    let said = without_groups(session.idle());
    assert_eq!(said, ["src.txt -> 2", "+test", "=test succeeded", "+after", "=after succeeded"]);
}

/// The files below a folder, as the task that is watched puts them together.
fn together(root: &Path) -> String {
    fn gather(dir: &Path, into: &mut BTreeMap<String, String>, root: &Path) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                gather(&path, into, root);
            } else {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                into.insert(name, std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    let mut files = BTreeMap::new();
    gather(&root.join("src"), &mut files, root);
    files.into_iter().map(|(name, text)| format!("{name}\n{text}")).collect()
}

const TOGETHER: &str = r#"task "all" {
    inputs "src/**"
    outputs "all.txt"
    run "find src -type f | LC_ALL=C sort | while read -r f; do echo $f; cat $f; done > all.new; mv all.new all.txt"
}"#;

/// Waits until the session has made what there is to be made.
#[track_caller]
fn until_made(session: &mut Session, sandbox: &Sandbox, what: &str) {
    let expected = together(&sandbox.root());
    let since = Instant::now();
    while std::fs::read_to_string(sandbox.root().join("all.txt")).unwrap_or_default() != expected {
        assert!(since.elapsed() < PATIENCE, "missed: {what}");
        match session.events.recv_timeout(Duration::from_secs(10)) {
            Ok(event) => session.heard.push(event),
            Err(_) => {
                let story = session.story();
                assert_eq!(sandbox.read("all.txt"), expected, "missed: {what}\n{story}");
            }
        }
    }
}

/// `ENVRUN_WATCH_STEPS=1000` for the whole thing.
#[test]
fn no_change_is_missed() {
    let steps = std::env::var("ENVRUN_WATCH_STEPS").ok().and_then(|steps| steps.parse().ok()).unwrap_or(60);
    random_changes(&["all"], steps, 0x9e37_79b9);
}

#[test]
fn no_change_is_missed_by_looking_again_and_again() {
    random_changes(&["--poll", "all"], 8, 7);
}

fn random_changes(words: &[&str], steps: usize, seed: u64) {
    let sandbox = Sandbox::with(&[("Envfile.kdl", TOGETHER), ("src/a.txt", "a\n")]);
    let root = sandbox.root();
    let mut session = Session::start(&sandbox, words);
    let mut state = seed;
    let mut draw = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for step in 0..steps {
        let mut done = Vec::new();
        // Several at once now and then: events come in a heap.
        for _ in 0..=draw(3) {
            let (mut files, mut folders) = (Vec::new(), vec![root.join("src")]);
            walk(&root.join("src"), &mut files, &mut folders);
            let folder = folders[draw(folders.len())].clone();
            let pick =
                |draw: &mut dyn FnMut(usize) -> usize, of: &[PathBuf]| of.get(draw(of.len().max(1))).cloned();
            let what = match draw(9) {
                0 | 1 => {
                    let path = folder.join(format!("f{}.txt", draw(8)));
                    std::fs::write(&path, format!("{step}\n")).unwrap();
                    format!("write {path:?}")
                }
                2 => match pick(&mut draw, &files) {
                    Some(path) => {
                        let before = std::fs::read_to_string(&path).unwrap();
                        std::fs::write(&path, format!("{before}{step}\n")).unwrap();
                        format!("append {path:?}")
                    }
                    None => continue,
                },
                3 => match pick(&mut draw, &files) {
                    Some(path) => {
                        let new = root.join("aside");
                        std::fs::write(&new, format!("saved {step}\n")).unwrap();
                        std::fs::rename(&new, &path).unwrap();
                        format!("save {path:?}")
                    }
                    None => continue,
                },
                4 => match pick(&mut draw, &files) {
                    Some(path) => {
                        std::fs::remove_file(&path).unwrap();
                        format!("remove {path:?}")
                    }
                    None => continue,
                },
                5 => {
                    let path = folder.join(format!("d{}/e{}", draw(3), draw(3)));
                    std::fs::create_dir_all(&path).unwrap();
                    std::fs::write(path.join("new.txt"), format!("{step}\n")).unwrap();
                    format!("fill {path:?}")
                }
                6 => match folders.get(1 + draw(folders.len())) {
                    Some(path) => {
                        std::fs::remove_dir_all(path).unwrap();
                        format!("clear {path:?}")
                    }
                    None => continue,
                },
                7 => match pick(&mut draw, &files) {
                    Some(path) => {
                        let to = folder.join(format!("moved{}.txt", draw(5)));
                        std::fs::rename(&path, &to).unwrap();
                        format!("move {path:?} {to:?}")
                    }
                    None => continue,
                },
                _ => match folders.get(1 + draw(folders.len())) {
                    Some(path) => {
                        let to = folder.join(format!("dir{step}"));
                        if to.starts_with(path) {
                            continue;
                        }
                        std::fs::rename(path, &to).unwrap();
                        format!("move {path:?} {to:?}")
                    }
                    None => continue,
                },
            };
            done.push(what);
        }
        until_made(&mut session, &sandbox, &format!("step {step}: {}", done.join(", ")));
    }
}

fn walk(dir: &Path, files: &mut Vec<PathBuf>, folders: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            folders.push(path.clone());
            walk(&path, files, folders);
        } else {
            files.push(path);
        }
    }
}

/// How many files, tasks and services the next change is told to concern.
fn counted(session: &mut Session) -> (usize, u64, u64) {
    let event = session.wait(|event, _| event["event"] == "changed");
    session.idle();
    let number = |name: &str| event[name].as_u64().unwrap();
    (event["files"].as_array().unwrap().len() + number("more") as usize, number("tasks"), number("services"))
}

#[test]
fn files_are_counted_and_folders_are_not() {
    let sandbox = Sandbox::with(&[
        (
            "Envfile.kdl",
            r#"
            task "build" { inputs "src/**"; outputs "out.txt"; run "find src -type f | wc -l > out.txt" }
            service "api" { needs "build"; run "exec sleep 1000" }
            service "web" { watch "src/**"; run "exec sleep 1000" }
            task "all" { needs "api" "web" }
            "#,
        ),
        ("src/a.txt", "a\n"),
        ("few/1.txt", "1\n"),
        ("few/deep/down/2.txt", "2\n"),
        ("few/deep/3.txt", "3\n"),
    ]);
    let (root, src) = (sandbox.root().to_path_buf(), sandbox.root().join("src"));
    (0..2001).for_each(|number| sandbox.write(&format!("many/{number}.txt"), format!("{number}\n")));
    let mut session = Session::start(&sandbox, &["all"]);
    std::fs::rename(root.join("few"), src.join("few")).unwrap();
    assert_eq!(counted(&mut session), (3, 1, 2), "{}", session.story());
    std::fs::rename(root.join("many"), src.join("many")).unwrap();
    assert_eq!(counted(&mut session), (2001, 1, 2), "{}", session.story());
    std::fs::rename(src.join("many"), root.join("many")).unwrap();
    assert_eq!(counted(&mut session), (2001, 1, 2), "{}", session.story());
    std::fs::rename(src.join("few"), root.join("few")).unwrap();
    assert_eq!(counted(&mut session), (3, 1, 2), "{}", session.story());
    let (exit, _) = session.end(Signal::INT);
    assert_eq!(exit, 130);
}

#[test]
fn a_checkout_of_many_files_is_one_change() {
    // `ENVRUN_WATCH_FILES=100` makes ten thousand: more than the kernel keeps events for.
    let each: usize = std::env::var("ENVRUN_WATCH_FILES").map_or(20, |count| count.parse().unwrap());
    let sandbox = Sandbox::with(&[(
        "Envfile.kdl",
        "task \"count\" { inputs \"src/**\"; outputs \"count.txt\"; run \"cat $(find src -type f | sort) | sort | uniq -c > count.txt\" }",
    )]);
    let git = |words: &[&str]| {
        let run = std::process::Command::new("git")
            .args(["-c", "user.name=t", "-c", "user.email=t@t", "-c", "core.fsync=none", "-c", "gc.auto=0"])
            .args(words)
            .current_dir(sandbox.root())
            .output()
            .unwrap();
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    };
    let fill = |text: &str| {
        for folder in 0..100 {
            let dir = sandbox.root().join(format!("src/{folder}"));
            std::fs::create_dir_all(&dir).unwrap();
            (0..each).for_each(|file| std::fs::write(dir.join(file.to_string()), text).unwrap());
        }
    };
    git(&["init", "-q", "-b", "one"]);
    fill("one\n");
    git(&["add", "-A"]);
    git(&["commit", "-qm", "one"]);
    git(&["checkout", "-qb", "two"]);
    fill("two\n");
    git(&["commit", "-qam", "two"]);
    let mut session = Session::start(&sandbox, &["count"]);
    for name in ["one", "two"] {
        git(&["checkout", "-q", name]);
        let expected = format!("{:>7} {name}\n", each * 100);
        while sandbox.read("count.txt") != expected {
            session.next();
        }
    }
    let (exit, _) = session.end(Signal::INT);
    assert_eq!(exit, 130);
}

#[test]
fn where_the_system_does_not_tell_it_looks_again_and_says_so() {
    let limited = |sandbox: &Sandbox| {
        let envrun = sandbox.command(&[]);
        let mut command = std::process::Command::new("unshare");
        let limit = "echo 3 > /proc/sys/user/max_inotify_watches && exec \"$0\" dev -o json all";
        command.args(["-Ur", "sh", "-c", limit, env!("CARGO_BIN_EXE_envrun")]);
        command.current_dir(sandbox.root()).env_clear().stdin(Stdio::null());
        command.envs(envrun.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command
    };
    let try_it = "test -w /proc/sys/user/max_inotify_watches";
    let may = std::process::Command::new("unshare")
        .args(["-Ur", "sh", "-c", try_it])
        .stderr(Stdio::null())
        .status();
    if !may.is_ok_and(|status| status.success()) {
        #[expect(clippy::print_stderr, reason = "whoever runs the tests has to hear of it")]
        let () = eprintln!("SKIPPED: this machine gives nobody a user namespace with limits of its own");
        return;
    }
    let files = [("Envfile.kdl", TOGETHER), ("src/a/b/c/d/e.txt", "1\n"), ("src/f/g.txt", "1\n")];
    let sandbox = Sandbox::with(&files);
    let mut session = Session::begin(limited(&sandbox));
    let notice =
        session.wait(|event, _| event["message"].as_str().is_some_and(|text| text.contains("again")));
    let expected = "changes are found by looking again and again: the system watches no more folders";
    assert_eq!(notice["message"], expected);
    assert!(notice["hint"].as_str().unwrap().contains("sysctl fs.inotify.max_user_watches="));
    session.idle();
    for (path, text) in
        [("src/a/b/c/d/e.txt", "2\n"), ("src/f/new/deep.txt", "3\n"), ("src/f/new/deep.txt", "4\n")]
    {
        sandbox.write(path, text);
        until_made(&mut session, &sandbox, path);
    }
    let told = session.heard.iter().filter(|event| event["message"] == expected).count();
    assert_eq!(told, 1, "it is said once");
}

#[test]
fn another_commit_is_a_change_for_whoever_asks_for_it() {
    let sandbox = Sandbox::with(&[
        (
            "Envfile.kdl",
            "task \"tell\" { run \"echo at $ENVRUN_REVISION\" }\ntask \"other\" { inputs \"a.txt\"; run \"cat a.txt\" }",
        ),
        ("a.txt", "a\n"),
    ]);
    let git = |words: &[&str]| {
        let run = std::process::Command::new("git")
            .args(["-c", "user.name=t", "-c", "user.email=t@t"])
            .args(words)
            .current_dir(sandbox.root())
            .output()
            .unwrap();
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        String::from_utf8(run.stdout).unwrap().trim().to_owned()
    };
    git(&["init", "-q"]);
    git(&["commit", "-qm", "one", "--allow-empty"]);
    let mut session = Session::start(&sandbox, &["tell", "other"]);
    git(&["commit", "-qm", "two", "--allow-empty"]);
    let revision = git(&["rev-parse", "HEAD"]);
    session.output("tell", &revision);
    let said = session.idle();
    assert!(!said.contains(&"+other".to_owned()), "{said:?}");
}

#[test]
fn keys_steer_a_session_on_a_terminal() {
    if !need("script", "bsdutils") {
        return;
    }
    use std::io::{Read, Write};
    let sandbox = Sandbox::with(&[
        ("Envfile.kdl", "task \"a\" { inputs \"a.txt\"; run \"cat a.txt; echo ran\" }"),
        ("a.txt", "hello\n"),
    ]);
    let envrun = sandbox.command(&[]);
    let mut script = std::process::Command::new("script");
    let line = format!("{} dev a; echo status $?; stty -a", env!("CARGO_BIN_EXE_envrun"));
    script.args(["-qec", &line, "/dev/null"]).current_dir(sandbox.root()).env_clear().env("TERM", "xterm");
    script.envs(envrun.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut child = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut keys, mut screen) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut seen = String::new();
    let mut press = |key: &str| keys.write_all(key.as_bytes()).unwrap();
    let mut until = |text: &str| {
        let mut bytes = [0; 4096];
        while !seen.contains(text) {
            let count = screen.read(&mut bytes).unwrap();
            assert!(count > 0, "`{text}` does not come:\n{seen}");
            seen.push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
        seen = seen.split_off(seen.find(text).unwrap() + text.len());
    };
    until("watching 2 files");
    until("r rerun");
    press("r");
    until("it was forced");
    until("watching");
    press("?");
    until("this help");
    press("l");
    until("1  a");
    press("1");
    until("ran");
    press("s");
    until("nothing stays up");
    press("x");
    press("q");
    until("status 0");
    until("icanon");
    assert!(child.wait().unwrap().success());
}

#[test]
fn services_stay_up_from_run_to_run_and_end_with_the_session() {
    if !need("python3", "python3") {
        return;
    }
    let sandbox = Sandbox::with(&[
        (
            "Envfile.kdl",
            r#"
            task "page" { inputs "page.txt"; outputs "site/index.html"; run "cp page.txt site/index.html" }
            service "web" {
                run "echo $$ >> pids; exec python3 -u server.py"
                ready { log "port" }
            }
            task "look" { needs "web" "page"; run "python3 look.py" }
            "#,
        ),
        (
            "server.py",
            "import functools, http.server\nh = functools.partial(http.server.SimpleHTTPRequestHandler, directory='site')\ns = http.server.HTTPServer(('127.0.0.1', 0), h)\nopen('port', 'w').write(str(s.server_port))\nprint('port', s.server_port)\ns.serve_forever()\n",
        ),
        (
            "look.py",
            "import urllib.request\nprint('seen:', urllib.request.urlopen('http://127.0.0.1:' + open('port').read()).read().decode())\n",
        ),
        ("page.txt", "old"),
        ("site/keep", ""),
    ]);
    let mut session = Session::begin(sandbox.command(&["dev", "-o", "json", "look"]));
    session.output("look", "seen: old");
    session.idle();
    sandbox.save("page.txt", "new");
    session.output("look", "seen: new");
    session.idle();
    let pids = sandbox.read("pids");
    assert_eq!(pids.lines().count(), 1, "it was started once: {pids}");
    let alive = || Path::new("/proc").join(pids.trim()).exists();
    assert!(alive());
    let (exit, _) = session.end(Signal::INT);
    assert_eq!(exit, 130);
    assert!(!alive(), "it ends with the session");
}
