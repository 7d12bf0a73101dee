//! Which process, so that it is known again: its number alone says little.
//!
//! A number is handed out again when its process is gone, machines count from one at every start, and every container
//! has numbers of its own: two that share a folder, or a name, may both have a process 7. So an [`Identity`] says on
//! which kernel, since which start of it, in which namespace, and since when. Whether a process lives can be told from
//! the same namespace of the same kernel, and from nowhere else.

use std::fmt;
use std::sync::LazyLock;

use rustix::process::Pid;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Which process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// Its number.
    pub pid: u32,
    /// When it began, in ticks since the machine was started; 0 where the system does not say.
    #[serde(default)]
    pub born: u64,
    /// Which start of which kernel.
    #[serde(default)]
    pub boot: Boot,
    /// The namespace that its number is one of, by the number that the kernel gave it; 0 where the system does not say.
    #[serde(default)]
    pub space: u64,
}

/// Which start of which kernel: a number that the kernel draws when it starts, and that no other has. Zero where the
/// system does not say.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Boot(u128);

/// Whether a process is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// It is.
    Lives,
    /// It is no more.
    Gone,
    /// That cannot be told from here: it is, or was, on another machine, in another container, or before this machine
    /// was started; or the system does not say enough.
    Unknown,
}

/// What is the same for every process here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Here {
    boot: Boot,
    space: u64,
}

/// A process has one kernel and one namespace of numbers as long as it is.
static HERE: LazyLock<Here> = LazyLock::new(here);

impl Identity {
    /// The process that has this number here now.
    pub fn of(pid: u32) -> Option<Self> {
        match look(pid) {
            Seen::Process { born, .. } => Some(Self { pid, born, boot: HERE.boot, space: HERE.space }),
            Seen::Nobody => None,
            Seen::Somebody => Some(Self { pid, born: 0, boot: HERE.boot, space: HERE.space }),
        }
    }

    /// The calling process.
    pub fn own() -> Self {
        static OWN: LazyLock<Identity> = LazyLock::new(Identity::look_at_own);
        // A process that was forked off is another one.
        if OWN.pid == std::process::id() { *OWN } else { Self::look_at_own() }
    }

    fn look_at_own() -> Self {
        let pid = std::process::id();
        Self::of(pid).unwrap_or(Self { pid, born: 0, boot: HERE.boot, space: HERE.space })
    }

    /// Whether this very process is there, as far as that can be told from here.
    pub fn life(&self) -> Life {
        if (self.boot, self.space) != (HERE.boot, HERE.space) {
            return Life::Unknown;
        }
        match look(self.pid) {
            Seen::Nobody => Life::Gone,
            // Where the system does not say when a process began, its number is all there is.
            Seen::Somebody if self.boot.is_known() => Life::Unknown,
            Seen::Somebody => Life::Lives,
            Seen::Process { born, is_over } if is_over || born != self.born => Life::Gone,
            Seen::Process { .. } => Life::Lives,
        }
    }

    /// Whether this is the process that started the calling one, or one that it was started by in turn. Where the system
    /// does not say, only the former is known.
    pub fn is_ancestor(&self) -> bool {
        let is_it = |pid: u32| pid == self.pid && self.is_alive();
        let mut next = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get().cast_unsigned());
        while let Some(pid) = next.filter(|pid| *pid > 1) {
            if is_it(pid) {
                return true;
            }
            next = stat(pid).map(|stat| stat.parent);
        }
        false
    }

    /// All of it as a word without dots and slashes, for the name of a file: what the process leaves there can be told.
    pub fn word(&self) -> String {
        format!("{}-{:x}-{:x}-{}", self.pid, self.born, self.space, self.boot)
    }

    /// What [`Identity::word`] gave. A number alone is a process of which nothing more is known.
    pub fn from_word(word: &str) -> Option<Self> {
        let mut parts = word.split('-');
        let pid = parts.next()?.parse().ok().filter(|pid| *pid > 0)?;
        let mut number = || parts.next().map_or(Some(0), |part| u64::from_str_radix(part, 16).ok());
        let (born, space) = (number()?, number()?);
        let boot = parts.next().filter(|part| !part.is_empty());
        let boot = boot.map_or(Some(Boot::default()), Boot::parse)?;
        parts.next().is_none().then_some(Self { pid, born, boot, space })
    }

    /// Whether it can be told from here that this very process is alive. One of which that cannot be told is not.
    pub fn is_alive(&self) -> bool {
        self.life() == Life::Lives
    }
}

impl Boot {
    /// Whether the system says.
    pub fn is_known(self) -> bool {
        self.0 != 0
    }

    /// The kernel that runs here, since it was started.
    pub fn here() -> Self {
        HERE.boot
    }

