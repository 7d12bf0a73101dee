//! `render`: files that other programs read, written whole, kept from git, and from being lost.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use expect_test::expect;

use crate::sandbox::Sandbox;

const ENVFILE: &str = r##"
vars {
    (port)PORT 8000
    NAME #"it's "me" $$HOME #1"#
    JSON #"{"a": [1, "b c"]}"#
    HASH "$2b$12$$abcdefghijklmnopqrstuv"
    LINES "one\ntwo\n"
    UNICODE "grüße ☃"
    DEBUG #false
    RATE 0.5
    URL "http://localhost:${PORT}/${TOKEN}"
    MAYBE required=#false
}
secrets { TOKEN }
env "dev"
env "prod" { vars { PORT 9000 } }
task "files" {
    render ".env.${ENVRUN_ENV}" format="dotenv"
    render "out/${ENVRUN_ENV}.sh" format="shell" only="vars"
    render "out/${ENVRUN_ENV}.json" format="json"
    render "out/${ENVRUN_ENV}.yaml" format="k8s-secret" only="secrets" name="app-${ENVRUN_ENV}" namespace="web"
    render "out/${ENVRUN_ENV}.conf" template="app.conf.j2"
}
"##;

const TEMPLATE: &str = "listen {{ PORT + 1 }}\nenv {{ ENVRUN_ENV }}\n{% if not DEBUG %}quiet\n{% endif %}";

const SECRET: &str = "sesame-open-42";

fn project() -> Sandbox {
    let mut sandbox = Sandbox::with(&[
        ("Envfile.kdl", ENVFILE),
        ("app.conf.j2", TEMPLATE),
        (".gitignore", "/.envrun/\n/.env.*\n/out/\n"),
    ]);
    sandbox.set("TOKEN", SECRET);
    let made = Command::new("git").args(["init", "-q"]).current_dir(sandbox.root()).status().unwrap();
    assert!(made.success());
    sandbox
}

fn mode(sandbox: &Sandbox, path: &str) -> u32 {
    std::fs::metadata(sandbox.root().join(path)).unwrap().permissions().mode() & 0o777
}

