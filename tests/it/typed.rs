//! What is typed on a terminal: secrets that are not shown, words that confirm.

use crate::sandbox::{Sandbox, need, on_terminal};

const SECRET: &str = "typed-by-hand-42";

#[test]
fn a_secret_is_asked_for_and_not_shown() {
    if !need("python3", "python3") {
        return;
    }
    let sandbox = Sandbox::new("secrets { TOKEN }\nenv \"dev\"\n");
    let typed = format!("{SECRET}\n");
    let question = "TOKEN in dev (not shown): ";
    let (exit, said) = on_terminal(&sandbox, &["secret", "set", "dev", "TOKEN"], &[(question, &typed)], true);
    assert_eq!(exit, 0, "{said}");
    assert!(!said.contains(SECRET), "{said}");
    assert_eq!(sandbox.ok(&["secret", "get", "dev", "TOKEN"]).stdout, format!("{SECRET}\n"));
    // Ctrl-C stores nothing; nor does an empty line.
    let (exit, said) =
        on_terminal(&sandbox, &["secret", "set", "dev", "TOKEN"], &[(question, "half\u{3}")], true);
    assert_eq!(exit, 130, "{said}");
    let (exit, said) = on_terminal(&sandbox, &["secret", "set", "dev", "TOKEN"], &[(question, "\n")], true);
    assert_eq!(exit, 2, "{said}");
    assert_eq!(sandbox.ok(&["secret", "get", "dev", "TOKEN"]).stdout, format!("{SECRET}\n"));
}

#[test]
fn a_sync_asks_for_what_is_missing() {
    if !need("python3", "python3") {
        return;
    }
    let sandbox = Sandbox::with(&[
        (
            "Envfile.kdl",
            "vars { HOST; PORT 1 }\nsecrets { TOKEN; MADE generate=\"hex\" }\ndotenv \".env.${ENVRUN_ENV}\" optional=#true\n\
             env \"dev\"\nenv \"prod\"\n",
        ),
        (".env.dev", "HOST=here\n"),
        (".env.prod", "OTHER=stays\n"),
    ]);
    let go = "go on? [y/N] ";
    let (exit, said) = on_terminal(&sandbox, &["env", "sync", "dev", "prod"], &[(go, "\n")], false);
    assert!(exit == 3 && said.contains("nothing was changed"), "{said}");
    assert_eq!(sandbox.read(".env.prod"), "OTHER=stays\n");
    let asks = [("TOKEN in prod (not shown): ", "typed-by-hand-42\n")];
    let (exit, said) = on_terminal(&sandbox, &["env", "sync", "dev", "prod", "-y"], &asks, true);
    assert_eq!(exit, 0, "{said}");
    // The plan comes first.
    assert!(said.find("HOST").unwrap() < said.find("not shown").unwrap(), "{said}");
    assert!(!said.contains(SECRET), "{said}");
    assert_eq!(sandbox.read(".env.prod"), "OTHER=stays\n# from dev (envrun env sync)\nHOST=here\n");
    assert_eq!(sandbox.ok(&["secret", "get", "prod", "TOKEN"]).stdout, format!("{SECRET}\n"));
    assert_eq!(sandbox.ok(&["secret", "get", "prod", "MADE"]).stdout.trim().len(), 64);
    sandbox.write(".env.prod", "OTHER=stays\n");
    let (exit, said) = on_terminal(&sandbox, &["env", "sync", "dev", "prod"], &[(go, "y\n")], false);
    assert_eq!(exit, 0, "{said}");
    assert_eq!(sandbox.read(".env.prod"), "OTHER=stays\n# from dev (envrun env sync)\nHOST=here\n");
    // Who gives up leaves everything as it was.
    std::fs::remove_file(sandbox.root().join(".envrun/secrets/prod.env")).unwrap();
    sandbox.write(".env.prod", "OTHER=stays\n");
    let (exit, _) =
        on_terminal(&sandbox, &["env", "sync", "dev", "prod", "-y"], &[(asks[0].0, "\u{3}")], true);
    assert_eq!(exit, 130);
    assert_eq!(sandbox.read(".env.prod"), "OTHER=stays\n");
    assert!(!sandbox.exists(".envrun/secrets/prod.env"));
}

#[test]
fn a_stage_is_confirmed_when_all_else_holds() {
    if !need("python3", "python3") {
        return;
    }
    let sandbox = Sandbox::with(&[
        (
            "Envfile.kdl",
            "env \"prod\"\nstage \"prod\" env=\"prod\" { guard { confirm \"SHIP\" hint=\"users see it\"; set \"READY\" }; run \"ship\" }\n\
             task \"ship\" { run \"echo shipped >> shipped\" }\n",
        ),
        (".gitignore", "/.envrun/\n/shipped\n"),
    ]);
    for args in [&["init", "-q", "-b", "main"][..], &["add", "."], &["commit", "-qm", "first"]] {
        let git = std::process::Command::new("git")
            .args(["-c", "user.name=a", "-c", "user.email=a@b"])
            .args(args)
            .current_dir(sandbox.root())
            .status();
        assert!(git.unwrap().success());
    }
    let question = "type SHIP to go on: ";
    // What does not hold is told, and nobody is asked.
    let (exit, said) = on_terminal(&sandbox, &["stage", "prod"], &[], false);
    assert!(exit == 3 && said.contains("READY") && !said.contains(question), "{said}");
    let mut sandbox = sandbox;
    sandbox.set("READY", "yes");
    let (exit, said) = on_terminal(&sandbox, &["stage", "prod"], &[(question, "SHIPP\n")], false);
    assert!(exit == 3 && said.contains("`SHIPP` was typed, not `SHIP`"), "{said}");
    assert!(!sandbox.exists("shipped"));
    let (exit, said) = on_terminal(&sandbox, &["stage", "prod"], &[(question, "SHIP\n")], false);
    assert!(exit == 0 && said.contains("users see it"), "{said}");
    assert_eq!(sandbox.read("shipped"), "shipped\n");
    // Green already: there is nothing to confirm.
    sandbox.ok(&["stage", "--all"]);
    let ran = sandbox.run(&["stage", "prod"]);
    assert!(
        ran.exit == 3 && ran.stderr.contains("without a terminal, give `--confirm SHIP`"),
        "{}",
        ran.text()
    );
    sandbox.ok(&["stage", "prod", "--confirm", "SHIP"]);
    sandbox.ok(&["stage", "prod", "--break-glass", "the keyboard is on fire"]);
    assert_eq!(sandbox.read("shipped"), "shipped\n".repeat(3));
    let glass = sandbox.read(".envrun/break-glass.jsonl");
    assert!(glass.contains("the keyboard is on fire") && glass.contains("`SHIP` was not typed"), "{glass}");
}
