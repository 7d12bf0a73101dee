//! A project as the model knows it, and what its tasks make: a pure function from sources to outputs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// Every file that a source may be.
pub const SOURCES: &[&str] = &[
    "src/a/0.x",
    "src/a/1.x",
    "src/a/2.y",
    "src/b/0.x",
    "src/b/1.y",
    "src/b/c/0.x",
    "src/b/c/2.y",
    "src/d/0.x",
];

/// Every content that a source may have. Some are of one length, so that an edit can hide behind an old time.
pub const CONTENTS: &[&str] =
    &["one\n", "two\n", "three\n", "", "FAIL\n", "inc src/d/0.x\n", "inc src/b/1.y\n", "six\n"];

/// Every folder that a pattern may name, with the folders below it.
pub const FOLDERS: &[(&str, &[&str])] = &[
    ("src/a", &["src/a"]),
    ("src/b", &["src/b", "src/b/c"]),
    ("src/b/c", &["src/b/c"]),
    ("src/d", &["src/d"]),
];

/// The environments, by the names that stand before a task's. Without one a task has a value too.
pub const ENVS: &[&str] = &["", "e1.", "e2."];

/// What the others see: what the caller has, and the environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Around {
    /// The caller's variable.
    pub caller: Option<u8>,
    /// One of [`ENVS`].
    pub env: u8,
}

impl Around {
    pub fn prefix(self) -> &'static str {
        ENVS[self.env as usize % ENVS.len()]
    }
}

/// One source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    File {
        content: u8,
        exec: bool,
    },
    /// A link to another source.
    Link {
        to: u8,
    },
}

/// What a task makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One file with everything it read.
    File,
    /// The same, and it can be executed.
    Program,
    /// One file that says how many files there were.
    Count,
    /// A folder with a file for each that it read, a folder in it, an empty one, and a link.
    Folder,
    /// A link to the first that it read.
    Link,
    /// Nothing: only its success is kept.
    Check,
    /// Nothing, and it always runs.
    Always,
    /// One file with everything it read and what that includes, told in a depfile.
    Depfile,
    /// It only stands for its needs.
    Group,
}

impl Kind {
    pub fn has_outputs(self) -> bool {
        !matches!(self, Self::Check | Self::Always | Self::Group)
    }

    /// Its result may be kept.
    pub fn is_kept(self) -> bool {
        !matches!(self, Self::Always | Self::Group)
    }

    fn word(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Program => "program",
            Self::Count => "count",
            Self::Folder => "folder",
            Self::Link => "link",
            Self::Check => "check",
            Self::Always => "always",
            Self::Depfile => "depfile",
            Self::Group => "group",
        }
    }
}

/// A pattern of inputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A source by its name.
    Name(u8),
    /// `src/a/*.x`
    X(u8),
    /// `src/a/**`
    Deep(u8),
    /// `src/a`
    Folder(u8),
    /// `!src/a/0.x`
    Not(u8),
}

/// A task, with names as numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    pub kind: Kind,
    /// Only those that come before it count.
    pub needs: Vec<u8>,
    pub inputs: Vec<Input>,
    /// A word in its command.
    pub text: u8,
    /// 0: none, 1: one of the caller's, 2: one of the Envfile's, 3: one that each environment has another value for.
    pub var: u8,
    /// `cache #false` if not.
    pub cached: bool,
}

/// Everything that decides what is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    pub tasks: Vec<Task>,
    pub sources: BTreeMap<u8, Source>,
    /// The Envfile's variable.
    pub var: u8,
}

/// What a path holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Node {
    File { text: String, exec: bool },
    Link(String),
    Dir,
}

/// Paths and what they hold.
pub type Tree = BTreeMap<String, Node>;

/// One word of a task's command.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Arg {
    Name(String),
    /// Everything in a folder that ends so.
    Glob(String, &'static str),
}

