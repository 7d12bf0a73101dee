//! Layers, one after the other.

use std::sync::Arc;

use expect_test::expect;

use super::super::{Answer, Form, Layer, Lookup, Request, SEALED, Source, TaskValues, dotenv_files};
use super::{HERE, envfile, show, table, task, values, var, vars};
use crate::diag::Spanned;
use crate::model::{Dotenv, EnvName, Project, ProjectName, Scope, Secret, Value, Var, VarName, VarType};

#[test]
fn every_layer_wins_over_those_below() {
    let envfile = envfile(
        &["A=root", "B=root", "C=root", "D=root", "E=root", "GONE=root", "NEED", "SHELL_ONLY"],
        &[("base", &[], &["C=base", "D=base", "GONE!"]), ("prod", &["base"], &["D=prod", "ONLY=prod"])],
    );
    let (values, said) =
        values(&envfile, "", Some("prod"), "B=dot\nC=dot\nE=dot\nEXTRA=dot", &[("E", "set"), ("X", "set")]);
    assert_eq!(said, "");
    expect![[r#"
        A: root (every environment)
        B: dot (.env)
        C: base (environment base)
        D: prod (environment prod)
        E: set (--set)
        NEED: ! `NEED` has no value in environment `prod`
        SHELL_ONLY: shell (the caller's shell)
        EXTRA: dot (.env)
        ONLY: prod (environment prod)
        X: set (--set)
    "#]]
    .assert_eq(&table(&values));
    for (name, expected) in [
        ("HOME", "/home/u (the caller's shell)"),
        ("NOPE", "-"),
        ("ENVRUN_ENV", "prod (envrun)"),
        ("ENVRUN_REVISION", "abc (envrun)"),
        ("ENVRUN_NOPE", "-"),
        ("GONE", "-"),
    ] {
        assert_eq!(show(&values.lookup(name)), expected, "{name}");
    }
}

#[test]
fn a_value_takes_what_others_have_in_the_end() {
    let envfile = envfile(
        &[
            "URL=http://localhost:${PORT}",
            "PORT=80",
            "PATH=bin:${PATH:-/usr/bin}",
            "HOME_BIN=${HOME}/bin",
            "NEEDS=${NEED}/x",
            "NEED",
            "OR=${NEED:-none}",
            "LOOP=${POOL}",
            "POOL=${LOOP}",
            "ESC=$${X}",
            "LAYERED=root",
        ],
        &[("prod", &[], &["PORT=8080", "LAYERED=${LAYERED}+prod"])],
    );
    let (values, said) = values(&envfile, "", Some("prod"), "LAYERED=dot ${NOT}", &[]);
    assert_eq!(said, "");
    expect![[r#"
        URL: http://localhost:8080 (every environment)
        PORT: 8080 (environment prod)
        PATH: bin:/usr/bin (every environment)
        HOME_BIN: /home/u/bin (every environment)
        NEEDS: ! `NEED` has no value in environment `prod`
        NEED: ! `NEED` has no value in environment `prod`
        OR: none (every environment)
        LOOP: ! `LOOP` depends on itself
        POOL: ! `LOOP` depends on itself
        ESC: ${X} (every environment)
        LAYERED: dot ${NOT}+prod (environment prod)
    "#]]
    .assert_eq(&table(&values));
}

#[test]
fn a_chain_costs_no_stack() {
    let rows: Vec<String> = (0..20_000).map(|at| format!("A{at}=${{A{}}}", at + 1)).collect();
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    let (values, _) = values(&envfile(&rows, &[]), "", None, "", &[]);
    expect!["! `A201` depends on others more than 200 deep"].assert_eq(&show(&values.lookup("A0")));
}

#[test]
fn values_from_outside_are_held_to_the_declared_type() {
    let mut envfile = envfile(&[], &[("prod", &[], &[])]);
    let project = &mut envfile.projects[0];
    for (name, ty, value) in [
        ("PORT", VarType::Port, None),
        ("N", VarType::Int, Some(Value::Int(1))),
        ("U", VarType::Url, Some(Value::String("http://${H}".into()))),
    ] {
        project.base.vars.insert(name.into(), Var { ty: Some(ty), ..var(name, value) });
    }
    let (values, said) = values(&envfile, "", Some("prod"), "PORT=abc\nH=a b", &[("N", "one")]);
    expect![[r#"
        `PORT` from .env: `abc` is not a port, 1 to 65535
        `N` from --set: `one` is not a whole number
        `U` from every environment: `http://a b` is not an absolute URL such as `https://example.org/path`
    "#]]
    .assert_eq(&said);
    assert!(matches!(values.lookup("PORT"), Lookup::Missing(_)));
}

#[test]
fn secrets_are_marked_and_so_is_what_mentions_them() {
    let mut envfile = envfile(&["URL=pg://u:${PASS}@h", "PLAIN=x", "TWICE=${URL}"], &[]);
    let base = &mut envfile.projects[0].base;
    for name in ["PASS", "OTHER", "MAYBE", "SHELL_ONLY"] {
        base.secrets.insert(name.into(), Secret::new(name.into(), HERE));
    }
    let (values, _) = values(&envfile, "", None, "PASS=p", &[]);
    expect![[r#"
        URL: pg://u:p@h (every environment, secret)
        PLAIN: x (every environment)
        TWICE: pg://u:p@h (every environment, secret)
        PASS: p (.env, secret)
        OTHER: ! the secret `OTHER` was not read
        MAYBE: ! the secret `MAYBE` was not read
        SHELL_ONLY: ! the secret `SHELL_ONLY` was not read
    "#]]
    .assert_eq(&table(&values));
    values.open(&mut |(_, name)| match name.as_str() {
        "OTHER" => Some(Answer::Absent { help: Some("set it".into()) }),
        "MAYBE" => Some(Answer::Absent { help: None }),
        "SHELL_ONLY" => Some(Answer::Value { text: "shell".into(), layer: Layer::Caller }),
        other => panic!("`{other}` has a value"),
    });
    expect![[r#"
        URL: pg://u:p@h (every environment, secret)
        PLAIN: x (every environment)
        TWICE: pg://u:p@h (every environment, secret)
        PASS: p (.env, secret)
        OTHER: ! the secret `OTHER` is not set
        MAYBE: -
        SHELL_ONLY: shell (the caller's shell, secret)
    "#]]
    .assert_eq(&table(&values));
    assert!(!format!("{values:?}").contains("pg://"), "values are not for logs");
}

#[test]
fn what_rests_on_a_secret_is_missing_until_its_store_was_asked() {
    let mut envfile = envfile(&["URL=pg://${PASS:-none}@h", "TWICE=${URL}/x", "PLAIN=${HOME}"], &[]);
    envfile.projects[0].base.secrets.insert("PASS".into(), Secret::new("PASS".into(), HERE));
    let inner = Project { name: "api".into(), outer: Some(ProjectName::default()), ..Project::default() };
    envfile.projects.insert("api".into(), inner);
    envfile.projects["api"].base.vars = vars(&["OWN=<${TWICE}>"]);
    let (values, said) = values(&envfile, "api", None, "", &[]);
    assert_eq!(said, "");
    assert!(matches!(values.lookup("OWN"), Lookup::Missing(wrong) if wrong.code == SEALED));
    let own = task(vars(&["MINE=${OWN}!"]), Vec::new());
    let task_values = TaskValues::new(&values, &own, Vec::new());
    let pass = (ProjectName::default(), VarName::from("PASS"));
    assert_eq!(values.secrets(), std::slice::from_ref(&pass));
    assert_eq!(task_values.secrets(["MINE"]).into_iter().collect::<Vec<_>>(), [pass]);
    assert!(task_values.secrets(["PLAIN", "HOME", "NOBODY"]).is_empty());
    values.open(&mut |_| Some(Answer::Value { text: "p".into(), layer: Layer::Store("file".into()) }));
    assert_eq!(show(&task_values.lookup("MINE")), "<pg://p@h/x>! (the task, secret)");
}

#[test]
fn an_inner_project_sees_the_outer_ones_values_and_keeps_its_own() {
    let mut envfile = envfile(
        &["PORT=80", "URL=http://h:${PORT}", "LEVEL=info"],
        &[("prod", &[], &["LEVEL=warn", "PORT=81"])],
    );
    let mut inner = Project { name: "api".into(), outer: Some(ProjectName::default()), ..Project::default() };
    inner.base.vars = vars(&["PORT=90", "OWN=${URL} ${PORT} ${LEVEL}"]);
    inner.overlays.insert("prod".into(), Scope { vars: vars(&["EXTRA=1"]), ..Scope::default() });
    envfile.projects.insert("api".into(), inner);
    let (values, said) = values(&envfile, "api", Some("prod"), "", &[("LEVEL", "debug")]);
    assert_eq!(said, "");
    expect![[r#"
        URL: http://h:81 (every environment)
        LEVEL: debug (--set)
        PORT: 90 (every environment)
        OWN: http://h:81 90 debug (every environment)
        EXTRA: 1 (environment prod)
    "#]]
    .assert_eq(&table(&values));
}

#[test]
fn a_task_lays_its_own_over_all_but_set() {
    let envfile = envfile(
        &["PORT=80", "URL=http://h:${PORT}/${ARG_X:-}", "KEPT=1", "BY_SET=a", "OTHER=o", "NULLED=1"],
        &[],
    );
    let (values, _) = values(&envfile, "", None, "", &[("BY_SET", "set")]);
    let own = vars(&["PORT=90", "BY_SET=task", "OTHER=${OTHER}+task", "MINE=${URL}", "NULLED!"]);
    let task = TaskValues::new(&values, &task(own, Vec::new()), vec![("ARG_X".into(), "x".into())]);
    let table: String = task.iter().map(|(name, lookup)| format!("{name}: {}\n", show(&lookup))).collect();
    expect![[r#"
        PORT: 90 (the task)
        URL: http://h:90/x (every environment)
        KEPT: 1 (every environment)
        BY_SET: set (--set)
        OTHER: o+task (the task)
        NULLED: -
        MINE: http://h:90/x (the task)
        ARG_X: x (envrun)
    "#]]
    .assert_eq(&table);
    assert_eq!(show(&values.lookup("URL")), "http://h:80/ (every environment)");
    let text = |text: &str, form| {
        task.interpolate(text, form, HERE).map_err(|diagnostic| diagnostic.message.clone())
    };
    assert_eq!(text("${PORT}-$PORT", Form::Text), Ok("90-90".into()));
    assert_eq!(text("${PORT}-$PORT", Form::Word), Ok("90-$PORT".into()));
    assert_eq!(text("${PROT}", Form::Text), Err("`PROT` is not set".into()));
}

#[test]
fn dotenv_files_are_named_before_any_is_read() {
    let mut envfile = envfile(&["DIR=conf"], &[("prod", &[], &["DIR=live"])]);
    let file = |path: &str, optional| Dotenv { path: Spanned::new(path.into(), HERE), optional };
    envfile.projects[0].base.dotenv = vec![file(".env", false), file("${DIR}/.env.${ENVRUN_ENV}", true)];
    envfile.projects[0].overlays[0].dotenv = vec![file("x", true)];
    let nothing: Source = Arc::new(|_| None);
    let prod = EnvName::from("prod");
    let request = Request {
        envfile: &envfile,
        project: &ProjectName::default(),
        env: Some(&prod),
        dotenv: &[],
        set: &[],
        given: Arc::clone(&nothing),
        caller: nothing,
    };
    let files: Vec<_> =
        dotenv_files(&request).iter().map(|file| (file.path.clone(), file.optional)).collect();
    assert_eq!(files, [(".env".into(), false), ("live/.env.prod".into(), true), ("x".into(), true)]);
}
