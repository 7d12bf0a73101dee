//! Whether anybody is still at work on a release that has no end.

use std::path::Path;

use crate::base::{Boot, Life};
use crate::record::runs_dir;

use super::{Release, Who};

/// How it stands with a release that has no end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Somebody is at work on it.
    GoesOn,
    /// Nobody is any more.
    CutShort,
    /// That cannot be told from here.
    Unknown,
}

impl Release {
    /// Whether the checkout at `root` is the one that has it, as far as its runs are kept.
    pub fn is_of(&self, root: &Path) -> bool {
        runs_dir(root).join(&self.hands("").run).is_dir()
    }

    /// How it stands with it, for one who found that nobody holds the lock of its environment in the checkout at `root`.
    ///
    /// A process can be asked for only from where its number is one; see [`crate::base::Identity`]. Besides, the lock of
    /// a folder is free when its holder is gone: that tells of what was begun in this folder under the same kernel, or on
    /// a machine of the same name before it was started again.
    pub fn standing(&self, root: &Path, own: &Who) -> Standing {
        let hands = self.hands("");
        let process = hands.who.process;
        if process == own.process {
            return Standing::CutShort;
        }
        let is_named_alike = hands.who.host == own.host;
        // Where nothing but a number is known, another machine has one like it.
        let life = if process.boot.is_known() || is_named_alike { process.life() } else { Life::Unknown };
        match life {
            Life::Lives => Standing::GoesOn,
            Life::Gone => Standing::CutShort,
            Life::Unknown => {
                let is_of_here = self.is_of(root);
                let is_of_this_kernel = process.boot.is_known() && process.boot == Boot::here();
                match is_of_here && (is_of_this_kernel || is_named_alike) {
                    true => Standing::CutShort,
                    false => Standing::Unknown,
                }
            }
        }
    }
}
