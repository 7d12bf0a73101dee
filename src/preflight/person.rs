//! Who is at work: a name for ledgers, records and locks.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::base::text::one_line;

use super::Git;

/// Who a CI job runs for, or whom a machine has signed in.
const NAMES: &[&str] = &["GITHUB_ACTOR", "GITLAB_USER_LOGIN", "SUDO_USER", "USER", "LOGNAME"];

/// Who is at work in the project at `root`: the person behind a CI job, the user who is signed in, whoever commits here, or
/// at least the name that the system has for the process's user. `caller` gives the caller's variables.
pub fn person(root: &Path, caller: &dyn Fn(&str) -> Option<String>) -> String {
    let known = |names: &[&str]| names.iter().find_map(|name| caller(name).filter(|name| !name.is_empty()));
    let name = known(NAMES)
        .or_else(|| known(&["GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"]))
        .or_else(|| Git::new(root).committer())
        .unwrap_or_else(user);
    one_line(&name)
}

/// The name of the process's user; its number for one that has no name.
fn user() -> String {
    let named = Command::new("id").arg("-un").stdin(Stdio::null()).stderr(Stdio::null()).output().ok();
    let named = named.filter(|output| output.status.success());
    let named = named.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let number = || format!("uid {}", rustix::process::getuid().as_raw());
    named.filter(|name| !name.is_empty()).unwrap_or_else(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_known_first() {
        let folder = tempfile::tempdir().unwrap();
        let with = |vars: &'static [(&str, &str)]| {
            let caller = move |name: &str| {
                vars.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
            };
            person(folder.path(), &caller)
        };
        assert_eq!(with(&[("USER", "ada"), ("GITHUB_ACTOR", "grace")]), "grace");
        assert_eq!(with(&[("USER", "a\u{1b}d\na")]), "a d a");
        assert_eq!(with(&[("USER", ""), ("LOGNAME", "ada")]), "ada");
        assert_eq!(with(&[("GIT_AUTHOR_NAME", "Ada Lovelace")]), "Ada Lovelace");
        // Nobody says: whatever git or the system have, it is a name.
        let name = with(&[]);
        assert!(!name.is_empty() && name != "somebody", "{name}");
    }

    #[test]
    fn whoever_commits_here() {
        let folder = tempfile::tempdir().unwrap();
        let git = |args: &[&str]| {
            let done = Command::new("git").args(args).current_dir(folder.path()).output().unwrap();
            assert!(done.status.success(), "{args:?}");
        };
        git(&["init", "-q"]);
        git(&["config", "user.name", "Ada Lovelace"]);
        assert_eq!(person(folder.path(), &|_| None), "Ada Lovelace");
    }
}
