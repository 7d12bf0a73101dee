//! What each deploy of a run is going to do: worked out when its environment is locked, and before anything begins.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::cache::LocalStore;
use crate::engine::deploy::{Attempt, Bytes, Deployment, Proof, Stay, Tag};
use crate::engine::snapshot::archive;
use crate::fingerprint::SecretKey;
use crate::graph::{ConfiguredTask, NodeIx, Target};
use crate::ledger::{
    Began, Course, History, Holder, Kind, Locked, Outcome, Phase, Release, Saved, What, Who,
};
use crate::model::{Deploy, EnvName, Node, ProjectName};
use crate::plan::{Force, Limits, OnFailure, Plan};
use crate::preflight::Git;
use crate::record::RunId;
use crate::vars::{Form, TaskValues, Values};

use super::super::run::graph_of;
use super::super::{Context, Problem, Project, Refusal};
use super::KEEP;
use super::begin::{Job, goes_on, in_the_way, sharing};
use super::bytes::is_there;
use super::gate::gate;
use super::goal::{given, goal};
use super::words::{short, title};

/// Works the deploys of a run out, one by one.
pub(super) struct Preparation<'a> {
    pub(super) context: &'a Context,
    pub(super) set: &'a [(String, String)],
    pub(super) run: &'a RunId,
    pub(super) job: &'a Job,
    /// Why guards were passed by hand.
    pub(super) break_glass: Option<&'a str>,
    pub(super) who: Who,
    pub(super) locks: BTreeMap<String, Locked>,
    /// What is wrong, and does not stop an emergency.
    pub(super) warnings: Vec<String>,
    /// The numbers that this run gave away, by environment.
    pub(super) ids: BTreeMap<String, u64>,
    pub(super) refusals: Vec<Refusal>,
    /// By deploy: the revision that would go live if its bytes were here.
    pub(super) unplaced: HashMap<String, String>,
    pub(super) store: LocalStore,
    pub(super) limits: Limits,
    pub(super) key: SecretKey,
    /// The values of the run.
    pub(super) values: HashMap<(ProjectName, Option<EnvName>), Arc<Values>>,
}

