//! Whole files, as people write them.

use std::path::Path;

use expect_test::expect;
use proptest::prelude::*;

use super::super::{Loaded, Texts, load};
use super::{good, loaded, path, said, shown};
use crate::model::{EnvName, Node};

fn cluster() -> Loaded {
    good(&[
        ("Envfile.kdl", include_str!("sample/cluster.kdl")),
        ("tasks/k8s.kdl", include_str!("sample/k8s.kdl")),
        ("tasks/stores.kdl", include_str!("sample/stores.kdl")),
        ("tasks/notify.kdl", include_str!("sample/notify.kdl")),
    ])
}

#[test]
fn the_example_says_nothing() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/hello-deploy/Envfile.kdl");
    assert_eq!(said(&load(&file, &Texts::Disk).unwrap()), "");
}

#[test]
fn a_deploy_is_what_its_chain_makes_of_it() {
    shown(
        &cluster(),
        "prod",
        "deploy",
        expect![[r#"
        deploy "deploy" {                               Envfile.kdl:73
            needs "migrate" "test.check"                Envfile.kdl:47
            call "k8s.apply"                            Envfile.kdl:48
            verify "smoke" for="10m"                    Envfile.kdl:76
            keep 10                                     Envfile.kdl:50
            on-fail "notify.slack"                      Envfile.kdl:51
            from "staging"                              Envfile.kdl:74
            snapshot "db"                               Envfile.kdl:75
            tag "rollback-${ENVRUN_TIME}"               Envfile.kdl:77
        }
    "#]],
    );
}

#[test]
fn every_node_is_where_it_should_be() {
    let loaded = cluster();
    let envfile = &loaded.envfile;
    let mut table = String::new();
    for node in envfile.node_paths() {
        let environments = envfile.environments_of(&node);
        let names: Vec<&str> = environments.iter().map(EnvName::as_str).collect();
        let kind = environments
            .first()
            .map_or_else(|| envfile.node(None, &node), |env| envfile.node(Some(env), &node));
        table.push_str(&format!("{} {node} {}\n", kind.map_or("?", Node::kind), names.join(",")));
    }
    expect![[r#"
        task k8s.namespace 
        task k8s.delete 
        task k8s.apply 
        task k8s.rollout 
        task notify.slack 
        task setup 
        task lint 
        task unit 
        task check 
        task package 
        task image 
        task migrate 
        task anonymise 
        task restart 
        task smoke 
        service api 
        snapshot db 
        task render-all 
        service mock dev
        deploy deploy cluster,staging,prod,pr
        task refresh staging
    "#]]
    .assert_eq(&table);
    let Some(Node::Task(apply)) = envfile.node(None, &path("k8s.apply")) else { panic!() };
    assert_eq!(apply.needs[0].path, path("k8s.namespace"));
    assert_eq!(envfile.default_env.as_ref().map(|env| env.value.as_str()), Some("dev"));
}

const WORDS: [&str; 16] = [
    "\"deploy\"",
    "\"prod\"",
    "\"${X\"",
    "\"../..\"",
    "#null",
    "0",
    "{",
    "}",
    "\"k8s.apply\"",
    "task \"t\" {",
    "env \"prod\" {",
    "vars {",
    "extends=\"pr\"",
    "include \"*\"",
    "call \"check\"",
    "\"**/[\"",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever is done to a file, loading it ends, every place lies in a text, and what can be shown is shown.
    #[test]
    fn any_edit_is_survived(edits in proptest::collection::vec((any::<prop::sample::Index>(), 0_usize..18), 1..6)) {
        let mut tokens: Vec<&str> = include_str!("sample/cluster.kdl").split_inclusive([' ', '\n']).collect();
        for (at, edit) in &edits {
            let at = at.index(tokens.len());
            match WORDS.get(*edit) {
                Some(word) => tokens[at] = word,
                None if *edit == 16 => drop(tokens.remove(at)),
                None => tokens.insert(at, tokens[(at + 7) % tokens.len()]),
            }
        }
        let text = tokens.join(" ");
        let loaded = loaded(&[
            ("Envfile.kdl", &text),
            ("tasks/k8s.kdl", include_str!("sample/k8s.kdl")),
            ("tasks/stores.kdl", include_str!("sample/stores.kdl")),
            ("tasks/notify.kdl", include_str!("sample/notify.kdl")),
        ]);
        for label in loaded.diagnostics.iter().flat_map(|diagnostic| &diagnostic.labels) {
            let text = loaded.sources.file(label.span.file).text();
            prop_assert!(text.get(label.span.start as usize..label.span.end() as usize).is_some());
        }
        for node in loaded.envfile.node_paths() {
            for env in loaded.envfile.environments.keys() {
                let has = loaded.envfile.node(Some(env), &node).is_some();
                prop_assert_eq!(loaded.definition(&node, Some(env)).is_some(), has, "{} {}", env, node);
            }
        }
    }
}
