//! A real `build.ninja` of a C project of several hundred edges, imported: the same bytes as ninja makes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::sandbox::{Sandbox, need};

/// The C sources of libgit2, as the crate that wraps them ships them. Fetched by cargo, never compiled as a crate.
const CRATE: &str = "libgit2-sys";
const VERSION: &str = "=0.18.8";

fn run(dir: &Path, program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).current_dir(dir).env_remove("MAKEFLAGS").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{program} {args:?}\n{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// Fetches the sources through cargo, which knows where crates come from here.
fn sources(into: &Path) {
    let fetch = tempfile::tempdir().unwrap();
    let manifest = format!(
        "[package]\nname = \"fetch\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n[dependencies]\n{CRATE} = \"{VERSION}\"\n"
    );
    std::fs::write(fetch.path().join("Cargo.toml"), manifest).unwrap();
    std::fs::create_dir(fetch.path().join("src")).unwrap();
    std::fs::write(fetch.path().join("src/lib.rs"), "").unwrap();
    let metadata = run(fetch.path(), env!("CARGO"), &["metadata", "--format-version", "1", "--quiet"]);
    let metadata: serde_json::Value = serde_json::from_str(&metadata).unwrap();
    let package =
        metadata["packages"].as_array().unwrap().iter().find(|package| package["name"] == CRATE).unwrap();
    let manifest = PathBuf::from(package["manifest_path"].as_str().unwrap());
    copy(&manifest.with_file_name("libgit2"), into);
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// The content of everything that was compiled, archived or linked.
fn made(dir: &Path) -> BTreeMap<PathBuf, blake3::Hash> {
    let mut found = BTreeMap::new();
    let mut folders = vec![dir.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if name.ends_with(".o") || name.ends_with(".a") || name.contains(".so") {
                found.insert(
                    path.strip_prefix(dir).unwrap().to_path_buf(),
                    blake3::hash(&std::fs::read(&path).unwrap()),
                );
            }
        }
    }
    found
}

fn executed(stdout: &str) -> usize {
    stdout.lines().filter(|line| line.contains(r#""event":"node-started""#)).count()
}

#[test]
fn libgit2_by_its_own_manifest() {
    if !need("ninja", "ninja-build") || !need("cmake", "cmake") || !need("cc", "gcc") {
        return;
    }
    let sandbox = Sandbox::with(&[]);
    let root = sandbox.root();
    sources(&root);
    let build = root.join("build");
    std::fs::create_dir(&build).unwrap();
    let options = [
        "-DBUILD_TESTS=OFF",
        "-DBUILD_CLI=OFF",
        "-DUSE_HTTPS=OFF",
        "-DUSE_SSH=OFF",
        "-DREGEX_BACKEND=builtin",
        "-DUSE_BUNDLED_ZLIB=ON",
        "-DCMAKE_BUILD_TYPE=Debug",
        "-DCMAKE_C_FLAGS=-O0 -g0",
    ];
    run(&build, "cmake", &[&["-G", "Ninja", ".."][..], &options].concat());

    // What ninja makes: from nothing, and after a change of one source.
    let source = "src/util/str.c";
    let text = sandbox.read(source);
    let changed = format!("{text}\nint git_str_added(int a) {{ return a + 42; }}\n");
    run(&build, "ninja", &[]);
    let cold = made(&build);
    assert!(cold.len() > 200, "only {} files were made", cold.len());
    sandbox.write(source, &changed);
    run(&build, "ninja", &[]);
    let after = made(&build);
    assert_ne!(cold, after);
    sandbox.write(source, &text);
    run(&build, "ninja", &["-t", "clean"]);
    assert!(made(&build).is_empty());

    sandbox.ok(&["import", "ninja", "build/build.ninja"]);
    let first = sandbox.ok(&["default", "-o", "json"]);
    assert!(executed(&first.stdout) > 200, "{} executed", executed(&first.stdout));
    assert_eq!(made(&build), cold, "cold");
    assert_eq!(executed(&sandbox.ok(&["default", "-o", "json"]).stdout), 0, "a second run has nothing to do");
    sandbox.write(source, &changed);
    let rebuilt = executed(&sandbox.ok(&["default", "-o", "json"]).stdout);
    assert!((2..20).contains(&rebuilt), "{rebuilt} executed after one change");
    assert_eq!(made(&build), after, "after one change");
    sandbox.write(source, &text);
    assert_eq!(
        executed(&sandbox.ok(&["default", "-o", "json"]).stdout),
        0,
        "what was made before comes from the cache"
    );
    assert_eq!(made(&build), cold, "back again");
}
