//! Times of one zone on the clock of another.

use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::TimeZone;

use super::{Around, five_fields, list, plain_field};
use crate::base::{Cron, Timestamp};

/// Whether a clock in that zone always shows what the machine's does.
pub(super) fn same(tz: &str, around: &Around) -> bool {
    let Some(here) = &around.zone else { return false };
    here == tz || fixed_offset(tz, around.now).is_some_and(|at| fixed_offset(here, around.now) == Some(at))
}

/// How many minutes the clocks of a zone are ahead of UTC, if that never changes again as far as is known.
pub(super) fn fixed_offset(tz: &str, now: Timestamp) -> Option<i64> {
    let zone = TimeZone::get(tz).ok()?;
    let now = jiff::Timestamp::from_millisecond(i64::try_from(now.0).ok()?).ok()?;
    if zone.following(now).next().is_some() {
        return None;
    }
    let seconds = i64::from(zone.to_offset(now).seconds());
    (seconds % 60 == 0).then_some(seconds / 60)
}

/// The expressions of five fields that name the same times on a clock in UTC, if there are some: the first day of a month
/// may be the last of another one there, which no expression says.
pub(super) fn in_utc(cron: &Cron, offset: i64) -> Option<Vec<String>> {
    if offset == 0 {
        return Some(vec![five_fields(cron)]);
    }
    let [_, minute, hour, day, month, weekday] = cron.fields();
    let any_day = day.is_any() && month.is_any() && weekday.is_any();
    // By how many days they move, and the hour there: the minutes.
    let mut moved: BTreeMap<(i64, i64), BTreeSet<u32>> = BTreeMap::new();
    for &hour in &hour.numbers {
        for &minute in &minute.numbers {
            let at = i64::from(hour) * 60 + i64::from(minute) - offset;
            let days = if any_day { 0 } else { at.div_euclid(1440) };
            let at = at.rem_euclid(1440);
            moved.entry((days, at / 60)).or_default().insert(u32::try_from(at % 60).ok()?);
        }
    }
    let mut lines: BTreeMap<(i64, BTreeSet<u32>), Vec<u32>> = BTreeMap::new();
    for ((days, hour), minutes) in moved {
        lines.entry((days, minutes)).or_default().push(u32::try_from(hour).ok()?);
    }
    let both = !day.is_any() && !weekday.is_any();
    let mut texts = Vec::new();
    for ((days, minutes), hours) in lines {
        if days != 0 && !(day.is_any() && month.is_any()) {
            return None;
        }
        let minutes: Vec<u32> = minutes.into_iter().collect();
        let weekdays = if weekday.is_any() {
            "*".to_owned()
        } else {
            let on = |day: u32| u32::try_from((i64::from(day) + days).rem_euclid(7)).unwrap_or_default();
            let mut on: Vec<u32> = weekday.numbers.iter().map(|day| on(*day)).collect();
            on.sort_unstable();
            list(&on)
        };
        texts.push(format!(
            "{} {} {} {} {weekdays}",
            all_or(&minutes, 60),
            all_or(&hours, 24),
            plain_field(day, both),
            plain_field(month, false),
        ));
    }
    Some(texts)
}

fn all_or(numbers: &[u32], all: usize) -> String {
    if numbers.len() == all { "*".to_owned() } else { list(numbers) }
}
