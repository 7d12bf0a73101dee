//! What killed envruns left of secrets and of other environments' data: whoever comes by removes it.
//!
//! A copy of every secret that was about to replace a file, a snapshot that was half saved, a raw copy that was to be
//! sanitised: nobody would look for them there, so nobody may have to. What a living process is at stays.

use std::path::Path;

use crate::base::fs;
use crate::engine::snapshot::sweep_loads;
use crate::record::STATE_DIR;
use crate::snapshot::Archive;

use super::secret::sweep_replaced;

/// Removes it, in the folder of a project.
pub(super) fn sweep(root: &Path) {
    fs::sweep(&root.join(STATE_DIR).join("secrets"));
    sweep_replaced(root);
    let envs = root.join(STATE_DIR).join("env");
    fs::sweep(&envs);
    for env in std::fs::read_dir(&envs).into_iter().flatten().flatten() {
        fs::sweep(&env.path());
    }
    Archive::sweep_all(root);
    sweep_loads(root);
}
