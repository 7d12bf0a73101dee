//! What a task's commands touched, held against what it declares.

use std::collections::HashMap;
use std::path::Path;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::base::RelPath;
use crate::event::{Failure, Notice};
use crate::exec::{Access, Kind, Seen, Watch};
use crate::fingerprint::{Declared, Fingerprint, Finished, Prepared, Workspace};
use crate::graph::{ConfiguredTask, NodeIx};
use crate::model::{Sandbox, Task};

use super::action::Actions;
use super::dispatcher::Message;

/// A run whose targets are watched: what is seen of the last one that was executed is left here.
#[derive(Debug, Default)]
pub struct Audit {
    sight: Mutex<Option<Sight>>,
}

/// What was seen of one task.
#[derive(Debug, Clone)]
pub struct Sight {
    /// The node.
    pub label: String,
    /// Its definition.
    pub task: Arc<Task>,
    /// Where it runs.
    pub dir: RelPath,
    /// Files that were there before, were read, executed or asked for, and are not declared.
    pub reads: Vec<Access>,
    /// Files that were made, changed or removed, and are not declared. What the task made and took away again is not among
    /// them.
    pub writes: Vec<Access>,
    /// Folders whose names were listed although no pattern looks into them.
    pub listed: Vec<Access>,
    /// Files that were looked for, were not there, and would not be inputs if they were.
    pub absent: Vec<Access>,
    /// Declared inputs that nobody read.
    pub unread: Vec<RelPath>,
    /// What belongs to git, which no input can name.
    pub beside: Vec<Access>,
    /// What was touched outside of the project.
    pub outside: Vec<std::path::PathBuf>,
    /// Why something may have been missed.
    pub gaps: Vec<String>,
    /// Which tasks made those of the files that some task makes.
    pub makers: HashMap<RelPath, String>,
}

/// The commands of one task, while they are watched.
pub struct Watching {
    /// What sees them.
    pub watch: Watch,
    /// What the task declares.
    pub declared: Declared,
    /// What its depfiles named, once it is known.
    pub discovered: OnceLock<Vec<RelPath>>,
}

impl Audit {
    /// What was seen, if a target was executed.
    pub fn sight(&self) -> Option<Sight> {
        self.sight.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Leaves what was seen.
    pub fn set(&self, sight: Sight) {
        *self.sight.lock().unwrap_or_else(PoisonError::into_inner) = Some(sight);
    }
}

impl Watching {
    /// The files of the project that were read with what they hold, and are neither declared nor named by a depfile.
    pub fn undeclared(&self) -> Vec<Access> {
        let content = |access: &Access| access.uses.read || access.uses.run;
        self.watch
            .seen()
            .accesses
            .into_iter()
            .filter(|access| content(access) && !self.knows(access))
            .collect()
    }

    fn knows(&self, access: &Access) -> bool {
        let discovered = self.discovered.get().is_some_and(|found| found.contains(&access.path));
        discovered || self.declared.may_read(&access.path)
    }

    /// Everything that was seen, sorted by what it means. Asked when the commands are over: what is left of a file counts.
    pub fn sight(&self, workspace: &Workspace, node: &ConfiguredTask, dir: &RelPath) -> Sight {
        let root = workspace.root();
        let Seen { accesses, outside, gaps } = self.watch.seen();
        let mut sight = Sight {
            label: node.label.clone(),
            task: Arc::clone(&node.task),
            dir: dir.clone(),
            reads: Vec::new(),
            writes: Vec::new(),
            listed: Vec::new(),
            absent: Vec::new(),
            unread: Vec::new(),
            beside: Vec::new(),
            outside,
            gaps,
            makers: HashMap::new(),
        };
        let touched = accesses.iter().filter(|access| access.uses.is_read()).map(|access| &access.path);
        sight.unread = self.declared.unread(root, touched);
        for access in accesses {
            let uses = access.uses;
            if Declared::is_beside(&access.path) {
                // What lies in `.envrun` is envrun's own affair.
                if access.path.components().any(|name| name == b".git") && uses.is_read() {
                    sight.beside.push(access);
                }
                continue;
            }
            if uses.listed && !access.path.is_root() && !self.declared.may_list(&access.path) {
                sight.listed.push(access.clone());
            }
            if access.before.is_none() && uses.absent && !self.declared.may_read(&access.path) {
                sight.absent.push(access.clone());
            }
            if (uses.written || uses.removed)
                && !self.declared.may_write(&access.path)
                && self.is_left(root, &access)
            {
                sight.writes.push(access);
            } else if uses.is_read() && access.before.is_some() && !self.knows(&access) {
                sight.reads.push(access);
            }
        }
        let paths: Vec<RelPath> = sight.reads.iter().map(|access| access.path.clone()).collect();
        sight.makers = workspace.makers(&paths);
        sight
    }

