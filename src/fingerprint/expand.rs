//! From patterns to the files they name.
//!
//! * A **glob** names the files and links that match and that git does not ignore. Links are not followed.
//! * A **name written out** names that file even if git ignores it. A folder written out names everything below it that
//!   git does not ignore; if git ignores the folder itself, everything.
//! * A **link** counts with its text, and with the file it leads to. A link to a folder counts with its text alone: what
//!   lies behind it has to be named by its own path.
//! * `!pattern` takes away, wherever it stands in the list.
//! * `.git` and `.envrun` are never looked into.
//! * What an editor leaves beside a file while it has it open (`.a.c.swp`, `.#a.c`, `a.c~`) is no input unless its name is
//!   written out: a key must not depend on who looks at a file.
//!
//! Every folder and ignore file that was looked at is noted with its digest: as long as these are the same, so is the
//! answer, and nobody walks.

use std::collections::BTreeMap;

use crate::base::fs::{self, FsError, Kind};
use crate::base::glob::{Alternative, Glob, GlobError, Pattern, Position};
use crate::base::{Digest, RelPath};

use super::Workspace;
use super::ignored::{Rules, is_ignored};
use super::look::{is_of_an_editor, never_counts};
use super::record::Row;
use super::table::{FileKind, PathId};

/// Patterns as written, understood.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct PatternSet {
    pub(super) includes: Vec<Pattern>,
    pub(super) excludes: Vec<Pattern>,
}

impl PatternSet {
    /// Reads patterns that are relative to `dir`. An error comes with the pattern it is about.
    pub(super) fn parse(dir: &RelPath, texts: &[String]) -> Result<Self, (String, GlobError)> {
        let mut set = Self::default();
        for text in texts {
            let (list, pattern) = match text.strip_prefix('!') {
                Some(rest) => (&mut set.excludes, rest),
                None => (&mut set.includes, text.as_str()),
            };
            list.push(Pattern::parse(dir, pattern).map_err(|error| (text.clone(), error))?);
        }
        Ok(set)
    }

    /// Whether a path is taken away.
    pub(super) fn excludes(&self, path: &RelPath) -> bool {
        self.excludes.iter().any(|pattern| pattern.covers(path))
    }

    /// Whether a path is named and not taken away; a folder that matches names what is below it.
    pub(super) fn covers(&self, path: &RelPath) -> bool {
        let mut at = Some(path.clone());
        while let Some(folder) = at {
            if self.includes.iter().any(|pattern| pattern.covers(&folder)) {
                return !self.excludes(path);
            }
            at = folder.parent();
        }
        false
    }

    /// Whether a walk looks into a folder, if it comes there.
    pub(super) fn walks(&self, folder: &RelPath) -> bool {
        self.includes.iter().any(|pattern| match pattern {
            Pattern::Literal(path) => folder.starts_with(path),
            Pattern::Glob(glob) => glob.alternatives().iter().any(|alternative| {
                if !folder.starts_with(&alternative.prefix) {
                    return false;
                }
                let below = folder.components().skip(alternative.prefix.components().count());
                let at = below.fold(alternative.start(), |at, name| alternative.step(at, name));
                !at.is_dead()
            }),
        })
    }

    /// Whether a name written out, or the fixed beginning of a glob, lies below a folder.
    pub(super) fn begins_below(&self, folder: &RelPath) -> bool {
        self.includes.iter().any(|pattern| match pattern {
            Pattern::Literal(path) => path.starts_with(folder),
            Pattern::Glob(glob) => {
                glob.alternatives().iter().any(|alternative| alternative.prefix.starts_with(folder))
            }
        })
    }

    /// The names that are written out.
    pub(super) fn literals(&self) -> impl Iterator<Item = &RelPath> {
        self.includes.iter().filter_map(|pattern| match pattern {
            Pattern::Literal(path) => Some(path),
            Pattern::Glob(_) => None,
        })
    }

    /// Whether everything below a folder is taken away.
    fn prunes(&self, folder: &RelPath) -> bool {
        self.excludes.iter().any(|pattern| match pattern {
            Pattern::Literal(literal) => folder.starts_with(literal),
            Pattern::Glob(glob) => glob.matches_all_below(folder),
        })
    }
}

/// The files that patterns name.
#[derive(Debug, Default)]
pub(super) struct Expansion {
    /// Sorted by path, each once.
    pub(super) files: Vec<PathId>,
    /// What was looked at to find them.
    pub(super) walked: Vec<Row>,
}

/// How a walk decides about names.
#[derive(Clone)]
enum Wanted<'a> {
    /// Everything.
    All,
    /// What matches: where the walk stands in each alternative.
    Matching(Vec<(&'a Alternative, Position)>),
}

struct Walk<'a> {
    workspace: &'a Workspace,
    patterns: &'a PatternSet,
    found: Vec<Vec<u8>>,
    walked: BTreeMap<PathId, Row>,
}

