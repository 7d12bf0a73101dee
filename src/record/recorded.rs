//! Reads recorded runs back.

use std::collections::HashMap;
use std::fs::{self, File, TryLockError};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::line::{self, Kept, Line};
use super::{RecordError, RunId, log_name, runs_dir};
use crate::base::Timestamp;
use crate::base::fs::{FsError, read};
use crate::event::{Counts, Event, FORMAT, NodeInfo, RunState, Sequenced};
use crate::graph::NodeIx;

/// A recorded run.
#[derive(Debug, Clone)]
pub struct Recorded {
    id: RunId,
    dir: PathBuf,
}

/// What a list of runs says of one.
#[derive(Debug, Clone, PartialEq)]
pub struct RunSummary {
    /// Its id.
    pub id: RunId,
    /// When it began.
    pub began: Timestamp,
    /// What was asked for.
    pub targets: Vec<String>,
    /// How many nodes ended how.
    pub counts: Counts,
    /// Its exit status; `None` if it goes on or was killed.
    pub exit: Option<u8>,
    /// How long it took, or has taken so far.
    pub took: Duration,
    /// Whether it still goes on.
    pub live: bool,
}

/// The runs of the project at `root`, newest first.
pub fn runs(root: &Path) -> Result<Vec<RunId>, RecordError> {
    let dir = runs_dir(root);
    let entries = match fs::read_dir(&dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(|error| FsError::new("list", &dir, error))?,
    };
    let mut runs = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| FsError::new("list", &dir, error))?;
        runs.extend(entry.file_name().to_str().and_then(RunId::parse));
    }
    runs.sort_unstable_by(|one, other| other.cmp(one));
    Ok(runs)
}

/// The newest run.
pub fn latest(root: &Path) -> Result<Option<RunId>, RecordError> {
    Ok(runs(root)?.into_iter().next())
}

impl Recorded {
    /// Finds a run by its id, by a beginning or an ending of it that fits no other, or by `latest`.
    pub fn open(root: &Path, name: &str) -> Result<Self, RecordError> {
        let mut fitting = runs(root)?;
        if name == "latest" {
            fitting.truncate(1);
        } else {
            fitting.retain(|id| id.as_str().starts_with(name) || id.as_str().ends_with(name));
        }
        match &fitting[..] {
            [id] => Ok(Self { dir: runs_dir(root).join(id.as_str()), id: id.clone() }),
            [] => Err(RecordError::Unknown(name.to_owned())),
            several => Err(RecordError::Ambiguous(name.to_owned(), several.len())),
        }
    }

    /// Its id.
    pub fn id(&self) -> &RunId {
        &self.id
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where the log of a node is, if it printed anything.
    pub fn log(&self, label: &str) -> Option<PathBuf> {
        Some(self.dir.join("logs").join(log_name(label))).filter(|path| path.is_file())
    }

    /// Its events, in order, as they were told. A last line cut short by a crash is passed over.
    pub fn events(&self) -> Result<Events, RecordError> {
        let path = self.dir.join("events.jsonl");
        let file = File::open(&path).map_err(|error| FsError::new("read", &path, error))?;
        Ok(Events {
            dir: self.dir.clone(),
            path,
            lines: BufReader::new(file),
            line: 0,
            nodes: [].into(),
            logs: HashMap::new(),
        })
    }

    /// What was asked for: its first line, without what is kept beside it.
    pub fn targets(&self) -> Result<Vec<String>, RecordError> {
        let path = self.dir.join("events.jsonl");
        let read = |error| FsError::new("read", &path, error);
        let mut line = String::new();
        BufReader::new(File::open(&path).map_err(read)?).read_line(&mut line).map_err(read)?;
        let Line { event, .. } = serde_json::from_str(&line).map_err(|error| RecordError::Damaged {
            path: path.clone(),
            line: 1,
            reason: error.to_string(),
        })?;
        Ok(match event.event {
            Event::RunStarted(started) => started.targets,
            _ => Vec::new(),
        })
    }

    /// All of it, folded.
    pub fn state(&self) -> Result<RunState, RecordError> {
        let mut state = RunState::new();
        for event in self.events()? {
            state.apply(&event?);
        }
        Ok(state)
    }

    /// Whether it still goes on.
    pub fn is_live(&self) -> bool {
        let events = File::open(self.dir.join("events.jsonl"));
        events.is_ok_and(|events| matches!(events.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

    /// What a list of runs says of it.
    pub fn summary(&self) -> Result<RunSummary, RecordError> {
        let state = self.state()?;
        let finished = state.finished();
        Ok(RunSummary {
            id: self.id.clone(),
            // One that was killed before its first event has only its name.
            began: state.started().map(|_| state.began()).or_else(|| self.id.time()).unwrap_or(state.began()),
            targets: state.started().map(|started| started.targets.clone()).unwrap_or_default(),
            counts: *state.counts(),
            exit: finished.map(|finished| finished.exit),
            took: finished.map_or(state.elapsed(), |finished| finished.took),
            live: finished.is_none() && self.is_live(),
        })
    }
}

/// The events of a recorded run.
#[derive(Debug)]
pub struct Events {
    dir: PathBuf,
    path: PathBuf,
    lines: BufReader<File>,
    line: usize,
    nodes: std::sync::Arc<[NodeInfo]>,
    /// Opened once each; `None` for one that is gone.
    logs: HashMap<NodeIx, Option<File>>,
}

impl Iterator for Events {
    type Item = Result<Sequenced, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut text = Vec::new();
        self.line += 1;
        match self.lines.read_until(b'\n', &mut text) {
            Err(error) => return Some(Err(FsError::new("read", &self.path, error).into())),
            // Without its end a line was not written whole.
            Ok(_) if text.last() != Some(&b'\n') => return None,
            Ok(_) => {}
        }
        Some(self.read(&text))
    }
}

impl Events {
    fn read(&mut self, text: &[u8]) -> Result<Sequenced, RecordError> {
        let Line { event: mut told, kept } = serde_json::from_slice(text).map_err(|error| {
            let reason = error.to_string();
            RecordError::Damaged { path: self.path.clone(), line: self.line, reason }
        })?;
        if let Event::RunStarted(started) = &told.event
            && started.format > FORMAT
        {
            return Err(RecordError::Newer { path: self.path.clone(), format: started.format });
        }
        match kept {
            None => {}
            Some(Kept::Nodes { .. }) => line::put_nodes(&mut told.event, self.read_nodes()?),
            Some(Kept::Log { at, len }) => {
                if let Some(node) = line::node(&told.event) {
                    line::put_log(&mut told.event, self.read_log(node, at, len));
                }
            }
        }
        if let Event::RunStarted(started) = &told.event {
            self.nodes = started.nodes.clone();
        }
        Ok(told)
    }

    fn read_nodes(&self) -> Result<Vec<NodeInfo>, RecordError> {
        let path = self.dir.join("nodes.json");
        serde_json::from_slice(&read(&path)?).map_err(|error| {
            let (line, reason) = (error.line(), error.to_string());
            RecordError::Damaged { path, line, reason }
        })
    }

    /// What is still there of a stretch of a log: a log that somebody removed is empty.
    fn read_log(&mut self, node: NodeIx, at: u64, len: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        let Some(info) = self.nodes.get(node.0 as usize) else { return bytes };
        let path = self.dir.join("logs").join(log_name(&info.label));
        if let Some(log) = self.logs.entry(node).or_insert_with(|| File::open(path).ok())
            && log.seek(SeekFrom::Start(at)).is_ok()
        {
            let _ = log.take(len).read_to_end(&mut bytes);
        }
        bytes
    }
}
