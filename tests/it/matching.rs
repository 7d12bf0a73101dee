//! The environment that `match` chooses, and who is told which and why.

use expect_test::expect;

use crate::sandbox::Sandbox;

const ENVFILE: &str = r#"
vars { WHERE "nowhere" }
env "server" { match { set "SSH_CONNECTION" "SSH_TTY" }; vars { WHERE "far" } }
env "laptop" { match { unset "SSH_CONNECTION"; exec "true" name="the lid is open" }; vars { WHERE "near" } }
task "say" { inputs "Envfile.kdl"; run "echo $WHERE" }
task "same" { inputs "Envfile.kdl"; run "echo same" }
service "api" { run "sleep 600"; ready { exec "true" } }
"#;

#[test]
fn which_environment_was_chosen_and_why() {
    let mut sandbox = Sandbox::new(ENVFILE);
    let using = "using laptop because SSH_CONNECTION is not set, the lid is open succeeds (Envfile.kdl:4)";
    let dry = sandbox.run(&["-n", "say"]);
    assert!(dry.stderr.contains(using) && dry.stderr.contains("would run laptop.say"), "{}", dry.text());
    sandbox.check(
        &["say"],
        expect![[r#"
            exit: 0
            --- stdout
            near
            --- stderr
                 using laptop because SSH_CONNECTION is not set, the lid is open succeeds (Envfile.kdl:4)
                   run laptop.say because it never ran here
                  done laptop.say in [time]
            1 executed in [time]
        "#]],
    );
    // Also when nothing is left to do, and for whoever only looks.
    for args in [&["say"][..], &["why", "say"], &["show", "say"], &["env", "show"], &["doctor"]] {
        let ran = sandbox.ok(args);
        assert!(ran.stderr.contains(using), "{args:?} {}", ran.text());
    }
    let shown = sandbox.ok(&["show", "say", "--json"]);
    let shown: serde_json::Value = serde_json::from_str(&shown.stdout).unwrap();
    assert_eq!(shown["environment"], "laptop");
    let doctor = sandbox.ok(&["doctor", "--format", "json"]);
    let doctor: serde_json::Value = serde_json::from_str(&doctor.stdout).unwrap();
    assert_eq!(doctor["chosen"]["env"], "laptop");
    let up = sandbox.ok(&["up"]);
    assert!(up.stderr.contains(using), "{}", up.text());
    sandbox.ok(&["down"]);
    // A name wins, and nothing has to be said; nor where it makes no difference.
    for args in
        [&["laptop.say"][..], &["server.say"], &["-e", "server", "say"], &["same"], &["show", "server.say"]]
    {
        let ran = sandbox.ok(args);
        assert!(!ran.stderr.contains("using"), "{args:?} {}", ran.text());
    }
    sandbox.set("SSH_CONNECTION", "1.2.3.4");
    sandbox.set("SSH_TTY", "/dev/pts/1");
    let ran = sandbox.ok(&["say"]);
    assert!(
        ran.stderr.contains("using server because SSH_CONNECTION and SSH_TTY are set (Envfile.kdl:3)"),
        "{}",
        ran.text()
    );
    for (args, value) in
        [(&["laptop.say"][..], "near"), (&["-e", "laptop", "say"], "near"), (&["server.say"], "far")]
    {
        let ran = sandbox.ok(&[args, &["-B"]].concat());
        assert!(ran.stdout.contains(value) && !ran.stderr.contains("using"), "{args:?} {}", ran.text());
    }
    let json = sandbox.ok(&["-o", "json", "say"]);
    let first: serde_json::Value = serde_json::from_str(json.stdout.lines().next().unwrap()).unwrap();
    assert_eq!(
        first["chosen"],
        serde_json::json!({ "env": "server", "because": "SSH_CONNECTION and SSH_TTY are set (Envfile.kdl:3)" })
    );
}

#[test]
fn all_that_a_condition_lacks_is_told() {
    let mut sandbox = Sandbox::new(
        r#"
task "a" { guard { set "ONE" "TWO" "THREE"; unset "FOUR" "FIVE" }; run "true" }
task "b" { when { file "x" "y" "Envfile.kdl" }; run "true" }
"#,
    );
    for (name, value) in [("TWO", "2"), ("FOUR", "4"), ("FIVE", "5")] {
        sandbox.set(name, value);
    }
    sandbox.check(
        &["a"],
        expect![[r#"
            exit: 3
            --- stderr
            error: `a` is refused: ONE and THREE are not set (Envfile.kdl:2)
              hint: give ONE and THREE a value
            error: `a` is refused: FOUR and FIVE are set (Envfile.kdl:2)
              hint: `unset FOUR FIVE`
        "#]],
    );
    let ran = sandbox.ok(&["b"]);
    assert!(ran.stderr.contains("x and y do not exist"), "{}", ran.text());
}

#[test]
fn the_shells_value_that_a_nodes_own_variable_hides_is_told() {
    let mut sandbox = Sandbox::new(
        r#"
vars { GIVEN; BUILT "" }
task "own" { vars { GIVEN "mine"; BUILT "my ${BUILT}" }; run "echo $GIVEN $BUILT" }
task "other" { run "echo $GIVEN" }
"#,
    );
    sandbox.set("GIVEN", "shell");
    let own = sandbox.ok(&["own"]);
    assert!(own.stdout.contains("mine"), "{}", own.text());
    assert!(
        own.stderr.contains("GIVEN of your shell is not used: the `vars` of `own` gives it"),
        "{}",
        own.text()
    );
    let other = sandbox.ok(&["other"]);
    assert!(other.stdout.contains("shell") && !other.stderr.contains("is not used"), "{}", other.text());
}
