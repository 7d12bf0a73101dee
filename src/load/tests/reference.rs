//! Names of nodes: what they stand for, and what is said of those that stand for nothing.

use expect_test::expect;

use super::{good, one, path};
use crate::model::{EnvName, Node, Task};

fn task<'l>(loaded: &'l crate::load::Loaded, env: Option<&str>, name: &str) -> &'l Task {
    match loaded.envfile.node(env.map(EnvName::from).as_ref(), &path(name)) {
        Some(Node::Task(task)) => task,
        other => panic!("{name}: {other:?}"),
    }
}

#[test]
fn environments_stages_and_aliases_are_looked_through() {
    let loaded = good(&[(
        "Envfile.kdl",
        r#"
        env "dev"
        env "prod" { task "only" { run "true" } }
        stage "ship" env="prod" { run "b" }
        stage "free" { run "b" }
        task "a" { needs "dev.b" "prod.b" "ship.b" "free.b" "b" "bee" "dev.bee" "prod.only" "x.o" ":b" "prod.:b" }
        task "b" { alias "bee"; run "true" }
        task "x.o" { run "true" }
        "#,
    )]);
    let needs: Vec<String> = task(&loaded, None, "a")
        .needs
        .iter()
        .map(|need| format!("{}@{}", need.path, need.env.as_ref().map_or("-", EnvName::as_str)))
        .collect();
    expect!["b@dev b@prod b@prod b@- b@- b@- b@dev only@prod x.o@- b@- b@prod"].assert_eq(&needs.join(" "));
}

