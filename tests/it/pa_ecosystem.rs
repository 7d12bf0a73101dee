//! `examples/pa-ecosystem`: real PostgreSQL in production and on a laptop; what goes live, what is saved, what is loaded.

use std::process::{Command, Stdio};

use crate::example::Example;
use crate::sandbox::need;

const ENVIRONMENTS: [&str; 4] = ["laptop", "server", "production", "drill"];

struct Ecosystem {
    example: Example,
    /// Where the clusters are: PostgreSQL is not root, and cannot look into root's folders.
    clusters: tempfile::TempDir,
}

impl Ecosystem {
    fn new() -> Option<Self> {
        if !(need("python3", "python3") && need("pg_ctlcluster", "postgresql") && need("git", "git")) {
            return None;
        }
        let mut example = Example::of("pa-ecosystem");
        let clusters = tempfile::tempdir().unwrap();
        let is_root = Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout.starts_with(b"0\n"));
        if is_root {
            let chown = Command::new("chown").arg("postgres").arg(clusters.path()).status();
            assert!(chown.unwrap().success());
        }
        for port in ["28283", "25432", "28284", "25433", "29283", "26432", "27432"] {
            example.port(port);
        }
        let clusters_of_all = format!("\"{}/${{ENVRUN_ENV}}\"", clusters.path().display());
        let texts = [("\"${ROOT}/postgres\"", &*clusters_of_all), ("for=\"60s\"", "for=\"1s\"")];
        example.replace("Envfile.kdl", &texts);
        // Whoever runs the tests may have come over ssh or not.
        example.sandbox.set("USER", "ann");
        example.init();
        Some(Self { example, clusters })
    }

    /// What the database of an environment answers.
    #[track_caller]
    fn sql(&self, env: &str, sql: &str) -> String {
        let ran = self.run(&["env", "exec", env, "--", "psql", "-qtAc", sql], 0);
        ran.stdout.trim().to_owned()
    }

    fn five_hundred(&self) {
        let rows = "INSERT INTO contacts (name, email, phone) \
                    SELECT 'Ann ' || i, 'ann' || i || '@acme.test', '0171-' || i FROM generate_series(1, 500) i";
        self.sql("production", rows);
    }

    fn revision(&self, env: &str) -> String {
        let ask = format!("python3 -B environments/{env}/checkout/app/assistant.py ask /revision");
        self.run(&["env", "exec", env, "--", "sh", "-c", &ask], 0).stdout.trim().to_owned()
    }
}

impl std::ops::Deref for Ecosystem {
    type Target = Example;

    fn deref(&self) -> &Example {
        &self.example
    }
}

impl Drop for Ecosystem {
    fn drop(&mut self) {
        for env in ENVIRONMENTS {
            self.end(&format!("environments/{env}/pid"));
            if self.sandbox.exists(&format!(".envrun/env/{env}/services")) {
                let _ = self.sandbox.run(&["down", env]);
            }
            // Where that did not end it: its folder is about to go.
            let pid = self.clusters.path().join(env).join("postmaster.pid");
            if let Some(pid) = std::fs::read_to_string(pid).ok().as_ref().and_then(|text| text.lines().next())
            {
                let _ = Command::new("kill").args(["-QUIT", pid]).stderr(Stdio::null()).status();
            }
        }
    }
}

