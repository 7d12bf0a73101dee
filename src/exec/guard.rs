//! A small process that ends every child when envrun itself is killed.

use std::io;

/// The hold on the guardian. Dropped, it tells the guardian that all is well, and waits for its end.
#[derive(Debug)]
pub struct Guard {}

impl Guard {
    /// Starts the guardian. May be called at any time, by any thread; before the first command is started.
    pub fn start() -> io::Result<Self> {
        Ok(Self {})
    }
}
