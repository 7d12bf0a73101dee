//! Secrets, asked of their stores: lazily, once per run and environment, and made when they are missing.
//!
//! A secret is kept in a [`Place`]: a store, and a path in it, of one environment. [`Secrets`] reads a place when a secret
//! of it is wanted, at most once, and hands the values to [`Values::open`]; the redactor of the context hears of every
//! value before anybody else does.
//!
//! * What has no `store=` is looked for in `.envrun/secrets/<env>.env`, and then in the process environment.
//! * A missing secret with `generate=` is made when something wants it, and stored; never one that is there.
//! * A store that the Envfile declares is only asked for secrets that are wanted: its commands cost time.
//!
//! Invariant: the caller has asked the guards of a protected environment before it asks here.
//! Invariant: values leave this room through [`Values`], [`Secrets::value`] and the standard input of `write`; never in a
//! message.

mod examine;
mod place;
mod rotate;
mod tend;
mod unseal;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;

use crate::diag::{SourceMap, Span};
use crate::exec::Processes;
use crate::model::{EnvName, Envfile, Secret, SecretSpec, StoreRef};
use crate::preflight::Ignored;
use crate::record::STATE_DIR;
use crate::secret::{Made, generate};
use crate::vars::{Answer, Form, Layer, SecretId, TaskValues, Values};

use super::{Context, Problem, Project};

pub use examine::{Examined, State, show_age};
pub use place::{Place, Refused};
pub use rotate::{Rotated, Rotation, cut_short, rotate, sweep_replaced};
pub use tend::{Edit, Listed, OVERDUE, generate_missing, get, list, set};
pub use unseal::{Unsealed, Wants, unseal};

/// Reads, makes and writes secrets for one invocation.
pub struct Secrets<'a> {
    context: &'a Context,
    ignored: &'a Ignored,
    envfile: &'a Envfile,
    sources: &'a SourceMap,
    root: &'a Path,
    processes: &'a Arc<Processes>,
    /// Values that are not asked of their store.
    held: Vec<(SecretId, String)>,
    /// What was read.
    places: Read,
}

/// What was read of stores, to be handed to whoever asks them next: a store is a command, and may be a hardware key that
/// somebody has to touch.
#[derive(Debug, Default)]
pub struct Known(Read);

type Read = BTreeMap<Place, Result<IndexMap<String, String>, Refused>>;

/// How long the commands of stores have after each step of an interrupt.
const PATIENCE: Duration = Duration::from_secs(10);

/// Which secrets are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// All of them, of whatever store.
    Everything,
    /// These; of the others those that cost nothing to read.
    Only(BTreeSet<SecretId>),
}

/// What is done about a secret that is missing and could be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// It is made, and stored.
    Make,
    /// A value is made up and goes nowhere: for a dry run.
    Pretend,
    /// Nothing.
    Leave,
}

/// What came of asking.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Opened {
    /// Secrets that are wanted, required and not there: why, and what to do.
    pub absent: Vec<Absent>,
    /// Stores that could not be read although something wanted them, each once.
    pub refused: Vec<Refused>,
    /// Worth saying: secrets that were made; stores that could not be read and that nothing wanted.
    pub notices: Vec<(String, Option<String>)>,
    /// Something was read.
    pub read_any: bool,
    /// Secrets whose value was made up and went nowhere.
    pub pretended: BTreeSet<SecretId>,
}

/// A secret that is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Absent {
    /// Which.
    pub id: SecretId,
    /// Where it is declared.
    pub span: Span,
    /// The command that sets it.
    pub hint: String,
}

/// A secret as an environment has it, and where it is kept there.
#[derive(Debug, Clone)]
pub struct Kept {
    /// What is declared of it.
    pub spec: SecretSpec,
    /// Where its value lies.
    pub place: Place,
    /// The process environment is asked too where the place does not have it.
    pub or_caller: bool,
    /// There are environments, and the run is in none of them: nothing can be stored for it.
    pub unnamed: bool,
    /// Its store has no `write`.
    pub read_only: bool,
}

impl Kept {
    /// By which name values know it.
    pub fn id(&self) -> SecretId {
        (self.spec.project.clone(), self.spec.secret.name.clone())
    }

