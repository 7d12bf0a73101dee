//! Any bytes as what lies in the state folder, with the checks put right that a random change never gets past.

use crate::base::Digest;
use crate::base::codec::Put;

use super::journal::{Records, push_record};
use super::manifest::Part;
use super::record::{ANY, NewRecord, Row};
use super::seal::Parts;
use super::state::{MAGIC, State, compact};
use super::table::FileKind;
use super::{Manifest, Need, depfile};
use crate::base::Timestamp;

use super::manifest::Tag;

/// A depfile.
pub(crate) fn depfile(text: &[u8]) {
    let Ok(paths) = depfile::parse(text) else { return };
    assert!(paths.iter().all(|path| !path.is_empty()));
    assert!(paths.iter().map(Vec::len).sum::<usize>() <= text.len());
}

/// A state file as it is: the checks of its records do not fit.
pub(crate) fn journal(bytes: &[u8]) {
    let mut file = MAGIC.to_vec();
    file.extend_from_slice(bytes);
    read_state(Records::check(file, MAGIC.len()));
}

/// A state file whose records fit their checks: one for each part between two bytes of `0xfe`.
pub(crate) fn state(bytes: &[u8]) {
    let mut file = MAGIC.to_vec();
    for payload in bytes.split(|byte| *byte == 0xfe) {
        push_record(&mut file, |to| to.extend_from_slice(payload));
    }
    read_state(Records::check(file, MAGIC.len()));
}

/// Reads everything that can be asked of a state, and writes it anew: nothing that can be used is lost.
fn read_state(records: Records) {
    let state = State::parse(Records { bytes: records.bytes.clone(), payloads: records.payloads.clone() });
    let usable = |state: &State| -> Vec<(String, Digest, Vec<Row>)> {
        let record = |label: &&str| {
            let record = state.record(label)?;
            let _ = record.tail();
            let rows = record.all_rows().map(|row| Row { id: 0, ..row });
            let paths = record.ids().map(|id| state.table.path(id).len());
            assert!(paths.sum::<usize>() <= state.loaded.len() * record.ids().count());
            Some(((*label).to_owned(), record.key(), rows.collect()))
        };
        let mut all: Vec<_> = state.labels().iter().filter_map(record).collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    };
    let before = usable(&state);
    let mut file = MAGIC.to_vec();
    file.extend(compact(records));
    assert!(file.len() as u64 <= state.live_size() * 2 + 1024);
    let after = usable(&State::parse(Records::check(file, MAGIC.len())));
    assert_eq!(before, after);
}

/// What went into a key, as a run's record has it.
pub(crate) fn manifest(bytes: &[u8]) {
    let Some(manifest) = Manifest::decode(bytes) else { return };
    assert_eq!(Manifest::decode(&manifest.encode()).as_ref(), Some(&manifest));
    assert_eq!(Manifest::diff(&manifest, &manifest), []);
}

/// What a sealed answer rests on.
pub(crate) fn seal(bytes: &[u8]) {
    let _ = Parts::read(bytes);
}

fn row(id: u32, kind: FileKind) -> Row {
    Row { id, kind, digest: ANY, prior: id == 1 }
}

/// State to begin with: every kind of section.
pub(crate) fn states() -> Vec<Vec<u8>> {
    let mut paths = Vec::new();
    paths.put_int(3);
    [&b"a.c"[..], b"src", b"out/a.o"].iter().for_each(|path| paths.put_bytes(path));
    let mut entry = Vec::new();
    entry.put_u32(0);
    entry.put(&[FileKind::File as u8]);
    entry.put(&[0; 44]);
    entry.put_digest(&Digest::of(b"int"));
    let record = NewRecord {
        key: Digest([1; 32]),
        asked: Digest([2; 32]),
        patterns: Digest([3; 32]),
        outputs_digest: Digest([4; 32]),
        made: Timestamp(5),
        run: "r",
        files: &[row(0, FileKind::File)],
        discovered: Some(&[row(0, FileKind::Missing)]),
        walked: &[row(1, FileKind::Dir)],
        outputs: &[row(2, FileKind::Executable)],
        parts: &[Part { tag: Tag::Variable, name: "CC".into(), digest: Digest([6; 32]) }],
        tools: &[("cc".into(), Digest([7; 32]))],
        needs: &[Need { label: "gen".into(), outputs: Digest([8; 32]) }],
    };
    let mut task = Vec::new();
    task.put_bytes(b"build");
    task.put(&record.encode());
    let mut attempt = Vec::new();
    attempt.put_bytes(b"test");
    attempt.put_u32(2);
    let mut all = Vec::new();
    for (kind, payload) in [(1, paths), (2, entry), (3, task), (4, attempt)] {
        all.put(&[kind]);
        all.put_u32(payload.len() as u32);
        all.put(&payload);
    }
    vec![all.clone(), [&all[..], &[0xfe], &all[..]].concat()]
}

/// Manifests to begin with.
pub(crate) fn manifests() -> Vec<Vec<u8>> {
    let file = |path: &str| super::manifest::FilePart {
        path: path.as_bytes().into(),
        kind: FileKind::File,
        digest: Digest([2; 32]),
    };
    let manifest = Manifest {
        parts: vec![Part { tag: Tag::Variable, name: "CC".into(), digest: Digest([1; 32]) }],
        tools: vec![("cc".into(), Digest([3; 32]))],
        needs: vec![Need { label: "gen".into(), outputs: Digest([4; 32]) }],
        files: vec![file("a.c")],
        discovered: Some(vec![file("a.h")]),
    };
    vec![manifest.encode()]
}

/// Seals to begin with.
pub(crate) fn seals() -> Vec<Vec<u8>> {
    let mut bytes = Vec::new();
    bytes.put_digest(&Digest([1; 32]));
    bytes.put_int(1);
    bytes.put_bytes(b"cc");
    bytes.put_digest(&Digest([2; 32]));
    bytes.put_bytes(b"sub");
    bytes.put_bytes(b"/usr/bin/gcc");
    bytes.put_bytes(b"a.c");
    bytes.put(&[FileKind::File as u8]);
    bytes.put(&[0; 44]);
    bytes.put_bytes(b"gone");
    bytes.put(&[FileKind::Missing as u8]);
    vec![bytes]
}
