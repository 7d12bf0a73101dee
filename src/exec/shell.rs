//! Shells, and shell text that needs none.

/// The shell that shell text is given to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Shell {
    words: Vec<String>,
}

impl Default for Shell {
    fn default() -> Self {
        Self::new("sh")
    }
}

impl Shell {
    /// The shell called `name`. `sh`, `bash` and their kin stop at the first failing command and at unset variables
    /// (`-eu`); a name with options of its own, such as `bash -euo pipefail`, is taken as it stands.
    pub fn new(name: &str) -> Self {
        let mut words: Vec<String> = name.split_whitespace().map(str::to_owned).collect();
        if words.is_empty() {
            words.push("sh".to_owned());
        }
        if words.len() == 1 {
            words.push("-eu".to_owned());
        }
        Self { words }
    }

    /// The words that stand before the text: `sh -eu -c`.
    pub fn argv(&self) -> impl Iterator<Item = &str> {
        self.words.iter().map(String::as_str).chain(std::iter::once("-c"))
    }

    /// Whether text without shell syntax means the same without it.
    pub fn is_posix(&self) -> bool {
        true
    }
}

/// The words of shell text that needs no shell: executing them gives exactly what `sh -eu -c` would give. `None` where
/// that is not certain.
pub fn simple(_text: &str) -> Option<Vec<String>> {
    None
}
