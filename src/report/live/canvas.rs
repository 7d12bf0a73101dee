//! A stretch of terminal that is drawn over and over, below text that stays.

use std::io::{self, Write};

use unicode_width::UnicodeWidthStr;

/// What stands on the terminal below the text, and how it is replaced.
///
/// Everything that changes is written in one piece, between the marks by which a terminal knows that it is not to show
/// what is half done, so that nothing flickers. Lines are ended instead of filled up with spaces to the edge: a window
/// made narrower would wrap the spaces too, and what is copied out of it would be full of them. For the same reason the
/// way back up is counted from the lines' own widths and the window's width of now.
#[derive(Default)]
pub(super) struct Canvas {
    drawn: Vec<String>,
    /// The size of the window when it was drawn.
    size: (u16, u16),
}

/// What is written between these is shown at once; terminals that do not know it pass over it.
const BEGIN: &[u8] = b"\x1b[?2026h";
const END: &[u8] = b"\x1b[?2026l";

impl Canvas {
    /// Puts whole lines of text where the drawing was, and the new drawing below them.
    pub(super) fn draw(
        &mut self,
        to: &mut dyn Write,
        text: &[u8],
        lines: Vec<String>,
        size: (u16, u16),
    ) -> io::Result<()> {
        if text.is_empty() && lines == self.drawn && size == self.size {
            return Ok(());
        }
        let mut bytes = Vec::with_capacity(text.len() + 256);
        if !(self.drawn.is_empty() && lines.is_empty()) {
            bytes.extend_from_slice(BEGIN);
        }
        let marked = !bytes.is_empty();
        self.erase(&mut bytes, size.0);
        bytes.extend_from_slice(text);
        for (at, line) in lines.iter().enumerate() {
            if at > 0 {
                bytes.extend_from_slice(b"\r\n");
            }
            bytes.extend_from_slice(line.as_bytes());
        }
        if marked {
            bytes.extend_from_slice(END);
        }
        (self.drawn, self.size) = (lines, size);
        to.write_all(&bytes).and_then(|()| to.flush())
    }

    /// Nobody knows any longer what stands on the terminal.
    pub(super) fn forget(&mut self) {
        self.drawn.clear();
    }

    /// Goes up to the first drawn line and clears all below.
    fn erase(&self, into: &mut Vec<u8>, width: u16) {
        if self.drawn.is_empty() {
            return;
        }
        let width = usize::from(width).max(1);
        let rows: usize = self.drawn.iter().map(|line| visible_width(line).div_ceil(width).max(1)).sum();
        let up = if rows > 1 { format!("\x1b[{}A", rows - 1) } else { String::new() };
        into.extend_from_slice(format!("\r{up}\x1b[J").as_bytes());
    }
}

/// Columns of a line of ours, whose only sequences are colours.
fn visible_width(text: &str) -> usize {
    let mut parts = text.split('\x1b');
    let plain = parts.next().map_or(0, UnicodeWidthStr::width);
    plain + parts.map(|part| part.split_once('m').map_or(0, |(_, text)| text.width())).sum::<usize>()
}
