//! The model's machine: envrun itself, as a process.

use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use super::lab::{Lab, Told};
use super::step::{Force, Run, Step};
use super::world::{Project, label};

/// envrun on two checkouts.
pub struct Program {
    pub lab: Lab,
    home: std::path::PathBuf,
    /// How long the last run took: what the moments of kills and edits are fractions of.
    took: Duration,
    _dir: tempfile::TempDir,
}

/// Takes a project through its steps and holds every run to the law.
pub fn follow(project: &Project, steps: &[Step]) {
    let mut program = Program::new(project);
    for step in steps {
        program.step(step);
    }
    // Whatever happened, one more run of everything puts everything right, and the one after it does nothing.
    for side in [0, 1] {
        let run = Run { side, targets: 0, force: Force::No, jobs: 2, env: 0 };
        program.run(&run);
        program.run(&run);
    }
}

impl Program {
    pub fn new(project: &Project) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().canonicalize().unwrap();
        let home = path.join("home");
        std::fs::create_dir(&home).unwrap();
        Self { lab: Lab::new(&path, project), home, took: Duration::from_millis(60), _dir: dir }
    }

    fn command(&self, run: &Run) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_envrun"));
        let side = &self.lab.sides[run.side as usize % 2];
        command
            .current_dir(&side.root)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", &self.home)
            .env("XDG_CACHE_HOME", &self.lab.cache)
            .args(["-o", "json", "-k"])
            .arg(format!("-j{}", run.jobs % 4 + 1))
            .args(match run.force {
                Force::No => None,
                Force::Named => Some("-B"),
                Force::All => Some("--force-all"),
            })
            .args(
                self.lab
                    .targets(run)
                    .into_iter()
                    .map(|at| format!("{}{}", self.lab.around(run).prefix(), label(at))),
            )
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(value) = self.lab.caller {
            command.env("CALLER", value.to_string());
        }
        command
    }

    fn step(&mut self, step: &Step) {
        self.lab.told.push(format!("{step:?}"));
        match step {
            Step::Run(run) => self.run(run),
            Step::Two(one, other) => self.two(one, other),
            Step::Kill(run, after) => {
                let before = self.lab.expected(run);
                let mut child = self.command(run).spawn().unwrap();
                std::thread::sleep(self.took.mul_f64(f64::from(*after) / 256.0));
                let _ = child.kill();
                // Whoever still runs holds the pipe open.
                let output = child.wait_with_output().unwrap();
                let lines = String::from_utf8_lossy(&output.stdout).lines().count();
                self.lab.told.push(format!("        killed after {lines} events"));
                self.lab.doubt(run, &before);
            }
            Step::During(run, after, edit) => {
                let before = self.lab.expected(run);
                let child = self.command(run).spawn().unwrap();
                std::thread::sleep(self.took.mul_f64(f64::from(*after) / 256.0));
                self.lab.edit(run.side, edit);
                let told = self.ended(child);
                self.lab.doubt(run, &before);
                self.lab.pardon(run.side, edit, &told);
            }
            Step::Edit(side, edit) => self.lab.edit(*side, edit),
            Step::Caller(value) => self.lab.caller = *value,
            Step::WipeCache => self.lab.wipe_cache(),
            Step::Fresh(side) => self.lab.fresh(*side),
            Step::DamageCache { file, at, how } => self.lab.damage_cache(*file, *at, *how),
            Step::DamageState { side, file, at, how } => self.lab.damage_state(*side, *file, *at, *how),
        }
    }

    /// A run to its end.
    pub fn run(&mut self, run: &Run) {
        let expected = self.lab.expected(run);
        let begun = Instant::now();
        let child = self.command(run).spawn().unwrap();
        let told = self.ended(child);
        self.took = (self.took + begun.elapsed()).max(Duration::from_millis(20)) / 2;
        self.lab.judge(run, &expected, &told);
    }

    /// Two runs at once: both right, and neither does what the other one does.
    fn two(&mut self, one: &Run, other: &Run) {
        let expected = [self.lab.expected(one), self.lab.expected(other)];
        let children = [self.command(one).spawn().unwrap(), self.command(other).spawn().unwrap()];
        let told = children.map(|child| self.ended(child));
        let runs = [one, other].into_iter().zip(&expected);
        if one.side % 2 == other.side % 2 && self.lab.rewrites(one, other) {
            // One of them makes anew what the other one may be reading: that is told, and right with the next run.
            runs.for_each(|(run, expected)| self.lab.doubt(run, expected));
            return;
        }
        for ((run, expected), told) in runs.zip(&told) {
            self.lab.judge(run, expected, told);
        }
        if one.side % 2 == other.side % 2 {
            let both = told[0].stored.intersection(&told[1].stored);
            let tasks = &self.lab.sides[one.side as usize % 2].project.tasks;
            let twice: Vec<&usize> = both.filter(|at| tasks[**at].kind.has_outputs()).collect();
            assert!(twice.is_empty(), "{twice:?} were executed by both\n{}", self.lab.told.join("\n"));
        }
    }

    fn ended(&mut self, child: Child) -> Told {
        let told = told(&child.wait_with_output().unwrap());
        self.lab.told.push(told.text.clone());
        told
    }
}

/// What a run says in JSON.
pub fn told(output: &Output) -> Told {
    let mut told = Told { exit: output.status.code().unwrap_or(-1), ..Told::default() };
    let mut names: Vec<Option<usize>> = Vec::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let event: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let node = || names[event["node"].as_u64().unwrap() as usize];
        let mut say = |text: String| told.text.push_str(&format!("        {text}\n"));
        match event["event"].as_str().unwrap() {
            "run-started" => {
                let number = |node: &serde_json::Value| {
                    let label = node["label"].as_str()?;
                    label.rsplit('.').next()?.strip_prefix('t')?.parse().ok()
                };
                names = event["nodes"].as_array().unwrap().iter().map(number).collect();
            }
            "node-started" => {
                let (because, command) = (&event["because"]["reason"], &event["commands"][0]);
                say(format!("t{} begins because {because}: {command}", node().unwrap()));
                told.executed.extend(node());
            }
            "node-finished" => {
                let outcome = &event["outcome"];
                if let Some(at) = node() {
                    say(format!("t{at} is over: {outcome}"));
                }
                match outcome["kind"].as_str().unwrap() {
                    "restored" => told.restored.extend(node()),
                    "succeeded" if outcome["stored"] == true => told.stored.extend(node()),
                    _ => {}
                }
            }
            "nodes-finished" => say(format!("{}: {}", event["nodes"], event["outcome"])),
            "notice" => say(format!("notice: {}", event["message"])),
            _ => {}
        }
    }
    told.text.push_str(&format!("        exit {}\n", told.exit));
    told.text.push_str(&String::from_utf8_lossy(&output.stderr));
    told
}
