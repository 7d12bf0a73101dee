use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use proptest::prelude::*;

use super::entry::{Entry, PathSets, Place};
use super::*;
use crate::base::fs::Root;

/// A folder with outputs in it, and a store beside it.
struct Bench {
    dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("root/out")).unwrap();
        Self { dir }
    }

    fn root(&self) -> Root {
        Root::open(&self.dir.path().join("root")).unwrap()
    }

    fn out(&self, path: &str) -> PathBuf {
        self.dir.path().join("root").join(path)
    }

    fn store(&self) -> LocalStore {
        LocalStore::open(&self.dir.path().join("cache"), Limits::default())
    }

    /// Writes a file and gives it as an output.
    fn file(&self, path: &str, bytes: &[u8]) -> Output {
        fs::create_dir_all(self.out(path).parent().unwrap()).unwrap();
        fs::write(self.out(path), bytes).unwrap();
        output(path, file(bytes))
    }

    /// Every file of the store in a room.
    fn stored(&self, room: &str) -> Vec<PathBuf> {
        let mut files = Vec::new();
        for shard in fs::read_dir(self.dir.path().join("cache").join(room)).into_iter().flatten() {
            files.extend(fs::read_dir(shard.unwrap().path()).unwrap().map(|file| file.unwrap().path()));
        }
        files
    }
}

fn file(bytes: &[u8]) -> OutputKind {
    OutputKind::File { digest: Digest::of(bytes), size: bytes.len() as u64, mode: 0o644 }
}

fn output(path: &str, kind: OutputKind) -> Output {
    Output { path: RelPath::from_bytes(path.as_bytes()).unwrap(), kind }
}

fn result(outputs: Vec<Output>) -> ActionResult {
    ActionResult {
        outputs,
        log: b"said\n".to_vec(),
        took: Duration::from_millis(12),
        made: Timestamp(34),
        run: "r1".to_owned(),
        discovered: Vec::new(),
    }
}

fn key(byte: u8) -> CacheKey {
    CacheKey(Digest([byte; 32]))
}

fn hit(found: Lookup) -> Box<Hit> {
    match found {
        Lookup::Hit(hit) => hit,
        Lookup::Miss { warning } => panic!("a miss: {warning:?}"),
    }
}

fn all(_: &RelPath) -> bool {
    true
}

#[test]
fn a_result_comes_back_with_its_log() {
    let place = Bench::new();
    let outputs = vec![place.file("out/a", b"small"), place.file("out/big", &vec![7; 2 << 20])];
    let result = result(outputs);
    place.store().store(&key(1), &result, &place.root()).unwrap();
    fs::remove_dir_all(place.out("out")).unwrap();
    let found = hit(place.store().lookup(&key(1)));
    assert_eq!(found.result, result);
    let stats = place.store().restore(&found, &place.root(), &[false, false], &all).unwrap();
    assert_eq!(stats.iter().flatten().map(|stat| stat.size).collect::<Vec<_>>(), [5, 2 << 20]);
    assert_eq!(fs::read(place.out("out/a")).unwrap(), b"small");
    assert_eq!(fs::read(place.out("out/big")).unwrap(), vec![7; 2 << 20]);
    assert!(matches!(place.store().lookup(&key(2)), Lookup::Miss { warning: None }));
}

