//! What every name stands for in an environment, and where that comes from.

use serde::Serialize;

use crate::diag::SourceMap;
use crate::model::{EnvName, VarType};
use crate::vars::Lookup;

use super::super::Project;
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

/// What every name stands for.
pub fn show(project: &Project, values: &EnvValues) -> Shown {
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
                shown.secret |= !values.secrets_of(name).is_empty();
                shown.desc = declared.and_then(|declared| declared.asked.desc.clone());
                shown
            })
            .collect(),
    }
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
