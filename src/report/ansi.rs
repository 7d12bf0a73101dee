//! Control sequences in what nodes print: colours may stay, whatever moves the cursor may not.

/// What is let through besides text, line ends, tabs and carriage returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    /// Everything, as it is.
    All,
    /// Colours and other attributes of characters (SGR).
    Colours,
    /// Nothing.
    Text,
}

/// How long a sequence may be before it is given up as not one.
const LONGEST: usize = 64;

/// Where in a sequence a filter is: output comes in pieces cut anywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Place {
    #[default]
    Text,
    /// After the first byte of U+0080 to U+009F, some of which terminals take for the start of a sequence.
    C2,
    /// After ESC.
    Escape,
    /// After ESC and an intermediate byte: one more follows.
    Intermediate,
    /// In `ESC [ …`, until a letter.
    Control,
    /// In a string (`ESC ] …` and the like), until BEL or `ESC \`.
    String,
    /// In a string, after ESC.
    StringEscape,
}

/// Lets through what may be let through of one stream.
#[derive(Debug, Clone)]
pub(super) struct Filter {
    keep: Keep,
    place: Place,
    sequence: Vec<u8>,
}

impl Filter {
    pub(super) fn new(keep: Keep) -> Self {
        Self { keep, place: Place::Text, sequence: Vec::new() }
    }

    /// Appends what may pass of `bytes` to `into`.
    pub(super) fn pass(&mut self, bytes: &[u8], into: &mut Vec<u8>) {
        if self.keep == Keep::All {
            into.extend_from_slice(bytes);
            return;
        }
        let mut rest = bytes;
        while let [byte, after @ ..] = rest {
            if self.place == Place::Text {
                // The long stretches of plain text go through in one piece.
                let plain = rest.iter().position(|byte| !is_plain(*byte)).unwrap_or(rest.len());
                into.extend_from_slice(&rest[..plain]);
                if plain > 0 {
                    rest = &rest[plain..];
                    continue;
                }
            }
            self.step(*byte, into);
            rest = after;
        }
    }

    fn step(&mut self, byte: u8, into: &mut Vec<u8>) {
        self.place = match (self.place, byte) {
            (Place::Text, 0x1b) => Place::Escape,
            (Place::Text, 0xc2) => Place::C2,
            // The rest of the control characters: bell, backspace, form feed, shifts.
            (Place::Text, _) => Place::Text,
            (Place::C2, 0x9b) => self.begin_control(),
            (Place::C2, 0x90 | 0x98 | 0x9d | 0x9e | 0x9f) => Place::String,
            (Place::C2, 0x80..=0x9f) => Place::Text,
            (Place::C2, 0xa0..=0xbf) => {
                into.extend_from_slice(&[0xc2, byte]);
                Place::Text
            }
            // Not UTF-8. Passed on alone, it could meet its other half behind something that is dropped.
            (Place::C2, byte) => {
                into.extend_from_slice("\u{fffd}".as_bytes());
                self.place = Place::Text;
                return if is_plain(byte) { into.push(byte) } else { self.step(byte, into) };
            }
            // Cancelled, or begun anew.
            (Place::Escape | Place::Intermediate | Place::Control | Place::String, 0x18 | 0x1a) => {
                Place::Text
            }
            (Place::Escape | Place::Intermediate | Place::Control, 0x1b) => Place::Escape,
            (Place::Escape, b'[') => self.begin_control(),
            (Place::Escape, b']' | b'P' | b'X' | b'^' | b'_') => Place::String,
            (Place::Escape, 0x20..=0x2f) => Place::Intermediate,
            (Place::Escape, _) => Place::Text,
            (Place::Intermediate, 0x20..=0x2f) => Place::Intermediate,
            (Place::Intermediate, _) => Place::Text,
            (Place::Control, 0x20..=0x3f) if self.sequence.len() < LONGEST => {
                self.sequence.push(byte);
                Place::Control
            }
            (Place::Control, b'm') => {
                if self.keep == Keep::Colours
                    && self.sequence.iter().all(|byte| b"0123456789;:".contains(byte))
                {
                    into.extend_from_slice(b"\x1b[");
                    into.extend_from_slice(&self.sequence);
                    into.push(b'm');
                }
                Place::Text
            }
            // A line end is never part of a sequence: whoever broke off here goes on in text.
            (Place::Control, b'\n') => {
                into.push(b'\n');
                Place::Text
            }
            (Place::Control, _) => Place::Text,
            (Place::String, 0x07) => Place::Text,
            (Place::String, 0x1b) => Place::StringEscape,
            (Place::String, b'\n') => {
                into.push(b'\n');
                Place::Text
            }
            (Place::String, _) => Place::String,
            (Place::StringEscape, b'\\') => Place::Text,
            (Place::StringEscape, byte) => {
                self.place = Place::Escape;
                return self.step(byte, into);
            }
        };
    }

    fn begin_control(&mut self) -> Place {
        self.sequence.clear();
        Place::Control
    }
}

/// Text, or one of the three control characters that are let through.
fn is_plain(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\t' | b'\r' | 0x20..=0x7e | 0x80..=0xc1 | 0xc3..=0xff)
}

