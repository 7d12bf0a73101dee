//! What each part of a run costs by itself, on a layered graph: `cargo bench`, or `cargo bench -- resolve`.
//!
//! Whole processes beside other tools are measured by `benches/peers.py`; this tells which part moved.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::hint::black_box;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};

use envrun::base::fs::Root;
use envrun::base::{Clock, Digest, RelPath, Timestamp};
use envrun::cache::{self, ActionResult, CacheKey, LocalStore, Lookup, Output, OutputKind};
use envrun::diag::FileId;
use envrun::engine::scheduler::{End, Fact, Scheduler, Step};
use envrun::fingerprint::{Definition, Freshness, SecretKey, Workspace};
use envrun::graph::TaskGraph;
use envrun::load::{Loaded, Texts, load};
use envrun::model::Command;
use envrun::ops::target::{Asked, targets};
use envrun::ops::{Context, Project};
use envrun::plan::{Force, Limits, OnFailure, Plan};
use envrun::syntax;

/// Numbers of tasks; what grows faster than they do shows at a glance.
const SIZES: [usize; 2] = [1_000, 10_000];

/// Files in the benches of the index.
const FILES: usize = 10_000;

/// The graph of `benches/peers.py`: ten layers, each task needs one to three of the layer before, reads one small file and
/// writes one.
fn envfile(tasks: usize) -> String {
    let width = (tasks / 10).max(1);
    let mut random = Random(42);
    let mut text = String::new();
    let mut all = String::from("task \"all\" { needs");
    for layer in 0..10 {
        for at in 0..width {
            let (source, output) =
                (format!("packages/p{at}/src/t{layer}.txt"), format!("packages/p{at}/out/t{layer}.txt"));
            let mut needs = vec![at];
            for _ in 0..random.below(3) {
                needs.push(at - random.below(at.min(8) + 1));
            }
            needs.sort_unstable();
            needs.dedup();
            let _ = writeln!(text, "task \"p{at}_t{layer}\" {{");
            if layer > 0 {
                text.push_str("    needs");
                for need in &needs {
                    let _ = write!(text, " \"p{need}_t{}\"", layer - 1);
                }
                text.push('\n');
            }
            let _ = writeln!(
                text,
                "    inputs \"{source}\"\n    outputs \"{output}\"\n    run \"cp {source} {output}\"\n}}"
            );
            let _ = write!(all, " \"p{at}_t{layer}\"");
        }
    }
    text + &all + " }\n"
}

/// A number generator (xorshift) that gives the same graph every time.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }
}

/// A project in memory, as `load` reads it.
fn texts(tasks: usize) -> (PathBuf, Texts) {
    let root_file = PathBuf::from("/project/Envfile.kdl");
    let files = BTreeMap::from([(root_file.clone(), envfile(tasks))]);
    (root_file, Texts::Memory(files))
}

fn project(tasks: usize) -> Project {
    let (root_file, texts) = texts(tasks);
    let loaded = load(&root_file, &texts).expect("it is in memory");
    assert!(loaded.diagnostics.is_empty(), "{:?}", loaded.diagnostics);
    let ignored = envrun::preflight::Ignored::new(&loaded.root);
    Project {
        loaded,
        since: std::time::SystemTime::now(),
        asked: Arc::default(),
        ignored,
        plan_file: None,
        ending: None,
    }
}

fn context() -> Context {
    Context {
        program: "envrun".into(),
        cwd: PathBuf::from("/project"),
        caller: BTreeMap::new(),
        cache_dir: PathBuf::from("/project/.cache"),
        redactor: envrun::secret::Redactor::default(),
        clock: Clock::manual(Timestamp(0)),
        host: "bench".to_owned(),
        cores: || 2,
    }
}

fn resolved(context: &Context, project: &mut Project) -> TaskGraph {
    let asked = Asked { name: "all".to_owned(), args: Vec::new() };
    let targets = targets(context, project.envfile(), &[asked], None).expect("`all` is declared");
    envrun::ops::run::graph_of(context, project, &targets, &[], None).expect("it is a graph").0
}

fn plan(graph: TaskGraph) -> Plan {
    let limits = Limits {
        jobs: NonZeroUsize::new(2).expect("two"),
        on_failure: OnFailure::Finish,
        force: Force::Nothing,
        dry_run: false,
    };
    Plan::new(graph, &indexmap::IndexMap::new(), limits, |_| None)
}

fn texts_and_graph(c: &mut Criterion) {
    for tasks in SIZES {
        let text = envfile(tasks);
        let mut group = c.benchmark_group("parse");
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(BenchmarkId::from_parameter(tasks), |b| {
            b.iter(|| syntax::parse(FileId(0), black_box(&text)));
        });
        group.finish();

        let (root_file, texts) = texts(tasks);
        c.bench_function(&format!("load/{tasks}"), |b| b.iter(|| load(&root_file, black_box(&texts))));
        snapshot(c, tasks);

        let context = context();
        let mut project = project(tasks);
        c.bench_function(&format!("resolve/{tasks}"), |b| {
            b.iter(|| resolved(&context, black_box(&mut project)))
        });

        let plan = plan(resolved(&context, &mut project));
        c.bench_function(&format!("schedule/{tasks}"), |b| b.iter(|| schedule(black_box(&plan))));
    }
}

/// The compiled snapshot of an Envfile on the disk.
fn snapshot(c: &mut Criterion, tasks: usize) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (root_file, kept) = (dir.path().join("Envfile.kdl"), dir.path().join("compiled"));
    write(&root_file, &envfile(tasks));
    let loaded = load(&root_file, &Texts::Disk).expect("just written");
    loaded
        .save_snapshot(&kept, std::slice::from_ref(&root_file), std::time::SystemTime::now())
        .expect("the folder is ours");
    c.bench_function(&format!("snapshot/{tasks}"), |b| {
        b.iter(|| {
            Loaded::from_snapshot(black_box(&kept), &root_file, &Texts::Disk, None).expect("nothing changed")
        });
    });
}