#[test]
fn production_gets_what_the_server_proved_and_its_data_back() {
    let Some(world) = Ecosystem::new() else { return };
    world.run(&["up", "server"], 0);
    world.run(&["up", "production"], 0);
    let first = world.git(&["rev-parse", "HEAD"]);
    let promote = ["production.promote", "--confirm", "promote"];
    let refused = world.run(&promote, 3);
    assert!(refused.stderr.contains("nothing was deployed to server yet"), "{}", refused.text());
    world.run(&["server.deploy"], 0);
    let refused = world.run(&["production.promote"], 3);
    assert!(refused.stderr.contains("the word `promote` was not typed"), "{}", refused.text());
    world.run(&promote, 0);
    assert_eq!(world.revision("production"), first);
    assert_eq!(world.git(&["tag"]), "", "there was nothing before it");
    // What is up and what is live have their ports: that is how it should be.
    let doctor = world.run(&["doctor", "production", "server"], 0);
    let ports = doctor.stdout.lines().filter(|line| line.contains("_PORT ")).collect::<Vec<_>>();
    let live =
        ports.iter().filter(|line| line.contains(" is that of release 1, which is live (pid ")).count();
    let up = ports.iter().filter(|line| line.contains("is that of")).count();
    assert_eq!((ports.len(), live >= 2, up), (4, true, 4), "{}", doctor.text());
    world.five_hundred();

    // The schema moves on. Production gets the commit that the server proved, beside the work tree.
    let schema = world.sandbox.read("sql/schema.sql");
    let more =
        "ALTER TABLE contacts ADD COLUMN IF NOT EXISTS note text;\nUPDATE contacts SET phone = 'lost';\n";
    world.sandbox.write("sql/schema.sql", format!("{schema}{more}"));
    let second = world.commit("second");
    world.run(&["server.deploy"], 0);
    world.run(&promote, 0);
    assert_eq!(world.revision("production"), second);
    assert_eq!(world.sql("production", "SELECT count(*) FROM contacts WHERE phone = 'lost'"), "500");
    let tag = world.git(&["tag"]);
    assert!(tag.starts_with("rollback-"), "{tag}");
    assert_eq!(world.git(&["rev-parse", &format!("{tag}^{{commit}}")]), first, "it marks what was replaced");

    // Back, with the data of then; what is there now is saved, and the work tree is left alone.
    world.sandbox.write("unfinished", "work\n");
    let listed = world.run(&["rollback", "production", "--list"], 0);
    assert!(listed.stdout.contains("data: production.db, production.flows"), "{}", listed.text());
    world.run(&["rollback", "production", "--with-data", "--emergency"], 0);
    assert_eq!(world.revision("production"), first);
    assert_eq!(world.sql("production", "SELECT count(*) FROM contacts WHERE phone LIKE '0171-%'"), "500");
    assert_eq!(world.sandbox.read("unfinished"), "work\n");
    let history = world.run(&["history", "production"], 0);
    assert!(history.stdout.contains("break-glass: emergency rollback"), "{}", history.text());
    // And forward again: the copy that the rollback saved.
    let restored = world.run(&["restore", "production.db", "-y"], 0);
    assert!(restored.stderr.contains("`production.db` is saved"), "{}", restored.text());
    assert_eq!(world.sql("production", "SELECT count(*) FROM contacts WHERE phone = 'lost'"), "500");

    // A new password: the database and the assistant have it, and nobody else reads it.
    world.run(&["secret", "rotate", "production", "POSTGRES_PASSWORD"], 0);
    world.run(&["production.health"], 0);
}

