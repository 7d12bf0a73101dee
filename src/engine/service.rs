//! Services as nodes of a run: started, waited for, let go.
//!
//! A service's node does its work in its check, which takes no place of `-j`: it asks the supervisor of its environment
//! to have the service up, says how far it has come, and is over when everybody who needs it may begin. What the run
//! asked for is let go when its last node is over.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use serde::Serialize;

use crate::base::{Digest, Timestamp};
use crate::diag::{Diagnostic, Spanned};
use crate::event::{Because, Event, Failure, Notice, Outcome};
use crate::exec::Environ;
use crate::graph::{ConfiguredTask, NodeIx, TaskGraph};
use crate::model::{Command, EnvName, Envfile, Gate, Node, ProbeKind, Service, VarName, VarType};
use crate::service::part::{Part, Parts};
use crate::service::spec::{
    Asks, How, Link, Policy, Probe, READY_EVERY, READY_TIMEOUT, RESTARTS, Readiness, Variables, When,
};
use crate::service::{self, Begun, Place, Session, SessionError, Spec, State, Status, Subscription, Told};
use crate::vars::{Form, Lookup, reads, reads_of_service};

use super::action::export_file;
use super::dispatcher::{Message, OutputRoom};
use super::surroundings::{Scene, Surroundings};

/// What becomes of the services of a run when it is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Hold {
    /// What it started is stopped.
    #[default]
    Run,
    /// They stay up.
    Keep,
    /// They stay up from run to run, until whoever has the session lets them go.
    Session,
    /// The run goes on until it is stopped, or all of them are over; their output is shown.
    Attach,
}

/// The sessions of a run with the supervisors of its environments.
#[derive(Debug)]
pub struct Services {
    /// The project's `.envrun`.
    state: PathBuf,
    /// envrun itself.
    program: PathBuf,
    /// What becomes of them.
    pub hold: Hold,
    sessions: Mutex<BTreeMap<Option<EnvName>, Arc<Session>>>,
    /// By label, what its node told of a service.
    told: Mutex<BTreeMap<String, Option<News>>>,
    /// Who hears of services that stay up from run to run.
    ear: OnceLock<Ear>,
}

/// What was told of a service last. A state is told once for each life that comes to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum News {
    /// One that was started then is ready, since then.
    Ready(Option<Timestamp>, Option<Timestamp>),
    /// One that was started then is started again for this time.
    Restart(Option<Timestamp>, u32),
    /// One that was started then is being stopped.
    Stopping(Option<Timestamp>),
    /// One that was started then is over: whether it failed.
    Over(Option<Timestamp>, bool),
}

impl News {
    /// What there is to tell of a service that stands like this.
    fn of(status: &Status) -> Option<Self> {
        match &status.state {
            State::Starting | State::Started | State::Waiting => None,
            State::Stopping { .. } => Some(Self::Stopping(status.started)),
            State::Pausing { attempt, .. } => Some(Self::Restart(status.started, *attempt)),
            State::Ready => Some(Self::Ready(status.started, status.ready)),
            State::Failed(_) => Some(Self::Over(status.started, true)),
            State::Stopped | State::Completed => Some(Self::Over(status.started, false)),
        }
    }

    /// Which of its lives it is about, by its beginning.
    fn started(self) -> Option<Timestamp> {
        match self {
            Self::Ready(started, _)
            | Self::Restart(started, _)
            | Self::Stopping(started)
            | Self::Over(started, _) => started,
        }
    }
}

/// Hears what the supervisors tell, from whatever thread; `None` when one of them has ended.
pub struct Ear(Arc<dyn Fn(Option<Told>) + Send + Sync>);

impl Ear {
    /// Calls this for everything that is told.
    pub fn new(hear: impl Fn(Option<Told>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(hear))
    }
}

impl fmt::Debug for Ear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ear")
    }
}

