use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::file::read;
use super::*;
use crate::base::{Clock, Digest, Identity, Timestamp};

const NOW: Timestamp = Timestamp(1_795_210_381_250);

fn holder(user: &str) -> Holder {
    Holder {
        who: Who {
            user: user.into(),
            host: "here".into(),
            process: Identity { pid: 7, ..Identity::default() },
        },
        since: NOW,
        doing: "prod.deploy".into(),
        ..Holder::default()
    }
}

fn take(root: &Path) -> Locked {
    Locked::take(root, "prod", &holder("ada"), &Clock::manual(NOW), Sharing::Alone).unwrap()
}

fn began(release: u64, revision: &str, previous: Option<u64>) -> Began {
    Began {
        release,
        kind: Kind::Deploy,
        node: "deploy".into(),
        revision: revision.into(),
        previous,
        previous_revision: None,
        from: None,
        of: None,
        tag: None,
        data: Vec::new(),
        unsaved: false,
        given: Vec::new(),
        who: Who::default(),
        run: "20261120-213301-0fa0".into(),
        was: None,
        break_glass: None,
    }
}

fn ended(release: u64, outcome: Outcome) -> What {
    What::Ended { release, outcome, reason: None, logs: Vec::new() }
}

/// Folds lines of a sketch: `1 a live`, `2 b back`, `3 a live rollback`, `4 c` (goes on).
fn sketch(lines: &[&str]) -> History {
    let mut history = History::default();
    for line in lines {
        let words: Vec<&str> = line.split(' ').collect();
        let id = words[0].parse().unwrap();
        let previous = history.last_good("deploy").map(Release::id);
        let kind = if words.get(3) == Some(&"rollback") { Kind::Rollback } else { Kind::Deploy };
        let mut entries = vec![What::Began(Began { kind, ..began(id, words[1], previous) })];
        entries.extend(words.get(2).map(|word| {
            let all = [Outcome::Live, Outcome::Back, Outcome::Broken, Outcome::Refused, Outcome::Abandoned];
            ended(id, all.into_iter().find(|outcome| outcome.word() == *word).unwrap())
        }));
        entries.into_iter().for_each(|what| history.take(Entry { seq: 0, time: NOW, what }));
    }
    history
}

#[test]
fn what_is_written_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let mut locked = take(dir.path());
    locked.write(What::Began(began(1, "abc", None))).unwrap();
    let mut reached = Reached::new(1, Phase::Prepared);
    reached.artefacts = vec![Artefact {
        task: "package".into(),
        digest: Digest::of(b"x"),
        declared: vec!["dist/**".into()],
        size: 1,
    }];
    locked.write(What::Reached(reached)).unwrap();
    assert_eq!(locked.history().open().count(), 1);
    locked.write(ended(1, Outcome::Live)).unwrap();
    let known = locked.history().clone();
    drop(locked);
    assert_eq!(history(dir.path(), "prod").unwrap(), known);
    assert_eq!(known.live("deploy").unwrap().began.revision, "abc");
    assert_eq!(environments(dir.path()), ["prod"]);
    assert!(dir.path().join(".envrun/.gitignore").exists());
}

#[test]
fn one_holds_the_lock_and_the_other_hears_who() {
    let dir = tempfile::tempdir().unwrap();
    let locked = take(dir.path());
    assert_eq!(super::holder(dir.path(), "prod").unwrap().who.user, "ada");
    let clock = Clock::manual(Timestamp(NOW.0 + 90_000));
    let refused = Locked::take(dir.path(), "prod", &holder("bob"), &clock, Sharing::Alone).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "environment `prod` is locked by ada@here (process 7, `prod.deploy`) since 2026-11-20 21:33:01 UTC, 1m30s ago"
    );
    drop(locked);
    assert_eq!(super::holder(dir.path(), "prod"), None);
    Locked::take(dir.path(), "prod", &holder("bob"), &clock, Sharing::Alone).unwrap();
}

