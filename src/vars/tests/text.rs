//! What texts mention, and what becomes of it.

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::super::{Form, Otherwise, interpolate, malformed, mentions};

fn names(text: &str, form: Form) -> String {
    mentions(text, form).iter().map(|mention| mention.name).collect::<Vec<_>>().join(" ")
}

#[test]
fn shell_text_mentions_what_a_shell_may_read() {
    let check = |text: &str, expected: Expect| expected.assert_eq(&names(text, Form::Shell));
    check("echo $A ${B} ${C:-$D} ${E%.c} ${F##*/} ${#G} ${!H} ${I:+${J}}", expect!["A B C D E F G H I J"]);
    check(r"echo \$A $$ $$B $1 $? $@ ${1} ${@} $ $", expect![""]);
    check("echo '$A' \"$B\" $(cmd $C) `cmd $D` $((E + $F))", expect!["A B C D F"]);
    check("dir=\"$ROOT/releases/$REV\" && test -n \"${dir}\"", expect!["ROOT REV dir"]);
    check("${", expect![""]);
    check("$é ${é} $_x9-", expect!["_x9"]);
    assert_eq!(mentions("${A:-b}", Form::Shell)[0].otherwise, Otherwise::Default("b"));
    assert_eq!(mentions("${A:+${B}}", Form::Shell)[0].otherwise, Otherwise::Other("${B}"));
}

#[test]
fn other_texts_know_three_forms() {
    let fill = |text: &str, form: Form| {
        let mut lookup = |name: &str| match name {
            "A" => Some("a".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        interpolate(text, form, &mut lookup)
            .map_or_else(|unset| format!("! {unset}"), |text| text.into_owned())
    };
    let check = |text: &str, expected: Expect| {
        let (text, word) = (fill(text, Form::Text), fill(text, Form::Word));
        expected.assert_eq(&if text == word { text } else { format!("{text} | {word}") });
    };
    check("x/${A}/$A.o", expect!["x/a/a.o | x/a/$A.o"]);
    check("${NOPE:-d} ${EMPTY:-${A}} ${A:-d}", expect!["d a a"]);
    check("${NOPE:+d} ${EMPTY:+d} ${A:+-f ${A}}", expect!["  -f a"]);
    check("${NOPE:-} ${A:+}", expect![" "]);
    check("${NOPE}", expect!["! `NOPE` is not set"]);
    check("${NOPE:-${ALSO}}", expect!["! `ALSO` is not set"]);
    check("$NOPE", expect!["! `NOPE` is not set | $NOPE"]);
    check("$${A} $$A $$ 5$ $1 $", expect!["${A} $A $$ 5$ $1 $ | ${A} $$A $$ 5$ $1 $"]);
    check("$$${A}", expect!["$${A}"]);
    check("${A%x} ${ ${}", expect!["${A%x} ${ ${}"]);
    check("{print $1}", expect!["{print $1}"]);
    assert_eq!(names("${A:-${B:+$C}} $D $$E $${F}", Form::Text), "A B C D");
    assert_eq!(names("${A:-${B:+$C}} $D $$E $${F}", Form::Word), "A B");
    let wrong: Vec<_> = malformed("${A} ${A%x} ${ x", Form::Text).iter().map(|wrong| wrong.at).collect();
    assert_eq!(wrong, [5, 12]);
}

#[test]
fn depth_costs_no_stack() {
    let deep = format!("{}x{}", "${A:-".repeat(20_000), "}".repeat(20_000));
    for form in [Form::Text, Form::Shell] {
        assert!(!mentions(&deep, form).is_empty());
        assert!(interpolate(&deep, form, &mut |_| None).is_ok());
    }
    assert!(malformed(&deep, Form::Text).len() > 100);
}

proptest! {
    /// A text of any form is taken, and what it replaces is what it mentions.
    #[test]
    fn interpolation_asks_for_what_is_mentioned(text in r#"([A-C{}:+$\\ -]|\$\{[A-C]|é){0,24}"#, word in any::<bool>()) {
        let form = if word { Form::Word } else { Form::Text };
        let mentioned: Vec<String> = mentions(&text, form).iter().map(|mention| mention.name.to_owned()).collect();
        let mut asked = Vec::new();
        let filled = interpolate(&text, form, &mut |name| {
            asked.push(name.to_owned());
            Some(String::new())
        });
        prop_assert!(filled.is_ok());
        for name in asked {
            prop_assert!(mentioned.contains(&name), "{} of {:?}", name, text);
        }
        // A shell would read at least the same names.
        let shell: Vec<&str> = mentions(&text, Form::Shell).iter().map(|mention| mention.name).collect();
        if !text.contains(['\\']) && !text.contains("$$") {
            for name in &mentioned {
                prop_assert!(shell.contains(&name.as_str()), "{} of {:?}", name, text);
            }
        }
    }
}
