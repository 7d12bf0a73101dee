//! Guards with people in them: approvals by signed tags, words to be typed, broken glass; with real git and real keys.

use std::path::Path;
use std::process::Command;

use expect_test::expect;

use crate::sandbox::{Ran, Sandbox};

const SIGNERS: &str = "ops/allowed_signers";

/// A project whose `prod.ship` wants approvals, in a repository whose author is alice.
struct Lab {
    sandbox: Sandbox,
}

impl Lab {
    fn new(count: u32) -> Self {
        let sandbox = Sandbox::new(&format!(
            "env \"prod\" {{ guard {{ approval signers=\"{SIGNERS}\" count={count} }} }}\nenv \"uat\"\n\
             task \"ship\" {{ mutates #true; run \"touch shipped\" }}\n"
        ));
        let lab = Self { sandbox };
        for who in ["alice", "bob", "carol", "mallory"] {
            let key = lab.key(who);
            std::fs::create_dir_all(key.parent().unwrap()).unwrap();
            let made = Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-C", who, "-f"])
                .arg(&key)
                .output()
                .unwrap();
            assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        }
        lab.sandbox.write(".gitignore", "/.envrun/\n/shipped\n");
        lab.sandbox.write(SIGNERS, lab.signers(&["alice", "bob", "carol"]));
        lab.git(&["init", "-q", "-b", "main"]);
        lab.commit("alice", "the project");
        lab
    }

    fn key(&self, who: &str) -> std::path::PathBuf {
        self.sandbox.root().parent().unwrap().join("keys").join(who)
    }

    /// Lines of a file of allowed signers.
    fn signers(&self, who: &[&str]) -> String {
        let line = |who: &&str| {
            let key = std::fs::read_to_string(self.key(who).with_extension("pub")).unwrap();
            format!("{who}@example.org {key}")
        };
        who.iter().map(line).collect()
    }

    fn git(&self, args: &[&str]) -> String {
        git(&self.sandbox.root(), args)
    }

    /// Commits everything there is, as somebody; the commit.
    fn commit(&self, who: &str, message: &str) -> String {
        let mail = format!("{who}@example.org");
        self.git(&["add", "-A"]);
        let (name, mail) = (format!("user.name={who}"), format!("user.email={mail}"));
        self.git(&["-c", &name, "-c", &mail, "commit", "-q", "--allow-empty", "-m", message]);
        self.head()
    }

    fn head(&self) -> String {
        self.git(&["rev-parse", "HEAD"])
    }

    /// Signs a tag with somebody's key.
    fn sign(&self, who: &str, tag: &str, commit: &str) {
        let key = format!("user.signingKey={}", self.key(who).with_extension("pub").display());
        let mail = format!("user.email={who}@example.org");
        let name = format!("user.name={who}");
        let config = ["-c", "gpg.format=ssh", "-c", &key, "-c", &name, "-c", &mail];
        self.git(&[&config[..], &["tag", "-s", "-m", "approved", tag, commit]].concat());
    }

    fn approve(&self, who: &str) {
        let head = self.head();
        self.sign(who, &format!("approve/prod/{head}-{who}"), &head);
    }

    fn ship(&self) -> Ran {
        self.sandbox.run(&["prod.ship"])
    }

    #[track_caller]
    fn ships(&self) {
        let ran = self.ship();
        assert_eq!(ran.exit, 0, "{}", ran.text());
        assert!(self.sandbox.exists("shipped"));
        std::fs::remove_file(self.sandbox.root().join("shipped")).unwrap();
    }

    /// It is refused for this reason.
    #[track_caller]
    fn refused(&self, reason: &str) {
        let ran = self.ship();
        assert_eq!(ran.exit, 3, "{}", ran.text());
        assert!(ran.stderr.contains(reason), "wanted `{reason}`\n{}", ran.text());
        assert!(!self.sandbox.exists("shipped"));
    }
}

fn git(dir: &Path, args: &[&str]) -> String {
    crate::sandbox::git(dir, "t", args)
}

