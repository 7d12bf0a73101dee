//! The filter that everything passes which the program prints, logs, caches or reports.
//!
//! A [`Redactor`] is told every secret that is read, and puts `***` in its place: the text itself, its base64 in all three
//! alignments and both alphabets, its URL-encoded forms, its form inside JSON, and the long lines of one that has several.
//! [`Redactor::text`] filters what is whole; a [`Redacted`] stream filters what comes in pieces, and holds back no more
//! than what may be the beginning of a secret. Base64 is found across the line breaks that tools put into it.
//!
//! What is replaced is the union of all places where a form stands, so what comes out does not depend on how the input was
//! cut, nor on the order in which secrets were told.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use aho_corasick::AhoCorasick;

/// Shorter secrets stand in too many places by chance: they are not replaced, and the doctor says so.
pub const SHORTEST: usize = 6;
/// What stands in a secret's place.
const MASK: &[u8] = b"***";
/// A line of a secret with several is looked for by itself from this length on.
const LONG_LINE: usize = 20;
/// What goes over a line break has this many characters before it: else a line would be held back because of its last letter.
const BEFORE_BREAK: usize = 4;

/// What is looked for of a form at first: an automaton over all forms of a key of many kilobytes would take seconds to make.
const ANCHOR: usize = 64;

/// Every secret that was read so far. Cheap to share; costs one look at a flag as long as there is none.
#[derive(Clone, Default)]
pub struct Redactor {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    any: AtomicBool,
    known: RwLock<Known>,
}

#[derive(Default)]
struct Known {
    values: BTreeSet<String>,
    patterns: Option<Arc<Patterns>>,
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Redactor(***)")
    }
}

impl Redactor {
    /// From now on these values are replaced.
    pub fn learn<'v>(&self, values: impl IntoIterator<Item = &'v str>) {
        let mut known = self.inner.known.write().unwrap_or_else(PoisonError::into_inner);
        let before = known.values.len();
        // A newline at the end is lost on the way through most programs.
        let values = values.into_iter().map(str::trim).filter(|value| value.len() >= SHORTEST);
        known.values.extend(values.map(str::to_owned));
        if known.values.len() > before {
            known.patterns = None;
            self.inner.any.store(true, Ordering::Release);
        }
    }

    /// Whether there is anything to replace.
    pub fn is_empty(&self) -> bool {
        !self.inner.any.load(Ordering::Acquire)
    }

    /// The compiled forms: made when they are first needed, because secrets come one after the other.
    fn patterns(&self) -> Option<Arc<Patterns>> {
        if self.is_empty() {
            return None;
        }
        if let Some(patterns) = &self.inner.known.read().unwrap_or_else(PoisonError::into_inner).patterns {
            return Some(Arc::clone(patterns));
        }
        let mut known = self.inner.known.write().unwrap_or_else(PoisonError::into_inner);
        let values = &known.values;
        let patterns = Arc::new(Patterns::of(values.iter().map(String::as_str)));
        Some(Arc::clone(known.patterns.insert(patterns)))
    }

    /// A whole text, with every secret in it replaced.
    pub fn text<'t>(&self, text: &'t str) -> Cow<'t, str> {
        match self.bytes(text.as_bytes()) {
            Cow::Borrowed(_) => Cow::Borrowed(text),
            Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
        }
    }

    /// Replaces every secret in a text.
    pub fn clean(&self, text: &mut String) {
        if let Cow::Owned(cleaned) = self.text(text) {
            *text = cleaned;
        }
    }

    /// Whole bytes, with every secret in them replaced.
    pub fn bytes<'t>(&self, bytes: &'t [u8]) -> Cow<'t, [u8]> {
        let Some(patterns) = self.patterns() else { return Cow::Borrowed(bytes) };
        let ranges = patterns.ranges(bytes);
        if ranges.is_empty() {
            return Cow::Borrowed(bytes);
        }
        let mut out = Vec::with_capacity(bytes.len());
        let end = write(bytes, 0, bytes.len(), &ranges, 0, &mut out);
        debug_assert_eq!(end, 0);
        Cow::Owned(out)
    }

    /// A stream whose pieces are filtered as they come.
    pub fn stream(&self) -> Redacted {
        Redacted { redactor: self.clone(), held: Vec::new(), masked: 0 }
    }
}

