//! Variables: types, constraints, and what texts may mention.

use expect_test::expect;

use super::{good, one};

#[test]
fn values_are_held_to_their_types() {
    one(
        r#"
        vars {
            (port)A 0
            (port)B 65536
            (port)C "abc"
            (port)D 8080
            (url)E "localhost:80"
            (size)F "8 gigs"
            (duration)G "30"
            (enum)H "x" one-of="a|b"
            (enum)I "x"
            J 5 min=6
            K 5 max=4
            L "abc" pattern="[0-9]+"
            M "abc" min=1
            N 1 min=3 max=2
            O "x" pattern="("
            P 1.5 min=1
            (duration)Q "10s" min="1m"
            (size)R "1GiB" max="1MiB"
            (port)S "8080"
            (path)T ""
            U
            V "x" required=#false
            ENVRUN_X 1
        }
        "#,
        expect![[r#"
            error[load/value]: `A`: `0` is not a port, 1 to 65535
              Envfile.kdl:3:21 `0`
              Envfile.kdl:3:19 `A`: declared here
            error[load/value]: `B`: `65536` is not a port, 1 to 65535
              Envfile.kdl:4:21 `65536`
              Envfile.kdl:4:19 `B`: declared here
            error[load/value]: `C`: `abc` is not a port, 1 to 65535
              Envfile.kdl:5:21 `"abc"`
              Envfile.kdl:5:19 `C`: declared here
            error[load/value]: `E`: `localhost:80` is not an absolute URL such as `https://example.org/path`
              Envfile.kdl:7:20 `"localhost:80"`
              Envfile.kdl:7:18 `E`: declared here
            error[load/value]: `F`: `8 gigs` is not a size such as `512MiB` or `8GiB`
              Envfile.kdl:8:21 `"8 gigs"`
              Envfile.kdl:8:19 `F`: declared here
            error[load/value]: `G`: `30` is not a duration such as `30s`, `5m` or `1h30m`
              Envfile.kdl:9:25 `"30"`
              Envfile.kdl:9:23 `G`: declared here
            error[load/value]: `H`: `x` is not one of `a`, `b`
              Envfile.kdl:10:21 `"x"`
              Envfile.kdl:10:32 `"a|b"`: asked for here
            error[load/constraint]: `I` does not say which words it may be
              Envfile.kdl:11:19 `I`
              help: add `one-of="debug|info|error"`
            error[load/value]: `J`: `5` is below the least, 6
              Envfile.kdl:12:15 `5`
              Envfile.kdl:12:21 `6`: asked for here
            error[load/value]: `K`: `5` is above the greatest, 4
              Envfile.kdl:13:15 `5`
              Envfile.kdl:13:21 `4`: asked for here
            error[load/value]: `L`: `abc` does not match `[0-9]+`
              Envfile.kdl:14:15 `"abc"`
              Envfile.kdl:14:29 `"[0-9]+"`: asked for here
            error[load/constraint]: `min` and `max` mean nothing for a text
              Envfile.kdl:15:25 `1`
            error[load/value]: `N`: `1` is below the least, 3
              Envfile.kdl:16:15 `1`
              Envfile.kdl:16:21 `3`: asked for here
            error[load/constraint]: no value is at least `min` and at most `max`
              Envfile.kdl:16:21 `3`
              Envfile.kdl:16:27 `2`: less than `min`
            error[load/constraint]: `(` is not a regular expression: unclosed group
              Envfile.kdl:17:27 `"("`
            error[load/value]: `Q`: `10s` is below the least, 1m00s
              Envfile.kdl:19:25 `"10s"`
              Envfile.kdl:19:35 `"1m"`: asked for here
            error[load/value]: `R`: `1GiB` is above the greatest, 1.0 MiB
              Envfile.kdl:20:21 `"1GiB"`
              Envfile.kdl:20:32 `"1MiB"`: asked for here
            error[load/value]: `T`: `` is not a path
              Envfile.kdl:22:21 `""`
              Envfile.kdl:22:19 `T`: declared here
            error[load/reserved]: `ENVRUN_X` is given by envrun itself
              Envfile.kdl:25:13 `ENVRUN_X`
              help: names that begin with `ENVRUN_` are envrun's own: take another
        "#]],
    );
}

#[test]
fn overlays_change_values_never_types() {
    one(
        r#"
        vars { A 1 min=0; B "b"; C #true; D 1.5; (port)E 80; F; G "g" one-of="g|h"; H 2 max=5 }
        env "x" { vars { A "one"; B 2; C "true"; D 2; (url)E "http://h"; F 3; G "i"; H 6 } }
        env "y" { vars { A 1.5; (port)E 81; E 82; F "f"; H 5 } }
        env "z" extends="x" { vars { F "text"; A -1; NOPE #null; A2 "${A}"; D "${B}" } }
        "#,
        expect![[r#"
            error[load/type]: `A` is declared as a whole number, and here it is a text
              Envfile.kdl:3:28 `"one"`
              Envfile.kdl:2:18 `1`: declared here
              help: an overlay changes the value, never the type
            error[load/type]: `B` is declared as a text, and here it is a whole number
              Envfile.kdl:3:37 `2`
              Envfile.kdl:2:29 `"b"`: declared here
              help: an overlay changes the value, never the type
            error[load/type]: `C` is declared as `#true` or `#false`, and here it is a text
              Envfile.kdl:3:42 `"true"`
              Envfile.kdl:2:36 `#true`: declared here
              help: an overlay changes the value, never the type
            error[load/type]: `E` is declared as a port, 1 to 65535, and here it is an absolute URL such as `https://example.org/path`
              Envfile.kdl:3:60 `E`
              Envfile.kdl:2:58 `80`: declared here
              help: an overlay changes the value, never the type
            error[load/value]: `G`: `i` is not one of `g`, `h`
              Envfile.kdl:3:81 `"i"`
              Envfile.kdl:2:78 `"g|h"`: asked for here
            error[load/value]: `H`: `6` is above the greatest, 5
              Envfile.kdl:3:88 `6`
              Envfile.kdl:2:93 `5`: asked for here
            error[load/type]: `A` is declared as a whole number, and here it is a number
              Envfile.kdl:4:28 `1.5`
              Envfile.kdl:2:18 `1`: declared here
              help: an overlay changes the value, never the type
            error[syntax/duplicate]: the variable `E` is declared twice
              Envfile.kdl:4:45 `E`
              Envfile.kdl:4:39 `E`: declared here first
              help: rename one of them, or take one away
            error[load/value]: `A`: `-1` is below the least, 0
              Envfile.kdl:5:50 `-1`
              Envfile.kdl:2:24 `0`: asked for here
            error[load/null]: there is no inherited `NOPE` to take away
              Envfile.kdl:5:54 `NOPE`
        "#]],
    );
}

#[test]
fn task_variables_are_an_overlay_too() {
    one(
        "vars { (port)PORT 80; N 1 max=3 }\ntask \"t\" { vars { PORT \"x\"; N 4; OWN 1 }; run \"true\" }\nenv \"prod\" { vars { N 2 max=10 }; task \"t\" { vars { OWN \"2\"; N 5 } } }",
        expect![[r#"
            error[load/value]: `PORT`: `x` is not a port, 1 to 65535
              Envfile.kdl:2:24 `"x"`
              Envfile.kdl:1:14 `PORT`: declared here
            error[load/value]: `N`: `4` is above the greatest, 3
              Envfile.kdl:2:31 `4`
              Envfile.kdl:1:31 `3`: asked for here
            error[load/type]: `OWN` is declared as a whole number, and here it is a text
              Envfile.kdl:3:57 `"2"`
              Envfile.kdl:2:38 `1`: declared here
              help: an overlay changes the value, never the type
        "#]],
    );
}

#[test]
fn names_that_nobody_declares() {
    one(
        r#"
        vars {
            HOST "localhost"
            URL "http://${HOTS}:${PORT:-80}/$PATHH"
            ESCAPED "$${NOT} $$NEITHER costs 5$ $1"
            BROKEN "${HOST" BAD="x"
            ODD "${HOST%.x} ${}"
        }
        task "t" {
            dir "${DIR}"
            inputs "src/${HOST}/*" "${INPUT}"
            outputs "out/${OUTPUT}" "${ARG_X}/${ENVRUN_ENV}/${MATRIX_Y}/${HOME}"
            depfile "$DEP"
            vars { OWN "${HSOT}" }
            run "echo" "${WORD} ${OWN} $NOT ${NAME%.c}"
            run "echo $local ${other}"
        }
        service "s" { run "x $y"; url "http://${NOPE}"; ready { tcp "localhost:${HOSTT}"; exec "echo $fine" } }
        deploy "d" { tag "v-${VERSION}"; run "x"; render "${FILE}" format="dotenv" }
        "#,
        expect![[r#"
            error[load/undeclared]: `HOTS` is not declared
              Envfile.kdl:4:25 `${HOTS}`
              help: did you mean `HOST`?
            error[load/undeclared]: `PATHH` is not declared
              Envfile.kdl:4:45 `$PATHH`
              help: declare it in `vars`, or give it a default: `${PATHH:-…}`; `$$PATHH` is the text itself
            error[load/interpolation]: `${HOST` cannot be replaced: its `}` is missing, or it stands too deep in others
              Envfile.kdl:6:21 `${HOST`
              help: write `$${` for the characters themselves
            error[syntax/unknown-property]: unknown property `BAD` of `BROKEN`
              Envfile.kdl:6:29 `BAD`
              help: its properties are `min`, `max`, `one-of`, `pattern`, `desc`, `required`
            error[load/interpolation]: `${HOST%.x}` cannot be replaced: outside a shell there are only `${NAME}`, `${NAME:-default}` and `${NAME:+other}`
              Envfile.kdl:7:18 `${HOST%.x}`
              help: write `$${` for the characters themselves
            error[load/interpolation]: `${}` cannot be replaced: there is no name in it
              Envfile.kdl:7:29 `${}`
              help: write `$${` for the characters themselves
            error[load/undeclared]: `DIR` is not declared
              Envfile.kdl:10:18 `${DIR}`
              help: declare it in `vars`, or give it a default: `${DIR:-…}`; `$${DIR}` is the text itself
            error[load/undeclared]: `INPUT` is not declared
              Envfile.kdl:11:37 `${INPUT}`
              help: declare it in `vars`, or give it a default: `${INPUT:-…}`; `$${INPUT}` is the text itself
            error[load/undeclared]: `OUTPUT` is not declared
              Envfile.kdl:12:26 `${OUTPUT}`
              help: declare it in `vars`, or give it a default: `${OUTPUT:-…}`; `$${OUTPUT}` is the text itself
            error[load/undeclared]: `DEP` is not declared
              Envfile.kdl:13:22 `$DEP`
              help: declare it in `vars`, or give it a default: `${DEP:-…}`; `$$DEP` is the text itself
            error[load/undeclared]: `HSOT` is not declared
              Envfile.kdl:14:25 `${HSOT}`
              help: did you mean `HOST`?
            error[load/undeclared]: `WORD` is not declared
              Envfile.kdl:15:25 `${WORD}`
              help: did you mean `ODD`?
            error[load/undeclared]: `NOPE` is not declared
              Envfile.kdl:18:47 `${NOPE}`
              help: declare it in `vars`, or give it a default: `${NOPE:-…}`; `$${NOPE}` is the text itself
            error[load/undeclared]: `HOSTT` is not declared
              Envfile.kdl:18:80 `${HOSTT}`
              help: did you mean `HOST`?
            error[load/undeclared]: `VERSION` is not declared
              Envfile.kdl:19:29 `${VERSION}`
              help: declare it in `vars`, or give it a default: `${VERSION:-…}`; `$${VERSION}` is the text itself
            error[load/undeclared]: `FILE` is not declared
              Envfile.kdl:19:59 `${FILE}`
              help: declare it in `vars`, or give it a default: `${FILE:-…}`; `$${FILE}` is the text itself
        "#]],
    );
}

#[test]
fn any_environment_may_declare_a_name_and_so_may_a_dotenv_file_or_an_outer_project() {
    good(&[
        (
            "Envfile.kdl",
            "include \"a\"\nvars { OUTER 1 }\nenv \"x\" { vars { ONLY 1 }; secrets { S } }\ntask \"t\" { inputs \"${ONLY}\" \"${S}\"; run \"true\" }",
        ),
        ("a/Envfile.kdl", "vars { X \"${OUTER}\" }\ntask \"t\" { run \"echo\" \"${ONLY}\" }"),
    ]);
    good(&[("Envfile.kdl", "dotenv \".env\"\ntask \"t\" { inputs \"${ANY}\"; run \"true\" }")]);
    // The words of a task that is called may be about its caller's names.
    good(&[("Envfile.kdl", "task \"t\" { vars { X 1 }; call \"u\" }\ntask \"u\" { run \"echo\" \"${X}\" }")]);
}

#[test]
fn circles_of_variables() {
    one(
        r#"
        vars { A "${B}"; B "x${C}"; C "1"; ME "${ME}"; FINE "${FINE:-1}"; PATH "bin:${PATH}"; UP "1" }
        env "x" { vars { C "${A}"; UP "${UP}2" } }
        env "y" extends="x"
        "#,
        expect![[r#"
            error[load/cycle]: variables mention each other in a circle: `A → B → C → A`
              Envfile.kdl:2:19 `${B}`: `A` mentions `B`
              Envfile.kdl:2:30 `${C}`: `B` mentions `C`
              Envfile.kdl:3:29 `${A}`: `C` mentions `A`
            error[load/cycle]: variables mention each other in a circle: `ME → ME`
              Envfile.kdl:2:48 `${ME}`: `ME` mentions `ME`
              help: no layer below gives it a value; `${ME:-}` takes the caller's, or nothing if he has none
        "#]],
    );
}

#[test]
fn secrets_have_no_values_here() {
    one(
        "secrets { A \"hunter2\"; B generate=\"hex\" on-rotate=\"nope\" }",
        expect![[r#"
        error[syntax/secret-value]: a secret has no value here
          Envfile.kdl:1:13 `"hunter2"`
          help: a secret's value does not stand in the Envfile: take it out, and store it with `envrun secret set`
        error[load/unknown-node]: there is no node `nope`
          Envfile.kdl:1:51 `"nope"`
    "#]],
    );
}
