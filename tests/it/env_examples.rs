//! The environments of `examples/multimodal-stack` and `examples/agent-orchestrator`, against the files they name.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use serde_json::Value;

use crate::example::Example;
use crate::sandbox::{Sandbox, need};

/// An example in a folder of its own.
fn example(name: &str) -> Sandbox {
    Example::of(name).sandbox
}

fn json(sandbox: &Sandbox, args: &[&str]) -> Value {
    serde_json::from_str(&sandbox.ok(args).stdout).unwrap()
}

fn names(rows: &Value) -> Vec<&str> {
    rows.as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect()
}

#[test]
fn eight_environments_from_one_schema() {
    let sandbox = example("multimodal-stack");
    sandbox.ok(&["check", "--strict"]);
    let rows = json(&sandbox, &["env", "list", "--format", "json"]);
    let all = [
        "stack",
        "development",
        "staging",
        "production",
        "testing",
        "performance",
        "monitoring",
        "optimized",
    ];
    assert_eq!(names(&rows), all);
    assert_eq!(rows[3]["guard"], serde_json::json!(["branch \"main\"", "clean"]));
    assert_eq!(rows[2]["extends"], "stack");

    // D17: what the stack declares is in every environment that extends it, secrets included.
    for env in ["development", "staging", "production", "monitoring", "optimized"] {
        let shown = json(&sandbox, &["env", "show", env, "--format", "json"]);
        let shown = names(&shown["values"]);
        for name in ["POSTGRES_PASSWORD", "POSTGRES_DB", "VLLM_MAX_MODEL_LEN", "GPU_COUNT"] {
            assert!(shown.contains(&name), "{env} has no {name}");
        }
    }

    // D16, 000-18: one table; what clashes is found without starting anything.
    let table = json(&sandbox, &["env", "show", "--ports", "--format", "json"]);
    assert_eq!(table["rows"].as_array().unwrap().len(), 25);
    let clash = |port: u16| {
        table["clashes"].as_array().unwrap().iter().find(|clash| clash["port"] == port).unwrap()["uses"]
            .clone()
    };
    assert_eq!(
        clash(8080),
        serde_json::json!([["testing", "ALLURE_REPORT_PORT"], ["performance", "JMETER_RESULTS_PORT"]])
    );
    assert_eq!(clash(5432).as_array().unwrap().len(), 5);
}

#[test]
fn staging_and_production_differ_in_what_is_written_down() {
    let sandbox = example("multimodal-stack");
    let diff = json(&sandbox, &["env", "diff", "staging", "production", "--strict", "--format", "json"]);
    assert_eq!(
        names(&diff["entries"]),
        [
            "LOG_LEVEL",
            "COMPOSE_FILE",
            "VLLM_GPU_MEMORY_UTILIZATION",
            "VLLM_MAX_MODEL_LEN",
            "PROMETHEUS_PORT",
            "GRAFANA_PORT"
        ]
    );
    assert_eq!(diff["requires"]["only_b"], serde_json::json!(["memory min=\"20GiB\""]));
}

