//! What happens between runs: edits of every kind, first to the model and then to the files.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::SystemTime;

use super::world::{Node, Project, SCRIPT, SOURCES, Source, Task, Tree, content, source};

/// What can happen. Numbers are taken modulo what there is, so that any of them means something.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// A run to its end.
    Run(Run),
    /// Two runs at once: in one checkout, or in both.
    Two(Run, Run),
    /// A run that is killed after so many 256ths of the time of the last one.
    Kill(Run, u8),
    /// A run, and an edit after so many 256ths.
    During(Run, u8, Edit),
    /// Something else.
    Edit(u8, Edit),
    /// The caller's variable.
    Caller(Option<u8>),
    /// The whole cache is gone.
    WipeCache,
    /// Everything that a checkout knows and has made is gone.
    Fresh(u8),
    /// A file of the cache is damaged.
    DamageCache { file: u16, at: u16, how: Damage },
    /// A file of a checkout's state is damaged.
    DamageState { side: u8, file: u16, at: u16, how: Damage },
}

/// Which run.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// Which checkout.
    pub side: u8,
    /// Bits; none for every task.
    pub targets: u16,
    pub force: Force,
    pub jobs: u8,
    /// In which environment, if in one.
    pub env: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Force {
    No,
    Named,
    All,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    Flip(u8),
    Cut,
    Zero,
    Swap,
}

/// An edit of one checkout.
#[derive(Debug, Clone, PartialEq)]
pub enum Edit {
    Write {
        file: u8,
        content: u8,
    },
    /// The same length, and the old time afterwards.
    Sneak {
        file: u8,
        content: u8,
    },
    /// A new content with the time of another file.
    TouchLike {
        file: u8,
        content: u8,
        like: u8,
    },
    Remove {
        file: u8,
    },
    Rename {
        from: u8,
        to: u8,
    },
    /// Two files change names.
    Exchange {
        one: u8,
        other: u8,
    },
    Exec {
        file: u8,
        exec: bool,
    },
    Link {
        file: u8,
        to: u8,
    },
    /// Another time, nothing else: in the future, or long ago.
    Touch {
        file: u8,
        future: bool,
    },
    Text {
        task: u8,
        text: u8,
    },
    Own(u8),
    Define {
        task: u8,
        as_: Task,
    },
    Tamper {
        task: u8,
        pick: u8,
        how: Tamper,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tamper {
    Delete,
    Write,
    /// As many bytes, and the old time.
    Sneak,
    Exec,
    Link,
    Folder,
}

impl Edit {
    /// Makes it in the model, and then in the files below `root`. `made` says what the last run left in place.
    pub fn apply(&self, project: &mut Project, root: &Path) {
        let before = project.source_tree();
        let at = |file: &u8| *file % SOURCES.len() as u8;
        let path = |file: &u8| root.join(source(*file));
        let time = |file: &u8| fs::symlink_metadata(path(file)).and_then(|meta| meta.modified()).ok();
        let same_length = |file: &u8, new: u8| matches!(project.sources.get(&at(file)), Some(Source::File { content: old, .. }) if content(*old).len() == content(new).len());
        match self {
            Self::Write { file, content } => {
                put(project, at(file), *content);
            }
            Self::Sneak { file, content } if same_length(file, *content) => {
                let old = time(file);
                put(project, at(file), *content);
                // In place: the same file, not another one with the same name.
                fs::write(path(file), super::world::content(*content)).unwrap();
                set_time(&path(file), old);
                return;
            }
            Self::TouchLike { file, content, like } => {
                put(project, at(file), *content);
                let old = time(like);
                sync(&before, &project.source_tree(), root);
                set_time(&path(file), old);
                return;
            }
            Self::Remove { file } => {
                project.sources.remove(&at(file));
            }
            Self::Rename { from, to } if at(from) != at(to) => {
                if let Some(Source::File { .. }) = project.sources.get(&at(from)) {
                    let moved = project.sources.remove(&at(from)).unwrap();
                    project.sources.insert(at(to), moved);
                    fs::create_dir_all(path(to).parent().unwrap()).unwrap();
                    fs::rename(path(from), path(to)).unwrap();
                    tidy(root, from);
                    return;
                }
            }
            Self::Exchange { one, other } if at(one) != at(other) => {
                let file = |file| matches!(project.sources.get(&at(file)), Some(Source::File { .. }));
                if file(one) && file(other) {
                    let (a, b) = (project.sources[&at(one)].clone(), project.sources[&at(other)].clone());
                    project.sources.insert(at(one), b);
                    project.sources.insert(at(other), a);
                    fs::rename(path(one), root.join("aside")).unwrap();
                    fs::rename(path(other), path(one)).unwrap();
                    fs::rename(root.join("aside"), path(other)).unwrap();
                    return;
                }
            }
            Self::Exec { file, exec } => {
                if let Some(Source::File { exec: old, .. }) = project.sources.get_mut(&at(file)) {
                    *old = *exec;
                    set_exec(&path(file), *exec).unwrap();
                    return;
                }
            }
            Self::Link { file, to } if at(file) != at(to) => {
                project.sources.insert(at(file), Source::Link { to: at(to) });
            }
            Self::Touch { file, future } => {
                let hour = std::time::Duration::from_secs(3600);
                let now = SystemTime::now();
                let when = if *future { now + 24 * hour } else { now - 9999 * hour };
                if let Some(Source::File { .. }) = project.sources.get(&at(file)) {
                    set_time(&path(file), Some(when));
                }
            }
            Self::Text { task, text } => {
                let count = project.tasks.len();
                project.tasks[*task as usize % count].text = *text;
            }
            Self::Own(value) => project.var = *value,
            Self::Define { task, as_ } => {
                let count = project.tasks.len();
                project.tasks[*task as usize % count] = as_.clone();
            }
            Self::Sneak { .. } | Self::Rename { .. } | Self::Exchange { .. } | Self::Link { .. } => {}
            // Done by who knows what was made.
            Self::Tamper { .. } => {}
        }
        sync(&before, &project.source_tree(), root);
        let envfile = project.envfile();
        if fs::read_to_string(root.join("Envfile.kdl")).unwrap_or_default() != envfile {
            fs::write(root.join("Envfile.kdl"), envfile).unwrap();
        }
    }
}

fn put(project: &mut Project, file: u8, content: u8) {
    let exec = matches!(project.sources.get(&file), Some(Source::File { exec: true, .. }));
    project.sources.insert(file, Source::File { content, exec });
}

/// Writes a project into an empty folder.
pub fn write_out(project: &Project, root: &Path) {
    fs::create_dir_all(root).unwrap();
    fs::write(root.join("make.sh"), SCRIPT).unwrap();
    fs::write(root.join("Envfile.kdl"), project.envfile()).unwrap();
    sync(&Tree::new(), &project.source_tree(), root);
}

/// Makes the files what the model says, where it changed.
fn sync(before: &Tree, after: &Tree, root: &Path) {
    for path in before.keys().filter(|path| !after.contains_key(*path)) {
        fs::remove_file(root.join(path)).unwrap();
        tidy_path(root, path);
    }
    for (path, node) in after.iter().filter(|(path, node)| before.get(*path) != Some(node)) {
        place(&root.join(path), node);
    }
}

/// Puts something in a place, whatever is there.
fn place(path: &Path, node: &Node) {
    try_place(path, node).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

/// The same beside a running envrun, which may have other plans with the place.
pub fn try_place(path: &Path, node: &Node) -> std::io::Result<()> {
    fs::create_dir_all(path.parent().unwrap())?;
    if fs::symlink_metadata(path).is_ok_and(|meta| !meta.is_file()) {
        clear(path);
    }
    match node {
        Node::File { text, exec } => {
            fs::write(path, text)?;
            set_exec(path, *exec)
        }
        Node::Link(target) => {
            clear(path);
            symlink(target, path)
        }
        Node::Dir => {
            clear(path);
            fs::create_dir_all(path)
        }
    }
}

/// Removes whatever there is.
pub fn clear(path: &Path) {
    match fs::symlink_metadata(path) {
        // Somebody else may be quicker.
        Ok(meta) if meta.is_dir() => drop(fs::remove_dir_all(path)),
        Ok(_) => drop(fs::remove_file(path)),
        Err(_) => {}
    }
}

pub fn set_exec(path: &Path, exec: bool) -> std::io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(if exec { 0o755 } else { 0o644 }))
}

pub fn set_time(path: &Path, time: Option<SystemTime>) {
    if let Some(time) = time
        && fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file())
    {
        let _ = fs::File::options().append(true).open(path).and_then(|file| file.set_modified(time));
    }
}

