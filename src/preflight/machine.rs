//! What the machine has: processors, memory, disk, ports.

use std::path::Path;

use super::Ports;

/// What the machine has, as far as it can be told. A plain value, so that a test can hand in another machine.
#[derive(Debug)]
pub struct Machine {
    /// Processors that envrun may use.
    pub cpus: u64,
    /// Bytes of memory, or why that is not known.
    pub memory: Result<u64, String>,
    /// Free bytes where the project lies, or why that is not known.
    pub disk: Result<u64, String>,
    /// How many files and folders one user may watch, where there is such a limit.
    pub watches: Option<u64>,
    /// Who listens where.
    pub ports: Ports,
}

impl Machine {
    /// Looks at this machine. `root` is the project's folder.
    pub fn look(root: &Path, cpus: usize) -> Self {
        let watches = std::fs::read_to_string("/proc/sys/fs/inotify/max_user_watches");
        Self {
            cpus: cpus as u64,
            memory: memory(),
            disk: disk(root),
            watches: watches.ok().and_then(|text| text.trim().parse().ok()),
            ports: Ports::look(),
        }
    }
}

fn disk(root: &Path) -> Result<u64, String> {
    let stat = rustix::fs::statvfs(root).map_err(|error| format!("{}: {error}", root.display()))?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

#[cfg(target_os = "linux")]
fn memory() -> Result<u64, String> {
    let text = std::fs::read_to_string("/proc/meminfo").map_err(|error| format!("/proc/meminfo: {error}"))?;
    let total = total_memory(&text).ok_or("/proc/meminfo does not say")?;
    // A container has what it was given, not what is in the machine.
    let limit = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let limit: Option<u64> = limit.and_then(|text| text.trim().parse().ok());
    Ok(limit.map_or(total, |limit| total.min(limit)))
}

#[cfg(not(target_os = "linux"))]
fn memory() -> Result<u64, String> {
    let output = std::process::Command::new("sysctl")
        .args(["-n", "hw.memsize"])
        .stdin(std::process::Stdio::null())
        .output()
        .map_err(|error| format!("`sysctl` could not be started: {error}"))?;
    String::from_utf8_lossy(&output.stdout).trim().parse().map_err(|_| "`sysctl` does not say".to_owned())
}

/// The bytes of `MemTotal` in `/proc/meminfo`.
#[cfg(target_os = "linux")]
fn total_memory(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}
