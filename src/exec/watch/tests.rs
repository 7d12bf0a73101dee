use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::*;
use crate::exec::{CommandSpec, Ended, Environ, Exit, Invocation, Io, Processes, Shell, StartError, run};

/// A project with a few files.
struct Place {
    dir: tempfile::TempDir,
    env: Environ,
}

impl Place {
    fn new() -> Self {
        let path = std::env::var_os("PATH").expect("tests are run with a PATH");
        let place = Self { dir: tempfile::tempdir().unwrap(), env: Environ::new([("PATH", path)]) };
        std::fs::create_dir_all(place.root().join("dir/sub")).unwrap();
        for name in ["a", "b", "dir/c", "dir/sub/d"] {
            std::fs::write(place.root().join(name), name).unwrap();
        }
        std::os::unix::fs::symlink("a", place.root().join("link")).unwrap();
        std::os::unix::fs::symlink("dir", place.root().join("folder")).unwrap();
        place
    }

    fn root(&self) -> PathBuf {
        self.dir.path().canonicalize().unwrap()
    }

    fn run(&self, watch: &Watch, text: &str) -> Result<Ended, StartError> {
        let shell = Shell::new("bash");
        let shell = if text.starts_with("bash ") { shell } else { Shell::default() };
        let root = self.root();
        let spec = CommandSpec {
            invocation: Invocation::Shell { text: text.trim_start_matches("bash "), shell: &shell },
            dir: &root,
            env: &self.env,
            io: Io::Captured,
            timeout: Some(Duration::from_secs(60)),
            grace: Duration::from_secs(1),
            cleanup: false,
            owner: None,
            watch: Some(watch),
        };
        run(&spec, &Processes::new(Duration::from_secs(10)), &mut |_, _| {})
    }

    /// What is seen of a command, a line for each file.
    fn seen(&self, text: &str) -> Vec<String> {
        let watch = Watch::new(&self.root());
        let ended = self.run(&watch, text).unwrap();
        assert_eq!(ended.exit, Exit::Status(0), "{text}");
        let seen = watch.seen();
        assert!(seen.gaps.is_empty(), "{:?}", seen.gaps);
        lines(&seen)
    }
}

fn lines(seen: &Seen) -> Vec<String> {
    let words = |uses: Uses| {
        let all = [
            (uses.read, "read"),
            (uses.run, "run"),
            (uses.asked, "asked"),
            (uses.absent, "absent"),
            (uses.listed, "listed"),
            (uses.written, "written"),
            (uses.removed, "removed"),
            (uses.denied, "denied"),
        ];
        all.into_iter().filter(|(is, _)| *is).map(|(_, word)| word).collect::<Vec<_>>().join(" ")
    };
    let line = |access: &Access| format!("{}: {}", access.path.display(), words(access.uses));
    seen.accesses.iter().map(line).collect()
}

/// A way to read a file, the path among what must be seen, and how.
const KINDS: &[(&str, &str)] = &[
    ("cat a", "a: read"),
    ("x=$(cat < a); echo $x", "a: read"),
    ("while read line; do echo $line; done < dir/c", "dir/c: read"),
    ("bash mapfile -t lines < a", "a: read"),
    ("env -i /bin/cat a", "a: read"),
    ("cat link", "a: read"),
    ("cat link", "link: read"),
    ("cat folder/c", "dir/c: read"),
    ("cat folder/c", "folder: read"),
    ("readlink link", "link: read"),
    ("cat dir/sub/../c", "dir/c: read"),
    ("cd dir/sub && cat ../../a", "a: read"),
    ("cat $PWD/a", "a: read"),
    ("cat /proc/self/cwd/a", "a: read"),
    ("test -e a", "a: asked"),
    ("[ -x dir/c ] || true", "dir/c: asked"),
    ("stat a", "a: asked"),
    ("cat nothing || true", "nothing: absent"),
    ("ls dir", "dir: listed"),
    ("echo dir/*", "dir: listed"),
    ("find . -name d", "dir/sub: listed"),
    ("(cat a &) ; wait", "a: read"),
    ("cat a & wait", "a: read"),
    ("(setsid sh -c 'cat a; echo > done' &); until [ -e done ]; do :; done", "a: read"),
    ("tar cf - dir | cat > /dev/null", "dir/sub/d: read"),
    ("sed -n p a", "a: read"),
    ("awk 1 a", "a: read"),
    ("grep -r d dir", "dir/sub/d: read"),
    ("cp a /dev/null", "a: read"),
    ("mv a moved", "a: read removed"),
    ("ln a hard", "a: read"),
    ("sort -o b a", "a: read"),
    ("exec 3< a; cat <&3", "a: read"),
    ("xargs -a a echo", "a: read"),
];

