//! The compiled snapshot: a warm start reads it, and never a stale one.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use super::super::{Loaded, Texts, load};

/// A project on disk, its snapshot, and every path that loading asked for.
struct Project {
    dir: tempfile::TempDir,
}

const ENVFILE: &str = r##"
project "p" default-env="dev"
include "lib.kdl" as="lib"
include "parts/*"
pool "heavy" 2
vars { A "x"; (port)P 80; N 3 min=1 max=9; F 0.5; (enum)E "a" one-of="a|b"; R }
dotenv ".env" optional=#true
env "dev"
env "prod" extends="dev" { vars { A "y" }; guard { branch "main"; confirm "yes" }; task "t" { timeout "5m" } }
stage "s" env="prod" { run "t" }
cache { local max-size="5GiB" max-age="3d" }
task "t" {
    desc "all of it"
    alias "tt"
    arg "level" one-of="a|b" default="a"
    flag "loud"
    needs "lib.x" "one:y"
    after "u"
    uses "HOME"
    inputs "src/**" "!src/x"
    outputs "out"
    depfile "d"
    tools "cc"
    when { os "linux"; window "mon-fri 08:00-18:00" tz="UTC"; exec "true" name="x" }
    retry 3 every="2s" backoff=2.0 on="exit:75|timeout"
    pool "heavy"
    vars { B "z" }
    call "lib.x"
    run "a" "b ${A}"
    run "echo $A"
}
task "u" { done "true"; mutates #true; render "f" format="dotenv"; on-fail "lib.x"; cache #false }
service "db" { run "postgres" }
"##;

impl Project {
    fn new() -> Self {
        let project = Self { dir: tempfile::tempdir().unwrap() };
        project.write("Envfile.kdl", ENVFILE);
        project.write("lib.kdl", "task \"x\" { run \"true\" }\n");
        project.write("parts/one/Envfile.kdl", "task \"y\" { run \"true\" }\n");
        project
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().canonicalize().unwrap().join(path)
    }

    /// Compiles as if the last edit had been long before.
    fn compile(&self) -> Loaded {
        self.compile_since(SystemTime::now() + Duration::from_secs(60))
    }

    fn compile_since(&self, since: SystemTime) -> Loaded {
        let asked = Arc::new(Mutex::default());
        let loaded = load(&self.path("Envfile.kdl"), &Texts::Watched(Arc::clone(&asked))).unwrap();
        let asked: Vec<PathBuf> =
            asked.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect();
        loaded.save_snapshot(&self.path("snapshot"), &asked, since).unwrap();
        loaded
    }

    fn snapshot(&self) -> Option<Loaded> {
        self.snapshot_of(&self.path("Envfile.kdl"))
    }

    fn snapshot_of(&self, root: &Path) -> Option<Loaded> {
        Loaded::from_snapshot(&self.path("snapshot"), root, &Texts::Disk, None)
    }
}

#[test]
fn a_snapshot_is_what_the_texts_say() {
    let project = Project::new();
    let loaded = project.compile();
    assert!(loaded.diagnostics.is_empty(), "{:?}", loaded.diagnostics);
    let read = project.snapshot().unwrap();
    assert_eq!(read.envfile, loaded.envfile);
    assert_eq!(read.root, loaded.root);
    let texts = |loaded: &Loaded| -> Vec<_> {
        loaded
            .sources
            .files()
            .iter()
            .map(|file| (file.name.clone(), file.path.clone(), file.text().to_owned()))
            .collect()
    };
    assert_eq!(texts(&read), texts(&loaded));
    assert!(project.snapshot_of(&project.path("lib.kdl")).is_none());
}

#[test]
fn a_known_basis_saves_the_reading_and_no_other() {
    let project = Project::new();
    let loaded = project.compile();
    let basis = project.snapshot().unwrap().basis.unwrap();
    let root = project.path("Envfile.kdl");
    let asked = Arc::new(Mutex::default());
    let watched = Texts::Watched(Arc::clone(&asked));
    let of = |known| Loaded::from_snapshot(&project.path("snapshot"), &root, &watched, known);
    let known = of(Some(basis)).unwrap();
    assert_eq!(known.envfile, loaded.envfile);
    assert_eq!(known.basis, Some(basis));
    let noted = std::mem::take(&mut *asked.lock().unwrap_or_else(PoisonError::into_inner));
    assert!(of(None).is_some());
    assert_eq!(noted, *asked.lock().unwrap_or_else(PoisonError::into_inner), "a seal rests on the same");
    // Texts are there for whoever wants to see them.
    for (read, file) in known.sources.files().iter().zip(loaded.sources.files()) {
        assert_eq!((&read.name, &read.path, read.text()), (&file.name, &file.path, file.text()));
    }
    project.write("lib.kdl", "task \"x\" { run \"false\" }\n");
    assert!(of(Some(crate::base::Digest([7; 32]))).is_none(), "another basis is asked about");
    project.compile();
    assert_ne!(project.snapshot().unwrap().basis, Some(basis));
}

#[test]
fn a_folder_that_changed_since_it_was_listed_is_not_compiled() {
    let project = Project::new();
    project.compile_since(SystemTime::now() - Duration::from_secs(60));
    assert!(project.snapshot().is_none());
    project.compile();
    assert!(project.snapshot().is_some());
}

#[test]
fn whatever_moves_ends_it() {
    let project = Project::new();
    type Edit = fn(&Project);
    let edits: [Edit; 6] = [
        |project| project.write("lib.kdl", "task \"x\" { run \"false\" }\n"),
        |project| project.write("Envfile.kdl", &ENVFILE.replace("0.5", "0.6")),
        |project| project.write("parts/two/Envfile.kdl", "task \"z\" { run \"true\" }\n"),
        |project| std::fs::remove_dir_all(project.path("parts/two")).unwrap(),
        |project| project.write("parts/one/Envfile.kdl", "task \"y\" { run \"false\" }\n"),
        |project| std::fs::remove_file(project.path("lib.kdl")).unwrap(),
    ];
    for (at, edit) in edits.iter().enumerate() {
        project.compile();
        assert!(project.snapshot().is_some(), "before edit {at}");
        edit(&project);
        assert!(project.snapshot().is_none(), "after edit {at}");
    }
}

#[test]
fn a_damaged_snapshot_is_none() {
    let project = Project::new();
    project.compile();
    let file = project.path("snapshot");
    let good = std::fs::read(&file).unwrap();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        std::fs::write(&file, &bad).unwrap();
        assert!(project.snapshot().is_none(), "byte {at}");
    }
    for length in (0..good.len()).step_by(7) {
        std::fs::write(&file, &good[..length]).unwrap();
        assert!(project.snapshot().is_none(), "{length} bytes");
    }
}

