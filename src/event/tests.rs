use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::model::Gate;
use crate::service::spec::Link;
use crate::service::{Begun, Exit, State, Trouble};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::Value;

use super::*;

/// Nodes of arbitrary sequences: some exist, some do not.
fn node() -> impl Strategy<Value = NodeIx> {
    (0u32..12).prop_map(NodeIx)
}

fn millis() -> impl Strategy<Value = Duration> {
    any::<u32>().prop_map(|ms| Duration::from_millis(u64::from(ms)))
}

fn words() -> impl Strategy<Value = String> {
    "\\PC{0,12}"
}

fn because() -> impl Strategy<Value = Because> {
    (words(), 0usize..4).prop_map(|(reason, more)| Because { reason, more })
}

fn failure() -> impl Strategy<Value = Failure> {
    prop_oneof![
        (any::<i32>(), words()).prop_map(|(status, command)| Failure::Exit { status, command }),
        (1..32, words()).prop_map(|(signal, command)| Failure::Signal { signal, command }),
        (words(), words(), option::of(words())).prop_map(|(command, reason, hint)| Failure::Start {
            command,
            reason,
            hint
        }),
        (millis(), words()).prop_map(|(limit, command)| Failure::Timeout { limit, command }),
        words().prop_map(|reason| Failure::Outputs { reason }),
        words().prop_map(|reason| Failure::Io { reason }),
        (words(), vec(words(), 1..3), option::of(words()))
            .prop_map(|(reason, lines, probe)| Failure::Service { reason, lines, probe }),
        vec(words(), 0..3).prop_map(|reasons| Failure::Refused { reasons }),
        (words(), words(), vec(words(), 0..3)).prop_map(|(reason, revision, logs)| Failure::WentBack {
            reason,
            revision,
            logs
        }),
        (words(), words(), vec(words(), 0..3), option::of(words()))
            .prop_map(|(reason, back, logs, way_out)| Failure::Broken { way_out, reason, back, logs }),
        (words(), words(), words()).prop_map(|(env, phase, reason)| Failure::Unfinished {
            env,
            phase,
            reason
        }),
        (words(), words(), words()).prop_map(|(env, phase, reason)| Failure::Lost { env, phase, reason }),
    ]
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        Just(Outcome::UpToDate),
        (words(), vec(any::<u8>(), 0..20)).prop_map(|(from, log)| Outcome::Restored { from, log }),
        any::<bool>().prop_map(|stored| Outcome::Succeeded { stored }),
        Just(Outcome::AlreadyDone),
        (prop_oneof![Just(Begun::Already), Just(Begun::Started)], vec(words(), 1..3)).prop_map(
            |(begun, urls)| {
                let urls = urls.into_iter().map(|url| Link { name: None, url }).collect();
                Outcome::Up { begun, gate: Gate::Ready, urls }
            }
        ),
        Just(Outcome::Grouped),
        (because(), vec(words(), 0..3))
            .prop_map(|(because, commands)| Outcome::WouldRun { because, commands }),
        (failure(), option::of(words()), option::of(words()))
            .prop_map(|(failure, log, hint)| Outcome::Failed { failure, log, hint }),
        words().prop_map(|reason| Outcome::Skipped { reason }),
        node().prop_map(|by| Outcome::Blocked { by }),
        Just(Outcome::Cancelled),
    ]
}

fn nodes() -> impl Strategy<Value = Arc<[NodeInfo]>> {
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    let info = (words(), option::of(words()), flags).prop_map(|(label, desc, (group, target, service))| {
        NodeInfo { label: label.into(), desc: desc.map(Into::into), group, target, service }
    });
    vec(info, 0..10).prop_map(Into::into)
}

