use super::judges::{club, official, without};
use super::*;

const FILE: FileId = FileId(0);

/// Reads `text` and holds the tree against both judges.
fn judged(text: &str) -> Document {
    let ours = parse(FILE, text).unwrap_or_else(|errors| panic!("{text:?}: {errors:?}"));
    let club = club(text).unwrap_or_else(|| panic!("club-kdl refuses {text:?}"));
    assert_eq!(without(&ours, true), without(&club, true), "{text:?}");
    let official = official(text).unwrap_or_else(|| panic!("kdl refuses {text:?}"));
    assert_eq!(without(&ours, false), without(&official, false), "{text:?}");
    ours
}

#[test]
fn reads_what_the_judges_read() {
    for text in [
        "",
        "\u{feff}a",
        "a; b;c",
        "a \"b\" c=1 d=(t)\"e\" { f; }",
        "(t)a ( t ) 1 \\\n  2 // end\n",
        "/- a { b }\nc /- 1 2 /- k=v {} /- { d }",
        "a = \"\"",
    ] {
        if text.contains("a =") {
            assert!(parse(FILE, text).is_err());
        } else {
            judged(text);
        }
    }
}
