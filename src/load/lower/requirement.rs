//! The rows of `requires`.

use indexmap::IndexMap;

use crate::base::unit::parse_size;
use crate::diag::{Diagnostic, Spanned};
use crate::model::{Amount, Requirement, RequirementKind, Var, VarName};
use crate::syntax::ast::{Node, Value};

use super::super::patch::{Word, row_name};
use super::{Lower, command, text_prop, texts};

impl Lower<'_> {
    /// The rows of one `requires` block. `own` are the node's own variables, where it is a node's.
    pub(super) fn requirements(
        &self,
        project: usize,
        word: &Word<'_>,
        own: Option<&IndexMap<VarName, Var>>,
        into: &mut Vec<Requirement>,
    ) {
        for node in word.node.children() {
            for text in self.required_texts(node) {
                self.mentioned(project, &text, own);
            }
            let row = |kind, key| Requirement {
                kind,
                key,
                name: text_prop(node, "name"),
                hint: text_prop(node, "hint"),
                span: node.span,
            };
            let one = |kind: RequirementKind| row(kind, row_name(node));
            match node.name.value.as_str() {
                // Each file and each variable is asked for by itself.
                "file" => into.extend(texts(node).map(|text| {
                    row(RequirementKind::File(text.value.clone()), format!("file {}", text.value))
                })),
                "set" => into.extend(texts(node).map(|text| {
                    row(RequirementKind::Set(text.value.clone()), format!("set {}", text.value))
                })),
                _ => into.extend(self.requirement(node).map(one)),
            }
        }
    }

    fn requirement(&self, node: &Node) -> Option<RequirementKind> {
        let first = || texts(node).next();
        Some(match node.name.value.as_str() {
            "tool" => RequirementKind::Tool { program: first()?.value, version: text_prop(node, "version") },
            "cpu" => RequirementKind::Cpu(self.amount(node)),
            "memory" => RequirementKind::Memory(self.amount(node)),
            "disk" => RequirementKind::Disk(self.amount(node)),
            "gpu" => RequirementKind::Gpu(self.amount(node)),
            "reach" => RequirementKind::Reach(first()?.value),
            "exec" => RequirementKind::Exec(command(node)?),
            "os" => RequirementKind::Os(texts(node).map(|text| text.value).collect()),
            _ => return None,
        })
    }

    /// The texts in which envrun itself replaces what they mention; a shell's text is the shell's.
    fn required_texts(&self, node: &Node) -> Vec<Spanned<String>> {
        match node.name.value.as_str() {
            "tool" | "reach" | "file" => texts(node).collect(),
            _ => Vec::new(),
        }
    }

    fn amount(&self, node: &Node) -> Amount {
        let number = |key: &str| match &node.prop(key)?.value.value {
            Value::Int(number) => u64::try_from(*number).ok(),
            Value::String(text) => parse_size(text),
            _ => None,
        };
        let amount = Amount { min: number("min"), want: number("want") };
        if let (Some(min), Some(want), Some(min_prop), Some(want_prop)) =
            (amount.min, amount.want, node.prop("min"), node.prop("want"))
            && want < min
        {
            self.say(
                Diagnostic::error("load/amount", "less is recommended than is required")
                    .at(want_prop.value.span, "")
                    .at(min_prop.value.span, "required")
                    .help("`want` is what is better than `min`: make it more, or take it away"),
            );
        }
        amount
    }
}
