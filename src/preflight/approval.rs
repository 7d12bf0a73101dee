//! Approvals: signed git tags that git itself verifies.
//!
//! A tag counts if
//!
//! * it is an annotated tag of exactly the guarded revision, and was signed under the name that it has now: neither an
//!   approval of another revision nor one for another environment can be moved here. Instead of the revision its name may
//!   hold the digest of a frozen plan: then it counts while that very plan is carried out, and for nothing else;
//! * git finds a good SSH signature on it by somebody who may approve.
//!
//! Who may approve is read from commits, never from the work tree. The file as it was introduced counts at first; a change
//! of it counts from the revision on that was approved by those of before. So nobody adds himself, neither in the change
//! that is to be approved nor in one before it. Whoever the guarded revision does not list any more is out at once. The
//! author, the committer and the co-authors of the revision are taken out by their addresses and by their keys.
//!
//! git is given a file with only those who are left, so that it is git that decides.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::base::fs;
use crate::model::EnvName;

use super::Git;

/// An approval that is asked for.
pub(super) struct Approval<'a> {
    pub git: &'a Git,
    /// The file of allowed signers, relative to the project's root.
    pub signers: &'a str,
    /// How many must approve.
    pub count: u32,
    pub env: &'a EnvName,
    /// The commit, in full.
    pub revision: String,
    /// The digest of the frozen plan that is carried out, in full, if one is.
    pub plan: Option<&'a str>,
    /// Where the file that git is given lies for a moment.
    pub scratch: &'a Path,
}

/// A line of the file of allowed signers.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Signer {
    /// Whose key it is.
    principal: String,
    /// The key, in base64.
    key: String,
    line: String,
}

/// A tag below `approve/<env>/`.
struct Tag {
    /// `approve/prod/0123…`.
    name: String,
    /// The object that the tag is.
    object: String,
}

/// Whoever approved.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Approver {
    principal: String,
    key: String,
}

