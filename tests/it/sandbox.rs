//! One harness for the program's tests: a folder, some files, a command line; what came out, as one text.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Once;
use std::time::Duration;

use expect_test::Expect;

static WATCHDOG: Once = Once::new();

/// How long all tests together may take; the long forms, which a variable asks for, may take longer.
const LIMIT: Duration = Duration::from_secs(20 * 60);

/// Ends the tests when one of them hangs, and tells what was running.
fn watch_over() {
    let long = |(name, _): (std::ffi::OsString, _)| name.to_string_lossy().starts_with("ENVRUN_");
    if std::env::vars_os().any(long) {
        return;
    }
    std::thread::spawn(|| {
        std::thread::sleep(LIMIT);
        let args = ["-eo", "pid,ppid,pgid,stat,etimes,wchan,args", "--forest"];
        let list = Command::new("ps").args(args).output().map(|output| output.stdout).unwrap_or_default();
        #[expect(clippy::print_stderr, reason = "whoever runs the tests has to hear of it")]
        let () = eprintln!("the tests hang; what is running:\n{}", String::from_utf8_lossy(&list));
        std::process::abort();
    });
}

/// A folder with an Envfile and a cache and a home of its own.
pub struct Sandbox {
    dir: tempfile::TempDir,
    vars: Vec<(String, String)>,
}

/// What a command did.
pub struct Ran {
    pub exit: i32,
    pub stdout: String,
    pub stderr: String,
    root: PathBuf,
}

impl Sandbox {
    /// A folder with only this Envfile.
    pub fn new(envfile: &str) -> Self {
        Self::with(&[("Envfile.kdl", envfile)])
    }

    /// A folder with these files.
    pub fn with(files: &[(&str, &str)]) -> Self {
        WATCHDOG.call_once(watch_over);
        let sandbox = Self { dir: tempfile::tempdir().unwrap(), vars: Vec::new() };
        std::fs::create_dir_all(sandbox.root()).unwrap();
        for (path, text) in files {
            sandbox.write(path, text);
        }
        sandbox
    }

    /// The project's folder.
    pub fn root(&self) -> PathBuf {
        // macOS and some CI machines have links on the way to the temporary folder; envrun shows real paths.
        self.dir.path().canonicalize().unwrap().join("project")
    }

    /// The user's cache folder.
    pub fn cache(&self) -> PathBuf {
        self.dir.path().canonicalize().unwrap().join("cache")
    }

    /// Gives every later command a variable.
    pub fn set(&mut self, name: &str, value: &str) {
        self.vars.push((name.into(), value.into()));
    }

    /// Writes a file, with the folders on the way.
    pub fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        let path = self.root().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Writes a file as most editors do: it is there at once, with all that is in it.
    pub fn save(&self, path: &str, text: impl AsRef<[u8]>) {
        let (whole, path) = (self.root().with_file_name("saving"), self.root().join(path));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&whole, text).unwrap();
        std::fs::rename(whole, path).unwrap();
    }

    /// Writes a shell script that can be executed.
    #[cfg(unix)]
    pub fn script(&self, path: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt;
        self.write(path, text);
        std::fs::set_permissions(self.root().join(path), std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Reads a file.
    pub fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Whether a file is there.
    pub fn exists(&self, path: &str) -> bool {
        self.root().join(path).symlink_metadata().is_ok()
    }

    /// `envrun` with these arguments, not yet started, in an environment with nothing of the tester's.
    pub fn command(&self, args: &[&str]) -> Command {
        self.command_in(&self.root(), args)
    }

    /// The same, started in another folder.
    pub fn command_in(&self, dir: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_envrun"));
        let home = self.dir.path().join("home");
        std::fs::create_dir_all(&home).unwrap();
        command
            .args(args)
            .current_dir(dir)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", home)
            .env("XDG_CACHE_HOME", self.cache())
            .env("TZ", "UTC")
            .envs(self.vars.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
        command
    }

    /// Runs `envrun` with these arguments.
    pub fn run(&self, args: &[&str]) -> Ran {
        self.ran(self.command(args).output().unwrap())
    }

    /// Runs it and wants success.
    #[track_caller]
    pub fn ok(&self, args: &[&str]) -> Ran {
        let ran = self.run(args);
        assert_eq!(ran.exit, 0, "envrun {args:?}\n{}", ran.text());
        ran
    }

    /// Runs it and compares everything that can be seen.
    #[track_caller]
    pub fn check(&self, args: &[&str], expected: Expect) {
        expected.assert_eq(&self.run(args).text());
    }

    /// Puts what a finished process left into a form that can be compared.
    pub fn ran(&self, output: Output) -> Ran {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ran {
            exit: output.status.code().unwrap_or(-1),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
            root: self.root(),
        }
    }
}

impl Ran {
    /// Exit status, standard output and standard error as one text, with what differs from run to run replaced.
    pub fn text(&self) -> String {
        let mut text = format!("exit: {}\n", self.exit);
        for (name, stream) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            if !stream.is_empty() {
                let _ = write!(text, "--- {name}\n{}", stable(stream, &self.root));
                if !stream.ends_with('\n') {
                    text.push('\n');
                }
            }
        }
        text
    }
}

/// Replaces the temporary folder, times and run ids.
fn stable(text: &str, root: &Path) -> String {
    let text = text.replace(&root.display().to_string(), "$ROOT");
    let mut out = String::new();
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
        let begins = out.chars().last().is_none_or(|before| !before.is_alphanumeric() && before != '-');
        if digits > 0 && begins {
            let (number, after) = rest.split_at(digits);
            let unit = ["ms", "s", "m"].into_iter().find(|unit| {
                after
                    .strip_prefix(unit)
                    .is_some_and(|after| !after.starts_with(|c: char| c.is_alphanumeric()))
            });
            let run_id = number.len() == 8
                && after.starts_with('-')
                && after[1..].bytes().take(6).all(|b| b.is_ascii_digit());
            if let Some(unit) = unit {
                out.push_str("[time]");
                rest = &after[unit.len()..];
            } else if run_id {
                out.push_str("[run]");
                rest = after[7..].trim_start_matches(|c: char| c == '-' || c.is_ascii_hexdigit());
            } else {
                out.push_str(number);
                rest = after;
            }
        } else {
            let next = rest.chars().next().expect("the rest is not empty");
            out.push(next);
            rest = &rest[next.len_utf8()..];
        }
    }
    out
}