#[test]
fn whether_a_release_goes_on_is_said_only_where_it_can_be_known() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let own = Who { user: "ada".into(), host: "here".into(), process: Identity::own() };
    let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
    let process = Identity::of(child.id()).unwrap();
    let open = |who: &Who| {
        let mut history = History::default();
        let began = Began { who: who.clone(), ..began(1, "abc", None) };
        history.take(Entry { seq: 0, time: NOW, what: What::Began(began) });
        history.releases()[0].clone()
    };
    let theirs = Who { process, ..own.clone() };
    assert_eq!(open(&theirs).standing(root, &own), Standing::GoesOn);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(open(&theirs).standing(root, &own), Standing::CutShort);
    assert_eq!(open(&own).standing(root, &own), Standing::CutShort, "nobody is at work twice");
    // The same name and number in another container, and on another machine.
    let contained = Who { process: Identity { space: process.space + 1, ..process }, ..own.clone() };
    let elsewhere = Who { process: Identity { pid: process.pid, ..Identity::default() }, ..own.clone() };
    if cfg!(target_os = "linux") {
        assert_eq!(open(&contained).standing(root, &own), Standing::Unknown);
        assert_eq!(open(&elsewhere).standing(root, &own), Standing::Unknown);
    }
    let there = Who { host: "there".into(), ..elsewhere.clone() };
    assert_eq!(open(&there).standing(root, &own), Standing::Unknown);
    // What was begun in this folder had its lock, and that is free.
    fs::create_dir_all(crate::record::runs_dir(root).join(began(1, "abc", None).run)).unwrap();
    assert_eq!(open(&contained).standing(root, &own), Standing::CutShort);
    assert_eq!(open(&elsewhere).standing(root, &own), Standing::CutShort, "the machine was started again");
    assert_eq!(open(&there).standing(root, &own), Standing::Unknown, "two machines, one folder");
}

#[test]
fn who_takes_a_release_up_has_it() {
    let mut history = sketch(&["1 a live", "2 b"]);
    let bob = Who { user: "bob".into(), ..Who::default() };
    let doing = "deploy back prod".to_owned();
    let what = What::TakenUp { release: 2, who: bob.clone(), doing: doing.clone(), run: "r".into() };
    assert_eq!(history.open().next().unwrap().hands("prod").doing, "prod.deploy");
    history.take(Entry { seq: 9, time: NOW, what });
    let hands = history.open().next().unwrap().hands("prod");
    assert_eq!((hands.who, hands.doing), (bob, doing));
}

#[test]
fn a_line_that_a_crash_cut_short_never_was() {
    let dir = tempfile::tempdir().unwrap();
    let path = folder(dir.path(), "prod").join("ledger.jsonl");
    let mut locked = take(dir.path());
    locked.write(What::Began(began(1, "abc", None))).unwrap();
    let one = fs::read(&path).unwrap();
    locked.write(ended(1, Outcome::Live)).unwrap();
    drop(locked);
    let two = fs::read(&path).unwrap();
    for end in one.len()..two.len() {
        fs::write(&path, &two[..end]).unwrap();
        assert_eq!(read(&path).unwrap().0.len(), 1, "cut at {end}");
        let mut locked = take(dir.path());
        locked.write(ended(1, Outcome::Back)).unwrap();
        drop(locked);
        assert_eq!(read(&path).unwrap().0.len(), 2, "cut at {end}");
    }
    // A file system that made room for the last line and lost its bytes.
    let mut zeroed = two.clone();
    zeroed[one.len()..two.len() - 1].fill(0);
    fs::write(&path, zeroed).unwrap();
    assert_eq!(read(&path).unwrap().0.len(), 1);
}

#[test]
fn nobody_rewrites_history() {
    let dir = tempfile::tempdir().unwrap();
    let path = folder(dir.path(), "prod").join("ledger.jsonl");
    let mut locked = take(dir.path());
    for id in 1..4 {
        locked.write(What::Began(began(id, "abc", None))).unwrap();
        locked.write(ended(id, Outcome::Live)).unwrap();
    }
    drop(locked);
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let damaged = |text: String| {
        fs::write(&path, text).unwrap();
        history(dir.path(), "prod").unwrap_err().to_string()
    };
    assert!(
        damaged(text.replacen("live", "back", 1))
            .ends_with("line 2 is not what envrun wrote: its checksum is another one")
    );
    assert!(damaged(lines[1..].concat()).contains("line 1 is not"));
    let mut without = lines.clone();
    without.remove(2);
    assert!(damaged(without.concat()).contains("line 3 is not"));
}

