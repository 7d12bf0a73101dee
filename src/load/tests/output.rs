//! Outputs: where they may lie, and that no two tasks make the same.

use expect_test::expect;

use super::{check, good, one};

#[test]
fn two_tasks_one_place() {
    one(
        r#"
        task "a" { outputs "dist"; run "true" }
        task "b" { outputs "dist/app.js"; run "true" }
        task "c" { outputs "dist2" "obj/*.o"; run "true" }
        task "d" { dir "obj"; outputs "x.o" "*.d"; run "true" }
        task "e" { outputs "obj/**/*.d" "obj/x.d"; run "true" }
        task "f" { outputs "./dist2/../dist2"; run "true" }
        "#,
        expect![[r#"
            error[load/outputs]: `b` and `a` would write over each other's outputs
              Envfile.kdl:3:28 `"dist/app.js"`: `b` makes this
              Envfile.kdl:2:28 `"dist"`: `a` makes this
              help: give each its own place, or make one task of them
            error[load/outputs]: `d` and `c` would write over each other's outputs
              Envfile.kdl:5:39 `"x.o"`: `d` makes this
              Envfile.kdl:4:36 `"obj/*.o"`: `c` makes this
              help: give each its own place, or make one task of them
            error[load/outputs]: `e` and `d` would write over each other's outputs
              Envfile.kdl:6:28 `"obj/**/*.d"`: `e` makes this
              Envfile.kdl:5:45 `"*.d"`: `d` makes this
              help: give each its own place, or make one task of them
            error[load/outputs]: `e` and `d` would write over each other's outputs
              Envfile.kdl:6:41 `"obj/x.d"`: `e` makes this
              Envfile.kdl:5:45 `"*.d"`: `d` makes this
              help: give each its own place, or make one task of them
            error[load/outputs]: `f` and `c` would write over each other's outputs
              Envfile.kdl:7:28 `"./dist2/../dist2"`: `f` makes this
              Envfile.kdl:4:28 `"dist2"`: `c` makes this
              help: give each its own place, or make one task of them
        "#]],
    );
}

#[test]
fn places_that_are_apart() {
    good(&[(
        "Envfile.kdl",
        r#"
        task "a" { outputs "dist" "a" "a/b"; run "true" }
        task "b" { outputs "dist-b" "b/*.o"; run "true" }
        task "c" { outputs "b/*.d" "b/**/*.x"; run "true" }
        task "d" { dir "sub"; outputs "dist"; run "true" }
        task "e" { outputs "lib/**" "!lib/keep"; run "true" }
        task "f" { outputs "lib/keep"; run "true" }
        "#,
    )]);
}

#[test]
fn patched_variants_of_one_node_are_one_node() {
    good(&[(
        "Envfile.kdl",
        r#"
        task "a" { outputs "dist"; run "true" }
        env "dev" { task "a" { outputs "dist" "dev" } }
        env "uat" { task "a" { outputs "uat" }; task "b" { outputs "dist"; run "true" } }
        "#,
    )]);
}

#[test]
fn an_environment_may_make_places_meet() {
    one(
        r#"
        vars { A "a"; B "b" }
        env "dev"
        env "uat" { vars { B "a" }; task "x" { outputs "plain/inner"; run "true" } }
        env "qa" extends="uat" { vars { B "c" } }
        task "one" { outputs "${A}/out"; run "true" }
        task "two" { outputs "${B}/out"; run "true" }
        task "three" { outputs "plain"; run "true" }
        task "four" { arg "to" default="plain"; outputs "${ARG_TO}"; run "true" }
        task "five" { outputs "r/${ENVRUN_REVISION}"; run "true" }
        task "six" { outputs "r/${ENVRUN_REVISION}/x"; run "true" }
        task "seven" { outputs "e/${ENVRUN_ENV}"; run "true" }
        task "eight" { outputs "e/dev"; run "true" }
        "#,
        expect![[r#"
            error[load/outputs]: `two` and `one` would write over each other's outputs
              Envfile.kdl:7:30 `"${B}/out"`: `two` makes this
              Envfile.kdl:6:30 `"${A}/out"`: `one` makes this
              help: give each its own place, or make one task of them
            error[load/outputs]: `three` and `x` would write over each other's outputs
              Envfile.kdl:8:32 `"plain"`: `three` makes this
              Envfile.kdl:4:56 `"plain/inner"`: `x` makes this
              help: give each its own place, or make one task of them
            error[load/outputs]: `four` and `three` would write over each other's outputs
              Envfile.kdl:9:57 `"${ARG_TO}"`: `four` makes this
              Envfile.kdl:8:32 `"plain"`: `three` makes this
              help: give each its own place, or make one task of them
            error[load/outputs]: `four` and `x` would write over each other's outputs
              Envfile.kdl:9:57 `"${ARG_TO}"`: `four` makes this
              Envfile.kdl:4:56 `"plain/inner"`: `x` makes this
              help: give each its own place, or make one task of them
            error[load/outputs]: `six` and `five` would write over each other's outputs
              Envfile.kdl:11:30 `"r/${ENVRUN_REVISION}/x"`: `six` makes this
              Envfile.kdl:10:31 `"r/${ENVRUN_REVISION}"`: `five` makes this
              help: give each its own place, or make one task of them
            error[load/outputs]: `eight` and `seven` would write over each other's outputs
              Envfile.kdl:13:32 `"e/dev"`: `eight` makes this
              Envfile.kdl:12:32 `"e/${ENVRUN_ENV}"`: `seven` makes this
              help: give each its own place, or make one task of them
        "#]],
    );
}

#[test]
fn outside_of_the_project() {
    check(
        &[
            (
                "Envfile.kdl",
                "include \"a\"\ninclude \"../t/x.kdl\"\ntask \"a\" { outputs \"../x\" \"/tmp/x\" \"!../y\"; depfile \"../d\"; run \"true\" }\ntask \"b\" { dir \"..\"; run \"true\" }\ntask \"c\" { dir \"sub\"; outputs \"../ok\"; run \"true\" }",
            ),
            ("a/Envfile.kdl", "task \"a\" { dir \"..\"; outputs \"ok2\"; run \"true\" }"),
            ("../t/x.kdl", "task \"x\" { dir \"here\"; run \"true\" }"),
        ],
        expect![[r#"
            error[load/outside]: the output `../x` lies outside the project
              Envfile.kdl:3:20 `"../x"`
              help: what a task reads and makes, and where it runs, is in the folder of the root Envfile or below
            error[load/outside]: the output `/tmp/x` lies outside the project
              Envfile.kdl:3:27 `"/tmp/x"`
              help: what a task reads and makes, and where it runs, is in the folder of the root Envfile or below
            error[load/outside]: the output `!../y` lies outside the project
              Envfile.kdl:3:36 `"!../y"`
              help: what a task reads and makes, and where it runs, is in the folder of the root Envfile or below
            error[load/outside]: the depfile `../d` lies outside the project
              Envfile.kdl:3:53 `"../d"`
              help: what a task reads and makes, and where it runs, is in the folder of the root Envfile or below
            error[load/outside]: the folder `..` lies outside the project
              Envfile.kdl:4:16 `".."`
              help: what a task reads and makes, and where it runs, is in the folder of the root Envfile or below
            error[load/outside]: the folder `../t/here` lies outside the project
              ../t/x.kdl:1:16 `"here"`
              help: what a task reads and makes, and where it runs, is in the folder of the root Envfile or below
        "#]],
    );
}

#[test]
fn globs_that_are_none() {
    one(
        "task \"a\" { inputs \"src/[a\" \"ok/*\" \"!{x\"; outputs \"[z-a]\"; run \"true\" }",
        expect![[r#"
            error[load/glob]: the input `src/[a` is not a pattern: `[` without `]`; write `\[` for the character itself
              Envfile.kdl:1:19 `"src/[a"`
            error[load/glob]: the input `!{x` is not a pattern: `{` without `}`; write `\{` for the character itself
              Envfile.kdl:1:35 `"!{x"`
            error[load/glob]: the output `[z-a]` is not a pattern: the range `z-a` goes backwards
              Envfile.kdl:1:50 `"[z-a]"`
        "#]],
    );
}
