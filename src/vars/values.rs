//! The values of a project in an environment, and of one task in it.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use indexmap::{IndexMap, IndexSet};

use crate::diag::{Diagnostic, Span, did_you_mean};
use crate::model::{
    Constraints, EnvName, Envfile, Environment, Project, ProjectName, Scope, Task, Value, Var, VarName,
    VarType, check_value,
};

use super::dotenv;
use super::interpolate::{Form, interpolate, mentions};

/// Looks a name up outside the Envfile.
pub type Source = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// What [`Values`] are made of.
#[derive(Clone)]
pub struct Request<'a> {
    /// What the Envfile says.
    pub envfile: &'a Envfile,
    /// Whose values.
    pub project: &'a ProjectName,
    /// In which environment; `None` where no environment is declared.
    pub env: Option<&'a EnvName>,
    /// The dotenv files that [`dotenv_files`] named and that were there, in that order.
    pub dotenv: &'a [DotenvFile],
    /// `--set`, in order; the last of a name counts.
    pub set: &'a [(String, String)],
    /// What envrun itself gives (`ENVRUN_REVISION`, …). Asked only for names that begin with `ENVRUN_` and that
    /// something mentions; `ENVRUN_ENV` is known without.
    pub given: Source,
    /// The caller's variables.
    pub caller: Source,
}

/// A dotenv file and what it says.
#[derive(Debug, Clone)]
pub struct DotenvFile {
    /// The project that names it.
    pub project: ProjectName,
    /// The path as written, with its `${NAME}` replaced; relative to the project's folder.
    pub path: String,
    /// It may be absent.
    pub optional: bool,
    /// Where it is named.
    pub span: Span,
    /// What it says; empty until it was read.
    pub entries: Vec<dotenv::Entry>,
}

/// Who gave a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layer {
    /// What stands at the root of an Envfile.
    Root,
    /// A dotenv file.
    Dotenv(String),
    /// An environment: the one asked for, or one that it extends.
    Env(EnvName),
    /// The task's own `vars`.
    Task,
    /// `--set`.
    Set,
    /// An argument of the task, or something that envrun gives to it.
    Given,
    /// The caller's shell.
    Caller,
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("every environment"),
            Self::Dotenv(path) => f.write_str(path),
            Self::Env(env) => write!(f, "environment {env}"),
            Self::Task => f.write_str("the task"),
            Self::Set => f.write_str("--set"),
            Self::Given => f.write_str("envrun"),
            Self::Caller => f.write_str("the caller's shell"),
        }
    }
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Who gave it.
    pub layer: Layer,
    /// Where it is written, if it is written in a text that was read.
    pub span: Option<Span>,
}

/// What a name stands for.
#[derive(Debug, Clone, PartialEq)]
pub enum Lookup {
    /// A value.
    Value {
        /// The text that a command sees.
        text: Arc<str>,
        /// Where it comes from.
        origin: Origin,
        /// It is a secret, or mentions one.
        secret: bool,
    },
    /// It is declared, and has no value: why, ready to be shown.
    Missing(Arc<Diagnostic>),
    /// Nobody declares it, and the caller does not have it.
    Undeclared,
}

impl Lookup {
    /// The text, if there is one.
    pub fn text(&self) -> Option<&Arc<str>> {
        if let Self::Value { text, .. } = self { Some(text) } else { None }
    }
}

/// One layer's word on a name.
#[derive(Debug, Clone)]
struct Definition {
    text: Arc<str>,
    /// Whether `${NAME}` in it is replaced: yes for what an Envfile says, no for data from outside.
    interpolated: bool,
    origin: Origin,
}

/// A declared name.
#[derive(Debug, Clone)]
struct Slot {
    /// What is asked of the value: every layer's declaration laid over the one below.
    asked: Var,
    /// Where it is first declared.
    span: Span,
    /// What each layer says, weakest first.
    stack: Vec<Definition>,
    secret: bool,
}

