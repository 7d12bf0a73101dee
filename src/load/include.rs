//! Reads the root file and everything it includes, and says which text counts where.
//!
//! A text that is included is a [`Unit`]: in a project, under a namespace. One file may be many units (two projects may
//! include it), but is read once. A folder is one project, however often it is included: the name that the including
//! project nearest to the root gives it is its own, the others are other names for it.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::path::{Path, PathBuf};

use globset::GlobBuilder;
use indexmap::IndexMap;

use crate::base::RelPath;
use crate::diag::{Diagnostic, FileId, SourceMap, Span, Spanned};
use crate::model::ProjectName;
use crate::syntax;
use crate::syntax::ast::{Document, Node, Value};

use super::path::{is_outside, join, parent};
use super::{FILE_NAME, Texts, ring};

/// A text where it counts.
#[derive(Debug, Clone)]
pub(super) struct Unit {
    /// The text.
    pub file: FileId,
    /// The project, by its place in [`Units::projects`].
    pub project: usize,
    /// What its nodes' names begin with: `k8s`, `a.b`, or empty.
    pub namespace: String,
    /// The folder of the file, relative to the root.
    pub folder: String,
}

/// Where a node of a text counts: the node by its place among those at the text's root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Item {
    /// The unit, by its place in [`Units::units`].
    pub unit: usize,
    /// The node's place in the unit's document.
    pub at: usize,
}

/// A project before it is lowered.
#[derive(Debug)]
pub(super) struct ProjectUnits {
    pub name: ProjectName,
    pub dir: RelPath,
    pub outer: Option<usize>,
    /// Which projects it includes, under which names, and where.
    pub included: IndexMap<String, (usize, Span)>,
    /// Every node at the root of its texts but `include`, in the order of reading.
    pub items: Vec<Item>,
    /// Its units, weakest first: what a file includes is below what it says itself.
    pub units: Vec<usize>,
    /// The namespaces in it, and the first place that opens each.
    pub namespaces: IndexMap<String, Span>,
}

/// Everything that was read.
#[derive(Debug, Default)]
pub(super) struct Units {
    /// By [`FileId`]; empty for a text that does not parse.
    pub documents: Vec<Document>,
    pub units: Vec<Unit>,
    /// The root first.
    pub projects: Vec<ProjectUnits>,
    /// A text does not parse or could not be read: names may be missing.
    pub incomplete: bool,
}

impl ProjectUnits {
    /// How strong what a unit says is, by the unit: the weakest first.
    pub(super) fn ranks(&self) -> HashMap<usize, usize> {
        self.units.iter().enumerate().map(|(rank, &unit)| (unit, rank)).collect()
    }
}

impl Units {
    /// The node of an item.
    pub(super) fn node(&self, item: Item) -> &Node {
        &self.documents[self.units[item.unit].file.0 as usize].nodes[item.at]
    }
}

/// Reads everything.
pub(super) fn assemble(
    root_file: &Path,
    root_text: &str,
    texts: &Texts,
) -> (Units, SourceMap, Vec<Diagnostic>) {
    let root = root_file.parent().unwrap_or(Path::new("")).to_path_buf();
    let mut reader = Reader {
        texts,
        root,
        sources: SourceMap::default(),
        files: HashMap::new(),
        units: Units::default(),
        by_folder: HashMap::new(),
        edges: Vec::new(),
        waiting: VecDeque::new(),
        diagnostics: Vec::new(),
    };
    let name =
        root_file.file_name().map_or_else(|| FILE_NAME.into(), |name| name.to_string_lossy().into_owned());
    let identity = texts.identity(root_file);
    let file = reader.add(&name, root_file, identity.clone(), root_text);
    reader.project(ProjectName::default(), RelPath::root(), None, identity, file);
    // Breadth first, so that a folder's name is the one given nearest to the root.
    while let Some(next) = reader.waiting.pop_front() {
        reader.unit(
            next.project,
            next.file,
            String::new(),
            next.folder,
            &mut vec![(next.identity, next.name, None)],
        );
    }
    reader.rings();
    (reader.units, reader.sources, reader.diagnostics)
}

