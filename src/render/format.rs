//! Every variable, in a format that other programs read.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::model::VarType;
use crate::vars::write::{dotenv_line, shell_line};

use super::{Content, RenderError, Rendered, Variable};

/// A format, with all that it needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// `NAME=value` lines.
    Dotenv,
    /// One JSON object.
    Json,
    /// `export NAME='value'` lines.
    Shell,
    /// A Kubernetes Secret.
    KubernetesSecret {
        /// Its name.
        name: String,
        /// Its namespace.
        namespace: Option<String>,
    },
}

impl Form {
    fn word(&self) -> &'static str {
        match self {
            Self::Dotenv => "dotenv",
            Self::Json => "JSON",
            Self::Shell => "shell",
            Self::KubernetesSecret { .. } => "Kubernetes",
        }
    }
}

/// Writes all variables that have a value, in their order.
pub fn format(form: &Form, variables: &[Variable]) -> Result<Rendered, RenderError> {
    let mut rows: Vec<(&Variable, &str)> = Vec::new();
    for variable in variables {
        match &variable.value {
            Content::Nothing => {}
            Content::Missing(why) => return Err(RenderError::Missing(why.clone())),
            // JSON and base64 can write one, but no program could be given it in its environment.
            Content::Text(text) if text.contains('\0') => {
                return Err(RenderError::Nul { name: variable.name.clone(), form: form.word() });
            }
            Content::Text(text) => rows.push((variable, text)),
        }
    }
    let lines = |line: fn(&str, &str) -> String| {
        rows.iter().map(|(variable, text)| line(&variable.name, text)).collect::<String>()
    };
    let text = match form {
        Form::Dotenv => lines(dotenv_line),
        Form::Shell => lines(shell_line),
        Form::Json => json(&rows),
        Form::KubernetesSecret { name, namespace } => kubernetes(name, namespace.as_deref(), &rows)?,
    };
    let secret = rows.iter().any(|(variable, _)| variable.secret);
    Ok(Rendered { text, secret, variables: rows.len() })
}

fn json(rows: &[(&Variable, &str)]) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let row = |(variable, text): &(&Variable, &str)| {
        let value = literal(variable.ty, text).unwrap_or_else(|| quoted(text));
        format!("  {}: {value}", quoted(&variable.name))
    };
    match rows {
        [] => "{}\n".to_owned(),
        rows => format!("{{\n{}\n}}\n", rows.iter().map(row).collect::<Vec<_>>().join(",\n")),
    }
}

/// A value that JSON has a literal for.
fn literal(ty: Option<VarType>, text: &str) -> Option<String> {
    match ty? {
        // Of any size: JSON sets no limit, and who reads it into 64 bits knows.
        VarType::Int | VarType::Port => Some(text.parse::<i128>().ok()?.to_string()),
        VarType::Float => {
            let number: f64 = text.parse().ok()?;
            serde_json::Number::from_f64(number).map(|number| number.to_string())
        }
        VarType::Bool => matches!(text, "true" | "false").then(|| text.to_owned()),
        _ => None,
    }
}

fn kubernetes(
    name: &str,
    namespace: Option<&str>,
    rows: &[(&Variable, &str)],
) -> Result<String, RenderError> {
    let wrong = |what, name: &str| RenderError::Name { what, name: name.to_owned() };
    if name.len() > 253 || !name.split('.').all(is_label) {
        return Err(wrong("secret", name));
    }
    if let Some(namespace) = namespace.filter(|namespace| namespace.len() > 63 || !is_label(namespace)) {
        return Err(wrong("namespace", namespace));
    }
    // In quotes throughout: YAML takes `no`, `1e3` and `null` for something else than texts.
    let mut text = format!("apiVersion: v1\nkind: Secret\nmetadata:\n  name: \"{name}\"\n");
    if let Some(namespace) = namespace {
        text.push_str(&format!("  namespace: \"{namespace}\"\n"));
    }
    text.push_str("type: Opaque\n");
    text.push_str(if rows.is_empty() { "data: {}\n" } else { "data:\n" });
    for (variable, value) in rows {
        text.push_str(&format!("  \"{}\": \"{}\"\n", variable.name, STANDARD.encode(value)));
    }
    Ok(text)
}

fn is_label(text: &str) -> bool {
    let is_end = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let mut chars = text.chars();
    is_end(text.chars().next())
        && is_end(text.chars().last())
        && chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}
