//! The law of the cache: after every run the outputs are what a run from nothing would have made, and nothing that could
//! have been kept was executed again.
//!
//! A [`world::Project`] is a random graph of tasks over a handful of sources, and a pure function that says what they
//! make, each environment something else. Two checkouts of it share one cache. Random [`step::Step`]s happen to them: edits of every kind, runs of every
//! kind, kills in the middle, damage. After each run that came to its end, [`lab::Lab`] compares.
//!
//! The same law is held twice: by the program itself ([`program`]), and, with many more steps, by what is below it
//! without a process ([`core`]). `ENVRUN_MODEL_STEPS=100000` does so many steps; what fails is printed as Rust, shrunk,
//! and becomes a test of its own below.

mod lab;
mod program;
mod step;
mod world;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};

use step::{Damage, Edit, Force, Run, Step, Tamper};
use world::{Input, Kind, Project, Source, Task};

fn input() -> impl Strategy<Value = Input> {
    prop_oneof![
        6 => any::<u8>().prop_map(|at| Input::Name(at % 8)),
        3 => (0..4u8).prop_map(Input::X),
        2 => (0..4u8).prop_map(Input::Deep),
        2 => (0..4u8).prop_map(Input::Folder),
        1 => (0..8u8).prop_map(Input::Not),
    ]
}

fn task() -> impl Strategy<Value = Task> {
    let kind = prop_oneof![
        4 => Just(Kind::File),
        1 => Just(Kind::Program),
        2 => Just(Kind::Count),
        4 => Just(Kind::Folder),
        1 => Just(Kind::Link),
        1 => Just(Kind::Check),
        1 => Just(Kind::Always),
        3 => Just(Kind::Depfile),
        1 => Just(Kind::Group),
    ];
    let cached = prop_oneof![12 => Just(true), 1 => Just(false)];
    let needs = prop::collection::vec(0..12u8, 0..3);
    (kind, needs, prop::collection::vec(input(), 0..4), 0..2u8, 0..4u8, cached)
        .prop_map(|(kind, needs, inputs, text, var, cached)| Task { kind, needs, inputs, text, var, cached })
}

fn source() -> impl Strategy<Value = Source> {
    prop_oneof![
        8 => (content(), any::<bool>()).prop_map(|(content, exec)| Source::File { content, exec }),
        1 => (0..8u8).prop_map(|to| Source::Link { to }),
    ]
}

/// Few contents come often, so that old states come back; a failing one comes seldom.
fn content() -> impl Strategy<Value = u8> {
    prop_oneof![6 => 0..3u8, 1 => Just(3u8), 1 => Just(4u8), 3 => 5..8u8]
}

fn project() -> impl Strategy<Value = Project> {
    (prop::collection::vec(task(), 1..10), prop::collection::btree_map(0..8u8, source(), 3..9), 0..2u8)
        .prop_map(|(tasks, mut sources, var)| {
            // A link to itself is not worth a test.
            sources.retain(|at, source| !matches!(source, Source::Link { to } if to == at));
            Project { tasks, sources, var }
        })
}

fn edit() -> impl Strategy<Value = Edit> {
    let file = 0..8u8;
    let tamper = prop_oneof![
        Just(Tamper::Delete),
        Just(Tamper::Write),
        Just(Tamper::Sneak),
        Just(Tamper::Exec),
        Just(Tamper::Link),
        Just(Tamper::Folder),
    ];
    prop_oneof![
        8 => (file.clone(), content()).prop_map(|(file, content)| Edit::Write { file, content }),
        4 => (file.clone(), content()).prop_map(|(file, content)| Edit::Sneak { file, content }),
        2 => (file.clone(), content(), 0..8u8).prop_map(|(file, content, like)| Edit::TouchLike { file, content, like }),
        3 => file.clone().prop_map(|file| Edit::Remove { file }),
        2 => (file.clone(), 0..8u8).prop_map(|(from, to)| Edit::Rename { from, to }),
        2 => (file.clone(), 0..8u8).prop_map(|(one, other)| Edit::Exchange { one, other }),
        2 => (file.clone(), any::<bool>()).prop_map(|(file, exec)| Edit::Exec { file, exec }),
        1 => (file.clone(), 0..8u8).prop_map(|(file, to)| Edit::Link { file, to }),
        1 => (file, any::<bool>()).prop_map(|(file, future)| Edit::Touch { file, future }),
        2 => (any::<u8>(), 0..2u8).prop_map(|(task, text)| Edit::Text { task, text }),
        1 => (0..2u8).prop_map(Edit::Own),
        1 => (any::<u8>(), task()).prop_map(|(task, as_)| Edit::Define { task, as_ }),
        6 => (any::<u8>(), any::<u8>(), tamper).prop_map(|(task, pick, how)| Edit::Tamper { task, pick, how }),
    ]
}

