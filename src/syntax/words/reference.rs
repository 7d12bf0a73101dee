//! `docs/envfile.md`: the table printed in the middle of a guide that is written by hand.

use std::collections::HashSet;
use std::fmt::Write;

use super::{ANY_NAME, BLOCKS, Block, Times, Word};

/// What is written by hand; the tables stand where it says `<!-- words -->`.
const GUIDE: &str = include_str!("guide.md");

/// The reference of the Envfile, in Markdown.
pub fn reference() -> String {
    let (before, after) =
        GUIDE.split_once("<!-- words -->\n").expect("the guide says where the tables stand");
    let mut out = String::from(before);
    // A word that many blocks share is explained where it stands first.
    let mut explained = HashSet::new();
    for block in BLOCKS {
        print_block(block, &mut explained, &mut out).expect("writing to a string does not fail");
    }
    out.push_str(after);
    out
}

fn print_block(
    block: &Block,
    explained: &mut HashSet<(&'static str, &'static str)>,
    out: &mut String,
) -> std::fmt::Result {
    if block.name == "root" {
        writeln!(out, "### The root of a file\n")?;
    } else {
        writeln!(out, "### `{}`\n", block.name)?;
    }
    writeln!(out, "{}\n", block.doc)?;
    let words = || block.words.iter().chain(block.row);
    writeln!(out, "| form | how often | what it says |\n|---|---|---|")?;
    for word in words() {
        let times = match word.times {
            Times::Once => "once",
            Times::Many => "any number",
            Times::Named(_) => "once for a name",
        };
        writeln!(out, "| `{}` | {times} | {}{} |", usage(word), cell(word.doc), unbuilt(word.built))?;
    }
    writeln!(out)?;
    for word in words() {
        let says_more = !(word.more.is_empty() && word.props.is_empty() && word.example.is_empty());
        if says_more && explained.insert((word.name, word.doc)) {
            print_word(word, out)?;
        }
    }
    Ok(())
}

fn print_word(word: &Word, out: &mut String) -> std::fmt::Result {
    write!(out, "**`{}`**: {}.", word.name, word.doc)?;
    if !word.more.is_empty() {
        write!(out, " {}", word.more)?;
    }
    writeln!(out, "\n")?;
    for prop in word.props {
        let name = if prop.name == ANY_NAME { "…" } else { prop.name };
        writeln!(
            out,
            "- `{name}=` ({}): {}{}",
            prop.kind.describe(),
            prop.doc,
            unbuilt(prop.built || !word.built)
        )?;
    }
    if !word.props.is_empty() {
        writeln!(out)?;
    }
    if !word.example.is_empty() {
        writeln!(out, "```kdl\n{}\n```\n", word.example)?;
    }
    Ok(())
}

/// A row's name is whatever it declares; a table's bars must not be taken for its own.
fn usage(word: &Word) -> String {
    let typed = if word.types.is_empty() { "" } else { "[(type)]" };
    format!("{typed}{}", word.usage()).replace(&format!("[{ANY_NAME}=]"), "axis=…")
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn unbuilt(built: bool) -> &'static str {
    if built { "" } else { " *(not built yet)*" }
}