/// Variables that are different in every run, and say nothing of what a service is.
const OUTSIDE_IDENTITY: &[&str] = &["ENVRUN_RUN", "ENVRUN_TIME", "ENVRUN_EXPORT"];

/// Variables that serve commands of this run alone.
const OF_THE_RUN: &[&str] = &["MAKEFLAGS", "ENVRUN_EXPORT"];

impl Services {
    /// None is known yet, and no supervisor is started before there is one.
    pub fn new(state: PathBuf, program: PathBuf, hold: Hold) -> Self {
        Self {
            state,
            program,
            hold,
            sessions: Mutex::default(),
            told: Mutex::default(),
            ear: OnceLock::new(),
        }
    }

    /// From now on whatever the supervisors tell is told to `ear`, and not to the run that found them. Once.
    pub fn listen(&self, ear: Ear) {
        let _ = self.ear.set(ear);
    }

    /// Lets go of everything but these.
    pub fn let_go_but(&self, labels: &BTreeSet<String>) {
        let sessions: Vec<Arc<Session>> = lock(&self.sessions).values().cloned().collect();
        let mut told = lock(&self.told);
        let others: Vec<String> = told.keys().filter(|label| !labels.contains(*label)).cloned().collect();
        told.retain(|label, _| labels.contains(label));
        drop(told);
        if !others.is_empty() {
            for session in sessions {
                let _ = session.release(others.clone());
            }
        }
    }

    /// The place of an environment's services.
    pub fn place(&self, env: Option<&EnvName>) -> Place {
        Place::new(&self.state, env.map(EnvName::as_str))
    }

    /// The session with an environment's supervisor; a new one is followed by `follow`.
    fn session(
        &self,
        env: Option<&EnvName>,
        follow: impl FnOnce(&Arc<Session>) -> Result<(), SessionError>,
    ) -> Result<Arc<Session>, SessionError> {
        // Held while one is opened: two nodes that begin together share it.
        let mut sessions = lock(&self.sessions);
        // One whose supervisor was killed is of no use to anybody: the next one begins anew.
        if let Some(session) = sessions.get(&env.cloned()).filter(|session| !session.is_gone()) {
            return Ok(Arc::clone(session));
        }
        let session = Arc::new(Session::open(&self.place(env), &self.program)?);
        follow(&session)?;
        sessions.insert(env.cloned(), Arc::clone(&session));
        Ok(session)
    }

    /// Whether the run has asked for any service.
    pub fn are_there(&self) -> bool {
        !lock(&self.sessions).is_empty()
    }

    /// Lets everything go that the run asked for. Returns when what nobody else needs is down.
    pub fn let_go(&self) {
        let sessions: Vec<Arc<Session>> = lock(&self.sessions).values().cloned().collect();
        let labels: Vec<String> = lock(&self.told).keys().cloned().collect();
        for session in sessions {
            // Whoever is gone took his services along.
            let _ = session.release(labels.clone());
        }
    }

    /// Gives what is being stopped less time.
    pub fn hurry(&self, level: u32) {
        for session in lock(&self.sessions).values() {
            let _ = session.hurry(level);
        }
    }

    /// What is known of all of them.
    pub fn statuses(&self) -> Vec<Status> {
        let sessions: Vec<Arc<Session>> = lock(&self.sessions).values().cloned().collect();
        sessions.iter().filter_map(|session| session.statuses(false).ok()).flatten().collect()
    }

    /// What is known of those that the run asked for.
    pub(super) fn asked_for(&self) -> Vec<Status> {
        let statuses = self.statuses().into_iter();
        statuses.filter(|status| lock(&self.told).contains_key(&status.label)).collect()
    }

