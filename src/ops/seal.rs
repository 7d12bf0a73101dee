//! The answer "nothing to do", kept so that it can be given again at a glance.
//!
//! A run that found everything up to date rests on what it looked at: the Envfiles, the caller's variables that somebody
//! asked for, and every file, folder and tool of the checks. All of it is written down under the words of the command
//! line. The next run with the same words looks at all of it again, and nothing else: if nothing moved, the answer is the
//! same, and neither an Envfile is parsed nor a key computed.
//!
//! If files moved, and none of those that tasks are defined by, every task is still defined as it was. What tells its
//! definition from any other is in the seal too, so the run that follows need not work it out for tasks that it finds up
//! to date.
//!
//! Invariant: only what the run's own walk looked at is sealed; where anything else had a say (a condition, a guard, a
//! task that always runs, the time, git, a warning that has to be said again) nothing is sealed. Nor is it where a file that
//! tasks are defined by may have changed after it was read.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::base::codec::{Put, Reader};
use crate::base::{Digest, checksum, fs};
use crate::engine::surroundings::Surroundings;
use crate::event::{self, Event, NodeInfo, NodeSet, Outcome, RunFinished, RunStarted};
use crate::fingerprint::SecretKey;
use crate::fingerprint::seal::{self, Seen};
use crate::graph::{EdgeKind, NodeIx};
use crate::load::Texts;
use crate::plan::{Force, Plan};
use crate::record::{Limits, Recorder, RunId, STATE_DIR};
use crate::report::Reporters;

use super::project::root_file;
use super::run::kept_key;
use super::values::AskedNames;
use super::{Context, Project};

/// The first bytes of a seal, the build's own name among them: another build may come to other answers.
const MAGIC: &str = concat!("envrun seal ", env!("ENVRUN_BUILD"), "\n");
/// How long a seal is good for: now and then a run has to look closer, and notes which results are still of use.
pub(super) const HOLDS: Duration = Duration::from_secs(24 * 60 * 60);
/// How many seals are kept in a project.
const KEPT: usize = 64;

/// An answer that still holds.
#[derive(Debug)]
pub struct Sealed {
    root: PathBuf,
    targets: Vec<String>,
    jobs: usize,
    nodes: Vec<NodeInfo>,
    /// The options of the run among its words.
    pub options: Vec<String>,
}

/// What a run has to know to seal its answer.
pub struct Answer<'a> {
    /// The words of the command line.
    pub words: &'a [String],
    /// Those of them that are options.
    pub options: &'a [String],
    /// What tells a node's definition from any other.
    pub text: &'a dyn Fn(NodeIx) -> Option<Digest>,
    /// What hashes the values of variables: they may be anything, and short.
    pub key: &'a SecretKey,
    /// What an earlier answer was still good for, if the run rested on that.
    pub broken: Option<&'a Broken>,
}

fn path_of(root: &Path, file: &Path, words: &[String]) -> PathBuf {
    let mut key = Vec::new();
    key.put_bytes(file.as_os_str().as_encoded_bytes());
    for word in words {
        key.put_bytes(word.as_bytes());
    }
    root.join(STATE_DIR).join("state/seals").join(Digest::of(&key).short())
}

/// The body of a seal file, if it is whole.
fn whole(bytes: &[u8]) -> Option<&[u8]> {
    let mut reader = Reader::new(bytes);
    (reader.take(MAGIC.len())? == MAGIC.as_bytes()).then_some(())?;
    let sum = reader.u64()?;
    let body = reader.take(reader.len())?;
    (checksum(body) == sum).then_some(body)
}

/// What the body of a seal file says.
pub(super) struct Said<'a> {
    variables: Vec<(&'a str, Digest)>,
    options: Vec<String>,
    targets: Vec<String>,
    jobs: usize,
    /// What the compiled snapshot rested on.
    basis: Option<Digest>,
    nodes: Vec<NodeInfo>,
    /// By node: what tells its definition from any other, if files are all that its result rests on beside it.
    texts: Vec<Option<Digest>>,
    /// For [`seal::holds`].
    pub(super) files: &'a [u8],
}

impl<'a> Said<'a> {
    pub(super) fn read(body: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(body);
        let variables = reader.list(33, |reader| Some((reader.text()?, reader.digest()?)))?;
        let text = |reader: &mut Reader<'_>| reader.text().map(str::to_owned);
        let options = reader.list(1, text)?;
        let targets = reader.list(1, text)?;
        let jobs = usize::try_from(reader.int()?).ok()?;
        let basis = if reader.byte()? != 0 { Some(reader.digest()?) } else { None };
        let mut texts = Vec::new();
        let nodes = reader.list(2, |reader| {
            let flags = reader.byte()?;
            let label = reader.text()?.into();
            let desc = if flags & 4 != 0 { Some(reader.text()?.into()) } else { None };
            texts.push(if flags & 8 != 0 { Some(reader.digest()?) } else { None });
            // A run with services is never sealed: they have to be asked.
            Some(NodeInfo { label, desc, group: flags & 1 != 0, target: flags & 2 != 0, service: false })
        })?;
        let files = reader.bytes()?;
        reader.is_empty().then_some(Self { variables, options, targets, jobs, basis, nodes, texts, files })
    }
}

