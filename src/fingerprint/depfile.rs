//! Depfiles: what a compiler says it read, as a rule for make.
//!
//! `target …: prerequisite …`, where a `\` at the end of a line goes on with the next one, `\ ` is a space, `\#` a `#`,
//! `$$` a `$`, and `#` begins a comment. Backslashes before anything else are kept, as GNU make does; they are halved
//! before a space. All prerequisites of all rules count, targets do not.

/// The prerequisites in a depfile, in order, each once. The error says what is wrong with it.
pub(super) fn parse(text: &[u8]) -> Result<Vec<Vec<u8>>, &'static str> {
    let mut found: Vec<Vec<u8>> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for rule in logical_lines(text) {
        if rule.is_empty() {
            continue;
        }
        let colon = rule.iter().position(|word| *word == Word::Colon).ok_or("a rule without `:`")?;
        if colon == 0 {
            return Err("a rule without a target");
        }
        for word in &rule[colon + 1..] {
            match word {
                Word::Text(path) if seen.insert(path.clone()) => found.push(path.clone()),
                // `a b: c: d` is a static pattern rule, which no compiler writes.
                Word::Colon => return Err("a rule with two `:`"),
                Word::Text(_) => {}
            }
        }
    }
    Ok(found)
}

#[derive(Debug, PartialEq, Eq, Clone)]
enum Word {
    Text(Vec<u8>),
    Colon,
}

/// Words of each line, with continued lines joined.
fn logical_lines(text: &[u8]) -> Vec<Vec<Word>> {
    let mut lines = Vec::new();
    let mut line = Vec::new();
    let mut word: Vec<u8> = Vec::new();
    let mut comment = false;
    let mut at = 0;
    let end_word = |word: &mut Vec<u8>, line: &mut Vec<Word>| {
        if !word.is_empty() {
            line.push(Word::Text(std::mem::take(word)));
        }
    };
    while at < text.len() {
        let byte = text[at];
        let next = text.get(at + 1).copied();
        match byte {
            b'\\' => {
                let count = text[at..].iter().take_while(|byte| **byte == b'\\').count();
                let after = &text[at + count..];
                match after.first() {
                    Some(b'\n') | Some(b'\r')
                        if count % 2 == 1 && (after[0] == b'\n' || after.get(1) == Some(&b'\n')) =>
                    {
                        if !comment {
                            word.extend(std::iter::repeat_n(b'\\', count - 1));
                            end_word(&mut word, &mut line);
                        }
                        at += count + if after[0] == b'\r' { 2 } else { 1 };
                        continue;
                    }
                    Some(b' ' | b'\t' | b'#') if !comment => {
                        word.extend(std::iter::repeat_n(b'\\', count / 2));
                        if count % 2 == 1 {
                            word.push(after[0]);
                            at += 1;
                        }
                    }
                    _ if !comment => word.extend(std::iter::repeat_n(b'\\', count)),
                    _ => {}
                }
                at += count;
                continue;
            }
            b'\n' => {
                end_word(&mut word, &mut line);
                lines.push(std::mem::take(&mut line));
                comment = false;
            }
            _ if comment => {}
            b'\r' if next == Some(b'\n') => {}
            b' ' | b'\t' => end_word(&mut word, &mut line),
            b'#' => {
                end_word(&mut word, &mut line);
                comment = true;
            }
            b'$' if next == Some(b'$') => {
                word.push(b'$');
                at += 1;
            }
            // A colon ends the targets only if a blank or the end follows: `C:/x` and `a::b` are names.
            b':' if matches!(next, None | Some(b' ' | b'\t' | b'\n' | b'\r')) => {
                end_word(&mut word, &mut line);
                line.push(Word::Colon);
            }
            byte => word.push(byte),
        }
        at += 1;
    }
    end_word(&mut word, &mut line);
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let found = parse(text.as_bytes()).unwrap();
        let found: Vec<String> =
            found.iter().map(|path| String::from_utf8_lossy(path).into_owned()).collect();
        assert_eq!(found, expected, "{text:?}");
    }

    #[test]
    fn what_compilers_write() {
        check("a.o: a.c a.h \\\n  /usr/include/stdio.h\n", &["a.c", "a.h", "/usr/include/stdio.h"]);
        check("a.o b.d: x.c\r\n", &["x.c"]);
        check("a.o: a.c \\\r\n b.h\r\n", &["a.c", "b.h"]);
        check("a.o: a.c\n\na.h:\n\nb.h:\n", &["a.c"]);
        check("a.o: my\\ file.h x\\#y $$z C:/w.h", &["my file.h", "x#y", "$z", "C:/w.h"]);
        check("a.o : a.c # said why \\\n still a comment\nb.o: b.c", &["a.c", "b.c"]);
        check("a.o: dir\\sub\\x.h trailing\\\\ y", &["dir\\sub\\x.h", "trailing\\", "y"]);
        check("a.o: a.c a.c", &["a.c"]);
        check("a.o:", &[]);
        check("", &[]);
        check("a.o: a.c\\", &["a.c\\"]);
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        assert_eq!(parse(b"just words\n"), Err("a rule without `:`"));
        assert_eq!(parse(b": a\n"), Err("a rule without a target"));
        assert_eq!(parse(b"a: b: c\n"), Err("a rule with two `:`"));
    }

    proptest::proptest! {
        #[test]
        fn anything_is_read_or_refused(text in proptest::collection::vec(proptest::sample::select(b"ab:\\\n\r $#\t".to_vec()), 0..64)) {
            let _ = parse(&text);
        }

        #[test]
        fn names_come_back(names in proptest::collection::hash_set("[a-c#$ ]{1,6}", 1..5)) {
            let names: Vec<String> = names.into_iter().filter(|name| !name.trim().is_empty()).collect();
            let escaped: Vec<String> = names.iter().map(|name| name.replace('$', "$$").replace(' ', "\\ ").replace('#', "\\#")).collect();
            let text = format!("t: {}\n", escaped.join(" \\\n "));
            let found: Vec<String> = parse(text.as_bytes()).unwrap().into_iter().map(|path| String::from_utf8(path).unwrap()).collect();
            assert_eq!(found, names);
        }
    }
}
