//! Files that change while a task runs, times that lie, names that are unusual, sizes that are large.
//!
//! `ENVRUN_LARGE=1` takes a file of more than four gigabytes and a hundred thousand outputs.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::sandbox::{Ran, Sandbox};

fn sh(sandbox: &Sandbox, text: &str) {
    let done = Command::new("sh").args(["-eu", "-c", text]).current_dir(sandbox.root()).status().unwrap();
    assert!(done.success(), "{text}");
}

/// A project whose task waits, twice, until it is told to go on.
struct Stops {
    sandbox: Sandbox,
    /// Where the task says that it waits, and where it is told to go on. Open on both sides, so that nobody waits for
    /// somebody who is no more.
    here: fs::File,
    go: fs::File,
}

impl Stops {
    /// `text` is what the task does between its stops.
    fn new(text: &str) -> Self {
        use std::os::unix::fs::OpenOptionsExt;

        let envfile = format!(
            "task \"t\" {{ inputs \"x\" \"in/*\"; outputs \"out\"; run #\"\"\"\n    echo there > here; read go < go\n    {text}\n    echo there > here; read go < go\n    \"\"\"# }}\n"
        );
        let sandbox = Sandbox::with(&[("Envfile.kdl", &envfile), ("x", "old"), ("in/a", "a")]);
        sh(&sandbox, "mkfifo here go");
        let open = |name: &str| {
            let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
            let mut options = fs::File::options();
            options.read(true).write(true).custom_flags(flags).open(sandbox.root().join(name)).unwrap()
        };
        let (here, go) = (open("here"), open("go"));
        Self { sandbox, here, go }
    }

