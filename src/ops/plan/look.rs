//! The look at everything that a plan rests on: the same when it is frozen and when it is held against what is there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc;

use crate::base::Digest;
use crate::engine::action::Actions;
use crate::engine::dispatcher;
use crate::engine::surroundings::{Surroundings, state_label};
use crate::event::{NodeState, OutcomeKind};
use crate::fingerprint::{Definition, Need, SecretKey};
use crate::graph::{ConfiguredTask, NodeIx};
use crate::model::{Command, EnvName};
use crate::plan::{Limits, Plan};
use crate::report::Reporters;
use crate::vars::{Lookup, SecretId};

use super::super::deploy::{Foreseen, foresee, words};
use super::super::run::{Ready, Request, secret_key};
use super::super::stage::WorkTree;
use super::super::{Context, Problem, Project};
use super::frozen::{Changes, Deploy, FORMAT, Fate, Frozen, Node, Target, Value};

/// Secrets of environments that a dry run made up: nobody knows yet what they will be.
pub(super) type Pretended = BTreeSet<(Option<EnvName>, SecretId)>;

/// Stands for what a node will make, as long as nobody can know it.
const UNKNOWN: Digest = Digest([0xff; 32]);

/// Looks at everything that the run of `ready` rests on. Executes nothing but `when` and `done`. What a plan that was
/// made before takes for granted of the outputs of its nodes, `known`, is taken for granted here too: its pins see to it.
pub(super) fn look(
    context: &Context,
    project: &Project,
    ready: &Ready,
    request: &Request,
    known: Option<&Frozen>,
    pretended: &Pretended,
) -> Result<(Frozen, Vec<Foreseen>), Problem> {
    let limits = Limits { dry_run: true, ..ready.plan.limits.clone() };
    let mut plan = Plan { limits, ..ready.plan.clone() };
    let foreseen = foresee(project, &mut plan, &ready.store, ready.run.as_str())?;
    let around = Surroundings { write_cache: None, ..ready.surroundings(context, project, request) };
    let actions = Actions::new(&plan, &around);
    let mut silent = Reporters::new(context.clock.clone());
    silent.redact(&context.redactor);
    silent.tell(crate::event::Event::RunStarted(super::super::run::started(
        &plan, &ready.run, project, request,
    )));
    let (send, receive) = mpsc::channel();
    dispatcher::run(&plan, &actions, around.processes, (send, &receive), &mut silent);

    let run = OfThisRun::of(&plan);
    let key = secret_key(&context.cache_dir)?;
    let mut nodes = Vec::new();
    for (ix, node) in plan.graph.iter() {
        let fate = match silent.state().state(ix) {
            Some(NodeState::Over(kind)) => fate(kind),
            _ => Fate::Unknown,
        };
        let outputs = actions.outputs(ix);
        let needs = plan.graph.needs(ix).map(|need| {
            let label = &plan.graph[need].label;
            let outputs = match known {
                Some(known) => known
                    .node(&state_label(&plan.graph[need]))
                    .and_then(|need| Digest::from_hex(need.outputs.as_deref()?)),
                None => actions.outputs(need),
            };
            Need { label: label.clone(), outputs: outputs.unwrap_or(UNKNOWN) }
        });
        let manifest = (!node.is_group()).then(|| manifest(&around, node, &run, &needs.collect::<Vec<_>>()));
        let deploy = foreseen.iter().find(|(at, _)| *at == ix).map(|(_, foreseen)| deploy(foreseen));
        let redacted = |texts: Vec<String>| -> Vec<String> {
            texts.iter().map(|text| context.redactor.text(text).into_owned()).collect()
        };
        let because = if fate == Fate::Run { because(&actions, ix, &foreseen) } else { Vec::new() };
        nodes.push(Node {
            label: state_label(node),
            kind: node.kind().to_owned(),
            fate,
            because: redacted(because),
            commands: if fate == Fate::Run { redacted(actions.commands(ix)) } else { Vec::new() },
            outputs: outputs.map(|outputs| outputs.to_hex()),
            manifest: manifest.flatten(),
            deploy,
        });
    }
    let reads_anything = plan.graph.iter().any(|(_, node)| !node.is_group() && !node.task.is_cacheable());
    // What is not under version control counts only where it is named.
    let tree = WorkTree::look(project.root(), &|_| true, context.clock.now()).ok();
    let changes = tree.as_ref().filter(|_| reads_anything);
    let who = super::super::deploy::who(context, project.root());
    let mut frozen = Frozen {
        format: FORMAT,
        envrun: env!("CARGO_PKG_VERSION").to_owned(),
        made: context.clock.now(),
        who: format!("{}@{}", who.user, who.host),
        project: project.envfile().name.as_ref().map(|name| name.value.clone()).unwrap_or_default(),
        targets: request
            .targets
            .iter()
            .map(|target| Target { name: target.name.clone(), args: target.args.clone() })
            .collect(),
        env: request.env.clone(),
        set: request.set.clone(),
        key: secret(&key, b"envrun plan"),
        revision: tree.as_ref().map(|tree| tree.revision.clone()),
        changes: changes.map(|tree| Changes { digest: tree.changes.clone(), paths: tree.changed.clone() }),
        texts: texts(project),
        values: values(&plan, &key, &run, pretended),
        live: foreseen
            .iter()
            .map(|(ix, foreseen)| (plan.graph[*ix].label.clone(), foreseen.live.clone()))
            .collect(),
        nodes,
        digest: String::new(),
    };
    frozen.digest = frozen.sum();
    Ok((frozen, foreseen.into_iter().map(|(_, foreseen)| foreseen).collect()))
}

