//! The file: lines that are chained by checksums, read with distrust, appended durably.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::base::Digest;
use crate::base::fs::{self, FsError};

use crate::gitref::RefError;

use super::difference::Difference;
use super::{Entry, Hold, Holder};

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
    /// What was written here while the remote was away cannot be told to others now either.
    #[error("what was done here in `{env}` is not known to other checkouts yet: {error}")]
    Unshared {
        /// The environment.
        env: String,
        /// Why.
        error: RefError,
    },
    /// Another checkout wrote its lines first, and is done already.
    #[error("`{env}` was changed from another checkout at the same moment: {what}")]
    Overtaken {
        /// The environment.
        env: String,
        /// What was done there, in words.
        what: String,
    },
    /// While a release was at work, somebody else took it over.
    #[error("release {release} of `{env}` was taken out of the hands of this run by {by}")]
    TakenOver {
        /// The environment.
        env: String,
        /// The release.
        release: u64,
        /// Who did, and what.
        by: String,
    },
    /// Both have lines that the other has not.
    #[error("{}", .0.in_words())]
    Diverged(Box<Difference>),
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
    /// What to do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Ref(error) | Self::Unshared { error, .. } => error.hint(),
            Self::Held { env, holder } => Some(match holder.hold {
                Hold::Lock | Hold::Lives => match (&holder.who.host, holder.who.process.pid) {
                    (_, 0) => format!("wait until that one is over; `envrun status {env}` says how it is"),
                    (host, pid) => format!(
                        "wait until that one is over, or have it stop with Ctrl-C or `kill -INT {pid}` on {host}; \
                         `envrun status {env}` says how it is"
                    ),
                },
                Hold::Unknown => format!(
                    "ask {}; if it came to its end while the remote was away, `envrun status {env}` there tells so; if it was cut \
                     short, `envrun deploy resume {env}` brings it to its end, `envrun deploy back {env}` takes it back",
                    holder.who.user
                ),
            }),
            Self::Overtaken { env, .. } => {
                Some(format!("`envrun status {env}` says what is live there now; then run it again"))
            }
            Self::TakenOver { env, .. } => Some(format!(
                "`envrun status {env}` says what is live there by now; speak with whoever has it before you change it"
            )),
            Self::Diverged(difference) => Some(mend_hint(&difference.env)),
            Self::Damaged { path, .. } => {
                let env = path.parent()?.file_name()?.to_str()?;
                Some(mend_hint(env))
            }
            Self::Fs(_) => None,
        }
    }

    /// Whether all is well here, and only the remote is away or has other lines.
    pub fn is_of_the_remote(&self) -> bool {
        matches!(self, Self::Ref(_) | Self::Unshared { .. } | Self::Diverged(_))
    }
}

fn mend_hint(env: &str) -> String {
    format!("`envrun deploy mend {env}` brings together what can be read, and keeps what was there beside it")
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
    let bytes = fs::read_if_there(path)?.unwrap_or_default();
    chain(&bytes).map_err(|(line, reason)| LedgerError::Damaged { path: path.to_path_buf(), line, reason })
}

/// The whole lines of a ledger's bytes; or which line is damaged, from 1, and how.
pub(super) fn chain(bytes: &[u8]) -> Result<(Vec<Entry>, Tail), (usize, String)> {
    let mut entries = Vec::new();
    let mut tail = Tail::default();
    let mut rest = bytes;
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let is_last = !rest[end + 1..].contains(&b'\n');
        match parse(&rest[..end], &tail) {
            Ok((entry, sum)) => {
                entries.push(entry);
                tail = Tail { sum, len: tail.len + end as u64 + 1, next: tail.next + 1 };
            }
            // A crash of the machine can leave the last line in its full length and without its bytes.
            Err(_) if is_last => break,
            Err(reason) => return Err((entries.len() + 1, reason)),
        }
        rest = &rest[end + 1..];
    }
    Ok((entries, tail))
}

/// Every line that can be understood by itself, whatever stands before it, and how many cannot.
pub(super) fn salvage(bytes: &[u8]) -> (Vec<Entry>, usize) {
    let (mut entries, mut lost) = (Vec::new(), 0);
    for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        match serde_json::from_slice(line) {
            Ok(entry) => entries.push(entry),
            Err(_) => lost += 1,
        }
    }
    (entries, lost)
}

/// Entries as the lines of a ledger, behind those that end in `tail`.
pub(super) fn lines(tail: &Tail, entries: impl IntoIterator<Item = Entry>) -> Vec<u8> {
    let mut tail = tail.clone();
    let mut bytes = Vec::new();
    for entry in entries {
        let (text, sum) = line(&tail.sum, &Entry { seq: tail.next, ..entry });
        bytes.extend_from_slice(text.as_bytes());
        tail = Tail { sum, len: tail.len + text.len() as u64, next: tail.next + 1 };
    }
    bytes
}

/// The line of an entry, and its checksum.
fn line(before: &str, entry: &Entry) -> (String, String) {
    let json = serde_json::to_string(entry).expect("entries have only text for keys");
    let body = json.strip_suffix('}').expect("an entry is an object");
    let sum = checksum(before, body);
    (format!("{body}{MARK}{sum}\"}}\n"), sum)
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

    /// How long it is.
    pub(super) fn len(&self) -> usize {
        usize::try_from(self.tail.len).unwrap_or(usize::MAX)
    }

    /// What the file would be with an entry behind it; without one, what it is.
    pub(super) fn whole(&self, entry: Option<&Entry>) -> Result<Vec<u8>, LedgerError> {
        let mut whole = fs::read(&self.path)?;
        whole.truncate(self.len());
        whole.extend(entry.map(|entry| line(&self.tail.sum, entry).0).unwrap_or_default().into_bytes());
        Ok(whole)
    }

    /// Appends a line; it is on the disk when this returns.
    pub(super) fn append(&mut self, entry: &Entry) -> Result<(), LedgerError> {
        let (line, sum) = line(&self.tail.sum, entry);
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
