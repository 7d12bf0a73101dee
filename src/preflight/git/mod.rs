//! What is asked of git, through its own command, which knows every form a repository can have.
//!
//! [`Git`] is the repository around a project, for conditions, releases and plans; [`Ignored`] remembers which files it
//! leaves out, because that is asked of every file that is rendered.
//!
//! Invariant: asking changes nothing but what `Git::tag` is there for; no answer is kept beyond what it rests on.

mod ignored;
mod pipeline;

use std::collections::HashSet;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

pub use ignored::Ignored;

/// What is said where there is no repository.
pub(super) const NO_REPOSITORY: &str = "it needs a git repository, and this is none";

/// What is said where there is a repository in which nothing was committed.
const NO_COMMIT: &str = "the repository has no commit yet";

/// Who approves must see the objects that are there, not what a replacement shows in their place.
const AS_THEY_ARE: (&str, &str) = ("GIT_NO_REPLACE_OBJECTS", "1");

/// The repository around a project, asked through the `git` command.
#[derive(Debug)]
pub struct Git {
    root: PathBuf,
    // The branch and the tags at HEAD hardly change while envrun runs, and many tasks may ask: asked once.
    branch: OnceLock<Result<String, String>>,
    tags: OnceLock<Result<Vec<String>, String>>,
    /// A file that is no change of the work tree as long as git does not know it.
    aside: Option<PathBuf>,
}

