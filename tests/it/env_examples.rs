//! The environments of `examples/multimodal-stack` and `examples/agent-orchestrator`, against the files they name.

use std::path::Path;

use serde_json::Value;

use crate::sandbox::Sandbox;

/// An example in a folder of its own.
fn example(name: &str) -> Sandbox {
    fn copy(from: &Path, to: &Path) {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            let target = to.join(entry.file_name());
            match entry.file_name().to_str().unwrap() {
                ".envrun" => {}
                _ if entry.path().is_dir() => copy(&entry.path(), &target),
                _ => drop(std::fs::copy(entry.path(), target).unwrap()),
            }
        }
    }
    let sandbox = Sandbox::with(&[]);
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name), &sandbox.root());
    sandbox
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

#[test]
fn every_rendered_file_is_read_back() {
    use std::os::unix::fs::PermissionsExt;
    let sandbox = example("multimodal-stack");
    let mut passwords = std::collections::BTreeSet::new();
    for env in ["development", "staging", "monitoring", "optimized"] {
        sandbox.ok(&[&format!("{env}.files"), &format!("{env}.override")]);
        let values = json(&sandbox, &["env", "export", env, "--format", "json"]);
        let dotenv = sandbox.read(&format!(".env.{env}"));
        let read = dotenv::EnvLoader::with_reader(dotenv.as_bytes()).load().unwrap();
        for (name, value) in values.as_object().unwrap() {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            assert_eq!(read.get(name), Some(&value), "{env} {name}");
        }
        let password = values["POSTGRES_PASSWORD"].as_str().unwrap();
        let by_sh = std::process::Command::new("sh")
            .args(["-eu", "-c", &format!(". ./.env.{env}; printf %s \"$POSTGRES_PASSWORD\"")])
            .current_dir(sandbox.root())
            .output()
            .unwrap();
        assert_eq!(String::from_utf8(by_sh.stdout).unwrap(), password);
        let secrets: Value = serde_json::from_str(&sandbox.read(&format!("secrets/{env}.json"))).unwrap();
        assert_eq!(secrets["POSTGRES_PASSWORD"], password);
        let manifest = sandbox.read(&format!("k8s-secrets-{env}.yaml"));
        assert_eq!(k8s(&manifest, "POSTGRES_PASSWORD").as_deref(), Some(password), "{manifest}");
        let mode =
            std::fs::metadata(sandbox.root().join(format!(".env.{env}"))).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let override_ = sandbox.read(&format!("docker-compose.{env}.rendered.yml"));
        assert!(
            override_.contains(&format!("--max-model-len {}", values["VLLM_MAX_MODEL_LEN"])),
            "{override_}"
        );
        passwords.insert(password.to_owned());
    }
    // 000-07: as many passwords as environments.
    assert_eq!(passwords.len(), 4);
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
    assert!(clashes.contains(r#"["dev","PORT"],["prod","PORT"]"#), "{clashes}");
    sandbox.ok(&["env", "destroy", "pr-7", "pr-8"]);
    let diff = sandbox.run(&["env", "diff", "uat", "prod", "--strict"]);
    assert_eq!(diff.exit, 0, "{}", diff.text());
}