#[test]
fn unknown_nodes_name_the_nearest() {
    one(
        r#"
        env "prod" { task "ship" { run "true" } }
        task "build" { alias "make"; run "true" }
        task "a" { needs "biuld" "prd.build" "prod.biuld" "mkae" "zzzzzz"; after "buil"; call "bulid"; on-fail "shp"; run "true" }
        schedule "prod.shipp" every="1h"
        "#,
        expect![[r#"
            error[load/unknown-node]: there is no node `biuld`
              Envfile.kdl:4:26 `"biuld"`
              help: did you mean `build`?
            error[load/unknown-node]: there is no node `prd.build`
              Envfile.kdl:4:34 `"prd.build"`
              help: did you mean `prod.build`?
            error[load/unknown-node]: there is no node `prod.biuld`
              Envfile.kdl:4:46 `"prod.biuld"`
              help: did you mean `prod.build`?
            error[load/unknown-node]: there is no node `mkae`
              Envfile.kdl:4:59 `"mkae"`
              help: did you mean `make`?
            error[load/unknown-node]: there is no node `zzzzzz`
              Envfile.kdl:4:66 `"zzzzzz"`
            error[load/unknown-node]: there is no node `buil`
              Envfile.kdl:4:82 `"buil"`
              help: did you mean `build`?
            error[load/unknown-node]: there is no node `bulid`
              Envfile.kdl:4:95 `"bulid"`
              help: did you mean `build`?
            error[load/unknown-node]: there is no node `shp`
              Envfile.kdl:4:112 `"shp"`
              help: did you mean `ship`?
            error[load/unknown-node]: there is no node `prod.shipp`
              Envfile.kdl:5:18 `"prod.shipp"`
              help: did you mean `prod.ship`?
        "#]],
    );
}

#[test]
fn a_node_of_another_environment() {
    one(
        r#"
        env "base" abstract=#true { task "lonely" { run "true" } }
        env "dev" { task "e2e" { run "true" } }
        env "uat" { task "check" { needs "e2e" "seed" } }
        env "qa" extends="uat"
        env "pr" ephemeral=#true { task "preview" { run "true" } }
        task "seed" { needs "e2e"; run "true" }
        task "a" { needs "uat.e2e" "base.seed" "pr.seed" "lonely" "preview" }
        "#,
        expect![[r#"
            error[load/not-in-environment]: environment `uat` has no node `e2e`
              Envfile.kdl:4:42 `"e2e"`
              help: `e2e` is in `dev`
            error[load/not-in-environment]: environment `uat` has no node `e2e`
              Envfile.kdl:8:26 `"uat.e2e"`
              help: `e2e` is in `dev`
            error[load/not-concrete]: environment `base` is abstract
              Envfile.kdl:8:36 `"base.seed"`
              help: name one that a run can be in: `dev`, `uat`, `qa`
            error[load/not-concrete]: environment `pr` is ephemeral, and none of it was made
              Envfile.kdl:8:48 `"pr.seed"`
              help: `envrun env create pr` makes one that a run can be in; there is `dev`, `uat`, `qa`
            error[load/not-in-environment]: no environment that a run can be in has `lonely`
              Envfile.kdl:8:58 `"lonely"`
              help: it stands in `base`, which is abstract, and nothing extends it
        "#]],
    );
}

#[test]
fn names_that_could_mean_two_things() {
    one(
        r#"
        env "prod"
        env "uat"
        stage "uat" env="prod" { run "o" }
        stage "prod" { run "o" }
        task "o" { run "true" }
        task "prod.o" { run "true" }
        task "a" { alias "o" "both"; needs "prod.o"; run "true" }
        task "b" { alias "both"; run "true" }
        "#,
        expect![[r#"
            error[load/ambiguous]: stage `uat` is called like an environment
              Envfile.kdl:4:25 `"prod"`: and is not bound to it
              Envfile.kdl:3:13 `"uat"`: the environment
              help: write `stage "uat" env="uat"`, or rename the stage
            error[load/ambiguous]: stage `prod` is called like an environment
              Envfile.kdl:5:15 `"prod"`: and is not bound to it
              Envfile.kdl:2:13 `"prod"`: the environment
              help: write `stage "prod" env="prod"`, or rename the stage
            error[load/duplicate]: the alias `o` is already a node
              Envfile.kdl:8:26 `"o"`: the alias
              Envfile.kdl:6:14 `"o"`: the first
            error[load/ambiguous]: `prod.o` may be node `prod.o`, or node `o` in environment `prod`
              Envfile.kdl:8:44 `"prod.o"`
              help: rename one of them, or write `:prod.o` for the first
            error[load/duplicate]: the alias `both` is already another node's alias
              Envfile.kdl:9:26 `"both"`: the alias
              Envfile.kdl:8:30 `"both"`: the first
        "#]],
    );
    super::check(
        &[
            ("Envfile.kdl", "env \"k8s\"\nenv \"api\"\ninclude \"k8s.kdl\" as=\"k8s\"\ninclude \"api\""),
            ("k8s.kdl", ""),
            ("api/Envfile.kdl", ""),
        ],
        expect![[r#"
            error[load/ambiguous]: `k8s` is a namespace and an environment
              Envfile.kdl:3:22 `"k8s"`: the namespace
              Envfile.kdl:1:5 `"k8s"`: the environment
              help: `k8s.x` could mean either: rename one
            error[load/ambiguous]: `api` is a project and an environment
              Envfile.kdl:4:9 `"api"`: the project
              Envfile.kdl:2:5 `"api"`: the environment
              help: `api.x` could mean either: rename one
        "#]],
    );
}

#[test]
fn a_dot_in_a_name_is_no_environment_unless_both_are_there() {
    let loaded = good(&[(
        "Envfile.kdl",
        "env \"test\"\ntask \"test.o\" { run \"true\" }\ntask \"a\" { needs \"test.o\" }",
    )]);
    assert_eq!(task(&loaded, None, "a").needs[0].path, path("test.o"));
}

#[test]
fn circles_of_extends() {
    one(
        "env \"a\" extends=\"b\"\nenv \"b\" extends=\"c\"\nenv \"c\" extends=\"a\"\nenv \"d\" extends=\"a\"\nenv \"e\" extends=\"e\"\nenv \"f\" extends=\"aa\"",
        expect![[r#"
            error[load/cycle]: environments extend each other in a circle: `a → b → c → a`
              Envfile.kdl:1:17 `"b"`: `a` extends `b`
              Envfile.kdl:2:17 `"c"`: `b` extends `c`
              Envfile.kdl:3:17 `"a"`: `c` extends `a`
            error[load/cycle]: environments extend each other in a circle: `e → e`
              Envfile.kdl:5:17 `"e"`: `e` extends `e`
            error[load/unknown-env]: there is no environment `aa`
              Envfile.kdl:6:17 `"aa"`
              help: did you mean `a`?
        "#]],
    );
}

#[test]
fn circles_of_stages_and_unknown_ones() {
    one(
        "stage \"a\" after=\"b\" { run \"x\" }\nstage \"b\" after=\"a|cc\" { run \"x\" }\nstage \"c\" env=\"nope\" { run \"y\" }\ntask \"x\" { run \"true\" }",
        expect![[r#"
            error[load/cycle]: stages stand after each other in a circle: `a → b → a`
              Envfile.kdl:1:17 `"b"`: `a` is after `b`
              Envfile.kdl:2:17 `"a|cc"`: `b` is after `a`
            error[load/unknown-stage]: there is no stage `cc`
              Envfile.kdl:2:17 `"a|cc"`
              help: did you mean `c`?
            error[load/unknown-env]: there is no environment `nope`
              Envfile.kdl:3:15 `"nope"`
            error[load/unknown-node]: there is no node `y`
              Envfile.kdl:3:28 `"y"`
        "#]],
    );
}

#[test]
fn defaults_and_pools_and_stores() {
    one(
        r#"
        project "p" default-env="prd"
        env "prod" { secrets store="vautl" { KEY } }
        store "vault" { read "true" }
        pool "heavy" 2
        task "a" { pool "haevy"; run "true" }
        task "b" { pool "heavy"; run "true" }
        deploy "d" { from "pord" }
        task "c" { when { deployed "pro" } }
        "#,
        expect![[r#"
            error[load/unknown-env]: there is no environment `prd`
              Envfile.kdl:2:33 `"prd"`
              help: did you mean `prod`?
            error[load/unknown-store]: there is no store `vautl`
              Envfile.kdl:3:36 `"vautl"`
              help: did you mean `vault`?
            error[load/unknown-pool]: there is no pool `haevy`
              Envfile.kdl:6:25 `"haevy"`
              help: did you mean `heavy`?
            error[load/unknown-env]: there is no environment `pord`
              Envfile.kdl:8:27 `"pord"`
              help: did you mean `prod`?
            error[load/unknown-env]: there is no environment `pro`
              Envfile.kdl:9:36 `"pro"`
              help: did you mean `prod`?
        "#]],
    );
    one(
        "project \"p\" default-env=\"base\"\nenv \"base\" abstract=#true\nenv \"prod\" extends=\"base\"",
        expect![[r#"
            error[load/not-concrete]: the default environment `base` is abstract
              Envfile.kdl:1:25 `"base"`
              help: a run can be in `prod`
        "#]],
    );
}
