//! Damage on the disk: every byte of an entry of the cache, of the checkout's state, of records; what does not belong
//! there; what an enemy put there. A miss with one warning, never an error, never a wrong byte.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::sandbox::{Ran, Sandbox, mkfifo};

/// One task whose entry is small enough for every byte of it.
fn small() -> Sandbox {
    let envfile = r#"task "t" { inputs "x"; outputs "out/evil"; run "printf made: > out/evil; cat x >> out/evil; echo said" }"#;
    let sandbox = Sandbox::with(&[("Envfile.kdl", envfile), ("x", "of x")]);
    sandbox.ok(&["t"]);
    sandbox
}

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

fn only_entry(sandbox: &Sandbox) -> PathBuf {
    let mut entries = files(&sandbox.cache().join("envrun/results"));
    assert_eq!(entries.len(), 1);
    entries.remove(0)
}

/// Without its outputs the task is run: what it makes is right, and the run is good.
#[track_caller]
fn is_right(sandbox: &Sandbox, what: &str) -> Ran {
    let _ = fs::remove_file(sandbox.root().join("out/evil"));
    let ran = sandbox.run(&["t"]);
    assert_eq!(ran.exit, 0, "{what}: {}", ran.text());
    assert_eq!(sandbox.read("out/evil"), format!("made:{}", sandbox.read("x")), "{what}: {}", ran.text());
    ran
}

/// The same, and the entry was of no use: one warning says so, and the next run finds a good one.
#[track_caller]
fn is_a_miss(sandbox: &Sandbox, what: &str) {
    let ran = is_right(sandbox, what);
    assert!(ran.stderr.contains("1 executed"), "{what}: {}", ran.text());
    assert_eq!(ran.stderr.matches("warning: ").count(), 1, "{what}: {}", ran.text());
    let ran = is_right(sandbox, what);
    assert!(ran.stderr.contains("1 restored") && !ran.stderr.contains("warning: "), "{what}: {}", ran.text());
}

#[test]
fn every_byte_of_an_entry_flipped_is_a_miss() {
    let sandbox = small();
    let entry = only_entry(&sandbox);
    let good = fs::read(&entry).unwrap();
    assert!(good.len() < 400, "{} bytes", good.len());
    for at in 0..good.len() {
        let mut bytes = fs::read(&entry).unwrap();
        let at = at.min(bytes.len() - 1);
        bytes[at] ^= 1 << (at % 8);
        fs::write(&entry, bytes).unwrap();
        is_a_miss(&sandbox, &format!("byte {at}"));
    }
}

#[test]
fn an_entry_cut_anywhere_is_a_miss() {
    let sandbox = small();
    let entry = only_entry(&sandbox);
    for end in (0..fs::read(&entry).unwrap().len()).step_by(2) {
        let bytes = fs::read(&entry).unwrap();
        fs::write(&entry, &bytes[..end.min(bytes.len() - 1)]).unwrap();
        is_a_miss(&sandbox, &format!("cut at {end}"));
    }
    // Longer than it was, too.
    let bytes = fs::read(&entry).unwrap();
    fs::write(&entry, [&bytes[..], b"\0"].concat()).unwrap();
    is_a_miss(&sandbox, "one byte more");
}

#[test]
fn what_is_no_entry_in_the_place_of_one_is_a_miss() {
    let sandbox = small();
    let entry = only_entry(&sandbox);
    let whole = fs::read(&entry).unwrap();
    let elsewhere = sandbox.cache().join("elsewhere");
    type Put<'a> = (&'a str, &'a dyn Fn());
    let puts: [Put<'_>; 6] = [
        ("an empty file", &|| fs::write(&entry, "").unwrap()),
        ("a text", &|| fs::write(&entry, "hello\n".repeat(100)).unwrap()),
        ("an empty folder", &|| fs::create_dir(&entry).unwrap()),
        ("a link to another file", &|| symlink("/etc/passwd", &entry).unwrap()),
        ("a link to nothing that ends", &|| symlink("/dev/zero", &entry).unwrap()),
        ("a pipe", &|| mkfifo(&entry)),
    ];
    for (what, put) in puts {
        fs::remove_file(&entry).unwrap();
        put();
        is_a_miss(&sandbox, what);
    }
    // The same bytes behind a link are still not an entry of ours.
    fs::write(&elsewhere, whole).unwrap();
    fs::remove_file(&entry).unwrap();
    symlink(&elsewhere, &entry).unwrap();
    is_a_miss(&sandbox, "a link to an entry");
    // A folder with something in it is not ours to remove: nothing can be kept there.
    fs::remove_file(&entry).unwrap();
    fs::create_dir(&entry).unwrap();
    fs::write(entry.join("mine"), "").unwrap();
    let ran = is_right(&sandbox, "a full folder");
    assert!(ran.stderr.contains("1 executed") && ran.stderr.contains("warning: "), "{}", ran.text());
    assert!(entry.join("mine").exists());
}

#[test]
fn hostile_paths_in_an_entry_are_a_miss() {
    let sandbox = small();
    let entry = only_entry(&sandbox);
    let outside = sandbox.root().parent().unwrap().join("outside");
    fs::create_dir_all(&outside).unwrap();
    symlink(&outside, sandbox.root().join("lnk")).unwrap();
    let before = files(sandbox.root().parent().unwrap()).len();
    for path in [
        "../evil1",
        "/tmp/ev1",
        "out/../e",
        "out//evi",
        "./out/ev",
        "sub/evil",
        "lnk/evil",
        "out/e\0il",
        "out/evi/",
    ] {
        let good = fs::read(&entry).unwrap();
        let at =
            good.windows(8).position(|window| window == b"out/evil").expect("the path stands in the list");
        let mut bytes = good[..good.len() - 32].to_vec();
        bytes[at..at + 8].copy_from_slice(path.as_bytes());
        let check = blake3::hash(&bytes);
        bytes.extend_from_slice(check.as_bytes());
        fs::write(&entry, bytes).unwrap();
        is_a_miss(&sandbox, path);
        assert!(fs::read_dir(&outside).unwrap().next().is_none(), "{path}");
    }
    // Runs and records are new; nothing else is.
    let new: Vec<PathBuf> = files(sandbox.root().parent().unwrap())
        .into_iter()
        .filter(|path| !path.to_string_lossy().contains("/.envrun/"))
        .collect();
    assert!(new.len() <= before, "{new:?}");
}