    /// Whether a write left something behind: a file that is there, or one that was there before and is not any more.
    fn is_left(&self, root: &Path, access: &Access) -> bool {
        let path = access.path.below(root);
        let Ok(now) = path.symlink_metadata() else {
            return access.before.is_some_and(|kind| kind != Kind::Dir);
        };
        if !now.is_dir() {
            return true;
        }
        // Of a folder that was made, the files in it are told; one that came here whole has files that nobody saw made.
        let made = self.watch.seen().accesses;
        let tells = |other: &Access| other.path != access.path && other.path.starts_with(&access.path);
        access.before.is_none()
            && !self.declared.leads_to_output(&access.path)
            && !made.iter().any(|other| other.uses.written && tells(other))
            && path.read_dir().is_ok_and(|mut names| names.next().is_some())
    }
}

impl Actions<'_> {
    /// What watches the commands of a node, where somebody wants to know, or the node its files to be kept from it.
    pub(super) fn watching(&self, node: NodeIx, key: Option<&(&Prepared, Fingerprint)>) -> Option<Watching> {
        let task = &self.plan.graph[node].task;
        let is_audited = self.is_audited(node);
        let is_strict = task.sandbox == Sandbox::Strict;
        if !is_audited && !is_strict {
            return None;
        }
        let declared = match key {
            Some((prepared, fingerprint)) => {
                let mut needs = Vec::new();
                self.makers(node, &mut needs);
                self.around.workspace.declared(prepared, fingerprint, needs)
            }
            None => Declared::default(),
        };
        let root = self.around.root;
        // What a depfile will name is not known before the end; an audit wants to see everything.
        let watch = if is_strict && !is_audited && task.depfile.is_empty() {
            let declared = declared.clone();
            Watch::strict(root, move |path| declared.may_read(path))
        } else {
            Watch::new(root)
        };
        Some(Watching { watch, declared, discovered: OnceLock::new() })
    }

    fn is_audited(&self, node: NodeIx) -> bool {
        self.around.audit.is_some() && self.plan.graph[node].target
    }

    /// The tasks whose outputs a node may read: those it needs, by way of groups too.
    fn makers<'s>(&'s self, node: NodeIx, into: &mut Vec<&'s Prepared>) {
        for need in self.plan.graph.needs(node) {
            if self.plan.graph[need].task.is_group() {
                self.makers(need, into);
            } else if let Ok(prepared) = self.prepared(need) {
                into.extend(prepared);
            }
        }
    }

    /// Takes down what the depfiles named. A strict task that has one could not be refused anything before.
    pub(super) fn hold_against_depfile(
        &self,
        node: NodeIx,
        watching: &Watching,
        finished: &Finished,
    ) -> Result<(), Failure> {
        let root = self.around.root;
        let named = finished.discovered.iter().flat_map(|found| {
            let real = root.join(&found.path).canonicalize().ok();
            let real = real.and_then(|real| RelPath::strip(root, &real));
            real.into_iter().chain(RelPath::from_bytes(found.path.as_os_str().as_encoded_bytes()))
        });
        let _ = watching.discovered.set(named.collect());
        let task = &self.plan.graph[node].task;
        if task.sandbox != Sandbox::Strict || task.depfile.is_empty() || self.is_audited(node) {
            return Ok(());
        }
        let undeclared: Vec<RelPath> = watching.undeclared().into_iter().map(|access| access.path).collect();
        if undeclared.is_empty() {
            return Ok(());
        }
        let reason = format!("it read {}, which neither it nor its depfile names", listed(&undeclared));
        Err(Failure::Io { reason })
    }

    /// Hands on what was seen of an audited node; says what was kept from a strict one.
    pub(super) fn tell_watched(
        &self,
        node: NodeIx,
        dir: &RelPath,
        watching: &Watching,
        send: &Sender<Message>,
    ) {
        let configured = &self.plan.graph[node];
        if let Some(audit) = self.around.audit.filter(|_| configured.target) {
            audit.set(watching.sight(self.around.workspace, configured, dir));
        }
        let denied = watching.watch.denied();
        if !denied.is_empty() {
            let label = &configured.label;
            let message = format!("it may not read {}, which it does not declare", listed(&denied));
            let hint = Some(format!("`envrun audit {label}` shows all that it reads, `--fix` declares it"));
            let _ = send.send(Message::Notice(Notice { node: Some(node), message, hint }));
        }
    }
}

/// The first few of a list of files.
fn listed(paths: &[RelPath]) -> String {
    const SHOWN: usize = 5;
    let mut text = paths.iter().take(SHOWN).map(RelPath::display).collect::<Vec<_>>().join(", ");
    if paths.len() > SHOWN {
        text.push_str(&format!(" and {} more", paths.len() - SHOWN));
    }
    text
}