/// Drives the scheduler through a whole run in which every node has to be executed; how many were.
fn schedule(plan: &Plan) -> usize {
    let mut scheduler = Scheduler::new(plan);
    let mut steps = Vec::new();
    scheduler.begin(&mut steps);
    let mut executed = 0;
    while !steps.is_empty() {
        for step in std::mem::take(&mut steps) {
            match step {
                Step::Check(node) => scheduler.on(Fact::MustRun(node), &mut steps),
                Step::Execute(node) => {
                    executed += 1;
                    scheduler.on(Fact::Finished(node, End::Good), &mut steps);
                }
                Step::Finish(..) | Step::AllDone => {}
            }
        }
    }
    executed
}

/// One task that reads [`FILES`] files.
fn reads_all() -> Definition {
    Definition {
        label: "all".to_owned(),
        commands: vec![Command::Shell("true".to_owned())],
        inputs: vec!["data/**".to_owned()],
        ..Definition::default()
    }
}

fn workspace(root: &Path) -> Workspace {
    Workspace::open(root, &root.join(".envrun/state"), SecretKey([7; 32])).expect("the folder is ours")
}

fn index(c: &mut Criterion) {
    let bytes = vec![b'x'; 1 << 20];
    let mut group = c.benchmark_group("hash");
    for size in [1 << 10, 1 << 20] {
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(BenchmarkId::from_parameter(size), |b| {
            b.iter(|| Digest::of(black_box(&bytes[..size])))
        });
    }
    group.finish();

    let dir = tempfile::tempdir().expect("a temporary folder");
    let root = dir.path();
    for at in 0..FILES {
        write(&root.join(format!("data/{:02}/{at:05}.txt", at % 100)), &format!("data {at}\n"));
    }
    let mut group = c.benchmark_group("index");
    group.throughput(Throughput::Elements(FILES as u64));
    // Walks, reads and hashes everything: what a fresh checkout costs.
    group.bench_function("first look", |b| {
        b.iter(|| {
            let workspace = workspace(root);
            let task = workspace.prepare(&reads_all()).expect("the patterns are good");
            workspace.fingerprint(&task, &[]).expect("the files can be read").files()
        });
    });
    // A stat vouches for a file only if the file was older than a tick of the clock when it was read.
    std::thread::sleep(Duration::from_millis(50));
    let known = workspace(root);
    let task = known.prepare(&reads_all()).expect("the patterns are good");
    let fingerprint = known.fingerprint(&task, &[]).expect("the files can be read");
    known.commit(&task, &fingerprint, &result(Vec::new()));
    known.save().expect("the folder is ours");
    group.bench_function("look again", |b| {
        b.iter(|| {
            let workspace = workspace(root);
            workspace.prefetch(["all"]);
            let task = workspace.prepare(&reads_all()).expect("the patterns are good");
            let fresh = workspace.check(&task, &[]).expect("the files can be read");
            assert!(matches!(fresh, Freshness::UpToDate { .. }), "nothing changed");
        });
    });
    group.finish();
}

fn result(outputs: Vec<Output>) -> ActionResult {
    ActionResult {
        outputs,
        log: Vec::new(),
        took: Duration::from_millis(1),
        made: Timestamp(0),
        run: "bench".to_owned(),
        discovered: Vec::new(),
    }
}

/// Results of one small file each, as most tasks have.
fn store_and_restore(c: &mut Criterion) {
    const RESULTS: u64 = 100;
    let dir = tempfile::tempdir().expect("a temporary folder");
    let root = Root::open(dir.path()).expect("just made");
    let results: Vec<(CacheKey, ActionResult)> = (0..RESULTS)
        .map(|at| {
            let (name, text) = (format!("out/{at}.txt"), format!("result {at}\n"));
            write(&dir.path().join(&name), &text);
            let kind = OutputKind::File {
                digest: Digest::of(text.as_bytes()),
                size: text.len() as u64,
                mode: 0o644,
            };
            let path = RelPath::root().resolve(&name).expect("a plain path");
            (CacheKey(Digest::of(name.as_bytes())), result(vec![Output { path, kind }]))
        })
        .collect();
    let fill = |store: &LocalStore| {
        for (key, result) in &results {
            store.store(key, result, &root).expect("the folder is ours");
        }
    };
    let mut group = c.benchmark_group("cache");
    group.throughput(Throughput::Elements(RESULTS));
    group.bench_function("store", |b| {
        let fresh = || {
            let dir = tempfile::tempdir().expect("a temporary folder");
            (LocalStore::open(dir.path(), cache::Limits::default()), dir)
        };
        b.iter_batched_ref(fresh, |(store, _)| fill(store), BatchSize::PerIteration);
    });
    let kept = tempfile::tempdir().expect("a temporary folder");
    let store = LocalStore::open(kept.path(), cache::Limits::default());
    fill(&store);
    group.bench_function("restore", |b| {
        let gone = || std::fs::remove_dir_all(dir.path().join("out")).expect("restored before");
        b.iter_batched(
            gone,
            |()| {
                for (key, _) in &results {
                    let Lookup::Hit(hit) = store.lookup(key) else { panic!("it was stored") };
                    store.restore(&hit, &root, &[], &|_| true).expect("nothing is in the way");
                }
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().expect("a file lies in a folder")).expect("the folder is ours");
    std::fs::write(path, text).expect("the folder is ours");
}

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    texts_and_graph(&mut criterion);
    index(&mut criterion);
    store_and_restore(&mut criterion);
    criterion.final_summary();
}
