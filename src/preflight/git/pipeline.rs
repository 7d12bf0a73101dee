//! The branch that a CI system works on: it checks out a commit, and names the branch in variables.

use serde::Deserialize;

/// What GitHub writes of a pull request into the file of `GITHUB_EVENT_PATH`.
#[derive(Deserialize)]
struct Event {
    pull_request: PullRequest,
}

#[derive(Deserialize)]
struct PullRequest {
    head: Head,
}

#[derive(Deserialize)]
struct Head {
    /// `owner:branch`.
    label: String,
    /// `None` for a repository that was deleted.
    repo: Option<Repository>,
}

#[derive(Deserialize)]
struct Repository {
    full_name: String,
}

/// The branch of the pipeline that is running, in the words of GitHub or GitLab.
///
/// Whoever proposes a change names his branch as he likes, also `main`: that of a fork has its owner before it, and is never
/// taken for one of this repository. A tag is no branch.
pub(super) fn branch(caller: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    let named = |name: &str| caller(name).filter(|value| !value.is_empty());
    let is_tag =
        named("GITHUB_REF_TYPE").is_some_and(|kind| kind == "tag") || named("CI_COMMIT_TAG").is_some();
    if is_tag {
        return None;
    }
    if let Some(head) = named("GITHUB_HEAD_REF") {
        let event: Option<Event> = named("GITHUB_EVENT_PATH")
            .and_then(|path| std::fs::read(path).ok())
            .and_then(|text| serde_json::from_slice(&text).ok());
        return match event.map(|event| event.pull_request.head) {
            Some(Head { repo: Some(repo), .. })
                if Some(&repo.full_name) == named("GITHUB_REPOSITORY").as_ref() =>
            {
                Some(head)
            }
            Some(fork) => Some(fork.label),
            // `12/merge`: whose it is cannot be told.
            None => named("GITHUB_REF_NAME"),
        };
    }
    if let Some(name) = named("GITHUB_REF_NAME") {
        return Some(name);
    }
    let name = named("CI_COMMIT_REF_NAME")?;
    match named("CI_MERGE_REQUEST_SOURCE_PROJECT_PATH") {
        Some(from) if Some(&from) != named("CI_PROJECT_PATH").as_ref() => Some(format!("{from}:{name}")),
        _ => Some(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(variables: &[(&str, &str)]) -> Option<String> {
        branch(&|name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn the_branch_of_a_fork_is_none_of_ours() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("event.json");
        let asked = |from: &str, owner: &str| {
            let repo =
                if from.is_empty() { "null".to_owned() } else { format!("{{\"full_name\":\"{from}\"}}") };
            let text =
                format!("{{\"pull_request\":{{\"head\":{{\"label\":\"{owner}:main\",\"repo\":{repo}}}}}}}");
            std::fs::write(&path, text).unwrap();
            named(&[
                ("GITHUB_REF_NAME", "12/merge"),
                ("GITHUB_HEAD_REF", "main"),
                ("GITHUB_REPOSITORY", "us/it"),
                ("GITHUB_EVENT_PATH", path.to_str().unwrap()),
            ])
        };
        assert_eq!(asked("us/it", "us").as_deref(), Some("main"));
        assert_eq!(asked("them/it", "them").as_deref(), Some("them:main"));
        assert_eq!(asked("", "them").as_deref(), Some("them:main"), "deleted");
        let pull = [("GITHUB_REF_NAME", "12/merge"), ("GITHUB_HEAD_REF", "main")];
        assert_eq!(named(&pull).as_deref(), Some("12/merge"), "nobody says whose it is");
        let merge = |from| {
            named(&[
                ("CI_COMMIT_REF_NAME", "main"),
                ("CI_PROJECT_PATH", "us/it"),
                ("CI_MERGE_REQUEST_SOURCE_PROJECT_PATH", from),
            ])
        };
        assert_eq!(merge("us/it").as_deref(), Some("main"));
        assert_eq!(merge("them/it").as_deref(), Some("them/it:main"));
    }

    #[test]
    fn a_push_has_its_branch_and_a_tag_none() {
        assert_eq!(
            named(&[("GITHUB_REF_TYPE", "branch"), ("GITHUB_REF_NAME", "main")]).as_deref(),
            Some("main")
        );
        assert_eq!(named(&[("GITHUB_REF_TYPE", "tag"), ("GITHUB_REF_NAME", "main")]), None);
        assert_eq!(named(&[("CI_COMMIT_REF_NAME", "main")]).as_deref(), Some("main"));
        assert_eq!(named(&[("CI_COMMIT_REF_NAME", "main"), ("CI_COMMIT_TAG", "main")]), None);
        assert_eq!(named(&[("GITHUB_REF_NAME", "")]), None);
    }
}
