//! A process that dies by `kill -9` in the very moment that it has written, or half written, the n-th line of a journal.
//!
//! A library that is loaded before the C library does it: what the program calls to write and to sync is counted, and
//! the process kills itself there. No time is chosen and nothing is waited for, so every point is met in every run.

use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;

/// Where it dies, seen from the n-th line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Half of the line is written.
    Torn,
    /// The line is on the disk, and nothing that follows has begun.
    Written,
    /// A file has just been put in its place or removed: the n-th whose path has the name of the journal in it.
    Placed,
}

const SOURCE: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static long lines;

/* Whether this descriptor is that of the journal, and this the time to die. */
static int is_time(int fd, const char *moment) {
    const char *journal = getenv("DIES_IN"), *wanted = getenv("DIES_WHEN"), *at = getenv("DIES_AT");
    char link[64], path[4096];
    if (!journal || !wanted || !at || strcmp(wanted, moment)) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    long size = readlink(link, path, sizeof path);
    long tail = (long)strlen(journal);
    if (size < tail || size >= (long)sizeof path || memcmp(path + size - tail, journal, tail)) return 0;
    return ++lines == atol(at);
}

ssize_t write(int fd, const void *bytes, size_t size) {
    if (is_time(fd, "torn")) {
        syscall(SYS_write, fd, bytes, size / 2);
        kill(getpid(), SIGKILL);
    }
    return syscall(SYS_write, fd, bytes, size);
}

/* Whether this file is the last that is put in place or removed. */
static int is_last(const char *path) {
    const char *part = getenv("DIES_IN"), *wanted = getenv("DIES_WHEN"), *at = getenv("DIES_AT");
    if (!part || !wanted || !at || strcmp(wanted, "placed") || !strstr(path, part)) return 0;
    return ++lines == atol(at);
}

int rename(const char *from, const char *to) {
    int done = (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
    if (done == 0 && is_last(to)) kill(getpid(), SIGKILL);
    return done;
}

int unlink(const char *path) {
    int done = (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
    if (done == 0 && is_last(path)) kill(getpid(), SIGKILL);
    return done;
}

int fdatasync(int fd) {
    int done = (int)syscall(SYS_fdatasync, fd);
    if (is_time(fd, "written")) kill(getpid(), SIGKILL);
    return done;
}
"#;

/// The library, compiled once by each run of the tests; it lies where cargo keeps what tests write.
static LIBRARY: LazyLock<PathBuf> = LazyLock::new(|| {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    std::fs::create_dir_all(&dir).unwrap();
    let own = |ending: &str| dir.join(format!("dying-{}.{ending}", std::process::id()));
    let (source, made, library) = (own("c"), own("so"), dir.join("dying.so"));
    std::fs::write(&source, SOURCE).unwrap();
    let mut cc = Command::new("cc");
    let status = cc.args(["-shared", "-fPIC", "-O1", "-o"]).args([&made, &source]).status().unwrap();
    assert!(status.success(), "a C compiler is there: without one there is no linker either");
    // Another run of the tests may be using the one that is there.
    std::fs::rename(&made, &library).unwrap();
    std::fs::remove_file(&source).unwrap();
    library
});

/// From now on the command dies when it writes the n-th line (from 1) into a file whose path ends in `journal`.
pub fn dies(command: &mut Command, journal: &str, at: usize, moment: Moment) {
    let moment = match moment {
        Moment::Torn => "torn",
        Moment::Written => "written",
        Moment::Placed => "placed",
    };
    command
        .env("LD_PRELOAD", &*LIBRARY)
        .env("DIES_IN", journal)
        .env("DIES_WHEN", moment)
        .env("DIES_AT", at.to_string());
}
