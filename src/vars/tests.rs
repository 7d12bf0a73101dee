use std::collections::BTreeMap;
use std::sync::Arc;

use expect_test::{Expect, expect};
use indexmap::IndexMap;
use proptest::prelude::*;

use super::*;
use crate::base::RelPath;
use crate::diag::{FileId, Span, Spanned};
use crate::model::{
    Action, CacheMode, Command, Dotenv, EnvName, Envfile, Environment, Node, Project, ProjectName, Task,
    Value, Var, VarName, VarType,
};

fn names(text: &str, form: Form) -> String {
    mentions(text, form).iter().map(|mention| mention.name).collect::<Vec<_>>().join(" ")
}

#[test]
fn shell_text_mentions_what_a_shell_may_read() {
    let check = |text: &str, expected: Expect| expected.assert_eq(&names(text, Form::Shell));
    check("echo $A ${B} ${C:-$D} ${E%.c} ${F##*/} ${#G} ${!H} ${I:+${J}}", expect!["A B C D E F G H I J"]);
    check(r"echo \$A $$ $$B $1 $? $@ ${1} ${@} $ $", expect![""]);
    check("echo '$A' \"$B\" $(cmd $C) `cmd $D` $((E + $F))", expect!["A B C D F"]);
    check("dir=\"$ROOT/releases/$REV\" && test -n \"${dir}\"", expect!["ROOT REV dir"]);
    check("${", expect![""]);
    check("$é ${é} $_x9-", expect!["_x9"]);
    assert_eq!(mentions("${A:-b}", Form::Shell)[0].otherwise, Otherwise::Default("b"));
    assert_eq!(mentions("${A:+${B}}", Form::Shell)[0].otherwise, Otherwise::Other("${B}"));
}

