//! What the doctor asks of the machine, with every variable filled in, and what it finds.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::base::unit::show_size;
use crate::base::{Version, VersionRange};
use crate::exec::{self, CommandSpec, Environ, Exit, Invocation, Io, Processes, Shell};
use crate::model::{Amount, Command};

use super::{Finding, Machine, reach};

/// One thing to find out. Two that are equal have the same answer, and are asked once.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Question {
    /// Whether a program is there, in a version that fits.
    Tool {
        /// Its name, or a path.
        program: String,
        /// The versions that fit.
        version: Option<String>,
        /// Where it is looked for.
        path: Option<OsString>,
        /// What a path is relative to.
        dir: PathBuf,
    },
    /// How many processors there are.
    Cpu(Amount),
    /// How much memory there is.
    Memory(Amount),
    /// How much space is free.
    Disk(Amount),
    /// How many graphics processors there are.
    Gpu(Amount, Option<OsString>),
    /// Whether there is a file.
    File(PathBuf),
    /// Whether an address accepts a connection.
    Reach(String),
    /// Whether a command succeeds.
    Exec {
        /// The command, its words already filled in.
        command: Command,
        /// Where it runs.
        dir: PathBuf,
        /// What it sees.
        environ: Arc<Environ>,
        /// Its shell.
        shell: Option<String>,
    },
    /// Whether the system is one of these.
    Os(Vec<String>),
    /// Whether a port is free, and which variable says so.
    Port(u16, String),
    /// The answer is known already.
    Known(Finding),
}

/// Of whom questions are asked.
#[derive(Debug)]
pub struct World<'a> {
    /// The machine.
    pub machine: &'a Machine,
    /// Where commands are started.
    pub processes: &'a Processes,
    /// What programs see that only tell their version.
    pub caller: &'a Environ,
    /// A folder that is sure to be there.
    pub root: &'a Path,
}

/// How many questions are asked at once: nearly all only wait.
const AT_ONCE: usize = 16;

/// How long a program has to tell its version.
const VERSION_LIMIT: Duration = Duration::from_secs(10);

/// How long a command has that must succeed.
const EXEC_LIMIT: Duration = Duration::from_secs(60);

/// How long a command has between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(1);

/// Asks everything, at the same time, and gives the answers in the order of the questions.
pub fn ask_all(questions: &[Question], world: &World<'_>) -> Vec<Finding> {
    let mut numbers: HashMap<&Question, usize> = HashMap::new();
    let mut different: Vec<&Question> = Vec::new();
    let asked: Vec<usize> = questions
        .iter()
        .map(|question| {
            *numbers.entry(question).or_insert_with(|| {
                different.push(question);
                different.len() - 1
            })
        })
        .collect();
    let next = AtomicUsize::new(0);
    let answers: Vec<Mutex<Option<Finding>>> = different.iter().map(|_| Mutex::new(None)).collect();
    let work = || {
        while let Some(question) = different.get(next.fetch_add(1, Ordering::Relaxed)) {
            let at = numbers[question];
            *answers[at].lock().unwrap_or_else(PoisonError::into_inner) = Some(ask(question, world));
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..different.iter().filter(|question| question.waits()).count().min(AT_ONCE) {
            scope.spawn(work);
        }
        work();
    });
    let answer = |at: usize| answers[at].lock().unwrap_or_else(PoisonError::into_inner).clone();
    asked.into_iter().map(|at| answer(at).expect("every question was asked")).collect()
}

impl Question {
    /// Whether its answer comes from somebody else, and so may take its time.
    fn waits(&self) -> bool {
        matches!(self, Self::Tool { .. } | Self::Gpu(..) | Self::Reach(_) | Self::Exec { .. })
    }
}

fn ask(question: &Question, world: &World<'_>) -> Finding {
    let machine = world.machine;
    match question {
        Question::Tool { program, version, path, dir } => {
            tool(program, version.as_deref(), path.as_deref(), dir, world)
        }
        Question::Cpu(amount) => {
            let show = |number: u64| number.to_string();
            measured(Ok(machine.cpus), *amount, exactly, &show, "use a machine with more processors")
        }
        Question::Memory(amount) => {
            // What the kernel keeps for itself does not make 8 GiB less than 8 GiB.
            measured(
                machine.memory.clone(),
                *amount,
                |wanted| wanted / 20,
                &show_size,
                "use a machine with more memory",
            )
        }
        Question::Disk(amount) => measured(
            machine.disk.clone(),
            *amount,
            exactly,
            &show_size,
            "free some space: `envrun cache gc` is a beginning",
        ),
        Question::Gpu(amount, path) => {
            let found = gpus(path.as_deref(), world);
            measured(
                found,
                *amount,
                exactly,
                &|number| number.to_string(),
                "look at what `nvidia-smi -L` says",
            )
        }
        Question::File(path) if path.exists() => Finding::pass("there"),
        Question::File(_) => Finding::fail("it does not exist").hint("make it, or correct the path"),
        Question::Reach(address) => match reach::connect(address) {
            Ok(()) => Finding::pass("accepts connections"),
            Err(reason) => {
                Finding::fail(reason).hint("start what should answer there, or correct the address")
            }
        },
        Question::Exec { command, dir, environ, shell } => {
            let shell = shell.as_deref().map_or_else(Shell::default, Shell::new);
            succeeds(command, dir, environ, &shell, world)
        }
        Question::Os(names) => {
            let here = std::env::consts::OS;
            let finding =
                if names.iter().any(|name| name == here) { Finding::pass(here) } else { Finding::fail(here) };
            finding.wanted(names.join(" or ")).hint("run it on a machine of that kind")
        }
        Question::Port(port, name) => match machine.ports.owner(*port) {
            None => Finding::pass(format!("{port} is free")),
            Some(owner) => Finding::fail(format!("{port} is taken by {owner}"))
                .hint(format!("end that process, or give {name} another value")),
        },
        Question::Known(finding) => finding.clone(),
    }
}

