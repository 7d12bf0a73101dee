//! Small changes to a text that leave everything else as it is written, comments and layout included.

use crate::diag::Span;

use super::ast::Node;
use super::token::{Lexer, Token, TokenKind};

/// A line does not grow beyond this by what is added to it.
const WIDTH: usize = 100;

/// A piece of text that is put in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Insertion {
    /// Where, in bytes.
    pub at: usize,
    /// What.
    pub text: String,
}

/// A string as KDL writes it, in quotes.
pub fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() || c == '\u{feff}' => out.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// The text with all insertions made.
pub fn insert(text: &str, mut insertions: Vec<Insertion>) -> String {
    insertions.sort_by_key(|insertion| insertion.at);
    let mut out = String::with_capacity(text.len() + 64);
    let mut from = 0;
    for Insertion { at, text: added } in insertions {
        out.push_str(&text[from..at]);
        out.push_str(&added);
        from = at;
    }
    out.push_str(&text[from..]);
    out
}

/// Adds `values` to the word of `parent` that stands at `word`: behind its last value, or, where the line becomes too long,
/// as words of the same name below it.
pub fn add_values(text: &str, parent: &Node, word: &Node, values: &[String]) -> Vec<Insertion> {
    let Some(end) = word.args.iter().map(|arg| arg.value.span.end() as usize).max() else {
        return add_child(text, parent, &word.name.value, values, &[]);
    };
    let added: String = values.iter().map(|value| format!(" {}", quoted(value))).collect();
    let line = text[..end].rsplit('\n').next().unwrap_or_default();
    if line.chars().count() + added.chars().count() <= WIDTH || !is_alone(text, word) {
        return vec![Insertion { at: end, text: added }];
    }
    Layout::of(text, parent).after(word, &lines(&word.name.value, values))
}

/// Adds `word values…` to `parent`, before the first of its children that is one of `before`, or at the end.
pub fn add_child(
    text: &str,
    parent: &Node,
    word: &str,
    values: &[String],
    before: &[&str],
) -> Vec<Insertion> {
    let layout = Layout::of(text, parent);
    let children = parent.children();
    let anchor = children.iter().position(|child| before.contains(&child.name.value.as_str()));
    let lines = lines(word, values);
    match anchor.unwrap_or(children.len()).checked_sub(1) {
        Some(previous) => layout.after(&children[previous], &lines),
        None => layout.first(&lines),
    }
}

/// The node that has a child at `span`.
pub fn parent_of(nodes: &[Node], span: Span) -> Option<&Node> {
    nodes.iter().find_map(|node| {
        if node.children().iter().any(|child| child.span == span) {
            return Some(node);
        }
        parent_of(node.children(), span)
    })
}

/// Whether a word has a line, or several, to itself: another can follow on the next.
fn is_alone(text: &str, word: &Node) -> bool {
    let before = text[..word.span.start as usize].rsplit('\n').next().unwrap_or_default();
    before.trim().is_empty()
}

/// `word "a" "b"`, as often as it takes to keep the lines short.
fn lines(word: &str, values: &[String]) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for value in values {
        let value = quoted(value);
        match lines.last_mut() {
            Some(line) if line.chars().count() + value.chars().count() < WIDTH - 8 => {
                line.push(' ');
                line.push_str(&value);
            }
            _ => lines.push(format!("{word} {value}")),
        }
    }
    lines
}

/// How a block is laid out.
struct Layout<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    parent: &'a Node,
}

impl<'a> Layout<'a> {
    fn of(text: &'a str, parent: &'a Node) -> Self {
        let mut lexer = Lexer::new(text);
        let mut tokens = Vec::new();
        loop {
            let token = lexer.cut();
            tokens.push(token);
            if token.kind == TokenKind::End {
                return Self { text, tokens, parent };
            }
        }
    }

    /// Puts lines behind a child: on lines of their own if its line ends there, else on the same line.
    fn after(&self, child: &Node, lines: &[String]) -> Vec<Insertion> {
        let end = child.span.end() as usize;
        match self.line_end(end) {
            Some(newline) => self.below(newline, self.indent(child.span.start as usize), lines),
            None => {
                let text = lines.iter().map(|line| format!("; {line}")).collect();
                vec![Insertion { at: end, text }]
            }
        }
    }