#[test]
fn what_is_live() {
    let live = |lines: &[&str]| sketch(lines).live("deploy").map(Release::id);
    assert_eq!(live(&[]), None);
    assert_eq!(live(&["1 a live"]), Some(1));
    assert_eq!(live(&["1 a live", "2 b back"]), Some(1));
    assert_eq!(live(&["1 a live", "2 b refused", "3 b abandoned"]), Some(1));
    assert_eq!(live(&["1 a live", "2 b broken"]), None);
    assert_eq!(live(&["1 a live", "2 b broken", "3 c refused"]), None);
    assert_eq!(live(&["1 a live", "2 b broken", "3 a live rollback"]), Some(3));
    assert_eq!(live(&["1 a live", "2 b"]), Some(1), "nothing is changed yet");
    assert!(sketch(&["1 a live", "2 b broken", "3 c refused"]).broken("deploy").is_some());
    assert!(sketch(&["1 a live", "2 b broken", "3 c live"]).broken("deploy").is_none());
}

#[test]
fn what_a_rollback_goes_back_to() {
    let target = |lines: &[&str]| sketch(lines).rollback_target("deploy").map(Release::id);
    assert_eq!(target(&[]), None);
    assert_eq!(target(&["1 a live"]), None);
    assert_eq!(target(&["1 a live", "2 b live"]), Some(1));
    assert_eq!(target(&["1 a live", "2 b back", "3 c live"]), Some(1), "what never was live is no target");
    assert_eq!(target(&["1 a live", "2 a live"]), None, "that would change nothing");
    assert_eq!(target(&["1 a live", "2 b live", "3 c live", "4 b live rollback"]), Some(1), "c was left");
    assert_eq!(target(&["1 a live", "2 b broken"]), Some(1));
    let there_and_back = ["1 a live", "2 b live", "3 a live rollback", "4 b live rollback"];
    assert_eq!(target(&there_and_back), Some(3), "it was left for a newer one, not as a bad one");
    let again = ["1 a live", "2 b live", "3 a live rollback", "4 b live", "5 c live"];
    assert_eq!(target(&again), Some(4), "b was put live again");
}

#[test]
fn what_a_release_left_is_known_by_its_run_and_not_by_its_number() {
    let dir = tempfile::tempdir().unwrap();
    let history = sketch(&["1 a live", "2 b live"]);
    let [ours, other] = [1, 2].map(|id| history.release(id).unwrap().clone());
    let in_run = |run: &str, release: &Release| Release {
        began: Began { run: run.into(), ..release.began.clone() },
        ..release.clone()
    };
    Footprint::take(dir.path(), &in_run("here", &ours), &[]).keep(dir.path(), "prod", "deploy").unwrap();
    let kept = Footprint::of(dir.path(), "prod", "deploy").unwrap();
    assert!(kept.is_of(&in_run("here", &ours)));
    assert!(!kept.is_of(&in_run("there", &ours)), "its number is another one's now");
    assert!(kept.is_of(&in_run("here", &other)), "it has another number now");
}

#[test]
fn keep_never_lets_go_what_is_live_or_gone_back_to() {
    let history = sketch(&["1 a live", "2 b live", "3 c live", "4 d back", "5 e live"]);
    assert_eq!(history.prunable("deploy", 10), [4]);
    assert_eq!(history.prunable("deploy", 3), [1, 4]);
    assert_eq!(history.prunable("deploy", 1), [1, 2, 4], "c is what a rollback goes back to");
    let broken = sketch(&["1 a live", "2 b live", "3 c broken"]);
    assert_eq!(broken.prunable("deploy", 1), [3]);
    let bad_ones = [
        "1 a live",
        "2 b live",
        "3 c live",
        "4 b live rollback",
        "5 d live",
        "6 b live rollback",
        "7 e live",
        "8 b live rollback",
    ];
    let history = sketch(&bad_ones);
    assert_eq!(history.rollback_target("deploy").map(Release::id), Some(1));
    // What was left takes no place from it, and may be wanted after all: the newest of it stays, too.
    assert_eq!(history.prunable("deploy", 3), [3]);
}