struct Reader<'t> {
    texts: &'t Texts,
    root: PathBuf,
    sources: SourceMap,
    files: HashMap<PathBuf, FileId>,
    units: Units,
    /// Projects by the identity of their Envfile.
    by_folder: HashMap<PathBuf, usize>,
    /// Which project includes which, and where.
    edges: Vec<(usize, usize, Span)>,
    waiting: VecDeque<Waiting>,
    diagnostics: Vec<Diagnostic>,
}

struct Waiting {
    project: usize,
    file: FileId,
    identity: PathBuf,
    name: String,
    folder: String,
}

/// The files that are being read, each inside the one before: identity, name, and where it is included.
type Chain = Vec<(PathBuf, String, Option<Span>)>;

impl Reader<'_> {
    fn add(&mut self, name: &str, path: &Path, identity: PathBuf, text: &str) -> FileId {
        let file = self.sources.add(name, path, text);
        let read = syntax::parse::recover(file, text);
        self.diagnostics.extend(read.errors);
        let document = if read.is_whole {
            self.diagnostics.extend(syntax::words::check(&read.document));
            read.document
        } else {
            self.units.incomplete = true;
            Document::default()
        };
        self.units.documents.push(document);
        self.files.insert(identity, file);
        file
    }

    /// Reads a file by its path relative to the root, once.
    fn read(&mut self, relative: &str) -> io::Result<(FileId, PathBuf)> {
        let path = self.root.join(relative);
        let identity = self.texts.identity(&path);
        if let Some(&file) = self.files.get(&identity) {
            return Ok((file, identity));
        }
        let text = self.texts.read(&path)?;
        Ok((self.add(relative, &path, identity.clone(), &text), identity))
    }

    fn project(
        &mut self,
        name: ProjectName,
        dir: RelPath,
        outer: Option<usize>,
        identity: PathBuf,
        file: FileId,
    ) -> usize {
        let folder = if dir.is_root() { String::new() } else { dir.display().into_owned() };
        let project = self.units.projects.len();
        self.units.projects.push(ProjectUnits {
            name,
            dir,
            outer,
            included: IndexMap::new(),
            items: Vec::new(),
            units: Vec::new(),
            namespaces: IndexMap::new(),
        });
        self.by_folder.insert(identity.clone(), project);
        let name = self.sources.file(file).name.clone();
        self.waiting.push_back(Waiting { project, file, identity, name, folder });
        project
    }

    fn unit(&mut self, project: usize, file: FileId, namespace: String, folder: String, chain: &mut Chain) {
        let unit = self.units.units.len();
        self.units.units.push(Unit { file, project, namespace, folder });
        let count = self.units.documents[file.0 as usize].nodes.len();
        for at in 0..count {
            let node = &self.units.documents[file.0 as usize].nodes[at];
            if node.name.value == "include" {
                let node = node.clone();
                self.include(unit, &node, chain);
            } else {
                self.units.projects[project].items.push(Item { unit, at });
            }
        }
        self.units.projects[project].units.push(unit);
    }

    fn wrong(&mut self, span: Span, message: String, help: Option<String>) {
        self.units.incomplete = true;
        self.diagnostics.push(Diagnostic::error("load/include", message).at(span, "").maybe_help(help));
    }

    fn include(&mut self, unit: usize, node: &Node, chain: &mut Chain) {
        // Whatever else is wrong with the line is said by the check of words.
        let Some(arg) = node.args.first() else { return };
        let Some(text) = arg.value.value.as_str() else { return };
        let span = arg.value.span;
        let alias = node.prop("as").and_then(|prop| {
            let text = prop.value.value.as_str()?;
            Some(Spanned::new(text.to_owned(), prop.value.span))
        });
        let folder = self.units.units[unit].folder.clone();
        let joined = join(&folder, text);
        if text.contains("${") {
            return self.wrong(span, "an `include` is read before any variable has a value".into(), None);
        }
        if text.contains(['*', '?', '[', '{']) {
            return self.glob(unit, &joined, span, alias.as_ref(), chain);
        }
        let path = self.root.join(&joined);
        if self.texts.is_file(&path) {
            self.file(unit, &joined, span, alias.as_ref(), chain);
        } else if self.texts.is_file(&path.join(FILE_NAME)) {
            self.folder(unit, &joined, span, alias.as_ref());
        } else if self.texts.is_dir(&path) {
            self.wrong(span, format!("`{text}` has no `{FILE_NAME}`"), None);
        } else {
            let help = self.near(&joined);
            self.wrong(span, format!("there is no `{text}` to include"), help);
        }
    }

    /// What lies beside the first part of a path that does not exist, and may have been meant.
    fn near(&self, joined: &str) -> Option<String> {
        let mut folder = String::new();
        for part in joined.split('/') {
            let below = join(&folder, part);
            let path = self.root.join(&below);
            if !self.texts.is_dir(&path) && !self.texts.is_file(&path) {
                let beside = self.texts.list(&self.root.join(&folder)).ok()?;
                return crate::diag::did_you_mean(part, beside.iter().map(|entry| entry.name.as_str()));
            }
            folder = below;
        }
        None
    }

    fn file(
        &mut self,
        unit: usize,
        joined: &str,
        span: Span,
        alias: Option<&Spanned<String>>,
        chain: &mut Chain,
    ) {
        let (file, identity) = match self.read(joined) {
            Ok(read) => read,
            Err(error) => return self.wrong(span, format!("cannot read `{joined}`: {error}"), None),
        };
        if let Some(from) = chain.iter().position(|(open, ..)| *open == identity) {
            let names: Vec<String> = chain[from..].iter().map(|(_, name, _)| name.clone()).collect();
            let spans: Vec<Span> =
                chain[from + 1..].iter().filter_map(|(_, _, span)| *span).chain([span]).collect();
            self.diagnostics.push(ring::diagnostic(
                "load/cycle",
                "files include each other",
                "includes",
                &names,
                &spans,
            ));
            return;
        }
        let Unit { project, namespace, .. } = &self.units.units[unit];
        let (project, mut namespace) = (*project, namespace.clone());
        if let Some(alias) = alias {
            if !namespace.is_empty() {
                namespace.push('.');
            }
            namespace.push_str(&alias.value);
            self.units.projects[project].namespaces.entry(namespace.clone()).or_insert(alias.span);
        }
        chain.push((identity, joined.to_owned(), Some(span)));
        self.unit(project, file, namespace, parent(joined).to_owned(), chain);
        chain.pop();
    }

    fn folder(&mut self, unit: usize, joined: &str, span: Span, alias: Option<&Spanned<String>>) {
        if is_outside(joined) {
            let help = "include its files one by one, or move the root Envfile up".to_owned();
            return self.wrong(span, format!("the folder `{joined}` lies outside the project"), Some(help));
        }
        let outer = self.units.units[unit].project;
        let last = joined.rsplit('/').next().unwrap_or(joined);
        let name = alias.map_or(last, |alias| alias.value.as_str()).to_owned();
        let place = alias.map_or(span, |alias| alias.span);
        let (file, identity) = match self.read(&join(joined, FILE_NAME)) {
            Ok(read) => read,
            Err(error) => {
                return self.wrong(span, format!("cannot read `{joined}/{FILE_NAME}`: {error}"), None);
            }
        };
        if let Some(&known) = self.by_folder.get(&identity) {
            self.edges.push((outer, known, span));
            return self.call(outer, name, known, place);
        }
        // A name that `as=` gives is held to the same by the check of words.
        if alias.is_none() && syntax::words::Kind::Name.check(&Value::String(name.clone())).is_err() {
            let help = "give it a name with `as=`".to_owned();
            return self.wrong(
                place,
                format!("the folder `{name}` cannot give the project its name"),
                Some(help),
            );
        }
        let dir = RelPath::root().resolve(joined).unwrap_or_default();
        let own = match self.units.projects[outer].name.as_str() {
            "" => name.clone(),
            around => format!("{around}:{name}"),
        };
        let project = self.project(ProjectName::from(own.as_str()), dir, Some(outer), identity, file);
        self.edges.push((outer, project, span));
        self.call(outer, name, project, place);
    }

    /// Gives a project its name inside the one that includes it.
    fn call(&mut self, outer: usize, name: String, project: usize, span: Span) {
        let included = &mut self.units.projects[outer].included;
        match included.get(&name) {
            Some(&(other, first)) if other != project => {
                self.diagnostics.push(
                    Diagnostic::error("load/duplicate", format!("two included projects are called `{name}`"))
                        .at(span, "the second")
                        .at(first, "the first")
                        .help("give one of them another name with `as=`"),
                );
            }
            Some(_) => {}
            None => {
                included.insert(name, (project, span));
            }
        }
    }

    fn glob(
        &mut self,
        unit: usize,
        joined: &str,
        span: Span,
        alias: Option<&Spanned<String>>,
        chain: &mut Chain,
    ) {
        if let Some(alias) = alias {
            let message = format!("`as=\"{}\"` names one thing, and a glob may find several", alias.value);
            return self.wrong(
                alias.span,
                message,
                Some("leave `as=` out: each folder has its own name".into()),
            );
        }
        let mut found = Vec::new();
        let parts: Vec<&str> = joined.split('/').collect();
        if let Err(reason) = self.matches("", &parts, &mut HashSet::new(), &mut found) {
            return self.wrong(span, format!("`{joined}` is not a glob: {reason}"), None);
        }
        found.sort();
        found.dedup();
        if found.is_empty() {
            self.diagnostics.push(
                Diagnostic::warning("load/include", format!("`{joined}` finds nothing to include"))
                    .at(span, "")
                    .help(format!("it looks for folders with an `{FILE_NAME}`, and for `.kdl` files")),
            );
        }
        for path in found {
            if self.texts.is_file(&self.root.join(&path)) {
                self.file(unit, &path, span, None, chain);
            } else {
                self.folder(unit, &path, span, None);
            }
        }
    }

    /// Collects the folders with an Envfile, and the `.kdl` files, below `folder` that the glob's `parts` match.
    fn matches(
        &self,
        folder: &str,
        parts: &[&str],
        seen: &mut HashSet<(usize, PathBuf)>,
        found: &mut Vec<String>,
    ) -> Result<(), String> {
        let Some((part, rest)) = parts.split_first() else {
            let path = self.root.join(folder);
            let is_file = folder.ends_with(".kdl") && self.texts.is_file(&path);
            // `**` matches the folder of the root itself, which is no reason to include it in itself.
            if is_file || !folder.is_empty() && self.texts.is_file(&path.join(FILE_NAME)) {
                found.push(folder.to_owned());
            }
            return Ok(());
        };
        if !part.contains(['*', '?', '[', '{']) {
            return self.matches(&join(folder, part), rest, seen, found);
        }
        let everywhere = *part == "**";
        if everywhere {
            // A link back up would never end.
            if !seen.insert((parts.len(), self.texts.identity(&self.root.join(folder)))) {
                return Ok(());
            }
            self.matches(folder, rest, seen, found)?;
        }
        let glob = GlobBuilder::new(part)
            .literal_separator(true)
            .build()
            .map_err(|error| error.kind().to_string())?
            .compile_matcher();
        for entry in self.texts.list(&self.root.join(folder)).unwrap_or_default() {
            if entry.name.starts_with('.') && !part.starts_with('.') {
                continue;
            }
            let below = join(folder, &entry.name);
            if everywhere {
                if entry.is_dir {
                    self.matches(&below, parts, seen, found)?;
                }
            } else if glob.is_match(&entry.name) {
                self.matches(&below, rest, seen, found)?;
            }
        }
        Ok(())
    }

    /// Projects that include each other.
    fn rings(&mut self) {
        let edges = &self.edges;
        let out = |from: usize| {
            edges.iter().filter(|edge| edge.0 == from).map(|&(_, to, span)| (to, span)).collect::<Vec<_>>()
        };
        for ring in ring::rings(self.units.projects.len(), out) {
            let name = |project: usize| match self.units.projects[project].name.as_str() {
                "" => FILE_NAME.to_owned(),
                name => name.to_owned(),
            };
            let names: Vec<String> = ring.iter().map(|&(project, _)| name(project)).collect();
            let spans: Vec<Span> = ring.iter().map(|&(_, span)| span).collect();
            self.diagnostics.push(ring::diagnostic(
                "load/cycle",
                "projects include each other",
                "includes",
                &names,
                &spans,
            ));
        }
    }
}
