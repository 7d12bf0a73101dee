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
//! An environment without such a file lacks no variable that could be added to it; secrets that it lacks it gets all the same.
//!
//! Not added are: secrets and what is built from them; names that the Envfile does not declare for B; values that are built
//! from others (`http://${HOST}` would carry A's host over); placeholders; what the caller's shell gives to A.
//!
//! Invariant: every line of B is there afterwards, and a name of B has the value that it had.
//! Invariant: no value of A that is a secret is looked at beyond the question whether it is one.

mod reader;
mod secrets;

use std::collections::BTreeSet;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use jiff::tz::TimeZone;
use serde::Serialize;

use crate::base::fs::{self, FileLock, FsError};
use crate::diag::{Diagnostic, FileId};
use crate::ledger;
use crate::model::{EnvName, Keep, ProjectName, VarName, lay_secrets};
use crate::preflight::is_placeholder;
use crate::snapshot::{Archive, Meta, SnapshotError};
use crate::vars::write::dotenv_line;
use crate::vars::{INVALID, Layer, Lookup, Values, dotenv};

use super::super::run;
use super::super::sweep::sweep;
use super::super::{Context, Problem, Project};
use super::diff::{schema, scopes};
use super::{guard, label, layer_word};
use reader::{Reader, text_of};
use secrets::lacking;
pub use secrets::{KeepSecrets, Undo, generated, keep_secrets};

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
    /// B's own dotenv file, as it is written in the Envfile; `None` if it has none.
    pub file: Option<String>,
    /// What is added to it.
    pub add: Vec<Added>,
    /// Names that both have, or only B, with B's own value: they stay.
    pub kept: Vec<String>,
    /// Names that A has and B lacks and that are not added, and why.
    pub left: Vec<Left>,
    /// Secrets that B lacks.
    pub secrets: Vec<Lacking>,
    #[serde(skip)]
    path: Option<PathBuf>,
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

/// The snapshot of B.
#[derive(Debug, Serialize)]
pub struct Done {
    /// Its number.
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

/// How many snapshots of an environment are kept.
const KEPT: u32 = 20;

/// What the snapshots of an environment's dotenv files are called; no node has a name with a blank in it.
const SNAPSHOT: &str = "before sync";

/// Works out what a sync would do. Nothing is written.
pub fn plan(context: &Context, project: &Project, asked: &Asked) -> Result<Plan, Problem> {
    let Asked { from, to, project: owner, set } = asked;
    if from == to {
        return Err(Problem::usage(format!("`{from}` and `{to}` are the same environment"), None));
    }
    sweep(project.root());
    let mut reader = Reader::new(context, project);
    let own = own_files(&reader, owner, to);
    own.iter().for_each(|(_, path)| fs::sweep_beside(path));
    let (file, path) = own.last().cloned().unzip();
    let before = text_at(path.as_deref())?;
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
    let mut wrong: Vec<Diagnostic> = Vec::new();
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
                Worth::Adding(added) => plan.add.push(added),
                Worth::Leaving(why) => plan.left.push(Left { name: name.to_string(), why }),
                Worth::Nothing => {}
                // Several names may be built from the same one.
                Worth::Refusing(why) if wrong.contains(&why) => {}
                Worth::Refusing(why) => wrong.push(why),
            },
        }
    }
    if !wrong.is_empty() {
        return Err(untouched(&reader, asked, wrong));
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
    if let (Some(added), None) = (plan.add.first(), &plan.file) {
        return Err(Problem::usage(
            format!(
                "`{to}` lacks `{}`, and has no dotenv file of its own that it could be added to",
                added.name
            ),
            Some("write `dotenv \".env.${ENVRUN_ENV}\" optional=#true` at the root of the Envfile".into()),
        ));
    }
    append(&mut plan);
    Ok(plan)
}

/// What becomes of a name that B lacks.
enum Worth {
    /// It gets A's value.
    Adding(Added),
    /// It gets none, and why.
    Leaving(String),
    /// A has none either.
    Nothing,
    /// A's value is not what it may be.
    Refusing(Diagnostic),
}

/// Whether A's value may be copied.
fn worth_copying(reader: &Reader<'_>, a: &Values, name: &VarName) -> Worth {
    if let Some(built) = a.declared(name.as_str()).and_then(|declared| declared.built) {
        return Worth::Leaving(format!("built from others: `{built}`"));
    }
    let (text, origin, secret) = match a.lookup(name.as_str()) {
        Lookup::Value { text, origin, secret } => (text, origin, secret),
        Lookup::Missing(wrong) if wrong.code == INVALID => return Worth::Refusing((*wrong).clone()),
        Lookup::Missing(_) | Lookup::Undeclared => return Worth::Nothing,
    };
    if secret {
        return Worth::Leaving("built from a secret, which is never copied".into());
    }
    if matches!(origin.layer, Layer::Caller | Layer::Given) {
        return Worth::Leaving(format!("it comes from {}", layer_word(&origin.layer)));
    }
    if is_placeholder(&text) {
        return Worth::Leaving("a placeholder".into());
    }
    let from = origin.span.map_or_else(|| origin.layer.to_string(), |span| reader.sources.place(span));
    Worth::Adding(Added { name: name.to_string(), value: text.to_string(), from })
}

