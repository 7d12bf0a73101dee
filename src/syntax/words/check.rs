//! A document held against the table.

use std::collections::HashMap;

use crate::diag::{Diagnostic, Span, did_you_mean, nearest};
use crate::syntax::ast::{Arg, Document, Node, Prop, Value};

use super::kind::{Kind, Mismatch, is_variable};
use super::{ANY_NAME, BLOCKS, Block, ENV, ROOT, Times, Word};

/// Everything in `document` that is not as the table says, in the order of the text.
pub fn check(document: &Document) -> Vec<Diagnostic> {
    let mut check = Check { errors: Vec::new() };
    check.block(&document.nodes, &ROOT, false, &mut Scope::default());
    check.errors.sort_by_key(|error| error.labels.first().map(|label| label.span.start));
    check.errors
}

/// What other tools call a word of ours.
const SYNONYMS: &[(&str, &str)] = &[
    ("cmd", "run"),
    ("cmds", "run"),
    ("command", "run"),
    ("exec", "run"),
    ("script", "run"),
    ("sh", "run"),
    ("deps", "needs"),
    ("depends", "needs"),
    ("depends-on", "needs"),
    ("depends_on", "needs"),
    ("dependsOn", "needs"),
    ("dependencies", "needs"),
    ("requires-tasks", "needs"),
    ("sources", "inputs"),
    ("srcs", "inputs"),
    ("generates", "outputs"),
    ("outs", "outputs"),
    ("artifacts", "outputs"),
    ("description", "desc"),
    ("summary", "desc"),
    ("cwd", "dir"),
    ("workdir", "dir"),
    ("directory", "dir"),
    ("environment", "env"),
    ("variables", "vars"),
    ("import", "include"),
    ("param", "arg"),
    ("option", "flag"),
    ("if", "when"),
    ("only", "when"),
    ("status", "done"),
    ("creates", "done"),
    ("retries", "retry"),
    ("interval", "every"),
    ("healthcheck", "ready"),
    ("job", "task"),
    ("target", "task"),
    ("recipe", "task"),
];

struct Check {
    errors: Vec<Diagnostic>,
}

/// What was said in one block so far.
#[derive(Default)]
struct Scope<'a> {
    once: Vec<(&'static str, Span)>,
    named: HashMap<(&'static str, &'a str), Span>,
}

