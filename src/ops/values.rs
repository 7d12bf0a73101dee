//! The values of projects in environments, with their dotenv files read.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::base::fs::{self, FsError};
use crate::diag::{Diagnostic, SourceMap};
use crate::model::{EnvName, Envfile, NodeName, ProjectName};
use crate::vars::{DotenvFile, Request, Source, Values, dotenv, dotenv_files};

/// Resolves values when they are asked for, and collects what is wrong with them.
pub struct ValueReader<'a> {
    /// What the Envfile says.
    pub envfile: &'a Envfile,
    /// What dotenv paths are relative to.
    pub root: &'a Path,
    /// Where the texts of dotenv files go, so that what is wrong with a value can be shown where it stands.
    pub sources: &'a mut SourceMap,
    /// `--set`.
    pub set: &'a [(String, String)],
    /// What envrun itself gives.
    pub given: Source,
    /// The stage that an environment's nodes run in, where the targets name one: `$ENVRUN_STAGE`.
    pub stages: BTreeMap<Option<EnvName>, NodeName>,
    /// The caller's variables.
    pub caller: Source,
    /// What is wrong so far, each once.
    pub wrong: Vec<Diagnostic>,
    /// The first file that could not be read.
    pub unread: Option<FsError>,
    /// Every dotenv file that was asked for, there or not.
    pub asked: Vec<PathBuf>,
}

/// Which names were asked of a source.
pub type AskedNames = Arc<Mutex<BTreeSet<String>>>;

/// The caller's variables, as values are looked up; every name that is asked for is noted.
pub fn caller_source(variables: &BTreeMap<OsString, OsString>, asked: &AskedNames) -> Source {
    let (variables, asked) = (variables.clone(), Arc::clone(asked));
    Arc::new(move |name: &str| {
        let mut asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
        if !asked.contains(name) {
            asked.insert(name.to_owned());
        }
        variables.get(OsStr::new(name))?.to_str().map(str::to_owned)
    })
}

impl ValueReader<'_> {
    /// The values of a project in an environment.
    pub fn values(&mut self, project: &ProjectName, env: Option<&EnvName>) -> Arc<Values> {
        let mut files = dotenv_files(&self.request(project, env, &[]));
        for file in &mut files {
            match self.read(file) {
                Ok(()) => {}
                Err(error) => {
                    self.unread.get_or_insert(error);
                }
            }
        }
        let (values, diagnostics) = Values::resolve(&self.request(project, env, &files));
        // Two environments may be wrong in the same way.
        for diagnostic in diagnostics {
            self.tell(diagnostic);
        }
        Arc::new(values)
    }

    fn request<'r>(
        &'r self,
        project: &'r ProjectName,
        env: Option<&'r EnvName>,
        dotenv: &'r [DotenvFile],
    ) -> Request<'r> {
        Request {
            envfile: self.envfile,
            project,
            env,
            dotenv,
            set: self.set,
            given: match self.stages.get(&env.cloned()).map(ToString::to_string) {
                None => Arc::clone(&self.given),
                Some(stage) => {
                    let given = Arc::clone(&self.given);
                    Arc::new(move |name: &str| match name {
                        "ENVRUN_STAGE" => Some(stage.clone()),
                        other => given(other),
                    })
                }
            },
            caller: Arc::clone(&self.caller),
        }
    }

    fn read(&mut self, file: &mut DotenvFile) -> Result<(), FsError> {
        let folder = self.envfile.projects.get(&file.project).map(|project| project.dir.below(self.root));
        let path = folder.unwrap_or_else(|| self.root.to_path_buf()).join(&file.path);
        self.asked.push(path.clone());
        let text = match fs::read_if_there(&path)? {
            Some(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            None if file.optional => return Ok(()),
            None => {
                self.tell(
                    Diagnostic::error("vars/no-dotenv", format!("there is no file `{}`", file.path))
                        .at(file.span, "named here")
                        .help("write it, or add `optional=#true`"),
                );
                return Ok(());
            }
        };
        let id = self.sources.add(file.path.as_str(), &path, text.as_str());
        let (entries, errors) = dotenv::parse(id, &text);
        errors.into_iter().for_each(|error| self.tell(error));
        file.entries = entries;
        Ok(())
    }

    fn tell(&mut self, diagnostic: Diagnostic) {
        if !self.wrong.contains(&diagnostic) {
            self.wrong.push(diagnostic);
        }
    }
}
