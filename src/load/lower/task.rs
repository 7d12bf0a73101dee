//! Tasks.

use std::time::Duration;

use indexmap::IndexMap;

use crate::base::RelPath;
use crate::base::glob::{GlobError, Pattern};
use crate::base::unit::parse_duration;
use crate::diag::{Diagnostic, Span, Spanned, did_you_mean};
use crate::model::{
    Action, ArgKind, ArgSpec, CacheMode, Command, Constraints, Content, EnvName, Load, NodeName, Retry,
    RetryOn, Sandbox, Task, Value, Var, VarType, check_value, merge_requirements,
};
use crate::syntax::ast::{self, Node};
use crate::syntax::words::{self, Block};

use super::super::patch::{Patched, Word};
use super::super::path::{is_outside, join};
use super::render::render;
use super::{Lower, bool_prop, command, is_on, text_prop, texts, unbuilt, value};

impl<'d> Lower<'d> {
    /// A task, or the core of another kind of node: what `block` shares with a task.
    pub(super) fn task(
        &self,
        project: usize,
        env: Option<&'d EnvName>,
        name: &NodeName,
        patched: &Patched<'d>,
        block: &'static Block,
    ) -> Task {
        let dir = self.declared.units.projects[project].dir.clone();
        let mut task = Task::new(name.clone(), patched.span, dir);
        let mut rows = Vec::new();
        for word in &patched.words {
            self.word(project, word, block, &mut task, &mut rows);
        }
        if !rows.is_empty() {
            task.vars = self.lay(self.vars_of(project, env), rows).1;
        }
        let mut required = Vec::new();
        for word in patched.words.iter().filter(|word| word.node.name.value == "requires") {
            self.requirements(project, word, Some(&task.vars), &mut required);
        }
        task.requires = merge_requirements(&required).into_iter().cloned().collect();
        self.check(project, env, patched, &task);
        task
    }

    fn word(
        &self,
        project: usize,
        word: &Word<'d>,
        block: &'static Block,
        task: &mut Task,
        rows: &mut Vec<Var>,
    ) {
        let node = word.node;
        let first = || texts(node).next();
        match node.name.value.as_str() {
            "desc" => task.desc = first().map(|text| text.value),
            "alias" => task.alias.extend(texts(node)),
            "group" => task.group = first().map(|text| text.value),
            "hidden" => task.hidden = is_on(node),
            "arg" => self.arg(node, false, &mut task.args),
            "flag" => self.arg(node, true, &mut task.args),
            "when" => self.conditions(project, word, &words::WHEN, &mut task.when),
            "guard" => self.conditions(project, word, &words::GUARD, &mut task.guard),
            "mutates" => task.mutates = is_on(node),
            "needs" => task.needs.extend(self.references(word)),
            "after" => task.after.extend(self.references(word)),
            "uses" => task.uses.extend(texts(node)),
            "inputs" => task.inputs.get_or_insert_default().extend(texts(node)),
            "outputs" => task.outputs.get_or_insert_default().extend(texts(node)),
            "depfile" => task.depfile.extend(texts(node)),
            "tools" => task.tools.extend(texts(node)),
            "done" => task.done = command(node).map(|command| Spanned::new(command, node.span)),
            "run" => {
                task.actions
                    .extend(command(node).map(|command| Spanned::new(Action::Run(command), node.span)));
            }
            "call" => {
                let called = self.references(word).into_iter();
                task.actions.extend(called.map(|called| Spanned::new(Action::Call(called), node.span)));
            }
            "render" => {
                task.actions
                    .extend(render(node).map(|render| Spanned::new(Action::Render(render), node.span)));
            }
            "load" => {
                let through = self.reference_prop(word, "through");
                let at = node.prop("at").and_then(|prop| {
                    Some(Spanned::new(prop.value.value.as_str()?.to_owned(), prop.value.span))
                });
                let within = self.within(node);
                for snapshot in self.references(word) {
                    let load = Load { snapshot, through: through.clone(), at: at.clone(), within };
                    task.actions.push(Spanned::new(Action::Load(load), node.span));
                }
                // What replaces an environment's data changes something outside, whether it says so or not.
                task.mutates = true;
            }
            "dir" => {
                if let Some(text) = first() {
                    let folder = &self.declared.units.units[word.unit].folder;
                    let joined = join(folder, &text.value);
                    let joined = if joined.is_empty() { ".".to_owned() } else { joined };
                    task.dir = Spanned::new(joined, text.span);
                }
            }
            "shell" => task.shell = first(),
            "vars" => rows.extend(node.children().iter().filter_map(|row| self.var(row))),
            "timeout" => task.timeout = self.timeout(node),
            "retry" => task.retry = self.retry(node),
            "pool" => task.pool = first(),
            "interactive" => task.interactive = is_on(node),
            "on-fail" => task.on_fail.extend(self.references(word)),
            "on-success" => task.on_success.extend(self.references(word)),
            "hint" => task.hint = first().map(|text| text.value),
            "sandbox" if first().is_some_and(|tier| tier.value == "strict") => {
                task.sandbox = Sandbox::Strict;
            }
            "cache" if !is_on(node) => task.cache = CacheMode::Never,
            _ => {}
        }
        unbuilt(block, node, &mut task.unbuilt);
    }

