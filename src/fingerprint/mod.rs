//! What a task's key is made of, and what changed since the last good run.

mod definition;
mod difference;
mod workspace;

pub use definition::{Definition, Need, Variable};
pub use difference::{Change, Difference};
pub use workspace::{
    Fingerprint, FingerprintError, FinishError, Finished, Freshness, Lookup, Moved, Prepared, RestoreError,
    SecretKey, Workspace,
};
