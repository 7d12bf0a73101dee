//! Any text as an Envfile, and any bytes as a compiled one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::snapshot::Snapshot;
use super::{Loaded, Texts, load};

/// Between the files of one input: the first is the Envfile, the others are what it may include.
pub(crate) const NEXT_FILE: &str = "\n//----\n";

/// Loads an Envfile.
pub(crate) fn loaded(text: &str) -> Loaded {
    let names = ["Envfile.kdl", "tasks/a.kdl", "services/a/Envfile.kdl", "services/b/Envfile.kdl"];
    let root = Path::new("/p");
    let files = text.split(NEXT_FILE).zip(names).map(|(text, name)| (root.join(name), text.to_owned()));
    let texts = Texts::Memory(files.collect::<BTreeMap<PathBuf, String>>());
    load(&root.join(names[0]), &texts).expect("the root file is there")
}

/// The body of a snapshot: what is understood comes out the same when it is written again.
pub(crate) fn snapshot(body: &[u8]) {
    let Some(snapshot) = Snapshot::decode(body.to_vec(), 0) else { return };
    // Nodes are found by name or by place, whatever the table says of them.
    for project in snapshot.envfile.projects.values() {
        for scope in project.scopes() {
            let found = scope.nodes.keys().filter(|name| scope.nodes.get(*name).is_some()).count();
            assert!(found <= scope.nodes.len());
        }
    }
    let Ok(again) = snapshot.encode() else { return };
    if snapshot.envfile.is_torn() {
        return;
    }
    let second = Snapshot::decode(again.clone(), 0).expect("what was written can be read");
    assert_eq!(second.encode().ok(), Some(again));
}

/// Snapshots to begin with.
pub(crate) fn snapshots(texts: &[&str]) -> Vec<Vec<u8>> {
    let body = |text: &&str| {
        let loaded = loaded(text);
        let snapshot =
            Snapshot { basis: [0; 32], asked: Vec::new(), sources: Vec::new(), envfile: loaded.envfile };
        snapshot.encode().expect("a model can be written")
    };
    texts.iter().map(body).collect()
}
