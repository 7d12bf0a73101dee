//! Templates: Jinja, with the variables as typed values and no undefined name let through.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Object, Value, ValueKind};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior};

use crate::diag::did_you_mean;
use crate::model::VarType;

use super::{Content, RenderError, Rendered, Variable};

/// Fills in a template. `name` is how it is called in messages.
pub fn template(name: &str, source: &str, variables: &[Variable]) -> Result<Rendered, RenderError> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_syntax(syntax());
    // What is right for HTML is wrong for the configuration of a server.
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    // A command sees `true`, and so does a file; Jinja's own word is Python's.
    environment.set_formatter(|out, state, value| match value.kind() {
        ValueKind::Bool => Ok(out.write_str(if value.is_true() { "true" } else { "false" })?),
        _ => minijinja::escape_formatter(out, state, value),
    });
    let names = Arc::new(Names::new(variables));
    let rendered = environment
        .template_from_named_str(name, source)
        .and_then(|template| template.render(Value::from_dyn_object(Arc::clone(&names))));
    match rendered {
        Ok(text) => {
            let asked = names.asked();
            Ok(Rendered { text, secret: asked.secret, variables: asked.found.len() })
        }
        Err(error) => Err(names.explain(name, source, &error)),
    }
}

/// A file ends as its template does.
fn syntax() -> SyntaxConfig {
    SyntaxConfig::builder().keep_trailing_newline(true).build().expect("only the end of the file is set")
}

/// The variables, and which of them the template asked for.
#[derive(Debug)]
struct Names {
    known: HashMap<String, Known>,
    asked: Mutex<Asked>,
}

#[derive(Debug)]
struct Known {
    value: Option<Value>,
    secret: bool,
    /// Why there is no value, where there should be one.
    missing: Option<String>,
}

#[derive(Debug, Default)]
struct Asked {
    found: std::collections::BTreeSet<String>,
    /// Names without a value, in the order asked for.
    lacking: Vec<String>,
    secret: bool,
}

impl Names {
    fn new(variables: &[Variable]) -> Self {
        let known = |variable: &Variable| {
            let (value, missing) = match &variable.value {
                Content::Text(text) => (Some(typed(variable.ty, text)), None),
                Content::Nothing => (None, None),
                Content::Missing(why) => (None, Some(why.clone())),
            };
            (variable.name.clone(), Known { value, missing, secret: variable.secret })
        };
        Self { known: variables.iter().map(known).collect(), asked: Mutex::default() }
    }

    fn asked(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is wrong with a template, with its line, and the nearest name.
    fn explain(&self, name: &str, source: &str, error: &Error) -> RenderError {
        let place = match error.line() {
            Some(line) => format!("{name}:{line}"),
            None => name.to_owned(),
        };
        let line = error.line().and_then(|line| source.lines().nth(line.checked_sub(1)?)).unwrap_or_default();
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let asked = self.asked();
        let lacking = asked.lacking.iter().rev().find(|lacking| {
            error.kind() == ErrorKind::UndefinedError
                && line.split(|c| !is_word(c)).any(|word| word == **lacking)
        });
        let (message, help) = match lacking {
            Some(lacking) => self.lacking(lacking),
            None => {
                let detail = error.detail().map_or_else(String::new, |detail| format!(": {detail}"));
                let filters = "filters are what Python has methods for: `NAME | split(\",\")`, `| upper`, `| replace(\"a\", \"b\")`";
                let help = (error.kind() == ErrorKind::UnknownMethod).then(|| filters.to_owned());
                (format!("{}{detail}", error.kind()), help)
            }
        };
        RenderError::Template { place, message, help }
    }

    fn lacking(&self, name: &str) -> (String, Option<String>) {
        match self.known.get(name) {
            Some(Known { missing: Some(why), .. }) => (why.clone(), None),
            Some(_) => (
                format!("`{name}` has no value"),
                Some(format!(
                    "give it one, or write `{{% if {name} is defined %}}` or `{{{{ {name} | default(\"…\") }}}}`"
                )),
            ),
            None => {
                let help = did_you_mean(name, self.known.keys().map(String::as_str));
                let uses = format!("declare it in `vars`, or list it in `uses`: `uses \"{name}\"`");
                (format!("`{name}` is not declared"), help.or(Some(uses)))
            }
        }
    }
}

impl Object for Names {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, name: &str) -> Option<Value> {
        let mut asked = self.asked();
        let known = self.known.get(name);
        match known.and_then(|known| known.value.clone()) {
            Some(value) => {
                asked.found.insert(name.to_owned());
                asked.secret |= known.is_some_and(|known| known.secret);
                Some(value)
            }
            None => {
                asked.lacking.push(name.to_owned());
                None
            }
        }
    }
}

/// Ports and other numbers are numbers, so that a template can count with them.
fn typed(ty: Option<VarType>, text: &str) -> Value {
    let value = match ty {
        Some(VarType::Int | VarType::Port) => match text.parse::<i64>() {
            Ok(number) => Some(Value::from(number)),
            Err(_) => text.parse::<i128>().ok().map(Value::from),
        },
        Some(VarType::Float) => text.parse::<f64>().ok().map(Value::from),
        Some(VarType::Bool) => text.parse::<bool>().ok().map(Value::from),
        _ => None,
    };
    value.unwrap_or_else(|| Value::from(text))
}
