use std::path::Path;

use expect_test::{Expect, expect};

use super::render::{Style, render};
use super::*;

fn sources() -> (SourceMap, FileId, FileId) {
    let mut sources = SourceMap::default();
    let mut add = |name: &str, text: &str| sources.add(name, Path::new(name), text);
    let root = add("Envfile.kdl", "task \"ä\" {\n    desc \"x\"\n\tverfy \"a\"\n}\n");
    let other = add("tasks/a,b.kdl", "// first\ntask \"build\" {\n}\n");
    (sources, root, other)
}

fn span(file: FileId, start: u32, len: u32) -> Span {
    Span { file, start, len }
}

fn examples() -> (Vec<Diagnostic>, SourceMap) {
    let (sources, root, other) = sources();
    let diagnostics = vec![
        Diagnostic::error("syntax/unknown-word", "unknown `verfy` in task")
            .at(span(root, 26, 5), "")
            .help("did you mean `verify`?"),
        Diagnostic::warning("load/duplicate", "the node `build` is 100% twice\nhere")
            .at(span(root, 5, 4), "declared again")
            .at(span(other, 14, 7), "declared here first")
            .at(span(root, 16, 4), "not this"),
        Diagnostic::error("load/nothing", "no file").help("write one\nor two"),
        Diagnostic::error("syntax/unclosed-block", "this block is never closed")
            .at(span(root, 10, 1), "opened here")
            .at(span(root, 38, 0), "the file ends here"),
    ];
    (diagnostics, sources)
}

fn shown(style: Style, expected: Expect) {
    let (diagnostics, sources) = examples();
    let text = render(&diagnostics, &sources, style);
    // The bar keeps the indentation that a drawing begins with.
    let bar = if matches!(style, Style::Fancy { .. }) { "|" } else { "" };
    let text: String = text.lines().map(|line| format!("{bar}{}\n", line.trim_end())).collect();
    expected.assert_eq(&text);
}

