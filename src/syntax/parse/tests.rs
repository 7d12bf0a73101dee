use std::path::Path;

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::judges::{club, official, without};
use super::*;
use crate::diag::SourceMap;
use crate::diag::render::{Style, render};
use crate::syntax::specimen::document;

const FILE: FileId = FileId(0);

/// Reads `text` and holds the tree against the strict judge's, and the places against the official one's.
fn judged(text: &str) -> (Document, bool) {
    let ours = parse(FILE, text).unwrap_or_else(|errors| panic!("{text:?}: {errors:?}"));
    let club = club(text).unwrap_or_else(|| panic!("club-kdl refuses {text:?}"));
    assert_eq!(without(&ours, true), without(&club, true), "{text:?}");
    // It refuses some good documents, such as `a { /-b; }`.
    let official = official(text);
    if let Some(official) = &official {
        assert_eq!(without(&ours, false), without(official, false), "{text:?}");
    }
    (ours, official.is_some())
}

#[test]
fn reads_what_the_judges_read() {
    for text in [
        "",
        "\u{feff}a",
        "a; b;c",
        "a \"b\" c=1 d=(t)\"e\" { f; }",
        "(t)a ( t ) 1 \\\n  2 // end\n",
        "/- a { b }\nc /- 1 2 /- k=v /- { d } { e } /- {}",
        "a key = \"v\" key\\\n = 2",
        "/* /* a */ */ b /* c\n */ d",
        "\"quoted name\" \"a\\tb\\u{1F600}\\\n   c\" \"\"",
        "n #\"raw \"quotes\" \\n\"# ##\"a\"#b\"## #true #false #null #inf #-inf #nan",
        "n \"\"\"\n    a\n      b \\\n  c\n\n    \"d\" \\\"\"\"\n    \"\"\" #\"\"\"\n\ta \\n\n\t\"\"\"#",
        "n \"\"\"\r\n  a\r\n  b\r\n  \"\"\"\r\nm",
        "n 0 -0 +1 1_000_ 0xfF_f 0o7_7 -0b1_0 1.5 1e3 -1.5E-1_0 1_0.0_1e+5",
        "n - -- + -a .a +.a . r rr",
        "ключ значение=\"ø\"\u{a0}é\u{3000}x\u{2028}y",
    ] {
        assert!(judged(text).1, "kdl refuses {text:?}");
    }
}

#[test]
fn every_place_is_exact() {
    let text = "(t)task \"a b\" k=#\"v\"# /-9 0x1F {\n    c \"\"\"\n      x\n      \"\"\" /* d */\n}  // e\nf /- { g }";
    let (document, _) = judged(text);
    let at = |span: Span| &text[span.start as usize..span.end() as usize];
    let task = &document.nodes[0];
    assert_eq!(at(task.ty.as_ref().unwrap().span), "t");
    assert_eq!(at(task.name.span), "task");
    assert_eq!(at(task.args[0].value.span), "\"a b\"");
    assert_eq!(at(task.props[0].key.span), "k");
    assert_eq!(at(task.props[0].value.span), "#\"v\"#");
    assert_eq!(at(task.args[1].value.span), "0x1F");
    assert_eq!(at(task.span), &text[..text.find("  // e").unwrap()]);
    let c = &task.children()[0];
    assert_eq!(at(c.span), "c \"\"\"\n      x\n      \"\"\"");
    assert_eq!(at(document.nodes[1].span), "f");
}

#[test]
fn an_empty_block_is_not_no_block() {
    let (document, _) = judged("a {}\nb\nc /- {}\nd { /- e; }");
    let blocks: Vec<_> = document.nodes.iter().map(|node| node.children.is_some()).collect();
    assert_eq!(blocks, [true, false, false, true]);
}

#[test]
fn duplicate_properties_are_kept() {
    assert_eq!(parse(FILE, "a k=1 k=2").unwrap().nodes[0].props.len(), 2);
}

