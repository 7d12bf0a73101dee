//! Who listens on which TCP port of this machine.

use std::collections::HashMap;
use std::fmt;
use std::sync::OnceLock;

/// Who has a port.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Owner {
    /// The process, where it may be seen.
    pub pid: Option<u32>,
    /// Its command line.
    pub command: Option<String>,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.pid, self.command.as_deref()) {
            (Some(pid), Some(command)) => write!(f, "pid {pid}: {command}"),
            (Some(pid), None) => write!(f, "pid {pid}"),
            (None, _) => f.write_str("a process of another user"),
        }
    }
}

impl Owner {
    /// What these variables were when the process was started, as far as that may be seen.
    pub fn started_with<const N: usize>(&self, names: [&str; N]) -> [Option<String>; N] {
        let file = self.pid.map(|pid| std::fs::read(format!("/proc/{pid}/environ")));
        let bytes = file.and_then(Result::ok).unwrap_or_default();
        let lines: Vec<&str> =
            bytes.split(|byte| *byte == 0).filter_map(|line| str::from_utf8(line).ok()).collect();
        names.map(|name| {
            let value = |line: &&str| line.strip_prefix(name)?.strip_prefix('=').map(str::to_owned);
            lines.iter().find_map(value)
        })
    }
}

/// The ports that are taken at one moment.
#[derive(Debug, Default)]
pub struct Ports {
    /// By port, the sockets that listen on it; `None` where the system does not tell, and one has to try.
    listening: Option<HashMap<u16, Vec<u64>>>,
    /// By socket, the process that has it open: looked for once, and only if a port is taken.
    owners: OnceLock<HashMap<u64, u32>>,
}

impl Ports {
    /// Looks which ports are taken.
    pub fn look() -> Self {
        let tables: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
            .iter()
            .filter_map(|path| std::fs::read_to_string(path).ok())
            .collect();
        if tables.is_empty() {
            return Self::default();
        }
        let mut listening: HashMap<u16, Vec<u64>> = HashMap::new();
        for (port, socket) in tables.iter().flat_map(|table| listeners(table)) {
            listening.entry(port).or_default().push(socket);
        }
        Self { listening: Some(listening), owners: OnceLock::new() }
    }

    /// Whether somebody listens on `port`.
    pub fn is_taken(&self, port: u16) -> bool {
        match &self.listening {
            Some(listening) => listening.contains_key(&port),
            None => is_refused(port),
        }
    }

    /// Who has `port`; `None` if it is free.
    pub fn owner(&self, port: u16) -> Option<Owner> {
        let Some(listening) = &self.listening else {
            return is_refused(port).then(Owner::default);
        };
        let sockets = listening.get(&port)?;
        let owners = self.owners.get_or_init(|| owners(listening));
        let Some(pid) = sockets.iter().find_map(|socket| owners.get(socket)) else {
            return Some(Owner::default());
        };
        Some(Owner { pid: Some(*pid), command: command_line(*pid) })
    }
}

/// Whether the system does not let us listen there because somebody does.
fn is_refused(port: u16) -> bool {
    let bound = std::net::TcpListener::bind((std::net::Ipv4Addr::UNSPECIFIED, port));
    bound.is_err_and(|error| error.kind() == std::io::ErrorKind::AddrInUse)
}

/// Port and socket of every listener in a table of `/proc/net`.
fn listeners(table: &str) -> impl Iterator<Item = (u16, u64)> + '_ {
    const LISTEN: &str = "0A";
    table.lines().skip(1).filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let port = u16::from_str_radix(fields.get(1)?.rsplit_once(':')?.1, 16).ok()?;
        let socket = fields.get(9)?.parse().ok()?;
        (*fields.get(3)? == LISTEN).then_some((port, socket))
    })
}

/// The processes that have one of the listening sockets open, as far as they may be seen.
fn owners(listening: &HashMap<u16, Vec<u64>>) -> HashMap<u64, u32> {
    let wanted: std::collections::HashSet<u64> = listening.values().flatten().copied().collect();
    let mut owners = HashMap::new();
    for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        for file in std::fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten() {
            let Ok(to) = std::fs::read_link(file.path()) else { continue };
            let socket =
                to.to_str().and_then(|to| to.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok());
            if let Some(socket) = socket.filter(|socket| wanted.contains(socket)) {
                // Of a server and its children, the server: the lowest number.
                let owner = owners.entry(socket).or_insert(pid);
                *owner = pid.min(*owner);
            }
        }
    }
    owners
}

fn command_line(pid: u32) -> Option<String> {
    /// More says nothing more.
    const LONGEST: usize = 100;
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let text = String::from_utf8_lossy(&bytes).trim_end_matches('\0').replace('\0', " ");
    let short: String = text.chars().take(LONGEST).map(|c| if c.is_control() { ' ' } else { c }).collect();
    (!short.is_empty()).then_some(short)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_port_names_its_process() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let owner = Ports::look().owner(port).expect("it is taken");
        if cfg!(target_os = "linux") {
            assert_eq!(owner.pid, Some(std::process::id()));
            let command = owner.command.clone().expect("its own command line can be read");
            assert_eq!(owner.to_string(), format!("pid {}: {command}", std::process::id()));
        }
        drop(listener);
        assert_eq!(Ports::look().owner(port), None);
    }

    #[test]
    fn only_what_listens_counts() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            \x20  0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1\n\
            \x20  1: 0100007F:1F91 0100007F:0050 01 00000000:00000000 00:00000000 00000000  1000        0 4712 1\n\
            \x20  torn line\n";
        assert_eq!(listeners(table).collect::<Vec<_>>(), [(8080, 4711)]);
    }
}
