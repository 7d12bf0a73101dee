//! The values of a project in an environment.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use indexmap::IndexMap;

use crate::diag::{Diagnostic, Span, did_you_mean};
use crate::model::{EnvName, ProjectName, Var, VarName};

use super::lookup::{Layer, Lookup, Origin};
use super::request::{Request, Source, scopes};
use super::resolver::{INVALID, Resolved, Resolver};
use super::sealed::Opened;
use super::slot::{Definition, NOWHERE, Slot, declare, load_dotenv};

/// The values of one project in one environment. Cheap to share, never changed.
pub struct Values {
    pub(super) project: ProjectName,
    pub(super) env: Option<EnvName>,
    /// The values of the project around it, for names that it does not declare itself.
    pub(super) outer: Option<Arc<Values>>,
    pub(super) slots: IndexMap<VarName, Slot>,
    /// Every name, as long as no store was asked.
    pub(super) sealed: HashMap<VarName, Resolved>,
    /// Every name, with what stores said.
    pub(super) opened: OnceLock<Opened>,
    pub(super) given: Source,
    pub(super) caller: Source,
}

/// What is declared of a name.
#[derive(Debug, Clone, Copy)]
pub struct Declaration<'a> {
    /// Its type, constraints and description, every layer's declaration laid over the one below.
    pub asked: &'a Var,
    /// It is declared among `secrets`.
    pub secret: bool,
    /// Where it is first declared.
    pub span: Span,
    /// The text of its value, if that is built from others: with its `${NAME}`.
    pub built: Option<&'a str>,
}

impl Values {
    /// Resolves every name that the project can see in the environment. What is said is what is wrong with values from
    /// outside the Envfile, and with values that are known only now; a name without a value is not wrong yet.
    pub fn resolve(request: &Request<'_>) -> (Self, Vec<Diagnostic>) {
        let values = Self::layered(request, false);
        let mut diagnostics = Vec::new();
        for (name, resolved) in values.resolved() {
            if let Lookup::Missing(diagnostic) = &resolved.lookup
                && diagnostic.code == INVALID
            {
                diagnostics.push((values.slots.get_index_of(name), Diagnostic::clone(diagnostic)));
            }
        }
        diagnostics.sort_by_key(|(at, _)| *at);
        (values, diagnostics.into_iter().map(|(_, diagnostic)| diagnostic).collect())
    }

    pub(super) fn layered(request: &Request<'_>, without_dotenv: bool) -> Self {
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
            sealed: HashMap::new(),
            opened: OnceLock::new(),
            given: Arc::clone(&request.given),
            caller: Arc::clone(&request.caller),
        };
        let mut resolver = Resolver::new(&values, None);
        for name in values.slots.keys() {
            resolver.resolve(name.as_str());
        }
        values.sealed = resolver.done;
        values
    }

    /// Every name that the project declares, as it is known now.
    pub(super) fn resolved(&self) -> &HashMap<VarName, Resolved> {
        self.opened.get().map_or(&self.sealed, |opened| &opened.resolved)
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
        self.resolved().get(name).map_or_else(|| self.around(name), |resolved| resolved.lookup.clone())
    }

    /// What a name that the project does not declare stands for.
    pub(super) fn around(&self, name: &str) -> Lookup {
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

    /// What is asked of a name, if it is declared: by this project, or by one around it.
    pub fn declared(&self, name: &str) -> Option<Declaration<'_>> {
        match self.slots.get(name) {
            Some(slot) => Some(Declaration {
                asked: &slot.asked,
                secret: slot.secret,
                span: slot.span,
                built: slot
                    .stack
                    .last()
                    .filter(|top| top.interpolated && top.text.contains('$'))
                    .map(|top| &*top.text),
            }),
            None => self.outer.as_ref()?.declared(name),
        }
    }

    /// What a name stands for, if the project declares it itself.
    pub fn lookup_own(&self, name: &VarName) -> Option<&Lookup> {
        self.resolved().get(name).map(|resolved| &resolved.lookup)
    }

    /// Every name that the project declares itself, with what it stands for.
    pub fn own(&self) -> impl Iterator<Item = (&VarName, &Lookup)> {
        self.slots.keys().filter_map(|name| Some((name, &self.resolved().get(name)?.lookup)))
    }

    /// Every declared name, those of the projects around first, with what it stands for.
    pub fn iter(&self) -> Box<dyn Iterator<Item = (&VarName, &Lookup)> + '_> {
        let around = self.outer.iter().flat_map(|outer| outer.iter());
        Box::new(around.filter(|(name, _)| !self.slots.contains_key(*name)).chain(self.own()))
    }

    /// Whether an Envfile or a dotenv file declares a name.
    pub fn is_declared(&self, name: &str) -> bool {
        self.slot(&VarName::from(name)).is_some()
    }

    /// What is declared of a name, here or in a project around.
    pub(super) fn slot(&self, name: &VarName) -> Option<&Slot> {
        self.slots.get(name).or_else(|| self.outer.as_ref()?.slot(name))
    }

    /// The value that `--set` gives a name, if it gives one.
    pub(super) fn set(&self, name: &VarName) -> Option<&Definition> {
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
