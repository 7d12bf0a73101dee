//! Rotation, proved on a real PostgreSQL: its role has the new password, or, whatever fails, the old one.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::dying::{Moment, dies};
use crate::sandbox::{Ran, Sandbox, need};

/// A server of its own, stopped when it is dropped.
struct Postgres {
    dir: tempfile::TempDir,
    bin: PathBuf,
    port: u16,
}

const OLD: &str = "old-password-1234";

impl Postgres {
    fn start() -> Option<Self> {
        if !need("pg_ctlcluster", "postgresql") {
            return None;
        }
        let mut versions: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
            .unwrap()
            .flatten()
            .map(|entry| entry.path().join("bin"))
            .filter(|bin| bin.join("initdb").exists())
            .collect();
        versions.sort();
        let bin = versions.pop().expect("Debian's package has its programs there");
        let dir = tempfile::tempdir().unwrap();
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        drop(socket);
        let server = Self { dir, bin, port };
        std::fs::write(server.path("pw"), OLD).unwrap();
        if is_root() {
            let path = server.dir.path().display().to_string();
            assert!(Command::new("chown").args(["-R", "postgres", &path]).status().unwrap().success());
        }
        let made = server.run(
            "initdb",
            &[
                "-D",
                "data",
                "-U",
                "app",
                "--pwfile",
                "pw",
                "-A",
                "scram-sha-256",
                "--no-sync",
                "-E",
                "UTF8",
                "--locale=C",
            ],
        );
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let options = format!(
            "-p {port} -k {} -c listen_addresses=127.0.0.1 -c fsync=off",
            server.dir.path().display()
        );
        let started = server.run("pg_ctl", &["-D", "data", "-w", "-l", "log", "-o", &options, "start"]);
        assert!(
            started.status.success(),
            "{}",
            std::fs::read_to_string(server.path("log")).unwrap_or_default()
        );
        Some(server)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Runs one of its programs: initdb refuses to be root.
    fn run(&self, program: &str, args: &[&str]) -> Output {
        let program = self.bin.join(program);
        let mut command = if is_root() {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        // pg_ctl leaves the server behind, which must not hold a pipe of ours.
        let log = std::fs::File::create(self.path_of_output()).unwrap();
        let status = command
            .args(args)
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .status()
            .unwrap();
        Output { status, stdout: Vec::new(), stderr: std::fs::read(self.path_of_output()).unwrap() }
    }

    fn path_of_output(&self) -> PathBuf {
        self.path("output")
    }

    /// Whether the role can log in with that password.
    fn admits(&self, password: &str) -> bool {
        Command::new("psql")
            .args(["-h", "127.0.0.1", "-U", "app", "-d", "postgres", "-tAc", "select 1"])
            .env("PGPORT", self.port.to_string())
            .env("PGPASSWORD", password)
            .stdin(Stdio::null())
            .output()
            .unwrap()
            .status
            .success()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.run("pg_ctl", &["-D", "data", "-m", "immediate", "stop"]);
    }
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.starts_with(b"0\n"))
}

fn stored(sandbox: &Sandbox) -> String {
    sandbox.read("box").lines().find_map(|line| line.strip_prefix("DB_PASSWORD=")).unwrap().to_owned()
}

/// Nobody saw any of the passwords, and no candidate is left lying about.
fn clean(ran: &Ran, sandbox: &Sandbox, passwords: &[&str]) {
    for password in passwords {
        assert!(!ran.text().contains(password), "{}", ran.text());
    }
    assert!(!sandbox.exists(".envrun/secrets/dev.rotating.env"), "{}", ran.text());
}

#[test]
fn a_password_of_postgres_is_replaced_or_stays() {
    let Some(server) = Postgres::start() else { return };
    let mut sandbox = Sandbox::new(
        r##"
secrets store="box" {
    DB_PASSWORD generate="password" length=24 rotate="90d" on-rotate="tell" verify="check"
}
store "box" {
    read "cat box"
    write #"printf '%s=' "$KEY" > new; cat >> new; echo >> new; test ! -e half-broken || cp new box; test ! -e store-broken; mv new box"#
}
env "dev"
task "tell" {
    run #"""
        export PGPASSWORD="$DB_PASSWORD"
        psql -q -h 127.0.0.1 -U app -d postgres -v ON_ERROR_STOP=1 <<'SQL'
        \getenv new NEW_SECRET
        ALTER ROLE app PASSWORD :'new';
        SQL
        if test -e hang; then touch hanging; sleep 60; fi
        test ! -e tell-broken || { rm tell-broken; exit 1; }
        """#
}
task "check" { run #"test ! -e broken; PGPASSWORD="$DB_PASSWORD" psql -h 127.0.0.1 -U app -d postgres -tAc "select 'fine'""# }
"##,
    );
    sandbox.set("PGPORT", &server.port.to_string());
    sandbox.write("box", format!("DB_PASSWORD={OLD}\n"));
    assert!(server.admits(OLD));
    let rotate = |sandbox: &Sandbox| sandbox.run(&["secret", "rotate", "dev", "DB_PASSWORD"]);

    let ran = rotate(&sandbox);
    assert_eq!(ran.exit, 0, "{}", ran.text());
    let first = stored(&sandbox);
    assert!(first != OLD && server.admits(&first) && !server.admits(OLD));
    clean(&ran, &sandbox, &[OLD, &first]);

    // Whatever fails, and wherever: the password that was good is good.
    for (broken, what) in [
        ("tell-broken", "`dev.tell` failed"),
        ("store-broken", "its `write` ended with status 1"),
        ("broken", "`dev.check` failed"),
    ] {
        sandbox.write(broken, "");
        let ran = rotate(&sandbox);
        assert_eq!(ran.exit, 5, "{broken}: {}", ran.text());
        assert!(ran.stderr.contains(what), "{broken}: {}", ran.text());
        assert_eq!(stored(&sandbox), first, "{broken}");
        assert!(server.admits(&first), "{broken}: {}", ran.text());
        clean(&ran, &sandbox, &[&first]);
        let _ = std::fs::remove_file(sandbox.root().join(broken));
    }

    // A store that writes and fails all the same cannot be put back either: then it is said, and the candidate is kept.
    sandbox.write("store-broken", "");
    sandbox.write("half-broken", "");
    let ran = rotate(&sandbox);
    assert_eq!(ran.exit, 6, "{}", ran.text());
    let candidate = sandbox.read(".envrun/secrets/dev.rotating.env");
    let candidate = candidate.trim_end().strip_prefix("DB_PASSWORD=").unwrap().to_owned();
    assert!(!ran.text().contains(&candidate), "{}", ran.text());
    assert!(server.admits(&candidate), "it is the one that the database has: {}", ran.text());
    for broken in ["store-broken", "half-broken"] {
        std::fs::remove_file(sandbox.root().join(broken)).unwrap();
    }
    sandbox.write("box", format!("DB_PASSWORD={first}\n"));
    let ran = rotate(&sandbox);
    assert_eq!(ran.exit, 0, "{}", ran.text());
    assert!(ran.stderr.contains("ended in the middle"), "{}", ran.text());
    let second = stored(&sandbox);
    assert!(server.admits(&second) && !server.admits(&candidate) && !server.admits(&first));

    killed_in_the_middle(&server, &sandbox, &second);
}

/// The owner of the secret is a file that wants to hear the old value before it takes the new one. Where `die` says so a
/// command ends envrun.
const KILLED: &str = r##"
secrets store="box" { KEY generate="hex" length=16 on-rotate="tell" verify="check" }
store "box" {
    read "cat box"
    write #"""
        . ./die.sh
        IFS= read -r value || test -n "$value"
        way=write; test "$value" != "$(cat original)" || way=back-write
        die $way-before
        printf 'KEY=%s' "$value" > new
        die $way-half
        echo >> new
        mv new box
        die $way-after
        """#
}
env "dev"
task "tell" {
    run #"""
        . ./die.sh
        way=tell; test "$NEW_SECRET" != "$(cat original)" || way=back
        die $way-before
        test "$KEY" = "$(cat owner)"
        echo "$NEW_SECRET" > owner
        die $way-after
        """#
}
task "check" { run #". ./die.sh; die check-before; test "$KEY" = "$(cat owner)"; test ! -e broken; die check-after"# }
task "uses" { run #"test -n "$KEY""# }
"##;

const DIE: &str =
    "die() { if [ \"$(cat die 2> /dev/null)\" = \"$1\" ]; then rm die; kill -9 $PPID; sleep 60; fi; }\n";

#[test]
fn a_rotation_that_was_killed_is_told_of_and_brought_to_an_end() {
    let sandbox = Sandbox::new(KILLED);
    sandbox.write("die.sh", DIE);
    let value = || sandbox.read("box").trim().strip_prefix("KEY=").unwrap().to_owned();
    // Where it is killed, whether its proof fails, and whether it has the new value in the end.
    let points = [
        ("tell-before", false, false),
        ("tell-after", false, false),
        ("write-before", false, false),
        ("write-half", false, false),
        ("write-after", false, true),
        ("check-before", false, true),
        ("check-after", false, true),
        ("check-before", true, false),
        ("back-write-before", true, false),
        ("back-write-half", true, false),
        ("back-write-after", true, false),
        ("back-before", true, false),
        ("back-after", true, false),
    ];
    for (number, (point, broken, is_new)) in points.into_iter().enumerate() {
        let original = format!("original-value-{number}");
        sandbox.write("box", format!("KEY={original}\n"));
        sandbox.write("owner", format!("{original}\n"));
        sandbox.write("original", format!("{original}\n"));
        sandbox.write("die", format!("{point}\n"));
        if broken {
            sandbox.write("broken", "");
        }
        let mut command = sandbox.command(&["secret", "rotate", "dev", "KEY"]);
        let output = command.stdin(Stdio::null()).output().unwrap();
        let signal = std::os::unix::process::ExitStatusExt::signal(&output.status);
        assert_eq!(signal, Some(9), "{point}: {}", sandbox.ran(output).text());

        let told = sandbox.ok(&["dev.uses"]);
        assert!(
            told.stderr.contains("a rotation of `KEY` of `dev` was cut short"),
            "{point}: {}",
            told.text()
        );
        assert!(told.stderr.contains("`envrun secret rotate dev --due`"), "{point}: {}", told.text());
        if number == 0 {
            let doctor = sandbox.run(&["doctor", "dev"]);
            let said = "a rotation of it was cut short: its owner may have the old value or the new one";
            assert!(doctor.stdout.contains(said), "{}", doctor.text());
            let list = sandbox.ok(&["secret", "list", "dev"]);
            assert!(list.stdout.contains("a rotation was cut short"), "{}", list.text());
        }
        let ran = sandbox.ok(&["secret", "rotate", "dev", "--due"]);
        assert!(ran.stderr.contains("was ended in the middle"), "{point}: {}", ran.text());
        assert_eq!(sandbox.read("owner").trim(), value(), "{point}: {}", ran.text());
        assert_eq!(value() != original, is_new, "{point}: {}", ran.text());
        clean(&ran, &sandbox, &[&original, &value()]);
        assert!(!sandbox.exists(".envrun/secrets/dev.replaced.env"), "{point}: {}", ran.text());
        let _ = std::fs::remove_file(sandbox.root().join("broken"));
        let quiet = sandbox.ok(&["dev.uses"]);
        assert!(!quiet.stderr.contains("cut short"), "{point}: {}", quiet.text());
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_rotation_that_was_killed_after_each_file_it_wrote_is_brought_to_an_end() {
    let sandbox = Sandbox::new(
        r##"
        secrets { KEY generate="hex" length=16 on-rotate="tell" verify="check" }
        env "dev"
        task "tell" { run #"test "$KEY" = "$(cat owner)"; echo "$NEW_SECRET" > owner"# }
        task "check" { run #"test "$KEY" = "$(cat owner)"; test ! -e broken"# }
        task "uses" { run #"test "$KEY" = "$(cat owner)""# }
        "##,
    );
    let file = ".envrun/secrets/dev.env";
    sandbox.ok(&["secret", "generate", "dev"]);
    let value = || {
        let text = sandbox.read(file);
        let line = text.lines().find_map(|line| line.strip_prefix("KEY=")).unwrap();
        line.trim_matches(['"', '\'']).to_owned()
    };
    for broken in [false, true] {
        for at in 1.. {
            let original = value();
            sandbox.write("owner", format!("{original}\n"));
            if broken {
                sandbox.write("broken", "");
            }
            let mut command = sandbox.command(&["secret", "rotate", "dev", "KEY"]);
            dies(&mut command, "/.envrun/secrets/dev", at, Moment::Placed);
            let output = command.stdin(Stdio::null()).output().unwrap();
            let died = std::os::unix::process::ExitStatusExt::signal(&output.status) == Some(9);
            let first = sandbox.ran(output);
            let _ = std::fs::remove_file(sandbox.root().join("broken"));
            let point = format!("file {at}, {}: {}", if broken { "broken" } else { "good" }, first.text());
            // Whoever uses it meanwhile is told, as long as its owner may have another value.
            let told = sandbox.run(&["dev.uses"]);
            let is_told = told.stderr.contains("a rotation of `KEY` of `dev` was cut short");
            assert!(told.exit == 0 || is_told, "{point}{}", told.text());
            let ran = sandbox.ok(&["secret", "rotate", "dev", "--due"]);
            assert_eq!(sandbox.read("owner").trim(), value(), "{point}{}", ran.text());
            let quiet = sandbox.ok(&["dev.uses"]);
            assert!(!quiet.stderr.contains("cut short"), "{point}{}", quiet.text());
            let left = std::fs::read_dir(sandbox.root().join(".envrun/secrets")).unwrap();
            let names = left.map(|entry| entry.unwrap().file_name().into_string().unwrap());
            let left: Vec<String> = names
                .filter(|name| !name.ends_with(".lock"))
                .filter(|name| ["rotating", "replaced", "tmp"].iter().any(|part| name.contains(part)))
                .collect();
            assert_eq!(left, [""; 0], "{point}");
            clean(&ran, &sandbox, &[&original, &value()]);
            if !died {
                assert!(at > 3, "{point}");
                break;
            }
        }
    }
}

/// envrun is killed when the database has the candidate and the store has not: the next rotation takes it back first.
fn killed_in_the_middle(server: &Postgres, sandbox: &Sandbox, before: &str) {
    sandbox.write("hang", "");
    let mut child = sandbox
        .command(&["secret", "rotate", "dev", "DB_PASSWORD"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while !sandbox.exists("hanging") {
        assert!(child.try_wait().unwrap().is_none(), "it ended too early");
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!server.admits(before) && stored(sandbox) == before);
    std::fs::remove_file(sandbox.root().join("hang")).unwrap();
    let ran = sandbox.run(&["secret", "rotate", "dev", "DB_PASSWORD"]);
    assert_eq!(ran.exit, 0, "{}", ran.text());
    let after = stored(sandbox);
    assert!(server.admits(&after) && !server.admits(before));
    clean(&ran, sandbox, &[before, &after]);
    assert!(Path::new(&sandbox.root().join(".envrun/secrets")).exists());
}