/// Somebody put the checksum right: whatever the bytes are then, nothing panics, and a node that is not what it was is
/// either another one or none, which is told.
#[test]
fn a_forged_snapshot_is_none_or_torn_or_another() {
    use crate::base::{checksum, codec::Put};

    let project = Project::new();
    let loaded = project.compile();
    let file = project.path("snapshot");
    let good = std::fs::read(&file).unwrap();
    let (mut none, mut torn, mut other) = (0, 0, 0);
    let head = super::super::snapshot::MAGIC.len();
    for at in head + 8..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        let mut sum = Vec::new();
        sum.put_u64(checksum(&bad[head + 8..]));
        bad[head..head + 8].copy_from_slice(&sum);
        std::fs::write(&file, &bad).unwrap();
        let Some(read) = project.snapshot() else {
            none += 1;
            continue;
        };
        assert!(!read.envfile.is_torn(), "nobody looked yet");
        if read.envfile == loaded.envfile {
            continue;
        }
        let projects = read.envfile.projects.values();
        let seen: usize =
            projects.flat_map(|project| project.scopes()).map(|scope| scope.nodes.iter().count()).sum();
        assert!(seen <= 7);
        if read.envfile.is_torn() { torn += 1 } else { other += 1 }
    }
    assert!(none > 0 && torn > 0 && other > 0, "{none} none, {torn} torn, {other} other");
}

#[test]
fn a_node_is_the_same_packed_and_unpacked_and_put_into_again() {
    let project = Project::new();
    let loaded = project.compile();
    let read = project.snapshot().unwrap();
    let (written, packed) = (&loaded.envfile.projects[""].base.nodes, &read.envfile.projects[""].base.nodes);
    assert_eq!(packed.keys().collect::<Vec<_>>(), written.keys().collect::<Vec<_>>());
    for (place, (name, node)) in written.iter().enumerate() {
        assert_eq!(packed.get_index_of(name), Some(place));
        assert_eq!((packed.at(place), packed.get(name.as_str())), (Some(node), Some(node)));
    }
    assert_eq!((packed.get("nobody"), packed.at(written.len()), packed.name_at(1 << 20)), (None, None, None));
    let mut more = packed.clone();
    let (name, node) = written.iter().next().unwrap();
    more.insert("again".into(), node.clone());
    more.insert(name.clone(), node.clone());
    assert_eq!((more.len(), more.get_index_of("again")), (written.len() + 1, Some(written.len())));
    assert!(*packed == *written && more != *written && !more.is_torn());
}

#[test]
fn a_file_with_a_warning_is_not_compiled() {
    let project = Project::new();
    project.write("Envfile.kdl", "task \"t\" { mutates #true; outputs \"x\"; run \"true\" }\n");
    let loaded = project.compile();
    assert!(!loaded.diagnostics.is_empty());
    assert!(project.snapshot().is_none());
}
