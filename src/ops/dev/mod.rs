//! A session: carry the targets out, wait for a change, carry out what it affects, until the user leaves.
//!
//! ```text
//! plan ─▶ watch what it reads ─▶ run ─▶ wait ◀──────────────┐
//!   ▲                                    │ files, keys       │
//!   └── a text of the Envfile changed ───┴──▶ run, quietly ──┘
//! ```
//!
//! Every run is a run as any other, with the same checks and a record of its own; but the checkout, the store and the
//! graph stay open, nothing is told of a run that finds everything as it was, and what would always run runs only if
//! something that it needs did ([`Memory`]). A change that comes while a run goes on is handed to it at once: see the
//! dispatcher. After each run the session looks once more if anything came meanwhile, so that a change which the run
//! could not take in is not lost.
//!
//! Invariant: which nodes are executed is decided by the same checks as in any run, by content. What a path means only
//! decides whether to look.

mod activity;
mod circling;
mod desk;
mod place;
mod share;
mod values;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, PoisonError};

use crate::base::{Digest, RelPath};
use crate::engine::action::Actions;
use crate::engine::dispatcher::signal_name;
use crate::engine::dispatcher::{self, Ending, Message};
use crate::engine::memory::{Memory, at_rest};
use crate::engine::service::{Ear, Hold};
use crate::engine::surroundings::{Surroundings, state_label};
use crate::event::{Event, Notice, Outcome, Texts, first_of};
use crate::exec::{self, Processes, Signals};
use crate::fingerprint::Interest;
use crate::graph::NodeIx;
use crate::model::{ConditionKind, Gate};
use crate::plan::{Force, OnFailure};
use crate::record::{self, RunId};
use crate::report::Reporters;
use crate::service::{State, Status};
use crate::watch::{Area, Eyes};

use super::guard::{Admitted, admit};
use super::run::{Ready, Request};
use super::{Context, Problem, Project};
use desk::{Changes, Desk, FEW, MANY_FILES, Wake};
use share::{Begun, Joined};

pub use crate::watch::Looks;

/// Where what a node printed in a run lies, relative to the root.
pub fn log_path(run: &str, label: &str) -> String {
    RunId::parse(run).map_or_else(String::new, |run| record::log_path(&run, label))
}

/// The exit status of a session that a signal ended.
const INTERRUPTED: u8 = 130;

/// What a session is asked for, beyond a request.
#[derive(Debug, Clone, Default)]
pub struct Terms {
    /// The Envfile, if it was named.
    pub file: Option<PathBuf>,
    /// How changes are seen.
    pub looks: Looks,
}

/// Someone who is told what no event says, and may steer the session.
pub trait Console {
    /// The session begins.
    fn begin(&mut self, steer: Steer);
    /// Something in the texts is wrong; the session goes on with what it has.
    fn problem(&mut self, problem: &Problem);
    /// Something of this terminal alone.
    fn say(&mut self, text: &str);
}

/// Steers a session, from whatever thread.
#[derive(Debug, Clone)]
pub struct Steer(Arc<Desk>);

impl Steer {
    /// Executes the targets, up to date or not.
    pub fn rerun(&self) {
        self.0.wake(Wake::Rerun);
    }

    /// Ends the session; what runs is stopped.
    pub fn quit(&self) {
        self.0.quit();
    }
}

/// Why the session runs something.
enum Cause {
    /// It begins.
    Start,
    /// Files changed, or may have.
    Changed(Changes),
    /// The user asked for it.
    Rerun,
    /// Something is watched that was not before the last run: nobody asked for anything.
    Look,
}