#[test]
fn every_kind_of_read_is_seen() {
    for (text, expected) in KINDS {
        let seen = Place::new().seen(text);
        let (path, uses) = expected.split_once(": ").unwrap();
        let found = seen.iter().find_map(|line| line.strip_prefix(&format!("{path}: ")));
        let found = found.unwrap_or_else(|| panic!("`{text}`: no {path} in {seen:?}"));
        for word in uses.split(' ') {
            assert!(found.split(' ').any(|one| one == word), "`{text}`: {path} is not {word}: {seen:?}");
        }
    }
}

#[test]
fn every_kind_of_write_is_seen() {
    for (text, expected) in [
        ("echo x > new", "new: written"),
        ("echo x >> a", "a: written"),
        ("echo x > a", "a: written"),
        ("mv b c", "c: written"),
        ("cp a c", "c: written"),
        ("ln -s a c", "c: written"),
        ("ln a c", "c: written"),
        ("rm b", "b: removed"),
        ("mkdir made", "made: written"),
        ("touch a", "a: written"),
        ("chmod 600 b", "b: written"),
        ("truncate -s 0 b", "b: written"),
        ("sed -i s/b/c/ b", "b: read written"),
        ("dd if=a of=c 2> /dev/null", "c: written"),
    ] {
        let seen = Place::new().seen(text);
        let (path, uses) = expected.split_once(": ").unwrap();
        let found = seen.iter().find_map(|line| line.strip_prefix(&format!("{path}: ")));
        let found = found.unwrap_or_else(|| panic!("`{text}`: no {path} in {seen:?}"));
        for word in uses.split(' ') {
            assert!(found.split(' ').any(|one| one == word), "`{text}`: {path} is not {word}: {seen:?}");
        }
    }
}

#[test]
fn what_a_command_made_itself_is_not_read() {
    let place = Place::new();
    assert_eq!(place.seen("echo x > new; cat new; echo y >> new; cat new; rm new"), ["new: written removed"]);
    assert_eq!(
        place.seen("mkdir t; echo x > t/x; mv t u; cat u/x; rm -r u"),
        ["t: written removed", "t/x: written", "u: written removed", "u/x: removed"]
    );
    assert_eq!(place.seen("echo x > a; cat a"), ["a: written"]);
}

#[test]
fn programs_of_the_project_are_run() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    let script = place.root().join("script");
    std::fs::write(&script, "#!/bin/sh\ncat a\n").unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(place.seen("./script"), ["a: read", "script: read run"]);
    let other = place.root().join("other");
    std::fs::write(&other, format!("#!{}\n", script.display())).unwrap();
    std::fs::set_permissions(&other, std::fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(place.seen("./other; true"), ["a: read", "other: run", "script: read run"]);
}

#[test]
fn a_static_program_and_raw_system_calls_are_seen() {
    let place = Place::new();
    let source = place.root().join("raw.c");
    std::fs::write(
        &source,
        r#"
        #include <fcntl.h>
        #include <sys/syscall.h>
        #include <unistd.h>
        int main(void) {
            if (syscall(425, 1, (void *)0) != -1) return 9; /* io_uring */
            int fd = syscall(SYS_openat, AT_FDCWD, "a", O_RDONLY);
            unsigned long long how[3] = {O_RDONLY, 0, 0};
            int other = syscall(437, AT_FDCWD, "b", how, sizeof how);
            char c;
            return fd < 0 || other < 0 || read(fd, &c, 1) != 1 || c != 'a';
        }
        "#,
    )
    .unwrap();
    let program = place.root().join("raw");
    let compiler = Command::new("cc").args(["-static", "-o"]).arg(&program).arg(&source).status();
    if !compiler.is_ok_and(|status| status.success()) {
        return; // No compiler, or no static C library: the other tests stand.
    }
    assert_eq!(place.seen("./raw"), ["a: read", "b: read", "raw: run"]);
}

