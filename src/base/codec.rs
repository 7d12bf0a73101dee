//! Bytes written in order and read back with distrust: no length is believed before the bytes are there.

use super::Digest;

/// So many items are made room for before the first of them was read.
const MUCH: usize = 1024;

/// Appends values to a buffer; [`Reader`] takes them out again in the same order.
pub trait Put {
    /// Appends bytes as they are.
    fn put(&mut self, bytes: &[u8]);

    /// A number, seven bits to the byte, lowest first.
    fn put_int(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.put(&[(value as u8) | 0x80]);
            value >>= 7;
        }
        self.put(&[value as u8]);
    }

    /// A number in four bytes.
    fn put_u32(&mut self, value: u32) {
        self.put(&value.to_le_bytes());
    }

    /// A number in eight bytes.
    fn put_u64(&mut self, value: u64) {
        self.put(&value.to_le_bytes());
    }

    /// Bytes with their length before them.
    fn put_bytes(&mut self, bytes: &[u8]) {
        self.put_int(bytes.len() as u64);
        self.put(bytes);
    }

    /// A digest.
    fn put_digest(&mut self, digest: &Digest) {
        self.put(digest.as_bytes());
    }
}

impl Put for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

impl Put for blake3::Hasher {
    fn put(&mut self, bytes: &[u8]) {
        self.update(bytes);
    }
}

/// Takes values out of bytes that may be anything. Every method gives `None` where the bytes do not have the value.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Begins at the front of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// How many bytes are left.
    pub fn len(&self) -> usize {
        self.rest.len()
    }

    /// The next `count` bytes.
    pub fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    /// One byte.
    pub fn byte(&mut self) -> Option<u8> {
        Some(self.array::<1>()?[0])
    }

    /// What [`Put::put_int`] wrote.
    pub fn int(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                return None;
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    /// What [`Put::put_u32`] wrote.
    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// What [`Put::put_u64`] wrote.
    pub fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// What [`Put::put_bytes`] wrote.
    pub fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.int()?).ok()?;
        self.take(len)
    }

    /// What [`Put::put_bytes`] wrote, as text.
    pub fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    /// A digest.
    pub fn digest(&mut self) -> Option<Digest> {
        self.array().map(Digest)
    }

    /// How many items follow, each at least `least` bytes long: a count that the bytes left could not hold is refused,
    /// so that it is safe to allocate for.
    pub fn count(&mut self, least: usize) -> Option<usize> {
        let count = usize::try_from(self.int()?).ok()?;
        (count.checked_mul(least.max(1))? <= self.rest.len()).then_some(count)
    }

    /// A count, and as many items, each at least `least` bytes long. Room is made as they come: a count that fits the
    /// bytes left may still be a lie, and an item takes more room in memory than in the file.
    pub fn list<T>(&mut self, least: usize, mut item: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = self.count(least)?;
        let mut items = Vec::with_capacity(count.min(MUCH));
        for _ in 0..count {
            items.push(item(self)?);
        }
        Some(items)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn what_is_put_is_read(value: u64, bytes: Vec<u8>, digest: [u8; 32]) {
            let mut buffer = Vec::new();
            buffer.put_int(value);
            buffer.put_bytes(&bytes);
            buffer.put_digest(&Digest(digest));
            buffer.put_u32(7);
            let mut reader = Reader::new(&buffer);
            assert_eq!(reader.int(), Some(value));
            assert_eq!(reader.bytes(), Some(&bytes[..]));
            assert_eq!(reader.digest(), Some(Digest(digest)));
            assert_eq!(reader.u32(), Some(7));
            assert!(reader.is_empty());
            for end in 0..buffer.len() {
                let mut reader = Reader::new(&buffer[..end]);
                let all = (|| Some((reader.int()?, reader.bytes()?, reader.digest()?, reader.u32()?)))();
                assert!(all.is_none(), "cut at {end}");
            }
        }

        #[test]
        fn anything_can_be_read_from(bytes: Vec<u8>) {
            let mut reader = Reader::new(&bytes);
            while reader.int().is_some() {}
            let mut reader = Reader::new(&bytes);
            while reader.bytes().is_some() {}
            let mut reader = Reader::new(&bytes);
            if let Some(count) = reader.count(3) {
                assert!(count * 3 <= bytes.len());
            }
        }
    }
}