    fn parse(text: &str) -> Option<Self> {
        let digits: String = text.trim().chars().filter(|digit| *digit != '-').collect();
        u128::from_str_radix(&digits, 16).ok().map(Self)
    }
}

impl fmt::Display for Boot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_known() { write!(f, "{:032x}", self.0) } else { Ok(()) }
    }
}

impl fmt::Debug for Boot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Boot({self})")
    }
}

impl Serialize for Boot {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Boot {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'_, str>::deserialize(from)?;
        Ok(Self::parse(&text).unwrap_or_default())
    }
}

/// What is to be seen of a number.
enum Seen {
    /// There is no such process.
    Nobody,
    /// There is one, and nothing more is known of it.
    Somebody,
    /// There is one.
    Process {
        /// When it began.
        born: u64,
        /// It has ended, and only waits to be asked how.
        is_over: bool,
    },
}

fn look(pid: u32) -> Seen {
    if HERE.boot.is_known()
        && let Some(Stat { born, is_over, .. }) = stat(pid)
    {
        return Seen::Process { born, is_over };
    }
    let Some(number) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Seen::Nobody };
    // One that belongs to somebody else may not be signalled, and may be hidden, and is there.
    match rustix::process::test_kill_process(number) {
        Err(rustix::io::Errno::SRCH) => Seen::Nobody,
        _ => Seen::Somebody,
    }
}

/// What Linux says of a process.
struct Stat {
    parent: u32,
    /// When it began.
    born: u64,
    /// It has ended, and only waits to be asked how.
    is_over: bool,
}

fn stat(pid: u32) -> Option<Stat> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let is_over = matches!(fields.next()?, "Z" | "X" | "x");
    let parent = fields.next()?.parse().ok()?;
    Some(Stat { parent, born: fields.nth(17)?.parse().ok()?, is_over })
}

/// What Linux says of itself; nothing elsewhere, and nothing if `/proc` is that of another namespace.
fn here() -> Here {
    let nowhere = Here { boot: Boot::default(), space: 0 };
    let ours = std::fs::read_link("/proc/self").ok();
    let ours = ours.and_then(|link| link.to_str()?.parse::<u32>().ok());
    if ours != Some(std::process::id()) {
        return nowhere;
    }
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok();
    let space = std::fs::read_link("/proc/self/ns/pid").ok();
    let space = space.and_then(|link| number(link.to_str()?));
    match (boot.as_deref().and_then(Boot::parse), space) {
        (Some(boot), Some(space)) => Here { boot, space },
        _ => nowhere,
    }
}

/// The number in `pid:[4026531836]`.
fn number(link: &str) -> Option<u64> {
    link.strip_prefix("pid:[")?.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_again_where_it_can_be_and_nowhere_else() {
        let own = Identity::own();
        assert_eq!(own.life(), Life::Lives);
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let other = Identity::of(child.id()).unwrap();
        assert_eq!(other.life(), Life::Lives);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(other.life(), Life::Gone);
        assert!(Identity::of(0).is_none());
        let parent = Identity::of(std::os::unix::process::parent_id()).unwrap();
        assert!(parent.is_ancestor() && !own.is_ancestor());
        if cfg!(target_os = "linux") {
            assert_eq!(
                Identity { born: own.born + 1, ..own }.life(),
                Life::Gone,
                "the number was given again"
            );
            assert_eq!(Identity { space: own.space + 1, ..own }.life(), Life::Unknown, "another container");
            assert_eq!(Identity { boot: Boot(7), ..own }.life(), Life::Unknown, "another machine");
            assert_eq!(
                Identity { pid: own.pid, ..Identity::default() }.life(),
                Life::Unknown,
                "nothing was said"
            );
        }
    }

    #[test]
    fn what_is_written_down_is_known_again() {
        let own = Identity::own();
        let text = serde_json::to_string(&own).unwrap();
        assert_eq!(serde_json::from_str::<Identity>(&text).unwrap(), own);
        assert_eq!(
            serde_json::from_str::<Identity>("{\"pid\":7}").unwrap(),
            Identity { pid: 7, ..Identity::default() }
        );
        assert_eq!(Identity::from_word(&own.word()), Some(own));
        let nowhere = Identity { pid: 7, ..Identity::default() };
        assert_eq!(Identity::from_word(&nowhere.word()), Some(nowhere), "of a system that says nothing");
        assert_eq!(Identity::from_word("7"), Some(nowhere));
        for other in ["", "0", "x", "-1", "7-x", "7-1-2-3-4", "7-1-2-z"] {
            assert_eq!(Identity::from_word(other), None, "{other}");
        }
        assert_eq!(Boot::parse("c664f21b-bf5a-4506-81c9-70993cd5f060\n").unwrap().to_string().len(), 32);
        assert_eq!((number("pid:[4026531836]"), number("net:[1]")), (Some(4_026_531_836), None));
    }
}