/// A task with everything that its command gets.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Call {
    pub kind: &'static str,
    pub out: String,
    pub text: String,
    /// The caller's variable, if the task uses it.
    pub caller: Option<String>,
    /// The Envfile's, if the task mentions it.
    pub own: Option<String>,
    pub args: Vec<Arg>,
    pub skip: BTreeSet<String>,
}

/// What a task comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// `None`: a need failed.
    pub good: Option<bool>,
    pub tree: Tree,
    /// Everything that its result depends on: equal keys, equal results.
    pub key: String,
}

pub fn label(task: usize) -> String {
    format!("t{task}")
}

pub fn source(index: u8) -> &'static str {
    SOURCES[index as usize % SOURCES.len()]
}

pub fn content(index: u8) -> &'static str {
    CONTENTS[index as usize % CONTENTS.len()]
}

fn folder(index: u8) -> (&'static str, &'static [&'static str]) {
    FOLDERS[index as usize % FOLDERS.len()]
}

/// The text of a link from one source to another.
pub fn link_text(from: u8, to: u8) -> String {
    format!("{}{}", "../".repeat(source(from).matches('/').count()), source(to))
}

impl Project {
    /// The tasks that a task needs.
    pub fn needs(&self, task: usize) -> Vec<usize> {
        let mut needs: Vec<usize> = self.tasks[task]
            .needs
            .iter()
            .filter(|_| task > 0)
            .map(|need| *need as usize % task.max(1))
            .collect();
        needs.sort_unstable();
        needs.dedup();
        needs
    }

    /// These tasks and everything they need.
    /// These tasks, and what the groups among them stand for.
    pub fn stood_for(&self, targets: &[usize]) -> BTreeSet<usize> {
        let mut all = BTreeSet::new();
        let mut todo = targets.to_vec();
        while let Some(task) = todo.pop() {
            if all.insert(task) && self.tasks[task].kind == Kind::Group {
                todo.extend(self.needs(task));
            }
        }
        all
    }

    pub fn closure(&self, targets: &[usize]) -> BTreeSet<usize> {
        let mut all = BTreeSet::new();
        let mut todo = targets.to_vec();
        while let Some(task) = todo.pop() {
            if all.insert(task) {
                todo.extend(self.needs(task));
            }
        }
        all
    }

    pub fn patterns(&self, task: usize) -> Vec<String> {
        let pattern = |input: &Input| match input {
            Input::Name(at) => source(*at).to_owned(),
            Input::X(at) => format!("{}/*.x", folder(*at).0),
            Input::Deep(at) => format!("{}/**", folder(*at).0),
            Input::Folder(at) => folder(*at).0.to_owned(),
            Input::Not(at) => format!("!{}", source(*at)),
        };
        self.tasks[task].inputs.iter().map(pattern).collect()
    }

    /// What the command of a task reads of those it needs.
    fn args_of_needs(&self, task: usize, args: &mut Vec<Arg>) {
        for need in self.needs(task) {
            let out = format!("out/{}", label(need));
            match self.tasks[need].kind {
                Kind::File | Kind::Program | Kind::Count | Kind::Depfile => args.push(Arg::Name(out)),
                Kind::Folder => {
                    args.push(Arg::Glob(out.clone(), ""));
                    args.push(Arg::Glob(format!("{out}/sub"), ""));
                }
                Kind::Group => self.args_of_needs(need, args),
                Kind::Link | Kind::Check | Kind::Always => {}
            }
        }
    }

    /// Whether it may be another task in another environment.
    pub fn is_bound(&self, at: usize) -> bool {
        let task = &self.tasks[at];
        // What is never cached sees every variable.
        let sees = task.var == 3 || !task.cached || task.kind == Kind::Always;
        task.kind != Kind::Group && sees || self.needs(at).into_iter().any(|need| self.is_bound(need))
    }

    /// A task's command.
    pub fn call(&self, at: usize, around: Around) -> Call {
        let task = &self.tasks[at];
        let mut args = Vec::new();
        let mut skip = BTreeSet::new();
        for input in &task.inputs {
            match input {
                Input::Name(at) => args.push(Arg::Name(source(*at).to_owned())),
                Input::X(at) => args.push(Arg::Glob(folder(*at).0.to_owned(), ".x")),
                Input::Deep(at) | Input::Folder(at) => {
                    args.extend(folder(*at).1.iter().map(|folder| Arg::Glob((*folder).to_owned(), "")));
                }
                Input::Not(at) => {
                    skip.insert(source(*at).to_owned());
                }
            }
        }
        self.args_of_needs(at, &mut args);
        if task.kind == Kind::Group {
            // It reads nothing.
            args.clear();
        }
        Call {
            kind: task.kind.word(),
            out: format!("out/{}", label(at)),
            text: format!("K{}", task.text),
            // What is never cached sees everything that the caller has.
            caller: (task.var == 1 || !task.cached)
                .then_some(around.caller)
                .flatten()
                .map(|value| value.to_string()),
            own: match task.var {
                2 => Some(self.var.to_string()),
                3 => Some(format!("in{}", around.prefix())),
                _ => None,
            },
            args,
            skip,
        }
    }

    /// The sources as files.
    pub fn source_tree(&self) -> Tree {
        let node = |(at, one): (&u8, &Source)| {
            let node = match one {
                Source::File { content: text, exec } => {
                    Node::File { text: content(*text).to_owned(), exec: *exec }
                }
                Source::Link { to } => Node::Link(link_text(*at, *to)),
            };
            (source(*at).to_owned(), node)
        };
        self.sources.iter().map(node).collect()
    }

    /// What every task makes, from nothing, one after the other.
    pub fn interpret(&self, around: Around) -> Vec<Made> {
        let mut view = self.source_tree();
        let mut all: Vec<Made> = Vec::new();
        for at in 0..self.tasks.len() {
            let needs = self.needs(at);
            if needs.iter().any(|need| all[*need].good != Some(true)) {
                all.push(Made { good: None, tree: Tree::new(), key: String::new() });
                continue;
            }
            let call = self.call(at, around);
            let made = make(&call, &view);
            let prefix = if self.is_bound(at) { around.prefix() } else { "" };
            let mut key = format!("{prefix}{:?} {:?}", self.tasks[at].inputs, call);
            for path in made.read.iter().filter(|path| !path.starts_with("out/")) {
                let _ = write!(key, " {path}={:?}", chain(&view, path));
            }
            for need in needs {
                let _ = write!(key, " needs {:?}", self.given(need, &all));
            }
            if self.tasks[at].kind.has_outputs() {
                view.extend(made.tree.clone());
            }
            all.push(Made { good: Some(made.good), tree: made.tree, key });
        }
        all
    }

    /// What flows from a task to those that need it.
    fn given<'a>(&self, task: usize, all: &'a [Made]) -> Vec<&'a Tree> {
        match self.tasks[task].kind {
            Kind::Group => self.needs(task).into_iter().flat_map(|need| self.given(need, all)).collect(),
            _ => vec![&all[task].tree],
        }
    }

    /// The Envfile.
    pub fn envfile(&self) -> String {
        let mut text = format!("vars {{ OWN \"{}\"; IN \"in\" }}\n", self.var);
        for prefix in &ENVS[1..] {
            let name = prefix.trim_end_matches('.');
            let _ = writeln!(text, "env \"{name}\" {{ vars {{ IN \"in{prefix}\" }} }}");
        }
        for (at, task) in self.tasks.iter().enumerate() {
            let _ = writeln!(text, "task \"{}\" {{", label(at));
            let list = |texts: &[String]| texts.iter().map(|text| format!(" \"{text}\"")).collect::<String>();
            let needs: Vec<String> = self.needs(at).into_iter().map(label).collect();
            if !needs.is_empty() {
                let _ = writeln!(text, "    needs{}", list(&needs));
            }
            let call = self.call(at, Around { caller: None, env: 0 });
            if task.kind.is_kept() {
                let patterns = self.patterns(at);
                // A check without inputs is not one.
                let patterns = if patterns.is_empty() && task.kind == Kind::Check {
                    vec!["make.sh".to_owned()]
                } else {
                    patterns
                };
                if !patterns.is_empty() {
                    let _ = writeln!(text, "    inputs{}", list(&patterns));
                }
                if task.kind.has_outputs() {
                    let _ = writeln!(text, "    outputs \"{}\"", call.out);
                }
                if task.kind == Kind::Depfile {
                    let _ = writeln!(text, "    depfile \"{}.d\"", call.out);
                }
                if !task.cached {
                    let _ = writeln!(text, "    cache #false");
                }
            }
            if task.var == 1 && task.kind != Kind::Group {
                let _ = writeln!(text, "    uses \"CALLER\"");
            }
            if task.kind != Kind::Group {
                let own = match task.var {
                    2 => "$OWN",
                    3 => "$IN",
                    _ => "-",
                };
                let mut words = format!("sh make.sh {} {} {} {own}", call.kind, call.out, call.text);
                call.skip.iter().for_each(|skip| {
                    let _ = write!(words, " !{skip}");
                });
                for arg in &call.args {
                    let _ = match arg {
                        Arg::Name(name) => write!(words, " {name}"),
                        Arg::Glob(folder, end) => write!(words, " {folder}/*{end}"),
                    };
                }
                let _ = writeln!(text, "    run \"{words}\"");
            }
            text.push_str("}\n");
        }
        text
    }
}

