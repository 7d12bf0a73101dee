//! A new value for a secret, from the system's randomness.

use crate::model::Generate;

/// How long a password is that does not say so.
const PASSWORD: usize = 32;
/// How many hexadecimal digits there are without a `length`: 256 bits.
const HEX: usize = 64;
/// How many bytes are encoded without a `length`.
const BASE64: usize = 32;

/// The system has no randomness.
#[derive(Debug, thiserror::Error)]
#[error("the system gives no random bytes: {0}")]
pub struct NoRandomness(String);

/// Makes a new value.
///
/// A password has letters and digits only, begins with a letter, and from three characters on has capital and small
/// letters and digits: it is the same in a shell, a dotenv file, YAML, a URL, and passes the rules that services make up.
/// Base64 is drawn so that `+` and `/` do not occur: it reads the same in both alphabets, and in a URL.
pub fn generate(how: Generate, length: Option<usize>) -> Result<String, NoRandomness> {
    Ok(match how {
        Generate::Password => password(length.unwrap_or(PASSWORD))?,
        Generate::Hex => {
            let length = length.unwrap_or(HEX);
            let mut text: String =
                random(length.div_ceil(2))?.iter().map(|byte| format!("{byte:02x}")).collect();
            text.truncate(length);
            text
        }
        Generate::Base64 => base64(length.unwrap_or(BASE64))?,
        Generate::Uuid => {
            let mut bytes = random(16)?;
            bytes[6] = bytes[6] & 0x0f | 0x40;
            bytes[8] = bytes[8] & 0x3f | 0x80;
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
        }
    })
}

fn random(count: usize) -> Result<Vec<u8>, NoRandomness> {
    let mut bytes = vec![0; count];
    getrandom::fill(&mut bytes).map_err(|error| NoRandomness(error.to_string()))?;
    Ok(bytes)
}

const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

fn password(length: usize) -> Result<String, NoRandomness> {
    loop {
        let mut text = String::with_capacity(length);
        while text.len() < length {
            for byte in random(length)? {
                // The last eight of 256 would make some letters likelier than others.
                let is_fair = usize::from(byte) < LETTERS.len() * 4;
                if is_fair && text.len() < length {
                    text.push(char::from(LETTERS[usize::from(byte) % LETTERS.len()]));
                }
            }
        }
        let has = |is: fn(&char) -> bool| text.chars().any(|c| is(&c));
        let begins = text.starts_with(|c: char| c.is_ascii_alphabetic());
        let is_mixed = length < 3
            || has(char::is_ascii_uppercase) && has(char::is_ascii_lowercase) && has(char::is_ascii_digit);
        if begins && is_mixed {
            return Ok(text);
        }
    }
}

fn base64(length: usize) -> Result<String, NoRandomness> {
    let mut text = String::with_capacity(length.div_ceil(3) * 4);
    let mut left = length;
    while left > 0 {
        let count = left.min(3);
        let group = random(count)?;
        let bits = group.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - count));
        let places: Vec<usize> = (0..=count).map(|at| (bits >> (18 - 6 * at) & 63) as usize).collect();
        // Every group is drawn until it has neither of the two characters that are spelled in two ways.
        if places.iter().any(|place| *place >= LETTERS.len()) {
            continue;
        }
        text.extend(places.iter().map(|place| char::from(LETTERS[*place])));
        text.extend(std::iter::repeat_n('=', 3 - count));
        left -= count;
    }
    Ok(text)
}
