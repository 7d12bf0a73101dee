//! Going back to an earlier release because somebody asks for it.

use crate::diag::did_you_mean;
use crate::engine::dispatcher::Ending;
use crate::ledger::{History, LedgerError, Outcome, Release, Saved};
use crate::report::Reporters;
use crate::snapshot::Archive;

use super::super::run::{Request, Rest, local_store, run};
use super::super::{Context, Problem, Project, Refusal};
use super::begin::{Job, in_the_way};
use super::bytes::is_there;
use super::finish::asked;
use super::preparation::elsewhere;
use super::words::{short, title};
use super::{history_of, history_to_look_at, open, refresh, refresh_of, refresh_to_look};

/// What `rollback` is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rollback {
    /// An environment, or a deploy in one: `prod`, `prod.api:deploy`.
    pub what: String,
    /// The number of a release, a revision or a tag; the last good one without it.
    pub to: Option<String>,
    /// Nothing is asked and nothing is proved.
    pub emergency: bool,
    /// The data that was saved goes back too.
    pub with_data: bool,
}

/// What can be gone back to, for looking.
pub struct Candidates {
    /// The environment.
    pub env: String,
    /// The releases, newest first, and whether everything that each shipped is in this machine's cache.
    pub releases: Vec<(Release, bool)>,
    /// The one that is gone back to where none is named.
    pub next: Option<u64>,
    /// Why that may not be all, with what to do.
    pub warnings: Vec<(String, Option<String>)>,
}

