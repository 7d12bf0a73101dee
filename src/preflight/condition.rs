//! One condition, asked of what is around the run.

use std::path::Path;
use std::time::Duration;

use globset::GlobBuilder;
use jiff::tz::TimeZone;

use crate::base::unit::{show_duration, written_duration};
use crate::base::{Digest, Timestamp, Window};
use crate::model::{Command, Condition, ConditionKind, EnvName};

use super::Git;
use super::approval::Approval;
use super::git::NO_REPOSITORY;

/// What conditions are asked of.
pub struct Surroundings<'a> {
    /// The repository around the project.
    pub git: &'a Git,
    /// A variable of the Envfile, or of the caller.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// A variable of the caller.
    pub caller: &'a dyn Fn(&str) -> Option<String>,
    /// Whether a file, relative to the task's folder, exists.
    pub exists: &'a dyn Fn(&str) -> bool,
    /// Runs a command; whether it succeeded, or why it could not be run.
    pub exec: &'a dyn Fn(&Command) -> Result<bool, String>,
    /// The host's name.
    pub host: &'a str,
    /// The time.
    pub now: Timestamp,
    /// The environment that is guarded.
    pub env: Option<&'a EnvName>,
    /// The revision that is guarded; `None` for HEAD.
    pub revision: &'a dyn Fn() -> Option<String>,
    /// The digest of the frozen plan that is carried out, if one is.
    pub plan: Option<&'a str>,
    /// What is to go live, where that is known already.
    pub artefacts: Option<Digest>,
    /// Every time that something was live and healthy in an environment, the last one first.
    pub live: &'a dyn Fn(&EnvName) -> Vec<Live>,
    /// Whether a word was typed.
    pub confirmed: &'a dyn Fn(&str) -> bool,
    /// A folder for what is only needed for a moment.
    pub scratch: &'a Path,
}

/// One time that something was live and healthy in an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Live {
    /// The commit.
    pub revision: String,
    /// The bytes that were put there, where that is known.
    pub artefacts: Option<Digest>,
    /// Since when.
    pub since: Timestamp,
    /// Until when; `None` while it is.
    pub until: Option<Timestamp>,
}

/// Whether a condition holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It does.
    Holds,
    /// It does not: why, in words that stand after "because".
    Fails(String),
    /// It cannot be asked, because there is no git repository.
    NoRepository(String),
}

/// Asks one condition.
pub fn check(condition: &Condition, around: &Surroundings<'_>) -> Verdict {
    match ask(&condition.kind, around) {
        Ok(true) => Verdict::Holds,
        Ok(false) => Verdict::Fails("the condition does not hold".into()),
        Err(reason) if reason == NO_REPOSITORY => {
            let word = condition.kind.word();
            Verdict::NoRepository(format!("`{word}` needs a git repository, and this is none"))
        }
        Err(reason) => Verdict::Fails(reason),
    }
}

