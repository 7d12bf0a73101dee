use base64::Engine as _;
use expect_test::expect;
use proptest::prelude::*;

use super::*;
use crate::diag::FileId;
use crate::vars::dotenv;
#[cfg(unix)]
use crate::vars::write::misread;

fn variable(name: &str, value: &str, secret: bool) -> Variable {
    Variable { name: name.to_owned(), ty: None, value: Content::Text(value.into()), secret }
}

fn typed(name: &str, ty: VarType, value: &str) -> Variable {
    Variable { ty: Some(ty), ..variable(name, value, false) }
}

/// Names in order, each once, with any values but NUL.
fn variables() -> impl Strategy<Value = Vec<Variable>> {
    let value = prop_oneof![any::<String>(), "[ -~\n]{0,40}", "[`'\"$\\\\#=\r\n a]{0,12}"];
    proptest::collection::vec((value, any::<bool>()), 0..8).prop_map(|values| {
        let numbered = values.into_iter().enumerate();
        numbered
            .map(|(at, (value, secret))| variable(&format!("V{at}"), &value.replace('\0', ""), secret))
            .collect()
    })
}

fn values(variables: &[Variable]) -> Vec<(String, String)> {
    let text = |variable: &Variable| match &variable.value {
        Content::Text(text) => text.to_string(),
        _ => String::new(),
    };
    variables.iter().map(|variable| (variable.name.clone(), text(variable))).collect()
}

/// Whether a dotenv line can say the value to a shell.
#[cfg(unix)]
fn is_readable(variable: &Variable) -> bool {
    !matches!(&variable.value, Content::Text(text) if misread(text) == Some("most programs"))
}

/// What `sh` makes of a file of assignments; it gets nothing else, and may run nothing.
#[cfg(unix)]
fn by_sh(text: &str, wanted: &[(String, String)]) -> Vec<(String, String)> {
    let names: String = wanted.iter().map(|(name, _)| format!(" \"${name}\"")).collect();
    let script = format!(
        "set -eu\nPATH=/nowhere\n{text}\nif [ {} -gt 0 ]; then printf '%s\\0'{names}; fi\n",
        wanted.len()
    );
    let output = std::process::Command::new("/bin/sh").args(["-c", &script]).env_clear().output().unwrap();
    assert!(output.status.success(), "{text:?}: {}", String::from_utf8_lossy(&output.stderr));
    let read = String::from_utf8(output.stdout).unwrap();
    let read = read.split('\0').map(str::to_owned);
    wanted.iter().map(|(name, _)| name.clone()).zip(read).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_is_rendered_is_read_back(variables in variables()) {
        let wanted = values(&variables);
        let file = format(&Form::Dotenv, &variables).unwrap();
        let (entries, wrong) = dotenv::parse(FileId(0), &file.text);
        prop_assert!(wrong.is_empty(), "{}", file.text);
        let found: Vec<_> = entries.into_iter().map(|entry| (entry.name, entry.value)).collect();
        prop_assert_eq!(&found, &wanted);

        let file = format(&Form::Json, &variables).unwrap();
        let json: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&file.text).unwrap();
        for (name, value) in &wanted {
            prop_assert_eq!(json[name].as_str(), Some(value.as_str()));
        }

        let form = Form::KubernetesSecret { name: "a".into(), namespace: None };
        let file = format(&form, &variables).unwrap();
        for (name, value) in &wanted {
            let row = format!("  \"{name}\": \"");
            let encoded = file.text.lines().find_map(|line| line.strip_prefix(&row)).unwrap();
            let decoded = base64::engine::general_purpose::STANDARD.decode(encoded.trim_end_matches('"')).unwrap();
            prop_assert_eq!(decoded, value.as_bytes());
        }
        prop_assert_eq!(file.secret, variables.iter().any(|variable| variable.secret));
    }

    #[test]
    fn no_difference_shows_a_secret(old in "[a-zA-Z0-9+/=]{12,40}", new in "[a-zA-Z0-9+/=\n]{12,60}", port in 1u16..) {
        let before = vec![variable("TOKEN", &old, true), variable("PORT", "1", false)];
        let after = vec![variable("TOKEN", &new, true), variable("PORT", &port.to_string(), false)];
        for form in [Form::Dotenv, Form::Json, Form::Shell] {
            let (there, rendered) = (format(&form, &before).unwrap(), format(&form, &after).unwrap());
            let masked = format(&form, &Shown::masked(&after)).unwrap();
            let shown = Shown::new(&rendered, Some(&masked), &after);
            let text = shown.difference(&there.text, &rendered.text).join("\n");
            prop_assert!(!text.contains(&old), "{}", text);
            for line in new.lines().filter(|line| line.len() > 5) {
                prop_assert!(!text.contains(line), "{}", text);
            }
        }
    }
}