impl Preparation<'_> {
    /// Locks every environment, always in the same order.
    pub(super) fn lock(&mut self, project: &Project, plan: &Plan, deploys: &[NodeIx]) -> Result<(), Problem> {
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
                Job::Restore { .. } => format!("restore {label}"),
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
                Job::Deploy | Job::Rollback { .. } | Job::Restore { .. } => None,
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
    pub(super) fn deployment(
        &mut self,
        project: &mut Project,
        node: &ConfiguredTask,
    ) -> Result<Option<(Deployment, Option<Began>)>, Problem> {
        let (deploy, env) = match (&node.special, &node.env) {
            (Some(Node::Deploy(deploy)), Some(env)) => (deploy, env),
            (Some(Node::Snapshot(_)), Some(env)) => return self.restore(project, node, env.as_str()),
            _ => return Ok(None),
        };
        let name = node.path.to_string();
        let history = self.locks[env.as_str()].history().clone();
        let known = match self.job {
            Job::Resume(id) | Job::Back(id) => history.release(*id).cloned(),
            Job::Deploy | Job::Rollback { .. } | Job::Restore { .. } => None,
        };
        let goal = match goal(project, node, deploy, (self.job, known.as_ref()), (&history, &self.store)) {
            Ok(goal) => goal,
            Err(no_goal) => {
                self.refusals.push(no_goal.refusal);
                self.unplaced.extend(no_goal.revision.map(|revision| (node.label.clone(), revision)));
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
                if *self.job == Job::Deploy
                    && previous.began.revision != goal.revision
                    && !is_there(&self.store, &previous.artefacts)
                {
                    self.warnings.push(format!(
                        "`{}` could not go back if it failed: the bytes of {} are not in this cache",
                        node.label,
                        title(previous)
                    ));
                }
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
                let Some(snapshot) = found else {
                    return Err(Problem::usage(
                        format!(
                            "`{}` is no longer saved by `{}`, so it cannot be put back",
                            saved.snapshot, node.label
                        ),
                        Some("go back without `--with-data`, and restore the data by hand".into()),
                    ));
                };
                // What is taken back is not put back again.
                if !matches!(self.job, Job::Back(_)) {
                    let Some(copy) = archive(project.root(), snapshot).of_ledger(saved) else {
                        self.refusals.push(not_here(env.as_str(), &history, saved));
                        return Ok(None);
                    };
                    data.push((snapshot.clone(), copy.number));
                }
                snapshots.push(snapshot.clone());
            }
        }
        let tag = match (&deploy.tag, &known) {
            (_, Some(known)) => known.began.tag.clone(),
            (Some(tag), None) if *self.job == Job::Deploy => {
                let name = values.interpolate(&tag.value, Form::Text, tag.span);
                let name = name.map_err(|diagnostic| (diagnostic.message.clone(), diagnostic.help.clone()));
                let replaced = before.as_ref().filter(|before| **before != goal.revision);
                let is_timed = tag.value.contains("ENVRUN_TIME");
                match name.and_then(|name| usable(&Git::new(project.root()), name, replaced, is_timed)) {
                    Ok(tag) => tag,
                    Err((reason, hint)) => {
                        let place = project.sources().place(tag.span);
                        self.refusals.push(Refusal { label: node.label.clone(), reason, place, hint });
                        return Ok(None);
                    }
                }
            }
            _ => None,
        };
        let is_rollback = match &known {
            Some(known) => known.began.kind == Kind::Rollback,
            None => matches!(self.job, Job::Rollback { .. }),
        };
        let release = known.as_ref().map_or_else(|| self.next_id(env.as_str()), Release::id);
        let began = known.is_none().then(|| Began {
            release,
            kind: if is_rollback { Kind::Rollback } else { Kind::Deploy },
            node: name.clone(),
            revision: goal.revision.clone(),
            previous: previous.map(Release::id),
            previous_revision: before.clone(),
            from: goal.from.clone(),
            of: goal.of,
            tag: tag.clone(),
            data: match self.job {
                Job::Rollback { data, .. } => data.clone(),
                _ => Vec::new(),
            },
            unsaved: false,
            given: self.set.iter().map(|(name, _)| name.clone()).collect(),
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
            stay: stay(env, &name, is_rollback, previous),
            name,
            release,
            course: Course { can_go_back: back.is_some(), unproved: emergency },
            phase: known.as_ref().map_or(Phase::Locked, |known| known.phase),
            back_only: matches!(self.job, Job::Back(_)),
            is_rollback: matches!(self.job, Job::Rollback { .. }),
            why: why(self.job, known.as_ref()),
            forward,
            back,
            snapshots,
            data,
            saved: known.as_ref().map(|known| known.snapshots.clone()).unwrap_or_default(),
            gate: (*self.job == Job::Deploy && self.break_glass.is_none())
                .then(|| gate(project, node, &self.context.clock))
                .flatten(),
            tag,
            keep: deploy.keep.unwrap_or(KEEP),
        };
        Ok(Some((deployment, began)))
    }

    /// Data that are put back: a copy that is asked for, or what was begun and cut short.
    fn restore(
        &mut self,
        project: &Project,
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
            (None, Job::Restore { copy, .. }) => *copy,
            (None, _) => return Ok(None),
        };
        let archive = archive(project.root(), node);
        // Whoever goes on with it means the same bytes, and so does who takes it back.
        let meant = known.iter().flat_map(|known| match self.job {
            Job::Back(_) => &known.snapshots,
            _ => &known.began.data,
        });
        if let Some(saved) = meant.into_iter().find(|saved| archive.of_ledger(saved).is_none()) {
            self.refusals.push(not_here(env, &history, saved));
            return Ok(None);
        }
        let asked_for = archive.numbered(number);
        let release = known.as_ref().map_or_else(|| self.next_id(env), Release::id);
        let revision = format!("copy {number}");
        let name = node.path.to_string();
        let unsaved = match (&known, self.job) {
            (Some(known), _) => known.began.unsaved || known.snapshots.is_empty(),
            (None, job) => matches!(job, Job::Restore { unsaved: true, .. }),
        };
        let began = known.is_none().then(|| Began {
            release,
            kind: Kind::Restore,
            node: name.clone(),
            revision: revision.clone(),
            previous: None,
            previous_revision: None,
            from: None,
            of: Some(number),
            tag: None,
            data: asked_for
                .map(|copy| Saved {
                    snapshot: node.label.clone(),
                    id: number.to_string(),
                    digest: copy.digest,
                })
                .into_iter()
                .collect(),
            unsaved,
            given: self.set.iter().map(|(name, _)| name.clone()).collect(),
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
            course: Course { can_go_back: !unsaved, unproved: true },
            phase: known.as_ref().map_or(Phase::Locked, |known| known.phase),
            back_only: matches!(self.job, Job::Back(_)),
            is_rollback: true,
            why: why(self.job, known.as_ref()),
            stay: Stay::default(),
            snapshots: if unsaved { Vec::new() } else { vec![node.clone()] },
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

/// What is said of saved data that the ledger speaks of, and that are not in this checkout.
pub(super) fn elsewhere(history: &History, saved: &Saved) -> String {
    let by = history.releases().iter().find(|release| release.snapshots.contains(saved));
    let by = by.map(|release| {
        let Who { user, host, .. } = &release.began.who;
        format!(": {} by {user}@{host} saved it", title(release))
    });
    format!("copy {} of `{}` is not in this checkout{}", saved.id, saved.snapshot, by.unwrap_or_default())
}

/// The refusal of what was begun with such data.
pub(super) fn not_here(env: &str, history: &History, saved: &Saved) -> Refusal {
    Refusal {
        label: format!("data of {env}"),
        reason: elsewhere(history, saved),
        place: "in its history".to_owned(),
        hint: Some("do it in the checkout that saved it".to_owned()),
    }
}

/// Why what was cut short is not as it should be, as far as its ledger knows: the reason outlives whoever takes it up.
fn why(job: &Job, known: Option<&Release>) -> String {
    match known {
        Some(known) if matches!(job, Job::Back(_)) || known.phase == Phase::GoingBack => {
            let cut = || format!("it was cut short while {}", known.phase.word());
            known.why.clone().unwrap_or_else(cut)
        }
        _ => String::new(),
    }
}

/// What is told of a release that fails and does not go back.
fn stay(env: &EnvName, name: &str, is_rollback: bool, previous: Option<&Release>) -> Stay {
    let what = format!("{env}.{name}");
    match previous {
        Some(previous) if is_rollback => Stay {
            why: "a rollback does not go back by itself".to_owned(),
            way_out: Some(format!(
                "`envrun rollback {what} --to {}` puts {} live again, which was live before; `--list` shows all there are",
                previous.id(),
                title(previous)
            )),
            logs: previous.end.iter().flat_map(|end| end.logs.clone()).collect(),
        },
        Some(previous) => Stay {
            why: String::new(),
            way_out: Some(format!(
                "`envrun rollback {what}` tries {} again, or deploy one that is well",
                short(&previous.began.revision)
            )),
            logs: Vec::new(),
        },
        None => Stay {
            why: "there is no earlier release to go back to".to_owned(),
            way_out: Some(format!("mend it and deploy again: `envrun {what}`")),
            logs: Vec::new(),
        },
    }
}

/// The tag that a deploy makes, if git takes it: asked before anything begins, because afterwards it is too late.
fn usable(
    git: &Git,
    name: String,
    replaced: Option<&String>,
    is_timed: bool,
) -> Result<Option<Tag>, (String, Option<String>)> {
    if !git.is_tag_name(&name) {
        let hint = "letters, digits, `-`, `.` and `/`; no spaces, no `..`, none of ~^:?*[".to_owned();
        return Err((
            format!("`tag` comes to `{name}`, which git does not take for the name of a tag"),
            Some(hint),
        ));
    }
    let Some(replaced) = replaced else { return Ok(None) };
    match git.tagged(&name) {
        Some(commit) if commit != *replaced => {
            // The time is told in seconds.
            let hint = match is_timed {
                true => {
                    "that was within one second: the same command again has another name for it".to_owned()
                }
                false => "a name that is new each time: `tag \"before-${ENVRUN_TIME}\"`".to_owned(),
            };
            let reason = format!(
                "the tag `{name}` is there already, on revision {}, and would mark revision {}",
                short(&commit),
                short(replaced)
            );
            Err((reason, Some(hint)))
        }
        _ => Ok(Some(Tag { name, revision: replaced.clone() })),
    }
}