fn ask(kind: &ConditionKind, around: &Surroundings<'_>) -> Result<bool, String> {
    let or = |holds: bool, reason: &dyn Fn() -> String| if holds { Ok(true) } else { Err(reason()) };
    match kind {
        ConditionKind::Branch(globs) => {
            let branch = around.git.branch(around.caller)?;
            or(any_matches(globs, branch)?, &|| match branch {
                "HEAD" => format!("no branch is checked out, and it has to be {}", list(globs)),
                branch => format!("the branch is {branch}, not {}", list(globs)),
            })
        }
        ConditionKind::Tag(globs) => {
            let tags = around.git.tags()?;
            let mut found = globs.is_empty() && !tags.is_empty();
            for tag in tags {
                found |= any_matches(globs, tag)?;
            }
            or(found, &|| match tags {
                [] if globs.is_empty() => "HEAD has no tag".into(),
                [] => format!("HEAD has no tag, not {}", list(globs)),
                tags => format!("HEAD's tag is {}, not {}", tags.join(", "), list(globs)),
            })
        }
        ConditionKind::Clean => {
            let changes = around.git.changes()?;
            or(changes.is_empty(), &|| {
                let more =
                    if changes.len() > 1 { format!(" (+{} more)", changes.len() - 1) } else { String::new() };
                format!("the work tree is not clean: {}{more}", changes[0])
            })
        }
        ConditionKind::Pushed => {
            let ahead = around.git.unpushed()?;
            or(ahead == 0, &|| {
                format!("{ahead} commit{} not pushed", if ahead == 1 { " is" } else { "s are" })
            })
        }
        ConditionKind::Ci(wanted) => {
            let ci = (around.caller)("CI").unwrap_or_default();
            let is_ci = !matches!(ci.as_str(), "" | "0" | "false");
            or(is_ci == *wanted, &|| match wanted {
                true => "this is not CI (CI is not set)".into(),
                false => format!("this is CI (CI is `{ci}`)"),
            })
        }
        ConditionKind::Window { spans, tz } => {
            let zone = match tz {
                Some(name) => TimeZone::get(name).map_err(|_| format!("there is no time zone `{name}`"))?,
                None => TimeZone::system(),
            };
            let mut inside = false;
            for span in spans {
                inside |= Window::parse(span).map_err(|error| error.to_string())?.contains(around.now, &zone);
            }
            or(inside, &|| {
                format!(
                    "the time is outside {}{}",
                    spans.join(", "),
                    now_in(tz.as_deref(), &zone, around.now)
                )
            })
        }
        ConditionKind::Exec { command, name } => {
            let what = || name.clone().unwrap_or_else(|| format!("`{}`", command.display()));
            match (around.exec)(command) {
                Ok(holds) => or(holds, &|| format!("{} failed", what())),
                Err(reason) => Err(format!("{} could not be run: {reason}", what())),
            }
        }
        ConditionKind::Set(names) => {
            let missing = unset(names, around);
            or(missing.is_empty(), &|| format!("{} {} not set", all(&missing), are(&missing)))
        }
        ConditionKind::Unset(names) => {
            let present = set(names, around);
            or(present.is_empty(), &|| format!("{} {} set", all(&present), are(&present)))
        }
        ConditionKind::Os(names) => {
            let here = std::env::consts::OS;
            or(names.iter().any(|name| name == here), &|| {
                format!("the system is {here}, not {}", list(names))
            })
        }
        ConditionKind::Host(globs) => {
            let host = around.host;
            or(any_matches(globs, host)?, &|| format!("the host is {host}, not {}", list(globs)))
        }
        ConditionKind::File(paths) => {
            let missing: Vec<&str> =
                paths.iter().map(String::as_str).filter(|path| !(around.exists)(path)).collect();
            let do_not = if missing.len() == 1 { "does not" } else { "do not" };
            or(missing.is_empty(), &|| format!("{} {do_not} exist", all(&missing)))
        }
        ConditionKind::Approval { .. } => {
            approval(kind, around).map_or(Ok(true), |approval| approval?.holds())
        }
        ConditionKind::Confirm(word) => {
            or((around.confirmed)(word), &|| format!("the word `{word}` was not typed"))
        }
        ConditionKind::Deployed { env, within, hold } => {
            let revision = guarded(around)?;
            let known = (around.live)(env);
            let Some(last) = known.first() else { return Err(format!("nothing was deployed to {env} yet")) };
            let Some(live) = known.iter().find(|live| is_same(live, &revision, around)) else {
                let what =
                    if last.revision == revision { "other bytes of it" } else { short(&last.revision) };
                return Err(format!("{} was not live in {env}, which has {what}", short(&revision)));
            };
            let passed = |from: Timestamp, to: Timestamp| Duration::from_millis(to.0.saturating_sub(from.0));
            let (age, held) =
                (passed(live.since, around.now), passed(live.since, live.until.unwrap_or(around.now)));
            if let Some(within) = within.filter(|within| age > *within) {
                let (age, within) = (show_duration(age), written_duration(within));
                return Err(format!("it went live in {env} {age} ago, longer than {within}"));
            }
            match hold.filter(|hold| held < *hold) {
                Some(hold) => {
                    let (held, hold) = (show_duration(held), written_duration(hold));
                    let (is, yet) = if live.until.is_none() { ("is", " yet") } else { ("was", "") };
                    Err(format!("it {is} live in {env} for {held}, not for {hold}{yet}"))
                }
                None => Ok(true),
            }
        }
    }
}

