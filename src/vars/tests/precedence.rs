//! The law: who wins is what a pile of maps says.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::TaskValues;
use super::{envfile, task, values, vars};

/// A layer as the naive model has it: what each name is set to; `None` takes it away.
type LayerText = BTreeMap<usize, Option<u8>>;

fn layer() -> impl Strategy<Value = LayerText> {
    proptest::collection::btree_map(0_usize..4, proptest::option::weighted(0.8, 0_u8..4), 0..4)
}

proptest! {
    /// Who wins is what a list of maps, laid over each other, says.
    #[test]
    fn precedence_is_a_pile_of_maps(
        root in layer(), dot in layer(), grand in layer(), parent in layer(), child in layer(), own in layer(), set in layer(),
    ) {
        let names = ["A", "B", "C", "D"];
        let rows = |layer: &LayerText, nulls: bool| -> Vec<String> {
            let row = |(name, value): (&usize, &Option<u8>)| match value {
                Some(value) => Some(format!("{}=v{value}", names[*name])),
                None => nulls.then(|| format!("{}!", names[*name])),
            };
            layer.iter().filter_map(row).collect()
        };
        let (base, far, up, down) = (rows(&root, false), rows(&grand, true), rows(&parent, true), rows(&child, true));
        let [base, far, up, down] = [&base, &far, &up, &down].map(|rows| rows.iter().map(String::as_str).collect::<Vec<_>>());
        let envfile = envfile(
            &base,
            &[("grand", &[], &far), ("parent", &["grand"], &up), ("child", &["grand", "parent"], &down)],
        );
        let dotenv = rows(&dot, false).join("\n");
        let given: Vec<(String, String)> = set
            .iter()
            .filter_map(|(name, value)| Some((names[*name].to_owned(), format!("v{}", (*value)?))))
            .collect();
        let given: Vec<(&str, &str)> = given.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let (values, said) = values(&envfile, "", Some("child"), &dotenv, &given);
        prop_assert_eq!(said, "");

        let mut pile: BTreeMap<&str, String> = BTreeMap::new();
        let mut lay = |layer: &LayerText, nulls: bool| {
            for (name, value) in layer {
                match value {
                    Some(value) => drop(pile.insert(names[*name], format!("v{value}"))),
                    None if nulls => drop(pile.remove(names[*name])),
                    None => {}
                }
            }
            pile.clone()
        };
        lay(&root, false);
        lay(&dot, false);
        lay(&grand, true);
        lay(&parent, true);
        let below = lay(&child, true);
        let project = lay(&set, false);
        for name in names {
            let found = values.lookup(name).text().map(|text| text.to_string());
            prop_assert_eq!(found, project.get(name).cloned(), "{}", name);
        }
        // A task's own values stand between its environment's and `--set`.
        let mut with_task = below;
        for (name, value) in &own {
            match value {
                Some(value) => drop(with_task.insert(names[*name], format!("v{value}"))),
                None => drop(with_task.remove(names[*name])),
            }
        }
        for (name, value) in &set {
            if let Some(value) = value {
                with_task.insert(names[*name], format!("v{value}"));
            }
        }
        let own_rows = rows(&own, true);
        let own_rows: Vec<&str> = own_rows.iter().map(String::as_str).collect();
        let task = TaskValues::new(&values, &task(vars(&own_rows), Vec::new()), Vec::new());
        for name in names {
            let found = task.lookup(name).text().map(|text| text.to_string());
            prop_assert_eq!(found, with_task.get(name).cloned(), "task {}", name);
        }
    }
}
