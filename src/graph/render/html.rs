//! One self-contained page: the picture as SVG, the graph as data, a script to move about in it.
//!
//! Without the script the page still shows the whole picture. Nothing is loaded from anywhere, and the page's own
//! policy forbids it. Texts get into the page in three ways, each of which keeps them texts: escaped in markup, as JSON
//! without a `<` in a data block, and from there by `textContent`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use serde::Serialize;

use crate::diag::Span;
use crate::graph::{ConfiguredTask, EdgeKind, Occasion, TaskGraph};

use super::json::JsonGraph;
use super::layout::{HEIGHT, Layout, Rect, Wire, layout, shown};
use super::word;

/// What the script needs beside the graph.
#[derive(Serialize)]
struct Page<'a> {
    #[serde(flatten)]
    graph: &'a JsonGraph,
    /// Per node: x, y, width, height.
    boxes: Vec<[i64; 4]>,
    /// Nodes that are drawn as one.
    items: Vec<Vec<u32>>,
    /// Per line: from which item to which.
    wires: Vec<[usize; 2]>,
    size: [i64; 2],
}

const MARGIN: f64 = 28.0;

/// The graph as a page. `title` is what it is a picture of; `place` tells where a span is, as `file:line`.
pub fn html(graph: &TaskGraph, title: &str, place: &dyn Fn(Span) -> String) -> String {
    let layout = layout(graph);
    let json = JsonGraph::new(graph, place);
    let boxes = |rect: &Rect| [rect.x, rect.y, rect.width, rect.height].map(|number| number.round() as i64);
    let page = Page {
        graph: &json,
        boxes: layout.nodes.iter().map(boxes).collect(),
        items: layout.items.iter().map(|item| item.members.iter().map(|ix| ix.0).collect()).collect(),
        wires: layout.wires.iter().map(|wire| [wire.from, wire.to]).collect(),
        size: [layout.width.ceil() as i64, layout.height.ceil() as i64],
    };
    let data = serde_json::to_string(&page).expect("strings, numbers and lists are always JSON");
    // Inside a script element only `<` could end it or begin a comment; JSON has it in strings alone.
    let data = data.replace('<', "\\u003c");
    let count = match (graph.len(), graph.edge_count()) {
        (1, _) => "1 node".to_owned(),
        (nodes, 1) => format!("{nodes} nodes, 1 edge"),
        (nodes, edges) => format!("{nodes} nodes, {edges} edges"),
    };
    let title = escaped(title);
    let mut page = String::with_capacity(data.len() * 2 + 64 * 1024);
    let head = [
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n",
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n",
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; ",
        "script-src 'unsafe-inline'\">\n<meta name=\"color-scheme\" content=\"light dark\">\n<title>",
        &title,
        "</title>\n<style>\n",
        include_str!("page.css"),
        "</style>\n</head>\n<body>\n<header><h1>",
        &title,
        "</h1><span class=\"count\">",
        &count,
        "</span>\n",
        include_str!("page.html"),
    ];
    head.into_iter().for_each(|part| page.push_str(part));
    let look = Look::of(graph);
    svg(&mut page, graph, &layout, &look);
    legend(&mut page, graph, &look);
    let tail = [
        "<script type=\"application/json\" id=\"data\">",
        &data,
        "</script>\n<script>\n",
        include_str!("page.js"),
        "</script>\n</body>\n</html>\n",
    ];
    tail.into_iter().for_each(|part| page.push_str(part));
    page
}

fn svg(page: &mut String, graph: &TaskGraph, layout: &Layout, look: &Look) {
    let (width, height) = (layout.width + 2.0 * MARGIN, layout.height + 2.0 * MARGIN);
    write!(
        page,
        "<svg id=\"canvas\" viewBox=\"{:.0} {:.0} {width:.0} {height:.0}\" role=\"img\" aria-label=\"task graph\">\n\
         <g id=\"scene\">\n",
        -MARGIN, -MARGIN
    )
    .expect("a String takes everything");
    for item in layout.items.iter().filter(|item| item.members.len() > 1) {
        let Rect { x, y, width, height } = item.rect;
        writeln!(
            page,
            "<rect class=\"block\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"10\"/>"
        )
        .expect("a String takes everything");
    }
    for (at, wire) in layout.wires.iter().enumerate() {
        write!(page, "<g class=\"w {}\" id=\"w{at}\">", word(wire.kind)).expect("a String takes everything");
        line(page, wire);
        page.push_str("</g>\n");
    }
    for (ix, node) in graph.iter() {
        draw(page, ix.0, node, &layout.nodes[ix.index()], look);
    }
    page.push_str("</g>\n</svg>\n");
}

/// A smooth line through the points, level at each, with a tip.
fn line(page: &mut String, wire: &Wire) {
    const TIP: f64 = 7.0;
    let last = wire.points.len() - 1;
    let (end_x, end_y) = wire.points[last];
    let (mut from_x, mut from_y) = wire.points[0];
    write!(page, "<path d=\"M{from_x:.1} {from_y:.1}").expect("a String takes everything");
    for (at, &(x, y)) in wire.points.iter().enumerate().skip(1) {
        let x = if at == last { x - TIP + 1.0 } else { x };
        let done = if (from_y - y).abs() < 0.5 {
            // What comes next may be level too.
            if at < last && (wire.points[at + 1].1 - y).abs() < 0.5 {
                Ok(())
            } else {
                write!(page, "L{x:.1} {y:.1}")
            }
        } else {
            let middle = f64::midpoint(from_x, x);
            write!(page, "C{middle:.1} {from_y:.1} {middle:.1} {y:.1} {x:.1} {y:.1}")
        };
        done.expect("a String takes everything");
        (from_x, from_y) = (x, y);
    }
    let (back, half) = (end_x - TIP, TIP * 0.5);
    write!(
        page,
        "\"/><path class=\"tip\" d=\"M{end_x:.1} {end_y:.1}L{back:.1} {:.1}L{back:.1} {:.1}Z\"/>",
        end_y - half,
        end_y + half
    )
    .expect("a String takes everything");
}

