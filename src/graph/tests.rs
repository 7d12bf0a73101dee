//! Envfiles and targets in, graphs or diagnostics out.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use expect_test::{Expect, expect};

use super::*;
use crate::diag::Diagnostic;
use crate::diag::render::{Style, render};
use crate::load::{Loaded, Texts, load};
use crate::model::{Envfile, ProjectName};
use crate::vars::{Request, Source};

mod laws;

fn loaded(text: &str) -> Loaded {
    let file = PathBuf::from("/p/Envfile.kdl");
    let texts = Texts::Memory(BTreeMap::from([(file.clone(), text.to_owned())]));
    load(&file, &texts).unwrap()
}

/// Values of an Envfile without dotenv files, `--set` and caller.
fn values(envfile: &Envfile) -> impl FnMut(&ProjectName, Option<&EnvName>) -> Arc<Values> {
    let nothing: Source = Arc::new(|_| None);
    move |project, env| {
        let (given, caller) = (Arc::clone(&nothing), Arc::clone(&nothing));
        Arc::new(Values::resolve(&Request { envfile, project, env, dotenv: &[], set: &[], given, caller }).0)
    }
}

fn targets(envfile: &Envfile, texts: &str) -> Result<Vec<Target>, Diagnostic> {
    let default = envfile.default_env.as_ref().map(|env| &env.value);
    texts.split_whitespace().map(|text| resolve_target(envfile, text, default)).collect()
}

fn built(loaded: &Loaded, texts: &str) -> Result<TaskGraph, Vec<Diagnostic>> {
    let targets = targets(&loaded.envfile, texts).map_err(|diagnostic| vec![diagnostic])?;
    build(&loaded.envfile, &targets, &mut values(&loaded.envfile))
}

/// One line per node, in order: its label, what it is, and what comes before it.
fn drawn(graph: &TaskGraph) -> String {
    let mut out = String::new();
    for (ix, node) in graph.iter() {
        out.push_str(&node.label);
        for (holds, mark) in [(node.target, " (target)"), (node.follow_up, " (follow-up)")] {
            out.push_str(if holds { mark } else { "" });
        }
        let before: Vec<String> = graph
            .before(ix)
            .map(|(other, edge)| {
                assert!(other < ix, "edges lead upwards");
                let label = &graph[other].label;
                match edge.kind {
                    EdgeKind::Needs => label.clone(),
                    EdgeKind::After => format!("after {label}"),
                    EdgeKind::FollowUp(Occasion::Failure) => format!("failure of {label}"),
                    EdgeKind::FollowUp(Occasion::Success) => format!("success of {label}"),
                }
            })
            .collect();
        if !before.is_empty() {
            write!(out, " <- {}", before.join(", ")).unwrap();
        }
        out.push('\n');
    }
    out
}

/// Loads `text`, which must be right, and draws the graph of `targets`, or shows what is in its way.
fn check(text: &str, targets: &str, expected: Expect) {
    let loaded = loaded(text);
    let wrong: Vec<_> =
        loaded.diagnostics.iter().filter(|found| found.severity == crate::diag::Severity::Error).collect();
    assert!(wrong.is_empty(), "{}", render(&loaded.diagnostics, &loaded.sources, Style::Short));
    match built(&loaded, targets) {
        Ok(graph) => expected.assert_eq(&drawn(&graph)),
        Err(diagnostics) => expected.assert_eq(&render(&diagnostics, &loaded.sources, Style::Short)),
    }
}

const SITE: &str = r#"
project "site" default-env="dev"
vars { API "http://localhost"; FLAGS "-O2" }
env "dev" { vars { FLAGS "-g" } }
env "uat" { vars { API "https://uat.example" } }
env "prod" {
    vars { API "https://example" }
    task "smoke" { run "curl $API" }
    task "deploy" { needs "build" "smoke" }
}
task "install" { inputs "package.json"; outputs "node_modules"; run "npm ci" }
task "compile" { needs "install"; inputs "src/**"; outputs "obj"; run "cc $FLAGS" }
task "build" { needs "compile"; outputs "dist"; run "pack" }
task "pages" { needs "build"; outputs "pages"; run "render $API" }
task "check" { needs "build" "install" }
task "deploy" { needs "build"; run "push" }
task "seed" { needs "dev.deploy"; run "seed" }
"#;

