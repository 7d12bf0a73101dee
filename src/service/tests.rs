use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use expect_test::expect;
use proptest::prelude::*;

use crate::base::{Clock, Digest};
use crate::exec::Environ;
use crate::model::Command;

use super::life::{Fact, Life, Step};
use super::part::Parts;
use super::spec::{Asks, How, Policy, Probe, Readiness, Variables, When};
use super::*;

fn spec(dir: &Path, label: &str, run: &str) -> Spec {
    let path = std::env::var_os("PATH").expect("tests are run with a PATH");
    Spec {
        label: label.into(),
        name: label.into(),
        how: How::Child { run: Command::Shell(run.into()), stop: None },
        dir: dir.to_path_buf(),
        environ: Variables::from(&Environ::new([("PATH", path)])),
        shell: None,
        ready: Readiness {
            probes: Vec::new(),
            every: Duration::from_millis(5),
            timeout: Duration::from_secs(30),
        },
        timeout: Some(Duration::from_secs(5)),
        restart: Policy::default(),
        urls: Vec::new(),
        ports: Vec::new(),
        needs: BTreeMap::new(),
        identity: Digest::of(run.as_bytes()),
        content: None,
        parts: Parts::default(),
        hint: None,
        secrets: Vec::new(),
        logs: dir.join("logs").join(label),
    }
}

fn probe(asks: Asks) -> Probe {
    Probe { name: "probe".into(), asks }
}

fn wait(supervisor: &Supervisor, label: &str, gate: Gate) -> Result<Status, Failure> {
    supervisor.wait(label, gate, &|| false)
}

/// A life told as text: facts and times in, states and steps out.
fn told(policy: Policy, facts: &[(u64, Fact)]) -> String {
    let dir = Path::new("/");
    let mut life = Life::new(&Spec { restart: policy, ..spec(dir, "a", "") });
    let begun = Instant::now();
    let mut text = String::new();
    for (at, fact) in facts {
        let steps = life.on(fact.clone(), begun + Duration::from_millis(*at));
        let steps: Vec<String> = steps
            .iter()
            .filter(|step| **step != Step::Tell)
            .map(|step| format!("{step:?}").to_lowercase())
            .collect();
        let state = match life.state() {
            State::Pausing { pause, .. } => format!("restarting in {}ms", pause.as_millis()),
            State::Failed(trouble) => format!("failed: {trouble}"),
            state => state.word().to_owned(),
        };
        text.push_str(&format!("{at:05} {state} {}\n", steps.join(" ")).replace(" \n", "\n"));
    }
    text
}

const BAD: Exit = Exit::Status { status: 1 };
const GOOD: Exit = Exit::Status { status: 0 };