    fn secret(&self) -> &Secret {
        &self.spec.secret
    }
}

impl<'a> Secrets<'a> {
    /// Nothing is read yet.
    pub fn new(context: &'a Context, project: &'a Project, processes: &'a Arc<Processes>) -> Self {
        let folder = project.root().join(STATE_DIR).join("secrets");
        let environments = project.envfile().concrete_environments();
        project.ignored.expect(environments.map(|env| folder.join(format!("{}.env", env.name))));
        Self {
            context,
            ignored: &project.ignored,
            envfile: project.envfile(),
            sources: project.sources(),
            root: project.root(),
            processes,
            held: Vec::new(),
            places: BTreeMap::new(),
        }
    }

    /// Reads no more what is known.
    pub fn know(&mut self, known: Known) {
        for (place, read) in known.0 {
            self.places.entry(place).or_insert(read);
        }
    }

    /// Every secret that can be seen by `values`, and where it is kept. Nothing is read.
    ///
    /// # Errors
    /// A `path=` that mentions what has no value.
    pub fn kept(&self, values: &Arc<Values>) -> Result<Vec<Kept>, Refused> {
        let ids = values.secrets();
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let specs = self.envfile.secrets(values.env());
        let of = |id: &SecretId| specs.iter().find(|spec| spec.project == id.0 && spec.secret.name == id.1);
        ids.iter().filter_map(of).map(|spec| self.keep(spec, values)).collect()
    }

    fn keep(&self, spec: &SecretSpec, values: &Arc<Values>) -> Result<Kept, Refused> {
        let kept = spec.secret.kept.as_ref();
        let store = kept.map_or(StoreRef::File, |kept| kept.store.clone());
        let path = match kept.and_then(|kept| kept.path.as_ref()) {
            Some(path) => {
                let nobody = crate::model::Task::new("".into(), path.span, crate::base::RelPath::root());
                let text = TaskValues::new(values, &nobody, Vec::new())
                    .interpolate(&path.value, Form::Text, path.span)
                    .map_err(|wrong| Refused {
                        store: store.to_string(),
                        reason: format!("its path cannot be known: {}", wrong.message),
                        hint: wrong.help.clone(),
                        place: self.sources.place(path.span),
                    })?;
                Some(text)
            }
            None => None,
        };
        let place = Place { project: spec.project.clone(), env: values.env().cloned(), store, path };
        let place = place.of_all();
        let unnamed = place.env.is_none() && !self.envfile.environments.is_empty();
        let read_only = match &place.store {
            StoreRef::Declared(project, name) => {
                self.envfile.store(project, name).is_some_and(|store| store.write.is_none())
            }
            StoreRef::Env | StoreRef::File => false,
        };
        Ok(Kept { or_caller: kept.is_none(), unnamed, place, read_only, spec: spec.clone() })
    }

