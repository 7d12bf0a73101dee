//! The version that a project has: found in the file that says it, and raised there, byte for byte the same otherwise.

use std::ops::Range;
use std::path::Path;

use regex::Regex;
use semver::{BuildMetadata, Prerelease, Version};

use super::Problem;
use crate::base::fs;

/// Which number is raised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Something that worked works no more: `1.4.2` → `2.0.0`.
    Major,
    /// Something new: `1.4.2` → `1.5.0`.
    Minor,
    /// Something mended: `1.4.2` → `1.4.3`.
    Patch,
}

/// The version that a file says: the whole of a plain file, or what stands where `Cargo.toml`, `pyproject.toml`,
/// `package.json` and their like have it.
pub fn show(path: &Path) -> Result<Version, Problem> {
    let text = fs::read_text(path)?;
    found(path, &text).map(|(_, version)| version)
}

/// Raises the version in a file, and gives the new one.
pub fn bump(path: &Path, level: Level) -> Result<Version, Problem> {
    let mut text = fs::read_text(path)?;
    let (at, version) = found(path, &text)?;
    let next = next(&version, level).ok_or_else(|| {
        Problem::usage(format!("there is no version above {version}: its number is at its limit"), None)
    })?;
    text.replace_range(at, &next.to_string());
    fs::write_atomic(path, text.as_bytes())?;
    Ok(next)
}

/// The next version. What is only on the way to a version (`2.0.0-rc.1`) becomes that version first.
fn next(version: &Version, level: Level) -> Option<Version> {
    let Version { major, minor, patch, .. } = *version;
    let on_the_way = !version.pre.is_empty();
    let (major, minor, patch) = match level {
        Level::Major if on_the_way && minor == 0 && patch == 0 => (major, 0, 0),
        Level::Major => (major.checked_add(1)?, 0, 0),
        Level::Minor if on_the_way && patch == 0 => (major, minor, 0),
        Level::Minor => (major, minor.checked_add(1)?, 0),
        Level::Patch if on_the_way => (major, minor, patch),
        Level::Patch => (major, minor, patch.checked_add(1)?),
    };
    Some(Version { major, minor, patch, pre: Prerelease::EMPTY, build: BuildMetadata::EMPTY })
}

/// Where the version stands in a text, and what it is.
fn found(path: &Path, text: &str) -> Result<(Range<usize>, Version), Problem> {
    let extension = path.extension().and_then(|extension| extension.to_str());
    let pattern = match extension {
        Some("toml") => {
            r#"(?ms)^\[(?:package|workspace\.package|project|tool\.poetry)\][^\[]*?^version\s*=\s*["']([^"'\n]*)["']"#
        }
        Some("json") => r#""version"\s*:\s*"([^"\n]*)""#,
        _ => r"\A\s*v?(\S*)\s*\z",
    };
    let pattern = Regex::new(pattern).expect("it is a good pattern");
    let at = pattern.captures(text).and_then(|found| Some(found.get(1)?.range()));
    let shown = path.display();
    let Some(at) = at.filter(|at| !at.is_empty()) else {
        return Err(Problem::usage(
            format!("{shown} says no version"),
            Some(match extension {
                Some("toml") => "`version = \"0.1.0\"` in `[package]` or `[project]`".into(),
                Some("json") => "`\"version\": \"0.1.0\"`".into(),
                _ => "its whole text is the version: `0.1.0`".into(),
            }),
        ));
    };
    let said = &text[at.clone()];
    let version = Version::parse(said).map_err(|error| {
        Problem::usage(
            format!("`{said}` in {shown} is no version: {error}"),
            Some("a version has three numbers: `0.1.0`".into()),
        )
    })?;
    Ok((at, version))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bumped(from: &str, level: Level) -> String {
        next(&Version::parse(from).unwrap(), level).unwrap().to_string()
    }

    #[test]
    fn numbers_are_raised_and_those_behind_begin_anew() {
        assert_eq!(bumped("0.1.9", Level::Patch), "0.1.10");
        assert_eq!(bumped("0.1.9", Level::Minor), "0.2.0");
        assert_eq!(bumped("0.1.9", Level::Major), "1.0.0");
        assert_eq!(bumped("1.2.3+build.5", Level::Patch), "1.2.4");
        assert_eq!(bumped("1.2.3-rc.1", Level::Patch), "1.2.3");
        assert_eq!(bumped("1.2.3-rc.1", Level::Minor), "1.3.0");
        assert_eq!(bumped("2.0.0-rc.1", Level::Major), "2.0.0");
        assert_eq!(next(&Version::new(u64::MAX, 0, 0), Level::Major), None);
    }

    #[test]
    fn a_version_is_found_where_each_kind_of_file_has_it() {
        let at = |name: &str, text: &str| {
            let (at, version) = found(Path::new(name), text).map_err(|problem| problem.to_string())?;
            assert_eq!(text[at], version.to_string());
            Ok::<_, String>(version.to_string())
        };
        assert_eq!(at("VERSION", "0.1.9\n").unwrap(), "0.1.9");
        assert_eq!(at("VERSION", "v1.0.0").unwrap(), "1.0.0");
        let cargo = "[dependencies]\nsemver = { version = \"1.0.0\" }\n[package]\nname = \"x\"\nversion = \"0.3.0\"\n";
        assert_eq!(at("Cargo.toml", cargo).unwrap(), "0.3.0");
        assert_eq!(at("pyproject.toml", "[project]\nversion='2.1.0'\n").unwrap(), "2.1.0");
        assert_eq!(at("package.json", "{\n  \"version\" : \"1.2.3\"\n}").unwrap(), "1.2.3");
        assert_eq!(
            at("VERSION", "0.1\n").unwrap_err(),
            "`0.1` in VERSION is no version: unexpected end of input while parsing minor version number"
        );
        assert_eq!(at("VERSION", "\n").unwrap_err(), "VERSION says no version");
        assert_eq!(
            at("Cargo.toml", "[dependencies]\nversion = \"1.0.0\"\n").unwrap_err(),
            "Cargo.toml says no version"
        );
    }
}
