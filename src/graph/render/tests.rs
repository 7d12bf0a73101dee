//! Pictures of small graphs, and what hostile names do not do to them.

use expect_test::expect;

use super::*;
use crate::diag::{Span, Spanned};
use crate::graph::fixture::{graph, node, nowhere, task};
use crate::graph::{ConfiguredTask, TaskGraph};
use crate::model::{Action, Command};

fn place(_: Span) -> String {
    "Envfile.kdl:1".to_owned()
}

fn named(label: &str, change: impl FnOnce(&mut ConfiguredTask)) -> ConfiguredTask {
    let mut node = node(task(label));
    change(&mut node);
    node
}

/// A library, a program with two follow-ups, and a group.
fn sample() -> TaskGraph {
    let mut library = task("lib.a");
    library.desc = Some("The library".into());
    library.inputs = Some(vec![Spanned::new("src/*.c".into(), nowhere())]);
    library.outputs = Some(vec![Spanned::new("lib.a".into(), nowhere())]);
    let mut all = task("all");
    all.actions.clear();
    let nodes = vec![
        node(library),
        named("prog", |node| (node.env, node.label) = (Some("prod".into()), "prod.prog".into())),
        named("undo", |node| node.follow_up = true),
        named("tell", |node| node.follow_up = true),
        named("lint", |_| ()),
        ConfiguredTask { target: true, ..node(all) },
    ];
    let edges = [
        (0, 1, EdgeKind::Needs),
        (1, 2, EdgeKind::FollowUp(Occasion::Failure)),
        (1, 3, EdgeKind::FollowUp(Occasion::Success)),
        (0, 4, EdgeKind::After),
        (1, 5, EdgeKind::Needs),
        (4, 5, EdgeKind::Needs),
    ];
    graph(nodes, &edges)
}

const HOSTILE: &str = "</script><script>alert(1)</script><!-- \"q\" 'x' & \\ ` # ]]> \u{7} \n$";

fn hostile() -> TaskGraph {
    let mut evil = task(HOSTILE);
    evil.desc = Some(HOSTILE.into());
    evil.actions = vec![Spanned::new(Action::Run(Command::Shell(HOSTILE.into())), nowhere())];
    evil.outputs = Some(vec![Spanned::new(HOSTILE.into(), nowhere())]);
    graph(vec![named(HOSTILE, |node| node.env = Some("<b>".into())), node(evil)], &[(0, 1, EdgeKind::Needs)])
}

