//! What may be a name.

/// Why `text` cannot be the name of a node (dots allowed) or of an environment, a namespace, a project; nothing if it
/// can.
pub(super) fn wrong(text: &str, dots: bool) -> Option<String> {
    if text.is_empty() {
        return Some("it is empty".into());
    }
    if text.starts_with('-') {
        return Some("the command line would take it for a flag".into());
    }
    if text.starts_with(['.', '/']) || text.ends_with(['.', '/']) {
        return Some("it begins or ends with `.` or `/`".into());
    }
    let bad = text.chars().find(|&c| {
        let fine = c.is_alphanumeric() || "-_+".contains(c) || (dots && "./".contains(c));
        !fine
    })?;
    Some(match bad {
        ' ' | '\t' => "it holds a space".into(),
        bad => format!("it holds `{bad}`"),
    })
}
