//! Small Envfiles in memory, and what their values come to.

mod dotenv;
mod precedence;
mod reads;
mod text;
mod values;
mod write;

use std::sync::Arc;

use indexmap::IndexMap;

use super::{DotenvFile, Lookup, Request, Values};
use crate::base::RelPath;
use crate::diag::{FileId, Span, Spanned};
use crate::model::{
    Action, CacheMode, Constraints, EnvName, Envfile, Environment, Project, ProjectName, Task, Value, Var,
    VarName,
};

const HERE: Span = Span { file: FileId(0), start: 0, len: 0 };

fn var(name: &str, value: Option<Value>) -> Var {
    Var {
        name: name.into(),
        span: HERE,
        ty: None,
        value: value.map(|value| Spanned::new(value, HERE)),
        constraints: Constraints::default(),
        optional: false,
        desc: None,
    }
}

/// `A=text`, `A` (no value), `A!` (taken away).
fn vars(rows: &[&str]) -> IndexMap<VarName, Var> {
    let rows = rows.iter().map(|row| {
        let var = match row.split_once('=') {
            Some((name, text)) => var(name, Some(Value::String(text.into()))),
            None => match row.strip_suffix('!') {
                Some(name) => var(name, Some(Value::Null)),
                None => var(row, None),
            },
        };
        (var.name.clone(), var)
    });
    rows.collect()
}

fn envfile(base: &[&str], environments: &[(&str, &[&str], &[&str])]) -> Envfile {
    let mut envfile = Envfile::default();
    let mut project = Project::default();
    project.base.vars = vars(base);
    for (name, parents, rows) in environments {
        let chain = parents.iter().chain([name]).map(|name| EnvName::from(*name)).collect();
        let env = Environment {
            name: (*name).into(),
            span: HERE,
            desc: None,
            is_abstract: false,
            ephemeral: false,
            chain,
            pattern: crate::model::Pattern::default(),
            made_from: None,
        };
        envfile.environments.insert(env.name.clone(), env);
        project.overlays.entry((*name).into()).or_default().vars = vars(rows);
    }
    envfile.projects.insert(ProjectName::default(), project);
    envfile
}

fn dotenv_file(path: &str, text: &str) -> DotenvFile {
    DotenvFile {
        project: ProjectName::default(),
        path: path.into(),
        optional: false,
        span: HERE,
        entries: super::dotenv::parse(FileId(1), text).0,
    }
}

/// The values of `project`, and what is said of them. The caller has `HOME` and `SHELL_ONLY`.
fn values(
    envfile: &Envfile,
    project: &str,
    env: Option<&str>,
    dotenv: &str,
    set: &[(&str, &str)],
) -> (Arc<Values>, String) {
    let set: Vec<(String, String)> =
        set.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let env = env.map(EnvName::from);
    let request = Request {
        envfile,
        project: &project.into(),
        env: env.as_ref(),
        dotenv: &[dotenv_file(".env", dotenv)],
        set: &set,
        given: Arc::new(|name| (name == "ENVRUN_REVISION").then(|| "abc".into())),
        caller: Arc::new(|name| match name {
            "HOME" => Some("/home/u".into()),
            "SHELL_ONLY" => Some("shell".into()),
            _ => None,
        }),
    };
    let (values, diagnostics) = Values::resolve(&request);
    (Arc::new(values), diagnostics.iter().map(|diagnostic| format!("{}\n", diagnostic.message)).collect())
}

fn show(lookup: &Lookup) -> String {
    match lookup {
        Lookup::Value { text, origin, secret } => {
            format!("{text} ({}{})", origin.layer, if *secret { ", secret" } else { "" })
        }
        Lookup::Missing(diagnostic) => format!("! {}", diagnostic.message),
        Lookup::Undeclared => "-".into(),
    }
}

fn table(values: &Values) -> String {
    values.iter().map(|(name, lookup)| format!("{name}: {}\n", show(lookup))).collect()
}

fn task(vars: IndexMap<VarName, Var>, actions: Vec<Action>) -> Task {
    Task {
        name: "t".into(),
        span: HERE,
        desc: None,
        alias: Vec::new(),
        group: None,
        hidden: false,
        args: Vec::new(),
        when: Vec::new(),
        guard: Vec::new(),
        mutates: false,
        requires: Vec::new(),
        needs: Vec::new(),
        after: Vec::new(),
        uses: Vec::new(),
        inputs: None,
        outputs: None,
        depfile: Vec::new(),
        tools: Vec::new(),
        done: None,
        actions: actions.into_iter().map(|action| Spanned::new(action, HERE)).collect(),
        dir: Spanned::new(".".into(), HERE),
        project_dir: RelPath::root(),
        shell: None,
        vars,
        timeout: None,
        retry: None,
        pool: None,
        interactive: false,
        on_fail: Vec::new(),
        on_success: Vec::new(),
        hint: None,
        sandbox: crate::model::Sandbox::None,
        cache: CacheMode::Auto,
        unbuilt: Vec::new(),
    }
}
