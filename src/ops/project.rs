//! The project that the program was started in: its Envfile, loaded, and the values in each environment.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use crate::base::fs;
use crate::diag::{Diagnostic, Severity, SourceMap};
use crate::engine::surroundings::ValueTable;
use crate::load::{self, Loaded};
use crate::model::{EnvName, Envfile, ProjectName};
use crate::preflight::Git;
use crate::record::RunId;
use crate::vars::{DotenvFile, Request, Source, Values, dotenv, dotenv_files};

use super::{Context, Problem, problem};

/// A project that is open.
#[derive(Debug)]
pub struct Project {
    /// The Envfile and everything it includes.
    pub loaded: Loaded,
}

impl Project {
    /// Opens the project around the context's folder, or the one of `file`. Errors in the texts end it here; warnings are
    /// in `loaded.diagnostics`.
    pub fn open(context: &Context, file: Option<&Path>, exact: bool) -> Result<Self, Problem> {
        let project = Self::open_with_errors(context, file, exact)?;
        if project.loaded.has_errors() {
            return Err(Problem::Diagnostics {
                diagnostics: project.loaded.diagnostics,
                sources: Box::new(project.loaded.sources),
            });
        }
        Ok(project)
    }

    /// Opens the project even if there are errors in its texts.
    pub fn open_with_errors(context: &Context, file: Option<&Path>, exact: bool) -> Result<Self, Problem> {
        let options = load::Options { exact, ..load::Options::default() };
        let file = match file {
            Some(file) => {
                let file = context.cwd.join(file);
                if file.is_dir() { file.join(load::FILE_NAME) } else { file }
            }
            None => load::find(&context.cwd, &options.texts)
                .ok_or_else(|| Problem::NoEnvfile { dir: context.cwd.clone() })?,
        };
        // Real paths, so that what is shown and what children see do not depend on the way that led here.
        let file = file.canonicalize().unwrap_or(file);
        Ok(Self { loaded: load::load(&file, &options)? })
    }

    /// What the Envfile says.
    pub fn envfile(&self) -> &Envfile {
        &self.loaded.envfile
    }

    /// Every text that was read.
    pub fn sources(&self) -> &SourceMap {
        &self.loaded.sources
    }

    /// The folder of the root Envfile.
    pub fn root(&self) -> &Path {
        &self.loaded.root
    }

    /// Diagnostics about this project as a problem.
    pub fn problem(&self, diagnostics: Vec<Diagnostic>) -> Problem {
        Problem::Diagnostics { diagnostics, sources: Box::new(self.loaded.sources.clone()) }
    }

    /// The values of each of these projects in each of these environments.
    pub fn values(
        &mut self,
        context: &Context,
        wanted: impl IntoIterator<Item = (ProjectName, Option<EnvName>)>,
        set: &[(String, String)],
        given: &Source,
    ) -> Result<ValueTable, Problem> {
        let caller: Source = {
            let variables = context.caller.clone();
            Arc::new(move |name: &str| variables.get(std::ffi::OsStr::new(name))?.to_str().map(str::to_owned))
        };
        let mut table = HashMap::new();
        let mut wrong = Vec::new();
        for (project, env) in wanted {
            if table.contains_key(&(project.clone(), env.clone())) {
                continue;
            }
            let sources = (Arc::clone(given), Arc::clone(&caller));
            let mut files = dotenv_files(&request(&self.loaded.envfile, &project, env.as_ref(), &[], set, &sources));
            for file in &mut files {
                read_dotenv(&mut self.loaded, file, &mut wrong)?;
            }
            let request = request(&self.loaded.envfile, &project, env.as_ref(), &files, set, &sources);
            let (values, diagnostics) = Values::resolve(&request);
            wrong.extend(diagnostics);
            table.insert((project.clone(), env.clone()), Arc::new(values));
        }
        // Two environments may be wrong in the same way.
        wrong.dedup();
        if problem::has_errors(&wrong) { Err(self.problem(wrong)) } else { Ok(ValueTable(table)) }
    }

    /// What envrun itself gives to commands that mention it.
    pub fn given(&self, run: Option<&RunId>, now: crate::base::Timestamp) -> Source {
        let (root, run) = (self.root().to_path_buf(), run.map(ToString::to_string));
        // Asked of git at most once, and only if something mentions it.
        let revision: OnceLock<Option<String>> = OnceLock::new();
        Arc::new(move |name: &str| match name {
            "ENVRUN_REVISION" => revision.get_or_init(|| Git::new(&root).revision().ok()).clone(),
            "ENVRUN_RUN" => run.clone(),
            "ENVRUN_TIME" => {
                let seconds = i64::try_from(now.0 / 1000).ok()?;
                Some(jiff::Timestamp::from_second(seconds).ok()?.strftime("%Y%m%dT%H%M%SZ").to_string())
            }
            _ => None,
        })
    }

    /// Warnings count as errors: gives them as a problem if there are any.
    pub fn strict(&self) -> Result<(), Problem> {
        let warnings: Vec<Diagnostic> = self
            .loaded
            .diagnostics
            .iter()
            .filter(|diagnostic| diagnostic.severity == Severity::Warning)
            .cloned()
            .collect();
        if warnings.is_empty() { Ok(()) } else { Err(self.problem(warnings)) }
    }
}

fn request<'a>(
    envfile: &'a Envfile,
    project: &'a ProjectName,
    env: Option<&'a EnvName>,
    dotenv: &'a [DotenvFile],
    set: &'a [(String, String)],
    (given, caller): &(Source, Source),
) -> Request<'a> {
    Request { envfile, project, env, dotenv, set, given: Arc::clone(given), caller: Arc::clone(caller) }
}

/// Reads a dotenv file; its text joins the sources, so that what is wrong with a value can be shown where it stands.
fn read_dotenv(loaded: &mut Loaded, file: &mut DotenvFile, wrong: &mut Vec<Diagnostic>) -> Result<(), Problem> {
    let folder = loaded.envfile.projects.get(&file.project).map(|project| project.dir.below(&loaded.root));
    let path = folder.unwrap_or_else(|| loaded.root.clone()).join(&file.path);
    let text = match fs::read_if_there(&path)? {
        Some(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        None if file.optional => return Ok(()),
        None => {
            wrong.push(
                Diagnostic::error("vars/no-dotenv", format!("there is no file `{}`", file.path))
                    .at(file.span, "named here")
                    .help("write it, or add `optional=#true`"),
            );
            return Ok(());
        }
    };
    let id = loaded.sources.add(file.path.as_str(), &path, text.as_str());
    let (entries, errors) = dotenv::parse(id, &text);
    wrong.extend(errors);
    file.entries = entries;
    Ok(())
}