/// What a mended ledger says, and what was done to come there.
fn mended(root: &Path, there: &[u8]) -> (Mended, History, Vec<u8>) {
    let path = folder(root, "prod").join("ledger.jsonl");
    let (mended, whole) = super::mend::mended(&path, there, &holder("ada"), &Clock::manual(NOW)).unwrap();
    assert_eq!(fs::read(&path).unwrap(), whole);
    let history = history(root, "prod").unwrap();
    (mended, history, whole)
}

#[test]
fn two_ledgers_that_parted_are_brought_together_and_nothing_is_lost() {
    let [here, there] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let file = |root: &Path| folder(root, "prod").join("ledger.jsonl");
    let clock = Clock::manual(NOW);
    let take = |root: &Path| Locked::take(root, "prod", &holder("ada"), &clock, Sharing::Alone).unwrap();
    let release = |root: &Path, id, revision: &str, previous| {
        clock.advance(std::time::Duration::from_secs(60));
        let mut locked = take(root);
        locked.write(What::Began(began(id, revision, previous))).unwrap();
        locked.write(ended(id, Outcome::Live)).unwrap();
    };
    release(here.path(), 1, "a", None);
    fs::create_dir_all(folder(there.path(), "prod")).unwrap();
    fs::copy(file(here.path()), file(there.path())).unwrap();
    // An emergency here while the remote is away, and then a deploy there.
    release(here.path(), 2, "b", Some(1));
    release(there.path(), 2, "c", Some(1));
    let shared = fs::read(file(there.path())).unwrap();
    let before = fs::read(file(here.path())).unwrap();
    let difference = super::difference::Difference::of("prod", "origin", &before, &shared);
    assert_eq!((difference.common, difference.here.len(), difference.there.len()), (2, 1, 1));
    assert!(difference.in_words().contains("only here: deploy 2 of revision b"), "{}", difference.in_words());
    let (done, history, whole) = mended(here.path(), &shared);
    assert_eq!((&done.numbers[..], done.added, done.lost, done.left), (&[(2, 3)][..], 2, 0, 0));
    assert_eq!(fs::read(done.kept.unwrap()).unwrap(), before);
    assert!(whole.starts_with(&shared), "what is shared is not changed");
    // The deploy there was later: it is what is live, and what happened here is told where it belongs.
    assert_eq!(history.live("deploy").unwrap().began.revision, "c");
    let order: Vec<u64> = history.releases().iter().map(Release::id).collect();
    assert_eq!((order, history.next_id()), (vec![1, 3, 2], 4));
    assert_eq!(history.release(3).unwrap().began.was, Some(2));
    // Once more there is nothing to do.
    assert_eq!(mended(here.path(), &shared).0, Mended::default());
}

#[test]
fn of_a_damaged_ledger_everything_is_kept_that_can_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = folder(dir.path(), "prod").join("ledger.jsonl");
    let mut locked = take(dir.path());
    for id in 1..4 {
        locked.write(What::Began(began(id, &format!("r{id}"), None))).unwrap();
        locked.write(ended(id, Outcome::Live)).unwrap();
    }
    drop(locked);
    let whole = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = whole.split_inclusive('\n').collect();
    let damaged = format!("{}{}{}", lines[..2].concat(), "\0\0\0 nothing\n", lines[3..].concat());
    fs::write(&path, &damaged).unwrap();
    assert!(matches!(history(dir.path(), "prod"), Err(LedgerError::Damaged { line: 3, .. })));
    // The shared copy has it.
    let (done, known, _) = mended(dir.path(), whole.as_bytes());
    assert_eq!((done.lost, known.live("deploy").unwrap().id(), known.releases().len()), (1, 3, 3));
    // There is none.
    fs::write(&path, &damaged).unwrap();
    let (done, known, _) = mended(dir.path(), b"");
    assert_eq!((done.lost, known.live("deploy").unwrap().id(), known.releases().len()), (1, 3, 2));
    assert_eq!(fs::read_to_string(done.kept.unwrap()).unwrap(), damaged);
    // An emergency does not stop for it.
    fs::write(&path, &damaged).unwrap();
    let clock = Clock::manual(NOW);
    let urgent = Sharing::AloneInAHurry;
    let mut locked = Locked::take(dir.path(), "prod", &holder("ada"), &clock, urgent).unwrap();
    assert!(locked.warnings()[0].contains("line 3 is not what envrun wrote"));
    locked.write(What::Began(began(4, "r1", Some(3)))).unwrap();
    drop(locked);
    assert_eq!(history(dir.path(), "prod").unwrap().open().count(), 1);
}

