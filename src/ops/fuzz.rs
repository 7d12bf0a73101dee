//! Any bytes as the body of a sealed answer.

use super::seal::Said;

/// A seal's body; gives what is for the checkout's own part of it.
pub(crate) fn seal(body: &[u8]) -> Option<&[u8]> {
    Some(Said::read(body)?.files)
}
