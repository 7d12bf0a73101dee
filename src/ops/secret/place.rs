//! A place where secrets are kept, read and written: a file, the process environment, a store that the Envfile declares.

use std::fmt;
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;

use crate::base::fs;
use crate::diag::Diagnostic;
use crate::exec::{self, CommandSpec, Environ, Exit, Invocation, Io, Shell, Stream};
use crate::model::{Command, EnvName, ProjectName, Store, StoreFormat, StoreRef};
use crate::preflight::{Machine, Question, Sight, Status, World, ask_all};
use crate::record::STATE_DIR;
use crate::secret::{FileStore, StoreError};
use crate::vars::{Form, TaskValues, Values, dotenv, interpolate};

use super::{Kept, Secrets, new_value};

/// Where secrets lie: a store and a path in it, of one environment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The project whose folder paths are relative to.
    pub project: ProjectName,
    /// The environment.
    pub env: Option<EnvName>,
    /// The store.
    pub store: StoreRef,
    /// Where in the store, if that is said.
    pub path: Option<String>,
}

/// A store that cannot be used as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the store `{store}`: {reason}")]
pub struct Refused {
    /// Which.
    pub store: String,
    /// Why.
    pub reason: String,
    /// The commands that put it right.
    pub hint: Option<String>,
    /// `file:line` of what names it; empty where nothing does.
    pub place: String,
}

/// How long the command of a store may take: it may ask a server, never a person.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long it has between SIGTERM and SIGKILL after that.
const GRACE: Duration = Duration::from_secs(2);
/// The most that is read of what it prints.
const LONGEST: usize = 4 << 20;

impl Place {
    /// The same place for every project, where it does not depend on the project.
    pub(super) fn of_all(self) -> Self {
        match (&self.store, &self.path) {
            (StoreRef::Env, _) | (StoreRef::File, None) => Self { project: ProjectName::default(), ..self },
            _ => self,
        }
    }

    /// What it is called in a message.
    pub fn shown(&self, root: &Path) -> String {
        match &self.store {
            StoreRef::Env => "the process environment".into(),
            StoreRef::File => {
                let path = self.file(root);
                path.strip_prefix(root).unwrap_or(&path).display().to_string()
            }
            StoreRef::Declared(..) => match &self.path {
                Some(path) => format!("the store `{}` ({path})", self.store),
                None => format!("the store `{}`", self.store),
            },
        }
    }

    /// The file of the store `file`; a path is relative to `base`.
    pub(super) fn file(&self, base: &Path) -> PathBuf {
        match &self.path {
            Some(path) => base.join(path),
            None => {
                let env = self.env.as_ref().map_or("", EnvName::as_str);
                base.join(STATE_DIR).join("secrets").join(format!("{env}.env"))
            }
        }
    }
}

