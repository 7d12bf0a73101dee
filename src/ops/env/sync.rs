//! Brings an environment up to another, without taking anything from it.
//!
//! What an environment *has* is what the Envfile says of it, and the dotenv files that it loads. The Envfile is changed by
//! editing it, under review; so what is synced is the dotenv file: the last one that the environment loads and no other
//! environment does (`dotenv ".env.${ENVRUN_ENV}"`). Rendered files are made from values and hold none of their own.
//!
//! `sync A B`, in seven steps; a failure in any of them leaves B as it was:
//!
//! 1. the [`Plan`]: what will be added to B, what it keeps, what is left behind and why;
//! 2. a snapshot of B's dotenv files: numbered, never changed, twenty are kept;
//! 3. names are added that the Envfile declares for B as variables, and for which no layer of B has a value: with A's value;
//! 4. everything else that B has stays, byte by byte: lines are added at the end, and nowhere else is anything written;
//! 5. secrets that B lacks are asked for or generated, never copied;
//! 6. the result is held to B's types and constraints, and nothing required may be missing;
//! 7. the file is replaced as a whole.
//!
//! Not added are: secrets and what is built from them; names that the Envfile does not declare for B; values that are built
//! from others (`http://${HOST}` would carry A's host over); placeholders; what the caller's shell gives to A.
//!
//! Invariant: every line of B is there afterwards, and a name of B has the value that it had.
//! Invariant: no value of A that is a secret is looked at beyond the question whether it is one.

use std::collections::BTreeSet;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use jiff::tz::TimeZone;
use serde::Serialize;

use crate::base::fs::{self, FileLock, FsError};
use crate::diag::{Diagnostic, FileId, SourceMap};
use crate::exec::Processes;
use crate::ledger;
use crate::model::{EnvName, Keep, ProjectName, VarName, lay_secrets};
use crate::preflight::is_placeholder;
use crate::secret::generate;
use crate::snapshot::{Archive, Meta, SnapshotError};
use crate::vars::write::dotenv_line;
use crate::vars::{DotenvFile, INVALID, Layer, Lookup, Request, Source, Values, dotenv, dotenv_files};

use super::super::secret::{Missing, Place, Secrets, open_all};
use super::super::{Context, Problem, Project};
use super::diff::{schema, scopes};
use super::{guard, label, layer_word};

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Where values come from: A.
    pub from: EnvName,
    /// Where they go: B.
    pub to: EnvName,
    /// Whose dotenv file.
    pub project: ProjectName,
    /// Values for names that B lacks, in place of A's.
    pub set: Vec<(String, String)>,
}

/// What will be done.
#[derive(Debug, Serialize)]
pub struct Plan {
    /// A.
    pub from: String,
    /// B.
    pub to: String,
    /// B's own dotenv file, as it is written in the Envfile.
    pub file: String,
    /// What is added to it.
    pub add: Vec<Added>,
    /// Names that both have, or only B, with B's own value: they stay.
    pub kept: Vec<String>,
    /// Names that A has and B lacks and that are not added, and why.
    pub left: Vec<Left>,
    /// Secrets that B lacks.
    pub secrets: Vec<Lacking>,
    #[serde(skip)]
    path: PathBuf,
    /// The whole file before and after; it was not there before if there is no text.
    #[serde(skip)]
    before: Option<String>,
    #[serde(skip)]
    after: String,
    /// B's own files: as they are written, and where they lie.
    #[serde(skip)]
    own: Vec<(String, PathBuf)>,
}

/// A name that B gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Added {
    /// The name.
    pub name: String,
    /// The value.
    pub value: String,
    /// Where it comes from: `file:line`, or `--set`.
    pub from: String,
}

/// A secret that B lacks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lacking {
    /// Its name.
    pub name: String,
    /// It is generated; else it has to be asked for.
    pub generated: bool,
    /// The command that sets it.
    pub hint: String,
}

/// A name that A has and B does not get.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Left {
    /// The name.
    pub name: String,
    /// Why.
    pub why: String,
}

/// What was done.
#[derive(Debug, Serialize)]
pub struct Done {
    /// The number of B's snapshot.
    pub snapshot: u64,
    /// Where it lies.
    pub at: PathBuf,
}

impl Plan {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.add.is_empty() && self.secrets.is_empty()
    }
}

/// How long the commands of stores have after each step of an interrupt.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many snapshots of an environment are kept.
const KEPT: u32 = 20;

/// What the snapshots of an environment's dotenv files are called; no node has a name with a blank in it.
const SNAPSHOT: &str = "before sync";

