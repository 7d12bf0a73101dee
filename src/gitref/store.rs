//! The ref itself: read it, change it on the condition that nobody else did.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::RefError;
use super::git::Git;

/// How long one `git` command may take: a remote that hangs must not hang a gate.
const LIMIT: Duration = Duration::from_secs(60);

/// How long a change is tried again when others are always quicker.
const PATIENCE: Duration = Duration::from_secs(60);

/// A ref of a remote that holds small files.
#[derive(Debug, Clone)]
pub struct RefStore {
    git: Git,
    root: PathBuf,
    remote: String,
    reference: String,
    patience: Duration,
}

/// What a shared ref holds at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tip {
    commit: Option<String>,
    files: BTreeMap<String, String>,
}

impl Tip {
    /// The commit that the remote has; `None` if the ref does not exist there yet.
    pub fn commit(&self) -> Option<&str> {
        self.commit.as_deref()
    }

    /// The paths of all files, sorted.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// The paths that begin with `prefix`, sorted.
    pub fn below<'t>(&'t self, prefix: &'t str) -> impl Iterator<Item = &'t str> {
        let from =
            self.files.range::<str, _>((std::ops::Bound::Included(prefix), std::ops::Bound::Unbounded));
        from.map(|(path, _)| path.as_str()).take_while(move |path| path.starts_with(prefix))
    }

    /// Whether there is a file of that name.
    pub fn contains(&self, path: &str) -> bool {
        self.files.contains_key(path)
    }
}

/// One file to be written or removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// Its path, with `/` between components.
    pub path: String,
    /// Its new content; `None` removes it.
    pub bytes: Option<Vec<u8>>,
}

impl Write {
    /// A file with this content.
    pub fn put(path: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self { path: path.into(), bytes: Some(bytes.into()) }
    }

    /// No file of this name any more.
    pub fn remove(path: impl Into<String>) -> Self {
        Self { path: path.into(), bytes: None }
    }
}

/// How a push ended.
enum Pushed {
    /// The remote has it.
    Yes,
    /// Somebody was quicker: this is what the remote has now.
    Behind(Option<String>),
}

impl RefStore {
    /// The ref `refs/envrun/<name>` of `remote`, in the repository that `root` is in. Nothing is asked yet.
    pub fn new(root: &Path, remote: &str, name: &str) -> Self {
        Self {
            git: Git::new(root, LIMIT),
            root: root.to_path_buf(),
            remote: remote.to_owned(),
            reference: format!("refs/envrun/{name}"),
            patience: PATIENCE,
        }
    }

    /// The same, with less patience: for one command, and for a change that others are always quicker with.
    pub fn within(self, limit: Duration) -> Self {
        Self { git: Git::new(&self.root, limit), patience: limit, ..self }
    }

    /// The whole name of the ref.
    pub fn reference(&self) -> &str {
        &self.reference
    }

    /// The remote's name.
    pub fn remote(&self) -> &str {
        &self.remote
    }

    /// What the remote has now.
    ///
    /// # Errors
    /// No repository, no such remote, or it cannot be reached.
    pub fn fetch(&self) -> Result<Tip, RefError> {
        self.tip_of(self.remote_commit()?)
    }

    /// What the remote had when it was last asked from this repository: for showing when it cannot be reached. Never for
    /// a gate.
    pub fn last_known(&self) -> Result<Tip, RefError> {
        let known = self.git.run(&["rev-parse", "--verify", "--quiet", &self.reference], &[], &[])?;
        self.files_of(Some(known.text()).filter(|_| known.good))
    }