#[test]
fn packs_and_blobs_flipped_anywhere_are_a_miss() {
    let envfile = r#"
        task "large" { inputs "x"; outputs "large"; run "yes \"$(cat x)\" | head -c 1200000 > large" }
        task "many" { inputs "x"; outputs "many/**"; run "mkdir -p many; for i in 1 2 3 4 5 6 7 8 9 10; do yes $i | head -c 1000000 > many/$i; done" }
    "#;
    let sandbox = Sandbox::with(&[("Envfile.kdl", envfile), ("x", "x")]);
    sandbox.ok(&["large", "many"]);
    let wanted = |sandbox: &Sandbox| {
        let many = (1..=10).map(|at| fs::read(sandbox.root().join(format!("many/{at}"))).unwrap());
        (fs::read(sandbox.root().join("large")).unwrap(), many.collect::<Vec<_>>())
    };
    let right = wanted(&sandbox);
    let stored: Vec<PathBuf> = files(&sandbox.cache().join("envrun/blobs"));
    assert_eq!(stored.len(), 2, "a large file and a pack");
    let mut stored = stored;
    stored.extend(files(&sandbox.cache().join("envrun/results")));
    for path in stored {
        for third in [0, 1, 3] {
            let mut bytes = fs::read(&path).unwrap();
            // A result made again may be a byte shorter: how long the command took is in it.
            let at = third * (bytes.len() - 1) / 3;
            bytes[at] ^= 0x10;
            fs::write(&path, bytes).unwrap();
            fs::remove_file(sandbox.root().join("large")).unwrap();
            fs::remove_dir_all(sandbox.root().join("many")).unwrap();
            let ran = sandbox.ok(&["large", "many"]);
            assert_eq!(ran.stderr.matches("warning: ").count(), 1, "{}: {}", path.display(), ran.text());
            assert!(wanted(&sandbox) == right, "{} flipped at {at}", path.display());
        }
    }
}

#[test]
fn damaged_state_is_looked_at_again() {
    let envfile = r#"
        vars { NAME "a" }
        task "t" { inputs "x"; outputs "out/evil"; run "printf made: > out/evil; cat x >> out/evil" }
    "#;
    let sandbox = Sandbox::with(&[("Envfile.kdl", envfile), ("x", "0")]);
    // Until the answer is sealed: what was just written is not believed at once.
    for _ in 0..100 {
        sandbox.ok(&["t"]);
        if !files(&sandbox.root().join(".envrun/state/seals")).is_empty() {
            break;
        }
        std::thread::yield_now();
    }
    let state = sandbox.root().join(".envrun/state");
    let kept: Vec<PathBuf> = files(&state).into_iter().filter(|path| !path.ends_with("clock")).collect();
    let kinds = ["files", "durations", "compiled-", "seals"];
    for kind in kinds {
        assert!(kept.iter().any(|path| path.to_string_lossy().contains(kind)), "no {kind} in {kept:?}");
    }
    let mut count = 0;
    for path in kept {
        let len = fs::metadata(&path).map_or(0, |meta| meta.len() as usize);
        for step in 0..24 {
            let Ok(good) = fs::read(&path) else { continue };
            let at = (len * step / 24).min(good.len().saturating_sub(1));
            let mut bytes = good;
            match step % 4 {
                0 => bytes.truncate(at),
                _ if bytes.is_empty() => {}
                bit => bytes[at] ^= 1 << bit,
            }
            fs::write(&path, bytes).unwrap();
            // Edited or not: the state decides nothing that the files do not say.
            count += 1;
            if step % 3 != 0 {
                sandbox.write("x", format!("{count}"));
            }
            let what = format!("{} at {at}", path.display());
            let ran = sandbox.run(&["t"]);
            assert_eq!(ran.exit, 0, "{what}: {}", ran.text());
            assert_eq!(
                sandbox.read("out/evil"),
                format!("made:{}", sandbox.read("x")),
                "{what}: {}",
                ran.text()
            );
        }
    }
    assert!(count > 80);
}

#[test]
fn damaged_records_are_told_and_fail_no_run() {
    let sandbox = small();
    let runs = sandbox.root().join(".envrun/runs");
    let records: Vec<PathBuf> = files(&runs).into_iter().filter(|path| !path.is_symlink()).collect();
    assert!(records.iter().any(|path| path.ends_with("events.jsonl")), "{records:?}");
    for path in records {
        let good = fs::read(&path).unwrap();
        for step in 0..10 {
            let mut bytes = good.clone();
            let at = good.len() * step / 10;
            if bytes.is_empty() {
                continue;
            }
            bytes[at] ^= 0x21;
            fs::write(&path, &bytes).unwrap();
            for args in [&["log"][..], &["log", "--list"], &["why", "t"]] {
                let ran = sandbox.run(args);
                assert!(
                    ran.exit != 70 && !ran.stderr.contains("panicked"),
                    "{args:?} {}: {}",
                    path.display(),
                    ran.text()
                );
            }
            is_right(&sandbox, &format!("{} at {at}", path.display()));
        }
        fs::write(&path, good).unwrap();
    }
}
