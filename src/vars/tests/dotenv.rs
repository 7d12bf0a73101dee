//! Dotenv files: every value survives, every error has its line.

use expect_test::expect;
use proptest::prelude::*;

use super::super::dotenv;
use crate::diag::{FileId, Span};

fn dotenv_text(text: &str) -> String {
    let (entries, diagnostics) = dotenv::parse(FileId(0), text);
    let line = |span: Span| text[..span.start as usize].matches('\n').count() + 1;
    let mut out = String::new();
    for entry in &entries {
        out.push_str(&format!("{}={:?} ({})\n", entry.name, entry.value, line(entry.span)));
    }
    for diagnostic in &diagnostics {
        out.push_str(&format!("line {}: {}\n", line(diagnostic.labels[0].span), diagnostic.message));
    }
    out
}

#[test]
fn dotenv_values_survive() {
    let text = r##"# comment
PLAIN=value with  spaces   # comment
HASH=$2b$12$abcdefghijklmnopqrstuv # not expanded
URL=https://h/p#fragment
JSON={"a": "b # c", "d": [1]}
EMPTY=
export EXPORTED=1
  SPACED  =  x  
SINGLE='a $B "c" \n # d'
DOUBLE="a\tb \"q\" \\ \$HOME \d" # after
MULTI="line 1
line 2"
KEY='-----BEGIN-----
abc==
-----END-----'
AGAIN=1
AGAIN=2
BACK=C:\dir\new
QUOTE=it's
CMD=$(rm -rf /) `id`
"##;
    expect![[r#"
        PLAIN="value with  spaces" (2)
        HASH="$2b$12$abcdefghijklmnopqrstuv" (3)
        URL="https://h/p#fragment" (4)
        JSON="{\"a\": \"b # c\", \"d\": [1]}" (5)
        EMPTY="" (6)
        EXPORTED="1" (7)
        SPACED="x" (8)
        SINGLE="a $B \"c\" \\n # d" (9)
        DOUBLE="a\tb \"q\" \\ $HOME \\d" (10)
        MULTI="line 1\nline 2" (11)
        KEY="-----BEGIN-----\nabc==\n-----END-----" (13)
        AGAIN="1" (16)
        AGAIN="2" (17)
        BACK="C:\\dir\\new" (18)
        QUOTE="it's" (19)
        CMD="$(rm -rf /) `id`" (20)
    "#]]
    .assert_eq(&dotenv_text(text));
    expect![[r#"
        A="1" (1)
        B="x" (2)
    "#]]
    .assert_eq(&dotenv_text("\u{feff}A=1\r\nB='x'\r\n\r\n"));
    // A key in an editor of Windows: its lines are those of the same key elsewhere. A CR that is meant stays.
    let value = |text: &str| dotenv::parse(FileId(0), text).0[0].value.clone();
    for quote in ["'", "\""] {
        let key = format!("A={quote}BEGIN\r\nabc\r\nEND{quote}\r\nB=1\r\n");
        assert_eq!(value(&key), "BEGIN\nabc\nEND");
        assert_eq!(value(&format!("A={quote}a\rb{quote}")), "a\rb");
    }
    assert_eq!(value("A=\"a\\r\nb\""), "a\r\nb");
}

#[test]
fn dotenv_errors_have_their_lines_and_hide_nothing() {
    let text = "A=1\nnonsense\n1X=2\nB C=3\nD=\"open\nE=4\nF='x' y\n=5\nG=6\nENVRUN_REVISION=7";
    expect![[r#"
        A="1" (1)
        E="4" (6)
        G="6" (9)
        line 2: a line without `=`
        line 3: `1X` is not a variable's name
        line 4: `B C` is not a variable's name
        line 5: the closing `"` is missing
        line 7: text after the closing quote
        line 8: `` is not a variable's name
        line 10: `ENVRUN_REVISION` is given by envrun itself
    "#]]
    .assert_eq(&dotenv_text(text));
}

proptest! {
    /// Any text is read, and every place lies in it.
    #[test]
    fn dotenv_takes_any_text(text in r#"([A-C=#'"$\\ \n\r]|export |é|[a-z]){0,40}"#) {
        let (entries, diagnostics) = dotenv::parse(FileId(0), &text);
        let spans = entries.iter().map(|entry| entry.span);
        for span in spans.chain(diagnostics.iter().flat_map(|diagnostic| &diagnostic.labels).map(|label| label.span)) {
            prop_assert!(text.get(span.start as usize..span.end() as usize).is_some());
        }
    }

    /// Whatever is written in quotes comes back, its lines as lines.
    #[test]
    fn dotenv_gives_back_what_was_quoted(value in "[^\\x00]{0,30}") {
        let escaped = value.replace('\\', "\\\\").replace('"', "\\\"");
        let (entries, diagnostics) = dotenv::parse(FileId(0), &format!("A=\"{escaped}\"\nB=1"));
        prop_assert!(diagnostics.is_empty());
        let value = value.replace("\r\n", "\n");
        prop_assert_eq!(&entries[0].value, &value);
        prop_assert_eq!(&entries[1].value, "1");
        if !value.contains('\'') {
            let text = format!("A='{value}'");
            let (entries, _) = dotenv::parse(FileId(0), &text);
            prop_assert_eq!(&entries[0].value, &value);
        }
    }
}