/// The text of a file, if there is one.
fn text_at(path: Option<&Path>) -> Result<Option<String>, FsError> {
    let Some(path) = path else { return Ok(None) };
    fs::read_if_there(path)?.map(|bytes| text_of(bytes, path)).transpose()
}

/// The dotenv files that an environment loads and no other does, as they are written and where they lie, in order.
fn own_files(reader: &Reader<'_>, owner: &ProjectName, env: &EnvName) -> Vec<(String, PathBuf)> {
    let others: BTreeSet<PathBuf> = reader
        .project
        .envfile()
        .concrete_environments()
        .filter(|other| other.name != *env)
        .flat_map(|other| reader.files(owner, &other.name))
        .map(|(_, path)| path)
        .collect();
    reader
        .files(owner, env)
        .into_iter()
        .filter(|(file, path)| file.project == *owner && !others.contains(path))
        .map(|(file, path)| (file.path, path))
        .collect()
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
    if text_at(plan.path.as_deref())? != plan.before {
        return Err(Problem::usage(
            format!("`{}` was changed meanwhile", plan.file.as_deref().unwrap_or(&plan.to)),
            Some("nothing was done: run it again".into()),
        ));
    }
    let names: Vec<&str> = secrets.iter().map(|(name, _)| name.as_str()).collect();
    check(context, project, asked, plan, &names)?;
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

/// One sync at a time.
fn lock(root: &Path, env: &str) -> Result<FileLock, Problem> {
    let folder = ledger::folder(root, env);
    fs::create_folder(&folder)?;
    FileLock::take(&folder.join("sync.lock"))?.ok_or_else(|| Problem::Busy {
        message: format!("`{env}` is being synced by another envrun"),
        hint: "nothing was done: wait for it, then run it again".into(),
    })
}

/// Holds what a plan comes to, once its secrets are there, to what B asks.
pub fn foresee(context: &Context, project: &Project, asked: &Asked, plan: &Plan) -> Result<(), Problem> {
    let secrets: Vec<&str> = plan.secrets.iter().map(|lacking| lacking.name.as_str()).collect();
    check(context, project, asked, plan, &secrets)
}

/// Asks B's guard for everything that a plan writes, and for the words that are to be typed; whether there was one.
pub fn permit(
    context: &Context,
    project: &Project,
    asked: &Asked,
    request: &run::Request,
) -> Result<bool, Problem> {
    let (values, _) = Reader::new(context, project).values(&asked.project, &asked.to, None)?;
    let what = format!("env sync {}", asked.to);
    guard::ask(context, project, &asked.project, Some(&asked.to), &values, &what)?;
    guard::confirm(project, &asked.project, Some(&asked.to), &what, request)
}

/// Holds the result to what B asks, and to what may not happen to B. `secrets` are those that it lacked and gets.
fn check(
    context: &Context,
    project: &Project,
    asked: &Asked,
    plan: &Plan,
    secrets: &[&str],
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
    let (values, mut wrong) =
        reader.values(&asked.project, &asked.to, plan.path.as_deref().map(|path| (path, &*plan.after)))?;
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
    let gap = plan.secrets.iter().find(|lacking| !secrets.contains(&&*lacking.name));
    if let Some(gap) = gap.filter(|_| wrong.is_empty()) {
        return Err(Problem::usage(
            format!("`{}` lacks the secret `{}`", asked.to, gap.name),
            Some(gap.hint.clone()),
        ));
    }
    if wrong.is_empty() { Ok(()) } else { Err(untouched(&reader, asked, wrong)) }
}

/// What is wrong with values, and that nothing was done.
fn untouched(reader: &Reader<'_>, asked: &Asked, mut wrong: Vec<Diagnostic>) -> Problem {
    let last = wrong.len() - 1;
    let help = wrong[last].help.take().map(|help| format!("{help}\n")).unwrap_or_default();
    wrong[last].help = Some(format!(
        "{help}`{}` is as it was; `envrun env sync {} {} --set NAME=VALUE` gives it a value",
        label(&asked.project, asked.to.as_str()),
        asked.from,
        asked.to
    ));
    reader.problem(wrong)
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
        user: context.person(project.root()),
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
    let Some(path) = &plan.path else { return Ok(()) };
    let path = path.canonicalize().unwrap_or_else(|_| path.clone());
    let old = std::fs::metadata(&path).ok().map(|meta| meta.permissions());
    fs::write_atomic_with(&path, 0o600, |file| {
        file.write_all(plan.after.as_bytes())?;
        if let Some(old) = old {
            file.set_permissions(std::fs::Permissions::from_mode(old.mode() & 0o777))?;
        }
        file.sync_all()
    })
}
