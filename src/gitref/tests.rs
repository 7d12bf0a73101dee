use std::path::Path;
use std::process::Command;

use super::*;

fn git(dir: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=t", "-c", "user.email=t@t", "-c", "init.defaultBranch=main"])
        .args(["-c", "protocol.file.allow=always"])
        .args(args)
        .current_dir(dir)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .output()
        .unwrap();
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A bare origin with one commit, and clones of it.
fn world(clones: &[&str]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    git(at, &["init", "-q", "--bare", "origin.git"]);
    git(at, &["init", "-q", "seed"]);
    std::fs::write(at.join("seed/a"), "a").unwrap();
    git(&at.join("seed"), &["add", "."]);
    git(&at.join("seed"), &["commit", "-q", "-m", "one"]);
    git(&at.join("seed"), &["push", "-q", "../origin.git", "HEAD:main"]);
    for clone in clones {
        let url = format!("file://{}", at.join("origin.git").display());
        git(at, &["clone", "-q", "-b", "main", "--depth=1", &url, clone]);
    }
    dir
}

fn store(world: &tempfile::TempDir, clone: &str) -> RefStore {
    RefStore::new(&world.path().join(clone), "origin", "stages")
}

fn content(store: &RefStore) -> Vec<(String, String)> {
    let tip = store.fetch().unwrap();
    let files = store.read(&tip, tip.paths()).unwrap();
    files.into_iter().map(|(path, bytes)| (path, String::from_utf8(bytes).unwrap())).collect()
}

#[test]
fn what_one_checkout_writes_another_reads_and_the_checkout_stays_as_it_is() {
    let world = world(&["one", "two"]);
    let (one, two) = (store(&world, "one"), store(&world, "two"));
    assert_eq!(one.fetch().unwrap(), Tip::default());
    let before = git(&world.path().join("one"), &["status", "--porcelain", "--branch"]);
    one.update("first", |_| Ok::<_, RefError>(vec![Write::put("a/x", "1\n2"), Write::put("b", "")])).unwrap();
    assert_eq!(content(&two), [("a/x".into(), "1\n2".into()), ("b".into(), String::new())]);
    two.update("second", |tip| {
        assert_eq!(tip.below("a/").collect::<Vec<_>>(), ["a/x"]);
        Ok::<_, RefError>(vec![Write::put("a/y", "3"), Write::remove("b")])
    })
    .unwrap();
    assert_eq!(content(&one), [("a/x".into(), "1\n2".into()), ("a/y".into(), "3".into())]);
    assert_eq!(git(&world.path().join("one"), &["status", "--porcelain", "--branch"]), before);
    let bare = world.path().join("origin.git");
    assert_eq!(git(&bare, &["log", "--format=%s", "refs/envrun/stages"]), "second\nfirst");
    assert_eq!(git(&bare, &["branch", "--format=%(refname)"]), "refs/heads/main");
    assert_eq!(git(&world.path().join("one"), &["for-each-ref", "refs/envrun-fetch"]), "");
}

#[test]
fn a_change_is_worked_out_again_when_somebody_was_quicker() {
    let world = world(&["one", "two"]);
    let (one, two) = (store(&world, "one"), store(&world, "two"));
    let mut asked = 0;
    let held = one.update("lock", |tip| {
        asked += 1;
        if tip.contains("lock") {
            return Err(RefError::NoRepository);
        }
        two.update("lock", |_| Ok::<_, RefError>(vec![Write::put("lock", "two")])).unwrap();
        Ok(vec![Write::put("lock", "one")])
    });
    assert_eq!((held, asked), (Err(RefError::NoRepository), 2));
    assert_eq!(content(&one), [("lock".into(), "two".into())]);
}

#[test]
fn no_record_is_lost_when_many_write_at_once() {
    let world = world(&["one", "two"]);
    std::thread::scope(|scope| {
        for writer in ["one", "two", "two"].iter().enumerate() {
            let world = &world;
            scope.spawn(move || {
                for round in 0..4 {
                    let path = format!("{}-{round}", writer.0);
                    store(world, writer.1)
                        .update("round", |_| Ok::<_, RefError>(vec![Write::put(path.clone(), "x")]))
                        .unwrap();
                }
            });
        }
    });
    assert_eq!(store(&world, "one").fetch().unwrap().paths().count(), 12);
}

#[test]
fn what_went_wrong_is_said_in_words() {
    let world = world(&["one"]);
    let at = world.path();
    let one = store(&world, "one");
    one.update("first", |_| Ok::<_, RefError>(vec![Write::put("a", "1")])).unwrap();
    let lost = RefStore::new(&at.join("one"), "upstream", "stages").fetch().unwrap_err();
    assert_eq!(
        lost.to_string(),
        "records are shared through the git remote `upstream`, and this repository has none of that name"
    );
    std::fs::create_dir(at.join("bare")).unwrap();
    assert_eq!(RefStore::new(&at.join("bare"), "origin", "stages").fetch(), Err(RefError::NoRepository));

    let hook = at.join("origin.git/hooks/pre-receive");
    std::fs::write(&hook, "#!/bin/sh\necho go away >&2\nexit 1\n").unwrap();
    std::fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let refused = one.update("second", |_| Ok::<_, RefError>(vec![Write::put("b", "1")])).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the git remote `origin` does not take `refs/envrun/stages`: [remote rejected] (pre-receive hook declined)"
    );

    std::fs::rename(at.join("origin.git"), at.join("gone.git")).unwrap();
    let gone = one.fetch().unwrap_err();
    assert!(matches!(&gone, RefError::Unreachable { .. }), "{gone}");
    assert_eq!(one.last_known().unwrap().paths().collect::<Vec<_>>(), ["a"]);
}
