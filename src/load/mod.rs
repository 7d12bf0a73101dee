//! Finds the Envfile, follows its includes, and lowers the tree to the model.
//!
//! Four steps, each over everything that the one before found:
//!
//! 1. `include` reads the root file and whatever it includes, each text once, and says where each counts: in which
//!    project, under which namespace.
//! 2. `declared` sorts it by name: nodes, environments, stages, pools; `extends` chains become flat lists.
//! 3. `lower` makes the model of it. What an environment says of a node is laid over what it inherits word by word
//!    (`patch`), on the tree, so that every word keeps its place; references become canonical.
//! 4. `outputs` looks at the whole: no two tasks make the same file. Circles of `needs` and `call` are for the graph to
//!    find, which follows both.
//!
//! The shape of words has been held against the table of words by then, so only what takes more than one word is said
//! here. The declarations are kept beside the model: [`Loaded::definition`] applies the patches again and prints the
//! lines, each with its place.
//!
//! Invariant: everything that is wrong with all files is told at once; a file that cannot be read hides no error of
//! another, and brings no complaint about names that it may declare.
//! Invariant: every reference in the model stands for a node that exists.

mod declared;
mod finish;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod include;
mod lower;
mod outputs;
mod patch;
mod path;
mod ring;
mod show;
mod snapshot;
mod texts;

#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};

use crate::base::Digest;
use crate::diag::{Diagnostic, Severity, SourceMap};
use crate::model::{EnvName, Envfile, NodePath, Schedule};

pub use texts::{Listed, Texts};

/// What the file is called that [`find`] looks for, and that a folder must have to be included.
pub const FILE_NAME: &str = "Envfile.kdl";

/// What was loaded.
#[derive(Debug)]
pub struct Loaded {
    /// The folder of the root Envfile: what all paths are relative to.
    pub root: PathBuf,
    /// What the Envfile says; where there are errors, as much of it as can be known.
    pub envfile: Envfile,
    /// Every text that was read.
    pub sources: SourceMap,
    /// Everything that is wrong, file by file, in the order of the text.
    pub diagnostics: Vec<Diagnostic>,
    /// The tree that `show` prints from; not there where a snapshot was read.
    declared: Option<declared::Declared>,
    /// What the snapshot that was read rests on.
    pub basis: Option<Digest>,
}

/// One line of a node's resolved definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// KDL, indented.
    pub text: String,
    /// `file:line` of where it is written; empty for a closing brace.
    pub place: String,
}

/// Why nothing could be loaded at all.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The root file cannot be read.
    #[error("cannot read `{path}`: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Loaded {
    /// Whether nothing can be run with it.
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// The root Envfile.
    pub fn root_file(&self) -> &Path {
        &self.sources.files()[0].path
    }

    /// The resolved definition of a node in an environment, line by line.
    pub fn definition(&self, path: &NodePath, env: Option<&EnvName>) -> Option<Vec<Line>> {
        show::definition(self.declared.as_ref()?, &self.sources, path, env)
    }

    /// The schedules of a node in an environment, as they are written, line by line.
    pub fn schedules(&self, path: &NodePath, env: Option<&EnvName>) -> Vec<Line> {
        let of = |schedule: &&Schedule| {
            schedule.node.path == *path && schedule.node.env.as_ref().is_none_or(|of| Some(of) == env)
        };
        let line = |schedule: &Schedule| Line {
            text: self.sources.snippet(schedule.span).trim_end_matches([';', '\n', '\r', ' ']).to_owned(),
            place: self.sources.place(schedule.span),
        };
        self.envfile.schedules.iter().filter(of).map(line).collect()
    }

    /// The definition of a stage, line by line.
    pub fn stage_definition(&self, name: &str) -> Option<Vec<Line>> {
        show::stage(self.declared.as_ref()?, &self.sources, name)
    }
}

/// The `Envfile.kdl` of `start` or of the nearest folder above it.
pub fn find(start: &Path, texts: &Texts) -> Option<PathBuf> {
    // A link to nothing is found too: to pass it by would run another project's tasks.
    let is_one = |file: &PathBuf| texts.is_file(file) || texts.is_dangling(file);
    start.ancestors().map(|dir| dir.join(FILE_NAME)).find(is_one)
}

/// Loads the Envfile `root_file` and everything that it includes.
pub fn load(root_file: &Path, texts: &Texts) -> Result<Loaded, LoadError> {
    let text =
        texts.read(root_file).map_err(|source| LoadError::Read { path: root_file.to_path_buf(), source })?;
    let root = root_file.parent().unwrap_or(Path::new("")).to_path_buf();
    let (units, sources, mut diagnostics) = include::assemble(root_file, &text, texts);
    let declared = declared::declare(units, &mut diagnostics);
    let (envfile, more) = lower::lower(&declared, &sources);
    diagnostics.extend(more);
    diagnostics.extend(outputs::overlaps(&envfile));
    let diagnostics = finish::finish(diagnostics);
    Ok(Loaded { root, envfile, sources, diagnostics, declared: Some(declared), basis: None })
}
