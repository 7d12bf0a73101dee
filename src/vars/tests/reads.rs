//! What a definition reads, and what the environment decides.

use std::sync::Arc;

use expect_test::expect;
use indexmap::IndexMap;

use super::super::{EnvironmentNames, reads};
use super::{HERE, envfile, task, vars};
use crate::diag::Spanned;
use crate::model::{Action, Command, Dotenv, EnvName, Node, NodePath, NodeRef, ProjectName};

#[test]
fn what_a_definition_reads() {
    let mut envfile = envfile(&["A=1"], &[("prod", &[], &["A=2", "P=1"])]);
    let shell = |text: &str| Action::Run(Command::Shell(text.into()));
    let called = task(vars(&["CV=${FROM_CALLED}"]), vec![shell("echo $CALLED")]);
    let called_prod = task(IndexMap::new(), vec![shell("echo $CALLED_PROD")]);
    envfile.projects[0].base.nodes.insert("called".into(), Node::Task(Arc::new(called)));
    envfile.projects[0].overlays[0].nodes.insert("called".into(), Node::Task(Arc::new(called_prod)));
    let path = NodePath { project: ProjectName::default(), name: "called".into() };
    let call = Action::Call(NodeRef { path, env: None, state: None, span: HERE });
    let text = |text: &str| Spanned::new(text.to_owned(), HERE);
    let mut caller = task(
        vars(&["OWN=${INNER}"]),
        vec![
            shell("echo $SHELL_NAME"),
            Action::Run(Command::Argv(vec!["sh".into(), "-c $ARGV ${BRACED}".into()])),
            call,
        ],
    );
    caller.uses = vec![text("USED")];
    caller.inputs = Some(vec![text("${IN}/*")]);
    caller.outputs = Some(vec![text("$OUT")]);
    caller.depfile = vec![text("${DEP}")];
    caller.dir = text("${DIR}");
    caller.done = Some(Spanned::new(Command::Shell("test $DONE".into()), HERE));
    let say = |env: Option<&str>| {
        let env = env.map(EnvName::from);
        reads(&envfile, env.as_ref(), &caller).iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    };
    expect!["ARGV BRACED CALLED DEP DIR DONE FROM_CALLED IN INNER OUT SHELL_NAME USED"].assert_eq(&say(None));
    expect!["ARGV BRACED CALLED_PROD DEP DIR DONE IN INNER OUT SHELL_NAME USED"]
        .assert_eq(&say(Some("prod")));
}

#[test]
fn what_the_environment_decides() {
    let mut envfile = envfile(
        &["SAME=1", "URL=http://${HOST}", "DEEP=${URL}/x", "BY_ENV=${ENVRUN_ENV}", "REV=${ENVRUN_REVISION}"],
        &[("prod", &[], &["HOST=h"])],
    );
    envfile.projects[0].base.secrets.insert("KEY".into(), crate::model::Secret::new("KEY".into(), HERE));
    let root = ProjectName::default();
    let names = EnvironmentNames::of(&envfile, &root);
    for (name, decided) in [
        ("SAME", false),
        ("HOST", true),
        ("URL", true),
        ("DEEP", true),
        ("BY_ENV", true),
        ("REV", false),
        ("KEY", true),
        ("ENVRUN_ENV", true),
        ("HOME", false),
    ] {
        assert_eq!(names.contains(name), decided, "{name}");
    }
    envfile.projects[0]
        .base
        .dotenv
        .push(Dotenv { path: Spanned::new(".env.${ENVRUN_ENV}".into(), HERE), optional: true });
    assert!(EnvironmentNames::of(&envfile, &root).contains("SAME"), "a dotenv file may hold any name");
}