    /// Puts lines before all children.
    fn first(&self, lines: &[String]) -> Vec<Insertion> {
        let Some(brace) = self.brace() else {
            let all = lines.join("; ");
            return vec![Insertion { at: self.parent.span.end() as usize, text: format!(" {{ {all} }}") }];
        };
        match self.line_end(brace.end) {
            Some(newline) => {
                let indent = match self.parent.children().first() {
                    Some(child) => self.indent(child.span.start as usize),
                    None => format!("{}    ", self.indent(self.parent.span.start as usize)),
                };
                self.below(newline, indent, lines)
            }
            None => {
                let after = if self.parent.children().is_empty() { " " } else { ";" };
                vec![Insertion { at: brace.end, text: format!(" {}{after}", lines.join("; ")) }]
            }
        }
    }

    fn below(&self, newline: Token, indent: String, lines: &[String]) -> Vec<Insertion> {
        let ending = &self.text[newline.start..newline.end];
        let text = lines.iter().map(|line| format!("{ending}{indent}{line}")).collect();
        vec![Insertion { at: newline.start, text }]
    }

    /// The line break after `at`, if there is nothing before it but comments.
    fn line_end(&self, at: usize) -> Option<Token> {
        let mut rest = self.tokens.iter().skip_while(|token| token.start < at);
        rest.find(|token| {
            !matches!(
                token.kind,
                TokenKind::Space | TokenKind::BlockComment | TokenKind::LineComment | TokenKind::Semicolon
            )
        })
        .filter(|token| token.kind == TokenKind::Newline)
        .copied()
    }

    /// The blanks that the line of `at` begins with.
    fn indent(&self, at: usize) -> String {
        let line = self.text[..at].rsplit('\n').next().unwrap_or_default();
        line.chars().take_while(|c| *c == ' ' || *c == '\t').collect()
    }