/// Texts that are others in every run: they say nothing of what a plan rests on.
struct OfThisRun {
    texts: Vec<String>,
}

impl OfThisRun {
    fn of(plan: &Plan) -> Self {
        let values = plan.graph.iter().map(|(_, node)| &node.values).next();
        let given = ["ENVRUN_RUN", "ENVRUN_TIME"].into_iter();
        let texts = values.into_iter().flat_map(|values| {
            given.clone().filter_map(|name| Some(values.lookup(name).text()?.to_string()))
        });
        Self { texts: texts.collect() }
    }

    fn without(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for one in &self.texts {
            if text.contains(one.as_str()) {
                text = text.replace(one.as_str(), "\0");
            }
        }
        text
    }
}

fn fate(kind: OutcomeKind) -> Fate {
    match kind {
        OutcomeKind::UpToDate => Fate::UpToDate,
        OutcomeKind::Restored => Fate::Restored,
        OutcomeKind::AlreadyDone => Fate::Done,
        OutcomeKind::Skipped => Fate::Skipped,
        OutcomeKind::Grouped => Fate::Group,
        OutcomeKind::WouldRun | OutcomeKind::Succeeded | OutcomeKind::Up | OutcomeKind::AlreadyUp => {
            Fate::Run
        }
        OutcomeKind::Failed | OutcomeKind::Blocked | OutcomeKind::Cancelled => Fate::Unknown,
    }
}

fn because(actions: &Actions<'_>, ix: NodeIx, foreseen: &[(NodeIx, Foreseen)]) -> Vec<String> {
    match foreseen.iter().find(|(at, _)| *at == ix) {
        None => actions.reasons(ix),
        Some((_, Foreseen { env, live, revision: Ok(revision), .. })) => {
            let name = words::short(revision);
            vec![match live {
                Some((_, live)) if live == revision => {
                    format!("revision {name} goes live in `{env}` once more")
                }
                Some((_, live)) => format!("`{env}` goes from revision {} to {name}", words::short(live)),
                None => format!("revision {name} goes live in `{env}`"),
            }]
        }
        Some(_) => Vec::new(),
    }
}

