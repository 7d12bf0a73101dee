//! `examples/ai-sdlc`, walked as its README says: real SQLite, real git, real signed tags.

use std::path::PathBuf;
use std::process::Command;

use crate::example::Example;
use crate::sandbox::{Sandbox, need};

/// The example, committed by ada on `main`. She, bob and carol may approve; mallory has a key, and may not.
struct Project {
    sandbox: Sandbox,
}

impl Project {
    fn new() -> Option<Self> {
        if !need("python3", "python3") || !need("sqlite3", "sqlite3") || !need("ssh-keygen", "openssh-client")
        {
            return None;
        }
        let mut sandbox = Example::of("ai-sdlc").sandbox;
        // Tasks call envrun itself.
        let program = std::path::Path::new(env!("CARGO_BIN_EXE_envrun")).parent().unwrap().display();
        sandbox.set("PATH", &format!("{program}:{}", std::env::var("PATH").unwrap_or_default()));
        let project = Self { sandbox };
        std::fs::create_dir_all(project.key("")).unwrap();
        let mut signers = String::new();
        for who in ["ada", "bob", "carol", "mallory"] {
            let key = project.key(who);
            let args = ["-q", "-t", "ed25519", "-N", "", "-f"];
            let made = Command::new("ssh-keygen").args(args).arg(&key).status().unwrap();
            assert!(made.success());
            let public = std::fs::read_to_string(key.with_extension("pub")).unwrap();
            if who != "mallory" {
                signers += &format!("{who}@example.org {public}");
            }
        }
        project.sandbox.write("ops/allowed_signers", signers);
        project.git(&["init", "-q", "-b", "main"]);
        project.commit("the project");
        Some(project)
    }

    fn key(&self, who: &str) -> PathBuf {
        self.sandbox.root().with_file_name("keys").join(who)
    }

    fn git(&self, args: &[&str]) -> String {
        let output = Command::new("git")
            .args(["-c", "user.name=ada", "-c", "user.email=ada@example.org", "-c", "gpg.format=ssh"])
            .args(args)
            .current_dir(self.sandbox.root())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .output()
            .unwrap();
        assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn commit(&self, message: &str) {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "-m", message]);
    }

    fn approve(&self, who: &str) {
        self.approve_as(who, "HEAD");
    }

    /// A tag that is called after HEAD, signed by somebody, of whatever revision.
    fn approve_as(&self, who: &str, revision: &str) {
        let head = self.git(&["rev-parse", "HEAD"]);
        let key = format!("user.signingKey={}", self.key(who).with_extension("pub").display());
        let mail = format!("user.email={who}@example.org");
        let tag = format!("approve/prod/{head}-{who}");
        self.git(&["-c", &key, "-c", &mail, "tag", "-f", "-s", "-m", "yes", &tag, revision]);
    }

    #[track_caller]
    fn refused(&self, args: &[&str], because: &[&str]) {
        let ran = self.sandbox.run(args);
        assert_eq!(ran.exit, 3, "{args:?}: {}", ran.text());
        for reason in because {
            assert!(ran.stderr.contains(reason), "wanted `{reason}`: {}", ran.text());
        }
    }

    /// What a database knows.
    fn asks(&self, env: &str, sql: &str) -> String {
        let database = self.sandbox.root().join(format!("environments/{env}/app.sqlite"));
        let output = Command::new("sqlite3").arg(database).arg(sql).output().unwrap();
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().replace('\n', " ")
    }
}

