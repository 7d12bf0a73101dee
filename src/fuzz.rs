//! Everything that reads what somebody else wrote, each as a function that any bytes may be given to.
//!
//! A target must not panic, not take more time and memory than a small multiple of what it was given, and keep the law
//! that it states. `cargo fuzz` runs them for as long as wanted (`fuzz/`), and the tests below run them for two seconds
//! each, from the same seeds and from every input that was ever found to break one (`fuzz/found/`). See docs/testing.md.

use std::sync::Arc;

use crate::base::glob::Pattern;
use crate::base::{Cron, RelPath, Timestamp, Version, VersionRange, Window, unit};
use crate::diag::render::{Style, render};
use crate::diag::{Diagnostic, FileId, SourceMap};
use crate::graph;
use crate::model::NodePath;
use crate::syntax;
use crate::vars;

/// A target by name.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 13] = [
    ("depfile", crate::fingerprint::fuzz::depfile),
    ("dotenv", |bytes| text(bytes, dotenv)),
    ("entry", crate::cache::fuzz::entry),
    ("events", crate::record::fuzz::events),
    ("glob", |bytes| text(bytes, glob)),
    ("journal", crate::fingerprint::fuzz::journal),
    ("kdl", |bytes| text(bytes, kdl)),
    ("manifest", crate::fingerprint::fuzz::manifest),
    ("paths", crate::cache::fuzz::path_sets),
    ("seal", seal),
    ("snapshot", crate::load::fuzz::snapshot),
    ("state", crate::fingerprint::fuzz::state),
    ("words", |bytes| text(bytes, words)),
];

/// Gives bytes to a target.
///
/// # Panics
/// If there is no such target, and if it breaks its law.
pub fn run(name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|(other, _)| *other == name);
    target.unwrap_or_else(|| panic!("there is no target `{name}`")).1(bytes);
}

/// The longest text that is tried: longer ones find nothing new.
const LONG: usize = 64 << 10;

fn text(bytes: &[u8], target: fn(&str)) {
    if let Ok(text) = std::str::from_utf8(bytes)
        && text.len() <= LONG
    {
        target(text);
    }
}

/// Whatever is said of a text can be shown.
fn said(diagnostics: &[Diagnostic], sources: &SourceMap) {
    for style in [Style::Short, Style::Json] {
        let _ = render(diagnostics, sources, style);
    }
}

/// An Envfile: its form is a form, and what was loaded makes graphs or says why not.
fn kdl(text: &str) {
    if let Ok(form) = syntax::format(FileId(0), text) {
        assert_eq!(
            syntax::format(FileId(0), &form).ok().as_ref(),
            Some(&form),
            "the form of a form is itself"
        );
    }
    let loaded = crate::load::fuzz::loaded(text);
    said(&loaded.diagnostics, &loaded.sources);
    said(&graph::cycles(&loaded.envfile), &loaded.sources);
    for (name, project) in &loaded.envfile.projects {
        for node in project.base.nodes.keys() {
            let path = NodePath { project: name.clone(), name: node.clone() };
            for env in std::iter::once(None).chain(loaded.envfile.environments.keys().map(Some)).take(4) {
                let _ = loaded.definition(&path, env);
            }
        }
    }
}

/// A dotenv file: every value comes from the text.
fn dotenv(text: &str) {
    let mut sources = SourceMap::default();
    let file = sources.add(".env", std::path::Path::new("/p/.env"), Arc::from(text));
    let (entries, diagnostics) = vars::dotenv::parse(file, text);
    assert!(entries.iter().all(|entry| !entry.name.is_empty()));
    assert!(entries.iter().map(|entry| entry.name.len() + entry.value.len()).sum::<usize>() <= text.len());
    said(&diagnostics, &sources);
}

/// Two patterns and paths, a line each: a path that both match lies where they overlap.
fn glob(text: &str) {
    let mut lines = text.lines();
    let base = RelPath::root();
    let mut pattern = || Pattern::parse(&base, lines.next().unwrap_or_default());
    let (Ok(one), other) = (pattern(), pattern()) else { return };
    for path in lines.filter_map(|line| RelPath::from_bytes(line.as_bytes())) {
        let covered = one.covers(&path);
        if let Pattern::Glob(glob) = &one {
            assert_eq!(glob.matches(&path), covered);
        }
        let Ok(other) = &other else { continue };
        // What a wildcard would have to find below a name written out does not count: see `overlaps`.
        let is_below = |name: &Pattern, glob: &Pattern| matches!((name, glob), (Pattern::Literal(name), Pattern::Glob(_)) if *name != path);
        if covered && other.covers(&path) && !is_below(&one, other) && !is_below(other, &one) {
            assert!(one.overlaps(other) && other.overlaps(&one), "{one:?} and {other:?} meet in {path:?}");
        }
    }
}