struct Session<'a> {
    context: &'a Context,
    terms: &'a Terms,
    request: Request,
    project: Project,
    ready: Ready,
    reporters: Reporters,
    console: &'a mut dyn Console,
    desk: Arc<Desk>,
    eyes: Eyes,
    memory: Arc<Memory>,
    /// How many files and folders are watched.
    watched: (usize, usize),
    /// It was said that the eyes have to look by themselves.
    told_polling: bool,
    /// What is watched has to be looked at again after the next run.
    look_around: bool,
    /// Every file was looked at since the last command ended, and is watched.
    looked: bool,
    /// Something is watched that was not before the last run.
    more: bool,
    /// It is to be told that the session waits, as soon as it does.
    untold: bool,
    /// A run is over, and what it took was not given back yet.
    worked: bool,
    /// The texts that the graph was made of, as they were when they were read last.
    contents: BTreeMap<PathBuf, Option<Digest>>,
    /// They could not be used then.
    broken: bool,
}

/// Carries out a session; gives the exit status.
pub fn dev(
    context: &Context,
    mut project: Project,
    request: &Request,
    terms: &Terms,
    mut reporters: Reporters,
    console: &mut dyn Console,
) -> Result<u8, Problem> {
    let mut request = request.clone();
    // A failure must not keep what has nothing to do with it from running: the next change may be for that.
    request.on_failure = OnFailure::KeepGoing;
    (request.words, request.broken) = (None, None);
    request.hold = Hold::Session;
    let ready = Ready::new(context, &mut project, &request)?;
    let (wake, heard) = mpsc::channel();
    let desk = Desk::new(wake, context.clock.clone());
    let mut seat = match share::begin(project.root(), &ready.plan, &request.set) {
        Begun::First(seat) => Some(seat),
        Begun::Alone => None,
        Begun::There(joined) => {
            let processes = Arc::clone(&ready.processes);
            drop(ready);
            return join(joined, &desk, &heard, processes, reporters, console);
        }
    };
    let (tell, hints) = mpsc::channel();
    // Whoever does not listen any more has left.
    let eyes = Eyes::open(terms.looks, project.root(), move |hint| _ = tell.send(hint));
    let signals = {
        let desk = Arc::clone(&desk);
        Signals::listen_to_the_last(Arc::clone(&ready.processes), move |signal, _| desk.signal(signal))
    };
    {
        let desk = Arc::clone(&desk);
        ready.services.listen(Ear::new(move |told| desk.hear(told)));
    }
    if let Some(seat) = &mut seat {
        reporters.add("joined", Box::new(seat.open(&desk)));
    }
    reporters.add("activity", Box::new(desk.activity.clone()));
    console.begin(Steer(Arc::clone(&desk)));
    let gatherer = {
        let desk = Arc::clone(&desk);
        std::thread::Builder::new().name("gather".to_owned()).spawn(move || desk.gather(&hints))
    };
    let mut session = Session {
        context,
        terms,
        request,
        project,
        ready,
        reporters,
        console,
        desk,
        eyes,
        memory: Arc::default(),
        watched: (0, 0),
        told_polling: false,
        look_around: true,
        looked: false,
        more: false,
        untold: false,
        worked: false,
        contents: BTreeMap::new(),
        broken: false,
    };
    session.contents = session.contents_now();
    let exit = match gatherer {
        Ok(_) => session.go(&heard),
        Err(error) => Err(Problem::usage(format!("no thread can be started: {error}"), None)),
    };
    session.leave(&heard, exit.as_ref().map_or_else(Problem::exit, |exit| *exit));
    session.ready.processes.wait();
    session.ready.processes.finish();
    drop(signals);
    drop(seat);
    exit
}

