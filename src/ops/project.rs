//! The project that the program was started in: its Envfile, loaded.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::SystemTime;

use crate::base::Digest;
use crate::diag::{Diagnostic, SourceMap};
use crate::load::{self, Loaded};
use crate::model::{EnvName, Envfile, ProjectName};
use crate::preflight::{Git, Ignored};
use crate::record::{RunId, STATE_DIR};
use crate::vars::Source;

use super::env::made::{self, Made};
use super::{Context, Problem};

/// A project that is open.
#[derive(Debug)]
pub struct Project {
    /// The Envfile and everything it includes.
    pub loaded: Loaded,
    /// A moment from before anything was read.
    pub since: SystemTime,
    /// Every path that was asked for to find and load it, there or not.
    pub asked: Arc<Mutex<BTreeSet<PathBuf>>>,
    /// Which of its files git leaves out.
    pub ignored: Ignored,
    /// The file of the plan that is written or carried out: it may lie in the work tree, and is no change of it.
    pub plan_file: Option<PathBuf>,
    /// The environment that this very process takes down.
    pub ending: Option<EnvName>,
}

impl Project {
    /// Opens the project around the context's folder, or the one of `file`. Errors in the texts end it here; warnings are
    /// in `loaded.diagnostics`.
    pub fn open(context: &Context, file: Option<&Path>) -> Result<Self, Problem> {
        let mut project = Self::read(context, file)?;
        project.without_errors()?;
        project.join_made();
        Ok(project)
    }

    fn of(loaded: Loaded, since: SystemTime, asked: Arc<Mutex<BTreeSet<PathBuf>>>) -> Self {
        let ignored = Ignored::new(&loaded.root);
        Self { loaded, since, asked, ignored, plan_file: None, ending: None }
    }

    fn without_errors(&self) -> Result<(), Problem> {
        if self.loaded.has_errors() { Err(self.problem(self.loaded.diagnostics.clone())) } else { Ok(()) }
    }

    /// Adds the environments that were made from a pattern, those that were not known yet.
    ///
    /// A list that cannot be read is in nobody's way who has nothing to do with them: it is told to who names an environment
    /// that the Envfile does not know.
    pub fn join_made(&mut self) {
        let root = self.root().to_path_buf();
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).insert(made::path(&root));
        let envfile = &mut self.loaded.envfile;
        envfile.made_unread = None;
        match Made::read(&root) {
            Ok(made) => made.join(envfile),
            Err(error) => envfile.made_unread = Some(error.to_string()),
        }
    }

    /// Opens the project to run something: from the compiled snapshot, if it holds; else from the texts, and compiles them
    /// for the next time.
    pub fn open_to_run(context: &Context, file: Option<&Path>) -> Result<Self, Problem> {
        Self::open_known(context, file, None)
    }

    /// The same; what a snapshot with the basis `known` rests on was looked at a moment ago.
    pub fn open_known(
        context: &Context,
        file: Option<&Path>,
        known: Option<Digest>,
    ) -> Result<Self, Problem> {
        let since = SystemTime::now();
        let asked: Arc<Mutex<BTreeSet<PathBuf>>> = Arc::default();
        let texts = load::Texts::Watched(Arc::clone(&asked));
        let root_file = root_file(context, file, &texts)?;
        let state = root_file.parent().unwrap_or(&context.cwd).join(STATE_DIR).join("state");
        let name = format!("compiled-{}", Digest::of(root_file.as_os_str().as_encoded_bytes()).short());
        let snapshot = state.join(name);
        if let Some(loaded) = Loaded::from_snapshot(&snapshot, &root_file, &texts, known) {
            let mut project = Self::of(loaded, since, asked);
            project.join_made();
            return Ok(project);
        }
        let mut project = Self::read(context, file)?;
        project.without_errors()?;
        let paths: Vec<PathBuf> =
            project.asked.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect();
        // Only a shortcut: without it the next start reads the texts.
        let _ = project.loaded.save_snapshot(&snapshot, &paths, project.since);
        project.join_made();
        Ok(project)
    }

    /// Opens the project even if there are errors in its texts.
    pub fn open_with_errors(context: &Context, file: Option<&Path>) -> Result<Self, Problem> {
        let mut project = Self::read(context, file)?;
        project.join_made();
        Ok(project)
    }

    fn read(context: &Context, file: Option<&Path>) -> Result<Self, Problem> {
        let since = SystemTime::now();
        let asked: Arc<Mutex<BTreeSet<PathBuf>>> = Arc::default();
        let texts = load::Texts::Watched(Arc::clone(&asked));
        let file = root_file(context, file, &texts)?;
        Ok(Self::of(load::load(&file, &texts)?, since, asked))
    }

    /// Reads the texts after all, in place of a compiled snapshot that turned out not to be whole.
    pub(super) fn read_texts(&mut self) -> Result<(), Problem> {
        let file = self.loaded.root_file().to_path_buf();
        self.loaded = load::load(&file, &load::Texts::Watched(Arc::clone(&self.asked)))?;
        self.without_errors()?;
        self.join_made();
        Ok(())
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
}

/// The root Envfile: the one of `file`, or the nearest. A real path, so that what is shown and what children see do not
/// depend on the way that led here.
pub fn root_file(context: &Context, file: Option<&Path>, texts: &load::Texts) -> Result<PathBuf, Problem> {
    let file = match file {
        Some(file) => {
            let file = context.cwd.join(file);
            if texts.is_dir(&file) { file.join(load::FILE_NAME) } else { file }
        }
        None => {
            load::find(&context.cwd, texts).ok_or_else(|| Problem::NoEnvfile { dir: context.cwd.clone() })?
        }
    };
    Ok(file.canonicalize().unwrap_or(file))
}

/// The folder above, as the way there from the context's, whose Envfile includes the project around it, and what it calls
/// that; the outermost. Asked only by who explains why something is not there: it reads every Envfile on the way.
pub fn outer(context: &Context) -> Option<(String, ProjectName)> {
    let texts = load::Texts::Disk;
    let inner = root_file(context, None, &texts).ok()?;
    let folder = inner.parent()?;
    let above = folder.ancestors().skip(1).map(|dir| dir.join(load::FILE_NAME));
    let includes = |file: PathBuf| {
        let loaded = texts.is_file(&file).then(|| load::load(&file, &texts).ok())??;
        let projects = loaded.envfile.projects.values();
        let found = projects
            .filter(|it| !it.name.as_str().is_empty())
            .find(|it| it.dir.below(&loaded.root) == folder)?;
        Some((loaded.root, found.name.clone()))
    };
    let (root, name) = above.filter_map(includes).last()?;
    let down = context.cwd.canonicalize().ok()?.strip_prefix(root).ok()?.components().count();
    Some((vec![".."; down].join("/"), name))
}