/// Nothing may be lacking.
fn exactly(_: u64) -> u64 {
    0
}

/// Compares what there is with what is asked for. So much as `tolerance` gives may be lacking.
fn measured(
    found: Result<u64, String>,
    amount: Amount,
    tolerance: fn(u64) -> u64,
    show: &dyn Fn(u64) -> String,
    hint: &str,
) -> Finding {
    let found = match found {
        Ok(found) => found,
        Err(reason) => {
            return Finding::warn(format!("it cannot be told: {reason}"))
                .hint("look for yourself whether there is enough");
        }
    };
    let lacks =
        |wanted: Option<u64>| wanted.filter(|wanted| found.saturating_add(tolerance(*wanted)) < *wanted);
    let mut text = show(found);
    if amount.want.or(amount.min).is_some_and(|wanted| found < wanted && lacks(Some(wanted)).is_none()) {
        text.push_str(" (enough: the system keeps some for itself)");
    }
    let (finding, wanted) = match (lacks(amount.min), lacks(amount.want)) {
        (Some(min), _) => (Finding::fail(text), Some(min)),
        (None, Some(want)) => (Finding::warn(text), Some(want)),
        (None, None) => (Finding::pass(text), amount.want.or(amount.min)),
    };
    let finding = finding.hint(hint);
    match wanted {
        Some(wanted) => finding.wanted(format!("at least {}", show(wanted))),
        None => finding,
    }
}

/// How programs are asked for their version that do not know `--version`.
fn version_words(program: &str) -> &'static [&'static str] {
    match program.rsplit('/').next().unwrap_or(program) {
        "go" => &["version"],
        "kubectl" => &["version", "--client"],
        "helm" => &["version", "--short"],
        "ssh" => &["-V"],
        "ffmpeg" | "ffprobe" => &["-version"],
        "openssl" => &["version"],
        _ => &["--version"],
    }
}

fn tool(program: &str, wanted: Option<&str>, path: Option<&OsStr>, dir: &Path, world: &World<'_>) -> Finding {
    let asked = |finding: Finding| match wanted {
        Some(wanted) => finding.wanted(wanted),
        None => finding,
    };
    let found = match world.processes.programs().find(OsStr::new(program), path, dir) {
        // A path is only made absolute there.
        Ok(file) if file.is_file() => file,
        Ok(file) => {
            return asked(Finding::fail(format!("there is no {}", file.display())))
                .hint("make it, or correct the path");
        }
        Err(error) => {
            let hint =
                error.hint().unwrap_or_else(|| format!("install `{program}`, or put its folder on PATH"));
            return asked(Finding::fail("not found on PATH").hint(hint));
        }
    };
    let Some(range) = wanted else { return Finding::pass(found.display().to_string()) };
    let Some(range) = VersionRange::parse(range) else {
        return Finding::fail(format!("`{range}` is not a version requirement"))
            .hint("write one such as `>=2.1`, or several: `>=2.1, <3`");
    };
    let mut words = vec![found.display().to_string()];
    words.extend(version_words(program).iter().map(|&word| word.to_owned()));
    let (mut environ, asking) = (world.caller.clone(), words.join(" "));
    if let Some(path) = path {
        environ.set("PATH", path);
    }
    let said = match listen(Invocation::Argv(&words), world.root, &environ, VERSION_LIMIT, world) {
        Ok((_, said)) => said,
        Err(reason) => {
            return asked(Finding::fail(format!("`{asking}` {reason}")))
                .hint(format!("see what is wrong by hand, or install `{program}` anew"));
        }
    };
    match Version::find(&said.out).or_else(|| Version::find(&said.err)) {
        Some(version) if range.matches(&version) => asked(Finding::pass(version.to_string())),
        Some(version) => asked(Finding::fail(version.to_string()))
            .hint(format!("install a version of `{program}` that fits; this one is {}", found.display())),
        None => asked(Finding::fail(format!("`{asking}` prints no version")))
            .hint("take `version=` away, and ask with `exec`"),
    }
}

