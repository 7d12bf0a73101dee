//! Whoever uses the terminal in a way of his own, and lets go of it for a command that has it to itself, and for Ctrl-Z.

use std::fmt;
use std::sync::Arc;

/// Told `false` before somebody else has the terminal, `true` when that is over.
#[derive(Clone)]
pub struct Tenant(Arc<dyn Fn(bool) + Send + Sync>);

impl Tenant {
    /// `has_it` leaves the terminal as it was found, or takes it again; when it returns that is done.
    pub fn new(has_it: impl Fn(bool) + Send + Sync + 'static) -> Self {
        Self(Arc::new(has_it))
    }

    /// Leaves the terminal until what this gives is dropped.
    pub(super) fn lend(&self) -> Lent {
        (self.0)(false);
        Lent(self.clone())
    }
}

impl fmt::Debug for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tenant")
    }
}

/// The terminal is lent.
pub(super) struct Lent(Tenant);

impl Drop for Lent {
    fn drop(&mut self) {
        (self.0.0)(true);
    }
}