#[test]
fn many_small_files_lie_in_packs() {
    let place = Bench::new();
    let outputs: Vec<Output> =
        (0..60u8).map(|at| place.file(&format!("out/{at:02}"), &vec![at; 900_000])).collect();
    let result = result(outputs);
    place.store().store(&key(1), &result, &place.root()).unwrap();
    assert_eq!(place.stored("blobs").len(), 2);
    fs::remove_dir_all(place.out("out")).unwrap();
    let found = hit(place.store().lookup(&key(1)));
    place.store().restore(&found, &place.root(), &[], &all).unwrap();
    for at in 0..60u8 {
        assert_eq!(fs::read(place.out(&format!("out/{at:02}"))).unwrap(), vec![at; 900_000]);
    }
    // Any pack that is damaged keeps all files from being touched.
    fs::write(place.out("out/00"), "old").unwrap();
    let last = hit(place.store().lookup(&key(1))).packs[1].0;
    flip(&place.store().blob(&last), 17);
    let found = hit(place.store().lookup(&key(1)));
    let error = place.store().restore(&found, &place.root(), &[], &all).unwrap_err();
    assert!(matches!(error, RestoreError::Damaged(_)), "{error}");
    assert_eq!(fs::read(place.out("out/00")).unwrap(), b"old");
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn an_entry_that_is_flipped_or_cut_anywhere_is_a_miss() {
    let place = Bench::new();
    let mut result = result(vec![place.file("out/a", b"aaaa"), place.file("out/b", b"bbbb")]);
    result.outputs.push(output("out/c", OutputKind::Link(b"a".to_vec())));
    result.outputs.push(output("out/d", OutputKind::Dir));
    result.discovered.push(Discovered { path: "/usr/include/stdio.h".into(), digest: Some(Digest::of(b"")) });
    place.store().store(&key(1), &result, &place.root()).unwrap();
    let path = place.stored("results").pop().unwrap();
    let whole = fs::read(&path).unwrap();
    let mut warnings = 0;
    let mut ask = |bytes: &[u8], what: &str| {
        fs::write(&path, bytes).unwrap();
        match place.store().lookup(&key(1)) {
            Lookup::Hit(_) => panic!("{what}: a hit"),
            Lookup::Miss { warning } => warnings += usize::from(warning.is_some()),
        }
        // It is said once, and the place is free for a good one.
        assert!(matches!(place.store().lookup(&key(1)), Lookup::Miss { warning: None }));
    };
    for at in 0..whole.len() {
        for change in [1u8, 0x80, 0xff] {
            let mut bad = whole.clone();
            bad[at] ^= change;
            ask(&bad, &format!("byte {at} ^ {change}"));
        }
        ask(&whole[..at], &format!("cut at {at}"));
    }
    ask(&[&whole[..], b"x"].concat(), "longer");
    assert_eq!(warnings, whole.len() * 4 + 1);
    fs::write(&path, &whole).unwrap();
    hit(place.store().lookup(&key(1)));
}

#[test]
fn the_entry_of_another_key_is_a_miss() {
    let place = Bench::new();
    let result = result(vec![place.file("out/a", b"aaaa")]);
    place.store().store(&key(1), &result, &place.root()).unwrap();
    let theirs = place.stored("results").pop().unwrap();
    let ours = place.store().place("results", &key(2).0);
    fs::create_dir_all(ours.parent().unwrap()).unwrap();
    fs::copy(theirs, ours).unwrap();
    assert!(matches!(place.store().lookup(&key(2)), Lookup::Miss { warning: Some(_) }));
}

#[test]
fn a_damaged_blob_is_found_before_anything_is_renamed_and_heals() {
    let place = Bench::new();
    let big = vec![7; 2 << 20];
    let result = result(vec![place.file("out/a", b"small"), place.file("out/big", &big)]);
    for damage in 0..3 {
        place.store().store(&key(1), &result, &place.root()).unwrap();
        let blob = place.stored("blobs").pop().unwrap();
        match damage {
            0 => flip(&blob, 1_234_567),
            1 => fs::write(&blob, &big[1..]).unwrap(),
            _ => fs::remove_file(&blob).unwrap(),
        }
        fs::write(place.out("out/a"), "old").unwrap();
        let found = hit(place.store().lookup(&key(1)));
        let error = place.store().restore(&found, &place.root(), &[], &all).unwrap_err();
        assert!(matches!(error, RestoreError::Damaged(_)), "{error}");
        assert_eq!(fs::read(place.out("out/a")).unwrap(), b"old");
        let mut left: Vec<_> =
            fs::read_dir(place.out("out")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["a", "big"], "nothing half-written is left beside");
        // The next result takes the place of the damaged one.
        fs::write(place.out("out/a"), "small").unwrap();
        place.store().store(&key(1), &result, &place.root()).unwrap();
        let found = hit(place.store().lookup(&key(1)));
        place.store().restore(&found, &place.root(), &[], &all).unwrap();
        assert_eq!(fs::read(place.out("out/big")).unwrap(), big);
    }
}

/// An entry with other bytes in one place, and a digest that fits again: what somebody could put there on purpose.
fn forge(place: &Bench, result: &ActionResult, from: &[u8], to: &[u8]) {
    assert_eq!(from.len(), to.len());
    place.store().store(&key(1), result, &place.root()).unwrap();
    let path = place.stored("results").pop().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes.truncate(bytes.len() - 32);
    let at = bytes.windows(from.len()).position(|window| window == from).unwrap();
    bytes[at..at + from.len()].copy_from_slice(to);
    let check = Digest::of(&bytes);
    bytes.extend_from_slice(check.as_bytes());
    fs::write(&path, &bytes).unwrap();
}

#[test]
fn paths_that_lead_out_are_refused() {
    for bad in
        [&b"../../aaaa"[..], b"/etc/aaaaa", b"out/../aaa", b"out//aaaaa", b"out/./aaaa", b"out/aa\0aaa"]
    {
        let place = Bench::new();
        let result = result(vec![place.file("out/aaaaaa", b"x")]);
        forge(&place, &result, b"out/aaaaaa", bad);
        let found = place.store().lookup(&key(1));
        assert!(matches!(found, Lookup::Miss { warning: Some(_) }), "{}", bad.escape_ascii());
    }
}

#[test]
fn a_file_below_a_link_or_a_file_is_refused() {
    let place = Bench::new();
    let mut outputs = vec![output("out/link", OutputKind::Link(b"/tmp".to_vec()))];
    outputs.push(place.file("out/lynk/file", b"x"));
    let result = result(outputs);
    forge(&place, &result, b"out/lynk/file", b"out/link/file");
    assert!(matches!(place.store().lookup(&key(1)), Lookup::Miss { warning: Some(_) }));
}

#[test]
fn content_that_is_not_what_its_digest_says_is_refused() {
    let place = Bench::new();
    let result = result(vec![place.file("out/a", b"honest content")]);
    forge(&place, &result, b"honest content", b"forged content");
    fs::write(place.out("out/a"), "old").unwrap();
    let found = hit(place.store().lookup(&key(1)));
    let error = place.store().restore(&found, &place.root(), &[], &all).unwrap_err();
    assert!(matches!(error, RestoreError::Damaged(_)), "{error}");
    assert_eq!(fs::read(place.out("out/a")).unwrap(), b"old");
}

#[test]
fn what_was_not_declared_is_not_written() {
    let place = Bench::new();
    let result = result(vec![place.file("out/a", b"x"), place.file("src/main.c", b"x")]);
    place.store().store(&key(1), &result, &place.root()).unwrap();
    fs::write(place.out("src/main.c"), "mine").unwrap();
    fs::write(place.out("out/a"), "mine").unwrap();
    let found = hit(place.store().lookup(&key(1)));
    let declared = |path: &RelPath| path.display().starts_with("out");
    let error = place.store().restore(&found, &place.root(), &[], &declared).unwrap_err();
    assert_eq!(error.to_string(), "it holds src/main.c, which the task does not declare");
    assert_eq!(fs::read(place.out("src/main.c")).unwrap(), b"mine");
    assert_eq!(fs::read(place.out("out/a")).unwrap(), b"mine");
}

#[test]
fn a_link_on_the_way_is_not_followed() {
    let place = Bench::new();
    let elsewhere = tempfile::tempdir().unwrap();
    let result = result(vec![place.file("out/deep/a", b"x")]);
    place.store().store(&key(1), &result, &place.root()).unwrap();
    fs::remove_dir_all(place.out("out")).unwrap();
    symlink(elsewhere.path(), place.out("out")).unwrap();
    let found = hit(place.store().lookup(&key(1)));
    let declared = |path: &RelPath| path.display().starts_with("out/deep");
    let error = place.store().restore(&found, &place.root(), &[], &declared).unwrap_err();
    assert_eq!(error.to_string(), "the link out is in the way");
    assert!(fs::read_dir(elsewhere.path()).unwrap().next().is_none());
    // Where the link itself is the task's to replace, it is replaced, not followed.
    place.store().restore(&found, &place.root(), &[], &all).unwrap();
    assert_eq!(fs::read(place.out("out/deep/a")).unwrap(), b"x");
    assert!(fs::read_dir(elsewhere.path()).unwrap().next().is_none());
}

#[test]
fn a_folder_with_something_in_it_stays() {
    let place = Bench::new();
    let result = result(vec![place.file("out/a", b"x")]);
    place.store().store(&key(1), &result, &place.root()).unwrap();
    fs::remove_file(place.out("out/a")).unwrap();
    fs::create_dir(place.out("out/a")).unwrap();
    fs::write(place.out("out/a/mine"), "").unwrap();
    let found = hit(place.store().lookup(&key(1)));
    let error = place.store().restore(&found, &place.root(), &[], &all).unwrap_err();
    assert_eq!(error.to_string(), "the folder out/a is in the way");
    fs::remove_file(place.out("out/a/mine")).unwrap();
    place.store().restore(&found, &place.root(), &[], &all).unwrap();
    assert_eq!(fs::read(place.out("out/a")).unwrap(), b"x");
}

#[test]
fn setuid_is_never_given() {
    let place = Bench::new();
    let mut result = result(vec![place.file("out/a", b"x")]);
    if let OutputKind::File { mode, .. } = &mut result.outputs[0].kind {
        *mode = 0o4755;
    }
    place.store().store(&key(1), &result, &place.root()).unwrap();
    assert!(matches!(place.store().lookup(&key(1)), Lookup::Miss { warning: Some(_) }));
}

#[test]
fn modes_come_back_as_far_as_the_umask_allows() {
    let place = Bench::new();
    let mut result = result(vec![place.file("out/a", b"x"), place.file("out/b", b"x")]);
    for (output, wanted) in result.outputs.iter_mut().zip([0o755, 0o600]) {
        if let OutputKind::File { mode, .. } = &mut output.kind {
            *mode = wanted;
        }
    }
    place.store().store(&key(1), &result, &place.root()).unwrap();
    let found = hit(place.store().lookup(&key(1)));
    place.store().restore(&found, &place.root(), &[], &all).unwrap();
    let mode = |path: &str| fs::metadata(place.out(path)).unwrap().permissions().mode() & 0o700;
    assert_eq!((mode("out/a"), mode("out/b")), (0o700, 0o600));
}

#[test]
fn a_store_that_cannot_be_written_says_so_and_nothing_more() {
    let place = Bench::new();
    let result = result(vec![place.file("out/a", b"x"), place.file("out/big", &vec![1; 2 << 20])]);
    fs::write(place.dir.path().join("cache"), "a file where the store should be").unwrap();
    let error = place.store().store(&key(1), &result, &place.root()).unwrap_err().to_string();
    assert!(error.contains("Not a directory") || error.contains("File exists"), "{error}");
    assert!(matches!(place.store().lookup(&key(1)), Lookup::Miss { .. }));
}

#[test]
fn an_output_that_changed_after_the_task_is_not_kept() {
    let place = Bench::new();
    let result = result(vec![place.file("out/a", b"small"), place.file("out/big", &vec![1; 2 << 20])]);
    fs::write(place.out("out/a"), "SMALL").unwrap();
    assert!(matches!(place.store().store(&key(1), &result, &place.root()), Err(StoreError::Changed(_))));
    fs::write(place.out("out/a"), "small").unwrap();
    fs::write(place.out("out/big"), vec![2; 2 << 20]).unwrap();
    assert!(matches!(place.store().store(&key(1), &result, &place.root()), Err(StoreError::Changed(_))));
    assert!(matches!(place.store().lookup(&key(1)), Lookup::Miss { warning: None }));
    assert_eq!(fs::read_dir(place.dir.path().join("cache/tmp")).unwrap().count(), 0);
}

#[test]
fn threads_that_store_and_restore_at_once() {
    let place = Bench::new();
    let result = result(vec![place.file("out/a", b"small"), place.file("out/big", &vec![1; 2 << 20])]);
    let source = place.root();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (place, result, source) = (&place, &result, &source);
            scope.spawn(move || {
                let store = place.store();
                let mine = place.dir.path().join(format!("mine{thread}"));
                fs::create_dir_all(&mine).unwrap();
                let root = Root::open(&mine).unwrap();
                for count in 0..10u8 {
                    store.store(&key(count), result, source).unwrap();
                    let found = hit(store.lookup(&key(count)));
                    store.restore(&found, &root, &[], &all).unwrap();
                    assert_eq!(fs::read(mine.join("out/a")).unwrap(), b"small");
                    if thread == 0 {
                        store.collect().unwrap();
                    }
                }
            });
        }
    });
}

