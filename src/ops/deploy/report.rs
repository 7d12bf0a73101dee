//! How deploys went: how many, how often they failed, how long they took.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use crate::base::Timestamp;
use crate::base::unit::show_duration;
use crate::ledger::{Kind, Outcome, Release};

/// The figures of one environment.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Figures {
    /// The environment.
    pub env: String,
    /// Deploys by how they ended.
    pub deploys: BTreeMap<&'static str, u64>,
    /// Rollbacks that somebody asked for, by how they ended.
    pub rollbacks: BTreeMap<&'static str, u64>,
    /// Those of them, and deploys, that passed gates.
    pub break_glass: u64,
    /// Of the deploys that changed something, how many stayed live; none if there were none.
    pub success_rate: Option<f64>,
    /// Seconds that a successful deploy took: half of them took no longer.
    pub median_seconds: Option<f64>,
    /// Nine of ten took no longer.
    pub p90_seconds: Option<f64>,
    /// The longest.
    pub longest_seconds: Option<f64>,
    /// From the end of a deploy that failed to the next one that is live, on average: how long it takes to recover.
    pub recovery_seconds: Option<f64>,
    /// When something last went live, in seconds since 1970.
    pub last_live: Option<u64>,
}

/// Works the figures of one environment out, from releases in any order.
pub fn figures(env: &str, releases: &[&Release], since: Option<Timestamp>) -> Figures {
    let mut releases: Vec<&Release> =
        releases.iter().copied().filter(|release| since.is_none_or(|since| release.at >= since)).collect();
    releases.sort_by_key(|release| (release.at, release.id()));
    let mut figures = Figures { env: env.to_owned(), ..Figures::default() };
    let mut took: Vec<Duration> = Vec::new();
    let (mut live, mut changed) = (0_u32, 0_u32);
    let mut failed_at: Option<Timestamp> = None;
    let mut recoveries: Vec<Duration> = Vec::new();
    for release in releases {
        let Some(outcome) = release.outcome() else { continue };
        let counts = match release.began.kind {
            Kind::Deploy => &mut figures.deploys,
            Kind::Rollback => &mut figures.rollbacks,
            Kind::Restore => continue,
        };
        *counts.entry(outcome.word()).or_default() += 1;
        figures.break_glass += u64::from(release.began.break_glass.is_some());
        let ended = release.end.as_ref().map(|end| end.at);
        match outcome {
            Outcome::Live => {
                figures.last_live = ended.map(|at| at.0 / 1000);
                if let (Some(failed), Some(at)) = (failed_at.take(), ended) {
                    recoveries.push(at.since(failed));
                }
            }
            Outcome::Back | Outcome::Broken => failed_at = failed_at.or(ended),
            Outcome::Refused | Outcome::Abandoned => {}
        }
        if release.began.kind == Kind::Deploy {
            match outcome {
                Outcome::Live => {
                    (live, changed) = (live + 1, changed + 1);
                    took.extend(release.took());
                }
                Outcome::Back | Outcome::Broken => changed += 1,
                Outcome::Refused | Outcome::Abandoned => {}
            }
        }
    }
    took.sort();
    let at = |share: f64| {
        // The smallest time that this share of all took no longer than.
        let place = (share * took.len() as f64).ceil() as usize;
        took.get(place.saturating_sub(1)).map(Duration::as_secs_f64)
    };
    figures.success_rate = (changed > 0).then(|| f64::from(live) / f64::from(changed));
    figures.median_seconds = at(0.5);
    figures.p90_seconds = at(0.9);
    figures.longest_seconds = took.last().map(Duration::as_secs_f64);
    let total: Duration = recoveries.iter().sum();
    figures.recovery_seconds =
        (!recoveries.is_empty()).then(|| total.as_secs_f64() / recoveries.len() as f64);
    figures
}

/// For people.
pub fn text(all: &[Figures]) -> String {
    let mut text = String::new();
    for figures in all {
        let counted = |counts: &BTreeMap<&'static str, u64>| {
            let all: Vec<String> = counts.iter().map(|(how, count)| format!("{count} {how}")).collect();
            if all.is_empty() { "none".to_owned() } else { all.join(", ") }
        };
        let seconds = |seconds: f64| show_duration(Duration::from_secs_f64(seconds));
        let _ = writeln!(text, "{}", figures.env);
        let _ = writeln!(text, "  deploys    {}", counted(&figures.deploys));
        let _ = writeln!(text, "  rollbacks  {}", counted(&figures.rollbacks));
        if let Some(rate) = figures.success_rate {
            let _ = writeln!(text, "  success    {:.0} % of those that changed something", rate * 100.0);
        }
        if let (Some(median), Some(p90), Some(longest)) =
            (figures.median_seconds, figures.p90_seconds, figures.longest_seconds)
        {
            let _ = writeln!(
                text,
                "  took       {} in the middle, {} for 9 of 10, {} at most",
                seconds(median),
                seconds(p90),
                seconds(longest)
            );
        }
        if let Some(recovery) = figures.recovery_seconds {
            let _ = writeln!(text, "  recovery   {} on average", seconds(recovery));
        }
        if figures.break_glass > 0 {
            let _ = writeln!(text, "  by force   {}", figures.break_glass);
        }
    }
    text
}

/// In the text format that Prometheus scrapes, or reads from node_exporter's textfile collector.
pub fn prometheus(all: &[Figures]) -> String {
    let mut text = String::new();
    let label = |env: &str| env.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let mut family = |name: &str, kind: &str, help: &str, lines: Vec<String>| {
        if !lines.is_empty() {
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
            lines.iter().for_each(|line| {
                let _ = writeln!(text, "{line}");
            });
        }
    };
    let by_outcome = |name: &str, of: fn(&Figures) -> &BTreeMap<&'static str, u64>| {
        let mut lines = Vec::new();
        for figures in all {
            for (outcome, count) in of(figures) {
                let env = label(&figures.env);
                lines.push(format!("{name}{{env=\"{env}\",outcome=\"{outcome}\"}} {count}"));
            }
        }
        lines
    };
    let gauge = |name: &str, of: fn(&Figures) -> Option<f64>| {
        let lines = all.iter().filter_map(|figures| {
            Some(format!("{name}{{env=\"{}\"}} {}", label(&figures.env), of(figures)?))
        });
        lines.collect::<Vec<_>>()
    };
    let deploys = by_outcome("envrun_deploys_total", |figures| &figures.deploys);
    family("envrun_deploys_total", "counter", "Deploys by how they ended.", deploys);
    let rollbacks = by_outcome("envrun_rollbacks_total", |figures| &figures.rollbacks);
    family("envrun_rollbacks_total", "counter", "Rollbacks that somebody asked for.", rollbacks);
    for (name, help, of) in [
        (
            "envrun_deploy_success_ratio",
            "Deploys that stayed live, of those that changed something.",
            (|figures| figures.success_rate) as fn(&Figures) -> Option<f64>,
        ),
        ("envrun_deploy_seconds_median", "Half of the good deploys took no longer.", |f| f.median_seconds),
        ("envrun_deploy_seconds_p90", "Nine of ten good deploys took no longer.", |f| f.p90_seconds),
        ("envrun_deploy_seconds_max", "The longest good deploy.", |f| f.longest_seconds),
        ("envrun_recovery_seconds", "From a failed deploy to the next good one, on average.", |f| {
            f.recovery_seconds
        }),
        ("envrun_last_live_timestamp_seconds", "When something last went live.", |f| {
            f.last_live.map(|at| at as f64)
        }),
    ] {
        family(name, "gauge", help, gauge(name, of));
    }
    text
}