/// Values without what only the caller's shell knows: a name that nobody but the shell gives a value is one that the
/// environment lacks.
struct Reader<'a> {
    project: &'a Project,
    given: Source,
    caller: Source,
    /// Where the texts of dotenv files go; apart from the project's, which a plan does not change.
    sources: SourceMap,
}

impl<'a> Reader<'a> {
    fn new(context: &Context, project: &'a Project) -> Self {
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
    fn files(&self, owner: &ProjectName, env: &EnvName) -> Vec<(DotenvFile, PathBuf)> {
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
    fn values(
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

    fn problem(&self, diagnostics: Vec<Diagnostic>) -> Problem {
        Problem::Diagnostics { diagnostics, sources: Box::new(self.sources.clone()) }
    }
}

fn text_of(bytes: Vec<u8>, path: &Path) -> Result<String, FsError> {
    String::from_utf8(bytes).map_err(|_| {
        FsError::new("read", path, std::io::Error::new(std::io::ErrorKind::InvalidData, "it is not UTF-8"))
    })
}

/// Works out what a sync would do. Nothing is written.
pub fn plan(context: &Context, project: &Project, asked: &Asked) -> Result<Plan, Problem> {
    let Asked { from, to, project: owner, set } = asked;
    if from == to {
        return Err(Problem::usage(format!("`{from}` and `{to}` are the same environment"), None));
    }
    let mut reader = Reader::new(context, project);
    let own = own_files(&reader, owner, to)?;
    let (file, path) = own.last().cloned().expect("there is one, or there was an error");
    let before = match fs::read_if_there(&path)? {
        Some(bytes) => Some(text_of(bytes, &path)?),
        None => None,
    };
    let (a, _) = reader.values(owner, from, None)?;
    let (b, _) = reader.values(owner, to, None)?;
    let lacking = lacking(context, project, asked, &b)?;
    let secrets = secrets(project, owner, from).into_iter().chain(secrets(project, owner, to));
    let secrets: BTreeSet<VarName> = secrets.collect();
    let declared = schema(project, owner, to);
    let mut plan = Plan {
        from: from.to_string(),
        to: to.to_string(),
        file,
        add: Vec::new(),
        kept: Vec::new(),
        left: Vec::new(),
        secrets: Vec::new(),
        path,
        after: before.clone().unwrap_or_default(),
        before,
        own,
    };
    for (name, value) in set {
        let has = |name: &str| match b.lookup(name) {
            Lookup::Missing(wrong) => wrong.code == INVALID,
            found => found.text().is_some(),
        };
        let reason = match name.as_str() {
            name if secrets.contains(name) => {
                Some(format!("`{name}` is a secret: `envrun secret set {to} {name}`"))
            }
            name if !declared.contains(name) => Some(format!("the Envfile declares no `{name}` for `{to}`")),
            name if has(name) => Some(format!("`{to}` has a value for `{name}`, and a sync changes none")),
            _ => None,
        };
        if let Some(reason) = reason {
            return Err(Problem::usage(format!("`--set {name}=…`: {reason}"), None));
        }
        plan.add.push(Added { name: name.clone(), value: value.clone(), from: "--set".into() });
    }
    for name in declared.iter().filter(|name| !secrets.contains(*name)) {
        match b.lookup(name.as_str()) {
            Lookup::Value { .. } => plan.kept.push(name.to_string()),
            // A value that B may not have is B's all the same; the check at the end tells of it.
            Lookup::Missing(wrong) if wrong.code == INVALID => plan.kept.push(name.to_string()),
            _ if plan.add.iter().any(|added| added.name == name.as_str()) => {}
            _ => match worth_copying(&reader, &a, name) {
                Some(Ok(added)) => plan.add.push(added),
                Some(Err(why)) => plan.left.push(Left { name: name.to_string(), why }),
                None => {}
            },
        }
    }
    for (name, lookup) in b.iter() {
        // What a dotenv file of B holds and nobody declares.
        if !declared.contains(name) && lookup.text().is_some() {
            plan.kept.push(name.to_string());
        }
    }
    for name in declared.iter().filter(|name| secrets.contains(*name)) {
        match b.lookup(name.as_str()) {
            Lookup::Value { .. } => plan.kept.push(name.to_string()),
            Lookup::Undeclared | Lookup::Missing(_) => {}
        }
    }
    plan.secrets = lacking;
    for (name, lookup) in a.iter() {
        if lookup.text().is_none() || b.lookup(name.as_str()).text().is_some() || declared.contains(name) {
            continue;
        }
        let why = match secrets.contains(name) {
            true => "a secret, which is never copied".to_owned(),
            false => format!("the Envfile does not declare it for `{to}`"),
        };
        plan.left.push(Left { name: name.to_string(), why });
    }
    for name in declared.iter().filter(|name| secrets.contains(*name)) {
        if a.lookup(name.as_str()).text().is_some() && b.lookup(name.as_str()).text().is_none() {
            plan.left.push(Left { name: name.to_string(), why: "a secret, which is never copied".into() });
        }
    }
    append(&mut plan);
    Ok(plan)
}

/// A's value, if it may be copied; why not; or nothing if A has none either.
fn worth_copying(reader: &Reader<'_>, a: &Values, name: &VarName) -> Option<Result<Added, String>> {
    if let Some(built) = a.declared(name.as_str()).and_then(|declared| declared.built) {
        return Some(Err(format!("built from others: `{built}`")));
    }
    let Lookup::Value { text, origin, secret } = a.lookup(name.as_str()) else { return None };
    if secret {
        return Some(Err("built from a secret, which is never copied".into()));
    }
    if matches!(origin.layer, Layer::Caller | Layer::Given) {
        return Some(Err(format!("it comes from {}", layer_word(&origin.layer))));
    }
    if is_placeholder(&text) {
        return Some(Err("a placeholder".into()));
    }
    let from = origin.span.map_or_else(|| origin.layer.to_string(), |span| reader.sources.place(span));
    Some(Ok(Added { name: name.to_string(), value: text.to_string(), from }))
}

/// The dotenv files that an environment loads and no other does, as they are written and where they lie, in order.
fn own_files(
    reader: &Reader<'_>,
    owner: &ProjectName,
    env: &EnvName,
) -> Result<Vec<(String, PathBuf)>, Problem> {
    let others: BTreeSet<PathBuf> = reader
        .project
        .envfile()
        .concrete_environments()
        .filter(|other| other.name != *env)
        .flat_map(|other| reader.files(owner, &other.name))
        .map(|(_, path)| path)
        .collect();
    let own: Vec<_> = reader
        .files(owner, env)
        .into_iter()
        .filter(|(file, path)| file.project == *owner && !others.contains(path))
        .map(|(file, path)| (file.path, path))
        .collect();
    if own.is_empty() {
        return Err(Problem::usage(
            format!("`{env}` has no dotenv file of its own, and nothing else is synced"),
            Some("write `dotenv \".env.${ENVRUN_ENV}\" optional=#true` at the root of the Envfile".into()),
        ));
    }
    Ok(own)
}

/// The secrets of an environment.
fn secrets(project: &Project, owner: &ProjectName, env: &EnvName) -> BTreeSet<VarName> {
    let mut secrets = IndexMap::new();
    scopes(project, owner, env).for_each(|scope| lay_secrets(&mut secrets, scope));
    secrets.into_keys().collect()
}

/// Puts what is added behind what is there.
fn append(plan: &mut Plan) {
    if plan.add.is_empty() {
        return;
    }
    if !plan.after.is_empty() && !plan.after.ends_with('\n') {
        plan.after.push('\n');
    }
    plan.after.push_str(&format!("# from {} (envrun env sync)\n", plan.from));
    for added in &plan.add {
        plan.after.push_str(&dotenv_line(&added.name, &added.value));
    }
}

/// Carries a plan out. `keep` stores the secrets that B lacked and says how they are taken away again; it is called when
/// everything else is known to be good.
pub fn apply<'u>(
    context: &Context,
    project: &Project,
    asked: &Asked,
    plan: &Plan,
    secrets: &[(String, String)],
    keep: KeepSecrets<'_, 'u>,
) -> Result<Done, Problem> {
    let _lock = lock(project.root(), &plan.to)?;
    let now = match fs::read_if_there(&plan.path)? {
        Some(bytes) => Some(text_of(bytes, &plan.path)?),
        None => None,
    };
    if now != plan.before {
        return Err(Problem::usage(
            format!("`{}` was changed meanwhile", plan.file),
            Some("nothing was done: run it again".into()),
        ));
    }
    check(context, project, asked, plan, secrets)?;
    let done = snapshot(context, project, plan)?;
    let undo = if secrets.is_empty() { None } else { Some(keep(secrets)?) };
    if !plan.add.is_empty()
        && let Err(error) = replace(plan)
    {
        if let Some(undo) = undo {
            undo()?;
        }
        return Err(error.into());
    }
    Ok(done)
}

/// Stores the secrets that B lacked.
pub type KeepSecrets<'k, 'u> = &'k mut dyn FnMut(&[(String, String)]) -> Result<Undo<'u>, Problem>;

/// Takes away what was stored a moment ago.
pub type Undo<'u> = Box<dyn FnOnce() -> Result<(), Problem> + 'u>;

/// Stores secrets that B lacked, each where the Envfile says that it is kept. One that is there by now stays as it is. If one
/// cannot be stored, those before it are taken out again.
pub fn keep_secrets<'u>(
    context: &'u Context,
    project: &'u Project,
    asked: &Asked,
    secrets: &[(String, String)],
) -> Result<Undo<'u>, Problem> {
    let (values, _) = Reader::new(context, project).values(&asked.project, &asked.to, None)?;
    let processes = Processes::new(PATIENCE);
    let mut store = Secrets::new(context, project, &processes);
    let kept = store.kept(&values).map_err(Problem::Store)?;
    let mut stored: Vec<(Place, String)> = Vec::new();
    for (name, value) in secrets {
        let Some(kept) = kept.iter().find(|kept| kept.spec.secret.name.as_str() == name) else { continue };
        let written = match store.value(kept) {
            Ok(Some(_)) => continue,
            Ok(None) => store.write(&kept.place, name, value),
            Err(refused) => Err(refused),
        };
        if let Err(refused) = written {
            forget(context, project, &stored)?;
            return Err(Problem::Store(refused));
        }
        store.note_made(&kept.place, [name.as_str()]);
        stored.push((kept.place.clone(), name.clone()));
    }
    processes.wait();
    processes.finish();
    Ok(Box::new(move || forget(context, project, &stored)))
}

