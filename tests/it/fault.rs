//! What the world may refuse: room, leave, descriptors. The cache never fails a run, what fails is told once with its path,
//! and nothing half-written counts as done.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::sandbox::{Ran, Sandbox};

/// Two tasks that each make as much as 300 KiB, and one that reads both.
const ENVFILE: &str = r#"
task "a" { inputs "x"; outputs "out/a"; run "for i in 1 2 3 4 5 6; do cat x; done > out/a" }
task "b" { inputs "x"; outputs "out/b/**"; run "mkdir -p out/b/c; cat x x > out/b/1; cat x x x > out/b/c/2" }
task "c" { needs "a" "b"; outputs "sum"; run "cat out/a out/b/1 out/b/c/2 | cksum > sum" }
"#;

fn sandbox(seed: u8) -> Sandbox {
    let sandbox = Sandbox::new(ENVFILE);
    input(&sandbox, seed);
    sandbox
}

/// Gives the input another content of 50 KiB.
fn input(sandbox: &Sandbox, seed: u8) {
    sandbox.write("x", vec![b'a' + seed; 50 << 10]);
}

/// The outputs are those of a run from nothing.
#[track_caller]
fn is_right(sandbox: &Sandbox) {
    let x = sandbox.read("x");
    assert_eq!(sandbox.read("out/a"), x.repeat(6));
    assert_eq!(sandbox.read("out/b/1"), x.repeat(2));
    assert_eq!(sandbox.read("out/b/c/2"), x.repeat(3));
    no_leftovers(&sandbox.root());
}

/// Nothing of what is written beside its place is left.
#[track_caller]
fn no_leftovers(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        assert!(!path.to_string_lossy().ends_with(".envrun-tmp"), "{} was left", path.display());
        if path.is_dir() && !path.is_symlink() {
            no_leftovers(&path);
        }
    }
}

#[track_caller]
fn warned(ran: &Ran, times: usize, words: &[&str]) {
    assert_eq!(ran.stderr.matches("warning: ").count(), times, "{}", ran.text());
    for word in words {
        assert!(ran.stderr.contains(word), "no `{word}` in\n{}", ran.text());
    }
}

fn remove_outputs(sandbox: &Sandbox) {
    for name in ["a", "b"] {
        let path = sandbox.root().join("out").join(name);
        let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    }
    let _ = fs::remove_file(sandbox.root().join("sum"));
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n")
}

fn skipped(why: &str) {
    #[expect(clippy::print_stderr, reason = "whoever runs the tests has to hear of it")]
    let () = eprintln!("SKIPPED: {why}");
}

/// A small file system of its own; gone when the test is over.
struct Disk(PathBuf);

impl Disk {
    /// One of so many KiB at `path`, if this machine lets us.
    fn at(path: PathBuf, kib: u32) -> Option<Self> {
        fs::create_dir_all(&path).unwrap();
        let options = format!("size={kib}k,mode=755");
        let mounted = is_root()
            && Command::new("mount")
                .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
                .arg(&path)
                .output()
                .is_ok_and(|output| output.status.success());
        if !mounted {
            skipped("file systems cannot be mounted here");
        }
        mounted.then_some(Self(path))
    }

    fn remount(&self, option: &str) {
        let options = format!("remount,{option}");
        let done = Command::new("mount").args(["-o", &options]).arg(&self.0).status().unwrap();
        assert!(done.success(), "mount -o {options}");
    }