fn run_started() -> impl Strategy<Value = Event> {
    let chosen = option::of((words(), words()).prop_map(|(env, because)| Chosen { env, because }));
    (words(), vec(words(), 0..3), 1usize..9, any::<bool>(), chosen, nodes()).prop_map(
        |(root, targets, jobs, dry_run, chosen, nodes)| {
            let (run, envrun, format) = ("20261120-213301-4f2a".to_owned(), "0.1.0".to_owned(), FORMAT);
            Event::RunStarted(RunStarted { format, run, envrun, root, targets, jobs, dry_run, chosen, nodes })
        },
    )
}

fn state() -> impl Strategy<Value = State> {
    let exit = || {
        prop_oneof![
            any::<i32>().prop_map(|status| Exit::Status { status }),
            (1..32).prop_map(|signal| Exit::Signal { signal }),
        ]
    };
    prop_oneof![
        Just(State::Ready),
        Just(State::Stopped),
        option::of(millis()).prop_map(|kill| State::Stopping { kill }),
        Just(State::Completed),
        (exit(), millis(), 1u32..9).prop_map(|(exit, pause, attempt)| State::Pausing {
            exit,
            pause,
            attempt
        }),
        exit().prop_map(|exit| State::Failed(Trouble::Ended { exit })),
        (1u32..9, exit()).prop_map(|(times, exit)| State::Failed(Trouble::Loop { times, exit })),
        millis().prop_map(|within| State::Failed(Trouble::NotReady { within })),
        words().prop_map(|need| State::Failed(Trouble::Blocked { need })),
    ]
}

fn texts() -> impl Strategy<Value = Texts> {
    prop_oneof![Just(Texts::Used), Just(Texts::Repaired), Just(Texts::Broken)]
}

/// Any event, in no sensible order.
fn event() -> impl Strategy<Value = Event> {
    let stream = prop_oneof![Just(Stream::Stdout), Just(Stream::Stderr)];
    let started = (node(), because(), vec(words(), 0..3), words(), any::<bool>());
    prop_oneof![
        run_started(),
        vec((node(), 0u64..100_000), 0..5).prop_map(|took_ms| Event::Expected { took_ms }),
        started.prop_map(|(node, because, commands, dir, interactive)| Event::NodeStarted {
            node,
            because,
            commands,
            dir,
            interactive
        }),
        (node(), stream, vec(any::<u8>(), 0..40)).prop_map(|(node, stream, bytes)| Event::Output {
            node,
            stream,
            bytes
        }),
        (node(), 1u32..4, 1u32..4, failure(), millis()).prop_map(|(node, attempt, of, failure, pause)| {
            Event::NodeRetrying { node, attempt, of, failure, pause }
        }),
        (node(), words(), words()).prop_map(|(node, phase, about)| Event::NodePhase { node, phase, about }),
        (node(), outcome(), millis()).prop_map(|(node, outcome, took)| Event::NodeFinished {
            node,
            outcome,
            took
        }),
        (vec(node(), 0..9), outcome()).prop_map(|(nodes, outcome)| {
            Event::NodesFinished { nodes: nodes.into_iter().collect(), outcome }
        }),
        (option::of(node()), words(), option::of(words()))
            .prop_map(|(node, message, hint)| Event::Notice(Notice { node, message, hint })),
        (words(), words(), vec(words(), 0..3))
            .prop_map(|(reason, who, passed)| Event::GlassBroken(GlassBroken { reason, who, passed })),
        (words(), 1u32..4).prop_map(|(signal, level)| Event::Interrupted { signal, level }),
        (node(), state(), option::of(failure()), option::of(words()), option::of(words())).prop_map(
            |(node, state, failure, log, hint)| Event::ServiceChanged { node, state, failure, log, hint }
        ),
        (vec(words(), 1..3), 0usize..4, 1usize..9, 0usize..3)
            .prop_map(|(files, more, tasks, services)| Event::Changed { files, more, tasks, services }),
        (vec(words(), 1..3), 0usize..4, vec(words(), 0..3), texts())
            .prop_map(|(files, more, values, state)| Event::Reread { files, more, values, state }),
        Just(Event::SessionEnding),
        (any::<u8>(), millis()).prop_map(|(exit, took)| Event::SessionEnded { exit, took }),
        vec(node(), 0..9).prop_map(|nodes| Event::NodesReopened { nodes: nodes.into_iter().collect() }),
        (any::<usize>(), any::<usize>(), option::of(words()))
            .prop_map(|(files, folders, polling)| Event::Watching { files, folders, polling }),
        (any::<u8>(), millis()).prop_map(|(exit, took)| Event::RunFinished(RunFinished { exit, took })),
    ]
}

