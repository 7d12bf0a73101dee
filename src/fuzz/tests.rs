use std::path::Path;
use std::time::{Duration, Instant};

use super::*;

/// Numbers that look drawn, and are the same in every run.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        if end == 0 { 0 } else { (self.next() % end as u64) as usize }
    }
}

/// What programs trip over: numbers at the edge, lengths that lie, pieces of syntax.
const TRICKS: &[&[u8]] = &[
    b"",
    b"\0",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    b"\xff\xff\xff\xff\x07",
    b"\xff\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\x80\x80\x80\x80\x10",
    b"18446744073709551615",
    b"-1",
    b"4294967295",
    b"1e999",
    b"..",
    b"../",
    b"/",
    b"{",
    b"}",
    b"\"",
    b"\\",
    b"\"\"\"\n",
    b"/-",
    b"/*",
    b"*/",
    b"${A}",
    b"${",
    b"$",
    b"\r\n",
    b"\n",
    b"\xc3\xa9",
    b"\xe2\x80\x8b",
    b"\xf0\x9f\xa6\x80",
    b"#null",
    b"#\"",
    b"{a,b}",
    b"[!a-",
    b"**/",
    b"\xfe",
];

/// Another input, made of those that there are.
fn mutated(inputs: &[Vec<u8>], draw: &mut Draw) -> Vec<u8> {
    let mut bytes = inputs[draw.below(inputs.len())].clone();
    for _ in 0..1 + draw.below(4) {
        let at = draw.below(bytes.len() + 1);
        let end = (at + 1 + draw.below(16)).min(bytes.len());
        match draw.below(8) {
            0 if at < bytes.len() => bytes[at] ^= 1 << draw.below(8),
            1 if at < bytes.len() => bytes[at] = draw.next() as u8,
            2 => drop(bytes.drain(at.min(end)..end)),
            3 => bytes.truncate(at),
            4 => {
                let piece = bytes[at.min(end)..end].to_vec();
                let to = draw.below(bytes.len() + 1);
                drop(bytes.splice(to..to, piece));
            }
            5 => {
                let other = &inputs[draw.below(inputs.len())];
                let from = draw.below(other.len() + 1);
                let piece = other[from..(from + draw.below(64)).min(other.len())].to_vec();
                drop(bytes.splice(at..at, piece));
            }
            _ => {
                let trick = TRICKS[draw.below(TRICKS.len())].iter().copied();
                let until = if draw.below(2) == 0 { at } else { end.max(at) };
                drop(bytes.splice(at..until, trick));
            }
        }
    }
    bytes
}

/// Inputs that once broke a target.
fn found(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/found").join(name);
    let mut paths: Vec<_> =
        std::fs::read_dir(folder).into_iter().flatten().map(|file| file.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

/// What a target may take: what all of its tables and messages take, and so much for each byte that it was given.
const FREE: u64 = 8 << 20;
const PER_BYTE: u64 = 4 << 10;

/// Gives an input to a target, and holds it to its memory.
fn hold(name: &str, bytes: &[u8]) {
    let tried = std::panic::AssertUnwindSafe(|| allocation_counter::measure(|| run(name, bytes)));
    let input = || format!("target {name}, input b\"{}\"", bytes.escape_ascii());
    let taken = std::panic::catch_unwind(tried).unwrap_or_else(|_| panic!("{}", input()));
    let may = FREE + PER_BYTE * bytes.len() as u64;
    assert!(taken.bytes_max <= may, "{} of {may} bytes taken by {}", taken.bytes_max, input());
}

/// How long each target is tried; `ENVRUN_FUZZ_SECONDS` asks for more, and then for other inputs.
const SECONDS: f64 = 1.0;
/// How many inputs at most, where nobody asked for more: fast machines need not try more than slow ones.
const CASES: u64 = 20_000;

fn fuzz(name: &str) {
    let more: Option<f64> =
        std::env::var("ENVRUN_FUZZ_SECONDS").ok().map(|text| text.parse().expect("a number of seconds"));
    let seed = more.map_or(0, |_| {
        std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_nanos() as u64)
    });
    let mut inputs = seeds(name);
    assert!(!inputs.is_empty(), "`{name}` has nothing to begin with");
    inputs.extend(found(name));
    inputs.iter().for_each(|input| hold(name, input));
    let mut draw = Draw(0x9e37_79b9_7f4a_7c15 ^ seed);
    let until = Instant::now() + Duration::from_secs_f64(more.unwrap_or(SECONDS));
    let mut cases = 0;
    while Instant::now() < until && (more.is_some() || cases < CASES) {
        let input = mutated(&inputs, &mut draw);
        hold(name, &input);
        // Some of them go on: what is wrong in two ways at once is found step by step.
        if cases % 64 == 0 && inputs.len() < 256 {
            inputs.push(input);
        }
        cases += 1;
    }
    assert!(cases > 10, "only {cases} inputs of `{name}` were tried");
}

macro_rules! targets {
    ($($name:ident)*) => {
        $(#[test] fn $name() { fuzz(stringify!($name)); })*

        #[test]
        fn every_target_is_tried() {
            let tried = [$(stringify!($name)),*];
            assert_eq!(TARGETS.map(|(name, _)| name), tried);
        }
    };
}

targets! { depfile dotenv entry events glob journal kdl manifest paths seal snapshot state words }