/// Who asks for the releases of an environment.
enum Asker<'a> {
    /// Somebody who looks: what is known here is shown, whatever else there may be.
    Looks(&'a mut Vec<(String, Option<String>)>),
    /// Somebody who goes back.
    GoesBack,
    /// Somebody who has no time, and may have named the release.
    Emergency(Option<&'a str>),
}

/// An environment, one deploy of it, and its history.
struct Place {
    /// The environment.
    env: String,
    /// The deploy, without the environment.
    node: String,
    /// What went live there.
    history: History,
    /// Why that may not be all, if that does not stop an emergency.
    trouble: Option<LedgerError>,
}

/// Finds the deploy that `what` names: the only one of an environment, or one by its name. In an emergency nobody waits
/// to hear what others did if the release that is gone back to is named, and known here.
fn place(context: &Context, project: &Project, what: &str, asker: Asker<'_>) -> Result<Place, Problem> {
    let envfile = project.envfile();
    let (env, named) = match envfile.environments.contains_key(what) {
        true => (super::super::target::environment(envfile, what)?, None),
        false => match what.split_once('.') {
            Some((env, node)) if envfile.environments.contains_key(env) => {
                (super::super::target::environment(envfile, env)?, Some(node.to_owned()))
            }
            // The nearest names are told.
            _ => (super::super::target::environment(envfile, what)?, None),
        },
    };
    let env = env.to_string();
    let mut trouble = None;
    let history = match asker {
        Asker::Looks(warnings) => {
            warnings.extend(refresh_to_look(context, project));
            history_to_look_at(project, &env, warnings)?
        }
        Asker::GoesBack => {
            refresh_of(context, project, &[env.clone()].into())?;
            history_of(project, &env)?
        }
        Asker::Emergency(to) => {
            let known = crate::ledger::readable(project.root(), &env)?.0;
            let number = to.and_then(|to| to.parse::<u64>().ok());
            let is_here = number.and_then(|id| known.release(id)).is_some_and(Release::reached_live);
            // A remote that is away, or that tells something else, does not keep production down; nor does a damaged line.
            if is_here {
                known
            } else {
                if let Ok(found) = refresh(context, project, true) {
                    trouble = found.into_iter().find(|(of, _)| *of == env).map(|(_, error)| error);
                }
                trouble = trouble.or_else(|| crate::ledger::history(project.root(), &env).err());
                crate::ledger::readable(project.root(), &env)?.0
            }
        }
    };
    let nodes = history.nodes();
    let is_named = |node: &String| nodes.contains(&node.as_str());
    if nodes.is_empty() || named.as_ref().is_some_and(|node| !is_named(node)) {
        // What cannot be read here may tell of it.
        if let Some(error) = trouble {
            return Err(error.into());
        }
    }
    let node = match (named, &nodes[..]) {
        (Some(node), _) if nodes.contains(&node.as_str()) => node,
        (Some(node), _) => return Err(nothing(&env, format!("`{env}.{node}` was never deployed"))),
        (None, [only]) => (*only).to_owned(),
        (None, []) => return Err(nothing(&env, format!("nothing was ever deployed in `{env}`"))),
        (None, several) => {
            let names: Vec<String> = several.iter().map(|node| format!("`{env}.{node}`")).collect();
            return Err(Problem::usage(
                format!("`{env}` has several deploys"),
                Some(format!("name one of them: {}", names.join(", "))),
            ));
        }
    };
    Ok(Place { env, node, history, trouble })
}

/// The releases that can be gone back to.
pub fn candidates(context: &Context, project: &Project, what: &str) -> Result<Candidates, Problem> {
    let mut warnings = Vec::new();
    let Place { env, node, history, .. } = place(context, project, what, Asker::Looks(&mut warnings))?;
    let store = local_store(context, Some(project));
    let at_hand = |release: &Release| (release.clone(), is_there(&store, &release.artefacts));
    let releases = history.candidates(&node).into_iter().map(at_hand).collect();
    let next = history.rollback_target(&node).map(Release::id);
    Ok(Candidates { env, releases, next, warnings })
}

/// Puts an earlier release back.
pub fn rollback(
    context: &Context,
    project: &mut Project,
    asked_for: &Rollback,
    request: &Request,
    reporters: Reporters,
) -> Result<(Ending, Rest), Problem> {
    let asker = match asked_for.emergency {
        true => Asker::Emergency(asked_for.to.as_deref()),
        false => Asker::GoesBack,
    };
    let Place { env, node, history, trouble } = place(context, project, &asked_for.what, asker)?;
    if let Some(release) = open(&history).filter(|_| !asked_for.emergency) {
        // Whoever is at it just now says so himself.
        if let Some(mut holder) = crate::ledger::holder(project.root(), &env) {
            holder.read = context.clock.now();
            return Err(crate::ledger::LedgerError::Held { env, holder: Box::new(holder) }.into());
        }
        return Err(in_the_way(context, project, &env, release));
    }
    let target = match &asked_for.to {
        Some(to) => named(project, &env, &node, &history, to)?,
        None => history.rollback_target(&node).ok_or_else(|| {
            // What is known here does not say it, and there is more that is not known here.
            if let Some(error) = trouble {
                return error.into();
            }
            let live = history
                .live(&node)
                .map_or_else(|| "nothing is live".to_owned(), |live| format!("{} is live", title(live)));
            let what = format!("{env}.{node}");
            match history.candidates(&node).first() {
                // Whoever rolled back from them says which of them he wants after all.
                Some(left) => Problem::Refused(vec![Refusal {
                    label: format!("rollback {env}"),
                    reason: format!(
                        "{live}, and every other release of `{what}` whose bytes are kept was left by a rollback"
                    ),
                    place: "in its history".to_owned(),
                    hint: Some(format!(
                        "`envrun rollback {what} --to {}` puts the newest of them back; `envrun rollback {what} --list` \
                         shows all",
                        left.id()
                    )),
                }]),
                None => nothing(&env, format!("there is no earlier good release of `{what}`: {live}")),
            }
        })?,
    };
    let data = match asked_for.with_data {
        true => data_of(&env, &node, &history, target)?,
        false => Vec::new(),
    };
    at_hand(project, (&env, &history), &data)?;
    let job = Job::Rollback { of: target.id(), emergency: asked_for.emergency, data };
    let request = Request { targets: vec![asked(format!("{env}.{node}"))], job, ..request.clone() };
    run(context, project, &request, reporters)
}

/// The release that a number, a revision or a tag names.
fn named<'h>(
    project: &Project,
    env: &str,
    node: &str,
    history: &'h History,
    to: &str,
) -> Result<&'h Release, Problem> {
    let releases = history.of_node(node);
    let by_id = to.parse::<u64>().ok().and_then(|id| releases.iter().find(|release| release.id() == id));
    let revision = || crate::preflight::Git::new(project.root()).commit(to).ok();
    let found = by_id.copied().or_else(|| {
        let wanted = revision().unwrap_or_else(|| to.to_owned());
        let fits = |release: &&&Release| {
            let revision = &release.began.revision;
            *revision == wanted || to.len() >= 4 && revision.starts_with(to)
        };
        // Of several of one revision the one that was good.
        let mut fitting = releases.iter().filter(fits);
        fitting.clone().find(|release| release.reached_live()).or_else(|| fitting.next()).copied()
    });
    let available = || {
        let all: Vec<String> = history
            .candidates(node)
            .iter()
            .map(|release| format!("{} ({})", release.id(), short(&release.began.revision)))
            .collect();
        match all.is_empty() {
            true => "there is none to go back to".to_owned(),
            false => format!("there are {}", all.join(", ")),
        }
    };
    let Some(release) = found else {
        // A revision that was mistyped is near one that is there; of numbers each is near each.
        let names: Vec<&str> =
            history.candidates(node).iter().map(|release| short(&release.began.revision)).collect();
        let meant = did_you_mean(to, names).map(|meant| format!("{meant} ")).unwrap_or_default();
        return Err(Problem::usage(
            format!("no release of `{env}.{node}` is called `{to}`"),
            Some(format!("{meant}{}; `envrun rollback {env}.{node} --list` tells more of each", available())),
        ));
    };
    let reason = if !release.reached_live() {
        "never went live"
    } else if release.pruned {
        "was let go by `keep`"
    } else {
        return Ok(release);
    };
    Err(refused(env, format!("{} {reason}; {}", title(release), available())))
}