#[test]
fn without_an_approval_the_commands_are_told_that_make_one() {
    let lab = Lab::new(1);
    let head = lab.head();
    let ran = lab.ship();
    let text = ran.text().replace(&head, "$HEAD").replace(&head[..12], "$HEAD12");
    expect![[r#"
        exit: 3
        --- stderr
        error: `prod.ship` is refused: nobody has approved $HEAD12 for prod (Envfile.kdl:1)
          hint: bob@example.org or carol@example.org approves it with
              git -c gpg.format=ssh -c user.signingKey=~/.ssh/id_ed25519.pub tag -s -m approved approve/prod/$HEAD $HEAD
              git push origin approve/prod/$HEAD
            and then, here: git fetch origin --tags
    "#]]
    .assert_eq(&text);
    // An environment without the guard is not held up.
    lab.sandbox.ok(&["uat.ship"]);
}

#[test]
fn where_a_tag_of_the_name_is_there_the_hint_names_one_that_is_not() {
    let lab = Lab::new(1);
    let head = lab.head();
    let name = format!("approve/prod/{head}");
    // Somebody's, unsigned; a branch of the story is not to be overwritten without being asked.
    lab.git(&["tag", &name]);
    lab.git(&["tag", &format!("{name}-2")]);
    let refused = lab.ship();
    assert_eq!(refused.exit, 3, "{}", refused.text());
    let hint = refused.stderr.lines().map(str::trim).find(|line| line.starts_with("git -c ")).unwrap();
    let words: Vec<&str> = hint.split(' ').collect();
    let [.., tag, revision] = words.as_slice() else { panic!("{hint}") };
    assert_eq!(*tag, format!("{name}-3"));
    assert!(refused.stderr.contains(&format!("git push origin {name}-3\n")), "{}", refused.text());
    lab.sign("bob", tag, revision);
    lab.ships();
}

#[test]
fn the_right_key_approves_this_revision_in_this_environment() {
    let lab = Lab::new(1);
    let head = lab.head();
    lab.sign("bob", &format!("approve/prod/{head}"), &head);
    lab.ships();
    // The next revision is another one.
    lab.sandbox.write("change", "x");
    lab.commit("alice", "more");
    lab.refused("nobody has approved");
    // Neither does a tag count that names this revision and points at another.
    lab.sign("bob", &format!("approve/prod/{}", lab.head()), &head);
    lab.refused("it is a tag of");
}

#[test]
fn a_strangers_key_the_authors_own_and_no_signature_do_not_count() {
    let lab = Lab::new(1);
    lab.approve("mallory");
    lab.refused("it has no good signature of anybody in ops/allowed_signers");
    lab.approve("alice");
    lab.refused("alice@example.org made the revision, and does not count");
    let head = lab.head();
    lab.git(&["tag", "-a", "-m", "approved", &format!("approve/prod/{head}-unsigned"), &head]);
    lab.refused("it has no SSH signature");
    lab.git(&["tag", &format!("approve/prod/{head}-light"), &head]);
    lab.refused("it is not signed");
    lab.approve("carol");
    lab.ships();
}

#[test]
fn an_approval_for_another_environment_cannot_be_moved_here() {
    let lab = Lab::new(1);
    let head = lab.head();
    lab.sign("bob", &format!("approve/uat/{head}"), &head);
    let object = lab.git(&["rev-parse", &format!("refs/tags/approve/uat/{head}")]);
    lab.git(&["update-ref", &format!("refs/tags/approve/prod/{head}"), &object]);
    lab.refused("it was signed as `approve/uat/");
}

#[test]
fn several_approvers_are_several_people() {
    let lab = Lab::new(2);
    let head = lab.head();
    lab.approve("bob");
    lab.refused("1 of 2 have approved");
    lab.sign("bob", &format!("approve/prod/{head}-bobs-other-tag"), &head);
    lab.refused("1 of 2 have approved");
    lab.approve("carol");
    lab.ships();
}

#[test]
fn whoever_had_a_part_in_the_revision_does_not_count_under_another_address_either() {
    let lab = Lab::new(1);
    let two = format!("{}{}", lab.signers(&["alice", "bob"]), {
        let key = std::fs::read_to_string(lab.key("alice").with_extension("pub")).unwrap();
        format!("alias@example.org {key}")
    });
    // The first one to be trusted is the file as it was begun: begun again, in a repository of its own.
    std::fs::remove_dir_all(lab.sandbox.root().join(".git")).unwrap();
    lab.sandbox.write(SIGNERS, two);
    lab.git(&["init", "-q", "-b", "main"]);
    lab.commit("alice", "the project");
    lab.approve("alice");
    lab.refused("made the revision, and does not count");
    lab.commit("alice", "together\n\nCo-authored-by: Bob <bob@example.org>");
    lab.approve("bob");
    lab.refused("bob@example.org made the revision, and does not count");
}

#[test]
fn nobody_adds_himself() {
    let lab = Lab::new(1);
    // In the very change that is to be approved, by somebody who is not its author.
    lab.sandbox.write(SIGNERS, lab.signers(&["alice", "bob", "carol", "mallory"]));
    lab.commit("alice", "mallory may approve");
    lab.approve("mallory");
    lab.refused("mallory@example.org was added to ops/allowed_signers by a change that those of before have not approved yet");
    // In a change before.
    lab.commit("alice", "more");
    lab.approve("mallory");
    lab.refused("have not approved yet");
    // Not written down at all, only in the work tree.
    lab.git(&["checkout", "-q", "HEAD~2", "--", SIGNERS]);
    lab.commit("alice", "back");
    lab.sandbox.write(SIGNERS, lab.signers(&["mallory"]));
    lab.approve("mallory");
    lab.refused("it has no good signature of anybody");
    // What bob has approved counts for what comes behind it.
    lab.commit("alice", "only mallory");
    lab.approve("bob");
    lab.refused("it has no good signature of anybody");
    lab.sandbox.write(SIGNERS, lab.signers(&["bob", "mallory"]));
    lab.commit("alice", "bob and mallory");
    lab.approve("bob");
    lab.ships();
    lab.commit("alice", "later");
    lab.approve("mallory");
    lab.ships();
}

#[test]
fn who_is_taken_out_is_out_at_once() {
    let lab = Lab::new(1);
    lab.sandbox.write(SIGNERS, lab.signers(&["alice", "carol"]));
    lab.commit("alice", "bob has left");
    lab.approve("bob");
    lab.refused("it has no good signature of anybody");
    lab.approve("carol");
    lab.ships();
    // A tag that is taken back is no approval.
    lab.git(&["tag", "-d", &format!("approve/prod/{}-carol", lab.head())]);
    lab.refused("nobody has approved");
}

#[test]
fn a_history_that_is_cut_off_or_begun_twice_proves_nobody() {
    let lab = Lab::new(1);
    lab.git(&["rm", "-q", SIGNERS]);
    lab.commit("alice", "nobody");
    lab.refused("is not in");
    lab.sandbox.write(SIGNERS, lab.signers(&["mallory"]));
    lab.commit("alice", "mallory alone");
    lab.approve("mallory");
    lab.refused("begun more than once");

    let lab = Lab::new(1);
    lab.commit("alice", "more");
    lab.approve("bob");
    lab.ships();
    let shallow = lab.sandbox.root().parent().unwrap().join("shallow");
    let from = format!("file://{}", lab.sandbox.root().display());
    git(Path::new("/"), &["clone", "-q", "--depth", "1", &from, shallow.to_str().unwrap()]);
    let output = lab.sandbox.command_in(&shallow, &["prod.ship"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("git fetch --unshallow --tags"), "{said}");
}

const CONFIRM: &str = r#"
task "wipe" { mutates #true; guard { confirm "DELETE"; set "SURE" }; run "touch wiped" }
task "drop" { mutates #true; guard { confirm "DELETE" }; needs "wipe"; run "touch dropped" }
"#;

#[test]
fn without_a_terminal_a_word_is_given_on_the_command_line() {
    let mut sandbox = Sandbox::new(CONFIRM);
    // What else refuses is told first, and nobody is asked for a word.
    sandbox.check(
        &["wipe"],
        expect![[r#"
            exit: 3
            --- stderr
            error: `wipe` is refused: SURE is not set (Envfile.kdl:2)
              hint: give SURE a value
        "#]],
    );
    sandbox.set("SURE", "yes");
    sandbox.check(
        &["drop"],
        expect![[r#"
            exit: 3
            --- stderr
            error: `wipe` and `drop` are refused: the word `DELETE` was not typed (Envfile.kdl:2)
              hint: type it when you are asked; without a terminal, give `--confirm DELETE`
        "#]],
    );
    let ran = sandbox.run(&["drop", "--confirm", "delete"]);
    assert_eq!(ran.exit, 3, "{}", ran.text());
    assert!(ran.stderr.contains("`--confirm` gave `delete`, and the word is `DELETE`"), "{}", ran.text());
    assert!(!sandbox.exists("wiped"));
    let ran = sandbox.run(&["-n", "drop"]);
    assert!(ran.stderr.contains("`wipe`, `drop` would ask for the word `DELETE`"), "{}", ran.text());
    sandbox.ok(&["drop", "--confirm", "DELETE"]);
    assert!(sandbox.exists("wiped") && sandbox.exists("dropped"));
}

#[test]
fn on_a_terminal_the_word_is_typed_once() {
    if !crate::sandbox::need("script", "bsdutils") {
        return;
    }
    let mut sandbox = Sandbox::new(CONFIRM);
    sandbox.set("SURE", "yes");
    let type_in = |typed: &str| {
        let program = env!("CARGO_BIN_EXE_envrun");
        let inner = format!("{program} drop");
        let mut command = Command::new("script");
        let template = sandbox.command(&[]);
        command.args(["-qec", &inner, "/dev/null"]).current_dir(sandbox.root()).env_clear();
        for (name, value) in template.get_envs() {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        command.env("TERM", "dumb");
        command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
        let mut child = command.spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), typed.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (exit, said) = type_in("DELET\n");
    assert_eq!(exit, Some(3), "{said}");
    assert!(said.contains("`DELET` was typed, not `DELETE`"), "{said}");
    assert!(!sandbox.exists("wiped"));
    let (exit, said) = type_in("DELETE\n");
    assert_eq!(exit, Some(0), "{said}");
    assert_eq!(said.matches("type DELETE to go on").count(), 1, "{said}");
    assert!(sandbox.exists("dropped"));
}

#[test]
fn broken_glass_passes_people_and_clocks_and_is_kept_for_ever() {
    let mut sandbox = Sandbox::with(&[
        (
            "Envfile.kdl",
            r#"
env "uat"
env "prod" { guard { approval signers="signers"; deployed "uat" within="7d"; window "mon 00:00-00:01"; confirm "go" } }
task "ship" { mutates #true; run "touch shipped" }
task "more" { mutates #true; guard { branch "release" }; run "true" }
"#,
        ),
        ("signers", ""),
        (".gitignore", "/.envrun/\n"),
    ]);
    sandbox.set("USER", "alice");
    let root = sandbox.root();
    git(&root, &["init", "-q", "-b", "main"]);
    git(&root, &["add", "-A"]);
    git(&root, &["commit", "-q", "-m", "one"]);
    let ran = sandbox.run(&["prod.ship"]);
    assert_eq!(ran.exit, 3, "{}", ran.text());
    assert!(ran.stderr.contains("nothing was deployed to uat yet"), "{}", ran.text());
    assert!(!ran.stderr.contains("`go`"), "nobody is asked before all else holds\n{}", ran.text());

    // What says which bytes go out is never passed.
    let ran = sandbox.run(&["prod.more", "--break-glass", "the database burns"]);
    assert_eq!(ran.exit, 3, "{}", ran.text());
    assert!(ran.stderr.contains("the branch is main, not release"), "{}", ran.text());
    assert!(!sandbox.exists(".envrun/break-glass.jsonl"));
    assert_eq!(sandbox.run(&["prod.ship", "--break-glass", " "]).exit, 2);

    let ran = sandbox.ok(&["prod.ship", "--break-glass", "the database burns"]);
    assert!(sandbox.exists("shipped"));
    assert!(ran.stderr.contains("break-glass: the database burns (alice@"), "{}", ran.text());
    let kept = sandbox.read(".envrun/break-glass.jsonl");
    let entry: serde_json::Value = serde_json::from_str(kept.trim_end()).unwrap();
    assert_eq!(entry["reason"], "the database burns");
    assert_eq!(entry["targets"], serde_json::json!(["prod.ship"]));
    let passed: Vec<&str> =
        entry["passed"].as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect();
    assert_eq!(passed.len(), 4, "{passed:?}");
    // The record of the run says the same.
    let log = sandbox.ok(&["log", "latest"]);
    assert!(
        log.stderr.contains("break-glass: passed `prod.ship`: nothing was deployed to uat yet"),
        "{}",
        log.text()
    );
    // A second time is a second line.
    sandbox.ok(&["prod.ship", "--break-glass", "still"]);
    assert_eq!(sandbox.read(".envrun/break-glass.jsonl").lines().count(), 2);
}

#[test]
fn guards_without_a_repository_say_which_of_them_needs_one() {
    let sandbox = Sandbox::new(
        "env \"prod\" { guard { branch \"main\"; clean; approval signers=\"s\" } }\ntask \"a\" { mutates #true; run \"true\" }",
    );
    sandbox.check(
        &["prod.a"],
        expect![[r#"
            exit: 3
            --- stderr
            error: `prod.a` is refused: `branch` needs a git repository, and this is none (Envfile.kdl:1)
              hint: `git init`, and a first commit
            error: `prod.a` is refused: `clean` needs a git repository, and this is none (Envfile.kdl:1)
              hint: `git init`, and a first commit
            error: `prod.a` is refused: `approval` needs a git repository, and this is none (Envfile.kdl:1)
              hint: `git init`, and a first commit
        "#]],
    );
}

#[test]
fn the_guard_of_a_task_that_is_called_is_asked_too() {
    let sandbox = Sandbox::new(
        "task \"inner\" { guard { set \"NOBODY_SETS_THIS\" }; run \"touch done\" }\ntask \"outer\" { call \"inner\" }",
    );
    let ran = sandbox.run(&["outer"]);
    assert_eq!(ran.exit, 3, "{}", ran.text());
    assert!(!sandbox.exists("done"));
}

#[test]
fn an_approval_of_a_plan_counts_for_that_plan_only() {
    let lab = Lab::new(1);
    lab.sandbox.write(".gitignore", "/.envrun/\n/shipped\n/*.json\n");
    lab.commit("alice", "plans are not committed");
    let digest = |file: &str| {
        let plan: serde_json::Value = serde_json::from_str(&lab.sandbox.read(file)).unwrap();
        plan["digest"].as_str().unwrap().to_owned()
    };
    let ran = lab.sandbox.ok(&["plan", "prod.ship", "-o", "one.json"]);
    lab.sandbox.ok(&["plan", "prod.ship", "-o", "two.json"]);
    let (one, two) = (digest("one.json"), digest("two.json"));
    assert_ne!(one, two);
    // Whoever may approve is told which tag it takes.
    assert!(ran.stdout.contains(&format!("approve/prod/{one}")), "{}", ran.text());
    assert_eq!(lab.sandbox.run(&["apply", "one.json"]).exit, 3);
    lab.sign("bob", &format!("approve/prod/{one}"), "HEAD");
    let ran = lab.sandbox.run(&["apply", "two.json"]);
    assert_eq!(ran.exit, 3, "{}", ran.text());
    assert!(ran.stderr.contains("nobody has approved"), "{}", ran.text());
    // Neither does it approve the revision.
    lab.refused("nobody has approved");
    let ran = lab.sandbox.run(&["apply", "one.json"]);
    assert_eq!(ran.exit, 0, "{}", ran.text());
    assert!(lab.sandbox.exists("shipped"));
    // The author's own does not count, and neither does one that was signed for another plan.
    lab.sign("alice", &format!("approve/prod/{two}"), "HEAD");
    assert_eq!(lab.sandbox.run(&["apply", "two.json"]).exit, 3);
    let (from, to) = (format!("refs/tags/approve/prod/{one}"), format!("refs/tags/approve/prod/{two}-bob"));
    lab.git(&["update-ref", &to, &from]);
    let ran = lab.sandbox.run(&["apply", "two.json"]);
    assert_eq!(ran.exit, 3, "{}", ran.text());
    assert!(ran.stderr.contains("it was signed as"), "{}", ran.text());
}
