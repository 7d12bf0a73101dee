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
