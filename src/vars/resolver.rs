//! From layers of texts to values: each name once, on demand.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::diag::Diagnostic;
use crate::model::{VarName, VarType, check_value};

use super::interpolate::{Form, interpolate, mentions};
use super::lookup::{Layer, Lookup, Origin};
use super::sealed::{Answer, SEALED};
use super::slot::{Definition, Slot};
use super::task_values::TaskValues;
use super::values::Values;

/// The code of a value that is not what its variable may hold.
pub const INVALID: &str = "vars/invalid-value";
/// How long a chain of variables that mention each other may be: nobody writes longer ones, and every link costs stack.
const MAX_DEPTH: usize = 200;
const MISSING: &str = "vars/missing-value";

#[derive(Debug, Clone)]
pub(super) struct Resolved {
    pub(super) lookup: Lookup,
    /// Every name that the value depends on, itself excluded.
    pub(super) through: Arc<BTreeSet<String>>,
}

/// Resolves names on demand, each once; a ring of names ends in a diagnostic, not in a loop.
pub(super) struct Resolver<'a> {
    values: &'a Values,
    task: Option<&'a TaskValues>,
    /// What stores said; `None` as long as they were not asked.
    answers: Option<&'a HashMap<VarName, Answer>>,
    pub(super) done: HashMap<VarName, Resolved>,
    /// What is being resolved: a name, and how many layers of it are left.
    open: Vec<(VarName, usize)>,
}

impl<'a> Resolver<'a> {
    pub(super) fn new(values: &'a Values, task: Option<&'a TaskValues>) -> Self {
        Self { values, task, answers: values.answers(), done: HashMap::new(), open: Vec::new() }
    }

    /// The same, with what stores say.
    pub(super) fn opening(values: &'a Values, answers: &'a HashMap<VarName, Answer>) -> Self {
        Self { answers: Some(answers), ..Self::new(values, None) }
    }

    pub(super) fn resolve(&mut self, name: &str) -> Resolved {
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
                && let Some(shared) = self.values.resolved().get(name)
                && !task.overrides(&shared.through)
            {
                return shared.clone();
            }
        }
        let slot = self.task.and_then(|task| task.own.get(name)).or_else(|| self.values.slots.get(name));
        let Some(slot) = slot else { return self.around(name) };
        let resolved = self.slot(name, slot, slot.stack.len());
        self.done.insert(name.into(), resolved.clone());
        resolved
    }

    /// A name that the project does not declare: what is laid over the task's values reaches those of the projects around
    /// it too.
    fn around(&self, name: &str) -> Resolved {
        match (self.task.and_then(TaskValues::around), &self.values.outer) {
            (Some(task), Some(outer)) => Resolver::new(outer, Some(&task)).resolve(name),
            (None, Some(outer)) => match outer.resolved().get(name) {
                Some(resolved) => resolved.clone(),
                None => Resolver::new(outer, None).around(name),
            },
            (_, None) => Resolved::plain(self.values.around(name)),
        }
    }

    /// The value of `slot` as its lowest `layers` have it.
    fn slot(&mut self, name: &str, slot: &Slot, layers: usize) -> Resolved {
        if self.open.iter().any(|(open, left)| open.as_str() == name && *left == layers) {
            let message = format!("`{name}` depends on itself");
            return Resolved::plain(Lookup::Missing(Arc::new(
                Diagnostic::error("vars/cycle", message).at(slot.span, ""),
            )));
        }
        if self.open.len() > MAX_DEPTH {
            let message = format!("`{name}` depends on others more than {MAX_DEPTH} deep");
            return Resolved::plain(Lookup::Missing(Arc::new(
                Diagnostic::error("vars/depth", message).at(slot.span, ""),
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
        // A default saves a name without a value, not one whose value is wrong or not known yet.
        let text = match missing.take_if(|missing| [INVALID, SEALED].contains(&missing.code)) {
            Some(wrong) => return Resolved { lookup: Lookup::Missing(wrong), through: Arc::new(through) },
            None => text,
        };
        match text {
            Ok(text) => self.checked(name, slot, definition, text.into(), secret, Arc::new(through)),
            Err(unset) => {
                let diagnostic = missing.unwrap_or_else(|| {
                    let message = format!("`{}` is not set, and `{name}` needs it", unset.0);
                    let span = definition.origin.span.unwrap_or(slot.span);
                    Arc::new(Diagnostic::error(MISSING, message).at(span, "mentioned here").help(format!(
                        "declare it in `vars`, or write `${{{0}:-default}}`; `$${0}` is the text itself",
                        unset.0
                    )))
                });
                Resolved { lookup: Lookup::Missing(diagnostic), through: Arc::new(through) }
            }
        }
    }

    /// A declared name that no layer gives a value: the caller's shell may have one.
    fn without_value(&self, name: &str, slot: &Slot) -> Resolved {
        if slot.secret {
            return self.secret(name, slot);
        }
        if let Some(text) = (self.values.caller)(name) {
            let origin = Origin { layer: Layer::Caller, span: None };
            let definition = Definition { text: text.as_str().into(), interpolated: false, origin };
            return self.checked(name, slot, &definition, text.into(), slot.secret, Arc::default());
        }
        if slot.asked.optional {
            return Resolved::plain(Lookup::Undeclared);
        }
        let place = self.values.env.as_ref().map_or(String::new(), |env| format!(" in environment `{env}`"));
        let diagnostic = Diagnostic::error(MISSING, format!("`{name}` has no value{place}"))
            .at(slot.span, "declared without a value")
            .help(format!("give it one in an `env` block, in a dotenv file, or with `--set {name}=…`"));
        Resolved::plain(Lookup::Missing(Arc::new(diagnostic)))
    }

    /// A secret, as far as stores were asked.
    fn secret(&self, name: &str, slot: &Slot) -> Resolved {
        let diagnostic = match self.answers.and_then(|answers| answers.get(name)) {
            Some(Answer::Value { text, layer }) => {
                let origin = Origin { layer: layer.clone(), span: None };
                let definition = Definition { text: Arc::clone(text), interpolated: false, origin };
                return self.checked(name, slot, &definition, Arc::clone(text), true, Arc::default());
            }
            Some(Answer::Absent { help: None }) => return Resolved::plain(Lookup::Undeclared),
            Some(Answer::Absent { help: Some(help) }) => {
                Diagnostic::error(MISSING, format!("the secret `{name}` is not set")).help(help.clone())
            }
            None => Diagnostic::error(SEALED, format!("the secret `{name}` was not read")),
        };
        Resolved::plain(Lookup::Missing(Arc::new(diagnostic.at(slot.span, "declared here"))))
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
