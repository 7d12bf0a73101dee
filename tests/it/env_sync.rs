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
