//! What a node says when every patch is applied, line by line, each with its place.

use indexmap::IndexMap;

use crate::diag::{SourceMap, Span};
use crate::model::address::Directory;
use crate::model::{EnvName, NodePath};
use crate::syntax::ast::Node;

use super::Line;
use super::declared::Declared;
use super::patch::{self, Patched};

const INDENT: &str = "    ";

/// The definition of the node at `path` as `env` has it.
pub(super) fn definition(
    declared: &Declared,
    sources: &SourceMap,
    path: &NodePath,
    env: Option<&EnvName>,
) -> Option<Vec<Line>> {
    let project = declared.project(&path.project)?;
    let env = env.and_then(|env| declared.environments().get_key_value(env)).map(|(env, _)| env);
    let patched = patch::apply(declared, declared.layers(project, env, &path.name))?;
    let mut printer = Printer { sources, lines: Vec::new() };
    printer.patched(&patched);
    Some(printer.lines)
}

/// The definition of a stage, as it is written: nothing patches it.
pub(super) fn stage(declared: &Declared, sources: &SourceMap, name: &str) -> Option<Vec<Line>> {
    let (item, ..) = declared.stages.get(name)?;
    let mut printer = Printer { sources, lines: Vec::new() };
    printer.node(declared.units.node(*item), "");
    Some(printer.lines)
}

struct Printer<'a> {
    sources: &'a SourceMap,
    lines: Vec<Line>,
}

impl Printer<'_> {
    fn patched(&mut self, patched: &Patched<'_>) {
        if patched.words.is_empty() {
            return self.entries(patched.head, "", "");
        }
        self.entries(patched.head, "", " {");
        let mut merged: Vec<&str> = Vec::new();
        for word in &patched.words {
            let name = word.node.name.value.as_str();
            if !patch::MERGED.contains(&name) {
                self.node(word.node, INDENT);
            } else if !merged.contains(&name) {
                // The blocks of several layers are one block: the last row of a name counts.
                merged.push(name);
                let blocks = patched.words.iter().filter(|other| other.node.name.value == name);
                let mut rows: IndexMap<String, &Node> = IndexMap::new();
                for row in blocks.flat_map(|block| block.node.children()) {
                    let key =
                        if name == "requires" { patch::row_name(row) } else { row.name.value.to_string() };
                    rows.insert(key, row);
                }
                self.entries(word.node, INDENT, " {");
                for row in rows.values() {
                    self.node(row, &INDENT.repeat(2));
                }
                self.close(INDENT);
            }
        }
        self.close("");
    }

    fn node(&mut self, node: &Node, indent: &str) {
        let Some(children) = node.children.as_deref().filter(|children| !children.is_empty()) else {
            return self.entries(node, indent, "");
        };
        self.entries(node, indent, " {");
        for child in children {
            self.node(child, &format!("{indent}{INDENT}"));
        }
        self.close(indent);
    }

    fn close(&mut self, indent: &str) {
        self.lines.push(Line { text: format!("{indent}}}"), place: String::new() });
    }

    /// The node without its block, as it is written: a text of several lines keeps them, moved to its new depth.
    fn entries(&mut self, node: &Node, indent: &str, after: &str) {
        let entries =
            node.args.iter().map(|arg| arg.value.span).chain(node.props.iter().map(|prop| prop.value.span));
        let end = entries.map(Span::end).max().unwrap_or(node.name.span.end());
        let span = Span { len: end - node.span.start, ..node.span };
        let (line, column) = self.sources.line_col(span);
        let name = &self.sources.file(span.file).name;
        let written: Vec<&str> = self.sources.snippet(span).lines().collect();
        for (at, text) in written.iter().enumerate() {
            let text = if at == 0 { text } else { dedent(text, column - 1) };
            let after = if at + 1 == written.len() { after } else { "" };
            let whole = format!("{indent}{text}{after}");
            self.lines
                .push(Line { text: whole.trim_end().to_owned(), place: format!("{name}:{}", line + at) });
        }
    }
}

/// The line without the first `by` blanks, or as many as it has.
fn dedent(line: &str, by: usize) -> &str {
    let blanks = line.chars().take(by).take_while(|c| c.is_whitespace()).map(char::len_utf8).sum();
    &line[blanks..]
}
