//! A crontab.

use std::fmt::Write as _;

use super::zone::same;
use super::{Around, File, Item, Platform, five_fields, header, shell_word, shell_words};
use crate::model::Overlap;

pub(super) fn examine(item: &mut Item<'_>, around: &Around) {
    item.in_five_fields(Platform::Cron);
    if let Some(tz) = item.tz.clone()
        && !around.cron_tz
        && !same(&tz, around)
    {
        let here = around.zone.as_deref().map_or_else(|| "unknown".to_owned(), |zone| format!("`{zone}`"));
        item.whole(
            format!("cron runs on the clock of the machine, whose zone is {here}, and knows no `tz=\"{tz}\"`"),
            "`--cron-tz` writes `CRON_TZ=`, which cronie (Fedora, Arch, RHEL) knows and Debian's cron passes over; or `export systemd`",
        );
    }
    if item.schedule.catch_up {
        item.spare(
            "cron does not catch up on what was missed while the machine was off",
            "take `catch-up=` away, or `export systemd`",
        );
    }
    if item.schedule.jitter.is_some() {
        item.spare("cron knows no jitter", "take `jitter=` away, or `export systemd`");
    }
    if item.schedule.overlap == Overlap::Queue {
        item.spare(
            "a run cannot wait for another in cron: it is left out (`skip`)",
            "take `overlap=\"queue\"` away, or use `envrun schedule run`",
        );
    }
}

pub(super) fn file(items: &[Item<'_>], around: &Around) -> File {
    let mut out = header(around);
    out.push_str("# Output is printed only of what failed, and cron mails it to MAILTO.\nSHELL=/bin/sh\n");
    if let Some(path) = &around.path {
        // No shell reads this line, so nothing in it is quoted.
        let _ = writeln!(out, "PATH={}", path.replace(['\n', '\r'], " "));
    }
    let mut zone = None;
    for item in items {
        for remark in item.remarks() {
            let _ = writeln!(out, "# {remark}");
        }
        let Some(cron) = item.cron.as_ref().filter(|_| item.is_sayable()) else { continue };
        if let Some(tz) = item.tz.as_ref().filter(|tz| zone != Some(*tz) && around.cron_tz) {
            let _ = writeln!(out, "CRON_TZ={tz}");
            zone = Some(tz);
        }
        // A per cent sign is the end of the line to cron.
        let _ = writeln!(out, "{} {}", five_fields(cron), command(item, around).replace('%', r"\%"));
    }
    File { name: format!("{}.crontab", super::plain_name(&around.project)), text: out }
}

fn command(item: &Item<'_>, around: &Around) -> String {
    let run = |label: &str| {
        let mut words = item.words(label, around);
        let at = words.len() - 1;
        words.splice(at..at, ["-o".to_owned(), "quiet".to_owned()]);
        shell_words(&words)
    };
    let mut command = run(&item.label);
    if item.schedule.overlap != Overlap::Allow {
        let lock = format!("{}/.envrun/schedule/{}.lock", around.root, item.id);
        // Somebody who has the lock already is no failure.
        command = format!(
            "mkdir -p {} && flock -n -E 0 {} {command}",
            shell_word(&format!("{}/.envrun/schedule", around.root)),
            shell_word(&lock)
        );
    }
    let command = format!("cd {} && {command}", shell_word(&around.root));
    match &item.on_fail {
        Some(on_fail) => {
            format!("{{ {command}; }} || {{ cd {} && {}; }}", shell_word(&around.root), run(on_fail))
        }
        None => command,
    }
}
