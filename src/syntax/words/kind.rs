//! What a value may be, and what to write when it is something else.

use crate::base::VersionRange;
use crate::base::unit::{parse_duration, parse_size};
use crate::diag::nearest;
use crate::syntax::ast::Value;

/// What a value may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any string.
    Text,
    /// A string that is not empty.
    Word,
    /// A node's name: no space, no `:` or `@`, not beginning with `-`.
    NodeName,
    /// A name that stands before a dot or a colon: as a node's, and no `.`.
    Name,
    /// The name of an environment, which is part of paths, addresses and host names: letters, digits, `-` and `_`.
    Environment,
    /// A node: `[env.][project:]name[@key=value]`.
    Reference,
    /// A command: one string for the shell, several for a program and its arguments.
    Command,
    /// A path.
    Path,
    /// A glob over paths.
    Glob,
    /// A glob over names that are no paths: branches, tags, hosts.
    Pattern,
    /// The name of a variable.
    Variable,
    /// A duration: `"30s"`.
    Duration,
    /// A duration, or `"never"`.
    DurationOrNever,
    /// A size: `"8GiB"`.
    Size,
    /// A version requirement: `">=3.12"`.
    Version,
    /// A whole number, not negative.
    Count,
    /// A whole number, at least one.
    Positive,
    /// Any number.
    Number,
    /// A number, a duration or a size: the bound of a variable.
    Bound,
    /// `#true` or `#false`.
    Bool,
    /// One of these strings.
    OneOf(&'static [&'static str]),
    /// Words with `|` between them.
    Choices,
    /// Failures to try again, with `|` between them: `exit:75|timeout`.
    Failures,
    /// A regular expression.
    Regex,
    /// Any string, number or boolean.
    Scalar,
    /// Any string, number or boolean, or `#null`.
    Nullable,
    /// Nothing but `#null`: a value here is refused, and this is why.
    Refused(&'static str),
}

/// Why a value is not of its kind.
#[derive(Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// What is wanted, as it stands after "is not": `a duration`.
    pub wanted: String,
    /// What to write.
    pub help: Option<String>,
}

impl Kind {
    /// What it is, after "is not", and in the reference.
    pub fn describe(self) -> String {
        match self {
            Self::Text | Self::Word => "a string".into(),
            Self::NodeName | Self::Name | Self::Environment => "a name".into(),
            Self::Reference => "a reference to a node".into(),
            Self::Command => "a command".into(),
            Self::Path => "a path".into(),
            Self::Glob | Self::Pattern => "a glob".into(),
            Self::Variable => "a variable's name".into(),
            Self::Duration => "a duration".into(),
            Self::DurationOrNever => "a duration or `\"never\"`".into(),
            Self::Size => "a size".into(),
            Self::Version => "a version requirement".into(),
            Self::Count => "a whole number".into(),
            Self::Positive => "a whole number from 1".into(),
            Self::Number => "a number".into(),
            Self::Bound => "a number, a duration or a size".into(),
            Self::Bool => "`#true` or `#false`".into(),
            Self::OneOf(words) => {
                let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
                format!("one of {}", words.join(", "))
            }
            Self::Choices => "words with `|` between them".into(),
            Self::Failures => "`exit:N` and `timeout` with `|` between them".into(),
            Self::Regex => "a regular expression".into(),
            Self::Scalar => "a value".into(),
            Self::Nullable => "a value or `#null`".into(),
            Self::Refused(_) => "nothing, or `#null`".into(),
        }
    }

    /// Whether a string is wanted.
    fn is_text(self) -> bool {
        !matches!(
            self,
            Self::Count
                | Self::Positive
                | Self::Number
                | Self::Bool
                | Self::Bound
                | Self::Scalar
                | Self::Nullable
                | Self::Refused(_)
        )
    }

    /// Whether `value` is of this kind, and if not what to write.
    pub fn check(self, value: &Value) -> Result<(), Mismatch> {
        match value {
            Value::String(text) => self.check_text(text),
            Value::Null if matches!(self, Self::Nullable | Self::Refused(_)) => Ok(()),
            Value::Null => self.mismatch(None),
            Value::Bool(yes) => match self {
                Self::Bool | Self::Scalar | Self::Nullable => Ok(()),
                _ if self.is_text() => self.mismatch(Some(format!("write `\"{yes}\"` for the text"))),
                _ => self.mismatch(None),
            },
            Value::Int(number) => match self {
                Self::Number | Self::Bound | Self::Scalar | Self::Nullable => Ok(()),
                Self::Count if *number >= 0 => Ok(()),
                Self::Positive if *number >= 1 => Ok(()),
                Self::Bool if matches!(number, 0 | 1) => {
                    self.mismatch(Some(format!("write `#{}`", *number == 1)))
                }
                Self::Duration | Self::DurationOrNever => {
                    self.mismatch(Some(format!("write the number with its unit: `\"{number}s\"`")))
                }
                Self::Size => {
                    self.mismatch(Some(format!("write the number with its unit: `\"{number}MiB\"`")))
                }
                Self::Version => self.mismatch(Some(format!("write `\">={number}\"`"))),
                _ if self.is_text() => self.mismatch(Some(format!("write `\"{number}\"`"))),
                _ => self.mismatch(None),
            },
            Value::Float(number) => match self {
                Self::Number | Self::Bound | Self::Scalar | Self::Nullable => Ok(()),
                Self::Version => self.mismatch(Some(format!("write `\">={number:?}\"`"))),
                _ if self.is_text() => self.mismatch(Some(format!("write `\"{number:?}\"`"))),
                _ => self.mismatch(None),
            },
        }
    }

