//! A page, a dev server, a browser: what is saved is seen.

#![cfg(target_os = "linux")]

use std::net::TcpListener;
use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::sandbox::{Sandbox, need};
use crate::watch::Session;

/// The page as a browser shows it, after its scripts have run. A browser that does not come up is tried again: it is not
/// what is tested.
fn seen(url: &str) -> String {
    let mut said = String::new();
    for _ in 0..4 {
        let profile = tempfile::tempdir().unwrap();
        let mut chromium = Command::new("timeout");
        chromium
            .args([
                "-k",
                "5",
                "60",
                "chromium",
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
            ])
            .args(["--no-first-run", "--disable-background-networking", "--disable-component-update"])
            .args(["--disable-sync", "--disable-dev-shm-usage", "--dump-dom"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg(url)
            .env("HOME", profile.path())
            .stdin(Stdio::null());
        let shown = chromium.output().unwrap();
        if shown.status.success() && !shown.stdout.is_empty() {
            return String::from_utf8_lossy(&shown.stdout).into_owned();
        }
        said = String::from_utf8_lossy(&shown.stderr).into_owned();
    }
    panic!("no browser: {said}");
}

#[test]
fn a_page_that_is_edited_and_reloaded_in_a_browser_is_the_new_one() {
    if !need("python3", "python3") || !need("chromium", "chromium") {
        return;
    }
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let sandbox = Sandbox::with(&[
        (
            "Envfile.kdl",
            &format!(
                r#"
            vars {{ (port)PORT {port} }}
            task "site" {{
                inputs "page/*"
                outputs "site"
                run "mkdir -p site && cp page/app.js site/ && sed \"s/WORD/$(cat page/word)/\" page/index.html > site/index.html"
            }}
            service "web" {{
                run "exec python3 -m http.server $PORT --bind 127.0.0.1 --directory site"
            }}
            task "dev" {{ needs "web" "site" }}
            "#
            ),
        ),
        ("page/index.html", "<!doctype html><title>t</title><p id=p>WORD</p><script src=app.js></script>\n"),
        ("page/app.js", "document.getElementById('p').append(', says the script');\n"),
        ("page/word", "hello"),
    ]);
    let mut session = Session::begin(sandbox.command(&["dev", "-o", "json"]));
    session.idle();
    let url = format!("http://127.0.0.1:{port}/");
    let page = seen(&url);
    assert!(page.contains("<p id=\"p\">hello, says the script</p>"), "{page}");
    // Saved as an editor does it: another file in its place.
    sandbox.write("new", "good evening");
    std::fs::rename(sandbox.root().join("new"), sandbox.root().join("page/word")).unwrap();
    let said = session.idle();
    assert!(said.contains(&"=site succeeded".to_owned()), "{said:?}");
    let page = seen(&url);
    assert!(page.contains("<p id=\"p\">good evening, says the script</p>"), "{page}");
    let (exit, _) = session.end(Signal::INT);
    assert_eq!(exit, 130);
    assert!(TcpListener::bind(("127.0.0.1", port)).is_ok(), "the port is free again");
}
