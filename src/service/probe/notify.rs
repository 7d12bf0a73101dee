//! A socket through which a service says that it is ready, as systemd's `sd_notify` has it.

use std::ffi::OsString;
use std::io;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::Duration;

use super::Voice;

/// The socket; closed, and its name free again, when dropped.
#[derive(Debug)]
pub struct NotifySocket {
    /// What the variable `NOTIFY_SOCKET` says.
    pub name: OsString,
    address: SocketAddr,
}

impl NotifySocket {
    /// Opens one; what is said there is told to `voice`.
    pub fn open(voice: &Arc<Voice>) -> io::Result<Self> {
        let (name, address) = fresh()?;
        let socket = UnixDatagram::bind_addr(&address)?;
        let voice = Arc::clone(voice);
        std::thread::Builder::new().name("notify".to_owned()).spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length) = socket.recv(&mut buffer) {
                let text = &buffer[..length];
                if text == CLOSE {
                    return;
                }
                if text.split(|byte| *byte == b'\n').any(|line| line == b"READY=1") {
                    voice.is_ready();
                }
            }
        })?;
        Ok(Self { name, address })
    }
}

/// What ends the thread that listens; nobody else says that.
const CLOSE: &[u8] = b"ENVRUN_CLOSE=1";

impl Drop for NotifySocket {
    fn drop(&mut self) {
        if let Ok(socket) = UnixDatagram::unbound() {
            let _ = socket.set_write_timeout(Some(Duration::from_millis(100)));
            let _ = socket.send_to_addr(CLOSE, &self.address);
        }
        #[cfg(not(target_os = "linux"))]
        let _ = std::fs::remove_file(&self.name);
    }
}

/// A name that nobody else has. Abstract: there is no file that could be left over.
#[cfg(target_os = "linux")]
fn fresh() -> io::Result<(OsString, SocketAddr)> {
    use std::os::linux::net::SocketAddrExt;
    let name = format!("envrun-notify-{}", random());
    let address = SocketAddr::from_abstract_name(&name)?;
    Ok((format!("@{name}").into(), address))
}

#[cfg(not(target_os = "linux"))]
fn fresh() -> io::Result<(OsString, SocketAddr)> {
    let path = std::path::Path::new("/tmp").join(format!("envrun-notify-{}", random()));
    let address = SocketAddr::from_pathname(&path)?;
    Ok((path.into(), address))
}

fn random() -> String {
    use std::hash::{BuildHasher, RandomState};
    let number = RandomState::new().hash_one(std::process::id());
    format!("{}-{number:016x}", std::process::id())
}
