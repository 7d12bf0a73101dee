//! Any bytes as what lies in the store, with the digests put right that a random change never gets past.

use std::time::Duration;

use crate::base::codec::Put;
use crate::base::{Digest, RelPath, Timestamp};

use super::entry::{Entry, PathSets, Place};
use super::{ActionResult, CacheKey, Discovered, Output, OutputKind};

const KEY: CacheKey = CacheKey(Digest([7; 32]));

/// The bytes with their own digest behind them.
fn sealed(body: &[u8]) -> Vec<u8> {
    let mut bytes = body.to_vec();
    bytes.put_digest(&Digest::of(body));
    bytes
}

/// An entry: what is understood stays inside of the project, and inside of the bytes that are there.
pub(crate) fn entry(body: &[u8]) {
    let Some(entry) = Entry::decode(&KEY, sealed(body)) else { return };
    let mut written = 0;
    for (output, place) in entry.result.outputs.iter().zip(&entry.places) {
        assert!(!output.path.is_root() && !output.path.as_bytes().starts_with(b"/"));
        assert!(output.path.components().all(|name| name != b".." && !name.is_empty()));
        if let (OutputKind::File { size, .. }, Place::Inline(at)) = (&output.kind, place) {
            assert!(at + size <= entry.inline.len() as u64);
            written += size;
        }
    }
    assert!(written <= body.len() as u64, "more is written than was read");
    let again = Entry::decode(&KEY, entry.encode(&KEY)).expect("what was understood can be written");
    assert_eq!(entry, again);
}

/// Sets of paths that depfiles named.
pub(crate) fn path_sets(body: &[u8]) {
    let Some(sets) = PathSets::decode(&KEY, &sealed(body)) else { return };
    assert_eq!(PathSets::decode(&KEY, &sets.encode(&KEY)), Some(sets));
}

/// Entries to begin with: every kind of output, place and input.
pub(crate) fn entries() -> Vec<Vec<u8>> {
    let file =
        |bytes: &[u8], mode| OutputKind::File { digest: Digest::of(bytes), size: bytes.len() as u64, mode };
    let outputs = [
        ("out/a", file(b"small", 0o644), Place::Inline(0)),
        ("out/b", file(b"tool", 0o755), Place::Inline(5)),
        ("out/big", file(b"", 0o600), Place::Loose),
        ("out/empty", OutputKind::Dir, Place::None),
        ("out/link", OutputKind::Link(b"../a".to_vec()), Place::None),
        ("out/packed", file(b"packed", 0o644), Place::Pack(0, 3)),
    ];
    let places = outputs.iter().map(|(_, _, place)| *place).collect();
    let outputs = outputs.into_iter().map(|(path, kind, _)| Output {
        path: RelPath::from_bytes(path.as_bytes()).expect("a plain path"),
        kind,
    });
    let discovered = vec![
        Discovered { path: "/usr/include/a.h".into(), digest: Some(Digest([3; 32])) },
        Discovered { path: "gone.h".into(), digest: None },
    ];
    let nothing = ActionResult {
        outputs: Vec::new(),
        log: Vec::new(),
        took: Duration::ZERO,
        made: Timestamp(0),
        run: String::new(),
        discovered: Vec::new(),
    };
    let result = ActionResult {
        outputs: outputs.collect(),
        log: b"said".to_vec(),
        took: Duration::from_millis(12),
        made: Timestamp(34),
        run: "20260101-000000-abcd".to_owned(),
        discovered,
    };
    let empty = Entry { result: nothing, places: Vec::new(), packs: Vec::new(), inline: Vec::new() };
    let packs = vec![(Digest([9; 32]), 9)];
    let full = Entry { result, places, packs, inline: b"smalltool".to_vec() };
    [empty, full].iter().map(|entry| body(entry.encode(&KEY))).collect()
}

/// Sets of paths to begin with.
pub(crate) fn some_path_sets() -> Vec<Vec<u8>> {
    let sets = PathSets(vec![vec![b"a.h".to_vec(), b"/usr/include/b.h".to_vec()], Vec::new()]);
    vec![body(PathSets::default().encode(&KEY)), body(sets.encode(&KEY))]
}

fn body(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.truncate(bytes.len() - 32);
    bytes
}
