//! Variables: their types, constraints and values, and what texts may mention.

use indexmap::IndexMap;

use crate::base::unit::{parse_duration, parse_size};
use crate::diag::{Diagnostic, Span, Spanned, did_you_mean};
use crate::model::{Constraints, EnvName, Value, Var, VarName, VarType, Violation, check_value};
use crate::syntax::ast::{self, Node};
use crate::vars::{Form, Otherwise, malformed, mentions};

use super::{Known, Lower, bool_prop, text_prop, value};

/// Names that a text may mention though no Envfile declares them: the caller has them, or envrun gives them.
const GIVEN: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "TMPDIR",
    "LANG",
    "TERM",
    "PWD",
    "HOSTNAME",
    "CI",
    "DISPLAY",
    "SNAPSHOT",
    "STORE_PATH",
    "NEW_SECRET",
    "KEY",
];
const GIVEN_PREFIXES: &[&str] = &["ENVRUN_", "ARG_", "MATRIX_", "LC_", "XDG_"];

impl<'d> Lower<'d> {
    /// One row of a `vars` block, as it is written: its type only if it is annotated.
    pub(super) fn var(&self, node: &Node) -> Option<Var> {
        let value = node.args.first().map(|arg| Spanned::new(value(&arg.value.value), arg.value.span));
        if let Some(reserved) = node.name.value.strip_prefix("ENVRUN_") {
            let message = format!("`ENVRUN_{reserved}` is given by envrun itself");
            let help = "names that begin with `ENVRUN_` are envrun's own: take another";
            self.say(Diagnostic::error("load/reserved", message).at(node.name.span, "").help(help));
            return None;
        }
        if let Some(Spanned { value: Value::String(text), span }) = &value {
            self.forms(text, *span);
        }
        Some(Var {
            name: VarName::from(node.name.value.as_str()),
            span: node.name.span,
            ty: node.ty.as_ref().and_then(|ty| VarType::from_annotation(&ty.value)),
            value,
            constraints: self.constraints(node),
            optional: bool_prop(node, "required") == Some(false),
            desc: text_prop(node, "desc"),
        })
    }

    /// `min= max= one-of= pattern=`.
    pub(super) fn constraints(&self, node: &Node) -> Constraints {
        let bound = |key: &str| {
            let prop = node.prop(key)?;
            let number = match &prop.value.value {
                ast::Value::Int(number) => *number as f64,
                ast::Value::Float(number) => *number,
                // Of all texts, only those of a duration are no size, and the other way round.
                ast::Value::String(text) => parse_duration(text)
                    .map(|duration| duration.as_secs_f64())
                    .or_else(|| parse_size(text).map(|bytes| bytes as f64))?,
                _ => return None,
            };
            if !number.is_finite() {
                let message = format!("`{key}` is not a number that a value could be compared with");
                self.say(Diagnostic::error("load/constraint", message).at(prop.value.span, ""));
                return None;
            }
            Some(Spanned::new(number, prop.value.span))
        };
        let constraints = Constraints {
            min: bound("min"),
            max: bound("max"),
            one_of: node.prop("one-of").and_then(|prop| {
                let words = prop.value.value.as_str()?.split('|').map(|word| word.trim().to_owned());
                Some(Spanned::new(words.collect(), prop.value.span))
            }),
            pattern: node
                .prop("pattern")
                .and_then(|prop| Some(Spanned::new(prop.value.value.as_str()?.to_owned(), prop.value.span))),
        };
        if let (Some(min), Some(max)) = (constraints.min, constraints.max)
            && min.value > max.value
        {
            self.say(
                Diagnostic::error("load/constraint", "no value is at least `min` and at most `max`")
                    .at(min.span, "")
                    .at(max.span, "less than `min`"),
            );
        }
        if let Some(pattern) = &constraints.pattern
            && let Err(error) = regex::Regex::new(&pattern.value)
        {
            let reason = error.to_string();
            let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            let message = format!("`{}` is not a regular expression: {reason}", pattern.value);
            self.say(Diagnostic::error("load/constraint", message).at(pattern.span, ""));
        }
        constraints
    }

