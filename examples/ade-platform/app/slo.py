"""Whether the running server keeps its promises, from the figures that it gives of itself."""

import os
import urllib.error
import urllib.request

ERRORS, P95 = 0.01, 0.2


def ask(path):
    with urllib.request.urlopen("http://127.0.0.1:" + os.environ["API_PORT"] + path, timeout=5) as answer:
        return answer.read().decode()


# A server that nobody uses yet has no figures: it is used a little.
for _ in range(5):
    try:
        ask("/health")
    except urllib.error.HTTPError:
        pass  # It counts itself what it did not answer well.
figures = {}
for line in ask("/metrics").splitlines():
    if not line.startswith("#"):
        name, value = line.split()
        figures[name] = float(value)
errors = figures["ade_errors_total"] / figures["ade_requests_total"]
p95 = figures["ade_request_seconds_p95"]
print(f"{errors:.1%} of the requests failed, 95 % were answered within {p95 * 1000:.0f} ms")
if errors >= ERRORS or p95 >= P95:
    raise SystemExit(f"promised are less than {ERRORS:.0%}, and {P95 * 1000:.0f} ms")
