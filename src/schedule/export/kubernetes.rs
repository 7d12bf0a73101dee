//! `CronJob`s of Kubernetes.

use std::fmt::Write as _;

use super::{Around, File, Item, Platform, five_fields, header, plain_name, quoted, shell_word};
use crate::base::Digest;
use crate::model::Overlap;

/// The longest name of a `CronJob`: its jobs and their pods are called after it.
const LONGEST: usize = 52;

/// How late a job may begin, in seconds, that does not catch up.
const DEADLINE: u64 = super::super::LATE.as_secs();

pub(super) fn examine(item: &mut Item<'_>) {
    item.in_five_fields(Platform::Kubernetes);
    if item.schedule.jitter.is_some() {
        item.spare("Kubernetes knows no jitter", "take `jitter=` away");
    }
    if item.schedule.overlap == Overlap::Queue {
        item.spare(
            "Kubernetes can leave a time out (`skip`) or run both (`allow`), but no run waits for another",
            "take `overlap=\"queue\"` away",
        );
    }
}

pub(super) fn file(items: &[Item<'_>], around: &Around) -> File {
    let mut out = header(around);
    for remark in items.iter().flat_map(Item::remarks) {
        let _ = writeln!(out, "# {remark}");
    }
    for item in items.iter().filter(|item| item.is_sayable()) {
        job(&mut out, item, around);
    }
    File { name: "schedules.yaml".to_owned(), text: out }
}

fn job(out: &mut String, item: &Item<'_>, around: &Around) {
    let Some(cron) = &item.cron else { return };
    let _ = writeln!(out, "---\napiVersion: batch/v1\nkind: CronJob");
    let _ = writeln!(out, "metadata:\n  name: {}", quoted(&name(&item.id)));
    let _ = writeln!(out, "  annotations:\n    envrun/schedule: {}", quoted(&item.schedule.key()));
    let _ = writeln!(out, "spec:\n  schedule: {}", quoted(&five_fields(cron)));
    let _ = writeln!(out, "  timeZone: {}", quoted(item.tz.as_deref().unwrap_or("Etc/UTC")));
    let policy = if item.schedule.overlap == Overlap::Allow { "Allow" } else { "Forbid" };
    let _ = writeln!(out, "  concurrencyPolicy: {policy}");
    if !item.schedule.catch_up {
        let _ = writeln!(out, "  startingDeadlineSeconds: {DEADLINE}");
    }
    out.push_str("  jobTemplate:\n    spec:\n      backoffLimit: 0\n      template:\n        spec:\n");
    out.push_str("          restartPolicy: Never\n          containers:\n            - name: envrun\n");
    let image = around.image.as_deref().unwrap_or_default();
    let _ = writeln!(out, "              image: {}", quoted(image));
    let run = |label: &str| format!("envrun run {}", shell_word(label));
    let words = match &item.on_fail {
        Some(on_fail) => {
            let both = format!("{} || {{ status=$?; {}; exit $status; }}", run(&item.label), run(on_fail));
            vec!["/bin/sh".to_owned(), "-c".to_owned(), both]
        }
        None => vec!["envrun".to_owned(), "run".to_owned(), item.label.clone()],
    };
    let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    let _ = writeln!(out, "              command: [{}]", words.join(", "));
    let secrets = around.secrets.get(&item.label).map(Vec::as_slice).unwrap_or_default();
    if secrets.is_empty() {
        return;
    }
    let env = item.schedule.node.env.as_ref().map(|env| format!("-{env}")).unwrap_or_default();
    let from = name(&plain_name(&format!("{}{env}", around.project)));
    out.push_str("              env:\n");
    for secret in secrets {
        let _ = writeln!(
            out,
            "                - name: {secret}\n                  valueFrom:\n                    secretKeyRef:\n                      \
             name: {}\n                      key: {secret}",
            quoted(&from)
        );
    }
}

/// A name that is not too long; of one that is, its digest tells it from others.
fn name(id: &str) -> String {
    if id.len() <= LONGEST {
        return id.to_owned();
    }
    let digest = Digest::of(id.as_bytes()).to_hex();
    format!("{}-{}", id[..LONGEST - 9].trim_end_matches('-'), &digest[..8])
}