#[test]
fn python_and_git_are_seen() {
    let place = Place::new();
    let there = |program: &str| Command::new(program).arg("--version").output().is_ok();
    if there("python3") {
        let seen = place.seen("python3 -c \"open('a').read(); import os; os.listdir('dir')\"");
        assert!(seen.contains(&"a: read".to_owned()) && seen.contains(&"dir: listed".to_owned()), "{seen:?}");
    }
    if there("git") {
        let seen = place.seen("git hash-object a");
        assert!(seen.iter().any(|line| line.starts_with("a: read")), "{seen:?}");
    }
}

#[test]
fn who_did_it_is_told() {
    let place = Place::new();
    let watch = Watch::new(&place.root());
    place.run(&watch, "cat a; sh -c 'echo x > c'").unwrap();
    let by: Vec<_> = watch.seen().accesses.into_iter().map(|access| access.by).collect();
    assert_eq!(by, ["cat a", "sh -c echo x > c"]);
}

#[test]
fn what_is_not_allowed_is_refused() {
    let place = Place::new();
    let watch = Watch::strict(&place.root(), |path| path.as_bytes() == b"a");
    let ended = place.run(&watch, "cat a; cat b").unwrap();
    assert_eq!(ended.exit, Exit::Status(1));
    assert_eq!(watch.denied().iter().map(|path| path.display().into_owned()).collect::<Vec<_>>(), ["b"]);
    // What it makes itself it may read, and whatever lies elsewhere.
    let watch = Watch::strict(&place.root(), |_| false);
    let ended = place.run(&watch, "echo x > new; cat new /etc/passwd; t=$(mktemp); cat $t; rm $t").unwrap();
    assert_eq!(ended.exit, Exit::Status(0));
    assert!(watch.denied().is_empty());
}

#[test]
fn paths_cannot_be_given_another_meaning() {
    let place = Place::new();
    let turned =
        "d=$(mktemp -d); unshare -rm sh -c \"mount --bind . $d && cat $d/b\"; s=$?; rmdir $d; exit $s";
    let free = place.run(&Watch::new(&place.root()), turned).unwrap();
    if free.exit != Exit::Status(0) {
        #[expect(clippy::print_stderr, reason = "whoever runs the tests has to hear of it")]
        let () = eprintln!("SKIPPED: nobody may mount anything here");
        return;
    }
    let strict = place.run(&Watch::strict(&place.root(), |_| false), turned).unwrap();
    assert_ne!(strict.exit, Exit::Status(0), "a file that is kept from it was read under another name");
}

#[test]
fn a_program_that_is_not_there_leaves_nobody_waiting() {
    let place = Place::new();
    let watch = Watch::new(&place.root());
    let words = ["./nothing".to_owned()];
    let root = place.root();
    let spec = CommandSpec {
        invocation: Invocation::Argv(&words),
        dir: &root,
        env: &place.env,
        io: Io::Captured,
        timeout: None,
        grace: Duration::ZERO,
        cleanup: false,
        owner: None,
        watch: Some(&watch),
    };
    let error = run(&spec, &Processes::new(Duration::from_secs(10)), &mut |_, _| {}).unwrap_err();
    assert!(matches!(error, StartError::Program(_)), "{error}");
    // One that is there, and that the system refuses.
    std::fs::write(root.join("bad"), b"\x7fELF\0\0").unwrap();
    std::fs::set_permissions(root.join("bad"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let words = ["./bad".to_owned()];
    let spec = CommandSpec { invocation: Invocation::Argv(&words), ..spec };
    run(&spec, &Processes::new(Duration::from_secs(10)), &mut |_, _| {}).unwrap_err();
}
