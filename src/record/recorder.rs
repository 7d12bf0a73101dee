//! Writes a run down as it happens.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::line::{self, Kept, Line};
use super::{Limits, RecordError, RunId, STATE_DIR, log_name, prune, runs_dir};
use crate::base::fs::{FsError, write_atomic};
use crate::base::{Clock, Digest, Timestamp};
use crate::event::{Event, NodeInfo, RunState, Sequenced};
use crate::graph::NodeIx;

/// How often another id is drawn when one is taken; two runs begin in the same millisecond once in a blue moon.
const DRAWS: usize = 64;

/// Written where a log ends early: a task that prints without end must not fill the disk.
const CUT: &str = "\n[envrun: the logs of this run have reached their limit; nothing more is kept]\n";

/// A run that wrote no more than this is a small one.
const LITTLE: u64 = 1 << 20;

/// A run being written down.
#[derive(Debug)]
pub struct Recorder {
    root: PathBuf,
    id: RunId,
    dir: PathBuf,
    /// `events.jsonl`, locked until it is closed.
    events: File,
    limits: Limits,
    /// Lines told but not yet written.
    pending: Vec<u8>,
    /// The logs of nodes that are executed now.
    logs: HashMap<NodeIx, Log>,
    /// How many bytes of logs this run may still write.
    room: u64,
    /// How many bytes it wrote.
    written: u64,
    /// Something was told.
    told: bool,
}

/// An open log and how long it is.
#[derive(Debug)]
struct Log {
    path: PathBuf,
    file: File,
    len: u64,
}

impl Log {
    fn append(&mut self, bytes: &[u8]) -> Result<(), RecordError> {
        self.len += bytes.len() as u64;
        Ok(self.file.write_all(bytes).map_err(|error| FsError::new("write", &self.path, error))?)
    }
}

impl Recorder {
    /// Opens a new record in the project at `root`, and locks it for as long as the recorder lives.
    pub fn create(root: &Path, clock: &Clock, limits: Limits) -> Result<Self, RecordError> {
        let runs = runs_dir(root);
        let (id, dir) = claim_dir(root, &runs, clock.now())?;
        let path = dir.join("events.jsonl");
        let events = File::create_new(&path).map_err(|error| FsError::new("create", &path, error))?;
        // On a file system without locks this fails, and so it does for `prune`, which then removes nothing.
        let _ = events.lock();
        Ok(Self {
            root: root.to_path_buf(),
            id,
            dir,
            events,
            limits,
            pending: Vec::new(),
            logs: HashMap::new(),
            room: limits.bytes,
            written: 0,
            told: false,
        })
    }

    /// The run's id, to be told in `RunStarted`.
    pub fn id(&self) -> &RunId {
        &self.id
    }

    /// The run's folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Writes an event down. `state` has taken it in already.
    pub fn on(&mut self, told: &Sequenced, state: &RunState) -> Result<(), RecordError> {
        let kept = match &told.event {
            Event::RunStarted(started) => {
                self.told = true;
                link_latest(&runs_dir(&self.root), &self.id)?;
                self.keep_nodes(&started.nodes)?;
                Some(Kept::Nodes { count: started.nodes.len() })
            }
            event => match line::log_bytes(event) {
                Some((node, bytes)) => Some(self.append_to_log(node, state.label(node), bytes)?),
                None => None,
            },
        };
        match kept {
            // The room for logs is used up: not even a line says so again and again.
            Some(Kept::Log { len: 0, .. })
                if self.room == 0 && matches!(told.event, Event::Output { .. }) =>
            {
                return Ok(());
            }
            Some(_) => self.push_line(&Line { event: line::shortened(told), kept }),
            None => self.push_line(told),
        }
        match &told.event {
            // Held back until something happens: a run that does nothing is written at once, at its end.
            Event::RunStarted(_) | Event::Expected { .. } | Event::NodesFinished { .. } => return Ok(()),
            Event::NodeFinished { node, .. } => drop(self.logs.remove(node)),
            _ => {}
        }
        self.write_pending()?;
        if matches!(told.event, Event::RunFinished(_)) {
            self.finish(state)?;
        }
        Ok(())
    }

    fn push_line(&mut self, line: &impl serde::Serialize) {
        serde_json::to_writer(&mut self.pending, line).expect("events have only text for keys");
        self.pending.push(b'\n');
    }

    fn write_pending(&mut self) -> Result<(), RecordError> {
        self.written += self.pending.len() as u64;
        let written = self.events.write_all(&self.pending);
        self.pending.clear();
        Ok(written.map_err(|error| FsError::new("write", self.dir.join("events.jsonl"), error))?)
    }

