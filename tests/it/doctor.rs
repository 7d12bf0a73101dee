//! `envrun doctor`, and what a run refuses because it requires what is not there.

use std::net::TcpListener;

use expect_test::expect;

use crate::sandbox::{Ran, Sandbox, need};
use crate::secret::git;

/// A program that prints a version, and one that fails.
fn with_tools(sandbox: &mut Sandbox) {
    sandbox.script("bin/sometool", "#!/bin/sh\necho 'sometool version 2.34.1 (build 7)'\n");
    sandbox.script("bin/silent", "#!/bin/sh\necho hello\n");
    sandbox.script("bin/nvidia-smi", "#!/bin/sh\necho 'GPU 0: NVIDIA A100 (UUID: GPU-1)'\n");
    let path = std::env::var("PATH").unwrap();
    sandbox.set("PATH", &format!("{}:{path}", sandbox.root().join("bin").display()));
}

/// What is the same on every machine: not what is said of git and the cache, nor how much of it is good.
fn without_project(ran: &Ran) -> String {
    let text = ran.text();
    let (head, rest) = text.split_once("project\n").expect("the project comes first");
    let (_, environments) = rest.split_once("\n\n").expect("environments come behind it");
    let (environments, _) = environments.rsplit_once("\n\n").expect("the sums come last");
    format!("{head}{environments}\n")
}

const ENVFILE: &str = r##"
requires {
    tool "sometool" version=">=2.30"
    tool "sometol"
}
vars { (port)PORT 1; GREETING "hello"; TOKEN "changeme"; NEEDED }
env "dev" { vars { NEEDED "x" } }
env "prod" {
    requires {
        tool "sometool" version=">=3" hint="get the new one"
        tool "silent" version=">=1"
        gpu min=1 want=2
        file "Envfile.kdl" "missing.conf"
        exec #"test "$GREETING" = hello"# name="greeting"
        exec "echo looking >&2; echo nothing is there >&2; exit 3"
        set "GREETING" "NOBODY_SETS_THIS"
    }
}
"##;

