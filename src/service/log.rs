//! The log files of a service: `.envrun/logs/<env>/<node>/<time>.log`, and `latest`, a link to the newest.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::base::Timestamp;
use crate::base::fs::{self, FsError};

/// The link to the newest file.
pub const LATEST: &str = "latest";
/// How many files of a service are kept.
const KEPT: usize = 10;
/// A file that is larger than this is followed by another.
const LARGEST: u64 = 32 << 20;
/// How many of the last lines are at hand when something goes wrong.
pub const LINES: usize = 20;
/// How the name ends of a file that goes on with the one before.
const CONTINUED: &str = "+";
/// A line longer than this is cut where it is shown.
const LONGEST_LINE: usize = 2000;

/// Where the output of a service goes.
#[derive(Debug)]
pub struct LogWriter {
    folder: PathBuf,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    file: Option<File>,
    path: Option<PathBuf>,
    size: u64,
    last: VecDeque<Vec<u8>>,
    /// The last line has not ended yet.
    open: bool,
}

impl LogWriter {
    /// Writes below `folder`; nothing is made before the first byte.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_path_buf(), inner: Mutex::default() }
    }

    /// A new file, and a new memory of last lines.
    pub fn begin(&self, now: Timestamp) -> Result<(), FsError> {
        let mut inner = self.lock();
        inner.last.clear();
        inner.open = false;
        self.open(&mut inner, now, "")
    }

    /// It is started again by itself: what follows is of another process, and so says a line of the file.
    pub fn again(&self, what: &str, now: Timestamp) {
        let mut inner = self.lock();
        let open = if inner.open { "\n" } else { "" };
        inner.last.clear();
        inner.open = false;
        let line = format!("{open}--- envrun: {what} at {}\n", moment(now).strftime("%Y-%m-%d %H:%M:%S UTC"));
        if let Some(file) = &mut inner.file {
            let _ = file.write_all(line.as_bytes());
        }
        inner.size += line.len() as u64;
    }

    /// Adds what was printed. That a full disk keeps it from the file must not end the service.
    pub fn write(&self, bytes: &[u8], now: Timestamp) {
        let mut inner = self.lock();
        inner.remember(bytes);
        if inner.size > LARGEST {
            let _ = self.open(&mut inner, now, CONTINUED);
        }
        if let Some(file) = &mut inner.file {
            let _ = file.write_all(bytes);
        }
        inner.size += bytes.len() as u64;
    }

    /// Nothing more comes before it begins anew: what is not written to need not be open.
    pub fn end(&self) {
        self.lock().file = None;
    }

    /// The last lines, oldest first.
    pub fn last_lines(&self) -> Vec<String> {
        let text =
            |line: &Vec<u8>| String::from_utf8_lossy(&line[..line.len().min(LONGEST_LINE)]).into_owned();
        self.lock().last.iter().map(text).collect()
    }

    /// The file that was written last.
    pub fn path(&self) -> Option<PathBuf> {
        self.lock().path.clone()
    }

    fn open(&self, inner: &mut Inner, now: Timestamp, kind: &str) -> Result<(), FsError> {
        fs::create_folder(&self.folder)?;
        let name = format!("{}-{:03}{kind}.log", moment(now).strftime("%Y%m%d-%H%M%S"), now.0 % 1000);
        let path = self.folder.join(&name);
        let file = File::options()
            .append(true)
            .create(true)
            .open(&path)
            .map_err(|error| FsError::new("open", &path, error))?;
        inner.size = file.metadata().map_or(0, |metadata| metadata.len());
        inner.file = Some(file);
        inner.path = Some(path);
        let link = self.folder.join(LATEST);
        let fresh = self.folder.join(fs::temporary_name(LATEST.as_ref()));
        let made = std::os::unix::fs::symlink(&name, &fresh).and_then(|()| std::fs::rename(&fresh, &link));
        made.map_err(|error| FsError::new("write", &link, error))?;
        self.prune();
        Ok(())
    }

    /// Whoever cannot remove old files leaves them to the next.
    fn prune(&self) {
        for old in files(&self.folder).unwrap_or_default().iter().rev().skip(KEPT) {
            let _ = std::fs::remove_file(old);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn remember(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = match piece.strip_suffix(b"\n") {
                Some(text) => (text.strip_suffix(b"\r").unwrap_or(text), true),
                None => (piece, false),
            };
            if self.open
                && let Some(last) = self.last.back_mut()
            {
                if last.len() < LONGEST_LINE {
                    last.extend_from_slice(text);
                }
            } else {
                self.last.push_back(text.to_vec());
                if self.last.len() > LINES {
                    self.last.pop_front();
                }
            }
            self.open = !ends;
        }
    }
}

fn moment(time: Timestamp) -> jiff::Timestamp {
    let millis = i64::try_from(time.0).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX)
}

/// The log files of a folder, the oldest first.
fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let paths = entries.flatten().map(|entry| entry.path());
    let mut logs: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|extension| extension == "log")).collect();
    logs.sort();
    Ok(logs)
}

/// When the start was that a file tells of, as its name says; nothing of one that goes on with another.
fn start_of(path: &Path) -> Option<String> {
    let name = path.file_stem()?.to_str()?;
    let moment = jiff::civil::DateTime::strptime("%Y%m%d-%H%M%S", name.rsplit_once('-')?.0).ok()?;
    (!name.ends_with(CONTINUED)).then(|| moment.strftime("%Y-%m-%d %H:%M:%S UTC").to_string())
}