#[test]
fn short() {
    shown(
        Style::Short,
        expect![[r#"
        Envfile.kdl:3:2: error: unknown `verfy` in task [syntax/unknown-word]
          help: did you mean `verify`?
        Envfile.kdl:1:6: warning: the node `build` is 100% twice
        here [load/duplicate]
        tasks/a,b.kdl:2:6: note: declared here first
        Envfile.kdl:2:5: note: not this
        error: no file [load/nothing]
          help: write one
          help: or two
        Envfile.kdl:1:10: error: this block is never closed [syntax/unclosed-block]
        Envfile.kdl:5:1: note: the file ends here
    "#]],
    );
}

#[test]
fn json() {
    shown(
        Style::Json,
        expect![[r#"
            {"code":"syntax/unknown-word","help":"did you mean `verify`?","labels":[{"column":2,"end_column":7,"end_line":3,"file":"Envfile.kdl","length":5,"line":3,"offset":26,"text":""}],"message":"unknown `verfy` in task","severity":"error"}
            {"code":"load/duplicate","labels":[{"column":6,"end_column":9,"end_line":1,"file":"Envfile.kdl","length":4,"line":1,"offset":5,"text":"declared again"},{"column":6,"end_column":13,"end_line":2,"file":"tasks/a,b.kdl","length":7,"line":2,"offset":14,"text":"declared here first"},{"column":5,"end_column":9,"end_line":2,"file":"Envfile.kdl","length":4,"line":2,"offset":16,"text":"not this"}],"message":"the node `build` is 100% twice\nhere","severity":"warning"}
            {"code":"load/nothing","help":"write one\nor two","labels":[],"message":"no file","severity":"error"}
            {"code":"syntax/unclosed-block","labels":[{"column":10,"end_column":11,"end_line":1,"file":"Envfile.kdl","length":1,"line":1,"offset":10,"text":"opened here"},{"column":1,"end_column":1,"end_line":5,"file":"Envfile.kdl","length":0,"line":5,"offset":38,"text":"the file ends here"}],"message":"this block is never closed","severity":"error"}
        "#]],
    );
}

#[test]
fn github() {
    shown(
        Style::Github,
        expect![[r#"
        ::error file=Envfile.kdl,line=3,endLine=3,col=2,endColumn=7,title=syntax/unknown-word::unknown `verfy` in task%0Ahelp: did you mean `verify`?
        ::warning file=Envfile.kdl,line=1,endLine=1,col=6,endColumn=9,title=load/duplicate::the node `build` is 100%25 twice%0Ahere%0Atasks/a,b.kdl:2:6: declared here first%0AEnvfile.kdl:2:5: not this
        ::error title=load/nothing::no file%0Ahelp: write one%0Aor two
        ::error file=Envfile.kdl,line=1,endLine=1,col=10,endColumn=11,title=syntax/unclosed-block::this block is never closed%0AEnvfile.kdl:5:1: the file ends here
    "#]],
    );
}

#[test]
fn fancy() {
    shown(
        Style::Fancy { color: false, width: 70 },
        expect![[r#"
            |  × error[syntax/unknown-word]: unknown `verfy` in task
            |   ╭─[Envfile.kdl:3:2]
            | 2 │     desc "x"
            | 3 │     verfy "a"
            |   ·     ─────
            | 4 │ }
            |   ╰────
            |  help: did you mean `verify`?
            |
            |  ⚠ warning[load/duplicate]: the node `build` is 100% twice
            |  │ here
            |   ╭─[Envfile.kdl:1:6]
            | 1 │ task "ä" {
            |   ·      ─┬─
            |   ·       ╰── declared again
            | 2 │     desc "x"
            |   ·     ──┬─
            |   ·       ╰── not this
            | 3 │     verfy "a"
            |   ╰────
            |  ☞ declared here first
            |   ╭─[tasks/a,b.kdl:2:6]
            | 1 │ // first
            | 2 │ task "build" {
            |   ·      ───┬───
            |   ·         ╰── declared here first
            | 3 │ }
            |   ╰────
            |
            |  × error[load/nothing]: no file
            |  help: write one
            |        or two
            |
            |  × error[syntax/unclosed-block]: this block is never closed
            |   ╭─[Envfile.kdl:1:10]
            | 1 │ task "ä" {
            |   ·          ┬
            |   ·          ╰── opened here
            | 2 │     desc "x"
            |   ╰────
            |   ╭─[Envfile.kdl:5:1]
            | 4 │ }
            |   ╰────
            |
        "#]],
    );
}

#[test]
fn colour_is_the_only_difference_it_makes() {
    let (diagnostics, sources) = examples();
    let plain = render(&diagnostics, &sources, Style::Fancy { color: false, width: 80 });
    let coloured = render(&diagnostics, &sources, Style::Fancy { color: true, width: 80 });
    assert!(coloured.contains("\u{1b}["));
    let mut parts = coloured.split("\u{1b}[");
    let mut stripped = parts.next().unwrap().to_owned();
    for part in parts {
        stripped.push_str(part.split_once('m').unwrap().1);
    }
    assert_eq!(stripped, plain);
}

#[test]
fn a_place_outside_of_the_text_is_shown_somehow() {
    let (_, sources) = examples();
    let diagnostic = Diagnostic::error("a/b", "far away").at(span(FileId(0), 1000, 5), "here");
    for style in [Style::Fancy { color: false, width: 80 }, Style::Short, Style::Json, Style::Github] {
        assert!(render(std::slice::from_ref(&diagnostic), &sources, style).contains("far away"));
    }
}

#[test]
fn the_nearest_name_is_one_that_may_have_been_meant() {
    let known = ["build", "test", "a", "verify"];
    for (word, meant) in [
        ("biuld", Some("build")),
        ("BUILD", Some("build")),
        ("tests", Some("test")),
        ("verfy", Some("verify")),
        ("ab", Some("a")),
        ("c", None),
        ("deploy", None),
        ("", None),
    ] {
        assert_eq!(nearest(word, known), meant, "{word}");
    }
}
