//! Holds the house to its plan: which rooms there are, and who may import whom.

use std::path::{Path, PathBuf};

/// The rooms of `src/`, ground floor first. A room imports only rooms before it.
const ROOMS: &[&str] = &[
    "base",
    "diag",
    "syntax",
    "model",
    "vars",
    "load",
    "secret",
    "graph",
    "cache",
    "fingerprint",
    "plan",
    "exec",
    "preflight",
    "gitref",
    "service",
    "render",
    "event",
    "record",
    "schedule",
    "ledger",
    "snapshot",
    "report",
    "engine",
    "watch",
    "ops",
    "cli",
    "fuzz",
];

fn rust_files(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, into);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            into.push(path);
        }
    }
}

fn sources() -> Vec<(PathBuf, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&src, &mut files);
    files.sort();
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap();
        (path.strip_prefix(&src).unwrap().to_path_buf(), text)
    };
    files.into_iter().map(read).collect()
}

/// The code of a file without its comments' lines.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
        .map(|(at, line)| (at + 1, line))
}

#[test]
fn every_folder_is_a_known_room() {
    for (path, _) in sources() {
        let room = path.components().next().unwrap().as_os_str().to_str().unwrap().to_owned();
        assert!(
            path.components().count() == 1 || ROOMS.contains(&room.as_str()),
            "src/{room} is not a room: add it to ROOMS in tests/it/tidy.rs, where it belongs by what it imports"
        );
    }
}

#[test]
fn rooms_import_only_lower_rooms() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let room = path.components().next().unwrap().as_os_str().to_str().unwrap().to_owned();
        let Some(floor) = ROOMS.iter().position(|name| *name == room) else { continue };
        for (line, code) in code_lines(&text) {
            for rest in code.split("crate::").skip(1) {
                let named: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                if let Some(other) = ROOMS.iter().position(|name| *name == named)
                    && other > floor
                {
                    wrong.push(format!(
                        "src/{}:{line}: `{room}` imports `{named}`, which stands above it",
                        path.display()
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_file_begins_with_its_sentence() {
    for (path, text) in sources() {
        assert!(
            text.starts_with("//! ") || path.ends_with("tests.rs"),
            "src/{} begins without a `//!` sentence",
            path.display()
        );
    }
}

#[test]
fn unsafe_lives_under_exec() {
    for (path, text) in sources() {
        for (line, code) in code_lines(&text) {
            assert!(
                path.starts_with("exec") || !code.contains("unsafe "),
                "src/{}:{line}: unsafe outside exec/",
                path.display()
            );
        }
    }
}

#[test]
fn star_imports_only_in_tests() {
    for (path, text) in sources() {
        let tests_from = text.find("#[cfg(test)]").unwrap_or(text.len());
        let in_tests =
            path.components().any(|part| part.as_os_str() == "tests" || part.as_os_str() == "tests.rs");
        assert!(
            in_tests
                || !code_lines(&text[..tests_from])
                    .any(|(_, line)| line.trim_start().starts_with("use super::*")),
            "src/{}: `use super::*` outside tests",
            path.display()
        );
    }
}