/// A bare origin, and two checkouts of it that share their ledgers.
fn checkouts() -> (tempfile::TempDir, [std::path::PathBuf; 2]) {
    let dir = tempfile::tempdir().unwrap();
    let git = |at: &Path, args: &[&str]| {
        let mut command = std::process::Command::new("git");
        command.args(["-c", "init.defaultBranch=main"]).args(args).current_dir(at);
        let output =
            command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null").output();
        let output = output.unwrap();
        assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    git(dir.path(), &["init", "-q", "--bare", "origin.git"]);
    let roots = ["one", "two"].map(|name| {
        git(dir.path(), &["init", "-q", name]);
        let root = dir.path().join(name);
        git(&root, &["remote", "add", "origin", "../origin.git"]);
        root
    });
    (dir, roots)
}

#[test]
fn of_two_checkouts_one_has_the_environment_and_the_other_hears_who() {
    let (_dir, [one, two]) = checkouts();
    let clock = Clock::manual(NOW);
    let through = Sharing::Through("origin");
    let take = |root: &Path, user: &str| Locked::take(root, "prod", &holder(user), &clock, through).unwrap();
    let by = |user: &str, id| {
        let who = holder(user).who;
        What::Began(Began { who, ..began(id, "abc", None) })
    };
    // Both have locked their checkout and read the same ledger; one of them is quicker.
    let (mut ada, mut bob) = (take(&one, "ada"), take(&two, "bob"));
    ada.write(by("ada", 1)).unwrap();
    let told = bob.write(by("bob", 1)).unwrap_err();
    assert!(
        told.to_string()
            .starts_with("environment `prod` is locked by ada@here (process 7, `prod.deploy`) since"),
        "{told}"
    );
    drop(bob);
    // It is over already when the other comes to write.
    let mut bob = take(&two, "bob");
    ada.write(ended(1, Outcome::Live)).unwrap();
    drop(ada);
    let mut ada = take(&one, "ada");
    ada.write(by("ada", 2)).unwrap();
    ada.write(ended(2, Outcome::Live)).unwrap();
    drop(ada);
    let told = bob.write(by("bob", 2)).unwrap_err();
    assert!(
        matches!(&told, LedgerError::Overtaken { what, .. } if what.starts_with("deploy 2 of revision abc by ada@here")),
        "{told}"
    );
    drop(bob);
    // What others wrote is there when it is locked again; nothing of what was refused.
    assert_eq!(take(&two, "bob").history().releases().len(), 2);
}

#[test]
fn whose_release_is_taken_up_elsewhere_hears_by_whom_and_stops() {
    let (_dir, [one, two]) = checkouts();
    let clock = Clock::manual(NOW);
    let through = Sharing::Through("origin");
    let take = |root: &Path, user: &str| Locked::take(root, "prod", &holder(user), &clock, through).unwrap();
    let mut ada = take(&one, "ada");
    ada.write(What::Began(began(1, "abc", None))).unwrap();
    ada.write(What::Reached(Reached::new(1, Phase::Applying))).unwrap();
    // Somebody says on another machine that it is over, and it is not.
    let mut bob = take(&two, "bob");
    let taken = |user: &str, doing: &str| What::TakenUp {
        release: 1,
        who: holder(user).who,
        doing: doing.into(),
        run: "r".into(),
    };
    bob.write(taken("bob", "deploy back prod")).unwrap();
    let told = ada.write(What::Reached(Reached::new(1, Phase::Verifying))).unwrap_err();
    assert!(matches!(told, LedgerError::TakenOver { release: 1, .. }), "{told}");
    let told = told.to_string();
    assert!(
        told.contains("by bob@here (process 7, `deploy back prod`)")
            && told.ends_with("it is applying by now"),
        "{told}"
    );
    bob.write(ended(1, Outcome::Back)).unwrap();
    let told = ada.write(ended(1, Outcome::Live)).unwrap_err().to_string();
    assert!(told.ends_with("it is back by now"), "{told}");
    drop((ada, bob));
    assert_eq!(take(&one, "ada").history().release(1).unwrap().outcome(), Some(Outcome::Back));
}

#[test]
fn one_takes_up_what_was_cut_short_and_no_second() {
    let (_dir, [one, two]) = checkouts();
    let clock = Clock::manual(NOW);
    let through = Sharing::Through("origin");
    let take = |root: &Path, user: &str| Locked::take(root, "prod", &holder(user), &clock, through).unwrap();
    let mut ada = take(&one, "ada");
    ada.write(What::Began(began(1, "abc", None))).unwrap();
    drop(ada);
    let (mut ada, mut bob) = (take(&one, "ada"), take(&two, "bob"));
    let taken = |user: &str| What::TakenUp {
        release: 1,
        who: holder(user).who,
        doing: "deploy resume prod".into(),
        run: "r".into(),
    };
    bob.write(taken("bob")).unwrap();
    let told = ada.write(taken("ada")).unwrap_err().to_string();
    assert!(
        told.starts_with("environment `prod` is locked by bob@here (process 7, `deploy resume prod`)"),
        "{told}"
    );
}

#[test]
fn what_is_wrong_with_one_environment_is_no_matter_of_the_others() {
    let (_dir, [one, two]) = checkouts();
    let clock = Clock::manual(NOW);
    let release = |root: &Path, env: &str, id, revision: &str, sharing| {
        clock.advance(std::time::Duration::from_secs(60));
        let mut locked = Locked::take(root, env, &holder("ada"), &clock, sharing).unwrap();
        locked.write(What::Began(began(id, revision, None))).unwrap();
        locked.write(ended(id, Outcome::Live)).unwrap();
    };
    let through = Sharing::Through("origin");
    for env in ["a", "prod", "z"] {
        release(&one, env, 1, "abc", through);
    }
    release(&two, "prod", 2, "there", through);
    // Without the remote, and then it is told.
    release(&one, "prod", 2, "here", Sharing::Alone);
    release(&two, "z", 2, "later", through);
    let refresh = |root: &Path| refresh(root, "origin", clock.now(), false).unwrap();
    let troubles = refresh(&one);
    assert!(matches!(&troubles[..], [(env, LedgerError::Diverged(_))] if env == "prod"), "{troubles:?}");
    assert_eq!(history(&one, "z").unwrap().releases().len(), 2);
    assert_eq!(last_asked(&one), Some(clock.now()));
    // The way out: everybody has everything, and what was there is kept.
    let done = mend(&one, "prod", &holder("ada"), &clock, Some("origin")).unwrap();
    assert!(done.shared && done.kept.as_ref().is_some_and(|kept| kept.exists()), "{done:?}");
    assert!(refresh(&one).is_empty() && refresh(&two).is_empty());
    assert_eq!(history(&one, "prod").unwrap(), history(&two, "prod").unwrap());
    let known = history(&two, "prod").unwrap();
    let order: Vec<_> = known.releases().iter().map(|one| one.began.revision.as_str()).collect();
    assert_eq!(order, ["abc", "there", "here"]);
    release(&two, "prod", 4, "on", through);
}

#[test]
fn what_was_written_while_the_remote_was_away_is_told_by_whoever_looks_from_there() {
    let (dir, [one, two]) = checkouts();
    let clock = Clock::manual(NOW);
    let take = |root: &Path, sharing| Locked::take(root, "prod", &holder("ada"), &clock, sharing).unwrap();
    take(&one, Sharing::Through("origin")).write(What::Began(began(1, "abc", None))).unwrap();
    take(&one, Sharing::Alone).write(ended(1, Outcome::Live)).unwrap();
    let look = |root: &Path, is_urgent| refresh(root, "origin", clock.now(), is_urgent).unwrap();
    let is_open = || {
        assert!(look(&two, false).is_empty());
        history(&two, "prod").unwrap().open().next().is_some()
    };
    // Who is in a hurry does not wait for a push.
    assert!(look(&one, true).is_empty());
    assert!(is_open());
    // A remote that takes nothing.
    let hook = dir.path().join("origin.git/hooks/pre-receive");
    fs::create_dir_all(hook.parent().unwrap()).unwrap();
    fs::write(&hook, "#!/bin/sh\nexit 1\n").unwrap();
    fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let troubles = look(&one, false);
    assert!(matches!(&troubles[..], [(env, LedgerError::Unshared { .. })] if env == "prod"), "{troubles:?}");
    assert!(is_open());
    fs::remove_file(&hook).unwrap();
    // Somebody is at work here: he tells it himself.
    let locked = take(&one, Sharing::Alone);
    assert!(look(&one, false).is_empty());
    assert!(is_open());
    drop(locked);
    assert!(look(&one, false).is_empty());
    assert!(!is_open());
    assert_eq!(history(&one, "prod").unwrap(), history(&two, "prod").unwrap());
}

#[test]
fn what_others_wrote_moves_no_cursor_here() {
    let dir = tempfile::tempdir().unwrap();
    let who = Who { user: "eve\u{1b}[2J\n".into(), host: "vm\r".into(), ..Who::default() };
    let mut locked = take(dir.path());
    locked.write(What::Began(Began { who, ..began(1, "abc", None) })).unwrap();
    let reason = Some("red\u{1b}[31m\nand more".into());
    locked.write(What::Ended { release: 1, outcome: Outcome::Back, reason, logs: Vec::new() }).unwrap();
    drop(locked);
    let known = history(dir.path(), "prod").unwrap();
    let release = known.release(1).unwrap();
    assert_eq!((&*release.began.who.user, &*release.began.who.host), ("eve [2J ", "vm "));
    assert_eq!(release.end.as_ref().unwrap().reason.as_deref(), Some("red [31m\nand more"));
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        3 => Just(Outcome::Live),
        1 => Just(Outcome::Back),
        1 => Just(Outcome::Broken),
        1 => Just(Outcome::Refused),
        1 => Just(Outcome::Abandoned),
    ]
}

