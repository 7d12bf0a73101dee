//! Whether two patterns can name the same file.

use std::collections::HashSet;

use super::{Component, Glob, Pattern, Token, matches};

/// A component of either pattern.
#[derive(Clone, Copy)]
enum Part<'p> {
    Any,
    Name(&'p [u8]),
    Wild(&'p [Token]),
}

impl Pattern {
    /// Whether some path is named by both. A name written out also names what is written out to lie below it, but what
    /// a wildcard would have to find there does not count: who knows whether `obj/a.o` is a folder. In doubt (wildcards
    /// next to letters that are not ASCII) it says yes.
    pub fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Literal(a), Self::Literal(b)) => a.starts_with(b) || b.starts_with(a),
            (Self::Literal(path), Self::Glob(glob)) | (Self::Glob(glob), Self::Literal(path)) => {
                glob.matches(path) || glob.alternatives.iter().any(|one| one.prefix.starts_with(path))
            }
            (Self::Glob(a), Self::Glob(b)) => {
                let (a, b) = (a.parts(), b.parts());
                a.iter().any(|a| b.iter().any(|b| meet(a, b, skips, takes)))
            }
        }
    }
}

impl Glob {
    fn parts(&self) -> Vec<Vec<Part<'_>>> {
        let all = self.alternatives.iter().map(|alternative| {
            let rest = alternative.rest.iter().map(|component| match component {
                Component::Any => Part::Any,
                Component::Literal(name) => Part::Name(name),
                Component::Wild(tokens) => Part::Wild(tokens),
            });
            alternative.prefix.components().map(Part::Name).chain(rest).collect()
        });
        all.collect()
    }
}

/// Whether two sequences can stand for the same thing: `skips` says that an item may stand for any number of elements,
/// `takes` that two items can stand for the same one.
fn meet<T: Copy>(a: &[T], b: &[T], skips: fn(T) -> bool, takes: fn(T, T) -> bool) -> bool {
    let mut seen = HashSet::new();
    let mut open = vec![(0, 0)];
    while let Some((i, j)) = open.pop() {
        if !seen.insert((i, j)) {
            continue;
        }
        match (a.get(i), b.get(j)) {
            (None, None) => return true,
            (Some(&x), _) if skips(x) && b.get(j).is_none() => open.push((i + 1, j)),
            (_, Some(&y)) if skips(y) && a.get(i).is_none() => open.push((i, j + 1)),
            (Some(&x), Some(&y)) => {
                if skips(x) {
                    open.push((i + 1, j));
                }
                if skips(y) {
                    open.push((i, j + 1));
                }
                if takes(x, y) && !(skips(x) && skips(y)) {
                    open.push((if skips(x) { i } else { i + 1 }, if skips(y) { j } else { j + 1 }));
                }
            }
            _ => {}
        }
    }
    false
}

fn skips(part: Part<'_>) -> bool {
    matches!(part, Part::Any)
}

fn takes(a: Part<'_>, b: Part<'_>) -> bool {
    match (a, b) {
        (Part::Any, _) | (_, Part::Any) => true,
        (Part::Name(a), Part::Name(b)) => a == b,
        (Part::Name(name), Part::Wild(tokens)) | (Part::Wild(tokens), Part::Name(name)) => {
            matches(tokens, name)
        }
        (Part::Wild(a), Part::Wild(b)) => {
            let (a, b): (Vec<&Token>, Vec<&Token>) = (a.iter().collect(), b.iter().collect());
            meet(&a, &b, |token| *token == Token::Star, same_character)
        }
    }
}

/// Whether two pieces of a component can stand for the same character.
fn same_character(a: &Token, b: &Token) -> bool {
    let is_in = |byte: u8, negated: bool, ranges: &[(char, char)]| {
        !byte.is_ascii()
            || ranges.iter().any(|(from, to)| (*from..=*to).contains(&char::from(byte))) != negated
    };
    match (a, b) {
        (Token::Star | Token::One, _) | (_, Token::Star | Token::One) => true,
        (Token::Byte(a), Token::Byte(b)) => a == b,
        (Token::Byte(byte), Token::Class { negated, ranges })
        | (Token::Class { negated, ranges }, Token::Byte(byte)) => is_in(*byte, *negated, ranges),
        (Token::Class { negated: a_not, ranges: a }, Token::Class { negated: b_not, ranges: b }) => {
            let beyond = |ranges: &[(char, char)]| ranges.iter().any(|(_, to)| !to.is_ascii());
            (*a_not && *b_not)
                || (beyond(a) && beyond(b))
                || (0..128).any(|byte| is_in(byte, *a_not, a) && is_in(byte, *b_not, b))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::base::RelPath;

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(&RelPath::root(), text).unwrap()
    }

    #[test]
    fn overlaps() {
        for (a, b, together) in [
            ("dist", "dist", true),
            ("dist", "dist/app.js", true),
            ("dist", "dist2", false),
            ("dist", "dist/**/*.js", true),
            ("dist/a", "dist/*.js", false),
            ("obj/x.o", "obj/**/*.d", false),
            ("dist/a.js", "dist/*.js", true),
            ("obj/**/*.o", "obj/**/*.d", false),
            ("obj/**", "obj/a/*.o", true),
            ("obj/*.o", "obj/a/*.o", false),
            ("*.tar", "dist/**", false),
            ("a*c", "*b*", true),
            ("a*c", "b*", false),
            ("**/x", "y/**", true),
            ("**/x", "y/?", true),
            ("{a,b}/x", "{b,c}/x", true),
            ("{a,b}/x", "{c,d}/x", false),
            ("[a-c]", "[d-f]", false),
            ("[a-c]", "[!a-b]", true),
            ("**/*.o", "**/*.o", true),
        ] {
            assert_eq!(pattern(a).overlaps(&pattern(b)), together, "{a} {b}");
            assert_eq!(pattern(b).overlaps(&pattern(a)), together, "{b} {a}");
        }
    }

    proptest! {
        /// What two patterns both match shows that they overlap.
        #[test]
        fn a_common_path_is_an_overlap(a in "[ab*?/]{1,8}", b in "[ab*?/]{1,8}", path in "[ab]{1,3}(/[ab]{1,3}){0,2}") {
            let (Ok(a), Ok(b)) = (Pattern::parse(&RelPath::root(), &a), Pattern::parse(&RelPath::root(), &b)) else {
                return Ok(());
            };
            let path = RelPath::from_bytes(path.as_bytes()).unwrap();
            let names = |pattern: &Pattern| match pattern {
                Pattern::Literal(literal) => *literal == path,
                Pattern::Glob(glob) => glob.matches(&path),
            };
            if names(&a) && names(&b) {
                prop_assert!(a.overlaps(&b), "{a:?} {b:?} {path:?}");
            }
        }
    }
}
