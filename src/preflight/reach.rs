//! Whether an address accepts a connection.

use std::net::{TcpStream, ToSocketAddrs};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// How long an address has, its name included.
const PATIENCE: Duration = Duration::from_secs(2);

/// Connects to an address such as `db:5432` or `https://example.org/path`; the error says why it cannot.
pub fn connect(address: &str) -> Result<(), String> {
    let (host, port) = host_and_port(address)?;
    let (send, receive) = mpsc::channel();
    // Looking up a name takes no limit: it is left behind when the time is over.
    std::thread::spawn(move || {
        let _ = send.send(try_all(&host, port));
    });
    let nobody = || format!("nothing answered within {} seconds", PATIENCE.as_secs());
    receive.recv_timeout(PATIENCE).unwrap_or_else(|_| Err(nobody()))
}

/// A host may have several addresses: one that answers is enough.
fn try_all(host: &str, port: u16) -> Result<(), String> {
    let until = Instant::now() + PATIENCE;
    let found = (host, port).to_socket_addrs().map_err(|_| format!("the host `{host}` is not known"))?;
    let mut reason = format!("the host `{host}` is not known");
    for address in found {
        let left = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        match TcpStream::connect_timeout(&address, left) {
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                reason = "the connection was refused".into();
            }
            Err(error) => reason = error.to_string(),
        }
    }
    Err(reason)
}

/// The host and the port that an address or a URL names.
fn host_and_port(address: &str) -> Result<(String, u16), String> {
    let (scheme, rest) =
        address.split_once("://").map_or((None, address), |(scheme, rest)| (Some(scheme), rest));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    // An IPv6 address has colons of its own, and so stands in brackets.
    let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, rest)) => (host, rest.strip_prefix(':')),
        None => authority.rsplit_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
    };
    if host.is_empty() {
        return Err(format!("`{address}` names no host"));
    }
    let port = match port {
        Some(port) => port.parse().ok().filter(|port| *port > 0),
        None => scheme.and_then(usual_port),
    };
    let port = port.ok_or_else(|| format!("`{address}` names no port: write `{host}:443`"))?;
    Ok((host.to_owned(), port))
}

/// The port of a URL that names none.
fn usual_port(scheme: &str) -> Option<u16> {
    Some(match scheme {
        "http" | "ws" => 80,
        "https" | "wss" => 443,
        "ssh" | "sftp" => 22,
        "postgres" | "postgresql" => 5432,
        "mysql" => 3306,
        "redis" => 6379,
        "amqp" => 5672,
        "mongodb" => 27017,
        "ldap" => 389,
        "ldaps" => 636,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (address, expected) in [
            ("db.internal:5432", "db.internal 5432"),
            ("https://example.org/path?x=1:2", "example.org 443"),
            ("http://user:secret@localhost:8080/", "localhost 8080"),
            ("postgres://u@db/shop", "db 5432"),
            ("[::1]:80", "::1 80"),
            ("http://[::1]/", "::1 80"),
            ("localhost", "`localhost` names no port: write `localhost:443`"),
            ("localhost:http", "`localhost:http` names no port: write `localhost:443`"),
            ("foo://host", "`foo://host` names no port: write `host:443`"),
            (":80", "`:80` names no host"),
        ] {
            let found =
                host_and_port(address).map_or_else(|error| error, |(host, port)| format!("{host} {port}"));
            assert_eq!(found, expected, "{address}");
        }
    }

    #[test]
    fn who_listens_is_reached_and_who_does_not_is_not() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        assert_eq!(connect(&address), Ok(()));
        assert_eq!(connect(&format!("http://{address}/health")), Ok(()));
        drop(listener);
        assert_eq!(connect(&address), Err("the connection was refused".into()));
    }
}