#[test]
fn sets_of_paths_are_kept_the_last_first() {
    let place = Bench::new();
    let set = |names: &[&str]| names.iter().map(|name| name.as_bytes().to_vec()).collect::<Vec<_>>();
    let store = place.store();
    assert!(store.path_sets(&key(1)).is_empty());
    store.add_path_set(&key(1), set(&["a.h"])).unwrap();
    store.add_path_set(&key(1), set(&["a.h", "/usr/include/b.h"])).unwrap();
    assert_eq!(store.path_sets(&key(1)), [set(&["a.h", "/usr/include/b.h"]), set(&["a.h"])]);
    store.add_path_set(&key(1), set(&["a.h"])).unwrap();
    assert_eq!(store.path_sets(&key(1))[0], set(&["a.h"]));
    let path = place.stored("paths").pop().unwrap();
    let whole = fs::read(&path).unwrap();
    for at in 0..whole.len() {
        let mut bad = whole.clone();
        bad[at] ^= 4;
        fs::write(&path, bad).unwrap();
        assert!(store.path_sets(&key(1)).is_empty(), "byte {at}");
    }
    let made_up = PathSets(vec![set(&["/proc/kcore"])]).encode(&key(1));
    assert_eq!(PathSets::decode(&key(1), &made_up), None);
}

