use std::collections::HashSet;
use std::path::Path;

use expect_test::{Expect, expect};

use super::*;
use crate::diag::render::{Style, render};
use crate::diag::{FileId, SourceMap};
use crate::syntax::parse;

fn checked(text: &str) -> String {
    let mut sources = SourceMap::default();
    let file = sources.add("Envfile.kdl", Path::new("Envfile.kdl"), text);
    let errors = parse(file, text).map_or_else(|errors| errors, |document| check(&document));
    render(&errors, &sources, Style::Short)
}

fn expect_errors(text: &str, expected: Expect) {
    expected.assert_eq(&checked(text));
}

#[test]
fn unknown_words() {
    expect_errors(
        r#"
deploy "d" { verfy "health" }
task "a" { cmd "make"; branch "main"; zzzzzzzzzzzz 1 }
guard { clean }
tsak "x"
task "b" { verfy "x" }
"#,
        expect![[r#"
            Envfile.kdl:2:14: error: unknown `verfy` in deploy [syntax/unknown-word]
              help: did you mean `verify`?
            Envfile.kdl:3:12: error: unknown `cmd` in task [syntax/unknown-word]
              help: did you mean `run`?
            Envfile.kdl:3:24: error: `branch` is not allowed in task [syntax/misplaced-word]
              help: it is a word of `when`, `guard`
            Envfile.kdl:3:39: error: unknown `zzzzzzzzzzzz` in task [syntax/unknown-word]
              help: the words in task are `desc`, `alias`, `group`, `hidden`, `arg`, `flag`, `when`, `guard`, `mutates`, `requires`, `needs`, `after`, `uses`, `inputs`, `outputs`, `depfile`, `tools`, `done`, `run`, `call`, `render`, `load`, `dir`, `shell`, `vars`, `timeout`, `retry`, `pool`, `matrix`, `interactive`, `on-fail`, `on-success`, `hint`, `sandbox`, `cache`
            Envfile.kdl:4:1: error: `guard` is not allowed at the root [syntax/misplaced-word]
              help: it is a word of `env`, `task`, `deploy`, `stage`
            Envfile.kdl:5:1: error: unknown `tsak` at the root [syntax/unknown-word]
              help: did you mean `task`?
            Envfile.kdl:6:12: error: unknown `verfy` in task [syntax/unknown-word]
              help: did you mean `verify`? it is a word of `deploy`, `snapshot`
        "#]],
    );
}

#[test]
fn counts_and_kinds() {
    expect_errors(
        r#"
task "a" {
    timeout 30
    timeout "soon"
    retry "3"
    retry 1 2 on="exit:75|sometimes"
    needs
    cache "false"
    hidden 1
    alias "a b" "-x"
    uses "MY-VAR"
    run ""
    render ".env" format="dotenf"
    needs "x y"
    outputs #null
    desc "a" { run "x" }
    vars
}
project "p" envrun=1.0 default-env=5
cache { local max-size=20 max-age="1 fortnight" }
env
env 5
"#,
        expect![[r#"
            Envfile.kdl:3:13: error: `30` is not a duration [syntax/value]
              help: write the number with its unit: `"30s"`
            Envfile.kdl:4:5: error: `timeout` is given twice [syntax/duplicate]
            Envfile.kdl:3:5: note: given here first
              help: it may be given once; take one away
            Envfile.kdl:4:13: error: `"soon"` is not a duration [syntax/value]
              help: write for instance `"30s"`, `"5m"` or `"1h30m"`
            Envfile.kdl:5:11: error: `"3"` is not a whole number [syntax/value]
              help: write `3` without quotes
            Envfile.kdl:6:5: error: `retry` is given twice [syntax/duplicate]
            Envfile.kdl:5:5: note: given here first
              help: it may be given once; take one away
            Envfile.kdl:6:13: error: `retry` takes one value [syntax/arguments]
              help: its form: `retry <times> [every=] [backoff=] [on=]`
            Envfile.kdl:6:18: error: `"exit:75|sometimes"` is not `exit:N` and `timeout` with `|` between them [syntax/value]
              help: write for instance `"exit:75|timeout"`
            Envfile.kdl:7:5: error: `needs` needs a <node> [syntax/arguments]
              help: its form: `needs <node>… [state=]`
            Envfile.kdl:8:11: error: `"false"` is not `#true` or `#false` [syntax/value]
              help: write `#false`
            Envfile.kdl:9:12: error: `1` is not `#true` or `#false` [syntax/value]
              help: write `#true`
            Envfile.kdl:10:11: error: `"a b"` is not a name [syntax/value]
              help: a name has no space and none of `:` `@` `$` `,`, and does not begin with `-`
            Envfile.kdl:10:17: error: `"-x"` is not a name [syntax/value]
              help: a name has no space and none of `:` `@` `$` `,`, and does not begin with `-`
            Envfile.kdl:11:10: error: `"MY-VAR"` is not a variable's name [syntax/value]
              help: write for instance `"DATABASE_URL"`
            Envfile.kdl:12:9: error: `""` is not a command [syntax/value]
              help: write something between the quotes
            Envfile.kdl:13:26: error: `"dotenf"` is not one of `dotenv`, `json`, `k8s-secret`, `shell` [syntax/value]
              help: did you mean `dotenv`?
            Envfile.kdl:14:11: error: `"x y"` is not a reference to a node [syntax/value]
              help: write for instance `"build"` or `"prod.api:deploy"`
            Envfile.kdl:15:5: error: `outputs #null` takes an inherited word away, and nothing is inherited here [syntax/null]
              help: take the line away, or write it in an `env`
            Envfile.kdl:16:5: error: `desc` takes no block [syntax/block]
              help: its form: `desc <text>`
            Envfile.kdl:17:5: error: `vars` says nothing [syntax/block]
              help: write `vars { … }`, or take it away
            Envfile.kdl:19:20: error: `1.0` is not a version requirement [syntax/value]
              help: write `">=1.0"`
            Envfile.kdl:19:36: error: `5` is not a name [syntax/value]
              help: write `"5"`
            Envfile.kdl:20:24: error: `20` is not a size [syntax/value]
              help: write the number with its unit: `"20MiB"`
            Envfile.kdl:20:35: error: `"1 fortnight"` is not a duration [syntax/value]
              help: write for instance `"30s"`, `"5m"` or `"1h30m"`
            Envfile.kdl:21:1: error: `env` needs a <name> [syntax/arguments]
              help: its form: `env <name> [extends=] [abstract=] [ephemeral=] { … }`
            Envfile.kdl:22:5: error: `5` is not a name [syntax/value]
              help: write `"5"`
        "#]],
    );
}

#[test]
fn duplicates() {
    expect_errors(
        r#"
env "dev" { vars { A 1 }; vars { A 2; B 3 }; secrets { B } }
env "dev"
task "a" { desc "x"; desc "y"; arg "n"; flag "n" }
service "a"
schedule "a" every="1h" every="2h"
"#,
        expect![[r#"
            Envfile.kdl:2:34: error: the variable `A` is declared twice [syntax/duplicate]
            Envfile.kdl:2:20: note: declared here first
              help: rename one of them, or take one away
            Envfile.kdl:2:56: error: the variable `B` is declared twice [syntax/duplicate]
            Envfile.kdl:2:39: note: declared here first
              help: rename one of them, or take one away
            Envfile.kdl:3:5: error: the environment `dev` is declared twice [syntax/duplicate]
            Envfile.kdl:2:5: note: declared here first
              help: rename one of them, or take one away
            Envfile.kdl:4:22: error: `desc` is given twice [syntax/duplicate]
            Envfile.kdl:4:12: note: given here first
              help: it may be given once; take one away
            Envfile.kdl:4:46: error: the argument `n` is declared twice [syntax/duplicate]
            Envfile.kdl:4:36: note: declared here first
              help: rename one of them, or take one away
            Envfile.kdl:5:9: error: the node `a` is declared twice [syntax/duplicate]
            Envfile.kdl:4:6: note: declared here first
              help: rename one of them, or take one away
            Envfile.kdl:6:25: error: the property `every` is given twice [syntax/duplicate]
            Envfile.kdl:6:14: note: given here first
              help: take one away
        "#]],
    );
}

#[test]
fn annotations_and_properties() {
    expect_errors(
        r#"
vars {
    (prot)PORT 80
    PORT2 (port)80
    my-var 1
    X 1 mim=0 max=(u8)3
}
secrets { TOKEN "abc"; OTHER legnth=3 }
(port)task "a" { shell "bash" verbose=#true }
env "e" branch="main" vars=1
store
env "f" { guard { approval count=2 } }
"#,
        expect![[r#"
            Envfile.kdl:3:6: error: `(prot)` is not a type [syntax/annotation]
              help: did you mean `port`?
            Envfile.kdl:4:12: error: a value takes no annotation [syntax/annotation]
              help: a variable's type stands before its name: `(port)PORT2 …`
            Envfile.kdl:5:5: error: `my-var` is not a variable's name [syntax/value]
              help: a variable's name has letters, digits and `_`, and does not begin with a digit
            Envfile.kdl:6:9: error: unknown property `mim` of `X` [syntax/unknown-property]
              help: did you mean `min`?
            Envfile.kdl:6:20: error: a property's value takes no annotation [syntax/annotation]
              help: take `(u8)` away
            Envfile.kdl:8:17: error: a secret has no value here [syntax/secret-value]
              help: a secret's value does not stand in the Envfile: take it out, and store it with `envrun secret set`
            Envfile.kdl:8:30: error: unknown property `legnth` of `OTHER` [syntax/unknown-property]
              help: did you mean `length`?
            Envfile.kdl:9:2: error: `task` takes no annotation [syntax/annotation]
              help: take `(port)` away
            Envfile.kdl:9:31: error: unknown property `verbose` of `shell` [syntax/unknown-property]
              help: it takes none
            Envfile.kdl:10:9: error: unknown property `branch` of `env` [syntax/unknown-property]
              help: its properties are `extends`, `abstract`, `ephemeral`
            Envfile.kdl:10:23: error: unknown property `vars` of `env` [syntax/unknown-property]
              help: `vars` is a word of env: write it between the braces
            Envfile.kdl:11:1: error: `store` needs a <name> [syntax/arguments]
              help: its form: `store <name> { … }`
            Envfile.kdl:12:19: error: `approval` needs `signers=` [syntax/missing-property]
              help: `signers=` is the file of allowed signers, relative to the declaring file
        "#]],
    );
}

#[test]
fn rules() {
    expect_errors(
        r#"
pool "a"
pool "b" 1 depth=2
pool "c" 0
schedule "x"
schedule "x" cron="* * * * *"
schedule "x" cron="* * * * *" tz="UTC" every="1h"
schedule "x" every="1h" tz="UTC"
schedule "x" cron="0 0 30 feb *" tz="UTC"
requires { memory; disk min="1GiB"; cpu min="4" }
service "s" { run "a"; start "b" }
snapshot "s2" { keep }
task "t" { render "x"; matrix { python "3.11"; exclude } }
"#,
        expect![[r#"
            Envfile.kdl:2:1: error: the pool has no depth [syntax/missing-property]
              help: write how many may run at once: `pool "link" 2`
            Envfile.kdl:3:12: error: a pool has one depth [syntax/contradiction]
            Envfile.kdl:3:10: note: given here already
              help: take one away
            Envfile.kdl:4:10: error: `0` is not a whole number from 1 [syntax/value]
            Envfile.kdl:5:1: error: the schedule does not say when [syntax/missing-property]
              help: add `cron="0 2 * * *" tz="UTC"` or `every="1h"`
            Envfile.kdl:6:1: error: `cron=` needs a time zone [syntax/missing-property]
              help: add `tz="UTC"`, or a zone such as `tz="Europe/Berlin"`
            Envfile.kdl:7:40: error: a schedule has `cron=` or `every=`, not both [syntax/contradiction]
            Envfile.kdl:7:14: note: given here already
              help: take one away
            Envfile.kdl:8:25: error: `tz=` belongs to `cron=`; `every=` has no time zone [syntax/contradiction]
            Envfile.kdl:8:14: note: given here already
              help: take one away
            Envfile.kdl:9:19: error: `0 0 30 feb *` names no time: no month it names has such a day [syntax/cron]
              help: write for instance `"30 2 * * *"`, half past two every night
            Envfile.kdl:10:12: error: `memory` says no amount [syntax/missing-property]
              help: write `min=` for what is required, `want=` for what is recommended
            Envfile.kdl:10:45: error: `"4"` is not a whole number from 1 [syntax/value]
              help: write `4` without quotes
            Envfile.kdl:11:24: error: a service is a child of envrun (`run`) or somebody else's daemon (`start`), not both [syntax/contradiction]
            Envfile.kdl:11:15: note: given here already
              help: take one away
            Envfile.kdl:12:17: error: `keep` does not say how many [syntax/missing-property]
              help: write for instance `keep last=5 daily=7`
            Envfile.kdl:13:12: error: `render` does not say what to write [syntax/missing-property]
              help: add `format="dotenv"` (or `json`, `k8s-secret`, `shell`), or `template="…"`
            Envfile.kdl:13:48: error: `exclude` names no combination [syntax/missing-property]
              help: write the axes and their values: `exclude python="3.11" os="linux"`
        "#]],
    );
}

#[test]
fn null_takes_away_only_in_an_environment() {
    expect_errors(
        r#"
task "a" { desc "x"; needs #null }
env "e" { task "a" { needs #null; timeout #null; vars { A #null } }; guard { branch #null } }
"#,
        expect![[r#"
            Envfile.kdl:2:22: error: `needs #null` takes an inherited word away, and nothing is inherited here [syntax/null]
              help: take the line away, or write it in an `env`
            Envfile.kdl:3:85: error: `#null` is not a glob [syntax/value]
        "#]],
    );
}

#[test]
fn the_reference_is_the_one_in_docs() {
    expect_test::expect_file!["../../../docs/envfile.md"].assert_eq(&reference());
}

/// Every block that a word opens has its place in the reference.
#[test]
fn every_block_is_listed() {
    for block in BLOCKS {
        for word in block.words.iter().chain(block.row) {
            if let Some(body) = word.body {
                assert!(
                    BLOCKS.iter().any(|listed| std::ptr::eq(*listed, body)),
                    "{} of {}",
                    word.name,
                    block.name
                );
            }
        }
    }
}

/// What the table and the guide give as examples is good.
#[test]
fn examples_are_good() {
    let checked_in = |block: &Block, example: &str| match block.name {
        "root" => checked(example),
        "vars" | "secrets" | "cache" | "requires" => checked(&format!("{} {{\n{example}\n}}", block.name)),
        "when" | "guard" | "match" => checked(&format!("env \"e\" {{ {} {{\n{example}\n}} }}", block.name)),
        "matrix" => checked(&format!("task \"t\" {{ matrix {{\n{example}\n}} }}")),
        "ready" => checked(&format!("service \"s\" {{ ready {{\n{example}\n}} }}")),
        name => checked(&format!("{name} \"x\" {{\n{example}\n}}")),
    };
    for block in BLOCKS {
        for word in block.words.iter().chain(block.row).filter(|word| !word.example.is_empty()) {
            assert_eq!(checked_in(block, word.example), "", "{} of {}", word.name, block.name);
        }
    }
}

/// Every word of every block, and every property of a word in one of its blocks, is used in `every-word.kdl`, which is
/// good and in its standard form.
#[test]
fn every_word_works() {
    fn used(nodes: &[Node], block: &'static Block, uses: &mut HashSet<String>) {
        for node in nodes {
            let word = block.find(&node.name.value).or(block.row).expect("it is good");
            uses.insert(format!("`{}` in {}", word.name, block.name));
            uses.extend(node.props.iter().map(|prop| format!("`{}=` of {}", prop.key.value, word.name)));
            if let Some(body) = word.body {
                used(node.children(), body, uses);
            }
        }
    }
    let text = include_str!("every-word.kdl");
    assert_eq!(checked(text), "");
    assert_eq!(crate::syntax::format(FileId(0), text).unwrap(), text, "run `envrun fmt` on it");
    let mut uses = HashSet::new();
    used(&parse(FileId(0), text).unwrap().nodes, &ROOT, &mut uses);
    for block in BLOCKS {
        for word in block.words.iter().chain(block.row) {
            let there = format!("`{}` in {}", word.name, block.name);
            assert!(uses.contains(&there), "{there} is not in every-word.kdl");
            for prop in word.props.iter().filter(|prop| prop.name != ANY_NAME) {
                let there = format!("`{}=` of {}", prop.name, word.name);
                assert!(uses.contains(&there), "{there} is not in every-word.kdl");
            }
        }
    }
}
