//! A workflow of GitHub Actions: one job per schedule.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use super::zone::{fixed_offset, in_utc};
use super::{Around, File, Item, Platform, header, quoted, shell_word, shortest};
use crate::model::Overlap;

/// GitHub starts no workflow more often.
const SHORTEST: Duration = Duration::from_secs(5 * 60);

pub(super) fn examine(item: &mut Item<'_>, around: &Around) {
    item.in_five_fields(Platform::Github);
    if let Some(cron) = &item.cron
        && !cron.has_seconds()
        && shortest(cron, around.now).is_some_and(|between| between < SHORTEST)
    {
        let times = &item.schedule.times;
        item.whole(
            format!("GitHub starts nothing more often than every five minutes, and this is `{times}`"),
            "take five minutes or more, or use `envrun schedule run`",
        );
    }
    if let (Some(tz), Some(cron)) = (item.tz.clone(), item.cron.clone()) {
        match fixed_offset(&tz, around.now) {
            None => item.whole(
                format!("GitHub knows only UTC, and the clocks of `{tz}` are put forward and back"),
                "take `tz=\"UTC\"`, or `export systemd` or `kubernetes`, which know zones",
            ),
            Some(offset) if in_utc(&cron, offset).is_none() => item.whole(
                format!(
                    "GitHub knows only UTC, where `{cron}` of `{tz}` falls on the day before or after",
                    cron = cron.text()
                ),
                "take a time that is on the same day in UTC, or `tz=\"UTC\"`",
            ),
            Some(_) => {}
        }
    }
    if item.schedule.catch_up {
        item.spare(
            "GitHub drops a time when it is busy, and does not catch up",
            "take `catch-up=` away, or `export systemd`",
        );
    }
    if item.schedule.jitter.is_some() {
        item.spare("GitHub knows no jitter; it is some minutes late by itself", "take `jitter=` away");
    }
}

/// The expressions of a schedule on GitHub's clock.
fn crons(item: &Item<'_>, around: &Around) -> Vec<String> {
    let offset = item.tz.as_deref().map_or(Some(0), |tz| fixed_offset(tz, around.now));
    item.cron.as_ref().zip(offset).and_then(|(cron, offset)| in_utc(cron, offset)).unwrap_or_default()
}

pub(super) fn file(items: &[Item<'_>], around: &Around) -> File {
    let mut out = header(around);
    for remark in items.iter().flat_map(Item::remarks) {
        let _ = writeln!(out, "# {remark}");
    }
    let _ = writeln!(out, "name: {}", quoted(&format!("{} schedules", around.project)));
    out.push_str("on:\n  schedule:\n");
    let sayable = || items.iter().filter(|item| item.is_sayable());
    let mut all = BTreeSet::new();
    for item in sayable() {
        for cron in crons(item, around) {
            if all.insert(cron.clone()) {
                let _ = writeln!(out, "    # UTC; {}: {}", item.label, item.schedule.times);
                let _ = writeln!(out, "    - cron: {}", quoted(&cron));
            }
        }
    }
    out.push_str("permissions:\n  contents: read\njobs:\n");
    for item in sayable() {
        job(&mut out, item, around);
    }
    File { name: "schedules.yml".to_owned(), text: out }
}

fn job(out: &mut String, item: &Item<'_>, around: &Around) {
    let _ = writeln!(out, "  {}:", job_id(&item.id));
    let _ = writeln!(out, "    name: {}", quoted(&item.label));
    let when: Vec<String> =
        crons(item, around).iter().map(|cron| format!("github.event.schedule == '{cron}'")).collect();
    let _ = writeln!(out, "    if: {}", quoted(&when.join(" || ")));
    out.push_str("    runs-on: ubuntu-latest\n");
    if item.schedule.overlap != Overlap::Allow {
        if item.schedule.overlap == Overlap::Skip {
            out.push_str("    # GitHub lets one run wait for the other; it cannot leave it out.\n");
        }
        let group = quoted(&format!("envrun-{}", item.label));
        let _ = writeln!(out, "    concurrency:\n      group: {group}\n      cancel-in-progress: false");
    }
    if let Some(env) = &item.schedule.node.env {
        out.push_str("    # Secrets of that environment, as GitHub's settings have them.\n");
        let _ = writeln!(out, "    environment: {}", quoted(env.as_str()));
    }
    let secrets = around.secrets.get(&item.label).map(Vec::as_slice).unwrap_or_default();
    if !secrets.is_empty() {
        out.push_str("    env:\n");
    }
    for secret in secrets {
        let _ = writeln!(out, "      {secret}: ${{{{ secrets.{secret} }}}}");
    }
    out.push_str("    steps:\n      - uses: actions/checkout@v4\n        with:\n          fetch-depth: 0\n");
    let _ = writeln!(out, "      - name: Install envrun\n        run: {}", quoted(&around.install));
    let run = |label: &str| quoted(&format!("envrun run {}", shell_word(label)));
    let _ = writeln!(out, "      - name: {}\n        run: {}", quoted(&item.label), run(&item.label));
    if let Some(on_fail) = &item.on_fail {
        let _ = writeln!(
            out,
            "      - name: {}\n        if: failure()\n        run: {}",
            quoted(on_fail),
            run(on_fail)
        );
    }
}

/// A job's id begins with a letter.
fn job_id(id: &str) -> String {
    if id.starts_with(|c: char| c.is_ascii_alphabetic()) { id.to_owned() } else { format!("_{id}") }
}