/// What an answer that does not hold any more is still good for.
#[derive(Debug)]
pub struct Broken {
    /// A moment from before anything was looked at.
    since: SystemTime,
    /// What was seen of the checkout a moment ago.
    pub(super) seen: Seen,
    /// Names of the caller's variables that the definitions of its tasks rest on. Each is what it was.
    names: Vec<String>,
    /// What the compiled snapshot rested on, if all of it still is as it was.
    basis: Option<Digest>,
    /// By node of its graph: the label, and what tells its definition from any other.
    texts: Vec<(Arc<str>, Option<Digest>)>,
}

impl Broken {
    /// What the compiled snapshot rests on, if nothing of that has moved.
    pub fn basis(&self) -> Option<Digest> {
        self.basis
    }

    /// What tells the definitions of a plan's tasks from any others, if all that they are made of is as it was when the
    /// answer was sealed. The Envfiles must have been read by now. What they rest on is noted in `asked`.
    pub(super) fn texts(&self, root: &Path, plan: &Plan, asked: &Asked) -> Option<Vec<Option<Digest>>> {
        let is_same = self.texts.len() == plan.graph.len()
            && plan.graph.iter().zip(&self.texts).all(|((_, node), (label, _))| node.label == **label)
            && self.seen.is_defined_alike(root);
        if !is_same {
            return None;
        }
        // Tasks whose definition is not worked out ask for nothing themselves.
        let mut names = asked.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.extend(self.names.iter().cloned());
        Some(self.texts.iter().map(|(_, text)| *text).collect())
    }
}

/// The answer to these words, if one is sealed and nothing moved since. If only files did, `broken` is what it is still
/// good for.
pub fn sealed(
    context: &Context,
    file: Option<&Path>,
    words: &[String],
    broken: &mut Option<Broken>,
) -> Option<Sealed> {
    let since = SystemTime::now();
    let file = root_file(context, file, &Texts::Disk).ok()?;
    let root = file.parent()?.to_path_buf();
    let mut sealed = File::open(path_of(&root, &file, words)).ok()?;
    let meta = sealed.metadata().ok()?;
    meta.modified().ok()?.elapsed().ok().filter(|age| *age < HOLDS)?;
    let mut bytes = Vec::with_capacity(usize::try_from(meta.len()).ok()?);
    sealed.read_to_end(&mut bytes).ok()?;
    let Said { variables, options, targets, jobs, basis, nodes, texts, files } = Said::read(whole(&bytes)?)?;
    if !variables.is_empty() {
        let key = kept_key(&context.cache_dir)?;
        if variables.iter().any(|(name, value)| value_digest(context, &key, name) != *value) {
            return None;
        }
    }
    let search_path = context.caller.get(OsStr::new("PATH")).map(|path| path.as_os_str()).unwrap_or_default();
    match seal::holds(&root, search_path, files) {
        Ok(()) => Some(Sealed { root, targets, jobs, nodes, options }),
        Err(seen) => {
            let names = variables.into_iter().map(|(name, _)| name.to_owned()).collect();
            let labels = nodes.into_iter().map(|node| node.label);
            let basis = basis.filter(|_| seen.is_defined_alike(&root));
            *broken = Some(Broken { since, seen, names, basis, texts: labels.zip(texts).collect() });
            None
        }
    }
}

/// Tells a run in which everything was up to date.
pub fn tell(context: &Context, sealed: Sealed, mut reporters: Reporters) {
    let begun = Instant::now();
    let recorder = Recorder::create(&sealed.root, &context.clock, Limits::default()).ok();
    let run =
        recorder.as_ref().map_or_else(|| RunId::draw(context.clock.now()), |recorder| recorder.id().clone());
    if let Some(recorder) = recorder {
        reporters.record(recorder);
    }
    let mut up_to_date = NodeSet::default();
    let mut grouped = NodeSet::default();
    for (at, node) in (0..).zip(&sealed.nodes) {
        if node.group { &mut grouped } else { &mut up_to_date }.insert(NodeIx(at));
    }
    reporters.tell(Event::RunStarted(RunStarted {
        format: event::FORMAT,
        run: run.to_string(),
        envrun: env!("CARGO_PKG_VERSION").into(),
        root: sealed.root.display().to_string(),
        targets: sealed.targets,
        jobs: sealed.jobs,
        dry_run: false,
        chosen: None,
        nodes: sealed.nodes.into(),
    }));
    for (nodes, outcome) in [(up_to_date, Outcome::UpToDate), (grouped, Outcome::Grouped)] {
        if !nodes.is_empty() {
            reporters.tell(Event::NodesFinished { nodes, outcome });
        }
    }
    reporters.tell(Event::RunFinished(RunFinished { exit: 0, took: begun.elapsed() }));
}

