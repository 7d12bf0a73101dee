//! The values of projects in environments, with their dotenv files read.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::base::fs::{self, FsError};
use crate::diag::{Diagnostic, Severity, SourceMap, Span};
use crate::model::{EnvName, Envfile, NodeName, ProjectName};
use crate::vars::{DotenvFile, INVALID, Request, Source, Values, dotenv, dotenv_files};

use super::{Context, Project};

/// The code of a dotenv file that is not there and has to be.
pub const NO_DOTENV: &str = "vars/no-dotenv";

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
    /// The files that could not be read, each once.
    pub unread: Vec<FsError>,
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

/// The values of every project in an environment, and what keeps them from being whole.
#[derive(Debug)]
pub struct AllValues {
    /// Those of every project, the root's first.
    pub projects: Vec<(ProjectName, Arc<Values>)>,
    /// Dotenv files that cannot be read.
    pub unread: Vec<FsError>,
    /// Dotenv files that are not there, and lines of others that say nothing. A value that is not what its variable may hold
    /// is none of them: that is found where it is looked at.
    pub wrong: Vec<Diagnostic>,
}

impl AllValues {
    /// Reads them, as far as they can be read.
    pub fn read(
        context: &Context,
        project: &mut Project,
        env: Option<&EnvName>,
        set: &[(String, String)],
    ) -> Self {
        let given = project.given(None, context.clock.now());
        let loaded = &mut project.loaded;
        let mut reader = ValueReader {
            envfile: &loaded.envfile,
            root: &loaded.root,
            sources: &mut loaded.sources,
            set,
            given,
            stages: BTreeMap::new(),
            caller: caller_source(&context.caller, &AskedNames::default()),
            wrong: Vec::new(),
            unread: Vec::new(),
            asked: Vec::new(),
        };
        let names = loaded.envfile.projects.keys().cloned();
        let projects = names.map(|name| (name.clone(), reader.values(&name, env))).collect();
        let ValueReader { unread, mut wrong, .. } = reader;
        wrong.retain(|wrong| wrong.severity == Severity::Error && wrong.code != INVALID);
        Self { projects, unread, wrong }
    }
}

impl ValueReader<'_> {
    /// The values of a project in an environment.
    pub fn values(&mut self, project: &ProjectName, env: Option<&EnvName>) -> Arc<Values> {
        let mut files = dotenv_files(&self.request(project, env, &[]));
        for file in &mut files {
            match self.read(file) {
                Ok(()) => {}
                Err(error) => {
                    if !self.unread.iter().any(|known| known.path == error.path) {
                        self.unread.push(error);
                    }
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
            Some(bytes) => self.text(file, &path, bytes),
            None if file.optional => return Ok(()),
            None => {
                self.tell(
                    Diagnostic::error(NO_DOTENV, format!("there is no file `{}`", file.path))
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

    /// The text of a file. A line that is not UTF-8 is told, and left out: its value would be another one.
    fn text(&mut self, file: &DotenvFile, path: &Path, bytes: Vec<u8>) -> String {
        let error = match String::from_utf8(bytes) {
            Ok(text) => return text,
            Err(error) => error,
        };
        let shown = String::from_utf8_lossy(error.as_bytes()).into_owned();
        let id = self.sources.add(file.path.as_str(), path, shown.as_str());
        let (mut text, mut at) = (String::new(), 0);
        // Both have the same lines: what takes the place of a byte that is none is never a line break.
        for (line, shown) in
            error.as_bytes().split_inclusive(|&byte| byte == b'\n').zip(shown.split_inclusive('\n'))
        {
            match std::str::from_utf8(line) {
                Ok(line) => text.push_str(line),
                Err(_) => {
                    let place = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
                    let span = Span { file: id, start: place(at), len: place(shown.trim_end().len()) };
                    let message = "the line is not UTF-8".to_owned();
                    self.tell(
                        Diagnostic::error("vars/dotenv", message)
                            .at(span, "")
                            .help("save the file as UTF-8; a value that is no text goes into a file of its own, or into base64"),
                    );
                    text.push('\n');
                }
            }
            at += shown.len();
        }
        text
    }

    fn tell(&mut self, diagnostic: Diagnostic) {
        if !self.wrong.contains(&diagnostic) {
            self.wrong.push(diagnostic);
        }
    }
}
