//! `envrun env`: environments, looked at, lent to a command, exported, compared, made and taken down.

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
    assert_eq!(values["DSN"]["problem"], "the secret `DB_PASSWORD` was not read");
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

const PR: &str = r#"
project "shop"
vars { (port)PORT 8080; (port)ADMIN 8081; (url)URL "http://localhost:${PORT}" }
env "dev"
env "cluster" abstract=#true { vars { REPLICAS 3 } }
env "pr" extends="cluster" ephemeral=#true {
    desc "one for every pull request"
    arg "number" min=1 desc="of the pull request"
    ttl "3d"
    vars { NAMESPACE "pr-${ARG_NUMBER}"; REPLICAS 1 }
    task "where" { run "echo $NAMESPACE in $ENVRUN_ENV has $REPLICAS at $URL" }
    on-create "up"
    on-destroy "down"
}
task "up" { run "echo up $ENVRUN_ENV $PORT >> log"; run "test ! -e break-up" }
task "down" { run "echo down $ENVRUN_ENV $PORT >> log"; run "test ! -e break-down" }
"#;

fn listed(sandbox: &Sandbox) -> BTreeMap<String, serde_json::Value> {
    let json = sandbox.ok(&["env", "list", "--format", "json"]).stdout;
    let rows: Vec<serde_json::Value> = serde_json::from_str(&json).unwrap();
    let made = rows.into_iter().filter(|row| row.get("made").is_some());
    made.map(|row| (row["name"].as_str().unwrap().to_owned(), row["made"].clone())).collect()
}

