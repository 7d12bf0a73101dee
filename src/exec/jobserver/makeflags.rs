//! What `MAKEFLAGS` says of a jobserver, and saying it.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// How a jobserver is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Auth {
    /// By this path.
    Fifo(OsString),
    /// By these inherited descriptors: one to read from, one to write to.
    Pipe(i32, i32),
}

/// Words of one `MAKEFLAGS`, without the variables that stand after `--`. The first one is a bundle of short flags unless
/// it begins with a dash or a blank.
fn words(makeflags: &[u8]) -> impl Iterator<Item = &[u8]> {
    makeflags.split(|byte| *byte == b' ').filter(|word| !word.is_empty()).take_while(|word| *word != b"--")
}

/// The jobserver that is told: the last one, as make has it.
pub(super) fn auth(makeflags: &OsStr) -> Option<Auth> {
    let value = |word: &'_ [u8]| {
        let value =
            word.strip_prefix(b"--jobserver-auth=").or_else(|| word.strip_prefix(b"--jobserver-fds="));
        value.map(<[u8]>::to_vec)
    };
    let value = words(makeflags.as_bytes()).filter_map(value).last()?;
    if let Some(path) = value.strip_prefix(b"fifo:") {
        return (!path.is_empty()).then(|| Auth::Fifo(OsString::from_vec(path.to_vec())));
    }
    let (read, write) = std::str::from_utf8(&value).ok()?.split_once(',')?;
    let number = |text: &str| text.parse().ok().filter(|number| *number >= 0);
    Some(Auth::Pipe(number(read)?, number(write)?))
}

/// The number of places that is told.
pub(super) fn jobs(makeflags: &OsStr) -> Option<usize> {
    let number = |word: &[u8]| std::str::from_utf8(word.strip_prefix(b"-j")?).ok()?.parse().ok();
    words(makeflags.as_bytes()).filter_map(number).last()
}

/// `makeflags` with this jobserver in the place of any that it told before.
pub(super) fn with(makeflags: &OsStr, jobs: Option<usize>, auth: &Auth) -> OsString {
    let bytes = makeflags.as_bytes();
    let mut flags = Vec::with_capacity(bytes.len() + 64);
    let bundle = !bytes.starts_with(b" ") && !bytes.starts_with(b"-");
    for (at, word) in words(bytes).enumerate() {
        if word.starts_with(b"--jobserver-") || word.starts_with(b"-j") {
            continue;
        }
        if at > 0 || !bundle {
            flags.push(b' ');
        }
        flags.extend_from_slice(word);
    }
    if let Some(jobs) = jobs {
        flags.extend_from_slice(format!(" -j{jobs}").as_bytes());
    }
    match auth {
        Auth::Fifo(path) => {
            flags.extend_from_slice(b" --jobserver-auth=fifo:");
            flags.extend_from_slice(path.as_bytes());
        }
        // The first is the name that make had for it before 4.2.
        Auth::Pipe(read, write) => flags.extend_from_slice(
            format!(" --jobserver-fds={read},{write} --jobserver-auth={read},{write}").as_bytes(),
        ),
    }
    // The variables of make's command line stand behind, as they were.
    let variables = bytes.windows(4).position(|window| window == b" -- ");
    if let Some(variables) = variables {
        flags.extend_from_slice(&bytes[variables..]);
    } else if bytes.starts_with(b"-- ") {
        flags.push(b' ');
        flags.extend_from_slice(bytes);
    }
    OsString::from_vec(flags)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(makeflags: &str, expected: &str) {
        let fifo = Auth::Fifo("/f".into());
        assert_eq!(with(makeflags.as_ref(), Some(3), &fifo).to_str(), Some(expected), "{makeflags:?}");
    }

    #[test]
    fn other_flags_are_kept() {
        check("", " -j3 --jobserver-auth=fifo:/f");
        check("ks", "ks -j3 --jobserver-auth=fifo:/f");
        check(" -j8 --jobserver-auth=3,4", " -j3 --jobserver-auth=fifo:/f");
        check("k -j8 --no-print-directory", "k --no-print-directory -j3 --jobserver-auth=fifo:/f");
        check("-k -- A=1 -j8", " -k -j3 --jobserver-auth=fifo:/f -- A=1 -j8");
        check(" -- A=--jobserver-auth=1,2", " -j3 --jobserver-auth=fifo:/f -- A=--jobserver-auth=1,2");
        check("-- A=1", " -j3 --jobserver-auth=fifo:/f -- A=1");
    }

    #[test]
    fn the_last_one_counts() {
        let auth = |makeflags: &str| auth(makeflags.as_ref());
        assert_eq!(auth(" -j2 --jobserver-fds=3,4 --jobserver-auth=5,6"), Some(Auth::Pipe(5, 6)));
        assert_eq!(auth("k -j --jobserver-auth=fifo:/tmp/GMfifo1"), Some(Auth::Fifo("/tmp/GMfifo1".into())));
        assert_eq!(auth(" -j2 --jobserver-auth=-2,-2"), None);
        assert_eq!(auth(" -j2 --jobserver-auth=fifo:"), None);
        assert_eq!(auth(" -j2 --jobserver-auth=three"), None);
        assert_eq!(auth(" -- A=--jobserver-auth=5,6"), None);
        assert_eq!(auth("ks"), None);
        assert_eq!(jobs(" -j2 --jobserver-auth=5,6".as_ref()), Some(2));
        assert_eq!(jobs(" -j --jobserver-auth=5,6".as_ref()), None);
    }

    proptest! {
        #[test]
        fn what_is_told_is_understood(before in "([ks]{0,2}|-[ks])( -j[0-9]| --jobserver-auth=1,2| --x){0,3}( -- A=-j7)?", pipe: bool, read in 0..99, write in 0..99) {
            let told = if pipe { Auth::Pipe(read, write) } else { Auth::Fifo("/proc/1/fd/3".into()) };
            let makeflags = with(before.as_ref(), Some(5), &told);
            prop_assert_eq!(auth(&makeflags), Some(told));
            prop_assert_eq!(jobs(&makeflags), Some(5));
        }
    }
}