impl Approval<'_> {
    /// Whether enough people have approved; if not, why, in words that stand after "because".
    pub fn holds(&self) -> Result<bool, String> {
        self.whole_history()?;
        let tags = self.tags()?;
        let listed = self.listed(&self.revision)?;
        let trusted = self.trusted(&tags)?;
        let authors = self.authors(&self.revision)?;
        let may = eligible(&trusted, &listed, &authors);
        let (approvers, reasons) = self.approvers(&tags, &self.revision, &may, &listed, &authors)?;
        let found = approvers.len();
        if found >= self.count as usize {
            return Ok(true);
        }
        let (revision, env) = (short(&self.revision), self.env);
        let mut reason = match self.count {
            1 => format!("nobody has approved {revision} for {env}"),
            count => format!("{found} of {count} have approved {revision} for {env}"),
        };
        for said in reasons {
            reason.push_str(&format!("; {said}"));
        }
        Err(reason)
    }

    /// What those who may approve have to type, and what has to be typed here then.
    pub fn remedy(&self) -> Option<String> {
        if self.whole_history().is_err() {
            return Some("git fetch --unshallow --tags".into());
        }
        let Ok(listed) = self.listed(&self.revision) else {
            return Some(format!(
                "write a line for each who may approve, `name@example.org ssh-ed25519 AAAA…`, into {}, and commit it",
                self.signers
            ));
        };
        let tags = self.tags().ok()?;
        let may = eligible(&self.trusted(&tags).ok()?, &listed, &self.authors(&self.revision).ok()?);
        let who: BTreeSet<&str> = may.iter().map(|signer| signer.principal.as_str()).collect();
        if who.is_empty() {
            return Some(format!(
                "{} lists nobody but those who made the revision: let somebody else commit it, or be listed first",
                self.signers
            ));
        }
        let who: Vec<&str> = who.into_iter().collect();
        let revision = &self.revision;
        // Whoever has a plan wants that one approved, and not whatever else could be made of the revision.
        let tag = format!("approve/{}/{}", self.env, self.plan.unwrap_or(revision));
        let tag = if self.count > 1 { format!("{tag}-YOUR_NAME") } else { free(tag, &tags) };
        Some(format!(
            "{} approves it with\n  git -c gpg.format=ssh -c user.signingKey=~/.ssh/id_ed25519.pub tag -s -m approved {tag} {revision}\n  \
             git push origin {tag}\nand then, here: git fetch origin --tags",
            who.join(" or "),
        ))
    }

    /// A history that is cut off does not show who was listed first.
    fn whole_history(&self) -> Result<(), String> {
        match self.git.ask(&["rev-parse", "--is-shallow-repository"])?.as_str() {
            "false" => Ok(()),
            _ => {
                Err("the history is cut off here (a shallow clone), and who may approve is read from it"
                    .into())
            }
        }
    }

    /// Every tag that approves something for the environment.
    fn tags(&self) -> Result<Vec<Tag>, String> {
        let below = format!("refs/tags/approve/{}/", self.env);
        let listed = self.git.ask(&["for-each-ref", "--format=%(objectname) %(refname)", &below])?;
        let tag = |line: &str| {
            let (object, name) = line.split_once(' ')?;
            Some(Tag { name: name.strip_prefix("refs/tags/")?.to_owned(), object: object.to_owned() })
        };
        Ok(listed.lines().filter_map(tag).collect())
    }

    /// What a tag's name says it approves, a commit or a plan: `approve/prod/0123…` or `approve/prod/0123…-bob`.
    fn approved<'t>(&self, tag: &'t Tag) -> Option<&'t str> {
        let rest = tag.name.strip_prefix("approve/")?.strip_prefix(self.env.as_str())?.strip_prefix('/')?;
        let named = rest.split('-').next()?;
        (named.len() >= 40 && named.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(named)
    }

    /// Whether a tag's name says that it approves a commit, or the plan that puts it live.
    fn approves(&self, tag: &Tag, commit: &str) -> bool {
        let named = self.approved(tag);
        named == Some(commit) || (commit == self.revision && self.plan.is_some() && named == self.plan)
    }

    /// The addresses of those who made a commit.
    fn authors(&self, commit: &str) -> Result<BTreeSet<String>, String> {
        let format = "--format=%ae%n%aE%n%ce%n%cE%n%(trailers:key=Co-authored-by,valueonly)";
        let said = self.git.ask(&["show", "--no-patch", "--no-show-signature", format, commit])?;
        let address = |line: &str| match line.rsplit_once('<') {
            Some((_, address)) => address.trim_end().trim_end_matches('>').to_lowercase(),
            None => line.trim().to_lowercase(),
        };
        Ok(said.lines().map(address).filter(|address| !address.is_empty()).collect())
    }

    /// The file of allowed signers as a commit has it; `None` where it is not there.
    fn file(&self, commit: &str) -> Option<String> {
        self.git.ask(&["show", &format!("{commit}:./{}", self.signers)]).ok()
    }

    fn listed(&self, commit: &str) -> Result<Vec<Signer>, String> {
        let text = self.file(commit);
        let text = text.ok_or_else(|| format!("{} is not in {}", self.signers, short(commit)))?;
        Ok(signers(&text))
    }

    /// Who may approve by the history before the guarded revision.
    fn trusted(&self, tags: &[Tag]) -> Result<Vec<Signer>, String> {
        let path = format!("./{}", self.signers);
        let log = ["log", "--full-history", "--no-renames", "--diff-filter=A", "--format=%H"];
        let begun = self.git.ask(&[&log[..], &[&self.revision, "--", &path]].concat())?;
        // A merge that brings the file along from nowhere is shown by no such list.
        let mut texts = begun.lines().filter_map(|commit| self.file(commit));
        let mut text = texts
            .next()
            .ok_or_else(|| format!("{} was not committed by an ordinary commit", self.signers))?;
        if texts.any(|other| other != text) {
            return Err(format!(
                "{} was begun more than once, so nobody can say who may approve",
                self.signers
            ));
        }
        let mut trusted = signers(&text);
        for commit in self.approved_before(tags)? {
            let Some(changed) = self.file(&commit).filter(|changed| *changed != text) else { continue };
            let (listed, authors) = (signers(&changed), self.authors(&commit)?);
            let may = eligible(&trusted, &listed, &authors);
            let (approvers, _) = self.approvers(tags, &commit, &may, &listed, &authors)?;
            if approvers.len() >= self.count as usize {
                (trusted, text) = (listed, changed);
            }
        }
        Ok(trusted)
    }

    /// The commits before the guarded one that somebody says are approved, the first one first.
    fn approved_before(&self, tags: &[Tag]) -> Result<Vec<String>, String> {
        let named: BTreeSet<&str> = tags.iter().filter_map(|tag| self.approved(tag)).collect();
        if named.iter().all(|commit| *commit == self.revision) {
            return Ok(Vec::new());
        }
        let history = self.git.ask(&["rev-list", "--topo-order", "--reverse", &self.revision])?;
        let is_meant = |commit: &&str| named.contains(*commit) && **commit != self.revision;
        Ok(history.lines().filter(is_meant).map(str::to_owned).collect())
    }

    /// Who has approved a commit, each once; and of each tag that does not count, why.
    fn approvers(
        &self,
        tags: &[Tag],
        commit: &str,
        may: &[Signer],
        listed: &[Signer],
        authors: &BTreeSet<String>,
    ) -> Result<(Vec<Approver>, Vec<String>), String> {
        let (mut found, mut reasons): (Vec<Approver>, Vec<String>) = Default::default();
        for tag in tags.iter().filter(|tag| self.approves(tag, commit)) {
            match self.approver(tag, commit, may)? {
                Ok(approver) => {
                    let known =
                        |known: &Approver| known.principal == approver.principal || known.key == approver.key;
                    if !found.iter().any(known) {
                        found.push(approver);
                    }
                }
                Err(why) => {
                    let why = match why {
                        Some(why) => why,
                        None => self.stranger(tag, listed, authors)?,
                    };
                    reasons.push(format!("`{}`: {why}", tag.name));
                }
            }
        }
        Ok((found, reasons))
    }

    /// Who signed a tag, who may not approve.
    fn stranger(&self, tag: &Tag, listed: &[Signer], authors: &BTreeSet<String>) -> Result<String, String> {
        let file = self.signers;
        Ok(match self.verify(tag, listed)? {
            Some(signer) if is_author(&signer, listed, authors) => {
                format!("{} made the revision, and does not count", signer.principal)
            }
            Some(signer) => {
                let who = signer.principal;
                format!("{who} was added to {file} by a change that those of before have not approved yet")
            }
            None => format!("it has no good signature of anybody in {file}"),
        })
    }

    /// Who approves a commit by a tag. If nobody does: why, if that is plain without asking for signatures.
    fn approver(
        &self,
        tag: &Tag,
        commit: &str,
        may: &[Signer],
    ) -> Result<Result<Approver, Option<String>>, String> {
        if self.git.ask(&["cat-file", "-t", &tag.object])? != "tag" {
            return Ok(Err(Some("it is not signed: make it with `git tag -s`".into())));
        }
        let text = self.git.ask(&["cat-file", "tag", &tag.object])?;
        let header: BTreeMap<&str, &str> = text
            .lines()
            .take_while(|line| !line.is_empty())
            .filter_map(|line| line.split_once(' '))
            .collect();
        let header = |name: &str| header.get(name).copied().unwrap_or_default();
        if header("tag") != tag.name {
            return Ok(Err(Some(format!("it was signed as `{}`", header("tag")))));
        }
        if header("type") != "commit" || header("object") != commit {
            return Ok(Err(Some(format!("it is a tag of {}", short(header("object"))))));
        }
        // git would ask GnuPG for another signature, which knows other people.
        if !text.contains("\n-----BEGIN SSH SIGNATURE-----\n")
            || ["PGP SIGNATURE", "PGP MESSAGE", "SIGNED MESSAGE"]
                .iter()
                .any(|other| text.contains(&format!("\n-----BEGIN {other}-----")))
        {
            return Ok(Err(Some("it has no SSH signature: make it with `git tag -s`".into())));
        }
        let signer = self.verify(tag, may)?;
        Ok(signer.map(|signer| Approver { principal: signer.principal, key: signer.key }).ok_or(None))
    }

    /// Asks git whose good signature a tag bears, among `signers`.
    fn verify(&self, tag: &Tag, signers: &[Signer]) -> Result<Option<Signer>, String> {
        // One key may be listed for several addresses, and git would name one of them: asked person by person.
        for signer in signers {
            let name = fs::temporary_name("signers".as_ref());
            let path = self.scratch.join(name);
            fs::write_atomic(&path, format!("{}\n", signer.line).as_bytes())
                .map_err(|error| error.to_string())?;
            let file = format!("gpg.ssh.allowedSignersFile={}", path.display());
            let output = self.git.output(&[
                "-c",
                "gpg.format=ssh",
                "-c",
                "gpg.ssh.program=ssh-keygen",
                "-c",
                &file,
                "verify-tag",
                "--raw",
                &tag.object,
            ]);
            let _ = fs::remove_file(&path);
            let output = output?;
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8_lossy(&said);
            let good = format!("Good \"git\" signature for {} with ", signer.principal);
            if output.status.success() && said.lines().any(|line| line.starts_with(&good)) {
                return Ok(Some(signer.clone()));
            }
            if said.contains("cannot run ssh-keygen") || said.contains("No such file or directory") {
                return Err("`ssh-keygen`, with which git verifies signatures, is not there".into());
            }
        }
        Ok(None)
    }
}

