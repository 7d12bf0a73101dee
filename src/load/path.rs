//! Paths as an Envfile writes them, folded by their letters alone.

/// `text`, written relative to `folder`, relative to what `folder` is relative to: `.` and `..` folded, `/` between.
/// It may begin with `..` where it climbs out. An absolute text stays as it is. The folder itself is the empty text.
pub(super) fn join(folder: &str, text: &str) -> String {
    if text.starts_with('/') {
        return text.to_owned();
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in folder.split('/').chain(text.split('/')) {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    let joined = parts.join("/");
    if folder.starts_with('/') { format!("/{joined}") } else { joined }
}

/// The folder that a file lies in.
pub(super) fn parent(file: &str) -> &str {
    match file.rsplit_once('/') {
        Some(("", _)) => "/",
        Some((folder, _)) => folder,
        None => "",
    }
}

/// Whether a joined path lies outside of what it is relative to.
pub(super) fn is_outside(joined: &str) -> bool {
    joined.starts_with('/') || joined == ".." || joined.starts_with("../")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joins_and_folds() {
        for (folder, text, joined) in [
            ("", "a/b", "a/b"),
            ("tasks", "../x/./y", "x/y"),
            ("a", "../../b", "../b"),
            ("../tasks", "x.kdl", "../tasks/x.kdl"),
            ("../tasks", "../../x", "../../x"),
            ("a/b", "..", "a"),
            ("a", "..", ""),
            ("a", "/etc", "/etc"),
            ("/etc", "x", "/etc/x"),
            ("", ".", ""),
        ] {
            assert_eq!(join(folder, text), joined, "{folder} {text}");
        }
        assert_eq!(parent("a/b.kdl"), "a");
        assert_eq!(parent("b.kdl"), "");
        assert_eq!(parent("/b.kdl"), "/");
        assert!(is_outside("../a") && is_outside("/a") && is_outside("..") && !is_outside("..a"));
    }
}
