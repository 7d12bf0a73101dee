//! `envrun env`: environments, looked at, lent to a command, exported, compared.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use expect_test::expect;

use crate::sandbox::Sandbox;

const SHOP: &str = r#"
project "shop" default-env="dev"
vars {
    DEBUG #false
    (enum)LOG_LEVEL "info" one-of="debug|info|warn"
    (port)PORT 8080 desc="where it listens"
    (port)PUBLIC "${PORT}"
    RATIO 0.5
    (url)BASE_URL "http://localhost:${PORT}"
    NEEDED
    MAYBE required=#false
}
secrets { DB_PASSWORD }
dotenv ".env.${ENVRUN_ENV}" optional=#true
env "base" abstract=#true {
    desc "what all share"
    vars { DSN "postgres://app:${DB_PASSWORD}@db/app" }
}
env "dev" extends="base" { desc "local"; vars { DEBUG #true } }
env "uat" extends="base" { vars { PORT 8081 } }
env "prod" extends="base" {
    guard { branch "main"; set "ALLOWED" hint="ask somebody" }
    vars { LOG_LEVEL "warn" }
    task "deploy" { run "true" }
}
task "a" { run "true" }
"#;

fn shop() -> Sandbox {
    let mut sandbox = Sandbox::new(SHOP);
    sandbox.write(".env.dev", "NEEDED=\"a b\"\nEXTRA=$x\n");
    sandbox.set("DB_PASSWORD", "s3cret-word");
    sandbox
}

#[test]
fn the_matrix_of_environments() {
    let sandbox = shop();
    sandbox.check(&["env", "list"], expect![[r#"
        exit: 0
        --- stdout
        ENVIRONMENT  EXTENDS  KIND      NODES  VARIABLES  GUARD
        base         -        abstract  1      10         -                                                 what all share
        dev          base     default   1      10         -                                                 local
        uat          base     -         1      10         -
        prod         base     -         2      10         branch "main"; set "ALLOWED" hint="ask somebody"
    "#]]);
    let json: serde_json::Value =
        serde_json::from_str(&sandbox.ok(&["env", "list", "--format", "json"]).stdout).unwrap();
    assert_eq!(json[3]["name"], "prod");
    assert_eq!(json[3]["own_nodes"], serde_json::json!(["deploy"]));
    assert_eq!(json[0]["abstract"], true);
}

#[test]
fn every_value_says_where_it_comes_from() {
    let sandbox = shop();
    sandbox.check(
        &["env", "show", "--origin", "--set", "LOG_LEVEL=debug"],
        expect![[r#"
        exit: 0
        --- stdout
        dev extends base
          DEBUG        true                   Envfile.kdl:19 (environment dev)
          LOG_LEVEL    debug                  --set
          PORT         8080                   Envfile.kdl:6 (every environment)
          PUBLIC       8080                   Envfile.kdl:7 (every environment)
          RATIO        0.5                    Envfile.kdl:8 (every environment)
          BASE_URL     http://localhost:8080  Envfile.kdl:9 (every environment)
          NEEDED       a b                    .env.dev:1
          MAYBE        -
          DB_PASSWORD  ***                    the caller's shell
          EXTRA        $x                     .env.dev:2
          DSN          ***                    Envfile.kdl:17 (environment base)
    "#]],
    );
    sandbox.check(
        &["env", "show", "prodd"],
        expect![[r#"
        exit: 2
        --- stderr
        error: there is no environment `prodd`
        hint: did you mean `prod`?
    "#]],
    );
    sandbox.check(
        &["env", "show", "base"],
        expect![[r#"
        exit: 2
        --- stderr
        error: environment `base` is abstract
        hint: name one that a run can be in: `dev`, `uat`, `prod`
    "#]],
    );
    sandbox.check(
        &["env", "show", "--set", "PROT=1"],
        expect![[r#"
        exit: 2
        --- stderr
        error: `--set PROT=…`: there is no variable `PROT` in the Envfile
        hint: did you mean `PORT`?
    "#]],
    );
}

#[test]
fn values_are_typed_in_json_and_secrets_masked() {
    let sandbox = shop();
    let shown = sandbox.ok(&["env", "show", "prod", "--format", "json", "--set", "PORT=99"]);
    assert!(!shown.stdout.contains("s3cret-word"), "{}", shown.stdout);
    let json: serde_json::Value = serde_json::from_str(&shown.stdout).unwrap();
    let values: BTreeMap<&str, &serde_json::Value> = json["values"]
        .as_array()
        .unwrap()
        .iter()
        .map(|value| (value["name"].as_str().unwrap(), value))
        .collect();
    let value = |name: &str| values[name]["value"].clone();
    assert_eq!(value("DEBUG"), false);
    assert_eq!(value("PORT"), 99);
    assert_eq!(value("PUBLIC"), 99);
    assert_eq!(value("RATIO"), 0.5);
    assert_eq!(value("BASE_URL"), "http://localhost:99");
    // The guard does not let anybody here read a secret, so nobody knows what is built from it.
    assert_eq!(value("DSN"), serde_json::Value::Null);
    assert_eq!(
        values["DSN"]["problem"],
        "the secret `DB_PASSWORD` was not read: `branch` needs a git repository, and this is none"
    );
    let open = sandbox.ok(&["env", "show", "uat", "--format", "json"]).stdout;
    assert!(open.contains("\"***\"") && !open.contains("s3cret-word"), "{open}");
    assert_eq!(value("NEEDED"), serde_json::Value::Null);
    assert_eq!(values["NEEDED"]["problem"], "`NEEDED` has no value in environment `prod`");
    assert_eq!(values["DSN"]["secret"], true);
    assert_eq!(values["PORT"]["type"], "port");
    assert_eq!(values["PORT"]["desc"], "where it listens");
    assert_eq!(json["chain"], serde_json::json!(["base", "prod"]));
}

#[test]
fn several_environments_are_shown_one_below_the_other() {
    let sandbox = shop();
    let shown = sandbox.ok(&["env", "show", "dev", "uat"]).stdout;
    assert!(shown.starts_with("dev extends base\n") && shown.contains("\n\nuat extends base\n"), "{shown}");
    assert!(!shown.contains("s3cret-word"), "{shown}");
    let json = sandbox.ok(&["env", "show", "dev", "uat", "--json"]).stdout;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json[0]["environment"], &json[1]["environment"]), (&"dev".into(), &"uat".into()));
    let one = |form: &[&str]| sandbox.ok(&[&["env", "show", "uat"], form].concat()).stdout;
    assert_eq!(one(&["--json"]), one(&["--format", "json"]));
}

#[test]
fn a_secret_is_no_argument_of_set_either() {
    let sandbox = shop();
    sandbox.check(
        &["env", "show", "dev", "--set", "DB_PASSWORD=typed-for-all-to-see"],
        expect![[r#"
            exit: 2
            --- stderr
            error: `DB_PASSWORD` is a secret: its value is never an argument, where everybody could read it
            hint: `envrun secret set ENV DB_PASSWORD` asks for it, or reads it from standard input
        "#]],
    );
}

#[test]
fn every_guard_that_fails_says_what_would_satisfy_it() {
    let mut sandbox = Sandbox::new(
        r#"
env "p" {
    guard {
        branch "release/*"
        tag "v*"
        pushed
        approval signers="signers"; deployed "q"
        ci
        exec "exit 1" name="the probe"
        os "freebsd"
        host "no-such-host"
        unset "LOUD"
        set "QUIET"
    }
    task "t" { mutates #true; run "echo ran" }
}
env "q"
"#,
    );
    sandbox.write("signers", "");
    sandbox.set("LOUD", "1");
    let refused = |sandbox: &Sandbox| {
        let ran = sandbox.run(&["p.t"]);
        assert_eq!(ran.exit, 3, "{}", ran.text());
        let lines: Vec<&str> = ran.stderr.lines().collect();
        for pair in lines.windows(2).filter(|pair| pair[0].starts_with("error: ")) {
            assert!(pair[1].starts_with("  hint: "), "{}", ran.text());
        }
        assert!(lines.last().unwrap().starts_with("  hint: "), "{}", ran.text());
        ran.stderr
    };
    let bare = refused(&sandbox);
    assert_eq!(bare.matches("`git init`, and a first commit").count(), 5, "{bare}");
    let init = ["init", "-q", "-b", "main"];
    assert!(
        std::process::Command::new("git").args(init).current_dir(sandbox.root()).status().unwrap().success()
    );
    let unborn = refused(&sandbox);
    // Four conditions fail for this reason; of two that stand in one line it is told once.
    assert_eq!(unborn.matches("the repository has no commit yet").count(), 3, "{unborn}");
    assert!(!unborn.contains("`git rev-parse") && !unborn.contains("`git tag --points-at"), "{unborn}");
    assert!(!unborn.contains("`p.t` and `p.t`"), "{unborn}");
}

#[test]
fn ports_stand_side_by_side() {
    let sandbox = shop();
    sandbox.check(
        &["env", "show", "--ports"],
        expect![[r#"
            exit: 0
            --- stdout
            PORT    dev   uat   prod
            PORT    8080  8081  8080
            PUBLIC  8080  8081  8080

            used by more than one environment, which cannot be up together
               8080  PORT: dev, prod
        "#]],
    );
    let json = sandbox.ok(&["env", "show", "--ports", "uat", "dev", "--format", "json", "-sPORT=7"]);
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(json["rows"][0], serde_json::json!({"name": "PORT", "ports": {"uat": 7, "dev": 7}}));
    assert_eq!(json["clashes"][0]["kind"], "across");
    // Named twice, it is one all the same.
    let twice = sandbox.ok(&["env", "show", "--ports", "dev", "dev"]).stdout;
    assert_eq!(twice, sandbox.ok(&["env", "show", "--ports", "dev"]).stdout);
}

#[test]
fn a_command_sees_the_environment_and_its_end_is_envruns() {
    let sandbox = shop();
    let ran = sandbox.run(&[
        "env",
        "exec",
        "--",
        "sh",
        "-c",
        "echo \"$NEEDED|$PORT|$DSN|$ENVRUN_ENV|$EXTRA|${MAYBE-unset}|$TZ\"; exit 7",
    ]);
    assert_eq!(
        (ran.exit, ran.stdout.as_str()),
        (7, "a b|8080|postgres://app:s3cret-word@db/app|dev|$x|unset|UTC\n")
    );
    // A name without a value is told, and no obstacle: who knows what the command reads.
    let ran = sandbox.run(&["env", "exec", "uat", "-s", "PORT=9", "--", "printenv", "PORT"]);
    assert_eq!((ran.exit, ran.stdout.as_str()), (0, "9\n"));
    assert_eq!(ran.stderr, "notice: `NEEDED` has no value in environment `uat`\n");
    // A value that is not what it may be is one.
    sandbox.check(
        &["env", "exec", "-s", "PORT=0", "--", "true"],
        expect![[r#"
            exit: 2
            --- stderr
            Envfile.kdl:6:11: error: `PORT` from --set: `0` is not a port, 1 to 65535 [vars/invalid-value]
        "#]],
    );
    let ran = sandbox.run(&["env", "exec", "--", "nonesuch-program"]);
    assert_eq!(ran.exit, 1);
    assert!(ran.stderr.contains("`nonesuch-program` was not found; looked in PATH="), "{}", ran.stderr);
}

#[test]
fn a_guard_stands_before_a_command_and_before_secrets() {
    let mut sandbox = shop();
    sandbox.check(
        &["env", "exec", "prod", "--", "true"],
        expect![[r#"
            exit: 3
            --- stderr
            error: `env exec prod` is refused: `branch` needs a git repository, and this is none (Envfile.kdl:22)
              hint: `git init`, and a first commit
            error: `env exec prod` is refused: ALLOWED is not set (Envfile.kdl:22)
              hint: ask somebody
        "#]],
    );
    let ran = sandbox.run(&["env", "export", "prod", "-sNEEDED=x"]);
    assert_eq!((ran.exit, ran.stdout.as_str()), (3, ""));
    let git = |args: &[&str]| {
        assert!(
            std::process::Command::new("git")
                .args(args)
                .current_dir(sandbox.root())
                .status()
                .unwrap()
                .success()
        );
    };
    git(&["init", "-q", "-b", "main"]);
    sandbox.set("ALLOWED", "yes");
    assert_eq!(sandbox.ok(&["env", "exec", "prod", "--", "printenv", "LOG_LEVEL"]).stdout, "warn\n");
    assert!(sandbox.ok(&["env", "export", "prod", "-sNEEDED=x"]).stdout.contains("s3cret-word"));
}

#[test]
fn what_a_guard_keeps_is_not_compared_and_no_gap() {
    let mut sandbox = Sandbox::new(
        r##"
        vars { SAME "1"; URL "http://u:${KEY}@h" }
        secrets { KEY; OPT required=#false }
        env "dev"
        env "prod" { guard { set "MAY" } }
        "##,
    );
    for env in ["dev", "prod"] {
        let mut set = sandbox.command(&["secret", "set", env, "KEY"]).stdin(Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(&mut set.stdin.take().unwrap(), format!("value-of-{env}\n").as_bytes())
            .unwrap();
        assert!(set.wait().unwrap().success());
    }
    sandbox.check(
        &["env", "diff", "dev", "prod", "--strict"],
        expect![[r#"
        exit: 0
        --- stdout
        not compared: the guard of prod keeps secrets: MAY is not set (3)
          URL
          KEY
          OPT

        guard
          only in prod: set "MAY"

        1 equal, 0 different, 3 not compared
    "#]],
    );
    let json = sandbox.ok(&["env", "diff", "prod", "dev", "--format", "json"]).stdout;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["entries"], serde_json::json!([]));
    assert_eq!(json["unread"], serde_json::json!(["URL", "KEY", "OPT"]));
    assert_eq!(json["guarded"], serde_json::json!({ "prod": "MAY is not set" }));
    // Nobody who is kept out knows whether two that are both kept are the same.
    sandbox.set("MAY", "yes");
    let open = sandbox.ok(&["env", "diff", "dev", "prod", "--strict"]).stdout;
    assert!(open.contains("different (2)") && open.ends_with("2 equal, 2 different\n"), "{open}");
}

#[test]
fn staging_is_for_its_branches() {
    let sandbox = Sandbox::new(
        r##"
        env "dev"
        env "staging" { guard { branch "main" "release/*"; clean } }
        secrets { KEY generate="hex" }
        task "ship" { mutates #true; run "test -n \"$KEY\" && touch shipped" }
        task "look" { run "echo looks" }
        deploy "deploy" { run "touch live" }
        "##,
    );
    sandbox.write(".gitignore", "/.envrun/\n/shipped\n/live\n");
    let git = |args: &[&str]| crate::sandbox::git(&sandbox.root(), "alice", args);
    git(&["init", "-q", "-b", "feature/x"]);
    git(&["add", "-A"]);
    git(&["commit", "-q", "-m", "one"]);
    for args in
        [&["staging.ship"][..], &["staging.deploy"], &["env", "exec", "staging", "--", "touch", "shipped"]]
    {
        let refused = sandbox.run(args);
        assert_eq!(refused.exit, 3, "{args:?} {}", refused.text());
        assert!(
            refused.stderr.contains("the branch is feature/x, not main or release/*"),
            "{}",
            refused.text()
        );
    }
    let kept = [".envrun/secrets/staging.env", "shipped", "live"];
    assert!(kept.iter().all(|file| !sandbox.exists(file)), "nothing ran, and no secret was made for it");
    // Who changes nothing there need not be on that branch, and dev is for everybody.
    sandbox.ok(&["staging.look"]);
    sandbox.ok(&["dev.ship"]);
    git(&["switch", "-q", "-c", "release/2"]);
    sandbox.write("notes", "");
    let refused = sandbox.run(&["staging.ship"]);
    assert_eq!(refused.exit, 3, "{}", refused.text());
    git(&["add", "-A"]);
    git(&["commit", "-q", "-m", "two"]);
    std::fs::remove_file(sandbox.root().join("shipped")).unwrap();
    sandbox.ok(&["staging.ship", "staging.deploy"]);
    assert!(kept.iter().all(|file| sandbox.exists(file)));
}

#[test]
fn a_guard_is_advice_and_the_store_is_the_lock() {
    let sandbox = Sandbox::new(
        r##"
        env "prod" { secrets store="vault" { KEY }; guard { set "SOMETHING_NOBODY_HAS" } }
        store "vault" { read #"test -e let-in || { echo "you may not read this" >&2; exit 1; }; echo KEY=hunter2-word"# }
        task "ship" { mutates #true; run #"echo "$KEY" | cksum > shipped"# }
        "##,
    );
    let refused = sandbox.run(&["prod.ship"]);
    assert_eq!(refused.exit, 3, "{}", refused.text());
    assert!(refused.stderr.contains("SOMETHING_NOBODY_HAS is not set"), "{}", refused.text());
    // Whoever has the file has the guard in hand.
    let without = sandbox.read("Envfile.kdl").replace("guard {", "/-guard {");
    sandbox.write("Envfile.kdl", without);
    for args in
        [&["prod.ship"][..], &["env", "exec", "prod", "--", "true"], &["secret", "get", "prod", "KEY"]]
    {
        let refused = sandbox.run(args);
        assert_eq!(refused.exit, 3, "{args:?} {}", refused.text());
        assert!(refused.stderr.contains("you may not read this"), "{}", refused.text());
    }
    assert!(!sandbox.exists("shipped"));
    sandbox.write("let-in", "");
    sandbox.ok(&["prod.ship"]);
    let docs = include_str!("../../docs/environments.md");
    assert!(docs.contains("A guard on a laptop is advice") && docs.contains("where the secret lives"));
}

#[test]
fn a_signal_reaches_the_command() {
    let sandbox = shop();
    let mut command = sandbox.command(&[
        "env",
        "exec",
        "--",
        "sh",
        "-c",
        "trap 'exit 9' TERM; echo $$; while :; do sleep 0.05; done",
    ]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    // It is envrun's own process by now: nothing stands between it and whoever waits.
    assert_eq!(line.trim(), child.id().to_string());
    let status = std::process::Command::new("kill").args(["-TERM", line.trim()]).status().unwrap();
    assert!(status.success());
    assert_eq!(child.wait().unwrap().code(), Some(9));
}

const HARD: &[(&str, &str)] = &[
    ("DOLLAR", "$HOME ${HOME} $(id)"),
    ("BCRYPT", "$2b$12$abcdefghijklmnopqrstuv"),
    ("JSON", r#"{"a": "it's", "b": [1, 2]}"#),
    ("LINES", "one\ntwo\n"),
    ("QUOTES", r#"'single' and "double""#),
    ("BACK", r"C:\new\\share"),
    ("EMPTY", ""),
    ("HASH", "a #b"),
    ("SPACES", "  x  "),
    ("WORD", "plain"),
];

/// A project whose dotenv file holds [`HARD`], read from a caller's variables that no form has touched.
fn hard() -> Sandbox {
    let mut rows = String::new();
    let mut sandbox = Sandbox::new("");
    for (name, value) in HARD {
        rows.push_str(&format!("    {name}\n"));
        sandbox.set(name, value);
    }
    sandbox.write(
        "Envfile.kdl",
        format!("vars {{\n{rows}    COUNT 3\n    ON #true\n}}\ntask \"a\" {{ run \"true\" }}\n"),
    );
    sandbox
}

#[test]
fn exported_values_are_read_back_by_others() {
    let sandbox = hard();
    // By a shell.
    for form in ["dotenv", "shell"] {
        let text = sandbox.ok(&["env", "export", "--format", form]).stdout;
        sandbox.write("values", &text);
        for (name, value) in HARD {
            let output = std::process::Command::new("sh")
                .args(["-eu", "-c", &format!(". ./values; printf '%s' \"${name}\"")])
                .current_dir(sandbox.root())
                .env_clear()
                .output()
                .unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), *value, "{form} {name}: {text}");
        }
    }
    // By a dotenv library, and by envrun itself.
    let text = sandbox.ok(&["env", "export"]).stdout;
    let loaded = dotenv::EnvLoader::with_reader(text.as_bytes()).load().unwrap();
    for (name, value) in HARD {
        assert_eq!(loaded.get(name).map(String::as_str), Some(*value), "{name}");
    }
    let again =
        Sandbox::with(&[("Envfile.kdl", "dotenv \".env\"\ntask \"a\" { run \"true\" }\n"), (".env", &text)]);
    let json: serde_json::Value =
        serde_json::from_str(&again.ok(&["env", "export", "--format", "json"]).stdout).unwrap();
    for (name, value) in HARD {
        assert_eq!(json[name], *value, "{name}");
    }
    // As JSON, with types.
    let json: serde_json::Value =
        serde_json::from_str(&sandbox.ok(&["env", "export", "--format", "json"]).stdout).unwrap();
    assert_eq!((&json["COUNT"], &json["ON"]), (&serde_json::json!(3), &serde_json::json!(true)));
}

#[test]
fn github_gets_a_file_and_masks() {
    let mut sandbox = shop();
    sandbox.set("DB_PASSWORD", "line one\nline 100%");
    let file = sandbox.root().join("github-env");
    sandbox.write("github-env", "BEFORE=1\n");
    sandbox.set("GITHUB_ENV", file.to_str().unwrap());
    sandbox.check(
        &["env", "export", "dev", "--format", "github"],
        expect![[r#"
        exit: 0
        --- stdout
        ::add-mask::line one
        ::add-mask::line 100%25
        ::add-mask::postgres://app:line one
        ::add-mask::line 100%25@db/app
    "#]],
    );
    // Without a workflow there is nobody to mask anything, and what a mask said would be hidden itself.
    sandbox.set("GITHUB_ENV", "");
    let bare = sandbox.ok(&["env", "export", "dev", "--format", "github"]);
    assert!(!bare.text().contains("add-mask"), "{}", bare.text());
    let text = sandbox.read("github-env");
    assert!(text.starts_with("BEFORE=1\nDEBUG<<ENVRUN_VALUE\ntrue\nENVRUN_VALUE\n"), "{text}");
    assert!(text.contains("DB_PASSWORD<<ENVRUN_VALUE\nline one\nline 100%\nENVRUN_VALUE\n"), "{text}");
}

#[test]
fn a_name_without_a_value_keeps_all_from_being_exported() {
    let sandbox = shop();
    sandbox.check(
        &["env", "export", "uat"],
        expect![[r#"
        exit: 2
        --- stderr
        Envfile.kdl:10:5: error: `NEEDED` has no value in environment `uat` [vars/missing-value]
          help: give it one in an `env` block, in a dotenv file, or with `--set NEEDED=…`
    "#]],
    );
}

/// An environment that was named wins over one that would match, over the default, and over both.
#[test]
fn d11_the_environment_that_is_named_wins() {
    let matching =
        "env \"server\" { match { set \"ON_SERVER\" } }\nenv \"laptop\"\ntask \"a\" { run \"true\" }\n";
    for (project, on_server, named, expected) in [
        ("", false, Some("laptop"), "laptop"),
        ("", true, Some("laptop"), "laptop"),
        ("", true, None, "server"),
        ("project \"p\" default-env=\"laptop\"\n", true, Some("server"), "server"),
        ("project \"p\" default-env=\"server\"\n", false, Some("laptop"), "laptop"),
    ] {
        let mut sandbox = Sandbox::new(&format!("{project}{matching}"));
        if on_server {
            sandbox.set("ON_SERVER", "1");
        }
        let mut args = vec!["env", "exec"];
        args.extend(named);
        args.extend(["--", "printenv", "ENVRUN_ENV"]);
        assert_eq!(sandbox.ok(&args).stdout, format!("{expected}\n"), "{project} {on_server} {named:?}");
        let run = Sandbox::new(&format!(
            "{project}{}",
            matching.replace("run \"true\"", "run \"echo in $ENVRUN_ENV\"")
        ));
        let mut command = run.command(&["run", "a"]);
        command.args(named.map(|name| ["-e", name]).into_iter().flatten());
        if on_server {
            command.env("ON_SERVER", "1");
        }
        let ran = run.ran(command.output().unwrap());
        assert!(
            format!("{}{}", ran.stdout, ran.stderr).contains(&format!("in {expected}")),
            "{}",
            ran.text()
        );
    }
    // Nobody names one, and none matches: then there is none to guess.
    let sandbox = Sandbox::new(matching);
    sandbox.check(
        &["env", "show"],
        expect![[r#"
        exit: 2
        --- stderr
        error: which environment?
        hint: there is `server`, `laptop`
    "#]],
    );
}

const TWO: &str = r#"
vars {
    LOG_LEVEL "info"
    (port)PORT 8080
    (url)BASE_URL "http://${HOST}:${PORT}"
    HOST "localhost"
    IMAGE "shop-${ENVRUN_ENV}"
    WORKERS 1
    FEATURE required=#false
    SAME "same"
}
secrets { DB_PASSWORD; API_KEY; SHARED }
requires { tool "sh"; disk min="1MiB" }
dotenv ".env.${ENVRUN_ENV}" optional=#true
env "uat" { vars { PORT 8081; (port)DEBUG_PORT 9229 } }
env "prod" {
    vars { LOG_LEVEL "warn" }
    requires { memory min="1MiB" }
    guard { branch "main" }
    task "b" { run "echo prod" }
    task "deploy" { run "true" }
}
task "a" { run "true" }
task "b" { run "true" }
"#;

fn two(uat: &str, prod: &str) -> Sandbox {
    Sandbox::with(&[("Envfile.kdl", TWO), (".env.uat", uat), (".env.prod", prod)])
}

/// The key of the fingerprints is each sandbox's own.
fn without_fingerprints(text: &str) -> String {
    let mut parts = text.split("***");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        assert!(part[..8].bytes().all(|byte| byte.is_ascii_hexdigit()), "{part}");
        format!("{text}***[hash]{}", &part[8..])
    })
}

#[test]
fn what_differs_between_two_environments() {
    let keys = "DB_PASSWORD=uat-secret\nAPI_KEY=k1-secret\nSHARED=the-same\n";
    let sandbox = two(
        &format!("{keys}FEATURE=on\nEXTRA=1\n"),
        &keys.replace("uat-secret", "prod-secret").replace("k1", "k2"),
    );
    let mut same = sandbox.run(&["env", "diff", "uat", "prod"]);
    same.stdout = without_fingerprints(&same.stdout);
    expect![[r#"
        exit: 0
        --- stdout
        only in uat (3)
          FEATURE     on    .env.uat:4
          EXTRA       1     .env.uat:5  not explained
          DEBUG_PORT  9229  Envfile.kdl:15

        different (6)
          LOG_LEVEL    info -> warn                                    Envfile.kdl:3, Envfile.kdl:17
          PORT         8081 -> 8080                                    Envfile.kdl:15, Envfile.kdl:4
          BASE_URL     http://localhost:8081 -> http://localhost:8080  Envfile.kdl:5
          IMAGE        shop-uat -> shop-prod                           Envfile.kdl:7
          DB_PASSWORD  ***[hash] -> ***[hash]                      .env.uat:1, .env.prod:1
          API_KEY      ***[hash] -> ***[hash]                      .env.uat:2, .env.prod:2

        secrets with the same value in both (1)
          SHARED

        nodes
          only in prod: deploy
          different: b

        requires
          only in prod: memory min="1MiB"

        guard
          only in prod: branch "main"

        4 equal, 9 different, 1 of them not explained by the Envfile
    "#]]
    .assert_eq(&same.text());
    for word in ["uat-secret", "prod-secret", "k1-secret", "the-same"] {
        assert!(!same.stdout.contains(word), "{}", same.stdout);
    }
    // What dotenv files make different is written down nowhere that a review sees.
    assert_eq!(sandbox.run(&["env", "diff", "uat", "prod", "--strict"]).exit, 1);
    let json = sandbox.ok(&["env", "diff", "prod", "uat", "--format", "json"]).stdout;
    assert!(!json.contains("-secret"), "{json}");
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let unexplained: Vec<&str> = json["entries"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| entry["explained"] == false)
        .map(|entry| entry["name"].as_str().unwrap())
        .collect();
    assert_eq!(unexplained, ["EXTRA"]);
    // Without what nobody declares, everything that differs is in the Envfile.
    let sandbox = two(keys, &keys.replace("uat-secret", "prod-secret"));
    assert_eq!(sandbox.run(&["env", "diff", "uat", "prod", "--strict"]).exit, 0);
    // A gap is a difference; so is a value of a dotenv file.
    for (uat, prod, name) in [
        (keys.to_owned(), keys.replace("API_KEY=k1-secret\n", ""), "API_KEY"),
        (format!("{keys}WORKERS=2\n"), keys.to_owned(), "WORKERS"),
        (keys.to_owned(), format!("{keys}HOST=db.internal\n"), "BASE_URL"),
    ] {
        let sandbox = two(&uat, &prod);
        // Whom prod's guard lets in knows what its stores lack.
        crate::sandbox::git(&sandbox.root(), "alice", &["init", "-q", "-b", "main"]);
        let ran = sandbox.run(&["env", "diff", "uat", "prod", "--strict"]);
        assert_eq!(ran.exit, 1, "{}", ran.text());
        let line = ran.stdout.lines().find(|line| line.contains(name)).unwrap();
        assert!(line.contains("not explained"), "{line}");
    }
}

#[test]
fn an_environment_does_not_differ_from_itself() {
    let sandbox = two("WORKERS=2\n", "");
    sandbox.check(
        &["env", "diff", "uat", "uat", "--strict"],
        expect![[r#"
        exit: 0
        --- stdout
        12 equal, 0 different
    "#]],
    );
}