/// Small languages of single values.
fn words(text: &str) {
    if let Ok(cron) = Cron::parse(text) {
        let next = cron.next_after(Timestamp(1_000_000_000_000), &jiff::tz::TimeZone::UTC);
        assert!(next.is_none_or(|next| next > Timestamp(1_000_000_000_000)));
    }
    if let Ok(window) = Window::parse(text) {
        for hours in [0, 5, 61, 1_000_000] {
            let _ = window.contains(Timestamp(hours * 3_600_000), &jiff::tz::TimeZone::UTC);
        }
    }
    let version = Version::find(text);
    if let (Some(range), Some(version)) = (VersionRange::parse(text), version) {
        let _ = range.matches(&version);
    }
    if let Some(duration) = unit::parse_duration(text) {
        assert!(unit::parse_duration(&unit::show_duration(duration)).is_some());
    }
    if let Some(size) = unit::parse_size(text) {
        let _ = unit::show_size(size);
    }
}

fn seal(body: &[u8]) {
    if let Some(files) = crate::ops::fuzz::seal(body) {
        crate::fingerprint::fuzz::seal(files);
    }
    crate::fingerprint::fuzz::seal(body);
}

/// Envfiles to begin with.
const ENVFILES: &[&str] = &[
    include_str!("syntax/words/every-word.kdl"),
    include_str!("load/tests/sample/cluster.kdl"),
    include_str!("load/tests/sample/k8s.kdl"),
    include_str!("load/tests/sample/stores.kdl"),
    include_str!("../Envfile.kdl"),
    "include \"tasks/a.kdl\"\ninclude \"services/*\"\nenv \"prod\" { task \"a\" { run #null } }\n//----\ntask \"a\" { run \"x\"; outputs \"o/${A}\" }\n//----\nvars { A 1 }\ntask \"b\" { needs \"a\" }\n",
    "vars { (port)PORT 80 min=1; A \"${B}\"; B \"${A}\" }\nenv \"a\" extends=\"b\"\nenv \"b\" extends=\"a\"\n",
];

/// What to begin a target with.
pub fn seeds(name: &str) -> Vec<Vec<u8>> {
    let texts = |texts: &[&str]| texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    match name {
        "depfile" => texts(&["a.o b.o: a.c \\\n  my\\ file.h $$x C:/w.h # c\n\na.h:\n", "a: b\\\\\\\r\n"]),
        "dotenv" => texts(&[
            "\u{feff}A=1 # c\nexport B='x\ny'\nC=\"a\\n\\\"\\$\\q\"\nD={\"a\": 1} \nE=\n# c\n\n",
            "A\nB='x\nC=\"a\" b\n1=2\n",
        ]),
        "entry" => crate::cache::fuzz::entries(),
        "events" => texts(&[include_str!("fuzz/events.jsonl")]),
        "glob" => texts(&[
            "src/**/*.{c,h}\n**/[!a-c]?x\\*\nsrc/a/b.c\nsrc/dx*\n",
            "{a,{b,c}/**}/d*\n!a/**\na/d\nc/x/y/dd\n",
        ]),
        "journal" | "state" => crate::fingerprint::fuzz::states(),
        "kdl" => texts(ENVFILES),
        "manifest" => crate::fingerprint::fuzz::manifests(),
        "paths" => crate::cache::fuzz::some_path_sets(),
        "seal" => crate::fingerprint::fuzz::seals(),
        "snapshot" => crate::load::fuzz::snapshots(ENVFILES),
        "words" => texts(&[
            "*/5 0-6,22 1,15 jan-mar mon",
            "mon-thu,sun 08:00-24:00",
            ">=3.12.1, <4 || ~2",
            "v1.2.3-rc.1+b5",
            "1h30m",
            "2.5GiB",
        ]),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
