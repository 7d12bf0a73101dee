//! Secrets among the values: which of them something depends on, and what stores say of them.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, OnceLock};

use crate::model::{ProjectName, VarName};

use super::lookup::Layer;
use super::resolver::{Resolved, Resolver};
use super::task_values::TaskValues;
use super::values::Values;

/// The code of a value that is missing only because no store was asked yet.
pub const SEALED: &str = "vars/sealed-secret";

/// A secret, by the project that declares it.
pub type SecretId = (ProjectName, VarName);

/// What is known of a secret when its store was asked.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// It is there.
    Value {
        /// What it is.
        text: Arc<str>,
        /// Who has it.
        layer: Layer,
    },
    /// It is not there.
    Absent {
        /// What to do about it; `None` for one that may be missing.
        help: Option<String>,
    },
}

/// Every value, with what stores said.
#[derive(Debug)]
pub(super) struct Opened {
    answers: HashMap<VarName, Answer>,
    pub(super) resolved: HashMap<VarName, Resolved>,
}

impl Values {
    /// Hands in what stores have, for this project and those around it. `answer` is asked once for each secret that no
    /// other layer gives a value; for what it does not know, everything stays as it is. Only the first call counts.
    pub fn open(&self, answer: &mut dyn FnMut(&SecretId) -> Option<Answer>) {
        if let Some(outer) = &self.outer {
            outer.open(answer);
        }
        if self.opened.get().is_some() {
            return;
        }
        let mut answers = HashMap::new();
        for name in self.own_secrets() {
            if let Some(answer) = answer(&(self.project().clone(), name.clone())) {
                answers.insert(name.clone(), answer);
            }
        }
        // Names of the project around may have become known too, so this is done even when nothing was said.
        let mut resolver = Resolver::opening(self, &answers);
        for name in self.slots.keys() {
            resolver.resolve(name.as_str());
        }
        let resolved = resolver.done;
        // Whoever was quicker said the same.
        let _ = self.opened.set(Opened { answers, resolved });
    }

    /// The same as nobody has asked stores for: what is opened there stays closed here.
    pub fn closed(&self) -> Self {
        Self {
            project: self.project().clone(),
            env: self.env.clone(),
            outer: self.outer.as_ref().map(|outer| Arc::new(outer.closed())),
            slots: self.slots.clone(),
            sealed: self.sealed.clone(),
            opened: OnceLock::new(),
            given: Arc::clone(&self.given),
            caller: Arc::clone(&self.caller),
        }
    }

    /// Whether stores were asked.
    pub fn is_open(&self) -> bool {
        self.opened.get().is_some()
    }

    pub(super) fn answers(&self) -> Option<&HashMap<VarName, Answer>> {
        self.opened.get().map(|opened| &opened.answers)
    }

    /// The secrets that the project declares and that no other layer gives a value.
    fn own_secrets(&self) -> impl Iterator<Item = &VarName> {
        self.slots.iter().filter(|(_, slot)| slot.secret && slot.stack.is_empty()).map(|(name, _)| name)
    }

    /// Every secret that can be seen here and that only a store can give: those of the projects around first.
    pub fn secrets(&self) -> Vec<SecretId> {
        let mut found = self.outer.as_ref().map(|outer| outer.secrets()).unwrap_or_default();
        found.retain(|(_, name)| !self.slots.contains_key(name));
        found.extend(self.own_secrets().map(|name| (self.project().clone(), name.clone())));
        found
    }

    /// The secrets that the value of `name` depends on, itself included.
    pub fn secrets_of(&self, name: &str) -> BTreeSet<SecretId> {
        let mut found = BTreeSet::new();
        self.secrets_behind(name, &mut found);
        found
    }

    /// The secrets that the value of `name` depends on.
    fn secrets_behind(&self, name: &str, found: &mut BTreeSet<SecretId>) {
        let Some(slot) = self.slots.get(name) else {
            if let Some(outer) = &self.outer {
                outer.secrets_behind(name, found);
            }
            return;
        };
        if slot.secret && slot.stack.is_empty() {
            found.insert((self.project().clone(), name.into()));
        }
        for name in self.resolved().get(name).into_iter().flat_map(|resolved| resolved.through.iter()) {
            match self.slots.get(name.as_str()) {
                Some(slot) if slot.secret && slot.stack.is_empty() => {
                    found.insert((self.project().clone(), name.as_str().into()));
                }
                Some(_) => {}
                None => self.secrets_behind(name, found),
            }
        }
    }
}

impl TaskValues {
    /// The secrets that the values of these names depend on.
    pub fn secrets<'n>(&self, names: impl IntoIterator<Item = &'n str>) -> BTreeSet<SecretId> {
        let mut found = BTreeSet::new();
        let mut resolver = Resolver::new(self.values(), Some(self));
        for name in names {
            if self.own.contains_key(name) {
                for name in
                    resolver.resolve(name).through.iter().filter(|name| !self.own.contains_key(name.as_str()))
                {
                    self.values().secrets_behind(name, &mut found);
                }
            }
            // A task's own variable of a secret's name may mention the secret itself.
            self.values().secrets_behind(name, &mut found);
        }
        found
    }
}