/// The name of a tag that is not there yet: git makes none twice, and whoever made the one that does not count may not have
/// wanted it replaced.
fn free(name: String, tags: &[Tag]) -> String {
    let is_free = |name: &String| !tags.iter().any(|tag| tag.name == *name);
    let numbered = (2..).map(|number| format!("{name}-{number}"));
    std::iter::once(name.clone()).chain(numbered).find(is_free).expect("tags are fewer than numbers")
}

/// Those who may approve what `authors` made: known before, still listed, and nobody of those who made it.
fn eligible(trusted: &[Signer], listed: &[Signer], authors: &BTreeSet<String>) -> Vec<Signer> {
    let is_known = |signer: &&Signer| {
        trusted.iter().any(|known| known.principal == signer.principal && known.key == signer.key)
    };
    // A key that was ever an author's is his.
    let all: Vec<Signer> = trusted.iter().chain(listed).cloned().collect();
    listed.iter().filter(is_known).filter(|signer| !is_author(signer, &all, authors)).cloned().collect()
}

/// Whether a signer made the revision: by his address, or by a key that is listed for it.
fn is_author(signer: &Signer, all: &[Signer], authors: &BTreeSet<String>) -> bool {
    let is_named = |signer: &Signer| authors.contains(&signer.principal.to_lowercase());
    is_named(signer) || all.iter().any(|other| other.key == signer.key && is_named(other))
}

