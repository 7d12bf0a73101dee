//! Cron expressions: what they may say, and the times that they name.

use std::str::FromStr;

use jiff::tz::TimeZone;

use super::Timestamp;

/// A cron expression that names at least one time.
///
/// What may stand in it is what every cron understands: `*`, numbers, names, `a-b`, lists and steps, and `L` for the last
/// day of a month. Where both a day of the month and a day of the week are named, either is enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cron {
    text: String,
    /// Seconds first, whether or not they are written.
    fields: [CronField; 6],
    times: croner::Cron,
}

/// One field of an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CronField {
    /// As written.
    pub text: String,
    /// The numbers that it stands for, sorted; `L` adds none. Sunday is 0.
    pub numbers: Vec<u32>,
}

impl CronField {
    /// Whether it leaves everything open: `*`.
    pub fn is_any(&self) -> bool {
        self.text == "*"
    }

    /// Whether it names the last day of a month.
    pub fn has_last(&self) -> bool {
        self.text.split(',').any(is_last)
    }
}

/// Why a text is no cron expression, or none whose time ever comes: what follows "names no time".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CronError(String);

/// What a field may hold: what it is called, its least and greatest number, the names of its numbers.
struct Range(&'static str, u32, u32, &'static [&'static str]);

const RANGES: [Range; 6] = [
    Range("second", 0, 59, &[]),
    Range("minute", 0, 59, &[]),
    Range("hour", 0, 23, &[]),
    Range("day of the month", 1, 31, &[]),
    Range(
        "month",
        1,
        12,
        &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
    ),
    // Sunday is 0 and 7.
    Range("day of the week", 0, 7, &["sun", "mon", "tue", "wed", "thu", "fri", "sat"]),
];

/// Where the days of the month stand in [`RANGES`].
const DAY: usize = 3;

/// The longest that each month can be.
const MONTH_DAYS: [u32; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

impl Cron {
    /// Reads five fields, or six with the seconds first.
    pub fn parse(text: &str) -> Result<Self, CronError> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let words = match words[..] {
            [minute, hour, day, month, weekday] => ["0", minute, hour, day, month, weekday],
            [second, minute, hour, day, month, weekday] => [second, minute, hour, day, month, weekday],
            [word] if word.starts_with('@') => {
                return Err(CronError(format!("`{word}` is not one of the fields that are wanted: {FORM}")));
            }
            _ => return Err(CronError(format!("it has {} fields; {FORM}", words.len()))),
        };
        let mut fields = Vec::with_capacity(words.len());
        for (at, word) in words.iter().enumerate() {
            let numbers = numbers(&RANGES[at], word, at == DAY)?;
            fields.push(CronField { text: (*word).to_owned(), numbers });
        }
        let fields: [CronField; 6] = fields.try_into().expect("there are as many words as fields");
        let [_, _, _, days, months, weekdays] = &fields;
        let has = |month: &u32| days.numbers.iter().any(|&day| day <= MONTH_DAYS[*month as usize - 1]);
        // With a day of the week as well, either is enough.
        if !days.has_last() && weekdays.is_any() && !months.numbers.iter().any(has) {
            return Err(CronError("no month it names has such a day".to_owned()));
        }
        let parser = croner::parser::CronParser::builder()
            .seconds(croner::parser::Seconds::Required)
            .year(croner::parser::Year::Disallowed)
            .build();
        let times = parser.parse(&words.join(" ")).map_err(|error| CronError(error.to_string()))?;
        Ok(Self { text: text.to_owned(), fields, times })
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its fields: second, minute, hour, day of the month, month, day of the week.
    pub fn fields(&self) -> &[CronField; 6] {
        &self.fields
    }

    /// Whether it names another second than the first of a minute.
    pub fn has_seconds(&self) -> bool {
        self.fields[0].numbers != [0]
    }

    /// The first of its times after `now`, in the zone `tz`; none before the year 5000 or so is none.
    ///
    /// When the clocks go forward, a fixed time that is left out comes at the first moment after the gap, and a time of
    /// an interval (`*`, `*/n` among second, minute and hour) not at all. When they go back, a fixed time comes once, the
    /// first time, and a time of an interval twice.
    pub fn next_after(&self, now: Timestamp, tz: &TimeZone) -> Option<Timestamp> {
        let seconds = i64::try_from(now.0 / 1000).ok()?;
        let mut from = jiff::Timestamp::from_second(seconds).ok()?.to_zoned(tz.clone());
        loop {
            let next = self.times.find_next_occurrence(&from, false).ok()?;
            let at = u64::try_from(next.timestamp().as_millisecond()).ok()?;
            if at > now.0 {
                return Some(Timestamp(at));
            }
            // Never seen; but who waits for a time must not wait for one that is past.
            from = from.checked_add(jiff::SignedDuration::from_secs(1)).ok()?;
        }
    }
}

const FORM: &str =
    "five are wanted (minute, hour, day, month, day of the week), or six with the second first";

fn is_last(part: &str) -> bool {
    part.eq_ignore_ascii_case("l")
}

/// The numbers that a field stands for.
fn numbers(range: &Range, word: &str, may_be_last: bool) -> Result<Vec<u32>, CronError> {
    let Range(name, least, most, names) = *range;
    let last = if may_be_last { ", `L` for the last" } else { "" };
    let wrong = |part: &str| {
        CronError(format!(
            "`{part}` is not a {name}: write `*`, numbers from {least} to {most}, `a-b`, `*/n`{last} or a list"
        ))
    };
    let number = |text: &str| {
        let named = names.iter().position(|name| text.eq_ignore_ascii_case(name));
        // Names begin with the least number of their field, except that Sunday is 0.
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok());
        let number =
            named.map_or_else(|| digits(text).flatten(), |at| u32::try_from(at).ok().map(|at| at + least));
        number.filter(|number| (least..=most).contains(number)).ok_or_else(|| wrong(text))
    };
    let mut all = Vec::new();
    for part in word.split(',') {
        if may_be_last && is_last(part) {
            continue;
        }
        let (stretch, step) = part.split_once('/').map_or((part, None), |(range, step)| (range, Some(step)));
        let (from, to) = match stretch.split_once('-') {
            // Seven is Sunday again, and `*` means each day once.
            _ if stretch == "*" => (least, if most == 7 { 6 } else { most }),
            Some((from, to)) => (number(from)?, number(to)?),
            None if step.is_some() => {
                let from = number(stretch)?;
                let step = step.unwrap_or_default();
                return Err(CronError(format!("`{part}` is not a {name}: write `{from}-{most}/{step}`")));
            }
            None => (number(stretch)?, number(stretch)?),
        };
        let step: usize = match step {
            Some(step) => step.parse().ok().filter(|step| *step > 0).ok_or_else(|| wrong(part))?,
            None => 1,
        };
        if from > to {
            return Err(wrong(part));
        }
        let seven_is_sunday = |number: u32| if most == 7 { number % 7 } else { number };
        all.extend((from..=to).step_by(step).map(seven_is_sunday));
    }
    all.sort_unstable();
    all.dedup();
    Ok(all)
}

impl FromStr for Cron {
    type Err = CronError;

    fn from_str(text: &str) -> Result<Self, CronError> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn good_and_bad() {
        for good in [
            "* * * * *",
            "0 2 * * 0",
            "*/5 0-6,22 1,15 jan-mar mon",
            "30 15 2 29 feb *",
            "0 0 31 2 fri",
            "0 0 L * *",
            "0 0 15,L feb *",
            "0 0 * * 5-7",
        ] {
            assert!(Cron::parse(good).is_ok(), "{good}: {:?}", Cron::parse(good));
        }
        for bad in [
            "",
            "@daily",
            "* * * *",
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "* * * 13 *",
            "* * * * 8",
            "*/0 * * * *",
            "5/10 * * * *",
            "5-1 * * * *",
            "+5 * * * *",
            "a * * * *",
            "0 0 30 2 *",
            "0 0 31 4,6 *",
            "1,,2 * * * *",
            "L * * * *",
            "0 0 * * 5L",
        ] {
            assert!(Cron::parse(bad).is_err(), "{bad}");
        }
    }

    fn at(text: &str) -> Timestamp {
        Timestamp(u64::try_from(text.parse::<jiff::Timestamp>().unwrap().as_millisecond()).unwrap())
    }

    /// The next times of an expression, as the wall of that zone shows them.
    fn times(cron: &str, zone: &str, from: &str, count: usize) -> String {
        let (cron, zone) = (Cron::parse(cron).unwrap(), TimeZone::get(zone).unwrap());
        let mut now = at(from);
        let mut shown = Vec::new();
        for _ in 0..count {
            now = cron.next_after(now, &zone).unwrap();
            let moment = jiff::Timestamp::from_millisecond(i64::try_from(now.0).unwrap()).unwrap();
            shown.push(moment.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S%:z").to_string());
        }
        shown.join("\n")
    }

    #[test]
    fn when_the_clocks_go_forward() {
        // Between two and three there is nothing: the backup of half past two is made at once when that is over.
        expect_test::expect![[r#"
            2026-03-28 02:30:00+01:00
            2026-03-29 03:00:00+02:00
            2026-03-30 02:30:00+02:00"#]]
        .assert_eq(&times("30 2 * * *", "Europe/Berlin", "2026-03-27T12:00:00Z", 3));
        expect_test::expect![[r#"
            2026-03-29 01:45:00+01:00
            2026-03-29 03:00:00+02:00
            2026-03-29 03:15:00+02:00"#]]
        .assert_eq(&times("*/15 * * * *", "Europe/Berlin", "2026-03-29T00:30:00Z", 3));
        // Clocks that go by half an hour.
        expect_test::expect![[r#"
            2026-10-04 02:30:00+11:00
            2026-10-05 02:15:00+11:00"#]]
        .assert_eq(&times("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00:00Z", 2));
    }

    #[test]
    fn when_the_clocks_go_back() {
        // Half past two comes twice, and the backup is made once.
        expect_test::expect![[r#"
            2026-10-24 02:30:00+02:00
            2026-10-25 02:30:00+02:00
            2026-10-26 02:30:00+01:00"#]]
        .assert_eq(&times("30 2 * * *", "Europe/Berlin", "2026-10-23T12:00:00Z", 3));
        expect_test::expect![[r#"
            2026-10-25 02:30:00+02:00
            2026-10-25 02:00:00+01:00
            2026-10-25 02:30:00+01:00
            2026-10-25 03:00:00+01:00"#]]
        .assert_eq(&times("*/30 * * * *", "Europe/Berlin", "2026-10-25T00:00:00Z", 4));
        expect_test::expect![[r#"
            2026-11-01 01:30:00-04:00
            2026-11-02 01:30:00-05:00"#]]
        .assert_eq(&times("30 1 * * *", "America/New_York", "2026-11-01T00:00:00Z", 2));
    }

    #[test]
    fn days_that_not_every_month_or_year_has() {
        expect_test::expect![[r#"
            2027-02-28 00:00:00+00:00
            2027-03-31 00:00:00+00:00
            2027-04-30 00:00:00+00:00"#]]
        .assert_eq(&times("0 0 L * *", "UTC", "2027-02-01T00:00:00Z", 3));
        expect_test::expect![[r#"
            2027-01-31 00:00:00+00:00
            2027-03-31 00:00:00+00:00
            2027-05-31 00:00:00+00:00"#]]
        .assert_eq(&times("0 0 31 * *", "UTC", "2027-01-01T00:00:00Z", 3));
        expect_test::expect![[r#"
            2028-02-29 12:00:00+00:00
            2032-02-29 12:00:00+00:00"#]]
        .assert_eq(&times("0 12 29 2 *", "UTC", "2026-11-21T00:00:00Z", 2));
        // 2100 is no leap year.
        expect_test::expect!["2104-02-29 00:00:00+00:00"].assert_eq(&times(
            "0 0 29 2 *",
            "UTC",
            "2096-03-01T00:00:00Z",
            1,
        ));
        // Either day is enough.
        expect_test::expect![[r#"
            2026-12-01 00:00:00+00:00
            2026-12-04 00:00:00+00:00
            2026-12-11 00:00:00+00:00"#]]
        .assert_eq(&times("0 0 1 * fri", "UTC", "2026-11-28T00:00:00Z", 3));
        expect_test::expect![[r#"
            2026-11-21 00:00:15+00:00
            2026-11-21 00:00:45+00:00"#]]
        .assert_eq(&times("15,45 * * * * *", "UTC", "2026-11-21T00:00:00Z", 2));
    }

    /// A field of up to three parts.
    fn field(at: usize) -> impl Strategy<Value = String> {
        let Range(_, least, most, _) = RANGES[at];
        let part = prop_oneof![
            2 => Just("*".to_owned()),
            4 => (least..=most).prop_map(|number| number.to_string()),
            2 => (least..=most, least..=most).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
            1 => (1..=most).prop_map(|step| format!("*/{step}")),
            1 => (least..=most, 1..=most).prop_map(move |(from, step)| format!("{from}-{most}/{step}")),
        ];
        proptest::collection::vec(part, 1..=3).prop_map(|parts| parts.join(","))
    }

    fn expression() -> impl Strategy<Value = String> {
        let fields = (field(0), field(1), field(2), field(3), field(4), field(5));
        (fields, any::<bool>()).prop_map(|((s, m, h, day, month, weekday), seconds)| {
            let five = format!("{m} {h} {day} {month} {weekday}");
            if seconds { format!("{s} {five}") } else { five }
        })
    }

    const ZONES: [&str; 5] =
        ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(192))]

        /// Whatever the expression, the zone and the moment: the next time is later, is one that the expression names
        /// (or the end of a gap), and none was passed over.
        #[test]
        fn the_next_time_is_later_and_named(
            text in expression(),
            zone in proptest::sample::select(&ZONES[..]),
            now in 1_700_000_000_000_u64..1_900_000_000_000,
        ) {
            // One that no time fits is refused, and refused by both readers.
            let Ok(cron) = Cron::parse(&text) else { return Ok(()) };
            let zone = TimeZone::get(zone).unwrap();
            let next = cron.next_after(Timestamp(now), &zone);
            let next = next.ok_or_else(|| TestCaseError::fail(format!("`{text}` never comes")))?;
            prop_assert!(next.0 > now, "{text}: {next:?} is not after {now}");
            let moment = jiff::Timestamp::from_millisecond(next.0 as i64).unwrap().to_zoned(zone.clone());
            let before = jiff::Timestamp::from_millisecond(next.0 as i64 - 1).unwrap().to_zoned(zone.clone());
            let after_gap = moment.offset() != before.offset();
            let [second, minute, hour, day, month, weekday] = cron.fields();
            let has = |field: &CronField, number: i8| field.numbers.contains(&u32::try_from(number).unwrap());
            let (by_day, by_weekday) =
                (has(day, moment.day()), has(weekday, moment.weekday().to_sunday_zero_offset()));
            let fits_day = match (day.is_any(), weekday.is_any()) {
                (false, false) => by_day || by_weekday,
                _ => by_day && by_weekday,
            };
            prop_assert!(fits_day && has(month, moment.month()), "{text}: {moment}");
            let fits_time =
                has(second, moment.second()) && has(minute, moment.minute()) && has(hour, moment.hour());
            prop_assert!(fits_time || after_gap, "{text}: {moment}");
            // Asked a moment before it, it is still the next.
            prop_assert_eq!(cron.next_after(Timestamp(next.0 - 1), &zone), Some(next));
        }
    }
}
