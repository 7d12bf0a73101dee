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

/// Works the figures of one environment out, from releases in the order of its ledger, oldest first: the clocks of those who
/// deploy may tell another one.
pub fn figures(env: &str, releases: &[&Release], since: Option<Timestamp>) -> Figures {
    let releases = releases.iter().filter(|release| since.is_none_or(|since| release.at >= since));
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

/// In the text format that Prometheus scrapes, or reads from node_exporter's textfile collector. What is counted `since` a
/// moment gets less, too, and is no counter then.
pub fn prometheus(all: &[Figures], since: Option<Timestamp>) -> String {
    let mut text = String::new();
    let mut family = |name: &str, kind: &str, help: &str, lines: Vec<String>| {
        if !lines.is_empty() {
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
            lines.iter().for_each(|line| _ = writeln!(text, "{line}"));
        }
    };
    type Counts = fn(&Figures) -> &BTreeMap<&'static str, u64>;
    let counted: [(&str, &str, Counts); 2] = [
        ("envrun_deploys", "Deploys by how they ended.", |figures| &figures.deploys),
        ("envrun_rollbacks", "Rollbacks that somebody asked for, by how they ended.", |figures| {
            &figures.rollbacks
        }),
    ];
    for (name, help, of) in counted {
        let (name, kind) = match since {
            None => (format!("{name}_total"), "counter"),
            Some(_) => (name.to_owned(), "gauge"),
        };
        let mut lines = Vec::new();
        for figures in all {
            // Those that never were are told as well: the first failure is an increase, and not a new series.
            for outcome in Outcome::ALL.map(Outcome::word) {
                let count = of(figures).get(outcome).copied().unwrap_or(0);
                let env = label(&figures.env);
                lines.push(format!("{name}{{env=\"{env}\",outcome=\"{outcome}\"}} {count}"));
            }
        }
        family(&name, kind, help, lines);
    }
    type Gauge = fn(&Figures) -> Option<f64>;
    let gauges: [(&str, &str, Gauge); 6] = [
        (
            "envrun_deploy_success_ratio",
            "Deploys that stayed live, of those that changed something.",
            |figures| figures.success_rate,
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
    ];
    for (name, help, of) in gauges {
        let line =
            |figures: &Figures| Some(format!("{name}{{env=\"{}\"}} {}", label(&figures.env), of(figures)?));
        family(name, "gauge", help, all.iter().filter_map(line).collect());
    }
    text
}

/// The value of a label.
fn label(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use crate::base::Timestamp;
    use crate::ledger::{Began, Entry, History, Kind, Outcome, Phase, Reached, Release, What, Who};

    use super::{Figures, figures, prometheus};

    /// Releases that begin and end at these seconds.
    fn history(lines: &[(u64, u64, Outcome)]) -> History {
        let mut entries = Vec::new();
        for (release, (began, ended, outcome)) in (1..).zip(lines.iter().copied()) {
            let begun = What::Began(Began {
                release,
                kind: Kind::Deploy,
                node: "deploy".into(),
                revision: release.to_string(),
                previous: None,
                previous_revision: None,
                from: None,
                of: None,
                tag: None,
                data: Vec::new(),
                unsaved: false,
                given: Vec::new(),
                who: Who::default(),
                run: String::new(),
                was: None,
                break_glass: None,
            });
            let reached = What::Reached(Reached::new(release, Phase::Applying));
            let over = What::Ended { release, outcome, reason: None, logs: Vec::new() };
            for (time, what) in [(began, begun), (began, reached), (ended, over)] {
                let seq = entries.len() as u64;
                entries.push(Entry { seq, time: Timestamp(time * 1000), what });
            }
        }
        History::of(entries)
    }

    #[test]
    fn a_clock_that_was_set_back_changes_no_order() {
        let all = [
            (1000, 1010, Outcome::Live),
            (2000, 2020, Outcome::Broken),
            // An hour was too much: it recovered, whatever the clock says.
            (500, 540, Outcome::Live),
            (600, 590, Outcome::Live),
        ];
        let history = history(&all);
        let releases: Vec<&Release> = history.releases().iter().collect();
        let told = figures("prod", &releases, None);
        assert_eq!(told.deploys, [("broken", 1), ("live", 3)].into());
        assert_eq!(told.success_rate, Some(0.75));
        assert_eq!(told.recovery_seconds, Some(0.0));
        assert_eq!((told.median_seconds, told.longest_seconds), (Some(10.0), Some(40.0)));
        assert_eq!(told.last_live, Some(590));
        let since = figures("prod", &releases, Some(Timestamp(1_500_000)));
        assert_eq!((since.deploys, since.success_rate), ([("broken", 1)].into(), Some(0.0)));
        assert_eq!(figures("prod", &[], None), Figures { env: "prod".into(), ..Figures::default() });
    }

    /// Values by name and labels.
    type Samples = BTreeMap<(String, Vec<(String, String)>), f64>;

    /// A text as Prometheus reads it, strictly: families with HELP and TYPE before their samples, each family once and in
    /// one piece, each series once.
    fn read(text: &str) -> (BTreeMap<String, String>, Samples) {
        let (mut types, mut samples) = (BTreeMap::new(), Samples::new());
        let (mut family, mut done) = (String::new(), BTreeSet::new());
        assert!(text.is_empty() || text.ends_with('\n'), "the last line ends, too");
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, words) = help.split_once(' ').expect("a help has words");
                assert!(!words.is_empty() && !words.contains('\\'), "{line}");
                assert!(done.insert(name.to_owned()), "{name} is told twice");
                family = name.to_owned();
                let kind = lines.next().and_then(|line| line.strip_prefix("# TYPE ")).expect("then its type");
                let (name, kind) = kind.split_once(' ').expect("a type is a word");
                assert_eq!(name, family);
                assert!(["counter", "gauge"].contains(&kind), "{kind}");
                assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
                types.insert(name.to_owned(), kind.to_owned());
                continue;
            }
            let (name, rest) = line.split_once('{').expect("every sample has labels");
            assert_eq!(name, family, "a sample stands in its family");
            assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'), "{name}");
            let mut labels = Vec::new();
            let mut rest = rest;
            let rest = loop {
                let (key, after) = rest.split_once("=\"").expect("a label has a value");
                let (mut value, mut chars) = (String::new(), after.char_indices());
                let end = loop {
                    let (at, char) = chars.next().expect("a value ends");
                    match char {
                        '"' => break at,
                        '\\' => value.push(match chars.next() {
                            Some((_, 'n')) => '\n',
                            Some((_, char @ ('\\' | '"'))) => char,
                            other => panic!("\\ before {other:?}"),
                        }),
                        char => value.push(char),
                    }
                };
                labels.push((key.to_owned(), value));
                rest = &after[end + 1..];
                match rest.strip_prefix(',') {
                    Some(more) => rest = more,
                    None => break rest.strip_prefix("} ").expect("then the value"),
                }
            };
            let value: f64 = rest.parse().expect("it is a number");
            assert!(value.is_finite(), "{line}");
            let series = (name.to_owned(), labels);
            assert!(samples.insert(series, value).is_none(), "{line} is there twice");
        }
        (types, samples)
    }

    #[test]
    fn prometheus_reads_what_it_is_told() {
        let figures = |env: &str| Figures {
            env: env.to_owned(),
            deploys: [("live", 3), ("back", 1)].into(),
            success_rate: Some(0.75),
            median_seconds: Some(1e-7),
            p90_seconds: Some(0.1 + 0.2),
            longest_seconds: Some(1e21),
            last_live: Some(1_795_280_872),
            ..Figures::default()
        };
        let odd = "a \"b\" \\ c\nd,e=\"f\"} 1";
        let all = [figures("prod"), figures(odd), Figures { env: "new".to_owned(), ..Figures::default() }];
        let (types, samples) = read(&prometheus(&all, None));
        let of = |name: &str, env: &str, outcome: Option<&str>| {
            let mut labels = vec![("env".to_owned(), env.to_owned())];
            labels.extend(outcome.map(|outcome| ("outcome".to_owned(), outcome.to_owned())));
            samples.get(&(name.to_owned(), labels)).copied()
        };
        assert_eq!(types["envrun_deploys_total"], "counter");
        for env in ["prod", odd] {
            assert_eq!(of("envrun_deploys_total", env, Some("live")), Some(3.0), "{env}");
            assert_eq!(of("envrun_deploys_total", env, Some("back")), Some(1.0), "{env}");
            assert_eq!(of("envrun_deploy_seconds_median", env, None), Some(1e-7));
            assert_eq!(of("envrun_deploy_seconds_max", env, None), Some(1e21));
            assert_eq!(of("envrun_last_live_timestamp_seconds", env, None), Some(1_795_280_872.0));
        }
        // An increase begins at nothing; what cannot be known is not told.
        for outcome in ["live", "back", "broken", "refused", "abandoned"] {
            assert_eq!(of("envrun_deploys_total", "new", Some(outcome)), Some(0.0), "{outcome}");
            assert_eq!(of("envrun_rollbacks_total", "new", Some(outcome)), Some(0.0), "{outcome}");
        }
        assert_eq!(of("envrun_deploy_success_ratio", "new", None), None);
        // What is counted since a moment is no counter.
        let (types, _) = read(&prometheus(&all, Some(Timestamp(1))));
        assert_eq!(types["envrun_deploys"], "gauge");
        assert_eq!(read(&prometheus(&[], None)).1.len(), 0);
    }
}