    /// Runs the task; an edit is made at each of its stops.
    #[track_caller]
    fn run(&mut self, edits: [&str; 2]) -> Ran {
        let mut command = self.sandbox.command(&["t"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        for edit in edits {
            let mut said = [0; 6];
            while self.here.read_exact(&mut said).is_err() {
                if child.try_wait().unwrap().is_some() {
                    let ran = self.sandbox.ran(child.wait_with_output().unwrap());
                    panic!("it did not stop: {}", ran.text());
                }
                std::thread::yield_now();
            }
            sh(&self.sandbox, edit);
            self.go.write_all(b"go\n").unwrap();
        }
        self.sandbox.ran(child.wait_with_output().unwrap())
    }
}

#[test]
fn an_edit_while_the_task_runs_is_not_kept_as_its_result() {
    let cases = [
        ("before it reads", "printf new > x", ":", "x changed"),
        ("after it has read", ":", "printf new > x", "x changed"),
        ("and back again", "printf new > x", "printf old > x", "x changed"),
        ("of the same size and time", "touch -r x like; printf new > x; touch -r like x", ":", "x changed"),
        ("another file in its place", "cp x y; mv y x", ":", "x changed"),
        ("one more file", "printf b > in/b", ":", "in/b changed"),
        ("one file less", ":", "rm in/a", "in/a changed"),
        ("a name in other letters", "mv in/a in/A", ":", "in/a changed"),
        ("may be executed", ":", "chmod +x x", "x changed"),
    ];
    for (what, before, after, says) in cases {
        let mut stops = Stops::new("find in -type f | sort | xargs cat x > out");
        let ran = stops.run([before, after]);
        assert_eq!(ran.exit, 0, "{what}: {}", ran.text());
        assert_eq!(ran.stderr.matches("warning: ").count(), 1, "{what}: {}", ran.text());
        let told = ran.stderr.contains(says) || ran.stderr.contains(&says.replace("in/a", "in/A"));
        assert!(told && ran.stderr.contains("its result is not kept"), "{what}: {}", ran.text());
        // The next run reads what is there now, and its result is kept.
        let ran = stops.run([":", ":"]);
        assert!(ran.exit == 0 && !ran.stderr.contains("warning"), "{what}: {}", ran.text());
        sh(&stops.sandbox, "find in -type f | sort | xargs cat x | cmp - out");
        let ran = stops.sandbox.ok(&["t"]);
        assert!(ran.stderr.contains("nothing to do"), "{what}: {}", ran.text());
        // What it was before was never kept, so it is not found.
        sh(&stops.sandbox, "printf 'older still' > x; rm out");
        let ran = stops.run([":", ":"]);
        assert!(ran.stderr.contains("1 executed"), "{what}: {}", ran.text());
        sh(&stops.sandbox, "find in -type f | sort | xargs cat x | cmp - out");
    }
}

#[test]
fn a_task_that_changes_its_own_input_is_found_and_named() {
    let envfile = r#"
        task "own" { inputs "src/*"; outputs "src/list"; run "ls src > list.new; mv list.new src/list" }
        task "format" { inputs "src/*"; run "sed -i s/a/b/ src/x" }
    "#;
    let sandbox = Sandbox::with(&[("Envfile.kdl", envfile), ("src/x", "a"), ("src/list", "x")]);
    let ran = sandbox.ok(&["own"]);
    assert!(
        ran.stderr.contains("`own` changes its own input src/list: its result is not kept"),
        "{}",
        ran.text()
    );
    sandbox.write("src/x", "a");
    let ran = sandbox.ok(&["format"]);
    assert!(ran.stderr.contains("src/x changed while `format` ran"), "{}", ran.text());
}

const COPY: &str = r#"task "t" { inputs "in/**"; outputs "out/**"; run "rm -rf out; cp -R in out" }"#;

/// The outputs are a copy of the inputs, after a run that ended well.
#[track_caller]
fn is_copied(sandbox: &Sandbox, what: &str) -> Ran {
    let ran = sandbox.run(&["t"]);
    assert_eq!(ran.exit, 0, "{what}: {}", ran.text());
    let same = Command::new("diff").args(["-r", "in", "out"]).current_dir(sandbox.root()).output().unwrap();
    assert!(same.status.success(), "{what}: {}\n{}", ran.text(), String::from_utf8_lossy(&same.stdout));
    ran
}

#[test]
fn times_decide_nothing() {
    let sandbox = Sandbox::with(&[("Envfile.kdl", COPY), ("in/a", "1"), ("in/b", "2")]);
    is_copied(&sandbox, "at first");
    for edit in [
        "printf 3 > in/a",
        "printf 4 > in/a; touch -d 1970-01-02 in/a",
        "printf 5 > in/a; touch -d 1970-01-02 in/a",
        "printf 6 > in/a; touch -d 2100-01-01 in/a",
        "printf 7 > in/a; touch -d 2100-01-01 in/a",
        "printf 8 > in/a; touch -r in/b in/a",
        "touch -r in/a like; printf 9 > in/a; touch -r like in/a",
        "touch -d 2100-01-01 in in/*; mv in/b in/c",
        "touch -d 1970-01-02 in in/*; mv in/c in/B",
        "mv in/B in/b; mv in/a in/tmp; mv in/b in/a; mv in/tmp in/b",
        "cp -p in/a x; printf 0 > in/a; cp -p x in/a",
        "ln -f in/a in/hard; printf h > in/hard",
    ] {
        sh(&sandbox, edit);
        is_copied(&sandbox, edit);
        let ran = sandbox.ok(&["t"]);
        assert!(ran.stderr.contains("nothing to do"), "{edit}: {}", ran.text());
        // A touch alone executes nothing.
        sh(&sandbox, "touch -d 2001-01-01 in/*");
        let ran = is_copied(&sandbox, edit);
        assert!(!ran.stderr.contains("executed"), "{edit}: {}", ran.text());
    }
}

#[test]
fn names_that_are_no_text() {
    use std::os::unix::ffi::OsStrExt;

    let sandbox = Sandbox::with(&[("Envfile.kdl", COPY), ("in/a", "1")]);
    let names: [&[u8]; 6] =
        [b"\xff\xfe", b"caf\xe9", b"new\nline", b"tab\there", b" blank ", "é e\u{301}".as_bytes()];
    for name in names {
        let folder = sandbox.root().join("in").join(std::ffi::OsStr::from_bytes(name));
        if fs::create_dir(&folder).is_err() {
            // A file system that takes only text.
            continue;
        }
        fs::write(folder.join(std::ffi::OsStr::from_bytes(name)), name).unwrap();
    }
    is_copied(&sandbox, "made");
    fs::remove_dir_all(sandbox.root().join("out")).unwrap();
    let ran = is_copied(&sandbox, "restored");
    assert!(ran.stderr.contains("1 restored"), "{}", ran.text());
    let odd = sandbox.root().join("in").join(std::ffi::OsStr::from_bytes(names[0]));
    fs::rename(&odd, odd.with_file_name("plain")).unwrap();
    let ran = is_copied(&sandbox, "renamed");
    assert!(ran.stderr.contains("1 executed"), "{}", ran.text());
    sandbox.ok(&["why", "t"]);
    sandbox.ok(&["cache", "ls"]);
}

/// The file that `PATH` leads to is the same whatever it starts; what it says of itself is not.
#[test]
fn what_a_shim_starts_is_seen_by_what_it_says() {
    let envfile = r#"
task "version" { cache #false; outputs "made/version"; run "./shim --version > made/version" }
task "by-content" { inputs "x"; outputs "made/content"; tools "./shim"; run "./shim x > made/content" }
task "by-version" { needs "version"; inputs "x"; outputs "made/by"; run "./shim x > made/by" }
"#;
    let shim = "#!/bin/sh\necho \"$(cat chosen)\" \"$1\"\n";
    let sandbox = Sandbox::with(&[
        ("Envfile.kdl", envfile),
        ("x", "x"),
        ("chosen", "one"),
        ("shim", shim),
        ("made/.keep", ""),
    ]);
    sh(&sandbox, "chmod +x shim");
    let says = |word: &str| {
        let ran = sandbox.ok(&["by-version"]);
        assert_eq!(sandbox.read("made/by"), format!("{word} x\n"), "{}", ran.text());
        ran.stderr
    };
    says("one");
    assert!(says("one").contains("1 executed, 1 up to date"));
    sandbox.write("chosen", "two");
    assert!(says("two").contains("because the output of `version` changed"));
    sandbox.write("chosen", "one");
    assert!(says("one").contains("restored by-version"));
    // The shim itself is a program like any other.
    sandbox.ok(&["by-content"]);
    assert!(sandbox.ok(&["by-content"]).stderr.contains("1 up to date"));
    sandbox.write("shim", shim.replace("$1", "new $1"));
    let ran = sandbox.ok(&["by-content"]);
    assert!(ran.stderr.contains("shim") && ran.stderr.contains("1 executed"), "{}", ran.text());
    assert_eq!(sandbox.read("made/content"), "one new x\n");
}

fn is_large() -> bool {
    std::env::var_os("ENVRUN_LARGE").is_some()
}

#[test]
fn a_large_file_goes_in_and_out_whole() {
    // Sparse: it is read, and takes no room.
    let size: u64 = if is_large() { (4 << 30) + 12345 } else { (64 << 20) + 12345 };
    let sandbox = Sandbox::with(&[("Envfile.kdl", COPY), ("in/a", "begin")]);
    let write_at = |at: u64, text: &[u8]| {
        use std::os::unix::fs::FileExt;
        let file = fs::File::options().write(true).open(sandbox.root().join("in/a")).unwrap();
        file.write_all_at(text, at).unwrap();
    };
    write_at(size - 3, b"end");
    let is_whole = |what: &str, says: &str| {
        let ran = sandbox.ok(&["t"]);
        assert!(ran.stderr.contains(says) && !ran.stderr.contains("warning"), "{what}: {}", ran.text());
        let out = sandbox.root().join("out/a");
        assert_eq!(fs::metadata(&out).unwrap().len(), size, "{what}");
        let same = Command::new("cmp").args(["in/a", "out/a"]).current_dir(sandbox.root()).status().unwrap();
        assert!(same.success(), "{what}");
    };
    is_whole("made", "1 executed");
    fs::remove_file(sandbox.root().join("out/a")).unwrap();
    is_whole("restored", "1 restored");
    // One byte, behind what 32 bits can count.
    write_at(size - 9, b"x");
    is_whole("edited", "1 executed");
    write_at(size - 9, b"\0");
    is_whole("as it was", "1 restored");
}

#[test]
fn many_outputs_come_and_go() {
    let count = if is_large() { 100_000 } else { 4_000 };
    let envfile = format!(
        "task \"t\" {{ inputs \"x\"; outputs \"out/**\"; run #\"rm -rf out; mkdir -p out; cd out; for d in 0 1 2 3 4 5 6 7 8 9; do mkdir $d; done; seq {count} | awk -v x=\"$(cat ../x)\" '{{ f = ($1 % 10) \"/\" $1; print x $1 > f; close(f) }}'\"# }}"
    );
    let sandbox = Sandbox::with(&[("Envfile.kdl", &envfile), ("x", "a")]);
    let is_right = |says: &str| {
        let ran = sandbox.ok(&["t"]);
        assert!(ran.stderr.contains(says) && !ran.stderr.contains("warning"), "{}", ran.text());
        let x = sandbox.read("x");
        let files: usize =
            (0..10).map(|at| fs::read_dir(sandbox.root().join(format!("out/{at}"))).unwrap().count()).sum();
        assert_eq!(files, count);
        for at in [1, 2, count / 2, count] {
            assert_eq!(sandbox.read(&format!("out/{}/{at}", at % 10)), format!("{x}{at}\n"));
        }
    };
    is_right("1 executed");
    fs::remove_dir_all(sandbox.root().join("out")).unwrap();
    is_right("1 restored");
    sandbox.write("x", "b");
    is_right("1 executed");
    sandbox.write("x", "a");
    // One of them is in the way as something else.
    fs::remove_file(sandbox.root().join("out/1/1")).unwrap();
    std::os::unix::fs::symlink(Path::new("/etc/passwd"), sandbox.root().join("out/1/1")).unwrap();
    is_right("1 restored");
}
