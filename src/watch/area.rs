//! What a path means to a session.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use crate::base::RelPath;
use crate::fingerprint::{Declared, Prepared, is_of_an_editor};
use crate::graph::{EdgeKind, NodeIx, TaskGraph};

/// What a path means.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Meaning {
    /// The Envfile, something it includes, or a dotenv file.
    pub text: bool,
    /// Another commit or branch may be checked out.
    pub head: bool,
    /// What is read may be otherwise, nobody's pattern says whose: a folder on the way, an ignore file, a header of the
    /// system.
    pub look: bool,
    /// The nodes that may read it, as its name goes.
    pub readers: Vec<NodeIx>,
}

impl Meaning {
    /// It means something.
    pub fn is_some(&self) -> bool {
        self.text || self.head || self.look || !self.readers.is_empty()
    }
}

/// What the nodes of a graph read and write, by names.
#[derive(Debug)]
pub struct Area {
    root: PathBuf,
    nodes: Vec<Option<Prepared>>,
    /// The files that depfiles named, with whose they are.
    found: HashMap<RelPath, Vec<NodeIx>>,
    graph: TaskGraph,
    texts: BTreeSet<PathBuf>,
    /// git's folder, if it matters which commit is checked out.
    git: Option<PathBuf>,
    /// The folders that are watched.
    folders: BTreeSet<PathBuf>,
}

impl Area {
    /// The area of a graph in the project at `root`. `declaration` gives each node's files; `texts` are the files that the
    /// graph itself was made of, `found` what depfiles named.
    pub fn new<'a>(
        root: &Path,
        graph: &TaskGraph,
        declaration: impl Fn(NodeIx) -> Option<&'a Prepared>,
        texts: BTreeSet<PathBuf>,
        git: Option<PathBuf>,
        found: HashMap<RelPath, Vec<NodeIx>>,
    ) -> Self {
        let nodes = graph.indices().map(|node| declaration(node).cloned()).collect();
        let folders = BTreeSet::new();
        Self { root: root.to_path_buf(), nodes, found, graph: graph.clone(), texts, git, folders }
    }

    /// The same, with the folders that are watched for it.
    #[must_use]
    pub fn watched(self, folders: BTreeSet<PathBuf>) -> Self {
        Self { folders, ..self }
    }

    /// Whether a path is a folder that is watched, or lies on the way to one.
    pub fn is_watched(&self, path: &Path) -> bool {
        let next = self.folders.range(path.to_path_buf()..).next();
        next.is_some_and(|folder| folder.starts_with(path))
    }

    /// The files that the graph was made of.
    pub fn texts(&self) -> &BTreeSet<PathBuf> {
        &self.texts
    }

    /// git's folder, if it matters which commit is checked out.
    pub fn git(&self) -> Option<&Path> {
        self.git.as_deref()
    }

    /// The nodes that read files.
    pub fn readers(&self) -> impl Iterator<Item = NodeIx> {
        self.each().map(|(node, _)| node)
    }

    /// A node's name.
    pub fn label(&self, node: NodeIx) -> &str {
        &self.graph[node].label
    }

    /// Whether a path can mean nothing: git writes it for itself, or envrun.
    pub fn is_noise(&self, path: &Path) -> bool {
        let is_git = self.git.as_ref().is_some_and(|git| path.starts_with(git));
        !is_git && self.inside(path).is_some_and(|path| Declared::is_beside(&path))
    }

    /// A path as the patterns know it, if it lies in the project.
    pub fn inside(&self, path: &Path) -> Option<RelPath> {
        RelPath::strip(&self.root, path)
    }

    /// What a path means.
    pub fn meaning(&self, path: &Path) -> Meaning {
        // Of a folder that was listed (`include "services/*"`) the names count.
        let text =
            self.texts.contains(path) || path.parent().is_some_and(|folder| self.texts.contains(folder));
        let mut meaning = Meaning { text, ..Meaning::default() };
        if let Some(git) = &self.git
            && path.starts_with(git)
        {
            let name = path.file_name().unwrap_or_default();
            meaning.head = !name.as_encoded_bytes().ends_with(b".lock") && name != "index";
            return meaning;
        }
        let Some(path) = self.inside(path) else {
            // Where a link leads out of the project, or a depfile, nobody's patterns reach.
            meaning.look = !meaning.text;
            return meaning;
        };
        if Declared::is_beside(&path) {
            return meaning;
        }
        let name = path.components().next_back().unwrap_or_default();
        if is_of_an_editor(name) && !self.each().any(|(_, node)| node.names(&path)) {
            return meaning;
        }
        meaning.look = name == b".gitignore" || name == b".ignore";
        let writers = self.each().filter(|(_, declared)| declared.may_write(&path)).map(|(node, _)| node);
        let behind = self.affected(writers);
        for (node, declared) in self.each().filter(|(node, _)| !behind[node.index()]) {
            if declared.may_read(&path) || declared.begins_below(&path) {
                meaning.readers.push(node);
            } else {
                meaning.look |= declared.may_look_into(&path);
            }
        }
        let found = self.found.get(&path).into_iter().flatten().copied();
        meaning.readers.extend(found.filter(|node| !behind[node.index()]));
        meaning
    }

    /// Whether files below a folder may be inputs.
    pub fn reaches(&self, folder: &Path) -> bool {
        self.inside(folder).is_some_and(|folder| {
            !Declared::is_beside(&folder) && self.each().any(|(_, node)| node.may_look_into(&folder))
        })
    }

    /// These nodes and all that needs them, whatever the way.
    pub fn affected(&self, nodes: impl IntoIterator<Item = NodeIx>) -> Vec<bool> {
        let mut found = vec![false; self.nodes.len()];
        let mut todo: Vec<NodeIx> = nodes.into_iter().collect();
        while let Some(node) = todo.pop() {
            if std::mem::replace(&mut found[node.index()], true) {
                continue;
            }
            let behind = self.graph.behind(node).filter(|(_, edge)| edge.kind == EdgeKind::Needs);
            todo.extend(behind.map(|(later, _)| later));
        }
        found
    }

    fn each(&self) -> impl Iterator<Item = (NodeIx, &Prepared)> {
        self.graph.indices().zip(&self.nodes).filter_map(|(node, declared)| Some((node, declared.as_ref()?)))
    }
}
