//! What the program can do, with no terminal.
