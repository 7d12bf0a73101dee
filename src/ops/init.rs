//! A good first Envfile for the project that is already there.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

/// What was found, and the Envfile for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstEnvfile {
    /// The kinds of project found: `Cargo`, `npm`, `Python`, `Make`.
    pub found: Vec<&'static str>,
    /// The text to write.
    pub text: String,
}

/// A task of the text to be written.
struct Sketch {
    name: String,
    lines: Vec<String>,
}

impl Sketch {
    fn new(name: impl Into<String>, lines: &[&str]) -> Self {
        Self { name: name.into(), lines: lines.iter().map(|&line| line.to_owned()).collect() }
    }
}

/// Looks at the files of `folder` and writes an Envfile for them. Asks nothing.
pub fn first_envfile(folder: &Path) -> FirstEnvfile {
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).ok();
    let has = |name: &str| folder.join(name).exists();
    let mut found = Vec::new();
    let mut tasks = Vec::new();

    if has("Cargo.toml") {
        found.push("Cargo");
        tasks.extend(cargo());
    }
    if let Some(text) = read("package.json") {
        found.push("npm");
        tasks.extend(npm(&text, folder));
    }
    if has("pyproject.toml") || has("setup.py") || has("requirements.txt") {
        found.push("Python");
        tasks.extend(python(folder));
    }
    if let Some(text) = ["GNUmakefile", "makefile", "Makefile"].iter().find_map(|name| read(name)) {
        found.push("Make");
        tasks.extend(make(&text));
    }
    if tasks.is_empty() {
        tasks.push(Sketch::new(
            "hello",
            &[r#"desc "Replace me: `envrun hello` runs this""#, r#"run "echo hello from envrun""#],
        ));
    }
    FirstEnvfile { text: text(folder, &found, tasks), found }
}

/// The name of a task for what another tool calls `name`, which may call it what it likes.
fn node_name(name: &str) -> String {
    let name = name.replace([':', '@', '$', ','], "-");
    let name = name.split_whitespace().collect::<Vec<_>>().join("-");
    name.trim_start_matches('-').to_owned()
}

fn text(folder: &Path, found: &[&str], tasks: Vec<Sketch>) -> String {
    let name = folder.file_name().map_or_else(|| "project".into(), |name| name.to_string_lossy());
    let mut out = String::new();
    let what = if found.is_empty() { "this folder".into() } else { found.join(" and ") };
    let _ = writeln!(
        out,
        "// Made by `envrun init` for {what}. `envrun` lists what is here, `envrun check` checks it."
    );
    let _ = writeln!(out, "project {} default-env=\"dev\"\n", quoted(&name));
    out.push_str("// What every environment starts from; an environment says only what differs.\n");
    out.push_str("vars {\n    LOG_LEVEL \"info\" desc=\"how much the program says\"\n}\n");
    out.push_str("env \"dev\" {\n    vars { LOG_LEVEL \"debug\" }\n}\n");
    out.push_str("env \"prod\"\n");
    let mut seen = std::collections::BTreeSet::new();
    for task in tasks {
        // Two kinds of project in one folder may both have a `build`: the first one keeps the name.
        if !seen.insert(task.name.clone()) {
            continue;
        }
        let _ = write!(out, "\ntask {} {{\n", quoted(&task.name));
        for line in task.lines {
            let _ = writeln!(out, "    {line}");
        }
        out.push_str("}\n");
    }
    out
}

/// A KDL string.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', r"\\").replace('"', "\\\""))
}

