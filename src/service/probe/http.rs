//! Asks an address over HTTP.

use std::time::Duration;

/// Gets `url`; good is the status that is wanted, or any below 400.
pub(super) fn ask(url: &str, wanted: Option<u16>, patience: Duration) -> Result<(), String> {
    let agent = ureq::Agent::config_builder()
        .timeout_global(Some(patience))
        .http_status_as_error(false)
        // A service that answers with a redirect answers; where it leads may be somewhere else.
        .max_redirects(0)
        .max_redirects_will_error(false)
        // What is asked is this machine, or one of its containers.
        .proxy(None)
        .user_agent("envrun")
        .build()
        .new_agent();
    if url.starts_with("https:") {
        return Err("envrun asks plain HTTP: write `exec \"curl\" \"-fsS\" …` for https".into());
    }
    let status = match agent.get(url).call() {
        Ok(response) => response.status().as_u16(),
        Err(ureq::Error::Io(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            return Err("the connection was refused".into());
        }
        Err(ureq::Error::ConnectionFailed) => return Err("the connection was refused".into()),
        Err(ureq::Error::Timeout(_)) => {
            return Err(format!("no answer within {} seconds", patience.as_secs()));
        }
        Err(error) => return Err(error.to_string()),
    };
    match wanted {
        Some(wanted) if wanted != status => Err(format!("status {status}, not {wanted}")),
        None if status >= 400 => Err(format!("status {status}")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    /// A server that answers once, with this text.
    fn answering(text: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(text.as_bytes());
        });
        format!("http://{address}/health")
    }

    #[test]
    fn the_status_decides() {
        let asked = |text, wanted| ask(&answering(text), wanted, Duration::from_secs(5));
        const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        const TEAPOT: &str = "HTTP/1.1 418 I'm a teapot\r\nContent-Length: 0\r\n\r\n";
        const MOVED: &str =
            "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(asked(OK, None), Ok(()));
        assert_eq!(asked(OK, Some(204)), Err("status 200, not 204".into()));
        assert_eq!(asked(TEAPOT, None), Err("status 418".into()));
        assert_eq!(asked(TEAPOT, Some(418)), Ok(()));
        assert_eq!(asked(MOVED, None), Ok(()));
        assert!(asked("nonsense\r\n\r\n", None).is_err());
    }

    #[test]
    fn nobody_there() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        assert_eq!(ask(&url, None, Duration::from_secs(5)), Err("the connection was refused".into()));
    }

    #[test]
    fn who_never_answers_is_not_waited_for_long() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = ask(&url, None, Duration::from_millis(20));
        assert_eq!(asked, Err("no answer within 0 seconds".into()));
    }
}
