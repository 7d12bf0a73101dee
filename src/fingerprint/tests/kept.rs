//! The state file: damaged, compacted, written by two at once.

use std::fs;
use std::path::Path;

use super::*;

#[test]
fn a_damaged_state_file_only_costs_a_look() {
    let here = Checkout::new(&[("src/a.c", "a"), ("src/b.c", "b")]);
    let build = task(&["src/*.c"], &["out"]);
    here.run(&build, cat);
    let file = here.path(".envrun/state/files");
    let whole = fs::read(&file).unwrap();
    for end in (0..whole.len()).step_by(11) {
        fs::write(&file, &whole[..end]).unwrap();
        let said = here.run(&build, never);
        assert!(
            ["up to date", "restored because it never ran here"].contains(&said.as_str()),
            "cut at {end}: {said}"
        );
        assert_eq!(here.run(&build, never), "up to date");
    }
    for at in (0..whole.len()).step_by(13) {
        let mut bad = whole.clone();
        bad[at] ^= 0x10;
        fs::write(&file, &bad).unwrap();
        let said = here.run(&build, never);
        assert!(
            ["up to date", "restored because it never ran here"].contains(&said.as_str()),
            "flipped at {at}: {said}"
        );
    }
}

#[test]
fn state_is_compacted_and_keeps_what_counts() {
    let here = Checkout::new(&[("src/a.c", "0")]);
    let build = task(&["src/*.c"], &["out"]);
    let wide = |root: &Path| {
        cat(root);
        let _ = fs::remove_dir_all(root.join("wide"));
        fs::create_dir_all(root.join("wide")).unwrap();
        for at in 0..600 {
            fs::write(root.join(format!("wide/{at}")), "x").unwrap();
        }
    };
    let mut broad = task(&["src/*.c"], &["out", "wide"]);
    broad.label = "broad".to_owned();
    let mut largest = 0;
    for count in 0..12 {
        here.write("src/a.c", &count.to_string());
        here.run(&broad, wide);
        here.run(&build, cat);
        largest = largest.max(fs::metadata(here.path(".envrun/state/files")).unwrap().len());
        assert_eq!(here.run(&broad, never), "up to date");
        assert_eq!(here.run(&build, never), "up to date");
    }
    assert!(largest < 1_200_000, "{largest}");
}

#[test]
fn paths_that_came_and_went_are_forgotten() {
    let here = Checkout::new(&[]);
    let build = task(&["src/*.c"], &["out"]);
    let name = |round: usize, at: usize| format!("src/a-file-of-round-{round:02}-{at:03}.c");
    for round in 0..16 {
        let _ = fs::remove_dir_all(here.path("src"));
        (0..300).for_each(|at| here.write(&name(round, at), "x"));
        assert!(here.run(&build, cat).starts_with("executed"));
    }
    let state = String::from_utf8_lossy(&fs::read(here.path(".envrun/state/files")).unwrap()).into_owned();
    assert!(!state.contains(&name(0, 7)), "a file that is long gone is still in the index");
    assert!(state.contains(&name(15, 7)));
    assert_eq!(here.run(&build, never), "up to date");
}

#[test]
fn two_processes_at_once_keep_each_others_state() {
    let here = Checkout::new(&[("a", "1"), ("b", "1"), ("c", "1")]);
    let one = here.workspace();
    let two = here.workspace();
    let store = here.store();
    let named = |name: &str| {
        let mut task = task(&[name], &[]);
        task.label = name.to_owned();
        task
    };
    let nothing = |_: &Path| {};
    live(&one, &store, &named("a"), &[], nothing);
    live(&two, &store, &named("b"), &[], nothing);
    one.save().unwrap();
    two.save().unwrap();
    live(&one, &store, &named("c"), &[], nothing);
    one.save().unwrap();
    for name in ["a", "b", "c"] {
        assert_eq!(here.run(&named(name), never), "up to date", "{name}");
    }
}