    /// Appends to a node's log, before the line that speaks of it: a line never points past what is there.
    fn append_to_log(&mut self, node: NodeIx, label: &str, bytes: &[u8]) -> Result<Kept, RecordError> {
        let log = match self.logs.entry(node) {
            Entry::Occupied(open) => open.into_mut(),
            Entry::Vacant(place) => place.insert(open_log(self.dir.join("logs"), label)?),
        };
        let at = log.len;
        let len = bytes.len().min(usize::try_from(self.room).unwrap_or(usize::MAX));
        log.append(&bytes[..len])?;
        if len < bytes.len() && self.room > 0 {
            log.append(CUT.as_bytes())?;
        }
        self.room -= len as u64;
        self.written += len as u64;
        Ok(Kept::Log { at, len: len as u64 })
    }

    /// Puts the list of nodes into the run's folder. The same graph is written once and linked ever after.
    fn keep_nodes(&self, nodes: &[NodeInfo]) -> Result<(), RecordError> {
        let graphs = runs_dir(&self.root).join("graphs");
        let shared = graphs.join(format!("{}.json", &digest(nodes).to_hex()[..32]));
        let own = self.dir.join("nodes.json");
        if fs::hard_link(&shared, &own).is_ok() {
            return Ok(());
        }
        let json = serde_json::to_vec(nodes).expect("nodes have only text for keys");
        write_atomic(&shared, &json)?;
        // Not every file system has hard links.
        if fs::hard_link(&shared, &own).is_err() {
            write_atomic(&own, &json)?;
        }
        Ok(())
    }

    /// After the last event: makes room.
    fn finish(&mut self, state: &RunState) -> Result<(), RecordError> {
        // Looking through all runs takes longer than all else that a run does which has little to do: one in sixteen of
        // those is enough. The id's last digit was drawn at random.
        if self.written > LITTLE || self.id.as_str().ends_with('0') {
            prune(&self.root, &self.limits, state.now())?;
        }
        Ok(())
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if self.told {
            // Best effort, for a run that ends without its last event.
            let _ = self.write_pending();
        } else {
            // The run did not even begin: its request was refused.
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

/// Makes a folder that no other run has.
fn claim_dir(root: &Path, runs: &Path, now: Timestamp) -> Result<(RunId, PathBuf), RecordError> {
    let mut last = None;
    for _ in 0..DRAWS {
        let id = RunId::draw(now);
        let dir = runs.join(id.as_str());
        match fs::create_dir(&dir) {
            Ok(()) => return Ok((id, dir)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => create_runs_dir(root, runs)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => last = Some((dir, error)),
            Err(error) => return Err(FsError::new("create the folder", &dir, error).into()),
        }
    }
    let (dir, error) = last.unwrap_or((runs.to_path_buf(), io::ErrorKind::NotFound.into()));
    Err(FsError::new("create the folder", dir, error).into())
}

/// The first run in a project: what envrun keeps there is nothing for git.
fn create_runs_dir(root: &Path, runs: &Path) -> Result<(), RecordError> {
    crate::base::fs::create_folder(runs)?;
    let ignore = root.join(STATE_DIR).join(".gitignore");
    if !ignore.exists() {
        write_atomic(&ignore, b"*\n")?;
    }
    Ok(())
}

/// Points `latest` at this run, in one step.
fn link_latest(runs: &Path, id: &RunId) -> Result<(), RecordError> {
    let latest = runs.join("latest");
    let temporary = runs.join(crate::base::fs::temporary_name("latest".as_ref()));
    let linked =
        std::os::unix::fs::symlink(id.as_str(), &temporary).and_then(|()| fs::rename(&temporary, &latest));
    Ok(linked.map_err(|error| FsError::new("link", latest, error))?)
}

fn open_log(logs: PathBuf, label: &str) -> Result<Log, RecordError> {
    let path = logs.join(log_name(label));
    let mut options = File::options();
    options.append(true).create(true);
    let open = || options.open(&path);
    let file = open().or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => fs::create_dir_all(&logs).and_then(|()| open()),
        _ => Err(error),
    });
    let sized = file.and_then(|file| Ok((file.metadata()?.len(), file)));
    let (len, file) = sized.map_err(|error| FsError::new("write", &path, error))?;
    Ok(Log { path, file, len })
}

/// Over everything that is written of the nodes. One buffer, because hashing 10,000 small pieces costs ten times more.
fn digest(nodes: &[NodeInfo]) -> Digest {
    let mut buffer = Vec::with_capacity(nodes.len() * 32);
    let mut text = |text: &str, flags: u8| {
        buffer.extend_from_slice(&(text.len() as u32).to_le_bytes());
        buffer.push(flags);
        buffer.extend_from_slice(text.as_bytes());
    };
    for node in nodes {
        let has_desc = node.desc.is_some();
        text(&node.label, u8::from(node.group) | u8::from(node.target) << 1 | u8::from(has_desc) << 2);
        if let Some(desc) = &node.desc {
            text(desc, 0);
        }
    }
    Digest::of(&buffer)
}