    /// The content of files of a tip, in the order of `paths`; one that is not there is left out.
    pub fn read<'p>(
        &self,
        tip: &Tip,
        paths: impl IntoIterator<Item = &'p str>,
    ) -> Result<Vec<(String, Vec<u8>)>, RefError> {
        let wanted: Vec<(&str, &String)> =
            paths.into_iter().filter_map(|path| Some((path, tip.files.get(path)?))).collect();
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let input: String = wanted.iter().map(|(_, blob)| format!("{blob}\n")).collect();
        let said = self.git.feed(&["cat-file", "--batch"], input.as_bytes(), &[])?;
        let damaged = || RefError::Git {
            command: "cat-file --batch".into(),
            reason: format!("an object of `{}` is missing or damaged", self.reference),
        };
        let mut rest = said.out.as_slice();
        let mut files = Vec::with_capacity(wanted.len());
        for (path, _) in wanted {
            // `<oid> blob <size>\n<content>\n`
            let end = rest.iter().position(|byte| *byte == b'\n').ok_or_else(damaged)?;
            let head = String::from_utf8_lossy(&rest[..end]).into_owned();
            let size =
                head.rsplit(' ').next().and_then(|size| size.parse::<usize>().ok()).ok_or_else(damaged)?;
            let content = rest.get(end + 1..end + 1 + size).ok_or_else(damaged)?;
            files.push((path.to_owned(), content.to_vec()));
            rest = rest.get(end + 2 + size..).unwrap_or_default();
        }
        Ok(files)
    }

    /// Changes the ref. `change` is given what the remote has and says what to write; it is asked again whenever somebody
    /// else was quicker, so it may refuse what it would have done before. Gives the tip that holds the change.
    ///
    /// # Errors
    /// What `change` refuses with, or what keeps the ref from being read or written. Nothing of the change is on the
    /// remote then, unless the remote was lost between the push and its answer
    /// ([`RefError::Unreachable`], [`RefError::Timeout`]): then nobody here can know.
    pub fn update<E: From<RefError>>(
        &self,
        message: &str,
        change: impl FnMut(&Tip) -> Result<Vec<Write>, E>,
    ) -> Result<Tip, E> {
        self.update_on(None, message, change)
    }

    /// The same, tried first on what the remote had when it was last seen: if it moved since, it does not take the push, and
    /// the change is worked out again on what it has now. So nothing is asked where nothing is new.
    ///
    /// # Errors
    /// As [`RefStore::update`].
    pub fn update_on<E: From<RefError>>(
        &self,
        known: Option<Tip>,
        message: &str,
        mut change: impl FnMut(&Tip) -> Result<Vec<Write>, E>,
    ) -> Result<Tip, E> {
        let began = Instant::now();
        let mut tip = match known {
            Some(tip) => tip,
            None => self.fetch()?,
        };
        let mut tries = 0;
        loop {
            let writes = change(&tip)?;
            if writes.is_empty() {
                return Ok(tip);
            }
            let commit = self.commit(&tip, &writes, message)?;
            match self.push(tip.commit.as_deref(), &commit)? {
                Pushed::Yes => {
                    self.remember(&commit);
                    return Ok(self.files_of(Some(commit))?);
                }
                Pushed::Behind(now) => {
                    tries += 1;
                    if began.elapsed() > self.patience {
                        let (remote, reference) = (self.remote.clone(), self.reference.clone());
                        return Err(RefError::Contended { remote, reference, tries }.into());
                    }
                    // Two that try again at the same moment would only meet again.
                    let random = RandomState::new().hash_one(tries) % 50;
                    std::thread::sleep(Duration::from_millis(random * u64::from(tries.min(8))));
                    tip = self.tip_of(now)?;
                }
            }
        }
    }

    /// The commit that the remote has.
    fn remote_commit(&self) -> Result<Option<String>, RefError> {
        let said = self.git.run(&["ls-remote", "--refs", &self.remote, &self.reference], &[], &[])?;
        if !said.good {
            return Err(self.unreachable(said.reason()));
        }
        // A remote may list other refs whose names end in this one.
        let text = said.text();
        let lines = text.lines().filter_map(|line| line.split_once('\t'));
        Ok(lines.filter(|(_, name)| *name == self.reference).map(|(commit, _)| commit.to_owned()).next())
    }

    /// Why the remote cannot be asked.
    fn unreachable(&self, reason: String) -> RefError {
        if !self.is_repository() {
            return RefError::NoRepository;
        }
        if !self.has_remote() {
            return RefError::NoRemote { remote: self.remote.clone() };
        }
        RefError::Unreachable { remote: self.remote.clone(), reason }
    }

    fn is_repository(&self) -> bool {
        self.git.run(&["rev-parse", "--git-dir"], &[], &[]).is_ok_and(|said| said.good)
    }

    fn has_remote(&self) -> bool {
        // A URL or a path is a remote too.
        self.remote.contains(['/', ':'])
            || self.git.run(&["remote", "get-url", &self.remote], &[], &[]).is_ok_and(|said| said.good)
    }

    /// Makes sure that a commit of the remote is here, and lists it.
    fn tip_of(&self, commit: Option<String>) -> Result<Tip, RefError> {
        let Some(wanted) = commit else { return Ok(Tip::default()) };
        let is_here = self.git.run(&["cat-file", "-e", &format!("{wanted}^{{tree}}")], &[], &[])?.good;
        // Another fetch may be writing it at this moment: the commit and its tree are there before what they hold.
        if is_here && let Ok(tip) = self.files_of(Some(wanted.clone())) {
            self.remember(&wanted);
            return Ok(tip);
        }
        let commit = self.bring()?;
        self.remember(&commit);
        self.files_of(Some(commit))
    }

    /// Fetches the ref under a name that no other process uses, so that two that fetch at once do not get in each other's
    /// way, and gives its commit, which may be newer than the one that was seen.
    fn bring(&self) -> Result<String, RefError> {
        let place = format!(
            "refs/envrun-fetch/{}-{:016x}",
            std::process::id(),
            RandomState::new().hash_one(&self.reference)
        );
        let from_to = format!("+{}:{place}", self.reference);
        let args = [
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-write-fetch-head",
            "--no-auto-maintenance",
            &self.remote,
            &from_to,
        ];
        let said = self.git.run(&args, &[], &[])?;
        if !said.good {
            return Err(self.unreachable(said.reason()));
        }
        let commit = self.git.ask(&["rev-parse", "--verify", &place]);
        // Whoever cannot remove it leaves a name behind that nobody reads.
        let _ = self.git.run(&["update-ref", "-d", &place], &[], &[]);
        commit
    }

    /// Keeps what is known under the ref's own name: so that git does not throw it away, the next fetch is small, and
    /// there is something to show without the remote. Nothing rests on it, so losing a race is no failure.
    fn remember(&self, commit: &str) {
        let _ = self.git.run(&["update-ref", "--no-deref", &self.reference, commit], &[], &[]);
    }

    /// Every file of a commit.
    fn files_of(&self, commit: Option<String>) -> Result<Tip, RefError> {
        let Some(commit) = commit else { return Ok(Tip::default()) };
        let said = self.git.feed(&["ls-tree", "-r", "-z", "--full-tree", &commit], &[], &[])?;
        let text = String::from_utf8_lossy(&said.out).into_owned();
        let mut files = BTreeMap::new();
        for line in text.split('\0') {
            // `100644 blob <oid>\t<path>`
            let Some((head, path)) = line.split_once('\t') else { continue };
            if let [_, "blob", blob] = head.split(' ').collect::<Vec<_>>()[..] {
                files.insert(path.to_owned(), blob.to_owned());
            }
        }
        Ok(Tip { commit: Some(commit), files })
    }

    /// Makes the commit of a change. The index is a file of its own: the checkout's stays what it is.
    fn commit(&self, tip: &Tip, writes: &[Write], message: &str) -> Result<String, RefError> {
        let folder = self.git.ask(&["rev-parse", "--absolute-git-dir"])?;
        let name =
            format!("envrun-index-{}-{:016x}", std::process::id(), RandomState::new().hash_one(&self.root));
        let index = Path::new(&folder).join(name);
        let made = self.commit_with(&index, tip, writes, message);
        // An index that cannot be removed is only a file more in `.git`.
        let _ = std::fs::remove_file(&index);
        made
    }

    fn commit_with(
        &self,
        index: &Path,
        tip: &Tip,
        writes: &[Write],
        message: &str,
    ) -> Result<String, RefError> {
        let with_index = [("GIT_INDEX_FILE", index.as_os_str())];
        match &tip.commit {
            Some(commit) => self.git.feed(&["read-tree", commit], &[], &with_index)?,
            None => self.git.feed(&["read-tree", "--empty"], &[], &with_index)?,
        };
        let mut lines = Vec::new();
        for Write { path, bytes } in writes {
            match bytes {
                Some(bytes) => {
                    let blob = self.git.feed(&["hash-object", "-w", "--stdin"], bytes, &[])?.text();
                    lines.extend_from_slice(format!("100644 {blob}\t{path}\0").as_bytes());
                }
                // A mode of 0 takes a path away; the name of the object only has to be as long as one.
                None => {
                    let none = "0".repeat(tip.commit.as_ref().map_or(40, String::len));
                    lines.extend_from_slice(format!("0 {none}\t{path}\0").as_bytes());
                }
            }
        }
        self.git.feed(&["update-index", "-z", "--index-info"], &lines, &with_index)?;
        let tree = self.git.feed(&["write-tree"], &[], &with_index)?.text();
        let mut args = vec!["commit-tree", &tree, "-m", message];
        if let Some(parent) = &tip.commit {
            args.extend(["-p", parent]);
        }
        self.git.ask(&args)
    }

    /// Pushes a commit on the condition that the remote still has `expected`.
    fn push(&self, expected: Option<&str>, commit: &str) -> Result<Pushed, RefError> {
        let lease = format!("--force-with-lease={}:{}", self.reference, expected.unwrap_or_default());
        let from_to = format!("{commit}:{}", self.reference);
        // `--no-verify`: a hook of the checkout looks at code, and this is none.
        let args = ["push", "--quiet", "--porcelain", "--no-verify", &lease, &self.remote, &from_to];
        let said = self.git.run(&args, &[], &[]);
        if said.as_ref().is_ok_and(|said| said.good) {
            return Ok(Pushed::Yes);
        }
        let now = self.remote_commit()?;
        // The push may have arrived although its answer did not, and somebody may have written on top of it since.
        let arrived = match now.as_deref() {
            Some(now) if now == commit => true,
            Some(now) if Some(now) != expected => {
                let now = self.tip_of(Some(now.to_owned()))?.commit.unwrap_or_default();
                self.git.run(&["merge-base", "--is-ancestor", commit, &now], &[], &[])?.good
            }
            _ => false,
        };
        if arrived {
            return Ok(Pushed::Yes);
        }
        let said = said?;
        let text = format!("{}\n{}", said.text(), said.err);
        // Two pushes that meet in the remote itself: it takes one, and the other finds the name locked or moved.
        let met = ["stale info", "cannot lock ref", "failed to update ref", "already exists", "fetch first"];
        if now.as_deref() != expected || met.iter().any(|words| text.contains(words)) {
            return Ok(Pushed::Behind(now));
        }
        let reason = text.lines().find_map(|line| {
            // `!\t<from>:<to>\t[remote rejected] (pre-receive hook declined)`
            let reason = line.strip_prefix('!')?.rsplit('\t').next()?;
            Some(reason.to_owned())
        });
        Err(RefError::Refused {
            remote: self.remote.clone(),
            reference: self.reference.clone(),
            reason: reason.unwrap_or_else(|| said.reason()),
        })
    }
}