#[test]
fn what_this_machine_knows_of_one_environment_is_synced_to_another() {
    let sandbox = example("multimodal-stack");
    let all = ["development", "staging", "testing", "performance", "monitoring", "optimized"];
    // Nobody lacks a variable that could be added: each can be synced with each, secrets are made.
    for (from, to) in all.iter().flat_map(|from| all.iter().map(move |to| (from, to))).filter(|(a, b)| a != b)
    {
        sandbox.ok(&["env", "sync", from, to, "-n"]);
    }
    let development =
        "MODEL_CACHE=/srv/models\nSHARED_MEMORY=8GiB\nPOSTGRES_PASSWORD=of-development\nUNKNOWN=1\n";
    let staging = "# this machine\nSHARED_MEMORY=2GiB\nN8N_PASSWORD='of staging'\nONLY_HERE=yes\n";
    sandbox.write("environments/development.env", development);
    sandbox.write("environments/staging.env", staging);
    let sync = ["env", "sync", "development", "staging"];
    // One: the plan.
    let plan = json(&sandbox, &[&sync[..], &["-n", "--format", "json"]].concat());
    assert_eq!(plan["file"], "environments/staging.env");
    assert_eq!(names(&plan["add"]), ["MODEL_CACHE"]);
    assert_eq!(names(&plan["left"]), ["UNKNOWN", "OVERRIDE_FILE", "POSTGRES_PASSWORD"]);
    assert_eq!(plan["secrets"].as_array().unwrap().len(), 8);
    assert_eq!(sandbox.read("environments/staging.env"), staging);
    // What staging may not have is refused, by name, and nothing was done: not even a secret was made.
    sandbox.write(
        "environments/development.env",
        development.replace("MODEL_CACHE=/srv/models", "MODEL_CACHE="),
    );
    let refused = sandbox.run(&sync);
    assert_eq!(refused.exit, 2, "{}", refused.text());
    assert!(
        refused.stderr.contains("environments/development.env:1") && refused.stderr.contains("MODEL_CACHE"),
        "{}",
        refused.text()
    );
    assert_eq!(sandbox.read("environments/staging.env"), staging);
    assert!(
        !sandbox.exists(".envrun/secrets/staging.env") && !sandbox.exists(".envrun/env/staging/snapshots")
    );
    sandbox.write("environments/development.env", development);
    // Two to seven.
    sandbox.ok(&sync);
    let after = format!("{staging}# from development (envrun env sync)\nMODEL_CACHE=/srv/models\n");
    assert_eq!(sandbox.read("environments/staging.env"), after);
    let secrets = sandbox.read(".envrun/secrets/staging.env");
    assert_eq!(secrets.lines().filter(|line| line.contains('=')).count(), 8, "{secrets}");
    assert!(!secrets.contains("of-development") && !secrets.contains("N8N_PASSWORD"), "{secrets}");
    let values = json(&sandbox, &["env", "export", "staging", "--format", "json"]);
    assert_eq!(values["N8N_PASSWORD"], "of staging");
    assert_eq!(values["SHARED_MEMORY"], "2GiB");
    let copies = sandbox.root().join(".envrun/env/staging/snapshots");
    let copy = std::fs::read_dir(copies).unwrap().next().unwrap().unwrap().path().join("1/data/0.env");
    assert_eq!(std::fs::read_to_string(copy).unwrap(), staging);
    // Nothing is left to do.
    assert!(sandbox.ok(&sync).stdout.starts_with("staging lacks nothing that can be added"));
    assert_eq!(sandbox.read(".envrun/secrets/staging.env"), secrets);
    // Production's guard stands before all of it.
    assert_eq!(sandbox.run(&["env", "sync", "staging", "production"]).exit, 3);
    assert!(
        !sandbox.exists("environments/production.env") && !sandbox.exists(".envrun/secrets/production.env")
    );
}

