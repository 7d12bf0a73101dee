//! The same schedules, as other programs want to have them.
//!
//! A platform cannot say all that a schedule can: classic cron knows no seconds, GitHub no time zone. What it cannot say is
//! never left out silently. Each such thing is an [`Unsayable`]; without leave ([`Around::partial`]) there is no text at all,
//! with it the text says in a comment what is not in it.
//!
//! Invariant: the same schedules and the same surroundings give the same text.

mod crontab;
mod github;
mod kubernetes;
mod systemd;
#[cfg(test)]
mod tests;
mod zone;

use std::collections::BTreeMap;

use jiff::tz::TimeZone;

use crate::base::cron::CronField;
use crate::base::{Cron, Timestamp};
use crate::model::{Schedule, Times};

/// Who runs the schedules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Platform {
    /// Timers of systemd.
    Systemd,
    /// A crontab.
    Cron,
    /// A workflow of GitHub Actions.
    Github,
    /// `CronJob`s of Kubernetes.
    Kubernetes,
}

impl Platform {
    /// As it is called on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Systemd => "systemd",
            Self::Cron => "cron",
            Self::Github => "github",
            Self::Kubernetes => "kubernetes",
        }
    }

    /// As it is called in a sentence.
    fn name(self) -> &'static str {
        match self {
            Self::Systemd => "systemd",
            Self::Cron => "cron",
            Self::Github => "GitHub",
            Self::Kubernetes => "Kubernetes",
        }
    }
}

/// What a text is made of beside the schedules.
#[derive(Debug, Clone, Default)]
pub struct Around {
    /// The project's name.
    pub project: String,
    /// The command that makes the text again.
    pub command: String,
    /// Where envrun is on this machine.
    pub program: String,
    /// The project's folder on this machine.
    pub root: String,
    /// The Envfile, if it is not the one that would be found.
    pub file: Option<String>,
    /// Where programs are looked up.
    pub path: Option<String>,
    /// The zone of this machine's clock.
    pub zone: Option<String>,
    /// The time now: whether a zone has summer time is a matter of the year.
    pub now: Timestamp,
    /// The cron is one that knows `CRON_TZ`.
    pub cron_tz: bool,
    /// The image of containers.
    pub image: Option<String>,
    /// The command that puts envrun on a runner.
    pub install: String,
    /// The names of the secrets that each node sees, by label.
    pub secrets: BTreeMap<String, Vec<String>>,
    /// What the platform cannot say may be left out, with a comment.
    pub partial: bool,
}

/// What a platform cannot say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsayable {
    /// Which schedule, by its node.
    pub label: String,
    /// What, and why.
    pub what: String,
    /// What to do about it.
    pub hint: String,
    /// Without it the schedule is still one; else the schedule as a whole cannot be said.
    pub spare: bool,
}

/// A text of a platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// What the file is called.
    pub name: String,
    /// What is in it.
    pub text: String,
}

/// Writes the schedules for a platform; or says everything that it cannot say, if that may not be left out or nothing would be
/// left.
pub fn export(
    schedules: &[Schedule],
    platform: Platform,
    around: &Around,
) -> Result<Vec<File>, Vec<Unsayable>> {
    let mut items = Vec::new();
    for schedule in schedules {
        let item = Item::new(schedule, &items, around);
        items.push(item);
    }
    for item in &mut items {
        match platform {
            Platform::Systemd => systemd::examine(item),
            Platform::Cron => crontab::examine(item, around),
            Platform::Github => github::examine(item, around),
            Platform::Kubernetes => kubernetes::examine(item),
        }
    }
    let unsayable: Vec<Unsayable> = items.iter().flat_map(|item| item.unsayable.clone()).collect();
    if !unsayable.is_empty() && (!around.partial || !items.iter().any(Item::is_sayable)) {
        return Err(unsayable);
    }
    Ok(match platform {
        Platform::Systemd => systemd::files(&items, around),
        Platform::Cron => vec![crontab::file(&items, around)],
        Platform::Github => vec![github::file(&items, around)],
        Platform::Kubernetes => vec![kubernetes::file(&items, around)],
    })
}

/// A schedule on its way to a platform.
struct Item<'a> {
    schedule: &'a Schedule,
    /// A name that no other item has: letters, digits, `-`.
    id: String,
    label: String,
    on_fail: Option<String>,
    /// Its times as a cron expression, where they can be said with one.
    cron: Option<Cron>,
    /// The zone of these; none where any will do.
    tz: Option<String>,
    unsayable: Vec<Unsayable>,
}