    /// Asks stores for what is wanted, and hands it to `values`.
    pub fn open(&mut self, values: &Arc<Values>, wanted: &Wanted, missing: Missing) -> Opened {
        let mut opened = Opened::default();
        if values.is_open() || values.secrets().is_empty() {
            return opened;
        }
        let all = match self.kept(values) {
            Ok(all) => all,
            Err(refused) => {
                opened.refused.push(refused);
                return opened;
            }
        };
        let is_wanted = |kept: &Kept| match wanted {
            Wanted::Everything => true,
            Wanted::Only(ids) => ids.contains(&kept.id()),
        };
        let mut answers: BTreeMap<SecretId, Answer> = BTreeMap::new();
        let mut lacking: Vec<&Kept> = Vec::new();
        for kept in &all {
            let wanted = is_wanted(kept);
            if kept.place.store.is_declared() && !wanted {
                continue;
            }
            let name = kept.secret().name.as_str();
            if let Some((_, text)) = self.held.iter().find(|(id, _)| *id == kept.id()) {
                self.context.redactor.learn([text.as_str()]);
                let layer = Layer::Store(kept.place.store.to_string());
                answers.insert(kept.id(), Answer::Value { text: text.as_str().into(), layer });
                continue;
            }
            let found = match self.read(&kept.place) {
                Ok(found) => found.get(name).cloned(),
                Err(refused) => {
                    let refused = refused.clone();
                    if wanted && !opened.refused.contains(&refused) {
                        opened.refused.push(refused);
                    } else if !wanted {
                        let notice = (refused.to_string(), refused.hint.clone());
                        if !opened.notices.contains(&notice) {
                            opened.notices.push(notice);
                        }
                    }
                    continue;
                }
            };
            opened.read_any = true;
            let layer = Layer::Store(kept.place.store.to_string());
            let answer = match found {
                Some(text) => Some((text, layer)),
                None if kept.or_caller => self.context.caller_text(name).map(|text| (text, Layer::Caller)),
                None => None,
            };
            match answer {
                Some((text, layer)) => {
                    self.context.redactor.learn([text.as_str()]);
                    answers.insert(kept.id(), Answer::Value { text: text.into(), layer });
                }
                // What nobody could list or get again is not made.
                None if wanted && kept.secret().generate.is_some() && !kept.is_nowhere() => {
                    lacking.push(kept)
                }
                None => {
                    let help = (!kept.secret().is_optional()).then(|| kept.missing_hint());
                    if let (true, Some(hint)) = (wanted, &help) {
                        let (id, span) = (kept.id(), kept.secret().span);
                        opened.absent.push(Absent { id, span, hint: hint.clone() });
                    }
                    answers.insert(kept.id(), Answer::Absent { help });
                }
            }
        }
        self.make(&lacking, missing, &mut answers, &mut opened);
        values.open(&mut |id| answers.get(id).cloned());
        opened
    }

    /// Makes what is missing, as far as that is wanted.
    fn make(
        &mut self,
        lacking: &[&Kept],
        missing: Missing,
        answers: &mut BTreeMap<SecretId, Answer>,
        opened: &mut Opened,
    ) {
        let mut places: Vec<&Place> = lacking.iter().map(|kept| &kept.place).collect();
        places.sort_unstable();
        places.dedup();
        for place in places {
            let here: Vec<&Kept> = lacking.iter().copied().filter(|kept| kept.place == *place).collect();
            let made = match missing {
                Missing::Make => self.generate(place, &here),
                Missing::Pretend => here
                    .iter()
                    .map(|kept| Ok((kept.secret().name.to_string(), new_value(kept, place)?)))
                    .collect(),
                Missing::Leave => Ok(Vec::new()),
            };
            let made = match made {
                Ok(made) => made,
                Err(refused) => {
                    opened.refused.push(refused);
                    continue;
                }
            };
            for kept in &here {
                let name = kept.secret().name.as_str();
                let answer = match made.iter().find(|(made, _)| made == name) {
                    Some((_, text)) => {
                        self.context.redactor.learn([text.as_str()]);
                        if missing == Missing::Pretend {
                            opened.pretended.insert(kept.id());
                        }
                        Answer::Value {
                            text: text.as_str().into(),
                            layer: Layer::Store(place.store.to_string()),
                        }
                    }
                    None => Answer::Absent { help: Some(kept.generate_hint()) },
                };
                answers.insert(kept.id(), answer);
            }
            let names: Vec<&str> = made.iter().map(|(name, _)| name.as_str()).collect();
            if !names.is_empty() {
                let how =
                    if missing == Missing::Pretend { "would be made and stored" } else { "made and stored" };
                opened
                    .notices
                    .push((format!("{how} in {}: {}", place.shown(self.root), names.join(", ")), None));
            }
        }
    }

    /// The value of a secret whose place was read.
    pub fn value(&mut self, kept: &Kept) -> Result<Option<String>, Refused> {
        let name = kept.spec.secret.name.as_str();
        let found = self.read(&kept.place).as_ref().map_err(|refused| (*refused).clone())?.get(name).cloned();
        let value = found.or_else(|| kept.or_caller.then(|| self.context.caller_text(name)).flatten());
        self.context.redactor.learn(value.as_deref());
        Ok(value)
    }

