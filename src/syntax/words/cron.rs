//! Whether a text is a cron expression, and one whose time ever comes.

/// A field: what it is called, its least and greatest number, the names of its numbers.
struct Field(&'static str, u32, u32, &'static [&'static str]);

const SECOND: Field = Field("second", 0, 59, &[]);
const FIELDS: [Field; 5] = [
    Field("minute", 0, 59, &[]),
    Field("hour", 0, 23, &[]),
    Field("day of the month", 1, 31, &[]),
    Field(
        "month",
        1,
        12,
        &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
    ),
    // Sunday is 0 and 7.
    Field("day of the week", 0, 7, &["sun", "mon", "tue", "wed", "thu", "fri", "sat"]),
];

/// The longest that each month can be.
const MONTH_DAYS: [u32; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/// Says what is wrong with `text`, if anything is.
pub fn check(text: &str) -> Result<(), String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let fields = match words.len() {
        5 => &words[..],
        6 => {
            numbers(&SECOND, words[0])?;
            &words[1..]
        }
        count => {
            return Err(format!(
                "it has {count} fields; five are wanted (minute, hour, day, month, day of the week), or six with the \
                 second first"
            ));
        }
    };
    let mut sets = Vec::new();
    for (field, word) in FIELDS.iter().zip(fields) {
        sets.push(numbers(field, word)?);
    }
    let (days, months) = (&sets[2], &sets[3]);
    let comes = months.iter().any(|&month| days.iter().any(|&day| day <= MONTH_DAYS[month as usize - 1]));
    // With a day of the week as well, either is enough.
    if comes || fields[4] != "*" { Ok(()) } else { Err("no month it names has such a day".to_owned()) }
}

/// The numbers that a field stands for.
fn numbers(field: &Field, word: &str) -> Result<Vec<u32>, String> {
    let Field(name, least, most, names) = *field;
    let wrong = |part: &str| {
        format!("`{part}` is not a {name}: write `*`, numbers from {least} to {most}, `a-b`, `*/n` or a list")
    };
    let number = |text: &str| {
        let named = names.iter().position(|name| text.eq_ignore_ascii_case(name));
        // Names begin with the least number of their field, except that Sunday is 0.
        let number =
            named.map_or_else(|| text.parse().ok(), |at| u32::try_from(at).ok().map(|at| at + least));
        number.filter(|number| (least..=most).contains(number)).ok_or_else(|| wrong(text))
    };
    let mut all = Vec::new();
    for part in word.split(',') {
        let (range, step) = part.split_once('/').map_or((part, None), |(range, step)| (range, Some(step)));
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (least, most),
            Some((from, to)) => (number(from)?, number(to)?),
            None if step.is_some() => (number(range)?, most),
            None => (number(range)?, number(range)?),
        };
        let step: usize = match step {
            Some(step) => step.parse().ok().filter(|step| *step > 0).ok_or_else(|| wrong(part))?,
            None => 1,
        };
        if from > to {
            return Err(wrong(part));
        }
        all.extend((from..=to).step_by(step));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn good_and_bad() {
        for good in
            ["* * * * *", "0 2 * * 0", "*/5 0-6,22 1,15 jan-mar mon", "30 15 2 29 feb *", "0 0 31 2 fri"]
        {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "* * * *",
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "* * * 13 *",
            "* * * * 8",
            "*/0 * * * *",
            "5-1 * * * *",
            "a * * * *",
            "0 0 30 2 *",
            "0 0 31 4,6 *",
            "1,,2 * * * *",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