impl Check {
    fn block<'a>(&mut self, nodes: &'a [Node], block: &'static Block, in_env: bool, scope: &mut Scope<'a>) {
        for node in nodes {
            match block.find(&node.name.value).or(block.row) {
                Some(word) => self.node(node, word, block, in_env, scope),
                None => self.errors.push(unknown_word(node, block)),
            }
        }
    }

    fn node<'a>(
        &mut self,
        node: &'a Node,
        word: &'static Word,
        block: &'static Block,
        in_env: bool,
        scope: &mut Scope<'a>,
    ) {
        let before = self.errors.len();
        let is_row = block.row.is_some_and(|row| std::ptr::eq(row, word));
        if is_row && !is_variable(&node.name.value) && block.name != "matrix" {
            self.errors.push(
                Diagnostic::error(
                    "syntax/value",
                    format!("`{}` is not {}", node.name.value, Kind::Variable.describe()),
                )
                .at(node.name.span, "")
                .help("a variable's name has letters, digits and `_`, and does not begin with a digit"),
            );
        }
        self.times(node, word, is_row, scope);
        self.annotation(node, word);
        if block.patches && takes_away(node) {
            if !in_env {
                self.errors.push(
                    Diagnostic::error(
                        "syntax/null",
                        format!(
                            "`{} #null` takes an inherited word away, and nothing is inherited here",
                            word.name
                        ),
                    )
                    .at(node.span, "")
                    .help("take the line away, or write it in an `env`"),
                );
            }
            return;
        }
        self.args(node, word);
        self.props(node, word);
        self.body(node, word, in_env, scope);
        if let Some(rule) = word.rule.filter(|_| self.errors.len() == before) {
            rule(node, &mut self.errors);
        }
    }

    /// Whether the word, or the name it declares, was given in this block before.
    fn times<'a>(&mut self, node: &'a Node, word: &'static Word, is_row: bool, scope: &mut Scope<'a>) {
        match word.times {
            Times::Many => {}
            Times::Once => {
                let first = scope.once.iter().find(|(name, _)| *name == word.name);
                if let Some(&(name, first)) = first {
                    self.errors.push(
                        Diagnostic::error("syntax/duplicate", format!("`{name}` is given twice"))
                            .at(node.name.span, "")
                            .at(first, "given here first")
                            .help("it may be given once; take one away"),
                    );
                } else {
                    scope.once.push((word.name, node.name.span));
                }
            }
            Times::Named(kind) => {
                let declared = match node.args.first() {
                    _ if is_row => Some((node.name.value.as_str(), node.name.span)),
                    Some(arg) => arg.value.value.as_str().map(|name| (name, arg.value.span)),
                    None => None,
                };
                let Some((name, span)) = declared else { return };
                if let Some(&first) = scope.named.get(&(kind, name)) {
                    self.errors.push(
                        Diagnostic::error(
                            "syntax/duplicate",
                            format!("the {kind} `{name}` is declared twice"),
                        )
                        .at(span, "")
                        .at(first, "declared here first")
                        .help("rename one of them, or take one away"),
                    );
                } else {
                    scope.named.insert((kind, name), span);
                }
            }
        }
    }

    fn annotation(&mut self, node: &Node, word: &'static Word) {
        let Some(ty) = &node.ty else { return };
        if word.types.contains(&ty.value.as_str()) {
            return;
        }
        let unknown = if word.types.is_empty() {
            Diagnostic::error("syntax/annotation", format!("`{}` takes no annotation", node.name.value))
                .at(ty.span, "")
                .help(format!("take `({})` away", ty.value))
        } else {
            Diagnostic::error("syntax/annotation", format!("`({})` is not a type", ty.value))
                .at(ty.span, "")
                .help(did_you_mean(&ty.value, word.types.iter().copied()).unwrap_or_else(|| {
                    format!(
                        "the types are {}; text, numbers and booleans need none",
                        listed(word.types.iter())
                    )
                }))
        };
        self.errors.push(unknown);
    }

    fn args(&mut self, node: &Node, word: &'static Word) {
        let (least, most) = word.arity();
        if node.args.len() < least {
            let missing = &word.args[node.args.len()];
            self.errors.push(
                Diagnostic::error(
                    "syntax/arguments",
                    format!("`{}` needs a <{}>", node.name.value, missing.name),
                )
                .at(node.name.span, format!("{} is missing", missing.kind.describe()))
                .help(format!("its form: `{}`", word.usage())),
            );
        }
        if let Some(excess) = most.and_then(|most| node.args.get(most)) {
            let takes = match most {
                Some(0) => "no value".to_owned(),
                Some(1) => "one value".to_owned(),
                most => format!("{} values", most.unwrap_or_default()),
            };
            self.errors.push(
                Diagnostic::error("syntax/arguments", format!("`{}` takes {takes}", node.name.value))
                    .at(excess.value.span, "one too many")
                    .help(format!("its form: `{}`", word.usage())),
            );
        }
        for (index, arg) in node.args.iter().enumerate() {
            if let Some(expected) = word.arg(index) {
                self.value(&arg.value.value, arg.value.span, expected.kind, node);
            }
            self.no_value_type(arg, node);
        }
    }

    fn no_value_type(&mut self, arg: &Arg, node: &Node) {
        if let Some(ty) = &arg.ty {
            self.errors.push(
                Diagnostic::error("syntax/annotation", "a value takes no annotation").at(ty.span, "").help(
                    format!(
                        "a variable's type stands before its name: `({}){} …`",
                        ty.value, node.name.value
                    ),
                ),
            );
        }
    }

    fn props(&mut self, node: &Node, word: &'static Word) {
        for (index, prop) in node.props.iter().enumerate() {
            let key = prop.key.value.as_str();
            if let Some(first) = node.props[..index].iter().find(|other| other.key.value == key) {
                self.errors.push(
                    Diagnostic::error("syntax/duplicate", format!("the property `{key}` is given twice"))
                        .at(prop.key.span, "")
                        .at(first.key.span, "given here first")
                        .help("take one away"),
                );
            }
            match word.prop(key) {
                Some(expected) => self.value(&prop.value.value, prop.value.span, expected.kind, node),
                None => self.errors.push(unknown_prop(prop, node, word)),
            }
            if let Some(ty) = &prop.ty {
                self.errors.push(
                    Diagnostic::error("syntax/annotation", "a property's value takes no annotation")
                        .at(ty.span, "")
                        .help(format!("take `({})` away", ty.value)),
                );
            }
        }
        for expected in word.props.iter().filter(|prop| prop.required) {
            if node.prop(expected.name).is_none() {
                self.errors.push(
                    Diagnostic::error(
                        "syntax/missing-property",
                        format!("`{}` needs `{}=`", node.name.value, expected.name),
                    )
                    .at(node.name.span, "")
                    .help(format!("`{}=` is {}", expected.name, expected.doc)),
                );
            }
        }
    }

    fn value(&mut self, value: &Value, span: Span, kind: Kind, node: &Node) {
        if let (Kind::Refused(why), false) = (kind, *value == Value::Null) {
            self.errors.push(
                Diagnostic::error("syntax/secret-value", "a secret has no value here").at(span, "").help(why),
            );
        } else if let Err(Mismatch { wanted, help }) = kind.check(value) {
            self.errors.push(
                Diagnostic::error("syntax/value", format!("{} is not {wanted}", shown(value)))
                    .at(span, format!("a value of `{}`", node.name.value))
                    .maybe_help(help),
            );
        }
    }

    fn body<'a>(&mut self, node: &'a Node, word: &'static Word, in_env: bool, scope: &mut Scope<'a>) {
        match (&node.children, word.body) {
            (Some(_), None) => self.errors.push(
                Diagnostic::error("syntax/block", format!("`{}` takes no block", node.name.value))
                    .at(node.span, "")
                    .help(format!("its form: `{}`", word.usage())),
            ),
            (None, Some(_)) if word.args.is_empty() && word.props.is_empty() => self.errors.push(
                Diagnostic::error("syntax/block", format!("`{}` says nothing", node.name.value))
                    .at(node.name.span, "its block is missing")
                    .help(format!("write `{} {{ … }}`, or take it away", node.name.value)),
            ),
            (Some(children), Some(body)) => {
                let in_env = in_env || std::ptr::eq(body, &ENV);
                if body.row.is_some() {
                    // A name is unique in the scope, over all `vars` blocks of it.
                    self.block(children, body, in_env, scope);
                } else {
                    self.block(children, body, in_env, &mut Scope::default());
                }
            }
            (None, _) => {}
        }
    }
}

