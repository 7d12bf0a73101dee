//! Follows a command that was started: hands on what it prints, minds its time, and sees to it that it is over when it
//! is over.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Signal, WaitIdStatus};

use super::command::{Ended, Exit, Stream};
use super::files;
use super::pipe::pipe;
use super::running::Running;

/// How long background processes may hold the output after the end of the first process of a command.
const LINGER: Duration = Duration::from_millis(100);
/// How long the rest of a command that was told to end may take after its first process, before it gets a SIGTERM.
const REST: Duration = Duration::from_millis(500);
/// How often it is asked whether something has ended that cannot be waited for.
const TICK: Duration = Duration::from_millis(5);
/// The most a pipe holds by default; as much is read at once.
const CHUNK: usize = 64 * 1024;

/// The ends of a command's pipes that envrun reads.
pub(super) struct Pipes {
    streams: [Option<OwnedFd>; 2],
    buffer: Vec<u8>,
}

impl Pipes {
    /// Two pipes: what is read here, and what the command writes to.
    pub(super) fn new() -> io::Result<(Self, [OwnedFd; 2])> {
        let (out, out_end) = pipe()?;
        let (err, err_end) = pipe()?;
        files::leave_some(&err_end)?;
        Ok((Self { streams: [Some(out), Some(err)], buffer: Vec::new() }, [out_end, err_end]))
    }

    fn none() -> Self {
        Self { streams: [None, None], buffer: Vec::new() }
    }

    /// Nobody holds the other end of either.
    fn are_closed(&self) -> bool {
        self.streams.iter().all(Option::is_none)
    }

    /// Waits until something can be read, `ending` is readable, or the time is up; reads once what can be read. Whether
    /// `ending` is readable.
    fn wait(
        &mut self,
        ending: Option<&OwnedFd>,
        time: Option<Duration>,
        output: &mut dyn FnMut(Stream, &[u8]),
    ) -> bool {
        let [out, err] = self.streams.each_ref().map(|stream| stream.as_ref().map(OwnedFd::as_fd));
        let watched = [out, err, ending.map(OwnedFd::as_fd)];
        // What is not watched any longer must be something: a place that asks for nothing is never readable.
        let Some(any) = watched.iter().flatten().next().copied() else {
            std::thread::sleep(time.unwrap_or(TICK));
            return false;
        };
        let mut fds = watched.map(|fd| match fd {
            Some(fd) => PollFd::from_borrowed_fd(fd, PollFlags::IN),
            None => PollFd::from_borrowed_fd(any, PollFlags::empty()),
        });
        let time =
            time.map(|time| Timespec::try_from(time).unwrap_or(Timespec { tv_sec: i64::MAX, tv_nsec: 0 }));
        if poll(&mut fds, time.as_ref()).is_err() {
            return false; // A signal came; the caller looks at the clock and comes back.
        }
        let readable = [0, 1, 2].map(|at| watched[at].is_some() && !fds[at].revents().is_empty());
        for (at, stream) in [Stream::Stdout, Stream::Stderr].into_iter().enumerate() {
            if readable[at] {
                self.read(at, stream, CHUNK, output);
            }
        }
        readable[2]
    }

    /// Reads once, at most `most` bytes; how many it was.
    fn read(
        &mut self,
        at: usize,
        stream: Stream,
        most: usize,
        output: &mut dyn FnMut(Stream, &[u8]),
    ) -> usize {
        let Some(pipe) = &self.streams[at] else { return 0 };
        self.buffer.clear();
        self.buffer.reserve(CHUNK);
        let space = &mut self.buffer.spare_capacity_mut()[..most.min(CHUNK)];
        match rustix::io::read(pipe, space) {
            Ok((read, _)) if !read.is_empty() => {
                let length = read.len();
                output(stream, read);
                length
            }
            Err(Errno::INTR | Errno::AGAIN) => 0,
            // The end, or a pipe that is broken in a way that no pipe is.
            Ok(_) | Err(_) => {
                self.streams[at] = None;
                0
            }
        }
    }

    /// Reads what is in the pipes at this moment: all that was written before, and nothing that is written from now on.
    fn drain(&mut self, output: &mut dyn FnMut(Stream, &[u8])) {
        for (at, stream) in [Stream::Stdout, Stream::Stderr].into_iter().enumerate() {
            let Some(pipe) = &self.streams[at] else { continue };
            let mut left = rustix::io::ioctl_fionread(pipe).unwrap_or(0);
            while left > 0 {
                let most = usize::try_from(left).unwrap_or(CHUNK);
                match self.read(at, stream, most, output) {
                    0 if self.streams[at].is_none() => break,
                    read => left -= read as u64,
                }
            }
            self.streams[at] = None;
        }
    }
}

