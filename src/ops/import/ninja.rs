//! `build.ninja` to an Envfile: a task for each edge, the same commands, the same order.
//!
//! What an edge reads becomes `inputs` where it is a source and `needs` where another edge makes it; order-only needs are
//! needs; depfiles are depfiles; pools are pools; a response file is written by the task itself. `phony` edges become
//! groups. An edge of a `generator` rule, which would write the manifest anew, is left out with a comment.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Why a manifest cannot be imported.
#[derive(Debug, thiserror::Error)]
pub enum NinjaError {
    /// A manifest or one that it includes cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A line cannot be understood.
    #[error("{}:{line}: {reason}", path.display())]
    Syntax {
        /// Which manifest.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// Why.
        reason: String,
    },
}

/// Variables of one scope, already expanded as far as its place in the file allows.
type Bindings = HashMap<String, String>;

#[derive(Debug, Clone, Default)]
struct Rule {
    /// Not expanded: `$in` and `$out` are known per edge.
    bindings: BTreeMap<String, String>,
}

#[derive(Debug, Clone)]
struct Edge {
    rule: String,
    outputs: Vec<String>,
    implicit_outputs: Vec<String>,
    inputs: Vec<String>,
    implicit: Vec<String>,
    order_only: Vec<String>,
    bindings: Bindings,
    scope: usize,
}

#[derive(Debug, Default)]
struct Manifest {
    rules: HashMap<String, Rule>,
    edges: Vec<Edge>,
    pools: Vec<(String, String)>,
    defaults: Vec<String>,
    /// One per file: `subninja` sees what stood before it and keeps its own to itself.
    scopes: Vec<Bindings>,
}

/// Reads `manifest` and gives the Envfile for it, to lie in `root`; the manifest's folder is below `root` or is it.
pub fn envfile(root: &Path, manifest: &Path) -> Result<String, NinjaError> {
    let mut read = Manifest::default();
    read.scopes.push(Bindings::new());
    let dir = manifest.parent().unwrap_or(Path::new(""));
    read.file(manifest, dir, 0)?;
    Ok(Writer::new(root, dir, &read).write(manifest))
}