    fn mismatch(self, help: Option<String>) -> Result<(), Mismatch> {
        let help = help.or_else(|| self.example().map(|example| format!("write for instance `{example}`")));
        Err(Mismatch { wanted: self.describe(), help })
    }

    /// A value of this kind, where that says more than its name.
    fn example(self) -> Option<&'static str> {
        match self {
            Self::Reference => Some("\"build\"` or `\"prod.api:deploy\""),
            Self::Variable => Some("\"DATABASE_URL\""),
            Self::Duration => Some("\"30s\"`, `\"5m\"` or `\"1h30m\""),
            Self::DurationOrNever => Some("\"90d\"` or `\"never\""),
            Self::Size => Some("\"512MiB\"` or `\"8GiB\""),
            Self::Version => Some("\">=3.12\""),
            Self::Bool => Some("#true"),
            Self::Choices => Some("\"debug|info|error\""),
            Self::Failures => Some("\"exit:75|timeout\""),
            _ => None,
        }
    }

    fn check_text(self, text: &str) -> Result<(), Mismatch> {
        let good = match self {
            Self::Text | Self::Regex | Self::Scalar | Self::Nullable => true,
            Self::Word | Self::Command | Self::Path | Self::Glob | Self::Pattern => !text.trim().is_empty(),
            Self::NodeName => is_name(text),
            Self::Name => is_name(text) && !text.contains('.'),
            Self::Environment => {
                is_name(text) && text.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_'))
            }
            Self::Reference => is_reference(text),
            Self::Variable => is_variable(text),
            Self::Duration => parse_duration(text).is_some(),
            Self::DurationOrNever => text == "never" || parse_duration(text).is_some(),
            Self::Size => parse_size(text).is_some(),
            Self::Version => VersionRange::parse(text).is_some(),
            Self::Bound => parse_duration(text).is_some() || parse_size(text).is_some(),
            Self::Choices => text.split('|').all(|word| !word.trim().is_empty()),
            Self::Failures => text.split('|').all(is_failure),
            Self::OneOf(words) => words.contains(&text),
            Self::Count | Self::Positive | Self::Number | Self::Bool | Self::Refused(_) => false,
        };
        if good {
            return Ok(());
        }
        self.mismatch(match self {
            Self::Bool => match text {
                "true" | "yes" | "on" | "1" => Some("write `#true`".into()),
                "false" | "no" | "off" | "0" => Some("write `#false`".into()),
                _ => None,
            },
            Self::Count | Self::Positive | Self::Number => {
                text.trim().parse::<f64>().ok().map(|_| format!("write `{}` without quotes", text.trim()))
            }
            Self::OneOf(words) => {
                nearest(text, words.iter().copied()).map(|word| format!("did you mean `{word}`?"))
            }
            Self::Duration if text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() => {
                Some(format!("write the number with its unit: `\"{text}s\"`"))
            }
            Self::NodeName | Self::Name | Self::Environment => Some(name_help(self, text)),
            Self::Word | Self::Command | Self::Path | Self::Glob | Self::Pattern => {
                Some("write something between the quotes".into())
            }
            _ => None,
        })
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with('-')
        && !text.contains(|c: char| c.is_whitespace() || c.is_control() || matches!(c, ':' | '@' | '$' | ','))
}

fn name_help(kind: Kind, text: &str) -> String {
    if text.is_empty() {
        return "write a name between the quotes".into();
    }
    if kind == Kind::Environment {
        // As other tools write what stands for many.
        let stem = text.trim_end_matches(['*', '-']);
        return if text.ends_with('*') && Kind::Environment.check_text(stem).is_ok() {
            format!("a pattern is called `{stem}`: `envrun env create {stem} 7` makes `{stem}-7`")
        } else {
            "an environment's name has letters, digits, `-` and `_`, and does not begin with `-`".into()
        };
    }
    let dot = if kind == Kind::Name { " `.`" } else { "" };
    format!("a name has no space and none of `:` `@` `$` `,`{dot}, and does not begin with `-`")
}

fn is_reference(text: &str) -> bool {
    let (node, instance) = text.split_once('@').map_or((text, None), |(node, rest)| (node, Some(rest)));
    let (project, name) = node.rsplit_once(':').map_or((None, node), |(project, name)| (Some(project), name));
    is_name(name)
        && project.is_none_or(|project| {
            project.is_empty() || is_env_root(project) || project.split(':').all(is_name)
        })
        && instance.is_none_or(|rest| {
            rest.split(',').all(|pair| {
                pair.split_once('=').is_some_and(|(key, value)| is_name(key) && !value.is_empty())
            })
        })
}

/// `prod.` before the colon: the root project, in an environment.
fn is_env_root(project: &str) -> bool {
    project.strip_suffix('.').is_some_and(is_name)
}

/// Letters, digits and `_`, not beginning with a digit.
pub fn is_variable(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn is_failure(text: &str) -> bool {
    text == "timeout" || text.strip_prefix("exit:").is_some_and(|status| status.parse::<u8>().is_ok())
}