    /// Whether all of them are over.
    pub fn are_over(&self) -> bool {
        let over = |session: &Arc<Session>| {
            let statuses = session.statuses(false);
            statuses.is_ok_and(|statuses| statuses.iter().all(|status| status.state.is_over()))
        };
        lock(&self.sessions).values().all(over)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the nodes of services do in a run.
pub(super) struct Serve<'a> {
    pub(super) around: &'a Surroundings<'a>,
    pub(super) graph: &'a TaskGraph,
    pub(super) dry_run: bool,
    /// It is to be started again even if it is up.
    pub(super) forced: bool,
    pub(super) room: &'a Arc<OutputRoom>,
}

impl Serve<'_> {
    /// The service at `node` with every value filled in, and what it rests on.
    #[expect(clippy::result_large_err, reason = "an outcome is what every path of the caller ends in")]
    pub(super) fn spec(
        &self,
        node: NodeIx,
        service: &Service,
        content: Option<Digest>,
        of_content: Vec<(Part, Digest)>,
    ) -> Result<Spec, Outcome> {
        match spec(self.around, self.graph, node, service) {
            Ok(mut spec) => {
                spec.content = content;
                of_content.into_iter().for_each(|(part, digest)| spec.parts.add(part, digest.as_bytes()));
                Ok(spec)
            }
            Err(diagnostic) => {
                let help = diagnostic.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
                let reason = format!("{}{help}", diagnostic.message);
                let hint = self.graph[node].task.hint.clone();
                Err(Outcome::Failed { failure: Failure::Io { reason }, log: None, hint })
            }
        }
    }

    /// Has a service up, as far as everybody wants it who needs it.
    pub(super) fn serve(&self, node: NodeIx, spec: Spec, send: &Sender<Message>) -> Outcome {
        let configured = &self.graph[node];
        if self.dry_run {
            return self.would(configured, spec);
        }
        self.bring_up(node, spec, send).unwrap_or_else(|error| Outcome::Failed {
            failure: Failure::Io { reason: error.to_string() },
            log: None,
            hint: error.hint().or_else(|| configured.task.hint.clone()),
        })
    }

    /// Whether it is up, or on its way, as it is wanted: somebody else may have started it.
    pub(super) fn is_up(&self, configured: &ConfiguredTask, spec: &Spec) -> bool {
        self.stands(configured, spec).is_some_and(|state| !state.is_over())
    }

    /// Whether it has come to its end, and well, as it is wanted.
    pub(super) fn is_completed(&self, configured: &ConfiguredTask, spec: &Spec) -> bool {
        self.stands(configured, spec) == Some(State::Completed)
    }

    /// Where it stands, if it is what is wanted and its supervisor is known here.
    fn stands(&self, configured: &ConfiguredTask, spec: &Spec) -> Option<State> {
        let sessions = lock(&self.around.services.sessions);
        let session = sessions.get(&configured.env).cloned()?;
        drop(sessions);
        let is_it = |status: &Status| status.label == spec.label && status.identity == spec.identity;
        session.statuses(false).ok()?.into_iter().find(is_it).map(|status| status.state)
    }

    fn would(&self, configured: &ConfiguredTask, spec: Spec) -> Outcome {
        let place = self.around.services.place(configured.env.as_ref());
        let session = Session::attach(&place).ok().flatten();
        let statuses = session.as_ref().and_then(|session| session.statuses(false).ok());
        let status = statuses.into_iter().flatten().find(|status| status.label == spec.label);
        match status.filter(|status| !status.state.is_over()) {
            Some(status) if !self.forced && begun_of(&status, &spec) == Begun::Already => {
                Outcome::Up { begun: Begun::Already, gate: Gate::Ready, urls: spec.urls }
            }
            found => Outcome::WouldRun {
                because: match &found {
                    None => because(Begun::Started, Vec::new()),
                    Some(_) if self.forced => because(Begun::Again, Vec::new()),
                    Some(status) => {
                        let differs = session.and_then(|session| session.differences(spec.clone()).ok());
                        because(begun_of(status, &spec), differs.unwrap_or_default())
                    }
                },
                commands: vec![spec.how.command().display()],
            },
        }
    }

