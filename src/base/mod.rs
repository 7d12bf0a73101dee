//! Things the standard library might have had: paths inside a project, files with errors that name them, globs,
//! digests, the clock, who a process is, cron expressions, times of the week, versions, durations and sizes as people write them.
//!
//! Invariant: nothing in here knows what envrun is.

pub mod clock;
pub mod codec;
pub mod cron;
pub mod digest;
pub mod fs;
pub mod glob;
pub mod map;
pub mod path;
pub mod process;
pub mod text;
pub mod unit;
pub mod version;
pub mod window;

pub use clock::{Clock, Timestamp};
pub use cron::Cron;
pub use digest::{Digest, checksum};
pub use path::RelPath;
pub use process::{Boot, Identity, Life};
pub use version::{Version, VersionRange};
pub use window::Window;