/// A stream of bytes with every secret in it replaced.
#[derive(Debug)]
pub struct Redacted {
    redactor: Redactor,
    /// What may be the beginning of a secret.
    held: Vec<u8>,
    /// How many of the first bytes that are held belong to a secret for which a mask is out already.
    masked: usize,
}

impl Redacted {
    /// Takes the next piece; what may be shown of it, and of what was held back, goes to `out`.
    pub fn push(&mut self, piece: &[u8], out: &mut dyn FnMut(&[u8])) {
        let Some(patterns) = self.redactor.patterns() else {
            if !self.held.is_empty() {
                self.finish(out);
            }
            return out(piece);
        };
        self.held.extend_from_slice(piece);
        let ranges = patterns.ranges(&self.held);
        let hold = patterns.partial(&self.held);
        self.emit(&ranges, hold, out);
    }

    /// Nothing more comes: what was held back goes out.
    pub fn finish(&mut self, out: &mut dyn FnMut(&[u8])) {
        if self.held.is_empty() {
            return;
        }
        let ranges = self.redactor.patterns().map(|patterns| patterns.ranges(&self.held)).unwrap_or_default();
        self.emit(&ranges, self.held.len(), out);
    }

    /// Lets go of everything before `hold`.
    fn emit(&mut self, ranges: &[Range<usize>], hold: usize, out: &mut dyn FnMut(&[u8])) {
        let mut text = Vec::with_capacity(hold);
        let masked = write(&self.held, self.masked, hold, ranges, self.masked, &mut text);
        if !text.is_empty() {
            out(&text);
        }
        self.held.drain(..hold);
        self.masked = masked;
    }
}

/// Writes `bytes[from..to]` with the ranges replaced. The first `masked` bytes belong to a range whose mask is out. Gives
/// how many of the bytes behind `to` belong to a range whose mask is out now.
fn write(
    bytes: &[u8],
    from: usize,
    to: usize,
    ranges: &[Range<usize>],
    masked: usize,
    out: &mut Vec<u8>,
) -> usize {
    let mut at = from.min(to);
    // The end of the secret whose mask was written last.
    let mut open = masked;
    for range in ranges {
        if range.start >= to {
            break;
        }
        if range.start >= open {
            out.extend_from_slice(&bytes[at.min(range.start)..range.start]);
            out.extend_from_slice(MASK);
        }
        open = open.max(range.end);
        at = at.max(range.end.min(to));
    }
    if at < to {
        out.extend_from_slice(&bytes[at..to]);
    }
    open.saturating_sub(to)
}

/// Every form of every secret, compiled.
struct Patterns {
    /// Found as they stand.
    plain: Forms,
    /// Base64, found with line breaks left out of account.
    broken: Forms,
}

struct Forms {
    /// Sorted, so that a beginning is found by bisection.
    all: Vec<Vec<u8>>,
    /// Finds how they begin: each of the first [`ANCHOR`] bytes that a form has, once.
    search: Option<AhoCorasick>,
    /// Which forms begin so, for each that `search` finds: neighbours, because they are sorted.
    begins_so: Vec<Range<usize>>,
    longest: usize,
}

impl Forms {
    fn new(all: BTreeSet<Vec<u8>>) -> Self {
        let all: Vec<Vec<u8>> = all.into_iter().collect();
        let anchor = |form: &'_ Vec<u8>| form.len().min(ANCHOR);
        let mut begins_so: Vec<Range<usize>> = Vec::new();
        for (at, form) in all.iter().enumerate() {
            match begins_so.last_mut() {
                Some(same) if all[same.start][..anchor(&all[same.start])] == form[..anchor(form)] => {
                    same.end += 1
                }
                _ => begins_so.push(at..at + 1),
            }
        }
        let anchors = begins_so.iter().map(|same| &all[same.start][..anchor(&all[same.start])]);
        let search = (!all.is_empty())
            .then(|| AhoCorasick::new(anchors).expect("secrets are fewer than an automaton can be large"));
        Self { longest: all.iter().map(Vec::len).max().unwrap_or(0), all, search, begins_so }
    }

