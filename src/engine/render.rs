//! The `render` actions of a node: what a file would hold, whether it may be written, and that it is written whole.
//!
//! ```text
//! variables ─▶ content ─▶ kept from git? ─▶ unchanged? ─▶ changed by hand? ─▶ write ─▶ note what was written
//! ```
//!
//! A file is envrun's own if it holds what was written last, or what git has. Anything else is somebody's work, and is
//! shown and left alone unless the node is forced.

use std::io::Write as _;
use std::path::Path;

use crate::base::fs::{self, FsError};
use crate::base::{Digest, RelPath};
use crate::diag::Diagnostic;
use crate::event::{Failure, Stream};
use crate::model::{Content, Only, Render, Task};
use crate::record::RenderedFile;
use crate::render::{self, Form, RenderError, Rendered, Shown, Variable};
use crate::vars::write::{misread, misread_by};
use crate::vars::{Form as TextForm, Lookup, TaskValues};

use super::command::{Attempt, Carry};

/// What envrun gives to whatever mentions it.
const GIVEN: &[&str] =
    &["ENVRUN_ENV", "ENVRUN_STAGE", "ENVRUN_REVISION", "ENVRUN_PREVIOUS", "ENVRUN_RUN", "ENVRUN_TIME"];

/// A file that is to be rendered.
pub struct Draft {
    /// Where.
    pub path: RelPath,
    /// What it will hold.
    pub rendered: Rendered,
    variables: Vec<Variable>,
    /// What it would hold if every secret were stars.
    masked: Option<Rendered>,
}

/// Where a file is rendered, in a folder; what the path mentions comes from `values`.
pub fn path(render: &Render, dir: &RelPath, values: &TaskValues) -> Result<RelPath, String> {
    resolve(&render.path, dir, values)
}

fn resolve(
    text: &crate::diag::Spanned<String>,
    dir: &RelPath,
    values: &TaskValues,
) -> Result<RelPath, String> {
    let filled = values.interpolate(&text.value, TextForm::Text, text.span).map_err(|wrong| said(&wrong))?;
    dir.resolve(&filled).map_err(|error| error.to_string())
}

impl Draft {
    /// The values that no dotenv line says to everybody.
    fn misread(&self) -> impl Iterator<Item = String> {
        self.variables.iter().filter_map(|variable| match &variable.value {
            render::Content::Text(text) => Some(misread_by(&variable.name, misread(text)?)),
            _ => None,
        })
    }
}

