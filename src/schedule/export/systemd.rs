//! Timers of systemd, each with its service.

use std::fmt::Write as _;
use std::time::Duration;

use super::{Around, File, Item, header};
use crate::base::Cron;
use crate::base::cron::CronField;
use crate::model::{Overlap, Times};

const WEEKDAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

pub(super) fn examine(item: &mut Item<'_>) {
    let overlap = item.schedule.overlap;
    if overlap != Overlap::Skip {
        item.spare(
            format!(
                "systemd leaves a time out while the last run goes on; it does not know `overlap=\"{}\"`",
                overlap.word()
            ),
            "take `overlap=` away, or use `envrun schedule run`",
        );
    }
}

pub(super) fn files(items: &[Item<'_>], around: &Around) -> Vec<File> {
    let mut files = Vec::new();
    for item in items.iter().filter(|item| item.is_sayable()) {
        files.push(File { name: format!("{}.timer", item.id), text: timer(item, around) });
        let failed = item.on_fail.as_ref().map(|label| (label, format!("{}-on-fail.service", item.id)));
        let calls = failed.as_ref().map(|(_, name)| name.as_str());
        files.push(File {
            name: format!("{}.service", item.id),
            text: service(item, &item.label, calls, around),
        });
        if let Some((label, name)) = &failed {
            files.push(File { name: name.clone(), text: service(item, label, None, around) });
        }
    }
    files
}

fn timer(item: &Item<'_>, around: &Around) -> String {
    let mut out = header(around);
    for remark in item.remarks() {
        let _ = writeln!(out, "# {remark}");
    }
    let described = value(&format!("{}: {} ({})", around.project, item.label, item.schedule.times));
    let _ = writeln!(out, "[Unit]\nDescription={described}\n\n[Timer]");
    let tz = item.tz.as_deref().unwrap_or("UTC");
    match (&item.cron, &item.schedule.times) {
        (Some(cron), _) => {
            for calendar in calendars(cron) {
                let _ = writeln!(out, "OnCalendar={calendar} {tz}");
            }
            let _ = writeln!(out, "Persistent={}", item.schedule.catch_up);
        }
        (None, Times::Every { every, .. }) => {
            // What is missed while the machine is off is missed by this clock; to catch up is to begin at once.
            let first = if item.schedule.catch_up { Duration::ZERO } else { *every };
            let _ = writeln!(out, "OnActiveSec={}", span(first));
            let _ = writeln!(out, "OnUnitActiveSec={}", span(*every));
        }
        (None, Times::Cron { .. }) => {}
    }
    if let Some(jitter) = item.schedule.jitter {
        let _ = writeln!(out, "RandomizedDelaySec={}", span(jitter));
    }
    // Without it systemd may be a minute late.
    out.push_str("AccuracySec=1s\n\n[Install]\nWantedBy=timers.target\n");
    out
}

fn service(item: &Item<'_>, label: &str, on_fail: Option<&str>, around: &Around) -> String {
    let mut out = header(around);
    let _ = writeln!(out, "[Unit]\nDescription={}", value(&format!("{}: {label}", around.project)));
    if let Some(on_fail) = on_fail {
        let _ = writeln!(out, "OnFailure={on_fail}");
    }
    let _ = writeln!(out, "\n[Service]\nType=oneshot\nWorkingDirectory={}", value(&around.root));
    if let Some(path) = &around.path {
        let _ = writeln!(out, "Environment={}", word(&format!("PATH={path}"), false));
    }
    let words: Vec<String> = item.words(label, around).iter().map(|one| word(one, true)).collect();
    let _ = writeln!(out, "ExecStart={}", words.join(" "));
    out
}

/// The times of an expression; each line names some of them.
pub(super) fn calendars(cron: &Cron) -> Vec<String> {
    let [second, minute, hour, day, month, weekday] = cron.fields();
    let time = format!("{}:{}:{}", part(hour, 0, 24), part(minute, 0, 60), part(second, 0, 60));
    let months = part(month, 1, 12);
    let weekdays = if weekday.is_any() || weekday.numbers.len() == 7 {
        String::new()
    } else {
        let names: Vec<&str> = weekday.numbers.iter().map(|&day| WEEKDAYS[day as usize]).collect();
        format!("{} ", names.join(","))
    };
    let mut days = Vec::new();
    if !day.numbers.is_empty() {
        days.push(format!("-{}", part(day, 1, 31)));
    }
    if day.has_last() {
        days.push("~01".to_owned());
    }
    // Where both days are named either is enough, and in one line systemd would want both.
    let both = !day.is_any() && !weekday.is_any();
    let with = if both { "" } else { weekdays.as_str() };
    let mut lines: Vec<String> = days.iter().map(|day| format!("{with}*-{months}{day} {time}")).collect();
    if both {
        lines.push(format!("{weekdays}*-{months}-* {time}"));
    }
    lines
}

/// The numbers of a field: `*` for all of them, `00/5` for every fifth.
fn part(field: &CronField, least: u32, all: usize) -> String {
    if field.numbers.len() == all {
        return "*".to_owned();
    }
    if let Some(step) = field.text.strip_prefix("*/").filter(|step| !step.contains(',')) {
        return format!("{least:02}/{step}");
    }
    field.numbers.iter().map(|number| format!("{number:02}")).collect::<Vec<_>>().join(",")
}

/// A duration as systemd reads it.
fn span(duration: Duration) -> String {
    if duration.subsec_millis() == 0 {
        format!("{}s", duration.as_secs())
    } else {
        format!("{}ms", duration.as_millis())
    }
}

/// A value to the end of the line: `%` begins something of systemd's own.
fn value(text: &str) -> String {
    text.replace('%', "%%").replace(['\n', '\r'], " ")
}

/// A word among words. Of a command's, `$` begins a variable too.
fn word(text: &str, of_command: bool) -> String {
    let mut escaped = text.replace('\\', r"\\").replace('"', "\\\"").replace('%', "%%").replace('\n', r"\n");
    if of_command {
        escaped = escaped.replace('$', "$$");
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:@=,+%$".contains(c);
    if !escaped.is_empty() && escaped.chars().all(is_plain) { escaped } else { format!("\"{escaped}\"") }
}
