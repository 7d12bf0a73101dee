//! GitLab CI.

use std::fmt::Write as _;

use super::{CACHED, Job, Workflow, beginning, header, quoted};

/// The workflow's text.
pub(super) fn text(workflow: &Workflow) -> String {
    let mut out = header(workflow);
    if workflow.shared {
        out.push_str(
            "# What came of each stage is pushed to `refs/envrun/stages`, which is no branch: the project's settings must let job\n\
             # tokens push (Settings, CI/CD, Job token permissions).\n",
        );
    }
    out.push_str("variables:\n  GIT_DEPTH: \"0\"\n  ENVRUN_CACHE_DIR: $CI_PROJECT_DIR/.envrun/cache\n");
    out.push_str("default:\n  image: rust:latest\n");
    let _ = writeln!(out, "  before_script:\n    - {}", quoted(&workflow.install));
    let _ = writeln!(out, "  cache:\n    key: envrun\n    paths: [{}]\n    when: always", CACHED.join(", "));
    out.push_str("stages:\n");
    for job in &workflow.jobs {
        let _ = writeln!(out, "  - {}", quoted(&job.stage));
    }
    for job in &workflow.jobs {
        add_job(&mut out, job);
    }
    out
}

fn add_job(out: &mut String, job: &Job) {
    // A name that GitLab does not take for one of its own words.
    let _ = writeln!(out, "{}:", quoted(&name(&job.id)));
    let _ = writeln!(out, "  stage: {}", quoted(&job.stage));
    if let Some(desc) = &job.desc {
        let _ = writeln!(out, "  # {}", desc.replace('\n', " "));
    }
    if !job.needs.is_empty() {
        let needs: Vec<String> = job.needs.iter().map(|need| quoted(&name(need))).collect();
        let _ = writeln!(out, "  needs: [{}]", needs.join(", "));
    }
    if let Some(env) = &job.env {
        let _ = writeln!(out, "  environment: {}", quoted(env));
    }
    if !job.secrets.is_empty() {
        let secrets: Vec<&str> = job.secrets.iter().map(String::as_str).collect();
        let _ = writeln!(
            out,
            "  # Reads the CI/CD variables {} (Settings, CI/CD, Variables), scoped to its environment.",
            secrets.join(", ")
        );
    }
    if let Some(rule) = rule(job) {
        let _ = writeln!(out, "  rules:\n    - if: {}", quoted(&rule));
    }
    let _ = writeln!(out, "  script:\n    - {}", quoted(&format!("envrun stage {}", job.stage)));
}

/// What a job is called: no keyword of GitLab's is called like this.
fn name(id: &str) -> String {
    format!("stage-{id}")
}

/// The branches and tags that a job is for, as far as a rule of GitLab's can say it.
fn rule(job: &Job) -> Option<String> {
    let escaped = |text: &str| {
        let mut out = String::new();
        for c in text.chars() {
            if !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_') && c.is_ascii() {
                out.push('\\');
            }
            out.push(c);
        }
        out
    };
    let one_of = |globs: &[String], variable: &str| -> Option<String> {
        let fits: Option<Vec<String>> = globs
            .iter()
            .map(|glob| {
                let (begin, whole) = beginning(glob)?;
                let end = if whole { "$" } else { "" };
                Some(format!("{variable} =~ /^{}{end}/", escaped(begin)))
            })
            .collect();
        fits.map(|fits| format!("({})", fits.join(" || ")))
    };
    let mut parts: Vec<String> = Vec::new();
    for globs in &job.branches {
        parts.extend(one_of(globs, "$CI_COMMIT_BRANCH"));
    }
    for globs in &job.tags {
        match globs[..] {
            [] => parts.push("$CI_COMMIT_TAG".into()),
            _ => parts.extend(one_of(globs, "$CI_COMMIT_TAG")),
        }
    }
    (!parts.is_empty()).then(|| parts.join(" && "))
}