/// Makes a named pipe; by the system's own command, as not every system has a call for it that Rust knows.
pub fn mkfifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success(), "{}", path.display());
}

/// Whether a program is there; installs its package where that may be done, and in CI insists.
pub fn need(program: &str, package: &str) -> bool {
    let there = || {
        Command::new("sh")
            .args(["-c", &format!("command -v {program}")])
            .output()
            .is_ok_and(|o| o.status.success())
    };
    if there() {
        return true;
    }
    let root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.starts_with(b"0"));
    if root {
        let install =
            format!("apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q {package}");
        let _ =
            Command::new("sh").args(["-c", &install]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
    if there() {
        return true;
    }
    assert!(std::env::var_os("CI").is_none(), "`{program}` is missing and could not be installed");
    #[expect(clippy::print_stderr, reason = "whoever runs the tests has to hear of it")]
    let () = eprintln!("SKIPPED: `{program}` is missing (Debian package {package})");
    false
}

/// Runs envrun on a terminal of its own: answers come when their question has come. Gives its status and all that stood on
/// the terminal. With `hidden`, the terminal must not show what is typed from the moment a question is there, and must again
/// when the program is over.
#[cfg(unix)]
pub fn on_terminal(sandbox: &Sandbox, args: &[&str], talk: &[(&str, &str)], hidden: bool) -> (i32, String) {
    const SCRIPT: &str = r#"
import json, os, pty, select, sys, termios, time
args, talk, hidden = json.loads(sys.argv[1])
pid, terminal = pty.fork()
if pid == 0:
    os.execv(args[0], args)
said, deadline = b"", time.time() + 60
def more():
    global said
    if not select.select([terminal], [], [], max(0, deadline - time.time()))[0]:
        sys.exit("nothing came for 60 seconds after:\n" + said.decode(errors="replace"))
    try:
        piece = os.read(terminal, 65536)
    except OSError:
        piece = b""
    said += piece
    return piece != b""
def echoes():
    return termios.tcgetattr(terminal)[3] & termios.ECHO != 0
seen = 0
for question, answer in talk:
    while question.encode() not in said[seen:]:
        if not more():
            sys.exit(f"it ended without {question!r}:\n" + said.decode(errors="replace"))
    seen = len(said)
    if hidden and echoes():
        sys.exit("what is typed would be shown")
    os.write(terminal, answer.encode())
# Held open, so that its modes can be asked for when nobody else has it.
while more():
    pass
status = os.waitpid(pid, 0)[1]
sys.stdout.write(json.dumps([os.waitstatus_to_exitcode(status), said.decode(errors="replace")]))
"#;
    let program = env!("CARGO_BIN_EXE_envrun");
    let args: Vec<&str> = std::iter::once(program).chain(args.iter().copied()).collect();
    let asked = serde_json::to_string(&(args, talk, hidden)).unwrap();
    let template = sandbox.command(&[]);
    let mut command = Command::new("python3");
    command.args(["-c", SCRIPT, &asked]).current_dir(sandbox.root()).env_clear().env("TERM", "dumb");
    command.envs(template.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What git prints, started in a folder by somebody of that name, with nobody's settings. It has to succeed.
#[track_caller]
pub fn git(dir: &Path, who: &str, args: &[&str]) -> String {
    let mail = format!("user.email={}@example.org", who.to_lowercase());
    let output = Command::new("git")
        .args(["-c", &format!("user.name={who}"), "-c", &mail, "-c", "commit.gpgsign=false"])
        .args(args)
        .current_dir(dir)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .output()
        .unwrap();
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Gives the repository in a folder a bare origin beside it, and another checkout of that: where both are.
#[track_caller]
pub fn share(root: &Path, who: &str) -> (PathBuf, PathBuf) {
    let (origin, other) = (root.with_file_name("origin.git"), root.with_file_name("other"));
    let [origin_text, other_text] = [&origin, &other].map(|path| path.to_str().unwrap());
    git(root, who, &["init", "--quiet", "--bare", origin_text]);
    git(root, who, &["remote", "add", "origin", origin_text]);
    git(root, who, &["push", "--quiet", "origin", "main"]);
    git(root, who, &["clone", "--quiet", "-b", "main", origin_text, other_text]);
    (origin, other)
}