impl Workspace {
    /// The files that these patterns name now.
    pub(super) fn expand(&self, patterns: &PatternSet) -> Result<Expansion, FsError> {
        let mut walk = Walk { workspace: self, patterns, found: Vec::new(), walked: BTreeMap::new() };
        for pattern in &patterns.includes {
            match pattern {
                Pattern::Literal(path) => walk.literal(path)?,
                Pattern::Glob(glob) => walk.glob(glob)?,
            }
        }
        let Walk { mut found, mut walked, .. } = walk;
        found.sort_unstable();
        found.dedup();
        let mut files = self.intern_all(found.iter().map(Vec::as_slice));
        self.follow(&mut files, &mut walked)?;
        Ok(Expansion { files, walked: walked.into_values().collect() })
    }

    /// Adds the files that links among `files` lead to.
    pub(super) fn follow(
        &self,
        files: &mut Vec<PathId>,
        walked: &mut BTreeMap<PathId, Row>,
    ) -> Result<(), FsError> {
        self.look(files)?;
        let links: Vec<(PathId, Box<[u8]>)> = {
            let state = self.state();
            let is_link = |id: &&PathId| state.table.entry(**id).kind == FileKind::Link;
            files.iter().filter(is_link).map(|id| (*id, state.table.path(*id).into())).collect()
        };
        if links.is_empty() {
            return Ok(());
        }
        for (id, path) in links {
            let mut path = path.into_vec();
            // Where it leads is part of the answer, so its text is part of what the answer rests on.
            walked.insert(id, self.row(id)?);
            for _ in 0..8 {
                path = self.behind(&path, self.root.read_link(&path)?)?;
                let id = self.intern(&path);
                let row = self.row(id)?;
                walked.insert(id, row);
                match row.kind {
                    FileKind::Link => files.push(id),
                    FileKind::File | FileKind::Executable => {
                        files.push(id);
                        break;
                    }
                    FileKind::Missing | FileKind::Dir | FileKind::Special => break,
                }
            }
        }
        let state = self.state();
        files.sort_unstable_by(|a, b| state.table.path(*a).cmp(state.table.path(*b)));
        files.dedup();
        Ok(())
    }

    /// Where a link leads. A `..` is folded where it leaves a folder that is no link itself.
    fn behind(&self, link: &[u8], target: Vec<u8>) -> Result<Vec<u8>, FsError> {
        if target.starts_with(b"/") {
            return Ok(target);
        }
        let up = |path: &[u8]| path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        let mut folder = &link[..up(link)];
        let mut rest = &target[..];
        while let Some(below) = rest.strip_prefix(b"../")
            && !folder.is_empty()
            && self.root.stat(folder)?.is_some_and(|stat| stat.kind() == Kind::Dir)
        {
            folder = &folder[..up(folder)];
            rest = below;
        }
        Ok(fs::join(folder, rest))
    }

    /// What a path holds now.
    pub(super) fn row(&self, id: PathId) -> Result<Row, FsError> {
        self.look(&[id])?;
        let state = self.state();
        let entry = state.table.entry(id);
        Ok(Row { id, kind: entry.kind, digest: entry.digest, prior: false })
    }

    /// The rules of an ignore file, if there is one.
    fn rules(&self, id: PathId, make: impl FnOnce(&[u8]) -> Rules) -> Result<(Row, Option<Rules>), FsError> {
        let row = self.row(id)?;
        if !row.kind.is_file() {
            return Ok((row, None));
        }
        if let Some((digest, rules)) = self.rules_memo().get(&id)
            && *digest == row.digest
        {
            return Ok((row, Some(rules.clone())));
        }
        let path: Box<[u8]> = self.state().table.path(id).into();
        let mut text = Vec::new();
        match self.root.read(&path, &mut text) {
            Err(error) if error.is_missing() => return Ok((row, None)),
            other => other?,
        }
        // What was read now, should it not be what was looked at.
        let row = Row { digest: Digest::of(&text), ..row };
        let rules = make(&text);
        self.rules_memo().insert(id, (row.digest, rules.clone()));
        Ok((row, Some(rules)))
    }
}

