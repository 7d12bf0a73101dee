//! The law of `env sync`: whatever A and B hold, B loses nothing and gets no secret.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::{Context, Project};
use super::sync::{Asked, apply, keep_secrets, plan};
use crate::base::Clock;
use crate::diag::FileId;
use crate::vars::dotenv;
use crate::vars::write::dotenv_line;

fn context(root: &std::path::Path) -> Context {
    Context {
        program: "envrun".into(),
        cwd: root.to_path_buf(),
        caller: BTreeMap::new(),
        cache_dir: root.join("cache"),
        redactor: crate::secret::Redactor::default(),
        clock: Clock::System,
        host: "host".into(),
        cores: || 1,
    }
}

fn parsed(text: &str) -> BTreeMap<String, String> {
    dotenv::parse(FileId(0), text).0.into_iter().map(|entry| (entry.name, entry.value)).collect()
}

/// What the Envfile says of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Nothing,
    Variable,
    WithDefault,
    OfA,
    OfB,
    Secret,
}

fn said() -> impl Strategy<Value = Said> {
    prop_oneof![
        Just(Said::Nothing),
        Just(Said::Variable),
        Just(Said::WithDefault),
        Just(Said::OfA),
        Just(Said::OfB),
        Just(Said::Secret)
    ]
}

fn held() -> impl Strategy<Value = Vec<(usize, String)>> {
    proptest::collection::vec((0_usize..6, "[a-z$'\"`\\\\ #=\\n{}]{0,8}"), 0..8)
}

