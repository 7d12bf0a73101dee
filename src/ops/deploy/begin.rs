//! Deploys of a run, made ready before anything of it begins.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::base::{Digest, Identity};
use crate::cache::LocalStore;
use crate::engine::deploy::{Attempt, Bytes, Deployment, Deployments, Gate, Proof};
use crate::engine::surroundings::{Surroundings, scope_conditions};
use crate::fingerprint::SecretKey;
use crate::graph::{ConfiguredTask, NodeIx, Target};
use crate::ledger::{
    self, Artefact, Began, Course, Hold, Holder, Kind, Locked, Origin, Outcome, Phase, Reached, Release,
    Saved, Sharing, Standing, What, Who,
};
use crate::model::{ConditionKind, Deploy, EnvName, Node, ProjectName};
use crate::plan::{Force, Limits, OnFailure, Plan};
use crate::preflight::{Live, is_placeholder};
use crate::record::RunId;
use crate::vars::{Form, Lookup, SEALED, TaskValues, Values};

use super::super::doctor::shared_ports;
use super::super::guard::{digest, live};
use super::super::run::{Request, graph_of, local_store};
use super::super::{Context, Problem, Project, Refusal};
use super::bytes::proved;
use super::{KEEP, history_of};

/// What a run of a deploy is there for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Job {
    /// To deploy.
    #[default]
    Deploy,
    /// To go on with a release that was cut short.
    Resume(u64),
    /// To take it back.
    Back(u64),
    /// To put an earlier release back.
    Rollback {
        /// Which.
        of: u64,
        /// Nothing is proved or asked.
        emergency: bool,
        /// Data that goes back too.
        data: Vec<Saved>,
    },
    /// To put a copy of a snapshot back, by number.
    Restore(u64),
}

impl Job {
    /// Whether it asks and proves nothing, because what is live is worse.
    pub(super) fn is_emergency(&self) -> bool {
        matches!(self, Self::Rollback { emergency: true, .. })
    }
}

/// What a run may begin with.
pub struct Begun {
    /// Its deploys.
    pub deployments: Deployments,
    /// What speaks against them already.
    pub refusals: Vec<Refusal>,
    /// What is wrong, and does not stop an emergency.
    pub warnings: Vec<String>,
    key: SecretKey,
}

/// Locks what a run changes and makes its deploys ready; `None` if there are none. The values of the new revision reach
/// the deploys in `plan` and what they need.
pub fn begin(
    context: &Context,
    project: &mut Project,
    plan: &mut Plan,
    (request, run, key): (&Request, &RunId, SecretKey),
) -> Result<Option<Begun>, Problem> {
    let is_changing = |node: &ConfiguredTask| match node.kind() {
        "deploy" => true,
        // To save data changes nothing; to put them back, or to go on with that, does.
        "snapshot" => !matches!(request.job, Job::Deploy | Job::Rollback { .. }),
        _ => false,
    };
    let deploys: Vec<NodeIx> =
        plan.graph.iter().filter(|(_, node)| is_changing(node)).map(|(ix, _)| ix).collect();
    if !deploys.is_empty() {
        // An emergency asked a moment ago, when it looked for what to go back to.
        if !request.job.is_emergency() {
            super::refresh_of(context, project, &rests_on(project, plan, &deploys))?;
        }
    }
    untouched(context, project, plan)?;
    if deploys.is_empty() {
        return Ok(None);
    }
    let mut begun = Preparation {
        context,
        set: &request.set,
        run,
        job: &request.job,
        break_glass: request.break_glass.as_deref(),
        who: who(context, project.root()),
        locks: BTreeMap::new(),
        warnings: Vec::new(),
        ids: BTreeMap::new(),
        refusals: Vec::new(),
        store: local_store(context, Some(project)),
        limits: plan.limits.clone(),
        key,
        values: plan
            .graph
            .iter()
            .map(|(_, node)| ((node.path.project.clone(), node.env.clone()), Arc::clone(&node.values)))
            .collect(),
    };
    begun.lock(project, plan, &deploys)?;
    let mut list = HashMap::new();
    let mut lines = Vec::new();
    for ix in deploys {
        let node = plan.graph[ix].clone();
        if let Some((deployment, began)) = begun.deployment(project, &node)? {
            hand_down(plan, ix, deployment.forward.node.given.clone());
            if let Some(began) = began {
                lines.push((deployment.env.clone(), began));
            }
            list.insert(ix, deployment);
        }
    }
    let Preparation { locks, warnings, refusals, store, key, .. } = begun;
    let locks = locks.into_iter().map(|(env, locked)| (env, Mutex::new(locked))).collect();
    let deployments = Deployments { list, locks, store };
    for (env, began) in lines {
        deployments.write(&env, What::Began(began))?;
    }
    Ok(Some(Begun { deployments, refusals, warnings, key }))
}

