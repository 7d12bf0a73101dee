//! Conditions.

use globset::GlobBuilder;

use crate::base::Window;
use crate::base::unit::parse_duration;
use crate::diag::{Diagnostic, Span, Spanned};
use crate::model::{Condition, ConditionKind};
use crate::syntax::ast::{Node, Value};
use crate::syntax::words::Block;

use super::super::patch::Word;
use super::super::path::{is_outside, join};
use super::{Lower, command, text_prop, texts};

impl Lower<'_> {
    /// The conditions of a `when`, `guard` or `match`, whose table is `block`.
    pub(super) fn conditions(
        &self,
        project: usize,
        word: &Word<'_>,
        block: &'static Block,
        into: &mut Vec<Condition>,
    ) {
        for node in word.node.children() {
            if block.find(&node.name.value).is_none() {
                continue;
            }
            if let Some(kind) = self.condition(project, word.unit, node) {
                into.push(Condition { kind, span: node.span, hint: text_prop(node, "hint") });
            }
        }
    }

    fn condition(&self, project: usize, unit: usize, node: &Node) -> Option<ConditionKind> {
        let all = || texts(node).map(|text| text.value).collect::<Vec<_>>();
        Some(match node.name.value.as_str() {
            "branch" => ConditionKind::Branch(self.patterns(node)),
            "tag" => ConditionKind::Tag(self.patterns(node)),
            "host" => ConditionKind::Host(self.patterns(node)),
            "clean" => ConditionKind::Clean,
            "pushed" => ConditionKind::Pushed,
            "ci" => {
                ConditionKind::Ci(node.args.first().is_none_or(|arg| arg.value.value != Value::Bool(false)))
            }
            "window" => {
                self.windows(node);
                ConditionKind::Window { spans: all(), tz: text_prop(node, "tz") }
            }
            "exec" => ConditionKind::Exec { command: command(node)?, name: text_prop(node, "name") },
            "set" => ConditionKind::Set(all()),
            "unset" => ConditionKind::Unset(all()),
            "os" => ConditionKind::Os(all()),
            "file" => {
                for path in texts(node) {
                    self.mentioned(project, &path, None);
                }
                ConditionKind::File(all())
            }
            "approval" => ConditionKind::Approval {
                signers: self.signers(unit, node)?,
                count: match node.prop("count").map(|prop| &prop.value.value) {
                    Some(Value::Int(count)) => u32::try_from(*count).ok()?,
                    _ => 1,
                },
            },
            "confirm" => ConditionKind::Confirm(texts(node).next()?.value),
            "deployed" => {
                let duration =
                    |key: &str| node.prop(key).and_then(|prop| parse_duration(prop.value.value.as_str()?));
                let env = self.environment_name(node)?.value;
                ConditionKind::Deployed { env, within: duration("within"), hold: duration("for") }
            }
            _ => return None,
        })
    }

    /// The file of allowed signers, relative to the root. git is asked for it, and knows nothing outside.
    fn signers(&self, unit: usize, node: &Node) -> Option<String> {
        let prop = node.prop("signers")?;
        let path = join(&self.declared.units.units[unit].folder, prop.value.value.as_str()?);
        if is_outside(&path) || path.is_empty() || path.contains('$') {
            self.say(
                Diagnostic::error("load/signers", "the file of allowed signers is not one of the project")
                    .at(prop.value.span, "")
                    .help("who may approve is read from the committed revision: put the file into the repository, and name it without variables"),
            );
            return None;
        }
        Some(path)
    }

    /// Globs over names, such as branches.
    fn patterns(&self, node: &Node) -> Vec<String> {
        let mut patterns = Vec::new();
        for text in texts(node) {
            self.glob(&text.value, text.span);
            patterns.push(text.value);
        }
        patterns
    }

    fn glob(&self, text: &str, span: Span) {
        if let Err(error) = GlobBuilder::new(text).literal_separator(true).build() {
            let message = format!("`{text}` is not a glob: {}", error.kind());
            self.say(Diagnostic::error("load/glob", message).at(span, ""));
        }
    }

    fn windows(&self, node: &Node) {
        for text in texts(node) {
            if let Err(error) = Window::parse(&text.value) {
                self.say(Diagnostic::error("load/window", error.to_string()).at(text.span, ""));
            }
        }
        let Some(prop) = node.prop("tz") else { return };
        if let Some(name) = prop.value.value.as_str() {
            self.time_zone("load/window", Spanned::new(name, prop.value.span));
        }
    }
}
