//! Which bytes are proved elsewhere, and still there.

use crate::cache::{LocalStore, Lookup};
use crate::ledger::{Artefact, History, Release};

use super::words::{short, title};

/// Why there are no proved bytes.
pub(super) struct Absent {
    /// Why.
    pub reason: String,
    /// What now.
    pub hint: Option<String>,
    /// The revision that is proved all the same.
    pub revision: Option<String>,
}

/// Whether everything that a release shipped is in the store, whole.
pub(super) fn is_there(store: &LocalStore, artefacts: &[Artefact]) -> bool {
    artefacts.iter().all(|artefact| match store.lookup(&artefact.key()) {
        Lookup::Hit(hit) => hit.result.outputs_digest() == artefact.digest && hit.is_whole(store),
        Lookup::Miss { .. } => false,
    })
}

/// What is to be done where bytes are not at hand.
pub(super) fn elsewhere(again: &str) -> String {
    format!(
        "whoever made them has them: share that cache folder (`ENVRUN_CACHE_DIR`), or make new ones here: `{again}`"
    )
}

/// The release of another environment that is proved and whole, or why there is none and what to do: what is available
/// is named.
pub(super) fn proved<'h>(
    history: &'h History,
    env: &str,
    node: &str,
    store: &LocalStore,
) -> Result<&'h Release, Absent> {
    let bare = |reason: String| Absent { reason, hint: None, revision: None };
    let went_live = |node: &&str| history.last_good(node).is_some();
    let nodes: Vec<&str> = history.nodes().into_iter().filter(went_live).collect();
    // A deploy may be called something else there.
    let there = match &nodes[..] {
        _ if nodes.contains(&node) => node,
        [only] => only,
        [] => {
            let hint = Some(format!("deploy there first: `envrun {env}.{node}`"));
            return Err(Absent { hint, ..bare(format!("nothing ever went live in `{env}`")) });
        }
        several => {
            return Err(bare(format!(
                "`{env}` has several deploys that went live, and none of them is `{node}`: {}",
                several.join(", ")
            )));
        }
    };
    let Some(good) = history.last_good(there) else {
        return Err(bare(format!("`{env}.{there}` never went live")));
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
    let available = match &others[..] {
        [] => String::new(),
        others => format!("; there are those of {}", others.join(", ")),
    };
    Err(Absent {
        reason: format!(
            "the bytes of {} in `{env}` are not in this cache: they were collected, or made elsewhere{available}",
            title(good)
        ),
        hint: Some(elsewhere(&format!("envrun {env}.{there}"))),
        revision: Some(good.began.revision.clone()),
    })
}