    /// What only the whole definition shows.
    fn check(&self, project: usize, env: Option<&EnvName>, patched: &Patched<'d>, task: &Task) {
        self.paths(project, task);
        let speaks = |word: &&Word<'_>| matches!(word.node.name.value.as_str(), "render" | "load");
        for word in patched.words.iter().filter(speaks) {
            self.texts_are_known(project, word, &task.vars);
        }
        self.arguments(&task.args);
        if let Some(pool) = &task.pool
            && !self.declared.pools.contains_key(&pool.value)
            && !self.declared.units.incomplete
        {
            let known = self.declared.pools.keys().map(String::as_str);
            self.say(
                Diagnostic::error("load/unknown-pool", format!("there is no pool `{}`", pool.value))
                    .at(pool.span, "")
                    .help(
                        did_you_mean(&pool.value, known).unwrap_or_else(|| {
                            format!("declare it at the root: `pool \"{}\" 2`", pool.value)
                        }),
                    ),
            );
        }
        for name in &task.uses {
            // The caller's own names are meant too: only what looks like a slip is said.
            if name.value.contains('$') {
                let message = format!("`uses` takes names: `{}`", name.value.trim_matches(['$', '{', '}']));
                self.say(Diagnostic::error("load/uses", message).at(name.span, ""));
            }
        }
        let place = |name: &str| {
            let word = patched.words.iter().find(|word| word.node.name.value == name);
            word.map_or(patched.span, |word| word.node.name.span)
        };
        if task.mutates && task.outputs.is_some() {
            self.say(
                Diagnostic::warning(
                    "load/mutates",
                    format!("`{}` mutates, so its outputs are never kept", task.name),
                )
                .at(place("mutates"), "")
                .at(place("outputs"), "these")
                .help("make the outputs in a task of their own, and need it"),
            );
        }
        if task.actions.is_empty() && task.outputs.is_some() && self.is_used(project, env, &task.name) {
            self.say(
                Diagnostic::error(
                    "load/no-actions",
                    format!("`{}` declares outputs and does nothing", task.name),
                )
                .at(place("outputs"), "")
                .help("add `run`; a task without actions stands for the tasks it needs, and their outputs"),
            );
        }
    }

    fn paths(&self, project: usize, task: &Task) {
        let own = Some(&task.vars);
        let lists = [task.inputs.as_ref(), task.outputs.as_ref(), Some(&task.depfile), Some(&task.tools)];
        for text in lists.into_iter().flatten().flatten() {
            self.mentioned(project, text, own);
        }
        self.mentioned(project, &task.dir, own);
        if let Some(shell) = &task.shell {
            self.mentioned(project, shell, own);
        }
        for var in task.vars.values() {
            if let Some(Spanned { value: Value::String(text), span }) = &var.value {
                self.mentioned(project, &Spanned::new(text.clone(), *span), own);
            }
        }
        // Variables of unknown callers may be meant in the words of a task that is called, or that gets names at run time.
        let calls = task.actions.iter().any(|action| matches!(action.value, Action::Call(_)));
        if !calls && !self.is_called(&task.name) {
            for action in &task.actions {
                if let Action::Run(Command::Argv(words)) = &action.value {
                    for word in words {
                        self.mentioned_in_word(project, &Spanned::new(word.clone(), action.span), &task.vars);
                    }
                }
            }
        }
        self.places(task);
    }

