//! How text is dressed.

/// How text is dressed. Without colour nothing is lost: colours only repeat what the words say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Style {
    /// Colours may be used, and those of the nodes' output are kept.
    pub colour: bool,
    /// Characters beyond ASCII may be used.
    pub unicode: bool,
}

/// What a piece of text is, as far as its colour goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ink {
    /// A name.
    Strong,
    /// Worth less attention.
    Faint,
    /// It went well.
    Good,
    /// It failed.
    Bad,
    /// Worth a look.
    Warn,
    /// It begins, or would.
    Begin,
    /// One of the colours that tell nodes apart.
    Node(u8),
}

/// The colours of nodes; red and yellow are left out, they mean something.
const NODES: [&str; 10] = ["36", "35", "32", "34", "96", "95", "92", "94", "38;5;173", "38;5;109"];

impl Style {
    /// The text in that colour, if there are colours.
    pub(super) fn paint(self, ink: Ink, text: &str) -> String {
        let code = match ink {
            _ if !self.colour || text.is_empty() => return text.to_owned(),
            Ink::Strong => "1",
            Ink::Faint => "2",
            Ink::Good => "32",
            Ink::Bad => "1;31",
            Ink::Warn => "33",
            Ink::Begin => "36",
            Ink::Node(which) => NODES[usize::from(which) % NODES.len()],
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    /// The bar between a label and what its node printed.
    pub(super) fn bar(self) -> &'static str {
        if self.unicode { "│" } else { "|" }
    }

    /// What stands between a cause and what comes of it.
    pub(super) fn arrow(self) -> &'static str {
        if self.unicode { "→" } else { "->" }
    }

    /// What stands where something was left out.
    pub(super) fn ellipsis(self) -> &'static str {
        if self.unicode { "…" } else { "..." }
    }
}

impl Ink {
    /// The colour of a node: the same in every run, and most likely not its neighbour's.
    pub(super) fn of(label: &str) -> Self {
        // FNV-1a: a handful of bits are wanted, not a digest.
        let step = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        Self::Node((label.bytes().fold(0x811c_9dc5, step) >> 13) as u8 % NODES.len() as u8)
    }
}
