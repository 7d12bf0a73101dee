//! Values that leave envrun in every form, read back by the programs they are for.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::{Command, Output};

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::sandbox::{Sandbox, need};

/// Values that people have, and that break what is careless.
const KNOWN: &[&str] = &[
    "",
    "plain",
    "two words",
    "  blanks around  ",
    "$HOME",
    "pa$$w0rd",
    "$(id) `id`",
    "$2b$12$abcdefghijklmnopqrstuv",
    r#"{"a": "b c", "d": [1, 2.5, null], "e": "$x"}"#,
    r#"{"a": "it's"}"#,
    "it's",
    r#"say "hi""#,
    r#"both ' and ""#,
    "a#b",
    "a #b",
    "# no comment",
    "one\ntwo\n\nfour\n",
    "-----BEGIN KEY-----\nab+/==\n-----END KEY-----\n",
    "C:\\new\\table",
    "\\\\server\\share",
    "a=b;c&d|e>f",
    "tab\there",
    "!x *?[a] ~ ~/x {a,b}",
    "grüße ☃",
    // No dotenv line says these to everybody.
    "it's $HOME",
    "ends in \\",
    "'\\",
    "${HOME} and ${A:-b}",
    "it's `id`",
    "carriage\rreturn",
];

/// All of [`KNOWN`], and as many again that nobody thought of, by name.
fn values() -> BTreeMap<String, String> {
    let mut runner = TestRunner::deterministic();
    let any = r#"([a-zA-Z0-9 ._-]{1,4}|[a-z]{2}|["\n#{}:=~!&|;<>()*?\t,-]|[$'`\\]|\$\{A\}){1,5}"#;
    let mut drawn = || any.new_tree(&mut runner).unwrap().current();
    let mut values: Vec<String> = KNOWN.iter().map(|&value| value.to_owned()).collect();
    values.extend((0..120).map(|_| drawn()));
    values.into_iter().enumerate().map(|(number, value)| (format!("V{number:03}"), value)).collect()
}

/// A project that declares them, and takes them from the caller's variables, which no form has touched.
fn project(values: &BTreeMap<String, String>) -> Sandbox {
    let rows: String = values.keys().map(|name| format!("    {name}\n")).collect();
    let mut sandbox = Sandbox::new(&format!(
        r#"
vars {{
{rows}}}
task "files" {{
    render "values.env" format="dotenv"
    render "values.sh" format="shell"
    render "values.json" format="json"
    render "values.yaml" format="k8s-secret" name="values" namespace="web"
}}
"#
    ));
    for (name, value) in values {
        sandbox.set(name, value);
    }
    sandbox
}