/// How a command is brought to its end when its time is up.
#[derive(Clone, Copy)]
enum Limit {
    /// At this moment it is asked to end; never without one.
    Asks(Option<Instant>),
    /// It was asked; at this moment it is killed.
    Kills(Instant),
    /// It was killed.
    Killed,
}

/// Follows `running` to its end, which is when `ending` becomes readable.
pub(super) fn follow(
    running: &Running<'_>,
    ending: Option<&OwnedFd>,
    pipes: Option<Pipes>,
    (timeout, grace): (Option<Duration>, Duration),
    output: &mut dyn FnMut(Stream, &[u8]),
) -> Ended {
    let mut pipes = pipes.unwrap_or_else(Pipes::none);
    let mut limit = Limit::Asks(timeout.and_then(|timeout| running.now().checked_add(timeout)));
    let status = loop {
        let until = match limit {
            Limit::Asks(until) => until,
            Limit::Kills(until) => Some(until),
            Limit::Killed => None,
        };
        let left = until.map(|until| until.saturating_duration_since(running.now()));
        let wait = if ending.is_some() { left } else { Some(left.unwrap_or(TICK).min(TICK)) };
        let look = pipes.wait(ending, wait, output) || ending.is_none();
        if let Some(status) = look.then(|| running.reap()).flatten() {
            break status;
        }
        if until.is_some_and(|until| until <= running.now()) {
            limit = match limit {
                Limit::Asks(_) => {
                    running.terminate();
                    Limit::Kills(running.now() + grace)
                }
                Limit::Kills(_) | Limit::Killed => {
                    running.kill();
                    Limit::Killed
                }
            };
        }
    };
    let cancelled = running.is_cancelled();
    let exit = match (limit, status) {
        _ if cancelled => Exit::Cancelled,
        (Limit::Kills(_) | Limit::Killed, _) => Exit::TimedOut,
        (Limit::Asks(_), Ok(status)) => exit_of(&status),
        // Somebody else asked for its end, against the rules of this room.
        (Limit::Asks(_), Err(_)) => Exit::Signal(0),
    };
    let left_behind = match limit {
        Limit::Kills(until) => see_off(running, &mut pipes, Some(until), until, output),
        Limit::Asks(_) if cancelled => {
            let asks = running.now() + REST;
            see_off(running, &mut pipes, Some(asks), asks + grace, output)
        }
        Limit::Asks(_) => {
            let until = Instant::now() + LINGER;
            while !pipes.are_closed() && Instant::now() < until {
                pipes.wait(None, Some(until.saturating_duration_since(Instant::now())), output);
            }
            end_group(running)
        }
        Limit::Killed => end_group(running),
    };
    if exit.is_success() && running.spares() {
        running.release();
    } else {
        running.end_strays(REST.min(grace));
    }
    pipes.drain(output);
    Ended { exit, left_behind }
}

/// Gives the rest of a command that was told to end the time to do so: it is asked (again) at `asks`, and killed at
/// `kills`. Whether there was a rest that had to be killed.
fn see_off(
    running: &Running<'_>,
    pipes: &mut Pipes,
    mut asks: Option<Instant>,
    kills: Instant,
    output: &mut dyn FnMut(Stream, &[u8]),
) -> bool {
    let mut tick = Duration::from_millis(1);
    while running.group_is_alive() && running.now() < kills {
        if asks.is_some_and(|asks| asks <= running.now()) {
            asks = None;
            running.signal_group(Signal::TERM);
            running.signal_group(Signal::CONT);
        }
        pipes.wait(None, Some(tick), output);
        tick = (tick * 2).min(TICK);
    }
    end_group(running)
}

/// Kills what is left of the group, and waits until it is gone: whoever looks at the outputs next shall not meet a
/// process that still writes them. Whether something was left.
fn end_group(running: &Running<'_>) -> bool {
    // One that is over and that nobody has asked yet how it ended is nothing that was left.
    let has_left = running.group_is_alive() && !running.group_is_dead();
    if !running.signal_group(Signal::KILL) {
        return false;
    }
    for round in 0..100_u64 {
        // A parent outside the group may never ask how its child ended: the dead count as gone.
        if !running.group_is_alive() || (round > 10 && running.group_is_dead()) {
            break;
        }
        std::thread::sleep(Duration::from_micros(100 * (round + 1)).min(TICK));
    }
    has_left
}

fn exit_of(status: &WaitIdStatus) -> Exit {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(status), _) => Exit::Status(status),
        (None, signal) => Exit::Signal(signal.unwrap_or(0)),
    }
}
