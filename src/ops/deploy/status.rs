//! What is live in an environment, and whether it is well.

use crate::graph::Target;
use crate::ledger::{self, Footprint, History, Holder, Kind, Release};
use crate::model::{EnvName, Node};
use crate::plan::{Force, OnFailure};
use crate::preflight::Git;

use super::super::run::{Proof, Request, Terms, carry_out};
use super::super::{Context, Problem, Project};
use super::begin;
use super::finish::asked;
use super::{history_to_look_at, refresh_to_look};

/// What is known of environments.
pub struct Overview {
    /// Each of them.
    pub environments: Vec<Status>,
    /// Why that may not be all, and what to do.
    pub warnings: Vec<(String, Option<String>)>,
}

/// What is known of one environment.
pub struct Status {
    /// The environment.
    pub env: String,
    /// Its deploys, and restores that have not come to a good end.
    pub deploys: Vec<DeployStatus>,
    /// Who changes it at this moment.
    pub holder: Option<Holder>,
    /// Its services, as they are, or as they were last.
    pub services: Vec<crate::service::Status>,
    /// Files that its nodes rendered, and that somebody changed by hand.
    pub changed: Vec<String>,
}

/// What is known of one deploy.
pub struct DeployStatus {
    /// The deploy, without the environment.
    pub node: String,
    /// What is live.
    pub live: Option<Release>,
    /// What failed and could not be taken back.
    pub broken: Option<Release>,
    /// What was cut short, or goes on.
    pub open: Option<Release>,
    /// How many commits HEAD is ahead of what is live; none if git cannot say.
    pub ahead: Option<u64>,
    /// Whether its proof succeeds now; not there unless it was asked.
    pub healthy: Option<bool>,
    /// What of its proof failed.
    pub failed: Vec<String>,
    /// What is not as the live release left it; not there if nobody looked when it went live, or elsewhere.
    pub drift: Option<Vec<String>>,
}

impl Status {
    /// Whether somebody has to look after it.
    pub fn is_bad(&self) -> bool {
        let failed =
            |status: &crate::service::Status| matches!(status.state, crate::service::State::Failed(_));
        !self.changed.is_empty()
            || self.services.iter().any(failed)
            || self.deploys.iter().any(DeployStatus::is_bad)
    }
}

impl DeployStatus {
    fn is_bad(&self) -> bool {
        self.broken.is_some()
            || self.open.is_some()
            || self.healthy == Some(false)
            || self.drift.as_ref().is_some_and(|drift| !drift.is_empty())
    }
}

/// Looks at environments: the one that is named, or all that have a deploy or a service that is up.
pub fn status(context: &Context, project: &Project, env: Option<&str>) -> Result<Overview, Problem> {
    let mut warnings = refresh_to_look(context, project);
    let mut environments = environments(project, env)?;
    if env.is_none() {
        let up = super::super::service::environments(project);
        environments.extend(up.into_iter().filter(|env| !environments.contains(env)).collect::<Vec<_>>());
    }
    let git = Git::new(project.root());
    let mut found = Vec::new();
    for env in environments {
        let history = history_to_look_at(project, &env, &mut warnings)?;
        let mut nodes: Vec<String> = declared(project, &env);
        nodes.extend(history.nodes().into_iter().map(str::to_owned));
        nodes.dedup();
        let mut deploys: Vec<DeployStatus> = Vec::new();
        for node in nodes {
            if deploys.iter().any(|known| known.node == node) {
                continue;
            }
            let live = history.live(&node).cloned();
            let ahead = live.as_ref().and_then(|live| git.ahead_of(&live.began.revision).ok());
            let open = history.open().find(|release| release.began.node == node).cloned();
            let broken = history.broken(&node).cloned();
            let drift = live.as_ref().and_then(|live| drift(project.root(), &env, &node, live));
            let (healthy, failed) = (None, Vec::new());
            deploys.push(DeployStatus { node, live, broken, open, ahead, healthy, failed, drift });
        }
        deploys.extend(unsound(&history));
        // In another checkout it may go on: nobody here has the lock then.
        let elsewhere = || history.open().find_map(|open| begin::at_work(context, project, &env, open));
        let holder = ledger::holder(project.root(), &env).or_else(elsewhere);
        let services = services(project, &env)?;
        let changed = super::super::rendered::changed(project, &env);
        found.push(Status { env, deploys, holder, services, changed });
    }
    Ok(Overview { environments: found, warnings })
}