fn gpus(path: Option<&OsStr>, world: &World<'_>) -> Result<u64, String> {
    let Ok(program) = world.processes.programs().find(OsStr::new("nvidia-smi"), path, world.root) else {
        // Without the driver's own program there is none that could be used.
        return Ok(0);
    };
    let words = [program.display().to_string(), "-L".to_owned()];
    let (_, said) = listen(Invocation::Argv(&words), world.root, world.caller, VERSION_LIMIT, world)
        .map_err(|reason| format!("`nvidia-smi -L` {reason}"))?;
    Ok(said.out.lines().filter(|line| line.starts_with("GPU ")).count() as u64)
}

fn succeeds(command: &Command, dir: &Path, environ: &Environ, shell: &Shell, world: &World<'_>) -> Finding {
    let invocation = match command {
        Command::Shell(text) => Invocation::Shell { text, shell },
        Command::Argv(words) => Invocation::Argv(words),
    };
    let by_hand = || format!("see what is wrong by hand: {}", command.display());
    let (exit, said) = match listen(invocation, dir, environ, EXEC_LIMIT, world) {
        Ok(ended) => ended,
        Err(reason) => return Finding::fail(format!("it {reason}")).hint(by_hand()),
    };
    let reason = match exit {
        Exit::Status(0) => return Finding::pass("succeeds"),
        Exit::Status(status) => format!("exit status {status}"),
        Exit::Signal(signal) => format!("ended by signal {signal}"),
        Exit::TimedOut => format!("not over after {} seconds", EXEC_LIMIT.as_secs()),
        Exit::Cancelled => "interrupted".to_owned(),
    };
    // What a program prints while it works ends with what it could not do.
    let last =
        |text: &str| text.lines().rev().map(str::trim).find(|line| !line.is_empty()).map(str::to_owned);
    let told = telling(&said.err).map(str::to_owned).or_else(|| last(&said.out));
    let said = told.map_or(String::new(), |line| format!(": {line}"));
    Finding::fail(format!("{reason}{said}")).hint(by_hand())
}

/// The line that says most of what went wrong: the first that speaks of a failure, or else the first that does not only
/// warn. A Python program tells its failure last.
fn telling(text: &str) -> Option<&str> {
    const SIGNS: &[&str] = &[
        "error",
        "fatal",
        "fail",
        "cannot",
        "can't",
        "could not",
        "couldn't",
        "unable",
        "denied",
        "refused",
        "not found",
        "no such",
        "invalid",
        "missing",
        "unknown",
        "unauthorized",
        "forbidden",
        "timed out",
    ];
    let mut lines = text.lines().map(str::trim).filter(|line| line.chars().any(char::is_alphanumeric));
    if text.lines().any(|line| line.starts_with("Traceback (most recent call last)")) {
        return lines.next_back();
    }
    let lower = |line: &str| line.to_lowercase();
    let is_warning = |line: &str| lower(line).starts_with("warn");
    let speaks = |line: &&str| !is_warning(line) && SIGNS.iter().any(|sign| lower(line).contains(sign));
    let found = lines.clone().find(speaks).or_else(|| lines.clone().find(|line| !is_warning(line)));
    found.or_else(|| lines.next())
}

/// What a command printed.
struct Said {
    out: String,
    err: String,
}

/// Runs a command and listens to what it says, up to what anybody would read.
fn listen(
    invocation: Invocation<'_>,
    dir: &Path,
    environ: &Environ,
    limit: Duration,
    world: &World<'_>,
) -> Result<(Exit, Said), String> {
    const LONGEST: usize = 64 * 1024;
    let spec = CommandSpec {
        invocation,
        dir,
        env: environ,
        io: Io::Captured,
        timeout: Some(limit),
        grace: GRACE,
        cleanup: false,
        owner: None,
        watch: None,
    };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let ended = exec::run(&spec, world.processes, &mut |stream, bytes| {
        let into = if stream == exec::Stream::Stdout { &mut out } else { &mut err };
        // What is said last says what went wrong.
        if into.len() > LONGEST {
            into.drain(..LONGEST / 2);
        }
        into.extend_from_slice(bytes);
    })
    .map_err(|error| format!("could not be started: {error}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok((ended.exit, Said { out: text(&out), err: text(&err) }))
}

#[cfg(test)]
mod tests {
    use super::telling;

    #[test]
    fn the_line_that_tells() {
        for (text, expected) in [
            ("", None),
            ("\n  \n---\n", None),
            ("nothing is there\n", Some("nothing is there")),
            ("looking\nnothing is there\n", Some("looking")),
            (
                "ERROR: Cannot connect to the Docker daemon at unix:///var/run/docker.sock.\nerrors pretty printing info\n",
                Some("ERROR: Cannot connect to the Docker daemon at unix:///var/run/docker.sock."),
            ),
            (
                "WARNING: error reporting is off\nconnecting …\n  permission denied\nbye\n",
                Some("permission denied"),
            ),
            ("warning: old\n", Some("warning: old")),
            ("warning: old\nhello\n", Some("hello")),
            (
                "Traceback (most recent call last):\n  File \"a.py\", line 1\n    raise Error()\nKeyError: 'x'\n",
                Some("KeyError: 'x'"),
            ),
        ] {
            assert_eq!(telling(text), expected, "{text}");
        }
    }
}
