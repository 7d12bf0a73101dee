#!/usr/bin/env python3
"""Measures envrun beside ninja, make and (where npm can install it) turbo, on the same work, in one run.

    benches/peers.py [--envrun PATH] [--only WORD] [--pairs N] [--tools ninja,make,turbo]

Every number is a whole process: wall time and CPU time (of the process and everything it waited for), the median of
interleaved rounds, so that a noisy machine is noisy for all. The last columns are ratios envrun / tool; below 1.00 envrun
is quicker. The work is a layered graph: each task needs one to three of the layer before, reads one small file and
writes one (`cp`); 10 layers. Only public tools are used; nothing is left outside the temporary folder (of TMPDIR:
on a file system that makes files slowly, cold runs measure that).
"""

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))


class Graph:
    """Tasks (name, source, output, needs) in 10 layers."""

    def __init__(self, count):
        rng = random.Random(42)
        width = max(1, count // 10)
        self.tasks, before = [], []
        for layer in range(10):
            now = []
            for at in range(width):
                near = {at} | {at - rng.randrange(min(at, 8) + 1) for _ in range(rng.randrange(3))}
                needs = [before[k] for k in sorted(near)] if before else []
                name = f"p{at}_t{layer}"
                now.append((name, f"packages/p{at}/src/t{layer}.txt", f"packages/p{at}/out/t{layer}.txt", needs))
            self.tasks += now
            before = now
        self.width = width
        self.top = before

    def sources(self, root):
        for at in range(self.width):
            for sub in ("src", "out"):
                os.makedirs(f"{root}/packages/p{at}/{sub}", exist_ok=True)
        for name, source, _, _ in self.tasks:
            with open(f"{root}/{source}", "w") as out:
                out.write(f"source of {name}\n" + "x" * 64 + "\n")


class Ninja:
    name, command = "ninja", ["ninja", "--quiet", "all"]

    @staticmethod
    def write(root, graph):
        with open(f"{root}/build.ninja", "w") as out:
            out.write("rule cp\n  command = cp $in $out\n")
            for _, source, output, needs in graph.tasks:
                after = " || " + " ".join(need[2] for need in needs) if needs else ""
                # A needed output is an input here as it is in envrun: its change runs the task again.
                inner = " | " + " ".join(need[2] for need in needs) if needs else ""
                out.write(f"build {output}: cp {source}{inner}\n")
            out.write("build all: phony " + " ".join(task[2] for task in graph.tasks) + "\n")

    @staticmethod
    def clean(root):
        for name in (".ninja_log", ".ninja_deps"):
            if os.path.exists(f"{root}/{name}"):
                os.unlink(f"{root}/{name}")


class Make:
    name, command = "make", ["make", "-s", "-j2", "all"]

    @staticmethod
    def write(root, graph):
        with open(f"{root}/Makefile", "w") as out:
            out.write(".SUFFIXES:\nMAKEFLAGS += -rR\nall: " + " ".join(task[2] for task in graph.tasks) + "\n")
            for _, source, output, needs in graph.tasks:
                out.write(f"{output}: {source} {' '.join(need[2] for need in needs)}\n\tcp {source} {output}\n")

    @staticmethod
    def clean(root):
        pass


class Envrun:
    name = "envrun"

    def __init__(self, program):
        self.command = [program, "-o", "quiet", "all"]

    @staticmethod
    def write(root, graph):
        with open(f"{root}/Envfile.kdl", "w") as out:
            for name, source, output, needs in graph.tasks:
                out.write(f'task "{name}" {{\n')
                if needs:
                    out.write("    needs " + " ".join(f'"{need[0]}"' for need in needs) + "\n")
                out.write(f'    inputs "{source}"\n    outputs "{output}"\n    run "cp {source} {output}"\n}}\n')
            out.write('task "all" { needs ' + " ".join(f'"{task[0]}"' for task in graph.tasks) + " }\n")

    @staticmethod
    def clean(root):
        shutil.rmtree(f"{root}/.envrun", ignore_errors=True)
        shutil.rmtree(f"{root}/.cache", ignore_errors=True)


class Turbo:
    """turbo starts each task by way of a package manager; bun, which starts in a hundredth of npm's time, is the kindest."""

    name, command = "turbo", ["node_modules/.bin/turbo", "run", "t9", "--concurrency=2", "--output-logs=none", "--no-daemon"]
    tools = None

    @staticmethod
    def write(root, graph):
        if not Turbo.tools:
            Turbo.tools = f"{os.path.dirname(root)}/turbo-tools"
            os.makedirs(Turbo.tools)
            with open(f"{Turbo.tools}/package.json", "w") as out:
                json.dump({"name": "tools", "private": True}, out)
            subprocess.run(["npm", "install", "--silent", "--no-save", "turbo@2", "bun@1"], cwd=Turbo.tools, check=True, stdout=subprocess.DEVNULL)
        os.symlink(f"{Turbo.tools}/node_modules", f"{root}/node_modules")
        bins = f"{Turbo.tools}/node_modules/.bin"
        version = subprocess.run([f"{bins}/bun", "--version"], check=True, capture_output=True, text=True).stdout.strip()
        with open(f"{root}/package.json", "w") as out:
            json.dump({"name": "bench", "private": True, "packageManager": f"bun@{version}", "workspaces": ["packages/*"]}, out)
        tasks, packages = {}, {}
        for name, source, output, needs in graph.tasks:
            package, task = name.split("_")
            packages.setdefault(package, {})[task] = f"cp src/{task}.txt out/{task}.txt"
            tasks[f"{package}#{task}"] = {
                "dependsOn": [need[0].replace("_", "#") for need in needs],
                "inputs": [f"src/{task}.txt"],
                "outputs": [f"out/{task}.txt"],
            }
        for package, scripts in packages.items():
            with open(f"{root}/packages/{package}/package.json", "w") as out:
                json.dump({"name": package, "version": "1.0.0", "scripts": scripts}, out)
        with open(f"{root}/turbo.json", "w") as out:
            json.dump({"$schema": "https://turborepo.com/schema.json", "tasks": tasks}, out)
        with open(f"{root}/.gitignore", "w") as out:
            out.write("node_modules\nout\n.turbo\n")
        # What bun writes for workspaces without a dependency: it would put a folder in the place of the link.
        names = {f"packages/{package}": {"name": package, "version": "1.0.0"} for package in packages}
        links = {package: [f"{package}@workspace:packages/{package}"] for package in packages}
        with open(f"{root}/bun.lock", "w") as out:
            json.dump({"lockfileVersion": 1, "workspaces": {"": {"name": "bench"}, **names}, "packages": links}, out)
        subprocess.run(["git", "init", "-q"], cwd=root, check=True)

    @staticmethod
    def clean(root):
        shutil.rmtree(f"{root}/.turbo", ignore_errors=True)
        shutil.rmtree(f"{root}/node_modules/.cache", ignore_errors=True)
        for package in os.listdir(f"{root}/packages"):
            shutil.rmtree(f"{root}/packages/{package}/.turbo", ignore_errors=True)


def measure(command, root):
    """Wall and CPU milliseconds of one process with everything it waited for."""
    env = {**os.environ, "ENVRUN_CACHE_DIR": f"{root}/.cache", "TURBO_TELEMETRY_DISABLED": "1", "TURBO_NO_UPDATE_NOTIFIER": "1"}
    if Turbo.tools and root.startswith(os.path.dirname(Turbo.tools) + "/turbo"):
        env["PATH"] = f"{Turbo.tools}/node_modules/.bin:{env['PATH']}"
    begun = time.perf_counter()
    with open(os.devnull, "w") as null:
        child = subprocess.Popen(command, cwd=root, stdout=null, stderr=subprocess.PIPE, env=env)
        said = child.stderr.read()
        _, status, used = os.wait4(child.pid, 0)
    wall = time.perf_counter() - begun
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        sys.exit(f"{' '.join(command)} in {root} failed:\n{said.decode(errors='replace')}")
    return wall * 1000, (used.ru_utime + used.ru_stime) * 1000


def rounds(tools, roots, pairs, before=None):
    """Medians by tool; `before` puts a tool's folder into the state that is to be measured."""
    times = {tool.name: [] for tool in tools}
    for _ in range(pairs):
        for tool in tools:
            if before:
                before(tool, roots[tool.name])
            times[tool.name].append(measure(tool.command, roots[tool.name]))
    return {name: tuple(statistics.median(column) for column in zip(*rows)) for name, rows in times.items()}


def remove_outputs(graph, root):
    for _, _, output, _ in graph.tasks:
        try:
            os.unlink(f"{root}/{output}")
        except FileNotFoundError:
            pass


def aside(graph, root):
    """Copies every output below `aside`."""
    for _, _, output, _ in graph.tasks:
        os.makedirs(os.path.dirname(f"{root}/aside/{output}"), exist_ok=True)
        shutil.copy(f"{root}/{output}", f"{root}/aside/{output}")


def versus(work, both, name="copy", words="`cp -r` of the same files"):
    """envrun beside the least that can be done."""
    wall, cpu = (both["envrun"][at] / both[name][at] for at in (0, 1))
    print(f"{work}: {wall:.2f} of {words} by wall, {cpu:.2f} by CPU", flush=True)


FLOOR = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
int main(int count, char **words) {
    FILE *names = fopen(words[1], "r");
    char name[4096];
    struct statx found;
    while (names && fgets(name, sizeof name, names)) {
        name[strcspn(name, "\n")] = 0;
        if (statx(AT_FDCWD, name, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &found)) return 1;
    }
    return !names;
}
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--envrun", default=os.path.join(HERE, "../target/release/envrun"))
    parser.add_argument("--only", default="")
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--tools", default="ninja,make,turbo")
    args = parser.parse_args()
    args.envrun = os.path.abspath(args.envrun)
    peers = [peer for peer in (Ninja, Make, Turbo) if peer.name in args.tools.split(",")]
    peers = [peer for peer in peers if shutil.which("npm" if peer is Turbo else peer.name)]
    tools = [Envrun(args.envrun)] + peers
    header = ["work"] + [tool.name for tool in tools] + [f"/ {peer.name}" for peer in peers]
    print("| " + " | ".join(header) + " |\n|" + "---|" * len(header), flush=True)

    def row(work, result):
        own = result["envrun"]
        cells = [f"{result[tool.name][0]:.1f} / {result[tool.name][1]:.1f}" if tool.name in result else "–" for tool in tools]
        ratios = [f"{own[0] / result[peer.name][0]:.2f}" if peer.name in result else "–" for peer in peers]
        print("| " + " | ".join([work] + cells + ratios) + " |", flush=True)

    with tempfile.TemporaryDirectory(prefix="envrun-bench-") as base:
        # 100,000 take minutes to build, so only somebody who names them gets them.
        for count in (100, 1000, 10000) + ((100000,) if "100,000" in args.only else ()):
            graph = Graph(count)
            # turbo needs minutes for 10,000 tasks, and nobody learns anything from it.
            some = [tool for tool in tools if tool is not Turbo or count <= 1000]
            roots = {}
            wanted = lambda work: args.only in f"{work}, {count:,} tasks"
            works = ["cold", "null", "one top source changed", "a source touched, same bytes", "restore"]
            if not any(wanted(work) for work in works):
                continue
            for tool in some:
                roots[tool.name] = root = f"{base}/{tool.name}{count}"
                os.makedirs(root)
                graph.sources(root)
                tool.write(root, graph)

            def cold(tool, root):
                remove_outputs(graph, root)
                tool.clean(root)

            if wanted("cold"):
                few = max(1, args.pairs // (3 if count < 10000 else 9))
                row(f"cold, {count:,} tasks", rounds(some, roots, few, cold))
            for tool in some:
                measure(tool.command, roots[tool.name])
            # Whatever is as young as the index is looked at again: let the clock move on.
            time.sleep(1.1)
            for tool in some:
                measure(tool.command, roots[tool.name])
            if wanted("null"):
                row(f"null, {count:,} tasks", rounds(some, roots, args.pairs))
            edits = iter(range(1 << 30))

            def change(_, root):
                with open(f"{root}/{graph.top[0][1]}", "w") as out:
                    out.write(f"edit {next(edits)}\n")

            if wanted("one top source changed"):
                row(f"one top source changed, {count:,} tasks", rounds(some, roots, args.pairs, change))

            def touch(_, root):
                os.utime(f"{root}/{graph.tasks[0][1]}")

            if wanted("a source touched, same bytes"):
                row(f"a source touched, same bytes, {count:,} tasks", rounds(some, roots, args.pairs, touch))
            storing = [tool for tool in some if tool.name in ("envrun", "turbo")]

            def gone(tool, root):
                remove_outputs(graph, root)

            if wanted("restore") and count <= 1000:
                row(f"restore, {count:,} tasks", rounds(storing, roots, args.pairs, gone))
                # The least that can be done: the same files, copied to the same places.
                root = roots["envrun"]
                aside(graph, root)
                copy = argparse.Namespace(name="copy", command=["cp", "-r", "aside/packages", "."])
                both = rounds([tools[0], copy], {"envrun": root, "copy": root}, args.pairs, gone)
                versus(f"restore, {count:,} tasks", both)
            for root in roots.values():
                shutil.rmtree(root)
        if args.only in "one trivial task":
            roots = {}
            for tool in [tool for tool in tools if tool is not Turbo]:
                roots[tool.name] = root = f"{base}/{tool.name}"
                os.makedirs(root)
                with open(f"{root}/Envfile.kdl", "w") as out:
                    out.write('task "all" { run "echo hi" }\n')
                with open(f"{root}/build.ninja", "w") as out:
                    out.write("rule r\n  command = echo hi\nbuild all: r\n")
                with open(f"{root}/Makefile", "w") as out:
                    out.write("all:\n\techo hi\n")
            row("one trivial task", rounds([tool for tool in tools if tool is not Turbo], roots, args.pairs * 3))
        if args.only in "null, one task with 50,000 inputs":
            roots = {}
            some = [tool for tool in tools if tool is not Turbo]
            for tool in some:
                roots[tool.name] = root = f"{base}/{tool.name}"
                shutil.rmtree(root, ignore_errors=True)
                names = [f"data/{at // 100:03d}/f{at % 100:02d}.txt" for at in range(50000)]
                for folder in {os.path.dirname(name) for name in names}:
                    os.makedirs(f"{root}/{folder}")
                for name in names:
                    with open(f"{root}/{name}", "w") as out:
                        out.write(f"data {name}\n")
                with open(f"{root}/Envfile.kdl", "w") as out:
                    out.write('task "all" {\n    inputs "data/**"\n    outputs "out.txt"\n    run "touch out.txt"\n}\n')
                with open(f"{root}/build.ninja", "w") as out:
                    out.write("rule r\n  command = touch out.txt\nbuild out.txt: r | " + " ".join(names) + "\nbuild all: phony out.txt\n")
                with open(f"{root}/Makefile", "w") as out:
                    out.write(".SUFFIXES:\nMAKEFLAGS += -rR\nall: out.txt\nout.txt: " + " ".join(names) + "\n\ttouch out.txt\n")
                measure(tool.command, root)
            time.sleep(1.1)
            for tool in some:
                measure(tool.command, roots[tool.name])
            row("null, one task with 50,000 inputs", rounds(some, roots, args.pairs))
            if shutil.which("cc"):
                # The least that can be done: one program that looks at each of them and does nothing else.
                own = f"{base}/envrun"
                with open(f"{base}/floor.c", "w") as out:
                    out.write(FLOOR)
                subprocess.run(["cc", "-O2", "-o", f"{base}/floor", f"{base}/floor.c"], check=True)
                with open(f"{base}/names", "w") as out:
                    out.write("".join(f"{name}\n" for name in names))
                floor = argparse.Namespace(name="floor", command=[f"{base}/floor", f"{base}/names"])
                both = rounds([tools[0], floor], {"envrun": own, "floor": own}, args.pairs)
                versus("null, one task with 50,000 inputs", both, "floor", "a bare `statx` of each")
        if args.only in "null, one input of 2 GB":
            roots, some = {}, [tool for tool in tools if tool is not Turbo]
            for tool in some:
                roots[tool.name] = root = f"{base}/{tool.name}"
                shutil.rmtree(root, ignore_errors=True)
                os.makedirs(root)
                with open(f"{root}/big", "wb") as out:
                    out.truncate(2 << 30)
                with open(f"{root}/Envfile.kdl", "w") as out:
                    out.write('task "all" { inputs "big"; outputs "out.txt"; run "touch out.txt" }\n')
                with open(f"{root}/build.ninja", "w") as out:
                    out.write("rule r\n  command = touch out.txt\nbuild out.txt: r big\nbuild all: phony out.txt\n")
                with open(f"{root}/Makefile", "w") as out:
                    out.write("all: out.txt\nout.txt: big\n\ttouch out.txt\n")
                measure(tool.command, root)
            time.sleep(1.1)
            for tool in some:
                measure(tool.command, roots[tool.name])
            row("null, one input of 2 GB", rounds(some, roots, args.pairs))
            for root in roots.values():
                shutil.rmtree(root)
        if args.only in "restore, 10 x 50 MB":
            root = f"{base}/large"
            os.makedirs(f"{root}/src")
            with open(f"{root}/Envfile.kdl", "w") as out:
                for at in range(10):
                    with open(f"{root}/src/{at}", "wb") as source:
                        source.write(os.urandom(50 << 20))
                    out.write(f'task "t{at}" {{ inputs "src/{at}"; outputs "out/{at}"; run "cp src/{at} out/{at}" }}\n')
                out.write('task "all" { needs ' + " ".join(f'"t{at}"' for at in range(10)) + " }\n")
            copy = argparse.Namespace(name="copy", command=["cp", "-r", "src", "out"])
            own = tools[0]
            measure(own.command, root)
            gone = lambda *_: shutil.rmtree(f"{root}/out")
            both = rounds([own, copy], {own.name: root, copy.name: root}, max(3, args.pairs // 3), gone)
            versus("restore, 10 x 50 MB", both)


if __name__ == "__main__":
    main()
