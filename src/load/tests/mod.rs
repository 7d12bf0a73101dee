//! Text in, text out: what is said about a file, and what it comes to.

mod include;
mod node;
mod output;
mod patch;
mod reference;
mod sample;
mod snapshot;
mod value;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use expect_test::Expect;

use super::{Loaded, Texts, load};
use crate::diag::{Label, Severity};
use crate::model::{EnvName, NodePath, ProjectName};

/// Loads `Envfile.kdl` of some files.
fn loaded(files: &[(&str, &str)]) -> Loaded {
    let files = files.iter().map(|(path, text)| (Path::new("/p").join(path), (*text).to_owned()));
    let texts = Texts::Memory(files.collect::<BTreeMap<PathBuf, String>>());
    load(Path::new("/p/Envfile.kdl"), &texts).unwrap()
}

/// Everything that is said, with what stands at each place.
fn said(loaded: &Loaded) -> String {
    let place = |label: &Label| {
        let (line, column) = loaded.sources.line_col(label.span);
        let name = &loaded.sources.file(label.span.file).name;
        let what = loaded.sources.snippet(label.span).lines().next().unwrap_or_default();
        let text = if label.text.is_empty() { String::new() } else { format!(": {}", label.text) };
        format!("  {name}:{line}:{column} `{what}`{text}\n")
    };
    let mut out = String::new();
    for diagnostic in &loaded.diagnostics {
        let severity = if diagnostic.severity == Severity::Error { "error" } else { "warning" };
        out.push_str(&format!("{severity}[{}]: {}\n", diagnostic.code, diagnostic.message));
        diagnostic.labels.iter().for_each(|label| out.push_str(&place(label)));
        if let Some(help) = &diagnostic.help {
            out.push_str(&format!("  help: {help}\n"));
        }
    }
    out
}

#[track_caller]
fn check(files: &[(&str, &str)], expected: Expect) {
    expected.assert_eq(&said(&loaded(files)));
}

#[track_caller]
fn one(text: &str, expected: Expect) {
    check(&[("Envfile.kdl", text)], expected);
}

/// Nothing is said.
#[track_caller]
fn good(files: &[(&str, &str)]) -> Loaded {
    let loaded = loaded(files);
    assert_eq!(said(&loaded), "");
    loaded
}

fn path(text: &str) -> NodePath {
    let (project, name) = text.rsplit_once(':').unwrap_or(("", text));
    NodePath { project: ProjectName::from(project), name: name.into() }
}

/// The definition of a node in an environment (none for ""), as `show` prints it.
#[track_caller]
fn shown(loaded: &Loaded, env: &str, node: &str, expected: Expect) {
    let env = (!env.is_empty()).then(|| EnvName::from(env));
    let lines = loaded.definition(&path(node), env.as_ref()).unwrap();
    let lines =
        lines.iter().map(|line| format!("{:<48}{}", line.text, line.place).trim_end().to_owned() + "\n");
    expected.assert_eq(&lines.collect::<String>());
}