/// Makes everything in the store look used so long ago.
fn age(place: &Bench, by: Duration) {
    for room in ["results", "blobs", "paths"] {
        for path in place.stored(room) {
            fs::File::options()
                .append(true)
                .open(path)
                .unwrap()
                .set_modified(SystemTime::now() - by)
                .unwrap();
        }
    }
}

const DAY: Duration = Duration::from_secs(86_400);

#[test]
fn what_was_not_used_for_long_goes() {
    let place = Bench::new();
    let result = result(vec![place.file("out/a", b"small"), place.file("out/big", &vec![1; 2 << 20])]);
    place.store().store(&key(1), &result, &place.root()).unwrap();
    age(&place, DAY * 31);
    place.store().store(&key(2), &super::tests::result(vec![]), &place.root()).unwrap();
    let collected = place.store().collect().unwrap();
    assert_eq!(collected.files, 2);
    assert!(matches!(place.store().lookup(&key(1)), Lookup::Miss { warning: None }));
    hit(place.store().lookup(&key(2)));
}

#[test]
fn the_least_recently_used_goes_when_there_is_too_much() {
    let place = Bench::new();
    let store =
        LocalStore::open(&place.dir.path().join("cache"), Limits { max_size: 8 << 20, ..Limits::default() });
    for count in 0..6u8 {
        let result = result(vec![place.file("out/big", &vec![count; 2 << 20])]);
        store.store(&key(count), &result, &place.root()).unwrap();
        age_one(&place, &store, count, DAY * (10 - u32::from(count)));
    }
    // Used again: it is the youngest now.
    hit(store.lookup(&key(0)));
    let found = hit(store.lookup(&key(0)));
    store.restore(&found, &place.root(), &[], &all).unwrap();
    drop(store);
    let store =
        LocalStore::open(&place.dir.path().join("cache"), Limits { max_size: 8 << 20, ..Limits::default() });
    let collected = store.collect().unwrap();
    assert!(collected.left <= 8 << 20 && collected.left > 4 << 20, "{collected:?}");
    let there = |count: u8| matches!(store.lookup(&key(count)), Lookup::Hit(_));
    assert_eq!((0..6).map(there).collect::<Vec<_>>(), [true, false, false, false, true, true]);
    assert!(!store.is_collection_due());
}