/// What a shell knows after it has read a file, by name.
fn by_shell(
    shell: &str,
    sandbox: &Sandbox,
    file: &str,
    values: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let prints: String = values.keys().map(|name| format!("printf '%s\\0' \"${name}\"\n")).collect();
    let output = Command::new(shell)
        .args(["-eu", "-c", &format!(". ./{file}\n{prints}")])
        .current_dir(sandbox.root())
        .env_clear()
        .output()
        .unwrap();
    assert!(output.status.success(), "{shell}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    values.keys().cloned().zip(text.split('\0').map(str::to_owned)).collect()
}

fn by_json(text: &str) -> BTreeMap<String, String> {
    let object: BTreeMap<String, serde_json::Value> = serde_json::from_str(text).unwrap();
    object.into_iter().map(|(name, value)| (name, value.as_str().unwrap().to_owned())).collect()
}

/// How GitHub's runner reads `$GITHUB_ENV`.
fn by_github(text: &str) -> BTreeMap<String, String> {
    let mut read = BTreeMap::new();
    let mut lines = text.split('\n');
    while let Some((name, delimiter)) = lines.next().and_then(|line| line.split_once("<<")) {
        let value: Vec<&str> = lines.by_ref().take_while(|line| *line != delimiter).collect();
        read.insert(name.to_owned(), value.join("\n"));
    }
    read
}

/// The names that a command said somebody misreads: by docker-compose 1, and by most programs. What only node misreads is
/// neither.
fn told(said: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let mut told = (BTreeSet::new(), BTreeSet::new());
    for line in said.lines().filter(|line| line.contains("will read another value of")) {
        let name = line.split('`').nth(1).unwrap().to_owned();
        if line.contains("docker-compose 1") {
            told.0.insert(name)
        } else if line.contains("most programs") {
            told.1.insert(name)
        } else {
            assert!(line.contains("node and npm's dotenv"), "{line}");
            false
        };
    }
    told
}

#[track_caller]
fn equal(
    reader: &str,
    read: &BTreeMap<String, String>,
    values: &BTreeMap<String, String>,
    but: &dyn Fn(&str) -> bool,
) {
    for (name, value) in values.iter().filter(|(name, _)| !but(name)) {
        assert_eq!(read.get(name), Some(value), "{reader} reads {name}");
    }
}

#[test]
fn every_form_says_every_value_to_those_it_is_for() {
    let values = values();
    let sandbox = project(&values);
    let files = sandbox.ok(&["files"]);
    let export = sandbox.ok(&["env", "export", "--format", "dotenv"]);
    sandbox.write("export.env", &export.stdout);
    sandbox.write("export.sh", sandbox.ok(&["env", "export", "--format", "shell"]).stdout);
    let (compose, more) = told(&export.stderr);
    assert_eq!(told(&files.text()), (compose.clone(), more.clone()));
    assert_eq!(sandbox.read("values.env"), export.stdout);
    // Few of them, and those of the list's end for sure.
    assert!(compose.len() + more.len() < values.len() / 2, "{compose:?} {more:?}");
    for (name, known) in values.keys().zip(KNOWN) {
        let is_told = compose.contains(name) || more.contains(name);
        assert_eq!(is_told, KNOWN[24..].contains(known), "{known:?}");
    }

    let all = |_: &str| false;
    for shell in ["sh", "bash"] {
        for file in ["values.sh", "export.sh"] {
            equal(shell, &by_shell(shell, &sandbox, file, &values), &values, &all);
        }
        // A shell's one gap: it knows no escape for a carriage return.
        let gap = |name: &str| values[name].contains('\r');
        equal(shell, &by_shell(shell, &sandbox, "values.env", &values), &values, &gap);
    }
    equal("JSON", &by_json(&sandbox.read("values.json")), &values, &all);
    equal("JSON", &by_json(&sandbox.ok(&["env", "export", "--format", "json"]).stdout), &values, &all);
    equal("GitHub", &by_github(&sandbox.ok(&["env", "export", "--format", "github"]).stdout), &values, &all);
    let loaded = dotenv::EnvLoader::with_reader(export.stdout.as_bytes()).load().unwrap();
    let loaded = loaded.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    equal("dotenv-ng", &loaded, &values, &|name| more.contains(name));
    // envrun itself misreads nothing.
    let rows: String = values.keys().map(|name| format!("    {name}\n")).collect();
    let again = Sandbox::with(&[
        ("Envfile.kdl", &format!("vars {{\n{rows}}}\ndotenv \".env\"\n")),
        (".env", &export.stdout),
    ]);
    equal("envrun", &by_json(&again.ok(&["env", "export", "--format", "json"]).stdout), &values, &all);
}

/// docker-compose's own parser, by way of what it makes of a file of services.
#[test]
fn docker_compose_reads_what_it_is_not_said_to_misread() {
    if !need("docker-compose", "docker-compose") {
        return;
    }
    let values = values();
    let sandbox = project(&values);
    let (compose, more) = told(&sandbox.ok(&["files"]).text());
    let rows: String = values.keys().map(|name| format!("      {name}: \"${{{name}}}\"\n")).collect();
    sandbox.write(
        "docker-compose.yml",
        format!(
            "version: \"3\"\nservices:\n  file:\n    image: x\n    env_file: values.env\n  filled:\n    image: x\n    \
             environment:\n{rows}"
        ),
    );
    let output = Command::new("docker-compose")
        .args(["--env-file", "values.env", "config"])
        .current_dir(sandbox.root())
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("A", "somebody else's")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    sandbox.write("config.yml", &output.stdout);
    // docker-compose is a program in Python and brings a YAML parser along.
    let script = "import json, yaml; print(json.dumps(yaml.safe_load(open('config.yml'))))";
    let output =
        Command::new("/usr/bin/python3").args(["-c", script]).current_dir(sandbox.root()).output().unwrap();
    let config: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let is_told = |name: &str| compose.contains(name) || more.contains(name);
    for (service, what) in [("file", "env_file:"), ("filled", "--env-file")] {
        let read = config["services"][service]["environment"].as_object().unwrap();
        // It writes `$` twice, so that its output can be its input.
        let read = read
            .iter()
            .map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().replace("$$", "$")));
        let read: BTreeMap<String, String> = read.collect();
        equal(what, &read, &values, &is_told);
        // Nothing is told that it reads well, and what it misreads is no other line's loss.
        assert_eq!(read.len(), values.len());
        let well: Vec<_> = compose.iter().filter(|name| read[*name] == values[*name]).collect();
        assert!(well.is_empty(), "{what} reads all the same: {well:?}");
    }
}