fn forget(context: &Context, project: &Project, stored: &[(Place, String)]) -> Result<(), Problem> {
    let processes = Processes::new(PATIENCE);
    let mut store = Secrets::new(context, project, &processes);
    for (place, name) in stored {
        store.forget(place, std::slice::from_ref(name)).map_err(Problem::Store)?;
    }
    Ok(())
}

/// Values for the secrets that say how they are made.
pub fn generated(project: &Project, asked: &Asked, plan: &Plan) -> Result<Vec<(String, String)>, Problem> {
    let specs = project.envfile().secrets(Some(&asked.to));
    let mut made = Vec::new();
    for lacking in plan.secrets.iter().filter(|lacking| lacking.generated) {
        let spec = specs.iter().find(|spec| spec.secret.name.as_str() == lacking.name);
        let Some((how, length)) = spec.and_then(|spec| Some((spec.secret.generate?, spec.secret.length)))
        else {
            continue;
        };
        let value = generate(how, length).map_err(|error| Problem::System {
            doing: "make a secret",
            source: std::io::Error::other(error.to_string()),
        })?;
        made.push((lacking.name.clone(), value));
    }
    Ok(made)
}

/// The secrets that B must have and has not. B's guard is asked before its stores are.
fn lacking(
    context: &Context,
    project: &Project,
    asked: &Asked,
    b: &Arc<Values>,
) -> Result<Vec<Lacking>, Problem> {
    if b.secrets().is_empty() {
        return Ok(Vec::new());
    }
    guard::ask(context, project, &asked.project, Some(&asked.to), b, &format!("env sync {}", asked.to))?;
    open_all(context, project, b, Missing::Leave)?;
    let processes = Processes::new(PATIENCE);
    let kept = Secrets::new(context, project, &processes).kept(b).map_err(Problem::Store)?;
    let missing = kept.into_iter().filter(|kept| {
        let name = kept.spec.secret.name.as_str();
        matches!(b.lookup(name), Lookup::Missing(wrong) if wrong.code != INVALID)
    });
    Ok(missing
        .map(|kept| Lacking {
            name: kept.spec.secret.name.to_string(),
            generated: kept.spec.secret.generate.is_some(),
            hint: kept.hint(),
        })
        .collect())
}

