//! GitHub Actions.

use std::fmt::Write as _;

use super::{CACHED, Job, Workflow, beginning, header, quoted};

/// The workflow's text.
pub(super) fn text(workflow: &Workflow) -> String {
    let mut out = header(workflow);
    let _ = writeln!(out, "name: {}", quoted(&workflow.name));
    if workflow.shared {
        out.push_str(
            "# Not for pull requests of forks, which may not push a record: `envrun TARGET` needs none.\n",
        );
    }
    out.push_str("on:\n  push:\n  workflow_dispatch:\npermissions:\n");
    if workflow.shared {
        out.push_str("  # What came of each stage is pushed to `refs/envrun/stages`, which is no branch.\n");
        out.push_str("  contents: write\n");
    } else {
        out.push_str("  contents: read\n");
    }
    out.push_str("jobs:\n");
    for job in &workflow.jobs {
        add_job(&mut out, workflow, job);
    }
    out
}

fn add_job(out: &mut String, workflow: &Workflow, job: &Job) {
    let _ = writeln!(out, "  {}:", job.id);
    let name = job.desc.as_ref().map_or_else(|| job.stage.clone(), |desc| format!("{}: {desc}", job.stage));
    let _ = writeln!(out, "    name: {}", quoted(&name));
    let _ = writeln!(out, "    runs-on: ubuntu-latest");
    if !job.needs.is_empty() {
        let _ = writeln!(out, "    needs: [{}]", job.needs.join(", "));
    }
    if let Some(condition) = condition(job) {
        let _ = writeln!(out, "    if: {}", quoted(&condition));
    }
    if let Some(env) = &job.env {
        out.push_str("    # Secrets and approvals of that environment, as GitHub's settings have them.\n");
        let _ = writeln!(out, "    environment: {}", quoted(env));
    }
    out.push_str("    env:\n");
    out.push_str("      ENVRUN_CACHE_DIR: ${{ github.workspace }}/.envrun/cache\n");
    for secret in &job.secrets {
        let _ = writeln!(out, "      {secret}: ${{{{ secrets.{secret} }}}}");
    }
    out.push_str("    steps:\n");
    out.push_str("      - uses: actions/checkout@v4\n        with:\n          fetch-depth: 0\n");
    let prefix = |job: &str| format!("envrun.${{{{ runner.os }}}}.${{{{ github.sha }}}}.{job}.");
    let path: String = CACHED.iter().map(|folder| format!("\n            {folder}")).collect();
    let own = prefix(&job.id);
    // What the job before had is what this one begins with; each of several has something of its own.
    let first = job.needs.first();
    let _ = writeln!(
        out,
        "      - uses: actions/cache@v4\n        with:\n          path: |{path}\n          \
         key: {own}${{{{ github.run_id }}}}.${{{{ github.run_attempt }}}}\n          restore-keys: |"
    );
    if let Some(first) = first {
        let _ = writeln!(out, "            {}", prefix(first));
    }
    out.push_str("            envrun.${{ runner.os }}.\n");
    for other in job.needs.iter().skip(1) {
        let before = prefix(other);
        let _ = writeln!(
            out,
            "      - uses: actions/cache/restore@v4\n        with:\n          path: |{path}\n          \
             key: {before}none\n          restore-keys: {before}"
        );
    }
    let _ = writeln!(out, "      - name: Install envrun\n        run: {}", quoted(&workflow.install));
    let stage = quoted(&format!("envrun stage {}", job.stage));
    let _ = writeln!(out, "      - name: {stage}\n        run: {stage}");
}

/// The branches and tags that a job is for, as far as an expression of GitHub's can say it.
fn condition(job: &Job) -> Option<String> {
    let literal = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let one_of = |globs: &[String], name: &str| -> Option<String> {
        let fits: Option<Vec<String>> = globs
            .iter()
            .map(|glob| match beginning(glob)? {
                (whole, true) => Some(format!("{name} == {}", literal(whole))),
                (begin, false) => Some(format!("startsWith({name}, {})", literal(begin))),
            })
            .collect();
        fits.map(|fits| format!("({})", fits.join(" || ")))
    };
    let mut parts: Vec<String> = Vec::new();
    for globs in &job.branches {
        parts.extend(one_of(globs, "github.ref_name"));
    }
    for globs in &job.tags {
        parts.push("github.ref_type == 'tag'".into());
        if !globs.is_empty() {
            parts.extend(one_of(globs, "github.ref_name"));
        }
    }
    (!parts.is_empty()).then(|| parts.join(" && "))
}