#[test]
fn for_graphviz() {
    expect![[r#"
        digraph envrun {
            rankdir=LR;
            node [shape=box, style=rounded, fontname="monospace"];
            n0 [label="lib.a", tooltip="The library", style="rounded"];
            n1 [label="prod.prog", tooltip="prod.prog", style="rounded"];
            n2 [label="undo", tooltip="undo", style="rounded,dashed"];
            n3 [label="tell", tooltip="tell", style="rounded,dashed"];
            n4 [label="lint", tooltip="lint", style="rounded"];
            n5 [label="all", tooltip="all", style="rounded,bold,dashed"];
            n0 -> n1;
            n1 -> n2 [style=dotted, color=firebrick, label="on-fail"];
            n1 -> n3 [style=dotted, color=forestgreen, label="on-success"];
            n0 -> n4 [style=dashed];
            n1 -> n5;
            n4 -> n5;
        }
    "#]]
    .assert_eq(&dot(&sample()));
}

#[test]
fn for_mermaid() {
    expect![[r#"
        flowchart LR
            n0["lib.a"]
            n1["prod.prog"]
            n2["undo"]
            n3["tell"]
            n4["lint"]
            n5(["all"])
            n0 --> n1
            n1 -. on-fail .-> n2
            n1 -. on-success .-> n3
            n0 -.-> n4
            n1 --> n5
            n4 --> n5
            classDef target stroke-width:3px
            class n5 target
    "#]]
    .assert_eq(&mermaid(&sample()));
}

#[test]
fn for_programs() {
    expect![[r#"
        {
          "format": 1,
          "nodes": [
            {
              "id": 0,
              "label": "lib.a",
              "name": "lib.a",
              "kind": "task",
              "desc": "The library",
              "cacheable": true,
              "dir": ".",
              "commands": [
                "true"
              ],
              "inputs": [
                "src/*.c"
              ],
              "outputs": [
                "lib.a"
              ],
              "place": "Envfile.kdl:1"
            },
            {
              "id": 1,
              "label": "prod.prog",
              "env": "prod",
              "name": "prog",
              "kind": "task",
              "dir": ".",
              "commands": [
                "true"
              ],
              "place": "Envfile.kdl:1"
            },
            {
              "id": 2,
              "label": "undo",
              "name": "undo",
              "kind": "task",
              "follow_up": true,
              "dir": ".",
              "commands": [
                "true"
              ],
              "place": "Envfile.kdl:1"
            },
            {
              "id": 3,
              "label": "tell",
              "name": "tell",
              "kind": "task",
              "follow_up": true,
              "dir": ".",
              "commands": [
                "true"
              ],
              "place": "Envfile.kdl:1"
            },
            {
              "id": 4,
              "label": "lint",
              "name": "lint",
              "kind": "task",
              "dir": ".",
              "commands": [
                "true"
              ],
              "place": "Envfile.kdl:1"
            },
            {
              "id": 5,
              "label": "all",
              "name": "all",
              "kind": "task",
              "target": true,
              "group": true,
              "dir": ".",
              "place": "Envfile.kdl:1"
            }
          ],
          "edges": [
            {
              "from": 0,
              "to": 1,
              "kind": "needs"
            },
            {
              "from": 1,
              "to": 2,
              "kind": "on-fail"
            },
            {
              "from": 1,
              "to": 3,
              "kind": "on-success"
            },
            {
              "from": 0,
              "to": 4,
              "kind": "after"
            },
            {
              "from": 1,
              "to": 5,
              "kind": "needs"
            },
            {
              "from": 4,
              "to": 5,
              "kind": "needs"
            }
          ]
        }
    "#]]
    .assert_eq(&json(&sample(), &place));
}

#[test]
fn hostile_names_stay_text_in_graphviz_and_mermaid() {
    expect![[r##"
        digraph envrun {
            rankdir=LR;
            node [shape=box, style=rounded, fontname="monospace"];
            n0 [label="</script><script>alert(1)</script><!-- \"q\" 'x' & \\ ` # ]]>   \n$", tooltip="</script><script>alert(1)</script><!-- \"q\" 'x' & \\ ` # ]]>   \n$", style="rounded"];
            n1 [label="</script><script>alert(1)</script><!-- \"q\" 'x' & \\ ` # ]]>   \n$", tooltip="</script><script>alert(1)</script><!-- \"q\" 'x' & \\ ` # ]]>   \n$", style="rounded"];
            n0 -> n1;
        }
        flowchart LR
            n0["#60;/script#62;#60;script#62;alert(1)#60;/script#62;#60;!-- #quot;q#quot; 'x' #38; #92; #96; #35; ]]#62;    $"]
            n1["#60;/script#62;#60;script#62;alert(1)#60;/script#62;#60;!-- #quot;q#quot; 'x' #38; #92; #96; #35; ]]#62;    $"]
            n0 --> n1
    "##]].assert_eq(&(dot(&hostile()) + &mermaid(&hostile())));
}

#[test]
fn hostile_names_stay_text_in_the_page() {
    let page = html(&hostile(), HOSTILE, &place);
    // The two of the page itself: data and program.
    assert_eq!(page.matches("<script").count(), 2);
    assert_eq!(page.matches("</script").count(), 2);
    assert!(!page.contains("<!--") && !page.contains('\u{7}'));
    assert!(page.contains("&lt;/script&gt;&lt;script&gt;alert(1)"));
    let data = page.split_once("id=\"data\">").unwrap().1.split_once("</script>").unwrap().0;
    assert!(!data.contains('<'));
    let data: serde_json::Value = serde_json::from_str(data).unwrap();
    assert_eq!(data["nodes"][1]["commands"][0], HOSTILE.trim());
    assert_eq!(data["nodes"][1]["desc"], HOSTILE);
}

#[test]
fn the_page_stands_alone_and_is_the_same_every_time() {
    let page = html(&sample(), "sample: all", &place);
    // The one address in it is the name of SVG, which nobody fetches.
    let addresses: Vec<&str> =
        page.match_indices("://").map(|(at, _)| page[at..].split('"').next().unwrap()).collect();
    assert_eq!(addresses, ["://www.w3.org/2000/svg"]);
    assert!(!page.contains(" src=") && !page.contains("@import") && !page.contains("url("));
    assert_eq!(page, html(&sample(), "sample: all", &place));
    for word in ["needs", "after", "on-fail", "on-success"] {
        assert!(page.contains(&format!("<g class=\"w {word}\" id=")), "{word}");
    }
}

#[test]
fn an_empty_graph_has_a_picture_too() {
    let empty = TaskGraph::default();
    assert!(html(&empty, "nothing", &place).contains("0 nodes, 0 edges"));
    assert_eq!(mermaid(&empty), "flowchart LR\n");
}