#[test]
fn exported_values_name_real_files_and_secrets_are_made_once() {
    let sandbox = example("multimodal-stack");
    for env in ["development", "staging", "testing", "performance", "monitoring", "optimized"] {
        let values = json(&sandbox, &["env", "export", env, "--format", "json"]);
        for name in ["COMPOSE_FILE", "OVERRIDE_FILE"] {
            if let Some(file) = values[name].as_str() {
                assert!(sandbox.exists(file), "{env} names {file}");
            }
        }
        let text = sandbox.ok(&["env", "export", env]).stdout;
        let read = dotenv::EnvLoader::with_reader(text.as_bytes()).load().unwrap();
        for (name, value) in values.as_object().unwrap() {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            assert_eq!(read.get(name), Some(&value), "{env} {name}");
        }
    }
    // D3, D18: each environment's are its own, and stay.
    let password = |env| {
        json(&sandbox, &["env", "export", env, "--format", "json"])["POSTGRES_PASSWORD"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let (staging, development) = (password("staging"), password("development"));
    assert_eq!((staging.len(), development.len()), (32, 32));
    assert_ne!(staging, development);
    assert_eq!(password("staging"), staging);
    // Production's are behind its guard.
    assert_eq!(sandbox.run(&["env", "export", "production"]).exit, 3);
}

#[test]
fn the_doctor_looks_at_every_environment() {
    let sandbox = example("multimodal-stack");
    let all = ["development", "staging", "production", "testing", "performance", "monitoring", "optimized"];
    let mut args = vec!["doctor", "--format", "json"];
    args.extend(all);
    // This machine may have no docker and no GPU: the report is whole all the same.
    let report: Value = serde_json::from_str(&sandbox.run(&args).stdout).unwrap();
    let groups = report["groups"].as_array().unwrap();
    for env in all {
        let group = groups.iter().find(|group| group["environment"] == env).unwrap();
        let checks = group["checks"].as_array().unwrap();
        let compose = checks.iter().find(|check| check["kind"] == "file").unwrap();
        assert_eq!(compose["status"], "pass", "{env}: {compose}");
        for kind in ["tool", "memory", "disk"] {
            assert!(checks.iter().any(|check| check["kind"] == kind), "{env} is not asked for {kind}");
        }
        let values = checks.iter().filter(|check| check["kind"] == "value");
        assert!(
            values.clone().all(|check| check["status"] != "fail"),
            "{env}: {:?}",
            values.collect::<Vec<_>>()
        );
    }
}

/// Where a Kubernetes secret holds a name, in base64.
fn k8s(text: &str, name: &str) -> Option<String> {
    use base64::Engine as _;
    let line = text.lines().find_map(|line| line.trim().strip_prefix(&format!("\"{name}\": ")))?;
    let bytes = base64::engine::general_purpose::STANDARD.decode(line.trim_matches('"')).unwrap();
    Some(String::from_utf8(bytes).unwrap())
}

/// A dotenv file, and the values that must be read from it.
type Written = (String, BTreeMap<String, String>);

/// The values of an environment as texts.
fn texts(values: &Value) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    values.as_object().unwrap().iter().map(|(name, value)| (name.clone(), text(value))).collect()
}

/// Reads dotenv files as those do that they are for: with `sh`, with a library, with docker-compose. Each must have every
/// value, and nothing else.
fn read_back(sandbox: &Sandbox, written: &[Written]) {
    for (file, values) in written {
        let text = sandbox.read(file);
        let library = dotenv::EnvLoader::with_reader(text.as_bytes()).load().unwrap();
        // It adds the variables of the process, which a value of the file wins over.
        let library = library.iter().filter(|(name, _)| values.contains_key(*name));
        let library = library.map(|(name, value)| (name.clone(), value.clone()));
        assert_eq!(library.collect::<BTreeMap<_, _>>(), *values, "dotenv-ng reads {file}");

        let prints: String = values.keys().map(|name| format!("printf '%s\\0' \"${name}\"\n")).collect();
        let output = Command::new("sh")
            .args(["-eu", "-c", &format!(". ./{file}\n{prints}")])
            .current_dir(sandbox.root())
            .env_clear()
            .output()
            .unwrap();
        let read = String::from_utf8(output.stdout).unwrap();
        let shell: BTreeMap<String, String> =
            values.keys().cloned().zip(read.split('\0').map(str::to_owned)).collect();
        assert_eq!(shell, *values, "sh reads {file}: {}", String::from_utf8_lossy(&output.stderr));
    }
    if !need("docker-compose", "docker-compose") {
        return;
    }
    let mut services = "version: \"3\"\nservices:\n".to_owned();
    for (number, (file, _)) in written.iter().enumerate() {
        services.push_str(&format!("  s{number}: {{image: x, env_file: {file}}}\n"));
    }
    sandbox.write(".envrun/compose.yml", services);
    let config = compose(sandbox, &["--project-directory", ".", "-f", ".envrun/compose.yml"]);
    for (number, (file, values)) in written.iter().enumerate() {
        let read = config["services"][format!("s{number}")]["environment"].as_object().unwrap();
        let read =
            read.iter().map(|(name, value)| (name.clone(), value.as_str().unwrap().replace("$$", "$")));
        assert_eq!(read.collect::<BTreeMap<_, _>>(), *values, "docker-compose reads {file}");
    }
}

/// What docker-compose makes of its files.
fn compose(sandbox: &Sandbox, args: &[&str]) -> Value {
    let output = Command::new("docker-compose")
        .args(args)
        .arg("config")
        .current_dir(sandbox.root())
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .output()
        .unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    sandbox.write(".envrun/config.yml", &output.stdout);
    // docker-compose is a program in Python and brings a YAML parser along.
    let script = "import json, yaml; print(json.dumps(yaml.safe_load(open('.envrun/config.yml'))))";
    let output = Command::new("/usr/bin/python3").args(["-c", script]).current_dir(sandbox.root()).output();
    serde_json::from_slice(&output.unwrap().stdout).unwrap()
}

#[test]
fn every_rendered_file_is_read_back() {
    let example = Example::of("multimodal-stack");
    example.init();
    let sandbox = example.sandbox;
    let mut passwords = std::collections::BTreeSet::new();
    let listed = json(&sandbox, &["env", "list", "--format", "json"]);
    let concrete = listed.as_array().unwrap().iter().filter(|row| row["abstract"] != true);
    let all: Vec<&str> = concrete.map(|row| row["name"].as_str().unwrap()).collect();
    assert_eq!(all.len(), 7);
    let files: Vec<String> = all.iter().map(|env| format!("{env}.files")).collect();
    sandbox.ok(&files.iter().map(String::as_str).collect::<Vec<_>>());
    let mut written = Vec::new();
    for env in all {
        let values = json(&sandbox, &["env", "export", env, "--format", "json"]);
        assert!(sandbox.ok(&["env", "show", env]).stdout.contains("COMPOSE_FILE"));
        written.push((format!(".env.{env}"), texts(&values)));
        // The compose files of the example take their values from it; one with an override, one without.
        if ["development", "production"].contains(&env) && need("docker-compose", "docker-compose") {
            let file = format!(".env.{env}");
            let mut args = vec!["--env-file", &file];
            for name in ["COMPOSE_FILE", "OVERRIDE_FILE"] {
                args.extend(values[name].as_str().into_iter().flat_map(|file| ["-f", file]));
            }
            let config = compose(&sandbox, &args);
            let postgres = &config["services"]["postgres"]["environment"]["POSTGRES_PASSWORD"];
            assert_eq!(*postgres, values["POSTGRES_PASSWORD"], "{env}");
        }
        let secrets: Value = serde_json::from_str(&sandbox.read(&format!("secrets/{env}.json"))).unwrap();
        let manifest = sandbox.read(&format!("k8s-secrets-{env}.yaml"));
        for (name, value) in secrets.as_object().unwrap() {
            assert_eq!(values[name], *value, "{env} {name}");
            assert_eq!(k8s(&manifest, name).as_deref(), value.as_str(), "{env} {name}: {manifest}");
        }
        let Some(password) = values["POSTGRES_PASSWORD"].as_str() else {
            assert!(["testing", "performance"].contains(&env), "{env} has no password");
            continue;
        };
        passwords.insert(password.to_owned());
        let mode =
            std::fs::metadata(sandbox.root().join(format!(".env.{env}"))).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        sandbox.ok(&[&format!("{env}.override")]);
        let override_ = sandbox.read(&format!("docker-compose.{env}.rendered.yml"));
        assert!(
            override_.contains(&format!("--max-model-len {}", values["VLLM_MAX_MODEL_LEN"])),
            "{override_}"
        );
    }
    read_back(&sandbox, &written);
    // 000-07: as many passwords as environments.
    assert_eq!(passwords.len(), 5);
}

#[test]
fn the_four_environments_of_the_orchestrator() {
    let example = Example::of("agent-orchestrator");
    example.init();
    let sandbox = example.sandbox;
    sandbox.ok(&["dev.env-file", "test.env-file", "uat.env-file", "prod.env-file"]);
    let mut keys = std::collections::BTreeSet::new();
    let mut written = Vec::new();
    for (env, file) in [("dev", ".env.dev"), ("test", ".env.test"), ("uat", ".env.uat"), ("prod", ".env")] {
        let values = json(&sandbox, &["env", "export", env, "--format", "json"]);
        written.push((file.to_owned(), texts(&values)));
        keys.insert(values["AUTH_DEFAULT_KEY"].as_str().unwrap().to_owned());
        let shown = json(&sandbox, &["env", "show", env, "--format", "json"]);
        assert_eq!(
            names(&shown["values"]).len(),
            values.as_object().unwrap().len() + 1,
            "GOOGLE_API_KEY has none"
        );
        // Python may be too old here, uv missing and no Docker up; all else is well, the file that was rendered too.
        let report: Value =
            serde_json::from_str(&sandbox.run(&["doctor", env, "--format", "json"]).stdout).unwrap();
        for group in report["groups"].as_array().unwrap() {
            for check in group["checks"].as_array().unwrap() {
                let may = ["tool", "disk", "port", "inotify"].contains(&check["kind"].as_str().unwrap())
                    || ["docker daemon", "docker login"].contains(&check["name"].as_str().unwrap());
                assert!(may || check["status"] != "fail", "{env}: {check}");
            }
        }
        assert!(report.to_string().contains(&format!("as `{env}.env-file` rendered it")), "{report}");
    }
    read_back(&sandbox, &written);
    // D3: no two environments have the same key, and none has the one of an example file.
    assert_eq!(keys.len(), 4);
    // A second time nothing is written.
    let again = sandbox.ok(&["dev.env-file", "prod.env-file"]);
    assert_eq!(again.stdout.matches("is unchanged").count(), 2, "{}", again.text());
}

#[test]
fn an_environment_for_every_pull_request() {
    let sandbox = example("agent-orchestrator");
    sandbox.ok(&["check", "--strict"]);
    sandbox.ok(&["env", "create", "pr", "--number", "7"]);
    sandbox.ok(&["env", "create", "pr", "8"]);
    let table = json(&sandbox, &["env", "show", "--ports", "--format", "json"]);
    let made = |env: &str| table["rows"][0]["ports"][env].as_u64().unwrap();
    assert_ne!(made("pr-7"), made("pr-8"));
    let clashes = table["clashes"].to_string();
    assert!(!clashes.contains("pr-"), "{clashes}");
    let name = sandbox.ok(&["env", "exec", "pr-8", "--", "printenv", "APP_NAME"]).stdout;
    assert_eq!(name, "AgentOrchestrator PR 8\n");
    // 000-16: the seed's two environments on port 8000.
    assert!(clashes.contains(r#"["dev","PORT"],["build","PORT"],["prod","PORT"]"#), "{clashes}");
    sandbox.ok(&["env", "destroy", "pr-7", "pr-8"]);
    let diff = sandbox.run(&["env", "diff", "uat", "prod", "--strict"]);
    assert_eq!(diff.exit, 0, "{}", diff.text());
}

#[test]
fn a_laptop_a_server_and_production_are_told_apart() {
    let mut sandbox = example("pa-ecosystem");
    sandbox.ok(&["check", "--strict"]);
    // 002-05: where one is, or what one says.
    for (ssh, named, meant) in [
        ("", None, "laptop"),
        ("1.2.3.4", None, "server"),
        ("", Some("server"), "server"),
        ("1.2.3.4", Some("laptop"), "laptop"),
    ] {
        let mut command = sandbox.command(&["env", "exec"]);
        command.env_remove("SSH_CONNECTION").args(named).args(["--", "printenv", "ENVRUN_ENV"]);
        if !ssh.is_empty() {
            command.env("SSH_CONNECTION", ssh);
        }
        let ran = sandbox.ran(command.output().unwrap());
        assert_eq!(ran.stdout, format!("{meant}\n"), "{ssh:?} {named:?}: {}", ran.text());
    }
    // 002-02, 002-38, 002-39: what they have in common, and what not.
    let diff = json(&sandbox, &["env", "diff", "laptop", "server", "--strict", "--format", "json"]);
    let of = |name: &str| {
        let mut entries = diff["entries"].as_array().unwrap().iter();
        entries
            .find(|entry| entry["name"] == name)
            .cloned()
            .unwrap_or_else(|| panic!("{name} differs: {diff}"))
    };
    assert_eq!(
        (&of("MEMORY_LIMIT")["a"]["value"], &of("MEMORY_LIMIT")["b"]["value"]),
        (&"32MiB".into(), &"128MiB".into())
    );
    for name in ["LOG_LEVEL", "DEBUG", "API_PORT", "DB_PORT"] {
        of(name);
    }
    // 002-01, 002-22: the laptop knows nothing of production, and no password stands anywhere.
    sandbox.set("SSH_CONNECTION", "");
    let text = |env: &str| texts(&json(&sandbox, &["env", "export", env, "--format", "json"]));
    let (laptop, server) = (text("laptop"), text("server"));
    assert_ne!(laptop["POSTGRES_PASSWORD"], server["POSTGRES_PASSWORD"]);
    assert_eq!(laptop["PGPASSWORD"], laptop["POSTGRES_PASSWORD"]);
    let ports = json(&sandbox, &["env", "show", "--ports", "--format", "json"]);
    let of_production =
        ports["rows"].as_array().unwrap().iter().map(|row| row["ports"]["production"].to_string());
    for port in of_production {
        assert!(!laptop.values().any(|value| *value == port), "the laptop knows {port}");
    }
    // 002-24, D16: each has its own ports; two that had the same would be told before anything starts.
    assert!(!ports["clashes"].to_string().contains("production"), "{ports}");
    let envfile = sandbox.read("Envfile.kdl");
    sandbox.write("Envfile.kdl", envfile.replace("API_PORT 28284", "API_PORT 29283"));
    for args in [&["doctor", "server", "production"][..], &["doctor", "production", "server"]] {
        let clash = sandbox.run(args);
        assert_eq!(clash.exit, 3, "{}", clash.text());
        assert!(
            clash.stdout.contains(&format!("29283 is also the port of API_PORT of {}", args[1])),
            "{}",
            clash.text()
        );
    }
}

#[test]
fn a_file_that_is_gone_is_made_again_and_one_that_was_edited_is_not() {
    let example = Example::of("multimodal-stack");
    example.init();
    let sandbox = example.sandbox;
    sandbox.write(".env", "SOMEBODYS=own\n");
    sandbox.ok(&["development.files", "staging.files"]);
    let (development, staging) = (sandbox.read(".env.development"), sandbox.read(".env.staging"));
    // 003-06: with the same secrets, and nothing else is touched.
    std::fs::remove_file(sandbox.root().join(".env.staging")).unwrap();
    let ran = sandbox.ok(&["staging.files"]);
    assert_eq!(ran.stdout.matches("wrote ").count(), 1, "{}", ran.text());
    assert_eq!(
        (sandbox.read(".env.staging"), sandbox.read(".env.development")),
        (staging, development.clone())
    );
    // 003-13
    assert_eq!(sandbox.read(".env"), "SOMEBODYS=own\n");
    // 003-08: what was edited by hand is told, and not lost.
    let edited = development.replace("DEBUG=true", "DEBUG=false");
    assert_ne!(edited, development);
    sandbox.write(".env.development", &edited);
    assert!(sandbox.run(&["doctor", "testing"]).stdout.contains(".env.development"));
    let refused = sandbox.run(&["development.files"]);
    assert_eq!(refused.exit, 3, "{}", refused.text());
    assert!(refused.text().contains("DEBUG=false"), "{}", refused.text());
    assert_eq!(sandbox.read(".env.development"), edited);
    sandbox.ok(&["development.files", "--force"]);
    assert_eq!(sandbox.read(".env.development"), development);
}

#[test]
fn staging_is_production_but_for_its_size() {
    // 004-04, 004-01
    let sandbox = example("ai-sdlc");
    let diff = json(&sandbox, &["env", "diff", "staging", "prod", "--strict", "--format", "json"]);
    let mut differ = names(&diff["entries"]);
    differ.sort_unstable();
    assert_eq!(differ, ["DB", "LOG_LEVEL", "REPLICAS", "ROOT"]);
    let dev = json(&sandbox, &["env", "show", "dev", "--format", "json"]);
    assert!(dev.to_string().contains("environments/dev/app.sqlite"), "{dev}");
}
