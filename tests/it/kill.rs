//! `kill -9` at any point of runs that execute, store and restore: the next run is right, and nothing piles up.
//!
//! `ENVRUN_KILL_POINTS=1000` tries so many points, other ones in every run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant, SystemTime};

use crate::sandbox::Sandbox;

const ENVFILE: &str = r#"
task "all" { needs "sum" "tree" "large" "link" }
task "gen" { inputs "x"; outputs "gen/**"; run "mkdir -p gen/d; for i in 1 2 3; do sed s/^/$i/ x > gen/$i; done; cp x gen/d/x" }
task "tree" { needs "gen"; outputs "tree"; run "mkdir -p tree/empty; cp -r gen/d tree/" }
task "large" { inputs "x"; outputs "large"; run "yes \"$(cat x)\" | head -c 1500000 > large" }
task "link" { inputs "y"; outputs "link" "tool"; run "rm -f link; ln -s \"$(cat y)\" link; cp y tool; chmod +x tool" }
task "dep" { inputs "y"; outputs "dep"; depfile "dep.d"; run "cat x y > dep; echo 'dep: x y' > dep.d" }
task "sum" { needs "gen" "large" "dep"; outputs "sum"; run "cat gen/1 gen/2 gen/3 large dep | cksum > sum" }
"#;

const STATES: usize = 3;

struct Lab {
    sandbox: Sandbox,
    draw: u64,
    /// What runs from nothing make, by the states of `x` and `y`.
    wanted: Vec<Vec<(PathBuf, Vec<u8>)>>,
    /// How long a run takes that makes everything.
    whole: Duration,
}

impl Lab {
    fn new(seed: u64) -> Self {
        let mut wanted = Vec::new();
        let mut whole = Duration::ZERO;
        for state in 0..STATES * STATES {
            let fresh = Sandbox::new(ENVFILE);
            put(&fresh, state);
            let began = Instant::now();
            fresh.ok(&["all"]);
            whole = whole.max(began.elapsed());
            wanted.push(outputs(&fresh.root()));
        }
        assert!(wanted[0] != wanted[1], "a state that changes nothing tests nothing");
        Self { sandbox: Sandbox::new(ENVFILE), draw: seed | 1, wanted, whole }
    }

    fn below(&mut self, end: u64) -> u64 {
        self.draw ^= self.draw << 13;
        self.draw ^= self.draw >> 7;
        self.draw ^= self.draw << 17;
        self.draw % end
    }

    /// Makes the project another one than it was.
    fn disturb(&mut self) -> usize {
        let state = self.below((STATES * STATES) as u64) as usize;
        put(&self.sandbox, state);
        let root = self.sandbox.root();
        for name in ["gen", "tree", "large", "sum", "link"] {
            if self.below(4) == 0 {
                let path = root.join(name);
                let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
            }
        }
        if self.below(12) == 0 {
            let _ = fs::remove_dir_all(self.sandbox.cache().join("envrun/results"));
        }
        state
    }

