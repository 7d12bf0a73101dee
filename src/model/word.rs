//! Words of the Envfile's own language, held as the program has them.

use serde::{Deserialize, Deserializer};

/// A word of the language, such as `render`.
pub type Word = &'static str;

/// Reads a word back from a compiled snapshot. The text is kept for the rest of the program: the language has a few dozen
/// words, and a file uses few of them that are not built yet.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Word, D::Error> {
    let text = String::deserialize(from)?;
    Ok(text.leak())
}