/// The people that a file of allowed signers names one by one.
fn signers(text: &str) -> Vec<Signer> {
    text.lines().filter_map(signer).collect()
}

fn signer(line: &str) -> Option<Signer> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let words = words(line);
    let is_type = |word: &String| {
        ["ssh-", "ecdsa-", "sk-"].iter().any(|prefix| word.starts_with(prefix)) && !word.contains(['=', '"'])
    };
    let at = words.iter().skip(1).position(is_type)? + 1;
    let principal = words[0].trim_matches('"').to_owned();
    let is_authority = words[1..at].iter().any(|options| options.to_lowercase().contains("cert-authority"));
    let is_person = !principal.is_empty() && !principal.contains(['*', '?', '!', ',', ' ', '"']);
    (is_person && !is_authority).then(|| Signer {
        principal,
        key: words.get(at + 1).cloned().unwrap_or_default(),
        line: line.to_owned(),
    })
}

/// The words of a line; blanks between double quotes are part of one.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), String::new(), false);
    for c in line.chars() {
        match c {
            ' ' | '\t' if !quoted => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            c => {
                quoted ^= c == '"';
                word.push(c);
            }
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// As much of a commit's name as a person reads.
fn short(revision: &str) -> &str {
    revision.get(..12).unwrap_or(revision)
}