#[test]
fn the_laptop_gets_sanitised_data_and_a_backup_is_practised() {
    let Some(world) = Ecosystem::new() else { return };
    world.run(&["up", "production"], 0);
    world.run(&["env", "exec", "production", "--", "psql", "-qf", "sql/schema.sql"], 0);
    world.five_hundred();
    world.run(&["up", "laptop"], 0);
    world.run(&["env", "exec", "laptop", "--", "psql", "-qf", "sql/schema.sql"], 0);
    // 002-23, 002-30: a laptop has less memory to give, and tells more.
    let limits = |env: &str| [world.sql(env, "SHOW shared_buffers"), world.sql(env, "SHOW log_statement")];
    assert_eq!(limits("laptop"), ["32MB", "all"]);
    assert_eq!(limits("production"), ["128MB", "none"]);
    world.sql("laptop", "INSERT INTO contacts (name, email, phone) VALUES ('mine', 'mine', 'mine')");

    // One row that is not rewritten: the proof finds it, nothing is loaded, and no scratch database is left.
    let rule = world.sandbox.read("sql/sanitise.sql");
    world.sandbox.write("sql/sanitise.sql", rule.replace(';', " WHERE id <> 77;"));
    let failed = world.run(&["laptop.sync-data"], 1);
    assert!(failed.stderr.contains("1 of 500 contacts are still real"), "{}", failed.text());
    assert_eq!(world.sql("laptop", "SELECT name FROM contacts"), "mine");
    let databases =
        "SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database WHERE NOT datistemplate";
    assert_eq!(world.sql("laptop", databases), "pa postgres");

    // Killed in between: nobody can read what was not rewritten, neither in a file nor in the scratch database.
    world.sandbox.write("sql/sanitise.sql", "\\! kill -9 $(cat envrun.pid); sleep 60\n");
    let envrun = world.sandbox.command(&["laptop.sync-data"]);
    let mut shell = Command::new("sh");
    shell.args(["-c", "echo $$ > envrun.pid; exec \"$0\" laptop.sync-data"]).arg(envrun.get_program());
    shell.env_clear().envs(envrun.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell.current_dir(world.sandbox.root()).stdin(Stdio::null());
    let killed = shell.output().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&killed.status), Some(9));
    let loads = world.sandbox.root().join(".envrun/tmp/load");
    let began = std::time::Instant::now();
    while std::fs::read_dir(&loads).unwrap().count() > 1 {
        assert!(began.elapsed().as_secs() < 60, "the raw dump is still there");
        std::thread::yield_now();
    }
    let ask =
        ["psql", "-qtAd", "scratch_pa", "-c", "SELECT coalesce(to_regclass('contacts')::text, 'nothing')"];
    let scratch = world.run(&[&["env", "exec", "laptop", "--"][..], &ask].concat(), 0);
    assert_eq!(scratch.stdout.trim(), "nothing");
    assert_eq!(world.sql("laptop", "SELECT name FROM contacts"), "mine");

    world.sandbox.write("sql/sanitise.sql", rule);
    world.run(&["laptop.sync-data"], 0);
    let counted =
        "SELECT count(*), count(*) FILTER (WHERE email LIKE '%acme%' OR phone LIKE '0171%') FROM contacts";
    assert_eq!(world.sql("laptop", counted), "500|0");
    assert_eq!(world.sql("production", counted), "500|500");
    assert_eq!(world.sql("laptop", databases), "pa postgres");
    // Of the raw data nothing is left; what the laptop had can be had again.
    assert_eq!(std::fs::read_dir(world.sandbox.root().join(".envrun/tmp/load")).unwrap().count(), 1);
    world.run(&["restore", "laptop.db", "-y"], 0);
    assert_eq!(world.sql("laptop", "SELECT name FROM contacts"), "mine");

    // The drill: a PostgreSQL made for it, the newest backup, a question; and then all of it is gone.
    let none = world.run(&["drill.drill"], 1);
    assert!(none.stderr.contains("nothing was saved yet"), "{}", none.text());
    world.run(&["production.db"], 0);
    let drill = world.run(&["drill.drill"], 0);
    assert!(drill.stdout.contains("`production.db` is taken from copy 1: 1 file, "), "{}", drill.text());
    assert!(drill.stdout.contains(" ago\n") && drill.stderr.contains("500 contacts"), "{}", drill.text());
    assert!(!world.clusters.path().join("drill/postmaster.pid").exists(), "it is up for the drill alone");
    // A backup of a database that was emptied is no backup, however well it can be read.
    world.sql("production", "DELETE FROM contacts");
    world.run(&["production.db"], 0);
    let drill = world.run(&["drill.drill"], 1);
    assert!(drill.stderr.contains("there are no contacts"), "{}", drill.text());
    world.run(&["drill.drill", "--at", "1"], 0);
}
