#!/usr/bin/env python3
"""How long it takes from a write to the start of the affected command, and what waiting costs: envrun beside others.

    cargo build --release
    benches/watch.py                          # 10,000 files; envrun, and watchexec, entr, turbo where they are
    benches/watch.py --files 1000 --rounds 50 --only envrun,entr

A tree of FILES files in folders of twelve is watched. Every round writes one of them and waits until the command that
reads them starts: it opens a pipe, and the other end of that is here. So every number holds the tool's quiet window, its
check, the start of a shell, and this program's own waking up. Rounds are a tenth of a second and more apart.

`floor` is no tool but the least that can be: a few lines of C that wait for inotify, then until eight milliseconds were
quiet, and start the same shell. On a busy machine only the distance to it says something.

Beside it: how many of twenty files that were only touched, or written with what they held before, made something run;
what the tool takes of the processor while nothing happens for ten seconds, and its memory (proportional set
size, all its processes together).

turbo comes with npm (`npm install turbo`), entr from the distribution, watchexec from `cargo install watchexec-cli`. What
is not there is left out.
"""

import argparse
import json
import os
import pathlib
import random
import select
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent.parent


def tree(root, files):
    for at in range(files):
        folder = root / "src" / f"d{at // 12}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"f{at}.txt").write_text(f"{at}\n")
    os.mkfifo(root / "pipe")


FLOOR = r"""
#include <dirent.h>
#include <poll.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/wait.h>
#include <unistd.h>
extern char **environ;
static int in;
static void watch(const char *path) {
    inotify_add_watch(in, path, IN_MODIFY | IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVE);
    DIR *dir = opendir(path);
    for (struct dirent *one; (one = readdir(dir));) {
        if (one->d_type != DT_DIR || one->d_name[0] == '.') continue;
        char below[4096];
        snprintf(below, sizeof below, "%s/%s", path, one->d_name);
        watch(below);
    }
    closedir(dir);
}
int main(void) {
    char buffer[65536];
    in = inotify_init1(IN_CLOEXEC);
    watch("src");
    for (struct pollfd poll_in = {in, POLLIN, 0};;) {
        int wait = -1;
        while (poll(&poll_in, 1, wait) > 0) {
            if (read(in, buffer, sizeof buffer) < 0) return 1;
            wait = 8;
        }
        pid_t pid;
        char *words[] = {"sh", "-c", "echo x > pipe", NULL};
        posix_spawn(&pid, "/bin/sh", NULL, NULL, words, environ);
        waitpid(pid, NULL, 0);
    }
}
"""


class Floor:
    name = "floor"

    def start(self, root):
        if not shutil.which("cc"):
            return None
        (root / "floor.c").write_text(FLOOR)
        subprocess.run(["cc", "-O1", "-o", root / "floor", root / "floor.c"], check=True)
        return subprocess.Popen([root / "floor"], cwd=root, **quiet(root))


class Envrun:
    name = "envrun"

    def start(self, root):
        binary = pathlib.Path(os.environ.get("ENVRUN", HERE / "target/release/envrun"))
        if not binary.exists():
            return None
        (root / "Envfile.kdl").write_text('task "all" { inputs "src/**"; run "echo x > pipe" }\n')
        return subprocess.Popen([binary, "dev", "all"], cwd=root, **quiet(root))


class Watchexec:
    name = "watchexec"

    def start(self, root):
        if not shutil.which("watchexec"):
            return None
        command = ["watchexec", "--debounce", "10ms", "-w", "src", "--", "echo x > pipe"]
        return subprocess.Popen(command, cwd=root, **quiet(root))


class Entr:
    name = "entr"

    def start(self, root):
        if not shutil.which("entr"):
            return None
        return subprocess.Popen("find src -type f | entr -n sh -c 'echo x > pipe'", shell=True, cwd=root, **quiet(root))


class Turbo:
    name = "turbo"

    def start(self, root):
        turbo = os.environ.get("TURBO") or shutil.which("turbo")
        if not turbo:
            return None
        package = {"name": "p", "version": "1.0.0", "scripts": {"all": "echo x > ../pipe"}}
        whole = {"name": "w", "private": True, "workspaces": ["src"], "packageManager": "npm@10.0.0"}
        (root / "src/package.json").write_text(json.dumps(package))
        (root / "package.json").write_text(json.dumps(whole))
        (root / "turbo.json").write_text(json.dumps({"tasks": {"all": {"cache": False}}}))
        lock = {"name": "w", "lockfileVersion": 3, "packages": {"": whole, "src": package}}
        (root / "package-lock.json").write_text(json.dumps(lock))
        (root / ".gitignore").write_text("pipe\nlog\n.turbo\n.envrun\n")
        for words in (["init", "-q"], ["add", "-A"], ["-c", "user.name=b", "-c", "user.email=b@b", "commit", "-qm", "b"]):
            subprocess.run(["git", *words], cwd=root, check=True)
        return subprocess.Popen([turbo, "watch", "all"], cwd=root, **quiet(root))


