//! Values of environments as a sync sees them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::fs::{self, FsError};
use crate::diag::{Diagnostic, SourceMap};
use crate::model::{EnvName, ProjectName};
use crate::vars::{DotenvFile, Request, Source, Values, dotenv, dotenv_files};

use super::super::super::{Context, Problem, Project};

/// Values without what only the caller's shell knows: a name that nobody but the shell gives a value is one that the
/// environment lacks.
pub(super) struct Reader<'a> {
    pub(super) project: &'a Project,
    given: Source,
    caller: Source,
    /// Where the texts of dotenv files go; apart from the project's, which a plan does not change.
    pub(super) sources: SourceMap,
}

impl<'a> Reader<'a> {
    pub(super) fn new(context: &Context, project: &'a Project) -> Self {
        Self {
            project,
            given: project.given(None, context.clock.now()),
            caller: Arc::new(|_| None),
            sources: project.sources().clone(),
        }
    }

    fn request<'r>(
        &'r self,
        owner: &'r ProjectName,
        env: &'r EnvName,
        dotenv: &'r [DotenvFile],
    ) -> Request<'r> {
        Request {
            envfile: self.project.envfile(),
            project: owner,
            env: Some(env),
            dotenv,
            set: &[],
            given: Arc::clone(&self.given),
            caller: Arc::clone(&self.caller),
        }
    }

    /// The dotenv files of a project in an environment, and where they lie.
    pub(super) fn files(&self, owner: &ProjectName, env: &EnvName) -> Vec<(DotenvFile, PathBuf)> {
        let files = dotenv_files(&self.request(owner, env, &[])).into_iter();
        let folder = |file: &DotenvFile| {
            let project = self.project.envfile().projects.get(&file.project);
            project.map_or_else(
                || self.project.root().to_path_buf(),
                |project| project.dir.below(self.project.root()),
            )
        };
        files.map(|file| (file.clone(), folder(&file).join(&file.path))).collect()
    }

    /// The values, with `instead` in the place of what a file holds. What is wrong with the files is an error.
    pub(super) fn values(
        &mut self,
        owner: &ProjectName,
        env: &EnvName,
        instead: Option<(&Path, &str)>,
    ) -> Result<(Arc<Values>, Vec<Diagnostic>), Problem> {
        let mut files = Vec::new();
        let mut wrong = Vec::new();
        for (mut file, path) in self.files(owner, env) {
            let text = match instead.filter(|(instead, _)| *instead == path) {
                Some((_, text)) => text.to_owned(),
                None => match fs::read_if_there(&path)? {
                    Some(bytes) => text_of(bytes, &path)?,
                    None => String::new(),
                },
            };
            let id = self.sources.add(file.path.as_str(), &path, text.as_str());
            let (entries, errors) = dotenv::parse(id, &text);
            wrong.extend(errors);
            file.entries = entries;
            files.push(file);
        }
        if !wrong.is_empty() {
            return Err(self.problem(wrong));
        }
        let (values, wrong) = Values::resolve(&self.request(owner, env, &files));
        Ok((Arc::new(values), wrong))
    }

    pub(super) fn problem(&self, diagnostics: Vec<Diagnostic>) -> Problem {
        Problem::Diagnostics { diagnostics, sources: Box::new(self.sources.clone()) }
    }
}

pub(super) fn text_of(bytes: Vec<u8>, path: &Path) -> Result<String, FsError> {
    String::from_utf8(bytes).map_err(|_| {
        FsError::new("read", path, std::io::Error::new(std::io::ErrorKind::InvalidData, "it is not UTF-8"))
    })
}
