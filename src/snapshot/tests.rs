//! Copies of real folders; the policy against a naive one.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use jiff::tz::TimeZone;
use proptest::prelude::*;

use crate::base::{Clock, Timestamp};
use crate::model::Keep;

use super::*;

const DAY: u64 = 24 * 60 * 60 * 1000;
/// 2026-11-20 00:00 UTC.
const START: u64 = 1_795_132_800_000;

fn archive(root: &Path) -> Archive {
    Archive::of(root, Some("prod"), "db", "prod.db")
}

fn save(archive: &Archive, clock: &Clock, text: &str) -> Result<Copy, SnapshotError> {
    let draft = archive.draft()?;
    std::fs::create_dir(draft.data().join("sub")).unwrap();
    std::fs::write(draft.data().join("sub/data"), text).unwrap();
    draft.finish(clock, Meta { why: "by hand".into(), ..Meta::default() }, |_| Ok(true))
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn copies_are_numbered_and_private() {
    let root = tempfile::tempdir().unwrap();
    let archive = archive(root.path());
    let clock = Clock::manual(Timestamp(START));
    assert!(archive.copies().unwrap().good.is_empty());
    let first = save(&archive, &clock, "one").unwrap();
    let second = save(&archive, &clock, "two").unwrap();
    assert_eq!((first.number, second.number, first.files, first.bytes), (1, 2, 1, 3));
    assert_ne!(first.digest, second.digest);
    assert_eq!(archive.copies().unwrap().good, [first.clone(), second]);
    archive.check(&first).unwrap();
    let mode =
        std::fs::metadata(archive.data(1).parent().unwrap().parent().unwrap()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn what_did_not_succeed_leaves_nothing() {
    let root = tempfile::tempdir().unwrap();
    let archive = archive(root.path());
    let clock = Clock::manual(Timestamp(START));
    let folder = archive.data(1).parent().unwrap().parent().unwrap().to_path_buf();

    let empty = archive.draft().unwrap().finish(&clock, Meta::default(), |_| Ok(true));
    assert!(matches!(empty, Err(SnapshotError::Empty(_))));
    let draft = archive.draft().unwrap();
    std::fs::write(draft.data().join("data"), "x").unwrap();
    let changed = draft.finish(&clock, Meta::default(), |data| {
        std::fs::write(data.join("data"), "y and more").unwrap();
        Ok(true)
    });
    assert!(matches!(changed, Err(SnapshotError::Changed(_))));
    drop(archive.draft().unwrap());
    assert_eq!(names(&folder), ["lock", "next"]);

    // Whoever was killed leaves a folder that the next one sweeps, and takes its number with it.
    let draft = archive.draft().unwrap();
    std::fs::write(draft.data().join("data"), "half").unwrap();
    let killed = draft.data().parent().unwrap().to_path_buf();
    std::mem::forget(draft);
    assert!(killed.exists());
    // The lock of the one who is gone is the kernel's to free; here it is this process's own.
    assert!(
        matches!(archive.draft(), Err(SnapshotError::Busy { process: Some(process), .. }) if process == std::process::id())
    );
}

#[test]
fn a_number_is_never_given_twice() {
    let root = tempfile::tempdir().unwrap();
    let archive = archive(root.path());
    let clock = Clock::manual(Timestamp(START));
    for text in ["1", "2", "3"] {
        save(&archive, &clock, text).unwrap();
    }
    std::fs::remove_dir_all(archive.data(3).parent().unwrap()).unwrap();
    assert_eq!(save(&archive, &clock, "4").unwrap().number, 4);
}

#[test]
fn every_change_of_a_copy_is_found() {
    let root = tempfile::tempdir().unwrap();
    let archive = archive(root.path());
    let clock = Clock::manual(Timestamp(START));
    let changes: [&dyn Fn(&Path); 6] = [
        &|data| std::fs::write(data.join("sub/data"), "ona").unwrap(),
        &|data| std::fs::write(data.join("sub/data"), "on").unwrap(),
        &|data| std::fs::write(data.join("more"), "").unwrap(),
        &|data| std::fs::remove_file(data.join("sub/data")).unwrap(),
        &|data| std::fs::rename(data.join("sub"), data.join("bus")).unwrap(),
        &|data| {
            std::fs::set_permissions(data.join("sub/data"), std::fs::Permissions::from_mode(0o755)).unwrap();
        },
    ];
    for change in changes {
        let copy = save(&archive, &clock, "one").unwrap();
        archive.check(&copy).unwrap();
        change(&archive.data(copy.number));
        assert!(matches!(archive.check(&copy), Err(SnapshotError::Damaged { .. })));
    }
    std::fs::write(archive.data(1).with_file_name("copy.json"), "{}").unwrap();
    let copies = archive.copies().unwrap();
    assert_eq!((copies.good.len(), copies.damaged.len()), (5, 1));
    assert!(matches!(archive.find("1", &TimeZone::UTC), Err(SnapshotError::Damaged { .. })));
}

#[test]
fn a_copy_is_found_by_number_and_by_time() {
    let root = tempfile::tempdir().unwrap();
    let archive = archive(root.path());
    let clock = Clock::manual(Timestamp(START));
    for text in ["1", "2", "3"] {
        save(&archive, &clock, text).unwrap();
        clock.advance(std::time::Duration::from_millis(DAY / 2));
    }
    let find = |at: &str| archive.find(at, &TimeZone::UTC).map(|copy| copy.number);
    assert_eq!(find("latest").unwrap(), 3);
    assert_eq!(find("2").unwrap(), 2);
    assert_eq!(find("#1").unwrap(), 1);
    assert_eq!(find("2026-11-20").unwrap(), 2);
    assert_eq!(find("2026-11-20T11:59").unwrap(), 1);
    assert_eq!(find("2026-11-20T12:00Z").unwrap(), 2);
    assert_eq!(find("2027-01-01").unwrap(), 3);
    for at in ["yesterday", ""] {
        assert!(matches!(archive.find(at, &TimeZone::UTC), Err(SnapshotError::Unnamed(_))), "{at}");
    }
    for at in ["2026-11-19", "4", "0"] {
        let Err(SnapshotError::None { there, .. }) = archive.find(at, &TimeZone::UTC) else { panic!("{at}") };
        assert_eq!(there[0], "3 of 2026-11-21T00:00:00Z");
    }
}

#[test]
fn a_clone_is_the_same_and_apart() {
    let root = tempfile::tempdir().unwrap();
    let (from, to) = (root.path().join("from"), root.path().join("to"));
    std::fs::create_dir_all(from.join("a/b")).unwrap();
    std::fs::write(from.join("a/b/c"), "text").unwrap();
    std::os::unix::fs::symlink("b/c", from.join("a/link")).unwrap();
    std::fs::set_permissions(from.join("a/b"), std::fs::Permissions::from_mode(0o555)).unwrap();
    clone_tree(&from, &to).unwrap();
    let before = contents(&from, false).unwrap();
    assert_eq!(contents(&to, false).unwrap(), before);
    std::fs::write(to.join("a/b/c"), "other").unwrap();
    assert_eq!(contents(&from, false).unwrap(), before);
    for folder in [&from, &to] {
        std::fs::set_permissions(folder.join("a/b"), std::fs::Permissions::from_mode(0o755)).unwrap();
    }
}

#[test]
fn pinned_copies_stay() {
    let root = tempfile::tempdir().unwrap();
    let archive = archive(root.path());
    let clock = Clock::manual(Timestamp(START));
    for text in ["1", "2", "3", "4"] {
        save(&archive, &clock, text).unwrap();
    }
    let keep = Keep { last: 1, ..Keep::default() };
    let removed = archive.prune(keep, &BTreeSet::from([2]), &TimeZone::UTC).unwrap();
    assert_eq!(removed.iter().map(|copy| copy.number).collect::<Vec<_>>(), [1, 3]);
    let left: Vec<u64> = archive.copies().unwrap().good.iter().map(|copy| copy.number).collect();
    assert_eq!(left, [2, 4]);
}

/// The policy, said another way: a copy is kept if fewer than `count` periods with a copy are younger than its own, and it
/// is the last of its own.
fn is_kept(copies: &[(u64, Timestamp)], keep: Keep, which: u64) -> bool {
    let day = |time: Timestamp| time.0 / DAY;
    // 1970-01-01 was a Thursday.
    let week = |time: Timestamp| (day(time) + 3) / 7;
    let month = |time: Timestamp| {
        let date = jiff::Timestamp::from_millisecond(time.0 as i64).unwrap().to_zoned(TimeZone::UTC).date();
        date.year() as u64 * 12 + date.month() as u64
    };
    let time = copies.iter().find(|(number, _)| *number == which).unwrap().1;
    let younger = copies.iter().filter(|(number, _)| *number > which).count();
    let by = |period: &dyn Fn(Timestamp) -> u64, count: u32| {
        let own = period(time);
        let is_last = !copies.iter().any(|&(number, time)| number > which && period(time) == own);
        let later: BTreeSet<u64> =
            copies.iter().map(|&(_, time)| period(time)).filter(|period| *period > own).collect();
        is_last && later.len() < count as usize
    };
    younger < (keep.last as usize).max(1)
        || by(&day, keep.daily)
        || by(&week, keep.weekly)
        || by(&month, keep.monthly)
}

proptest! {
    #[test]
    fn the_policy_keeps_what_it_says(
        gaps in prop::collection::vec(0..40 * DAY / 10, 1..60),
        last in 0u32..5, daily in 0u32..5, weekly in 0u32..5, monthly in 0u32..5,
    ) {
        let mut time = START;
        let copies: Vec<(u64, Timestamp)> = (1..).zip(gaps).map(|(number, gap)| {
            time += gap;
            (number, Timestamp(time))
        }).collect();
        let keep = Keep { last, daily, weekly, monthly };
        let kept = kept(&copies, keep, &TimeZone::UTC);
        for (number, _) in &copies {
            prop_assert_eq!(kept.contains(number), is_kept(&copies, keep, *number), "{}", number);
        }
    }
}
