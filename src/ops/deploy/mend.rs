//! A ledger that is damaged, or has other lines than the shared one, is put in order.

use crate::ledger::{self, Holder};
use crate::record::RunId;

use super::super::{Context, Problem, Project};
use super::begin::{remote, who};

/// Puts the ledger of an environment in order, and says what was done, a line for each thing.
pub fn mend(context: &Context, project: &Project, env: &str) -> Result<Vec<String>, Problem> {
    let env = super::super::target::environment(project.envfile(), env)?;
    let now = context.clock.now();
    let holder = Holder {
        who: who(context, project.root()),
        since: now,
        doing: format!("deploy mend {env}"),
        run: RunId::draw(now).to_string(),
        ..Holder::default()
    };
    let mended = ledger::mend(project.root(), env.as_str(), &holder, &context.clock, remote(project))?;
    let mut told = Vec::new();
    let Some(kept) = &mended.kept else {
        told.push(match mended.shared {
            true => {
                format!("the ledger of `{env}` is in order; what others did not know of it is shared now")
            }
            false => format!("the ledger of `{env}` is in order"),
        });
        return Ok(told);
    };
    told.push(format!(
        "the ledger of `{env}` is in order again; what was there before is in {}",
        kept.display()
    ));
    if mended.added > 0 && remote(project).is_some() {
        told.push(format!(
            "{} that only this checkout had stand behind the shared ones",
            lines(mended.added)
        ));
    }
    for (old, new) in &mended.numbers {
        told.push(format!("release {old} of this checkout is release {new} now"));
    }
    if mended.left > 0 {
        told.push(format!(
            "{} of releases that the shared ledger tells otherwise were left out",
            lines(mended.left)
        ));
    }
    if mended.lost > 0 {
        told.push(format!(
            "{} could not be read: look at what is live before you deploy",
            lines(mended.lost)
        ));
    }
    told.push(format!("`envrun status {env}` shows what is live by it"));
    Ok(told)
}

fn lines(count: usize) -> String {
    format!("{count} line{}", if count == 1 { "" } else { "s" })
}