/// A world in which actions put a release live as a whole or not at all, and a driver that may be killed at any moment.
#[derive(Debug, Clone)]
struct World {
    live: &'static str,
    /// The lines of the ledger, as far as they matter: the phase, or the end.
    journal: Vec<Result<Phase, Outcome>>,
}

/// Drives a transaction until it is over or `facts` run out, which is where it is killed.
fn drive(
    world: &mut World,
    transaction: &mut Transaction,
    mut step: Step,
    facts: &mut dyn Iterator<Item = Fact>,
) {
    loop {
        match step {
            Step::End(outcome) => {
                world.journal.push(Err(outcome));
                return;
            }
            Step::Leave => return,
            _ => {}
        }
        if world.journal.last() != Some(&Ok(transaction.phase())) {
            world.journal.push(Ok(transaction.phase()));
        }
        let Some(fact) = facts.next() else { return };
        // Actions that fail may have switched or not: both are whole.
        match step {
            Step::Apply if fact != Fact::Halted => world.live = "new",
            Step::GoBack if fact == Fact::Done => world.live = "old",
            _ => {}
        }
        step = transaction.on(fact);
    }
}

fn fact() -> impl Strategy<Value = Fact> {
    prop_oneof![
        4 => Just(Fact::Done),
        1 => Just(Fact::Refused),
        1 => Just(Fact::Failed),
        1 => Just(Fact::Interrupted),
        1 => Just(Fact::Halted),
    ]
}

