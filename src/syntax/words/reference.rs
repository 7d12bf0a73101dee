//! `docs/envfile.md`, printed from the table.

/// The reference of the Envfile, in Markdown.
pub fn reference() -> String {
    String::new()
}
