"""`python tests/run.py FILE [--coverage FOLDER]` runs the tests of a file, and tells which lines they ran.

Its status is theirs: `python -m trace --module unittest` would end well whatever they said.
"""

import os
import sys
import trace
import unittest

sys.path.insert(0, os.getcwd())


def run(path):
    tests = unittest.defaultTestLoader.loadTestsFromName(path.removesuffix(".py").replace("/", "."))
    return unittest.TextTestRunner(verbosity=1).run(tests).wasSuccessful()


if __name__ == "__main__":
    if sys.argv[2:3] == ["--coverage"]:
        counter = trace.Trace(trace=False, ignoredirs=[sys.base_prefix, sys.prefix])
        well = counter.runfunc(run, sys.argv[1])
        counter.results().write_results(summary=True, show_missing=True, coverdir=sys.argv[3])
    else:
        well = run(sys.argv[1])
    sys.exit(0 if well else 1)
