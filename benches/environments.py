#!/usr/bin/env python3
"""What it costs to look at the environments of a project, and to write their files.

    cargo build --release
    benches/environments.py                   # 8 environments of 60 variables
    benches/environments.py --envs 20 --vars 200 --rounds 50

One schema at the root, most of its variables given again by each environment: texts, numbers, ports, addresses built from
others, and secrets. `env show`, `doctor` and `render` (a dotenv file and a JSON file of secrets) of all of them, in turn.
A number is the processor time of one process and all that it started, user and system, in milliseconds: the median of the
rounds, and the least. What the tools take that `doctor` asks for their version is measured by itself and taken away.

The goal is 100 ms for the three together.
"""

import argparse
import os
import pathlib
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent.parent
TOOLS = ["git", "sh", "python3"]


def envfile(envs, count):
    """The text of an Envfile with so many environments, each with so many names."""
    rows, again, secrets = [], [], []
    for at in range(count):
        match at % 6:
            case 0:
                rows.append(f'V{at} "text {at} $$x"')
                again.append(f'V{at} "text {at} of {{env}}"')
            case 1:
                rows.append(f"V{at} {at} min=0 max=10000")
                again.append(f"V{at} {{number}}")
            case 2:
                rows.append(f"(port)V{at} {20000 + at}")
                again.append(f"V{at} {{port}}")
            case 3:
                rows.append(f'V{at} "http://${{V{at - 3}}}:${{V{at - 1}}}/"')
            case 4:
                rows.append(f'(enum)V{at} "INFO" one-of="DEBUG|INFO|WARNING"')
                again.append(f'V{at} "DEBUG"')
            case 5:
                secrets.append(f'V{at} generate="password"')
    text = ["vars {", *rows, "}", "secrets {", *secrets, "}"]
    text += ["requires {"]
    text += [f'tool "{tool}"' + (' version=">=2"' if tool == "git" else "") for tool in TOOLS]
    text += ['file "Envfile.kdl"', 'memory min="1GiB"', 'disk min="1GiB"', "}"]
    for number in range(envs):
        env = f"env{number}"
        values = {"env": env, "number": number * 100}
        text.append(f'env "{env}" {{ vars {{')
        for at, row in enumerate(again):
            text.append(row.format(**values, port=21000 + number * count + at))
        text.append("} }")
    text.append(
        'task "files" { render ".env.${ENVRUN_ENV}" format="dotenv"; '
        'render "secrets/${ENVRUN_ENV}.json" format="json" only="secrets" }'
    )
    return "\n".join(text) + "\n"


def spent(command, root):
    """Milliseconds of processor time of a command and what it started."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    log = root / "log"
    with open(log, "wb") as out:
        status = subprocess.run(command, cwd=root, stdin=subprocess.DEVNULL, stdout=out, stderr=out).returncode
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if status not in (0, 3):
        sys.exit(f"{command} ended with {status}:\n{log.read_text()}")
    return 1000 * (after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--envs", type=int, default=8)
    parser.add_argument("--vars", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--binary", default=str(HERE / "target/release/envrun"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder) / "project"
        root.mkdir()
        os.environ.update(HOME=folder, XDG_CACHE_HOME=f"{folder}/cache", GIT_CONFIG_GLOBAL="/dev/null")
        (root / "Envfile.kdl").write_text(envfile(options.envs, options.vars))
        (root / ".gitignore").write_text("/.env.*\n/secrets/\n/.envrun/\n/log\n")
        git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run([*git, "init", "-q"], cwd=root, check=True)
        subprocess.run([*git, "add", "."], cwd=root, check=True)
        subprocess.run([*git, "commit", "-qm", "first"], cwd=root, check=True)
        envs = [f"env{number}" for number in range(options.envs)]
        files = [f"{env}.files" for env in envs]

        def fresh():
            for name in [".envrun", "secrets"]:
                shutil.rmtree(root / name, ignore_errors=True)
            for env in envs:
                (root / f".env.{env}").unlink(missing_ok=True)

        def changed():
            for env in envs:
                (root / f".env.{env}").unlink(missing_ok=True)

        binary = str(pathlib.Path(options.binary).resolve())
        rows = [
            ("env show", [binary, "env", "show", *envs], None),
            ("doctor", [binary, "doctor", *envs], None),
            ("render, first time", [binary, *files], fresh),
            ("render, half missing", [binary, *files], changed),
            ("render, unchanged", [binary, *files], None),
            ("git --version", ["git", "--version"], None),
        ]
        subprocess.run([binary, *files], cwd=root, check=True, capture_output=True)
        found = {name: [] for name, _, _ in rows}
        for _ in range(options.rounds):
            for name, command, before in rows:
                if before:
                    before()
                found[name].append(spent(command, root))
        print(f"{options.envs} environments of {options.vars} variables, milliseconds of CPU")
        print(f"{'':24}{'median':>10}{'least':>10}")
        medians, leasts = {}, {}
        for name, _, _ in rows:
            medians[name], leasts[name] = statistics.median(found[name]), min(found[name])
            print(f"{name:24}{medians[name]:10.1f}{leasts[name]:10.1f}")
        for title, render in [("the three, first time", rows[2][0]), ("the three, unchanged", rows[4][0])]:
            total = [
                each["env show"] + each["doctor"] + each[render] - each["git --version"]
                for each in (medians, leasts)
            ]
            print(f"{title:24}{total[0]:10.1f}{total[1]:10.1f}")


main()
