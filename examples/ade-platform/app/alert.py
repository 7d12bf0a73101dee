"""Tells the webhook $ALERT_URL what failed: one line of JSON."""

import json
import os
import urllib.request

told = {"failed": "ENVRUN_FAILED", "why": "ENVRUN_REASON", "run": "ENVRUN_FAILED_RUN"}
body = json.dumps({name: os.environ.get(variable, "") for name, variable in told.items()}).encode()
request = urllib.request.Request(os.environ["ALERT_URL"], body, {"Content-Type": "application/json"})
urllib.request.urlopen(request, timeout=10).close()