#[test]
fn production_sees_a_migration_last_and_by_the_word_of_two_others() {
    let Some(project) = Project::new() else { return };
    let sandbox = &project.sandbox;
    sandbox.ok(&["check", "--strict"]);
    // 004-17, 004-18: neither ran in staging, nor did anybody approve it.
    let nobody = ["nothing was deployed to staging yet", "0 of 2 have approved"];
    project.refused(&["prod.migrate"], &nobody);
    project.refused(&["prod.deploy"], &nobody);
    // A stranger's key, the author's own: neither is anybody's word.
    project.approve("mallory");
    project.approve("ada");
    project.refused(&["prod.migrate"], &["0 of 2 have approved"]);
    project.approve("bob");
    project.refused(&["prod.migrate"], &["1 of 2 have approved"]);
    project.approve("carol");
    let refused = sandbox.run(&["prod.migrate"]);
    assert!(!refused.stderr.contains("approved"), "{}", refused.text());
    project.refused(&["prod.migrate"], &["nothing was deployed to staging yet"]);
    assert!(!sandbox.exists("environments/prod"));
    sandbox.ok(&["staging.deploy"]);
    sandbox.ok(&["prod.deploy"]);
    let ran = |env: &str| project.asks(env, "SELECT name FROM migrations ORDER BY rowid");
    assert_eq!((ran("staging"), ran("prod")), ("001-notes.sql 002-people.sql".into(), ran("staging")));

    // One migration more: production waits for staging, and for both again.
    sandbox.write("migrations/003-names.sql", "ALTER TABLE people ADD COLUMN name TEXT");
    project.commit("names");
    project.refused(&["prod.migrate"], &["was not live in staging", "0 of 2 have approved"]);
    // Their word on what came before is none on this, whatever the tag is called.
    project.approve_as("bob", "HEAD~1");
    project.approve_as("carol", "HEAD~1");
    project.refused(&["prod.migrate"], &["0 of 2 have approved"]);
    project.git(&["tag", "-d", &format!("approve/prod/{}-carol", project.git(&["rev-parse", "HEAD"]))]);
    project.approve("bob");
    sandbox.ok(&["staging.deploy"]);
    project.refused(&["prod.migrate"], &["1 of 2 have approved"]);
    assert_eq!(ran("prod"), "001-notes.sql 002-people.sql");
    project.approve("carol");
    sandbox.ok(&["prod.migrate"]);
    assert_eq!(ran("prod"), "001-notes.sql 002-people.sql 003-names.sql");

    // A migration that fails half way has changed nothing, and never gets any further.
    sandbox.write("migrations/004-broken.sql", "CREATE TABLE half (x); CREATE TABLE half (x)");
    project.commit("broken");
    assert_ne!(sandbox.run(&["staging.deploy"]).exit, 0);
    assert_eq!(project.asks("staging", "SELECT count(*) FROM sqlite_master WHERE name = 'half'"), "0");
    project.refused(&["prod.migrate"], &["was not live in staging"]);

    // 004-15: staging has production's data, and nobody of production in it.
    project.asks("prod", "INSERT INTO people (email) VALUES ('ada@real.org'), ('bob@real.org')");
    project.git(&["reset", "-q", "--hard", "HEAD~1"]);
    sandbox.ok(&["staging.refresh-data"]);
    assert_eq!(
        project.asks("staging", "SELECT email FROM people"),
        "person1@example.com person2@example.com"
    );
    assert_eq!(project.asks("prod", "SELECT email FROM people"), "ada@real.org bob@real.org");
}

#[test]
fn what_comes_goes_and_what_is_there_is_audited() {
    let Some(project) = Project::new() else { return };
    let sandbox = &project.sandbox;
    // 004-26, 004-29: two at once, each with its own; then nothing of them.
    for number in ["7", "8"] {
        sandbox.ok(&["env", "create", "pr", number]);
        sandbox.ok(&[&format!("pr-{number}.migrate")]);
    }
    project.asks("pr-7", "INSERT INTO notes VALUES ('seven')");
    assert_eq!(project.asks("pr-8", "SELECT count(*) FROM notes"), "0");
    sandbox.ok(&["env", "destroy", "pr-7", "pr-8"]);
    assert!(!sandbox.exists("environments/pr-7") && !sandbox.exists(".envrun/env/pr-8"));
    sandbox.ok(&["staging.provision"]);
    project.refused(&["staging.teardown"], &["the word `destroy` was not typed"]);
    project.refused(&["staging.teardown", "--confirm", "destory"], &["destroy"]);
    assert!(sandbox.exists("environments/staging"));
    sandbox.ok(&["staging.teardown", "--confirm", "destroy"]);
    assert!(!sandbox.exists("environments/staging"));

    // 004-20: a report; a committed password fails it.
    let audit = sandbox.run(&["dev.audit"]);
    let report: serde_json::Value = serde_json::from_str(&sandbox.read("reports/audit-dev.json")).unwrap();
    // A machine may lack something that the doctor warns of: the task says what the report says.
    assert_eq!(audit.exit == 0, report["status"] == "pass", "{}\n{report}", audit.text());
    sandbox.write("ops/notes.yml", "password: \"hunter2hunter2\"\n");
    project.commit("a password");
    let failed = sandbox.run(&["dev.audit"]);
    assert_eq!(failed.exit, 1, "{}", failed.text());
    assert!(failed.stdout.contains("ops/notes.yml:1"), "{}", failed.text());
    assert!(failed.stderr.contains("make a new one"), "{}", failed.text());
}