/// Whether this is what is asked for: the revision, and the bytes where both are known.
fn is_same(live: &Live, revision: &str, around: &Surroundings<'_>) -> bool {
    let known = live.artefacts.is_some() && around.artefacts.is_some();
    live.revision == revision && (!known || live.artefacts == around.artefacts)
}

/// How long what is asked for has still to be live there; `None` if it is not live any more, or was never.
fn still(env: &EnvName, hold: Duration, around: &Surroundings<'_>) -> Option<Duration> {
    let revision = guarded(around).ok()?;
    let known = (around.live)(env);
    let live = known.iter().find(|live| is_same(live, &revision, around))?;
    let held = Duration::from_millis(around.now.0.saturating_sub(live.since.0));
    if live.until.is_some() { None } else { hold.checked_sub(held) }
}

/// What would satisfy a condition that does not hold, where the condition itself does not say.
pub fn remedy(condition: &Condition, around: &Surroundings<'_>) -> Option<String> {
    if condition.hint.is_some() {
        return condition.hint.clone();
    }
    let asks_of_a_commit = matches!(
        condition.kind,
        ConditionKind::Tag(_)
            | ConditionKind::Pushed
            | ConditionKind::Approval { .. }
            | ConditionKind::Deployed { .. }
    );
    let asks_git =
        asks_of_a_commit || matches!(condition.kind, ConditionKind::Branch(_) | ConditionKind::Clean);
    if asks_git && around.git.is_missing() {
        return Some("`git init`, and a first commit".into());
    }
    if asks_of_a_commit && around.git.is_unborn() {
        return Some("make a first commit: `git add --all && git commit`".into());
    }
    Some(match &condition.kind {
        ConditionKind::Branch(globs) => {
            match globs.iter().find(|glob| !glob.contains(['*', '?', '[', '{'])) {
                Some(branch) => format!("git switch {branch}"),
                None => format!("switch to a branch that is called {}", list(globs)),
            }
        }
        ConditionKind::Tag(globs) if globs.is_empty() => "`git tag NAME`".into(),
        ConditionKind::Tag(globs) => format!("`git tag NAME`, with a name like {}", list(globs)),
        ConditionKind::Clean => {
            "commit what is changed, or put it aside with `git stash --include-untracked`".into()
        }
        ConditionKind::Pushed if around.git.unpushed().is_ok() => "git push".into(),
        ConditionKind::Pushed if around.git.is_detached() => {
            "`git fetch`, if it was pushed from elsewhere; else push the branch that it is on".into()
        }
        ConditionKind::Pushed => "git push --set-upstream origin HEAD".into(),
        ConditionKind::Approval { .. } => approval(&condition.kind, around)?.ok()?.remedy()?,
        ConditionKind::Confirm(word) => {
            format!("type `{word}` when you are asked for it; without a terminal, give `--confirm {word}`")
        }
        ConditionKind::Deployed { env, hold: Some(hold), .. } => {
            if let Some(left) = still(env, *hold, around) {
                return Some(format!("wait for another {}", show_duration(left)));
            }
            format!(
                "deploy this revision to {env} first, and let it be live there for {}",
                written_duration(*hold)
            )
        }
        ConditionKind::Deployed { env, .. } => format!("deploy this revision to {env} first"),
        ConditionKind::Set(names) => format!("give {} a value", all(&unset(names, around))),
        ConditionKind::Unset(names) => format!("`unset {}`", set(names, around).join(" ")),
        ConditionKind::Ci(true) => "it is for CI to run".into(),
        ConditionKind::Ci(false) => "run it by hand, outside of CI".into(),
        ConditionKind::Window { spans, tz } => {
            let zone = tz.clone().unwrap_or_else(|| zone_name(&TimeZone::system()));
            format!("wait for {} ({zone})", spans.join(" or "))
        }
        ConditionKind::Exec { command, .. } => format!("see what is wrong by hand: {}", command.display()),
        ConditionKind::Os(_) => "run it on a machine of that kind".into(),
        ConditionKind::Host(globs) => format!("run it on {}", list(globs)),
        ConditionKind::File(_) => "make it, or correct the path".into(),
    })
}