impl<'a> Item<'a> {
    fn new(schedule: &'a Schedule, before: &[Item<'_>], around: &Around) -> Self {
        let label = schedule.label();
        let (cron, tz) = match &schedule.times {
            Times::Cron { cron, tz } => (Cron::parse(cron).ok(), Some(tz.clone())),
            Times::Every { every, .. } => (every_as_cron(*every), None),
        };
        let base = plain_name(&format!("{}-{label}", around.project));
        let mut id = base.clone();
        let mut more = 2;
        while before.iter().any(|item| item.id == id) {
            id = format!("{base}-{more}");
            more += 1;
        }
        Self { schedule, id, label, on_fail: schedule.on_fail_label(), cron, tz, unsayable: Vec::new() }
    }

    /// Notes something that the schedule can do without.
    fn spare(&mut self, what: impl Into<String>, hint: impl Into<String>) {
        self.cannot(what.into(), hint.into(), true);
    }

    /// Notes something without which it is none.
    fn whole(&mut self, what: impl Into<String>, hint: impl Into<String>) {
        self.cannot(what.into(), hint.into(), false);
    }

    fn cannot(&mut self, what: String, hint: String, spare: bool) {
        self.unsayable.push(Unsayable { label: self.label.clone(), what, hint, spare });
    }

    /// Whether the platform can say when it runs.
    fn is_sayable(&self) -> bool {
        self.unsayable.iter().all(|what| what.spare)
    }

    /// What a comment says of what is left out.
    fn remarks(&self) -> Vec<String> {
        self.unsayable.iter().map(|not| format!("{}: left out: {}", not.label, not.what)).collect()
    }

    /// The words that run `label` on this machine.
    fn words(&self, label: &str, around: &Around) -> Vec<String> {
        let mut words = vec![around.program.clone()];
        words.extend(around.file.iter().flat_map(|file| ["-f".to_owned(), file.clone()]));
        words.extend(["run".to_owned(), label.to_owned()]);
        words
    }

    /// Notes what no platform can say that counts in whole minutes with the five fields of cron.
    fn in_five_fields(&mut self, platform: Platform) {
        let name = platform.name();
        let Some(cron) = &self.cron else {
            let hint = "take a time that divides a minute, an hour or a day, `\"30m\"` for instance, or `export systemd`";
            return self.whole(
                format!(
                    "{name} has no words for `{}`, which divides neither an hour nor a day",
                    self.schedule.times
                ),
                hint,
            );
        };
        if cron.has_seconds() {
            let what = format!(
                "{name} knows no seconds: a minute is the shortest time of `{}`",
                self.schedule.times
            );
            return self.whole(what, "take whole minutes, or `export systemd`, or `envrun schedule run`");
        }
        if cron.fields()[3].has_last() {
            let what = format!("{name} has no word for the last day of a month (`L`)");
            self.whole(what, "take a day that every month has (`28`), or `export systemd`");
        }
    }
}

/// A name that every platform takes.
fn plain_name(text: &str) -> String {
    let mut name = String::new();
    for c in text.to_lowercase().chars() {
        let c = if c.is_ascii_alphanumeric() { c } else { '-' };
        if c != '-' || !name.ends_with('-') {
            name.push(c);
        }
    }
    let name = name.trim_matches('-');
    if name.is_empty() { "schedule".to_owned() } else { name.to_owned() }
}

/// A time that divides a minute, an hour, a day or is a week, counted as [`super::Due`] counts it where the zone is UTC.
fn every_as_cron(every: std::time::Duration) -> Option<Cron> {
    let seconds = every.as_secs();
    if every.subsec_nanos() != 0 {
        return None;
    }
    let text = match seconds {
        1 => "* * * * * *".to_owned(),
        2..60 if 60 % seconds == 0 => format!("*/{seconds} * * * * *"),
        60 => "* * * * *".to_owned(),
        _ if !seconds.is_multiple_of(60) => return None,
        61..3600 if 3600 % seconds == 0 => format!("*/{} * * * *", seconds / 60),
        3600 => "0 * * * *".to_owned(),
        _ if !seconds.is_multiple_of(3600) => return None,
        3601..86_400 if 86_400 % seconds == 0 => format!("0 */{} * * *", seconds / 3600),
        86_400 => "0 0 * * *".to_owned(),
        // 1970 began on a Thursday.
        604_800 => "0 0 * * 4".to_owned(),
        _ => return None,
    };
    Cron::parse(&text).ok()
}

/// The five fields as every cron reads them: numbers for names, and lists where a `*` would make them mean something else.
fn five_fields(cron: &Cron) -> String {
    let [_, minute, hour, day, month, weekday] = cron.fields();
    // Where both days are named either is enough, unless one of them begins with `*`: then some want both.
    let both = !day.is_any() && !weekday.is_any();
    let fields = [
        plain_field(minute, false),
        plain_field(hour, false),
        plain_field(day, both),
        plain_field(month, false),
        // Sunday is 0 everywhere, and 7 not.
        plain_field(weekday, true),
    ];
    fields.join(" ")
}

fn plain_field(field: &CronField, numbers: bool) -> String {
    let is_plain = field.text.bytes().all(|byte| byte.is_ascii_digit() || b"*/-,".contains(&byte));
    if field.is_any() || (is_plain && !numbers) { field.text.clone() } else { list(&field.numbers) }
}

fn list(numbers: &[u32]) -> String {
    numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// The first lines of every text.
fn header(around: &Around) -> String {
    format!(
        "# Made by `{}` from the Envfile: change that, and make this anew.\n",
        around.command.replace('\n', " ")
    )
}

/// A text as YAML reads it back, whatever is in it: JSON's strings are YAML's too.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a text has a JSON form")
}

/// A word as a shell reads it back.
fn shell_word(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:@=,+".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

fn shell_words(words: &[String]) -> String {
    words.iter().map(|word| shell_word(word)).collect::<Vec<_>>().join(" ")
}

/// The shortest time between two runs, as far as some hundred of them tell.
fn shortest(cron: &Cron, from: Timestamp) -> Option<std::time::Duration> {
    let mut now = cron.next_after(from, &TimeZone::UTC)?;
    let mut shortest = None;
    for _ in 0..300 {
        let next = cron.next_after(now, &TimeZone::UTC)?;
        let between = next.since(now);
        shortest = Some(shortest.map_or(between, |known: std::time::Duration| known.min(between)));
        now = next;
    }
    shortest
}