    /// Whether some `call` names a node of that name; which project's hardly matters.
    fn is_called(&self, name: &NodeName) -> bool {
        let last = name.as_str().rsplit('.').next().unwrap_or(name.as_str());
        self.called.get_or_init(|| self.find_called()).contains(last)
    }

    /// `dir`, inputs, outputs and depfiles are patterns, and lie in the project.
    fn places(&self, task: &Task) {
        let outside = |what: &str, text: &Spanned<String>| {
            self.say(
                Diagnostic::error("load/outside", format!("the {what} `{}` lies outside the project", text.value))
                    .at(text.span, "")
                    .help("what a task reads and makes, and where it runs, is in the folder of the root Envfile or below"),
            );
        };
        if is_outside(&task.dir.value) {
            return outside("folder", &task.dir);
        }
        let known = |text: &str| !text.contains('$');
        let dir = if known(&task.dir.value) { RelPath::root().resolve(&task.dir.value).ok() } else { None };
        let lists = [("input", &task.inputs), ("output", &task.outputs)].into_iter();
        let texts = lists.flat_map(|(what, list)| list.iter().flatten().map(move |text| (what, text)));
        let rendered = task.renders().flat_map(|render| {
            let template = match &render.content {
                Content::Template(path) => Some(("template", path)),
                _ => None,
            };
            [("rendered file", &render.path)].into_iter().chain(template)
        });
        let depfiles = task.depfile.iter().map(|text| ("depfile", text));
        for (what, text) in texts.chain(depfiles).chain(rendered) {
            let path = text.value.strip_prefix('!').unwrap_or(&text.value);
            match &dir {
                Some(dir) if known(path) => match Pattern::parse(dir, path) {
                    Ok(_) => {}
                    Err(GlobError::Path(_)) => outside(what, text),
                    Err(error) => {
                        let message = format!("the {what} `{}` is not a pattern: {error}", text.value);
                        self.say(Diagnostic::error("load/glob", message).at(text.span, ""));
                    }
                },
                // What a variable holds is not known yet, but how far the text climbs is.
                _ if is_outside(&join(&task.dir.value, path)) => outside(what, text),
                _ => {}
            }
        }
    }

    fn timeout(&self, node: &Node) -> Option<Spanned<Duration>> {
        let text = texts(node).next()?;
        let limit = parse_duration(&text.value)?;
        if limit.is_zero() {
            self.nonsense(
                "a task cannot be over in no time",
                text.span,
                "take `timeout` out to let it run as long as it likes",
            );
            return None;
        }
        Some(Spanned::new(limit, text.span))
    }

    /// How old a copy may be that is loaded.
    fn within(&self, node: &Node) -> Option<Duration> {
        let prop = node.prop("within")?;
        if node.prop("at").is_none() {
            self.nonsense(
                "`within` says how old a copy may be that was saved earlier, and this `load` saves a new one",
                prop.value.span,
                "name the copy too: `at=\"latest\"`",
            );
        }
        parse_duration(prop.value.value.as_str()?)
    }

    pub(super) fn nonsense(&self, message: &str, span: Span, help: &str) {
        self.say(Diagnostic::error("load/limit", message).at(span, "").help(help));
    }

