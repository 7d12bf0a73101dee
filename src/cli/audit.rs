//! `envrun audit`: what a task reads and writes without saying so.

use std::fmt::Write as _;

use serde::Serialize;

use crate::base::RelPath;
use crate::exec::Access;
use crate::ops::audit::{Audited, Fix, audit, fix};
use crate::ops::run::Request;
use crate::ops::target::{Asked, declared};
use crate::ops::{Problem, Project};
use crate::report::Reporters;

use super::args::{AuditArgs, OutputStyle};
use super::run::words_problem;
use super::words::split;
use super::{Invocation, terminal};

/// Something is not declared.
const EXIT_UNDECLARED: u8 = 1;

pub fn run(invocation: &Invocation<'_>, args: &AuditArgs) -> Result<u8, Problem> {
    let context = invocation.context;
    let mut project = Project::open(context, invocation.place.file.as_deref())?;
    let default = args.env.as_deref().map(Into::into);
    let default = default.or_else(|| project.envfile().default_env.as_ref().map(|env| env.value.clone()));
    let mut words = vec![args.target.clone()];
    words.extend(args.words.iter().cloned());
    let words = split(&words, |name| declared(project.envfile(), name, default.as_ref()))
        .map_err(|error| words_problem(&error))?;
    let [target] = <[_; 1]>::try_from(words.targets)
        .map_err(|_| Problem::usage("`envrun audit` wants one target", None))?;
    let request = Request {
        targets: vec![Asked { name: target.name, args: target.args }],
        env: args.env.clone(),
        read_cache: true,
        write_cache: true,
        ..Request::default()
    };
    let mut reporters = Reporters::new(context.clock.clone());
    // Standard output is for what was found.
    reporters.add("output", invocation.terminal.reporter(context, OutputStyle::Errors, false));
    let audited = audit(context, &mut project, &request, reporters)?;
    let sight = &audited.sight;
    let done = if args.fix { Some(fix(context, &project, sight)?) } else { None };
    let text = if args.json {
        let mut text = serde_json::to_string_pretty(&Json::of(&audited, done.as_ref()))
            .expect("texts and lists of texts are JSON");
        text.push('\n');
        text
    } else {
        text(&audited, args, done.as_ref())
    };
    terminal::print(&invocation.context.redactor.text(&text))
        .map_err(|source| Problem::System { doing: "write to standard output", source })?;
    let is_clean = match &done {
        Some(fix) => fix.left.is_empty(),
        None => sight.reads.is_empty() && sight.writes.is_empty(),
    };
    Ok(if audited.exit == 0 && !is_clean { EXIT_UNDECLARED } else { audited.exit })
}

fn text(audited: &Audited, args: &AuditArgs, fix: Option<&Fix>) -> String {
    let sight = &audited.sight;
    let label = &sight.label;
    let mut out = String::new();
    if audited.exit != 0 {
        let _ = writeln!(out, "note: `{label}` failed: what it would have done next was not seen");
    } else if sight.reads.is_empty() && sight.writes.is_empty() {
        let _ = writeln!(out, "`{label}` declares every file that it reads and writes");
    }
    let maker = |access: &Access| match sight.makers.get(&access.path) {
        Some(maker) if *maker != *label => format!(", made by `{maker}`, which it does not need"),
        _ => String::new(),
    };
    list(&mut out, &format!("`{label}` reads, and does not declare:"), &sight.reads, maker);
    list(&mut out, &format!("`{label}` writes, and does not declare:"), &sight.writes, |_| String::new());
    if args.verbose {
        let none = |_: &Access| String::new();
        list(&mut out, "it lists folders that no pattern looks into:", &sight.listed, none);
        list(&mut out, "it looks for files that are not there:", &sight.absent, none);
        paths(&mut out, "it declares inputs that it did not read:", &sight.unread);
        if !sight.outside.is_empty() {
            let _ = writeln!(out, "outside of the project it touches:");
            for path in &sight.outside {
                let _ = writeln!(out, "  {}", path.display());
            }
        }
    }
    if let Some(first) = sight.beside.first() {
        let by = &first.by;
        let _ = writeln!(
            out,
            "note: `{by}` reads what belongs to git, which is never an input: what it makes of that is in no key"
        );
    }
    for gap in &sight.gaps {
        let _ = writeln!(out, "note: {gap}; something may be missing here");
    }
    if let Some(fix) = fix {
        for fixed in &fix.fixed {
            let _ = writeln!(out, "added to `{}` in {}: {}", fixed.word, fixed.file, fixed.added.join(" "));
        }
        for (path, reason) in &fix.left {
            let _ = writeln!(out, "left to you: {path}: {reason}");
        }
    } else if !sight.reads.is_empty() || !sight.writes.is_empty() {
        let _ = writeln!(out, "hint: `envrun audit {label} --fix` declares what is missing in the Envfile");
    }
    out
}