    /// Lays the rows of one scope over what it inherits, saying what does not fit: both `vars` as they come out, and the
    /// rows themselves, whose type is left open where it is inherited.
    pub(super) fn lay(
        &self,
        below: &IndexMap<VarName, Var>,
        rows: Vec<Var>,
    ) -> (IndexMap<VarName, Var>, IndexMap<VarName, Var>) {
        let mut whole = below.clone();
        let mut own: IndexMap<VarName, Var> = IndexMap::new();
        for mut var in rows {
            let literal = var.value.as_ref();
            if literal.is_some_and(|literal| literal.value == Value::Null) {
                if whole.shift_remove(&var.name).is_none() {
                    let message = format!("there is no inherited `{}` to take away", var.name);
                    let known = below.keys().map(VarName::as_str);
                    let help = did_you_mean(var.name.as_str(), known);
                    self.say(Diagnostic::error("load/null", message).at(var.span, "").maybe_help(help));
                }
                own.insert(var.name.clone(), var);
                continue;
            }
            let merged = match whole.get(&var.name) {
                Some(below) => {
                    let same = self.same_type(&var, below);
                    var.ty = None;
                    let merged = Var { span: below.span, ..var.over(below) };
                    if same {
                        self.fits(&merged);
                    }
                    merged
                }
                None => {
                    var.ty = var.ty.or_else(|| VarType::of(&literal?.value));
                    self.fits(&var);
                    var.clone()
                }
            };
            // A file that is included may give the same name before: then this one lies over it.
            let own_var = own.get(&var.name).map_or_else(|| var.clone(), |below| var.over(below));
            own.insert(var.name.clone(), own_var);
            whole.insert(merged.name.clone(), merged);
        }
        (whole, own)
    }

    /// An overlay changes the value, never the type: says so if it does, and whether it does not.
    fn same_type(&self, var: &Var, below: &Var) -> bool {
        let Some(declared) = below.ty else { return true };
        let changed = |to: VarType, span: Span| {
            let first = below.value.as_ref().map_or(below.span, |value| value.span);
            let message = format!(
                "`{}` is declared as {}, and here it is {}",
                var.name,
                declared.allows(),
                to.allows()
            );
            self.say(
                Diagnostic::error("load/type", message)
                    .at(span, "")
                    .at(first, "declared here")
                    .help("an overlay changes the value, never the type"),
            );
            false
        };
        if let Some(annotated) = var.ty.filter(|annotated| *annotated != declared) {
            return changed(annotated, var.span);
        }
        let Some(literal) = &var.value else { return true };
        let plain = matches!(declared, VarType::String | VarType::Int | VarType::Float | VarType::Bool);
        let mentions = matches!(&literal.value, Value::String(text) if text.contains('$'));
        let Some(given) = VarType::of(&literal.value) else { return true };
        // A whole number is a number too.
        if !plain || mentions || given == declared || (given, declared) == (VarType::Int, VarType::Float) {
            return true;
        }
        changed(given, literal.span)
    }

    /// Whether the value of a declaration is what it may be, as far as that is known before a run.
    fn fits(&self, var: &Var) {
        let ty = var.ty.unwrap_or(VarType::String);
        let bound = var.constraints.min.or(var.constraints.max);
        if let Some(bound) = bound
            && var.ty.is_some()
            && !ty.is_measured()
        {
            let message = format!("`min` and `max` mean nothing for {}", ty.allows());
            self.say(Diagnostic::error("load/constraint", message).at(bound.span, ""));
            return;
        }
        if ty == VarType::Enum && var.constraints.one_of.is_none() {
            self.say(
                Diagnostic::error(
                    "load/constraint",
                    format!("`{}` does not say which words it may be", var.name),
                )
                .at(var.span, "")
                .help("add `one-of=\"debug|info|error\"`"),
            );
        }
        let Some(literal) = &var.value else { return };
        if matches!(&literal.value, Value::String(text) if text.contains('$')) {
            return;
        }
        let text = literal.value.to_string();
        if let Err(violation) = check_value(ty, &var.constraints, &text) {
            self.violation(&format!("`{}`", var.name), &text, literal.span, violation, var.span);
        }
    }

    /// `name: `value` is above the greatest, 10`, with both places.
    pub(super) fn violation(&self, name: &str, text: &str, span: Span, violation: Violation, declared: Span) {
        let place = violation.span.unwrap_or(declared);
        let mut diagnostic =
            Diagnostic::error("load/value", format!("{name}: `{text}` {}", violation.message)).at(span, "");
        // On one line with its declaration, a value needs no second arrow unless something there forbids it.
        if violation.span.is_some() || place != declared {
            diagnostic = diagnostic.at(place, "asked for here");
        } else {
            diagnostic = diagnostic.at(declared, "declared here");
        }
        self.say(diagnostic);
    }

    /// The variables of a project as an environment has them; those of the base where the environment adds nothing.
    pub(super) fn vars_of(&self, project: usize, env: Option<&'d EnvName>) -> &IndexMap<VarName, Var> {
        let known = &self.vars[project];
        known.get(&env).unwrap_or_else(|| &known[&None])
    }