impl Begun {
    /// The plan with the nodes of all proofs behind its own: they want secrets too.
    pub fn with_proofs(&self, plan: &Plan) -> Option<Plan> {
        let all = || self.deployments.list.values();
        let attempts = all().flat_map(|one| std::iter::once(&one.forward).chain(&one.back));
        let proofs = attempts.flat_map(|attempt| &attempt.proofs);
        let mut more: Vec<ConfiguredTask> =
            proofs.flat_map(|proof| proof.plan.graph.iter().map(|(_, node)| node.clone())).collect();
        more.extend(self.deployments.list.values().flat_map(|one| one.snapshots.iter().cloned()));
        if more.is_empty() {
            return None;
        }
        Some(Plan { graph: plan.graph.with_beside(more), ..plan.clone() })
    }

    /// What the values of deploys are wrong in, now that all of them can be known: one that is missing, one that
    /// somebody meant to replace.
    pub fn values(&self, project: &Project, around: &Surroundings<'_>, is_refused: bool) -> Vec<Refusal> {
        let mut refusals = Vec::new();
        for deployment in self.deployments.list.values().filter(|one| one.phase == Phase::Locked) {
            let node = &deployment.forward.node;
            let refusal = |reason, span, hint| {
                let place = project.sources().place(span);
                Refusal { label: node.label.clone(), reason, place, hint }
            };
            let scene = match around.scene(node) {
                Ok(scene) => scene,
                // No store is asked as long as a guard refuses.
                Err(wrong) if is_refused && wrong.code == SEALED => continue,
                Err(wrong) => {
                    let span = wrong.labels.first().map_or(node.task.span, |label| label.span);
                    refusals.push(refusal(wrong.message.clone(), span, wrong.help.clone()));
                    continue;
                }
            };
            let envfile = project.envfile();
            let owner = envfile.projects.get(&node.path.project).filter(|_| !deployment.is_rollback);
            for (name, other, port) in owner
                .into_iter()
                .flat_map(|owner| shared_ports(envfile, owner, node.env.as_ref(), &scene.values))
            {
                let hint = Some(format!("give one of them another port: {other} or {name}"));
                let span = match scene.values.lookup(name.as_str()) {
                    Lookup::Value { origin, .. } => origin.span,
                    _ => None,
                };
                let reason = format!("{name} is {port}, and that is also the port of {other}");
                refusals.push(refusal(reason, span.unwrap_or(node.task.span), hint));
            }
            for (name, lookup) in scene.values.iter() {
                let Lookup::Value { text, origin, secret } = lookup else { continue };
                if deployment.is_rollback || !is_placeholder(&text) {
                    continue;
                }
                let shown =
                    if secret { "a placeholder".to_owned() } else { format!("`{text}`, a placeholder") };
                let hint = Some(format!("give {name} the value that is meant"));
                let span = origin.span.unwrap_or(node.task.span);
                refusals.push(refusal(format!("{name} is {shown}"), span, hint));
            }
        }
        refusals
    }

    /// Every guard holds: the evidence is kept with each release.
    pub fn guarded(
        &mut self,
        around: &Surroundings<'_>,
        evidence: &HashMap<NodeIx, Vec<String>>,
    ) -> Result<(), Problem> {
        for (ix, deployment) in &mut self.deployments.list {
            if deployment.phase != Phase::Locked {
                continue;
            }
            let mut reached = Reached::new(deployment.release, Phase::Guarded);
            reached.evidence = evidence.get(ix).cloned().unwrap_or_default();
            let values = around.task_values(&deployment.forward.node, &deployment.forward.node.task);
            reached.values = Some(fingerprint(&self.key, &values));
            deployment.phase = Phase::Guarded;
            let env = deployment.env.clone();
            let locked = self.deployments.locks.get_mut(&env).expect("it was locked");
            locked.get_mut().expect("nobody else had it yet").write(What::Reached(reached))?;
        }
        Ok(())
    }

