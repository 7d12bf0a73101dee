//! Real files.

use std::path::Path;

use super::super::{Options, load};
use super::said;

#[test]
fn the_example_says_nothing() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/hello-deploy/Envfile.kdl");
    assert_eq!(said(&load(&file, &Options::default()).unwrap()), "");
}
