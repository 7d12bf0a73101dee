//! Runs a task with its file accesses watched, and declares what it forgot.

use std::path::{Path, PathBuf};

use crate::base::{RelPath, fs};
use crate::diag::{FileId, Span, Spanned};
use crate::engine::audit::{Audit, Sight};
use crate::model::{Action, Task};
use crate::plan::Force;
use crate::report::Reporters;
use crate::syntax::ast::Node;
use crate::syntax::{self, edit};

use super::run::{Request, Terms, carry_out};
use super::{Context, Problem, Project};

/// What came of an audit.
#[derive(Debug)]
pub struct Audited {
    /// What was seen.
    pub sight: Sight,
    /// The exit status of the run.
    pub exit: u8,
}

/// What was changed in an Envfile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fixed {
    /// `inputs` or `outputs`.
    pub word: &'static str,
    /// What was added to it, as a person would read it.
    pub added: Vec<String>,
    /// Which file.
    pub file: String,
}

/// What can be declared and what cannot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fix {
    /// What was changed.
    pub fixed: Vec<Fixed>,
    /// What was not, and why.
    pub left: Vec<(String, String)>,
}

/// Executes the one target of a request, whether or not it is up to date, and says what it touched.
pub fn audit(
    context: &Context,
    project: &mut Project,
    request: &Request,
    reporters: Reporters,
) -> Result<Audited, Problem> {
    let request = Request { force: Force::Targets, ..request.clone() };
    let audit = Audit::default();
    let (ending, _) =
        carry_out(context, project, &request, reporters, Terms { audit: Some(&audit), ..Terms::default() })?;
    let name = request.targets.first().map_or("", |target| target.name.as_str());
    match audit.sight() {
        Some(sight) => Ok(Audited { sight, exit: ending.exit }),
        None => Err(Problem::usage(
            format!("`{name}` was not executed, so there was nothing to see"),
            Some("its `when` must hold, and what it needs succeed".into()),
        )),
    }
}

/// Adds what a task forgot to declare to the Envfile. Whatever else stands there stays as it is written; a file in the
/// standard form stays in it.
pub fn fix(context: &Context, project: &Project, sight: &Sight) -> Result<Fix, Problem> {
    let mut fix = Fix::default();
    let mut inputs = Vec::new();
    for access in &sight.reads {
        let shown = || access.path.display().into_owned();
        match (sight.makers.get(&access.path), pattern(&sight.dir, &access.path)) {
            // Declared as an input it could be read before it is made.
            (Some(maker), _) if *maker != sight.label => {
                fix.left.push((shown(), format!("it is made by `{maker}`: add `needs \"{maker}\"`")));
            }
            (_, Some(pattern)) => inputs.push(pattern),
            (_, None) => fix.left.push((shown(), "no pattern can be written for its name".to_owned())),
        }
    }
    let mut outputs = Vec::new();
    for access in &sight.writes {
        let shown = access.path.display().into_owned();
        let path = access.path.below(project.root());
        match pattern(&sight.dir, &access.path) {
            _ if path.symlink_metadata().is_err() => {
                fix.left.push((shown, "it is removed: a task may only take away what it made".to_owned()));
            }
            _ if access.before.is_some() && (access.uses.is_read() || !access.replaced) => {
                fix.left.push((shown, "it is changed in place: an output is made anew".to_owned()));
            }
            Some(pattern) => outputs.push(pattern),
            None => fix.left.push((shown, "no pattern can be written for its name".to_owned())),
        }
    }
    let mut edits = Edits { project, files: Vec::new() };
    let words = [("inputs", &sight.task.inputs, inputs), ("outputs", &sight.task.outputs, outputs)];
    for (word, declared, added) in words {
        if added.is_empty() {
            continue;
        }
        let file = edits.add(&sight.task, word, declared.as_deref().unwrap_or_default(), &added)?;
        fix.fixed.push(Fixed { word, added, file });
    }
    edits.write(context)?;
    Ok(fix)
}

