//! `examples/hello-deploy`, from its sources to a server that answers.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use crate::example;
use crate::sandbox::Ran;

/// The example in a folder of its own; its servers are ended with it.
struct Example {
    example: example::Example,
    /// A free port for each environment that is deployed.
    ports: Vec<(&'static str, u16)>,
}

impl Example {
    fn new() -> Self {
        Self { example: example::Example::of("hello-deploy"), ports: Vec::new() }
    }

    /// The same in a repository of its own, with ports that every later command knows.
    fn in_git() -> Self {
        let mut example = Self::new();
        let port = example.port("prod").to_string();
        example.replace("Envfile.kdl", &[("18083", &port)]);
        example.init();
        example
    }

    fn port(&mut self, env: &'static str) -> u16 {
        if let Some((_, port)) = self.ports.iter().find(|(known, _)| *known == env) {
            return *port;
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        self.ports.push((env, port));
        port
    }

    #[track_caller]
    fn deploy(&mut self, env: &'static str) -> Ran {
        let port = self.port(env).to_string();
        self.sandbox.ok(&["-s", &format!("PORT={port}"), &format!("{env}.deploy")])
    }

    fn ask(&mut self, env: &'static str, path: &str) -> String {
        let port = self.port(env);
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        // One write: the server answers what its first read gives.
        stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split_once("\r\n\r\n").expect("an answer has a head and a body").1.to_owned()
    }

    fn live(&self, env: &str) -> String {
        let link = std::fs::read_link(self.sandbox.root().join(format!("deployed/{env}/current"))).unwrap();
        link.to_str().unwrap().strip_prefix("releases/").unwrap().to_owned()
    }
}

impl std::ops::Deref for Example {
    type Target = example::Example;

