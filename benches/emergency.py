#!/usr/bin/env python3
"""How long `envrun rollback --emergency` of a link release takes, alone and with a ledger shared through git.

Usage: benches/emergency.py ENVRUN [ROUNDS]
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time

ENVFILE = """
project "lab"
{state}
vars {{ (path)ROOT "live" }}
env "prod" {{ }}
deploy "deploy" {{
    run #"mkdir -p "$ROOT/releases/$ENVRUN_REVISION""#
    run #"ln -sfn "releases/$ENVRUN_REVISION" "$ROOT/next" && mv -T "$ROOT/next" "$ROOT/current""#
}}
"""


def main():
    envrun, rounds = os.path.abspath(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 11
    for name, state in [("alone", ""), ("through git", 'state git="origin"')]:
        with tempfile.TemporaryDirectory() as base:
            env = dict(os.environ, HOME=base, XDG_CACHE_HOME=f"{base}/cache", GIT_CONFIG_GLOBAL=f"{base}/config")
            root = f"{base}/lab"

            def run(*words, cwd=root):
                subprocess.run(words, cwd=cwd, env=env, check=True, capture_output=True)

            run("git", "config", "--global", "user.name", "ada", cwd=base)
            run("git", "config", "--global", "user.email", "ada@example.org", cwd=base)
            run("git", "init", "-q", "--bare", "origin.git", cwd=base)
            run("git", "clone", "-q", "origin.git", root, cwd=base)
            with open(f"{root}/Envfile.kdl", "w", encoding="utf-8") as file:
                file.write(ENVFILE.format(state=state))
            with open(f"{root}/.gitignore", "w", encoding="utf-8") as file:
                file.write(".envrun\nlive\n")
            for number in range(2):
                run("git", "add", "-A")
                run("git", "commit", "-q", "--allow-empty", "-m", str(number))
                run(envrun, "prod.deploy")
            took = []
            for number in range(rounds):
                began = time.perf_counter()
                # There and back again, each time the other one of the two.
                run(envrun, "rollback", "prod", "--emergency", "--to", str(1 + number % 2))
                took.append((time.perf_counter() - began) * 1000)
            print(f"{name}: median {statistics.median(took):.0f} ms, worst {max(took):.0f} ms of {rounds}")


main()
