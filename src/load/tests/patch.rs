//! Patching: what an environment makes of an inherited node.

use expect_test::expect;

use super::{good, one, path, shown};
use crate::model::Node;

const TEXT: &str = r#"
vars { (port)PORT 8000; NAME "x" }
task "deploy" {
    desc "base"
    needs "a"
    needs "b"
    vars { A 1; B 2 }
    requires {
        tool "git"
        tool "docker" version=">=20"
    }
    run "one"
    call "a"
    run """
        first
          second
        """
    timeout "5m"
}
task "a" { run "true" }
task "b" { run "true" }
env "base" abstract=#true {
    task "deploy" {
        needs "b"
        vars { B 3 }
        timeout #null
    }
}
env "prod" extends="base" {
    task "deploy" {
        run "two"
        vars { C 4; A #null }
        requires { tool "docker" version=">=24" }
    }
    task "rollback" { run "back" }
}
env "dev" { task "deploy" { vars #null; call #null } }
"#;

#[test]
fn words_replace_words() {
    let loaded = good(&[("Envfile.kdl", TEXT)]);
    shown(
        &loaded,
        "",
        "deploy",
        expect![[r#"
        task "deploy" {                                 Envfile.kdl:3
            desc "base"                                 Envfile.kdl:4
            needs "a"                                   Envfile.kdl:5
            needs "b"                                   Envfile.kdl:6
            vars {                                      Envfile.kdl:7
                A 1                                     Envfile.kdl:7
                B 2                                     Envfile.kdl:7
            }
            requires {                                  Envfile.kdl:8
                tool "git"                              Envfile.kdl:9
                tool "docker" version=">=20"            Envfile.kdl:10
            }
            run "one"                                   Envfile.kdl:12
            call "a"                                    Envfile.kdl:13
            run """                                     Envfile.kdl:14
                first                                   Envfile.kdl:15
                  second                                Envfile.kdl:16
                """                                     Envfile.kdl:17
            timeout "5m"                                Envfile.kdl:18
        }
    "#]],
    );
    shown(
        &loaded,
        "prod",
        "deploy",
        expect![[r#"
        task "deploy" {                                 Envfile.kdl:30
            desc "base"                                 Envfile.kdl:4
            needs "b"                                   Envfile.kdl:24
            vars {                                      Envfile.kdl:7
                A #null                                 Envfile.kdl:32
                B 3                                     Envfile.kdl:25
                C 4                                     Envfile.kdl:32
            }
            requires {                                  Envfile.kdl:8
                tool "git"                              Envfile.kdl:9
                tool "docker" version=">=24"            Envfile.kdl:33
            }
            run "two"                                   Envfile.kdl:31
            call "a"                                    Envfile.kdl:13
        }
    "#]],
    );
    shown(
        &loaded,
        "dev",
        "deploy",
        expect![[r#"
        task "deploy" {                                 Envfile.kdl:37
            desc "base"                                 Envfile.kdl:4
            needs "a"                                   Envfile.kdl:5
            needs "b"                                   Envfile.kdl:6
            requires {                                  Envfile.kdl:8
                tool "git"                              Envfile.kdl:9
                tool "docker" version=">=20"            Envfile.kdl:10
            }
            run "one"                                   Envfile.kdl:12
            run """                                     Envfile.kdl:14
                first                                   Envfile.kdl:15
                  second                                Envfile.kdl:16
                """                                     Envfile.kdl:17
            timeout "5m"                                Envfile.kdl:18
        }
    "#]],
    );
    shown(
        &loaded,
        "prod",
        "rollback",
        expect![[r#"
        task "rollback" {                               Envfile.kdl:35
            run "back"                                  Envfile.kdl:35
        }
    "#]],
    );
    shown(
        &loaded,
        "prod",
        "a",
        expect![[r#"
        task "a" {                                      Envfile.kdl:20
            run "true"                                  Envfile.kdl:20
        }
    "#]],
    );
    assert!(loaded.definition(&path("rollback"), None).is_none());
    assert!(loaded.definition(&path("nope"), None).is_none());
}

#[test]
fn the_model_has_what_show_shows() {
    let loaded = good(&[("Envfile.kdl", TEXT)]);
    let Some(Node::Task(task)) = loaded.envfile.node(Some(&"prod".into()), &path("deploy")) else { panic!() };
    let needs: Vec<String> = task.needs.iter().map(|need| need.path.to_string()).collect();
    assert_eq!(needs, ["b"]);
    assert_eq!(task.timeout, None);
    assert_eq!(task.actions.len(), 2, "{:?}", task.actions);
    let vars: Vec<String> = task
        .vars
        .values()
        .map(|var| format!("{}={:?}", var.name, var.value.as_ref().map(|value| &value.value)))
        .collect();
    assert_eq!(vars, ["A=Some(Null)", "B=Some(Int(3))", "C=Some(Int(4))"]);
    assert_eq!(loaded.sources.place(task.span), "Envfile.kdl:30");
    // What an environment does not patch is the very same definition.
    let [base, prod] =
        ["base", "prod"].map(|env| loaded.envfile.node(Some(&env.into()), &path("a")).unwrap());
    let (Node::Task(base), Node::Task(prod)) = (base, prod) else { panic!() };
    assert!(std::sync::Arc::ptr_eq(base, prod));
}

#[test]
fn a_child_that_adds_nothing_shares_its_parents_definition() {
    let loaded = good(&[(
        "Envfile.kdl",
        "task \"t\" { run \"base\" }\nenv \"a\" { task \"t\" { run \"a\" } }\nenv \"b\" extends=\"a\"\nenv \"c\" extends=\"b\" { task \"t\" { desc \"c\" } }",
    )]);
    let node = |env: &str| match loaded.envfile.node(Some(&env.into()), &path("t")) {
        Some(Node::Task(task)) => std::sync::Arc::clone(task),
        other => panic!("{other:?}"),
    };
    assert!(std::sync::Arc::ptr_eq(&node("a"), &node("b")));
    assert_eq!(node("c").actions, node("a").actions);
    let chain: Vec<&str> = loaded.envfile.environments["c"].chain.iter().map(|env| env.as_str()).collect();
    assert_eq!(chain, ["a", "b", "c"]);
}

#[test]
fn run_and_start_displace_each_other() {
    let loaded = good(&[(
        "Envfile.kdl",
        "service \"api\" { run \"api\"; watch \"src\"; url \"http://x\" }\nenv \"uat\" { service \"api\" { start \"up\"; stop \"down\"; watch #null } }\nenv \"dev\" extends=\"uat\" { service \"api\" { run \"again\" } }",
    )]);
    shown(
        &loaded,
        "uat",
        "api",
        expect![[r#"
        service "api" {                                 Envfile.kdl:2
            start "up"                                  Envfile.kdl:2
            url "http://x"                              Envfile.kdl:1
            stop "down"                                 Envfile.kdl:2
        }
    "#]],
    );
    shown(
        &loaded,
        "dev",
        "api",
        expect![[r#"
        service "api" {                                 Envfile.kdl:3
            run "again"                                 Envfile.kdl:3
            url "http://x"                              Envfile.kdl:1
            stop "down"                                 Envfile.kdl:2
        }
    "#]],
    );
}

#[test]
fn a_patch_from_outside_a_namespace_keeps_its_own_names() {
    let loaded = good(&[
        (
            "Envfile.kdl",
            "include \"k8s.kdl\" as=\"k8s\"\ntask \"x\" { run \"outer\" }\nenv \"prod\" { task \"k8s.apply\" { needs \"x\" } }",
        ),
        (
            "k8s.kdl",
            "task \"x\" { run \"inner\" }\ntask \"apply\" { needs \"x\"; after \"x\"; run \"true\" }\nenv \"uat\" { task \"apply\" { run \"uat\" } }",
        ),
    ]);
    let needs = |env: &str| match loaded.envfile.node(Some(&env.into()), &path("k8s.apply")) {
        Some(Node::Task(task)) => format!("{} {}", task.needs[0].path, task.after[0].path),
        other => panic!("{other:?}"),
    };
    assert_eq!(needs("prod"), "x k8s.x");
    assert_eq!(needs("uat"), "k8s.x k8s.x");
    shown(
        &loaded,
        "prod",
        "k8s.apply",
        expect![[r#"
        task "k8s.apply" {                              Envfile.kdl:3
            needs "x"                                   Envfile.kdl:3
            after "x"                                   k8s.kdl:2
            run "true"                                  k8s.kdl:2
        }
    "#]],
    );
}

#[test]
fn a_patch_of_another_kind() {
    one(
        "task \"deploy\" { run \"true\" }\nenv \"prod\" { deploy \"deploy\" { run \"true\" } }\nenv \"eu\" extends=\"prod\"",
        expect![[r#"
            error[load/kind]: `deploy` is a task, and a patch cannot change that
              Envfile.kdl:2:21 `"deploy"`: the patch
              Envfile.kdl:1:6 `"deploy"`: declared here
              help: give one of them another name
        "#]],
    );
}

#[test]
fn twice_in_one_scope() {
    one(
        r#"
        vars { A 1 }
        vars { A 2; B 1 }
        secrets { B }
        env "prod" { vars { A 3 }; vars { A 4 } }
        env "prod" { desc "again" }
        task "t" { run "true" }
        task "t" { run "true" }
        "#,
        expect![[r#"
            error[syntax/duplicate]: the variable `A` is declared twice
              Envfile.kdl:3:16 `A`
              Envfile.kdl:2:16 `A`: declared here first
              help: rename one of them, or take one away
            error[load/secret]: `B` is a secret, and here it has a value
              Envfile.kdl:3:23 `1`
              Envfile.kdl:4:19 `B`: declared here
              help: take the value out, and store it with `envrun secret set`
            error[syntax/duplicate]: the variable `B` is declared twice
              Envfile.kdl:4:19 `B`
              Envfile.kdl:3:21 `B`: declared here first
              help: rename one of them, or take one away
            error[syntax/duplicate]: the variable `A` is declared twice
              Envfile.kdl:5:43 `A`
              Envfile.kdl:5:29 `A`: declared here first
              help: rename one of them, or take one away
            error[syntax/duplicate]: the environment `prod` is declared twice
              Envfile.kdl:6:13 `"prod"`
              Envfile.kdl:5:13 `"prod"`: declared here first
              help: rename one of them, or take one away
            error[syntax/duplicate]: the node `t` is declared twice
              Envfile.kdl:8:14 `"t"`
              Envfile.kdl:7:14 `"t"`: declared here first
              help: rename one of them, or take one away
        "#]],
    );
}

#[test]
fn a_patch_does_what_it_says_in_the_order_in_which_it_says_it() {
    let loaded = good(&[(
        "Envfile.kdl",
        r#"
        task "one" { run "one" }
        task "two" { run "two" }
        task "t" { run "base" }
        task "u" { call "one"; run "base"; call "two" }
        env "a" {
            task "t" { call "one"; run "after"; call "two" }
            task "u" { run "first"; call "two" }
        }
        env "b" {
            task "t" { call "one"; run #null }
            task "u" { run "b" }
        }
        "#,
    )]);
    let actions = |env: &str, name: &str| {
        let Some(Node::Task(task)) = loaded.envfile.node(Some(&env.into()), &path(name)) else { panic!() };
        let said = |action: &crate::model::Action| match action {
            crate::model::Action::Run(command) => command.display().to_string(),
            crate::model::Action::Call(call) => format!("call {}", call.path),
            other => format!("{other:?}"),
        };
        task.actions.iter().map(|action| said(&action.value)).collect::<Vec<_>>().join(", ")
    };
    assert_eq!(actions("a", "t"), "call one, after, call two");
    assert_eq!(actions("a", "u"), "first, call two");
    assert_eq!(actions("b", "t"), "call one");
    assert_eq!(actions("b", "u"), "call one, b, call two");
}
