//! Documents made up at random, in every form that KDL has.

use proptest::prelude::*;

/// Space between the entries of a node.
fn gap() -> impl Strategy<Value = String> {
    let forms = [(" ", 8), ("\t ", 1), (" /* c { \" */ ", 1), (" \\\n  ", 1), (" \\ // c\n ", 1)];
    one_of(&forms)
}

/// One of these texts, the second number saying how often.
fn one_of(forms: &[(&'static str, u32)]) -> impl Strategy<Value = String> + use<> {
    let forms = forms.iter().map(|&(text, weight)| (weight, Just(text.to_owned()))).collect();
    proptest::strategy::Union::new_weighted(forms)
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => "[a-z_][a-zA-Z0-9_-]{0,8}",
        1 => "[!*<>|~%&,.:@^`-][a-z<>]{0,4}",
        1 => "[a-zé日ö]{1,3}",
        2 => quoted(),
        1 => raw(),
    ]
    .prop_filter("a keyword", |name| {
        !matches!(name.as_str(), "true" | "false" | "null" | "inf" | "nan" | "-inf")
    })
}

fn quoted() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        2 => "[a-z ]{1,5}",
        1 => "[{}();=#/é$]{1,3}",
        4 => one_of(&[("\\n", 1), ("\\\"", 1), ("\\\\", 1), ("\\s", 1), ("\\u{e9}", 1), ("\\ \n\t", 1)]),
    ];
    proptest::collection::vec(part, 0..5).prop_map(|parts| format!("\"{}\"", parts.concat()))
}

fn raw() -> impl Strategy<Value = String> {
    ("[a-z\\\\{}()/ ]{0,6}", 1..3_usize).prop_map(|(text, hashes)| {
        let hashes = "#".repeat(hashes);
        format!("{hashes}\"{text}\"{hashes}")
    })
}

fn lines() -> impl Strategy<Value = String> {
    let line = "[ ]{0,3}[a-z{}\" /]{0,6}|\\\\n|[ ]{0,2}";
    (proptest::collection::vec(line, 0..4), 0..4_usize, any::<bool>()).prop_map(|(lines, indent, is_raw)| {
        let hash = if is_raw { "#" } else { "" };
        let indent = " ".repeat(indent);
        let body: String =
            lines.iter().map(|line| format!("{indent}{}\n", line.replace("\"\"\"", ""))).collect();
        format!("{hash}\"\"\"\n{body}{indent}\"\"\"{hash}")
    })
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => name(),
        2 => quoted(),
        1 => raw(),
        1 => lines(),
        2 => "-?[0-9][0-9_]{0,4}",
        1 => "[+-]?[0-9]{1,3}\\.[0-9]{1,2}([eE][+-]?[0-9]{1,2})?",
        1 => "0x[0-9a-f][0-9a-f_]{0,3}|0o[0-7]{1,3}|0b[01]{1,4}",
        1 => "#(true|false|null|inf|-inf|nan)",
    ]
}

fn typed(inner: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    (proptest::option::weighted(0.1, name()), inner).prop_map(|(ty, inner)| match ty {
        Some(ty) => format!("({ty}){inner}"),
        None => inner,
    })
}

fn entry() -> impl Strategy<Value = String> {
    let plain = prop_oneof![
        3 => typed(value()),
        1 => (name(), typed(value())).prop_map(|(key, value)| format!("{key}={value}")),
        1 => (name(), typed(value())).prop_map(|(key, value)| format!("{key} = {value}")),
    ];
    (proptest::bool::weighted(0.1), plain)
        .prop_map(|(off, entry)| if off { format!("/- {entry}") } else { entry })
}

/// A node without its block and its end.
fn head() -> impl Strategy<Value = String> {
    (proptest::bool::weighted(0.1), typed(name()), proptest::collection::vec((gap(), entry()), 0..4))
        .prop_map(|(off, name, entries)| {
            let entries: String = entries.into_iter().map(|(gap, entry)| gap + &entry).collect();
            format!("{}{name}{entries}", if off { "/-" } else { "" })
        })
}

fn end() -> impl Strategy<Value = String> {
    one_of(&[("\n", 4), (";", 1), (" // end\n", 1), ("\n\n\n  ", 1)])
}

fn block(nodes: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    (proptest::bool::weighted(0.1), proptest::collection::vec(nodes, 0..4)).prop_map(|(off, nodes)| {
        let space = if nodes.len() > 1 { "\n" } else { " " };
        format!("{}{{{space}{}}}", if off { "/-" } else { "" }, nodes.concat())
    })
}

/// A document: nodes on lines of their own or on one line, to a depth of three.
pub fn document() -> impl Strategy<Value = String> {
    let leaf = (head(), end()).prop_map(|(head, end)| head + &end);
    let node = leaf.prop_recursive(3, 24, 4, |inner| {
        (head(), gap(), block(inner), end()).prop_map(|(head, gap, block, end)| head + &gap + &block + &end)
    });
    let between = one_of(&[("", 6), ("// comment\n", 1), ("/* more\n */\n", 1), ("\n", 1)]);
    proptest::collection::vec((between, node), 0..6)
        .prop_map(|nodes| nodes.into_iter().map(|(between, node)| between + &node).collect())
}
