//! Words and variables in the form in which the system takes them.

use std::ffi::{CStr, OsStr, c_char};
use std::os::unix::ffi::OsStrExt;

/// Texts that end in NUL, one after the other in one piece of memory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct CTexts {
    bytes: Vec<u8>,
    starts: Vec<usize>,
}

impl CTexts {
    /// Adds one, given in parts. `false`, and nothing is added, if it holds a NUL.
    pub(super) fn push(&mut self, parts: &[&[u8]]) -> bool {
        if parts.iter().any(|part| part.contains(&0)) {
            return false;
        }
        self.starts.push(self.bytes.len());
        parts.iter().for_each(|part| self.bytes.extend_from_slice(part));
        self.bytes.push(0);
        true
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &CStr> {
        self.starts.iter().map(|&start| {
            CStr::from_bytes_until_nul(&self.bytes[start..]).expect("each text was pushed with its NUL")
        })
    }

    /// Where each begins. Valid as long as nothing is pushed.
    pub(super) fn pointers(&self) -> impl Iterator<Item = *const c_char> {
        self.starts.iter().map(|&start| self.bytes[start..].as_ptr().cast())
    }

    /// How many bytes they take, pointers included.
    pub(super) fn size(&self) -> usize {
        // What was set twice is still there once.
        self.iter().map(|text| text.to_bytes_with_nul().len() + size_of::<usize>()).sum()
    }
}

/// Every variable that a command sees. Made once for all commands that see the same: starting a command does not copy it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Environ {
    texts: CTexts,
    /// The first name that was given a value with a NUL.
    nul: Option<String>,
}

impl Environ {
    /// These variables; of two with one name, the later.
    pub fn new<N: AsRef<OsStr>, V: AsRef<OsStr>>(vars: impl IntoIterator<Item = (N, V)>) -> Self {
        let mut environ = Self::default();
        for (name, value) in vars {
            environ.set(name, value);
        }
        environ
    }

    /// Sets one variable.
    pub fn set(&mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) {
        let (name, value) = (name.as_ref().as_bytes(), value.as_ref().as_bytes());
        let same = |start: &usize| {
            self.texts.bytes[*start..].strip_prefix(name).is_some_and(|rest| rest.first() == Some(&b'='))
        };
        if let Some(old) = self.texts.starts.iter().position(same) {
            self.texts.starts.remove(old);
        }
        if !self.texts.push(&[name, b"=", value]) {
            self.nul.get_or_insert_with(|| String::from_utf8_lossy(name).into_owned());
        }
    }

    /// The value of one.
    pub fn get(&self, name: impl AsRef<OsStr>) -> Option<&OsStr> {
        let name = name.as_ref();
        self.iter().find(|(other, _)| *other == name).map(|(_, value)| value)
    }

    /// Name and value of each.
    pub fn iter(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.texts.iter().map(|text| {
            let text = text.to_bytes();
            let (name, value) =
                text.split_at(text.iter().position(|byte| *byte == b'=').unwrap_or(text.len()));
            (OsStr::from_bytes(name), OsStr::from_bytes(value.get(1..).unwrap_or_default()))
        })
    }

    pub(super) fn texts(&self) -> &CTexts {
        &self.texts
    }

    /// A variable that no process can be given.
    pub(super) fn nul(&self) -> Option<&str> {
        self.nul.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_later_of_two_wins() {
        let mut environ = Environ::new([("A", "1"), ("AB", "2"), ("A", "3=4")]);
        environ.set("B", "");
        let all: Vec<_> =
            environ.iter().map(|(name, value)| (name.to_str().unwrap(), value.to_str().unwrap())).collect();
        assert_eq!(all, [("AB", "2"), ("A", "3=4"), ("B", "")]);
        assert_eq!(environ.get("A"), Some(OsStr::new("3=4")));
        assert_eq!(environ.get("C"), None);
        assert_eq!(environ.nul(), None);
    }

    #[test]
    fn a_nul_is_told_by_its_name() {
        let environ = Environ::new([("A", "1\0"), ("B", "2")]);
        assert_eq!(environ.nul(), Some("A"));
        assert_eq!(environ.iter().count(), 1);
    }
}