    fn deref(&self) -> &example::Example {
        &self.example
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        for (env, _) in &self.ports {
            let _ = self.sandbox.command(&[&format!("{env}.stop")]).status();
        }
    }
}

/// The labels of what a run executed.
fn executed(ran: &Ran) -> Vec<&str> {
    let mut labels: Vec<&str> = ran
        .stderr
        .lines()
        .filter_map(|line| Some(line.trim_start().strip_prefix("run ")?.split_once(" because ")?.0))
        .collect();
    labels.sort_unstable();
    labels
}

#[test]
fn from_sources_to_a_server_that_answers_and_again() {
    let mut example = Example::new();
    let first = example.deploy("prod");
    assert_eq!(example.ask("prod", "/ada").lines().next(), Some("Hello, ada!"), "{}", first.text());
    assert_eq!(example.ask("prod", "/").lines().nth(1), Some(&*format!("release {}", example.live("prod"))));

    // What is live is put live once more, and nothing else is done again.
    let again = example.deploy("prod");
    assert_eq!(executed(&again), ["prod.deploy"], "{}", again.text());
    assert!(again.stderr.contains(" goes live in `prod` once more"), "{}", again.text());

    // The same bytes in another environment: nothing is compiled, linked, tested or packed again.
    let uat = example.deploy("uat");
    assert_eq!(executed(&uat), ["uat.deploy"], "{}", uat.text());
    assert_eq!(example.live("uat"), example.live("prod"));
    assert_eq!(example.ask("uat", "/").lines().next(), Some("Hello from uat, world!"));
}

#[test]
fn what_is_live_has_its_port_and_a_stranger_in_its_place_is_named() {
    let mut example = Example::new();
    let port = example.port("prod").to_string();
    example.replace("Envfile.kdl", &[("18083", &port)]);
    example.deploy("prod");
    let doctor = |exit: i32| {
        let ran = example.run(&["doctor", "prod"], exit);
        let line = ran.stdout.lines().find(|line| line.contains(" PORT ")).map(str::to_owned);
        line.unwrap_or_else(|| panic!("it looks at the port\n{}", ran.text()))
    };
    let live = doctor(0);
    assert!(
        live.contains(&format!("ok   PORT    {port} is that of release 1, which is live (pid ")),
        "{live}"
    );
    example.run(&["prod.stop"], 0);
    // Somebody who has it while the release should have it may be its successor, or may not.
    let stranger = TcpListener::bind(("127.0.0.1", port.parse().unwrap())).unwrap();
    let taken = doctor(0);
    assert!(
        taken.contains(&format!("warn PORT    {port} is taken by pid {}", std::process::id())),
        "{taken}"
    );
    assert!(taken.ends_with("; whether that is release 1, which is live, cannot be told"), "{taken}");
    drop(stranger);
}

#[test]
fn a_change_of_one_source_rebuilds_what_depends_on_it() {
    let mut example = Example::new();
    example.deploy("prod");
    let before = example.live("prod");

    let source = example.sandbox.read("lib/greet.c");
    example.sandbox.write("lib/greet.c", source.replace("\"%s, %s!\"", "\"%s, dear %s!\""));
    let test = example.sandbox.read("tests/test_greet.c");
    example.sandbox.write("tests/test_greet.c", test.replace("Hello, ", "Hello, dear "));
    let changed = example.deploy("prod");
    assert_eq!(
        executed(&changed),
        ["build", "greet.o", "library", "package", "prod.deploy", "test", "test-program", "test_greet.o"],
        "{}",
        changed.text()
    );
    assert_eq!(example.ask("prod", "/ada").lines().next(), Some("Hello, dear ada!"));
    assert_ne!(example.live("prod"), before);

    // Back again: everything comes from the cache, only the live environment is touched.
    example.sandbox.write("lib/greet.c", source);
    example.sandbox.write("tests/test_greet.c", test);
    let back = example.deploy("prod");
    assert_eq!(executed(&back), ["prod.deploy"], "{}", back.text());
    assert_eq!(example.live("prod"), before);
}

#[test]
fn a_comment_stops_at_the_object_file() {
    let mut example = Example::new();
    example.deploy("prod");
    let source = example.sandbox.read("lib/greet.c");
    example.sandbox.write("lib/greet.c", format!("{source}/* nothing new */\n"));
    let changed = example.deploy("prod");
    assert_eq!(
        executed(&changed),
        ["greet.o", "prod.deploy"],
        "an unchanged output stops the rebuild\n{}",
        changed.text()
    );
}

#[test]
fn a_header_that_only_the_compiler_named_is_an_input() {
    let mut example = Example::new();
    example.deploy("prod");
    let header = example.sandbox.read("lib/greet.h");
    example.sandbox.write("lib/greet.h", format!("{header}/* nothing new */\n"));
    let changed = example.deploy("prod");
    assert_eq!(
        executed(&changed),
        ["greet.o", "http.o", "prod.deploy", "test_greet.o"],
        "{}",
        changed.text()
    );
}

#[test]
fn a_failing_test_keeps_the_old_release_live() {
    let mut example = Example::new();
    example.deploy("prod");
    let before = example.live("prod");
    let source = example.sandbox.read("lib/greet.c");
    example.sandbox.write("lib/greet.c", source.replace("\"world\"", "\"earth\""));
    let port = example.port("prod");
    let ran = example.sandbox.run(&["-s", &format!("PORT={port}"), "prod.deploy"]);
    assert_eq!(ran.exit, 1, "{}", ran.text());
    assert!(ran.stderr.contains(r#"greet("/") gave "Hello, earth!", not "Hello, world!""#), "{}", ran.text());
    assert_eq!(example.live("prod"), before);
    assert_eq!(example.ask("prod", "/").lines().next(), Some("Hello, world!"));
}

#[test]
fn the_release_before_it_is_live_again() {
    let mut example = Example::in_git();
    let first = example.git(&["rev-parse", "HEAD"]);
    let cold = example.sandbox.run(&["rollback", "prod"]);
    assert_ne!(cold.exit, 0, "{}", cold.text());
    example.sandbox.ok(&["prod.deploy"]);
    let old = example.live("prod");

    let change = |from: &str, to: &str| {
        for (path, from, to) in [
            ("lib/greet.c", format!("\"{from}%s!\""), format!("\"{to}%s!\"")),
            ("tests/test_greet.c", from.replace("%s", "Hello"), to.replace("%s", "Hello")),
        ] {
            let text = example.sandbox.read(path);
            assert!(text.contains(&from), "{path}: {text}");
            example.sandbox.write(path, text.replace(&from, &to));
        }
        example.commit("a change")
    };
    let second = change("%s, ", "%s, dear ");
    example.sandbox.ok(&["prod.deploy"]);
    assert_ne!(example.live("prod"), old);
    assert_eq!(example.ask("prod", "/ada").lines().next(), Some("Hello, dear ada!"));

    example.sandbox.ok(&["rollback", "prod"]);
    assert_eq!(example.live("prod"), old, "the bytes that were live then");
    assert_eq!(example.ask("prod", "/ada").lines().next(), Some("Hello, ada!"));
    let status = example.sandbox.ok(&["status", "prod", "--check", "-o", "quiet"]);
    for said in ["release 3 live", &first[..10], "1 commit ahead", "healthy"] {
        assert!(status.stdout.contains(said), "{said}: {}", status.text());
    }
    let history = example.sandbox.ok(&["history", "prod"]);
    let told: Vec<(&str, &str)> = history.stdout.lines().map(|line| line.split_once("  ").unwrap()).collect();
    let wanted = [("prod/3", &first), ("prod/2", &second), ("prod/1", &first)];
    assert_eq!(told.len(), wanted.len(), "{}", history.text());
    for ((release, line), (known, revision)) in told.iter().zip(wanted) {
        assert!(*release == known && line.contains(&revision[..10]), "{}", history.text());
    }
}

#[test]
fn a_release_that_does_not_answer_gives_way_to_the_one_before_it() {
    let mut example = Example::in_git();
    example.sandbox.ok(&["prod.deploy"]);
    let old = example.live("prod");
    let server = example.sandbox.read("lib/http.c");
    let broken = server.replace("%s\\nrelease %s\\n", "%s\\nsomething %s\\n");
    assert_ne!(broken, server);
    example.sandbox.write("lib/http.c", broken);
    let second = example.commit("a change");
    let ran = example.sandbox.run(&["prod.deploy"]);
    assert_eq!(ran.exit, 5, "{}", ran.text());
    assert!(ran.stderr.contains(&second[..10]), "{}", ran.text());
    assert_eq!(example.live("prod"), old);
    assert_eq!(example.ask("prod", "/ada").lines().next(), Some("Hello, ada!"));
}

#[test]
fn without_git_a_release_is_known_by_its_files() {
    let mut example = Example::new();
    example.deploy("prod");
    example.deploy("prod");
    let source = example.sandbox.read("src/main.c");
    example.sandbox.write("src/main.c", format!("{source}/* nothing new */\n"));
    example.deploy("prod");
    let history = example.sandbox.ok(&["history", "prod", "--json"]);
    let releases: Vec<serde_json::Value> =
        history.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let revisions: Vec<&str> = releases.iter().map(|one| one["revision"].as_str().unwrap()).collect();
    assert_eq!(revisions.len(), 3, "{}", history.text());
    assert_eq!(revisions[1], revisions[2], "the same files, though a build stands beside them");
    assert_ne!(revisions[0], revisions[1]);
}