/// Any events in any order, numbered and dated, beginning as a run does.
fn sequence() -> impl Strategy<Value = Vec<Sequenced>> {
    (run_started(), vec((event(), 0u64..5_000), 0..40)).prop_map(|(first, rest)| {
        let clock = Clock::manual(Timestamp(1_800_000_000_000));
        let mut sequencer = Sequencer::new(clock.clone());
        let mut told = vec![sequencer.stamp(first)];
        for (event, pause) in rest {
            clock.advance(Duration::from_millis(pause));
            told.push(sequencer.stamp(event));
        }
        told
    })
}

/// Any events that an engine could tell: one beginning and nothing after the end, labels apart, only nodes that exist.
pub(crate) fn sensible_sequence() -> impl Strategy<Value = Vec<Sequenced>> {
    sequence().prop_map(sensible)
}

fn sensible(told: Vec<Sequenced>) -> Vec<Sequenced> {
    let mut count = 0;
    let mut kept: Vec<Sequenced> = Vec::new();
    for mut told in told {
        match &mut told.event {
            Event::RunStarted(_) if !kept.is_empty() => continue,
            Event::RunStarted(started) => {
                let label = |(at, node): (usize, &NodeInfo)| NodeInfo {
                    label: format!("{}{at}", node.label).into(),
                    ..node.clone()
                };
                started.nodes = started.nodes.iter().enumerate().map(label).collect();
                count = started.nodes.len() as u32;
            }
            Event::Output { node, .. } | Event::NodeFinished { node, .. } if node.0 >= count => continue,
            _ => {}
        }
        kept.push(told);
        if matches!(kept.last(), Some(Sequenced { event: Event::RunFinished(_), .. })) {
            break;
        }
    }
    kept
}

proptest! {
    #[test]
    fn every_event_survives_the_wire(told in sequence()) {
        for event in told {
            let line = serde_json::to_string(&event).unwrap();
            prop_assert!(!line.contains('\n'));
            prop_assert_eq!(serde_json::from_str::<Sequenced>(&line).unwrap(), event);
        }
    }

    /// Whatever is told, in whatever order, of whichever nodes: the fold goes on and its numbers agree.
    #[test]
    fn the_fold_takes_anything(told in sequence()) {
        let mut state = RunState::new();
        for event in &told {
            state.apply(event);
            let _ = state.expected_left(event.time);
            let count = state.started().map_or(0, |started| started.nodes.len());
            let every = (0..count).map(|at| state.state(NodeIx(at as u32)).unwrap());
            let running = every.clone().filter(|state| *state == NodeState::Running).count();
            prop_assert_eq!(running, state.running().len());
            prop_assert!(state.done() <= state.tasks());
            let over = every.filter(|state| matches!(state, NodeState::Over(_))).count();
            prop_assert!(state.counts().executed() <= over);
        }
    }

    #[test]
    fn a_node_set_is_a_set(nodes in vec(0u32..60, 0..80)) {
        let expected: BTreeSet<u32> = nodes.iter().copied().collect();
        let mut inserted = NodeSet::default();
        nodes.iter().for_each(|node| inserted.insert(NodeIx(*node)));
        let collected: NodeSet = nodes.iter().copied().map(NodeIx).collect();
        prop_assert_eq!(&inserted, &collected);
        prop_assert_eq!(inserted.len(), expected.len());
        prop_assert_eq!(inserted.is_empty(), expected.is_empty());
        prop_assert!(inserted.iter().map(|node| node.0).eq(expected.iter().copied()));
        prop_assert!(inserted.iter_below(30).map(|node| node.0).eq(expected.range(..30).copied()));
        let json = serde_json::to_string(&inserted).unwrap();
        prop_assert_eq!(serde_json::from_str::<NodeSet>(&json).unwrap(), inserted);
    }
}