/// A line as a terminal would show it in the end: what a carriage return went back over is gone.
pub(super) fn settle(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let end = line.iter().rposition(|byte| *byte != b'\r').map_or(0, |last| last + 1);
    let line = &line[..end];
    &line[line.iter().rposition(|byte| *byte == b'\r').map_or(0, |at| at + 1)..]
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn passed(keep: Keep, pieces: &[&[u8]]) -> Vec<u8> {
        let mut filter = Filter::new(keep);
        let mut into = Vec::new();
        pieces.iter().for_each(|piece| filter.pass(piece, &mut into));
        into
    }

    /// What is left with colours, and without.
    fn check(bytes: &[u8], colours: &str, text: &str) {
        let lossy = |keep| String::from_utf8_lossy(&passed(keep, &[bytes])).into_owned();
        assert_eq!((lossy(Keep::Colours).as_str(), lossy(Keep::Text).as_str()), (colours, text));
        assert_eq!(passed(Keep::All, &[bytes]), bytes);
    }

    #[test]
    fn colours_pass_and_cursors_do_not() {
        check(
            b"\x1b[31mred\x1b[m \x1b[38;2;1;2;3mtrue\x1b[0m",
            "\x1b[31mred\x1b[m \x1b[38;2;1;2;3mtrue\x1b[0m",
            "red true",
        );
        check(b"a\x1b[2Jb\x1b[3;4Hc\x1b[Kd\x1b[?1049he", "abcde", "abcde");
        // These end in `m` and are no colours.
        check(b"a\x1b[>4;2mb\x1b[?1mc", "abc", "abc");
        check(b"a\x1b7b\x1bcc\x1b(0d\x1b#8e\x1b=f", "abcdef", "abcdef");
        check(
            b"\x1b]0;title\x07a\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\ \x1bPq#0\x1b\\b",
            "alink b",
            "alink b",
        );
        check(
            b"bell\x07 back\x08\x08 form\x0c del\x7f\ttab\r\n",
            "bell back form del\ttab\r\n",
            "bell back form del\ttab\r\n",
        );
    }

    #[test]
    fn eight_bit_controls_are_controls_only_in_unicode() {
        check("a\u{9b}2Jb\u{9d}title\u{7}c\u{85}d".as_bytes(), "abcd", "abcd");
        check(
            "caf\u{e9} \u{a0}\u{4e2d}\u{6587} \u{1f980}".as_bytes(),
            "caf\u{e9} \u{a0}\u{4e2d}\u{6587} \u{1f980}",
            "caf\u{e9} \u{a0}\u{4e2d}\u{6587} \u{1f980}",
        );
        assert_eq!(passed(Keep::Text, &[b"\xff\xfe latin \xe9"]), b"\xff\xfe latin \xe9");
        // The halves of a sequence do not meet behind something that is dropped between them.
        check(b"\xc2\x07\x9b2J", "\u{fffd}\u{fffd}2J", "\u{fffd}\u{fffd}2J");
        check(b"\xc2\xc2\x9b2Jx", "\u{fffd}x", "\u{fffd}x");
    }

    #[test]
    fn what_is_broken_off_swallows_no_more_than_its_line() {
        check(b"a\x1b[12\nb\x1b]0;no end\nc\x1b[1\x18d", "a\nb\ncd", "a\nb\ncd");
        let endless = [b"\x1b[".as_slice(), &[b'1'; 200], b"m text"].concat();
        assert!(String::from_utf8(passed(Keep::Colours, &[&endless])).unwrap().ends_with("1m text"));
    }

    #[test]
    fn a_line_settles() {
        for (line, shown) in [
            ("plain\n", "plain"),
            ("windows\r\n", "windows"),
            ("10%\r50%\r100%\n", "100%"),
            ("10%\r50%\r\r\n", "50%"),
            ("\r\n", ""),
            ("", ""),
        ] {
            assert_eq!(settle(line.as_bytes()), shown.as_bytes(), "{line:?}");
        }
    }

    /// Bytes of which most mean something.
    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let special = prop::sample::select(b"\x1b\x1b[[]];?01m;JHP\\\x07\x18\xc2\x9b\x9d\n\r\tx".to_vec());
        vec(prop_oneof![4 => special, 1 => any::<u8>()], 0..60)
    }

    proptest! {
        /// Whatever a node prints, the only sequences that reach the terminal are colours, however it is cut up.
        #[test]
        fn nothing_else_gets_through(bytes in bytes(), cut in any::<prop::sample::Index>()) {
            let colours = passed(Keep::Colours, &[&bytes]);
            let text = passed(Keep::Text, &[&bytes]);
            let (before, after) = bytes.split_at(cut.index(bytes.len() + 1));
            prop_assert_eq!(&passed(Keep::Colours, &[before, after]), &colours);
            for (at, byte) in colours.iter().enumerate() {
                if *byte == 0x1b {
                    let rest = &colours[at + 1..];
                    let end = rest.iter().position(|byte| *byte == b'm').expect("it ends");
                    prop_assert!(rest[0] == b'[' && rest[1..end].iter().all(|byte| b"0123456789;:".contains(byte)));
                }
            }
            let control = |byte: &u8| matches!(byte, 0..=8 | 11 | 12 | 14..=31 | 127);
            prop_assert!(!text.iter().any(control), "{:?}", text);
            prop_assert!(!text.windows(2).any(|pair| pair[0] == 0xc2 && (0x80..0xa0).contains(&pair[1])));
        }
    }
}
