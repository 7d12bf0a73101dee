//! Laws of keys, manifests and their differences.

use proptest::prelude::*;

use super::super::manifest::{FilePart, Part, Tag};
use super::super::table::FileKind;
use super::super::*;
use crate::base::Digest;

fn digest() -> impl Strategy<Value = Digest> {
    (0u8..4).prop_map(|byte| Digest([byte; 32]))
}

fn files() -> impl Strategy<Value = Vec<FilePart>> {
    let kind = prop_oneof![Just(FileKind::File), Just(FileKind::Executable), Just(FileKind::Link)];
    proptest::collection::btree_map("[ab]{1,2}", (kind, digest()), 0..4).prop_map(|files| {
        files
            .into_iter()
            .map(|(path, (kind, digest))| FilePart { path: path.as_bytes().into(), kind, digest })
            .collect()
    })
}

prop_compose! {
    fn manifest()(
        fixed in proptest::collection::vec(digest(), 7),
        variables in proptest::collection::btree_map("[AB]", digest(), 0..3),
        tools in proptest::collection::btree_map("[cd]", digest(), 0..3),
        needs in proptest::collection::btree_map("[xyz]", digest(), 0..4),
        files in files(),
        discovered in proptest::option::of(files()),
    ) -> Manifest {
        let tags = [Tag::Format, Tag::Platform, Tag::Commands, Tag::Shell, Tag::Dir, Tag::Outputs, Tag::Depfiles];
        let mut parts: Vec<Part> =
            tags.into_iter().zip(fixed).map(|(tag, digest)| Part { tag, name: "".into(), digest }).collect();
        parts.extend(variables.into_iter().map(|(name, digest)| Part { tag: Tag::Variable, name: name.into(), digest }));
        parts.sort();
        let needs = needs.into_iter().map(|(label, outputs)| Need { label, outputs }).collect();
        Manifest { parts, tools: tools.into_iter().collect(), needs, files, discovered }
    }
}

/// Two manifests that differ in few things, so that equal keys come up.
fn pair() -> impl Strategy<Value = (Manifest, Manifest)> {
    (manifest(), manifest(), proptest::collection::vec(any::<bool>(), 5)).prop_map(|(one, other, take)| {
        let mut two = one.clone();
        if take[0] {
            two.parts = other.parts
        }
        if take[1] {
            two.tools = other.tools
        }
        if take[2] {
            two.needs = other.needs
        }
        if take[3] {
            two.files = other.files
        }
        if take[4] {
            two.discovered = other.discovered
        }
        (one, two)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn no_difference_exactly_if_the_keys_are_equal((one, two) in pair()) {
        prop_assert_eq!(Manifest::diff(&one, &two).is_empty(), one.key() == two.key());
    }

    #[test]
    fn a_manifest_comes_back_and_no_other_bytes_do(one in manifest(), cut in 0usize..600) {
        let bytes = one.encode();
        let back = Manifest::decode(&bytes).unwrap();
        prop_assert_eq!(&back, &one);
        if cut < bytes.len() {
            prop_assert!(Manifest::decode(&bytes[..cut]).is_none());
        }
    }

    #[test]
    fn any_bytes_are_a_manifest_or_none(mut bytes: Vec<u8>, format: bool) {
        if format && !bytes.is_empty() { bytes[0] = 1; }
        let _ = Manifest::decode(&bytes);
    }
}
