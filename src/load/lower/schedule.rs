//! Schedules: which node, at which times, and whether that can be.

use std::time::Duration;

use jiff::tz::TimeZone;

use crate::base::unit::{parse_duration, show_duration};
use crate::base::{Cron, Timestamp};
use crate::diag::{Diagnostic, Spanned};
use crate::model::{ArgKind, EnvName, Envfile, Node, NodeRef, Overlap, Schedule, Times};
use crate::syntax::ast;

use super::super::patch::Word;
use super::{Lower, bool_prop, texts};

/// The shortest time from one run to the next.
const SHORTEST: Duration = Duration::from_secs(1);

/// Where counting begins when the shortest time between two runs of a cron expression is looked for, and how many are
/// looked at: from a fixed day, so that the same Envfile is always as good as it was.
const SAMPLE: (Timestamp, usize) = (Timestamp(1_767_225_600_000), 50);

impl Lower<'_> {
    /// Every schedule, of every project.
    pub(super) fn schedules(&self, envfile: &mut Envfile) {
        for project in &self.declared.units.projects {
            for &item in &project.items {
                let node = self.declared.units.node(item);
                if node.name.value == "schedule" {
                    let word = Word { node, unit: item.unit, env: None };
                    let schedule = self.schedule(&word, envfile);
                    envfile.schedules.extend(schedule);
                }
            }
        }
    }

    fn schedule(&self, word: &Word<'_>, envfile: &Envfile) -> Option<Schedule> {
        let times = self.times(word.node);
        let node = if self.is_a_stage(word) { None } else { self.references(word).into_iter().next() };
        let jitter = self.jitter(word.node, times.as_ref());
        let env = node.as_ref().and_then(|node| node.env.as_ref());
        let on_fail = word.node.prop("on-fail").and_then(|prop| {
            self.reference(word, env, Spanned::new(prop.value.value.as_str()?, prop.value.span))
        });
        if let Some(node) = &node {
            self.can_run_by_itself(node, envfile);
        }
        if let Some(on_fail) = &on_fail {
            let env = on_fail.env.clone().or_else(|| env.cloned());
            self.can_run_by_itself(&NodeRef { env, ..on_fail.clone() }, envfile);
        }
        let schedule = Schedule {
            stage: self.stage_before(word),
            node: node?,
            times: times?,
            catch_up: bool_prop(word.node, "catch-up").unwrap_or_default(),
            jitter,
            overlap: match word.node.prop("overlap").and_then(|prop| prop.value.value.as_str()) {
                Some("queue") => Overlap::Queue,
                Some("allow") => Overlap::Allow,
                _ => Overlap::Skip,
            },
            on_fail,
            span: word.node.span,
        };
        self.is_new(&schedule, envfile).then_some(schedule)
    }

    /// Says so of the name of a stage, which is no node.
    fn is_a_stage(&self, word: &Word<'_>) -> bool {
        let Some(text) = texts(word.node).next() else { return false };
        let declared = self.declared;
        let is_stage = declared.stages.contains_key(text.value.as_str())
            && declared.projects.iter().all(|project| !project.nodes.contains_key(text.value.as_str()));
        if is_stage {
            self.say(
                Diagnostic::error(
                    "load/schedule",
                    format!("`{}` is a stage, and a schedule runs a node", text.value),
                )
                .at(text.span, "")
                .help(format!("schedule what it runs, or a task with `run \"envrun stage {}\"`", text.value)),
            );
        }
        is_stage
    }

    /// Its times. What the table of words has said about them already is not said again.
    fn times(&self, node: &ast::Node) -> Option<Times> {
        if let Some(every) = node.prop("every") {
            let text = every.value.value.as_str()?;
            let duration = parse_duration(text)?;
            if duration < SHORTEST {
                self.say(
                    Diagnostic::error("load/schedule", format!("`every=\"{text}\"` is less than a second"))
                        .at(every.value.span, "")
                        .help("a schedule runs once a second at most: `every=\"1s\"`"),
                );
                return None;
            }
            return Some(Times::Every { every: duration, text: text.to_owned() });
        }
        let cron = node.prop("cron")?.value.value.as_str()?;
        let zone = node.prop("tz")?;
        let name = zone.value.value.as_str()?;
        let tz = self.time_zone("load/schedule", Spanned::new(name, zone.value.span))?;
        Cron::parse(cron).ok()?;
        let cron = cron.split_whitespace().collect::<Vec<_>>().join(" ");
        // Other programs want the name as it is spelled.
        let tz = tz.iana_name().map_or_else(|| name.to_owned(), str::to_owned);
        Some(Times::Cron { cron, tz })
    }

    /// The zone of that name.
    pub(super) fn time_zone(&self, code: &'static str, name: Spanned<&str>) -> Option<TimeZone> {
        if let Ok(zone) = TimeZone::get(name.value) {
            return Some(zone);
        }
        let known: Vec<String> = jiff::tz::db().available().map(|zone| zone.to_string()).collect();
        let near = crate::diag::did_you_mean(name.value, known.iter().map(String::as_str));
        self.say(
            Diagnostic::error(code, format!("there is no time zone `{}`", name.value))
                .at(name.span, "")
                .help(near.unwrap_or_else(|| "write its IANA name: `UTC`, `Europe/Berlin`".into())),
        );
        None
    }

    /// The jitter; it must leave the times in their order.
    fn jitter(&self, node: &ast::Node, times: Option<&Times>) -> Option<Duration> {
        let prop = node.prop("jitter")?;
        let jitter = parse_duration(prop.value.value.as_str()?)?;
        let between = shortest(times?)?;
        if jitter >= between {
            self.say(
                Diagnostic::error(
                    "load/schedule",
                    format!(
                        "the jitter is not shorter than the time from one run to the next ({})",
                        show_duration(between)
                    ),
                )
                .at(prop.value.span, "")
                .help("a run would begin after the one that follows it: take a shorter one"),
            );
            return None;
        }
        Some(jitter).filter(|jitter| !jitter.is_zero())
    }

    /// Nobody is there when a schedule runs: the node has to come to an end, and to want no word from anybody.
    fn can_run_by_itself(&self, node: &NodeRef, envfile: &Envfile) {
        let default = envfile.default_env.as_ref().map(|env| &env.value);
        let has = envfile.environments_of(&node.path);
        let env: Option<&EnvName> = node.env.as_ref().or(default).or(has.first());
        match envfile.node(env, &node.path) {
            Some(Node::Service(_)) => self.say(
                Diagnostic::error(
                    "load/schedule",
                    format!("`{}` is a service, which stays up and has no times", node.path),
                )
                .at(node.span, "")
                .help(format!("`envrun up {}` starts it; schedule a task that needs it", node.path)),
            ),
            Some(Node::Task(task)) => {
                let is_asked = |arg: &&crate::model::ArgSpec| {
                    matches!(arg.kind, ArgKind::Positional { .. })
                        && arg.default.is_none()
                        && arg.env.is_none()
                };
                if let Some(arg) = task.args.iter().find(is_asked) {
                    self.say(
                        Diagnostic::error(
                            "load/schedule",
                            format!(
                                "`{}` wants a value for `{}`, and a schedule gives none",
                                node.path, arg.name.value
                            ),
                        )
                        .at(node.span, "")
                        .at(arg.name.span, "declared here")
                        .help(format!("give it a default: `arg \"{}\" default=…`", arg.name.value)),
                    );
                }
            }
            _ => {}
        }
    }

    /// Whether no other schedule runs the same node at the same times.
    fn is_new(&self, schedule: &Schedule, envfile: &Envfile) -> bool {
        let same = |other: &&Schedule| {
            (&other.node.path, &other.node.env, &other.stage, &other.times)
                == (&schedule.node.path, &schedule.node.env, &schedule.stage, &schedule.times)
        };
        let Some(first) = envfile.schedules.iter().find(same) else { return true };
        self.say(
            Diagnostic::error(
                "load/schedule",
                format!("`{}` is scheduled twice for the same times", schedule.label()),
            )
            .at(schedule.span, "")
            .at(first.span, "scheduled here first")
            .help("take one away, or give it other times"),
        );
        false
    }
}

/// The shortest time from one run to the next.
fn shortest(times: &Times) -> Option<Duration> {
    match times {
        Times::Every { every, .. } => Some(*every),
        Times::Cron { cron, .. } => {
            let cron = Cron::parse(cron).ok()?;
            let (mut now, count) = SAMPLE;
            let mut shortest = None;
            for at in 0..count {
                let next = cron.next_after(now, &TimeZone::UTC)?;
                let between = next.since(now);
                shortest = shortest.filter(|known| *known <= between).or((at > 0).then_some(between));
                now = next;
            }
            shortest
        }
    }
}