fn deploy(foreseen: &Foreseen) -> Deploy {
    Deploy {
        revision: foreseen.revision.as_ref().ok().cloned(),
        ships: foreseen.ships.clone(),
        from: foreseen.from.clone(),
        back_to: foreseen.back_to.clone(),
        snapshots: foreseen.snapshots.clone(),
        verify: foreseen.verify.clone(),
    }
}

/// Everything that goes into a node's key, secrets apart: they are among the values. A node without a key has what would
/// go into one.
fn manifest(
    around: &Surroundings<'_>,
    node: &ConfiguredTask,
    run: &OfThisRun,
    needs: &[Need],
) -> Option<String> {
    // Without the values that are missing: a secret is missing before the guards hold.
    let scene = around.scene_of_guards(node);
    let mut definition = around.definition(node, &scene).ok()?;
    definition.variables.retain(|variable| !variable.secret);
    let plain = |name: &str| !matches!(scene.values.lookup(name), Lookup::Missing(_));
    definition.variables.retain(|variable| plain(&variable.name));
    let Definition { commands, variables, .. } = &mut definition;
    for variable in variables {
        let text = variable.value.as_ref().and_then(|value| std::str::from_utf8(value).ok());
        let text = text.map(|text| run.without(text));
        variable.value = text.map(String::into_bytes).or(variable.value.take());
    }
    for command in commands {
        match command {
            Command::Shell(text) => *text = run.without(text),
            Command::Argv(words) => words.iter_mut().for_each(|word| *word = run.without(word)),
        }
    }
    let prepared = around.workspace.prepare(&definition).ok()?;
    let fingerprint = around.workspace.fingerprint(&prepared, needs).ok()?;
    let bytes = around.workspace.manifest(&prepared, &fingerprint).encode();
    Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The digest of every text of the Envfile.
fn texts(project: &Project) -> BTreeMap<String, String> {
    let files = project.sources().files().iter();
    // dotenv files are among the texts when something of them is wrong; their values are compared one by one.
    let of_envfile = files.filter(|file| file.path.extension().is_some_and(|extension| extension == "kdl"));
    of_envfile
        .map(|file| {
            let path = file.path.strip_prefix(project.root()).unwrap_or(&file.path);
            (path.display().to_string(), Digest::of(file.text().as_bytes()).to_hex())
        })
        .collect()
}

/// The digest of every declared value that is known, by environment and project.
fn values(
    plan: &Plan,
    key: &SecretKey,
    run: &OfThisRun,
    pretended: &Pretended,
) -> BTreeMap<String, BTreeMap<String, Value>> {
    let mut found: BTreeMap<String, BTreeMap<String, Value>> = BTreeMap::new();
    for (_, node) in plan.graph.iter() {
        let (env, project) = (node.values.env(), node.values.project().as_str());
        let scope = match (env, project) {
            (Some(env), "") => env.to_string(),
            (Some(env), project) => format!("{env}.{project}"),
            (None, project) => project.to_owned(),
        };
        if found.contains_key(&scope) {
            continue;
        }
        let mut names = BTreeMap::new();
        for (name, lookup) in node.values.iter() {
            let Lookup::Value { text, secret: is_secret, .. } = lookup else { continue };
            let is_made_up = |id| pretended.contains(&(env.cloned(), id));
            if *is_secret && node.values.secrets_of(name.as_str()).into_iter().any(is_made_up) {
                continue;
            }
            let text = run.without(text);
            let digest =
                if *is_secret { secret(key, text.as_bytes()) } else { Digest::of(text.as_bytes()).short() };
            names.insert(name.to_string(), Value { secret: *is_secret, digest });
        }
        found.insert(scope, names);
    }
    found
}

/// What tells a secret from others, for whoever has the key.
fn secret(key: &SecretKey, text: &[u8]) -> String {
    Digest(*blake3::keyed_hash(&key.0, text).as_bytes()).short()
}