#[test]
fn a_life_without_trouble() {
    let facts = [(0, Fact::Start), (1, Fact::Up), (2, Fact::Passed), (3, Fact::Stop), (4, Fact::Gone)];
    expect![[r#"
        00000 starting launch
        00001 started probe
        00002 ready
        00003 stopping end
        00004 stopped
    "#]]
    .assert_eq(&told(Policy::default(), &facts));
}

#[test]
fn a_crash_loop_ends_at_max() {
    let policy = Policy { when: When::OnFailure, max: 2 };
    let facts = [
        (0, Fact::Start),
        (1, Fact::Ended(BAD)),
        (251, Fact::Time),
        (252, Fact::Up),
        (253, Fact::Ended(BAD)),
        (753, Fact::Time),
        (754, Fact::Ended(BAD)),
    ];
    expect![[r#"
        00000 starting launch
        00001 restarting in 250ms
        00251 starting launch
        00252 started probe
        00253 restarting in 500ms
        00753 starting launch
        00754 failed: ended with exit status 1, again after 2 restarts
    "#]]
    .assert_eq(&told(policy, &facts));
}

#[test]
fn who_was_ready_for_a_minute_counts_anew() {
    let policy = Policy { when: When::Always, max: 1 };
    let life = |ready_for: u64| {
        let facts = [
            (0, Fact::Start),
            (1, Fact::Ended(GOOD)),
            (300, Fact::Time),
            (301, Fact::Up),
            (302, Fact::Passed),
            (302 + ready_for, Fact::Ended(GOOD)),
        ];
        told(policy, &facts).lines().last().unwrap().trim().to_owned()
    };
    assert_eq!(life(59_999), "60301 failed: ended with exit status 0, again after 1 restart");
    assert_eq!(life(60_000), "60302 restarting in 250ms");
}

#[test]
fn who_is_never_ready_has_failed_whatever_the_policy() {
    let policy = Policy { when: When::Always, max: 100 };
    let facts = [
        (0, Fact::Start),
        (1, Fact::Up),
        (29_999, Fact::Time),
        (30_000, Fact::Time),
        (30_001, Fact::Gone),
        (30_002, Fact::Passed),
    ];
    expect![[r#"
        00000 starting launch
        00001 started probe
        29999 started
        30000 stopping end
        30001 failed: not ready within 30.0s
        30002 failed: not ready within 30.0s
    "#]]
    .assert_eq(&told(policy, &facts));
}

#[test]
fn what_is_wanted_while_it_stops_counts() {
    let facts = [
        (0, Fact::Start),
        (1, Fact::Up),
        (2, Fact::Stop),
        (3, Fact::Start),
        (4, Fact::Stop),
        (5, Fact::Restart),
        (6, Fact::Gone),
        (7, Fact::Restart),
    ];
    expect![[r#"
        00000 starting launch
        00001 started probe
        00002 stopping end
        00003 stopping
        00004 stopping
        00005 stopping
        00006 starting launch
        00007 stopping end
    "#]]
    .assert_eq(&told(Policy::default(), &facts));
}

#[test]
fn who_is_held_comes_up_when_he_is_told() {
    let facts = [
        (0, Fact::Start),
        (1, Fact::Up),
        (2, Fact::Passed),
        (3, Fact::Hold),
        (4, Fact::Gone),
        (90_000, Fact::Time),
        (90_001, Fact::Start),
        (90_002, Fact::Hold),
        (90_003, Fact::Gone),
        (90_004, Fact::Blocked("db".into())),
        (90_005, Fact::Hold),
        (90_006, Fact::Stop),
    ];
    expect![[r#"
        00000 starting launch
        00001 started probe
        00002 ready
        00003 stopping end
        00004 waiting
        90000 waiting
        90001 starting launch
        90002 stopping end
        90003 waiting
        90004 failed: not started again, because `db`, which it needs, is not up
        90005 waiting
        90006 stopped
    "#]]
    .assert_eq(&told(Policy::default(), &facts));
}

fn any_fact() -> impl Strategy<Value = Fact> {
    prop_oneof![
        Just(Fact::Start),
        Just(Fact::Stop),
        Just(Fact::Restart),
        Just(Fact::Hold),
        Just(Fact::Blocked("db".into())),
        Just(Fact::Up),
        Just(Fact::Passed),
        Just(Fact::Gone),
        Just(Fact::Stuck(BAD)),
        Just(Fact::Time),
        prop_oneof![Just(BAD), Just(GOOD), Just(Exit::Told)].prop_map(Fact::Ended),
    ]
}

proptest! {
    /// Whatever happens in whatever order: nothing is launched while something runs, what was launched is ended before it
    /// is launched again, and no more restarts follow each other than allowed.
    #[test]
    fn a_life_holds_its_laws(
        facts in prop::collection::vec((any_fact(), 0_u64..2000), 1..80),
        max in 0_u32..4,
        when in prop_oneof![Just(When::Never), Just(When::OnFailure), Just(When::Always)],
    ) {
        let mut life = Life::new(&Spec { restart: Policy { when, max }, ..spec(Path::new("/"), "a", "") });
        let mut now = Instant::now();
        let mut running = false;
        let mut ending = false;
        for (fact, pause) in facts {
            now += Duration::from_millis(pause);
            // The world tells only what can happen.
            match fact {
                Fact::Up | Fact::Passed if !running || ending => continue,
                Fact::Ended(_) if !running || ending => continue,
                Fact::Gone | Fact::Stuck(_) if !ending => continue,
                _ => {}
            }
            running &= !matches!(fact, Fact::Ended(_) | Fact::Gone | Fact::Stuck(_));
            ending &= !matches!(fact, Fact::Gone | Fact::Stuck(_));
            for step in life.on(fact, now) {
                match step {
                    Step::Launch => {
                        prop_assert!(!running && !ending);
                        running = true;
                    }
                    Step::End => {
                        prop_assert!(running && !ending);
                        ending = true;
                    }
                    Step::Probe => prop_assert!(running),
                    Step::Tell => {}
                }
            }
            prop_assert_eq!(life.is_resting(), life.state().is_over());
            let comes = matches!(life.state(), State::Pausing { .. } | State::Waiting);
            prop_assert_eq!(life.is_resting(), !running && !comes);
            if let State::Pausing { attempt, .. } = life.state() {
                prop_assert!(life.in_a_row() <= max && when != When::Never);
                prop_assert_eq!(*attempt, life.restarts());
            }
        }
    }
}

#[test]
fn a_service_is_ready_when_all_probes_pass_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let supervisor = Supervisor::new(Clock::System, BTreeSet::new());
    let mut api = spec(dir.path(), "api", "touch up; echo listening; echo $$ > pid; exec sleep 1000");
    api.ready.probes =
        vec![probe(Asks::Exec(Command::Shell("test -e up".into()))), probe(Asks::Log("^listening$".into()))];
    assert_eq!(supervisor.up(api.clone()), Begun::Started);
    let status = wait(&supervisor, "api", Gate::Ready).unwrap();
    assert_eq!(status.state, State::Ready);
    let process = status.process.expect("a child is known by its process");
    assert!(process.is_alive());
    assert_eq!(supervisor.up(api.clone()), Begun::Already);
    // Another value: another process.
    api.identity = Digest::of(b"other");
    assert_eq!(supervisor.up(api), Begun::Changed);
    let other = wait(&supervisor, "api", Gate::Ready).unwrap().process.unwrap();
    assert!(!process.is_alive());
    assert_ne!(process, other);
    let status = &supervisor.statuses_with_usage()[0];
    assert!(status.usage.is_some_and(|usage| usage.processes == 1), "{status:?}");
    supervisor.stop_all();
    assert!(!other.is_alive());
    assert_eq!(supervisor.status("api").unwrap().state, State::Stopped);
}

#[test]
fn the_end_of_a_service_is_told_with_its_last_words() {
    let dir = tempfile::tempdir().unwrap();
    let supervisor = Supervisor::new(Clock::System, BTreeSet::new());
    let mut api = spec(dir.path(), "api", "seq 30; echo cannot bind >&2; exit 3");
    api.ready.probes = vec![probe(Asks::Exec(Command::Shell("echo not yet; exit 7".into())))];
    api.hint = Some("look at the port".into());
    supervisor.up(api.clone());
    let failure = wait(&supervisor, "api", Gate::Ready).unwrap_err();
    assert_eq!(failure.reason, "ended with exit status 3");
    assert_eq!(failure.lines.len(), 20);
    assert_eq!(failure.lines.last().unwrap(), "cannot bind");
    assert_eq!(failure.hint.as_deref(), Some("look at the port"));

    api.how = How::Child { run: Command::Shell("sleep 1000".into()), stop: None };
    api.ready.timeout = Duration::from_millis(300);
    supervisor.up(api);
    let failure = wait(&supervisor, "api", Gate::Ready).unwrap_err();
    assert_eq!(failure.reason, "not ready within 300ms");
    assert_eq!(failure.probe.as_deref(), Some("probe: exit status 7: not yet"));
    assert!(supervisor.is_idle());
}

#[test]
fn services_are_stopped_in_reverse_order() {
    let dir = tempfile::tempdir().unwrap();
    let supervisor = Supervisor::new(Clock::System, BTreeSet::new());
    for (label, needs) in [("db", ""), ("api", "db"), ("web", "api")] {
        let run = format!(
            "trap 'echo {label} >> order; exit 0' TERM; touch {label}.up; while :; do sleep 0.01; done"
        );
        let mut spec = spec(dir.path(), label, &run);
        spec.needs = needs.split_whitespace().map(|need| (need.to_owned(), Gate::Ready)).collect();
        spec.ready.probes = vec![probe(Asks::Exec(Command::Shell(format!("test -e {label}.up"))))];
        supervisor.up(spec);
        wait(&supervisor, label, Gate::Ready).unwrap();
    }
    supervisor.stop(&["api".to_owned()]);
    assert_eq!(supervisor.status("db").unwrap().state, State::Ready);
    drop(supervisor);
    let order = std::fs::read_to_string(dir.path().join("order")).unwrap();
    assert_eq!(order, "web\napi\ndb\n");
}

/// A service that says that it was told to end, and ends when there is a file `may`.
fn reluctant(dir: &Path, label: &str) -> Spec {
    let run = format!(
        "trap 'touch {label}.ending; while test ! -e may; do sleep 0.01; done; rm {label}.ending; exit 0' TERM; \
         touch {label}.up; while :; do sleep 0.01; done"
    );
    let mut spec = spec(dir, label, &run);
    spec.timeout = Some(Duration::from_secs(120));
    spec.ready.probes = vec![probe(Asks::Exec(Command::Shell(format!("test -e {label}.up"))))];
    spec
}

#[track_caller]
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let late = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < late, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn who_takes_long_to_end_keeps_up_only_what_it_needs() {
    let dir = tempfile::tempdir().unwrap();
    let supervisor = Supervisor::new(Clock::System, BTreeSet::new());
    let slow = Spec { needs: [("base".to_owned(), Gate::Ready)].into(), ..reluctant(dir.path(), "slow") };
    let ended = Spec { needs: [("db".to_owned(), Gate::Ready)].into(), ..spec(dir.path(), "ended", "true") };
    let others = [noting(dir.path(), "db", &[]), noting(dir.path(), "api", &[("db", Gate::Ready)])];
    up_in_order(&supervisor, &[&[noting(dir.path(), "base", &[]), slow], &others[..]].concat());
    supervisor.up(ended);
    wait(&supervisor, "ended", Gate::Completed).unwrap();
    let stop = {
        let supervisor = Arc::clone(&supervisor);
        std::thread::spawn(move || supervisor.stop_all())
    };
    let state = |label: &str| supervisor.status(label).unwrap().state;
    until("`db` is down although `slow` is not", || state("db") == State::Stopped);
    assert_eq!(state("api"), State::Stopped);
    assert!(matches!(state("slow"), State::Stopping { .. }), "{:?}", state("slow"));
    assert_eq!(state("base"), State::Ready, "`slow` needs it to its end");
    std::fs::write(dir.path().join("may"), "").unwrap();
    stop.join().unwrap();
    assert_eq!((state("slow"), state("base")), (State::Stopped, State::Stopped));
}

#[test]
fn who_is_wanted_while_it_stops_comes_up_again() {
    let dir = tempfile::tempdir().unwrap();
    let supervisor = Supervisor::new(Clock::System, BTreeSet::new());
    let slow = reluctant(dir.path(), "slow");
    let quick = Spec { needs: [("slow".to_owned(), Gate::Ready)].into(), ..reluctant(dir.path(), "quick") };
    up_in_order(&supervisor, &[slow.clone(), quick]);
    let wanted = Arc::new(AtomicBool::new(false));
    let stop = {
        let (supervisor, wanted) = (Arc::clone(&supervisor), Arc::clone(&wanted));
        let labels = ["slow", "quick"].map(str::to_owned);
        let is_wanted = move || {
            let wanted = wanted.load(Ordering::SeqCst);
            move |label: &str| wanted && label == "slow"
        };
        std::thread::spawn(move || supervisor.stop_unless(&labels, is_wanted))
    };
    until("`quick` is told to end", || dir.path().join("quick.ending").exists());
    // Nobody has told it yet: it stays as it is, and whoever stops the others does not wait for it.
    wanted.store(true, Ordering::SeqCst);
    assert_eq!(supervisor.up(slow.clone()), Begun::Already);
    std::fs::write(dir.path().join("may"), "").unwrap();
    stop.join().unwrap();
    assert_eq!(supervisor.status("slow").unwrap().state, State::Ready);
    // It has been told: whoever wants it has it up again when it is down.
    std::fs::remove_file(dir.path().join("may")).unwrap();
    let before = supervisor.status("slow").unwrap().process;
    let stop = {
        let supervisor = Arc::clone(&supervisor);
        std::thread::spawn(move || supervisor.stop(&["slow".to_owned()]))
    };
    until("`slow` is told to end", || dir.path().join("slow.ending").exists());
    std::fs::remove_file(dir.path().join("slow.up")).unwrap();
    assert_eq!(supervisor.up(slow), Begun::Started);
    std::fs::write(dir.path().join("may"), "").unwrap();
    let again = wait(&supervisor, "slow", Gate::Ready).unwrap();
    assert_ne!(again.process, before);
    supervisor.stop_all();
    stop.join().unwrap();
}

/// A service that takes note of its beginning, of being ready a moment later, and of its end.
fn noting(dir: &Path, label: &str, needs: &[(&str, Gate)]) -> Spec {
    let run = format!(
        "trap 'echo -{label} >> order; rm -f {label}.up; exit 0' TERM; echo +{label} >> order; test ! -e {label}.bad; \
         sleep 0.2; echo ={label} >> order; touch {label}.up; while :; do sleep 0.01; done"
    );
    let mut spec = spec(dir, label, &run);
    spec.needs = needs.iter().map(|(need, gate)| ((*need).to_owned(), *gate)).collect();
    spec.ready.probes = vec![probe(Asks::Exec(Command::Shell(format!("test -e {label}.up"))))];
    spec
}

fn up_in_order(supervisor: &Supervisor, specs: &[Spec]) {
    for spec in specs {
        supervisor.up(spec.clone());
        wait(supervisor, &spec.label, Gate::Ready).unwrap();
    }
}

#[test]
fn services_are_started_again_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let supervisor = Supervisor::new(Clock::System, BTreeSet::new());
    let all = ["web", "log", "api", "db"].map(str::to_owned);
    up_in_order(
        &supervisor,
        &[
            noting(dir.path(), "db", &[]),
            noting(dir.path(), "log", &[]),
            noting(dir.path(), "api", &[("db", Gate::Ready)]),
            noting(dir.path(), "web", &[("db", Gate::Ready), ("api", Gate::Started)]),
        ],
    );
    std::fs::remove_file(dir.path().join("order")).unwrap();
    let before: Vec<_> = supervisor.statuses().into_iter().map(|status| status.process).collect();
    assert_eq!(supervisor.restart(&all), ["db", "log", "api", "web"]);
    for label in &all {
        wait(&supervisor, label, Gate::Ready).unwrap();
    }
    let order = std::fs::read_to_string(dir.path().join("order")).unwrap();
    let at = |what: &str| order.lines().position(|line| line == what).expect(what);
    for pair in ["-web -api", "-api -db", "-db +db", "=db +api", "=db +web", "+api +web", "-log +log"] {
        let (first, second) = pair.split_once(' ').unwrap();
        assert!(at(first) < at(second), "{pair}: {order}");
    }
    assert!(at("+web") < at("=api"), "`web` needs no more than a beginning of `api`: {order}");
    for (status, before) in supervisor.statuses().iter().zip(before) {
        assert_ne!(status.process, before);
        assert_eq!(status.restarts, 0, "nothing of this was by itself");
    }
    // One alone: what needs it goes on.
    std::fs::remove_file(dir.path().join("order")).unwrap();
    assert_eq!(supervisor.restart(&["db".to_owned()]), ["db"]);
    wait(&supervisor, "db", Gate::Ready).unwrap();
    assert_eq!(std::fs::read_to_string(dir.path().join("order")).unwrap(), "-db\n+db\n=db\n");
}

#[test]
fn what_needs_one_that_does_not_come_up_again_is_not_started() {
    let dir = tempfile::tempdir().unwrap();
    let supervisor = Supervisor::new(Clock::System, BTreeSet::new());
    let both = ["api", "db"].map(str::to_owned);
    up_in_order(
        &supervisor,
        &[noting(dir.path(), "db", &[]), noting(dir.path(), "api", &[("db", Gate::Ready)])],
    );
    std::fs::write(dir.path().join("db.bad"), "").unwrap();
    supervisor.restart(&both);
    assert_eq!(wait(&supervisor, "db", Gate::Ready).unwrap_err().reason, "ended with exit status 1");
    let failure = wait(&supervisor, "api", Gate::Ready).unwrap_err();
    assert_eq!(failure.reason, "not started again, because `db`, which it needs, is not up");
    assert!(supervisor.is_idle());
    // Both have failed, and both come when the reason is gone.
    std::fs::remove_file(dir.path().join("db.bad")).unwrap();
    supervisor.restart(&both);
    both.iter().for_each(|label| drop(wait(&supervisor, label, Gate::Ready).unwrap()));
}

#[test]
fn who_is_stopped_meanwhile_is_not_started_again() {
    let dir = tempfile::tempdir().unwrap();
    let supervisor = Supervisor::new(Clock::System, BTreeSet::new());
    let both = ["api", "db"].map(str::to_owned);
    let slow = "trap 'touch ending; while test ! -e may; do sleep 0.01; done; exit 0' TERM; touch db.up; while :; do sleep 0.01; done";
    let mut db = noting(dir.path(), "db", &[]);
    db.how = How::Child { run: Command::Shell(slow.into()), stop: None };
    up_in_order(&supervisor, &[db, noting(dir.path(), "api", &[("db", Gate::Ready)])]);
    let again = {
        let (supervisor, both) = (supervisor.clone(), both.clone());
        std::thread::spawn(move || supervisor.restart(&both))
    };
    while !dir.path().join("ending").exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(supervisor.status("api").unwrap().state, State::Waiting);
    assert!(!supervisor.is_idle());
    supervisor.stop(&["api".to_owned()]);
    std::fs::write(dir.path().join("may"), "").unwrap();
    again.join().unwrap();
    wait(&supervisor, "db", Gate::Ready).unwrap();
    assert_eq!(supervisor.status("api").unwrap().state, State::Stopped);
}

#[test]
fn a_restart_by_itself_is_marked_in_its_log_and_another_start_has_a_log_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let supervisor = Supervisor::new(Clock::System, BTreeSet::new());
    let run = "echo x >> tries; echo try $(wc -l < tries); test $(wc -l < tries) -ge 2 || exit 7; touch up; exec sleep 1000";
    let mut api = spec(dir.path(), "api", run);
    api.ready.probes = vec![probe(Asks::Exec(Command::Shell("test -e up".into())))];
    api.restart = Policy { when: When::OnFailure, max: 5 };
    let told = supervisor.subscribe();
    supervisor.up(api.clone());
    wait(&supervisor, "api", Gate::Ready).unwrap();
    let pausing =
        std::iter::from_fn(|| told.next(Some(Duration::from_secs(60)))).find_map(|told| match told {
            Told::Changed(status) if matches!(status.state, State::Pausing { .. }) => Some(status),
            _ => None,
        });
    // A failure is told with its last words, also if it is started again.
    let failure = pausing.expect("it was told").failure.unwrap();
    assert_eq!(
        (failure.reason.as_str(), &failure.lines[..]),
        ("ended with exit status 7", &["try 1".to_owned()][..])
    );
    supervisor.restart(&["api".to_owned()]);
    wait(&supervisor, "api", Gate::Ready).unwrap();
    supervisor.stop_all();
    let read = |mut reader: super::log::LogReader| {
        let mut all = String::new();
        let moment = regex::Regex::new(r"\d{4}-.* UTC").unwrap();
        loop {
            let mut text = Vec::new();
            let start = reader.read(&mut text).unwrap();
            all.extend(start.iter().map(|_| "<start>\n"));
            if text.is_empty() && start.is_none() {
                return moment.replace_all(&all, "<time>").into_owned();
            }
            all.push_str(&String::from_utf8(text).unwrap());
        }
    };
    assert_eq!(read(super::log::LogReader::new(&api.logs, None).unwrap()), "try 3\n");
    expect![[r#"
        <start>
        try 1
        --- envrun: it ended with exit status 7; restart 1 at <time>
        try 2
        <start>
        try 3
    "#]]
    .assert_eq(&read(super::log::LogReader::all(&api.logs).unwrap()));
}

#[test]
fn a_service_says_itself_that_it_is_ready() {
    use std::os::unix::net::UnixDatagram;
    let dir = tempfile::tempdir().unwrap();
    let voice = super::probe::Voice::new(&spec(dir.path(), "a", ""));
    let socket = super::probe::NotifySocket::open(&voice).unwrap();
    let sender = UnixDatagram::unbound().unwrap();
    let mut a = spec(dir.path(), "a", "");
    a.ready.probes = vec![probe(Asks::Notify)];
    let processes = crate::exec::Processes::new(Duration::ZERO);
    let questioner = super::probe::Questioner::new(&a, &voice, &processes);
    let ask = |pause| questioner.ask(&a.ready.probes[0], Duration::from_secs(pause));
    assert!(ask(0).is_err());
    #[cfg(target_os = "linux")]
    {
        use std::os::linux::net::SocketAddrExt;
        let name = socket.name.to_str().unwrap().strip_prefix('@').unwrap();
        let address = std::os::unix::net::SocketAddr::from_abstract_name(name).unwrap();
        sender.send_to_addr(b"STATUS=loading\nREADY=1\n", &address).unwrap();
    }
    #[cfg(not(target_os = "linux"))]
    sender.send_to(b"STATUS=loading\nREADY=1\n", &socket.name).unwrap();
    assert_eq!(ask(10), Ok(()));
}

#[test]
fn a_daemon_that_was_up_before_stays_up() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = || {
        let mut spec = spec(dir.path(), "db", "");
        spec.how = How::Daemon {
            start: Command::Shell("echo start >> calls; touch up".into()),
            stop: Some(Command::Shell("echo stop >> calls; rm up".into())),
            log: Some(Command::Shell("echo from the log; exec sleep 1000".into())),
        };
        spec.ready.probes = vec![probe(Asks::Exec(Command::Shell("test -e up".into())))];
        spec
    };
    let calls = || std::fs::read_to_string(dir.path().join("calls")).unwrap_or_default();
    let supervisor = Supervisor::new(Clock::System, BTreeSet::new());
    let told = supervisor.subscribe();
    supervisor.up(daemon());
    wait(&supervisor, "db", Gate::Ready).unwrap();
    // Its log is followed.
    let is_log = |told: Told| matches!(told, Told::Output { bytes, .. } if bytes == b"from the log\n");
    while !is_log(told.next(Some(Duration::from_secs(10))).expect("the log is told")) {}
    drop(supervisor);
    assert_eq!(calls(), "start\nstop\n");

    std::fs::write(dir.path().join("up"), "").unwrap();
    let supervisor = Supervisor::new(Clock::System, BTreeSet::new());
    supervisor.up(daemon());
    wait(&supervisor, "db", Gate::Ready).unwrap();
    assert!(supervisor.status("db").unwrap().found);
    drop(supervisor);
    assert_eq!(calls(), "start\nstop\n", "neither started nor stopped");

    // One that an earlier supervisor of ours started is ours.
    let supervisor = Supervisor::new(Clock::System, BTreeSet::from(["db".to_owned()]));
    supervisor.up(daemon());
    wait(&supervisor, "db", Gate::Ready).unwrap();
    drop(supervisor);
    assert_eq!(calls(), "start\nstop\nstart\nstop\n");
}

#[test]
fn a_daemon_whose_stop_fails_has_failed_and_can_be_stopped_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut spec = spec(dir.path(), "db", "");
    spec.how = How::Daemon {
        start: Command::Shell("touch up".into()),
        stop: Some(Command::Shell("test -e may || { echo busy; exit 3; }; rm up".into())),
        log: None,
    };
    spec.ready.probes = vec![probe(Asks::Exec(Command::Shell("test -e up".into())))];
    let supervisor = Supervisor::new(Clock::System, BTreeSet::new());
    supervisor.up(spec.clone());
    assert!(!wait(&supervisor, "db", Gate::Ready).unwrap().found);
    supervisor.stop_all();
    let failure = supervisor.status("db").unwrap().failure.unwrap();
    assert_eq!(failure.reason, "its `stop` command ended with exit status 3, so it may still be up");
    assert_eq!(failure.lines[0], "busy");
    std::fs::write(dir.path().join("may"), "").unwrap();
    supervisor.up(spec);
    assert!(!wait(&supervisor, "db", Gate::Ready).unwrap().found, "it is ours");
    supervisor.stop_all();
    assert_eq!(supervisor.status("db").unwrap().state, State::Stopped);
    assert!(!dir.path().join("up").exists());
}

#[test]
fn a_crashing_service_is_started_again_until_it_stays() {
    let dir = tempfile::tempdir().unwrap();
    let supervisor = Supervisor::new(Clock::System, BTreeSet::new());
    let run = "echo x >> tries; test $(wc -l < tries) -ge 3 || exit 1; touch up; exec sleep 1000";
    let mut api = spec(dir.path(), "api", run);
    api.ready.probes = vec![probe(Asks::Exec(Command::Shell("test -e up".into())))];
    api.restart = Policy { when: When::OnFailure, max: 5 };
    supervisor.up(api);
    let status = wait(&supervisor, "api", Gate::Ready).unwrap();
    assert_eq!(status.restarts, 2);
    assert_eq!(status.last_exit, Some(BAD));
}