/// The end of a service's newest log, and what is added to it.
#[derive(Debug)]
pub struct LogReader {
    folder: PathBuf,
    file: Option<(PathBuf, File)>,
    /// Files that come after it.
    next: VecDeque<PathBuf>,
}

/// How much is read at once.
const PIECE: u64 = 1 << 20;
/// How often it is looked whether something was added.
const POLL: Duration = Duration::from_millis(100);

impl LogReader {
    /// Reads below `folder`, beginning with the last `lines` of the newest file; `None`: with its beginning.
    pub fn new(folder: &Path, lines: Option<usize>) -> io::Result<Self> {
        let mut reader = Self { folder: folder.to_path_buf(), file: None, next: VecDeque::new() };
        if let Some((path, mut file)) = reader.newest()? {
            if let Some(lines) = lines {
                seek_to_last(&mut file, lines)?;
            }
            reader.file = Some((path, file));
        }
        Ok(reader)
    }

    /// Reads everything below `folder` that is still there, start by start.
    pub fn all(folder: &Path) -> io::Result<Self> {
        Ok(Self { folder: folder.to_path_buf(), file: None, next: files(folder)?.into() })
    }

    /// Whether there is anything to read.
    pub fn is_there(&self) -> bool {
        self.file.is_some() || !self.next.is_empty()
    }

    /// Reads what is there; nothing at the end. Goes on with the next file when there is one: what it read is of another
    /// start then, and it gives the moment of that.
    pub fn read(&mut self, into: &mut Vec<u8>) -> io::Result<Option<String>> {
        if let Some((_, file)) = &mut self.file {
            file.take(PIECE).read_to_end(into)?;
        }
        if !into.is_empty() {
            return Ok(None);
        }
        let next = loop {
            match self.next.pop_front() {
                None => break self.newest()?,
                Some(path) => match File::open(&path) {
                    Ok(file) => break Some((path, file)),
                    // Room was made for newer ones meanwhile.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                },
            }
        };
        let Some((path, file)) = next else { return Ok(None) };
        if self.file.as_ref().is_some_and(|(known, _)| *known == path) {
            return Ok(None);
        }
        let start = start_of(&path);
        let (_, file) = self.file.insert((path, file));
        file.take(PIECE).read_to_end(into)?;
        Ok(start)
    }

    /// Waits a little: somebody else writes, and there is no event to wait for on every file system.
    pub fn pause() {
        std::thread::sleep(POLL);
    }

    fn newest(&self) -> io::Result<Option<(PathBuf, File)>> {
        let path = match self.folder.join(LATEST).canonicalize() {
            Ok(path) => path,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let file = File::open(&path)?;
        Ok(Some((path, file)))
    }
}

/// Goes to the beginning of the last `lines` lines.
fn seek_to_last(file: &mut File, lines: usize) -> io::Result<()> {
    const STEP: u64 = 64 * 1024;
    let end = file.seek(SeekFrom::End(0))?;
    let mut at = end;
    let mut found = 0;
    let mut buffer = Vec::new();
    while at > 0 {
        let from = at.saturating_sub(STEP);
        file.seek(SeekFrom::Start(from))?;
        buffer.clear();
        Read::by_ref(file).take(at - from).read_to_end(&mut buffer)?;
        for (offset, _) in buffer.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n') {
            let after = from + offset as u64 + 1;
            // The newline at the very end ends the last line; it begins none.
            if after < end {
                found += 1;
                if found == lines {
                    file.seek(SeekFrom::Start(after))?;
                    return Ok(());
                }
            }
        }
        at = from;
    }
    file.seek(SeekFrom::Start(if lines == 0 { end } else { 0 }))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines() {
        let dir = tempfile::tempdir().unwrap();
        let log = LogWriter::new(&dir.path().join("api"));
        log.begin(Timestamp(1_790_000_000_000)).unwrap();
        for line in 0..30 {
            log.write(format!("line {line}").as_bytes(), Timestamp(0));
            log.write(b"\r\n", Timestamp(0));
        }
        log.write(b"prompt> ", Timestamp(0));
        let lines = log.last_lines();
        assert_eq!(lines.len(), LINES);
        assert_eq!((lines[0].as_str(), lines[19].as_str()), ("line 11", "prompt> "));

        let read = |lines| {
            let mut text = Vec::new();
            LogReader::new(&dir.path().join("api"), lines).unwrap().read(&mut text).unwrap();
            String::from_utf8(text).unwrap()
        };
        assert_eq!(read(Some(2)), "line 29\r\nprompt> ");
        assert_eq!(read(Some(0)), "");
        assert!(read(Some(500)).starts_with("line 0\r\n"));
        assert_eq!(read(None), read(Some(500)));
    }

    #[test]
    fn a_new_file_is_followed_and_old_ones_go() {
        let dir = tempfile::tempdir().unwrap();
        let log = LogWriter::new(dir.path());
        let mut reader = None;
        for file in 0..15 {
            log.begin(Timestamp(1_790_000_000_000 + file * 1000)).unwrap();
            log.write(format!("{file}\n").as_bytes(), Timestamp(0));
            let reader = reader.get_or_insert_with(|| LogReader::new(dir.path(), None).unwrap());
            let mut text = Vec::new();
            reader.read(&mut text).unwrap();
            assert_eq!(text, format!("{file}\n").as_bytes());
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), KEPT + 1);
    }
}