proptest! {
    #[test]
    fn what_is_live_is_always_one_that_reached_it(outcomes: Vec<(u8, bool)>, last in outcome()) {
        let lines: Vec<String> = outcomes
            .iter()
            .enumerate()
            .map(|(at, (revision, good))| {
                let how = if *good { "live" } else { last.word() };
                format!("{} {} {how}", at + 1, revision % 4)
            })
            .collect();
        let history = sketch(&lines.iter().map(String::as_str).collect::<Vec<_>>());
        if let Some(live) = history.live("deploy") {
            prop_assert!(live.reached_live());
        }
        for keep in 1..4 {
            let gone = history.prunable("deploy", keep);
            let needed = [history.last_good("deploy"), history.live("deploy"), history.rollback_target("deploy")];
            for kept in needed.into_iter().flatten() {
                prop_assert!(!gone.contains(&kept.id()));
            }
            let kept = history.kept("deploy", keep);
            prop_assert!(kept.len() <= keep.max(2) as usize, "nothing was left here");
        }
    }

    /// What it says of many releases at once is what it says of each of them by itself.
    #[test]
    fn a_rollback_goes_to_the_newest_that_nobody_left(
        releases in prop::collection::vec((0..5_u8, outcome(), any::<bool>()), 0..20),
    ) {
        let lines: Vec<String> = releases
            .iter()
            .enumerate()
            .map(|(at, (revision, outcome, back))| {
                let kind = if *back { " rollback" } else { "" };
                format!("{} {revision} {}{kind}", at + 1, outcome.word())
            })
            .collect();
        let history = sketch(&lines.iter().map(String::as_str).collect::<Vec<_>>());
        let all = history.of_node("deploy");
        let first = |of: &Release| {
            all.iter().filter(|other| other.ships_the_same_as(of)).map(|other| other.id()).min()
        };
        let was_left = |release: &Release| {
            for later in all.iter().filter(|later| later.reached_live()) {
                if later.ships_the_same_as(release) {
                    return false;
                }
                let from = later.began.previous.and_then(|id| history.release(id));
                let is_back = later.began.kind == Kind::Rollback;
                if is_back && from.is_some_and(|from| from.ships_the_same_as(release)) && first(later) < first(release) {
                    return true;
                }
            }
            false
        };
        let mut candidates: Vec<&Release> = Vec::new();
        for release in all.iter().copied().filter(|release| release.reached_live()) {
            let mut known = history.live("deploy").into_iter().chain(candidates.iter().copied());
            if !known.any(|other| other.ships_the_same_as(release)) {
                candidates.push(release);
            }
        }
        let target = candidates.iter().copied().find(|release| !was_left(release));
        prop_assert_eq!(history.rollback_target("deploy").map(Release::id), target.map(Release::id));
        prop_assert_eq!(history.candidates("deploy"), candidates);
    }

    /// Killed anywhere and resumed or taken back, as often as you like: in the end the old release is live or the new one
    /// is, and the ledger says which.
    #[test]
    fn the_live_release_is_the_old_one_or_the_new_one_and_the_ledger_knows(
        lives in prop::collection::vec((prop::collection::vec(fact(), 0..12), any::<bool>()), 0..6),
    ) {
        let course = Course { can_go_back: true, unproved: false };
        let mut world = World { live: "old", journal: Vec::new() };
        let mut first = Transaction::new(course);
        let step = first.step();
        let mut lives = lives.into_iter();
        let (facts, _) = lives.next().unwrap_or_default();
        drive(&mut world, &mut first, step, &mut facts.into_iter());
        for (facts, back) in lives {
            let Some(Ok(phase)) = world.journal.last().copied() else { break };
            let mut again = Transaction::at(course, phase);
            let step = if back { again.back() } else { again.step() };
            drive(&mut world, &mut again, step, &mut facts.into_iter());
        }
        match world.journal.last() {
            Some(Err(Outcome::Live)) => prop_assert_eq!(world.live, "new"),
            Some(Err(Outcome::Back | Outcome::Refused | Outcome::Abandoned)) => {
                prop_assert_eq!(world.live, "old");
            }
            Some(Err(Outcome::Broken)) => {}
            Some(Ok(phase)) => {
                // Cut short: whoever comes next and meets no more trouble brings it to an end, either way.
                for back in [false, true] {
                    let mut world = world.clone();
                    let mut again = Transaction::at(course, *phase);
                    let step = if back { again.back() } else { again.step() };
                    drive(&mut world, &mut again, step, &mut std::iter::repeat(Fact::Done));
                    let wanted = match world.journal.last() {
                        Some(Err(Outcome::Live)) => "new",
                        Some(Err(Outcome::Back | Outcome::Abandoned)) => "old",
                        other => panic!("{other:?}"),
                    };
                    prop_assert_eq!(world.live, wanted);
                    prop_assert!(!back || wanted == "old");
                }
            }
            None => prop_assert!(false, "a release begins with a line"),
        }
    }

    #[test]
    fn phases_only_go_on(facts in prop::collection::vec(fact(), 0..12), can_go_back: bool, unproved: bool) {
        let mut transaction = Transaction::new(Course { can_go_back, unproved });
        let mut before = transaction.phase();
        for fact in facts {
            let step = transaction.on(fact);
            prop_assert!(transaction.phase() >= before);
            prop_assert!(can_go_back || step != Step::GoBack);
            if step == Step::End(Outcome::Abandoned) || step == Step::End(Outcome::Refused) {
                prop_assert!(!transaction.phase().touched());
            }
            before = transaction.phase();
        }
    }
}
