//! What a task's key is made of, and what changed since the last good run.
//!
//! | in the key | as | because |
//! |---|---|---|
//! | the key format's version | a number | a new envrun that hashes otherwise must not find old keys |
//! | operating system, architecture | their names | the same compiler makes other bytes |
//! | commands after interpolation | their text, shell text apart from words | they decide what is made |
//! | shell, `dir` | text, path from the root | the same text means something else there |
//! | every variable that reaches the task and is set | name, digest of its value; of a secret a keyed hash | a command may read it |
//! | arguments | as the variables `ARG_…` | a command may read them |
//! | each input | path from the root, executable bit, digest of its content or of a link's text | it may be read |
//! | what a link among the inputs leads to | as an input of its own | it is what is read through the link |
//! | each needed task | the digest of its *outputs* | an unchanged output stops a rebuild: early cut-off |
//! | declared outputs, depfiles | the patterns | they decide what is kept |
//! | `tools` | name, digest of the program that the search path leads to | another compiler makes other bytes |
//! | `sandbox "strict"` | that it is so; without the word nothing | what was made without it may rest on files that nobody declared |
//! | with `depfile`: each file that it named | as an input | it was read; the second level of the key |
//!
//! | not in the key | because |
//! |---|---|
//! | input patterns | what they name is: `src/*.c` and `src/a.c src/b.c` are the same inputs |
//! | the task's name, its needs' names | an equal task of another name makes the same; environments share what does not differ |
//! | keys of needed tasks | their outputs are what is read |
//! | file times, inodes, owners | they say nothing about bytes; only the stat that vouches for a digest rests on them |
//! | variables that are not set | a command cannot tell them from ones that were never named |
//! | `timeout`, `retry`, `pool`, `desc` … | they do not change what is made |
//! | the time, the machine, the user, where the checkout lies | a result is shared by all of them; a task that reads them says so with `uses` |
//!
//! How it works: if everything is what it was, word by word and file by file, so is the key
//! ([`Workspace::unchanged`]). If not, a [`Definition`] is [prepared](Workspace::prepare); a [check](Workspace::check) compares with the record
//! of the task's last good run, by stat where that is enough and by content where not, and gives either the digest of the
//! outputs or a [`Fingerprint`] with the [differences](Difference). After a run, [finish](Workspace::finish) looks at the
//! inputs again, reads depfiles and collects outputs; [store](Workspace::store) and [commit](Workspace::commit) keep the
//! result in the cache and in the checkout's state.
//!
//! Invariant: content decides, stat only saves work. A stat vouches for a digest only if size, both times, inode, device
//! and mode agree and the file was older than one tick of the file system's clock when it was read (see `stamp`).
//!
//! Invariant: the explanation is the decision. [`Manifest::key`] and [`Manifest::diff`] walk the same parts; no
//! difference is told without another key, and no other key without a difference.
//!
//! Invariant: no value of a variable, no text of a command and no secret is ever written down; only digests are.

mod aside;
mod declared;
mod definition;
mod depfile;
mod difference;
mod expand;
mod finish;
mod freshness;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod ignored;
mod interest;
mod journal;
mod keep;
mod look;
mod made;
mod manifest;
mod proved;
mod record;
mod release;
pub mod seal;
mod stamp;
mod state;
mod table;
#[cfg(test)]
mod tests;
mod tool;
mod unchanged;
mod workspace;

pub use crate::cache::{Lookup, RestoreError};
pub use aside::Aside;
pub use declared::Declared;
pub use definition::{Definition, Need, Variable};
pub use difference::{Change, Difference};
pub use finish::{FinishError, Finished, Moved};
pub use freshness::{Fingerprint, FingerprintError, Freshness, LastGood, Prepared, place_of};
pub use interest::Interest;
pub use look::is_of_an_editor;
pub use manifest::Manifest;
pub use workspace::{SecretKey, Workspace};