impl Walk<'_> {
    fn literal(&mut self, path: &RelPath) -> Result<(), FsError> {
        if self.patterns.excludes(path) || path.components().any(never_counts) {
            return Ok(());
        }
        let id = self.workspace.intern(path.as_bytes());
        let row = self.workspace.row(id)?;
        match row.kind {
            // Not there: nothing to read, but somebody may put it there.
            FileKind::Missing | FileKind::Special => {
                self.walked.insert(id, row);
            }
            FileKind::Dir => {
                let rules = self.rules_above(path)?;
                let rules = (!ignores_folder(&rules, path)).then_some(rules);
                self.folder(path.as_bytes(), &Wanted::All, rules)?;
            }
            FileKind::File | FileKind::Executable | FileKind::Link => {
                self.found.push(path.as_bytes().to_vec())
            }
        }
        Ok(())
    }

    fn glob(&mut self, glob: &Glob) -> Result<(), FsError> {
        // Alternatives that begin in one folder share its walk.
        let mut by_prefix: BTreeMap<&RelPath, Vec<(&Alternative, Position)>> = BTreeMap::new();
        for alternative in glob.alternatives() {
            by_prefix.entry(&alternative.prefix).or_default().push((alternative, alternative.start()));
        }
        for (prefix, wanted) in by_prefix {
            if prefix.components().any(never_counts) || self.patterns.prunes(prefix) {
                continue;
            }
            let rules = self.rules_above(prefix)?;
            if !ignores_folder(&rules, prefix) {
                self.folder(prefix.as_bytes(), &Wanted::Matching(wanted), Some(rules))?;
            }
        }
        Ok(())
    }

    /// The rules that hold for what lies in the folder of `path`, or in the root.
    fn rules_above(&mut self, path: &RelPath) -> Result<Vec<Rules>, FsError> {
        let workspace = self.workspace;
        let mut rules = Vec::new();
        for file in &workspace.outside().files {
            let id = workspace.intern(&file.path);
            let (row, found) = workspace.rules(id, |text| file.rules(text))?;
            self.walked.insert(id, row);
            rules.extend(found);
        }
        let mut folder = Vec::new();
        for component in path.components() {
            rules.extend(self.rules_in(&folder)?);
            folder = fs::join(&folder, component);
        }
        Ok(rules)
    }

    fn rules_in(&mut self, folder: &[u8]) -> Result<Option<Rules>, FsError> {
        let id = self.workspace.intern(&fs::join(folder, b".gitignore"));
        let (row, rules) = self.workspace.rules(id, |text| Rules::new(folder, text))?;
        self.walked.insert(id, row);
        Ok(rules)
    }

    /// Looks through a folder. Without rules nothing in it is ignored.
    fn folder(&mut self, path: &[u8], wanted: &Wanted<'_>, rules: Option<Vec<Rules>>) -> Result<(), FsError> {
        let workspace = self.workspace;
        let id = workspace.intern(path);
        let Some((listing, digest)) = workspace.listing(id)? else {
            self.walked.insert(id, workspace.row(id)?);
            return Ok(());
        };
        self.walked.insert(id, Row { id, kind: FileKind::Dir, digest, prior: false });
        let mut rules = rules;
        if let Some(rules) = &mut rules
            && listing.binary_search_by(|entry| (*entry.name).cmp(b".gitignore")).is_ok()
        {
            rules.extend(self.rules_in(path)?);
        }
        for entry in listing.iter() {
            let (accepted, below) = match wanted {
                Wanted::All => (true, Wanted::All),
                Wanted::Matching(positions) => {
                    let mut accepted = false;
                    let mut below = Vec::new();
                    for (alternative, at) in positions {
                        let next = alternative.step(*at, &entry.name);
                        accepted |= alternative.accepts(next);
                        if !next.is_dead() {
                            below.push((*alternative, next));
                        }
                    }
                    (accepted, Wanted::Matching(below))
                }
            };
            let dead = matches!(&below, Wanted::Matching(below) if below.is_empty());
            let is_dir = entry.kind == Kind::Dir;
            if !is_dir && is_of_an_editor(&entry.name) {
                continue;
            }
            if if is_dir { dead } else { !accepted || entry.kind == Kind::Special } {
                continue;
            }
            let path = fs::join(path, &entry.name);
            if rules.as_ref().is_some_and(|rules| is_ignored(rules, &path, is_dir)) {
                continue;
            }
            // Names of a listing are single components, and never `.` or `..`.
            let Some(named) = (!self.patterns.excludes.is_empty()).then(|| RelPath::from_bytes(&path)) else {
                self.take(path, is_dir, &below, rules.as_ref())?;
                continue;
            };
            let Some(named) = named else { continue };
            if if is_dir { self.patterns.prunes(&named) } else { self.patterns.excludes(&named) } {
                continue;
            }
            self.take(path, is_dir, &below, rules.as_ref())?;
        }
        Ok(())
    }

    fn take(
        &mut self,
        path: Vec<u8>,
        is_dir: bool,
        below: &Wanted<'_>,
        rules: Option<&Vec<Rules>>,
    ) -> Result<(), FsError> {
        if is_dir {
            self.folder(&path, below, rules.cloned())
        } else {
            self.found.push(path);
            Ok(())
        }
    }
}

/// Whether the rules ignore a folder or one above it.
fn ignores_folder(rules: &[Rules], folder: &RelPath) -> bool {
    let mut path = Vec::new();
    folder.components().any(|component| {
        path = fs::join(&path, component);
        is_ignored(rules, &path, true)
    })
}