/// Stays with a session of another terminal: shows what it shows, and asks it to run the targets again. Ctrl-C and `q` end
/// only this.
fn join(
    joined: Joined,
    desk: &Arc<Desk>,
    heard: &Receiver<Wake>,
    processes: Arc<Processes>,
    mut reporters: Reporters,
    console: &mut dyn Console,
) -> Result<u8, Problem> {
    let pid = joined.pid;
    let signals = {
        let desk = Arc::clone(desk);
        Signals::listen_to_the_last(processes, move |signal, _| desk.signal(signal))
    };
    console.say(&format!(
        "this joins the session that goes on already (pid {pid}); Ctrl-C or q leaves it, and it goes on"
    ));
    console.begin(Steer(Arc::clone(desk)));
    let mut session = joined
        .listen(desk)
        .map_err(|error| Problem::usage(format!("no thread can be started: {error}"), None))?;
    let exit = loop {
        match heard.recv() {
            Ok(Wake::Told(told)) => reporters.pass_on(&told),
            Ok(Wake::Rerun) => session.rerun(),
            Ok(Wake::Quit) => break 0,
            Ok(Wake::Signal) => break INTERRUPTED,
            Ok(Wake::Left) | Err(_) => {
                console.say(&format!("the session is over (pid {pid})"));
                break if reporters.state().interrupted() > 0 { INTERRUPTED } else { 0 };
            }
            Ok(_) => {}
        }
    };
    drop(signals);
    Ok(exit)
}