    fn start(&self) -> Child {
        let mut command = self.sandbox.command(&["-j2", "all"]);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// What a run makes now is what a run from nothing makes, and after it there is nothing to do.
    #[track_caller]
    fn is_right(&self, state: usize, point: &str) {
        let ran = self.sandbox.ok(&["-j2", "all"]);
        let found = outputs(&self.sandbox.root());
        let names =
            |outputs: &[(PathBuf, Vec<u8>)]| outputs.iter().map(|(path, _)| path.clone()).collect::<Vec<_>>();
        assert_eq!(names(&self.wanted[state]), names(&found), "{point}: {}", ran.text());
        for (wanted, found) in self.wanted[state].iter().zip(&found) {
            assert!(wanted == found, "{} at {point}: {}", found.0.display(), ran.text());
        }
        let again = self.sandbox.ok(&["-j2", "all"]);
        assert!(again.stderr.contains("nothing to do"), "{point}: {}", again.text());
    }

    /// Nothing piles up, whatever was cut short.
    #[track_caller]
    fn is_tidy(&self) {
        // What was being written in the store is swept when it is a day old.
        let cache = self.sandbox.cache().join("envrun");
        let yesterday = SystemTime::now() - Duration::from_secs(25 * 60 * 60);
        for left in files(&cache.join("tmp")) {
            fs::File::options().append(true).open(left).unwrap().set_modified(yesterday).unwrap();
        }
        self.sandbox.ok(&["cache", "gc"]);
        assert_eq!(files(&cache.join("tmp")), [] as [PathBuf; 0]);
        assert_eq!(files(&cache.join("runs")), [] as [PathBuf; 0]);
        let state = self.sandbox.root().join(".envrun");
        // What is left in our own folder is swept once a day.
        for left in files(&state.join("tmp")).into_iter().chain([state.join("state/used")]) {
            fs::File::options().append(true).open(left).unwrap().set_modified(yesterday).unwrap();
        }
        let _ = fs::remove_dir_all(state.join("state/seals"));
        self.sandbox.ok(&["all"]);
        for room in ["state/aside", "tmp"] {
            assert_eq!(files(&state.join(room)), [] as [PathBuf; 0], "{room}");
        }
        let left: Vec<PathBuf> = files(&self.sandbox.root())
            .into_iter()
            .filter(|path| path.to_string_lossy().ends_with(".envrun-tmp"))
            .collect();
        assert_eq!(left, [] as [PathBuf; 0]);
        let verified = self.sandbox.ok(&["cache", "verify"]);
        assert!(verified.stdout.contains(" 0 damaged"), "{}", verified.text());
    }
}

fn put(sandbox: &Sandbox, state: usize) {
    sandbox.write("x", format!("x{}\n", state / STATES).repeat(64));
    sandbox.write("y", format!("target-{}\n", state % STATES));
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(files(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found.sort();
    found
}

/// Everything but the sources and our own state: path, and what it holds.
fn outputs(root: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::PermissionsExt;

    let holds = |path: &Path| {
        if path.is_symlink() {
            return [b"-> ", fs::read_link(path).unwrap().as_os_str().as_bytes()].concat();
        }
        let mode = fs::metadata(path).unwrap().permissions().mode();
        [format!("{:o} ", mode & 0o111).as_bytes(), &fs::read(path).unwrap()].concat()
    };
    let sources = ["Envfile.kdl", "x", "y", "dep.d"];
    files(root)
        .into_iter()
        .map(|path| (path.strip_prefix(root).unwrap().to_path_buf(), path))
        .filter(|(name, _)| {
            !name.starts_with(".envrun") && !sources.iter().any(|source| name == Path::new(source))
        })
        .map(|(name, path)| (name, holds(&path)))
        .collect()
}

#[test]
fn at_any_moment() {
    let asked = std::env::var("ENVRUN_KILL_POINTS").ok();
    let points: u64 = asked.as_ref().map_or(40, |text| text.parse().expect("a number of points"));
    let seed =
        asked.map_or(7, |_| SystemTime::UNIX_EPOCH.elapsed().map_or(1, |since| since.as_nanos() as u64));
    let mut lab = Lab::new(seed);
    let mut killed = 0;
    for point in 0..points {
        let state = lab.disturb();
        let after = Duration::from_micros(lab.below(lab.whole.as_micros() as u64 * 5 / 4));
        let mut child = lab.start();
        // Not to wait for something, but to be there at a moment that nobody chose.
        std::thread::sleep(after);
        let is_over = child.try_wait().unwrap().is_some();
        // How long a run takes is a matter of who else is busy.
        if is_over {
            lab.whole = (lab.whole * 3 / 4).max(Duration::from_millis(1));
        } else if after > lab.whole * 3 / 4 {
            lab.whole = lab.whole * 5 / 4;
        }
        killed += u64::from(!is_over);
        child.kill().unwrap();
        child.wait().unwrap();
        lab.is_right(state, &format!("point {point} of seed {seed}, after {after:?}"));
        if point % 50 == 49 || point + 1 == points {
            lab.is_tidy();
        }
    }
    assert!(killed * 4 >= points, "only {killed} of {points} runs were still going on");
}

/// A change on the disk that a run makes on its way.
type Sign = (&'static str, fn(&Sandbox) -> usize);

/// Each is looked for from before the run on, and the run is killed as soon as it is seen.
const SIGNS: [Sign; 8] = [
    ("something is written into the cache", |sandbox| files(&sandbox.cache().join("envrun/tmp")).len()),
    ("a result is in the cache", |sandbox| files(&sandbox.cache().join("envrun/results")).len()),
    ("a large file is in the cache", |sandbox| files(&sandbox.cache().join("envrun/blobs")).len()),
    ("the state grows", |sandbox| {
        fs::metadata(sandbox.root().join(".envrun/state/files")).map_or(0, |meta| meta.len() as usize)
    }),
    ("old outputs are moved away", |sandbox| files(&sandbox.root().join(".envrun/state/aside")).len()),
    ("a file lies beside its place", |sandbox| {
        let names =
            fs::read_dir(sandbox.root()).into_iter().flatten().flatten().map(|entry| entry.file_name());
        names.filter(|name| name.to_string_lossy().ends_with(".envrun-tmp")).count()
    }),
    ("an output is made", |sandbox| files(&sandbox.root().join("gen")).len()),
    ("the last output is made", |sandbox| usize::from(sandbox.exists("sum"))),
];

#[test]
fn at_every_sign_of_life() {
    let mut lab = Lab::new(11);
    let mut seen = 0;
    for (sign, count) in SIGNS {
        for round in 0..3 {
            let state = (lab.below(9) as usize + round) % (STATES * STATES);
            put(&lab.sandbox, state);
            match round {
                // All from nothing; all from the cache; some of both.
                0 => drop(fs::remove_dir_all(lab.sandbox.cache())),
                1 => {
                    lab.sandbox.ok(&["all"]);
                    for name in ["gen", "tree", "large", "sum", "link", "tool", "dep"] {
                        let path = lab.sandbox.root().join(name);
                        let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
                    }
                }
                _ => {}
            }
            let before = count(&lab.sandbox);
            let mut child = lab.start();
            while child.try_wait().unwrap().is_none() && count(&lab.sandbox) <= before {
                std::hint::spin_loop();
            }
            seen += usize::from(child.try_wait().unwrap().is_none());
            let _ = child.kill();
            child.wait().unwrap();
            lab.is_right(state, &format!("{sign}, round {round}"));
        }
    }
    lab.is_tidy();
    assert!(seen >= 8, "only {seen} signs were seen in time");
}