    /// Where the longest end of `text` begins that is the beginning of a form, but not the whole.
    fn partial(&self, text: &[u8]) -> usize {
        let first = text.len().saturating_sub(self.longest.saturating_sub(1));
        (first..text.len()).find(|&at| self.begins(&text[at..])).unwrap_or(text.len())
    }

    fn begins(&self, end: &[u8]) -> bool {
        let at = self.all.partition_point(|form| form.as_slice() < end);
        // The form itself stands before those that it begins.
        self.all[at..].iter().take(2).any(|form| form.len() > end.len() && form.starts_with(end))
    }

    fn each(&self, text: &[u8], found: &mut dyn FnMut(Range<usize>)) {
        for one in self.search.iter().flat_map(|search| search.find_overlapping_iter(text)) {
            for form in &self.all[self.begins_so[one.pattern().as_usize()].clone()] {
                if text[one.start()..].starts_with(form) {
                    found(one.start()..one.start() + form.len());
                }
            }
        }
    }
}

impl Patterns {
    fn of<'v>(values: impl Iterator<Item = &'v str>) -> Self {
        let (mut plain, mut broken) = (BTreeSet::new(), BTreeSet::new());
        for value in values {
            forms(value, &mut plain, &mut broken);
        }
        Self { plain: Forms::new(plain), broken: Forms::new(broken) }
    }

    /// Every place where a form stands: sorted, overlapping ones as one.
    fn ranges(&self, text: &[u8]) -> Vec<Range<usize>> {
        let mut ranges = Vec::new();
        self.plain.each(text, &mut |range| ranges.push(range));
        if self.broken.search.is_some() && memchr::memchr2(b'\n', b'\r', text).is_some() {
            let (joined, places) = joined(text);
            self.broken.each(&joined, &mut |range| {
                let (start, end) = (places[range.start], places[range.end - 1] + 1);
                if goes_on(&places, range.start, range.end) {
                    ranges.push(start..end);
                }
            });
        }
        ranges.sort_unstable_by_key(|range| (range.start, range.end));
        let mut united: Vec<Range<usize>> = Vec::new();
        for range in ranges {
            match united.last_mut() {
                Some(last) if range.start < last.end => last.end = last.end.max(range.end),
                _ => united.push(range),
            }
        }
        united
    }

    /// Where that begins which may be the beginning of a form.
    fn partial(&self, text: &[u8]) -> usize {
        let plain = self.plain.partial(text);
        if self.broken.search.is_none() || memchr::memchr2(b'\n', b'\r', text).is_none() {
            return plain;
        }
        let (joined, places) = joined(text);
        let mut at = self.broken.partial(&joined);
        // What has too few characters before its line break is not looked for.
        while at < joined.len() {
            let breaks = text[places[at]..].iter().any(|byte| matches!(byte, b'\n' | b'\r'));
            if !breaks || goes_on(&places, at, joined.len()) || before_break(text, places[at]) >= BEFORE_BREAK
            {
                break;
            }
            at += 1;
            at += self.broken.partial(&joined[at..]);
        }
        plain.min(places.get(at).copied().unwrap_or(text.len()))
    }
}

/// How many bytes stand between a place and the next line break.
fn before_break(text: &[u8], at: usize) -> usize {
    text[at..].iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(text.len() - at)
}

/// Whether what begins at `start` has enough characters before its first line break, or has none.
fn goes_on(places: &[usize], start: usize, end: usize) -> bool {
    let together = (start + 1..end).take_while(|&at| places[at] == places[at - 1] + 1).count() + 1;
    together >= BEFORE_BREAK.min(end - start)
}

/// A text without its line breaks, and where each byte of it stood.
fn joined(text: &[u8]) -> (Vec<u8>, Vec<usize>) {
    let kept = || text.iter().enumerate().filter(|(_, byte)| !matches!(byte, b'\n' | b'\r'));
    (kept().map(|(_, byte)| *byte).collect(), kept().map(|(at, _)| at).collect())
}

