//! Deploys of a run: made ready, begun in the ledgers, and let on when everything holds.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex};

use crate::base::{Digest, Identity};
use crate::engine::deploy::Deployments;
use crate::engine::surroundings::{Surroundings, scope_conditions};
use crate::fingerprint::SecretKey;
use crate::graph::{ConfiguredTask, NodeIx};
use crate::ledger::{
    self, Began, Hold, Holder, Outcome, Phase, Reached, Release, Saved, Sharing, Standing, What, Who,
};
use crate::model::{ConditionKind, EnvName, Node};
use crate::plan::Plan;
use crate::preflight::is_placeholder;
use crate::record::RunId;
use crate::vars::{Lookup, SEALED, TaskValues};

use super::super::doctor::shared_ports;
use super::super::run::{Request, local_store};
use super::super::{Context, Problem, Project, Refusal};
use super::goal::{given, hand_down};
use super::history_of;
use super::preparation::Preparation;

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
    /// To put a copy of a snapshot back.
    Restore {
        /// Its number.
        copy: u64,
        /// What it replaces is beyond saving: there is no way back.
        unsaved: bool,
    },
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
    /// The first line of each of them, as long as it is not written.
    lines: Vec<(String, Began)>,
}

/// Locks what a run changes and makes its deploys ready; `None` if there are none. The values of the new revision reach
/// the deploys in `plan` and what they need. No ledger speaks of them before [`Begun::write_down`].
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
    untouched(context, project, plan, &deploys)?;
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
        unplaced: HashMap::new(),
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
        } else if let Some(revision) = begun.unplaced.remove(&node.label) {
            hand_down(plan, ix, given(&revision, None));
        }
    }
    let Preparation { locks, warnings, refusals, store, key, .. } = begun;
    let locks = locks.into_iter().map(|(env, locked)| (env, Mutex::new(locked))).collect();
    let deployments = Deployments { list, locks, store };
    Ok(Some(Begun { deployments, refusals, warnings, key, lines }))
}

impl Begun {
    /// Writes down that they began. From now on each of them has to come to an end.
    pub fn write_down(&mut self, root: &Path, set: &[(String, String)]) -> Result<(), Problem> {
        for (env, began) in std::mem::take(&mut self.lines) {
            ledger::keep_given(root, &env, &began.run, set)?;
            self.deployments.write(&env, What::Began(began))?;
        }
        Ok(())
    }

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
            let node = &deployment.forward.node;
            let values = fingerprint(&self.key, &around.task_values(node, &node.task));
            let locked = self.deployments.locks.get_mut(&deployment.env).expect("it was locked");
            let locked = locked.get_mut().expect("nobody else had it yet");
            if deployment.phase != Phase::Locked {
                // Another machine hashes with another key.
                let began = locked.history().release(deployment.release);
                let began = began.filter(|release| release.began.who.host == around.host);
                let is_other =
                    began.and_then(|release| release.values.as_ref()).is_some_and(|it| *it != values);
                if is_other && !deployment.back_only {
                    self.warnings.push(format!(
                        "`{}` goes on with other values than it began with: what its commands did until then is of the old \
                         ones",
                        node.label
                    ));
                }
                continue;
            }
            let mut reached = Reached::new(deployment.release, Phase::Guarded);
            reached.evidence = evidence.get(ix).cloned().unwrap_or_default();
            reached.values = Some(values);
            deployment.phase = Phase::Guarded;
            locked.write(What::Reached(reached))?;
        }
        Ok(())
    }

    /// The run ends before it begins: that is the end of every release of it. What the ledger does not take any longer is
    /// told beside what the problem was.
    pub fn give_up(&self, problem: Problem) -> Problem {
        let (outcome, reason) = match &problem {
            Problem::Refused(refusals) => {
                let reasons: Vec<&str> = refusals.iter().map(|refusal| refusal.reason.as_str()).collect();
                (Outcome::Refused, reasons.join("; "))
            }
            Problem::Moved { moved, .. } => (Outcome::Refused, moved.join("; ")),
            Problem::Interrupted => (Outcome::Abandoned, "it was interrupted".to_owned()),
            other => (Outcome::Abandoned, other.to_string()),
        };
        match self.deployments.abandon(outcome, &reason) {
            Ok(()) => problem,
            Err(error) => error.into(),
        }
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

/// Nothing that changes an environment begins while a release of it is open. What a release itself starts may, and what
/// runs with a deploy of the same environment: that takes the lock, and looks whether anything is open, by itself.
fn untouched(context: &Context, project: &Project, plan: &Plan, deploys: &[NodeIx]) -> Result<(), Problem> {
    let locked: BTreeSet<&EnvName> = deploys.iter().filter_map(|ix| plan.graph[*ix].env.as_ref()).collect();
    let changing = plan.graph.iter().filter(|(_, node)| node.task.mutates && node.kind() != "deploy");
    let environments: BTreeSet<&EnvName> =
        changing.filter_map(|(_, node)| node.env.as_ref()).filter(|env| !locked.contains(env)).collect();
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
        None => Problem::Unfinished {
            env: env.to_owned(),
            release: Box::new(release.clone()),
            is_elsewhere: remote(project).is_some() && !release.is_of(project.root()),
        },
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
