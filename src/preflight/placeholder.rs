//! Values that somebody meant to replace.

/// Whether a value only stands where one should: `changeme`, `your_key_here`, `<token>`.
pub fn is_placeholder(value: &str) -> bool {
    let value = value.trim().to_lowercase().replace(['-', ' '], "_");
    matches!(value.as_str(), "changeme" | "change_me" | "replaceme" | "replace_me")
        || (value.starts_with("your_") && value.ends_with("_here"))
        || (value.starts_with('<') && value.ends_with('>') && value.len() > 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders() {
        for value in
            ["changeme", "CHANGE_ME", "change-me", "your_api_key_here", "your-token-here", "<password>"]
        {
            assert!(is_placeholder(value), "{value}");
        }
        for value in ["", "<>", "change", "yours", "your_name", "a<b>", "changeme2", "exchangeme"] {
            assert!(!is_placeholder(value), "{value}");
        }
    }
}