impl Session<'_> {
    fn go(&mut self, heard: &Receiver<Wake>) -> Result<u8, Problem> {
        let mut cause = Cause::Start;
        loop {
            let ending = self.cycle(&cause)?;
            if ending.as_ref().is_some_and(|ending| ending.exit == INTERRUPTED) {
                let waiting: Vec<Wake> = heard.try_iter().collect();
                let asked_to = waiting.iter().any(|wake| matches!(wake, Wake::Quit));
                // Whoever asks a second time is heard by the one who lets everything go.
                waiting.into_iter().for_each(|wake| self.desk.wake(wake));
                return Ok(if asked_to { 0 } else { INTERRUPTED });
            }
            cause = match self.wait(heard) {
                Ok(cause) => cause,
                Err(exit) => return Ok(exit),
            };
        }
    }

    /// Waits until there is something to do; the exit status if there is nothing any more.
    fn wait(&mut self, heard: &Receiver<Wake>) -> Result<Cause, u8> {
        loop {
            let wake = match heard.try_recv() {
                Ok(wake) => wake,
                Err(_) => {
                    if std::mem::take(&mut self.untold) {
                        self.tell_watching();
                    }
                    if std::mem::take(&mut self.worked) {
                        exec::give_back_freed();
                    }
                    let Ok(wake) = heard.recv() else { return Err(INTERRUPTED) };
                    wake
                }
            };
            match wake {
                Wake::Signal => {
                    // A run that began meanwhile may have been told.
                    if let Some(signal) = self.desk.take_signal() {
                        self.tell_signal(signal);
                        return Err(INTERRUPTED);
                    }
                }
                Wake::Service(status) => self.tell_service(*status),
                Wake::Output { label, stream, bytes, credit } => {
                    // Who asks to stop does not wait until a slow terminal has shown all of it; the log has it.
                    if let Some(node) = self.told_as(&label).filter(|_| !self.desk.is_signalled()) {
                        self.reporters.tell(Event::Output { node, stream, bytes });
                    }
                    drop(credit);
                }
                Wake::Unserved => {
                    let message = "what keeps the services has ended, and they with it".to_owned();
                    let hint = Some("the next run starts them again; `r` runs the targets".to_owned());
                    self.reporters.tell(Event::Notice(Notice { node: None, message, hint }));
                }
                Wake::Left | Wake::Told(_) => {}
                Wake::Quit => return Err(0),
                Wake::Rerun => return Ok(Cause::Rerun),
                Wake::Notice(notice) => self.reporters.tell(Event::Notice(notice)),
                Wake::Failed(reason) => {
                    self.eyes.fall_back(reason);
                    self.tell_polling();
                }
                Wake::Changed(mut changes) => {
                    // What came while the last run went on is one change.
                    let mut rest = Vec::new();
                    for wake in heard.try_iter() {
                        match wake {
                            Wake::Changed(later) => changes.add(later),
                            other => rest.push(other),
                        }
                    }
                    rest.into_iter().for_each(|wake| self.desk.wake(wake));
                    return Ok(Cause::Changed(changes));
                }
            }
        }
    }

    /// Lets everything go that the session asked for, and says what became of it. Ctrl-C meanwhile hurries it.
    fn leave(&mut self, heard: &Receiver<Wake>, exit: u8) {
        let began = self.context.clock.now();
        if self.ready.services.are_there() {
            self.reporters.tell(Event::SessionEnding);
            self.let_go(heard);
        }
        let took = self.context.clock.now().since(began);
        self.reporters.tell(Event::SessionEnded { exit, took });
    }

    fn let_go(&mut self, heard: &Receiver<Wake>) {
        let (services, desk) = (&self.ready.services, &self.desk);
        let tell = |reporters: &mut Reporters, status: Status| {
            let Some(node) = told_as(reporters, &status.label) else { return };
            let is_known = reporters.state().served(node).is_some_and(|served| served.state == status.state);
            if !is_known && services.is_news(&status, true) {
                reporters.tell(services.changed(node, status));
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(|| {
                services.let_go();
                desk.wake(Wake::Left);
            });
            let mut level = self.reporters.state().interrupted().max(1);
            while let Ok(wake) = heard.recv() {
                match wake {
                    Wake::Left => break,
                    Wake::Signal => {
                        let Some(signal) = desk.take_signal() else { continue };
                        level = (level + 1).min(3);
                        self.reporters.tell(Event::Interrupted { signal: signal_name(signal), level });
                        services.hurry(level);
                    }
                    Wake::Output { label, stream, bytes, .. } => {
                        let node = told_as(&self.reporters, &label);
                        if let Some(node) = node.filter(|_| !desk.is_signalled()) {
                            self.reporters.tell(Event::Output { node, stream, bytes });
                        }
                    }
                    Wake::Service(status) => tell(&mut self.reporters, *status),
                    _ => {}
                }
            }
        });
        // The last of it may still be on its way.
        for status in services.statuses().into_iter().filter(|status| status.state.is_over()) {
            tell(&mut self.reporters, status);
        }
    }

    /// A node as those know it who listen: by its name in what was told last.
    fn told_as(&self, label: &str) -> Option<NodeIx> {
        told_as(&self.reporters, label)
    }

    /// The session ends while nothing runs.
    fn tell_signal(&mut self, signal: i32) {
        if self.ready.services.are_there() {
            self.reporters.tell(Event::Interrupted { signal: signal_name(signal), level: 1 });
        }
    }

    /// A service changed while nothing ran.
    fn tell_service(&mut self, status: Status) {
        let Some(node) = self.told_as(&status.label) else { return };
        if !self.ready.services.is_news(&status, true) {
            return;
        }
        let graph = &self.ready.plan.graph;
        let own = graph.iter().find(|(_, node)| node.label == status.label);
        // What was to come to its end has done so, for good.
        let has_done_it = status.state == State::Completed
            && own.is_some_and(|(ix, _)| graph.gates(ix).last() == Some(&Gate::Completed));
        let over = status.state.is_over() && !has_done_it && own.is_some();
        let stopped = status.state == State::Stopped;
        self.reporters.tell(self.ready.services.changed(node, status));
        if over {
            let by = if stopped { "it was stopped from elsewhere, and " } else { "it " };
            let message = format!("{by}is started again by the next run; `r` runs the targets");
            self.reporters.tell(Event::Notice(Notice { node: Some(node), message, hint: None }));
        }
    }

    /// One run, or none if a text that changed is broken.
    fn cycle(&mut self, cause: &Cause) -> Result<Option<Ending>, Problem> {
        let mut first = matches!(cause, Cause::Start);
        if let Cause::Changed(changes) = cause {
            changes.gone.iter().for_each(|folder| self.eyes.forget(folder));
            self.look_around |= changes.folders || changes.text || changes.head;
            // Of many files at once nobody says which they are.
            let text = changes.text || (changes.folders && self.contents != self.contents_now());
            if (text || changes.head) && !self.read_again() {
                return Ok(None);
            }
        }
        self.ready.plan.limits.force = match cause {
            Cause::Start => self.request.force,
            Cause::Rerun => Force::Targets,
            Cause::Changed(_) | Cause::Look => Force::Nothing,
        };
        if matches!(cause, Cause::Rerun) {
            self.memory.forget_failures();
        }
        let mut any_told = false;
        let mut cause = cause;
        loop {
            let (ending, told) = self.run(cause, first)?;
            if ending.exit == INTERRUPTED {
                return Ok(Some(ending));
            }
            any_told |= told;
            if std::mem::take(&mut self.look_around) {
                self.watch();
            }
            // Whatever changed in a folder before it was watched, nobody told of: look once more, at everything, and for
            // folders that came into it meanwhile.
            if !std::mem::take(&mut self.more) {
                self.untold |= any_told;
                return Ok(Some(ending));
            }
            (self.looked, self.look_around) = (false, true);
            (first, cause) = (false, &Cause::Look);
            self.ready.plan.limits.force = Force::Nothing;
        }
    }

    /// One run; and whether anything was told of it.
    fn run(&mut self, cause: &Cause, first: bool) -> Result<(Ending, bool), Problem> {
        let mut admitted = Admitted::default();
        if first {
            self.watch();
            // The run looks at everything; what it finds may lie in folders that came before theirs was watched.
            self.look_around |= std::mem::take(&mut self.more);
            admitted = admit(self.context, &self.project, &self.ready, &self.request)?;
            if !admitted.refusals.is_empty() {
                return Err(Problem::Refused(admitted.refusals));
            }
        } else {
            self.ready.renew(self.context, &self.project);
            self.hold();
        }
        self.ready.begin(&self.project, &self.request, &mut self.reporters);
        admitted.broken.into_iter().for_each(|broken| self.reporters.tell(Event::GlassBroken(broken)));
        for (message, hint) in admitted.notices {
            self.reporters.tell(Event::Notice(Notice { node: None, message, hint }));
        }
        if first {
            for notice in super::run::shadowed(self.context, &self.ready.plan) {
                self.reporters.tell(Event::Notice(notice));
            }
        }
        match cause {
            // Everything was looked at after the last run, and of what changed since the system tells. Before a result is
            // kept all that it rests on is looked at again, as ever.
            Cause::Changed(changes) if !first && self.looked && changes.is_known() => {
                self.ready.workspace.doubt(changes.readers.iter().map(|(_, file)| file));
            }
            _ => {
                self.ready.workspace.touched();
                self.look();
            }
        }
        self.looked = false;
        // What runs of other terminals made in the same places since.
        self.ready.workspace.catch_up();
        let around = Surroundings {
            memory: Some(&self.memory),
            ..self.ready.surroundings(self.context, &self.project, &self.request)
        };
        let actions = Actions::new(&self.ready.plan, &around);
        let news = match cause {
            Cause::Changed(changes) if !first => changed(&self.ready, &actions, changes),
            _ => None,
        };
        let rests = match cause {
            _ if first => false,
            Cause::Look => true,
            Cause::Changed(changes) => news.is_none() && changes.are_only_places(),
            Cause::Start | Cause::Rerun => false,
        };
        self.memory.set_rest(rests);
        if let Some(event) = news {
            self.reporters.tell(event);
        }
        let (send, receive) = mpsc::channel::<Message>();
        let graph = &self.ready.plan.graph;
        let services = graph.iter().filter(|(_, node)| node.kind() == "service");
        let services = services.map(|(ix, node)| (node.label.clone(), ix)).collect();
        self.desk.begin_run(send.clone(), services);
        let ending = dispatcher::run(
            &self.ready.plan,
            &actions,
            &self.ready.processes,
            (send, &receive),
            &mut self.reporters,
        );
        self.desk.end_run(&receive);
        self.worked = true;
        drop(actions);
        self.ready.processes.wait();
        self.ready.manifests.finish();
        super::run::remember(
            &self.ready.plan,
            &ending,
            self.ready.durations.clone(),
            self.context.clock.now(),
        );
        // Whoever is not told what was learned only has to look again.
        let _ = self.ready.workspace.save();
        if self.eyes.polling().is_none() {
            self.look();
            self.looked = true;
        }
        super::run::collect(&self.ready.store, ending.changed);
        self.look_around |= first || ending.changed > 0 && self.finds_out_while_running();
        let of_services = self.reporters.kept_back_of_services();
        let told = self.reporters.end();
        for event in of_services {
            self.tell_of_service(event);
        }
        Ok((ending, told))
    }

    /// Says what is waited for. From here on nothing happens unless something changes.
    fn tell_watching(&mut self) {
        self.tell_polling();
        let (files, folders) = self.watched;
        let polling = self.eyes.polling().map(str::to_owned);
        self.reporters.tell(Event::Watching { files, folders, polling });
    }

    /// Tells what a service printed or became while a run went on of which nothing was told.
    fn tell_of_service(&mut self, event: Event) {
        let graph = &self.ready.plan.graph;
        let as_told = |node: NodeIx| told_as(&self.reporters, &graph[node].label);
        let event = match event {
            Event::Output { node, stream, bytes } => {
                as_told(node).map(|node| Event::Output { node, stream, bytes })
            }
            Event::ServiceChanged { node, state, failure, log, hint } => {
                as_told(node).map(|node| Event::ServiceChanged { node, state, failure, log, hint })
            }
            _ => None,
        };
        if let Some(event) = event {
            self.reporters.tell(event);
        }
    }

    /// Looks at every file that the last good runs knew.
    fn look(&self) {
        let labels: Vec<String> = self.ready.plan.graph.iter().map(|(_, node)| state_label(node)).collect();
        self.ready.workspace.prefetch(labels.iter().map(String::as_str));
    }

    /// Keeps back what is told until something is done: that everything is as it was is worth no word.
    fn hold(&mut self) {
        let failures = self.memory.failures();
        let nodes = self.ready.plan.graph.iter().filter(|_| !failures.is_empty());
        let known: HashMap<NodeIx, Outcome> =
            nodes.filter_map(|(ix, node)| Some((ix, failures.get(&state_label(node))?.clone()))).collect();
        let at_rest = at_rest();
        self.reporters.hold(move |event| match event {
            // What becomes of services is told after a run of which nothing else is.
            Event::NodeStarted { .. } | Event::Interrupted { .. } => true,
            Event::NodeFinished { node, outcome, .. } => match outcome {
                Outcome::Restored { .. } => true,
                Outcome::Failed { .. } => *outcome != at_rest && known.get(node) != Some(outcome),
                _ => false,
            },
            _ => false,
        });
    }

    /// Whether running tasks can find out that they rest on other files than those that their patterns name.
    fn finds_out_while_running(&self) -> bool {
        self.ready.plan.graph.iter().any(|(_, node)| !node.task.depfile.is_empty())
    }

    /// Looks where everything lies that the graph rests on, and watches that.
    fn watch(&mut self) {
        let ready = &self.ready;
        let workspace = &ready.workspace;
        let around = ready.surroundings(self.context, &self.project, &self.request);
        let actions = Actions::new(&ready.plan, &around);
        let mut interest = Interest::default();
        let mut found: HashMap<RelPath, Vec<NodeIx>> = HashMap::new();
        for (node, prepared) in
            ready.plan.graph.indices().filter_map(|node| Some((node, actions.declaration(node)?)))
        {
            // What cannot be read now is told by the run that needs it.
            let _ = workspace.interest(prepared, &mut interest);
            for file in workspace.named_by_depfiles(prepared) {
                found.entry(file).or_default().push(node);
            }
        }
        let texts = self.texts();
        let git = place::git_folder(&around);
        self.desk.set_git(git.as_deref());
        let git = git.filter(|_| self.head_matters());
        let mut wanted = workspace.folders_of(&interest);
        let parents: BTreeSet<PathBuf> = texts
            .iter()
            .flat_map(|text| text.parent().into_iter().chain(text.is_dir().then_some(&**text)))
            .map(Path::to_path_buf)
            .collect();
        let files = interest.files() + texts.iter().filter(|text| text.is_file()).count();
        wanted.extend(parents);
        self.watched = (files, wanted.len());
        wanted.extend(git.iter().flat_map(|git| [git.clone(), git.join("logs")]));
        let area = Area::new(
            self.project.root(),
            &ready.plan.graph,
            |node| actions.declaration(node),
            texts,
            git,
            found,
        );
        self.desk.set_area(Arc::new(area.watched(wanted.clone())));
        self.more |= self.eyes.watch(&wanted, self.project.root());
    }

    /// Every text that the graph was made of, there or not.
    fn texts(&self) -> BTreeSet<PathBuf> {
        let asked = self.project.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.iter().chain(&self.ready.asked.files).cloned().collect()
    }

    /// Whether it matters which commit is checked out.
    fn head_matters(&self) -> bool {
        let around = self.ready.surroundings(self.context, &self.project, &self.request);
        let asks = |kind: &ConditionKind| {
            matches!(
                kind,
                ConditionKind::Branch(_)
                    | ConditionKind::Tag(_)
                    | ConditionKind::Clean
                    | ConditionKind::Pushed
            )
        };
        self.ready.asked.given.load(std::sync::atomic::Ordering::Relaxed)
            || self
                .ready
                .plan
                .graph
                .iter()
                .any(|(_, node)| around.when(node).any(|condition| asks(&condition.kind)))
    }

    /// Reads the texts again. If they are broken that is shown, and everything stays as it is.
    fn read_again(&mut self) -> bool {
        // Looked at before they are read: what is written meanwhile is another change.
        let contents = self.contents_now();
        let before = values::of(&self.ready.plan.graph);
        let fresh =
            Project::open_with_errors(self.context, self.terms.file.as_deref()).and_then(|mut project| {
                if project.loaded.has_errors() {
                    // What is missing now may come: it has to be watched, too.
                    let asked = project.asked.lock().unwrap_or_else(PoisonError::into_inner).clone();
                    self.project.asked.lock().unwrap_or_else(PoisonError::into_inner).extend(asked);
                    let diagnostics = std::mem::take(&mut project.loaded.diagnostics);
                    return Err(project.problem(diagnostics));
                }
                self.ready.plan_again(self.context, &mut project, &self.request)?;
                Ok(project)
            });
        let was_broken = std::mem::replace(&mut self.broken, fresh.is_err());
        match fresh {
            Ok(project) => {
                self.project = project;
                let state = if was_broken { Texts::Repaired } else { Texts::Used };
                self.tell_reread(contents, values::changed(&before, &self.ready.plan.graph), state);
                self.desk.forget();
                self.let_go_of_others();
                self.memory.forget_failures();
                let problem = match admit(self.context, &self.project, &self.ready, &self.request) {
                    Ok(admitted) if admitted.refusals.is_empty() => return true,
                    Ok(admitted) => Problem::Refused(admitted.refusals),
                    Err(problem) => problem,
                };
                self.console.problem(&problem);
                self.watch();
                false
            }
            Err(problem) => {
                self.tell_reread(contents, Vec::new(), Texts::Broken);
                self.console.problem(&problem);
                self.watch();
                false
            }
        }
    }

    /// Says which texts changed, if any of them holds something else than before.
    fn tell_reread(
        &mut self,
        contents: BTreeMap<PathBuf, Option<Digest>>,
        values: Vec<String>,
        state: Texts,
    ) {
        let before = std::mem::replace(&mut self.contents, contents);
        let is_new =
            |(path, content): &(&PathBuf, &Option<Digest>)| before.get(*path).copied().flatten() != **content;
        let root = self.project.root();
        let changed = self.contents.iter().filter(is_new);
        let changed = changed.map(|(path, _)| path.strip_prefix(root).unwrap_or(path).display().to_string());
        let (files, more) = first_of(changed);
        // A commit is a reason to read them again, too.
        if !files.is_empty() || state == Texts::Broken {
            self.reporters.tell(Event::Reread { files, more, values, state });
        }
    }

    /// What the texts hold at this moment that the graph is made of; nothing for those that are not there.
    fn contents_now(&self) -> BTreeMap<PathBuf, Option<Digest>> {
        let digest = |path: &PathBuf| std::fs::read(path).ok().map(|text| Digest::of(&text));
        self.texts()
            .into_iter()
            .map(|text| {
                let digest = digest(&text);
                (text, digest)
            })
            .collect()
    }

    /// Lets go of services that are not in the graph any more.
    fn let_go_of_others(&self) {
        let graph = &self.ready.plan.graph;
        let services = graph.iter().filter(|(_, node)| node.kind() == "service");
        let labels: BTreeSet<String> = services.map(|(_, node)| node.label.clone()).collect();
        self.ready.services.let_go_but(&labels);
    }

    /// Says, once, that nobody tells of changes.
    fn tell_polling(&mut self) {
        let Some(reason) = self.eyes.polling().filter(|_| !self.told_polling) else { return };
        let limit = reason.starts_with("the system");
        let message = format!("changes are found by looking again and again: {reason}");
        let hint = limit.then(|| {
            "`sysctl fs.inotify.max_user_watches=524288 fs.inotify.max_user_instances=1024` raises the limits".to_owned()
        });
        self.told_polling = true;
        self.reporters.tell(Event::Notice(Notice { node: None, message, hint }));
    }
}

