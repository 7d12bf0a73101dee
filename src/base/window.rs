//! Times of the week: `mon-thu 08:00-16:00`.

use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;

use super::Timestamp;

/// Some days of the week, and a time of day on each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// By weekday, Monday first.
    days: [bool; 7],
    /// The first moment inside.
    from: Time,
    /// The first moment outside again; before `from` if the window goes past midnight.
    to: Time,
}

/// Why a text is no window.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a window: {reason}; write `mon-thu 08:00-16:00`, `sat,sun 00:00-24:00` or `22:00-06:00`"
)]
pub struct WindowError {
    text: String,
    reason: String,
}

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

impl Window {
    /// Reads `[days ]HH:MM-HH:MM`, where days are names, ranges and lists of them.
    pub fn parse(text: &str) -> Result<Self, WindowError> {
        let wrong = |reason: String| WindowError { text: text.to_owned(), reason };
        let words: Vec<&str> = text.split_whitespace().collect();
        let (days, times) = match words[..] {
            [times] => ("mon-sun", times),
            [days, times] => (days, times),
            _ => return Err(wrong("it wants days and a time of day".into())),
        };
        let day = |name: &str| {
            let short = name.to_lowercase();
            DAYS.iter()
                .position(|day| short == *day || (short.len() > 3 && short.starts_with(day)))
                .ok_or_else(|| wrong(format!("`{name}` is not a day")))
        };
        let mut on = [false; 7];
        for part in days.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (day(first)?, day(last)?);
            let mut at = first;
            on[at] = true;
            while at != last {
                at = (at + 1) % 7;
                on[at] = true;
            }
        }
        let (from, to) = times.split_once('-').ok_or_else(|| wrong("it wants a time of day".into()))?;
        let time = |text: &str| {
            let (hour, minute) = text.split_once(':')?;
            match (hour.parse().ok()?, minute.parse().ok()?) {
                (24, 0) => Some(Time::MAX),
                (hour, minute) => Time::new(hour, minute, 0, 0).ok(),
            }
        };
        let read = |text: &str| time(text).ok_or_else(|| wrong(format!("`{text}` is not a time of day")));
        Ok(Self { days: on, from: read(from)?, to: read(to)? })
    }

    /// Whether `now` lies inside, in the zone `tz`. The day of a window past midnight is the day it begins on.
    pub fn contains(&self, now: Timestamp, tz: &TimeZone) -> bool {
        let Ok(moment) = jiff::Timestamp::from_millisecond(i64::try_from(now.0).unwrap_or(i64::MAX)) else {
            return false;
        };
        let here = moment.to_zoned(tz.clone());
        let (day, time) = (here.weekday(), here.time());
        let on = |day: Weekday| self.days[usize::from(day.to_monday_zero_offset().unsigned_abs())];
        if self.from <= self.to {
            on(day) && self.from <= time && (time < self.to || self.to == Time::MAX)
        } else {
            (on(day) && self.from <= time) || (on(day.previous()) && time < self.to)
        }
    }
}