/// Every form of a value that is looked for.
fn forms(value: &str, plain: &mut BTreeSet<Vec<u8>>, broken: &mut BTreeSet<Vec<u8>>) {
    let mut add = |form: Vec<u8>| {
        if form.len() >= SHORTEST {
            plain.insert(form);
        }
    };
    add(value.as_bytes().to_vec());
    // A shell that is given it without quotes puts one space where several or a newline were.
    add(value.split_whitespace().collect::<Vec<_>>().join(" ").into_bytes());
    let lines = value.lines().map(str::trim).filter(|line| line.len() >= LONG_LINE);
    lines.for_each(|line| add(line.as_bytes().to_vec()));
    for keeps in [LETTERS, UNRESERVED, PATH, FORM, FORM_UNRESERVED, COMPONENT, WHOLE] {
        for lower in [false, true] {
            let encoded = url_encoded(value, keeps, lower);
            if keeps.contains(&b' ') {
                add(encoded.iter().map(|byte| if *byte == b' ' { b'+' } else { *byte }).collect());
            }
            add(encoded);
        }
    }
    for lower in [false, true] {
        for (before, keeps) in [("%", ""), ("\\x", ""), ("\\x", PRINTED), ("", "")] {
            add(escaped(value, before, keeps, lower));
        }
    }
    if let Ok(json) = serde_json::to_string(value) {
        let json = &json[1..json.len() - 1];
        for text in [json.to_owned(), ascii(json, &[]), ascii(json, &['<', '>', '&'])] {
            // PHP writes a slash so.
            add(text.replace('/', "\\/").into_bytes());
            add(text.into_bytes());
        }
    }
    for alphabet in [STANDARD, URL_SAFE] {
        for shift in 0..3 {
            for form in base64_inside(value.as_bytes(), shift, alphabet) {
                // Where fewer characters stand before the break, what comes behind it is found by itself.
                let after = (0..BEFORE_BREAK).filter_map(|at| form.get(at..));
                broken.extend(after.filter(|form| form.len() > SHORTEST).map(<[u8]>::to_vec));
                add(form);
            }
        }
    }
}

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// What stays as it is when a text is URL-encoded, besides letters and digits: nothing, for some; by RFC 3986, the same within a path, by forms, by Python's forms, by
/// JavaScript's `encodeURIComponent` and `encodeURI`.
const LETTERS: &[u8] = b"";
const UNRESERVED: &[u8] = b"-._~";
const PATH: &[u8] = b"-._~/";
const FORM: &[u8] = b"-._* ";
const FORM_UNRESERVED: &[u8] = b"-._~ ";
const COMPONENT: &[u8] = b"-._~!*'()";
const WHOLE: &[u8] = b"-._~!*'();/?:@&=+$,#";

/// A JSON text with only ASCII in it, and without `these`: as Python and Go write it.
fn ascii(json: &str, these: &[char]) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_ascii() && !these.contains(&c) {
            out.push(c);
        } else {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
    }
    out
}

/// What stays as it is where bytes outside of ASCII are escaped: in Python's `repr` of bytes.
const PRINTED: &str =
    " !\"#$%&()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[]^_`abcdefghijklmnopqrstuvwxyz{|}~";

/// Bytes as hexadecimal digits, each with something before it, but for those that stay: every byte as `%6a` by whoever
/// takes no chances in a URL, as `\x6a` by a shell, as `6a` by `xxd`.
fn escaped(value: &str, before: &str, keeps: &str, lower: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len() * (before.len() + 2));
    for byte in value.bytes() {
        if keeps.as_bytes().contains(&byte) {
            out.push(byte);
        } else {
            out.extend_from_slice(before.as_bytes());
            let digits = if lower { format!("{byte:02x}") } else { format!("{byte:02X}") };
            out.extend_from_slice(digits.as_bytes());
        }
    }
    out
}

