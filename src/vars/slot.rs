//! A declared name: what is asked of it, and what each layer gives it.

use std::sync::Arc;

use indexmap::IndexMap;

use crate::diag::Span;
use crate::model::{Constraints, Scope, Value, Var, VarName};

use super::lookup::{Layer, Origin};
use super::request::DotenvFile;

/// One layer's word on a name.
#[derive(Debug, Clone)]
pub(super) struct Definition {
    pub(super) text: Arc<str>,
    /// Whether `${NAME}` in it is replaced: yes for what an Envfile says, no for data from outside.
    pub(super) interpolated: bool,
    pub(super) origin: Origin,
}

/// A declared name.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    /// What is asked of the value: every layer's declaration laid over the one below.
    pub(super) asked: Var,
    /// Where it is first declared.
    pub(super) span: Span,
    /// What each layer says, weakest first.
    pub(super) stack: Vec<Definition>,
    pub(super) secret: bool,
}

pub(super) const NOWHERE: Span = Span { file: crate::diag::FileId(0), start: 0, len: 0 };

impl Slot {
    pub(super) fn new(asked: Var) -> Self {
        Self { span: asked.span, asked: Var { value: None, ..asked }, stack: Vec::new(), secret: false }
    }

    /// A name that comes with its value from outside the Envfile, or a secret: any text will do.
    pub(super) fn untyped(name: &str, span: Span) -> Self {
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

    pub(super) fn lay(&mut self, layer: Layer, var: &Var) {
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

pub(super) fn declare(slots: &mut IndexMap<VarName, Slot>, layer: &Layer, scope: &Scope) {
    for var in scope.vars.values() {
        if matches!(&var.value, Some(value) if value.value == Value::Null) {
            slots.shift_remove(&var.name);
            continue;
        }
        slots.entry(var.name.clone()).or_insert_with(|| Slot::new(var.clone())).lay(layer.clone(), var);
    }
    for (name, row) in &scope.secrets {
        if row.removed {
            slots.shift_remove(name);
            continue;
        }
        slots.entry(name.clone()).or_insert_with(|| Slot::untyped(name.as_str(), row.span)).secret = true;
    }
}

pub(super) fn load_dotenv(slots: &mut IndexMap<VarName, Slot>, file: &DotenvFile) {
    for entry in &file.entries {
        let origin = Origin { layer: Layer::Dotenv(file.path.clone()), span: Some(entry.span) };
        let slot =
            slots.entry(entry.name.as_str().into()).or_insert_with(|| Slot::untyped(&entry.name, entry.span));
        slot.stack.push(Definition { text: entry.value.as_str().into(), interpolated: false, origin });
    }
}
