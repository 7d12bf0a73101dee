//! The words for what keeps a graph from being built.

use crate::diag::{Diagnostic, Span, Spanned};
use crate::model::{Action, ArgKind, ArgSpec, EnvName, Envfile, Node, NodePath, Task};

use super::build::label;
use super::task_graph::{EdgeKind, Occasion, Ring};

/// The code of every ring.
pub(super) const CYCLE: &str = "graph/cycle";
/// Longer rings are cut in the middle.
const MOST_STEPS: usize = 40;
/// The code of everything that no code carries out yet.
pub(super) const NOT_BUILT: &str = "graph/not-built";

/// `` `a`, `b` and `c` ``.
pub(super) fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    match quoted.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// A ring of steps: who, does what, to whom, and where that is written.
pub(super) fn cycle(steps: &[(String, &'static str, String, Span)]) -> Diagnostic {
    // It begins at its earliest place, so that it reads the same wherever it was entered.
    let begin = (0..steps.len()).min_by_key(|&at| steps[at].3).unwrap_or(0);
    let turned: Vec<_> = steps.iter().cycle().skip(begin).take(steps.len()).collect();
    let what = if turned.iter().all(|step| step.1 == turned[0].1) { turned[0].1 } else { "nodes" };
    let mut names: Vec<&str> = turned.iter().chain(turned.first()).map(|step| step.0.as_str()).collect();
    let mut shown: Vec<_> = turned;
    // A ring is shown whole, unless nobody could read it.
    let more = format!("… {} more …", shown.len().saturating_sub(MOST_STEPS));
    if shown.len() > MOST_STEPS {
        let half = MOST_STEPS / 2;
        shown.drain(half..shown.len() - half);
        names.splice(half..names.len() - half - 1, [more.as_str()]);
    }
    let mut diagnostic = Diagnostic::error(CYCLE, format!("{what} in a circle: `{}`", names.join(" → ")));
    for (from, does, to, span) in shown {
        diagnostic = diagnostic.at(*span, format!("`{from}` {does} `{to}`"));
    }
    diagnostic.help("take one of these out: a node cannot wait for itself")
}

/// A ring in which an `after`, `on-fail` or `on-success` takes part.
pub(super) fn ring(ring: &Ring) -> Diagnostic {
    let steps: Vec<_> = ring
        .0
        .iter()
        .rev()
        .map(|(from, to, edge)| {
            // Told as it is written: most words stand at the later node and name the earlier one.
            let does = match edge.kind {
                EdgeKind::Needs => "needs",
                EdgeKind::After => "runs after",
                EdgeKind::FollowUp(Occasion::Failure) => "runs on the failure of",
                EdgeKind::FollowUp(Occasion::Success) => "runs on the success of",
            };
            (to.clone(), does, from.clone(), edge.span)
        })
        .collect();
    cycle(&steps)
}

/// A deploy that ships what its own environment has.
pub(super) fn from_itself(path: &NodePath, from: &Spanned<EnvName>) -> Diagnostic {
    let env = &from.value;
    Diagnostic::error("graph/from-itself", format!("`{env}.{path}` would ship what `{env}` has itself"))
        .at(from.span, "")
        .help(format!(
            "say `from` where it is meant, as in `env \"prod\" {{ deploy \"{}\" {{ from \"{env}\" }} }}`, and not for `{env}` itself",
            path.name
        ))
}

/// A need, or a target, that the environment does not have.
pub(super) fn not_in_environment(
    envfile: &Envfile,
    path: &NodePath,
    env: Option<&EnvName>,
    asked: Option<(String, Span)>,
) -> Diagnostic {
    const CODE: &str = "graph/not-in-environment";
    let concrete = |name: &&EnvName| envfile.concrete_environments().any(|env| env.name == **name);
    let has = envfile.environments_of(path);
    let has: Vec<&str> = has.iter().filter(concrete).map(EnvName::as_str).collect();
    let message = match env {
        Some(env) => format!("environment `{env}` has no node `{path}`"),
        None => format!("`{path}` is not in every environment, and none is named"),
    };
    let help = match has.first() {
        None => match envfile.environments_of(path).iter().find(|name| is_pattern(envfile, name)) {
            Some(pattern) => {
                format!("it is in `{pattern}`: `envrun env create {pattern}` makes one that a run can be in")
            }
            None => format!("no environment that a run can be in has `{path}`"),
        },
        Some(first) if asked.is_some() => {
            let are = list(has.iter().copied());
            let here =
                env.map_or_else(|| "for every environment".to_owned(), |env| format!("in `{env}` too"));
            format!("it is in {are}: write `{first}.{path}` to have that one, or declare it {here}")
        }
        Some(_) => {
            let addresses: Vec<String> = has.iter().map(|env| format!("{env}.{path}")).collect();
            format!("there is {}", list(addresses.iter().map(String::as_str)))
        }
    };
    let diagnostic = Diagnostic::error(CODE, message).help(help);
    match asked {
        Some((label, span)) => diagnostic.at(span, format!("named by `{label}`")),
        None => diagnostic,
    }
}

/// Whether an environment is one that others are made from.
fn is_pattern(envfile: &Envfile, name: &EnvName) -> bool {
    envfile.environments.get(name).is_some_and(|env| env.ephemeral && !env.is_abstract)
}

/// A service, deploy or snapshot that a run would need.
pub(super) fn kind_not_built(
    path: &NodePath,
    env: Option<&EnvName>,
    node: &Node,
    asked: Option<(String, Span)>,
) -> Diagnostic {
    let (label, kind) = (label(path, env), node.kind());
    let diagnostic =
        Diagnostic::error(NOT_BUILT, format!("`{label}` is a {kind}, and running one is not built yet"));
    match asked {
        Some((from, span)) => diagnostic
            .at(span, format!("named by `{from}`"))
            .at(node.span(), "declared here")
            .help("until it is, write a `task` that does it"),
        None => diagnostic.at(node.span(), "declared here").help("until it is, write a `task` that does it"),
    }
}

/// Every word of a task that no code carries out yet, and where it stands.
pub(super) fn words_not_built(task: &Task) -> Vec<(&'static str, Span)> {
    let mut found: Vec<(&'static str, Span)> = Vec::new();
    found.extend(task.unbuilt.iter().map(|word| (word.word, word.span)));
    found.extend(task.actions.iter().filter_map(|action| match action.value {
        Action::Unbuilt(word) => Some((word, action.span)),
        _ => None,
    }));
    found
}

/// A word that no code carries out yet.
pub(super) fn word_not_built(word: &str, span: Span, label: &str) -> Diagnostic {
    Diagnostic::error(NOT_BUILT, format!("`{word}` is not built yet"))
        .at(span, format!("`{label}` would need it"))
        .help("take it out, or run something that does not need it")
}

/// The argument that a task cannot do without.
pub(super) fn argument_missing(task: &Task) -> Option<&ArgSpec> {
    task.args.iter().find(|arg| {
        matches!(arg.kind, ArgKind::Positional { repeat: false })
            && arg.default.is_none()
            && arg.env.is_none()
    })
}

/// A task that is needed without the argument that it cannot do without.
pub(super) fn no_argument(path: &NodePath, argument: &ArgSpec, from: &str, span: Span) -> Diagnostic {
    let name = &argument.name.value;
    Diagnostic::error("graph/argument-missing", format!("`{path}` needs a value for its argument `{name}`"))
        .at(span, format!("`{from}` gives none"))
        .at(argument.name.span, "declared without a default")
        .help(format!("give `{name}` a `default=`, or run `{path}` by name"))
}

/// One node asked for twice, with different arguments.
pub(super) fn arguments_differ(label: &str) -> Diagnostic {
    Diagnostic::error(
        "graph/arguments-differ",
        format!("`{label}` is asked for twice, with different arguments"),
    )
    .help("a node runs once in a run: start envrun twice")
}

/// Calls nested too deep to be meant.
pub(super) fn calls_too_deep(label: &str, span: Span, deepest: usize) -> Diagnostic {
    Diagnostic::error("graph/calls-too-deep", format!("calls are nested more than {deepest} deep"))
        .at(span, format!("`{label}` calls one too many"))
        .help("use `needs` for what has to be over before")
}
