//! One condition, asked of what is around the run.

use globset::GlobBuilder;
use jiff::tz::TimeZone;

use crate::base::{Timestamp, Window};
use crate::model::{Command, Condition, ConditionKind};

use super::Git;
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
        Err(reason) if reason == NO_REPOSITORY => Verdict::NoRepository(reason),
        Err(reason) => Verdict::Fails(reason),
    }
}

fn ask(kind: &ConditionKind, around: &Surroundings<'_>) -> Result<bool, String> {
    let or = |holds: bool, reason: &dyn Fn() -> String| if holds { Ok(true) } else { Err(reason()) };
    match kind {
        ConditionKind::Branch(globs) => {
            let branch = around.git.branch(around.caller)?;
            or(any_matches(globs, branch)?, &|| format!("the branch is {branch}, not {}", list(globs)))
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
            or(inside, &|| format!("the time is outside {}", spans.join(", ")))
        }
        ConditionKind::Exec { command, name } => {
            let what = || name.clone().unwrap_or_else(|| format!("`{}`", command.display()));
            match (around.exec)(command) {
                Ok(holds) => or(holds, &|| format!("{} failed", what())),
                Err(reason) => Err(format!("{} could not be run: {reason}", what())),
            }
        }
        ConditionKind::Set(names) => {
            let missing =
                names.iter().find(|name| (around.variable)(name).is_none_or(|value| value.is_empty()));
            missing.map_or(Ok(true), |name| Err(format!("{name} is not set")))
        }
        ConditionKind::Unset(names) => {
            let present =
                names.iter().find(|name| (around.variable)(name).is_some_and(|value| !value.is_empty()));
            present.map_or(Ok(true), |name| Err(format!("{name} is set")))
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
            let missing = paths.iter().find(|path| !(around.exists)(path));
            missing.map_or(Ok(true), |path| Err(format!("{path} does not exist")))
        }
        ConditionKind::Unbuilt(word) => Err(format!("`{word}` is not built yet")),
    }
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