impl Manifest {
    fn file(&mut self, path: &Path, dir: &Path, scope: usize) -> Result<(), NinjaError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| NinjaError::Read { path: path.into(), source })?;
        let lines = logical_lines(&text);
        let mut at = 0;
        while let Some((number, line)) = lines.get(at) {
            at += 1;
            let wrong =
                |reason: &str| NinjaError::Syntax { path: path.into(), line: *number, reason: reason.into() };
            let body_from = at;
            while lines.get(at).is_some_and(|(_, line)| line.starts_with([' ', '\t'])) {
                at += 1;
            }
            let mut body = lines[body_from..at]
                .iter()
                .filter_map(|(_, line)| line.trim().split_once('='))
                .map(|(name, value)| (name.trim(), value.trim_start()));
            let (word, rest) = line.split_once([' ', '\t']).unwrap_or((line, ""));
            let rest = rest.trim_start();
            match word {
                "rule" => {
                    let bindings = body.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
                    self.rules.insert(rest.trim().to_owned(), Rule { bindings });
                }
                "pool" => {
                    let depth =
                        body.rfind(|(name, _)| *name == "depth").map(|(_, value)| self.expand(value, scope));
                    self.pools.push((rest.trim().to_owned(), depth.unwrap_or_else(|| "1".into())));
                }
                "build" => {
                    let mut edge = self
                        .edge(rest, scope)
                        .ok_or_else(|| wrong("a `build` line wants `outputs: rule inputs`"))?;
                    for (name, value) in body {
                        let value = self.expand(value, scope);
                        edge.bindings.insert(name.to_owned(), value);
                    }
                    self.edges.push(edge);
                }
                "default" => {
                    let names =
                        paths(rest, &mut |name| self.scopes[scope].get(name).cloned().unwrap_or_default());
                    self.defaults.extend(names.into_iter().map(|(name, _)| name));
                }
                "include" | "subninja" => {
                    let file = dir.join(self.expand(rest.trim(), scope));
                    let inner = if word == "subninja" {
                        self.scopes.push(self.scopes[scope].clone());
                        self.scopes.len() - 1
                    } else {
                        scope
                    };
                    self.file(&file, dir, inner)?;
                }
                _ => {
                    let (name, value) = line
                        .split_once('=')
                        .ok_or_else(|| wrong("neither a declaration nor `name = value`"))?;
                    let value = self.expand(value.trim_start(), scope);
                    self.scopes[scope].insert(name.trim().to_owned(), value);
                }
            }
        }
        Ok(())
    }

    fn expand(&self, text: &str, scope: usize) -> String {
        expand(text, &mut |name| self.scopes[scope].get(name).cloned().unwrap_or_default())
    }

    /// `out1 out2 | implicit: rule in1 | implicit || order |@ validation`.
    fn edge(&self, text: &str, scope: usize) -> Option<Edge> {
        let mut lookup = |name: &str| self.scopes[scope].get(name).cloned().unwrap_or_default();
        let words = paths(text, &mut lookup);
        let colon = words.iter().position(|(_, bare)| *bare == Bare::Colon)?;
        let (left, right) = (&words[..colon], &words[colon + 1..]);
        let (rule, right) = right.split_first()?;
        let mut edge = Edge {
            rule: rule.0.clone(),
            outputs: Vec::new(),
            implicit_outputs: Vec::new(),
            inputs: Vec::new(),
            implicit: Vec::new(),
            order_only: Vec::new(),
            bindings: Bindings::new(),
            scope,
        };
        let mut implicit = false;
        for (word, bare) in left {
            match bare {
                Bare::Pipe => implicit = true,
                _ if implicit => edge.implicit_outputs.push(word.clone()),
                _ => edge.outputs.push(word.clone()),
            }
        }
        let mut part = 0;
        for (word, bare) in right {
            match (bare, part) {
                (Bare::Pipe, _) => part = 1,
                (Bare::Pipes, _) => part = 2,
                // What validates an edge is not needed by it.
                (Bare::PipeAt, _) => part = 3,
                (_, 0) => edge.inputs.push(word.clone()),
                (_, 1) => edge.implicit.push(word.clone()),
                (_, 2) => edge.order_only.push(word.clone()),
                _ => {}
            }
        }
        Some(edge)
    }

    /// A variable as an edge sees it: its own, its rule's (where `$in` and `$out` stand for its files), its file's.
    fn binding(&self, edge: &Edge, name: &str) -> Option<String> {
        self.binding_within(edge, name, 0)
    }

    fn binding_within(&self, edge: &Edge, name: &str, depth: usize) -> Option<String> {
        match name {
            "in" => return Some(shell_list(&edge.inputs, " ")),
            "in_newline" => return Some(shell_list(&edge.inputs, "\n")),
            "out" => return Some(shell_list(&edge.outputs, " ")),
            _ => {}
        }
        if let Some(value) = edge.bindings.get(name) {
            return Some(value.clone());
        }
        // Ninja refuses rules that go round in circles; here they come to nothing.
        if depth < 64
            && let Some(value) = self.rules.get(&edge.rule).and_then(|rule| rule.bindings.get(name))
        {
            return Some(expand(value, &mut |name| {
                self.binding_within(edge, name, depth + 1).unwrap_or_default()
            }));
        }
        self.scopes[edge.scope].get(name).cloned()
    }
}

/// What a word of a `build` line is when it is no path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bare {
    Path,
    Colon,
    Pipe,
    Pipes,
    PipeAt,
}

/// Lines with `$`-newline continuations joined, comments and blank lines left out.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    let mut open = false;
    for (at, raw) in text.lines().enumerate() {
        let line = raw.strip_suffix('\r').unwrap_or(raw);
        if open {
            let (_, last) = lines.last_mut().expect("a continuation continues a line");
            last.push_str(line.trim_start());
        } else if line.trim().is_empty() || line.trim_start().starts_with('#') {
            continue;
        } else {
            lines.push((at + 1, line.to_owned()));
        }
        let (_, last) = lines.last_mut().expect("a line was pushed");
        let dollars = last.bytes().rev().take_while(|byte| *byte == b'$').count();
        open = dollars % 2 == 1;
        if open {
            last.pop();
        }
    }
    lines
}

/// `$name`, `${name}`, `$$`, `$ `, `$:`.
fn expand(text: &str, lookup: &mut dyn FnMut(&str) -> String) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(inner) = rest.strip_prefix('{')
            && let Some((name, after)) = inner.split_once('}')
        {
            out.push_str(&lookup(name));
            rest = after;
        } else {
            let end = rest
                .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-'))
                .unwrap_or(rest.len());
            if end == 0 {
                let mut chars = rest.chars();
                out.extend(chars.next());
                rest = chars.as_str();
            } else {
                out.push_str(&lookup(&rest[..end]));
                rest = &rest[end..];
            }
        }
    }
    out.push_str(rest);
    out
}