/// Beside a running command nothing is put where it may write through it or fall over it.
fn gentle(edit: Edit) -> Edit {
    match edit {
        Edit::Tamper { task, pick, how: Tamper::Link | Tamper::Folder } => {
            Edit::Tamper { task, pick, how: Tamper::Write }
        }
        other => other,
    }
}

fn run() -> impl Strategy<Value = Run> {
    let force = prop_oneof![12 => Just(Force::No), 1 => Just(Force::Named), 1 => Just(Force::All)];
    let targets = prop_oneof![2 => Just(0), 1 => any::<u16>()];
    let side = prop_oneof![3 => Just(0u8), 1 => Just(1u8)];
    let env = prop_oneof![2 => Just(0u8), 2 => Just(1u8), 1 => Just(2u8)];
    (side, targets, force, 0..4u8, env).prop_map(|(side, targets, force, jobs, env)| Run {
        side,
        targets,
        force,
        jobs,
        env,
    })
}

fn step() -> impl Strategy<Value = Step> {
    let damage = || {
        prop_oneof![
            (0..8u8).prop_map(Damage::Flip),
            Just(Damage::Cut),
            Just(Damage::Zero),
            Just(Damage::Swap)
        ]
    };
    let side = || prop_oneof![3 => Just(0u8), 1 => Just(1u8)];
    prop_oneof![
        16 => run().prop_map(Step::Run),
        2 => (run(), run()).prop_map(|(one, other)| Step::Two(one, other)),
        3 => (run(), any::<u8>()).prop_map(|(run, after)| Step::Kill(run, after)),
        3 => (run(), any::<u8>(), edit().prop_map(gentle))
            .prop_map(|(run, after, edit)| Step::During(run, after, edit)),
        20 => (side(), edit()).prop_map(|(side, edit)| Step::Edit(side, edit)),
        2 => prop::option::of(0..2u8).prop_map(Step::Caller),
        1 => Just(Step::WipeCache),
        1 => side().prop_map(Step::Fresh),
        2 => (any::<u16>(), any::<u16>(), damage()).prop_map(|(file, at, how)| Step::DamageCache { file, at, how }),
        1 => (side(), any::<u16>(), any::<u16>(), damage())
            .prop_map(|(side, file, at, how)| Step::DamageState { side, file, at, how }),
    ]
}

/// A number that somebody may set for longer or other runs.
fn asked(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")))
}

/// Holds the law for so many steps, `length` at a time: the same ones in every run of the tests, others where more are
/// asked for.
fn hold(count: u64, length: usize, follow: fn(&Project, &[Step])) {
    let more = asked("ENVRUN_MODEL_STEPS");
    let now = || std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_nanos() as u64);
    let seed = asked("ENVRUN_MODEL_SEED").unwrap_or_else(|| if more.is_some() { now() } else { 1 });
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config {
        cases: u32::try_from(more.unwrap_or(count) / length as u64).unwrap_or(u32::MAX).max(1),
        failure_persistence: None,
        max_shrink_time: u32::try_from(asked("ENVRUN_MODEL_SHRINK").unwrap_or(240) * 1000)
            .unwrap_or(u32::MAX),
        max_shrink_iters: 4_000,
        ..Config::default()
    };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let strategy = (project(), prop::collection::vec(step(), 1..=length));
    let result = runner.run(&strategy, |(project, steps)| {
        follow(&project, &steps);
        Ok(())
    });
    match result {
        Ok(()) => {}
        Err(TestError::Fail(reason, (project, steps))) => {
            panic!(
                "seed {seed}: {reason}\n{project:?}\n{}",
                steps.iter().map(|step| format!("    {step:?},\n")).collect::<String>()
            )
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn the_program_keeps_the_law() {
    hold(200, 14, program::follow);
}