/// The environments to look at: the one that is named, or all that have a deploy or a ledger.
pub(super) fn environments(project: &Project, env: Option<&str>) -> Result<Vec<String>, Problem> {
    Ok(match env {
        Some(env) => vec![super::super::target::environment(project.envfile(), env)?.to_string()],
        None => all(project),
    })
}

/// What is not as the release left it that is live; unknown where that was not looked at.
fn drift(root: &std::path::Path, env: &str, node: &str, live: &Release) -> Option<Vec<String>> {
    let footprint = Footprint::of(root, env, node).filter(|footprint| footprint.is_of(live))?;
    Some(footprint.drift(root))
}

/// The services of an environment that were started at all.
fn services(project: &Project, env: &str) -> Result<Vec<crate::service::Status>, Problem> {
    let listings = super::super::service::list(project, &[EnvName::from(env)])?;
    Ok(listings.into_iter().flat_map(|listing| listing.services).collect())
}

/// Restores that were cut short, or failed and could not be taken back: until that is mended nobody knows which data there
/// are. One that came to its end is nothing to tell here.
fn unsound(history: &History) -> Vec<DeployStatus> {
    let mut found: Vec<DeployStatus> = Vec::new();
    for release in history.releases().iter().filter(|release| release.began.kind == Kind::Restore) {
        let node = &release.began.node;
        let broken = history.broken(node).cloned();
        let open = history.open().find(|open| open.began.node == *node).cloned();
        if (broken.is_some() || open.is_some()) && found.iter().all(|known| known.node != *node) {
            let node = node.clone();
            found.push(DeployStatus {
                node,
                live: None,
                broken,
                open,
                ahead: None,
                healthy: None,
                failed: Vec::new(),
                drift: None,
            });
        }
    }
    found
}

/// Carries out the proofs of an environment's deploys, once, and says for each whether it is well.
pub fn check(
    context: &Context,
    project: &mut Project,
    statuses: &mut [Status],
    request: &Request,
    reporters: &mut dyn FnMut() -> crate::report::Reporters,
) -> Result<(), Problem> {
    for status in statuses {
        let env = EnvName::from(status.env.as_str());
        for deploy in status.deploys.iter_mut().filter(|deploy| deploy.live.is_some()) {
            let Some(targets) = proofs(project, &env, &deploy.node) else { continue };
            let targets = targets.iter().map(|target| asked(address(target))).collect::<Vec<_>>();
            if targets.is_empty() {
                continue;
            }
            // All of it is asked, as when it went live: up to date or not, and whatever else fails.
            let (on_failure, force) = (OnFailure::KeepGoing, Force::Targets);
            let request = Request { targets, on_failure, force, ..request.clone() };
            let mut proof = Proof::default();
            let terms = Terms { proof: Some(&mut proof), ..Terms::default() };
            let (ending, _) = carry_out(context, project, &request, reporters(), terms)?;
            deploy.healthy = Some(ending.exit == 0);
            deploy.failed = proof.failed;
        }
    }
    Ok(())
}

/// The tasks that prove a deploy.
fn proofs(project: &Project, env: &EnvName, node: &str) -> Option<Vec<Target>> {
    let envfile = project.envfile();
    let (target, _) = super::super::target::target(envfile, &format!("{env}.{node}"), Some(env)).ok()?;
    let Some(Node::Deploy(deploy)) = envfile.node(Some(env), &target.path) else { return None };
    let tasks = deploy.verify.iter().flat_map(|verify| &verify.tasks);
    Some(
        tasks
            .map(|task| Target {
                path: task.path.clone(),
                env: task.env.clone().or_else(|| Some(env.clone())),
                stage: None,
                args: Vec::new(),
            })
            .collect(),
    )
}

fn address(target: &Target) -> String {
    match &target.env {
        Some(env) => format!("{env}.{}", target.path),
        None => target.path.to_string(),
    }
}

/// The environments that have a deploy, declared or in a ledger.
fn all(project: &Project) -> Vec<String> {
    let envfile = project.envfile();
    let mut names: Vec<String> = envfile
        .concrete_environments()
        .map(|env| env.name.to_string())
        .filter(|env| !declared(project, env).is_empty())
        .collect();
    for env in ledger::environments(project.root()) {
        if !names.contains(&env) {
            names.push(env);
        }
    }
    names
}

/// The deploys that an environment declares.
pub fn declared(project: &Project, env: &str) -> Vec<String> {
    let envfile = project.envfile();
    let env = EnvName::from(env);
    let paths = envfile.node_paths().into_iter();
    paths
        .filter(|path| matches!(envfile.node(Some(&env), path), Some(Node::Deploy(_))))
        .map(|path| path.to_string())
        .collect()
}