    /// Guards refuse: that is the end of every release of the run.
    pub fn refused(&self, refusals: &[Refusal]) -> Result<(), Problem> {
        let reasons: Vec<&str> = refusals.iter().map(|refusal| refusal.reason.as_str()).collect();
        Ok(self.deployments.abandon(Outcome::Refused, &reasons.join("; "))?)
    }
}

/// The environments whose ledgers decide whether these deploys may begin, and with what.
fn rests_on(project: &Project, plan: &Plan, deploys: &[NodeIx]) -> BTreeSet<String> {
    let mut environments = BTreeSet::new();
    for ix in deploys {
        let node = &plan.graph[*ix];
        environments.extend(node.env.as_ref().map(ToString::to_string));
        if let Some(Node::Deploy(deploy)) = &node.special
            && let Some(from) = &deploy.from
        {
            environments.insert(from.value.to_string());
        }
        let guards = scope_conditions(project.envfile(), node, |scope| &scope.guard);
        environments.extend(guards.chain(&node.task.guard).filter_map(|condition| match &condition.kind {
            ConditionKind::Deployed { env, .. } => Some(env.to_string()),
            _ => None,
        }));
    }
    environments
}

/// Nothing that changes an environment begins while a release of it is open. What a release itself starts may.
fn untouched(context: &Context, project: &Project, plan: &Plan) -> Result<(), Problem> {
    let changing = plan.graph.iter().filter(|(_, node)| node.task.mutates && node.kind() != "deploy");
    let environments: BTreeSet<&EnvName> = changing.filter_map(|(_, node)| node.env.as_ref()).collect();
    for env in environments {
        let env = env.as_str();
        if !ledger::folder(project.root(), env).exists() || plan.limits.dry_run {
            continue;
        }
        let holder = ledger::holder(project.root(), env);
        let inside = context.caller_text("ENVRUN_RUN").filter(|run| !run.is_empty());
        if holder.as_ref().is_some_and(|holder| Some(&holder.run) == inside.as_ref()) {
            continue;
        }
        if let Some(mut holder) = holder {
            holder.read = context.clock.now();
            let (env, holder) = (env.to_owned(), Box::new(holder));
            return Err(ledger::LedgerError::Held { env, holder }.into());
        }
        let history = history_of(project, env)?;
        if let Some(release) = super::open(&history) {
            return Err(in_the_way(context, project, env, release));
        }
    }
    Ok(())
}

struct Preparation<'a> {
    context: &'a Context,
    set: &'a [(String, String)],
    run: &'a RunId,
    job: &'a Job,
    /// Why guards were passed by hand.
    break_glass: Option<&'a str>,
    who: Who,
    locks: BTreeMap<String, Locked>,
    /// What is wrong, and does not stop an emergency.
    warnings: Vec<String>,
    /// The numbers that this run gave away, by environment.
    ids: BTreeMap<String, u64>,
    refusals: Vec<Refusal>,
    store: LocalStore,
    limits: Limits,
    key: SecretKey,
    /// The values of the run.
    values: HashMap<(ProjectName, Option<EnvName>), Arc<Values>>,
}

