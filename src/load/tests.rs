use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use expect_test::{Expect, expect};

use super::*;

fn memory(files: &[(&str, &str)]) -> Texts {
    let files = files.iter().map(|(path, text)| (Path::new("/p").join(path), (*text).to_owned()));
    Texts::Memory(files.collect::<BTreeMap<PathBuf, String>>())
}

fn loaded(files: &[(&str, &str)]) -> Loaded {
    load(Path::new("/p/Envfile.kdl"), &Options { texts: memory(files), exact: false }).unwrap()
}

/// Everything that is said about the files, one line each, places and help included.
fn said(loaded: &Loaded) -> String {
    let mut out = String::new();
    for diagnostic in &loaded.diagnostics {
        let place = |label: &crate::diag::Label| {
            let (line, column) = loaded.sources.line_col(label.span);
            let name = &loaded.sources.file(label.span.file).name;
            format!(
                "{name}:{line}:{column} `{}`",
                loaded.sources.snippet(label.span).lines().next().unwrap_or_default()
            )
        };
        let severity = if diagnostic.severity == Severity::Error { "error" } else { "warning" };
        out.push_str(&format!("{severity}[{}]: {}\n", diagnostic.code, diagnostic.message));
        for label in &diagnostic.labels {
            let text = if label.text.is_empty() { String::new() } else { format!(": {}", label.text) };
            out.push_str(&format!("  at {}{text}\n", place(label)));
        }
        if let Some(help) = &diagnostic.help {
            out.push_str(&format!("  help: {help}\n"));
        }
    }
    out
}

fn check(files: &[(&str, &str)], expected: Expect) {
    expected.assert_eq(&said(&loaded(files)));
}

fn one(text: &str, expected: Expect) {
    check(&[("Envfile.kdl", text)], expected);
}

#[test]
fn a_good_file_says_nothing() {
    let loaded = load(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/hello-deploy/Envfile.kdl"),
        &Options::default(),
    );
    expect![""].assert_eq(&said(&loaded.unwrap()));
}

#[test]
fn a_name_that_nobody_declares() {
    one(
        "task \"a\" { needs \"biuld\" }\ntask \"build\" { run \"true\" }",
        expect![[r#"
        error[load/unknown-node]: there is no node `biuld`
          at Envfile.kdl:1:18 `"biuld"`
          help: did you mean `build`?
    "#]],
    );
}
