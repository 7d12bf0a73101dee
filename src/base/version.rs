//! Versions as programs print them, and the ranges that people write for them: `>=3.12`, `>=1.2 <2`, `^1`, `~1.2`.

use std::fmt;

use semver::{BuildMetadata, Prerelease};

/// A version: what is behind the third number says nothing about whether it fits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(semver::Version);

impl Version {
    /// A version of three numbers.
    pub fn new(major: u64, minor: u64, patch: u64) -> Self {
        Self(semver::Version { major, minor, patch, pre: Prerelease::EMPTY, build: BuildMetadata::EMPTY })
    }

    /// The first version in what a program printed: the first numbers with dots between them, else the first number that
    /// stands alone. `git version 2.39.2`, `v20.11.0`, `Docker version 24.0.7, build afdd53b`, `less 590 (GNU …)`.
    pub fn find(text: &str) -> Option<Self> {
        let mut alone = None;
        let mut rest = text;
        while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
            let before = rest[..at].chars().next_back();
            let end =
                rest[at..].find(|c: char| !c.is_ascii_digit() && c != '.').map_or(rest.len(), |end| at + end);
            let numbers = rest[at..end].trim_end_matches('.');
            let after = rest[end..].chars().next();
            if numbers.contains('.') {
                if let Some(version) = Self::of(numbers) {
                    return Some(version);
                }
            } else if alone.is_none()
                && before.is_none_or(|c| c.is_whitespace() || c == 'v')
                && after.is_none_or(|c| c.is_whitespace() || c == ',')
            {
                alone = Self::of(numbers);
            }
            rest = &rest[end..];
        }
        alone
    }

    /// Numbers with dots between them, of which the first three count.
    fn of(numbers: &str) -> Option<Self> {
        let mut parts = numbers.split('.').map(|part| part.parse().ok());
        let first = parts.next()??;
        // Two dots side by side are no version.
        let mut next = || parts.next().map_or(Some(0), |part| part);
        Some(Self::new(first, next()?, next()?))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which versions fit: comparisons that must all hold, with spaces or commas between them.
///
/// `1.2` alone means what it means to cargo: `^1.2`, nothing that breaks with it. `=1.2` is any `1.2.x`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionRange(semver::VersionReq);

impl VersionRange {
    /// Reads a range.
    pub fn parse(text: &str) -> Option<Self> {
        // `==1.2` is how Python writes it.
        let text = text.trim().replace("==", "=");
        let mut comparators = Vec::new();
        for part in text.split(',') {
            let mut operator = String::new();
            let words = part.split_whitespace();
            let before = comparators.len();
            for word in words {
                // `>= 3.12` is one comparison: the space belongs to it.
                operator.push_str(word);
                if word.ends_with(|c: char| "<>=^~".contains(c)) {
                    continue;
                }
                comparators.push(semver::Comparator::parse(&operator).ok()?);
                operator.clear();
            }
            if !operator.is_empty() || comparators.len() == before {
                return None;
            }
        }
        Some(Self(semver::VersionReq { comparators }))
    }

    /// Whether a version fits.
    pub fn matches(&self, version: &Version) -> bool {
        self.0.matches(&version.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(text: &str) -> String {
        Version::find(text).map_or("none".into(), |version| version.to_string())
    }

    #[test]
    fn the_first_version_of_what_a_program_prints() {
        for (printed, version) in [
            ("git version 2.39.2\n", "2.39.2"),
            ("v20.11.0", "20.11.0"),
            ("Docker version 24.0.7, build afdd53b", "24.0.7"),
            ("aws-cli/2.15.30 Python/3.11.8 Linux/6.1", "2.15.30"),
            ("Python 3.13.0rc1", "3.13.0"),
            ("gcc (Debian 12.2.0-14) 12.2.0", "12.2.0"),
            ("sha256sum (GNU coreutils) 9.1", "9.1.0"),
            ("jq-1.6", "1.6.0"),
            ("go version go1.22.1 linux/amd64", "1.22.1"),
            ("openjdk version \"1.8.0_292\"", "1.8.0"),
            ("UnZip 6.00 of 20 April 2009", "6.0.0"),
            ("less 590 (GNU regular expressions)", "590.0.0"),
            ("clang 1.2.3.4.5", "1.2.3"),
            ("the end. 7 of 8.", "7.0.0"),
            ("x86_64-linux", "none"),
            ("unknown", "none"),
            ("99999999999999999999999.1", "none"),
            ("1..2", "none"),
            ("", "none"),
        ] {
            assert_eq!(found(printed), version, "{printed:?}");
        }
    }

    #[test]
    fn ranges() {
        let fits = |range: &str, version: &str| {
            VersionRange::parse(range).unwrap().matches(&Version::find(version).unwrap())
        };
        for (range, good, bad) in [
            (">=3.12", &["3.12.0", "3.12.7", "4.0.0"][..], &["3.11.9", "2.99.0"][..]),
            (">=1.2 <2", &["1.2.0", "1.99.3"], &["1.1.9", "2.0.0"]),
            (">=1.2,<2", &["1.2.0"], &["2.0.0"]),
            (">= 1.2, < 2", &["1.2.0"], &["2.0.0"]),
            ("^1", &["1.0.0", "1.9.9"], &["2.0.0", "0.9.0"]),
            ("~1.2", &["1.2.9"], &["1.3.0", "1.1.0"]),
            ("1.2", &["1.2.0", "1.9.0"], &["2.0.0"]),
            ("=1.2", &["1.2.0", "1.2.9"], &["1.3.0"]),
            ("==1.2.3", &["1.2.3"], &["1.2.4"]),
            (">1.2", &["1.3.0"], &["1.2.9"]),
            ("<=1.2", &["1.2.9"], &["1.3.0"]),
        ] {
            good.iter().for_each(|version| assert!(fits(range, version), "{version} fits {range}"));
            bad.iter().for_each(|version| assert!(!fits(range, version), "{version} does not fit {range}"));
        }
        for bad in ["", " ", ">=", "x", ">=1.2.3.4", "1.2 <", ">=1,,<2", "=>1", "3.12rc1", "1 || 2"] {
            assert_eq!(VersionRange::parse(bad), None, "{bad}");
        }
    }

    fn order(operator: &str, have: (u64, u64, u64), want: &[u64]) -> bool {
        let have = [have.0, have.1, have.2];
        let given = &have[..want.len()];
        match operator {
            ">=" => given >= want,
            ">" => given > want,
            "<" => given < want,
            "<=" => given <= want,
            "=" => given == want,
            "~" => given >= want && have[0] == want[0] && want.get(1).is_none_or(|minor| have[1] == *minor),
            // The first number that is not zero stays; of nothing but zeros all that are written do.
            _ => {
                let fixed = want.iter().position(|number| *number > 0).map_or(want.len(), |at| at + 1);
                given >= want && have[..fixed] == want[..fixed]
            }
        }
    }

    proptest! {
        /// A range means what it means to a reader who compares number by number.
        #[test]
        fn a_range_is_its_comparisons(
            have in (0..4_u64, 0..4_u64, 0..4_u64),
            wants in proptest::collection::vec(
                (prop::sample::select(vec![">=", ">", "<", "<=", "=", "~", "^"]), proptest::collection::vec(0..4_u64, 1..=3)),
                1..4,
            ),
            comma in any::<bool>(),
        ) {
            let text: Vec<String> = wants
                .iter()
                .map(|(operator, numbers)| {
                    let numbers: Vec<String> = numbers.iter().map(u64::to_string).collect();
                    format!("{operator}{}", numbers.join("."))
                })
                .collect();
            let text = text.join(if comma { ", " } else { " " });
            let expected = wants.iter().all(|(operator, want)| order(operator, have, want));
            let range = VersionRange::parse(&text).unwrap();
            prop_assert_eq!(range.matches(&Version::new(have.0, have.1, have.2)), expected, "{}", text);
        }

        /// What a version prints is found again, whatever stands around it.
        #[test]
        fn a_printed_version_is_found(
            numbers in (0..1000_u64, 0..1000_u64, 0..1000_u64),
            before in "[a-z (]{0,12}",
            after in "[-+ ),a-z]{0,12}",
        ) {
            let version = Version::new(numbers.0, numbers.1, numbers.2);
            prop_assert_eq!(Version::find(&format!("{before}{version}{after}")), Some(version));
        }

        /// Any text is survived.
        #[test]
        fn any_text_is_survived(text in "\\PC{0,40}") {
            let _ = Version::find(&text);
            let _ = VersionRange::parse(&text);
        }
    }
}
