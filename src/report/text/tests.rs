use std::time::Duration;

use expect_test::{Expect, expect};

use crate::event::{Because, Event, Failure, Notice, Outcome, Stream};
use crate::graph::NodeIx;
use crate::report::script::{
    Broken, Pipe, Script, clock, options, several_failures, successful, told, told_with,
};
use crate::report::{Options, Output, Reporters, open};

const NONE: &[&str] = &[];

fn check(output: Output, script: &Script, expected: Expect) {
    expected.assert_eq(&told(output, script));
}

#[test]
fn plain_prefix() {
    check(
        Output::Auto,
        &successful(),
        expect![[r#"
        lib      │ lib made
          restored lib from the local cache in 3ms
               run build because `src/api.rs` changed (+1 more)
               run api:test because it never ran here
        build    │ compiling
        api:test │ warning: unused
        build    │ linking
              done build in 1.2s
        api:test │ ok
              done api:test in 1m05s
        2 executed, 1 restored, 1 up to date in 1m06s
    "#]],
    );
    check(
        Output::Prefix,
        &several_failures(),
        expect![[r#"
                   run a because it never ran here
            a      │ one
            a      │ two
                   run b because `b.c` changed
                failed a after 310ms: exit status 2
            b      │ no newline at the end
                failed b after 12ms: ended by SIGKILL
                   run c because it never ran here
                  done c in 40ms
                failed deploy: refused: branch is x, not main; there are changes

            error: `a` failed after 310ms: exit status 2
              command: make part-0
              directory: .
              because: it never ran here
              log: .envrun/runs/20261120-213301-0fa0/logs/0.log
              output:
              │ one
              │ two

            error: `b` failed after 12ms: ended by SIGKILL
              command: make part-1
              directory: api
              because: `b.c` changed
              log: .envrun/runs/20261120-213301-0fa0/logs/1.log
              output:
              │ no newline at the end

            error: `deploy` failed: refused
              reason: branch is x, not main
              reason: there are changes

            1 executed, 1 blocked, 3 failed in 400ms
        "#]],
    );
}

#[test]
fn plain_stream() {
    check(
        Output::Stream,
        &successful(),
        expect![[r#"
        lib made
          restored lib from the local cache in 3ms
               run build because `src/api.rs` changed (+1 more)
               run api:test because it never ran here
        compiling
        linwarning: unused
        king
              done build in 1.2s
        ok
              done api:test in 1m05s
        2 executed, 1 restored, 1 up to date in 1m06s
    "#]],
    );
    check(
        Output::Stream,
        &several_failures(),
        expect![[r#"
                   run a because it never ran here
            one
            \u{1b}[31mtwo\u{1b}[0m
                   run b because `b.c` changed
                failed a after 310ms: exit status 2
            no newline at the end
                failed b after 12ms: ended by SIGKILL
                   run c because it never ran here
                  done c in 40ms
                failed deploy: refused: branch is x, not main; there are changes

            error: `a` failed after 310ms: exit status 2
              command: make part-0
              directory: .
              because: it never ran here
              log: .envrun/runs/20261120-213301-0fa0/logs/0.log
              output:
              │ one
              │ two

            error: `b` failed after 12ms: ended by SIGKILL
              command: make part-1
              directory: api
              because: `b.c` changed
              log: .envrun/runs/20261120-213301-0fa0/logs/1.log
              output:
              │ no newline at the end

            error: `deploy` failed: refused
              reason: branch is x, not main
              reason: there are changes

            1 executed, 1 blocked, 3 failed in 400ms
        "#]],
    );
}

#[test]
fn plain_group() {
    check(
        Output::Group,
        &successful(),
        expect![[r#"
            output lib
        lib made
          restored lib from the local cache in 3ms
               run build because `src/api.rs` changed (+1 more)
               run api:test because it never ran here
            output build
        compiling
        linking
              done build in 1.2s
            output api:test
        warning: unused
        ok
              done api:test in 1m05s
        2 executed, 1 restored, 1 up to date in 1m06s
    "#]],
    );
    check(
        Output::Group,
        &several_failures(),
        expect![[r#"
                   run a because it never ran here
                   run b because `b.c` changed
                output a
            one
            two
                failed a after 310ms: exit status 2
                output b
            no newline at the end
                failed b after 12ms: ended by SIGKILL
                   run c because it never ran here
                  done c in 40ms
                failed deploy: refused: branch is x, not main; there are changes

            error: `a` failed after 310ms: exit status 2
              command: make part-0
              directory: .
              because: it never ran here
              log: .envrun/runs/20261120-213301-0fa0/logs/0.log
              output:
              │ one
              │ two

            error: `b` failed after 12ms: ended by SIGKILL
              command: make part-1
              directory: api
              because: `b.c` changed
              log: .envrun/runs/20261120-213301-0fa0/logs/1.log
              output:
              │ no newline at the end

            error: `deploy` failed: refused
              reason: branch is x, not main
              reason: there are changes

            1 executed, 1 blocked, 3 failed in 400ms
        "#]],
    );
}

#[test]
fn only_errors() {
    check(
        Output::Errors,
        &successful(),
        expect![[r#"
          restored lib from the local cache in 3ms
               run build because `src/api.rs` changed (+1 more)
               run api:test because it never ran here
              done build in 1.2s
              done api:test in 1m05s
        2 executed, 1 restored, 1 up to date in 1m06s
    "#]],
    );
    check(
        Output::Errors,
        &several_failures(),
        expect![[r#"
                   run a because it never ran here
                   run b because `b.c` changed
                failed a after 310ms: exit status 2
                failed b after 12ms: ended by SIGKILL
                   run c because it never ran here
                  done c in 40ms
                failed deploy: refused: branch is x, not main; there are changes

            error: `a` failed after 310ms: exit status 2
              command: make part-0
              directory: .
              because: it never ran here
              log: .envrun/runs/20261120-213301-0fa0/logs/0.log
              output:
              │ one
              │ two

            error: `b` failed after 12ms: ended by SIGKILL
              command: make part-1
              directory: api
              because: `b.c` changed
              log: .envrun/runs/20261120-213301-0fa0/logs/1.log
              output:
              │ no newline at the end

            error: `deploy` failed: refused
              reason: branch is x, not main
              reason: there are changes

            1 executed, 1 blocked, 3 failed in 400ms
        "#]],
    );
}

#[test]
fn quiet() {
    check(Output::Quiet, &successful(), expect![[""]]);
    check(
        Output::Quiet,
        &several_failures(),
        expect![[r#"

            error: `a` failed after 310ms: exit status 2
              command: make part-0
              directory: .
              because: it never ran here
              log: .envrun/runs/20261120-213301-0fa0/logs/0.log
              output:
              │ one
              │ two

            error: `b` failed after 12ms: ended by SIGKILL
              command: make part-1
              directory: api
              because: `b.c` changed
              log: .envrun/runs/20261120-213301-0fa0/logs/1.log
              output:
              │ no newline at the end

            error: `deploy` failed: refused
              reason: branch is x, not main
              reason: there are changes

            1 executed, 1 blocked, 3 failed in 400ms
        "#]],
    );
}

#[test]
fn github_folds_and_annotates() {
    let github = |options: &mut Options| (options.ci, options.github) = (true, true);
    expect![[r#"
               run a because it never ran here
               run b because `b.c` changed
        ::group::output of a
        one
        two
        ::endgroup::
            failed a after 310ms: exit status 2
        ::error title=a failed::after 310ms: exit status 2%0Acommand: make part-0
        ::group::output of b
        no newline at the end
        ::endgroup::
            failed b after 12ms: ended by SIGKILL
        ::error title=b failed::after 12ms: ended by SIGKILL%0Acommand: make part-1
               run c because it never ran here
              done c in 40ms
            failed deploy: refused: branch is x, not main; there are changes
        ::error title=deploy failed::refused: branch is x, not main; there are changes

        error: `a` failed after 310ms: exit status 2
          command: make part-0
          directory: .
          because: it never ran here
          log: .envrun/runs/20261120-213301-0fa0/logs/0.log
          output:
          │ one
          │ two

        error: `b` failed after 12ms: ended by SIGKILL
          command: make part-1
          directory: api
          because: `b.c` changed
          log: .envrun/runs/20261120-213301-0fa0/logs/1.log
          output:
          │ no newline at the end

        error: `deploy` failed: refused
          reason: branch is x, not main
          reason: there are changes

        1 executed, 1 blocked, 3 failed in 400ms
    "#]]
    .assert_eq(&told_with(Output::Auto, &several_failures(), github).text());
}

/// One task, and what it printed stands right above: it is not repeated.
#[test]
fn a_single_failure() {
    let script = Script::of(&["test"])
        .start(0, "it never ran here", 0)
        .out(0, "running 3 tests\nassertion failed")
        .exits(0, 101, 2_300)
        .finish(1, 2_310);
    check(
        Output::Auto,
        &script,
        expect![[r#"
               run test because it never ran here
        running 3 tests
        assertion failed
            failed test after 2.3s: exit status 101

        error: `test` failed after 2.3s: exit status 101
          command: make part-0
          directory: .
          because: it never ran here
          log: .envrun/runs/20261120-213301-0fa0/logs/0.log

        1 failed in 2.3s
    "#]],
    );
    let silent = Script::of(&["test"]).start(0, "it never ran here", 0).exits(0, 1, 2).finish(1, 3);
    check(
        Output::Auto,
        &silent,
        expect![[r#"
                   run test because it never ran here
                failed test after 2ms: exit status 1

            error: `test` failed after 2ms: exit status 1
              command: make part-0
              directory: .
              because: it never ran here
              output: none

            1 failed in 3ms
        "#]],
    );
}

#[test]
fn every_kind_of_failure() {
    let command = "sh tasks/a\n  with more".to_owned();
    let hint = Some("install `protobuf-compiler`".to_owned());
    let reason = "`protoc` is in none of the 3 folders of PATH".to_owned();
    let limit = Duration::from_secs(300);
    let failures = [
        Failure::Start { command: command.clone(), reason, hint },
        Failure::Timeout { limit, command },
        Failure::Outputs { reason: "`dist` was not made".to_owned() },
        Failure::Io { reason: "cannot read `a.c`: Permission denied".to_owned() },
        Failure::Signal { signal: 99, command: "x".to_owned() },
    ];
    let mut script = Script::of(&["a", "b", "c", "d", "e"]);
    for (node, failure) in failures.into_iter().enumerate() {
        script = script.start(node as u32, "it never ran here", 0).fails(node as u32, failure, 7);
    }
    check(
        Output::Auto,
        &script.finish(1, 50),
        expect![[r#"
                   run a because it never ran here
                failed a after 7ms: could not be started: `protoc` is in none of the 3 folders of PATH
                   run b because it never ran here
                failed b after 7ms: took longer than 5m00s
                   run c because it never ran here
                failed c after 7ms: `dist` was not made
                   run d because it never ran here
                failed d after 7ms: cannot read `a.c`: Permission denied
                   run e because it never ran here
                failed e after 7ms: ended by signal 99

            error: `a` failed after 7ms: could not be started: `protoc` is in none of the 3 folders of PATH
              command: sh tasks/a
                  with more
              directory: .
              because: it never ran here
              output: none
            hint: install `protobuf-compiler`

            error: `b` failed after 7ms: took longer than 5m00s
              command: sh tasks/a
                  with more
              directory: api
              because: it never ran here
              output: none

            error: `c` failed after 7ms: `dist` was not made
              command: make part-2
              directory: api
              because: it never ran here
              output: none

            error: `d` failed after 7ms: cannot read `a.c`: Permission denied
              command: make part-3
              directory: api
              because: it never ran here
              output: none

            error: `e` failed after 7ms: ended by signal 99
              command: x
              directory: api
              because: it never ran here
              output: none

            5 failed in 50ms
        "#]],
    );
}

#[test]
fn a_dry_run() {
    let because = Because { reason: "`a.c` changed".to_owned(), more: 2 };
    let commands = vec!["cc -c a.c".to_owned(), "sh -c 'one\ntwo'".to_owned()];
    let script = Script::of(&["build", "fmt", "test"])
        .end(0, Outcome::WouldRun { because, commands }, 0)
        .all([1], Outcome::UpToDate)
        .end(
            2,
            Outcome::WouldRun {
                because: Because { reason: "`build` would run".to_owned(), more: 0 },
                commands: vec!["make test".to_owned()],
            },
            0,
        )
        .finish(0, 4);
    check(
        Output::Auto,
        &script,
        expect![[r#"
         would run build because `a.c` changed (+2 more)
                   $ cc -c a.c
                   $ sh -c 'one
                     two'
         would run test because `build` would run
                   $ make test
        2 to execute, 1 up to date in 4ms
    "#]],
    );
}

#[test]
fn an_interrupted_run() {
    let signal = |level| Event::Interrupted { signal: "SIGINT".to_owned(), level };
    let script = Script::of(&["a", "b", "c"])
        .start(0, "it never ran here", 0)
        .start(1, "it never ran here", 0)
        .out(0, "half a li")
        .and(5, signal(1))
        .end(1, Outcome::Cancelled, 5)
        .and(5, signal(2))
        .and(5, signal(3))
        .all([0, 2], Outcome::Cancelled)
        .finish(130, 30);
    check(
        Output::Auto,
        &script,
        expect![[r#"
                   run a because it never ran here
                   run b because it never ran here
            SIGINT: nothing new is started, 2 tasks told to stop; once more for SIGTERM
             cancelled b
            SIGINT: SIGTERM to 1 task; once more for SIGKILL
            SIGINT: SIGKILL to 1 task
            a │ half a li
             cancelled a
            interrupted: 3 cancelled in 30ms
        "#]],
    );
    check(
        Output::Stream,
        &script,
        expect![[r#"
                   run a because it never ran here
                   run b because it never ran here
            half a li
            SIGINT: nothing new is started, 2 tasks told to stop; once more for SIGTERM
             cancelled b
            SIGINT: SIGTERM to 1 task; once more for SIGKILL
            SIGINT: SIGKILL to 1 task
             cancelled a
            interrupted: 3 cancelled in 30ms
        "#]],
    );
    check(
        Output::Group,
        &script,
        expect![[r#"
                   run a because it never ran here
                   run b because it never ran here
            SIGINT: nothing new is started, 2 tasks told to stop; once more for SIGTERM
             cancelled b
            SIGINT: SIGTERM to 1 task; once more for SIGKILL
            SIGINT: SIGKILL to 1 task
                output a
            half a li
             cancelled a
            interrupted: 3 cancelled in 30ms
        "#]],
    );
}

#[test]
fn retries_and_notices() {
    let retry = |attempt| Event::NodeRetrying {
        node: NodeIx(0),
        attempt,
        of: 3,
        failure: Failure::Exit { status: 75, command: "fetch".to_owned() },
        pause: Duration::from_secs(2),
    };
    let notice = |node: Option<u32>, message: &str, hint: Option<&str>| {
        let (node, hint) = (node.map(NodeIx), hint.map(str::to_owned));
        Event::Notice(Notice { node, message: message.to_owned(), hint })
    };
    let script = Script::of(&["fetch", "x"])
        .and(
            0,
            notice(None, "an entry of the cache is damaged; it is made anew", Some("`envrun cache verify`")),
        )
        .start(0, "it never ran here", 0)
        .out(0, "trying")
        .and(5, retry(1))
        .out(0, "trying")
        .and(5, retry(2))
        .and(5, notice(Some(0), "the glob `*.x` matches nothing", None))
        .done(0, 4_100)
        .end(1, Outcome::Skipped { reason: "branch is x, not main".to_owned() }, 0)
        .finish(0, 4_200);
    check(
        Output::Stream,
        &script,
        expect![[r#"
        warning: an entry of the cache is damaged; it is made anew
        hint: `envrun cache verify`
               run fetch because it never ran here
        trying
             retry fetch after try 1 of 3: exit status 75; the next one in 2.0s
        trying
             retry fetch after try 2 of 3: exit status 75; the next one in 2.0s
        warning: `fetch`: the glob `*.x` matches nothing
              done fetch in 4.1s
           skipped x because branch is x, not main
        1 executed, 1 skipped in 4.2s
    "#]],
    );
    check(
        Output::Prefix,
        &script,
        expect![[r#"
            warning: an entry of the cache is damaged; it is made anew
            hint: `envrun cache verify`
                   run fetch because it never ran here
            fetch │ trying
                 retry fetch after try 1 of 3: exit status 75; the next one in 2.0s
            fetch │ trying
                 retry fetch after try 2 of 3: exit status 75; the next one in 2.0s
            warning: `fetch`: the glob `*.x` matches nothing
                  done fetch in 4.1s
               skipped x because branch is x, not main
            1 executed, 1 skipped in 4.2s
        "#]],
    );
    check(Output::Quiet, &script, expect![[""]]);
}

#[test]
fn nothing_to_do() {
    let labels: Vec<String> = (0..10_000).map(|at| format!("task-{at}")).collect();
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    let script = Script::of(&labels).all(0..10_000, Outcome::UpToDate).finish(0, 45);
    check(
        Output::Auto,
        &script,
        expect![[r#"
        nothing to do: 10000 up to date (45ms)
    "#]],
    );
    for output in [Output::Stream, Output::Group, Output::Errors] {
        assert_eq!(told(output, &script), told(Output::Auto, &script));
    }
    check(Output::Quiet, &script, expect![[""]]);
    let verbose = told_with(Output::Auto, &script, |options| options.verbose = true).text();
    assert_eq!(verbose.lines().count(), 10_001);
    expect!["up to date task-0"].assert_eq(verbose.lines().next().unwrap());
    check(
        Output::Auto,
        &Script::of(NONE).finish(0, 1),
        expect![[r#"
        nothing to do (1ms)
    "#]],
    );
    let done =
        Script::of(&["a", "b"]).all([0], Outcome::AlreadyDone).all([1], Outcome::UpToDate).finish(0, 1);
    check(
        Output::Auto,
        &done,
        expect![[r#"
        nothing to do: 1 up to date, 1 already done (1ms)
    "#]],
    );
    check(
        Output::Auto,
        &Script::of(&["a"]).finish(3, 1),
        expect![[r#"
        nothing was done (1ms)
    "#]],
    );
}

#[test]
fn verbose() {
    expect![[r#"
               run a because it never ran here
                   $ make part-0
        a      │ one
        a      │ two
               run b because `b.c` changed
                   in api
                   $ make part-1
            failed a after 310ms: exit status 2
        b      │ no newline at the end
            failed b after 12ms: ended by SIGKILL
               run c because it never ran here
                   in api
                   $ make part-2
              done c in 40ms
           blocked d by `a`
            failed deploy: refused: branch is x, not main; there are changes

        error: `a` failed after 310ms: exit status 2
          command: make part-0
          directory: .
          because: it never ran here
          log: .envrun/runs/20261120-213301-0fa0/logs/0.log
          output:
          │ one
          │ two

        error: `b` failed after 12ms: ended by SIGKILL
          command: make part-1
          directory: api
          because: `b.c` changed
          log: .envrun/runs/20261120-213301-0fa0/logs/1.log
          output:
          │ no newline at the end

        error: `deploy` failed: refused
          reason: branch is x, not main
          reason: there are changes

        1 executed, 1 blocked, 3 failed in 400ms
    "#]]
    .assert_eq(&told_with(Output::Auto, &several_failures(), |options| options.verbose = true).text());
}

/// What a node prints on its standard output is all that is on ours, to the byte: it may be data.
#[test]
fn streams_are_kept_apart() {
    let script = Script::of(&["gen"])
        .start(0, "it always runs", 0)
        .prints(0, Stream::Stdout, b"\x1b[1m\xff\x00\rno end")
        .err(0, "a \x1b[1mwarning\x1b[0m\x07\n")
        .done(0, 3)
        .finish(0, 4);
    let (out, err) = (Pipe::default(), Pipe::default());
    let clock = clock();
    let mut reporters = Reporters::new(clock.clone());
    reporters.add("text", open(options(Output::Auto, &out, &err)));
    script.tell(&mut reporters, &clock);
    assert_eq!(out.bytes(), b"\x1b[1m\xff\x00\rno end");
    expect![[r#"
               run gen because it always runs
        a \u{1b}[1mwarning\u{1b}[0m\u{7}
              done gen in 3ms
        1 executed in 4ms
    "#]]
    .assert_eq(&err.text());
    // On a terminal without colours, nothing of that may reach it.
    let terminal = |options: &mut Options| (options.out.terminal, options.err.terminal) = (true, true);
    expect![[r#"
               run gen because it always runs
        \xff\rno enda warning
              done gen in 3ms
        1 executed in 4ms
    "#]]
    .assert_eq(&told_with(Output::Auto, &script, terminal).text());
}

#[test]
fn colours() {
    let colour = |options: &mut Options| options.err.style.colour = true;
    let script = Script::of(&["a", "b"])
        .start(0, "`a.c` changed", 0)
        .out(0, "\x1b[1;31mred\nstill red\x1b[0m \x1b[2Jclear\x1b[10;10Hmove\x1b[?25l\n")
        .out(0, "10%\r50%\r100%\r\n\x1b]0;title\x07\u{9b}2Jand \u{4e2d}\u{6587}\n")
        .prints(0, Stream::Stderr, b"\xff\xc2\n\n")
        .exits(0, 1, 30)
        .all([1], Outcome::Cancelled)
        .finish(1, 40);
    expect![[r#"
        \u{1b}[36m       run\u{1b}[0m \u{1b}[94ma\u{1b}[0m\u{1b}[2m because `a.c` changed\u{1b}[0m
        \u{1b}[94ma │\u{1b}[0m \u{1b}[1;31mred\u{1b}[0m
        \u{1b}[94ma │\u{1b}[0m still red\u{1b}[0m clearmove\u{1b}[0m
        \u{1b}[94ma │\u{1b}[0m 100%
        \u{1b}[94ma │\u{1b}[0m and 中文
        \u{1b}[94ma │\u{1b}[0m \xff�
        \u{1b}[94ma │\u{1b}[0m
        \u{1b}[1;31m    failed\u{1b}[0m \u{1b}[94ma\u{1b}[0m after 30ms: exit status 1

        \u{1b}[1;31merror:\u{1b}[0m \u{1b}[1m`a`\u{1b}[0m failed after 30ms: exit status 1
          command: make part-0
          directory: .
          because: `a.c` changed
          log: .envrun/runs/20261120-213301-0fa0/logs/0.log

        \u{1b}[1;31m1 cancelled, 1 failed in 40ms\u{1b}[0m
    "#]]
    .assert_eq(&told_with(Output::Auto, &script, colour).text());
    check(
        Output::Auto,
        &script,
        expect![[r#"
               run a because `a.c` changed
        a │ red
        a │ still red clearmove
        a │ 100%
        a │ and 中文
        a │ \xff�
        a │
            failed a after 30ms: exit status 1

        error: `a` failed after 30ms: exit status 1
          command: make part-0
          directory: .
          because: `a.c` changed
          log: .envrun/runs/20261120-213301-0fa0/logs/0.log

        1 cancelled, 1 failed in 40ms
    "#]],
    );
}

/// `envrun build | head`: standard output is gone, all else goes on.
#[test]
fn standard_output_may_be_closed() {
    let (err, clock) = (Pipe::default(), clock());
    let mut options = options(Output::Stream, &Pipe::default(), &err);
    options.out.to = Box::new(Broken(1));
    let mut reporters = Reporters::new(clock.clone());
    reporters.add("text", open(options));
    successful().tell(&mut reporters, &clock);
    expect![[r#"
          restored lib from the local cache in 3ms
               run build because `src/api.rs` changed (+1 more)
               run api:test because it never ran here
        warning: cannot write to standard output any more: broken pipe
        warning: unused
              done build in 1.2s
              done api:test in 1m05s
        2 executed, 1 restored, 1 up to date in 1m06s
    "#]]
    .assert_eq(&err.text());
}

/// Output that is too long to be shown is shown from its end, and the rest is pointed to.
#[test]
fn a_failure_with_endless_output() {
    let mut script = Script::of(&["noisy", "other"]).start(0, "it always runs", 0);
    for line in 0..20_000 {
        script = script.out(0, &format!("line {line} of a very long story\n"));
    }
    let text = told(Output::Errors, &script.exits(0, 1, 30).finish(1, 40));
    assert_eq!(text.lines().count(), 2 + 1 + 6 + 1 + 200 + 2, "{text}");
    assert!(
        text.contains("  output:\n  │ … 19800 earlier lines are in the log\n  │ line 19800 of a"),
        "{text}"
    );
}

#[test]
fn the_end_of_a_line_that_was_shown_before_is_no_line() {
    let script = Script::of(&["api", "b"]).start(0, "it is not up", 0).out(0, "up").done(0, 3).out(0, "\n");
    let script = script.out(0, "more\n").out(0, "\n").finish(0, 9);
    let text = told(Output::Prefix, &script);
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("api")).collect();
    assert_eq!(lines, ["api │ up", "api │ more", "api │"]);
}

#[test]
fn of_a_long_script_that_failed_the_beginning_is_shown() {
    let command: String = (0..40).map(|at| format!("echo {at}\n")).collect();
    let failed = |command: String| {
        let script = Script::of(&["a"]).start(0, "it was forced", 0);
        told(Output::Auto, &script.fails(0, Failure::Exit { status: 3, command }, 5).finish(1, 9))
    };
    let text = failed(command);
    assert!(text.contains("    echo 5\n    (34 more lines: `envrun show a`)\n"), "{text}");
    assert!(failed("a\nb\nc\nd\ne\nf\ng\n".to_owned()).contains("    g\n"));
}
