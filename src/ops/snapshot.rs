//! The copies of snapshot nodes: listed, proved whole, tidied up, put back.

use std::collections::BTreeSet;
use std::path::PathBuf;

use jiff::tz::TimeZone;
use serde::Serialize;

use crate::base::Timestamp;
use crate::engine::dispatcher::Ending;
use crate::engine::snapshot::pins;
use crate::ledger;
use crate::model::{EnvName, Keep, Node, NodePath};
use crate::report::Reporters;
use crate::snapshot::{Archive, Copy, SnapshotError};

use super::deploy::Job;
use super::run::{Request, Rest, run};
use super::target::{Asked, target};
use super::{Context, Problem, Project};

/// A snapshot node in an environment, and where its copies are.
#[derive(Debug, Clone)]
pub struct Place {
    /// The environment; `None` in a project that has none.
    pub env: Option<EnvName>,
    /// The node with its environment: `prod.db`.
    pub label: String,
    /// Its copies.
    pub archive: Archive,
    /// How many are kept.
    pub keep: Option<Keep>,
}

/// A copy, as it is listed.
#[derive(Debug, Clone, Serialize)]
pub struct Listed {
    /// What is written down about it; of a damaged one only the number and the node.
    #[serde(flatten)]
    pub copy: Copy,
    /// What is wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub damage: Option<String>,
    /// Releases that point to it: it stays as long as they are kept.
    pub releases: Vec<u64>,
}

/// The snapshot nodes that are meant: all, those of an environment, or one.
pub fn places(project: &Project, asked: &[String], env: Option<&EnvName>) -> Result<Vec<Place>, Problem> {
    let envfile = project.envfile();
    let mut places = Vec::new();
    let mut add = |env: Option<&EnvName>, path: &NodePath| {
        let Some(Node::Snapshot(snapshot)) = envfile.node(env, path) else { return false };
        let label = env.map_or_else(|| path.to_string(), |env| format!("{env}.{path}"));
        let archive = Archive::of(project.root(), env.map(EnvName::as_str), &path.to_string(), &label);
        places.push(Place { env: env.cloned(), label, archive, keep: snapshot.keep });
        true
    };
    let paths = envfile.node_paths();
    let concrete: Vec<&EnvName> = envfile.concrete_environments().map(|env| &env.name).collect();
    if asked.is_empty() {
        for path in &paths {
            if concrete.is_empty() {
                add(None, path);
            }
            concrete.iter().for_each(|env| _ = add(Some(env), path));
        }
    }
    for text in asked {
        if let Some(env) = concrete.iter().find(|env| env.as_str() == text) {
            paths.iter().for_each(|path| _ = add(Some(env), path));
            continue;
        }
        let (found, _) = target(envfile, text, env)?;
        if !add(found.env.as_ref(), &found.path) {
            let kind = envfile.node(found.env.as_ref(), &found.path).map_or("node", Node::kind);
            let known = paths.iter().filter(|path| {
                let environments = concrete.iter().map(|env| Some(*env)).chain([None]);
                environments.into_iter().any(|env| matches!(envfile.node(env, path), Some(Node::Snapshot(_))))
            });
            let known: Vec<String> = known.map(|path| format!("`{path}`")).collect();
            let hint = if known.is_empty() {
                "the Envfile has no `snapshot`".to_owned()
            } else {
                format!("snapshots are {}", known.join(", "))
            };
            return Err(Problem::usage(format!("`{text}` is a {kind}, not a snapshot"), Some(hint)));
        }
    }
    Ok(places)
}

/// Every copy of a node, newest first.
pub fn list(project: &Project, place: &Place) -> Result<Vec<Listed>, Problem> {
    let copies = place.archive.copies()?;
    // In an emergency, too: a ledger that is damaged does not hide what can be put back.
    let (history, _) = ledger::readable(project.root(), place.env.as_ref().map_or("", EnvName::as_str))?;
    let pins = pins(&history, &place.label);
    let releases = |number: u64| pins.get(&number).cloned().unwrap_or_default();
    let good =
        copies.good.into_iter().map(|copy| Listed { releases: releases(copy.number), copy, damage: None });
    let damaged = copies.damaged.into_iter().map(|(number, damage)| Listed {
        copy: Copy {
            number,
            time: Timestamp::default(),
            node: place.label.clone(),
            digest: String::new(),
            files: 0,
            bytes: 0,
            verified: false,
            meta: crate::snapshot::Meta::default(),
        },
        damage: Some(damage),
        releases: releases(number),
    });
    let mut listed: Vec<Listed> = good.chain(damaged).collect();
    listed.sort_by_key(|listed| std::cmp::Reverse(listed.copy.number));
    Ok(listed)
}

