//! The schedules of a project, written for another scheduler.

use std::collections::BTreeMap;
use std::path::Path;

use crate::model::Schedule;
use crate::ops::project::root_file;
use crate::ops::{Context, Problem, Project};
use crate::schedule::export::{self, Around, File, Platform, Unsayable};

use super::none;

/// What is asked of an export.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Only the schedules of these nodes; all without any.
    pub only: Vec<String>,
    /// What the platform cannot say may be left out.
    pub partial: bool,
    /// The cron is one that knows `CRON_TZ`.
    pub cron_tz: bool,
    /// The image of containers.
    pub image: Option<String>,
    /// The command that puts envrun on a runner.
    pub install: Option<String>,
    /// The words behind `envrun schedule export`, as a person would type them again.
    pub command: String,
}

/// Writes the schedules of a project for a platform.
pub fn export(
    context: &Context,
    project: &Project,
    file: Option<&Path>,
    platform: Platform,
    wanted: &Wanted,
) -> Result<Vec<File>, Problem> {
    let envfile = project.envfile();
    if envfile.schedules.is_empty() {
        return Err(none(project));
    }
    let schedules = chosen(&envfile.schedules, &wanted.only)?;
    if platform == Platform::Kubernetes && wanted.image.is_none() {
        return Err(Problem::usage(
            "a CronJob runs a container, and nobody said which",
            Some("`--image registry/shop:1.2` names one with envrun, the project and its tools in it".into()),
        ));
    }
    let folder = project.root().file_name().map(|name| name.to_string_lossy().into_owned());
    let secrets: BTreeMap<String, Vec<String>> = schedules
        .iter()
        .map(|schedule| {
            let default = envfile.default_env.as_ref().map(|env| &env.value);
            let secrets = envfile.secrets(schedule.node.env.as_ref().or(default)).into_iter();
            (schedule.label(), secrets.map(|spec| spec.secret.name.to_string()).collect())
        })
        .collect();
    let file = match file {
        Some(_) => Some(root_file(context, file, &crate::load::Texts::Watched(Default::default()))?),
        None => None,
    };
    let around = Around {
        project: envfile.name.as_ref().map_or(folder.unwrap_or_default(), |name| name.value.clone()),
        command: wanted.command.clone(),
        program: context.program.to_string_lossy().into_owned(),
        root: project.root().to_string_lossy().into_owned(),
        file: file.map(|file| file.to_string_lossy().into_owned()),
        path: context.caller_text("PATH"),
        zone: jiff::tz::TimeZone::system().iana_name().map(str::to_owned),
        now: context.clock.now(),
        cron_tz: wanted.cron_tz,
        image: wanted.image.clone(),
        install: wanted.install.clone().unwrap_or_else(|| {
            format!("cargo install envrun --locked --version {}", env!("CARGO_PKG_VERSION"))
        }),
        secrets,
        partial: wanted.partial,
    };
    export::export(&schedules, platform, &around)
        .map_err(|unsayable| refused(platform, &unsayable, wanted.partial))
}

fn chosen(schedules: &[Schedule], only: &[String]) -> Result<Vec<Schedule>, Problem> {
    let labels: Vec<String> = schedules.iter().map(Schedule::label).collect();
    if let Some(unknown) = only.iter().find(|only| !labels.contains(only)) {
        return Err(Problem::usage(
            format!("there is no schedule of `{unknown}`"),
            crate::diag::did_you_mean(unknown, labels.iter().map(String::as_str))
                .or_else(|| Some("`envrun schedule list` shows those there are".into())),
        ));
    }
    let is_chosen = |schedule: &&Schedule| only.is_empty() || only.contains(&schedule.label());
    Ok(schedules.iter().filter(is_chosen).cloned().collect())
}

fn refused(platform: Platform, unsayable: &[Unsayable], partial: bool) -> Problem {
    let name = platform.word();
    let mut message = if partial {
        format!("nothing of it can be said for {name}")
    } else {
        format!("not everything can be said for {name}; nothing was written")
    };
    for Unsayable { label, what, hint, .. } in unsayable {
        message.push_str(&format!("\n  `{label}`: {what}\n    {hint}"));
    }
    let hint = "`--partial` writes what can be said, with a comment for each thing that is left out";
    Problem::usage(message, (!partial).then(|| hint.to_owned()))
}