    fn bring_up(&self, node: NodeIx, spec: Spec, send: &Sender<Message>) -> Result<Outcome, SessionError> {
        let services = self.around.services;
        let configured = &self.graph[node];
        let session = services.session(configured.env.as_ref(), |session| {
            for label in &session.ended {
                let message =
                    format!("`{label}` of an earlier envrun that was killed was still there, and was ended");
                let _ = send.send(Message::Notice(Notice { node: None, message, hint: None }));
            }
            self.follow(session, send)
        })?;
        let (label, urls) = (spec.label.clone(), spec.urls.clone());
        let (dir, command) = (configured.task.dir.value.clone(), spec.how.command().display());
        lock(&services.told).insert(label.clone(), None);
        let (mut begun, differences) = session.up(spec)?;
        if begun == Begun::Already && self.forced && !session.restart(vec![label.clone()], true)?.is_empty() {
            begun = Begun::Again;
        }
        let because = because(begun, differences);
        let started = Message::Started { node, because, commands: vec![command], dir };
        let is_up = begun == Begun::Already
            && session
                .statuses(false)?
                .iter()
                .any(|status| status.label == label && status.state == State::Ready);
        if !is_up {
            let _ = send.send(started);
        }
        let gates = self.graph.gates(node);
        let given_up = || self.around.processes.interrupted().is_some();
        let end = gates.last().copied().unwrap_or_default();
        for gate in gates {
            let status = match session.wait(&label, gate, &given_up)? {
                Some(Ok(status)) => status,
                Some(Err(failure)) => {
                    let known = session.statuses(false)?;
                    let status = known.iter().find(|status| status.label == label);
                    services.note(&label, status.and_then(News::of));
                    let log = failure.log.map(|log| {
                        let below = log.strip_prefix(self.around.root).unwrap_or(&log);
                        below.display().to_string()
                    });
                    let hint = failure.hint;
                    let failure = Failure::Service {
                        reason: failure.reason,
                        lines: failure.lines,
                        probe: failure.probe,
                    };
                    return Ok(Outcome::Failed { failure, log, hint });
                }
                None => return Ok(Outcome::Cancelled),
            };
            services.note(&label, News::of(&status));
            if begun == Begun::Started && status.found {
                begun = Begun::Found;
            }
            if services.hold == Hold::Keep {
                session.keep(vec![label.clone()])?;
            }
            if gate < end {
                let _ = send.send(Message::Reached(node, gate));
            }
        }
        Ok(Outcome::Up { begun, gate: end, urls })
    }

    /// Hands on what the supervisor tells, on a thread of its own, until one of both is over.
    fn follow(&self, session: &Session, send: &Sender<Message>) -> Result<(), SessionError> {
        let told = session.subscribe()?;
        let nodes: BTreeMap<String, NodeIx> = self
            .graph
            .iter()
            .filter(|(_, node)| node.kind() == "service")
            .map(|(ix, node)| (node.label.clone(), ix))
            .collect();
        let (send, room) = (send.clone(), Arc::clone(self.room));
        let services = self.around.services;
        let thread = std::thread::Builder::new().name("services".to_owned());
        // Without a thread nobody hears of what changes; the services are as well as they are.
        let _ = if let Some(Ear(hear)) = services.ear.get() {
            let hear = Arc::clone(hear);
            thread.spawn(move || {
                while let Some(told) = told.next(None) {
                    hear(Some(told));
                }
                hear(None);
            })
        } else {
            let output = services.hold == Hold::Attach;
            thread.spawn(move || hand_on(&told, &nodes, &send, &room, output))
        };
        Ok(())
    }
}

