//! `envrun env sync`: what one environment has and another lacks, added.

use expect_test::expect;

use crate::sandbox::Sandbox;

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
        "vars { A required=#false }\ndotenv \".env\" optional=#true\nenv \"a\" { vars { A \"1\" } }\nenv \"b\"\n",
    );
    sandbox.check(
        &["env", "sync", "a", "b"],
        expect![[r#"
        exit: 2
        --- stderr
        error: `b` lacks `A`, and has no dotenv file of its own that it could be added to
        hint: write `dotenv ".env.${ENVRUN_ENV}" optional=#true` at the root of the Envfile
    "#]],
    );
}

/// Without a dotenv file there is no variable to add; what else a sync does, it does.
#[test]
fn an_environment_without_a_dotenv_file_gets_its_secrets() {
    let sandbox = Sandbox::new(
        "vars { A 1 }\nsecrets { S generate=\"hex\" length=8; OLD generate=\"hex\" }\nenv \"a\"\nenv \"b\"\n",
    );
    sandbox.ok(&["env", "export", "a"]);
    sandbox.write(".envrun/secrets/b.env", "OLD=kept\n");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(sandbox.root().join(".envrun/secrets/b.env"), mode).unwrap();
    sandbox.check(
        &["env", "sync", "a", "b"],
        expect![[r#"
            exit: 0
            --- stdout
            a -> b
              + S = ***  to be generated
              = 2 names stay as they are
            --- stderr
            b is synced
        "#]],
    );
    let [a, b] = ["a", "b"].map(|env| sandbox.read(&format!(".envrun/secrets/{env}.env")));
    assert!(b.contains("OLD=kept\n") && b.contains("S=") && a != b, "{b}");
    let again = sandbox.ok(&["env", "sync", "a", "b"]);
    assert_eq!(again.stdout.lines().next(), Some("b lacks nothing that can be added from a"));
    assert_eq!(sandbox.read(".envrun/secrets/b.env"), b);
}

/// A value that breaks B's type or limits is named, in the plan alone too, wherever it comes from.
#[test]
fn a_value_that_b_may_not_have_is_refused_by_name() {
    let sandbox = Sandbox::with(&[
        (
            "Envfile.kdl",
            "vars { (port)PORT required=#false; WORKERS required=#false; (enum)MODE required=#false one-of=\"x|y\" }\n\
             dotenv \".env.${ENVRUN_ENV}\" optional=#true\nenv \"a\"\n\
             env \"b\" { vars { WORKERS max=4 } }\n",
        ),
        (".env.b", "MODE=y\n"),
    ]);
    for (a, wrong) in [
        ("PORT=70000\n", "70000"),
        ("PORT=abc\n", "abc"),
        ("WORKERS=9\n", "9"),
        ("PORT=70000\nWORKERS=9\n", "70000"),
    ] {
        sandbox.write(".env.a", a);
        for args in [&["env", "sync", "a", "b"][..], &["env", "sync", "a", "b", "-n"]] {
            let ran = sandbox.run(args);
            assert_eq!(ran.exit, 2, "{}", ran.text());
            assert!(ran.stderr.contains(wrong) && ran.stderr.contains("`b` is as it was"), "{}", ran.text());
            assert_eq!(sandbox.read(".env.b"), "MODE=y\n");
            assert!(!sandbox.exists(".envrun/env/b/snapshots"));
        }
    }
    // What B has itself is nobody's business, and `--set` is another value than A's.
    sandbox.write(".env.a", "MODE=z\nPORT=70000\n");
    sandbox.ok(&["env", "sync", "a", "b", "--set", "PORT=8080"]);
    assert!(sandbox.read(".env.b").starts_with("MODE=y\n"));
    assert!(sandbox.read(".env.b").ends_with("PORT=8080\n"));
    // A value of B's own that it may not have is told, even if there is nothing to add.
    sandbox.write(".env.b", "MODE=w\n");
    sandbox.write(".env.a", "");
    let ran = sandbox.run(&["env", "sync", "a", "b"]);
    assert!(ran.exit == 2 && ran.stderr.contains("`w`"), "{}", ran.text());
}

/// What may change something asks for the word that B's guard wants; what only reads does not.
#[test]
fn a_confirmed_environment_is_not_changed_without_its_word() {
    let sandbox = Sandbox::with(&[
        (
            "Envfile.kdl",
            "vars { A required=#false }\nsecrets { S generate=\"hex\" }\ndotenv \".env.${ENVRUN_ENV}\" optional=#true\nenv \"a\"\n\
             env \"b\" { guard { confirm \"b!\" hint=\"users see it\" } }\n",
        ),
        (".env.a", "A=1\n"),
    ]);
    sandbox.ok(&["env", "sync", "a", "b", "-n"]);
    let ran = sandbox.run(&["env", "sync", "a", "b"]);
    assert_eq!(ran.exit, 3, "{}", ran.text());
    assert!(ran.stderr.contains("the word `b!` was not typed"), "{}", ran.text());
    assert!(
        ran.stderr.contains("hint: users see it; without a terminal, give `--confirm 'b!'`"),
        "{}",
        ran.text()
    );
    assert!(!sandbox.exists(".env.b") && !sandbox.exists(".envrun/secrets/b.env"));
    sandbox.ok(&["env", "sync", "a", "b", "--confirm", "b!"]);
    assert!(sandbox.read(".env.b").ends_with("A=1\n"));
    let touch = ["--", "touch", "touched"];
    let ran = sandbox.run(&[&["env", "exec", "b"][..], &touch].concat());
    assert!(ran.exit == 3 && ran.stderr.contains("the word `b!` was not typed"), "{}", ran.text());
    assert!(!sandbox.exists("touched"));
    sandbox.ok(&[&["env", "exec", "b", "--confirm", "b!"][..], &touch].concat());
    assert!(sandbox.exists("touched"));
    sandbox.ok(&["env", "export", "b"]);
}