/// Which zone the times of a window are in, and what time it is there: whoever is refused may sit in another one.
fn now_in(named: Option<&str>, zone: &TimeZone, now: Timestamp) -> String {
    let name = named.map_or_else(|| zone_name(zone), str::to_owned);
    let millis = i64::try_from(now.0).unwrap_or(i64::MAX);
    match jiff::Timestamp::from_millisecond(millis) {
        Ok(now) => format!(" ({name}, where it is {})", now.to_zoned(zone.clone()).strftime("%a %H:%M")),
        Err(_) => format!(" ({name})"),
    }
}

/// What a machine's own zone is called.
fn zone_name(zone: &TimeZone) -> String {
    zone.iana_name()
        .map_or_else(|| "the zone of this machine".into(), |name| format!("{name}, the zone of this machine"))
}

/// The approval that is asked for; `None` for another condition.
fn approval<'a>(kind: &'a ConditionKind, around: &Surroundings<'a>) -> Option<Result<Approval<'a>, String>> {
    let ConditionKind::Approval { signers, count } = kind else { return None };
    let Some(env) = around.env else {
        return Some(Err("an approval is for an environment, and this run is in none".into()));
    };
    let revision = guarded(around);
    Some(revision.map(|revision| Approval {
        git: around.git,
        signers,
        count: *count,
        env,
        revision,
        plan: around.plan,
        scratch: around.scratch,
    }))
}

/// The commit that is guarded.
fn guarded(around: &Surroundings<'_>) -> Result<String, String> {
    around.git.commit((around.revision)().as_deref().unwrap_or("HEAD"))
}

/// As much of a commit's name as a person reads.
fn short(revision: &str) -> &str {
    revision.get(..12).unwrap_or(revision)
}

/// Whether a name such as `release/1.2` matches one of the globs; `*` stops at `/`, `**` does not.
fn any_matches(globs: &[String], name: &str) -> Result<bool, String> {
    for glob in globs {
        let matcher = GlobBuilder::new(glob)
            .literal_separator(true)
            .build()
            .map_err(|error| format!("`{glob}` is not a glob: {}", error.kind()))?
            .compile_matcher();
        if matcher.is_match(name) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn list(words: &[String]) -> String {
    words.join(" or ")
}

/// Those that have no value, or an empty one.
fn unset<'n>(names: &'n [String], around: &Surroundings<'_>) -> Vec<&'n str> {
    let is_unset = |name: &&str| (around.variable)(name).is_none_or(|value| value.is_empty());
    names.iter().map(String::as_str).filter(is_unset).collect()
}

/// Those that have a value.
fn set<'n>(names: &'n [String], around: &Surroundings<'_>) -> Vec<&'n str> {
    let is_set = |name: &&str| (around.variable)(name).is_some_and(|value| !value.is_empty());
    names.iter().map(String::as_str).filter(is_set).collect()
}

/// `A`, `A and B`, `A, B and C`.
fn all(words: &[&str]) -> String {
    match words {
        [first @ .., before, last] => {
            first.iter().map(|word| format!("{word}, ")).collect::<String>() + &format!("{before} and {last}")
        }
        _ => words.concat(),
    }
}

fn are(words: &[&str]) -> &'static str {
    if words.len() == 1 { "is" } else { "are" }
}