/// The values of one project in one environment. Cheap to share, never changed.
pub struct Values {
    project: ProjectName,
    env: Option<EnvName>,
    /// The values of the project around it, for names that it does not declare itself.
    outer: Option<Arc<Values>>,
    slots: IndexMap<VarName, Slot>,
    resolved: HashMap<VarName, Resolved>,
    given: Source,
    caller: Source,
}

#[derive(Debug, Clone)]
struct Resolved {
    lookup: Lookup,
    /// Every name that the value depends on, itself excluded.
    through: Arc<BTreeSet<String>>,
}

/// The dotenv files of a project in an environment, those of the projects around it first, in the order in which they
/// are to be read. Their paths may depend on everything but dotenv files.
pub fn dotenv_files(request: &Request<'_>) -> Vec<DotenvFile> {
    let values = Values::layered(&Request { dotenv: &[], ..request.clone() }, true);
    let mut files = Vec::new();
    for project in lineage(request.envfile, request.project) {
        for (_, scope) in scopes(request.envfile, project, request.env) {
            for file in &scope.dotenv {
                let mut lookup = |name: &str| values.lookup(name).text().map(|text| text.to_string());
                // A path that cannot be known is kept as written: reading it then fails, and names it.
                let path = interpolate(&file.path.value, Form::Text, &mut lookup)
                    .map_or_else(|_| file.path.value.clone(), std::borrow::Cow::into_owned);
                files.push(DotenvFile {
                    project: project.name.clone(),
                    path,
                    optional: file.optional,
                    span: file.path.span,
                    entries: Vec::new(),
                });
            }
        }
    }
    files
}

/// A project and those around it, outermost first.
pub(super) fn lineage<'a>(envfile: &'a Envfile, project: &ProjectName) -> Vec<&'a Project> {
    let mut chain = Vec::new();
    let mut next = envfile.projects.get(project);
    while let Some(project) = next {
        chain.push(project);
        next = project.outer.as_ref().and_then(|outer| envfile.projects.get(outer));
    }
    chain.reverse();
    chain
}

/// What a project says for an environment: its base, then each environment of the chain, weakest first.
fn scopes<'a>(
    envfile: &'a Envfile,
    project: &'a Project,
    env: Option<&EnvName>,
) -> impl Iterator<Item = (Layer, &'a Scope)> {
    let chain: &[EnvName] =
        env.and_then(|env| envfile.environments.get(env)).map_or(&[], |Environment { chain, .. }| chain);
    std::iter::once((Layer::Root, &project.base))
        .chain(chain.iter().filter_map(|env| Some((Layer::Env(env.clone()), project.overlays.get(env)?))))
}

impl Values {
    /// Resolves every name that the project can see in the environment. What is said is what is wrong with values from
    /// outside the Envfile, and with values that are known only now; a name without a value is not wrong yet.
    pub fn resolve(request: &Request<'_>) -> (Self, Vec<Diagnostic>) {
        let values = Self::layered(request, false);
        let mut diagnostics = Vec::new();
        for (name, resolved) in &values.resolved {
            if let Lookup::Missing(diagnostic) = &resolved.lookup
                && diagnostic.code == INVALID
            {
                diagnostics.push((values.slots.get_index_of(name), Diagnostic::clone(diagnostic)));
            }
        }
        diagnostics.sort_by_key(|(at, _)| *at);
        (values, diagnostics.into_iter().map(|(_, diagnostic)| diagnostic).collect())
    }