fn url_encoded(value: &str, keeps: &[u8], lower: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || keeps.contains(&byte) {
            out.push(byte);
        } else if lower {
            out.extend_from_slice(format!("%{byte:02x}").as_bytes());
        } else {
            out.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
    out
}

/// The base64 of `value` as it stands inside that of a longer text, `shift` bytes (0, 1, 2) after a group begins: what is
/// the same whatever stands around it; and the same where the text ends with it.
fn base64_inside(value: &[u8], shift: usize, alphabet: &[u8; 64]) -> [Vec<u8>; 3] {
    let mut bytes = vec![0; shift];
    bytes.extend_from_slice(value);
    let mut text = Vec::with_capacity(bytes.len() * 4 / 3 + 4);
    for group in bytes.chunks(3) {
        let bits =
            group.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for at in 0..=group.len() {
            text.push(alphabet[(bits >> (18 - 6 * at) & 63) as usize]);
        }
    }
    // The first characters hold bits of what stands before, the last one of what stands behind.
    let text = text.split_off([0, 2, 3][shift]);
    let rest = bytes.len() % 3;
    let sure = text[..text.len() - usize::from(rest != 0)].to_vec();
    let mut padded = text.clone();
    padded.extend(std::iter::repeat_n(b'=', (3 - rest) % 3));
    [sure, text, padded]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn as_languages_write_it() {
        let key = "AKIAwJalr/XUtnFEMI+K7~MD <NG>=";
        let word = "p\u{e4}ssw\u{f6}rd-\"z\u{fc}rich\"";
        let redactor = redactor(&[key, word]);
        for text in [
            // Python: quote, quote_plus, json.dumps.
            "AKIAwJalr/XUtnFEMI%2BK7~MD%20%3CNG%3E%3D",
            "AKIAwJalr%2FXUtnFEMI%2BK7~MD+%3CNG%3E%3D",
            r#"p\u00e4ssw\u00f6rd-\"z\u00fcrich\""#,
            // JavaScript: encodeURI.
            "AKIAwJalr/XUtnFEMI+K7~MD%20%3CNG%3E=",
            // PHP and Go: JSON.
            r"AKIAwJalr\/XUtnFEMI+K7~MD <NG>=",
            r"AKIAwJalr/XUtnFEMI+K7~MD \u003cNG\u003e=",
        ] {
            let said = redactor.text(&format!("({text})")).into_owned();
            assert_eq!(said, "(***)", "{text}");
        }
    }

    fn redactor(secrets: &[&str]) -> Redactor {
        let redactor = Redactor::default();
        redactor.learn(secrets.iter().copied());
        redactor
    }

    fn streamed(redactor: &Redactor, pieces: &[&[u8]]) -> Vec<u8> {
        let mut stream = redactor.stream();
        let mut all = Vec::new();
        for piece in pieces {
            stream.push(piece, &mut |bytes| all.extend_from_slice(bytes));
        }
        stream.finish(&mut |bytes| all.extend_from_slice(bytes));
        all
    }

    #[test]
    fn every_form_is_replaced() {
        let secret = "p@ss w0rd/+\"quoted\"";
        let redactor = redactor(&[secret]);
        for (text, expected) in [
            ("x p@ss w0rd/+\"quoted\" y".to_owned(), "x *** y"),
            ("p%40ss%20w0rd%2F%2B%22quoted%22".to_owned(), "***"),
            ("p%40ss%20w0rd%2f%2b%22quoted%22.".to_owned(), "***."),
            ("p%40ss+w0rd%2F%2B%22quoted%22".to_owned(), "***"),
            (r#"{"a":"p@ss w0rd/+\"quoted\""}"#.to_owned(), r#"{"a":"***"}"#),
            ("p@ss w0rd".to_owned(), "p@ss w0rd"),
        ] {
            assert_eq!(redactor.text(&text), expected, "{text}");
        }
        assert_eq!(format!("{redactor:?}"), "Redactor(***)");
    }

    #[test]
    fn base64_is_found_in_every_alignment() {
        let redactor = redactor(&["hunter2-hunter2"]);
        // `user:hunter2-hunter2`, `a:…`, `ab:…!`, as the base64 command prints them.
        for (text, expected) in [
            ("aHVudGVyMi1odW50ZXIy", "***"),
            ("dXNlcjpodW50ZXIyLWh1bnRlcjI=", "dXNlcjp***"),
            ("YTpodW50ZXIyLWh1bnRlcjI=", "YTp***"),
            ("YWI6aHVudGVyMi1odW50ZXIyIQ==", "YWI6***IQ=="),
        ] {
            assert_eq!(redactor.text(text), expected, "{text}");
        }
    }

    #[test]
    fn base64_is_found_across_line_breaks() {
        let secret: String = ('a'..='z').cycle().take(64).collect();
        let redactor = redactor(&[&secret]);
        let mut text: Vec<u8> = b"c2VjcmV0: ".to_vec();
        let [_, _, padded] = base64_inside(secret.as_bytes(), 0, STANDARD);
        for (at, byte) in padded.iter().enumerate() {
            text.push(*byte);
            if at == 75 {
                text.push(b'\n');
            }
        }
        text.push(b'\n');
        assert_eq!(redactor.bytes(&text), &b"c2VjcmV0: ***\n"[..]);
        for at in 0..text.len() {
            let (a, b) = text.split_at(at);
            assert_eq!(streamed(&redactor, &[a, b]), b"c2VjcmV0: ***\n", "{at}");
        }
    }

    #[test]
    fn base64_is_found_however_its_lines_are_broken() {
        let secret = "Sup3r-S3cret-Value-0123456789";
        let redactor = redactor(&[secret]);
        for before in 0..12 {
            let whole = ["user-name-12:".get(..before).unwrap(), secret, "!"].concat();
            let [_, _, code] = base64_inside(whole.as_bytes(), 0, STANDARD);
            for width in 4..30 {
                for end in ["\n", "\r\n"] {
                    let lines: Vec<&str> =
                        code.chunks(width).map(|line| std::str::from_utf8(line).unwrap()).collect();
                    let text = lines.join(end) + end;
                    let shown = redactor.text(&text).into_owned();
                    let seen = shown.bytes().filter(|byte| !b"*\r\n".contains(byte)).count();
                    // What stands before it, with the letters that it shares, what stands behind it, and what may stand
                    // before the first break.
                    let most = before.div_ceil(3) * 4 + 4 + BEFORE_BREAK - 1;
                    assert!(shown.contains("***") && seen <= most, "{before} {width} {seen} {text}{shown}");
                    let (a, b) = text.as_bytes().split_at(text.len() / 2);
                    assert_eq!(streamed(&redactor, &[a, b]), shown.as_bytes(), "{before} {width}");
                }
            }
        }
    }

    #[test]
    fn a_line_is_not_held_back_for_its_last_letter() {
        let redactor = redactor(&["secret-value", "progress-bar"]);
        let mut shown = Vec::new();
        let mut stream = redactor.stream();
        stream.push(b"all tests pass\n", &mut |bytes| shown.extend_from_slice(bytes));
        assert_eq!(shown, b"all tests pass\n");
        stream.push(b"and sec", &mut |bytes| shown.extend_from_slice(bytes));
        assert_eq!(shown, b"all tests pass\nand ");
        stream.push(b"ond", &mut |bytes| shown.extend_from_slice(bytes));
        assert_eq!(shown, b"all tests pass\nand second");
    }

    #[test]
    fn short_secrets_and_none() {
        assert!(redactor(&[]).is_empty());
        assert!(redactor(&["12345", "  abc \n"]).is_empty());
        assert!(matches!(redactor(&[]).text("anything"), Cow::Borrowed(_)));
        assert_eq!(redactor(&["123456\n"]).text("123456"), "***");
    }

    #[test]
    fn a_long_secret_is_found_whole() {
        let letters = ('!'..'z').chain(['\u{e4}']).cycle().take(20_000);
        let long: String = letters.collect();
        let redactor = redactor(&[&long, &long[..19_000], "short-and-sweet"]);
        let text = format!("a {long} b {} c {} short-and-sweet", &long[..19_000], &long[..100]);
        assert_eq!(redactor.text(&text), format!("a *** b *** c {} ***", &long[..100]));
        let pieces: Vec<&[u8]> = text.as_bytes().chunks(4096).collect();
        assert_eq!(streamed(&redactor, &pieces), redactor.text(&text).as_bytes());
        let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &long);
        assert_eq!(redactor.text(&encoded), "***");
    }

    #[test]
    fn a_secret_that_repeats_itself_takes_no_memory() {
        let redactor = redactor(&["aaaaaa"]);
        let mut stream = redactor.stream();
        let mut shown = Vec::new();
        for _ in 0..10_000 {
            stream.push(b"aaa", &mut |bytes| shown.extend_from_slice(bytes));
            assert!(stream.held.len() < 64);
        }
        stream.finish(&mut |bytes| shown.extend_from_slice(bytes));
        assert_eq!(shown, b"***");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn no_escape_shows_any_value(value in "[ -~\u{e4}\u{20ac}]{6,40}", before in "[ -~]{0,5}", at in 0usize..300) {
            prop_assume!(value.trim().len() >= SHORTEST);
            let redactor = redactor(&[&value]);
            let value = value.trim();
            let hex = |write: fn(u8) -> String| value.bytes().map(write).collect::<String>();
            let json = serde_json::to_string(value).unwrap();
            let forms = [
                value.to_owned(),
                hex(|byte| format!("%{byte:02x}")),
                hex(|byte| format!("%{byte:02X}")),
                hex(|byte| format!("\\x{byte:02x}")),
                hex(|byte| format!("\\x{byte:02X}")),
                hex(|byte| format!("{byte:02x}")),
                hex(|byte| format!("{byte:02X}")),
                hex(|byte| if byte.is_ascii_alphanumeric() { (byte as char).to_string() } else { format!("%{byte:02x}") }),
                hex(|byte| if byte.is_ascii_alphanumeric() { (byte as char).to_string() } else { format!("%{byte:02X}") }),
                json[1..json.len() - 1].to_owned(),
            ];
            for form in forms {
                let text = format!("{before}{form}|");
                let shown = redactor.text(&text).into_owned();
                prop_assert!(!shown.contains(&form), "{} {}", form, shown);
                prop_assert!(shown.contains("***"), "{} {}", form, shown);
                let (a, b) = text.as_bytes().split_at(at % (text.len() + 1));
                let streamed = streamed(&redactor, &[a, b]);
                prop_assert_eq!(String::from_utf8_lossy(&streamed).into_owned(), shown);
            }
        }

        #[test]
        fn any_split_comes_to_the_same(
            secrets in prop::collection::vec("[ab\n+\"]{6,24}|[a-zA-Z0-9]{6,80}", 1..4),
            parts in prop::collection::vec((0usize..8, "[ab\n]{0,6}"), 1..8),
            cuts in prop::collection::vec(0usize..400, 0..12),
        ) {
            let redactor = redactor(&secrets.iter().map(String::as_str).collect::<Vec<_>>());
            let mut text = Vec::new();
            for (at, filler) in &parts {
                let secret = &secrets[at % secrets.len()];
                match at % 4 {
                    0 => text.extend_from_slice(secret.as_bytes()),
                    1 => text.extend_from_slice(&base64_inside(secret.as_bytes(), at % 3, STANDARD)[2]),
                    2 => text.extend_from_slice(&url_encoded(secret, UNRESERVED, false)),
                    _ => text.extend_from_slice(&secret.as_bytes()[..secret.len() / 2]),
                }
                text.extend_from_slice(filler.as_bytes());
            }
            let whole = redactor.bytes(&text).into_owned();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (text.len() + 1)).collect();
            cuts.push(0);
            cuts.push(text.len());
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect();
            prop_assert_eq!(
                String::from_utf8_lossy(&streamed(&redactor, &pieces)).into_owned(),
                String::from_utf8_lossy(&whole).into_owned()
            );
            let shown = String::from_utf8_lossy(&whole).into_owned();
            for secret in secrets.iter().filter(|secret| secret.trim().len() >= SHORTEST) {
                // Replacing may put letters beside each other, never a whole secret.
                prop_assert!(!shown.contains(secret.trim()));
            }
        }
    }
}