fn list(out: &mut String, title: &str, accesses: &[Access], more: impl Fn(&Access) -> String) {
    if accesses.is_empty() {
        return;
    }
    let _ = writeln!(out, "{title}");
    for access in accesses {
        let by = if access.by.is_empty() {
            String::new()
        } else {
            format!(" ({} by `{}`)", did(access), access.by)
        };
        let _ = writeln!(out, "  {}{by}{}", access.path.display(), more(access));
    }
}

fn paths(out: &mut String, title: &str, paths: &[RelPath]) {
    if paths.is_empty() {
        return;
    }
    let _ = writeln!(out, "{title}");
    for path in paths {
        let _ = writeln!(out, "  {}", path.display());
    }
}

/// The most telling thing that was done to a file.
fn did(access: &Access) -> &'static str {
    let uses = access.uses;
    match access.before {
        None if uses.written => "made",
        Some(_) if uses.written => "changed",
        _ if uses.removed => "removed",
        _ if uses.run => "executed",
        _ if uses.read => "read",
        _ if uses.listed => "listed",
        _ => "looked for",
    }
}

#[derive(Serialize)]
struct Json<'a> {
    label: &'a str,
    exit: u8,
    undeclared_reads: Vec<JsonAccess<'a>>,
    undeclared_writes: Vec<JsonAccess<'a>>,
    listed: Vec<JsonAccess<'a>>,
    absent: Vec<JsonAccess<'a>>,
    unread: Vec<String>,
    outside: Vec<String>,
    gaps: &'a [String],
    fixed: Vec<JsonFixed<'a>>,
    left: Vec<JsonLeft<'a>>,
}

#[derive(Serialize)]
struct JsonAccess<'a> {
    path: String,
    did: &'static str,
    by: &'a str,
    made_by: Option<&'a str>,
}

#[derive(Serialize)]
struct JsonFixed<'a> {
    word: &'a str,
    added: &'a [String],
    file: &'a str,
}

#[derive(Serialize)]
struct JsonLeft<'a> {
    path: &'a str,
    reason: &'a str,
}

impl<'a> Json<'a> {
    fn of(audited: &'a Audited, fix: Option<&'a Fix>) -> Self {
        let sight = &audited.sight;
        let access = |access: &'a Access| JsonAccess {
            path: access.path.display().into_owned(),
            did: did(access),
            by: &access.by,
            made_by: sight.makers.get(&access.path).map(String::as_str),
        };
        let all = |accesses: &'a [Access]| accesses.iter().map(access).collect();
        let fixed = |fixed: &'a crate::ops::audit::Fixed| JsonFixed {
            word: fixed.word,
            added: &fixed.added,
            file: &fixed.file,
        };
        Self {
            label: &sight.label,
            exit: audited.exit,
            undeclared_reads: all(&sight.reads),
            undeclared_writes: all(&sight.writes),
            listed: all(&sight.listed),
            absent: all(&sight.absent),
            unread: sight.unread.iter().map(|path| path.display().into_owned()).collect(),
            outside: sight.outside.iter().map(|path| path.display().to_string()).collect(),
            gaps: &sight.gaps,
            fixed: fix.iter().flat_map(|fix| fix.fixed.iter().map(fixed)).collect(),
            left: fix
                .iter()
                .flat_map(|fix| fix.left.iter().map(|(path, reason)| JsonLeft { path, reason }))
                .collect(),
        }
    }
}