impl Secrets<'_> {
    /// Everything that lies in a place; read once.
    pub(super) fn read(&mut self, place: &Place) -> &Result<IndexMap<String, String>, Refused> {
        if !self.places.contains_key(place) {
            let read = self.read_anew(place);
            self.places.insert(place.clone(), read);
        }
        &self.places[place]
    }

    fn read_anew(&self, place: &Place) -> Result<IndexMap<String, String>, Refused> {
        match &place.store {
            StoreRef::Env => {
                let texts = self.context.caller.iter();
                let texts = texts.filter_map(|(name, value)| Some((name.to_str()?, value.to_str()?)));
                Ok(texts.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
            }
            StoreRef::File => {
                let file = self.file(place);
                if file.path().symlink_metadata().is_ok() {
                    self.ignored(&file)?;
                }
                file.read().map_err(|error| self.file_refused(error))
            }
            StoreRef::Declared(project, name) => {
                let store = self.declared(project, name)?;
                self.required(place, store)?;
                let command =
                    store.read.as_ref().ok_or_else(|| self.refused(store, "it has no `read`", None))?;
                let text = self.store_command(place, store, command, None)?;
                self.understood(store, &text)
            }
        }
    }

    /// Writes one secret, whatever lay there before.
    ///
    /// # Errors
    /// The place cannot be written, or its store has another value afterwards than it was given.
    pub fn write(&mut self, place: &Place, name: &str, value: &str) -> Result<(), Refused> {
        match &place.store {
            StoreRef::Env => Err(Refused {
                store: "env".into(),
                reason: "the process environment cannot be written to".into(),
                hint: Some(format!("set `{name}` in the environment that calls envrun")),
                place: String::new(),
            }),
            StoreRef::File => {
                let file = self.file(place);
                self.prepare(&file)?;
                file.set(&[(name.to_owned(), value.to_owned())]).map_err(|error| self.file_refused(error))
            }
            StoreRef::Declared(project, declared) => {
                self.ignore_state()?;
                let store = self.declared(project, declared)?;
                self.required(place, store)?;
                let command = store.write.as_ref().ok_or_else(|| {
                    let hint = format!("set `{name}` there by its own means, or give the store a `write`");
                    self.refused(store, "it can only be read", Some(hint))
                })?;
                self.store_command(place, store, command, Some((name, value))).map(drop)
            }
        }?;
        self.places.remove(place);
        self.is_kept(place, name, value)
    }

    /// A store's commands are somebody's own text, where a quote in a value is easily lost: who writes to one reads it back.
    fn is_kept(&mut self, place: &Place, name: &str, value: &str) -> Result<(), Refused> {
        let StoreRef::Declared(project, declared) = &place.store else { return Ok(()) };
        if self.declared(project, declared)?.read.is_none() {
            return Ok(());
        }
        let wrong = match self.read(place) {
            Ok(all) if all.get(name).is_some_and(|kept| kept == value) => return Ok(()),
            Ok(all) if all.contains_key(name) => "its `read` gives another value".to_owned(),
            Ok(_) => format!("its `read` prints no `{name}`"),
            Err(refused) => refused.reason.clone(),
        };
        let hint = "its `write` must keep the value as it comes on standard input, quotes and line breaks too; its `read` \
                    must print it so that it is read back";
        let reason = format!("`{name}` was written, and is not read back: {wrong}");
        Err(self.refused(self.declared(project, declared)?, reason, Some(hint.into())))
    }

    /// Takes secrets out of a place again that were put there a moment ago.
    pub fn forget(&mut self, place: &Place, names: &[String]) -> Result<(), Refused> {
        if place.store != StoreRef::File {
            return Err(Refused {
                store: place.store.to_string(),
                reason: format!("it has no way to take out {} again", names.join(", ")),
                hint: Some("nothing reads another value than before: these were missing".into()),
                place: String::new(),
            });
        }
        let file = self.file(place);
        let forgotten = file.update::<StoreError>(|text| {
            let without =
                names.iter().try_fold(text.to_owned(), |text, name| file.with(&text, name, None))?;
            Ok(Some(without))
        });
        self.places.remove(place);
        forgotten.map_err(|error| self.file_refused(error))
    }

    /// Makes secrets that are missing, in one step with looking again: of two who come at once, one makes them and both
    /// have the same.
    pub(super) fn generate(
        &mut self,
        place: &Place,
        here: &[&Kept],
    ) -> Result<Vec<(String, String)>, Refused> {
        let mut made = Vec::new();
        if place.store == StoreRef::File {
            let file = self.file(place);
            self.prepare(&file)?;
            let mut refused = None;
            let updated = file.update::<StoreError>(|text| {
                let there: IndexMap<String, String> =
                    file.parse(text)?.into_iter().map(|entry| (entry.name, entry.value)).collect();
                let mut text = text.to_owned();
                for kept in here {
                    let name = kept.spec.secret.name.as_str();
                    if there.contains_key(name) {
                        continue;
                    }
                    match new_value(kept, place) {
                        Ok(value) => {
                            text = file.with(&text, name, Some(&value))?;
                            made.push((name.to_owned(), value));
                        }
                        Err(error) => refused = Some(error),
                    }
                }
                Ok((!made.is_empty()).then_some(text))
            });
            updated.map_err(|error| self.file_refused(error))?;
            if let Some(refused) = refused {
                return Err(refused);
            }
        } else {
            self.ignore_state()?;
            let _lock = self.lock(place);
            self.places.remove(place);
            let there = self.read(place).clone()?;
            for kept in here.iter().filter(|kept| !there.contains_key(kept.spec.secret.name.as_str())) {
                let (name, value) = (kept.spec.secret.name.to_string(), new_value(kept, place)?);
                self.context.redactor.learn([value.as_str()]);
                self.write(place, &name, &value)?;
                made.push((name, value));
            }
        }
        self.places.remove(place);
        self.note_made(place, made.iter().map(|(name, _)| name.as_str()));
        // Who came second has what the first one made.
        let there = self.read(place).clone()?;
        let wanted = here.iter().map(|kept| kept.spec.secret.name.as_str());
        Ok(wanted.filter_map(|name| Some((name.to_owned(), there.get(name)?.clone()))).collect())
    }

    /// Writes down when secrets were made. Whoever cannot, only does not know later how old they are.
    pub fn note_made<'n>(&self, place: &Place, names: impl IntoIterator<Item = &'n str>) {
        if let Ok(mut made) = self.made(place.env.as_ref()) {
            let _ = made.note(names, self.context.clock.now());
        }
    }

    /// One at a time writes to the stores of an environment.
    pub(super) fn lock(&self, place: &Place) -> Option<std::fs::File> {
        let path = self.made_path(place.env.as_ref()).with_extension("lock");
        fs::create_folder(path.parent()?).ok()?;
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path).ok()?;
        file.lock().ok()?;
        Some(file)
    }

    pub(super) fn file(&self, place: &Place) -> FileStore {
        if place.path.is_none() {
            return FileStore::own(place.file(self.root));
        }
        let own = self.root.join(STATE_DIR).join("secrets");
        FileStore::elsewhere(place.file(&self.folder(&place.project)), &own)
    }

    fn folder(&self, project: &ProjectName) -> PathBuf {
        let project = self.envfile.projects.get(project);
        project.map_or_else(|| self.root.to_path_buf(), |project| project.dir.below(self.root))
    }

    /// Before the first secret is written: git is told to leave the folder out.
    pub(super) fn prepare(&self, file: &FileStore) -> Result<(), Refused> {
        self.ignore_state()?;
        self.ignored(file)
    }

    fn ignore_state(&self) -> Result<(), Refused> {
        let ignore = self.root.join(STATE_DIR).join(".gitignore");
        if ignore.exists() {
            return Ok(());
        }
        fs::write_atomic(&ignore, b"*\n").map_err(|error| self.file_refused(StoreError::Fs(error)))
    }

    /// Refuses a file that git would take along.
    fn ignored(&self, file: &FileStore) -> Result<(), Refused> {
        if self.ignored.ignores(file.path()) != Some(false) {
            return Ok(());
        }
        let path = file.path().strip_prefix(self.root).unwrap_or(file.path()).display().to_string();
        Err(Refused {
            store: "file".into(),
            reason: format!("`{path}` is not ignored by git"),
            hint: Some(format!(
                "`echo /{path} >> {}`, and if git has it already `git rm --cached {path}`",
                self.root.join(".gitignore").display()
            )),
            place: String::new(),
        })
    }

    fn file_refused(&self, error: StoreError) -> Refused {
        Refused { store: "file".into(), reason: error.to_string(), hint: error.hint(), place: String::new() }
    }

    fn declared(&self, project: &ProjectName, name: &str) -> Result<&Store, Refused> {
        self.envfile.store(project, name).ok_or_else(|| Refused {
            store: name.to_owned(),
            reason: "it is not declared".into(),
            hint: None,
            place: String::new(),
        })
    }

    fn refused(&self, store: &Store, reason: impl Into<String>, hint: Option<String>) -> Refused {
        let place = self.sources.place(store.span);
        Refused { store: store.name.clone(), reason: reason.into(), hint, place }
    }

    /// What a store's commands see of the values: those of the environment that are no secrets.
    fn store_environ(&self, place: &Place, values: &TaskValues) -> Environ {
        let mut environ = Environ::new(&self.context.caller);
        for (name, lookup) in values.iter() {
            if let Some(text) = lookup.text() {
                environ.set(name, &**text);
            }
        }
        if let Some(env) = &place.env {
            environ.set("ENVRUN_ENV", env.as_str());
        }
        environ
    }

    /// The values that a store's commands see: a reading of their own, in which no secret is open.
    fn store_values(&self, place: &Place, key: Option<&str>) -> TaskValues {
        let values = self.sealed_values(&place.project, place.env.as_ref());
        let mut extra = Vec::new();
        if let Some(path) = &place.path {
            extra.push(("STORE_PATH".to_owned(), path.clone()));
        }
        if let Some(key) = key {
            extra.push(("KEY".to_owned(), key.to_owned()));
        }
        let nobody = crate::model::Task::new(
            "".into(),
            crate::diag::Span { file: crate::diag::FileId(0), start: 0, len: 0 },
            crate::base::RelPath::root(),
        );
        TaskValues::new(&values, &nobody, extra)
    }

    fn sealed_values(&self, project: &ProjectName, env: Option<&EnvName>) -> Arc<Values> {
        let caller = self.context.caller.clone();
        let request = crate::vars::Request {
            envfile: self.envfile,
            project,
            env,
            dotenv: &[],
            set: &[],
            given: Arc::new(|_| None),
            caller: Arc::new(move |name| caller.get(std::ffi::OsStr::new(name))?.to_str().map(str::to_owned)),
        };
        Arc::new(Values::resolve(&request).0)
    }

    /// What the store requires of the machine.
    pub(super) fn required(&self, place: &Place, store: &Store) -> Result<(), Refused> {
        if store.requires.is_empty() {
            return Ok(());
        }
        let values = self.store_values(place, None);
        let environ = Arc::new(self.store_environ(place, &values));
        let dir = self.folder(&place.project);
        let sight = Sight { values: &values, dir: &dir, environ: &environ, shell: None };
        let questions: Vec<Question> =
            store.requires.iter().map(|requirement| Question::of(requirement, &sight)).collect();
        let machine = Machine::look(self.root, (self.context.cores)());
        let caller = Environ::new(&self.context.caller);
        let world = World { machine: &machine, processes: self.processes, caller: &caller, root: self.root };
        let failed = ask_all(&questions, &world)
            .into_iter()
            .zip(&store.requires)
            .find(|(finding, _)| finding.status == Status::Fail);
        match failed {
            None => Ok(()),
            Some((finding, requirement)) => {
                let reason = format!(
                    "it requires {}: {}",
                    Question::title(requirement, &sight, self.root),
                    finding.reason()
                );
                Err(self.refused(store, reason, requirement.hint.clone().or(finding.hint)))
            }
        }
    }

    /// Runs a command of a store; what it printed. A value to be written goes to its standard input.
    fn store_command(
        &self,
        place: &Place,
        store: &Store,
        command: &Command,
        write: Option<(&str, &str)>,
    ) -> Result<String, Refused> {
        let values = self.store_values(place, write.map(|(key, _)| key));
        let environ = self.store_environ(place, &values);
        let by_hand = || {
            let text = command.display();
            let first = text.lines().next().unwrap_or_default();
            let more = if text.lines().nth(1).is_some() { " …" } else { "" };
            let path =
                place.path.as_deref().map_or_else(String::new, |path| format!(", with STORE_PATH={path}"));
            Some(format!("see what is wrong by hand: {first}{more}{path}"))
        };
        let command = match command {
            Command::Shell(text) => Command::Shell(text.clone()),
            Command::Argv(words) => {
                let mut lookup = |name: &str| values.lookup(name).text().map(|text| text.to_string());
                let words = words
                    .iter()
                    .map(|word| interpolate(word, Form::Word, &mut lookup).map(std::borrow::Cow::into_owned));
                Command::Argv(words.collect::<Result<_, _>>().map_err(|unset| {
                    self.refused(store, unset.to_string(), Some("give the `secrets` block a `path=`".into()))
                })?)
            }
        };
        let shell = Shell::default();
        let invocation = match &command {
            Command::Shell(text) => Invocation::Shell { text, shell: &shell },
            Command::Argv(words) => Invocation::Argv(words),
        };
        let dir = self.folder(&place.project);
        let spec = CommandSpec {
            invocation,
            dir: &dir,
            env: &environ,
            io: Io::Captured,
            timeout: Some(PATIENCE),
            grace: GRACE,
            cleanup: true,
            owner: None,
            watch: None,
        };
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut hear = |stream, bytes: &[u8]| match stream {
            Stream::Stdout if out.len() < LONGEST => out.extend_from_slice(bytes),
            Stream::Stderr if err.len() < LONGEST => err.extend_from_slice(bytes),
            _ => {}
        };
        let verb = if write.is_some() { "write" } else { "read" };
        let ended = match write {
            Some((_, value)) => exec::run_fed(&spec, value.as_bytes(), self.processes, &mut hear),
            None => exec::run(&spec, self.processes, &mut hear),
        };
        let how = match ended {
            Err(error) => {
                return Err(self.refused(
                    store,
                    format!("its `{verb}`: {error}"),
                    error.hint().or_else(by_hand),
                ));
            }
            Ok(ended) => match ended.exit {
                Exit::Status(0) => {
                    return String::from_utf8(out).map_err(|_| {
                        self.refused(store, format!("its `{verb}` prints what is not UTF-8"), by_hand())
                    });
                }
                Exit::Status(status) => format!("ended with status {status}"),
                Exit::Signal(signal) => format!("was ended by signal {signal}"),
                Exit::TimedOut => format!("took longer than {} seconds", PATIENCE.as_secs()),
                Exit::Cancelled => "was interrupted".into(),
            },
        };
        // A failing program may print what it was given.
        let said = String::from_utf8_lossy(&err);
        let said = said.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
        let said = self.context.redactor.text(said);
        let reason = if said.is_empty() {
            format!("its `{verb}` {how}")
        } else {
            format!("its `{verb}` {how}: {said}")
        };
        Err(self.refused(store, reason, by_hand()))
    }

    /// What a store's `read` printed, by name.
    fn understood(&self, store: &Store, text: &str) -> Result<IndexMap<String, String>, Refused> {
        match store.format {
            StoreFormat::Dotenv => {
                let (entries, wrong) = dotenv::parse(crate::diag::FileId(0), text);
                match wrong.first() {
                    None => Ok(entries.into_iter().map(|entry| (entry.name, entry.value)).collect()),
                    Some(wrong) => Err(self.refused(
                        store,
                        format!("line {} of what its `read` prints is no `NAME=value`", line_of(text, wrong)),
                        Some("if it prints JSON, write `read … format=\"json\"`".into()),
                    )),
                }
            }
            StoreFormat::Json => {
                let wrong = || {
                    let hint = "if it prints `NAME=value` lines, write `format=\"dotenv\"`";
                    self.refused(store, "its `read` prints no JSON object", Some(hint.into()))
                };
                let object: IndexMap<String, serde_json::Value> =
                    serde_json::from_str(text).map_err(|_| wrong())?;
                let text = |value: serde_json::Value| match value {
                    serde_json::Value::String(text) => Some(text),
                    serde_json::Value::Null => None,
                    other => Some(other.to_string()),
                };
                Ok(object.into_iter().filter_map(|(name, value)| Some((name, text(value)?))).collect())
            }
        }
    }
}

/// In which line of a text something is wrong, from 1.
fn line_of(text: &str, wrong: &Diagnostic) -> usize {
    let at = wrong.labels.first().map_or(0, |label| label.span.start as usize);
    text.as_bytes()[..at.min(text.len())].iter().filter(|byte| **byte == b'\n').count() + 1
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown(Path::new("")))
    }
}