fn cargo() -> Vec<Sketch> {
    // Everything that git keeps: a test may read any fixture, and a name too few is a wrong "up to date".
    let inputs = r#"inputs "**" "!target/**""#;
    let task = |name: &str, desc: &str, run: &str| {
        let uses = r#"uses "CARGO_HOME" "RUSTUP_HOME" "RUSTFLAGS""#;
        Sketch::new(name, &[&format!("desc {}", quoted(desc)), inputs, uses, r#"tools "cargo" "rustc""#, run])
    };
    vec![
        // Cargo keeps its own books of what is up to date in target/, so the folder is not an output.
        Sketch::new("build", &[r#"desc "Compile everything""#, r#"run "cargo" "build""#]),
        task("test", "The tests", r#"run "cargo" "test""#),
        task(
            "lint",
            "Formatting and clippy",
            r#"run "cargo fmt --check && cargo clippy --all-targets -- -D warnings""#,
        ),
        Sketch::new("check", &[r#"desc "What must pass before a change lands""#, r#"needs "lint" "test""#]),
    ]
}

fn npm(text: &str, folder: &Path) -> Vec<Sketch> {
    let has = |name: &str| folder.join(name).exists();
    // What `install` leaves is a hundred thousand files, quicker installed than stored: it is done when the client's own
    // marker is younger than what it installs from.
    let (client, from, marker, install) = if has("pnpm-lock.yaml") {
        ("pnpm", "pnpm-lock.yaml", ".modules.yaml", r#"run "pnpm" "install" "--frozen-lockfile""#)
    } else if has("yarn.lock") {
        ("yarn", "yarn.lock", ".yarn-integrity", r#"run "yarn" "install" "--frozen-lockfile""#)
    } else if has("package-lock.json") {
        ("npm", "package-lock.json", ".package-lock.json", r#"run "npm" "ci""#)
    } else {
        ("npm", "package.json", ".package-lock.json", r#"run "npm" "install""#)
    };
    let mut tasks = vec![Sketch::new(
        "install",
        &[
            r#"desc "The dependencies""#,
            &format!("done {}", quoted(&format!("test node_modules/{marker} -nt {from}"))),
            install,
        ],
    )];
    let package: Value = serde_json::from_str(text).unwrap_or(Value::Null);
    let Some(scripts) = package.get("scripts").and_then(Value::as_object) else { return tasks };
    let sources: Vec<String> = ["src", "app", "lib", "public", "test", "tests"]
        .iter()
        .filter(|dir| has(dir))
        .map(|dir| format!("\"{dir}/**\""))
        .collect();
    for (name, script) in scripts {
        let is_hook = ["pre", "post"]
            .iter()
            .any(|hook| name.strip_prefix(hook).is_some_and(|rest| scripts.contains_key(rest)));
        if is_hook || name == "install" || name == "prepare" || node_name(name).is_empty() {
            continue;
        }
        let mut lines =
            vec![format!("desc {}", quoted(script.as_str().unwrap_or("a script of package.json")))];
        lines.push(r#"needs "install""#.into());
        let cacheable = matches!(name.as_str(), "test" | "lint" | "typecheck") || name.starts_with("test:");
        if cacheable && !sources.is_empty() {
            lines.push(format!("inputs {} \"package.json\"", sources.join(" ")));
        }
        lines.push(format!("run {} \"run\" {}", quoted(client), quoted(name)));
        tasks.push(Sketch { name: node_name(name), lines });
    }
    tasks
}

fn python(folder: &Path) -> Vec<Sketch> {
    let has = |name: &str| folder.join(name).exists();
    let manifests: Vec<&str> = ["pyproject.toml", "setup.py", "requirements.txt", "uv.lock"]
        .into_iter()
        .filter(|name| has(name))
        .collect();
    let install = if has("uv.lock") {
        r#"run "uv" "sync" "--frozen""#
    } else if has("requirements.txt") {
        r#"run "python3 -m venv .venv && .venv/bin/python -m pip install --quiet -r requirements.txt""#
    } else {
        r#"run "python3 -m venv .venv && .venv/bin/python -m pip install --quiet -e .""#
    };
    let fresh: Vec<String> =
        manifests.iter().map(|name| format!("test .venv/.installed -nt {name}")).collect();
    let mut tasks = vec![Sketch::new(
        "setup",
        &[
            r#"desc "The virtual environment with its dependencies""#,
            &format!("done {}", quoted(&fresh.join(" && "))),
            install,
            r#"run "touch" ".venv/.installed""#,
        ],
    )];
    if has("tests") || has("test") {
        tasks.push(Sketch::new(
            "test",
            &[
                r#"desc "The tests""#,
                r#"arg "path" default="" desc="only these""#,
                r#"needs "setup""#,
                r#"inputs "**" "!.venv/**" "!**/__pycache__/**" "!.pytest_cache/**""#,
                r#"run ".venv/bin/python -m pytest $ARG_PATH""#,
            ],
        ));
    }
    tasks
}

/// The targets of a makefile that a person would name: no pattern, no file with an extension, no variable.
fn make(text: &str) -> Vec<Sketch> {
    let mut names = Vec::new();
    for line in text.lines() {
        let Some((left, right)) = line.split_once(':') else { continue };
        let assignment = right.starts_with('=') || right.starts_with(":=") || left.contains('=');
        if assignment || line.starts_with(['\t', ' ', '#', '.']) || left.contains(['$', '%', '/', '.', '(']) {
            continue;
        }
        names.extend(left.split_whitespace().map(str::to_owned));
    }
    names.dedup();
    let sketch = |name: String| {
        let run = format!(r#"run "make" {}"#, quoted(&name));
        let desc = format!("desc {}", quoted(&format!("make {name}")));
        Sketch::new(node_name(&name), &[&desc, &run])
    };
    names.into_iter().map(sketch).collect()
}