fn hand_on(
    told: &Subscription,
    nodes: &BTreeMap<String, NodeIx>,
    send: &Sender<Message>,
    room: &Arc<OutputRoom>,
    output: bool,
) {
    while let Some(told) = told.next(None) {
        let message = match told {
            Told::Changed(status) => nodes.get(&status.label).map(|node| Message::Service(*node, status)),
            Told::Output { label, stream, bytes } => nodes.get(&*label).filter(|_| output).map(|node| {
                let credit = room.take(bytes.len());
                Message::Output { node: *node, stream, bytes, credit }
            }),
        };
        if message.is_some_and(|message| send.send(message).is_err()) {
            return;
        }
    }
    let _ = send.send(Message::Unserved);
}

impl Services {
    /// What is told of a service from now on is news if it is something else.
    fn note(&self, label: &str, news: Option<News>) {
        if let Some(told) = lock(&self.told).get_mut(label) {
            *told = news.or(*told);
        }
    }

    /// Whether a change is news: neither told before, nor told by the node of the service itself as long as that is not
    /// over. What is news is taken as told.
    pub fn is_news(&self, status: &Status, is_over: bool) -> bool {
        let is_news = |news: &News| match news {
            News::Restart(..) => true,
            // Told as ready, it ended by itself, whatever its node is about to find out.
            News::Over(_, true) => {
                let told = lock(&self.told).get(&status.label).copied().flatten();
                is_over || matches!(told, Some(News::Ready(..)))
            }
            _ => is_over,
        };
        let Some(news) = News::of(status).filter(is_news) else { return false };
        match lock(&self.told).get_mut(&status.label) {
            // It comes late: a node hears how its service stands on another way than who is told of all changes.
            Some(Some(told))
                if told.started().zip(news.started()).is_some_and(|(told, news)| news < told) =>
            {
                false
            }
            Some(told) => told.replace(news) != Some(news),
            None => true,
        }
    }

    /// A change of a service, as it is told.
    pub fn changed(&self, node: NodeIx, status: Status) -> Event {
        let Status { state, failure, .. } = status;
        let (failure, log, hint) = match failure.map(|failure| *failure) {
            None => (None, None, None),
            Some(service::Failure { reason, lines, probe, hint, log }) => {
                let root = self.state.parent().unwrap_or(&self.state);
                let log = log.map(|log| log.strip_prefix(root).unwrap_or(&log).display().to_string());
                (Some(Failure::Service { reason, lines, probe }), log, hint)
            }
        };
        Event::ServiceChanged { node, state, failure, log, hint }
    }
}

/// What would have to be done to have up as it is wanted what is up as it is.
fn begun_of(status: &Status, spec: &Spec) -> Begun {
    match (status.content, spec.content) {
        _ if status.identity != spec.identity => Begun::Changed,
        (Some(before), Some(now)) if before != now => Begun::Outdated,
        _ => Begun::Already,
    }
}

/// Why that was done: the first of what differs, where something does.
fn because(begun: Begun, mut differences: Vec<String>) -> Because {
    if matches!(begun, Begun::Changed | Begun::Outdated) && !differences.is_empty() {
        return Because { reason: differences.swap_remove(0), more: differences.len() };
    }
    let reason = match begun {
        Begun::Already => "it is on its way already",
        Begun::Found => "it was up before",
        Begun::Started => "it is not up",
        Begun::Changed => "it runs with other values",
        Begun::Outdated => "what it depends on changed",
        Begun::Again => "it was forced",
    };
    Because { reason: reason.into(), more: 0 }
}

/// What a service is, for the supervisor to say what differs: its texts as they are written, and what it sees by name.
fn parts(service: &Service, configured: &ConfiguredTask, scene: &Scene, seen: &Seen) -> Parts {
    let mut parts = Parts::default();
    for (name, value) in seen {
        if let Some(value) = value {
            parts.add(Part::Variable(name.clone()), value.as_bytes());
        }
    }
    let given = [&service.start, &service.stop, &service.log];
    let given = given.map(|command| command.as_ref().map(|spanned| &spanned.value));
    parts.add(Part::Commands, &text_of(&(configured.commands(), given)));
    parts.add(Part::Shell, &text_of(&scene.shell));
    parts.add(Part::Dir, &text_of(&scene.dir.to_path()));
    let probes = service.ready.iter().flat_map(|ready| &ready.probes);
    let probes: Vec<_> = probes.map(|probe| (&probe.kind, &probe.name)).collect();
    parts.add(Part::Probes, &text_of(&probes));
    parts
}

