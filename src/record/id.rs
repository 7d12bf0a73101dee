//! How runs and log files are called.

use std::fmt;
use std::hash::{BuildHasher, RandomState};

use jiff::tz::TimeZone;

use crate::base::Timestamp;

/// The name of a run, sorted by time: `20261120-213301-4f2a`, date and time (UTC, because a local clock goes back once a
/// year), then the millisecond in three hexadecimal digits and one more drawn at random.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(String);

impl RunId {
    /// A new name for a run that begins `now`. Two of the same millisecond may be equal.
    pub fn draw(now: Timestamp) -> Self {
        let random = RandomState::new().hash_one(now.0) & 0xf;
        let millis = i64::try_from(now.0).unwrap_or(i64::MAX);
        let moment = jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX);
        let day = moment.to_zoned(TimeZone::UTC).strftime("%Y%m%d-%H%M%S");
        Self(format!("{day}-{:03x}{random:x}", now.0 % 1000))
    }

    /// Takes the name of a folder, if it has the form of a run's.
    pub fn parse(name: &str) -> Option<Self> {
        let parts: Vec<&str> = name.split('-').collect();
        let [day, time, rest] = parts[..] else { return None };
        let digits = |text: &str, len| text.len() == len && text.bytes().all(|byte| byte.is_ascii_digit());
        let hex = rest.len() == 4 && rest.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        (digits(day, 8) && digits(time, 6) && hex).then(|| Self(name.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// When the run began.
    pub fn time(&self) -> Option<Timestamp> {
        let moment = jiff::civil::DateTime::strptime("%Y%m%d-%H%M%S", &self.0[..15]).ok()?;
        let seconds = TimeZone::UTC.to_timestamp(moment).ok()?.as_second();
        let millis = u64::from_str_radix(&self.0[16..19], 16).ok()?;
        Some(Timestamp(u64::try_from(seconds).ok()? * 1000 + millis))
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The file that a node's output is written to: its label where that is a safe name on every file system, with `~` for
/// the project's colon; anything else is spelled in hexadecimal, so that two labels never share a file.
pub fn log_name(label: &str) -> String {
    let mut name = String::with_capacity(label.len() + 4);
    for byte in label.bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.' | b'@' | b'=' | b',' => {
                name.push(char::from(byte))
            }
            b':' => name.push('~'),
            _ => name.push_str(&format!("%{byte:02x}")),
        }
    }
    if name.is_empty() || name.starts_with(['.', '-']) {
        name.insert(0, '%');
    }
    // Longer than file systems allow: the beginning for people, the digest to tell two apart.
    if name.len() > 200 {
        name.truncate(160);
        name = format!("{name}%{}", &crate::base::Digest::of(label.as_bytes()).to_hex()[..32]);
    }
    name + ".log"
}