fn tidy(root: &Path, file: &u8) {
    tidy_path(root, source(*file));
}

/// Folders that became empty go.
fn tidy_path(root: &Path, path: &str) {
    let mut folder = Path::new(path).parent();
    while let Some(at) = folder.filter(|at| *at != Path::new("src"))
        && fs::remove_dir(root.join(at)).is_ok()
    {
        folder = at.parent();
    }
}

/// What lies at a path, and below it.
pub fn tree_at(root: &Path, path: &str) -> Tree {
    let mut tree = Tree::new();
    let whole = root.join(path);
    let Ok(meta) = fs::symlink_metadata(&whole) else { return tree };
    // What goes while we look is not there.
    if meta.is_symlink() {
        let text = fs::read_link(&whole).unwrap_or_default().to_string_lossy().into_owned();
        tree.insert(path.to_owned(), Node::Link(text));
    } else if meta.is_dir() {
        tree.insert(path.to_owned(), Node::Dir);
        for entry in fs::read_dir(&whole).into_iter().flatten().flatten() {
            let name = entry.file_name().into_string().unwrap();
            tree.extend(tree_at(root, &format!("{path}/{name}")));
        }
    } else {
        let text = String::from_utf8_lossy(&fs::read(&whole).unwrap_or_default()).into_owned();
        tree.insert(path.to_owned(), Node::File { text, exec: meta.permissions().mode() & 0o100 != 0 });
    }
    tree
}