/// The copies of a node that are not what was saved, and what is wrong with each; and how many are good.
pub fn verify(place: &Place) -> Result<(usize, Vec<SnapshotError>), Problem> {
    let copies = place.archive.copies()?;
    let node = place.label.clone();
    let mut bad: Vec<SnapshotError> = copies
        .damaged
        .into_iter()
        .map(|(number, reason)| SnapshotError::Damaged { node: node.clone(), number, reason })
        .collect();
    let mut good = 0;
    for copy in &copies.good {
        match place.archive.check(copy) {
            Ok(()) => good += 1,
            Err(error) => bad.push(error),
        }
    }
    Ok((good, bad))
}

/// Removes the copies that the node's `keep` does not keep, and gives them.
pub fn prune(project: &Project, place: &Place) -> Result<Vec<Copy>, Problem> {
    let Some(keep) = place.keep else { return Ok(Vec::new()) };
    let pinned: BTreeSet<u64> = pins(&history(project, place)?, &place.label).into_keys().collect();
    Ok(place.archive.prune(keep, &pinned, &TimeZone::system())?)
}

/// The copies of a node whose description cannot be read, which no `keep` can judge, and where each lies.
pub fn undescribed(place: &Place) -> Result<Vec<(u64, PathBuf)>, Problem> {
    let damaged = place.archive.copies()?.damaged.into_iter();
    Ok(damaged.map(|(number, _)| (number, place.archive.folder_of(number))).collect())
}

fn history(project: &Project, place: &Place) -> Result<ledger::History, Problem> {
    let env = place.env.as_ref().map_or("", EnvName::as_str);
    Ok(ledger::history(project.root(), env)?)
}

/// A copy that is to be put back.
#[derive(Debug, Clone)]
pub struct Chosen {
    /// Where.
    pub place: Place,
    /// Which.
    pub copy: Copy,
}

/// Finds the copy of a snapshot that is to be put back: whole, and of a node that says how it is put back.
pub fn choose(project: &Project, name: &str, env: Option<&EnvName>, at: &str) -> Result<Chosen, Problem> {
    let found = places(project, &[name.to_owned()], env)?;
    let [place] = &found[..] else {
        let names: Vec<String> = found.iter().map(|place| format!("`{}`", place.label)).collect();
        let hint = if names.is_empty() {
            "it has no snapshots".into()
        } else {
            format!("name one of {}", names.join(", "))
        };
        return Err(Problem::usage(
            format!("`{name}` is an environment, and one snapshot is put back at a time"),
            Some(hint),
        ));
    };
    let Some(env) = &place.env else {
        return Err(Problem::usage(
            format!("`{name}` changes an environment, and none is named"),
            Some(format!("write `ENV.{name}`, or give one with `-e`")),
        ));
    };
    let (target, _) = target(project.envfile(), &place.label, Some(env))?;
    if let Some(Node::Snapshot(snapshot)) = project.envfile().node(target.env.as_ref(), &target.path)
        && snapshot.restore.is_none()
    {
        return Err(Problem::usage(
            format!("`{}` does not say how it is put back", place.label),
            Some("add `restore \"…\"` to the snapshot".into()),
        ));
    }
    let copy = place.archive.find(at, &TimeZone::system())?;
    place.archive.check(&copy)?;
    Ok(Chosen { place: place.clone(), copy })
}

/// Puts a copy back. What is there now is saved first, and goes back if that fails; `unsaved` does without.
pub fn restore(
    context: &Context,
    project: &mut Project,
    chosen: &Chosen,
    (request, unsaved): (&Request, bool),
    reporters: Reporters,
) -> Result<(Ending, Rest), Problem> {
    let asked = Asked { name: chosen.place.label.clone(), args: Vec::new() };
    let job = Job::Restore { copy: chosen.copy.number, unsaved };
    let request = Request { targets: vec![asked], job, ..request.clone() };
    run(context, project, &request, reporters)
}
