//! The variables of a command, in the form in which the system takes them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// Every variable that a command sees. Made once for all commands that see the same: starting a command does not copy it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environ {
    /// `NAME=value\0` one after the other.
    block: Vec<u8>,
    /// Where each begins.
    starts: Vec<usize>,
}

impl Environ {
    /// The variables in the order given; a later one of the same name wins, as a shell would have it.
    pub fn new<N: AsRef<OsStr>, V: AsRef<OsStr>>(vars: impl IntoIterator<Item = (N, V)>) -> Self {
        let mut environ = Self::default();
        for (name, value) in vars {
            environ.set(name.as_ref(), value.as_ref());
        }
        environ
    }

    /// Sets one variable.
    pub fn set(&mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) {
        let (name, value) = (name.as_ref().as_bytes(), value.as_ref().as_bytes());
        let old = self.starts.iter().position(|&start| name_at(&self.block, start) == name);
        if let Some(old) = old {
            self.starts.remove(old);
        }
        self.starts.push(self.block.len());
        self.block.extend_from_slice(name);
        self.block.push(b'=');
        self.block.extend_from_slice(value);
        self.block.push(0);
    }

    /// The value of one.
    pub fn get(&self, name: impl AsRef<OsStr>) -> Option<&OsStr> {
        let name = name.as_ref().as_bytes();
        self.iter().find(|(other, _)| other.as_bytes() == name).map(|(_, value)| value)
    }

    /// Name and value of each.
    pub fn iter(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.starts.iter().map(|&start| {
            let name = name_at(&self.block, start);
            let value = &self.block[start + name.len() + 1..];
            let end = value.iter().position(|&byte| byte == 0).unwrap_or(value.len());
            (OsStr::from_bytes(name), OsStr::from_bytes(&value[..end]))
        })
    }
}

fn name_at(block: &[u8], start: usize) -> &[u8] {
    let rest = &block[start..];
    &rest[..rest.iter().position(|&byte| byte == b'=').unwrap_or(rest.len())]
}