/// A service with every value filled in. The error is ready to be shown.
pub fn spec(
    around: &Surroundings<'_>,
    graph: &TaskGraph,
    node: NodeIx,
    service: &Service,
) -> Result<Spec, Arc<Diagnostic>> {
    let configured = &graph[node];
    let scene = around.scene(configured)?;
    let text = |text: &str, span| scene.values.interpolate(text, Form::Text, span);
    let command = |command: &Command| around.interpolated(command, &scene.values, &configured.task);
    let given = |command: &Option<Spanned<Command>>| {
        command
            .as_ref()
            .map(|spanned| around.interpolated(&spanned.value, &scene.values, &configured.task))
            .transpose()
    };
    let ports = ports(graph, node, &scene);
    let mut probes = Vec::new();
    for probe in service.ready.iter().flat_map(|ready| &ready.probes) {
        let asks = match &probe.kind {
            ProbeKind::Http { url, status } => Asks::Http { url: text(url, probe.span)?, status: *status },
            ProbeKind::Tcp(address) => Asks::Tcp(text(address, probe.span)?),
            ProbeKind::Exec(asked) => Asks::Exec(command(asked)?),
            ProbeKind::Log(pattern) => Asks::Log(text(pattern, probe.span)?),
            ProbeKind::Notify => Asks::Notify,
        };
        let name = probe.name.clone().unwrap_or_else(|| match &asks {
            Asks::Http { url, .. } => format!("http {url}"),
            Asks::Tcp(address) => format!("tcp {address}"),
            Asks::Exec(command) => format!("exec {}", command.display()),
            Asks::Log(pattern) => format!("log {pattern}"),
            Asks::Notify => "notify".into(),
        });
        probes.push(Probe { name, asks });
    }
    if probes.is_empty() {
        probes.extend(ports.iter().map(|(name, port)| Probe {
            name: format!("tcp localhost:{port} ({name})"),
            asks: Asks::Tcp(format!("localhost:{port}")),
        }));
    }
    let run = configured.commands().into_iter().next().map(command).transpose()?;
    let (start, stop, log) = (given(&service.start)?, given(&service.stop)?, given(&service.log)?);
    let how = match (start, run) {
        (Some(start), _) => How::Daemon { start, stop, log },
        (None, Some(run)) => How::Child { run, stop },
        (None, None) => {
            let message = format!("service `{}` has neither `run` nor `start`", configured.label);
            return Err(Arc::new(Diagnostic::error("run/service", message).at(configured.task.span, "")));
        }
    };
    let mut urls = Vec::new();
    for link in &service.urls {
        let mut url = text(&link.url.value, link.url.span)?;
        // It is for people to see, and written down.
        around.redactor.clean(&mut url);
        urls.push(Link { name: link.name.clone(), url });
    }
    let environ = around.environ(configured, &scene, &export_file(around, node));
    let environ = Environ::new(environ.iter().filter(|(name, _)| !OF_THE_RUN.iter().any(|of| *name == *of)));
    let ready = Readiness {
        probes,
        every: service.ready.as_ref().and_then(|ready| ready.every).unwrap_or(READY_EVERY),
        timeout: service.ready.as_ref().and_then(|ready| ready.timeout).unwrap_or(READY_TIMEOUT),
    };
    let restart = service.restart.as_ref().map_or_else(Policy::default, |restart| Policy {
        when: match restart.when {
            "always" => When::Always,
            "on-failure" => When::OnFailure,
            _ => When::Never,
        },
        max: restart.max.unwrap_or(RESTARTS),
    });
    let dir = scene.dir.below(around.root);
    let seen = seen(configured, around.envfile, &scene);
    let name = configured.path.to_string();
    let env = configured.env.as_ref().map_or("-", EnvName::as_str);
    let log_name = crate::record::log_name(&name);
    let logs = around.root.join(crate::record::STATE_DIR).join("logs").join(env);
    Ok(Spec {
        // Known only when what it needs is over.
        content: None,
        // What it runs, and every value that it sees.
        identity: Digest::of(&text_of(&(&how, &ready.probes, &scene.shell, &scene.dir.to_path(), &seen))),
        parts: parts(service, configured, &scene, &seen),
        label: configured.label.clone(),
        name,
        how,
        dir,
        environ: Variables::from(&environ),
        shell: scene.shell.clone(),
        ready,
        timeout: configured.task.timeout.as_ref().map(|timeout| timeout.value),
        restart,
        urls,
        ports: ports.into_iter().map(|(_, port)| port).collect(),
        needs: needed(graph, node)
            .into_iter()
            .map(|(need, gate)| (graph[need].label.clone(), gate))
            .collect(),
        hint: configured.task.hint.clone(),
        secrets: secrets(&scene),
        logs: logs.join(log_name.trim_end_matches(".log")),
    })
}

