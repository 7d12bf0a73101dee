//! What went into the keys of a run's nodes: one file per run, so that a run of ten thousand nodes makes one file more,
//! not ten thousand.
//!
//! Each entry is the label and the manifest, with their lengths before them and a checksum behind: a killed run leaves a
//! beginning that can be read.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use crate::base::Digest;
use crate::base::codec::{Put, Reader};
use crate::base::fs;
use crate::fingerprint::Manifest;

use super::{RunId, runs, runs_dir};

const NAME: &str = "manifests";
/// So many bytes are gathered before they are written.
const PIECE: usize = 256 << 10;

/// Takes the manifests of a run down. What cannot be written is not there to be compared with; the run goes on.
#[derive(Debug)]
pub struct ManifestLog {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    path: std::path::PathBuf,
    file: Option<File>,
    buffer: Vec<u8>,
}

impl ManifestLog {
    /// The log of a run, whose file is made when there is something to write.
    pub fn new(root: &Path, run: &RunId) -> Self {
        let path = runs_dir(root).join(run.as_str()).join(NAME);
        Self { state: Mutex::new(State { path, file: None, buffer: Vec::new() }) }
    }

    /// Adds the manifest of a node.
    pub fn add(&self, label: &str, manifest: &Manifest) {
        let mut body = Vec::new();
        body.put_bytes(label.as_bytes());
        body.put_bytes(&manifest.encode());
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.buffer.put_bytes(&body);
        state.buffer.put(&Digest::of(&body).as_bytes()[..8]);
        if state.buffer.len() >= PIECE {
            state.write();
        }
    }

    /// Writes what is left.
    pub fn finish(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).write();
    }
}

impl State {
    fn write(&mut self) {
        if self.buffer.is_empty() {
            return;
        }
        if self.file.is_none() {
            self.file = File::options().create(true).append(true).open(&self.path).ok();
        }
        if let Some(file) = &mut self.file {
            // Whoever asks later is told that there is nothing to compare with.
            let _ = file.write_all(&self.buffer);
        }
        self.buffer.clear();
    }
}

/// The manifest of a node as `run` had it: its own, if it was executed or restored there, or that of the last run before
/// in which it was.
pub fn manifest_at(root: &Path, run: &RunId, label: &str) -> Option<(RunId, Manifest)> {
    let mut runs = runs(root).ok()?;
    runs.retain(|other| other <= run);
    runs.into_iter().find_map(|run| {
        let bytes = fs::read_if_there(&runs_dir(root).join(run.as_str()).join(NAME)).ok()??;
        find(&bytes, label).map(|manifest| (run, manifest))
    })
}

fn find(bytes: &[u8], label: &str) -> Option<Manifest> {
    let mut reader = Reader::new(bytes);
    let mut found = None;
    while let Some(body) = reader.bytes() {
        let whole = reader.take(8) == Some(&Digest::of(body).as_bytes()[..8]);
        let mut entry = Reader::new(body);
        if whole && entry.text() == Some(label) {
            found = entry.bytes().and_then(Manifest::decode);
        }
    }
    found
}
