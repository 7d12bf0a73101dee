//! Rings: found in any graph of names, and told whole.

use crate::diag::{Diagnostic, Span};

/// The edges that lead out of a node: where to, and where that is written.
type Edges = Vec<(usize, Span)>;

/// A ring of nodes: each with the place of the edge to the next, the last one's leading back to the first.
pub(super) type Ring = Vec<(usize, Span)>;

/// Every ring that a walk over the graph of `count` nodes meets; none means that there is none. `edges` gives where a
/// node leads, and where that is written.
pub(super) fn rings(count: usize, edges: impl Fn(usize) -> Edges) -> Vec<Ring> {
    #[derive(Clone, Copy, PartialEq)]
    enum Mark {
        New,
        Open,
        Done,
    }
    let mut marks = vec![Mark::New; count];
    let mut found = Vec::new();
    // The walk keeps its own stack: a chain of calls may be longer than the thread's.
    let mut stack: Vec<(usize, Edges, usize)> = Vec::new();
    for start in 0..count {
        if marks[start] != Mark::New {
            continue;
        }
        marks[start] = Mark::Open;
        stack.push((start, edges(start), 0));
        while let Some((node, out, next)) = stack.last_mut() {
            let Some(&(to, _)) = out.get(*next) else {
                marks[*node] = Mark::Done;
                stack.pop();
                continue;
            };
            *next += 1;
            match marks[to] {
                Mark::Done => {}
                Mark::New => {
                    marks[to] = Mark::Open;
                    stack.push((to, edges(to), 0));
                }
                Mark::Open => {
                    let from = stack.iter().position(|(node, ..)| *node == to).unwrap_or(0);
                    found.push(
                        stack[from..].iter().map(|(node, out, next)| (*node, out[next - 1].1)).collect(),
                    );
                }
            }
        }
    }
    found
}

/// A ring as an error: `a → b → a`, with a label on each edge.
pub(super) fn diagnostic(
    code: &'static str,
    what: &str,
    verb: &str,
    names: &[String],
    spans: &[Span],
) -> Diagnostic {
    let whole: Vec<&str> = names.iter().chain(names.first()).map(String::as_str).collect();
    let mut diagnostic = Diagnostic::error(code, format!("{what} in a circle: `{}`", whole.join(" → ")));
    for (pair, span) in whole.windows(2).zip(spans) {
        diagnostic = diagnostic.at(*span, format!("`{}` {verb} `{}`", pair[0], pair[1]));
    }
    diagnostic
}
