"""Whether the running server keeps its promises, from the figures that it gives of itself."""

import os
import urllib.request

ERRORS, P95 = 0.01, 0.2

figures = {}
with urllib.request.urlopen("http://127.0.0.1:" + os.environ["API_PORT"] + "/metrics", timeout=5) as answer:
    for line in answer.read().decode().splitlines():
        if not line.startswith("#"):
            name, value = line.split()
            figures[name] = float(value)
requests = figures["ade_requests_total"]
errors = figures["ade_errors_total"] / requests if requests else 0
p95 = figures["ade_request_seconds_p95"]
print(f"{errors:.1%} of {requests:.0f} requests failed, 95 % were answered within {p95 * 1000:.0f} ms")
if errors >= ERRORS or p95 >= P95:
    raise SystemExit(f"promised are less than {ERRORS:.0%}, and {P95 * 1000:.0f} ms")
