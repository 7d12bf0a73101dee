//! For mermaid, which GitHub and GitLab draw inside Markdown.

use std::fmt::Write;

use crate::graph::{EdgeKind, TaskGraph};

use super::word;

/// The graph as a mermaid flowchart.
pub fn mermaid(graph: &TaskGraph) -> String {
    let mut text = String::from("flowchart LR\n");
    for (ix, node) in graph.iter() {
        let label = escaped(&node.label);
        let shape = if node.task.is_group() { format!("([\"{label}\"])") } else { format!("[\"{label}\"]") };
        writeln!(text, "    n{}{shape}", ix.0).expect("a String takes everything");
    }
    for (from, to, edge) in graph.edges() {
        let arrow = match edge.kind {
            EdgeKind::Needs => "-->".to_owned(),
            EdgeKind::After => "-.->".to_owned(),
            EdgeKind::FollowUp(_) => format!("-. {} .->", word(edge.kind)),
        };
        writeln!(text, "    n{} {arrow} n{}", from.0, to.0).expect("a String takes everything");
    }
    let targets: Vec<String> = graph.targets().map(|ix| format!("n{}", ix.0)).collect();
    if !targets.is_empty() {
        let targets = targets.join(",");
        writeln!(text, "    classDef target stroke-width:3px\n    class {targets} target")
            .expect("a String takes everything");
    }
    text
}

/// Inside mermaid's quotes everything is text but entities, which it writes with `#`, and HTML.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' => escaped.push_str("#quot;"),
            '#' | '<' | '>' | '&' | '\\' | '`' => {
                write!(escaped, "#{};", u32::from(c)).expect("a String takes everything");
            }
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}
