//! Bad Envfiles: each gets its place, the reason and the remedy, and exit status 2 before anything runs.

use expect_test::{Expect, expect};

use crate::sandbox::Sandbox;

/// What `envrun check` says of an Envfile.
#[track_caller]
fn check(envfile: &str, expected: Expect) {
    Sandbox::new(envfile).check(&["check"], expected);
}

#[test]
fn text_that_is_not_kdl() {
    check(
        r#"
task "a" {
    cache=true
    timeout 30s
    run "costs \$5"
    needs ["b", "c"]
    dir ./sub
    # a comment
}
task "b"
task "c"
"#,
        expect![[r##"
            exit: 2
            --- stderr
            Envfile.kdl:3:5: error: the values of `cache` follow it without `=` [syntax/assignment]
              help: write `cache #true`
            Envfile.kdl:4:13: error: `[time]` begins like a number and is none, so it needs quotes [syntax/number]
              help: write `"[time]"`
            Envfile.kdl:5:16: error: `\$` is not an escape [syntax/escape]
              help: write `$`, which needs no backslash; for the backslash itself `\\$` or a raw string `#"…"#`
            Envfile.kdl:6:11: error: a list has no brackets and no commas here [syntax/brackets]
              help: write `"b" "c"`
            Envfile.kdl:7:9: error: `./sub` needs quotes [syntax/needs-quotes]
              help: write `"./sub"`
            Envfile.kdl:8:5: error: a comment begins with `//`, not with `#` [syntax/hash-comment]
              help: write `//` instead of `#`
        "##]],
    );
    check(
        "env \"a\" {\n    task \"b\" {\n        run \"x\"\n}\n",
        expect![[r#"
        exit: 2
        --- stderr
        Envfile.kdl:2:14: error: this block is never closed [syntax/unclosed-block]
        Envfile.kdl:4:1: note: the file ends here
          help: add the missing `}`
    "#]],
    );
}

#[test]
fn unknown_words() {
    check(
        "deploy \"d\" { verfy \"health\"; run \"x\" }\ntask \"health\" { depends-on \"d\" }\nguard { clean }\n",
        expect![[r#"
            exit: 2
            --- stderr
            Envfile.kdl:1:14: error: unknown `verfy` in deploy [syntax/unknown-word]
              help: did you mean `verify`?
            Envfile.kdl:2:17: error: unknown `depends-on` in task [syntax/unknown-word]
              help: did you mean `needs`?
            Envfile.kdl:3:1: error: `guard` is not allowed at the root [syntax/misplaced-word]
              help: it is a word of `env`, `task`, `deploy`, `stage`
        "#]],
    );
}

#[test]
fn things_said_twice() {
    check(
        r#"
env "dev"
env "dev"
vars { A 1; A 2 }
task "t" { desc "x"; desc "y" }
service "t" { run "x" }
include "x.kdl" as="x" as="y"
"#,
        expect![[r#"
            exit: 2
            --- stderr
            Envfile.kdl:3:5: error: the environment `dev` is declared twice [syntax/duplicate]
            Envfile.kdl:2:5: note: declared here first
              help: rename one of them, or take one away
            Envfile.kdl:4:13: error: the variable `A` is declared twice [syntax/duplicate]
            Envfile.kdl:4:8: note: declared here first
              help: rename one of them, or take one away
            Envfile.kdl:5:22: error: `desc` is given twice [syntax/duplicate]
            Envfile.kdl:5:12: note: given here first
              help: it may be given once; take one away
            Envfile.kdl:6:9: error: the node `t` is declared twice [syntax/duplicate]
            Envfile.kdl:5:6: note: declared here first
              help: rename one of them, or take one away
            Envfile.kdl:7:9: error: there is no `x.kdl` to include [load/include]
            Envfile.kdl:7:24: error: the property `as` is given twice [syntax/duplicate]
            Envfile.kdl:7:17: note: given here first
              help: take one away
        "#]],
    );
}

#[test]
fn rings() {
    check(
        "task \"a\" { needs \"b\" }\ntask \"b\" { needs \"c\" }\ntask \"c\" { needs \"a\" }\ntask \"d\" { needs \"bb\" }\n",
        expect![[r#"
            exit: 2
            --- stderr
            Envfile.kdl:4:18: error: there is no node `bb` [load/unknown-node]
              help: did you mean `b`?
            Envfile.kdl:1:18: error: needs in a circle: `a → b → c → a` [graph/cycle]
            Envfile.kdl:2:18: note: `b` needs `c`
            Envfile.kdl:3:18: note: `c` needs `a`
              help: take one of these out: a node cannot wait for itself
        "#]],
    );
    check(
        "task \"a\" { call \"b\" }\ntask \"b\" { call \"c\" }\ntask \"c\" { run \"true\" }\ntask \"me\" { call \"me\" }\nenv \"prod\" { task \"c\" { call \"a\" } }\n",
        expect![[r#"
            exit: 2
            --- stderr
            Envfile.kdl:4:18: error: calls in a circle: `me → me` [graph/cycle]
              help: take one of these out: a node cannot wait for itself
            Envfile.kdl:1:17: error: calls in a circle: `prod.a → prod.b → prod.c → prod.a` [graph/cycle]
            Envfile.kdl:2:17: note: `prod.b` calls `prod.c`
            Envfile.kdl:5:30: note: `prod.c` calls `prod.a`
              help: take one of these out: a node cannot wait for itself
        "#]],
    );
    check(
        "env \"a\" extends=\"b\"\nenv \"b\" extends=\"a\"\nenv \"c\" extends=\"d\"\n",
        expect![[r#"
        exit: 2
        --- stderr
        Envfile.kdl:1:17: error: environments extend each other in a circle: `a → b → a` [load/cycle]
        Envfile.kdl:2:17: note: `b` extends `a`
        Envfile.kdl:3:17: error: there is no environment `d` [load/unknown-env]
    "#]],
    );
    check(
        "vars { A \"${B}\"; B \"${A}\"; C \"${c}\" }\n",
        expect![[r#"
        exit: 2
        --- stderr
        Envfile.kdl:1:11: error: variables mention each other in a circle: `A → B → A` [load/cycle]
        Envfile.kdl:1:21: note: `B` mentions `A`
        Envfile.kdl:1:31: error: `c` is not declared [load/undeclared]
          help: did you mean `C`?
    "#]],
    );
    Sandbox::with(&[
        ("Envfile.kdl", "include \"a.kdl\""),
        ("a.kdl", "include \"b.kdl\""),
        ("b.kdl", "include \"a.kdl\""),
    ])
    .check(
        &["check"],
        expect![[r#"
        exit: 2
        --- stderr
        a.kdl:1:9: error: files include each other in a circle: `a.kdl → b.kdl → a.kdl` [load/cycle]
        b.kdl:1:9: note: `b.kdl` includes `a.kdl`
    "#]],
    );
}

#[test]
fn names_on_the_command_line() {
    let sandbox = Sandbox::new(
        "env \"prod\"\nenv \"base\" abstract=#true\nenv \"uat\" extends=\"base\"\ntask \"deploy\" { run \"true\" }\n",
    );
    sandbox.check(
        &["prod.depoy"],
        expect![[r#"
        exit: 2
        --- stderr
        error: there is no node `prod.depoy`
        hint: did you mean `prod.deploy`?
    "#]],
    );
    sandbox.check(
        &["prd.deploy"],
        expect![[r#"
        exit: 2
        --- stderr
        error: there is no node `prd.deploy`
        hint: did you mean `prod.deploy`?
    "#]],
    );
    sandbox.check(
        &["base.deploy"],
        expect![[r#"
        exit: 2
        --- stderr
        error: environment `base` is abstract
        hint: name one that a run can be in: `uat`
    "#]],
    );
    for (word, hint) in [
        ("help", "did you mean `envrun --help`?"),
        ("lst", "did you mean `envrun list`?"),
        (
            "prod",
            "`prod` is an environment: `envrun prod.NODE` runs something in it, `envrun env show prod` shows its values",
        ),
        ("something-else", "`envrun list` shows what there is"),
    ] {
        let ran = sandbox.run(&[word]);
        assert_eq!(
            ran.text(),
            format!("exit: 2\n--- stderr\nerror: there is no node `{word}`\nhint: {hint}\n")
        );
    }
    // What only a pattern has is nowhere yet, and no pattern is offered for a name that is misspelt.
    let sandbox = Sandbox::new(
        "env \"prod\"\nenv \"pr\" ephemeral=#true { task \"special\" { run \"true\" } }\ntask \"deploy\" { run \"true\" }\n",
    );
    let said = sandbox.run(&["special"]).text();
    assert!(said.contains("it is in `pr`: `envrun env create pr` makes one that a run can be in"), "{said}");
    assert!(sandbox.run(&["prd.deploy"]).stderr.contains("did you mean `prod.deploy`?"));
}

#[test]
#[cfg(unix)]
fn an_envfile_that_is_no_text_or_no_file() {
    let sandbox = Sandbox::with(&[]);
    sandbox.write("Envfile.kdl", b"// fine\ntask \"\xc3\xa9\xff\" { run \"true\" }\n");
    sandbox.check(
        &["check"],
        expect![[r#"
        exit: 2
        --- stderr
        error: cannot read `$ROOT/Envfile.kdl`: line 2, column 8: the byte 0xff is no UTF-8; save the file as UTF-8
    "#]],
    );
    std::fs::remove_file(sandbox.root().join("Envfile.kdl")).unwrap();
    std::os::unix::fs::symlink("elsewhere/Envfile.kdl", sandbox.root().join("Envfile.kdl")).unwrap();
    sandbox.check(
        &["list"],
        expect![[r#"
        exit: 2
        --- stderr
        error: cannot read `$ROOT/Envfile.kdl`: it is a link to elsewhere/Envfile.kdl, which is not there
    "#]],
    );
}

#[test]
fn values() {
    check(
        r#"
vars {
    (port)PORT 8080
    (enum)LEVEL "info" one-of="debug|info"
    WORKERS 4 min=1 max=8
    (url)HOME_PAGE "nowhere"
    (size)LIMIT "8 gigs"
    (duration)WAIT "soon"
    NAME "x" pattern="[a-z]{3}"
}
env "a" { vars { PORT 0; LEVEL "loud"; WORKERS 9 } }
env "b" { vars { PORT "abc"; WORKERS "many" } }
env "c" { vars { PORT 65536 } }
"#,
        expect![[r#"
            exit: 2
            --- stderr
            Envfile.kdl:6:20: error: `HOME_PAGE`: `nowhere` is not an absolute URL such as `https://example.org/path` [load/value]
            Envfile.kdl:6:10: note: declared here
            Envfile.kdl:7:17: error: `LIMIT`: `8 gigs` is not a size such as `512MiB` or `8GiB` [load/value]
            Envfile.kdl:7:11: note: declared here
            Envfile.kdl:8:20: error: `WAIT`: `soon` is not a duration such as `[time]`, `[time]` or `1h30m` [load/value]
            Envfile.kdl:8:15: note: declared here
            Envfile.kdl:9:10: error: `NAME`: `x` does not match `[a-z]{3}` [load/value]
            Envfile.kdl:9:22: note: asked for here
            Envfile.kdl:11:23: error: `PORT`: `0` is not a port, 1 to 65535 [load/value]
            Envfile.kdl:3:11: note: declared here
            Envfile.kdl:11:32: error: `LEVEL`: `loud` is not one of `debug`, `info` [load/value]
            Envfile.kdl:4:31: note: asked for here
            Envfile.kdl:11:48: error: `WORKERS`: `9` is above the greatest, 8 [load/value]
            Envfile.kdl:5:25: note: asked for here
            Envfile.kdl:12:23: error: `PORT`: `abc` is not a port, 1 to 65535 [load/value]
            Envfile.kdl:3:11: note: declared here
            Envfile.kdl:12:38: error: `WORKERS` is declared as a whole number, and here it is a text [load/type]
            Envfile.kdl:5:13: note: declared here
              help: an overlay changes the value, never the type
            Envfile.kdl:13:23: error: `PORT`: `65536` is not a port, 1 to 65535 [load/value]
            Envfile.kdl:3:11: note: declared here
        "#]],
    );
}

#[test]
fn outputs_and_inputs() {
    check(
        r#"
task "a" { outputs "dist"; run "true" }
task "b" { outputs "dist/x"; run "true" }
task "c" { outputs "../c"; run "true" }
task "d" { inputs "src/**/*.none"; run "true" }
task "e" { dir "${NOPE}"; run "true" }
"#,
        expect![[r#"
            exit: 2
            --- stderr
            Envfile.kdl:3:20: error: `b` and `a` would write over each other's outputs [load/outputs]
            Envfile.kdl:2:20: note: `a` makes this
              help: give each its own place, or make one task of them
            Envfile.kdl:4:20: error: the output `../c` lies outside the project [load/outside]
              help: what a task reads and makes, and where it runs, is in the folder of the root Envfile or below
            Envfile.kdl:6:17: error: `NOPE` is not declared [load/undeclared]
              help: declare it in `vars`, or give it a default: `${NOPE:-…}`; `$${NOPE}` is the text itself
        "#]],
    );
    let sandbox = Sandbox::with(&[
        (
            "Envfile.kdl",
            "task \"a\" { inputs \"src/**/*.none\" \"src/*.c\" \"log/**\"; outputs \"made/a\"; run \"true\" }\n\
             task \"b\" { dir \"sub\"; inputs \"*.c\" \"../made/*\" \"gone.txt\"; run \"true\" }\n",
        ),
        ("src/a.c", ""),
        ("log/x", ""),
        (".gitignore", "log\n"),
    ]);
    sandbox.check(
        &["check"],
        expect![[r#"
        exit: 0
        --- stderr
        Envfile.kdl:1:19: warning: the input `src/**/*.none` matches no file [check/no-file]
          help: look at its spelling and at `dir`; a glob does not see what `.gitignore` names
        Envfile.kdl:1:45: warning: the input `log/**` matches no file [check/no-file]
          help: look at its spelling and at `dir`; a glob does not see what `.gitignore` names
        Envfile.kdl:2:30: warning: the input `*.c` matches no file [check/no-file]
          help: look at its spelling and at `dir`; a glob does not see what `.gitignore` names
        2 nodes in 1 file: good
    "#]],
    );
    sandbox.check(
        &["check", "--strict"],
        expect![[r#"
        exit: 2
        --- stderr
        Envfile.kdl:1:19: warning: the input `src/**/*.none` matches no file [check/no-file]
          help: look at its spelling and at `dir`; a glob does not see what `.gitignore` names
        Envfile.kdl:1:45: warning: the input `log/**` matches no file [check/no-file]
          help: look at its spelling and at `dir`; a glob does not see what `.gitignore` names
        Envfile.kdl:2:30: warning: the input `*.c` matches no file [check/no-file]
          help: look at its spelling and at `dir`; a glob does not see what `.gitignore` names
    "#]],
    );
}

#[test]
fn secrets_and_schedules() {
    check(
        r#"
secrets { TOKEN "abc123" }
task "a"
schedule "a" cron="61 * * * *" tz="UTC"
schedule "a" cron="0 0 31 4 *" tz="UTC"
schedule "a" cron="0 0 * * *"
schedule "nope" every="1h"
"#,
        expect![[r#"
            exit: 2
            --- stderr
            Envfile.kdl:2:17: error: a secret has no value here [syntax/secret-value]
              help: a secret's value does not stand in the Envfile: take it out, and store it with `envrun secret set`
            Envfile.kdl:4:19: error: `61 * * * *` names no time: `61` is not a minute: write `*`, numbers from 0 to 59, `a-b`, `*/n` or a list [syntax/cron]
              help: write for instance `"30 2 * * *"`, half past two every night
            Envfile.kdl:5:19: error: `0 0 31 4 *` names no time: no month it names has such a day [syntax/cron]
              help: write for instance `"30 2 * * *"`, half past two every night
            Envfile.kdl:6:1: error: `cron=` needs a time zone [syntax/missing-property]
              help: add `tz="UTC"`, or a zone such as `tz="Europe/Berlin"`
            Envfile.kdl:7:10: error: there is no node `nope` [load/unknown-node]
        "#]],
    );
}

#[test]
fn for_machines() {
    let sandbox = Sandbox::new("task \"a\" { verfy \"x\" }\n");
    sandbox.check(&["check", "--format", "json"], expect![[r#"
        exit: 2
        --- stdout
        {"code":"syntax/unknown-word","help":"did you mean `verify`? it is a word of `deploy`, `snapshot`","labels":[{"column":12,"end_column":17,"end_line":1,"file":"Envfile.kdl","length":5,"line":1,"offset":11,"text":""}],"message":"unknown `verfy` in task","severity":"error"}
    "#]]);
    sandbox.check(&["check", "--format", "github"], expect![[r#"
        exit: 2
        --- stdout
        ::error file=Envfile.kdl,line=1,endLine=1,col=12,endColumn=17,title=syntax/unknown-word::unknown `verfy` in task%0Ahelp: did you mean `verify`? it is a word of `deploy`, `snapshot`
    "#]]);
}

#[test]
fn nothing_runs() {
    let sandbox = Sandbox::new("task \"a\" { run \"touch ran\" }\ntask \"b\" { timeout 30s }\n");
    sandbox.check(
        &["a"],
        expect![[r#"
        exit: 2
        --- stderr
        Envfile.kdl:2:20: error: `[time]` begins like a number and is none, so it needs quotes [syntax/number]
          help: write `"[time]"`
    "#]],
    );
    assert!(!sandbox.exists("ran"));
}

#[test]
fn an_option_without_its_value() {
    for words in [&["--set"][..], &["-k", "-j"], &["-C"], &["a", "--set"]] {
        let ran = Sandbox::new("task \"a\" { run \"true\" }").run(words);
        assert_eq!(ran.exit, 2, "{}", ran.stderr);
        assert!(ran.stderr.starts_with("error: a value is required for"), "{}", ran.stderr);
    }
}