/// The data as it was when a release was last live: what the one that replaced it for good saved before it changed
/// anything.
fn data_of(env: &str, node: &str, history: &History, target: &Release) -> Result<Vec<Saved>, Problem> {
    let replaced = |release: &&Release| {
        let before = release.began.previous.and_then(|id| history.release(id));
        matches!(release.outcome(), Some(Outcome::Live | Outcome::Broken))
            && before.is_some_and(|before| before.ships_the_same_as(target))
    };
    match history.of_node(node).into_iter().find(replaced).filter(|release| !release.snapshots.is_empty()) {
        Some(release) => Ok(release.snapshots.clone()),
        None => Err(refused(env, format!("no data was saved when {} was replaced", title(target)))),
    }
}

/// Whether the copies are there and whole: what is live is not touched for others.
fn at_hand(project: &Project, (env, history): (&str, &History), data: &[Saved]) -> Result<(), Problem> {
    let absent = |saved: &Saved| {
        let archive = Archive::of_label(project.root(), &saved.snapshot);
        match archive.of_ledger(saved) {
            Some(copy) => archive.check(&copy).err().map(|error| error.to_string()),
            None => Some(elsewhere(history, saved)),
        }
    };
    let refusals: Vec<Refusal> = data
        .iter()
        .filter_map(|saved| Some((saved, absent(saved)?)))
        .map(|(saved, reason)| Refusal {
            label: format!("rollback {env}"),
            reason: format!("the data that belong to it cannot be put back: {reason}"),
            place: "in its history".to_owned(),
            hint: Some(format!(
                "go back without `--with-data`; `envrun snapshot list {}` shows what `envrun restore` can put back",
                saved.snapshot
            )),
        })
        .collect();
    if refusals.is_empty() { Ok(()) } else { Err(Problem::Refused(refusals)) }
}

fn nothing(env: &str, message: String) -> Problem {
    refused(env, message)
}

fn refused(env: &str, reason: String) -> Problem {
    let place = "in its history".to_owned();
    let hint = Some(format!("`envrun rollback {env} --list` shows what there is"));
    Problem::Refused(vec![Refusal { label: format!("rollback {env}"), reason, place, hint }])
}
