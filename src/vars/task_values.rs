//! The values as one task sees them.

use std::collections::BTreeSet;
use std::sync::Arc;

use indexmap::{IndexMap, IndexSet};

use crate::diag::{Diagnostic, Span};
use crate::model::{Task, Value, VarName, VarType};

use super::interpolate::{Form, interpolate};
use super::lookup::{Layer, Lookup};
use super::resolver::{INVALID, Resolver};
use super::sealed::SEALED;
use super::slot::Slot;
use super::values::Values;

/// The values as one task sees them: its own variables and its arguments over those of its project.
#[derive(Clone)]
pub struct TaskValues {
    values: Arc<Values>,
    pub(super) own: IndexMap<VarName, Slot>,
    extra: Vec<(String, String)>,
}

/// A declared name, with what it stands for.
#[derive(Debug, Clone)]
pub struct Declared {
    /// The name.
    pub name: VarName,
    /// What it may hold; `None` for any text.
    pub ty: Option<VarType>,
    /// It is declared among the secrets.
    pub secret: bool,
    /// What it stands for.
    pub lookup: Lookup,
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

    /// Every name that the Envfile declares for this task, in the order of [`TaskValues::iter`], without its arguments.
    pub fn declared(&self) -> Vec<Declared> {
        let mut resolver = Resolver::new(&self.values, Some(self));
        let mut names: IndexSet<&VarName> = self.values.iter().map(|(name, _)| name).collect();
        names.extend(self.own.keys());
        names
            .into_iter()
            .map(|name| Declared {
                name: name.clone(),
                ty: self.own.get(name).or_else(|| self.values.slot(name)).and_then(|slot| slot.asked.ty),
                secret: self.own.get(name).or_else(|| self.values.slot(name)).is_some_and(|slot| slot.secret),
                lookup: resolver.resolve(name.as_str()).lookup,
            })
            .collect()
    }

    /// Replaces what `text` mentions. The error is ready to be shown; `span` is where the text is written.
    pub fn interpolate(&self, text: &str, form: Form, span: Span) -> Result<String, Arc<Diagnostic>> {
        self.interpolate_with(text, form, span, |_, text, _| text.to_string())
    }

    /// The same, with the name in a secret's place: `${TOKEN}` stays.
    pub fn interpolate_named(&self, text: &str, form: Form, span: Span) -> Result<String, Arc<Diagnostic>> {
        self.interpolate_with(text, form, span, |name, text, secret| {
            if secret { format!("${{{name}}}") } else { text.to_string() }
        })
    }

    fn interpolate_with(
        &self,
        text: &str,
        form: Form,
        span: Span,
        show: impl Fn(&str, &str, bool) -> String,
    ) -> Result<String, Arc<Diagnostic>> {
        let mut missing = None;
        let mut lookup = |name: &str| match self.lookup(name) {
            Lookup::Value { text, secret, .. } => Some(show(name, &text, secret)),
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
                Some(wrong) if [INVALID, SEALED].contains(&wrong.code) => Err(wrong),
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

    /// The values of the project around, with the same laid over them; none if nothing is.
    pub(super) fn around(&self) -> Option<Self> {
        let outer = self.values.outer.as_ref().filter(|_| !self.extra.is_empty())?;
        Some(Self { values: Arc::clone(outer), own: IndexMap::new(), extra: self.extra.clone() })
    }

    pub(super) fn extra(&self, name: &str) -> Option<&str> {
        self.extra.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn overrides(&self, names: &BTreeSet<String>) -> bool {
        names.iter().any(|name| self.own.contains_key(name.as_str()) || self.extra(name).is_some())
    }
}
