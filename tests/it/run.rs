//! Runs: what begins, what is skipped, what is passed to commands, what is said.

use expect_test::expect;

use crate::sandbox::Sandbox;

#[test]
fn a_failure_stops_what_follows_and_is_told_last() {
    let sandbox = Sandbox::new(
        r##"
        task "broken" {
            hint "look at the moon"
            run "echo to the one; echo to the other >&2; exit 3"
        }
        task "after-it" { needs "broken"; run "touch never" }
        "##,
    );
    sandbox.check(
        &["after-it"],
        expect![[r#"
        exit: 1
        --- stdout
        broken   | to the one
        --- stderr
               run broken because it has no inputs or outputs, so it always runs
        broken   | to the other
            failed broken after [time]: exit status 3

        error: `broken` failed after [time]: exit status 3
          command: echo to the one; echo to the other >&2; exit 3
          directory: .
          because: it has no inputs or outputs, so it always runs
          log: .envrun/runs/[run]/logs/broken.log
        hint: look at the moon

        1 blocked, 1 failed in [time]
    "#]],
    );
    assert!(!sandbox.exists("never"));
}

#[test]
fn keep_going_runs_exactly_what_does_not_depend_on_the_failure() {
    let sandbox = Sandbox::new(
        r#"
        task "bad" { run "false" }
        task "good" { run "touch good" }
        task "needs-bad" { needs "bad"; run "touch needs-bad" }
        task "needs-good" { needs "good"; run "touch needs-good" }
        task "all" { needs "needs-bad" "needs-good" }
        "#,
    );
    let ran = sandbox.run(&["-k", "-j1", "all"]);
    assert_eq!(ran.exit, 1, "{}", ran.text());
    assert!(sandbox.exists("needs-good") && !sandbox.exists("needs-bad"), "{}", ran.text());
    assert!(ran.stderr.contains("2 executed, 1 blocked, 1 failed"), "{}", ran.text());
}

#[test]
fn arguments_are_checked_before_anything_runs() {
    let sandbox = Sandbox::new(
        r##"
        task "bump" {
            desc "Raise the version"
            arg "level" one-of="major|minor|patch" desc="which part"
            arg "count" default=1 min=1 max=9
            flag "push" desc="push the tag"
            run #"echo "$ARG_LEVEL $ARG_COUNT ${ARG_PUSH:-no}""#
        }
        task "files" {
            arg "file" repeat=#true
            run #"printf '[%s]' "$ARG_FILE""#
        }
        "##,
    );
    sandbox.check(
        &["bump", "minor", "--push"],
        expect![[r#"
        exit: 0
        --- stdout
        minor 1 true
        --- stderr
               run bump because it has no inputs or outputs, so it always runs
              done bump in [time]
        1 executed in [time]
    "#]],
    );
    sandbox.check(
        &["bump", "huge"],
        expect![[r#"
        exit: 2
        --- stderr
        error: `huge` for `level` of `bump` is not one of `major`, `minor`, `patch`
        hint: `envrun bump --help`
    "#]],
    );
    sandbox.check(
        &["bump"],
        expect![[r#"
        exit: 2
        --- stderr
        error: `bump` wants a value for `level`
        hint: `envrun bump --help`
    "#]],
    );
    sandbox.check(
        &["bump", "minor", "12"],
        expect![[r#"
        exit: 2
        --- stderr
        error: `12` for `count` of `bump` is above the greatest, 9
        hint: `envrun bump --help`
    "#]],
    );
    sandbox.check(
        &["bump", "minor", "--psuh"],
        expect![[r#"
        exit: 2
        --- stderr
        error: neither `bump` nor envrun has an option `--psuh`
        hint: did you mean `--push`?
    "#]],
    );
    sandbox.check(
        &["bump", "--help"],
        expect![[r#"
        exit: 0
        --- stdout
        Raise the version

        usage: envrun bump <level> [count] [--push]

        arguments:
          level   which part [one of major, minor, patch]
          count   [at least 1; at most 9; default: 1]
          --push  push the tag
    "#]],
    );
    sandbox.check(
        &["-o", "errors", "files", "a", "b", "--", "-c"],
        expect![[r#"
        exit: 0
        --- stderr
               run files because it has no inputs or outputs, so it always runs
              done files in [time]
        1 executed in [time]
    "#]],
    );
    sandbox.check(
        &["bump", "minor", "--", "3", "4"],
        expect![[r#"
        exit: 2
        --- stderr
        error: `bump` does not take so many arguments: `4` is too many
        hint: `envrun bump --help`
    "#]],
    );
}

#[test]
fn only_declared_variables_reach_a_cacheable_task() {
    let mut sandbox = Sandbox::new(
        r##"
        vars { SEEN "yes"; UNSEEN "no"; LISTED "also" }
        task "narrow" {
            inputs "Envfile.kdl"
            uses "LISTED"
            run #"echo "$SEEN"; env | cut -d= -f1 | sort | tr '\n' ' '"#
        }
        task "wide" { run #"echo "$SEEN $UNSEEN $CALLER""# }
        "##,
    );
    sandbox.set("CALLER", "mine");
    sandbox.check(
        &["-o", "errors", "narrow"],
        expect![[r#"
        exit: 0
        --- stderr
               run narrow because it never ran here
              done narrow in [time]
        1 executed in [time]
    "#]],
    );
    let narrow = sandbox.ok(&["-o", "stream", "-B", "narrow"]);
    let names = narrow.stdout.lines().nth(1).unwrap_or_default().trim().to_owned();
    expect!["HOME LISTED MAKEFLAGS PATH PWD SEEN"].assert_eq(&names);
    assert_eq!(sandbox.ok(&["-o", "stream", "wide"]).stdout, "yes no mine\n");
}

#[test]
fn environments_propagate_and_equal_tasks_are_one() {
    let sandbox = Sandbox::new(
        r##"
        project "p" default-env="dev"
        vars { NAME "root"; LEVEL "x" }
        env "dev"
        env "uat" { vars { NAME "uat" } }
        env "prod" { vars { NAME "prod" } }
        task "build" {
            outputs "built"
            run "echo once >> log; echo made > built"
        }
        task "config" { outputs "config-${NAME}"; run #"echo "$NAME" > "config-$NAME""# }
        task "deploy" { needs "build" "config" "dev.check"; run #"cat "config-$NAME""# }
        task "check" { run #"echo "checked in $ENVRUN_ENV" >> log"# }
        "##,
    );
    sandbox.check(
        &["-j1", "uat.deploy", "prod.deploy"],
        expect![[r#"
        exit: 0
        --- stdout
        uat.deploy  | uat
        prod.deploy | prod
        --- stderr
               run build because it never ran here
              done build in [time]
               run uat.config because it never ran here
              done uat.config in [time]
               run dev.check because it has no inputs or outputs, so it always runs
              done dev.check in [time]
               run prod.config because it never ran here
              done prod.config in [time]
               run uat.deploy because it has no inputs or outputs, so it always runs
              done uat.deploy in [time]
               run prod.deploy because it has no inputs or outputs, so it always runs
              done prod.deploy in [time]
        6 executed in [time]
    "#]],
    );
    assert_eq!(sandbox.read("log"), "once\nchecked in dev\n");
}

#[test]
fn conditions_skip_and_what_needs_them_is_skipped_too() {
    let sandbox = Sandbox::new(
        r#"
        env "build" { when { set "RELEASE" } }
        task "maybe" { when { file "there" }; run "touch ran" }
        task "then" { needs "maybe"; run "touch then" }
        task "package" { run "touch packaged" }
        "#,
    );
    sandbox.check(
        &["then"],
        expect![[r#"
        exit: 0
        --- stderr
           skipped maybe because there does not exist
           skipped then because `maybe` was skipped
        2 skipped in [time]
    "#]],
    );
    sandbox.check(
        &["build.package"],
        expect![[r#"
        exit: 0
        --- stderr
           skipped build.package because RELEASE is not set
        1 skipped in [time]
    "#]],
    );
    sandbox.write("there", "");
    sandbox.ok(&["then"]);
    assert!(sandbox.exists("then") && !sandbox.exists("packaged"));
}

#[test]
fn done_means_already_there() {
    let sandbox = Sandbox::new(
        r#"
        task "tag" { done "test -e tag"; run "touch tag" }
        task "push" { needs "tag"; run "test -e tag" }
        "#,
    );
    sandbox.check(
        &["-j1", "push"],
        expect![[r#"
        exit: 0
        --- stderr
               run tag because its `done` is not true yet
              done tag in [time]
               run push because it has no inputs or outputs, so it always runs
              done push in [time]
        2 executed in [time]
    "#]],
    );
    sandbox.check(
        &["-j1", "push"],
        expect![[r#"
        exit: 0
        --- stderr
               run push because it has no inputs or outputs, so it always runs
              done push in [time]
        1 executed, 1 already done in [time]
    "#]],
    );
}

#[test]
fn retries_and_timeouts() {
    let sandbox = Sandbox::new(
        r##"
        task "third-time" { retry 3 every="1ms"; run #"echo try >> tries; test "$(wc -l < tries)" -ge 3"# }
        task "only-75" { retry 5 every="1ms" on="exit:75"; run "echo try >> other; exit 1" }
        task "slow" { timeout "100ms"; run "sleep 1000" }
        "##,
    );
    sandbox.check(
        &["third-time"],
        expect![[r#"
        exit: 0
        --- stderr
               run third-time because it has no inputs or outputs, so it always runs
             retry third-time after try 1 of 4: exit status 1; the next one in [time]
             retry third-time after try 2 of 4: exit status 1; the next one in [time]
              done third-time in [time]
        1 executed in [time]
    "#]],
    );
    sandbox.check(
        &["only-75"],
        expect![[r#"
            exit: 1
            --- stderr
                   run only-75 because it has no inputs or outputs, so it always runs
                failed only-75 after [time]: exit status 1

            error: `only-75` failed after [time]: exit status 1
              command: echo try >> other; exit 1
              directory: .
              because: it has no inputs or outputs, so it always runs
              output: none

            1 failed in [time]
        "#]],
    );
    assert_eq!(sandbox.read("other"), "try\n");
    sandbox.check(
        &["slow"],
        expect![[r#"
            exit: 1
            --- stderr
                   run slow because it has no inputs or outputs, so it always runs
                failed slow after [time]: took longer than [time]

            error: `slow` failed after [time]: took longer than [time]
              command: sleep 1000
              directory: .
              because: it has no inputs or outputs, so it always runs
              output: none

            1 failed in [time]
        "#]],
    );
}

#[test]
fn calls_run_in_place_and_exports_reach_later_actions() {
    let sandbox = Sandbox::with(&[
        (
            "Envfile.kdl",
            r##"
        include "lib/steps.kdl" as="lib"
        task "release" {
            vars { WHO "caller" }
            call "lib.first"
            run #"echo "then $FOUND""#
            call "lib.second"
        }
        "##,
        ),
        (
            "lib/steps.kdl",
            r##"
        task "first" { run #"echo "first for $WHO in $(basename "$PWD")"; echo "FOUND=it is here" >> "$ENVRUN_EXPORT""# }
        task "second" { done "test -e second"; run #"echo "second has $FOUND"; touch second"# }
        "##,
        ),
    ]);
    assert_eq!(
        sandbox.ok(&["-o", "stream", "release"]).stdout,
        "first for caller in project\nthen it is here\nsecond has it is here\n"
    );
    assert_eq!(
        sandbox.ok(&["-o", "stream", "release"]).stdout,
        "first for caller in project\nthen it is here\n"
    );
}

#[test]
fn follow_ups_come_after_how_it_ended() {
    let sandbox = Sandbox::new(
        r#"
        task "ok" { on-success "yes"; on-fail "no"; run "true" }
        task "ko" { on-success "yes"; on-fail "no"; run "exit 3" }
        task "yes" { run "touch yes" }
        task "no" { run "echo $ENVRUN_FAILED, $ENVRUN_REASON, $ENVRUN_FAILED_RUN $ENVRUN_RUN > no" }
        "#,
    );
    sandbox.ok(&["ok"]);
    assert!(sandbox.exists("yes") && !sandbox.exists("no"));
    let ran = sandbox.run(&["ko"]);
    assert_eq!(ran.exit, 1, "{}", ran.text());
    let told = sandbox.read("no");
    let run = told.trim_end().rsplit(' ').next().unwrap().to_owned();
    assert_eq!(told, format!("ko, `ko`: exit status 3, {run} {run}\n"));
    assert!(run.len() > 10, "{told}");
}

#[test]
fn what_a_command_leaves_running_is_told() {
    let sandbox = Sandbox::new("task \"serve\" { run \"sleep 600 > /dev/null 2>&1 &\" }");
    let ran = sandbox.ok(&["serve"]);
    assert!(
        ran.stderr.contains("what `sleep 600 > /dev/null 2>&1 &` left running was ended with it"),
        "{}",
        ran.text()
    );
    assert!(ran.stderr.contains("begins a session of its own"), "{}", ran.text());
}

#[test]
fn a_question_prints_nothing_and_answers_by_status() {
    let sandbox = Sandbox::new(r#"task "make" { inputs "Envfile.kdl"; outputs "made"; run "touch made" }"#);
    sandbox.check(
        &["-q", "make"],
        expect![[r#"
        exit: 4
    "#]],
    );
    assert!(!sandbox.exists("made"));
    sandbox.ok(&["make"]);
    sandbox.check(
        &["-q", "make"],
        expect![[r#"
            exit: 0
        "#]],
    );
}

#[test]
fn forcing_runs_the_named_or_everything() {
    let sandbox = Sandbox::new(
        r#"
        task "low" { inputs "Envfile.kdl"; outputs "low"; run "echo low >> log; touch low" }
        task "high" { needs "low"; outputs "high"; run "echo high >> log; touch high" }
        "#,
    );
    sandbox.ok(&["high"]);
    sandbox.ok(&["high"]);
    assert_eq!(sandbox.read("log"), "low\nhigh\n");
    sandbox.ok(&["-B", "high"]);
    assert_eq!(sandbox.read("log"), "low\nhigh\nhigh\n");
    sandbox.ok(&["--force-all", "high"]);
    assert_eq!(sandbox.read("log"), "low\nhigh\nhigh\nlow\nhigh\n");
}

#[test]
fn words_that_are_not_built_yet_are_said_when_a_run_needs_them() {
    let sandbox = Sandbox::new(
        r#"
        task "many" { matrix { os "a" "b" }; run "true" }
        task "all" { needs "many" }
        task "fine" { run "true" }
        "#,
    );
    sandbox.ok(&["fine"]);
    sandbox.check(
        &["all"],
        expect![[r#"
        exit: 2
        --- stderr
        Envfile.kdl:2:23: error: `matrix` is not built yet [graph/not-built]
          help: take it out, or run something that does not need it
    "#]],
    );
}

#[test]
fn guards_refuse_before_anything_runs() {
    let sandbox = Sandbox::new(
        r#"
        env "prod" { guard { set "APPROVED"; unset "HOME" } }
        task "prepare" { run "touch prepared" }
        task "deploy" { needs "prepare"; mutates #true; run "touch deployed" }
        "#,
    );
    sandbox.check(
        &["prod.deploy"],
        expect![[r#"
            exit: 3
            --- stderr
            error: `prod.deploy` is refused: APPROVED is not set (Envfile.kdl:2)
              hint: give APPROVED a value
            error: `prod.deploy` is refused: HOME is set (Envfile.kdl:2)
              hint: `unset HOME`
        "#]],
    );
    assert!(!sandbox.exists("prepared") && !sandbox.exists("deployed"));
}

#[test]
fn a_pool_and_an_order_without_a_need() {
    let sandbox = Sandbox::new(
        r#"
        pool "one" 1
        task "a" { pool "one"; run "mkdir lock; rmdir lock" }
        task "b" { pool "one"; run "mkdir lock; rmdir lock" }
        task "c" { pool "one"; run "mkdir lock; rmdir lock" }
        task "first" { run "echo first >> log" }
        task "second" { after "first"; run "echo second >> log" }
        "#,
    );
    sandbox.ok(&["-j4", "a", "b", "c"]);
    sandbox.ok(&["-j4", "second", "first"]);
    assert_eq!(sandbox.read("log"), "first\nsecond\n");
    sandbox.ok(&["second"]);
}

#[test]
fn dotenv_files_and_set() {
    let sandbox = Sandbox::with(&[
        (
            "Envfile.kdl",
            r##"
        vars { A "root"; B "root"; (port)PORT 80 }
        dotenv ".env"
        dotenv ".env.local" optional=#true
        env "prod" { vars { B "prod" } }
        task "print" { run #"echo "$A $B $PORT""# }
        "##,
        ),
        (".env", "A='$literal'\nB=file\n"),
    ]);
    assert_eq!(sandbox.ok(&["-o", "stream", "print"]).stdout, "$literal file 80\n");
    assert_eq!(sandbox.ok(&["-o", "stream", "prod.print"]).stdout, "$literal prod 80\n");
    assert_eq!(sandbox.ok(&["-o", "stream", "-s", "B=set", "prod.print"]).stdout, "$literal set 80\n");
    sandbox.check(
        &["-s", "PORT=none", "print"],
        expect![[r#"
        exit: 2
        --- stderr
        Envfile.kdl:2:42: error: `PORT` from --set: `none` is not a port, 1 to 65535 [vars/invalid-value]
    "#]],
    );
    sandbox.check(
        &["-s", "PROT=1", "print"],
        expect![[r#"
        exit: 2
        --- stderr
        error: `--set PROT=…`: there is no variable `PROT` in the Envfile
        hint: did you mean `PORT`?
    "#]],
    );
}

#[test]
fn a_declared_name_wins_over_the_callers_shell_and_says_so() {
    let mut sandbox = Sandbox::new(
        r##"
        vars { LEVEL "envfile"; OTHER "x"; PATH "bin:${PATH}" }
        env "prod" { vars { LEVEL "prod" } }
        task "print" { run #"echo "$LEVEL"; test -n "$PATH""# }
        "##,
    );
    sandbox.set("LEVEL", "shell");
    sandbox.set("OTHER", "not read");
    sandbox.check(
        &["prod.print"],
        expect![[r#"
        exit: 0
        --- stdout
        prod
        --- stderr
        warning: `prod.print`: LEVEL of your shell is not used: environment prod gives it
        hint: `--set LEVEL=…` gives it another value for one run
               run prod.print because it has no inputs or outputs, so it always runs
              done prod.print in [time]
        1 executed in [time]
    "#]],
    );
}

#[test]
fn names_on_the_command_line_have_their_nearest() {
    let sandbox = Sandbox::new(
        r#"
        env "base" abstract=#true
        env "prod" extends="base" { task "only-prod" { run "true" } }
        task "deploy" { run "true" }
        "#,
    );
    sandbox.check(
        &["prod.deplyo"],
        expect![[r#"
        exit: 2
        --- stderr
        error: there is no node `prod.deplyo`
        hint: did you mean `prod.deploy`?
    "#]],
    );
    sandbox.check(
        &["prd.deploy"],
        expect![[r#"
        exit: 2
        --- stderr
        error: there is no node `prd.deploy`
        hint: did you mean `prod.deploy`?
    "#]],
    );
    sandbox.check(
        &["base.deploy"],
        expect![[r#"
        exit: 2
        --- stderr
        error: environment `base` is abstract
        hint: name one that a run can be in: `prod`
    "#]],
    );
    sandbox.check(
        &["only-prod"],
        expect![[r#"
        exit: 2
        --- stderr
        error: `only-prod` is not in every environment, and none is named
        hint: there is `prod.only-prod`
    "#]],
    );
    sandbox.check(
        &["--jbos", "3", "deploy"],
        expect![[r#"
        exit: 2
        --- stderr
        error: envrun has no option `--jbos`
        hint: did you mean `--jobs`?
    "#]],
    );
    sandbox.check(
        &["deploy", "--dryrun"],
        expect![[r#"
        exit: 2
        --- stderr
        error: neither `deploy` nor envrun has an option `--dryrun`
        hint: did you mean `--dry-run`?
    "#]],
    );
    sandbox.check(
        &["-C", "nowhere", "deploy"],
        expect![[r#"
        exit: 2
        --- stderr
        error: cannot work in the folder nowhere: No such file or directory (os error 2)
    "#]],
    );
    sandbox.check(
        &["-f", "nowhere.kdl", "deploy"],
        expect![[r#"
        exit: 2
        --- stderr
        error: cannot read `$ROOT/nowhere.kdl`: No such file or directory (os error 2)
    "#]],
    );
}

#[test]
fn several_runs_in_one_checkout_share_the_work() {
    let mut text = String::new();
    for at in 0..12 {
        let needs = if at > 0 { format!("needs \"t{}\"; ", at - 1) } else { String::new() };
        text += &format!(
            "task \"t{at}\" {{ {needs}inputs \"in\"; outputs \"out{at}\"; run \"echo t{at} >> log; sleep 0.02; cat in > out{at}\" }}\n"
        );
    }
    let sandbox = Sandbox::with(&[("Envfile.kdl", &text), ("in", "1")]);
    for round in 1..=3 {
        sandbox.write("in", format!("{round}"));
        let runs: Vec<_> = (0..4)
            .map(|_| {
                let mut command = sandbox.command(&["t11"]);
                command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
                command.spawn().unwrap()
            })
            .collect();
        for run in runs {
            let ran = sandbox.ran(run.wait_with_output().unwrap());
            assert_eq!(ran.exit, 0, "{}", ran.text());
        }
        assert_eq!(sandbox.read("out11"), format!("{round}"));
        assert_eq!(
            sandbox.read("log").lines().count(),
            12 * round,
            "each task runs once\n{}",
            sandbox.read("log")
        );
    }
}

#[test]
fn a_variable_of_the_machine_is_in_the_key_of_a_task_that_mentions_it() {
    let mut sandbox = Sandbox::new(
        r#"
        task "says" { outputs "says"; run "echo $LANG > says" }
        task "lists" { outputs "lists"; uses "LANG"; run "printenv LANG > lists" }
        task "ignores" { outputs "ignores"; run "touch ignores" }
        task "all" { needs "says" "lists" "ignores" }
        "#,
    );
    sandbox.set("LANG", "C");
    sandbox.ok(&["all"]);
    sandbox.set("LANG", "C.UTF-8");
    let ran = sandbox.ok(&["all"]);
    assert_eq!((sandbox.read("says"), sandbox.read("lists")), ("C.UTF-8\n".into(), "C.UTF-8\n".into()));
    assert!(ran.stderr.contains("2 executed, 1 up to date"), "{}", ran.text());
    sandbox.set("LANG", "C");
    sandbox.ok(&["all"]);
    assert_eq!(sandbox.read("says"), "C\n");
}

#[test]
fn one_output_of_two_environments_is_refused() {
    let sandbox = Sandbox::new(
        r#"
vars { V "1" }
env "a" { vars { V "2" } }
env "b" { vars { V "3" } }
task "site" { outputs "dist"; run "echo $V > dist" }
task "all" { needs "a.site" "b.site" }
"#,
    );
    sandbox.check(
        &["a.all"],
        expect![[r#"
            exit: 2
            --- stderr
            Envfile.kdl:5:23: error: `a.site` and `b.site` would write over each other's output `dist` [graph/outputs]
              help: give each environment its own place, with `${ENVRUN_ENV}` in it, or run one after the other
        "#]],
    );
    sandbox.ok(&["a.site"]);
    sandbox.ok(&["b.site"]);
    sandbox.ok(&["graph", "a.all"]);
}

#[test]
fn a_first_envfile_has_names_that_an_envfile_may_have() {
    let sandbox = Sandbox::with(&[
        ("package.json", r#"{"scripts": {"a b:c": "echo 1", "--x": "echo 2", "@": "echo 3"}}"#),
        ("Makefile", "all: x,y\n"),
    ]);
    sandbox.ok(&["init"]);
    sandbox.ok(&["check"]);
    sandbox.ok(&["show", "a-b-c"]);
}

#[test]
fn a_run_that_never_was_is_asked_for_in_vain() {
    Sandbox::new("task \"a\" { run \"true\" }").check(
        &["log", "nope"],
        expect![[r#"
            exit: 2
            --- stderr
            error: there is no run `nope` in this project
            hint: `envrun log` lists the runs
        "#]],
    );
}

#[test]
fn a_branch_cannot_be_asked_without_a_repository() {
    let sandbox = Sandbox::new(
        r#"
        task "deploy" { when { branch "main" }; run "touch deployed" }
        task "typo" { inputs "nothing-here/**"; run "true" }
        "#,
    );
    let ran = sandbox.run(&["deploy"]);
    assert_eq!(ran.exit, 3, "{}", ran.text());
    assert!(ran.stderr.contains("needs a git repository"), "{}", ran.text());
    assert!(!sandbox.exists("deployed"));
    sandbox.ok(&["typo"]);
    assert_eq!(
        sandbox.run(&["--strict", "typo"]).exit,
        2,
        "a glob that matches nothing is an error with --strict"
    );
}

#[test]
fn an_interactive_command_that_ends_by_ctrl_c_interrupts_the_run() {
    let sandbox = Sandbox::new(
        r#"
        task "ask" { interactive #true; run "kill -INT $$" }
        task "then" { needs "ask"; run "touch then" }
        "#,
    );
    let ran = sandbox.run(&["then"]);
    assert_eq!(ran.exit, 130, "{}", ran.text());
    assert!(!sandbox.exists("then"));
}

/// An included project is its own root in its own folder; what is missing there may be in what includes it.
#[test]
fn the_nearest_envfile_is_the_root_and_who_includes_it_is_named() {
    let sandbox = Sandbox::with(&[
        (
            "Envfile.kdl",
            "include \"services/*\"\nenv \"prod\"\nvars { WHO \"all\" }\ntask \"a\" { run \"echo $WHO\" }\n",
        ),
        ("services/api/Envfile.kdl", "vars { WHO \"api\" }\ntask \"a\" { run \"echo $WHO\" }\n"),
        ("services/api/src/x", ""),
        ("services/lonely/Envfile.kdl", "task \"b\" { run \"true\" }\n"),
    ]);
    let inside = |args: &[&str]| sandbox.run(&[&["-C", "services/api/src"], args].concat());
    assert!(inside(&["a", "-o", "stream"]).text().contains("api"));
    let hint =
        "hint: ../../../Envfile.kdl includes this project as `api`: `envrun -C ../../..` begins there\n";
    for args in [&["prod.a"][..], &["nothing"], &["env", "show", "prod"]] {
        let ran = inside(args);
        assert_eq!(ran.exit, 2, "{}", ran.text());
        assert!(ran.stderr.ends_with(hint), "{}", ran.text());
    }
    // The root of all has nobody around it, and whoever names a file knows where to begin.
    for args in [&["nothing"][..], &["-f", "services/api/Envfile.kdl", "nothing"]] {
        assert!(!sandbox.run(args).stderr.contains("includes this project"));
    }
    // One that stands above and does not include it is none of its business.
    sandbox.write("Envfile.kdl", "include \"services/api\"\ntask \"a\" { run \"true\" }\n");
    assert!(!sandbox.run(&["-C", "services/lonely", "nothing"]).stderr.contains("includes this project"));
}