def quiet(root):
    log = open(root / "log", "wb")
    # A cache of its own: what an earlier measurement made would only be put back.
    env = dict(os.environ, ENVRUN_CACHE_DIR=str(root / ".cache"))
    return {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log, "start_new_session": True, "env": env}


def heard(pipe, seconds):
    """When the pipe was written to, or None."""
    ready, _, _ = select.select([pipe], [], [], seconds)
    now = time.monotonic_ns()
    if not ready:
        return None
    os.read(pipe, 4096)
    return now


def family(pid):
    found = [pid]
    for one in found:
        try:
            for task in os.listdir(f"/proc/{one}/task"):
                children = pathlib.Path(f"/proc/{one}/task/{task}/children").read_text().split()
                found += [int(child) for child in children]
        except OSError:
            pass
    return found


def cost(pid):
    """CPU seconds and proportional memory of a process and all below it."""
    ticks, memory = 0, 0
    for one in family(pid):
        try:
            fields = pathlib.Path(f"/proc/{one}/stat").read_text().rsplit(") ", 1)[1].split()
            ticks += int(fields[11]) + int(fields[12])
            for line in pathlib.Path(f"/proc/{one}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    memory += int(line.split()[1])
        except OSError:
            pass
    return ticks / os.sysconf("SC_CLK_TCK"), memory / 1024


def measure(tool, files, rounds, idle):
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        root = pathlib.Path(folder)
        tree(root, files)
        # Held open for writing too: a pipe without writers would be readable for ever.
        pipe = os.open(root / "pipe", os.O_RDWR | os.O_NONBLOCK)
        process = tool.start(root)
        if process is None:
            return None
        try:
            heard(pipe, 20)
            time.sleep(2)
            while heard(pipe, 0.1):
                pass
            draw = random.Random(1)
            took, missed = [], 0
            for round in range(rounds):
                at = draw.randrange(files)
                path = root / "src" / f"d{at // 12}" / f"f{at}.txt"
                path.write_text(f"{at} {round}\n")
                begun = time.monotonic_ns()
                now = heard(pipe, 5)
                if now is None:
                    missed += 1
                    if missed > 3 and not took:
                        break
                else:
                    took.append((now - begun) / 1e6)
                time.sleep(0.1 + draw.random() / 10)
                while heard(pipe, 0.02):
                    pass
            touched = 0
            for round in range(20):
                at = draw.randrange(files)
                path = root / "src" / f"d{at // 12}" / f"f{at}.txt"
                path.write_text(path.read_text()) if round % 2 else os.utime(path)
                touched += heard(pipe, 0.25) is not None
                while heard(pipe, 0.02):
                    pass
            before, _ = cost(process.pid)
            time.sleep(idle)
            after, memory = cost(process.pid)
            return took, missed, touched, (after - before) / idle * 100, memory
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
            os.close(pipe)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--idle", type=float, default=10)
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    only = [name for name in args.only.split(",") if name]
    print(f"{'tool':10} {'median':>9} {'p90':>9} {'worst':>9} {'missed':>7} {'touched':>7} {'idle CPU':>9} {'memory':>9}")
    for tool in (Floor(), Envrun(), Watchexec(), Entr(), Turbo()):
        if only and tool.name not in only:
            continue
        result = measure(tool, args.files, args.rounds, args.idle)
        if result is None:
            print(f"{tool.name:10} is not there", file=sys.stderr)
            continue
        took, missed, touched, cpu, memory = result
        took.sort()
        if not took:
            print(f"{tool.name:10} never started anything", file=sys.stderr)
            continue
        p90 = took[int(len(took) * 0.9)]
        median = statistics.median(took)
        print(f"{tool.name:10} {median:7.1f}ms {p90:7.1f}ms {took[-1]:7.1f}ms {missed:7} {touched:7} {cpu:8.2f}% {memory:6.1f} MB")


if __name__ == "__main__":
    main()