/// The lines of a file; in A every secret says that it is one of A's.
fn file(held: &[(usize, String)], said: &[Said], is_a: bool) -> String {
    let mut text = "# a comment\n".to_owned();
    for (name, value) in held {
        let value = match said[*name] {
            Said::Secret if is_a => format!("secret-of-a-{name}"),
            _ => value.clone(),
        };
        text.push_str(&dotenv_line(&format!("N{name}"), &value));
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn a_sync_loses_nothing_and_copies_no_secret(
        said in proptest::collection::vec(said(), 6),
        a in held(),
        b in held(),
        stored in proptest::collection::btree_map(0_usize..6, "[a-z$'\"#]{1,8}", 0..4),
        is_there in proptest::bool::weighted(0.8),
        ends_in_newline in any::<bool>(),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let (mut vars, mut secrets) = (String::new(), String::new());
        let (mut of_a, mut of_b) = (String::new(), String::new());
        for (at, said) in said.iter().enumerate() {
            match said {
                Said::Nothing => {}
                Said::Variable => vars.push_str(&format!("N{at} required=#false\n")),
                Said::WithDefault => vars.push_str(&format!("N{at} \"default\"\n")),
                Said::OfA | Said::OfB => {
                    vars.push_str(&format!("N{at} required=#false\n"));
                    let of = if *said == Said::OfA { &mut of_a } else { &mut of_b };
                    of.push_str(&format!("N{at} \"written-{at}\"\n"));
                }
                Said::Secret => secrets.push_str(&format!("N{at}\n")),
            }
        }
        let envfile = format!(
            "vars {{\n{vars}OTHER 1\n}}\nsecrets {{\n{secrets}ALWAYS\n}}\ndotenv \".env.${{ENVRUN_ENV}}\" optional=#true\nenv \"a\" {{ vars {{\n{of_a}}} }}\nenv \"b\" {{ vars {{\n{of_b}}} }}\n"
        );
        std::fs::write(dir.path().join("Envfile.kdl"), envfile).unwrap();
        // B's own store, with some of the secrets in it.
        let store = dir.path().join(".envrun/secrets/b.env");
        let stored: Vec<(usize, String)> = stored.into_iter().filter(|(at, _)| said[*at] == Said::Secret).collect();
        let stored_text: String = stored.iter().map(|(at, value)| dotenv_line(&format!("N{at}"), value)).collect();
        if !stored.is_empty() {
            let open = |mode| std::os::unix::fs::PermissionsExt::from_mode(mode);
            std::fs::create_dir_all(store.parent().unwrap()).unwrap();
            std::fs::set_permissions(store.parent().unwrap(), open(0o700)).unwrap();
            std::fs::write(&store, &stored_text).unwrap();
            std::fs::set_permissions(&store, open(0o600)).unwrap();
        }
        std::fs::write(dir.path().join(".env.a"), file(&a, &said, true)).unwrap();
        let mut before = file(&b, &said, false);
        if !ends_in_newline {
            before.truncate(before.len() - 1);
        }
        let path = dir.path().join(".env.b");
        if is_there {
            std::fs::write(&path, &before).unwrap();
        } else {
            before = String::new();
        }
        let context = context(dir.path());
        let project = Project::open(&context, None).unwrap();
        let asked = Asked { from: "a".into(), to: "b".into(), project: "".into(), set: Vec::new() };
        let plan = plan(&context, &project, &asked).unwrap();
        let made: Vec<(String, String)> = plan.secrets.iter().map(|lacking| (lacking.name.clone(), "made".into())).collect();
        let done = apply(&context, &project, &asked, &plan, &made, &mut |secrets| {
            keep_secrets(&context, &project, &asked, secrets)
        });
        let done = done.unwrap();
        let after = std::fs::read_to_string(&path).unwrap_or_default();
        // Nothing of B is lost or changed: not a key, not a secret, not a comment.
        prop_assert!(after.starts_with(&before), "{:?} -> {:?}", before, after);
        let (old, new, of_a) = (parsed(&before), parsed(&after), parsed(&file(&a, &said, true)));
        for (name, value) in &old {
            prop_assert_eq!(new.get(name), Some(value), "{}", name);
        }
        // What is new is declared as a variable, had no value in B, and has A's: that of the Envfile, or else of A's file.
        for (name, value) in new.iter().filter(|(name, _)| !old.contains_key(*name)) {
            let at: usize = name[1..].parse().unwrap();
            match said[at] {
                Said::OfA => prop_assert_eq!(value, &format!("written-{}", at)),
                Said::Variable => prop_assert_eq!(of_a.get(name), Some(value), "{}", name),
                said => prop_assert!(false, "{} is {:?}", name, said),
            }
        }
        // And nothing is forgotten that could have been added.
        for (at, said) in said.iter().enumerate() {
            let name = format!("N{at}");
            if *said == Said::OfA || (*said == Said::Variable && of_a.contains_key(&name)) {
                prop_assert!(new.contains_key(&name) || !plan.left.iter().all(|left| left.name != name), "{}", name);
            }
        }
        prop_assert!(!after.contains("secret-of-a"));
        // Of B's secrets none is changed, and those it had nowhere are made: each once, none of A's.
        let (old_store, text) = (parsed(&stored_text), std::fs::read_to_string(&store).unwrap_or_default());
        let new_store = parsed(&text);
        for (name, value) in &old_store {
            prop_assert_eq!(new_store.get(name), Some(value), "{}", name);
        }
        for (name, value) in new_store.iter().filter(|(name, _)| !old_store.contains_key(*name)) {
            prop_assert!(value == "made" && !old.contains_key(name), "{}", name);
        }
        for at in (0..said.len()).filter(|at| said[*at] == Said::Secret) {
            let name = format!("N{at}");
            prop_assert!(new.contains_key(&name) || new_store.contains_key(&name), "{}", name);
        }
        prop_assert!(new_store.contains_key("ALWAYS") && !text.contains("secret-of-a"));
        // The snapshot is what B was.
        if is_there {
            prop_assert_eq!(std::fs::read_to_string(done.at.join("0.env")).unwrap(), before);
        }
        prop_assert_eq!(done.snapshot, 1);
    }
}

/// Where a file cannot be replaced, what was stored a moment ago is taken away again.
#[test]
fn a_file_that_cannot_be_replaced_undoes_what_was_stored() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("b");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(
        dir.path().join("Envfile.kdl"),
        "vars { A required=#false }\nsecrets { S }\ndotenv \"${ENVRUN_ENV}/env\" optional=#true\nenv \"a\" { vars { A \"1\" } }\nenv \"b\"\n",
    )
    .unwrap();
    let context = context(dir.path());
    let project = Project::open(&context, None).unwrap();
    let asked = Asked { from: "a".into(), to: "b".into(), project: "".into(), set: Vec::new() };
    let plan = plan(&context, &project, &asked).unwrap();
    let undone = std::cell::Cell::new(false);
    let made = [("S".to_owned(), "made".to_owned())];
    let done = apply(&context, &project, &asked, &plan, &made, &mut |_| {
        // From now on there is no folder that a file could be put into.
        std::fs::remove_dir(&folder).unwrap();
        std::fs::write(&folder, "in the way").unwrap();
        Ok(Box::new(|| {
            undone.set(true);
            Ok(())
        }))
    });
    assert!(done.is_err());
    assert!(undone.get());
}

/// What changed between the plan and its being carried out is nobody's to overwrite.
#[test]
fn a_file_that_changed_meanwhile_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(
        dir.path().join("Envfile.kdl"),
        "vars { A required=#false }\ndotenv \".env.${ENVRUN_ENV}\" optional=#true\nenv \"a\" { vars { A \"1\" } }\nenv \"b\"\n",
    )
    .unwrap();
    let context = context(dir.path());
    let project = Project::open(&context, None).unwrap();
    let asked = Asked { from: "a".into(), to: "b".into(), project: "".into(), set: Vec::new() };
    let plan = plan(&context, &project, &asked).unwrap();
    std::fs::write(dir.path().join(".env.b"), "A=mine\n").unwrap();
    let done = apply(&context, &project, &asked, &plan, &[], &mut |_| Ok(Box::new(|| Ok(()))));
    assert!(done.is_err());
    assert_eq!(std::fs::read_to_string(dir.path().join(".env.b")).unwrap(), "A=mine\n");
}
