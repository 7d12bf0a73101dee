//! A path inside a project, the same on every system.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// A path relative to a root: `/` between components, no `.`, `..` or empty component, never absolute.
///
/// Held as bytes, because a Unix file name is bytes: a name that is not UTF-8 is kept exactly. The empty path is the
/// root itself. Ordered bytewise, so that sorted lists are the same on every machine.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct RelPath(Arc<[u8]>);

/// Why a text is not a path inside the root.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RelPathError {
    /// It begins at the file system's root.
    #[error("`{0}` is absolute; a path here is relative")]
    Absolute(String),
    /// It climbs out with `..`.
    #[error("`{0}` leaves the project")]
    Outside(String),
    /// It has a NUL character, which no path has.
    #[error("`{}` has a NUL character, which no path can have", .0.escape_debug())]
    Nul(String),
}

impl RelPath {
    /// The root itself.
    pub fn root() -> Self {
        Self::default()
    }

    /// Resolves `text`, written relative to `self`, without touching the file system: `.` and `..` are folded.
    pub fn resolve(&self, text: &str) -> Result<Self, RelPathError> {
        if text.starts_with('/') || Path::new(text).is_absolute() {
            return Err(RelPathError::Absolute(text.to_owned()));
        }
        if text.contains('\0') {
            return Err(RelPathError::Nul(text.to_owned()));
        }
        let mut parts: Vec<&[u8]> = self.components().collect();
        for part in text.as_bytes().split(|&byte| byte == b'/') {
            match part {
                b"" | b"." => {}
                b".." => {
                    parts.pop().ok_or_else(|| RelPathError::Outside(text.to_owned()))?;
                }
                part => parts.push(part),
            }
        }
        Ok(Self(parts.join(&b'/').into()))
    }

    /// The path from `root` to `path`, if `path` is lexically below it.
    pub fn strip(root: &Path, path: &Path) -> Option<Self> {
        let rest = path.strip_prefix(root).ok()?;
        let mut bytes = Vec::with_capacity(rest.as_os_str().len());
        for component in rest.components() {
            match component {
                Component::Normal(name) => {
                    if !bytes.is_empty() {
                        bytes.push(b'/');
                    }
                    bytes.extend_from_slice(name.as_encoded_bytes());
                }
                Component::CurDir => {}
                _ => return None,
            }
        }
        Some(Self(bytes.into()))
    }

    /// Takes bytes that another `RelPath` gave (a stored one), refusing whatever such a path could not be.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let ok = bytes.is_empty()
            || bytes
                .split(|&byte| byte == b'/')
                .all(|part| !part.is_empty() && part != b"." && part != b".." && !part.contains(&0));
        ok.then(|| Self(bytes.into()))
    }

    /// One component further down.
    pub fn join(&self, name: &OsStr) -> Self {
        let mut bytes = self.0.to_vec();
        if !bytes.is_empty() {
            bytes.push(b'/');
        }
        bytes.extend_from_slice(name.as_encoded_bytes());
        Self(bytes.into())
    }

    /// The folder it lies in; none for the root.
    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        let cut = self.0.iter().rposition(|&byte| byte == b'/').unwrap_or(0);
        Some(Self(self.0[..cut].into()))
    }

    /// Whether this is the root.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `self` is `other` or lies below it.
    pub fn starts_with(&self, other: &Self) -> bool {
        other.is_root()
            || (self.0.starts_with(&other.0) && matches!(self.0.get(other.0.len()), None | Some(b'/')))
    }

    /// Its components, outermost first.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.0.split(|&byte| byte == b'/').filter(|part| !part.is_empty())
    }

    /// The bytes, `/`-separated.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// As an operating-system path relative to the root; `.` for the root itself.
    pub fn to_path(&self) -> PathBuf {
        if self.is_root() { PathBuf::from(".") } else { PathBuf::from(&*os_str(&self.0)) }
    }

    /// As an operating-system path below `root`.
    pub fn below(&self, root: &Path) -> PathBuf {
        if self.is_root() { root.to_path_buf() } else { root.join(&*os_str(&self.0)) }
    }

    /// For people: bytes that are not UTF-8 are replaced.
    pub fn display(&self) -> Cow<'_, str> {
        if self.is_root() { Cow::Borrowed(".") } else { String::from_utf8_lossy(&self.0) }
    }
}

/// A path is found by its bytes in a map: they are hashed and ordered as the path itself is.
impl std::borrow::Borrow<[u8]> for RelPath {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(unix)]
fn os_str(bytes: &[u8]) -> Cow<'_, OsStr> {
    use std::os::unix::ffi::OsStrExt;
    Cow::Borrowed(OsStr::from_bytes(bytes))
}

#[cfg(not(unix))]
fn os_str(bytes: &[u8]) -> Cow<'_, OsStr> {
    Cow::Owned(String::from_utf8_lossy(bytes).into_owned().into())
}

impl serde::Serialize for RelPath {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for RelPath {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let bytes = <&[u8]>::deserialize(from)?;
        Self::from_bytes(bytes).ok_or_else(|| serde::de::Error::custom("not a path inside a root"))
    }
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.display())
    }
}

impl fmt::Debug for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folds_dots_and_refuses_to_leave() {
        let src = RelPath::root().resolve("src").unwrap();
        assert_eq!(src.resolve("./a//b/../c").unwrap().display(), "src/a/c");
        assert_eq!(src.resolve("..").unwrap(), RelPath::root());
        assert_eq!(src.resolve("../.."), Err(RelPathError::Outside("../..".into())));
        assert_eq!(src.resolve("/etc"), Err(RelPathError::Absolute("/etc".into())));
    }

    #[test]
    fn stored_bytes_cannot_climb() {
        for bad in [&b"../x"[..], b"a/../b", b"/a", b"a//b", b"a/", b"./a", b"a\0b"] {
            assert!(RelPath::from_bytes(bad).is_none(), "{bad:?}");
        }
        assert!(RelPath::from_bytes(b"a/\xff").is_some());
    }

    #[test]
    fn prefix_is_by_component() {
        let path = |text: &str| RelPath::root().resolve(text).unwrap();
        assert!(path("out/a").starts_with(&path("out")));
        assert!(!path("output").starts_with(&path("out")));
        assert!(path("x").starts_with(&RelPath::root()));
    }
}
