//! For graphviz: `envrun graph build --format dot | dot -Tsvg`.

use std::fmt::Write;

use crate::graph::{EdgeKind, Occasion, TaskGraph};

use super::word;

/// The graph in graphviz's language.
pub fn dot(graph: &TaskGraph) -> String {
    let mut text = String::from(
        "digraph envrun {\n    rankdir=LR;\n    node [shape=box, style=rounded, fontname=\"monospace\"];\n",
    );
    for (ix, node) in graph.iter() {
        let mut styles = vec!["rounded"];
        styles.extend(node.target.then_some("bold"));
        styles.extend((node.task.is_group() || node.follow_up).then_some("dashed"));
        let tip = node.task.desc.as_deref().unwrap_or(&node.label);
        let (label, tip, style) = (quoted(&node.label), quoted(tip), styles.join(","));
        writeln!(text, "    n{} [label={label}, tooltip={tip}, style=\"{style}\"];", ix.0)
            .expect("a String takes everything");
    }
    for (from, to, edge) in graph.edges() {
        let style = match edge.kind {
            EdgeKind::Needs => String::new(),
            EdgeKind::After => " [style=dashed]".into(),
            EdgeKind::FollowUp(occasion) => {
                let colour = if occasion == Occasion::Failure { "firebrick" } else { "forestgreen" };
                format!(" [style=dotted, color={colour}, label=\"{}\"]", word(edge.kind))
            }
        };
        writeln!(text, "    n{} -> n{}{style};", from.0, to.0).expect("a String takes everything");
    }
    text.push_str("}\n");
    text
}

/// A double-quoted string: graphviz ends it at `"`, and reads `\n`, `\l`, `\N` and the like as more than text.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            c if c.is_control() => quoted.push(' '),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
