//! What a node printed, held until it is shown.

/// The newest output of a node: all of it while it is of sensible size, the last lines of it beyond.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Held {
    bytes: Vec<u8>,
    /// How many lines before those were let go.
    earlier: usize,
    room: usize,
}

/// How many lines are shown of output that is too long to be shown.
const LAST: usize = 200;

impl Held {
    /// Holds at least the last `room` bytes.
    pub(super) fn with_room(room: usize) -> Self {
        Self { bytes: Vec::new(), earlier: 0, room }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        // Twice the room before anything is moved: each byte is moved once at most.
        if self.bytes.len() > self.room.saturating_mul(2) {
            self.shrink(self.room);
        }
    }

    /// Lets go of the beginning, up to a line's end, so that no more than `room` bytes stay.
    fn shrink(&mut self, room: usize) {
        if self.bytes.len() <= room {
            return;
        }
        let cut = self.bytes.len() - room;
        // From the byte before: the cut may lie at a line's end already.
        let line = self.bytes[cut - 1..].iter().position(|byte| *byte == b'\n');
        let cut = line.map_or(cut, |at| cut + at);
        self.earlier += self.bytes[..cut].iter().filter(|byte| **byte == b'\n').count();
        self.bytes.drain(..cut);
    }

    /// Nothing more comes: what would be too long to show is brought down to its last lines.
    pub(super) fn close(&mut self) {
        if self.earlier > 0 || self.bytes.len() > self.room {
            let mut ends = self.bytes.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n');
            // The last line may lack its end, so one more end is a line too much at worst.
            if let Some((cut, _)) = ends.nth(LAST) {
                self.shrink(self.bytes.len() - cut - 1);
            }
            self.shrink(self.room);
        }
        self.bytes.shrink_to_fit();
    }

    /// Forgets everything; it was more than can be kept.
    pub(super) fn forget(&mut self) {
        self.shrink(0);
        self.bytes = Vec::new();
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many lines there were before.
    pub(super) fn earlier(&self) -> usize {
        self.earlier
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_output_is_held_whole() {
        let mut held = Held::with_room(10);
        held.push(b"one\ntwo\n");
        held.push(b"x");
        held.close();
        assert_eq!((held.bytes(), held.earlier()), (&b"one\ntwo\nx"[..], 0));
    }

    #[test]
    fn of_long_output_the_end_is_held() {
        let mut held = Held::with_room(100);
        for line in 0..1000 {
            held.push(format!("line {line}\n").as_bytes());
        }
        held.close();
        let text = String::from_utf8(held.bytes().to_vec()).unwrap();
        assert_eq!(text.lines().next(), Some("line 989"));
        assert_eq!((text.lines().last(), held.earlier()), (Some("line 999"), 989));
        held.forget();
        assert_eq!((held.bytes(), held.earlier()), (&b""[..], 1000));
    }

    #[test]
    fn of_many_short_lines_the_last_are_held() {
        let mut held = Held::with_room(1000);
        held.push("\n".repeat(5000).as_bytes());
        held.push(b"end");
        held.close();
        assert_eq!((held.bytes().len(), held.earlier()), (LAST + 3, 5000 - LAST));
    }

    #[test]
    fn one_endless_line_is_held_too() {
        let mut held = Held::with_room(10);
        held.push(&[b'x'; 1000]);
        held.close();
        assert_eq!((held.bytes(), held.earlier()), (&[b'x'; 10][..], 0));
    }
}
