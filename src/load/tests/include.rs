//! Includes: files, folders, globs, and what goes wrong with them.

use std::path::Path;

use expect_test::expect;

use super::super::{find, load};
use super::{check, good, path, said};
use crate::load::Texts;
use crate::model::{Node, Task};

fn task<'l>(loaded: &'l crate::load::Loaded, name: &str) -> &'l Task {
    match loaded.envfile.node(None, &path(name)) {
        Some(Node::Task(task)) => task,
        other => panic!("{name}: {other:?}"),
    }
}

#[test]
fn the_nearest_envfile_above_is_found() {
    let texts = Texts::Memory([("/p/Envfile.kdl".into(), String::new())].into());
    assert_eq!(find(Path::new("/p/a/b"), &texts).as_deref(), Some(Path::new("/p/Envfile.kdl")));
    assert_eq!(find(Path::new("/q"), &texts), None);
    let error = load(Path::new("/q/Envfile.kdl"), &texts).unwrap_err();
    expect!["cannot read `/q/Envfile.kdl`: entity not found"].assert_eq(&error.to_string());
}

#[test]
fn a_file_joins_the_scope_it_is_included_in() {
    let loaded = good(&[
        ("Envfile.kdl", "include \"tasks/more.kdl\"\ntask \"a\" { needs \"b\" }"),
        (
            "tasks/more.kdl",
            "task \"b\" { needs \"a2\"; run \"true\" }\ntask \"a2\" { dir \"sub\"; run \"true\" }",
        ),
    ]);
    assert_eq!(task(&loaded, "a").needs[0].path, path("b"));
    // Without `dir` it runs where the including project is; a `dir` is relative to the file.
    assert_eq!(task(&loaded, "b").dir.value, ".");
    assert_eq!(task(&loaded, "a2").dir.value, "tasks/sub");
}

