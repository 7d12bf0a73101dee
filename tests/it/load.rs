//! Data of one environment in another: with the secrets of both, from copies that were saved earlier, and as a drill.

use expect_test::expect;

use super::sandbox::Sandbox;

const SECRETS: &str = r##"
vars { (path)DB "data/${ENVRUN_ENV}.txt"; PASSWORD "of-${ENVRUN_ENV}-${KEY}" }
secrets { KEY generate="hex" length=16 }
env "prod" { guard { set "ALLOWED" hint="ask Ann" } }
env "laptop" {
    task "sync" { load "prod.db" through="sanitise" }
    task "sanitise" { run #"echo "$PASSWORD" >> "$SNAPSHOT/keys""# }
}
snapshot "db" {
    uses "PASSWORD"
    save #"cp "$DB" "$SNAPSHOT/db.txt"; printenv PASSWORD > "$SNAPSHOT/keys""#
    restore #"cat "$SNAPSHOT/db.txt" > "$DB"; cp "$SNAPSHOT/keys" keys; echo "$KEY" >> keys"#
}
"##;

#[test]
fn both_ends_have_their_secrets_and_a_guard_stands_before_them() {
    let mut sandbox = Sandbox::new(SECRETS);
    sandbox.write("data/prod.txt", "real\n");
    sandbox.write("data/laptop.txt", "mine\n");
    let refused = sandbox.run(&["laptop.sync"]);
    assert_eq!(refused.exit, 3, "{}", refused.text());
    assert!(refused.stderr.contains("`prod.db` is refused") && refused.stderr.contains("ask Ann"));
    assert_eq!(sandbox.read("data/laptop.txt"), "mine\n");
    assert!(!sandbox.exists(".envrun/secrets/prod.env"), "no secret was made before the guard");
    assert_eq!(sandbox.run(&["prod.db"]).exit, 3);

    sandbox.set("ALLOWED", "1");
    let ran = sandbox.ok(&["laptop.sync"]);
    let key = |env: &str| {
        let text = sandbox.read(&format!(".envrun/secrets/{env}.env"));
        text.trim().strip_prefix("KEY=").unwrap().to_owned()
    };
    let (prod, laptop) = (key("prod"), key("laptop"));
    assert_ne!(prod, laptop);
    assert_eq!(sandbox.read("keys"), format!("of-prod-{prod}\nof-laptop-{laptop}\n{laptop}\n"));
    assert_eq!(sandbox.read("data/laptop.txt"), "real\n");
    assert!(!ran.text().contains(&prod) && !ran.text().contains(&laptop), "{}", ran.text());
    sandbox.ok(&["prod.db"]);
    sandbox.ok(&["restore", "prod.db", "-y"]);
    assert_eq!(sandbox.read("keys"), format!("of-prod-{prod}\n{prod}\n"));
}

/// What compose and pg_dump do: they read variables that no text mentions.
const UNMENTIONED: &str = r##"
vars { PASSWORD "of-${KEY}" }
secrets { KEY generate="hex" length=16 }
env "prod" {
    guard { set "ALLOWED" }
    deploy "deploy" { snapshot "db"; run "printenv PASSWORD > live" }
    task "health" { run "! printenv PASSWORD" }
}
snapshot "db" { save #"printenv PASSWORD > "$SNAPSHOT/password""# }
"##;

#[test]
fn what_changes_a_guarded_environment_sees_all_of_it() {
    if !super::sandbox::need("git", "git") {
        return;
    }
    let mut sandbox = Sandbox::new(UNMENTIONED);
    let git = |args: &[&str]| {
        let mut git = std::process::Command::new("git");
        git.args(["-c", "user.name=a", "-c", "user.email=a@b"]).args(args).current_dir(sandbox.root());
        assert!(git.output().unwrap().status.success(), "{args:?}");
    };
    sandbox.write(".gitignore", ".envrun/\nlive\n");
    git(&["init", "-q"]);
    git(&["add", "."]);
    git(&["commit", "-q", "-m", "first"]);
    sandbox.ok(&["prod.health"]);
    assert_eq!(sandbox.run(&["prod.deploy"]).exit, 3);
    assert!(!sandbox.exists(".envrun/secrets"));
    // One that nothing mentions is made by hand.
    sandbox.ok(&["secret", "generate", "prod"]);
    sandbox.set("ALLOWED", "1");
    sandbox.ok(&["prod.deploy"]);
    let live = sandbox.read("live");
    assert!(live.starts_with("of-") && live.len() == "of-\n".len() + 16, "{live}");
    assert_eq!(sandbox.read(".envrun/env/prod/snapshots/db/1/data/password"), live);
    // What changes nothing is not stopped by the guard, and so is not given what lies behind it.
    sandbox.ok(&["prod.health"]);
}

/// A restore drill: the newest copy, in a scratch database, asked whether it is all there.
const DRILL: &str = r##"
vars { (path)DB "data/${ENVRUN_ENV}.txt" }
env "prod"
env "drill" {
    snapshot "db" { save #null }
    task "drill" {
        arg "at" default="latest"
        load "prod.db" at="${ARG_AT}" within="26h"
        run #"echo "$(wc -l < "$DB") rows"; grep -q "^last$" "$DB""#
    }
    task "old" { load "prod.db" at="latest" within="1ms" }
}
env "laptop" {
    task "sync" { load "prod.db" at="latest" through="sanitise" }
    task "sanitise" { run #"sed -i s/real/test/ "$SNAPSHOT/db.txt""# }
}
snapshot "db" {
    save #"test ! -e "$ENVRUN_ENV-is-away"; cp "$DB" "$SNAPSHOT/db.txt""#
    restore #"cat "$SNAPSHOT/db.txt" > "$DB""#
}
"##;

#[test]
fn a_drill_restores_the_newest_copy_and_tells_its_age() {
    let sandbox = Sandbox::new(DRILL);
    sandbox.check(
        &["drill.drill"],
        expect![[r#"
            exit: 1
            --- stderr
                   run drill.drill because it changes something outside
                failed drill.drill after [time]: `prod.db` has no copy `latest`: nothing was saved yet: run the snapshot first

            error: `drill.drill` failed after [time]: `prod.db` has no copy `latest`: nothing was saved yet: run the snapshot first
              command: load prod.db at latest
              command: echo "$(wc -l < "$DB") rows"; grep -q "^last$" "$DB"
              directory: .
              because: it changes something outside
              output: none

            1 failed in [time]
        "#]],
    );
    sandbox.write("data/prod.txt", "real\nlast\n");
    sandbox.ok(&["prod.db"]);
    sandbox.write("data/prod.txt", "real\n");
    sandbox.ok(&["prod.db"]);
    // The machine with the data may be gone: that is what it is for.
    sandbox.write("prod-is-away", "");
    let failed = sandbox.run(&["drill.drill"]);
    assert_eq!(failed.exit, 1, "{}", failed.text());
    assert!(failed.stdout.contains("`prod.db` is taken from copy 2: 1 file, 5 B; of "), "{}", failed.text());
    assert!(failed.stdout.contains("1 rows"), "{}", failed.text());
    let proved = sandbox.ok(&["drill.drill", "--at", "1"]);
    assert!(proved.stdout.contains("copy 1: ") && proved.stdout.contains(" ago\n"), "{}", proved.text());
    assert!(!sandbox.exists(".envrun/env/drill/snapshots"), "a scratch database is not worth a copy");
    // A backup that nobody makes any more is found out too.
    let old = sandbox.run(&["drill.old"]);
    assert!(old.exit == 1 && old.stderr.contains("may be no older than 1ms"), "{}", old.text());
    // And one whose bytes have changed.
    sandbox.write(".envrun/env/prod/snapshots/db/1/data/db.txt", "rael\nlast\n");
    let damaged = sandbox.run(&["drill.drill", "--at", "1"]);
    assert!(damaged.exit == 1 && damaged.stderr.contains("its bytes have changed"), "{}", damaged.text());

    // What was saved can be rewritten and loaded as well; the copy stays as it is.
    sandbox.write("data/laptop.txt", "mine\n");
    sandbox.ok(&["laptop.sync"]);
    assert_eq!(sandbox.read("data/laptop.txt"), "test\n");
    assert_eq!(sandbox.read(".envrun/env/prod/snapshots/db/2/data/db.txt"), "real\n");
    assert_eq!(sandbox.read(".envrun/env/laptop/snapshots/db/1/data/db.txt"), "mine\n");
    let dry = sandbox.ok(&["-n", "laptop.sync"]);
    assert!(dry.stderr.contains("$ load prod.db at latest through sanitise"), "{}", dry.text());
}

#[test]
fn how_old_a_copy_may_be_is_only_said_of_a_copy() {
    Sandbox::new("env \"a\"; env \"b\"\ntask \"x\" { load \"b.db\" within=\"1h\" }\nsnapshot \"db\" { save \"true\" }")
        .check(&["check"], expect![[r#"
            exit: 2
            --- stderr
            Envfile.kdl:2:31: error: `within` says how old a copy may be that was saved earlier, and this `load` saves a new one [load/limit]
              help: name the copy too: `at="latest"`
        "#]]);
    Sandbox::new("env \"a\"; env \"b\"\ntask \"x\" { load \"b.db\" at=\"${ARG_AT}\" }\nsnapshot \"db\" { save \"true\" }")
        .check(&["check"], expect![[r#"
            exit: 0
            --- stderr
            2 nodes in 1 file: good
        "#]]);
}

#[test]
fn the_doctor_tells_of_a_deploy_that_saves_nothing() {
    let envfile = "env \"prod\"\ndeploy \"deploy\" { run \"true\" }\nsnapshot \"db\" { save \"true\" }\n";
    let sandbox = Sandbox::new(envfile);
    let ran = sandbox.ok(&["doctor", "prod"]);
    assert!(ran.stdout.contains("no data are saved before it"), "{}", ran.text());
    sandbox.write("Envfile.kdl", envfile.replace("{ run", "{ snapshot \"db\"; run"));
    let ran = sandbox.ok(&["doctor", "prod"]);
    assert!(!ran.stdout.contains("no data are saved"), "{}", ran.text());
}