/// What is wrong with `text`, on one line each.
fn expect_errors(text: &str, expected: Expect) {
    let mut sources = SourceMap::default();
    let file = sources.add("f", Path::new("f"), text);
    let errors = parse(file, text).expect_err("there is something wrong with it");
    expected.assert_eq(&render(&errors, &sources, Style::Short));
}

#[test]
fn keywords_and_numbers() {
    expect_errors(
        "task \"a\" {\n    cache=true\n    hidden true\n    timeout 30s\n    retry 3 every=2s x=null\n    cache #True\n    a #yes #maybe\n    n .5 1. 0x 10% 999999999999999999999999999999999999999999\n    true\n}",
        expect![[r#"
            f:2:5: error: the values of `cache` follow it without `=` [syntax/assignment]
              help: write `cache #true`
            f:3:12: error: `true` is a keyword, and keywords begin with `#` [syntax/bare-keyword]
              help: write `#true`, or `"true"` for the text
            f:4:13: error: `30s` begins like a number and is none, so it needs quotes [syntax/number]
              help: write `"30s"`
            f:5:19: error: `2s` begins like a number and is none, so it needs quotes [syntax/number]
              help: write `"2s"`
            f:5:24: error: `null` is a keyword, and keywords begin with `#` [syntax/bare-keyword]
              help: write `#null`, or `"null"` for the text
            f:6:11: error: `#True` is not a keyword [syntax/unknown-keyword]
              help: write `#true`
            f:7:7: error: `#yes` is not a keyword [syntax/unknown-keyword]
              help: write `#true`
            f:7:12: error: `#maybe` is not a keyword [syntax/unknown-keyword]
              help: the keywords are `#true`, `#false` and `#null`
            f:8:7: error: `.5` has no digit on one side of its point [syntax/number]
              help: write `0.5`
            f:8:10: error: `1.` has no digit on one side of its point [syntax/number]
              help: write `1.0`
            f:8:13: error: `0x` begins like a number and is none, so it needs quotes [syntax/number]
              help: write `"0x"`
            f:8:16: error: `10%` begins like a number and is none, so it needs quotes [syntax/number]
              help: write `"10%"`
            f:8:20: error: `9999999999999999999999999999999999999999…` is too large for a number [syntax/number]
              help: write `"999999999999999999999999999999999999999999"` for the text
            f:9:5: error: `true` is a keyword, and keywords begin with `#` [syntax/bare-keyword]
              help: write `#true`, or `"true"` for the text
        "#]],
    );
}

#[test]
fn strings() {
    expect_errors(
        r##"
a "costs \$5" "\d+ \'x\' C:\Users" "\u{110000} \u12"
b r"raw" r#"more "raw""#
c 'single quotes' 'half
d "not closed
e #"not closed either"
f """one line"""
g "a"b"c" "d""e"
h """
    indented
  less
    x"""
i """
  never closed
"##,
        expect![[r##"
            f:2:10: error: `\$` is not an escape [syntax/escape]
              help: write `$`, which needs no backslash; for the backslash itself `\\$` or a raw string `#"…"#`
            f:2:16: error: `\d` is not an escape [syntax/escape]
              help: write `\\d` for the backslash itself, or a raw string `#"…"#`
            f:2:20: error: `\'` is not an escape [syntax/escape]
              help: write `'`, which needs no backslash; for the backslash itself `\\'` or a raw string `#"…"#`
            f:2:23: error: `\'` is not an escape [syntax/escape]
              help: write `'`, which needs no backslash; for the backslash itself `\\'` or a raw string `#"…"#`
            f:2:28: error: `\U` is not an escape [syntax/escape]
              help: write `\\U` for the backslash itself, or a raw string `#"…"#`
            f:2:37: error: `\u` needs the number of a character between braces [syntax/escape]
              help: write 1 to 6 hexadecimal digits: `\u{1F600}`; `\\u` for the backslash itself
            f:2:48: error: `\u` needs the number of a character between braces [syntax/escape]
              help: write 1 to 6 hexadecimal digits: `\u{1F600}`; `\\u` for the backslash itself
            f:3:3: error: `r"…"` is the raw string of KDL 1 [syntax/old-raw-string]
              help: write `"raw"`
            f:3:10: error: `r"…"` is the raw string of KDL 1 [syntax/old-raw-string]
              help: write `#"more "raw""#`
            f:4:3: error: a string stands in double quotes, not in single ones [syntax/single-quotes]
              help: write `"single quotes"`
            f:4:19: error: a string stands in double quotes, not in single ones [syntax/single-quotes]
              help: write `"half"`
            f:5:3: error: this string is not closed on its line [syntax/unclosed-string]
              help: close it with the same quotes, or put a text of several lines between two lines of `"""`
            f:6:3: error: this string is not closed on its line [syntax/unclosed-string]
              help: close it with the same quotes, or put a text of several lines between two lines of `"""`
            f:7:3: error: the text of a `"""` string begins on the next line [syntax/text-after-quotes]
              help: put the text on lines of their own, or take one quote on each side
            f:8:6: error: a space is missing here [syntax/missing-space]
            f:8:7: error: a space is missing here [syntax/missing-space]
            f:8:14: error: a space is missing here [syntax/missing-space]
            f:11:1: error: a line of this string is indented less than its closing quotes [syntax/indentation]
            f:12:8: note: its closing quotes: what stands before them is taken from every line
              help: begin every line with exactly the space that the closing quotes have
            f:12:5: error: the closing `"""` must stand on a line of its own [syntax/closing-quotes]
            f:13:3: error: this string of several lines is never closed [syntax/unclosed-string]
              help: close it with `"""` on a line of its own
        "##]],
    );
}

#[test]
fn unquoted_texts() {
    expect_errors(
        "run ./build.sh -x\ninclude ../tasks/a.kdl\nurl https://example.org/x?y=1\ndir ${ROOT}/sub\ndir $(pwd)\ninputs src/**/*.rs [a-z].c\npath C:\\x\nneeds [\"a\", 'b', c]\nneeds [\n  \"a\"\n]\nneeds \"a\", \"b\"\n/usr/bin/env x\na b=c=d",
        expect![[r##"
            f:1:5: error: `./build.sh` needs quotes [syntax/needs-quotes]
              help: write `"./build.sh"`
            f:2:9: error: `../tasks/a.kdl` needs quotes [syntax/needs-quotes]
              help: write `"../tasks/a.kdl"`
            f:3:5: error: `https://example.org/x?y=1` needs quotes [syntax/needs-quotes]
              help: write `"https://example.org/x?y=1"`
            f:4:5: error: `${ROOT}/sub` needs quotes [syntax/needs-quotes]
              help: write `"${ROOT}/sub"`
            f:5:5: error: `$(pwd)` needs quotes [syntax/needs-quotes]
              help: write `"$(pwd)"`
            f:6:8: error: `src/**/*.rs` needs quotes [syntax/needs-quotes]
              help: write `"src/**/*.rs"`
            f:6:20: error: `[a-z].c` needs quotes [syntax/needs-quotes]
              help: write `"[a-z].c"`
            f:7:6: error: `C:\x` needs quotes [syntax/needs-quotes]
              help: write `#"C:\x"#`
            f:8:7: error: a list has no brackets and no commas here [syntax/brackets]
              help: write `"a" "b" "c"`
            f:9:7: error: a list has no brackets and no commas here [syntax/brackets]
              help: write `"a"`
            f:12:10: error: values stand one after the other, without a comma [syntax/comma]
              help: write a space instead of the comma
            f:13:1: error: `/usr/bin/env` needs quotes [syntax/needs-quotes]
              help: write `"/usr/bin/env"`
            f:14:6: error: `=` has nothing to belong to here [syntax/stray]
              help: a property is `key=value`; a word's values follow it without `=`
            f:14:7: error: a space is missing here [syntax/missing-space]
        "##]],
    );
}

#[test]
fn nodes() {
    expect_errors(
        "NAME = \"x\"\nport=8080\ntask \"a\"\n{\n    run \"x\"\n}\n} else { b }\nc { d } e 1 { f }\ng 1 {} {}\n\"x\" \"y\"\n5 \"z\"\n;\nh key= \ni (port 5\nj (a b)5 ()k\n(l)\n= 5\n# a comment\n#another\nm # x\n/-\n",
        expect![[r#"
            f:1:1: error: the values of `NAME` follow it without `=` [syntax/assignment]
              help: write `NAME "x"`
            f:2:1: error: the values of `port` follow it without `=` [syntax/assignment]
              help: write `port 8080`
            f:4:1: error: this block belongs to no word [syntax/block-alone]
              help: write `{` on the line of the word it belongs to
            f:7:1: error: `}` has nothing to belong to here [syntax/stray]
              help: take it away, or look above for a `}` too many
            f:8:9: error: what follows a block stands on a line of its own [syntax/after-block]
              help: properties and arguments stand before the `{`
            f:9:8: error: a word has one block [syntax/second-block]
            f:11:1: error: a line begins with a word, and `5` is a value [syntax/value-as-word]
              help: values follow their word on the same line; end a line with `\` to go on with it on the next
            f:12:1: error: `;` has nothing to belong to here [syntax/stray]
              help: take it away: `;` only ends a node, as a new line does
            f:13:3: error: `key=` has no value [syntax/property]
              help: write the value on the same line; `""` for none
            f:14:3: error: this annotation is not closed [syntax/annotation]
              help: write `(port)NAME`; text with parentheses needs quotes
            f:15:3: error: an annotation is one word in parentheses [syntax/annotation]
              help: write `(port)NAME`; text with parentheses needs quotes
            f:15:10: error: an annotation is one word in parentheses [syntax/annotation]
              help: write `(port)NAME`; text with parentheses needs quotes
            f:16:4: error: an annotation stands before what it says the type of [syntax/annotation]
            f:17:1: error: `=` has nothing to belong to here [syntax/stray]
              help: a property is `key=value`; a word's values follow it without `=`
            f:18:1: error: a comment begins with `//`, not with `#` [syntax/hash-comment]
              help: write `//` instead of `#`
            f:19:1: error: a comment begins with `//`, not with `#` [syntax/hash-comment]
              help: write `//` instead of `#`
            f:20:3: error: a comment begins with `//`, not with `#` [syntax/hash-comment]
              help: write `//` instead of `#`
            f:21:1: error: `/-` switches off what follows it, and nothing does [syntax/slashdash]
        "#]],
    );
}

#[test]
fn a_file_that_is_no_envfile_does_not_flood_the_terminal() {
    let errors = parse(FILE, &"}\n".repeat(100_000)).unwrap_err();
    assert_eq!(errors.len(), MAX_ERRORS + 1);
    assert_eq!(errors.last().unwrap().message, "and 99900 more errors in this file");
    assert_eq!(parse(FILE, &"}\n".repeat(MAX_ERRORS)).unwrap_err().len(), MAX_ERRORS);
}

/// Where it is plain what was meant, the reading goes on with that, so that everything else is found as well.
#[test]
fn what_was_meant_is_read() {
    let broken = r#"
task "a" {
    timeout 30s
    cache=true
    hidden #yes # never
    needs ["b", 'c,d', e,f], "g"
    inputs ./src/**/*.c
    run r"raw" "x"y
    retry .5 "\$"
} task "b" {}
"#;
    let meant = r##"
task "a" {
    timeout "30s"
    cache #true
    hidden #true
    needs "b" "c,d" "e" "f" "g"
    inputs "./src/**/*.c"
    run #"raw"# "x" "y"
    retry 0.5 "$"
}
task "b" {}
"##;
    let read = recover(FILE, broken);
    assert!(read.is_whole, "{:?}", read.errors);
    assert_eq!(without(&read.document, true), without(&parse(FILE, meant).unwrap(), true));
    for not_whole in
        ["a {", "}", "a key=", "a [b {", "a \"b", "5", "{}", "a {} {}", "/usr/bin x", "a #maybe", "/*"]
    {
        assert!(!recover(FILE, not_whole).is_whole, "{not_whole}");
    }
}

#[test]
fn a_script_that_is_not_closed_where_it_was_meant_to_be_is_one_error() {
    // Of several lines between quotes for one.
    expect_errors(
        "task \"a\" {\n    run #\"echo \"x\"\n  if { y }; then a = b; c 'd'; https://e\n\"#\n}\ntask \"b\" { run #\"echo \"q\"\"# }\n",
        expect![[r##"
            f:2:9: error: this string is not closed on its line [syntax/unclosed-string]
              help: a text of several lines begins behind a line break and ends on a line of its own: `#"""`, the text, `"""#`
        "##]],
    );
    // What closes another one closes only that.
    expect_errors(
        "task \"a\" {\n    run #\"echo\n}\ntask \"b\" { run #\"echo \"q\"\"# }\n",
        expect![[r#"
            f:2:9: error: this string is not closed on its line [syntax/unclosed-string]
              help: close it with the same quotes, or put a text of several lines between two lines of `"""`
        "#]],
    );
    // Quotes without their `#`, up to the end of the next one.
    expect_errors(
        "task \"a\" {\n    run #\"\"\"\n        x\n        \"\"\"\n}\ntask \"b\" {\n    run #\"\"\"\n        x\n        \"\"\"#\n}\n",
        expect![[r##"
            f:4:9: error: these quotes do not close the string [syntax/unclosed-string]
            f:2:9: note: opened here
              help: write `"""#`
        "##]],
    );
    // Nothing else is said of blocks whose end is inside of it.
    expect_errors(
        "task \"a\" {\n    run #\"\"\"\n        x\n        \"\"\"\n}\ntask \"b\" { run \"x\" }\n",
        expect![[r##"
            f:2:9: error: this string of several lines is never closed [syntax/unclosed-string]
              help: close it with `"""#` on a line of its own
        "##]],
    );
}

#[test]
fn unclosed() {
    expect_errors(
        "env \"a\" {\n    task \"b\" {\n        run \"c\"\n}\nenv \"d\" {\n}\n",
        expect![[r#"
        f:2:14: error: this block is never closed [syntax/unclosed-block]
        f:6:1: note: the file ends here
          help: add the missing `}`
    "#]],
    );
    expect_errors(
        "a {\n    b\nc {\n    d\n}\n",
        expect![[r#"
        f:1:3: error: this block is never closed [syntax/unclosed-block]
        f:5:1: note: the file ends here
          help: add the missing `}`
    "#]],
    );
    expect_errors(
        "a\n/* never\nb",
        expect![[r#"
        f:2:1: error: this comment is never closed [syntax/unclosed-comment]
          help: close it with `*/`
    "#]],
    );
    expect_errors(
        "a b\\ c\n\\ d",
        expect![[r#"
        f:1:4: error: a backslash outside of a string goes on to the next line [syntax/backslash]
          help: put it last on its line, or put quotes around the text
        f:2:1: error: a backslash outside of a string goes on to the next line [syntax/backslash]
          help: put it last on its line, or put quotes around the text
    "#]],
    );
}

#[test]
fn characters_that_cannot_be_seen() {
    expect_errors(
        "a \"x\u{202e}y\" \u{200e}\n// \u{0}\n",
        expect![[r#"
        f:1:5: error: the character U+202E must not stand in a file [syntax/forbidden-character]
          help: take it away; inside of a string write `\u{202e}`
        f:1:9: error: the character U+200E must not stand in a file [syntax/forbidden-character]
          help: take it away; inside of a string write `\u{200e}`
        f:2:4: error: the character U+0000 must not stand in a file [syntax/forbidden-character]
          help: take it away; inside of a string write `\u{0}`
    "#]],
    );
}

#[test]
fn deep_nesting_is_refused_and_does_not_overflow_the_stack() {
    let nested = |depth: usize| format!("{}{}", "a {".repeat(depth), "}".repeat(depth));
    assert!(parse(FILE, &nested(MAX_DEPTH)).is_ok());
    let errors = parse(FILE, &nested(MAX_DEPTH + 1)).unwrap_err();
    assert_eq!(errors.iter().map(|error| error.code).collect::<Vec<_>>(), ["syntax/too-deep"]);
    for monster in [
        nested(200_000),
        "a {".repeat(200_000),
        "}".repeat(200_000),
        "/*".repeat(200_000),
        "[".repeat(2_000),
        "/-".repeat(200_000),
        "(".repeat(200_000),
        "a /-{".repeat(1_000),
        "\"\"\"".repeat(20_000),
    ] {
        assert!(parse(FILE, &monster).is_err());
    }
}

/// Whether `text` holds something that we refuse and KDL does not.
fn is_stricter_here(errors: &[Diagnostic]) -> bool {
    let ours = ["syntax/single-quotes", "syntax/needs-quotes", "syntax/too-deep"];
    errors.iter().any(|error| ours.contains(&error.code))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn good_documents_are_read_as_the_judges_read_them(text in document()) {
        judged(&text);
    }

    /// Something put in and something taken out anywhere: the verdict is still that of the strict judge, every error
    /// lies in the text, and no two errors say the same.
    #[test]
    fn broken_documents_get_the_same_verdict(
        text in document(),
        at in any::<prop::sample::Index>(),
        edit in prop_oneof![
            Just(""), Just("\""), Just("{"), Just("}"), Just("="), Just("#"), Just("\\"), Just("/"), Just("("), Just(")"),
            Just(";"), Just("'"), Just("\n"), Just("["), Just("true"), Just("/-"), Just("/*"), Just("\"\"\""), Just("1"), Just(" "),
        ],
        removed in 0..3_usize,
    ) {
        let mut chars: Vec<char> = text.chars().collect();
        let from = if chars.is_empty() { 0 } else { at.index(chars.len()) };
        let to = (from + removed).min(chars.len());
        chars.splice(from..to, edit.chars());
        let text: String = chars.into_iter().collect();
        match (parse(FILE, &text), club(&text)) {
            (Ok(ours), Some(club)) => prop_assert_eq!(without(&ours, true), without(&club, true)),
            (Err(errors), accepted) => {
                prop_assert!(accepted.is_none() || is_stricter_here(&errors), "{:?}", errors);
                for error in &errors {
                    for label in &error.labels {
                        prop_assert!(text.get(label.span.start as usize..label.span.end() as usize).is_some(), "{:?}", error);
                    }
                }
                let mut places: Vec<_> = errors.iter().map(|error| (error.labels[0].span, &error.message)).collect();
                places.sort();
                places.dedup();
                prop_assert_eq!(places.len(), errors.len());
            }
            (Ok(_), None) => prop_assert!(false, "only we accept it"),
        }
    }

    #[test]
    fn any_text_at_all(text in "\\PC{0,40}|[\"#{}()=;/*\\\\\\[\\] a-c1\n-]{0,40}") {
        let ours = parse(FILE, &text);
        let club = club(&text);
        if let Ok(document) = &ours {
            prop_assert_eq!(club.map(|club| without(&club, true)), Some(without(document, true)));
        } else if let Err(errors) = &ours {
            prop_assert!(club.is_none() || is_stricter_here(errors), "{:?}", errors);
        }
    }
}