#[test]
fn a_namespace_is_looked_in_first() {
    let loaded = good(&[
        (
            "Envfile.kdl",
            "include \"k8s.kdl\" as=\"k8s\"\ntask \"build\" { run \"true\" }\ntask \"lint\" { run \"true\" }\ntask \"all\" { needs \"build\" \"k8s.build\" }",
        ),
        (
            "k8s.kdl",
            "include \"inner.kdl\" as=\"in\"\ntask \"build\" { run \"true\" }\ntask \"all\" { needs \"build\" \"lint\" \"in.x\" }",
        ),
        (
            "inner.kdl",
            "task \"x\" { needs \"build\" \"y\"; alias \"z\" }\ntask \"y\" { needs \"lint\" }\ntask \"w\" { needs \"z\" }",
        ),
    ]);
    let needs = |name: &str| {
        task(&loaded, name).needs.iter().map(|need| need.path.to_string()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(needs("all"), "build k8s.build");
    assert_eq!(needs("k8s.all"), "k8s.build lint k8s.in.x");
    assert_eq!(needs("k8s.in.x"), "k8s.build k8s.in.y");
    assert_eq!(needs("k8s.in.y"), "lint");
    assert_eq!(needs("k8s.in.w"), "k8s.in.x");
}

#[test]
fn a_folder_is_a_project() {
    let loaded = good(&[
        (
            "Envfile.kdl",
            r#"
            include "services/*"
            include "lib" as="core"
            task "lint" { run "true" }
            task "pack" { run "true" }
            task "all" { needs "api:build" "web:build" "core:build" }
            "#,
        ),
        (
            "services/api/Envfile.kdl",
            r#"
            include "../../lib"
            task "build" { needs "gen" "lint" "web:gen" ":pack" "lib:build"; outputs "out"; run "true" }
            task "gen" { dir "sub"; run "true" }
            "#,
        ),
        (
            "services/web/Envfile.kdl",
            r#"task "build" { needs "gen"; outputs "out"; run "true" }; task "gen" { run "true" }"#,
        ),
        ("services/readme/x.txt", ""),
        ("lib/Envfile.kdl", r#"task "build" { run "true" }"#),
    ]);
    let needs = |name: &str| {
        task(&loaded, name).needs.iter().map(|need| need.path.to_string()).collect::<Vec<_>>().join(" ")
    };
    // One folder is one project, however it is called from elsewhere.
    assert_eq!(needs("api:build"), "api:gen lint web:gen pack core:build");
    assert_eq!(needs("all"), "api:build web:build core:build");
    assert_eq!(task(&loaded, "api:build").dir.value, "services/api");
    assert_eq!(task(&loaded, "api:gen").dir.value, "services/api/sub");
    let names: Vec<String> = loaded.envfile.projects.keys().map(ToString::to_string).collect();
    assert_eq!(names, ["", "api", "web", "core"]);
}

#[test]
fn a_project_inside_a_project() {
    let loaded = good(&[
        ("Envfile.kdl", r#"include "a"; task "x" { needs "a:b:x" }"#),
        ("a/Envfile.kdl", r#"include "b"; task "x" { needs "b:x" }"#),
        ("a/b/Envfile.kdl", r#"task "x" { run "true" }"#),
    ]);
    assert_eq!(task(&loaded, "x").needs[0].path, path("a:b:x"));
    assert_eq!(task(&loaded, "a:x").needs[0].path, path("a:b:x"));
}

#[test]
fn an_env_of_an_included_project_is_one_of_the_whole() {
    let loaded = good(&[
        (
            "Envfile.kdl",
            "include \"api\"\nenv \"prod\" { desc \"the whole\" }\ntask \"t\" { needs \"qa.api:deploy\" }",
        ),
        (
            "api/Envfile.kdl",
            "env \"prod\" { task \"deploy\" { run \"prod\" } }\nenv \"qa\" extends=\"prod\"\ntask \"deploy\" { run \"base\" }",
        ),
    ]);
    let names: Vec<&str> = loaded.envfile.environments.keys().map(crate::model::EnvName::as_str).collect();
    assert_eq!(names, ["prod", "qa"]);
    let run = |env: &str| {
        format!(
            "{:?}",
            match loaded.envfile.node(Some(&env.into()), &path("api:deploy")) {
                Some(Node::Task(task)) => task.actions[0].value.clone(),
                other => panic!("{other:?}"),
            }
        )
    };
    assert_eq!(run("qa"), run("prod"));
    assert!(run("qa").contains("prod"));
}

#[test]
fn what_cannot_be_included() {
    check(
        &[
            (
                "Envfile.kdl",
                "include \"taks/a.kdl\"\ninclude \"tasks/b.kdl\"\ninclude \"empty\"\ninclude \"../x\"\ninclude \"${X}/y.kdl\"\ninclude \"none/*\"\ninclude \"s/*\" as=\"s\"\ninclude \"[\"",
            ),
            ("tasks/a.kdl", ""),
            ("empty/readme", ""),
            ("../x/Envfile.kdl", ""),
            ("s/a/Envfile.kdl", ""),
        ],
        expect![[r#"
            error[load/include]: there is no `taks/a.kdl` to include
              Envfile.kdl:1:9 `"taks/a.kdl"`
              help: did you mean `tasks`?
            error[load/include]: there is no `tasks/b.kdl` to include
              Envfile.kdl:2:9 `"tasks/b.kdl"`
              help: did you mean `a.kdl`?
            error[load/include]: `empty` has no `Envfile.kdl`
              Envfile.kdl:3:9 `"empty"`
            error[load/include]: the folder `../x` lies outside the project
              Envfile.kdl:4:9 `"../x"`
              help: include its files one by one, or move the root Envfile up
            error[load/include]: an `include` is read before any variable has a value
              Envfile.kdl:5:9 `"${X}/y.kdl"`
            warning[load/include]: `none/*` finds nothing to include
              Envfile.kdl:6:9 `"none/*"`
              help: it looks for folders with an `Envfile.kdl`, and for `.kdl` files
            error[load/include]: `as="s"` names one thing, and a glob may find several
              Envfile.kdl:7:18 `"s"`
              help: leave `as=` out: each folder has its own name
            error[load/include]: `[` is not a glob: unclosed character class; missing ']'
              Envfile.kdl:8:9 `"["`
        "#]],
    );
}

#[test]
fn two_projects_of_one_name() {
    check(
        &[
            (
                "Envfile.kdl",
                "include \"services/api\"\ninclude \"libs/api\"\ninclude \"libs/api\" as=\"api2\"",
            ),
            ("services/api/Envfile.kdl", ""),
            ("libs/api/Envfile.kdl", ""),
        ],
        expect![[r#"
            error[load/duplicate]: two included projects are called `api`
              Envfile.kdl:2:9 `"libs/api"`: the second
              Envfile.kdl:1:9 `"services/api"`: the first
              help: give one of them another name with `as=`
        "#]],
    );
}

#[test]
fn a_circle_of_files() {
    check(
        &[
            ("Envfile.kdl", "include \"tasks/a.kdl\""),
            ("tasks/a.kdl", "include \"b.kdl\""),
            ("tasks/b.kdl", "\ninclude \"a.kdl\" as=\"again\""),
        ],
        expect![[r#"
            error[load/cycle]: files include each other in a circle: `tasks/a.kdl → tasks/b.kdl → tasks/a.kdl`
              tasks/a.kdl:1:9 `"b.kdl"`: `tasks/a.kdl` includes `tasks/b.kdl`
              tasks/b.kdl:2:9 `"a.kdl"`: `tasks/b.kdl` includes `tasks/a.kdl`
        "#]],
    );
    check(
        &[("Envfile.kdl", "include \"Envfile.kdl\"")],
        expect![[r#"
        error[load/cycle]: files include each other in a circle: `Envfile.kdl → Envfile.kdl`
          Envfile.kdl:1:9 `"Envfile.kdl"`: `Envfile.kdl` includes `Envfile.kdl`
    "#]],
    );
}

#[test]
fn a_circle_of_projects() {
    check(
        &[
            ("Envfile.kdl", "include \"a\"\ninclude \"b\""),
            ("a/Envfile.kdl", "include \"../b\""),
            ("b/Envfile.kdl", "include \"../a\""),
        ],
        expect![[r#"
            error[load/cycle]: projects include each other in a circle: `a → b → a`
              a/Envfile.kdl:1:9 `"../b"`: `a` includes `b`
              b/Envfile.kdl:1:9 `"../a"`: `b` includes `a`
        "#]],
    );
    check(
        &[("Envfile.kdl", "include \"a\""), ("a/Envfile.kdl", "include \"..\" as=\"up\"")],
        expect![[r#"
        error[load/cycle]: projects include each other in a circle: `Envfile.kdl → a → Envfile.kdl`
          Envfile.kdl:1:9 `"a"`: `Envfile.kdl` includes `a`
          a/Envfile.kdl:1:9 `".."`: `a` includes `Envfile.kdl`
    "#]],
    );
}

#[test]
fn the_same_node_from_two_files() {
    check(
        &[
            (
                "Envfile.kdl",
                "include \"a.kdl\"\ninclude \"b.kdl\"\ntask \"y\" { run \"true\" }\npool \"p\" 1",
            ),
            ("a.kdl", "task \"x\" { run \"true\" }\npool \"p\" 2"),
            ("b.kdl", "service \"x\" { run \"true\" }\ntask \"y\" { run \"true\" }\nstage \"s\" {}"),
        ],
        expect![[r#"
            error[load/duplicate]: `y` is declared twice
              Envfile.kdl:3:6 `"y"`: the second
              b.kdl:2:6 `"y"`: the first
              help: rename one, or include its file with `as=`
            error[load/duplicate]: pool `p` is declared twice
              Envfile.kdl:4:6 `"p"`: the second
              a.kdl:2:6 `"p"`: the first
            error[load/duplicate]: `x` is declared twice
              b.kdl:1:9 `"x"`: the second
              a.kdl:1:6 `"x"`: the first
              help: rename one, or include its file with `as=`
        "#]],
    );
}

#[test]
fn errors_of_all_files_are_told_at_once_and_a_broken_one_hides_no_other() {
    check(
        &[
            (
                "Envfile.kdl",
                "include \"a.kdl\"\ninclude \"b.kdl\"\ntask \"x\" { needs \"from-a\"; pool \"nope\"; timeout \"0s\" }",
            ),
            ("a.kdl", "task \"from-a\" {"),
            ("b.kdl", "task \"b\" { rum \"x\" }"),
        ],
        expect![[r#"
            error[load/limit]: a task cannot be over in no time
              Envfile.kdl:3:49 `"0s"`
              help: take `timeout` out to let it run as long as it likes
            error[syntax/unclosed-block]: this block is never closed
              a.kdl:1:15 `{`: opened here
              help: add the missing `}`
            error[syntax/unknown-word]: unknown `rum` in task
              b.kdl:1:12 `rum`
              help: did you mean `run`?
        "#]],
    );
}

#[test]
fn an_error_of_which_the_meaning_is_plain_hides_nothing() {
    check(
        &[(
            "Envfile.kdl",
            "task \"a\" { cache=true; timeout 30s; needs [\"b\", \"c\"]; pool \"nope\"; uses \"a-b\" }\ntask \"b\"",
        )],
        expect![[r#"
            error[syntax/assignment]: the values of `cache` follow it without `=`
              Envfile.kdl:1:12 `cache=true`
              help: write `cache #true`
            error[syntax/number]: `30s` begins like a number and is none, so it needs quotes
              Envfile.kdl:1:32 `30s`
              help: write `"30s"`
            error[syntax/brackets]: a list has no brackets and no commas here
              Envfile.kdl:1:43 `["b", "c"]`
              help: write `"b" "c"`
            error[load/unknown-node]: there is no node `c`
              Envfile.kdl:1:49 `"c"`
            error[load/unknown-pool]: there is no pool `nope`
              Envfile.kdl:1:60 `"nope"`
              help: declare it at the root: `pool "nope" 2`
            error[syntax/value]: `"a-b"` is not a variable's name
              Envfile.kdl:1:73 `"a-b"`: a value of `uses`
              help: write for instance `"DATABASE_URL"`
        "#]],
    );
}

#[test]
fn variables_of_an_included_file_are_below() {
    let loaded = good(&[
        ("Envfile.kdl", "vars { REGION \"eu\" }\ninclude \"cloud.kdl\" as=\"cloud\""),
        ("cloud.kdl", "vars { REGION \"us\" one-of=\"us|eu\"; SIZE 1 }"),
    ]);
    let vars = &loaded.envfile.projects[""].base.vars;
    assert_eq!(vars["REGION"].value.as_ref().unwrap().value.to_string(), "eu");
    assert!(vars["REGION"].constraints.one_of.is_some());
    check(
        &[
            ("Envfile.kdl", "vars { REGION \"mars\"; SIZE \"big\" }\ninclude \"cloud.kdl\" as=\"cloud\""),
            ("cloud.kdl", "vars { REGION \"us\" one-of=\"us|eu\"; SIZE 1 }"),
        ],
        expect![[r#"
            error[load/value]: `REGION`: `mars` is not one of `us`, `eu`
              Envfile.kdl:1:15 `"mars"`
              cloud.kdl:1:27 `"us|eu"`: asked for here
            error[load/type]: `SIZE` is declared as a whole number, and here it is a text
              Envfile.kdl:1:28 `"big"`
              cloud.kdl:1:41 `1`: declared here
              help: an overlay changes the value, never the type
        "#]],
    );
}

#[test]
fn only_the_root_names_the_whole() {
    let loaded = good(&[
        (
            "Envfile.kdl",
            "project \"whole\" default-env=\"dev\"\ncache { local max-age=\"1d\" }\nenv \"dev\"\nenv \"x\"\ninclude \"a\"\ninclude \"b.kdl\"",
        ),
        ("a/Envfile.kdl", "project \"a\" default-env=\"x\"\ncache { local max-age=\"2d\" }"),
        ("b.kdl", "project \"b\" default-env=\"x\"\ncache { local max-age=\"3d\" }"),
    ]);
    assert_eq!(loaded.envfile.name.as_ref().unwrap().value, "whole");
    assert_eq!(loaded.envfile.default_env.as_ref().unwrap().value.as_str(), "dev");
    assert_eq!(loaded.envfile.cache.max_age, Some(std::time::Duration::from_secs(86_400)));
}

#[test]
fn a_version_that_does_not_fit() {
    check(
        &[
            ("Envfile.kdl", "project \"p\" envrun=\">=0.1\"\ninclude \"a\""),
            ("a/Envfile.kdl", "project \"a\" envrun=\">=99\""),
        ],
        expect![[r#"
            error[load/version]: this Envfile wants envrun >=99, and this is 0.1.0
              a/Envfile.kdl:1:20 `">=99"`
              help: install a version that fits, or change the requirement
        "#]],
    );
}

#[test]
fn files_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("Envfile.kdl", "include \"s/**\"");
    write("s/a/Envfile.kdl", "task \"x\" { run \"true\" }");
    write("s/a/b/Envfile.kdl", "task \"x\" { run \"true\" }");
    #[cfg(unix)]
    std::os::unix::fs::symlink("..", dir.path().join("s/a/up")).unwrap();
    let loaded = load(&dir.path().join("Envfile.kdl"), &Texts::Disk).unwrap();
    assert_eq!(said(&loaded), "");
    let names: Vec<String> = loaded.envfile.projects.keys().map(ToString::to_string).collect();
    assert_eq!(names, ["", "a", "b"]);
    std::fs::write(dir.path().join("Envfile.kdl"), b"task \"\xff\"").unwrap();
    let error = load(&dir.path().join("Envfile.kdl"), &Texts::Disk).unwrap_err();
    assert!(error.to_string().contains("UTF-8"), "{error}");
}