#[test]
fn environments_meet_in_what_reads_nothing_of_them() {
    check(
        SITE,
        "uat.deploy prod.deploy",
        expect![[r#"
        install
        compile <- install
        build <- compile
        uat.deploy (target) <- build
        prod.smoke
        prod.deploy (target) <- build, prod.smoke
    "#]],
    );
}

#[test]
fn what_reads_a_variable_of_the_environment_is_its_own() {
    check(
        SITE,
        "uat.pages prod.pages",
        expect![[r#"
        install
        compile <- install
        build <- compile
        uat.pages (target) <- build
        prod.pages (target) <- build
    "#]],
    );
    // Only `dev` sets FLAGS, so only there the chain below it is its own.
    check(
        SITE,
        "dev.build uat.build",
        expect![[r#"
        install
        dev.compile <- install
        dev.build (target) <- dev.compile
        compile <- install
        build (target) <- compile
    "#]],
    );
}

#[test]
fn a_group_is_shared_if_all_it_needs_is() {
    check(
        SITE,
        "uat.check dev.check",
        expect![[r#"
        install
        compile <- install
        build <- compile
        check (target) <- build, install
        dev.compile <- install
        dev.build <- dev.compile
        dev.check (target) <- dev.build, install
    "#]],
    );
}

#[test]
fn a_pin_overrides_the_environment() {
    check(
        SITE,
        "prod.seed",
        expect![[r#"
        install
        dev.compile <- install
        dev.build <- dev.compile
        dev.deploy <- dev.build
        prod.seed (target) <- dev.deploy
    "#]],
    );
}

#[test]
fn a_pinned_need_keeps_a_task_shared() {
    let text = r#"
        env "dev"
        env "prod"
        task "data" { run "dump $ENVRUN_ENV" }
        task "report" { needs "dev.data"; outputs "report"; run "report" }
    "#;
    check(
        text,
        "prod.report dev.report",
        expect![[r#"
        dev.data
        report (target) <- dev.data
    "#]],
    );
}

#[test]
fn what_reads_only_what_envrun_gives_is_shared_beside_dotenv_files() {
    let text = r#"
        env "a"
        env "b"
        dotenv "of-${ENVRUN_ENV}.env" optional=#true
        task "named" { outputs "x"; run "echo $NAME > x" }
        task "packed" { outputs "y-${ENVRUN_REVISION}"; run "pack y-$ENVRUN_REVISION" }
        task "all" { needs "named" "packed" }
    "#;
    check(
        text,
        "a.all b.all",
        expect![[r#"
        named
        packed
        all (target) <- named, packed
    "#]],
    );
}

#[test]
fn what_tells_the_environment_is_never_shared() {
    let text = r#"
        env "a"
        env "b"
        task "by-name" { outputs "x"; run "echo $ENVRUN_ENV > x" }
        task "by-uses" { outputs "y"; uses "ENVRUN_STAGE"; run "y" }
        task "by-call" { outputs "z"; call "by-name" }
        task "uncached" { run "w" }
        task "guarded" { outputs "g"; guard { set "TOKEN" }; run "g" }
        task "all" { needs "by-name" "by-uses" "by-call" "uncached" "guarded" }
    "#;
    check(
        text,
        "a.all b.by-call",
        expect![[r#"
        a.by-name
        a.by-uses
        a.by-call
        a.uncached
        a.guarded
        a.all (target) <- a.by-name, a.by-uses, a.by-call, a.uncached, a.guarded
        b.by-call (target)
    "#]],
    );
}

#[test]
fn without_environments_there_are_none() {
    check(
        r#"task "a" { needs "b" }; task "b" { run "x" }"#,
        "a",
        expect![[r#"
        b
        a (target) <- b
    "#]],
    );
}

#[test]
fn called_tasks_bring_their_needs() {
    let text = r#"
        task "tar" { outputs "x.tar"; run "tar" }
        task "unpack" { needs "tar"; run "untar" }
        task "switch" { call "unpack"; run "ln" }
        task "deploy" { call "switch"; run "done"; call "unpack" }
    "#;
    check(
        text,
        "deploy",
        expect![[r#"
        tar
        deploy (target) <- tar
    "#]],
    );
    let loaded = loaded(text);
    let graph = built(&loaded, "deploy").unwrap();
    let deploy = graph.targets().next().unwrap();
    let commands: Vec<String> = graph[deploy].commands().into_iter().map(Command::display).collect();
    assert_eq!(commands, ["untar", "ln", "done", "untar"]);
}

#[test]
fn follow_ups_are_in_the_graph_and_wait_to_be_called() {
    let text = r#"
        env "uat"
        env "prod"
        task "build" { outputs "x"; run "x"; on-fail "tell" }
        task "test" { needs "build"; run "y"; on-fail "tell"; on-success "party" }
        task "tell" { needs "mailer"; run "mail"; on-fail "log" }
        task "mailer" { outputs "m"; run "m" }
        task "log" { after "party" "test"; run "log" }
        task "party" { after "build"; run "party" }
    "#;
    check(
        text,
        "uat.test prod.test",
        expect![[r#"
        build
        uat.test (target) <- build
        prod.test (target) <- build
        mailer (follow-up)
        uat.tell (follow-up) <- mailer, failure of uat.test, failure of build
        uat.party (follow-up) <- success of uat.test, after build
        prod.tell (follow-up) <- mailer, failure of prod.test, failure of build
        prod.party (follow-up) <- success of prod.test, after build
        uat.log (follow-up) <- failure of uat.tell, after uat.test
        prod.log (follow-up) <- failure of prod.tell, after prod.test
    "#]],
    );
}

#[test]
fn after_orders_only_what_is_there() {
    let text = r#"
        task "a" { after "b" "c"; run "a" }
        task "b" { run "b" }
        task "c" { needs "a"; run "c" }
    "#;
    check(
        text,
        "a",
        expect![[r#"
        a (target)
    "#]],
    );
    check(
        text,
        "a b",
        expect![[r#"
        b (target)
        a (target) <- after b
    "#]],
    );
    check(
        text,
        "c",
        expect![[r#"
        Envfile.kdl:2:30: error: nodes in a circle: `a → c → a` [graph/cycle]
        Envfile.kdl:4:26: note: `c` needs `a`
          help: take one of these out: a node cannot wait for itself
    "#]],
    );
}

#[test]
fn rings_are_shown_whole() {
    check(
        r#"
        task "a" { needs "b" }
        task "b" { needs "x" "c" }
        task "c" { needs "a" "c" }
        task "x" { run "x" }
        "#,
        "b",
        expect![[r#"
            Envfile.kdl:2:26: error: needs in a circle: `a → b → c → a` [graph/cycle]
            Envfile.kdl:3:30: note: `b` needs `c`
            Envfile.kdl:4:26: note: `c` needs `a`
              help: take one of these out: a node cannot wait for itself
            Envfile.kdl:4:30: error: needs in a circle: `c → c` [graph/cycle]
              help: take one of these out: a node cannot wait for itself
        "#]],
    );
    check(
        r#"
        task "a" { call "b"; run "x" }
        task "b" { needs "c"; run "y" }
        task "c" { needs "a" }
        "#,
        "a",
        expect![[r#"
            Envfile.kdl:2:25: error: nodes in a circle: `a → b → c → a` [graph/cycle]
            Envfile.kdl:3:26: note: `b` needs `c`
            Envfile.kdl:4:26: note: `c` needs `a`
              help: take one of these out: a node cannot wait for itself
        "#]],
    );
    check(
        r#"
        task "deploy" { needs "clean"; run "x"; on-fail "clean" }
        task "clean" { run "y" }
        "#,
        "deploy",
        expect![[r#"
            Envfile.kdl:2:31: error: nodes in a circle: `deploy → clean → deploy` [graph/cycle]
            Envfile.kdl:2:57: note: `clean` runs on the failure of `deploy`
              help: take one of these out: a node cannot wait for itself
        "#]],
    );
}

#[test]
fn check_finds_every_ring_once() {
    let loaded = loaded(
        r#"
        env "dev"
        env "prod" { task "deploy" { needs "test" } }
        task "a" { needs "b" }
        task "b" { needs "a" }
        task "test" { needs "deploy" }
        task "deploy" { needs "a" "only" }
        env "uat" { task "only" { run "x" } }
        "#,
    );
    expect![[r#"
        Envfile.kdl:4:26: error: needs in a circle: `a → b → a` [graph/cycle]
        Envfile.kdl:5:26: note: `b` needs `a`
          help: take one of these out: a node cannot wait for itself
        Envfile.kdl:3:44: error: needs in a circle: `prod.deploy → prod.test → prod.deploy` [graph/cycle]
        Envfile.kdl:6:29: note: `prod.test` needs `prod.deploy`
          help: take one of these out: a node cannot wait for itself
    "#]]
    .assert_eq(&render(&cycles(&loaded.envfile), &loaded.sources, Style::Short));
}

#[test]
fn what_an_environment_does_not_have() {
    check(
        r#"
        project "p" default-env="prod"
        env "dev" { task "e2e" { run "x" } }
        env "test" { task "e2e" { run "x" } }
        env "prod"
        task "deploy" { needs "e2e"; run "x" }
        "#,
        "prod.deploy",
        expect![[r#"
            Envfile.kdl:6:31: error: environment `prod` has no node `e2e` [graph/not-in-environment]
              help: it is in `dev` and `test`: write `dev.e2e` to have that one, or declare it in `prod` too
        "#]],
    );
}

#[test]
fn what_is_not_built_yet_is_said_where_it_stands() {
    check(
        r#"
        env "uat"
        env "prod" {
            guard { approval signers="s"; branch "main" }
        }
        service "db" { run "pg" }
        task "plain" { run "x" }
        task "deploy" { needs "db" "plain"; mutates #true; when { deployed "uat" }; run "x" }
        "#,
        "prod.deploy",
        expect![[r#"
            prod.db
            prod.plain
            prod.deploy (target) <- prod.db, prod.plain
        "#]],
    );
}

#[test]
fn what_is_not_built_yet_can_be_looked_at() {
    let loaded = loaded(
        r#"
        env "prod"
        service "db" { desc "Postgres"; needs "volume"; run "pg" }
        task "volume" { outputs "v"; arg "size"; run "mkdir" }
        task "deploy" { needs "db"; guard { approval signers="s" }; run "x" }
        "#,
    );
    let targets = targets(&loaded.envfile, "prod.deploy").unwrap();
    let graph = sketch(&loaded.envfile, &targets, &mut values(&loaded.envfile)).unwrap();
    expect![[r#"
        volume
        prod.db <- volume
        prod.deploy (target) <- prod.db
    "#]]
    .assert_eq(&drawn(&graph));
    let db = graph.iter().find(|(_, node)| node.kind() == "service").unwrap().1;
    assert_eq!(db.task.desc.as_deref(), Some("Postgres"));
}

#[test]
fn arguments_that_nobody_gives() {
    check(
        r#"
        task "unit" { arg "path"; flag "fast"; run "x" }
        task "all" { needs "unit" }
        "#,
        "all",
        expect![[r#"
            Envfile.kdl:3:28: error: `unit` needs a value for its argument `path` [graph/argument-missing]
            Envfile.kdl:2:27: note: declared without a default
              help: give `path` a `default=`, or run `unit` by name
        "#]],
    );
}

#[test]
fn one_node_with_two_sets_of_arguments() {
    let loaded = loaded(r#"task "unit" { arg "path" default="tests"; run "x" }"#);
    let target = |path: &str| Target {
        args: vec![("path".into(), path.into())],
        ..targets(&loaded.envfile, "unit").unwrap().remove(0)
    };
    let build = |list: &[Target]| build(&loaded.envfile, list, &mut values(&loaded.envfile));
    assert_eq!(build(&[target("a"), target("a")]).unwrap().len(), 1);
    let wrong = build(&[target("a"), target("b")]).unwrap_err();
    expect![[r#"
        error: `unit` is asked for twice, with different arguments [graph/arguments-differ]
          help: a node runs once in a run: start envrun twice
    "#]]
    .assert_eq(&render(&wrong, &loaded.sources, Style::Short));
}

#[test]
fn one_task_in_two_environments_makes_two_places() {
    let loaded = loaded(
        r#"
        vars { V "1" }
        env "uat" { vars { V "2" } }
        env "prod" { vars { V "3" } }
        task "site" { outputs "dist"; run "echo $V > dist" }
        task "own" { dir "${ENVRUN_ENV}"; outputs "dist"; run "echo $V > dist" }
        task "to" { arg "place" default="same"; outputs "out/${ENVRUN_ENV}" "${ARG_PLACE}/*.js"; run "echo $V" }
        task "plain" { outputs "plain"; run "echo" }
        task "both" { needs "uat.site" "prod.site"; run "x" }
        task "pack" { outputs "dist/**" "!dist/own"; run "echo $V > dist/pack" }
        task "aside" { outputs "dist/own"; run "echo $V > dist/own" }
        task "apart" { outputs "apart"; run "echo $V > apart" }
        "#,
    );
    let check = |targets: &str, expected: Expect| {
        let met = meetings(&built(&loaded, targets).unwrap());
        expected.assert_eq(&render(&met, &loaded.sources, Style::Short));
    };
    let site = expect![[r#"
        Envfile.kdl:5:31: error: `uat.site` and `prod.site` would write over each other's output `dist` [graph/outputs]
          help: give each environment its own place, with `${ENVRUN_ENV}` in it, or run one after the other
    "#]];
    check("uat.both", site);
    check(
        "uat.to prod.to",
        expect![[r#"
            Envfile.kdl:7:77: error: `uat.to` and `prod.to` would write over each other's output `same/*.js` [graph/outputs]
              help: give each environment its own place, with `${ENVRUN_ENV}` in it, or run one after the other
        "#]],
    );
    check("uat.own prod.own uat.plain prod.plain prod.site", expect![[""]]);
    // Two tasks, each in its own environment, are as bad as one in two.
    check(
        "uat.site prod.pack",
        expect![[r#"
        Envfile.kdl:10:31: error: `uat.site` and `prod.pack` would write over each other's output `dist` [graph/outputs]
        Envfile.kdl:5:31: note: `uat.site` makes this
          help: give each environment its own place, with `${ENVRUN_ENV}` in it, or run one after the other
    "#]],
    );
    check("uat.aside prod.pack uat.apart prod.own", expect![[""]]);
}

#[test]
fn addresses_on_the_command_line() {
    let loaded = loaded(
        r#"
        project "p" default-env="dev"
        env "base" abstract=#true
        env "dev" extends="base"
        env "prod" extends="base" { task "release" { run "x" } }
        env "pr" ephemeral=#true
        stage "ship" env="prod" { run "build" }
        task "build" { alias "b"; run "x" }
        task "list" { run "x" }
        task "greet.o" { run "x" }
        "#,
    );
    let mut out = String::new();
    let texts = [
        "build",
        "b",
        "prod.build",
        "ship.build",
        ":list",
        "greet.o",
        "prod.greet.o",
        "prod.release",
        "release",
        "biuld",
        "qa.build",
        "prd.build",
        "base.build",
        "pr.build",
        "",
        "a b",
        "build@x=1",
        "no:build",
    ];
    for text in texts {
        match resolve_target(&loaded.envfile, text, loaded.envfile.default_env.as_ref().map(|env| &env.value)) {
            Ok(target) => writeln!(out, "{text:?} is {} in {:?}", target.path, target.env),
            Err(diagnostic) => {
                let Diagnostic { code, message, help, .. } = diagnostic;
                writeln!(out, "{text:?} [{code}] {message}; {}", help.unwrap_or_default())
            }
        }
        .unwrap();
    }
    for text in ["prod", "prdo", "base"] {
        match resolve_environment(&loaded.envfile, text) {
            Ok(env) => writeln!(out, "environment {env}"),
            Err(diagnostic) => writeln!(
                out,
                "environment {text}: {}; {}",
                diagnostic.message,
                diagnostic.help.unwrap_or_default()
            ),
        }
        .unwrap();
    }
    expect![[r#"
        "build" is build in Some("dev")
        "b" is build in Some("dev")
        "prod.build" is build in Some("prod")
        "ship.build" is build in Some("prod")
        ":list" is list in Some("dev")
        "greet.o" is greet.o in Some("dev")
        "prod.greet.o" is greet.o in Some("prod")
        "prod.release" is release in Some("prod")
        "release" [graph/not-in-environment] environment `dev` has no node `release`; there is `prod.release`
        "biuld" [target/unknown] there is no node `biuld`; did you mean `build`?
        "qa.build" [target/unknown-environment] there is no environment `qa`; there is `dev` and `prod`
        "prd.build" [target/unknown] there is no node `prd.build`; did you mean `prod.build`?
        "base.build" [target/not-concrete] environment `base` is abstract; name one that a run can be in: `dev`, `prod`
        "pr.build" [target/not-concrete] environment `pr` is ephemeral, and none of it was made; `envrun env create pr` makes one that a run can be in; there is `dev`, `prod`
        "" [target/malformed] `` is not a name: it is empty; write `[env.][project:]name`
        "a b" [target/malformed] `a b` is not a name: it holds a space; write `[env.][project:]name`
        "build@x=1" [target/malformed] `build@x=1` is not a name: instances of a matrix (`@key=value`) are not built yet; write `[env.][project:]name`
        "no:build" [target/unknown] there is no node `no:build`; did you mean `build`?
        environment prod
        environment prdo: there is no environment `prdo`; did you mean `prod`?
        environment base: environment `base` is abstract; name one that a run can be in: `dev`, `prod`
    "#]].assert_eq(&out);
}

#[test]
fn questions_to_a_graph() {
    let loaded = loaded(SITE);
    let graph = built(&loaded, "uat.pages dev.check").unwrap();
    let labels = |selection: &query::Selection| {
        selection.iter().map(|ix| graph[ix].label.clone()).collect::<Vec<_>>().join(" ")
    };
    let one = |pattern: &str| query::select(&graph, pattern).unwrap();
    assert_eq!(labels(&one("dev.*")), "dev.compile dev.build dev.check");
    assert_eq!(labels(&one("build")), "build dev.build");
    assert_eq!(labels(&query::ancestors(&graph, &one("uat.pages"))), "install compile build uat.pages");
    assert_eq!(labels(&query::dependants(&graph, &one("dev.compile"))), "dev.compile dev.build dev.check");
    let between =
        query::dependants(&graph, &one("install")).and(&query::ancestors(&graph, &one("dev.check")));
    assert_eq!(labels(&between), "install dev.compile dev.build dev.check");
    let ix = |pattern: &str| one(pattern).iter().next().unwrap();
    let way = query::path(&graph, ix("uat.pages"), ix("install")).unwrap();
    assert_eq!(
        way.iter().map(|&ix| graph[ix].label.as_str()).collect::<Vec<_>>(),
        ["uat.pages", "build", "compile", "install"]
    );
    assert_eq!(query::path(&graph, ix("install"), ix("uat.pages")), None);
}

#[test]
fn what_is_there_already_needs_nothing() {
    let loaded = loaded(
        r#"
        task "base" { run "x" }
        task "fetch" { needs "base"; run "x" }
        task "package" { needs "fetch"; on-fail "cry"; outputs "p"; run "x" }
        task "lint" { needs "base"; run "x" }
        task "cry" { run "x" }
        task "ship" { needs "package" "lint"; after "fetch"; run "x" }
        "#,
    );
    let targets = targets(&loaded.envfile, "ship").unwrap();
    let graph = build(&loaded.envfile, &targets, &mut values(&loaded.envfile)).unwrap();
    let labels = |graph: &TaskGraph| {
        let mut labels: Vec<String> = graph.iter().map(|(_, node)| node.label.clone()).collect();
        labels.sort();
        labels.join(" ")
    };
    assert_eq!(labels(&graph), "base cry fetch lint package ship");
    let cut = graph.without_needs_of(|node| node.label == "package");
    assert_eq!(labels(&cut), "base cry lint package ship");
    let package = cut.iter().find(|(_, node)| node.label == "package").unwrap().0;
    assert_eq!(cut.needs(package).count(), 0);
    assert_eq!(cut.targets().count(), 1);
    // Somebody else still needs what it needed: it stays, and is waited for by that one alone.
    let kept = graph.without_needs_of(|node| node.label == "fetch");
    assert_eq!(labels(&kept), labels(&graph));
    assert_eq!(labels(&graph.without_needs_of(|node| node.label == "ship")), "ship");
}

#[test]
fn nothing_is_made_for_what_is_skipped() {
    let loaded = loaded(
        r#"
        task "base" { run "x" }
        task "lint" { needs "base"; run "x" }
        task "server" { needs "base"; run "x" }
        task "verify" { needs "server"; run "x" }
        task "pack" { run "x" }
        task "all" { needs "verify" "pack" "lint"; run "x" }
        "#,
    );
    let targets = targets(&loaded.envfile, "all").unwrap();
    let graph = build(&loaded.envfile, &targets, &mut values(&loaded.envfile)).unwrap();
    let left = |skipped: &[&str]| {
        let skipped = graph.iter().filter(|(_, node)| skipped.contains(&node.label.as_str()));
        let graph = graph.without_needs_of_skipped(&skipped.map(|(ix, _)| ix).collect());
        let mut edges: Vec<String> = graph
            .edges()
            .map(|(need, node, _)| format!("{} > {}", graph[need].label, graph[node].label))
            .collect();
        edges.sort();
        format!("{}: {}", graph.len(), edges.join(", "))
    };
    expect!["6: base > lint, base > server, lint > all, pack > all, server > verify, verify > all"]
        .assert_eq(&left(&[]));
    // `all` is still there, and hears from `verify` that it is skipped.
    expect!["2: verify > all"].assert_eq(&left(&["verify"]));
    expect!["1: "].assert_eq(&left(&["all"]));
    expect!["1: "].assert_eq(&left(&["all", "verify"]));
    expect!["5: base > lint, base > server, lint > all, server > verify, verify > all"]
        .assert_eq(&left(&["base"]));
}