/// How a task names a file: relative to the folder it runs in, and what would be a pattern written out.
fn pattern(dir: &RelPath, path: &RelPath) -> Option<String> {
    let path_text = std::str::from_utf8(path.as_bytes()).ok()?;
    if path_text.contains(char::is_control) {
        return None;
    }
    let common = dir.components().zip(path.components()).take_while(|(a, b)| a == b).count();
    let up = dir.components().count() - common;
    let mut text = "../".repeat(up);
    let below: Vec<&str> = path_text.split('/').skip(common).collect();
    text.push_str(&below.join("/"));
    let mut pattern = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '*' | '?' | '[' | ']' | '{' | '}' | '\\' => pattern.extend(['\\', c]),
            '$' if rest.peek().is_some_and(|next| next.is_alphabetic() || matches!(next, '_' | '{')) => {
                pattern.push_str("$$");
            }
            c => pattern.push(c),
        }
    }
    if pattern.starts_with('!') {
        pattern.insert_str(0, "./");
    }
    Some(pattern)
}

/// Changed texts, not yet written.
struct Edits<'a> {
    project: &'a Project,
    files: Vec<Edited>,
}

struct Edited {
    path: PathBuf,
    old: String,
    insertions: Vec<edit::Insertion>,
}

impl Edits<'_> {
    /// Adds patterns to a word of a task; the file in which that is done.
    fn add(
        &mut self,
        task: &Task,
        word: &'static str,
        declared: &[Spanned<String>],
        added: &[String],
    ) -> Result<String, Problem> {
        // Beside the last of those that are there, or, if there are none, beside the command that wants them.
        let action = |action: &&Spanned<Action>| !matches!(action.value, Action::Unbuilt(_));
        let place = declared.last().map(|last| last.span);
        let place =
            place.or_else(|| task.actions.iter().find(action).map(|action| action.span)).unwrap_or(task.span);
        let source = self.project.sources().file(place.file);
        let text = source.text();
        let document = syntax::parse(place.file, text).map_err(|errors| self.project.problem(errors))?;
        let insertions = insertions(text, &document.nodes, place, word, added).ok_or_else(|| {
            Problem::usage(
                format!("the place of `{word}` in {} was not found", source.name),
                Some(format!("add to the task `{}`: {word} {}", task.name, list(added))),
            )
        })?;
        match self.files.iter_mut().find(|file| file.path == source.path) {
            Some(file) => file.insertions.extend(insertions),
            None => {
                self.files.push(Edited { path: source.path.clone(), old: text.to_owned(), insertions });
            }
        }
        Ok(source.name.clone())
    }

    /// Writes every changed file, and takes all back if the Envfile does not load any longer.
    fn write(self, context: &Context) -> Result<(), Problem> {
        for file in &self.files {
            let new = edit::insert(&file.old, file.insertions.clone());
            let is_standard = syntax::format(FileId(0), &file.old).is_ok_and(|standard| standard == file.old);
            let new = if is_standard { syntax::format(FileId(0), &new).unwrap_or(new) } else { new };
            if fs::read_text(&file.path)? != file.old {
                return Err(Problem::usage(
                    format!("{} was changed while the task ran", file.path.display()),
                    Some("nothing was added to it; run the audit again".into()),
                ));
            }
            fs::write_atomic(&file.path, new.as_bytes())?;
        }
        let root_file: Option<&Path> = self.project.sources().files().first().map(|file| file.path.as_path());
        Project::open(context, root_file).map(drop).inspect_err(|_| {
            for file in &self.files {
                // It was written a moment ago, so it can be written again; if not, the problem is told all the same.
                let _ = fs::write_atomic(&file.path, file.old.as_bytes());
            }
        })
    }
}

fn list(values: &[String]) -> String {
    values.iter().map(|value| edit::quoted(value)).collect::<Vec<_>>().join(" ")
}

/// What has to be put in so that `word` of the task around `place` has more values.
fn insertions(
    text: &str,
    nodes: &[Node],
    place: Span,
    word: &str,
    added: &[String],
) -> Option<Vec<edit::Insertion>> {
    let holds = |outer: Span| outer.start <= place.start && place.end() <= outer.end();
    let mut parent: Option<&Node> = None;
    let mut at = nodes.iter().find(|node| holds(node.span))?;
    while let Some(child) = at.children().iter().find(|child| holds(child.span)) {
        // The task is the innermost block around the place that is called so.
        if at.name.value == "task" {
            break;
        }
        parent = Some(at);
        at = child;
    }
    let task = if at.name.value == "task" { at } else { parent? };
    let last = task.children().iter().rfind(|child| child.name.value == word);
    Some(match last {
        Some(last) => edit::add_values(text, task, last, added),
        None => edit::add_child(text, task, word, added, &["outputs", "depfile", "tools", "run", "call"]),
    })
}
