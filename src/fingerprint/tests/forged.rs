//! State files that somebody wrote on purpose: whole, well formed, and not true.

use std::fs;
use std::os::unix::fs::symlink;

use proptest::prelude::*;

use super::super::journal::push_record;
use super::super::manifest::{Part, Tag};
use super::super::record::{ANY, NewRecord, Row};
use super::super::state::MAGIC;
use super::super::table::FileKind;
use super::super::unchanged::asked;
use super::*;
use crate::base::codec::Put;

/// Where a row may lead: to the task's own files, to others, out of the project on every way there is.
const PATHS: [&[u8]; 12] = [
    b"src/a.c",
    b"src",
    b"out",
    b"out/below",
    b"other/kept",
    b"other",
    b"../outside/kept",
    b"link/kept",
    b"/dev/null",
    b".git/config",
    b"",
    b"src/../other/kept",
];

const KINDS: [FileKind; 6] = [
    FileKind::Missing,
    FileKind::File,
    FileKind::Executable,
    FileKind::Link,
    FileKind::Dir,
    FileKind::Special,
];

#[derive(Debug, Clone)]
struct Forged {
    /// Path, kind, digest, and the number that its stat is made of.
    entries: Vec<(u32, u8, u8, u64)>,
    /// The four lists of the task's record: path, kind, digest, prior.
    rows: [Vec<(u32, u8, u8, bool)>; 4],
    /// The record bears the marks of today's definition.
    knows: bool,
    discovers: bool,
    outputs: u8,
    attempt: Option<Vec<u32>>,
}

fn forged() -> impl Strategy<Value = Forged> {
    let path = || 0..PATHS.len() as u32 + 2;
    let rows = move || proptest::collection::vec((path(), 0..6_u8, 0..4_u8, any::<bool>()), 0..4);
    (
        proptest::collection::vec((path(), 0..7_u8, 0..4_u8, 0..3_u64), 0..8),
        [rows(), rows(), rows(), rows()],
        any::<(bool, bool)>(),
        0..4_u8,
        proptest::option::of(proptest::collection::vec(path(), 0..4)),
    )
        .prop_map(|(entries, rows, (knows, discovers), outputs, attempt)| Forged {
            entries,
            rows,
            knows,
            discovers,
            outputs,
            attempt,
        })
}

/// None of them is that of a file: who knows what is in a file, and may write the state, could as well take it away.
fn digest(at: u8) -> Digest {
    [Digest([0; 32]), ANY, Digest::of(b"a lie"), Digest::of(b"another lie")][usize::from(at)]
}

fn file(forged: &Forged, definition: &Definition, workspace: &Workspace) -> Vec<u8> {
    let mut paths = Vec::new();
    paths.put_int(PATHS.len() as u64);
    PATHS.iter().for_each(|path| paths.put_bytes(path));
    let mut entries = Vec::new();
    for (id, kind, known, stat) in &forged.entries {
        entries.put_u32(*id);
        entries.put(&[*kind]);
        (0..5).for_each(|_| entries.put_u64(*stat));
        entries.put_u32(0o100_644);
        entries.put_digest(&digest(*known));
    }
    let row = |(id, kind, known, prior): &(u32, u8, u8, bool)| Row {
        id: *id,
        kind: KINDS[usize::from(*kind)],
        digest: digest(*known),
        prior: *prior,
    };
    let rows: [Vec<Row>; 4] = std::array::from_fn(|list| forged.rows[list].iter().map(row).collect());
    let prepared = workspace.prepare(definition).unwrap();
    let record = NewRecord {
        key: digest(forged.outputs),
        asked: if forged.knows { asked(&prepared.text(), []) } else { Digest([2; 32]) },
        patterns: Digest([3; 32]),
        outputs_digest: digest(forged.outputs),
        made: Timestamp(5),
        run: "r",
        files: &rows[0],
        discovered: forged.discovers.then_some(&*rows[1]),
        walked: &rows[2],
        outputs: &rows[3],
        parts: &[Part { tag: Tag::Variable, name: "CC".into(), digest: Digest([6; 32]) }],
        tools: &[],
        needs: &[],
    };
    let mut task = Vec::new();
    task.put_bytes(definition.label.as_bytes());
    task.put(&record.encode());
    let mut all = MAGIC.to_vec();
    push_record(&mut all, |to| {
        let mut section = |kind: u8, payload: &[u8]| {
            to.put(&[kind]);
            to.put_u32(payload.len() as u32);
            to.put(payload);
        };
        section(1, &paths);
        section(2, &entries);
        section(3, &task);
        if let Some(ids) = &forged.attempt {
            let mut attempt = Vec::new();
            attempt.put_bytes(definition.label.as_bytes());
            ids.iter().for_each(|id| attempt.put_u32(*id));
            section(4, &attempt);
        }
    });
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// A state that says nothing true of any stat costs a look at everything: what the task makes is right, and nothing
    /// else is written or taken away.
    #[test]
    fn a_forged_state_touches_nothing_and_makes_nothing_wrong(forged in forged(), made in any::<bool>()) {
        let here = Checkout::new(&[("src/a.c", "int a;"), ("other/kept", "other"), (".git/config", "git")]);
        let outside = here.root.parent().unwrap().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("kept"), "outside").unwrap();
        symlink("../outside", here.path("link")).unwrap();
        if made {
            here.write("out", "of somebody else");
        }
        let build = task(&["src/*.c"], &["out"]);
        let state = file(&forged, &build, &here.workspace());
        fs::create_dir_all(here.path(".envrun/state")).unwrap();
        fs::write(here.path(".envrun/state/files"), state).unwrap();
        let said = here.run(&build, cat);
        prop_assert!(said.starts_with("executed"), "{}", said);
        prop_assert_eq!(here.read("out"), "int a;");
        prop_assert_eq!(here.read("src/a.c"), "int a;");
        prop_assert_eq!(here.read("other/kept"), "other");
        prop_assert_eq!(here.read(".git/config"), "git");
        prop_assert_eq!(fs::read_to_string(outside.join("kept")).unwrap(), "outside");
        prop_assert_eq!(here.run(&build, never), "up to date");
    }
}