    fn layered(request: &Request<'_>, without_dotenv: bool) -> Self {
        let mut slots = IndexMap::new();
        let mut outer = None;
        if let Some(project) = request.envfile.projects.get(request.project) {
            outer = project.outer.as_ref().map(|outer| {
                Arc::new(Self::layered(&Request { project: outer, ..request.clone() }, without_dotenv))
            });
            let mut layers = scopes(request.envfile, project, request.env);
            if let Some((layer, base)) = layers.next() {
                declare(&mut slots, &layer, base);
            }
            let files = request.dotenv.iter().filter(|file| !without_dotenv && file.project == project.name);
            for file in files {
                load_dotenv(&mut slots, file);
            }
            for (layer, scope) in layers {
                declare(&mut slots, &layer, scope);
            }
        }
        for (name, text) in request.set {
            // A name that nobody declares is the root's, and so everybody's.
            if outer.is_none() && !slots.contains_key(name.as_str()) {
                slots.insert(name.as_str().into(), Slot::untyped(name, NOWHERE));
            }
            if let Some(slot) = slots.get_mut(name.as_str()) {
                let origin = Origin { layer: Layer::Set, span: None };
                slot.stack.push(Definition { text: text.as_str().into(), interpolated: false, origin });
            }
        }
        let mut values = Self {
            project: request.project.clone(),
            env: request.env.cloned(),
            outer,
            slots,
            resolved: HashMap::new(),
            given: Arc::clone(&request.given),
            caller: Arc::clone(&request.caller),
        };
        let mut resolver = Resolver::new(&values, None);
        for name in values.slots.keys() {
            resolver.resolve(name.as_str());
        }
        values.resolved = resolver.done;
        values
    }

    /// The project whose values these are.
    pub fn project(&self) -> &ProjectName {
        &self.project
    }

    /// The environment they hold in.
    pub fn env(&self) -> Option<&EnvName> {
        self.env.as_ref()
    }

    /// What a name stands for.
    pub fn lookup(&self, name: &str) -> Lookup {
        self.resolved.get(name).map_or_else(|| self.around(name), |resolved| resolved.lookup.clone())
    }

    /// What a name that the project does not declare stands for.
    fn around(&self, name: &str) -> Lookup {
        self.outer.as_ref().map_or_else(|| self.outside(name), |outer| outer.lookup(name))
    }

    /// What a name that no Envfile declares stands for.
    fn outside(&self, name: &str) -> Lookup {
        let value = |text: String, layer| Lookup::Value {
            text: text.into(),
            origin: Origin { layer, span: None },
            secret: false,
        };
        if name == "ENVRUN_ENV" {
            return self.env.as_ref().map_or(Lookup::Undeclared, |env| value(env.to_string(), Layer::Given));
        }
        if name.starts_with("ENVRUN_") {
            return (self.given)(name).map_or(Lookup::Undeclared, |text| value(text, Layer::Given));
        }
        (self.caller)(name).map_or(Lookup::Undeclared, |text| value(text, Layer::Caller))
    }

    /// Every declared name, those of the projects around first, with what it stands for.
    pub fn iter(&self) -> Box<dyn Iterator<Item = (&VarName, &Lookup)> + '_> {
        let own = self.slots.keys().filter_map(|name| Some((name, &self.resolved.get(name)?.lookup)));
        let around = self.outer.iter().flat_map(|outer| outer.iter());
        Box::new(around.filter(|(name, _)| !self.slots.contains_key(*name)).chain(own))
    }

    /// The value that `--set` gives a name, if it gives one.
    fn set(&self, name: &VarName) -> Option<&Definition> {
        let own = self.slots.get(name).and_then(|slot| slot.stack.last());
        let set = own.filter(|top| top.origin.layer == Layer::Set);
        set.or_else(|| self.outer.as_ref()?.set(name))
    }

    /// The declared name nearest to `name`, as a question.
    pub fn did_you_mean(&self, name: &str) -> Option<String> {
        did_you_mean(name, self.iter().map(|(name, _)| name.as_str()))
    }
}

