//! Which bytes are proved elsewhere, and still there.

use crate::cache::{LocalStore, Lookup};
use crate::ledger::{Artefact, History, Release};

use super::words::{short, title};

/// Whether everything that a release shipped is in the store, whole.
pub(super) fn is_there(store: &LocalStore, artefacts: &[Artefact]) -> bool {
    artefacts.iter().all(|artefact| match store.lookup(&artefact.key()) {
        Lookup::Hit(hit) => hit.result.outputs_digest() == artefact.digest && hit.is_whole(store),
        Lookup::Miss { .. } => false,
    })
}

/// The release of another environment that is proved and whole, or why there is none: what is available is named.
pub(super) fn proved<'h>(
    history: &'h History,
    env: &str,
    node: &str,
    store: &LocalStore,
) -> Result<&'h Release, String> {
    let went_live = |node: &&str| history.last_good(node).is_some();
    let nodes: Vec<&str> = history.nodes().into_iter().filter(went_live).collect();
    // A deploy may be called something else there.
    let there = match &nodes[..] {
        _ if nodes.contains(&node) => node,
        [only] => only,
        [] => return Err(format!("nothing ever went live in `{env}`")),
        several => {
            return Err(format!(
                "`{env}` has several deploys that went live, and none of them is `{node}`: {}",
                several.join(", ")
            ));
        }
    };
    let Some(good) = history.last_good(there) else {
        return Err(format!("`{env}.{there}` never went live"));
    };
    if is_there(store, &good.artefacts) {
        return Ok(good);
    }
    let others: Vec<String> = history
        .of_node(there)
        .into_iter()
        .filter(|release| release.reached_live() && is_there(store, &release.artefacts))
        .map(|release| format!("{} ({})", release.id(), short(&release.began.revision)))
        .collect();
    let available = if others.is_empty() {
        format!("deploy `{env}.{there}` again to have some")
    } else {
        format!("there are those of {}", others.join(", "))
    };
    Err(format!("the bytes of {} in `{env}` were collected; {available}", title(good)))
}
