//! `envrun audit` and `sandbox "strict"`: what a task reads and writes without saying so.

use expect_test::expect;

use crate::sandbox::Sandbox;

const ENVFILE: &str = r#"// All of it.
task "gen" {
    outputs "gen.h"
    run "echo gen > gen.h"
}

/* The program. */
task "build" { // what
    needs "gen" // for gen.h
    inputs "src/*.c" // the sources
    outputs "out/prog"
    // How it is made.
    run "cat gen.h src/a.c conf/flags > out/prog; echo log > build.log; echo t > t.tmp; rm t.tmp"
}
"#;

fn project(envfile: &str) -> Sandbox {
    Sandbox::with(&[
        ("Envfile.kdl", envfile),
        ("src/a.c", "a"),
        ("src/b.c", "b"),
        ("conf/flags", "-O"),
        ("conf/more", "-g"),
    ])
}

#[test]
fn what_is_not_declared_is_listed_and_can_be_declared() {
    let sandbox = project(ENVFILE);
    sandbox.check(&["audit", "build"], expect![[r#"
        exit: 1
        --- stdout
        `build` reads, and does not declare:
          conf/flags (read by `cat gen.h src/a.c conf/flags`)
        `build` writes, and does not declare:
          build.log (made by `sh -eu -c cat gen.h src/a.c conf/flags > out/prog; echo log > build.log; echo t …`)
        hint: `envrun audit build --fix` declares what is missing in the Envfile
        --- stderr
               run gen because it never ran here
              done gen in [time]
               run build because it never ran here
              done build in [time]
        2 executed in [time]
    "#]]);
    sandbox.check(&["audit", "--fix", "build"], expect![[r#"
        exit: 0
        --- stdout
        `build` reads, and does not declare:
          conf/flags (read by `cat gen.h src/a.c conf/flags`)
        `build` writes, and does not declare:
          build.log (changed by `sh -eu -c cat gen.h src/a.c conf/flags > out/prog; echo log > build.log; echo t …`)
        added to `inputs` in Envfile.kdl: conf/flags
        added to `outputs` in Envfile.kdl: build.log
        --- stderr
               run build because it was forced
              done build in [time]
        1 executed, 1 up to date in [time]
    "#]]);
    expect![[r#"
        // All of it.
        task "gen" {
            outputs "gen.h"
            run "echo gen > gen.h"
        }

        /* The program. */
        task "build" { // what
            needs "gen" // for gen.h
            inputs "src/*.c" "conf/flags" // the sources
            outputs "out/prog" "build.log"
            // How it is made.
            run "cat gen.h src/a.c conf/flags > out/prog; echo log > build.log; echo t > t.tmp; rm t.tmp"
        }
    "#]]
    .assert_eq(&sandbox.read("Envfile.kdl"));
    sandbox.check(
        &["audit", "build"],
        expect![[r#"
        exit: 0
        --- stdout
        `build` declares every file that it reads and writes
        --- stderr
               run build because its declared outputs changed (+1 more)
              done build in [time]
        1 executed, 1 up to date in [time]
    "#]],
    );
    sandbox.ok(&["fmt", "--check"]);
}

#[test]
fn a_task_without_inputs_gets_some() {
    let sandbox = project(
        "task \"all\" {\n    // both\n    run \"cat src/a.c src/b.c | tee '!odd [1] {2}.txt' > all.txt\"\n}\n",
    );
    sandbox.check(
        &["audit", "--fix", "all"],
        expect![[r#"
            exit: 0
            --- stdout
            `all` reads, and does not declare:
              src/a.c (read by `cat src/a.c src/b.c`)
              src/b.c (read by `cat src/a.c src/b.c`)
            `all` writes, and does not declare:
              !odd [1] {2}.txt (made by `tee !odd [1] {2}.txt`)
              all.txt (made by `sh -eu -c cat src/a.c src/b.c | tee '!odd [1] {2}.txt' > all.txt`)
            added to `inputs` in Envfile.kdl: src/a.c src/b.c
            added to `outputs` in Envfile.kdl: ./!odd \[1\] \{2\}.txt all.txt
            --- stderr
                   run all because it was forced
                  done all in [time]
            1 executed in [time]
        "#]],
    );
    expect![[r#"
        task "all" {
            inputs "src/a.c" "src/b.c"
            outputs "./!odd \\[1\\] \\{2\\}.txt" "all.txt"
            // both
            run "cat src/a.c src/b.c | tee '!odd [1] {2}.txt' > all.txt"
        }
    "#]]
    .assert_eq(&sandbox.read("Envfile.kdl"));
}

#[test]
fn the_output_of_a_task_that_is_not_needed_is_no_input() {
    let sandbox = project(
        "task \"gen\" { outputs \"gen.h\"; run \"echo x > gen.h\" }\n\
         task \"use\" { outputs \"used\"; inputs \"src/a.c\"; run \"cat gen.h src/a.c > used\" }\n",
    );
    sandbox.ok(&["gen"]);
    sandbox.check(
        &["audit", "--fix", "use"],
        expect![[r#"
        exit: 1
        --- stdout
        `use` reads, and does not declare:
          gen.h (read by `cat gen.h src/a.c`), made by `gen`, which it does not need
        left to you: gen.h: it is made by `gen`: add `needs "gen"`
        --- stderr
               run use because it never ran here
              done use in [time]
        1 executed in [time]
    "#]],
    );
}

#[test]
fn everything_is_told_to_programs_and_on_request() {
    let sandbox = project(
        "task \"t\" { inputs \"src/a.c\" \"conf/more\"; run \"cat src/a.c; ls conf; test -e nothing || true\" }\n",
    );
    let ran = sandbox.ok(&["audit", "-v", "t"]);
    // What a system has outside differs.
    let (told, outside) = ran.stdout.split_once("outside of the project it touches:\n").unwrap();
    expect![[r#"
        `t` declares every file that it reads and writes
        it lists folders that no pattern looks into:
          conf (listed by `ls conf`)
        it looks for files that are not there:
          nothing (looked for by `sh -eu -c cat src/a.c; ls conf; test -e nothing || true`)
        it declares inputs that it did not read:
          conf/more
    "#]]
    .assert_eq(told);
    assert!(outside.lines().any(|line| line.starts_with("  /")), "{outside}");
    let ran = sandbox.ok(&["audit", "--json", "t"]);
    let json: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(json["label"], "t");
    assert_eq!(json["undeclared_reads"], serde_json::json!([]));
    assert_eq!(json["listed"][0]["path"], "conf");
    assert_eq!(json["unread"], serde_json::json!(["conf/more"]));
}

#[test]
fn what_a_depfile_names_is_declared() {
    let sandbox = project(
        "task \"t\" { inputs \"src/a.c\"; depfile \"a.d\"; outputs \"o\"; sandbox \"strict\"\n\
         run \"cat src/a.c conf/flags > o; echo 'o: src/a.c conf/flags' > a.d\" }\n\
         task \"u\" { inputs \"src/a.c\"; depfile \"u.d\"; outputs \"p\"; sandbox \"strict\"\n\
         run \"cat src/a.c conf/flags > p; echo 'p: src/a.c' > u.d\" }\n",
    );
    sandbox.ok(&["audit", "t"]);
    sandbox.ok(&["t"]);
    sandbox.check(
        &["u"],
        expect![[r#"
        exit: 1
        --- stderr
               run u because it never ran here
            failed u after [time]: it read conf/flags, which neither it nor its depfile names

        error: `u` failed after [time]: it read conf/flags, which neither it nor its depfile names
          command: cat src/a.c conf/flags > p; echo 'p: src/a.c' > u.d
          directory: .
          because: it never ran here
          output: none

        1 failed in [time]
    "#]],
    );
}

#[test]
fn a_group_has_nothing_to_see() {
    let sandbox = project("task \"a\" { run \"true\" }\ntask \"all\" { needs \"a\" }\n");
    sandbox.check(
        &["audit", "all"],
        expect![[r#"
            exit: 2
            --- stderr
            error: `all` has no commands, so there is nothing to see
            hint: name one of the tasks that it needs
        "#]],
    );
}

const STRICT: &str = r#"
task "gen" { outputs "gen.h"; run "echo gen > gen.h" }
task "group" { needs "gen" }
task "t" {
    needs "group"
    inputs "src/*.c"
    outputs "out/o" "top"
    sandbox "strict"
    run "cat src/a.c gen.h > out/o; cat out/o > top; cat top; echo x > tmp; cat tmp; rm tmp; cat /etc/hostname > /dev/null"
    run "f=$(mktemp); echo y > $f; cat $f; rm $f"
}
task "bad" { inputs "src/a.c"; outputs "bad.out"; sandbox "strict"; run "cat src/a.c conf/flags > bad.out" }
task "free" { inputs "src/a.c"; outputs "free.out"; run "cat src/a.c conf/flags > free.out" }
"#;

#[test]
fn a_strict_task_reads_what_it_declares_and_nothing_else() {
    let sandbox = project(STRICT);
    sandbox.ok(&["t"]);
    sandbox.check(
        &["-o", "errors", "t"],
        expect![[r#"
        exit: 0
        --- stderr
        nothing to do: 2 up to date ([time])
    "#]],
    );
    sandbox.check(
        &["bad"],
        expect![[r#"
            exit: 1
            --- stderr
                   run bad because it never ran here
            cat: conf/flags: Permission denied
            warning: `bad`: it may not read conf/flags, which it does not declare
            hint: `envrun audit bad` shows all that it reads, `--fix` declares it
                failed bad after [time]: exit status 1

            error: `bad` failed after [time]: exit status 1
              command: cat src/a.c conf/flags > bad.out
              directory: .
              because: it never ran here
              log: .envrun/runs/[run]/logs/bad.log
              output:
              | cat: conf/flags: Permission denied

            1 failed in [time]
        "#]],
    );
    sandbox.ok(&["audit", "--fix", "bad"]);
    sandbox.ok(&["bad"]);
}

#[test]
fn what_was_made_without_a_sandbox_is_made_again_within_one() {
    let sandbox = project(STRICT);
    sandbox.ok(&["free"]);
    sandbox.write(
        "Envfile.kdl",
        STRICT.replace("outputs \"free.out\";", "outputs \"free.out\"; sandbox \"strict\";"),
    );
    sandbox.check(
        &["why", "free"],
        expect![[r#"
        exit: 0
        --- stdout
        `free` would run, because
          its sandbox changed
    "#]],
    );
    assert_eq!(sandbox.run(&["free"]).exit, 1);
}

#[test]
fn comments_and_layout_survive_and_the_edited_file_audits_clean() {
    let envfile = "/- task \"t\" { run \"no\" }\n\
        env \"prod\" {\n\
        \t// patched\n\
        \ttask \"t\" { /* one */ vars { A \"b\" }; run \"cat src/a.c conf/flags conf/more\" /* two */ } // three\n\
        }\n\
        task \"t\" {\n  // four\n  run \"cat src/a.c\" // five\n  /- inputs \"x\"\n}\n";
    let sandbox = project(envfile);
    for target in ["t", "prod.t"] {
        assert_eq!(sandbox.run(&["audit", target]).exit, 1);
        sandbox.ok(&["audit", "--fix", target]);
        sandbox.ok(&["audit", target]);
    }
    expect![[r#"
        /- task "t" { run "no" }
        env "prod" {
        	// patched
        	task "t" { /* one */ vars { A "b" }; run "cat src/a.c conf/flags conf/more" /* two */ } // three
        }
        task "t" {
          inputs "src/a.c" "conf/flags" "conf/more"
          // four
          run "cat src/a.c" // five
          /- inputs "x"
        }
    "#]]
    .assert_eq(&sandbox.read("Envfile.kdl"));
}