#[test]
fn an_environment_is_made_from_a_pattern_used_and_taken_down() {
    let sandbox = Sandbox::new(PR);
    sandbox.check(
        &["pr.where"],
        expect![[r#"
        exit: 2
        --- stderr
        error: environment `pr` is ephemeral, and none of it was made
        hint: `envrun env create pr` makes one that a run can be in; there is `dev`
    "#]],
    );
    let made = sandbox.ok(&["env", "create", "pr", "--number", "7"]);
    assert!(made.stdout.ends_with("pr-7\n"), "{}", made.text());
    let ports = listed(&sandbox)["pr-7"]["ports"].clone();
    let (port, admin) = (ports["PORT"].as_u64().unwrap(), ports["ADMIN"].as_u64().unwrap());
    assert_ne!(port, admin);
    assert_eq!(sandbox.read("log"), format!("up pr-7 {port}\n"));
    // It is an environment like any other, with the ports that were drawn for it.
    let ran = sandbox.ok(&["pr-7.where", "-o", "stream"]);
    let said = format!("pr-7 in pr-7 has 1 at http://localhost:{port}");
    assert!(format!("{}{}", ran.stdout, ran.stderr).contains(&said), "{}", ran.text());
    assert_eq!(sandbox.ok(&["env", "exec", "pr-7", "--", "printenv", "ARG_NUMBER"]).stdout, "7\n");
    assert_eq!(sandbox.ok(&["run", "-e", "pr-7", "where", "-n", "--json"]).exit, 0);
    assert!(sandbox.ok(&["show", "pr-7.where"]).stdout.contains("echo $NAMESPACE"));
    sandbox.ok(&["doctor", "pr-7"]);
    // The pattern itself still is none, and the one that was made is named in its place.
    sandbox.check(
        &["pr.where"],
        expect![[r#"
        exit: 2
        --- stderr
        error: environment `pr` is ephemeral: a pattern that environments are made from
        hint: `envrun env create pr` makes one that a run can be in; there is `pr-7`
    "#]],
    );
    sandbox.check(
        &["env", "create", "pr", "7"],
        expect![[r#"
        exit: 2
        --- stderr
        error: there is an environment `pr-7` already
        hint: `envrun env destroy pr-7` takes it down; `--name` gives another one another name
    "#]],
    );
    sandbox.check(
        &["env", "destroy", "dev"],
        expect![[r#"
        exit: 2
        --- stderr
        error: `dev` stands in the Envfile; only what `envrun env create` made is taken down
        hint: there is `pr-7`
    "#]],
    );
    sandbox.check(
        &["env", "destroy", "pr-8"],
        expect![[r#"
        exit: 2
        --- stderr
        error: no environment `pr-8` was made
        hint: did you mean `pr-7`?
    "#]],
    );
    let gone = sandbox.ok(&["env", "destroy", "pr-7"]);
    assert!(gone.stderr.contains("`pr-7` is gone"), "{}", gone.text());
    assert_eq!(sandbox.read("log"), format!("up pr-7 {port}\ndown pr-7 {port}\n"));
    assert!(!sandbox.exists(".envrun/env/pr-7"));
    assert!(listed(&sandbox).is_empty());
    assert_eq!(sandbox.run(&["pr-7.where"]).exit, 2);
}

#[test]
fn a_patterns_arguments_are_checked() {
    let sandbox = Sandbox::new(PR);
    sandbox.check(
        &["env", "create", "pr"],
        expect![[r#"
        exit: 2
        --- stderr
        error: `env create pr` wants a value for `number`
        hint: `envrun env create pr <number>`
    "#]],
    );
    sandbox.check(
        &["env", "create", "pr", "0"],
        expect![[r#"
        exit: 2
        --- stderr
        error: `0` for `number` of `env create pr` is below the least, 1
        hint: `envrun env create pr <number>`
    "#]],
    );
    sandbox.check(
        &["env", "create", "pr", "--nubmer", "7"],
        expect![[r#"
        exit: 2
        --- stderr
        error: `pr` has no argument `nubmer`
        hint: did you mean `number`?
    "#]],
    );
    sandbox.check(
        &["env", "create", "pr", "7", "8"],
        expect![[r#"
        exit: 2
        --- stderr
        error: `pr` takes no further argument `8`
        hint: `envrun env create pr <number>`
    "#]],
    );
    sandbox.check(
        &["env", "create", "dev"],
        expect![[r#"
        exit: 2
        --- stderr
        error: there is no pattern `dev` to make an environment from
        hint: there is `pr`
    "#]],
    );
    sandbox.check(
        &["env", "create", "pr", "--help"],
        expect![[r#"
        exit: 0
        --- stdout
        Make an environment from a pattern, an `env` with ephemeral=#true

        Usage: envrun env create [OPTIONS] PATTERN [ARGS]…

        Arguments:
          <PATTERN>  The pattern
          [ARGS]...  Its arguments: values in order, `--NAME VALUE`, or `--arg NAME=VALUE`

        Options:
          -C, --directory <DIR>  Work as if started in this folder
              --name <NAME>      What to call it [default: the pattern and the arguments' values, with `-`
                                 between]
          -f, --file <FILE>      The Envfile to read [default: Envfile.kdl here or in a folder above]
              --color <WHEN>     When to use colour
          -h, --help             Print help

        Arguments are the pattern's own: `envrun env create pr 7` and `envrun env create pr --number 7` make
        `pr-7`, whose nodes are `pr-7.deploy` and so on. It has free ports of its own, and its state lies
        below .envrun/env/pr-7.
    "#]],
    );
    sandbox.check(
        &["env", "create", "pr", "7", "--name", "dev"],
        expect![[r#"
            exit: 2
            --- stderr
            error: there is an environment `dev` already
            hint: `dev` stands in the Envfile; `--name` gives another one another name
        "#]],
    );
    assert!(listed(&sandbox).is_empty());
    assert!(
        sandbox
            .ok(&["env", "create", "--name", "Review/7", "pr", "--arg", "number=7"])
            .stdout
            .ends_with("review-7\n")
    );
    assert!(
        sandbox.ok(&["env", "create", "pr", "--number=12", "--name", "twelve"]).stdout.ends_with("twelve\n")
    );
}

#[test]
fn two_that_are_made_at_once_get_ports_of_their_own() {
    let sandbox = Sandbox::new(PR);
    let children: Vec<_> = (1..=6)
        .map(|number| {
            let mut command = sandbox.command(&["env", "create", "pr", &number.to_string()]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for child in children {
        let ran = sandbox.ran(child.wait_with_output().unwrap());
        assert_eq!(ran.exit, 0, "{}", ran.text());
    }
    let listed = listed(&sandbox);
    let ports: Vec<u64> = listed
        .values()
        .flat_map(|made| made["ports"].as_object().unwrap().values().map(|port| port.as_u64().unwrap()))
        .collect();
    assert_eq!((listed.len(), ports.len()), (6, 12));
    assert_eq!(ports.iter().collect::<std::collections::BTreeSet<_>>().len(), 12, "{ports:?}");
    let table = sandbox.ok(&["env", "show", "--ports", "--format", "json"]).stdout;
    let table: serde_json::Value = serde_json::from_str(&table).unwrap();
    assert_eq!(table["clashes"], serde_json::json!([]));
}

#[test]
fn what_could_not_be_taken_down_stays_listed_and_is_tried_again() {
    let sandbox = Sandbox::new(PR);
    sandbox.ok(&["env", "create", "pr", "7"]);
    sandbox.write("break-down", "");
    let failed = sandbox.run(&["env", "destroy", "pr-7"]);
    assert_eq!(failed.exit, 1, "{}", failed.text());
    assert!(failed.stderr.contains("`pr-7` stays listed"), "{}", failed.text());
    let made = &listed(&sandbox)["pr-7"];
    assert_eq!(made["state"], "destroying");
    assert_eq!(made["failure"], "on-destroy failed: `pr-7.down` (exit status 1)");
    let list = sandbox.ok(&["env", "list"]).stdout;
    assert!(list.contains("on-destroy failed: `pr-7.down`"), "{list}");
    // Not idle for long, but due because it should be gone.
    assert_eq!(sandbox.run(&["env", "gc"]).exit, 1);
    std::fs::remove_file(sandbox.root().join("break-down")).unwrap();
    let collected = sandbox.ok(&["env", "gc"]);
    assert!(
        collected.stdout.ends_with("pr-7: it could not be taken down before; it is gone\n"),
        "{}",
        collected.text()
    );
    assert!(listed(&sandbox).is_empty());
    assert_eq!(sandbox.ok(&["env", "gc"]).stdout, "nothing is due\n");
}

#[test]
fn what_could_not_be_made_is_listed_as_not_finished() {
    let sandbox = Sandbox::new(PR);
    sandbox.write("break-up", "");
    let failed = sandbox.run(&["env", "create", "pr", "7"]);
    assert_eq!(failed.exit, 1, "{}", failed.text());
    assert!(!failed.stdout.ends_with("pr-7\n"));
    assert_eq!(listed(&sandbox)["pr-7"]["state"], "creating");
    assert_eq!(sandbox.run(&["env", "create", "pr", "7"]).exit, 2);
    sandbox.ok(&["env", "destroy", "pr-7"]);
    std::fs::remove_file(sandbox.root().join("break-up")).unwrap();
    sandbox.ok(&["env", "create", "pr", "7"]);
}

#[test]
fn gc_takes_down_what_lay_idle_for_longer_than_its_ttl() {
    let sandbox = Sandbox::new(&PR.replace("\"3d\"", "\"1ms\""));
    sandbox.ok(&["env", "create", "pr", "7"]);
    let due = sandbox.ok(&["env", "gc", "--dry-run"]).stdout;
    assert!(due.starts_with("pr-7  nobody used it for "), "{due}");
    sandbox.ok(&["env", "gc"]);
    assert!(listed(&sandbox).is_empty());
    // One that is used is not due.
    let sandbox = Sandbox::new(PR);
    sandbox.ok(&["env", "create", "pr", "7"]);
    assert_eq!(sandbox.ok(&["env", "gc"]).stdout, "nothing is due\n");
    let used = sandbox.root().join(".envrun/env/pr-7/used");
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(4 * 24 * 3600);
    // As if the list and the last use were four days old.
    let list = sandbox.read(".envrun/env/made.json");
    let mut json: serde_json::Value = serde_json::from_str(&list).unwrap();
    json["environments"]["pr-7"]["created"] = 0.into();
    sandbox.write(".envrun/env/made.json", json.to_string());
    std::fs::File::options().write(true).open(&used).unwrap().set_modified(old).unwrap();
    assert!(sandbox.ok(&["env", "list"]).stdout.contains("due"));
    sandbox.ok(&["pr-7.where"]);
    assert_eq!(sandbox.ok(&["env", "gc"]).stdout, "nothing is due\n");
    std::fs::File::options().write(true).open(&used).unwrap().set_modified(old).unwrap();
    sandbox.ok(&["env", "gc"]);
    assert!(listed(&sandbox).is_empty());
}

#[test]
fn a_sealed_answer_does_not_outlive_its_environment() {
    let sandbox = Sandbox::new(&format!(
        "{PR}\ntask \"keep\" {{ inputs \"Envfile.kdl\"; outputs \"kept\"; run \"echo $PORT > kept\" }}\n"
    ));
    sandbox.ok(&["env", "create", "pr", "7"]);
    sandbox.ok(&["pr-7.keep"]);
    sandbox.ok(&["pr-7.keep"]);
    sandbox.ok(&["pr-7.keep"]);
    sandbox.ok(&["env", "destroy", "pr-7"]);
    assert_eq!(sandbox.run(&["pr-7.keep"]).exit, 2);
}

#[test]
fn an_environment_whose_pattern_is_gone_can_still_be_taken_down() {
    let sandbox = Sandbox::new(PR);
    sandbox.ok(&["env", "create", "pr", "7"]);
    sandbox.write("Envfile.kdl", "env \"dev\"\ntask \"a\" { run \"true\" }\n");
    assert!(sandbox.ok(&["env", "list"]).stdout.contains("pr (gone)"));
    sandbox.ok(&["env", "destroy", "pr-7"]);
    assert!(listed(&sandbox).is_empty());
}

/// What the seed's `sync_environments.py` was run on: it lost MONGO_PASSWORD, and copied development's secrets.
const D6: &str = r#"
vars {
    LOG_LEVEL "info"
    MONGO_HOST
    MONGO_POOL 5 min=1 max=50
    API_URL required=#false
    FEATURES required=#false
    SELF "http://${MONGO_HOST}/"
}
secrets { MONGO_PASSWORD; NEW_API_KEY generate="hex" length=32 }
dotenv "shared.env" optional=#true
dotenv "environments/${ENVRUN_ENV}/.env" optional=#true
env "development"
env "testing"
env "production" { guard { unset "FORBIDDEN" } }
"#;
const D6_DEVELOPMENT: &str = "LOG_LEVEL=debug\nMONGO_HOST=localhost\nMONGO_POOL=2\nAPI_URL=http://localhost:9\nFEATURES=changeme\nMONGO_PASSWORD=dev-password\nNEW_API_KEY=dev-api-key\nSCRATCH=1\n";
const D6_PRODUCTION: &str =
    "# written by hand\nMONGO_HOST=db.internal\nMONGO_PASSWORD='prod-password'\nONLY_HERE=yes";

fn d6() -> Sandbox {
    Sandbox::with(&[
        ("Envfile.kdl", D6),
        ("environments/development/.env", D6_DEVELOPMENT),
        ("environments/production/.env", D6_PRODUCTION),
    ])
}

#[test]
fn d6_a_sync_takes_nothing_away_and_copies_no_secret() {
    let sandbox = d6();
    // The plan alone writes nothing.
    sandbox.check(
        &["env", "sync", "development", "production", "--dry-run"],
        expect![[r#"
        exit: 0
        --- stdout
        development -> production: environments/production/.env
          + API_URL = http://localhost:9  from environments/development/.env:4
          + NEW_API_KEY = ***  to be generated
          - FEATURES is not added: a placeholder
          - SCRATCH is not added: the Envfile does not declare it for `production`
          - NEW_API_KEY is not added: a secret, which is never copied
          = 6 names stay as they are
    "#]],
    );
    assert_eq!(sandbox.read("environments/production/.env"), D6_PRODUCTION);
    assert!(!sandbox.exists(".envrun/env/production"));

    let ran = sandbox.ok(&["env", "sync", "development", "production"]);
    assert!(
        ran.stderr.contains("environments/production/.env is synced; as it was before: "),
        "{}",
        ran.text()
    );
    expect![[r#"
        # written by hand
        MONGO_HOST=db.internal
        MONGO_PASSWORD='prod-password'
        ONLY_HERE=yes
        # from development (envrun env sync)
        API_URL=http://localhost:9
    "#]]
    .assert_eq(&sandbox.read("environments/production/.env"));
    let secrets = sandbox.read(".envrun/secrets/production.env");
    assert!(secrets.contains("NEW_API_KEY=") && !secrets.contains("dev-"), "{secrets}");
    assert_eq!(sandbox.read("environments/development/.env"), D6_DEVELOPMENT);
    // What was made just now has an age, without which it would never be due.
    let rows = sandbox.ok(&["secret", "list", "production", "--format", "json"]).stdout;
    let rows: serde_json::Value = serde_json::from_str(&rows).unwrap();
    let row = |name: &str| rows.as_array().unwrap().iter().find(|row| row["name"] == name).unwrap().clone();
    assert!(row("NEW_API_KEY")["age_seconds"].is_u64(), "{rows}");
    // A second one has nothing to do, and nothing is generated twice.
    let again = sandbox.ok(&["env", "sync", "development", "production"]);
    assert!(
        again.stdout.starts_with("production lacks nothing that can be added from development\n"),
        "{}",
        again.text()
    );
    assert_eq!(sandbox.read(".envrun/secrets/production.env"), secrets);
}

#[test]
fn d7_every_sync_keeps_a_snapshot_of_its_own() {
    let sandbox = d6();
    sandbox.ok(&["env", "sync", "development", "production"]);
    let first = sandbox.read("environments/production/.env");
    sandbox.write("Envfile.kdl", D6.replace("    API_URL", "    SCRATCH required=#false\n    API_URL"));
    sandbox.ok(&["env", "sync", "development", "production"]);
    let copies = ".envrun/env/production/snapshots";
    let folder = std::fs::read_dir(sandbox.root().join(copies)).unwrap().next().unwrap().unwrap().file_name();
    let copy = |number: u32| format!("{copies}/{}/{number}/data/0.env", folder.to_str().unwrap());
    assert_eq!(sandbox.read(&copy(1)), D6_PRODUCTION);
    assert_eq!(sandbox.read(&copy(2)), first);
    assert!(!sandbox.exists(&copy(3)));
}

#[test]
fn a_result_that_is_not_good_leaves_everything_as_it_was() {
    let untouched = |sandbox: &Sandbox, args: &[&str], exit: i32| {
        let ran = sandbox.run(args);
        assert_eq!(ran.exit, exit, "{}", ran.text());
        assert_eq!(sandbox.read("environments/production/.env"), D6_PRODUCTION);
        assert!(!sandbox.exists(".envrun/secrets/production.env"));
        ran
    };
    // A value that B may not have.
    let sandbox = d6();
    sandbox
        .write("Envfile.kdl", D6.replace("    API_URL required=#false", "    (url)API_URL required=#false"));
    sandbox.write("environments/development/.env", "API_URL=http://good\n");
    let sync = ["env", "sync", "development", "production"];
    let ran =
        untouched(&sandbox, &["env", "sync", "development", "production", "--set", "API_URL=no url"], 2);
    assert!(ran.stderr.contains("`no url` is not an absolute URL"), "{}", ran.text());
    // A name that neither has.
    sandbox.write("Envfile.kdl", D6.replace("    MONGO_HOST\n", "    MONGO_HOST\n    NOBODY\n"));
    let ran = untouched(&sandbox, &sync, 2);
    assert!(ran.stderr.contains("`NOBODY` has no value in environment `production`"), "{}", ran.text());
    // A secret that nobody can be asked for.
    sandbox.write("Envfile.kdl", D6.replace("generate=\"hex\" length=32", ""));
    let ran = untouched(&sandbox, &sync, 3);
    assert!(ran.stderr.contains("hint: `envrun secret set production NEW_API_KEY`"), "{}", ran.text());
    // A guard of B.
    sandbox.write("Envfile.kdl", D6);
    let mut guarded = sandbox.command(&sync);
    let ran = sandbox.ran(guarded.env("FORBIDDEN", "1").output().unwrap());
    assert_eq!(ran.exit, 3, "{}", ran.text());
    assert_eq!(sandbox.read("environments/production/.env"), D6_PRODUCTION);
}

#[test]
fn what_a_sync_cannot_do_is_told() {
    let sandbox = d6();
    sandbox.check(
        &["env", "sync", "production", "production"],
        expect![[r#"
        exit: 2
        --- stderr
        error: `production` and `production` are the same environment
    "#]],
    );
    sandbox.check(
        &["env", "sync", "development", "production", "--set", "MONGO_HOST=x"],
        expect![[r#"
        exit: 2
        --- stderr
        error: `--set MONGO_HOST=…`: `production` has a value for `MONGO_HOST`, and a sync changes none
    "#]],
    );
    sandbox
        .check(&["env", "sync", "development", "production", "--set", "MONGO_PASSWORD=x"], expect![[r#"
            exit: 2
            --- stderr
            error: `--set MONGO_PASSWORD=…`: `MONGO_PASSWORD` is a secret: `envrun secret set production MONGO_PASSWORD`
        "#]]);
    sandbox.write(
        "Envfile.kdl",
        "vars { A required=#false }\ndotenv \".env\" optional=#true\nenv \"a\"\nenv \"b\"\n",
    );
    sandbox.check(
        &["env", "sync", "a", "b"],
        expect![[r#"
        exit: 2
        --- stderr
        error: `b` has no dotenv file of its own, and nothing else is synced
        hint: write `dotenv ".env.${ENVRUN_ENV}" optional=#true` at the root of the Envfile
    "#]],
    );
}

#[test]
fn words_of_env_are_completed() {
    let sandbox = Sandbox::new(PR);
    let complete = |words: &[&str]| {
        let mut args = vec!["__complete", "--"];
        args.extend(words);
        let out = sandbox.ok(&args).stdout;
        out.lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect::<Vec<_>>().join(" ")
    };
    expect!["list show diff sync create destroy gc exec export"].assert_eq(&complete(&["env", ""]));
    expect!["dev"].assert_eq(&complete(&["env", "show", ""]));
    expect!["dev"].assert_eq(&complete(&["env", "diff", "d"]));
    expect!["pr"].assert_eq(&complete(&["env", "create", ""]));
    expect!["--number"].assert_eq(&complete(&["env", "create", "pr", "--num"]));
    expect!["--origin"].assert_eq(&complete(&["env", "show", "--or"]));
    sandbox.ok(&["env", "create", "pr", "7"]);
    expect!["pr-7"].assert_eq(&complete(&["env", "destroy", ""]));
    expect!["dev pr-7"].assert_eq(&complete(&["env", "exec", ""]));
    expect!["pr-7.up pr-7.down pr-7.where"].assert_eq(&complete(&["pr-7."]));
}

#[test]
fn what_is_up_in_an_environment_goes_down_with_it() {
    let service = "service \"sleeper\" { run #\"echo $$ > pid; exec sleep 600\"#; ready { exec \"test -s pid\"; every \"50ms\" } }";
    let sandbox = Sandbox::new(&format!("{PR}\n{service}\n"));
    sandbox.ok(&["env", "create", "pr", "7"]);
    sandbox.ok(&["up", "pr-7"]);
    let pid = sandbox.read("pid").trim().to_owned();
    let is_alive = || {
        std::process::Command::new("kill")
            .args(["-0", &pid])
            .stderr(Stdio::null())
            .status()
            .unwrap()
            .success()
    };
    assert!(is_alive());
    sandbox.ok(&["env", "destroy", "pr-7"]);
    assert!(!is_alive());
    assert!(!sandbox.exists(".envrun/env/pr-7"));
}