/// The values that a service may print and nobody is to read.
fn secrets(scene: &Scene) -> Vec<String> {
    let values = scene.values.iter().filter_map(|(_, lookup)| match lookup {
        Lookup::Value { text, secret: true, .. } => Some(text.to_string()),
        _ => None,
    });
    values.collect()
}

/// The services that a service needs, by whatever way, as far as they are in its environment; and how far each has to be.
fn needed(graph: &TaskGraph, node: NodeIx) -> BTreeMap<NodeIx, Gate> {
    let mut found = BTreeMap::new();
    let mut seen = BTreeSet::from([node]);
    let mut todo = vec![node];
    while let Some(from) = todo.pop() {
        for need in graph.needs(from) {
            if graph[need].kind() == "service" && graph[need].env == graph[node].env {
                let gate = graph.gate(need, from);
                let most = found.entry(need).or_insert(gate);
                *most = gate.max(*most);
            }
            if seen.insert(need) {
                todo.push(need);
            }
        }
    }
    found
}

/// The ports that a service is told to use: each `(port)` variable that it names, and that no service it needs names too:
/// that one is where to find the other.
fn ports(graph: &TaskGraph, node: NodeIx, scene: &Scene) -> Vec<(String, u16)> {
    let configured = &graph[node];
    let theirs: BTreeSet<&VarName> = needed(graph, node)
        .into_keys()
        .filter(|need| graph[*need].path.project == configured.path.project)
        .flat_map(|need| graph[need].reads.iter())
        .collect();
    let is_port = |name: &VarName| {
        let own = configured.task.vars.get(name).and_then(|var| var.ty);
        let declared = || configured.values.declared(name.as_str()).and_then(|declared| declared.asked.ty);
        own.or_else(declared) == Some(VarType::Port)
    };
    let mut ports = Vec::new();
    for name in scene.names.iter().filter(|name| is_port(name)) {
        let own = configured.task.vars.contains_key(name);
        if !own && theirs.contains(name) {
            continue;
        }
        let lookup = scene.values.lookup(name.as_str());
        if let Some(port) = lookup.text().and_then(|text| text.parse().ok()) {
            ports.push((name.to_string(), port));
        }
    }
    ports
}

/// The values that a service sees, by name.
type Seen = BTreeMap<String, Option<String>>;