    /// The opening brace of the parent's block.
    fn brace(&self) -> Option<Token> {
        let mut open = Vec::new();
        for token in &self.tokens {
            match token.kind {
                TokenKind::OpenBrace => open.push(*token),
                TokenKind::CloseBrace => {
                    let brace = open.pop();
                    if token.end == self.parent.span.end() as usize && self.parent.children.is_some() {
                        return brace;
                    }
                }
                _ => {}
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    use super::*;
    use crate::diag::FileId;
    use crate::syntax::ast::{Document, Value};
    use crate::syntax::parse;

    fn values(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    /// Adds to the word of the first node, or adds the word to it.
    fn added(text: &str, word: &str, add: &[String]) -> String {
        let document = parse(FileId(0), text).unwrap();
        let node = &document.nodes[0];
        let insertions = match node.child(word) {
            Some(child) => add_values(text, node, child, add),
            None => add_child(text, node, word, add, &["run"]),
        };
        insert(text, insertions)
    }

    #[track_caller]
    fn check(text: &str, expected: Expect) {
        expected.assert_eq(&added(text, "inputs", &values(&["b", "c\"d"])));
    }

    #[test]
    fn values_come_behind_the_last_one() {
        check(
            "task \"t\" {\n    inputs \"a\" // all\n    run \"x\"\n}\n",
            expect![[r#"
                task "t" {
                    inputs "a" "b" "c\"d" // all
                    run "x"
                }
            "#]],
        );
        check(
            "task \"t\" { inputs \"a\"; run \"x\" }",
            expect![[r#"task "t" { inputs "a" "b" "c\"d"; run "x" }"#]],
        );
    }

    #[test]
    fn a_new_word_stands_before_the_commands() {
        check(
            "task \"t\" { // what\n    // how\n    run \"x\"\n}\n",
            expect![[r#"
                task "t" { // what
                    inputs "b" "c\"d"
                    // how
                    run "x"
                }
            "#]],
        );
        check(
            "task \"t\" {\n\tdesc \"y\" /* and\n more */ // why\n\t// how\n\trun \"x\"\n}\n",
            expect![[r#"
                task "t" {
                	desc "y" /* and
                 more */ // why
                	inputs "b" "c\"d"
                	// how
                	run "x"
                }
            "#]],
        );
        check("task \"t\" { run \"x\" }", expect![[r#"task "t" { inputs "b" "c\"d"; run "x" }"#]]);
        check(
            "task \"t\" { desc \"y\"; run \"x\" }",
            expect![[r#"task "t" { desc "y"; inputs "b" "c\"d"; run "x" }"#]],
        );
        check(
            "task \"t\"\n",
            expect![[r#"
            task "t" { inputs "b" "c\"d" }
        "#]],
        );
        check("task \"t\" {}", expect![[r#"task "t" { inputs "b" "c\"d" }"#]]);
    }

    #[test]
    fn a_long_list_takes_several_lines() {
        let many: Vec<String> = (0..12).map(|at| format!("some/folder/file-{at}")).collect();
        expect![[r#"
            task "t" {
                inputs "a" // all
                inputs "some/folder/file-0" "some/folder/file-1" "some/folder/file-2" "some/folder/file-3"
                inputs "some/folder/file-4" "some/folder/file-5" "some/folder/file-6" "some/folder/file-7"
                inputs "some/folder/file-8" "some/folder/file-9" "some/folder/file-10" "some/folder/file-11"
                run "x"
            }
        "#]]
        .assert_eq(&added("task \"t\" {\n    inputs \"a\" // all\n    run \"x\"\n}\n", "inputs", &many));
    }

    /// What the first node says, its words of one name taken as one list.
    fn meaning(document: &Document) -> Vec<(String, Vec<Value>)> {
        let mut words: Vec<(String, Vec<Value>)> = Vec::new();
        for child in document.nodes[0].children() {
            let args = child.args.iter().map(|arg| arg.value.value.clone());
            match words.iter_mut().find(|(name, _)| *name == child.name.value) {
                Some((_, all)) => all.extend(args),
                None => words.push((child.name.value.clone(), args.collect())),
            }
        }
        words.sort_by(|a, b| a.0.cmp(&b.0));
        words
    }

    fn comments(text: &str) -> Vec<&str> {
        let mut lexer = Lexer::new(text);
        let mut found = Vec::new();
        loop {
            let token = lexer.cut();
            match token.kind {
                TokenKind::LineComment | TokenKind::BlockComment | TokenKind::Slashdash => {
                    found.push(&text[token.start..token.end]);
                }
                TokenKind::End => return found,
                _ => {}
            }
        }
    }

    proptest! {
        #[test]
        fn what_was_there_stays_and_what_was_added_is_there(
            words in prop::collection::vec((
                prop::sample::select(vec!["desc \"d\"", "inputs \"a\" \"b\"", "run \"x\"", "run r#\"y\"#", "needs \"n\" { }", "/- gone { x; }", "outputs \"o\" /- \"p\""]),
                prop::sample::select(vec!["\n", "; ", " // c\n", " /* d */\n", "; // e\n", " /* f\n g */ ; ", "\r\n", "\n\n // h\n"]),
            ), 0..6),
            open in prop::sample::select(vec!["{ ", "{\n", "{ // o\n", "{ /* p */ "]),
            after in prop::sample::select(vec!["}", "} // q\n", "}\ntask \"u\" { run \"v\" }\n"]),
            word in prop::sample::select(vec!["inputs", "outputs"]),
            add in prop::collection::vec("[a-z\"\\\\ /é]{1,30}", 1..9),
        ) {
            let body: String = words.iter().map(|(word, after)| format!("{word}{after}")).collect();
            let text = format!("task \"t\" {open}{body}{after}").replace("r#\"y\"#", "#\"y\"#");
            let before = parse(FileId(0), &text).unwrap();
            let edited = added(&text, word, &add);
            let document = parse(FileId(0), &edited).unwrap_or_else(|errors| panic!("{text}\n---\n{edited}\n{errors:?}"));
            let mut expected = meaning(&before);
            let add: Vec<Value> = add.into_iter().map(Value::String).collect();
            match expected.iter_mut().find(|(name, _)| name == word) {
                // The first word of the name takes them, which may not be the last.
                Some((_, all)) => all.extend(add),
                None => expected.push((word.to_owned(), add)),
            }
            expected.sort_by(|a, b| a.0.cmp(&b.0));
            let sorted = |mut words: Vec<(String, Vec<Value>)>| {
                words.iter_mut().for_each(|(_, all)| all.sort_by_key(|value| format!("{value:?}")));
                words
            };
            prop_assert_eq!(sorted(meaning(&document)), sorted(expected), "{}\n---\n{}", text, edited);
            prop_assert_eq!(comments(&edited), comments(&text));
            prop_assert_eq!(document.nodes.len(), before.nodes.len());
        }
    }
}