#[test]
fn a_node_set_reaches_to_the_last_index() {
    let ends: NodeSet = [NodeIx(u32::MAX), NodeIx(u32::MAX - 1), NodeIx(0)].into_iter().collect();
    assert_eq!(serde_json::to_string(&ends).unwrap(), "[[0,0],[4294967294,4294967295]]");
    assert_eq!(ends.iter().count(), 3);
    for bad in ["[[3,2]]", "[[0,1],[2,3]]", "[[5,5],[1,1]]"] {
        assert!(serde_json::from_str::<NodeSet>(bad).is_err(), "{bad}");
    }
}

#[test]
fn bytes_that_are_not_text_are_hexadecimal() {
    let line = |hex: &str| {
        format!(
            r#"{{"seq":0,"time":0,"event":"output","node":0,"stream":"stdout","bytes":{{"hex":"{hex}"}}}}"#
        )
    };
    let event: Sequenced = serde_json::from_str(&line("00ff7f")).unwrap();
    assert!(matches!(&event.event, Event::Output { bytes, .. } if bytes == b"\x00\xff\x7f"));
    for bad in ["0", "0g", "+1", "é"] {
        assert!(serde_json::from_str::<Sequenced>(&line(bad)).is_err(), "{bad}");
    }
}

#[test]
fn ten_thousand_up_to_date_nodes_are_one_short_line() {
    let nodes = (0..10_000).map(NodeIx).collect();
    let event = Event::NodesFinished { nodes, outcome: Outcome::UpToDate };
    expect_test::expect![[
        r#"{"event":"nodes-finished","nodes":[[0,9999]],"outcome":{"kind":"up-to-date"}}"#
    ]]
    .assert_eq(&serde_json::to_string(&event).unwrap());
}

/// Times that were told make a guess at what is left, and what is over or runs is taken off it.
#[test]
fn what_is_left() {
    let clock = Clock::manual(Timestamp(1_000));
    let mut sequencer = Sequencer::new(clock.clone());
    let mut state = RunState::new();
    let mut left = |event, advance| {
        clock.advance(Duration::from_millis(advance));
        state.apply(&sequencer.stamp(event));
        state.expected_left(state.now()).map(|left| left.as_millis())
    };
    let info = |label: &str| NodeInfo {
        label: label.into(),
        desc: None,
        group: false,
        target: false,
        service: false,
    };
    let started = RunStarted {
        format: FORMAT,
        run: String::new(),
        envrun: String::new(),
        root: String::new(),
        targets: Vec::new(),
        jobs: 2,
        dry_run: false,
        chosen: None,
        nodes: ["a", "b", "c", "d"].map(info).into(),
    };
    let start = |node| Event::NodeStarted {
        node: NodeIx(node),
        because: Because { reason: String::new(), more: 0 },
        commands: Vec::new(),
        dir: String::new(),
        interactive: false,
    };
    let finish = |node| Event::NodeFinished {
        node: NodeIx(node),
        outcome: Outcome::Succeeded { stored: true },
        took: Duration::ZERO,
    };
    assert_eq!(left(Event::RunStarted(started), 0), None);
    let took_ms = vec![(NodeIx(0), 1_000), (NodeIx(1), 3_000), (NodeIx(2), 200), (NodeIx(77), 9)];
    // 4200 ms are known of three nodes; the fourth is taken to be like them; two jobs share it.
    assert_eq!(left(Event::Expected { took_ms }, 0), Some(2_800));
    assert_eq!(left(start(0), 0), Some(2_800));
    // No less than the longest of those that run.
    assert_eq!(left(start(1), 400), Some(3_000));
    assert_eq!(left(finish(0), 600), Some(2_400));
    assert_eq!(left(finish(2), 0), Some(2_400));
    assert_eq!(left(finish(3), 0), Some(2_400));
    assert_eq!(left(finish(1), 5_000), None);
}