impl Carry<'_> {
    /// Writes one file, and says what came of it.
    pub(super) fn render(&mut self, render: &Render, task: &Task) -> Attempt {
        let draft = match self.draft(render, task) {
            Ok(draft) => draft,
            Err(reason) => return Attempt::Failed(Failure::Io { reason }),
        };
        match self.write(&draft) {
            Ok(said) => {
                self.rendered.push((draft.path.clone(), Digest::of(draft.rendered.text.as_bytes())));
                self.print(Stream::Stdout, &said);
                if render.content == Content::Dotenv {
                    for notice in draft.misread() {
                        self.print(Stream::Stderr, &format!("notice: {notice}"));
                    }
                }
                Attempt::Good
            }
            Err(failure) => Attempt::Failed(failure),
        }
    }

    /// Works out what a file will hold. The error is a reason in words.
    fn draft(&self, render: &Render, task: &Task) -> Result<Draft, String> {
        let values = if std::ptr::eq(task, &*self.node.task) {
            self.scene.values.clone()
        } else {
            self.around.task_values(self.node, task)
        };
        let dir = &self.scene.dir;
        let path = path(render, dir, &values)?;
        let mut text = |text: &crate::diag::Spanned<String>| {
            values.interpolate(&text.value, TextForm::Text, text.span).map_err(|wrong| said(&wrong))
        };
        let form = match &render.content {
            Content::Dotenv => Form::Dotenv,
            Content::Json => Form::Json,
            Content::Shell => Form::Shell,
            Content::KubernetesSecret { name, namespace } => Form::KubernetesSecret {
                name: text(name)?,
                namespace: namespace.as_ref().map(&mut text).transpose()?,
            },
            Content::Template(template) => {
                let template = resolve(template, dir, &values)?;
                return self.fill(path, &template, &values, task);
            }
        };
        let variables = self.variables(&values, task, render.only);
        let rendered = render::format(&form, &variables).map_err(|error| told(&path, &error))?;
        let masked = render::format(&form, &Shown::masked(&variables)).ok();
        Ok(Draft { path, rendered, variables, masked })
    }

    fn fill(
        &self,
        path: RelPath,
        template: &RelPath,
        values: &TaskValues,
        task: &Task,
    ) -> Result<Draft, String> {
        let file = template.below(self.around.root);
        let source = fs::read_text(&file).map_err(|error| error.to_string())?;
        let mut variables = self.variables(values, task, None);
        let args = self.node.task.args.iter().map(crate::model::ArgSpec::variable);
        // What a cacheable task is given has to be in its key: there it is only what `uses` lists.
        let given = GIVEN.iter().filter(|name| {
            source.contains(**name) && (!self.node.task.is_cacheable() || self.scene.names.contains(**name))
        });
        for name in args.chain(given.map(|name| (*name).to_owned())) {
            if !variables.iter().any(|known| known.name == name) {
                let lookup = values.lookup(&name);
                variables.push(variable(name, None, &lookup));
            }
        }
        let name = template.display();
        let rendered = render::template(&name, &source, &variables).map_err(|error| told(&path, &error))?;
        let masked = render::template(&name, &source, &Shown::masked(&variables)).ok();
        Ok(Draft { path, rendered, variables, masked })
    }

    /// Every variable that is declared, and what the task uses beside them.
    fn variables(&self, values: &TaskValues, task: &Task, only: Option<Only>) -> Vec<Variable> {
        let mut variables = Vec::new();
        for declared in values.declared() {
            let is_secret = match &declared.lookup {
                Lookup::Value { secret, .. } => *secret,
                Lookup::Missing(_) | Lookup::Undeclared => declared.secret,
            };
            if only.is_none_or(|only| is_secret == (only == Only::Secrets)) {
                variables.push(variable(declared.name.to_string(), declared.ty, &declared.lookup));
            }
        }
        for name in self.node.task.uses.iter().chain(&task.uses).map(|name| &name.value) {
            let lookup = values.lookup(name);
            let is_declared = values.values().is_declared(name) || variables.iter().any(|v| v.name == *name);
            if !is_declared && only != Some(Only::Secrets) && lookup.text().is_some() {
                variables.push(variable(name.clone(), None, &lookup));
            }
        }
        variables
    }

    /// Writes a file, unless it is there already or must not be written.
    fn write(&mut self, draft: &Draft) -> Result<String, Failure> {
        let root = self.around.root;
        let shown = draft.path.display();
        let file = draft.path.below(root);
        // With the file's content, a secret too.
        fs::sweep_beside(&file);
        let io = |error: FsError| Failure::Io { reason: error.to_string() };
        self.inside(&draft.path)?;
        let there = match file.symlink_metadata() {
            Ok(meta) if meta.is_dir() => {
                return Err(Failure::Io {
                    reason: format!("`{shown}` is a folder, and a file is to be written there"),
                });
            }
            Ok(meta) => Some((fs::read_if_there(&file).map_err(io)?, meta)),
            Err(_) => None,
        };
        let new = draft.rendered.text.as_bytes();
        let known = RenderedFile::of(root, &draft.path);
        let note = RenderedFile {
            path: shown.clone().into_owned(),
            node: self.node.label.clone(),
            digest: Digest::of(new).to_hex(),
            secret: draft.rendered.secret,
        };
        // One that is unchanged too: git may have come to see it since it was written.
        self.ignored(draft)?;
        if let Some((Some(old), meta)) = &there
            && old == new
            && meta.is_file()
        {
            if draft.rendered.secret && is_open(meta) {
                close(&file).map_err(io)?;
            }
            if known.as_ref() != Some(&note) {
                note.note(root, &draft.path).map_err(io)?;
            }
            return Ok(format!("{shown} is unchanged"));
        }
        if let Some((old, meta)) = &there
            && !self.force
        {
            let old = old.as_deref().unwrap_or_default();
            let is_ours = meta.is_file()
                && match &known {
                    Some(known) => known.is(old),
                    None => self.around.git.has_content(&file),
                };
            if !is_ours {
                return Err(self.drift(draft, old, known.is_some()));
            }
        }
        let mode = if draft.rendered.secret { 0o600 } else { 0o666 };
        fs::write_atomic_with(&file, mode, |file| file.write_all(new)).map_err(io)?;
        note.note(root, &draft.path).map_err(io)?;
        let count = draft.rendered.variables;
        let plural = if count == 1 { "" } else { "s" };
        let secret = if draft.rendered.secret { ", a secret among them" } else { "" };
        Ok(format!("wrote {shown} ({count} variable{plural}{secret})"))
    }

    /// A file with a secret is written only where git never sees it.
    fn ignored(&self, draft: &Draft) -> Result<(), Failure> {
        if !draft.rendered.secret {
            return Ok(());
        }
        let path = &draft.path;
        let refused = |reason: String| Err(Failure::Refused { reasons: vec![reason] });
        match self.around.ignored.ignores(&path.below(self.around.root)) {
            None | Some(true) => Ok(()),
            Some(false) => refused(format!(
                "`{path}` would hold a secret, and git does not ignore it\nhint: echo '/{path}' >> .gitignore   (and \
                 `git rm --cached '{path}'` if it was committed)",
                path = path.display()
            )),
        }
    }

    /// No link on the way leads out of the project.
    fn inside(&self, path: &RelPath) -> Result<(), Failure> {
        let mut folder = path.parent();
        while let Some(at) = folder {
            match at.below(self.around.root).canonicalize() {
                Ok(real) if real.starts_with(self.around.root) => return Ok(()),
                Ok(real) => {
                    let reason =
                        format!("`{}` leads out of the project, to {}", at.display(), real.display());
                    return Err(Failure::Outputs { reason });
                }
                Err(_) => folder = at.parent(),
            }
        }
        Ok(())
    }

    /// Shows what would be lost.
    fn drift(&mut self, draft: &Draft, old: &[u8], was_rendered: bool) -> Failure {
        let old = String::from_utf8_lossy(old);
        let shown = Shown::new(&draft.rendered, draft.masked.as_ref(), &draft.variables);
        let (path, label) = (draft.path.display(), &self.node.label);
        let mut text = format!("{path}: `-` is there, `+` would be written");
        for line in shown.difference(&old, &draft.rendered.text) {
            text.push_str(&format!("\n  {line}"));
        }
        self.print(Stream::Stderr, &text);
        let what = if was_rendered {
            "was changed by hand since it was rendered"
        } else {
            "is there, and was not written by envrun"
        };
        let hint = "hint: put what you want to keep into the Envfile, a dotenv file or the template";
        Failure::Refused {
            reasons: vec![format!("`{path}` {what}\n{hint}; `envrun {label} --force` overwrites it")],
        }
    }
}

fn variable(name: String, ty: Option<crate::model::VarType>, lookup: &Lookup) -> Variable {
    let (value, secret) = match lookup {
        Lookup::Value { text, secret, .. } => (render::Content::Text(text.clone()), *secret),
        Lookup::Missing(wrong) => (render::Content::Missing(said(wrong)), false),
        Lookup::Undeclared => (render::Content::Nothing, false),
    };
    Variable { name, ty, value, secret }
}

fn said(wrong: &Diagnostic) -> String {
    match &wrong.help {
        Some(help) => format!("{}\nhint: {help}", wrong.message),
        None => wrong.message.clone(),
    }
}

fn told(path: &RelPath, error: &RenderError) -> String {
    let hint = error.hint().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
    format!("cannot render `{}`: {error}{hint}", path.display())
}

/// Whether others than its owner may read a file.
fn is_open(meta: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    meta.permissions().mode() & 0o077 != 0
}

fn close(file: &Path) -> Result<(), FsError> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600))
        .map_err(|error| FsError::new("change the permissions of", file, error))
}