    /// When the secrets of an environment were made.
    pub fn made(&self, env: Option<&EnvName>) -> Result<Made, Problem> {
        Ok(Made::load(&self.made_path(env))?)
    }

    fn made_path(&self, env: Option<&EnvName>) -> PathBuf {
        let env = env.map_or("_", EnvName::as_str);
        self.root.join(STATE_DIR).join("env").join(env).join("secrets.json")
    }
}

/// Asks stores for everything that `values` can see and that is not known, for a caller that has asked the guard.
///
/// # Errors
/// A store that cannot be read.
pub fn open_all(
    context: &Context,
    project: &Project,
    values: &Arc<Values>,
    missing: Missing,
    known: Known,
) -> Result<Opened, Problem> {
    let opened = open_readable(context, project, values, missing, known);
    match opened.refused.first() {
        None => Ok(opened),
        Some(refused) => Err(Problem::Store(refused.clone())),
    }
}

/// The same for these, and for what costs nothing to read. Nothing is made. Gives what is known now.
///
/// # Errors
/// A store that cannot be read.
pub fn open_these(
    context: &Context,
    project: &Project,
    values: &Arc<Values>,
    ids: BTreeSet<SecretId>,
) -> Result<Known, Problem> {
    let wanted = Wanted::Only(ids);
    let (opened, known) = open_wanted(context, project, values, &wanted, Missing::Leave, Known::default());
    opened.refused.first().map_or(Ok(known), |refused| Err(Problem::Store(refused.clone())))
}

/// The same for everything, as far as stores can be read: what could not be asked stays sealed, and is told in
/// [`Opened::refused`].
pub fn open_readable(
    context: &Context,
    project: &Project,
    values: &Arc<Values>,
    missing: Missing,
    known: Known,
) -> Opened {
    open_wanted(context, project, values, &Wanted::Everything, missing, known).0
}

fn open_wanted(
    context: &Context,
    project: &Project,
    values: &Arc<Values>,
    wanted: &Wanted,
    missing: Missing,
    known: Known,
) -> (Opened, Known) {
    let processes = Processes::new(PATIENCE);
    let mut secrets = Secrets::new(context, project, &processes);
    secrets.know(known);
    let opened = secrets.open(values, wanted, missing);
    let known = Known(secrets.places);
    processes.wait();
    processes.finish();
    (opened, known)
}

impl Kept {
    /// What to do when it is missing.
    pub fn hint(&self) -> String {
        let name = &self.spec.secret.name;
        match (&self.place.store, &self.place.env) {
            (StoreRef::Env, _) => format!("set `{name}` in the environment that calls envrun"),
            (store, _) if self.read_only => {
                format!("set `{name}` in the store `{store}` by its own means: it has no `write`")
            }
            (_, Some(env)) => format!("`envrun secret set {env} {name}`"),
            (_, None) if self.unnamed => {
                format!("name an environment, `ENV.TASK`, in which `envrun secret set ENV {name}` stored it")
            }
            (_, None) => format!("`envrun secret set {name}`"),
        }
    }

    /// Whether it would be stored for no environment, where there are some.
    fn is_nowhere(&self) -> bool {
        self.unnamed && self.place.store != StoreRef::Env
    }

    /// What to do when it is missing, and nobody makes it.
    fn missing_hint(&self) -> String {
        if self.spec.secret.generate.is_some() && self.is_nowhere() {
            self.generate_hint()
        } else {
            self.hint()
        }
    }

    fn generate_hint(&self) -> String {
        match &self.place.env {
            None if self.is_nowhere() => {
                "name an environment, `ENV.TASK`: it is made for that one; or say which it is, `project … default-env=`".into()
            }
            Some(env) => format!("`envrun secret generate {env}`"),
            None => "`envrun secret generate`".into(),
        }
    }
}

/// A new value for a secret.
fn new_value(kept: &Kept, place: &Place) -> Result<String, Refused> {
    let how = kept.spec.secret.generate.expect("only secrets that say how are made");
    generate(how, kept.spec.secret.length).map_err(|error| Refused {
        store: place.store.to_string(),
        reason: error.to_string(),
        hint: None,
        place: String::new(),
    })
}