    /// Writes a file until there is no room left.
    fn fill(&self) -> PathBuf {
        let path = self.0.join("filler");
        let mut file = fs::File::create(&path).unwrap();
        while std::io::Write::write_all(&mut file, &[0; 512]).is_ok() {}
        path
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_cache_keeps_nothing_and_fails_nothing() {
    let sandbox = sandbox(0);
    let Some(disk) = Disk::at(sandbox.cache(), 256) else { return };
    let ran = sandbox.ok(&["c"]);
    warned(
        &ran,
        1,
        &[
            "results are not kept in the cache: cannot write",
            "No space left on device",
            "hint: the run goes on",
        ],
    );
    is_right(&sandbox);
    no_leftovers(&sandbox.cache());
    remove_outputs(&sandbox);
    sandbox.ok(&["c"]);
    is_right(&sandbox);
    drop(disk);
}

#[test]
fn a_cache_that_becomes_read_only_is_still_read() {
    let sandbox = sandbox(0);
    let Some(disk) = Disk::at(sandbox.cache(), 16 << 10) else { return };
    sandbox.ok(&["c"]);
    disk.remount("ro");
    remove_outputs(&sandbox);
    let ran = sandbox.ok(&["c"]);
    warned(&ran, 0, &["3 restored"]);
    is_right(&sandbox);
    input(&sandbox, 1);
    let ran = sandbox.ok(&["c"]);
    warned(&ran, 1, &["results are not kept in the cache: ", "Read-only file system"]);
    is_right(&sandbox);
}

#[test]
fn records_that_do_not_fit_any_more_are_told_and_fail_nothing() {
    let sandbox = sandbox(0);
    let Some(disk) = Disk::at(sandbox.root().join(".envrun"), 512) else { return };
    for (at, fill_first) in [true, false, true].into_iter().enumerate() {
        input(&sandbox, at as u8);
        let filler = fill_first.then(|| disk.fill());
        let ran = sandbox.ok(&["c"]);
        is_right(&sandbox);
        if let Some(filler) = filler {
            assert!(ran.stderr.contains("No space left on device"), "{}", ran.text());
            warned(&ran, 1, &["this run is not recorded"]);
            fs::remove_file(filler).unwrap();
        }
        // The next run sees all that matters.
        let next = sandbox.ok(&["c"]);
        warned(&next, 0, &[]);
        is_right(&sandbox);
    }
    // Something is learned, and cannot be written any more.
    let filler = disk.fill();
    input(&sandbox, 7);
    sandbox.run(&["c"]);
    is_right(&sandbox);
    fs::remove_file(filler).unwrap();
    input(&sandbox, 8);
    sandbox.ok(&["c"]);
    is_right(&sandbox);
}

#[test]
fn what_does_not_fit_among_the_outputs_is_not_restored_by_halves() {
    let sandbox = sandbox(0);
    let Some(disk) = Disk::at(sandbox.root().join("out"), 2048) else { return };
    sandbox.ok(&["c"]);
    sandbox.write("x", "small");
    sandbox.ok(&["c"]);
    let filler = disk.fill();
    input(&sandbox, 0);
    let ran = sandbox.run(&["c"]);
    // The commands that follow find no room either, and say so themselves.
    assert_eq!(ran.exit, 1, "{}", ran.text());
    assert!(ran.stderr.contains("the cached result of `a` was not used: cannot write"), "{}", ran.text());
    assert!(ran.stderr.contains("out/a`: No space left on device"), "{}", ran.text());
    assert_eq!(ran.stderr.matches("the cached result of `a` was not used").count(), 1, "{}", ran.text());
    no_leftovers(&sandbox.root());
    fs::remove_file(filler).unwrap();
    let ran = sandbox.ok(&["c"]);
    warned(&ran, 0, &[]);
    is_right(&sandbox);
    drop(disk);
}

#[test]
fn outputs_that_cannot_be_written_are_named() {
    let sandbox = sandbox(0);
    sandbox.ok(&["c"]);
    let Some(disk) = Disk::at(sandbox.root().join("out"), 2048) else { return };
    disk.remount("ro");
    let ran = sandbox.run(&["c"]);
    assert_eq!(ran.exit, 1, "{}", ran.text());
    assert!(ran.stderr.contains("out/a`: Read-only file system"), "{}", ran.text());
    disk.remount("rw");
    sandbox.ok(&["c"]);
    is_right(&sandbox);
}

/// `envrun`, run by somebody who is not root: root may read and write everything.
fn as_nobody(sandbox: &Sandbox, args: &[&str]) -> Option<Ran> {
    use std::os::unix::fs::PermissionsExt;

    if !is_root() {
        return Some(sandbox.run(args));
    }
    let base = sandbox.root().parent().unwrap().to_path_buf();
    let open = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    open(&base, 0o755);
    // The program may lie in a home that only root may enter.
    let program = base.join("envrun");
    if !program.exists() {
        fs::copy(env!("CARGO_BIN_EXE_envrun"), &program).unwrap();
    }
    let ours = sandbox.command(args);
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&program).args(args);
    command.current_dir(sandbox.root()).env_clear().stdin(std::process::Stdio::null());
    command.envs(ours.get_envs().filter_map(|(name, value)| Some((name, value?))));
    match command.output() {
        Ok(output) => Some(sandbox.ran(output)),
        Err(_) => {
            skipped("there is no setpriv");
            None
        }
    }
}

/// Gives everything below a folder to everybody.
fn share(folder: &Path) {
    let done = Command::new("chmod").args(["-R", "a+rwX"]).arg(folder).status().unwrap();
    assert!(done.success());
}

fn forbid(path: &Path, mode: &str) {
    let done = Command::new("chmod").args(["-R", mode]).arg(path).status().unwrap();
    assert!(done.success());
}

#[test]
fn a_cache_folder_that_may_not_be_made_is_one_warning() {
    let sandbox = sandbox(0);
    share(&sandbox.root());
    fs::create_dir_all(sandbox.cache()).unwrap();
    forbid(&sandbox.cache(), "755");
    let Some(ran) = as_nobody(&sandbox, &["c"]) else { return };
    if is_root() {
        assert_eq!(ran.exit, 0, "{}", ran.text());
        warned(
            &ran,
            1,
            &[
                "the cache is not used: cannot create the folder",
                "Permission denied",
                "hint: the run goes on",
            ],
        );
    }
    is_right(&sandbox);
}

#[test]
fn a_cache_that_is_no_folder_is_one_warning() {
    let sandbox = sandbox(0);
    fs::write(sandbox.cache(), "not a folder").unwrap();
    let ran = sandbox.ok(&["c"]);
    warned(&ran, 1, &["the cache is not used: "]);
    is_right(&sandbox);
    remove_outputs(&sandbox);
    sandbox.ok(&["c"]);
    is_right(&sandbox);
}

#[test]
fn a_cache_that_may_not_be_read_or_written_any_more_is_one_warning_each() {
    let sandbox = sandbox(0);
    share(&sandbox.root());
    fs::create_dir_all(sandbox.cache()).unwrap();
    share(&sandbox.cache());
    let Some(first) = as_nobody(&sandbox, &["c"]) else { return };
    assert_eq!(first.exit, 0, "{}", first.text());
    for (room, mode, words) in [
        ("tmp", "a-w", "results are not kept in the cache: cannot write"),
        ("results", "a-rwx", "the cache was not read: cannot read"),
    ] {
        forbid(&sandbox.cache().join("envrun").join(room), mode);
        input(&sandbox, words.len() as u8 % 20);
        let ran = as_nobody(&sandbox, &["c"]).unwrap();
        assert_eq!(ran.exit, 0, "{}", ran.text());
        assert!(ran.stderr.contains(words) && ran.stderr.contains("Permission denied"), "{}", ran.text());
        assert_eq!(ran.stderr.matches(words).count(), 1, "{}", ran.text());
        is_right(&sandbox);
    }
    // What may not be read is not told to be empty.
    if is_root() {
        let ran = as_nobody(&sandbox, &["cache", "stats"]).unwrap();
        assert_eq!((ran.exit, &*ran.stdout), (1, ""), "{}", ran.text());
        assert!(
            ran.stderr.contains("cannot list `") && ran.stderr.contains("Permission denied"),
            "{}",
            ran.text()
        );
    }
    share(&sandbox.cache());
}

#[test]
fn an_input_that_may_not_be_read_is_named() {
    let sandbox = sandbox(0);
    share(&sandbox.root());
    fs::create_dir_all(sandbox.cache()).unwrap();
    share(&sandbox.cache());
    forbid(&sandbox.root().join("x"), "a-r");
    let Some(ran) = as_nobody(&sandbox, &["a"]) else { return };
    assert_eq!(ran.exit, 1, "{}", ran.text());
    assert!(
        ran.stderr.contains("cannot open `") && ran.stderr.contains("/x`: Permission denied"),
        "{}",
        ran.text()
    );
    assert!(!sandbox.exists("out/a"));
    forbid(&sandbox.root().join("x"), "a+r");
    let ran = as_nobody(&sandbox, &["c"]).unwrap();
    assert_eq!(ran.exit, 0, "{}", ran.text());
    is_right(&sandbox);
}

#[test]
fn a_tree_that_may_only_be_read_can_be_checked() {
    let sandbox =
        Sandbox::with(&[("Envfile.kdl", "task \"lint\" { inputs \"x\"; run \"cat x\" }"), ("x", "good\n")]);
    fs::create_dir_all(sandbox.cache()).unwrap();
    share(&sandbox.cache());
    forbid(&sandbox.root(), "a+rX,a-w");
    let Some(ran) = as_nobody(&sandbox, &["lint"]) else { return };
    assert_eq!(ran.exit, 0, "{}", ran.text());
    warned(&ran, 1, &["this run is not recorded", "Permission denied"]);
    assert!(ran.stdout.contains("good") || ran.stderr.contains("good"), "{}", ran.text());
    forbid(&sandbox.root(), "u+w");
}

#[test]
fn with_few_descriptors_a_run_is_right_or_says_what_it_lacks() {
    let sandbox = sandbox(0);
    let mut good = 0;
    for limit in (4..40).chain([48, 64]) {
        input(&sandbox, limit as u8 % 20);
        let ours = sandbox.command(&["-j2", "c"]);
        let mut command = Command::new("sh");
        command.args(["-c", &format!("ulimit -n {limit} && exec \"$0\" -j2 c")]).arg(ours.get_program());
        command.current_dir(sandbox.root()).env_clear();
        command.envs(ours.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let ran = sandbox.ran(command.output().unwrap());
        if ran.exit == 0 {
            good += 1;
            is_right(&sandbox);
        } else {
            // Below ten not even the program's own libraries can be opened.
            assert!(limit < 10 || ran.stderr.contains("Too many open files"), "{limit}: {}", ran.text());
            assert!(ran.exit != 70 && !ran.stderr.contains("panicked"), "{limit}: {}", ran.text());
        }
        no_leftovers(&sandbox.root());
    }
    assert!(good > 2, "with 64 descriptors a run is possible");
    sandbox.ok(&["c"]);
    is_right(&sandbox);
}

#[test]
fn a_file_that_comes_and_goes_while_it_is_looked_at() {
    let sandbox =
        Sandbox::new(r#"task "count" { inputs "in/**"; outputs "n"; run "cat in/* > n; sleep 0.01" }"#);
    (0..200).for_each(|at| sandbox.write(&format!("in/{at}"), format!("{at}\n")));
    let over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (here, there) = (sandbox.root().join("in/100"), sandbox.root().join("away"));
            while !over.load(std::sync::atomic::Ordering::Relaxed) {
                fs::rename(&here, &there).unwrap();
                fs::rename(&there, &here).unwrap();
            }
        });
        for _ in 0..20 {
            let ran = sandbox.run(&["count"]);
            assert!(ran.exit == 0 || ran.stderr.contains("in/100"), "{}", ran.text());
        }
        over.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    sandbox.ok(&["count"]);
    let mut names: Vec<String> = (0..200).map(|at| at.to_string()).collect();
    names.sort();
    assert_eq!(sandbox.read("n"), names.join("\n") + "\n");
}