impl Preparation<'_> {
    /// Locks every environment, always in the same order.
    fn lock(&mut self, project: &Project, plan: &Plan, deploys: &[NodeIx]) -> Result<(), Problem> {
        let mut wanted: BTreeMap<String, String> = BTreeMap::new();
        for ix in deploys {
            let node = &plan.graph[*ix];
            let Some(env) = &node.env else {
                return Err(Problem::usage(
                    format!("`{}` changes an environment, and none is named", node.label),
                    Some(format!("write `ENV.{}`, or give one with `-e`", node.path)),
                ));
            };
            wanted.entry(env.to_string()).or_insert_with(|| node.label.clone());
        }
        for (env, label) in wanted {
            let doing = match self.job {
                Job::Deploy => label,
                Job::Resume(_) => format!("deploy resume {env}"),
                Job::Back(_) => format!("deploy back {env}"),
                Job::Rollback { .. } => format!("rollback {env}"),
                Job::Restore(_) => format!("restore {label}"),
            };
            let since = self.context.clock.now();
            let run = self.run.to_string();
            let holder = Holder { who: self.who.clone(), since, doing, run, ..Holder::default() };
            let clock = &self.context.clock;
            let sharing = sharing(project, self.job.is_emergency());
            let mut locked = Locked::take(project.root(), &env, &holder, clock, sharing)?;
            self.warnings.extend(locked.warnings());
            let ours = match self.job {
                Job::Resume(id) | Job::Back(id) => Some(*id),
                Job::Deploy | Job::Rollback { .. } | Job::Restore(_) => None,
            };
            let open: Vec<Release> =
                locked.history().open().filter(|release| Some(release.id()) != ours).cloned().collect();
            if let Some(id) = ours {
                let Some(release) = locked.history().open().find(|release| release.id() == id) else {
                    return Err(Problem::usage(
                        format!("release {id} of `{env}` came to its end meanwhile"),
                        Some(format!("`envrun status {env}` shows what is live there")),
                    ));
                };
                if let Some(problem) = goes_on(self.context, project, &env, release) {
                    return Err(problem);
                }
                // Nobody takes it up a second time, and everybody can read in whose hands it is.
                let (who, doing, run) = (self.who.clone(), holder.doing.clone(), holder.run.clone());
                locked.write(What::TakenUp { release: id, who, doing, run })?;
            }
            for release in open {
                // An emergency takes the way that is left: what was cut short is given up for it.
                let problem = match self.job.is_emergency() {
                    true => goes_on(self.context, project, &env, &release),
                    false => Some(in_the_way(self.context, project, &env, &release)),
                };
                if let Some(problem) = problem {
                    return Err(problem);
                }
                let outcome = if release.phase.touched() { Outcome::Broken } else { Outcome::Abandoned };
                let reason = Some("it was given up for an emergency rollback".to_owned());
                locked.write(What::Ended { release: release.id(), outcome, reason, logs: Vec::new() })?;
            }
            self.locks.insert(env, locked);
        }
        Ok(())
    }

    /// Works one deploy out; `None` if it is refused already.
    fn deployment(
        &mut self,
        project: &mut Project,
        node: &ConfiguredTask,
    ) -> Result<Option<(Deployment, Option<Began>)>, Problem> {
        let (deploy, env) = match (&node.special, &node.env) {
            (Some(Node::Deploy(deploy)), Some(env)) => (deploy, env),
            (Some(Node::Snapshot(_)), Some(env)) => return self.restore(node, env.as_str()),
            _ => return Ok(None),
        };
        let name = node.path.to_string();
        let history = self.locks[env.as_str()].history().clone();
        let known = match self.job {
            Job::Resume(id) | Job::Back(id) => history.release(*id).cloned(),
            Job::Deploy | Job::Rollback { .. } | Job::Restore(_) => None,
        };
        let goal = match goal(project, node, deploy, (self.job, known.as_ref()), (&history, &self.store)) {
            Ok(goal) => goal,
            Err(refusal) => {
                self.refusals.push(*refusal);
                return Ok(None);
            }
        };
        let previous = match &known {
            Some(known) => known.began.previous.and_then(|id| history.release(id)),
            None => history.last_good(&name),
        };
        let before = previous.map(|release| release.began.revision.clone());
        let emergency = self.job.is_emergency();
        let forward =
            self.attempt(project, node, deploy, (&goal.revision, before.as_deref()), goal.bytes.clone())?;
        let may_go_back = match &known {
            // A rollback does not go back by itself: what it left is worse. Whoever asks for it knows better.
            Some(known) => known.began.kind == Kind::Deploy || matches!(self.job, Job::Back(_)),
            None => *self.job == Job::Deploy,
        };
        let back = match previous.filter(|_| may_go_back) {
            Some(previous) => {
                let bytes = Bytes::Kept(previous.artefacts.clone());
                let revisions = (previous.began.revision.as_str(), Some(goal.revision.as_str()));
                Some(self.attempt(project, node, deploy, revisions, bytes)?)
            }
            None => None,
        };
        let values = TaskValues::new(&node.values, &node.task, forward.node.given.clone());
        let wanted = match (self.job, &known) {
            (Job::Rollback { data, .. }, _) => data.clone(),
            (_, Some(known)) => known.began.data.clone(),
            _ => Vec::new(),
        };
        let mut snapshots = self.snapshots(project, node, &deploy.snapshots)?;
        let mut data = Vec::new();
        if *self.job != Job::Deploy {
            let all = std::mem::take(&mut snapshots);
            for saved in &wanted {
                let found = all.iter().find(|snapshot| snapshot.label == saved.snapshot);
                let (Some(snapshot), Ok(number)) = (found, saved.id.parse()) else {
                    return Err(Problem::usage(
                        format!(
                            "`{}` is no longer saved by `{}`, so it cannot be put back",
                            saved.snapshot, node.label
                        ),
                        Some("go back without `--with-data`, and restore the data by hand".into()),
                    ));
                };
                data.push((snapshot.clone(), number));
                snapshots.push(snapshot.clone());
            }
        }
        let tag = match (&deploy.tag, &before) {
            (Some(tag), Some(before)) if *self.job == Job::Deploy && *before != goal.revision => {
                values.interpolate(&tag.value, Form::Text, tag.span).ok().map(|tag| (tag, before.clone()))
            }
            _ => None,
        };
        let release = known.as_ref().map_or_else(|| self.next_id(env.as_str()), Release::id);
        let began = known.is_none().then(|| Began {
            release,
            kind: if matches!(self.job, Job::Rollback { .. }) { Kind::Rollback } else { Kind::Deploy },
            node: name.clone(),
            revision: goal.revision.clone(),
            previous: previous.map(Release::id),
            previous_revision: before.clone(),
            from: goal.from.clone(),
            of: goal.of,
            data: match self.job {
                Job::Rollback { data, .. } => data.clone(),
                _ => Vec::new(),
            },
            who: self.who.clone(),
            run: self.run.to_string(),
            was: None,
            break_glass: self
                .break_glass
                .map(str::to_owned)
                .or_else(|| emergency.then(|| "emergency rollback".to_owned())),
        });
        let deployment = Deployment {
            env: env.to_string(),
            name,
            release,
            course: Course { can_go_back: back.is_some(), unproved: emergency },
            phase: known.as_ref().map_or(Phase::Locked, |known| known.phase),
            back_only: matches!(self.job, Job::Back(_)),
            is_rollback: matches!(self.job, Job::Rollback { .. }),
            forward,
            back,
            snapshots,
            data,
            saved: known.as_ref().map(|known| known.snapshots.clone()).unwrap_or_default(),
            gate: self.gate(project, node),
            tag,
            keep: deploy.keep.unwrap_or(KEEP),
        };
        Ok(Some((deployment, began)))
    }

    /// Data that are put back: a copy that is asked for, or what was begun and cut short.
    fn restore(
        &mut self,
        node: &ConfiguredTask,
        env: &str,
    ) -> Result<Option<(Deployment, Option<Began>)>, Problem> {
        let history = self.locks[env].history().clone();
        let known = match self.job {
            Job::Resume(id) | Job::Back(id) => history.release(*id).cloned(),
            _ => None,
        };
        let number = match (&known, self.job) {
            (Some(known), _) => known.began.of.unwrap_or(0),
            (None, Job::Restore(number)) => *number,
            (None, _) => return Ok(None),
        };
        let release = known.as_ref().map_or_else(|| self.next_id(env), Release::id);
        let revision = format!("copy {number}");
        let name = node.path.to_string();
        let began = known.is_none().then(|| Began {
            release,
            kind: Kind::Restore,
            node: name.clone(),
            revision: revision.clone(),
            previous: None,
            previous_revision: None,
            from: None,
            of: Some(number),
            data: Vec::new(),
            who: self.who.clone(),
            run: self.run.to_string(),
            was: None,
            break_glass: None,
        });
        let node = node.clone();
        let deployment = Deployment {
            env: env.to_owned(),
            name,
            release,
            // It is its own proof; what was there before is saved, and goes back if it fails.
            course: Course { can_go_back: true, unproved: true },
            phase: known.as_ref().map_or(Phase::Locked, |known| known.phase),
            back_only: matches!(self.job, Job::Back(_)),
            is_rollback: true,
            snapshots: vec![node.clone()],
            data: vec![(node.clone(), number)],
            saved: known.map(|known| known.snapshots).unwrap_or_default(),
            forward: Attempt {
                node,
                revision,
                bytes: Bytes::Kept(Vec::new()),
                proofs: Vec::new(),
                timeout: None,
            },
            back: None,
            gate: None,
            tag: None,
            keep: KEEP,
        };
        Ok(Some((deployment, began)))
    }

    fn next_id(&mut self, env: &str) -> u64 {
        let next = self.ids.get(env).copied().unwrap_or_else(|| self.locks[env].history().next_id());
        self.ids.insert(env.to_owned(), next + 1);
        next
    }

    /// What is asked again when the bytes are known: whether these very bytes were live where `deployed` says.
    fn gate(&self, project: &Project, node: &ConfiguredTask) -> Option<Gate> {
        if *self.job != Job::Deploy || self.break_glass.is_some() {
            return None;
        }
        let scope = scope_conditions(project.envfile(), node, |scope| &scope.guard);
        let wanted: Vec<(EnvName, Option<Duration>, Option<Duration>)> = scope
            .chain(&node.task.guard)
            .filter_map(|condition| match &condition.kind {
                ConditionKind::Deployed { env, within, hold } => Some((env.clone(), *within, *hold)),
                _ => None,
            })
            .collect();
        if wanted.is_empty() {
            return None;
        }
        let live = live(project.root());
        let clock = self.context.clock.clone();
        Some(Box::new(move |artefacts| {
            let (mut evidence, mut reasons) = (Vec::new(), Vec::new());
            // Without files there is nothing but the revision, and that was asked about.
            let Some(ours) = digest(artefacts) else { return Ok(evidence) };
            let now = clock.now();
            for (env, within, hold) in &wanted {
                let fits = |live: &Live| {
                    let held = live.until.unwrap_or(now).since(live.since);
                    live.artefacts == Some(ours)
                        && within.is_none_or(|within| now.since(live.since) <= within)
                        && hold.is_none_or(|hold| held >= hold)
                };
                let known = live(env);
                if known.iter().any(fits) {
                    evidence.push(format!("these bytes were live in {env}: {}", shipped(artefacts)));
                    continue;
                }
                let was = known.iter().any(|live| live.artefacts == Some(ours));
                reasons.push(if was {
                    format!("these bytes were live in {env}, but not as long or as lately as asked")
                } else {
                    format!("other bytes were live in {env}: what would go live is {}", shipped(artefacts))
                });
            }
            if reasons.is_empty() { Ok(evidence) } else { Err(reasons) }
        }))
    }

    /// The snapshot nodes that a deploy names.
    fn snapshots(
        &self,
        project: &mut Project,
        node: &ConfiguredTask,
        named: &[crate::model::NodeRef],
    ) -> Result<Vec<ConfiguredTask>, Problem> {
        let mut found = Vec::new();
        for named in named {
            let env = named.env.clone().or_else(|| node.env.clone());
            let target = Target { path: named.path.clone(), env, stage: None, args: Vec::new() };
            let (graph, _) = graph_of(self.context, project, &[target], self.set, Some(self.run))?;
            let mut targets = graph.targets().map(|ix| graph[ix].clone());
            match targets.next() {
                Some(mut snapshot) if snapshot.kind() == "snapshot" => {
                    let place = (snapshot.path.project.clone(), snapshot.env.clone());
                    if let Some(values) = self.values.get(&place) {
                        snapshot.values = Arc::clone(values);
                    }
                    found.push(snapshot);
                }
                _ => {
                    return Err(Problem::usage(
                        format!("`snapshot \"{}\"` of `{}` names no snapshot", named.path, node.label),
                        Some(format!(
                            "declare it: `snapshot \"{}\" {{ save \"…\"; restore \"…\" }}`",
                            named.path
                        )),
                    ));
                }
            }
        }
        Ok(found)
    }

    /// A way to make a revision live: the definition with its values, and the proofs.
    fn attempt(
        &self,
        project: &mut Project,
        node: &ConfiguredTask,
        deploy: &Deploy,
        (revision, other): (&str, Option<&str>),
        bytes: Bytes,
    ) -> Result<Attempt, Problem> {
        let given = given(revision, other);
        let mut proofs = Vec::new();
        for verify in &deploy.verify {
            let target = |task: &crate::model::NodeRef| Target {
                path: task.path.clone(),
                env: task.env.clone().or_else(|| node.env.clone()),
                stage: None,
                args: Vec::new(),
            };
            let targets: Vec<Target> = verify.tasks.iter().map(target).collect();
            let (mut graph, _) = graph_of(self.context, project, &targets, self.set, Some(self.run))?;
            for ix in graph.indices() {
                let proof = &mut graph[ix];
                proof.given.clone_from(&given);
                // The same values as those of the run: secrets are read once.
                if let Some(values) = self.values.get(&(proof.path.project.clone(), proof.env.clone())) {
                    proof.values = Arc::clone(values);
                }
            }
            let limits = Limits {
                on_failure: OnFailure::KeepGoing,
                force: Force::Targets,
                dry_run: false,
                ..self.limits.clone()
            };
            let plan = Plan::new(graph, &project.envfile().pools, limits, |_| None);
            proofs.push(Proof { plan, hold: verify.hold.unwrap_or_default() });
        }
        let timeout = deploy.task.timeout.as_ref().map(|timeout| timeout.value);
        let node = ConfiguredTask { given, ..node.clone() };
        Ok(Attempt { node, revision: revision.to_owned(), bytes, proofs, timeout })
    }
}

