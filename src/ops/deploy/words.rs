//! Releases in words.

use crate::base::Timestamp;
use crate::base::unit::written_duration;
use crate::ledger::{Artefact, Kind, Release};
use crate::model::ConditionKind;

/// `deploy 12 of revision 3f2a1b9c0d`.
pub fn title(release: &Release) -> String {
    let kind = match release.began.kind {
        Kind::Deploy => "deploy",
        Kind::Rollback => "rollback",
        Kind::Restore => {
            return format!(
                "restore {} of `{}` from {}",
                release.id(),
                release.began.node,
                release.began.revision
            );
        }
    };
    format!("{kind} {} of revision {}", release.id(), short(&release.began.revision))
}

/// The first digits of a commit's id; any other text as it is.
pub fn short(revision: &str) -> &str {
    let is_id = revision.len() == 40 && revision.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_id { &revision[..10] } else { revision }
}

/// Date and time where the user is.
pub fn moment(time: Timestamp) -> String {
    let millis = i64::try_from(time.0).unwrap_or(i64::MAX);
    let moment = jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX);
    moment.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// How long ago something was, roughly: `4m`, `3h`, `12d`.
pub fn age(now: Timestamp, then: Timestamp) -> String {
    let seconds = now.since(then).as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// Columns with two spaces between them, each as wide as its widest cell; the last one is not filled up.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(cell);
            line.push_str(&" ".repeat(width - cell.chars().count() + 2));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// A condition as it is written: `branch main`.
pub fn condition(kind: &ConditionKind) -> String {
    let list = |word: &str, texts: &[String]| {
        std::iter::once(word).chain(texts.iter().map(String::as_str)).collect::<Vec<_>>().join(" ")
    };
    match kind {
        ConditionKind::Branch(globs) => list("branch", globs),
        ConditionKind::Tag(globs) => list("tag", globs),
        ConditionKind::Clean => "clean".to_owned(),
        ConditionKind::Pushed => "pushed".to_owned(),
        ConditionKind::Ci(yes) => if *yes { "ci" } else { "not in ci" }.to_owned(),
        ConditionKind::Window { spans, .. } => list("window", spans),
        ConditionKind::Exec { command, name } => {
            format!("exec {}", name.clone().unwrap_or_else(|| command.display()))
        }
        ConditionKind::Set(names) => list("set", names),
        ConditionKind::Unset(names) => list("unset", names),
        ConditionKind::Os(names) => list("os", names),
        ConditionKind::Host(globs) => list("host", globs),
        ConditionKind::File(paths) => list("file", paths),
        ConditionKind::Approval { signers, count } => format!("approval of {count} in {signers}"),
        ConditionKind::Confirm(word) => format!("confirm {word}"),
        ConditionKind::Deployed { env, within, hold } => {
            let within = within.map(|within| format!(" within {}", written_duration(within)));
            let hold = hold.map(|hold| format!(" for {}", written_duration(hold)));
            format!("deployed {env}{}{}", within.unwrap_or_default(), hold.unwrap_or_default())
        }
    }
}

/// Everything a release ships, in words: `package 3f2a1b9c0d4e`.
pub fn shipped(artefacts: &[Artefact]) -> String {
    artefacts.iter().map(|one| format!("{} {}", one.task, one.digest.short())).collect::<Vec<_>>().join(", ")
}
