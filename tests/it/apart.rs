//! Two environments that are up at once share no file: proved by what the kernel tells of every write.

use std::collections::{BTreeMap, BTreeSet};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};

use crate::sandbox::Sandbox;

const ENVFILE: &str = r##"
vars { (port)PORT; DATA "data/${ENVRUN_ENV}" }
secrets { KEY generate="hex" }
env "uat" { vars { PORT 18731 } }
env "prod" { vars { PORT 18732 }; guard { set "MAY" } }
service "web" {
    run #"mkdir -p "$DATA"; echo "$KEY" | cksum > "$DATA/web"; trap 'exit 0' TERM; while :; do sleep 1; done"#
    ready { exec #"test -s "$DATA/web""#; every "10ms" }
}
task "job" { inputs "in"; outputs "out/${ENVRUN_ENV}"; run #"mkdir -p "out/$ENVRUN_ENV" && cksum < in > "out/$ENVRUN_ENV/sum""# }
task "log" { run #"echo "$ENVRUN_ENV $PORT" > "$DATA/log""# }
task "files" { render ".env.${ENVRUN_ENV}" format="dotenv" }
snapshot "db" { save #"cp "$DATA/web" "$SNAPSHOT/web""#; restore #"cp "$SNAPSHOT/web" "$DATA/web""# }
deploy "deploy" { needs "job"; run #"mkdir -p "live/$ENVRUN_ENV" && cp "out/$ENVRUN_ENV/sum" "live/$ENVRUN_ENV/sum""# }
"##;

/// Everything that happens to the files below a folder.
struct Writes {
    inotify: OwnedFd,
    /// Every folder that is watched, by the number the kernel gave it.
    folders: BTreeMap<i32, PathBuf>,
    root: PathBuf,
}

impl Writes {
    fn of(root: &Path) -> Self {
        let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).unwrap();
        let mut writes = Self { inotify, folders: BTreeMap::new(), root: root.to_path_buf() };
        writes.add(root, &mut BTreeSet::new());
        writes
    }

    /// Watches a folder and all below it. What is there already when it is new was written too.
    fn add(&mut self, folder: &Path, found: &mut BTreeSet<String>) {
        let what = WatchFlags::CREATE
            | WatchFlags::MODIFY
            | WatchFlags::DELETE
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::ONLYDIR;
        // It may be gone again.
        let Ok(watch) = inotify::add_watch(&self.inotify, folder, what) else { return };
        self.folders.insert(watch, folder.to_path_buf());
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                self.add(&entry.path(), found);
            } else {
                found.insert(self.shown(&entry.path()));
            }
        }
    }

    fn shown(&self, path: &Path) -> String {
        path.strip_prefix(&self.root).unwrap().to_str().unwrap().to_owned()
    }

    /// The files that were made, written, moved or removed since the last time.
    fn since(&mut self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let mut buffer = [MaybeUninit::uninit(); 1 << 16];
        loop {
            // One event at a time: the reader borrows the queue, and a new folder is watched at once.
            let mut read = Vec::new();
            {
                let mut reader = Reader::new(&self.inotify, &mut buffer);
                while let Ok(event) = reader.next() {
                    let name = event.file_name().map(|name| name.to_str().unwrap().to_owned());
                    read.push((event.wd(), event.events(), name));
                    if reader.is_buffer_empty() {
                        break;
                    }
                }
            }
            if read.is_empty() {
                return found;
            }
            for (watch, events, name) in read {
                assert!(!events.contains(ReadFlags::QUEUE_OVERFLOW), "the kernel lost some");
                let (Some(folder), Some(name)) = (self.folders.get(&watch), name) else { continue };
                let path = folder.join(name);
                if !events.contains(ReadFlags::ISDIR) {
                    found.insert(self.shown(&path));
                } else if events.intersects(ReadFlags::CREATE | ReadFlags::MOVED_TO) {
                    self.add(&path, &mut found);
                }
            }
        }
    }
}

/// What a checkout keeps for all its environments: how long nodes take, what its sources look like, which run was the last.
/// No value of an environment is in them.
const OF_THE_CHECKOUT: [&str; 2] = [".envrun/state/", ".envrun/runs/latest"];

#[test]
fn two_environments_that_are_up_at_once_share_no_file() {
    let mut sandbox = Sandbox::new(ENVFILE);
    sandbox.set("MAY", "yes");
    sandbox.write("in", "bytes\n");
    let mut writes = Writes::of(&sandbox.root());
    let mut work = |env: &str| {
        sandbox.ok(&["up", env]);
        let node = |name: &str| format!("{env}.{name}");
        sandbox.ok(&[&node("job"), &node("log"), &node("files"), &node("db")]);
        sandbox.ok(&[&node("deploy")]);
        let written = writes.since();
        // The kernel did tell.
        assert!(written.contains(&format!("data/{env}/log")), "{written:#?}");
        written
    };
    // uat alone, then prod beside it, then uat once more beside prod.
    let written = [("uat", work("uat")), ("prod", work("prod")), ("uat", work("uat"))];
    for env in ["uat", "prod"] {
        let status = sandbox.ok(&["status", env]).stdout;
        assert!(status.contains("ready"), "{status}");
    }
    for (at, (env, files)) in written.iter().enumerate() {
        let other = if *env == "uat" { "prod" } else { "uat" };
        // What keeps the services of the other one up goes on meanwhile, in files of its own.
        let keeper = [format!(".envrun/env/{other}/services/"), format!(".envrun/logs/{other}/")];
        let goes_on = |file: &String| keeper.iter().any(|keeper| file.starts_with(keeper));
        let strange: Vec<&String> =
            files.iter().filter(|file| file.contains(other) && !goes_on(file)).collect();
        assert!(strange.is_empty(), "{env} wrote what is {other}'s: {strange:#?}");
        let shared: Vec<&String> = written[..at]
            .iter()
            .filter(|(before, _)| before != env)
            .flat_map(|(_, before)| before.intersection(files))
            .filter(|file| !goes_on(file) && !OF_THE_CHECKOUT.iter().any(|of| file.starts_with(of)))
            .collect();
        assert!(shared.is_empty(), "{env} and {other} share {shared:#?}");
    }
    let secret = |env: &str| {
        let file = sandbox.read(&format!(".envrun/secrets/{env}.env"));
        file.trim().strip_prefix("KEY=").unwrap().to_owned()
    };
    assert_ne!(secret("uat"), secret("prod"));
    for file in written[1].1.iter().filter(|file| OF_THE_CHECKOUT.iter().any(|of| file.starts_with(of))) {
        let bytes = std::fs::read(sandbox.root().join(file)).unwrap_or_default();
        for secret in [secret("uat"), secret("prod")] {
            let is_in = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!is_in, "{file} holds a secret");
        }
    }
    sandbox.ok(&["down", "uat", "prod"]);
}
