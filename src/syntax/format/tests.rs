use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;
use crate::syntax::parse::judges::without;
use crate::syntax::specimen::document;

const FILE: FileId = FileId(0);

fn formatted(text: &str) -> String {
    let once = format(FILE, text).unwrap_or_else(|errors| panic!("{text}: {errors:?}"));
    let twice = format(FILE, &once).unwrap_or_else(|errors| panic!("{text}\n->\n{once}: {errors:?}"));
    assert_eq!(once, twice, "the form of a form is itself: {text:?}");
    let tree = |text: &str| without(&parse(FILE, text).unwrap(), true);
    assert_eq!(tree(text), tree(&once), "the tree is the same: {text:?}");
    assert_eq!(all_comments(text), all_comments(&once), "the comments are the same: {text:?}");
    once
}

fn all_comments(text: &str) -> Vec<&str> {
    let mut lexer = Lexer::new(text);
    let mut found = Vec::new();
    loop {
        let token = lexer.cut();
        if token.kind == TokenKind::End {
            return found;
        }
        if token.kind.is_line_space() {
            found.extend(comments(&text[token.start..token.end]).into_iter().map(str::trim_end));
        }
    }
}

fn expect_form(text: &str, expected: Expect) {
    expected.assert_eq(&formatted(text));
}

#[test]
fn an_envfile() {
    expect_form(
        r##"

// Head
project   "x"   default-env = "dev"  {
  logs keep="7d" }


include "a.kdl" as="a"; include "b.kdl"
task "a" { // why
        desc   "b"   /* c */ alias   "d" ; run """
          one
            two

          """
/* before */ needs "x" \
        "y" // last

  /-  outputs "off"
  when { branch "main" "release/*"; ci }
  guard {
  clean }
  run #"""
echo "$X"
"""# timeout=1

}   // after
env "e"{}
env "f" { task "g" { run "cargo" "build" "--locked" "--profile" "release" "--target-dir" "somewhere/else" "-v" } }
// tail
"##,
        expect![[r##"
            // Head
            project "x" default-env="dev" {
                logs keep="7d"
            }

            include "a.kdl" as="a"
            include "b.kdl"
            task "a" { // why
                desc "b" /* c */ alias "d"
                run """
                    one
                      two

                    """
                /* before */ needs "x" \
                    "y" // last

                /-outputs "off"
                when { branch "main" "release/*"; ci }
                guard {
                    clean
                }
                run #"""
                    echo "$X"
                    """# timeout=1
            } // after
            env "e" {}
            env "f" { task "g" { run "cargo" "build" "--locked" "--profile" "release" "--target-dir" "somewhere/else" "-v" } }
            // tail
        "##]],
    );
}

#[test]
fn strange_places() {
    expect_form("", expect![[""]]);
    expect_form(
        "\u{feff}\n\n// only\n\n\n",
        expect![[r#"
        // only
    "#]],
    );
    expect_form(
        "( /* t */ a )b ( c )1 k /* d */ = /* e */ (f)2 \\ // g\n 3 \\\n\n\n/- // h\n i \\\n j\nl /-  1 /- { m } {n} /- {\n}\n\\ // o\n/* p\n  q */ r /* s */; t",
        expect![[r#"
            (/* t */ a)b (c)1 k /* d */ = /* e */ (f)2 \ // g
                3

            /- // h
                i \
                j
            l /-1 /-{ m } { n } /-{}
            // o
            /* p
              q */ r /* s */
            t
        "#]],
    );
    expect_form(
        "a { /* b */ }\nc { // d\n}\ne {\n\n    // f\n\n}\ng \"\"\"\n  h \\\n i\n  \"\"\"\r\nj\r\n",
        expect![[r#"
            a { /* b */ }
            c { // d
            }
            e {
                // f
            }
            g """
              h \
             i
              """
            j
        "#]],
    );
}

#[test]
fn aligned_lines() {
    expect_form(
        r#"
  stage "test"  env="test"               { run "lint" "unit" }
  stage "uat"   env="uat"  after="test"  { when { branch "main" "release/*" }; run "verify" } // then
  stage "prod"  env="prod" after="build" { run "deploy" }

vars {
  A     1   // one
  LONG  2   // two
  (t)B  "3"
}
// Not aligned with anything, or not in standard form besides.
a   1
bb 2

a  { b;c }
bb { d }
"#,
        expect![[r#"
            stage "test"  env="test"               { run "lint" "unit" }
            stage "uat"   env="uat"  after="test"  { when { branch "main" "release/*" }; run "verify" } // then
            stage "prod"  env="prod" after="build" { run "deploy" }

            vars {
                A     1   // one
                LONG  2   // two
                (t)B  "3"
            }
            // Not aligned with anything, or not in standard form besides.
            a 1
            bb 2

            a { b; c }
            bb { d }
        "#]],
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn the_form_keeps_the_tree_and_the_comments_and_is_stable(text in document()) {
        formatted(&text);
    }

    #[test]
    fn tables_too(text in "(( {0,2}[ab](  ?[cd1]){0,2}(  ?\\{ e \\})?(  ?// f)?)?\n){0,6}") {
        formatted(&text);
    }
}

/// Every Envfile of this repository is good and in standard form; `envrun fmt` makes it so.
#[test]
fn our_own_envfiles() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.to_path_buf(), root.join("tasks"), root.join("examples")];
    let mut seen = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && folder != root {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "kdl") {
                let text = std::fs::read_to_string(&path).unwrap();
                assert_eq!(formatted(&text), text, "{}", path.display());
                assert_eq!(
                    crate::syntax::words::check(&parse(FILE, &text).unwrap()),
                    [],
                    "{}",
                    path.display()
                );
                seen += 1;
            }
        }
    }
    assert!(seen > 3);
}