/// The keys of every object of the format, by section of the page and `event` or `kind`.
#[derive(Default)]
struct Keys(BTreeMap<(&'static str, String), BTreeSet<String>>);

impl Keys {
    fn add(&mut self, section: &'static str, name: &str, object: &Value) {
        let all = object.as_object().unwrap().iter();
        let keys =
            all.map(|(key, _)| key).filter(|key| !["seq", "time", "event", "kind"].contains(&key.as_str()));
        self.0.entry((section, name.to_owned())).or_default().extend(keys.cloned());
    }

    fn of_event(&mut self, event: &Value) {
        self.add("Events", event["event"].as_str().unwrap(), event);
        for node in event["nodes"].as_array().into_iter().flatten().filter(|node| node.is_object()) {
            self.add("Parts", "node", node);
        }
        for because in [&event["because"], &event["outcome"]["because"]] {
            if because.is_object() {
                self.add("Parts", "because", because);
            }
        }
        for (section, part) in [
            ("Outcomes", &event["outcome"]),
            ("Failures", &event["failure"]),
            ("Failures", &event["outcome"]["failure"]),
        ] {
            if part.is_object() {
                self.add(section, part["kind"].as_str().unwrap(), part);
            }
        }
    }
}

/// The sections and tables of `docs/events.md`.
fn documented() -> BTreeMap<(&'static str, String), BTreeSet<String>> {
    let mut found: BTreeMap<_, BTreeSet<String>> = BTreeMap::new();
    let (mut section, mut name) = (None, None);
    let quoted = |line: &str| line.split('`').nth(1).map(str::to_owned);
    for line in include_str!("../../docs/events.md").lines() {
        if let Some(title) = line.strip_prefix("## ") {
            section = ["Events", "Outcomes", "Failures", "Parts"].into_iter().find(|known| *known == title);
            name = None;
        } else if line.starts_with("### ") {
            name = section.zip(quoted(line));
            found.extend(name.clone().map(|name| (name, BTreeSet::new())));
        } else if line.starts_with("| `")
            && let Some(name) = &name
        {
            found.get_mut(name).unwrap().extend(quoted(line));
        }
    }
    found
}

#[test]
fn the_page_says_exactly_what_the_types_say() {
    let mut runner = TestRunner::deterministic();
    let (mut seen, mut keys) = (BTreeSet::new(), Keys::default());
    for _ in 0..3_000 {
        let event = event().new_tree(&mut runner).unwrap().current();
        // A new event has to come here, and with it into the strategy above.
        seen.insert(match &event {
            Event::RunStarted(_) => 0,
            Event::Expected { .. } => 1,
            Event::NodeStarted { .. } => 2,
            Event::Output { .. } => 3,
            Event::NodeRetrying { .. } => 4,
            Event::NodePhase { .. } => 12,
            Event::NodeFinished { outcome, .. } => 100 + outcome.kind() as usize,
            Event::NodesFinished { .. } => 5,
            Event::Notice(_) => 6,
            Event::Interrupted { .. } => 7,
            Event::RunFinished(_) => 8,
            Event::Changed { .. } => 9,
            Event::NodesReopened { .. } => 10,
            Event::Watching { .. } => 11,
            Event::ServiceChanged { .. } => 13,
            Event::GlassBroken(_) => 14,
            Event::Reread { .. } => 15,
            Event::SessionEnding => 16,
            Event::SessionEnded { .. } => 17,
        });
        keys.of_event(&serde_json::to_value(Sequenced { seq: 0, time: Timestamp(0), event }).unwrap());
    }
    assert_eq!(seen.len(), 18 + OutcomeKind::COUNT, "the strategy leaves something out");
    assert_eq!(documented(), keys.0);
    assert!(include_str!("../../docs/events.md").contains(&format!("This is format {FORMAT}.")));
}