    fn retry(&self, node: &Node) -> Option<Retry> {
        let arg = &node.args.first()?.value;
        let ast::Value::Int(times) = arg.value else { return None };
        if times == 0 {
            self.nonsense("`retry 0` tries nothing again", arg.span, "take it out, or say how often");
        }
        if times > 1000 {
            self.nonsense(
                "more than 1000 tries are a loop",
                arg.span,
                "wait for what it waits for in the command itself",
            );
        }
        let duration = |key: &str| node.prop(key).and_then(|prop| parse_duration(prop.value.value.as_str()?));
        let backoff = node.prop("backoff").map(|prop| {
            let number = match prop.value.value {
                ast::Value::Int(number) => number as f64,
                ast::Value::Float(number) => number,
                _ => 1.0,
            };
            if !(1.0..=100.0).contains(&number) {
                self.nonsense(
                    "`backoff` makes pauses longer: 1 to 100",
                    prop.value.span,
                    "`backoff=2.0` doubles each pause",
                );
            }
            if node.prop("every").is_none() {
                self.nonsense(
                    "`backoff` without `every` has no pause to make longer",
                    prop.key.span,
                    "add `every=\"1s\"`",
                );
            }
            number
        });
        let on =
            node.prop("on").and_then(|prop| prop.value.value.as_str().map(|text| (text, prop.value.span)));
        let on = on.map_or_else(Vec::new, |(text, span)| {
            let failure = |word: &str| match word.trim() {
                "timeout" => Some(RetryOn::Timeout),
                word => word.strip_prefix("exit:").and_then(|status| status.parse().ok()).map(RetryOn::Exit),
            };
            if text.split('|').any(|word| failure(word) == Some(RetryOn::Exit(0))) {
                self.nonsense(
                    "exit status 0 is no failure",
                    span,
                    "name the statuses that are worth another try",
                );
            }
            text.split('|').filter_map(failure).collect()
        });
        Some(Retry {
            times: u32::try_from(times).ok()?,
            every: duration("every").unwrap_or_default(),
            backoff: backoff.unwrap_or(1.0),
            on,
            span: node.span,
        })
    }

    pub(super) fn arg(&self, node: &Node, is_flag: bool, into: &mut Vec<ArgSpec>) {
        let Some(name) = texts(node).next() else { return };
        let constraints = if is_flag { Constraints::default() } else { self.constraints(node) };
        let default = node.prop("default").map(|prop| (value(&prop.value.value), prop.value.span));
        if let Some((default, span)) = &default {
            let measured = constraints.min.is_some() || constraints.max.is_some();
            let ty = if measured { VarType::Float } else { VarType::String };
            let text = default.to_string();
            if let Err(violation) = check_value(ty, &constraints, &text) {
                self.violation(
                    &format!("the default of `{}`", name.value),
                    &text,
                    *span,
                    violation,
                    name.span,
                );
            }
        }
        let repeat = bool_prop(node, "repeat") == Some(true);
        into.push(ArgSpec {
            kind: if is_flag { ArgKind::Switch } else { ArgKind::Positional { repeat } },
            default: default.map(|(default, _)| default),
            constraints,
            desc: text_prop(node, "desc"),
            env: text_prop(node, "env"),
            name,
        });
    }

    /// What holds for the arguments of a task together.
    pub(super) fn arguments(&self, args: &[ArgSpec]) {
        let mut variables: IndexMap<String, &ArgSpec> = IndexMap::new();
        let mut optional: Option<&ArgSpec> = None;
        let mut greedy: Option<&ArgSpec> = None;
        for arg in args {
            let name = &arg.name;
            if let Some(first) = variables.get(&arg.variable()).filter(|first| first.name.value != name.value)
            {
                self.say(
                    Diagnostic::error(
                        "load/arg",
                        format!(
                            "`{}` and `{}` both arrive as `{}`",
                            first.name.value,
                            name.value,
                            arg.variable()
                        ),
                    )
                    .at(name.span, "")
                    .at(first.name.span, "the first"),
                );
            }
            variables.entry(arg.variable()).or_insert(arg);
            let ArgKind::Positional { repeat } = arg.kind else {
                if matches!(name.value.as_str(), "help" | "h") {
                    let message = format!("the flag `--{}` is taken: it shows the task's help", name.value);
                    self.say(Diagnostic::error("load/arg", message).at(name.span, ""));
                }
                continue;
            };
            if let Some(greedy) = greedy {
                self.say(
                    Diagnostic::error(
                        "load/arg",
                        format!(
                            "`{}` takes all that is left, so `{}` gets nothing",
                            greedy.name.value, name.value
                        ),
                    )
                    .at(greedy.name.span, "")
                    .at(name.span, "")
                    .help("put it last"),
                );
            } else if let Some(optional) = optional.filter(|_| arg.default.is_none() && !repeat) {
                self.say(
                    Diagnostic::error(
                        "load/arg",
                        format!(
                            "`{}` is required, and comes after `{}`, which is not",
                            name.value, optional.name.value
                        ),
                    )
                    .at(name.span, "")
                    .at(optional.name.span, "has a default")
                    .help("put the required arguments first"),
                );
            }
            if arg.default.is_some() {
                optional = Some(arg);
            }
            if repeat {
                greedy = Some(arg);
            }
        }
    }
}
