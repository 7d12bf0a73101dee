//! How durations and bytes are written in the wire format.

use std::time::Duration;

/// Durations as whole milliseconds.
pub(super) mod millis {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::Duration;

    pub(in crate::event) fn serialize<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }

    pub(in crate::event) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_millis)
    }
}

/// Bytes as text where they are UTF-8, and as `{"hex": "…"}` where they are not.
pub(super) mod bytes {
    use std::borrow::Cow;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Text<'a> {
        Utf8(Cow<'a, str>),
        Hex { hex: String },
    }

    pub(in crate::event) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Text::Utf8(text.into()),
            Err(_) => Text::Hex { hex: to_hex(bytes) },
        }
        .serialize(to)
    }

    pub(in crate::event) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        match Text::deserialize(from)? {
            Text::Utf8(text) => Ok(text.into_owned().into_bytes()),
            Text::Hex { hex } => from_hex(&hex)
                .ok_or_else(|| serde::de::Error::custom("not hexadecimal: an even number of 0-9a-f")),
        }
    }

    fn to_hex(bytes: &[u8]) -> String {
        let digit = |value: u8| char::from_digit(u32::from(value), 16).expect("four bits are one digit");
        bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
    }

    fn from_hex(hex: &str) -> Option<Vec<u8>> {
        let value = |digit: u8| char::from(digit).to_digit(16).map(|value| value as u8);
        let (pairs, rest) = hex.as_bytes().as_chunks::<2>();
        if !rest.is_empty() {
            return None;
        }
        pairs.iter().map(|[high, low]| Some(value(*high)? << 4 | value(*low)?)).collect()
    }
}