impl fmt::Debug for Values {
    /// Names only: values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Values")
            .field("project", &self.project)
            .field("env", &self.env)
            .field("names", &self.slots.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

/// The values as one task sees them: its own variables and its arguments over those of its project.
#[derive(Clone)]
pub struct TaskValues {
    values: Arc<Values>,
    own: IndexMap<VarName, Slot>,
    extra: Vec<(String, String)>,
}

impl TaskValues {
    /// Lays `task`'s own variables over `values`, and `extra` (its arguments as `ARG_NAME`, and what envrun gives it)
    /// over both.
    pub fn new(values: &Arc<Values>, task: &Task, extra: Vec<(String, String)>) -> Self {
        let mut own = IndexMap::new();
        for var in task.vars.values() {
            let under = values.slots.get(&var.name);
            let mut slot = under.cloned().unwrap_or_else(|| Slot::new(var.clone()));
            slot.stack.pop_if(|top| top.origin.layer == Layer::Set);
            if matches!(&var.value, Some(value) if value.value == Value::Null) {
                slot = Slot::untyped(var.name.as_str(), var.span);
                slot.asked.optional = true;
            } else {
                slot.lay(Layer::Task, var);
            }
            // `--set` wins over a task's own value.
            slot.stack.extend(values.set(&var.name).cloned());
            own.insert(var.name.clone(), slot);
        }
        Self { values: Arc::clone(values), own, extra }
    }

    /// What a name stands for in this task.
    pub fn lookup(&self, name: &str) -> Lookup {
        if self.own.is_empty() && self.extra.is_empty() {
            return self.values.lookup(name);
        }
        Resolver::new(&self.values, Some(self)).resolve(name).lookup
    }

    /// Every name that the Envfile declares for this task, with what it stands for: the values of the project, then the
    /// task's own, then what was laid over both.
    pub fn iter(&self) -> impl Iterator<Item = (String, Lookup)> {
        let mut resolver = Resolver::new(&self.values, Some(self));
        let mut names: IndexSet<&str> = self.values.iter().map(|(name, _)| name.as_str()).collect();
        names.extend(self.own.keys().map(VarName::as_str));
        names.extend(self.extra.iter().map(|(name, _)| name.as_str()));
        let found: Vec<_> =
            names.into_iter().map(|name| (name.to_owned(), resolver.resolve(name).lookup)).collect();
        found.into_iter()
    }

    /// Replaces what `text` mentions. The error is ready to be shown; `span` is where the text is written.
    pub fn interpolate(&self, text: &str, form: Form, span: Span) -> Result<String, Arc<Diagnostic>> {
        let mut missing = None;
        let mut lookup = |name: &str| match self.lookup(name) {
            Lookup::Value { text, .. } => Some(text.to_string()),
            Lookup::Undeclared => None,
            Lookup::Missing(diagnostic) => {
                missing = Some(diagnostic);
                None
            }
        };
        let text = interpolate(text, form, &mut lookup);
        match text {
            // A default saves a name without a value, not one whose value is wrong.
            Ok(text) => match missing {
                Some(wrong) if wrong.code == INVALID => Err(wrong),
                _ => Ok(text.into_owned()),
            },
            Err(unset) => Err(missing.unwrap_or_else(|| {
                Arc::new(
                    Diagnostic::error("vars/undeclared", format!("`{}` is not set", unset.0))
                        .at(span, "mentioned here")
                        .maybe_help(self.values.did_you_mean(&unset.0)),
                )
            })),
        }
    }

    /// The values of its project.
    pub fn values(&self) -> &Arc<Values> {
        &self.values
    }

    fn extra(&self, name: &str) -> Option<&str> {
        self.extra.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn overrides(&self, names: &BTreeSet<String>) -> bool {
        names.iter().any(|name| self.own.contains_key(name.as_str()) || self.extra(name).is_some())
    }
}

const INVALID: &str = "vars/invalid-value";
const MISSING: &str = "vars/missing-value";
const NOWHERE: Span = Span { file: crate::diag::FileId(0), start: 0, len: 0 };

impl Slot {
    fn new(asked: Var) -> Self {
        Self { span: asked.span, asked: Var { value: None, ..asked }, stack: Vec::new(), secret: false }
    }

    /// A name that comes with its value from outside the Envfile, or a secret: any text will do.
    fn untyped(name: &str, span: Span) -> Self {
        Self::new(Var {
            name: name.into(),
            span,
            ty: None,
            value: None,
            constraints: Constraints::default(),
            optional: false,
            desc: None,
        })
    }

    fn lay(&mut self, layer: Layer, var: &Var) {
        self.asked = var.over(&self.asked);
        if let Some(value) = self.asked.value.take() {
            self.stack.push(Definition {
                text: value.value.to_string().into(),
                interpolated: matches!(value.value, Value::String(_)),
                origin: Origin { layer, span: Some(value.span) },
            });
        }
    }
}

fn declare(slots: &mut IndexMap<VarName, Slot>, layer: &Layer, scope: &Scope) {
    for var in scope.vars.values() {
        if matches!(&var.value, Some(value) if value.value == Value::Null) {
            slots.shift_remove(&var.name);
            continue;
        }
        slots.entry(var.name.clone()).or_insert_with(|| Slot::new(var.clone())).lay(layer.clone(), var);
    }
    for (name, &span) in &scope.secrets {
        slots.entry(name.clone()).or_insert_with(|| Slot::untyped(name.as_str(), span)).secret = true;
    }
}

fn load_dotenv(slots: &mut IndexMap<VarName, Slot>, file: &DotenvFile) {
    for entry in &file.entries {
        let origin = Origin { layer: Layer::Dotenv(file.path.clone()), span: Some(entry.span) };
        let slot =
            slots.entry(entry.name.as_str().into()).or_insert_with(|| Slot::untyped(&entry.name, entry.span));
        slot.stack.push(Definition { text: entry.value.as_str().into(), interpolated: false, origin });
    }
}

/// Resolves names on demand, each once; a ring of names ends in a diagnostic, not in a loop.
struct Resolver<'a> {
    values: &'a Values,
    task: Option<&'a TaskValues>,
    done: HashMap<VarName, Resolved>,
    /// What is being resolved: a name, and how many layers of it are left.
    open: Vec<(VarName, usize)>,
}

impl<'a> Resolver<'a> {
    fn new(values: &'a Values, task: Option<&'a TaskValues>) -> Self {
        Self { values, task, done: HashMap::new(), open: Vec::new() }
    }

    fn resolve(&mut self, name: &str) -> Resolved {
        if let Some(done) = self.done.get(name) {
            return done.clone();
        }
        if let Some(task) = self.task {
            if let Some(text) = task.extra(name) {
                let origin = Origin { layer: Layer::Given, span: None };
                return Resolved::plain(Lookup::Value { text: text.into(), origin, secret: false });
            }
            // What the task does not touch is as the project has it.
            if !task.own.contains_key(name)
                && let Some(shared) = self.values.resolved.get(name)
                && !task.overrides(&shared.through)
            {
                return shared.clone();
            }
        }
        let slot = self.task.and_then(|task| task.own.get(name)).or_else(|| self.values.slots.get(name));
        let Some(slot) = slot else { return Resolved::plain(self.values.around(name)) };
        let resolved = self.slot(name, slot, slot.stack.len());
        self.done.insert(name.into(), resolved.clone());
        resolved
    }

    /// The value of `slot` as its lowest `layers` have it.
    fn slot(&mut self, name: &str, slot: &Slot, layers: usize) -> Resolved {
        if self.open.iter().any(|(open, left)| open.as_str() == name && *left == layers) {
            let message = format!("`{name}` depends on itself");
            return Resolved::plain(Lookup::Missing(Arc::new(
                Diagnostic::error("vars/cycle", message).at(slot.span, ""),
            )));
        }
        let Some(definition) = layers.checked_sub(1).and_then(|at| slot.stack.get(at)) else {
            return self.without_value(name, slot);
        };
        if matches!(&*definition.text, text if definition.interpolated && text.contains('$')) {
            self.open.push((name.into(), layers));
            let resolved = self.interpolated(name, slot, definition, layers);
            self.open.pop();
            return resolved;
        }
        let through = Arc::default();
        self.checked(name, slot, definition, Arc::clone(&definition.text), slot.secret, through)
    }

    fn interpolated(&mut self, name: &str, slot: &Slot, definition: &Definition, layers: usize) -> Resolved {
        let mut secret = slot.secret;
        let mut missing = None;
        let mut through = BTreeSet::new();
        for mention in mentions(&definition.text, Form::Text) {
            through.insert(mention.name.to_owned());
        }
        let mut lookup = |mentioned: &str| {
            let found =
                if mentioned == name { self.slot(name, slot, layers - 1) } else { self.resolve(mentioned) };
            through.extend(found.through.iter().cloned());
            match found.lookup {
                Lookup::Value { text, secret: inner, .. } => {
                    secret |= inner;
                    Some(text.to_string())
                }
                Lookup::Missing(diagnostic) => {
                    missing = Some(diagnostic);
                    None
                }
                Lookup::Undeclared => None,
            }
        };
        let text = interpolate(&definition.text, Form::Text, &mut lookup);
        through.remove(name);
        // A default saves a name without a value, not one whose value is wrong.
        let text = match missing.take_if(|missing| missing.code == INVALID) {
            Some(wrong) => return Resolved { lookup: Lookup::Missing(wrong), through: Arc::new(through) },
            None => text,
        };
        match text {
            Ok(text) => self.checked(name, slot, definition, text.into(), secret, Arc::new(through)),
            Err(unset) => {
                let diagnostic = missing.unwrap_or_else(|| {
                    let message = format!("`{}` is not set, and `{name}` needs it", unset.0);
                    let span = definition.origin.span.unwrap_or(slot.span);
                    Arc::new(
                        Diagnostic::error(MISSING, message)
                            .at(span, "mentioned here")
                            .help(format!("declare it in `vars`, or write `${{{}:-default}}`", unset.0)),
                    )
                });
                Resolved { lookup: Lookup::Missing(diagnostic), through: Arc::new(through) }
            }
        }
    }

    /// A declared name that no layer gives a value: the caller's shell may have one.
    fn without_value(&self, name: &str, slot: &Slot) -> Resolved {
        if let Some(text) = (self.values.caller)(name) {
            let origin = Origin { layer: Layer::Caller, span: None };
            let definition = Definition { text: text.as_str().into(), interpolated: false, origin };
            return self.checked(name, slot, &definition, text.into(), slot.secret, Arc::default());
        }
        if slot.asked.optional {
            return Resolved::plain(Lookup::Undeclared);
        }
        let diagnostic = if slot.secret {
            Diagnostic::error(MISSING, format!("the secret `{name}` is not set"))
                .at(slot.span, "declared here")
                .help("secret stores are not built yet: set it in the environment that calls envrun")
        } else {
            let place =
                self.values.env.as_ref().map_or(String::new(), |env| format!(" in environment `{env}`"));
            Diagnostic::error(MISSING, format!("`{name}` has no value{place}"))
                .at(slot.span, "declared without a value")
                .help(format!("give it one in an `env` block, in a dotenv file, or with `--set {name}=…`"))
        };
        Resolved::plain(Lookup::Missing(Arc::new(diagnostic)))
    }

    fn checked(
        &self,
        name: &str,
        slot: &Slot,
        definition: &Definition,
        text: Arc<str>,
        secret: bool,
        through: Arc<BTreeSet<String>>,
    ) -> Resolved {
        let origin = definition.origin.clone();
        let lookup =
            match check_value(slot.asked.ty.unwrap_or(VarType::String), &slot.asked.constraints, &text) {
                Ok(()) => Lookup::Value { text, origin, secret },
                Err(violation) => {
                    let shown = if secret { "its value".to_owned() } else { format!("`{text}`") };
                    let message = format!("`{name}` from {}: {shown} {}", origin.layer, violation.message);
                    let declared = violation.span.unwrap_or(slot.span);
                    let mut diagnostic = Diagnostic::error(INVALID, message);
                    if let Some(span) = origin.span.filter(|span| *span != declared) {
                        diagnostic = diagnostic.at(span, "given here");
                    }
                    Lookup::Missing(Arc::new(diagnostic.at(declared, "declared here")))
                }
            };
        Resolved { lookup, through }
    }
}

impl Resolved {
    fn plain(lookup: Lookup) -> Self {
        Self { lookup, through: Arc::default() }
    }
}
