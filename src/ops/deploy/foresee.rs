//! What a deploy would do, worked out without its environment's lock and without changing anything.

use crate::base::unit::written_duration;
use crate::cache::LocalStore;
use crate::engine::deploy::Bytes;
use crate::graph::NodeIx;
use crate::ledger::{self, Release};
use crate::model::{Node, NodeRef};
use crate::plan::Plan;

use super::super::{Problem, Project, Refusal};
use super::begin::Job;
use super::bytes::is_there;
use super::goal::{Goal, NoGoal, given, goal, hand_down};
use super::words::{shipped, short, title};

/// What a deploy would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foreseen {
    /// The environment that it changes.
    pub env: String,
    /// Its own name, without the environment.
    pub deploy: String,
    /// The number and the revision of what is live now.
    pub live: Option<(u64, String)>,
    /// Which revision it puts live, or what speaks against it.
    pub revision: Result<String, Refusal>,
    /// What it ships, where that is known: `package 3f2a1b9c0d4e`.
    pub ships: Option<String>,
    /// Whose bytes these are: `release 3 of uat`.
    pub from: Option<String>,
    /// What it goes back to if its proof fails.
    pub back_to: Option<String>,
    /// The data that it saves first.
    pub snapshots: Vec<String>,
    /// What has to succeed, and for how long.
    pub verify: Vec<String>,
    /// Why nothing can begin there now: a release was cut short, or goes on.
    pub unfinished: Option<String>,
}

/// Looks at every deploy of a plan as it would be if it began now. The values of the new revision reach the deploys in
/// `plan` and what they need, as they would then.
pub fn foresee(
    project: &Project,
    plan: &mut Plan,
    store: &LocalStore,
    run: &str,
) -> Result<Vec<(NodeIx, Foreseen)>, Problem> {
    let deploys: Vec<NodeIx> =
        plan.graph.iter().filter(|(_, node)| node.kind() == "deploy").map(|(ix, _)| ix).collect();
    let mut found = Vec::new();
    for ix in deploys {
        let node = plan.graph[ix].clone();
        let Some(Node::Deploy(deploy)) = &node.special else { continue };
        let Some(env) = &node.env else {
            return Err(Problem::usage(
                format!("`{}` changes an environment, and none is named", node.label),
                Some(format!("write `ENV.{}`, or give one with `-e`", node.path)),
            ));
        };
        let history = ledger::history(project.root(), env.as_str())?;
        let name = node.path.to_string();
        let last_good = history.last_good(&name);
        let back = |release: &Release| match is_there(store, &release.artefacts) {
            true => format!("{} ({env})", title(release)),
            false => format!("{} ({env}), if its bytes were in this cache, and they are not", title(release)),
        };
        let goal = goal(project, &node, deploy, (&Job::Deploy, None), (&history, store));
        let (revision, ships, from) = match goal {
            Ok(Goal { revision, bytes, from, .. }) => {
                let before = last_good.map(|release| release.began.revision.as_str());
                hand_down(plan, ix, given(&revision, before));
                let ships = match &bytes {
                    Bytes::Kept(artefacts) => Some(shipped(artefacts)),
                    Bytes::OfNeeds => None,
                };
                let from = from.map(|origin| format!("release {} of {}", origin.release, origin.env));
                (Ok(revision), ships, from)
            }
            Err(no_goal) => {
                let NoGoal { refusal, revision } = *no_goal;
                revision.iter().for_each(|revision| hand_down(plan, ix, given(revision, None)));
                (Err(refusal), None, None)
            }
        };
        let own = |task: &NodeRef| match &task.env {
            Some(other) => format!("{other}.{}", task.path),
            None => format!("{env}.{}", task.path),
        };
        let verify = deploy.verify.iter().map(|verify| {
            let tasks = verify.tasks.iter().map(own).collect::<Vec<_>>().join(", ");
            match verify.hold {
                Some(hold) => format!("{tasks} for {}", written_duration(hold)),
                None => tasks,
            }
        });
        let mut others = history.open().filter(|release| release.began.run != run);
        found.push((
            ix,
            Foreseen {
                live: history.live(&name).map(|release| (release.id(), release.began.revision.clone())),
                revision,
                ships,
                from,
                back_to: last_good.map(back),
                snapshots: deploy.snapshots.iter().map(own).collect(),
                verify: verify.collect(),
                unfinished: others
                    .next()
                    .map(|release| format!("{} is not over: it is {}", title(release), release.phase.word())),
                env: env.to_string(),
                deploy: name,
            },
        ));
    }
    Ok(found)
}

impl Foreseen {
    /// What is live now, in words.
    pub fn live_words(live: Option<&(u64, String)>) -> String {
        match live {
            Some((id, revision)) => format!("release {id} (revision {})", short(revision)),
            None => "nothing".to_owned(),
        }
    }
}