/// The words of a `build` line, expanded.
fn paths(text: &str, lookup: &mut dyn FnMut(&str) -> String) -> Vec<(String, Bare)> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut rest = text;
    let mut flush = |word: &mut String, words: &mut Vec<(String, Bare)>| {
        if !word.is_empty() {
            words.push((expand(word, lookup), Bare::Path));
            word.clear();
        }
    };
    while let Some(next) = rest.chars().next() {
        let (taken, bare) = match next {
            '$' => {
                let escaped = rest.chars().nth(1).map_or(1, |second| 1 + second.len_utf8());
                word.push_str(&rest[..escaped]);
                (escaped, None)
            }
            ' ' | '\t' => {
                flush(&mut word, &mut words);
                (1, None)
            }
            ':' => (1, Some(Bare::Colon)),
            '|' if rest.starts_with("||") => (2, Some(Bare::Pipes)),
            '|' if rest.starts_with("|@") => (2, Some(Bare::PipeAt)),
            '|' => (1, Some(Bare::Pipe)),
            other => {
                word.push(other);
                (other.len_utf8(), None)
            }
        };
        if let Some(bare) = bare {
            flush(&mut word, &mut words);
            words.push((String::new(), bare));
        }
        rest = &rest[taken..];
    }
    flush(&mut word, &mut words);
    words
}

fn shell_list(paths: &[String], between: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_+-./=:@,%".contains(c);
    let quote = |path: &String| {
        if path.chars().all(plain) { path.clone() } else { format!("'{}'", path.replace('\'', r"'\''")) }
    };
    paths.iter().map(quote).collect::<Vec<_>>().join(between)
}

struct Writer<'a> {
    root: &'a Path,
    dir: &'a Path,
    manifest: &'a Manifest,
    /// Which edge makes a file, by the path as the manifest writes it, folded.
    makers: HashMap<String, usize>,
    /// What an edge is called.
    names: Vec<String>,
    /// Edges that are left out.
    left_out: HashSet<usize>,
}

impl<'a> Writer<'a> {
    fn new(root: &'a Path, dir: &'a Path, manifest: &'a Manifest) -> Self {
        let mut makers = HashMap::new();
        let mut names = Vec::new();
        let mut left_out = HashSet::new();
        for (at, edge) in manifest.edges.iter().enumerate() {
            for output in edge.outputs.iter().chain(&edge.implicit_outputs) {
                makers.entry(fold(output)).or_insert(at);
            }
            if manifest.binding(edge, "generator").is_some_and(|value| !value.is_empty()) {
                left_out.insert(at);
            }
            let name = edge.outputs.first().or(edge.implicit_outputs.first()).map_or("edge", String::as_str);
            // A colon would be a project's, a space nobody could type.
            names.push(fold(name).trim_start_matches('/').replace([':', ' ', '@', '\t'], "_"));
        }
        Self { root, dir, manifest, makers, names, left_out }
    }

    fn write(&self, from: &Path) -> String {
        let mut out = format!(
            "// Made by `envrun import ninja` from {}.\n",
            from.strip_prefix(self.root).unwrap_or(from).display()
        );
        for (name, depth) in &self.manifest.pools {
            let _ = writeln!(out, "pool {} {}", kdl(name), depth.trim());
        }
        if self
            .manifest
            .edges
            .iter()
            .any(|edge| self.manifest.binding(edge, "pool").as_deref() == Some("console"))
        {
            out.push_str("pool \"console\" 1\n");
        }
        for (at, edge) in self.manifest.edges.iter().enumerate() {
            if self.left_out.contains(&at) {
                let _ =
                    writeln!(out, "\n// left out: `{}`, which would write the manifest anew", self.names[at]);
            } else {
                self.edge(&mut out, at, edge);
            }
        }
        if !self.manifest.defaults.is_empty() && !self.names.iter().any(|name| name == "default") {
            let needs: Vec<String> = self
                .manifest
                .defaults
                .iter()
                .filter_map(|name| self.maker(name))
                .map(|at| kdl(&self.names[at]))
                .collect();
            let _ = writeln!(
                out,
                "\ntask \"default\" {{\n    desc \"What `ninja` makes when nothing is named\"\n    needs {}\n}}",
                needs.join(" ")
            );
        }
        out
    }

    fn maker(&self, path: &str) -> Option<usize> {
        self.makers.get(&fold(path)).copied().filter(|at| !self.left_out.contains(at))
    }

