use super::*;
use std::collections::BTreeMap;

use crate::base::Timestamp;

fn frozen() -> Frozen {
    let value = |secret, digest: &str| Value { secret, digest: digest.into() };
    let values = BTreeMap::from([("PORT".into(), value(false, "aa")), ("TOKEN".into(), value(true, "bb"))]);
    let mut frozen = Frozen {
        format: FORMAT,
        envrun: "1.2.3".into(),
        made: Timestamp(1_700_000_000_000),
        who: "ada@laptop".into(),
        project: "shop".into(),
        targets: vec![Target { name: "prod.deploy".into(), args: vec![("level".into(), "minor".into())] }],
        env: Some("prod".into()),
        set: vec![("PORT".into(), "80".into())],
        key: "cc".into(),
        revision: Some("0123456789012345678901234567890123456789".into()),
        changes: Some(Changes { digest: None, paths: Vec::new() }),
        texts: BTreeMap::from([("Envfile.kdl".into(), "dd".into())]),
        values: BTreeMap::from([("prod".into(), values)]),
        live: BTreeMap::from([("prod.deploy".into(), Some((3, "ee".into())))]),
        nodes: vec![Node {
            label: "prod.deploy".into(),
            kind: "deploy".into(),
            fate: Fate::Run,
            because: vec!["`prod` goes from revision 1 to 2".into()],
            commands: vec!["true".into()],
            outputs: None,
            manifest: None,
            deploy: Some(Deploy {
                revision: Some("0123".into()),
                ships: None,
                from: None,
                back_to: None,
                snapshots: Vec::new(),
                verify: Vec::new(),
            }),
        }],
        digest: String::new(),
    };
    frozen.digest = frozen.sum();
    frozen
}

#[test]
fn what_is_written_is_what_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plan.json");
    frozen().write(&path).unwrap();
    assert_eq!(Frozen::read(&path).unwrap(), frozen());
    // In another layout it is still the same plan.
    let json: serde_json::Value = serde_json::from_str(&frozen().text()).unwrap();
    std::fs::write(&path, serde_json::to_string(&json).unwrap()).unwrap();
    assert_eq!(Frozen::read(&path).unwrap(), frozen());
}

#[test]
fn nothing_moved_but_what_is_another() {
    let told = |change: fn(&mut Frozen)| {
        let mut now = frozen();
        change(&mut now);
        frozen().moved(&now, false)
    };
    let prod = |now: &mut Frozen, name: &str, digest: &str| {
        now.values.get_mut("prod").unwrap().get_mut(name).unwrap().digest = digest.into();
    };
    assert_eq!(told(|_| ()), Vec::<String>::new());
    // When and by whom it is looked at is nothing that it rests on.
    assert_eq!(
        told(|now| (now.made, now.who, now.digest) = (Timestamp(0), "bob@ci".into(), "0".into())),
        Vec::<String>::new()
    );
    let mut now = frozen();
    prod(&mut now, "PORT", "a0");
    prod(&mut now, "TOKEN", "b0");
    assert_eq!(frozen().moved(&now, false), ["PORT changed in `prod`", "the secret TOKEN changed in `prod`"]);
    // Behind a guard that refuses nobody can know.
    let mut shut = frozen();
    drop(shut.values.get_mut("prod").unwrap().remove("TOKEN"));
    assert_eq!(frozen().moved(&shut, true), Vec::<String>::new());
    // With another key no secret can be compared, and that is said once.
    now.key = "c0".into();
    let moved = frozen().moved(&now, false);
    assert_eq!(moved.len(), 2, "{moved:?}");
    assert!(moved[1].starts_with("its secrets cannot be compared"), "{moved:?}");
    let unset = told(|now| drop(now.values.get_mut("prod").unwrap().remove("TOKEN")));
    assert_eq!(unset, ["TOKEN was unset in `prod`"]);
    assert_eq!(
        told(|now| now.live = BTreeMap::from([("prod.deploy".into(), None)])),
        ["`prod.deploy`: nothing is live now, and when the plan was made release 3 (revision ee) was"]
    );
    assert_eq!(told(|now| now.nodes.clear()), ["`prod.deploy` is no longer part of the run"]);
    assert_eq!(
        told(|now| drop(now.texts.insert("more.kdl".into(), "ff".into()))),
        ["more.kdl was added to the Envfile"]
    );
}