#[test]
fn other_texts_know_three_forms() {
    let fill = |text: &str, form: Form| {
        let mut lookup = |name: &str| match name {
            "A" => Some("a".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        interpolate(text, form, &mut lookup)
            .map_or_else(|unset| format!("! {unset}"), |text| text.into_owned())
    };
    let check = |text: &str, expected: Expect| {
        let (text, word) = (fill(text, Form::Text), fill(text, Form::Word));
        expected.assert_eq(&if text == word { text } else { format!("{text} | {word}") });
    };
    check("x/${A}/$A.o", expect!["x/a/a.o | x/a/$A.o"]);
    check("${NOPE:-d} ${EMPTY:-${A}} ${A:-d}", expect!["d a a"]);
    check("${NOPE:+d} ${EMPTY:+d} ${A:+-f ${A}}", expect!["  -f a"]);
    check("${NOPE:-} ${A:+}", expect![" "]);
    check("${NOPE}", expect!["! `NOPE` is not set"]);
    check("${NOPE:-${ALSO}}", expect!["! `ALSO` is not set"]);
    check("$NOPE", expect!["! `NOPE` is not set | $NOPE"]);
    check("$${A} $$A $$ 5$ $1 $", expect!["${A} $A $$ 5$ $1 $ | ${A} $$A $$ 5$ $1 $"]);
    check("$$${A}", expect!["$${A}"]);
    check("${A%x} ${ ${}", expect!["${A%x} ${ ${}"]);
    check("{print $1}", expect!["{print $1}"]);
    assert_eq!(names("${A:-${B:+$C}} $D $$E $${F}", Form::Text), "A B C D");
    assert_eq!(names("${A:-${B:+$C}} $D $$E $${F}", Form::Word), "A B");
    let wrong: Vec<_> = malformed("${A} ${A%x} ${ x", Form::Text).iter().map(|wrong| wrong.at).collect();
    assert_eq!(wrong, [5, 12]);
}

fn dotenv_text(text: &str) -> String {
    let (entries, diagnostics) = dotenv::parse(FileId(0), text);
    let line = |span: Span| text[..span.start as usize].matches('\n').count() + 1;
    let mut out = String::new();
    for entry in &entries {
        out.push_str(&format!("{}={:?} ({})\n", entry.name, entry.value, line(entry.span)));
    }
    for diagnostic in &diagnostics {
        out.push_str(&format!("line {}: {}\n", line(diagnostic.labels[0].span), diagnostic.message));
    }
    out
}

#[test]
fn dotenv_values_survive() {
    let text = r##"# comment
PLAIN=value with  spaces   # comment
HASH=$2b$12$abcdefghijklmnopqrstuv # not expanded
URL=https://h/p#fragment
JSON={"a": "b # c", "d": [1]}
EMPTY=
export EXPORTED=1
  SPACED  =  x  
SINGLE='a $B "c" \n # d'
DOUBLE="a\tb \"q\" \\ \$HOME \d" # after
MULTI="line 1
line 2"
KEY='-----BEGIN-----
abc==
-----END-----'
AGAIN=1
AGAIN=2
BACK=C:\dir\new
QUOTE=it's
CMD=$(rm -rf /) `id`
"##;
    expect![[r#"
        PLAIN="value with  spaces" (2)
        HASH="$2b$12$abcdefghijklmnopqrstuv" (3)
        URL="https://h/p#fragment" (4)
        JSON="{\"a\": \"b # c\", \"d\": [1]}" (5)
        EMPTY="" (6)
        EXPORTED="1" (7)
        SPACED="x" (8)
        SINGLE="a $B \"c\" \\n # d" (9)
        DOUBLE="a\tb \"q\" \\ $HOME \\d" (10)
        MULTI="line 1\nline 2" (11)
        KEY="-----BEGIN-----\nabc==\n-----END-----" (13)
        AGAIN="1" (16)
        AGAIN="2" (17)
        BACK="C:\\dir\\new" (18)
        QUOTE="it's" (19)
        CMD="$(rm -rf /) `id`" (20)
    "#]]
    .assert_eq(&dotenv_text(text));
    expect![[r#"
        A="1" (1)
        B="x" (2)
    "#]]
    .assert_eq(&dotenv_text("\u{feff}A=1\r\nB='x'\r\n\r\n"));
}

#[test]
fn dotenv_errors_have_their_lines_and_hide_nothing() {
    let text = "A=1\nnonsense\n1X=2\nB C=3\nD=\"open\nE=4\nF='x' y\n=5\nG=6";
    expect![[r#"
        A="1" (1)
        E="4" (6)
        G="6" (9)
        line 2: a line without `=`
        line 3: `1X` is not a variable's name
        line 4: `B C` is not a variable's name
        line 5: the closing `"` is missing
        line 7: text after the closing quote
        line 8: `` is not a variable's name
    "#]]
    .assert_eq(&dotenv_text(text));
}

proptest! {
    /// Any text is read, and every place lies in it.
    #[test]
    fn dotenv_takes_any_text(text in r#"([A-C=#'"$\\ \n\r]|export |é|[a-z]){0,40}"#) {
        let (entries, diagnostics) = dotenv::parse(FileId(0), &text);
        let spans = entries.iter().map(|entry| entry.span);
        for span in spans.chain(diagnostics.iter().flat_map(|diagnostic| &diagnostic.labels).map(|label| label.span)) {
            prop_assert!(text.get(span.start as usize..span.end() as usize).is_some());
        }
    }

    /// Whatever is written in quotes comes back.
    #[test]
    fn dotenv_gives_back_what_was_quoted(value in "[^\\x00]{0,30}") {
        let escaped = value.replace('\\', "\\\\").replace('"', "\\\"");
        let (entries, diagnostics) = dotenv::parse(FileId(0), &format!("A=\"{escaped}\"\nB=1"));
        prop_assert!(diagnostics.is_empty());
        prop_assert_eq!(&entries[0].value, &value);
        prop_assert_eq!(&entries[1].value, "1");
        if !value.contains('\'') {
            let text = format!("A='{value}'");
            let (entries, _) = dotenv::parse(FileId(0), &text);
            prop_assert_eq!(&entries[0].value, &value);
        }
    }

    /// A text of any form is taken, and what it replaces is what it mentions.
    #[test]
    fn interpolation_asks_for_what_is_mentioned(text in r#"([A-C{}:+$\\ -]|\$\{[A-C]|é){0,24}"#, word in any::<bool>()) {
        let form = if word { Form::Word } else { Form::Text };
        let mentioned: Vec<String> = mentions(&text, form).iter().map(|mention| mention.name.to_owned()).collect();
        let mut asked = Vec::new();
        let filled = interpolate(&text, form, &mut |name| {
            asked.push(name.to_owned());
            Some(String::new())
        });
        prop_assert!(filled.is_ok());
        for name in asked {
            prop_assert!(mentioned.contains(&name), "{} of {:?}", name, text);
        }
        // A shell would read at least the same names.
        let shell: Vec<&str> = mentions(&text, Form::Shell).iter().map(|mention| mention.name).collect();
        if !text.contains(['\\']) && !text.contains("$$") {
            for name in &mentioned {
                prop_assert!(shell.contains(&name.as_str()), "{} of {:?}", name, text);
            }
        }
    }
}

const HERE: Span = Span { file: FileId(0), start: 0, len: 0 };

fn var(name: &str, value: Option<Value>) -> Var {
    Var {
        name: name.into(),
        span: HERE,
        ty: None,
        value: value.map(|value| Spanned::new(value, HERE)),
        constraints: Default::default(),
        optional: false,
        desc: None,
    }
}

/// `A=text`, `A` (no value), `A!` (taken away).
fn vars(rows: &[&str]) -> IndexMap<VarName, Var> {
    let rows = rows.iter().map(|row| {
        let var = match row.split_once('=') {
            Some((name, text)) => var(name, Some(Value::String(text.into()))),
            None => match row.strip_suffix('!') {
                Some(name) => var(name, Some(Value::Null)),
                None => var(row, None),
            },
        };
        (var.name.clone(), var)
    });
    rows.collect()
}

fn envfile(base: &[&str], environments: &[(&str, &[&str], &[&str])]) -> Envfile {
    let mut envfile = Envfile::default();
    let mut project = Project::default();
    project.base.vars = vars(base);
    for (name, parents, rows) in environments {
        let chain = parents.iter().chain([name]).map(|name| EnvName::from(*name)).collect();
        let env = Environment {
            name: (*name).into(),
            span: HERE,
            desc: None,
            is_abstract: false,
            ephemeral: false,
            chain,
        };
        envfile.environments.insert(env.name.clone(), env);
        project.overlays.entry((*name).into()).or_default().vars = vars(rows);
    }
    envfile.projects.insert(ProjectName::default(), project);
    envfile
}

fn dotenv_file(path: &str, text: &str) -> DotenvFile {
    DotenvFile {
        project: ProjectName::default(),
        path: path.into(),
        optional: false,
        span: HERE,
        entries: dotenv::parse(FileId(1), text).0,
    }
}

/// The values of `project`, and what is said of them. The caller has `HOME` and `SHELL_ONLY`.
fn values(
    envfile: &Envfile,
    project: &str,
    env: Option<&str>,
    dotenv: &str,
    set: &[(&str, &str)],
) -> (Arc<Values>, String) {
    let set: Vec<(String, String)> =
        set.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let env = env.map(EnvName::from);
    let request = Request {
        envfile,
        project: &project.into(),
        env: env.as_ref(),
        dotenv: &[dotenv_file(".env", dotenv)],
        set: &set,
        given: Arc::new(|name| (name == "ENVRUN_REVISION").then(|| "abc".into())),
        caller: Arc::new(|name| match name {
            "HOME" => Some("/home/u".into()),
            "SHELL_ONLY" => Some("shell".into()),
            _ => None,
        }),
    };
    let (values, diagnostics) = Values::resolve(&request);
    (Arc::new(values), diagnostics.iter().map(|diagnostic| format!("{}\n", diagnostic.message)).collect())
}

fn show(lookup: &Lookup) -> String {
    match lookup {
        Lookup::Value { text, origin, secret } => {
            format!("{text} ({}{})", origin.layer, if *secret { ", secret" } else { "" })
        }
        Lookup::Missing(diagnostic) => format!("! {}", diagnostic.message),
        Lookup::Undeclared => "-".into(),
    }
}

fn table(values: &Values) -> String {
    values.iter().map(|(name, lookup)| format!("{name}: {}\n", show(lookup))).collect()
}

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
    base.secrets.insert("PASS".into(), HERE);
    base.secrets.insert("OTHER".into(), HERE);
    base.secrets.insert("SHELL_ONLY".into(), HERE);
    let (values, _) = values(&envfile, "", None, "PASS=p", &[]);
    expect![[r#"
        URL: pg://u:p@h (every environment, secret)
        PLAIN: x (every environment)
        TWICE: pg://u:p@h (every environment, secret)
        PASS: p (.env, secret)
        OTHER: ! the secret `OTHER` is not set
        SHELL_ONLY: shell (the caller's shell, secret)
    "#]]
    .assert_eq(&table(&values));
    assert!(!format!("{values:?}").contains("pg://"), "values are not for logs");
}

#[test]
fn an_inner_project_sees_the_outer_ones_values_and_keeps_its_own() {
    let mut envfile = envfile(
        &["PORT=80", "URL=http://h:${PORT}", "LEVEL=info"],
        &[("prod", &[], &["LEVEL=warn", "PORT=81"])],
    );
    let mut inner = Project { name: "api".into(), outer: Some(ProjectName::default()), ..Project::default() };
    inner.base.vars = vars(&["PORT=90", "OWN=${URL} ${PORT} ${LEVEL}"]);
    inner
        .overlays
        .insert("prod".into(), crate::model::Scope { vars: vars(&["EXTRA=1"]), ..Default::default() });
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

fn task(vars: IndexMap<VarName, Var>, actions: Vec<Action>) -> Task {
    Task {
        name: "t".into(),
        span: HERE,
        desc: None,
        alias: Vec::new(),
        group: None,
        hidden: false,
        args: Vec::new(),
        when: Vec::new(),
        guard: Vec::new(),
        mutates: false,
        needs: Vec::new(),
        after: Vec::new(),
        uses: Vec::new(),
        inputs: None,
        outputs: None,
        depfile: Vec::new(),
        tools: Vec::new(),
        done: None,
        actions: actions.into_iter().map(|action| Spanned::new(action, HERE)).collect(),
        dir: Spanned::new(".".into(), HERE),
        project_dir: RelPath::root(),
        shell: None,
        vars,
        timeout: None,
        retry: None,
        pool: None,
        interactive: false,
        on_fail: Vec::new(),
        on_success: Vec::new(),
        hint: None,
        cache: CacheMode::Auto,
        unbuilt: Vec::new(),
    }
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

#[test]
fn what_a_definition_reads() {
    let mut envfile = envfile(&["A=1"], &[("prod", &[], &["A=2", "P=1"])]);
    let shell = |text: &str| Action::Run(Command::Shell(text.into()));
    let called = task(vars(&["CV=${FROM_CALLED}"]), vec![shell("echo $CALLED")]);
    let called_prod = task(IndexMap::new(), vec![shell("echo $CALLED_PROD")]);
    envfile.projects[0].base.nodes.insert("called".into(), Node::Task(Arc::new(called)));
    envfile.projects[0].overlays[0].nodes.insert("called".into(), Node::Task(Arc::new(called_prod)));
    let path = crate::model::NodePath { project: ProjectName::default(), name: "called".into() };
    let call = Action::Call(crate::model::NodeRef { path, env: None, span: HERE });
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
    envfile.projects[0].base.secrets.insert("KEY".into(), HERE);
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

/// A layer as the naive model has it: what each name is set to; `None` takes it away.
type LayerText = BTreeMap<usize, Option<u8>>;

fn layer() -> impl Strategy<Value = LayerText> {
    proptest::collection::btree_map(0_usize..4, proptest::option::weighted(0.8, 0_u8..4), 0..4)
}

proptest! {
    /// Who wins is what a list of maps, laid over each other, says.
    #[test]
    fn precedence_is_a_pile_of_maps(
        root in layer(), dot in layer(), parent in layer(), child in layer(), own in layer(), set in layer(),
    ) {
        let names = ["A", "B", "C", "D"];
        let rows = |layer: &LayerText, nulls: bool| -> Vec<String> {
            let row = |(name, value): (&usize, &Option<u8>)| match value {
                Some(value) => Some(format!("{}=v{value}", names[*name])),
                None => nulls.then(|| format!("{}!", names[*name])),
            };
            layer.iter().filter_map(row).collect()
        };
        let (base, up, down) = (rows(&root, false), rows(&parent, true), rows(&child, true));
        let [base, up, down] = [&base, &up, &down].map(|rows| rows.iter().map(String::as_str).collect::<Vec<_>>());
        let envfile = envfile(&base, &[("parent", &[], &up), ("child", &["parent"], &down)]);
        let dotenv = rows(&dot, false).join("\n");
        let given: Vec<(String, String)> = set
            .iter()
            .filter_map(|(name, value)| Some((names[*name].to_owned(), format!("v{}", (*value)?))))
            .collect();
        let given: Vec<(&str, &str)> = given.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let (values, said) = values(&envfile, "", Some("child"), &dotenv, &given);
        prop_assert_eq!(said, "");

        let mut pile: BTreeMap<&str, String> = BTreeMap::new();
        let mut lay = |layer: &LayerText, nulls: bool| {
            for (name, value) in layer {
                match value {
                    Some(value) => drop(pile.insert(names[*name], format!("v{value}"))),
                    None if nulls => drop(pile.remove(names[*name])),
                    None => {}
                }
            }
            pile.clone()
        };
        lay(&root, false);
        lay(&dot, false);
        lay(&parent, true);
        let below = lay(&child, true);
        let project = lay(&set, false);
        for name in names {
            let found = values.lookup(name).text().map(|text| text.to_string());
            prop_assert_eq!(found, project.get(name).cloned(), "{}", name);
        }
        // A task's own values stand between its environment's and `--set`.
        let mut with_task = below;
        for (name, value) in &own {
            match value {
                Some(value) => drop(with_task.insert(names[*name], format!("v{value}"))),
                None => drop(with_task.remove(names[*name])),
            }
        }
        for (name, value) in &set {
            if let Some(value) = value {
                with_task.insert(names[*name], format!("v{value}"));
            }
        }
        let own_rows = rows(&own, true);
        let own_rows: Vec<&str> = own_rows.iter().map(String::as_str).collect();
        let task = TaskValues::new(&values, &task(vars(&own_rows), Vec::new()), Vec::new());
        for name in names {
            let found = task.lookup(name).text().map(|text| text.to_string());
            prop_assert_eq!(found, with_task.get(name).cloned(), "task {}", name);
        }
    }
}