fn age_one(place: &Bench, store: &LocalStore, count: u8, by: Duration) {
    let bytes = vec![count; 2 << 20];
    for path in [store.place("results", &key(count).0), store.blob(&Digest::of(&bytes))] {
        fs::File::options().append(true).open(path).unwrap().set_modified(SystemTime::now() - by).unwrap();
    }
    let _ = place;
}

#[test]
fn what_a_living_run_may_use_stays() {
    let place = Bench::new();
    let big = result(vec![place.file("out/big", &vec![1; 2 << 20])]);
    place.store().store(&key(1), &big, &place.root()).unwrap();
    let tight = || {
        LocalStore::open(&place.dir.path().join("cache"), Limits { max_size: 1 << 20, ..Limits::default() })
    };
    let living = place.store();
    let found = hit(living.lookup(&key(1)));
    assert_eq!(tight().collect().unwrap().files, 0);
    living.restore(&found, &place.root(), &[], &all).unwrap();
    drop(living);
    assert_eq!(tight().collect().unwrap().files, 2);
}

#[test]
fn stats_list_verify_clear() {
    let place = Bench::new();
    let big = result(vec![place.file("out/a", b"x"), place.file("out/big", &vec![1; 2 << 20])]);
    let store = place.store();
    assert_eq!(store.stats(), Stats::default());
    store.store(&key(1), &big, &place.root()).unwrap();
    store.store(&key(2), &result(vec![]), &place.root()).unwrap();
    store.add_path_set(&key(3), vec![b"a.h".to_vec()]).unwrap();
    let stats = store.stats();
    assert_eq!((stats.results, stats.blobs, stats.blob_bytes), (2, 1, 2 << 20));
    let list = store.list();
    assert_eq!(list.len(), 2);
    let listed = list.iter().find(|listed| listed.key == key(1)).unwrap();
    assert_eq!(listed.outputs, ["out/a", "out/big"]);
    assert!(listed.size > 2 << 20);
    assert_eq!(store.verify(), Verified { good: 4, bad: vec![] });
    let blob = place.stored("blobs").pop().unwrap();
    flip(&blob, 5);
    assert_eq!(store.verify(), Verified { good: 3, bad: vec![blob] });
    store.clear().unwrap();
    assert_eq!(store.stats(), Stats::default());
    assert!(matches!(store.lookup(&key(1)), Lookup::Miss { warning: None }));
}