/// Which revision goes live, and what it ships.
pub(super) struct Goal {
    pub revision: String,
    pub bytes: Bytes,
    pub from: Option<Origin>,
    pub of: Option<u64>,
}

/// Which revision goes live, and what it ships.
pub(super) fn goal(
    project: &Project,
    node: &ConfiguredTask,
    deploy: &Deploy,
    (job, known): (&Job, Option<&Release>),
    (history, store): (&ledger::History, &LocalStore),
) -> Result<Goal, Box<Refusal>> {
    let refusal = |reason: String, span, hint: Option<&str>| {
        let place = project.sources().place(span);
        Box::new(Refusal { label: node.label.clone(), reason, place, hint: hint.map(str::to_owned) })
    };
    if let Some(known) = known {
        let bytes = Bytes::Kept(known.artefacts.clone());
        return Ok(Goal { revision: known.began.revision.clone(), bytes, from: None, of: None });
    }
    if let Job::Rollback { of, .. } = job
        && let Some(target) = history.release(*of)
    {
        return Ok(Goal {
            revision: target.began.revision.clone(),
            bytes: Bytes::Kept(target.artefacts.clone()),
            from: target.began.from.clone(),
            of: Some(*of),
        });
    }
    if let Some(from) = &deploy.from {
        let other = ledger::history(project.root(), from.value.as_str())
            .map_err(|error| refusal(error.to_string(), from.span, None))?;
        let name = node.path.to_string();
        let release = proved(&other, from.value.as_str(), &name, store)
            .map_err(|reason| refusal(reason, from.span, None))?;
        return Ok(Goal {
            revision: release.began.revision.clone(),
            bytes: Bytes::Kept(release.artefacts.clone()),
            from: Some(Origin { env: from.value.to_string(), release: release.id() }),
            of: None,
        });
    }
    let git = crate::preflight::Git::new(project.root());
    let revision = match &deploy.revision {
        None => git
            .revision()
            .map_err(|reason| refusal(reason, deploy.task.span, Some("`git init` and a first commit"))),
        Some(text) => TaskValues::new(&node.values, &node.task, Vec::new())
            .interpolate(&text.value, Form::Text, text.span)
            .map_err(|diagnostic| diagnostic.message.clone())
            .and_then(|name| git.commit(&name))
            .map_err(|reason| refusal(reason, text.span, None)),
    }?;
    Ok(Goal { revision, bytes: Bytes::OfNeeds, from: None, of: None })
}