    /// Says what `text` mentions that nobody declares. `own` are names that hold for this text alone.
    pub(super) fn mentioned(
        &self,
        project: usize,
        text: &Spanned<String>,
        own: Option<&IndexMap<VarName, Var>>,
    ) {
        if !text.value.contains('$') {
            return;
        }
        self.forms(&text.value, text.span);
        self.declared_names(project, text, Form::Text, own);
    }

    /// The same for a word of a command without a shell, of which anything in other braces may be meant.
    pub(super) fn mentioned_in_word(
        &self,
        project: usize,
        text: &Spanned<String>,
        own: &IndexMap<VarName, Var>,
    ) {
        if text.value.contains("${") {
            self.declared_names(project, text, Form::Word, Some(own));
        }
    }

    fn declared_names(
        &self,
        project: usize,
        text: &Spanned<String>,
        form: Form,
        own: Option<&IndexMap<VarName, Var>>,
    ) {
        if self.declared.units.incomplete {
            return;
        }
        for mention in mentions(&text.value, form) {
            let name = mention.name;
            let given =
                || GIVEN.contains(&name) || GIVEN_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
            if mention.otherwise != Otherwise::Nothing
                || own.is_some_and(|own| own.contains_key(name))
                || given()
                || self.is_known(project, name)
            {
                continue;
            }
            let known = self.known_around(project);
            let names: Vec<&str> = known
                .iter()
                .flat_map(|known| known.names.iter().map(String::as_str))
                .chain(own.into_iter().flat_map(|own| own.keys().map(VarName::as_str)))
                .collect();
            let place = self.inside(text.span, name);
            let help = did_you_mean(name, names.iter().copied()).unwrap_or_else(|| {
                let written = self.sources.snippet(place);
                let itself = if written.starts_with('$') {
                    format!("; `${written}` is the text itself")
                } else {
                    String::new()
                };
                format!("declare it in `vars`, or give it a default: `${{{name}:-…}}`{itself}")
            });
            self.say(
                Diagnostic::error("load/undeclared", format!("`{name}` is not declared"))
                    .at(place, "")
                    .help(help),
            );
        }
    }

    fn is_known(&self, project: usize, name: &str) -> bool {
        self.known_around(project).iter().any(|known| known.any || known.names.contains(name))
    }

    /// What is known in a project and in those around it.
    fn known_around(&self, project: usize) -> Vec<&Known> {
        let mut all = Vec::new();
        let mut next = Some(project);
        while let Some(project) = next {
            all.push(self.known[project].get_or_init(|| self.find_known(project)));
            next = self.declared.units.projects[project].outer;
        }
        all
    }

    fn find_known(&self, project: usize) -> Known {
        let mut known = Known::default();
        for &item in &self.declared.units.projects[project].items {
            let node = self.declared.units.node(item);
            let inner: &[Node] =
                if node.name.value == "env" { node.children() } else { std::slice::from_ref(node) };
            for block in inner {
                match block.name.value.as_str() {
                    "vars" | "secrets" => {
                        known.names.extend(block.children().iter().map(|row| row.name.value.clone()));
                    }
                    "dotenv" => known.any = true,
                    _ => {}
                }
            }
        }
        known
    }

    /// Says which `${` of a text are not what they seem.
    pub(super) fn forms(&self, text: &str, span: Span) {
        for wrong in malformed(text, Form::Text) {
            let rest = text[wrong.at..].lines().next().unwrap_or_default();
            let shown = rest.find('}').map_or(rest, |end| &rest[..=end]);
            self.say(
                Diagnostic::error(
                    "load/interpolation",
                    format!("`{shown}` cannot be replaced: {}", wrong.reason),
                )
                .at(self.part(span, shown).unwrap_or(span), "")
                .help("write `$${` for the characters themselves"),
            );
        }
    }

    /// The place of a mention inside the string it is written in.
    pub(super) fn inside(&self, text: Span, name: &str) -> Span {
        let forms = [format!("${{{name}}}"), format!("${{{name}"), format!("${name}")];
        // An escape may hide it; then the whole string is the place.
        forms.iter().find_map(|form| self.part(text, form)).unwrap_or(text)
    }

    /// The place of `part` in what is written at `span`.
    fn part(&self, span: Span, part: &str) -> Option<Span> {
        let at = self.sources.snippet(span).find(part)?;
        let place = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Some(Span { start: span.start + place(at), len: place(part.len()), ..span })
    }
}