/// Seals the answer of a run in which everything was up to date, if it rests on nothing but what was looked at.
pub fn seal_answer(
    context: &Context,
    project: &Project,
    plan: &Plan,
    around: &Surroundings<'_>,
    answer: &Answer<'_>,
    started: &RunStarted,
    asked: Asked,
) {
    let file = &project.sources().files()[0].path;
    let path = path_of(around.root, file, answer.words);
    let Some(bytes) = bytes(context, project, plan, around, answer, started, asked) else {
        // An answer that was sealed before does not hold any more, or this run would not have come here.
        let _ = std::fs::remove_file(path);
        return;
    };
    // Only a shortcut: without it the next run walks.
    let _ = fs::write_atomic(&path, &bytes);
    prune(path.parent().unwrap_or(around.root));
}

/// What a run asked of its surroundings beside files.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// Names of the caller's variables, those included that are asked for only when a task's turn comes.
    pub names: AskedNames,
    /// dotenv files.
    pub files: Vec<PathBuf>,
    /// It asked for the time, the revision or the like.
    pub given: Arc<AtomicBool>,
}

fn bytes(
    context: &Context,
    project: &Project,
    plan: &Plan,
    around: &Surroundings<'_>,
    answer: &Answer<'_>,
    started: &RunStarted,
    asked: Asked,
) -> Option<Vec<u8>> {
    let envfile = project.envfile();
    let chosen_by_match = envfile.default_env.is_none()
        && envfile
            .projects
            .values()
            .any(|project| project.overlays.values().any(|scope| !scope.matches.is_empty()));
    let plain = !asked.given.load(Ordering::Relaxed)
        && !chosen_by_match
        && plan.limits.force == Force::Nothing
        && !plan.limits.dry_run
        && project.loaded.diagnostics.is_empty()
        && plan.graph.edges().all(|(_, _, edge)| !matches!(edge.kind, EdgeKind::FollowUp(_)))
        && plan.graph.iter().all(|(_, node)| {
            (node.is_group() || node.task.is_cacheable())
                && node.task.done.is_none()
                && node.task.guard.is_empty()
                && node.task.requires.is_empty()
                && around.when(node).next().is_none()
        });
    if !plain {
        return None;
    }
    let mut names = asked.names.lock().unwrap_or_else(PoisonError::into_inner).clone();
    for target in plan.graph.targets() {
        names.extend(plan.graph[target].task.args.iter().filter_map(|arg| arg.env.clone()));
    }
    let mut files = asked.files;
    files.extend(project.asked.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned());
    // A link on the way counts with its text; what it leads to counts by its own path.
    let real: Vec<PathBuf> = files.iter().filter_map(|file| file.canonicalize().ok()).collect();
    files.extend(real);
    files.retain(|file| file.is_absolute());
    let since = answer.broken.map_or(project.since, |broken| broken.since.min(project.since));
    let sealed = around.workspace.seal(&files, since)?;

    let mut body = Vec::with_capacity(sealed.len() + 64 * started.nodes.len());
    body.put_int(names.len() as u64);
    for name in names {
        body.put_bytes(name.as_bytes());
        body.put_digest(&value_digest(context, answer.key, &name));
    }
    for texts in [answer.options, &started.targets] {
        body.put_int(texts.len() as u64);
        texts.iter().for_each(|text| body.put_bytes(text.as_bytes()));
    }
    body.put_int(started.jobs as u64);
    body.put(&[u8::from(project.loaded.basis.is_some())]);
    project.loaded.basis.iter().for_each(|basis| body.put_digest(basis));
    body.put_int(started.nodes.len() as u64);
    for (at, node) in (0..).zip(&*started.nodes) {
        let text = (answer.text)(NodeIx(at));
        let flags = u8::from(node.group)
            | u8::from(node.target) << 1
            | u8::from(node.desc.is_some()) << 2
            | u8::from(text.is_some()) << 3;
        body.put(&[flags]);
        body.put_bytes(node.label.as_bytes());
        if let Some(desc) = &node.desc {
            body.put_bytes(desc.as_bytes());
        }
        if let Some(text) = text {
            body.put_digest(&text);
        }
    }
    body.put_bytes(&sealed);
    let mut bytes = MAGIC.as_bytes().to_vec();
    bytes.put_u64(checksum(&body));
    bytes.put(&body);
    Some(bytes)
}

/// Of a variable of the caller: whether it is set, and to what. The value itself is never written down.
fn value_digest(context: &Context, key: &SecretKey, name: &str) -> Digest {
    let value = context.caller.get(OsStr::new(name));
    let text = value.map(|value| [b"=", value.as_encoded_bytes()].concat()).unwrap_or_default();
    blake3::keyed_hash(&key.0, &text).into()
}

/// Keeps the youngest seals.
fn prune(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let mut seals: Vec<_> = entries
        .flatten()
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    if seals.len() > KEPT {
        seals.sort_unstable();
        for (_, path) in seals.drain(..seals.len() - KEPT) {
            let _ = std::fs::remove_file(path);
        }
    }
}
