//! The file: lines that are chained by checksums, read with distrust, appended durably.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::base::Digest;
use crate::base::fs::{self, FsError};

use crate::gitref::RefError;

use super::{Entry, Holder};

/// Its name in the environment's folder.
pub(super) const NAME: &str = "ledger.jsonl";

/// Before the checksum at the end of each line.
const MARK: &str = ",\"sum\":\"";
/// How many hexadecimal digits of a checksum are kept.
const DIGITS: usize = 16;

/// A ledger could not be read or written, or is somebody else's at the moment.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// A file or folder could not be used.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// A line that is not the last one is not what was written.
    #[error("`{}` line {line} is not what envrun wrote: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What the reader met.
        reason: String,
    },
    /// The ref that shares it cannot be read or written.
    #[error(transparent)]
    Ref(RefError),
    /// Another checkout wrote its line first.
    #[error("another checkout began to change `{env}` at the same moment")]
    Overtaken {
        /// The environment.
        env: String,
    },
    /// Both have lines that the other has not.
    #[error("`{}` and the ledger that is shared through git have different lines", path.display())]
    Diverged {
        /// The file.
        path: PathBuf,
    },
    /// Somebody else changes the environment.
    #[error("environment `{env}` is locked by {holder}")]
    Held {
        /// The environment.
        env: String,
        /// Who it is.
        holder: Box<Holder>,
    },
}

impl LedgerError {
    /// Whether all is well here, and only the remote is away or has other lines.
    pub fn is_of_the_remote(&self) -> bool {
        matches!(self, Self::Ref(_) | Self::Diverged { .. })
    }
}

/// What a chain of lines ends in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Tail {
    /// The checksum of the last whole line.
    pub(super) sum: String,
    /// How long the file is up to there.
    pub(super) len: u64,
    /// The number of the next entry.
    pub(super) next: u64,
}

/// Reads every whole line. What follows the last of them was cut short by a crash: the step it speaks of never began.
pub(super) fn read(path: &Path) -> Result<(Vec<Entry>, Tail), LedgerError> {
    let Some(bytes) = fs::read_if_there(path)? else { return Ok((Vec::new(), Tail::default())) };
    let mut entries = Vec::new();
    let mut tail = Tail::default();
    let mut rest = &bytes[..];
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let is_last = !rest[end + 1..].contains(&b'\n');
        match parse(&rest[..end], &tail) {
            Ok((entry, sum)) => {
                entries.push(entry);
                tail = Tail { sum, len: tail.len + end as u64 + 1, next: tail.next + 1 };
            }
            // A crash of the machine can leave the last line in its full length and without its bytes.
            Err(_) if is_last => break,
            Err(reason) => {
                let (path, line) = (path.to_path_buf(), entries.len() + 1);
                return Err(LedgerError::Damaged { path, line, reason });
            }
        }
        rest = &rest[end + 1..];
    }
    Ok((entries, tail))
}

fn parse(line: &[u8], tail: &Tail) -> Result<(Entry, String), String> {
    let text = std::str::from_utf8(line).map_err(|error| error.to_string())?;
    let cut = text.rfind(MARK).ok_or("it has no checksum")?;
    let sum = checksum(&tail.sum, &text[..cut]);
    if text[cut + MARK.len()..] != format!("{sum}\"}}") {
        return Err("its checksum is another one".into());
    }
    let entry: Entry = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if entry.seq != tail.next {
        return Err(format!("it is number {}, not {}", entry.seq, tail.next));
    }
    Ok((entry, sum))
}

/// Over the line and the one before it, so that none can be taken out.
fn checksum(before: &str, body: &str) -> String {
    Digest::of(format!("{before}\n{body}").as_bytes()).to_hex()[..DIGITS].to_owned()
}

/// A ledger that its one writer has open.
#[derive(Debug)]
pub(super) struct Writer {
    path: PathBuf,
    file: File,
    tail: Tail,
}

impl Writer {
    /// Opens it behind its last whole line; what a crash left there is taken off. The caller holds the lock.
    pub(super) fn open(path: &Path, tail: Tail) -> Result<Self, LedgerError> {
        let error = |error| FsError::new("write", path, error);
        let file = File::options().create(true).append(true).open(path).map_err(error)?;
        if file.metadata().map_err(error)?.len() != tail.len {
            file.set_len(tail.len).map_err(error)?;
        }
        Ok(Self { path: path.to_path_buf(), file, tail })
    }

    /// The number of the next entry.
    pub(super) fn next(&self) -> u64 {
        self.tail.next
    }

    /// The line of an entry, and its checksum.
    fn line(&self, entry: &Entry) -> (String, String) {
        let json = serde_json::to_string(entry).expect("entries have only text for keys");
        let body = json.strip_suffix('}').expect("an entry is an object");
        let sum = checksum(&self.tail.sum, body);
        (format!("{body}{MARK}{sum}\"}}\n"), sum)
    }

    /// What the file would be with an entry behind it; without one, what it is.
    pub(super) fn whole(&self, entry: Option<&Entry>) -> Result<Vec<u8>, LedgerError> {
        let mut whole = fs::read(&self.path)?;
        whole.truncate(usize::try_from(self.tail.len).unwrap_or(usize::MAX));
        whole.extend(entry.map(|entry| self.line(entry).0).unwrap_or_default().into_bytes());
        Ok(whole)
    }

    /// Appends a line; it is on the disk when this returns.
    pub(super) fn append(&mut self, entry: &Entry) -> Result<(), LedgerError> {
        let (line, sum) = self.line(entry);
        let error = |error| FsError::new("write", &self.path, error);
        let written = self.file.write_all(line.as_bytes()).and_then(|()| self.file.sync_data());
        if let Err(reason) = written {
            // A full disk: half a line is taken off, so that the next one does not stand behind it.
            let _ = self.file.set_len(self.tail.len);
            return Err(error(reason).into());
        }
        if self.tail.len == 0 {
            // The name of a new file is on the disk when its folder is.
            let folder = self.path.parent().unwrap_or(Path::new("."));
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(error)?;
        }
        self.tail = Tail { sum, len: self.tail.len + line.len() as u64, next: self.tail.next + 1 };
        Ok(())
    }
}