#[cfg(unix)]
proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// A whole file is read back by an independent program too, which executes nothing of it.
    #[test]
    fn a_shell_reads_back_what_is_rendered(variables in variables()) {
        let wanted = values(&variables);
        let file = format(&Form::Shell, &variables).unwrap();
        prop_assert_eq!(&by_sh(&file.text, &wanted), &wanted, "{}", file.text);
        let variables: Vec<Variable> = variables.into_iter().filter(is_readable).collect();
        let wanted = values(&variables);
        let file = format(&Form::Dotenv, &variables).unwrap();
        prop_assert_eq!(&by_sh(&file.text, &wanted), &wanted, "{}", file.text);
    }
}

#[test]
fn numbers_and_booleans_are_themselves_in_json() {
    let variables = [
        typed("PORT", VarType::Port, "8000"),
        typed("BIG", VarType::Int, "170141183460469231731687303715884105727"),
        typed("RATE", VarType::Float, "0.5"),
        typed("ODD", VarType::Float, "inf"),
        typed("ON", VarType::Bool, "true"),
        typed("WAIT", VarType::Duration, "30s"),
        Variable { value: Content::Nothing, ..variable("NONE", "", false) },
    ];
    expect![[r#"
        {
          "PORT": 8000,
          "BIG": 170141183460469231731687303715884105727,
          "RATE": 0.5,
          "ODD": "inf",
          "ON": true,
          "WAIT": "30s"
        }
    "#]]
    .assert_eq(&format(&Form::Json, &variables).unwrap().text);
    assert_eq!(format(&Form::Json, &[]).unwrap().text, "{}\n");
}

#[test]
fn names_that_kubernetes_does_not_take_are_refused() {
    let secret = |name: &str, namespace: Option<&str>| {
        let form = Form::KubernetesSecret { name: name.into(), namespace: namespace.map(str::to_owned) };
        format(&form, &[]).map_err(|error| error.to_string())
    };
    assert!(secret("app-1.prod", Some("web")).is_ok());
    for (name, namespace) in
        [("", None), ("App", None), ("a_b", None), ("-a", None), ("a..b", None), ("a", Some("a.b"))]
    {
        assert!(secret(name, namespace).is_err(), "{name} {namespace:?}");
    }
    assert_eq!(secret("App", None).unwrap_err(), "`App` is not a name that Kubernetes takes for a secret");
}

#[test]
fn a_template_tells_whether_it_asked_for_a_secret() {
    let variables = [variable("TOKEN", "s", true), typed("PORT", VarType::Port, "1")];
    let rendered = |source: &str| template("t", source, &variables).map(|made| (made.text, made.secret));
    assert_eq!(rendered("{{ PORT + 1 }}\n").unwrap(), ("2\n".to_owned(), false));
    assert_eq!(rendered("{{ TOKEN | upper }}").unwrap(), ("S".to_owned(), true));
    assert_eq!(rendered("{% if TOKEN %}x{% endif %}").unwrap(), ("x".to_owned(), true));
    assert_eq!(rendered("{{ NONE is defined }}").unwrap(), ("false".to_owned(), false));
    assert_eq!(rendered("{{ range(2) | list | length }}").unwrap(), ("2".to_owned(), false));
    assert_eq!(rendered("a\n{{ NONE }}").unwrap_err().to_string(), "t:2: `NONE` is not declared");
    // What is right for HTML is wrong here.
    let variables = [variable("A", "<\"&>", false)];
    assert_eq!(template("t.html", "{{ A }}", &variables).unwrap().text, "<\"&>");
    let missing = [Variable { value: Content::Missing("`A` is not set".into()), ..variable("A", "", true) }];
    assert_eq!(template("t", "{{ A }}", &missing).unwrap_err().to_string(), "t:1: `A` is not set");
}
