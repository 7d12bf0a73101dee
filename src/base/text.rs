//! Text that somebody else wrote, before it reaches a terminal: nothing in it may move the cursor or change a colour.

use serde::{Deserialize, Deserializer};

/// A name on one line.
pub fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Several lines.
pub fn lines(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && !matches!(c, '\n' | '\t') { ' ' } else { c }).collect()
}

/// Reads a name that others wrote.
pub fn read_one_line<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    String::deserialize(from).map(|text| one_line(&text))
}

/// Reads what others wrote in several lines, if they did.
pub fn read_lines<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Option::<String>::deserialize(from).map(|text| text.as_deref().map(lines))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_moves_the_cursor() {
        assert_eq!(one_line("Ada\u{1b}[31m\nLovelace\u{9b}"), "Ada [31m Lovelace ");
        assert_eq!(lines("Ada\u{1b}[2J\r\n\tLovelace"), "Ada [2J \n\tLovelace");
        assert_eq!(one_line("Ünal Ça ğ 名"), "Ünal Ça ğ 名");
    }
}
