//! Who of our own has a port that an environment names: a service that is up, or what a deploy has put live.
//!
//! A record tells which ports a service uses; of a daemon that went its own way its birth certificate tells: the variables
//! it was started with name the environment and the run. Where neither tells and something is live, nobody
//! can say that the owner is a stranger.

use std::collections::BTreeSet;
use std::path::Path;

use crate::ledger::{self, Release};
use crate::model::EnvName;
use crate::preflight::{Finding, Owner};
use crate::record::{STATE_DIR, runs_dir};
use crate::service::{Place, Status};

use super::Project;

/// What is up and live in the environments of a project.
pub(super) struct Residents<'p> {
    root: &'p Path,
    services: Vec<(Option<String>, Status)>,
}

impl<'p> Residents<'p> {
    /// Looks at the services of every environment.
    pub fn look(project: &'p Project) -> Self {
        let root = project.root();
        let places = Place::all(&root.join(STATE_DIR)).into_iter();
        let up = places.flat_map(|(env, place)| {
            super::service::leftovers(&place).into_iter().map(move |status| (env.clone(), status))
        });
        Self { root, services: up.collect() }
    }

    /// What a taken port means to an environment: nothing, if its own service or its live release has it.
    pub fn finding(&self, env: Option<&EnvName>, name: &str, port: u16, owner: &Owner) -> Finding {
        let own = env.map(EnvName::as_str);
        let taken = format!("{port} is taken by {owner}");
        let holds = |status: &Status| holds(status, port, owner);
        let mut services = self.services.iter();
        let holder = services.find(|(of, status)| of.as_deref() == own && holds(status));
        if let Some((_, status)) = holder {
            return Finding::pass(format!("{port} is that of `{}`, which is up ({owner})", status.label));
        }
        let live = own.map_or_else(Vec::new, |env| live(self.root, env));
        let daemons = || self.services.iter().filter(|(of, status)| of.as_deref() == own && status.daemon);
        if self.is_from_here(own, owner) {
            if let Some(release) = live.first() {
                return Finding::pass(format!(
                    "{port} is that of release {}, which is live ({owner})",
                    release.id()
                ));
            }
            if let Some((_, status)) = daemons().next() {
                return Finding::pass(format!("{port} is that of `{}`, which is up ({owner})", status.label));
            }
            return Finding::fail(format!("{taken}, which an earlier run here has left"))
                .hint(format!("end that process, or give {name} another value"));
        }
        if let Some((label, down)) = self.elsewhere(env, port, owner) {
            return Finding::fail(format!("{port} is that of `{label}`, which is up ({owner})"))
                .hint(format!("`{down}` ends it, or give {name} another value"));
        }
        let whose = match (live.first(), daemons().next()) {
            (Some(release), _) => format!("release {}, which is live", release.id()),
            (None, Some((_, status))) => format!("`{}`, which is up", status.label),
            (None, None) => {
                return Finding::fail(taken).hint(format!("end that process, or give {name} another value"));
            }
        };
        Finding::warn(format!("{taken}; whether that is {whose}, cannot be told"))
            .hint(format!("if it is another, end that process, or give {name} another value"))
    }

    /// The service of another environment that has a port, and the command that ends it.
    pub fn elsewhere(&self, env: Option<&EnvName>, port: u16, owner: &Owner) -> Option<(&str, String)> {
        let own = env.map(EnvName::as_str);
        let is_it =
            |(of, status): &&(Option<String>, Status)| of.as_deref() != own && holds(status, port, owner);
        let (of, status) = self.services.iter().find(is_it)?;
        let down = of.as_ref().map_or_else(|| "envrun down".to_owned(), |of| format!("envrun down {of}"));
        Some((&status.label, down))
    }

    /// Whether a process, or one that it descends from, was started by a run of this environment of this project.
    fn is_from_here(&self, env: Option<&str>, owner: &Owner) -> bool {
        let [of, Some(run)] = &owner.started_with(["ENVRUN_ENV", "ENVRUN_RUN"]) else { return false };
        let of = of.as_deref().filter(|env| !env.is_empty());
        let is_of_a_release = |env: &str| {
            let history = ledger::history(self.root, env).unwrap_or_default();
            let mut releases = history.releases().iter();
            releases.any(|release| release.began.run == *run || release.hands("").run == *run)
        };
        let is_recorded = || is_name(run) && runs_dir(self.root).join(run).is_dir();
        of == env && (is_recorded() || env.is_some_and(is_of_a_release))
    }
}

/// Whether a service has a port that somebody has.
fn holds(status: &Status, port: u16, owner: &Owner) -> bool {
    status.ports.contains(&port) || owner.pid.is_some_and(|pid| super::service::is_within(pid, status))
}

/// Whether a word can name a run: the variables of another process are whatever it likes.
fn is_name(run: &str) -> bool {
    !run.is_empty() && run.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// What is live in an environment, by its ledger; nothing where that cannot be read.
fn live(root: &Path, env: &str) -> Vec<Release> {
    let Ok(history) = ledger::history(root, env) else { return Vec::new() };
    let nodes: BTreeSet<&str> = history.nodes().into_iter().collect();
    let live = nodes.into_iter().filter_map(|node| history.live(node).or_else(|| history.broken(node)));
    live.cloned().collect()
}