/// Every value that a service sees: what the Envfile declares. What other services name, and this one does not, is theirs: a
/// port of one is not a reason to start all others again.
fn seen(configured: &ConfiguredTask, envfile: &Envfile, scene: &Scene) -> Seen {
    // Of the Envfile, not of the graph: what a service is does not depend on what else somebody asks for.
    let env = configured.env.as_ref();
    let mut others: BTreeSet<VarName> = BTreeSet::new();
    for path in envfile.node_paths().iter().filter(|path| **path != configured.path) {
        if let Some(Node::Service(service)) = envfile.node(env, path) {
            others.extend(reads(envfile, env, &service.task));
            others.extend(reads_of_service(envfile, service));
        }
    }
    let mut values = Seen::new();
    for (name, lookup) in scene.values.iter() {
        let name_ref = VarName::from(name.as_str());
        if scene.names.contains(&name_ref) || !others.contains(&name_ref) {
            values.insert(name, lookup.text().map(ToString::to_string));
        }
    }
    for name in &scene.names {
        let lookup = scene.values.lookup(name.as_str());
        values.insert(name.to_string(), lookup.text().map(ToString::to_string));
    }
    values.retain(|name, _| !OUTSIDE_IDENTITY.contains(&name.as_str()));
    values
}

fn text_of(what: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(what).expect("texts and lists of texts can be written")
}

/// How long the end of a run looks whether its services are over, when it is attached to them.
pub(super) const LOOK: Duration = Duration::from_millis(500);

/// The service that a node is, if it is one.
pub fn service_of(node: &ConfiguredTask) -> Option<&Arc<Service>> {
    match &node.special {
        Some(Node::Service(service)) => Some(service),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::{Exit, Trouble};

    /// A service as it is at some moment: where it stands, and when it was started and ready.
    fn status(state: State, started: u64, ready: Option<u64>) -> Status {
        let text = serde_json::json!({
            "label": "api", "name": "api", "state": "ready", "started": started, "ready": ready, "restarts": 0,
            "urls": [], "ports": [], "identity": Digest::of(b""), "kept": false, "daemon": false,
        });
        Status { state, ..serde_json::from_value(text).unwrap() }
    }

    #[test]
    fn every_failure_and_every_recovery_is_told_once() {
        let services = Services::new(PathBuf::new(), PathBuf::new(), Hold::Attach);
        lock(&services.told).insert("api".into(), None);
        let exit = || Exit::Status { status: 1 };
        let pausing = |attempt| State::Pausing { exit: exit(), pause: Duration::ZERO, attempt };
        let failed = || State::Failed(Trouble::Ended { exit: exit() });
        let ready = |at| status(State::Ready, at, Some(at));
        let dying = Status { last_exit: Some(exit()), ..ready(20) };
        let news = [
            // Its node tells that it is ready, and notes it.
            (ready(10), false),
            (Status { kept: true, ..ready(10) }, false),
            (status(pausing(1), 10, None), true),
            (status(State::Starting, 20, None), false),
            (status(State::Started, 20, None), false),
            (ready(20), true),
            (Status { kept: false, ..ready(20) }, false),
            // It dies: the first that is known of it is how its process ended.
            (dying, false),
            (status(pausing(2), 20, None), true),
            (status(State::Starting, 30, None), false),
            (status(failed(), 30, None), true),
            (Status { kept: true, ..status(failed(), 30, None) }, false),
            (ready(40), true),
            (status(State::Stopping { kill: None }, 40, None), true),
            (status(State::Stopped, 40, None), true),
            (status(State::Stopped, 40, None), false),
            (status(failed(), 50, None), true),
            (status(failed(), 60, None), true),
            // Of a life before that: it is late.
            (status(State::Stopping { kill: None }, 50, None), false),
            (status(failed(), 60, None), false),
        ];
        services.note("api", News::of(&ready(10)));
        for (at, (status, is_news)) in news.into_iter().enumerate() {
            assert_eq!(services.is_news(&status, true), is_news, "{at}: {status:?}");
        }
        // As long as its node is not over, that tells how it comes up.
        assert!(!services.is_news(&status(failed(), 70, None), false));
        assert!(services.is_news(&status(pausing(1), 70, None), false));
    }
}
