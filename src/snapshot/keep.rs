//! Which copies are kept.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Zoned;
use jiff::tz::TimeZone;

use crate::base::Timestamp;
use crate::model::Keep;

/// The numbers of the copies that `keep` keeps, of copies by number and time: the newest ones, and the newest one of each
/// of the youngest days, weeks and months in which there is a copy. The newest of all is always kept.
pub fn kept(copies: &[(u64, Timestamp)], keep: Keep, zone: &TimeZone) -> BTreeSet<u64> {
    // By number, not by time: numbers never go back.
    let mut newest: Vec<(u64, Timestamp)> = copies.to_vec();
    newest.sort_unstable_by_key(|&(number, _)| std::cmp::Reverse(number));
    let mut kept: BTreeSet<u64> =
        newest.iter().take((keep.last as usize).max(1)).map(|&(number, _)| number).collect();
    type Period = fn(&Zoned) -> (i16, i16);
    let rules: [(u32, Period); 3] = [
        (keep.daily, |time| (time.year(), time.day_of_year())),
        (keep.weekly, |time| {
            let week = time.date().iso_week_date();
            (week.year(), i16::from(week.week()))
        }),
        (keep.monthly, |time| (time.year(), i16::from(time.month()))),
    ];
    for (count, period) in rules {
        // The newest number of each period, youngest period last.
        let mut periods: BTreeMap<(i16, i16), u64> = BTreeMap::new();
        for &(number, time) in &newest {
            periods.entry(period(&local(time, zone))).or_insert(number);
        }
        kept.extend(periods.values().rev().take(count as usize));
    }
    kept
}

fn local(time: Timestamp, zone: &TimeZone) -> Zoned {
    let millis = i64::try_from(time.0).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX).to_zoned(zone.clone())
}
