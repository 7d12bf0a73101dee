//! Where git keeps what is checked out.

use std::path::PathBuf;

use crate::engine::surroundings::Surroundings;

/// The folder with HEAD in it: `.git`, or in a work tree of its own what the file `.git` names.
pub(super) fn git_folder(around: &Surroundings<'_>) -> Option<PathBuf> {
    let git = around.root.ancestors().map(|folder| folder.join(".git")).find(|git| git.exists())?;
    if git.is_dir() {
        return Some(git);
    }
    let text = std::fs::read_to_string(&git).ok()?;
    let named = text.strip_prefix("gitdir:")?.trim();
    Some(git.parent()?.join(named))
}