/// One digest over all values, with a key: nobody can tell from it what a secret is by trying.
fn fingerprint(key: &SecretKey, values: &TaskValues) -> String {
    let mut pairs: Vec<(String, String)> = values
        .iter()
        .filter(|(name, _)| !name.starts_with("ENVRUN_"))
        .filter_map(|(name, lookup)| Some((name, lookup.text()?.to_string())))
        .collect();
    pairs.sort();
    let mut text = Vec::new();
    for (name, value) in pairs {
        for part in [name, value] {
            text.extend_from_slice(&(part.len() as u64).to_le_bytes());
            text.extend_from_slice(part.as_bytes());
        }
    }
    Digest(*blake3::keyed_hash(&key.0, &text).as_bytes()).short()
}

/// What a deploy gives to its commands.
pub(super) fn given(revision: &str, other: Option<&str>) -> Vec<(String, String)> {
    vec![
        ("ENVRUN_REVISION".to_owned(), revision.to_owned()),
        // Empty for the first one: a shell that refuses unset names may still ask.
        ("ENVRUN_PREVIOUS".to_owned(), other.unwrap_or_default().to_owned()),
    ]
}

/// What is given to a deploy reaches what it needs too, where the deploy names a revision of its own.
pub(super) fn hand_down(plan: &mut Plan, ix: NodeIx, given: Vec<(String, String)>) {
    let is_own = matches!(&plan.graph[ix].special, Some(Node::Deploy(deploy)) if deploy.revision.is_some());
    if is_own {
        let mut todo: Vec<NodeIx> = plan.graph.needs(ix).collect();
        let mut seen = BTreeSet::new();
        while let Some(need) = todo.pop() {
            if seen.insert(need) {
                todo.extend(plan.graph.needs(need));
                plan.graph[need].given.clone_from(&given);
            }
        }
    }
    plan.graph[ix].given = given;
}

