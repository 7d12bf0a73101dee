//! Tasks and the other nodes, word by word.

use expect_test::expect;

use super::{good, loaded, one, path};
use crate::model::Node;

#[test]
fn every_word_of_a_task() {
    let loaded = good(&[(
        "Envfile.kdl",
        r#"
        pool "heavy" 2
        task "dep" { run "true" }
        task "t" {
            desc "what"
            alias "tee"
            group "build"
            hidden
            arg "path" default="tests" one-of="tests|docs" env="T_PATH"
            arg "rest" repeat=#true
            flag "no-cov"
            when { branch "main" "release/*"; tag; clean; pushed; ci #false; window "mon-thu 08:00-16:00" tz="UTC"; set "A"; unset "B"; os "linux"; host "h*"; file "x"; exec "true" name="it" hint="try"; exec "a" "b" }
            guard { branch "main"; confirm "yes" }
            mutates
            requires { tool "git" }
            needs "dep"
            after "dep"
            uses "X"
            inputs "src/**" "!src/x"
            depfile "a.d"
            tools "cc"
            done "test -e x"
            run "echo a"
            run "echo" "a b"
            call "dep"
            render ".env" format="dotenv"
            dir "sub"
            shell "bash"
            vars { V 1 }
            timeout "5m"
            retry 3 every="2s" backoff=2.0 on="exit:75|timeout"
            pool "heavy"
            matrix { python "3.11" }
            interactive
            on-fail "dep"
            on-success "dep"
            hint "look"
            cache #false
        }
        "#,
    )]);
    let Some(Node::Task(task)) = loaded.envfile.node(None, &path("t")) else { panic!() };
    // Places say nothing here; what is read does. One line for each field.
    let text = format!("{task:?}");
    let text = regex::Regex::new(r"(, )?span: Span \{[^}]*\}").unwrap().replace_all(&text, "");
    let text = text.replace("Spanned { value: ", "{").replace("FileId(0), ", "");
    let mut depth = 0;
    let mut lines = String::new();
    for c in text.chars() {
        depth += i32::from("{[(".contains(c)) - i32::from("}])".contains(c));
        lines.push(if c == ',' && depth == 1 { '\n' } else { c });
    }
    expect![[r#"
        Task { name: "t"
         desc: Some("what")
         alias: [{"tee" }]
         group: Some("build")
         hidden: true
         args: [ArgSpec { name: {"path" }, kind: Positional { repeat: false }, default: Some(String("tests")), constraints: Constraints { min: None, max: None, one_of: Some({["tests", "docs"] }), pattern: None }, desc: None, env: Some("T_PATH") }, ArgSpec { name: {"rest" }, kind: Positional { repeat: true }, default: None, constraints: Constraints { min: None, max: None, one_of: None, pattern: None }, desc: None, env: None }, ArgSpec { name: {"no-cov" }, kind: Switch, default: None, constraints: Constraints { min: None, max: None, one_of: None, pattern: None }, desc: None, env: None }]
         when: [Condition { kind: Branch(["main", "release/*"]), hint: None }, Condition { kind: Tag([]), hint: None }, Condition { kind: Clean, hint: None }, Condition { kind: Pushed, hint: None }, Condition { kind: Ci(false), hint: None }, Condition { kind: Window { spans: ["mon-thu 08:00-16:00"], tz: Some("UTC") }, hint: None }, Condition { kind: Set(["A"]), hint: None }, Condition { kind: Unset(["B"]), hint: None }, Condition { kind: Os(["linux"]), hint: None }, Condition { kind: Host(["h*"]), hint: None }, Condition { kind: File(["x"]), hint: None }, Condition { kind: Exec { command: Shell("true"), name: Some("it") }, hint: Some("try") }, Condition { kind: Exec { command: Argv(["a", "b"]), name: None }, hint: None }]
         guard: [Condition { kind: Branch(["main"]), hint: None }, Condition { kind: Confirm("yes"), hint: None }]
         mutates: true
         requires: [Requirement { kind: Tool { program: "git", version: None }, key: "tool git", name: None, hint: None }]
         needs: [NodeRef { path: dep, env: None, state: None }]
         after: [NodeRef { path: dep, env: None, state: None }]
         uses: [{"X" }]
         inputs: Some([{"src/**" }, {"!src/x" }])
         outputs: None
         depfile: [{"a.d" }]
         tools: [{"cc" }]
         done: Some({Shell("test -e x") })
         actions: [{Run(Shell("echo a")) }, {Run(Argv(["echo", "a b"])) }, {Call(NodeRef { path: dep, env: None, state: None }) }, {Render(Render { path: {".env" }, content: Dotenv, only: None }) }]
         dir: {"sub" }
         project_dir: "."
         shell: Some({"bash" })
         vars: {"V": Var { name: "V", ty: Some(Int), value: Some({Int(1) }), constraints: Constraints { min: None, max: None, one_of: None, pattern: None }, optional: false, desc: None }}
         timeout: Some({300s })
         retry: Some(Retry { times: 3, every: 2s, backoff: 2.0, on: [Exit(75), Timeout] })
         pool: Some({"heavy" })
         interactive: true
         on_fail: [NodeRef { path: dep, env: None, state: None }]
         on_success: [NodeRef { path: dep, env: None, state: None }]
         hint: Some("look")
         sandbox: None
         cache: Never
         unbuilt: [Unbuilt { word: "matrix" }] }"#]].assert_eq(&lines);
}

#[test]
fn limits_that_make_no_sense() {
    one(
        r#"
        task "a" { retry 0; timeout "0s"; run "true" }
        task "b" { retry 2 backoff=0.5 on="exit:0"; run "true" }
        task "c" { retry 100000 every="1s" backoff=3; run "true" }
        task "d" { retry -1; timeout "soon"; run "true" }
        env "pr" ephemeral=#true { ttl "0s" }
        env "review" extends="pr" ephemeral=#true
        secrets { TOKEN generate="hex" rotate="0d" }
        "#,
        expect![[r#"
            error[load/limit]: `retry 0` tries nothing again
              Envfile.kdl:2:26 `0`
              help: take it out, or say how often
            error[load/limit]: a task cannot be over in no time
              Envfile.kdl:2:37 `"0s"`
              help: take `timeout` out to let it run as long as it likes
            error[load/limit]: `backoff` without `every` has no pause to make longer
              Envfile.kdl:3:28 `backoff`
              help: add `every="1s"`
            error[load/limit]: `backoff` makes pauses longer: 1 to 100
              Envfile.kdl:3:36 `0.5`
              help: `backoff=2.0` doubles each pause
            error[load/limit]: exit status 0 is no failure
              Envfile.kdl:3:43 `"exit:0"`
              help: name the statuses that are worth another try
            error[load/limit]: more than 1000 tries are a loop
              Envfile.kdl:4:26 `100000`
              help: wait for what it waits for in the command itself
            error[syntax/value]: `-1` is not a whole number
              Envfile.kdl:5:26 `-1`: a value of `retry`
            error[syntax/value]: `"soon"` is not a duration
              Envfile.kdl:5:38 `"soon"`: a value of `timeout`
              help: write for instance `"30s"`, `"5m"` or `"1h30m"`
            error[load/limit]: an environment cannot be left idle for no time: it would be gone as it is made
              Envfile.kdl:6:40 `"0s"`
              help: take `ttl` out to keep it until somebody destroys it
            error[load/limit]: a secret cannot be too old at once
              Envfile.kdl:8:47 `"0d"`
              help: leave `rotate=` out where it is changed by hand, or `rotate="never"` where it never is
        "#]],
    );
}

#[test]
fn arguments_fit_together() {
    one(
        r#"
        task "t" {
            arg "a-b" default="x" one-of="y|z"
            arg "a_b"
            arg "n" default=5 max=3
            arg "rest" repeat=#true
            arg "last" default=1
            flag "help"
            run "true"
        }
        "#,
        expect![[r#"
            error[load/value]: the default of `a-b`: `x` is not one of `y`, `z`
              Envfile.kdl:3:31 `"x"`
              Envfile.kdl:3:42 `"y|z"`: asked for here
            error[load/arg]: `a-b` and `a_b` both arrive as `ARG_A_B`
              Envfile.kdl:4:17 `"a_b"`
              Envfile.kdl:3:17 `"a-b"`: the first
            error[load/arg]: `a_b` is required, and comes after `a-b`, which is not
              Envfile.kdl:4:17 `"a_b"`
              Envfile.kdl:3:17 `"a-b"`: has a default
              help: put the required arguments first
            error[load/value]: the default of `n`: `5` is above the greatest, 3
              Envfile.kdl:5:29 `5`
              Envfile.kdl:5:35 `3`: asked for here
            error[load/arg]: `rest` takes all that is left, so `last` gets nothing
              Envfile.kdl:6:17 `"rest"`
              Envfile.kdl:7:17 `"last"`
              help: put it last
            error[load/arg]: the flag `--help` is taken: it shows the task's help
              Envfile.kdl:8:18 `"help"`
        "#]],
    );
}

#[test]
fn conditions_are_understood_before_a_run() {
    one(
        r#"
        task "t" {
            when { branch "["; window "fry 08:00-16:00"; window "08:00-16:00" tz="Europa/Berlin"; file "${NOPE}" }
            run "true"
        }
        "#,
        expect![[r#"
            error[load/glob]: `[` is not a glob: unclosed character class; missing ']'
              Envfile.kdl:3:27 `"["`
            error[load/window]: `fry 08:00-16:00` is not a window: `fry` is not a day; write `mon-thu 08:00-16:00`, `sat,sun 00:00-24:00` or `22:00-06:00`
              Envfile.kdl:3:39 `"fry 08:00-16:00"`
            error[load/window]: there is no time zone `Europa/Berlin`
              Envfile.kdl:3:82 `"Europa/Berlin"`
              help: did you mean `Europe/Berlin`?
            error[load/undeclared]: `NOPE` is not declared
              Envfile.kdl:3:105 `${NOPE}`
              help: declare it in `vars`, or give it a default: `${NOPE:-…}`; `$${NOPE}` is the text itself
        "#]],
    );
}

#[test]
fn variables_of_a_service_are_an_overlay_too() {
    one(
        r#"
        vars { (port)PORT 80 }
        service "s" { vars { PORT 0; OWN "x" }; run "s"; url "http://h:${PORT}/${OWN}/${NOPE}" }
        "#,
        expect![[r#"
            error[load/value]: `PORT`: `0` is not a port, 1 to 65535
              Envfile.kdl:3:35 `0`
              Envfile.kdl:2:22 `PORT`: declared here
            error[load/undeclared]: `NOPE` is not declared
              Envfile.kdl:3:87 `${NOPE}`
              help: declare it in `vars`, or give it a default: `${NOPE:-…}`; `$${NOPE}` is the text itself
        "#]],
    );
}

#[test]
fn an_alias_is_nobody_elses_name() {
    one(
        "task \"a\" { alias \"only\"; run \"true\" }\nenv \"x\" { task \"only\" { run \"true\" } }",
        expect![[r#"
        error[load/duplicate]: the alias `only` is already a node
          Envfile.kdl:1:18 `"only"`: the alias
          Envfile.kdl:2:16 `"only"`: the first
    "#]],
    );
}

#[test]
fn a_deploy_does_something() {
    one(
        r#"
        deploy "d" { desc "x"; verify "t" }
        deploy "e" { call "t" }
        deploy "f" { verify "t" }
        env "any" abstract=#true { deploy "e" { call #null } }
        env "prod" extends="any" { deploy "d" { run "x" }; deploy "f" { run "x" } }
        env "uat" { deploy "f" { from "prod" } }
        task "t" { run "true" }
        "#,
        expect![[r#"
            error[load/empty-deploy]: a deploy does something: `d` has no `run`, `call`, `render` or `from`
              Envfile.kdl:2:16 `"d"`
              help: say how it goes live: `run "…"`, `call "task"`, or `from "uat"` for what is proved there
            error[load/empty-deploy]: a deploy does something: `e` has no `run`, `call`, `render` or `from`
              Envfile.kdl:5:43 `"e"`
              help: say how it goes live: `run "…"`, `call "task"`, or `from "uat"` for what is proved there
        "#]],
    );
}

#[test]
fn outputs_need_somebody_to_make_them() {
    one(
        r#"
        task "a" { outputs "x" }
        task "b" { mutates; outputs "y"; run "true" }
        task "c" { needs "b" }
        "#,
        expect![[r#"
            error[load/no-actions]: `a` declares outputs and does nothing
              Envfile.kdl:2:20 `outputs`
              help: add `run`; a task without actions stands for the tasks it needs, and their outputs
            warning[load/mutates]: `b` mutates, so its outputs are never kept
              Envfile.kdl:3:20 `mutates`
              Envfile.kdl:3:29 `outputs`: these
              help: make the outputs in a task of their own, and need it
        "#]],
    );
}

#[test]
fn a_pattern_has_what_its_environments_are_made_with() {
    let loaded = loaded(&[(
        "Envfile.kdl",
        "env \"base\" abstract=#true { ttl \"3d\"; on-destroy \"t\" }\nenv \"pr\" extends=\"base\" ephemeral=#true { arg \"n\" min=1; on-create \"t\"; on-create \"u\" }\ntask \"t\" { run \"x\" }\ntask \"u\" { run \"x\" }",
    )]);
    assert_eq!(super::said(&loaded), "");
    let pattern = &loaded.envfile.environments["pr"].pattern;
    let names = |list: &[crate::model::NodeRef]| {
        list.iter().map(|node| node.path.to_string()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(pattern.ttl, Some(std::time::Duration::from_secs(3 * 24 * 3600)));
    assert_eq!((names(&pattern.on_create), names(&pattern.on_destroy)), ("t u".to_owned(), "t".to_owned()));
    assert_eq!(pattern.args.iter().map(|arg| arg.variable()).collect::<Vec<_>>(), ["ARG_N"]);
}

#[test]
fn only_a_pattern_has_arguments() {
    one(
        "env \"dev\" { arg \"n\"; ttl \"3d\" }\nenv \"pr\" ephemeral=#true { on-create \"nonesuch\" }\ntask \"t\" { run \"x\" }",
        expect![[r#"
            error[load/pattern]: `arg` counts only in a pattern, and `dev` is none
              Envfile.kdl:1:13 `arg`
              Envfile.kdl:1:5 `"dev"`: the environment
              help: write `ephemeral=#true` behind its name: `envrun env create` then makes environments from it
            error[load/unknown-node]: there is no node `nonesuch`
              Envfile.kdl:2:38 `"nonesuch"`
        "#]],
    );
}

#[test]
fn what_is_not_built_is_kept() {
    let loaded = loaded(&[(
        "Envfile.kdl",
        "requires { tool \"git\" }\nsecrets { S }\nenv \"pr\" ephemeral=#true { ttl \"3d\"; arg \"n\" }\ntask \"t\" { matrix { a \"1\" }; requires { tool \"x\" }; load \"s\"; needs \"svc\" state=\"started\" }\nsnapshot \"s\" { save \"x\" }\nservice \"svc\" { run \"x\" }",
    )]);
    let words = |list: &[crate::model::Unbuilt]| {
        list.iter().map(|unbuilt| unbuilt.word).collect::<Vec<_>>().join(" ")
    };
    let root = &loaded.envfile.projects[""];
    let Some(Node::Task(task)) = loaded.envfile.node(None, &path("t")) else { panic!() };
    assert_eq!(super::said(&loaded), "");
    assert_eq!(words(&task.unbuilt), "matrix");
    expect![""].assert_eq(&words(&root.base.unbuilt));
    assert_eq!(root.base.secrets.len(), 1);
    assert_eq!(loaded.envfile.node(None, &path("svc")).unwrap().kind(), "service");
}