/// As much of a Kubernetes server as `kubectl` asks on its way to a dry run: which kinds there are.
fn kinds() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let mut line = String::new();
                while reader.read_line(&mut line).is_ok_and(|count| count > 0) {
                    let path = line.split([' ', '?']).nth(1).unwrap_or_default().to_owned();
                    while line.trim_end() != "" {
                        line.clear();
                        if reader.read_line(&mut line).is_err() {
                            return;
                        }
                    }
                    line.clear();
                    let body = match path.as_str() {
                        "/api" => r#"{"kind": "APIVersions", "versions": ["v1"]}"#,
                        "/apis" => r#"{"kind": "APIGroupList", "apiVersion": "v1", "groups": []}"#,
                        "/api/v1" => {
                            r#"{"kind": "APIResourceList", "groupVersion": "v1", "resources": [{"name": "secrets",
                                "singularName": "secret", "namespaced": true, "kind": "Secret", "verbs": ["create"]}]}"#
                        }
                        _ => "",
                    };
                    let status = if body.is_empty() { "404 Not Found" } else { "200 OK" };
                    let answer = format!(
                        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                        body.len()
                    );
                    if stream.write_all(answer.as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// `kubectl` where there is one: what is written is a Secret to it, and the same one that it makes itself. Without one the
/// bytes are compared with what is written down here.
#[test]
fn kubectl_takes_the_secret() {
    let values = values();
    let sandbox = project(&values);
    sandbox.ok(&["files"]);
    let text = sandbox.read("values.yaml");
    let head = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: \"values\"\n  namespace: \"web\"\ntype: Opaque\ndata:\n";
    let rows: String = values
        .iter()
        .map(|(name, value)| {
            use base64::Engine as _;
            format!("  \"{name}\": \"{}\"\n", base64::engine::general_purpose::STANDARD.encode(value))
        })
        .collect();
    assert_eq!(text, format!("{head}{rows}"));
    if Command::new("kubectl").arg("help").output().is_err() {
        return;
    }
    let kubectl = |args: &[&str]| -> Output {
        Command::new("kubectl")
            .args(args)
            .current_dir(sandbox.root())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", sandbox.root())
            .output()
            .unwrap()
    };
    let json = |output: Output| -> serde_json::Value {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let dry = ["--dry-run=client", "-o", "json"];
    let server = kinds();
    let taken = json(kubectl(
        &[&["--server", &server, "create", "-f", "values.yaml", "--validate=false"], &dry[..]].concat(),
    ));
    let literals: Vec<String> =
        values.iter().map(|(name, value)| format!("--from-literal={name}={value}")).collect();
    let literals: Vec<&str> = literals.iter().map(String::as_str).collect();
    let made = json(kubectl(
        &[&["create", "secret", "generic", "values", "-n", "web"], &literals[..], &dry[..]].concat(),
    ));
    assert_eq!(taken["data"], made["data"]);
    assert_eq!(taken["metadata"]["namespace"], "web");
    assert_eq!(taken["type"], "Opaque");
}
