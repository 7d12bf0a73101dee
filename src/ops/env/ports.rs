//! The ports that environments use, side by side, and where two of them use the same.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use serde::Serialize;

use crate::model::VarType;
use crate::vars::Lookup;

use super::{EnvValues, label};

/// The ports of environments.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct PortTable {
    /// The environments, in the order of the columns.
    pub environments: Vec<String>,
    /// A row for each `(port)` variable.
    pub rows: Vec<PortRow>,
    /// Ports that are used twice.
    pub clashes: Vec<Clash>,
}

/// A `(port)` variable.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct PortRow {
    /// Its name, with its project's if that is not the root.
    pub name: String,
    /// Its value in each environment that gives it one.
    pub ports: IndexMap<String, u16>,
}

/// A port that is used more than once.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Clash {
    /// The port.
    pub port: u16,
    /// `inside` one environment, which cannot work, or `across` some, which cannot be up at the same time.
    pub kind: ClashKind,
    /// By whom: environment and name.
    pub uses: Vec<(String, String)>,
}

/// Whether a clash is one inside an environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClashKind {
    /// Two names of one environment have the same port.
    Inside,
    /// Two environments have the same port.
    Across,
}

/// The ports of `environments`. A port that is built from another variable (`PUBLIC_PORT "${PORT}"`) stands in the table, and
/// clashes with nothing: it is meant to be the same.
pub fn ports(environments: &[EnvValues]) -> PortTable {
    let mut table = PortTable::default();
    let mut rows: IndexMap<String, IndexMap<String, u16>> = IndexMap::new();
    let mut uses: BTreeMap<u16, Vec<(String, String)>> = BTreeMap::new();
    for values in environments {
        let env = values.env.as_ref().map_or_else(|| "project".to_owned(), ToString::to_string);
        table.environments.push(env.clone());
        for (project, values, name, lookup) in values.iter() {
            let Some(declared) = values.declared(name) else { continue };
            let Lookup::Value { text, .. } = lookup else { continue };
            let (Some(VarType::Port), Ok(port)) = (declared.asked.ty, text.parse::<u16>()) else { continue };
            let name = label(project, name);
            rows.entry(name.clone()).or_default().insert(env.clone(), port);
            if declared.built.is_none() {
                uses.entry(port).or_default().push((env.clone(), name));
            }
        }
    }
    table.rows = rows.into_iter().map(|(name, ports)| PortRow { name, ports }).collect();
    for (port, uses) in uses.into_iter().filter(|(_, uses)| uses.len() > 1) {
        let inside =
            uses.iter().enumerate().any(|(at, (env, _))| uses[..at].iter().any(|(other, _)| other == env));
        let kind = if inside { ClashKind::Inside } else { ClashKind::Across };
        table.clashes.push(Clash { port, kind, uses });
    }
    table.clashes.sort_by_key(|clash| (clash.kind, clash.port));
    table
}
