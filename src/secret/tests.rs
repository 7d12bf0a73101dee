//! Laws of what is made and kept.

use std::process::Command;

use proptest::prelude::*;

use super::{FileStore, generate};
use crate::diag::FileId;
use crate::model::Generate;
use crate::vars::dotenv;
use crate::vars::write::dotenv_line;

fn made() -> impl Strategy<Value = (Generate, Option<usize>)> {
    let how = prop_oneof![
        Just(Generate::Password),
        Just(Generate::Hex),
        Just(Generate::Base64),
        Just(Generate::Uuid)
    ];
    (how, prop::option::of(1usize..200))
}

#[test]
fn each_generator_has_its_alphabet_and_length() {
    for _ in 0..200 {
        let password = generate(Generate::Password, Some(16)).unwrap();
        assert!(password.len() == 16 && password.chars().all(|c| c.is_ascii_alphanumeric()), "{password}");
        assert!(password.starts_with(|c: char| c.is_ascii_alphabetic()), "{password}");
        for class in [char::is_ascii_uppercase, char::is_ascii_lowercase, char::is_ascii_digit] {
            assert!(password.chars().any(|c| class(&c)), "{password}");
        }
        let hex = generate(Generate::Hex, Some(7)).unwrap();
        assert!(hex.len() == 7 && hex.chars().all(|c| c.is_ascii_hexdigit()), "{hex}");
        let base64 = generate(Generate::Base64, Some(32)).unwrap();
        assert!(base64.len() == 44 && base64.ends_with('=') && !base64.contains(['+', '/']), "{base64}");
        let uuid = generate(Generate::Uuid, None).unwrap();
        let shape: String = uuid.chars().map(|c| if c.is_ascii_hexdigit() { 'x' } else { c }).collect();
        assert_eq!(shape, "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx");
        assert!(uuid.as_bytes()[14] == b'4' && b"89ab".contains(&uuid.as_bytes()[19]), "{uuid}");
    }
}

#[test]
fn what_is_made_survives_a_shell() {
    for how in [Generate::Password, Generate::Hex, Generate::Base64, Generate::Uuid] {
        let value = generate(how, None).unwrap();
        let script = format!("{}printf %s \"$A\"", dotenv_line("A", &value));
        // Neither the shell's words nor its quotes change it, nor does it need any.
        let bare = format!("printf %s {value}");
        for script in [script, bare] {
            let output = Command::new("sh").args(["-euc", &script]).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), value);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_is_made_survives_a_dotenv_file((how, length) in made()) {
        let value = generate(how, length).unwrap();
        for text in [dotenv_line("A", &value), format!("A={value}\n"), format!("A=\"{value}\"")] {
            let (entries, wrong) = dotenv::parse(FileId(0), &text);
            prop_assert!(wrong.is_empty());
            prop_assert_eq!(&entries[0].value, &value);
        }
        prop_assert_ne!(generate(Generate::Uuid, None).unwrap(), generate(Generate::Uuid, None).unwrap());
    }

    #[test]
    fn setting_one_changes_no_other(
        lines in prop::collection::vec(("[A-E]", "[ -~\n]{0,20}", "(# [a-z ]{0,9}\n){0,2}"), 0..8),
        name in "[A-F]",
        value in "[ -~\n]{0,30}",
    ) {
        let store = FileStore::own("unused".into());
        let text: String =
            lines.iter().map(|(name, value, comment)| format!("{comment}{}", dotenv_line(name, value))).collect();
        let read = |text: &str| -> std::collections::BTreeMap<String, String> {
            store.parse(text).unwrap().into_iter().map(|entry| (entry.name, entry.value)).collect()
        };
        let before = read(&text);
        let mut expected = before.clone();
        expected.insert(name.clone(), value.clone());
        let set = store.with(&text, &name, Some(&value)).unwrap();
        prop_assert_eq!(read(&set), expected);
        prop_assert_eq!(set.matches("# ").count() >= text.matches("\n# ").count(), true);
        let mut without = before;
        without.remove(&name);
        prop_assert_eq!(read(&store.with(&set, &name, None).unwrap()), without);
    }
}