/// A node by the number that those know it by who listen.
fn told_as(reporters: &Reporters, label: &str) -> Option<NodeIx> {
    let started = reporters.state().started()?;
    let at = started.nodes.iter().position(|node| &*node.label == label)?;
    u32::try_from(at).ok().map(NodeIx)
}

/// What is told of changes, if any file among them really is another one than before.
fn changed(ready: &Ready, actions: &Actions<'_>, changes: &Changes) -> Option<Event> {
    let mut files: BTreeSet<RelPath> = BTreeSet::new();
    let mut nodes: Vec<NodeIx> = Vec::new();
    if changes.many || changes.readers.len() > FEW {
        // By content: of so many nobody says which, or they came with what nobody reads.
        let told: BTreeSet<NodeIx> = changes.readers.iter().map(|(node, _)| *node).collect();
        for node in ready.plan.graph.indices().filter(|node| changes.many || told.contains(node)) {
            match actions.all_read_otherwise(node) {
                Some(others) if others.is_empty() => {}
                Some(others) => {
                    files.extend(others);
                    nodes.push(node);
                }
                // It never ran well: whatever it is told of may be what it waits for.
                None if told.contains(&node) || actions.declaration(node).is_some() => {
                    let own = changes.readers.iter().filter(|(reader, _)| *reader == node);
                    files.extend(own.map(|(_, file)| file.clone()));
                    nodes.push(node);
                }
                None => {}
            }
        }
    } else {
        for (node, file) in &changes.readers {
            let others = actions.read_otherwise(*node, file).unwrap_or_else(|| vec![file.clone()]);
            if !others.is_empty() {
                files.extend(others);
                nodes.push(*node);
            }
        }
    }
    if nodes.is_empty() {
        return None;
    }
    let (files, more) = match files.is_empty() {
        true => (vec![MANY_FILES.to_owned()], 0),
        false => first_of(files.iter().map(|file| file.display().into_owned())),
    };
    let mut affected = vec![false; ready.plan.graph.len()];
    while let Some(node) = nodes.pop() {
        if !std::mem::replace(&mut affected[node.index()], true) {
            nodes.extend(ready.plan.graph.needed_by(node));
        }
    }
    let affected = ready.plan.graph.indices().filter(|node| affected[node.index()]);
    let (tasks, services) = ready.plan.graph.tasks_and_services(affected);
    Some(Event::Changed { files, more, tasks, services })
}