fn draw(page: &mut String, id: u32, node: &ConfiguredTask, rect: &Rect, look: &Look) {
    let mut classes = String::from("n");
    let is_group = node.kind() == "task" && node.task.is_group();
    for (holds, class) in [
        (node.target && look.targets, " target"),
        (is_group, " group"),
        (node.kind() != "task", " other"),
        (node.follow_up, " follow"),
    ] {
        classes.push_str(if holds { class } else { "" });
    }
    let Rect { x, y, width, .. } = *rect;
    let round = if is_group { HEIGHT / 2.0 } else { 6.0 };
    let hue = node.env.as_ref().and_then(|env| look.hues.get(env.as_str()));
    let hue = hue.map_or(String::new(), |hue| format!(" style=\"--hue:{hue}\" data-env"));
    write!(
        page,
        "<g class=\"{classes}\" id=\"n{id}\" tabindex=\"0\" transform=\"translate({x:.1} {y:.1})\"{hue}>\
         <rect width=\"{width:.1}\" height=\"{HEIGHT}\" rx=\"{round}\"/>"
    )
    .expect("a String takes everything");
    let label = shown(&node.label);
    // The environment stands back, so that the name stands out.
    let split = node.env.as_ref().map_or(0, |env| env.as_str().len() + 1);
    let (env, name) = label.split_at_checked(split).unwrap_or(("", &label));
    write!(page, "<text x=\"{:.1}\" y=\"{:.1}\">", width / 2.0, HEIGHT / 2.0 + 4.2)
        .expect("a String takes everything");
    if !env.is_empty() {
        write!(page, "<tspan class=\"env\">{}</tspan>", escaped(env)).expect("a String takes everything");
    }
    write!(page, "{}</text>", escaped(name)).expect("a String takes everything");
    if node.task.mutates {
        write!(page, "<circle class=\"mark\" cx=\"{:.1}\" cy=\"7.5\" r=\"2.7\"/>", width - 7.5)
            .expect("a String takes everything");
    }
    let tip = node.task.desc.as_ref().map_or(node.label.clone(), |desc| format!("{}\n{desc}", node.label));
    writeln!(page, "<title>{}</title></g>", escaped(&tip)).expect("a String takes everything");
}

/// What the lines and boxes mean, as far as they occur.
fn legend(page: &mut String, graph: &TaskGraph, look: &Look) {
    page.push_str("<div id=\"legend\">");
    let kinds: BTreeSet<_> = graph.edges().map(|(_, _, edge)| edge.kind).collect();
    for kind in kinds {
        let word = word(kind);
        let says = match kind {
            EdgeKind::Needs => "is needed by",
            EdgeKind::After => "comes before",
            EdgeKind::FollowUp(Occasion::Failure) => "calls when it fails",
            EdgeKind::FollowUp(Occasion::Success) => "calls when it succeeds",
        };
        write!(
            page,
            "<span><svg width=\"30\" height=\"10\"><g class=\"w {word}\"><path d=\"M1 5L23 5\"/>\
             <path class=\"tip\" d=\"M29 5L22 1.5L22 8.5Z\"/></g></svg>{says}</span>"
        )
        .expect("a String takes everything");
    }
    let has = |test: &dyn Fn(&ConfiguredTask) -> bool| graph.iter().any(|(_, node)| test(node));
    for (holds, class, says) in [
        (look.targets && has(&|node| node.target), "target", "asked for"),
        (has(&|node| node.kind() == "task" && node.task.is_group()), "group", "group"),
        (has(&|node| node.kind() != "task"), "other", "not built yet"),
        (has(&|node| node.follow_up), "follow", "only when called"),
        (has(&|node| node.task.mutates), "mutates", "mutates"),
    ] {
        if holds {
            write!(page, "<span><i class=\"{class}\"></i>{says}</span>").expect("a String takes everything");
        }
    }
    for (env, hue) in &look.hues {
        write!(page, "<span><i class=\"env\" style=\"--hue:{hue}\"></i>{}</span>", escaped(env))
            .expect("a String takes everything");
    }
    page.push_str("</div>\n");
}

/// What tells nodes apart at first sight.
struct Look {
    /// Targets stand out: not where everything is one.
    targets: bool,
    /// A colour for each environment, as far apart as may be.
    hues: BTreeMap<String, u32>,
}

impl Look {
    fn of(graph: &TaskGraph) -> Self {
        // The red of failures comes last.
        const HUES: [u32; 8] = [215, 162, 275, 38, 325, 190, 85, 5];
        let envs: BTreeSet<String> =
            graph.iter().filter_map(|(_, node)| node.env.as_ref().map(ToString::to_string)).collect();
        Self {
            targets: graph.iter().any(|(_, node)| !node.target),
            hues: envs.into_iter().enumerate().map(|(at, env)| (env, HUES[at % HUES.len()])).collect(),
        }
    }
}

/// Text for markup, between tags and inside double quotes. Control characters, which markup may not hold, become the
/// sign for what cannot be shown.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' | '\t' => escaped.push(c),
            c if c.is_control() => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}
