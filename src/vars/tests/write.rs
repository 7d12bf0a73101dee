//! What is written is read back: by our own reader, by a shell, by another dotenv library.

use expect_test::expect;
use proptest::prelude::*;

use super::super::dotenv;
use super::super::write::{dotenv_line, heredoc, misread, shell_line};
use crate::diag::FileId;

/// What `sh` makes of a file of assignments: the value of `A`.
#[cfg(unix)]
fn by_sh(text: &str) -> String {
    use std::io::Write;
    use std::process::{Command, Stdio};
    let mut child = Command::new("sh")
        .args(["-eu", "-s"])
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let script = format!("{text}\nprintf '%s' \"$A\"\n");
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{text:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn by_dotenv_ng(text: &str) -> Option<String> {
    let loaded = ::dotenv::EnvLoader::with_reader(text.as_bytes()).load().ok()?;
    loaded.get("A").cloned()
}

/// What npm's dotenv makes of the line: it takes the quotes off, and between double ones undoes `\n` and `\r` alone.
fn by_npm(line: &str) -> String {
    let text = line.trim_start_matches("A=").trim_end_matches("\n#\"\n").trim_end_matches('\n');
    let between = |quote: char| text.strip_prefix(quote)?.strip_suffix(quote);
    match (between('"'), between('\'')) {
        (Some(text), _) => text.replace("\\n", "\n").replace("\\r", "\r"),
        (_, Some(text)) => text.to_owned(),
        _ => text.to_owned(),
    }
}

/// Whether no dotenv line means this to every reader.
fn is_odd(value: &str) -> bool {
    value.contains('\r')
        || (value.contains('`') && (value.contains('\'') || value.contains("\\\\") || value.ends_with('\\')))
}

const HARD: &[&str] = &[
    "",
    "plain",
    "two words",
    " around ",
    "$HOME",
    "${HOME}",
    "$(id)",
    "`id`",
    "a#b",
    "a #b",
    "#",
    "it's",
    "\"quoted\"",
    "it's \"both\" $HOME",
    "$2b$12$abcdefghijklmnopqrstuv",
    "{\"a\": [1, \"b c\"], \"d\": \"it's\"}",
    "line 1\nline 2\n",
    "-----BEGIN KEY-----\nab+/==\n-----END KEY-----",
    "C:\\dir\\new",
    "\\\\server\\share",
    "ends in \\",
    "tab\tand\u{e9}",
    "!bang",
    "~",
    "~/x",
    "a=b",
    "\\n",
    "*?[a]",
    "a;b|c&d<e>f",
    "\u{feff}x",
];

#[test]
fn hard_values_survive_every_reader() {
    for value in HARD {
        let line = dotenv_line("A", value);
        let (entries, wrong) = dotenv::parse(FileId(0), &line);
        assert_eq!((wrong.len(), entries.len()), (0, 1), "{line:?}");
        assert_eq!(&entries[0].value, value, "envrun reads {line:?}");
        assert_eq!(by_dotenv_ng(&line).as_deref(), Some(*value), "dotenv-ng reads {line:?}");
        #[cfg(unix)]
        {
            assert_eq!(by_sh(&line), *value, "sh reads {line:?}");
            assert_eq!(by_sh(&shell_line("A", value)), *value, "sh reads {:?}", shell_line("A", value));
        }
    }
}

#[test]
fn forms() {
    let text: String =
        ["a", "a b", "it's", "`it's`", "", "x\ny"].iter().map(|value| dotenv_line("A", value)).collect();
    expect![[r#"
        A=a
        A='a b'
        A="it's"
        A="\`it's\`"
        A=
        A='x
        y'
    "#]]
    .assert_eq(&text);
    expect![[r#"
        A<<ENVRUN_VALUE_1
        ENVRUN_VALUE
        x
        ENVRUN_VALUE_1
    "#]]
    .assert_eq(&heredoc("A", "ENVRUN_VALUE\nx"));
}

#[test]
fn who_misreads_is_named() {
    let said = |value: &str| format!("{value}: {}\n", misread(value).unwrap_or("-"));
    let values =
        ["it's", r#"say "hi""#, r#"{"d":"x'y"}"#, "a\\\\b", "a\\b", "${A}", "it's $A", "a\\", "it's `id`"];
    expect![[r#"
        it's: -
        say "hi": -
        {"d":"x'y"}: node and npm's dotenv
        a\\b: node and npm's dotenv
        a\b: -
        ${A}: docker-compose 1 (python-dotenv)
        it's $A: docker-compose 1 (python-dotenv), node and npm's dotenv
        a\: docker-compose 1 (python-dotenv), node and npm's dotenv
        it's `id`: most programs
    "#]]
    .assert_eq(&values.map(said).concat());
}

proptest! {
    /// What npm's dotenv misreads is said, and nothing else is said of it.
    #[test]
    fn what_npm_misreads_is_said(value in r#"([a-z$'"`\\# =~{}\n]|\$\{A\}){0,10}"#) {
        let said = misread(&value).is_some_and(|who| who.contains("npm") || who == "most programs");
        prop_assert_eq!(by_npm(&dotenv_line("A", &value)) != value, said, "{:?}", value);
    }

    /// Any value is read back by envrun itself, and by another library unless no line could say it to all.
    #[test]
    fn any_value_is_read_back(value in r#"([a-z$'"`\\# =~{}\[\]\n\r\t!;:]|\$\{A\}|é|[^\x00]){0,12}"#) {
        let line = dotenv_line("A", &value);
        let (entries, wrong) = dotenv::parse(FileId(0), &format!("{line}B=1\n"));
        prop_assert!(wrong.is_empty(), "{:?}", line);
        prop_assert_eq!(&entries[0].value, &value, "{:?}", line);
        prop_assert_eq!(&entries[1].value, "1");
        if !is_odd(&value) {
            prop_assert_eq!(by_dotenv_ng(&line), Some(value), "{:?}", line);
        }
    }

    /// A value in GitHub's form is everything between its two lines.
    #[test]
    fn a_heredoc_holds_its_value(value in "(ENVRUN_VALUE(_1)?|[a-z\\n<]){0,10}") {
        let text = heredoc("A", &value);
        let (first, rest) = text.split_once('\n').unwrap();
        let delimiter = first.strip_prefix("A<<").unwrap();
        let mut read = Vec::new();
        for line in rest.split('\n').take_while(|line| *line != delimiter) {
            read.push(line);
        }
        prop_assert_eq!(read.join("\n"), value);
    }
}

#[cfg(unix)]
proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    /// A shell reads any value that a line can say, and executes none.
    #[test]
    fn a_shell_reads_any_value(value in r#"([a-z$'"`\\# =~{}()\[\]\n\t!;:&|<>*?]){0,12}"#) {
        prop_assert_eq!(by_sh(&dotenv_line("A", &value)), value.clone());
        prop_assert_eq!(by_sh(&shell_line("A", &value)), value);
    }
}