/// The remote through whose git ref ledgers are shared, if they are.
pub(super) fn remote(project: &Project) -> Option<&str> {
    project.envfile().state.as_ref().map(|remote| remote.value.as_str())
}

/// How ledgers are shared.
pub(super) fn sharing(project: &Project, emergency: bool) -> Sharing<'_> {
    match (remote(project), emergency) {
        (Some(remote), false) => Sharing::Through(remote),
        (Some(remote), true) => Sharing::Afterwards(remote),
        (None, false) => Sharing::Alone,
        (None, true) => Sharing::AloneInAHurry,
    }
}

/// What a release without an end keeps others from, when nobody has the lock here: somebody is, or may be, at work on it,
/// or it was cut short.
pub(super) fn in_the_way(context: &Context, project: &Project, env: &str, release: &Release) -> Problem {
    match at_work(context, project, env, release) {
        Some(holder) => held(env, holder),
        None => Problem::Unfinished { env: env.to_owned(), release: Box::new(release.clone()) },
    }
}

/// Somebody is surely at work on a release: nobody takes it out of his hands. Where that cannot be told from here, it is
/// for people to say.
pub(super) fn goes_on(context: &Context, project: &Project, env: &str, release: &Release) -> Option<Problem> {
    let holder = at_work(context, project, env, release)?;
    (holder.hold == Hold::Lives).then(|| held(env, holder))
}

/// Who is at work on a release without an end, or may be, by what its ledger says. Nobody has the lock here.
pub(super) fn at_work(context: &Context, project: &Project, env: &str, release: &Release) -> Option<Holder> {
    let hold = match release.standing(project.root(), &who(context, project.root())) {
        Standing::GoesOn => Hold::Lives,
        Standing::Unknown => Hold::Unknown,
        Standing::CutShort => return None,
    };
    Some(Holder { hold, read: context.clock.now(), ..release.hands(env) })
}

fn held(env: &str, holder: Holder) -> Problem {
    ledger::LedgerError::Held { env: env.to_owned(), holder: Box::new(holder) }.into()
}

/// Who deploys.
pub(in crate::ops) fn who(context: &Context, root: &Path) -> Who {
    Who { user: context.person(root), host: context.host.clone(), process: Identity::own() }
}

/// Everything a release ships, in words: `package 3f2a1b9c0d4e`.
pub fn shipped(artefacts: &[Artefact]) -> String {
    artefacts.iter().map(|one| format!("{} {}", one.task, one.digest.short())).collect::<Vec<_>>().join(", ")
}
