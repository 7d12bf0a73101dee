//! What every name stands for in an environment, and where that comes from.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::diag::{Diagnostic, SourceMap};
use crate::model::{EnvName, ProjectName, SecretSpec, VarType};
use crate::vars::{INVALID, Lookup, SEALED, SecretId};

use super::super::{Problem, Project};
use super::{EnvValues, MASK, layer_word, typed};

/// An environment's values.
#[derive(Debug, Serialize)]
pub struct Shown {
    /// The environment; `None` where none is declared.
    pub environment: Option<String>,
    /// What it is made of, weakest first, itself last.
    pub chain: Vec<String>,
    /// Every declared name.
    pub values: Vec<ShownValue>,
    /// What keeps the rest from being shown: files and stores that cannot be read, values that are not allowed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

/// A name and what it stands for.
#[derive(Debug, Serialize)]
pub struct ShownValue {
    /// The name.
    pub name: String,
    /// The included project that declares it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// Its type: `string`, `int`, `port` …
    #[serde(rename = "type")]
    pub ty: &'static str,
    /// The value, in JSON's own types; `"***"` for a secret; `None` if there is none.
    pub value: Option<serde_json::Value>,
    /// It is a secret, or built from one.
    pub secret: bool,
    /// Where the value comes from.
    pub origin: Option<ShownOrigin>,
    /// Why there is no value, or what is wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Why it is well that there is no value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub desc: Option<String>,
    /// The value as a command sees it; never a secret's.
    #[serde(skip)]
    pub text: Option<String>,
}

/// Where a value comes from.
#[derive(Debug, Serialize)]
pub struct ShownOrigin {
    /// `root`, `dotenv`, `env`, `set`, `caller` …
    pub layer: &'static str,
    /// The same, for people: `environment prod`, `.env`.
    pub from: String,
    /// `file:line`, where it is written in a file.
    pub place: Option<String>,
}

/// What every name stands for, and in words what kept the rest from being known; `guarded` says why a guard kept secrets.
pub fn show(
    project: &Project,
    values: &EnvValues,
    problems: &[Problem],
    guarded: &BTreeMap<ProjectName, String>,
) -> Shown {
    let specs = project.envfile().secrets(values.env.as_ref());
    let is_made = |(owner, name): &SecretId| {
        let is_it = |spec: &&SecretSpec| spec.project == *owner && spec.secret.name == *name;
        specs.iter().find(is_it).is_some_and(|spec| spec.secret.generate.is_some())
    };
    let chain = values.env.as_ref().and_then(|env| project.envfile().environments.get(env));
    Shown {
        environment: values.env.as_ref().map(ToString::to_string),
        chain: chain.map_or_else(Vec::new, |env| env.chain.iter().map(EnvName::to_string).collect()),
        values: values
            .iter()
            .map(|(owner, values, name, lookup)| {
                let declared = values.declared(name);
                let ty = declared.as_ref().and_then(|declared| declared.asked.ty).unwrap_or(VarType::String);
                let mut shown = value(project.sources(), ty, lookup);
                shown.name = name.to_owned();
                shown.project = Some(owner.to_string()).filter(|owner| !owner.is_empty());
                shown.secret |= declared.as_ref().is_some_and(|declared| declared.secret);
                let secrets = values.secrets_of(name);
                shown.secret |= !secrets.is_empty();
                // Stores were asked, and nothing lacks but what the first run makes.
                let is_unmade = |id: &&SecretId| matches!(values.lookup(id.1.as_str()), Lookup::Missing(wrong) if wrong.code != SEALED);
                let mut unmade = secrets.iter().filter(is_unmade).peekable();
                if let (true, Lookup::Missing(wrong), Some((_, first))) = (
                    unmade.clone().all(&is_made),
                    lookup,
                    unmade.peek(),
                ) && wrong.code != INVALID
                    && wrong.code != SEALED
                {
                    let of = if first.as_str() == name { String::new() } else { format!("`{first}` is ") };
                    shown.problem = None;
                    shown.note = Some(format!("{of}not made yet: the first run that wants it makes it"));
                }
                if let (Lookup::Missing(wrong), Some(reason)) = (lookup, guarded.get(owner))
                    && wrong.code == SEALED
                {
                    shown.problem = Some(format!("{}: {reason}", wrong.message));
                }
                shown.desc = declared.and_then(|declared| declared.asked.desc.clone());
                shown
            })
            .collect(),
        problems: problems.iter().flat_map(in_words).collect(),
    }
}

/// A problem as lines of text: what is wrong with a text begins with its place.
pub fn in_words(problem: &Problem) -> Vec<String> {
    let Problem::Diagnostics { diagnostics, sources } = problem else { return vec![problem.to_string()] };
    let line = |wrong: &Diagnostic| match wrong.labels.first() {
        Some(label) => format!("{}: {}", sources.place(label.span), wrong.message),
        None => wrong.message.clone(),
    };
    diagnostics.iter().map(line).collect()
}

fn value(sources: &SourceMap, ty: VarType, lookup: &Lookup) -> ShownValue {
    let mut shown = ShownValue {
        name: String::new(),
        project: None,
        ty: ty.word(),
        value: None,
        secret: false,
        origin: None,
        problem: None,
        note: None,
        desc: None,
        text: None,
    };
    match lookup {
        Lookup::Value { text, origin, secret } => {
            let text: &str = if *secret { MASK } else { text };
            shown.value = Some(if *secret { MASK.into() } else { typed(ty, text) });
            shown.text = Some(text.to_owned());
            shown.secret = *secret;
            shown.origin = Some(ShownOrigin {
                layer: layer_word(&origin.layer),
                from: origin.layer.to_string(),
                place: origin.span.map(|span| sources.place(span)),
            });
        }
        Lookup::Missing(wrong) => shown.problem = Some(wrong.message.clone()),
        Lookup::Undeclared => {}
    }
    shown
}