/// What a shell makes of a file of assignments.
fn by_sh(sandbox: &Sandbox, file: &str, name: &str) -> String {
    let script = format!(". ./{file}; printf '%s' \"${name}\"");
    let output = Command::new("sh")
        .args(["-eu", "-c", &script])
        .current_dir(sandbox.root())
        .env_clear()
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_format_is_read_back_with_equal_values() {
    let sandbox = project();
    sandbox.ok(&["dev.files", "prod.files"]);
    let expected = [
        ("PORT", "8000"),
        ("NAME", "it's \"me\" $HOME #1"),
        ("JSON", "{\"a\": [1, \"b c\"]}"),
        ("HASH", "$2b$12$abcdefghijklmnopqrstuv"),
        ("LINES", "one\ntwo\n"),
        ("UNICODE", "grüße ☃"),
        ("DEBUG", "false"),
        ("RATE", "0.5"),
        ("URL", "http://localhost:8000/sesame-open-42"),
        ("TOKEN", SECRET),
    ];
    let dotenv = sandbox.read(".env.dev");
    let loaded = ::dotenv::EnvLoader::with_reader(dotenv.as_bytes()).load().unwrap();
    let json: serde_json::Value = serde_json::from_str(&sandbox.read("out/dev.json")).unwrap();
    for (name, value) in expected {
        assert_eq!(by_sh(&sandbox, ".env.dev", name), value, "{name}");
        assert_eq!(loaded.get(name).map(String::as_str), Some(value), "{name}");
        if !["URL", "TOKEN"].contains(&name) {
            assert_eq!(by_sh(&sandbox, "out/dev.sh", name), value, "{name}");
        }
        let typed = &json[name];
        assert_eq!(typed.as_str().map_or_else(|| typed.to_string(), str::to_owned), value, "{name}");
    }
    // In the order declared, without what has no value and without ENVRUN_*.
    let names: Vec<&str> = dotenv.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
    assert_eq!(names.len(), expected.len(), "{dotenv}");
    assert_eq!(json["PORT"], 8000);
    assert_eq!(json["DEBUG"], false);
    assert_eq!(json["RATE"], 0.5);
    assert!(!sandbox.read("out/dev.sh").contains(SECRET));
    expect![[r#"
        apiVersion: v1
        kind: Secret
        metadata:
          name: "app-dev"
          namespace: "web"
        type: Opaque
        data:
          "URL": "aHR0cDovL2xvY2FsaG9zdDo4MDAwL3Nlc2FtZS1vcGVuLTQy"
          "TOKEN": "c2VzYW1lLW9wZW4tNDI="
    "#]]
    .assert_eq(&sandbox.read("out/dev.yaml"));
    expect![[r#"
        listen 9001
        env prod
        quiet
    "#]]
    .assert_eq(&sandbox.read("out/prod.conf"));
}

#[test]
fn what_holds_a_secret_is_for_the_owner_and_not_for_git() {
    let sandbox = project();
    sandbox.ok(&["dev.files"]);
    assert_eq!(mode(&sandbox, ".env.dev"), 0o600);
    assert_eq!(mode(&sandbox, "out/dev.yaml"), 0o600);
    assert_ne!(mode(&sandbox, "out/dev.conf") & 0o044, 0, "no secret is in it");
    // Nothing else that was written or said has the secret in it.
    let found = Command::new("grep").args(["-rl", SECRET, "."]).current_dir(sandbox.root()).output().unwrap();
    let mut files: Vec<String> =
        String::from_utf8(found.stdout).unwrap().lines().map(str::to_owned).collect();
    files.sort();
    assert_eq!(files, ["./.env.dev", "./out/dev.json"]);

    // Opened by somebody, it is closed again.
    let path = sandbox.root().join(".env.dev");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    sandbox.ok(&["dev.files"]);
    assert_eq!(mode(&sandbox, ".env.dev"), 0o600);

    // Git sees it now, and the next `git add` would take it along.
    sandbox.write(".gitignore", "/.envrun/\n/out/\n");
    let ran = sandbox.run(&["dev.files"]);
    assert_eq!(ran.exit, 3, "{}", ran.text());
    assert!(ran.stderr.contains("git does not ignore it"), "{}", ran.text());

    std::fs::remove_file(&path).unwrap();
    let ran = sandbox.run(&["dev.files"]);
    assert_eq!(ran.exit, 3, "{}", ran.text());
    assert!(
        ran.stderr.contains("`.env.dev` would hold a secret, and git does not ignore it"),
        "{}",
        ran.text()
    );
    assert!(ran.stderr.contains("echo '/.env.dev' >> .gitignore"), "{}", ran.text());
    assert!(!sandbox.exists(".env.dev"));
}

#[test]
fn what_is_unchanged_is_not_written_again() {
    let sandbox = project();
    sandbox.ok(&["dev.files"]);
    let before = std::fs::metadata(sandbox.root().join(".env.dev")).unwrap();
    let ran = sandbox.ok(&["dev.files"]);
    assert!(ran.stdout.contains(".env.dev is unchanged"), "{}", ran.text());
    let after = std::fs::metadata(sandbox.root().join(".env.dev")).unwrap();
    use std::os::unix::fs::MetadataExt;
    assert_eq!((before.ino(), before.mtime_nsec()), (after.ino(), after.mtime_nsec()));
    // Another value is no change by hand.
    let ran = sandbox.ok(&["dev.files", "--set", "PORT=8080"]);
    assert!(ran.stdout.contains("wrote .env.dev"), "{}", ran.text());
    assert_eq!(by_sh(&sandbox, ".env.dev", "PORT"), "8080");
    // A plan says what would be rendered.
    let ran = sandbox.ok(&["-n", "dev.files"]);
    assert!(ran.stderr.contains("$ render .env.dev"), "{}", ran.text());
}

#[test]
fn a_change_by_hand_is_shown_and_left_alone_without_force() {
    let sandbox = project();
    sandbox.ok(&["dev.files"]);
    let by_hand = sandbox
        .read(".env.dev")
        .replace("PORT=8000", "PORT=8001")
        .replace(&format!("TOKEN={SECRET}"), "TOKEN=another-secret-of-mine\nEXTRA=mine-alone");
    sandbox.write(".env.dev", &by_hand);
    let ran = sandbox.run(&["dev.files"]);
    assert_eq!(ran.exit, 3, "{}", ran.text());
    for wanted in ["- PORT=8001", "+ PORT=8000", "- TOKEN=***", "`envrun dev.files --force` overwrites it"] {
        assert!(ran.stderr.contains(wanted), "{wanted}\n{}", ran.text());
    }
    for hidden in [SECRET, "another-secret-of-mine", "mine-alone"] {
        assert!(!ran.text().contains(hidden), "{hidden}\n{}", ran.text());
    }
    assert_eq!(sandbox.read(".env.dev"), by_hand);
    // Whoever asks is told before.
    let ran = sandbox.ok(&["check"]);
    assert!(
        ran.stderr.contains("`.env.dev` was changed by hand since `dev.files` rendered it"),
        "{}",
        ran.text()
    );
    let ran = sandbox.run(&["doctor", "dev"]);
    assert!(ran.stdout.contains("warn .env.dev"), "{}", ran.text());
    assert!(ran.stdout.contains("as `dev.files` rendered it"), "{}", ran.text());
    // The other environment has nothing to do with it.
    sandbox.ok(&["prod.files"]);
    sandbox.ok(&["dev.files", "--force"]);
    assert_eq!(by_sh(&sandbox, ".env.dev", "PORT"), "8000");
    sandbox.ok(&["dev.files"]);
}

#[test]
fn a_file_that_envrun_did_not_write_is_somebodys_unless_git_has_it() {
    let sandbox = Sandbox::with(&[
        ("Envfile.kdl", "vars { A 1 }\ntask \"f\" { render \"a.env\" format=\"dotenv\" }"),
        ("a.env", "A=by hand\n"),
    ]);
    let ran = sandbox.run(&["f"]);
    assert_eq!(ran.exit, 3, "{}", ran.text());
    assert!(ran.stderr.contains("`a.env` is there, and was not written by envrun"), "{}", ran.text());
    assert!(ran.stderr.contains("- A=by hand"), "{}", ran.text());
    let git = |args: &[&str]| {
        let ran = Command::new("git")
            .args(["-c", "user.name=t", "-c", "user.email=t@e"])
            .args(args)
            .current_dir(sandbox.root())
            .status();
        assert!(ran.unwrap().success());
    };
    git(&["init", "-q"]);
    git(&["add", "a.env"]);
    git(&["commit", "-q", "-m", "a"]);
    sandbox.ok(&["f"]);
    assert_eq!(sandbox.read("a.env"), "A=1\n");
}

#[test]
fn a_task_with_outputs_is_up_to_date_as_long_as_no_value_changed() {
    let sandbox = Sandbox::with(&[
        (
            "Envfile.kdl",
            "vars { A 1; B \"x\" }\nenv \"dev\"\nenv \"uat\"\nenv \"prod\" { vars { B \"y\" } }\n\
             task \"conf\" { inputs \"in\"; render \"conf-${B}\" template=\"t.j2\" }\n\
             task \"use\" { needs \"conf\"; inputs \"in\"; outputs \"used\"; run \"cat conf-x > used\" }\n",
        ),
        ("in", ""),
        ("t.j2", "{{ A }}\n"),
    ]);
    sandbox.ok(&["dev.use"]);
    let ran = sandbox.ok(&["dev.use", "-v"]);
    assert!(ran.stderr.contains("2 up to date"), "{}", ran.text());
    // Environments that say the same share the task.
    let ran = sandbox.ok(&["uat.use", "-v"]);
    assert!(ran.stderr.contains("2 up to date"), "{}", ran.text());
    // A value, the template and the file itself count, and what needs the file is made again.
    let ran = sandbox.ok(&["dev.use", "--set", "A=2"]);
    assert!(ran.stderr.contains("2 executed"), "{}", ran.text());
    assert_eq!(sandbox.read("used"), "2\n");
    sandbox.write("t.j2", "a {{ A }}\n");
    sandbox.ok(&["dev.use"]);
    assert_eq!(sandbox.read("used"), "a 1\n");
    std::fs::remove_file(sandbox.root().join("conf-x")).unwrap();
    sandbox.ok(&["dev.use"]);
    assert_eq!(sandbox.read("conf-x"), "a 1\n");
    sandbox.write("conf-x", "by hand\n");
    assert_eq!(sandbox.run(&["dev.use"]).exit, 3);
    assert_eq!(sandbox.read("conf-x"), "by hand\n");
}

#[test]
fn what_needs_a_rendered_file_sees_that_it_changed() {
    let sandbox = Sandbox::with(&[
        (
            "Envfile.kdl",
            "vars { A 1 }\ntask \"env\" { render \"a.env\" format=\"dotenv\" }\n\
             task \"use\" { needs \"env\"; inputs \"in\"; outputs \"used\"; run \"cat a.env > used\" }\n",
        ),
        ("in", ""),
    ]);
    sandbox.ok(&["use"]);
    let ran = sandbox.ok(&["use", "-v"]);
    assert!(ran.stderr.contains("1 up to date"), "{}", ran.text());
    sandbox.ok(&["use", "--set", "A=2"]);
    assert_eq!(sandbox.read("used"), "A=2\n");
}

#[test]
fn a_wrong_template_is_told_with_its_line_and_the_nearest_name() {
    let sandbox = Sandbox::with(&[
        ("Envfile.kdl", "vars { PORT 1; (port)OTHER }\ntask \"f\" { render \"a\" template=\"t.j2\" }"),
        ("t.j2", "one\n{{ PROT }}\n"),
    ]);
    let said = |sandbox: &Sandbox| {
        let ran = sandbox.run(&["f"]);
        assert_eq!(ran.exit, 1, "{}", ran.text());
        let from = ran.stderr.find("cannot render").unwrap_or_else(|| panic!("{}", ran.text()));
        ran.stderr[from..].lines().take(2).collect::<Vec<_>>().join("\n")
    };
    expect![[r#"
        cannot render `a`: t.j2:2: `PROT` is not declared
        hint: did you mean `PORT`?"#]]
    .assert_eq(&said(&sandbox));
    sandbox.write("t.j2", "{{ OTHER }}\n");
    expect![[r#"
        cannot render `a`: t.j2:1: `OTHER` has no value
        hint: give it one in an `env` block, in a dotenv file, or with `--set OTHER=…`"#]]
    .assert_eq(&said(&sandbox));
    sandbox.write("t.j2", "{% if x }\n");
    assert!(said(&sandbox).contains("t.j2:1: syntax error"), "{}", said(&sandbox));
    sandbox.write("t.j2", "{{ PORT.upper() }}\n");
    assert!(said(&sandbox).contains("hint: filters are what Python has methods for"), "{}", said(&sandbox));
    assert!(!sandbox.exists("a"));
}

#[test]
fn a_render_that_makes_no_sense_is_told_with_its_place() {
    let sandbox = Sandbox::new(
        r#"
vars { A 1 }
env "a"
env "b"
task "one" { render "x" format="k8s-secret"; render "y" template="t" only="vars"; render "z" format="json" name="n" }
task "two" { render "../out" format="json"; render "w" format="dotenv" }
task "three" { outputs "w"; run "true" }
task "both" { render "same" format="json" }
"#,
    );
    sandbox.check(
        &["check"],
        expect![[r#"
        exit: 2
        --- stderr
        Envfile.kdl:5:14: error: a Kubernetes secret has a name [syntax/missing-property]
          help: add `name="…"`
        Envfile.kdl:5:70: error: `only` means nothing here [syntax/contradiction]
          help: a template mentions the variables that it wants
        Envfile.kdl:5:108: error: `name` means nothing here [syntax/contradiction]
          help: only a Kubernetes secret has one: `format="k8s-secret"`
        Envfile.kdl:6:21: error: the rendered file `../out` lies outside the project [load/outside]
          help: what a task reads and makes, and where it runs, is in the folder of the root Envfile or below
        Envfile.kdl:7:24: error: `three` and `two` would write over each other's outputs [load/outputs]
        Envfile.kdl:6:52: note: `two` makes this
          help: give each its own place, or make one task of them
    "#]],
    );
    sandbox.write(
        "Envfile.kdl",
        "vars { A 1 }\nenv \"a\"\nenv \"b\"\ntask \"both\" { render \"same\" format=\"json\" }",
    );
    let ran = sandbox.run(&["a.both", "b.both"]);
    assert_eq!(ran.exit, 2, "{}", ran.text());
    assert!(ran.stderr.contains("would write over each other's output"), "{}", ran.text());
}

#[test]
fn no_link_leads_a_rendered_file_out_of_the_project() {
    let sandbox = Sandbox::new("vars { A 1 }\ntask \"f\" { render \"out/a\" format=\"json\" }");
    let outside = sandbox.root().parent().unwrap().join("elsewhere");
    std::fs::create_dir_all(&outside).unwrap();
    std::os::unix::fs::symlink(&outside, sandbox.root().join("out")).unwrap();
    let ran = sandbox.run(&["f"]);
    assert_eq!(ran.exit, 1, "{}", ran.text());
    assert!(ran.stderr.contains("leads out of the project"), "{}", ran.text());
    assert!(std::fs::read_dir(&outside).unwrap().next().is_none());
}
