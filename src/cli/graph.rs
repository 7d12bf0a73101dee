//! `envrun graph`: the graph as a picture or as data.

use crate::base::fs;
use crate::graph::render;
use crate::ops::run::graph_of;
use crate::ops::target::target;
use crate::ops::{Problem, Project};

use super::args::{GraphArgs, GraphFormat};
use super::{Invocation, terminal};

pub fn run(invocation: &Invocation<'_>, args: &GraphArgs) -> Result<u8, Problem> {
    let mut project = Project::open(invocation.context, invocation.place.file.as_deref())?;
    let envfile = project.envfile();
    let default = envfile.default_env.as_ref().map(|env| env.value.clone());
    let mut targets = Vec::new();
    if args.targets.is_empty() {
        for path in envfile.node_paths() {
            if envfile.node(default.as_ref(), &path).is_some() {
                targets.push(crate::graph::Target {
                    path,
                    env: default.clone(),
                    stage: None,
                    args: Vec::new(),
                });
            }
        }
    }
    for name in &args.targets {
        targets.push(target(envfile, name, default.as_ref())?.0);
    }
    let (graph, _) = graph_of(invocation.context, &mut project, &targets, &[], None)?;
    let envfile = project.envfile();
    let place = |span| project.sources().place(span);
    let text = match args.format {
        GraphFormat::Dot => render::dot(&graph),
        GraphFormat::Mermaid => render::mermaid(&graph),
        GraphFormat::Json => render::json(&graph, &place),
        GraphFormat::Html => {
            let name = envfile.name.as_ref().map(|name| name.value.clone());
            let folder = || project.root().file_name().map(|name| name.to_string_lossy().into_owned());
            render::html(&graph, &name.or_else(folder).unwrap_or_default(), &place)
        }
    };
    match &args.out {
        Some(file) => fs::write_atomic(&invocation.context.cwd.join(file), text.as_bytes())?,
        None => terminal::print(&text)
            .map_err(|source| Problem::System { doing: "write to standard output", source })?,
    }
    Ok(0)
}