/// `word #null`.
fn takes_away(node: &Node) -> bool {
    matches!(node.args.as_slice(), [arg] if arg.value.value == Value::Null)
        && node.props.is_empty()
        && node.children.is_none()
}

/// The blocks that have a word of this name.
fn blocks_of(word: &str) -> Vec<&'static str> {
    let blocks = BLOCKS.iter().filter(|block| block.find(word).is_some());
    blocks.map(|block| if block.name == "root" { "the root" } else { block.name }).collect()
}

fn unknown_word(node: &Node, block: &'static Block) -> Diagnostic {
    let name = node.name.value.as_str();
    let place = if block.name == "root" { "at the root".to_owned() } else { format!("in {}", block.name) };
    let synonym = SYNONYMS.iter().find(|(other, ours)| *other == name && block.find(ours).is_some());
    let elsewhere = blocks_of(name);
    if synonym.is_none() && !elsewhere.is_empty() {
        return Diagnostic::error("syntax/misplaced-word", format!("`{name}` is not allowed {place}"))
            .at(node.name.span, "")
            .help(format!("it is a word of {}", listed(elsewhere.iter())));
    }
    let words = || block.words.iter().map(|word| word.name);
    let help = synonym
        .map(|(_, ours)| format!("did you mean `{ours}`?"))
        .or_else(|| did_you_mean(name, words()))
        .or_else(|| {
            let near = nearest(name, BLOCKS.iter().flat_map(|block| block.words).map(|word| word.name))?;
            Some(format!("did you mean `{near}`? it is a word of {}", listed(blocks_of(near).into_iter())))
        })
        .unwrap_or_else(|| format!("the words {place} are {}", listed(words())));
    Diagnostic::error("syntax/unknown-word", format!("unknown `{name}` {place}"))
        .at(node.name.span, "")
        .help(help)
}

fn unknown_prop(prop: &Prop, node: &Node, word: &'static Word) -> Diagnostic {
    let key = prop.key.value.as_str();
    let names = || word.props.iter().map(|prop| prop.name);
    // What is a word of the block belongs between the braces.
    let as_word = word.body.filter(|body| body.find(key).is_some());
    let help = if let Some(body) = as_word {
        format!("`{key}` is a word of {}: write it between the braces", body.name)
    } else if let Some(near) = did_you_mean(key, names()) {
        near
    } else if word.props.is_empty() {
        "it takes none".to_owned()
    } else {
        format!("its properties are {}", listed(names()))
    };
    Diagnostic::error("syntax/unknown-property", format!("unknown property `{key}` of `{}`", node.name.value))
        .at(prop.key.span, "")
        .help(help)
}

/// `` `a`, `b`, `c` ``
fn listed<T: AsRef<str>>(names: impl Iterator<Item = T>) -> String {
    let quoted: Vec<String> =
        names.filter(|name| name.as_ref() != ANY_NAME).map(|name| format!("`{}`", name.as_ref())).collect();
    quoted.join(", ")
}

/// A value as it is written.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => {
            let line = text.lines().next().unwrap_or_default();
            let cut: String = line.chars().take(40).collect();
            let dots = if cut.len() < text.len() { "…" } else { "" };
            format!("`\"{cut}{dots}\"`")
        }
        Value::Int(number) => format!("`{number}`"),
        Value::Float(number) => format!("`{number:?}`"),
        Value::Bool(yes) => format!("`#{yes}`"),
        Value::Null => "`#null`".to_owned(),
    }
}