/// One sync at a time.
fn lock(root: &Path, env: &str) -> Result<FileLock, Problem> {
    let folder = ledger::folder(root, env);
    fs::create_folder(&folder)?;
    FileLock::take(&folder.join("sync.lock"))?.ok_or_else(|| Problem::Busy {
        message: format!("`{env}` is being synced by another envrun"),
        hint: "nothing was done: wait for it, then run it again".into(),
    })
}

/// Holds the result to what B asks, and to what may not happen to B.
fn check(
    context: &Context,
    project: &Project,
    asked: &Asked,
    plan: &Plan,
    secrets: &[(String, String)],
) -> Result<(), Problem> {
    let entries = |text: &str| dotenv::parse(FileId(0), text).0;
    let before = entries(plan.before.as_deref().unwrap_or_default());
    let after = entries(&plan.after);
    let same = before.iter().zip(&after).all(|(old, new)| (&old.name, &old.value) == (&new.name, &new.value));
    let twice = after[before.len().min(after.len())..]
        .iter()
        .any(|new| before.iter().any(|old| old.name == new.name));
    assert!(
        same && before.len() <= after.len() && !twice,
        "lines are only added, for names that were not there"
    );
    let mut reader = Reader::new(context, project);
    let (values, mut wrong) = reader.values(&asked.project, &asked.to, Some((&plan.path, &plan.after)))?;
    for (name, lookup) in values.own() {
        let Lookup::Missing(missing) = lookup else { continue };
        let is_secret = values.declared(name.as_str()).is_some_and(|declared| declared.secret);
        let depends = values.declared(name.as_str()).and_then(|declared| declared.built).is_some();
        // A secret is there or was asked for, which is looked at below; what is built from one is known when it is.
        if missing.code != INVALID && (is_secret || depends) {
            continue;
        }
        if !wrong.contains(missing) {
            wrong.push((**missing).clone());
        }
    }
    let gap = plan.secrets.iter().find(|lacking| !secrets.iter().any(|(name, _)| *name == lacking.name));
    if let Some(gap) = gap.filter(|_| wrong.is_empty()) {
        return Err(Problem::usage(
            format!("`{}` lacks the secret `{}`", asked.to, gap.name),
            Some(gap.hint.clone()),
        ));
    }
    if wrong.is_empty() {
        return Ok(());
    }
    let last = wrong.len() - 1;
    let help = wrong[last].help.take().map(|help| format!("{help}\n")).unwrap_or_default();
    wrong[last].help = Some(format!(
        "{help}`{}` is as it was; `envrun env sync {} {} --set NAME=VALUE` gives it a value",
        label(&asked.project, asked.to.as_str()),
        asked.from,
        asked.to
    ));
    Err(reader.problem(wrong))
}

