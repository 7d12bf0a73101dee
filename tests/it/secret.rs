//! Secrets: stores, what reaches whom and when, and that no secret is ever seen.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
#[cfg(target_os = "linux")]
use std::sync::atomic::{AtomicBool, Ordering};

use expect_test::expect;

use crate::sandbox::{Ran, Sandbox, need};

const STORE: &str = r##"
store "box" {
    read #"echo "read $STORE_PATH" >> reads.log; test ! -e "$STORE_PATH" || cat "$STORE_PATH""#
    write #"echo "write $KEY" >> reads.log; { test ! -e "$STORE_PATH" || grep -v "^$KEY=" "$STORE_PATH" || true; printf '%s=' "$KEY"; cat; echo; } > new; mv new "$STORE_PATH""#
}
"##;

/// Runs envrun with something on its standard input.
fn with_input(sandbox: &Sandbox, args: &[&str], input: &str) -> Ran {
    let mut child = sandbox
        .command(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    sandbox.ran(child.wait_with_output().unwrap())
}

pub fn git(sandbox: &Sandbox, args: &[&str]) {
    let home = sandbox.cache();
    let done = Command::new("git")
        .args(["-c", "user.name=t", "-c", "user.email=t@t", "-c", "init.defaultBranch=main"])
        .args(args)
        .current_dir(sandbox.root())
        .env("HOME", home)
        .output()
        .unwrap();
    assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

#[test]
fn a_missing_secret_is_made_once_and_never_replaced() {
    let sandbox = Sandbox::new(
        "secrets { PW generate=\"password\" length=24; ID generate=\"uuid\" }\nenv \"dev\"\nenv \"uat\"\ntask \"a\" { run \"echo $PW | wc -c; echo $PW\" }",
    );
    let first = sandbox.ok(&["dev.a"]);
    assert!(first.stderr.contains(".envrun/secrets/dev.env: PW"), "{}", first.text());
    assert_eq!(first.stdout, "25\n***\n");
    let file = sandbox.root().join(".envrun/secrets/dev.env");
    assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
    let text = sandbox.read(".envrun/secrets/dev.env");
    let value = text.strip_prefix("PW=").unwrap().trim_end().to_owned();
    assert_eq!(value.len(), 24);
    // What nothing wants is not made.
    assert!(!text.contains("ID="));
    let second = sandbox.ok(&["dev.a"]);
    assert!(!second.stderr.contains("secrets/dev.env"), "{}", second.text());
    sandbox.ok(&["secret", "generate", "dev"]);
    let after = sandbox.read(".envrun/secrets/dev.env");
    assert!(after.starts_with(&text) && after.contains("ID="), "{after}");
    sandbox.ok(&["uat.a"]);
    assert!(!sandbox.read(".envrun/secrets/uat.env").contains(&value));
    assert_eq!(sandbox.ok(&["secret", "get", "dev", "PW"]).stdout, format!("{value}\n"));
    let made = sandbox.read(".envrun/env/dev/secrets.json");
    assert!(made.contains("\"PW\"") && !made.contains(&value), "{made}");
}

#[test]
fn two_runs_at_once_make_one_secret() {
    let sandbox = Sandbox::new(
        "secrets { PW generate=\"hex\" }\nenv \"dev\"\ntask \"a\" { run \"printf %s $PW > $ENVRUN_RUN.out\" }",
    );
    let children: Vec<_> = (0..6)
        .map(|_| sandbox.command(&["dev.a"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let values: std::collections::BTreeSet<String> = std::fs::read_dir(sandbox.root())
        .unwrap()
        .flatten()
        .filter(|entry| entry.path().extension().is_some_and(|ext| ext == "out"))
        .map(|entry| std::fs::read_to_string(entry.path()).unwrap())
        .collect();
    assert_eq!(values.len(), 1);
    assert_eq!(sandbox.read(".envrun/secrets/dev.env"), format!("PW={}\n", values.first().unwrap()));
}

#[test]
fn a_missing_secret_refuses_before_anything_runs() {
    let sandbox = Sandbox::new(
        "secrets { KEY; OTHER; MAYBE required=#false }\nenv \"dev\"\ntask \"first\" { run \"touch ran\" }\ntask \"a\" { needs \"first\"; run \"echo $KEY $OTHER ${MAYBE:-nothing}\" }\ntask \"b\" { run \"echo ${MAYBE:-nothing}\" }",
    );
    sandbox.check(
        &["dev.a"],
        expect![[r#"
            exit: 3
            --- stderr
            error: `dev.a` is refused: the secret `KEY` is not set (Envfile.kdl:1)
              hint: `envrun secret set dev KEY`
            error: `dev.a` is refused: the secret `OTHER` is not set (Envfile.kdl:1)
              hint: `envrun secret set dev OTHER`
        "#]],
    );
    assert!(!sandbox.exists("ran"));
    // What the hint says, done.
    assert_eq!(with_input(&sandbox, &["secret", "set", "dev", "KEY"], "one value\n").exit, 0);
    assert_eq!(with_input(&sandbox, &["secret", "set", "dev", "OTHER"], "a 'b' \"c\" $d\n`e`\n").exit, 0);
    assert_eq!(sandbox.ok(&["secret", "get", "dev", "OTHER"]).stdout, "a 'b' \"c\" $d\n`e`\n");
    assert_eq!(sandbox.ok(&["-o", "stream", "dev.a"]).stdout, "*** *** nothing\n");
    assert!(sandbox.exists("ran"));
    assert_eq!(sandbox.ok(&["dev.b"]).stdout, "nothing\n");
}

#[test]
fn the_command_line_never_takes_a_value() {
    let sandbox =
        Sandbox::new("secrets { KEY desc=\"for the API\" }\nenv \"dev\"\ntask \"a\" { run \"true\" }");
    let ran = sandbox.run(&["secret", "set", "dev", "KEY", "hunter2hunter2"]);
    assert_eq!(ran.exit, 2);
    assert!(!ran.text().contains("hunter2"), "{}", ran.text());
    sandbox.check(
        &["secret", "set", "dev", "KEX"],
        expect![[r#"
            exit: 2
            --- stderr
            error: there is no secret `KEX` in environment `dev`
            hint: did you mean `KEY`?
        "#]],
    );
    assert_eq!(with_input(&sandbox, &["secret", "set", "dev", "KEY"], "").exit, 2);
    assert_eq!(with_input(&sandbox, &["secret", "set", "dev", "KEY"], "s3cret-in-dev\n").exit, 0);
    let listed = sandbox.ok(&["secret", "list", "dev", "--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&listed.stdout).unwrap();
    assert_eq!(json[0]["name"], "KEY");
    assert_eq!(json[0]["present"], true);
    assert_eq!(json[0]["from"], "the store `file`");
    assert_eq!(json[0]["desc"], "for the API");
    assert!(json[0]["age_seconds"].as_u64().unwrap() < 600);
    assert!(!listed.text().contains("s3cret-in-dev"));
}

#[test]
fn a_file_that_others_read_or_git_takes_along_is_refused_with_the_commands_that_fix_it() {
    let sandbox = Sandbox::new(
        "secrets { KEY }\nenv \"dev\" { secrets store=\"file\" path=\"my.env\" }\nenv \"uat\"\ntask \"a\" { run \"echo $KEY\" }",
    );
    let file = sandbox.root().join(".envrun/secrets/uat.env");
    with_input(&sandbox, &["secret", "set", "uat", "KEY"], "value-of-uat");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let ran = sandbox.run(&["uat.a"]);
    assert_eq!(ran.exit, 3, "{}", ran.text());
    let fix = format!("chmod 600 {}", file.display());
    assert!(ran.stderr.contains("others can read") && ran.stderr.contains(&fix), "{}", ran.text());
    assert!(Command::new("sh").args(["-c", &fix]).status().unwrap().success());
    sandbox.ok(&["uat.a"]);

    // Without a repository there is nobody to take a file along.
    assert_eq!(with_input(&sandbox, &["secret", "set", "dev", "KEY"], "value-of-dev").exit, 0);
    sandbox.ok(&["dev.a"]);
    git(&sandbox, &["init", "-q"]);
    let ran = sandbox.run(&["dev.a"]);
    assert_eq!(ran.exit, 3, "{}", ran.text());
    assert!(ran.stderr.contains("`my.env` is not ignored by git"), "{}", ran.text());
    let fix = ran.stderr.lines().find_map(|line| line.split("hint: `").nth(1)?.split('`').next()).unwrap();
    assert!(Command::new("sh").args(["-c", fix]).current_dir(sandbox.root()).status().unwrap().success());
    sandbox.ok(&["dev.a"]);
    sandbox.ok(&["uat.a"]);
    let added = Command::new("git").args(["add", "-A", "-n"]).current_dir(sandbox.root()).output().unwrap();
    let added = String::from_utf8_lossy(&added.stdout).into_owned();
    assert!(!added.contains(".env"), "{added}");
}

#[test]
fn a_store_is_read_once_by_who_wants_it_and_after_the_guard() {
    let sandbox = Sandbox::new(&format!(
        r##"{STORE}
secrets {{ KEY; OTHER }}
vars {{ URL "http://u:${{KEY}}@h" }}
env "dev" {{ secrets store="box" path="box.${{ENVRUN_ENV}}" }}
env "prod" extends="dev" {{ guard {{ set "ALLOWED" hint="ask" }} }}
task "plain" {{ run "env | grep -c hunter2 || true" }}
task "one" {{ run "echo $URL" }}
task "two" {{ needs "one"; uses "OTHER"; run "echo two" }}
task "cached" {{ inputs "Envfile.kdl"; outputs "out"; run "echo $KEY | cksum > out" }}
"##
    ));
    sandbox.write("box.dev", "KEY=hunter2-dev\nOTHER=other-hunter2\n");
    sandbox.write("box.prod", "KEY=hunter2-prod\nOTHER=other-hunter2\n");
    let reads = || if sandbox.exists("reads.log") { sandbox.read("reads.log") } else { String::new() };
    sandbox.ok(&["list"]);
    sandbox.ok(&["show", "dev.one"]);
    assert_eq!(sandbox.ok(&["dev.plain"]).stdout, "0\n");
    assert_eq!(reads(), "", "nobody wanted a secret");
    assert_eq!(sandbox.ok(&["-o", "stream", "dev.two"]).stdout, "http://u:***@h\ntwo\n");
    assert_eq!(reads(), "read box.dev\n", "once for the whole run");
    for args in [&["prod.one"][..], &["prod.two"], &["prod.cached"], &["secret", "get", "prod", "KEY"]] {
        let ran = sandbox.run(args);
        assert_eq!(ran.exit, 3, "{}", ran.text());
        assert!(ran.stderr.contains("ALLOWED is not set"), "{}", ran.text());
    }
    sandbox.run(&["run", "-n", "prod.one"]);
    sandbox.run(&["why", "prod.cached"]);
    sandbox.run(&["doctor", "prod"]);
    sandbox.run(&["env", "show", "prod"]);
    sandbox.run(&["secret", "list", "prod"]);
    assert_eq!(reads(), "read box.dev\n", "the guard of prod stands before its store");
    // A secret that changes is another key.
    sandbox.ok(&["dev.cached"]);
    let before = sandbox.read("out");
    assert!(sandbox.ok(&["dev.cached"]).stderr.contains("up to date"));
    sandbox.write("box.dev", "KEY=hunter2-new\nOTHER=other-hunter2\n");
    let ran = sandbox.ok(&["dev.cached"]);
    assert!(ran.stderr.contains("KEY"), "{}", ran.text());
    assert_ne!(sandbox.read("out"), before);
    assert_eq!(with_input(&sandbox, &["secret", "set", "dev", "KEY"], "from stdin\n").exit, 0);
    assert!(sandbox.read("box.dev").contains("KEY=from stdin\n"));
}

#[test]
fn a_store_is_read_once_for_the_guard_and_what_stands_behind_it() {
    let sandbox = Sandbox::new(&format!(
        r##"{STORE}
secrets {{ KEY; OTHER }}
vars {{ URL "http://u:${{OTHER}}@h" }}
env "dev"
env "prod" {{
    secrets store="box" path="box.${{ENVRUN_ENV}}"
    guard {{ exec #"test "$KEY" = open-sesame"# }}
}}
task "one" {{ mutates #true; run "echo $URL" }}
"##
    ));
    sandbox.write("box.prod", "KEY=open-sesame\nOTHER=other-hunter2\n");
    for args in [
        &["env", "exec", "prod", "--", "printenv", "OTHER"][..],
        &["env", "export", "prod", "--format", "json"],
        &["env", "show", "prod"],
        &["env", "sync", "dev", "prod", "-n"],
        &["secret", "get", "prod", "OTHER"],
        &["secret", "list", "prod"],
        &["doctor", "prod"],
        &["prod.one"],
    ] {
        sandbox.write("reads.log", "");
        sandbox.run(args);
        assert_eq!(sandbox.read("reads.log"), "read box.prod\n", "{args:?}");
    }
    // What the guard does not let pass is not shown, and why.
    sandbox.write("box.prod", "KEY=wrong-word\nOTHER=other-hunter2\n");
    let shown = sandbox.run(&["env", "show", "prod"]).stdout;
    assert!(shown.contains("! the secret `OTHER` was not read: "), "{shown}");
}

#[test]
fn a_run_in_no_environment_is_told_to_name_one() {
    let sandbox = Sandbox::new("secrets { KEY }\nenv \"a\"\nenv \"b\"\ntask \"t\" { run \"echo $KEY\" }\n");
    sandbox.check(
        &["t"],
        expect![[r#"
            exit: 3
            --- stderr
            error: `t` is refused: the secret `KEY` is not set (Envfile.kdl:1)
              hint: name an environment, `ENV.TASK`, in which `envrun secret set ENV KEY` stored it
        "#]],
    );
}

#[test]
fn a_run_in_no_environment_makes_no_secret_that_nobody_could_list() {
    let sandbox = Sandbox::new(
        "secrets { KEY generate=\"hex\" }\nenv \"a\"\nenv \"b\"\ntask \"t\" { run \"echo $KEY\" }\n\
         task \"plain\" { run \"true\" }\n",
    );
    sandbox.check(
        &["t"],
        expect![[r#"
            exit: 3
            --- stderr
            error: `t` is refused: the secret `KEY` is not set (Envfile.kdl:1)
              hint: name an environment, `ENV.TASK`: it is made for that one; or say which it is, `project … default-env=`
        "#]],
    );
    assert!(!sandbox.exists(".envrun/secrets"));
    // What needs none runs in none, and everything else goes on.
    for args in [&["plain"][..], &["list"], &["check"], &["a.t"], &["t", "-e", "b"], &["secret", "list", "a"]]
    {
        sandbox.ok(args);
    }
    assert!(!sandbox.exists(".envrun/secrets/.env"));
}

#[test]
fn a_store_holds_for_the_names_of_its_block_and_for_what_is_inherited() {
    let sandbox = Sandbox::new(&format!(
        r#"{STORE}
store "other" {{ read "true" }}
project "p" default-env="plain"
secrets {{ FREE }}
secrets store="box" path="box.all" {{ BOXED }}
secrets store="other" {{ OTHER }}
env "plain"
env "one" {{ secrets store="env" {{ OWN }} }}
env "all" {{ secrets store="file"; secrets {{ NEW }}; secrets store="env" {{ OWN }} }}
env "several" {{ secrets store="env" {{ OWN }}; secrets store="file" {{ MINE }} }}
"#
    ));
    let places = |env: &str| {
        let json = sandbox.ok(&["secret", "list", env, "--format", "json"]).stdout;
        let rows: Vec<serde_json::Value> = serde_json::from_str(&json).unwrap();
        let place = |row: &serde_json::Value| {
            let text = |key: &str| row[key].as_str().unwrap_or("-").to_owned();
            format!("{}: {}", text("name"), text("store"))
        };
        rows.iter().map(place).collect::<Vec<_>>().join(", ")
    };
    let (boxed, other) = ("the store `box` (box.all)", "the store `other`");
    let (env, own) = ("the process environment", ".envrun/secrets");
    assert_eq!(places("plain"), format!("FREE: {own}/plain.env, BOXED: {boxed}, OTHER: {other}"));
    assert_eq!(places("one"), format!("FREE: {env}, BOXED: {env}, OTHER: {env}, OWN: {env}"));
    let all = format!("{own}/all.env");
    assert_eq!(places("all"), format!("FREE: {all}, BOXED: {all}, OTHER: {all}, NEW: {all}, OWN: {env}"));
    let several = format!("{own}/several.env");
    assert_eq!(
        places("several"),
        format!("FREE: {several}, BOXED: {boxed}, OTHER: {other}, OWN: {env}, MINE: {several}")
    );
}

#[test]
fn stores_that_fail_say_so() {
    let sandbox = Sandbox::new(
        r##"
secrets { KEY }
store "down" { requires { tool "sh" }; read #"echo "no route to vault" >&2; exit 7"# }
store "lost" { requires { tool "no-such-vault" hint="apt install vault" }; read "true" }
store "odd" { read #"echo "not json""# format="json" }
env "a" { secrets store="down" }
env "b" { secrets store="lost" }
env "c" { secrets store="odd" }
env "d" { secrets store="env" }
task "t" { run "echo $KEY" }
"##,
    );
    sandbox.check(
        &["a.t"],
        expect![[r#"
            exit: 3
            --- stderr
            error: `a.t` is refused: the store `down`: its `read` ended with status 7: no route to vault (Envfile.kdl:3)
              hint: see what is wrong by hand: echo "no route to vault" >&2; exit 7
        "#]],
    );
    sandbox.check(
        &["secret", "list", "a"],
        expect![[r#"
            exit: 3
            --- stdout
            SECRET  PRESENT  FROM      AGE  DUE
            KEY     ?        not read  -    -    its `read` ended with status 7: no route to vault
            --- stderr
            hint: see what is wrong by hand: echo "no route to vault" >&2; exit 7
        "#]],
    );
    sandbox.check(
        &["b.t"],
        expect![[r#"
            exit: 3
            --- stderr
            error: `b.t` is refused: the store `lost`: it requires no-such-vault: not found on PATH (Envfile.kdl:4)
              hint: apt install vault
        "#]],
    );
    sandbox.check(
        &["c.t"],
        expect![[r#"
            exit: 3
            --- stderr
            error: `c.t` is refused: the store `odd`: its `read` prints no JSON object (Envfile.kdl:5)
              hint: if it prints `NAME=value` lines, write `format="dotenv"`
        "#]],
    );
    sandbox.check(
        &["d.t"],
        expect![[r#"
            exit: 3
            --- stderr
            error: `d.t` is refused: the secret `KEY` is not set (Envfile.kdl:2)
              hint: set `KEY` in the environment that calls envrun
        "#]],
    );
    assert_eq!(with_input(&sandbox, &["secret", "set", "a", "KEY"], "some-value").exit, 3);
    let doctor = sandbox.run(&["doctor", "a"]);
    assert_eq!(doctor.exit, 3);
    assert!(doctor.stdout.contains("store down  its `read` ended with status 7"), "{}", doctor.text());
}

#[test]
fn a_value_in_the_envfile_is_refused() {
    let sandbox = Sandbox::new(
        "secrets { A \"hunter2hunter2\"; B }\nenv \"dev\" { vars { B \"hunter2hunter2\" } }\ntask \"t\" { run \"true\" }",
    );
    let ran = sandbox.run(&["check"]);
    assert_eq!(ran.exit, 2, "{}", ran.text());
    assert_eq!(ran.stderr.matches("envrun secret set").count(), 2, "{}", ran.text());
}

#[test]
fn what_lacks_in_a_store_without_write_is_set_there() {
    let sandbox = Sandbox::new(
        r#"
secrets store="box" { TOKEN }
env "dev"
store "box" { read "echo OTHER=1" }
task "a" { run "echo $TOKEN" }
"#,
    );
    let remedy = "set `TOKEN` in the store `box` by its own means: it has no `write`";
    for args in [&["dev.a"][..], &["doctor", "dev"], &["env", "export", "dev"]] {
        let ran = sandbox.run(args);
        assert!(ran.exit != 0 && ran.text().contains(remedy), "{args:?}: {}", ran.text());
    }
}

#[test]
fn no_file_is_named_after_a_secret() {
    let mut sandbox = Sandbox::new(
        r#"
secrets { TOKEN }
vars { PLACE "k-${TOKEN}"; OPEN "k" }
task "a" { inputs "in/${TOKEN}" "in/${OPEN}"; outputs "out-${PLACE}"; run "true" }
task "b" { dir "work/${PLACE}"; run "true" }
task "c" { vars { MINE "x${TOKEN}" }; render "${MINE}.env" format="dotenv" }
task "fine" { inputs "Envfile.kdl"; run "echo $TOKEN" }
"#,
    );
    sandbox.set("TOKEN", "sesame-open-42");
    for (task, what) in [
        ("a", "`inputs` names a file after `TOKEN`, which is a secret"),
        ("a", "`outputs` names a file after `PLACE`, which is a secret"),
        ("b", "`dir` names a file after `PLACE`, which is a secret"),
        ("c", "`render` names a file after `MINE`, which is a secret"),
    ] {
        let ran = sandbox.run(&[task]);
        assert!(ran.exit == 2 && ran.stderr.contains(what), "{task}: {}", ran.text());
    }
    sandbox.ok(&["fine"]);
}

#[test]
fn an_inherited_secret_is_taken_away() {
    let sandbox = Sandbox::new(
        r##"
secrets { TOKEN; KEPT generate="hex" }
env "dev"
env "bare" { secrets { TOKEN #null } }
env "again" extends="bare" { secrets { TOKEN generate="uuid" } }
task "a" { uses "TOKEN"; run #"echo "${TOKEN-none} ${KEPT:+kept}""# }
"##,
    );
    let names = |env: &str| {
        let listed = sandbox.ok(&["secret", "list", env, "--format", "json"]).stdout;
        let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
        let rows = listed.as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap().to_owned());
        rows.collect::<Vec<_>>()
    };
    assert_eq!(names("dev"), ["TOKEN", "KEPT"]);
    assert_eq!(names("bare"), ["KEPT"]);
    assert_eq!(names("again"), ["KEPT", "TOKEN"]);
    assert!(sandbox.run(&["dev.a"]).stderr.contains("`envrun secret set dev TOKEN`"));
    let ran = sandbox.ok(&["bare.a"]);
    assert!(ran.stdout.contains("none kept"), "{}", ran.text());
    let listed = sandbox.ok(&["env", "list"]).stdout;
    let variables = |env: &str| listed.lines().find(|line| line.starts_with(env)).unwrap().to_owned();
    assert!(variables("dev").contains('2') && variables("bare").contains('1'), "{listed}");
    let wrong = Sandbox::new("secrets { TOKEN }\nenv \"dev\" { secrets { TOKN #null; OTHER \"x\" } }\n");
    wrong.check(
        &["check"],
        expect![[r#"
            exit: 2
            --- stderr
            Envfile.kdl:2:23: error: there is no inherited secret `TOKN` to take away [load/null]
              help: did you mean `TOKEN`?
            Envfile.kdl:2:41: error: a secret has no value here [syntax/secret-value]
              help: a secret's value does not stand in the Envfile: take it out, and store it with `envrun secret set`
        "#]],
    );
    let wrong = Sandbox::new("secrets { TOKEN }\nenv \"dev\" { secrets { TOKN #null } }\n");
    let said = wrong.run(&["check"]).text();
    assert!(
        said.contains("there is no inherited secret `TOKN` to take away") && said.contains("`TOKEN`"),
        "{said}"
    );
}

#[test]
fn the_doctor_looks_at_secrets() {
    let sandbox = Sandbox::new(
        "secrets { SHORT; OLD rotate=\"30d\" generate=\"hex\"; FINE; PLACE; NEW generate=\"hex\"; GONE }\nenv \"dev\"\ntask \"t\" { run \"true\" }",
    );
    for (name, value) in
        [("SHORT", "12345"), ("OLD", "old-enough"), ("FINE", "fine-and-long"), ("PLACE", "changeme")]
    {
        assert_eq!(with_input(&sandbox, &["secret", "set", "dev", name], value).exit, 0);
    }
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis();
    let made = sandbox.read(".envrun/env/dev/secrets.json");
    let mut made: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&made).unwrap();
    made["OLD"] = u64::try_from(now - 31 * 86_400_000).unwrap().into();
    sandbox.write(".envrun/env/dev/secrets.json", serde_json::to_vec(&made).unwrap());
    let ran = sandbox.run(&["doctor", "dev"]);
    assert_eq!(ran.exit, 3);
    let text = &ran.stdout[ran.stdout.find("dev\n").unwrap()..];
    expect![[r#"
        dev
          warn SHORT  shorter than 6 bytes: too short to be hidden in what is printed
              hint: take a longer one: `envrun secret set dev SHORT`
          warn OLD    overdue for 1d
              hint: `envrun secret rotate dev OLD`
          ok   FINE   the store `file`
          warn PLACE  a placeholder
              hint: `envrun secret set dev PLACE`
          ok   NEW    not made yet: the first run that wants it makes it
          FAIL GONE   not set
              hint: `envrun secret set dev GONE`
    "#]]
    .assert_eq(&text[..text.find("\n\n").unwrap() + 1]);
    let due = sandbox.ok(&["secret", "rotate", "dev", "--due"]);
    assert!(due.stderr.contains("`OLD` has a new value"), "{}", due.text());
    assert!(!sandbox.read(".envrun/secrets/dev.env").contains("old-enough"));
    assert!(sandbox.ok(&["secret", "rotate", "dev", "--due"]).stderr.contains("nothing is due"));
}

#[test]
fn an_editor_sees_a_private_file_that_is_gone_after() {
    let mut sandbox = Sandbox::new("secrets { A; B }\nenv \"dev\"\ntask \"t\" { run \"echo $A\" }");
    with_input(&sandbox, &["secret", "set", "dev", "A"], "value-of-a");
    sandbox.script("ed", "#!/bin/sh\nstat -c %a \"$1\" > mode; cp \"$1\" seen\nsed -i 's/^A=.*/A=changed-value/; s/^# B=/B=new-value/' \"$1\"\ntouch \"$1~\"\n");
    sandbox.set("EDITOR", "./ed");
    let ran = sandbox.ok(&["secret", "edit", "dev"]);
    assert!(ran.stderr.contains("changed: A, B"), "{}", ran.text());
    assert_eq!(sandbox.read("mode"), "600\n");
    assert!(sandbox.read("seen").contains("A=value-of-a"));
    assert_eq!(sandbox.read(".envrun/secrets/dev.env"), "A=changed-value\nB=new-value\n");
    let left = || {
        let names = std::fs::read_dir(sandbox.root().join(".envrun/secrets")).unwrap().flatten();
        names
            .map(|entry| entry.file_name().into_string().unwrap())
            .filter(|name| name.contains("edit"))
            .count()
    };
    assert_eq!(left(), 0);
    sandbox.script("ed", "#!/bin/sh\necho 'nonsense hunter2hunter2' > \"$1\"\n");
    let ran = sandbox.run(&["secret", "edit", "dev"]);
    assert_eq!(ran.exit, 2, "{}", ran.text());
    assert!(!ran.text().contains("hunter2"), "{}", ran.text());
    sandbox.script("ed", "#!/bin/sh\nkill -INT $PPID; exit 1\n");
    assert_eq!(sandbox.run(&["secret", "edit", "dev"]).exit, 2);
    assert_eq!(left(), 0);
    assert_eq!(sandbox.read(".envrun/secrets/dev.env"), "A=changed-value\nB=new-value\n");
}

/// Every regular file below a folder.
fn files(folder: &Path, into: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => files(&path, into),
            Ok(kind) if kind.is_file() => into.push(path),
            _ => {}
        }
    }
}

fn holds(bytes: &[u8], secret: &str) -> bool {
    bytes.windows(secret.len()).any(|window| window == secret.as_bytes())
}

#[test]
#[cfg(target_os = "linux")]
fn no_secret_is_ever_written_printed_or_seen_in_the_process_list() {
    let mut sandbox = Sandbox::new(&format!(
        r##"{STORE}
secrets {{ PLAIN generate="password" length=64; ODD; PEM }}
vars {{ URL "postgres://u:${{PLAIN}}@h/db?x=${{ODD}}" }}
env "dev" {{ secrets store="box" path="box" }}
env "file"
task "prints" {{ run #"echo "$PLAIN"; echo "$ODD" >&2; printf %s "$PLAIN" | base64; printf 'user:%s' "$ODD" | base64; printf %s "$PEM"; echo; echo "$URL""# }}
task "slow" {{ run #"printf %s "${{PLAIN%??????????}}"; sleep 0.05; printf '%s\n' "${{PLAIN#"${{PLAIN%??????????}}"}}""# }}
task "fails" {{ run "sh" "-c" "echo ${{ODD}} >&2; exit 3" "${{URL}}"; hint "see ${{URL}}" }}
task "nothing" {{ run "no-such-program-${{ODD}}" }}
task "cached" {{ inputs "Envfile.kdl"; outputs "out/*"; run "mkdir -p out; echo $PLAIN; echo done > out/x" }}
task "guarded" {{ guard {{ set "NO_SUCH_NAME_HERE" }}; run "echo $PLAIN" }}
task "export" {{ run #"echo "TAKEN=$PLAIN" >> "$ENVRUN_EXPORT""#; run #"echo "$TAKEN""# }}
"##
    ));
    sandbox.write("box", "");
    let odd = "p@ss w0rd/+%\\\"quoted\"";
    let pem = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\nBKcwggSjAgEAAoIBAQDZ8n2vVZQ9\n-----END KEY-----";
    sandbox.set("LC_ALL", "C.UTF-8");
    let over = AtomicBool::new(false);
    let mut secrets = vec![odd.to_owned(), "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC".to_owned()];
    let mut said = String::new();
    let seen = std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut seen: Vec<Vec<u8>> = Vec::new();
            while !over.load(Ordering::Relaxed) {
                for entry in std::fs::read_dir("/proc").unwrap().flatten() {
                    if entry.file_name().to_str().is_some_and(|name| name.bytes().all(|b| b.is_ascii_digit()))
                        && let Ok(line) = std::fs::read(entry.path().join("cmdline"))
                        && !seen.contains(&line)
                    {
                        seen.push(line);
                    }
                }
                std::thread::yield_now();
            }
            seen
        });
        for env in ["dev", "file"] {
            said += &with_input(&sandbox, &["secret", "set", env, "ODD"], odd).text();
            said += &with_input(
                &sandbox,
                &["secret", "set", env, "PEM"],
                &pem.replace('\n', if env == "dev" { " " } else { "\n" }),
            )
            .text();
            said += &sandbox.ok(&["secret", "generate", env]).text();
            for task in ["prints", "slow", "nothing", "cached", "cached", "guarded", "export"] {
                for style in ["auto", "json", "prefix"] {
                    said += &sandbox.run(&["-o", style, "-k", &format!("{env}.{task}")]).text();
                }
            }
            std::fs::remove_dir_all(sandbox.root().join("out")).unwrap();
            let restored = sandbox.ok(&[&format!("{env}.cached")]);
            assert!(restored.stderr.contains("restored"), "{}", restored.text());
            said += &restored.text();
            for args in [
                &["why"][..],
                &["show"],
                &["graph"],
                &["graph", "--format", "json"],
                &["run", "-n"],
                &["run", "-n", "--json"],
            ] {
                for task in ["prints", "cached", "fails"] {
                    let target = format!("{env}.{task}");
                    said += &sandbox.run(&[args, &[target.as_str()]].concat()).text();
                }
            }
            for args in [
                &["doctor", env][..],
                &["doctor", env, "--format", "json"],
                &["env", "show", env, "--origin"],
                &["env", "diff", "dev", "file"],
                &["secret", "list", env],
                &["secret", "rotate", env, "PLAIN"],
                &["log"],
                &["log", "latest"],
                &["check"],
                &["list"],
                &["secret", "set", env, "NOPE"],
            ] {
                said += &sandbox.run(args).text();
            }
            secrets.push(sandbox.ok(&["secret", "get", env, "PLAIN"]).stdout.trim_end().to_owned());
        }
        over.store(true, Ordering::Relaxed);
        watcher.join().unwrap()
    });
    // The words of a command without a shell are its author's to choose: only `fails` has a secret there, and it ran alone.
    for env in ["dev", "file"] {
        said += &sandbox.run(&["-o", "json", &format!("{env}.fails")]).text();
        said += &sandbox.run(&[&format!("{env}.fails")]).text();
    }
    assert!(said.contains("***"));
    let base64 = |text: &str| {
        let mut child =
            Command::new("base64").arg("-w0").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
    };
    let mut hidden = secrets.clone();
    hidden.extend(secrets.iter().map(|secret| base64(secret)[..8].to_owned()));
    hidden.extend(
        secrets.iter().map(|secret| secret[..secret.len() - 10].to_owned()).filter(|part| part.len() > 20),
    );
    let mut all = Vec::new();
    files(&sandbox.root().join(".envrun"), &mut all);
    files(&sandbox.cache(), &mut all);
    assert!(all.iter().any(|path| path.ends_with("events.jsonl")) && all.len() > 20, "{all:?}");
    for secret in &hidden {
        assert!(!said.contains(secret.as_str()), "{secret} was printed:\n{said}");
        for line in &seen {
            assert!(!holds(line, secret), "{secret} in {}", String::from_utf8_lossy(line));
        }
        for path in &all {
            let is_store = path.parent().is_some_and(|folder| folder.ends_with(".envrun/secrets"));
            let bytes = std::fs::read(path).unwrap();
            assert!(is_store || !holds(&bytes, secret), "{secret} in {}", path.display());
        }
    }
}

#[test]
#[cfg(target_os = "linux")]
fn services_that_are_up_see_the_new_value() {
    let sandbox = Sandbox::new(
        r##"
secrets { PW generate="password"; OTHER generate="hex" }
env "dev"
service "web" { run #"printf %s "$PW" > seen.new; mv seen.new seen; exec sleep 600"#; ready { exec "test -s seen" } }
"##,
    );
    sandbox.ok(&["up", "dev"]);
    let before = sandbox.read("seen");
    let ran = sandbox.run(&["secret", "rotate", "dev", "PW"]);
    let after = (ran.exit == 0).then(|| sandbox.read("seen"));
    let stored = sandbox.run(&["secret", "get", "dev", "PW"]).stdout;
    sandbox.ok(&["down", "dev"]);
    assert_eq!(ran.exit, 0, "{}", ran.text());
    assert_eq!(after.as_deref(), Some(stored.trim_end()));
    assert_ne!(after.as_deref(), Some(before.as_str()));
}

#[test]
fn a_round_trip_through_age() {
    if !need("age", "age") {
        return;
    }
    let sandbox = Sandbox::new(
        r##"
secrets store="stores.age" path="secrets.age" { A; B generate="base64" length=24 }
include "stores.kdl" as="stores"
task "t" { run #"echo "$A $B" | wc -c"# }
"##,
    );
    sandbox.write(
        "stores.kdl",
        r##"
store "age" {
    requires { tool "age" hint="apt-get install age" }
    read #"test ! -e "$STORE_PATH" || age --decrypt --identity key.txt "$STORE_PATH""#
    write #"""
        old=$(test ! -e "$STORE_PATH" || age --decrypt --identity key.txt "$STORE_PATH" | grep -v "^$KEY=" || true)
        { printf '%s\n%s=' "$old" "$KEY"; cat; echo; } |
            age --recipient "$(age-keygen -y key.txt)" --output "$STORE_PATH.new"
        mv "$STORE_PATH.new" "$STORE_PATH"
        """#
}
"##,
    );
    let made =
        Command::new("age-keygen").args(["-o", "key.txt"]).current_dir(sandbox.root()).output().unwrap();
    assert!(made.status.success());
    assert_eq!(with_input(&sandbox, &["secret", "set", "A"], "first value").exit, 0);
    assert_eq!(with_input(&sandbox, &["secret", "set", "A"], "second value").exit, 0);
    assert_eq!(sandbox.ok(&["t"]).stdout, format!("{}\n", "second value".len() + 1 + 32 + 1));
    assert_eq!(sandbox.ok(&["secret", "get", "A"]).stdout, "second value\n");
    let b = sandbox.ok(&["secret", "get", "B"]).stdout;
    assert_eq!(b.trim_end().len(), 32);
    let stored = std::fs::read(sandbox.root().join("secrets.age")).unwrap();
    assert!(stored.starts_with(b"age-encryption.org/v1"));
    assert!(!holds(&stored, "second value") && !holds(&stored, b.trim_end()));
    assert!(!sandbox.exists(".envrun/secrets/.env"));
}

#[test]
fn a_list_says_once_what_is_overdue_and_what_nobody_knows() {
    let sandbox = Sandbox::with(&[
        (
            "Envfile.kdl",
            "secrets { OLD generate=\"hex\" rotate=\"30d\"; NEW generate=\"hex\" rotate=\"30d\"; HAND rotate=\"30d\" }\nenv \"dev\"",
        ),
        (".envrun/secrets/dev.env", "HAND=put-there-by-hand\n"),
    ]);
    for path in [".envrun/secrets", ".envrun/secrets/dev.env"] {
        let mode = if path.ends_with("env") { 0o600 } else { 0o700 };
        std::fs::set_permissions(sandbox.root().join(path), std::fs::Permissions::from_mode(mode)).unwrap();
    }
    sandbox.ok(&["secret", "generate", "dev"]);
    let made = sandbox.read(".envrun/env/dev/secrets.json");
    let mut made: serde_json::Value = serde_json::from_str(&made).unwrap();
    // Thirty days and half a second before the other.
    made["OLD"] = (made["NEW"].as_u64().unwrap() - 30 * 86_400_000 - 500).into();
    sandbox.write(".envrun/env/dev/secrets.json", made.to_string());
    let list = sandbox.ok(&["secret", "list", "dev"]).stdout;
    let row = |name: &str| list.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    assert!(row("OLD").contains("overdue") && row("OLD").matches("overdue").count() == 1, "{list}");
    assert!(row("NEW").contains("in 30d") && !row("NEW").contains("overdue"), "{list}");
    assert!(row("HAND").ends_with("unknown"), "{list}");
    let json = sandbox.ok(&["secret", "list", "dev", "--format", "json"]).stdout;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let old = json.as_array().unwrap().iter().find(|row| row["name"] == "OLD").unwrap();
    assert!(old["due_in_seconds"].as_i64().unwrap() < 0, "{old}");
    assert!(old["problem"].as_str().unwrap().starts_with("overdue for"), "{old}");
}

#[test]
fn a_value_that_a_store_mangles_is_noticed_when_it_is_written() {
    let sandbox = Sandbox::new(
        r##"
secrets {
    TOKEN
    MADE generate="hex"
}
store "box" {
    read "cat box.env 2>/dev/null || true"
    write #"echo "$KEY='$(cat)'" >> box.env"#
}
store "void" { read "true"; write "cat > /dev/null" }
env "a" { secrets store="box" }
env "b" { secrets store="void" }
task "t" { run "echo $TOKEN" }
"##,
    );
    let plain = with_input(&sandbox, &["secret", "set", "a", "TOKEN"], "plain text");
    assert_eq!(plain.exit, 0, "{}", plain.text());
    let mangled = with_input(&sandbox, &["secret", "set", "a", "TOKEN"], "it's one");
    assert_eq!(mangled.exit, 3, "{}", mangled.text());
    for said in [
        "the store `box`: `TOKEN` was written, and is not read back: line 2 of",
        "hint: its `write` must keep",
    ] {
        assert!(mangled.stderr.contains(said), "{}", mangled.text());
    }
    assert!(!mangled.text().contains("it's one"), "{}", mangled.text());
    for words in [["secret", "generate", "b"].as_slice(), &["secret", "set", "b", "TOKEN"]] {
        let lost = with_input(&sandbox, words, "value");
        assert_eq!(lost.exit, 3, "{}", lost.text());
        assert!(lost.stderr.contains("is not read back: its `read` prints no `"), "{}", lost.text());
    }
    let missing = sandbox.run(&["secret", "get", "b", "TOKEN"]);
    assert!(missing.stderr.contains("the store `void`: it has no `TOKEN`"), "{}", missing.text());
}

/// Files as a killed envrun leaves them, each with a copy of secrets in it.
fn left_behind(sandbox: &Sandbox) -> Vec<&'static str> {
    let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
    let gone = envrun::base::Identity::of(child.id()).unwrap().word();
    child.kill().unwrap();
    child.wait().unwrap();
    let places = [
        (format!(".envrun/secrets/.dev.env.{gone}-4.envrun-tmp"), ".envrun/secrets"),
        (format!(".envrun/secrets/.edit.{gone}-1.envrun-tmp/secrets.env"), ".envrun/secrets"),
        (format!(".envrun/env/uat/snapshots/before%20sync/.85.{gone}.envrun-tmp/data/0.env"), ".envrun/env"),
        (format!(".envrun/env/dev/snapshots/db/.next.{gone}-2.envrun-tmp"), ".envrun/env"),
    ];
    for (path, _) in &places {
        sandbox.write(path, "TOKEN=left-behind-token\n");
    }
    for folder in [".envrun/secrets", ".envrun/secrets/.."] {
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        std::fs::set_permissions(sandbox.root().join(folder), private).unwrap();
    }
    vec![".envrun/secrets", ".envrun/env"]
}

#[test]
fn what_a_killed_envrun_left_of_secrets_is_removed_by_whoever_comes_by() {
    let sandbox = Sandbox::new(
        "project \"p\" default-env=\"dev\"\nsecrets { TOKEN generate=\"hex\" }\nenv \"dev\"\nenv \"uat\"\n\
         task \"plain\" { run \"true\" }\ntask \"a\" { uses \"TOKEN\"; render \"out.env\" format=\"dotenv\" }",
    );
    sandbox.write(".gitignore", "out.env\n");
    git(&sandbox, &["init", "-q"]);
    let by: [&[&str]; 5] = [
        &["plain"],
        &["secret", "list"],
        &["secret", "generate"],
        &["env", "sync", "dev", "uat", "-y"],
        &["a"],
    ];
    for args in by {
        let folders = left_behind(&sandbox);
        // One that is being written right now is nobody else's to remove.
        let own = format!(".envrun/secrets/.dev.env.{}-7.envrun-tmp", envrun::base::Identity::own().word());
        sandbox.write(&own, "TOKEN=being-written\n");
        sandbox.ok(args);
        assert!(sandbox.exists(&own), "{args:?}");
        std::fs::remove_file(sandbox.root().join(&own)).unwrap();
        for folder in folders {
            let mut there = Vec::new();
            files(&sandbox.root().join(folder), &mut there);
            let left = |path: &std::path::PathBuf| holds(&std::fs::read(path).unwrap(), "left-behind-token");
            let left: Vec<_> = there.into_iter().filter(left).collect();
            assert!(left.is_empty(), "{args:?}: {left:?}");
        }
    }
}

#[test]
fn a_guard_that_mentions_a_secret_has_it_made_or_says_what_makes_it() {
    let sandbox = Sandbox::new(
        r##"
        env "prod" {
            secrets { TOK generate="hex" length=16; API }
            guard { set "TOK"; exec #"test "${#TOK}" = 16"# }
            task "t" { mutates #true; run "echo done" }
        }
        env "uat" {
            secrets { API }
            guard { set "API" }
            task "t" { mutates #true; run "echo done" }
        }
        "##,
    );
    git(&sandbox, &["init", "--quiet"]);
    sandbox.write(".gitignore", ".envrun/\n");
    // Whoever only looks makes nothing, and is told what would.
    for args in [
        &["env", "exec", "prod", "--", "true"][..],
        &["secret", "get", "prod", "TOK"],
        &["env", "export", "prod"],
    ] {
        let refused = sandbox.run(args);
        assert_eq!(refused.exit, 3, "{}", refused.text());
        assert!(refused.stderr.contains("hint: `envrun secret generate prod`"), "{}", refused.text());
    }
    let list = sandbox.ok(&["secret", "list", "prod"]).stdout;
    assert!(list.lines().nth(1).unwrap().starts_with("TOK     ?        not read: TOK is not set"), "{list}");
    let json = sandbox.ok(&["secret", "list", "prod", "--format", "json"]).stdout;
    assert!(json.contains("\"present\": null"), "{json}");
    // A dry run makes none either; a run does.
    sandbox.ok(&["prod.t", "-n"]);
    assert!(!sandbox.exists(".envrun/secrets/prod.env"));
    let ran = sandbox.ok(&["prod.t"]);
    assert!(ran.stderr.contains("made and stored in .envrun/secrets/prod.env: TOK"), "{}", ran.text());
    // One that nobody can make.
    let refused = sandbox.run(&["uat.t"]);
    assert_eq!(refused.exit, 3, "{}", refused.text());
    assert!(refused.stderr.contains("hint: `envrun secret set uat API`"), "{}", refused.text());
    // With its secret there, the guard lets everybody pass.
    sandbox.ok(&["env", "exec", "prod", "--", "true"]);
    let listed = sandbox.ok(&["secret", "list", "prod"]).stdout;
    assert!(listed.lines().nth(1).unwrap().starts_with("TOK     yes"), "{listed}");
    assert!(listed.lines().nth(2).unwrap().starts_with("API     no"), "{listed}");
}

#[test]
fn whoever_goes_back_needs_no_secret_that_only_the_guard_mentions() {
    let sandbox = Sandbox::new(
        r##"
        store "vault" { read #"test ! -e away; echo "GATE=open-sesame""# }
        env "prod" {
            secrets store="vault" { GATE }
            guard { exec #"test "$GATE" = open-sesame"# }
            deploy "d" { run #"cp version live"# }
        }
        "##,
    );
    for version in ["one", "two"] {
        sandbox.write("version", version);
        sandbox.ok(&["prod.d"]);
    }
    sandbox.write("away", "");
    let refused = sandbox.run(&["prod.d"]);
    assert_eq!(refused.exit, 3, "{}", refused.text());
    sandbox.ok(&["rollback", "prod"]);
}