impl Git {
    /// The repository that `root` is in.
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_path_buf(), branch: OnceLock::new(), tags: OnceLock::new(), aside: None }
    }

    /// The same, where one untracked file is no change of the work tree.
    pub fn without(self, file: Option<&Path>) -> Self {
        Self { aside: file.map(Path::to_path_buf), ..self }
    }

    /// The checked-out branch. CI systems check out a commit, not a branch, so their own word for it comes second.
    pub fn branch(&self, caller: &dyn Fn(&str) -> Option<String>) -> Result<&str, String> {
        let ask = || {
            let head = self.ask(&["rev-parse", "--abbrev-ref", "HEAD"]).or_else(|error| {
                // A repository without a commit has a branch all the same.
                self.ask(&["symbolic-ref", "--short", "HEAD"]).map_err(|_| error)
            })?;
            Ok(if head == "HEAD" { pipeline::branch(caller).unwrap_or(head) } else { head })
        };
        self.branch.get_or_init(ask).as_deref().map_err(Clone::clone)
    }

    /// The tags that point at HEAD.
    pub fn tags(&self) -> Result<&[String], String> {
        let ask = || {
            let tags = self.ask(&["tag", "--points-at", "HEAD"]).map_err(|error| self.unborn(error))?;
            Ok(tags.lines().map(str::to_owned).collect())
        };
        self.tags.get_or_init(ask).as_deref().map_err(Clone::clone)
    }

    /// The paths that differ from HEAD, untracked ones included; empty when the work tree is clean.
    pub fn changes(&self) -> Result<Vec<String>, String> {
        if let Some(aside) = self.aside.as_deref().and_then(|aside| aside.canonicalize().ok()) {
            let top = self.top()?;
            let counts = |changed: &Changed| !changed.untracked || top.join(&changed.path) != aside;
            return Ok(self.changed()?.into_iter().filter(counts).map(|changed| changed.path).collect());
        }
        let status = self.ask(&["status", "--porcelain", "--untracked-files=normal"])?;
        Ok(status.lines().map(|line| line.get(3..).unwrap_or(line).to_owned()).collect())
    }

    /// How many commits HEAD is ahead of its upstream branch; where no branch is checked out, as in CI systems, of
    /// any branch of a remote.
    pub fn unpushed(&self) -> Result<u64, String> {
        self.ask(&["rev-parse", "--verify", "--quiet", "HEAD"]).map_err(|error| self.unborn(error))?;
        if self.is_detached() {
            let there = self.ask(&["for-each-ref", "--count=1", "--contains=HEAD", "refs/remotes"])?;
            return match there.is_empty() {
                true => Err("no branch is checked out, and no branch of a remote has this commit".to_owned()),
                false => Ok(0),
            };
        }
        let count = self
            .ask(&["rev-list", "--count", "@{upstream}..HEAD"])
            .map_err(|_| "the branch has no upstream branch".to_owned())?;
        count.parse().map_err(|_| format!("git counted `{count}` commits"))
    }

    /// Whether a commit is checked out, and no branch.
    pub fn is_detached(&self) -> bool {
        self.ask(&["rev-parse", "--abbrev-ref", "HEAD"]).is_ok_and(|head| head == "HEAD")
    }

    /// The commit that HEAD is.
    pub fn revision(&self) -> Result<String, String> {
        self.ask(&["rev-parse", "HEAD"]).map_err(|error| self.unborn(error))
    }

    /// Whether there is no repository.
    pub fn is_missing(&self) -> bool {
        self.ask(&["rev-parse", "--git-dir"]).is_err_and(|reason| reason == NO_REPOSITORY)
    }

    /// Whether there is a repository, and nothing was committed in it yet.
    pub fn is_unborn(&self) -> bool {
        self.ask(&["symbolic-ref", "--quiet", "HEAD"]).is_ok()
            && self.ask(&["rev-parse", "--verify", "--quiet", "HEAD"]).is_err()
    }

    /// Why git did not answer a question about HEAD: its own words are about names where there is only no commit.
    fn unborn(&self, error: String) -> String {
        if error != NO_REPOSITORY && self.is_unborn() { NO_COMMIT.to_owned() } else { error }
    }

    /// Every path that differs from HEAD, untracked ones included, each once, sorted. Relative to [`Git::top`].
    pub fn changed(&self) -> Result<Vec<Changed>, String> {
        let status =
            self.ask(&["status", "--porcelain=v2", "-z", "--untracked-files=all", "--no-renames"])?;
        let mut changed: Vec<Changed> = status.split('\0').filter_map(Changed::parse).collect();
        changed.sort_unstable_by(|one, other| one.path.cmp(&other.path));
        // What is staged as removed and lies there again is listed twice.
        changed.dedup_by(|one, other| one.path == other.path);
        Ok(changed)
    }

    /// The folder of the work tree.
    pub fn top(&self) -> Result<PathBuf, String> {
        self.ask(&["rev-parse", "--show-toplevel"]).map(PathBuf::from)
    }

    /// Who commits here: `name <address>`, as far as git knows.
    pub fn who(&self) -> Option<String> {
        let name = self.ask(&["config", "user.name"]).ok().filter(|name| !name.is_empty());
        let address = self.ask(&["config", "user.email"]).ok().filter(|address| !address.is_empty());
        match (name, address) {
            (Some(name), Some(address)) => Some(format!("{name} <{address}>")),
            (one, other) => one.or(other),
        }
    }

    /// The name of whoever commits here, or else the address, as far as git knows.
    pub fn committer(&self) -> Option<String> {
        let known = |key| self.ask(&["config", key]).ok().filter(|value| !value.is_empty());
        known("user.name").or_else(|| known("user.email"))
    }

    /// Those of the paths that git would leave out, asked in one go; `None` where there is no repository, or no git to ask.
    pub fn ignored<'p>(&self, paths: &[&'p Path]) -> Option<HashSet<&'p Path>> {
        if !self.root.ancestors().any(|folder| folder.join(".git").exists()) {
            return None;
        }
        if paths.is_empty() {
            return Some(HashSet::new());
        }
        let mut git = self.command(&["check-ignore", "--stdin", "-z"]);
        let mut git = git.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok()?;
        let (stdin, question) = (git.stdin.take(), paths.iter().map(|path| path.as_os_str().as_bytes()));
        let question = question.collect::<Vec<_>>().join(&0);
        // Beside the reading: git answers while it is asked, and a pipe holds only so much.
        let output = std::thread::scope(|scope| {
            scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(&question)));
            git.wait_with_output()
        });
        // Status 1 is "none of them".
        let output = output.ok().filter(|output| matches!(output.status.code(), Some(0 | 1)))?;
        let said: HashSet<&[u8]> = output.stdout.split(|byte| *byte == 0).collect();
        Some(paths.iter().copied().filter(|path| said.contains(path.as_os_str().as_bytes())).collect())
    }

    /// The commit that a name stands for: a tag, a branch, an abbreviated id.
    pub fn commit(&self, name: &str) -> Result<String, String> {
        match self.ask(&[
            "rev-parse",
            "--verify",
            "--quiet",
            "--end-of-options",
            &format!("{name}^{{commit}}"),
        ]) {
            Ok(commit) => Ok(commit),
            Err(reason) if reason == NO_REPOSITORY => Err(reason),
            Err(_) if name == "HEAD" && self.is_unborn() => Err(NO_COMMIT.to_owned()),
            Err(_) => Err(format!("there is no revision `{name}` in the repository")),
        }
    }

    /// How many commits HEAD is ahead of another one.
    pub fn ahead_of(&self, commit: &str) -> Result<u64, String> {
        let count = self.ask(&["rev-list", "--count", "--end-of-options", &format!("{commit}..HEAD")])?;
        count.parse().map_err(|_| format!("git counted `{count}` commits"))
    }

    /// Whether git takes this for the name of a tag.
    pub fn is_tag_name(&self, name: &str) -> bool {
        // `git tag` takes none that begins with a dash, and would take `HEAD`.
        let is_plain = !name.starts_with('-') && name != "HEAD";
        is_plain
            && self
                .output(&["check-ref-format", &format!("refs/tags/{name}")])
                .is_ok_and(|said| said.status.success())
    }

    /// The commit that a tag marks, if it is there.
    pub fn tagged(&self, name: &str) -> Option<String> {
        self.ask(&["rev-parse", "--verify", "--quiet", &format!("refs/tags/{name}^{{commit}}")]).ok()
    }

    /// Marks a commit with a tag; it is no error if the tag is there and marks it already.
    pub fn tag(&self, name: &str, commit: &str) -> Result<(), String> {
        if self.tagged(name).as_deref() == Some(commit) {
            return Ok(());
        }
        // Whoever signs every tag has an editor opened for the message, and nobody is there to write one.
        self.ask(&["-c", "tag.gpgSign=false", "tag", "--end-of-options", name, commit]).map(drop)
    }

    /// Whether git has the content that lies at a path now.
    pub fn has_content(&self, path: &Path) -> bool {
        let Some(path) = path.to_str() else { return false };
        let is_tracked = self.ask(&["ls-files", "--error-unmatch", "--", path]).is_ok();
        is_tracked && self.ask(&["diff", "--quiet", "HEAD", "--", path]).is_ok()
    }

    /// What `git` says, whatever it comes to.
    pub(super) fn output(&self, args: &[&str]) -> Result<Output, String> {
        self.command(args)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("`git` could not be started: {error}"))
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("git");
        command
            .args(args)
            .current_dir(&self.root)
            // A git hook sets these for the folder that it is started in.
            .env_remove("GIT_DIR")
            .env_remove("GIT_WORK_TREE")
            .env_remove("GIT_INDEX_FILE")
            .env("GIT_OPTIONAL_LOCKS", "0")
            .env(AS_THEY_ARE.0, AS_THEY_ARE.1)
            .env("LC_ALL", "C");
        command
    }

    pub(super) fn ask(&self, args: &[&str]) -> Result<String, String> {
        let output = self.output(args)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(if said.contains("not a git repository") {
            NO_REPOSITORY.to_owned()
        } else {
            format!("`git {}` failed: {}", args.join(" "), first_line(&output.stderr))
        })
    }
}

/// A path that differs from HEAD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// Where, relative to the work tree.
    pub path: String,
    /// HEAD does not know it.
    pub untracked: bool,
    /// It is a submodule with changes of its own.
    pub dirty_submodule: bool,
}

impl Changed {
    /// `1 XY sub … path`, `u XY sub … path` or `? path`, as `git status --porcelain=v2` has it.
    fn parse(line: &str) -> Option<Self> {
        let (kind, rest) = line.split_once(' ')?;
        let fields = match kind {
            "?" => return Some(Self { path: rest.to_owned(), untracked: true, dirty_submodule: false }),
            "1" => 7,
            "u" => 9,
            _ => return None,
        };
        let path = rest.splitn(fields + 1, ' ').nth(fields)?.to_owned();
        let submodule = rest.split(' ').nth(1)?;
        let dirty_submodule = submodule.starts_with('S') && submodule.contains(['M', 'U']);
        Some(Self { path, untracked: false, dirty_submodule })
    }
}

fn first_line(said: &[u8]) -> String {
    String::from_utf8_lossy(said).lines().next().unwrap_or_default().to_owned()
}