/// Copies B's own files to where they stay.
fn snapshot(context: &Context, project: &Project, plan: &Plan) -> Result<Done, Problem> {
    let archive = Archive::of(project.root(), Some(&plan.to), SNAPSHOT, &format!("{} dotenv files", plan.to));
    let draft = archive.draft()?;
    let data = draft.data();
    let mut list = Vec::new();
    for (at, (file, path)) in plan.own.iter().enumerate() {
        let bytes = fs::read_if_there(path)?;
        let kept = format!("{at}.env");
        list.push(serde_json::json!({ "path": file, "there": bytes.is_some(), "kept-as": kept }));
        if let Some(bytes) = bytes {
            fs::write_atomic_with(&data.join(kept), 0o400, |file| file.write_all(&bytes))?;
        }
    }
    let text = format!("{:#}\n", serde_json::Value::Array(list));
    fs::write_atomic_with(&data.join("files.json"), 0o400, |file| file.write_all(text.as_bytes()))?;
    let meta = Meta {
        why: format!("before a sync from {}", plan.from),
        user: context.caller_text("USER").unwrap_or_default(),
        host: context.host.clone(),
        ..Meta::default()
    };
    let copy = draft.finish::<SnapshotError>(&context.clock, meta, |_| Ok(false))?;
    // An old one that cannot be removed is in nobody's way.
    let keep = Keep { last: KEPT, daily: 0, weekly: 0, monthly: 0 };
    let _ = archive.prune(keep, &BTreeSet::new(), &TimeZone::UTC);
    Ok(Done { snapshot: copy.number, at: archive.data(copy.number) })
}

/// Replaces B's file as a whole; its permissions stay, and a link leads where it led.
fn replace(plan: &Plan) -> Result<(), FsError> {
    let path = plan.path.canonicalize().unwrap_or_else(|_| plan.path.clone());
    let old = std::fs::metadata(&path).ok().map(|meta| meta.permissions());
    fs::write_atomic_with(&path, 0o600, |file| {
        file.write_all(plan.after.as_bytes())?;
        if let Some(old) = old {
            file.set_permissions(std::fs::Permissions::from_mode(old.mode() & 0o777))?;
        }
        file.sync_all()
    })
}
