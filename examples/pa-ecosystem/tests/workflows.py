"""What people do with the assistant, done once: a contact is noted, found, and gone."""

import http.client
import os
import sys

PORT = int(os.environ["API_PORT"])
EMAIL = f"workflow-{os.getpid()}@example.com"


def ask(method, path, body=""):
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=15)
    connection.request(method, path, body)
    answer = connection.getresponse()
    text = answer.read().decode()
    if answer.status >= 300:
        sys.exit(f"{method} {path}: {answer.status} {text}")
    return text


ask("POST", "/contacts", f"Workflow,{EMAIL},555-0123")
try:
    if EMAIL not in ask("GET", "/contacts"):
        sys.exit("what was noted is not found")
finally:
    ask("DELETE", "/contacts", EMAIL)
if EMAIL in ask("GET", "/contacts"):
    sys.exit("what was removed is still there")