#[test]
fn a_few_bytes_do_not_become_many_files() {
    let outputs: Vec<Output> = (0..4).map(|at| output(&format!("out/{at}"), file(b"same"))).collect();
    let decoded = |places: [Place; 4], packs: Vec<(Digest, u64)>| {
        let entry = Entry {
            result: result(outputs.clone()),
            places: places.to_vec(),
            packs,
            inline: b"samesame".to_vec(),
        };
        Entry::decode(&key(1), entry.encode(&key(1))).is_some()
    };
    let pack = (Digest([9; 32]), 8);
    assert!(decoded([Place::Inline(0), Place::Inline(4), Place::Pack(0, 0), Place::Pack(0, 4)], vec![pack]));
    assert!(!decoded([Place::Inline(0), Place::Inline(0), Place::Inline(4), Place::Loose], vec![pack]));
    assert!(!decoded([Place::Pack(0, 0), Place::Pack(0, 0), Place::Pack(0, 4), Place::Loose], vec![pack]));
    // A pack is read as a whole, so one may not be called as long as a disk.
    assert!(!decoded([Place::Loose; 4], vec![(Digest([9; 32]), 1 << 40)]));
}

fn outputs() -> impl Strategy<Value = Vec<(Output, Place)>> {
    let kind = prop_oneof![
        (any::<[u8; 32]>(), 0u64..4, 0u32..0o1000).prop_map(|(digest, size, mode)| OutputKind::File {
            digest: Digest(digest),
            size,
            mode
        }),
        "[a-z/.]{1,9}".prop_map(|target| OutputKind::Link(target.into_bytes())),
        Just(OutputKind::Dir),
    ];
    proptest::collection::btree_map("[a-c]{1,3}", (kind, 0..3), 0..6).prop_map(|map| {
        map.into_iter()
            .map(|(path, (kind, place))| {
                let place = match (&kind, place) {
                    (OutputKind::File { .. }, 0) => Place::Inline(3),
                    (OutputKind::File { .. }, 1) => Place::Pack(0, 7),
                    (OutputKind::File { .. }, _) => Place::Loose,
                    _ => Place::None,
                };
                (output(&path, kind), place)
            })
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn packing_and_unpacking_gives_the_same(
        outputs in outputs(),
        log: Vec<u8>,
        inline in proptest::collection::vec(any::<u8>(), 23..40),
        discovered in proptest::collection::vec(("[a-z/]{1,9}", proptest::option::of(any::<[u8; 32]>())), 0..4),
    ) {
        let (outputs, places): (Vec<_>, Vec<_>) = outputs.into_iter().unzip();
        let discovered = discovered
            .into_iter()
            .map(|(path, digest)| Discovered { path: path.into(), digest: digest.map(Digest) })
            .collect();
        let result = ActionResult { log, discovered, ..result(outputs) };
        let entry = Entry { result, places, packs: vec![(Digest([9; 32]), 27)], inline };
        let bytes = entry.encode(&key(5));
        prop_assert_eq!(Entry::decode(&key(5), bytes.clone()), Some(entry));
        prop_assert_eq!(Entry::decode(&key(6), bytes), None);
    }

    /// Lengths that lie, with a digest that fits: refused without allocating for them.
    #[test]
    fn forged_bytes_are_an_entry_or_none(at in 48usize..200, to: [u8; 4], outputs in outputs()) {
        let (outputs, places): (Vec<_>, Vec<_>) = outputs.into_iter().unzip();
        let entry = Entry { result: result(outputs), places, packs: vec![(Digest([9; 32]), 27)], inline: vec![0; 30] };
        let mut bytes = entry.encode(&key(5));
        bytes.truncate(bytes.len() - 32);
        let at = at.min(bytes.len() - 4);
        bytes[at..at + 4].copy_from_slice(&to);
        let check = Digest::of(&bytes);
        bytes.extend_from_slice(check.as_bytes());
        let _ = Entry::decode(&key(5), bytes);
    }

    #[test]
    fn any_bytes_are_an_entry_or_none(bytes: Vec<u8>) {
        prop_assert_eq!(Entry::decode(&key(5), bytes.clone()), None);
        prop_assert_eq!(PathSets::decode(&key(5), &bytes), None);
    }
}