/// What a path leads to, from link to link.
fn chain<'a>(view: &'a Tree, path: &str) -> Vec<(String, Option<&'a Node>)> {
    let mut path = path.to_owned();
    let mut nodes = Vec::new();
    while nodes.len() < 9 {
        let node = view.get(&path);
        nodes.push((path.clone(), node));
        let Some(Node::Link(target)) = node else { break };
        let mut parts: Vec<&str> = path.split('/').collect();
        parts.pop();
        for part in target.split('/') {
            match part {
                ".." => drop(parts.pop()),
                part => parts.push(part),
            }
        }
        path = parts.join("/");
    }
    nodes
}

/// The file that a path leads to.
fn follow<'a>(view: &'a Tree, path: &str) -> Option<(&'a str, bool)> {
    match chain(view, path).pop()?.1? {
        Node::File { text, exec } => Some((text, *exec)),
        Node::Link(_) | Node::Dir => None,
    }
}

/// What a command did.
pub struct Done {
    pub good: bool,
    pub tree: Tree,
    /// What it looked at: sources, and what they include.
    pub read: Vec<String>,
}

/// `make.sh` as a function.
pub fn make(call: &Call, view: &Tree) -> Done {
    let mut paths = Vec::new();
    for arg in &call.args {
        match arg {
            Arg::Name(name) => paths.push(name.clone()),
            Arg::Glob(folder, end) => {
                let within = |path: &&String| {
                    let name = path.strip_prefix(folder.as_str()).and_then(|rest| rest.strip_prefix('/'));
                    name.is_some_and(|name| !name.contains('/') && name.ends_with(end))
                };
                paths.extend(view.keys().filter(within).cloned());
            }
        }
    }
    paths.retain(|path| !call.skip.contains(path));
    let mut read: Vec<String> = paths.iter().filter(|path| view.contains_key(*path)).cloned().collect();
    let head = format!(
        "{} {} {}\n",
        call.text,
        call.own.as_deref().unwrap_or("-"),
        call.caller.as_deref().unwrap_or("-")
    );
    let file = |text: String, exec: bool| Node::File { text, exec };
    let mut tree = Tree::new();
    let mut all = head.clone();
    let mut count = 0;
    let mut first = None;
    let mut last = None;
    let mut good = true;
    for path in paths {
        let Some((text, exec)) = follow(view, &path) else { continue };
        if text.lines().next() == Some("FAIL") {
            good = false;
            break;
        }
        count += 1;
        first.get_or_insert_with(|| path.clone());
        let name = path.rsplit('/').next().unwrap_or_default().to_owned();
        let say =
            |path: &str, text: &str, exec: bool| format!("{path}{} {text}", if exec { "!" } else { ":" });
        all.push_str(&say(&path, text, exec));
        if call.kind == "folder" {
            let place = format!("{}/{}{name}", call.out, if exec { "sub/" } else { "" });
            tree.insert(place, file(format!("{head}{text}"), exec));
            last = Some(name);
        }
        if call.kind == "depfile"
            && let Some(named) = text.strip_prefix("inc ").and_then(|rest| rest.lines().next())
        {
            read.push(named.to_owned());
            if let Some((text, exec)) = follow(view, named) {
                if text.lines().next() == Some("FAIL") {
                    good = false;
                    break;
                }
                all.push_str(&say(named, text, exec));
            }
        }
    }
    match call.kind {
        "file" | "depfile" => drop(tree.insert(call.out.clone(), file(all, false))),
        "program" => drop(tree.insert(call.out.clone(), file(all, true))),
        "count" => drop(tree.insert(call.out.clone(), file(format!("{head}{count}\n"), false))),
        "link" => {
            let target = first.unwrap_or_else(|| "nothing".to_owned());
            tree.insert(call.out.clone(), Node::Link(format!("../{target}")));
        }
        "folder" => {
            if tree.keys().any(|path| path.contains("/sub/")) {
                tree.insert(format!("{}/sub", call.out), Node::Dir);
            }
            tree.insert(call.out.clone(), Node::Dir);
            tree.insert(format!("{}/empty", call.out), Node::Dir);
            if let Some(last) = last {
                tree.insert(format!("{}/last", call.out), Node::Link(last));
            }
        }
        _ => {}
    }
    Done { good, tree, read }
}