#[test]
fn every_check_answers_and_none_stops_the_others() {
    let mut sandbox = Sandbox::new(ENVFILE);
    with_tools(&mut sandbox);
    let ran = sandbox.run(&["doctor", "prod"]);
    expect![[r#"
        exit: 3
        --- stdout
        prod
          FAIL sometool          2.34.1, wanted >=3
              hint: get the new one
          FAIL sometol           not found on PATH
              hint: did you mean `sometool`?
          FAIL silent            `$ROOT/bin/silent --version` prints no version, wanted >=1
              hint: take `version=` away, and ask with `exec`
          warn gpu               1, wanted at least 2
              hint: look at what `nvidia-smi -L` says
          ok   Envfile.kdl       there
          FAIL missing.conf      it does not exist
              hint: make it, or correct the path
          ok   greeting          succeeds
          FAIL echo looking >&2; echo nothing is there >&2; exit 3  exit status 3: looking
              hint: see what is wrong by hand: echo looking >&2; echo nothing is there >&2; exit 3
          ok   GREETING          set
          FAIL NOBODY_SETS_THIS  not set
              hint: give NOBODY_SETS_THIS a value: in `vars`, in a dotenv file, or in the shell
          ok   PORT              1 is free
          warn TOKEN             `changeme`, a placeholder
              hint: give TOKEN the value that is meant
          FAIL NEEDED            `NEEDED` has no value in environment `prod`
              hint: give it one in an `env` block, in a dotenv file, or with `--set NEEDED=…`
    "#]]
    .assert_eq(&without_project(&ran));
}

#[test]
fn an_environment_is_asked_only_for_its_own() {
    let mut sandbox = Sandbox::new(ENVFILE);
    with_tools(&mut sandbox);
    let ran = sandbox.run(&["doctor", "dev"]);
    expect![[r#"
        exit: 3
        --- stdout
        dev
          ok   sometool  2.34.1, wanted >=2.30
          FAIL sometol   not found on PATH
              hint: did you mean `sometool`?
          ok   PORT      1 is free
          warn TOKEN     `changeme`, a placeholder
              hint: give TOKEN the value that is meant
    "#]]
    .assert_eq(&without_project(&ran));
}

#[test]
fn a_taken_port_names_its_owner() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let sandbox = Sandbox::new(&format!("vars {{ (port)PORT {port} }}\ntask \"a\" {{ run \"true\" }}"));
    let ran = sandbox.run(&["doctor"]);
    assert_eq!(ran.exit, 3, "{}", ran.text());
    assert!(ran.stdout.contains(&format!("{port} is taken by")), "{}", ran.text());
    if cfg!(target_os = "linux") {
        assert!(ran.stdout.contains(&format!("pid {}: ", std::process::id())), "{}", ran.text());
    }
}

/// What the doctor says of the port of an environment.
fn about_the_port(sandbox: &Sandbox, env: &str) -> String {
    let ran = sandbox.run(&["doctor", env]);
    let mut lines = ran.stdout.lines().skip_while(|line| !line.contains(" PORT "));
    let line = lines.next().unwrap_or_else(|| panic!("it looks at the port\n{}", ran.text()));
    let hint = lines.next().filter(|line| line.trim_start().starts_with("hint: "));
    format!("{} {}{}", ran.exit, line.trim(), hint.map_or(String::new(), |hint| format!("\n{}", hint.trim())))
}

#[test]
fn a_service_that_is_up_has_its_port_and_is_no_stranger_to_its_environment() {
    if !need("python3", "python3") {
        return;
    }
    let port = crate::example::free_port();
    let sandbox = Sandbox::new(&format!(
        "vars {{ (port)PORT {port} }}\nenv \"dev\"\nenv \"uat\"\n\
         service \"web\" {{ run \"exec python3 -m http.server -b 127.0.0.1 $PORT\"; ready {{ tcp \"127.0.0.1:${{PORT}}\"; timeout \"60s\" }} }}"
    ));
    sandbox.ok(&["up", "dev"]);
    let (own, other) = (about_the_port(&sandbox, "dev"), about_the_port(&sandbox, "uat"));
    let beside = sandbox.run(&["up", "uat"]);
    sandbox.ok(&["down", "dev"]);
    let refused = format!("`uat.web` is refused: port {port} is that of `dev.web`, which is up (pid ");
    assert!(beside.exit == 3 && beside.stderr.contains(&refused), "{}", beside.text());
    assert!(beside.stderr.contains("hint: `envrun down dev` ends it, or give"), "{}", beside.text());
    let is = format!("PORT  {port} is that of `dev.web`, which is up (pid ");
    assert!(own.starts_with(&format!("0 ok   {is}")), "{own}");
    assert!(other.starts_with(&format!("3 FAIL {is}")), "{other}");
    assert!(other.ends_with("\nhint: `envrun down dev` ends it, or give PORT another value"), "{other}");
    assert_eq!(about_the_port(&sandbox, "dev"), format!("0 ok   PORT  {port} is free"));
}

#[test]
fn ports_clash_inside_an_environment_and_across_those_named() {
    let sandbox = Sandbox::new(
        "vars { (port)API 4; (port)WEB 5; (port)PUBLIC \"${WEB}\" }\nenv \"staging\" { vars { WEB 4 } }\nenv \"prod\" { vars { API 6 } }\nenv \"dev\" { vars { API 7; WEB 8 } }",
    );
    let clashes = |args: &[&str]| {
        let ran = sandbox.run(args);
        let lines = ran.stdout.lines().filter(|line| line.contains("also")).collect::<Vec<_>>().join("\n");
        format!("{} {lines}", ran.exit)
    };
    expect!["3   FAIL WEB     4 is also the port of API"].assert_eq(&clashes(&["doctor", "staging"]));
    expect!["3   FAIL WEB     4 is also the port of API"].assert_eq(&clashes(&["doctor", "staging", "prod"]));
    expect!["0 "].assert_eq(&clashes(&["doctor", "prod", "dev"]));
    sandbox.write("Envfile.kdl", "vars { (port)PORT 8000 }\nenv \"dev\"\nenv \"prod\"");
    expect!["3   FAIL PORT  8000 is also the port of PORT of dev"]
        .assert_eq(&clashes(&["doctor", "dev", "prod"]));
    // Nobody says that both run at once.
    expect!["0 "].assert_eq(&clashes(&["doctor"]));
}

#[test]
fn strict_json_and_github() {
    let sandbox = Sandbox::new(
        "requires { os \"linux\" \"macos\"; file \"lost\" hint=\"find it\" }\nvars { KEY \"<key>\" }",
    );
    let json: serde_json::Value =
        serde_json::from_str(&sandbox.run(&["doctor", "--format", "json"]).stdout).unwrap();
    assert_eq!(json["status"], "fail");
    let checks = json["groups"][0]["checks"].as_array().unwrap();
    let lost = checks.iter().find(|check| check["name"] == "lost").unwrap();
    expect![[r#"
        {
          "found": "it does not exist",
          "hint": "find it",
          "kind": "file",
          "name": "lost",
          "node": null,
          "place": "Envfile.kdl:1",
          "status": "fail",
          "wanted": null
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(lost).unwrap());
    let github = sandbox.run(&["doctor", "--format", "github"]);
    let lines: Vec<&str> = github.stdout.lines().filter(|line| line.contains("file=")).collect();
    expect![[r#"
        ::error file=Envfile.kdl,line=1,endLine=1,col=32,endColumn=58,title=doctor::lost: it does not exist%0Ahelp: find it
        ::warning file=Envfile.kdl,line=2,endLine=2,col=12,endColumn=19,title=doctor::KEY: `<key>`, a placeholder%0Ahelp: give KEY the value that is meant"#]].assert_eq(&lines.join("\n"));

    sandbox.write("Envfile.kdl", "vars { KEY \"<key>\" }");
    assert_eq!(sandbox.run(&["doctor"]).exit, 0);
    assert_eq!(sandbox.run(&["doctor", "--strict"]).exit, 3);
}

#[test]
fn what_a_task_requires_is_asked_before_the_first_process() {
    let mut sandbox = Sandbox::new(
        r##"
task "first" { run "touch first.done" }
task "pack" {
    needs "first"
    requires { tool "sometool" version=">=3" hint="get the new one"; file "missing.conf" }
    run "true"
}
task "good" { inputs "Envfile.kdl"; requires { tool "sometool" version=">=2 <3"; exec "test -f Envfile.kdl" }; run "true" }
task "other" { requires { set "NOBODY_SETS_THIS" }; needs "pack"; run "true" }
"##,
    );
    with_tools(&mut sandbox);
    sandbox.check(
        &["other"],
        expect![[r#"
            exit: 3
            --- stderr
            error: `pack` is refused: it requires sometool: 2.34.1, wanted >=3 (Envfile.kdl:5)
              hint: get the new one
            error: `pack` is refused: it requires missing.conf: it does not exist (Envfile.kdl:5)
              hint: make it, or correct the path
            error: `other` is refused: it requires NOBODY_SETS_THIS: not set (Envfile.kdl:9)
              hint: give NOBODY_SETS_THIS a value: in `vars`, in a dotenv file, or in the shell
        "#]],
    );
    assert!(!sandbox.exists("first.done"));
    sandbox.check(
        &["-n", "pack"],
        expect![[r#"
        exit: 0
        --- stderr
        warning: `pack` would be refused: it requires missing.conf: it does not exist (Envfile.kdl:5)
        hint: make it, or correct the path
         would run first because it has no inputs or outputs, so it always runs
                   $ touch first.done
         would run pack because it has no inputs or outputs, so it always runs
                   $ true
        2 to execute in [time]
    "#]],
    );
    sandbox.ok(&["good"]);
    // Also where nothing is left to do: an answer that was sealed would know nothing of the tool.
    sandbox.ok(&["good"]);
    sandbox.ok(&["good"]);
    sandbox.script("bin/sometool", "#!/bin/sh\necho 1.0\n");
    assert_eq!(sandbox.run(&["good"]).exit, 3);
}

#[test]
fn secrets_in_what_a_check_says_are_hidden() {
    let mut sandbox = Sandbox::new(
        "secrets { TOKEN }\nrequires { exec #\"echo \"$TOKEN\" >&2; false\"# name=\"login\" }\ntask \"a\" { run \"true\" }",
    );
    sandbox.set("TOKEN", "open-sesame-42");
    let ran = sandbox.run(&["doctor"]);
    assert_eq!(ran.exit, 3, "{}", ran.text());
    assert!(!ran.text().contains("open-sesame-42"), "{}", ran.text());
    assert!(ran.stdout.contains("exit status 1: ***"), "{}", ran.text());
}

/// Only the marks, names and findings of one environment.
fn group(ran: &Ran, environment: &str) -> String {
    let text = &ran.stdout;
    let from = text.find(&format!("{environment}\n")).unwrap_or_else(|| panic!("{}", ran.text()));
    let rest = &text[from..];
    rest[..rest.find("\n\n").unwrap_or(rest.len())].to_owned()
}

#[test]
fn rows_are_laid_over_each_other_along_extends_and_files_and_folders() {
    let mut sandbox = Sandbox::with(&[
        (
            "Envfile.kdl",
            r##"
include "tools.kdl"
include "api"
requires { file "a"; tool "sometool" version=">=1" hint="root" }
env "base" abstract=#true { requires { tool "sometool" version=">=3" hint="base"; exec "false" name="login" hint="log in" } }
env "uat" extends="base" { requires { tool "sometool" version=">=2"; exec "true" name="login" } }
env "prod" extends="base"
"##,
        ),
        ("tools.kdl", "requires { tool \"sometool\" version=\">=9\"; tool \"silent\" }"),
        (
            "api/Envfile.kdl",
            "requires { file \"here\" }\nenv \"prod\" { requires { file \"there\" hint=\"in api\" } }\ntask \"t\" { requires { file \"here\" }; run \"true\" }",
        ),
        ("api/here", ""),
        ("a", ""),
    ]);
    with_tools(&mut sandbox);
    let ran = sandbox.run(&["doctor", "uat", "prod"]);
    let stable = |text: String| text.replace(&sandbox.root().display().to_string(), "$ROOT");
    expect![[r#"
        uat
          ok   sometool          2.34.1, wanted >=2
          ok   silent            $ROOT/bin/silent
          ok   a                 there
          ok   login             succeeds
          ok   api/here          there
          ok   api/here (api:t)  there"#]]
    .assert_eq(&stable(group(&ran, "uat")));
    expect![[r#"
        prod
          FAIL sometool          2.34.1, wanted >=3
              hint: base
          ok   silent            $ROOT/bin/silent
          ok   a                 there
          FAIL login             exit status 1
              hint: log in
          ok   api/here          there
          FAIL api/there         it does not exist
              hint: in api
          ok   api/here (api:t)  there"#]]
    .assert_eq(&stable(group(&ran, "prod")));
}

/// The schema of a stack with many environments, as real projects have it, made short.
const STACK: &str = r##"
project "multimodal-stack"
include "stores.kdl" as="stores"
vars { DEBUG #false; (enum)LOG_LEVEL "INFO" one-of="DEBUG|INFO"; (path)COMPOSE_FILE "docker-compose.${ENVRUN_ENV}.yml" }
requires {
    tool "docker" version=">=24" hint="https://docs.docker.com/engine/install/"
    exec "docker info" name="docker daemon" hint="Docker is installed but not running"
    exec #"docker compose -f "$COMPOSE_FILE" config -q"# name="compose file" hint="the line above names the error"
    disk min="1MiB"
}
env "stack" abstract=#true {
    vars { (port)VLLM_PORT 2; (port)REDIS_PORT 3; GPU_COUNT 2 min=1; POSTGRES_PASSWORD_FILE "<path>" }
    secrets { JWT_SECRET_KEY generate="password" length=64 rotate="30d" }
    requires { gpu min=1 want=2 hint="set CUDA_VISIBLE_DEVICES=0 for one GPU" }
}
env "development" extends="stack" { vars { COMPOSE_FILE "docker-compose.yml" } }
env "production" extends="stack" {
    vars { (port)GRAFANA_PORT 5; POSTGRES_PASSWORD_FILE "/run/pg" }
    requires { gpu min=2 }
    task "release" { requires { tool "no-such-cliff" hint="cargo install no-such-cliff" }; run "true" }
}
env "testing" { vars { (port)ALLURE_PORT 4 } }
"##;

#[test]
fn many_environments_from_one_schema() {
    let mut sandbox = Sandbox::with(&[
        ("Envfile.kdl", STACK),
        ("stores.kdl", "store \"sops\" { requires { tool \"sops\" }; read \"sops\" }"),
    ]);
    with_tools(&mut sandbox);
    sandbox.set("JWT_SECRET_KEY", "long-enough-to-hide");
    sandbox.script(
        "bin/docker",
        r#"#!/bin/sh
case "$*" in
    --version) echo "Docker version 20.10.24, build 297e128" ;;
    info) echo up ;;
    "compose -f docker-compose.yml config -q") ;;
    *) echo "open $3: no such file or directory" >&2; exit 14 ;;
esac
"#,
    );
    let ran = sandbox.run(&["doctor"]);
    assert_eq!(ran.exit, 3, "{}", ran.text());
    // How much is free is another number everywhere.
    let group = |env: &str| {
        let lines = group(&ran, env);
        let lines = lines.lines().filter(|line| !line.contains("ok   disk"));
        lines.map(|line| format!("{}\n", line.trim_end())).collect::<String>()
    };
    expect![[r#"
        development
          FAIL docker                  20.10.24, wanted >=24
              hint: https://docs.docker.com/engine/install/
          ok   docker daemon           succeeds
          ok   compose file            succeeds
          warn gpu                     1, wanted at least 2
              hint: set CUDA_VISIBLE_DEVICES=0 for one GPU
          ok   VLLM_PORT               2 is free
          ok   REDIS_PORT              3 is free
          warn POSTGRES_PASSWORD_FILE  `<path>`, a placeholder
              hint: give POSTGRES_PASSWORD_FILE the value that is meant
          ok   JWT_SECRET_KEY          the caller's shell
    "#]]
    .assert_eq(&group("development"));
    expect![[r#"
        production
          FAIL docker                   20.10.24, wanted >=24
              hint: https://docs.docker.com/engine/install/
          ok   docker daemon            succeeds
          FAIL compose file             exit status 14: open docker-compose.production.yml: no such file or directory
              hint: the line above names the error
          FAIL gpu                      1, wanted at least 2
              hint: look at what `nvidia-smi -L` says
          FAIL no-such-cliff (release)  not found on PATH
              hint: cargo install no-such-cliff
          ok   VLLM_PORT                2 is free
          ok   REDIS_PORT               3 is free
          ok   GRAFANA_PORT             5 is free
          ok   JWT_SECRET_KEY           the caller's shell
    "#]].assert_eq(&group("production"));
    expect![[r#"
        testing
          FAIL docker         20.10.24, wanted >=24
              hint: https://docs.docker.com/engine/install/
          ok   docker daemon  succeeds
          FAIL compose file   exit status 14: open docker-compose.testing.yml: no such file or directory
              hint: the line above names the error
          ok   ALLURE_PORT    4 is free
    "#]]
    .assert_eq(&group("testing"));
    assert!(!ran.stdout.contains("stack\n"), "{}", ran.text());
}

#[test]
fn wrong_requirements_are_told_with_their_place() {
    let sandbox = Sandbox::new(
        "requires { tool \"a\" version=\"new\"; cpu min=4 want=2; reach \"${NOWHERE}:1\"; memory }\ntask \"t\" { run \"true\" }",
    );
    sandbox.check(
        &["check"],
        expect![[r#"
        exit: 2
        --- stderr
        Envfile.kdl:1:29: error: `"new"` is not a version requirement [syntax/value]
          help: write for instance `">=3.12"`
        Envfile.kdl:1:51: error: less is recommended than is required [load/amount]
        Envfile.kdl:1:44: note: required
          help: `want` is what is better than `min`: make it more, or take it away
        Envfile.kdl:1:61: error: `NOWHERE` is not declared [load/undeclared]
          help: declare it in `vars`, or give it a default: `${NOWHERE:-…}`; `$${NOWHERE}` is the text itself
        Envfile.kdl:1:76: error: `memory` says no amount [syntax/missing-property]
          help: write `min=` for what is required, `want=` for what is recommended
    "#]],
    );
    sandbox.write(
        "Envfile.kdl",
        "requires { reach \"localhost\"; tool \"./none\" }\ntask \"t\" { run \"true\" }",
    );
    let ran = sandbox.run(&["doctor"]);
    assert!(ran.stdout.contains("`localhost` names no port: write `localhost:443`"), "{}", ran.text());
    assert!(ran.stdout.contains("there is no "), "{}", ran.text());
    sandbox.check(
        &["doctor", "prod"],
        expect![[r#"
        exit: 2
        --- stderr
        error: there is no environment `prod`
        hint: the Envfile declares none
    "#]],
    );
}

#[test]
fn completion_offers_environments() {
    let sandbox = Sandbox::new("env \"prod\" { desc \"live\" }\ntask \"preview\" { run \"true\" }");
    sandbox.check(
        &["__complete", "doctor", "pr"],
        expect![[r#"
        exit: 0
        --- stdout
        prod	live
    "#]],
    );
    sandbox.check(
        &["__complete", "doctor", "--s"],
        expect![[r#"
        exit: 0
        --- stdout
        --strict	Warnings count as failures
    "#]],
    );
}

#[test]
fn a_value_that_nobody_mentions_and_that_is_missing_refuses_a_deploy_and_a_service() {
    let sandbox = Sandbox::with(&[
        (
            "Envfile.kdl",
            r#"
vars { NEEDED; MAYBE required=#false; OTHER }
secrets { TOKEN; MADE generate="hex" }
store "vault" { read "touch asked; false" }
env "dev"
env "prod"
env "far" { secrets store="vault" }
task "t" { run "echo hi" }
deploy "other" { run "echo hi" }
deploy "deploy" { run "touch deployed; test ${#MADE} -gt 9" }
service "api" { run "touch started; test ${#MADE} -gt 9; exec sleep 600"; ready { exec "test -e started" } }
"#,
        ),
        (".gitignore", ".envrun/\n"),
    ]);
    for args in [&["init", "-q", "-b", "main"][..], &["add", "-A"], &["commit", "-q", "-m", "first"]] {
        git(&sandbox, args);
    }
    let refused = "error: `prod.deploy` is refused: the secret `TOKEN` is not set (Envfile.kdl:3)
  hint: `envrun secret set prod TOKEN`
error: `prod.deploy` is refused: `NEEDED` has no value in environment `prod` (Envfile.kdl:2)
  hint: give it one in an `env` block, in a dotenv file, or with `--set NEEDED=…`
error: `prod.deploy` is refused: `OTHER` has no value in environment `prod` (Envfile.kdl:2)
  hint: give it one in an `env` block, in a dotenv file, or with `--set OTHER=…`
";
    let ran = sandbox.run(&["prod.deploy"]);
    assert_eq!((ran.exit, ran.stderr.as_str()), (3, refused));
    // What the doctor would say: everything at once, whoever asks for the service.
    for args in [&["up", "dev"][..], &["up", "dev", "api"], &["dev.api"]] {
        let ran = sandbox.run(args);
        assert_eq!(ran.exit, 3, "{args:?} {}", ran.text());
        for missing in ["`NEEDED` has no value", "`OTHER` has no value", "the secret `TOKEN` is not set"] {
            assert!(ran.stderr.contains(missing), "{args:?} {}", ran.text());
        }
    }
    assert!(!sandbox.exists("deployed") && !sandbox.exists("started"));
    let dry = sandbox.ok(&["-n", "prod.deploy"]);
    assert!(dry.stdout.contains("[ ] `prod.deploy` is refused: `NEEDED` has no value"), "{}", dry.text());
    // A task is not stopped by what it does not read.
    sandbox.ok(&["prod.t"]);

    for env in ["dev", "prod"] {
        let mut set = sandbox.command(&["secret", "set", env, "TOKEN"]);
        let mut set = set.stdin(std::process::Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(&mut set.stdin.take().unwrap(), b"open-sesame-42").unwrap();
        assert!(set.wait().unwrap().success());
    }
    let given = ["-s", "NEEDED=a", "-s", "OTHER=b"];
    sandbox.ok(&[&["prod.deploy"][..], &given].concat());
    sandbox.ok(&[&["up", "dev"][..], &given].concat());
    assert!(sandbox.exists("deployed") && sandbox.exists("started"));
    sandbox.ok(&["down", "dev"]);
    // Nobody mentions what lies in the store: it is not asked.
    sandbox.ok(&[&["far.other"][..], &given].concat());
    assert!(!sandbox.exists("asked"));
}

#[test]
fn a_bad_dotenv_file_is_a_finding_and_the_rest_is_looked_at() {
    let sandbox = Sandbox::new(
        r#"
vars { (port)PORT 1; NEEDED }
env "a" { dotenv ".env.a" }
env "b" { dotenv ".env.b"; dotenv ".env.c" }
env "c" { dotenv "folder" }
"#,
    );
    sandbox.write(".env.a", "NEEDED=2\nnonsense\nLAST=3\n");
    sandbox.write(".env.b", b"NEEDED=1\nBAD=a\xffb\r\nLAST=2\n");
    sandbox.write("folder/file", "");
    let ran = sandbox.run(&["doctor"]);
    expect![[r#"
        exit: 3
        --- stdout
        a
          FAIL .env.a:2  a line without `=`
              hint: write `NAME=value`, or `#` before a comment
          ok   PORT      1 is free

        b
          FAIL .env.b:2  the line is not UTF-8
              hint: save the file as UTF-8; a value that is no text goes into a file of its own, or into base64
          FAIL dotenv    there is no file `.env.c`
              hint: write it, or add `optional=#true`
          ok   PORT      1 is free

        c
          FAIL folder  cannot read `$ROOT/folder`: Is a directory (os error 21)
              hint: put a file there that you may read, or name another one
          ok   PORT    1 is free
          FAIL NEEDED  `NEEDED` has no value in environment `c`
              hint: give it one in an `env` block, in a dotenv file, or with `--set NEEDED=…`
    "#]]
    .assert_eq(&without_project(&ran));
    // What can be shown is, and the status says that not all was.
    sandbox.check(
        &["env", "show", "a", "b", "c"],
        expect![[r#"
            exit: 2
            --- stdout
            a
              PORT    1
              NEEDED  2
              LAST    3

            b
              PORT    1
              NEEDED  1
              LAST    2

            c
              PORT    1
              NEEDED  ! `NEEDED` has no value in environment `c`
            --- stderr
            .env.a:2:1: error: a line without `=` [vars/dotenv]
              help: write `NAME=value`, or `#` before a comment
            .env.b:2:1: error: the line is not UTF-8 [vars/dotenv]
              help: save the file as UTF-8; a value that is no text goes into a file of its own, or into base64
            Envfile.kdl:4:35: error: there is no file `.env.c` [vars/no-dotenv]
              help: write it, or add `optional=#true`
            error: cannot read `$ROOT/folder`: Is a directory (os error 21)
        "#]],
    );
    let json: serde_json::Value =
        serde_json::from_str(&sandbox.run(&["env", "show", "a", "--json"]).stdout).unwrap();
    assert_eq!(json["problems"], serde_json::json!([".env.a:2: a line without `=`"]));
    // Whoever runs something with it is told, and nothing is run.
    sandbox.write("Envfile.kdl", "dotenv \".env.b\"\ntask \"t\" { run \"echo $LAST\" }");
    let ran = sandbox.run(&["t"]);
    assert_eq!(ran.exit, 2, "{}", ran.text());
    assert!(ran.stderr.starts_with(".env.b:2:1: error: the line is not UTF-8"), "{}", ran.text());
}

#[test]
fn a_value_that_is_not_allowed_is_shown_and_is_an_error() {
    let sandbox =
        Sandbox::new("vars { N 5; RATE 0.5 }\nsecrets { KEY generate=\"hex\" }\nvars { URL \"x:${KEY}\" }");
    sandbox.check(
        &["env", "show", "-s", "N=abc"],
        expect![[r#"
            exit: 2
            --- stdout
              N     ! `N` from --set: `abc` is not a whole number
              RATE  0.5
              URL   (`KEY` is not made yet: the first run that wants it makes it)
              KEY   (not made yet: the first run that wants it makes it)
            --- stderr
            Envfile.kdl:1:8: error: `N` from --set: `abc` is not a whole number [vars/invalid-value]
        "#]],
    );
    for number in ["NaN", "inf", "-infinity", "1e400"] {
        let ran = sandbox.run(&["env", "show", "-s", &format!("RATE={number}")]);
        assert_eq!(ran.exit, 2, "{number} {}", ran.text());
        assert!(ran.stdout.contains(&format!("`{number}` is not a number")), "{}", ran.text());
    }
}

#[test]
fn a_row_shows_what_is_looked_for_and_every_bad_one_says_what_to_do() {
    let sandbox = Sandbox::new(
        r#"
vars { NAME "prod"; (port)PORT 1; HOST "127.0.0.1"; TOOL "no-such-tool"; BAD 5 max=9; (url)LINK }
secrets { TOKEN }
requires {
    file "conf/${NAME}.conf"
    file "${HOME}/x"
    reach "${HOST}:${PORT}"
    tool "${TOOL}"
    exec "echo one; echo 'ERROR: no daemon' >&2; echo see the manual >&2; exit 2" name="daemon"
    set "NOBODY"
}
task "t" { dir "sub"; requires { file "${NAME}.txt" }; run "true" }
"#,
    );
    std::fs::create_dir(sandbox.root().join("sub")).unwrap();
    sandbox.write(".env", "");
    let ran = sandbox.run(&["doctor"]);
    for row in [
        "conf/prod.conf",
        "127.0.0.1:1 ",
        "no-such-tool",
        "sub/prod.txt (t)",
        "exit status 2: ERROR: no daemon",
    ] {
        assert!(ran.stdout.contains(row), "{row} {}", ran.text());
    }
    let json = sandbox.run(&["doctor", "--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    for check in
        json["groups"].as_array().unwrap().iter().flat_map(|group| group["checks"].as_array().unwrap())
    {
        assert!(check["status"] == "pass" || check["hint"].is_string(), "{check}");
    }
    // A run that is refused names the same.
    let ran = sandbox.run(&["t"]);
    assert!(ran.stderr.contains("it requires sub/prod.txt: it does not exist"), "{}", ran.text());
}

#[test]
fn where_nothing_can_be_recorded_is_a_finding() {
    let sandbox = Sandbox::new("secrets { KEY generate=\"hex\" }\ntask \"t\" { run \"true\" }\n");
    sandbox.write(".envrun", "somebody's own file");
    let ran = sandbox.run(&["doctor"]);
    assert_eq!(ran.exit, 3, "{}", ran.text());
    let said = ".envrun is not a folder\n      hint: move that file away, or work in a copy of the project\n";
    assert!(ran.stdout.contains(said), "{}", ran.text());
    assert_eq!(sandbox.read(".envrun"), "somebody's own file");
}

#[test]
fn a_guard_that_keeps_the_secrets_of_several_projects_is_told_once() {
    let sandbox = Sandbox::with(&[
        ("Envfile.kdl", "include \"api\"\nsecrets { A }\nenv \"prod\" { guard { set \"NOBODY_HAS_IT\" } }\n"),
        ("api/Envfile.kdl", "project \"api\"\nsecrets { B }\ntask \"t\" { run \"true\" }\n"),
    ]);
    let ran = sandbox.ok(&["doctor", "prod"]);
    assert_eq!(ran.stdout.matches("not looked at: NOBODY_HAS_IT is not set").count(), 1, "{}", ran.text());
}