    fn edge(&self, out: &mut String, at: usize, edge: &Edge) {
        let _ = writeln!(out, "\ntask {} {{", kdl(&self.names[at]));
        if let Some(desc) = self.manifest.binding(edge, "description").filter(|desc| !desc.is_empty()) {
            let _ = writeln!(out, "    desc {}", kdl(&desc));
        }
        let mut needs = Vec::new();
        let mut inputs = Vec::new();
        for path in edge.inputs.iter().chain(&edge.implicit).chain(&edge.order_only) {
            match self.maker(path) {
                Some(maker) if maker != at => needs.push(kdl(&self.names[maker])),
                Some(_) => {}
                None => inputs.extend(self.inside(path).map(|path| kdl(&escaped(&path)))),
            }
        }
        for list in [&mut needs, &mut inputs] {
            let mut seen = HashSet::new();
            list.retain(|text| seen.insert(text.clone()));
        }
        if !needs.is_empty() {
            let _ = writeln!(out, "    needs {}", needs.join(" "));
        }
        if edge.rule == "phony" {
            out.push_str("}\n");
            return;
        }
        if let Ok(dir) = self.dir.strip_prefix(self.root)
            && !dir.as_os_str().is_empty()
        {
            let _ = writeln!(out, "    dir {}", kdl(&dir.display().to_string()));
        }
        if !inputs.is_empty() {
            let _ = writeln!(out, "    inputs {}", inputs.join(" "));
        }
        let outputs: Vec<String> = edge
            .outputs
            .iter()
            .chain(&edge.implicit_outputs)
            .filter_map(|path| self.inside(path))
            .map(|path| kdl(&escaped(&path)))
            .collect();
        if !outputs.is_empty() {
            let _ = writeln!(out, "    outputs {}", outputs.join(" "));
        }
        if let Some(depfile) = self.manifest.binding(edge, "depfile").filter(|depfile| !depfile.is_empty()) {
            let _ = writeln!(out, "    depfile {}", kdl(&self.inside(&depfile).unwrap_or(depfile)));
        }
        if let Some(pool) = self.manifest.binding(edge, "pool").filter(|pool| !pool.is_empty()) {
            let _ = writeln!(out, "    pool {}", kdl(&pool));
        }
        let command = self.manifest.binding(edge, "command").unwrap_or_default();
        if let Some(file) = self.manifest.binding(edge, "rspfile").filter(|file| !file.is_empty()) {
            let content = self.manifest.binding(edge, "rspfile_content").unwrap_or_default();
            let _ = writeln!(
                out,
                "    run \"sh\" \"-c\" \"printf '%s' \\\"$1\\\" > \\\"$2\\\"\" \"sh\" {} {}",
                word(&content),
                word(&file)
            );
        }
        let _ = writeln!(out, "    run {}", kdl(&command));
        out.push_str("}\n");
    }

    /// A path as the task writes it, if the file lies in the project: headers of the system come by depfile.
    fn inside(&self, path: &str) -> Option<String> {
        if !path.starts_with('/') {
            let whole = fold(&self.dir.join(path).display().to_string());
            return Path::new(&whole).starts_with(self.root).then(|| fold(path));
        }
        let folded = fold(path);
        let below = Path::new(&folded).strip_prefix(self.root).ok()?.display().to_string();
        let depth = self.dir.strip_prefix(self.root).ok()?.components().count();
        // Relative to the task's folder, which may lie deeper than the file.
        let own = Path::new(&folded).strip_prefix(self.dir).ok().map(|path| path.display().to_string());
        Some(own.unwrap_or_else(|| format!("{}{below}", "../".repeat(depth))))
    }
}

/// A path without `.`, and without `..` where something stands before it.
fn fold(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    let root = if path.starts_with('/') { "/" } else { "" };
    format!("{root}{}", parts.join("/"))
}

/// A path as a pattern that matches only itself.
fn escaped(path: &str) -> String {
    let mut out = String::new();
    for c in path.chars() {
        if "*?[]{}!\\".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    // The shell's own `${NAME}` would be replaced in a pattern.
    out.replace("${", "$${")
}

/// A KDL string.
fn kdl(text: &str) -> String {
    if text.contains(['\\', '"']) && !text.contains('\n') {
        let mut hashes = "#".to_owned();
        while text.contains(&format!("\"{hashes}")) {
            hashes.push('#');
        }
        return format!("{hashes}\"{text}\"{hashes}");
    }
    format!(
        "\"{}\"",
        text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n").replace('\t', "\\t")
    )
}

/// A word of a command without a shell: `${` stands for itself.
fn word(text: &str) -> String {
    kdl(&text.replace("${", "$${"))
}