/// The one command of every task: `sh make.sh KIND OUT TEXT OWN (!SKIPPED | FILE)…`.
pub const SCRIPT: &str = r#"
kind=$1 out=$2 head="$3 $4 ${CALLER--}"; shift 4
skip=" " first=nothing last= count=0
case $kind in
    folder) test -d "$out" -a ! -h "$out" || { rm -rf "$out"; mkdir "$out"; }; mkdir -p "$out/empty"; exec 3> /dev/null;;
    file|program|depfile) rm -rf "$out"; exec 3> "$out";;
    *) exec 3> /dev/null;;
esac
test "$kind" = depfile && printf '%s:' "$out" > "$out.d"
printf '%s\n' "$head" >&3
say() {
    if test -x "$1"; then printf '%s! ' "$1" >&3; else printf '%s: ' "$1" >&3; fi
    cat "$1" >&3
}
line() {
    line=
    read -r line < "$1"
    if test "$line" = FAIL; then exit 1; fi
}
for file; do
    case $file in "!"*) skip="$skip${file#!} "; continue;; esac
    case $skip in *" $file "*) continue;; esac
    test -f "$file" || continue
    line "$file"
    count=$((count + 1)) name=${file##*/}
    test "$first" = nothing && first=$file
    case $kind in
        folder)
            if test -x "$file"; then mkdir -p "$out/sub"; place=$out/sub/$name; else place=$out/$name; fi
            { printf '%s\n' "$head"; cat "$file"; } > "$place"
            if test -x "$file"; then chmod 755 "$place"; fi
            last=$name;;
        file|program) say "$file";;
        depfile)
            say "$file"
            printf ' %s' "$file" >> "$out.d"
            case $line in "inc "*)
                other=${line#inc }
                printf ' %s' "$other" >> "$out.d"
                if test -f "$other"; then line "$other"; say "$other"; fi;;
            esac;;
    esac
done
case $kind in
    program) chmod 755 "$out";;
    count) rm -rf "$out"; printf '%s\n%s\n' "$head" "$count" > "$out";;
    link) rm -rf "$out"; ln -s "../$first" "$out";;
    folder) test -z "$last" || ln -sfn "$last" "$out/last";;
esac
"#;
